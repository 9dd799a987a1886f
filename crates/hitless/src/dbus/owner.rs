//! When a service comes, or comes again: it has forgotten then what it was told.
//!
//! That it goes is not told: it usually comes back at once, and what was told others in between would have to be taken
//! back.

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use zbus::message::Type;
use zbus::{MatchRule, Message, MessageStream};

use super::peer::BUS;
use super::{Bus, BusError, Patience};
use crate::causes::chain;

/// What the bus says of a service. Where there is no bus, nothing is said.
#[derive(Debug)]
pub(crate) struct OwnerChanges {
    heard: mpsc::Receiver<()>,
    listener: JoinHandle<()>,
}

impl OwnerChanges {
    /// Begins to listen on the bus, which may come later, and again, for the one that has this name. Within a tokio runtime.
    pub(crate) fn listen(bus: Bus, service: &'static str) -> Self {
        // Several that nobody has asked for are one.
        let (sender, heard) = mpsc::channel(1);
        Self { heard, listener: tokio::spawn(listen(bus, service, sender)) }
    }

    /// Waits for the next one; for ever, where there is none. Nothing is lost when it is dropped before.
    pub(crate) async fn next(&mut self) {
        if self.heard.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for OwnerChanges {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn listen(bus: Bus, service: &'static str, sender: mpsc::Sender<()>) {
    let mut patience = Patience::default();
    loop {
        match subscribe(&bus, service).await {
            Ok(mut signals) => {
                // It may have come before we listened.
                let _ = sender.try_send(());
                while let Some(Ok(message)) = signals.next().await {
                    if has_come(&message, service) {
                        patience = Patience::default();
                        let _ = sender.try_send(());
                    }
                }
            }
            Err(error) => tracing::debug!(error = chain(&error), service, "nobody tells when it comes"),
        }
        sleep(patience.next()).await;
    }
}

async fn subscribe(bus: &Bus, service: &'static str) -> Result<MessageStream, BusError> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(BUS)
        .interface(BUS)
        .member("NameOwnerChanged")
        .arg(0, service)
        .build()?;
    let connection = bus.connect().await?;
    Ok(MessageStream::for_match_rule(rule, &connection, None).await?)
}

fn has_come(message: &Message, service: &str) -> bool {
    let owners: Result<(String, String, String), _> = message.body().deserialize();
    owners.is_ok_and(|(name, _, owner)| name == service && !owner.is_empty())
}
