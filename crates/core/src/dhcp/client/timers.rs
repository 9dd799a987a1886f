//! Everything that the client does because time has passed.

use std::time::Duration;

use super::outbox::Exchange;
use super::{Check, Client, Holding, Phase, State};
use crate::dhcp::event::{Cause, StateName, Wakeup};
use crate::dhcp::message::Message;
use crate::dhcp::timing::renewal_wait;
use crate::time::Instant;

/// So many steps may follow from each other at once. There are fewer; this is for a clock that stands still at its end.
const MOST_STEPS: usize = 8;
/// After so many unanswered tries, the world is told: 7 s.
const SILENT_TRIES: u32 = 4;
/// So often an offer is asked for (15 s); then the server that made it is no more.
const REQUEST_TRIES: u32 = 4;
/// So often servers are asked, where the gateway has confirmed the address.
const CONFIRMED_TRIES: u32 = 4;
/// So often a lease without an end is asked to be renewed, where someone wanted that.
const ENDLESS_RENEWAL_TRIES: u32 = 4;
/// And the time between.
const ENDLESS_RENEWAL_WAIT: Duration = Duration::from_secs(60);

impl Client {
    /// When to call [`Client::handle_timeout`] if nothing happens before, and why; `None`: never.
    pub fn poll_timeout(&self) -> Option<(Instant, Wakeup)> {
        let linked = self.out.mac.is_some();
        let expiry = self.lease().and_then(|lease| lease.expires_at()).map(|at| (at, Wakeup::Expiry));
        let due = linked.then(|| self.due()).into_iter().flatten();
        expiry.into_iter().chain(due).min()
    }

    /// What a client with a link waits for.
    fn due(&self) -> Vec<(Instant, Wakeup)> {
        match &self.state {
            State::Released => Vec::new(),
            State::Init { until } => vec![(*until, Wakeup::Restart)],
            State::Selecting(selecting) => {
                let offer = selecting.second_best.map(|(_, until)| (until, Wakeup::Offer));
                let retry = (selecting.exchange.retry_at, Wakeup::Retransmission);
                offer.into_iter().chain([retry]).collect()
            }
            State::Requesting(requesting) => vec![(requesting.exchange.retry_at, Wakeup::Retransmission)],
            State::Probing(probing) => vec![(probing.next, Wakeup::Probe)],
            State::Holding(holding) => holding.due(),
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        self.expire(now);
        if self.out.mac.is_none() {
            return;
        }
        for _ in 0..MOST_STEPS {
            if !self.step(now) {
                break;
            }
        }
        self.speak_arp(now);
        // A lease that was short and long in coming.
        self.expire(now);
    }

    /// An address is used not a moment longer than it is lent.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.lease().and_then(|lease| lease.expires_at()).is_some_and(|end| end <= now) {
            self.lose(now, Cause::Expired);
        }
    }

    /// Does what is due in the present state. Is something due in the next one?
    fn step(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Released => false,
            State::Init { until } => {
                let over = *until <= now;
                if over {
                    self.begin(now);
                }
                over
            }
            State::Selecting(_) => self.select(now),
            State::Requesting(_) => self.ask_for_offer(now),
            State::Probing(_) => self.probe(now),
            State::Holding(holding) => match &holding.phase {
                Phase::Unchecked(_) => false,
                Phase::Bound => self.begin_renewal(now),
                Phase::Checking(_) => self.ask_whether_good(now),
                Phase::Renewing(_) => self.ask_server(now),
                Phase::Rebinding(_) => self.ask_any_server(now),
            },
        }
    }

    fn select(&mut self, now: Instant) -> bool {
        let State::Selecting(selecting) = &mut self.state else { return false };
        if let Some((offer, _)) = selecting.second_best.filter(|(_, until)| *until <= now) {
            self.request(now, offer);
            return true;
        }
        if selecting.exchange.is_due(now) {
            self.out.broadcast(now, &mut selecting.exchange, Message::Discover { wanted: self.wanted });
            if selecting.exchange.tries == SILENT_TRIES {
                self.tell_silence(StateName::Selecting);
            }
        }
        false
    }

    fn ask_for_offer(&mut self, now: Instant) -> bool {
        let State::Requesting(requesting) = &mut self.state else { return false };
        if !requesting.exchange.is_due(now) {
            return false;
        }
        if requesting.exchange.tries == REQUEST_TRIES {
            self.tell_silence(StateName::Requesting);
            self.begin(now);
            return true;
        }
        let super::Offer { address, server } = requesting.offer;
        self.out.broadcast(now, &mut requesting.exchange, Message::Select { address, server });
        false
    }

    fn ask_whether_good(&mut self, now: Instant) -> bool {
        let State::Holding(holding) = &mut self.state else { return false };
        let Phase::Checking(check) = &mut holding.phase else { return false };
        if check.deadline(&holding.lease).is_some_and(|deadline| deadline <= now) {
            self.lose(now, Cause::Elsewhere);
            return true;
        }
        if !check.exchange.is_due(now) {
            return false;
        }
        if check.confirmed && check.exchange.tries >= CONFIRMED_TRIES {
            holding.phase = Phase::Bound;
            return true;
        }
        if check.exchange.tries >= SILENT_TRIES {
            self.out.ask_anew(now, &mut check.exchange);
        }
        let address = holding.lease.parameters.address;
        self.out.broadcast(now, &mut check.exchange, Message::Reboot { address });
        if check.exchange.tries == SILENT_TRIES && !check.confirmed {
            self.tell_silence(StateName::Checking);
        }
        false
    }

    fn begin_renewal(&mut self, now: Instant) -> bool {
        let State::Holding(holding) = &mut self.state else { return false };
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_over(holding.lease.rebinds_at()) {
            holding.phase = Phase::Rebinding(self.out.exchange(now));
        } else if is_over(holding.lease.renews_at()) {
            holding.phase = Phase::Renewing(self.out.exchange(now));
        } else {
            return false;
        }
        true
    }

    /// RENEWING: who lent the address is asked.
    fn ask_server(&mut self, now: Instant) -> bool {
        let State::Holding(holding) = &mut self.state else { return false };
        let Phase::Renewing(exchange) = &mut holding.phase else { return false };
        let lease = &holding.lease;
        if lease.rebinds_at().is_some_and(|at| at <= now) {
            holding.phase = Phase::Rebinding(self.out.exchange(now));
            return true;
        }
        if !exchange.is_due(now) {
            return false;
        }
        let wait = match lease.lifetime {
            Some(lifetime) => {
                let left = (lease.obtained + lifetime.rebind_after).since(now);
                renewal_wait(lifetime.total, left)
            }
            None if exchange.tries >= ENDLESS_RENEWAL_TRIES => {
                self.tell_silence(StateName::Renewing);
                if let State::Holding(holding) = &mut self.state {
                    holding.phase = Phase::Bound;
                }
                return false;
            }
            None => ENDLESS_RENEWAL_WAIT,
        };
        self.out.extend(now, exchange, lease.parameters.address, Some(lease.server), wait);
        false
    }

    /// REBINDING: anyone is asked.
    fn ask_any_server(&mut self, now: Instant) -> bool {
        let State::Holding(holding) = &mut self.state else { return false };
        let Phase::Rebinding(exchange) = &mut holding.phase else { return false };
        if !exchange.is_due(now) {
            return false;
        }
        let lease = &holding.lease;
        let total = lease.lifetime.map_or(Duration::MAX, |lifetime| lifetime.total);
        let left = lease.remaining(now).unwrap_or(Duration::MAX);
        self.out.extend(now, exchange, lease.parameters.address, None, renewal_wait(total, left));
        self.tell_silence(StateName::Rebinding);
        false
    }
}

impl Holding {
    /// What a bond with an address and a link waits for, apart from the end of the lease.
    fn due(&self) -> Vec<(Instant, Wakeup)> {
        let retry = |exchange: &Exchange| Some((exchange.retry_at, Wakeup::Retransmission));
        let [renewal, rebinding] = [
            self.lease.renews_at().map(|at| (at, Wakeup::Renewal)),
            self.lease.rebinds_at().map(|at| (at, Wakeup::Rebinding)),
        ];
        let phase = match &self.phase {
            Phase::Unchecked(_) => [None, None],
            Phase::Bound => [renewal, rebinding],
            Phase::Checking(check) => [retry(&check.exchange), self.patience(check)],
            Phase::Renewing(exchange) => [retry(exchange), rebinding],
            Phase::Rebinding(exchange) => [retry(exchange), None],
        };
        let announcement = self.announcing.at().map(|at| (at, Wakeup::Announcement));
        let gateway = self.gateway_at().map(|at| (at, Wakeup::Gateway));
        phase.into_iter().chain([announcement, gateway]).flatten().collect()
    }

    fn patience(&self, check: &Check) -> Option<(Instant, Wakeup)> {
        check.deadline(&self.lease).map(|at| (at, Wakeup::Patience))
    }
}
