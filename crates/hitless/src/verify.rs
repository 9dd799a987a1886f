//! The checklist of a careful administrator: does everything about a bond and its surroundings hold?
//!
//! Responsible for the judgement: from [`Facts`], what the daemon and the kernel say, to one [`Line`] for each check.
//! What is read is in [`collect`], what is printed in the command line. Nothing is changed here or there.

mod addresses;
pub mod clients;
pub mod collect;
mod kernel;
mod others;
mod ports;
#[cfg(test)]
mod tests;
mod wifi;
mod wires;

use std::collections::BTreeMap;

use hitless_api as api;
use hitless_core::mac::MacAddr;
use hitless_linux::address::Address;
use hitless_linux::route::Route;
use serde::Serialize;

use self::clients::Client;
use crate::managers::Finding;

/// What was read, or why it could not be.
pub type Seen<T> = Result<T, String>;

/// All that is judged, as it was at one moment.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What the daemon says of the bond.
    pub bond: api::Bond,
    /// All interfaces of the network namespace.
    pub interfaces: Vec<Interface>,
    /// Our own programs in the kernel; `None` where there are none. Looked at with the `ebpf` driver only.
    pub datapath: Seen<Option<Datapath>>,
    /// The DHCP clients that run.
    pub clients: Seen<Vec<Client>>,
    /// What other managers are set up to do to its ports.
    pub others: Vec<Finding>,
    /// Do wired standby ports hear what the wired active port sends? By name.
    pub heard: BTreeMap<String, Seen<bool>>,
}

/// What the kernel says of an interface.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Is it switched on?
    pub up: bool,
    /// Is it the loopback interface?
    pub loopback: bool,
    /// Its hardware address.
    pub mac: Option<MacAddr>,
    /// The bond or bridge that it is a port of, by index.
    pub master: Option<u32>,
    /// Where it is a bond of Linux bonding.
    pub bonding: Option<Bonding>,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// The routes through it, of all tables.
    pub routes: Vec<Route>,
    /// Its settings.
    pub settings: Seen<Settings>,
}

/// What Linux bonding says of a bond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bonding {
    /// By its name.
    pub mode: String,
    /// The active port, by index.
    pub active: Option<u32>,
}

/// Settings of an interface as they are in force: the greater one, where there is one for all interfaces, too. `None`
/// where the kernel does not have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Are packets dropped that would not be answered through the interface: 0 no, 1 yes, 2 through any?
    pub rp_filter: Option<i32>,
    /// Which ARP requests are not answered.
    pub arp_ignore: Option<i32>,
    /// Is IPv6 switched off?
    pub ipv6_disabled: Option<bool>,
}

/// Our own programs in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Datapath {
    /// The ports that they are attached to, by index.
    pub attached: Vec<u32>,
    /// The ports that frames leave by.
    pub transmit: Vec<u32>,
}

/// What became of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as it should be.
    Holds,
    /// It is not.
    Fails,
    /// It could not be found out.
    Unknown,
    /// There is nothing to judge, but something to know.
    Note,
}

/// A check, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Which.
    pub check: &'static str,
    /// Does it hold?
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What to do, where there is something to do.
    pub remedy: Option<String>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug)]
struct Fault {
    seen: String,
    remedy: String,
}

/// Every check of a bond. Of a bond whose interface is not there, there is only that to say.
pub fn checklist(facts: &Facts) -> Vec<Line> {
    let Some(bond) = facts.interfaces.iter().find(|interface| interface.name == facts.bond.name) else {
        return vec![kernel::missing(&facts.bond)];
    };
    vec![
        kernel::link(facts, bond),
        kernel::driver(facts, bond),
        ports::active(&facts.bond),
        addresses::routes(facts, bond),
        addresses::of_ports(facts),
        addresses::of_the_bond(facts, bond),
        clients::line(facts),
        others::line(facts),
        wifi::mac(facts, bond),
        wifi::association(&facts.bond),
        ports::segment(facts),
        kernel::rp_filter(facts, bond),
        kernel::arp_ignore(bond),
        kernel::ipv6_on_ports(facts),
        ports::failures(&facts.bond),
    ]
}

/// What came of all checks together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// [`Verdict::Holds`] only where no line fails and none is unknown; what fails counts more than what is not known.
    pub verdict: Verdict,
    /// How many lines hold.
    pub holds: usize,
    /// How many do not.
    pub fails: usize,
    /// How many could not be found out.
    pub unknown: usize,
    /// In how many there is nothing to judge.
    pub notes: usize,
}

impl Summary {
    /// Of these lines. Where there are none, nothing holds.
    pub fn of<'a>(lines: impl Iterator<Item = &'a Line>) -> Self {
        let mut summary = Self { verdict: Verdict::Fails, holds: 0, fails: 0, unknown: 0, notes: 0 };
        for line in lines {
            let count = match line.verdict {
                Verdict::Holds => &mut summary.holds,
                Verdict::Fails => &mut summary.fails,
                Verdict::Unknown => &mut summary.unknown,
                Verdict::Note => &mut summary.notes,
            };
            *count += 1;
        }
        summary.verdict = match (summary.holds + summary.notes, summary.fails, summary.unknown) {
            (0, 0, 0) | (_, 1.., _) => Verdict::Fails,
            (_, 0, 1..) => Verdict::Unknown,
            (_, 0, 0) => Verdict::Holds,
        };
        summary
    }
}

impl Facts {
    /// The ports of the bond that are there and not kept out of it, each with what the kernel says of it.
    fn ports(&self) -> impl Iterator<Item = (&api::Port, &Interface)> {
        let attached = self.bond.ports.iter().filter(|port| !ports::is_kept_out(port));
        attached.filter_map(|port| {
            let same = |link: &&Interface| Some(link.index) == port.index && link.name == port.name;
            Some((port, self.interfaces.iter().find(same)?))
        })
    }

    /// The names of those ports.
    fn port_names(&self) -> String {
        named(self.ports().map(|(port, _)| port.name.as_str()), "no port")
    }

    fn name_of(&self, index: u32) -> String {
        let found = self.interfaces.iter().find(|interface| interface.index == index);
        found.map_or_else(|| format!("interface {index}"), |interface| interface.name.clone())
    }
}

impl Line {
    fn holds(check: &'static str, seen: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Holds, seen: seen.into(), remedy: None }
    }

    fn note(check: &'static str, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, ..Self::holds(check, seen) }
    }

    fn unknown(check: &'static str, seen: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::holds(check, seen) }
    }

    fn fails(check: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fails, remedy: Some(remedy.into()), ..Self::holds(check, seen) }
    }

    /// Fails with all of these, or is this where there are none.
    fn unless(faults: Vec<Fault>, otherwise: Self) -> Self {
        if faults.is_empty() {
            return otherwise;
        }
        let (seen, mut remedies): (Vec<_>, Vec<_>) =
            faults.into_iter().map(|fault| (fault.seen, fault.remedy)).unzip();
        remedies.dedup();
        Self::fails(otherwise.check, seen.join("; "), remedies.join("; "))
    }
}

impl Fault {
    fn new(seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { seen: seen.into(), remedy: remedy.into() }
    }
}

/// These names, or what to say where there are none.
fn named<'a>(names: impl Iterator<Item = &'a str>, none: &str) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

/// The command that sets a value. With a dot in the interface's name, `sysctl` wants slashes.
fn sysctl(family: &str, interface: &str, setting: &str, value: i32) -> String {
    let separator = if interface.contains('.') { "/" } else { "." };
    let path = ["net", family, "conf", interface, setting].join(separator);
    format!("sysctl -w {path}={value}")
}
