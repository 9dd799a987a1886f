//! Name servers and search domains of bonds, in the hands of whatever resolves names on this machine.
//!
//! One of three ways, chosen anew whenever something is to be done: systemd-resolved where it runs, the program
//! `resolvconf` where it is installed, and else the file /etc/resolv.conf, which is given back as it was found. What has
//! been done is remembered across daemons and reboots, so that any daemon can take it back. Not responsible
//! for where name servers come from.
//!
//! It is level-triggered. [`Resolver::set`] and [`Resolver::clear`] only change what is wanted, and settle it at once;
//! what failed, what systemd-resolved has forgotten, and what has come to run in between is settled by
//! [`Resolver::check`], of which [`Resolver::changed`] says when. Most of it waits for disks and other programs:
//! [`task::ResolverTask`] does that beside the daemon's loop.

mod file;
mod memory;
mod replace;
mod resolvconf;
mod resolved;
pub mod task;
mod text;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use self::file::Managed;
use self::memory::{Entry, Memory, Told};
use self::resolved::Resolved;
use crate::causes::chain;
use crate::dbus::owner::OwnerChanges;
use crate::dbus::{Bus, Patience};

/// How often what is there is compared with what is wanted.
const LOOK: Duration = Duration::from_secs(60);

/// What a bond knows of name servers. Without both, nothing is wanted of the resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The name servers, the first to be asked first.
    pub servers: Vec<IpAddr>,
    /// The domains in which short names are looked for.
    pub search: Vec<String>,
}

/// What programs that manage interfaces tell of name servers at present, and will tell no more when they no longer manage
/// them. Nothing, where the user has written it himself: that stays.
pub fn told_by_managers() -> Dns {
    /// Where systemd-resolved and systemd-networkd say it, and NetworkManager, whether or not anybody reads it there.
    const TOLD: [&str; 3] = [
        "/run/systemd/resolve/resolv.conf",
        "/run/NetworkManager/no-stub-resolv.conf",
        "/run/NetworkManager/resolv.conf",
    ];
    let told = TOLD.iter().map(|path| text::named_in(Path::new(path)));
    told.into_iter().find(|dns| !dns.servers.is_empty()).unwrap_or_default()
}

impl Dns {
    /// Is nothing wanted?
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.search.is_empty()
    }
}

/// By what name servers reach those who resolve names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// systemd-resolved, over D-Bus.
    Resolved,
    /// The program of this name: openresolv, or Debian's resolvconf.
    Resolvconf,
    /// The file, written by ourselves.
    File,
}

impl Via {
    /// As users know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolved => "systemd-resolved",
            Self::Resolvconf => "resolvconf",
            Self::File => "/etc/resolv.conf",
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Places {
    /// Where systemd-resolved is.
    pub bus: Bus,
    /// The file that programs read: /etc/resolv.conf.
    pub file: PathBuf,
    /// The directories in which `resolvconf` is looked for.
    pub programs: Vec<PathBuf>,
    /// systemd-resolved has its files in these directories.
    pub resolved: Vec<PathBuf>,
    /// Where it is kept what was found; made when it is needed.
    pub state: PathBuf,
}

impl Places {
    /// Those of this machine. What was found is kept in the directory `state`.
    pub fn system(state: impl Into<PathBuf>) -> Self {
        let programs = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
            .map(PathBuf::from);
        // The first has what it writes, the others a file that is always the same.
        let resolved = ["/run/systemd/resolve", "/usr/lib/systemd", "/lib/systemd"].map(PathBuf::from);
        Self {
            bus: Bus::system(),
            file: "/etc/resolv.conf".into(),
            programs: programs.to_vec(),
            resolved: resolved.to_vec(),
            state: state.into(),
        }
    }

    /// Is the file a symlink to one of systemd-resolved?
    fn is_resolveds(&self) -> bool {
        let Ok(target) = std::fs::read_link(&self.file) else { return false };
        let base = self.file.parent().unwrap_or(Path::new("/"));
        let target = without_dots(&base.join(target));
        self.resolved.iter().any(|directory| target.starts_with(directory))
    }
}

/// Name servers do not reach those who resolve names. It is tried again by itself.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolverError {
    /// systemd-networkd has the interface.
    #[error(
        "systemd-resolved takes name servers of {bond} from systemd-networkd only, which manages it; write DNS= into its \
         .network file, or let networkd leave {bond} alone (Unmanaged=yes there)"
    )]
    Managed {
        /// Which bond.
        bond: String,
    },
    /// systemd-resolved has no such interface.
    #[error(
        "systemd-resolved does not know {bond} (interface {index}); if that lasts, `systemctl restart systemd-resolved`"
    )]
    Unknown {
        /// Which bond.
        bond: String,
        /// Its interface index.
        index: u32,
    },
    /// We may not.
    #[error(
        "systemd-resolved does not let us set name servers of {bond} ({problem}); the daemon needs CAP_NET_ADMIN"
    )]
    Denied {
        /// Which bond.
        bond: String,
        /// In its words.
        problem: String,
    },
    /// Anything else about systemd-resolved.
    #[error(
        "systemd-resolved does not take the name servers of {bond} ({problem}); `journalctl -u systemd-resolved` may \
         say why"
    )]
    Refused {
        /// Which bond.
        bond: String,
        /// In its words.
        problem: String,
    },
    /// The program fails.
    #[error(
        "{} does not take the name servers of {bond} ({problem}); run it by hand to see why, or remove its package and \
         /etc/resolv.conf is written without it", program.display()
    )]
    Resolvconf {
        /// Which program.
        program: PathBuf,
        /// Which bond.
        bond: String,
        /// How it ended, and what it said.
        problem: String,
    },
    /// The file cannot be read or replaced.
    #[error("cannot {what} {}; {}", path.display(), remedy(source))]
    File {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// What is in the file's place is not a file.
    #[error("{} is neither a file nor a symlink; remove it, and name servers are written there", path.display())]
    NotAFile {
        /// Which file.
        path: PathBuf,
    },
    /// What was found cannot be kept, and is not replaced therefore.
    #[error("cannot {what} {}, where it is kept how the resolver was found; make it writable for the daemon", path.display())]
    Memory {
        /// What was tried.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::PermissionDenied) {
        "if it was made immutable (`lsattr`), undo that (`chattr -i`) or give the bond no name servers"
    } else if is(io::ErrorKind::ReadOnlyFilesystem) {
        "let the daemon write there (in a unit: ReadWritePaths=), or give the bond no name servers"
    } else if is(io::ErrorKind::ResourceBusy) {
        "something is mounted over it: unmount that"
    } else if is(io::ErrorKind::StorageFull) {
        "make room on its file system"
    } else {
        "see that the daemon may write there"
    }
}

/// What became of a bond's name servers: by which way they are in force, or `None` where none are wanted.
pub type Outcome = Result<Option<Via>, ResolverError>;

/// Brings name servers of bonds to the machine's resolver, and takes them back.
#[derive(Debug)]
pub struct Resolver {
    places: Places,
    memory: Memory,
    owners: OwnerChanges,
    looks: Interval,
    /// What failed is tried again then.
    retry_at: Option<Instant>,
    patience: Patience,
    said: Said,
}

/// A way, and what it takes to go it.
enum Way {
    Resolved(Resolved),
    Resolvconf(PathBuf),
    File,
}

impl Way {
    fn via(&self) -> Via {
        match self {
            Self::Resolved(_) => Via::Resolved,
            Self::Resolvconf(_) => Via::Resolvconf,
            Self::File => Via::File,
        }
    }
}

impl Resolver {
    /// Remembers what earlier daemons have done, and goes on from there: nothing is changed yet. Within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When what is remembered cannot be read.
    pub fn new(places: Places) -> Result<Self, ResolverError> {
        let memory = Memory::open(&places.state)?;
        let owners = OwnerChanges::listen(places.bus.clone(), resolved::NAME);
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (patience, said) = (Patience::default(), Said::default());
        Ok(Self { places, memory, owners, looks, retry_at: None, patience, said })
    }

    /// Is anything remembered in this directory?
    pub fn remembers(state: &Path) -> bool {
        Memory::is_there(state)
    }

    /// By what the name servers of bonds are in force; `None` where there are none.
    pub fn via(&self) -> Option<Via> {
        self.memory.entries().iter().find_map(Entry::via)
    }

    /// The bonds of which something is remembered, also from earlier daemons.
    pub fn bonds(&self) -> Vec<String> {
        self.memory.entries().iter().map(|entry| entry.bond.clone()).collect()
    }

    /// Name servers and search domains of a bond, in the place of those that it had. They stay wanted when it fails, and
    /// [`Resolver::check`] tries again.
    ///
    /// # Errors
    ///
    /// When they do not get there; each error names the remedy.
    pub async fn set(&mut self, bond: &str, index: u32, dns: &Dns) -> Outcome {
        let (dns, unusable) = text::usable(dns);
        for what in unusable {
            self.said.warn(format!("{bond}: {what:?} is no name server or search domain, and is left out"));
        }
        self.memory.want(bond, index, dns);
        self.settle_one(bond).await
    }

    /// Takes back what a bond has.
    ///
    /// # Errors
    ///
    /// When it cannot be taken back; [`Resolver::check`] tries again.
    pub async fn clear(&mut self, bond: &str, index: u32) -> Result<(), ResolverError> {
        if self.memory.knows(bond) {
            self.memory.want(bond, index, Dns::default());
        }
        self.settle_one(bond).await.map(drop)
    }

    /// Takes back what other bonds than these have: those that an earlier daemon had and this one does not.
    pub async fn retain(&mut self, bonds: &[String]) -> Vec<(String, Outcome)> {
        for entry in self.memory.entries().to_vec() {
            if !bonds.contains(&entry.bond) {
                self.memory.want(&entry.bond, entry.index, Dns::default());
            }
        }
        self.check().await
    }

    /// Compares what is there with what is wanted, and puts it right. Says what became of each bond.
    pub async fn check(&mut self) -> Vec<(String, Outcome)> {
        self.settle(None).await
    }

    /// Waits for a reason to [`check`](Self::check): systemd-resolved has come, or come again; something has failed, and
    /// is to be tried again; or it is time to look. Nothing is lost when it is dropped before.
    pub async fn changed(&mut self) {
        let idle = self.memory.is_idle();
        tokio::select! {
            () = self.owners.next() => {}
            () = until(self.retry_at) => {}
            _ = self.looks.tick(), if !idle => {}
        }
    }

    // ---- settling ------------------------------------------------------------------------------------------------

    async fn settle_one(&mut self, bond: &str) -> Outcome {
        let mut outcome = Ok(None);
        for (of, what) in self.settle(Some(bond)).await {
            if of == bond {
                outcome = what;
            } else if let Err(error) = what {
                self.said.warn(chain(&error));
            }
        }
        outcome
    }

    /// One bond, or all; and those that are not as they are wanted.
    async fn settle(&mut self, only: Option<&str>) -> Vec<(String, Outcome)> {
        if self.memory.is_idle() {
            self.plan_retry(false);
            return Vec::new();
        }
        let way = self.choose().await;
        self.leave_others(way.via()).await;
        let outcomes = match &way {
            Way::File => self.settle_file(),
            Way::Resolved(_) | Way::Resolvconf(_) => {
                let outcomes = self.settle_each(&way, only).await;
                let restored = self.managed().restore();
                self.warn_of(restored);
                outcomes
            }
        };
        let stored = self.memory.store();
        self.warn_of(stored);
        self.plan_retry(outcomes.iter().any(|(_, outcome)| outcome.is_err()));
        outcomes
    }

    /// Ever later: a bond that was just made is not known to systemd-resolved yet, but most things last.
    fn plan_retry(&mut self, has_failed: bool) {
        if has_failed {
            self.retry_at = Some(Instant::now() + self.patience.next());
        } else {
            (self.retry_at, self.patience) = (None, Patience::default());
        }
    }

    async fn choose(&mut self) -> Way {
        // Where the file is its own, it is wanted even if it does not run yet.
        let is_its_own = self.places.is_resolveds();
        if let Some(resolved) = Resolved::find(&self.places.bus, is_its_own).await {
            return Way::Resolved(resolved);
        }
        match resolvconf::find(&self.places.programs) {
            Some(program) => Way::Resolvconf(program),
            None => Way::File,
        }
    }

    /// Takes back what was done by a way that is not gone any more. To systemd-resolved the file still leads for a moment.
    async fn leave_others(&mut self, via: Via) {
        let left = match via {
            Via::Resolved if self.memory.file().is_managed() => self.managed().lead_to_resolved(),
            // openresolv writes the file itself.
            Via::Resolvconf => self.managed().restore(),
            Via::Resolved | Via::File => Ok(()),
        };
        self.warn_of(left);
        for entry in self.memory.entries().to_vec() {
            match entry.told.as_ref().map(|told| told.via) {
                Some(before) if before == via => continue,
                Some(Via::Resolvconf) => {
                    if let Some(program) = resolvconf::find(&self.places.programs) {
                        let removed = resolvconf::remove(&program, &entry.bond).await;
                        self.warn_of(removed);
                    }
                }
                // One that has gone has forgotten it, and the file is not a bond's alone.
                Some(Via::Resolved | Via::File) | None => {}
            }
            self.memory.told(&entry.bond, None);
        }
    }

    fn warn_of(&mut self, result: Result<(), ResolverError>) {
        if let Err(error) = result {
            self.said.warn(chain(&error));
        }
    }

    async fn settle_each(&mut self, way: &Way, only: Option<&str>) -> Vec<(String, Outcome)> {
        let mut outcomes = Vec::new();
        for entry in self.memory.entries().to_vec() {
            if only.is_some_and(|only| only != entry.bond) && entry.is_settled() {
                continue;
            }
            let done = match way {
                Way::Resolved(resolved) => self.tell_resolved(resolved, &entry).await,
                Way::Resolvconf(program) => self.tell_resolvconf(program, &entry).await,
                Way::File => Ok(()),
            };
            let via = way.via();
            if done.is_ok() {
                self.note(&entry, via);
            }
            outcomes.push((entry.bond, done.map(|()| (!entry.dns.is_empty()).then_some(via))));
        }
        outcomes
    }

    async fn tell_resolved(&mut self, resolved: &Resolved, entry: &Entry) -> Result<(), ResolverError> {
        if entry.dns.is_empty() {
            return resolved.revert(&entry.bond, entry.index).await;
        }
        if !self.places.is_resolveds() && !text::asks_this_machine(&self.places.file) {
            self.said.warn(format!(
                "systemd-resolved knows the name servers of bonds, but programs that read {0} do not ask it: \
                 `ln -sf ../run/systemd/resolve/stub-resolv.conf {0}`",
                self.places.file.display()
            ));
        }
        if entry.told.is_some() && resolved.has(entry.index, &entry.dns).await {
            return Ok(());
        }
        resolved.set(&entry.bond, entry.index, &entry.dns).await
    }

    async fn tell_resolvconf(&mut self, program: &Path, entry: &Entry) -> Result<(), ResolverError> {
        if entry.dns.is_empty() {
            return resolvconf::remove(program, &entry.bond).await;
        }
        if entry.told.as_ref().is_some_and(|told| told.dns == entry.dns) {
            return Ok(());
        }
        resolvconf::add(program, &entry.bond, &entry.dns).await?;
        let file = &self.places.file;
        if !entry.dns.servers.is_empty()
            && !text::asks_this_machine(file)
            && !text::asks_any(file, &entry.dns.servers)
        {
            self.said.warn(format!(
                "{} knows the name servers of {}, but {} has none of them; see resolvconf(8) for whose it is to be",
                program.display(),
                entry.bond,
                file.display()
            ));
        }
        Ok(())
    }

    fn settle_file(&mut self) -> Vec<(String, Outcome)> {
        let entries = self.memory.entries().to_vec();
        let done = self.managed().settle();
        if entries.is_empty() {
            self.warn_of(done.clone());
        }
        let mut outcomes = Vec::new();
        for entry in entries {
            // It is one file: what fails, fails for all of them.
            if done.is_ok() {
                self.note(&entry, Via::File);
            }
            let outcome = done.clone().map(|()| (!entry.dns.is_empty()).then_some(Via::File));
            outcomes.push((entry.bond, outcome));
        }
        outcomes
    }

    fn note(&mut self, entry: &Entry, via: Via) {
        if entry.dns.is_empty() {
            self.memory.strike(&entry.bond);
        } else {
            self.memory.told(&entry.bond, Some(Told { via, dns: entry.dns.clone() }));
        }
    }

    fn managed(&mut self) -> Managed<'_> {
        Managed { file: &self.places.file, memory: &mut self.memory, said: &mut self.said }
    }
}

/// What was said already, and need not be said at each look.
#[derive(Debug, Default)]
struct Said(BTreeSet<String>);

impl Said {
    /// Some of it comes from the network, which may think of ever more.
    const MOST: usize = 100;

    fn warn(&mut self, text: String) {
        if self.0.contains(&text) {
            return;
        }
        tracing::warn!("{text}");
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(text);
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// A path without `.` and `..`, as text: what it leads through need not be there.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => plain.push(component),
        }
    }
    plain
}
