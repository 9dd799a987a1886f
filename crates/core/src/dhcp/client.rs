//! The state machine: which address the bond has, and what is said to whom to get and to keep it.
//!
//! ```text
//!                     ┌────── nak, silence ──────┐
//!                     ▼                          │   ack         nobody has it
//!    Init ── Up ──▶ Selecting ──── offer ───▶ Requesting ───▶ Probing ───┐
//!     ▲               ▲                          │             │         │
//!     ◀───────────────┼──────────────────────────┼─────────────┘         │
//!     │ conflict:     │ nak, expiry,             └─ ack, without ────────┤
//!     │ decline       │ silence while Checking      detect_conflicts     ▼
//!   ╔═╧═══════════════╧═══════════════════════════════════════════════════════════╗
//!   ║ Holding: there is an address                                                ║
//!   ║                        ack, or the           T1, or                         ║
//!   ║            Up          same gateway          asked for         T2           ║
//!   ║  Unchecked ──▶ Checking ─────────▶ Bound ─────────▶ Renewing ──▶ Rebinding  ║
//!   ║      ▲             ▲                 ▲                 │ ack         │ ack  ║
//!   ║      │ Down        │ failover,       └─────────────────┴─────────────┘      ║
//!   ║      │ (from all)  │ other network,                                         ║
//!   ║      │             │ wake-up (from all)                                     ║
//!   ╚══════╧═════════════╧════════════════════════════════════════════════════════╝
//! ```
//!
//! `Release` leads from everywhere to Released, `Renew` from there to Selecting. The names are those of RFC 2131
//! figure 5; Checking is its REBOOTING, with the test of RFC 4436 beside it; Probing is RFC 5227's.
//!
//! This file says what happens when something is told; `client/replies.rs`, what servers' words lead to;
//! `client/neighbours.rs`, what ARP does; `client/timers.rs`, what time does. Every event ends in the same `tick`,
//! which sends what is due: an exchange begins by being due at once.

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::event::{Action, Cause, Event, Notice, StateName};
use super::identity::Options;
use super::lease::{Lease, Remembered};
use super::message::Message;
use super::timing::Repeat;
use crate::mac::MacAddr;
use crate::time::Instant;

mod neighbours;
mod outbox;
mod replies;
mod snapshot;
mod timers;

use neighbours::Probing;
use outbox::{Exchange, Outbox};

/// How long the gateway and servers may be silent before an address is given up, where the bond is likely to be
/// elsewhere: long enough for an access point to let a new station's frames through.
const PATIENCE_ANYWHERE: Duration = Duration::from_secs(10);
/// And where it should be in the same network: long enough for a switch's spanning tree, by default 30 s.
const PATIENCE_HERE: Duration = Duration::from_secs(35);
/// How often the gateway is asked while an address is checked, and the time between.
const GATEWAY_QUESTIONS: u32 = 20;
const GATEWAY_INTERVAL: Duration = Duration::from_millis(500);
/// The wait after a declined address (RFC 2131 section 3.1).
const DECLINE_WAIT: Duration = Duration::from_secs(10);
/// After so many conflicts, it is a minute (RFC 5227 section 2.1.1: `MAX_CONFLICTS`, `RATE_LIMIT_INTERVAL`).
const MOST_CONFLICTS: u32 = 10;
const RATE_LIMIT: Duration = Duration::from_secs(60);

/// The DHCP client of one bond.
#[derive(Debug)]
pub struct Client {
    out: Outbox,
    /// Our own ports' addresses.
    own: BTreeSet<MacAddr>,
    state: State,
    /// The address that was ours: it is asked for again.
    wanted: Option<Ipv4Addr>,
    /// How many servers in a row have refused what they had offered.
    naks: u32,
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

/// Is there an address, and if not, how far is it?
#[derive(Clone, Debug)]
enum State {
    Released,
    /// Without a link, or before this time, nothing is done.
    Init {
        until: Instant,
    },
    Selecting(Selecting),
    Requesting(Requesting),
    Probing(Box<Probing>),
    Holding(Box<Holding>),
}

#[derive(Clone, Debug)]
struct Selecting {
    exchange: Exchange,
    /// An offer of another address than the one that is wanted, and until when a better one is waited for.
    second_best: Option<(Offer, Instant)>,
}

#[derive(Clone, Debug)]
struct Requesting {
    exchange: Exchange,
    offer: Offer,
}

/// What a server offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    address: Ipv4Addr,
    server: Ipv4Addr,
}

/// There is an address.
#[derive(Clone, Debug)]
struct Holding {
    lease: Lease,
    phase: Phase,
    /// A new address is announced (RFC 5227 section 2.3).
    announcing: Repeat,
    /// The gateway is asked who it is, to recognise the network by.
    learning: Repeat,
    /// When the address was defended last.
    defended: Option<Instant>,
}

/// What is under way about an address that there is. Without a link it is [`Phase::Unchecked`], and only then; whatever
/// is told meanwhile of where the bond is counts when there is one again.
#[derive(Clone, Debug)]
enum Phase {
    Unchecked(Whereabouts),
    Checking(Check),
    Bound,
    Renewing(Exchange),
    Rebinding(Exchange),
}

/// Is the address good where the bond is now?
#[derive(Clone, Debug)]
struct Check {
    /// With servers.
    exchange: Exchange,
    /// With the gateway.
    asking: Repeat,
    began: Instant,
    whereabouts: Whereabouts,
    /// Has the gateway answered as before? Servers are then asked a few times more, because they know better.
    confirmed: bool,
}

impl Check {
    /// Until when an answer is waited for; `None`: for ever, because silence is no sign where nobody could have answered,
    /// or because there was an answer.
    fn deadline(&self, lease: &Lease) -> Option<Instant> {
        let patience = match self.whereabouts {
            Whereabouts::Here => PATIENCE_HERE,
            Whereabouts::Anywhere => PATIENCE_ANYWHERE,
        };
        let someone = lease.parameters.gateway().is_some() && lease.gateway_mac.is_some();
        (someone && !self.confirmed).then(|| self.began + patience)
    }
}

/// Where the bond is, by what was told. The greater, the more doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Whereabouts {
    /// In the same network as before, as far as known.
    Here,
    /// Perhaps in another.
    Anywhere,
}

impl Client {
    /// A client that does nothing yet: it waits for [`Event::Up`]. A remembered lease that still runs is its
    /// [`Client::lease`] at once, so that an address which the bond still has is not taken away, and is checked first.
    ///
    /// `seed` should differ from host to host and from run to run.
    pub fn new(now: Instant, options: Options, seed: u64, remembered: Option<Remembered>) -> Self {
        let state = match remembered.and_then(|remembered| remembered.recall(now)) {
            // Between two runs, a laptop may have been carried anywhere.
            Some(lease) => {
                let phase = Phase::Unchecked(Whereabouts::Anywhere);
                State::Holding(Box::new(Holding::new(lease, phase)))
            }
            None => State::Init { until: now },
        };
        Self {
            out: Outbox::new(options, seed),
            own: BTreeSet::new(),
            state,
            wanted: None,
            naks: 0,
            conflicts: 0,
            silence_told: false,
            refusal_told: false,
            now,
            notices: VecDeque::new(),
        }
    }

    /// The bond has this address already, from elsewhere: while there is no lease, servers are asked for it first.
    pub fn prefer(&mut self, address: Ipv4Addr) {
        self.wanted = Some(address);
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
            | State::Selecting(_)
            | State::Requesting(_)
            | State::Probing(_) => None,
        }
    }

    /// Are ARP frames on the bond to be handed up ([`Event::Frame`])? While there is an address, always: RFC 5227
    /// section 2.4 has it watched over.
    pub fn is_listening_to_arp(&self) -> bool {
        self.out.mac.is_some() && matches!(self.state, State::Probing(_) | State::Holding(_))
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
            Event::Frame(frame) => self.frame_heard(now, frame),
            Event::Own(own) => self.own = own.into_iter().collect(),
            Event::Configure(options) => self.configure(now, options),
            Event::Renew => self.renew(now),
            Event::Release => self.release(),
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

    fn up(&mut self, now: Instant, mac: MacAddr) {
        let before = self.out.mac.replace(mac);
        if before.is_some_and(|before| before != mac) && self.out.options.chaddr.is_none() {
            self.became_another(now);
        } else {
            self.moved(now, Whereabouts::Here);
        }
    }

    /// An address outlives its link: nobody can tell yet whether the network is gone, too.
    fn down(&mut self, now: Instant) {
        self.out.mac = None;
        match &mut self.state {
            State::Released | State::Init { .. } => {}
            State::Selecting(_) | State::Requesting(_) | State::Probing(_) => {
                self.state = State::Init { until: now };
            }
            State::Holding(holding) => holding.phase = Phase::Unchecked(holding.doubt()),
        }
    }

    /// Frames take another way from now on: what was said on the old one may be lost.
    fn moved(&mut self, now: Instant, whereabouts: Whereabouts) {
        let linked = self.out.mac.is_some();
        match (&mut self.state, whereabouts) {
            (State::Released, _) | (State::Init { .. }, Whereabouts::Here) => {}
            // What is waited out concerns servers that may not be here.
            (State::Init { .. }, Whereabouts::Anywhere) => self.begin(now),
            (State::Holding(holding), _) if !linked => {
                holding.phase = Phase::Unchecked(holding.doubt().max(whereabouts));
            }
            (State::Selecting(_), _) | (State::Requesting(_) | State::Probing(_), Whereabouts::Anywhere) => {
                self.begin(now);
            }
            (State::Requesting(requesting), Whereabouts::Here) => requesting.exchange.repeat(now),
            (State::Probing(_), Whereabouts::Here) => {}
            (State::Holding(holding), _) => holding.check(now, whereabouts, &mut self.out),
        }
    }

    /// A server may take us for another client than the one that it has just talked to. An address stays ours until it
    /// says so.
    fn became_another(&mut self, now: Instant) {
        match &self.state {
            State::Released | State::Init { .. } => {}
            State::Selecting(_) | State::Requesting(_) | State::Probing(_) => self.begin(now),
            State::Holding(_) => self.moved(now, Whereabouts::Here),
        }
    }

    fn configure(&mut self, now: Instant, options: Options) {
        let before = std::mem::replace(&mut self.out.options, options);
        if !before.is_same_client(&self.out.options) {
            self.became_another(now);
        } else if before.hostname != self.out.options.hostname {
            match &self.state {
                // Servers learn the name from the next message.
                State::Holding(_) => self.renew(now),
                State::Released
                | State::Init { .. }
                | State::Selecting(_)
                | State::Requesting(_)
                | State::Probing(_) => {}
            }
        }
    }

    fn renew(&mut self, now: Instant) {
        match &mut self.state {
            State::Released | State::Init { .. } | State::Selecting(_) | State::Requesting(_) => {
                self.begin(now);
            }
            State::Probing(_) => {}
            State::Holding(holding) => match &mut holding.phase {
                Phase::Unchecked(_) => {}
                Phase::Bound => holding.phase = Phase::Renewing(self.out.exchange(now)),
                Phase::Checking(Check { exchange, .. })
                | Phase::Renewing(exchange)
                | Phase::Rebinding(exchange) => exchange.repeat(now),
            },
        }
    }

    fn release(&mut self) {
        if let Some(lease) = self.lease() {
            let (address, server) = (lease.parameters.address, lease.server);
            self.out.unicast(address, server, Message::Release { address, server });
            self.notices.push_back(Notice::Lost { address, cause: Cause::Released });
        }
        self.wanted = None;
        self.state = State::Released;
    }

    // ---- transitions --------------------------------------------------------------------------------------------

    /// Looks for servers, as soon as there is a link.
    fn begin(&mut self, now: Instant) {
        self.state = match self.out.mac {
            Some(_) => State::Selecting(Selecting { exchange: self.out.exchange(now), second_best: None }),
            None => State::Init { until: now },
        };
    }

    /// There is a new address.
    fn bind(&mut self, now: Instant, lease: Lease) {
        let mut holding = Holding::new(lease, Phase::Bound);
        holding.announcing = neighbours::announcements(now);
        holding.learn(now);
        self.notices.push_back(Notice::Bound {
            address: holding.lease.parameters.address,
            prefix_len: holding.lease.parameters.prefix_len,
            server: holding.lease.server,
            lifetime: holding.lease.lifetime.map(|lifetime| lifetime.total),
        });
        self.state = State::Holding(Box::new(holding));
        self.conflicts = 0;
        self.all_is_well();
    }

    /// There is an address no more. Another is looked for at once.
    fn lose(&mut self, now: Instant, cause: Cause) {
        let Some(address) = self.lease().map(|lease| lease.parameters.address) else { return };
        self.notices.push_back(Notice::Lost { address, cause });
        self.wanted = match cause {
            Cause::Expired | Cause::Elsewhere => Some(address),
            Cause::Nak(_) | Cause::Conflict(_) | Cause::Released => None,
        };
        self.begin(now);
    }

    /// Somebody else has the address: its server is told, and gets time to find another (RFC 2131 section 3.1).
    fn decline(&mut self, now: Instant, address: Ipv4Addr, server: Ipv4Addr, by: MacAddr) {
        self.out.broadcast_once(now, Message::Decline { address, server });
        self.lose(now, Cause::Conflict(by));
        self.wanted = None;
        self.conflicts = self.conflicts.saturating_add(1);
        let wait = if self.conflicts > MOST_CONFLICTS { RATE_LIMIT } else { DECLINE_WAIT };
        self.state = State::Init { until: now + wait };
    }

    /// Servers answer, and what they say can be used.
    fn all_is_well(&mut self) {
        self.naks = 0;
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
    fn new(lease: Lease, phase: Phase) -> Self {
        Self { lease, phase, announcing: Repeat::NEVER, learning: Repeat::NEVER, defended: None }
    }

    /// Asks servers and the gateway whether the address is good here.
    fn check(&mut self, now: Instant, whereabouts: Whereabouts, out: &mut Outbox) {
        let whereabouts = self.doubt().max(whereabouts);
        // Who the gateway is where we are now does not tell who it was.
        self.learning = Repeat::NEVER;
        self.phase = Phase::Checking(Check {
            exchange: out.exchange(now),
            asking: Repeat::new(GATEWAY_QUESTIONS, now, GATEWAY_INTERVAL),
            began: now,
            whereabouts,
            confirmed: false,
        });
    }

    /// What is known of where the bond is, apart from what is new.
    fn doubt(&self) -> Whereabouts {
        match &self.phase {
            Phase::Unchecked(whereabouts) => *whereabouts,
            Phase::Checking(check) if !check.confirmed => check.whereabouts,
            Phase::Checking(_) | Phase::Bound | Phase::Renewing(_) | Phase::Rebinding(_) => Whereabouts::Here,
        }
    }

    /// Asks the gateway who it is, to recognise the network by.
    fn learn(&mut self, now: Instant) {
        self.learning = neighbours::gateway_questions(now);
    }
}
