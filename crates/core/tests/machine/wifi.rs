//! Wi-Fi as a port: stations that associate, roam, fall silent and join foreign networks.

use hitless_core::config::{BondConfig, PrimaryReselect};
use hitless_core::event::{Action, Cause, Event, LinkState, Notice, Offload, PortId, Waiting};
use hitless_core::table::ForwardingTable;
use hitless_core::wifi::{Association, Reception, Ssid, Station, StationState};

use crate::support::{World, joined, mac, ms, plain, silent, with_primary};

mod segment;

fn ssid(text: &str) -> Ssid {
    Ssid::new(text).unwrap()
}

/// eth0 is active, wlan0 has joined "home" and stands by. Nobody asks whether both are in one segment.
fn at_home(change: impl FnOnce(&mut BondConfig)) -> (World, PortId, PortId) {
    at_home_with(["eth0", "wlan0"], change)
}

/// The same, with these names and this order.
fn at_home_with(names: [&str; 2], change: impl FnOnce(&mut BondConfig)) -> (World, PortId, PortId) {
    let mut config = with_primary(&names);
    change(&mut config);
    let mut w = World::new(config);
    let ports = names.map(|name| w.plug(name));
    for (name, port) in names.into_iter().zip(ports) {
        if name.starts_with("wl") {
            w.join(port, "home", 1);
        }
    }
    w.run(ms(2000));
    w.assert_active(names[0]);
    w.forget();
    (w, ports[0], ports[1])
}

fn as_usual(_: &mut BondConfig) {}

fn downdelay(config: &mut BondConfig) {
    config.downdelay = ms(5000);
}

// ---- whether there is a link -------------------------------------------------------------------------------------

#[test]
fn an_access_point_that_is_not_heard_any_more_is_left_at_once() {
    // mac80211 keeps the carrier for more than a second, and downdelay is for cables.
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], downdelay);
    w.station(wlan0, silent("home", 1));
    w.run(ms(1));
    w.assert_active("eth0");
    assert_eq!(w.cause(), Some(Cause::BeaconsLost));
    assert_eq!(w.waiting(wlan0), Some(Waiting::Beacons));
    w.join(wlan0, "home", 1);
    w.run(ms(1));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(wlan0), None);
}

#[test]
fn a_station_that_was_sent_away_is_left_at_once() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], downdelay);
    w.station(wlan0, StationState::Deauthenticated);
    w.run(ms(1));
    w.assert_active("eth0");
    assert_eq!(w.cause(), Some(Cause::Deauthenticated));
    assert_eq!(w.waiting(wlan0), Some(Waiting::Association));
    w.set_carrier(wlan0, false);
    w.run(ms(1000));
    w.join(wlan0, "home", 1);
    w.run(ms(1000));
    w.assert_active("eth0"); // the keys are not there yet
    w.set_carrier(wlan0, true);
    w.run(ms(1));
    w.assert_active("wlan0");
}

#[test]
fn a_standby_that_is_not_heard_is_not_used() {
    let (mut w, eth0, wlan0) = at_home(as_usual);
    w.station(wlan0, silent("home", 1));
    w.pull(eth0);
    w.run(ms(1));
    w.assert_nothing_active();
    w.join(wlan0, "home", 1);
    w.run(ms(1));
    w.assert_active("wlan0");
}

#[test]
fn silence_on_the_only_port_may_pass() {
    let (mut w, eth0, wlan0) = at_home(as_usual);
    w.pull(eth0);
    w.run(ms(1000));
    w.assert_active("wlan0");
    w.forget();
    w.station(wlan0, silent("home", 1));
    w.run(ms(5000));
    assert_eq!((w.link(wlan0), w.failovers()), (LinkState::Up, vec![]));
    assert!(w.carrier);
    // Now there is somewhere to go.
    w.set_carrier(eth0, true);
    w.run(ms(1000));
    w.assert_active("eth0");
    assert_eq!(w.link(wlan0), LinkState::Down);
}

#[test]
fn who_is_sent_away_after_the_silence_is_gone() {
    let (mut w, eth0, wlan0) = at_home(as_usual);
    w.pull(eth0);
    w.run(ms(1000));
    w.station(wlan0, silent("home", 1));
    w.station(wlan0, StationState::Deauthenticated);
    w.run(ms(1));
    w.assert_nothing_active();
}

#[test]
fn a_roam_is_no_failure() {
    for carrier_too in [false, true] {
        let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], as_usual);
        w.station(wlan0, StationState::Away);
        if carrier_too {
            w.set_carrier(wlan0, false);
        }
        w.run(ms(150));
        w.join(wlan0, "home", 2);
        w.run(ms(149));
        w.set_carrier(wlan0, true);
        w.run(ms(10_000));
        w.assert_active("wlan0");
        assert_eq!(w.failovers(), []);
        assert_eq!(w.port(wlan0).link_failures, 0);
        // From one to the next without a moment in between.
        w.join(wlan0, "home", 3);
        w.run(ms(10_000));
        assert_eq!(w.failovers(), []);
    }
}

#[test]
fn a_roam_without_a_usable_wire_costs_the_bond_nothing() {
    let (mut w, wlan0, eth0) = at_home_with(["wlan0", "eth0"], as_usual);
    w.pull(eth0);
    w.run(ms(10));
    w.forget();
    w.station(wlan0, StationState::Away);
    w.set_carrier(wlan0, false);
    w.run(ms(299));
    w.join(wlan0, "home", 2);
    w.set_carrier(wlan0, true);
    w.run(ms(10_000));
    assert_eq!(w.count(|action| matches!(action, Action::SetCarrier(_) | Action::Program(_))), 0);
}

#[test]
fn a_roam_that_takes_too_long_is_one() {
    for (grace, delay) in [(300, 0), (0, 0), (100, 700), (900, 700)] {
        let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], |config| {
            config.roam_grace = ms(grace);
            config.downdelay = ms(delay);
        });
        w.station(wlan0, StationState::Away);
        let patience = grace.max(delay);
        if patience > 0 {
            w.run(ms(patience - 1));
            w.assert_active("wlan0");
        }
        w.run(ms(1));
        w.assert_active("eth0");
        assert_eq!(w.cause(), Some(Cause::CarrierLost));
        w.join(wlan0, "home", 2);
        w.run(ms(1));
        w.assert_active("wlan0");
    }
}

#[test]
fn a_roam_that_ends_in_a_refusal_is_over_at_once() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], as_usual);
    w.station(wlan0, StationState::Away);
    w.run(ms(100));
    w.station(wlan0, StationState::Deauthenticated);
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn a_cable_has_no_grace() {
    let (mut w, eth0, _) = at_home(as_usual);
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
}

#[test]
fn a_stick_that_is_pulled_out_and_put_back_is_a_port_again() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], |config| config.ssid_allow = vec![ssid("home")]);
    w.vanish(wlan0);
    w.run(ms(1000));
    w.assert_active("eth0");
    let wlan0 = w.plug("wlan0");
    w.run(ms(1000));
    w.assert_active("eth0"); // nobody has said yet what it has joined
    w.join(wlan0, "home", 1);
    w.run(ms(1000));
    w.assert_active("wlan0");
}

// ---- how good it is ----------------------------------------------------------------------------------------------

fn least(config: &mut BondConfig) {
    config.signal_min = Some(-70);
}

#[test]
fn a_weak_signal_makes_way_until_it_has_recovered() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], least);
    for (dbm, active) in
        [(-70, "wlan0"), (-71, "eth0"), (-70, "eth0"), (-66, "eth0"), (-65, "wlan0"), (-70, "wlan0")]
    {
        w.hears(wlan0, joined("home", 1), dbm, 300);
        w.run(ms(10));
        w.assert_active(active);
    }
    let causes: Vec<_> = w.failovers().into_iter().map(|(.., cause)| cause).collect();
    assert_eq!(causes, [Cause::SignalLow, Cause::BetterPort]);
    assert_eq!(w.port(wlan0).link_failures, 0, "worse, not dead");
}

#[test]
fn a_weak_signal_is_better_than_nothing() {
    let (mut w, eth0, wlan0) = at_home(least);
    w.hears(wlan0, joined("home", 1), -90, 300);
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
    w.set_carrier(eth0, true);
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn with_primary_reselect_failure_a_weak_signal_makes_way_and_does_not_come_back() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], |config| {
        least(config);
        config.primary_reselect = PrimaryReselect::Failure;
    });
    w.hears(wlan0, joined("home", 1), -80, 300);
    w.run(ms(1));
    w.assert_active("eth0");
    w.hears(wlan0, joined("home", 1), -40, 300);
    w.run(ms(10_000));
    w.assert_active("eth0");
}

#[test]
fn who_asks_for_a_weak_port_gets_it() {
    let (mut w, eth0, wlan0) = at_home(least);
    w.hears(wlan0, joined("home", 1), -90, 300);
    w.switch(wlan0);
    w.run(ms(1000));
    w.assert_active("wlan0");
    w.pull(eth0);
    w.set_carrier(eth0, true);
    w.run(ms(1000));
    w.assert_active("eth0"); // the primary comes back
}

#[test]
fn the_weaker_of_two_radios_is_left() {
    let (mut w, wlan0, wlan1) = at_home_with(["wlan0", "wlan1"], least);
    w.hears(wlan0, joined("home", 1), -80, 300);
    w.run(ms(1));
    w.assert_active("wlan1");
    w.hears(wlan1, joined("home", 1), -80, 300);
    w.run(ms(1));
    w.assert_active("wlan0"); // both are weak: the primary
    assert_eq!(w.cause(), Some(Cause::BetterPort));
}

#[test]
fn a_reload_judges_signals_by_the_new_rule_only_where_there_is_one() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], least);
    w.hears(wlan0, joined("home", 1), -71, 300);
    w.hears(wlan0, joined("home", 1), -68, 300);
    w.run(ms(1));
    w.reconfigure(|config| config.num_peer_notif = 3);
    w.run(ms(10));
    w.assert_active("eth0"); // it has not recovered
    w.reconfigure(|config| config.signal_min = Some(-72));
    w.run(ms(10));
    w.assert_active("wlan0");
    w.reconfigure(|config| config.signal_min = Some(-60));
    w.run(ms(10));
    w.assert_active("eth0");
    assert_eq!(w.cause(), Some(Cause::Configuration));
    w.reconfigure(|config| config.signal_min = None);
    w.run(ms(10));
    w.assert_active("wlan0");
}

#[test]
fn the_bit_rate_is_the_speed() {
    let (mut w, wlan0, eth0) = at_home_with(["wlan0", "eth0"], |config| {
        config.primary_reselect = PrimaryReselect::Better;
    });
    w.change(eth0, |info| info.speed_mbps = Some(100));
    w.change(wlan0, |info| (info.speed_mbps, info.duplex) = (None, None));
    w.station(wlan0, StationState::Deauthenticated);
    w.run(ms(1));
    w.assert_active("eth0");
    w.hears(wlan0, joined("home", 1), -50, 54);
    w.run(ms(1000));
    w.assert_active("eth0");
    assert_eq!(w.port(wlan0).speed_mbps, Some(54));
    w.hears(wlan0, joined("home", 1), -50, 866);
    w.run(ms(1000));
    w.assert_active("wlan0");
    // What traffic is on does not follow each breath of air.
    w.hears(wlan0, joined("home", 1), -50, 6);
    w.run(ms(1000));
    w.assert_active("wlan0");
}

#[test]
fn a_port_is_kept_awake_while_it_is_active_or_about_to_be() {
    let (mut w, eth0, wlan0) = at_home(as_usual);
    assert!(w.nics[&wlan0].power_save, "it stands by");
    w.pull(eth0);
    w.run(ms(1));
    assert!(!w.nics[&wlan0].power_save);
    w.station(wlan0, StationState::Away);
    w.join(wlan0, "home", 2);
    w.run(ms(1));
    assert!(!w.nics[&wlan0].power_save);
    w.set_carrier(eth0, true);
    w.run(ms(1));
    assert!(w.nics[&wlan0].power_save);
}

#[test]
fn a_port_that_leaves_may_sleep_again() {
    let (mut w, eth0, wlan0) = at_home(as_usual);
    w.pull(eth0);
    w.run(ms(1));
    w.reconfigure(|config| config.ports = plain(&["eth0"]).ports);
    w.run(ms(1000));
    assert!(!w.knows(wlan0));
    assert!(w.nics[&wlan0].power_save);
}

// ---- home only ---------------------------------------------------------------------------------------------------

fn home_only(config: &mut BondConfig) {
    config.ssid_allow = vec![ssid("home"), ssid("home-5g")];
}

#[test]
fn a_foreign_network_at_the_first_association_keeps_the_port_out() {
    let mut config = with_primary(&["eth0", "wlan0"]);
    home_only(&mut config);
    let mut w = World::new(config);
    let wlan0 = w.appear("wlan0", false);
    w.run(ms(1000));
    assert!(w.nics[&wlan0].attached, "it is attached before it joins anything");
    w.station(wlan0, StationState::Away);
    w.join(wlan0, "cafe", 1);
    w.set_carrier(wlan0, true);
    w.run(ms(1000));
    assert!(!w.nics[&wlan0].attached);
    assert_eq!(w.waiting(wlan0), Some(Waiting::Network(ssid("cafe"))));
    w.assert_nothing_active();
    w.forget();
    w.run(ms(60_000));
    assert!(w.actions.is_empty(), "{:?}", w.actions);
    // Given back it associates anew; that is not home yet.
    w.station(wlan0, StationState::Away);
    w.run(ms(1000));
    w.join(wlan0, "cafe", 2);
    w.run(ms(1000));
    assert!(w.actions.is_empty(), "{:?}", w.actions);
    w.join(wlan0, "home-5g", 3);
    w.run(ms(1000));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(wlan0), None);
}

#[test]
fn an_active_port_that_joins_a_foreign_network_leaves() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], home_only);
    w.join(wlan0, "cafe", 9);
    w.run(ms(1));
    w.assert_active("eth0");
    assert_eq!(w.cause(), Some(Cause::OtherNetwork));
    w.run(ms(1000));
    assert!(!w.nics[&wlan0].attached);
    assert!(w.nics[&wlan0].power_save);
    w.join(wlan0, "home", 1);
    w.run(ms(1000));
    w.assert_active("wlan0");
}

#[test]
fn a_foreign_network_is_no_better_than_none() {
    let (mut w, wlan0, eth0) = at_home_with(["wlan0", "eth0"], home_only);
    w.pull(eth0);
    w.join(wlan0, "cafe", 9);
    w.run(ms(1000));
    w.assert_nothing_active();
    assert!(!w.carrier);
}

#[test]
fn what_nobody_can_name_is_foreign() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], home_only);
    let nameless = Association { ssid: None, bssid: mac(77) };
    w.station(wlan0, StationState::Joined(nameless));
    w.run(ms(1000));
    w.assert_active("eth0");
    assert!(!w.nics[&wlan0].attached);
}

#[test]
fn a_name_that_cannot_be_told_for_a_moment_is_remembered_with_the_access_point() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], home_only);
    let StationState::Joined(home) = joined("home", 1) else { unreachable!() };
    w.station(wlan0, StationState::Joined(Association { ssid: None, ..home }));
    w.run(ms(1000));
    w.join(wlan0, "home", 1);
    w.run(ms(1000));
    w.assert_active("wlan0");
    assert_eq!(w.failovers(), []);
    assert_eq!(w.count(|action| matches!(action, Action::Detach { .. })), 0);
}

#[test]
fn the_list_may_be_changed_live() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], as_usual);
    w.reconfigure(|config| config.ssid_allow = vec![ssid("work")]);
    w.run(ms(1000));
    w.assert_active("eth0");
    assert!(!w.nics[&wlan0].attached);
    w.reconfigure(|config| config.ssid_allow.push(ssid("home")));
    w.run(ms(1000));
    w.assert_active("wlan0");
}

#[test]
fn a_roam_within_the_list_is_no_failure_either() {
    let (mut w, wlan0, _) = at_home_with(["wlan0", "eth0"], home_only);
    w.station(wlan0, StationState::Away);
    w.run(ms(200));
    w.join(wlan0, "home-5g", 2);
    w.run(ms(1000));
    assert_eq!(w.failovers(), []);
}

#[test]
fn what_is_said_before_the_port_appears_has_to_be_said_again() {
    let mut w = World::new(BondConfig { ssid_allow: vec![ssid("home")], ..plain(&["wlan0"]) });
    let wlan0 = w.exists("wlan0", true);
    w.join(wlan0, "home", 1);
    let info = w.nics[&wlan0].info.clone();
    w.tell(Event::PortAppeared { port: wlan0, info });
    w.tell(Event::Carrier { port: wlan0, up: true });
    w.run(ms(1000));
    w.assert_nothing_active();
    w.join(wlan0, "home", 1);
    w.run(ms(1000));
    w.assert_active("wlan0");
}

#[test]
fn a_bond_that_is_taken_over_is_not_interrupted_for_a_name_that_is_yet_to_be_told() {
    for told_first in [false, true] {
        let mut w = World::new(BondConfig { ssid_allow: vec![ssid("home")], ..plain(&["wlan0"]) });
        let wlan0 = w.exists("wlan0", true);
        w.nics.get_mut(&wlan0).unwrap().attached = true;
        w.table = ForwardingTable::active_backup(Some(wlan0), [wlan0]);
        (w.bond_mac, w.carrier) = (Some(mac(wlan0.0)), true);
        let appeared = Event::PortAppeared { port: wlan0, info: w.nics[&wlan0].info.clone() };
        let reception = Reception::default();
        let joined = Event::Station { port: wlan0, station: Station { state: joined("home", 1), reception } };
        let observed = Event::Observed(w.observation());
        let carrier = Event::Carrier { port: wlan0, up: true };
        if told_first {
            w.tell_all([appeared, joined, observed, carrier]);
        } else {
            w.tell_all([appeared, observed, carrier]);
            w.run(ms(100));
            w.tell(joined);
        }
        w.run(ms(10_000));
        let disturbing = w.count(|action| !matches!(action, Action::SetPowerSave { on: false, .. }));
        assert_eq!(disturbing, 0, "{:?}", w.actions);
        w.assert_active("wlan0");
    }
}

// ---- peers behind the same access point --------------------------------------------------------------------------

fn told(w: &World, port: PortId) -> usize {
    w.count(|action| *action == Action::NotifyPeers { port })
}

#[test]
fn peers_are_reminded_whenever_an_access_point_may_have_told_them_otherwise() {
    let on = |offload: Offload| {
        let mut w = World::on(BondConfig { num_peer_notif: 1, ..plain(&["eth0", "wlan0"]) }, offload);
        let ports = ["eth0", "wlan0"].map(|name| w.plug(name));
        w.join(ports[1], "home", 1);
        w.run(ms(5000));
        (w, ports)
    };
    for notifications in [false, true] {
        let (mut w, [eth0, wlan0]) =
            on(Offload { macs: true, notifications, carrier: true, forwarding: false });
        let happenings: [fn(&mut World, PortId); 5] = [
            |w, wlan0| w.join(wlan0, "home", 2),
            |w, port| w.tell(Event::Rekeyed { port }),
            |w, wlan0| {
                w.station(wlan0, StationState::Away);
                w.run(ms(100));
                w.join(wlan0, "home", 2);
            },
            |w, wlan0| {
                w.station(wlan0, StationState::Deauthenticated);
                w.run(ms(5000));
                w.join(wlan0, "home", 2);
            },
            |w, _| w.tell(Event::Resumed),
        ];
        for happens in happenings {
            w.forget();
            happens(&mut w, wlan0);
            w.run(ms(1));
            assert!(told(&w, eth0) >= 1, "at once");
            w.run(ms(5000));
            assert!((3..=4).contains(&told(&w, eth0)), "{}", told(&w, eth0));
            assert_eq!(told(&w, wlan0), 0, "the active port announces itself");
        }
        w.forget();
        w.join(wlan0, "home", 2);
        w.hears(wlan0, joined("home", 2), -60, 54);
        w.run(ms(5000));
        assert_eq!(told(&w, eth0), 0, "nothing has happened");
    }
}

#[test]
fn a_wire_that_comes_up_meanwhile_does_not_end_the_reminders() {
    for notifications in [false, true] {
        let offload = Offload { notifications, ..Offload::default() };
        let mut w = World::on(BondConfig { num_peer_notif: 1, ..plain(&["eth0", "wlan0", "eth1"]) }, offload);
        let [eth0, wlan0] = ["eth0", "wlan0"].map(|name| w.plug(name));
        w.run(ms(5000));
        w.forget();
        w.join(wlan0, "home", 1);
        w.run(ms(100));
        w.plug("eth1");
        w.run(ms(5000));
        assert!(told(&w, eth0) >= 3, "{}", told(&w, eth0));
    }
}

#[test]
fn where_no_notifications_are_wanted_there_are_no_reminders() {
    let (mut w, _, wlan0) = at_home(|config| config.num_peer_notif = 0);
    w.join(wlan0, "home", 2);
    w.tell(Event::Rekeyed { port: wlan0 });
    w.run(ms(5000));
    assert_eq!(w.count(|action| matches!(action, Action::NotifyPeers { .. })), 0);
}

#[test]
fn a_storm_of_roams_and_rekeys_is_no_storm_of_frames() {
    let (mut w, _, wlan0) = at_home(|config| config.num_peer_notif = 1);
    for n in 0..100 {
        w.join(wlan0, "home", n);
        w.tell(Event::Rekeyed { port: wlan0 });
        w.run(ms(10));
    }
    w.run(ms(10_000));
    let told = w.count(|action| matches!(action, Action::NotifyPeers { .. }));
    assert!((3..=205).contains(&told), "{told}");
    assert_eq!(w.machine.poll_timeout(), None);
}

// ---- waking up ---------------------------------------------------------------------------------------------------

#[test]
fn after_a_sleep_everything_comes_back_by_itself() {
    let (mut w, wlan0, eth0) = at_home_with(["wlan0", "eth0"], |config| {
        home_only(config);
        config.num_peer_notif = 1;
    });
    w.set_carrier(eth0, false);
    w.set_carrier(wlan0, false);
    w.station(wlan0, StationState::Deauthenticated);
    w.run(ms(3_600_000));
    w.assert_nothing_active();
    w.tell(Event::Resumed);
    w.run(ms(100));
    w.set_carrier(wlan0, true);
    w.join(wlan0, "home", 1);
    w.run(ms(5000));
    w.assert_active("wlan0");
    assert_eq!(w.link(wlan0), LinkState::Up);
}

#[test]
fn a_sleep_alone_changes_nothing() {
    let (mut w, ..) = at_home_with(["wlan0", "eth0"], home_only);
    w.tell(Event::Resumed);
    w.run(ms(60_000));
    assert!(w.actions.is_empty(), "{:?}", w.actions);
    assert!(w.notices.is_empty(), "{:?}", w.notices);
}

#[test]
fn whatever_is_said_of_a_port_that_is_not_there_is_ignored() {
    let mut w = World::new(plain(&["eth0"]));
    let nobody = PortId(99);
    let station = Station { state: StationState::Away, reception: Reception::default() };
    w.tell_all([
        Event::Station { port: nobody, station },
        Event::Rekeyed { port: nobody },
        Event::Resumed,
        Event::Switch { port: nobody },
    ]);
    w.run(ms(1000));
    assert!(w.actions.is_empty() && !w.notices.iter().any(|notice| matches!(notice, Notice::Link { .. })));
}
