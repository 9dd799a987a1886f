//! No addresses to be had, but information.

use std::net::Ipv6Addr;

use dhcproto::v6::MessageType;
use hitless_core::dhcp6::{Event, Notice, StateName};

use crate::packet::option;
use crate::world::{World, delegated, millis, options, secs};

const DNS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);
const NTP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x123);

fn stateless(refresh: Option<u32>) -> World {
    let mut world = World::new(options());
    world.server().stateless = true;
    world.server().more = information(refresh);
    world
}

fn information(refresh: Option<u32>) -> Vec<(u16, Vec<u8>)> {
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    let mut more = vec![
        (23, [DNS, link_local, DNS, Ipv6Addr::UNSPECIFIED].iter().flat_map(Ipv6Addr::octets).collect()),
        (24, b"\x04home\x04arpa\0\x07example\0".to_vec()),
        (31, DNS.octets().to_vec()),
        (56, [option(1, &NTP.octets()), option(3, b"\x04time\x07example\0")].concat()),
    ];
    more.extend(refresh.map(|refresh| (32, refresh.to_be_bytes().to_vec())));
    more
}

#[test]
fn information_comes_with_addresses() {
    let mut world = World::new(options());
    world.server().more = information(None);
    world.up();
    world.run(millis(2));
    let known = world.client.information().unwrap();
    assert_eq!((&known.dns[..], &known.ntp[..]), (&[DNS][..], &[NTP, DNS][..]));
    assert_eq!(known.search, ["home.arpa", "example"]);
    assert_eq!(world.client.snapshot(world.now).ntp, [NTP, DNS]);
}

#[test]
fn it_is_asked_for_alone_where_there_are_no_addresses() {
    let mut world = stateless(None);
    world.up();
    world.run(millis(1110));
    assert_eq!(world.said(), [MessageType::Solicit, MessageType::InformationRequest]);
    assert_eq!((world.state(), world.address()), (StateName::Informed, None));
    assert_eq!(world.client.information().unwrap().dns, [DNS]);
    let server = world.server().from;
    assert_eq!(world.told(), [Notice::Informed { server }]);
    // There may be addresses later; what is known stays meanwhile.
    world.run(secs(100));
    assert!(world.said().contains(&MessageType::Solicit));
    assert_eq!(world.client.information().unwrap().dns, [DNS]);
    assert_eq!(world.told(), [], "nothing new");
    world.server().stateless = false;
    world.run(secs(600));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn lost_questions_are_asked_again_and_silence_ends_them() {
    let mut world = stateless(None);
    world.up();
    world.run(millis(999));
    world.lose = 1;
    world.run(millis(1500));
    assert_eq!(world.state(), StateName::Informed);
    let mut world = stateless(None);
    world.up();
    world.run(millis(999));
    world.server().mute = true;
    world.run(secs(200));
    assert!(world.said().contains(&MessageType::InformationRequest));
    assert_eq!(world.client.information(), None);
    world.server().mute = false;
    world.server().stateless = false;
    world.run(secs(200));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn it_is_refreshed_when_the_server_says_and_not_too_often() {
    for (refresh, least, most) in
        [(Some(1), 10, 40), (Some(900), 10, 40), (Some(u32::MAX), 10, 40), (None, 10, 40)]
    {
        let mut world = stateless(refresh);
        world.up();
        world.run(secs(86400));
        let asked = world.said().iter().filter(|kind| **kind == MessageType::InformationRequest).count();
        // At least when addresses are looked for again: at last, once an hour.
        assert!(
            (least..=if refresh == Some(1) || refresh == Some(900) { 150 } else { most }).contains(&asked),
            "{refresh:?}: {asked}"
        );
    }
}

#[test]
fn elsewhere_it_is_asked_for_again() {
    let mut world = stateless(None);
    world.up();
    world.run(secs(2));
    world.said();
    world.tell(Event::FailedOver);
    world.run(secs(2));
    assert_eq!(world.said(), [], "the same network");
    world.tell(Event::NetworkChanged);
    world.run(secs(2));
    assert_eq!(world.said(), [MessageType::Solicit, MessageType::InformationRequest]);
}

#[test]
fn a_server_that_hears_nothing_else() {
    let mut world = stateless(Some(900));
    world.server().deaf = true;
    world.up();
    world.run(secs(10));
    assert_eq!((world.state(), world.address()), (StateName::Informed, None));
    assert_eq!(world.client.information().unwrap().dns, [DNS]);
    let server = world.server().from;
    assert_eq!(world.told(), [Notice::Informed { server }], "nobody is silent");
    world.said();
    world.run(secs(600));
    assert!(world.said().iter().all(|kind| *kind == MessageType::Solicit), "addresses are asked for on");
    world.run(secs(600));
    assert!(
        world.said().contains(&MessageType::InformationRequest),
        "and information when it is out of date"
    );
    world.server().deaf = false;
    world.server().stateless = false;
    world.run(secs(3600));
    assert_eq!(world.state(), StateName::Bound);
}

#[test]
fn a_prefix_alone_is_a_lease() {
    let mut world = World::new(delegated());
    world.server().stateless = true;
    world.server().delegates = Some(0x7700);
    world.up();
    world.run(secs(2));
    assert_eq!((world.state(), world.prefixes().len(), world.address()), (StateName::Bound, 1, None));
}
