//! Moving all addresses and routes from one interface to another while connections go on.
//!
//! The order is what matters: first every address is added to the new interface, then every route, and only then
//! the old ones are removed. The host has each address at every moment, so the kernel drops no route that names
//! it as source and resets no connection. Every step is noted, and undone in reverse order when one fails.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::address::Address;
use crate::error::{Cause, RequestError};
use crate::netlink::Netlink;
use crate::route::{Route, TABLE_LOCAL};

/// What was moved from where to where, and the way back.
#[derive(Clone, Debug)]
pub struct Takeover {
    from: u32,
    to: u32,
    /// The name of `to`.
    taker: String,
    /// What is copied; `None`: everything, and moved.
    only: Option<Belongings>,
    done: Vec<Step>,
    /// What failed where the rest is worth having all the same.
    failures: Vec<RequestError>,
}

/// The addresses and routes of an interface, as far as they can be moved and recognised on another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belongings {
    /// With their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Those that the kernel does not make for addresses by itself.
    pub routes: Vec<Way>,
    /// The labels of those IPv4 addresses that have one (`eth0:1`). They begin with the interface's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<(IpAddr, String)>,
}

/// What a route is recognised by, on whichever interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// Where it leads, with the prefix length.
    pub destination: (IpAddr, u8),
    /// The next hops; none where the destination is on the link.
    pub gateways: Vec<IpAddr>,
    /// The lower, the better. As it was before it was moved.
    pub metric: u32,
    /// The routing table.
    pub table: u32,
}

impl Belongings {
    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.routes.is_empty()
    }

    /// Adds those of `other` that are not there yet.
    pub fn extend(&mut self, other: Self) {
        let addresses = other.addresses.into_iter().filter(|address| !self.addresses.contains(address));
        self.addresses.extend(addresses.collect::<Vec<_>>());
        let routes = other.routes.into_iter().filter(|route| !self.routes.contains(route));
        self.routes.extend(routes.collect::<Vec<_>>());
        let labels = other.labels.into_iter().filter(|label| !self.labels.contains(label));
        self.labels.extend(labels.collect::<Vec<_>>());
    }

    /// The label that an address is to have on an interface of this name.
    fn label(&self, address: IpAddr, interface: &str) -> Option<String> {
        let mut labels =
            self.labels.iter().filter(|(labelled, _)| *labelled == address).map(|(_, label)| label);
        labels.find(|label| label.starts_with(interface)).cloned()
    }
}

impl Way {
    fn of(route: &Route, interface: u32) -> Self {
        Self {
            destination: route.destination(),
            gateways: route.gateways(interface),
            metric: route.original_metric(),
            table: route.table(),
        }
    }
}

/// A step that was done.
#[derive(Clone, Debug)]
enum Step {
    AddressAdded(u32, Address),
    AddressRemoved(u32, Address),
    RouteAdded(Route),
    RouteRemoved(Route),
}

impl Netlink {
    /// Move all addresses (but not link-local ones of IPv6, which belong to an interface) and all routes (but not those
    /// that the kernel makes for addresses) from one interface to another. The other one has to be up, a carrier is not
    /// needed. Addresses keep their lifetimes and are used without duplicate address detection.
    ///
    /// The interface that gives should not accept router advertisements meanwhile, or it gets new addresses.
    ///
    /// # Errors
    /// When the kernel refuses a step. All steps before it have then been undone.
    pub async fn take_over(&self, from: u32, to: u32) -> Result<Takeover, RequestError> {
        self.move_over(from, to, None).await
    }

    /// Like [`Netlink::take_over`], but only what is among these belongings, and without removing it from an interface
    /// that is about to be removed itself: taking one address away can take others along. What is not there is passed
    /// over. Where the kernel refuses a step, the others are done all the same: with the interface goes the last chance to.
    /// Returns what failed.
    pub async fn copy_over(&self, from: u32, to: u32, only: Belongings) -> Vec<RequestError> {
        match self.move_over(from, to, Some(only)).await {
            Ok(takeover) => takeover.failures,
            Err(error) => vec![error],
        }
    }

    /// What [`Netlink::take_over`] would move.
    ///
    /// # Errors
    /// When the kernel refuses to tell.
    pub async fn belongings(&self, interface: u32) -> Result<Belongings, RequestError> {
        let everything = Takeover::new(interface, interface, String::new(), None);
        let addresses = everything.wanted_addresses(self).await?;
        let routes = everything.wanted_routes(self).await?;
        let name = self.link(interface).await?.map(|link| link.name);
        // By default it is the interface's name, and says nothing.
        let label = |address: &Address| {
            let label = address.label.clone().filter(|label| Some(label) != name.as_ref())?;
            Some((address.address, label))
        };
        Ok(Belongings {
            addresses: addresses.iter().map(|address| (address.address, address.prefix_len)).collect(),
            routes: routes.iter().map(|route| Way::of(route, interface)).collect(),
            labels: addresses.iter().filter_map(label).collect(),
        })
    }

    async fn move_over(
        &self,
        from: u32,
        to: u32,
        only: Option<Belongings>,
    ) -> Result<Takeover, RequestError> {
        let taker = self.check_taker(to).await?;
        let mut takeover = Takeover::new(from, to, taker, only);
        match takeover.run(self).await {
            Ok(()) => Ok(takeover),
            Err(error) => {
                for failure in takeover.undo(self).await {
                    tracing::warn!("after a takeover that failed: {failure}");
                }
                Err(error)
            }
        }
    }

    /// Its name, if it can take something.
    async fn check_taker(&self, to: u32) -> Result<String, RequestError> {
        match self.link(to).await? {
            Some(link) if link.admin_up => Ok(link.name),
            Some(link) => Err(Cause::Invalid("it is down; switch it on before".to_owned())
                .of("move addresses and routes to", link.name)),
            None => Err(Cause::errno(nix::errno::Errno::ENODEV)
                .of("move addresses and routes to", format!("interface {to}"))),
        }
    }
}

impl Takeover {
    fn new(from: u32, to: u32, taker: String, only: Option<Belongings>) -> Self {
        Self { from, to, taker, only, done: Vec::new(), failures: Vec::new() }
    }

    /// The addresses that were moved.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.done.iter().filter_map(|step| match step {
            Step::AddressAdded(_, address) => Some(address),
            Step::AddressRemoved(..) | Step::RouteAdded(_) | Step::RouteRemoved(_) => None,
        })
    }

    /// The routes that were moved, as they are now.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.done.iter().filter_map(|step| match step {
            Step::RouteAdded(route) => Some(route),
            Step::AddressAdded(..) | Step::AddressRemoved(..) | Step::RouteRemoved(_) => None,
        })
    }

    /// Put everything back as it was. Goes on where a step fails (because what was moved has been removed meanwhile, for
    /// instance) and returns those failures.
    pub async fn undo(self, netlink: &Netlink) -> Vec<RequestError> {
        let mut failures = Vec::new();
        for step in self.done.into_iter().rev() {
            let result = match &step {
                Step::AddressAdded(index, address) => netlink.remove_address(*index, address).await,
                Step::AddressRemoved(index, address) => netlink.add_address(*index, address).await,
                Step::RouteAdded(route) => netlink.remove_route(route).await,
                Step::RouteRemoved(route) => netlink.append_route(&route.moved(self.from, self.from)).await,
            };
            let undone = matches!(&step, Step::AddressRemoved(..) | Step::RouteRemoved(_));
            match result {
                // It is already as it is to be.
                Err(error) if undone && error.is_exists() || !undone && error.is_gone() => {}
                Err(error) => failures.push(error),
                Ok(()) => {}
            }
        }
        failures
    }

    async fn run(&mut self, netlink: &Netlink) -> Result<(), RequestError> {
        let addresses = self.wanted_addresses(netlink).await?;
        let routes = self.wanted_routes(netlink).await?;
        self.add_addresses(netlink, &addresses).await?;
        // With its addresses and its network it has the same neighbours.
        if !addresses.is_empty() {
            netlink.copy_neighbours(self.from, self.to).await;
        }
        let moved = self.add_routes(netlink, routes).await?;
        if self.only.is_some() {
            return Ok(());
        }
        self.remove_routes(netlink, moved).await?;
        self.remove_addresses(netlink, addresses).await
    }

    async fn wanted_addresses(&self, netlink: &Netlink) -> Result<Vec<Address>, RequestError> {
        let mut addresses = netlink.addresses(self.from).await?;
        addresses.retain(|address| address.address.is_ipv4() || !address.is_link_local());
        if let Some(only) = &self.only {
            addresses.retain(|address| only.addresses.contains(&(address.address, address.prefix_len)));
        }
        Ok(addresses)
    }

    /// An address as the other interface is to have it.
    fn moved(&self, address: &Address) -> Address {
        // The default label is the interface's name.
        let label = self.only.as_ref().and_then(|only| only.label(address.address, &self.taker));
        Address { label, ..address.clone() }.without_detection()
    }

    async fn wanted_routes(&self, netlink: &Netlink) -> Result<Vec<Route>, RequestError> {
        let routes = netlink.routes(self.from).await?;
        let routes =
            routes.iter().filter(|route| route.table() != TABLE_LOCAL && !route.is_of_the_link_itself());
        let mut routes: Vec<Route> = routes.flat_map(|route| route.parts(self.from)).collect();
        if let Some(only) = &self.only {
            routes.retain(|route| only.routes.contains(&Way::of(route, self.from)));
        }
        // The way to a gateway before the routes through it.
        routes.sort_by_key(|route| !route.gateways(self.from).is_empty());
        Ok(routes)
    }

    async fn add_addresses(&mut self, netlink: &Netlink, addresses: &[Address]) -> Result<(), RequestError> {
        for address in addresses {
            match netlink.add_address(self.to, &self.moved(address)).await {
                Ok(()) => self.done.push(Step::AddressAdded(self.to, address.clone())),
                Err(error) if error.is_exists() => {}
                Err(error) if self.only.is_some() => self.failures.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Returns the routes, as they were, that are to be removed now.
    async fn add_routes(
        &mut self,
        netlink: &Netlink,
        routes: Vec<Route>,
    ) -> Result<Vec<Route>, RequestError> {
        // Those that the kernel made for the addresses are there by now, and go with the addresses on the other side.
        let present = netlink.routes(self.to).await?;
        let mut copied = Vec::new();
        for route in routes {
            let moved = route.moved(self.from, self.to);
            if present.iter().any(|present| present.is_same_way(&moved, self.to)) {
                continue;
            }
            match netlink.append_route(&moved).await {
                Ok(()) => {
                    self.done.push(Step::RouteAdded(moved));
                    copied.push(route);
                }
                Err(error) if error.is_exists() => {}
                Err(error) if self.only.is_some() => self.failures.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(copied)
    }

    async fn remove_routes(&mut self, netlink: &Netlink, routes: Vec<Route>) -> Result<(), RequestError> {
        // Those through gateways first: the reverse is the order in which they can be put back.
        for route in routes.into_iter().rev() {
            match netlink.remove_route(&route).await {
                Ok(()) => self.done.push(Step::RouteRemoved(route)),
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn remove_addresses(
        &mut self,
        netlink: &Netlink,
        addresses: Vec<Address>,
    ) -> Result<(), RequestError> {
        // Secondary addresses before the primary that would take them along.
        for address in addresses.into_iter().rev() {
            match netlink.remove_address(self.from, &address).await {
                Ok(()) => self.done.push(Step::AddressRemoved(self.from, address.without_detection())),
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
