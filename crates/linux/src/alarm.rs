//! One timer for the one loop: a timerfd (timerfd_create(2)).
//!
//! The runtime's own timers count in milliseconds, and wake the process once more on the way to each that is further
//! than some dozens of them away.

use std::os::fd::{AsFd as _, AsRawFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::{Cause, RequestError};

/// A timer that rings once for each time that it is set.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<Timer>,
}

/// What the runtime can wait for.
#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// Make an alarm that is not set.
    ///
    /// # Errors
    /// When the kernel gives none.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new() -> Result<Self, RequestError> {
        let error = |cause: Cause| cause.of("make a timer", "");
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(|errno| error(errno.into()))?;
        // SAFETY: a `Timer` owns its descriptor and answers the same one as long as it lives.
        let timer = unsafe { AsyncFd::register_with_interest(Timer(timer), Interest::READABLE) };
        Ok(Self { timer: timer.map_err(|failed| error(failed.into_parts().1.into()))? })
    }

    /// Ring this long from now, and not at the time that was set before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn set(&self, from_now: Duration) -> Result<(), RequestError> {
        // A timer of zero is one that is switched off.
        let expiration = Expiration::OneShot(TimeSpec::from_duration(from_now.max(Duration::from_nanos(1))));
        let result = self.timer.get_ref().0.set(expiration, TimerSetTimeFlags::empty());
        result.map_err(|errno| Cause::from(errno).of("set a timer", ""))
    }

    /// Wait until it rings. May be cancelled: it goes on ringing until it is heard.
    ///
    /// # Errors
    /// When the timer cannot be read; it will not get better by trying again.
    pub async fn ring(&self) -> Result<(), RequestError> {
        loop {
            let mut ready = self.timer.readable().await.map_err(|io| read_error(io.into()))?;
            let rung = self.timer.get_ref().0.wait();
            ready.clear_ready();
            match rung {
                Ok(()) => return Ok(()),
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(read_error(errno.into())),
            }
        }
    }
}

fn read_error(cause: Cause) -> RequestError {
    cause.of("wait for a timer", "")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn rings_once_for_the_last_time_that_was_set() {
        let alarm = Alarm::new().unwrap();
        alarm.set(Duration::from_secs(3600)).unwrap();
        alarm.set(Duration::ZERO).unwrap();
        alarm.ring().await.unwrap();
        let again = tokio::time::timeout(Duration::from_millis(1), alarm.ring()).await;
        assert!(again.is_err(), "not twice");
    }
}
