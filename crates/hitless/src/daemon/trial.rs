//! A bond that is built around interfaces in use: on trial until someone confirms it, and else taken apart again.
//!
//! What it is to be like is worked out by `adoption`; taking interfaces and giving them back is what it is with any bond.
//! Here is decided when a trial begins and how it ends. Everything that was in use goes on to be, also while other managers
//! let go of it: see `others`.

mod apart;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hitless_api::{Adoption, Confirmed, Error, NewBond, Session, Verdict};
use hitless_core::event::{Snapshot, Waiting};
use hitless_core::time::Instant;
use hitless_linux::tcp::{Connection, Progress};
use tokio::sync::oneshot;

pub(super) use self::apart::end_trial_of_before;
pub use self::apart::{PutBackError, Whole, put_back};
use self::apart::{forget, take_apart, told};
use super::bond::BondTask;
use super::requests::{Answer, failed, on_trial};
use super::{Daemon, peers, preflight};
use crate::adoption::record::OnTrial;
use crate::adoption::survey::{Before, InUse};
use crate::adoption::{self, Plan, Wish};
use crate::causes::chain;
use crate::config::{Bond, ConfigSource, DriverChoice, text};
use crate::resolver::told_by_managers;
use crate::server::Reply;
use crate::wifi::network::WifiConfig;

/// How long a bond may take until it carries traffic: copper that was switched off negotiates for some seconds. Nobody is
/// reached meanwhile.
const BUILDING: Duration = Duration::from_secs(15);

/// How long data may go unacknowledged until the session counts as lost: a failover to Wi-Fi that has to join first may
/// take some seconds.
const STALLED: Duration = Duration::from_secs(10);

/// How often the session is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long somebody may take to confirm, in seconds.
const WITHIN: std::ops::RangeInclusive<u64> = 1..=3600;

/// A bond on trial.
pub(super) struct Trial {
    plan: Plan,
    /// What the interfaces had.
    before: Vec<Before>,
    /// What stations were to join.
    wifi: BTreeMap<String, WifiConfig>,
    /// Where it is written when it is confirmed.
    file: PathBuf,
    phase: Phase,
    session: Option<Watched>,
    /// Those who want to know how it ends.
    waiting: Vec<oneshot::Sender<Answer>>,
}

enum Phase {
    /// It is being built. Then whoever asked for it is told.
    Building { by: Instant, within: Duration, reply: oneshot::Sender<Answer> },
    /// It is there, until then.
    OnTrial { until: Instant },
}

/// The connection of whoever asked for it.
struct Watched {
    connection: Connection,
    seen: Progress,
    /// When something of it was last acknowledged, or nothing had to be.
    lively: Instant,
    next_look: Instant,
}

/// What stations are to join while this bond is on trial: its own go by the file as it is now, others by what was read
/// before, until somebody asks for a reload.
fn with_wifi_of(
    bond: &Bond,
    written: &BTreeMap<String, WifiConfig>,
    present: &BTreeMap<String, WifiConfig>,
) -> BTreeMap<String, WifiConfig> {
    let is_its = |name: &String| bond.options.preference(name).is_some();
    let its = written.iter().filter(|(name, _)| is_its(name));
    let others = present.iter().filter(|(name, _)| !is_its(name));
    its.chain(others).map(|(name, wifi)| (name.clone(), wifi.clone())).collect()
}

impl Trial {
    pub(super) fn deadline(&self) -> Instant {
        match &self.phase {
            Phase::Building { by, .. } => *by,
            Phase::OnTrial { until } => {
                self.session.as_ref().map_or(*until, |session| session.next_look.min(*until))
            }
        }
    }

    /// How long there still is to confirm it.
    pub(super) fn left(&self, bond: &str, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::OnTrial { until } if self.plan.bond.name == bond => Some(until.since(now)),
            Phase::OnTrial { .. } | Phase::Building { .. } => None,
        }
    }
}

impl Watched {
    /// The session, if it is one that is known here.
    fn of(session: &Session, now: Instant) -> Option<Self> {
        let connection = Connection { local: end(&session.local)?, peer: end(&session.peer)? };
        let seen = connection.progress().ok().flatten()?;
        Some(Self { connection, seen, lively: now, next_look: now + LOOK })
    }

    /// Does nothing get across any more? One that has ended in order is no reason: whoever confirms may come by another. One
    /// that was given up while something was outstanding is.
    fn is_stalled(&mut self, now: Instant) -> bool {
        if now < self.next_look {
            return false;
        }
        self.next_look = now + LOOK;
        let moved_on = match self.connection.progress() {
            Ok(Some(progress)) => {
                let before = std::mem::replace(&mut self.seen, progress);
                progress.outstanding == 0 || progress.acked != before.acked
            }
            Ok(None) => self.seen.outstanding == 0,
            Err(_) => true,
        };
        if moved_on {
            self.lively = now;
        }
        now - self.lively >= STALLED
    }
}

fn end(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

// ---- how it begins -----------------------------------------------------------------------------------------------------

impl Daemon {
    /// Builds a bond around interfaces in use. Answered when it carries traffic, or cannot be built.
    pub(super) async fn adopt(&mut self, new: NewBond, reply: oneshot::Sender<Answer>) {
        let begun = match self.plan(&new).await {
            Ok((plan, before, file)) => {
                let wifi = self.stations.configured().clone();
                self.begin(&plan, &before).await.map(|()| (plan, before, wifi, file))
            }
            Err(error) => Err(error),
        };
        let (mut plan, before, wifi, file) = match begun {
            Ok(begun) => begun,
            // Whoever has gone needs no answer.
            Err(error) => return drop(reply.send(Err(error))),
        };
        let now = self.now();
        let session = new.session.as_ref().and_then(|session| Watched::of(session, now));
        match &session {
            Some(session) => {
                tracing::info!("{}: {} has to go on working", plan.bond.name, session.connection);
            }
            None => plan.notes.push(
                "the connection of this terminal is not known, and not watched: only the time limit holds"
                    .to_owned(),
            ),
        }
        let within = Duration::from_secs(new.within_s);
        let phase = Phase::Building { by: now + BUILDING, within, reply };
        self.trial = Some(Trial { plan, before, wifi, file, phase, session, waiting: Vec::new() });
    }

    /// Works out what to build, of what, and where it will be written.
    async fn plan(&self, new: &NewBond) -> Result<(Plan, Vec<Before>, PathBuf), Error> {
        let refuse = |reason: String| Err(Error::Refused { reason });
        if let Some(trial) = &self.trial {
            return Err(on_trial(&trial.plan.bond.name));
        }
        let ConfigSource::File(file) = &self.source else {
            return refuse(
                "the daemon was started with --bond, and has no configuration file to write the bond into"
                    .to_owned(),
            );
        };
        if !WITHIN.contains(&new.within_s) {
            return refuse(format!(
                "{} s is no time to confirm in: use {} to {}",
                new.within_s,
                WITHIN.start(),
                WITHIN.end()
            ));
        }
        self.end_earlier_trial().await?;
        let text = text(file).map_err(|error| failed(&error))?;
        let ports = self.survey(&new.ports).await?;
        let links = self.tools.netlink.links().await.map_err(|error| failed(&error))?;
        let taken: Vec<String> = links.into_iter().map(|link| link.name).collect();
        let wish = Wish {
            ports: &ports,
            bond: new.bond.as_deref(),
            driver: new.driver.map_or(DriverChoice::Auto, |driver| match driver {
                hitless_api::Driver::Kernel => DriverChoice::Kernel,
                hitless_api::Driver::Ebpf => DriverChoice::Ebpf,
            }),
            session: new.session.as_ref().and_then(|session| end(&session.local)),
            network_manager: self.others.network_manager_runs(),
            taken: &taken,
            dns: told_by_managers(),
        };
        let plan = adoption::plan(&wish, &text, &file.display().to_string())
            .map_err(|error| Error::Refused { reason: chain(&error) })?;
        self.check(&plan).await?;
        Ok((plan, ports.iter().map(InUse::before).collect(), file.clone()))
    }

    /// An earlier trial may not have left everything as it was. What is missing would be missing ever after.
    async fn end_earlier_trial(&self) -> Result<(), Error> {
        let Some(earlier) = self.record.read() else { return Ok(()) };
        let bond = &earlier.bond;
        // It was confirmed, and only the record could not be removed.
        if self.bonds.values().any(|present| present.config.name == *bond) {
            self.forget_record();
            return Ok(());
        }
        match take_apart(&self.record, &earlier, &self.tools).await {
            Ok(whole) => {
                tracing::info!("{bond}: was on trial before: {whole}");
                Ok(())
            }
            Err(error) => Err(Error::Refused {
                reason: format!(
                    "{bond} was on trial before, and not everything is as it was: {}; mend that, or remove {} to adopt \
                     what is there now",
                    chain(&error),
                    self.record.path().display()
                ),
            }),
        }
    }

    /// What the interfaces have.
    async fn survey(&self, names: &[String]) -> Result<Vec<InUse>, Error> {
        let mut ports = Vec::new();
        let mut seen = BTreeSet::new();
        for name in names {
            let refused =
                |reason: &str| Error::PortUnusable { port: name.clone(), reason: reason.to_owned() };
            if !seen.insert(name) {
                return Err(refused("it is named twice"));
            }
            let owner = self.bonds.values().find(|bond| bond.wants(name) || bond.is_own_name(name));
            if let Some(owner) = owner {
                return Err(refused(&format!("it belongs to {} already", owner.config.name)));
            }
            let link = self.tools.netlink.link_named(name).await.map_err(|error| failed(&error))?;
            let link =
                link.ok_or_else(|| refused("there is no such interface; `ip link` lists those there are"))?;
            if link.loopback {
                return Err(refused("it is the loopback interface"));
            }
            let index = link.index;
            let mut port = InUse::look(&self.tools.netlink, link).await.map_err(|error| failed(&error))?;
            port.wireless = self.tools.wireless_kind(index).is_some();
            port.known_network = self.stations.knows_network(name);
            (port.client, port.client_id) = self.others.client(&port.link);
            port.client_id6 = self.others.client_id6(&port.link);
            ports.push(port);
        }
        Ok(ports)
    }

    /// What can be known to be wrong before anything is changed.
    async fn check(&self, plan: &Plan) -> Result<(), Error> {
        let refused = |reason: String| Error::Refused { reason };
        if self.bonds.values().any(|bond| bond.is_own_name(&plan.bond.name)) {
            return Err(refused(format!(
                "there is a bond {} already: give this one another name",
                plan.bond.name
            )));
        }
        super::check_privileges(&plan.config).map_err(|error| refused(error.to_string()))?;
        preflight::check(&self.tools, &plan.config).await.map_err(|error| refused(chain(&error)))
    }

    async fn begin(&mut self, plan: &Plan, before: &[Before]) -> Result<(), Error> {
        let name = plan.bond.name.clone();
        tracing::info!("{name}: built around {}, on trial", plan.from);
        let trial = OnTrial { bond: name.clone(), before: before.to_vec() };
        // From here on, whoever comes after us takes it apart.
        self.record.write(&trial).map_err(|error| failed(&error))?;
        // What is to be joined may have been written only now.
        let wifi = self.stations.configured().clone();
        self.stations.configure(with_wifi_of(&plan.bond, &plan.config.wifi, &wifi));
        self.prepare_others(std::slice::from_ref(&plan.bond)).await;
        if let Err(error) = self.add_bonds(std::slice::from_ref(&plan.bond)).await {
            let ended = take_apart(&self.record, &trial, &self.tools).await;
            self.stations.configure(wifi);
            self.keep_others_off().await;
            return Err(match ended {
                Ok(_) => failed(&error),
                Err(left) => Error::Failed { reason: format!("{}; {}", chain(&error), told(&left)) },
            });
        }
        let bond = self.bonds.values_mut().find(|bond| bond.config.name == name);
        if let (Some(bond), Some(leased)) = (bond, plan.leased) {
            bond.prefer_lease(leased);
        }
        Ok(())
    }

    // ---- how it goes on --------------------------------------------------------------------------------------------

    /// Looks how it is doing: has it been built, is time over, does the session still work?
    pub(super) async fn tend_trial(&mut self) {
        let now = self.now();
        let Some(trial) = &mut self.trial else { return };
        let bond = self.bonds.values().find(|bond| bond.config.name == trial.plan.bond.name);
        let Some(bond) = bond else { return self.end_trial("the bond is gone").await };
        match &trial.phase {
            Phase::Building { by, .. } => match progress(bond, now >= *by) {
                Building::UnderWay => {}
                Building::Done => self.built().await,
                Building::Failed(why) => self.end_trial(&why).await,
            },
            Phase::OnTrial { until } if now >= *until => self.end_trial("nobody confirmed it in time").await,
            Phase::OnTrial { .. } => {
                let Some(session) = &mut trial.session else { return };
                if session.is_stalled(now) {
                    let peer = session.connection.peer.ip();
                    self.end_trial(&format!("the session from {peer} gets nothing across any more")).await;
                }
            }
        }
    }

    /// It carries traffic, and others have been told; now whoever asked for it is.
    async fn built(&mut self) {
        self.announce().await;
        let now = self.now();
        let Some(trial) = self.trial.take() else { return };
        let Trial { plan, before, wifi, file, phase, mut session, waiting } = trial;
        let Phase::Building { within, reply, .. } = phase else { return };
        if let Some(session) = &mut session {
            (session.lively, session.next_look) = (now, now + LOOK);
        }
        tracing::info!("{}: on trial for {} s, until hitless confirm", plan.bond.name, within.as_secs());
        let adoption = self.describe(&plan, &file, within);
        let phase = Phase::OnTrial { until: now + within };
        self.trial = Some(Trial { plan, before, wifi, file, phase, session, waiting });
        // Whoever has gone may still confirm by another way.
        drop(reply.send(Ok(Reply::Adopted(Box::new(adoption)))));
    }

    /// Tells peers where all of its addresses are: another interface than the one that it has its hardware address from may
    /// have brought some. What is lost is found out when they ask.
    async fn announce(&self) {
        let bond = self.bonds.values().find(|bond| self.is_on_trial(&bond.config.name));
        let Some(bond) = bond else { return };
        let active = bond.snapshot().ports.iter().find(|port| port.active).and_then(|port| port.port);
        let Some(active) = active else { return };
        if let Err(error) = peers::notify(&self.tools.netlink, bond.driver.index(), active).await {
            tracing::debug!("{}: peers are not told: {}", bond.config.name, chain(&error));
        }
    }

    fn describe(&self, plan: &Plan, file: &Path, within: Duration) -> Adoption {
        let bond = self.bonds.values().find(|bond| bond.config.name == plan.bond.name);
        let mac = bond.and_then(|bond| bond.snapshot().mac).unwrap_or(plan.mac);
        let mut notes = plan.notes.clone();
        // With two radios each port keeps its own, whatever was asked for.
        let own_macs = bond.and_then(|bond| bond.own_macs.as_deref());
        notes.extend(own_macs.map(|why| plan.note_of_own_macs(why, mac)));
        notes.extend(self.others.findings(&plan.bond));
        Adoption {
            bond: plan.bond.name.clone(),
            ports: plan.bond.options.ports.iter().map(ToString::to_string).collect(),
            from: plan.from.clone(),
            mac: mac.to_string(),
            addresses: plan.addresses.iter().map(|(address, length)| format!("{address}/{length}")).collect(),
            gateways: plan.gateways.iter().map(ToString::to_string).collect(),
            confirm_within_s: within.as_secs(),
            section: plan.section.clone(),
            file: file.display().to_string(),
            notes,
        }
    }

    // ---- how it ends -----------------------------------------------------------------------------------------------

    /// Keeps it, and writes it down.
    pub(super) fn confirm(&mut self) -> Result<Confirmed, Error> {
        let none =
            || Error::Refused { reason: "no bond is on trial: there is nothing to confirm".to_owned() };
        let Some(Trial { plan, file, phase: Phase::OnTrial { .. }, .. }) = &self.trial else {
            return Err(none());
        };
        adoption::write(file, &plan.section).map_err(|error| failed(&error))?;
        let confirmed = Confirmed { bond: plan.bond.name.clone(), file: file.display().to_string() };
        self.forget_record();
        let text = format!("{} stays, and is in {}", confirmed.bond, confirmed.file);
        tracing::info!("confirmed: {text}");
        self.trial_ended(true, &text);
        Ok(confirmed)
    }

    /// Puts everything back as it was.
    pub(super) async fn end_trial(&mut self, why: &str) {
        let Some(trial) = &mut self.trial else { return };
        let name = trial.plan.bond.name.clone();
        let wifi = std::mem::take(&mut trial.wifi);
        let on_trial = OnTrial { bond: name.clone(), before: trial.before.clone() };
        tracing::warn!("{name}: {why}: everything is put back as it was");
        let id = self.bonds.iter().find(|(_, bond)| bond.config.name == name).map(|(id, _)| *id);
        let removed = match id {
            Some(id) => self.remove_bond(id).await,
            None => Ok(()),
        };
        if let Err(error) = removed {
            tracing::error!("{name}: {}", chain(&error));
        }
        // Somebody may have removed the bond, or something of it, and with it what it was to give back.
        let ended = take_apart(&self.record, &on_trial, &self.tools).await;
        self.stations.configure(wifi);
        self.settle_names().await;
        let how = match &ended {
            Ok(whole) => whole.to_string(),
            Err(left) => told(left),
        };
        if ended.is_err() {
            tracing::error!("{name}: {how}");
        }
        self.trial_ended(false, &format!("{why}; {how}"));
    }

    /// Is this the bond that is on trial?
    pub(super) fn is_on_trial(&self, bond: &str) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.plan.bond.name == bond)
    }

    pub(super) fn await_trial(&mut self, bond: &str, reply: oneshot::Sender<Answer>) {
        if let Some(trial) = self.trial.as_mut().filter(|trial| trial.plan.bond.name == bond) {
            return trial.waiting.push(reply);
        }
        let ended = self.last_verdict.as_ref().filter(|(last, _)| last == bond);
        let not_on_trial = || Error::Refused { reason: format!("{bond} is not on trial") };
        let answer = ended.map(|(_, verdict)| Reply::Verdict(verdict.clone())).ok_or_else(not_on_trial);
        drop(reply.send(answer));
    }

    fn trial_ended(&mut self, confirmed: bool, text: &str) {
        let Some(trial) = self.trial.take() else { return };
        let verdict = Verdict { confirmed, text: text.to_owned() };
        self.last_verdict = Some((trial.plan.bond.name, verdict.clone()));
        for reply in trial.waiting {
            drop(reply.send(Ok(Reply::Verdict(verdict.clone()))));
        }
        if let Phase::Building { reply, .. } = trial.phase {
            drop(reply.send(Err(Error::Failed { reason: text.to_owned() })));
        }
    }

    fn forget_record(&self) {
        forget(&self.record);
    }
}

/// How building is coming along.
enum Building {
    UnderWay,
    Done,
    Failed(String),
}

fn progress(bond: &BondTask, late: bool) -> Building {
    let snapshot = bond.snapshot();
    if let Some((port, failure)) = refused(&snapshot) {
        return Building::Failed(format!("{port} cannot be a port: {failure}"));
    }
    if snapshot.carrier && bond.under_way == 0 {
        return Building::Done;
    }
    if late {
        Building::Failed(format!("no traffic could be carried within {} s", BUILDING.as_secs()))
    } else {
        Building::UnderWay
    }
}

fn refused(snapshot: &Snapshot) -> Option<(&str, String)> {
    snapshot.ports.iter().find_map(|port| match &port.waiting {
        Some(Waiting::Attach(failure)) => Some((port.name.as_str(), failure.to_string())),
        Some(_) | None => None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn other_bonds_stations_go_on_as_they_are() {
        let wifi = |text: &str| parse(text, "hitless.toml").unwrap().wifi;
        let bond =
            "[bond.bond0]\nports = [\"eth0\", \"wlan0\"]\n[bond.bond1]\nports = [\"wlan1\", \"wlan2\"]\n";
        let network = |port: &str, ssid: &str| {
            format!("[[wifi.{port}.network]]\nssid = \"{ssid}\"\nsecurity = \"open\"\n")
        };
        let present = wifi(&[bond, &network("wlan1", "old"), &network("wlan0", "old")].concat());
        let text =
            [bond, &network("wlan1", "new"), &network("wlan0", "new"), &network("wlan2", "new")].concat();
        let written = parse(&text, "hitless.toml").unwrap();
        let during = with_wifi_of(written.bond("bond0").unwrap(), &written.wifi, &present);
        assert_eq!(during.keys().collect::<Vec<_>>(), ["wlan0", "wlan1"]);
        assert_eq!((&during["wlan0"], &during["wlan1"]), (&written.wifi["wlan0"], &present["wlan1"]));
        // One that the file does not speak of any more.
        let nothing = with_wifi_of(written.bond("bond0").unwrap(), &BTreeMap::new(), &present);
        assert_eq!(nothing.keys().collect::<Vec<_>>(), ["wlan1"]);
    }
}
