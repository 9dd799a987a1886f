//! A client and the network it is plugged into, in virtual time.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use dhcproto::v6::{Message, MessageType};
use dhcproto::{Decodable, Decoder};
use hitless_core::dhcp::{ClientId, Duid};
use hitless_core::dhcp6::{Action, Client, Event, Notice, Options, Prefix, Remembered, StateName};
use hitless_core::mac::MacAddr;
use hitless_core::time::Instant;

use crate::random::Random;
use crate::server::Server;

pub(crate) const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const OTHER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub(crate) const IAID: u32 = 7;

/// So many wake-ups at one point in time are a busy loop.
const MOST_SPINS: u32 = 20;

pub(crate) fn options() -> Options {
    Options {
        client_id: ClientId::Duid { iaid: IAID, duid: duid() },
        hostname: Some("host".to_owned()),
        delegation: false,
        detect_conflicts: false,
    }
}

pub(crate) fn duid() -> Duid {
    Duid::from_uuid([5; 16])
}

pub(crate) fn delegated() -> Options {
    Options { delegation: true, ..options() }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A message that the client sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) message: Message,
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) client: Client,
    pub(crate) servers: Vec<Server>,
    /// In percent, each way.
    pub(crate) loss: u64,
    /// So many of the next messages of the client are lost.
    pub(crate) lose: u32,
    /// And so many of the next answers.
    pub(crate) lose_answers: u32,
    /// From one to the next.
    pub(crate) delay: Duration,
    pub(crate) sent: Vec<Sent>,
    pub(crate) notices: Vec<Notice>,
    random: Random,
    arriving: BTreeMap<(Instant, u64), (Vec<u8>, Ipv6Addr)>,
    count: u64,
}

impl World {
    /// A network with one server. The link is down.
    pub(crate) fn new(options: Options) -> Self {
        Self::remembering(options, None)
    }

    pub(crate) fn remembering(options: Options, remembered: Option<Remembered>) -> Self {
        let now = Instant::after_epoch(secs(1000));
        Self {
            now,
            client: Client::new(now, options, 1, remembered),
            servers: vec![Server::new(1)],
            loss: 0,
            lose: 0,
            lose_answers: 0,
            delay: millis(1),
            sent: Vec::new(),
            notices: Vec::new(),
            random: Random::new(7),
            arriving: BTreeMap::new(),
            count: 0,
        }
    }

    /// One that has been up for a minute.
    pub(crate) fn bound(options: Options) -> Self {
        let mut world = Self::new(options);
        world.server().delegates = Some(0x7700);
        world.up();
        world.run(secs(60));
        assert_eq!(world.state(), StateName::Bound);
        world.sent.clear();
        world.notices.clear();
        world
    }

    pub(crate) fn up(&mut self) {
        self.tell(Event::Up { mac: MAC });
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        &mut self.servers[0]
    }

    pub(crate) fn reseed(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// Plugged in elsewhere.
    pub(crate) fn moved(&mut self, server: Server) {
        self.servers = vec![server];
        self.arriving.clear();
    }

    pub(crate) fn tell(&mut self, event: Event<'_>) {
        self.client.handle(self.now, event);
        self.drain();
    }

    pub(crate) fn receive(&mut self, payload: &[u8]) {
        self.tell(Event::Received { payload, from: [0xfe80, 0, 0, 0, 0, 0, 0, 2].into() });
    }

    /// Lets time pass; what is due happens in its order.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut spins = 0;
        loop {
            let timer = self.client.poll_timeout().map(|(at, _)| at);
            let arrival = self.arriving.keys().next().copied();
            let next = [timer, arrival.map(|(at, _)| at)].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            spins = if next <= self.now { spins + 1 } else { 0 };
            assert!(spins < MOST_SPINS, "busy loop: {:?} at {:?}", self.client.poll_timeout(), self.now);
            self.now = self.now.max(next);
            match arrival.filter(|(at, _)| *at <= self.now).and_then(|key| self.arriving.remove(&key)) {
                Some((payload, from)) => self.tell(Event::Received { payload: &payload, from }),
                None => self.client.handle_timeout(self.now),
            }
            self.drain();
        }
        self.now = end;
    }

    /// The machine sleeps: nothing happens.
    pub(crate) fn sleep(&mut self, time: Duration) {
        self.now = self.now + time;
        self.arriving.clear();
    }

    pub(crate) fn state(&self) -> StateName {
        self.client.snapshot(self.now).state
    }

    pub(crate) fn addresses(&self) -> Vec<Ipv6Addr> {
        let lease = self.client.lease();
        lease.map(|lease| lease.addresses.iter().map(|lent| lent.what).collect()).unwrap_or_default()
    }

    pub(crate) fn address(&self) -> Option<Ipv6Addr> {
        let addresses = self.addresses();
        assert!(addresses.len() <= 1, "{addresses:?}");
        addresses.first().copied()
    }

    pub(crate) fn prefixes(&self) -> Vec<Prefix> {
        let lease = self.client.lease();
        lease.map(|lease| lease.prefixes.iter().map(|lent| lent.what).collect()).unwrap_or_default()
    }

    /// The kinds of messages that were sent since this was asked last.
    pub(crate) fn said(&mut self) -> Vec<MessageType> {
        std::mem::take(&mut self.sent).iter().map(|sent| sent.message.msg_type()).collect()
    }

    pub(crate) fn told(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// The number of the last question.
    pub(crate) fn xid(&self) -> u32 {
        self.sent.last().unwrap().message.xid_num()
    }

    fn drain(&mut self) {
        while let Some(notice) = self.client.poll_notice() {
            assert!(!notice.to_string().is_empty());
            self.notices.push(notice);
        }
        while let Some(Action::Multicast(payload)) = self.client.poll_action() {
            self.carry(&payload);
        }
    }

    fn carry(&mut self, payload: &[u8]) {
        let message = Message::decode(&mut Decoder::new(payload)).expect("a message");
        self.sent.push(Sent { at: self.now, message });
        if take(&mut self.lose) || self.random.percent(self.loss) {
            return;
        }
        for n in 0..self.servers.len() {
            let server = &mut self.servers[n];
            let Some(answer) = server.answer(payload) else { continue };
            if take(&mut self.lose_answers) || self.random.percent(self.loss) {
                continue;
            }
            self.count += 1;
            // The farther down the list, the slower.
            let at = self.now + self.delay * (n as u32 + 1);
            self.arriving.insert((at, self.count), (answer, server.from));
        }
    }
}

fn take(left: &mut u32) -> bool {
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}
