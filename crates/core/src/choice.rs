//! Which port is active: one total order, so that the answer cannot depend on the order in which ports are looked at.

use std::cmp::Reverse;

use crate::config::PrimaryReselect;
use crate::event::{Duplex, PortId};

/// What the choice knows of a usable port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) port: PortId,
    /// Is its signal good enough (or is it wired)?
    pub(crate) strong: bool,
    pub(crate) primary: bool,
    pub(crate) prio: i32,
    pub(crate) speed_mbps: Option<u32>,
    pub(crate) duplex: Option<Duplex>,
    /// The place in the configuration; lower is better.
    pub(crate) preference: usize,
    /// May traffic move to it from a port that works?
    pub(crate) proven: bool,
}

impl Candidate {
    /// What the user asked for: the primary above all, then prio; but a signal that is too weak helps nobody.
    fn rank(&self) -> (bool, bool, i32) {
        (self.strong, self.primary, self.prio)
    }

    fn bandwidth(&self) -> (u32, Option<Duplex>) {
        (self.speed_mbps.unwrap_or(0), self.duplex)
    }
}

/// What is to be done about the active port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The port to use now; there is one if there is any candidate.
    pub(crate) active: Option<PortId>,
    /// The port that would be used, were it proven; equal to `active` where there is none.
    pub(crate) wanted: Option<PortId>,
}

/// Chooses among usable ports. `incumbent` is the port that is active now, `manual` one that someone asked for;
/// either counts only if it is among the candidates.
pub(crate) fn choose(
    candidates: &[Candidate],
    incumbent: Option<PortId>,
    manual: Option<PortId>,
    reselect: PrimaryReselect,
) -> Choice {
    let find = |port: Option<PortId>| candidates.iter().find(|candidate| Some(candidate.port) == port);
    if let Some(manual) = find(manual) {
        return Choice { active: Some(manual.port), wanted: Some(manual.port) };
    }
    let Some(incumbent) = find(incumbent) else {
        let best = best(candidates.iter(), None);
        return Choice { active: best, wanted: best };
    };
    let beats = |candidate: &&Candidate| {
        candidate.port == incumbent.port
            || (candidate.rank() > incumbent.rank() && allows(reselect, candidate, incumbent))
    };
    let contenders = || candidates.iter().filter(beats);
    let movable = |candidate: &&Candidate| candidate.proven || candidate.port == incumbent.port;
    Choice {
        active: best(contenders().filter(movable), Some(incumbent.port)),
        wanted: best(contenders(), Some(incumbent.port)),
    }
}

/// May a port of higher rank take over from one that works?
fn allows(reselect: PrimaryReselect, candidate: &Candidate, incumbent: &Candidate) -> bool {
    if candidate.strong && !incumbent.strong {
        return true;
    }
    match reselect {
        PrimaryReselect::Always => true,
        PrimaryReselect::Better => candidate.bandwidth() > incumbent.bandwidth(),
        PrimaryReselect::Failure => false,
    }
}

/// The greatest in the order (signal, primary, prio, incumbency, configuration, speed, id). Speed decides only between ports
/// that the configuration does not tell apart: it may change at any time, and traffic must not follow it to and fro.
fn best<'a>(candidates: impl Iterator<Item = &'a Candidate>, incumbent: Option<PortId>) -> Option<PortId> {
    candidates
        .max_by_key(|candidate| {
            let incumbency = Some(candidate.port) == incumbent;
            (
                candidate.rank(),
                incumbency,
                Reverse(candidate.preference),
                candidate.bandwidth(),
                Reverse(candidate.port),
            )
        })
        .map(|candidate| candidate.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(port: u32) -> Candidate {
        Candidate {
            port: PortId(port),
            strong: true,
            primary: false,
            prio: 0,
            speed_mbps: Some(1000),
            duplex: Some(Duplex::Full),
            preference: port as usize,
            proven: true,
        }
    }

    fn active(candidates: &[Candidate], incumbent: u32, reselect: PrimaryReselect) -> u32 {
        choose(candidates, Some(PortId(incumbent)), None, reselect).active.expect("a port").0
    }

    #[test]
    fn primary_reselect_rules() {
        let primary = Candidate { primary: true, ..candidate(1) };
        let slow = Candidate { speed_mbps: Some(100), ..primary };
        let equal_but_half = Candidate { duplex: Some(Duplex::Half), ..primary };
        let fast = Candidate { speed_mbps: Some(2500), ..primary };
        let other = candidate(2);
        for (reselect, port, expected) in [
            (PrimaryReselect::Always, slow, 1),
            (PrimaryReselect::Better, slow, 2),
            (PrimaryReselect::Better, primary, 2),
            (PrimaryReselect::Better, equal_but_half, 2),
            (PrimaryReselect::Better, fast, 1),
            (PrimaryReselect::Failure, fast, 2),
        ] {
            assert_eq!(active(&[port, other], 2, reselect), expected, "{reselect:?} {port:?}");
            assert_eq!(active(&[port, other], 9, reselect), 1, "no incumbent: the primary at once");
        }
    }

    #[test]
    fn the_primary_stands_above_prio_and_prio_above_order() {
        let primary = Candidate { primary: true, prio: -5, ..candidate(3) };
        let strong = Candidate { prio: 10, ..candidate(2) };
        let plain = candidate(1);
        assert_eq!(active(&[plain, strong, primary], 1, PrimaryReselect::Always), 3);
        assert_eq!(active(&[plain, strong], 1, PrimaryReselect::Always), 2);
        assert_eq!(
            active(&[candidate(2), plain], 2, PrimaryReselect::Always),
            2,
            "order alone moves nothing"
        );
        assert_eq!(active(&[candidate(2), plain], 9, PrimaryReselect::Always), 1);
    }

    #[test]
    fn a_weak_signal_is_worse_than_anything_but_nothing() {
        let weak = Candidate { strong: false, primary: true, prio: 9, ..candidate(1) };
        for reselect in [PrimaryReselect::Always, PrimaryReselect::Better, PrimaryReselect::Failure] {
            assert_eq!(active(&[weak, candidate(2)], 1, reselect), 2, "{reselect:?}");
            assert_eq!(active(&[weak, candidate(2)], 2, reselect), 2, "{reselect:?}");
            assert_eq!(active(&[weak], 2, reselect), 1, "{reselect:?}");
        }
    }

    #[test]
    fn an_unproven_port_waits_while_another_works() {
        let primary = Candidate { primary: true, proven: false, ..candidate(1) };
        let choice = choose(&[primary, candidate(2)], Some(PortId(2)), None, PrimaryReselect::Always);
        assert_eq!(choice, Choice { active: Some(PortId(2)), wanted: Some(PortId(1)) });
        let choice = choose(&[primary], Some(PortId(2)), None, PrimaryReselect::Always);
        assert_eq!(
            choice,
            Choice { active: Some(PortId(1)), wanted: Some(PortId(1)) },
            "anything beats nothing"
        );
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (any::<bool>(), any::<bool>(), -1..2, prop::option::of(0u32..3), any::<bool>(), 0usize..3);
        prop::collection::vec(one, 0..6).prop_map(|ports| {
            ports
                .into_iter()
                .zip(1..)
                .map(|((strong, primary, prio, speed_mbps, proven, preference), port)| Candidate {
                    strong,
                    primary,
                    prio,
                    speed_mbps,
                    preference,
                    proven,
                    ..candidate(port)
                })
                .collect()
        })
    }

    fn reselect() -> impl Strategy<Value = PrimaryReselect> {
        prop_oneof![
            Just(PrimaryReselect::Always),
            Just(PrimaryReselect::Better),
            Just(PrimaryReselect::Failure)
        ]
    }

    proptest! {
        #[test]
        fn choice_is_invariant_under_port_order(
            (ports, shuffled) in candidates().prop_flat_map(|ports| (Just(ports.clone()), Just(ports).prop_shuffle())),
            incumbent in 0u32..7, manual in 0u32..7, reselect in reselect(),
        ) {
            let choose = |ports: &[Candidate]| choose(ports, Some(PortId(incumbent)), Some(PortId(manual)), reselect);
            prop_assert_eq!(choose(&ports), choose(&shuffled));
        }

        #[test]
        fn there_is_a_choice_iff_there_is_a_candidate(
            ports in candidates(), incumbent in 0u32..7, reselect in reselect(),
        ) {
            let choice = choose(&ports, Some(PortId(incumbent)), None, reselect);
            prop_assert_eq!(choice.active.is_some(), !ports.is_empty());
            prop_assert_eq!(choice.wanted.is_some(), !ports.is_empty());
        }

        /// Having moved, the choice stays: it never oscillates while nothing changes.
        #[test]
        fn the_choice_is_stable(ports in candidates(), incumbent in 0u32..7, reselect in reselect()) {
            let first = choose(&ports, Some(PortId(incumbent)), None, reselect).active;
            prop_assert_eq!(choose(&ports, first, None, reselect).active, first);
        }
    }
}
