//! Do two ports reach the same layer-2 segment? Asked before a standby is used for the first time, where Wi-Fi is
//! involved.

use std::net::IpAddr;

use hitless_core::config::{BondConfig, FailOverMac, Failback, PortPattern, PrimaryReselect, SameSegment};
use hitless_core::event::{
    Action, Cause, Event, LinkState, Notice, Observation, Offload, OtherSegment, PortId, Waiting,
};
use hitless_core::table::ForwardingTable;
use hitless_core::wifi::StationState;

use crate::support::network::{Reach, host};
use crate::support::{World, joined, mac, ms, plain, silent, with_primary};

mod answers;
mod candidate;

const GATEWAY: [u8; 4] = [192, 0, 2, 1];

fn gateway() -> IpAddr {
    GATEWAY.into()
}

/// As people have it: the check, and proof before failback. The first name is the primary.
fn careful(names: &[&str]) -> BondConfig {
    BondConfig { failback: Failback::default(), same_segment: SameSegment::Require, ..with_primary(names) }
}

fn world(config: BondConfig) -> World {
    let mut w = World::new(config);
    w.network.hosts = vec![gateway()];
    w.network.neighbours = vec![gateway()];
    w
}

fn as_usual(_: &mut BondConfig) {}

/// A port appears behind which this segment is, without a link yet.
fn wire_up(w: &mut World, name: &str, segment: u8) -> PortId {
    let port = w.appear(name, false);
    w.network.segments.insert(port, segment);
    w.run(ms(1));
    port
}

/// It gets a link; with Wi-Fi, it joins "home".
fn up(w: &mut World, port: PortId) {
    if w.nics[&port].info.wireless {
        w.join(port, "home", 1);
    }
    w.set_carrier(port, true);
}

/// The ports come up one after another; the second one reaches this segment, the first one another.
fn ports(names: [&str; 2], segment: u8, change: impl FnOnce(&mut BondConfig)) -> (World, PortId, PortId) {
    let mut config = careful(&names);
    change(&mut config);
    let mut w = world(config);
    let one = wire_up(&mut w, names[0], 0);
    let two = wire_up(&mut w, names[1], segment);
    up(&mut w, one);
    w.run(ms(1000));
    w.assert_active(names[0]);
    w.forget();
    up(&mut w, two);
    (w, one, two)
}

fn other(segment_here: u8, segment_there: u8) -> OtherSegment {
    OtherSegment { address: gateway(), here: host(segment_here), there: host(segment_there) }
}

fn sent_by(w: &World, port: PortId) -> usize {
    w.sent().filter(|(by, _)| *by == port).count()
}

/// Traffic is on wlan0 ("home", segment 0), the primary eth0 is without a link, and behind it is this segment.
fn on_air(segment: u8, change: impl FnOnce(&mut BondConfig)) -> (World, PortId, PortId) {
    let mut config = careful(&["eth0", "wlan0"]);
    change(&mut config);
    let mut w = world(config);
    let eth0 = wire_up(&mut w, "eth0", segment);
    let wlan0 = wire_up(&mut w, "wlan0", 0);
    up(&mut w, wlan0);
    w.run(ms(1000));
    w.assert_active("wlan0");
    w.forget();
    (w, eth0, wlan0)
}

// ---- a standby ---------------------------------------------------------------------------------------------------

#[test]
fn a_standby_is_asked_once_and_then_known() {
    for fail_over_mac in [FailOverMac::None, FailOverMac::Active, FailOverMac::Follow] {
        let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, |config| config.fail_over_mac = fail_over_mac);
        w.run(ms(2000));
        w.assert_active("eth0");
        assert_eq!(w.waiting(wlan0), None, "{fail_over_mac:?}");
        assert!(w.nics[&wlan0].attached);
        assert!(w.nics.values().all(|nic| nic.listening.is_none()), "nobody listens any more");
        let asked = sent_by(&w, wlan0);
        assert!((1..=4).contains(&asked), "every frame teaches the switch the wrong port: {asked}");
        assert!(w.port(wlan0).same_segment && w.port(eth0).same_segment);
        // Known it stays, whatever its access points do, as long as they are of this network.
        w.forget();
        for n in 2..10 {
            w.station(wlan0, StationState::Deauthenticated);
            w.set_carrier(wlan0, false);
            w.run(ms(2000));
            w.join(wlan0, "home", n);
            w.set_carrier(wlan0, true);
            w.run(ms(2000));
            w.join(wlan0, "home", n + 100);
            w.run(ms(2000));
        }
        assert_eq!(sent_by(&w, wlan0), 0, "once per network, not per association");
        assert!(w.port(wlan0).same_segment);
        w.pull(eth0);
        w.run(ms(1));
        w.assert_active("wlan0");
        assert_eq!(w.machine.poll_timeout().map(|(_, why)| why), None);
    }
}

#[test]
fn a_standby_with_the_shared_address_is_followed_by_a_frame_that_teaches_better() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, as_usual);
    w.set_path(wlan0, Reach::Dead);
    w.run(ms(60_000));
    let last = w.sent().last().map(|(by, _)| by);
    assert_eq!(last, Some(eth0));
    let sent: Vec<PortId> = w.sent().map(|(by, _)| by).collect();
    assert!(sent.windows(3).all(|three| three.contains(&eth0)), "{sent:?}");
    assert!(sent_by(&w, wlan0) < 130, "{}", sent_by(&w, wlan0));
}

#[test]
fn a_standby_in_another_segment_leaves() {
    for fail_over_mac in [FailOverMac::None, FailOverMac::Active, FailOverMac::Follow] {
        let (mut w, _, wlan0) = ports(["eth0", "wlan0"], 7, |config| config.fail_over_mac = fail_over_mac);
        w.run(ms(2000));
        w.assert_active("eth0");
        assert_eq!(w.waiting(wlan0), Some(Waiting::OtherSegment(other(7, 0))), "{fail_over_mac:?}");
        assert!(!w.port(wlan0).same_segment);
        assert_eq!(w.count(|action| *action == Action::Detach { port: wlan0 }), 1);
        assert!(!w.nics[&wlan0].attached);
        assert!(w.nics.values().all(|nic| nic.listening.is_none()), "nobody listens any more");
        // Nothing more happens, also where its network is joined anew: given back, it is brought up again.
        w.forget();
        w.station(wlan0, StationState::Away);
        w.run(ms(1000));
        w.join(wlan0, "home", 2);
        w.run(ms(60_000));
        assert!(
            w.actions.iter().all(|action| matches!(action, Action::NotifyPeers { .. })),
            "{:?}",
            w.actions
        );
    }
}

#[test]
fn one_that_left_comes_back_with_another_network() {
    let (mut w, _, wlan0) = ports(["eth0", "wlan0"], 7, as_usual);
    w.run(ms(2000));
    assert!(!w.nics[&wlan0].attached);
    w.network.segments.remove(&wlan0);
    w.join(wlan0, "work", 3);
    w.run(ms(2000));
    assert!(w.nics[&wlan0].attached);
    assert_eq!(w.waiting(wlan0), None);
    // The other one is known still.
    w.network.segments.insert(wlan0, 7);
    w.forget();
    w.join(wlan0, "home", 1);
    w.run(ms(2000));
    assert!(!w.nics[&wlan0].attached);
}

#[test]
fn one_that_left_comes_back_when_something_is_plugged_in() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 7, as_usual);
    w.run(ms(2000));
    w.pull(eth0);
    w.run(ms(10_000));
    w.assert_nothing_active(); // it is another network, and no better than none
    assert!(!w.nics[&wlan0].attached);
    w.network.segments.insert(eth0, 7);
    w.set_carrier(eth0, true);
    w.run(ms(5000));
    assert!(w.nics[&wlan0].attached);
    assert_eq!((w.link(wlan0), w.waiting(wlan0)), (LinkState::Up, None));
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
}

#[test]
fn one_that_left_comes_back_when_the_options_or_the_place_change() {
    let happenings: [fn(&mut World); 3] = [
        |w| w.reconfigure(|config| config.same_segment = SameSegment::Off),
        |w| w.reconfigure(|config| config.same_segment = SameSegment::Warn),
        |w| {
            w.network.segments.clear();
            w.tell(Event::Resumed);
        },
    ];
    for happens in happenings {
        let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 7, as_usual);
        w.run(ms(2000));
        happens(&mut w);
        w.run(ms(5000));
        assert!(w.nics[&wlan0].attached);
        assert_eq!(w.waiting(wlan0), None);
        w.pull(eth0);
        w.run(ms(1));
        w.assert_active("wlan0");
    }
}

#[test]
fn a_network_without_a_name_is_known_by_its_access_point() {
    let (mut w, _, wlan0) = ports(["eth0", "wlan0"], 0, as_usual);
    let nameless = |n| StationState::Joined(hitless_core::wifi::Association { ssid: None, bssid: mac(n) });
    w.station(wlan0, nameless(70));
    w.run(ms(2000));
    assert_eq!(w.waiting(wlan0), None);
    w.network.segments.insert(wlan0, 7);
    w.station(wlan0, nameless(71));
    w.run(ms(2000));
    assert_eq!(w.waiting(wlan0), Some(Waiting::OtherSegment(other(7, 0))));
}

#[test]
fn a_standby_that_joins_another_network_is_asked_again() {
    for primary_reselect in [PrimaryReselect::Always, PrimaryReselect::Failure] {
        let (mut w, eth0, wlan0) =
            ports(["eth0", "wlan0"], 0, |config| config.primary_reselect = primary_reselect);
        w.run(ms(2000));
        // Without a moment in between, so that its link never goes down.
        w.network.segments.insert(wlan0, 7);
        w.join(wlan0, "cafe", 9);
        w.run(ms(2000));
        assert_eq!(w.waiting(wlan0), Some(Waiting::OtherSegment(other(7, 0))));
        w.pull(eth0);
        w.run(ms(1000));
        w.assert_nothing_active();
    }
}

// ---- what has not been checked -----------------------------------------------------------------------------------

#[test]
fn anything_that_was_not_checked_is_better_than_nothing() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, as_usual);
    // The wire is pulled during the check.
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
    assert_eq!(w.cause(), Some(Cause::CarrierLost));
    w.run(ms(60_000));
    w.assert_active("wlan0");
    assert!(w.nics.values().all(|nic| nic.listening.is_none()));
    w.set_carrier(eth0, true);
    w.run(ms(2000));
    w.assert_active("eth0");
    assert_eq!(w.waiting(wlan0), None);
}

#[test]
fn nobody_to_ask_keeps_a_port_back_as_long_as_there_is_another() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, as_usual);
    w.network.neighbours.clear();
    w.vanish(wlan0);
    let wlan0 = wire_up(&mut w, "wlan0", 0);
    up(&mut w, wlan0);
    w.run(ms(120_000));
    w.assert_active("eth0");
    assert_eq!(w.waiting(wlan0), Some(Waiting::SameSegment(Vec::new())));
    assert_eq!(sent_by(&w, wlan0), 0);
    let looked = w.count(|action| *action == Action::FindTargets);
    assert!(looked < 130, "{looked}");
    w.switch(wlan0);
    w.run(ms(1000));
    w.assert_active("eth0"); // who asks for it does not know either
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
}

#[test]
fn one_that_was_checked_is_taken_before_one_that_was_not() {
    // eth0 is active, eth1 is plugged into the same switch, wlan0 is wanted more than it.
    let leaves: [fn(&mut World, PortId); 2] = [|w, eth0| w.pull(eth0), |w, eth0| w.vanish(eth0)];
    for leaves in leaves {
        let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, |config| {
            config.ports = ["eth0", "wlan0", "eth1"].map(PortPattern::new).to_vec();
        });
        w.set_path(wlan0, Reach::Dead);
        w.run(ms(100));
        w.plug("eth1");
        leaves(&mut w, eth0);
        w.run(ms(1));
        w.assert_active("eth1");
    }
}

#[test]
fn updelay_is_skipped_for_one_that_was_checked() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, |config| {
        config.updelay = ms(10_000);
        config.ports = ["eth0", "wlan0", "eth1"].map(PortPattern::new).to_vec();
    });
    w.set_path(wlan0, Reach::Dead);
    w.plug("eth1");
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("eth1");
}

#[test]
fn a_manual_switch_to_a_port_that_is_held_back_is_refused() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, as_usual);
    w.set_path(wlan0, Reach::Dead);
    w.run(ms(1000));
    w.switch(wlan0);
    w.run(ms(1000));
    w.assert_active("eth0");
    w.set_path(wlan0, Reach::Alive);
    w.run(ms(2000));
    w.assert_active("eth0"); // it was not kept for later
    w.switch(wlan0);
    w.run(ms(1));
    w.assert_active("wlan0");
    w.switch(eth0);
    w.run(ms(1000));
    w.assert_active("eth0");
}

// ---- warn and off ------------------------------------------------------------------------------------------------

fn warnings(w: &World) -> usize {
    w.notices.iter().filter(|notice| matches!(notice, Notice::OtherSegment { .. })).count()
}

#[test]
fn warn_tells_once_and_uses_the_port() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 7, |config| config.same_segment = SameSegment::Warn);
    w.run(ms(5000));
    assert_eq!(warnings(&w), 1);
    assert!(w.nics[&wlan0].attached);
    assert_eq!(w.waiting(wlan0), None);
    assert!(!w.port(wlan0).same_segment, "it only counts as if");
    for n in 2..5 {
        w.station(wlan0, StationState::Deauthenticated);
        w.run(ms(100));
        w.join(wlan0, "home", n);
        w.run(ms(5000));
    }
    assert_eq!(warnings(&w), 1);
    assert!(!w.port(wlan0).same_segment);
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
}

#[test]
fn warn_does_not_hold_a_port_back() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, |config| config.same_segment = SameSegment::Warn);
    w.set_path(wlan0, Reach::Dead);
    w.run(ms(1000));
    w.switch(wlan0);
    w.run(ms(1));
    w.assert_active("wlan0");
    w.switch(eth0);
    w.run(ms(1000));
    w.assert_active("eth0");
}

#[test]
fn a_wire_in_another_network_takes_over_under_warn() {
    let (mut w, eth0, _) = on_air(7, |config| config.same_segment = SameSegment::Warn);
    up(&mut w, eth0);
    w.run(ms(5000));
    w.assert_active("eth0");
    assert_eq!(warnings(&w), 1);
}

#[test]
fn off_asks_nothing_of_a_standby() {
    let (mut w, _, wlan0) = ports(["eth0", "wlan0"], 7, |config| config.same_segment = SameSegment::Off);
    w.run(ms(60_000));
    assert_eq!(w.sent().count(), 0);
    assert!(w.nics.values().all(|nic| nic.listening.is_none()));
    assert_eq!(w.waiting(wlan0), None);
    assert!(!w.port(wlan0).same_segment, "nobody has looked");
    // What is required from now on has to be shown from now on.
    w.reconfigure(|config| config.same_segment = SameSegment::Require);
    w.run(ms(2000));
    assert_eq!(w.waiting(wlan0), Some(Waiting::OtherSegment(other(7, 0))));
}

#[test]
fn off_still_asks_a_candidate_for_proof() {
    let (mut w, eth0, _) = on_air(7, |config| config.same_segment = SameSegment::Off);
    up(&mut w, eth0);
    w.run(ms(2000));
    w.assert_active("eth0");
    w.reconfigure(|config| config.same_segment = SameSegment::Require);
    w.run(ms(2000));
    w.assert_active("eth0");
}

// ---- together with the rest --------------------------------------------------------------------------------------

#[test]
fn a_station_that_falls_silent_during_the_check_is_asked_when_it_is_heard_again() {
    let (mut w, _, wlan0) = ports(["eth0", "wlan0"], 0, as_usual);
    w.station(wlan0, silent("home", 1));
    w.run(ms(2000));
    assert!(sent_by(&w, wlan0) <= 1, "only what was under way");
    assert!(w.nics.values().all(|nic| nic.listening.is_none()));
    w.join(wlan0, "home", 1);
    w.run(ms(2000));
    assert_eq!(w.waiting(wlan0), None);
}

#[test]
fn after_a_sleep_a_standby_is_asked_again() {
    let (mut w, _, wlan0) = ports(["eth0", "wlan0"], 0, as_usual);
    w.run(ms(2000));
    w.network.segments.insert(wlan0, 7);
    w.tell(Event::Resumed);
    w.run(ms(2000));
    assert_eq!(w.waiting(wlan0), Some(Waiting::OtherSegment(other(7, 0))));
}

#[test]
fn a_bond_that_is_taken_over_asks_and_interrupts_nothing() {
    let mut w = world(careful(&["eth0", "wlan0"]));
    let [eth0, wlan0] = ["eth0", "wlan0"].map(|name| w.exists(name, true));
    for id in [eth0, wlan0] {
        let nic = w.nics.get_mut(&id).unwrap();
        (nic.attached, nic.mac) = (true, mac(eth0.0));
    }
    w.table = ForwardingTable::active_backup(Some(eth0), [eth0, wlan0]);
    (w.bond_mac, w.carrier) = (Some(mac(eth0.0)), true);
    let observed: Observation = w.observation();
    let appeared = [eth0, wlan0].map(|id| Event::PortAppeared { port: id, info: w.nics[&id].info.clone() });
    w.tell_all(appeared.into_iter().chain([Event::Observed(observed)]));
    w.tell_all([eth0, wlan0].map(|port| Event::Carrier { port, up: true }));
    w.join(wlan0, "home", 1);
    w.run(ms(5000));
    w.assert_active("eth0");
    assert_eq!(w.waiting(wlan0), None);
    assert_eq!(w.count(|action| matches!(action, Action::Program(_) | Action::SetCarrier(_))), 0);
}

#[test]
fn the_check_works_where_the_driver_sees_to_addresses_and_notifications() {
    for (segment, attached) in [(0, true), (7, false)] {
        let offload = Offload { macs: true, notifications: true, carrier: true, forwarding: false };
        let mut w = World::on(careful(&["eth0", "wlan0"]), offload);
        w.network.hosts = vec![gateway()];
        w.network.neighbours = vec![gateway()];
        w.plug("eth0");
        let wlan0 = wire_up(&mut w, "wlan0", segment);
        up(&mut w, wlan0);
        w.run(ms(5000));
        assert_eq!(w.nics[&wlan0].attached, attached);
    }
}

#[test]
fn a_weak_active_station_makes_way_only_for_the_same_segment() {
    for (segment, active) in [(0, "eth0"), (7, "wlan0")] {
        let mut config = careful(&["wlan0", "eth0"]);
        config.signal_min = Some(-70);
        let mut w = world(config);
        let wlan0 = wire_up(&mut w, "wlan0", 0);
        let eth0 = wire_up(&mut w, "eth0", segment);
        up(&mut w, wlan0);
        w.run(ms(1000));
        up(&mut w, eth0);
        w.run(ms(5000));
        w.assert_active("wlan0");
        w.hears(wlan0, joined("home", 1), -85, 300);
        w.run(ms(5000));
        w.assert_active(active);
    }
}

#[test]
fn a_plain_bond_of_wires_asks_nobody() {
    let mut w = world(BondConfig { same_segment: SameSegment::Require, ..plain(&["eth0", "eth1"]) });
    let eth0 = w.plug("eth0");
    let eth1 = w.plug("eth1");
    w.pull(eth0);
    w.set_carrier(eth0, true);
    w.run(ms(60_000));
    assert_eq!(w.sent().count(), 0);
    w.assert_active("eth1");
    assert_eq!((w.port(eth0).same_segment, w.port(eth1).same_segment), (false, true));
}

#[test]
fn an_active_station_that_joins_another_network_makes_way_for_what_is_known() {
    let (mut w, wlan0, eth0) = ports(["wlan0", "eth0"], 0, as_usual);
    w.run(ms(2000));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(eth0), None);
    for (ssid, segment, active) in [("cafe", 7, "eth0"), ("home-5g", 0, "wlan0")] {
        w.network.segments.insert(wlan0, segment);
        w.forget();
        w.join(wlan0, ssid, 9);
        w.run(ms(5000));
        w.assert_active(active);
    }
    assert_eq!(w.waiting(eth0), None);
}

#[test]
fn an_active_station_that_joins_another_network_takes_the_bond_with_it_where_there_is_no_other() {
    let (mut w, wlan0, eth0) = ports(["wlan0", "eth0"], 0, as_usual);
    w.run(ms(2000));
    w.pull(eth0);
    w.join(wlan0, "cafe", 9);
    w.network.segments.insert(wlan0, 7);
    w.run(ms(5000));
    w.assert_active("wlan0");
    assert_eq!(w.failovers(), []);
    // The wire is what is elsewhere, from now on.
    w.set_carrier(eth0, true);
    w.run(ms(5000));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(eth0), Some(Waiting::OtherSegment(other(0, 7))));
}

#[test]
fn a_port_that_is_asked_before_it_takes_over_is_awake_by_then() {
    let (mut w, wlan0, _) = ports(["wlan0", "eth0"], 0, as_usual);
    w.station(wlan0, StationState::Deauthenticated);
    w.run(ms(1000));
    w.assert_active("eth0");
    w.vanish(wlan0);
    let wlan0 = wire_up(&mut w, "wlan0", 0);
    w.forget();
    up(&mut w, wlan0);
    w.run(ms(5000));
    w.assert_active("wlan0");
    let place = |filter: &dyn Fn(&Action) -> bool| w.actions.iter().position(filter).unwrap();
    let awake = place(&|action| *action == Action::SetPowerSave { port: wlan0, on: false });
    let active = place(&|action| matches!(action, Action::Program(table) if table.active() == Some(wlan0)));
    assert!(awake < active, "{:?}", w.actions);
}

#[test]
fn a_check_that_was_begun_with_another_active_port_does_not_end_with_this_one() {
    for wait in 0..150 {
        let mut w = world(BondConfig { failback: Failback::Carrier, ..careful(&["wlan1", "eth0", "wlan0"]) });
        let [eth0, wlan0, wlan1] = ["eth0", "wlan0", "wlan1"].map(|name| wire_up(&mut w, name, 7));
        w.network.segments.insert(eth0, 0);
        w.latency = Box::new(|_| ms(3));
        for port in [wlan1, eth0] {
            up(&mut w, port);
            w.run(ms(10_000));
        }
        w.assert_active("wlan1");
        up(&mut w, wlan0);
        w.run(ms(wait));
        w.vanish(wlan1);
        w.run(ms(10_000));
        let elsewhere = matches!(w.waiting(wlan0), Some(Waiting::OtherSegment(_)));
        assert_eq!(elsewhere, w.active().as_deref() == Some("eth0"), "{wait} ms");
    }
}

#[test]
fn what_took_over_unchecked_makes_way_for_where_the_bond_was() {
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 7, as_usual);
    // Before anybody could tell that it leads to the neighbour.
    w.pull(eth0);
    w.run(ms(5000));
    w.assert_active("wlan0");
    w.set_carrier(eth0, true);
    w.run(ms(5000));
    w.assert_active("eth0");
    assert_eq!(w.waiting(wlan0), Some(Waiting::OtherSegment(other(7, 0))));
    assert!(!w.nics[&wlan0].attached);
}

#[test]
fn what_was_checked_in_the_end_need_not_make_way_any_more() {
    let stay = |config: &mut BondConfig| config.primary_reselect = PrimaryReselect::Failure;
    let (mut w, eth0, wlan0) = ports(["eth0", "wlan0"], 0, stay);
    // Before anybody could tell that it leads to the same place.
    w.pull(eth0);
    w.run(ms(5000));
    w.assert_active("wlan0");
    w.set_carrier(eth0, true);
    w.run(ms(5000));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(eth0), None);
    // The cable is plugged in elsewhere.
    w.pull(eth0);
    w.network.segments.insert(eth0, 7);
    w.set_carrier(eth0, true);
    w.run(ms(5000));
    w.assert_active("wlan0");
    assert!(w.nics[&wlan0].attached);
}
