//! When the machine goes to sleep and is awake again, as logind tells it on D-Bus.
//!
//! Not responsible for noticing it where there is no logind: clocks tell that, too (`hitless_linux::suspend`).

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use zbus::message::Type;
use zbus::{MatchRule, Message, MessageStream};

use crate::causes::chain;
use crate::dbus::{Bus, BusError, Patience};

/// A bus that was there for so long is expected back soon.
const LASTING: Duration = Duration::from_secs(10);

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// It is about to sleep, and does not wait for us.
    GoingToSleep,
    /// It is awake again, or did not fall asleep after all.
    Awake,
}

/// What logind says of sleep. Where it is not there, or no bus is, nothing is said.
#[derive(Debug)]
pub(super) struct SleepSignals {
    heard: mpsc::Receiver<Sleep>,
    listener: JoinHandle<()>,
}

impl SleepSignals {
    /// Begins to listen on the bus, which may come later, and again. Within a tokio runtime.
    pub(super) fn listen(bus: Bus) -> Self {
        let (sender, heard) = mpsc::channel(4);
        Self { heard, listener: tokio::spawn(listen(bus, sender)) }
    }

    /// Waits for the next one; for ever, where there is none. Nothing is lost when it is dropped before.
    pub(super) async fn next(&mut self) -> Sleep {
        match self.heard.recv().await {
            Some(sleep) => sleep,
            None => std::future::pending().await,
        }
    }
}

impl Drop for SleepSignals {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(bus: Bus, sender: mpsc::Sender<Sleep>) {
    let mut patience = Patience::default();
    loop {
        match subscribe(&bus).await {
            Ok(mut signals) => {
                let since = Instant::now();
                tracing::debug!("listening to logind");
                while let Some(Ok(message)) = signals.next().await {
                    let Some(sleep) = read(&message) else { continue };
                    if sender.send(sleep).await.is_err() {
                        return;
                    }
                }
                tracing::debug!("the system bus has gone");
                // A bus that throws us out at once is not tried without end.
                if since.elapsed() >= LASTING {
                    patience = Patience::default();
                }
            }
            Err(error) => tracing::debug!(error = chain(&error), "nobody tells of sleep"),
        }
        sleep(patience.next()).await;
    }
}

async fn subscribe(bus: &Bus) -> Result<MessageStream, BusError> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.login1")
        .path("/org/freedesktop/login1")
        .interface("org.freedesktop.login1.Manager")
        .member("PrepareForSleep")
        .build()?;
    let connection = bus.connect().await?;
    Ok(MessageStream::for_match_rule(rule, &connection, None).await?)
}

/// logind, `PrepareForSleep(b start)`: before it, true; after it, false.
fn read(message: &Message) -> Option<Sleep> {
    let start: bool = message.body().deserialize().ok()?;
    Some(if start { Sleep::GoingToSleep } else { Sleep::Awake })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

    use tokio::time::timeout;
    use zbus::Connection;

    use super::*;
    use crate::dbus::testbus::TestBus;

    const PATH: &str = "/org/freedesktop/login1";
    const INTERFACE: &str = "org.freedesktop.login1.Manager";

    /// Says so until somebody has heard: who listens may not have been let in yet.
    async fn says(bus: &Bus, name: &str, start: bool, signals: &mut SleepSignals) -> Option<Sleep> {
        let connection = bus.connect().await.expect("a bus");
        connection.request_name(name).await.expect("the name");
        for _ in 0..100 {
            emit(&connection, start).await;
            if let Ok(heard) = timeout(Duration::from_millis(100), signals.next()).await {
                return Some(heard);
            }
        }
        None
    }

    async fn emit(connection: &Connection, start: bool) {
        let nobody = None::<&str>;
        connection.emit_signal(nobody, PATH, INTERFACE, "PrepareForSleep", &start).await.expect("sent");
    }

    #[tokio::test]
    async fn sleep_and_waking_are_told() {
        let bus = TestBus::start();
        let mut signals = SleepSignals::listen(bus.bus());
        let heard = says(&bus.bus(), "org.freedesktop.login1", true, &mut signals).await;
        assert_eq!(heard, Some(Sleep::GoingToSleep));
        let logind = bus.bus().connect().await.unwrap();
        logind.request_name("org.freedesktop.login1").await.unwrap();
        emit(&logind, false).await;
        while signals.next().await == Sleep::GoingToSleep {}
    }

    #[tokio::test]
    async fn nobody_else_may_tell() {
        let bus = TestBus::start();
        let mut signals = SleepSignals::listen(bus.bus());
        assert_eq!(
            says(&bus.bus(), "org.freedesktop.login1", true, &mut signals).await,
            Some(Sleep::GoingToSleep)
        );
        let stranger = bus.bus().connect().await.unwrap();
        emit(&stranger, false).await;
        // What the stranger said is through when logind has been heard again.
        let logind = bus.bus().connect().await.unwrap();
        logind.request_name("org.freedesktop.login1").await.unwrap();
        emit(&logind, true).await;
        assert_eq!(signals.next().await, Sleep::GoingToSleep);
    }

    #[tokio::test]
    async fn a_bus_may_come_later_and_again() {
        let mut bus = TestBus::start();
        bus.end();
        let mut signals = SleepSignals::listen(bus.bus());
        bus.restart();
        assert_eq!(says(&bus.bus(), "org.freedesktop.login1", false, &mut signals).await, Some(Sleep::Awake));
        bus.restart();
        assert_eq!(
            says(&bus.bus(), "org.freedesktop.login1", true, &mut signals).await,
            Some(Sleep::GoingToSleep)
        );
    }

    #[tokio::test]
    async fn without_a_bus_nothing_is_said() {
        let mut signals = SleepSignals::listen(Bus::at("unix:path=/nonexistent/bus"));
        assert!(timeout(Duration::from_millis(300), signals.next()).await.is_err());
    }
}
