//! ARP and NS probes: silent death behind a live carrier.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hitless_core::config::{BondConfig, Evidence, Validate};
use hitless_core::event::{Action, Cause, LinkState, PortId, Waiting};
use hitless_core::wire;

use crate::support::network::{Reach, arp_reply};
use crate::support::{World, mac, ms, plain, with_primary};

fn probing(mut config: BondConfig, targets: &[&str], evidence: Evidence) -> World {
    let targets: Vec<IpAddr> = targets.iter().map(|target| target.parse().unwrap()).collect();
    config.probes.interval = ms(100);
    config.probes.validate = Validate { active: evidence, backup: evidence };
    for target in &targets {
        match target {
            IpAddr::V4(target) => config.probes.arp_targets.push(*target),
            IpAddr::V6(target) => config.probes.ns_targets.push(*target),
        }
    }
    let mut w = World::new(config);
    w.network.hosts = targets;
    w
}

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";
const EVERY: [Evidence; 3] = [Evidence::Any, Evidence::Probe, Evidence::Target];

#[test]
fn a_healthy_bond_stays_as_it_is() {
    for evidence in EVERY {
        for targets in [&[V4][..], &[V6], &[V4, V6]] {
            let mut w = probing(plain(&["eth0", "wlan0"]), targets, evidence);
            let ports = ["eth0", "wlan0"].map(|name| w.plug(name));
            w.run(ms(10_000));
            assert_eq!(w.failovers().len(), 1, "{evidence:?} {targets:?}");
            for id in ports {
                assert_eq!(w.link(id), LinkState::Up, "{evidence:?} {targets:?} {id}");
            }
        }
    }
}

#[test]
fn silent_death_behind_a_live_carrier_moves_traffic() {
    for evidence in EVERY {
        for target in [V4, V6] {
            let mut w = probing(plain(&["eth0", "wlan0"]), &[target], evidence);
            let eth0 = w.plug("eth0");
            w.plug("wlan0");
            w.run(ms(1000));
            w.forget();
            w.set_path(eth0, Reach::Dead);
            w.run(ms(400));
            w.assert_active("wlan0");
            assert_eq!(w.cause(), Some(Cause::ProbesLost));
            assert_eq!(w.waiting(eth0), Some(Waiting::Probes));
            assert_eq!(w.port(eth0).link_failures, 1);
            w.run(ms(10_000));
            assert_eq!(w.failovers().len(), 1, "it stays there");
            // It is heard again.
            w.set_path(eth0, Reach::Alive);
            w.run(ms(400));
            assert_eq!(w.link(eth0), LinkState::Up);
        }
    }
}

#[test]
fn a_path_that_is_dead_one_way_is_dead_where_answers_are_asked_for() {
    for reach in [Reach::InOnly, Reach::OutOnly] {
        let mut w = probing(plain(&["eth0", "wlan0"]), &[V4], Evidence::Target);
        let eth0 = w.plug("eth0");
        w.plug("wlan0");
        w.run(ms(1000));
        w.set_path(eth0, reach);
        w.run(ms(400));
        w.assert_active("wlan0");
    }
}

#[test]
fn only_the_active_port_is_asked() {
    let mut w = probing(plain(&["eth0", "wlan0"]), &[V4, V6], Evidence::Target);
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.run(ms(1000));
    let asked: BTreeSet<PortId> = w
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Send { port, .. } => Some(*port),
            _ => None,
        })
        .collect();
    assert_eq!(asked, BTreeSet::from([eth0]));
}

#[test]
fn a_standby_that_hears_nothing_is_not_taken_for_a_good_one() {
    for evidence in EVERY {
        let mut w = probing(plain(&["eth0", "wlan0", "wwan0"]), &[V4], evidence);
        let [eth0, wlan0, _] = ["eth0", "wlan0", "wwan0"].map(|name| w.plug(name));
        w.run(ms(1000));
        w.set_path(wlan0, Reach::Dead);
        w.run(ms(500));
        assert_eq!(w.link(wlan0), LinkState::Down, "{evidence:?}");
        assert_eq!(w.waiting(wlan0), Some(Waiting::Probes));
        w.assert_active("eth0");
        w.pull(eth0);
        w.run(ms(1));
        w.assert_active("wwan0");
    }
}

#[test]
fn the_only_port_is_never_given_up() {
    for evidence in EVERY {
        let mut w = probing(plain(&["eth0"]), &[V4], evidence);
        let eth0 = w.plug("eth0");
        w.run(ms(1000));
        w.forget();
        w.set_path(eth0, Reach::Dead);
        w.run(ms(60_000));
        w.assert_active("eth0");
        assert_eq!(w.failovers(), []);
        assert!(w.carrier);
    }
}

#[test]
fn with_every_path_dead_they_are_tried_in_turn_until_one_works() {
    for evidence in EVERY {
        let mut w = probing(plain(&["eth0", "wlan0", "wwan0"]), &[V4], evidence);
        let ports = ["eth0", "wlan0", "wwan0"].map(|name| w.plug(name));
        w.run(ms(1000));
        for id in ports {
            w.set_path(id, Reach::Dead);
        }
        w.forget();
        w.run(ms(3000));
        let tried: BTreeSet<_> = w.failovers().into_iter().filter_map(|(_, to, _)| to).collect();
        assert_eq!(tried.len(), 3, "{evidence:?}: {tried:?}");
        assert!(w.failovers().len() < 20, "no faster than they can answer");
        w.set_path(ports[1], Reach::Alive);
        w.run(ms(2000));
        w.assert_active("wlan0");
        w.forget();
        w.run(ms(2000));
        assert_eq!(w.failovers(), [], "{evidence:?}");
    }
}

#[test]
fn carrier_counts_at_the_same_time() {
    let mut w = probing(plain(&["eth0", "wlan0"]), &[V4], Evidence::Target);
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.run(ms(1000));
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
    assert_eq!(w.cause(), Some(Cause::CarrierLost));
}

#[test]
fn one_target_is_enough_unless_all_are_asked_for() {
    for (all_targets, expected) in [(false, "eth0"), (true, "wlan0")] {
        let mut config = plain(&["eth0", "wlan0"]);
        config.probes.all_targets = all_targets;
        let mut w = probing(config, &[V4, "192.0.2.2"], Evidence::Target);
        w.plug("eth0");
        w.plug("wlan0");
        w.run(ms(1000));
        w.network.hosts.pop();
        w.run(ms(400));
        w.assert_active(expected);
    }
}

#[test]
fn a_strangers_answer_is_none() {
    let mut w = probing(plain(&["eth0", "wlan0"]), &[V4], Evidence::Target);
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.run(ms(1000));
    w.set_path(eth0, Reach::Dead);
    for _ in 0..40 {
        let stranger = arp_reply("192.0.2.77".parse().unwrap(), mac(77), mac(eth0.0));
        w.tell(hitless_core::event::Event::Frame { port: eth0, frame: stranger });
        w.run(ms(10));
    }
    w.assert_active("wlan0");
}

#[test]
fn our_own_question_that_comes_back_where_it_went_out_is_no_sign_of_life() {
    for evidence in [Evidence::Probe, Evidence::Target] {
        let mut w = probing(plain(&["eth0", "wlan0"]), &[V4], evidence);
        let eth0 = w.plug("eth0");
        w.plug("wlan0");
        w.run(ms(1000));
        w.set_path(eth0, Reach::Dead);
        for _ in 0..40 {
            let ours = w.bond_mac.unwrap();
            let frame = wire::probe(ours, ours, V4.parse().unwrap());
            w.tell(hitless_core::event::Event::Frame { port: eth0, frame });
            w.run(ms(10));
        }
        w.assert_active("wlan0");
    }
}

#[test]
fn any_arp_frame_is_enough_where_no_target_is_asked_for() {
    let mut w = probing(plain(&["eth0", "wlan0"]), &[V4], Evidence::Probe);
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.set_path(eth0, Reach::Dead);
    for _ in 0..100 {
        let frame = wire::announcement(mac(77), "192.0.2.77".parse().unwrap());
        w.tell(hitless_core::event::Event::Frame { port: eth0, frame });
        w.run(ms(10));
    }
    w.assert_active("eth0");
}

#[test]
fn a_primary_that_is_dead_behind_its_carrier_is_not_gone_back_to() {
    let mut w = probing(with_primary(&["eth0", "wlan0"]), &[V4], Evidence::Target);
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.run(ms(1000));
    w.set_path(eth0, Reach::Dead);
    w.run(ms(1000));
    w.assert_active("wlan0");
    w.forget();
    w.run(ms(60_000));
    assert_eq!(w.failovers(), []);
}

#[test]
fn a_probe_that_cannot_be_sent_is_a_lost_one() {
    let mut w = probing(plain(&["eth0", "wlan0"]), &[V4], Evidence::Target);
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    w.run(ms(1000));
    w.sabotage = Box::new(move |_, action| matches!(action, Action::Send { port, .. } if *port == eth0));
    w.run(ms(400));
    w.assert_active("wlan0");
}
