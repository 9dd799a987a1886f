//! Bonds and stations as they are now, for clients.

use hitless_api as api;
use hitless_core::event::{PortSnapshot, Snapshot};
use hitless_core::wifi::StationState;

use super::Daemon;
use super::bond::BondTask;
use crate::driver::Driver;
use crate::server::convert::{self, Surroundings};

impl Daemon {
    /// All bonds.
    pub(super) fn status(&self) -> Vec<api::Bond> {
        self.bonds.values().map(|bond| self.bond_status(bond)).collect()
    }

    fn bond_status(&self, bond: &BondTask) -> api::Bond {
        let snapshot = bond.snapshot();
        let surroundings = Surroundings {
            name: &bond.config.name,
            driver: match bond.driver {
                Driver::Kernel(_) => api::Driver::Kernel,
                Driver::Ebpf(_) => api::Driver::Ebpf,
            },
            mode: bond.config.options.mode.name(),
            fail_over_mac: bond.config.options.fail_over_mac,
            fail_over_mac_reason: bond.own_macs.clone(),
            same_segment: bond.config.options.same_segment,
            dhcp: bond.dhcp.as_ref().map(|dhcp| dhcp.snapshot(self.now())),
            dhcp6: bond.dhcp6.as_ref().map(|dhcp6| dhcp6.snapshot(self.now())),
            dns: (bond.name_servers().2, self.name_servers.via()),
            unconfirmed: self.trial.as_ref().and_then(|trial| trial.left(&bond.config.name, self.now())),
            wifi: &self.wifi(bond, &snapshot).collect(),
        };
        convert::bond(&surroundings, &snapshot)
    }

    /// All stations.
    pub(super) fn station_status(&self) -> Vec<api::Station> {
        let mut stations = Vec::new();
        for bond in self.bonds.values() {
            stations.extend(self.wifi(bond, &bond.snapshot()).map(|(interface, wifi)| api::Station {
                bond: Some(bond.config.name.clone()),
                manager: self.stations.manager(&interface),
                interface,
                wifi,
            }));
        }
        stations
    }

    /// How the Wi-Fi ports of a bond are doing.
    fn wifi<'a>(
        &'a self,
        bond: &'a BondTask,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (String, api::Wifi)> + 'a {
        snapshot.ports.iter().filter_map(|port| Some((port.name.clone(), self.station(bond, port)?)))
    }

    fn station(&self, bond: &BondTask, entry: &PortSnapshot) -> Option<api::Wifi> {
        let port = entry.port?;
        let state = entry.station.as_ref().map(|station| &station.state);
        let seen = bond.radios.seen(port)?;
        let association = state.and_then(StationState::association);
        let (ssid, ssid_hex) = association
            .and_then(|association| association.ssid.as_ref())
            .map(convert::ssid)
            .map_or((None, None), |(shown, hex)| (Some(shown), hex));
        let word = match state {
            Some(StationState::Joined(_)) => "joined",
            Some(StationState::Silent(_)) => "joined, and nothing is heard",
            Some(StationState::Away | StationState::Deauthenticated) | None => "not joined",
        };
        let (kept, fault) = self.stations.state(&entry.name).unzip();
        // What the kernel says counts; what the task says tells more while there is no association.
        let told = kept.filter(|_| association.is_none()).unwrap_or_else(|| word.to_owned());
        let blocked = bond.radios.is_blocked(port);
        Some(api::Wifi {
            ssid,
            ssid_hex,
            bssid: association.map(|association| association.bssid.to_string()),
            signal_dbm: seen.reception.signal_dbm.map(i64::from).filter(|_| association.is_some()),
            rate_mbps: seen.reception.rate_mbps.filter(|_| association.is_some()),
            frequency_mhz: seen.frequency_mhz,
            state: if blocked { "off".to_owned() } else { told },
            fault: fault.flatten().filter(|_| association.is_none()),
            blocked: blocked.then(|| "rfkill: switch it on with its key, or rfkill unblock wlan".to_owned()),
            power_save: bond.power_save(port),
        })
    }
}
