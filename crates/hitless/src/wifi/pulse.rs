//! Whether an access point is still there, told from what a station hears and what is acknowledged.
//!
//! mac80211 takes more than a second to give up an access point that has died. A beacon comes ten times a second, and every
//! frame that is sent to one station is acknowledged at once: whoever counts both knows sooner. The price of an error is
//! small, as long as there is another port to go to: nobody counts where there is none.

use std::time::Duration;

use hitless_core::time::Instant;
use hitless_linux::wireless::Counters;

/// How often is counted.
pub const BEAT: Duration = Duration::from_millis(40);

/// So many frames without an acknowledgement, and no other sign of life for so long, and nobody is there.
const UNANSWERED: u32 = 4;
const UNANSWERED_TIME: Duration = Duration::from_millis(100);

/// So many beacons in a row do not get lost.
const BEACONS: u32 = 5;

/// The usual time between two beacons: 100 time units of 1024 µs.
const BEACON_INTERVAL: Duration = Duration::from_micros(102_400);

/// What came of counting once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// There was a sign of life since the last time.
    Alive,
    /// There was none, which means nothing yet.
    Quiet,
    /// There was none for too long.
    Missed,
}

/// The signs of life of one access point.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    last: Counters,
    counted: Instant,
    /// For how long it has given no sign of life while somebody counted, and how many frames were unanswered before.
    quiet: Duration,
    unanswered: u32,
}

impl Pulse {
    /// Begins to count: so far, it is there.
    pub fn begin(now: Instant, counters: Counters) -> Self {
        Self { last: counters, counted: now, quiet: Duration::ZERO, unanswered: counters.unanswered }
    }

    /// Counts.
    pub fn beat(&mut self, now: Instant, counters: Counters, beacon_interval: Option<Duration>) -> Beat {
        let alive = self.is_sign_of_life(now, &counters);
        // While the whole machine stood still, nobody could have heard a thing.
        self.quiet += (now - self.counted).min(BEAT * 2);
        self.last = counters;
        self.counted = now;
        if alive {
            self.quiet = Duration::ZERO;
            self.unanswered = counters.unanswered;
            return Beat::Alive;
        }
        // The driver's 32-bit counters wrap.
        let unanswered = counters.unanswered.wrapping_sub(self.unanswered);
        let unheard = counters.beacons.is_some()
            && self.quiet >= beacon_interval.unwrap_or(BEACON_INTERVAL).saturating_mul(BEACONS);
        let missed = unheard || (unanswered >= UNANSWERED && self.quiet >= UNANSWERED_TIME);
        if missed { Beat::Missed } else { Beat::Quiet }
    }

    fn is_sign_of_life(&self, now: Instant, counters: &Counters) -> bool {
        counters.beacons != self.last.beacons
            || counters.received != self.last.received
            || counters.quiet.is_some_and(|quiet| quiet < now - self.counted)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::after_epoch(Duration::from_millis(ms))
    }

    fn counters(beacons: u64, received: u32, unanswered: u32) -> Counters {
        Counters { beacons: Some(beacons), received, sent: 0, unanswered, quiet: None }
    }

    /// When it is missed, in milliseconds after it died at 1000, given what is counted from then on.
    fn missed(unanswered_per_beat: u32, mut counters: Counters) -> u64 {
        let mut pulse = Pulse::begin(at(1000), counters);
        (1..)
            .map(|n| n * 40)
            .find(|ms| {
                counters.unanswered = counters.unanswered.wrapping_add(unanswered_per_beat);
                pulse.beat(at(1000 + ms), counters, None) == Beat::Missed
            })
            .expect("some time")
    }

    #[test]
    fn a_dead_access_point_is_missed_the_sooner_the_more_is_sent_to_it() {
        assert_eq!(missed(20, counters(5, 100, 0)), 120);
        assert_eq!(missed(1, counters(5, 100, 0)), 160);
        assert_eq!(missed(0, counters(5, 100, 0)), 520, "beacons alone");
        assert_eq!(missed(20, counters(5, 100, u32::MAX - 3)), 120, "the counter wraps");
    }

    #[test]
    fn a_single_sign_of_life_will_do() {
        let mut pulse = Pulse::begin(at(0), counters(0, 0, 0));
        let signs = [
            counters(1, 0, 50),
            counters(1, 1, 100),
            Counters { quiet: Some(Duration::ZERO), ..counters(1, 1, 150) },
        ];
        for (n, sign) in (1..).zip(signs) {
            assert_eq!(pulse.beat(at(n * 400), sign, None), Beat::Alive, "{sign:?}");
        }
        assert_eq!(pulse.beat(at(1240), counters(1, 1, 200), None), Beat::Quiet);
        assert_eq!(pulse.beat(at(1280), counters(1, 1, 200), None), Beat::Quiet);
        assert_eq!(pulse.beat(at(1320), counters(1, 1, 200), None), Beat::Missed);
        assert_eq!(pulse.beat(at(1360), counters(2, 1, 200), None), Beat::Alive, "and back");
    }

    #[test]
    fn a_machine_that_stood_still_has_missed_nothing() {
        let mut pulse = Pulse::begin(at(0), counters(5, 100, 0));
        assert_eq!(pulse.beat(at(5000), counters(5, 100, 50), None), Beat::Quiet);
        assert_eq!(pulse.beat(at(5040), counters(6, 100, 50), None), Beat::Alive);
    }

    #[test]
    fn without_traffic_a_driver_that_counts_no_beacons_says_nothing() {
        let mut pulse = Pulse::begin(at(0), Counters::default());
        assert_eq!(pulse.beat(at(60_000), Counters::default(), None), Beat::Quiet);
    }
}
