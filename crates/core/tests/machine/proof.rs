//! Failback by proof: a port that comes back first shows that its path works.

use std::net::IpAddr;

use hitless_core::config::{BondConfig, FailOverMac, Failback};
use hitless_core::event::{Action, Cause, Event, PortId, Waiting};
use hitless_core::mac::MacAddr;
use hitless_core::wire;

use crate::support::network::{Reach, arp_reply};
use crate::support::{World, mac, ms, with_primary};

const GATEWAY: &str = "192.0.2.1";

fn gateway() -> IpAddr {
    GATEWAY.parse().unwrap()
}

/// eth0, the primary, has been pulled; traffic is on wlan0.
fn away(change: impl FnOnce(&mut BondConfig)) -> (World, PortId, PortId) {
    away_from(["eth0", "wlan0"], change)
}

/// The first of these, the primary, has been pulled; traffic is on the other.
fn away_from(names: [&str; 2], change: impl FnOnce(&mut BondConfig)) -> (World, PortId, PortId) {
    let mut config = BondConfig { failback: Failback::default(), ..with_primary(&names) };
    change(&mut config);
    let mut w = World::new(config);
    w.network.hosts = vec![gateway()];
    w.network.neighbours = vec![gateway()];
    let ports = names.map(|name| w.plug(name));
    w.pull(ports[0]);
    w.run(ms(100));
    w.assert_active(names[1]);
    w.forget();
    (w, ports[0], ports[1])
}

fn forever(_: &mut BondConfig) {}

#[test]
fn a_port_that_comes_back_is_used_when_the_gateway_answers_through_it() {
    for target in [GATEWAY, "2001:db8::1"] {
        for fail_over_mac in [FailOverMac::None, FailOverMac::Active, FailOverMac::Follow] {
            let (mut w, eth0, _) = away(|config| config.fail_over_mac = fail_over_mac);
            let target: IpAddr = target.parse().unwrap();
            w.network.hosts = vec![target];
            w.network.neighbours = vec![target];
            w.set_carrier(eth0, true);
            w.run(ms(500));
            w.assert_active("eth0");
            assert_eq!(w.cause(), Some(Cause::BetterPort));
            assert!(w.nics[&eth0].listening.is_none(), "nobody listens any more");
            w.run(ms(10));
            assert_eq!(w.machine.poll_timeout(), None);
        }
    }
}

#[test]
fn it_waits_as_long_as_a_spanning_tree_is_silent() {
    let (mut w, eth0, _) = away(forever);
    let open = w.now + ms(30_000);
    w.set_path(eth0, Reach::From(open));
    w.set_carrier(eth0, true);
    w.run(ms(29_999));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(eth0), Some(Waiting::Proof(vec![gateway()])));
    w.run(ms(1100));
    w.assert_active("eth0");
    assert_eq!(w.waiting(eth0), None);
}

#[test]
fn without_anybody_to_ask_it_stays_and_says_so() {
    let (mut w, eth0, _) = away(forever);
    w.network.neighbours.clear();
    w.set_carrier(eth0, true);
    w.run(ms(60_000));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(eth0), Some(Waiting::Proof(Vec::new())));
    // Somebody turns up.
    w.network.neighbours = vec![gateway()];
    w.run(ms(2000));
    w.assert_active("eth0");
}

#[test]
fn the_configured_targets_are_asked_first() {
    let (mut w, eth0, _) = away(|config| config.probes.arp_targets = vec![[192, 0, 2, 9].into()]);
    w.set_carrier(eth0, true);
    w.run(ms(2000));
    w.assert_active("wlan0");
    w.network.hosts.push([192, 0, 2, 9].into());
    w.run(ms(2000));
    w.assert_active("eth0");
    assert_eq!(w.count(|action| *action == Action::FindTargets), 0);
}

#[test]
fn an_answer_on_another_port_proves_nothing() {
    let (mut w, eth0, wlan0) = away(forever);
    w.set_path(eth0, Reach::OutOnly); // questions get out, answers come in by wlan0
    w.set_carrier(eth0, true);
    for _ in 0..100 {
        let frame = arp_reply(gateway(), mac(0xaa), w.bond_mac.unwrap());
        w.tell(Event::Frame { port: wlan0, frame });
        w.run(ms(50));
    }
    w.assert_active("wlan0");
}

#[test]
fn somebody_elses_answer_proves_nothing() {
    let (mut w, eth0, _) = away(forever);
    w.set_path(eth0, Reach::Dead);
    w.set_carrier(eth0, true);
    w.run(ms(100));
    let ours = w.bond_mac.unwrap();
    let others = [
        arp_reply("192.0.2.77".parse().unwrap(), mac(77), ours),
        arp_reply(gateway(), mac(0xaa), mac(78)),
        // An announcement to everyone comes in also where nothing gets out.
        arp_reply(gateway(), mac(0xaa), MacAddr::BROADCAST),
        wire::probe(mac(77), mac(77), gateway()),
        wire::announcement(mac(77), "192.0.2.77".parse().unwrap()),
    ];
    for frame in others {
        w.tell(Event::Frame { port: eth0, frame });
        w.run(ms(10));
        w.assert_active("wlan0");
    }
    let frame = arp_reply(gateway(), mac(0xaa), ours);
    w.tell(Event::Frame { port: eth0, frame });
    w.run(ms(10));
    w.assert_active("eth0");
}

#[test]
fn anything_beats_nothing() {
    let (mut w, eth0, wlan0) = away(forever);
    w.set_path(eth0, Reach::Dead);
    w.set_carrier(eth0, true);
    w.run(ms(1000));
    w.assert_active("wlan0");
    w.pull(wlan0);
    w.run(ms(1));
    w.assert_active("eth0");
    assert_eq!(w.cause(), Some(Cause::CarrierLost));
    w.run(ms(10));
    assert!(w.nics[&eth0].listening.is_none());
}

#[test]
fn somebody_may_overrule_it() {
    let (mut w, eth0, _) = away(forever);
    w.set_path(eth0, Reach::Dead);
    w.set_carrier(eth0, true);
    w.run(ms(1000));
    w.switch(eth0);
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn failback_timeout_ends_the_wait() {
    let timeout = Some(ms(2000));
    let (mut w, eth0, _) = away(|config| config.failback = Failback::Proven { timeout });
    w.set_path(eth0, Reach::Dead);
    w.set_carrier(eth0, true);
    w.run(ms(1999));
    w.assert_active("wlan0");
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn a_proof_ends_with_the_link_that_gave_it() {
    let (mut w, eth0, _) = away(forever);
    w.set_carrier(eth0, true);
    w.run(ms(500));
    w.assert_active("eth0");
    w.pull(eth0);
    w.run(ms(1));
    w.assert_active("wlan0");
    w.set_path(eth0, Reach::Dead);
    w.set_carrier(eth0, true);
    w.run(ms(10_000));
    w.assert_active("wlan0");
}

#[test]
fn questions_slow_down_and_end_with_the_carrier() {
    let (mut w, eth0, _) = away(forever);
    w.set_path(eth0, Reach::Dead);
    w.set_carrier(eth0, true);
    w.run(ms(60_000));
    let asked = w.count(|action| matches!(action, Action::Send { port, .. } if *port == eth0));
    assert!((80..=110).contains(&asked), "once a second, later twice: {asked}");
    w.pull(eth0);
    w.forget();
    w.run(ms(60_000));
    assert_eq!(w.count(|action| matches!(action, Action::Send { .. })), 0);
    assert_eq!(w.machine.poll_timeout(), None);
}

#[test]
fn a_wired_port_of_a_busy_bond_is_proven_at_once() {
    // World::transmit makes the switch believe that the bond's address is at the active port before every answer.
    let (mut w, eth0, _) = away(forever);
    w.set_carrier(eth0, true);
    w.run(ms(1));
    w.assert_active("eth0");
}

#[test]
fn a_wireless_port_of_a_busy_bond_is_proven_by_answers_to_nobody() {
    let (mut w, wlan0, _) = away_from(["wlan0", "eth0"], forever);
    w.set_carrier(wlan0, true);
    w.run(ms(19));
    w.assert_active("eth0"); // the plain question was answered on eth0
    w.run(ms(10));
    w.assert_active("wlan0"); // the other kind was flooded
}

#[test]
fn each_question_of_a_wired_port_is_followed_by_a_lesson_on_the_active_one() {
    let (mut w, eth0, wlan0) = away(forever);
    w.set_path(eth0, Reach::Dead);
    w.set_carrier(eth0, true);
    w.run(ms(20_000));
    let shared = w.bond_mac.unwrap();
    let sent: Vec<_> = w.sent().collect();
    assert!(sent.len() > 40);
    for pair in sent.chunks(2) {
        let [(asking, question), (teaching, lesson)] = pair else { panic!("a question without a lesson") };
        assert_eq!((*asking, *teaching), (eth0, wlan0));
        assert_eq!(
            (&question[6..12], &lesson[6..12]),
            (&shared.0[..], &shared.0[..]),
            "one address for both"
        );
    }
}

#[test]
fn with_follow_nobody_is_taught_that_the_candidate_is_elsewhere() {
    let (mut w, eth0, wlan0) = away(|config| config.fail_over_mac = FailOverMac::Follow);
    w.set_path(eth0, Reach::Dead);
    w.set_carrier(eth0, true);
    w.run(ms(20_000));
    assert!(w.sent().filter(|(port, _)| *port == eth0).count() > 10);
    assert_eq!(w.sent().filter(|(port, _)| *port == wlan0).count(), 0, "its address is nobody else's");
    w.set_path(eth0, Reach::Alive);
    w.run(ms(2000));
    w.assert_active("eth0");
}

#[test]
fn a_port_that_gets_another_address_meanwhile_is_proven_all_the_same() {
    let (mut w, eth0, _) = away(|config| config.fail_over_mac = FailOverMac::Active);
    w.set_path(eth0, Reach::Dead);
    w.set_carrier(eth0, true);
    w.run(ms(1000));
    w.reconfigure(|config| config.fail_over_mac = FailOverMac::None);
    w.set_path(eth0, Reach::Alive);
    w.run(ms(2000));
    w.assert_active("eth0");
}

#[test]
fn a_driver_that_cannot_listen_or_look_is_asked_again() {
    let (mut w, eth0, _) = away(forever);
    let end = w.now + ms(5000);
    w.sabotage = Box::new(move |now, action| {
        now < end && matches!(action, Action::Listen { .. } | Action::FindTargets | Action::Send { .. })
    });
    w.set_carrier(eth0, true);
    w.run(ms(5000));
    w.assert_active("wlan0");
    w.run(ms(5000));
    w.assert_active("eth0");
}

#[test]
fn the_first_port_needs_no_proof() {
    let mut w = World::new(BondConfig { failback: Failback::default(), ..with_primary(&["eth0", "wlan0"]) });
    w.plug("wlan0");
    w.assert_active("wlan0");
    let eth0 = w.plug("eth0");
    w.run(ms(1000));
    w.assert_active("wlan0");
    assert_eq!(w.waiting(eth0), Some(Waiting::Proof(Vec::new())));
}
