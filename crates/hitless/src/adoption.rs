//! What a bond has to be like that is built around interfaces in use: worked out from what these have.
//!
//! Responsible for that, for the section of the configuration file that says it, and for the record of a bond that is on
//! trial. Not responsible for building the bond, nor for when the trial ends: the daemon does that.

mod ipv6;
pub mod record;
mod section;
pub mod survey;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use hitless_core::mac::MacAddr;
use hitless_linux::address::Address;

use self::survey::InUse;
use crate::config::{self, AddrGenMode, Bond, Config, DriverChoice, LoadError, Report};
use crate::file;
use crate::resolver::Dns;

/// What the user wants.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// The interfaces, in order of preference.
    pub ports: &'a [InUse],
    /// The bond's name; `None`: the first that is free.
    pub bond: Option<&'a str>,
    /// What is to carry its frames.
    pub driver: DriverChoice,
    /// Our end of the connection that has to go on.
    pub session: Option<SocketAddr>,
    /// Does NetworkManager run?
    pub network_manager: bool,
    /// The names of all interfaces that there are.
    pub taken: &'a [String],
    /// Name servers that go with the interfaces, and would be forgotten with their addresses.
    pub dns: Dns,
}

/// What is to be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The bond.
    pub bond: Bond,
    /// The whole configuration with it.
    pub config: Config,
    /// Its section of the configuration file.
    pub section: String,
    /// The interface that was in use.
    pub from: String,
    /// Its hardware address, which is to be the bond's.
    pub mac: MacAddr,
    /// What will be moved: all addresses, with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The gateways of default routes that will be moved.
    pub gateways: Vec<IpAddr>,
    /// The address that a server has lent, and should lend again.
    pub leased: Option<Ipv4Addr>,
    /// What the user should know or do.
    pub notes: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// No interface was named.
    #[error("name the interfaces that the bond is to be made of, such as: hitless adopt eth0 wlan0")]
    NoPorts,
    /// None of the interfaces has an address.
    #[error(
        "none of {} is in use, so there is nothing to adopt: write the configuration file, or give one an address first",
        ports.join(", ")
    )]
    NotInUse {
        /// The interfaces.
        ports: Vec<String>,
    },
    /// The interface has no hardware address.
    #[error("{port} cannot be a port: it has no Ethernet address")]
    NoMac {
        /// The interface.
        port: String,
    },
    /// Nobody would make the station join its network again.
    #[error(
        "{port} carries this session over Wi-Fi that NetworkManager has joined, and hitless knows no network for it: write \
         [[wifi.{port}.network]] into {file} first, or come by the cable"
    )]
    UnknownNetwork {
        /// The station.
        port: String,
        /// The configuration file.
        file: String,
    },
    /// The session uses an address that stays with its interface.
    #[error(
        "this session goes by {0}, which is an address of the link and would stay behind: come by another address"
    )]
    LinkLocal(IpAddr),
    /// The section cannot be put into the configuration file.
    #[error("the section for {bond} does not go with the rest of the configuration\n{report}")]
    Section {
        /// The bond.
        bond: String,
        /// What is wrong.
        report: Report,
    },
}

/// The section cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file has changed meanwhile, and the section does not go with it.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// The kernel refused.
    #[error("cannot write {}: the trial goes on; mend that, and confirm again", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl Plan {
    /// What to know where each port keeps its own hardware address, and the bond has that of the active one: why, and which
    /// it has now.
    pub fn note_of_own_macs(&self, why: &str, mac: MacAddr) -> String {
        let now = if mac == self.mac {
            ", which changes at a failover".to_owned()
        } else {
            format!(": {mac} now, not {}", self.mac)
        };
        let made_of_it = match self.bond.ip.addr_gen_mode {
            Some(AddrGenMode::Eui64) => "; IPv6 addresses that are made of it change with it",
            Some(AddrGenMode::StablePrivacy) | None => "",
        };
        format!(
            "each port keeps its own hardware address, and the bond has that of the active one{now} ({why}){made_of_it}"
        )
    }
}

/// Works out what to build. `text` is the configuration as it is, `file` what it is called.
///
/// # Errors
///
/// See [`PlanError`].
pub fn plan(wish: &Wish<'_>, text: &str, file: &str) -> Result<Plan, PlanError> {
    let from = carrying(wish)?;
    let mac = from.link.mac.ok_or_else(|| PlanError::NoMac { port: from.link.name.clone() })?;
    let bond = wish.bond.map_or_else(|| free_name(wish, text), str::to_owned);
    let section = section::section(wish, &bond, from, mac);
    let invalid = |report| PlanError::Section { bond: bond.clone(), report };
    let config = config::parse(&joined(text, &section.text), file).map_err(invalid)?;
    // It was put there by us, under a name that the rest does not have: otherwise it would be told as an error.
    let Some(built) = config.bond(&bond).cloned() else { return Err(PlanError::NoPorts) };
    if from.wireless && wish.network_manager && !knows_network(from, &config) {
        return Err(PlanError::UnknownNetwork { port: from.link.name.clone(), file: file.to_owned() });
    }
    let moved =
        || wish.ports.iter().flat_map(|port| &port.addresses).filter(|address| !is_of_the_link(address));
    Ok(Plan {
        bond: built,
        notes: notes(wish, &config, section.notes),
        config,
        from: from.link.name.clone(),
        mac,
        addresses: moved().map(|address| (address.address, address.prefix_len)).collect(),
        gateways: wish.ports.iter().flat_map(survey::gateways).collect(),
        leased: section.leased,
        section: section.text,
    })
}

/// Adds the section to the configuration file, which is made if it is not there.
///
/// # Errors
///
/// When the file cannot be read or written, or the section no longer goes with it. It is as it was then.
pub fn write(path: &Path, section: &str) -> Result<(), WriteError> {
    // A symlink is the user's, and stays one.
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => path.to_owned(),
        Err(source) => return Err(WriteError::Write { path: path.to_owned(), source }),
    };
    let text = config::text(&path)?;
    let text = joined(&text, section);
    config::parse(&text, &path.display().to_string()).map_err(LoadError::from)?;
    file::replace_text(&path, &text).map_err(|source| WriteError::Write { path, source })
}

fn joined(text: &str, section: &str) -> String {
    let text = text.trim_end();
    if text.is_empty() { section.to_owned() } else { format!("{text}\n\n{section}") }
}

/// The interface that is in use: by the session, else by the best default route, else by an address.
fn carrying<'a>(wish: &Wish<'a>) -> Result<&'a InUse, PlanError> {
    let names = || wish.ports.iter().map(|port| port.link.name.clone()).collect();
    if wish.ports.is_empty() {
        return Err(PlanError::NoPorts);
    }
    if let Some(session) = wish.session.map(|session| session.ip())
        && let Some((port, address)) = holder(wish, session)
    {
        return if is_of_the_link(address) { Err(PlanError::LinkLocal(session)) } else { Ok(port) };
    }
    let by_route = wish.ports.iter().filter_map(|port| Some((survey::metric(port)?, port)));
    let by_address =
        || wish.ports.iter().find(|port| port.addresses.iter().any(|address| !is_of_the_link(address)));
    by_route
        .min_by_key(|(metric, _)| *metric)
        .map(|(_, port)| port)
        .or_else(by_address)
        .ok_or_else(|| PlanError::NotInUse { ports: names() })
}

/// The interface that has an address.
fn holder<'a>(wish: &Wish<'a>, wanted: IpAddr) -> Option<(&'a InUse, &'a Address)> {
    wish.ports.iter().find_map(|port| {
        let found = port.addresses.iter().find(|address| address.address == wanted)?;
        Some((port, found))
    })
}

/// The addresses of IPv6 that every interface has by itself stay where they are.
fn is_of_the_link(address: &Address) -> bool {
    address.address.is_ipv6() && address.is_link_local()
}

fn free_name(wish: &Wish<'_>, text: &str) -> String {
    let names = (0..).map(|number| format!("bond{number}"));
    // One that the configuration has, and that is not there at present, is not free either.
    let is_free = |name: &String| !wish.taken.contains(name) && !text.contains(name.as_str());
    names.take(wish.taken.len() + text.len() + 1).find(is_free).unwrap_or_default()
}

/// Is there a network that the station is to join?
fn knows_network(port: &InUse, config: &Config) -> bool {
    let written = config.wifi.get(&port.link.name).is_some_and(|wifi| !wifi.networks.is_empty());
    written || port.known_network
}

fn notes(wish: &Wish<'_>, config: &Config, mut notes: Vec<String>) -> Vec<String> {
    if let Some(session) =
        wish.session.map(|session| session.ip()).filter(|session| holder(wish, *session).is_none())
    {
        notes.push(format!(
            "this session goes by {session}, which is of none of these interfaces: that it goes on says nothing of them"
        ));
    }
    for port in wish.ports.iter().filter(|port| port.wireless && !knows_network(port, config)) {
        notes.push(format!(
            "{0} is Wi-Fi, and hitless knows no network for it: hitless wifi connect --port {0} SSID",
            port.link.name
        ));
    }
    notes
}
