//! Is what there is good where the bond is now?

use std::net::Ipv6Addr;

use dhcproto::v6::MessageType;
use hitless_core::dhcp6::{Cause, Event, Notice, Resource, StateName};

use crate::packet::{Packet, REPLY};
use crate::server::Server;
use crate::world::{MAC, OTHER_MAC, World, delegated, duid, millis, options, secs};

const FIRST: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x100);

/// What makes one ask.
fn moves() -> Vec<Vec<Event<'static>>> {
    vec![
        vec![Event::FailedOver],
        vec![Event::NetworkChanged],
        vec![Event::Resumed],
        vec![Event::Down, Event::Up { mac: MAC }],
        vec![Event::Up { mac: OTHER_MAC }],
    ]
}

#[test]
fn it_stays_and_is_confirmed() {
    for events in moves() {
        let mut world = World::bound(options());
        let renews_at = world.client.lease().unwrap().renews_at;
        for event in events {
            world.tell(event);
            assert_eq!((world.address(), world.state()), (Some(FIRST), StateName::Confirming));
        }
        world.run(millis(2));
        assert_eq!(world.said(), [MessageType::Confirm]);
        assert_eq!(world.state(), StateName::Bound);
        let server = world.server().from;
        assert_eq!(world.told(), [Notice::Confirmed { server }]);
        assert_eq!(world.client.lease().unwrap().renews_at, renews_at, "it runs on as it did");
    }
}

#[test]
fn with_a_prefix_it_is_bound_again() {
    for events in moves() {
        let mut world = World::bound(delegated());
        events.into_iter().for_each(|event| world.tell(event));
        world.run(millis(2));
        assert_eq!(world.said(), [MessageType::Rebind], "RFC 8415 section 18.2.12");
        assert_eq!((world.address(), world.prefixes().len()), (Some(FIRST), 1));
        assert_eq!(world.state(), StateName::Bound);
    }
}

#[test]
fn lost_messages_are_said_again() {
    let mut world = World::bound(options());
    world.lose = 2;
    world.tell(Event::FailedOver);
    world.run(secs(4));
    assert_eq!(world.said(), [MessageType::Confirm; 3]);
    assert_eq!((world.address(), world.state()), (Some(FIRST), StateName::Bound));
}

#[test]
fn silence_keeps_it() {
    for options in [options(), delegated()] {
        let mut world = World::bound(options);
        world.server().mute = true;
        world.tell(Event::NetworkChanged);
        world.run(secs(9));
        assert_eq!(world.state(), StateName::Confirming);
        world.run(secs(2));
        assert_eq!((world.address(), world.state()), (Some(FIRST), StateName::Bound), "CNF_MAX_RD");
        assert!((4..=6).contains(&world.said().len()));
        assert_eq!(world.told(), [Notice::NoAnswer { state: StateName::Confirming }]);
        // It is renewed as if nothing had been.
        world.server().mute = false;
        world.run(secs(1800));
        assert_eq!(world.said(), [MessageType::Renew]);
    }
}

#[test]
fn a_server_that_says_it_is_wrong_here_takes_it_away() {
    for event in [Event::FailedOver, Event::NetworkChanged, Event::Resumed] {
        let mut world = World::bound(options());
        world.moved(Server::new(2));
        world.tell(event);
        world.run(millis(5));
        let server = world.server().from;
        let told = world.told();
        assert_eq!(told[0], Notice::Lost { what: Resource::Address(FIRST), cause: Cause::NotOnLink(server) });
        assert_eq!(world.address(), Some([0xfd00, 2, 0, 0, 0, 0, 0, 0x100].into()));
    }
    // With a prefix, it is taken back in answer to a Rebind.
    let mut world = World::bound(delegated());
    world.moved(Server { delegates: Some(0x8800), ..Server::new(2) });
    world.tell(Event::NetworkChanged);
    world.run(millis(5));
    assert!(!world.addresses().contains(&FIRST), "{:?}", world.addresses());
}

#[test]
fn a_server_that_does_not_know_leaves_it_open() {
    for number in [1u16, 2, 3, 5, 6, 99] {
        let mut world = World::bound(options());
        world.server().mute = true;
        world.tell(Event::FailedOver);
        let reply = Packet::new(REPLY, world.xid(), duid().octets(), &[0, 3, 0, 1, 1]);
        world.receive(&reply.with(13, &number.to_be_bytes()).bytes());
        assert_eq!((world.address(), world.state()), (Some(FIRST), StateName::Confirming), "status {number}");
    }
}

#[test]
fn failover_upon_failover() {
    let mut world = World::bound(options());
    world.delay = millis(300);
    for _ in 0..20 {
        world.tell(Event::FailedOver);
        world.run(millis(200));
        assert_eq!(world.address(), Some(FIRST));
    }
    world.run(secs(1));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn a_lease_of_an_earlier_run_is_asked_for_again() {
    for options in [options(), delegated()] {
        let mut before = World::bound(options.clone());
        let kept = before.client.remembered(before.now).unwrap();
        let mut world = World::remembering(options, kept.clone().aged(secs(600)));
        world.servers = std::mem::take(&mut before.servers);
        let address = world.address();
        assert_eq!(address, Some(FIRST), "it is there from the first moment on");
        assert!(world.client.lease().unwrap().untested.is_empty());
        assert_eq!(world.client.information(), before.client.information());
        world.up();
        world.run(secs(1));
        assert_eq!((world.address(), world.state()), (Some(FIRST), StateName::Bound));
        assert!(!world.said().contains(&MessageType::Solicit));
        assert_eq!(kept.aged(secs(8000)), None, "that is too long ago");
    }
}

#[test]
fn a_way_that_changes_while_a_lease_is_sought() {
    let mut world = World::new(options());
    world.server().rapid = false;
    world.up();
    world.run(millis(500));
    world.tell(Event::FailedOver);
    assert_eq!(world.said(), [MessageType::Solicit; 2]);
    world.run(millis(1090));
    world.delay = secs(3);
    assert!(matches!(world.state(), StateName::Requesting | StateName::Soliciting | StateName::Bound));
    world.tell(Event::Down);
    world.run(secs(100));
    world.delay = millis(1);
    world.up();
    world.run(secs(2));
    assert_eq!(world.state(), StateName::Bound);
}
