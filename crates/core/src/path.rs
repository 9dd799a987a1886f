//! What probes and received frames say of one port's path, beside its carrier.
//!
//! The active port is asked: no sign of life for `arp-missed-max` intervals (and half of one), and its path is dead.
//! A standby port is never asked, because its frames would teach switches the wrong way; it is judged by what it
//! hears, one interval more patiently. When nothing is left that is alive, ports with a carrier are tried in turn.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::{Evidence, Probes};
use crate::time::Instant;

/// What is known of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A sign of life lately, or too early to tell.
    #[default]
    Alive,
    /// The port heard nothing while it stood by.
    Quiet,
    /// The port was active, and its probes were not answered.
    Dead(Instant),
}

/// Which part the port plays, and so what it is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Active,
    Standby,
}

impl Role {
    pub(crate) fn evidence(self, probes: &Probes) -> Evidence {
        match self {
            Self::Active => probes.validate.active,
            Self::Standby => probes.validate.backup,
        }
    }
}

/// The path of one port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    verdict: Verdict,
    /// The last sign of life that counts, or the beginning of the present trial.
    last: Instant,
    /// The last answer of each target.
    answers: BTreeMap<IpAddr, Instant>,
    /// The port's count of received frames, when it was last looked at.
    received: Option<u64>,
}

impl Path {
    pub(crate) fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Starts afresh: the link is new, or the port has got another role.
    pub(crate) fn begin(&mut self, now: Instant) {
        *self = Self { last: now, received: self.received, ..Self::default() };
    }

    /// Takes note of a frame that is worth `evidence`; `target` is who answered, if one of the targets did.
    pub(crate) fn hear(
        &mut self,
        now: Instant,
        evidence: Evidence,
        target: Option<IpAddr>,
        role: Role,
        probes: &Probes,
    ) {
        if let Some(target) = target {
            self.answers.insert(target, now);
        }
        let needed = role.evidence(probes);
        if evidence < needed {
            return;
        }
        let everyone = role == Role::Active && probes.all_targets && needed == Evidence::Target;
        let sign_of_life = if everyone { self.slowest_answer(probes) } else { Some(now) };
        if let Some(at) = sign_of_life {
            self.last = self.last.max(at);
            self.verdict = Verdict::Alive;
        }
    }

    /// Takes note of how many frames the port has received in all.
    pub(crate) fn count(&mut self, now: Instant, received: u64, role: Role, probes: &Probes) {
        if self.received.replace(received).is_some_and(|before| received != before) {
            self.hear(now, Evidence::Any, None, role, probes);
        }
    }

    /// When the last of the targets answered that took longest; `None` until all of them have.
    fn slowest_answer(&self, probes: &Probes) -> Option<Instant> {
        let mut targets = targets(probes);
        let first = self.answers.get(&targets.next()?).copied()?;
        targets.try_fold(first, |slowest, target| Some(slowest.min(*self.answers.get(&target)?)))
    }

    /// When the port's patience is over; `None` when there is nothing more to lose.
    pub(crate) fn deadline(&self, role: Role, probes: &Probes) -> Option<Instant> {
        (self.verdict == Verdict::Alive).then(|| self.last + patience(role, probes))
    }

    pub(crate) fn condemn(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }
}

/// Everyone who is asked.
pub(crate) fn targets(probes: &Probes) -> impl Iterator<Item = IpAddr> + '_ {
    let v4 = probes.arp_targets.iter().copied().map(IpAddr::from);
    v4.chain(probes.ns_targets.iter().copied().map(IpAddr::from))
}

/// As in the kernel (bond_main.c, bond_ab_arp_inspect): intervals that may be missed, and half of one for delays.
/// Never nothing, so that a trial that begins now does not end now.
fn patience(role: Role, probes: &Probes) -> Duration {
    let missed = u32::from(probes.missed_max.max(1)) + if role == Role::Standby { 1 } else { 0 };
    probes.interval.saturating_mul(missed).saturating_add(probes.interval / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Validate;

    fn at(ms: u64) -> Instant {
        Instant::after_epoch(Duration::from_millis(ms))
    }

    fn probes(evidence: Evidence) -> Probes {
        Probes {
            interval: Duration::from_millis(100),
            arp_targets: vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()],
            validate: Validate { active: evidence, backup: evidence },
            ..Probes::default()
        }
    }

    #[test]
    fn a_standby_is_judged_more_patiently() {
        let probes = probes(Evidence::Any);
        let mut path = Path::default();
        path.begin(at(1000));
        assert_eq!(path.deadline(Role::Active, &probes), Some(at(1250)));
        assert_eq!(path.deadline(Role::Standby, &probes), Some(at(1350)));
    }

    #[test]
    fn only_evidence_that_is_strong_enough_counts() {
        let weak = [Evidence::Any, Evidence::Probe, Evidence::Target];
        for needed in weak {
            for heard in weak {
                let mut path = Path::default();
                path.begin(at(0));
                path.condemn(Verdict::Quiet);
                path.hear(at(500), heard, None, Role::Standby, &probes(needed));
                assert_eq!(path.verdict() == Verdict::Alive, heard >= needed, "{needed:?} {heard:?}");
            }
        }
    }

    #[test]
    fn all_targets_means_the_slowest_counts() {
        let probes = Probes { all_targets: true, ..probes(Evidence::Target) };
        let [first, second]: [IpAddr; 2] = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        let mut path = Path::default();
        path.begin(at(0));
        path.hear(at(100), Evidence::Target, Some(first), Role::Active, &probes);
        assert_eq!(path.deadline(Role::Active, &probes), Some(at(250)), "one of two is none");
        path.hear(at(150), Evidence::Target, Some(second), Role::Active, &probes);
        assert_eq!(path.deadline(Role::Active, &probes), Some(at(350)));
        path.hear(at(300), Evidence::Target, Some(second), Role::Active, &probes);
        assert_eq!(path.deadline(Role::Active, &probes), Some(at(350)), "the first has fallen silent");
    }

    #[test]
    fn a_count_that_moves_is_a_sign_of_life() {
        let probes = probes(Evidence::Any);
        let mut path = Path::default();
        path.begin(at(0));
        path.count(at(100), 5, Role::Standby, &probes);
        assert_eq!(path.deadline(Role::Standby, &probes), Some(at(350)), "nothing to compare with");
        path.count(at(200), 6, Role::Standby, &probes);
        assert_eq!(path.deadline(Role::Standby, &probes), Some(at(550)));
    }
}
