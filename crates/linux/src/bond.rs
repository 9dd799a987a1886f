//! Linux bonding: bonds, their options and those of their ports (linux/if_link.h, `IFLA_BOND_*`).
//!
//! The meaning of the options is that of the kernel's Documentation/networking/bonding.rst. Only those that exist in
//! active-backup are here. Interfaces become ports by [`Netlink::set_master`].

#![allow(clippy::wildcard_enum_match_arm, reason = "rtnetlink's enums are foreign, open and long")]

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use hitless_core::config::{FailOverMac, PrimaryReselect};
use hitless_core::event::LinkState;
use hitless_core::mac::MacAddr;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
pub use netlink_packet_route::link::BondMode;
use netlink_packet_route::link::{
    BondAllPortActive, BondArpAllTargets, BondArpValidate, BondFailOverMac, BondPortState as KernelPortState,
    BondPrimaryReselect, InfoBond, InfoBondPort, InfoData, InfoKind, InfoPortData, InfoPortKind,
    LinkAttribute, LinkInfo, MiiStatus,
};
use nix::errno::Errno;

use crate::error::{Cause, RequestError};
use crate::link::{Link, about, invalid_name, is_valid_name, mac, with};
use crate::netlink::Netlink;
use crate::privilege::require_net_admin;

/// Options of a bond. `None` leaves an option as it is; as part of a [`BondState`] it means that the kernel does not
/// have the option.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BondAttributes {
    /// The mode. Only without ports and while the bond is down.
    pub mode: Option<BondMode>,
    /// How often the kernel looks at carriers, in milliseconds; 0: never.
    pub miimon: Option<u32>,
    /// How long a link must be there before it counts, in milliseconds; rounded to `miimon`, without which only 0 will do.
    pub updelay: Option<u32>,
    /// How long a link must be gone before it counts, in milliseconds; rounded to `miimon`, without which only 0 will do.
    pub downdelay: Option<u32>,
    /// The time between two peer notifications, in milliseconds; rounded to `miimon`, without which only 0 will do.
    pub peer_notif_delay: Option<u32>,
    /// Ask the carrier state rather than the MII registers. Kernels from 6.18 on know no other way.
    pub use_carrier: Option<bool>,
    /// The time between two ARP probes, in milliseconds; 0: none. Excludes `miimon`: setting one clears the other,
    /// setting both is refused.
    pub arp_interval: Option<u32>,
    /// Whom to ask by ARP; at most 16. Replaces all earlier targets.
    pub arp_ip_target: Option<Vec<Ipv4Addr>>,
    /// Whom to ask by neighbour solicitation (Linux 5.19); at most 16. Replaces all earlier targets.
    pub ns_ip6_target: Option<Vec<Ipv6Addr>>,
    /// Which received frames count as a sign of life.
    pub arp_validate: Option<ArpValidate>,
    /// Must all targets answer?
    pub arp_all_targets: Option<bool>,
    /// How many probes without an answer make a path dead, 1 to 255 (Linux 5.17).
    pub missed_max: Option<u8>,
    /// The primary, by index; 0: none. Need not be a port yet.
    pub primary: Option<u32>,
    /// When a better port takes over.
    pub primary_reselect: Option<PrimaryReselect>,
    /// What happens to hardware addresses. Only without ports.
    pub fail_over_mac: Option<FailOverMac>,
    /// IGMP membership reports after a change, 0 to 255.
    pub resend_igmp: Option<u32>,
    /// Peer notifications after a change, 0 to 255.
    pub num_peer_notif: Option<u8>,
    /// Hand up what standby ports receive?
    pub all_slaves_active: Option<bool>,
    /// How many usable ports the bond needs for a carrier.
    pub min_links: Option<u32>,
}

/// Which received frames count as a sign of life (`arp_validate`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArpValidate {
    /// Any frame.
    #[default]
    None,
    /// Answers on the active port; on others any frame.
    Active,
    /// Our own requests on standby ports; on the active one any frame.
    Backup,
    /// [`ArpValidate::Active`] and [`ArpValidate::Backup`].
    All,
    /// Any ARP frame.
    Filter,
    /// Any ARP frame, and validation on the active port.
    FilterActive,
    /// Any ARP frame, and validation on standby ports.
    FilterBackup,
}

/// A bond's options and state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BondState {
    /// The active port, by index.
    pub active: Option<u32>,
    /// The options in force.
    pub options: BondAttributes,
}

/// What the kernel says of a port of a bond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BondPortState {
    /// Is it the active port (in the modes without one: is it in use)?
    pub active: bool,
    /// Its link state.
    pub link: LinkState,
    /// How often its link failed since it is a port of the bond.
    pub link_failures: u32,
    /// The address that it gets back when it leaves the bond.
    pub permanent_mac: Option<MacAddr>,
    /// Its priority (Linux 6.0).
    pub prio: Option<i32>,
    /// Its transmit queue.
    pub queue_id: Option<u16>,
}

/// Options of a port. `None` leaves an option as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BondPortAttributes {
    /// The higher, the better (Linux 6.0).
    pub prio: Option<i32>,
    /// The transmit queue.
    pub queue_id: Option<u16>,
}

/// Is Linux bonding to be had?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It is there.
    Loaded,
    /// The kernel will load the module when the first bond is created.
    Loadable,
    /// This kernel does not have it.
    Missing,
}

/// Is Linux bonding to be had? Looks only; loads nothing.
pub fn support() -> Support {
    if Path::new("/sys/module/bonding").exists() || Path::new("/proc/net/bonding").exists() {
        Support::Loaded
    } else if module_is_installed() {
        Support::Loadable
    } else {
        Support::Missing
    }
}

fn module_is_installed() -> bool {
    let Ok(release) = fs::read_to_string("/proc/sys/kernel/osrelease") else { return false };
    ["modules.dep", "modules.builtin"].iter().any(|list| {
        let path = format!("/lib/modules/{}/{list}", release.trim());
        fs::read_to_string(path).is_ok_and(|list| list.lines().any(is_bonding_module))
    })
}

/// Is this the line of the bonding module in `modules.dep`, such as `kernel/drivers/net/bonding/bonding.ko.xz: …`?
fn is_bonding_module(line: &str) -> bool {
    let path = line.split(':').next().unwrap_or_default();
    path.rsplit('/').next().is_some_and(|file| file == "bonding.ko" || file.starts_with("bonding.ko."))
}

impl Netlink {
    /// Create a bond with these options; it is down and without ports. Returns its index.
    ///
    /// The kernel loads the bonding module for the first bond, and the module by itself creates an interface `bond0`
    /// (its parameter `max_bonds`); that one is used or removed.
    ///
    /// # Errors
    /// When the name is taken ([`RequestError::is_exists`]), an option refused (the kernel says which), or there is no
    /// bonding in this kernel ([`RequestError::is_unsupported`]). Nothing is left behind.
    pub async fn create_bond(&self, name: &str, options: &BondAttributes) -> Result<u32, RequestError> {
        let request = "create the bond";
        if !is_valid_name(name) {
            return Err(invalid_name(name).of(request, name));
        }
        let fresh = support() != Support::Loaded && self.link_named("bond0").await?.is_none();
        let mut result = self.new_bond(name, options).await;
        if fresh {
            let created = result.is_ok() && name == "bond0";
            if !created && self.remove_modules_own_bond().await? && name == "bond0" {
                result = self.new_bond(name, options).await;
            }
        }
        result.map_err(|cause| explained(cause, option_refusal).of(request, name))?;
        let link = self.link_named(name).await?;
        link.map(|link| link.index).ok_or_else(|| Cause::Answer("new bond").of(request, name))
    }

    async fn new_bond(&self, name: &str, options: &BondAttributes) -> Result<(), Cause> {
        let attributes = [LinkAttribute::IfName(name.to_owned()), bond_info(options.to_attributes())];
        let message = RouteNetlinkMessage::NewLink(with(about(0), attributes));
        self.perform(message, NLM_F_CREATE | NLM_F_EXCL).await
    }

    /// Remove the `bond0` that the module made when it was loaded a moment ago. Was there one?
    async fn remove_modules_own_bond(&self) -> Result<bool, RequestError> {
        let Some(link) = self.link_named("bond0").await? else { return Ok(false) };
        let untouched = link.bond.is_some() && !link.admin_up && link.alias.is_none();
        let ports = self.links().await?.iter().any(|port| port.master == Some(link.index));
        if !untouched || ports {
            return Ok(false);
        }
        self.delete(link.index).await?;
        Ok(true)
    }

    /// Change the options of a bond; only those that differ from what is in force are sent, so that options that cannot be
    /// changed at present may be named as long as they are as they shall be.
    ///
    /// # Errors
    /// When the kernel refuses an option; it says which and why. Options before that one (in the kernel's order) may
    /// then have been changed.
    pub async fn change_bond(&self, index: u32, options: &BondAttributes) -> Result<(), RequestError> {
        let request = "change the bonding options of";
        let present = self.bond_state(index, request).await?;
        let attributes = options.differing_from(&present.options).to_attributes();
        if attributes.is_empty() {
            return Ok(());
        }
        self.change_link(index, bond_info(attributes), request, option_refusal).await
    }

    /// Make this port the active one, or leave the choice to the kernel.
    ///
    /// # Errors
    /// When it is not a port of the bond, or not usable in the kernel's view; the kernel says so.
    pub async fn set_active(&self, index: u32, port: Option<u32>) -> Result<(), RequestError> {
        let info = bond_info(vec![InfoBond::ActivePort(port.unwrap_or(0))]);
        let refusal = |_| "it is not a port of the bond, or its link is not up in the kernel's view";
        self.change_link(index, info, "change the active port of", refusal).await
    }

    /// Make the bond forget its primary, also one that is not a port any more: the kernel remembers it by name, and
    /// moves to an interface of that name as soon as it is a port and up. The active port stays.
    ///
    /// # Errors
    /// When it is not a bond.
    pub async fn forget_primary(&self, index: u32) -> Result<(), RequestError> {
        let info = bond_info(vec![InfoBond::Primary(0)]);
        self.change_link(index, info, "take the primary from", option_refusal).await
    }

    /// Change the options of a port of a bond.
    ///
    /// # Errors
    /// When it is not a port of a bond.
    pub async fn change_bond_port(
        &self,
        port: u32,
        options: &BondPortAttributes,
    ) -> Result<(), RequestError> {
        let prio = options.prio.map(InfoBondPort::Prio);
        let queue_id = options.queue_id.map(InfoBondPort::QueueId);
        let data: Vec<_> = prio.into_iter().chain(queue_id).collect();
        if data.is_empty() {
            return Ok(());
        }
        let info = LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bond),
            LinkInfo::PortData(InfoPortData::BondPort(data)),
        ]);
        let refusal = |_| "it is not a port of a bond, or the bond does not have this queue";
        self.change_link(port, info, "change the options of the bond's port", refusal).await
    }

    async fn change_link(
        &self,
        index: u32,
        attribute: LinkAttribute,
        request: &'static str,
        refusal: fn(Errno) -> &'static str,
    ) -> Result<(), RequestError> {
        // Without `NLM_F_CREATE` a "new link" changes the one that there is.
        let message = RouteNetlinkMessage::NewLink(with(about(index), [attribute]));
        match self.perform(message, 0).await {
            Ok(()) => Ok(()),
            Err(cause) => Err(self.name_error(explained(cause, refusal), request, index).await),
        }
    }

    async fn bond_state(&self, index: u32, request: &'static str) -> Result<BondState, RequestError> {
        match self.link(index).await? {
            Some(Link { bond: Some(state), .. }) => Ok(*state),
            Some(link) => Err(Cause::Invalid("it is not a bond".to_owned()).of(request, link.name)),
            None => Err(Cause::errno(Errno::ENODEV).of(request, format!("interface {index}"))),
        }
    }
}

/// The cause with an explanation, where the kernel gave none worth the name: the bonding driver writes most of its reasons to the kernel
/// log only, and uses up error numbers that mean something else elsewhere.
fn explained(cause: Cause, refusal: fn(Errno) -> &'static str) -> Cause {
    use Errno::{EACCES, EBUSY, EINVAL, ENOTEMPTY, EPERM};
    match cause {
        Cause::Kernel { errno: errno @ (EPERM | EACCES), message: None } if require_net_admin().is_err() => {
            errno.into()
        }
        Cause::Kernel { errno: errno @ (EPERM | EACCES | EBUSY | EINVAL | ENOTEMPTY), message }
            if message.as_deref().is_none_or(|message| message == "invalid option value") =>
        {
            Cause::Kernel {
                errno,
                message: Some(format!("{} (the kernel log may say more)", refusal(errno))),
            }
        }
        Cause::Kernel { .. } | Cause::Closed | Cause::Answer(_) | Cause::Invalid(_) => cause,
    }
}

/// What the bonding driver means by an error number (`bond_opt_error_interpret` in drivers/net/bonding/bond_options.c).
fn option_refusal(errno: Errno) -> &'static str {
    match errno {
        Errno::EACCES => "an option does not exist in the bond's mode",
        Errno::EBUSY => "an option can be changed only while the bond is down",
        Errno::ENOTEMPTY => "an option can be changed only while the bond has no ports",
        Errno::EPERM => "an option does not go with those in force, such as a delay without miimon",
        _ => "an option's value is out of range, or does not go with those in force",
    }
}

fn bond_info(options: Vec<InfoBond>) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bond), LinkInfo::Data(InfoData::Bond(options))])
}

impl BondAttributes {
    /// Only those options whose value differs from `present`; and the delays as well where `miimon` changes, since the
    /// kernel keeps them as numbers of its ticks.
    pub fn differing_from(&self, present: &Self) -> Self {
        fn differing<T: Clone + PartialEq>(wanted: &Option<T>, present: &Option<T>) -> Option<T> {
            wanted.clone().filter(|wanted| present.as_ref() != Some(wanted))
        }
        let miimon = differing(&self.miimon, &present.miimon);
        // What they are in the end cannot be told while miimon is zero; else it is to stay.
        let known = present.miimon.is_some_and(|interval| interval != 0);
        let delay = |wanted: Option<u32>, present: Option<u32>| match miimon {
            Some(_) => wanted.or(present.filter(|_| known)),
            None => differing(&wanted, &present),
        };
        Self {
            mode: differing(&self.mode, &present.mode),
            miimon,
            updelay: delay(self.updelay, present.updelay),
            downdelay: delay(self.downdelay, present.downdelay),
            peer_notif_delay: delay(self.peer_notif_delay, present.peer_notif_delay),
            use_carrier: differing(&self.use_carrier, &present.use_carrier),
            arp_interval: differing(&self.arp_interval, &present.arp_interval),
            arp_ip_target: differing(&self.arp_ip_target, &present.arp_ip_target),
            // The kernel says nothing of an empty list, just as one that does not have the option.
            ns_ip6_target: differing(&self.ns_ip6_target, &present.ns_ip6_target)
                .filter(|targets| !targets.is_empty() || present.ns_ip6_target.is_some()),
            arp_validate: differing(&self.arp_validate, &present.arp_validate),
            arp_all_targets: differing(&self.arp_all_targets, &present.arp_all_targets),
            missed_max: differing(&self.missed_max, &present.missed_max),
            primary: self.primary.filter(|primary| present.primary.unwrap_or(0) != *primary),
            primary_reselect: differing(&self.primary_reselect, &present.primary_reselect),
            fail_over_mac: differing(&self.fail_over_mac, &present.fail_over_mac),
            resend_igmp: differing(&self.resend_igmp, &present.resend_igmp),
            num_peer_notif: differing(&self.num_peer_notif, &present.num_peer_notif),
            all_slaves_active: differing(&self.all_slaves_active, &present.all_slaves_active),
            min_links: differing(&self.min_links, &present.min_links),
        }
    }

    /// The attributes that set these options. The kernel applies them in an order of its own (`bond_changelink` in
    /// drivers/net/bonding/bond_netlink.c), whatever the order in the message.
    fn to_attributes(&self) -> Vec<InfoBond> {
        // Delays are refused without miimon, even a delay of zero, which does no harm then.
        let no_miimon = self.miimon.unwrap_or(0) == 0
            && (self.miimon.is_some() || self.arp_interval.is_some_and(|interval| interval != 0));
        let delay = |delay: Option<u32>| delay.filter(|delay| !(no_miimon && *delay == 0));
        // Likewise a miimon of zero beside an ARP interval: the interval clears it.
        let miimon = self.miimon.filter(|miimon| *miimon != 0 || self.arp_interval.unwrap_or(0) == 0);
        // And an ARP interval of zero beside miimon, which clears that.
        let arp_interval =
            self.arp_interval.filter(|interval| *interval != 0 || self.miimon.unwrap_or(0) == 0);
        [
            self.mode.map(InfoBond::Mode),
            miimon.map(InfoBond::MiiMon),
            delay(self.updelay).map(InfoBond::UpDelay),
            delay(self.downdelay).map(InfoBond::DownDelay),
            delay(self.peer_notif_delay).map(InfoBond::PeerNotifDelay),
            self.use_carrier.map(InfoBond::UseCarrier),
            arp_interval.map(InfoBond::ArpInterval),
            self.arp_ip_target.clone().map(InfoBond::ArpIpTarget),
            self.ns_ip6_target.clone().map(InfoBond::NsIp6Target),
            self.arp_validate.map(|validate| InfoBond::ArpValidate(validate.into())),
            self.arp_all_targets.map(|all| InfoBond::ArpAllTargets(all_targets(all))),
            self.missed_max.map(InfoBond::MissedMax),
            self.primary.map(InfoBond::Primary),
            self.primary_reselect.map(|reselect| InfoBond::PrimaryReselect(to_kernel_reselect(reselect))),
            self.fail_over_mac.map(|policy| InfoBond::FailOverMac(to_kernel_fail_over_mac(policy))),
            self.resend_igmp.map(InfoBond::ResendIgmp),
            self.num_peer_notif.map(InfoBond::NumPeerNotif),
            self.all_slaves_active.map(|all| InfoBond::AllPortsActive(delivered(all))),
            self.min_links.map(InfoBond::MinLinks),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl BondState {
    pub(crate) fn from_attributes(attributes: &[InfoBond]) -> Self {
        let mut state = Self::default();
        // The kernel leaves out what is empty.
        state.options.primary = Some(0);
        state.options.arp_ip_target = Some(Vec::new());
        for attribute in attributes {
            state.take(attribute);
        }
        state
    }

    fn take(&mut self, attribute: &InfoBond) {
        let options = &mut self.options;
        match attribute {
            InfoBond::ActivePort(index) => self.active = Some(*index).filter(|index| *index != 0),
            InfoBond::Mode(mode) => options.mode = Some(*mode),
            InfoBond::MiiMon(interval) => options.miimon = Some(*interval),
            InfoBond::UpDelay(delay) => options.updelay = Some(*delay),
            InfoBond::DownDelay(delay) => options.downdelay = Some(*delay),
            InfoBond::PeerNotifDelay(delay) => options.peer_notif_delay = Some(*delay),
            InfoBond::UseCarrier(on) => options.use_carrier = Some(*on),
            InfoBond::ArpInterval(interval) => options.arp_interval = Some(*interval),
            InfoBond::ArpIpTarget(targets) => options.arp_ip_target = Some(targets.clone()),
            InfoBond::NsIp6Target(targets) => options.ns_ip6_target = Some(targets.clone()),
            InfoBond::ArpValidate(validate) => options.arp_validate = ArpValidate::from_kernel(*validate),
            InfoBond::ArpAllTargets(all) => options.arp_all_targets = Some(*all == BondArpAllTargets::All),
            InfoBond::MissedMax(missed) => options.missed_max = Some(*missed),
            InfoBond::Primary(index) => options.primary = Some(*index),
            InfoBond::PrimaryReselect(reselect) => options.primary_reselect = from_kernel_reselect(*reselect),
            InfoBond::FailOverMac(policy) => options.fail_over_mac = from_kernel_fail_over_mac(*policy),
            InfoBond::ResendIgmp(reports) => options.resend_igmp = Some(*reports),
            InfoBond::NumPeerNotif(count) => options.num_peer_notif = Some(*count),
            InfoBond::AllPortsActive(all) => {
                options.all_slaves_active = Some(*all == BondAllPortActive::Delivered);
            }
            InfoBond::MinLinks(links) => options.min_links = Some(*links),
            _ => {}
        }
    }
}

impl BondPortState {
    pub(crate) fn from_attributes(attributes: &[InfoBondPort]) -> Self {
        let mut state = Self::default();
        for attribute in attributes {
            match attribute {
                InfoBondPort::BondPortState(of) => state.active = *of == KernelPortState::Active,
                InfoBondPort::MiiStatus(status) => state.link = link_state(*status),
                InfoBondPort::LinkFailureCount(count) => state.link_failures = *count,
                InfoBondPort::PermHwaddr(octets) => state.permanent_mac = mac(octets),
                InfoBondPort::Prio(prio) => state.prio = Some(*prio),
                InfoBondPort::QueueId(queue) => state.queue_id = Some(*queue),
                _ => {}
            }
        }
        state
    }
}

fn link_state(status: MiiStatus) -> LinkState {
    match status {
        MiiStatus::Up => LinkState::Up,
        MiiStatus::GoingDown => LinkState::Fail,
        MiiStatus::GoingBack => LinkState::Back,
        MiiStatus::Down | MiiStatus::Other(_) | _ => LinkState::Down,
    }
}

impl From<ArpValidate> for BondArpValidate {
    fn from(validate: ArpValidate) -> Self {
        match validate {
            ArpValidate::None => Self::None,
            ArpValidate::Active => Self::Active,
            ArpValidate::Backup => Self::Backup,
            ArpValidate::All => Self::All,
            ArpValidate::Filter => Self::Filter,
            ArpValidate::FilterActive => Self::FilterActive,
            ArpValidate::FilterBackup => Self::FilterBackup,
        }
    }
}

impl ArpValidate {
    fn from_kernel(validate: BondArpValidate) -> Option<Self> {
        Some(match validate {
            BondArpValidate::None => Self::None,
            BondArpValidate::Active => Self::Active,
            BondArpValidate::Backup => Self::Backup,
            BondArpValidate::All => Self::All,
            BondArpValidate::Filter => Self::Filter,
            BondArpValidate::FilterActive => Self::FilterActive,
            BondArpValidate::FilterBackup => Self::FilterBackup,
            BondArpValidate::Other(_) | _ => return None,
        })
    }
}

fn all_targets(all: bool) -> BondArpAllTargets {
    if all { BondArpAllTargets::All } else { BondArpAllTargets::Any }
}

fn delivered(all: bool) -> BondAllPortActive {
    if all { BondAllPortActive::Delivered } else { BondAllPortActive::Dropped }
}

fn to_kernel_reselect(reselect: PrimaryReselect) -> BondPrimaryReselect {
    match reselect {
        PrimaryReselect::Always => BondPrimaryReselect::Always,
        PrimaryReselect::Better => BondPrimaryReselect::Better,
        PrimaryReselect::Failure => BondPrimaryReselect::Failure,
    }
}

fn from_kernel_reselect(reselect: BondPrimaryReselect) -> Option<PrimaryReselect> {
    Some(match reselect {
        BondPrimaryReselect::Always => PrimaryReselect::Always,
        BondPrimaryReselect::Better => PrimaryReselect::Better,
        BondPrimaryReselect::Failure => PrimaryReselect::Failure,
        BondPrimaryReselect::Other(_) | _ => return None,
    })
}

fn to_kernel_fail_over_mac(policy: FailOverMac) -> BondFailOverMac {
    match policy {
        FailOverMac::None => BondFailOverMac::None,
        FailOverMac::Active => BondFailOverMac::Active,
        FailOverMac::Follow => BondFailOverMac::Follow,
    }
}

fn from_kernel_fail_over_mac(policy: BondFailOverMac) -> Option<FailOverMac> {
    Some(match policy {
        BondFailOverMac::None => FailOverMac::None,
        BondFailOverMac::Active => FailOverMac::Active,
        BondFailOverMac::Follow => FailOverMac::Follow,
        BondFailOverMac::Other(_) | _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_the_module() {
        assert!(is_bonding_module("kernel/drivers/net/bonding/bonding.ko.xz: kernel/net/tls/tls.ko.xz"));
        assert!(is_bonding_module("kernel/drivers/net/bonding/bonding.ko"));
        assert!(!is_bonding_module(
            "kernel/drivers/net/ethernet/x.ko: kernel/drivers/net/bonding/bonding.ko"
        ));
    }

    #[test]
    fn sends_only_what_differs() {
        let present = BondAttributes { miimon: Some(100), min_links: Some(0), ..BondAttributes::default() };
        let wanted = BondAttributes { miimon: Some(100), min_links: Some(1), ..BondAttributes::default() };
        let difference = wanted.differing_from(&present);
        assert_eq!(difference, BondAttributes { min_links: Some(1), ..BondAttributes::default() });
    }

    #[test]
    fn a_new_miimon_takes_the_delays_along() {
        let present = BondAttributes {
            miimon: Some(100),
            updelay: Some(200),
            downdelay: Some(0),
            ..BondAttributes::default()
        };
        let wanted = BondAttributes { miimon: Some(50), downdelay: Some(0), ..BondAttributes::default() };
        let sent = BondAttributes { updelay: Some(200), ..wanted.clone() };
        assert_eq!(wanted.differing_from(&present), sent);
        // Whatever it may say of delays while miimon is zero.
        let off = BondAttributes {
            miimon: Some(0),
            updelay: Some(0),
            downdelay: Some(0),
            ..BondAttributes::default()
        };
        assert_eq!(wanted.differing_from(&off), wanted);
    }

    #[test]
    fn no_zero_delays_without_miimon() {
        let options = BondAttributes {
            miimon: Some(0),
            updelay: Some(0),
            arp_interval: Some(100),
            ..BondAttributes::default()
        };
        assert_eq!(options.to_attributes(), [InfoBond::ArpInterval(100)]);
    }
}
