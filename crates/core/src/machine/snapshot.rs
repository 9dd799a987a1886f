//! The machine's state as plain data.

use super::Machine;
use crate::event::{LinkState, PortId, PortSnapshot, Snapshot, Waiting};

impl Machine {
    /// The bond as it is now.
    pub fn snapshot(&self) -> Snapshot {
        let mut ports: Vec<(usize, PortSnapshot)> =
            self.ports.keys().map(|port| self.port_snapshot(*port)).chain(self.missing_ports()).collect();
        ports.sort_by(|(a, x), (b, y)| (a, &x.name, x.port).cmp(&(b, &y.name, y.port)));
        Snapshot {
            active: self.name(self.active),
            primary: self.primary_name(),
            carrier: *self.carrier.present().unwrap_or(&false),
            mac: self.bond_mac.present().copied().flatten(),
            ports: ports.into_iter().map(|(_, port)| port).collect(),
            last_failover: self.last_failover.clone(),
        }
    }

    fn primary_name(&self) -> Option<String> {
        let primary = self.config.primary.as_ref()?;
        let mut present =
            self.ports.values().map(|port| &port.info.name).filter(|name| primary.matches(name));
        Some(present.next().cloned().unwrap_or_else(|| primary.to_string()))
    }

    fn port_snapshot(&self, id: PortId) -> (usize, PortSnapshot) {
        let port = &self.ports[&id];
        let snapshot = PortSnapshot {
            name: port.info.name.clone(),
            port: Some(id),
            link: port.link.state(),
            active: self.table.wanted().transmit.ports().contains(&id),
            link_failures: port.link.failures(),
            permanent_mac: Some(port.info.permanent_mac),
            speed_mbps: port.speed_mbps(),
            duplex: port.info.duplex,
            waiting: self.waiting(id),
            same_segment: self.is_in_same_segment(id),
            station: port.radio.station().cloned(),
        };
        (self.config.preference(&port.info.name).unwrap_or(usize::MAX), snapshot)
    }

    /// What a port waits for before it can be used, or used in preference to the active port.
    pub(super) fn waiting(&self, id: PortId) -> Option<Waiting> {
        let port = self.ports.get(&id)?;
        // Whether it is attached or not: it is the reason for that.
        if let Some(ssid) = port.radio.foreign(&self.config) {
            return Some(Waiting::Network(ssid));
        }
        if let Some(other) = port.radio.other_segment() {
            return Some(Waiting::OtherSegment(other));
        }
        if let Some(other) = self.twin(id) {
            return Some(Waiting::OwnAccessPoint(other));
        }
        port.waiting(self.is_doubtful(id))
    }

    /// Ports that are configured by name, and do not exist.
    fn missing_ports(&self) -> impl Iterator<Item = (usize, PortSnapshot)> + '_ {
        let exists = |name: &str| self.ports.values().any(|port| port.info.name == name);
        let named = self.config.ports.iter().enumerate().filter(|(_, pattern)| !pattern.is_glob());
        named
            .map(|(preference, pattern)| (preference, pattern.to_string()))
            .filter(move |(_, name)| !exists(name))
            .map(|(preference, name)| {
                let snapshot = PortSnapshot {
                    name,
                    port: None,
                    link: LinkState::Down,
                    active: false,
                    link_failures: 0,
                    permanent_mac: None,
                    speed_mbps: None,
                    duplex: None,
                    waiting: Some(Waiting::Interface),
                    same_segment: false,
                    station: None,
                };
                (preference, snapshot)
            })
    }
}
