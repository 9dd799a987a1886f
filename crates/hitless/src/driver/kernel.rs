//! The kernel driver: the bond is a Linux bond, and the machine leads it.
//!
//! On a carrier event the machine names the active port at once; the kernel's own monitoring stays on behind it, so
//! that a bond without a daemon still fails over. The kernel must not run ahead of the machine, so its primary-reselect
//! is `failure` wherever failback waits for proof.

use std::cell::RefCell;

use hitless_core::config::{BondConfig, Evidence, Failback, PrimaryReselect, Validate};
use hitless_core::event::{Action, Observation, PortId};
use hitless_core::table::ForwardingTable;
use hitless_linux::bond::{ArpValidate, BondAttributes, BondMode, BondPortAttributes, Support};
use hitless_linux::link::Link;

use super::port::{self, For};
use super::{DriverError, Tools, misplaced};
use crate::config::Bond;

/// The bond's alias, by which the next daemon knows it.
const ALIAS: &str = "hitless";

/// The kernel looks at carriers as a backstop, and no more often than this many milliseconds: see DESIGN, Monitors.
const BACKSTOP_MS: u32 = 100;

/// The kernel driver of one bond.
#[derive(Debug)]
pub struct KernelDriver {
    tools: Tools,
    name: String,
    bond: u32,
    made: bool,
    options: RefCell<BondConfig>,
}

impl KernelDriver {
    /// Makes the bond, or adopts the one that an earlier daemon left.
    pub(super) async fn open(config: &Bond, tools: &Tools) -> Result<Self, DriverError> {
        if let Support::Missing = hitless_linux::bond::support() {
            return Err(DriverError::NoBonding("no module, and not built in".to_owned()));
        }
        let found = tools.netlink.link_named(&config.name).await?;
        let (bond, made) = match found {
            Some(link) => (claim(tools, config, link).await?, false),
            None => (create(tools, config).await?, true),
        };
        let options = RefCell::new(config.options.clone());
        let driver = Self { tools: tools.clone(), name: config.name.clone(), bond, made, options };
        match driver.set_up(config).await {
            Ok(()) => Ok(driver),
            Err(error) => {
                if made {
                    drop(tools.netlink.delete(bond).await);
                }
                Err(error)
            }
        }
    }

    async fn set_up(&self, config: &Bond) -> Result<(), DriverError> {
        let netlink = &self.tools.netlink;
        netlink.set_alias(self.bond, ALIAS).await?;
        self.configure(config).await?;
        if !self.link().await?.admin_up {
            netlink.set_up(self.bond, true).await?;
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
        For { bond: &self.name, index: self.bond }
    }

    async fn link(&self) -> Result<Link, DriverError> {
        self.tools.netlink.link(self.bond).await?.ok_or(DriverError::Gone(self.bond))
    }

    /// Brings the bond's options in line; only those that differ are touched.
    pub(super) async fn configure(&self, config: &Bond) -> Result<(), DriverError> {
        self.options.replace(config.options.clone());
        let link = self.link().await?;
        let present = link.bond.as_deref().cloned().map(|bond| bond.options).unwrap_or_default();
        let wanted = attributes(&config.options, self.primary(&config.options).await?);
        let change = wanted.differing_from(&present);
        if change.fail_over_mac.is_some() || change.mode.is_some() {
            // The kernel changes these only on a bond without ports. The machine attaches them again.
            self.release_all().await?;
        }
        if change != BondAttributes::default() {
            self.tools.netlink.change_bond(self.bond, &change).await?;
        }
        for port in self.ports().await? {
            self.configure_port(&port).await?;
        }
        if let Some(mtu) = config.ip.mtu.filter(|mtu| *mtu != link.mtu) {
            self.tools.netlink.set_mtu(self.bond, mtu).await?;
        }
        Ok(())
    }

    async fn primary(&self, options: &BondConfig) -> Result<Option<u32>, DriverError> {
        let ports = self.ports().await?;
        Ok(ports.iter().find(|port| options.is_primary(&port.name)).map(|port| port.index))
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
            Action::SetBondMac(_)
            | Action::SetPortMac { .. }
            | Action::SetCarrier(_)
            | Action::NotifyPeers { .. }
            | Action::FindTargets
            | Action::Listen { .. }
            | Action::Send { .. }
            | Action::CountReceived { .. } => Err(misplaced(&action)),
        }
    }

    /// The failover path: one request.
    async fn program(&self, table: &ForwardingTable) -> Result<(), DriverError> {
        match table.active() {
            Some(active) => Ok(self.tools.netlink.set_active(self.bond, Some(active.0)).await?),
            // With nothing usable, the kernel has no active port either, as soon as it has looked.
            None => Ok(()),
        }
    }

    async fn attach(&self, port: PortId) -> Result<(), DriverError> {
        let link = port::take(&self.tools, self.target(), port).await?;
        match self.enslave(&link).await {
            Ok(()) => Ok(()),
            Err(error) => {
                drop(self.tools.netlink.set_master(port.0, None).await);
                port::give_back(&self.tools, self.target(), port).await.unwrap_or_else(|failure| {
                    tracing::warn!(port = link.name, %failure, "not given back as it was found");
                });
                Err(error)
            }
        }
    }

    /// The kernel takes only ports that are down, and switches them on itself.
    async fn enslave(&self, link: &Link) -> Result<(), DriverError> {
        if link.master != Some(self.bond) {
            self.tools.netlink.set_up(link.index, false).await?;
            self.tools.netlink.set_master(link.index, Some(self.bond)).await?;
        }
        self.configure_port(link).await?;
        if self.options.borrow().is_primary(&link.name) {
            let primary = BondAttributes { primary: Some(link.index), ..BondAttributes::default() };
            self.tools.netlink.change_bond(self.bond, &primary).await?;
        }
        Ok(())
    }

    async fn detach(&self, port: PortId) -> Result<(), DriverError> {
        match self.tools.netlink.link(port.0).await? {
            Some(link) if link.master == Some(self.bond) => {
                self.tools.netlink.set_master(port.0, None).await?
            }
            Some(_) | None => {}
        }
        port::give_back(&self.tools, self.target(), port).await
    }

    async fn release_all(&self) -> Result<(), DriverError> {
        for port in self.ports().await? {
            self.tools.netlink.set_master(port.index, None).await?;
        }
        Ok(())
    }

    pub(super) async fn observe(&self) -> Result<Observation, DriverError> {
        let links = self.tools.netlink.links().await?;
        let bond = links.iter().find(|link| link.index == self.bond).ok_or(DriverError::Gone(self.bond))?;
        let active = bond.bond.as_ref().and_then(|state| state.active).map(PortId);
        let attached: Vec<_> = links
            .iter()
            .filter(|link| link.master == Some(self.bond))
            .map(|link| (PortId(link.index), link.mac.unwrap_or_default()))
            .collect();
        let table = ForwardingTable::active_backup(active, attached.iter().map(|(port, _)| *port));
        Ok(Observation { bond_mac: bond.mac, carrier: bond.carrier, table, attached })
    }

    pub(super) async fn remove(&self) -> Result<(), DriverError> {
        let mut first = port::give_addresses_back(&self.tools, self.target()).await;
        for port in self.ports().await? {
            let result = self.detach(PortId(port.index)).await;
            first = first.and(result);
        }
        match self.tools.netlink.delete(self.bond).await {
            Err(error) if !error.is_gone() => first.and(Err(error.into())),
            Ok(()) | Err(_) => first,
        }
    }
}

/// An interface that has the bond's name: ours from an earlier daemon, or the unused bond that the kernel's module
/// makes when it is loaded (`max_bonds`).
async fn claim(tools: &Tools, config: &Bond, link: Link) -> Result<u32, DriverError> {
    let ours = link.alias.as_deref() == Some(ALIAS);
    let links = tools.netlink.links().await?;
    let unused = !link.admin_up && !links.iter().any(|port| port.master == Some(link.index));
    match &link.bond {
        Some(state) if ours && state.is_active_backup() => Ok(link.index),
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

/// The kernel's options for what a bond is told to do.
fn attributes(options: &BondConfig, primary: Option<u32>) -> BondAttributes {
    let ms = |duration: std::time::Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
    let probes = &options.probes;
    // The kernel cannot do both; the machine does, and the kernel is only the backstop.
    let probing = options.miimon.is_zero() && probes.enabled();
    let reselect = match options.failback {
        Failback::Proven { .. } => PrimaryReselect::Failure,
        Failback::Carrier => options.primary_reselect,
    };
    let mut attributes = BondAttributes {
        mode: Some(BondMode::ActiveBackup),
        primary,
        primary_reselect: Some(reselect),
        fail_over_mac: Some(options.fail_over_mac),
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
        attributes.ns_ip6_target = Some(probes.ns_targets.clone()).filter(|targets| !targets.is_empty());
        attributes.arp_validate = Some(kernel_validate(probes.validate));
        attributes.arp_all_targets = Some(probes.all_targets);
        attributes.missed_max = Some(probes.missed_max);
    } else {
        attributes.miimon = Some(ms(options.miimon).max(BACKSTOP_MS));
        attributes.updelay = Some(ms(options.updelay));
        attributes.downdelay = Some(ms(options.downdelay));
        attributes.peer_notif_delay = Some(ms(options.peer_notif_delay));
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
    fn the_kernel_is_the_backstop() {
        let options = BondConfig { miimon: Duration::from_millis(10), ..BondConfig::default() };
        assert_eq!(attributes(&options, None).miimon, Some(100));
        let options = BondConfig { miimon: Duration::from_millis(250), ..BondConfig::default() };
        assert_eq!(attributes(&options, None).miimon, Some(250));
    }
}
