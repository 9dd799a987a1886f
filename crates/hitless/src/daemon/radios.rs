//! What a bond's Wi-Fi ports tell of their associations: looked at when something happens, and now and then.
//!
//! Who makes them join is not seen here: it is the same for a supplicant of ours, of somebody else, and for iwd.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use hitless_core::event::{Event, PortId};
use hitless_core::time::Instant;
use hitless_core::wifi::{self, Association, StationState};
use hitless_linux::error::RequestError;
use hitless_linux::wireless::{Station, Wireless, WirelessEvent};

use crate::wifi::pulse::{BEAT, Beat, Pulse};

/// How often a station is looked at when nothing calls for it: for its signal and its rate.
const LOOK: Duration = Duration::from_secs(2);

/// IEEE 802.11, table 9-49: nothing was heard for too long. That is what mac80211 says of an access point that it gives up.
const INACTIVITY: u16 = 4;

/// The Wi-Fi ports of one bond.
#[derive(Debug)]
pub(super) struct Radios {
    wireless: Rc<Wireless>,
    radios: BTreeMap<PortId, Radio>,
    /// The ports whose access points must not fall silent unnoticed: they carry traffic, and there is another to go to.
    watched: BTreeSet<PortId>,
}

#[derive(Debug, Default)]
struct Radio {
    seen: Station,
    /// Was it sent away, or its access point given up, and it has not joined one since?
    dismissed: bool,
    /// Is its access point not heard any more?
    silent: bool,
    /// Is it switched off by rfkill?
    blocked: bool,
    pulse: Option<Pulse>,
    next_look: Instant,
    next_beat: Instant,
}

impl Radio {
    /// In the machine's words.
    fn station(&self) -> wifi::Station {
        let state = match self.association() {
            _ if self.blocked => StationState::Deauthenticated,
            Some(association) if self.silent => StationState::Silent(association),
            Some(association) => StationState::Joined(association),
            None if self.dismissed => StationState::Deauthenticated,
            None => StationState::Away,
        };
        wifi::Station { state, reception: self.seen.reception }
    }

    /// The access point that it has joined for good: keys agreed on, where there are any.
    fn association(&self) -> Option<Association> {
        self.seen.association.clone().filter(|_| self.seen.authorized != Some(false))
    }

    /// It has no access point any more.
    fn left(&mut self, dismissed: bool) {
        self.seen = Station::default();
        self.dismissed |= dismissed;
        self.silent = false;
        self.pulse = None;
    }
}

impl Radios {
    pub(super) fn new(wireless: Rc<Wireless>) -> Self {
        Self { wireless, radios: BTreeMap::new(), watched: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.radios.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.radios.is_empty()
    }

    /// What was seen of a station last.
    pub(super) fn seen(&self, port: PortId) -> Option<&Station> {
        self.radios.get(&port).map(|radio| &radio.seen)
    }

    pub(super) fn is_blocked(&self, port: PortId) -> bool {
        self.radios.get(&port).is_some_and(|radio| radio.blocked)
    }

    pub(super) fn forget(&mut self, port: PortId) {
        self.radios.remove(&port);
    }

    /// Says how a station is now. It is a port from now on, if it was not before.
    pub(super) fn look(&mut self, now: Instant, port: PortId) -> Option<Event> {
        self.look_knowing(now, port, None)
    }

    /// The same, where nothing has happened to what is `known`.
    fn look_knowing(&mut self, now: Instant, port: PortId, known: Option<&Association>) -> Option<Event> {
        let new = !self.radios.contains_key(&port);
        let radio = self.radios.entry(port).or_default();
        radio.next_look = now + LOOK;
        match self.wireless.station(port.0, known) {
            Ok(Some(station)) => {
                radio.seen = station;
                radio.dismissed &= radio.seen.association.is_none();
                radio.silent &= radio.seen.association.is_some();
            }
            // Not a station, and no port for long.
            Ok(None) if new => {
                self.radios.remove(&port);
                return None;
            }
            Ok(None) => radio.left(false),
            Err(error) => {
                tracing::debug!(%port, %error, "cannot look at the station");
                return None;
            }
        }
        Some(Event::Station { port, station: radio.station() })
    }

    /// Looks at a station as soon as there is nothing more urgent.
    pub(super) fn look_soon(&mut self, now: Instant, port: PortId) {
        if let Some(radio) = self.radios.get_mut(&port) {
            radio.next_look = now;
        }
    }

    /// Something happened on a wireless interface. Says what the machine is to know.
    pub(super) fn event(&mut self, now: Instant, event: &WirelessEvent) -> Vec<Event> {
        let index = match event {
            // What happened before events could be subscribed to was not told.
            WirelessEvent::Overrun
            | WirelessEvent::RegulatoryChanged
            | WirelessEvent::Available
            | WirelessEvent::Unavailable => return self.look_at_all(now),
            WirelessEvent::Joining { index, .. }
            | WirelessEvent::Connected { index, .. }
            | WirelessEvent::Refused { index, .. }
            | WirelessEvent::Roamed { index, .. }
            | WirelessEvent::Authorized { index, .. }
            | WirelessEvent::Left { index, .. }
            | WirelessEvent::Farewell { index, .. }
            | WirelessEvent::Disconnected { index, .. }
            | WirelessEvent::BeaconLoss { index }
            | WirelessEvent::PacketLoss { index, .. }
            | WirelessEvent::SignalCrossed { index, .. }
            | WirelessEvent::ChannelChanged { index, .. }
            | WirelessEvent::InterfaceGone { index }
            | WirelessEvent::InterfaceChanged { index } => *index,
        };
        let port = PortId(index);
        let Some(radio) = self.radios.get_mut(&port) else { return Vec::new() };
        match event {
            WirelessEvent::Left { bssid, .. } => {
                if radio.seen.association.as_ref().is_none_or(|association| association.bssid == *bssid) {
                    radio.left(false);
                }
                vec![Event::Station { port, station: radio.station() }]
            }
            WirelessEvent::Farewell { reason, by_peer, .. } => {
                radio.left(*by_peer || *reason == INACTIVITY);
                vec![Event::Station { port, station: radio.station() }]
            }
            WirelessEvent::Disconnected { reason, by_peer, .. } => {
                radio.left(*by_peer || *reason == Some(INACTIVITY));
                // It may be old news, and the station with another access point by now.
                self.look(now, port).into_iter().collect()
            }
            WirelessEvent::BeaconLoss { .. } => {
                radio.silent = radio.seen.association.is_some();
                radio.next_beat = now + BEAT;
                vec![Event::Station { port, station: radio.station() }]
            }
            WirelessEvent::Overrun
            | WirelessEvent::Available
            | WirelessEvent::Unavailable
            | WirelessEvent::RegulatoryChanged
            | WirelessEvent::ChannelChanged { .. }
            | WirelessEvent::InterfaceGone { .. }
            | WirelessEvent::Joining { .. }
            | WirelessEvent::Connected { .. }
            | WirelessEvent::Refused { .. }
            | WirelessEvent::Roamed { .. }
            | WirelessEvent::Authorized { .. }
            | WirelessEvent::PacketLoss { .. }
            | WirelessEvent::SignalCrossed { .. }
            | WirelessEvent::InterfaceChanged { .. } => self.look(now, port).into_iter().collect(),
        }
    }

    fn look_at_all(&mut self, now: Instant) -> Vec<Event> {
        let ports: Vec<PortId> = self.radios.keys().copied().collect();
        ports.into_iter().filter_map(|port| self.look(now, port)).collect()
    }

    /// A switch for radios was turned.
    pub(super) fn blocked(&mut self, now: Instant, port: PortId, blocked: bool) -> Option<Event> {
        let radio = self.radios.get_mut(&port).filter(|radio| radio.blocked != blocked)?;
        radio.blocked = blocked;
        self.look(now, port)
    }

    // ---- time ----------------------------------------------------------------------------------------------------

    /// From now on the access points of these ports are watched, and no others.
    pub(super) fn watch(&mut self, now: Instant, ports: BTreeSet<PortId>) {
        for port in ports.difference(&self.watched) {
            if let Some(radio) = self.radios.get_mut(port) {
                radio.pulse = None;
                radio.next_beat = now;
            }
        }
        self.watched = ports;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let times = self.radios.iter().map(|(port, radio)| {
            if self.counts(*port, radio) { radio.next_look.min(radio.next_beat) } else { radio.next_look }
        });
        times.min()
    }

    fn counts(&self, port: PortId, radio: &Radio) -> bool {
        (self.watched.contains(&port) || radio.silent) && radio.seen.association.is_some()
    }

    /// Looks at those whose time has come.
    pub(super) fn timeout(&mut self, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        let ports: Vec<PortId> = self.radios.keys().copied().collect();
        for port in ports {
            let Some(radio) = self.radios.get(&port) else { continue };
            if radio.next_look <= now {
                let known = radio.seen.association.clone();
                events.extend(self.look_knowing(now, port, known.as_ref()));
            } else if radio.next_beat <= now && self.counts(port, radio) {
                events.extend(self.beat(now, port));
            }
        }
        events
    }

    /// Feels a station's pulse. Says so when that is not as it was.
    fn beat(&mut self, now: Instant, port: PortId) -> Option<Event> {
        let radio = self.radios.get_mut(&port)?;
        radio.next_beat = now + BEAT;
        let bssid = radio.seen.association.as_ref()?.bssid;
        // A driver that cannot say says nothing.
        let counters = self.wireless.counters(port.0, bssid).ok()??;
        let pulse = radio.pulse.get_or_insert_with(|| Pulse::begin(now, counters));
        let silent = match pulse.beat(now, counters, radio.seen.beacon_interval) {
            Beat::Alive => false,
            Beat::Quiet => radio.silent,
            Beat::Missed => true,
        };
        let changed = std::mem::replace(&mut radio.silent, silent) != silent;
        changed.then(|| Event::Station { port, station: radio.station() })
    }

    // ---- power saving --------------------------------------------------------------------------------------------

    /// Lets a station sleep between beacons, if it did when it was found, or keeps it awake.
    pub(super) fn set_power_save(
        &self,
        port: PortId,
        on: bool,
        found: Option<bool>,
    ) -> Result<(), RequestError> {
        // One that was not found with it is as it is to be.
        let Some(found) = found else { return Ok(()) };
        match self.wireless.set_power_save(port.0, on && found) {
            // A driver that cannot save power does not.
            Err(error) if error.is_unsupported() => Ok(()),
            result => result,
        }
    }
}
