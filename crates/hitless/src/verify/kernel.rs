//! What the kernel has to say: the bond's interface, its driver, and settings that would be in the way.

use std::collections::BTreeSet;

use hitless_api::{Bond, Driver};
use hitless_linux::route::{Route, TABLE_MAIN};

use super::addresses::overlap;
use super::{Bonding, Datapath, Facts, Fault, Interface, Line, ports, sysctl};

const LINK: &str = "link";
const DRIVER: &str = "driver";
const RP_FILTER: &str = "rp-filter";
const ARP_IGNORE: &str = "arp-ignore";
const IPV6_ON_PORTS: &str = "ipv6-on-ports";

/// `rp_filter`: only what would be answered through the same interface.
const STRICT: i32 = 1;

/// `arp_ignore`: no request is answered.
const ANSWER_NONE: i32 = 8;

/// The daemon puts right by itself what differs from what it wants.
const LOOK_AGAIN: &str =
    "the daemon repairs this within seconds; where it does not, its log says why: journalctl -u hitless";

/// There is no interface to look at.
pub(super) fn missing(bond: &Bond) -> Line {
    Line::fails(
        LINK,
        format!("there is no interface {} in this network namespace", bond.name),
        "run this in the daemon's network namespace; or see what it logs: journalctl -u hitless",
    )
}

/// The bond is switched on and has a carrier.
pub(super) fn link(facts: &Facts, bond: &Interface) -> Line {
    if !bond.up {
        let remedy = format!("ip link set {} up", bond.name);
        return Line::fails(LINK, format!("{} is switched off", bond.name), remedy);
    }
    if !facts.bond.carrier {
        let remedy = "see what its ports wait for: hitless status";
        return Line::fails(LINK, format!("{} has no carrier", bond.name), remedy);
    }
    Line::holds(LINK, format!("{} is up and has a carrier", bond.name))
}

/// The kernel does what the daemon says that it does.
pub(super) fn driver(facts: &Facts, bond: &Interface) -> Line {
    let mut faults: Vec<_> = refused(facts).collect();
    let name = facts.bond.driver.as_str();
    let otherwise =
        Line::holds(DRIVER, format!("{} by the {name} driver on {}", facts.bond.mode, facts.port_names()));
    match facts.bond.driver {
        Driver::Kernel => faults.extend(bonding_faults(facts, bond)),
        Driver::Ebpf => match &facts.datapath {
            Ok(Some(datapath)) => faults.extend(datapath_faults(facts, datapath)),
            Ok(None) => {
                faults.push(Fault::new(format!("the ebpf programs are not on {}", bond.name), LOOK_AGAIN));
            }
            Err(why) if faults.is_empty() => return Line::unknown(DRIVER, why),
            Err(_) => {}
        },
    }
    Line::unless(faults, otherwise)
}

fn refused(facts: &Facts) -> impl Iterator<Item = Fault> {
    let refused = facts.bond.ports.iter().filter(|port| ports::is_refused(port));
    refused.map(|port| {
        let what = port.waiting.as_deref().unwrap_or_default();
        Fault::new(
            format!("{} is no port; it waits for {what}", port.name),
            "the daemon tries again by itself, as soon as nothing is in the way",
        )
    })
}

fn bonding_faults(facts: &Facts, bond: &Interface) -> Vec<Fault> {
    let Some(Bonding { mode, active }) = &bond.bonding else {
        return vec![Fault::new(format!("{} is not a bond of Linux bonding", bond.name), LOOK_AGAIN)];
    };
    let mut faults = Vec::new();
    if *mode != facts.bond.mode {
        faults.push(Fault::new(
            format!("the kernel's mode is {mode}, and not {}", facts.bond.mode),
            LOOK_AGAIN,
        ));
    }
    for (port, link) in facts.ports() {
        if link.master != Some(bond.index) {
            faults.push(Fault::new(format!("{} is not in {}", port.name, bond.name), LOOK_AGAIN));
        }
        if Some(&port.name) == facts.bond.active.as_ref() && *active != port.index {
            let there = active.map_or_else(|| "none".to_owned(), |index| facts.name_of(index));
            faults.push(Fault::new(format!("the kernel's active port is {there}"), LOOK_AGAIN));
        }
    }
    faults
}

fn datapath_faults(facts: &Facts, datapath: &Datapath) -> Vec<Fault> {
    let bare = facts.ports().filter(|(_, link)| !datapath.attached.contains(&link.index));
    let mut faults: Vec<_> = bare
        .map(|(port, _)| Fault::new(format!("the ebpf programs are not on {}", port.name), LOOK_AGAIN))
        .collect();
    let wanted: BTreeSet<u32> =
        facts.bond.ports.iter().filter(|port| port.active).filter_map(|port| port.index).collect();
    let present: BTreeSet<u32> = datapath.transmit.iter().copied().collect();
    if wanted != present {
        let names: Vec<_> = present.iter().map(|index| facts.name_of(*index)).collect();
        let by = super::named(names.iter().map(String::as_str), "no port");
        faults.push(Fault::new(format!("frames leave by {by}"), LOOK_AGAIN));
    }
    faults
}

/// Strict reverse path filtering drops what comes in on the bond where the kernel would answer by another interface.
pub(super) fn rp_filter(facts: &Facts, bond: &Interface) -> Line {
    let value = match &bond.settings {
        Ok(settings) => settings.rp_filter,
        Err(why) => return Line::unknown(RP_FILTER, why),
    };
    let otherwise = match value {
        Some(value) => {
            Line::holds(RP_FILTER, format!("{value} on {}, and nothing that is dropped by it", bond.name))
        }
        None => Line::unknown(RP_FILTER, "the kernel does not say"),
    };
    if value != Some(STRICT) {
        return otherwise;
    }
    let others = facts.interfaces.iter().filter(|other| other.index != bond.index && !other.loopback);
    let faults = others.filter_map(|other| {
        let how = rivalry(bond, other)?;
        let seen = format!("{STRICT} (strict) on {}, and {} {how}", bond.name, other.name);
        Some(Fault::new(seen, sysctl("ipv4", &bond.name, "rp_filter", 2)))
    });
    Line::unless(faults.collect(), otherwise)
}

/// How answers could leave by another interface than the bond.
fn rivalry(bond: &Interface, other: &Interface) -> Option<&'static str> {
    let shares = |address| bond.addresses.iter().any(|own| overlap(own, address));
    if other.addresses.iter().any(shares) {
        return Some("has an address in the same network");
    }
    let best = |interface: &Interface| {
        let defaults = interface.routes.iter().filter(|route| is_default_way(route));
        defaults.map(Route::metric).min()
    };
    (best(other)? <= best(bond)?).then_some("has a default route that counts as much, or more")
}

fn is_default_way(route: &Route) -> bool {
    route.is_default() && route.destination().0.is_ipv4() && route.table() == TABLE_MAIN
}

/// The bond answers ARP. (Ports hear none: all that is for the stack goes to the bond.)
pub(super) fn arp_ignore(bond: &Interface) -> Line {
    match &bond.settings {
        Err(why) => Line::unknown(ARP_IGNORE, why),
        Ok(settings) => match settings.arp_ignore {
            None => Line::unknown(ARP_IGNORE, "the kernel does not say"),
            Some(ANSWER_NONE) => Line::fails(
                ARP_IGNORE,
                format!("{ANSWER_NONE} on {}: it answers nobody", bond.name),
                // The greater of the two is in force.
                format!(
                    "{}; {}",
                    sysctl("ipv4", "all", "arp_ignore", 0),
                    sysctl("ipv4", &bond.name, "arp_ignore", 0)
                ),
            ),
            Some(value) => Line::holds(ARP_IGNORE, format!("{value} on {}", bond.name)),
        },
    }
}

/// IPv6 would give a port an address of its own, and answer for it.
pub(super) fn ipv6_on_ports(facts: &Facts) -> Line {
    let mut faults = Vec::new();
    for (port, link) in facts.ports() {
        match &link.settings {
            Err(why) => return Line::unknown(IPV6_ON_PORTS, why),
            Ok(settings) if settings.ipv6_disabled == Some(false) => faults.push(Fault::new(
                format!("IPv6 is switched on on {}", port.name),
                sysctl("ipv6", &port.name, "disable_ipv6", 1),
            )),
            Ok(_) => {}
        }
    }
    Line::unless(faults, Line::holds(IPV6_ON_PORTS, format!("switched off on {}", facts.port_names())))
}
