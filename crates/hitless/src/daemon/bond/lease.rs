//! A bond and the lease that it has by DHCP, or is to have.

use std::net::Ipv4Addr;

use hitless_core::dhcp::{self, Event};
use hitless_core::event::{Notice, Snapshot};
use hitless_core::time::Instant;
use hitless_core::wifi::StationState;

use super::super::dhcp::{Dhcp, For};
use super::super::dns;
use super::super::ip::Wanted;
use super::{Addressing, BondTask, PATIENCE};
use crate::config::{Bond, Dhcp4};
use crate::resolver::Dns;

/// The least size of packets that IPv6 works with (RFC 8200 section 5).
const LEAST_MTU: u32 = 1280;

impl BondTask {
    /// The configuration says whether there is a client, and how it works.
    pub(in crate::daemon) fn configure_dhcp(&mut self, now: Instant) {
        match (&self.config.ip.dhcp4, &mut self.dhcp) {
            (Dhcp4::On(config), Some(dhcp)) => dhcp.configure(now, config),
            (Dhcp4::On(config), none) => {
                let bond = For { id: self.id, name: &self.config.name, index: self.driver.index() };
                *none = Some(Dhcp::new(now, &bond, config, &self.state, self.heard.clone()));
            }
            (Dhcp4::Off | Dhcp4::External, Some(_)) => self.release_lease(now),
            (Dhcp4::Off | Dhcp4::External, None) => {}
        }
    }

    /// The bond has this address already, and is to get it by its lease as well.
    pub(in crate::daemon) fn prefer_lease(&mut self, address: Ipv4Addr) {
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.prefer(address);
        }
    }

    /// The address is not needed any more, and others may have it.
    pub(in crate::daemon) fn release_lease(&mut self, now: Instant) {
        if let Some(mut dhcp) = self.dhcp.take() {
            dhcp.told(now, Event::Release);
            publish_dhcp(&self.config.name, &dhcp.drain(now));
        }
    }

    /// Tells the client what has become of the bond, and has it say what it wants to. What it has got is applied.
    pub(super) fn lead_dhcp(&mut self, now: Instant, notices: &[Notice]) {
        let Some(mut dhcp) = self.dhcp.take() else { return };
        let snapshot = self.snapshot();
        let own = self.own_link.and_then(|own| own.mac).or(snapshot.mac);
        let is_up = snapshot.carrier && self.own_link.is_none_or(|own| own.up);
        let ports = snapshot.ports.iter().filter_map(|port| port.permanent_mac);
        let seen = self.ports.values().filter_map(|seen| seen.link.mac);
        dhcp.link(now, own.filter(|_| is_up), own.into_iter().chain(ports).chain(seen).collect());
        if notices.iter().any(|notice| matches!(notice, Notice::Failover(_))) {
            dhcp.told(now, Event::FailedOver);
        }
        if self.has_joined_another(&snapshot) {
            dhcp.told(now, Event::NetworkChanged);
        }
        let news = dhcp.drain(now);
        publish_dhcp(&self.config.name, &news);
        if Wanted::of(&self.config.ip, dhcp.lease()) != self.addresses {
            self.addressing.get_or_insert(Addressing { from: now, by: now + PATIENCE });
        }
        self.dhcp = Some(dhcp);
    }

    /// The name servers and search domains that it has.
    pub(in crate::daemon) fn name_servers(&self) -> (String, u32, Dns) {
        let lease = self.dhcp.as_ref().and_then(Dhcp::lease);
        (self.config.name.clone(), self.driver.index(), dns::of(&self.config.ip, lease))
    }

    /// Is the active port in another network than the one that was joined last?
    fn has_joined_another(&mut self, snapshot: &Snapshot) -> bool {
        let active = snapshot.ports.iter().find(|port| port.active);
        let state = active.and_then(|port| port.station.as_ref()).map(|station| &station.state);
        let Some(ssid) = state.and_then(StationState::association).and_then(|at| at.ssid.clone()) else {
            return false;
        };
        let before = self.network.replace(ssid);
        before.is_some() && before != self.network
    }

    /// The configuration with the size that a server names, where none is configured and the bond has another.
    pub(super) fn sized_by_lease(&self) -> Option<Bond> {
        let mtu = self.dhcp.as_ref().and_then(Dhcp::lease)?.parameters.mtu?;
        // Below that there is no IPv6; a server that names less means something else.
        let mtu = u32::from(mtu).max(LEAST_MTU);
        let other = self.config.ip.mtu.is_none() && self.own_link.is_none_or(|own| own.mtu != mtu);
        let mut config = self.config.clone();
        config.ip.mtu = Some(mtu);
        other.then_some(config)
    }
}

/// Says what has become of a bond's lease.
fn publish_dhcp(bond: &str, news: &[dhcp::Notice]) {
    for notice in news {
        tracing::info!("{bond}: DHCP: {notice}");
    }
}
