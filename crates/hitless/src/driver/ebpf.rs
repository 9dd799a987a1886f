//! The ebpf driver: the bond is one end of a veth pair, and eBPF programs carry frames between it and its ports.
//!
//! The other end, the parked peer, carries nothing. It is up while the bond is to have a carrier and down otherwise,
//! and its alias tells that the pair is ours (and, until it has one, its hardware address). Programs and maps are the kernel's: they forward without us.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use hitless_core::event::{Action, Observation, PortId};
use hitless_core::mac::MacAddr;
use hitless_core::table::ForwardingTable;
use hitless_linux::ebpf::{Datapath, DatapathError};
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::sysctl::Ipv6Setting;
use tokio::sync::Mutex;

use super::claim::Claim;
use super::port::{self, For, Terms};
use super::{DriverError, Tools, misplaced};
use crate::causes::chain;
use crate::config::Bond;

/// What the parked peer's alias begins with.
const ALIAS: &str = "hitless: parked peer of ";

/// The parked peer's hardware address. It has that from its first moment on: a daemon that is killed before it has set
/// the alias leaves a pair that the next one knows. (Nobody else ever sees it: 02, and "hitls".)
const PARKED_MAC: MacAddr = MacAddr([0x02, b'h', b'i', b't', b'l', b's']);

/// The ebpf driver of one bond.
pub struct EbpfDriver {
    tools: Tools,
    name: String,
    bond: u32,
    parked: u32,
    made: bool,
    _claim: Claim,
    /// Is its size configured?
    terms: Cell<Terms>,
    /// Ports are attached one after the other, in the machine's order, so that the bond begins with the one it wants most.
    attaching: Mutex<()>,
    /// What was said of ports that are not as they should be.
    complaints: RefCell<BTreeMap<u32, String>>,
    state: RefCell<State>,
}

/// What programming the table needs at once, without asking the kernel.
struct State {
    datapath: Datapath,
    /// Rises with each change of what is below, so that a look that takes longer knows whether it is still true.
    changes: u64,
    table: ForwardingTable,
    mac: MacAddr,
    /// The present addresses of attached ports.
    ports: BTreeMap<PortId, MacAddr>,
}

impl std::fmt::Debug for EbpfDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EbpfDriver")
            .field("name", &self.name)
            .field("bond", &self.bond)
            .finish_non_exhaustive()
    }
}

impl EbpfDriver {
    /// Makes the bond, or adopts the one that an earlier daemon left.
    pub(super) async fn open(config: &Bond, tools: &Tools, claim: Claim) -> Result<Self, DriverError> {
        let parked_name = parked_name(&config.name);
        let (bond, parked, made) = match tools.netlink.link_named(&config.name).await? {
            Some(bond) => {
                let parked = our_peer(tools, &bond, &parked_name).await?;
                dress(tools, &config.name, &parked).await?;
                (bond, parked, false)
            }
            None => {
                let (bond, parked) = make_pair(tools, &config.name, &parked_name).await?;
                (bond, parked, true)
            }
        };
        match Self::equip(config, tools, claim, &bond, (parked.index, made)).await {
            Ok(driver) => Ok(driver),
            Err(error) => {
                if made {
                    drop(tools.netlink.delete(bond.index).await);
                }
                Err(error)
            }
        }
    }

    async fn equip(
        config: &Bond,
        tools: &Tools,
        claim: Claim,
        bond: &Link,
        (parked, made): (u32, bool),
    ) -> Result<Self, DriverError> {
        let datapath = match Datapath::adopt(bond.index) {
            Ok(Some(datapath)) => datapath,
            // Made by an older version, or only in part: its ports are attached anew.
            Ok(None) | Err(DatapathError::Layout { .. }) => Datapath::create(bond.index)?,
            Err(error) => return Err(error.into()),
        };
        let table = datapath.table()?;
        let state =
            State { datapath, changes: 0, table, mac: bond.mac.unwrap_or_default(), ports: BTreeMap::new() };
        super::switch_on(tools, config, bond).await?;
        let name = config.name.clone();
        let (terms, state) = (Cell::new(Terms::of(config)), RefCell::new(state));
        let complaints = RefCell::default();
        let driver = Self {
            tools: tools.clone(),
            name,
            bond: bond.index,
            parked,
            made,
            _claim: claim,
            terms,
            attaching: Mutex::default(),
            complaints,
            state,
        };
        driver.configure(config).await?;
        Ok(driver)
    }

    /// The bond's size; its ports follow when they are next looked at.
    pub(super) async fn configure(&self, config: &Bond) -> Result<(), DriverError> {
        self.terms.set(Terms::of(config));
        if let Some(mtu) = config.ip.mtu {
            self.tools.netlink.set_mtu(self.parked, mtu).await?;
            self.tools.netlink.set_mtu(self.bond, mtu).await?;
        }
        Ok(())
    }

    pub(super) fn index(&self) -> u32 {
        self.bond
    }

    pub(super) fn was_made(&self) -> bool {
        self.made
    }

    fn target(&self) -> For<'_> {
        For { bond: &self.name, index: self.bond, terms: self.terms.get() }
    }

    /// The failover path: a few system calls, no request that could wait for a lock.
    pub(super) fn program(&self, table: &ForwardingTable) -> Result<(), DriverError> {
        let state = &mut *self.state.borrow_mut();
        state.datapath.program(table, state.mac, &state.ports)?;
        state.changes += 1;
        state.table = table.clone();
        Ok(())
    }

    /// Tells the datapath of addresses that changed.
    fn reprogram(&self) -> Result<(), DriverError> {
        let table = self.state.borrow().table.clone();
        self.program(&table)
    }

    pub(super) async fn perform(&self, action: Action) -> Result<(), DriverError> {
        match action {
            Action::Attach { port, mac } => self.attach(port, mac).await,
            Action::Detach { port } => self.detach(port).await,
            Action::Program(table) => self.program(&table),
            Action::SetBondMac(mac) => {
                self.tools.netlink.set_mac(self.bond, mac).await?;
                self.state.borrow_mut().mac = mac;
                self.reprogram()
            }
            Action::SetPortMac { port, mac } => {
                let given = self.tools.set_port_mac(port.0, mac).await;
                given.map_err(|error| refusal(&port.to_string(), error))?;
                self.state.borrow_mut().ports.insert(port, mac);
                self.reprogram()
            }
            Action::SetCarrier(up) => Ok(self.tools.netlink.set_up(self.parked, up).await?),
            Action::NotifyPeers { .. }
            | Action::FindTargets
            | Action::Listen { .. }
            | Action::Send { .. }
            | Action::CountReceived { .. }
            | Action::SetPowerSave { .. } => Err(misplaced(&action)),
        }
    }

    async fn attach(&self, port: PortId, mac: Option<MacAddr>) -> Result<(), DriverError> {
        let _turn = self.attaching.lock().await;
        self.state.borrow().datapath.check_port(port)?;
        let taken = port::take(&self.tools, self.target(), port).await?;
        match self.prepare(&taken.link, mac).await {
            Ok(mac) => {
                let mut state = self.state.borrow_mut();
                state.changes += 1;
                state.ports.insert(port, mac);
                Ok(())
            }
            Err(error) => {
                drop(self.state.borrow_mut().datapath.detach_port(port));
                taken.undo(&self.tools, self.target()).await;
                Err(error)
            }
        }
    }

    /// Makes a port of an interface that was taken. Returns its address.
    async fn prepare(&self, link: &Link, mac: Option<MacAddr>) -> Result<MacAddr, DriverError> {
        let netlink = &self.tools.netlink;
        let bond = netlink.link(self.bond).await?.ok_or(DriverError::Gone(self.bond))?;
        if link.mtu != bond.mtu {
            netlink.set_mtu(link.index, bond.mtu).await?;
        }
        if let Some(mac) = mac.filter(|mac| link.mac != Some(*mac)) {
            let given = self.tools.set_port_mac(link.index, mac).await;
            given.map_err(|error| refusal(&link.name, error))?;
        }
        // Groups are joined on the bond, of which the port's own filter knows nothing.
        netlink.set_allmulti(link.index, true).await?;
        // Attached before it is up, so that its own stack never hears what is for the bond.
        self.state.borrow_mut().datapath.attach_port(PortId(link.index))?;
        netlink.set_up(link.index, true).await?;
        Ok(mac.or(link.mac).unwrap_or_default())
    }

    async fn detach(&self, port: PortId) -> Result<(), DriverError> {
        self.unhook(port)?;
        port::give_back(&self.tools, self.target(), port).await
    }

    fn unhook(&self, port: PortId) -> Result<(), DriverError> {
        let mut state = self.state.borrow_mut();
        state.datapath.detach_port(port)?;
        state.changes += 1;
        state.ports.remove(&port);
        Ok(())
    }

    pub(super) async fn observe(&self) -> Result<Observation, DriverError> {
        let before = self.state.borrow().changes;
        let links = self.tools.netlink.links().await?;
        let find = |index| links.iter().find(|link| link.index == index);
        let bond = find(self.bond).ok_or(DriverError::Gone(self.bond))?;
        let parked = find(self.parked).ok_or(DriverError::Gone(self.parked))?;
        let table = self.repair_datapath()?;
        // A bond in a bridge, or with a VLAN or macvlan on it, is sent frames that the ports' own filters know nothing of.
        let wide = bond.promiscuity > 0
            || links.iter().any(|upper| {
                upper.link == Some(self.bond) && !upper.link_elsewhere && upper.index != self.parked
            });
        let mut attached = Vec::new();
        for link in &links {
            let port = PortId(link.index);
            let in_ledger = self.tools.ledger.borrow().get(&self.name, link.index).is_some();
            let known = in_ledger || table.ports.iter().any(|entry| entry.port == port);
            if known && link.master.is_none() && self.state.borrow().datapath.is_attached(port)? {
                attached.push((port, link.mac.unwrap_or_default()));
                let kept = self.keep_as_port(link, bond, wide).await;
                self.complain(link, kept);
            }
        }
        let mut state = self.state.borrow_mut();
        // What was done meanwhile is newer.
        if state.changes == before {
            state.mac = bond.mac.unwrap_or_default();
            state.ports = attached.iter().copied().collect();
            state.table = table.clone();
        }
        Ok(Observation { bond_mac: bond.mac, carrier: parked.admin_up, table, attached })
    }

    /// The table in force. Someone who removed the bond's own filter has stopped all traffic: it is put back at once.
    fn repair_datapath(&self) -> Result<ForwardingTable, DriverError> {
        let mut state = self.state.borrow_mut();
        if !state.datapath.is_attached_to_bond()? {
            tracing::warn!(bond = self.name, "the bond's tc filter was removed; attaching it again");
            state.datapath = Datapath::create(self.bond)?;
        }
        Ok(state.datapath.table()?)
    }

    /// Says what is wrong with a port, once and not each time that it is looked at.
    fn complain(&self, link: &Link, kept: Result<(), DriverError>) {
        let complaint = kept.err().map(|error| chain(&error));
        let mut complaints = self.complaints.borrow_mut();
        let before = match &complaint {
            Some(complaint) => complaints.insert(link.index, complaint.clone()),
            None => complaints.remove(&link.index),
        };
        if let Some(complaint) = complaint.filter(|complaint| before.as_ref() != Some(complaint)) {
            tracing::warn!(bond = self.name, port = link.name, "not as it should be: {complaint}");
        }
    }

    /// What the kernel's bonding does for its ports by itself: they are up, as large as the bond, and accept what it does.
    async fn keep_as_port(&self, link: &Link, bond: &Link, wide: bool) -> Result<(), DriverError> {
        let netlink = &self.tools.netlink;
        let found = self.tools.ledger.borrow().get(&self.name, link.index).is_some_and(|found| found.promisc);
        if link.promisc != (wide || found) {
            netlink.set_promisc(link.index, wide || found).await?;
        }
        if link.mtu != bond.mtu {
            netlink.set_mtu(link.index, bond.mtu).await?;
        }
        if !link.admin_up {
            netlink.set_up(link.index, true).await?;
        }
        Ok(())
    }

    pub(super) async fn remove(&self) -> Result<(), DriverError> {
        let attached: Vec<PortId> = {
            let state = self.state.borrow();
            let in_table = state.table.ports.iter().map(|entry| entry.port);
            state.ports.keys().copied().chain(in_table).collect()
        };
        let unhook = async |port| self.unhook(port);
        let first = port::give_all_back(&self.tools, self.target(), &attached, unhook).await;
        match self.tools.netlink.delete(self.bond).await {
            Err(error) if !error.is_gone() => first.and(Err(error.into())),
            Ok(()) | Err(_) => first,
        }
    }
}

/// Why a port has not got the bond's address.
fn refusal(port: &str, source: RequestError) -> DriverError {
    if source.is_address_refused() {
        return DriverError::AddressRefused { port: port.to_owned(), source };
    }
    source.into()
}

/// The name of a bond's parked peer.
pub fn parked_name(bond: &str) -> String {
    format!("{bond}-p")
}

/// The parked peer of an interface that has the bond's name, if it is one of ours.
async fn our_peer(tools: &Tools, bond: &Link, parked_name: &str) -> Result<Link, DriverError> {
    let taken = || DriverError::NameTaken {
        name: bond.name.clone(),
        kind: bond.kind.clone().unwrap_or_else(|| "a device".to_owned()),
    };
    let parked = tools.netlink.link_named(parked_name).await?.ok_or_else(taken)?;
    let is_peer = bond.link == Some(parked.index) && !bond.link_elsewhere;
    let is_ours = match parked.alias.as_deref() {
        Some(alias) => alias.starts_with(ALIAS),
        None => parked.mac == Some(PARKED_MAC),
    };
    if is_peer && is_ours { Ok(parked) } else { Err(taken()) }
}

async fn make_pair(tools: &Tools, name: &str, parked_name: &str) -> Result<(Link, Link), DriverError> {
    if let Some(link) = tools.netlink.link_named(parked_name).await? {
        let kind = link.kind.unwrap_or_else(|| "a device".to_owned());
        return Err(DriverError::NameTaken { name: link.name, kind });
    }
    tools.netlink.create_marked_veth(name, parked_name, PARKED_MAC).await?;
    match dress_pair(tools, name, parked_name).await {
        Ok(pair) => Ok(pair),
        Err(error) => {
            if let Ok(Some(bond)) = tools.netlink.link_named(name).await {
                drop(tools.netlink.delete(bond.index).await);
            }
            Err(error)
        }
    }
}

async fn dress_pair(tools: &Tools, name: &str, parked_name: &str) -> Result<(Link, Link), DriverError> {
    let find = async |name: &str| {
        let link = tools.netlink.link_named(name).await?;
        link.ok_or_else(|| DriverError::NotAPort {
            port: name.to_owned(),
            reason: "it vanished while it was made",
        })
    };
    let (bond, parked) = (find(name).await?, find(parked_name).await?);
    dress(tools, name, &parked).await?;
    Ok((bond, parked))
}

/// Gives a parked peer what it has to have, as far as it does not have it.
async fn dress(tools: &Tools, bond: &str, parked: &Link) -> Result<(), DriverError> {
    if parked.alias.is_none() {
        tools.netlink.set_alias(parked.index, &format!("{ALIAS}{bond}")).await?;
    }
    // It would only fill the bond with solicitations and reports of its own.
    Ipv6Setting::DisableIpv6.set(&parked.name, 1)?;
    Ok(())
}
