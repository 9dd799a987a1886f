//! Options that change live, and the snapshot.

use hitless_core::config::{
    Evidence, FailOverMac, Failback, PortOptions, PortPattern, PrimaryReselect, Validate,
};
use hitless_core::event::{Action, Cause, LinkState, Waiting};
use hitless_core::machine::Wakeup;

use crate::support::{World, mac, ms, plain, with_primary};

#[test]
fn a_change_that_concerns_nothing_disturbs_nothing() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    w.plug("eth0");
    w.plug("wlan0");
    w.forget();
    w.reconfigure(|config| {
        config.miimon = ms(100);
        config.resend_igmp = 3;
        config.all_slaves_active = true;
        config.peer_notif_delay = ms(500);
        config.num_peer_notif = 7;
        config.updelay = ms(200);
        config.downdelay = ms(200);
        config.probes.missed_max = 9;
        config.probes.validate = Validate { active: Evidence::Target, backup: Evidence::Target };
    });
    w.run(ms(1000));
    assert!(w.actions.is_empty() && w.notices.is_empty(), "{:?} {:?}", w.actions, w.notices);
}

#[test]
fn a_port_is_added_and_removed() {
    let mut w = World::new(plain(&["eth0"]));
    w.plug("eth0");
    let wlan0 = w.plug("wlan0");
    w.reconfigure(|config| config.ports.push(PortPattern::new("wlan0")));
    w.run(ms(1));
    assert!(w.nics[&wlan0].attached);
    w.reconfigure(|config| drop(config.ports.pop()));
    w.run(ms(1));
    assert!(!w.nics[&wlan0].attached);
    w.assert_active("eth0");
}

#[test]
fn every_port_is_removed() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let ports = ["eth0", "wlan0"].map(|name| w.plug(name));
    w.reconfigure(|config| config.ports.clear());
    w.run(ms(1));
    w.assert_nothing_active();
    assert!(!w.carrier);
    for id in ports {
        assert!(!w.nics[&id].attached);
        assert_eq!(w.nics[&id].mac, mac(id.0));
    }
    assert!(w.machine.snapshot().ports.is_empty());
    assert_eq!(w.machine.poll_timeout(), None);
}

#[test]
fn a_new_primary_takes_over() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    w.plug("eth0");
    w.plug("wlan0");
    w.reconfigure(|config| config.primary = Some(PortPattern::new("wl*")));
    w.run(ms(1));
    w.assert_active("wlan0");
    assert_eq!(w.cause(), Some(Cause::Configuration));
    w.reconfigure(|config| config.primary = None);
    w.run(ms(1));
    w.assert_active("wlan0");
    assert_eq!(w.machine.snapshot().primary, None);
}

#[test]
fn prio_and_reselect_change_live() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    w.plug("eth0");
    w.plug("wlan0");
    w.reconfigure(|config| config.primary_reselect = PrimaryReselect::Failure);
    let prio = PortOptions { prio: 5, queue_id: 0 };
    w.reconfigure(|config| config.port_options.extend([("wlan0".to_owned(), prio)]));
    w.run(ms(1));
    w.assert_active("eth0");
    w.reconfigure(|config| config.primary_reselect = PrimaryReselect::Always);
    w.run(ms(1));
    w.assert_active("wlan0");
}

#[test]
fn a_shorter_delay_counts_from_now_and_none_ends_it() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.reconfigure(|config| config.downdelay = ms(60_000));
    w.pull(eth0);
    w.run(ms(100));
    assert_eq!(w.link(eth0), LinkState::Fail);
    w.reconfigure(|config| config.downdelay = ms(50));
    w.run(ms(50));
    w.assert_active("wlan0");
    w.reconfigure(|config| config.updelay = ms(60_000));
    w.set_carrier(eth0, true);
    w.run(ms(1000));
    w.assert_active("wlan0");
    w.reconfigure(|config| config.updelay = ms(0));
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn min_links_changes_live() {
    let mut w = World::new(plain(&["eth0"]));
    w.plug("eth0");
    for (min_links, carrier) in [(2, false), (1, true), (u32::MAX, false), (0, true)] {
        w.reconfigure(|config| config.min_links = min_links);
        w.run(ms(1));
        assert_eq!(w.carrier, carrier, "min-links {min_links}");
    }
}

#[test]
fn probes_are_switched_on_and_off_live() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    w.network.hosts = vec![[192, 0, 2, 1].into()];
    w.plug("eth0");
    w.plug("wlan0");
    w.run(ms(60_000));
    w.forget();
    w.reconfigure(|config| {
        config.probes.interval = ms(100);
        config.probes.arp_targets = vec![[192, 0, 2, 1].into()];
    });
    w.run(ms(1050));
    let sent = w.count(|action| matches!(action, Action::Send { .. }));
    assert!((10..=12).contains(&sent), "{sent}");
    assert!(matches!(w.machine.poll_timeout(), Some((_, Wakeup::Probe))));
    w.assert_active("eth0");
    w.reconfigure(|config| config.probes.interval = ms(0));
    w.run(ms(10));
    assert_eq!(w.machine.poll_timeout(), None);
}

#[test]
fn failback_changes_live() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.reconfigure(|config| config.failback = Failback::Proven { timeout: None });
    w.pull(eth0);
    w.run(ms(1));
    w.set_carrier(eth0, true);
    w.run(ms(10_000));
    w.assert_active("wlan0");
    w.reconfigure(|config| config.failback = Failback::Proven { timeout: Some(ms(100)) });
    w.run(ms(101));
    w.assert_active("eth0");
    w.reconfigure(|config| config.failback = Failback::Proven { timeout: None });
    w.pull(eth0);
    w.run(ms(1));
    w.set_carrier(eth0, true);
    w.run(ms(10_000));
    w.reconfigure(|config| config.failback = Failback::Carrier);
    w.run(ms(1));
    w.assert_active("eth0");
    assert!(w.nics.values().all(|nic| nic.listening.is_none()), "nobody listens any more");
}

#[test]
fn a_snapshot_names_what_is_missing() {
    let mut w = World::new(with_primary(&["eth0", "wlan0", "en*"]));
    let wlan0 = w.plug("wlan0");
    let dock = w.appear("enx0", false);
    w.run(ms(1));
    let snapshot = w.machine.snapshot();
    let names: Vec<_> = snapshot.ports.iter().map(|port| (port.name.as_str(), port.port)).collect();
    assert_eq!(names, [("eth0", None), ("wlan0", Some(wlan0)), ("enx0", Some(dock))]);
    assert_eq!(snapshot.ports[0].waiting, Some(Waiting::Interface));
    assert_eq!(snapshot.ports[1].waiting, None);
    assert_eq!(snapshot.ports[2].waiting, Some(Waiting::Carrier));
    assert_eq!(snapshot.primary.as_deref(), Some("eth0"));
    assert_eq!(snapshot.active.as_deref(), Some("wlan0"));
    assert_eq!(snapshot.mac, Some(mac(wlan0.0)));
    assert!(snapshot.carrier && snapshot.ports[1].active);
    assert_eq!(snapshot.ports[1].speed_mbps, Some(1000));
}

#[test]
fn everything_at_once() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    let ports = ["eth0", "wlan0"].map(|name| w.plug(name));
    w.reconfigure(|config| {
        *config = with_primary(&["wlan0"]);
        config.fail_over_mac = FailOverMac::Active;
        config.min_links = 1;
        config.failback = Failback::default();
    });
    w.run(ms(1));
    w.assert_active("wlan0");
    assert_eq!(w.bond_mac, Some(mac(ports[1].0)));
    assert!(!w.nics[&ports[0]].attached);
}
