//! The kernel driver: the bond is a Linux bond. In active-backup the machine leads it; in balance-rr the kernel itself
//! decides which ports carry traffic, by looking at their carriers, and the machine only sees the same.
//!
//! On a carrier event the machine names the active port at once; the kernel's own monitoring stays on behind it, so
//! that a bond without a daemon still fails over.
//!
//! Where failback waits for proof, the kernel must not run ahead of the machine. So its primary-reselect is `failure`
//! then, and it is told of a primary only while that is the active port: a primary that is named, or attached, makes
//! the kernel move to it the next time that it is up, whatever primary-reselect says (`force_primary` in
//! drivers/net/bonding/bond_main.c).
//!
//! Where ports share the bond's address, switches and access points deliver what is for it to the port where they heard
//! of it last, and bonding drops that on a standby port. So ports have a program that hands up unicast (`standby`).
//! Where they cannot, `all_slaves_active` is on as long as a port is Wi-Fi, and otherwise while questions are asked
//! through a standby port, whatever the configuration says.

mod standby;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use hitless_core::config::{BondConfig, Evidence, FailOverMac, Failback, Mode, PrimaryReselect, Validate};
use hitless_core::event::{Action, Observation, PortId};
use hitless_core::mac::MacAddr;
use hitless_core::table::ForwardingTable;
use hitless_linux::bond::{ArpValidate, BondAttributes, BondMode, BondPortAttributes, BondState, Support};
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::packet::SendSocket;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::claim::Claim;
use super::port::{self, For, Terms};
use super::{DriverError, Tools, misplaced};
use crate::config::Bond;
use standby::Standby;

/// The bond's alias, by which the next daemon knows it.
const ALIAS: &str = "hitless";

/// The kernel looks at carriers as a backstop, and no more often than this many milliseconds.
const BACKSTOP_MS: u32 = 100;

/// How often the kernel is asked whether it has seen by now that a port is up.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// How long the kernel is waited for at most. The machine tries again, but cannot change its mind meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long after a question standby ports still hand up what they hear, at least.
const QUESTION_TIME: Duration = Duration::from_secs(2);

/// The kernel driver of one bond.
#[derive(Debug)]
pub struct KernelDriver {
    tools: Tools,
    name: String,
    bond: u32,
    made: bool,
    _claim: Claim,
    options: RefCell<BondConfig>,
    /// Is its size configured?
    terms: Cell<Terms>,
    /// The primary that the kernel knows, by index; 0: none.
    primary: Cell<u32>,
    /// The active port, as far as known.
    active: Cell<Option<PortId>>,
    /// When a question was asked last through a standby port, as long as those hand up what they hear for it.
    asked: Cell<Option<Instant>>,
    /// What hands up unicast from standby ports.
    standby: Standby,
    /// Do standby ports hand up everything, apart from the time of questions?
    all_active: Cell<bool>,
    /// Ports are attached one after the other, in the machine's order: the bond gets its address from the first.
    attaching: Mutex<()>,
    /// Held while `all_slaves_active` changes for questions.
    asking: Mutex<()>,
}

impl KernelDriver {
    /// Makes the bond, or adopts the one that an earlier daemon left.
    pub(super) async fn open(config: &Bond, tools: &Tools, claim: Claim) -> Result<Self, DriverError> {
        if let Support::Missing = hitless_linux::bond::support() {
            return Err(DriverError::NoBonding("no module, and not built in".to_owned()));
        }
        let found = tools.netlink.link_named(&config.name).await?;
        let (bond, made) = match found {
            Some(link) => (adopt(tools, config, link).await?, false),
            None => (create(tools, config).await?, true),
        };
        let options = RefCell::new(config.options.clone());
        let driver = Self {
            tools: tools.clone(),
            name: config.name.clone(),
            bond,
            made,
            _claim: claim,
            options,
            terms: Cell::new(Terms::of(config)),
            primary: Cell::new(0),
            active: Cell::new(None),
            asked: Cell::new(None),
            standby: Standby::new(bond),
            all_active: Cell::new(config.options.all_slaves_active),
            attaching: Mutex::default(),
            asking: Mutex::default(),
        };
        match driver.set_up(config).await {
            Ok(()) => Ok(driver),
            Err(error) => {
                if made {
                    drop(driver.tools.netlink.delete(bond).await);
                }
                Err(error)
            }
        }
    }

    async fn set_up(&self, config: &Bond) -> Result<(), DriverError> {
        let netlink = &self.tools.netlink;
        netlink.set_alias(self.bond, ALIAS).await?;
        self.configure(config).await?;
        super::switch_on(&self.tools, config, &self.link().await?).await
    }

    pub(super) fn index(&self) -> u32 {
        self.bond
    }

    pub(super) fn was_made(&self) -> bool {
        self.made
    }

    pub(super) fn mode(&self) -> Mode {
        self.options.borrow().mode
    }

    fn target(&self) -> For<'_> {
        For { bond: &self.name, index: self.bond, terms: self.terms.get() }
    }

    async fn link(&self) -> Result<Link, DriverError> {
        self.tools.netlink.link(self.bond).await?.ok_or(DriverError::Gone(self.bond))
    }

    /// Brings the bond's options in line; only those that differ are touched.
    pub(super) async fn configure(&self, config: &Bond) -> Result<(), DriverError> {
        self.options.replace(config.options.clone());
        self.terms.set(Terms::of(config));
        let link = self.link().await?;
        let present = link.bond.as_deref().cloned().unwrap_or_default();
        let primary = self.primary(&config.options, present.active).await?;
        let mut wanted = attributes(&config.options, Some(primary));
        self.standby.decide(&config.options, wanted.arp_interval.is_some(), link.mac.unwrap_or_default());
        let all_active = self.wants_all_active(&self.ports().await?);
        wanted.all_slaves_active = Some(all_active);
        let change = wanted.differing_from(&present.options);
        if change.fail_over_mac.is_some() || change.mode.is_some() {
            // The kernel changes these only on a bond without ports. The machine attaches them again.
            self.release_all().await?;
        }
        if let Some(mac) = config.options.mac.filter(|mac| link.mac != Some(*mac)) {
            // Before there is a port, from which it would get another. With `active` the kernel passes over it.
            self.tools.netlink.set_mac(self.bond, mac).await?;
        }
        if change.primary_reselect == Some(PrimaryReselect::Failure) {
            // Before the primary, which the kernel would apply first, and by the old rule.
            let first =
                BondAttributes { primary_reselect: change.primary_reselect, ..BondAttributes::default() };
            self.tools.netlink.change_bond(self.bond, &first).await?;
        }
        if change != BondAttributes::default() {
            self.tools.netlink.change_bond(self.bond, &change).await?;
        }
        self.primary.set(primary);
        self.asked.set(None);
        self.all_active.set(all_active);
        for port in self.ports().await? {
            self.configure_port(&port).await?;
            if !self.standby.is_program() {
                self.standby.detach(PortId(port.index))?;
            }
        }
        self.keep_unicast().await?;
        if let Some(mtu) = config.ip.mtu.filter(|mtu| *mtu != link.mtu) {
            self.tools.netlink.set_mtu(self.bond, mtu).await?;
        }
        Ok(())
    }

    /// The port that the kernel is to know as the primary; 0: none.
    async fn primary(&self, options: &BondConfig, active: Option<u32>) -> Result<u32, DriverError> {
        let may_be = |port: &Link| !is_proven(options) || Some(port.index) == active;
        let ports = self.ports().await?;
        let primary = ports.iter().find(|port| options.is_primary(&port.name) && may_be(port));
        Ok(primary.map_or(0, |port| port.index))
    }

    async fn ports(&self) -> Result<Vec<Link>, DriverError> {
        let links = self.tools.netlink.links().await?;
        Ok(links.into_iter().filter(|link| link.master == Some(self.bond)).collect())
    }

    async fn configure_port(&self, port: &Link) -> Result<(), DriverError> {
        let options = self.options.borrow().port(&port.name);
        let present = port.bond_port.unwrap_or_default();
        let change = BondPortAttributes {
            prio: Some(options.prio).filter(|prio| present.prio.unwrap_or(0) != *prio),
            queue_id: Some(options.queue_id).filter(|queue| present.queue_id.unwrap_or(0) != *queue),
        };
        if change.prio.is_some() || change.queue_id.is_some() {
            self.tools.netlink.change_bond_port(port.index, &change).await?;
        }
        Ok(())
    }

    pub(super) async fn perform(&self, action: Action) -> Result<(), DriverError> {
        match action {
            Action::Attach { port, .. } => self.attach(port).await,
            Action::Detach { port } => self.detach(port).await,
            Action::Program(table) => self.program(&table).await,
            Action::Send { port, frame } => self.ask(port, &frame).await,
            Action::SetBondMac(_)
            | Action::SetPortMac { .. }
            | Action::SetCarrier(_)
            | Action::NotifyPeers { .. }
            | Action::FindTargets
            | Action::Listen { .. }
            | Action::CountReceived { .. }
            | Action::SetPowerSave { .. } => Err(misplaced(&action)),
        }
    }

    /// With nothing usable, the kernel has no active port either, as soon as it has looked.
    async fn program(&self, table: &ForwardingTable) -> Result<(), DriverError> {
        let Some(PortId(active)) = table.active() else { return Ok(()) };
        self.make_active(active).await?;
        self.name_primary(active).await
    }

    /// The failover path: one request.
    ///
    /// The kernel takes only a port that is up as far as it knows, and it looks at links by its own clock. A port
    /// whose link has just come up is waited for.
    async fn make_active(&self, port: u32) -> Result<(), DriverError> {
        let deadline = Instant::now() + self.patience();
        loop {
            let Err(refusal) = self.tools.netlink.set_active(self.bond, Some(port)).await else {
                self.active.set(Some(PortId(port)));
                return Ok(());
            };
            let link = self.tools.netlink.link(port).await?;
            let coming = link.is_some_and(|link| link.carrier && link.master == Some(self.bond));
            if !coming || Instant::now() >= deadline {
                return Err(refusal.into());
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    /// Two looks of the kernel: the first sees that the link is up, the second makes up for one that was put off.
    fn patience(&self) -> Duration {
        let options = attributes(&self.options.borrow(), None);
        let interval = options.miimon.or(options.arp_interval).unwrap_or(BACKSTOP_MS);
        (Duration::from_millis(interval.into()) * 2).min(PATIENCE)
    }

    /// Tells the kernel of the primary, once that is active.
    async fn name_primary(&self, active: u32) -> Result<(), DriverError> {
        if active == self.primary.get() {
            return Ok(());
        }
        let Some(link) = self.tools.netlink.link(active).await? else { return Ok(()) };
        if self.options.borrow().is_primary(&link.name) {
            self.set_primary(active).await?;
        }
        Ok(())
    }

    async fn set_primary(&self, port: u32) -> Result<(), DriverError> {
        let primary = BondAttributes { primary: Some(port), ..BondAttributes::default() };
        self.tools.netlink.change_bond(self.bond, &primary).await?;
        self.primary.set(port);
        Ok(())
    }

    /// Makes sure that standby ports hand up unicast.
    async fn keep_unicast(&self) -> Result<(), DriverError> {
        let mac = self.link().await?.mac.unwrap_or_default();
        for port in self.ports().await? {
            self.keep_unicast_of(PortId(port.index), mac).await?;
        }
        Ok(())
    }

    async fn keep_unicast_of(&self, port: PortId, bond_mac: MacAddr) -> Result<(), DriverError> {
        let Err(error) = self.standby.keep(port, bond_mac) else { return Ok(()) };
        // One that has gone meanwhile needs nothing.
        let link = self.tools.netlink.link(port.0).await?;
        if link.is_some_and(|link| link.master == Some(self.bond)) {
            self.standby.give_up(&error);
            self.follow_all_active().await?;
        }
        Ok(())
    }

    /// Are standby ports to hand up everything? Where nothing better can be had, Wi-Fi is not to be deaf while it stands
    /// by: an access point delivers there, as long as it has a station with the bond's address.
    fn wants_all_active(&self, ports: &[Link]) -> bool {
        if self.options.borrow().all_slaves_active {
            return true;
        }
        let Some(why) = self.standby.missing() else { return false };
        let Some(port) = ports.iter().find(|port| port.is_wireless()) else { return false };
        if !self.all_active.get() {
            tracing::warn!(
                bond = self.name,
                port = port.name,
                why,
                "all-slaves-active is on, so that the Wi-Fi port hears unicast while it stands by: multicast and \
                 broadcast may come in twice"
            );
        }
        true
    }

    /// Ports came or went, or the program is missing.
    async fn follow_all_active(&self) -> Result<(), DriverError> {
        let wanted = self.wants_all_active(&self.ports().await?);
        if self.all_active.replace(wanted) != wanted {
            self.set_all_active(wanted).await?;
        }
        Ok(())
    }

    /// Would what comes of a frame on this port be dropped, unless [`Action::Send`] comes here?
    ///
    /// That is so for the first question only. Those that follow, and the lessons after them, are best sent at once,
    /// and in their order.
    pub(super) fn is_first_question(&self, port: PortId) -> bool {
        let shared = self.options.borrow().fail_over_mac == FailOverMac::None;
        let heard = self.standby.is_program() || self.all_active.get() || self.active.get() == Some(port);
        if !shared || heard {
            return false;
        }
        let first = self.asked.get().is_none();
        if !first {
            self.asked.set(Some(Instant::now()));
        }
        first
    }

    async fn ask(&self, port: PortId, frame: &[u8]) -> Result<(), DriverError> {
        let turn = self.asking.lock().await;
        self.set_all_active(true).await?;
        self.asked.set(Some(Instant::now()));
        drop(turn);
        Ok(SendSocket::open(port.0, "the port that is asked through")?.try_send(frame)?)
    }

    /// Switches that have heard a question send elsewhere by now what is for the bond.
    async fn end_questions(&self) -> Result<(), DriverError> {
        let _turn = self.asking.lock().await;
        if self.asked.get().is_some_and(|asked| asked.elapsed() >= QUESTION_TIME) {
            self.asked.set(None);
            self.set_all_active(self.all_active.get()).await?;
        }
        Ok(())
    }

    async fn set_all_active(&self, on: bool) -> Result<(), DriverError> {
        let change = BondAttributes { all_slaves_active: Some(on), ..BondAttributes::default() };
        Ok(self.tools.netlink.change_bond(self.bond, &change).await?)
    }

    async fn attach(&self, port: PortId) -> Result<(), DriverError> {
        let _turn = self.attaching.lock().await;
        let taken = port::take(&self.tools, self.target(), port).await?;
        match self.enslave(&taken.link).await {
            Ok(()) => Ok(()),
            Err(error) => {
                drop(self.unhook(port).await);
                taken.undo(&self.tools, self.target()).await;
                Err(error)
            }
        }
    }

    /// The kernel takes only ports that are down, and switches them on itself.
    async fn enslave(&self, link: &Link) -> Result<(), DriverError> {
        let (is_primary, proven) = {
            let options = self.options.borrow();
            (options.is_primary(&link.name), is_proven(&options))
        };
        if link.master != Some(self.bond) {
            if is_primary && proven {
                // The kernel remembers the name of a primary that has left.
                self.tools.netlink.forget_primary(self.bond).await?;
                self.primary.set(0);
            }
            self.tools.netlink.set_up(link.index, false).await?;
            let enslaved = self.tools.netlink.set_master(link.index, Some(self.bond)).await;
            enslaved.map_err(|error| self.refusal(link, error))?;
        }
        self.configure_port(link).await?;
        if is_primary && !proven {
            self.set_primary(link.index).await?;
        }
        // The bond may have its address from this port.
        let mac = self.link().await?.mac.unwrap_or_default();
        self.keep_unicast_of(PortId(link.index), mac).await?;
        self.follow_all_active().await
    }

    /// Why an interface did not become a port: bonding gives it the bond's address, which drivers may refuse.
    fn refusal(&self, link: &Link, source: RequestError) -> DriverError {
        let shared = self.options.borrow().fail_over_mac == FailOverMac::None;
        if shared && source.is_address_refused() {
            return DriverError::AddressRefused { port: link.name.clone(), source };
        }
        source.into()
    }

    async fn detach(&self, port: PortId) -> Result<(), DriverError> {
        self.unhook(port).await?;
        self.follow_all_active().await?;
        port::give_back(&self.tools, self.target(), port).await
    }

    async fn unhook(&self, port: PortId) -> Result<(), DriverError> {
        let link = self.tools.netlink.link(port.0).await?;
        if link.is_some_and(|link| link.master == Some(self.bond)) {
            self.tools.netlink.set_master(port.0, None).await?;
        }
        self.standby.detach(port)?;
        Ok(())
    }

    async fn release_all(&self) -> Result<(), DriverError> {
        let mut first = Ok(());
        for port in self.ports().await? {
            first = first.and(self.unhook(PortId(port.index)).await);
        }
        first
    }

    pub(super) async fn observe(&self) -> Result<Observation, DriverError> {
        self.end_questions().await?;
        let links = self.tools.netlink.links().await?;
        let bond = links.iter().find(|link| link.index == self.bond).ok_or(DriverError::Gone(self.bond))?;
        let active = bond.bond.as_ref().and_then(|state| state.active).map(PortId);
        self.active.set(active);
        let attached: Vec<_> = links
            .iter()
            .filter(|link| link.master == Some(self.bond))
            .map(|link| (PortId(link.index), link.mac.unwrap_or_default()))
            .collect();
        for (port, _) in &attached {
            self.keep_unicast_of(*port, bond.mac.unwrap_or_default()).await?;
        }
        let ports = attached.iter().map(|(port, _)| *port);
        let table = match self.mode() {
            Mode::ActiveBackup => ForwardingTable::active_backup(active, ports),
            Mode::BalanceRr => {
                let in_use = |port: &PortId| {
                    let state =
                        links.iter().find(|link| link.index == port.0).and_then(|link| link.bond_port);
                    state.is_some_and(|state| state.link.is_usable())
                };
                ForwardingTable::balance_rr(ports.clone().filter(in_use), ports)
            }
        };
        Ok(Observation { bond_mac: bond.mac, carrier: bond.carrier, table, attached })
    }

    pub(super) async fn remove(&self) -> Result<(), DriverError> {
        let attached: Vec<PortId> = self.ports().await?.iter().map(|port| PortId(port.index)).collect();
        let unhook = async |port| self.unhook(port).await;
        let first = port::give_all_back(&self.tools, self.target(), &attached, unhook).await;
        match self.tools.netlink.delete(self.bond).await {
            Err(error) if !error.is_gone() => first.and(Err(error.into())),
            Ok(()) | Err(_) => first,
        }
    }
}

/// An interface that has the bond's name: ours from an earlier daemon, which may have been killed before it could say so,
/// or the unused bond that the kernel's module makes when it is loaded (`max_bonds`).
async fn adopt(tools: &Tools, config: &Bond, link: Link) -> Result<u32, DriverError> {
    let ours = link.alias.as_deref() == Some(ALIAS);
    let links = tools.netlink.links().await?;
    let unused = !link.admin_up
        && link.alias.is_none()
        && !links.iter().any(|port| port.master == Some(link.index))
        && link.bond.as_ref().is_some_and(|bond| {
            bond.options.mode == Some(BondMode::BalanceRr) || mode(bond) == Some(config.options.mode)
        });
    match &link.bond {
        Some(state) if ours && mode(state) == Some(config.options.mode) => Ok(link.index),
        Some(_) if ours || unused => {
            tools.netlink.delete(link.index).await?;
            create(tools, config).await
        }
        Some(_) => Err(DriverError::NameTaken { name: link.name, kind: "a bond in use".to_owned() }),
        None => {
            let kind = link.kind.unwrap_or_else(|| "a device".to_owned());
            Err(DriverError::NameTaken { name: link.name, kind })
        }
    }
}

async fn create(tools: &Tools, config: &Bond) -> Result<u32, DriverError> {
    match tools.netlink.create_bond(&config.name, &attributes(&config.options, None)).await {
        Ok(index) => Ok(index),
        // Loading the module for it has made a bond of the default name.
        Err(error) if error.is_exists() => match tools.netlink.link_named(&config.name).await? {
            Some(link) if link.bond.is_some() && !link.admin_up => {
                tools.netlink.delete(link.index).await?;
                Ok(tools.netlink.create_bond(&config.name, &attributes(&config.options, None)).await?)
            }
            Some(_) | None => Err(error.into()),
        },
        Err(error) if error.is_unsupported() => Err(DriverError::NoBonding(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// The mode of a bond; `None`: one that is not ours to have made.
pub(super) fn mode(state: &BondState) -> Option<Mode> {
    let ours = [Mode::ActiveBackup, Mode::BalanceRr];
    ours.into_iter().find(|mode| state.options.mode == Some(kernel_mode(*mode)))
}

fn kernel_mode(mode: Mode) -> BondMode {
    match mode {
        Mode::ActiveBackup => BondMode::ActiveBackup,
        Mode::BalanceRr => BondMode::BalanceRr,
    }
}

/// Does failback wait for proof?
fn is_proven(options: &BondConfig) -> bool {
    matches!(options.failback, Failback::Proven { .. })
}

/// The kernel's options for what a bond is told to do.
fn attributes(options: &BondConfig, primary: Option<u32>) -> BondAttributes {
    let ms = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    let probes = &options.probes;
    // The kernel cannot do both; the machine does, and the kernel is only the backstop.
    let probing = options.miimon.is_zero() && probes.enabled();
    let reselect = match options.failback {
        // Nor ahead of probes, of which it knows nothing.
        Failback::Carrier if !probes.enabled() => options.primary_reselect,
        Failback::Proven { .. } | Failback::Carrier => PrimaryReselect::Failure,
    };
    let leads = options.mode == Mode::ActiveBackup;
    let mut attributes = BondAttributes {
        mode: Some(kernel_mode(options.mode)),
        primary: primary.filter(|_| leads),
        primary_reselect: Some(reselect).filter(|_| leads),
        fail_over_mac: Some(options.fail_over_mac).filter(|_| leads),
        resend_igmp: Some(options.resend_igmp.into()),
        num_peer_notif: Some(options.num_peer_notif),
        all_slaves_active: Some(options.all_slaves_active),
        use_carrier: Some(options.use_carrier),
        min_links: Some(options.min_links),
        ..BondAttributes::default()
    };
    if probing {
        attributes.arp_interval = Some(ms(probes.interval));
        attributes.arp_ip_target = Some(probes.arp_targets.clone());
        attributes.ns_ip6_target = Some(probes.ns_targets.clone());
        attributes.arp_validate = Some(kernel_validate(probes.validate));
        attributes.arp_all_targets = Some(probes.all_targets);
        attributes.missed_max = Some(probes.missed_max);
    } else {
        // Where the kernel decides, it looks as often as it is told to.
        attributes.miimon = Some(ms(options.miimon).max(if leads { BACKSTOP_MS } else { 1 }));
        attributes.updelay = Some(ms(options.updelay));
        attributes.downdelay = Some(ms(options.downdelay));
        attributes.peer_notif_delay = Some(ms(options.peer_notif_delay));
        attributes.arp_ip_target = Some(Vec::new());
        attributes.ns_ip6_target = Some(Vec::new());
    }
    attributes
}

fn kernel_validate(validate: Validate) -> ArpValidate {
    match (validate.active, validate.backup) {
        (Evidence::Any, Evidence::Any) => ArpValidate::None,
        (Evidence::Target, Evidence::Any) => ArpValidate::Active,
        (Evidence::Any, Evidence::Target) => ArpValidate::Backup,
        (Evidence::Target, Evidence::Target) => ArpValidate::All,
        (Evidence::Probe, Evidence::Probe | Evidence::Any) | (Evidence::Any, Evidence::Probe) => {
            ArpValidate::Filter
        }
        (Evidence::Target, Evidence::Probe) => ArpValidate::FilterActive,
        (Evidence::Probe, Evidence::Target) => ArpValidate::FilterBackup,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_kernel_does_not_run_ahead_of_proof() {
        let options = BondConfig::default();
        assert_eq!(attributes(&options, None).primary_reselect, Some(PrimaryReselect::Failure));
        let options = BondConfig { failback: Failback::Carrier, ..options };
        assert_eq!(attributes(&options, None).primary_reselect, Some(PrimaryReselect::Always));
    }

    #[test]
    fn what_the_kernel_does_alone_it_does_as_configured() {
        let options = BondConfig { mode: Mode::BalanceRr, ..BondConfig::default() };
        let attributes = attributes(&options, Some(7));
        assert_eq!((attributes.mode, attributes.miimon), (Some(BondMode::BalanceRr), Some(10)));
        // Of these it knows nothing in this mode, and refuses them.
        assert_eq!(
            (attributes.primary, attributes.primary_reselect, attributes.fail_over_mac),
            (None, None, None)
        );
    }

    #[test]
    fn the_kernel_is_the_backstop() {
        let options = BondConfig { miimon: Duration::from_millis(10), ..BondConfig::default() };
        assert_eq!(attributes(&options, None).miimon, Some(100));
        let options = BondConfig { miimon: Duration::from_millis(250), ..BondConfig::default() };
        assert_eq!(attributes(&options, None).miimon, Some(250));
    }
}
