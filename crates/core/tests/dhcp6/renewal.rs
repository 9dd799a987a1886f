//! A lease that is kept.

use std::net::Ipv6Addr;
use std::time::Duration;

use dhcproto::v6::MessageType;
use hitless_core::dhcp6::{Cause, Event, Notice, Options, Resource, StateName};

use crate::packet::{Packet, REPLY, address, association};
use crate::server::Server;
use crate::world::{IAID, World, delegated, duid, millis, options, secs};

const FIRST: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 0x100);

#[test]
fn renewed_at_half_of_the_preferred_time() {
    let mut world = World::bound(options());
    world.run(secs(1738));
    assert_eq!(world.said(), []);
    world.run(secs(4));
    assert_eq!((world.said(), world.state()), (vec![MessageType::Renew], StateName::Bound));
    let left = world.client.lease().unwrap().addresses[0].remaining(world.now).unwrap();
    assert!(left > secs(7195), "{left:?}");
    assert!(matches!(world.told()[..], [Notice::Renewed { what: Resource::Address(FIRST), .. }]));
}

#[test]
fn unanswered_renewals_are_repeated_then_anyone_is_asked_then_it_is_over() {
    let mut world = World::bound(options());
    world.server().mute = true;
    world.run(secs(7139));
    assert_eq!((world.state(), world.address()), (StateName::Rebinding, Some(FIRST)));
    let begin = world.sent[0].at;
    let first = world.sent.iter().position(|sent| sent.message.msg_type() == MessageType::Rebind).unwrap();
    let at = |n: usize| (world.sent[n].at - begin).as_secs();
    // T1 at 1800 s, T2 at 2880 s, and 10, 20, 40 … s between.
    assert!((9..=11).contains(&at(1)) && (27..=33).contains(&at(2)), "{} {}", at(1), at(2));
    assert!((1079..=1081).contains(&at(first)), "{}", at(first));
    assert!(world.sent.len() < 30, "{}", world.sent.len());
    assert_eq!(world.told(), [Notice::NoAnswer { state: StateName::Rebinding }]);
    world.run(secs(2));
    assert_eq!(world.address(), None);
    assert_eq!(world.told()[0], Notice::Lost { what: Resource::Address(FIRST), cause: Cause::Expired });
    assert_eq!(world.state(), StateName::Soliciting);
    assert_eq!(world.client.information(), None);
}

#[test]
fn a_server_that_has_gone_is_replaced_by_another() {
    let mut world = World::bound(delegated());
    let other = world.servers[0].clone().named(9);
    world.servers = vec![other];
    world.run(secs(2900));
    assert_eq!((world.address(), world.prefixes().len()), (Some(FIRST), 1));
    assert_eq!(world.client.lease().unwrap().server.octets(), world.servers[0].duid);
    assert!(world.told().iter().all(|notice| !matches!(notice, Notice::Lost { .. })));
}

#[test]
fn a_short_lease_survives_lost_messages() {
    let mut world = World::new(options());
    (world.server().preferred, world.server().valid) = (120, 240);
    world.up();
    world.run(secs(10));
    world.loss = 30;
    world.notices.clear();
    world.run(secs(3600));
    assert!(world.told().iter().all(|notice| !matches!(notice, Notice::Lost { .. })));
}

#[test]
fn a_server_that_has_forgotten_is_asked_as_if_it_were_new() {
    let mut world = World::bound(options());
    world.server().lent.clear();
    world.run(secs(1742));
    assert_eq!(world.said(), [MessageType::Renew, MessageType::Request], "RFC 8415 section 18.2.10.1");
    assert_eq!((world.address(), world.state()), (Some(FIRST), StateName::Bound));
    assert!(world.told().iter().all(|notice| !matches!(notice, Notice::Lost { .. })));
}

#[test]
fn what_it_gives_instead_takes_its_place() {
    let mut world = World::bound(options());
    world.server().lent.clear();
    world.server().first = 0x170;
    world.run(secs(1742));
    let other = Ipv6Addr::from([0xfd00, 1, 0, 0, 0, 0, 0, 0x170]);
    assert_eq!(world.address(), Some(other));
    let server = world.server().from;
    let told = world.told();
    assert_eq!(told[0], Notice::Lost { what: Resource::Address(FIRST), cause: Cause::Withdrawn(server) });
    assert!(matches!(told[1], Notice::Bound { .. }));
}

#[test]
fn what_it_gives_beside_stands_beside() {
    let mut world = World::bound(options());
    world.server().mute = true;
    world.tell(Event::Renew);
    let other = Ipv6Addr::from([0xfd00, 2, 0, 0, 0, 0, 0, 1]);
    let server = world.server().duid.clone();
    let items = [address(FIRST, 0, 600), address(other, 3600, 7200)];
    let reply =
        Packet::new(REPLY, world.xid(), duid().octets(), &server).with(3, &association(IAID, [0, 0], &items));
    world.receive(&reply.bytes());
    assert_eq!(world.addresses(), [FIRST, other], "connections of the old one may go on");
    assert_eq!(
        world.client.lease().unwrap().renews_at,
        Some(world.now + secs(1800)),
        "the old one ends by itself"
    );
    world.run(secs(601));
    assert_eq!(world.addresses(), [other]);
    let told = world.told();
    assert!(
        told.contains(&Notice::Lost { what: Resource::Address(FIRST), cause: Cause::Expired }),
        "{told:?}"
    );
}

#[test]
fn only_its_server_may_answer_a_renewal() {
    let mut world = World::bound(options());
    world.server().mute = true;
    world.tell(Event::Renew);
    let answer = |server: &[u8]| {
        let back = association(IAID, [0, 0], &[address(FIRST, 0, 0)]);
        Packet::new(REPLY, world.xid(), duid().octets(), server).with(3, &back).bytes()
    };
    let [stranger, own] = [answer(&[0, 3, 0, 1, 9]), answer(&world.servers[0].duid)];
    world.receive(&stranger);
    assert_eq!((world.state(), world.address()), (StateName::Renewing, Some(FIRST)));
    world.receive(&own);
    assert_eq!((world.state(), world.address()), (StateName::Soliciting, None), "taken back");
}

#[test]
fn over_while_asleep() {
    let mut world = World::bound(options());
    world.sleep(secs(10_000));
    world.tell(Event::Resumed);
    assert_eq!(world.told()[0], Notice::Lost { what: Resource::Address(FIRST), cause: Cause::Expired });
    world.run(millis(2));
    assert_eq!(world.address(), Some(FIRST), "it is asked for again");
    // And without a link.
    let mut world = World::bound(options());
    world.tell(Event::Down);
    world.run(secs(10_000));
    assert_eq!((world.address(), world.state()), (None, StateName::Init));
    assert_eq!(world.said(), []);
}

#[test]
fn what_ends_first_ends_alone() {
    let mut world = World::bound(delegated());
    world.server().mute = true;
    world.tell(Event::Renew);
    let server = world.server().duid.clone();
    let reply = Packet::new(REPLY, world.xid(), duid().octets(), &server)
        .with(3, &association(IAID, [0, 0], &[address(FIRST, 100, 100)]));
    world.receive(&reply.bytes());
    world.run(secs(101));
    assert_eq!((world.addresses(), world.prefixes().len()), (vec![], 1));
    world.server().mute = false;
    world.run(secs(1000));
    assert_eq!((world.address(), world.prefixes().len()), (Some(FIRST), 1), "it is asked for with the rest");
}

#[test]
fn for_ever() {
    let mut world = World::new(options());
    (world.server().preferred, world.server().valid) = (u32::MAX, u32::MAX);
    world.up();
    world.run(secs(10));
    world.sent.clear();
    world.run(Duration::from_secs(u64::from(u32::MAX) * 2));
    assert_eq!((world.said(), world.state()), (vec![], StateName::Bound));
    world.server().mute = true;
    world.tell(Event::Renew);
    world.run(secs(3600));
    assert_eq!((world.state(), world.sent.len()), (StateName::Bound, 4));
}

#[test]
fn a_new_host_name_is_told_at_once() {
    let mut world = World::bound(options());
    world.tell(Event::Configure(Options { hostname: Some("other".to_owned()), ..options() }));
    world.run(secs(1));
    assert_eq!((world.said(), world.state()), (vec![MessageType::Renew], StateName::Bound));
}

/// Renewal times of a server, and what is made of them: preferred and valid, T1 and T2; then T1 and T2 as they are taken.
#[test]
fn renewal_times_that_make_no_sense() {
    let cases = [
        ([3600, 7200], [0, 0], Some([1800, 2880])),
        ([3600, 7200], [600, 1200], Some([600, 1200])),
        ([3600, 7200], [600, 0], Some([600, 2880])),
        ([3600, 7200], [0, 2000], Some([1800, 2000])),
        ([3600, 7200], [1, 3000], Some([1800, 2880])),
        ([3600, 7200], [7200, 7200], Some([1800, 2880])),
        ([3600, 7200], [u32::MAX, u32::MAX], Some([1800, 2880])),
        ([120, 240], [30, 90], Some([30, 90])),
        ([120, 240], [29, 90], Some([60, 96])),
        ([0, 240], [0, 0], Some([120, 192])),
        ([1, 240], [0, 0], Some([2, 4])),
        ([u32::MAX, u32::MAX], [600, 900], Some([600, 900])),
        ([u32::MAX, u32::MAX], [0, 0], None),
    ];
    for (lifetimes, times, expected) in cases {
        let mut world = World::new(options());
        [world.server().preferred, world.server().valid] = lifetimes;
        world.server().times = times;
        world.up();
        let asked = world.now + millis(1);
        world.run(millis(2));
        let lease = world.client.lease().unwrap();
        let taken = [lease.renews_at, lease.rebinds_at].map(|at| at.map(|at| (at - asked).as_secs()));
        assert_eq!(taken, expected.map_or([None, None], |both| both.map(Some)), "{lifetimes:?} {times:?}");
    }
}

#[test]
fn another_server_that_lends_as_well_does_not_matter() {
    let mut world = World::bound(options());
    world.servers.push(Server { first: 0x200, ..Server::new(1).named(9) });
    world.run(secs(20_000));
    assert_eq!(world.address(), Some(FIRST));
    assert!(world.said().iter().all(|kind| *kind == MessageType::Renew));
}
