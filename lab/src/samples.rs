//! The arithmetic of samples, and when to take them.

use std::time::Duration;

/// The middle sample; NaN without any.
pub fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.as_slice() {
        [] => f64::NAN,
        some if some.len() % 2 == 1 => some[middle],
        some => (some[middle - 1] + some[middle]) / 2.0,
    }
}

/// The mean; NaN without any samples.
pub fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// The largest sample; NaN without any.
pub fn worst(samples: &[f64]) -> f64 {
    samples.iter().copied().fold(f64::NAN, f64::max)
}

/// Counts as samples.
pub fn counts(counts: &[u64]) -> Vec<f64> {
    counts.iter().map(|count| *count as f64).collect()
}

/// The `n`-th pause of a measurement. It falls on another phase of a 100 ms clock each time, so that a poller is met at
/// every moment.
pub fn uneven(n: usize) -> Duration {
    let phase = u64::try_from(n * 37 % 100).unwrap_or_default();
    Duration::from_millis(300 + phase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_up() {
        let samples = counts(&[4, 1, 10, 1]);
        assert_eq!((median(&samples), mean(&samples), worst(&samples)), (2.5, 4.0, 10.0));
        assert_eq!(median(&samples[..3]), 4.0);
        assert!([median(&[]), mean(&[]), worst(&[])].iter().all(|none| none.is_nan()));
    }

    #[test]
    fn pauses_meet_every_phase() {
        let phases: std::collections::BTreeSet<_> = (0..100).map(uneven).collect();
        assert_eq!(phases.len(), 100);
    }
}
