//! Other programs that manage interfaces, and how they are kept off a bond's ports.
//!
//! Two of them read files below `/run`, and are told there: nothing of the user's is edited, a reboot forgets it, and
//! what is removed is as it was. The others are only looked for, and named with what the user can do about them.
//!
//! | module | what |
//! |---|---|
//! | `drop_ins` | what NetworkManager and systemd-networkd are told: files |
//! | `bus` | whether they are there, and that they read their files again |
//! | `overruled` | what of theirs comes before our files |
//! | `dhcpcd`, `ifupdown`, `netplan` | what their configuration says of ports |
//! | `clients` | DHCP clients that run on ports |
//! | `identity` | by what servers know them |
//! | `processes`, `pattern` | what these are made of |
//!
//! A manager of another network namespace is none of our business: it is neither told anything nor named.
//! Not responsible for which interfaces are ports, nor for who manages the bond itself.

mod bus;
mod clients;
mod dhcpcd;
mod drop_ins;
mod identity;
mod ifupdown;
mod netplan;
mod overruled;
mod pattern;
mod processes;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::PathBuf;

pub use self::dhcpcd::{FixError, Fixed};
use hitless_core::mac::MacAddr;

use crate::dbus::Bus;
use bus::Presence;

/// A bond, and what of it is nobody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub bond: String,
    /// Its ports: names, or patterns with `*` and `?`.
    pub interfaces: Vec<String>,
    /// Does somebody else give the bond its addresses? Then it is left to him; its ports are not.
    pub external: bool,
}

impl Kept {
    /// Every interface that managers are to leave alone. The parked peer of the ebpf driver is never anybody's.
    fn names(&self) -> Vec<String> {
        let own = (!self.external).then(|| self.bond.clone());
        self.foreign().into_iter().chain(own).collect()
    }

    /// The same without the bond: of the programs that are only looked for, any may be meant to manage it.
    fn foreign(&self) -> Vec<String> {
        self.interfaces.iter().cloned().chain([format!("{}-p", self.bond)]).collect()
    }
}

/// Where everything is; the default is for everyone but tests.
#[derive(Clone, Debug)]
pub struct Places {
    /// The bus that managers are on.
    pub bus: Bus,
    /// The root of all paths, of `/proc` and `/run` too.
    pub root: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self { bus: Bus::system(), root: PathBuf::from("/") }
    }
}

impl Places {
    /// A path, which is told as on the real machine.
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// A manager that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manager {
    /// NetworkManager.
    NetworkManager,
    /// systemd-networkd.
    Networkd,
}

impl Manager {
    const ALL: [Self; 2] = [Self::NetworkManager, Self::Networkd];

    /// How the user makes it read its files again.
    fn reload_command(self) -> &'static str {
        match self {
            Self::NetworkManager => "`nmcli general reload conf`",
            Self::Networkd => {
                "`networkctl reload` (before systemd 244: `systemctl restart systemd-networkd`)"
            }
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkManager => "NetworkManager",
            Self::Networkd => "systemd-networkd",
        })
    }
}

/// What has become of telling one manager.
#[derive(Debug)]
pub struct Outcome {
    /// Whom.
    pub manager: Manager,
    /// What.
    pub result: Result<Told, KeepError>,
}

/// What a manager knows now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is neither there nor installed, or manages another network namespace: there is nothing to tell.
    NotThere,
    /// What it was told before still holds.
    Unchanged,
    /// It has been told, and has read it.
    Now,
    /// It does not run. It reads what it is to know when it starts.
    WhenItStarts,
}

/// A manager cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Its file is not as it should be.
    #[error("cannot {what} {}, by which {manager} is kept off the ports; make its directory writable", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Whose.
        manager: Manager,
        /// What the system says.
        source: io::Error,
    },
    /// It does not read its files again.
    #[error("{manager} has not read again what it is to leave alone: {reason}; {} makes it", manager.reload_command())]
    Reload {
        /// Which one.
        manager: Manager,
        /// What it says.
        reason: String,
    },
}

/// Keeps managers off. What it has told them lies in files: the next daemon's keeper finds it and carries on.
#[derive(Debug)]
pub struct Keeper {
    places: Places,
}

impl Keeper {
    /// Nothing is done yet.
    pub fn new(places: Places) -> Self {
        Self { places }
    }

    /// Keeps them off these bonds and no others; without any, everything is left to them again. To be called before a port is touched, and whenever bonds or ports have
    /// changed; where nothing has, nothing is written, and nobody is told. What failed is tried again by the next call.
    pub async fn keep_off(&mut self, bonds: &[Kept]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for manager in Manager::ALL {
            outcomes.push(Outcome { manager, result: self.tell(manager, bonds).await });
        }
        outcomes
    }

    async fn tell(&self, manager: Manager, bonds: &[Kept]) -> Result<Told, KeepError> {
        let presence = bus::presence(&self.places, manager).await;
        let wanted = match presence {
            Presence::NotThere => drop_ins::wanted(manager, &[]),
            Presence::Stopped | Presence::Running(_) => drop_ins::wanted(manager, bonds),
        };
        let is_unread = drop_ins::sync(&self.places, manager, &wanted)?;
        if is_unread && let Presence::Running(service) = &presence {
            let reloaded = service.reload(manager).await;
            reloaded.map_err(|reason| KeepError::Reload { manager, reason })?;
        }
        if is_unread {
            drop_ins::mark_read(&self.places, manager)?;
        }
        Ok(match presence {
            Presence::NotThere => Told::NotThere,
            _ if !is_unread => Told::Unchanged,
            Presence::Running(_) => Told::Now,
            Presence::Stopped => Told::WhenItStarts,
        })
    }
}

/// Something that somebody else does, or would do, to a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The port.
    pub port: String,
    /// The program, as it is called.
    pub manager: String,
    /// What is so.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.port, self.text, self.remedy)
    }
}

/// What others do to these bonds' ports, and cannot be told by us not to. Reads; changes nothing.
pub fn findings(places: &Places, bonds: &[Kept]) -> Vec<Finding> {
    let mut found = arrangements(places, bonds);
    found.extend(clients::findings(places, bonds, &processes::of_this_network(places)));
    found.sort();
    found.dedup();
    found
}

/// Does a program run on this interface that asks for an IPv4 address for it?
pub fn has_client(places: &Places, interface: &str) -> bool {
    let processes = processes::of_this_network(places);
    processes
        .iter()
        .any(|process| clients::asks_for_ipv4(process) && clients::interfaces(process).contains(&interface))
}

/// By what a DHCPv4 server knows this interface (with this index and hardware address), which a client on it has an address
/// for: its client identifier; `None`: the hardware address, as far as that can be told.
pub fn client_id(places: &Places, interface: &str, index: u32, mac: MacAddr) -> Option<Vec<u8>> {
    identity::of(places, interface, index, mac)
}

/// The same as far as it is by configuration: without what merely runs now.
pub fn arrangements(places: &Places, bonds: &[Kept]) -> Vec<Finding> {
    let mut found = overruled::findings(places, bonds);
    found.extend(dhcpcd::findings(places, bonds, &processes::of_this_network(places)));
    found.extend(ifupdown::findings(places, bonds));
    found.extend(netplan::findings(places, bonds));
    found.sort();
    found.dedup();
    found
}

/// Puts right what can be, of what [`arrangements`] finds: where dhcpcd manages ports, a line in its file tells it not to.
/// Returns what was changed, or nothing where nothing had to be.
///
/// # Errors
///
/// When its file cannot be read or replaced; it is as it was then.
pub fn fix(places: &Places, bonds: &[Kept]) -> Result<Option<Fixed>, FixError> {
    if dhcpcd::findings(places, bonds, &processes::of_this_network(places)).is_empty() {
        return Ok(None);
    }
    dhcpcd::fix(places, bonds)
}

/// All ports of all bonds.
fn ports(bonds: &[Kept]) -> impl Iterator<Item = &String> {
    bonds.iter().flat_map(|kept| &kept.interfaces)
}
