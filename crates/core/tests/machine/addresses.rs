//! Who has which hardware address (fail-over-mac).

use std::collections::BTreeSet;

use hitless_core::config::{BondConfig, FailOverMac};
use hitless_core::event::Action;

use crate::support::{World, mac, ms, plain};

fn world(fail_over_mac: FailOverMac) -> World {
    World::new(BondConfig { fail_over_mac, ..plain(&["eth0", "wlan0", "wwan0"]) })
}

#[test]
fn none_gives_every_port_the_bonds_address() {
    let mut w = world(FailOverMac::None);
    let ports = ["eth0", "wlan0", "wwan0"].map(|name| w.plug(name));
    for id in ports {
        assert_eq!(w.nics[&id].mac, mac(ports[0].0));
    }
    w.pull(ports[0]);
    w.run(ms(10));
    assert_eq!(w.bond_mac, Some(mac(ports[0].0)));
}

#[test]
fn active_lets_the_bond_follow_the_active_port() {
    let mut w = world(FailOverMac::Active);
    let ports = ["eth0", "wlan0", "wwan0"].map(|name| w.plug(name));
    for (id, n) in ports.into_iter().zip(0..) {
        if n > 0 {
            w.pull(ports[n - 1]);
            w.run(ms(1));
        }
        assert_eq!(w.bond_mac, Some(mac(id.0)));
        for port in ports {
            assert_eq!(w.nics[&port].mac, mac(port.0));
        }
    }
    w.pull(ports[2]);
    w.run(ms(1));
    assert_eq!(w.bond_mac, Some(mac(ports[2].0)), "without an active port it keeps what it had");
}

#[test]
fn follow_gives_the_active_port_the_bonds_address_and_no_two_ports_the_same() {
    let mut w = world(FailOverMac::Follow);
    let ports = ["eth0", "wlan0", "wwan0"].map(|name| w.plug(name));
    for active in [1, 2, 0, 2, 1, 0] {
        w.switch(ports[active]);
        w.run(ms(1));
        assert_eq!(w.bond_mac, Some(mac(ports[0].0)));
        assert_eq!(w.nics[&ports[active]].mac, mac(ports[0].0));
        let different: BTreeSet<_> = ports.iter().map(|id| w.nics[id].mac).collect();
        assert_eq!(different.len(), ports.len(), "{:?}", w.nics);
    }
}

#[test]
fn a_configured_address_is_the_bonds_unless_it_has_that_of_the_active_port() {
    let own = mac(99);
    let mut w = world(FailOverMac::None);
    let first = w.plug("eth0");
    w.reconfigure(|config| config.mac = Some(own));
    w.run(ms(1));
    let second = w.plug("wlan0");
    for policy in [FailOverMac::None, FailOverMac::Follow, FailOverMac::None] {
        w.reconfigure(|config| config.fail_over_mac = policy);
        w.run(ms(1));
        assert_eq!((w.bond_mac, w.nics[&first].mac), (Some(own), own), "{policy:?}");
        let other = if policy == FailOverMac::None { own } else { mac(second.0) };
        assert_eq!(w.nics[&second].mac, other, "{policy:?}");
    }
    w.reconfigure(|config| config.fail_over_mac = FailOverMac::Active);
    w.run(ms(1));
    assert_eq!(w.bond_mac, Some(mac(first.0)));
}

#[test]
fn an_address_that_cannot_be_set_is_tried_again() {
    let mut w = world(FailOverMac::Follow);
    let ports = ["eth0", "wlan0"].map(|name| w.plug(name));
    let end = w.now + ms(500);
    w.sabotage = Box::new(move |now, action| now < end && matches!(action, Action::SetPortMac { .. }));
    w.switch(ports[1]);
    w.run(ms(499));
    assert_eq!(w.nics[&ports[1]].mac, mac(ports[1].0));
    w.run(ms(2000));
    assert_eq!(w.nics[&ports[1]].mac, mac(ports[0].0));
    assert_eq!(w.nics[&ports[0]].mac, mac(ports[1].0));
}

#[test]
fn the_rule_may_change_live() {
    let mut w = world(FailOverMac::Active);
    let ports = ["eth0", "wlan0"].map(|name| w.plug(name));
    w.pull(ports[0]);
    w.run(ms(1));
    w.reconfigure(|config| config.fail_over_mac = FailOverMac::None);
    w.run(ms(1));
    assert_eq!(w.bond_mac, Some(mac(ports[1].0)), "the bond keeps its address");
    assert!(ports.iter().all(|id| w.nics[id].mac == mac(ports[1].0)));
    w.reconfigure(|config| config.fail_over_mac = FailOverMac::Active);
    w.run(ms(1));
    assert!(ports.iter().all(|id| w.nics[id].mac == mac(id.0)));
    w.reconfigure(|config| config.fail_over_mac = FailOverMac::Follow);
    w.run(ms(1));
    assert_eq!(w.nics[&ports[1]].mac, w.bond_mac.unwrap());
}

#[test]
fn the_bond_has_its_address_before_a_port_is_attached() {
    let mut w = world(FailOverMac::None);
    w.plug("eth0");
    let order = |filter: fn(&Action) -> bool| w.actions.iter().position(filter).unwrap();
    let addressed = order(|action| matches!(action, Action::SetBondMac(_)));
    assert!(addressed < order(|action| matches!(action, Action::Attach { .. })));
}
