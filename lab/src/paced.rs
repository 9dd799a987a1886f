//! An absolute schedule: the n-th tick comes at start + n/rate, however late the one before was.

use std::thread;
use std::time::{Duration, Instant};

/// Ticks at a fixed rate.
#[derive(Debug)]
pub struct Schedule {
    start: Instant,
    rate: u32,
    ticks: u64,
}

impl Schedule {
    /// `rate` ticks a second (at least 1), the first one now.
    pub fn new(rate: u32) -> Self {
        Self { start: Instant::now(), rate: rate.max(1), ticks: 0 }
    }

    /// Sleeps until the next tick; does not if that is in the past.
    pub fn wait(&mut self) {
        let due = self.start + self.offset(self.ticks);
        self.ticks += 1;
        let left = due.saturating_duration_since(Instant::now());
        if !left.is_zero() {
            thread::sleep(left);
        }
    }

    fn offset(&self, tick: u64) -> Duration {
        let rate = u64::from(self.rate);
        Duration::from_secs(tick / rate) + Duration::from_nanos(tick % rate * 1_000_000_000 / rate)
    }
}
