//! The configuration as it is written: every value of the right type and range, and where it stands.
//!
//! Not yet checked is how values go together. Each field is the key of the same name; docs/hitless.toml explains them.

use std::ops::{Range, RangeInclusive};

use hitless_core::config::{Evidence, FailOverMac, Mode, PrimaryReselect, SameSegment, Validate};
use toml::de::DeTable;

use super::reader::{Reader, not_a_choice};
use super::report::Problem;
use super::wifi;
use super::{AddrGenMode, DriverChoice, MacChoice};

pub(super) use super::reader::At;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    pub(super) bonds: Vec<Bond>,
    pub(super) wifi: Vec<wifi::raw::Wifi>,
}

/// One bond.
#[derive(Clone, Debug, Default)]
pub(super) struct Bond {
    pub(super) name: Name,
    pub(super) driver: Option<At<DriverChoice>>,
    pub(super) mode: Option<At<Mode>>,
    pub(super) ports: Option<At<Vec<At<String>>>>,
    pub(super) primary: Option<At<String>>,
    pub(super) primary_reselect: Option<At<PrimaryReselect>>,
    pub(super) failback: Option<At<Failback>>,
    pub(super) failback_timeout: Option<At<i64>>,
    pub(super) miimon: Option<At<i64>>,
    pub(super) updelay: Option<At<i64>>,
    pub(super) downdelay: Option<At<i64>>,
    pub(super) fail_over_mac: Option<At<MacChoice>>,
    pub(super) mac: Option<At<String>>,
    pub(super) min_links: Option<At<i64>>,
    pub(super) num_peer_notif: Option<At<i64>>,
    pub(super) peer_notif_delay: Option<At<i64>>,
    pub(super) arp_interval: Option<At<i64>>,
    pub(super) arp_ip_target: Option<At<Vec<At<String>>>>,
    pub(super) ns_ip6_target: Option<At<Vec<At<String>>>>,
    pub(super) arp_missed_max: Option<At<i64>>,
    pub(super) arp_validate: Option<At<Validate>>,
    pub(super) arp_all_targets: Option<At<bool>>,
    pub(super) resend_igmp: Option<At<i64>>,
    pub(super) all_slaves_active: Option<At<bool>>,
    pub(super) use_carrier: Option<At<bool>>,
    pub(super) ssid_allow: Option<At<Vec<At<String>>>>,
    pub(super) same_segment: Option<At<SameSegment>>,
    pub(super) signal_min: Option<At<i64>>,
    pub(super) signal_hysteresis: Option<At<i64>>,
    pub(super) roam_grace: Option<At<i64>>,
    pub(super) port: Vec<Port>,
    pub(super) ip: Ip,
}

/// A bond's name.
pub(super) type Name = At<String>;

impl Default for At<String> {
    fn default() -> Self {
        Self::new(0..0, String::new())
    }
}

/// The word after `failback =`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failback {
    /// An answer through the port.
    Proven,
    /// Its carrier.
    Carrier,
}

/// Options of one port.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) name: At<String>,
    pub(super) prio: Option<At<i64>>,
    pub(super) queue_id: Option<At<i64>>,
}

/// The bond as a network interface.
#[derive(Clone, Debug, Default)]
pub(super) struct Ip {
    pub(super) address: Vec<At<String>>,
    pub(super) gateway: Vec<At<String>>,
    pub(super) metric: Option<At<i64>>,
    pub(super) route: Vec<Route>,
    pub(super) mtu: Option<At<i64>>,
    pub(super) dhcp4: Option<At<Dhcp4>>,
    pub(super) client_id: Option<At<String>>,
    pub(super) chaddr: Option<At<String>>,
    pub(super) hostname: Option<At<String>>,
    pub(super) detect_conflicts: Option<At<bool>>,
    pub(super) accept_ra: Option<At<bool>>,
    pub(super) addr_gen_mode: Option<At<AddrGenMode>>,
    pub(super) dns: Vec<At<String>>,
    pub(super) search: Vec<At<String>>,
}

/// A further route.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// Where it begins.
    pub(super) span: Range<usize>,
    pub(super) to: Option<At<String>>,
    pub(super) via: Option<At<String>>,
    pub(super) metric: Option<At<i64>>,
}

/// What is written after `dhcp4 =`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dhcp4 {
    /// `false`.
    Off,
    /// `true`.
    On,
    /// By another program.
    External,
}

/// What the kernel takes as a time in milliseconds (a C `int`).
const MILLISECONDS: RangeInclusive<i64> = 0..=i32::MAX as i64;

const DRIVERS: &[(&str, DriverChoice)] =
    &[("auto", DriverChoice::Auto), ("kernel", DriverChoice::Kernel), ("ebpf", DriverChoice::Ebpf)];

const RESELECT: &[(&str, PrimaryReselect)] = &[
    ("always", PrimaryReselect::Always),
    ("better", PrimaryReselect::Better),
    ("failure", PrimaryReselect::Failure),
];

const FAIL_OVER_MAC: &[(&str, MacChoice)] = &[
    ("auto", MacChoice::Auto),
    ("none", MacChoice::Fixed(FailOverMac::None)),
    ("active", MacChoice::Fixed(FailOverMac::Active)),
    ("follow", MacChoice::Fixed(FailOverMac::Follow)),
];

const SAME_SEGMENT: &[(&str, SameSegment)] =
    &[("require", SameSegment::Require), ("warn", SameSegment::Warn), ("off", SameSegment::Off)];

const FAILBACK: &[(&str, Failback)] = &[("proven", Failback::Proven), ("carrier", Failback::Carrier)];

const fn validate(active: Evidence, backup: Evidence) -> Validate {
    Validate { active, backup }
}

/// The table of the kernel's documentation: which ports are validated, and where at least the kind is filtered.
const VALIDATE: &[(&str, Validate)] = &[
    ("none", validate(Evidence::Any, Evidence::Any)),
    ("active", validate(Evidence::Target, Evidence::Any)),
    ("backup", validate(Evidence::Any, Evidence::Target)),
    ("all", validate(Evidence::Target, Evidence::Target)),
    ("filter", validate(Evidence::Probe, Evidence::Probe)),
    ("filter-active", validate(Evidence::Target, Evidence::Probe)),
    ("filter-backup", validate(Evidence::Probe, Evidence::Target)),
];

/// What the kernel takes; 0 is the best, and what IPv4 routes have without one.
const METRICS: RangeInclusive<i64> = 0..=u32::MAX as i64;

const ADDR_GEN_MODES: &[(&str, AddrGenMode)] =
    &[("stable-privacy", AddrGenMode::StablePrivacy), ("eui64", AddrGenMode::Eui64)];

const ALL_TARGETS: &[(&str, bool)] = &[("any", false), ("all", true)];

/// The modes there are, by their names in Linux bonding and in lagg; `None`: a later version will have it.
const MODES: &[(&str, Option<Mode>)] = &[
    ("active-backup", Some(Mode::ActiveBackup)),
    ("failover", Some(Mode::ActiveBackup)),
    ("balance-rr", Some(Mode::BalanceRr)),
    ("roundrobin", Some(Mode::BalanceRr)),
    ("balance-xor", None),
    ("broadcast", None),
    ("802.3ad", None),
    ("balance-tlb", None),
    ("balance-alb", None),
    ("loadbalance", None),
    ("lacp", None),
];

/// Reads the text. What cannot be read is left out and put among the problems.
pub(super) fn read(text: &str, problems: &mut Vec<Problem>) -> Config {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        // What a document that is not TOML would mean is a guess, and further errors would be guesses, too.
        problems.extend(errors.iter().map(|error| {
            let end = text.len();
            Problem::new(error.span().unwrap_or(end..end), format!("not TOML: {}", error.message()))
        }));
        return Config::default();
    }
    let mut root = Reader::new(document.get_ref(), "the configuration", problems);
    let table = root.table("bond");
    let wifi_table = root.table("wifi");
    root.finish();
    let Some((span, table)) = table else {
        if problems.is_empty() {
            problems.push(no_bond(0..0));
        }
        return Config::default();
    };
    let bonds = Reader::new(table, "[bond]", problems).named_tables();
    if bonds.is_empty() && problems.is_empty() {
        problems.push(no_bond(span));
    }
    let bonds = bonds.into_iter().map(|(name, table)| bond(name, table, problems)).collect();
    let wifi = wifi_table.map(|(_, table)| wifi::raw::read(table, problems)).unwrap_or_default();
    Config { bonds, wifi }
}

fn no_bond(span: Range<usize>) -> Problem {
    Problem::new(span, "there is no bond")
        .help("describe one, for example:\n[bond.bond0]\nports = [\"eth0\", \"wlan0\"]")
}

fn bond(name: At<String>, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Bond {
    let what = format!("[bond.{}]", name.value.escape_debug());
    let mut r = Reader::new(table, what, problems);
    let mut bond = Bond {
        mode: mode(&mut r),
        driver: r.choice("driver", DRIVERS),
        ports: r.texts("ports"),
        primary: r.text("primary"),
        primary_reselect: r.choice("primary-reselect", RESELECT),
        failback: r.choice("failback", FAILBACK),
        failback_timeout: r.integer("failback-timeout", 1..=*MILLISECONDS.end(), " ms"),
        miimon: r.integer("miimon", MILLISECONDS, " ms"),
        updelay: r.integer("updelay", MILLISECONDS, " ms"),
        downdelay: r.integer("downdelay", MILLISECONDS, " ms"),
        fail_over_mac: r.choice("fail-over-mac", FAIL_OVER_MAC),
        mac: r.text("mac"),
        min_links: r.integer("min-links", 0..=i64::from(i32::MAX), ""),
        num_peer_notif: r.integer("num-peer-notif", 0..=255, ""),
        peer_notif_delay: r.integer("peer-notif-delay", 0..=300_000, " ms"),
        arp_interval: r.integer("arp-interval", MILLISECONDS, " ms"),
        arp_ip_target: r.texts("arp-ip-target"),
        ns_ip6_target: r.texts("ns-ip6-target"),
        arp_missed_max: r.integer("arp-missed-max", 1..=255, ""),
        arp_validate: r.choice("arp-validate", VALIDATE),
        arp_all_targets: r.choice("arp-all-targets", ALL_TARGETS),
        resend_igmp: r.integer("resend-igmp", 0..=255, ""),
        all_slaves_active: r.boolean("all-slaves-active"),
        use_carrier: r.boolean("use-carrier"),
        ssid_allow: r.texts("ssid-allow"),
        same_segment: r.choice("same-segment", SAME_SEGMENT),
        signal_min: r.integer("signal-min", -100..=-30, " dBm"),
        signal_hysteresis: r.integer("signal-hysteresis", 0..=30, " dB"),
        roam_grace: r.integer("roam-grace", 0..=10_000, " ms"),
        name,
        port: Vec::new(),
        ip: Ip::default(),
    };
    let port_table = r.table("port");
    let ip_table = r.table("ip");
    r.finish();
    if let Some((_, table)) = port_table {
        let ports = Reader::new(table, "port", problems).named_tables();
        bond.port = ports.into_iter().map(|(name, table)| port(name, table, problems)).collect();
    }
    if let Some((_, table)) = ip_table {
        bond.ip = ip(table, problems);
    }
    bond
}

/// A mode that there is, and that can be had so far.
fn mode(r: &mut Reader<'_, '_>) -> Option<At<Mode>> {
    let text = r.text("mode")?;
    match MODES.iter().find(|(word, _)| *word == text.value) {
        Some((_, Some(mode))) => Some(text.map(|_| *mode)),
        Some((word, None)) => {
            r.problems.push(
                Problem::new(text.span, format!("mode \"{word}\" is not yet supported"))
                    .label("expected \"active-backup\" or \"balance-rr\"")
                    .help("for the other modes use Linux bonding itself until a later version"),
            );
            None
        }
        None => {
            r.problems.push(not_a_choice("mode", &text, MODES.iter().map(|(word, _)| *word)));
            None
        }
    }
}

fn port(name: At<String>, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Port {
    let what = format!("port.{}", name.value.escape_debug());
    let mut r = Reader::new(table, what, problems);
    let prio = r.integer("prio", i64::from(i32::MIN)..=i64::from(i32::MAX), "");
    // The kernel's bond has 16 transmit queues, and 0 means none in particular.
    let queue_id = r.integer("queue-id", 0..=16, "");
    r.finish();
    Port { name, prio, queue_id }
}

fn ip(table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Ip {
    let mut r = Reader::new(table, "the bond's [ip]", problems);
    let mut list = |key| r.texts(key).map(|list| list.value).unwrap_or_default();
    let (address, gateway, dns, search) = (list("address"), list("gateway"), list("dns"), list("search"));
    let routes = r.tables("route");
    let ip = Ip {
        address,
        gateway,
        metric: r.integer("metric", METRICS, ""),
        route: Vec::new(),
        mtu: r.integer("mtu", 68..=65535, " bytes"),
        dhcp4: r.switch("dhcp4", [Dhcp4::Off, Dhcp4::On], &[("external", Dhcp4::External)]),
        client_id: r.text("client-id"),
        chaddr: r.text("chaddr"),
        hostname: r.text("hostname"),
        detect_conflicts: r.boolean("detect-conflicts"),
        accept_ra: r.boolean("accept-ra"),
        addr_gen_mode: r.choice("addr-gen-mode", ADDR_GEN_MODES),
        dns,
        search,
    };
    r.finish();
    let routes = routes.into_iter();
    let route = routes.map(|(span, table)| route(span, Reader::new(table, "route", problems))).collect();
    Ip { route, ..ip }
}

fn route(span: Range<usize>, mut r: Reader<'_, '_>) -> Route {
    let route =
        Route { span, to: r.text("to"), via: r.text("via"), metric: r.integer("metric", METRICS, "") };
    r.finish();
    route
}
