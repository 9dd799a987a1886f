//! Thousands of random lives of a bond, in virtual time. What must hold at all times is checked by the world after
//! every step ([`support::World`]); what must hold in the end is checked here: in a world that has become healthy, the
//! bond becomes healthy, too.
//!
//! A schedule that fails is named by its seed: `HITLESS_SEED=N cargo test -p hitless-core --test simulation` repeats one schedule,
//! `HITLESS_SCHEDULES=N` says how many a run has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

mod support;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use hitless_core::config::{
    BondConfig, Evidence, FailOverMac, Failback, PortOptions, PortPattern, PrimaryReselect, Probes,
    SameSegment, Validate,
};
use hitless_core::event::{Action, ActionId, Duplex, Event, Failure, LinkState, Notice, Outcome, PortId};
use hitless_core::mac::MacAddr;
use hitless_core::table::ForwardingTable;
use hitless_core::wifi::{Association, Reception, Ssid, Station, StationState};

use support::network::Reach;
use support::random::Random;
use support::{World, info, ms};

const NAMES: [&str; 7] = ["eth0", "eth1", "wlan0", "wlan1", "wwan0", "en0", "en1"];
const HOME: &str = "home";
const SCHEDULES: u64 = 3000;

#[test]
fn random_lives_end_well() {
    let environment = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = environment("HITLESS_SEED") {
        return live(seed);
    }
    let mut seeds = Random::new(RandomState::new().build_hasher().finish());
    let schedules = environment("HITLESS_SCHEDULES").unwrap_or(SCHEDULES);
    let seeds: Vec<u64> = (0..schedules).map(|_| seeds.next() >> 16).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for part in seeds.chunks(seeds.len().div_ceil(threads).max(1)) {
            scope.spawn(|| part.iter().for_each(|seed| live_or_tell(*seed)));
        }
    });
}

fn live_or_tell(seed: u64) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| live(seed))) {
        eprintln!("a schedule failed; repeat it with HITLESS_SEED={seed}, and see it with HITLESS_TRACE=1");
        resume_unwind(panic);
    }
}

/// One schedule.
fn live(seed: u64) {
    let random = &mut Random::new(seed);
    let mut w = World::new(config(random));
    w.network.hosts = targets();
    w.network.neighbours = targets();
    w.network.silent = random.percent(20);
    hinder(&mut w, random);
    for _ in 0..random.below(60) {
        step(&mut w, random);
    }
    heal(&mut w);
    check_health(&mut w);
}

fn targets() -> Vec<IpAddr> {
    vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into(), "2001:db8::1".parse().unwrap()]
}

// ---- chance ---------------------------------------------------------------------------------------------------------

fn config(random: &mut Random) -> BondConfig {
    let delay = |random: &mut Random| if random.percent(50) { Duration::ZERO } else { random.time(500) };
    let mut ports: Vec<PortPattern> = Vec::new();
    for name in NAMES {
        if random.percent(70) {
            ports.insert(0, PortPattern::new(if name.starts_with("en") { "en*" } else { name }));
        }
    }
    let options = NAMES.iter().map(|name| {
        let prio = i32::try_from(random.below(3)).unwrap() - 1;
        ((*name).to_owned(), PortOptions { prio, queue_id: 0 })
    });
    BondConfig {
        port_options: options.collect(),
        primary: random.percent(60).then(|| PortPattern::new(random.pick(&NAMES))),
        primary_reselect: random.pick(&[
            PrimaryReselect::Always,
            PrimaryReselect::Always,
            PrimaryReselect::Better,
            PrimaryReselect::Failure,
        ]),
        failback: random.pick(&[
            Failback::Carrier,
            Failback::Proven { timeout: None },
            Failback::Proven { timeout: Some(ms(3000)) },
        ]),
        miimon: random.time(100),
        updelay: delay(random),
        downdelay: delay(random),
        fail_over_mac: random.pick(&[FailOverMac::None, FailOverMac::Active, FailOverMac::Follow]),
        min_links: u32::try_from(random.below(4)).unwrap(),
        num_peer_notif: random.pick(&[0, 1, 3, 255]),
        peer_notif_delay: delay(random),
        probes: probes(random),
        ports,
        ssid_allow: if random.percent(30) { Ssid::new(HOME).into_iter().collect() } else { Vec::new() },
        same_segment: random.pick(&[SameSegment::Require, SameSegment::Warn, SameSegment::Off]),
        signal_min: random.pick(&[None, Some(-70)]),
        signal_hysteresis: random.pick(&[0, 5, 20]),
        roam_grace: delay(random),
        ..BondConfig::default()
    }
}

fn probes(random: &mut Random) -> Probes {
    let evidence = [Evidence::Any, Evidence::Probe, Evidence::Target];
    Probes {
        interval: if random.percent(50) { Duration::ZERO } else { ms(200) + random.time(1000) },
        arp_targets: if random.percent(70) {
            vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()]
        } else {
            vec![]
        },
        ns_targets: if random.percent(30) { vec!["2001:db8::1".parse().unwrap()] } else { vec![] },
        missed_max: u8::try_from(1 + random.below(4)).unwrap(),
        validate: Validate { active: random.pick(&evidence), backup: random.pick(&evidence) },
        all_targets: random.percent(30),
    }
}

/// Makes the driver slow, so that it overtakes itself, and unreliable.
fn hinder(w: &mut World, random: &mut Random) {
    let (slowest, failing) = (random.pick(&[0, 1, 20, 300]), random.pick(&[0, 0, 5, 30, 100]));
    let (mut chance, mut luck) = (random.clone(), random.clone());
    w.latency = Box::new(move |_| chance.time(slowest));
    w.sabotage = Box::new(move |_, _| luck.percent(failing));
}

fn some_port(w: &World, random: &mut Random) -> PortId {
    let ids: Vec<PortId> = w.nics.keys().copied().chain([PortId(9999)]).collect();
    random.pick(&ids)
}

fn step(w: &mut World, random: &mut Random) {
    let id = some_port(w, random);
    match random.below(100) {
        0..14 => {
            let name = random.pick(&NAMES);
            w.appear(name, random.percent(70));
        }
        14..20 => w.vanish(id),
        20..45 => w.set_carrier(id, random.percent(50)),
        45..52 => {
            let later = w.now + random.time(5000);
            let reach = [Reach::Alive, Reach::Dead, Reach::InOnly, Reach::OutOnly, Reach::From(later)];
            w.set_path(id, random.pick(&reach));
        }
        52..57 => w.switch(id),
        57..62 => {
            let new = config(random);
            w.reconfigure(|config| *config = new);
        }
        62..66 => hinder(w, random),
        66..71 => strangers(w, id, random),
        71..76 => w.observe(),
        76..79 => w.change(id, |info| {
            info.speed_mbps = random.pick(&[None, Some(10), Some(1000)]);
            info.duplex = random.pick(&[None, Some(Duplex::Half), Some(Duplex::Full)]);
        }),
        79..81 => w.change(id, |info| info.name = random.pick(&NAMES).to_owned()),
        81..85 => nonsense(w, id, random),
        85..93 => on_air(w, id, random),
        93 => {
            w.network.segments.insert(id, random.pick(&[0, 7]));
        }
        94 => w.tell(Event::Resumed),
        95..97 => {
            // A flap storm.
            for n in 0..random.below(20) {
                w.set_carrier(id, n % 2 == 1);
                w.run(random.time(30));
            }
        }
        _ => w.run(random.time(3000)),
    }
    if random.percent(50) {
        w.run(random.time(50));
    }
}

/// Something happens to a station; of wires, nonsense is said now and then.
fn on_air(w: &mut World, id: PortId, random: &mut Random) {
    let is_station = w.nics.get(&id).is_none_or(|nic| nic.info.wireless);
    if !is_station || random.percent(10) {
        return w.tell(Event::Rekeyed { port: id });
    }
    for _ in 0..=random.below(3) {
        let (ssid, segment) =
            random.pick(&[(Some(HOME), 0), (Some("home-5g"), 0), (Some("cafe"), 7), (None, 7)]);
        let access_point = MacAddr([2, 0xaf, 0, 0, 0, u8::try_from(random.below(3)).unwrap()]);
        let association = Association { ssid: ssid.and_then(Ssid::new), bssid: access_point };
        let state = match random.below(6) {
            0 => StationState::Away,
            1 => StationState::Deauthenticated,
            2 => StationState::Silent(association),
            _ => {
                if random.percent(80) {
                    w.network.segments.insert(id, segment);
                }
                StationState::Joined(association)
            }
        };
        let reception = Reception {
            signal_dbm: random.pick(&[None, Some(-90), Some(-68), Some(-30)]),
            rate_mbps: random.pick(&[None, Some(6), Some(300), Some(400)]),
        };
        w.tell(Event::Station { port: id, station: Station { state, reception } });
        w.run(random.time(400));
    }
}

/// Somebody else changes what the driver has.
fn strangers(w: &mut World, id: PortId, random: &mut Random) {
    match random.below(5) {
        0 => w.table = ForwardingTable::default(),
        1 => w.bond_mac = Some(MacAddr([2, 9, 9, 9, 9, 9])),
        2 => w.carrier = !w.carrier,
        _ => {
            if let Some(nic) = w.nics.get_mut(&id).filter(|nic| nic.attached) {
                if random.percent(50) {
                    nic.attached = false;
                    // What is not attached carries nothing.
                    if w.table.ports.iter().any(|entry| entry.port == id) {
                        w.table = ForwardingTable::default();
                    }
                } else {
                    nic.mac = MacAddr([2, 9, 9, 9, 9, 9]);
                }
            }
        }
    }
}

/// Events that nobody should send.
fn nonsense(w: &mut World, id: PortId, random: &mut Random) {
    let stale = ActionId(random.below(4) << 40);
    let stale = if stale.0 == 0 { ActionId(u64::MAX) } else { stale };
    w.tell(match random.below(5) {
        0 => Event::Frame { port: id, frame: vec![0xff; 60] },
        1 => Event::Done { action: stale, result: Ok(Outcome::Received(random.next())) },
        2 => Event::Done { action: stale, result: Err(Failure("stale".to_owned())) },
        3 => Event::PortVanished { port: PortId(8888) },
        _ => match w.nics.get(&id) {
            Some(nic) => Event::PortAppeared { port: id, info: nic.info.clone() },
            None => Event::PortChanged { port: id, info: info("dmz", id) },
        },
    });
}

// ---- the end --------------------------------------------------------------------------------------------------------

/// Everything works from now on; every link has been down once, which ends what was asked for by hand.
fn heal(w: &mut World) {
    w.latency = Box::new(|_| ms(1));
    w.sabotage = Box::new(|_, _| false);
    w.network.reach.clear();
    w.network.segments.clear();
    w.network.silent = false;
    w.tell(Event::Resumed);
    let ports: Vec<PortId> = w.nics.keys().copied().collect();
    for up in [false, true] {
        for id in &ports {
            if up && w.nics[id].info.wireless {
                w.join(*id, HOME, own_access_point(*id));
            }
            w.set_carrier(*id, up);
        }
        w.run(ms(2000));
    }
    for _ in 0..12 {
        w.run(ms(5000));
        w.observe();
    }
}

/// Stations that share an address are at different access points, or push each other out.
fn own_access_point(port: PortId) -> u8 {
    u8::try_from(port.0 % 256).unwrap()
}

fn check_health(w: &mut World) {
    w.run(ms(1000));
    w.forget();
    w.run(ms(10_000));
    let config = w.machine.config().clone();
    let ours: Vec<PortId> = w
        .nics
        .iter()
        .filter(|(_, nic)| config.preference(&nic.info.name).is_some())
        .map(|(id, _)| *id)
        .collect();
    for (id, nic) in &w.nics {
        assert_eq!(nic.attached, ours.contains(id), "{id} is attached");
    }
    for id in &ours {
        let port = w.port(*id);
        assert_eq!((port.link, port.waiting.is_some()), (LinkState::Up, false), "{port:?}");
    }
    let active = w.table.active();
    assert_eq!(w.table, ForwardingTable::active_backup(active, ours.iter().copied()));
    assert_eq!(active.is_some(), !ours.is_empty());
    w.active();
    assert_eq!(w.carrier, active.is_some() && ours.len() >= usize::try_from(config.min_links).unwrap());
    check_choice(w, &config, active, &ours);
    check_addresses(w, &config, active, &ours);
    check_quiet(w, &config);
}

fn check_choice(w: &World, config: &BondConfig, active: Option<PortId>, ours: &[PortId]) {
    let Some(active) = active.filter(|_| config.primary_reselect == PrimaryReselect::Always) else { return };
    let rank = |id: &PortId| {
        let name = &w.nics[id].info.name;
        (config.is_primary(name), config.port(name).prio)
    };
    let best = ours.iter().map(rank).max();
    assert_eq!(Some(rank(&active)), best, "the best port is active");
}

fn check_addresses(w: &World, config: &BondConfig, active: Option<PortId>, ours: &[PortId]) {
    let Some(active) = active else { return };
    for id in ours {
        let nic = &w.nics[id];
        match config.fail_over_mac {
            FailOverMac::None => assert_eq!(Some(nic.mac), w.bond_mac),
            FailOverMac::Active => assert_eq!(nic.mac, nic.info.permanent_mac),
            FailOverMac::Follow if *id == active => assert_eq!(Some(nic.mac), w.bond_mac),
            FailOverMac::Follow => assert_ne!(Some(nic.mac), w.bond_mac),
        }
    }
    if config.fail_over_mac == FailOverMac::Active {
        assert_eq!(w.bond_mac, Some(w.nics[&active].info.permanent_mac));
    }
}

/// Nothing happens any more but probes, and the notifications that were asked for.
fn check_quiet(w: &World, config: &BondConfig) {
    let probing = config.probes.enabled();
    for action in &w.actions {
        match action {
            Action::Send { .. } | Action::CountReceived { .. } => assert!(probing, "{action:?}"),
            Action::NotifyPeers { .. } => assert!(config.num_peer_notif > 3),
            other => panic!("{other:?}"),
        }
    }
    let notices: Vec<&Notice> = w.notices.iter().collect();
    assert!(notices.is_empty(), "{notices:?}");
    if !probing {
        assert!(w.nics.values().all(|nic| nic.listening.is_none()), "nobody listens");
        assert!(w.machine.poll_timeout().is_none() || config.num_peer_notif > 3);
    }
}
