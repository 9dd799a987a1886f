//! From a link to an address, and what is said on the way.

use std::time::Duration;

use dhcproto::v4::{DhcpOption, MessageType, OptionCode};
use hitless_core::dhcp::{ClientId, Event, Notice, Options, StateName};
use hitless_core::time::Instant;

use crate::packet::{ACK, NAK, OFFER, Packet};
use crate::server::Server;
use crate::world::{GATEWAY, MAC, OTHER_MAC, World, by_host, by_mac, secs};

#[test]
fn an_address_at_once() {
    let mut world = World::new(by_host());
    assert_eq!(world.state(), StateName::Init);
    assert_eq!(world.client.poll_timeout(), None);
    world.up();
    world.run(Duration::from_millis(2));
    assert_eq!(world.address(), Some([10, 0, 0, 100].into()));
    assert_eq!(world.state(), StateName::Bound);
    assert_eq!(world.said(), [MessageType::Discover, MessageType::Request]);
    let [Notice::Bound { prefix_len: 24, .. }] = world.told()[..] else { panic!() };
}

#[test]
fn a_new_address_is_announced_twice_and_the_gateway_is_learnt() {
    let mut world = World::new(by_host());
    world.up();
    world.run(secs(30));
    let address = world.address().unwrap();
    let announced = |(_, claim): &&(Instant, hitless_core::wire::Claim)| {
        claim.target == address && claim.address == address
    };
    assert_eq!(world.claims.iter().filter(announced).count(), 2);
    assert_eq!(world.client.lease().unwrap().gateway_mac, Some(GATEWAY));
    assert_eq!(world.claims.len(), 3, "the gateway was asked once");
}

#[test]
fn what_is_said() {
    let mut world = World::new(by_host());
    world.up();
    world.run(secs(1));
    let [discover, request] = &world.sent[..] else { panic!() };
    for sent in [discover, request] {
        let options = sent.message.opts();
        assert!(!sent.message.flags().broadcast());
        assert_eq!(sent.message.chaddr(), MAC.0);
        let Some(DhcpOption::ClientIdentifier(id)) = options.get(OptionCode::ClientIdentifier) else {
            panic!()
        };
        assert_eq!(id[..7], [0xff, 0, 0, 0, 7, 0, 4]);
        assert_eq!(options.get(OptionCode::Hostname), Some(&DhcpOption::Hostname("host".to_owned())));
        let Some(DhcpOption::ParameterRequestList(list)) = options.get(OptionCode::ParameterRequestList)
        else {
            panic!()
        };
        let place = |code| list.iter().position(|wanted| *wanted == code).unwrap();
        assert!(place(OptionCode::ClasslessStaticRoute) < place(OptionCode::Router), "RFC 3442");
    }
    assert_eq!(discover.message.xid(), request.message.xid());
    assert_eq!(discover.message.secs(), request.message.secs());
    assert_eq!(request.requested(), Some([10, 0, 0, 100].into()));
    assert_eq!(
        request.message.opts().get(OptionCode::ServerIdentifier),
        Some(&DhcpOption::ServerIdentifier([10, 0, 0, 1].into()))
    );
}

#[test]
fn by_hardware_address() {
    assert_eq!(identifier(by_mac()), [1, 2, 0, 0, 0, 0, 1]);
}

#[test]
fn by_what_another_client_was_known() {
    let octets = vec![0xff, 0, 0xa0, 1];
    assert_eq!(identifier(Options { client_id: ClientId::Octets(octets.clone()), ..by_mac() }), octets);
}

/// What the server is told first.
fn identifier(options: Options) -> Vec<u8> {
    let mut world = World::new(options);
    world.up();
    let Some(DhcpOption::ClientIdentifier(id)) =
        world.sent[0].message.opts().get(OptionCode::ClientIdentifier)
    else {
        panic!()
    };
    id.clone()
}

#[test]
fn a_pinned_hardware_address_is_answered_to_everyone() {
    let mut world = World::new(Options { chaddr: Some(OTHER_MAC), ..by_host() });
    world.up();
    world.run(secs(1));
    assert_eq!(world.sent[0].message.chaddr(), OTHER_MAC.0);
    assert!(world.sent[0].message.flags().broadcast());
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn unanswered_questions_are_asked_again_ever_more_seldom() {
    let mut world = World::new(by_host());
    world.server().mute = true;
    world.up();
    world.run(secs(600));
    let times: Vec<Instant> = world.sent.iter().map(|sent| sent.at).collect();
    let waits: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    for (wait, nominal) in waits.iter().zip([1u64, 2, 4, 8, 16, 32, 64, 64, 64]) {
        let jitter = Duration::from_secs(1).min(secs(nominal) / 4);
        assert!(*wait >= secs(nominal) - jitter && *wait <= secs(nominal) + jitter, "{waits:?}");
    }
    assert!(world.sent.windows(2).all(|pair| pair[0].message.xid() == pair[1].message.xid()));
    let last = world.sent.last().unwrap();
    assert_eq!(u64::from(last.message.secs()), (last.at - times[0]).as_secs());
    assert_eq!(world.told(), [Notice::NoAnswer { state: StateName::Selecting }], "said once");
    world.server().mute = false;
    world.run(secs(66));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn a_slow_server_is_heard_although_it_was_asked_again() {
    let mut world = World::new(by_host());
    world.delay = Duration::from_millis(3500);
    world.up();
    world.run(secs(8));
    assert_eq!(world.address(), Some([10, 0, 0, 100].into()));
    let lease = world.client.lease().unwrap();
    let asked = world.sent.iter().find(|sent| sent.kind() == MessageType::Request).unwrap().at;
    assert_eq!(lease.obtained, asked, "RFC 2131 section 4.4.1");
    let [discovers, requests] = [MessageType::Discover, MessageType::Request]
        .map(|kind| world.sent.iter().filter(|sent| sent.kind() == kind).collect::<Vec<_>>());
    let secs = discovers.last().unwrap().message.secs();
    assert!(requests.len() > 1 && requests.iter().all(|request| request.message.secs() == secs));
}

#[test]
fn nothing_is_said_without_a_link() {
    let mut world = World::new(by_host());
    world.server().mute = true;
    world.up();
    world.run(secs(3));
    world.tell(Event::Down);
    world.sent.clear();
    world.run(secs(3600));
    assert!(world.sent.is_empty());
    world.server().mute = false;
    world.up();
    world.run(secs(1));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn a_failover_asks_at_once() {
    let mut world = World::new(by_host());
    world.server().mute = true;
    world.up();
    world.run(secs(100));
    world.server().mute = false;
    world.tell(Event::FailedOver);
    world.run(secs(1));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn of_two_servers_the_first_is_taken() {
    let mut world = World::new(by_host());
    world.servers.push(Server { id: [10, 0, 0, 2].into(), first: [10, 0, 0, 200].into(), ..Server::new(0) });
    world.up();
    world.run(secs(5));
    assert_eq!(world.address(), Some([10, 0, 0, 100].into()));
    assert_eq!(world.said(), [MessageType::Discover, MessageType::Request]);
}

#[test]
fn only_the_chosen_server_counts() {
    let mut world = World::new(by_host());
    world.server().mute = true;
    world.up();
    let xid = world.sent[0].message.xid();
    let lending = |kind, address, server| Packet::lending(kind, xid, MAC, address, server).bytes();
    world.receive(&lending(OFFER, [10, 0, 0, 50], [10, 0, 0, 1]));
    assert_eq!(world.state(), StateName::Requesting);
    world.receive(&lending(OFFER, [10, 0, 0, 60], [10, 0, 0, 2]));
    world.receive(&lending(ACK, [10, 0, 0, 60], [10, 0, 0, 2]));
    world.receive(&lending(ACK, [10, 0, 0, 50], [10, 0, 0, 2]));
    world.receive(&lending(ACK, [10, 0, 0, 51], [10, 0, 0, 1]));
    world.receive(&lending(NAK, [0, 0, 0, 0], [10, 0, 0, 2]));
    assert_eq!(world.state(), StateName::Requesting);
    world.receive(&lending(ACK, [10, 0, 0, 50], [10, 0, 0, 1]));
    assert_eq!(world.address(), Some([10, 0, 0, 50].into()));
    let lease = world.client.lease().cloned();
    world.receive(&lending(ACK, [10, 0, 0, 50], [10, 0, 0, 1]));
    world.receive(&lending(NAK, [0, 0, 0, 0], [10, 0, 0, 1]));
    assert_eq!(world.client.lease(), lease.as_ref(), "late and duplicated answers");
}

#[test]
fn an_offer_that_is_not_kept() {
    let mut world = World::new(by_host());
    world.up();
    world.server().mute = true;
    world.run(secs(100));
    assert_eq!(world.state(), StateName::Selecting);
    let said = world.said();
    assert_eq!(said[..5], [[MessageType::Discover].as_slice(), &[MessageType::Request; 4]].concat());
    assert_eq!(said[5], MessageType::Discover);
}

#[test]
fn a_server_that_refuses_what_it_offers_is_not_asked_as_fast_as_it_answers() {
    let mut world = World::new(by_host());
    world.server().fickle = true;
    world.up();
    world.run(secs(600));
    let requests = world.said().iter().filter(|kind| **kind == MessageType::Request).count();
    assert!((5..30).contains(&requests), "{requests}");
    world.server().fickle = false;
    world.run(secs(65));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn the_address_that_was_ours_is_waited_for_a_moment() {
    let mut world = World::bound(by_host());
    let address = world.address().unwrap();
    world.server().mute = true;
    world.tell(Event::Down);
    world.run(secs(4000));
    assert_eq!(world.address(), None, "expired");
    // A faster server would give another.
    world.server().mute = false;
    let other = Server { id: [10, 0, 0, 2].into(), first: [10, 0, 0, 200].into(), ..Server::new(0) };
    world.servers.insert(0, other);
    world.up();
    world.run(secs(1));
    assert_eq!(world.address(), Some(address));
    let requested = world.sent.iter().find(|sent| sent.kind() == MessageType::Discover).unwrap().requested();
    assert_eq!(requested, Some(address));
}

#[test]
fn but_not_for_longer() {
    let mut world = World::bound(by_host());
    world.tell(Event::Down);
    world.run(secs(4000));
    world.moved(Server::new(3), GATEWAY);
    world.up();
    world.run(Duration::from_millis(300));
    assert_eq!(world.address(), Some([10, 0, 3, 100].into()));
}

#[test]
fn given_back() {
    let mut world = World::bound(by_host());
    let address = world.address().unwrap();
    world.tell(Event::Release);
    assert_eq!(world.address(), None);
    assert!(world.server().released.contains(&address));
    assert_eq!(world.state(), StateName::Released);
    assert_eq!(world.said(), [MessageType::Release]);
    world.tell(Event::FailedOver);
    world.tell(Event::Down);
    world.up();
    world.run(secs(100_000));
    assert!(world.said().is_empty());
    world.tell(Event::Renew);
    world.run(secs(1));
    assert_eq!(world.state(), StateName::Bound);
}
