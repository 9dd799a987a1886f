//! When what is said is said again (RFC 8415 sections 7.6 and 15).

use std::time::Duration;

use crate::dhcp::timing::Random;

/// How a message is repeated until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// The first wait (IRT).
    first: Duration,
    /// The longest wait (MRT); `None`: they grow on.
    longest: Option<Duration>,
    /// So often it is sent (MRC); `None`: without end.
    pub(super) tries: Option<u32>,
    /// So long it is sent (MRD); `None`: without end.
    pub(super) patience: Option<Duration>,
    /// The first wait is not shorter than [`Pattern::first`], because answers are collected meanwhile (section 18.2.1).
    collects: bool,
}

/// The longest wait for an answer to a Solicit (`SOL_MAX_RT`) or an Information-request (`INF_MAX_RT`), unless a server
/// names another.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

const fn pattern(first: u64, longest: Option<u64>, tries: Option<u32>, patience: Option<u64>) -> Pattern {
    const fn seconds(seconds: Option<u64>) -> Option<Duration> {
        match seconds {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => None,
        }
    }
    Pattern {
        first: Duration::from_secs(first),
        longest: seconds(longest),
        tries,
        patience: seconds(patience),
        collects: false,
    }
}

impl Pattern {
    pub(super) const REQUEST: Self = pattern(1, Some(30), Some(10), None);
    pub(super) const CONFIRM: Self = pattern(1, Some(4), None, Some(10));
    /// Until T2.
    pub(super) const RENEW: Self = pattern(10, Some(600), None, None);
    /// Until the end of all lifetimes.
    pub(super) const REBIND: Self = pattern(10, Some(600), None, None);
    pub(super) const DECLINE: Self = pattern(1, None, Some(4), None);

    /// Section 18.2.1, without the delay before the first: it is there for hosts that are switched on all at once, and
    /// somebody waits for the address of this one.
    pub(super) fn solicit(longest: Duration) -> Self {
        Self { longest: Some(longest), collects: true, ..pattern(1, None, None, None) }
    }

    /// Section 18.2.6. It is given up after some tries: there may be addresses by then.
    pub(super) fn inform(longest: Duration) -> Self {
        Self { longest: Some(longest), ..pattern(1, None, Some(6), None) }
    }

    /// How long to wait for an answer: after the first time it was sent, or after a wait of `before`.
    pub(super) fn wait(&self, before: Option<Duration>, random: &mut Random) -> Duration {
        let Some(before) = before else {
            let least = if self.collects { self.first } else { tenths(self.first, 9) };
            return random.between(least, tenths(self.first, 11));
        };
        let next = random.between(tenths(before, 19), tenths(before, 21));
        match self.longest.filter(|longest| next > *longest) {
            Some(longest) => random.between(tenths(longest, 9), tenths(longest, 11)),
            None => next,
        }
    }
}

fn tenths(time: Duration, tenths: u32) -> Duration {
    time.saturating_mul(tenths) / 10
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sections 7.6 and 15, in seconds.
    #[test]
    fn waits_double_up_to_the_longest() {
        let cases = [
            (Pattern::solicit(LONGEST_WAIT), vec![1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600]),
            (Pattern::solicit(Duration::from_secs(60)), vec![1, 2, 4, 8, 16, 32, 60, 60]),
            (Pattern::REQUEST, vec![1, 2, 4, 8, 16, 30, 30]),
            (Pattern::CONFIRM, vec![1, 2, 4, 4]),
            (Pattern::RENEW, vec![10, 20, 40, 80, 160, 320, 600, 600]),
            (Pattern::DECLINE, vec![1, 2, 4, 8]),
        ];
        for seed in 0..50 {
            let mut random = Random::new(seed);
            for (pattern, nominal) in &cases {
                let mut before = None;
                for (n, seconds) in nominal.iter().enumerate() {
                    let wait = pattern.wait(before, &mut random);
                    let last = before.unwrap_or(Duration::from_secs(*seconds) / 2);
                    let capped =
                        pattern.longest.is_some_and(|longest| longest == Duration::from_secs(*seconds));
                    let base = if capped { Duration::from_secs(*seconds) } else { last * 2 };
                    let (least, most) = (base.min(last * 2) / 10 * 8, base.max(last * 2) / 10 * 12);
                    assert!((least..=most).contains(&wait), "{pattern:?}, wait {n}: {wait:?} after {last:?}");
                    before = Some(wait);
                }
            }
            let collecting = Pattern::solicit(LONGEST_WAIT).wait(None, &mut random);
            assert!(collecting >= Duration::from_secs(1), "{collecting:?}");
        }
    }
}
