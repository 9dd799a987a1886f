//! A bond and the leases that it has by DHCP, or is to have.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};

use hitless_core::dhcp::Event;
use hitless_core::dhcp6;
use hitless_core::event::{Notice, Snapshot};
use hitless_core::time::Instant;
use hitless_core::wifi::{Ssid, StationState};

use super::super::dhcp::{Dhcp, For};
use super::super::dhcp6::Dhcp6;
use super::super::dns;
use super::super::ip::{Times, Wanted};
use super::super::time;
use super::{Addressing, BondTask, PATIENCE};
use crate::config::{Bond, Dhcp4};
use crate::resolver::Dns;

/// The least size of packets that IPv6 works with (RFC 8200 section 5).
const LEAST_MTU: u32 = 1280;

impl BondTask {
    /// The configuration says which clients there are, and how they work.
    pub(in crate::daemon) fn configure_dhcp(&mut self, now: Instant) {
        self.configure_dhcp6(now);
        match (&self.config.ip.dhcp4, &mut self.dhcp) {
            (Dhcp4::On(config), Some(dhcp)) => dhcp.configure(now, config),
            (Dhcp4::On(config), none) => {
                let bond = For { id: self.id, name: &self.config.name, index: self.driver.index() };
                *none = Some(Dhcp::new(now, &bond, config, &self.state, self.heard.clone()));
            }
            (Dhcp4::Off | Dhcp4::External, Some(_)) => self.release_dhcp4(now),
            (Dhcp4::Off | Dhcp4::External, None) => {}
        }
    }

    /// The bond has this address already, and is to get it by its lease as well.
    pub(in crate::daemon) fn prefer_lease(&mut self, address: Ipv4Addr) {
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.prefer(address);
        }
    }

    fn configure_dhcp6(&mut self, now: Instant) {
        match (&self.config.ip.dhcp6, &mut self.dhcp6) {
            (Some(config), Some(dhcp6)) => dhcp6.configure(now, config),
            (Some(config), none) => {
                let bond = For { id: self.id, name: &self.config.name, index: self.driver.index() };
                *none = Some(Dhcp6::new(now, &bond, config, &self.state, self.heard.clone()));
            }
            (None, Some(_)) => self.release_dhcp6(now),
            (None, None) => {}
        }
    }

    /// The addresses are not needed any more, and others may have them; unless they are needed `on`.
    pub(in crate::daemon) fn release_leases(&mut self, now: Instant, on: &[IpAddr]) {
        let lent4 =
            self.dhcp.as_ref().and_then(Dhcp::lease).map(|lease| IpAddr::V4(lease.parameters.address));
        if !lent4.is_some_and(|lent| on.contains(&lent)) {
            self.release_dhcp4(now);
        }
        let lent6 = self.dhcp6.as_ref().and_then(Dhcp6::lease);
        if !lent6.is_some_and(|lease| lease.addresses.iter().any(|lent| on.contains(&IpAddr::V6(lent.what))))
        {
            self.release_dhcp6(now);
        }
    }

    fn release_dhcp4(&mut self, now: Instant) {
        if let Some(mut dhcp) = self.dhcp.take() {
            dhcp.told(now, Event::Release);
            publish(&self.config.name, "DHCP", &dhcp.drain(now));
        }
    }

    fn release_dhcp6(&mut self, now: Instant) {
        if let Some(mut dhcp6) = self.dhcp6.take() {
            dhcp6.told(now, dhcp6::Event::Release);
            publish(&self.config.name, "DHCPv6", &dhcp6.drain(now));
        }
    }

    /// Tells the clients what has become of the bond, and has them say what they want to. What they have got is applied.
    pub(super) fn lead_dhcp(&mut self, now: Instant, notices: &[Notice]) {
        if self.dhcp.is_none() && self.dhcp6.is_none() {
            return;
        }
        let snapshot = self.snapshot();
        let change = Change {
            failed_over: notices.iter().any(|notice| matches!(notice, Notice::Failover(_))),
            joined_another: has_joined_another(&mut self.network, &snapshot),
        };
        self.lead_dhcp4(now, &snapshot, change);
        self.lead_dhcp6(now, &snapshot, change);
        if self.wanted() != self.addresses {
            self.addressing.get_or_insert(Addressing { from: now, by: now + PATIENCE });
        }
    }

    fn lead_dhcp4(&mut self, now: Instant, snapshot: &Snapshot, change: Change) {
        let Some(mut dhcp) = self.dhcp.take() else { return };
        let own = self.own_link.and_then(|own| own.mac).or(snapshot.mac);
        let is_up = snapshot.carrier && self.own_link.is_none_or(|own| own.up);
        let ports = snapshot.ports.iter().filter_map(|port| port.permanent_mac);
        let seen = self.ports.values().filter_map(|seen| seen.link.mac);
        dhcp.link(now, own.filter(|_| is_up), own.into_iter().chain(ports).chain(seen).collect());
        if change.failed_over {
            dhcp.told(now, Event::FailedOver);
        }
        if change.joined_another {
            dhcp.told(now, Event::NetworkChanged);
        }
        publish(&self.config.name, "DHCP", &dhcp.drain(now));
        self.dhcp = Some(dhcp);
    }

    fn lead_dhcp6(&mut self, now: Instant, snapshot: &Snapshot, change: Change) {
        let Some(mut dhcp6) = self.dhcp6.take() else { return };
        let own = self.own_link.and_then(|own| own.mac).or(snapshot.mac);
        let is_up = snapshot.carrier && self.own_link.is_none_or(|own| own.up);
        dhcp6.link(now, own.filter(|_| is_up));
        if change.failed_over {
            dhcp6.told(now, dhcp6::Event::FailedOver);
        }
        if change.joined_another {
            dhcp6.told(now, dhcp6::Event::NetworkChanged);
        }
        publish(&self.config.name, "DHCPv6", &dhcp6.drain(now));
        self.dhcp6 = Some(dhcp6);
    }

    /// The addresses and routes that the bond is to have now.
    pub(super) fn wanted(&self) -> Wanted {
        let lease = self.dhcp.as_ref().and_then(Dhcp::lease);
        let lease6 = self.dhcp6.as_ref().and_then(Dhcp6::lease);
        Wanted::of(&self.config.ip, lease, lease6)
    }

    /// The time by which the leases run.
    pub(super) fn times(&self, now: Instant) -> Times {
        Times {
            dhcp4: self.dhcp.as_ref().map_or(now, |dhcp| dhcp.time(now)),
            dhcp6: self.dhcp6.as_ref().map_or(now, |dhcp6| dhcp6.time(now)),
        }
    }

    /// The name servers and search domains that it has.
    pub(in crate::daemon) fn name_servers(&self) -> (String, u32, Dns) {
        let lease = self.dhcp.as_ref().and_then(Dhcp::lease);
        let information = self.dhcp6.as_ref().and_then(Dhcp6::information);
        (self.config.name.clone(), self.driver.index(), dns::of(&self.config.ip, lease, information))
    }

    /// The time servers that it was told of.
    pub(in crate::daemon) fn time_servers(&self) -> (String, Vec<IpAddr>) {
        let lease = self.dhcp.as_ref().and_then(Dhcp::lease);
        let information = self.dhcp6.as_ref().and_then(Dhcp6::information);
        (self.config.name.clone(), time::of(lease, information))
    }

    /// What the host is called by whoever has lent it an address.
    pub(in crate::daemon) fn host_name(&self) -> Option<&str> {
        self.dhcp.as_ref().and_then(Dhcp::lease)?.parameters.hostname.as_deref()
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

/// What has become of the way into the network.
#[derive(Clone, Copy, Debug)]
struct Change {
    failed_over: bool,
    joined_another: bool,
}

/// Is the active port in another Wi-Fi network than `last`, the one that an active port had joined last? That is the one
/// of now afterwards. On the wire, nothing is known of networks, and the last one stays.
fn has_joined_another(last: &mut Option<Ssid>, snapshot: &Snapshot) -> bool {
    let active = snapshot.ports.iter().find(|port| port.active);
    let state = active.and_then(|port| port.station.as_ref()).map(|station| &station.state);
    let Some(ssid) = state.and_then(StationState::association).and_then(|at| at.ssid.clone()) else {
        return false;
    };
    let before = last.replace(ssid);
    before.is_some() && before != *last
}

/// Says what has become of a bond's lease.
fn publish(bond: &str, protocol: &str, news: &[impl Display]) {
    for notice in news {
        tracing::info!("{bond}: {protocol}: {notice}");
    }
}

#[cfg(test)]
mod tests {
    use hitless_core::event::{LinkState, PortId, PortSnapshot};
    use hitless_core::mac::MacAddr;
    use hitless_core::wifi::{Association, Reception, Station};

    use super::*;

    fn port(id: u32, active: bool, state: Option<StationState>) -> PortSnapshot {
        PortSnapshot {
            name: format!("port{id}"),
            port: Some(PortId(id)),
            link: LinkState::Up,
            active,
            link_failures: 0,
            permanent_mac: None,
            speed_mbps: None,
            duplex: None,
            waiting: None,
            same_segment: active,
            station: state.map(|state| Station { state, reception: Reception::default() }),
        }
    }

    fn bond(ports: Vec<PortSnapshot>) -> Snapshot {
        Snapshot { active: None, primary: None, carrier: true, mac: None, ports, last_failover: None }
    }

    /// At this access point of a network.
    fn at(ssid: &str, last: u8) -> Association {
        Association { ssid: Ssid::new(ssid), bssid: MacAddr([2, 0, 0, 0, 0, last]) }
    }

    #[test]
    fn another_network_is_noticed_once() {
        use StationState::{Away, Joined, Silent};
        let wire = || bond(vec![port(2, true, None), port(3, false, Some(Joined(at("cafe", 9))))]);
        let wifi = |state| bond(vec![port(2, false, None), port(3, true, Some(state))]);
        let mut last = None;
        for (n, (snapshot, another)) in [
            (wire(), false),
            // The first one is no change.
            (wifi(Joined(at("home", 1))), false),
            // Another access point is the same network.
            (wifi(Joined(at("home", 2))), false),
            (wifi(Silent(at("home", 2))), false),
            (wifi(Away), false),
            (wifi(Joined(at("work", 3))), true),
            (wifi(Joined(at("work", 3))), false),
            // What a standby port has joined is of no interest, and neither is the wire: a failover is checked by itself.
            (wire(), false),
            (bond(Vec::new()), false),
            (wifi(Joined(at("work", 4))), false),
            (wifi(Joined(at("home", 1))), true),
            // A network that does not say its name.
            (wifi(Joined(Association { ssid: None, ..at("home", 1) })), false),
            (wifi(Joined(at("work", 3))), true),
        ]
        .into_iter()
        .enumerate()
        {
            assert_eq!(has_joined_another(&mut last, &snapshot), another, "step {n}");
        }
    }
}
