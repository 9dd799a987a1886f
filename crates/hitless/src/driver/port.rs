//! Taking an interface, and giving it back as it was found: what both drivers have in common.

use hitless_core::event::PortId;
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::sysctl::Ipv6Setting;
use hitless_linux::takeover::Takeover;

use super::{DriverError, Tools};
use crate::causes::chain;
use crate::ledger::Found;

/// The bond that an interface is taken for.
#[derive(Clone, Copy, Debug)]
pub(super) struct For<'a> {
    pub(super) bond: &'a str,
    pub(super) index: u32,
    /// Is the bond's size configured? Otherwise it takes that of the interface whose addresses it takes.
    pub(super) sized: bool,
}

/// An interface that was taken, and may still turn out not to be able to be a port.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) link: Link,
    moved: Option<Takeover>,
}

impl Taken {
    /// Gives it back as it was found, its addresses included, which [`give_back`] leaves with the bond.
    pub(super) async fn undo(self, tools: &Tools, target: For<'_>) {
        let name = self.link.name;
        if let Err(failure) = give_back(tools, target, PortId(self.link.index)).await {
            tracing::warn!(port = name, error = chain(&failure), "not given back as it was found");
        }
        // Only now is it up, and has IPv6.
        for failure in moved_back(tools, self.moved).await {
            tracing::warn!(port = name, error = chain(&failure), "its addresses and routes are not all back");
        }
    }
}

async fn moved_back(tools: &Tools, moved: Option<Takeover>) -> Vec<RequestError> {
    match moved {
        Some(moved) => moved.undo(&tools.netlink).await,
        None => Vec::new(),
    }
}

/// Takes an interface for a bond: enters in the ledger what it is like, moves its addresses and routes to the bond, and
/// switches IPv6 off on it, which would give it addresses of its own. Everything is undone when a step fails.
pub(super) async fn take(tools: &Tools, target: For<'_>, port: PortId) -> Result<Taken, DriverError> {
    let link = tools.netlink.link(port.0).await?.ok_or(DriverError::Gone(port.0))?;
    check(tools, target, &link).await?;
    note_found(tools, target, &link).await?;
    let mut taken = Taken { link, moved: None };
    match take_addresses(tools, target, &mut taken).await {
        Ok(()) => Ok(taken),
        Err(error) => {
            taken.undo(tools, target).await;
            Err(error)
        }
    }
}

/// Can this interface be a port of that bond?
pub(super) async fn check(tools: &Tools, target: For<'_>, link: &Link) -> Result<(), DriverError> {
    let not_a_port = |reason| Err(DriverError::NotAPort { port: link.name.clone(), reason });
    if link.loopback {
        return not_a_port("it is the loopback interface");
    }
    if link.kind.as_deref() == Some("bond") {
        return not_a_port("it is a bond itself, and bonds do not nest");
    }
    let Some(master) = link.master.filter(|master| *master != target.index) else { return Ok(()) };
    let master = tools.netlink.link(master).await?;
    let (name, kind) = match master {
        Some(master) => (master.name, master.kind.unwrap_or_else(|| "a device".to_owned())),
        None => ("another interface".to_owned(), "gone since".to_owned()),
    };
    Err(DriverError::PortTaken { port: link.name.clone(), master: name, kind })
}

/// Enters in the ledger what an interface is like before anything about it is changed.
async fn note_found(tools: &Tools, target: For<'_>, link: &Link) -> Result<(), DriverError> {
    if tools.ledger.borrow().get(target.bond, link.index).is_some() {
        return Ok(());
    }
    let owner = tools
        .ledger
        .borrow()
        .other_owner(target.bond, link.index)
        .map(|(bond, found)| (bond.to_owned(), found.clone()));
    let Some((bond, found)) = owner else {
        let found = describe(link)?;
        return Ok(tools.ledger.borrow_mut().enter(target.bond, link.index, found)?);
    };
    // While it is in another bond, it does not look as it was found.
    if tools.netlink.link_named(&bond).await?.is_some() {
        return Err(DriverError::PortOfOther { port: link.name.clone(), bond });
    }
    let mut ledger = tools.ledger.borrow_mut();
    ledger.enter(target.bond, link.index, found)?;
    Ok(ledger.strike(&bond, link.index)?)
}

fn describe(link: &Link) -> Result<Found, DriverError> {
    let Some(mac) = link.mac else {
        return Err(DriverError::NotAPort { port: link.name.clone(), reason: "it has no Ethernet address" });
    };
    Ok(Found {
        name: link.name.clone(),
        mac,
        mtu: link.mtu,
        up: link.admin_up,
        allmulti: link.allmulti,
        ipv6_disabled: Ipv6Setting::DisableIpv6.get(&link.name)?.map(|value| value != 0),
        gave_addresses: false,
    })
}

async fn take_addresses(tools: &Tools, target: For<'_>, taken: &mut Taken) -> Result<(), DriverError> {
    let link = &taken.link;
    // One that is in the bond already has none, or gets them from someone who should not.
    if link.master != Some(target.index) {
        let moved = taken.moved.insert(tools.netlink.take_over(link.index, target.index).await?);
        if moved.addresses().next().is_some() || moved.routes().next().is_some() {
            tracing::info!(port = link.name, bond = target.bond, "addresses and routes moved to the bond");
            note_addresses(tools, target, link.index)?;
            if !target.sized {
                tools.netlink.set_mtu(target.index, link.mtu).await?;
            }
        }
    }
    Ipv6Setting::DisableIpv6.set(&link.name, 1)?;
    Ok(())
}

fn note_addresses(tools: &Tools, target: For<'_>, port: u32) -> Result<(), DriverError> {
    let mut ledger = tools.ledger.borrow_mut();
    if let Some(found) = ledger.get(target.bond, port).cloned() {
        ledger.enter(target.bond, port, Found { gave_addresses: true, ..found })?;
    }
    Ok(())
}

/// Gives an interface back as it was found, but for its addresses, which stay with the bond as long as that is there.
///
/// Everything is tried; the first failure is told.
pub(super) async fn give_back(tools: &Tools, target: For<'_>, port: PortId) -> Result<(), DriverError> {
    let Some(found) = tools.ledger.borrow().get(target.bond, port.0).cloned() else { return Ok(()) };
    let restored = match tools.netlink.link(port.0).await? {
        Some(link) => restore(tools, &link, &found).await,
        None => Ok(()),
    };
    tools.ledger.borrow_mut().strike(target.bond, port.0)?;
    restored
}

async fn restore(tools: &Tools, link: &Link, found: &Found) -> Result<(), DriverError> {
    let netlink = &tools.netlink;
    let mut first = Ok(());
    let mut note = |result: Result<(), DriverError>| {
        if first.is_ok() {
            first = result;
        }
    };
    if link.mac != Some(found.mac) {
        note(netlink.set_mac_even_if_busy(link.index, found.mac).await.map_err(DriverError::from));
    }
    if link.mtu != found.mtu {
        note(netlink.set_mtu(link.index, found.mtu).await.map_err(DriverError::from));
    }
    if link.allmulti != found.allmulti {
        note(netlink.set_allmulti(link.index, found.allmulti).await.map_err(DriverError::from));
    }
    if let Some(disabled) = found.ipv6_disabled {
        note(Ipv6Setting::DisableIpv6.set(&link.name, disabled.into()).map(drop).map_err(DriverError::from));
    }
    note(netlink.set_up(link.index, found.up).await.map_err(DriverError::from));
    first
}

/// Moves the addresses that were taken from ports back to them, before the bond is removed.
///
/// They go to the first port in the ledger that had any: which of them came from which port is not known any more, as
/// they may have changed since.
pub(super) async fn give_addresses_back(tools: &Tools, target: For<'_>) -> Result<(), DriverError> {
    let ports = tools.ledger.borrow().ports(target.bond);
    let Some((port, found)) = ports.into_iter().find(|(_, found)| found.gave_addresses) else {
        return Ok(());
    };
    // It has to be up to have routes, and IPv6 to have addresses of that kind.
    if let Some(disabled) = found.ipv6_disabled
        && let Some(link) = tools.netlink.link(port).await?
    {
        Ipv6Setting::DisableIpv6.set(&link.name, disabled.into())?;
    }
    tools.netlink.set_up(port, true).await?;
    let moved = tools.netlink.take_over(target.index, port).await?;
    tracing::debug!(addresses = moved.addresses().count(), "moved back");
    Ok(())
}
