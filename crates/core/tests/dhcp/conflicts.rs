//! An address that somebody else has, or claims.

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;
use hitless_core::dhcp::{Cause, Event, Notice, Options, Response, StateName};
use hitless_core::mac::MacAddr;
use hitless_core::wire;

use crate::world::{MAC, OTHER_MAC, STRANGER, World, by_host, secs};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);

fn careful() -> Options {
    Options { detect_conflicts: true, ..by_host() }
}

fn probing() -> World {
    let mut world = World::new(careful());
    world.up();
    world.run(secs(2));
    assert_eq!((world.state(), world.address()), (StateName::Probing, None));
    assert!(world.client.is_listening_to_arp());
    world
}

#[test]
fn a_careful_client_asks_three_times_before_it_uses_an_address() {
    let mut world = probing();
    let begin = world.sent[0].at;
    world.run(secs(8));
    assert_eq!(world.address(), Some(OURS));
    let is_probe = |claim: &wire::Claim| claim.address.is_unspecified() && claim.target == OURS;
    let probes: Vec<_> =
        world.claims.iter().filter(|(_, claim)| is_probe(claim)).map(|(at, _)| *at).collect();
    assert_eq!(probes.len(), 3);
    // RFC 5227 section 1.1: PROBE_WAIT, PROBE_MIN, PROBE_MAX, ANNOUNCE_WAIT.
    assert!(probes[0] - begin <= secs(2));
    assert!(probes.windows(2).all(|pair| (1000..=2000).contains(&(pair[1] - pair[0]).as_millis())));
    let announced = world.claims.iter().find(|(_, claim)| claim.address == OURS).unwrap().0;
    assert_eq!(announced - probes[2], secs(2));
}

#[test]
fn an_address_that_somebody_has_is_declined_and_another_asked_for() {
    for frame in [wire::announcement(STRANGER, OURS.into()), wire::probe(STRANGER, STRANGER, OURS.into())] {
        let mut world = probing();
        world.hear(&frame);
        assert_eq!(world.state(), StateName::Init);
        assert_eq!(world.said().last(), Some(&MessageType::Decline));
        assert!(world.server().declined.contains(&OURS));
        assert!(world.told().contains(&Notice::Conflict {
            address: OURS,
            by: STRANGER,
            response: Response::Declined
        }));
        world.run(secs(9));
        assert!(world.said().is_empty(), "RFC 2131 section 3.1: ten seconds");
        world.run(secs(11));
        assert_eq!(world.address(), Some([10, 0, 0, 101].into()));
    }
}

#[test]
fn in_another_network_nothing_is_waited_for() {
    let mut world = probing();
    world.hear(&wire::announcement(STRANGER, OURS.into()));
    world.tell(Event::FailedOver);
    assert_eq!(world.state(), StateName::Init);
    world.tell(Event::NetworkChanged);
    assert_eq!(world.state(), StateName::Selecting);
}

#[test]
fn a_station_that_has_every_address_is_not_asked_for_ever() {
    let mut world = World::new(careful());
    for host in 100..150 {
        world.stations.insert([10, 0, 0, host].into(), STRANGER);
    }
    world.up();
    world.run(secs(1800));
    let declined = world.server().declined.len();
    assert!((30..42).contains(&declined), "ten quickly, then one a minute: {declined}");
}

#[test]
fn what_is_no_conflict() {
    let mut world = probing();
    world.tell(Event::Own(vec![OTHER_MAC]));
    let strangers_question = wire::request(STRANGER, [10, 0, 0, 9].into(), None, OURS);
    for frame in [
        wire::probe(MAC, MAC, OURS.into()),
        wire::announcement(OTHER_MAC, OURS.into()),
        wire::announcement(STRANGER, Ipv4Addr::new(10, 0, 0, 9).into()),
        wire::announcement(MacAddr::BROADCAST, OURS.into()),
        wire::announcement(MacAddr::default(), OURS.into()),
        strangers_question,
    ] {
        world.hear(&frame);
        assert_eq!(world.state(), StateName::Probing);
    }
}

#[test]
fn an_address_in_use_is_defended_once_and_given_up_the_second_time() {
    let mut world = World::bound(by_host());
    let claim = wire::announcement(STRANGER, OURS.into());
    world.hear(&claim);
    assert_eq!(
        world.told(),
        [Notice::Conflict { address: OURS, by: STRANGER, response: Response::Defended }]
    );
    assert_eq!(world.claims.len(), 1);
    assert_eq!((world.claims[0].1.address, world.claims[0].1.target), (OURS, OURS));
    world.run(secs(11));
    world.hear(&claim);
    assert_eq!((world.address(), world.claims.len()), (Some(OURS), 2), "each ten seconds");
    world.told();
    world.run(secs(9));
    world.hear(&claim);
    assert_eq!(world.address(), None);
    assert_eq!(
        world.told(),
        [
            Notice::Conflict { address: OURS, by: STRANGER, response: Response::Declined },
            Notice::Lost { address: OURS, cause: Cause::Conflict(STRANGER) },
        ]
    );
    assert_eq!(world.said(), [MessageType::Decline]);
    world.run(secs(11));
    assert_eq!(world.address(), Some([10, 0, 0, 101].into()));
}

#[test]
fn our_own_ports_are_no_conflict() {
    let mut world = World::bound(by_host());
    world.tell(Event::Own(vec![OTHER_MAC]));
    for mac in [MAC, OTHER_MAC] {
        for _ in 0..3 {
            world.hear(&wire::announcement(mac, OURS.into()));
        }
    }
    assert_eq!(world.address(), Some(OURS));
    assert!(world.told().is_empty());
}

#[test]
fn in_a_network_that_may_be_another_nothing_is_defended() {
    let mut world = World::bound(by_host());
    world.stations.clear();
    world.server().mute = true;
    world.tell(Event::NetworkChanged);
    world.claims.clear();
    for _ in 0..3 {
        world.hear(&wire::announcement(STRANGER, OURS.into()));
    }
    assert_eq!(world.address(), Some(OURS));
    assert!(world.claims.iter().all(|(_, claim)| claim.target != OURS));
    world.run(secs(11));
    assert_eq!(world.address(), None);
}
