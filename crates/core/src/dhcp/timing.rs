//! When what is said again, and the randomness in it.

use std::time::Duration;

use crate::time::Instant;

/// SplitMix64 (Steele, Lea, Flood 2014): not for secrets, but no two hosts begin with the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A transaction id that nobody can foresee who has not seen the last ones.
    pub(crate) fn xid(&mut self) -> u32 {
        let [a, b, c, d, ..] = self.next().to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }

    /// A time in this range, evenly distributed.
    pub(crate) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let millis = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
        least + Duration::from_millis(self.next() % millis.saturating_add(1))
    }
}

/// The longest wait for an answer before a broadcast is sent again (RFC 2131 section 4.1).
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// How much a wait differs from its nominal length, at most.
const JITTER: Duration = Duration::from_secs(1);
/// The least time between two tries to renew a lease (RFC 2131 section 4.4.5).
const LEAST_RENEWAL_WAIT: Duration = Duration::from_secs(60);

/// How long to wait for an answer to the `tries`th broadcast.
///
/// RFC 2131 begins at 4 s; this begins at 1 s. Where a carrier has just come, the first frames are often lost because a
/// switch does not forward yet, or an access point has not told the others of us, and a user waits for the address.
pub(super) fn broadcast_wait(tries: u32, random: &mut Random) -> Duration {
    let nominal = Duration::from_secs(1 << tries.saturating_sub(1).min(6)).min(LONGEST_WAIT);
    // From 4 s on it is the RFC's second.
    let jitter = JITTER.min(nominal / 4);
    random.between(nominal.saturating_sub(jitter), nominal + jitter)
}

/// How long to wait for an answer when a lease of `total` is being renewed, and `left` is left to do so: half of that,
/// and not less than a minute (RFC 2131 section 4.4.5). A lease of minutes does not have that minute: a lost frame
/// must not cost the address.
pub(super) fn renewal_wait(total: Duration, left: Duration) -> Duration {
    (left / 2).max(LEAST_RENEWAL_WAIT.min(total / 16)).max(Duration::from_secs(1))
}

/// A question that is asked several times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeat {
    left: u32,
    at: Instant,
    every: Duration,
    /// May there be an answer still? Also after it was asked for the last time.
    open: bool,
}

impl Repeat {
    /// Nothing is asked.
    pub(super) const NEVER: Self = Self { left: 0, at: Instant::EPOCH, every: Duration::ZERO, open: false };

    pub(super) fn new(times: u32, first: Instant, every: Duration) -> Self {
        Self { left: times, at: first, every, open: true }
    }

    /// When it is due next; `None`: it was asked often enough.
    pub(super) fn at(&self) -> Option<Instant> {
        (self.left > 0).then_some(self.at)
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Is it due now? If so, once less from now on.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let due = self.at().is_some_and(|at| at <= now);
        if due {
            self.left -= 1;
            self.at = now + self.every;
        }
        due
    }
}
