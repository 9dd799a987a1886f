//! From nothing to a lease.

use std::net::Ipv6Addr;

use dhcproto::v6::{DhcpOption, MessageType, OptionCode};
use hitless_core::dhcp::ClientId;
use hitless_core::dhcp6::{Cause, Event, Notice, Options, Prefix, Resource, StateName, Status};

use crate::packet::{ADVERTISE, Packet, REPLY, address, association};
use crate::server::Server;
use crate::world::{IAID, MAC, OTHER_MAC, World, delegated, duid, millis, options, secs};

const FIRST: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x100);

#[test]
fn one_question_and_one_answer() {
    let mut world = World::new(options());
    assert_eq!(
        world.client.poll_timeout().map(|(_, why)| why),
        None,
        "without a link, nothing is waited for"
    );
    world.up();
    world.run(millis(2));
    assert_eq!(world.address(), Some(FIRST));
    assert_eq!(world.state(), StateName::Bound);
    let from = world.server().from;
    let lifetime = Some(secs(7200));
    assert_eq!(world.told(), [Notice::Bound { what: Resource::Address(FIRST), server: from, lifetime }]);
    let [sent] = &world.sent[..] else { panic!("{:?}", world.sent) };
    let options = sent.message.opts();
    assert!(options.get(OptionCode::RapidCommit).is_some());
    assert!(matches!(options.get(OptionCode::IANA), Some(DhcpOption::IANA(one)) if one.id == IAID));
    assert!(options.get(OptionCode::IAPD).is_none(), "nobody asked for it");
    assert!(matches!(options.get(OptionCode::ElapsedTime), Some(DhcpOption::ElapsedTime(0))));
    assert!(
        matches!(options.get(OptionCode::ClientId), Some(DhcpOption::ClientId(id)) if id == duid().octets())
    );
    let Some(DhcpOption::Unknown(name)) = options.get(OptionCode::ClientFqdn) else { panic!("{options:?}") };
    assert_eq!(name.data(), b"\x01\x04host", "RFC 4704: a part of a name has no end");
}

#[test]
fn a_whole_name_has_an_end() {
    let mut world = World::new(Options { hostname: Some("host.example".to_owned()), ..options() });
    world.up();
    let options = world.sent[0].message.opts();
    let Some(DhcpOption::Unknown(name)) = options.get(OptionCode::ClientFqdn) else { panic!("{options:?}") };
    assert_eq!(name.data(), b"\x01\x04host\x07example\0");
    for bad in ["", "a..b", &"x".repeat(64)] {
        let mut world = World::new(Options { hostname: Some(bad.to_owned()), ..options_without_name() });
        world.up();
        assert!(world.sent[0].message.opts().get(OptionCode::ClientFqdn).is_none(), "{bad}");
    }
}

fn options_without_name() -> Options {
    Options { hostname: None, ..options() }
}

#[test]
fn without_rapid_commit_it_takes_two_and_the_first_wait() {
    let mut world = World::new(options());
    world.server().rapid = false;
    world.up();
    world.run(millis(999));
    assert_eq!(world.state(), StateName::Soliciting, "others may answer, too (RFC 8415 section 18.2.1)");
    world.run(millis(110));
    assert_eq!(world.address(), Some(FIRST));
    assert_eq!(world.said(), [MessageType::Solicit, MessageType::Request]);
}

#[test]
fn the_greatest_preference_is_taken_at_once() {
    let mut world = World::new(options());
    world.servers = vec![
        Server { rapid: false, ..Server::new(1) },
        Server { rapid: false, preference: 255, first: 0x200, ..Server::new(1).named(9) },
    ];
    world.up();
    world.run(millis(10));
    assert_eq!(world.address(), Some([0xfd00, 1, 0, 0, 0, 0, 0, 0x200].into()));
}

#[test]
fn of_several_the_preferred_one() {
    for (preferences, expected) in [([0, 7], 0x200), ([7, 0], 0x100), ([7, 7], 0x100)] {
        let mut world = World::new(options());
        let [one, other] = preferences;
        world.servers = vec![
            Server { rapid: false, preference: one, ..Server::new(1) },
            Server { rapid: false, preference: other, first: 0x200, ..Server::new(1).named(9) },
        ];
        world.up();
        world.run(secs(2));
        assert_eq!(world.address(), Some([0xfd00, 1, 0, 0, 0, 0, 0, expected].into()), "{preferences:?}");
    }
}

#[test]
fn each_lost_message_costs_a_wait_and_no_more() {
    // Of the client's, then of the server's: the first, or the second of its kind.
    for (rapid, lose, answers, most) in [
        (true, 1, 0, 1200),
        (true, 0, 1, 1200),
        (false, 1, 0, 1200),
        (false, 0, 1, 1200),
        (false, 2, 0, 3500),
    ] {
        let mut world = World::new(options());
        world.server().rapid = rapid;
        (world.lose, world.lose_answers) = (lose, answers);
        world.up();
        world.run(millis(most));
        assert_eq!(world.address(), Some(FIRST), "{rapid} {lose} {answers}");
    }
    // The Request, and its answer.
    for of_answers in [false, true] {
        let mut world = World::new(options());
        world.server().rapid = false;
        world.up();
        world.run(millis(100));
        *(if of_answers { &mut world.lose_answers } else { &mut world.lose }) = 1;
        world.run(millis(2300));
        assert_eq!(world.address(), Some(FIRST), "{of_answers}");
    }
}

#[test]
fn silence_is_said_once_and_asking_goes_on() {
    let mut world = World::new(options());
    world.server().mute = true;
    world.up();
    world.run(secs(4000));
    assert_eq!(world.told(), [Notice::NoAnswer { state: StateName::Soliciting }]);
    world.sent.retain(|sent| sent.message.msg_type() == MessageType::Solicit);
    let xids: Vec<u32> = world.sent.iter().map(|sent| sent.message.xid_num()).collect();
    assert!(xids.iter().all(|xid| *xid == xids[0]), "RFC 8415 section 16.1");
    let elapsed: Vec<u16> = world
        .sent
        .iter()
        .filter_map(|sent| match sent.message.opts().get(OptionCode::ElapsedTime) {
            Some(DhcpOption::ElapsedTime(elapsed)) => Some(*elapsed),
            _ => None,
        })
        .collect();
    assert!(elapsed.is_sorted() && elapsed[1] >= 100 && *elapsed.last().unwrap() == u16::MAX, "{elapsed:?}");
    assert!((12..=13).contains(&world.sent.len()), "1 + 2 + 4 + … s: {}", world.sent.len());
    world.server().mute = false;
    // Another way into the network is no reason to wait for an hour.
    world.tell(Event::FailedOver);
    world.run(millis(2));
    assert_eq!(world.address(), Some(FIRST));
}

#[test]
fn servers_say_how_long_the_longest_wait_is() {
    let mut world = World::new(options());
    world.server().stateless = true;
    world.server().more = vec![(82, 60u32.to_be_bytes().to_vec())];
    world.up();
    world.run(secs(2));
    world.servers.clear();
    world.tell(Event::NetworkChanged);
    world.sent.clear();
    world.run(secs(4000));
    let gaps: Vec<u64> = world.sent.windows(2).map(|two| (two[1].at - two[0].at).as_secs()).collect();
    assert!(gaps.iter().all(|gap| *gap <= 66), "{gaps:?}");
    assert!(world.sent.len() > 50, "{}", world.sent.len());
}

#[test]
fn what_was_offered_and_refused_is_not_asked_for_as_fast_as_one_can() {
    let mut world = World::new(options());
    world.server().rapid = false;
    world.server().preference = 255;
    world.server().fickle = true;
    world.up();
    world.run(secs(120));
    assert!(world.sent.len() < 40, "{}", world.sent.len());
    let server = world.server().from;
    assert_eq!(world.told()[0], Notice::Refusal { server, status: Status::NoAddrsAvail });
    world.server().fickle = false;
    world.run(secs(70));
    assert_eq!(world.address(), Some(FIRST));
}

#[test]
fn not_on_link_in_answer_to_a_request_begins_again() {
    let mut world = World::new(options());
    world.server().mute = true;
    world.up();
    let xid = world.xid();
    let elsewhere = address([0xfd00, 99, 0, 0, 0, 0, 0, 1].into(), 60, 60);
    let server = world.server().duid.clone();
    let offer = Packet::new(ADVERTISE, xid, duid().octets(), &server)
        .with(7, &[255])
        .with(3, &association(IAID, [0, 0], &[elsewhere]));
    world.server().mute = false;
    world.receive(&offer.bytes());
    assert_eq!(world.state(), StateName::Requesting);
    world.run(secs(2));
    assert_eq!(world.address(), Some(FIRST));
    let from = world.server().from;
    assert_eq!(world.told()[0], Notice::Refusal { server: from, status: Status::NotOnLink });
}

#[test]
fn a_server_that_only_fails_is_asked_again_slowly_then_another() {
    for number in [1u16, 5] {
        let mut world = World::new(options());
        let good = Server { rapid: false, preference: 1, ..Server::new(1) };
        world.servers = vec![good];
        world.up();
        world.run(millis(999));
        world.server().mute = true;
        world.run(millis(110));
        assert_eq!(world.state(), StateName::Requesting);
        let server = world.server().duid.clone();
        let failure =
            Packet::new(REPLY, world.xid(), duid().octets(), &server).with(13, &number.to_be_bytes());
        world.said();
        for _ in 0..10 {
            world.receive(&failure.bytes());
        }
        assert_eq!(world.said(), [], "{number}");
        world.run(secs(300));
        assert!(world.said().contains(&MessageType::Solicit), "REQ_MAX_RC");
    }
}

#[test]
fn a_prefix_comes_with_the_address() {
    let mut world = World::new(delegated());
    world.server().delegates = Some(0x7700);
    world.up();
    world.run(millis(2));
    let prefix = Prefix { address: [0x2001, 0xdb8, 0x7700, 0, 0, 0, 0, 0].into(), length: 56 };
    assert_eq!((world.address(), world.prefixes()), (Some(FIRST), vec![prefix]));
    assert_eq!(world.client.snapshot(world.now).prefix_expires_in, Some(secs(7200) - millis(1)));
    // A later wish, and its end.
    let mut world = World::bound(options());
    assert_eq!(world.prefixes(), []);
    world.tell(Event::Configure(delegated()));
    world.run(secs(1));
    assert_eq!((world.said(), world.prefixes()), (vec![MessageType::Renew], vec![prefix]));
    world.told();
    world.tell(Event::Configure(options()));
    assert_eq!(world.prefixes(), []);
    assert_eq!(world.told(), [Notice::Lost { what: Resource::Prefix(prefix), cause: Cause::Released }]);
    assert_eq!(world.address(), Some(FIRST));
}

#[test]
fn somebody_else_has_it() {
    let mut world = World::new(Options { detect_conflicts: true, ..options() });
    world.up();
    world.run(millis(2));
    assert!(world.client.lease().unwrap().untested.contains(&FIRST));
    world.lose = 1;
    world.tell(Event::Duplicate(FIRST));
    assert_eq!((world.state(), world.address()), (StateName::Declining, None));
    world.run(secs(2));
    let [_, decline, again, solicit] = &world.said()[..] else { panic!() };
    assert_eq!(
        [*decline, *again, *solicit],
        [MessageType::Decline, MessageType::Decline, MessageType::Solicit]
    );
    assert!(world.server().declined.contains(&FIRST));
    let second = Ipv6Addr::from([0xfd00, 1, 0, 0, 0, 0, 0, 0x101]);
    assert_eq!(world.address(), Some(second));
    world.tell(Event::Unique(second));
    assert!(world.client.lease().unwrap().untested.is_empty());
    world.tell(Event::Duplicate(FIRST));
    assert_eq!(world.address(), Some(second), "that is not ours any more");
}

#[test]
fn a_decline_that_nobody_hears_is_given_up() {
    let mut world = World::new(Options { detect_conflicts: true, ..options() });
    world.up();
    world.run(millis(2));
    world.said();
    world.server().mute = true;
    world.tell(Event::Duplicate(FIRST));
    world.run(secs(20));
    let said = world.said();
    assert_eq!(said.iter().filter(|kind| **kind == MessageType::Decline).count(), 4, "DEC_MAX_RC");
    assert_eq!(world.state(), StateName::Soliciting);
}

#[test]
fn where_every_address_is_taken_it_is_not_asked_for_as_fast_as_one_can() {
    let mut world = World::new(Options { detect_conflicts: true, ..options() });
    world.up();
    for _ in 0..100 {
        world.run(secs(2));
        if let Some(address) = world.address() {
            world.tell(Event::Duplicate(address));
        }
    }
    assert!(world.server().declined.len() < 10, "{}", world.server().declined.len());
}

#[test]
fn an_identity_of_the_hardware_address_does_not_change_with_it() {
    let mut world = World::new(Options { client_id: ClientId::Mac, ..options() });
    world.up();
    world.run(secs(1));
    world.tell(Event::Down);
    world.tell(Event::Up { mac: OTHER_MAC });
    world.run(secs(1));
    let id = |n: usize| match world.sent[n].message.opts().get(OptionCode::ClientId) {
        Some(DhcpOption::ClientId(id)) => id.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(id(0), [&[0, 3, 0, 1][..], &MAC.0].concat());
    assert_eq!(id(0), id(1));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn given_back() {
    let mut world = World::bound(delegated());
    world.tell(Event::Release);
    assert_eq!((world.said(), world.state()), (vec![MessageType::Release], StateName::Released));
    assert!(world.server().released.contains(&FIRST));
    assert_eq!(world.client.information(), None);
    world.run(secs(100_000));
    assert_eq!(world.said(), []);
    world.tell(Event::Renew);
    world.run(secs(1));
    assert_eq!(world.state(), StateName::Bound);
}
