//! systemd-resolved: `org.freedesktop.resolve1` on D-Bus, by interface index.
//!
//! It has name servers of each interface, asks them for what is in their search domains, and those of interfaces that are a
//! default route for anything else. Calls go to the connection that owns its name, so that no question starts it.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use zbus::{Connection, DBusError as _, DynamicType, Error, OwnedObjectPath, OwnedVariant, Type};

use super::{Dns, ResolverError};
use crate::causes::chain;
use crate::dbus::Bus;

pub(super) const BUS: &str = "org.freedesktop.DBus";
pub(super) const NAME: &str = "org.freedesktop.resolve1";
const BUS_PATH: &str = "/org/freedesktop/DBus";
const PATH: &str = "/org/freedesktop/resolve1";
const MANAGER: &str = "org.freedesktop.resolve1.Manager";
const LINK: &str = "org.freedesktop.resolve1.Link";

/// How long it may think, and start.
const ANSWER: Duration = Duration::from_secs(30);

/// In D-Bus' words: the family, and the octets.
type Address = (i32, Vec<u8>);

/// A domain; is it for routing only?
type Domain = (String, bool);

/// systemd-resolved, as it runs now.
#[derive(Debug)]
pub(super) struct Resolved {
    connection: Connection,
    owner: String,
}

impl Resolved {
    /// Finds it. With `start`, it is started where it is installed and does not run.
    pub(super) async fn find(bus: &Bus, start: bool) -> Option<Self> {
        let connection = match bus.connect().await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::debug!(error = chain(&error), "no systemd-resolved");
                return None;
            }
        };
        let mut bus = Self { connection, owner: BUS.to_owned() };
        let mut owner = bus.owner_of(NAME).await;
        if owner.is_none() && start && bus.starts(NAME).await {
            owner = bus.owner_of(NAME).await;
        }
        let owner = owner?;
        if !bus.is_of_this_network(&owner).await {
            tracing::debug!("systemd-resolved is in another network namespace");
            return None;
        }
        bus.owner = owner;
        Some(bus)
    }

    /// Sets name servers and search domains of an interface.
    pub(super) async fn set(&self, bond: &str, index: u32, dns: &Dns) -> Result<(), ResolverError> {
        let result = self.tell(index, dns).await;
        result.map_err(|error| refusal(bond, index, &error))
    }

    async fn tell(&self, index: u32, dns: &Dns) -> Result<(), CallError> {
        let index = index.cast_signed();
        let servers: Vec<Address> = dns.servers.iter().map(|server| address(*server)).collect();
        let domains: Vec<Domain> = dns.search.iter().map(|domain| (domain.clone(), false)).collect();
        self.manager::<_, ()>("SetLinkDNS", &(index, servers)).await?;
        self.manager::<_, ()>("SetLinkDomains", &(index, domains)).await?;
        // A bond is how this machine reaches the world, unless it has no servers to ask.
        match self.manager("SetLinkDefaultRoute", &(index, !dns.servers.is_empty())).await {
            // Before 240 it is so by itself.
            Err(error) if error.is("UnknownMethod") => Ok(()),
            result => result,
        }
    }

    /// Does the interface have just these?
    pub(super) async fn has(&self, index: u32, dns: &Dns) -> bool {
        match self.link(index).await {
            Ok(there) => there == *dns,
            Err(error) => {
                tracing::debug!(%error, index, "systemd-resolved does not say what it has");
                false
            }
        }
    }

    async fn link(&self, index: u32) -> Result<Dns, CallError> {
        let path: OwnedObjectPath = self.manager("GetLink", &index.cast_signed()).await?;
        let properties = "org.freedesktop.DBus.Properties";
        let mut all: HashMap<String, OwnedVariant> =
            self.call(path.as_str(), properties, "GetAll", &LINK).await?;
        let mut take = |name: &str| all.remove(name).ok_or_else(|| CallError::Failed(format!("no {name}")));
        let servers: Vec<Address> = take("DNS")?.try_into()?;
        let domains: Vec<Domain> = take("Domains")?.try_into()?;
        Ok(Dns {
            servers: servers.into_iter().filter_map(|(_, octets)| ip(&octets)).collect(),
            search: domains.into_iter().map(|(domain, _)| domain).collect(),
        })
    }

    /// Takes back what was set.
    pub(super) async fn revert(&self, bond: &str, index: u32) -> Result<(), ResolverError> {
        match self.manager("RevertLink", &index.cast_signed()).await {
            Err(error) if error.is("NoSuchLink") => Ok(()),
            result => result.map_err(|error| refusal(bond, index, &error)),
        }
    }

    // ---- the bus -------------------------------------------------------------------------------------------------

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
            tracing::debug!(%error, "systemd-resolved does not start");
        }
        started.is_ok()
    }

    /// Do interface indices mean the same to it? Where we may not look, they do: few have it otherwise.
    async fn is_of_this_network(&self, owner: &str) -> bool {
        let pid: Result<u32, _> = self.call(BUS_PATH, BUS, "GetConnectionUnixProcessID", &owner).await;
        let Ok(pid) = pid else { return true };
        let inode = |path: &str| fs::metadata(path).map(|entry| entry.ino());
        match (inode("/proc/thread-self/ns/net"), inode(&format!("/proc/{pid}/ns/net"))) {
            (Ok(ours), Ok(its)) => ours == its,
            (Err(_), _) | (_, Err(_)) => true,
        }
    }

    async fn manager<B, R>(&self, method: &str, body: &B) -> Result<R, CallError>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        self.call(PATH, MANAGER, method, body).await
    }

    async fn call<B, R>(&self, path: &str, interface: &str, method: &str, body: &B) -> Result<R, CallError>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        let call =
            self.connection.call_method(Some(self.owner.as_str()), path, Some(interface), method, body);
        let answer = timeout(ANSWER, call).await.map_err(|_| CallError::Failed("no answer".to_owned()))??;
        Ok(answer.body().deserialize()?)
    }
}

/// A call that came to nothing.
#[derive(Debug, thiserror::Error)]
enum CallError {
    /// It refuses: the error's name, and what it says about it.
    #[error("{0}: {1}")]
    Refused(String, String),
    /// It did not arrive, or not in time, or was not understood.
    #[error("{0}")]
    Failed(String),
}

impl CallError {
    fn is(&self, last_part: &str) -> bool {
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

fn refusal(bond: &str, index: u32, error: &CallError) -> ResolverError {
    let (bond, problem) = (bond.to_owned(), error.to_string());
    if error.is("LinkBusy") {
        ResolverError::Managed { bond }
    } else if error.is("NoSuchLink") {
        ResolverError::Unknown { bond, index }
    } else if error.is("AccessDenied") || error.is("InteractiveAuthorizationRequired") {
        ResolverError::Denied { bond, problem }
    } else {
        ResolverError::Refused { bond, problem }
    }
}

fn address(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(address) => (nix::libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (nix::libc::AF_INET6, address.octets().to_vec()),
    }
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(octets.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}
