//! A wire that comes back while traffic is on Wi-Fi, and the like.

use hitless_core::config::{FailOverMac, Failback, PrimaryReselect, SameSegment};
use hitless_core::event::{Cause, Event, PortId, Waiting};

use crate::support::network::{Reach, arp_reply};
use crate::support::{World, mac, ms};

use super::{as_usual, careful, gateway, on_air, other, ports, up, wire_up, world};

#[test]
fn a_wire_in_the_same_segment_takes_over() {
    for fail_over_mac in [FailOverMac::None, FailOverMac::Active, FailOverMac::Follow] {
        let (mut w, eth0, _) = on_air(0, |config| config.fail_over_mac = fail_over_mac);
        up(&mut w, eth0);
        w.run(ms(2000));
        w.assert_active("eth0");
        assert_eq!(w.cause(), Some(Cause::BetterPort));
    }
}

#[test]
fn a_wire_in_another_network_stays_out() {
    for fail_over_mac in [FailOverMac::None, FailOverMac::Active, FailOverMac::Follow] {
        let (mut w, eth0, _) = on_air(7, |config| config.fail_over_mac = fail_over_mac);
        up(&mut w, eth0);
        w.run(ms(60_000));
        w.assert_active("wlan0");
        assert_eq!(w.waiting(eth0), Some(Waiting::OtherSegment(other(7, 0))));
        assert!(w.nics.values().all(|nic| nic.listening.is_none()));
        // Plugged in elsewhere, it is asked again.
        w.pull(eth0);
        w.network.segments.clear();
        w.set_carrier(eth0, true);
        w.run(ms(2000));
        w.assert_active("eth0");
    }
}

#[test]
fn a_wire_that_stays_out_is_asked_again_where_that_may_have_changed() {
    type Happening = fn(&mut World, PortId);
    let happenings: [(&str, Happening); 4] = [
        ("off", |w, _| w.reconfigure(|config| config.same_segment = SameSegment::Off)),
        ("warn", |w, _| w.reconfigure(|config| config.same_segment = SameSegment::Warn)),
        ("network", |w, wlan0| {
            w.network.segments.insert(wlan0, 7);
            w.join(wlan0, "work", 3);
        }),
        ("place", |w, _| {
            w.network.segments.clear();
            w.tell(Event::Resumed);
        }),
    ];
    for (what, happens) in happenings {
        let (mut w, eth0, wlan0) = on_air(7, as_usual);
        up(&mut w, eth0);
        w.run(ms(2000));
        w.assert_active("wlan0");
        happens(&mut w, wlan0);
        w.run(ms(5000));
        assert_eq!(w.active().as_deref(), Some("eth0"), "{what}");
        assert_eq!(w.waiting(eth0), None);
    }
}

#[test]
fn a_wire_that_is_known_keeps_the_bond_where_it_is_when_the_station_leaves_for_another_network() {
    // It stands by, and was found in the same segment.
    let (mut w, eth0, wlan0) = on_air(0, |config| config.primary_reselect = PrimaryReselect::Failure);
    up(&mut w, eth0);
    w.run(ms(2000));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(eth0), None);
    w.network.segments.insert(wlan0, 7);
    w.join(wlan0, "cafe", 9);
    w.run(ms(2000));
    w.assert_active("eth0");
    assert_eq!(w.cause(), Some(Cause::OtherNetwork));
    assert_eq!(w.waiting(wlan0), Some(Waiting::OtherSegment(other(7, 0))));
}

#[test]
fn a_wire_that_nobody_knows_is_asked_again_when_the_active_station_joins_another_network() {
    let (mut w, eth0, wlan0) = on_air(0, |config| config.primary_reselect = PrimaryReselect::Failure);
    w.set_path(eth0, Reach::Dead);
    up(&mut w, eth0);
    w.run(ms(2000));
    w.network.segments.insert(wlan0, 7);
    w.join(wlan0, "cafe", 9);
    w.set_path(eth0, Reach::Alive);
    w.run(ms(5000));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(eth0), Some(Waiting::OtherSegment(other(0, 7))));
}

#[test]
fn a_wire_takes_over_from_wifi_that_does_not_get_anywhere() {
    // The access point is there, its uplink is not; nobody has set up probes.
    for same_segment in [SameSegment::Require, SameSegment::Warn, SameSegment::Off] {
        let (mut w, eth0, wlan0) = on_air(0, |config| config.same_segment = same_segment);
        w.set_path(wlan0, Reach::Dead);
        up(&mut w, eth0);
        w.run(ms(10_000));
        assert_eq!(w.active().as_deref(), Some("eth0"), "{same_segment:?}");
    }
}

#[test]
fn a_wire_whose_path_is_dead_takes_over_only_where_that_is_asked_for() {
    for (timeout, later) in [(None, "wlan0"), (Some(ms(3000)), "eth0")] {
        let (mut w, eth0, _) = on_air(0, |config| config.failback = Failback::Proven { timeout });
        w.set_path(eth0, Reach::Dead);
        up(&mut w, eth0);
        w.run(ms(2000));
        w.assert_active("wlan0");
        assert_eq!(w.waiting(eth0), Some(Waiting::SameSegment(vec![gateway()])));
        w.run(ms(60_000));
        w.assert_active(later);
    }
}

#[test]
fn the_first_of_two_radios_comes_back() {
    for (segment, active) in [(0, "wlan0"), (7, "wlan1")] {
        let mut w = world(careful(&["wlan0", "wlan1"]));
        let wlan0 = wire_up(&mut w, "wlan0", segment);
        let wlan1 = wire_up(&mut w, "wlan1", 0);
        up(&mut w, wlan1);
        w.run(ms(1000));
        up(&mut w, wlan0);
        w.run(ms(2000));
        w.assert_active(active);
        assert_eq!(w.nics[&wlan0].attached, segment == 0);
    }
}

#[test]
fn two_wires_are_not_compared() {
    let (mut w, _, eth1) = ports(["eth0", "eth1"], 7, as_usual);
    w.run(ms(10_000));
    assert_eq!(w.waiting(eth1), None);
    assert_eq!(w.sent().count(), 0);
}

#[test]
fn answers_that_cannot_be_compared_hold_a_wire_back_only_where_that_is_required() {
    for (same_segment, active) in [(SameSegment::Require, "wlan0"), (SameSegment::Warn, "eth0")] {
        let [here, there] = [[192, 0, 2, 8], [192, 0, 2, 9]];
        let (mut w, eth0, wlan0) = on_air(0, |config| {
            config.same_segment = same_segment;
            config.probes.arp_targets = vec![here.into(), there.into()];
        });
        w.network.hosts.clear();
        up(&mut w, eth0);
        for _ in 0..20 {
            for (port, target) in [(eth0, here), (wlan0, there)] {
                let frame = arp_reply(target.into(), mac(0xaa), w.nics[&port].mac);
                w.tell(Event::Frame { port, frame });
            }
            w.run(ms(500));
        }
        w.assert_active(active);
    }
}
