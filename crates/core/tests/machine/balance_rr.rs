//! All ports in turn: who takes part, who is told, and what a driver that sees to it by itself is spared.

use hitless_core::config::{BondConfig, FailOverMac, Failback, Mode, PortPattern, SameSegment};
use hitless_core::event::{Action, LinkState, Notice, Offload, PortId, Waiting};
use hitless_core::table::{ForwardingTable, Receive, Transmit};
use hitless_core::wifi::StationState;

use crate::support::{World, ms, plain, silent};

fn balance_rr(ports: &[&str]) -> BondConfig {
    BondConfig { mode: Mode::BalanceRr, num_peer_notif: 1, ..plain(ports) }
}

/// Whose turn it may be, as the driver has it; every port of the bond accepts everything.
fn turns(w: &World) -> Vec<PortId> {
    assert!(w.table.ports.iter().all(|entry| entry.receive == Receive::All), "{:?}", w.table);
    match &w.table.transmit {
        Transmit::Nothing => Vec::new(),
        Transmit::RoundRobin(ports) => ports.clone(),
        other => panic!("{other:?}"),
    }
}

fn announced_by(w: &World) -> Vec<PortId> {
    let announcers = w.actions.iter().filter_map(|action| match action {
        Action::NotifyPeers { port } => Some(*port),
        _ => None,
    });
    announcers.collect()
}

#[test]
fn every_port_with_a_link_takes_its_turn() {
    let mut w = World::new(balance_rr(&["eth0", "eth1", "eth2"]));
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| w.plug(name));
    let eth2 = w.appear("eth2", false);
    w.run(ms(10));
    assert_eq!(turns(&w), [eth0, eth1]);
    assert_eq!(w.table.ports.len(), 3);
    assert!(w.carrier);
    w.assert_nothing_active();
    assert!(w.port(eth0).active && w.port(eth1).active && !w.port(eth2).active);
    let bond = w.bond_mac.expect("an address");
    assert!(w.nics.values().all(|nic| nic.mac == bond), "one address for all");

    w.set_carrier(eth2, true);
    w.run(ms(10));
    assert_eq!(turns(&w), [eth0, eth1, eth2], "nobody asks for proof");
    assert!(w.failovers().is_empty());
}

#[test]
fn peers_hear_by_a_port_that_is_left_what_has_become_of_one_that_is_not() {
    let mut w = World::new(balance_rr(&["eth0", "eth1"]));
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| w.plug(name));
    w.run(ms(10));
    w.forget();
    w.pull(eth0);
    w.run(ms(10));
    assert_eq!(turns(&w), [eth1]);
    assert_eq!(announced_by(&w), [eth1]);
    assert!(w.carrier);
    w.pull(eth1);
    w.run(ms(10));
    assert_eq!(turns(&w), []);
    assert!(!w.carrier);
    w.forget();
    w.set_carrier(eth1, true);
    w.run(ms(10));
    assert_eq!(turns(&w), [eth1]);
    assert_eq!(announced_by(&w), [eth1]);
}

#[test]
fn delays_count_as_everywhere() {
    let mut w = World::new(BondConfig { updelay: ms(200), ..balance_rr(&["eth0", "eth1"]) });
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| w.plug(name));
    w.run(ms(10));
    assert_eq!(turns(&w), [eth0], "updelay is skipped when there is no other");
    assert_eq!(w.link(eth1), LinkState::Back);
    w.run(ms(200));
    assert_eq!(turns(&w), [eth0, eth1]);
}

#[test]
fn what_is_for_an_active_port_only_does_not_count() {
    let mut w = World::new(BondConfig {
        primary: Some(PortPattern::new("wlan0")),
        failback: Failback::Proven { timeout: None },
        fail_over_mac: FailOverMac::Active,
        same_segment: SameSegment::Require,
        ..balance_rr(&["wlan0", "wlan1"])
    });
    let [wlan0, wlan1] = ["wlan0", "wlan1"].map(|name| w.plug(name));
    w.join(wlan0, "upstairs", 1);
    w.join(wlan1, "downstairs", 2);
    w.switch(wlan1);
    w.run(ms(5_000));
    assert_eq!(turns(&w), [wlan0, wlan1]);
    assert_eq!((w.waiting(wlan0), w.waiting(wlan1)), (None, None));
    assert_eq!(w.count(|action| matches!(action, Action::Send { .. } | Action::Listen { .. })), 0);
    assert!(w.nics.values().all(|nic| !nic.power_save), "all are in use");
    assert_eq!(w.nics[&wlan0].mac, w.nics[&wlan1].mac);
}

#[test]
fn an_access_point_that_has_fallen_silent_is_left_out_unless_it_is_the_only_one() {
    let mut w = World::new(balance_rr(&["wlan0", "wlan1"]));
    let [wlan0, wlan1] = ["wlan0", "wlan1"].map(|name| w.plug(name));
    w.join(wlan0, "home", 1);
    w.join(wlan1, "home", 2);
    w.run(ms(10));
    assert_eq!(turns(&w), [wlan0, wlan1]);
    w.station(wlan0, silent("home", 1));
    w.run(ms(10));
    assert_eq!(turns(&w), [wlan1]);
    w.pull(wlan1);
    w.run(ms(500));
    assert_eq!(turns(&w), [wlan0], "silence may pass");
}

#[test]
fn two_stations_with_one_address_are_told_apart_by_no_access_point() {
    let mut w = World::new(balance_rr(&["wlan0", "wlan1"]));
    let [wlan0, wlan1] = ["wlan0", "wlan1"].map(|name| w.plug(name));
    w.join(wlan0, "home", 1);
    w.join(wlan1, "home", 1);
    w.run(ms(10));
    assert_eq!(w.waiting(wlan0), None);
    assert_eq!(w.waiting(wlan1), Some(Waiting::OwnAccessPoint("wlan0".to_owned())));
    // It stays the reason while they push each other out.
    w.station(wlan1, StationState::Deauthenticated);
    assert_eq!(w.waiting(wlan1), Some(Waiting::OwnAccessPoint("wlan0".to_owned())));
    w.join(wlan1, "home", 2);
    assert_eq!(w.waiting(wlan1), None);
}

#[test]
fn the_next_machine_takes_all_of_them_over() {
    let mut w = World::new(BondConfig { updelay: ms(500), ..balance_rr(&["eth0", "eth1"]) });
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| w.exists(name, true));
    for nic in w.nics.values_mut() {
        nic.attached = true;
    }
    w.table = ForwardingTable::balance_rr([eth0, eth1], [eth0, eth1]);
    w.bond_mac = Some(w.nics[&eth0].mac);
    w.carrier = true;
    let table = w.table.clone();
    for port in [eth0, eth1] {
        let info = w.nics[&port].info.clone();
        w.tell(hitless_core::event::Event::PortAppeared { port, info });
    }
    w.observe();
    for port in [eth0, eth1] {
        w.set_carrier(port, true);
    }
    w.run(ms(10));
    assert_eq!(w.table, table);
    assert_eq!(w.count(|action| matches!(action, Action::Program(_) | Action::SetCarrier(_))), 0);
}

#[test]
fn a_driver_that_shares_traffic_out_by_itself_is_told_of_no_table() {
    let offload = Offload { macs: true, carrier: true, forwarding: true, ..Offload::default() };
    let mut w = World::on(balance_rr(&["eth0", "eth1"]), offload);
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| w.plug(name));
    w.run(ms(10));
    assert!(w.port(eth0).active && w.port(eth1).active);
    w.forget();
    w.pull(eth0);
    w.run(ms(10));
    assert!(!w.port(eth0).active && w.port(eth1).active);
    assert_eq!(announced_by(&w), [eth1], "that it does not do by itself");
    w.observe();
    w.run(ms(10));
    assert_eq!(w.count(|action| matches!(action, Action::Program(_))), 0);
    assert!(!w.notices.iter().any(|notice| matches!(notice, Notice::Drift { .. })), "{:?}", w.notices);
    w.reconfigure(|config| config.ports = vec![PortPattern::new("eth1")]);
    w.run(ms(10));
    assert!(!w.knows(eth0), "it was given back");
}

#[test]
fn a_mode_may_change_while_the_bond_lives() {
    let mut w = World::new(balance_rr(&["eth0", "eth1"]));
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| w.plug(name));
    w.run(ms(10));
    w.reconfigure(|config| config.mode = Mode::ActiveBackup);
    w.run(ms(10));
    w.assert_active("eth0");
    w.reconfigure(|config| config.mode = Mode::BalanceRr);
    w.run(ms(10));
    assert_eq!(turns(&w), [eth0, eth1]);
}
