//! The link state of one port, with updelay and downdelay.
//!
//! ```text
//!             good                    delay over
//!   ┌─── Down ──────▶ Back ───────────────────────▶ Up ◀──┐
//!   │     ▲            │ bad                        │ bad  │ good
//!   │     └────────────┘                            ▼      │
//!   │     ▲        delay over                      Fail ───┘
//!   │     └─────────────────────────────────────────┘
//!   └── good, at once ─▶ Up          Up or Fail, bad, at once ─▶ Down
//! ```
//!
//! What is good and what is bad is not decided here: the machine makes it of carrier, probes and attachment.

use std::time::Duration;

use crate::event::LinkState;
use crate::time::Instant;

/// What a port's senses say of its link, together with how much of a hurry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sense {
    /// The link is there; count it after this long.
    Good(Duration),
    /// The link is gone; count it after this long.
    Bad(Duration),
}

/// The link state of one port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    state: LinkState,
    /// When the delay of `Back` or `Fail` is over.
    until: Option<Instant>,
    failures: u32,
}

impl Link {
    pub(crate) fn state(&self) -> LinkState {
        self.state
    }

    /// How often the link went down.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// A port that an earlier daemon left active: its link counts as there until its senses say otherwise.
    pub(crate) fn assume_up(&mut self) {
        self.state = LinkState::Up;
        self.until = None;
    }

    /// The port is not part of the bond: no link, and no failure either.
    pub(crate) fn leave(&mut self) {
        self.enter(LinkState::Down, None);
    }

    /// Takes note of what the senses say now; said again without a change, it changes nothing.
    pub(crate) fn sense(&mut self, now: Instant, sense: Sense) {
        match (self.state, sense) {
            (LinkState::Up, Sense::Good(_)) | (LinkState::Down, Sense::Bad(_)) => {}
            (LinkState::Down | LinkState::Back, Sense::Good(Duration::ZERO)) => {
                self.enter(LinkState::Up, None);
            }
            (LinkState::Down, Sense::Good(delay)) => self.enter(LinkState::Back, Some(now + delay)),
            // A delay that was shortened meanwhile counts from now.
            (LinkState::Back, Sense::Good(delay)) | (LinkState::Fail, Sense::Bad(delay))
                if !delay.is_zero() =>
            {
                self.until = self.until.map(|until| until.min(now + delay));
            }
            (LinkState::Fail, Sense::Good(_)) => self.enter(LinkState::Up, None),
            (LinkState::Back, Sense::Bad(_)) => self.enter(LinkState::Down, None),
            (LinkState::Up, Sense::Bad(delay)) if !delay.is_zero() => {
                self.enter(LinkState::Fail, Some(now + delay));
            }
            (LinkState::Up | LinkState::Fail, Sense::Bad(_)) => self.go_down(),
            (LinkState::Back, Sense::Good(_)) => {}
        }
        self.expire(now);
    }

    /// Ends a delay that is over.
    fn expire(&mut self, now: Instant) {
        if self.until.is_none_or(|until| now < until) {
            return;
        }
        match self.state {
            LinkState::Back => self.enter(LinkState::Up, None),
            LinkState::Fail => self.go_down(),
            LinkState::Up | LinkState::Down => self.until = None,
        }
    }

    fn go_down(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.enter(LinkState::Down, None);
    }

    fn enter(&mut self, state: LinkState, until: Option<Instant>) {
        self.state = state;
        self.until = until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LinkState::{Back, Down, Fail, Up};
    use Sense::{Bad, Good};

    const DELAY: Duration = Duration::from_millis(100);

    fn at(ms: u64) -> Instant {
        Instant::after_epoch(Duration::from_millis(ms))
    }

    /// A link that is in `state` since time zero, its delay running.
    fn link(state: LinkState) -> Link {
        let mut link = Link::default();
        match state {
            Down => {}
            Back => link.sense(at(0), Good(DELAY)),
            Up => link.sense(at(0), Good(Duration::ZERO)),
            Fail => {
                link.sense(at(0), Good(Duration::ZERO));
                link.sense(at(0), Bad(DELAY));
            }
        }
        assert_eq!(link.state(), state);
        link
    }

    /// Every state with every event: (state, what is sensed, when) → (state, failures counted).
    #[test]
    fn every_state_with_every_sense() {
        const NOW: Duration = Duration::ZERO;
        let table = [
            (Down, Good(NOW), 50, Up, 0),
            (Down, Good(DELAY), 50, Back, 0),
            (Down, Bad(NOW), 50, Down, 0),
            (Down, Bad(DELAY), 50, Down, 0),
            (Back, Good(NOW), 50, Up, 0),
            (Back, Good(DELAY), 50, Back, 0),
            (Back, Good(DELAY), 100, Up, 0),
            (Back, Bad(NOW), 50, Down, 0),
            (Back, Bad(DELAY), 50, Down, 0),
            (Back, Bad(DELAY), 100, Down, 0),
            (Up, Good(NOW), 50, Up, 0),
            (Up, Good(DELAY), 50, Up, 0),
            (Up, Bad(NOW), 50, Down, 1),
            (Up, Bad(DELAY), 50, Fail, 0),
            (Fail, Good(NOW), 50, Up, 0),
            (Fail, Good(DELAY), 50, Up, 0),
            (Fail, Good(DELAY), 100, Up, 0),
            (Fail, Bad(NOW), 50, Down, 1),
            (Fail, Bad(DELAY), 50, Fail, 0),
            (Fail, Bad(DELAY), 100, Down, 1),
        ];
        for (state, sense, ms, expected, failures) in table {
            let mut link = link(state);
            link.sense(at(ms), sense);
            assert_eq!((link.state(), link.failures()), (expected, failures), "{state:?} {sense:?} at {ms}");
            assert_eq!(
                link.until().is_some(),
                matches!(expected, Back | Fail),
                "{state:?} {sense:?} at {ms}"
            );
        }
    }

    #[test]
    fn repeated_senses_do_not_prolong_a_delay() {
        let mut link = link(Back);
        for ms in (0..100).step_by(10) {
            link.sense(at(ms), Good(DELAY));
        }
        assert_eq!(link.until(), Some(at(100)));
    }
}
