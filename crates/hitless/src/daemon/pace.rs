//! How often carriers are polled.
//!
//! A poll is for what events may miss: for a second after one, the kernel holds back those of other links that do not
//! seem urgent to it (net/core/link_watch.c). So carriers are polled at `miimon` for as long as links change, and in
//! quiet times only often enough to make up for an event in a network namespace that is not seen from here. A hundred
//! wake-ups a second all day long would cost a laptop more than they could ever find.

use std::time::Duration;

use hitless_core::time::Instant;

/// Twice as long as the kernel may hold an event back.
const LIVELY: Duration = Duration::from_secs(2);

/// The pace in quiet times, where `miimon` is not slower still.
const QUIET: Duration = Duration::from_millis(100);

/// How often carriers are polled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    last_event: Instant,
}

impl Pace {
    /// Something about a link changed.
    pub(super) fn link_event(&mut self, now: Instant) {
        self.last_event = now;
    }

    /// The time from one poll to the next.
    pub(super) fn interval(self, now: Instant, miimon: Duration) -> Duration {
        if now - self.last_event < LIVELY { miimon } else { miimon.max(QUIET) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_while_links_change_and_slow_in_quiet_times() {
        let at = |ms| Instant::after_epoch(Duration::from_millis(ms));
        let [fast, slow] = [10, 250].map(Duration::from_millis);
        let mut pace = Pace::default();
        pace.link_event(at(1000));
        assert_eq!(pace.interval(at(2999), fast), fast);
        assert_eq!(pace.interval(at(3000), fast), QUIET);
        assert_eq!(pace.interval(at(3000), slow), slow);
    }
}
