//! The section of the configuration file that makes the bond again what the interfaces were.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use hitless_core::mac::MacAddr;
use hitless_linux::address::Address;
use hitless_linux::route::{Route, TABLE_MAIN};
use serde::Serialize;

use super::survey::{BY_DHCP, BY_ROUTER, InUse};
use super::{Wish, is_of_the_link};
use crate::config::DriverChoice;

/// The size of packets that needs no words.
const USUAL_MTU: u32 = 1500;

/// The kernel's own metric of IPv6 routes (`IP6_RT_PRIO_USER`); that of IPv4 routes is 0.
const METRIC_OF_IPV6: u32 = 1024;

/// The section, and what goes with it.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) text: String,
    /// The address that a server has lent.
    pub(super) leased: Option<Ipv4Addr>,
    /// What could not be said in it.
    pub(super) notes: Vec<String>,
}

#[derive(Serialize)]
struct File<'a> {
    bond: BTreeMap<&'a str, BondTable>,
}

/// The keys of docs/hitless.toml.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct BondTable {
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<&'static str>,
    mac: String,
    #[serde(skip_serializing_if = "IpTable::is_empty")]
    ip: IpTable,
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
struct IpTable {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    address: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gateway: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dhcp4: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chaddr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_ra: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dns: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    search: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    route: Vec<RouteTable>,
}

impl IpTable {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(PartialEq, Serialize)]
struct RouteTable {
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<u32>,
}

/// Writes it. `from` is the interface that the bond gets its identity from.
pub(super) fn section(wish: &Wish<'_>, bond: &str, from: &InUse, mac: MacAddr) -> Section {
    let names: Vec<_> = wish.ports.iter().map(|port| port.link.name.clone()).collect();
    let lessee = [from].into_iter().chain(wish.ports).find(|port| leased(port).is_some());
    let mut notes = Vec::new();
    let ip = ip(wish, from, mac, lessee, &mut notes);
    let table = BondTable { ports: names.clone(), driver: driver(wish.driver), mac: mac.to_string(), ip };
    let file = File { bond: BTreeMap::from([(bond, table)]) };
    // A structure of strings, numbers and tables always has a text.
    let text = toml::to_string(&file).unwrap_or_default();
    let text = format!("# Made by: hitless adopt {}\n{text}", names.join(" "));
    Section { text, leased: lessee.and_then(leased), notes }
}

fn driver(choice: DriverChoice) -> Option<&'static str> {
    match choice {
        DriverChoice::Auto => None,
        DriverChoice::Kernel => Some("kernel"),
        DriverChoice::Ebpf => Some("ebpf"),
    }
}

/// `lessee` is the port whose address a server has lent.
fn ip(
    wish: &Wish<'_>,
    from: &InUse,
    mac: MacAddr,
    lessee: Option<&InUse>,
    notes: &mut Vec<String>,
) -> IpTable {
    let leased = lessee.is_some();
    let mut ip = IpTable { mtu: Some(from.link.mtu).filter(|mtu| *mtu != USUAL_MTU), ..IpTable::default() };
    for port in wish.ports {
        ip.address.extend(fixed(port).map(|address| format!("{}/{}", address.address, address.prefix_len)));
        routes(port, leased, &mut ip, notes);
    }
    gateways(wish.ports, leased, &mut ip, notes);
    if let Some(lessee) = lessee {
        ip.dhcp4 = Some(true);
        ip.client_id = Some(client_id(lessee));
        ip.chaddr = Some(mac.to_string());
    } else if ip.address.iter().any(|address| !address.contains(':')) {
        ip.dns = wish.dns.servers.iter().map(ToString::to_string).collect();
        ip.search.clone_from(&wish.dns.search);
    }
    let by_router = |port: &InUse| {
        let made = |address: &Address| is_ipv6_of_others(address) && address.valid.is_some();
        port.has_route_by(BY_ROUTER, false) || port.addresses.iter().any(made)
    };
    if wish.ports.iter().any(by_router) {
        ip.accept_ra = Some(true);
    }
    ip
}

/// Whoever had the address before, the server knows us again: most clients that do not tell are known by the hardware
/// address.
fn client_id(lessee: &InUse) -> String {
    let octets = lessee.client_id.as_deref().map(|octets| octets.iter().map(|octet| format!("{octet:02x}")));
    octets.map_or_else(|| "mac".to_owned(), |octets| octets.collect::<Vec<_>>().join(":"))
}

fn is_ipv6_of_others(address: &Address) -> bool {
    address.address.is_ipv6() && !is_of_the_link(address)
}

/// The addresses that an administrator gave.
fn fixed(port: &InUse) -> impl Iterator<Item = &Address> {
    port.addresses
        .iter()
        .filter(|address| !is_of_the_link(address) && address.valid.is_none() && !port.is_leased(address))
}

/// The first address that a server lent.
fn leased(port: &InUse) -> Option<Ipv4Addr> {
    port.addresses.iter().find(|address| port.is_leased(address)).and_then(|address| match address.address {
        std::net::IpAddr::V4(v4) => Some(v4),
        std::net::IpAddr::V6(_) => None,
    })
}

/// The routes that an administrator made. Where a server lends the address, those for IPv4 are the server's, too.
fn own_routes(port: &InUse, leased: bool) -> impl Iterator<Item = &Route> {
    port.routes.iter().filter(move |route| {
        let by_server = leased && route.destination().0.is_ipv4();
        !by_server && ![BY_ROUTER, BY_DHCP].contains(&route.protocol())
    })
}

fn is_usual_default(route: &Route) -> bool {
    route.is_default() && route.table() == TABLE_MAIN
}

/// The best default route of each family: the bond needs no other.
fn gateways(ports: &[InUse], leased: bool, ip: &mut IpTable, notes: &mut Vec<String>) {
    for ipv4 in [true, false] {
        let of_family = |route: &&Route| is_usual_default(route) && route.destination().0.is_ipv4() == ipv4;
        let ways = ports.iter().flat_map(|port| {
            let ways = own_routes(port, leased).filter(of_family);
            ways.filter_map(|route| Some((route.metric(), *route.gateways(port.link.index).first()?)))
        });
        let mut ways: Vec<_> = ways.collect();
        ways.sort();
        let Some((metric, gateway)) = ways.first().copied() else { continue };
        ip.gateway.push(gateway.to_string());
        ip.metric = ip.metric.or(metric_of(ipv4, metric));
        for (_, other) in ways.into_iter().filter(|(_, other)| *other != gateway) {
            notes.push(format!(
                "the default route via {other} is worse than that via {gateway}, and not written down"
            ));
        }
    }
}

/// What has to be said of a metric.
fn metric_of(ipv4: bool, metric: u32) -> Option<u32> {
    let usual = if ipv4 { 0 } else { METRIC_OF_IPV6 };
    Some(metric).filter(|metric| *metric != usual)
}

/// All others.
fn routes(port: &InUse, leased: bool, ip: &mut IpTable, notes: &mut Vec<String>) {
    for route in own_routes(port, leased).filter(|route| !is_usual_default(route)) {
        let (to, prefix_len) = route.destination();
        let gateways = route.gateways(port.link.index);
        let shown = format!("{to}/{prefix_len}");
        if route.table() != TABLE_MAIN || gateways.len() > 1 {
            notes.push(format!(
                "the route to {shown} in table {} is moved, but cannot be said in the configuration: whoever made it has to \
                 make it on the bond",
                route.table()
            ));
            continue;
        }
        let via = gateways.first().map(ToString::to_string);
        ip.route.push(RouteTable { to: shown, via, metric: metric_of(to.is_ipv4(), route.metric()) });
    }
}
