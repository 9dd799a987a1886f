//! Other programs that manage interfaces, and how they are kept off a bond's ports.
//!
//! Two of them read files below `/run`, and are told there: nothing of the user's is edited, a reboot forgets it, and
//! what is removed is as it was. The others are only looked for, and named with what the user can do about them.
//!
//! Told by its file alone, either of the two clears an interface that it lets go of, and NetworkManager switches it off.
//! NetworkManager leaves as it is what it is told of singly, by D-Bus, before; and has to be told singly to manage that
//! again. systemd-networkd knows no such thing: it is told of ports when they have nothing any more.
//!
//! | module | what |
//! |---|---|
//! | `drop_ins` | what NetworkManager and systemd-networkd are told: files |
//! | `bus` | whether they are there, and that they read their files again |
//! | `devices` | that NetworkManager lets go of an interface with what that has, and takes it again |
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
mod devices;
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

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::PathBuf;

pub use self::dhcpcd::{FixError, Fixed};
use hitless_core::mac::MacAddr;

use crate::dbus::Bus;
use bus::{Presence, Service};
use pattern::fits;

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
    /// NetworkManager does not tell of its interfaces.
    #[error(
        "NetworkManager does not tell which interfaces it manages, and may take their addresses away when it lets go of \
         them: {reason}; `nmcli device` shows whether it works"
    )]
    Devices {
        /// What it says.
        reason: String,
    },
    /// NetworkManager does not let go of an interface, or does not take it again.
    #[error(
        "NetworkManager was to {} {device}: {reason}; `nmcli device set {device} managed {}` makes it",
        if *managed { "manage again" } else { "let go of" },
        if *managed { "yes" } else { "no" }
    )]
    Device {
        /// Which one.
        device: String,
        /// Is it to manage it?
        managed: bool,
        /// What it says.
        reason: String,
    },
}

/// How far the taking of interfaces has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// They still have what is to be taken.
    Before,
    /// They have nothing any more that could be lost.
    After,
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

    /// Keeps them off these bonds, as far as it costs their ports nothing of what these have: to be called before one is
    /// taken. NetworkManager lets go of an interface as it is. systemd-networkd, where it runs, clears what it lets go of:
    /// it hears only of the bond itself. [`Keeper::keep_off`] is to follow when they have been taken.
    pub async fn prepare(&mut self, bonds: &[Kept]) -> Vec<Outcome> {
        self.tell_all(bonds, Stage::Before).await
    }

    /// Keeps them off these bonds and no others; without any, everything is left to them again. To be called whenever bonds
    /// or ports have changed; where nothing has, nothing is written, and nobody is told. What failed is tried again by the
    /// next call.
    pub async fn keep_off(&mut self, bonds: &[Kept]) -> Vec<Outcome> {
        self.tell_all(bonds, Stage::After).await
    }

    async fn tell_all(&self, bonds: &[Kept], stage: Stage) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for manager in Manager::ALL {
            outcomes.push(Outcome { manager, result: self.tell(manager, bonds, stage).await });
        }
        outcomes
    }

    async fn tell(&self, manager: Manager, bonds: &[Kept], stage: Stage) -> Result<Told, KeepError> {
        let presence = bus::presence(&self.places, manager).await;
        let bonds = match (&presence, manager, stage) {
            (Presence::Elsewhere, _, _) => return Ok(Told::NotThere),
            (Presence::NotThere, _, _) => Vec::new(),
            (Presence::Running(_), Manager::Networkd, Stage::Before) => self.without_new_ports(bonds),
            (Presence::Running(_) | Presence::Stopped, _, _) => bonds.to_vec(),
        };
        let loans = Loans::of(&self.places, manager, &bonds);
        let wanted = drop_ins::wanted(manager, &bonds, &loans.kept);
        let is_news = drop_ins::is_news(&self.places, manager, &wanted);
        match presence {
            Presence::Running(service) if is_news => {
                self.tell_now(&service, manager, &bonds, loans).await.map(|()| Told::Now)
            }
            Presence::Stopped if is_news => {
                drop_ins::write_all(&self.places, manager, &wanted, &loans.ended)?;
                // It remembers what it let go of, also when it starts anew.
                if loans.ended.is_empty() {
                    drop_ins::mark_read(&self.places, manager)?;
                }
                Ok(Told::WhenItStarts)
            }
            Presence::Running(_) | Presence::Stopped => Ok(Told::Unchanged),
            Presence::NotThere | Presence::Elsewhere => {
                if is_news {
                    drop_ins::write_all(&self.places, manager, &wanted, &BTreeSet::new())?;
                    drop_ins::mark_read(&self.places, manager)?;
                }
                Ok(Told::NotThere)
            }
        }
    }

    /// Tells one that runs. Its interfaces first: what it lets go of singly, it leaves as it is. Where that fails, the rest
    /// is done all the same.
    async fn tell_now(
        &self,
        service: &Service,
        manager: Manager,
        bonds: &[Kept],
        mut loans: Loans,
    ) -> Result<(), KeepError> {
        let devices = match manager {
            Manager::NetworkManager => service.devices().await,
            Manager::Networkd => Ok(Vec::new()),
        };
        let (devices, mut first) = match devices {
            Ok(devices) => (devices, Ok(())),
            Err(error) => (Vec::new(), Err(error)),
        };
        let managed = devices.iter().filter(|device| device.managed).map(|device| &device.interface);
        // Whoever gives a bond its addresses is not to find those of its ports there.
        let own: Vec<Kept> = bonds.iter().filter(|kept| !kept.external).cloned().collect();
        loans.kept.extend(managed.filter(|name| is_port(&own, name)).cloned());
        let wanted = drop_ins::wanted(manager, bonds, &loans.kept);
        drop_ins::write_all(&self.places, manager, &wanted, &loans.ended)?;
        for device in devices.iter().filter(|device| loans.kept.contains(&device.interface)) {
            first = first.and(service.manage(device, false).await);
        }
        service.reload(manager).await.map_err(|reason| KeepError::Reload { manager, reason })?;
        let mut taken_again = Ok(());
        for device in devices.iter().filter(|device| loans.ended.contains(&device.interface)) {
            taken_again = taken_again.and(service.manage(device, true).await);
        }
        taken_again?;
        drop_ins::mark_read(&self.places, manager)?;
        first
    }

    /// The same bonds with those ports only that systemd-networkd was told of before. Of a bond whose addresses are somebody
    /// else's it hears everything at once: those of ports are not wanted there.
    fn without_new_ports(&self, bonds: &[Kept]) -> Vec<Kept> {
        let mut bonds = bonds.to_vec();
        for kept in bonds.iter_mut().filter(|kept| !kept.external) {
            let named = drop_ins::named(&self.places, &kept.bond);
            kept.interfaces.retain(|name| named.contains(name));
        }
        bonds
    }
}

/// What NetworkManager has let go of for us. It remembers that itself, longer than it runs: it has to be told otherwise.
#[derive(Debug, Default)]
struct Loans {
    /// What is still ours.
    kept: BTreeSet<String>,
    /// What it is to manage again.
    ended: BTreeSet<String>,
}

impl Loans {
    fn of(places: &Places, manager: Manager, bonds: &[Kept]) -> Self {
        let lent = match manager {
            Manager::NetworkManager => drop_ins::lent(places),
            Manager::Networkd => BTreeSet::new(),
        };
        let (kept, ended) = lent.into_iter().partition(|name| is_port(bonds, name));
        Self { kept, ended }
    }
}

/// Is this interface a port of one of these?
fn is_port(bonds: &[Kept], interface: &str) -> bool {
    ports(bonds).any(|port| fits(port, interface))
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

/// Does NetworkManager run in this network namespace?
pub fn network_manager_runs(places: &Places) -> bool {
    processes::of_this_network(places).iter().any(|process| process.program() == "NetworkManager")
}

/// By what a DHCPv4 server knows this interface (with this index and hardware address), which a client on it has an address
/// for: its client identifier; `None`: the hardware address, as far as that can be told.
pub fn client_id(places: &Places, interface: &str, index: u32, mac: MacAddr) -> Option<Vec<u8>> {
    identity::of(places, interface, index, mac)
}

/// By what DHCPv6 servers know this interface, in the form that it has in DHCPv4: IAID and DUID (RFC 4361); `None`: that
/// cannot be told.
pub fn client_id6(places: &Places, interface: &str, index: u32, mac: MacAddr) -> Option<Vec<u8>> {
    identity::of_dhcp6(places, interface, index, mac)
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
