//! What a station is asked for while iwd is there.

use hitless_core::wifi::Ssid;
use tokio::time::Instant;

use super::{End, Fault, GOAL, Goal, MISSES, Visit};
use crate::wifi::iwd::objects::{Kind, StationView, Visible};
use crate::wifi::iwd::session::CallError;
use crate::wifi::network::{Network, Security};
use crate::wifi::station::{
    AccessPoint, Command, KnownNetwork, Protection, Reply, StationError, StationState,
};
use crate::wifi::supplicant::backoff::Backoff;

impl Visit<'_> {
    /// Does what is asked for, or begins it. Says if that is the end.
    pub(super) async fn command(&mut self, command: Command) -> Option<End> {
        match command {
            Command::Scan(reply) => self.scan(reply).await,
            Command::Networks(reply) => drop(reply.send(Ok(self.networks()))),
            Command::Connect(network, reply) => self.connect(*network, reply),
            Command::Disconnect(reply) => drop(reply.send(self.disconnect().await)),
            Command::Forget(ssid, reply) => drop(reply.send(self.forget(&ssid).await)),
            Command::Configure(config, reply) => {
                self.task.configure(*config);
                self.hurry();
                let _ = reply.send(Ok(()));
            }
            Command::Resumed(reply) => {
                self.hurry();
                let _ = reply.send(self.ready().map(drop));
            }
            Command::Release(reply) => {
                if let Err(error) = self.session.unregister_agent().await {
                    tracing::debug!(%error, "iwd still wants to ask us");
                }
                let _ = reply.send(Ok(()));
                return Some(End::Released);
            }
        }
        None
    }

    /// Whatever is to be done is done now.
    fn hurry(&mut self) {
        self.looked = false;
        self.visible.clear();
        self.look_at = Instant::now();
        self.pauses = Backoff::default();
    }

    /// The station's object.
    fn ready(&self) -> Result<String, StationError> {
        let device = self.device().filter(|device| device.station.is_some());
        device.map(|device| device.path).ok_or_else(|| self.task.not_ready())
    }

    async fn scan(&mut self, reply: Reply<Vec<AccessPoint>>) {
        let path = match self.ready() {
            Ok(path) => path,
            Err(error) => return drop(reply.send(Err(error))),
        };
        match self.session.scan(&path).await {
            Ok(()) => self.scans.push(reply),
            Err(error) => {
                tracing::debug!(%error, "iwd does not look around");
                let interface = self.task.setup.interface.clone();
                let _ = reply.send(Err(StationError::ScanFailed { interface }));
            }
        }
    }

    fn connect(&mut self, network: Network, reply: Reply<()>) {
        if let Err(error) = self.ready() {
            return drop(reply.send(Err(error)));
        }
        if self.goal.is_some() {
            let interface = self.task.setup.interface.clone();
            return drop(reply.send(Err(StationError::Busy { interface })));
        }
        self.hurry();
        self.task.wishes.goal = Some(network);
        self.goal = Some(Goal { reply, deadline: Instant::now() + GOAL, misses: 0 });
    }

    /// Says what has become of the network that was asked for, once that is clear.
    pub(super) fn judge_goal(&mut self, station: &StationView) {
        let (Some(goal), Some(network)) = (&self.goal, self.task.wishes.goal.clone()) else { return };
        if self.attempt.is_none() && self.joined.as_ref().is_some_and(|joined| joined.ssid == network.ssid) {
            self.succeeded(&network);
        } else if self.attempt.is_none() && goal.misses >= MISSES {
            self.finish(Err(Fault::NetworkNotFound.into()));
        } else if Instant::now() >= goal.deadline {
            tracing::debug!(?station, "not joined in time");
            self.finish(Err(StationError::Timeout { ssid: network.ssid }));
        }
    }

    /// Whoever waits for a network to be joined need not wait any longer.
    pub(super) fn finish(&mut self, result: Result<(), StationError>) {
        self.task.wishes.goal = None;
        if let Some(goal) = self.goal.take() {
            let _ = goal.reply.send(result);
        }
    }

    async fn disconnect(&mut self) -> Result<(), StationError> {
        let path = self.ready()?;
        self.finish(Err(StationError::Interrupted));
        self.task.wishes.stays_out = true;
        self.session.leave(&path).await.map_err(|error| refused(&error))
    }

    async fn forget(&mut self, ssid: &Ssid) -> Result<(), StationError> {
        let wanted = self.task.wishes.forget(ssid);
        let known = self.objects.known().into_iter().filter(|known| known.ssid == *ssid);
        let known: Vec<_> = known.collect();
        for network in &known {
            self.session.forget(&network.path).await.map_err(|error| refused(&error))?;
        }
        if wanted || !known.is_empty() {
            return Ok(());
        }
        Err(StationError::UnknownNetwork { interface: self.task.setup.interface.clone(), ssid: ssid.clone() })
    }

    fn networks(&self) -> Vec<KnownNetwork> {
        let is_current = |ssid: &Ssid| matches!(self.task.state(), StationState::Joined { ssid: joined, .. } if joined == ssid);
        let wishes = &self.task.wishes;
        let ours = wishes.wanted().into_iter().map(|network| KnownNetwork {
            ssid: network.ssid.clone(),
            security: Some(security_word(&network.security)),
            priority: Some(network.priority),
            current: is_current(&network.ssid),
            disabled: wishes.fault(&network.ssid).cloned(),
        });
        let known = self.objects.known().into_iter().filter(|known| wishes.wants(&known.ssid).is_none());
        let theirs = known.map(|known| KnownNetwork {
            current: is_current(&known.ssid),
            ssid: known.ssid,
            security: None,
            priority: None,
            disabled: None,
        });
        ours.chain(theirs).collect()
    }
}

fn refused(error: &CallError) -> StationError {
    StationError::Refused { problem: format!("iwd does not do it: {error}") }
}

fn security_word(security: &Security) -> &'static str {
    match security {
        Security::Open => "open",
        Security::Owe => "owe",
        Security::Psk(_) => "psk",
        Security::Sae(_) => "sae",
        Security::Eap(_) => "802.1x",
    }
}

/// What iwd tells of a network in range: it does not say on which channel its access points are, nor (before 2.17 or
/// so) which ones it has.
pub(super) fn access_point(seen: &Visible) -> AccessPoint {
    AccessPoint {
        ssid: Some(seen.ssid.clone()),
        bssid: seen.bssid.unwrap_or_default(),
        signal_dbm: seen.signal_dbm,
        frequency_mhz: 0,
        protection: match seen.kind {
            Kind::Open => Protection::Open,
            Kind::Psk => Protection::Wpa2,
            Kind::Enterprise => Protection::Enterprise,
            Kind::Other => Protection::Obsolete,
        },
    }
}
