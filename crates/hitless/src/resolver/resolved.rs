//! systemd-resolved: `org.freedesktop.resolve1` on D-Bus, by interface index.
//!
//! It has name servers of each interface, asks them for what is in their search domains, and those of interfaces that are a
//! default route for anything else.

use std::collections::HashMap;
use std::net::IpAddr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::{DynamicType, OwnedObjectPath, OwnedVariant, Type};

use super::{Dns, ResolverError};
use crate::dbus::Bus;
use crate::dbus::peer::{CallError, Peer};

pub(super) const NAME: &str = "org.freedesktop.resolve1";
const PATH: &str = "/org/freedesktop/resolve1";
const MANAGER: &str = "org.freedesktop.resolve1.Manager";
const LINK: &str = "org.freedesktop.resolve1.Link";

/// In D-Bus' words: the family, and the octets.
type Address = (i32, Vec<u8>);

/// A domain; is it for routing only?
type Domain = (String, bool);

/// systemd-resolved, as it runs now.
#[derive(Debug)]
pub(super) struct Resolved(Peer);

impl Resolved {
    /// Finds it. With `start`, it is started where it is installed and does not run.
    pub(super) async fn find(bus: &Bus, start: bool) -> Option<Self> {
        let found = if start { Peer::find_or_start(bus, NAME).await } else { Peer::find(bus, NAME).await };
        found.map(Self)
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
            self.0.call(path.as_str(), properties, "GetAll", &LINK).await?;
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

    async fn manager<B, R>(&self, method: &str, body: &B) -> Result<R, CallError>
    where
        B: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        self.0.call(PATH, MANAGER, method, body).await
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
