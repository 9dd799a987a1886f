//! The types of the interface; the interface file documents each field.
//!
//! What is null in the interface is `Option` here and is always written, so a reader finds the same keys every time.

use serde::{Deserialize, Serialize};

use crate::wifi::Wifi;

/// An enumeration of the interface: the Rust type, and `ALL` of its values for those that must be complete.
macro_rules! enumeration {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
        }
    };
}

pub(crate) use enumeration;

/// A bond: the logical interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bond {
    /// The interface's name.
    pub name: String,
    /// What carries its frames.
    pub driver: Driver,
    /// By its name in Linux bonding.
    pub mode: String,
    /// The active port; `None` also in a mode in which all ports carry traffic.
    pub active: Option<String>,
    /// The port that is preferred to all others.
    pub primary: Option<String>,
    /// Does it have a carrier?
    pub carrier: bool,
    /// Its hardware address: six pairs of hex digits.
    pub mac: Option<String>,
    /// What happens to hardware addresses when the active port changes, as it is in force: none, active or follow.
    pub fail_over_mac: String,
    /// Why that, where it was found out.
    pub fail_over_mac_reason: Option<String>,
    /// What is done where a port leads into another network than the active one: require, warn or off.
    pub same_segment: String,
    /// In order of preference.
    pub ports: Vec<Port>,
    /// The last change of the active port.
    pub last_failover: Option<Failover>,
    /// Where hitless itself asks for an address.
    pub dhcp: Option<Dhcp>,
    /// The same for IPv6.
    pub dhcp6: Option<Dhcp6>,
    /// Name servers and search domains, where there are any.
    pub dns: Option<Dns>,
    /// In how many seconds everything is put back as it was before, unless it is confirmed; `None`: it is not on trial.
    pub unconfirmed_s: Option<u64>,
}

/// Name servers and search domains of a bond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Name servers, the first to be asked first.
    pub servers: Vec<String>,
    /// Domains in which short names are looked for.
    pub search: Vec<String>,
    /// What they are known to; `None` while that is nobody.
    pub via: Option<String>,
}

/// An address by DHCPv4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dhcp {
    /// The client's state, most of them by their names in RFC 2131.
    pub state: String,
    /// The address.
    pub address: Option<String>,
    /// Who has lent it.
    pub server: Option<String>,
    /// In seconds; `None`: never, or there is no lease.
    pub expires_in_s: Option<u64>,
    /// In seconds.
    pub renews_in_s: Option<u64>,
    /// Time servers.
    pub ntp: Vec<String>,
    /// What the server calls this host.
    pub hostname: Option<String>,
}

/// Addresses by DHCPv6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dhcp6 {
    /// The client's state, by the exchanges of RFC 8415.
    pub state: String,
    /// The address.
    pub address: Option<String>,
    /// The delegated prefix, with its length.
    pub prefix: Option<String>,
    /// Who has lent them: the address of the link that the server speaks from.
    pub server: Option<String>,
    /// In how many seconds the address is over; `None`: never, or there is none.
    pub expires_in_s: Option<u64>,
    /// In how many seconds the prefix is over; `None`: never, or there is none.
    pub prefix_expires_in_s: Option<u64>,
    /// In seconds.
    pub renews_in_s: Option<u64>,
    /// Time servers.
    pub ntp: Vec<String>,
}

/// A port: a link in a bond.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The interface's name.
    pub name: String,
    /// The kernel's index of the interface; `None` while it does not exist.
    pub index: Option<u32>,
    /// The state of its link.
    pub link: LinkState,
    /// Does traffic leave by it?
    pub active: bool,
    /// What it waits for, in words; `None`: for nothing.
    pub waiting: Option<String>,
    /// Is it the active port, or has it been shown that it reaches the same network?
    pub same_segment: bool,
    /// How often its link went down since the interface appeared.
    pub link_failures: u32,
    /// The interface's own hardware address.
    pub permanent_mac: Option<String>,
    /// In Mbit/s.
    pub speed_mbps: Option<u32>,
    /// Where the driver says it.
    pub duplex: Option<Duplex>,
    /// With Wi-Fi.
    pub wifi: Option<Wifi>,
}

/// A change of the active port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// The port that was active.
    pub from: Option<String>,
    /// The port that is active.
    pub to: Option<String>,
    /// Why.
    pub cause: Cause,
    /// In microseconds, from the event that caused it to the driver's word that it is done.
    pub took_us: u64,
}

/// Something that happened to a bond. Which of the optional fields are there depends on the kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The bond.
    pub bond: String,
    /// In microseconds since the Unix epoch.
    pub time_us: u64,
    /// What kind of thing.
    pub kind: Kind,
    /// All of it in words.
    pub text: String,
    /// With `Link`, `Waiting`, `Attached`, `Detached` and `OtherSegment`.
    pub port: Option<String>,
    /// With `Link`.
    pub link: Option<LinkState>,
    /// With `Carrier`.
    pub carrier: Option<bool>,
    /// With `Failover`.
    pub failover: Option<Failover>,
    /// With `Waiting`; `None` where the port is ready.
    pub waiting: Option<String>,
    /// What differed (`Drift`), or what was tried (`Retry`).
    pub what: Option<String>,
    /// With `Retry`.
    pub reason: Option<String>,
}

impl Notice {
    /// A notice without any of the optional fields.
    pub fn new(bond: &str, time_us: u64, kind: Kind, text: String) -> Self {
        Self {
            bond: bond.to_owned(),
            time_us,
            kind,
            text,
            port: None,
            link: None,
            carrier: None,
            failover: None,
            waiting: None,
            what: None,
            reason: None,
        }
    }
}

/// What `Status` returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// All of them.
    pub bonds: Vec<Bond>,
}

/// One reply of `Monitor`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonitorReply {
    /// In the first reply only.
    pub bonds: Option<Vec<Bond>>,
    /// In all but the first.
    pub notice: Option<Notice>,
}

enumeration! {
    /// What carries a bond's frames.
    Driver {
        /// Linux bonding.
        Kernel,
        /// Our own programs in the kernel.
        Ebpf,
    }
}

enumeration! {
    /// The state of a port's link.
    LinkState {
        /// Not there.
        Down,
        /// There, waiting for updelay.
        Back,
        /// Gone, waiting for downdelay.
        Fail,
        /// There.
        Up,
    }
}

enumeration! {
    /// Whether a link carries frames both ways at once.
    Duplex {
        /// One way at a time.
        Half,
        /// Both ways.
        Full,
    }
}

enumeration! {
    /// Why the active port changed.
    Cause {
        /// The bond had no active port.
        FirstPort,
        /// The active port lost its carrier.
        CarrierLost,
        /// Probes through the active port were not answered.
        ProbesLost,
        /// The active port's access point was not heard any more.
        BeaconsLost,
        /// The active port's access point sent it away.
        Deauthenticated,
        /// The active port's signal was too weak.
        SignalLow,
        /// The active port has joined another network.
        OtherNetwork,
        /// The active port's interface is gone.
        PortVanished,
        /// The active port was taken out of the configuration.
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
}

enumeration! {
    /// What kind of thing a notice tells.
    Kind {
        /// The active port changed.
        Failover,
        /// The state of a port's link changed.
        Link,
        /// A port waits for something else than before.
        Waiting,
        /// An interface became a port.
        Attached,
        /// A port left.
        Detached,
        /// The bond's carrier changed.
        Carrier,
        /// A port is used although it is in another network than the active one was.
        OtherSegment,
        /// The driver did not have what the daemon wants.
        Drift,
        /// An action failed and will be tried again.
        Retry,
    }
}

impl LinkState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Back => "back",
            Self::Fail => "fail",
            Self::Up => "up",
        }
    }
}

impl Driver {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Ebpf => "ebpf",
        }
    }
}

impl Duplex {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Half => "half",
            Self::Full => "full",
        }
    }
}

impl Cause {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
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
        }
    }
}
