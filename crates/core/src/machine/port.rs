//! One port as the machine sees it.

use std::time::Duration;

use crate::choice::Candidate;
use crate::config::BondConfig;
use crate::event::{Cause, Failure, PortId, PortInfo, Waiting};
use crate::goal::{Backoff, Goal};
use crate::link::{Link, Sense};
use crate::mac::MacAddr;
use crate::path::{Path, Verdict};
use crate::proof::{self, Proof};
use crate::radio::{Radio, Standing};
use crate::time::Instant;
use crate::wifi::StationState;

use crate::event::LinkState;

/// One port.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) info: PortInfo,
    pub(super) carrier: bool,
    /// Has its driver said whether there is a carrier?
    pub(super) sensed: bool,
    pub(super) link: Link,
    pub(super) path: Path,
    pub(super) proof: Proof,
    /// From when on answers are of the network that it is in.
    pub(super) trusted_from: Instant,
    pub(super) radio: Radio,
    /// Is the interface part of the bond?
    pub(super) attached: Goal<bool>,
    pub(super) mac: Goal<MacAddr>,
    pub(super) listening: Goal<bool>,
    /// May a Wi-Fi port sleep between beacons?
    pub(super) power_save: Goal<bool>,
    /// The driver would not use it; not before this time.
    pub(super) refused_until: Option<Instant>,
    /// Why it could not be attached, the last time.
    pub(super) attach_failure: Option<Failure>,
    /// What it waits for, as last announced.
    pub(super) announced: Option<Waiting>,
}

impl Port {
    pub(super) fn new(info: PortInfo) -> Self {
        let mac = Goal::reached(info.permanent_mac, Backoff::FAST);
        Self {
            info,
            carrier: false,
            sensed: false,
            link: Link::default(),
            path: Path::default(),
            proof: Proof::default(),
            trusted_from: Instant::EPOCH,
            radio: Radio::default(),
            attached: Goal::reached(false, Backoff::SLOW),
            mac,
            listening: Goal::reached(false, Backoff::FAST),
            power_save: Goal::reached(true, Backoff::SLOW),
            refused_until: None,
            attach_failure: None,
            announced: None,
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached.present() == Some(&true)
    }

    /// Is it being given back? (Also if it is wanted again meanwhile: the driver has begun.)
    pub(super) fn is_leaving(&self) -> bool {
        !self.attached.wanted() || self.attached.coming() == Some(&false)
    }

    /// Was it given back, and is not wanted any more? (One that is being attached has to be given back yet.)
    pub(super) fn has_left(&self) -> bool {
        let settled = |goal: &Goal<bool>| goal.is_reached() && !goal.is_busy();
        self.is_leaving() && settled(&self.attached) && settled(&self.listening)
    }

    /// The address that its frames have now.
    pub(super) fn address(&self) -> MacAddr {
        *self.mac.present().unwrap_or(self.mac.wanted())
    }

    /// Where answers that switches are to flood are sent to. The same as long as the port is listened on, whatever
    /// address the port has meanwhile.
    pub(super) fn nobody(&self) -> MacAddr {
        proof::nobody(self.info.permanent_mac)
    }

    /// Could frames leave by it, whatever probes say?
    pub(super) fn has_path(&self) -> bool {
        self.is_attached() && !self.is_leaving() && self.carrier
    }

    /// May traffic use it?
    pub(super) fn is_usable(&self) -> bool {
        self.is_attached()
            && !self.is_leaving()
            && self.link.state().is_usable()
            && self.refused_until.is_none()
    }

    /// What its carrier, its probes and its access point say of its link; `alone`: is there no other port to go to?
    pub(super) fn sense(&self, config: &BondConfig, alone: bool) -> Sense {
        let at_once = Sense::Bad(Duration::ZERO);
        let patience = config.downdelay.max(config.roam_grace);
        match (self.radio.standing(self.info.wireless, config), self.path.verdict()) {
            (Standing::Silent, _) if alone && self.carrier => Sense::Good(Duration::ZERO),
            (Standing::Silent | Standing::Gone, _) => at_once,
            (Standing::Roaming, _) => Sense::Bad(patience),
            // It has joined an access point, and does not know its keys yet.
            (Standing::Open, _) if !self.carrier && self.radio.station().is_some() => Sense::Bad(patience),
            (Standing::Open, _) if !self.carrier => Sense::Bad(config.downdelay),
            (Standing::Open, Verdict::Alive) => Sense::Good(config.updelay),
            (Standing::Open, Verdict::Quiet | Verdict::Dead(_)) => at_once,
        }
    }

    /// Why its link is down.
    pub(super) fn cause_of_failure(&self) -> Cause {
        match self.radio.state() {
            Some(StationState::Silent(_)) => Cause::BeaconsLost,
            Some(StationState::Deauthenticated) => Cause::Deauthenticated,
            Some(StationState::Away) => Cause::CarrierLost,
            Some(StationState::Joined(_)) | None if !self.carrier => Cause::CarrierLost,
            Some(StationState::Joined(_)) | None => Cause::ProbesLost,
        }
    }

    /// In Mbit/s: of Wi-Fi, what it sends with.
    pub(super) fn speed_mbps(&self) -> Option<u32> {
        self.radio.rate().or(self.info.speed_mbps)
    }

    pub(super) fn candidate(&self, port: PortId, config: &BondConfig, needs_proof: bool) -> Candidate {
        let name = &self.info.name;
        Candidate {
            port,
            strong: !self.radio.is_weak(),
            primary: config.is_primary(name),
            prio: config.port(name).prio,
            speed_mbps: self.speed_mbps(),
            duplex: self.info.duplex,
            preference: config.preference(name).unwrap_or(usize::MAX),
            proven: !needs_proof || self.proof.is_given(),
        }
    }

    /// What it waits for; `doubtful`: may it be in another segment than the active port?
    pub(super) fn waiting(&self, doubtful: bool) -> Option<Waiting> {
        if !self.is_attached() {
            return self.attach_failure.clone().map(Waiting::Attach);
        }
        match self.radio.state() {
            Some(StationState::Away | StationState::Deauthenticated) => return Some(Waiting::Association),
            Some(StationState::Silent(_)) => return Some(Waiting::Beacons),
            Some(StationState::Joined(_)) | None if !self.carrier => return Some(Waiting::Carrier),
            Some(StationState::Joined(_)) | None => {}
        }
        if self.refused_until.is_some() {
            return Some(Waiting::SecondChance);
        }
        match (self.link.state(), self.path.verdict()) {
            (LinkState::Down, Verdict::Quiet | Verdict::Dead(_)) => Some(Waiting::Probes),
            (LinkState::Back, _) => Some(Waiting::Updelay),
            (LinkState::Down | LinkState::Fail | LinkState::Up, _) => match &self.proof {
                Proof::Asking(asking) if asking.is_waiting() && doubtful => {
                    Some(Waiting::SameSegment(asking.targets.clone()))
                }
                Proof::Asking(asking) if asking.is_waiting() => Some(Waiting::Proof(asking.targets.clone())),
                Proof::Other(other) => Some(Waiting::OtherSegment(*other)),
                Proof::Asking(_) | Proof::Missing | Proof::Given | Proof::Same => None,
            },
        }
    }
}
