//! Events in any order, made of bytes, for the DHCP client: answers of servers who know the number of the question and mean
//! ill, frames of neighbours, and a clock that does what it likes.
//!
//! Each step takes an octet that says what happens, and as many more as that needs; missing ones are zero.

use std::net::Ipv4Addr;
use std::time::Duration;

use hitless_core::dhcp::{Action, Client, ClientId, Duid, Event, Notice, Options, Parameters, Remembered};
use hitless_core::mac::MacAddr;
use hitless_core::time::Instant;
use hitless_core::wire;

/// So many actions or notices without an event in between are a loop without an end.
const MOST: usize = 50;
/// So many wake-ups at one point in time are a busy loop.
const MOST_SPINS: usize = 20;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn octet(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn flag(&mut self) -> bool {
        self.octet() & 1 == 1
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[usize::from(self.octet()) % items.len()].clone()
    }

    fn some(&mut self, most: u8) -> Vec<u8> {
        (0..self.octet() % most).map(|_| self.octet()).collect()
    }

    fn mac(&mut self) -> MacAddr {
        MacAddr([self.pick(&[2, 0, 0xff]), 0, 0, 0, 0, self.pick(&[1, 2, 3])])
    }

    fn address(&mut self) -> Ipv4Addr {
        let last = self.octet();
        self.pick(&[[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, last], [last, 0, 0, 1], [last; 4]]).into()
    }

    /// This address, or now and then another.
    fn mostly(&mut self, address: [u8; 4]) -> Ipv4Addr {
        if self.octet() < 32 { self.address() } else { address.into() }
    }

    fn time(&mut self) -> Duration {
        let n = u64::from(self.octet());
        match self.octet() % 16 {
            0 => Duration::MAX,
            1 => Duration::from_secs(n * 1000),
            2..6 => Duration::from_secs(n),
            _ => Duration::from_millis(n),
        }
    }
}

/// Lives through what the bytes say.
///
/// # Panics
///
/// When the client does what it never may.
pub fn run(bytes: &[u8]) {
    let bytes = &mut Bytes(bytes);
    let mut now = Instant::EPOCH;
    let remembered = bytes.flag().then(|| remembered(bytes));
    let mut client = Client::new(now, options(bytes), bytes.octet().into(), remembered);
    let mut has = client.lease().map(|lease| lease.parameters.address);
    // What the client asked last: whoever hears it knows its number.
    let mut asked = vec![0; 300];
    while !bytes.0.is_empty() {
        now = happen(bytes, &mut client, now, &asked);
        has = drain(&mut client, has, &mut asked);
        assert_eq!(has, client.lease().map(|lease| lease.parameters.address));
        client.snapshot(now);
    }
    check_rest(&mut client, now, has, &mut asked);
}

fn happen(bytes: &mut Bytes<'_>, client: &mut Client, now: Instant, asked: &[u8]) -> Instant {
    let event = match bytes.octet() % 24 {
        0..3 => Event::Up { mac: bytes.mac() },
        3 => Event::Down,
        4 => Event::FailedOver,
        5 => Event::NetworkChanged,
        6 => Event::Resumed,
        7 => Event::Received { payload: &bytes.some(255), from: bytes.address() },
        8..14 => Event::Received { payload: &answer(bytes, asked), from: bytes.address() },
        14 => Event::Frame(&bytes.some(60)),
        15 => Event::Frame(&wire::announcement(bytes.mac(), bytes.mostly([10, 0, 0, 50]).into())),
        16 => {
            let [gateway, us] = [[10, 0, 0, 1], [10, 0, 0, 50]].map(|address| bytes.mostly(address));
            Event::Frame(&arp_reply(bytes.mac(), gateway, us))
        }
        17 => Event::Own((0..bytes.octet() % 3).map(|_| bytes.mac()).collect()),
        18 => Event::Configure(options(bytes)),
        19 => Event::Renew,
        20 => bytes.pick(&[Event::Release, Event::Renew, Event::Renew, Event::Renew]),
        _ => {
            let now = match bytes.octet() % 8 {
                0 => Instant::after_epoch(bytes.time()),
                1..5 => client.poll_timeout().map_or(now, |(at, _)| at),
                _ => now + bytes.time(),
            };
            client.handle_timeout(now);
            return now;
        }
    };
    client.handle(now, event);
    now
}

/// Takes what comes out, and follows which address it says there is.
fn drain(client: &mut Client, mut has: Option<Ipv4Addr>, asked: &mut Vec<u8>) -> Option<Ipv4Addr> {
    for n in 0.. {
        assert!(n < MOST, "no end of actions");
        match client.poll_action() {
            Some(Action::Broadcast(payload) | Action::Unicast { payload, .. }) => {
                assert!(payload.len() >= 300);
                *asked = payload;
            }
            Some(Action::Frame(frame)) => assert!(wire::claim(&frame).is_some()),
            None => break,
        }
    }
    for n in 0.. {
        assert!(n < MOST, "no end of notices");
        match client.poll_notice() {
            Some(Notice::Bound { address, .. }) => assert_eq!(has.replace(address), None),
            Some(Notice::Lost { address, .. }) => assert_eq!(has.take(), Some(address)),
            Some(other) => assert!(!other.to_string().is_empty()),
            None => break,
        }
    }
    has
}

/// Called when it wants to be, it comes to rest.
fn check_rest(client: &mut Client, now: Instant, mut has: Option<Ipv4Addr>, asked: &mut Vec<u8>) {
    // At its end, time goes on no more.
    if now + Duration::from_secs(1000) == Instant::after_epoch(Duration::MAX) {
        return;
    }
    for _ in 0..MOST_SPINS {
        if client.poll_timeout().is_none_or(|(at, _)| at > now) {
            return;
        }
        client.handle_timeout(now);
        has = drain(client, has, asked);
    }
    panic!("busy loop: {:?}, it is {now:?}", client.poll_timeout());
}

fn options(bytes: &mut Bytes<'_>) -> Options {
    let client_id = match Duid::new(bytes.some(10)) {
        Ok(duid) => ClientId::Duid { iaid: bytes.octet().into(), duid },
        Err(_) => ClientId::Mac,
    };
    Options {
        client_id,
        chaddr: bytes.flag().then(|| bytes.mac()),
        hostname: bytes.pick(&[None, Some("host".to_owned()), Some("long".repeat(100))]),
        detect_conflicts: bytes.flag(),
    }
}

fn remembered(bytes: &mut Bytes<'_>) -> Remembered {
    let parameters = Parameters {
        address: bytes.mostly([10, 0, 0, 50]),
        prefix_len: bytes.pick(&[24, 0, 32, 200]),
        gateways: if bytes.flag() { vec![bytes.mostly([10, 0, 0, 1])] } else { vec![] },
        routes: vec![],
        mtu: None,
        dns: vec![],
        domain: None,
        search: vec![],
        ntp: vec![],
        hostname: None,
    };
    let remaining = bytes.flag().then(|| bytes.time());
    let gateway_mac = bytes.flag().then(|| bytes.mac());
    Remembered { parameters, server: bytes.mostly([10, 0, 0, 1]), remaining, gateway_mac }
}

/// An answer to what was asked, with some options, some of them spoilt.
fn answer(bytes: &mut Bytes<'_>, asked: &[u8]) -> Vec<u8> {
    let mut answer = asked[..240].to_vec();
    answer[0] = 2;
    answer[16..20].copy_from_slice(&bytes.mostly([10, 0, 0, 50]).octets());
    let server = bytes.mostly([10, 0, 0, 1]).octets();
    let lease = bytes.pick(&[5, 60, 3600, 3600, 3600, 3600, u32::MAX, 0]).to_be_bytes();
    answer.extend([53, 1, bytes.pick(&[2, 5, 2, 5, 2, 5, 6, 0])]);
    answer.extend([&[54, 4][..], &server, &[51, 4], &lease, &[1, 4, 255, 255, 255, 0]].concat());
    for _ in 0..bytes.octet().saturating_sub(128) % 4 {
        let code = bytes.pick(&[1, 3, 6, 12, 15, 26, 42, 51, 52, 53, 54, 58, 59, 61, 119, 121]);
        let value = bytes.some(20);
        answer.push(code);
        answer.push(if bytes.octet() == 7 { 250 } else { u8::try_from(value.len()).expect("few") });
        answer.extend(value);
    }
    if bytes.octet() == 3 {
        let at = usize::from(bytes.octet());
        answer[at] = bytes.octet();
    }
    answer
}

/// RFC 826: `address` is at `sender`, told to whoever has `target`.
fn arp_reply(sender: MacAddr, address: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = wire::request(sender, address, Some(sender), target);
    frame[21] = 2;
    frame
}
