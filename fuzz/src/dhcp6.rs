//! Events in any order, made of bytes, for the DHCPv6 client: answers of servers who know the number of the question and
//! mean ill, and a clock that does what it likes.
//!
//! Each step takes an octet that says what happens, and as many more as that needs; missing ones are zero.

use std::net::Ipv6Addr;
use std::time::Duration;

use hitless_core::dhcp::{ClientId, Duid};
use hitless_core::dhcp6::{
    Action, Cause, Client, Event, Information, Kept, Notice, Options, Prefix, Remembered, Resource,
};
use hitless_core::mac::MacAddr;
use hitless_core::time::Instant;

/// So many actions or notices without an event in between are a loop without an end.
const MOST: usize = 50;
/// So many wake-ups at one point in time are a busy loop.
const MOST_SPINS: usize = 20;
/// The contents of answers that make sense, more or less.
const CODES: [u8; 16] = [1, 2, 3, 4, 7, 13, 14, 23, 24, 25, 31, 32, 56, 82, 83, 99];

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

    fn address(&mut self) -> Ipv6Addr {
        let last = u16::from(self.octet() % 8);
        let net = self.pick(&[0xfd00, 0xfd00, 0xfd00, 0xfd01, 0xfe80, 0xff02, 0]);
        Ipv6Addr::new(net, 0, 0, 0, 0, 0, 0, last)
    }

    fn prefix(&mut self) -> Prefix {
        Prefix { address: self.address(), length: self.pick(&[56, 64, 48, 0, 129]) }
    }

    fn seconds(&mut self) -> u32 {
        self.pick(&[3600, 3600, 600, 60, 5, 1, 0, u32::MAX])
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
    let mut has = held(&client);
    // What the client asked last: whoever hears it knows its number.
    let mut asked = vec![1, 0, 0, 0];
    while !bytes.0.is_empty() {
        now = happen(bytes, &mut client, now, &asked);
        drain(&mut client, &mut has, &mut asked);
        client.snapshot(now);
    }
    check_rest(&mut client, now, &mut has, &mut asked);
}

fn happen(bytes: &mut Bytes<'_>, client: &mut Client, now: Instant, asked: &[u8]) -> Instant {
    let event = match bytes.octet() % 24 {
        0..3 => Event::Up { mac: MacAddr([2, 0, 0, 0, 0, bytes.octet()]) },
        3 => Event::Down,
        4 => Event::FailedOver,
        5 => Event::NetworkChanged,
        6 => Event::Resumed,
        7 => Event::Received { payload: &bytes.some(255), from: bytes.address() },
        8..15 => Event::Received { payload: &answer(bytes, asked), from: bytes.address() },
        15 => Event::Unique(bytes.address()),
        16 => Event::Duplicate(bytes.address()),
        17 => Event::Configure(options(bytes)),
        18 => Event::Renew,
        19 => bytes.pick(&[Event::Release, Event::Renew, Event::Renew, Event::Renew]),
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

/// Takes what comes out, and follows which addresses it says there are.
fn drain(client: &mut Client, has: &mut Vec<Ipv6Addr>, asked: &mut Vec<u8>) {
    for n in 0.. {
        assert!(n < MOST, "no end of actions");
        match client.poll_action() {
            Some(Action::Multicast(payload)) => {
                assert!(payload.len() > 4);
                *asked = payload;
            }
            None => break,
        }
    }
    for n in 0.. {
        assert!(n < MOST, "no end of notices");
        match client.poll_notice() {
            Some(Notice::Bound { what: Resource::Address(address), .. }) => {
                assert!(!has.contains(&address), "{address} twice");
                has.push(address);
            }
            Some(Notice::Lost { what: Resource::Address(address), cause }) => {
                assert!(has.contains(&address), "{address} lost, and never there");
                has.retain(|one| *one != address);
                assert!(cause != Cause::Conflict || client.lease().is_none());
            }
            Some(other) => assert!(!other.to_string().is_empty()),
            None => break,
        }
    }
    let mut there = held(client);
    there.sort_unstable();
    has.sort_unstable();
    assert_eq!(*has, there);
}

fn held(client: &Client) -> Vec<Ipv6Addr> {
    let lease = client.lease();
    lease.map(|lease| lease.addresses.iter().map(|lent| lent.what).collect()).unwrap_or_default()
}

/// Called when it wants to be, it comes to rest.
fn check_rest(client: &mut Client, now: Instant, has: &mut Vec<Ipv6Addr>, asked: &mut Vec<u8>) {
    // At its end, time goes on no more.
    if now + Duration::from_secs(1000) == Instant::after_epoch(Duration::MAX) {
        return;
    }
    for _ in 0..MOST_SPINS {
        if client.poll_timeout().is_none_or(|(at, _)| at > now) {
            return;
        }
        client.handle_timeout(now);
        drain(client, has, asked);
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
        hostname: bytes.pick(&[
            None,
            Some("host".to_owned()),
            Some("long.".repeat(100)),
            Some(".".to_owned()),
        ]),
        delegation: bytes.flag(),
        detect_conflicts: bytes.flag(),
    }
}

fn remembered(bytes: &mut Bytes<'_>) -> Remembered {
    let addresses = vec![kept(bytes, Bytes::address)];
    let prefixes = if bytes.flag() { vec![kept(bytes, Bytes::prefix)] } else { Vec::new() };
    let information = Information { dns: vec![bytes.address()], search: Vec::new(), ntp: Vec::new() };
    Remembered { server: bytes.some(10), from: bytes.address(), addresses, prefixes, information }
}

fn kept<'a, T>(bytes: &mut Bytes<'a>, what: impl FnOnce(&mut Bytes<'a>) -> T) -> Kept<T> {
    let preferred = bytes.flag().then(|| bytes.time());
    let valid = bytes.flag().then(|| bytes.time());
    Kept { what: what(bytes), preferred, valid }
}

/// An answer to what was asked: the client's identity and association are where it has put them, the rest is made up, and
/// some of it spoilt.
fn answer(bytes: &mut Bytes<'_>, asked: &[u8]) -> Vec<u8> {
    let mut answer = vec![bytes.pick(&[2, 7, 7, 7, 0]), asked[1], asked[2], asked[3]];
    let client = find(asked, 1).unwrap_or_default();
    answer.extend(option(1, &client));
    answer.extend(option(2, &[0, 3, 0, 1, bytes.octet() % 3]));
    if bytes.octet() < 200 {
        answer.extend(option(14, &[]));
    }
    let iaid = find(asked, 3).and_then(|value| value.get(..4).map(<[u8]>::to_vec)).unwrap_or(vec![0; 4]);
    for _ in 0..bytes.octet() % 3 {
        let value = [&iaid[..], &bytes.seconds().to_be_bytes(), &bytes.seconds().to_be_bytes()].concat();
        let lifetimes = [bytes.seconds(), bytes.seconds()].map(u32::to_be_bytes).concat();
        let (code, item) = if bytes.flag() {
            (3, option(5, &[&bytes.address().octets()[..], &lifetimes].concat()))
        } else {
            let Prefix { address, length } = bytes.prefix();
            (25, option(26, &[&lifetimes[..], &[length], &address.octets()].concat()))
        };
        let status = if bytes.octet() < 32 { option(13, &[0, bytes.octet() % 8]) } else { Vec::new() };
        answer.extend(option(code, &[value, item, status].concat()));
    }
    for _ in 0..bytes.octet().saturating_sub(128) % 4 {
        let code = bytes.pick(&CODES);
        let value = bytes.some(20);
        answer.extend(option(code, &value));
    }
    if bytes.octet() == 3 {
        let at = usize::from(bytes.octet()) % answer.len();
        answer[at] = bytes.octet();
    }
    answer
}

fn option(code: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("few").to_be_bytes();
    [&[0, code][..], &length, value].concat()
}

/// What an option of the client's message has in it.
fn find(message: &[u8], code: u8) -> Option<Vec<u8>> {
    let mut rest = message.get(4..)?;
    loop {
        let (&[_, found, high, low], after) = rest.split_first_chunk::<4>()?;
        let (value, after) = after.split_at_checked(u16::from_be_bytes([high, low]).into())?;
        if found == code {
            return Some(value.to_vec());
        }
        rest = after;
    }
}
