//! Which answers tell segments apart, and which do not.

use std::net::IpAddr;

use hitless_core::event::{Action, Event, PortId, Waiting};
use hitless_core::mac::MacAddr;

use crate::support::network::arp_reply;
use crate::support::{World, mac, ms};

use super::{as_usual, careful, gateway, ports, up, wire_up, world};

/// wlan0 is being asked, and neither its questions nor those of eth0 are answered by themselves.
fn asking() -> (World, PortId, PortId) {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, as_usual);
    w.network.hosts.clear();
    w.vanish(wlan0);
    let wlan0 = wire_up(&mut w, "wlan0", 0);
    up(&mut w, wlan0);
    w.run(ms(500));
    assert_eq!(w.waiting(wlan0), Some(Waiting::SameSegment(vec![gateway()])));
    (w, eth0, wlan0)
}

fn answer(w: &mut World, port: PortId, owner: MacAddr) {
    let frame = arp_reply(gateway(), owner, w.nics[&port].mac);
    w.tell(Event::Frame { port, frame });
}

#[test]
fn answers_count_in_either_order() {
    for standby_first in [false, true] {
        for same in [false, true] {
            let (mut w, eth0, wlan0) = asking();
            let mut both = [(eth0, mac(0xaa)), (wlan0, mac(if same { 0xaa } else { 0xbb }))];
            if standby_first {
                both.reverse();
            }
            for (port, owner) in both {
                answer(&mut w, port, owner);
                w.run(ms(100));
            }
            w.run(ms(5000));
            if same {
                assert_eq!(w.waiting(wlan0), None, "{standby_first}");
            } else {
                let found = w.waiting(wlan0);
                // One that is only heard once may be a mistake; that it is not, the next answers show.
                for _ in 0..8 {
                    answer(&mut w, eth0, mac(0xaa));
                    answer(&mut w, wlan0, mac(0xbb));
                    w.run(ms(1000));
                }
                assert!(matches!(w.waiting(wlan0), Some(Waiting::OtherSegment(_))), "{found:?}");
            }
        }
    }
}

#[test]
fn an_answer_heard_on_the_standby_before_the_active_port_is_listened_on_is_kept() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, as_usual);
    w.vanish(wlan0);
    let end = w.now + ms(3000);
    w.sabotage = Box::new(move |now, action| {
        now < end && matches!(action, Action::Listen { port, on: true, .. } if *port == eth0)
    });
    let wlan0 = wire_up(&mut w, "wlan0", 0);
    up(&mut w, wlan0);
    w.run(ms(2900));
    w.assert_active("eth0");
    assert!(w.nics[&eth0].listening.is_none());
    assert_eq!(w.waiting(wlan0), Some(Waiting::SameSegment(vec![gateway()])));
    w.run(ms(4000));
    assert_eq!(w.waiting(wlan0), None);
}

#[test]
fn who_was_not_asked_for_proves_nothing() {
    let (mut w, eth0, wlan0) = asking();
    let third: IpAddr = [192, 0, 2, 77].into();
    for port in [eth0, wlan0] {
        // Of somebody else, of somebody else for somebody else, and an announcement to all.
        let ours = w.nics[&port].mac;
        let frames = [
            arp_reply(third, mac(77), ours),
            arp_reply(gateway(), mac(77), mac(78)),
            arp_reply(gateway(), mac(77), MacAddr::BROADCAST),
        ];
        for frame in frames {
            w.tell(Event::Frame { port, frame });
            w.run(ms(10));
        }
    }
    w.run(ms(1000));
    assert_eq!(w.waiting(wlan0), Some(Waiting::SameSegment(vec![gateway()])));
}

#[test]
fn two_stations_that_answer_for_one_address_are_no_two_networks() {
    // An access point that answers for others, a router and its stand-in: one of the answers is the same on both.
    let orders = [
        [(0, 0xaa), (0, 0xbb), (1, 0xaa), (1, 0xbb)],
        [(0, 0xaa), (1, 0xbb), (0, 0xbb), (1, 0xaa)],
        [(1, 0xbb), (0, 0xaa), (1, 0xaa), (0, 0xaa)],
        [(1, 0xaa), (1, 0xbb), (0, 0xaa), (0, 0xaa)],
    ];
    for order in orders {
        let (mut w, eth0, wlan0) = asking();
        for (at, owner) in order {
            answer(&mut w, [eth0, wlan0][at], mac(owner));
        }
        w.run(ms(2000));
        assert_eq!(w.waiting(wlan0), None, "{order:?}");
        assert!(w.nics[&wlan0].attached);
    }
}

#[test]
fn a_virtual_router_is_one_whoever_answers_for_it() {
    // RFC 5798: both answer with the virtual address, whichever of them is in charge.
    let (mut w, eth0, wlan0) = asking();
    let virtual_router = MacAddr([0x00, 0x00, 0x5e, 0x00, 0x01, 0x07]);
    answer(&mut w, eth0, virtual_router);
    w.run(ms(700));
    answer(&mut w, wlan0, virtual_router);
    w.run(ms(100));
    assert_eq!(w.waiting(wlan0), None);
}

#[test]
fn an_address_that_moves_during_the_check_does_not_tell_two_networks() {
    // A stand-in without a virtual address takes over between the two answers.
    let (mut w, eth0, wlan0) = asking();
    answer(&mut w, wlan0, mac(0xaa));
    w.run(ms(10));
    answer(&mut w, eth0, mac(0xbb));
    w.run(ms(200));
    assert!(w.nics[&wlan0].attached, "one pair of answers is not enough to leave for");
    answer(&mut w, wlan0, mac(0xbb));
    w.run(ms(200));
    assert_eq!(w.waiting(wlan0), None);
}

#[test]
fn neighbour_advertisements_tell_networks_apart_as_well() {
    for (segment, waits) in [(0, false), (7, true)] {
        let router: IpAddr = "2001:db8::1".parse().unwrap();
        let mut w = world(careful(&["eth0", "wlan0"]));
        w.network.hosts = vec![router];
        w.network.neighbours = vec![router];
        w.plug("eth0");
        let wlan0 = wire_up(&mut w, "wlan0", segment);
        up(&mut w, wlan0);
        w.run(ms(5000));
        let found = matches!(w.waiting(wlan0), Some(Waiting::OtherSegment(_)));
        assert_eq!(found, waits, "{:?}", w.waiting(wlan0));
    }
}
