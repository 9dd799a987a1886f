//! Events in any order, made of bytes, for the machine that decides.
//!
//! Each step takes an octet that says what happens, and as many more as that needs; missing ones are zero. Nothing is
//! assumed of who sends the events: ids repeat, results are made up, time jumps forth and back.

use std::collections::VecDeque;
use std::time::Duration;

use hitless_core::config::{
    BondConfig, Evidence, FailOverMac, Failback, Mode, PortOptions, PortPattern, PrimaryReselect, Probes,
    SameSegment, Validate,
};
use hitless_core::event::{
    Action, ActionId, Duplex, Event, Failure, Observation, Offload, Outcome, PortId, PortInfo,
};
use hitless_core::mac::MacAddr;
use hitless_core::machine::Machine;
use hitless_core::table::{ForwardingTable, MAX_PORTS, Transmit};
use hitless_core::time::Instant;
use hitless_core::wifi::{Association, Reception, Ssid, Station, StationState};
use hitless_core::wire;

const NAMES: [&str; 6] = ["eth0", "eth1", "wlan0", "enx1", "enx2", "lo"];
/// So many actions without an event in between are a loop without an end.
const MOST_ACTIONS: usize = 2000;
/// So many wake-ups at one point in time are a busy loop.
const MOST_SPINS: usize = 5;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn octet(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn flag(&mut self) -> bool {
        self.octet() & 1 == 1
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[usize::from(self.octet()) % items.len()]
    }

    fn port(&mut self) -> PortId {
        PortId(u32::from(self.octet() % 40))
    }

    fn mac(&mut self) -> MacAddr {
        MacAddr([self.pick(&[2, 0, 1, 0xff]), 0, 0, 0, 0, self.octet()])
    }

    fn time(&mut self) -> Duration {
        let n = u64::from(self.octet());
        match self.octet() % 16 {
            0 => Duration::MAX,
            1 => Duration::from_secs(n),
            2..6 => Duration::ZERO,
            _ => Duration::from_millis(n),
        }
    }
}

/// Lives through what the bytes say.
///
/// # Panics
///
/// When the machine does what it never may.
pub fn run(bytes: &[u8]) {
    let bytes = &mut Bytes(bytes);
    let offload = Offload {
        macs: bytes.flag(),
        notifications: bytes.flag(),
        carrier: bytes.flag(),
        forwarding: bytes.octet().is_multiple_of(4),
    };
    let mut machine = Machine::new(config(bytes), offload);
    let mut now = Instant::EPOCH;
    let mut under_way = VecDeque::new();
    while !bytes.0.is_empty() {
        if let Some(event) = event(bytes, &mut under_way) {
            machine.handle(now, event);
        } else {
            now = advance(bytes, &machine, now);
            machine.handle_timeout(now);
        }
        if bytes.flag() {
            drain(&mut machine, now, &mut under_way);
        }
    }
    drain(&mut machine, now, &mut under_way);
    check_rest(&mut machine, now);
}

/// What happens; `None`: time passes.
fn event(bytes: &mut Bytes<'_>, under_way: &mut VecDeque<(ActionId, Action)>) -> Option<Event> {
    let kind = bytes.octet() % 20;
    let port = bytes.port();
    Some(match kind {
        0 | 1 => Event::PortAppeared { port, info: info(bytes) },
        2 => Event::PortVanished { port },
        3 => Event::PortChanged { port, info: info(bytes) },
        4..7 => Event::Carrier { port, up: bytes.flag() },
        7 => Event::Frame { port, frame: frame(bytes) },
        8..11 => {
            let (action, what) = under_way.pop_front()?;
            Event::Done { action, result: result(bytes, &what) }
        }
        11 => Event::Done { action: ActionId(u64::from(bytes.octet())), result: Ok(Outcome::Done) },
        12 => Event::Switch { port },
        13 => Event::Configure(config(bytes).into()),
        14 => Event::Observed(observation(bytes)),
        15 | 16 => Event::Station { port, station: station(bytes) },
        17 => Event::Rekeyed { port },
        18 => Event::Resumed,
        _ => return None,
    })
}

fn advance(bytes: &mut Bytes<'_>, machine: &Machine, now: Instant) -> Instant {
    match bytes.octet() % 8 {
        0 => Instant::after_epoch(bytes.time()),
        1..5 => machine.poll_timeout().map_or(now, |(at, _)| at),
        _ => now + bytes.time(),
    }
}

fn drain(machine: &mut Machine, now: Instant, under_way: &mut VecDeque<(ActionId, Action)>) {
    let mut actions = 0;
    while let Some((id, action)) = machine.poll_action(now) {
        if let Action::Program(table) = &action {
            assert!(table.ports.len() <= MAX_PORTS, "{table:?}");
            let active = table.active();
            assert!(
                active.is_none_or(|active| table.ports.iter().any(|entry| entry.port == active)),
                "{table:?}"
            );
        }
        under_way.push_back((id, action));
        actions += 1;
        assert!(actions <= MOST_ACTIONS, "no end of actions");
    }
    while machine.poll_notice().is_some() {}
    let snapshot = machine.snapshot();
    let active: Vec<_> = snapshot.ports.iter().filter(|port| port.active).collect();
    if machine.config().mode.has_active_port() {
        assert!(active.len() <= 1, "{active:?}");
        assert_eq!(active.first().map(|port| &port.name), snapshot.active.as_ref());
    }
    assert!(active.iter().all(|port| port.link.is_usable()), "{active:?}");
}

/// Called when it wants to be, it comes to rest.
fn check_rest(machine: &mut Machine, now: Instant) {
    for _ in 0..MOST_SPINS {
        machine.handle_timeout(now);
        while machine.poll_action(now).is_some() {}
    }
    if let Some((at, why)) = machine.poll_timeout() {
        assert!(
            at > now || now == now + Duration::from_nanos(1),
            "busy loop: {why:?} at {at:?}, it is {now:?}"
        );
    }
}

fn info(bytes: &mut Bytes<'_>) -> PortInfo {
    PortInfo {
        name: bytes.pick(&NAMES).to_owned(),
        permanent_mac: bytes.mac(),
        speed_mbps: bytes.pick(&[None, Some(0), Some(10), Some(u32::MAX)]),
        duplex: bytes.pick(&[None, Some(Duplex::Half), Some(Duplex::Full)]),
        wireless: bytes.pick(&[false, true]),
    }
}

fn ssid(bytes: &mut Bytes<'_>) -> Option<Ssid> {
    Ssid::new(bytes.pick(&["", "home", "cafe"]))
}

fn station(bytes: &mut Bytes<'_>) -> Station {
    let association = Association { ssid: ssid(bytes), bssid: bytes.mac() };
    let state = match bytes.octet() % 5 {
        0 => StationState::Away,
        1 => StationState::Deauthenticated,
        2 => StationState::Silent(association),
        _ => StationState::Joined(association),
    };
    let signal_dbm = bytes.pick(&[None, Some(i8::MIN), Some(-71), Some(-70), Some(i8::MAX)]);
    let rate_mbps = bytes.pick(&[None, Some(0), Some(1), Some(300), Some(u32::MAX)]);
    Station { state, reception: Reception { signal_dbm, rate_mbps } }
}

fn frame(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let target = bytes.pick(&["192.0.2.1", "2001:db8::1"]).parse().expect("an address");
    let mac = bytes.mac();
    match bytes.octet() % 4 {
        2 => arp_reply(mac, bytes.mac()),
        0 => wire::announcement(mac, target),
        1 => wire::probe(mac, mac, target),
        _ => (0..bytes.octet()).map(|_| bytes.octet()).collect(),
    }
}

/// RFC 826: 192.0.2.1 is at `sender`, told to `to`.
fn arp_reply(sender: MacAddr, to: MacAddr) -> Vec<u8> {
    let fixed = [0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2];
    [&to.0[..], &sender.0, &fixed, &sender.0, &[192, 0, 2, 1], &to.0, &[0, 0, 0, 0]].concat()
}

fn result(bytes: &mut Bytes<'_>, what: &Action) -> Result<Outcome, Failure> {
    match (bytes.octet() % 4, what) {
        (0, _) => Err(Failure("no".to_owned())),
        (1, _) => Ok(Outcome::Received(u64::from(bytes.octet()))),
        (_, Action::FindTargets) => {
            Ok(Outcome::Targets(vec![bytes.pick(&["192.0.2.1", "2001:db8::1"]).parse().expect("an address")]))
        }
        (_, Action::CountReceived { .. }) => Ok(Outcome::Received(u64::from(bytes.octet()))),
        _ => Ok(Outcome::Done),
    }
}

fn observation(bytes: &mut Bytes<'_>) -> Observation {
    let ports: Vec<PortId> = (0..bytes.octet() % 5).map(|_| bytes.port()).collect();
    let table = match bytes.octet() % 4 {
        0 => ForwardingTable::default(),
        1 => ForwardingTable { transmit: Transmit::RoundRobin(ports.clone()), ports: Vec::new() },
        _ => ForwardingTable::active_backup(ports.first().copied(), ports.iter().copied()),
    };
    Observation {
        bond_mac: bytes.flag().then(|| bytes.mac()),
        carrier: bytes.flag(),
        table,
        attached: ports.into_iter().map(|port| (port, bytes.mac())).collect(),
    }
}

fn config(bytes: &mut Bytes<'_>) -> BondConfig {
    let patterns = ["eth0", "eth1", "wlan0", "en*", "*", ""];
    let evidence = [Evidence::Any, Evidence::Probe, Evidence::Target];
    BondConfig {
        mode: bytes.pick(&[Mode::ActiveBackup, Mode::ActiveBackup, Mode::BalanceRr]),
        ports: (0..bytes.octet() % 5).map(|_| PortPattern::new(bytes.pick(&patterns))).collect(),
        port_options: (0..bytes.octet() % 3)
            .map(|_| {
                let prio = bytes.pick(&[i32::MIN, -1, 0, 1, i32::MAX]);
                (bytes.pick(&NAMES).to_owned(), PortOptions { prio, queue_id: 0 })
            })
            .collect(),
        primary: bytes.flag().then(|| PortPattern::new(bytes.pick(&patterns))),
        primary_reselect: bytes.pick(&[
            PrimaryReselect::Always,
            PrimaryReselect::Better,
            PrimaryReselect::Failure,
        ]),
        failback: match bytes.octet() % 3 {
            0 => Failback::Carrier,
            1 => Failback::Proven { timeout: None },
            _ => Failback::Proven { timeout: Some(bytes.time()) },
        },
        miimon: bytes.time(),
        updelay: bytes.time(),
        downdelay: bytes.time(),
        fail_over_mac: bytes.pick(&[FailOverMac::None, FailOverMac::Active, FailOverMac::Follow]),
        mac: bytes.pick(&[None, Some(MacAddr([2, 0, 0, 0, 0, 99]))]),
        min_links: bytes.pick(&[0, 1, 2, u32::MAX]),
        num_peer_notif: bytes.pick(&[0, 1, 255]),
        peer_notif_delay: bytes.time(),
        probes: Probes {
            interval: bytes.time(),
            arp_targets: if bytes.flag() { vec![[192, 0, 2, 1].into()] } else { vec![] },
            ns_targets: if bytes.flag() { vec!["2001:db8::1".parse().expect("an address")] } else { vec![] },
            missed_max: bytes.pick(&[0, 1, 2, 255]),
            validate: Validate { active: bytes.pick(&evidence), backup: bytes.pick(&evidence) },
            all_targets: bytes.flag(),
        },
        ssid_allow: (0..bytes.octet() % 3).filter_map(|_| ssid(bytes)).collect(),
        same_segment: bytes.pick(&[SameSegment::Require, SameSegment::Warn, SameSegment::Off]),
        signal_min: bytes.pick(&[None, Some(i8::MIN), Some(-70), Some(i8::MAX)]),
        signal_hysteresis: bytes.pick(&[0, 5, u8::MAX]),
        roam_grace: bytes.time(),
        ..BondConfig::default()
    }
}
