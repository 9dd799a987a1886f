//! What interfaces have before a bond is built around them.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hitless_linux::address::Address;
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::netlink::Netlink;
use hitless_linux::route::{BY_DHCP, Route, TABLE_MAIN};
use hitless_linux::suspend::since_boot;
use hitless_linux::sysctl::Ipv6Setting;
use serde::{Deserialize, Serialize};

/// An interface, and what it has.
#[derive(Clone, Debug)]
pub struct InUse {
    /// The interface.
    pub link: Link,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// All routes through it that the kernel did not make by itself.
    pub routes: Vec<Route>,
    /// Is it Wi-Fi?
    pub wireless: bool,
    /// Is there a network that hitless could make it join?
    pub known_network: bool,
    /// Does a DHCPv4 client run on it?
    pub client: bool,
    /// By what the server of its address knows it; `None`: the hardware address.
    pub client_id: Option<Vec<u8>>,
    /// By what DHCPv6 servers know it, in the same form (IAID and DUID, RFC 4361); `None`: that cannot be told.
    pub client_id6: Option<Vec<u8>>,
    /// Does the kernel listen to routers there? `None`: it has no IPv6.
    pub accept_ra: Option<bool>,
}

/// What an interface is to have again, however the bond is lost that was built around it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// Its index then.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Was it switched on?
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// All routes through it that the kernel did not make by itself.
    pub routes: Vec<Route>,
    /// When that was, since the machine was started: what was lent ends when it would have.
    pub seen: Duration,
}

impl InUse {
    /// Looks at an interface.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub async fn look(netlink: &Netlink, link: Link) -> Result<Self, RequestError> {
        let routes = netlink.routes(link.index).await?;
        Ok(Self {
            addresses: netlink.addresses(link.index).await?,
            routes: routes.into_iter().filter(|route| !route.is_kernels()).collect(),
            accept_ra: Ipv6Setting::AcceptRa.get(&link.name)?.map(|value| value != 0),
            link,
            wireless: false,
            known_network: false,
            client: false,
            client_id: None,
            client_id6: None,
        })
    }

    /// What it is to have again, as it was looked at just now.
    pub fn before(&self) -> Before {
        Before {
            index: self.link.index,
            name: self.link.name.clone(),
            up: self.link.admin_up,
            addresses: self.addresses.clone(),
            routes: self.routes.clone(),
            seen: since_boot(),
        }
    }

    /// The IPv4 address that a server lent: the one that ends. Where none does, and a client runs or a route is by DHCP, the
    /// first one: there are clients that say nothing of time to the kernel.
    pub(super) fn leased(&self) -> Option<Ipv4Addr> {
        let ipv4 = || {
            self.addresses.iter().filter_map(|address| match address.address {
                IpAddr::V4(v4) if !v4.is_link_local() => Some((v4, address)),
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            })
        };
        let ending = ipv4().find(|(_, address)| address.valid.is_some());
        let by_signs = || {
            let signs = self.client || self.has_route_by(BY_DHCP, true);
            ipv4().next().filter(|_| signs)
        };
        ending.or_else(by_signs).map(|(v4, _)| v4)
    }

    pub(super) fn has_route_by(&self, protocol: u8, ipv4: bool) -> bool {
        let is_meant = |route: &&Route| route.destination().0.is_ipv4() == ipv4;
        self.routes.iter().filter(is_meant).any(|route| route.protocol() == protocol)
    }
}

impl Before {
    /// Gives the interface of its name what of it is missing: after it was given back by a bond that may have lost some of
    /// it meanwhile. Everything is tried; what failed is returned.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub async fn complete(&self, netlink: &Netlink, link: &Link) -> Result<Vec<RequestError>, RequestError> {
        let mut failures = Vec::new();
        if self.up && !link.admin_up {
            failures.extend(netlink.set_up(link.index, true).await.err());
        }
        let held = netlink.addresses(link.index).await?;
        let is_held = |address: &Address| {
            held.iter().any(|held| (held.address, held.prefix_len) == (address.address, address.prefix_len))
        };
        for address in self.lasting().filter(|address| !is_held(address)) {
            let address = address.without_detection();
            failures.extend(netlink.add_address(link.index, &address).await.err());
        }
        for route in self.routes.iter().map(|route| route.moved(self.index, link.index)) {
            match netlink.append_route(&route).await {
                Err(error) if !error.is_exists() => failures.push(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(failures)
    }

    /// The addresses that it would have still; not those that every interface has by itself.
    fn lasting(&self) -> impl Iterator<Item = Address> {
        let age = since_boot().saturating_sub(self.seen);
        let own = |address: &&Address| address.address.is_ipv4() || !address.is_link_local();
        self.addresses.iter().filter(own).filter_map(move |address| address.clone().aged(age))
    }
}

/// The gateways of its default routes.
pub(super) fn gateways(port: &InUse) -> Vec<IpAddr> {
    defaults(port).flat_map(|route| route.gateways(port.link.index)).collect()
}

/// The metric of its best default route.
pub(super) fn metric(port: &InUse) -> Option<u32> {
    defaults(port).map(Route::metric).min()
}

fn defaults(port: &InUse) -> impl Iterator<Item = &Route> {
    port.routes.iter().filter(|route| route.is_default() && route.table() == TABLE_MAIN)
}
