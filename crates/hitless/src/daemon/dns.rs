//! Name servers and search domains of bonds, on their way to the resolver.
//!
//! What a bond has is what is configured and what DHCP tells of. Bringing it to whatever resolves names is the business of
//! `resolver`, beside the loop.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hitless_core::dhcp::Lease;
use hitless_core::dhcp6::Information;
use tokio::sync::mpsc;

use crate::causes::chain;
use crate::config::IpConfig;
use crate::resolver::task::{Report, ResolverTask, StartError};
use crate::resolver::{Dns, Places, Resolver};

/// The name servers of all bonds.
#[derive(Debug)]
pub(super) struct NameServers {
    state: PathBuf,
    /// Started when there is something for it to do: who has no name servers pays nothing for them.
    task: Option<ResolverTask>,
    reports: (mpsc::UnboundedSender<Report>, mpsc::UnboundedReceiver<Report>),
    told: Option<BTreeMap<String, (u32, Dns)>>,
}

/// What a bond has of name servers: those of the user first.
pub(super) fn of(config: &IpConfig, lease: Option<&Lease>, information: Option<&Information>) -> Dns {
    let mut dns = Dns { servers: config.dns.clone(), search: config.search.clone() };
    if let Some(lease) = lease.map(|lease| &lease.parameters) {
        let servers = lease.dns.iter().copied().map(IpAddr::V4);
        add(&mut dns.servers, servers);
        // RFC 3397: where there is a list, it is in the place of the domain.
        let domain = lease.domain.iter().filter(|_| lease.search.is_empty());
        add(&mut dns.search, lease.search.iter().chain(domain).cloned());
    }
    if let Some(information) = information {
        add(&mut dns.servers, information.dns.iter().copied().map(IpAddr::V6));
        add(&mut dns.search, information.search.iter().cloned());
    }
    dns
}

fn add<T: PartialEq>(list: &mut Vec<T>, more: impl Iterator<Item = T>) {
    for item in more {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

impl NameServers {
    pub(super) fn new(state: &Path) -> Self {
        let (state, reports) = (state.to_owned(), mpsc::unbounded_channel());
        Self { state, task: None, reports, told: None }
    }

    /// Bonds have these name servers now; other bonds have none.
    pub(super) fn keep(&mut self, bonds: impl Iterator<Item = (String, u32, Dns)>) {
        let wanted: BTreeMap<_, _> = bonds.map(|(bond, index, dns)| (bond, (index, dns))).collect();
        if self.told.as_ref() == Some(&wanted) {
            return;
        }
        let before = self.told.replace(wanted.clone()).unwrap_or_default();
        let is_idle = wanted.values().all(|(_, dns)| dns.is_empty());
        if self.task.is_none() && is_idle && !Resolver::remembers(&self.state) {
            return;
        }
        match self.start() {
            Ok(task) => {
                // What an earlier daemon has brought there goes, too.
                task.retain(wanted.keys().cloned().collect());
                let news = wanted.into_iter().filter(|(bond, have)| before.get(bond) != Some(have));
                news.for_each(|(bond, (index, dns))| task.set(&bond, index, dns));
            }
            Err(error) => tracing::error!("name servers stay as they are: {}", chain(&error)),
        }
    }

    fn start(&mut self) -> Result<&ResolverTask, StartError> {
        let task = match self.task.take() {
            Some(task) => task,
            None => ResolverTask::start(Places::system(&self.state), self.reports.0.clone())?,
        };
        Ok(self.task.insert(task))
    }

    /// What became of a bond's name servers.
    pub(super) async fn next(&mut self) -> Report {
        match self.reports.1.recv().await {
            Some(report) => report,
            // There is always one who could send: ourselves.
            None => std::future::pending().await,
        }
    }

    /// By what they are in force.
    pub(super) fn via(&self) -> Option<&'static str> {
        Some(self.task.as_ref()?.via()?.as_str())
    }

    /// Waits until what bonds have, or have no more, is known to whatever resolves names.
    pub(super) async fn settled(&self) {
        if let Some(task) = &self.task {
            task.settled().await;
        }
    }
}

/// Says what became of a bond's name servers.
pub(super) fn publish(Report { bond, outcome }: &Report) {
    match outcome {
        Ok(Some(via)) => tracing::info!("{bond}: its name servers are known to {via}"),
        Ok(None) => tracing::info!("{bond}: no name servers any more"),
        Err(error) => tracing::warn!("{bond}: name servers: {}", chain(error)),
    }
}
