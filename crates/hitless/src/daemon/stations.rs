//! The stations of all bonds: which Wi-Fi ports are made to join networks, and by whom.
//!
//! Each has a task of its own beside the loop: joining a network takes seconds, and no failover waits for it. What a bond
//! makes of an association is not decided here; it is seen in the kernel, whoever brought it about.

#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hitless_api::{self as api, Error, NewNetwork};
use hitless_core::wifi::Ssid;
use hitless_linux::wireless::Wireless;
use tokio::sync::{mpsc, oneshot};

use crate::causes::chain;
use crate::server::{Reply, convert};
use crate::wifi::network::{Manage, Network, WifiConfig};
use crate::wifi::saved::{Saved, SavedError};
use crate::wifi::station::{Fault, Report, Setup, Station, StationError, StationState, What};
use crate::wifi::supplicant::process::{Supplicant, is_installed};

type Answer = Result<Reply, Error>;

/// A Wi-Fi interface that is, or was, a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    pub(super) interface: String,
    pub(super) index: u32,
    pub(super) bond: String,
}

/// Something that the loop is to know.
#[derive(Debug)]
pub(super) enum Told {
    /// By a station.
    Report(Report),
    /// A client's wish has come to something.
    Finished(Finished),
}

/// What came of a client's wish.
#[derive(Debug)]
pub(super) struct Finished {
    interface: String,
    /// How often the station had been given its configuration when the client asked.
    given: u64,
    wish: Wish,
    result: Result<(), StationError>,
    reply: oneshot::Sender<Answer>,
}

/// What a client wants of a station.
#[derive(Debug)]
enum Wish {
    /// To join a network, which is to be remembered unless it is known already.
    Join { ssid: Ssid, remember: Option<Box<NewNetwork>> },
    /// To leave it.
    Leave,
}

/// The stations of all bonds.
pub(super) struct Stations {
    supplicant: Supplicant,
    configured: BTreeMap<String, WifiConfig>,
    saved: Saved,
    members: BTreeSet<Member>,
    /// Those of which nothing is configured, and who makes them join since a client has asked for it.
    on_demand: BTreeMap<String, Manage>,
    stations: BTreeMap<String, Kept>,
    reports: mpsc::UnboundedReceiver<Report>,
    reports_sender: mpsc::UnboundedSender<Report>,
    finished: mpsc::UnboundedReceiver<Finished>,
    finished_sender: mpsc::UnboundedSender<Finished>,
}

/// A station and what is known of it.
struct Kept {
    member: Member,
    config: WifiConfig,
    station: Station,
    state: StationState,
    /// How often it was given its configuration anew.
    given: u64,
}

/// What is found of an interface for which nothing is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// It has joined nothing.
    Free,
    /// A wpa_supplicant that somebody else has started takes care of it, and can be spoken to.
    Existing,
    /// Some other program has made it join a network.
    Taken,
}

impl Stations {
    /// `socket` is the daemon's; what has to do with its stations lies beside it. `state` is where networks are kept that
    /// were joined by command.
    pub(super) fn new(
        socket: &Path,
        state: &Path,
        configured: BTreeMap<String, WifiConfig>,
    ) -> Result<Self, SavedError> {
        let (reports_sender, reports) = mpsc::unbounded_channel();
        let (finished_sender, finished) = mpsc::unbounded_channel();
        Ok(Self {
            supplicant: Supplicant::new(socket.with_extension("wpa")),
            configured,
            saved: Saved::open(state)?,
            members: BTreeSet::new(),
            on_demand: BTreeMap::new(),
            stations: BTreeMap::new(),
            reports,
            reports_sender,
            finished,
            finished_sender,
        })
    }

    /// What is next to be known.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            Some(report) = self.reports.recv() => Told::Report(report),
            Some(finished) = self.finished.recv() => Told::Finished(finished),
            // We keep a sender of each.
            else => std::future::pending().await,
        }
    }

    /// What is configured.
    pub(super) fn configured(&self) -> &BTreeMap<String, WifiConfig> {
        &self.configured
    }

    /// The configuration is another one.
    pub(super) fn configure(&mut self, configured: BTreeMap<String, WifiConfig>) {
        self.configured = configured;
        self.keep_members(true);
    }

    /// Takes away from our wpa_supplicant what an earlier daemon gave to it and nobody wants any more, or ends it. Which
    /// interfaces can be ports is said by `is_port`; they need not be there yet.
    pub(super) fn sweep(&self, is_port: impl Fn(&str) -> bool) {
        if !self.supplicant.directory().exists() {
            return;
        }
        let wanted = self.wanted(is_port);
        if wanted.is_empty() {
            return self.end_supplicant();
        }
        let supplicant = self.supplicant.clone();
        tokio::spawn(async move { supplicant.retain(&wanted).await });
    }

    /// The interfaces that a wpa_supplicant of ours is to make join networks.
    fn wanted(&self, is_port: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let names = self.configured.keys().map(String::as_str).chain(self.saved.interfaces());
        let wanted = names.filter(|name| {
            let config = self.config(name);
            is_port(name) && config.manage == Manage::Auto && self.is_kept(name, &config)
        });
        wanted.map(str::to_owned).collect()
    }

    fn end_supplicant(&self) {
        let supplicant = self.supplicant.clone();
        tokio::spawn(async move {
            if let Err(error) = supplicant.terminate().await {
                tracing::warn!(error = chain(&error));
            }
        });
    }

    // ---- who is there --------------------------------------------------------------------------------------------

    /// These are the Wi-Fi ports.
    pub(super) fn keep(&mut self, members: BTreeSet<Member>) {
        if members != self.members {
            self.members = members;
            self.keep_members(false);
        }
    }

    /// Starts, changes and ends stations, so that they are those of the members. `anew`: files may have changed.
    fn keep_members(&mut self, anew: bool) {
        let members = self.members.clone();
        let before = self.stations.len();
        let gone =
            self.stations.values().map(|kept| kept.member.clone()).filter(|own| !members.contains(own));
        for member in gone.collect::<Vec<_>>() {
            self.release(&member.interface);
        }
        for member in &members {
            let config = self.config(&member.interface);
            let kept_here = self.is_kept(&member.interface, &config);
            match self.stations.get_mut(&member.interface) {
                Some(kept) if kept.config == config && !(anew && config.has_secret_files()) => {}
                Some(kept) if kept.config.manage == config.manage && kept_here => {
                    kept.config = config;
                    kept.give();
                }
                Some(_) => {
                    self.release(&member.interface);
                    if kept_here {
                        self.start(member, config);
                    }
                }
                None if kept_here => self.start(member, config),
                None => {}
            }
        }
        if before > 0 && self.stations.is_empty() {
            self.end_supplicant();
        }
    }

    /// A client wants something done by a station: it is there from now on, if nothing is configured for it. Not where
    /// another program has made it join a network, which would only be disturbed.
    fn wake(&mut self, member: &Member) -> Result<(), Error> {
        if self.stations.contains_key(&member.interface) {
            return Ok(());
        }
        let mut config = self.config(&member.interface);
        match self.found(member) {
            Found::Free => {}
            Found::Existing => config.manage = Manage::Existing,
            Found::Taken => return Err(taken(&member.interface)),
        }
        self.on_demand.insert(member.interface.clone(), config.manage);
        self.start(member, config);
        Ok(())
    }

    /// What has an interface that is none of our stations.
    fn found(&self, member: &Member) -> Found {
        let theirs = self.supplicant.existing().join(&member.interface);
        if !self.configured.contains_key(&member.interface) && theirs.exists() {
            return Found::Existing;
        }
        if is_joined(member.index) { Found::Taken } else { Found::Free }
    }

    fn start(&mut self, member: &Member, config: WifiConfig) {
        let setup = Setup {
            interface: member.interface.clone(),
            bond: Some(member.bond.clone()),
            config: config.clone(),
            supplicant: self.supplicant.clone(),
        };
        let station = Station::start(setup, self.reports_sender.clone());
        let kept = Kept { member: member.clone(), config, station, state: StationState::Starting, given: 0 };
        self.stations.insert(member.interface.clone(), kept);
    }

    fn release(&mut self, interface: &str) {
        if let Some(kept) = self.stations.remove(interface) {
            detach(async move { kept.station.release().await });
        }
    }

    /// Gives the stations of a bond back, and waits for it: the bond is about to go.
    pub(super) async fn release_bond(&mut self, bond: &str) {
        let (gone, kept) = std::mem::take(&mut self.stations)
            .into_iter()
            .partition(|(_, kept): &(String, Kept)| kept.member.bond == bond);
        self.stations = kept;
        let before = gone.len();
        for (interface, kept) in gone {
            if let Err(error) = kept.station.release().await {
                tracing::debug!(interface, error = chain(&error), "not released");
            }
        }
        if before > 0
            && self.stations.is_empty()
            && let Err(error) = self.supplicant.terminate().await
        {
            tracing::warn!(error = chain(&error));
        }
    }

    /// Is there anything to make an interface join?
    fn is_kept(&self, interface: &str, config: &WifiConfig) -> bool {
        match config.manage {
            Manage::Auto => !config.networks.is_empty() || self.on_demand.contains_key(interface),
            Manage::Existing | Manage::Iwd => true,
            Manage::Off => false,
        }
    }

    /// Is there a network that an interface is to join?
    pub(super) fn knows_network(&self, interface: &str) -> bool {
        !self.config(interface).networks.is_empty()
    }

    /// What an interface is to join: what is configured, and what was joined by command.
    fn config(&self, interface: &str) -> WifiConfig {
        let mut config = self.configured.get(interface).cloned().unwrap_or_else(|| WifiConfig {
            manage: self.on_demand.get(interface).copied().unwrap_or_default(),
            ..WifiConfig::default()
        });
        for saved in self.saved.of(interface) {
            match words::network(saved) {
                Ok(network) if config.networks.iter().all(|known| known.ssid != network.ssid) => {
                    config.networks.push(network);
                }
                Ok(_) => {}
                Err(problem) => tracing::warn!(interface, problem, "a saved network cannot be used"),
            }
        }
        config
    }

    // ---- what they tell ------------------------------------------------------------------------------------------

    /// Takes note of a report.
    pub(super) fn reported(&mut self, report: Report) {
        let Some(kept) = self.stations.get_mut(&report.interface) else { return };
        let (interface, bond) = (&kept.member.interface, &kept.member.bond);
        match report.what {
            What::State(state) => {
                match &state {
                    StationState::Joined { ssid, bssid, .. } => {
                        tracing::info!("{bond}: {interface}: joined \"{ssid}\" at {bssid}");
                    }
                    StationState::Failed(fault) => {
                        tracing::warn!("{bond}: {interface}: {}", chain(fault));
                    }
                    StationState::Starting
                    | StationState::Scanning
                    | StationState::Associating { .. }
                    | StationState::Disconnected => tracing::debug!("{bond}: {interface}: {state:?}"),
                }
                kept.state = state;
            }
            What::Unusable(unusable) => tracing::warn!("{bond}: {interface}: {}", chain(&unusable)),
            // The kernel tells that, and sooner.
            What::BeaconLoss | What::Deauthenticated { .. } | What::Rekeyed => {}
        }
    }

    /// The machine has slept.
    pub(super) fn resumed(&self) {
        for kept in self.stations.values() {
            let station = kept.station.clone();
            detach(async move { station.resumed().await });
        }
    }

    /// How a station is doing, as far as it is for its task to say: what it is doing, and what keeps it from joining.
    pub(super) fn state(&self, interface: &str) -> Option<(String, Option<String>)> {
        let kept = self.stations.get(interface)?;
        let fault = match &kept.state {
            StationState::Failed(fault) => Some(chain(fault)),
            StationState::Starting
            | StationState::Scanning
            | StationState::Associating { .. }
            | StationState::Joined { .. }
            | StationState::Disconnected => None,
        };
        Some((words::state(&kept.state), fault))
    }

    /// Who makes an interface join.
    pub(super) fn manager(&self, interface: &str) -> api::Manager {
        let missing = |kept: &&Kept| kept.state == StationState::Failed(Fault::NoSupplicant);
        let kept = self.stations.get(interface);
        match kept.map(|kept| kept.config.manage) {
            // It is chosen where wpa_supplicant is not installed.
            Some(Manage::Auto) if !is_installed() && kept.filter(missing).is_none() => api::Manager::Iwd,
            Some(Manage::Auto) => api::Manager::Supplicant,
            Some(Manage::Existing) => api::Manager::Existing,
            Some(Manage::Iwd) => api::Manager::Iwd,
            Some(Manage::Off) | None => api::Manager::Off,
        }
    }

    // ---- what clients want ---------------------------------------------------------------------------------------

    /// The Wi-Fi ports that are meant: this one, or all. Those that we only watch are not.
    fn meant(&self, port: Option<&str>) -> Result<Vec<Member>, Error> {
        let is_meant = |member: &&Member| {
            let configured = self.configured.get(&member.interface);
            port.is_none_or(|port| port == member.interface)
                && configured.is_none_or(|config| config.manage != Manage::Off)
        };
        let meant: Vec<Member> = self.members.iter().filter(is_meant).cloned().collect();
        if meant.is_empty() {
            return Err(Error::NoSuchStation { port: port.unwrap_or_default().to_owned() });
        }
        Ok(meant)
    }

    /// The one Wi-Fi port that is meant.
    fn the_one(&self, port: Option<&str>) -> Result<Member, Error> {
        let mut meant = self.meant(port)?;
        if meant.len() > 1 {
            return Err(Error::SeveralStations {
                ports: meant.into_iter().map(|member| member.interface).collect(),
            });
        }
        meant.pop().ok_or(Error::NoSuchStation { port: String::new() })
    }

    /// The station of the one that is meant, which is woken for that.
    fn the_station(&mut self, port: Option<&str>) -> Result<&Kept, Error> {
        let member = self.the_one(port)?;
        self.wake(&member)?;
        self.stations.get(&member.interface).ok_or(Error::NoSuchStation { port: member.interface })
    }

    /// The networks that stations know. Nobody is woken for that.
    pub(super) fn list(&self, port: Option<&str>, reply: oneshot::Sender<Answer>) {
        let meant = match self.meant(port) {
            Ok(meant) => meant,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let asked: Vec<_> = meant
            .iter()
            .filter_map(|member| self.stations.get(&member.interface))
            .map(|kept| (kept.station.clone(), self.known(kept)))
            .collect();
        tokio::spawn(async move {
            let mut all = Vec::new();
            for (station, mut networks) in asked {
                // One that cannot be asked says so in its status.
                for known in station.networks().await.unwrap_or_default() {
                    let (shown, hex) = convert::ssid(&known.ssid);
                    for network in networks
                        .iter_mut()
                        .filter(|network| (&network.ssid, &network.ssid_hex) == (&shown, &hex))
                    {
                        network.current |= known.current;
                        network.fault = known.disabled.as_ref().map(|fault| chain(fault));
                    }
                }
                all.extend(networks);
            }
            drop(reply.send(Ok(Reply::Networks(all))));
        });
    }

    /// The networks that a station may join, as far as we know of them.
    fn known(&self, kept: &Kept) -> Vec<api::Network> {
        let configured = self.configured.get(&kept.member.interface);
        let from_file = |ssid: &Ssid| {
            configured.is_some_and(|config| config.networks.iter().any(|network| network.ssid == *ssid))
        };
        let known = kept.config.networks.iter().map(|network| {
            let (ssid, ssid_hex) = convert::ssid(&network.ssid);
            api::Network {
                interface: kept.member.interface.clone(),
                ssid,
                ssid_hex,
                security: words::security(&network.security),
                priority: network.priority,
                hidden: network.hidden,
                current: false,
                saved_by: if from_file(&network.ssid) { api::SavedBy::Config } else { api::SavedBy::Command },
                fault: None,
            }
        });
        known.collect()
    }

    /// The access points in range.
    pub(super) fn scan(&mut self, port: Option<&str>, reply: oneshot::Sender<Answer>) {
        let meant = match self.meant(port) {
            Ok(meant) => meant,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let mut failed = meant.iter().filter_map(|member| self.wake(member).err()).last();
        let asked: Vec<_> = meant
            .iter()
            .filter_map(|member| self.stations.get(&member.interface))
            .map(|kept| {
                let known: Vec<Ssid> =
                    kept.config.networks.iter().map(|network| network.ssid.clone()).collect();
                (kept.member.interface.clone(), kept.station.clone(), known, kept.joined())
            })
            .collect();
        tokio::spawn(async move {
            let mut points = Vec::new();
            for (interface, station, known, current) in asked {
                match station.scan().await {
                    Ok(heard) => points.extend(
                        heard
                            .iter()
                            .map(|point| words::access_point(&interface, point, &known, current.as_deref())),
                    ),
                    Err(error) => failed = Some(Error::WifiFailed { reason: chain(&error) }),
                }
            }
            let answer = match failed {
                Some(error) if points.is_empty() => Err(error),
                Some(_) | None => Ok(Reply::AccessPoints(points)),
            };
            drop(reply.send(answer));
        });
    }

    /// Joins a network, which is remembered when that has worked.
    pub(super) fn connect(&mut self, port: Option<&str>, new: NewNetwork, reply: oneshot::Sender<Answer>) {
        let (kept, network) = match self.choose(port, &new) {
            Ok(found) => found,
            Err(error) => return drop(reply.send(Err(error))),
        };
        let (interface, station, given) = (kept.member.interface.clone(), kept.station.clone(), kept.given);
        let remember = new.security.is_some().then(|| Box::new(new));
        let wish = Wish::Join { ssid: network.ssid.clone(), remember };
        let finished = self.finished_sender.clone();
        tokio::spawn(async move {
            let result = station.connect(network).await;
            drop(finished.send(Finished { interface, given, wish, result, reply }));
        });
    }

    fn choose(&mut self, port: Option<&str>, new: &NewNetwork) -> Result<(&Kept, Network), Error> {
        let kept = self.the_station(port)?;
        let refused = |reason: String| Error::WifiFailed { reason };
        if new.security.is_some() {
            return Ok((kept, words::network(new).map_err(refused)?));
        }
        let ssid = words::ssid(new).map_err(refused)?;
        match kept.config.networks.iter().find(|network| network.ssid == ssid) {
            Some(network) => Ok((kept, network.clone())),
            None => Err(refused(format!(
                "\"{ssid}\" is not known; say how it is to be joined: --ask, --psk-file, --open or --owe"
            ))),
        }
    }

    /// Leaves the network.
    pub(super) fn disconnect(&mut self, port: Option<&str>, reply: oneshot::Sender<Answer>) {
        let kept = match self.leaver(port) {
            Ok(Some(kept)) => kept,
            Ok(None) => return drop(reply.send(Ok(Reply::Done))),
            Err(error) => return drop(reply.send(Err(error))),
        };
        let (interface, station, given) = (kept.member.interface.clone(), kept.station.clone(), kept.given);
        let finished = self.finished_sender.clone();
        tokio::spawn(async move {
            let result = station.disconnect().await;
            drop(finished.send(Finished { interface, given, wish: Wish::Leave, result, reply }));
        });
    }

    /// The station that is to leave its network; `None` where nobody has made it join one.
    fn leaver(&mut self, port: Option<&str>) -> Result<Option<&Kept>, Error> {
        let member = self.the_one(port)?;
        if !self.stations.contains_key(&member.interface) && self.found(&member) == Found::Free {
            return Ok(None);
        }
        self.the_station(port).map(Some)
    }

    /// Forgets a network that was joined by command.
    pub(super) fn forget(&mut self, port: Option<&str>, network: &NewNetwork) -> Answer {
        let interface = self.the_one(port)?.interface;
        let failed = |reason: String| Error::WifiFailed { reason };
        let ssid = words::ssid(network).map_err(failed)?;
        if !self.saved.remove(&interface, network).map_err(|error| failed(chain(&error)))? {
            let configured = self.configured.get(&interface);
            let from_file =
                configured.is_some_and(|config| config.networks.iter().any(|known| known.ssid == ssid));
            return Err(failed(if from_file {
                format!("\"{ssid}\" is in the configuration file: remove it there, then hitless reload")
            } else {
                format!("{interface} does not know \"{ssid}\"; `hitless wifi list` shows what it knows")
            }));
        }
        self.relearn(&interface);
        if let Some(kept) = self.stations.get(&interface) {
            let (station, config) = (kept.station.clone(), kept.config.clone());
            detach(async move {
                // It may be in the configuration as well.
                if config.networks.iter().any(|network| network.ssid == ssid) {
                    station.configure(config).await
                } else {
                    station.forget(&ssid).await
                }
            });
        }
        Ok(Reply::Done)
    }

    /// What came of a client's wish: a network that was joined is remembered.
    pub(super) fn finished(&mut self, finished: Finished, status: impl FnOnce(&str) -> Option<api::Station>) {
        let Finished { interface, given, wish, result, reply } = finished;
        let failed = |reason: String| Error::WifiFailed { reason };
        let answer = result.map_err(|error| failed(chain(&error))).and_then(|()| match wish {
            Wish::Join { ssid, remember } => {
                if let Some(network) = remember {
                    self.saved.add(&interface, *network).map_err(|error| {
                        failed(format!("joined, but it is not remembered: {}", chain(&error)))
                    })?;
                    self.relearn(&interface);
                    // In between it was given a configuration without this network.
                    if let Some(kept) = self.stations.get_mut(&interface).filter(|kept| kept.given != given) {
                        kept.give();
                    }
                }
                let station = status(&interface).unwrap_or_else(|| self.without_bond(&interface));
                Ok(Reply::Joined(Box::new(joined(station, &ssid))))
            }
            Wish::Leave => Ok(Reply::Done),
        });
        drop(reply.send(answer));
    }

    /// A station whose task knows already what it is to join.
    fn relearn(&mut self, interface: &str) {
        let config = self.config(interface);
        if let Some(kept) = self.stations.get_mut(interface) {
            kept.config = config;
        }
    }

    /// A station of which no bond knows.
    fn without_bond(&self, interface: &str) -> api::Station {
        let (interface, manager) = (interface.to_owned(), self.manager(interface));
        api::Station { interface, bond: None, manager, wifi: api::Wifi::default() }
    }
}

/// The status of a station that has joined this network, which the kernel may not have told yet.
fn joined(mut station: api::Station, ssid: &Ssid) -> api::Station {
    if station.wifi.ssid.is_none() {
        let (shown, hex) = convert::ssid(ssid);
        "joined".clone_into(&mut station.wifi.state);
        station.wifi = api::Wifi { ssid: Some(shown), ssid_hex: hex, fault: None, ..station.wifi };
    }
    station
}

impl Kept {
    /// Gives the station its configuration, whether it has changed or not.
    fn give(&mut self) {
        self.given += 1;
        let (station, config) = (self.station.clone(), self.config.clone());
        detach(async move { station.configure(config).await });
    }

    /// The access point that it has joined.
    fn joined(&self) -> Option<String> {
        match &self.state {
            StationState::Joined { bssid, .. } => Some(bssid.to_string()),
            StationState::Starting
            | StationState::Scanning
            | StationState::Associating { .. }
            | StationState::Disconnected
            | StationState::Failed(_) => None,
        }
    }
}

/// Is an interface associated, by whomever?
fn is_joined(index: u32) -> bool {
    let station = Wireless::requests().and_then(|wireless| wireless.station(index, None));
    station.is_ok_and(|station| station.is_some_and(|station| station.association.is_some()))
}

fn taken(interface: &str) -> Error {
    let reason = format!("{interface} is joined by another program; set manage in [wifi.{interface}]");
    Error::WifiFailed { reason }
}

/// Lets something happen beside the loop. What comes of it is told by the station itself.
fn detach<T: Send + 'static>(work: impl Future<Output = Result<T, StationError>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = work.await {
            tracing::debug!(error = chain(&error), "a station did not do it");
        }
    });
}
