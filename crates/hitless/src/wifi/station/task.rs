//! The loop of a station: it waits for what wpa_supplicant says, for what is asked of the station, and for time to pass.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use hitless_core::wifi::Ssid;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::attempt::Attempt;
use super::fault::Fault;
use super::session::{self, Handed, Session, is_ours, unreachable};
use super::track::Track;
use super::{AccessPoint, Command, KnownNetwork, Reply, Report, Setup, StationError, StationState, What};
use crate::causes::chain;
use crate::dbus::Bus;
use crate::wifi::iwd;
use crate::wifi::network::{Network, Security, WifiConfig};
use crate::wifi::supplicant::backoff::Backoff;
use crate::wifi::supplicant::connection::ConnectionError;
use crate::wifi::supplicant::event::Event;
use crate::wifi::supplicant::process::Life;
use crate::wifi::supplicant::reply::ReplyError;
use crate::wifi::supplicant::request::{NetworkId, Request};

/// How often the state is asked for, for the case that an event was lost.
const CHECK: Duration = Duration::from_secs(10);

/// How long an attempt to join may take.
const ATTEMPT: Duration = Duration::from_secs(45);

/// How long a scan may take.
const SCAN: Duration = Duration::from_secs(40);

/// How long to wait after a scan that failed.
const RESCAN: Duration = Duration::from_secs(1);

/// When the network that somebody chose is lost for so long, the others are good enough again.
const LOST: Duration = Duration::from_secs(10);

/// The station.
pub(super) struct Task {
    setup: Setup,
    /// Where iwd would be.
    bus: Bus,
    reports: mpsc::UnboundedSender<Report>,
    commands: mpsc::UnboundedReceiver<Command>,
    life: watch::Receiver<Life>,
    track: Track,
    /// What wpa_supplicant has of ours.
    handed: Vec<Handed>,
    /// Networks that were joined on request, and are not in the configuration, which has not been given anew since.
    extra: Vec<Network>,
    attempt: Option<(Attempt, Reply<()>)>,
    /// The network that somebody chose, while all others are disabled, and since when it is lost.
    chosen: Option<(NetworkId, Option<Instant>)>,
    scans: Vec<(Reply<Vec<AccessPoint>>, Instant)>,
    /// What was asked for before it was known whether wpa_supplicant comes.
    early: Vec<Command>,
    /// When a scan that failed is tried again: something else may have had the radio.
    rescan: Option<Instant>,
    /// Was the user told that somebody else's wpa_supplicant changes addresses?
    told_of_addresses: bool,
    backoff: Backoff,
}

/// What came of the search for wpa_supplicant.
enum Found {
    /// It takes care of the interface. With the number of the process, where that is ours.
    Supplicant(Box<Session>, Option<u64>),
    /// It is not installed, and iwd has come.
    Iwd,
    /// The station has ended.
    End,
}

/// How it goes on.
enum Next {
    /// As before.
    On,
    /// wpa_supplicant has to be found again.
    Anew,
    /// Not at all.
    End,
}

impl Task {
    pub(super) fn new(
        setup: Setup,
        bus: Bus,
        reports: mpsc::UnboundedSender<Report>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let life = setup.supplicant.life();
        Self {
            setup,
            bus,
            reports,
            commands,
            life,
            track: Track::new(),
            handed: Vec::new(),
            extra: Vec::new(),
            attempt: None,
            chosen: None,
            scans: Vec::new(),
            early: Vec::new(),
            rescan: None,
            told_of_addresses: false,
            backoff: Backoff::default(),
        }
    }

    /// Until the station ends, or it turns out that it is iwd's: then it is given back.
    pub(super) async fn run(mut self) -> Option<Self> {
        self.report(What::State(StationState::Starting));
        loop {
            let (session, generation) = match self.find().await {
                Found::Supplicant(session, generation) => (*session, generation),
                Found::Iwd => return Some(self),
                Found::End => return None,
            };
            let since = Instant::now();
            match self.serve(session, generation).await {
                Ok(()) => return None,
                Err(fault) => self.lost(fault),
            }
            if since.elapsed() > CHECK {
                self.backoff = Backoff::default();
            }
            if self.pause().await {
                return None;
            }
        }
    }

    /// What iwd's task needs to go on.
    pub(super) fn for_iwd(self) -> (Setup, mpsc::UnboundedSender<Report>, mpsc::UnboundedReceiver<Command>) {
        (self.setup, self.reports, self.commands)
    }

    /// Finds wpa_supplicant, and has it take care of the interface.
    async fn find(&mut self) -> Found {
        loop {
            let mut generation = None;
            if is_ours(&self.setup) {
                self.setup.supplicant.start();
                let life = self.life.borrow_and_update().clone();
                generation = number(&life);
                if generation.is_none() {
                    if let Some(fault) = absence(&life) {
                        self.fail(fault);
                    }
                    // When the machine starts, it is left to chance whether iwd is there before us.
                    if matches!(life, Life::Missing)
                        && iwd::is_meant(self.setup.config.manage, false, &self.bus).await
                    {
                        return Found::Iwd;
                    }
                    if self.wait_for_life().await {
                        return Found::End;
                    }
                    continue;
                }
            }
            let setup = self.setup.clone();
            let mut opening = pin!(Session::open(&setup));
            let opened = loop {
                tokio::select! {
                    opened = &mut opening => break Some(opened),
                    command = self.commands.recv() => match self.absent(command).await {
                        Next::On => {}
                        Next::Anew => break None,
                        Next::End => return Found::End,
                    }
                }
            };
            match opened {
                Some(Ok(session)) => return Found::Supplicant(Box::new(session), generation),
                Some(Err(fault)) => {
                    self.fail(fault);
                    if self.pause().await {
                        return Found::End;
                    }
                }
                None => {}
            }
        }
    }

    /// Until the process is otherwise. True: the station has ended.
    async fn wait_for_life(&mut self) -> bool {
        loop {
            tokio::select! {
                changed = self.life.changed() => return changed.is_err(),
                command = self.commands.recv() => match self.absent(command).await {
                    Next::On => {}
                    Next::Anew => return false,
                    Next::End => return true,
                }
            }
        }
    }

    /// Ever longer, from one failure to the next. True: the station has ended.
    async fn pause(&mut self) -> bool {
        let mut pause = pin!(sleep(self.backoff.next()));
        loop {
            tokio::select! {
                () = &mut pause => return false,
                // Another process may do better.
                Ok(()) = self.life.changed() => return false,
                command = self.commands.recv() => match self.absent(command).await {
                    Next::On => {}
                    Next::Anew => return false,
                    Next::End => return true,
                }
            }
        }
    }

    /// What is asked for while wpa_supplicant is not there.
    async fn absent(&mut self, command: Option<Command>) -> Next {
        match command {
            None => Next::End,
            Some(Command::Configure(config, reply)) => {
                self.setup.config = *config;
                self.extra.clear();
                answer(reply, Ok(()));
                Next::Anew
            }
            Some(Command::Release(reply)) => {
                session::release(&self.setup, None).await;
                answer(reply, Ok(()));
                Next::End
            }
            Some(command) => {
                if *self.track.state() == StationState::Starting {
                    self.early.push(command);
                } else {
                    self.refuse(command);
                }
                Next::On
            }
        }
    }

    fn refuse(&self, command: Command) {
        match command {
            Command::Scan(reply) => self.not_ready(reply),
            Command::Networks(reply) => self.not_ready(reply),
            Command::Connect(_, reply)
            | Command::Disconnect(reply)
            | Command::Forget(_, reply)
            | Command::Configure(_, reply)
            | Command::Resumed(reply)
            | Command::Release(reply) => self.not_ready(reply),
        }
    }

    /// With wpa_supplicant there, until the station ends.
    async fn serve(&mut self, session: Session, generation: Option<u64>) -> Result<(), Fault> {
        self.begin(&session).await.map_err(|error| unreachable(&error))?;
        for command in std::mem::take(&mut self.early) {
            self.asked(&session, command).await.map_err(|error| unreachable(&error))?;
        }
        let mut check = Instant::now() + CHECK;
        loop {
            let wake = self.next_deadline(check);
            let next = tokio::select! {
                event = session.event() => match event {
                    Ok(event) => self.heard(&session, &event).await,
                    Err(error) => Err(error),
                },
                command = self.commands.recv() => match command {
                    Some(Command::Release(reply)) => {
                        session::release(&self.setup, Some(session)).await;
                        answer(reply, Ok(()));
                        return Ok(());
                    }
                    Some(command) => self.asked(&session, command).await,
                    None => return Ok(()),
                },
                fault = left(&mut self.life, generation), if is_ours(&self.setup) => return Err(fault),
                () = sleep_until(wake) => {
                    check = Instant::now() + CHECK;
                    self.ask_status(&session).await.map(|()| Next::On)
                }
            };
            match next.map_err(|error| unreachable(&error))? {
                Next::On => {}
                Next::Anew => {
                    let problem = "wpa_supplicant no longer takes care of the interface".into();
                    return Err(Fault::Unreachable { problem });
                }
                Next::End => return Ok(()),
            }
            self.settle_attempt(&session).await.map_err(|error| unreachable(&error))?;
            self.settle_choice(&session).await.map_err(|error| unreachable(&error))?;
            self.settle_scans(&session).await.map_err(|error| unreachable(&error))?;
        }
    }

    /// Sees to it that wpa_supplicant has our networks, and that it joins one, unless it is to stay out.
    async fn begin(&mut self, session: &Session) -> Result<(), ConnectionError> {
        let told = self.track.begin();
        self.tell_all(told);
        if !is_ours(&self.setup) {
            self.look_at_addresses(session).await?;
        }
        if self.track.stays_out() {
            // It may be another wpa_supplicant. Before it gets the networks, so that it joins none of them.
            session.tell(Request::Disconnect).await?;
        }
        self.hand_over(session).await?;
        if !self.handed.is_empty() && !self.track.stays_out() {
            // Of no effect unless it was told to stay out before.
            session.tell(Request::Reconnect).await?;
        }
        self.ask_status(session).await
    }

    /// Of our networks, the address stays as it is. While it only looks around, that is up to whoever has started it.
    async fn look_at_addresses(&mut self, session: &Session) -> Result<(), ConnectionError> {
        let found = session.randomisers().await?;
        if !found.is_empty() && !self.told_of_addresses {
            self.told_of_addresses = true;
            let (interface, keys) = (&self.setup.interface, found.join(" and "));
            tracing::warn!(
                "{interface}: its wpa_supplicant changes the address of the interface, which is the bond's to choose: \
                 set {keys} to 0 in its configuration"
            );
        }
        Ok(())
    }

    async fn hand_over(&mut self, session: &Session) -> Result<(), ConnectionError> {
        let handover = session.hand_over(&self.wanted()).await?;
        self.handed = handover.handed;
        self.know();
        for unusable in handover.unusable {
            if self.handed.is_empty() {
                self.fail(Fault::Unusable(unusable.clone()));
            }
            self.report(What::Unusable(unusable));
        }
        Ok(())
    }

    fn wanted(&self) -> Vec<Network> {
        let configured = &self.setup.config.networks;
        let known = |network: &&Network| !configured.iter().any(|other| other.ssid == network.ssid);
        configured.iter().chain(self.extra.iter().filter(known)).cloned().collect()
    }

    fn know(&mut self) {
        let mut names = session::names(&self.handed);
        if let Some((attempt, _)) = &self.attempt {
            names.insert(attempt.network, attempt.ssid.clone());
        }
        self.track.know(names);
    }

    async fn heard(&mut self, session: &Session, event: &Event) -> Result<Next, ConnectionError> {
        if let Event::NetworkNotFound = event
            && let Some((attempt, _)) = &mut self.attempt
        {
            attempt.misses += 1;
        }
        let step = self.track.event(event);
        self.tell_all(step.told);
        if step.over {
            return Ok(Next::Anew);
        }
        if step.ask {
            self.ask_status(session).await?;
        }
        if *event == Event::ScanResults {
            self.found(session).await?;
        }
        if *event == Event::ScanFailed && !self.scans.is_empty() {
            self.rescan = Some(Instant::now() + RESCAN);
        }
        Ok(Next::On)
    }

    async fn ask_status(&mut self, session: &Session) -> Result<(), ConnectionError> {
        let status = session.status().await?;
        let told = self.track.status(&status);
        self.tell_all(told);
        Ok(())
    }

    /// What is asked for while wpa_supplicant is there. What it denies is told to who asked; what is wrong with the
    /// connection is told to both.
    async fn asked(&mut self, session: &Session, command: Command) -> Result<Next, ConnectionError> {
        match command {
            Command::Scan(reply) => return self.scan(session, reply).await.map(|()| Next::On),
            Command::Connect(network, reply) => {
                return self.connect(session, *network, reply).await.map(|()| Next::On);
            }
            Command::Networks(reply) => done(reply, self.networks(session).await)?,
            Command::Disconnect(reply) => done(reply, self.disconnect(session).await)?,
            Command::Forget(ssid, reply) => match self.forget(session, &ssid).await {
                Ok(true) => answer(reply, Ok(())),
                Ok(false) => {
                    let interface = self.setup.interface.clone();
                    answer(reply, Err(StationError::UnknownNetwork { interface, ssid }));
                }
                Err(error) => done(reply, Err(error))?,
            },
            Command::Configure(config, reply) => done(reply, self.configure(session, *config).await)?,
            Command::Resumed(reply) => done(reply, self.resumed(session).await)?,
            // These two end it, and are seen to before.
            Command::Release(reply) => answer(reply, Err(StationError::Interrupted)),
        }
        Ok(Next::On)
    }

    async fn scan(
        &mut self,
        session: &Session,
        reply: Reply<Vec<AccessPoint>>,
    ) -> Result<(), ConnectionError> {
        match session.tell(Request::Scan).await {
            // When it is looking already, that will do.
            Ok(()) | Err(ConnectionError::Answer(ReplyError::Busy { .. })) => {
                self.scans.push((reply, Instant::now() + SCAN));
                Ok(())
            }
            Err(error) => done(reply, Err(error)),
        }
    }

    async fn found(&mut self, session: &Session) -> Result<(), ConnectionError> {
        if self.scans.is_empty() {
            return Ok(());
        }
        self.rescan = None;
        let found = session.access_points().await?;
        for (reply, _) in self.scans.drain(..) {
            answer(reply, Ok(found.clone()));
        }
        Ok(())
    }

    fn fail_scans(&mut self) {
        for (reply, _) in self.scans.drain(..) {
            answer(reply, Err(StationError::ScanFailed { interface: self.setup.interface.clone() }));
        }
    }

    async fn settle_scans(&mut self, session: &Session) -> Result<(), ConnectionError> {
        let now = Instant::now();
        if self.scans.iter().any(|(_, deadline)| *deadline <= now) {
            self.fail_scans();
        }
        if self.rescan.is_some_and(|at| at <= now) {
            self.rescan = None;
            match session.tell(Request::Scan).await {
                Err(error) if !error.is_answer() => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    async fn networks(&self, session: &Session) -> Result<Vec<KnownNetwork>, ConnectionError> {
        let joined = self.track.joined();
        let listed = session.list().await?.into_iter();
        let known = listed.filter_map(|network| {
            let ours =
                self.handed.iter().find(|handed| handed.id == network.id).map(|handed| &handed.network);
            Some(KnownNetwork {
                ssid: network.ssid?,
                security: ours.map(|network| word(&network.security)),
                priority: ours.map(|network| network.priority),
                current: joined == Some(network.id),
                disabled: self.track.fault(network.id).cloned(),
            })
        });
        Ok(known.collect())
    }

    async fn connect(
        &mut self,
        session: &Session,
        network: Network,
        reply: Reply<()>,
    ) -> Result<(), ConnectionError> {
        if self.attempt.is_some() {
            let interface = self.setup.interface.clone();
            answer(reply, Err(StationError::Busy { interface }));
            return Ok(());
        }
        let joined = self.handed.iter().find(|handed| Some(handed.id) == self.track.joined());
        if joined.is_some_and(|handed| handed.network == network) {
            answer(reply, Ok(()));
            return Ok(());
        }
        let id = match session.add(&network).await {
            Ok(Ok(id)) => id,
            Ok(Err(problem)) => {
                answer(reply, Err(Fault::Unusable(problem).into()));
                return Ok(());
            }
            Err(error) => return done(reply, Err(error)),
        };
        if let Err(error) = session.tell(Request::SelectNetwork(id)).await {
            return done(reply, Err(error));
        }
        self.chosen = None;
        let was_out = self.track.stay_out(false);
        let deadline = Instant::now() + ATTEMPT;
        let attempt = Attempt { network: id, ssid: network.ssid.clone(), deadline, misses: 0, was_out };
        self.attempt = Some((attempt, reply));
        self.know();
        // From now on, it is one of ours like the others; what is to become of it is decided with its outcome.
        self.handed.push(Handed { id, network });
        Ok(())
    }

    async fn settle_attempt(&mut self, session: &Session) -> Result<(), ConnectionError> {
        let outcome =
            self.attempt.as_ref().and_then(|(attempt, _)| attempt.outcome(&self.track, Instant::now()));
        let Some(outcome) = outcome else { return Ok(()) };
        let Some((attempt, reply)) = self.attempt.take() else { return Ok(()) };
        let settled = if outcome.is_ok() {
            self.succeeded(session, &attempt).await
        } else {
            self.withdraw(session, &attempt).await
        };
        answer(reply, outcome);
        settled
    }

    /// What it was known by before is replaced.
    async fn succeeded(&mut self, session: &Session, attempt: &Attempt) -> Result<(), ConnectionError> {
        let (same, others): (Vec<Handed>, Vec<Handed>) =
            self.handed.drain(..).partition(|handed| handed.network.ssid == attempt.ssid);
        self.handed = others;
        for handed in same {
            if handed.id == attempt.network {
                self.extra.retain(|network| network.ssid != attempt.ssid);
                self.extra.push(handed.network.clone());
                self.setup.config.networks.retain(|network| network.ssid != attempt.ssid);
                self.handed.push(handed);
            } else {
                session.remove(handed.id).await?;
            }
        }
        self.know();
        self.chosen = Some((attempt.network, None));
        Ok(())
    }

    /// As if it had not been tried.
    async fn withdraw(&mut self, session: &Session, attempt: &Attempt) -> Result<(), ConnectionError> {
        self.handed.retain(|handed| handed.id != attempt.network);
        let forgiven = self.track.forgive(attempt.network);
        self.tell_all(forgiven);
        self.know();
        session.remove(attempt.network).await?;
        self.enable_all(session).await?;
        self.track.stay_out(attempt.was_out);
        session.tell(if attempt.was_out { Request::Disconnect } else { Request::Reassociate }).await
    }

    /// When the chosen network is lost, the others are good enough.
    async fn settle_choice(&mut self, session: &Session) -> Result<(), ConnectionError> {
        let Some((network, lost)) = self.chosen else { return Ok(()) };
        let now = Instant::now();
        if self.track.joined() == Some(network) {
            self.chosen = Some((network, None));
        } else if lost.is_some_and(|since| now >= since + LOST) {
            self.chosen = None;
            self.enable_all(session).await?;
        } else {
            self.chosen = Some((network, lost.or(Some(now))));
        }
        Ok(())
    }

    async fn enable_all(&self, session: &Session) -> Result<(), ConnectionError> {
        for handed in &self.handed {
            session.tell(Request::EnableNetwork(handed.id)).await?;
        }
        Ok(())
    }

    async fn disconnect(&mut self, session: &Session) -> Result<(), ConnectionError> {
        self.interrupt_attempt(session).await?;
        self.track.stay_out(true);
        session.tell(Request::Disconnect).await?;
        self.ask_status(session).await
    }

    async fn interrupt_attempt(&mut self, session: &Session) -> Result<(), ConnectionError> {
        let Some((attempt, reply)) = self.attempt.take() else { return Ok(()) };
        answer(reply, Err(StationError::Interrupted));
        self.withdraw(session, &attempt).await
    }

    async fn resumed(&mut self, session: &Session) -> Result<(), ConnectionError> {
        self.ask_status(session).await?;
        if self.track.joined().is_none() && self.attempt.is_none() && !self.track.stays_out() {
            self.retry_failed(session, &[]).await?;
            session.tell(Request::Reassociate).await?;
        }
        Ok(())
    }

    /// Is it known, and now forgotten?
    async fn forget(&mut self, session: &Session, ssid: &Ssid) -> Result<bool, ConnectionError> {
        let attempted = self.attempt.as_ref().map(|(attempt, _)| attempt.network);
        let named = |handed: &Handed| handed.network.ssid == *ssid && Some(handed.id) != attempted;
        let ids: Vec<NetworkId> = self.handed.iter().filter(|h| named(h)).map(|handed| handed.id).collect();
        let configured = self.setup.config.networks.iter().any(|network| network.ssid == *ssid);
        self.setup.config.networks.retain(|network| network.ssid != *ssid);
        self.extra.retain(|network| network.ssid != *ssid);
        for id in &ids {
            session.remove(*id).await?;
            let forgiven = self.track.forgive(*id);
            self.tell_all(forgiven);
        }
        self.handed.retain(|handed| !ids.contains(&handed.id));
        self.know();
        self.ask_status(session).await?;
        Ok(configured || !ids.is_empty())
    }

    async fn configure(&mut self, session: &Session, config: WifiConfig) -> Result<(), ConnectionError> {
        self.interrupt_attempt(session).await?;
        self.setup.config = config;
        self.extra.clear();
        if is_ours(&self.setup) {
            session.set_globals(&self.setup).await?;
        }
        // wpa_supplicant may still be busy with one of them, without any hope: a key that it waits for somebody to open.
        let failed: Vec<NetworkId> =
            self.handed.iter().map(|handed| handed.id).filter(|id| self.track.fault(*id).is_some()).collect();
        if let StationState::Failed(_) = self.track.state() {
            let told = self.track.begin();
            self.tell_all(told);
        }
        self.hand_over(session).await?;
        self.chosen = None;
        self.retry_failed(session, &failed).await?;
        self.ask_status(session).await
    }

    /// Those that are not tried for a while are tried at once, and these anew.
    async fn retry_failed(&mut self, session: &Session, failed: &[NetworkId]) -> Result<(), ConnectionError> {
        let ours: Vec<NetworkId> = self.handed.iter().map(|handed| handed.id).collect();
        for network in session.list().await? {
            let failed = network.temporarily_disabled || failed.contains(&network.id);
            if failed && ours.contains(&network.id) {
                session.tell(Request::DisableNetwork(network.id)).await?;
                session.tell(Request::EnableNetwork(network.id)).await?;
                let forgiven = self.track.forgive(network.id);
                self.tell_all(forgiven);
            }
        }
        Ok(())
    }

    fn next_deadline(&self, check: Instant) -> Instant {
        let attempt = self.attempt.iter().map(|(attempt, _)| attempt.deadline);
        let scans = self.scans.iter().map(|(_, deadline)| *deadline);
        let scans = scans.chain(self.rescan);
        let choice = self.chosen.iter().filter_map(|(_, lost)| lost.map(|since| since + LOST));
        attempt.chain(scans).chain(choice).fold(check, Instant::min)
    }

    /// wpa_supplicant, or what it knew of the interface, is gone.
    fn lost(&mut self, fault: Fault) {
        tracing::warn!("{}: {fault}", self.setup.interface);
        self.fail(fault);
        self.handed.clear();
        self.track.know(BTreeMap::new());
        self.chosen = None;
        if let Some((_, reply)) = self.attempt.take() {
            answer(reply, Err(StationError::Interrupted));
        }
        for (reply, _) in self.scans.drain(..) {
            answer(reply, Err(StationError::Interrupted));
        }
    }

    fn fail(&mut self, fault: Fault) {
        let told = self.track.fail(fault);
        self.tell_all(told);
        for command in std::mem::take(&mut self.early) {
            self.refuse(command);
        }
    }

    fn not_ready<T>(&self, reply: Reply<T>) {
        let interface = self.setup.interface.clone();
        let error = match self.track.state() {
            StationState::Failed(fault) => StationError::NotReady { interface, fault: fault.clone() },
            StationState::Starting
            | StationState::Scanning
            | StationState::Associating { .. }
            | StationState::Joined { .. }
            | StationState::Disconnected => StationError::Starting { interface },
        };
        answer(reply, Err(error));
    }

    fn tell_all(&self, told: Vec<What>) {
        for what in told {
            self.report(what);
        }
    }

    fn report(&self, what: What) {
        // Nobody may be listening any more; the station goes on.
        let _ = self.reports.send(Report { interface: self.setup.interface.clone(), what });
    }
}

/// Returns when our wpa_supplicant is no longer the one with this number.
async fn left(life: &mut watch::Receiver<Life>, generation: Option<u64>) -> Fault {
    let Ok(life) = life.wait_for(|life| number(life) != generation).await else {
        return pending().await;
    };
    absence(&life).unwrap_or_else(|| Fault::Unreachable { problem: "wpa_supplicant was ended".to_owned() })
}

/// Which one is there, if one is.
fn number(life: &Life) -> Option<u64> {
    match life {
        Life::Running { generation } => Some(*generation),
        Life::Idle | Life::Starting | Life::Missing | Life::Died { .. } | Life::Failed { .. } => None,
    }
}

/// Why it is not there.
fn absence(life: &Life) -> Option<Fault> {
    match life {
        Life::Idle | Life::Starting | Life::Running { .. } => None,
        Life::Missing => Some(Fault::NoSupplicant),
        Life::Died { restart_in } => Some(Fault::SupplicantDied { restart_in: *restart_in }),
        Life::Failed { problem, retry_in } => {
            Some(Fault::CannotStart { problem: chain(problem.as_ref()), retry_in: *retry_in })
        }
    }
}

fn word(security: &Security) -> &'static str {
    match security {
        Security::Open => "open",
        Security::Owe => "owe",
        Security::Psk(_) => "psk",
        Security::Sae(_) => "sae",
        Security::Eap(_) => "eap",
    }
}

/// Answers who asked. An error of the connection, not an answer, concerns the station as well.
fn done<T>(reply: Reply<T>, result: Result<T, ConnectionError>) -> Result<(), ConnectionError> {
    match result {
        Ok(value) => answer(reply, Ok(value)),
        Err(error) => {
            answer(reply, Err(StationError::Refused { problem: chain(&error) }));
            if !error.is_answer() {
                return Err(error);
            }
        }
    }
    Ok(())
}

fn answer<T>(reply: Reply<T>, result: Result<T, StationError>) {
    // Who asked may no longer wait.
    let _ = reply.send(result);
}
