//! Everything that the client does because time has passed.

use std::time::Duration;

use super::{Client, Phase, State, claim, resources};
use crate::dhcp6::event::{Cause, Notice, StateName, Wakeup};
use crate::dhcp6::message::{Claim, Message};
use crate::dhcp6::timing::Pattern;
use crate::time::Instant;

/// So many steps may follow from each other at once. There are fewer; this is for a clock that stands still at its end.
const MOST_STEPS: usize = 8;
/// After so many unanswered tries, information is asked for beside addresses: 3 s.
const ALONE_TRIES: u32 = 3;
/// After so many unanswered tries, the world is told: 7 s.
const SILENT_TRIES: u32 = 4;
/// So often a lease without an end is asked to be renewed, where someone wanted that.
const ENDLESS_RENEWAL_TRIES: u32 = 4;
/// The first wait until addresses are looked for again, where there were none; doubled each time.
const SOLICIT_AGAIN: Duration = Duration::from_secs(60);

impl Client {
    /// When to call [`Client::handle_timeout`] if nothing happens before, and why; `None`: never.
    pub fn poll_timeout(&self) -> Option<(Instant, Wakeup)> {
        let expiry = self.lease().and_then(|lease| lease.expires_at()).map(|at| (at, Wakeup::Expiry));
        let due = self.out.linked.then(|| self.due()).into_iter().flatten();
        expiry.into_iter().chain(due).min()
    }

    /// What a client with a link waits for.
    fn due(&self) -> Vec<(Instant, Wakeup)> {
        let retry = self.exchange().map(|exchange| (exchange.retry_at, Wakeup::Retransmission));
        let more = match &self.state {
            State::Released
            | State::Soliciting(_)
            | State::Requesting(..)
            | State::Declining(..)
            | State::Informing(_) => [None, None],
            State::Init { until } | State::Informed { until } => [Some((*until, Wakeup::Restart)), None],
            State::Holding(holding) => {
                let renewal = holding.lease.renews_at.map(|at| (at, Wakeup::Renewal));
                let rebinding = holding.lease.rebinds_at.map(|at| (at, Wakeup::Rebinding));
                match &holding.phase {
                    Phase::Unchecked | Phase::Confirming(_) | Phase::Rebinding(_) | Phase::Reclaiming(..) => {
                        [None, None]
                    }
                    Phase::Bound => [renewal, rebinding],
                    Phase::Renewing(_) => [rebinding, None],
                }
            }
        };
        more.into_iter().chain([retry]).flatten().collect()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        self.expire(now);
        if !self.out.linked {
            return;
        }
        for _ in 0..MOST_STEPS {
            if !self.step(now) {
                break;
            }
        }
    }

    /// Nothing is used a moment longer than it is lent.
    pub(super) fn expire(&mut self, now: Instant) {
        let State::Holding(holding) = &mut self.state else { return };
        let before = claim(&holding.lease);
        let (addresses, prefixes) = holding.lease.take_expired(now);
        let expired = Claim { addresses, prefixes };
        self.notices.extend(resources(&expired).map(|what| Notice::Lost { what, cause: Cause::Expired }));
        holding.lease.untested.retain(|address| !expired.addresses.contains(address));
        if holding.lease.is_empty() {
            self.wanted = before;
            self.information = None;
            self.begin(now);
        }
    }

    /// When addresses are looked for again, where there were none.
    pub(super) fn next_solicit(&mut self) -> Duration {
        let wait = SOLICIT_AGAIN.saturating_mul(1 << self.fruitless.min(10));
        self.fruitless = self.fruitless.saturating_add(1);
        wait.min(self.longest_solicit)
    }

    /// Does what is due in the present state. Is something due in the next one?
    fn step(&mut self, now: Instant) -> bool {
        match &mut self.state {
            State::Released => false,
            State::Init { until } | State::Informed { until } => {
                let over = *until <= now;
                if over {
                    self.begin(now);
                }
                over
            }
            State::Soliciting(_) => self.solicit(now),
            State::Requesting(..) => self.ask_for_offer(now),
            State::Declining(..) => self.decline(now),
            State::Informing(_) => self.ask_for_information(now),
            State::Holding(holding) => match &holding.phase {
                Phase::Unchecked => false,
                Phase::Bound => self.begin_renewal(now),
                Phase::Confirming(_) => self.ask_whether_good(now),
                Phase::Renewing(_) => self.ask_server(now),
                Phase::Rebinding(_) => self.ask_any_server(now),
                Phase::Reclaiming(..) => self.ask_as_if_new(now),
            },
        }
    }

    fn solicit(&mut self, now: Instant) -> bool {
        let State::Soliciting(soliciting) = &mut self.state else { return false };
        if !soliciting.exchange.is_due(now) {
            return false;
        }
        if soliciting.best.is_some() {
            return self.request(now);
        }
        if soliciting.empty_handed {
            self.inform(now);
            return true;
        }
        soliciting.exchange.pattern = Pattern::solicit(self.longest_solicit);
        self.out.ask(now, &mut soliciting.exchange, &Message::Solicit(self.wanted.clone()));
        let silent = soliciting.exchange.tries == SILENT_TRIES && soliciting.informed_until.is_none();
        let is_known = soliciting.informed_until.is_some_and(|until| until > now);
        if soliciting.exchange.tries >= ALONE_TRIES && !is_known {
            let pattern = Pattern::inform(self.longest_inform);
            let mut beside = soliciting.beside.unwrap_or_else(|| self.out.exchange(now, pattern));
            self.out.ask(now, &mut beside, &Message::InformationRequest);
            soliciting.beside = Some(beside);
        }
        if silent {
            self.tell_silence(StateName::Soliciting);
        }
        false
    }

    fn ask_for_offer(&mut self, now: Instant) -> bool {
        let State::Requesting(exchange, offer) = &mut self.state else { return false };
        if exchange.is_over(now) {
            self.tell_silence(StateName::Requesting);
            self.begin(now);
            return true;
        }
        if exchange.is_due(now) {
            let message = Message::Request(offer.claim.clone(), offer.server.clone());
            self.out.ask(now, exchange, &message);
        }
        false
    }

    fn decline(&mut self, now: Instant) -> bool {
        let State::Declining(exchange, claim, server) = &mut self.state else { return false };
        if exchange.is_over(now) {
            self.begin_after_conflict(now);
            return true;
        }
        if exchange.is_due(now) {
            let message = Message::Decline(claim.clone(), server.clone());
            self.out.ask(now, exchange, &message);
        }
        false
    }

    fn ask_for_information(&mut self, now: Instant) -> bool {
        let State::Informing(exchange) = &mut self.state else { return false };
        if exchange.is_over(now) {
            self.tell_silence(StateName::Informing);
            self.state = State::Init { until: now + self.next_solicit() };
        } else if exchange.is_due(now) {
            self.out.ask(now, exchange, &Message::InformationRequest);
        }
        false
    }

    /// Who does not answer does not mind (RFC 8415 section 18.2.3).
    fn ask_whether_good(&mut self, now: Instant) -> bool {
        let State::Holding(holding) = &mut self.state else { return false };
        let message = holding.confirmation();
        let Phase::Confirming(exchange) = &mut holding.phase else { return false };
        if exchange.is_over(now) {
            holding.phase = Phase::Bound;
            self.tell_silence(StateName::Confirming);
            return true;
        }
        if exchange.is_due(now) {
            self.out.ask(now, exchange, &message);
        }
        false
    }

    fn begin_renewal(&mut self, now: Instant) -> bool {
        let State::Holding(holding) = &mut self.state else { return false };
        let is_over = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if is_over(holding.lease.rebinds_at) {
            holding.phase = Phase::Rebinding(self.out.exchange(now, Pattern::REBIND));
        } else if is_over(holding.lease.renews_at) {
            holding.phase = Phase::Renewing(self.out.exchange(now, Pattern::RENEW));
        } else {
            return false;
        }
        true
    }

    fn ask_server(&mut self, now: Instant) -> bool {
        let State::Holding(holding) = &mut self.state else { return false };
        let Phase::Renewing(exchange) = &mut holding.phase else { return false };
        if holding.lease.rebinds_at.is_some_and(|at| at <= now) {
            holding.phase = Phase::Rebinding(self.out.exchange(now, Pattern::REBIND));
            return true;
        }
        if !exchange.is_due(now) {
            return false;
        }
        if holding.lease.rebinds_at.is_none() && exchange.tries >= ENDLESS_RENEWAL_TRIES {
            holding.phase = Phase::Bound;
            self.tell_silence(StateName::Renewing);
            return false;
        }
        let message = Message::Renew(claim(&holding.lease), holding.lease.server.clone());
        self.out.ask(now, exchange, &message);
        false
    }

    fn ask_any_server(&mut self, now: Instant) -> bool {
        let State::Holding(holding) = &mut self.state else { return false };
        let message = Message::Rebind(claim(&holding.lease));
        let Phase::Rebinding(exchange) = &mut holding.phase else { return false };
        if exchange.is_due(now) {
            self.out.ask(now, exchange, &message);
            if exchange.tries > 1 {
                self.tell_silence(StateName::Rebinding);
            }
        }
        false
    }

    fn ask_as_if_new(&mut self, now: Instant) -> bool {
        let State::Holding(holding) = &mut self.state else { return false };
        let claim = claim(&holding.lease);
        let Phase::Reclaiming(exchange, server) = &mut holding.phase else { return false };
        if exchange.is_over(now) {
            holding.phase = Phase::Rebinding(self.out.exchange(now, Pattern::REBIND));
            return true;
        }
        if exchange.is_due(now) {
            let message = Message::Request(claim, server.clone());
            self.out.ask(now, exchange, &message);
        }
        false
    }
}
