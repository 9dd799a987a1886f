//! What a Wi-Fi port's association says of the port: whether it has a link, how good that is, and whether the port
//! belongs in the bond at all.
//!
//! A station that moves from one access point to the next is without either for a moment, which is no failure. One that
//! was sent away, or does not hear its access point any more, has failed, whatever its carrier says: mac80211 keeps that
//! for more than a second.

use crate::config::BondConfig;
use crate::event::OtherSegment;
use crate::mac::MacAddr;
use crate::wifi::{Association, Ssid, Station, StationState};

/// A bit rate changes with each breath of air. Only a change by more than this part of it counts.
const RATE_CHANGE: u32 = 3;

/// What the association says of a port's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing: it is for the carrier to say.
    Open,
    /// It has no access point, but may be on its way to one.
    Roaming,
    /// Its access point is not heard any more.
    Silent,
    /// There is no link.
    Gone,
}

/// What is new about a station.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// It has joined an access point that it was not at before.
    pub(crate) joined: bool,
    /// It has joined another network than the last time, or the first one.
    pub(crate) other_network: bool,
}

/// What is known of a port's association. Of a wired port, nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Radio {
    station: Option<Station>,
    /// The access point that it joined last, also while it has none.
    last: Option<Association>,
    /// Is the signal too weak, and has not recovered?
    weak: bool,
    /// In Mbit/s, without its small changes.
    rate: Option<u32>,
    /// Did it join another network while it was the active port, and nobody knows what segment that is?
    strayed: bool,
    /// In which network the port was found in the bond's segment.
    same_segment: Option<Association>,
    /// In which network it was found in another.
    other_segment: Option<(Association, OtherSegment)>,
}

impl Radio {
    /// Takes note of what was said.
    pub(crate) fn tell(&mut self, station: Station, config: &BondConfig) -> News {
        let before = self.station.as_ref().and_then(|station| station.state.association());
        let after = station.state.association();
        let joined = after.is_some() && before.map(|at| at.bssid) != after.map(|at| at.bssid);
        let other_network = after.is_some_and(|association| !self.is_last_network(association));
        if let Some(association) = after {
            // A name that cannot be told for a moment is not forgotten.
            let known = self.last.take().filter(|_| !other_network).and_then(|last| last.ssid);
            let ssid = association.ssid.clone().or(known);
            self.last = Some(Association { ssid, bssid: association.bssid });
        }
        self.judge_signal(station.reception.signal_dbm, config);
        self.judge_rate(station.reception.rate_mbps);
        self.station = Some(station);
        News { joined, other_network }
    }

    /// The rules changed.
    pub(crate) fn configure(&mut self, before: &BondConfig, config: &BondConfig) {
        if before.signal_min != config.signal_min {
            // By another rule it was too weak.
            self.weak = false;
        }
        let signal = self.station.as_ref().and_then(|station| station.reception.signal_dbm);
        self.judge_signal(signal, config);
        if before.same_segment != config.same_segment {
            self.forget_segment();
        } else if before != config {
            self.other_segment = None;
        }
    }

    fn judge_signal(&mut self, signal: Option<i8>, config: &BondConfig) {
        let Some(least) = config.signal_min else {
            self.weak = false;
            return;
        };
        // Without a word the verdict stays.
        let Some(signal) = signal else { return };
        let needed = if self.weak { least.saturating_add_unsigned(config.signal_hysteresis) } else { least };
        self.weak = signal < needed;
    }

    fn judge_rate(&mut self, rate: Option<u32>) {
        let small = |before: u32, now: u32| before.abs_diff(now) <= before / RATE_CHANGE;
        match (self.rate, rate) {
            (Some(before), Some(now)) if small(before, now) => {}
            _ => self.rate = rate,
        }
    }

    pub(crate) fn station(&self) -> Option<&Station> {
        self.station.as_ref()
    }

    pub(crate) fn state(&self) -> Option<&StationState> {
        self.station.as_ref().map(|station| &station.state)
    }

    /// Has it ever joined an access point?
    pub(crate) fn has_joined(&self) -> bool {
        self.last.is_some()
    }

    /// The access point that it joined last.
    pub(crate) fn last_bssid(&self) -> Option<MacAddr> {
        self.last.as_ref().map(|last| last.bssid)
    }

    pub(crate) fn is_weak(&self) -> bool {
        self.weak
    }

    /// In Mbit/s.
    pub(crate) fn rate(&self) -> Option<u32> {
        self.rate
    }

    /// What it says of the link of a port that is `wireless`.
    pub(crate) fn standing(&self, wireless: bool, config: &BondConfig) -> Standing {
        match self.state() {
            // Where the network matters, one that nobody knows anything of cannot be trusted. But a port that an
            // earlier daemon left active is not given up before anybody could say.
            None if wireless && !config.ssid_allow.is_empty() => Standing::Roaming,
            None => Standing::Open,
            Some(StationState::Joined(_) | StationState::Silent(_)) if self.foreign(config).is_some() => {
                Standing::Gone
            }
            Some(StationState::Joined(_)) => Standing::Open,
            Some(StationState::Away) => Standing::Roaming,
            Some(StationState::Silent(_)) => Standing::Silent,
            Some(StationState::Deauthenticated) => Standing::Gone,
        }
    }

    /// May the port be in the bond? As long as it is away, what it joined last counts.
    pub(crate) fn is_welcome(&self, config: &BondConfig) -> bool {
        self.foreign(config).is_none() && self.other_segment().is_none()
    }

    /// The network that it has joined, where `ssid-allow` does not name that.
    pub(crate) fn foreign(&self, config: &BondConfig) -> Option<Ssid> {
        let last = self.last.as_ref().filter(|_| !config.ssid_allow.is_empty())?;
        match &last.ssid {
            Some(ssid) if config.ssid_allow.contains(ssid) => None,
            Some(ssid) => Some(ssid.clone()),
            // A name that nobody can tell is none of those.
            None => Ssid::new("?"),
        }
    }

    // ---- the segment ---------------------------------------------------------------------------------------------

    fn is_last_network(&self, association: &Association) -> bool {
        self.last.as_ref().is_some_and(|last| match (&last.ssid, &association.ssid) {
            (Some(last), Some(ssid)) => last == ssid,
            // Without a name, only the access point itself is known.
            (None, _) | (_, None) => last.bssid == association.bssid,
        })
    }

    /// Was it found in the bond's segment, with the network that it has joined?
    pub(crate) fn in_same_segment(&self) -> bool {
        self.same_segment.as_ref().is_some_and(|found| self.is_last_network(found))
    }

    /// How it was found in another segment, with the network that it has joined.
    pub(crate) fn other_segment(&self) -> Option<OtherSegment> {
        let found = self.other_segment.as_ref().filter(|(found, _)| self.is_last_network(found));
        found.map(|(_, other)| *other)
    }

    pub(crate) fn found_in_same_segment(&mut self) {
        self.same_segment = self.last.clone();
        self.strayed = false;
    }

    /// Did it join another network while it was the active port, and nobody knows what segment that is?
    pub(crate) fn has_strayed(&self) -> bool {
        self.strayed && !self.in_same_segment()
    }

    pub(crate) fn stray(&mut self, strayed: bool) {
        self.strayed = strayed;
    }

    pub(crate) fn found_in_other_segment(&mut self, other: OtherSegment) {
        self.other_segment = self.last.clone().map(|last| (last, other));
    }

    /// It may turn out differently now.
    pub(crate) fn forget_other_segment(&mut self) {
        self.other_segment = None;
    }

    /// Something changed that may have made one segment of two, or two of one.
    pub(crate) fn forget_segment(&mut self) {
        self.same_segment = None;
        self.other_segment = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::MacAddr;
    use crate::wifi::Reception;

    fn at(ssid: &str, last: u8) -> StationState {
        StationState::Joined(Association { ssid: Ssid::new(ssid), bssid: MacAddr([2, 0, 0, 0, 0, last]) })
    }

    fn heard(state: StationState, signal_dbm: i8) -> Station {
        Station { state, reception: Reception { signal_dbm: Some(signal_dbm), rate_mbps: Some(300) } }
    }

    fn allow(ssid: &str) -> BondConfig {
        BondConfig { ssid_allow: Ssid::new(ssid).into_iter().collect(), ..BondConfig::default() }
    }

    #[test]
    fn every_state_with_and_without_an_allow_list() {
        use Standing::{Gone, Open, Roaming, Silent};
        let silent = |state: &StationState| state.association().cloned().map(StationState::Silent);
        let table = [
            (None, Open, Roaming),
            (Some(at("home", 1)), Open, Open),
            (Some(at("cafe", 1)), Open, Gone),
            (silent(&at("home", 1)), Silent, Silent),
            (Some(StationState::Away), Roaming, Roaming),
            (Some(StationState::Deauthenticated), Gone, Gone),
        ];
        for (state, anywhere, home_only) in table {
            for (config, expected) in [(BondConfig::default(), anywhere), (allow("home"), home_only)] {
                let mut radio = Radio::default();
                if let Some(state) = state.clone() {
                    radio.tell(heard(state, -50), &config);
                }
                assert_eq!(radio.standing(true, &config), expected, "{state:?} {:?}", config.ssid_allow);
            }
        }
        assert_eq!(Radio::default().standing(false, &allow("home")), Open, "a wired port has no network");
    }

    #[test]
    fn the_last_network_counts_while_it_is_away() {
        let config = allow("home");
        let mut radio = Radio::default();
        assert!(radio.is_welcome(&config));
        radio.tell(heard(at("cafe", 1), -50), &config);
        assert_eq!(radio.foreign(&config), Ssid::new("cafe"));
        radio.tell(heard(StationState::Away, -50), &config);
        assert!(!radio.is_welcome(&config));
        radio.tell(heard(at("home", 2), -50), &config);
        assert!(radio.is_welcome(&config));
    }

    #[test]
    fn a_signal_has_to_recover() {
        let config = BondConfig { signal_min: Some(-75), signal_hysteresis: 5, ..BondConfig::default() };
        let mut radio = Radio::default();
        for (signal, weak) in
            [(-70, false), (-75, false), (-76, true), (-75, true), (-71, true), (-70, false), (-74, false)]
        {
            radio.tell(heard(at("home", 1), signal), &config);
            assert_eq!(radio.is_weak(), weak, "{signal}");
        }
    }

    #[test]
    fn small_changes_of_the_rate_do_not_count() {
        let mut radio = Radio::default();
        for (rate, counts) in
            [(Some(300), 300), (Some(200), 300), (Some(400), 300), (Some(150), 150), (Some(600), 600)]
        {
            radio.judge_rate(rate);
            assert_eq!(radio.rate(), Some(counts), "{rate:?}");
        }
    }

    #[test]
    fn joining_another_access_point_is_noticed_once() {
        let config = BondConfig::default();
        let mut radio = Radio::default();
        let told = |radio: &mut Radio, state: StationState| radio.tell(heard(state, -50), &config).joined;
        assert!(told(&mut radio, at("home", 1)));
        assert!(!told(&mut radio, at("home", 1)));
        assert!(told(&mut radio, at("home", 2)));
        assert!(!told(&mut radio, StationState::Away));
        assert!(told(&mut radio, at("home", 2)), "left and came back");
    }

    #[test]
    fn what_was_found_of_the_segment_holds_for_the_network() {
        let config = BondConfig::default();
        let other = OtherSegment {
            address: [192, 0, 2, 1].into(),
            here: MacAddr([2, 0, 0, 0, 0, 8]),
            there: MacAddr([2, 0, 0, 0, 0, 9]),
        };
        let mut radio = Radio::default();
        radio.tell(heard(at("home", 1), -50), &config);
        radio.found_in_same_segment();
        radio.tell(heard(at("home", 2), -50), &config);
        assert!(radio.in_same_segment(), "another access point of the same network");
        radio.tell(heard(at("cafe", 3), -50), &config);
        assert!(!radio.in_same_segment());
        radio.found_in_other_segment(other);
        assert_eq!(radio.other_segment(), Some(other));
        assert!(!radio.is_welcome(&config));
        radio.tell(heard(at("home", 1), -50), &config);
        assert!(radio.is_welcome(&config));
    }
}
