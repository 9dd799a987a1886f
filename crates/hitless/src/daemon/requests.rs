//! What clients ask for, and what they are told.
//!
//! A change is answered when it has taken effect: when nothing is under way any more for its bond.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use hitless_api::{Error, Method, NewNetwork};
use hitless_core::config::PortPattern;
use hitless_core::event::{Cause, Event, Waiting};
use hitless_linux::link::is_valid_name;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{BondId, Daemon, RunError, ip, preflight};
use crate::causes::chain;
use crate::config::{Bond, Config, ConfigSource, LoadError, MacChoice};
use crate::driver::{self, Driver, DriverError};
use crate::server::{Reply, Request};

/// How long stations may take to give their interfaces back.
const RELEASE: Duration = Duration::from_secs(3);

/// How long it is waited until other programs have been told what bonds no longer have.
const TOLD: Duration = Duration::from_secs(3);

pub(super) type Answer = Result<Reply, Error>;

/// A change that is answered when it has taken effect.
pub(super) struct PendingReply {
    bond: Option<BondId>,
    check: Check,
    reply: oneshot::Sender<Answer>,
}

/// What tells whether the change took effect.
enum Check {
    Nothing,
    Active(String),
    Attached(String),
}

impl Daemon {
    pub(super) async fn answer(&mut self, Request { method, reply }: Request) {
        let answer = match method {
            // What monitors get first is the status.
            Method::Status {} | Method::Monitor {} => Ok(Some(Reply::Bonds(self.status()))),
            Method::Switch { bond, port } => {
                return self.pend(self.find(&bond), reply, |daemon, id| daemon.switch(id, port));
            }
            Method::AddPort { bond, port } => match self.find(&bond) {
                Ok(id) => match self.add_port(id, &port).await {
                    Ok(check) => return self.replies.push(PendingReply { bond: Some(id), check, reply }),
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            },
            Method::RemovePort { bond, port } => {
                return self.pend(self.find(&bond), reply, |daemon, id| daemon.remove_port(id, &port));
            }
            Method::Reload {} => match self.reload().await {
                Ok(()) => {
                    return self.replies.push(PendingReply { bond: None, check: Check::Nothing, reply });
                }
                Err(error) => Err(error),
            },
            Method::Adopt(new) => return self.adopt(new, reply).await,
            Method::Confirm {} => self.confirm().map(|confirmed| Some(Reply::Confirmed(confirmed))),
            Method::AwaitTrial { bond } => return self.await_trial(&bond, reply),
            Method::Down { bond } => self.down(bond.as_deref()).await.map(|()| Some(Reply::Done)),
            Method::WifiStatus {} => Ok(Some(Reply::Stations(self.station_status()))),
            Method::WifiList { port } => return self.stations.list(port.as_deref(), reply),
            Method::WifiScan { port } => return self.stations.scan(port.as_deref(), reply),
            Method::WifiConnect { port, network } => {
                return self.stations.connect(port.as_deref(), *network, reply);
            }
            Method::WifiDisconnect { port } => return self.stations.disconnect(port.as_deref(), reply),
            Method::WifiForget { port, ssid, ssid_hex } => {
                let network = NewNetwork { ssid, ssid_hex, ..NewNetwork::default() };
                self.stations.forget(port.as_deref(), &network).map(Some)
            }
        };
        // A client that has gone needs no answer.
        if let Some(answer) = answer.transpose() {
            drop(reply.send(answer));
        }
    }

    fn pend(
        &mut self,
        bond: Result<BondId, Error>,
        reply: oneshot::Sender<Answer>,
        change: impl FnOnce(&mut Self, BondId) -> Result<Check, Error>,
    ) {
        match bond.and_then(|id| change(self, id).map(|check| (id, check))) {
            Ok((id, check)) => self.replies.push(PendingReply { bond: Some(id), check, reply }),
            Err(error) => drop(reply.send(Err(error))),
        }
    }

    /// Answers the changes that have taken effect.
    pub(super) fn answer_settled(&mut self) {
        let busy = |id: Option<BondId>| match id {
            Some(id) => self.bonds.get(&id).is_some_and(|bond| bond.under_way > 0),
            None => self.bonds.values().any(|bond| bond.under_way > 0),
        };
        let (waiting, settled): (Vec<_>, Vec<_>) =
            self.replies.drain(..).partition(|pending| busy(pending.bond));
        self.replies = waiting;
        for PendingReply { bond, check, reply } in settled {
            drop(reply.send(self.result(bond, &check).map(|()| Reply::Done)));
        }
    }

    fn result(&self, bond: Option<BondId>, check: &Check) -> Result<(), Error> {
        let Some(bond) = bond.and_then(|id| self.bonds.get(&id)) else { return Ok(()) };
        let snapshot = bond.snapshot();
        match check {
            Check::Nothing => Ok(()),
            Check::Active(port) if snapshot.active.as_ref() == Some(port) => Ok(()),
            // Somebody else has asked for another one since.
            Check::Active(_)
                if snapshot.last_failover.as_ref().is_some_and(|last| last.cause == Cause::Manual) =>
            {
                Ok(())
            }
            Check::Active(port) => Err(Error::Failed {
                reason: format!("{port} did not become active; `hitless status` and the log say why"),
            }),
            Check::Attached(port) => match snapshot.ports.iter().find(|entry| entry.name == *port) {
                Some(entry) => match &entry.waiting {
                    Some(Waiting::Attach(failure)) => {
                        Err(Error::PortUnusable { port: port.clone(), reason: failure.to_string() })
                    }
                    Some(_) | None => Ok(()),
                },
                None => Ok(()),
            },
        }
    }

    fn find(&self, name: &str) -> Result<BondId, Error> {
        let found = self.bonds.iter().find(|(_, bond)| bond.config.name == name);
        found.map(|(id, _)| *id).ok_or_else(|| Error::NoSuchBond { bond: name.to_owned() })
    }

    // ---- ports ---------------------------------------------------------------------------------------------------

    fn switch(&mut self, id: BondId, port: String) -> Result<Check, Error> {
        let now = self.now();
        let Some(bond) = self.bonds.get_mut(&id) else { return Ok(Check::Nothing) };
        let mode = bond.config.options.mode;
        if !mode.has_active_port() {
            let reason = format!(
                "{} has no active port to switch: in {} all ports carry traffic",
                bond.config.name,
                mode.name()
            );
            return Err(Error::Refused { reason });
        }
        let snapshot = bond.snapshot();
        let Some(entry) = snapshot.ports.iter().find(|entry| entry.name == port) else {
            return Err(Error::NoSuchPort { bond: bond.config.name.clone(), port });
        };
        // What waits for these is kept out, and not only less wanted.
        let kept_out = matches!(
            entry.waiting,
            Some(Waiting::SameSegment(_) | Waiting::OtherSegment(_) | Waiting::Network(_))
        );
        let usable = entry.port.filter(|_| entry.link.is_usable() && !kept_out);
        let Some(target) = usable else {
            let waiting =
                entry.waiting.as_ref().map_or_else(String::new, |waiting| format!(", waiting for {waiting}"));
            return Err(Error::PortUnusable { port, reason: format!("its link is {}{waiting}", entry.link) });
        };
        bond.machine.handle(now, Event::Switch { port: target });
        Ok(Check::Active(port))
    }

    async fn add_port(&mut self, id: BondId, port: &str) -> Result<Check, Error> {
        if let Some(bond) = self.bonds.get(&id).filter(|bond| self.is_on_trial(&bond.config.name)) {
            return Err(on_trial(&bond.config.name));
        }
        let refused = |reason: String| Err(Error::Refused { reason });
        if !is_valid_name(port) {
            return refused(format!("`{port}` cannot be the name of an interface"));
        }
        if let Some(owner) = self.bonds.values().find(|bond| bond.config.options.preference(port).is_some()) {
            return refused(format!("{port} is a port of {} already", owner.config.name));
        }
        if self.bonds.values().any(|bond| bond.is_own_name(port)) {
            return refused(format!("{port} is part of a bond itself, and bonds do not nest"));
        }
        let Some(bond) = self.bonds.get(&id) else { return Ok(Check::Nothing) };
        let (config, index) = (bond.config.clone(), bond.driver.index());
        let link = self.tools.netlink.link_named(port).await.map_err(|error| failed(&error))?;
        if let Some(link) = &link {
            let checked = driver::check_port(&self.tools, &config, index, link).await;
            checked.map_err(|error| Error::PortUnusable { port: port.to_owned(), reason: chain(&error) })?;
        }
        self.change_ports(id, |ports| ports.push(PortPattern::new(port)));
        self.prepare_others(&[]).await;
        self.present_all().await.map_err(|error| failed(&error))?;
        Ok(Check::Attached(port.to_owned()))
    }

    fn remove_port(&mut self, id: BondId, port: &str) -> Result<Check, Error> {
        let Some(bond) = self.bonds.get(&id) else { return Ok(Check::Nothing) };
        if self.is_on_trial(&bond.config.name) {
            return Err(on_trial(&bond.config.name));
        }
        let ports = &bond.config.options.ports;
        let Some(place) = bond.config.options.preference(port) else {
            return Err(Error::NoSuchPort { bond: bond.config.name.clone(), port: port.to_owned() });
        };
        if let Some(pattern) = ports.get(place).filter(|pattern| pattern.is_glob()) {
            let reason =
                format!("{port} is a port by the pattern \"{pattern}\": change that in the configuration");
            return Err(Error::Refused { reason });
        }
        self.change_ports(id, |ports| ports.retain(|pattern| pattern.to_string() != port));
        Ok(Check::Nothing)
    }

    fn change_ports(&mut self, id: BondId, change: impl FnOnce(&mut Vec<PortPattern>)) {
        let now = self.now();
        if let Some(bond) = self.bonds.get_mut(&id) {
            change(&mut bond.config.options.ports);
            bond.machine.handle(now, Event::Configure(bond.config.options.clone().into()));
        }
    }

    // ---- bonds ---------------------------------------------------------------------------------------------------

    pub(super) async fn reload_by_signal(&mut self) {
        if let Err(error) = self.reload().await {
            tracing::error!("not reloaded: {error}");
        }
    }

    /// Reads the configuration again and works by it from now on. Nothing is changed if it is wrong.
    async fn reload(&mut self) -> Result<(), Error> {
        if let ConfigSource::Arguments(_) = self.source {
            let reason =
                "there is no configuration file to reload: the daemon was started with --bond".to_owned();
            return Err(Error::Refused { reason });
        }
        if let Some(trial) = self.bonds.values().find(|bond| self.is_on_trial(&bond.config.name)) {
            return Err(on_trial(&trial.config.name));
        }
        let config = self.source.load().map_err(|error| match error {
            LoadError::Invalid(report) => Error::ConfigInvalid { report: report.to_string() },
            LoadError::Read { .. } => failed(&error),
        })?;
        super::check_privileges(&config).map_err(|error| Error::Refused { reason: error.to_string() })?;
        self.refuse_rebuilding(&config)?;
        preflight::check(&self.tools, &config)
            .await
            .map_err(|error| Error::Refused { reason: chain(&error) })?;
        self.prepare_others(&config.bonds).await;
        self.adopt_config(&config).await.map_err(|error| failed(&error))
    }

    /// Other managers let go of what these bonds are about to take, besides those there are.
    pub(super) async fn prepare_others(&mut self, more: &[Bond]) {
        let bonds = self.bonds.values().map(|bond| &bond.config);
        self.others.prepare(bonds.chain(more)).await;
    }

    /// Other managers know which interfaces are ours now.
    pub(super) async fn keep_others_off(&mut self) {
        self.others.keep_off(self.bonds.values().map(|bond| &bond.config)).await;
    }

    /// Some things a bond is made with.
    fn refuse_rebuilding(&self, config: &Config) -> Result<(), Error> {
        for bond in self.bonds.values() {
            let name = &bond.config.name;
            let Some(new) = config.bond(name) else { continue };
            let what = if !bond.driver.is(new.driver) {
                "driver"
            } else if bond.config.options.mode != new.options.mode {
                "mode"
            } else {
                continue;
            };
            let reason = format!(
                "the {what} of {name} cannot change while it is up: hitless down {name}, then reload"
            );
            return Err(Error::Refused { reason });
        }
        Ok(())
    }

    /// First what may fail and can be undone: new bonds, then changes. Ports that are in other bonds follow when those
    /// give them back.
    async fn adopt_config(&mut self, config: &Config) -> Result<(), RunError> {
        let is_new = |bond: &&Bond| self.find(&bond.name).is_err();
        let new: Vec<Bond> = config.bonds.iter().filter(is_new).cloned().collect();
        let before: Vec<(BondId, Bond)> =
            self.bonds.iter().map(|(id, bond)| (*id, bond.config.clone())).collect();
        let added = self.add_bonds(&new).await?;
        let (stay, gone): (Vec<_>, Vec<_>) =
            before.into_iter().partition(|(_, bond)| config.bond(&bond.name).is_some());
        if let Err(error) = self.change_bonds(&stay, config).await {
            self.take_back(&added).await;
            return Err(error);
        }
        for (id, _) in gone {
            self.remove_bond(id).await?;
        }
        self.stations.configure(config.wifi.clone());
        super::warn_of(&self.source, config);
        self.present_all().await
    }

    /// Changes all of these bonds, or none of them.
    async fn change_bonds(&mut self, bonds: &[(BondId, Bond)], config: &Config) -> Result<(), RunError> {
        for (n, (id, before)) in bonds.iter().enumerate() {
            let Some(new) = config.bond(&before.name) else { continue };
            let new = self.carry_policy(*id, new.clone());
            let Err(error) = self.change_bond(*id, new).await else { continue };
            for (id, before) in bonds.iter().take(n + 1) {
                if let Err(error) = self.change_bond(*id, before.clone()).await {
                    tracing::error!(bond = before.name, error = chain(&error), "not as it was before");
                }
            }
            return Err(error);
        }
        Ok(())
    }

    /// Where `fail-over-mac` is left to us, before and after, what was found out holds on.
    fn carry_policy(&mut self, id: BondId, mut new: Bond) -> Bond {
        let Some(bond) = self.bonds.get_mut(&id) else { return new };
        match (bond.config.fail_over_mac, new.fail_over_mac) {
            (MacChoice::Auto, MacChoice::Auto) => {
                new.options.fail_over_mac = bond.config.options.fail_over_mac;
            }
            (MacChoice::Fixed(_), MacChoice::Auto) | (_, MacChoice::Fixed(_)) => bond.own_macs = None,
        }
        new
    }

    pub(super) async fn change_bond(&mut self, id: BondId, new: Bond) -> Result<(), RunError> {
        let now = self.now();
        let Some(bond) = self.bonds.get_mut(&id) else { return Ok(()) };
        let failed = |source: DriverError| RunError::Bond { bond: new.name.clone(), source: source.into() };
        bond.driver.configure(&new).await.map_err(failed)?;
        if new.ip.addr_gen_mode != bond.config.ip.addr_gen_mode {
            Driver::choose_addr_gen_mode(&new).map_err(failed)?;
        }
        bond.config = new;
        bond.configure_dhcp(now);
        bond.address_soon(now);
        bond.machine.handle(now, Event::Configure(bond.config.options.clone().into()));
        bond.look_soon(now);
        Ok(())
    }

    async fn down(&mut self, name: Option<&str>) -> Result<(), Error> {
        let ids = match name {
            Some(name) => vec![self.find(name)?],
            None => self.bonds.keys().copied().collect(),
        };
        let mut first = Ok(());
        for id in ids {
            if self.bonds.get(&id).is_some_and(|bond| self.is_on_trial(&bond.config.name)) {
                // How that goes is told to those who wait for the verdict.
                self.end_trial("hitless down removed it").await;
                continue;
            }
            let result = self.remove_bond(id).await;
            first = first.and(result);
        }
        self.settle_names().await;
        first.map_err(|error| failed(&error))
    }

    /// After bonds were removed: nobody knows of their name and time servers, and others may have their ports.
    pub(super) async fn settle_names(&mut self) {
        self.keep_names_and_time();
        let told = async {
            self.name_servers.settled().await;
            self.time.settled().await;
        };
        if timeout(TOLD, told).await.is_err() {
            tracing::warn!(
                "whoever resolves names or keeps the time has not been told yet; it goes on beside"
            );
        }
        self.keep_others_off().await;
    }

    /// Waits for what is under way for a bond, and begins nothing new for it.
    pub(super) async fn finish_work(&mut self, id: BondId) {
        while self.bonds.get(&id).is_some_and(|bond| bond.under_way > 0) {
            let Some(completed) = self.work.next().await else { break };
            self.complete(self.now(), completed);
        }
    }

    /// The addresses that ports brought along, and get back.
    fn brought(&self, bond: &str) -> Vec<IpAddr> {
        let ports = self.tools.ledger.borrow().ports(bond);
        ports.into_iter().flat_map(|(_, found)| found.gave.addresses).map(|(address, _)| address).collect()
    }

    pub(super) async fn remove_bond(&mut self, id: BondId) -> Result<(), RunError> {
        self.finish_work(id).await;
        let Some(mut bond) = self.bonds.remove(&id) else { return Ok(()) };
        // A supplicant that hangs must not keep anything else waiting.
        let released = self.stations.release_bond(&bond.config.name);
        if timeout(RELEASE, released).await.is_err() {
            tracing::warn!(
                "{}: wpa_supplicant does not answer, and may still have its ports",
                bond.config.name
            );
        }
        // While the addresses are still there to say so from.
        let brought = self.brought(&bond.config.name);
        bond.release_leases(self.now(), &brought);
        if let Err(error) = ip::withdraw(&self.tools.netlink, &bond.addresses).await {
            tracing::warn!(bond = bond.config.name, error = chain(&error), "a route stays");
        }
        // A socket that accepts more than the interface's own address shows on the interface.
        bond.sockets.close();
        let failed =
            |source: DriverError| RunError::Bond { bond: bond.config.name.clone(), source: source.into() };
        bond.driver.remove().await.map_err(failed)?;
        tracing::info!(bond = bond.config.name, "removed; its ports are as they were found");
        Ok(())
    }
}

/// What is on trial is kept as it is, or not at all.
pub(super) fn on_trial(bond: &str) -> Error {
    let reason =
        format!("{bond} is on trial: hitless confirm keeps it, hitless down {bond} puts everything back");
    Error::Refused { reason }
}

pub(super) fn failed(error: &(dyn std::error::Error + 'static)) -> Error {
    Error::Failed { reason: chain(error) }
}
