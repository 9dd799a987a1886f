//! What a bond has as a network interface: addresses and routes, static ones and those of a lease.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hitless_core::dhcp::Lease;
use hitless_core::time::Instant;
use hitless_linux::address::Address;
use hitless_linux::error::RequestError;
use hitless_linux::netlink::Netlink;
use hitless_linux::route::Route;
use hitless_linux::sysctl::Ipv6Setting;

use crate::config::{IpConfig, RouteConfig};

/// The kernel counts down by itself, in whole seconds: a lifetime that differs by no more than this is the same.
const SAME_LIFETIME: Duration = Duration::from_secs(3);

/// `RTPROT_DHCP` (linux/rtnetlink.h): who looks at routes sees where one comes from.
const BY_DHCP: u8 = 16;

/// The addresses and routes that a bond is to have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wanted {
    addresses: Vec<Held>,
    ways: Vec<Way>,
}

/// An address.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Held {
    address: IpAddr,
    prefix_len: u8,
    /// When it ends; `None`: never.
    until: Option<Instant>,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Way {
    /// `None`: everywhere.
    to: Option<(IpAddr, u8)>,
    /// `None`: it is on the link itself.
    via: Option<IpAddr>,
    metric: Option<u32>,
    by_dhcp: bool,
}

impl Wanted {
    /// What is configured, and what a server has given.
    pub(super) fn of(config: &IpConfig, lease: Option<&Lease>) -> Self {
        let fixed = |(address, prefix_len): &(IpAddr, u8)| Held {
            address: *address,
            prefix_len: *prefix_len,
            until: None,
        };
        let mut wanted = Self {
            addresses: config.addresses.iter().map(fixed).collect(),
            ways: config.gateways.iter().map(|gateway| default_way(*gateway, config.metric)).collect(),
        };
        if let Some(lease) = lease {
            wanted.add(lease, config);
        }
        // After default routes: a next hop may be reached by one of them.
        wanted.ways.extend(config.routes.iter().map(Way::from));
        wanted
    }

    fn add(&mut self, lease: &Lease, config: &IpConfig) {
        let address = IpAddr::V4(lease.parameters.address);
        if !self.addresses.iter().any(|held| held.address == address) {
            let prefix_len = lease.parameters.prefix_len;
            self.addresses.push(Held { address, prefix_len, until: lease.expires_at() });
        }
        let has_own = config.gateways.iter().any(IpAddr::is_ipv4);
        let given = |to, via: Option<Ipv4Addr>| Way {
            to,
            via: via.map(IpAddr::V4),
            metric: config.metric,
            by_dhcp: true,
        };
        let routes = lease.parameters.routes.iter().map(|route| {
            let to = (IpAddr::V4(route.destination), route.prefix_len);
            given(Some(to).filter(|(_, prefix_len)| *prefix_len > 0), route.gateway)
        });
        // Of several, the first is the server's choice.
        let gateway = lease.parameters.gateways.first().map(|gateway| given(None, Some(*gateway)));
        // What the user says of the way everywhere counts more.
        self.ways.extend(routes.chain(gateway).filter(|way| way.to.is_some() || !has_own));
    }
}

impl From<&RouteConfig> for Way {
    fn from(route: &RouteConfig) -> Self {
        Self { to: Some(route.to), via: route.via, metric: route.metric, by_dhcp: false }
    }
}

/// Has the kernel make IPv6 addresses and routes of what routers advertise, or not; also where it forwards, which by itself
/// would end that. `None`: as it is.
pub(super) fn accept_router_advertisements(bond: &str, accept: Option<bool>) -> Result<(), RequestError> {
    let Some(accept) = accept else { return Ok(()) };
    let value = if accept { 2 } else { 0 };
    if Ipv6Setting::AcceptRa.get(bond)? != Some(value) {
        Ipv6Setting::AcceptRa.set(bond, value)?;
    }
    Ok(())
}

/// Gives a bond what `wanted` says and takes away what only `before` said; whatever else it has stays.
pub(super) async fn apply(
    netlink: &Netlink,
    bond: u32,
    before: &Wanted,
    wanted: &Wanted,
    now: Instant,
) -> Result<(), RequestError> {
    for way in before.ways.iter().filter(|way| !wanted.ways.contains(way)) {
        ignore_gone(netlink.remove_route(&way.route(bond)).await)?;
    }
    // The new address before the old one goes, so that the bond has one at every moment.
    keep_addresses(netlink, bond, wanted, now).await?;
    let kept = |held: &&Held| wanted.addresses.iter().any(|other| other.is_same(held));
    let gone: Vec<&Held> = before.addresses.iter().filter(|held| !kept(held)).collect();
    for held in &gone {
        ignore_gone(netlink.remove_address(bond, &held.address(now)).await)?;
    }
    if !gone.is_empty() {
        // With the first address of a network the kernel removes all others (`promote_secondaries`).
        keep_addresses(netlink, bond, wanted, now).await?;
    }
    for way in &wanted.ways {
        match netlink.add_route(&way.route(bond)).await {
            Err(error) if error.is_exists() => warn_of_other(netlink, bond, way).await?,
            result => result?,
        }
    }
    Ok(())
}

/// Only what is not there: every change is an event, which ends up here again.
async fn keep_addresses(
    netlink: &Netlink,
    bond: u32,
    wanted: &Wanted,
    now: Instant,
) -> Result<(), RequestError> {
    let present = netlink.addresses(bond).await?;
    for held in &wanted.addresses {
        let wanted = held.address(now);
        if !present.iter().any(|there| is_as_wanted(there, &wanted)) {
            netlink.replace_address(bond, &wanted).await?;
        }
    }
    Ok(())
}

fn is_as_wanted(there: &Address, wanted: &Address) -> bool {
    let same_end = match (there.valid, wanted.valid) {
        (Some(there), Some(wanted)) => there.abs_diff(wanted) <= SAME_LIFETIME,
        (there, wanted) => there == wanted,
    };
    there.address == wanted.address && there.prefix_len == wanted.prefix_len && same_end
}

/// A route that is there already may be another one to the same place, which the kernel does not have twice.
async fn warn_of_other(netlink: &Netlink, bond: u32, way: &Way) -> Result<(), RequestError> {
    let (None, Some(gateway)) = (way.to, way.via) else { return Ok(()) };
    if !netlink.gateways(bond).await?.contains(&gateway) {
        tracing::warn!(%gateway, "not used: there is a default route of another interface; remove it (ip route delete default)");
    }
    Ok(())
}

impl Held {
    fn is_same(&self, other: &Self) -> bool {
        (self.address, self.prefix_len) == (other.address, other.prefix_len)
    }

    /// In the kernel's words. It moves between ports all the time: nobody else can have got it in between.
    fn address(&self, now: Instant) -> Address {
        let left = self.until.map(|until| until.since(now));
        let plain = Address::new(self.address, self.prefix_len).without_detection();
        Address { valid: left, preferred: left, ..plain }
    }
}

impl Way {
    fn route(&self, bond: u32) -> Route {
        let route = match (self.to, self.via) {
            (None, Some(gateway)) => Route::default_via(gateway, bond),
            (Some((to, prefix_len)), Some(gateway)) => Route::to(to, prefix_len, bond).via(gateway),
            (Some((to, prefix_len)), None) => Route::to(to, prefix_len, bond),
            // Everything on the link itself (RFC 3442).
            (None, None) => Route::to(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, bond),
        };
        let route = if self.by_dhcp { route.with_protocol(BY_DHCP) } else { route };
        match self.metric {
            Some(metric) => route.with_metric(metric),
            None => route,
        }
    }
}

fn default_way(gateway: IpAddr, metric: Option<u32>) -> Way {
    Way { to: None, via: Some(gateway), metric, by_dhcp: false }
}

fn ignore_gone(result: Result<(), RequestError>) -> Result<(), RequestError> {
    match result {
        Err(error) if !error.is_gone() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
