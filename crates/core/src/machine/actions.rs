//! From what is wanted and not there to actions, and from their results back to what is there.
//!
//! The order of [`Machine::poll_action`] is the order of importance: first what traffic waits for.

use super::{Machine, PendingFailover, Port};
use crate::event::{Action, ActionId, Cause, Failover, Failure, Notice, Outcome, PortId, PortInfo};
use crate::goal::Goal;
use crate::path::Role;
use crate::table::ForwardingTable;
use crate::time::Instant;

/// The driver may fail so often in a row to use a port before another one gets a chance.
const PATIENCE: u32 = 3;

/// How long a port that the driver would not use stays out of the election.
const REFUSED: std::time::Duration = std::time::Duration::from_secs(5);

/// An action that is not a goal: repeated by a timer of its own, so one that fails is made up for by the next.
#[derive(Clone, Debug)]
pub(super) enum OneShot {
    Send { port: PortId, frame: Vec<u8> },
    CountReceived { port: PortId },
    FindTargets { port: PortId },
    NotifyPeers { port: PortId },
}

impl OneShot {
    fn port(&self) -> PortId {
        match self {
            Self::Send { port, .. }
            | Self::CountReceived { port }
            | Self::FindTargets { port }
            | Self::NotifyPeers { port } => *port,
        }
    }

    fn action(&self) -> Action {
        match self {
            Self::Send { port, frame } => Action::Send { port: *port, frame: frame.clone() },
            Self::CountReceived { port } => Action::CountReceived { port: *port },
            Self::FindTargets { .. } => Action::FindTargets,
            Self::NotifyPeers { port } => Action::NotifyPeers { port: *port },
        }
    }
}

impl Machine {
    /// The next thing to do, and the name to answer by. Call it until it returns `None`.
    pub fn poll_action(&mut self, now: Instant) -> Option<(ActionId, Action)> {
        let action = ActionId(self.next_action);
        let what = self
            .start_bond(now, action)
            .or_else(|| self.start_port(now, action))
            .or_else(|| self.start_one_shot(action))?;
        self.next_action += 1;
        Some((action, what))
    }

    fn start_bond(&mut self, now: Instant, id: ActionId) -> Option<Action> {
        if let Some(table) = self.table.due(now).cloned() {
            self.table.begin(id);
            return Some(Action::Program(table));
        }
        if !self.offload.macs
            && let Some(mac) = self.bond_mac.due(now).copied().flatten()
        {
            self.bond_mac.begin(id);
            return Some(Action::SetBondMac(mac));
        }
        if !self.offload.carrier
            && let Some(up) = self.carrier.due(now).copied()
        {
            self.carrier.begin(id);
            return Some(Action::SetCarrier(up));
        }
        None
    }

    fn start_port(&mut self, now: Instant, id: ActionId) -> Option<Action> {
        let addressed = self.offload.macs || self.bond_mac.is_reached();
        let mut ports: Vec<PortId> = self.ports.keys().copied().collect();
        // In order of preference, so that the bond is up by the port that it wants most.
        ports.sort_by_key(|port| (self.config.preference(&self.ports[port].info.name), *port));
        ports.into_iter().find_map(|port| self.start_one_port(now, id, port, addressed))
    }

    fn start_one_port(&mut self, now: Instant, id: ActionId, at: PortId, addressed: bool) -> Option<Action> {
        let in_table = match self.table.present() {
            Some(table) => table.ports.iter().any(|entry| entry.port == at),
            None => true,
        };
        let port = self.ports.get_mut(&at)?;
        // What is under way on the port ends first, whichever of the two would be faster.
        let busy = port.mac.is_busy() || port.listening.is_busy();
        match port.attached.due(now).filter(|_| !busy) {
            Some(true) if addressed => {
                port.attached.begin(id);
                port.mac.begin(id);
                let mac = (!self.offload.macs).then_some(*port.mac.wanted());
                return Some(Action::Attach { port: at, mac });
            }
            // Nothing may send by a port that is being given back, and nobody listens there any more.
            Some(false) if !in_table && port.listening.present() != Some(&true) => {
                port.attached.begin(id);
                return Some(Action::Detach { port: at });
            }
            Some(_) | None => {}
        }
        if port.attached.is_busy() {
            return None;
        }
        if !self.offload.macs
            && port.is_attached()
            && let Some(mac) = port.mac.due(now).copied()
        {
            port.mac.begin(id);
            return Some(Action::SetPortMac { port: at, mac });
        }
        if let Some(on) = port.listening.due(now).copied() {
            port.listening.begin(id);
            return Some(Action::Listen { port: at, on, also: port.nobody() });
        }
        // Of a station that nobody tells of, nobody could change that either.
        let on = *port.power_save.due(now).filter(|_| port.radio.station().is_some())?;
        port.power_save.begin(id);
        Some(Action::SetPowerSave { port: at, on })
    }

    fn start_one_shot(&mut self, id: ActionId) -> Option<Action> {
        let one_shot = self.one_shots.pop_front()?;
        let action = one_shot.action();
        self.under_way.insert(id, one_shot);
        Some(action)
    }

    /// What was to be done on a port that is gone need not be done.
    pub(super) fn forget_one_shots(&mut self, port: PortId) {
        self.one_shots.retain(|one_shot| one_shot.port() != port);
    }

    // ---- results -------------------------------------------------------------------------------------------------

    pub(super) fn action_done(&mut self, now: Instant, id: ActionId, result: Result<Outcome, Failure>) {
        if let Some(one_shot) = self.under_way.remove(&id) {
            return self.one_shot_done(now, &one_shot, result);
        }
        if self.table.is_under_way(id) {
            return self.table_done(now, result);
        }
        if self.bond_mac.is_under_way(id) {
            return match result {
                Ok(_) => drop(self.bond_mac.succeed()),
                Err(failure) => {
                    self.bond_mac.fail(now);
                    self.retry("setting the bond's address", failure);
                }
            };
        }
        if self.carrier.is_under_way(id) {
            return match result {
                Ok(_) => {
                    if let Some(up) = self.carrier.succeed() {
                        self.notices.push_back(Notice::Carrier { up });
                    }
                }
                Err(failure) => {
                    self.carrier.fail(now);
                    self.retry("setting the bond's carrier", failure);
                }
            };
        }
        self.port_action_done(now, id, result);
    }

    fn table_done(&mut self, now: Instant, result: Result<Outcome, Failure>) {
        match result {
            Ok(_) => drop(self.table.succeed()),
            Err(failure) => {
                let failures = self.table.fail(now);
                self.retry("programming the forwarding table", failure);
                self.give_way(now, failures);
            }
        }
    }

    /// A port that the driver will not use makes way for another, if there is one.
    fn give_way(&mut self, now: Instant, failures: u32) {
        let others = self.ports.iter().any(|(id, port)| Some(*id) != self.active && port.is_usable());
        if failures >= PATIENCE
            && others
            && let Some(port) = self.active.and_then(|active| self.ports.get_mut(&active))
        {
            port.refused_until = Some(now + REFUSED);
        }
    }

    /// A failover is over when what is in force is what was elected, however that came about.
    pub(super) fn finish_failover(&mut self, now: Instant) {
        let in_force = self.table.present().filter(|_| !self.table.is_busy()).map(ForwardingTable::active);
        if in_force != Some(self.active) {
            return;
        }
        let Some(PendingFailover { from, name, to, cause, since }) = self.failover.take() else { return };
        // There and back again is none, but peers may have seen a frame from elsewhere.
        if from != to {
            let failover = Failover { from: name, to: self.name(to), cause, took: now - since };
            self.notices.push_back(Notice::Failover(failover.clone()));
            self.last_failover = Some(failover);
        }
        self.schedule_notification(now);
    }

    fn port_action_done(&mut self, now: Instant, id: ActionId, result: Result<Outcome, Failure>) {
        let Some(at) = self.ports.iter().find_map(|(at, port)| {
            let busy = port.attached.is_under_way(id)
                || port.mac.is_under_way(id)
                || port.listening.is_under_way(id)
                || port.power_save.is_under_way(id);
            busy.then_some(*at)
        }) else {
            return; // The port vanished meanwhile.
        };
        let Some(port) = self.ports.get_mut(&at) else { return };
        let name = port.info.name.clone();
        if port.attached.is_under_way(id) {
            return self.attachment_done(now, id, at, result);
        }
        if port.mac.is_under_way(id) {
            self.settle_goal(
                now,
                at,
                |port| &mut port.mac,
                &format!("setting the address of {name}"),
                result,
            );
        } else if port.listening.is_under_way(id) {
            self.settle_goal(now, at, |port| &mut port.listening, &format!("listening on {name}"), result);
        } else {
            let what = format!("changing the power saving of {name}");
            self.settle_goal(now, at, |port| &mut port.power_save, &what, result);
        }
    }

    /// Takes note of the result of an action for one goal of a port.
    fn settle_goal<T: Clone + PartialEq>(
        &mut self,
        now: Instant,
        at: PortId,
        goal: impl FnOnce(&mut Port) -> &mut Goal<T>,
        what: &str,
        result: Result<Outcome, Failure>,
    ) {
        let Some(goal) = self.ports.get_mut(&at).map(goal) else { return };
        match result {
            Ok(_) => drop(goal.succeed()),
            Err(failure) => {
                goal.fail(now);
                self.retry(what, failure);
            }
        }
    }

    fn attachment_done(&mut self, now: Instant, id: ActionId, at: PortId, result: Result<Outcome, Failure>) {
        let Some(port) = self.ports.get_mut(&at) else { return };
        let name = port.info.name.clone();
        match result {
            Ok(_) => match port.attached.succeed() {
                Some(true) => {
                    port.attach_failure = None;
                    port.path.begin(now);
                    port.mac.succeed();
                    self.addressed = true;
                    self.notices.push_back(Notice::Attached { port: name });
                }
                Some(false) | None => {
                    // What is not a port is not listened on either.
                    port.listening.observe(false);
                    // It was given back as it was found.
                    port.power_save.observe(true);
                    let info = port.info.clone();
                    self.detached(at, info);
                }
            },
            Err(failure) => {
                port.attached.fail(now);
                if port.mac.is_under_way(id) {
                    port.mac.fail(now);
                }
                // What a port waits for is announced, and says why.
                if *port.attached.wanted() {
                    port.attach_failure = Some(failure);
                } else {
                    self.retry(&format!("giving back {name}"), failure);
                }
            }
        }
    }

    fn detached(&mut self, at: PortId, info: PortInfo) {
        self.depart(at, &info, Cause::PortRemoved);
        self.forget_one_shots(at);
        self.notices.push_back(Notice::Detached { port: info.name });
    }

    fn one_shot_done(&mut self, now: Instant, one_shot: &OneShot, result: Result<Outcome, Failure>) {
        let role = if self.active == Some(one_shot.port()) { Role::Active } else { Role::Standby };
        let port = self.ports.get_mut(&one_shot.port());
        match (one_shot, result, port) {
            (OneShot::CountReceived { .. }, Ok(Outcome::Received(count)), Some(port)) => {
                port.path.count(now, count, role, &self.config.probes);
            }
            (OneShot::FindTargets { .. }, result, Some(port)) => {
                let Some(asking) = port.proof.asking_mut() else { return };
                asking.looking = false;
                asking.looked = true;
                match result {
                    Ok(Outcome::Targets(targets)) if !targets.is_empty() => asking.found(now, targets),
                    Ok(_) => {}
                    Err(failure) => self.retry("looking for someone to prove a path with", failure),
                }
            }
            (OneShot::NotifyPeers { .. }, Ok(_), _) => self.notification_failures = 0,
            (OneShot::NotifyPeers { port }, Err(failure), _) => {
                self.retry("notifying peers", failure);
                self.notify_again(now, *port);
            }
            // A frame that could not be sent is missed by the probe that it was, which is how the machine learns of it.
            (OneShot::Send { .. } | OneShot::CountReceived { .. }, _, _)
            | (OneShot::FindTargets { .. }, _, None) => {}
        }
    }

    fn retry(&mut self, what: &str, failure: Failure) {
        self.notices.push_back(Notice::Retry { what: what.to_owned(), failure });
    }
}
