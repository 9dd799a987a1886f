//! Ports, as the daemon sees them: the right one is active, they reach the same segment, how often they failed.

use hitless_api::{Bond, Cause, LinkState, Port};

use super::{Facts, Fault, Line, Seen, Verdict, named};

const ACTIVE: &str = "active-port";
const SEGMENT: &str = "segment";
const FAILURES: &str = "failures";

// How the daemon's words begin for what a port waits for.
pub(super) const ANOTHER_TRY: &str = "another try to attach it";
pub(super) const SAME_SEGMENT: &str = "a sign that it reaches the same network";
pub(super) const OTHER_SEGMENT: &str = "another network:";
pub(super) const FOREIGN: &str = "a network of ssid-allow";
pub(super) const OWN_ACCESS_POINT: &str = "an access point of its own";

/// Is it there, and no port as long as it waits for that? Then it is as it was found.
pub(super) fn is_kept_out(port: &Port) -> bool {
    [ANOTHER_TRY, OTHER_SEGMENT, FOREIGN].iter().any(|what| waits_for(port, what))
}

/// Is it there, and cannot be made a port?
pub(super) fn is_refused(port: &Port) -> bool {
    waits_for(port, ANOTHER_TRY)
}

pub(super) fn waits_for(port: &Port, what: &str) -> bool {
    port.waiting.as_deref().is_some_and(|waiting| waiting.starts_with(what))
}

/// Is there nothing in the way of using it?
fn is_ready(port: &Port) -> bool {
    port.link == LinkState::Up && port.waiting.is_none()
}

/// The right port is active, or it is said what that waits for.
pub(super) fn active(bond: &Bond) -> Line {
    let active = named(bond.ports.iter().filter(|port| port.active).map(|port| port.name.as_str()), "none");
    if active == "none" {
        let waiting = waiting(bond);
        return Line::fails(
            ACTIVE,
            format!("no port is active{waiting}"),
            "see hitless status and hitless wifi status",
        );
    }
    // In a mode without one active port, all that can carry traffic do.
    if bond.active.is_none() {
        let idle = bond.ports.iter().filter(|port| is_ready(port) && !port.active);
        let idle = idle.map(|port| Fault::new(format!("{} is idle", port.name), "see the daemon's log"));
        return Line::unless(idle.collect(), Line::holds(ACTIVE, format!("{active}{}", waiting(bond))));
    }
    let primary = bond.ports.iter().find(|port| Some(&port.name) == bond.primary.as_ref());
    match primary {
        Some(primary) if primary.active => Line::holds(ACTIVE, format!("{active}, the primary")),
        Some(primary) if is_ready(primary) => idle_primary(bond, primary, &active),
        Some(primary) => {
            let what = primary.waiting.as_deref().unwrap_or("its link");
            Line::holds(ACTIVE, format!("{active}; {}, the primary, waits for {what}", primary.name))
        }
        None => match &bond.primary {
            Some(primary) => Line::holds(ACTIVE, format!("{active}; {primary}, the primary, is not there")),
            None => Line::holds(ACTIVE, active),
        },
    }
}

/// The primary could be active and is not, which may be somebody's wish.
fn idle_primary(bond: &Bond, primary: &Port, active: &str) -> Line {
    let last = bond.last_failover.as_ref();
    let asked = last.is_some_and(|last| last.cause == Cause::Manual && last.to == bond.active);
    if asked {
        return Line::note(
            ACTIVE,
            format!("{active}, as was asked for; {}, the primary, is ready", primary.name),
        );
    }
    Line::fails(
        ACTIVE,
        format!("{active}, although {}, the primary, is ready", primary.name),
        format!(
            "hitless switch {} {}; unless primary-reselect says that it is to stay so",
            bond.name, primary.name
        ),
    )
}

fn waiting(bond: &Bond) -> String {
    let waiting = bond.ports.iter().filter_map(|port| Some((&port.name, port.waiting.as_ref()?)));
    waiting.map(|(port, what)| format!("; {port} waits for {what}")).collect()
}

/// The active port and the ports that stand by for it, ready, all of them wired: the daemon does not compare these.
pub(super) fn wires(bond: &Bond) -> Option<(&Port, Vec<&Port>)> {
    let is_wired = |port: &&Port| port.index.is_some() && port.wifi.is_none();
    let active = bond.ports.iter().find(|port| Some(&port.name) == bond.active.as_ref()).filter(is_wired)?;
    let standbys = bond.ports.iter().filter(is_wired).filter(|port| !port.active && is_ready(port));
    Some((active, standbys.collect()))
}

/// Ports reach the same segment: the daemon compares where Wi-Fi is one of two; wires are listened on.
pub(super) fn segment(facts: &Facts) -> Line {
    let present: Vec<&Port> = facts.bond.ports.iter().filter(|port| port.index.is_some()).collect();
    let faults = present.iter().filter_map(|port| {
        let waiting = port.waiting.as_deref()?;
        let (seen, remedy) = if waits_for(port, OTHER_SEGMENT) {
            ("leads elsewhere", "bring it into the network of the active port, or take it out of the bond")
        } else if waits_for(port, SAME_SEGMENT) {
            ("has not shown where it leads", "is the gateway up? If it answers nobody, set arp-ip-target")
        } else {
            return None;
        };
        Some(Fault::new(format!("{} {seen}; it waits for {waiting}", port.name), remedy))
    });
    Line::unless(faults.collect(), compared(facts, &present))
}

fn compared(facts: &Facts, present: &[&Port]) -> Line {
    let bond = &facts.bond;
    let Some(active) = present.iter().find(|port| Some(&port.name) == bond.active.as_ref()) else {
        return Line::note(SEGMENT, "there is no active port to compare with");
    };
    let others: Vec<_> = present.iter().filter(|port| !port.active).collect();
    if others.is_empty() {
        return Line::note(SEGMENT, "there is one port only, and nothing to compare");
    }
    let ready: Vec<_> = others.into_iter().filter(|port| is_ready(port)).collect();
    if ready.is_empty() {
        return Line::note(SEGMENT, format!("nothing to compare at present{}", waiting(bond)));
    }
    let found: Vec<_> = ready
        .into_iter()
        .map(|port| match port.wifi.is_some() || active.wifi.is_some() {
            true => compared_by_the_daemon(bond, port, active),
            false => listened_on(facts.heard.get(&port.name), port, active),
        })
        .collect();
    let seen = found.iter().map(|line| line.seen.as_str()).collect::<Vec<_>>().join("; ");
    let is_any = |verdict| found.iter().any(|line| line.verdict == verdict);
    if is_any(Verdict::Unknown) {
        Line::unknown(SEGMENT, seen)
    } else if is_any(Verdict::Note) {
        Line::note(SEGMENT, seen)
    } else {
        Line::holds(SEGMENT, seen)
    }
}

/// It is ready, and one of the two is Wi-Fi.
fn compared_by_the_daemon(bond: &Bond, port: &Port, active: &Port) -> Line {
    let (port, active, shown) = (&port.name, &active.name, port.same_segment);
    match bond.same_segment.as_str() {
        "off" => Line::note(SEGMENT, format!("{port} is not compared with {active}: same-segment is off")),
        _ if shown => Line::holds(SEGMENT, format!("{port} and {active} reach the same network")),
        "warn" => Line::note(
            SEGMENT,
            format!(
                "{port} has not been shown to reach the network of {active}, and is used all the same: same-segment is warn"
            ),
        ),
        _ => {
            Line::unknown(SEGMENT, format!("{port} has not been shown to reach the network of {active} yet"))
        }
    }
}

/// It is ready, and both are wired.
fn listened_on(heard: Option<&Seen<bool>>, port: &Port, active: &Port) -> Line {
    let (port, active) = (&port.name, &active.name);
    match heard {
        Some(Ok(true)) => Line::holds(SEGMENT, format!("{port} hears what {active} sends")),
        Some(Ok(false)) => Line::unknown(
            SEGMENT,
            format!("{port} does not hear what {active} sends: see to it that both lead to the same segment"),
        ),
        Some(Err(why)) => Line::unknown(SEGMENT, format!("whether {port} hears what {active} sends: {why}")),
        None => Line::unknown(SEGMENT, format!("{port} has not been compared with {active}")),
    }
}

/// How often links failed is something to know, and no fault of now.
pub(super) fn failures(bond: &Bond) -> Line {
    let failed = bond.ports.iter().filter(|port| port.link_failures > 0);
    let failed: Vec<_> = failed.map(|port| format!("{} {}", port.name, port.link_failures)).collect();
    if failed.is_empty() {
        return Line::holds(FAILURES, "no link has failed");
    }
    Line::note(FAILURES, format!("links have failed: {}", failed.join(", ")))
}
