//! Failback by proof: a port that is to take over from one that works first shows that its path works.
//!
//! Questions go out through the port until an answer has come in on it. Two kinds take turns. A plain question is
//! answered to the port's own address; where ports share one address and the active port is busy, switches send
//! that answer to the active port. So every other question asks for the answer to be sent to an address that nobody
//! has: switches do not know it, and flood the answer to where the port hears it, too. All of them have the port's
//! own address as their sender on the wire.

use std::net::IpAddr;
use std::time::Duration;

use crate::mac::MacAddr;
use crate::time::Instant;

/// How long a plain question has for its answer, before the other kind is asked. It is short: until then, switches send
/// what is for a shared address to the port that asked.
const ANSWER_TIME: Duration = Duration::from_millis(20);

/// The waits between pairs of questions; the last one repeats.
const WAITS: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];

/// After so many questions (a minute) nobody is in a hurry any more.
const PATIENT: u32 = 120;

/// The wait between pairs of questions from then on.
const PATIENT_WAIT: Duration = Duration::from_secs(5);

/// The wait before someone to ask is looked for again, where nobody was found.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// After so many questions without an answer, look again for someone to ask.
const LOOK_AGAIN: u32 = 4;

/// How far a port is with its proof.
#[derive(Clone, Debug, Default)]
pub(crate) enum Proof {
    /// Nobody has asked for one since the link came up.
    #[default]
    Missing,
    /// Questions are being asked.
    Asking(Asking),
    /// An answer came in.
    Given,
}

/// A proof under way.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) since: Instant,
    pub(crate) next: Instant,
    pub(crate) targets: Vec<IpAddr>,
    /// Is someone to ask being looked for?
    pub(crate) looking: bool,
    /// Has someone been looked for?
    pub(crate) looked: bool,
    tries: u32,
}

impl Proof {
    pub(crate) fn begin(now: Instant, targets: Vec<IpAddr>) -> Self {
        Self::Asking(Asking { since: now, next: now, targets, looking: false, looked: false, tries: 0 })
    }

    pub(crate) fn is_given(&self) -> bool {
        matches!(self, Self::Given)
    }

    pub(crate) fn asking(&self) -> Option<&Asking> {
        match self {
            Self::Asking(asking) => Some(asking),
            Self::Missing | Self::Given => None,
        }
    }

    pub(crate) fn asking_mut(&mut self) -> Option<&mut Asking> {
        match self {
            Self::Asking(asking) => Some(asking),
            Self::Missing | Self::Given => None,
        }
    }
}

impl Asking {
    /// Should someone be looked for whom a question could be sent to?
    pub(crate) fn needs_targets(&self) -> bool {
        !self.looking
            && (self.targets.is_empty() || (self.tries > 0 && self.tries.is_multiple_of(LOOK_AGAIN)))
    }

    /// Is it known whom it has to wait for, or that there is nobody?
    pub(crate) fn is_waiting(&self) -> bool {
        self.looked || !self.targets.is_empty()
    }

    /// Someone to ask was looked for, and these were found.
    pub(crate) fn found(&mut self, now: Instant, targets: Vec<IpAddr>) {
        if self.targets.is_empty() {
            self.next = now;
        }
        self.targets = targets;
    }

    /// A round of questions goes out now. Returns the address that the answers are to be sent to; `None` while there is
    /// nobody to ask.
    pub(crate) fn ask(&mut self, now: Instant, own: MacAddr, nobody: MacAddr) -> Option<MacAddr> {
        if self.targets.is_empty() {
            self.next = now + LOOK_WAIT;
            return None;
        }
        let plain = self.tries.is_multiple_of(2);
        self.next = now + if plain { ANSWER_TIME } else { self.wait() };
        self.tries = self.tries.saturating_add(1);
        Some(if plain { own } else { nobody })
    }

    /// The wait after a pair of questions.
    fn wait(&self) -> Duration {
        let pairs = self.tries / 2;
        let hurried = WAITS.get(pairs as usize).or(WAITS.last()).copied().unwrap_or_default();
        if self.tries < PATIENT { hurried } else { PATIENT_WAIT }
    }

    /// Is this an answer to one of our questions?
    pub(crate) fn is_answered(&self, from: IpAddr, to: MacAddr, [own, nobody]: [MacAddr; 2]) -> bool {
        // An advertisement answers a question without a sender to everyone; an ARP reply to everyone answers nobody.
        let for_us = to == own || to == nobody || (from.is_ipv6() && to.is_group());
        self.targets.contains(&from) && for_us
    }
}

/// A locally administered address that belongs to nobody, made of one that belongs to one of our ports.
pub(crate) fn nobody(own: MacAddr) -> MacAddr {
    let MacAddr([first, rest @ .., last]) = own;
    let first = (first ^ 0x0c | 0x02) & !0x01;
    let [a, b, c, d] = rest;
    MacAddr([first, a, b, c, d, last ^ 0xff])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 1]);

    #[test]
    fn nobody_is_a_station_of_its_own() {
        for own in [OWN, MacAddr([0x00, 1, 2, 3, 4, 5]), MacAddr([0xfe, 1, 2, 3, 4, 5])] {
            assert!(nobody(own).is_station());
            assert_eq!(nobody(own).0[0] & 0x02, 0x02, "locally administered");
            assert_ne!(nobody(own), own);
        }
    }

    #[test]
    fn questions_take_turns_and_slow_down() {
        let target: IpAddr = [192, 0, 2, 1].into();
        let mut now = Instant::EPOCH;
        let mut proof = Proof::begin(now, vec![target]);
        let asking = proof.asking_mut().expect("asking");
        let mut waits = Vec::new();
        for n in 0..12 {
            assert_eq!(asking.ask(now, OWN, nobody(OWN)), Some(if n % 2 == 0 { OWN } else { nobody(OWN) }));
            waits.push((asking.next - now).as_millis());
            now = asking.next;
        }
        assert_eq!(waits, [20, 50, 20, 100, 20, 250, 20, 500, 20, 1000, 20, 1000]);
    }

    #[test]
    fn an_answer_is_a_targets_and_for_us() {
        let target: IpAddr = [192, 0, 2, 1].into();
        let router: IpAddr = std::net::Ipv6Addr::LOCALHOST.into();
        let proof = Proof::begin(Instant::EPOCH, vec![target, router]);
        let asking = proof.asking().expect("asking");
        let ours = [OWN, nobody(OWN)];
        assert!(asking.is_answered(target, OWN, ours));
        assert!(asking.is_answered(target, nobody(OWN), ours));
        assert!(!asking.is_answered(target, MacAddr::BROADCAST, ours));
        assert!(asking.is_answered(router, MacAddr::BROADCAST, ours));
        assert!(!asking.is_answered(target, MacAddr([2, 0, 0, 0, 0, 9]), ours));
        assert!(!asking.is_answered([192, 0, 2, 9].into(), OWN, ours));
    }
}
