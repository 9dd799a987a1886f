//! A driver that refuses, forgets, and is taken over from an earlier daemon.

use hitless_core::config::{BondConfig, PrimaryReselect};
use hitless_core::event::{Action, Cause, Event, LinkState, Notice, Observation, Offload, PortId};
use hitless_core::mac::MacAddr;
use hitless_core::table::{ForwardingTable, Transmit};

use crate::support::{World, info, mac, ms, plain, with_primary};

fn by(port: PortId) -> impl Fn(&Action) -> bool {
    move |action| matches!(action, Action::Program(table) if table.active() == Some(port))
}

#[test]
fn a_table_that_fails_once_is_tried_again_soon() {
    let mut w = World::new(plain(&["eth0"]));
    let mut left = 1;
    w.sabotage = Box::new(move |_, action| {
        let fails = left > 0 && matches!(action, Action::Program(table) if table.active().is_some());
        left -= usize::from(fails);
        fails
    });
    w.plug("eth0");
    w.run(ms(10));
    w.assert_active("eth0");
    assert!(w.notices.iter().any(|notice| matches!(notice, Notice::Retry { .. })));
}

#[test]
fn a_port_that_the_driver_refuses_makes_way_and_gets_a_second_chance() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    w.next_id(7);
    let eth0 = w.exists("eth0", true);
    let refused = by(eth0);
    w.sabotage = Box::new(move |_, action| refused(action));
    w.plug("wlan0");
    let nic = w.nics[&eth0].info.clone();
    w.tell(Event::PortAppeared { port: eth0, info: nic });
    w.tell(Event::Carrier { port: eth0, up: true });
    w.run(ms(100));
    w.assert_active("wlan0");
    assert_eq!(w.failovers().len(), 1, "traffic never left: {:?}", w.failovers());
    w.sabotage = Box::new(|_, _| false);
    w.run(ms(5000));
    w.assert_active("eth0");
}

#[test]
fn an_active_port_that_the_driver_refuses_from_now_on_makes_way() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    let refused = by(eth0);
    w.sabotage = Box::new(move |_, action| refused(action));
    w.table = ForwardingTable::default();
    w.observe();
    w.run(ms(100));
    w.assert_active("wlan0");
    assert_eq!(w.cause(), Some(Cause::PortRefused));
}

#[test]
fn a_refused_port_is_better_than_none() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    let wlan0 = w.plug("wlan0");
    w.next_id(7);
    let refused = by(PortId(7));
    w.sabotage = Box::new(move |_, action| refused(action));
    w.plug("eth0");
    w.run(ms(100));
    w.assert_active("wlan0");
    w.sabotage = Box::new(|_, _| false);
    w.pull(wlan0);
    w.run(ms(10));
    w.assert_active("eth0");
}

#[test]
fn the_only_port_is_tried_for_ever() {
    let mut w = World::new(plain(&["eth0"]));
    w.sabotage = Box::new(|_, action| matches!(action, Action::Program(table) if table.active().is_some()));
    w.plug("eth0");
    w.run(ms(60_000));
    let tries = w.count(|action| matches!(action, Action::Program(_)));
    assert!((30..60).contains(&tries), "once in 2 s: {tries}");
    w.sabotage = Box::new(|_, _| false);
    w.run(ms(2000));
    w.assert_active("eth0");
}

#[test]
fn peers_are_told_as_often_as_asked_and_after_the_change_is_in_force() {
    let config = BondConfig { num_peer_notif: 3, peer_notif_delay: ms(100), ..plain(&["eth0", "wlan0"]) };
    let mut w = World::new(config);
    let [eth0, wlan0] = ["eth0", "wlan0"].map(|name| w.plug(name));
    w.run(ms(1000));
    w.forget();
    w.latency = Box::new(|action| if matches!(action, Action::Program(_)) { ms(40) } else { ms(0) });
    w.pull(eth0);
    let told = |w: &World| w.count(|action| *action == Action::NotifyPeers { port: wlan0 });
    w.run(ms(39));
    assert_eq!(told(&w), 0);
    w.run(ms(1));
    assert_eq!(told(&w), 1);
    w.run(ms(99));
    assert_eq!(told(&w), 1);
    w.run(ms(1));
    assert_eq!(told(&w), 2);
    w.run(ms(10_000));
    assert_eq!(told(&w), 3);
    assert_eq!(w.count(|action| matches!(action, Action::NotifyPeers { .. })), 3);
}

#[test]
fn a_notification_that_fails_is_made_up_for_ever_later() {
    let mut w = World::new(BondConfig { num_peer_notif: 2, ..plain(&["eth0"]) });
    let end = w.now + ms(60_000);
    w.sabotage = Box::new(move |now, action| matches!(action, Action::NotifyPeers { .. }) && now < end);
    w.plug("eth0");
    w.run(ms(59_000));
    let tries = w.count(|action| matches!(action, Action::NotifyPeers { .. }));
    assert!((10..60).contains(&tries), "{tries}");
    w.forget();
    w.run(ms(60_000));
    let tries = w.count(|action| matches!(action, Action::NotifyPeers { .. }));
    assert!((2..=4).contains(&tries), "{tries}");
    assert_eq!(w.machine.poll_timeout(), None);
}

#[test]
fn a_late_failure_of_an_old_notification_does_not_overflow() {
    let mut w = World::new(BondConfig { num_peer_notif: 255, ..plain(&["eth0", "wlan0"]) });
    let [eth0, wlan0] = ["eth0", "wlan0"].map(|name| w.plug(name));
    w.sabotage = Box::new(|_, action| matches!(action, Action::NotifyPeers { .. }));
    w.latency = Box::new(|action| if matches!(action, Action::NotifyPeers { .. }) { ms(5) } else { ms(0) });
    for _ in 0..40 {
        w.switch(wlan0);
        w.run(ms(1));
        w.switch(eth0);
        w.run(ms(1));
    }
}

#[test]
fn peers_are_told_also_where_the_driver_sees_to_addresses() {
    let offload = Offload { macs: true, ..Offload::default() };
    let mut w = World::on(BondConfig { num_peer_notif: 1, ..plain(&["eth0"]) }, offload);
    w.plug("eth0");
    w.observe();
    w.run(ms(100));
    assert_eq!(w.count(|action| matches!(action, Action::NotifyPeers { .. })), 1);
}

#[test]
fn what_the_driver_does_by_itself_is_not_asked_for() {
    let offload = Offload { macs: true, notifications: true, carrier: true, forwarding: false };
    let mut w = World::on(BondConfig { num_peer_notif: 5, ..plain(&["eth0", "eth1"]) }, offload);
    let eth0 = w.plug("eth0");
    w.plug("eth1");
    w.pull(eth0);
    w.run(ms(1000));
    w.assert_active("eth1");
    let others = w.count(|a| !matches!(a, Action::Attach { mac: None, .. } | Action::Program(_)));
    assert_eq!(others, 0, "{:?}", w.actions);
}

/// A bond that an earlier daemon left: two ports, the second one active.
fn left_behind(config: BondConfig) -> (World, PortId, PortId) {
    let mut w = World::new(config);
    let [eth0, wlan0] = ["eth0", "wlan0"].map(|name| w.exists(name, true));
    for id in [eth0, wlan0] {
        let nic = w.nics.get_mut(&id).unwrap();
        nic.attached = true;
        nic.mac = mac(eth0.0);
    }
    w.table = ForwardingTable::active_backup(Some(wlan0), [eth0, wlan0]);
    w.bond_mac = Some(mac(eth0.0));
    w.carrier = true;
    (w, eth0, wlan0)
}

fn take_over(w: &mut World) {
    let appeared = w.nics.iter().map(|(id, nic)| Event::PortAppeared { port: *id, info: nic.info.clone() });
    let carrier = w.nics.iter().map(|(id, nic)| Event::Carrier { port: *id, up: nic.carrier });
    let events: Vec<Event> = appeared.chain([Event::Observed(w.observation())]).chain(carrier).collect();
    w.tell_all(events);
    w.observe();
    w.run(ms(60_000));
}

#[test]
fn a_bond_that_forwards_is_taken_over_without_a_single_action() {
    let (mut w, ..) = left_behind(plain(&["eth0", "wlan0"]));
    take_over(&mut w);
    assert!(w.actions.is_empty(), "{:?}", w.actions);
    w.assert_active("wlan0");
    assert_eq!(w.machine.snapshot().mac, w.bond_mac);
    assert!(!w.notices.iter().any(|notice| matches!(notice, Notice::Drift { .. } | Notice::Failover(_))));
}

#[test]
fn updelay_does_not_interrupt_a_bond_that_is_taken_over() {
    let (mut w, ..) = left_behind(BondConfig { updelay: ms(5000), ..plain(&["eth0", "wlan0"]) });
    take_over(&mut w);
    assert!(w.actions.is_empty(), "{:?}", w.actions);
}

#[test]
fn a_bond_whose_active_port_died_meanwhile_is_taken_over_and_fails_over() {
    let (mut w, _, wlan0) = left_behind(plain(&["eth0", "wlan0"]));
    w.nics.get_mut(&wlan0).unwrap().carrier = false;
    take_over(&mut w);
    w.assert_active("eth0");
    assert_eq!(w.cause(), Some(Cause::CarrierLost));
}

#[test]
fn a_carrier_that_was_heard_of_before_is_not_forgotten_when_a_bond_is_taken_over() {
    let (mut w, eth0, wlan0) = left_behind(plain(&["eth0", "wlan0"]));
    let carrier = [(eth0, true), (wlan0, false)].map(|(port, up)| Event::Carrier { port, up });
    let appeared: Vec<Event> = w
        .nics
        .iter()
        .map(|(id, nic)| Event::PortAppeared { port: *id, info: nic.info.clone() })
        .chain(carrier)
        .chain([Event::Observed(w.observation())])
        .collect();
    w.tell_all(appeared);
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn the_bonds_address_outlives_the_port_that_it_came_from() {
    let (mut w, eth0, wlan0) = left_behind(plain(&["eth0", "wlan0"]));
    w.nics.remove(&eth0);
    w.table = ForwardingTable::active_backup(Some(wlan0), [wlan0]);
    take_over(&mut w);
    assert_eq!(w.bond_mac, Some(mac(eth0.0)));
    assert!(w.actions.is_empty(), "{:?}", w.actions);
}

#[test]
fn a_port_detached_by_a_stranger_is_attached_again() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.observe();
    w.forget();
    w.nics.get_mut(&eth0).unwrap().attached = false;
    w.observe();
    assert!(w.notices.iter().any(|n| matches!(n, Notice::Drift { what } if what.contains("eth0"))));
    w.run(ms(10));
    assert!(w.nics[&eth0].attached);
    w.assert_active("eth0");
}

#[test]
fn a_port_attached_by_a_stranger_is_not_condemned_for_its_silence_before() {
    let mut config = plain(&["eth0", "wlan0"]);
    config.probes.interval = ms(100);
    config.probes.arp_targets = vec![[192, 0, 2, 1].into()];
    let mut w = World::new(config);
    w.network.hosts = vec![[192, 0, 2, 1].into()];
    w.plug("eth0");
    w.observe();
    w.sabotage = Box::new(|_, action| matches!(action, Action::Attach { .. }));
    let wlan0 = w.plug("wlan0");
    w.run(ms(10_000));
    w.nics.get_mut(&wlan0).unwrap().attached = true;
    w.nics.get_mut(&wlan0).unwrap().mac = w.bond_mac.unwrap();
    w.observe();
    assert_eq!(w.link(wlan0), LinkState::Up);
}

#[test]
fn another_table_another_address_another_carrier_are_put_right() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let [_, wlan0] = ["eth0", "wlan0"].map(|name| w.plug(name));
    w.observe();
    let right = w.observation();
    let wrong_mac = MacAddr([2, 9, 9, 9, 9, 9]);
    let damage: [fn(&mut World, PortId); 4] = [
        |w, _| w.table = ForwardingTable::default(),
        |w, _| w.bond_mac = Some(MacAddr([2, 9, 9, 9, 9, 9])),
        |w, _| w.carrier = false,
        |w, port| w.nics.get_mut(&port).unwrap().mac = MacAddr([2, 9, 9, 9, 9, 9]),
    ];
    for damage in damage {
        damage(&mut w, wlan0);
        assert_ne!(w.observation(), right);
        w.observe();
        w.run(ms(10));
        assert_eq!(w.observation(), right);
    }
    assert!(w.actions.iter().all(|action| *action != Action::SetBondMac(wrong_mac)));
}

#[test]
fn an_observation_without_anything_to_put_right_is_no_drift() {
    let mut w = World::new(plain(&["eth0"]));
    w.bond_mac = Some(MacAddr([2, 9, 9, 9, 9, 9])); // a fresh bond has some address
    w.observe();
    w.observe();
    w.run(ms(10));
    w.plug("eth0");
    w.observe();
    assert!(!w.notices.iter().any(|notice| matches!(notice, Notice::Drift { .. })), "{:?}", w.notices);
}

#[test]
fn a_driver_that_did_it_and_said_that_it_failed_is_believed_when_observed() {
    let mut w = World::new(BondConfig { num_peer_notif: 1, ..plain(&["eth0", "wlan0"]) });
    let [eth0, wlan0] = ["eth0", "wlan0"].map(|name| w.plug(name));
    w.forget();
    w.sabotage = Box::new(|_, action| matches!(action, Action::Program(_)));
    w.pull(eth0);
    w.run(ms(1));
    w.table = ForwardingTable::active_backup(Some(wlan0), [eth0, wlan0]);
    w.observe();
    w.run(ms(10));
    assert_eq!(w.failovers().len(), 1);
    assert_eq!(w.count(|action| matches!(action, Action::NotifyPeers { .. })), 1);
}

#[test]
fn a_table_without_a_single_active_port_is_adopted_as_none() {
    let config = BondConfig { primary_reselect: PrimaryReselect::Failure, ..with_primary(&["eth0"]) };
    let mut w = World::new(config);
    let eth0 = w.exists("eth0", true);
    w.nics.get_mut(&eth0).unwrap().attached = true;
    let table = ForwardingTable { transmit: Transmit::RoundRobin(vec![eth0]), ports: Vec::new() };
    let observed = Observation { table, ..w.observation() };
    w.tell_all([
        Event::PortAppeared { port: eth0, info: info("eth0", eth0) },
        Event::Carrier { port: eth0, up: true },
        Event::Observed(observed),
    ]);
}
