//! What is said to iwd, and what is heard of it: method calls and signals on the bus.
//!
//! Calls go to the connection that owns iwd's name, never to the name, so that no question starts iwd; and only what
//! comes from that connection is believed.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use zbus::message::Type as MessageType;
use zbus::{Connection, DynamicType, Error, Message, MessageStream, OwnedObjectPath, OwnedVariant, Type};

use super::objects::{Interfaces, NETWORK, Properties, STATION};
use super::{NAME, agent};
use crate::dbus::{Bus, BusError};

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// How long iwd may think about what it only has to look up or note.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection to the bus, for what concerns iwd.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    heard: mpsc::UnboundedReceiver<Message>,
    pump: JoinHandle<()>,
    /// The connection that has iwd's name: iwd.
    owner: Option<String>,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// Another process is iwd now, or none.
    Owner,
    /// Objects came, or have more interfaces.
    Added(String, Interfaces),
    /// Objects went, or have fewer interfaces.
    Removed(String, Vec<String>),
    /// Properties of this object's interface changed; those in the list are no longer there.
    Changed(String, String, Properties, Vec<String>),
    /// iwd asks us something.
    Asked(Message),
    /// The bus is gone.
    Over,
}

/// A call that came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum CallError {
    /// iwd refuses.
    #[error("{name}: {text}")]
    Refused {
        /// The last part of the error's name.
        name: String,
        /// What it says about it.
        text: String,
    },
    /// It did not arrive, or not in time, or not understood.
    #[error("{0}")]
    Failed(String),
}

impl CallError {
    /// What iwd says: `Failed`, `Busy`, `NotConnected` and so on.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Refused { name, .. } => name,
            Self::Failed(_) => "",
        }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        if let Error::MethodError(name, text, _) = &error {
            let name = name.as_str().rsplit('.').next().unwrap_or_default().to_owned();
            return Self::Refused { name, text: text.clone().unwrap_or_default() };
        }
        Self::Failed(error.to_string())
    }
}

/// Is iwd on the bus?
pub(super) async fn is_running(bus: &Bus) -> Result<bool, BusError> {
    let connection = bus.connect().await?;
    let answer = connection.call_method(Some(BUS), BUS_PATH, Some(BUS), "NameHasOwner", &NAME).await?;
    Ok(answer.body().deserialize()?)
}

impl Session {
    /// Connects, and begins to listen. iwd is started if it is installed and was not: whoever wants a station of it,
    /// wants it.
    pub(super) async fn open(bus: &Bus) -> Result<Self, BusError> {
        let connection = bus.connect().await?;
        let (sender, heard) = mpsc::unbounded_channel();
        let pump = tokio::spawn(pump(MessageStream::from(&connection), sender));
        let mut session = Self { connection, heard, pump, owner: None };
        session.listen().await?;
        Ok(session)
    }

    async fn listen(&mut self) -> Result<(), Error> {
        let owners = format!("type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{NAME}'");
        let signals = format!("type='signal',sender='{NAME}'");
        for rule in [owners, signals] {
            self.ask_bus("AddMatch", &rule).await?;
        }
        // Where there is no such service, or it does not start, there is none.
        if let Err(error) = self.ask_bus("StartServiceByName", &(NAME, 0_u32)).await {
            tracing::debug!(%error, "iwd is not started by the bus");
        }
        self.owner = match self.ask_bus("GetNameOwner", &NAME).await {
            Ok(answer) => answer.body().deserialize().ok(),
            Err(_) => None,
        };
        Ok(())
    }

    async fn ask_bus<B: Serialize + DynamicType>(&self, method: &str, body: &B) -> Result<Message, Error> {
        self.connection.call_method(Some(BUS), BUS_PATH, Some(BUS), method, body).await
    }

    /// Is iwd there?
    pub(super) fn has_iwd(&self) -> bool {
        self.owner.is_some()
    }

    // ---- what is heard -------------------------------------------------------------------------------------------

    /// Waits for the next thing that is heard. Nothing is lost when it is dropped before. Nobody but iwd is told anything.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            let Some(message) = self.heard.recv().await else { return Heard::Over };
            if self.is_strangers_call(&message) {
                self.answer(&message, None).await;
            } else if let Some(heard) = self.understand(message) {
                return heard;
            }
        }
    }

    fn is_strangers_call(&self, message: &Message) -> bool {
        let header = message.header();
        let sender = header.sender().map(|name| name.as_str());
        message.message_type() == MessageType::MethodCall
            && (sender.is_none() || sender != self.owner.as_deref())
    }

    fn understand(&mut self, message: Message) -> Option<Heard> {
        let header = message.header();
        let sender = header.sender().map(|name| name.as_str());
        let member = header.member().map(|name| name.as_str())?;
        let path = header.path().map(|path| path.as_str().to_owned());
        match message.message_type() {
            MessageType::Signal if sender == Some(BUS) && member == "NameOwnerChanged" => {
                let (name, _, owner): (String, String, String) = message.body().deserialize().ok()?;
                if name != NAME {
                    return None;
                }
                self.owner = Some(owner).filter(|owner| !owner.is_empty());
                Some(Heard::Owner)
            }
            MessageType::Signal if sender.is_some() && sender == self.owner.as_deref() => {
                signal(&message, member, path?)
            }
            MessageType::MethodCall => {
                drop(header);
                Some(Heard::Asked(message))
            }
            MessageType::Signal | MessageType::MethodReturn | MessageType::Error => None,
        }
    }

    // ---- what is said --------------------------------------------------------------------------------------------

    pub(super) async fn objects(&self) -> Result<HashMap<OwnedObjectPath, Interfaces>, CallError> {
        self.call("/", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &()).await
    }

    pub(super) async fn register_agent(&self) -> Result<(), CallError> {
        let path = agent::path();
        match self.call("/net/connman/iwd", "net.connman.iwd.AgentManager", "RegisterAgent", &path).await {
            Err(error) if error.name() == "AlreadyExists" => Ok(()),
            result => result,
        }
    }

    pub(super) async fn unregister_agent(&self) -> Result<(), CallError> {
        let path = agent::path();
        self.call("/net/connman/iwd", "net.connman.iwd.AgentManager", "UnregisterAgent", &path).await
    }

    pub(super) async fn ordered_networks(
        &self,
        station: &str,
    ) -> Result<Vec<(OwnedObjectPath, i16)>, CallError> {
        self.call(station, STATION, "GetOrderedNetworks", &()).await
    }

    /// Begins to look around. It is fine if that is what iwd does already.
    pub(super) async fn scan(&self, station: &str) -> Result<(), CallError> {
        match self.call(station, STATION, "Scan", &()).await {
            Err(error) if matches!(error.name(), "Busy" | "InProgress") => Ok(()),
            result => result,
        }
    }

    pub(super) async fn leave(&self, station: &str) -> Result<(), CallError> {
        match self.call(station, STATION, "Disconnect", &()).await {
            Err(error) if error.name() == "NotConnected" => Ok(()),
            result => result,
        }
    }

    pub(super) async fn diagnostics(
        &self,
        station: &str,
    ) -> Result<HashMap<String, OwnedVariant>, CallError> {
        self.call(station, "net.connman.iwd.StationDiagnostic", "GetDiagnostics", &()).await
    }

    pub(super) async fn forget(&self, known: &str) -> Result<(), CallError> {
        self.call(known, super::objects::KNOWN_NETWORK, "Forget", &()).await
    }

    /// Begins to join a network. What comes of it is told when it is over, which takes as long as it takes.
    pub(super) fn join(&self, network: &str) -> oneshot::Receiver<Result<(), CallError>> {
        self.begin(network, NETWORK, "Connect", ())
    }

    /// Begins to join a network that keeps its name to itself.
    pub(super) fn join_hidden(&self, station: &str, name: &str) -> oneshot::Receiver<Result<(), CallError>> {
        self.begin(station, STATION, "ConnectHiddenNetwork", name.to_owned())
    }

    fn begin<B>(
        &self,
        path: &str,
        interface: &'static str,
        method: &'static str,
        body: B,
    ) -> oneshot::Receiver<Result<(), CallError>>
    where
        B: Serialize + DynamicType + Send + Sync + 'static,
    {
        let (sender, done) = oneshot::channel();
        let (connection, owner, path) = (self.connection.clone(), self.owner.clone(), path.to_owned());
        tokio::spawn(async move {
            let answer = connection.call_method(owner.as_deref(), path, Some(interface), method, &body).await;
            // Nobody waits for it any more if iwd has gone.
            let _ = sender.send(answer.map(drop).map_err(CallError::from));
        });
        done
    }

    async fn call<B, R>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<R, CallError>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        let call = self.connection.call_method(self.owner.as_deref(), path, Some(interface), method, body);
        let answer = timeout(ANSWER, call).await.map_err(|_| CallError::Failed("no answer".to_owned()))??;
        Ok(answer.body().deserialize()?)
    }

    /// Answers what iwd has asked.
    pub(super) async fn answer(&self, question: &Message, secret: Option<&str>) {
        let header = question.header();
        let sent = match secret {
            Some(secret) => self.connection.reply(&header, &secret).await,
            None => {
                let why = "nothing is known of it";
                self.connection.reply_error(&header, "net.connman.iwd.Agent.Error.Canceled", &why).await
            }
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "iwd is not answered");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Takes messages off the connection as they come, so that the answers behind them come through.
async fn pump(mut stream: MessageStream, heard: mpsc::UnboundedSender<Message>) {
    while let Some(Ok(message)) = stream.next().await {
        if heard.send(message).is_err() {
            return;
        }
    }
}

fn signal(message: &Message, member: &str, path: String) -> Option<Heard> {
    let body = message.body();
    match member {
        "InterfacesAdded" => {
            let (path, interfaces): (OwnedObjectPath, Interfaces) = body.deserialize().ok()?;
            Some(Heard::Added(path.as_str().to_owned(), interfaces))
        }
        "InterfacesRemoved" => {
            let (path, interfaces): (OwnedObjectPath, Vec<String>) = body.deserialize().ok()?;
            Some(Heard::Removed(path.as_str().to_owned(), interfaces))
        }
        "PropertiesChanged" => {
            let (interface, changed, gone): (String, Properties, Vec<String>) = body.deserialize().ok()?;
            Some(Heard::Changed(path, interface, changed, gone))
        }
        _ => None,
    }
}
