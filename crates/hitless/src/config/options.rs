//! Checks of how the options of one bond go together.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

use hitless_core::config::{Evidence, FailOverMac, Failback, Mode, Probes, SameSegment};
use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;

use super::raw::{self, At};
use super::report::Problem;
use super::{MacChoice, wifi};

/// The most targets that bonding takes (BOND_MAX_ARP_TARGETS, BOND_MAX_NS_TARGETS).
const MAX_TARGETS: usize = 16;

/// A number of milliseconds that the reader has bounded.
pub(super) fn milliseconds(value: i64) -> Duration {
    Duration::from_millis(u64::try_from(value).unwrap_or(0))
}

fn is_positive(option: Option<&At<i64>>) -> bool {
    option.is_some_and(|option| option.value > 0)
}

/// The mode, and what has no meaning in it.
pub(super) fn mode(bond: &raw::Bond, problems: &mut Vec<Problem>) -> Mode {
    let mode = bond.mode.as_ref().map(|at| at.value).unwrap_or_default();
    if mode.has_active_port() {
        return mode;
    }
    fn place<T>(option: &Option<At<T>>, counts: impl Fn(&T) -> bool) -> Option<Range<usize>> {
        option.as_ref().filter(|at| counts(&at.value)).map(|at| at.span.clone())
    }
    let shares_address =
        |choice: &MacChoice| matches!(choice, MacChoice::Auto | MacChoice::Fixed(FailOverMac::None));
    let one_port = "it chooses the port that carries everything, and here all ports do: remove it";
    let one_address = "all ports have the bond's address in this mode: remove it";
    let probes =
        "probes go out by an active port, and work with mode = \"active-backup\" only so far: remove it";
    for (key, span, help) in [
        ("primary", place(&bond.primary, |primary| primary != "none"), one_port),
        ("primary-reselect", place(&bond.primary_reselect, |_| true), one_port),
        ("failback", place(&bond.failback, |_| true), one_port),
        ("failback-timeout", place(&bond.failback_timeout, |_| true), one_port),
        ("signal-min", place(&bond.signal_min, |_| true), one_port),
        (
            "same-segment",
            place(&bond.same_segment, |policy| *policy != SameSegment::Off),
            "there is no active port to compare with: remove it",
        ),
        ("fail-over-mac", place(&bond.fail_over_mac, |choice| !shares_address(choice)), one_address),
        ("arp-interval", place(&bond.arp_interval, |interval| *interval > 0), probes),
    ] {
        if let Some(span) = span {
            let message = format!("`{key}` has no meaning with mode = \"{}\"", mode.name());
            problems.push(Problem::new(span, message).help(help));
        }
    }
    mode
}

/// The bond's hardware address.
pub(super) fn mac(bond: &raw::Bond, problems: &mut Vec<Problem>) -> Option<MacAddr> {
    let at = bond.mac.as_ref()?;
    if bond.fail_over_mac.as_ref().is_some_and(|at| at.value == MacChoice::Fixed(FailOverMac::Active)) {
        problems.push(
            Problem::new(at.span.clone(), "`mac` has no meaning with fail-over-mac = \"active\"")
                .help("the bond has the hardware address of the active port then: remove one of the two"),
        );
    }
    station("mac", at, problems)
}

/// A hardware address that a station can have.
pub(super) fn station(key: &str, at: &At<String>, problems: &mut Vec<Problem>) -> Option<MacAddr> {
    let mac = at.value.parse().ok().filter(|mac: &MacAddr| mac.is_station());
    if mac.is_none() {
        problems.push(
            Problem::new(at.span.clone(), format!("`{key}` cannot be \"{}\"", at.value.escape_debug()))
                .label("expected the hardware address of one station, such as \"02:00:5e:00:53:01\""),
        );
    }
    mac
}

/// What needs the carrier poll, and the poll itself.
pub(super) fn carrier_poll(bond: &raw::Bond, problems: &mut Vec<Problem>) {
    let Some(miimon) = bond.miimon.as_ref().filter(|miimon| miimon.value == 0) else { return };
    if !is_positive(bond.arp_interval.as_ref()) {
        problems.push(
            Problem::new(
                miimon.span.clone(),
                "miimon = 0 and no arp-interval: nothing would notice a dead port",
            )
            .help("leave out miimon (10 ms is the default), or set arp-interval and arp-ip-target"),
        );
    }
    for (key, option) in [
        ("updelay", &bond.updelay),
        ("downdelay", &bond.downdelay),
        ("peer-notif-delay", &bond.peer_notif_delay),
    ] {
        if let Some(option) = option.as_ref().filter(|option| option.value > 0) {
            problems.push(
                Problem::new(option.span.clone(), format!("`{key}` needs miimon, which is 0"))
                    .help("bonding counts this time in polls of the carrier and refuses it without them"),
            );
        }
    }
}

/// What a port that comes back has to show.
pub(super) fn failback(bond: &raw::Bond, problems: &mut Vec<Problem>) -> Failback {
    let timeout = bond.failback_timeout.as_ref();
    match &bond.failback {
        Some(At { value: raw::Failback::Carrier, .. }) => {
            if let Some(timeout) = timeout {
                problems.push(
                    Problem::new(
                        timeout.span.clone(),
                        "failback-timeout has no meaning with failback = \"carrier\"",
                    )
                    .help("it is how long to wait for the proof that failback = \"proven\" asks for"),
                );
            }
            Failback::Carrier
        }
        _ => Failback::Proven { timeout: timeout.map(|timeout| milliseconds(timeout.value)) },
    }
}

/// ARP and NS probes.
pub(super) fn probes(bond: &raw::Bond, problems: &mut Vec<Problem>) -> Probes {
    let arp_targets = targets("arp-ip-target", bond.arp_ip_target.as_ref(), arp_fault, problems);
    let ns_targets = targets("ns-ip6-target", bond.ns_ip6_target.as_ref(), ns_fault, problems);
    let enabled = is_positive(bond.arp_interval.as_ref());
    if let Some(interval) = bond.arp_interval.as_ref()
        && enabled
        && bond.arp_ip_target.is_none()
        && bond.ns_ip6_target.is_none()
    {
        problems.push(
            Problem::new(interval.span.clone(), "arp-interval without a target: nobody would be asked").help(
                "name a host that always answers, such as the gateway: arp-ip-target = [\"192.168.1.1\"]",
            ),
        );
    }
    let default = Probes::default();
    let validate = bond.arp_validate.as_ref();
    if let Some(option) = validate.filter(|option| option.value != default.validate && !enabled) {
        problems.push(
            Problem::new(option.span.clone(), "`arp-validate` needs arp-interval").help(
                "it says which answers to ARP and NS probes count, and without an interval none are sent",
            ),
        );
    }
    let validate = validate.map_or(default.validate, |option| option.value);
    if let Some(all) = bond.arp_all_targets.as_ref()
        && all.value
        && validate.active != Evidence::Target
        && validate.backup != Evidence::Target
    {
        problems.push(
            Problem::new(all.span.clone(), "arp-all-targets = \"all\" needs arp-validate")
                .help("only where answers are validated is it known which target sent them")
                .help("set arp-validate to \"active\", \"backup\", \"all\", \"filter-active\" or \"filter-backup\""),
        );
    }
    Probes {
        interval: bond.arp_interval.as_ref().map_or(default.interval, |option| milliseconds(option.value)),
        arp_targets,
        ns_targets,
        missed_max: byte(bond.arp_missed_max.as_ref(), default.missed_max),
        validate,
        all_targets: bond.arp_all_targets.as_ref().is_some_and(|option| option.value),
    }
}

/// A number from 0 to 255 that the reader has bounded.
pub(super) fn byte(option: Option<&At<i64>>, default: u8) -> u8 {
    option.and_then(|option| u8::try_from(option.value).ok()).unwrap_or(default)
}

/// The networks with which a wireless port may be a member; empty: any.
pub(super) fn ssid_allow(bond: &raw::Bond, problems: &mut Vec<Problem>) -> Vec<Ssid> {
    let mut allowed = Vec::new();
    for text in bond.ssid_allow.iter().flat_map(|list| &list.value) {
        let Some(ssid) = wifi::text_ssid(text, problems) else { continue };
        if allowed.contains(&ssid) {
            problems.push(Problem::new(text.span.clone(), format!("network `{ssid}` is there twice")));
        }
        allowed.push(ssid);
    }
    allowed
}

/// The signal below which a wireless port counts as worse.
pub(super) fn signal_min(bond: &raw::Bond, usual: u8, problems: &mut Vec<Problem>) -> Option<i8> {
    if let (None, Some(hysteresis)) = (&bond.signal_min, &bond.signal_hysteresis)
        && hysteresis.value != i64::from(usual)
    {
        problems.push(Problem::new(hysteresis.span.clone(), "`signal-hysteresis` needs signal-min").help(
            "it says how far above signal-min a signal must rise before the port counts as good again",
        ));
    }
    bond.signal_min.as_ref().and_then(|at| i8::try_from(at.value).ok())
}

fn targets<A: FromStr + PartialEq>(
    key: &str,
    list: Option<&At<Vec<At<String>>>>,
    fault: fn(&A) -> Option<&'static str>,
    problems: &mut Vec<Problem>,
) -> Vec<A> {
    let Some(list) = list else { return Vec::new() };
    if list.value.is_empty() {
        problems.push(
            Problem::new(list.span.clone(), format!("`{key}` is empty")).help("name a target, or remove it"),
        );
    }
    if list.value.len() > MAX_TARGETS {
        problems.push(
            Problem::new(list.span.clone(), format!("`{key}` has {} targets", list.value.len()))
                .label(format!("expected at most {MAX_TARGETS}, which is what bonding takes")),
        );
    }
    let mut targets = Vec::new();
    for text in &list.value {
        match text.value.parse::<A>() {
            Err(_) => problems.push(not_an_address(key, text)),
            Ok(target) => {
                if let Some(fault) = fault(&target) {
                    problems.push(Problem::new(
                        text.span.clone(),
                        format!("`{}` cannot be asked: it is {fault}", text.value),
                    ));
                } else if targets.contains(&target) {
                    problems.push(Problem::new(
                        text.span.clone(),
                        format!("target `{}` is there twice", text.value),
                    ));
                }
                targets.push(target);
            }
        }
    }
    targets
}

fn not_an_address(key: &str, text: &At<String>) -> Problem {
    let (family, other) =
        if key.starts_with("arp") { ("IPv4", "ns-ip6-target") } else { ("IPv6", "arp-ip-target") };
    let problem = Problem::new(
        text.span.clone(),
        format!("`{}` is not an {family} address", text.value.escape_debug()),
    );
    if text.value.parse::<std::net::IpAddr>().is_ok() {
        problem.help(format!("put it into {other}"))
    } else if text.value.contains('/') {
        problem.help("a target is a single address, without a prefix length")
    } else {
        problem
    }
}

fn arp_fault(target: &Ipv4Addr) -> Option<&'static str> {
    if target.is_unspecified() {
        Some("the unspecified address")
    } else if target.is_broadcast() {
        Some("the broadcast address")
    } else if target.is_multicast() {
        Some("a multicast address")
    } else if target.is_loopback() {
        Some("a loopback address")
    } else {
        None
    }
}

fn ns_fault(target: &Ipv6Addr) -> Option<&'static str> {
    if target.is_unspecified() {
        Some("the unspecified address")
    } else if target.is_multicast() {
        Some("a multicast address")
    } else if target.is_loopback() {
        Some("the loopback address")
    } else {
        None
    }
}
