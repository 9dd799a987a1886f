//! Was the machine asleep? A clock tells that counts while it sleeps, beside one that does not.
//!
//! No word of a sleep to come: only logind has that.

use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// What differs less is how long it takes to read two clocks; nothing falls asleep and wakes up as fast.
const SHORTEST_SLEEP: Duration = Duration::from_millis(100);

/// How often the clocks are read anew to find a moment when nothing came in between.
const ATTEMPTS: usize = 5;

/// Tells how long the machine was asleep since it was last asked.
#[derive(Clone, Debug)]
pub struct SleepGauge {
    /// How long it was asleep altogether, since it was started.
    asleep: Duration,
}

impl SleepGauge {
    /// Begin to watch.
    pub fn new() -> Self {
        Self { asleep: asleep().unwrap_or_default() }
    }

    /// How long it was asleep since it was last asked, if it was.
    pub fn slept(&mut self) -> Option<Duration> {
        self.advance(asleep()?)
    }

    fn advance(&mut self, asleep: Duration) -> Option<Duration> {
        let slept = asleep.checked_sub(self.asleep).filter(|slept| *slept >= SHORTEST_SLEEP)?;
        self.asleep = asleep;
        Some(slept)
    }
}

/// How long ago the machine was started, sleep included: tells the same to every process.
pub fn since_boot() -> Duration {
    read(ClockId::CLOCK_BOOTTIME).unwrap_or_default()
}

impl Default for SleepGauge {
    fn default() -> Self {
        Self::new()
    }
}

/// How long the machine was asleep since it was started: by how much `CLOCK_BOOTTIME` is ahead of `CLOCK_MONOTONIC`
/// (clock_gettime(2)).
fn asleep() -> Option<Duration> {
    let read = |_| {
        let before = read(ClockId::CLOCK_MONOTONIC)?;
        let with_sleep = read(ClockId::CLOCK_BOOTTIME)?;
        let after = read(ClockId::CLOCK_MONOTONIC)?;
        Some((after.saturating_sub(before), with_sleep.saturating_sub(before)))
    };
    let (_, asleep) = (0..ATTEMPTS).filter_map(read).min_by_key(|(took, _)| *took)?;
    Some(asleep)
}

fn read(clock: ClockId) -> Option<Duration> {
    clock_gettime(clock).map(TimeSpec::into).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn tells_each_sleep_once() {
        let mut gauge = SleepGauge { asleep: SECOND };
        assert_eq!(gauge.advance(SECOND), None);
        assert_eq!(gauge.advance(SECOND + Duration::from_millis(3)), None);
        assert_eq!(gauge.advance(SECOND * 60), Some(SECOND * 59));
        assert_eq!(gauge.advance(SECOND * 60), None);
        assert_eq!(gauge.advance(SECOND * 59), None, "clocks are not read at once");
        assert_eq!(gauge.advance(SECOND * 61), Some(SECOND));
    }

    #[test]
    fn a_machine_that_runs_is_awake() {
        assert_eq!(SleepGauge::new().slept(), None);
    }
}
