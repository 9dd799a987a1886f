//! The machine of one bond: which ports carry its traffic, and what has to be done to make it so.
//!
//! Events and the time go in by [`Machine::handle`], which never fails; then the caller drains
//! [`Machine::poll_action`] and [`Machine::poll_notice`] and sleeps until [`Machine::poll_timeout`].
//!
//! Every event ends in the same few steps (`settle`): judge paths, derive link states, elect the active
//! port, and say what is wanted. What is wanted and not there becomes an action (`machine/actions.rs`); nothing else does.
//! So a lost race, a failed action and a stranger who changed something are all repaired in the same way.
//!
//! In active-backup one port is elected. In balance-rr every usable port takes its turn: there is no active port, nothing
//! to fail back to, and nobody is asked for proof.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::choice::{Candidate, choose};
use crate::config::{BondConfig, Evidence, FailOverMac, Failback, Mode};
use crate::event::{
    ActionId, Cause, Event, Failover, LinkState, Notice, Observation, Offload, PortId, PortInfo,
};
use crate::goal::{Backoff, Goal};
use crate::link::Sense;
use crate::mac::MacAddr;
use crate::path::{self, Role, Verdict};
use crate::proof::{Owners, Proof};
use crate::table::{ForwardingTable, MAX_PORTS};
use crate::time::Instant;
use crate::wire::{self, Heard};

mod actions;
mod port;
mod snapshot;
mod timers;
mod wifi;

use actions::OneShot;
use port::Port;
pub use timers::Wakeup;

/// The machine of one bond.
#[derive(Debug)]
pub struct Machine {
    config: BondConfig,
    offload: Offload,
    ports: BTreeMap<PortId, Port>,
    /// The elected port, in a mode that has one.
    active: Option<PortId>,
    /// The port that someone asked for; counts until it fails or the primary comes back.
    manual: Option<PortId>,
    /// Has the machine seen what the driver had when it began?
    adopted: bool,
    /// Why the active port is not there any more, if that is not for its link.
    departed: Option<Departed>,
    table: Goal<ForwardingTable>,
    bond_mac: Goal<Option<MacAddr>>,
    /// Has the bond had a port, and so an address to keep?
    addressed: bool,
    carrier: Goal<bool>,
    /// The port that would be active, were it proven.
    candidate: Option<PortId>,
    /// The port that became active although nobody knew whether it is where the bond was: it makes way for one that is
    /// known to be.
    provisional: Option<PortId>,
    /// Who has answered on the active port, for which address, while another port was being asked.
    owners: Owners,
    /// When the next probes are due.
    next_probe: Instant,
    notification: Option<Notification>,
    /// How many notifications in a row have failed.
    notification_failures: u32,
    /// A failover that the driver has not carried out yet.
    failover: Option<PendingFailover>,
    last_failover: Option<Failover>,
    next_action: u64,
    one_shots: VecDeque<OneShot>,
    under_way: BTreeMap<ActionId, OneShot>,
    notices: VecDeque<Notice>,
}

/// An active port that left.
#[derive(Clone, Debug)]
struct Departed {
    name: String,
    cause: Cause,
    wireless: bool,
}

/// Peer notifications that are still to be sent.
#[derive(Clone, Copy, Debug)]
struct Notification {
    left: u8,
    at: Instant,
    /// The time from one to the next.
    every: Duration,
    /// Has the active port not changed, so that a driver which notifies by itself does not know of it?
    reminder: bool,
}

/// A failover that the driver has not carried out yet.
#[derive(Clone, Debug)]
struct PendingFailover {
    from: Option<PortId>,
    /// The name of `from`, which may be gone.
    name: Option<String>,
    to: Option<PortId>,
    cause: Cause,
    since: Instant,
}

/// What led to an election, as far as it is not to be seen in the ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Ordinary,
    Manual,
    Configuration,
}

impl Machine {
    /// A machine for a bond with these options, on a driver that does `offload` by itself.
    pub fn new(config: BondConfig, offload: Offload) -> Self {
        Self {
            config,
            offload,
            ports: BTreeMap::new(),
            active: None,
            manual: None,
            adopted: false,
            departed: None,
            table: Goal::reached(ForwardingTable::default(), Backoff::FAST),
            bond_mac: Goal::reached(None, Backoff::FAST),
            addressed: false,
            carrier: Goal::reached(false, Backoff::FAST),
            candidate: None,
            provisional: None,
            owners: Owners::default(),
            next_probe: Instant::EPOCH,
            notification: None,
            notification_failures: 0,
            failover: None,
            last_failover: None,
            next_action: 0,
            one_shots: VecDeque::new(),
            under_way: BTreeMap::new(),
            notices: VecDeque::new(),
        }
    }

    /// The options it works by.
    pub fn config(&self) -> &BondConfig {
        &self.config
    }

    /// Takes note of what happened. Drain the actions and the notices afterwards.
    pub fn handle(&mut self, now: Instant, event: Event) {
        let mut trigger = Trigger::Ordinary;
        match event {
            Event::PortAppeared { port, info } | Event::PortChanged { port, info } => {
                self.port_told(port, info);
            }
            Event::PortVanished { port } => self.port_vanished(port),
            Event::Carrier { port, up } => self.carrier_sensed(now, port, up),
            Event::Station { port, station } => self.station_told(now, port, station),
            Event::Rekeyed { port } => {
                if self.ports.contains_key(&port) {
                    self.remind_peers(now);
                }
            }
            Event::Resumed => self.resumed(now),
            Event::Frame { port, frame } => self.frame_heard(now, port, &frame),
            Event::Done { action, result } => self.action_done(now, action, result),
            Event::Switch { port } => {
                // One that cannot be used is not kept for later, and does not end what was asked for before.
                if self.ports.get(&port).is_some_and(Port::is_usable) && !self.is_held_back(port) {
                    self.manual = Some(port);
                    trigger = Trigger::Manual;
                }
            }
            Event::Configure(config) => {
                self.configure(now, *config);
                trigger = Trigger::Configuration;
            }
            Event::Observed(observation) => self.observed(now, &observation),
        }
        self.settle(now, trigger);
    }

    /// The time that [`Machine::poll_timeout`] named has come (or any other time: it does no harm).
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now, Trigger::Ordinary);
    }

    /// The next thing that the world should be told.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    // ---- events -------------------------------------------------------------------------------------------------

    /// An interface that appeared, or changed, is a port if its name says so: it may be renamed to one and from one.
    fn port_told(&mut self, id: PortId, info: PortInfo) {
        let wanted = self.config.preference(&info.name).is_some();
        if let Some(port) = self.ports.get_mut(&id) {
            // While it is attached, its interface may have another address than its own.
            let permanent_mac = port.info.permanent_mac;
            port.info = PortInfo { permanent_mac, ..info };
        } else if wanted {
            self.ports.insert(id, Port::new(info));
        }
    }

    fn port_vanished(&mut self, id: PortId) {
        let Some(port) = self.ports.remove(&id) else { return };
        self.depart(id, &port.info, Cause::PortVanished);
        self.forget_one_shots(id);
        self.notices.push_back(Notice::Detached { port: port.info.name });
    }

    fn carrier_sensed(&mut self, now: Instant, id: PortId, up: bool) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        port.sensed = true;
        if port.carrier != up {
            port.carrier = up;
            port.path.begin(now);
        }
    }

    fn frame_heard(&mut self, now: Instant, id: PortId, frame: &[u8]) {
        let ours = |mac: MacAddr| self.ports.values().any(|port| port.address() == mac);
        let Some(heard) = wire::hear(frame) else { return };
        let is_target = |address| path::targets(&self.config.probes).any(|target| target == address);
        let role = self.role(id);
        let (evidence, target) = match heard {
            Heard::Answer { from, .. } if is_target(from) => (Evidence::Target, Some(from)),
            // Our own question come back says nothing of the port that it was asked on.
            Heard::Question { asker, .. } if role == Role::Active && ours(asker) => return,
            // Asked on the active port and heard on another: the segment carries it here.
            Heard::Question { about, asker } if is_target(about) && ours(asker) => (Evidence::Target, None),
            Heard::Answer { .. } | Heard::Question { .. } => (Evidence::Probe, None),
        };
        let Some(port) = self.ports.get_mut(&id) else { return };
        port.path.hear(now, evidence, target, role, &self.config.probes);
        if let Heard::Answer { from, owner, to } = heard
            && now >= port.trusted_from
        {
            let ours = [port.address(), port.nobody()];
            if role == Role::Active {
                self.note_owner(from, owner);
            } else if let Some(asking) = port.proof.asking_mut()
                && asking.is_answered(from, to, ours)
            {
                asking.answered(from, owner);
            }
            self.judge_answers();
        }
    }

    fn configure(&mut self, now: Instant, config: BondConfig) {
        if config.probes != self.config.probes {
            self.next_probe = now;
            for port in self.ports.values_mut() {
                port.path.begin(now);
            }
        }
        if config.failback != self.config.failback || config.probes != self.config.probes {
            for port in self.ports.values_mut().filter(|port| port.proof.asking().is_some()) {
                port.proof = Proof::Missing;
            }
        }
        for port in self.ports.values_mut() {
            port.radio.configure(&self.config, &config);
            let elsewhere = matches!(port.proof, Proof::Other(_)) && config != self.config;
            if elsewhere || config.same_segment != self.config.same_segment {
                port.proof = Proof::Missing;
            }
        }
        self.config = config;
    }

    fn observed(&mut self, now: Instant, observation: &Observation) {
        if self.adopted {
            self.note_drift(observation);
        }
        if !self.offload.forwarding {
            self.table.observe(observation.table.clone());
        }
        self.carrier.observe(observation.carrier);
        self.bond_mac.observe(observation.bond_mac);
        for (id, port) in &mut self.ports {
            let attached = observation.attached.iter().find(|(attached, _)| attached == id);
            let before = port.is_attached();
            port.attached.observe(attached.is_some());
            if port.is_attached() && !before {
                port.path.begin(now);
            }
            if let Some((_, mac)) = attached {
                port.mac.observe(*mac);
            }
        }
        if !self.adopted {
            self.adopted = true;
            self.adopt(now, observation);
        }
    }

    /// An earlier daemon left a bond that forwards: everything stays as it is.
    fn adopt(&mut self, now: Instant, observation: &Observation) {
        if observation.bond_mac.is_some_and(MacAddr::is_station) && !observation.attached.is_empty() {
            self.addressed = true;
            self.bond_mac.want(observation.bond_mac);
        }
        // A machine that has come so far by itself has nothing to take over, nor has one that finds nothing in use.
        let in_use = observation.table.transmit.ports();
        if self.active.is_some() || in_use.is_empty() {
            return;
        }
        for id in in_use {
            if let Some(port) = self.ports.get_mut(id).filter(|port| port.is_attached()) {
                port.carrier |= !port.sensed;
                port.path.begin(now);
                self.active = observation.table.active();
            }
        }
        // Standbys as well: updelay begun anew would cost a bond with min-links its carrier.
        for port in self.ports.values_mut().filter(|port| port.is_attached() && port.carrier) {
            port.link.assume_up();
        }
    }

    fn note_drift(&mut self, observation: &Observation) {
        let attached = |id: &PortId| observation.attached.iter().any(|(attached, _)| attached == id);
        let mut drifted = |what: String| self.notices.push_back(Notice::Drift { what });
        for (id, port) in &self.ports {
            if port.attached.is_reached() && attached(id) != *port.attached.wanted() {
                drifted(format!("{} is not attached as it should be", port.info.name));
            }
        }
        if !self.offload.forwarding && self.table.is_reached() && observation.table != *self.table.wanted() {
            drifted("the forwarding table is not the one that was programmed".to_owned());
        }
        if !self.offload.macs && self.bond_mac.is_reached() && observation.bond_mac != *self.bond_mac.wanted()
        {
            drifted("the bond has another address than it should have".to_owned());
        }
    }

    // ---- the way from what is known to what is wanted ------------------------------------------------------------

    fn settle(&mut self, now: Instant, trigger: Trigger) {
        self.choose_members();
        // One that only waits for another network is still a port by its name.
        self.ports.retain(|_, port| self.config.preference(&port.info.name).is_some() || !port.has_left());
        self.tick(now);
        self.judge_paths(now);
        self.derive_links(now);
        self.pardon();
        if self.config.mode.has_active_port() {
            self.elect(now, trigger);
        } else {
            self.forget_election();
        }
        self.set_goals(now);
        self.finish_failover(now);
        self.notify_peers(now);
        self.announce_waiting();
    }

    /// Turns silence into verdicts, where probes are configured.
    fn judge_paths(&mut self, now: Instant) {
        if !self.config.probes.enabled() {
            return;
        }
        let with_path = self.ports.values().filter(|port| port.has_path()).count();
        for (id, port) in &mut self.ports {
            let role = if self.active == Some(*id) { Role::Active } else { Role::Standby };
            let over = port.path.deadline(role, &self.config.probes).is_some_and(|deadline| deadline <= now);
            if !over || !port.has_path() {
                continue;
            }
            match role {
                Role::Standby => port.path.condemn(Verdict::Quiet),
                // Nothing would be won by giving up the only port there is.
                Role::Active if with_path == 1 => port.path.begin(now),
                Role::Active => port.path.condemn(Verdict::Dead(now)),
            }
        }
        self.try_next_path(now);
    }

    /// When no path is alive, the ports with a carrier are tried in turn, those first that only kept quiet.
    fn try_next_path(&mut self, now: Instant) {
        let with_path = || self.ports.iter().filter(|(_, port)| port.has_path());
        if with_path().any(|(_, port)| port.path.verdict() == Verdict::Alive) {
            return;
        }
        let next = with_path().min_by_key(|(id, port)| {
            let died = match port.path.verdict() {
                Verdict::Alive | Verdict::Quiet => None,
                Verdict::Dead(since) => Some(since),
            };
            (died, self.config.preference(&port.info.name), **id)
        });
        if let Some(id) = next.map(|(id, _)| *id)
            && let Some(port) = self.ports.get_mut(&id)
        {
            port.path.begin(now);
        }
    }

    /// Derives link states from carrier, probes and delays.
    fn derive_links(&mut self, now: Instant) {
        let before: Vec<_> = self.ports.iter().map(|(id, port)| (*id, port.link.state())).collect();
        let spare: Vec<PortId> = self.spare_ports().collect();
        for (id, port) in &mut self.ports {
            if !port.is_attached() {
                port.link.leave();
                continue;
            }
            // Silence may pass, and mac80211 gives up an access point in time: nothing would be won by giving up the only
            // port there is.
            let in_use = self.active == Some(*id) || !self.config.mode.has_active_port();
            let alone = in_use && spare.iter().all(|spare| spare == id);
            port.link.sense(now, port.sense(&self.config, alone));
        }
        self.skip_updelay(now);
        for (id, state) in before {
            self.note_link(now, id, state);
        }
    }

    /// Ports that traffic could use instead of another, as far as their own senses say.
    fn spare_ports(&self) -> impl Iterator<Item = PortId> + '_ {
        let spare = |port: &Port| {
            let good = matches!(port.sense(&self.config, false), Sense::Good(_));
            port.is_attached() && !port.is_leaving() && good
        };
        self.ports.iter().filter(move |(_, port)| spare(port)).map(|(id, _)| *id)
    }

    /// When no port is usable, the best of those that wait for updelay need not wait any longer.
    fn skip_updelay(&mut self, now: Instant) {
        if self.ports.values().any(Port::is_usable) {
            return;
        }
        let waiting =
            |port: &Port| port.is_attached() && !port.is_leaving() && port.link.state() == LinkState::Back;
        let candidates = self.electable(|port| waiting(port) && port.refused_until.is_none());
        let best = choose(&candidates, self.active, self.manual, self.config.primary_reselect).active;
        if let Some(port) = best.and_then(|best| self.ports.get_mut(&best)) {
            port.link.sense(now, Sense::Good(Duration::ZERO));
        }
    }

    fn note_link(&mut self, now: Instant, id: PortId, before: LinkState) {
        let Some(port) = self.ports.get_mut(&id) else { return };
        let state = port.link.state();
        if state == before {
            return;
        }
        if state == LinkState::Down {
            port.proof = Proof::Missing;
        }
        let port = port.info.name.clone();
        // The primary comes back: that ends what was asked for by hand, as in the kernel.
        if state == LinkState::Up && self.config.is_primary(&port) && before != LinkState::Fail {
            self.manual = self.manual.filter(|manual| *manual == id);
        }
        self.notices.push_back(Notice::Link { port, state });
        if state != LinkState::Up {
            return;
        }
        // What is plugged in anew may be another network, or the one that was missing.
        for (_, port) in self.ports.iter_mut().filter(|(other, _)| **other != id) {
            port.radio.forget_other_segment();
        }
        // Where a link comes up, switches may forget what they know, and access points announce the station that
        // joined them: those who look for the shared address there are told where it is.
        if self.active.is_some_and(|active| active != id) {
            if self.ports.get(&id).is_some_and(|port| port.info.wireless) {
                self.remind_peers(now);
            } else {
                self.schedule_notification(now);
            }
        }
    }

    /// A port that the driver refused is better than none.
    fn pardon(&mut self) {
        if !self.ports.values().any(Port::is_usable) {
            self.ports.values_mut().for_each(|port| port.refused_until = None);
        }
    }

    /// Chooses the active port.
    fn elect(&mut self, now: Instant, trigger: Trigger) {
        let candidates = self.electable(Port::is_usable);
        let usable = |id: PortId| candidates.iter().any(|candidate| candidate.port == id);
        self.manual = self.manual.filter(|manual| usable(*manual));
        let choice = choose(&candidates, self.active, self.manual, self.config.primary_reselect);
        if choice.active != self.active {
            self.begin_failover(now, choice.active, trigger);
        }
        self.departed = None;
        if let Some(active) = self.active.filter(|active| self.ports[active].radio.has_strayed()) {
            // There is no other to go to, and the bond goes with it.
            self.moved_with(active);
        }
        // One that is held back is as wanted, and to be as ready.
        let usable = self.candidates(Port::is_usable);
        let wanted = choose(&usable, self.active, self.manual, self.config.primary_reselect).wanted;
        self.candidate = wanted.filter(|wanted| self.active != Some(*wanted));
        self.ask_for_proof(now);
    }

    /// In this mode nobody is elected.
    fn forget_election(&mut self) {
        self.active = None;
        self.manual = None;
        self.departed = None;
        self.candidate = None;
        self.provisional = None;
        self.failover = None;
        for port in self.ports.values_mut() {
            port.proof = Proof::Missing;
        }
    }

    /// The ports among which is chosen. One that may be in another network is better than none.
    fn electable(&self, filter: impl Fn(&Port) -> bool) -> Vec<Candidate> {
        let mut candidates = self.candidates(filter);
        if candidates.iter().any(|candidate| !self.is_held_back(candidate.port)) {
            candidates.retain(|candidate| !self.is_held_back(candidate.port));
        }
        candidates
    }

    fn candidates(&self, filter: impl Fn(&Port) -> bool) -> Vec<Candidate> {
        let needs_proof = matches!(self.config.failback, Failback::Proven { .. });
        let ports = self.ports.iter().filter(|(_, port)| filter(port));
        ports.map(|(id, port)| port.candidate(*id, &self.config, needs_proof)).collect()
    }

    fn begin_failover(&mut self, now: Instant, to: Option<PortId>, trigger: Trigger) {
        let cause = self.cause(to, trigger);
        // While it is known still which port has left.
        match to {
            Some(to) if !self.stays_with(to) => {
                self.provisional = self.active.is_some().then_some(to);
                self.moved_with(to);
            }
            Some(_) => self.provisional = None,
            None => self.owners.clear(),
        }
        let departed = self.departed.take().map(|departed| departed.name);
        let name = departed.or_else(|| self.name(self.active));
        let from = self.active;
        // One that the driver has not carried out yet goes on with another end: it began where traffic still is.
        let begun =
            self.failover.take().unwrap_or(PendingFailover { from, name, to: None, cause, since: now });
        self.failover = Some(PendingFailover { to, ..begun });
        self.active = to;
        if let Some(port) = to.and_then(|to| self.ports.get_mut(&to)) {
            port.radio.stray(false);
            // It is not compared with itself.
            if matches!(port.proof, Proof::Other(_)) {
                port.proof = Proof::Missing;
            }
        }
        self.notification = None;
        for id in [from, to].into_iter().flatten() {
            if let Some(port) = self.ports.get_mut(&id)
                && port.path.verdict() == Verdict::Alive
            {
                port.path.begin(now);
            }
        }
    }

    fn cause(&self, to: Option<PortId>, trigger: Trigger) -> Cause {
        if let Some(departed) = &self.departed {
            return departed.cause;
        }
        let Some(from) = self.active else { return Cause::FirstPort };
        let is_strong = |id: Option<PortId>| {
            id.and_then(|id| self.ports.get(&id)).is_some_and(|port| !port.radio.is_weak())
        };
        match self.ports.get(&from) {
            None => Cause::PortVanished,
            Some(port) if !port.radio.is_welcome(&self.config) || port.radio.has_strayed() => {
                Cause::OtherNetwork
            }
            Some(port) if port.is_leaving() || !port.is_attached() => Cause::PortRemoved,
            Some(port) if !port.link.state().is_usable() => port.cause_of_failure(),
            Some(port) if port.refused_until.is_some() => Cause::PortRefused,
            Some(port) if port.radio.is_weak() && trigger == Trigger::Ordinary && is_strong(to) => {
                Cause::SignalLow
            }
            Some(_) if trigger == Trigger::Manual && to == self.manual => Cause::Manual,
            Some(_) if trigger == Trigger::Configuration => Cause::Configuration,
            Some(_) => Cause::BetterPort,
        }
    }

    /// The candidate for failback is asked for proof, and who may be in another network; nobody else.
    fn ask_for_proof(&mut self, now: Instant) {
        let targets: Vec<_> = path::targets(&self.config.probes).collect();
        let asked = |id: PortId, port: &Port| {
            Some(id) == self.candidate || (port.is_usable() && self.is_doubtful(id))
        };
        let asked: Vec<PortId> =
            self.ports.iter().filter(|(id, port)| asked(**id, port)).map(|(id, _)| *id).collect();
        // Answers are compared with those of now, not of an hour ago.
        if self.ports.values().all(|port| port.proof.asking().is_none()) {
            self.owners.clear();
        }
        for (id, port) in &mut self.ports {
            match port.proof {
                Proof::Asking(_) if !asked.contains(id) => port.proof = Proof::Missing,
                Proof::Missing if asked.contains(id) => {
                    port.proof = Proof::begin(now.max(port.trusted_from), targets.clone());
                }
                Proof::Missing | Proof::Asking(_) | Proof::Given | Proof::Same | Proof::Other(_) => {}
            }
        }
    }

    /// Says what is to be, given what was elected.
    fn set_goals(&mut self, now: Instant) {
        self.want_addresses();
        self.want_table(now);
        let usable = self.ports.values().filter(|port| port.is_usable()).count();
        let needed = usize::try_from(self.config.min_links).unwrap_or(usize::MAX).max(1);
        self.carrier.want(usable >= needed);
        let probing = self.config.probes.enabled();
        let comparing =
            self.ports.iter().any(|(id, port)| port.proof.asking().is_some() && self.is_doubtful(*id));
        for (id, port) in &mut self.ports {
            let role = if self.active == Some(*id) { Role::Active } else { Role::Standby };
            let listening = probing && role.evidence(&self.config.probes) > Evidence::Any;
            let ours = port.is_attached() && !port.is_leaving();
            let asked = port.proof.asking().is_some() || (comparing && role == Role::Active);
            port.listening.want(ours && (listening || asked));
            let in_use = role == Role::Active || !self.config.mode.has_active_port();
            let awake = in_use || Some(*id) == self.candidate;
            port.power_save.want(!(ours && awake));
        }
    }

    /// Which ports frames leave and come in by.
    fn want_table(&mut self, now: Instant) {
        let ports: Vec<PortId> = self.ports_of_the_table().collect();
        match self.config.mode {
            Mode::ActiveBackup => self.table.want(ForwardingTable::active_backup(self.active, ports)),
            Mode::BalanceRr => {
                let usable = ports.iter().copied().filter(|id| self.ports[id].is_usable());
                let table = ForwardingTable::balance_rr(usable, ports.iter().copied());
                let same = table.transmit == self.table.wanted().transmit;
                self.table.want(table);
                // What was sent to a port that is gone goes on being sent there until switches hear better.
                if !same {
                    self.schedule_notification(now);
                }
            }
        }
        if self.offload.forwarding {
            self.table.observe(self.table.wanted().clone());
        }
    }

    /// The attached ports; where there are more than a table can name, those that are wanted most.
    fn ports_of_the_table(&self) -> impl Iterator<Item = PortId> + use<> {
        let attached = self.ports.iter().filter(|(_, port)| port.is_attached() && !port.is_leaving());
        let mut ports: Vec<PortId> = attached.map(|(id, _)| *id).collect();
        if ports.len() > MAX_PORTS {
            ports.sort_by_key(|id| {
                let preference = self.ports.get(id).and_then(|port| self.config.preference(&port.info.name));
                (self.active != Some(*id), preference, *id)
            });
        }
        ports.into_iter().take(MAX_PORTS)
    }

    /// Who has which address (`fail-over-mac`).
    fn want_addresses(&mut self) {
        let Some(bond) = self.bond_address() else { return };
        self.bond_mac.want(Some(bond));
        let (active, policy) = (self.active, self.fail_over_mac());
        let active_mac = active.and_then(|id| self.ports.get(&id)).map(|port| port.info.permanent_mac);
        for (id, port) in &mut self.ports {
            let permanent = port.info.permanent_mac;
            port.mac.want(match policy {
                FailOverMac::None => bond,
                FailOverMac::Active => permanent,
                FailOverMac::Follow if active == Some(*id) => bond,
                // The port that the bond has its address from takes that of the port that uses it now.
                FailOverMac::Follow if permanent == bond => active_mac.unwrap_or(permanent),
                FailOverMac::Follow => permanent,
            });
        }
    }

    /// The bond's address: that of the active port, or the one that is configured, or the one it has had since it had a port,
    /// or that of the port which is preferred.
    fn bond_address(&self) -> Option<MacAddr> {
        let active = self.active.and_then(|id| self.ports.get(&id)).map(|port| port.info.permanent_mac);
        if self.fail_over_mac() == FailOverMac::Active && active.is_some() {
            return active;
        }
        if self.config.mac.is_some() {
            return self.config.mac;
        }
        if self.addressed && self.bond_mac.wanted().is_some() {
            return *self.bond_mac.wanted();
        }
        // Not that of a port which cannot be had: it may be in use elsewhere.
        let ports = self.ports.iter().filter(|(_, port)| !port.is_leaving());
        let preferred = ports.min_by_key(|(id, port)| {
            (port.attach_failure.is_some(), self.config.preference(&port.info.name), **id)
        });
        preferred.map(|(_, port)| port.info.permanent_mac).or(*self.bond_mac.wanted())
    }

    fn announce_waiting(&mut self) {
        let mut waiting: BTreeMap<_, _> = self.ports.keys().map(|id| (*id, self.waiting(*id))).collect();
        for (id, port) in &mut self.ports {
            let waiting = waiting.remove(id).flatten();
            if port.announced != waiting {
                port.announced.clone_from(&waiting);
                self.notices.push_back(Notice::Waiting { port: port.info.name.clone(), waiting });
            }
        }
    }

    // ---- small things --------------------------------------------------------------------------------------------

    fn name(&self, port: Option<PortId>) -> Option<String> {
        port.and_then(|id| self.ports.get(&id)).map(|port| port.info.name.clone())
    }

    /// Where all ports are in use, what is for the bond comes in on any of them.
    fn fail_over_mac(&self) -> FailOverMac {
        if self.config.mode.has_active_port() { self.config.fail_over_mac } else { FailOverMac::None }
    }

    /// The port by which the bond speaks for itself.
    fn speaker(&self) -> Option<PortId> {
        self.active.or_else(|| self.table.wanted().transmit.ports().first().copied())
    }

    fn role(&self, id: PortId) -> Role {
        if self.active == Some(id) { Role::Active } else { Role::Standby }
    }

    fn depart(&mut self, id: PortId, info: &PortInfo, cause: Cause) {
        if self.active == Some(id) {
            self.departed = Some(Departed { name: info.name.clone(), cause, wireless: info.wireless });
        }
        self.manual = self.manual.filter(|manual| *manual != id);
    }
}
