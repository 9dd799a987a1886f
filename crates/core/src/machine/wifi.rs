//! What the machine makes of Wi-Fi: who is a member, what is known of associations, and whether two ports reach the same
//! layer-2 segment.

use std::net::IpAddr;

use super::{Machine, Port};
use crate::config::SameSegment;
use crate::event::{Notice, OtherSegment, PortId};
use crate::mac::MacAddr;
use crate::proof::{Proof, STRAY_ANSWERS};
use crate::radio::News;
use crate::time::Instant;
use crate::wifi::Station;

impl Machine {
    /// Something about a station was said.
    pub(super) fn station_told(&mut self, now: Instant, id: PortId, station: Station) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let known = port.radio.has_joined();
        let News { joined, other_network } = port.radio.tell(station, &self.config);
        if other_network {
            // What was shown in one network says nothing of another.
            port.proof = Proof::Missing;
            port.trusted_from = now + STRAY_ANSWERS;
            port.radio
                .stray(known && self.active == Some(id) && self.config.same_segment != SameSegment::Off);
        }
        if other_network && self.active == Some(id) {
            // Nor does what was heard on it say anything of other ports.
            self.owners.clear();
        }
        if joined {
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

    /// Another station with the same address, which is wanted more and was last at the same access point. For the access
    /// point they are one, and whoever joins puts the other out.
    pub(super) fn twin(&self, id: PortId) -> Option<String> {
        let preference = |id: PortId, port: &Port| (self.config.preference(&port.info.name), id);
        let port = self.ports.get(&id).filter(|port| port.is_attached())?;
        let bssid = port.radio.last_bssid()?;
        let twin = self.ports.iter().find(|(other, twin)| {
            twin.is_attached()
                && preference(**other, twin) < preference(id, port)
                && twin.address() == port.address()
                && twin.radio.last_bssid() == Some(bssid)
        });
        twin.map(|(_, twin)| twin.info.name.clone())
    }

    // ---- the segment ---------------------------------------------------------------------------------------------

    /// Is it an open question whether this port reaches the same segment as the active one?
    pub(super) fn is_doubtful(&self, id: PortId) -> bool {
        let (Some(port), Some(active)) = (self.ports.get(&id), self.active.filter(|active| *active != id))
        else {
            return false;
        };
        // Also one that is not there any more was in some segment.
        let departed = self.departed.as_ref().is_some_and(|departed| departed.wireless);
        let wireless = self.ports.get(&active).map_or(departed, |active| active.info.wireless);
        self.config.same_segment != SameSegment::Off
            && (port.info.wireless || wireless)
            && !port.radio.in_same_segment()
    }

    /// Is it kept out of the election, as long as there is another port?
    pub(super) fn is_held_back(&self, id: PortId) -> bool {
        let Some(port) = self.ports.get(&id) else { return false };
        let unknown = if self.active == Some(id) { port.radio.has_strayed() } else { self.is_unchecked(id) };
        self.config.same_segment == SameSegment::Require && unknown
    }

    /// Is it an open question, which nobody has answered in any way?
    fn is_unchecked(&self, id: PortId) -> bool {
        self.is_doubtful(id) && !self.ports.get(&id).is_some_and(|port| port.proof.is_given())
    }

    /// Has it been shown that this port reaches the same segment as the active one?
    pub(super) fn is_in_same_segment(&self, id: PortId) -> bool {
        let Some(port) = self.ports.get(&id) else { return false };
        let remembered = match port.proof {
            Proof::Same => true,
            // Where that is only complained of, others count as if.
            Proof::Missing | Proof::Given => {
                self.config.same_segment == SameSegment::Require && port.radio.in_same_segment()
            }
            Proof::Asking(_) | Proof::Other(_) => false,
        };
        self.active == Some(id) || remembered
    }

    /// Is the bond still where it was, if this becomes the active port?
    pub(super) fn stays_with(&self, id: PortId) -> bool {
        let Some(port) = self.ports.get(&id) else { return false };
        let shown = port.proof.is_given() || port.radio.in_same_segment();
        shown || (self.active.is_some() && !self.is_unchecked(id))
    }

    /// The bond is in another segment now, as far as anybody knows: what was found of other ports was about the old one.
    pub(super) fn moved_with(&mut self, active: PortId) {
        self.owners.clear();
        for (id, port) in &mut self.ports {
            port.radio.stray(false);
            port.radio.forget_segment();
            if *id != active {
                port.proof = Proof::Missing;
            }
        }
    }

    /// Takes note of who answered on the active port.
    pub(super) fn note_owner(&mut self, address: IpAddr, owner: MacAddr) {
        let asked = |port: &Port| port.proof.asking().is_some_and(|asking| asking.targets.contains(&address));
        if self.ports.values().any(asked) {
            self.owners.note(address, owner);
        }
    }

    /// Looks at the answers that came in on ports that are asked for proof.
    pub(super) fn judge_answers(&mut self) {
        let ids: Vec<PortId> = self.ports.keys().copied().collect();
        for id in ids {
            let doubtful = self.is_doubtful(id);
            let Some(port) = self.ports.get_mut(&id) else { continue };
            let Some(asking) = port.proof.asking_mut().filter(|asking| asking.is_any_answer()) else {
                continue;
            };
            if !doubtful {
                port.proof = Proof::Given;
                continue;
            }
            match asking.compare(&self.owners) {
                // Nobody else to compare with will turn up. Where that is only complained of, an answer is enough.
                None if asking.has_asked_enough_there()
                    && (self.owners.is_empty() || self.config.same_segment == SameSegment::Warn) =>
                {
                    port.proof = Proof::Given;
                }
                None => {}
                Some(Ok(())) => self.found_together(id, Proof::Same),
                Some(Err(other)) => self.found_elsewhere(id, other),
            }
        }
    }

    /// The port and the active one reach the same segment, or count as if (then its proof is no more than given).
    fn found_together(&mut self, id: PortId, proof: Proof) {
        // What took over unchecked has been checked now.
        self.provisional = None;
        if let Some(port) = self.ports.get_mut(&id) {
            port.proof = proof;
        }
        for id in [Some(id), self.active].into_iter().flatten() {
            if let Some(port) = self.ports.get_mut(&id) {
                port.radio.found_in_same_segment();
            }
        }
    }

    /// The active port, which took over unchecked, is not where the bond was; `home` is.
    fn found_astray(&mut self, home: PortId, OtherSegment { address, here, there }: OtherSegment) {
        self.moved_with(home);
        if let Some(port) = self.provisional.take().and_then(|id| self.ports.get_mut(&id)) {
            port.radio.found_in_other_segment(OtherSegment { address, here: there, there: here });
        }
    }

    fn found_elsewhere(&mut self, id: PortId, other: OtherSegment) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        match self.config.same_segment {
            SameSegment::Require if self.provisional.is_some() && !port.info.wireless => {
                port.proof = Proof::Given;
                self.found_astray(id, other);
            }
            SameSegment::Require => {
                port.proof = Proof::Other(other);
                port.radio.found_in_other_segment(other);
            }
            SameSegment::Warn | SameSegment::Off => {
                self.notices.push_back(Notice::OtherSegment { port: port.info.name.clone(), other });
                self.found_together(id, Proof::Given);
            }
        }
    }
}
