//! Routes through interfaces.

#![allow(clippy::wildcard_enum_match_arm, reason = "rtnetlink's enums are foreign, open and long")]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{
    DecodeError, Emitable as _, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, Parseable as _,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::{Deserialize, Serialize};

use crate::address::family_of;
use crate::error::{Cause, RequestError};
use crate::netlink::Netlink;

/// The routing table that the kernel keeps of its own addresses (`RT_TABLE_LOCAL`).
pub const TABLE_LOCAL: u32 = 255;

/// Who made a route (`RTPROT_*`, linux/rtnetlink.h): `ip route` without further words, an administrator, routers by their
/// advertisements, a DHCP client.
pub const BY_BOOT: u8 = 3;
/// See [`BY_BOOT`].
pub const BY_STATIC: u8 = 4;
/// See [`BY_BOOT`].
pub const BY_ROUTER: u8 = 9;
/// See [`BY_BOOT`].
pub const BY_DHCP: u8 = 16;

/// The routing table of everyday use (`RT_TABLE_MAIN`).
pub const TABLE_MAIN: u32 = 254;

/// The metric of the default routes that the kernel makes of what routers advertise (`IP6_RT_PRIO_USER`, which
/// `ra_defrtr_metric` is by itself).
const ADVERTISED: u32 = 1024;

/// The metric of one that has been moved.
const ASIDE: u32 = ADVERTISED + 1;

/// The size of `struct rtmsg`.
const RTMSG: usize = 12;

/// Ticks per second in which the kernel tells times to user space (`USER_HZ`).
const USER_HZ: u32 = 100;

/// A route. All that the kernel says of it is kept, so that it can be put back, or put on another interface, as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<u8>", try_from = "Vec<u8>")]
pub struct Route {
    message: RouteMessage,
}

/// What is kept of a route in a file: what the kernel said, in its own form (`rtmsg` and its attributes, rtnetlink(7)).
impl From<Route> for Vec<u8> {
    fn from(route: Route) -> Self {
        let mut bytes = vec![0; route.message.buffer_len()];
        route.message.emit(&mut bytes);
        bytes
    }
}

impl TryFrom<Vec<u8>> for Route {
    type Error = DecodeError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        // Shorter than this is no route, and nothing that the library could take.
        if bytes.len() < RTMSG {
            return Err(DecodeError::from("too short for a route"));
        }
        RouteMessage::parse(&bytes).map(|message| Self { message })
    }
}

impl Route {
    /// A route to a network that is on the link itself.
    pub fn to(destination: IpAddr, prefix_len: u8, index: u32) -> Self {
        let mut route = Self::blank(family_of(destination), RouteScope::Link);
        route.message.header.destination_prefix_length = prefix_len;
        if prefix_len != 0 {
            route.message.attributes.push(RouteAttribute::Destination(destination.into()));
        }
        route.message.attributes.push(RouteAttribute::Oif(index));
        route
    }

    /// A route to a network that is nowhere: who sends there is told so.
    pub fn unreachable(destination: IpAddr, prefix_len: u8) -> Self {
        let mut route = Self::blank(family_of(destination), RouteScope::Universe);
        route.message.header.kind = RouteType::Unreachable;
        route.message.header.destination_prefix_length = prefix_len;
        route.message.attributes = vec![RouteAttribute::Destination(destination.into())];
        route
    }

    /// The default route through a gateway.
    pub fn default_via(gateway: IpAddr, index: u32) -> Self {
        let mut route = Self::blank(family_of(gateway), RouteScope::Universe);
        route.message.attributes = vec![RouteAttribute::Gateway(gateway.into()), RouteAttribute::Oif(index)];
        route
    }

    fn blank(family: AddressFamily, scope: RouteScope) -> Self {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: family,
            table: RouteHeader::RT_TABLE_MAIN,
            protocol: RouteProtocol::Static,
            // IPv6 knows no scopes.
            scope: if family == AddressFamily::Inet6 { RouteScope::Universe } else { scope },
            kind: RouteType::Unicast,
            ..RouteHeader::default()
        };
        Self { message }
    }

    /// The same route through a gateway.
    #[must_use]
    pub fn via(mut self, gateway: IpAddr) -> Self {
        self.message.header.scope = RouteScope::Universe;
        self.with(RouteAttribute::Gateway(gateway.into()))
    }

    /// The same route, whose gateway is on the link even if no address says so.
    #[must_use]
    pub fn onlink(mut self) -> Self {
        self.message.header.flags |= RouteFlags::Onlink;
        self
    }

    /// The same route with this metric: of several to the same destination, the lowest wins.
    #[must_use]
    pub fn with_metric(self, metric: u32) -> Self {
        self.with(RouteAttribute::Priority(metric))
    }

    /// The same route with this as the sender's address by default.
    #[must_use]
    pub fn with_source(self, address: IpAddr) -> Self {
        self.with(RouteAttribute::PrefSource(address.into()))
    }

    /// The same route in this table.
    #[must_use]
    pub fn with_table(mut self, table: u32) -> Self {
        self.message.header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
        self.with(RouteAttribute::Table(table))
    }

    /// The same route, made by this protocol (`RTPROT_*`).
    #[must_use]
    pub fn with_protocol(mut self, protocol: u8) -> Self {
        self.message.header.protocol = protocol.into();
        self
    }

    fn with(mut self, attribute: RouteAttribute) -> Self {
        let kind = std::mem::discriminant(&attribute);
        self.message.attributes.retain(|present| std::mem::discriminant(present) != kind);
        self.message.attributes.push(attribute);
        self
    }

    /// Where it leads: address and number of bits that count.
    pub fn destination(&self) -> (IpAddr, u8) {
        let address = self.attribute(|attribute| match attribute {
            RouteAttribute::Destination(address) => ip(address),
            _ => None,
        });
        (address.unwrap_or_else(|| self.unspecified()), self.message.header.destination_prefix_length)
    }

    fn unspecified(&self) -> IpAddr {
        match self.message.header.address_family {
            AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// Does it lead everywhere?
    pub fn is_default(&self) -> bool {
        self.message.header.destination_prefix_length == 0 && self.message.header.kind == RouteType::Unicast
    }

    /// The table that it is in.
    pub fn table(&self) -> u32 {
        let table = self.attribute(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
        table.unwrap_or_else(|| self.message.header.table.into())
    }

    /// Its metric; 0 where it has none.
    pub fn metric(&self) -> u32 {
        let metric = self.attribute(|attribute| match attribute {
            RouteAttribute::Priority(metric) => Some(*metric),
            _ => None,
        });
        metric.unwrap_or(0)
    }

    /// Who made it (`RTPROT_*`).
    pub fn protocol(&self) -> u8 {
        self.message.header.protocol.into()
    }

    /// Did the kernel make it by itself, for an address?
    pub fn is_kernels(&self) -> bool {
        self.message.header.protocol == RouteProtocol::Kernel
    }

    /// Does every interface with IPv6 have a route like this by itself (fe80::/10, ff00::/8)?
    pub(crate) fn is_of_the_link_itself(&self) -> bool {
        match self.destination().0 {
            IpAddr::V6(address) => {
                self.is_kernels() && (address.is_unicast_link_local() || address.is_multicast())
            }
            IpAddr::V4(_) => false,
        }
    }

    /// The sender's address by default.
    pub fn source(&self) -> Option<IpAddr> {
        self.attribute(|attribute| match attribute {
            RouteAttribute::PrefSource(address) => ip(address),
            _ => None,
        })
    }

    /// Is its gateway on the link by decree?
    pub fn is_onlink(&self) -> bool {
        self.message.header.flags.contains(RouteFlags::Onlink)
    }

    /// The gateways through this interface; of a multipath route there can be several.
    pub fn gateways(&self, index: u32) -> Vec<IpAddr> {
        if self.interface() == Some(index) {
            return gateway(&self.message.attributes).into_iter().collect();
        }
        let hops = self.hops().iter().filter(|hop| hop.interface_index == index);
        hops.filter_map(|hop| gateway(&hop.attributes)).collect()
    }

    /// The interface, unless it is a multipath route.
    pub fn interface(&self) -> Option<u32> {
        self.attribute(|attribute| match attribute {
            RouteAttribute::Oif(index) => Some(*index),
            _ => None,
        })
    }

    /// Does it lead through this interface, also as one of several?
    pub fn uses(&self, index: u32) -> bool {
        self.interface() == Some(index) || self.hops().iter().any(|hop| hop.interface_index == index)
    }

    fn hops(&self) -> &[RouteNextHop] {
        let hops = self.message.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::MultiPath(hops) => Some(hops.as_slice()),
            _ => None,
        });
        hops.unwrap_or_default()
    }

    fn attribute<T>(&self, pick: impl Fn(&RouteAttribute) -> Option<T>) -> Option<T> {
        self.message.attributes.iter().find_map(pick)
    }

    fn is_ipv6(&self) -> bool {
        self.message.header.address_family == AddressFamily::Inet6
    }

    /// Is it a default route as the kernel makes it of what routers advertise, or such a one that has been moved?
    fn is_advertised(&self) -> bool {
        let by_router = self.is_ipv6() && self.is_default() && self.protocol() == BY_ROUTER;
        by_router && matches!(self.metric(), ADVERTISED | ASIDE)
    }

    /// The metric that it has, or had before it was moved.
    pub(crate) fn original_metric(&self) -> u32 {
        if self.is_advertised() { ADVERTISED } else { self.metric() }
    }

    /// Do the two routes stand for each other, whoever made them: same table, destination, metric, service and next hops?
    pub(crate) fn is_same_way(&self, other: &Self, index: u32) -> bool {
        self.destination() == other.destination()
            && self.table() == other.table()
            && self.metric() == other.metric()
            && self.message.header.tos == other.message.header.tos
            && self.gateways(index) == other.gateways(index)
    }

    /// This route as it can be asked for again: without states and statistics. `None`, where there is nothing that
    /// could be asked for (a cached route).
    ///
    /// IPv6 keeps each hop of a multipath route by itself, so there this is only the part through `index`.
    pub(crate) fn parts(&self, index: u32) -> Vec<Self> {
        if self.message.header.flags.contains(RouteFlags::Cloned) {
            return Vec::new();
        }
        let mut plain = self.clone();
        plain.message.header.flags &= RouteFlags::Onlink;
        // The kernel tells the age of a route and wants to be told its remaining time.
        let expires = self.attribute(|attribute| match attribute {
            RouteAttribute::CacheInfo(info) if self.is_ipv6() && info.expires != 0 => {
                Some(info.expires / USER_HZ)
            }
            _ => None,
        });
        plain.message.attributes.retain(|attribute| {
            !matches!(
                attribute,
                RouteAttribute::CacheInfo(_) | RouteAttribute::NhId(_) | RouteAttribute::Expires(_)
            )
        });
        plain.message.attributes.extend(expires.map(RouteAttribute::Expires));
        if self.is_ipv6() && !self.hops().is_empty() {
            return plain
                .hops()
                .iter()
                .filter(|hop| hop.interface_index == index)
                .map(|hop| plain.only(hop))
                .collect();
        }
        plain.clean_hops();
        vec![plain]
    }

    /// The part of a multipath route that is this hop.
    fn only(&self, hop: &RouteNextHop) -> Self {
        let mut part = self.clone();
        part.message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::MultiPath(_)));
        part.message.attributes.push(RouteAttribute::Oif(hop.interface_index));
        part.message.attributes.extend(hop.attributes.iter().cloned());
        if hop.flags.contains(RouteNextHopFlags::Onlink) {
            part.message.header.flags |= RouteFlags::Onlink;
        }
        part
    }

    fn clean_hops(&mut self) {
        self.each_hop(|hop| hop.flags &= RouteNextHopFlags::Onlink);
    }

    fn each_hop(&mut self, change: impl Fn(&mut RouteNextHop)) {
        for attribute in &mut self.message.attributes {
            if let RouteAttribute::MultiPath(hops) = attribute {
                hops.iter_mut().for_each(&change);
            }
        }
    }

    /// The same route through interface `to` wherever this one goes through `from`. A default route that a router advertised
    /// steps aside for the one that the kernel makes there of the next advertisement: where its place is taken by one that it
    /// has not made itself, it passes over the whole advertisement, and prolongs no address either
    /// (`ndisc_router_discovery`).
    #[must_use]
    pub fn moved(&self, from: u32, to: u32) -> Self {
        let mut moved = self.clone();
        if self.is_advertised() {
            moved = moved.with_metric(ASIDE);
        }
        for attribute in &mut moved.message.attributes {
            if let RouteAttribute::Oif(index) = attribute {
                *index = if *index == from { to } else { *index };
            }
        }
        moved.each_hop(|hop| {
            hop.interface_index = if hop.interface_index == from { to } else { hop.interface_index }
        });
        moved
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, prefix_len) = self.destination();
        if self.is_default() {
            f.write_str(if address.is_ipv6() { "default (IPv6)" } else { "default" })?;
        } else {
            write!(f, "{address}/{prefix_len}")?;
        }
        if let Some(gateway) = gateway(&self.message.attributes) {
            write!(f, " via {gateway}")?;
        }
        match self.table() {
            TABLE_MAIN => Ok(()),
            table => write!(f, " in table {table}"),
        }
    }
}

fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(RouteVia::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Via(RouteVia::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        RouteAddress::Mpls(_) | RouteAddress::Other(_) | _ => None,
    }
}

impl Netlink {
    /// The routes through an interface, of all tables, IPv4 first.
    ///
    /// # Errors
    /// When the interface is gone.
    pub async fn routes(&self, index: u32) -> Result<Vec<Route>, RequestError> {
        let mut routes = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            // The kernel filters by this (strict checking), which matters where there is a full routing table.
            message.attributes.push(RouteAttribute::Oif(index));
            match self.dump(RouteNetlinkMessage::GetRoute(message)).await {
                Ok(answers) => {
                    routes.extend(answers.into_iter().filter_map(|answer| route_of(answer, index)));
                }
                // IPv6 may not be there; without any route in it, the kernel says ENOENT.
                Err(Cause::Kernel {
                    errno: nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::ENOENT,
                    ..
                }) => {}
                Err(cause) => return Err(self.name_error(cause, "list the routes through", index).await),
            }
        }
        Ok(routes)
    }

    /// The gateways of an interface's default routes, the one with the lowest metric first.
    ///
    /// # Errors
    /// When the interface is gone.
    pub async fn gateways(&self, index: u32) -> Result<Vec<IpAddr>, RequestError> {
        let mut defaults: Vec<Route> =
            self.routes(index).await?.into_iter().filter(Route::is_default).collect();
        defaults.sort_by_key(Route::metric);
        let mut gateways = Vec::new();
        for gateway in defaults.iter().flat_map(|route| route.gateways(index)) {
            if !gateways.contains(&gateway) {
                gateways.push(gateway);
            }
        }
        Ok(gateways)
    }

    /// Add a route.
    ///
    /// # Errors
    /// When there is one to the same destination with the same metric ([`RequestError::is_exists`]), or the gateway
    /// cannot be reached, or the interface is down.
    pub async fn add_route(&self, route: &Route) -> Result<(), RequestError> {
        self.new_route(route, NLM_F_CREATE | NLM_F_EXCL).await
    }

    /// Add a route behind those that there are to the same destination with the same metric: it is used when they are gone
    /// (IPv6: beside them).
    ///
    /// # Errors
    /// When there is the same through the same interface ([`RequestError::is_exists`]), or the gateway cannot be
    /// reached, or the interface is down.
    pub async fn append_route(&self, route: &Route) -> Result<(), RequestError> {
        self.new_route(route, NLM_F_CREATE | NLM_F_APPEND).await
    }

    async fn new_route(&self, route: &Route, flags: u16) -> Result<(), RequestError> {
        let result = self.perform(RouteNetlinkMessage::NewRoute(route.message.clone()), flags).await;
        self.route_result(result, route, "add the route", "on").await
    }

    /// Remove a route.
    ///
    /// # Errors
    /// When it is not there ([`RequestError::is_gone`]).
    pub async fn remove_route(&self, route: &Route) -> Result<(), RequestError> {
        let mut message = route.message.clone();
        message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::Expires(_)));
        let result = self.perform(RouteNetlinkMessage::DelRoute(message), 0).await;
        self.route_result(result, route, "remove the route", "from").await
    }

    async fn route_result(
        &self,
        result: Result<(), Cause>,
        route: &Route,
        verb: &str,
        preposition: &str,
    ) -> Result<(), RequestError> {
        let Err(cause) = result else { return Ok(()) };
        match route.interface() {
            Some(index) => Err(self.name_error(cause, format!("{verb} {route} {preposition}"), index).await),
            None => Err(cause.of(format!("{verb} {route}"), "")),
        }
    }
}

fn route_of(message: RouteNetlinkMessage, index: u32) -> Option<Route> {
    match message {
        RouteNetlinkMessage::NewRoute(message) => Some(Route { message }).filter(|route| route.uses(index)),
        _ => None,
    }
}
