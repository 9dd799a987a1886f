//! A client and the network it is plugged into, in virtual time.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};
use hitless_core::dhcp::{Action, Client, ClientId, Duid, Event, Notice, Options, Remembered, StateName};
use hitless_core::mac::MacAddr;
use hitless_core::time::Instant;
use hitless_core::wire::{self, Claim};

use crate::random::Random;
use crate::server::Server;

pub(crate) const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(crate) const OTHER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub(crate) const GATEWAY: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);
pub(crate) const OTHER_GATEWAY: MacAddr = MacAddr([2, 0, 0, 0, 2, 1]);
pub(crate) const STRANGER: MacAddr = MacAddr([2, 0, 0, 0, 9, 9]);

/// So many wake-ups at one point in time are a busy loop.
const MOST_SPINS: u32 = 20;

pub(crate) fn by_host() -> Options {
    Options {
        client_id: ClientId::Duid { iaid: 7, duid: Duid::from_uuid([5; 16]) },
        chaddr: None,
        hostname: Some("host".to_owned()),
        detect_conflicts: false,
    }
}

pub(crate) fn by_mac() -> Options {
    Options { client_id: ClientId::Mac, ..by_host() }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[derive(Clone, Debug)]
enum Arrival {
    Datagram(Vec<u8>, Ipv4Addr),
    Frame(Vec<u8>),
}

/// A message that the client sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) to: Option<Ipv4Addr>,
    pub(crate) message: Message,
}

impl Sent {
    pub(crate) fn kind(&self) -> MessageType {
        self.message.opts().msg_type().unwrap()
    }

    pub(crate) fn requested(&self) -> Option<Ipv4Addr> {
        match self.message.opts().get(OptionCode::RequestedIpAddress) {
            Some(DhcpOption::RequestedIpAddress(address)) => Some(*address),
            _ => None,
        }
    }
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) client: Client,
    pub(crate) servers: Vec<Server>,
    /// Who answers ARP.
    pub(crate) stations: BTreeMap<Ipv4Addr, MacAddr>,
    /// In percent, each way.
    pub(crate) loss: u64,
    /// From one to the next.
    pub(crate) delay: Duration,
    pub(crate) sent: Vec<Sent>,
    pub(crate) claims: Vec<(Instant, Claim)>,
    pub(crate) notices: Vec<Notice>,
    random: Random,
    arriving: BTreeMap<(Instant, u64), Arrival>,
    count: u64,
}

impl World {
    /// A network with one server, 10.0.0.1, which is the gateway, too. The link is down.
    pub(crate) fn new(options: Options) -> Self {
        Self::remembering(options, None)
    }

    pub(crate) fn remembering(options: Options, remembered: Option<Remembered>) -> Self {
        let now = Instant::after_epoch(secs(1000));
        Self {
            now,
            client: Client::new(now, options, 1, remembered),
            servers: vec![Server::new(0)],
            stations: [([10, 0, 0, 1].into(), GATEWAY)].into(),
            loss: 0,
            delay: Duration::from_millis(1),
            sent: Vec::new(),
            claims: Vec::new(),
            notices: Vec::new(),
            random: Random::new(7),
            arriving: BTreeMap::new(),
            count: 0,
        }
    }

    /// One that has been up for a minute.
    pub(crate) fn bound(options: Options) -> Self {
        let mut world = Self::new(options);
        world.up();
        world.run(secs(60));
        assert_eq!(world.state(), StateName::Bound);
        world.sent.clear();
        world.claims.clear();
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

    /// Plugged in elsewhere: other servers, another gateway with this address.
    pub(crate) fn moved(&mut self, server: Server, gateway: MacAddr) {
        self.stations = [(server.gateway, gateway)].into();
        self.servers = vec![server];
        self.arriving.clear();
    }

    pub(crate) fn tell(&mut self, event: Event<'_>) {
        self.client.handle(self.now, event);
        self.drain();
    }

    pub(crate) fn receive(&mut self, payload: &[u8]) {
        self.tell(Event::Received { payload, from: [10, 0, 0, 1].into() });
    }

    pub(crate) fn hear(&mut self, frame: &[u8]) {
        self.tell(Event::Frame(frame));
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
                Some(Arrival::Datagram(payload, from)) => {
                    self.tell(Event::Received { payload: &payload, from });
                }
                Some(Arrival::Frame(frame)) => {
                    if self.client.is_listening_to_arp() {
                        self.tell(Event::Frame(&frame));
                    }
                }
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

    pub(crate) fn address(&self) -> Option<Ipv4Addr> {
        self.client.lease().map(|lease| lease.parameters.address)
    }

    /// The kinds of messages that were sent since this was asked last.
    pub(crate) fn said(&mut self) -> Vec<MessageType> {
        std::mem::take(&mut self.sent).iter().map(Sent::kind).collect()
    }

    pub(crate) fn told(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn drain(&mut self) {
        while let Some(notice) = self.client.poll_notice() {
            assert!(!notice.to_string().is_empty());
            self.notices.push(notice);
        }
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Broadcast(payload) => self.carry(&payload, None),
                Action::Unicast { from, to, payload } => {
                    let message = Message::decode(&mut Decoder::new(&payload)).expect("a message");
                    assert_eq!(message.ciaddr(), from);
                    self.carry(&payload, Some(to));
                }
                Action::Frame(frame) => self.carry_frame(&frame),
            }
        }
    }

    fn carry(&mut self, payload: &[u8], to: Option<Ipv4Addr>) {
        let message = Message::decode(&mut Decoder::new(payload)).expect("a message");
        assert!((300..=1472).contains(&payload.len()));
        self.sent.push(Sent { at: self.now, to, message });
        if self.random.percent(self.loss) {
            return;
        }
        for n in 0..self.servers.len() {
            let server = &mut self.servers[n];
            if to.is_none_or(|to| to == server.id)
                && let Some(answer) = server.answer(payload, to.is_none())
            {
                let id = server.id;
                // The farther down the list, the slower.
                let delay = self.delay * (n as u32 + 1);
                self.arrive(delay, Arrival::Datagram(answer, id));
            }
        }
    }

    fn carry_frame(&mut self, frame: &[u8]) {
        let claim = wire::claim(frame).expect("ARP");
        self.claims.push((self.now, claim));
        if self.random.percent(self.loss) {
            return;
        }
        let Some(owner) = self.stations.get(&claim.target).copied() else { return };
        let to_owner = frame[..6] == owner.0 || frame[..6] == [0xff; 6];
        if to_owner {
            self.arrive(
                self.delay,
                Arrival::Frame(arp_answer(owner, claim.target, claim.sender, claim.address)),
            );
        }
    }

    fn arrive(&mut self, after: Duration, arrival: Arrival) {
        if !self.random.percent(self.loss) {
            self.count += 1;
            self.arriving.insert((self.now + after, self.count), arrival);
        }
    }
}

/// RFC 826: `address` is at `owner`.
pub(crate) fn arp_answer(owner: MacAddr, address: Ipv4Addr, to: MacAddr, target: Ipv4Addr) -> Vec<u8> {
    let fixed = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2];
    [&to.0[..], &owner.0, &fixed, &owner.0, &address.octets(), &to.0, &target.octets()].concat()
}
