//! Ports that come and go.

use hitless_core::event::{Action, Cause, Event, Notice, PortId, Waiting};

use crate::support::{World, mac, ms, plain, with_primary};

#[test]
fn what_the_configuration_does_not_name_is_left_alone() {
    let mut w = World::new(plain(&["eth0"]));
    let eth9 = w.plug("eth9");
    assert!(w.actions.is_empty());
    assert!(!w.knows(eth9));
}

#[test]
fn a_glob_takes_what_is_plugged_in_later() {
    let mut w = World::new(plain(&["en*"]));
    w.plug("enp1s0");
    let dock = w.plug("enx001122334455");
    assert!(w.nics[&dock].attached);
}

#[test]
fn the_active_port_vanishes() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.forget();
    w.vanish(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
    let expected = (Some("eth0".to_owned()), Some("wlan0".to_owned()), Cause::PortVanished);
    assert_eq!(w.failovers(), [expected]);
    assert!(!w.knows(eth0));
}

#[test]
fn the_last_port_vanishes_and_comes_back_as_another() {
    let mut w = World::new(plain(&["eth0"]));
    let before = w.plug("eth0");
    w.vanish(before);
    w.run(ms(1));
    w.assert_nothing_active();
    assert!(!w.carrier);
    let after = w.plug("eth0");
    assert_ne!(before, after);
    w.assert_active("eth0");
    assert_eq!(w.bond_mac, Some(mac(before.0)), "the bond keeps its address");
    assert_eq!(w.nics[&after].mac, mac(before.0));
}

#[test]
fn the_same_name_may_appear_before_the_old_one_is_gone() {
    let mut w = World::new(plain(&["eth0"]));
    let before = w.plug("eth0");
    let after = w.plug("eth0");
    w.vanish(before);
    w.run(ms(1));
    w.assert_active("eth0");
    assert_eq!(w.table.active(), Some(after));
}

#[test]
fn a_port_that_vanishes_while_it_is_being_attached_leaves_nothing_behind() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    w.latency = Box::new(|_| ms(20));
    let eth0 = w.appear("eth0", true);
    w.run(ms(30));
    w.vanish(eth0);
    w.run(ms(1000));
    assert!(w.machine.snapshot().ports.iter().all(|port| port.port.is_none()));
    assert_eq!(w.machine.poll_timeout(), None);
    w.plug("wlan0");
    w.run(ms(100));
    w.assert_active("wlan0");
}

#[test]
fn a_port_removed_while_it_is_being_attached_is_given_back() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    w.latency = Box::new(|action| if matches!(action, Action::Attach { .. }) { ms(50) } else { ms(0) });
    let wlan0 = w.appear("wlan0", true);
    w.run(ms(10));
    w.reconfigure(|config| *config = plain(&["eth0"]));
    w.run(ms(1000));
    assert!(!w.nics[&wlan0].attached);
    assert!(!w.knows(wlan0));
}

#[test]
fn a_port_wanted_again_while_it_is_being_given_back_is_attached_again() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let [_, wlan0] = ["eth0", "wlan0"].map(|name| w.plug(name));
    w.latency = Box::new(|_| ms(50));
    w.reconfigure(|config| *config = plain(&["eth0"]));
    w.run(ms(70));
    // Until then it is no port that could be used, whatever is wanted.
    w.reconfigure(|config| *config = with_primary(&["wlan0", "eth0"]));
    w.assert_active("eth0");
    w.run(ms(1000));
    w.assert_active("wlan0");
    assert!(w.nics[&wlan0].attached);
    assert!(w.table.ports.iter().any(|entry| entry.port == wlan0));
}

#[test]
fn a_port_that_cannot_be_attached_says_why_and_is_tried_again() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    w.plug("eth0");
    w.forget();
    w.sabotage = Box::new(|_, action| matches!(action, Action::Attach { .. }));
    let wlan0 = w.plug("wlan0");
    let Some(Waiting::Attach(failure)) = w.waiting(wlan0) else { panic!("{:?}", w.waiting(wlan0)) };
    assert!(failure.0.contains("sabotage"));
    assert!(w.notices.iter().any(|n| matches!(n, Notice::Waiting { waiting: Some(Waiting::Attach(_)), .. })));
    w.run(ms(600_000));
    let tries = w.count(|action| matches!(action, Action::Attach { .. }));
    assert!((20..=40).contains(&tries), "backs off to once in 30 s: {tries}");
    w.assert_active("eth0");
    w.sabotage = Box::new(|_, _| false);
    w.run(ms(30_000));
    assert!(w.nics[&wlan0].attached);
    assert_eq!(w.waiting(wlan0), None);
}

#[test]
fn a_port_that_is_taken_out_is_given_back_only_after_traffic_has_left_it() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.forget();
    w.reconfigure(|config| *config = plain(&["wlan0"]));
    w.run(ms(1));
    let order = |filter: fn(&Action) -> bool| w.actions.iter().position(filter).unwrap();
    let program = order(|action| matches!(action, Action::Program(_)));
    let detach = order(|action| matches!(action, Action::Detach { .. }));
    assert!(program < detach);
    w.assert_active("wlan0");
    assert_eq!(w.cause(), Some(Cause::PortRemoved));
    assert_eq!(w.nics[&eth0].mac, mac(eth0.0));
    assert!(!w.knows(eth0));
}

#[test]
fn a_renamed_port_is_judged_by_its_new_name() {
    let mut w = World::new(with_primary(&["eth0", "lan*"]));
    let lan1 = w.plug("lan1");
    w.plug("lan2");
    w.change(lan1, |info| info.name = "eth0".to_owned());
    assert_eq!(w.machine.snapshot().primary.as_deref(), Some("eth0"));
    w.change(lan1, |info| info.name = "dmz".to_owned());
    w.run(ms(1));
    w.assert_active("lan2");
    assert!(!w.nics[&lan1].attached);
    w.change(lan1, |info| info.name = "eth0".to_owned());
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn a_port_that_is_announced_again_keeps_its_own_address() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    w.plug("eth0");
    let wlan0 = w.plug("wlan0");
    w.forget();
    let mut info = w.nics[&wlan0].info.clone();
    info.permanent_mac = w.bond_mac.unwrap(); // what the interface has while it is attached
    w.tell(Event::PortAppeared { port: wlan0, info });
    w.run(ms(10));
    assert_eq!(w.port(wlan0).permanent_mac, Some(mac(wlan0.0)));
    assert!(w.actions.is_empty() && w.notices.is_empty());
}

#[test]
fn a_table_never_names_more_ports_than_it_can() {
    let mut w = World::new(with_primary(&["uplink", "en*"]));
    let ports: Vec<PortId> = (0..40).map(|n| w.plug(&format!("en{n}"))).collect();
    w.run(ms(100));
    w.assert_active("en0");
    assert_eq!(w.table.ports.len(), 32);
    // One that had no place gets it when it is the active one.
    w.switch(ports[39]);
    w.run(ms(1));
    w.assert_active("en39");
    assert_eq!(w.table.ports.len(), 32);
    w.plug("uplink");
    w.run(ms(1));
    w.assert_active("uplink");
}
