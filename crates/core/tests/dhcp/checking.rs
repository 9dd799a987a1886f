//! An address while the bond changes its way into the network.

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;
use hitless_core::dhcp::{Cause, Confirmation, Event, Notice, Options, StateName};
use hitless_core::mac::MacAddr;

use crate::packet::{ACK, NAK, Packet};
use crate::server::Server;
use crate::world::{GATEWAY, MAC, OTHER_GATEWAY, OTHER_MAC, World, arp_answer, by_host, by_mac, secs};

const GATEWAY_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn lost(world: &mut World) -> Option<Cause> {
    world.told().into_iter().find_map(|notice| match notice {
        Notice::Lost { cause, .. } => Some(cause),
        _ => None,
    })
}

#[test]
fn a_failover_keeps_the_address_and_asks_both() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.tell(Event::FailedOver);
    assert_eq!((world.state(), world.address()), (StateName::Checking, address));
    let [sent] = &world.sent[..] else { panic!() };
    // INIT-REBOOT: RFC 2131 section 4.3.2.
    assert_eq!((sent.kind(), sent.to, sent.requested()), (MessageType::Request, None, address));
    assert!(sent.message.ciaddr().is_unspecified());
    assert!(!sent.message.opts().contains(dhcproto::v4::OptionCode::ServerIdentifier));
    assert_eq!(world.claims.last().unwrap().1.target, GATEWAY_ADDRESS);
    world.run(secs(5));
    assert_eq!((world.state(), world.address()), (StateName::Bound, address));
    assert!(matches!(world.told()[0], Notice::Confirmed { .. }));
}

#[test]
fn the_gateway_alone_confirms() {
    let mut world = World::bound(by_host());
    let address = world.address().unwrap();
    world.server().mute = true;
    world.tell(Event::FailedOver);
    world.run(secs(60));
    assert_eq!((world.state(), world.address()), (StateName::Bound, Some(address)));
    let by = Confirmation::Gateway { address: GATEWAY_ADDRESS, mac: GATEWAY };
    assert_eq!(world.told(), [Notice::Confirmed { address, by }]);
    assert_eq!(world.said(), [MessageType::Request; 4], "servers are asked a few times more");
}

#[test]
fn the_server_alone_confirms() {
    let mut world = World::bound(by_host());
    let address = world.address().unwrap();
    world.stations.clear();
    world.tell(Event::FailedOver);
    world.run(secs(60));
    assert_eq!((world.state(), world.address()), (StateName::Bound, Some(address)));
    let by = Confirmation::Server(world.server().id);
    assert_eq!(world.told(), [Notice::Confirmed { address, by }]);
    let left = world.client.lease().unwrap().remaining(world.now).unwrap();
    assert!(left > secs(3500), "it is lent anew");
}

#[test]
fn another_hardware_address_of_the_bond_keeps_the_address_by_host() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.tell(Event::Up { mac: OTHER_MAC });
    assert_eq!(world.address(), address);
    world.run(secs(5));
    assert_eq!(world.address(), address);
    assert_eq!(world.sent[0].message.chaddr(), OTHER_MAC.0);
    assert_eq!(lost(&mut world), None);
}

#[test]
fn another_hardware_address_may_bring_another_address_by_mac() {
    let mut world = World::bound(by_mac());
    world.tell(Event::Up { mac: OTHER_MAC });
    world.run(secs(5));
    assert_eq!(world.address(), Some([10, 0, 0, 101].into()), "the server takes it for another host");
}

#[test]
fn another_network_says_no() {
    let mut world = World::bound(by_host());
    let before = world.address();
    world.moved(Server::new(3), OTHER_GATEWAY);
    world.tell(Event::NetworkChanged);
    assert_eq!(world.address(), before, "kept until it is decided");
    world.run(secs(1));
    assert_eq!(world.address(), Some([10, 0, 3, 100].into()));
    assert_eq!(lost(&mut world), Some(Cause::Nak([10, 0, 3, 1].into())));
    world.run(secs(5));
    assert_eq!(world.client.lease().unwrap().gateway_mac, Some(OTHER_GATEWAY));
}

#[test]
fn another_network_that_says_nothing() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.moved(Server { authoritative: false, ..Server::new(0) }, OTHER_GATEWAY);
    world.tell(Event::NetworkChanged);
    world.run(secs(9));
    assert_eq!(world.address(), address);
    world.run(secs(2));
    assert_eq!(lost(&mut world), Some(Cause::Elsewhere));
    assert_eq!(world.state(), StateName::Bound, "with a lease of this network");
    assert_eq!(world.client.lease().unwrap().gateway_mac, Some(OTHER_GATEWAY));
}

#[test]
fn silence_costs_the_address_later_where_the_network_should_be_the_same() {
    for (event, kept, over) in [(Event::FailedOver, 34, 2), (Event::NetworkChanged, 9, 2)] {
        let mut world = World::bound(by_host());
        let address = world.address();
        world.stations.clear();
        world.server().mute = true;
        world.tell(event);
        world.run(secs(kept));
        assert_eq!((world.state(), world.address()), (StateName::Checking, address));
        assert!(world.claims.len() >= 10 && world.sent.len() >= 3, "asked often enough");
        world.run(secs(over));
        assert_eq!(world.address(), None);
        assert_eq!(lost(&mut world), Some(Cause::Elsewhere));
    }
}

#[test]
fn where_no_gateway_is_known_silence_is_no_sign() {
    let mut world = World::new(by_host());
    world.stations.clear();
    world.up();
    world.run(secs(10));
    let address = world.address();
    world.server().mute = true;
    world.tell(Event::NetworkChanged);
    world.run(secs(3580));
    assert_eq!((world.state(), world.address()), (StateName::Checking, address));
    world.run(secs(20));
    assert_eq!(lost(&mut world), Some(Cause::Expired));
}

#[test]
fn a_server_that_comes_back_lends_from_then_on() {
    let mut world = World::new(by_host());
    world.stations.clear();
    world.up();
    world.run(secs(10));
    world.server().mute = true;
    world.tell(Event::FailedOver);
    world.run(secs(3500));
    world.server().mute = false;
    world.server().lease = 1800;
    world.run(secs(66));
    assert_eq!(world.state(), StateName::Bound);
    let left = world.client.lease().unwrap().remaining(world.now).unwrap();
    assert!(left > secs(1730), "{left:?}");
    assert_eq!(lost(&mut world), None);
}

#[test]
fn another_gateway_makes_doubtful_and_not_more() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.server().mute = true;
    world.stations.insert(GATEWAY_ADDRESS, OTHER_GATEWAY);
    world.tell(Event::FailedOver);
    world.run(secs(8));
    assert_eq!(world.address(), address);
    world.server().mute = false;
    world.run(secs(8));
    // The server's word counts for more; the gateway was replaced.
    assert_eq!((world.state(), world.address()), (StateName::Bound, address));
    assert_eq!(world.client.lease().unwrap().gateway_mac, Some(OTHER_GATEWAY));
}

#[test]
fn another_gateway_and_no_server_is_another_network() {
    let mut world = World::bound(by_host());
    world.server().mute = true;
    world.stations.clear();
    world.tell(Event::FailedOver);
    // Our question went to the old one; this answers one of the host's own.
    world.hear(&arp_answer(OTHER_GATEWAY, GATEWAY_ADDRESS, MAC, [10, 0, 0, 100].into()));
    world.run(secs(11));
    assert_eq!(lost(&mut world), Some(Cause::Elsewhere));
}

#[test]
fn an_address_that_was_not_asked_for_is_not_taken() {
    for event in [Event::FailedOver, Event::Renew] {
        let mut world = World::bound(by_host());
        let lease = world.client.lease().cloned();
        world.server().mute = true;
        world.tell(event);
        let xid = world.sent[0].message.xid();
        world.receive(&Packet::lending(ACK, xid, MAC, [10, 0, 0, 7], [10, 0, 0, 1]).bytes());
        assert_eq!(world.client.lease(), lease.as_ref());
    }
}

#[test]
fn where_the_gateway_is_the_same_only_the_own_server_may_refuse() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.server().mute = true;
    world.tell(Event::FailedOver);
    let xid = world.sent[0].message.xid();
    world.run(secs(1));
    world.receive(&Packet::lending(NAK, xid, MAC, [0; 4], [10, 0, 0, 66]).bytes());
    assert_eq!(world.address(), address);
    world.receive(&Packet::lending(NAK, xid, MAC, [0; 4], [10, 0, 0, 1]).bytes());
    assert_eq!(world.address(), None);
}

#[test]
fn an_answer_to_someone_else_confirms_nothing() {
    let mut world = World::bound(by_host());
    world.server().mute = true;
    world.stations.clear();
    world.tell(Event::FailedOver);
    world.hear(&arp_answer(GATEWAY, GATEWAY_ADDRESS, MAC, [10, 0, 0, 7].into()));
    world.hear(&arp_answer(GATEWAY, [10, 0, 0, 2].into(), MAC, [10, 0, 0, 100].into()));
    assert_eq!(world.state(), StateName::Checking);
    world.hear(&arp_answer(GATEWAY, GATEWAY_ADDRESS, MAC, [10, 0, 0, 100].into()));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn an_address_outlives_its_link_but_not_its_lease() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.tell(Event::Down);
    assert!(!world.client.is_listening_to_arp());
    world.run(secs(3500));
    assert_eq!((world.state(), world.address()), (StateName::Checking, address));
    world.run(secs(100));
    assert_eq!(world.address(), None);
    assert!(world.said().is_empty());
}

#[test]
fn a_link_that_comes_back_is_checked() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.tell(Event::Down);
    world.run(secs(60));
    world.up();
    world.run(secs(5));
    assert_eq!((world.state(), world.address()), (StateName::Bound, address));
    assert!(matches!(world.told()[0], Notice::Confirmed { .. }));
}

#[test]
fn the_end_of_a_lease_may_be_slept_over() {
    let mut world = World::bound(by_host());
    world.sleep(secs(100_000));
    world.tell(Event::Resumed);
    assert_eq!(lost(&mut world), Some(Cause::Expired));
    world.run(secs(1));
    assert_eq!(world.said(), [MessageType::Discover, MessageType::Request]);
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn after_a_short_sleep_the_address_is_checked() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.sleep(secs(600));
    world.tell(Event::Resumed);
    assert_eq!((world.state(), world.address()), (StateName::Checking, address));
    world.run(secs(5));
    assert_eq!((world.state(), world.address()), (StateName::Bound, address));
}

#[test]
fn what_is_told_without_a_link_counts_when_there_is_one() {
    for (event, kept) in [(Event::FailedOver, true), (Event::NetworkChanged, false), (Event::Resumed, false)]
    {
        let mut world = World::bound(by_host());
        world.stations.clear();
        world.server().mute = true;
        world.tell(Event::Down);
        world.tell(event);
        world.up();
        world.tell(Event::FailedOver);
        world.run(secs(20));
        assert_eq!(world.address().is_some(), kept);
    }
}

#[test]
fn a_restarted_client_has_its_address_at_once() {
    let mut first = World::bound(by_host());
    let remembered = first.client.lease().unwrap().remembered(first.now);
    let mut world = World::remembering(by_host(), Some(remembered.clone()));
    world.servers = std::mem::take(&mut first.servers);
    assert_eq!(world.address(), first.address());
    assert_eq!(world.state(), StateName::Checking);
    world.up();
    world.run(secs(1));
    assert_eq!((world.state(), world.address()), (StateName::Bound, first.address()));
    assert_eq!(world.said(), [MessageType::Request]);
    assert!(matches!(world.told()[0], Notice::Confirmed { .. }));

    let over = hitless_core::dhcp::Remembered { remaining: Some(secs(0)), ..remembered.clone() };
    assert_eq!(World::remembering(by_host(), Some(over)).address(), None);
    let mut nonsense = remembered;
    nonsense.parameters.address = Ipv4Addr::LOCALHOST;
    assert_eq!(World::remembering(by_host(), Some(nonsense)).address(), None);
}

#[test]
fn another_identity_is_checked() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.tell(Event::Configure(Options { chaddr: Some(MacAddr([2, 7, 7, 7, 7, 7])), ..by_host() }));
    assert_eq!((world.state(), world.address()), (StateName::Checking, address));
    world.run(secs(5));
    assert_eq!((world.state(), world.address()), (StateName::Bound, address), "the server goes by the host");
    world.tell(Event::Configure(by_mac()));
    world.run(secs(5));
    assert_eq!(world.address(), Some([10, 0, 0, 101].into()));
}
