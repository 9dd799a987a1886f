//! The one place where the laboratory waits: for a condition, with a deadline, and an error that says what was seen.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{LabError, Result};
use crate::interrupt;

/// How long between two looks: at first, and at most. Looking costs, and an emulated processor has better things to do.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// What one look saw.
#[derive(Debug)]
pub enum Look<T> {
    /// What was waited for is there.
    Yes(T),
    /// Not yet; what is there instead, for the error message.
    No(String),
}

/// Looks until it sees what it waits for; that is returned.
///
/// # Errors
///
/// [`LabError::Timeout`] after `limit`, [`LabError::Interrupted`] after Ctrl-C, and whatever a look fails with.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Look<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        interrupt::check()?;
        let saw = match look()? {
            Look::Yes(found) => return Ok(found),
            Look::No(saw) => saw,
        };
        if start.elapsed() >= limit {
            return Err(LabError::Timeout { what: what.to_owned(), waited: limit, saw });
        }
        // The longer it takes anyway, the less does a moment more matter.
        thread::sleep((start.elapsed() / 20).clamp(PAUSE, LONGEST_PAUSE));
    }
}

/// Lets time pass, for traffic to flow in it. Not for waiting until something has happened: that is [`until`].
///
/// # Errors
///
/// [`LabError::Interrupted`] after Ctrl-C.
pub fn linger(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        interrupt::check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(PAUSE * 4));
    }
}
