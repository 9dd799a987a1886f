//! What holds whatever happens.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

mod support;

use std::time::Duration;

use hitless_core::config::{
    BondConfig, FailOverMac, Failback, PortOptions, PortPattern, PrimaryReselect, SameSegment,
};
use hitless_core::event::{Event, LinkState, PortId};
use hitless_core::wifi::StationState;
use proptest::prelude::*;
use support::random::Random;
use support::{World, info, ms, plain, with_primary};

const NAMES: [&str; 4] = ["eth0", "eth1", "wlan0", "wwan0"];

/// Options that tell ports apart, or do not.
fn ranks() -> impl Strategy<Value = BondConfig> {
    (prop::option::of(0..NAMES.len()), prop::collection::vec(-1..2, NAMES.len())).prop_map(
        |(primary, prios)| {
            let options = NAMES
                .iter()
                .zip(prios)
                .map(|(name, prio)| ((*name).to_owned(), PortOptions { prio, queue_id: 0 }));
            BondConfig {
                primary: primary.map(|n| PortPattern::new(NAMES[n])),
                port_options: options.collect(),
                ..plain(&NAMES)
            }
        },
    )
}

/// The names of ports with their ids, in some order.
fn ports() -> impl Strategy<Value = Vec<(&'static str, u32)>> {
    let ids = Just(vec![1, 2, 3, 40]).prop_shuffle();
    ids.prop_flat_map(|ids| Just(NAMES.into_iter().zip(ids).collect::<Vec<_>>()).prop_shuffle())
}

/// Which port is active after these have appeared in this order, in one go or one after another.
fn elected(config: &BondConfig, ports: &[(&'static str, u32)], at_once: bool) -> Option<String> {
    let mut w = World::new(config.clone());
    if !at_once {
        for (name, id) in ports {
            w.next_id(*id);
            w.plug(name);
        }
        return w.active();
    }
    let mut events = Vec::new();
    for (name, id) in ports {
        w.next_id(*id);
        let port = w.exists(name, true);
        events.push(Event::PortAppeared { port, info: info(name, port) });
        events.push(Event::Carrier { port, up: true });
    }
    w.tell_all(events);
    w.run(ms(1));
    w.active()
}

/// What may happen to a bond with two ports.
#[derive(Clone, Copy, Debug)]
enum Step {
    Carrier(usize, bool),
    Vanish(usize),
    Appear(usize),
    Switch(usize),
    Detached(usize),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3usize, any::<bool>()).prop_map(|(n, up)| Step::Carrier(n, up)),
        1 => (0..3usize).prop_map(Step::Vanish),
        2 => (0..3usize).prop_map(Step::Appear),
        1 => (0..3usize).prop_map(Step::Switch),
        1 => (0..3usize).prop_map(Step::Detached),
        3 => (0..300u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..40)
}

fn step(w: &mut World, ids: &mut [Option<PortId>; 3], step: Step) {
    match step {
        Step::Carrier(n, up) => ids[n].into_iter().for_each(|id| w.set_carrier(id, up)),
        Step::Vanish(n) => ids[n].take().into_iter().for_each(|id| w.vanish(id)),
        Step::Appear(n) => ids[n] = ids[n].or_else(|| Some(w.appear(NAMES[n], n % 2 == 0))),
        Step::Switch(n) => ids[n].into_iter().for_each(|id| w.switch(id)),
        Step::Detached(n) => {
            if let Some(nic) = ids[n].and_then(|id| w.nics.get_mut(&id)) {
                nic.attached = false;
            }
            w.observe();
        }
        Step::Wait(time) => w.run(ms(time)),
    }
}

fn delays() -> impl Strategy<Value = (Duration, Duration)> {
    let delay = || prop_oneof![Just(0u64), 1..400u64].prop_map(ms);
    (delay(), delay())
}

/// Fails so many percent of all actions, until then.
fn fail_until(w: &mut World, percent: u64, time: Duration, seed: u64) {
    let (mut random, end) = (Random::new(seed), w.now + time);
    w.sabotage = Box::new(move |now, _| now < end && random.percent(percent));
}

// ---- segments ------------------------------------------------------------------------------------------------------

/// Networks, and the segment that each of them is in. What is behind eth0 differs with where it is plugged in.
const NETWORKS: [(&str, u8); 3] = [("home", 0), ("home-5g", 0), ("cafe", 7)];

/// What may happen to a bond of eth0, wlan0 and wlan1.
#[derive(Clone, Copy, Debug)]
enum Change {
    Plug(u8),
    Pull,
    Join(usize, usize),
    Away(usize),
    Deauthenticated(usize),
    Vanish(usize),
    Switch(usize),
    Resumed,
}

fn changes() -> impl Strategy<Value = Vec<(Change, u64)>> {
    let change = prop_oneof![
        2 => prop_oneof![Just(0u8), Just(7)].prop_map(Change::Plug),
        2 => Just(Change::Pull),
        6 => (1..3usize, 0..NETWORKS.len()).prop_map(|(n, network)| Change::Join(n, network)),
        1 => (1..3usize).prop_map(Change::Away),
        1 => (1..3usize).prop_map(Change::Deauthenticated),
        1 => (0..3usize).prop_map(Change::Vanish),
        1 => (0..3usize).prop_map(Change::Switch),
        1 => Just(Change::Resumed),
    ];
    // Most follow when all is quiet, some at once.
    let wait = prop_oneof![3 => Just(10_000u64), 1 => 0..400u64];
    prop::collection::vec((change, wait), 1..25)
}

fn apply(w: &mut World, ids: &mut [PortId; 3], change: Change) {
    match change {
        Change::Plug(segment) => {
            // A cable goes from one place to another.
            w.set_carrier(ids[0], false);
            w.network.segments.insert(ids[0], segment);
            w.set_carrier(ids[0], true);
        }
        Change::Pull => w.set_carrier(ids[0], false),
        Change::Join(n, network) => {
            let (ssid, segment) = NETWORKS[network];
            w.network.segments.insert(ids[n], segment);
            w.join(ids[n], ssid, u8::try_from(n).unwrap());
            w.set_carrier(ids[n], true);
        }
        Change::Away(n) => w.station(ids[n], StationState::Away),
        Change::Deauthenticated(n) => w.station(ids[n], StationState::Deauthenticated),
        Change::Vanish(n) => {
            w.vanish(ids[n]);
            ids[n] = w.appear(SEGMENTED[n], false);
        }
        Change::Switch(n) => w.switch(ids[n]),
        Change::Resumed => w.tell(Event::Resumed),
    }
}

const SEGMENTED: [&str; 3] = ["eth0", "wlan0", "wlan1"];

/// Which ports would be used if the active one failed now, and the active one.
fn ready(w: &World) -> Vec<PortId> {
    let ports = w.machine.snapshot().ports;
    let ready = ports.iter().filter(|port| port.link == LinkState::Up && port.waiting.is_none());
    ready.filter_map(|port| port.port).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whoever is ready reaches the segment that the bond is in, and whoever reaches it gets ready.
    #[test]
    fn what_is_ready_is_in_the_segment_of_the_active_port(
        changes in changes(), primary in 0..3usize, latency in 0..20u64,
        primary_reselect in prop_oneof![Just(PrimaryReselect::Always), Just(PrimaryReselect::Failure)],
        failback in prop_oneof![Just(Failback::Carrier), Just(Failback::default())],
        fail_over_mac in prop_oneof![
            Just(FailOverMac::None), Just(FailOverMac::Active), Just(FailOverMac::Follow)
        ],
    ) {
        let mut w = World::new(BondConfig {
            primary: Some(PortPattern::new(SEGMENTED[primary])),
            same_segment: SameSegment::Require,
            primary_reselect, failback, fail_over_mac,
            ..plain(&SEGMENTED)
        });
        w.latency = Box::new(move |_| ms(latency));
        w.network.hosts = vec![[192, 0, 2, 1].into()];
        w.network.neighbours = w.network.hosts.clone();
        let mut ids = SEGMENTED.map(|name| w.appear(name, false));
        for (change, wait) in changes {
            apply(&mut w, &mut ids, change);
            w.run(ms(wait));
            if wait < 10_000 {
                continue;
            }
            let segment = |id: PortId| w.network.segments.get(&id).copied().unwrap_or_default();
            let ready = ready(&w);
            let Some(active) = w.table.active() else {
                prop_assert!(ready.is_empty());
                continue;
            };
            for id in ready {
                prop_assert_eq!(segment(id), segment(active), "{} and {}", id, active);
            }
            for port in w.machine.snapshot().ports.iter().filter(|port| port.link == LinkState::Up) {
                let id = port.port.unwrap();
                prop_assert!(port.waiting.is_none() || segment(id) != segment(active), "{:?}", port);
            }
            prop_assert!(w.nics.values().all(|nic| nic.listening.is_none()), "nobody is asked any more");
        }
    }

    #[test]
    fn the_election_is_invariant_under_the_order_of_appearance_and_ids(
        config in ranks(), some in ports(), others in ports(),
    ) {
        prop_assert_eq!(elected(&config, &some, true), elected(&config, &others, true));
    }

    /// One after another, too, where the options tell every port from every other.
    #[test]
    fn the_election_is_invariant_over_time_where_every_port_has_its_rank(
        some in ports(), others in ports(), prios in Just(vec![-3, 0, 4, 9]).prop_shuffle(),
    ) {
        let options = NAMES.iter().zip(prios).map(|(name, prio)| {
            ((*name).to_owned(), PortOptions { prio, queue_id: 0 })
        });
        let config = BondConfig { port_options: options.collect(), ..plain(&NAMES) };
        prop_assert_eq!(elected(&config, &some, false), elected(&config, &others, false));
    }

    #[test]
    fn there_is_an_active_port_iff_some_port_is_up(
        steps in steps(), (updelay, downdelay) in delays(), latency in 0..20u64, primary: bool,
    ) {
        let base = if primary { with_primary(&NAMES) } else { plain(&NAMES) };
        let mut w = World::new(BondConfig { updelay, downdelay, ..base });
        w.latency = Box::new(move |_| ms(latency));
        let mut ids = [None; 3];
        for one in steps {
            step(&mut w, &mut ids, one);
            // What is elected follows at once; what is in force, when the driver has answered.
            let snapshot = w.machine.snapshot();
            let usable = snapshot.ports.iter().any(|port| port.link.is_usable());
            prop_assert_eq!(snapshot.active.is_some(), usable);
        }
        w.run(ms(2000));
        let attached_and_up = w.nics.values().any(|nic| nic.attached && nic.carrier);
        prop_assert_eq!(w.active().is_some(), attached_and_up);
        prop_assert_eq!(w.carrier, attached_and_up);
    }

    #[test]
    fn a_flapping_port_cannot_starve_a_stable_one(
        flaps in prop::collection::vec(0..250u64, 1..40), stable_at in 0..40usize,
        (updelay, downdelay) in delays(), latency in 0..20u64, primary: bool,
    ) {
        let base = if primary { with_primary(&["flaps", "stable"]) } else { plain(&["flaps", "stable"]) };
        let mut w = World::new(BondConfig { updelay, downdelay, ..base });
        w.latency = Box::new(move |_| ms(latency));
        let flapping = w.appear("flaps", false);
        let mut stable = None;
        let mut up = false;
        for (n, gap) in flaps.iter().enumerate() {
            if n == stable_at {
                stable = Some((w.appear("stable", true), w.now));
            }
            up = !up;
            w.set_carrier(flapping, up);
            let end = w.now + ms(*gap);
            while w.now < end {
                w.run(ms(1));
                check_stable(&w, flapping, stable, updelay, latency)?;
            }
        }
    }

    #[test]
    fn whatever_fails_is_tried_again_until_it_is_done(
        steps in steps(), percent in 1..=100u64, time in 0..20_000u64, seed: u64, latency in 0..20u64,
        primary: bool,
    ) {
        let base = if primary { with_primary(&NAMES) } else { plain(&NAMES) };
        let mut w = World::new(BondConfig { num_peer_notif: 2, ..base });
        w.latency = Box::new(move |_| ms(latency));
        fail_until(&mut w, percent, ms(time), seed);
        let mut ids = [None; 3];
        for one in steps {
            step(&mut w, &mut ids, one);
        }
        // The longest wait between two tries is 30 s.
        w.run(ms(time));
        w.run(ms(31_000));
        w.observe();
        w.run(ms(100));
        for (id, nic) in &w.nics {
            prop_assert!(nic.attached, "{id}");
            prop_assert_eq!(Some(nic.mac), w.bond_mac);
            prop_assert!(w.table.ports.iter().any(|entry| entry.port == *id), "{}", id);
        }
        prop_assert_eq!(w.active().is_some(), w.nics.values().any(|nic| nic.carrier));
        prop_assert_eq!(w.carrier, w.active().is_some());
        prop_assert_eq!(w.machine.poll_timeout(), None);
    }
}

/// The stable port is up when its own delay is over, and active whenever the other one is not usable.
fn check_stable(
    w: &World,
    flapping: PortId,
    stable: Option<(PortId, hitless_core::time::Instant)>,
    updelay: Duration,
    latency: u64,
) -> Result<(), TestCaseError> {
    let Some((id, since)) = stable else { return Ok(()) };
    // The bond's address and the attachment take the driver some time.
    if w.now >= since + updelay + ms(2 * latency + 1) {
        prop_assert_eq!(w.link(id), LinkState::Up);
    }
    if w.link(id) == LinkState::Up && !w.link(flapping).is_usable() {
        let snapshot = w.machine.snapshot();
        prop_assert_eq!(snapshot.active.as_deref(), Some("stable"));
    }
    Ok(())
}
