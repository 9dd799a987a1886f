//! Checks of a bond's ports, its primary, and the options of single ports.

use std::collections::BTreeMap;

use hitless_core::config::{FailOverMac, PortOptions, PortPattern};

use super::raw::{self, At};
use super::report::Problem;
use super::wifi;
use super::{MacChoice, names};

/// The ports' patterns, in order of preference.
pub(super) fn patterns(bond: &raw::Bond, problems: &mut Vec<Problem>) -> Vec<PortPattern> {
    let Some(ports) = &bond.ports else {
        problems.push(
            Problem::new(bond.name.span.clone(), format!("bond `{}` has no `ports`", bond.name.value))
                .help("name its interfaces in order of preference: ports = [\"eth0\", \"wlan0\"]"),
        );
        return Vec::new();
    };
    if ports.value.is_empty() {
        problems.push(
            Problem::new(ports.span.clone(), format!("bond `{}` has no ports", bond.name.value))
                .help("name its interfaces in order of preference: ports = [\"eth0\", \"wlan0\"]"),
        );
    }
    for (n, port) in ports.value.iter().enumerate() {
        let before = ports.value.get(..n).unwrap_or_default();
        if let Some(problem) = pattern_problem(bond, port, before) {
            problems.push(problem);
        }
    }
    ports.value.iter().map(|port| PortPattern::new(&port.value)).collect()
}

fn pattern_problem(bond: &raw::Bond, port: &At<String>, before: &[At<String>]) -> Option<Problem> {
    let name = port.value.as_str();
    let problem = |message: String| Problem::new(port.span.clone(), message);
    if let Some(fault) = names::fault(name) {
        return Some(problem(format!("`{}` cannot be an interface: {fault}", name.escape_debug())));
    }
    if name == bond.name.value {
        return Some(problem(format!("bond `{name}` cannot be a port of itself")));
    }
    if PortPattern::new(name).matches(&bond.name.value) {
        let message = format!("`{name}` matches the bond `{}` itself", bond.name.value);
        return Some(problem(message).help("take a narrower pattern, such as \"en*\""));
    }
    if name == "lo" {
        return Some(problem("the loopback interface cannot be a port".to_owned()));
    }
    if before.iter().any(|other| other.value == name) {
        return Some(problem(format!("port `{name}` is there twice")).help("remove one of them"));
    }
    let wider = before.iter().find(|other| PortPattern::new(&other.value).matches(name))?;
    Some(
        problem(format!("`{name}` is never reached: `{}` before it matches it already", wider.value))
            .help("the first pattern that matches decides; put the narrower one first"),
    )
}

/// The primary: as written, none for "none", else the first of the ports (which bonding does not do).
pub(super) fn primary(bond: &raw::Bond, problems: &mut Vec<Problem>) -> Option<PortPattern> {
    let ports = bond.ports.as_ref().map(|ports| ports.value.as_slice()).unwrap_or_default();
    let Some(primary) = &bond.primary else {
        return ports.first().map(|port| PortPattern::new(&port.value));
    };
    if primary.value == "none" {
        return None;
    }
    if !ports.is_empty() && !ports.iter().any(|port| names::overlap(&port.value, &primary.value)) {
        let known: Vec<_> = ports.iter().map(|port| port.value.as_str()).collect();
        problems.push(
            Problem::new(
                primary.span.clone(),
                format!("the primary `{}` is none of the ports", primary.value.escape_debug()),
            )
            .label(format!("expected one of {}, or \"none\"", known.join(", ")))
            .did_you_mean(&primary.value, known.iter().copied()),
        );
    }
    Some(PortPattern::new(&primary.value))
}

/// Options of single ports, by interface name.
pub(super) fn options(
    bond: &raw::Bond,
    patterns: &[PortPattern],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, PortOptions> {
    let mut queues: BTreeMap<i64, &str> = BTreeMap::new();
    let mut options = BTreeMap::new();
    for port in &bond.port {
        let name = port.name.value.as_str();
        if name.contains(['*', '?']) {
            problems.push(
                Problem::new(port.name.span.clone(), "options are for one interface, not for a pattern")
                    .help("name each interface: [bond.NAME.port.eth0]"),
            );
        } else if !patterns.is_empty() && !patterns.iter().any(|pattern| pattern.matches(name)) {
            let known: Vec<_> = patterns.iter().map(ToString::to_string).collect();
            problems.push(
                Problem::new(
                    port.name.span.clone(),
                    format!("options for `{name}`, which is none of the ports"),
                )
                .label(format!("expected one of {}", known.join(", ")))
                .did_you_mean(name, known.iter().map(String::as_str)),
            );
        }
        if let Some(queue) = &port.queue_id
            && queue.value != 0
            && let Some(other) = queues.insert(queue.value, name)
        {
            problems.push(
                Problem::new(queue.span.clone(), format!("`{other}` has queue-id {} already", queue.value))
                    .help("bonding gives a queue to one port only"),
            );
        }
        let prio = port.prio.as_ref().and_then(|prio| i32::try_from(prio.value).ok()).unwrap_or(0);
        let queue_id = port.queue_id.as_ref().and_then(|id| u16::try_from(id.value).ok()).unwrap_or(0);
        options.insert(name.to_owned(), PortOptions { prio, queue_id });
    }
    options
}

/// `follow` needs ports whose address can be changed while they are up.
pub(super) fn follow(bond: &raw::Bond, wifi: &[wifi::raw::Wifi], problems: &mut Vec<Problem>) {
    let follow = MacChoice::Fixed(FailOverMac::Follow);
    let Some(policy) = bond.fail_over_mac.as_ref().filter(|policy| policy.value == follow) else {
        return;
    };
    let ports = bond.ports.as_ref().map(|ports| ports.value.as_slice()).unwrap_or_default();
    let named = ports.iter().map(|port| port.value.as_str()).find(|port| port.starts_with("wl"));
    let described = || {
        let names = wifi.iter().map(|wifi| wifi.name.value.as_str());
        names.into_iter().find(|name| ports.iter().any(|port| names::overlap(&port.value, name)))
    };
    if let Some(wireless) = named.or_else(described) {
        problems.push(
            Problem::new(
                policy.span.clone(),
                format!("fail-over-mac = \"follow\" does not work with the Wi-Fi port `{wireless}`"),
            )
            .help("a Wi-Fi station refuses a new address while it is up (EBUSY), and follow gives it one at each failover")
            .help("take \"auto\", \"none\" (one address for all) or \"active\""),
        );
    }
}

/// More links asked for than there can be.
pub(super) fn min_links(bond: &raw::Bond, patterns: &[PortPattern], problems: &mut Vec<Problem>) -> u32 {
    let Some(min) = &bond.min_links else { return 0 };
    let fixed = !patterns.is_empty() && !patterns.iter().any(PortPattern::is_glob);
    let value = u32::try_from(min.value).unwrap_or(0);
    if fixed && usize::try_from(value).is_ok_and(|value| value > patterns.len()) {
        problems.push(
            Problem::new(
                min.span.clone(),
                format!("min-links = {value}, but there are {} ports", patterns.len()),
            )
            .help("the bond could never have a carrier"),
        );
    }
    value
}
