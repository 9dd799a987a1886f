//! Servers that mean ill, or err.

use std::net::Ipv6Addr;

use hitless_core::dhcp6::{Client, Event, Notice, StateName, Unacceptable};
use hitless_core::time::Instant;
use proptest::prelude::*;

use crate::packet::{ADVERTISE, Packet, REPLY, address, association, option, prefix, status};
use crate::world::{IAID, MAC, World, delegated, duid, millis, options};

const GOOD: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x55);
const SERVER: [u8; 6] = [0, 3, 0, 1, 2, 9];

/// A client that asks, and nobody answers but we.
fn asking() -> (World, u32) {
    let mut world = World::new(delegated());
    world.servers.clear();
    world.up();
    let xid = world.xid();
    (world, xid)
}

/// An answer for good, without an address.
fn bare(xid: u32) -> Packet {
    Packet::new(REPLY, xid, duid().octets(), &SERVER).with(14, &[])
}

fn lending(xid: u32, contents: &[Vec<u8>]) -> Packet {
    bare(xid).with(3, &association(IAID, [0, 0], contents))
}

fn good(xid: u32) -> Packet {
    lending(xid, &[address(GOOD, 60, 120)])
}

#[test]
fn what_is_right_is_taken() {
    let (mut world, xid) = asking();
    world.receive(&good(xid).bytes());
    assert_eq!(world.addresses(), [GOOD]);
}

#[test]
fn what_is_not_for_us_or_has_no_name_is_passed_over() {
    let (_, xid) = asking();
    let foreign = [duid().octets(), &[1]].concat();
    for (what, packet) in [
        ("another question's", good(xid ^ 1)),
        ("no client", good(xid).without(1)),
        ("another client's", good(xid).without(1).with(1, &foreign)),
        ("no server", good(xid).without(2)),
        ("a server without a name", good(xid).without(2).with(2, &[])),
        ("a server with a name too long", good(xid).without(2).with(2, &[7; 200])),
        ("not for good", good(xid).without(14)),
        ("half for good", good(xid).without(14).with(14, &[1])),
        ("a client's", Packet { kind: 1, ..good(xid) }),
        ("a relay's", Packet { kind: 13, ..good(xid) }),
        ("reconfigure", Packet { kind: 10, ..good(xid) }),
        ("another association", bare(xid).with(3, &association(IAID + 1, [0, 0], &[address(GOOD, 60, 120)]))),
        ("temporary addresses", bare(xid).with(4, &association(IAID, [0, 0], &[address(GOOD, 60, 120)]))),
    ] {
        let (mut world, same) = asking();
        assert_eq!(xid, same);
        world.receive(&packet.bytes());
        assert_eq!((world.addresses(), world.state()), (vec![], StateName::Soliciting), "{what}");
        world.receive(&good(xid).bytes());
        assert_eq!(world.addresses(), [GOOD], "after {what}");
    }
}

#[test]
fn what_is_cut_off_is_passed_over() {
    let (_, xid) = asking();
    let whole = good(xid).bytes();
    for length in 0..whole.len() {
        let (mut world, _) = asking();
        world.receive(&whole[..length]);
        assert!(world.addresses().is_empty(), "{length} octets");
    }
}

#[test]
fn what_cannot_be_is_not_taken() {
    let own = |address: [u16; 8]| Ipv6Addr::from(address);
    let cases: Vec<(Vec<u8>, Option<Unacceptable>)> = vec![
        (address(Ipv6Addr::UNSPECIFIED, 60, 120), Some(Unacceptable::Address(Ipv6Addr::UNSPECIFIED))),
        (address(Ipv6Addr::LOCALHOST, 60, 120), Some(Unacceptable::Address(Ipv6Addr::LOCALHOST))),
        (
            address(own([0xff02, 0, 0, 0, 0, 0, 0, 1]), 60, 120),
            Some(Unacceptable::Address(own([0xff02, 0, 0, 0, 0, 0, 0, 1]))),
        ),
        (
            address(own([0xfe80, 0, 0, 0, 0, 0, 0, 1]), 60, 120),
            Some(Unacceptable::Address(own([0xfe80, 0, 0, 0, 0, 0, 0, 1]))),
        ),
        (
            address(own([0, 0, 0, 0, 0, 0xffff, 1, 1]), 60, 120),
            Some(Unacceptable::Address(own([0, 0, 0, 0, 0, 0xffff, 1, 1]))),
        ),
        (address(GOOD, 121, 120), Some(Unacceptable::Preferred { preferred: 121, valid: 120 })),
        (address(GOOD, 2, 4), Some(Unacceptable::TooShort(4))),
        // Nothing is lent.
        (address(GOOD, 0, 0), None),
        (status(2), None),
        (Vec::new(), None),
        // Malformed.
        (option(5, &[1; 23]), None),
        (option(5, &[]), None),
        (option(5, &[&GOOD.octets()[..], &[0, 0, 0, 60, 0, 0, 0, 120], &[0, 13, 0, 9]].concat()), None),
        (vec![0, 5, 0, 24], None),
        // The server says that it does not lend it after all.
        (option(5, &[&GOOD.octets()[..], &[0, 0, 0, 60, 0, 0, 0, 120], &status(1)].concat()), None),
        ([status(2), address(GOOD, 60, 120)].concat(), None),
    ];
    for (contents, why) in cases {
        let (mut world, xid) = asking();
        world.receive(&lending(xid, std::slice::from_ref(&contents)).bytes());
        assert!(world.addresses().is_empty(), "{contents:?}");
        let from = [0xfe80, 0, 0, 0, 0, 0, 0, 2].into();
        let expected: Vec<Notice> = why.map(|why| Notice::Refused { from, why }).into_iter().collect();
        assert_eq!(world.told(), expected, "{contents:?}");
        // What is right beside it is taken.
        let both = [contents, address(GOOD, 60, 120)].concat();
        if Packet::new(REPLY, 0, &[], &[]).with(0, &both).bytes().len() > 70 && why.is_some() {
            world.receive(&lending(xid, &[both]).bytes());
            assert_eq!(world.addresses(), [GOOD]);
        }
    }
}

#[test]
fn t1_after_t2_voids_an_association() {
    let (mut world, xid) = asking();
    let wrong = bare(xid).with(3, &association(IAID, [900, 600], &[address(GOOD, 3600, 3600)]));
    world.receive(&wrong.bytes());
    assert!(world.addresses().is_empty(), "RFC 8415 section 21.4");
    assert!(matches!(world.told()[..], [Notice::Refused { why: Unacceptable::Times(900, 600), .. }]));
    let both = wrong.with(
        25,
        &association(IAID, [0, 0], &[prefix([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].into(), 48, 60, 60)]),
    );
    world.receive(&both.bytes());
    assert_eq!((world.addresses(), world.prefixes().len()), (vec![], 1), "the other is not concerned");
}

#[test]
fn prefixes_that_cannot_be() {
    let net = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0);
    for (address, length) in [
        (net, 0),
        (net, 3),
        (net, 128),
        (net, 129),
        (net, 255),
        (Ipv6Addr::UNSPECIFIED, 48),
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 64),
        (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 64),
    ] {
        let (mut world, xid) = asking();
        let lent = association(IAID, [0, 0], &[prefix(address, length, 60, 60)]);
        world.receive(&bare(xid).with(25, &lent).bytes());
        assert!(world.prefixes().is_empty(), "{address}/{length}");
    }
    // Host bits are not its.
    let (mut world, xid) = asking();
    let lent = association(IAID, [0, 0], &[prefix(GOOD, 56, 60, 60)]);
    world.receive(&bare(xid).with(25, &lent).bytes());
    assert_eq!(world.prefixes()[0].to_string(), "fd00:1::/56");
}

#[test]
fn of_several_associations_the_first_of_ours() {
    let (mut world, xid) = asking();
    let other = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x66);
    let packet = bare(xid)
        .with(3, &association(IAID + 1, [0, 0], &[address(other, 60, 120)]))
        .with(3, &association(IAID, [0, 0], &[address(GOOD, 60, 120)]))
        .with(3, &association(IAID, [0, 0], &[address(other, 60, 120)]));
    world.receive(&packet.bytes());
    assert_eq!(world.addresses(), [GOOD]);
}

#[test]
fn many_addresses_are_too_many() {
    let (mut world, xid) = asking();
    let all: Vec<_> =
        (1..100).map(|last| address([0xfd00, 1, 0, 0, 0, 0, 0, last].into(), 60, 120)).collect();
    world.receive(&lending(xid, &all).bytes());
    assert_eq!(world.addresses().len(), 8);
}

#[test]
fn longest_waits_within_bounds() {
    for (seconds, honoured) in [(59u32, false), (60, true), (86400, true), (86401, false), (u32::MAX, false)]
    {
        let (mut world, xid) = asking();
        let empty = Packet::new(ADVERTISE, xid, duid().octets(), &SERVER)
            .with(13, &[0, 2])
            .with(82, &seconds.to_be_bytes());
        world.receive(&empty.bytes());
        world.tell(Event::NetworkChanged);
        world.sent.clear();
        world.run(std::time::Duration::from_secs(300_000));
        let gap = world.sent.windows(2).map(|two| two[1].at - two[0].at).max().unwrap().as_secs();
        let expected = if honoured { u64::from(seconds) } else { 3600 };
        assert!((expected / 10 * 8..=expected / 10 * 12).contains(&gap), "{seconds}: {gap}");
    }
}

#[test]
fn a_name_list_that_is_malformed_is_none() {
    for names in [&b"\x04home"[..], b"\x40", b"\xc0\x00", b"\x04ho\x1b[\0", b"\0", b""] {
        let (mut world, xid) = asking();
        world.receive(&good(xid).with(24, names).with(23, &[1; 17]).with(56, &[0, 1, 0, 99]).bytes());
        let known = world.client.information().unwrap();
        assert_eq!((&known.search[..], known.dns.len(), known.ntp.len()), (&[][..], 0, 0), "{names:?}");
    }
}

#[test]
fn unasked_answers_lead_nowhere() {
    let mut world = World::bound(options());
    let before = world.client.lease().cloned();
    for xid in [0, 1, 0xff_ffff] {
        world.receive(&good(xid).bytes());
        world.receive(&Packet::new(REPLY, xid, duid().octets(), &SERVER).with(13, &[0, 4]).bytes());
    }
    assert_eq!(world.client.lease().cloned(), before);
    world.run(millis(1));
    assert_eq!(world.said(), []);
}

fn answered(payload: &[u8]) {
    let now = Instant::EPOCH;
    let mut client = Client::new(now, delegated(), 1, None);
    client.handle(now, Event::Up { mac: MAC });
    client.handle(now, Event::Received { payload, from: Ipv6Addr::LOCALHOST });
    client.snapshot(now);
}

proptest! {
    #[test]
    fn any_octets(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        answered(&payload);
    }

    /// An answer to the question, with something wrong at any place.
    #[test]
    fn any_change(at in 0usize..200, value: u8, more in proptest::collection::vec(any::<u8>(), 0..40)) {
        let (mut world, xid) = asking();
        let lent = association(IAID, [0, 0], &[prefix([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].into(), 48, 60, 60)]);
        let mut payload = good(xid).with(25, &lent).with(56, &more).with(24, &more).bytes();
        let at = at % payload.len();
        payload[at] = value;
        world.receive(&payload);
        for address in world.addresses() {
            prop_assert!(!address.is_multicast() && !address.is_unspecified() && !address.is_loopback());
        }
        for prefix in world.prefixes() {
            prop_assert!((16..=127).contains(&prefix.length));
        }
        world.run(std::time::Duration::from_secs(1000));
    }
}
