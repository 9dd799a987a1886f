//! Everything that the machine does because time has passed.

use std::time::Duration;

use super::{Machine, Notification};
use crate::config::{Evidence, Failback};
use crate::event::PortId;
use crate::goal::Backoff;
use crate::machine::actions::OneShot;
use crate::machine::port::Port;
use crate::path::{self, Role};
use crate::proof::{Asker, Proof, Question};
use crate::time::Instant;
use crate::wire;

/// How often peers are told that nothing has changed, where somebody may have told them otherwise, and the time between:
/// an access point announces a station some time after that has joined, and nobody says when.
const REMINDERS: u8 = 3;
const REMINDER_INTERVAL: Duration = Duration::from_millis(300);

/// The least time between two peer notifications.
const LEAST_NOTIFICATION_DELAY: Duration = Duration::from_millis(1);

/// Why the machine wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wakeup {
    /// A port's updelay or downdelay is over.
    LinkDelay,
    /// An action that failed is to be tried again.
    Retry,
    /// A port that the driver refused gets another chance.
    SecondChance,
    /// Probes are due.
    Probe,
    /// A port has been silent for too long.
    Silence,
    /// A port is to be asked for proof again.
    Proof,
    /// A port need not wait for proof any longer.
    FailbackTimeout,
    /// Peers are to be notified again.
    PeerNotification,
}

impl Machine {
    /// When to call [`Machine::handle_timeout`] if nothing happens before, and why; `None`: never.
    pub fn poll_timeout(&self) -> Option<(Instant, Wakeup)> {
        let ports = self.ports.keys().flat_map(|id| self.port_timers(*id));
        let bond = [
            (self.table.retry_at(), Wakeup::Retry),
            (self.bond_mac.retry_at().filter(|_| !self.offload.macs), Wakeup::Retry),
            (self.carrier.retry_at().filter(|_| !self.offload.carrier), Wakeup::Retry),
            (self.probe_at(), Wakeup::Probe),
            (self.notification_at(), Wakeup::PeerNotification),
        ];
        bond.into_iter().chain(ports).filter_map(|(at, why)| Some((at?, why))).min()
    }

    fn port_timers(&self, id: PortId) -> [(Option<Instant>, Wakeup); 9] {
        let port = &self.ports[&id];
        let silence = port.path.deadline(self.role(id), &self.config.probes);
        let asking = port.proof.asking().filter(|_| port.listening.present() == Some(&true));
        [
            (port.link.until(), Wakeup::LinkDelay),
            (port.attached.retry_at(), Wakeup::Retry),
            (port.mac.retry_at().filter(|_| port.is_attached()), Wakeup::Retry),
            (port.listening.retry_at(), Wakeup::Retry),
            (port.power_save.retry_at(), Wakeup::Retry),
            (port.refused_until, Wakeup::SecondChance),
            (silence.filter(|_| self.config.probes.enabled() && port.has_path()), Wakeup::Silence),
            (asking.map(|asking| asking.next), Wakeup::Proof),
            (self.failback_timeout(id), Wakeup::FailbackTimeout),
        ]
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        self.table.tick(now);
        self.bond_mac.tick(now);
        self.carrier.tick(now);
        for port in self.ports.values_mut() {
            port.attached.tick(now);
            port.mac.tick(now);
            port.listening.tick(now);
            port.power_save.tick(now);
            port.refused_until = port.refused_until.filter(|until| now < *until);
        }
        self.probe(now);
        self.pursue_proofs(now);
    }

    // ---- probes --------------------------------------------------------------------------------------------------

    fn probe_at(&self) -> Option<Instant> {
        (self.config.probes.enabled() && self.ports.values().any(|port| port.has_path()))
            .then_some(self.next_probe)
    }

    /// Asks the targets through the active port, and only there: a frame on a standby would teach switches the wrong way.
    fn probe(&mut self, now: Instant) {
        if self.probe_at().is_none_or(|at| now < at) {
            return;
        }
        self.next_probe = now + self.config.probes.interval;
        for (id, port) in self.ports.iter().filter(|(_, port)| port.has_path()) {
            let role = if self.active == Some(*id) { Role::Active } else { Role::Standby };
            if role == Role::Active {
                self.one_shots.extend(path::targets(&self.config.probes).map(|target| OneShot::Send {
                    port: *id,
                    frame: wire::probe(port.address(), port.address(), target),
                }));
            }
            if role.evidence(&self.config.probes) == Evidence::Any {
                self.one_shots.push_back(OneShot::CountReceived { port: *id });
            }
        }
    }

    // ---- proof ---------------------------------------------------------------------------------------------------

    fn failback_timeout(&self, id: PortId) -> Option<Instant> {
        let Failback::Proven { timeout } = self.config.failback else { return None };
        // Waiting does not make one network of two. Where a cable leads, its owner is taken at his word.
        let port = &self.ports[&id];
        if self.is_doubtful(id) && port.info.wireless {
            return None;
        }
        Some(port.proof.asking()?.since + timeout?)
    }

    fn pursue_proofs(&mut self, now: Instant) {
        let over: Vec<PortId> = self
            .ports
            .keys()
            .copied()
            .filter(|id| self.failback_timeout(*id).is_some_and(|at| at <= now))
            .collect();
        let active = self.active.and_then(|active| self.ports.get(&active));
        let active_mac = active.map(Port::address);
        let heard_there = active.is_some_and(|active| active.listening.present() == Some(&true));
        let doubtful: Vec<PortId> = self.ports.keys().copied().filter(|id| self.is_doubtful(*id)).collect();
        for (id, port) in &mut self.ports {
            if over.contains(id) {
                port.proof = Proof::Given;
            }
            let listening = port.listening.present() == Some(&true);
            let (own, nobody) = (port.address(), port.nobody());
            let Some(asking) = port.proof.asking_mut().filter(|asking| listening && asking.next <= now)
            else {
                continue;
            };
            if asking.needs_targets() && path::targets(&self.config.probes).next().is_none() {
                self.one_shots.push_back(OneShot::FindTargets { port: *id });
                asking.looking = true;
            }
            let asker = match port.info.wireless {
                // By what it has, and not by fail-over-mac: with `follow`, too, a candidate has an address of its own,
                // and a lesson on the active port would teach switches a wrong way to it.
                _ if active_mac != Some(own) => Asker::Own,
                true => Asker::Wireless,
                false => Asker::Wired,
            };
            let wanted = self.candidate == Some(*id);
            let Some(question) = asking.ask(now, asker, wanted) else { continue };
            let answer_to = match question {
                Question::Plain => own,
                Question::Flooded => nobody,
            };
            let questions = asking.targets.iter().map(|target| wire::probe(own, answer_to, *target));
            self.one_shots.extend(questions.map(|frame| OneShot::Send { port: *id, frame }));
            let (Some(active), Some(active_mac)) = (self.active, active_mac) else { continue };
            let mut send = |frame| self.one_shots.push_back(OneShot::Send { port: active, frame });
            // The same question on the active port teaches as much as a lesson, and shows who answers there.
            if doubtful.contains(id) && heard_there && (question == Question::Flooded || asker == Asker::Own)
            {
                asking.targets.iter().for_each(|target| send(wire::probe(active_mac, active_mac, *target)));
                asking.asked_there();
            } else if question == Question::Flooded {
                // Everything but the answer is to go to the active port, as before.
                send(wire::lesson(own));
            }
        }
    }

    // ---- peer notification ---------------------------------------------------------------------------------------

    /// What the bond's frames leave by has changed: peers are told from now on, as soon as the driver has carried it out.
    pub(super) fn schedule_notification(&mut self, now: Instant) {
        let left = self.config.num_peer_notif;
        let every = self.notification_delay();
        self.notification_failures = 0;
        let reminder = self.notification.filter(|notification| notification.reminder);
        self.notification = match reminder.filter(|_| self.speaker().is_some()) {
            _ if left == 0 => None,
            // What peers are reminded of does not end because there is news.
            Some(reminder) => {
                let left = reminder.left.max(left);
                Some(Notification { left, at: now, every: reminder.every.max(every), reminder: true })
            }
            None if self.offload.notifications || self.speaker().is_none() => None,
            None => Some(Notification { left, at: now, every, reminder: false }),
        };
    }

    /// Somebody else may have told switches and peers that the bond's address is elsewhere.
    pub(super) fn remind_peers(&mut self, now: Instant) {
        if self.active.is_some() && self.config.num_peer_notif > 0 {
            let left = self.notification.map_or(0, |notification| notification.left).max(REMINDERS);
            self.notification =
                Some(Notification { left, at: now, every: REMINDER_INTERVAL, reminder: true });
        }
    }

    /// One notification failed: it does not count. The next one waits the longer, the more have failed.
    pub(super) fn notify_again(&mut self, now: Instant, port: PortId) {
        if self.speaker() == Some(port) {
            let last = self.notification;
            let left = last.map_or(1, |notification| notification.left.saturating_add(1));
            let reminder = last.is_some_and(|notification| notification.reminder);
            self.notification_failures = self.notification_failures.saturating_add(1);
            let wait = Backoff::FAST.after(self.notification_failures).max(self.notification_delay());
            let every = last.map_or(self.notification_delay(), |notification| notification.every);
            self.notification = Some(Notification { left, at: now + wait, every, reminder });
        }
    }

    /// Peers are told only what is true already: not before the bond has its address.
    fn notification_at(&self) -> Option<Instant> {
        let settled = self.table.is_reached() && (self.offload.macs || self.bond_mac.is_reached());
        self.notification.filter(|_| settled).map(|notification| notification.at)
    }

    pub(super) fn notify_peers(&mut self, now: Instant) {
        let Some(speaker) = self.speaker() else {
            // Nothing can be said, and there is nothing to be said any more.
            self.notification = None;
            return;
        };
        let Some(notification) = self.notification else { return };
        if self.notification_at().is_none_or(|at| now < at) {
            return;
        }
        self.one_shots.push_back(OneShot::NotifyPeers { port: speaker });
        let left = notification.left.saturating_sub(1);
        self.notification =
            (left > 0).then(|| Notification { left, at: now + notification.every, ..notification });
    }

    fn notification_delay(&self) -> Duration {
        let delay = self.config.peer_notif_delay;
        let delay = if delay.is_zero() { self.config.miimon } else { delay };
        delay.max(LEAST_NOTIFICATION_DELAY)
    }
}
