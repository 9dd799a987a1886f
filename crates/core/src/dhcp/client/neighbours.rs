//! What ARP is good for: to find out whether somebody has an address already and to defend one (RFC 5227), and to
//! recognise a network by its gateway (RFC 4436).

use std::time::Duration;

use super::{Check, Client, Holding, Phase, State, Whereabouts};
use crate::dhcp::event::{Confirmation, Notice, Response};
use crate::dhcp::lease::Lease;
use crate::dhcp::timing::{Random, Repeat};
use crate::time::Instant;
use crate::wire::{self, Claim};

// RFC 5227 section 1.1.
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_NUM: u32 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
const ANNOUNCE_NUM: u32 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// How often a gateway that is not known yet is asked who it is, and the time between.
const LEARNING_QUESTIONS: u32 = 4;
const LEARNING_INTERVAL: Duration = Duration::from_secs(1);

/// An address that was lent; it is not used before nobody has claimed it.
#[derive(Clone, Debug)]
pub(super) struct Probing {
    pub(super) lease: Lease,
    /// How many probes were sent.
    pub(super) sent: u32,
    /// When the next is due, or the last was silent for long enough.
    pub(super) next: Instant,
}

impl Probing {
    pub(super) fn new(now: Instant, lease: Lease, random: &mut Random) -> Self {
        Self { lease, sent: 0, next: now + random.between(Duration::ZERO, PROBE_WAIT) }
    }
}

/// A new address is announced as often as RFC 5227 section 2.3 says.
pub(super) fn announcements(now: Instant) -> Repeat {
    Repeat::new(ANNOUNCE_NUM, now, ANNOUNCE_INTERVAL)
}

pub(super) fn gateway_questions(now: Instant) -> Repeat {
    Repeat::new(LEARNING_QUESTIONS, now, LEARNING_INTERVAL)
}

impl Client {
    pub(super) fn frame_heard(&mut self, now: Instant, frame: &[u8]) {
        let Some(claim) = wire::claim(frame) else { return };
        // A group has no address, and what we say ourselves may come back by another port.
        let ours = [self.out.mac, self.out.options.chaddr].contains(&Some(claim.sender));
        if ours || self.own.contains(&claim.sender) || !claim.sender.is_station() || self.out.mac.is_none() {
            return;
        }
        match &mut self.state {
            State::Released | State::Init { .. } | State::Selecting(_) | State::Requesting(_) => {}
            State::Probing(probing) => {
                let address = probing.lease.parameters.address;
                // Somebody has it, or is about to take it (RFC 5227 section 2.1.1).
                let is_probe = claim.address.is_unspecified() && !claim.is_answer && claim.target == address;
                if claim.address == address || is_probe {
                    let server = probing.lease.server;
                    self.notices.push_back(Notice::Conflict {
                        address,
                        by: claim.sender,
                        response: Response::Declined,
                    });
                    self.decline(now, address, server, claim.sender);
                }
            }
            State::Holding(holding) => {
                if claim.address == holding.lease.parameters.address {
                    self.claimed(now, claim);
                } else if claim.is_answer && claim.target == holding.lease.parameters.address {
                    let notice = holding.answered(claim);
                    self.notices.extend(notice);
                }
            }
        }
    }

    /// Somebody else says that our address is theirs.
    fn claimed(&mut self, now: Instant, claim: Claim) {
        let State::Holding(holding) = &mut self.state else { return };
        let (address, server) = (holding.lease.parameters.address, holding.lease.server);
        if let Phase::Checking(check) = &mut holding.phase
            && !check.confirmed
        {
            // It may well be theirs, where we are now. Who is asked already will say.
            check.whereabouts = Whereabouts::Anywhere;
            return;
        }
        let again = holding.defended.is_some_and(|at| now.since(at) < DEFEND_INTERVAL);
        let response = if again { Response::Declined } else { Response::Defended };
        self.notices.push_back(Notice::Conflict { address, by: claim.sender, response });
        match response {
            Response::Defended => {
                holding.defended = Some(now);
                self.out.frames(|mac| wire::announcement(mac, address.into()));
            }
            Response::Declined => self.decline(now, address, server, claim.sender),
        }
    }

    /// The next step of finding out whether somebody has the address already. Has anything changed?
    pub(super) fn probe(&mut self, now: Instant) -> bool {
        let State::Probing(probing) = &mut self.state else { return false };
        if now < probing.next {
            return false;
        }
        if probing.sent == PROBE_NUM {
            let lease = probing.lease.clone();
            self.bind(now, lease);
            return true;
        }
        probing.sent += 1;
        let wait = match probing.sent {
            PROBE_NUM => ANNOUNCE_WAIT,
            _ => self.out.random.between(PROBE_MIN, PROBE_MAX),
        };
        probing.next = now + wait;
        let address = probing.lease.parameters.address;
        self.out.frames(|mac| wire::probe(mac, mac, address.into()));
        false
    }

    /// Says on the bond what is due about an address that there is.
    pub(super) fn speak_arp(&mut self, now: Instant) {
        let State::Holding(holding) = &mut self.state else { return };
        let address = holding.lease.parameters.address;
        if holding.announcing.take(now) {
            self.out.frames(|mac| wire::announcement(mac, address.into()));
        }
        let Some(gateway) = holding.lease.parameters.gateway() else {
            holding.learning = Repeat::NEVER;
            return;
        };
        if holding.learning.take(now) {
            self.out.frames(|mac| wire::request(mac, address, None, gateway));
        }
        if let Phase::Checking(Check { asking, confirmed: false, .. }) = &mut holding.phase
            && let Some(owner) = holding.lease.gateway_mac
            && asking.take(now)
        {
            self.out.frames(|mac| wire::request(mac, address, Some(owner), gateway));
        }
    }
}

impl Holding {
    /// When the gateway is to be asked next.
    pub(super) fn gateway_at(&self) -> Option<Instant> {
        let gateway = self.lease.parameters.gateway();
        let checking = match &self.phase {
            Phase::Checking(check) => {
                check.asking.at().filter(|_| !check.confirmed && self.lease.gateway_mac.is_some())
            }
            Phase::Unchecked(_) | Phase::Bound | Phase::Renewing(_) | Phase::Rebinding(_) => None,
        };
        [self.learning.at(), checking].into_iter().flatten().min().filter(|_| gateway.is_some())
    }

    /// Somebody has answered us: the gateway?
    fn answered(&mut self, claim: Claim) -> Option<Notice> {
        if self.lease.parameters.gateway() != Some(claim.address) {
            return None;
        }
        match &mut self.phase {
            Phase::Checking(check) => {
                if check.confirmed || self.lease.gateway_mac.is_none() {
                    return None;
                }
                if self.lease.gateway_mac != Some(claim.sender) {
                    check.whereabouts = Whereabouts::Anywhere;
                    return None;
                }
                check.confirmed = true;
                Some(Notice::Confirmed {
                    address: self.lease.parameters.address,
                    by: Confirmation::Gateway { address: claim.address, mac: claim.sender },
                })
            }
            Phase::Unchecked(_) | Phase::Bound | Phase::Renewing(_) | Phase::Rebinding(_) => {
                // Only who answers when asked: whoever speaks unasked may be mistaken, or worse.
                if self.learning.is_open() {
                    self.lease.gateway_mac = Some(claim.sender);
                    self.learning = Repeat::NEVER;
                }
                None
            }
        }
    }
}
