//! An address that is kept.

use std::time::Duration;

use dhcproto::v4::MessageType;
use hitless_core::dhcp::{Cause, Event, Notice, Options, StateName};

use crate::packet::{ACK, NAK, OFFER, Packet};
use crate::server::Server;
use crate::world::{MAC, World, by_host, secs};

#[test]
fn renewed_at_half_time_by_its_server_alone() {
    let mut world = World::bound(by_host());
    let server = world.server().id;
    world.run(secs(1738));
    assert!(world.sent.is_empty());
    world.run(secs(4));
    let [sent] = &world.sent[..] else { panic!() };
    assert_eq!((sent.kind(), sent.to), (MessageType::Request, Some(server)));
    assert_eq!(sent.message.ciaddr(), world.address().unwrap());
    assert_eq!(world.state(), StateName::Bound);
    let left = world.client.lease().unwrap().remaining(world.now).unwrap();
    assert!(left > secs(3595), "{left:?}");
    assert!(matches!(world.told()[..], [Notice::Renewed { .. }]));
}

#[test]
fn unanswered_renewals_are_repeated_then_anyone_is_asked_then_it_is_over() {
    let mut world = World::bound(by_host());
    let address = world.address().unwrap();
    world.server().mute = true;
    world.run(secs(3539));
    assert_eq!((world.state(), world.address()), (StateName::Rebinding, Some(address)));
    let begin = world.sent[0].at;
    let said: Vec<(u64, bool)> =
        world.sent.iter().map(|sent| ((sent.at - begin).as_secs(), sent.to.is_some())).collect();
    // T1 at 1800 s, T2 at 3150 s: half of what is left each time, and not less than a minute.
    let to_server = [0, 675, 1012, 1181, 1265, 1325];
    let to_anyone = [1350, 1575, 1687, 1747];
    let expected: Vec<(u64, bool)> =
        to_server.map(|at| (at, true)).into_iter().chain(to_anyone.map(|at| (at, false))).collect();
    assert_eq!(said, expected);
    assert_eq!(world.told(), [Notice::NoAnswer { state: StateName::Rebinding }]);
    world.run(secs(2));
    assert_eq!(world.address(), None);
    assert_eq!(world.told()[0], Notice::Lost { address, cause: Cause::Expired });
    assert_eq!(world.state(), StateName::Selecting);
}

#[test]
fn a_short_lease_survives_lost_frames() {
    let mut world = World::new(by_host());
    world.server().lease = 120;
    world.up();
    world.run(secs(10));
    world.loss = 30;
    world.notices.clear();
    world.run(secs(3600));
    assert!(world.told().iter().all(|notice| !matches!(notice, Notice::Lost { .. })));
}

#[test]
fn another_server_takes_over() {
    let mut world = World::bound(by_host());
    let address = world.address().unwrap();
    let other = Server { id: [10, 0, 0, 2].into(), ..world.servers[0].clone() };
    world.servers = vec![other];
    world.run(secs(3200));
    assert_eq!(world.address(), Some(address));
    assert_eq!(world.client.lease().unwrap().server, std::net::Ipv4Addr::from([10, 0, 0, 2]));
    assert!(world.told().iter().any(|notice| matches!(notice, Notice::Rebound { .. })));
}

#[test]
fn a_refused_renewal_begins_again_at_once() {
    let mut world = World::bound(by_host());
    let address = world.address().unwrap();
    world.server().lent.clear();
    world.server().first = [10, 0, 0, 170].into();
    world.run(secs(1742));
    assert_eq!(world.address(), Some([10, 0, 0, 170].into()));
    let server = world.server().id;
    let told = world.told();
    assert_eq!(told[0], Notice::Nak { server, address });
    assert_eq!(told[1], Notice::Lost { address, cause: Cause::Nak(server) });
    assert!(matches!(told[2], Notice::Bound { .. }));
}

#[test]
fn only_its_server_may_refuse_a_renewal() {
    let mut world = World::bound(by_host());
    let address = world.address();
    world.server().mute = true;
    world.run(secs(1800));
    assert_eq!(world.state(), StateName::Renewing);
    let xid = world.sent.last().unwrap().message.xid();
    world.receive(&Packet::lending(NAK, xid, MAC, [0; 4], [10, 0, 0, 66]).bytes());
    world.receive(&Packet::lending(ACK, xid, MAC, [10, 0, 0, 100], [10, 0, 0, 66]).bytes());
    assert_eq!((world.state(), world.address()), (StateName::Renewing, address));
    world.receive(&Packet::lending(ACK, xid, MAC, [10, 0, 0, 100], [10, 0, 0, 1]).bytes());
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn renewed_when_asked_to() {
    let mut world = World::bound(by_host());
    world.tell(Event::Renew);
    world.run(secs(1));
    assert_eq!(world.said(), [MessageType::Request]);
    assert!(matches!(world.told()[..], [Notice::Renewed { .. }]));
}

#[test]
fn for_ever() {
    let mut world = World::new(by_host());
    world.server().lease = u32::MAX;
    world.up();
    world.run(secs(10));
    assert_eq!(world.client.lease().unwrap().lifetime, None);
    world.sent.clear();
    world.run(Duration::from_secs(u64::from(u32::MAX) * 2));
    assert!(world.sent.is_empty());
    assert_eq!(world.state(), StateName::Bound);
    world.server().mute = true;
    world.tell(Event::Renew);
    world.run(secs(3600));
    assert_eq!((world.state(), world.sent.len()), (StateName::Bound, 4));
}

#[test]
fn a_new_host_name_is_told_at_once() {
    let mut world = World::bound(by_host());
    world.tell(Event::Configure(Options { hostname: Some("other".to_owned()), ..by_host() }));
    world.run(secs(1));
    assert_eq!(world.said(), [MessageType::Request]);
    assert_eq!(world.state(), StateName::Bound);
}

/// Renewal times of a server, and what is made of them: lease, T1, T2; then T1 and T2 as they are taken.
#[test]
fn renewal_times_that_make_no_sense() {
    type Times = [Option<u32>; 2];
    let cases: [(u32, Times, [u64; 2]); 12] = [
        (3600, [None, None], [1800, 3150]),
        (3600, [Some(600), Some(1200)], [600, 1200]),
        (3600, [Some(60), Some(61)], [60, 61]),
        (3600, [Some(600), None], [600, 3150]),
        (3600, [None, Some(2000)], [1800, 2000]),
        (3600, [Some(2000), Some(1000)], [1800, 3150]),
        (3600, [Some(0), Some(0)], [1800, 3150]),
        (3600, [Some(1), Some(3000)], [1800, 3150]),
        (3600, [Some(3600), Some(3600)], [1800, 3150]),
        (3600, [Some(u32::MAX), Some(u32::MAX)], [1800, 3150]),
        (120, [Some(30), Some(90)], [30, 90]),
        (120, [Some(29), Some(90)], [60, 105]),
    ];
    for (lease, [renew, rebind], [renew_after, rebind_after]) in cases {
        let mut world = World::new(by_host());
        world.server().mute = true;
        world.up();
        let xid = world.sent[0].message.xid();
        for kind in [OFFER, ACK] {
            let mut packet = Packet::lending(kind, xid, MAC, [10, 0, 0, 50], [10, 0, 0, 1]).without(51);
            packet = packet.with(51, &lease.to_be_bytes());
            for (code, time) in [(58, renew), (59, rebind)] {
                if let Some(time) = time {
                    packet = packet.with(code, &time.to_be_bytes());
                }
            }
            world.receive(&packet.bytes());
        }
        let lifetime = world.client.lease().unwrap().lifetime.unwrap();
        assert_eq!(
            (lifetime.renew_after, lifetime.rebind_after),
            (secs(renew_after), secs(rebind_after)),
            "{lease} {renew:?} {rebind:?}"
        );
    }
}
