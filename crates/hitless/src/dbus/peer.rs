//! A service on the bus, and calls of its methods.
//!
//! Calls go to the connection that owns its name, never to the name, so that no question starts it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use zbus::{Connection, DBusError as _, DynamicType, Error, Type};

use super::Bus;
use crate::causes::chain;

/// The bus itself.
pub(super) const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// How long a service may think, and start.
const ANSWER: Duration = Duration::from_secs(30);

/// A service, as it runs now, for the network namespace that we are in.
#[derive(Debug)]
pub(crate) struct Peer {
    connection: Connection,
    owner: String,
}

impl Peer {
    /// Finds the one that has this name, where it runs.
    pub(crate) async fn find(bus: &Bus, name: &str) -> Option<Self> {
        let bus = Self::bus(bus, name).await?;
        let owner = bus.owner_of(name).await?;
        bus.owned_by(owner, name).await
    }

    /// The same; it is started where it is installed and does not run.
    pub(crate) async fn find_or_start(bus: &Bus, name: &str) -> Option<Self> {
        let bus = Self::bus(bus, name).await?;
        let mut owner = bus.owner_of(name).await;
        if owner.is_none() && bus.starts(name).await {
            owner = bus.owner_of(name).await;
        }
        bus.owned_by(owner?, name).await
    }

    /// Calls a method.
    ///
    /// # Errors
    ///
    /// When it refuses, is gone, or does not answer in time.
    pub(crate) async fn call<B, R>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<R, CallError>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        let call =
            self.connection.call_method(Some(self.owner.as_str()), path, Some(interface), method, body);
        let answer = timeout(ANSWER, call).await.map_err(|_| CallError::Failed("no answer".to_owned()))??;
        Ok(answer.body().deserialize()?)
    }

    // ---- the bus -------------------------------------------------------------------------------------------------

    async fn bus(bus: &Bus, name: &str) -> Option<Self> {
        match bus.connect().await {
            Ok(connection) => Some(Self { connection, owner: BUS.to_owned() }),
            Err(error) => {
                tracing::debug!(error = chain(&error), name, "not looked for on the bus");
                None
            }
        }
    }

    async fn owned_by(mut self, owner: String, name: &str) -> Option<Self> {
        if !self.is_of_this_network(&owner).await {
            tracing::debug!(name, "it is in another network namespace");
            return None;
        }
        self.owner = owner;
        Some(self)
    }

    async fn owner_of(&self, name: &str) -> Option<String> {
        self.call(BUS_PATH, BUS, "GetNameOwner", &name).await.ok()
    }

    async fn starts(&self, name: &str) -> bool {
        let names: Vec<String> =
            self.call(BUS_PATH, BUS, "ListActivatableNames", &()).await.unwrap_or_default();
        if !names.iter().any(|activatable| activatable == name) {
            return false;
        }
        let started: Result<u32, _> = self.call(BUS_PATH, BUS, "StartServiceByName", &(name, 0_u32)).await;
        if let Err(error) = &started {
            tracing::debug!(%error, name, "it does not start");
        }
        started.is_ok()
    }

    /// Do interface indices and addresses mean the same to it? Where we may not look, they do: few have it otherwise.
    async fn is_of_this_network(&self, owner: &str) -> bool {
        let pid: Result<u32, _> = self.call(BUS_PATH, BUS, "GetConnectionUnixProcessID", &owner).await;
        let Ok(pid) = pid else { return true };
        let inode = |path: &str| fs::metadata(path).map(|entry| entry.ino());
        match (inode("/proc/thread-self/ns/net"), inode(&format!("/proc/{pid}/ns/net"))) {
            (Ok(ours), Ok(its)) => ours == its,
            (Err(_), _) | (_, Err(_)) => true,
        }
    }
}

/// A call that came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// It refuses: the error's name, and what it says about it.
    #[error("{0}: {1}")]
    Refused(String, String),
    /// It did not arrive, or not in time, or was not understood.
    #[error("{0}")]
    Failed(String),
}

impl CallError {
    /// Is the last part of the error's name this?
    pub(crate) fn is(&self, last_part: &str) -> bool {
        matches!(self, Self::Refused(name, _) if name.rsplit('.').next() == Some(last_part))
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        let refused = |name: &str, text: Option<&str>| {
            Self::Refused(name.to_owned(), text.unwrap_or_default().to_owned())
        };
        if let Error::MethodError(name, text, _) = &error {
            return refused(name.as_str(), text.as_deref());
        }
        // The names that D-Bus itself knows.
        if let Error::FDO(known) = &error {
            return refused(known.name().as_str(), known.description());
        }
        Self::Failed(error.to_string())
    }
}
