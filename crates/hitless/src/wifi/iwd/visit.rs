//! The part of the loop while iwd is there: does what is wanted next, and tells what happens.

mod orders;

use std::time::Duration;

use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;
use hitless_linux::wireless::Wireless;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use zbus::Message;

use self::orders::access_point;
use super::agent::{self, Question};
use super::fault::IwdFault;
use super::objects::{Device, Objects, Phase, STATION, StationView, Visible};
use super::session::{CallError, Heard, Session};
use super::task::Task;
use super::wishes::Next;
use crate::wifi::network::{Network, Secret, Security};
use crate::wifi::station::{AccessPoint, Fault, Reply, StationError, StationState};
use crate::wifi::supplicant::backoff::Backoff;

/// How long it may take to join the network that was asked for.
const GOAL: Duration = Duration::from_secs(45);

/// A look around may miss an access point; so many may not.
const MISSES: u32 = 3;

/// What is said and done while iwd is there.
pub(super) struct Visit<'a> {
    task: &'a mut Task,
    session: &'a mut Session,
    objects: Objects,
    visible: Vec<Visible>,
    /// Is that list fresh?
    looked: bool,
    /// Did the last look around find none that is wanted?
    missed: bool,
    attempt: Option<Attempt>,
    goal: Option<Goal>,
    scans: Vec<Reply<Vec<AccessPoint>>>,
    joined: Option<Joined>,
    /// Not before then is it time to look around again.
    look_at: Instant,
    pauses: Backoff,
}

/// iwd is joining a network because we said so.
#[derive(Debug)]
struct Attempt {
    network: Network,
    secret: Option<Secret>,
    /// Did it ask for the passphrase? If not, it had one of its own.
    asked: bool,
    /// Is it another try, because its own passphrase may have been wrong?
    again: bool,
    /// The network's object; `None` where it is hidden.
    path: Option<String>,
    done: oneshot::Receiver<Result<(), CallError>>,
}

/// Somebody waits for a network to be joined.
#[derive(Debug)]
struct Goal {
    reply: Reply<()>,
    deadline: Instant,
    misses: u32,
}

/// The access point that was joined.
#[derive(Clone, Debug)]
struct Joined {
    ssid: Ssid,
    bssid: MacAddr,
    frequency_mhz: Option<u32>,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// iwd has ended, or another has come in its place.
    IwdGone,
    /// The bus has ended.
    BusGone,
    /// The station is given back.
    Released,
}

impl<'a> Visit<'a> {
    pub(super) async fn begin(task: &'a mut Task, session: &'a mut Session) -> Result<Self, CallError> {
        session.register_agent().await?;
        let objects = Objects::new(session.objects().await?);
        // It may be another iwd, with other passphrases.
        task.wishes.forgive_all();
        let mut visit = Self {
            task,
            session,
            objects,
            visible: Vec::new(),
            looked: false,
            missed: false,
            attempt: None,
            goal: None,
            scans: Vec::new(),
            joined: None,
            look_at: Instant::now(),
            pauses: Backoff::default(),
        };
        visit.refresh().await;
        visit.looked = false;
        Ok(visit)
    }

    pub(super) async fn run(mut self) -> End {
        loop {
            self.act().await;
            let alarm = self.alarm();
            let end = tokio::select! {
                heard = self.session.next() => self.heard(heard).await,
                command = self.task.commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => Some(End::Released),
                },
                result = outcome(&mut self.attempt) => {
                    self.attempted(result).await;
                    None
                }
                () = until(alarm) => None,
            };
            if let Some(end) = end {
                self.finish(Err(StationError::Interrupted));
                self.scanned(Err(()));
                return end;
            }
        }
    }

    // ---- what is heard -------------------------------------------------------------------------------------------

    async fn heard(&mut self, heard: Heard) -> Option<End> {
        match heard {
            Heard::Over => return Some(End::BusGone),
            Heard::Owner => return Some(End::IwdGone),
            Heard::Added(path, interfaces) => self.objects.added(&path, interfaces),
            Heard::Removed(path, interfaces) => {
                self.objects.removed(&path, &interfaces);
                self.visible.retain(|network| network.path != path);
            }
            Heard::Changed(path, interface, changed, gone) => {
                let was = self.station();
                self.objects.changed(&path, &interface, &changed, &gone);
                if interface == STATION && changed.keys().any(|key| key != "Scanning") {
                    self.joined = None;
                }
                if was.is_some_and(|was| was.scanning) && self.station().is_some_and(|is| !is.scanning) {
                    self.looked_around().await;
                }
            }
            Heard::Asked(question) => self.asked(&question).await,
        }
        None
    }

    async fn asked(&mut self, message: &Message) {
        let secret = match agent::question(message) {
            Question::None => return,
            Question::Other => None,
            Question::Passphrase(ssid) => {
                self.attempt.as_mut().filter(|attempt| attempt.network.ssid == ssid).and_then(|attempt| {
                    attempt.asked = true;
                    attempt.secret.clone()
                })
            }
        };
        self.session.answer(message, secret.as_ref().map(Secret::reveal)).await;
    }

    fn device(&self) -> Option<Device> {
        self.objects.device(&self.task.setup.interface)
    }

    fn station(&self) -> Option<StationView> {
        self.device()?.station
    }

    /// A look around has ended.
    async fn looked_around(&mut self) {
        self.refresh().await;
        self.looked = true;
        let wanted = self.task.wishes.wanted();
        self.missed = !self.visible.iter().any(|seen| wanted.iter().any(|network| network.ssid == seen.ssid));
        if let (Some(goal), Some(network)) = (&mut self.goal, &self.task.wishes.goal)
            && !self.visible.iter().any(|seen| seen.ssid == network.ssid)
        {
            goal.misses += 1;
        }
        self.scanned(Ok(()));
    }

    async fn refresh(&mut self) {
        let Some(device) = self.device().filter(|device| device.station.is_some()) else { return };
        match self.session.ordered_networks(&device.path).await {
            Ok(ordered) => self.visible = self.objects.visible(&ordered),
            Err(error) => tracing::debug!(%error, "iwd does not say which networks are in range"),
        }
    }

    fn scanned(&mut self, result: Result<(), ()>) {
        for reply in std::mem::take(&mut self.scans) {
            let interface = self.task.setup.interface.clone();
            let found = result.map(|()| self.visible.iter().map(access_point).collect());
            let _ = reply.send(found.map_err(|()| StationError::ScanFailed { interface }));
        }
    }

    // ---- what is done --------------------------------------------------------------------------------------------

    /// Tells where it is, and does what is to be done next.
    async fn act(&mut self) {
        let interface = self.task.setup.interface.clone();
        let Some(device) = self.device() else {
            return self.task.settle(StationState::Failed(IwdFault::NoStation { interface }.into()));
        };
        let Some(station) = &device.station else {
            let fault =
                if device.powered { IwdFault::NoStation { interface }.into() } else { Fault::RadioOff };
            return self.task.settle(StationState::Failed(fault));
        };
        self.notice_joined(&device.path, station).await;
        self.judge_goal(station);
        if self.attempt.is_none() {
            self.advance(&device.path, station).await;
        }
        let state = self.state_of(station);
        self.task.settle(state);
    }

    /// Does what is to be done next.
    async fn advance(&mut self, path: &str, station: &StationView) {
        loop {
            let now = Instant::now();
            let begun = match self.task.wishes.next(now, station, &self.visible, self.looked) {
                Next::Wait => return,
                Next::Join { network, path: found } => self.join(&network, Some(found), path),
                Next::JoinHidden(network) => self.join(&network, None, path),
                Next::Look if now >= self.look_at => return self.look(path).await,
                Next::Look => return,
            };
            // One that cannot be used as it is configured is at rest now, and another one may do.
            if begun {
                return;
            }
        }
    }

    async fn look(&mut self, station: &str) {
        self.look_at = Instant::now() + self.pauses.next();
        if let Err(error) = self.session.scan(station).await {
            tracing::debug!(%error, "iwd does not look around");
        }
    }

    /// Says whether iwd is on its way.
    fn join(&mut self, network: &Network, path: Option<String>, station: &str) -> bool {
        match self.begin_attempt(network, path, station) {
            Ok(attempt) => {
                tracing::debug!("{}: iwd is to join {}", self.task.setup.interface, network.ssid);
                self.attempt = Some(attempt);
                true
            }
            Err(fault) => {
                self.failed(network, fault);
                false
            }
        }
    }

    fn begin_attempt(
        &self,
        network: &Network,
        path: Option<String>,
        station: &str,
    ) -> Result<Attempt, Fault> {
        let secret = agent::secret(network)?;
        let done = match (&path, std::str::from_utf8(network.ssid.octets())) {
            (Some(path), _) => self.session.join(path),
            (None, Ok(name)) => self.session.join_hidden(station, name),
            (None, Err(_)) => return Err(IwdFault::NotText { ssid: network.ssid.clone() }.into()),
        };
        Ok(Attempt { network: network.clone(), secret, asked: false, again: false, path, done })
    }

    /// iwd has said what came of it.
    async fn attempted(&mut self, result: Result<(), CallError>) {
        let Some(attempt) = self.attempt.take() else { return };
        let error = match result {
            Ok(()) => return self.succeeded(&attempt.network),
            Err(error) => error,
        };
        tracing::debug!(%error, "{}: iwd has not joined {}", self.task.setup.interface, attempt.network.ssid);
        self.joined = None;
        let ssid = || attempt.network.ssid.clone();
        match error.name() {
            // It had a passphrase of its own, and now knows that it is wrong: it will ask for ours.
            "Failed" if !attempt.asked && attempt.secret.is_some() && !attempt.again => {
                if let Some(path) = attempt.path.clone() {
                    let done = self.session.join(&path);
                    self.attempt = Some(Attempt { again: true, done, ..attempt });
                }
            }
            "Failed" if attempt.asked => {
                self.failed(
                    &attempt.network,
                    Fault::WrongPassphrase { ssid: ssid(), tries: 1, retry_in: None },
                );
            }
            "NotConfigured" | "NotSupported" if matches!(attempt.network.security, Security::Eap(_)) => {
                self.failed(&attempt.network, IwdFault::NotProvisioned { ssid: ssid() }.into());
            }
            "NotFound" => {
                self.looked = false;
                if let Some(goal) = &mut self.goal {
                    goal.misses += 1;
                }
            }
            // It is busy with something else, or was: what comes of that is heard.
            "Busy" | "InProgress" | "Aborted" | "NoAgent" | "AlreadyProvisioned" | "NotHidden" => {
                self.looked = false;
                self.visible.clear();
                self.look_at = Instant::now() + self.pauses.next();
            }
            _ => self.failed(&attempt.network, Fault::ConnectionFailed { ssid: ssid(), retry_in: None }),
        }
    }

    fn succeeded(&mut self, network: &Network) {
        self.pauses = Backoff::default();
        self.task.wishes.forgive(&network.ssid);
        if self.task.wishes.goal.as_ref() == Some(network) {
            self.task.wishes.stays_out = false;
            self.task.wishes.keep(network.clone());
            self.finish(Ok(()));
        }
    }

    fn failed(&mut self, network: &Network, fault: Fault) {
        self.looked = false;
        if self.task.wishes.goal.as_ref() == Some(network) {
            return self.finish(Err(fault.into()));
        }
        self.task.wishes.blame(Instant::now(), &network.ssid, fault);
    }

    // ---- where it is ---------------------------------------------------------------------------------------------

    fn state_of(&self, station: &StationView) -> StationState {
        let wishes = &self.task.wishes;
        let fault = station.network.as_ref().and_then(|ssid| wishes.fault(ssid));
        match station.phase {
            Phase::Connected => match self.joined.clone() {
                Some(Joined { ssid, bssid, frequency_mhz }) => {
                    StationState::Joined { ssid, bssid, frequency_mhz }
                }
                None => StationState::Associating { ssid: station.network.clone() },
            },
            Phase::Connecting if fault.is_some() => {
                fault.cloned().map_or(StationState::Scanning, StationState::Failed)
            }
            Phase::Connecting | Phase::Roaming => StationState::Associating { ssid: station.network.clone() },
            Phase::Disconnecting | Phase::Disconnected if wishes.stays_out || wishes.wanted().is_empty() => {
                StationState::Disconnected
            }
            Phase::Disconnecting => StationState::Disconnected,
            Phase::Disconnected => match wishes.worst() {
                Some(fault) => StationState::Failed(fault.clone()),
                None if self.missed => StationState::Failed(Fault::NetworkNotFound),
                None => StationState::Scanning,
            },
        }
    }

    /// Finds out which access point it is that was joined.
    async fn notice_joined(&mut self, path: &str, station: &StationView) {
        if station.phase != Phase::Connected {
            self.joined = None;
            return;
        }
        let Some(ssid) = station.network.clone().filter(|_| self.joined.is_none()) else { return };
        let details = self.session.diagnostics(path).await.unwrap_or_default();
        let text = |key: &str| details.get(key).and_then(|value| <&str>::try_from(value).ok());
        // It is not in for good yet, or out again: the next look says which.
        if text("Security") == Some("") {
            return;
        }
        if let Some(fault) = self.not_as_wanted(&ssid, text("Security")) {
            let network = self.task.wishes.wants(&ssid).cloned();
            if let Err(error) = self.session.leave(path).await {
                tracing::warn!(%error, "{}: iwd does not leave {ssid}", self.task.setup.interface);
            }
            if let Some(network) = network {
                self.failed(&network, fault.into());
            }
            return;
        }
        let told = text("ConnectedBss").and_then(|address| address.parse().ok());
        let bssid = told.or_else(|| self.bssid_by_kernel()).unwrap_or_default();
        let frequency_mhz = details.get("Frequency").and_then(|value| u32::try_from(value).ok());
        self.missed = false;
        self.pauses = Backoff::default();
        self.task.wishes.forgive(&ssid);
        self.joined = Some(Joined { ssid, bssid, frequency_mhz });
    }

    /// iwd cannot be told beforehand that only WPA3 will do.
    fn not_as_wanted(&self, ssid: &Ssid, security: Option<&str>) -> Option<IwdFault> {
        let security = security.filter(|security| !security.contains("WPA3") && !security.contains("SAE"))?;
        let goal = self.task.wishes.goal.as_ref().filter(|goal| goal.ssid == *ssid);
        let network = goal.or_else(|| self.task.wishes.wants(ssid))?;
        let only_wpa3 = matches!(network.security, Security::Sae(_));
        only_wpa3.then(|| IwdFault::NotWpa3 { ssid: ssid.clone(), security: security.to_owned() })
    }

    fn bssid_by_kernel(&self) -> Option<MacAddr> {
        let index = nix::net::if_::if_nametoindex(self.task.setup.interface.as_str()).ok()?;
        Some(Wireless::requests().ok()?.station(index, None).ok()??.association?.bssid)
    }

    // ---- time ----------------------------------------------------------------------------------------------------

    /// When there is something to do even if nothing happens.
    fn alarm(&self) -> Option<Instant> {
        let goal = self.goal.as_ref().map(|goal| goal.deadline);
        let station = self.station();
        let Some(station) = station.filter(|_| self.attempt.is_none()) else { return goal };
        let now = Instant::now();
        let look = match self.task.wishes.next(now, &station, &self.visible, self.looked) {
            Next::Look => Some(self.look_at.max(now)),
            Next::Wait | Next::Join { .. } | Next::JoinHidden(_) => None,
        };
        let out = station.phase == Phase::Disconnected && !self.task.wishes.stays_out;
        let retry = self.task.wishes.retry_at().filter(|at| out && *at > now);
        [goal, look, retry].into_iter().flatten().min()
    }
}

async fn outcome(attempt: &mut Option<Attempt>) -> Result<(), CallError> {
    match attempt {
        Some(attempt) => {
            let gone = |_| Err(CallError::Failed("iwd has gone".to_owned()));
            (&mut attempt.done).await.unwrap_or_else(gone)
        }
        None => std::future::pending().await,
    }
}

async fn until(alarm: Option<Instant>) {
    match alarm {
        Some(alarm) => sleep_until(alarm).await,
        None => std::future::pending().await,
    }
}
