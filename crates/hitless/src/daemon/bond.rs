//! One bond of the daemon: its machine, its driver, and what is between them.
//!
//! Nothing is decided here. What happened is put into the machine's words, and its actions into the driver's.

mod lease;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use hitless_core::config::FailOverMac;
use hitless_core::dhcp6;
use hitless_core::event::{
    Action, ActionId, Event, Failure, Notice, Observation, Outcome, PortId, PortInfo, PortSnapshot, Snapshot,
    Waiting,
};
use hitless_core::mac::MacAddr;
use hitless_core::machine::Machine;
use hitless_core::time::Instant;
use hitless_core::wifi::Ssid;
use hitless_linux::address::Address;
use hitless_linux::carrier::LinkProbe;
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::rfkill;
use hitless_linux::wireless::WirelessEvent;
use tokio::sync::mpsc;

use super::dhcp::Dhcp;
use super::dhcp6::Dhcp6;
use super::ip::{self, Wanted};
use super::pace::Pace;
use super::radios::Radios;
use super::sockets::{Caught, Heard, Sockets};
use super::stations::Member;
use super::{BondId, peers};
use crate::causes::chain;
use crate::config::{Bond, MacChoice};
use crate::driver::ebpf::parked_name;
use crate::driver::{Driver, DriverError, TWO_RADIOS, Tools};

/// How often what the driver has is compared with what the machine wants, when nothing calls for it.
const OBSERVE: Duration = Duration::from_secs(5);

/// How long an action may take: far longer than any request does, unless the kernel or a driver hangs.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a bond waits for a carrier before it gets its addresses without one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Something that took a request is done.
pub(super) struct Completed {
    pub(super) bond: BondId,
    pub(super) what: Completion,
}

pub(super) enum Completion {
    Action(ActionId, Result<Outcome, Failure>),
    /// What was seen, and whether nothing was done meanwhile is told by the number of actions begun before.
    Observed {
        actions_before: u64,
        result: Result<Observation, DriverError>,
    },
    /// Ports that the configuration does not know were given back.
    StrangersReturned,
    /// A Wi-Fi interface that was given back is on, or not.
    SwitchedOn {
        result: Result<(), RequestError>,
    },
    /// The bond has its addresses, or not; and all that it has, where there is a DHCPv6 client.
    Addressed {
        result: Result<(), DriverError>,
        has: Option<Vec<Address>>,
    },
}

/// What takes a request and is under way.
pub(super) type Work = LocalBoxFuture<'static, Completed>;

/// A port as it was last seen.
#[derive(Clone, Debug)]
struct Seen {
    link: Link,
    carrier: bool,
    wireless: bool,
}

/// What of the bond's own interface somebody might have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OwnLink {
    up: bool,
    mac: Option<MacAddr>,
    mtu: u32,
    active: Option<u32>,
}

/// When a bond is to get its addresses.
#[derive(Clone, Copy, Debug)]
struct Addressing {
    /// Not before, even if it has a carrier.
    from: Instant,
    /// Not after, even if it has none.
    by: Instant,
}

/// What a bond works with, beside its driver.
pub(super) struct Beside {
    pub(super) tools: Tools,
    /// Where frames go that were heard.
    pub(super) heard: mpsc::Sender<Heard>,
    /// Where what has to be remembered is kept.
    pub(super) state: PathBuf,
}

/// One bond.
pub(super) struct BondTask {
    id: BondId,
    pub(super) config: Bond,
    pub(super) machine: Machine,
    pub(super) driver: Driver,
    tools: Tools,
    pub(super) sockets: Sockets,
    pub(super) radios: Radios,
    /// Ports that have been attached since they appeared, or are kept out by the network that they have joined: only then
    /// have they the address that they are to join with.
    met: BTreeSet<PortId>,
    /// Why ports have addresses of their own, where that was to be found out.
    pub(super) own_macs: Option<String>,
    /// When other addresses may be tried (again).
    next_policy: Instant,
    /// A port would not have the bond's address: which, and why.
    refusal: Rc<RefCell<Option<String>>>,
    ports: BTreeMap<PortId, Seen>,
    own_link: Option<OwnLink>,
    next_poll: Instant,
    next_observation: Instant,
    observing: bool,
    /// What the bond has of addresses, as far as they come from us.
    pub(super) addresses: Wanted,
    /// When to give the bond its addresses, while it does not have them.
    addressing: Option<Addressing>,
    /// Asks for an address, where that is wanted.
    pub(super) dhcp: Option<Dhcp>,
    /// The same for IPv6.
    pub(super) dhcp6: Option<Dhcp6>,
    /// The network that the active port has joined, if it is Wi-Fi, or that the last one had.
    network: Option<Ssid>,
    heard: mpsc::Sender<Heard>,
    state: PathBuf,
    /// Were ports given back lately that are not wanted any more?
    returned: bool,
    /// Wi-Fi ports that somebody has switched off, and that can join a network only if they are on: they have left the bond
    /// for the network that they joined, or their radio was off.
    switched_off: Vec<PortId>,
    actions_begun: u64,
    /// Actions and observations under way.
    pub(super) under_way: usize,
}

impl BondTask {
    pub(super) fn new(now: Instant, id: BondId, config: Bond, driver: Driver, beside: Beside) -> Self {
        let tools = beside.tools;
        let mut bond = Self {
            id,
            radios: Radios::new(tools.wireless.clone()),
            met: BTreeSet::new(),
            own_macs: None,
            next_policy: Instant::EPOCH,
            refusal: Rc::default(),
            machine: Machine::new(config.options.clone(), driver.offload()),
            config,
            driver,
            tools,
            sockets: Sockets::new(id, beside.heard.clone()),
            ports: BTreeMap::new(),
            own_link: None,
            next_poll: Instant::EPOCH,
            next_observation: Instant::EPOCH,
            observing: false,
            addresses: Wanted::default(),
            dhcp: None,
            dhcp6: None,
            network: None,
            heard: beside.heard,
            state: beside.state,
            addressing: None,
            returned: false,
            switched_off: Vec::new(),
            actions_begun: 0,
            under_way: 0,
        };
        bond.configure_dhcp(now);
        bond
    }

    /// Is it the bond's own interface, or its parked peer?
    pub(super) fn is_own(&self, link: &Link) -> bool {
        link.index == self.driver.index() || self.is_own_name(&link.name)
    }

    pub(super) fn is_own_name(&self, name: &str) -> bool {
        name == self.config.name || name == parked_name(&self.config.name)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        self.machine.snapshot()
    }

    // ---- interfaces ----------------------------------------------------------------------------------------------

    /// Is it a port of this bond, or not yet given back?
    pub(super) fn has(&self, index: u32) -> bool {
        self.ports.contains_key(&PortId(index))
    }

    /// Is an interface of this name to be a port of this bond?
    pub(super) fn wants(&self, name: &str) -> bool {
        self.config.options.preference(name).is_some()
    }

    /// An interface that concerns the bond is there, or changed.
    pub(super) fn link_changed(&mut self, now: Instant, probe: &mut LinkProbe, link: &Link) {
        let port = PortId(link.index);
        // The message may be older than what is known; what counts is how it is now.
        let carrier = probe.carrier(&link.name).unwrap_or(link.carrier);
        // Asked once: a failover waits for what is asked here.
        let before = self.ports.get(&port).map(|known| known.wireless);
        let wireless = before.unwrap_or_else(|| self.is_wireless(link));
        let known = self.ports.insert(port, Seen { link: link.clone(), carrier, wireless });
        let went_up = carrier && !known.as_ref().is_some_and(|known| known.carrier);
        match known {
            Some(known) if known.link.name == link.name && !went_up => {
                if known.link.master != link.master
                    || known.link.mac != link.mac
                    || known.link.mtu != link.mtu
                {
                    self.look_soon(now);
                }
            }
            // New, or renamed, or with another speed.
            _ => {
                let info = self.info(probe, link, wireless);
                let event = if self.wants(&link.name) {
                    Event::PortAppeared { port, info }
                } else {
                    Event::PortChanged { port, info }
                };
                self.machine.handle(now, event);
            }
        }
        self.machine.handle(now, Event::Carrier { port, up: carrier });
        if wireless {
            self.look_at_station(now, port, &link.name);
        }
        // What comes within the next second may be held back.
        self.next_poll = self.next_poll.min(now + self.config.options.miimon);
    }

    /// A carrier comes and goes with an association: what is known of that is out of date.
    fn look_at_station(&mut self, now: Instant, port: PortId, name: &str) {
        if self.radios.seen(port).is_some() {
            // After what the carrier asks for.
            return self.radios.look_soon(now, port);
        }
        let looked = self.radios.look(now, port);
        // Its switch was told of before it was there.
        let blocked = self.radios.blocked(now, port, is_switched_off(name));
        for event in [looked, blocked].into_iter().flatten() {
            self.machine.handle(now, event);
        }
    }

    pub(super) fn link_gone(&mut self, now: Instant, index: u32) {
        let port = PortId(index);
        if self.ports.remove(&port).is_none() {
            return;
        }
        self.sockets.forget(port);
        self.radios.forget(port);
        self.met.remove(&port);
        if let Err(error) = self.tools.ledger.borrow_mut().vanished(&self.config.name, index) {
            tracing::warn!(bond = self.config.name, error = chain(&error));
        }
        self.machine.handle(now, Event::PortVanished { port });
    }

    /// Takes note of ports that are not among all the interfaces there are.
    pub(super) fn forget_gone(&mut self, now: Instant, links: &[Link]) {
        let there = |port: &PortId| links.iter().any(|link| link.index == port.0);
        let gone: Vec<_> = self.ports.keys().filter(|port| !there(port)).map(|port| port.0).collect();
        for index in gone {
            self.link_gone(now, index);
        }
    }

    /// Presents interfaces that could be ports; those that are known already do no harm.
    pub(super) fn present(&mut self, now: Instant, probe: &mut LinkProbe, links: &[Link]) {
        for link in links {
            if self.wants(&link.name) {
                self.ports.remove(&PortId(link.index));
                self.link_changed(now, probe, link);
            }
        }
    }

    fn info(&self, probe: &LinkProbe, link: &Link, wireless: bool) -> PortInfo {
        let found = self.tools.ledger.borrow().get(&self.config.name, link.index).map(|found| found.mac);
        let kernels = link.bond_port.and_then(|port| port.permanent_mac);
        let (speed_mbps, duplex) = probe.speed_duplex(&link.name).unwrap_or_default();
        PortInfo {
            name: link.name.clone(),
            permanent_mac: found.or(kernels).or(link.mac).unwrap_or_default(),
            speed_mbps,
            duplex,
            wireless,
        }
    }

    fn is_wireless(&self, link: &Link) -> bool {
        self.tools.wireless_kind(link.index).is_some() || link.is_wireless()
    }

    /// The bond's own interface or its parked peer changed: something about it may have to be put right.
    pub(super) fn own_changed(&mut self, now: Instant, link: &Link) {
        if link.index != self.driver.index() {
            return self.look_soon(now);
        }
        let active = link.bond.as_ref().and_then(|bond| bond.active);
        let state = OwnLink { up: link.admin_up, mac: link.mac, mtu: link.mtu, active };
        let before = self.own_link.replace(state);
        if before != Some(state) {
            self.look_soon(now);
        }
        // Switching it off has cost it its routes.
        if state.up && before.is_some_and(|before| !before.up) {
            self.address_soon(now);
        }
    }

    /// Compares what the driver has with what the machine wants as soon as nothing is under way.
    pub(super) fn look_soon(&mut self, now: Instant) {
        self.next_observation = now;
    }

    // ---- monitors ------------------------------------------------------------------------------------------------

    /// Polls carriers, if it is time to.
    pub(super) fn poll_carriers(&mut self, now: Instant, pace: Pace, probe: &mut LinkProbe) {
        let miimon = self.config.options.miimon;
        if miimon.is_zero() || now < self.next_poll {
            return;
        }
        self.next_poll = now + pace.interval(now, miimon);
        let mut changed = Vec::new();
        for (port, seen) in &mut self.ports {
            // An interface that is gone is told of by an event.
            let Ok(carrier) = probe.carrier(&seen.link.name) else { continue };
            if carrier != seen.carrier {
                seen.carrier = carrier;
                changed.push((*port, carrier));
            }
        }
        for (port, up) in changed {
            self.machine.handle(now, Event::Carrier { port, up });
        }
    }

    /// Something happened on a wireless interface, perhaps one of ours.
    pub(super) fn wireless_event(&mut self, now: Instant, event: &WirelessEvent) {
        for event in self.radios.event(now, event) {
            self.machine.handle(now, event);
        }
    }

    /// A switch for radios was turned.
    pub(super) fn radio_switched(&mut self, now: Instant, switch: u32, blocked: bool) {
        let ports = self.ports.iter().filter(|(_, seen)| rfkill::switch_of(&seen.link.name) == Some(switch));
        let ports: Vec<PortId> = ports.map(|(port, _)| *port).collect();
        for port in ports {
            // At the start all switches are told of, also those that have not been turned.
            let Some(event) = self.radios.blocked(now, port, blocked) else { continue };
            self.machine.handle(now, event);
            // It has been switched off with it, and is to be on again.
            if !blocked {
                self.switched_off.push(port);
            }
            self.look_soon(now);
        }
    }

    /// The Wi-Fi ports: those that have been attached since they appeared, whether they are now or have joined a network
    /// that keeps them out.
    pub(super) fn stations(&self) -> impl Iterator<Item = Member> + '_ {
        let ours = self.ports.iter().filter(|(port, _)| self.met.contains(*port));
        ours.filter(|(port, _)| self.radios.seen(**port).is_some()).map(|(port, seen)| Member {
            interface: seen.link.name.clone(),
            index: port.0,
            bond: self.config.name.clone(),
        })
    }

    /// May a port sleep between beacons? `None` where it cannot.
    pub(super) fn power_save(&self, port: PortId) -> Option<bool> {
        self.tools.wireless.power_save(port.0).ok().flatten()
    }

    /// What a station tells of itself has changed: it is looked at.
    pub(super) fn station_changed(&mut self, now: Instant, interface: &str, rekeyed: bool) {
        let found = self.ports.iter().find(|(_, seen)| seen.link.name == interface);
        let Some(port) = found.map(|(port, _)| *port) else { return };
        if rekeyed {
            self.machine.handle(now, Event::Rekeyed { port });
        }
        if let Some(event) = self.radios.look(now, port) {
            self.machine.handle(now, event);
        }
    }

    /// The access points of ports that carry traffic are watched, as long as there is another port to go to.
    fn watch_access_points(&mut self, now: Instant) {
        if self.radios.is_empty() {
            return;
        }
        let ports = self.snapshot().ports;
        // One that its network keeps out has never been attached, perhaps, and needs its station to join another.
        let kept_out = |port: &&PortSnapshot| {
            matches!(port.waiting, Some(Waiting::Network(_) | Waiting::OtherSegment(_)))
        };
        self.met.extend(ports.iter().filter(kept_out).filter_map(|port| port.port));
        let has_other = |port: &&PortSnapshot| {
            ports.iter().any(|other| other.link.is_usable() && other.name != port.name)
        };
        // Where the driver goes by carriers alone, nothing would come of it.
        let leads = !self.driver.offload().forwarding;
        let in_use = ports.iter().filter(|port| port.active && leads).filter(has_other);
        self.radios.watch(now, in_use.filter_map(|port| port.port).collect());
    }

    /// Time has passed.
    pub(super) fn timeout(&mut self, now: Instant) {
        for event in self.radios.timeout(now) {
            self.machine.handle(now, event);
        }
        if self.machine.poll_timeout().is_some_and(|(at, _)| at <= now) {
            self.machine.handle_timeout(now);
        }
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.timeout(now);
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            dhcp6.timeout(now);
        }
    }

    pub(super) fn heard(&mut self, now: Instant, port: PortId, what: Caught) {
        let frame = match what {
            Caught::Frame(frame) => frame,
            Caught::Datagram { from, payload } => {
                if let Some(dhcp6) = &mut self.dhcp6 {
                    dhcp6.told(now, dhcp6::Event::Received { payload: &payload, from });
                }
                return;
            }
        };
        if port.0 == self.driver.index() {
            if let Some(dhcp) = &mut self.dhcp {
                dhcp.heard(now, &frame);
            }
            return;
        }
        self.machine.handle(now, Event::Frame { port, frame });
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let poll =
            Some(self.next_poll).filter(|_| !self.config.options.miimon.is_zero() && !self.ports.is_empty());
        let observation = Some(self.next_observation).filter(|_| !self.observing && self.under_way == 0);
        let machine = self.machine.poll_timeout().map(|(at, _)| at);
        let address = self.address_at().filter(|_| self.under_way == 0);
        let dhcp = self.dhcp.as_ref().and_then(Dhcp::deadline);
        let dhcp6 = self.dhcp6.as_ref().and_then(Dhcp6::deadline);
        [poll, observation, machine, address, self.radios.deadline(), dhcp, dhcp6].into_iter().flatten().min()
    }

    // ---- actions -------------------------------------------------------------------------------------------------

    /// Carries out what the machine wants. Returns what takes longer, and what the world should be told.
    pub(super) fn drain(&mut self, now: impl Fn() -> Instant) -> (Vec<Work>, Vec<Notice>) {
        let mut work = Vec::new();
        self.watch_access_points(now());
        while let Some((id, action)) = self.machine.poll_action(now()) {
            self.actions_begun += 1;
            match self.perform_now(&action) {
                Some(result) => self.machine.handle(now(), Event::Done { action: id, result }),
                None => work.push(self.perform(id, action)),
            }
        }
        let notices: Vec<_> = std::iter::from_fn(|| self.machine.poll_notice()).collect();
        self.lead_dhcp(now(), &notices);
        work.extend(self.observe(now()));
        work.extend(self.address(now()));
        self.forget_returned(&notices);
        work.extend(self.switch_on());
        self.under_way += work.len();
        (work, notices)
    }

    /// Interfaces that were given back, and are not wanted any more, are none of the bond's business.
    fn forget_returned(&mut self, notices: &[Notice]) {
        for notice in notices {
            if let Notice::Attached { port } = notice {
                self.met
                    .extend(self.ports.iter().filter(|(_, seen)| seen.link.name == *port).map(|(id, _)| *id));
            }
            let Notice::Detached { port } = notice else { continue };
            if self.wants(port) {
                let stations = self.ports.iter().filter(|(id, _)| self.radios.seen(**id).is_some());
                self.switched_off
                    .extend(stations.filter(|(_, seen)| seen.link.name == *port).map(|(id, _)| *id));
            } else {
                self.ports.retain(|_, seen| seen.link.name != *port);
                self.returned = true;
            }
        }
    }

    /// A station that was found switched off is off again now, and would never join the network that it is waited for in.
    fn switch_on(&mut self) -> Vec<Work> {
        let switched_off = std::mem::take(&mut self.switched_off);
        let switch_on = |port: PortId| -> Work {
            let (bond, netlink) = (self.id, self.tools.netlink.clone());
            Box::pin(async move {
                let result = netlink.set_up(port.0, true).await;
                completed(bond, Completion::SwitchedOn { result })
            })
        };
        switched_off.into_iter().map(switch_on).collect()
    }

    /// Were ports given back since this was last asked?
    pub(super) fn take_returned(&mut self) -> Option<()> {
        std::mem::take(&mut self.returned).then_some(())
    }

    fn perform_now(&mut self, action: &Action) -> Option<Result<Outcome, Failure>> {
        let name =
            |port: &PortId| self.ports.get(port).map(|seen| seen.link.name.clone()).unwrap_or_default();
        let result = match action {
            Action::Send { port, .. } if self.driver.sends(*port) => return None,
            Action::Send { port, frame } => self.sockets.send(*port, &name(port), frame),
            Action::Listen { port, on: true, also } => self.sockets.listen(*port, &name(port), Some(*also)),
            Action::Listen { port, on: false, .. } => {
                self.sockets.stop_listening(*port);
                Ok(())
            }
            Action::SetPowerSave { port, on } => {
                let ledger = self.tools.ledger.borrow();
                let found = ledger.get(&self.config.name, port.0).and_then(|found| found.power_save);
                self.radios.set_power_save(*port, *on, found)
            }
            Action::Attach { .. }
            | Action::Detach { .. }
            | Action::Program(_)
            | Action::SetBondMac(_)
            | Action::SetPortMac { .. }
            | Action::SetCarrier(_)
            | Action::NotifyPeers { .. }
            | Action::FindTargets
            | Action::CountReceived { .. } => return self.driver.perform_now(action),
        };
        Some(result.map(|()| Outcome::Done).map_err(|error| Failure(error.to_string())))
    }

    fn perform(&self, id: ActionId, action: Action) -> Work {
        let (bond, driver, netlink) = (self.id, self.driver.clone(), self.tools.netlink.clone());
        let (index, refusal) = (driver.index(), self.refusal.clone());
        within(bond, id, async move {
            let result = match action {
                Action::CountReceived { port } => netlink.rx_packets(port.0).await.map(Outcome::Received),
                Action::FindTargets => peers::find_targets(&netlink, index).await.map(Outcome::Targets),
                Action::NotifyPeers { port } => {
                    peers::notify(&netlink, index, port).await.map(|()| Outcome::Done)
                }
                Action::Attach { .. }
                | Action::Detach { .. }
                | Action::Program(_)
                | Action::SetBondMac(_)
                | Action::SetPortMac { .. }
                | Action::SetCarrier(_)
                | Action::Send { .. }
                | Action::Listen { .. }
                | Action::SetPowerSave { .. } => {
                    return driver.perform(action).await.map_err(|error| {
                        if let DriverError::AddressRefused { .. } = error {
                            refusal.replace(Some(chain(&error)));
                        }
                        error.into()
                    });
                }
            };
            result.map_err(|error| Failure(error.to_string()))
        })
    }

    /// Is every port to keep its own address from now on? Then why.
    pub(super) fn take_refusal(&mut self, now: Instant) -> Option<String> {
        let refusal = self.refusal.take();
        let options = &self.config.options;
        let shared = options.fail_over_mac == FailOverMac::None && options.mode.has_active_port();
        if !shared || self.config.fail_over_mac != MacChoice::Auto || now < self.next_policy {
            return None;
        }
        let two_radios = || (self.radios.len() > 1).then(|| TWO_RADIOS.to_owned());
        let why = refusal.or_else(two_radios)?;
        self.next_policy = now + OBSERVE;
        Some(why)
    }

    /// Compares what the driver has with what the machine wants, while nothing is under way that would change it.
    fn observe(&mut self, now: Instant) -> Option<Work> {
        if self.observing || self.under_way > 0 || now < self.next_observation {
            return None;
        }
        self.observing = true;
        let (bond, driver, actions_before) = (self.id, self.driver.clone(), self.actions_begun);
        Some(Box::pin(async move {
            completed(bond, Completion::Observed { actions_before, result: driver.observe().await })
        }))
    }

    /// Gives the bond its addresses: as soon as it has a carrier, so that nobody who waits for them speaks into the void.
    fn address(&mut self, now: Instant) -> Option<Work> {
        if self.under_way > 0 || now < self.address_at()? {
            return None;
        }
        self.addressing = None;
        let wanted = self.wanted();
        let before = std::mem::replace(&mut self.addresses, wanted.clone());
        let times = self.times(now);
        let looks = self.dhcp6.is_some();
        let sized = self.sized_by_lease();
        let (bond, driver, netlink) = (self.id, self.driver.clone(), self.tools.netlink.clone());
        let (name, accept_ra) = (self.config.name.clone(), self.config.ip.accept_ra);
        Some(Box::pin(async move {
            let result = async {
                if let Some(config) = sized {
                    driver.configure(&config).await?;
                }
                ip::accept_router_advertisements(&name, accept_ra)?;
                Ok(ip::apply(&netlink, driver.index(), &before, &wanted, times).await?)
            };
            let result = result.await;
            // Of an interface that is gone, nothing needs to be known.
            let has = if looks { netlink.addresses(driver.index()).await.ok() } else { None };
            completed(bond, Completion::Addressed { result, has })
        }))
    }

    /// When the bond gets its addresses. One that someone has switched off keeps no routes: not before it is on again.
    fn address_at(&self) -> Option<Instant> {
        let Addressing { from, by } = self.addressing?;
        let off = self.own_link.is_some_and(|own| !own.up);
        (!off).then(|| if self.snapshot().carrier { from } else { by })
    }

    /// The bond is to have the addresses that are configured.
    pub(super) fn address_soon(&mut self, now: Instant) {
        self.addressing = Some(Addressing { from: now, by: now + PATIENCE });
    }

    /// The machine has slept, and may be anywhere.
    pub(super) fn resumed(&mut self, now: Instant, slept: Option<Duration>) {
        self.machine.handle(now, Event::Resumed);
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.resumed(now, slept);
        }
        if let Some(dhcp6) = &mut self.dhcp6 {
            dhcp6.resumed(now, slept);
        }
        self.look_soon(now);
    }

    pub(super) fn complete(&mut self, now: Instant, completion: Completion) -> Option<Work> {
        self.under_way = self.under_way.saturating_sub(1);
        match completion {
            Completion::Action(action, result) => {
                self.machine.handle(now, Event::Done { action, result });
                None
            }
            Completion::Observed { actions_before, result } => {
                self.observing = false;
                self.next_observation = now + OBSERVE;
                match result {
                    // Something was done meanwhile: what was seen may not be so any more.
                    Ok(_) if actions_before != self.actions_begun => {
                        self.next_observation = now;
                        None
                    }
                    Ok(observation) => self.observed(now, observation),
                    Err(error) => {
                        tracing::warn!(
                            bond = self.config.name,
                            error = chain(&error),
                            "cannot look at the bond"
                        );
                        None
                    }
                }
            }
            Completion::StrangersReturned => {
                self.returned = true;
                None
            }
            Completion::SwitchedOn { result } => {
                if let Err(error) = result.or_else(|error| if error.is_gone() { Ok(()) } else { Err(error) })
                {
                    tracing::warn!(bond = self.config.name, error = chain(&error), "a station stays off");
                }
                None
            }
            Completion::Addressed { result, has } => {
                if let (Some(dhcp6), Some(has)) = (&mut self.dhcp6, has) {
                    dhcp6.addresses_seen(now, &has);
                }
                if let Err(error) = result {
                    tracing::warn!(bond = self.config.name, error = chain(&error), "will be tried again");
                    let later = now + OBSERVE;
                    self.addressing.get_or_insert(Addressing { from: later, by: later });
                }
                None
            }
        }
    }

    /// Tells the machine what the driver has. Gives back ports that the configuration does not know.
    pub(super) fn observed(&mut self, now: Instant, observation: Observation) -> Option<Work> {
        self.met.extend(observation.attached.iter().map(|(port, _)| *port));
        let strangers = observation.attached.iter().map(|(port, _)| *port);
        let strangers: Vec<_> = strangers.filter(|port| !self.ports.contains_key(port)).collect();
        self.machine.handle(now, Event::Observed(observation));
        if strangers.is_empty() {
            return None;
        }
        self.under_way += 1;
        let (bond, driver) = (self.id, self.driver.clone());
        Some(Box::pin(async move {
            for port in strangers {
                if let Err(error) = driver.perform(Action::Detach { port }).await {
                    tracing::warn!(%port, error = chain(&error), "in the bond, not in the configuration, and cannot be given back");
                }
            }
            completed(bond, Completion::StrangersReturned)
        }))
    }
}

/// Is the radio of an interface switched off?
fn is_switched_off(interface: &str) -> bool {
    rfkill::switch_of(interface).is_some_and(|switch| {
        let blocks = rfkill::blocks().unwrap_or_default();
        blocks.iter().any(|block| block.switch == switch && block.is_blocked())
    })
}

/// An action as work: answered in any case, for the machine waits for it.
fn within(
    bond: BondId,
    id: ActionId,
    action: impl Future<Output = Result<Outcome, Failure>> + 'static,
) -> Work {
    Box::pin(async move {
        let late = |_| Err(Failure(format!("the kernel did not answer within {} s", ANSWER.as_secs())));
        let result = tokio::time::timeout(ANSWER, action).await.unwrap_or_else(late);
        completed(bond, Completion::Action(id, result))
    })
}

fn completed(bond: BondId, what: Completion) -> Completed {
    Completed { bond, what }
}
