//! Which port is active, by carrier and by what was asked for.

use hitless_core::config::{BondConfig, PortOptions, PortPattern, PrimaryReselect};
use hitless_core::event::{Cause, Duplex, Event, LinkState, Waiting};

use crate::support::{World, info, ms, plain, with_primary};

#[test]
fn the_first_port_becomes_active_and_gives_the_bond_carrier_and_address() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.assert_active("eth0");
    assert!(w.carrier);
    assert_eq!(w.bond_mac, Some(w.nics[&eth0].info.permanent_mac));
    assert_eq!(w.failovers(), [(None, Some("eth0".to_owned()), Cause::FirstPort)]);
    assert_eq!(w.machine.poll_timeout(), None, "nothing more to do");
}

#[test]
fn a_bond_without_carrier_anywhere_has_none_itself() {
    let mut w = World::new(plain(&["eth0"]));
    let eth0 = w.appear("eth0", false);
    w.run(ms(10));
    w.assert_nothing_active();
    assert!(!w.carrier);
    assert_eq!(w.waiting(eth0), Some(Waiting::Carrier));
    w.set_carrier(eth0, true);
    w.run(ms(1));
    w.assert_active("eth0");
    assert_eq!(w.waiting(eth0), None);
}

#[test]
fn a_pulled_cable_moves_traffic_at_once() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.forget();
    w.latency = Box::new(|_| ms(3));
    w.pull(eth0);
    w.run(ms(3));
    w.assert_active("wlan0");
    let failover = w.machine.snapshot().last_failover.unwrap();
    assert_eq!(failover.cause, Cause::CarrierLost);
    assert_eq!(failover.took, ms(3));
    assert_eq!(w.port(eth0).link_failures, 1);
}

#[test]
fn carrier_said_again_changes_nothing() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.forget();
    for _ in 0..10 {
        w.tell(Event::Carrier { port: eth0, up: true });
        w.run(ms(10));
    }
    assert!(w.actions.is_empty() && w.notices.is_empty());
}

#[test]
fn without_a_primary_traffic_stays_where_it_went() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.pull(eth0);
    w.run(ms(1));
    w.set_carrier(eth0, true);
    w.run(ms(100));
    w.assert_active("wlan0");
}

#[test]
fn the_primary_takes_over_again() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.pull(eth0);
    w.run(ms(1));
    w.set_carrier(eth0, true);
    w.run(ms(1));
    w.assert_active("eth0");
    assert_eq!(w.cause(), Some(Cause::BetterPort));
}

#[test]
fn updelay_holds_a_port_back_while_another_works() {
    let mut w = World::new(BondConfig { updelay: ms(200), ..with_primary(&["eth0", "wlan0"]) });
    let eth0 = w.plug("eth0");
    w.assert_active("eth0"); // updelay is skipped when no port is usable
    w.plug("wlan0");
    w.run(ms(200));
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
    w.set_carrier(eth0, true);
    w.run(ms(199));
    assert_eq!(w.link(eth0), LinkState::Back);
    assert_eq!(w.waiting(eth0), Some(Waiting::Updelay));
    w.assert_active("wlan0");
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn updelay_is_skipped_when_nothing_else_is_left() {
    let mut w = World::new(BondConfig { updelay: ms(10_000), ..with_primary(&["eth0", "wlan0"]) });
    let eth0 = w.plug("eth0");
    let wlan0 = w.plug("wlan0");
    assert_eq!(w.link(wlan0), LinkState::Back);
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
}

#[test]
fn a_link_that_flaps_within_updelay_starts_to_wait_again() {
    let mut w = World::new(BondConfig { updelay: ms(100), ..with_primary(&["eth0", "wlan0"]) });
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.run(ms(100));
    w.pull(eth0);
    for _ in 0..10 {
        w.set_carrier(eth0, true);
        w.run(ms(90));
        w.pull(eth0);
        w.run(ms(1));
        w.assert_active("wlan0");
    }
}

#[test]
fn downdelay_rides_out_a_short_loss() {
    let mut w = World::new(BondConfig { downdelay: ms(100), ..plain(&["eth0", "wlan0"]) });
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.forget();
    w.pull(eth0);
    w.run(ms(99));
    assert_eq!(w.link(eth0), LinkState::Fail);
    w.set_carrier(eth0, true);
    w.run(ms(100));
    w.assert_active("eth0");
    assert!(w.actions.is_empty());
    assert_eq!(w.port(eth0).link_failures, 0);
    w.pull(eth0);
    w.run(ms(99));
    w.assert_active("eth0");
    w.run(ms(1));
    w.assert_active("wlan0");
    assert_eq!(w.port(eth0).link_failures, 1);
}

#[test]
fn primary_reselect_says_when_the_primary_takes_over() {
    // (rule, speed of the primary when it comes back, does it take over?)
    let cases = [
        (PrimaryReselect::Always, 10, true),
        (PrimaryReselect::Better, 10, false),
        (PrimaryReselect::Better, 1000, false),
        (PrimaryReselect::Better, 2500, true),
        (PrimaryReselect::Failure, 2500, false),
    ];
    for (primary_reselect, speed, takes_over) in cases {
        let mut w = World::new(BondConfig { primary_reselect, ..with_primary(&["eth0", "wlan0"]) });
        let eth0 = w.plug("eth0");
        let wlan0 = w.plug("wlan0");
        w.pull(eth0);
        w.change(eth0, |info| info.speed_mbps = Some(speed));
        w.set_carrier(eth0, true);
        w.run(ms(10));
        w.assert_active(if takes_over { "eth0" } else { "wlan0" });
        // Whatever the rule: when the active port fails, the primary is next.
        w.pull(wlan0);
        w.run(ms(1));
        w.assert_active("eth0");
    }
}

#[test]
fn better_looks_at_duplex_and_follows_a_change_of_speed() {
    let primary_reselect = PrimaryReselect::Better;
    let mut w = World::new(BondConfig { primary_reselect, ..with_primary(&["eth0", "eth1"]) });
    let eth1 = w.plug("eth1");
    w.plug("eth0");
    w.assert_active("eth1");
    w.change(eth1, |info| info.duplex = Some(Duplex::Half));
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn prio_decides_after_the_primary() {
    let mut config = plain(&["eth0", "eth1", "eth2"]);
    for (name, prio) in [("eth0", -10), ("eth2", 10)] {
        config.port_options.insert(name.to_owned(), PortOptions { prio, queue_id: 0 });
    }
    let mut w = World::new(config);
    let [_, eth1, eth2] = ["eth0", "eth1", "eth2"].map(|name| w.plug(name));
    w.assert_active("eth2");
    w.pull(eth2);
    w.run(ms(1));
    w.assert_active("eth1");
    w.pull(eth1);
    w.run(ms(1));
    w.assert_active("eth0");
    w.set_carrier(eth1, true);
    w.run(ms(1));
    w.assert_active("eth1");
    w.reconfigure(|config| config.primary = Some(PortPattern::new("eth0")));
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn a_manual_switch_holds_against_the_primary() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    w.plug("eth0");
    let wlan0 = w.plug("wlan0");
    w.switch(wlan0);
    w.run(ms(1));
    w.assert_active("wlan0");
    assert_eq!(w.cause(), Some(Cause::Manual));
    w.run(ms(60_000));
    w.assert_active("wlan0");
}

#[test]
fn a_manual_switch_ends_when_the_primary_comes_back() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    let wlan0 = w.plug("wlan0");
    w.switch(wlan0);
    w.run(ms(1));
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
    w.set_carrier(eth0, true);
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn a_manual_switch_ends_when_its_port_fails_and_does_not_come_back_with_it() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    w.plug("eth0");
    let wlan0 = w.plug("wlan0");
    w.switch(wlan0);
    w.run(ms(1));
    w.pull(wlan0);
    w.run(ms(1));
    w.assert_active("eth0");
    w.set_carrier(wlan0, true);
    w.run(ms(10));
    w.assert_active("eth0");
}

#[test]
fn a_switch_to_a_port_that_cannot_be_used_is_not_kept_for_later() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    w.plug("eth0");
    let wlan0 = w.appear("wlan0", false);
    w.switch(wlan0);
    w.run(ms(1));
    w.assert_active("eth0");
    w.set_carrier(wlan0, true);
    w.run(ms(10));
    w.assert_active("eth0");
}

#[test]
fn a_switch_that_cannot_be_done_does_not_undo_the_one_before() {
    let mut w = World::new(with_primary(&["eth0", "wlan0", "wwan0"]));
    w.plug("eth0");
    let wlan0 = w.plug("wlan0");
    let wwan0 = w.appear("wwan0", false);
    w.switch(wlan0);
    w.run(ms(1));
    w.switch(wwan0);
    w.run(ms(1));
    w.assert_active("wlan0");
}

#[test]
fn min_links_takes_the_carrier_away_and_not_the_port() {
    let mut w = World::new(BondConfig { min_links: 2, ..plain(&["eth0", "wlan0"]) });
    let eth0 = w.plug("eth0");
    w.assert_active("eth0");
    assert!(!w.carrier, "one of two");
    w.plug("wlan0");
    assert!(w.carrier);
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
    assert!(!w.carrier);
}

#[test]
fn the_order_of_events_in_one_go_does_not_matter() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let ids = ["wlan0", "eth0"].map(|name| (w.exists(name, true), name));
    let appear = ids.map(|(port, name)| Event::PortAppeared { port, info: info(name, port) });
    let carrier = ids.map(|(port, _)| Event::Carrier { port, up: true });
    w.tell_all(appear.into_iter().chain(carrier));
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn a_switch_there_and_back_before_the_driver_heard_of_it_is_no_failover() {
    let mut w = World::new(plain(&["eth0", "wlan0", "wwan0"]));
    let eth0 = w.plug("eth0");
    let wlan0 = w.plug("wlan0");
    w.forget();
    w.tell_all([wlan0, eth0].map(|port| Event::Switch { port }));
    w.run(ms(10));
    w.plug("wwan0");
    w.run(ms(10));
    assert_eq!(w.failovers(), []);
    w.assert_active("eth0");
}

#[test]
fn a_failover_overtaken_by_the_next_is_told_as_one() {
    let mut w = World::new(plain(&["eth0", "wlan0", "wwan0"]));
    let [eth0, wlan0, _] = ["eth0", "wlan0", "wwan0"].map(|name| w.plug(name));
    w.forget();
    w.latency = Box::new(|_| ms(50));
    w.pull(eth0);
    w.run(ms(10));
    w.pull(wlan0);
    w.run(ms(200));
    w.assert_active("wwan0");
    let [(from, to, cause)] = &w.failovers()[..] else { panic!("{:?}", w.failovers()) };
    assert_eq!((from.as_deref(), to.as_deref()), (Some("eth0"), Some("wwan0")));
    assert_eq!(*cause, Cause::CarrierLost);
    assert_eq!(w.machine.snapshot().last_failover.unwrap().took, ms(100), "since the first loss");
}
