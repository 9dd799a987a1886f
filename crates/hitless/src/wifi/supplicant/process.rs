//! The process: one wpa_supplicant for all our interfaces.
//!
//! It is a daemon of its own, not our child: we may be restarted, and find it again by its socket, with every
//! association that it has. Its end is noticed at once, and it is started again, with ever more patience. What it is to
//! do with interfaces is not decided here, only that it is there.
//!
//! Its directory belongs to root alone:
//!
//! | name | what |
//! |---|---|
//! | `global` | its socket for what concerns no interface |
//! | `control/NAME` | its socket for one interface |
//! | `NAME.conf` | what it reads when it is given an interface; no secrets |
//! | `pid` | its process |
//! | `client-*` | our ends of the sockets |

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::backoff::Backoff;
use super::connection::{Address, Connection, ConnectionError, sweep};
use super::reply;
use super::request::Request;
use crate::causes::chain;

/// What it is called.
pub const PROGRAM: &str = "wpa_supplicant";

/// Where programs of this kind are, besides `PATH`.
const USUAL_PLACES: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin"];

/// How long it may take to go into the background.
const START: Duration = Duration::from_secs(10);

/// How long it may take to end.
const END: Duration = Duration::from_secs(5);

/// How often it is asked whether it is there, where its process is not known.
const ASK: Duration = Duration::from_secs(2);

/// When it has been there for so long, its end is not one of a series.
const LIVED: Duration = Duration::from_secs(60);

/// How often it is looked for while it is not installed.
const MISSING: Duration = Duration::from_secs(10);

/// How it is.
#[derive(Clone, Debug)]
pub enum Life {
    /// Nobody has wanted it so far.
    Idle,
    /// It is being started.
    Starting,
    /// It is there.
    Running {
        /// Another process has another number.
        generation: u64,
    },
    /// It is not installed.
    Missing,
    /// It ended, or was ended by somebody else.
    Died {
        /// When it is started again.
        restart_in: Duration,
    },
    /// It could not be started.
    Failed {
        /// Why.
        problem: Arc<ProcessError>,
        /// When it is tried again.
        retry_in: Duration,
    },
}

/// It cannot be started, or not ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It is not installed.
    #[error(
        "wpa_supplicant is not installed; install it (Debian, Ubuntu, Fedora: package `wpasupplicant` or `wpa_supplicant`)"
    )]
    Missing,
    /// The directory for its sockets cannot be made.
    #[error("cannot make the directory {} for wpa_supplicant's sockets", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Where its sockets are to be there is something that somebody else could have put there.
    #[error(
        "{} is not a directory of this user's own, and wpa_supplicant's sockets are not put there; remove it",
        path.display()
    )]
    NotOurs {
        /// Where.
        path: PathBuf,
    },
    /// It cannot be run.
    #[error("cannot run {}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It ends at once.
    #[error("{} does not start{}; `journalctl -t wpa_supplicant` may say why", program.display(), colon(said))]
    Refused {
        /// The program.
        program: PathBuf,
        /// Its last words.
        said: String,
    },
    /// It is there, and says nothing.
    #[error("wpa_supplicant was started and does not answer")]
    Silent(#[source] ConnectionError),
    /// It does not end.
    #[error("wpa_supplicant was told to end, and is still there")]
    StillThere,
    /// Nobody takes care of it any more.
    #[error("the task that takes care of wpa_supplicant has ended")]
    Unattended,
}

fn colon(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

/// Which program is run and how; the defaults are for everyone but tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program; `None`: the one that is found under its usual name.
    pub program: Option<PathBuf>,
    /// By which of its drivers it gets at interfaces.
    pub driver: &'static str,
    /// Where a wpa_supplicant that somebody else started has its sockets.
    pub existing: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { program: None, driver: "nl80211", existing: "/run/wpa_supplicant".into() }
    }
}

/// A handle on the one process. The process outlives it; [`Supplicant::terminate`] ends it.
#[derive(Clone, Debug)]
pub struct Supplicant {
    directory: PathBuf,
    options: Options,
    life: watch::Receiver<Life>,
    orders: mpsc::UnboundedSender<Order>,
}

#[derive(Debug)]
enum Order {
    Start,
    Terminate(oneshot::Sender<Result<(), ProcessError>>),
}

impl Supplicant {
    /// For the process whose sockets are in this directory, which belongs to root alone or is made so. Nothing is started
    /// until somebody wants it. Within a tokio runtime.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self::with_options(directory, Options::default())
    }

    /// The same, with other options.
    pub fn with_options(directory: impl Into<PathBuf>, options: Options) -> Self {
        let directory = directory.into();
        let (life_sender, life) = watch::channel(Life::Idle);
        let (orders, received) = mpsc::unbounded_channel();
        let keeper = Keeper {
            directory: directory.clone(),
            program: options.program.clone(),
            life: life_sender,
            orders: received,
            backoff: Backoff::default(),
            generation: 0,
        };
        sweep(&directory);
        tokio::spawn(keeper.run());
        Self { directory, options, life, orders }
    }

    /// One that is as it is said to be: nobody takes care of any process.
    #[cfg(test)]
    pub(crate) fn pretended(directory: impl Into<PathBuf>, life: Life) -> (Self, watch::Sender<Life>) {
        let (life_sender, life) = watch::channel(life);
        let (orders, _) = mpsc::unbounded_channel();
        (Self { directory: directory.into(), options: Options::default(), life, orders }, life_sender)
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory, for whoever only speaks to a process that somebody else has started.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn make_directory(&self) -> Result<(), ProcessError> {
        private_directory(&self.directory)
    }

    /// By which of its drivers it gets at interfaces.
    pub fn driver(&self) -> &'static str {
        self.options.driver
    }

    /// Where a wpa_supplicant that somebody else started has its sockets.
    pub fn existing(&self) -> &Path {
        &self.options.existing
    }

    /// Wants it to be there from now on. What comes of it is told by [`Supplicant::life`].
    pub fn start(&self) {
        // Where the task has ended, the runtime ends as well.
        let _ = self.orders.send(Order::Start);
    }

    /// How it is, and becomes.
    pub fn life(&self) -> watch::Receiver<Life> {
        self.life.clone()
    }

    /// Ends it, also one that another daemon started; all interfaces leave their networks.
    ///
    /// # Errors
    ///
    /// When it is still there afterwards.
    pub async fn terminate(&self) -> Result<(), ProcessError> {
        let (sender, done) = oneshot::channel();
        self.orders.send(Order::Terminate(sender)).map_err(|_| ProcessError::Unattended)?;
        done.await.map_err(|_| ProcessError::Unattended)?
    }

    /// Takes the interfaces away that it has and that are not `wanted`, if it is there: an earlier daemon gave them to it.
    /// It is not started for that.
    pub async fn retain(&self, wanted: &BTreeSet<String>) {
        let Ok(global) = Connection::open(&self.directory, &self.global()) else { return };
        let Ok(interfaces) = global.ask(Request::Interfaces).await else { return };
        for name in reply::interfaces(&interfaces).iter().filter(|name| !wanted.contains(*name)) {
            match global.tell(Request::InterfaceRemove(name)).await {
                Ok(()) => {
                    tracing::info!("{name}: taken from wpa_supplicant; nobody wants it to join anything");
                }
                Err(error) => tracing::warn!("{name}: not taken from wpa_supplicant: {}", chain(&error)),
            }
            if !name.contains('/') {
                drop(std::fs::remove_file(self.directory.join(format!("{name}.conf"))));
            }
        }
    }

    /// Where it is spoken to about everything.
    pub fn global(&self) -> Address {
        Address::of(global(&self.directory))
    }

    /// Where it is spoken to about an interface.
    pub fn interface(&self, name: &str) -> Address {
        Address::of(self.control().join(name))
    }

    /// The directory of its sockets for interfaces.
    pub fn control(&self) -> PathBuf {
        self.directory.join("control")
    }
}

fn global(directory: &Path) -> PathBuf {
    directory.join("global")
}

/// Keeps the process.
struct Keeper {
    directory: PathBuf,
    program: Option<PathBuf>,
    life: watch::Sender<Life>,
    orders: mpsc::UnboundedReceiver<Order>,
    backoff: Backoff,
    generation: u64,
}

/// A process that answers.
struct Running {
    connection: Connection,
    /// Becomes readable when it ends; `None` where its process is not known.
    process: Option<AsyncFd<OwnedFd>>,
    since: Instant,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            match self.orders.recv().await {
                Some(Order::Start) => self.keep().await,
                Some(Order::Terminate(done)) => {
                    let result = self.end_any().await;
                    let _ = done.send(result);
                }
                None => return,
            }
            self.life.send_replace(Life::Idle);
        }
    }

    /// Until somebody wants it to end, or nobody can want anything any more.
    async fn keep(&mut self) {
        loop {
            if !matches!(*self.life.borrow(), Life::Died { .. } | Life::Failed { .. } | Life::Missing) {
                self.life.send_replace(Life::Starting);
            }
            let (life, pause) = match self.adopt_or_start().await {
                Ok(running) => {
                    self.generation += 1;
                    self.life.send_replace(Life::Running { generation: self.generation });
                    let ended = tokio::select! {
                        () = running.ended() => None,
                        order = next_termination(&mut self.orders) => Some(order),
                    };
                    if let Some(order) = ended {
                        self.obey(order, Some(running)).await;
                        return;
                    }
                    if running.since.elapsed() >= LIVED {
                        self.backoff = Backoff::default();
                    }
                    let restart_in = self.backoff.next();
                    tracing::warn!(?restart_in, "wpa_supplicant ended");
                    (Life::Died { restart_in }, restart_in)
                }
                Err(ProcessError::Missing) => (Life::Missing, MISSING),
                Err(problem) => {
                    let retry_in = self.backoff.next();
                    (Life::Failed { problem: Arc::new(problem), retry_in }, retry_in)
                }
            };
            self.life.send_replace(life);
            let order = tokio::select! {
                () = sleep(pause) => continue,
                order = next_termination(&mut self.orders) => order,
            };
            self.obey(order, None).await;
            return;
        }
    }

    async fn obey(&self, order: Option<oneshot::Sender<Result<(), ProcessError>>>, running: Option<Running>) {
        if let Some(done) = order {
            let result = match running {
                Some(running) => running.end().await,
                None => self.end_any().await,
            };
            let _ = done.send(result);
        }
    }

    /// Ends the one that there is, if there is one.
    async fn end_any(&self) -> Result<(), ProcessError> {
        match self.find().await {
            Ok(running) => running.end().await,
            Err(_) => Ok(()),
        }
    }

    async fn adopt_or_start(&self) -> Result<Running, ProcessError> {
        private_directory(&self.directory)?;
        if let Ok(running) = self.find().await {
            tracing::debug!("wpa_supplicant is there already");
            return Ok(running);
        }
        let program = match &self.program {
            Some(program) => program.clone(),
            None => find_program().ok_or(ProcessError::Missing)?,
        };
        // Not every build can log to syslog.
        if self.launch(&program, &["-s"]).await.is_err() {
            self.launch(&program, &[]).await?;
        }
        self.find().await.map_err(ProcessError::Silent)
    }

    /// The one that answers, if there is one.
    async fn find(&self) -> Result<Running, ConnectionError> {
        let connection = Connection::open(&self.directory, &Address::of(global(&self.directory)))?;
        connection.tell(Request::Ping).await?;
        let process = self.process();
        // The file might have told of an older one; the one that is watched was there before this answer.
        connection.tell(Request::Ping).await?;
        Ok(Running { connection, process, since: Instant::now() })
    }

    /// Its process, by the file that it writes.
    fn process(&self) -> Option<AsyncFd<OwnedFd>> {
        let pid: i32 = std::fs::read_to_string(self.directory.join("pid")).ok()?.trim().parse().ok()?;
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::NONBLOCK).ok()?;
        let command = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        if command.trim_end() != PROGRAM {
            return None;
        }
        watched(process)
    }

    async fn launch(&self, program: &Path, more: &[&str]) -> Result<(), ProcessError> {
        let mut command = Command::new(program);
        command.arg("-B").arg("-P").arg(self.directory.join("pid")).arg("-g").arg(global(&self.directory));
        command.args(more).current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
        let refused = |said| ProcessError::Refused { program: program.to_owned(), said };
        let output = timeout(START, command.output())
            .await
            .map_err(|_| refused("it does not go into the background".to_owned()))?
            .map_err(|source| ProcessError::Spawn { program: program.to_owned(), source })?;
        if output.status.success() { Ok(()) } else { Err(refused(last_line(&output.stdout))) }
    }
}

#[allow(
    deprecated,
    reason = "the replacement is unsafe for types that are not like `OwnedFd`, which this one is"
)]
fn watched(process: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    AsyncFd::new(process).ok()
}

/// The next order to end it. `None`: nobody can order anything any more.
async fn next_termination(
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Option<oneshot::Sender<Result<(), ProcessError>>> {
    loop {
        match orders.recv().await? {
            Order::Start => {}
            Order::Terminate(done) => return Some(done),
        }
    }
}

impl Running {
    /// Returns when it has ended.
    async fn ended(&self) {
        match &self.process {
            Some(process) => drop(process.readable().await),
            None => {
                while self.connection.tell(Request::Ping).await.is_ok() {
                    sleep(ASK).await;
                }
            }
        }
    }

    async fn end(self) -> Result<(), ProcessError> {
        // Where it is gone already, so much the better.
        let _ = self.connection.tell(Request::Terminate).await;
        timeout(END, self.ended()).await.map_err(|_| ProcessError::StillThere)
    }
}

/// Makes the directory, and makes it private. One that is there has to be ours, and no link to another.
fn private_directory(path: &Path) -> Result<(), ProcessError> {
    let failed = |source| ProcessError::Directory { path: path.to_owned(), source };
    let not_ours = || ProcessError::NotOurs { path: path.to_owned() };
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(not_ours()),
        result => result.map_err(failed)?,
    }
    let found = std::fs::symlink_metadata(path).map_err(failed)?;
    if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(not_ours());
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).map_err(failed)
}

/// Is there a wpa_supplicant to start?
pub fn is_installed() -> bool {
    find_program().is_some()
}

fn find_program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = USUAL_PLACES.iter().map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .map(|place| place.join(PROGRAM))
        .find(|program| program.is_file())
}

fn last_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().chars().filter(|c| !c.is_control()).take(200).collect()
}
