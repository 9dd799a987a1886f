//! What servers' words lead to. Only an answer to the question that is being asked leads anywhere.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::outbox::Exchange;
use super::{Client, Holding, Offer, Phase, Soliciting, State, claim};
use crate::dhcp6::event::{Cause, Notice, Resource};
use crate::dhcp6::lease::{Lease, Lent};
use crate::dhcp6::message::Claim;
use crate::dhcp6::reply::{self, Item, Kind, Reply, Status, Terms};
use crate::dhcp6::timing::Pattern;
use crate::time::Instant;

/// A server with this preference is taken at once (RFC 8415 section 18.2.1).
const TAKE_ME: u8 = 255;
/// The wait after a server has refused for the second time in a row what it had offered; doubled each time.
const REFUSAL_WAIT: Duration = Duration::from_secs(1);
const LONGEST_REFUSAL_WAIT: Duration = Duration::from_secs(64);

impl Client {
    pub(super) fn received(&mut self, now: Instant, payload: &[u8], from: Ipv6Addr) {
        if !self.out.linked {
            return;
        }
        let Some(mut reply) = self.out.addressed(|to| reply::read(payload, to)) else { return };
        let beside = match &self.state {
            State::Soliciting(soliciting) => soliciting.beside.is_some_and(|beside| beside.xid == reply.xid),
            State::Released
            | State::Init { .. }
            | State::Requesting(..)
            | State::Holding(_)
            | State::Declining(..)
            | State::Informing(_)
            | State::Informed { .. } => false,
        };
        if beside {
            return self.informed_beside(now, reply, from);
        }
        if self.exchange().is_none_or(|exchange| exchange.tries == 0 || exchange.xid != reply.xid) {
            return;
        }
        if !self.out.options.delegation {
            reply.terms.prefixes.clear();
        }
        // RFC 8415 section 18.2.9: also of a server that is not taken.
        self.longest_solicit = reply.longest_solicit.unwrap_or(self.longest_solicit);
        self.longest_inform = reply.longest_inform.unwrap_or(self.longest_inform);
        if let Some(why) = reply.terms.refused
            && reply.terms.is_empty()
            && !std::mem::replace(&mut self.refusal_told, true)
        {
            self.notices.push_back(Notice::Refused { from, why });
        }
        match &self.state {
            State::Released | State::Init { .. } | State::Informed { .. } => {}
            State::Soliciting(_) => self.offered(now, reply, from),
            State::Requesting(_, offer) => {
                if reply.kind == Kind::Reply && reply.server == offer.server {
                    self.granted(now, reply, from);
                }
            }
            State::Holding(_) if reply.kind == Kind::Reply => self.answered(now, reply, from),
            State::Holding(_) => {}
            State::Declining(_, _, server) => {
                if reply.kind == Kind::Reply && reply.server == *server {
                    self.begin_after_conflict(now);
                }
            }
            State::Informing(_) => {
                if reply.kind == Kind::Reply && reply.status == Status::Success {
                    self.informed(now, reply, from);
                }
            }
        }
    }

    /// The question that is being asked.
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match &self.state {
            State::Released | State::Init { .. } | State::Informed { .. } => None,
            State::Soliciting(soliciting) => Some(&soliciting.exchange),
            State::Requesting(exchange, _) | State::Declining(exchange, ..) | State::Informing(exchange) => {
                Some(exchange)
            }
            State::Holding(holding) => holding.phase.exchange(),
        }
    }

    // ---- nothing is there yet -----------------------------------------------------------------------------------

    /// RFC 8415 section 18.2.1: servers are collected until the first wait is over; after that, the first is taken.
    fn offered(&mut self, now: Instant, reply: Reply, from: Ipv6Addr) {
        let State::Soliciting(soliciting) = &mut self.state else { return };
        match reply.kind {
            // For good, at once.
            Kind::Reply if reply.rapid && reply.terms.lends() && reply.status.permits() => {
                self.obtained(now, reply, from);
            }
            Kind::Reply => {}
            Kind::Advertise if !reply.terms.lends() || !reply.status.permits() => {
                // One that lends nothing that can be used is passed over; it may know something else.
                soliciting.empty_handed |= reply.terms.refused.is_none();
                if soliciting.exchange.tries > 1 && soliciting.best.is_none() && soliciting.empty_handed {
                    self.inform(now);
                }
            }
            Kind::Advertise => {
                let Reply { server, preference, terms, .. } = reply;
                let offer = Offer { server, preference, claim: lent(&terms) };
                let at_once = preference == TAKE_ME || soliciting.exchange.tries > 1;
                soliciting.consider(offer, &self.wanted);
                if at_once {
                    self.request(now);
                }
            }
        }
    }

    /// Takes the best offer, if there is one.
    pub(super) fn request(&mut self, now: Instant) -> bool {
        let State::Soliciting(soliciting) = &mut self.state else { return false };
        let Some(offer) = soliciting.best.take() else { return false };
        self.state = State::Requesting(self.out.exchange(now, Pattern::REQUEST), offer);
        true
    }

    /// There are no addresses to be had: what else do servers know?
    pub(super) fn inform(&mut self, now: Instant) {
        self.state = State::Informing(self.out.exchange(now, Pattern::inform(self.longest_inform)));
    }

    fn informed(&mut self, now: Instant, reply: Reply, server: Ipv6Addr) {
        let until = now + reply.refresh.min(self.next_solicit());
        self.learn(reply, server);
        self.state = State::Informed { until };
    }

    /// Addresses are asked for on.
    fn informed_beside(&mut self, now: Instant, reply: Reply, server: Ipv6Addr) {
        if reply.kind != Kind::Reply || reply.status != Status::Success {
            return;
        }
        if let State::Soliciting(soliciting) = &mut self.state {
            soliciting.beside = None;
            soliciting.informed_until = Some(now + reply.refresh);
        }
        self.longest_inform = reply.longest_inform.unwrap_or(self.longest_inform);
        self.learn(reply, server);
    }

    fn learn(&mut self, reply: Reply, server: Ipv6Addr) {
        if self.information.as_ref() != Some(&reply.information) {
            self.notices.push_back(Notice::Informed { server });
        }
        self.information = Some(reply.information);
        self.silence_told = false;
    }

    /// The server's last word on what it has offered.
    fn granted(&mut self, now: Instant, reply: Reply, server: Ipv6Addr) {
        if reply.status.permits() && reply.terms.lends() {
            return self.obtained(now, reply, server);
        }
        match worst(&reply) {
            // It has failed, or has not understood: it is asked again, but not faster than if it were silent.
            Status::UnspecFail | Status::UseMulticast | Status::Other(_) => {}
            status @ (Status::Success
            | Status::NoAddrsAvail
            | Status::NoBinding
            | Status::NotOnLink
            | Status::NoPrefixAvail) => {
                self.notices.push_back(Notice::Refusal { server, status });
                self.begin_after_refusal(now);
            }
        }
    }

    /// A server that goes on offering what it refuses must not be asked as fast as it answers.
    fn begin_after_refusal(&mut self, now: Instant) {
        self.wanted = Claim::default();
        self.refusals = self.refusals.saturating_add(1);
        match self.refusals.checked_sub(2) {
            Some(more) => {
                let wait = REFUSAL_WAIT.saturating_mul(1 << more.min(6)).min(LONGEST_REFUSAL_WAIT);
                self.state = State::Init { until: now + wait };
            }
            None => self.begin(now),
        }
    }

    pub(super) fn begin_after_conflict(&mut self, now: Instant) {
        if self.conflicts >= super::MOST_CONFLICTS {
            self.state = State::Init { until: now + super::RATE_LIMIT };
        } else {
            self.begin(now);
        }
    }

    /// A lease that we did not have.
    fn obtained(&mut self, now: Instant, reply: Reply, from: Ipv6Addr) {
        let empty = Lease {
            server: reply.server.clone(),
            from,
            addresses: Vec::new(),
            prefixes: Vec::new(),
            untested: BTreeSet::new(),
            renews_at: None,
            rebinds_at: None,
        };
        self.state = State::Holding(Box::new(Holding { lease: empty, phase: Phase::Bound }));
        self.extend(now, reply, from);
    }

    // ---- there is a lease ---------------------------------------------------------------------------------------

    fn answered(&mut self, now: Instant, reply: Reply, from: Ipv6Addr) {
        let State::Holding(holding) = &mut self.state else { return };
        let claims_nothing = holding.lease.prefixes.is_empty();
        match &holding.phase {
            Phase::Unchecked | Phase::Bound => {}
            Phase::Confirming(_) if claims_nothing => self.confirmed(now, &reply, from),
            Phase::Renewing(_) if reply.server != holding.lease.server => {}
            Phase::Confirming(_) | Phase::Renewing(_) | Phase::Rebinding(_) => {
                self.prolonged(now, reply, from);
            }
            Phase::Reclaiming(_, server) => {
                if reply.server == *server {
                    self.reclaimed(now, reply, from);
                }
            }
        }
    }

    /// RFC 8415 section 18.2.10.3.
    fn confirmed(&mut self, now: Instant, reply: &Reply, server: Ipv6Addr) {
        match reply.status {
            Status::Success => {
                if let State::Holding(holding) = &mut self.state {
                    holding.phase = Phase::Bound;
                }
                self.notices.push_back(Notice::Confirmed { server });
                self.all_is_well();
            }
            Status::NotOnLink => self.lose(now, Cause::NotOnLink(server)),
            // It does not know; another may.
            Status::UnspecFail
            | Status::NoAddrsAvail
            | Status::NoBinding
            | Status::UseMulticast
            | Status::NoPrefixAvail
            | Status::Other(_) => {}
        }
    }

    /// RFC 8415 section 18.2.10.1.
    fn prolonged(&mut self, now: Instant, reply: Reply, from: Ipv6Addr) {
        match worst(&reply) {
            Status::NotOnLink => self.lose(now, Cause::NotOnLink(from)),
            Status::NoBinding => {
                let exchange = self.out.exchange(now, Pattern::REQUEST);
                if let State::Holding(holding) = &mut self.state {
                    holding.phase = Phase::Reclaiming(exchange, reply.server);
                }
            }
            Status::Success | Status::NoAddrsAvail | Status::NoPrefixAvail
                if reply.status.permits() && !reply.terms.is_empty() =>
            {
                self.extend(now, reply, from);
            }
            // Nothing that helps: it is asked again, or another is.
            Status::Success
            | Status::UnspecFail
            | Status::NoAddrsAvail
            | Status::UseMulticast
            | Status::NoPrefixAvail
            | Status::Other(_) => {}
        }
    }

    /// What a server that had forgotten the lease gives in its place: what it does not give is lost.
    fn reclaimed(&mut self, now: Instant, reply: Reply, from: Ipv6Addr) {
        match worst(&reply) {
            Status::UnspecFail | Status::UseMulticast | Status::Other(_) => return,
            Status::NotOnLink => return self.lose(now, Cause::NotOnLink(from)),
            Status::Success | Status::NoAddrsAvail | Status::NoBinding | Status::NoPrefixAvail => {}
        }
        if !reply.status.permits() || !reply.terms.lends() {
            return self.lose(now, Cause::Withdrawn(from));
        }
        let State::Holding(holding) = &mut self.state else { return };
        let given = lent(&reply.terms);
        let before = claim(&holding.lease);
        holding.lease.addresses.retain(|lent| given.addresses.contains(&lent.what));
        holding.lease.prefixes.retain(|lent| given.prefixes.contains(&lent.what));
        let lost = Claim {
            addresses: before.addresses.into_iter().filter(|one| !given.addresses.contains(one)).collect(),
            prefixes: before.prefixes.into_iter().filter(|one| !given.prefixes.contains(one)).collect(),
        };
        self.tell_lost(&lost, Cause::Withdrawn(from));
        self.extend(now, reply, from);
    }

    /// What a server lends is lent from now on. What it does not name stays as it was (RFC 8415 section 18.2.10.1).
    fn extend(&mut self, now: Instant, reply: Reply, from: Ipv6Addr) {
        let State::Holding(holding) = &mut self.state else { return };
        let lease = &mut holding.lease;
        (lease.server, lease.from) = (reply.server, from);
        let mut news = Vec::new();
        let fresh = merge(now, &mut lease.addresses, &reply.terms.addresses, |what, change| {
            news.push((Resource::Address(what), change));
        });
        merge(now, &mut lease.prefixes, &reply.terms.prefixes, |what, change| {
            news.push((Resource::Prefix(what), change));
        });
        let there = &lease.addresses;
        lease.untested.retain(|address| there.iter().any(|lent| lent.what == *address));
        if self.out.options.detect_conflicts {
            lease.untested.extend(fresh);
        }
        lease.schedule(now, reply.terms.times);
        holding.phase = Phase::Bound;
        let is_empty = lease.is_empty();
        self.notices.extend(news.into_iter().map(|(what, change)| match change {
            Change::New(lifetime) => Notice::Bound { what, server: from, lifetime },
            Change::Prolonged(lifetime) => Notice::Renewed { what, server: from, lifetime },
            Change::TakenBack => Notice::Lost { what, cause: Cause::Withdrawn(from) },
        }));
        self.information = Some(reply.information);
        self.wanted = Claim::default();
        self.all_is_well();
        if is_empty {
            self.information = None;
            self.begin(now);
        }
    }
}

impl Phase {
    pub(super) fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::Unchecked | Self::Bound => None,
            Self::Confirming(exchange)
            | Self::Renewing(exchange)
            | Self::Rebinding(exchange)
            | Self::Reclaiming(exchange, _) => Some(exchange),
        }
    }
}

impl Soliciting {
    /// Keeps the better offer, by RFC 8415 section 18.2.9: its preference, how much of what is asked for it has, and, where
    /// that is the same, whether it is what there was before. Of equals, the first.
    fn consider(&mut self, offer: Offer, wanted: &Claim) {
        let worth = |offer: &Offer| {
            let Claim { addresses, prefixes } = &offer.claim;
            let again = addresses.iter().any(|address| wanted.addresses.contains(address));
            (offer.preference, !addresses.is_empty(), !prefixes.is_empty(), again)
        };
        if self.best.as_ref().is_none_or(|best| worth(&offer) > worth(best)) {
            self.best = Some(offer);
        }
    }
}

/// What has become of an address or a prefix, with its valid lifetime.
enum Change {
    New(Option<Duration>),
    Prolonged(Option<Duration>),
    TakenBack,
}

/// Puts what a server says into a list, and returns what is new in it.
fn merge<T: Copy + PartialEq>(
    now: Instant,
    list: &mut Vec<Lent<T>>,
    items: &[Item<T>],
    mut tell: impl FnMut(T, Change),
) -> Vec<T> {
    let mut fresh = Vec::new();
    for item in items {
        let before = list.iter().position(|lent| lent.what == item.what);
        if item.valid.is_zero() {
            if let Some(before) = before {
                list.remove(before);
                tell(item.what, Change::TakenBack);
            }
            continue;
        }
        let until = |time: Duration| (time != Duration::MAX).then(|| now + time);
        let lent =
            Lent { what: item.what, preferred_until: until(item.preferred), valid_until: until(item.valid) };
        let lifetime = lent.remaining(now);
        match before.and_then(|before| list.get_mut(before)) {
            Some(before) => {
                *before = lent;
                tell(item.what, Change::Prolonged(lifetime));
            }
            None => {
                list.push(lent);
                fresh.push(item.what);
                tell(item.what, Change::New(lifetime));
            }
        }
    }
    fresh
}

/// What is lent, without what is taken back.
fn lent(terms: &Terms) -> Claim {
    Claim { addresses: lasting(&terms.addresses).collect(), prefixes: lasting(&terms.prefixes).collect() }
}

fn lasting<T: Copy>(items: &[Item<T>]) -> impl Iterator<Item = T> + '_ {
    items.iter().filter(|item| !item.valid.is_zero()).map(|item| item.what)
}

/// The status that matters most: of the message, else of one of its associations.
fn worst(reply: &Reply) -> Status {
    let Terms { of_addresses, of_prefixes, .. } = &reply.terms;
    let all = [reply.status, *of_addresses, *of_prefixes];
    let decisive = |status: &&Status| matches!(status, Status::NotOnLink | Status::NoBinding);
    let bad = |status: &&Status| **status != Status::Success;
    all.iter().find(decisive).or_else(|| all.iter().find(bad)).copied().unwrap_or_default()
}
