//! What goes into a bond's machine and what comes out of it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::BondConfig;
use crate::mac::MacAddr;
use crate::table::ForwardingTable;
use crate::wifi::{Ssid, Station};

/// One appearance of an interface as a port: the kernel's interface index.
///
/// An interface that is unplugged and comes back is another port, also where its name is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub u32);

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {}", self.0)
    }
}

/// What is known of a port's interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInfo {
    /// The interface's name.
    pub name: String,
    /// The address that the interface has of its own: what it had before it was attached.
    pub permanent_mac: MacAddr,
    /// In Mbit/s, where the driver says it.
    pub speed_mbps: Option<u32>,
    /// Where the driver says it.
    pub duplex: Option<Duplex>,
    /// Is it a Wi-Fi station, which can send from its own address only?
    pub wireless: bool,
}

/// Whether a link carries frames both ways at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Duplex {
    /// One way at a time.
    Half,
    /// Both ways at once.
    Full,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// An interface that the configuration matches is there.
    PortAppeared {
        /// The port.
        port: PortId,
        /// What is known of it.
        info: PortInfo,
    },
    /// The interface is gone.
    PortVanished {
        /// The port.
        port: PortId,
    },
    /// Its name, speed or duplex changed.
    PortChanged {
        /// The port.
        port: PortId,
        /// What is known of it now.
        info: PortInfo,
    },
    /// What the port's driver says of its link. May be said again without a change.
    Carrier {
        /// The port.
        port: PortId,
        /// Is there a carrier?
        up: bool,
    },
    /// What is known of a Wi-Fi port's association. May be said again without a change.
    Station {
        /// The port.
        port: PortId,
        /// How it is.
        station: Station,
    },
    /// The keys of a Wi-Fi port were renewed: the access point may have announced the station anew.
    Rekeyed {
        /// The port.
        port: PortId,
    },
    /// The machine has slept: everything that was learnt from others may be out of date.
    Resumed,
    /// A frame came in on a port that is listened on.
    Frame {
        /// The port.
        port: PortId,
        /// From the Ethernet header on.
        frame: Vec<u8>,
    },
    /// An action is done, or failed.
    Done {
        /// Which one.
        action: ActionId,
        /// How it went.
        result: Result<Outcome, Failure>,
    },
    /// Make this port active at once.
    Switch {
        /// The port.
        port: PortId,
    },
    /// Work by these options from now on.
    Configure(Box<BondConfig>),
    /// What the driver has, as opposed to what the machine wants.
    Observed(Observation),
}

/// Names one action of one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub u64);

/// What the caller has to do. Every one is answered with [`Event::Done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the interface a port of the bond.
    Attach {
        /// The port.
        port: PortId,
        /// The address it is to have, where it is not to keep its own.
        mac: Option<MacAddr>,
    },
    /// Give the interface back as it was found.
    Detach {
        /// The port.
        port: PortId,
    },
    /// Make this the forwarding table.
    Program(ForwardingTable),
    /// Give the bond this address.
    SetBondMac(MacAddr),
    /// Give an attached port this address.
    SetPortMac {
        /// The port.
        port: PortId,
        /// The address.
        mac: MacAddr,
    },
    /// Give the bond a carrier, or take it away.
    SetCarrier(bool),
    /// Tell peers through this port where the bond's addresses are now.
    NotifyPeers {
        /// The port.
        port: PortId,
    },
    /// Find out whom a returning port could be proven with: the bond's gateways, else neighbours that answered lately.
    /// Answered with [`Outcome::Targets`].
    FindTargets,
    /// Hand up ([`Event::Frame`]) the ARP and neighbour discovery frames that come in on this port, or stop it.
    Listen {
        /// The port.
        port: PortId,
        /// Start or stop?
        on: bool,
        /// An address that the interface is to accept meanwhile, beside its own.
        also: MacAddr,
    },
    /// Send this frame on this port itself.
    Send {
        /// The port.
        port: PortId,
        /// From the Ethernet header on.
        frame: Vec<u8>,
    },
    /// Count what the port has received. Answered with [`Outcome::Received`].
    CountReceived {
        /// The port.
        port: PortId,
    },
    /// Let a Wi-Fi port sleep between beacons, where it did when it was found, or keep it awake.
    SetPowerSave {
        /// The port.
        port: PortId,
        /// May it sleep?
        on: bool,
    },
}

/// How an action that succeeded went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// Whom a port can be proven with.
    Targets(Vec<IpAddr>),
    /// Frames received since the interface exists.
    Received(u64),
}

/// Why an action failed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// What the driver has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The bond's address.
    pub bond_mac: Option<MacAddr>,
    /// Does the bond have a carrier?
    pub carrier: bool,
    /// The forwarding table that is in force.
    pub table: ForwardingTable,
    /// The attached ports with their present addresses.
    pub attached: Vec<(PortId, MacAddr)>,
}

/// What a driver does by itself, so that the machine need not ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Addresses of bond and ports, by fail-over-mac.
    pub macs: bool,
    /// Peer notifications.
    pub notifications: bool,
    /// The bond's carrier, by min-links.
    pub carrier: bool,
    /// Which ports frames leave by, of those that have a link.
    pub forwarding: bool,
}

/// The state of a port's link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// Not there.
    #[default]
    Down,
    /// There, waiting for updelay.
    Back,
    /// Gone, waiting for downdelay.
    Fail,
    /// There.
    Up,
}

impl LinkState {
    /// May traffic use the port? (A port in downdelay is still used.)
    pub fn is_usable(self) -> bool {
        match self {
            Self::Up | Self::Fail => true,
            Self::Down | Self::Back => false,
        }
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Down => "down",
            Self::Back => "back",
            Self::Fail => "fail",
            Self::Up => "up",
        })
    }
}

/// Why the active port changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The bond had no active port.
    FirstPort,
    /// The active port lost its carrier.
    CarrierLost,
    /// Probes through the active port were not answered.
    ProbesLost,
    /// The active port's access point is not heard any more.
    BeaconsLost,
    /// The active port's access point sent it away.
    Deauthenticated,
    /// The active port's signal is too weak.
    SignalLow,
    /// The active port has joined another network.
    OtherNetwork,
    /// The active port's interface is gone.
    PortVanished,
    /// The active port was taken out of the bond, by the configuration or by someone else.
    PortRemoved,
    /// The driver refused to use the active port.
    PortRefused,
    /// A better port is there.
    BetterPort,
    /// Someone asked for it.
    Manual,
    /// The options changed.
    Configuration,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstPort => "first usable port",
            Self::CarrierLost => "carrier lost",
            Self::ProbesLost => "probes not answered",
            Self::BeaconsLost => "access point not heard any more",
            Self::Deauthenticated => "sent away by the access point",
            Self::SignalLow => "signal too weak",
            Self::OtherNetwork => "joined another network",
            Self::PortVanished => "interface gone",
            Self::PortRemoved => "port taken out of the bond",
            Self::PortRefused => "refused by the driver",
            Self::BetterPort => "better port",
            Self::Manual => "asked for",
            Self::Configuration => "configuration changed",
        })
    }
}

/// What a port waits for before it can be used, or used in preference to the active one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The interface does not exist.
    Interface,
    /// The driver could not attach it; tried again.
    Attach(Failure),
    /// The carrier.
    Carrier,
    /// An access point to join.
    Association,
    /// Its access point to be heard again.
    Beacons,
    /// Another network than the one that it has joined, which `ssid-allow` does not name.
    Network(Ssid),
    /// An access point of its own: another port, which has the same address, has joined this one, too.
    OwnAccessPoint(String),
    /// A sign that it reaches the same segment as the active port: an answer from one of these on both; from nobody known
    /// yet, where it is empty.
    SameSegment(Vec<IpAddr>),
    /// Another network: this one is not the active port's.
    OtherSegment(OtherSegment),
    /// The end of updelay.
    Updelay,
    /// A sign of life, after probes were lost.
    Probes,
    /// Another chance, after the driver refused to use it.
    SecondChance,
    /// An answer to a probe through it, of one of these; of nobody known yet, where it is empty.
    Proof(Vec<IpAddr>),
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface => f.write_str("the interface to appear"),
            Self::Attach(failure) => write!(f, "another try to attach it: {failure}"),
            Self::Carrier => f.write_str("carrier"),
            Self::Association => f.write_str("an access point"),
            Self::Beacons => f.write_str("a sign of life from its access point"),
            Self::Network(ssid) => write!(f, "a network of ssid-allow; it has joined \"{ssid}\""),
            Self::OwnAccessPoint(other) => write!(
                f,
                "an access point of its own: {other} has joined the same one, with the same address, and they push each \
                 other out; give each a network of its own, or a bssid"
            ),
            Self::SameSegment(targets) if targets.is_empty() => f.write_str(
                "a sign that it reaches the same network, but nobody to ask is known: set arp-ip-target, or \
                 same-segment = \"off\"",
            ),
            Self::SameSegment(targets) => {
                f.write_str("a sign that it reaches the same network: an answer on both ports from ")?;
                list(f, targets)
            }
            Self::OtherSegment(other) => write!(
                f,
                "another network: this one is not that of the active port ({other}); if they are the same all the same, \
                 set same-segment = \"off\""
            ),
            Self::Updelay => f.write_str("updelay"),
            Self::Probes => f.write_str("a sign of life after lost probes"),
            Self::SecondChance => f.write_str("another try, because the driver refused to use it"),
            Self::Proof(targets) if targets.is_empty() => f.write_str(
                "proof, but nobody to ask is known: set arp-ip-target or ns-ip6-target, or failback = \"carrier\"",
            ),
            Self::Proof(targets) => {
                f.write_str("proof: an answer through it from ")?;
                list(f, targets)
            }
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, targets: &[IpAddr]) -> fmt::Result {
    for (n, target) in targets.iter().enumerate() {
        write!(f, "{}{target}", if n == 0 { "" } else { " or " })?;
    }
    Ok(())
}

/// By what two networks were told apart: one address, and two stations that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherSegment {
    /// The address, most often the gateway's.
    pub address: IpAddr,
    /// Who has it on the port.
    pub here: MacAddr,
    /// Who has it on the active port.
    pub there: MacAddr,
}

impl fmt::Display for OtherSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} here, {} there", self.address, self.here, self.there)
    }
}

/// A change of the active port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// The port that was active.
    pub from: Option<String>,
    /// The port that is active.
    pub to: Option<String>,
    /// Why.
    pub cause: Cause,
    /// From the event that caused it to the driver's word that it is done.
    pub took: Duration,
}

/// What the world is told of a bond.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The active port changed.
    Failover(Failover),
    /// The link state of a port changed.
    Link {
        /// The port.
        port: String,
        /// What it is now.
        state: LinkState,
    },
    /// A port waits for something else than before; `None`: for nothing more.
    Waiting {
        /// The port.
        port: String,
        /// For what.
        waiting: Option<Waiting>,
    },
    /// An interface became a port of the bond.
    Attached {
        /// The port.
        port: String,
    },
    /// A port left the bond.
    Detached {
        /// The port.
        port: String,
    },
    /// The bond's carrier changed.
    Carrier {
        /// Is there one?
        up: bool,
    },
    /// A port is used although it is in another segment than the one that was active (`same-segment = "warn"`).
    OtherSegment {
        /// The port.
        port: String,
        /// How they were told apart.
        other: OtherSegment,
    },
    /// The driver did not have what the machine wants (someone else changed it); it is being put right.
    Drift {
        /// What differed.
        what: String,
    },
    /// An action failed; it is tried again.
    Retry {
        /// What was tried.
        what: String,
        /// Why it failed.
        failure: Failure,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failover(Failover { from, to, cause, took }) => {
                let [from, to] = [from, to].map(|port| port.as_deref().unwrap_or("none"));
                write!(f, "failover {from} → {to}, {cause}, {:.1} ms", took.as_secs_f64() * 1e3)
            }
            Self::Link { port, state } => write!(f, "{port}: link {state}"),
            Self::Waiting { port, waiting: Some(waiting) } => write!(f, "{port}: waiting for {waiting}"),
            Self::Waiting { port, waiting: None } => write!(f, "{port}: ready"),
            Self::Attached { port } => write!(f, "{port}: attached"),
            Self::Detached { port } => write!(f, "{port}: detached"),
            Self::Carrier { up: true } => f.write_str("carrier"),
            Self::Carrier { up: false } => f.write_str("no carrier"),
            Self::OtherSegment { port, other } => {
                write!(f, "{port}: another network than that of the active port: {other}")
            }
            Self::Drift { what } => write!(f, "repairing: {what}"),
            Self::Retry { what, failure } => write!(f, "{what} failed, will be tried again: {failure}"),
        }
    }
}

/// A bond as it is now; plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The active port, in a mode that has one.
    pub active: Option<String>,
    /// The primary, where one is configured: the matching port, else the configured text.
    pub primary: Option<String>,
    /// Does the bond have a carrier?
    pub carrier: bool,
    /// Its address, once it has one.
    pub mac: Option<MacAddr>,
    /// Ports in order of preference; those that are configured by name but not there, too.
    pub ports: Vec<PortSnapshot>,
    /// The last change of the active port.
    pub last_failover: Option<Failover>,
}

/// A port as it is now; plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSnapshot {
    /// The interface's name.
    pub name: String,
    /// The port, `None` while the interface does not exist.
    pub port: Option<PortId>,
    /// Its link state.
    pub link: LinkState,
    /// Does traffic leave by it?
    pub active: bool,
    /// How often its link went down since the interface appeared.
    pub link_failures: u32,
    /// The interface's own address.
    pub permanent_mac: Option<MacAddr>,
    /// In Mbit/s.
    pub speed_mbps: Option<u32>,
    /// Duplex.
    pub duplex: Option<Duplex>,
    /// What it waits for.
    pub waiting: Option<Waiting>,
    /// Is it the active port, or has it been shown that it reaches the same segment? Wires are not compared with each other.
    pub same_segment: bool,
    /// With Wi-Fi, its association, as far as that is known.
    pub station: Option<Station>,
}
