//! The service manager: readiness and watchdog, where there is one.

use std::time::Duration;

use hitless_core::time::Instant;
use sd_notify::NotifyState;

/// What is said to the service manager.
#[derive(Debug)]
pub(super) struct Service {
    ready: bool,
    /// Half of what the watchdog allows.
    watchdog: Option<Duration>,
    next_ping: Instant,
}

impl Service {
    /// What the environment says (`NOTIFY_SOCKET`, `WATCHDOG_USEC`).
    pub(super) fn from_environment() -> Self {
        let watchdog = sd_notify::watchdog_enabled().map(|allowed| allowed / 2);
        Self { ready: false, watchdog, next_ping: Instant::EPOCH }
    }

    /// All bonds do what they can. Said once.
    pub(super) fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            notify(&[NotifyState::Ready]);
        }
    }

    pub(super) fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.watchdog.map(|_| self.next_ping)
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if let Some(interval) = self.watchdog.filter(|_| self.next_ping <= now) {
            notify(&[NotifyState::Watchdog]);
            self.next_ping = now + interval;
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
