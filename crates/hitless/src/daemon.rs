//! The daemon: one visible loop.
//!
//! It waits for the next event, notes the time, hands the event to the machine of the bond that it concerns, carries
//! out what the machine wants, and tells the world. Requests to the kernel that take time run beside the loop, so that
//! no bond waits for another; what ends a failover is done at once. Ending the daemon leaves bonds forwarding.

mod bond;
mod dhcp;
mod dhcp6;
mod dns;
mod ip;
mod others;
mod pace;
mod peers;
mod preflight;
mod radios;
mod requests;
mod service;
mod sleep;
mod sockets;
mod stations;
mod status;
mod time;
pub mod trial;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hitless_api::Verdict;
use hitless_core::config::FailOverMac;
use hitless_core::event::Notice;
use hitless_core::time::Instant;
use hitless_linux::alarm::Alarm;
use hitless_linux::carrier::LinkProbe;
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::netlink::{LinkEvent, LinkEvents, Netlink};
use hitless_linux::privilege::{self, MissingPrivilege};
use hitless_linux::rfkill::{RfkillEvent, RfkillEvents};
use hitless_linux::suspend::SleepGauge;
use hitless_linux::wireless::{Wireless, WirelessEvent, WirelessEvents};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use self::bond::{Beside, BondTask, Completed, Work};
use self::dns::NameServers;
use self::others::Others;
use self::pace::Pace;
use self::requests::PendingReply;
use self::service::Service;
use self::sleep::{Sleep, SleepSignals};
use self::sockets::Heard;
use self::stations::{Stations, Told};
use self::time::Time;
use self::trial::Trial;
use crate::adoption::record::Record;
use crate::causes::chain;
use crate::cli::RunOptions;
use crate::config::{Bond, Config, ConfigSource, LoadError};
use crate::dbus::Bus;
use crate::driver::{self, Driver, DriverError, Resolved, Tools, resolve};
use crate::host_name::HostName;
use crate::ledger::{Ledger, LedgerError};
use crate::resolver::task::Report;
use crate::server::convert;
use crate::server::{BindError, Request, Server};
use crate::wifi::saved::SavedError;
use crate::wifi::station::What;

/// Two that tell of an end of sleep within this time tell of the same.
const SAME_SLEEP: Duration = Duration::from_secs(5);

/// Names a bond for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BondId(u32);

/// Why the daemon could not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The configuration is wrong. (Not transparent: who reports it looks for it among the causes.)
    #[error("{0}")]
    Config(#[from] LoadError),
    /// The socket cannot be opened.
    #[error(transparent)]
    Socket(#[from] BindError),
    /// The networks cannot be read that were joined by command.
    #[error(transparent)]
    Saved(#[from] SavedError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A privilege is missing.
    #[error(transparent)]
    Privilege(#[from] MissingPrivilege),
    /// A bond cannot be made.
    #[error("bond {bond}: {source}")]
    Bond {
        /// The bond.
        bond: String,
        /// Why.
        source: Box<DriverError>,
    },
    /// The kernel refused a request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The runtime or a signal handler cannot be made.
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
}

/// Runs the daemon until it is told to end. Bonds stay, and forward.
///
/// # Errors
///
/// See [`RunError`]. What was already done is undone then.
pub fn run(options: RunOptions) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut daemon = Daemon::start(options).await?;
        daemon.run().await
    })
}

struct Daemon {
    source: ConfigSource,
    /// Where what has to be remembered is kept.
    state: PathBuf,
    tools: Tools,
    probe: LinkProbe,
    links: LinkEvents,
    wireless: WirelessEvents,
    rfkill: RfkillEvents,
    sleep: SleepGauge,
    sleep_signals: SleepSignals,
    last_resumed: Option<Instant>,
    stations: Stations,
    name_servers: NameServers,
    time: Time,
    host_name: HostName,
    others: Others,
    server: Server,
    requests: mpsc::Receiver<Request>,
    heard: mpsc::Receiver<Heard>,
    heard_sender: mpsc::Sender<Heard>,
    bonds: BTreeMap<BondId, BondTask>,
    next_bond: u32,
    work: FuturesUnordered<Work>,
    replies: Vec<PendingReply>,
    trial: Option<Trial>,
    /// How the last one ended, of which bond: for who asks too late.
    last_verdict: Option<(String, Verdict)>,
    record: Record,
    pace: Pace,
    alarm: Alarm,
    service: Service,
    epoch: std::time::Instant,
}

/// What ended the wait.
enum Woken {
    Link(LinkEvent),
    Wireless(WirelessEvent),
    Rfkill(Result<RfkillEvent, RequestError>),
    Station(Told),
    Sleep(Sleep),
    NameServers(Report),
    Completed(Completed),
    Heard(Heard),
    Request(Request),
    Timeout,
    Terminate,
    Reload,
}

impl Daemon {
    async fn start(options: RunOptions) -> Result<Self, RunError> {
        privilege::require_net_admin()?;
        let intended = options.config.load().ok();
        intended.as_ref().map_or(Ok(()), check_privileges)?;
        let (server, requests) = Server::bind(&options.socket)?;
        let (netlink, links) = Netlink::open()?;
        let (wireless_requests, wireless) = Wireless::open()?;
        let ledger = Rc::new(RefCell::new(Ledger::open(&options.socket)?));
        let tools = Tools { netlink, ledger, wireless: Rc::new(wireless_requests) };
        let record = Record::of(&options.socket);
        // Also where the configuration is wrong: nobody may be reached until this is put right.
        trial::end_trial_of_before(&record, &tools, intended.as_ref()).await;
        let is_first = !has_bonds(&tools).await?;
        let config = options.config.load_at_start(is_first)?;
        check_privileges(&config)?;
        let (heard_sender, heard) = mpsc::channel(sockets::QUEUE);
        let mut daemon = Self {
            source: options.config,
            state: options.state.clone(),
            tools,
            probe: LinkProbe::open()?,
            links,
            wireless,
            rfkill: RfkillEvents::open().unwrap_or_else(|error| no_switches(&error)),
            sleep: SleepGauge::new(),
            sleep_signals: SleepSignals::listen(Bus::system()),
            last_resumed: None,
            stations: Stations::new(&options.socket, &options.state, config.wifi.clone())?,
            name_servers: NameServers::new(&options.state),
            time: Time::new(&options.state),
            host_name: HostName::default(),
            others: Others::new(),
            server,
            requests,
            heard,
            heard_sender,
            bonds: BTreeMap::new(),
            next_bond: 0,
            work: FuturesUnordered::new(),
            replies: Vec::new(),
            trial: None,
            last_verdict: None,
            record,
            pace: Pace::default(),
            alarm: Alarm::new()?,
            service: Service::from_environment(),
            epoch: std::time::Instant::now(),
        };
        tracing::info!("hitless {} on {}", env!("CARGO_PKG_VERSION"), options.socket.display());
        preflight::check(&daemon.tools, &config).await?;
        warn_of(&daemon.source, &config);
        daemon.others.prepare(config.bonds.iter()).await;
        let added = daemon.add_bonds(&config.bonds).await;
        if added.is_err() && daemon.tools.ledger.borrow().bonds().is_empty() {
            daemon.keep_others_off().await;
        }
        added?;
        // Arguments tell of one bond, and nothing of others.
        if let ConfigSource::File(_) = daemon.source {
            daemon.remove_orphans(&config).await;
            let ports = || config.bonds.iter().flat_map(|bond| &bond.options.ports);
            daemon.stations.sweep(|name| ports().any(|pattern| pattern.matches(name)));
        }
        Ok(daemon)
    }

    /// Removes bonds of an earlier daemon that the configuration does not name any more, as a reload would.
    async fn remove_orphans(&self, config: &Config) {
        let names = self.tools.ledger.borrow().bonds();
        for name in names.into_iter().filter(|name| config.bond(name).is_none()) {
            match Driver::remove_orphan(&name, &self.tools).await {
                Ok(true) => tracing::info!(bond = name, "not in the configuration any more: removed"),
                Ok(false) => {}
                Err(error) => tracing::warn!(bond = name, error = chain(&error), "not removed"),
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::after_epoch(self.epoch.elapsed())
    }

    /// Makes or adopts bonds. When one fails, those that were made for it are removed again.
    async fn add_bonds(&mut self, bonds: &[Bond]) -> Result<Vec<BondId>, RunError> {
        let mut added = Vec::new();
        for bond in bonds {
            match self.add_bond(bond.clone()).await {
                Ok(id) => added.push(id),
                Err(source) => {
                    self.take_back(&added).await;
                    return Err(RunError::Bond { bond: bond.name.clone(), source: source.into() });
                }
            }
        }
        Ok(added)
    }

    async fn take_back(&mut self, added: &[BondId]) {
        for bond in added.iter().filter_map(|id| self.bonds.remove(id)) {
            // One that was adopted forwards for someone, and stays.
            if bond.driver.was_made()
                && let Err(error) = bond.driver.remove().await
            {
                tracing::warn!(bond = bond.config.name, %error, "not removed again");
            }
        }
    }

    async fn add_bond(&mut self, mut config: Bond) -> Result<BondId, DriverError> {
        let (policy, why) = driver::fail_over_mac(&config, &self.tools).await?;
        config.options.fail_over_mac = policy;
        let driver = Driver::open(&config, &self.tools).await?;
        let result = self.equip(config, driver.clone(), why).await;
        if result.is_err() && driver.was_made() {
            drop(driver.remove().await);
        }
        result
    }

    async fn equip(
        &mut self,
        config: Bond,
        driver: Driver,
        own_macs: Option<String>,
    ) -> Result<BondId, DriverError> {
        let how = if driver.was_made() { "made" } else { "taken over as it was" };
        tracing::info!("{}: {how}, on the {} driver", config.name, driver.name());
        let id = BondId(self.next_bond);
        self.next_bond += 1;
        let beside =
            Beside { tools: self.tools.clone(), heard: self.heard_sender.clone(), state: self.state.clone() };
        let mut bond = BondTask::new(self.now(), id, config, driver, beside);
        if let Some(why) = &own_macs {
            tracing::info!("{}: fail-over-mac is \"active\": {why}", bond.config.name);
        }
        bond.own_macs = own_macs;
        let links = self.eligible(self.tools.netlink.links().await?, &bond);
        bond.present(self.now(), &mut self.probe, &links);
        let observation = bond.driver.observe().await?;
        bond.address_soon(self.now());
        let work = bond.observed(self.now(), observation);
        self.work.extend(work);
        self.bonds.insert(id, bond);
        Ok(id)
    }

    /// The interfaces that could be ports of this bond, which is not among the others: not those that are bonds
    /// themselves, and none that another bond has claimed.
    fn eligible(&self, links: Vec<Link>, bond: &BondTask) -> Vec<Link> {
        let own = |link: &Link| self.bonds.values().chain([bond]).any(|bond| bond.is_own(link));
        let claimed =
            |link: &Link| self.bonds.values().any(|bond| bond.has(link.index) || bond.wants(&link.name));
        links.into_iter().filter(|link| !link.loopback && !own(link) && !claimed(link)).collect()
    }

    // ---- the loop ------------------------------------------------------------------------------------------------

    async fn run(&mut self) -> Result<(), RunError> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            self.settle().await?;
            let woken = self.wait(&mut terminate, &mut interrupt, &mut hangup).await?;
            let now = self.now();
            match woken {
                Woken::Link(event) => self.link_event(now, event).await?,
                Woken::Wireless(event) => {
                    for bond in self.bonds.values_mut() {
                        bond.wireless_event(now, &event);
                    }
                }
                Woken::Rfkill(Ok(event)) => self.radio_switched(now, event),
                Woken::Rfkill(Err(error)) => self.rfkill = no_switches(&error),
                Woken::Station(told) => self.station_told(now, told),
                Woken::Sleep(sleep) => self.sleep_told(now, sleep),
                Woken::NameServers(report) => dns::publish(&report),
                Woken::Completed(completed) => self.complete(now, completed),
                Woken::Heard(Heard { bond, port, what }) => {
                    if let Some(bond) = self.bonds.get_mut(&bond) {
                        bond.heard(now, port, what);
                    }
                }
                Woken::Request(request) => self.answer(request).await,
                Woken::Timeout => self.timeout(now),
                Woken::Reload => self.reload_by_signal().await,
                Woken::Terminate => break,
            }
        }
        self.service.stopping();
        if self.trial.is_some() {
            self.end_trial("the daemon was told to end").await;
            // Whoever waits for it is told before we go: his connection gets its turn.
            tokio::task::yield_now().await;
        }
        tracing::info!("ending; bonds stay, and forward");
        Ok(())
    }

    /// Carries out what machines want, and answers whom it concerns.
    async fn settle(&mut self) -> Result<(), RunError> {
        self.carry_out();
        // What one bond has given back may be what another waits for.
        let returned = self.bonds.values_mut().filter_map(BondTask::take_returned).count();
        if returned > 0 {
            self.present_all().await?;
            self.carry_out();
        }
        self.keep_own_macs().await;
        self.stations.keep(self.bonds.values().flat_map(BondTask::stations).collect());
        self.keep_names_and_time();
        if self.others.is_due() && self.bonds.values().all(|bond| bond.under_way == 0) {
            self.keep_others_off().await;
            self.others.warn_of(self.bonds.values().map(|bond| &bond.config));
        }
        self.tend_trial().await;
        self.answer_settled();
        if self.bonds.values().all(|bond| bond.under_way == 0) {
            self.service.ready();
        }
        Ok(())
    }

    /// What the host is to know of the networks that its bonds are in.
    fn keep_names_and_time(&mut self) {
        self.name_servers.keep(self.bonds.values().map(BondTask::name_servers));
        self.time.keep(self.bonds.values().map(BondTask::time_servers));
        self.host_name.keep(self.bonds.values().find_map(BondTask::host_name));
    }

    /// Where a port refuses the bond's address or must not have it, and `fail-over-mac` was left to us, all ports keep their own.
    async fn keep_own_macs(&mut self) {
        let now = self.now();
        let refused = self.bonds.iter_mut().filter_map(|(id, bond)| Some((*id, bond.take_refusal(now)?)));
        for (id, why) in refused.collect::<Vec<_>>() {
            let Some(bond) = self.bonds.get_mut(&id) else { continue };
            tracing::info!("{}: fail-over-mac is \"active\" from now on: {why}", bond.config.name);
            let name = bond.config.name.clone();
            let mut config = bond.config.clone();
            config.options.fail_over_mac = FailOverMac::Active;
            match self.change_bond(id, config).await {
                Ok(()) => {
                    self.bonds.get_mut(&id).map(|bond| bond.own_macs.insert(why));
                }
                Err(error) => tracing::warn!("{name}: not done, will be tried again: {}", chain(&error)),
            }
        }
    }

    /// Begins what machines want, and tells the world what happened.
    fn carry_out(&mut self) {
        let epoch = self.epoch;
        for bond in self.bonds.values_mut() {
            let (work, notices) = bond.drain(|| Instant::after_epoch(epoch.elapsed()));
            self.work.extend(work);
            for notice in notices {
                publish(&self.server, &bond.config.name, &notice);
            }
        }
    }

    async fn wait(
        &mut self,
        terminate: &mut Signal,
        interrupt: &mut Signal,
        hangup: &mut Signal,
    ) -> Result<Woken, RunError> {
        let trial = self.trial.as_ref().map(Trial::deadline);
        let deadlines = self.bonds.values().filter_map(BondTask::deadline);
        let deadlines = deadlines.chain(self.service.deadline()).chain(trial);
        if let Some(deadline) = deadlines.min() {
            self.alarm.set(deadline.since(self.now()))?;
        }
        Ok(tokio::select! {
            biased;
            event = self.wireless.next() => Woken::Wireless(event?),
            event = self.links.next() => Woken::Link(event?),
            Some(completed) = self.work.next() => Woken::Completed(completed),
            rung = self.alarm.ring() => rung.map(|()| Woken::Timeout)?,
            event = self.rfkill.next() => Woken::Rfkill(event),
            told = self.stations.next() => Woken::Station(told),
            sleep = self.sleep_signals.next() => Woken::Sleep(sleep),
            report = self.name_servers.next() => Woken::NameServers(report),
            Some(heard) = self.heard.recv() => Woken::Heard(heard),
            Some(request) = self.requests.recv() => Woken::Request(request),
            _ = terminate.recv() => Woken::Terminate,
            _ = interrupt.recv() => Woken::Terminate,
            _ = hangup.recv() => Woken::Reload,
        })
    }

    fn complete(&mut self, now: Instant, Completed { bond, what }: Completed) {
        let follow_up = self.bonds.get_mut(&bond).and_then(|bond| bond.complete(now, what));
        self.work.extend(follow_up);
    }

    fn station_told(&mut self, now: Instant, told: Told) {
        match told {
            Told::Report(report) => {
                let rekeyed = report.what == What::Rekeyed;
                for bond in self.bonds.values_mut() {
                    bond.station_changed(now, &report.interface, rekeyed);
                }
                self.stations.reported(report);
            }
            Told::Finished(finished) => {
                let status = self.station_status();
                let find =
                    |interface: &str| status.into_iter().find(|station| station.interface == interface);
                self.stations.finished(finished, find);
            }
        }
    }

    fn radio_switched(&mut self, now: Instant, event: RfkillEvent) {
        let (switch, blocked) = match event {
            RfkillEvent::Switched(block) => (block.switch, block.is_blocked()),
            RfkillEvent::Gone { switch } => (switch, false),
        };
        for bond in self.bonds.values_mut() {
            bond.radio_switched(now, switch, blocked);
        }
    }

    fn timeout(&mut self, now: Instant) {
        if let Some(slept) = self.sleep.slept() {
            tracing::info!("awake again after {} s", slept.as_secs());
            self.resumed(now, Some(slept));
        }
        self.service.tick(now);
        for bond in self.bonds.values_mut() {
            bond.poll_carriers(now, self.pace, &mut self.probe);
            bond.timeout(now);
        }
    }

    fn sleep_told(&mut self, now: Instant, sleep: Sleep) {
        match sleep {
            Sleep::GoingToSleep => tracing::debug!("the machine is about to sleep"),
            Sleep::Awake => {
                let slept = self.sleep.slept();
                // The clocks may have told the same a moment ago.
                let known = self.last_resumed.is_some_and(|last| now - last < SAME_SLEEP);
                if slept.is_some() || !known {
                    tracing::info!("awake again");
                    self.resumed(now, slept);
                }
            }
        }
    }

    /// The machine has slept: it may be anywhere, and nothing that was learnt from others is to be trusted.
    fn resumed(&mut self, now: Instant, slept: Option<Duration>) {
        self.last_resumed = Some(now);
        self.pace.link_event(now);
        for bond in self.bonds.values_mut() {
            bond.resumed(now, slept);
        }
        self.stations.resumed();
    }

    async fn link_event(&mut self, now: Instant, event: LinkEvent) -> Result<(), RunError> {
        match event {
            LinkEvent::New(link) => self.link_changed(now, &link),
            LinkEvent::Gone { index, .. } => {
                self.pace.link_event(now);
                self.rebuild(index).await;
                for bond in self.bonds.values_mut() {
                    bond.link_gone(now, index);
                }
            }
            LinkEvent::Addresses { index } => {
                if let Some(bond) = self.bonds.values_mut().find(|bond| bond.driver.index() == index) {
                    bond.address_soon(now);
                }
            }
            LinkEvent::Overrun => self.present_all().await?,
        }
        Ok(())
    }

    /// Someone removed a bond's interface: it is made again.
    async fn rebuild(&mut self, index: u32) {
        let found = self.bonds.iter().find(|(_, bond)| bond.driver.index() == index).map(|(id, _)| *id);
        let Some(id) = found else { return };
        self.finish_work(id).await;
        let Some(bond) = self.bonds.remove(&id) else { return };
        let name = bond.config.name.clone();
        tracing::warn!("{name}: someone removed the interface; making it again");
        let config = bond.config.clone();
        if let Err(error) = bond.driver.remove().await {
            tracing::warn!("{name}: not everything was given back: {}", chain(&error));
        }
        // With it goes its claim to the name.
        drop(bond);
        if let Err(error) = self.add_bond(config).await {
            tracing::error!("{name}: not made again, until the next reload: {}", chain(&error));
        }
    }

    fn link_changed(&mut self, now: Instant, link: &Link) {
        self.pace.link_event(now);
        if let Some(bond) = self.bonds.values_mut().find(|bond| bond.is_own(link)) {
            return bond.own_changed(now, link);
        }
        // A VLAN on a bond asks more of its ports.
        for bond in self.bonds.values_mut().filter(|bond| link.link == Some(bond.driver.index())) {
            bond.look_soon(now);
        }
        // The bond that has it comes before the one that is to get it.
        let owner = self.bonds.iter().find(|(_, bond)| bond.has(link.index));
        let owner = owner.or_else(|| self.bonds.iter().find(|(_, bond)| bond.wants(&link.name)));
        let Some(id) = owner.map(|(id, _)| *id) else { return };
        if let Some(bond) = self.bonds.get_mut(&id) {
            bond.link_changed(now, &mut self.probe, link);
        }
    }

    /// Presents all interfaces to all bonds: after events were lost, or the configuration changed.
    async fn present_all(&mut self) -> Result<(), RunError> {
        let links = self.tools.netlink.links().await?;
        let now = self.now();
        let ids: Vec<_> = self.bonds.keys().copied().collect();
        for id in ids {
            let Some(mut bond) = self.bonds.remove(&id) else { continue };
            bond.forget_gone(now, &links);
            let links = self.eligible(links.clone(), &bond);
            bond.present(now, &mut self.probe, &links);
            self.bonds.insert(id, bond);
        }
        Ok(())
    }
}

/// Are there bonds of an earlier daemon? The ledger may go on to tell of one whose ports could not be given back.
async fn has_bonds(tools: &Tools) -> Result<bool, RequestError> {
    let known = tools.ledger.borrow().bonds();
    let links = tools.netlink.links().await?;
    Ok(links.iter().any(|link| known.contains(&link.name)))
}

fn check_privileges(config: &Config) -> Result<(), MissingPrivilege> {
    privilege::require_net_admin()?;
    if config.bonds.iter().any(|bond| resolve(bond.driver) == Resolved::Ebpf) {
        privilege::require_bpf()?;
    }
    Ok(())
}

/// A bond of wires needs no switches of radios, and a radio says itself that it is off, if not why.
fn no_switches(error: &RequestError) -> RfkillEvents {
    tracing::warn!("nobody tells whether radios are switched off: {error}");
    RfkillEvents::none()
}

/// Says what the user should know of a configuration that works.
fn warn_of(source: &ConfigSource, config: &Config) {
    for warning in source.warnings(config) {
        tracing::warn!("{warning}");
    }
}

fn publish(server: &Server, bond: &str, notice: &Notice) {
    match notice {
        Notice::Drift { .. }
        | Notice::Retry { .. }
        | Notice::OtherSegment { .. }
        | Notice::Carrier { up: false } => {
            tracing::warn!("{bond}: {notice}");
        }
        Notice::Failover(_)
        | Notice::Link { .. }
        | Notice::Waiting { .. }
        | Notice::Attached { .. }
        | Notice::Detached { .. }
        | Notice::Carrier { up: true } => tracing::info!("{bond}: {notice}"),
    }
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time_us = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
    server.publish(convert::notice(bond, time_us, notice));
}
