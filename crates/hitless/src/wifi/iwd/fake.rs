//! An iwd for tests: one station and a few networks, on a bus of the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test support")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::StreamExt as _;
use serde::Serialize;
use zbus::message::Type;
use zbus::{Connection, DynamicType, Message, MessageStream, ObjectPath, Variant};

use super::NAME;
use super::objects::{KNOWN_NETWORK, NETWORK, STATION};
use crate::dbus::Bus;

const DEVICE: &str = "/net/connman/iwd/0/3";
const BSSID: &str = "02:00:00:00:01:00";

/// A network of the neighbourhood.
#[derive(Clone, Debug)]
pub(super) struct FakeNetwork {
    name: &'static str,
    kind: &'static str,
    passphrase: &'static str,
    security: &'static str,
    hidden: bool,
    /// What iwd has noted as its passphrase.
    stored: Option<String>,
    /// Does it ask, whatever it has noted?
    ask: bool,
}

impl FakeNetwork {
    pub(super) fn psk(name: &'static str, passphrase: &'static str) -> Self {
        let security = "WPA2-Personal";
        Self { name, kind: "psk", passphrase, security, hidden: false, stored: None, ask: false }
    }

    /// One that iwd has joined before, by this passphrase.
    pub(super) fn stored(self, passphrase: &str) -> Self {
        Self { stored: Some(passphrase.to_owned()), ..self }
    }

    /// One that keeps its name to itself.
    pub(super) fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    pub(super) fn enterprise(name: &'static str) -> Self {
        Self { kind: "8021x", ..Self::psk(name, "") }
    }

    fn path(&self) -> String {
        let octets: String = self.name.bytes().map(|octet| format!("{octet:02x}")).collect();
        format!("{DEVICE}/{octets}_{}", self.kind)
    }

    fn known_path(&self) -> String {
        self.path().replace("/0/3/", "/")
    }
}

#[derive(Debug)]
struct State {
    networks: Vec<FakeNetwork>,
    phase: &'static str,
    joined: Option<usize>,
    agent: Option<String>,
    log: Vec<String>,
}

/// The fake. It is gone from the bus when it is dropped.
pub(super) struct FakeIwd {
    inner: Inner,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Inner {
    connection: Connection,
    state: Arc<Mutex<State>>,
}

type Object<'a> = HashMap<&'a str, HashMap<&'a str, Variant<'a>>>;

impl FakeIwd {
    pub(super) async fn start(bus: &Bus, networks: Vec<FakeNetwork>) -> Self {
        let connection = bus.connect().await.unwrap();
        let stream = MessageStream::from(&connection);
        let state = State { networks, phase: "disconnected", joined: None, agent: None, log: Vec::new() };
        let inner = Inner { connection, state: Arc::new(Mutex::new(state)) };
        let task = tokio::spawn(serve(stream, inner.clone()));
        inner.connection.request_name(NAME).await.unwrap();
        Self { inner, task }
    }

    /// Gone from the bus, as if it had died.
    pub(super) async fn die(self) {
        self.inner.connection.release_name(NAME).await.unwrap();
    }

    /// What it was asked to do.
    pub(super) fn log(&self) -> Vec<String> {
        self.inner.state().log.clone()
    }

    pub(super) fn count(&self, what: &str) -> usize {
        self.log().iter().filter(|line| line.starts_with(what)).count()
    }

    /// Who has an agent.
    pub(super) fn agent(&self) -> Option<String> {
        self.inner.state().agent.clone()
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        let state = self.inner.state();
        state.networks.iter().find(|network| network.name == name).unwrap().path()
    }

    pub(super) fn stored(&self, name: &str) -> Option<String> {
        let state = self.inner.state();
        state.networks.iter().find(|network| network.name == name).unwrap().stored.clone()
    }

    /// The access point is gone, and iwd does not find another.
    pub(super) async fn lose(&self) {
        self.inner.settle("disconnected", None).await;
    }
}

impl Drop for FakeIwd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: MessageStream, inner: Inner) {
    while let Some(Ok(message)) = stream.next().await {
        if message.message_type() == Type::MethodCall {
            // It may take until its own question is answered.
            let inner = inner.clone();
            tokio::spawn(async move { inner.call(message).await });
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn call(&self, message: Message) {
        let header = message.header();
        let path = header.path().unwrap().as_str().to_owned();
        let member = header.member().unwrap().as_str().to_owned();
        self.state().log.push(format!("{member} {path}"));
        match member.as_str() {
            "GetManagedObjects" => self.reply(&message, &self.objects()).await,
            "RegisterAgent" => {
                self.state().agent = header.sender().map(ToString::to_string);
                self.reply(&message, &()).await;
            }
            "GetOrderedNetworks" => self.reply(&message, &self.ordered()).await,
            "GetDiagnostics" => self.reply(&message, &self.diagnostics()).await,
            "Scan" => {
                self.changed(STATION, DEVICE, [("Scanning", true.into())], &[]).await;
                self.reply(&message, &()).await;
                self.changed(STATION, DEVICE, [("Scanning", false.into())], &[]).await;
            }
            "Disconnect" => {
                self.settle("disconnected", None).await;
                self.reply(&message, &()).await;
            }
            "Connect" => {
                let index = self.state().networks.iter().position(|network| network.path() == path).unwrap();
                self.connect(&message, index).await;
            }
            "ConnectHiddenNetwork" => {
                let body = message.body();
                let name: &str = body.deserialize().unwrap();
                let index =
                    self.state().networks.iter().position(|network| network.hidden && network.name == name);
                match index {
                    Some(index) => self.connect(&message, index).await,
                    None => self.refuse(&message, "NotFound").await,
                }
            }
            "Forget" => {
                self.forget(&path).await;
                self.reply(&message, &()).await;
            }
            "UnregisterAgent" => self.reply(&message, &()).await,
            _ => self.refuse(&message, "NotImplemented").await,
        }
    }

    async fn connect(&self, message: &Message, index: usize) {
        let network = self.state().networks[index].clone();
        if network.kind == "8021x" {
            return self.refuse(message, "NotConfigured").await;
        }
        self.settle("connecting", Some(index)).await;
        let asks = network.ask || network.stored.is_none();
        let passphrase = if asks { self.ask(&network).await } else { network.stored.clone() };
        let Some(passphrase) = passphrase else {
            self.settle("disconnected", None).await;
            return self.refuse(message, "Aborted").await;
        };
        if passphrase != network.passphrase {
            self.state().networks[index].ask = true;
            self.settle("disconnected", None).await;
            return self.refuse(message, "Failed").await;
        }
        self.state().networks[index].stored = Some(passphrase);
        let known = (path(&network.known_path()), known(&network));
        let none = None::<&str>;
        let manager = "org.freedesktop.DBus.ObjectManager";
        self.connection.emit_signal(none, "/", manager, "InterfacesAdded", &known).await.unwrap();
        self.settle("connected", Some(index)).await;
        self.reply(message, &()).await;
    }

    async fn ask(&self, network: &FakeNetwork) -> Option<String> {
        let agent = self.state().agent.clone()?;
        let network = path(&network.path());
        let interface = Some("net.connman.iwd.Agent");
        let answer = self
            .connection
            .call_method(Some(agent.as_str()), "/io/hitless/agent", interface, "RequestPassphrase", &network)
            .await;
        answer.ok()?.body().deserialize().ok()
    }

    async fn forget(&self, known: &str) {
        let index = self.state().networks.iter().position(|network| network.known_path() == known).unwrap();
        self.state().networks[index].stored = None;
        let gone = (path(known), [KNOWN_NETWORK]);
        let manager = "org.freedesktop.DBus.ObjectManager";
        self.connection.emit_signal(None::<&str>, "/", manager, "InterfacesRemoved", &gone).await.unwrap();
        if self.state().joined == Some(index) {
            self.settle("disconnected", None).await;
        }
    }

    async fn settle(&self, phase: &'static str, joined: Option<usize>) {
        let network = {
            let mut state = self.state();
            state.phase = phase;
            state.joined = joined;
            joined.map(|index| state.networks[index].path())
        };
        match network {
            Some(network) => {
                let values = [("State", phase.into()), ("ConnectedNetwork", path(&network).into())];
                self.changed(STATION, DEVICE, values, &[]).await;
            }
            None => self.changed(STATION, DEVICE, [("State", phase.into())], &["ConnectedNetwork"]).await,
        }
    }

    async fn changed<const N: usize>(
        &self,
        interface: &str,
        object: &str,
        changed: [(&str, Variant<'static>); N],
        gone: &[&str],
    ) {
        let body = (interface, HashMap::from(changed), gone);
        let properties = "org.freedesktop.DBus.Properties";
        self.connection
            .emit_signal(None::<&str>, object, properties, "PropertiesChanged", &body)
            .await
            .unwrap();
    }

    async fn reply<B: Serialize + DynamicType>(&self, message: &Message, body: &B) {
        self.connection.reply(&message.header(), body).await.unwrap();
    }

    async fn refuse(&self, message: &Message, name: &str) {
        let name = format!("{NAME}.{name}");
        self.connection.reply_error(&message.header(), name, &"Operation failed").await.unwrap();
    }

    // ---- what it has ---------------------------------------------------------------------------------------------

    fn objects(&self) -> HashMap<ObjectPath<'static>, Object<'static>> {
        let state = self.state();
        let device = HashMap::from([("Name", Variant::from("wlan0")), ("Powered", true.into())]);
        let mut station = HashMap::from([("State", Variant::from(state.phase)), ("Scanning", false.into())]);
        if let Some(index) = state.joined {
            station.insert("ConnectedNetwork", path(&state.networks[index].path()).into());
        }
        let mut objects = HashMap::from([(
            path(DEVICE),
            HashMap::from([("net.connman.iwd.Device", device), (STATION, station)]),
        )]);
        for network in &state.networks {
            let properties =
                HashMap::from([("Name", Variant::from(network.name)), ("Type", network.kind.into())]);
            objects.insert(path(&network.path()), HashMap::from([(NETWORK, properties)]));
            if network.stored.is_some() {
                objects.insert(path(&network.known_path()), known(network));
            }
        }
        objects
    }

    fn ordered(&self) -> Vec<(ObjectPath<'static>, i16)> {
        let state = self.state();
        let seen = state.networks.iter().filter(|network| !network.hidden);
        seen.map(|network| (path(&network.path()), -4200)).collect()
    }

    fn diagnostics(&self) -> HashMap<&'static str, Variant<'static>> {
        let state = self.state();
        let security = state.joined.map_or("", |index| state.networks[index].security);
        HashMap::from([
            ("ConnectedBss", BSSID.into()),
            ("Frequency", Variant::from(2412_u32)),
            ("Security", security.into()),
        ])
    }
}

fn known(network: &FakeNetwork) -> Object<'static> {
    let properties = HashMap::from([("Name", Variant::from(network.name)), ("Type", network.kind.into())]);
    HashMap::from([(KNOWN_NETWORK, properties)])
}

fn path(path: &str) -> ObjectPath<'static> {
    ObjectPath::try_from(path.to_owned()).unwrap()
}
