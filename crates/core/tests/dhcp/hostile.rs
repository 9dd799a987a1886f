//! What servers and strangers should not say.

use std::net::Ipv4Addr;

use hitless_core::dhcp::{Event, Notice, Parameters, Route, StateName};
use proptest::prelude::*;

use crate::packet::{ACK, NAK, OFFER, Packet};
use crate::world::{MAC, OTHER_MAC, World, by_host, secs};

const ADDRESS: [u8; 4] = [10, 0, 0, 50];
const SERVER: [u8; 4] = [10, 0, 0, 1];

/// A client that asks for offers, and the number of its question.
fn asking() -> (World, u32) {
    let mut world = World::new(by_host());
    world.server().mute = true;
    world.up();
    let xid = world.sent[0].message.xid();
    (world, xid)
}

/// What becomes of an offer and a lease that are changed like this.
fn lent(change: impl Fn(Packet) -> Packet) -> Option<Parameters> {
    let (mut world, xid) = asking();
    for kind in [OFFER, ACK] {
        world.receive(&change(Packet::lending(kind, xid, MAC, ADDRESS, SERVER)).bytes());
    }
    world.client.lease().map(|lease| lease.parameters.clone())
}

#[test]
fn answers_to_others_and_what_is_no_answer() {
    type Change = fn(Packet) -> Packet;
    let cases: [(&str, Change); 17] = [
        ("a request", |packet| Packet { head: [1, 1, 6, 0], ..packet }),
        ("another network type", |packet| Packet { head: [2, 6, 6, 0], ..packet }),
        ("no hardware address", |packet| Packet { head: [2, 1, 0, 0], ..packet }),
        ("a longer hardware address", |packet| Packet { head: [2, 1, 16, 0], ..packet }),
        ("a hardware address longer than its field", |packet| Packet { head: [2, 1, 255, 0], ..packet }),
        ("another transaction", |packet| Packet { xid: packet.xid ^ 1, ..packet }),
        ("another host", |packet| Packet { chaddr: OTHER_MAC, ..packet }),
        ("another cookie", |packet| Packet { cookie: [0; 4], ..packet }),
        ("another client id (RFC 6842)", |packet| packet.with(61, &[1, 2, 3])),
        ("BOOTP: no message type", |packet| packet.without(53)),
        ("a client's message", |packet| packet.without(53).with(53, &[1])),
        ("an unknown message", |packet| packet.without(53).with(53, &[77])),
        ("a long message type", |packet| packet.without(53).with(53, &[2, 2])),
        ("no server", |packet| packet.without(54)),
        ("nobody's server", |packet| packet.without(54).with(54, &[0; 4])),
        ("everyone's server", |packet| packet.without(54).with(54, &[255; 4])),
        ("half a server", |packet| packet.without(54).with(54, &[10, 0])),
    ];
    for (what, change) in cases {
        let (mut world, xid) = asking();
        world.receive(&change(Packet::lending(OFFER, xid, MAC, ADDRESS, SERVER)).bytes());
        assert_eq!(world.state(), StateName::Selecting, "{what}");
        assert!(world.told().is_empty(), "{what}");
    }
    assert!(lent(|packet| packet).is_some(), "what is not changed is taken");
}

#[test]
fn offers_that_cannot_be_used() {
    let address = |address: [u8; 4]| move |packet: Packet| Packet { yiaddr: address.into(), ..packet };
    for bad in [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [239, 255, 255, 255],
        [240, 0, 0, 1],
        [255, 255, 255, 255],
        [10, 0, 0, 0],
        [10, 0, 0, 255],
    ] {
        assert_eq!(lent(address(bad)), None, "{bad:?}");
    }
    assert_eq!(lent(|packet| packet.without(51)), None, "no lease time");
    assert_eq!(lent(|packet| packet.without(51).with(51, &[0, 0, 0, 0])), None, "no time at all");
    assert_eq!(lent(|packet| packet.without(51).with(51, &[0, 0, 0, 4])), None, "too short");
    assert_eq!(lent(|packet| packet.without(51).with(51, &[0, 0, 1])), None, "three octets of time");
}

#[test]
fn what_cannot_be_used_is_told_once() {
    let (mut world, xid) = asking();
    for n in 0..100 {
        world.receive(&Packet::lending(OFFER, xid, MAC, [127, 0, 0, n], SERVER).bytes());
    }
    assert_eq!(world.told().len(), 1);
}

#[test]
fn networks() {
    for (mask, prefix_len) in [
        (Some([255, 255, 255, 0]), 24),
        (Some([255, 255, 255, 255]), 32),
        (Some([255, 255, 255, 254]), 31),
        (Some([128, 0, 0, 0]), 1),
        (Some([0, 0, 0, 0]), 8),
        (Some([255, 0, 255, 0]), 8),
        (None, 8),
    ] {
        let parameters = lent(|packet| match mask {
            Some(mask) => packet.without(1).with(1, &mask),
            None => packet.without(1),
        });
        assert_eq!(parameters.unwrap().prefix_len, prefix_len, "{mask:?}");
    }
}

#[test]
fn a_network_that_is_guessed_is_told() {
    let (mut world, xid) = asking();
    for kind in [OFFER, ACK] {
        world.receive(&Packet::lending(kind, xid, MAC, [192, 168, 3, 4], SERVER).without(1).bytes());
    }
    assert!(world.told().contains(&Notice::NoMask { address: [192, 168, 3, 4].into(), prefix_len: 24 }));
}

/// One option, and what is made of it.
#[test]
fn parameters() {
    let with = |code: u8, value: &[u8]| lent(|packet| packet.with(code, value)).expect("the rest is good");
    let gateway = |code, value: &[u8]| with(code, value).gateways;
    assert_eq!(gateway(3, &[10, 0, 0, 1]), [Ipv4Addr::new(10, 0, 0, 1)]);
    assert_eq!(gateway(3, &[10, 0, 0, 1, 10]), [] as [Ipv4Addr; 0]);
    assert_eq!(gateway(3, &[]), [] as [Ipv4Addr; 0]);
    assert_eq!(gateway(3, &[0, 0, 0, 0, 127, 0, 0, 1, 255, 255, 255, 255]), [] as [Ipv4Addr; 0]);
    assert_eq!(gateway(3, &ADDRESS), [] as [Ipv4Addr; 0], "our own address");
    assert_eq!(with(6, &[9, 9, 9, 9].repeat(30)).dns, [Ipv4Addr::new(9, 9, 9, 9)], "each once");
    let many: Vec<u8> = (1..60).flat_map(|n| [9, 9, 9, n]).collect();
    assert_eq!(with(6, &many).dns.len(), 8);
    assert_eq!(with(42, &[10, 0, 0, 5]).ntp, [Ipv4Addr::new(10, 0, 0, 5)]);

    for (mtu, taken) in [([5, 220], Some(1500)), ([2, 64], Some(576)), ([2, 63], None), ([0, 0], None)] {
        assert_eq!(with(26, &mtu).mtu, taken);
    }
    assert_eq!(with(26, &[1]).mtu, None);

    for (name, taken) in [
        (&b"example.org"[..], Some("example.org")),
        (b"example.org.", Some("example.org")),
        (b"example.org\0", Some("example.org")),
        (b"a_b.local", Some("a_b.local")),
        (b"", None),
        (b"\0", None),
        (b".", None),
        (b"a..b", None),
        (b"-o.evil", None),
        (b"a b", None),
        (b"a\nnameserver 6.6.6.6", None),
        (b"$(reboot)", None),
        (b"\xff\xfe", None),
        (&[b'a'; 64], None),
    ] {
        assert_eq!(with(15, name).domain.as_deref(), taken, "{name:?}");
        assert_eq!(with(12, name).hostname.as_deref(), taken, "{name:?}");
    }
}

#[test]
fn search_domains() {
    let search = |value: &[u8]| lent(|packet| packet.with(119, value)).expect("the rest is good").search;
    assert_eq!(
        search(b"\x03eng\x05apple\x03com\x00\x09marketing\xc0\x04"),
        ["eng.apple.com", "marketing.apple.com"]
    );
    for nonsense in [
        &b"\xc0\x00"[..],
        b"\x01a\xc0\x00",
        b"\x01a\xc0",
        b"\x01a\x00\xc0\x05",
        b"\x03en",
        b"\x40aaa\x00",
        b"\x03a\nb\x00",
        b"\x03a.b\x00",
        b"\x00",
        b"",
    ] {
        assert_eq!(search(nonsense), [] as [&str; 0], "{nonsense:?}");
    }
    // Each name a pointer to the one before, and two octets long.
    let bomb: Vec<u8> = b"\x01a\x00".iter().copied().chain((0..100).flat_map(|_| [0xc0, 0])).collect();
    assert_eq!(search(&bomb), ["a"]);
}

#[test]
fn routes() {
    let with = |value: &[u8]| {
        lent(|packet| packet.with(3, &[10, 0, 0, 1]).with(121, value)).expect("the rest is good")
    };
    let parameters = with(&[0, 10, 0, 0, 2, 25, 10, 9, 8, 200, 10, 0, 0, 3, 16, 10, 7, 0, 0, 0, 0]);
    let route = |destination: [u8; 4], prefix_len, gateway: Option<[u8; 4]>| Route {
        destination: destination.into(),
        prefix_len,
        gateway: gateway.map(Ipv4Addr::from),
    };
    assert_eq!(
        parameters.routes,
        [
            route([0, 0, 0, 0], 0, Some([10, 0, 0, 2])),
            route([10, 9, 8, 128], 25, Some([10, 0, 0, 3])),
            route([10, 7, 0, 0], 16, None),
        ]
    );
    assert_eq!(parameters.gateways, [] as [Ipv4Addr; 0], "RFC 3442");
    assert_eq!(parameters.gateway(), Some([10, 0, 0, 2].into()));
    for nonsense in
        [&[33, 1, 2, 3, 4, 5, 10, 0, 0, 2][..], &[255], &[0, 10, 0, 0], &[32, 10], &[24, 10, 0, 0, 10, 0, 0]]
    {
        let parameters = with(nonsense);
        assert!(parameters.routes.is_empty());
        assert_eq!(parameters.gateways.len(), 1, "the gateway counts then");
    }
}

#[test]
fn options_in_other_fields_and_in_pieces() {
    // RFC 2132 section 9.3, RFC 3396.
    let field = |options: &[u8]| [options, &[255]].concat();
    let parameters = lent(|packet| {
        let packet = packet.with(52, &[3]).with(15, b"exam").with(6, &[9, 9, 9, 9]).with(15, b"ple");
        Packet {
            file: field(&[15, 2, b'.', b'o', 0, 42, 4, 10, 0, 0, 5]),
            sname: field(&[15, 2, b'r', b'g']),
            ..packet
        }
    });
    let parameters = parameters.unwrap();
    assert_eq!(parameters.domain.as_deref(), Some("example.org"));
    assert_eq!(parameters.ntp, [Ipv4Addr::new(10, 0, 0, 5)]);
    for overload in [&[0][..], &[4], &[255], &[1, 1], &[]] {
        let parameters =
            lent(|packet| Packet { file: field(&[42, 4, 10, 0, 0, 5]), ..packet.with(52, overload) })
                .unwrap();
        assert!(parameters.ntp.is_empty(), "{overload:?}");
    }
    let cut = lent(|packet| Packet { file: vec![42; 128], sname: vec![200; 64], ..packet.with(52, &[3]) });
    assert!(cut.is_some());
}

/// A client with an address, in any state that it can be in with one, and what it listens for.
fn holding(how: u8) -> World {
    let mut world = World::bound(by_host());
    world.server().mute = true;
    world.stations.clear();
    match how % 4 {
        0 => {}
        1 => world.tell(Event::FailedOver),
        2 => world.run(secs(1800)),
        _ => world.run(secs(3200)),
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn bytes_of_a_stranger_change_nothing(
        how: u8,
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        frame in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut world = holding(how);
        let lease = world.client.lease().cloned();
        world.receive(&bytes);
        world.hear(&frame);
        prop_assert_eq!(world.client.lease(), lease.as_ref());
    }

    #[test]
    fn without_the_number_of_the_question_nothing_is_believed(how: u8, kind in 0u8..10, xid: u32) {
        let mut world = holding(how);
        let asked = world.sent.last().map(|sent| sent.message.xid());
        prop_assume!(asked != Some(xid));
        let lease = world.client.lease().cloned();
        world.receive(&Packet::lending(kind, xid, MAC, [10, 0, 0, 100], SERVER).bytes());
        prop_assert_eq!(world.client.lease(), lease.as_ref());
    }

    #[test]
    fn whatever_a_server_says_a_host_can_have(
        kind in prop::sample::select(vec![OFFER, ACK, NAK]),
        address: [u8; 4],
        options in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..12),
        overload: bool,
        cut in 0usize..800,
    ) {
        let (mut world, xid) = asking();
        for kind in [OFFER, kind] {
            let mut packet = Packet::lending(kind, xid, MAC, address, SERVER);
            for (code, value) in &options {
                packet = packet.with(*code, value);
            }
            if overload {
                packet.file = packet.options.iter().copied().take(128).collect();
                packet = packet.with(52, &[1]);
            }
            let mut bytes = packet.bytes();
            bytes.truncate(cut.max(300));
            world.receive(&bytes);
        }
        if let Some(lease) = world.client.lease() {
            let Parameters { address, prefix_len, routes, .. } = &lease.parameters;
            prop_assert!(!address.is_unspecified() && !address.is_loopback() && !address.is_multicast());
            prop_assert!((1..=32).contains(prefix_len));
            prop_assert!(routes.iter().all(|route| route.prefix_len <= 32));
            if let Some(lifetime) = lease.lifetime {
                prop_assert!(lifetime.renew_after < lifetime.rebind_after);
                prop_assert!(lifetime.rebind_after < lifetime.total);
            }
        }
        world.run(secs(100));
    }
}
