//! Time servers of bonds, in the hands of whatever keeps the time of this machine: systemd-timesyncd, which is told over
//! D-Bus while it runs, and chrony, which reads a file for each bond.
//!
//! Not responsible for where time servers come from, nor for other programs: what a bond has is in `hitless status`, too.
//!
//! It is level-triggered: [`TimeServers::keep`] only says what is wanted. It is brought there beside the daemon's loop, and
//! again when one of them has come, or has forgotten it.

mod chrony;
mod timesyncd;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use self::chrony::Chrony;
use self::timesyncd::Timesyncd;
use crate::causes::chain;
use crate::dbus::Bus;
use crate::dbus::owner::OwnerChanges;

/// How often what is there is compared with what is wanted.
const LOOK: Duration = Duration::from_secs(60);

/// The time servers of each bond that has any.
pub type Wanted = BTreeMap<String, Vec<IpAddr>>;

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Places {
    /// Where systemd-timesyncd is.
    pub bus: Bus,
    /// The directories in which `chronyc` is looked for.
    pub programs: Vec<PathBuf>,
    /// The directory from which chrony reads what DHCP clients have been told.
    pub sources: PathBuf,
    /// Where it is kept what systemd-timesyncd was told.
    pub state: PathBuf,
}

impl Places {
    /// Those of this machine. What was told is kept in the directory `state`.
    pub fn system(state: impl Into<PathBuf>) -> Self {
        let programs = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from).to_vec();
        Self { bus: Bus::system(), programs, sources: "/run/chrony-dhcp".into(), state: state.into() }
    }
}

/// Time servers do not reach what keeps the time. It is tried again by itself.
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    /// systemd-timesyncd refuses.
    #[error(
        "systemd-timesyncd does not take time servers ({problem}); `journalctl -u systemd-timesyncd` may say why"
    )]
    Timesyncd {
        /// In its words.
        problem: String,
    },
    /// What was told cannot be kept.
    #[error(
        "cannot write {}, where it is kept what systemd-timesyncd was told; make it writable for the daemon",
        path.display()
    )]
    Memory {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file for chrony cannot be written, or removed.
    #[error("cannot {what} {}, which chrony reads; let the daemon write there", path.display())]
    Sources {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// chrony does not read it.
    #[error(
        "chrony does not read {} ({problem}); `chronyc reload sources`, run by hand, may say why",
        sources.display()
    )]
    Chronyc {
        /// The directory.
        sources: PathBuf,
        /// How it ended, and what it said.
        problem: String,
    },
}

/// Brings time servers of bonds to what keeps the time, and takes them back. It ends with this, and leaves everything as
/// it is.
#[derive(Debug)]
pub struct TimeServers {
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
enum Order {
    Keep(Wanted),
    Tell(oneshot::Sender<()>),
}

impl TimeServers {
    /// Starts it. Within a tokio runtime.
    pub fn start(places: Places) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        tokio::spawn(Worker::new(places, received).run());
        Self { orders }
    }

    /// Has an earlier daemon left anything here?
    pub fn remembers(places: &Places) -> bool {
        Chrony::remembers(&places.sources) || Timesyncd::remembers(&places.state)
    }

    /// Bonds have these now, and others have none.
    pub fn keep(&self, wanted: Wanted) {
        self.order(Order::Keep(wanted));
    }

    /// Waits until everything is done, or has failed, that was wanted before.
    pub async fn settled(&self) {
        let (sender, done) = oneshot::channel();
        self.order(Order::Tell(sender));
        // Where it has ended, nothing more will come of it.
        let _ = done.await;
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_err() {
            tracing::warn!("nobody hands on time servers any more: restart the daemon");
        }
    }
}

struct Worker {
    orders: mpsc::UnboundedReceiver<Order>,
    wanted: Wanted,
    timesyncd: Timesyncd,
    chrony: Chrony,
    owners: OwnerChanges,
    looks: Interval,
    /// Is everything as it is wanted?
    settled: bool,
    /// What was said already, and need not be said at each look.
    said: BTreeSet<String>,
}

impl Worker {
    fn new(places: Places, orders: mpsc::UnboundedReceiver<Order>) -> Self {
        let owners = OwnerChanges::listen(places.bus.clone(), timesyncd::NAME);
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            orders,
            wanted: Wanted::new(),
            timesyncd: Timesyncd::new(places.bus, &places.state),
            chrony: Chrony::new(places.programs, places.sources),
            owners,
            looks,
            settled: true,
            said: BTreeSet::new(),
        }
    }

    async fn run(mut self) {
        loop {
            let is_idle = self.wanted.is_empty() && self.settled;
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(Order::Keep(wanted)) => self.wanted = wanted,
                    // Nobody waits any more? Then nobody needs to know.
                    Some(Order::Tell(sender)) => {
                        let _ = sender.send(());
                        continue;
                    }
                    None => return,
                },
                () = self.owners.next() => {}
                _ = self.looks.tick(), if !is_idle => {}
            }
            self.settle().await;
        }
    }

    async fn settle(&mut self) {
        let told = [
            ("systemd-timesyncd", self.timesyncd.settle(&self.wanted).await),
            ("chrony", self.chrony.settle(&self.wanted).await),
        ];
        self.settled = told.iter().all(|(_, result)| result.is_ok());
        for (keeper, result) in told {
            match result {
                Ok(false) => {}
                Ok(true) if self.wanted.is_empty() => {
                    tracing::info!("{keeper} has no time servers of bonds any more");
                }
                Ok(true) => {
                    for bond in self.wanted.keys() {
                        tracing::info!("{bond}: its time servers are told to {keeper}");
                    }
                }
                Err(error) => self.warn_once(chain(&error)),
            }
        }
        if self.settled {
            self.said.clear();
        }
    }

    fn warn_once(&mut self, text: String) {
        if !self.said.contains(&text) {
            tracing::warn!("{text}");
            self.said.insert(text);
        }
    }
}
