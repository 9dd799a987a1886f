//! What the machine makes of Wi-Fi: who is a member, what is known of associations, and whether two ports reach the same
//! layer-2 segment.

use super::Machine;
use crate::config::SameSegment;
use crate::event::{Notice, OtherSegment, PortId};
use crate::proof::Proof;
use crate::time::Instant;
use crate::wifi::Station;

impl Machine {
    /// Something about a station was said.
    pub(super) fn station_told(&mut self, now: Instant, id: PortId, station: Station) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        if port.radio.tell(station, &self.config) {
            // The access point has told switches that the station is behind it.
            self.remind_peers(now);
        }
    }

    /// The machine has slept, and may be anywhere.
    pub(super) fn resumed(&mut self, now: Instant) {
        self.next_probe = now;
        self.owners.clear();
        for port in self.ports.values_mut() {
            port.path.begin(now);
            port.proof = Proof::Missing;
            port.radio.forget_segment();
        }
        self.remind_peers(now);
    }

    // ---- members -------------------------------------------------------------------------------------------------

    /// Which interfaces are to be ports: those that the configuration names; of Wi-Fi, those that have joined a network
    /// that may be in the bond.
    pub(super) fn choose_members(&mut self) {
        for port in self.ports.values_mut() {
            let named = self.config.preference(&port.info.name).is_some();
            port.attached.want(named && port.radio.is_welcome(&self.config));
        }
    }

    // ---- the segment ---------------------------------------------------------------------------------------------

    /// Is it an open question whether this port reaches the same segment as the active one?
    pub(super) fn is_doubtful(&self, id: PortId) -> bool {
        let active = self.active.filter(|active| *active != id);
        let (Some(port), Some(active)) =
            (self.ports.get(&id), active.and_then(|active| self.ports.get(&active)))
        else {
            return false;
        };
        self.config.same_segment != SameSegment::Off
            && (port.info.wireless || active.info.wireless)
            && !port.radio.in_same_segment()
    }

    /// Is it kept out of the election, as long as there is another port?
    pub(super) fn is_held_back(&self, id: PortId) -> bool {
        let given = self.ports.get(&id).is_some_and(|port| port.proof.is_given());
        self.config.same_segment == SameSegment::Require && !given && self.is_doubtful(id)
    }

    /// Looks at the answers that came in on ports that are asked for proof.
    pub(super) fn judge_answers(&mut self) {
        let ids: Vec<PortId> = self.ports.keys().copied().collect();
        for id in ids {
            let doubtful = self.is_doubtful(id);
            let Some(port) = self.ports.get_mut(&id) else { continue };
            let Some(asking) = port.proof.asking().filter(|asking| asking.is_any_answer()) else { continue };
            if !doubtful {
                port.proof = Proof::Given;
                continue;
            }
            match asking.compare(&self.owners) {
                None => {}
                Some(Ok(())) => {
                    port.proof = Proof::Given;
                    port.radio.found_in_same_segment();
                }
                Some(Err(other)) => self.found_elsewhere(id, other),
            }
        }
    }

    fn found_elsewhere(&mut self, id: PortId, other: OtherSegment) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        match self.config.same_segment {
            SameSegment::Require => {
                port.proof = Proof::Other(other);
                port.radio.found_in_other_segment(other);
            }
            SameSegment::Warn | SameSegment::Off => {
                port.proof = Proof::Given;
                port.radio.found_in_same_segment();
                self.notices.push_back(Notice::OtherSegment { port: port.info.name.clone(), other });
            }
        }
    }
}
