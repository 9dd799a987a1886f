//! What a bond is told to do: validated options, in the words of the kernel's bonding documentation.
//!
//! Reading them from a file is not done here (crate `hitless`, module `config`); what is here cannot be wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use wildmatch::WildMatch;

use crate::mac::MacAddr;
use crate::wifi::Ssid;

/// The options of one bond.
#[derive(Clone, Debug, PartialEq)]
pub struct BondConfig {
    /// How its ports share the work. What chooses among ports (from `primary` to `failback`, `same_segment`, `signal_min`)
    /// counts only in a mode that has an active port, and so do probes and `fail_over_mac`.
    pub mode: Mode,
    /// Which interfaces are its ports, in order of preference.
    pub ports: Vec<PortPattern>,
    /// Options of single ports, by interface name.
    pub port_options: BTreeMap<String, PortOptions>,
    /// The port that is active whenever it can be, subject to [`PrimaryReselect`].
    /// (A configuration file without one means the first of `ports`; `None` means none.)
    pub primary: Option<PortPattern>,
    /// When a better port takes over from one that works.
    pub primary_reselect: PrimaryReselect,
    /// What a port that comes back has to show before traffic returns to it.
    pub failback: Failback,
    /// How often the carrier of each port is polled; zero switches the poll off. Kernel: `miimon`.
    pub miimon: Duration,
    /// How long a port's link must be there before it counts. Skipped when no port is usable.
    pub updelay: Duration,
    /// How long a port's link must be gone before it counts.
    pub downdelay: Duration,
    /// What happens to hardware addresses when the active port changes.
    pub fail_over_mac: FailOverMac,
    /// The bond's hardware address, which a station can have; `None`: that of the port it is made with. Does not count where
    /// the bond takes that of the active port.
    pub mac: Option<MacAddr>,
    /// How many usable ports the bond needs to have a carrier itself; 0 and 1 mean the same.
    pub min_links: u32,
    /// How often peers are told of a change of the active port, 0 to 255. Kernel: `num_grat_arp`, `num_unsol_na`.
    pub num_peer_notif: u8,
    /// The time between two notifications; zero means [`BondConfig::miimon`], at least 1 ms.
    pub peer_notif_delay: Duration,
    /// ARP and NS probes, beside the carrier.
    pub probes: Probes,
    /// IGMP membership reports sent after a change, 0 to 255 (kernel driver). Kernel: `resend_igmp`.
    pub resend_igmp: u8,
    /// Should a standby port hand up what it hears, too (kernel driver; the ebpf driver always accepts unicast)?
    pub all_slaves_active: bool,
    /// Should the kernel ask a driver's carrier state, and not its MII registers (kernel driver)? Kernel: `use_carrier`,
    /// which knows nothing but this any more from 6.18 on.
    pub use_carrier: bool,
    /// The networks with which a Wi-Fi port is a port; empty: any.
    pub ssid_allow: Vec<Ssid>,
    /// What a port has to show where it, or the active port, is Wi-Fi: that both reach the same layer-2 segment.
    pub same_segment: SameSegment,
    /// A Wi-Fi port with a weaker signal than this, in dBm, is worse than any that is not; `None`: no matter how weak.
    pub signal_min: Option<i8>,
    /// By how many dB the signal has to rise above [`BondConfig::signal_min`] before the port counts as good again.
    pub signal_hysteresis: u8,
    /// How long a Wi-Fi port may be without an access point when it moves from one to another.
    pub roam_grace: Duration,
}

impl Default for BondConfig {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            ports: Vec::new(),
            port_options: BTreeMap::new(),
            primary: None,
            primary_reselect: PrimaryReselect::Always,
            failback: Failback::default(),
            miimon: Duration::from_millis(10),
            updelay: Duration::ZERO,
            downdelay: Duration::ZERO,
            fail_over_mac: FailOverMac::None,
            mac: None,
            min_links: 0,
            num_peer_notif: 1,
            peer_notif_delay: Duration::ZERO,
            probes: Probes::default(),
            resend_igmp: 1,
            all_slaves_active: false,
            use_carrier: true,
            ssid_allow: Vec::new(),
            same_segment: SameSegment::default(),
            signal_min: None,
            signal_hysteresis: 5,
            roam_grace: Duration::from_millis(300),
        }
    }
}

impl BondConfig {
    /// How much an interface is wanted as a port: its place in `ports` (0 is the most wanted), `None` if it is no port.
    pub fn preference(&self, interface: &str) -> Option<usize> {
        self.ports.iter().position(|pattern| pattern.matches(interface))
    }

    /// Is this interface the primary (or one of them, where the primary is a glob)?
    pub fn is_primary(&self, interface: &str) -> bool {
        self.primary.as_ref().is_some_and(|pattern| pattern.matches(interface))
    }

    /// The options of the port with this interface name.
    pub fn port(&self, interface: &str) -> PortOptions {
        self.port_options.get(interface).copied().unwrap_or_default()
    }
}

/// How the ports of a bond share the work. Kernel: `mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One port carries everything, and the others stand by.
    #[default]
    ActiveBackup,
    /// All ports carry traffic, frame by frame in turn.
    BalanceRr,
}

impl Mode {
    /// What it is called in Linux bonding.
    pub fn name(self) -> &'static str {
        match self {
            Self::ActiveBackup => "active-backup",
            Self::BalanceRr => "balance-rr",
        }
    }

    /// Does one port carry everything?
    pub fn has_active_port(self) -> bool {
        match self {
            Self::ActiveBackup => true,
            Self::BalanceRr => false,
        }
    }
}

/// Options of a single port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortOptions {
    /// The higher, the better; the primary stands above all of them. Kernel: `prio`.
    pub prio: i32,
    /// The transmit queue (kernel driver). Kernel: `queue_id`.
    pub queue_id: u16,
}

/// An interface name, or a glob (`*`, `?`) that interface names are matched with.
#[derive(Clone, PartialEq)]
pub struct PortPattern(WildMatch);

impl PortPattern {
    /// A pattern from its text.
    pub fn new(text: &str) -> Self {
        Self(WildMatch::new(text))
    }

    /// Does this interface name match?
    pub fn matches(&self, interface: &str) -> bool {
        self.0.matches(interface)
    }

    /// Is it a glob, which may match several interfaces?
    pub fn is_glob(&self) -> bool {
        let text = self.to_string();
        text.contains(['*', '?'])
    }
}

impl fmt::Display for PortPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PortPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// When a better port takes over from one that works. Kernel: `primary_reselect`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrimaryReselect {
    /// Always.
    #[default]
    Always,
    /// When its speed and duplex are better than those of the active port.
    Better,
    /// Only when the active port fails.
    Failure,
}

/// What a port that comes back has to show before traffic returns to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failback {
    /// Its carrier, as in Linux bonding.
    Carrier,
    /// An answer to a probe through it.
    Proven {
        /// Give up waiting after this long and use the port anyway; `None`: wait for ever.
        timeout: Option<Duration>,
    },
}

impl Default for Failback {
    fn default() -> Self {
        Self::Proven { timeout: None }
    }
}

/// What is done where a port and the active port turn out to be in different layer-2 segments, or that is not known yet,
/// and one of them is Wi-Fi: somebody may have plugged in here and be at the neighbour's there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSegment {
    /// A port in another segment stays out. One that has not been checked is used only where there is no other.
    #[default]
    Require,
    /// It is used, and complained of.
    Warn,
    /// Nobody looks.
    Off,
}

/// What happens to hardware addresses when the active port changes. Kernel: `fail_over_mac`.
///
/// What `auto` means is found out by trying (crate `hitless`); a machine is told what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailOverMac {
    /// All ports have the bond's address.
    #[default]
    None,
    /// Ports keep theirs; the bond takes that of the active port.
    Active,
    /// Ports keep theirs until they become active and take the bond's.
    Follow,
}

/// ARP and NS probes, beside the carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probes {
    /// The time between two probes; zero switches them off. Kernel: `arp_interval`.
    pub interval: Duration,
    /// Who is asked by ARP, at most 16. Also whom a returning port is proven with. Kernel: `arp_ip_target`.
    pub arp_targets: Vec<Ipv4Addr>,
    /// Who is asked by neighbour solicitation, at most 16. Kernel: `ns_ip6_target`.
    pub ns_targets: Vec<Ipv6Addr>,
    /// How many intervals without an answer make a port's path dead, 1 to 255. Kernel: `arp_missed_max`.
    pub missed_max: u8,
    /// What counts as an answer. Kernel: `arp_validate`.
    pub validate: Validate,
    /// Must every target answer, or is one enough? Kernel: `arp_all_targets`.
    pub all_targets: bool,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            interval: Duration::ZERO,
            arp_targets: Vec::new(),
            ns_targets: Vec::new(),
            missed_max: 2,
            validate: Validate::default(),
            all_targets: false,
        }
    }
}

impl Probes {
    /// Are ports monitored by probes?
    pub fn enabled(&self) -> bool {
        !self.interval.is_zero() && (!self.arp_targets.is_empty() || !self.ns_targets.is_empty())
    }
}

/// What counts as a sign of life. Kernel: `arp_validate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validate {
    /// On the active port.
    pub active: Evidence,
    /// On a standby port.
    pub backup: Evidence,
}

/// Which received frames are a sign of life; the later, the stronger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// Any frame.
    #[default]
    Any,
    /// Any ARP or neighbour discovery frame. Kernel: the `filter` values.
    Probe,
    /// An answer of a target; on a standby port also our own request, heard there.
    Target,
}
