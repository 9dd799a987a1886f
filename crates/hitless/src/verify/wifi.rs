//! What Wi-Fi asks for: stations are associated, and an access point takes their addresses.

use hitless_api::{Bond, Port};

use super::ports::{FOREIGN, OWN_ACCESS_POINT, waits_for};
use super::{Facts, Fault, Interface, Line, named};

const ASSOCIATION: &str = "wifi";
const MAC: &str = "mac";

/// Every station has joined a network.
pub(super) fn association(bond: &Bond) -> Line {
    let stations = bond.ports.iter().filter_map(|port| Some((port, port.wifi.as_ref()?)));
    let mut joined = Vec::new();
    let mut faults = Vec::new();
    let mut foreign = false;
    for (port, wifi) in stations {
        let trouble = wifi.blocked.as_ref().or(wifi.fault.as_ref());
        match &wifi.ssid {
            Some(ssid) if wifi.blocked.is_none() => {
                let signal = wifi.signal_dbm.map(|signal| format!(", {signal} dBm")).unwrap_or_default();
                let strange = waits_for(port, FOREIGN);
                let but = if strange { ", which ssid-allow keeps out of the bond" } else { "" };
                foreign |= strange;
                joined.push(format!("{} has joined {ssid}{signal}{but}", port.name));
            }
            Some(_) | None => faults.push(Fault::new(
                format!("{} has joined no network ({})", port.name, wifi.state),
                trouble.map_or_else(|| "hitless wifi status; hitless wifi scan".to_owned(), Clone::clone),
            )),
        }
    }
    let otherwise = match joined.as_slice() {
        [] => Line::note(ASSOCIATION, "no port is Wi-Fi"),
        joined if foreign => Line::note(ASSOCIATION, joined.join("; ")),
        joined => Line::holds(ASSOCIATION, joined.join("; ")),
    };
    Line::unless(faults, otherwise)
}

/// Hardware addresses are as the policy says, so that switches and access points send back what is for the bond.
pub(super) fn mac(facts: &Facts, bond: &Interface) -> Line {
    let policy = facts.bond.fail_over_mac.as_str();
    let Some(own) = bond.mac else {
        return Line::unknown(MAC, format!("{} has no hardware address", bond.name));
    };
    // With one address for all, every port has the bond's; else only the active one does.
    let bound = |port: &Port| policy == "none" || port.active;
    let faults =
        facts.ports().filter(|(port, link)| bound(port) && link.mac != Some(own)).map(|(port, link)| {
            let has = link.mac.map_or_else(|| "none".to_owned(), |mac| mac.to_string());
            Fault::new(
                format!("{} has {has}, and not {own}, that of {}", port.name, bond.name),
                format!("hitless port remove {0} {1} && hitless port add {0} {1}", bond.name, port.name),
            )
        });
    let faults = faults.chain(rivals(facts)).collect();
    let sharing =
        named(facts.ports().filter(|(port, _)| bound(port)).map(|(port, _)| port.name.as_str()), "no port");
    Line::unless(
        faults,
        Line::holds(MAC, format!("fail-over-mac {policy}: {own} on {}, {sharing}", bond.name)),
    )
}

/// Two stations with one address at one access point are one station to it, and it drops the first for the second.
fn rivals(facts: &Facts) -> Option<Fault> {
    let remedy = "give each a network of its own, or a bssid, or set fail-over-mac = \"active\"";
    let stations: Vec<_> = facts
        .ports()
        .filter_map(|(port, link)| Some((&port.name, link.mac?, port.wifi.as_ref()?.bssid.as_ref()?)))
        .collect();
    let both = stations.iter().enumerate().find_map(|(n, first)| {
        let second = stations.iter().skip(n + 1).find(|second| (second.1, second.2) == (first.1, first.2))?;
        Some(format!("{} and {} have one address at one access point, {}", first.0, second.0, first.2))
    });
    // While one of them is out, the daemon remembers why.
    let out = || {
        let (port, _) = facts.ports().find(|(port, _)| waits_for(port, OWN_ACCESS_POINT))?;
        Some(format!("{} waits for {}", port.name, port.waiting.as_deref()?))
    };
    both.or_else(out).map(|seen| Fault::new(seen, remedy))
}
