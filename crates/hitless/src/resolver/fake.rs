//! A systemd-resolved for tests, with one interface, on a bus of the test's own; and a `resolvconf`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test support")]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::StreamExt as _;
use serde::Serialize;
use zbus::message::Type;
use zbus::{Connection, DynamicType, Message, MessageStream, ObjectPath, Variant};

use super::resolved::NAME;
use crate::dbus::Bus;

/// The interface that it knows.
pub(super) const INDEX: u32 = 7;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) servers: Vec<(i32, Vec<u8>)>,
    pub(super) domains: Vec<(String, bool)>,
    pub(super) default_route: Option<bool>,
}

#[derive(Debug, Default)]
struct State {
    link: Link,
    /// What it answers instead of doing anything.
    refusal: Option<&'static str>,
    log: Vec<String>,
}

/// The fake. It is gone from the bus when it is dropped.
pub(super) struct FakeResolved {
    inner: Inner,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Inner {
    connection: Connection,
    state: Arc<Mutex<State>>,
}

impl FakeResolved {
    pub(super) async fn start(bus: &Bus) -> Self {
        let connection = bus.connect().await.unwrap();
        let stream = MessageStream::from(&connection);
        let inner = Inner { connection, state: Arc::default() };
        let task = tokio::spawn(serve(stream, inner.clone()));
        inner.connection.request_name(NAME).await.unwrap();
        Self { inner, task }
    }

    /// Gone from the bus, as if it had ended.
    pub(super) async fn end(self) {
        self.inner.connection.release_name(NAME).await.unwrap();
    }

    pub(super) fn link(&self) -> Link {
        self.inner.state().link.clone()
    }

    /// As if somebody had said `resolvectl revert`.
    pub(super) fn forget(&self) {
        self.inner.state().link = Link::default();
    }

    pub(super) fn refuse(&self, name: Option<&'static str>) {
        self.inner.state().refusal = name;
    }

    pub(super) fn count(&self, method: &str) -> usize {
        self.inner.state().log.iter().filter(|called| *called == method).count()
    }
}

impl Drop for FakeResolved {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: MessageStream, inner: Inner) {
    while let Some(Ok(message)) = stream.next().await {
        if message.message_type() == Type::MethodCall {
            inner.call(&message).await;
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn call(&self, message: &Message) {
        let header = message.header();
        let member = header.member().unwrap().as_str().to_owned();
        self.state().log.push(member.clone());
        let refusal = self.state().refusal;
        if let Some(name) = refusal {
            return self.refuse(message, name).await;
        }
        if member == "GetAll" {
            return self.reply(message, &self.properties()).await;
        }
        if index(message) != INDEX.cast_signed() {
            return self.refuse(message, "org.freedesktop.resolve1.NoSuchLink").await;
        }
        let body = message.body();
        match member.as_str() {
            "SetLinkDNS" => {
                let (_, servers): (i32, Vec<(i32, Vec<u8>)>) = body.deserialize().unwrap();
                self.state().link.servers = servers;
            }
            "SetLinkDomains" => {
                let (_, domains): (i32, Vec<(String, bool)>) = body.deserialize().unwrap();
                self.state().link.domains = domains;
            }
            "SetLinkDefaultRoute" => {
                let (_, is_default): (i32, bool) = body.deserialize().unwrap();
                self.state().link.default_route = Some(is_default);
            }
            "RevertLink" => self.state().link = Link::default(),
            "GetLink" => {
                let path = ObjectPath::try_from("/org/freedesktop/resolve1/link/_37").unwrap();
                return self.reply(message, &path).await;
            }
            _ => return self.refuse(message, "org.freedesktop.DBus.Error.UnknownMethod").await,
        }
        self.reply(message, &()).await;
    }

    fn properties(&self) -> HashMap<&'static str, Variant<'static>> {
        let link = self.state().link.clone();
        HashMap::from([("DNS", Variant::from(link.servers)), ("Domains", Variant::from(link.domains))])
    }

    async fn reply<B: Serialize + DynamicType>(&self, message: &Message, body: &B) {
        self.connection.reply(&message.header(), body).await.unwrap();
    }

    async fn refuse(&self, message: &Message, name: &'static str) {
        self.connection.reply_error(&message.header(), name, &"not so").await.unwrap();
    }
}

/// The first argument of each method but `GetAll`.
fn index(message: &Message) -> i32 {
    let body = message.body();
    let alone = body.deserialize::<i32>();
    let with_servers = || body.deserialize::<(i32, Vec<(i32, Vec<u8>)>)>().map(|(index, _)| index);
    let with_domains = || body.deserialize::<(i32, Vec<(String, bool)>)>().map(|(index, _)| index);
    let with_flag = || body.deserialize::<(i32, bool)>().map(|(index, _)| index);
    alone.or_else(|_| with_servers()).or_else(|_| with_domains()).or_else(|_| with_flag()).unwrap()
}

/// A `resolvconf` that notes what it is told.
pub(super) struct FakeResolvconf {
    directory: PathBuf,
}

impl FakeResolvconf {
    /// In a directory, where it is found.
    pub(super) fn install(directory: &Path) -> Self {
        let fake = Self { directory: directory.to_owned() };
        fake.replace(&format!(r#"printf '%s\n' "$*" >>{0}/log; cat >>{0}/log"#, directory.display()));
        fake
    }

    /// With this for its body.
    pub(super) fn replace(&self, body: &str) {
        let program = self.directory.join("resolvconf");
        // Not written while somebody may run it.
        let new = self.directory.join("new");
        fs::write(&new, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, program).unwrap();
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}
