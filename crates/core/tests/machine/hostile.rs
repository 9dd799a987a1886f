//! Events that nobody should send. None of them may do harm.

use std::time::Duration;

use hitless_core::config::{BondConfig, Failback};
use hitless_core::event::{Action, ActionId, Event, Failure, Offload, Outcome, PortId};
use hitless_core::machine::Machine;
use hitless_core::time::Instant;

use crate::support::{World, info, ms, plain, with_primary};

const STRANGER: PortId = PortId(4242);

#[test]
fn events_of_unknown_ports_are_ignored() {
    let mut w = World::new(plain(&["eth0"]));
    w.plug("eth0");
    w.forget();
    let before = w.machine.snapshot();
    for event in [
        Event::PortVanished { port: STRANGER },
        Event::PortChanged { port: STRANGER, info: info("dmz", STRANGER) },
        Event::Carrier { port: STRANGER, up: true },
        Event::Frame { port: STRANGER, frame: vec![0; 60] },
        Event::Switch { port: STRANGER },
    ] {
        w.tell(event);
        w.run(ms(10));
    }
    assert!(w.actions.is_empty() && w.notices.is_empty());
    assert_eq!(w.machine.snapshot(), before);
}

#[test]
fn results_of_unknown_actions_are_ignored() {
    let mut w = World::new(plain(&["eth0"]));
    w.plug("eth0");
    w.forget();
    for id in [0, 1, 2, 3, 100, u64::MAX] {
        for result in [Ok(Outcome::Done), Ok(Outcome::Received(7)), Err(Failure("late".to_owned()))] {
            w.tell(Event::Done { action: ActionId(id), result });
        }
    }
    w.run(ms(1000));
    assert!(w.actions.is_empty() && w.notices.is_empty(), "{:?} {:?}", w.actions, w.notices);
}

#[test]
fn an_outcome_of_another_kind_is_taken_for_success() {
    let now = Instant::EPOCH;
    let mut machine = Machine::new(plain(&["eth0"]), Offload::default());
    machine.handle(now, Event::PortAppeared { port: PortId(1), info: info("eth0", PortId(1)) });
    machine.handle(now, Event::Carrier { port: PortId(1), up: true });
    while let Some((action, _)) = machine.poll_action(now) {
        machine.handle(now, Event::Done { action, result: Ok(Outcome::Targets(Vec::new())) });
    }
    assert_eq!(machine.snapshot().active.as_deref(), Some("eth0"));
}

#[test]
fn time_may_stand_still_or_go_back() {
    let mut w = World::new(BondConfig {
        updelay: ms(50),
        downdelay: ms(50),
        num_peer_notif: 3,
        failback: Failback::default(),
        ..with_primary(&["eth0", "wlan0"])
    });
    let [eth0, _] = ["eth0", "wlan0"].map(|name| w.plug(name));
    w.pull(eth0);
    for back in [0, 1, 1000, 100_000_000] {
        let then = Instant::EPOCH + Duration::from_secs(100).saturating_sub(ms(back));
        w.machine.handle(then, Event::Carrier { port: eth0, up: back % 2 == 0 });
        w.machine.handle_timeout(then);
    }
    w.set_carrier(eth0, true);
    w.run(ms(1000));
    w.assert_active("eth0");
}

#[test]
fn the_far_future_is_a_time_like_any_other() {
    let mut w = World::new(BondConfig { updelay: Duration::MAX, ..with_primary(&["eth0", "wlan0"]) });
    w.plug("wlan0");
    w.plug("eth0");
    w.machine.handle_timeout(Instant::after_epoch(Duration::MAX));
    w.machine.handle(Instant::after_epoch(Duration::MAX), Event::Carrier { port: STRANGER, up: true });
}

#[test]
fn durations_beyond_reason_do_not_overflow() {
    let mut config = BondConfig {
        updelay: Duration::MAX,
        downdelay: Duration::MAX,
        peer_notif_delay: Duration::MAX,
        miimon: Duration::MAX,
        num_peer_notif: 255,
        failback: Failback::Proven { timeout: Some(Duration::MAX) },
        ..with_primary(&["eth0", "wlan0"])
    };
    config.probes.interval = Duration::MAX;
    config.probes.missed_max = 255;
    config.probes.arp_targets = vec![[192, 0, 2, 1].into()];
    let mut w = World::new(config);
    let [eth0, wlan0] = ["eth0", "wlan0"].map(|name| w.plug(name));
    for id in [eth0, wlan0, eth0] {
        w.pull(id);
        w.run(ms(1000));
        w.set_carrier(id, true);
        w.run(ms(1000));
    }
}

#[test]
fn an_interval_of_nothing_and_a_patience_of_nothing_are_no_busy_loop() {
    for (interval, missed_max) in [(Duration::ZERO, 2), (Duration::from_nanos(1), 0), (ms(1), 0)] {
        let mut config = plain(&["eth0", "wlan0"]);
        config.probes.interval = interval;
        config.probes.missed_max = missed_max;
        config.probes.arp_targets = vec![[192, 0, 2, 1].into()];
        let mut w = World::new(config);
        w.network.hosts = vec![[192, 0, 2, 1].into()];
        for name in ["eth0", "wlan0"] {
            w.appear(name, true);
        }
        w.run(Duration::from_nanos(2000));
    }
}

#[test]
fn a_bond_without_ports_does_nothing() {
    let mut w = World::new(BondConfig::default());
    w.plug("eth0");
    w.observe();
    w.switch(STRANGER);
    w.run(ms(10_000));
    assert!(w.actions.is_empty());
    assert_eq!(w.machine.poll_timeout(), None);
    let snapshot = w.machine.snapshot();
    assert_eq!((snapshot.active, snapshot.ports.len()), (None, 0));
}

#[test]
fn a_driver_that_never_answers_gets_each_thing_to_do_once() {
    let mut w = World::new(plain(&["eth0", "wlan0"]));
    w.latency = Box::new(|_| Duration::from_secs(1_000_000));
    let eth0 = w.plug("eth0");
    w.plug("wlan0");
    for _ in 0..100 {
        w.pull(eth0);
        w.run(ms(10));
        w.set_carrier(eth0, true);
        w.run(ms(10));
    }
    assert_eq!(w.actions.len(), 1, "nothing comes before the bond's address: {:?}", w.actions);
    assert!(matches!(w.actions[0], Action::SetBondMac(_)));
}

#[test]
fn noise_on_a_port_does_no_harm() {
    let mut w = World::new(with_primary(&["eth0", "wlan0"]));
    let eth0 = w.plug("eth0");
    w.forget();
    for length in 0..200 {
        for octet in [0, 0x08, 0x86, 0xff] {
            w.tell(Event::Frame { port: eth0, frame: vec![octet; length] });
        }
    }
    assert!(w.actions.is_empty() && w.notices.is_empty());
}
