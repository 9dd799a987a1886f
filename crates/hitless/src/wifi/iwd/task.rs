//! The loop of a station that iwd looks after: finds iwd, stays with it while it is there, and waits for it to come back.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Setup;
use super::fault::IwdFault;
use super::quirks::{self, Quirk, quirks};
use super::session::{Heard, Session};
use super::visit::{End, Visit};
use super::wishes::Wishes;
use crate::causes::chain;
use crate::wifi::network::WifiConfig;
use crate::wifi::station::{Command, Fault, Report, StationError, StationState, What};
use crate::wifi::supplicant::backoff::Backoff;

/// The task.
pub(super) struct Task {
    pub(super) setup: Setup,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) wishes: Wishes,
    reports: mpsc::UnboundedSender<Report>,
    state: StationState,
    /// What the user was told of iwd's configuration.
    told: Vec<Quirk>,
    /// The interface's number when it was last seen.
    index: Option<u32>,
}

impl Task {
    pub(super) fn new(
        setup: Setup,
        reports: mpsc::UnboundedSender<Report>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let wishes = Wishes::new(setup.config.networks.clone());
        let index = index_of(&setup.interface);
        Self { setup, commands, wishes, reports, state: StationState::Starting, told: Vec::new(), index }
    }

    /// Until the station is released, or nobody has a handle on it.
    pub(super) async fn run(mut self) {
        self.report(What::State(StationState::Starting));
        let mut backoff = Backoff::default();
        loop {
            let bus = self.setup.bus.clone();
            match self.meanwhile(Session::open(&bus)).await {
                Some(Ok(session)) => {
                    backoff = Backoff::default();
                    if self.stay(session).await.is_none() {
                        return;
                    }
                }
                Some(Err(error)) => self.tell(IwdFault::NoBus { problem: chain(&error) }.into()),
                None => return,
            }
            if self.meanwhile(sleep(backoff.next())).await.is_none() {
                return;
            }
        }
    }

    /// As long as the bus is there. `None` when the station is over.
    async fn stay(&mut self, mut session: Session) -> Option<()> {
        loop {
            if !session.has_iwd() {
                self.tell(IwdFault::NotRunning.into());
                match self.meanwhile(session.next()).await? {
                    Heard::Over => return Some(()),
                    Heard::Owner
                    | Heard::Added(..)
                    | Heard::Removed(..)
                    | Heard::Changed(..)
                    | Heard::Asked(_) => continue,
                }
            }
            self.look_at_configuration();
            match Visit::begin(self, &mut session).await {
                Ok(visit) => match visit.run().await {
                    End::IwdGone => {}
                    End::BusGone => return Some(()),
                    End::Released => return None,
                },
                Err(error) => {
                    tracing::debug!(%error, "iwd does not answer");
                    self.tell(IwdFault::Refused { problem: error.to_string() }.into());
                    self.meanwhile(sleep(AGAIN)).await?;
                }
            }
        }
    }

    /// Waits for something, and says in the meantime that nothing can be done. `None` when the station is over.
    async fn meanwhile<T>(&mut self, something: impl Future<Output = T>) -> Option<T> {
        let mut something = pin!(something);
        loop {
            let command = tokio::select! {
                value = &mut something => return Some(value),
                command = self.commands.recv() => command?,
            };
            match command {
                Command::Configure(config, reply) => {
                    self.configure(*config);
                    let _ = reply.send(Ok(()));
                }
                Command::Release(reply) => {
                    let _ = reply.send(Ok(()));
                    return None;
                }
                Command::Scan(reply) => drop(reply.send(Err(self.not_ready()))),
                Command::Networks(reply) => drop(reply.send(Err(self.not_ready()))),
                Command::Connect(_, reply)
                | Command::Disconnect(reply)
                | Command::Forget(_, reply)
                | Command::Resumed(reply) => drop(reply.send(Err(self.not_ready()))),
            }
        }
    }

    pub(super) fn not_ready(&self) -> StationError {
        let interface = self.setup.interface.clone();
        match &self.state {
            StationState::Failed(fault) => StationError::NotReady { interface, fault: fault.clone() },
            StationState::Starting
            | StationState::Scanning
            | StationState::Associating { .. }
            | StationState::Joined { .. }
            | StationState::Disconnected => StationError::Starting { interface },
        }
    }

    pub(super) fn configure(&mut self, config: WifiConfig) {
        self.wishes.configure(config.networks.clone());
        self.setup.config = config;
    }

    // ---- what is told --------------------------------------------------------------------------------------------

    fn tell(&mut self, fault: Fault) {
        self.settle(StationState::Failed(fault));
    }

    /// Tells where it is, if it was somewhere else.
    pub(super) fn settle(&mut self, state: StationState) {
        if self.state != state {
            self.state = state.clone();
            self.report(What::State(state));
        }
    }

    pub(super) fn state(&self) -> &StationState {
        &self.state
    }

    pub(super) fn report(&self, what: What) {
        // Nobody listens when the daemon ends.
        let _ = self.reports.send(Report { interface: self.setup.interface.clone(), what });
    }

    /// iwd has come: says once what of its configuration does not go with a bond, and what it has done already.
    fn look_at_configuration(&mut self) {
        let interface = &self.setup.interface;
        let text = std::fs::read_to_string(&self.setup.main_conf).unwrap_or_default();
        let found = quirks(&text, quirks::driver(interface).as_deref());
        for quirk in found.iter().filter(|quirk| !self.told.contains(quirk)) {
            tracing::warn!("{interface}: {quirk} (in {})", self.setup.main_conf.display());
        }
        self.told = found;
        let index = index_of(interface);
        if let (Some(before), Some(now)) = (self.index, index)
            && before != now
        {
            tracing::warn!(
                "{interface}: it was replaced by another interface of this name since iwd was last there"
            );
        }
        self.index = index.or(self.index);
    }
}

/// When iwd does not answer, it is asked again.
const AGAIN: Duration = Duration::from_secs(5);

fn index_of(interface: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(interface).ok()
}
