//! The state machine: which addresses and prefixes the bond has, and what is said to whom to get and to keep them.
//!
//! ```text
//!   Init ── Up ──▶ Soliciting ── advertise ──▶ Requesting ── reply ──▶ Bound
//!
//!   in             is said               what is heard, or happens                        leads to
//!   Soliciting     Solicit               an offer, after the first wait or at once        Requesting
//!                                        a reply for good (rapid commit)                  Bound
//!                                        servers without addresses                        Informing
//!   Requesting     Request               reply                                            Bound
//!                                        refusal, silence                                 Soliciting, or first Init
//!   Informing      Information-request   reply; silence                                   Informed; Init
//!   Informed                             time                                             Soliciting
//!   Declining      Decline               reply, silence                                   Soliciting, or first Init
//!  ╔═ Holding: there is something ══════════════════════════════════════════════════════════════════════╗
//!  ║ Unchecked                           Up                                               Confirming    ║
//!  ║ Confirming    Confirm, or Rebind    reply, silence                                   Bound         ║
//!  ║ Bound                               T1, or asked for; T2                    Renewing; Rebinding    ║
//!  ║ Renewing      Renew                 reply; T2                                  Bound; Rebinding    ║
//!  ║ Rebinding     Rebind                reply                                            Bound         ║
//!  ║ Reclaiming    Request               reply; silence                             Bound; Rebinding    ║
//!  ║ Confirming (Rebind), Renewing, Rebinding: "no such lease"                            Reclaiming    ║
//!  ║ any                                 Down                                             Unchecked     ║
//!  ║ any with a link                     failover, other network, wake-up                 Confirming    ║
//!  ╚════════════════════════════════════════════════════════════════════════════════════════════════════╝
//!   any of these                         not on link, withdrawn, expiry                   Soliciting
//!                                        somebody else has an address                     Declining
//! ```
//!
//! A Solicit is answered with a Reply at once by servers that know of rapid commit: it leads past Requesting. If nobody
//! answers it, information alone is asked for beside it, because some servers without addresses hear nothing else. `Release`
//! leads from everywhere to Released, `Renew` from there to Soliciting.
//!
//! Confirming is a Confirm, or where there are prefixes a Rebind (RFC 8415 section 18.2.12). What there is stays meanwhile,
//! and also if nobody answers.
//!
//! This file says what happens when something is told; `client/replies.rs`, what servers' words lead to;
//! `client/timers.rs`, what time does. Every event ends in the same `tick`, which sends what is due: an exchange begins by
//! being due at once.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::event::{Action, Cause, Event, Notice, Options, Resource, StateName};
use super::lease::{Information, Lease, Prefix, Remembered};
use super::message::{Claim, Message};
use super::timing::{LONGEST_WAIT, Pattern};
use crate::dhcp::Duid;
use crate::mac::MacAddr;
use crate::time::Instant;

mod outbox;
mod replies;
mod snapshot;
mod timers;

use outbox::{Exchange, Outbox};

/// After so many addresses in a row that somebody else had, the next one is waited for (as RFC 5227 has it for IPv4).
const MOST_CONFLICTS: u32 = 3;
/// For so long.
const RATE_LIMIT: Duration = Duration::from_secs(60);

/// The DHCPv6 client of one bond.
#[derive(Debug)]
pub struct Client {
    out: Outbox,
    state: State,
    /// What was ours: it is asked for again.
    wanted: Claim,
    /// What servers have told of beside addresses.
    information: Option<Information>,
    /// The longest waits, as servers want them.
    longest_solicit: Duration,
    longest_inform: Duration,
    /// How often in a row no address was to be had.
    fruitless: u32,
    /// How many servers in a row have refused what they had offered.
    refusals: u32,
    /// How many addresses in a row somebody else had.
    conflicts: u32,
    /// Was it said that nobody answers?
    silence_told: bool,
    /// Was it said that a server's message cannot be used?
    refusal_told: bool,
    /// The latest time that was told. It does not go back.
    now: Instant,
    notices: VecDeque<Notice>,
}

/// Is there a lease, and if not, how far is it?
#[derive(Clone, Debug)]
enum State {
    Released,
    /// Without a link, or before this time, nothing is done.
    Init {
        until: Instant,
    },
    Soliciting(Soliciting),
    Requesting(Exchange, Offer),
    Holding(Box<Holding>),
    /// This server is told that somebody else has these addresses.
    Declining(Exchange, Claim, Duid),
    Informing(Exchange),
    /// Until then.
    Informed {
        until: Instant,
    },
}

#[derive(Clone, Debug)]
struct Soliciting {
    exchange: Exchange,
    /// The best offer so far, while others are waited for.
    best: Option<Offer>,
    /// Has a server answered that has nothing to lend?
    empty_handed: bool,
    /// The question for information alone, once nobody has answered for a while: a server without addresses may answer
    /// nothing else (RFC 8415 section 18.3.1 does not have it say that it has none).
    beside: Option<Exchange>,
    /// Until when its answer is good.
    informed_until: Option<Instant>,
}

/// What a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    server: Duid,
    preference: u8,
    claim: Claim,
}

/// There is a lease.
#[derive(Clone, Debug)]
struct Holding {
    lease: Lease,
    phase: Phase,
}

/// What is under way about a lease that there is. Without a link it is [`Phase::Unchecked`], and only then.
#[derive(Clone, Debug)]
enum Phase {
    Unchecked,
    Confirming(Exchange),
    Bound,
    Renewing(Exchange),
    Rebinding(Exchange),
    /// This server knows nothing of the lease, and is asked for it as if it were new.
    Reclaiming(Exchange, Duid),
}

/// Where the bond is, by what was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whereabouts {
    /// In the same network as before, as far as known.
    Here,
    /// Perhaps in another.
    Anywhere,
}

impl Client {
    /// A client that does nothing yet: it waits for [`Event::Up`]. A remembered lease that still runs is its
    /// [`Client::lease`] at once, so that addresses which the bond still has are not taken away, and is checked first.
    ///
    /// `seed` should differ from host to host and from run to run.
    pub fn new(now: Instant, options: Options, seed: u64, remembered: Option<Remembered>) -> Self {
        let (state, information) = match remembered.and_then(|remembered| remembered.recall(now)) {
            Some((lease, information)) => {
                (State::Holding(Box::new(Holding { lease, phase: Phase::Unchecked })), Some(information))
            }
            None => (State::Init { until: now }, None),
        };
        Self {
            out: Outbox::new(options, seed),
            state,
            wanted: Claim::default(),
            information,
            longest_solicit: LONGEST_WAIT,
            longest_inform: LONGEST_WAIT,
            fruitless: 0,
            refusals: 0,
            conflicts: 0,
            silence_told: false,
            refusal_told: false,
            now,
            notices: VecDeque::new(),
        }
    }

    /// The options it works by.
    pub fn options(&self) -> &Options {
        &self.out.options
    }

    /// What the bond is to have now: also while it is being checked.
    pub fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Holding(holding) => Some(&holding.lease),
            State::Released
            | State::Init { .. }
            | State::Soliciting(_)
            | State::Requesting(..)
            | State::Declining(..)
            | State::Informing(_)
            | State::Informed { .. } => None,
        }
    }

    /// What servers have told of beside addresses, whether there are any or not.
    pub fn information(&self) -> Option<&Information> {
        self.information.as_ref()
    }

    /// The lease, with what belongs to it, in a form that can be written down.
    pub fn remembered(&self, now: Instant) -> Option<Remembered> {
        let information = self.information.clone().unwrap_or_default();
        self.lease().map(|lease| lease.remembered(now, information))
    }

    /// The next thing that the caller has to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.out.actions.pop_front()
    }

    /// The next thing that the world should be told.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Takes note of what happened. Drain the actions and the notices afterwards.
    pub fn handle(&mut self, now: Instant, event: Event<'_>) {
        let now = self.advance(now);
        self.expire(now);
        match event {
            Event::Up { mac } => self.up(now, mac),
            Event::Down => self.down(now),
            Event::FailedOver => self.moved(now, Whereabouts::Here),
            Event::NetworkChanged | Event::Resumed => self.moved(now, Whereabouts::Anywhere),
            Event::Received { payload, from } => self.received(now, payload, from),
            Event::Unique(address) => self.unique(address),
            Event::Duplicate(address) => self.duplicate(now, address),
            Event::Configure(options) => self.configure(now, options),
            Event::Renew => self.renew(now),
            Event::Release => self.release(now),
        }
        self.tick(now);
    }

    /// The time that [`Client::poll_timeout`] named has come (or any other time: it does no harm).
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance(now);
        self.tick(now);
    }

    fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    // ---- events -------------------------------------------------------------------------------------------------

    /// What a server has lent is lent to an identity, whatever hardware address the bond has.
    fn up(&mut self, now: Instant, mac: MacAddr) {
        self.out.linked(mac);
        self.moved(now, Whereabouts::Here);
    }

    /// A lease outlives its link: nobody can tell yet whether the network is gone, too.
    fn down(&mut self, now: Instant) {
        self.out.linked = false;
        match &mut self.state {
            State::Released | State::Init { .. } | State::Informed { .. } => {}
            State::Soliciting(_) | State::Requesting(..) | State::Declining(..) | State::Informing(_) => {
                self.state = State::Init { until: now };
            }
            State::Holding(holding) => holding.phase = Phase::Unchecked,
        }
    }

    /// Frames take another way from now on: what was said on the old one may be lost.
    fn moved(&mut self, now: Instant, whereabouts: Whereabouts) {
        match (&mut self.state, whereabouts) {
            (State::Released, _) | (State::Init { .. } | State::Informed { .. }, Whereabouts::Here) => {}
            (State::Holding(holding), _) if self.out.linked => holding.confirm(now, &mut self.out),
            (State::Holding(_), _) => {}
            // What is waited out concerns servers that may not be here.
            (State::Init { .. } | State::Informed { .. } | State::Soliciting(_), _)
            | (State::Requesting(..) | State::Declining(..) | State::Informing(_), Whereabouts::Anywhere) => {
                self.begin(now);
            }
            (
                State::Requesting(exchange, _) | State::Declining(exchange, ..) | State::Informing(exchange),
                Whereabouts::Here,
            ) => exchange.repeat(now),
        }
    }

    fn unique(&mut self, address: Ipv6Addr) {
        if let State::Holding(holding) = &mut self.state {
            holding.lease.untested.remove(&address);
            if holding.lease.untested.is_empty() {
                self.conflicts = 0;
            }
        }
    }

    /// Somebody else has an address: its server is told (RFC 8415 section 18.2.8), and all else is asked for anew, too.
    fn duplicate(&mut self, now: Instant, address: Ipv6Addr) {
        let Some(lease) =
            self.lease().filter(|lease| lease.addresses.iter().any(|lent| lent.what == address))
        else {
            return;
        };
        let server = lease.server.clone();
        self.lose(now, Cause::Conflict);
        self.conflicts = self.conflicts.saturating_add(1);
        if self.out.linked {
            let claim = Claim { addresses: vec![address], prefixes: Vec::new() };
            self.state = State::Declining(self.out.exchange(now, Pattern::DECLINE), claim, server);
        }
    }

    fn configure(&mut self, now: Instant, options: Options) {
        let before = std::mem::replace(&mut self.out.options, options);
        let after = &self.out.options;
        let concerns = (&before.client_id, before.delegation, &before.hostname)
            != (&after.client_id, after.delegation, &after.hostname);
        if !after.detect_conflicts
            && let State::Holding(holding) = &mut self.state
        {
            holding.lease.untested.clear();
        }
        if before.delegation && !self.out.options.delegation {
            self.lose_prefixes(now);
        }
        match &self.state {
            State::Released => {}
            // Servers learn of it with the next message; what is asked for more is asked for with it.
            State::Holding(_) if concerns => self.renew(now),
            State::Init { .. }
            | State::Soliciting(_)
            | State::Requesting(..)
            | State::Declining(..)
            | State::Informing(_)
            | State::Informed { .. }
                if concerns =>
            {
                self.begin(now);
            }
            State::Holding(_)
            | State::Init { .. }
            | State::Soliciting(_)
            | State::Requesting(..)
            | State::Declining(..)
            | State::Informing(_)
            | State::Informed { .. } => {}
        }
    }

    fn renew(&mut self, now: Instant) {
        match &mut self.state {
            State::Holding(holding) => match &mut holding.phase {
                Phase::Unchecked => {}
                Phase::Bound => holding.phase = Phase::Renewing(self.out.exchange(now, Pattern::RENEW)),
                Phase::Confirming(exchange)
                | Phase::Renewing(exchange)
                | Phase::Rebinding(exchange)
                | Phase::Reclaiming(exchange, _) => exchange.repeat(now),
            },
            State::Released
            | State::Init { .. }
            | State::Soliciting(_)
            | State::Requesting(..)
            | State::Declining(..)
            | State::Informing(_)
            | State::Informed { .. } => self.begin(now),
        }
    }

    fn release(&mut self, now: Instant) {
        if let Some(lease) = self.lease() {
            let message = Message::Release(claim(lease), lease.server.clone());
            self.out.tell(now, &message);
            self.lose(now, Cause::Released);
        }
        self.information = None;
        self.wanted = Claim::default();
        self.state = State::Released;
    }

    // ---- transitions --------------------------------------------------------------------------------------------

    /// Looks for servers, as soon as there is a link.
    fn begin(&mut self, now: Instant) {
        self.state = if self.out.linked {
            let exchange = self.out.exchange(now, Pattern::solicit(self.longest_solicit));
            State::Soliciting(Soliciting {
                exchange,
                best: None,
                empty_handed: false,
                beside: None,
                informed_until: None,
            })
        } else {
            State::Init { until: now }
        };
    }

    /// There is nothing more. It is looked for again at once.
    fn lose(&mut self, now: Instant, cause: Cause) {
        let Some(lease) = self.lease() else { return };
        let lost = claim(lease);
        self.tell_lost(&lost, cause);
        self.wanted = match cause {
            Cause::Expired => lost,
            Cause::NotOnLink(_) | Cause::Withdrawn(_) | Cause::Released => Claim::default(),
            Cause::Conflict => Claim { addresses: Vec::new(), ..lost },
        };
        self.information = None;
        self.begin(now);
    }

    /// They are not wanted any more.
    fn lose_prefixes(&mut self, now: Instant) {
        self.wanted.prefixes.clear();
        let State::Holding(holding) = &mut self.state else { return };
        let prefixes: Vec<Prefix> = holding.lease.prefixes.drain(..).map(|lent| lent.what).collect();
        let is_empty = holding.lease.is_empty();
        self.tell_lost(&Claim { addresses: Vec::new(), prefixes }, Cause::Released);
        if is_empty {
            self.begin(now);
        }
    }

    fn tell_lost(&mut self, lost: &Claim, cause: Cause) {
        self.notices.extend(resources(lost).map(|what| Notice::Lost { what, cause }));
    }

    /// Servers answer, and what they say can be used.
    fn all_is_well(&mut self) {
        self.fruitless = 0;
        self.refusals = 0;
        self.silence_told = false;
        self.refusal_told = false;
    }

    fn tell_silence(&mut self, state: StateName) {
        if !std::mem::replace(&mut self.silence_told, true) {
            self.notices.push_back(Notice::NoAnswer { state });
        }
    }
}

impl Holding {
    /// Asks servers whether this is good here.
    fn confirm(&mut self, now: Instant, out: &mut Outbox) {
        self.phase = Phase::Confirming(out.exchange(now, Pattern::CONFIRM));
    }

    /// The question to that: who delegates a prefix is asked for it (RFC 8415 section 18.2.12), addresses alone need only be
    /// right for the link.
    fn confirmation(&self) -> Message {
        let claim = claim(&self.lease);
        if claim.prefixes.is_empty() { Message::Confirm(claim) } else { Message::Rebind(claim) }
    }
}

/// What a lease is about.
fn claim(lease: &Lease) -> Claim {
    Claim {
        addresses: lease.addresses.iter().map(|lent| lent.what).collect(),
        prefixes: lease.prefixes.iter().map(|lent| lent.what).collect(),
    }
}

fn resources(claim: &Claim) -> impl Iterator<Item = Resource> + '_ {
    let addresses = claim.addresses.iter().copied().map(Resource::Address);
    addresses.chain(claim.prefixes.iter().copied().map(Resource::Prefix))
}
