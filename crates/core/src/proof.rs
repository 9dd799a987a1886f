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

/// The waits between questions; the last one repeats.
const WAITS: [Duration; 5] = [
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];

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

    /// A round of questions goes out now. Returns the address that the answers are to be sent to.
    pub(crate) fn ask(&mut self, now: Instant, own: MacAddr, nobody: MacAddr) -> MacAddr {
        let answer_to = if self.tries.is_multiple_of(2) { own } else { nobody };
        let wait = WAITS.get(self.tries as usize).or(WAITS.last()).copied().unwrap_or_default();
        self.next = now + wait;
        self.tries = self.tries.saturating_add(1);
        answer_to
    }

    /// Is this an answer to one of our questions?
    pub(crate) fn is_answered(&self, from: IpAddr, to: MacAddr, [own, nobody]: [MacAddr; 2]) -> bool {
        self.targets.contains(&from) && (to == own || to == nobody || to.is_group())
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
        for n in 0..7 {
            assert_eq!(asking.ask(now, OWN, nobody(OWN)), if n % 2 == 0 { OWN } else { nobody(OWN) });
            waits.push((asking.next - now).as_millis());
            now = asking.next;
        }
        assert_eq!(waits, [20, 50, 100, 250, 500, 500, 500]);
    }

    #[test]
    fn an_answer_is_a_targets_and_for_us() {
        let target: IpAddr = [192, 0, 2, 1].into();
        let proof = Proof::begin(Instant::EPOCH, vec![target]);
        let asking = proof.asking().expect("asking");
        let ours = [OWN, nobody(OWN)];
        assert!(asking.is_answered(target, OWN, ours));
        assert!(asking.is_answered(target, nobody(OWN), ours));
        assert!(asking.is_answered(target, MacAddr::BROADCAST, ours));
        assert!(!asking.is_answered(target, MacAddr([2, 0, 0, 0, 0, 9]), ours));
        assert!(!asking.is_answered([192, 0, 2, 9].into(), OWN, ours));
    }
}
