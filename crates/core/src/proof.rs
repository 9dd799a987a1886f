//! Failback by proof: a port that is to take over from one that works first shows that its path works.
//!
//! Questions go out through the port until an answer has come in on it. Where ports share one address, that has two
//! snares. Switches take the question for news of where the address is, and send there what is for it: into the void,
//! if the path is dead, or (spanning tree) only learns yet. And where the active port is busy, they have learnt better
//! by the time of the answer, and send it to the active port.
//!
//! So a question asks for its answer to be sent to an address that nobody has: switches do not know it, and flood the
//! answer to where the port hears it, whatever they have learnt. And it is followed at once by a frame on the active
//! port, which teaches them the right way again. A Wi-Fi station is not given what is for nobody, and some switches do
//! not flood; for those, plain questions take turns, with a moment to be answered before the lesson.
//!
//! Where one of the two ports is Wi-Fi, an answer is not enough: it has to come from the station that gives it on the
//! active port, too. Otherwise these are two networks, which happen to use the same addresses. There, a standby port is
//! asked as soon as it has a link, so that it is known before it is needed. Two answers that differ are asked for once
//! more: an address may just have moved. And where the active port gets no answer at all, there is nothing to compare
//! with, and nothing to lose: what gets one is the better port.
//!
//! (A question from an address of its own would avoid both, but a second address on its port is what some switches
//! shut the port for.)

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::event::OtherSegment;
use crate::mac::MacAddr;
use crate::time::Instant;

/// How long a plain question has for its answer, before the other kind is asked. It is short: until then, switches send
/// what is for a shared address to the port that asked.
const ANSWER_TIME: Duration = Duration::from_millis(20);

/// How long answers may be on their way that were given in the network that a station has just left. They say nothing of
/// the one that it has joined.
pub(crate) const STRAY_ANSWERS: Duration = Duration::from_millis(30);

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

/// The same where nothing waits for the answer: each question teaches switches the wrong way for a moment.
const IDLE_WAIT: Duration = Duration::from_secs(120);

/// The wait before someone to ask is looked for again, where nobody was found.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// After so many questions without an answer, look again for someone to ask.
const LOOK_AGAIN: u32 = 4;

/// So many questions (half a minute) a wired port asks without plain ones among them.
const INSISTENT: u32 = 30;

/// So many questions later, two answers that differ are still not a mistake: an address may just have moved.
const SURE: u32 = 2;

/// So many questions on the active port without any answer show that nobody can be heard there.
const ENOUGH: u32 = 4;

/// So many stations that answer for one address are remembered.
const MOST_OWNERS: usize = 8;

/// Who has answered, for which address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners(BTreeMap<IpAddr, BTreeSet<MacAddr>>);

impl Owners {
    pub(crate) fn note(&mut self, address: IpAddr, owner: MacAddr) {
        let owners = self.0.entry(address).or_default();
        if owners.len() < MOST_OWNERS {
            owners.insert(owner);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// How these differ from those who answered elsewhere; `None` while nobody has answered in both places.
    fn compare(&self, elsewhere: &Self) -> Option<Result<(), OtherSegment>> {
        let both =
            || self.0.iter().filter_map(|(address, here)| Some((address, here, elsewhere.0.get(address)?)));
        // One that is the same will do: more than one station may answer for an address.
        if both().any(|(_, here, there)| !here.is_disjoint(there)) {
            return Some(Ok(()));
        }
        let (address, here, there) = both().next()?;
        let (here, there) = (*here.first()?, *there.first()?);
        Some(Err(OtherSegment { address: *address, here, there }))
    }
}

/// A kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Answered to the port's own address.
    Plain,
    /// Answered to nobody, so that switches flood the answer.
    Flooded,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A port with an address of its own, which it may ask and be answered by.
    Own,
    /// A wired port that shares its address.
    Wired,
    /// A Wi-Fi port that shares its address.
    Wireless,
}

/// How far a port is with its proof.
#[derive(Clone, Debug, Default)]
pub(crate) enum Proof {
    /// Nobody has asked for one since the link came up.
    #[default]
    Missing,
    /// Questions are being asked.
    Asking(Asking),
    /// An answer came in, or it is not waited for any longer.
    Given,
    /// An answer came in, from the station that gave it on the active port, too.
    Same,
    /// An answer came in, from someone else than on the active port.
    Other(OtherSegment),
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
    owners: Owners,
    tries: u32,
    /// How often it was asked on the active port, too.
    tries_there: u32,
    /// After how many questions somebody else had answered than on the active port.
    differs_since: Option<u32>,
}

impl Proof {
    pub(crate) fn begin(now: Instant, targets: Vec<IpAddr>) -> Self {
        Self::Asking(Asking {
            since: now,
            next: now,
            targets,
            looking: false,
            looked: false,
            owners: Owners::default(),
            tries: 0,
            tries_there: 0,
            differs_since: None,
        })
    }

    pub(crate) fn is_given(&self) -> bool {
        matches!(self, Self::Given | Self::Same)
    }

    pub(crate) fn asking(&self) -> Option<&Asking> {
        match self {
            Self::Asking(asking) => Some(asking),
            Self::Missing | Self::Given | Self::Same | Self::Other(_) => None,
        }
    }

    pub(crate) fn asking_mut(&mut self) -> Option<&mut Asking> {
        match self {
            Self::Asking(asking) => Some(asking),
            Self::Missing | Self::Given | Self::Same | Self::Other(_) => None,
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

    /// A round of questions goes out now. `None` while there is nobody to ask.
    ///
    /// `wanted`: does traffic wait for it?
    pub(crate) fn ask(&mut self, now: Instant, kind: Asker, wanted: bool) -> Option<Question> {
        if self.targets.is_empty() {
            self.next = now + LOOK_WAIT;
            return None;
        }
        let question = match kind {
            Asker::Own => Question::Plain,
            Asker::Wired if self.tries < INSISTENT => Question::Flooded,
            Asker::Wired | Asker::Wireless if self.tries.is_multiple_of(2) => Question::Plain,
            Asker::Wired | Asker::Wireless => Question::Flooded,
        };
        let lesson_follows = question == Question::Plain && kind != Asker::Own;
        self.next = now + if lesson_follows { ANSWER_TIME } else { self.wait(wanted) };
        self.tries = self.tries.saturating_add(1);
        Some(question)
    }

    /// The wait after a question, or a pair of them.
    fn wait(&self, wanted: bool) -> Duration {
        let pairs = self.tries / 2;
        let hurried = WAITS.get(pairs as usize).or(WAITS.last()).copied().unwrap_or_default();
        match (self.tries < PATIENT, wanted) {
            (true, _) => hurried,
            (false, true) => PATIENT_WAIT,
            (false, false) => IDLE_WAIT,
        }
    }

    /// Takes note of an answer.
    pub(crate) fn answered(&mut self, address: IpAddr, owner: MacAddr) {
        self.owners.note(address, owner);
    }

    /// The active port was asked the same.
    pub(crate) fn asked_there(&mut self) {
        self.tries_there = self.tries_there.saturating_add(1);
    }

    /// Would an answer on the active port have come by now?
    pub(crate) fn has_asked_enough_there(&self) -> bool {
        self.tries_there > ENOUGH
    }

    /// Has anybody answered?
    pub(crate) fn is_any_answer(&self) -> bool {
        !self.owners.is_empty()
    }

    /// Compares who answered here with who answered on the active port; `None` while that says nothing yet.
    pub(crate) fn compare(&mut self, there: &Owners) -> Option<Result<(), OtherSegment>> {
        let found = self.owners.compare(there)?;
        let since = *self.differs_since.get_or_insert(self.tries);
        (found.is_ok() || self.tries >= since.saturating_add(SURE)).then_some(found)
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

    /// What is asked, and how long is waited in milliseconds.
    fn asked(kind: Asker, count: usize) -> Vec<(Question, u128)> {
        let mut now = Instant::EPOCH;
        let mut proof = Proof::begin(now, vec![[192, 0, 2, 1].into()]);
        let asking = proof.asking_mut().expect("asking");
        let mut asked = Vec::new();
        for _ in 0..count {
            let question = asking.ask(now, kind, true).expect("someone to ask");
            asked.push((question, (asking.next - now).as_millis()));
            now = asking.next;
        }
        asked
    }

    #[test]
    fn questions_take_turns_and_slow_down() {
        let asked = asked(Asker::Wireless, 12);
        let waits: Vec<_> = asked.iter().map(|(_, wait)| *wait).collect();
        assert_eq!(waits, [20, 50, 20, 100, 20, 250, 20, 500, 20, 1000, 20, 1000]);
        for pair in asked.chunks(2) {
            assert_eq!((pair[0].0, pair[1].0), (Question::Plain, Question::Flooded));
        }
    }

    #[test]
    fn a_wired_port_relies_on_flooding_first() {
        let asked = asked(Asker::Wired, 32);
        assert!(asked[..30].iter().all(|(question, _)| *question == Question::Flooded));
        assert_eq!((asked[30].0, asked[31].0), (Question::Plain, Question::Flooded));
    }

    #[test]
    fn a_port_with_an_address_of_its_own_asks_plainly() {
        assert!(asked(Asker::Own, 32).iter().all(|(question, _)| *question == Question::Plain));
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
