//! A goal: something the driver is to have, pursued until it is there.
//!
//! This is how nothing is fire-and-forget. A goal knows what is wanted, what is there, and the one action under way;
//! a failure is followed by another try, later each time. Which action serves a goal is the machine's business.

use std::time::Duration;

use crate::event::ActionId;
use crate::time::Instant;

/// The waits between tries: the first, doubled with each failure up to the longest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The wait after the first failure.
    pub(crate) first: Duration,
    /// The longest wait.
    pub(crate) longest: Duration,
}

impl Backoff {
    /// For what traffic waits for: the table, addresses, the carrier.
    pub(crate) const FAST: Self = Self { first: Duration::from_millis(10), longest: Duration::from_secs(2) };
    /// For what may depend on someone's action: attaching an interface.
    pub(crate) const SLOW: Self =
        Self { first: Duration::from_millis(200), longest: Duration::from_secs(30) };

    /// The wait after this many failures in a row.
    pub(crate) fn after(self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest)
    }
}

/// Something the driver is to have.
#[derive(Clone, Debug)]
pub(crate) struct Goal<T> {
    want: T,
    have: Option<T>,
    under_way: Option<(ActionId, T)>,
    failures: u32,
    retry_at: Option<Instant>,
    backoff: Backoff,
}

impl<T: Clone + PartialEq> Goal<T> {
    /// A goal that is reached already: `value` is both wanted and there.
    pub(crate) fn reached(value: T, backoff: Backoff) -> Self {
        Self { have: Some(value.clone()), ..Self::unknown(value, backoff) }
    }

    /// A goal of which nobody knows what is there.
    pub(crate) fn unknown(value: T, backoff: Backoff) -> Self {
        Self { want: value, have: None, under_way: None, failures: 0, retry_at: None, backoff }
    }

    pub(crate) fn wanted(&self) -> &T {
        &self.want
    }

    /// Ends a wait that is over, so that it is not waited for again.
    pub(crate) fn tick(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
    }

    /// What is there, as far as known.
    pub(crate) fn present(&self) -> Option<&T> {
        self.have.as_ref()
    }

    /// Changes what is wanted. A new wish is not held up by the failures of the old one.
    pub(crate) fn want(&mut self, value: T) {
        if self.want != value {
            self.want = value;
            self.failures = 0;
            self.retry_at = None;
        }
    }

    /// Takes note of what is really there. While an action is under way its result decides instead.
    /// Returns whether this shows drift: the goal was reached, and is not any more.
    pub(crate) fn observe(&mut self, value: T) -> bool {
        if self.under_way.is_some() {
            return false;
        }
        let drifted = self.is_reached() && value != self.want;
        self.have = Some(value);
        drifted
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.have.as_ref() == Some(&self.want)
    }

    /// Is an action under way?
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// What the action under way will bring about if it succeeds.
    pub(crate) fn coming(&self) -> Option<&T> {
        self.under_way.as_ref().map(|(_, value)| value)
    }

    /// What an action should bring about now, if anything.
    pub(crate) fn due(&self, now: Instant) -> Option<&T> {
        let idle = self.under_way.is_none() && !self.is_reached();
        (idle && self.retry_at.is_none_or(|at| at <= now)).then_some(&self.want)
    }

    /// Takes note that `action` is under way towards what is wanted now.
    pub(crate) fn begin(&mut self, action: ActionId) {
        self.under_way = Some((action, self.want.clone()));
    }

    pub(crate) fn is_under_way(&self, action: ActionId) -> bool {
        self.under_way.as_ref().is_some_and(|(id, _)| *id == action)
    }

    /// The action under way succeeded; returns what it brought about.
    pub(crate) fn succeed(&mut self) -> Option<T> {
        let (_, value) = self.under_way.take()?;
        self.failures = 0;
        self.retry_at = None;
        self.have = Some(value.clone());
        Some(value)
    }

    /// The action under way failed. What is there is unknown from now on, and there will be another try.
    /// Returns how many failures in a row that makes.
    pub(crate) fn fail(&mut self, now: Instant) -> u32 {
        if let Some((_, tried)) = self.under_way.take() {
            self.have = None;
            if tried == self.want {
                self.failures = self.failures.saturating_add(1);
                self.retry_at = Some(now + self.backoff.after(self.failures));
            }
        }
        self.failures
    }

    /// When there is something to do that waits for nothing but time.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        if self.under_way.is_some() || self.is_reached() { None } else { self.retry_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ActionId = ActionId(1);

    fn at(ms: u64) -> Instant {
        Instant::after_epoch(Duration::from_millis(ms))
    }

    #[test]
    fn reached_needs_nothing() {
        let goal = Goal::reached(7, Backoff::FAST);
        assert_eq!(goal.due(at(0)), None);
        assert_eq!(goal.retry_at(), None);
    }

    #[test]
    fn failures_are_retried_ever_later_up_to_the_longest() {
        let mut goal = Goal::unknown(7, Backoff::FAST);
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..12 {
            assert_eq!(goal.due(now), Some(&7));
            goal.begin(ONE);
            assert_eq!(goal.due(now), None, "one action at a time");
            goal.fail(now);
            assert_eq!(goal.due(now), None, "not at once");
            let retry = goal.retry_at().expect("a retry");
            waits.push((retry - now).as_millis());
            now = retry;
        }
        assert_eq!(waits[..4], [10, 20, 40, 80]);
        assert_eq!(waits[11], 2000);
    }

    #[test]
    fn a_new_wish_does_not_wait_for_the_old_ones_retry() {
        let mut goal = Goal::unknown(7, Backoff::SLOW);
        goal.begin(ONE);
        goal.fail(at(0));
        goal.want(8);
        assert_eq!(goal.due(at(0)), Some(&8));
    }

    #[test]
    fn a_wish_that_changed_meanwhile_is_pursued_after_the_action() {
        let mut goal = Goal::unknown(7, Backoff::FAST);
        goal.begin(ONE);
        goal.want(8);
        assert_eq!(goal.due(at(0)), None);
        assert_eq!(goal.succeed(), Some(7));
        assert_eq!(goal.due(at(0)), Some(&8));
    }

    #[test]
    fn drift_is_what_was_reached_and_is_not_any_more() {
        let mut goal = Goal::reached(7, Backoff::FAST);
        assert!(!goal.observe(7));
        assert!(goal.observe(9));
        assert!(!goal.observe(9), "known already");
        assert_eq!(goal.due(at(0)), Some(&7));
    }
}
