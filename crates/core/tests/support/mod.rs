//! A world in virtual time for a bond's machine: a driver that takes its time and fails, ports with cables, and a
//! network that answers. After every step it checks what must hold at all times ([`World::drain`]).
#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hitless_core::config::{BondConfig, Failback, PortPattern, SameSegment};
use hitless_core::event::{
    Action, ActionId, Cause, Duplex, Event, Failover, Failure, LinkState, Notice, Observation, Offload,
    Outcome, PortId, PortInfo, PortSnapshot, Waiting,
};
use hitless_core::mac::MacAddr;
use hitless_core::machine::Machine;
use hitless_core::table::{ForwardingTable, MAX_PORTS};
use hitless_core::time::Instant;
use hitless_core::wifi::{Association, Reception, Ssid, Station, StationState};

pub(crate) mod network;
pub(crate) mod random;

use network::{Network, Reach};

/// So many calls in a row at one point in time are a busy loop.
const MOST_SPINS: u32 = 4;

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A configuration with these ports, as Linux bonding would work by it: no proof, no peer notification.
pub(crate) fn plain(ports: &[&str]) -> BondConfig {
    BondConfig {
        ports: ports.iter().map(|name| PortPattern::new(name)).collect(),
        failback: Failback::Carrier,
        num_peer_notif: 0,
        same_segment: SameSegment::Off,
        ..BondConfig::default()
    }
}

/// The same with a primary, which is the first of them.
pub(crate) fn with_primary(ports: &[&str]) -> BondConfig {
    BondConfig { primary: ports.first().map(|name| PortPattern::new(name)), ..plain(ports) }
}

/// The address that the `n`th port has of its own.
pub(crate) fn mac(n: u32) -> MacAddr {
    let [.., a, b] = n.to_be_bytes();
    MacAddr([0x02, 0xee, 0, 0, a, b])
}

pub(crate) fn info(name: &str, id: PortId) -> PortInfo {
    PortInfo {
        name: name.to_owned(),
        permanent_mac: mac(id.0),
        speed_mbps: Some(1000),
        duplex: Some(Duplex::Full),
        wireless: name.starts_with("wl"),
    }
}

fn association(ssid: &str, access_point: u8) -> Association {
    Association { ssid: Ssid::new(ssid), bssid: MacAddr([0x02, 0xaf, 0, 0, 0, access_point]) }
}

/// A station that has joined an access point of a network.
pub(crate) fn joined(ssid: &str, access_point: u8) -> StationState {
    StationState::Joined(association(ssid, access_point))
}

/// A station that does not hear its access point any more.
pub(crate) fn silent(ssid: &str, access_point: u8) -> StationState {
    StationState::Silent(association(ssid, access_point))
}

/// A port as it really is.
#[derive(Clone, Debug)]
pub(crate) struct Nic {
    pub(crate) info: PortInfo,
    pub(crate) carrier: bool,
    pub(crate) attached: bool,
    pub(crate) mac: MacAddr,
    /// It is listened on; the address that it accepts beside its own.
    pub(crate) listening: Option<MacAddr>,
    pub(crate) power_save: bool,
}

/// Something that is to happen.
#[derive(Clone, Debug)]
enum Pending {
    Execute(ActionId, Action),
    Hear(PortId, Vec<u8>),
}

/// Decides whether an action fails.
type Sabotage = Box<dyn FnMut(Instant, &Action) -> bool>;
/// Decides how long an action takes.
type Latency = Box<dyn FnMut(&Action) -> Duration>;

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) machine: Machine,
    pub(crate) nics: BTreeMap<PortId, Nic>,
    pub(crate) network: Network,
    /// What the driver has.
    pub(crate) table: ForwardingTable,
    pub(crate) bond_mac: Option<MacAddr>,
    pub(crate) carrier: bool,
    /// Every action that was asked for, since it was last emptied.
    pub(crate) actions: Vec<Action>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) sabotage: Sabotage,
    pub(crate) latency: Latency,
    /// Ports that the machine was told are attached.
    told_attached: BTreeSet<PortId>,
    pending: BTreeMap<(Instant, u64), Pending>,
    sequence: u64,
    next_id: u32,
    answered: BTreeSet<ActionId>,
    /// Actions in the present second, and what may have asked for them.
    second: u64,
    actions_in_second: usize,
    events_in_second: usize,
    traced: bool,
}

impl World {
    pub(crate) fn new(config: BondConfig) -> Self {
        Self::on(config, Offload::default())
    }

    pub(crate) fn on(config: BondConfig, offload: Offload) -> Self {
        Self {
            // Not at the epoch, so that what counts from there by mistake is seen.
            now: Instant::after_epoch(ms(100_000)),
            machine: Machine::new(config, offload),
            nics: BTreeMap::new(),
            network: Network::default(),
            table: ForwardingTable::default(),
            bond_mac: None,
            carrier: false,
            actions: Vec::new(),
            notices: Vec::new(),
            sabotage: Box::new(|_, _| false),
            latency: Box::new(|_| Duration::ZERO),
            told_attached: BTreeSet::new(),
            pending: BTreeMap::new(),
            sequence: 0,
            next_id: 1,
            answered: BTreeSet::new(),
            second: 0,
            actions_in_second: 0,
            events_in_second: 0,
            traced: std::env::var_os("HITLESS_TRACE").is_some(),
        }
    }

    // ---- what happens to ports ------------------------------------------------------------------------------------

    /// A port appears with a cable in it, and the machine has some time.
    pub(crate) fn plug(&mut self, name: &str) -> PortId {
        let id = self.appear(name, true);
        self.run(ms(1));
        id
    }

    /// A port appears.
    pub(crate) fn appear(&mut self, name: &str, carrier: bool) -> PortId {
        let id = self.exists(name, carrier);
        let info = self.nics[&id].info.clone();
        self.tell(Event::PortAppeared { port: id, info });
        self.tell(Event::Carrier { port: id, up: carrier });
        id
    }

    /// A port is there, without the machine being told.
    pub(crate) fn exists(&mut self, name: &str, carrier: bool) -> PortId {
        let id = PortId(self.next_id);
        self.next_id += 1;
        let info = info(name, id);
        let mac = info.permanent_mac;
        self.nics.insert(id, Nic { info, carrier, attached: false, mac, listening: None, power_save: true });
        id
    }

    /// The next port to appear gets this id.
    pub(crate) fn next_id(&mut self, id: u32) {
        self.next_id = id;
    }

    pub(crate) fn vanish(&mut self, id: PortId) {
        if self.nics.remove(&id).is_some() {
            self.told_attached.remove(&id);
            self.network.forget(id);
            self.tell(Event::PortVanished { port: id });
        }
    }

    pub(crate) fn set_carrier(&mut self, id: PortId, up: bool) {
        if let Some(nic) = self.nics.get_mut(&id) {
            nic.carrier = up;
            self.tell(Event::Carrier { port: id, up });
        }
    }

    pub(crate) fn set_path(&mut self, id: PortId, reach: Reach) {
        self.network.reach.insert(id, reach);
    }

    /// A cable is pulled.
    pub(crate) fn pull(&mut self, id: PortId) {
        self.set_carrier(id, false);
    }

    /// A station is like this from now on.
    pub(crate) fn station(&mut self, port: PortId, state: StationState) {
        self.hears(port, state, -50, 300);
    }

    /// The same, heard with so many dBm, and sending with so many Mbit/s.
    pub(crate) fn hears(&mut self, port: PortId, state: StationState, dbm: i8, mbps: u32) {
        let reception = Reception { signal_dbm: Some(dbm), rate_mbps: Some(mbps) };
        self.tell(Event::Station { port, station: Station { state, reception } });
    }

    /// A station joins an access point of a network.
    pub(crate) fn join(&mut self, port: PortId, ssid: &str, access_point: u8) {
        self.station(port, joined(ssid, access_point));
    }

    pub(crate) fn change(&mut self, id: PortId, change: impl FnOnce(&mut PortInfo)) {
        if let Some(nic) = self.nics.get_mut(&id) {
            change(&mut nic.info);
            let info = nic.info.clone();
            let up = nic.carrier;
            self.tell(Event::PortChanged { port: id, info });
            self.tell(Event::Carrier { port: id, up });
        }
    }

    /// The options are changed live.
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut BondConfig)) {
        let mut config = self.machine.config().clone();
        change(&mut config);
        self.tell(Event::Configure(config.into()));
        // As the daemon does: interfaces that match from now on are announced.
        for (id, nic) in self.nics.clone() {
            if self.machine.config().preference(&nic.info.name).is_some() {
                self.tell(Event::PortAppeared { port: id, info: nic.info });
                self.tell(Event::Carrier { port: id, up: nic.carrier });
            }
        }
    }

    pub(crate) fn switch(&mut self, port: PortId) {
        self.tell(Event::Switch { port });
    }

    /// The machine is told what the driver has.
    pub(crate) fn observe(&mut self) {
        self.tell(Event::Observed(self.observation()));
    }

    pub(crate) fn observation(&self) -> Observation {
        let attached = self.nics.iter().filter(|(_, nic)| nic.attached).map(|(id, nic)| (*id, nic.mac));
        Observation {
            bond_mac: self.bond_mac,
            carrier: self.carrier,
            table: self.table.clone(),
            attached: attached.collect(),
        }
    }

    // ---- what is to be seen ---------------------------------------------------------------------------------------

    /// The port that is active, which the driver has carried out.
    pub(crate) fn active(&self) -> Option<String> {
        let in_force = self.table.active().and_then(|id| self.nics.get(&id)).map(|nic| nic.info.name.clone());
        assert_eq!(in_force, self.machine.snapshot().active, "what is elected and what is in force");
        in_force
    }

    #[track_caller]
    pub(crate) fn assert_active(&self, name: &str) {
        assert_eq!(self.active().as_deref(), Some(name), "{:#?}", self.notices);
    }

    #[track_caller]
    pub(crate) fn assert_nothing_active(&self) {
        assert_eq!(self.active(), None);
    }

    pub(crate) fn port(&self, id: PortId) -> PortSnapshot {
        let snapshot = self.machine.snapshot();
        snapshot.ports.into_iter().find(|port| port.port == Some(id)).expect("the machine knows the port")
    }

    pub(crate) fn knows(&self, id: PortId) -> bool {
        self.machine.snapshot().ports.iter().any(|port| port.port == Some(id))
    }

    pub(crate) fn link(&self, id: PortId) -> LinkState {
        self.port(id).link
    }

    pub(crate) fn waiting(&self, id: PortId) -> Option<Waiting> {
        self.port(id).waiting
    }

    /// The failovers since the notices were last emptied: from, to, why.
    pub(crate) fn failovers(&self) -> Vec<(Option<String>, Option<String>, Cause)> {
        let failovers = self.notices.iter().filter_map(|notice| match notice {
            Notice::Failover(Failover { from, to, cause, .. }) => Some((from.clone(), to.clone(), *cause)),
            _ => None,
        });
        failovers.collect()
    }

    /// Why the active port changed the last time.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.machine.snapshot().last_failover.map(|failover| failover.cause)
    }

    pub(crate) fn forget(&mut self) {
        self.actions.clear();
        self.notices.clear();
    }

    /// The frames that ports sent themselves, in order.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (PortId, &[u8])> {
        self.actions.iter().filter_map(|action| match action {
            Action::Send { port, frame } => Some((*port, frame.as_slice())),
            _ => None,
        })
    }

    pub(crate) fn count(&self, filter: impl Fn(&Action) -> bool) -> usize {
        self.actions.iter().filter(|action| filter(action)).count()
    }

    /// Is something under way in driver or network?
    pub(crate) fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }

    // ---- time -----------------------------------------------------------------------------------------------------

    pub(crate) fn tell(&mut self, event: Event) {
        self.tell_all([event]);
    }

    /// Several events before the caller gets round to the actions.
    pub(crate) fn tell_all(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.events_in_second += 1;
            if let Event::Observed(observation) = &event {
                self.told_attached = observation.attached.iter().map(|(id, _)| *id).collect();
            }
            self.trace(&event);
            self.machine.handle(self.now, event);
        }
        self.drain();
    }

    /// Lives on for so long.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut spins = 0;
        while let Some(at) = self.next_step().filter(|at| *at <= end) {
            spins = if at > self.now { 0 } else { spins + 1 };
            self.advance(at);
            if let Some(entry) = self.pending.first_entry().filter(|entry| entry.key().0 <= self.now) {
                spins = 0;
                match entry.remove() {
                    Pending::Execute(id, action) => self.execute(id, &action),
                    Pending::Hear(port, frame) => self.tell(Event::Frame { port, frame }),
                }
            } else {
                let why = self.machine.poll_timeout();
                self.machine.handle_timeout(self.now);
                self.drain();
                assert!(spins <= MOST_SPINS, "busy loop: {why:?} at {:?}", self.now);
            }
        }
        self.advance(end);
    }

    fn next_step(&self) -> Option<Instant> {
        let pending = self.pending.keys().next().map(|(at, _)| *at);
        let timer = self.machine.poll_timeout().map(|(at, _)| at);
        pending.into_iter().chain(timer).min()
    }

    fn advance(&mut self, to: Instant) {
        self.now = self.now.max(to);
        let second = self.now.since(Instant::EPOCH).as_secs();
        if second != self.second {
            (self.second, self.actions_in_second, self.events_in_second) = (second, 0, 0);
        }
    }

    /// With `HITLESS_TRACE` set, everything that happens is printed.
    fn trace(&self, what: &dyn std::fmt::Debug) {
        if self.traced {
            eprintln!("{:>12.3} {what:?}", self.now.since(Instant::EPOCH).as_secs_f64());
        }
    }

    /// Takes over actions and notices, and checks what must hold at all times.
    fn drain(&mut self) {
        while let Some((id, action)) = self.machine.poll_action(self.now) {
            self.trace(&action);
            self.check_action(&action);
            self.actions.push(action.clone());
            self.actions_in_second += 1;
            let at = self.now + (self.latency)(&action);
            self.schedule(at, Pending::Execute(id, action));
        }
        while let Some(notice) = self.machine.poll_notice() {
            self.trace(&notice);
            self.notices.push(notice);
        }
        self.check();
    }

    fn schedule(&mut self, at: Instant, pending: Pending) {
        self.sequence += 1;
        self.pending.insert((at, self.sequence), pending);
    }

    fn check_action(&self, action: &Action) {
        if let Action::Program(table) = action {
            assert!(table.ports.len() <= MAX_PORTS, "{} ports", table.ports.len());
            for entry in &table.ports {
                assert!(self.told_attached.contains(&entry.port), "{} is not attached", entry.port);
            }
            if let Some(active) = table.active() {
                assert!(table.ports.iter().any(|entry| entry.port == active), "sends by {active} only");
            }
        }
    }

    fn check(&self) {
        if let Some((at, why)) = self.machine.poll_timeout() {
            assert!(at >= self.now, "{why:?} was due at {at:?}, now it is {:?}", self.now);
        }
        let most = 40 * (self.nics.len() + 2) * (self.events_in_second + 1) + self.probe_rate();
        assert!(self.actions_in_second <= most, "{} actions in a second", self.actions_in_second);
        let snapshot = self.machine.snapshot();
        let active: Vec<_> = snapshot.ports.iter().filter(|port| port.active).collect();
        if self.machine.config().mode.has_active_port() {
            assert!(active.len() <= 1, "{active:?} are active");
            assert_eq!(active.first().map(|port| &port.name), snapshot.active.as_ref());
        } else {
            assert_eq!(snapshot.active, None);
        }
        assert!(active.iter().all(|port| port.link.is_usable()), "{active:?} are active");
        self.check_membership(&snapshot.ports);
    }

    /// What is in a foreign network is never used; of the rest, something is, whenever it can be.
    fn check_membership(&self, ports: &[PortSnapshot]) {
        let config = self.machine.config();
        for port in ports.iter().filter(|port| port.active) {
            let state = port.station.as_ref().map(|station| &station.state);
            let ssid = state.and_then(StationState::association).and_then(|at| at.ssid.as_ref());
            let allowed =
                config.ssid_allow.is_empty() || ssid.is_none_or(|ssid| config.ssid_allow.contains(ssid));
            assert!(allowed, "{port:?} is active");
        }
        // While something is under way, a port may be on its way out.
        if self.is_busy() {
            return;
        }
        let is_out = |port: &PortSnapshot| match &port.waiting {
            Some(Waiting::Network(_)) => true,
            Some(Waiting::OtherSegment(_)) => port.station.is_some(),
            _ => config.preference(&port.name).is_none(),
        };
        let usable = ports.iter().any(|port| port.link.is_usable() && !is_out(port));
        assert_eq!(ports.iter().any(|port| port.active), usable, "{ports:#?}");
    }

    fn probe_rate(&self) -> usize {
        let probes = &self.machine.config().probes;
        if !probes.enabled() {
            return 0;
        }
        let per_second = Duration::from_secs(1).as_micros() / probes.interval.as_micros().max(1) + 1;
        let each = probes.arp_targets.len() + probes.ns_targets.len() + self.nics.len();
        usize::try_from(per_second).unwrap_or(usize::MAX).saturating_mul(each * 4)
    }

    // ---- the driver -----------------------------------------------------------------------------------------------

    fn execute(&mut self, id: ActionId, action: &Action) {
        assert!(self.answered.insert(id), "{id:?} names two actions");
        let result = if (self.sabotage)(self.now, action) {
            Err(Failure(format!("sabotage at {:?}", self.now)))
        } else {
            self.carry_out(action)
        };
        if let (Action::Attach { port, .. } | Action::Detach { port }, Ok(_)) = (action, &result) {
            match action {
                Action::Attach { .. } => self.told_attached.insert(*port),
                _ => self.told_attached.remove(port),
            };
        }
        self.tell(Event::Done { action: id, result });
    }

    fn carry_out(&mut self, action: &Action) -> Result<Outcome, Failure> {
        let missing = |port: &PortId| Failure(format!("{port} does not exist"));
        match action {
            Action::Program(table) => {
                let attached = |id: &PortId| self.nics.get(id).is_some_and(|nic| nic.attached);
                if let Some(entry) = table.ports.iter().find(|entry| !attached(&entry.port)) {
                    return Err(Failure(format!("{} is not attached", entry.port)));
                }
                self.table = table.clone();
            }
            Action::SetBondMac(mac) => self.bond_mac = Some(*mac),
            Action::SetCarrier(up) => self.carrier = *up,
            Action::FindTargets => return Ok(Outcome::Targets(self.network.neighbours.clone())),
            Action::Attach { port, mac } => {
                let nic = self.nics.get_mut(port).ok_or_else(|| missing(port))?;
                nic.attached = true;
                nic.mac = mac.unwrap_or(nic.mac);
            }
            Action::Detach { port } => {
                let nic = self.nics.get_mut(port).ok_or_else(|| missing(port))?;
                *nic = Nic { attached: false, mac: nic.info.permanent_mac, listening: None, ..nic.clone() };
            }
            Action::SetPortMac { port, mac } => {
                let nic = self.nics.get_mut(port).filter(|nic| nic.attached).ok_or_else(|| missing(port))?;
                nic.mac = *mac;
            }
            Action::NotifyPeers { port } => {
                let nic = self.nics.get(port).ok_or_else(|| missing(port))?;
                self.network.learn(nic.mac, *port);
            }
            Action::Listen { port, on, also } => {
                let nic = self.nics.get_mut(port).ok_or_else(|| missing(port))?;
                nic.listening = on.then_some(*also);
            }
            Action::Send { port, frame } => {
                self.nics.get(port).ok_or_else(|| missing(port))?;
                self.transmit(*port, frame);
            }
            Action::SetPowerSave { port, on } => {
                let nic = self.nics.get_mut(port).ok_or_else(|| missing(port))?;
                assert!(nic.info.wireless, "{port} is wired");
                nic.power_save = *on;
            }
            Action::CountReceived { port } => {
                let nic = self.nics.get(port).ok_or_else(|| missing(port))?;
                return Ok(Outcome::Received(self.network.received(self.now, *port, nic.carrier)));
            }
        }
        Ok(Outcome::Done)
    }

    /// A frame leaves by a port; what comes of it is heard a little later.
    fn transmit(&mut self, port: PortId, frame: &[u8]) {
        let carriers = |id: &PortId| self.nics.get(id).is_some_and(|nic| nic.carrier);
        if !carriers(&port) {
            return;
        }
        // Traffic on the active port keeps the switch's table as it should be.
        if let (Some(active), Some(mac)) = (self.table.active(), self.bond_mac) {
            self.network.busy = Some((mac, active)).filter(|_| carriers(&active));
        }
        let ports: Vec<PortId> = self.nics.keys().copied().filter(|id| carriers(id)).collect();
        let heard = self.network.carry(self.now, port, frame, &ports);
        let at = self.now + ms(1);
        for (id, frame) in heard {
            let destination = MacAddr(frame[..6].try_into().expect("six octets"));
            let Some(nic) = self.nics.get(&id) else { continue };
            let for_us =
                destination == nic.mac || destination.is_group() || nic.listening == Some(destination);
            if nic.listening.is_some() && for_us {
                self.schedule(at, Pending::Hear(id, frame));
            }
        }
    }
}
