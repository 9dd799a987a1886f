//! What interfaces have before a bond is built around them.

use std::net::IpAddr;

use hitless_linux::address::Address;
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::netlink::Netlink;
use hitless_linux::route::{Route, TABLE_MAIN};

/// Who made a route (`RTPROT_*`, linux/rtnetlink.h): routers' advertisements, and DHCP.
pub(super) const BY_ROUTER: u8 = 9;
pub(super) const BY_DHCP: u8 = 16;

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
    /// Does a DHCP client run on it?
    pub client: bool,
    /// Who it is to DHCP servers (option 61), as far as its client tells.
    pub client_id: Option<Vec<u8>>,
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
            link,
            wireless: false,
            known_network: false,
            client: false,
            client_id: None,
        })
    }

    /// Was its IPv4 address lent by a server? An address that ends was; one that does not, where a client runs on it, that
    /// says nothing of time to the kernel.
    pub(super) fn is_leased(&self, address: &Address) -> bool {
        address.address.is_ipv4()
            && (address.valid.is_some() || self.client || self.has_route_by(BY_DHCP, true))
    }

    pub(super) fn has_route_by(&self, protocol: u8, ipv4: bool) -> bool {
        let is_meant = |route: &&Route| route.destination().0.is_ipv4() == ipv4;
        self.routes.iter().filter(is_meant).any(|route| route.protocol() == protocol)
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
