//! What leaves the client: messages with the ids and times that belong to them.

use std::collections::VecDeque;
use std::time::Duration;

use crate::dhcp::timing::Random;
use crate::dhcp::{ClientId, Duid, LONGEST_HOSTNAME};
use crate::dhcp6::event::{Action, Options};
use crate::dhcp6::message::{self, Header, Message};
use crate::dhcp6::reply::Addressee;
use crate::dhcp6::timing::Pattern;
use crate::mac::MacAddr;
use crate::time::Instant;

/// Who speaks, and what is still to be sent.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) options: Options,
    /// Can the bond carry frames?
    pub(super) linked: bool,
    /// The first hardware address that the bond had: an identity that is made of it does not change with it (RFC 8415
    /// section 11).
    mac: MacAddr,
    pub(super) actions: VecDeque<Action>,
    pub(super) random: Random,
}

/// A question to servers, asked until it is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// Names it in answers; 24 bits.
    pub(super) xid: u32,
    /// How it is repeated.
    pub(super) pattern: Pattern,
    /// When it began.
    began: Instant,
    /// How often it was sent.
    pub(super) tries: u32,
    /// The last wait.
    wait: Option<Duration>,
    /// When it is to be sent again.
    pub(super) retry_at: Instant,
}

impl Exchange {
    /// Sends it again at once, as if for the first time.
    pub(super) fn repeat(&mut self, now: Instant) {
        *self = Self { began: now, tries: 0, wait: None, retry_at: now, ..*self };
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at <= now
    }

    /// It was asked often enough, and long enough.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.is_due(now)
            && (self.pattern.tries.is_some_and(|most| self.tries >= most)
                || self.pattern.patience.is_some_and(|patience| now.since(self.began) >= patience))
    }
}

impl Outbox {
    pub(super) fn new(options: Options, seed: u64) -> Self {
        Self {
            options,
            linked: false,
            mac: MacAddr::default(),
            actions: VecDeque::new(),
            random: Random::new(seed),
        }
    }

    pub(super) fn linked(&mut self, mac: MacAddr) {
        self.linked = true;
        if self.mac == MacAddr::default() {
            self.mac = mac;
        }
    }

    /// The identity of the host, and that of the bond's addresses and prefixes.
    pub(super) fn identity(&self) -> (Duid, u32) {
        match &self.options.client_id {
            ClientId::Duid { iaid, duid } => (duid.clone(), *iaid),
            ClientId::Mac => {
                let [_, _, a, b, c, d] = self.mac.0;
                (Duid::from_mac(self.mac), u32::from_be_bytes([a, b, c, d]))
            }
        }
    }

    /// Is this an answer to us? `read` is told who we are.
    pub(super) fn addressed<T>(&self, read: impl FnOnce(Addressee<'_>) -> T) -> T {
        let (duid, iaid) = self.identity();
        read(Addressee { client_id: duid.octets(), iaid })
    }

    /// A question that is due at once.
    pub(super) fn exchange(&mut self, now: Instant, pattern: Pattern) -> Exchange {
        // RFC 8415 section 8: 24 bits.
        let xid = self.random.xid() >> 8;
        Exchange { xid, pattern, began: now, tries: 0, wait: None, retry_at: now }
    }

    /// Asks everyone, and says when to ask again.
    pub(super) fn ask(&mut self, now: Instant, exchange: &mut Exchange, message: &Message) {
        let wait = exchange.pattern.wait(exchange.wait, &mut self.random);
        exchange.tries = exchange.tries.saturating_add(1);
        exchange.wait = Some(wait);
        exchange.retry_at = now + wait;
        if let Some(patience) = exchange.pattern.patience {
            exchange.retry_at = exchange.retry_at.min(exchange.began + patience);
        }
        let hundredths = now.since(exchange.began).as_millis() / 10;
        self.send(exchange.xid, u16::try_from(hundredths).unwrap_or(u16::MAX), message);
    }

    /// Says what no answer is waited for.
    pub(super) fn tell(&mut self, now: Instant, message: &Message) {
        let exchange = self.exchange(now, Pattern::DECLINE);
        self.send(exchange.xid, 0, message);
    }

    /// Nothing without a link: nothing is kept for later.
    fn send(&mut self, xid: u32, elapsed: u16, message: &Message) {
        let (duid, iaid) = self.identity();
        let hostname = self.options.hostname.as_deref();
        let header = Header {
            duid: &duid,
            iaid,
            hostname: hostname.filter(|name| !name.is_empty() && name.len() <= LONGEST_HOSTNAME),
            delegation: self.options.delegation,
            xid,
            elapsed,
        };
        let payload = message::encode(header, message).filter(|_| self.linked);
        self.actions.extend(payload.map(Action::Multicast));
    }
}
