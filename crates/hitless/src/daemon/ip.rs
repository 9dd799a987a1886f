//! What a bond has as a network interface: addresses and routes, static ones and those of a lease.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use hitless_core::dhcp::Lease;
use hitless_core::dhcp6;
use hitless_core::time::Instant;
use hitless_linux::address::Address;
use hitless_linux::error::RequestError;
use hitless_linux::netlink::Netlink;
use hitless_linux::route::{BY_DHCP, Route};
use hitless_linux::sysctl::Ipv6Setting;

use crate::config::{IpConfig, RouteConfig};

/// The kernel counts down by itself, in whole seconds: a lifetime that differs by no more than this is the same.
const SAME_LIFETIME: Duration = Duration::from_secs(3);

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
    /// Until when new connections use it; `None`: for ever.
    preferred_until: Option<Instant>,
    /// When it ends; `None`: never.
    until: Option<Instant>,
    /// Is the kernel to find out first whether somebody else has it (IPv6)? Until that is known it has no end: the kernel
    /// removes an address with an end that somebody else has, and nobody could tell why it is not there.
    untested: bool,
}

/// What the time is for leases. Each client counts from its own beginning on how long the machine has slept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) dhcp4: Instant,
    pub(super) dhcp6: Instant,
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Way {
    /// `None`: everywhere.
    to: Option<(IpAddr, u8)>,
    via: Via,
    metric: Option<u32>,
    by_dhcp: bool,
}

/// The next step on it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Via {
    Gateway(IpAddr),
    /// It is on the link itself.
    Link,
    /// It is nowhere.
    Nothing,
}

impl From<Option<IpAddr>> for Via {
    fn from(gateway: Option<IpAddr>) -> Self {
        gateway.map_or(Self::Link, Self::Gateway)
    }
}

impl Wanted {
    /// What is configured, and what servers have given.
    pub(super) fn of(config: &IpConfig, lease: Option<&Lease>, lease6: Option<&dhcp6::Lease>) -> Self {
        let fixed = |(address, prefix_len): &(IpAddr, u8)| Held {
            address: *address,
            prefix_len: *prefix_len,
            preferred_until: None,
            until: None,
            untested: false,
        };
        let mut wanted = Self {
            addresses: config.addresses.iter().map(fixed).collect(),
            ways: config.gateways.iter().map(|gateway| default_way(*gateway, config.metric)).collect(),
        };
        if let Some(lease) = lease {
            wanted.add(lease, config);
        }
        if let Some(lease) = lease6 {
            wanted.add6(lease);
        }
        // After default routes: a next hop may be reached by one of them.
        wanted.ways.extend(config.routes.iter().map(Way::from));
        wanted
    }

    fn add(&mut self, lease: &Lease, config: &IpConfig) {
        let address = IpAddr::V4(lease.parameters.address);
        if !self.addresses.iter().any(|held| held.address == address) {
            let prefix_len = lease.parameters.prefix_len;
            let until = lease.expires_at();
            self.addresses.push(Held { address, prefix_len, preferred_until: until, until, untested: false });
        }
        let has_own = config.gateways.iter().any(IpAddr::is_ipv4);
        let given = |to, via: Option<Ipv4Addr>| Way {
            to,
            via: via.map(IpAddr::V4).into(),
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

    /// How long the network's prefix is, and where routes lead, is told by routers: the address stands for itself. A
    /// delegated prefix leads nowhere as long as nobody gives parts of it to others, so that what is sent there does not go
    /// back and forth between the router and us (RFC 7084 section 4.2, WPD-5).
    fn add6(&mut self, lease: &dhcp6::Lease) {
        for lent in &lease.addresses {
            let address = IpAddr::V6(lent.what);
            if !self.addresses.iter().any(|held| held.address == address) {
                self.addresses.push(Held {
                    address,
                    prefix_len: 128,
                    preferred_until: lent.preferred_until,
                    until: lent.valid_until,
                    untested: lease.untested.contains(&lent.what),
                });
            }
        }
        self.ways.extend(lease.prefixes.iter().map(|lent| Way {
            to: Some((IpAddr::V6(lent.what.address), lent.what.length)),
            via: Via::Nothing,
            metric: None,
            by_dhcp: true,
        }));
    }
}

/// Has an interface an address of the link that it can be spoken from?
pub(super) fn has_link_local(addresses: &[Address]) -> bool {
    let usable = |address: &Address| !address.is_tentative() && !address.is_duplicate();
    addresses.iter().any(|address| address.address.is_ipv6() && address.is_link_local() && usable(address))
}

/// Has duplicate address detection found somebody else with this address? `None`: it is not over, or there is no such
/// address.
pub(super) fn is_duplicate(addresses: &[Address], address: Ipv6Addr) -> Option<bool> {
    let held = addresses.iter().find(|held| held.address == address)?;
    if held.is_duplicate() {
        return Some(true);
    }
    (!held.is_tentative()).then_some(false)
}

impl From<&RouteConfig> for Way {
    fn from(route: &RouteConfig) -> Self {
        Self { to: Some(route.to), via: route.via.into(), metric: route.metric, by_dhcp: false }
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
    now: Times,
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

/// Takes away what would stay when the bond's interface goes.
pub(super) async fn withdraw(netlink: &Netlink, had: &Wanted) -> Result<(), RequestError> {
    for way in had.ways.iter().filter(|way| way.via == Via::Nothing) {
        // It leads through no interface.
        ignore_gone(netlink.remove_route(&way.route(0)).await)?;
    }
    Ok(())
}

/// Only what is not there: every change is an event, which ends up here again.
async fn keep_addresses(
    netlink: &Netlink,
    bond: u32,
    wanted: &Wanted,
    now: Times,
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
    let (None, Via::Gateway(gateway)) = (way.to, way.via) else { return Ok(()) };
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
    fn address(&self, now: Times) -> Address {
        let plain = match (Address::new(self.address, self.prefix_len), self.prefix_len) {
            // It would lead to this address alone.
            (alone, 128) => alone.without_prefix_route(),
            (within, _) => within,
        };
        if self.untested {
            return plain;
        }
        let now = if self.address.is_ipv4() { now.dhcp4 } else { now.dhcp6 };
        let left = |until: Option<Instant>| until.map(|until| until.since(now));
        let [valid, preferred] = [left(self.until), left(self.preferred_until)];
        Address { valid, preferred, ..plain.without_detection() }
    }
}

impl Way {
    fn route(&self, bond: u32) -> Route {
        let route = match (self.to, self.via) {
            (None, Via::Gateway(gateway)) => Route::default_via(gateway, bond),
            (Some((to, prefix_len)), Via::Gateway(gateway)) => Route::to(to, prefix_len, bond).via(gateway),
            (Some((to, prefix_len)), Via::Link) => Route::to(to, prefix_len, bond),
            (Some((to, prefix_len)), Via::Nothing) => Route::unreachable(to, prefix_len),
            // Everything on the link itself (RFC 3442).
            (None, Via::Link | Via::Nothing) => Route::to(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, bond),
        };
        let route = if self.by_dhcp { route.with_protocol(BY_DHCP) } else { route };
        match self.metric {
            Some(metric) => route.with_metric(metric),
            None => route,
        }
    }
}

fn default_way(gateway: IpAddr, metric: Option<u32>) -> Way {
    Way { to: None, via: Via::Gateway(gateway), metric, by_dhcp: false }
}

fn ignore_gone(result: Result<(), RequestError>) -> Result<(), RequestError> {
    match result {
        Err(error) if !error.is_gone() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use hitless_core::dhcp::Duid;
    use hitless_core::dhcp6::{Lent, Prefix};

    use super::*;

    const OWN: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 5);

    fn now() -> Instant {
        Instant::after_epoch(Duration::from_secs(1000))
    }

    fn times() -> Times {
        Times { dhcp4: Instant::EPOCH, dhcp6: now() }
    }

    fn lease() -> dhcp6::Lease {
        let until = |seconds| Some(now() + Duration::from_secs(seconds));
        let prefix = Prefix { address: [0x2001, 0xdb8, 0x7700, 0, 0, 0, 0, 0].into(), length: 56 };
        dhcp6::Lease {
            server: Duid::from_uuid([1; 16]),
            from: Ipv6Addr::LOCALHOST,
            addresses: vec![Lent { what: OWN, preferred_until: until(60), valid_until: until(120) }],
            prefixes: vec![Lent { what: prefix, preferred_until: None, valid_until: None }],
            untested: [OWN].into(),
            renews_at: None,
            rebinds_at: None,
        }
    }

    #[test]
    fn an_address_has_no_end_before_it_is_known_to_be_unique() {
        let mut lease = lease();
        let held = |lease: &dhcp6::Lease| {
            Wanted::of(&IpConfig::default(), None, Some(lease)).addresses[0].address(times())
        };
        let untested = held(&lease);
        assert_eq!((untested.prefix_len, untested.valid, untested.preferred), (128, None, None));
        assert_eq!(untested.flags, Address::new(OWN.into(), 128).without_prefix_route().flags);
        lease.untested.clear();
        let tested = held(&lease);
        assert_eq!(tested.valid, Some(Duration::from_secs(120)));
        assert_eq!(tested.preferred, Some(Duration::from_secs(60)));
        assert!(!is_as_wanted(&untested, &tested));
    }

    #[test]
    fn what_is_configured_counts_more_and_a_prefix_leads_nowhere() {
        let config = IpConfig { addresses: vec![(OWN.into(), 64)], ..IpConfig::default() };
        let wanted = Wanted::of(&config, None, Some(&lease()));
        let [held] = &wanted.addresses[..] else { panic!("{wanted:?}") };
        assert_eq!((held.prefix_len, held.until), (64, None));
        let [way] = &wanted.ways[..] else { panic!("{wanted:?}") };
        assert_eq!(
            (way.via, way.route(7).interface(), way.route(7).protocol()),
            (Via::Nothing, None, BY_DHCP)
        );
    }

    #[test]
    fn what_duplicate_address_detection_has_found() {
        // IFA_F_DADFAILED and IFA_F_TENTATIVE (linux/if_addr.h).
        let with = |flags| Address { flags, ..Address::new(OWN.into(), 128) };
        assert_eq!(is_duplicate(&[with(0x40)], OWN), None);
        assert_eq!(is_duplicate(&[with(0x48)], OWN), Some(true));
        assert_eq!(is_duplicate(&[with(0)], OWN), Some(false));
        assert_eq!(is_duplicate(&[], OWN), None);
        assert!(!has_link_local(&[with(0)]));
        let local = |flags| Address { flags, ..Address::new("fe80::1".parse().unwrap(), 64) };
        assert!(has_link_local(&[with(0), local(0)]));
        assert!(!has_link_local(&[local(0x40), local(0x48)]));
    }
}
