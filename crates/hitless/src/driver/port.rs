//! Taking an interface, and giving it back as it was found: what both drivers have in common.

use std::collections::BTreeSet;

use hitless_core::config::FailOverMac;
use hitless_core::event::PortId;
use hitless_linux::address::Address;
use hitless_linux::ebpf::clear_orphan;
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::sysctl::Ipv6Setting;
use hitless_linux::takeover::{Belongings, Takeover};
use hitless_linux::wireless::InterfaceKind;

use super::{DriverError, Tools};
use crate::causes::chain;
use crate::config::{Bond, Dhcp4};
use crate::ledger::Found;

/// The bond that an interface is taken for.
#[derive(Clone, Copy, Debug)]
pub(super) struct For<'a> {
    pub(super) bond: &'a str,
    pub(super) index: u32,
    pub(super) terms: Terms,
}

/// What the configuration says that matters for taking an interface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms {
    /// Is the bond's size configured? Otherwise it takes that of the interface whose addresses it takes.
    sized: bool,
    /// Do ports change their addresses while they are up?
    follow: bool,
    /// Does the bond ask for an address itself?
    asks: bool,
}

impl Terms {
    pub(super) fn of(config: &Bond) -> Self {
        Self {
            sized: config.ip.mtu.is_some(),
            follow: config.options.fail_over_mac == FailOverMac::Follow,
            asks: matches!(config.ip.dhcp4, Dhcp4::On(_)),
        }
    }
}

/// An interface that was taken, and may still turn out not to be able to be a port.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) link: Link,
    moved: Option<Takeover>,
    /// What the ledger said of it before.
    before: Option<Found>,
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
        let mut ledger = tools.ledger.borrow_mut();
        let forgotten = match self.before {
            Some(before) => ledger.enter(target.bond, self.link.index, before),
            None => ledger.strike(target.bond, self.link.index),
        };
        if let Err(failure) = forgotten {
            tracing::warn!(port = name, error = chain(&failure));
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
    let before = tools.ledger.borrow().get(target.bond, port.0).cloned();
    note_found(tools, target, &link).await?;
    let mut taken = Taken { link, moved: None, before };
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
    let wireless = tools.wireless_kind(link.index);
    if wireless.is_some_and(|kind| kind != InterfaceKind::Station) {
        return not_a_port("it is Wi-Fi, and not a station: only a station sends and receives for itself");
    }
    // mac80211 answers EBUSY to a station's new address while it is up.
    if target.terms.follow && (wireless.is_some() || link.is_wireless()) {
        return not_a_port(
            "it is Wi-Fi, which refuses a new address while it is up, as fail-over-mac = \"follow\" wants: \
             use \"none\" or \"active\"",
        );
    }
    if let Some(upper) = upper(tools, link).await? {
        return Err(DriverError::PortBelow { port: link.name.clone(), upper });
    }
    let Some(master) = link.master.filter(|master| *master != target.index) else { return Ok(()) };
    let master = tools.netlink.link(master).await?;
    let (name, kind) = match master {
        Some(master) => (master.name, master.kind.unwrap_or_else(|| "a device".to_owned())),
        None => ("another interface".to_owned(), "gone since".to_owned()),
    };
    Err(DriverError::PortTaken { port: link.name.clone(), master: name, kind })
}

/// An interface that stands on this one (a VLAN, a macvlan): it would hear nothing any more.
async fn upper(tools: &Tools, link: &Link) -> Result<Option<String>, DriverError> {
    let stands = |upper: &Link| {
        // The other end of a veth is no upper.
        upper.link == Some(link.index) && !upper.link_elsewhere && upper.kind.as_deref() != Some("veth")
    };
    Ok(tools.netlink.links().await?.into_iter().find(stands).map(|upper| upper.name))
}

/// Enters in the ledger what an interface is like before anything about it is changed.
async fn note_found(tools: &Tools, target: For<'_>, link: &Link) -> Result<(), DriverError> {
    let known = tools.ledger.borrow().get(target.bond, link.index).cloned();
    match known {
        Some(found) if found.left => {
            let found = Found { gave: found.gave, ..describe(tools, link)? };
            return Ok(tools.ledger.borrow_mut().enter(target.bond, link.index, found)?);
        }
        Some(_) => return Ok(()),
        None => {}
    }
    let owner = tools
        .ledger
        .borrow()
        .other_owner(target.bond, link.index)
        .map(|(bond, found)| (bond.to_owned(), found.clone()));
    let Some((bond, found)) = owner else {
        let found = describe(tools, link)?;
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

fn describe(tools: &Tools, link: &Link) -> Result<Found, DriverError> {
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
        promisc: link.promisc,
        power_save: tools.wireless.power_save(link.index).ok().flatten(),
        gave: Belongings::default(),
        left: false,
    })
}

async fn take_addresses(tools: &Tools, target: For<'_>, taken: &mut Taken) -> Result<(), DriverError> {
    let link = &taken.link;
    // One that is in the bond already has none, or gets them from someone who should not.
    if link.master != Some(target.index) {
        let belongings = tools.netlink.belongings(link.index).await?;
        if !belongings.is_empty() {
            note_belongings(tools, target, link.index, belongings)?;
            let moved = taken.moved.insert(tools.netlink.take_over(link.index, target.index).await?);
            tracing::info!(port = link.name, bond = target.bond, "addresses and routes moved to the bond");
            if !target.terms.asks {
                warn_of_leases(link, target, moved);
            }
            if !target.terms.sized {
                tools.netlink.set_mtu(target.index, link.mtu).await?;
            }
        }
    }
    Ipv6Setting::DisableIpv6.set(&link.name, 1)?;
    Ok(())
}

/// An address that somebody renewed on the interface will not be renewed on the bond. (One that is made of what routers
/// advertise is nobody's to renew: the bond hears them, too. DHCPv6 lends addresses that stand for themselves.)
fn warn_of_leases(link: &Link, target: For<'_>, moved: &Takeover) {
    let by_dhcp = |address: &Address| address.address.is_ipv4() || address.prefix_len == 128;
    let leased = |address: &&Address| address.valid.is_some() && by_dhcp(address);
    for Address { address, valid, .. } in moved.addresses().filter(leased) {
        tracing::warn!(
            "{address} of {port} is leased, and will be gone from {bond} in {} s unless somebody renews it there: run the \
             DHCP client on {bond}, and not on {port}, or configure the address",
            valid.unwrap_or_default().as_secs(),
            port = link.name,
            bond = target.bond,
        );
    }
}

/// Enters in the ledger what an interface is about to give.
fn note_belongings(tools: &Tools, target: For<'_>, port: u32, more: Belongings) -> Result<(), DriverError> {
    let mut ledger = tools.ledger.borrow_mut();
    if let Some(mut found) = ledger.get(target.bond, port).cloned() {
        found.gave.extend(more);
        ledger.enter(target.bond, port, found)?;
    }
    Ok(())
}

/// Gives an interface back as it was found, but for its addresses, which stay with the bond as long as that is there.
///
/// Everything is tried; the first failure is told. It stays in the ledger then, for another try.
pub(super) async fn give_back(tools: &Tools, target: For<'_>, port: PortId) -> Result<(), DriverError> {
    restore_port(tools, target, port).await?;
    Ok(tools.ledger.borrow_mut().returned(target.bond, port.0)?)
}

async fn restore_port(tools: &Tools, target: For<'_>, port: PortId) -> Result<(), DriverError> {
    let found = tools.ledger.borrow().get(target.bond, port.0).cloned();
    let Some(found) = found.filter(|found| !found.left) else { return Ok(()) };
    match tools.netlink.link(port.0).await? {
        Some(link) => restore(tools, &link, &found).await,
        None => Ok(()),
    }
}

/// Gives everything back before a bond is removed: its ports, those that are `attached` and those that only the ledger
/// knows, and then what of the bond's addresses and routes came from them. `unhook` takes a port out of the bond.
///
/// Everything is tried; the first failure is told. What was not given back stays in the ledger, for another try.
pub(super) async fn give_all_back(
    tools: &Tools,
    target: For<'_>,
    attached: &[PortId],
    unhook: impl AsyncFn(PortId) -> Result<(), DriverError>,
) -> Result<(), DriverError> {
    let entered = tools.ledger.borrow().ports(target.bond);
    let known = entered.iter().map(|(index, _)| PortId(*index));
    let ports: BTreeSet<PortId> = attached.iter().copied().chain(known).collect();
    let mut faults = Faults::default();
    for port in ports {
        let unhooked = unhook(port).await;
        faults.note(port, unhooked.and(restore_port(tools, target, port).await));
    }
    let restored: Vec<PortId> =
        entered.iter().map(|(port, _)| PortId(*port)).filter(|port| !faults.ports.contains(port)).collect();
    // Only now: an interface that is switched off loses its routes, and restoring one may need that.
    give_addresses_back(tools, target, &entered, &mut faults).await?;
    let mut ledger = tools.ledger.borrow_mut();
    for port in restored {
        let noted = if faults.ports.contains(&port) {
            ledger.returned(target.bond, port.0)
        } else {
            ledger.strike(target.bond, port.0)
        };
        faults.note(port, noted.map_err(DriverError::from));
    }
    faults.first.map_or(Ok(()), Err)
}

/// What went wrong while several ports were given back.
#[derive(Default)]
struct Faults {
    /// The first of it.
    first: Option<DriverError>,
    /// With which ports.
    ports: BTreeSet<PortId>,
}

impl Faults {
    fn note(&mut self, port: PortId, result: Result<(), DriverError>) {
        if let Err(error) = result {
            self.ports.insert(port);
            self.first.get_or_insert(error);
        }
    }
}

/// Gives the ports back of a bond whose interface is gone, and its addresses with it.
///
/// Everything is tried; the first failure is told. What was not given back stays in the ledger, for another try.
pub(super) async fn give_back_without_bond(tools: &Tools, bond: &str) -> Result<(), DriverError> {
    let target = For { bond, index: 0, terms: Terms::default() };
    let entered = tools.ledger.borrow().ports(bond);
    let mut faults = Faults::default();
    for (port, _) in entered {
        let port = PortId(port);
        // What handed its frames to the bond would go on doing so.
        let cleared = clear_orphan(port).map_err(DriverError::from);
        let given = match cleared.and(restore_port(tools, target, port).await) {
            Ok(()) => tools.ledger.borrow_mut().strike(bond, port.0).map_err(DriverError::from),
            Err(error) => Err(error),
        };
        faults.note(port, given);
    }
    faults.first.map_or(Ok(()), Err)
}

/// Each interface gets what it gave, as far as the bond still has it. What one gave that is gone goes to the one that
/// came back under its name, or else to any.
async fn give_addresses_back(
    tools: &Tools,
    target: For<'_>,
    entered: &[(u32, Found)],
    faults: &mut Faults,
) -> Result<(), DriverError> {
    let mut present = Vec::new();
    let mut gone = Vec::new();
    for (port, found) in entered {
        match tools.netlink.link(*port).await? {
            Some(_) => present.push((*port, found.clone())),
            None => gone.push(found),
        }
    }
    for found in gone {
        let heir = present.iter().position(|(_, heir)| heir.name == found.name).unwrap_or(0);
        if let Some((_, heir)) = present.get_mut(heir) {
            heir.gave.extend(found.gave.clone());
        }
    }
    present.retain(|(_, found)| !found.gave.is_empty());
    if !present.is_empty() && tools.netlink.link(target.index).await?.is_none() {
        // What it had is lost with it: there is nothing that another try could find.
        faults.first.get_or_insert(DriverError::Gone(target.index));
        return Ok(());
    }
    for (port, found) in present {
        let given = give_belongings(tools, target, port, found.gave).await;
        faults.note(PortId(port), given);
    }
    Ok(())
}

async fn give_belongings(
    tools: &Tools,
    target: For<'_>,
    port: u32,
    gave: Belongings,
) -> Result<(), DriverError> {
    // An heir may have been found switched off.
    let on = tools.netlink.set_up(port, true).await;
    let failures = tools.netlink.copy_over(target.index, port, gave).await;
    on?;
    failures.into_iter().next().map_or(Ok(()), |first| Err(first.into()))
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
        note(tools.set_port_mac(link.index, found.mac).await.map_err(DriverError::from));
    }
    if link.mtu != found.mtu {
        note(netlink.set_mtu(link.index, found.mtu).await.map_err(DriverError::from));
    }
    if link.allmulti != found.allmulti {
        note(netlink.set_allmulti(link.index, found.allmulti).await.map_err(DriverError::from));
    }
    if link.promisc != found.promisc {
        note(netlink.set_promisc(link.index, found.promisc).await.map_err(DriverError::from));
    }
    if let Some(on) = found.power_save {
        match tools.wireless.set_power_save(link.index, on) {
            Err(error) if !error.is_unsupported() => note(Err(error.into())),
            Ok(()) | Err(_) => {}
        }
    }
    if let Some(disabled) = found.ipv6_disabled {
        note(Ipv6Setting::DisableIpv6.set(&link.name, disabled.into()).map(drop).map_err(DriverError::from));
    }
    note(netlink.set_up(link.index, found.up).await.map_err(DriverError::from));
    first
}
