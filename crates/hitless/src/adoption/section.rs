//! The section of the configuration file that makes the bond again what the interfaces were.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use hitless_core::mac::MacAddr;
use hitless_linux::address::Address;
use hitless_linux::route::{BY_BOOT, BY_ROUTER, BY_STATIC, Route, TABLE_MAIN};
use serde::Serialize;

use super::ipv6::{self, Giver};
use super::survey::InUse;
use super::{Wish, holder, is_of_the_link};
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
    dhcp6: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_ra: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addr_gen_mode: Option<&'static str>,
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
    let leased = from.leased();
    let mut notes = Vec::new();
    let ip = ip(wish, from, mac, &mut notes);
    let table = BondTable { ports: names.clone(), driver: driver(wish.driver), mac: mac.to_string(), ip };
    let file = File { bond: BTreeMap::from([(bond, table)]) };
    // A structure of strings, numbers and tables always has a text.
    let text = toml::to_string(&file).unwrap_or_default();
    let text = format!("# Made by: hitless adopt {}\n{text}", names.join(" "));
    Section { text, leased, notes }
}

fn driver(choice: DriverChoice) -> Option<&'static str> {
    match choice {
        DriverChoice::Auto => None,
        DriverChoice::Kernel => Some("kernel"),
        DriverChoice::Ebpf => Some("ebpf"),
    }
}

fn ip(wish: &Wish<'_>, from: &InUse, mac: MacAddr, notes: &mut Vec<String>) -> IpTable {
    let mut ip = IpTable { mtu: Some(from.link.mtu).filter(|mtu| *mtu != USUAL_MTU), ..IpTable::default() };
    for port in wish.ports {
        ip.address.extend(fixed(port).map(|address| format!("{}/{}", address.address, address.prefix_len)));
        routes(port, &mut ip, notes);
    }
    gateways(wish, from, &mut ip, notes);
    advertised(wish, from, mac, &mut ip);
    lent(wish, from, mac, &mut ip);
    // Who only has lent addresses is told of them by the server.
    if ip.dhcp4.is_none() && (ip.dhcp6.is_none() || !ip.address.is_empty()) {
        ip.dns = wish.dns.servers.iter().map(ToString::to_string).collect();
        ip.search.clone_from(&wish.dns.search);
    }
    for port in wish.ports.iter().filter(|port| port.link.index != from.link.index) {
        notes.extend(port.leased().map(|leased| {
            format!(
                "{leased} of {} was lent by a server: the bond has it until its time is over",
                port.link.name
            )
        }));
    }
    let same_client = ip.client_id.is_some() && ip.client_id == from.client_id6.as_deref().map(hex);
    notes.extend(ipv6::notes(wish, |port, address, giver| {
        let goes_on = match giver {
            Giver::Router => ipv6::is_eui64(address, mac),
            Giver::Server => same_client,
        };
        goes_on && port.link.index == from.link.index
    }));
    ip
}

/// Is anything made of what routers advertise, and of what?
fn advertised(wish: &Wish<'_>, from: &InUse, mac: MacAddr, ip: &mut IpTable) {
    let by_router =
        gave(wish, Giver::Router) || wish.ports.iter().any(|port| port.has_route_by(BY_ROUTER, false));
    ip.accept_ra = match from.accept_ra {
        _ if by_router => Some(true),
        // Nobody listened there, and nobody is to.
        Some(false) => Some(false),
        Some(true) | None => None,
    };
    let is_eui64 = |address: &Address| ipv6::is_eui64(address, mac);
    ip.addr_gen_mode = from.addresses.iter().any(is_eui64).then_some("eui64");
}

/// Which servers are asked, and as whom. One identity is for both: where they had been told different ones, that of IPv4.
fn lent(wish: &Wish<'_>, from: &InUse, mac: MacAddr, ip: &mut IpTable) {
    ip.dhcp6 = gave(wish, Giver::Server).then_some(true);
    if from.leased().is_some() {
        ip.dhcp4 = Some(true);
        ip.client_id = Some(from.client_id.as_deref().map_or_else(|| "mac".to_owned(), hex));
        // Whatever the bond's own is by then.
        ip.chaddr = Some(mac.to_string());
    } else if ip.dhcp6.is_some() {
        ip.client_id = from.client_id6.as_deref().map(hex);
    }
}

/// Is there an IPv6 address of theirs?
fn gave(wish: &Wish<'_>, giver: Giver) -> bool {
    let mut addresses = wish.ports.iter().flat_map(|port| &port.addresses);
    addresses.any(|address| ipv6::given(address).is_some_and(|(by, _)| by == giver))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

/// The addresses that an administrator gave.
fn fixed(port: &InUse) -> impl Iterator<Item = &Address> {
    let leased = port.leased().map(IpAddr::V4);
    port.addresses.iter().filter(move |address| {
        !is_of_the_link(address) && address.valid.is_none() && Some(address.address) != leased
    })
}

/// The routes that an administrator made. A client that lends addresses makes routes as `ip route` does, too.
fn own_routes(port: &InUse) -> impl Iterator<Item = &Route> {
    let leased = port.leased().is_some();
    port.routes.iter().filter(move |route| match route.protocol() {
        BY_STATIC => true,
        BY_BOOT => !(leased && route.destination().0.is_ipv4()),
        _ => false,
    })
}

fn is_usual_default(route: &Route) -> bool {
    route.is_default() && route.table() == TABLE_MAIN
}

/// The best default route of each family: the bond needs no other. That of a lease comes from the server, and keeps its
/// metric.
fn gateways(wish: &Wish<'_>, from: &InUse, ip: &mut IpTable, notes: &mut Vec<String>) {
    let ipv4 = match from.leased() {
        Some(_) => metric_of_lease(from),
        None => own_default(wish.ports, true, ip, notes),
    };
    let ipv6 = own_default(wish.ports, false, ip, notes);
    ip.metric = metric_of_both(wish, ipv4, ipv6, notes);
}

/// Has the best default route that an administrator made of this family go by its gateway. Returns its metric.
fn own_default(ports: &[InUse], ipv4: bool, ip: &mut IpTable, notes: &mut Vec<String>) -> Option<u32> {
    let of_family = |route: &&Route| is_usual_default(route) && route.destination().0.is_ipv4() == ipv4;
    let ways = ports.iter().flat_map(|port| {
        own_routes(port).filter(of_family).map(|route| (route.metric(), route.gateways(port.link.index)))
    });
    let ways: Vec<(u32, Vec<IpAddr>)> = ways.collect();
    let by_one_gateway = ways.iter().filter_map(|(metric, gateways)| match gateways.as_slice() {
        [gateway] if gateway.is_ipv4() == ipv4 => Some((*metric, *gateway)),
        _ => None,
    });
    let best = by_one_gateway.min();
    let others = ways.iter().filter(|(_, gateways)| best.is_none_or(|(_, best)| *gateways != [best]));
    notes.extend(others.map(|(_, gateways)| {
        format!(
            "a default route ({}) is moved, but cannot be said in the configuration beside the best one",
            shown(gateways)
        )
    }));
    let (metric, gateway) = best?;
    ip.gateway.push(gateway.to_string());
    Some(metric)
}

/// The one metric of the default routes of both families: that of the session's, else of IPv4. What it changes is noted.
fn metric_of_both(
    wish: &Wish<'_>,
    ipv4: Option<u32>,
    ipv6: Option<u32>,
    notes: &mut Vec<String>,
) -> Option<u32> {
    let mut families = [(true, ipv4), (false, ipv6)];
    let session = wish.session.map(|session| session.ip()).filter(|session| holder(wish, *session).is_some());
    if session.is_some_and(|session| session.is_ipv6()) {
        families.reverse();
    }
    let mut had = families.into_iter().filter_map(|(ipv4, metric)| Some((ipv4, metric?)));
    let (first, metric) = had.next()?;
    let said = metric_of(first, metric);
    notes.extend(had.filter_map(|(ipv4, had)| {
        let has = said.unwrap_or(usual_metric(ipv4));
        let family = if ipv4 { "IPv4" } else { "IPv6" };
        (had != has).then(|| {
            format!(
                "the default route of {family} had the metric {had}, and the bond's has {has}: one `metric` is for both families"
            )
        })
    }));
    said
}

fn shown(gateways: &[IpAddr]) -> String {
    if gateways.is_empty() {
        return "without a gateway".to_owned();
    }
    let all: Vec<_> = gateways.iter().map(|gateway| format!("via {gateway}")).collect();
    all.join(", ")
}

/// The metric of the best IPv4 default route, whoever made it.
fn metric_of_lease(port: &InUse) -> Option<u32> {
    let defaults =
        port.routes.iter().filter(|route| is_usual_default(route) && route.destination().0.is_ipv4());
    defaults.map(Route::metric).min()
}

/// What has to be said of a metric.
fn metric_of(ipv4: bool, metric: u32) -> Option<u32> {
    Some(metric).filter(|metric| *metric != usual_metric(ipv4))
}

/// The metric that needs no words.
fn usual_metric(ipv4: bool) -> u32 {
    if ipv4 { 0 } else { METRIC_OF_IPV6 }
}

/// All others.
fn routes(port: &InUse, ip: &mut IpTable, notes: &mut Vec<String>) {
    for route in own_routes(port).filter(|route| !is_usual_default(route)) {
        let (to, prefix_len) = route.destination();
        let gateways = route.gateways(port.link.index);
        let to_whom = format!("{to}/{prefix_len}");
        if route.table() != TABLE_MAIN || gateways.len() > 1 {
            notes.push(format!(
                "the route to {to_whom} in table {} is moved, but cannot be said in the configuration: whoever made it has to \
                 make it on the bond",
                route.table()
            ));
            continue;
        }
        let via = gateways.first().map(ToString::to_string);
        ip.route.push(RouteTable { to: to_whom, via, metric: metric_of(to.is_ipv4(), route.metric()) });
    }
}
