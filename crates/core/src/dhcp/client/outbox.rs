//! What leaves the client: messages with the ids and times that belong to them.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::dhcp::event::Action;
use crate::dhcp::identity::Options;
use crate::dhcp::message::{self, Header, Message};
use crate::dhcp::timing::{Random, broadcast_wait};
use crate::mac::MacAddr;
use crate::time::Instant;

/// Who speaks, and what is still to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) options: Options,
    /// The bond's address, while it can carry frames.
    pub(super) mac: Option<MacAddr>,
    pub(super) actions: VecDeque<Action>,
    pub(super) random: Random,
}

/// A question to servers, asked until it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// Names it in answers.
    pub(super) xid: u32,
    /// When it began, for the field `secs`.
    began: Instant,
    /// What that field said last.
    secs: u16,
    /// From when on a lease runs that is given in answer to it.
    pub(super) asked: Instant,
    /// How often it was sent.
    pub(super) tries: u32,
    /// When it is to be sent again.
    pub(super) retry_at: Instant,
}

impl Exchange {
    /// Sends it again at once, as if for the first time.
    pub(super) fn repeat(&mut self, now: Instant) {
        self.tries = 0;
        self.retry_at = now;
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at <= now
    }

    /// The same transaction's next question (RFC 2131 section 4.4.1 has it keep `xid` and `secs`).
    pub(super) fn follow_up(self, now: Instant) -> Self {
        Self { asked: now, tries: 0, retry_at: now, ..self }
    }
}

impl Outbox {
    pub(super) fn new(options: Options, seed: u64) -> Self {
        Self { options, mac: None, actions: VecDeque::new(), random: Random::new(seed) }
    }

    /// A question that is due at once.
    pub(super) fn exchange(&mut self, now: Instant) -> Exchange {
        let xid = self.random.xid();
        Exchange { xid, began: now, secs: 0, asked: now, tries: 0, retry_at: now }
    }

    /// Asks everyone, and says when to ask again.
    pub(super) fn broadcast(&mut self, now: Instant, exchange: &mut Exchange, message: Message) {
        let keeps_secs = matches!(message, Message::Select { .. });
        if !keeps_secs {
            exchange.secs = u16::try_from(now.since(exchange.began).as_secs()).unwrap_or(u16::MAX);
        }
        exchange.tries = exchange.tries.saturating_add(1);
        exchange.retry_at = now + broadcast_wait(exchange.tries, &mut self.random);
        let payload = self.encode(exchange.xid, exchange.secs, message);
        self.actions.extend(payload.map(Action::Broadcast));
    }

    /// Makes the next try a question of its own, so that the lease begins with the one that was answered, and not with a
    /// first one that may be hours old.
    pub(super) fn ask_anew(&mut self, now: Instant, exchange: &mut Exchange) {
        exchange.xid = self.random.xid();
        exchange.asked = now;
    }

    /// Asks for more time: the server that is named, else everyone.
    pub(super) fn extend(
        &mut self,
        now: Instant,
        exchange: &mut Exchange,
        address: Ipv4Addr,
        server: Option<Ipv4Addr>,
        wait: Duration,
    ) {
        self.ask_anew(now, exchange);
        exchange.secs = u16::try_from(now.since(exchange.began).as_secs()).unwrap_or(u16::MAX);
        exchange.tries = exchange.tries.saturating_add(1);
        exchange.retry_at = now + wait;
        let payload = self.encode(exchange.xid, exchange.secs, Message::Extend { address });
        self.actions.extend(payload.map(|payload| match server {
            Some(to) => Action::Unicast { from: address, to, payload },
            None => Action::Broadcast(payload),
        }));
    }

    /// Tells everyone what nobody answers.
    pub(super) fn broadcast_once(&mut self, now: Instant, message: Message) {
        let exchange = self.exchange(now);
        let payload = self.encode(exchange.xid, 0, message);
        self.actions.extend(payload.map(Action::Broadcast));
    }

    /// Tells one server what it does not answer.
    pub(super) fn unicast(&mut self, from: Ipv4Addr, to: Ipv4Addr, message: Message) {
        let xid = self.random.xid();
        let payload = self.encode(xid, 0, message);
        self.actions.extend(payload.map(|payload| Action::Unicast { from, to, payload }));
    }

    /// Says something on the bond, from its own address.
    pub(super) fn frames(&mut self, frame: impl FnOnce(MacAddr) -> Vec<u8>) {
        self.actions.extend(self.mac.map(frame).map(Action::Frame));
    }

    /// `None` without a link: nothing is kept for later.
    fn encode(&self, xid: u32, secs: u16, message: Message) -> Option<Vec<u8>> {
        let header = Header { options: &self.options, mac: self.mac?, xid, secs };
        message::encode(header, message)
    }
}
