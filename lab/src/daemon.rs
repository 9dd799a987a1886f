//! The daemon under test, run as a user would run it, in a namespace.
//!
//! It is the real binary: `HITLESS_BIN`, or else `hitless` in the target directory of the running program.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::error::{IoContext as _, LabError, Result};
use crate::netns::{Namespace, join_mounts, shown, start_error};
use crate::running::Running;
use crate::scratch;
use crate::wait::{Look, until};

/// The daemon's unit.
const UNIT: &str = include_str!("../../packaging/hitless.service");

/// How long the daemon may take to become ready or to end.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running (or killed, and not yet restarted) daemon. Killed when dropped.
#[derive(Debug)]
pub struct Daemon<'a> {
    host: &'a Namespace,
    arguments: Vec<OsString>,
    directory: TempDir,
    child: Option<Child>,
    ready_after: Duration,
}

/// The binary of the daemon.
///
/// # Errors
///
/// When it has not been built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("HITLESS_BIN") {
        return Ok(PathBuf::from(path));
    }
    let own = std::env::current_exe().context(|| "finding the running program".to_owned())?;
    // target/debug/demo, or target/debug/deps/some_test-0123456789abcdef
    let mut profile = own.parent().unwrap_or(Path::new("/"));
    if profile.ends_with("deps") {
        profile = profile.parent().unwrap_or(profile);
    }
    let path = profile.join("hitless");
    if path.exists() { Ok(path) } else { Err(LabError::NoBinary { path }) }
}

/// The capabilities that its unit leaves to the daemon, as setpriv(1) takes them.
fn bounding_set() -> String {
    let lines = UNIT.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet=CAP_"));
    let kept =
        lines.flat_map(|line| line.split(" CAP_")).map(|name| format!(",+{}", name.trim().to_lowercase()));
    format!("-all{}", kept.collect::<String>())
}

impl<'a> Daemon<'a> {
    /// Runs `hitless run` with these arguments in the namespace, and waits until it says that it is ready.
    /// The socket is the laboratory's business.
    ///
    /// # Errors
    ///
    /// When it ends or is not ready within 10 s; the error has what it said.
    pub fn start(host: &'a Namespace, arguments: &[&str]) -> Result<Self> {
        let mut daemon = Self::stopped(host, arguments.iter().map(OsString::from).collect())?;
        daemon.restart()?;
        Ok(daemon)
    }

    /// The same with this configuration file, which [`Daemon::write_config`] can change later.
    ///
    /// # Errors
    ///
    /// As [`Daemon::start`].
    pub fn start_with_config(host: &'a Namespace, config: &str) -> Result<Self> {
        let mut daemon = Self::with_config(host, config)?;
        daemon.restart()?;
        Ok(daemon)
    }

    /// One with this configuration file that does not run yet: [`Daemon::restart`] and [`Daemon::launch`] start it.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn with_config(host: &'a Namespace, config: &str) -> Result<Self> {
        let mut daemon = Self::stopped(host, Vec::new())?;
        daemon.arguments = vec!["--config".into(), daemon.config_path().into()];
        daemon.write_config(config)?;
        Ok(daemon)
    }

    fn stopped(host: &'a Namespace, arguments: Vec<OsString>) -> Result<Self> {
        let directory = scratch::directory()?;
        Ok(Self { host, arguments, directory, child: None, ready_after: Duration::ZERO })
    }

    /// Its Varlink socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("hitless.sock")
    }

    /// Its configuration file, where it has one.
    pub fn config_path(&self) -> PathBuf {
        self.directory.path().join("hitless.toml")
    }

    /// Replaces the configuration file; `hitless reload` makes it count.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_config(&self, config: &str) -> Result<()> {
        fs::write(self.config_path(), config).context(|| "writing the configuration".to_owned())
    }

    /// Its process.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        self.child
            .as_ref()
            .map(Child::id)
            .ok_or_else(|| LabError::Broken("the daemon does not run".to_owned()))
    }

    /// How long it took from being started to being ready.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// What it has written to standard error, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Starts it (again) with the same arguments, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// As [`Daemon::start`], and when it runs already.
    pub fn restart(&mut self) -> Result<()> {
        let start = Instant::now();
        let notify = self.begin()?;
        let ready = self.wait_ready(&notify);
        if ready.is_err() {
            self.kill9()?;
        }
        self.ready_after = start.elapsed();
        ready
    }

    /// Starts it without waiting for anything.
    ///
    /// # Errors
    ///
    /// When it runs already or cannot be started.
    pub fn launch(&mut self) -> Result<()> {
        self.begin().map(drop)
    }

    /// Starts it. It says how it is on the socket that is returned.
    fn begin(&mut self) -> Result<UnixDatagram> {
        if self.child.is_some() {
            return Err(LabError::Broken("the daemon runs already".to_owned()));
        }
        let notify_path = self.directory.path().join("notify.sock");
        let _ = fs::remove_file(&notify_path);
        let notify = UnixDatagram::bind(&notify_path).context(|| "opening the notify socket".to_owned())?;
        notify.set_nonblocking(true).context(|| "setting up the notify socket".to_owned())?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .context(|| "opening the daemon's log".to_owned())?;
        // It may do no more than where it is installed.
        let mut command = Command::new("setpriv");
        command.args(["--no-new-privs", &format!("--bounding-set={}", bounding_set())]).arg(binary()?);
        command.arg("run").args(&self.arguments).arg("--socket").arg(self.socket());
        command.arg("--state").arg(self.directory.path().join("state"));
        command.env("NOTIFY_SOCKET", &notify_path).env_remove("WATCHDOG_USEC").env_remove("JOURNAL_STREAM");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let place = self.directory.path().join("own");
        fs::create_dir_all(&place).context(|| "making a place for the daemon's own files".to_owned())?;
        self.child = Some(self.host.spawn_apart(&mut command, &place)?);
        Ok(notify)
    }

    fn wait_ready(&mut self, notify: &UnixDatagram) -> Result<()> {
        let log = self.log_path();
        let log = move || fs::read_to_string(&log).unwrap_or_default();
        let child = self.child.as_mut();
        let Some(child) = child else { return Ok(()) };
        let mut said = String::new();
        until("the daemon to say READY=1", PATIENCE, || {
            let mut buffer = [0; 4096];
            while let Ok(length) = notify.recv(&mut buffer) {
                said.push_str(&String::from_utf8_lossy(&buffer[..length]));
                said.push('\n');
            }
            if said.lines().any(|line| line == "READY=1") {
                return Ok(Look::Yes(()));
            }
            match child.try_wait().context(|| "asking for the daemon".to_owned())? {
                Some(status) => Err(LabError::DaemonEnded { status: status.to_string(), log: log() }),
                None => Ok(Look::No(format!("{said:?}, and in its log:\n{}", log()))),
            }
        })
    }

    /// A file as the daemon sees it.
    ///
    /// # Errors
    ///
    /// When the daemon does not run, or there is no such file.
    pub fn read(&self, path: &str) -> Result<String> {
        let path = format!("/proc/{}/root{path}", self.pid()?);
        fs::read_to_string(&path).context(|| format!("reading {path}"))
    }

    /// Kills it without warning, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it cannot be signalled.
    pub fn kill9(&mut self) -> Result<ExitStatus> {
        self.end(Signal::SIGKILL)
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    ///
    /// When it has not within 10 s.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.end(Signal::SIGTERM)
    }

    fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        let Some(mut child) = self.child.take() else { return Ok(ExitStatus::from_raw(0)) };
        // One that has ended by itself has been waited for, and its number may be another's.
        if let Some(status) = child.try_wait().context(|| "waiting for the daemon".to_owned())? {
            return Ok(status);
        }
        let pid =
            i32::try_from(child.id()).map_err(|_| LabError::Broken("an impossible process id".to_owned()))?;
        kill(Pid::from_raw(pid), signal).context(|| format!("sending {signal} to the daemon"))?;
        let ended = until("the daemon to end", PATIENCE, || {
            let status = child.try_wait().context(|| "waiting for the daemon".to_owned())?;
            Ok(status.map_or_else(|| Look::No("it still runs".to_owned()), Look::Yes))
        });
        if ended.is_err() {
            self.child = Some(child);
        }
        ended
    }

    /// Runs another command of the binary against this daemon: `["switch", "bond0", "wlan0"]`, whatever comes of it.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.client(arguments)?;
        self.host.within(|| command.output().map_err(|error| start_error(&command, error)))?
    }

    /// A command of the binary against this daemon, in words: for someone who is to type it elsewhere.
    ///
    /// # Errors
    ///
    /// When the binary has not been built.
    pub fn words(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let command = self.client(arguments)?;
        let words = [command.get_program()].into_iter().chain(command.get_args());
        Ok(words.map(|word| word.to_string_lossy().into_owned()).collect())
    }

    /// Starts a command of the binary against this daemon that goes on for a while.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn begin_command(&self, arguments: &[&str]) -> Result<Running> {
        Running::start(self.host, &mut self.client(arguments)?)
    }

    /// The same with the daemon's own /etc and /run: for what changes files there, or goes by them.
    ///
    /// # Errors
    ///
    /// When the daemon does not run, or the command cannot be started.
    pub fn command_beside(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.client(arguments)?;
        let pid = self.pid()?;
        self.host.within(|| {
            join_mounts(pid)?;
            command.output().map_err(|error| start_error(&command, error))
        })?
    }

    /// As [`Daemon::command`], when it has to succeed; what it printed.
    ///
    /// # Errors
    ///
    /// When it fails; the error has what it said.
    pub fn ask(&self, arguments: &[&str]) -> Result<String> {
        let done = self.command(arguments)?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        Err(LabError::Command {
            command: shown(&self.client(arguments)?),
            status: done.status.to_string(),
            stderr: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
        })
    }

    /// `hitless status --json`.
    ///
    /// # Errors
    ///
    /// When it fails or prints something else.
    pub fn status(&self) -> Result<Value> {
        let output = self.ask(&["status", "--json"])?;
        serde_json::from_str(&output).map_err(|source| LabError::Json {
            command: "hitless status --json".to_owned(),
            output,
            source,
        })
    }

    /// The status of one bond; null if there is none of that name.
    ///
    /// # Errors
    ///
    /// As [`Daemon::status`].
    pub fn bond(&self, name: &str) -> Result<Value> {
        let status = self.status()?;
        let bonds = status["bonds"].as_array().cloned().unwrap_or_default();
        Ok(bonds.into_iter().find(|bond| bond["name"] == name).unwrap_or_default())
    }

    /// The same, asked at the socket: it costs no process, which matters where something is being measured.
    ///
    /// # Errors
    ///
    /// When the daemon does not answer within 10 s, or not in JSON.
    pub fn glance(&self, name: &str) -> Result<Value> {
        let reply =
            self.call("io.hitless.Status").context(|| "asking the daemon at its socket".to_owned())?;
        let output = String::from_utf8_lossy(&reply).into_owned();
        let status: Value = serde_json::from_str(&output).map_err(|source| LabError::Json {
            command: "io.hitless.Status".to_owned(),
            output,
            source,
        })?;
        let bonds = status["parameters"]["bonds"].as_array().cloned().unwrap_or_default();
        Ok(bonds.into_iter().find(|bond| bond["name"] == name).unwrap_or_default())
    }

    /// A Varlink call without parameters: messages end with a zero byte.
    fn call(&self, method: &str) -> std::io::Result<Vec<u8>> {
        let mut socket = UnixStream::connect(self.socket())?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.write_all(format!("{{\"method\":\"{method}\"}}\0").as_bytes())?;
        let mut reply = Vec::new();
        BufReader::new(socket).read_until(0, &mut reply)?;
        reply.pop();
        Ok(reply)
    }

    /// Waits until a bond's status is as wished. It is asked for at the socket, so that looking costs no process.
    ///
    /// # Errors
    ///
    /// When it is not within `limit`; the error has the last status and the daemon's log.
    pub fn wait_bond(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        wished: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        until(what, limit, || {
            let bond = self.glance(name)?;
            Ok(if wished(&bond) {
                Look::Yes(bond)
            } else {
                Look::No(format!("{bond:#}\nand in the daemon's log:\n{}", self.log()))
            })
        })
    }

    /// Waits until this port is the active one.
    ///
    /// # Errors
    ///
    /// When it is not within `limit`.
    pub fn wait_active(&self, bond: &str, port: &str, limit: Duration) -> Result<Value> {
        self.wait_bond(bond, &format!("{port} to become the active port of {bond}"), limit, |status| {
            status["active"] == port
        })
    }

    /// Follows `hitless watch --json`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn watch(&self) -> Result<Watch> {
        let mut command = self.client(&["watch", "--json"])?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Watch::new(self.host.spawn(&mut command)?)
    }

    fn client(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.args(arguments).arg("--socket").arg(self.socket()).stdin(Stdio::null());
        Ok(command)
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.kill9();
        if thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        }
    }
}

/// The events that a daemon tells, as they come.
#[derive(Debug)]
pub struct Watch {
    child: Child,
    events: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
}

impl Watch {
    fn new(mut child: Child) -> Result<Self> {
        let output = child.stdout.take().ok_or_else(|| LabError::Broken("no pipe to watch".to_owned()))?;
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                told.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
        });
        Ok(Self { child, events, reader: Some(reader) })
    }

    /// All events so far; a line that is not JSON is a string.
    pub fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for an event.
    ///
    /// # Errors
    ///
    /// When it has not come within `limit`; the error has those that have.
    pub fn wait(&self, what: &str, limit: Duration, wished: impl Fn(&Value) -> bool) -> Result<Value> {
        until(what, limit, || {
            let events = self.events();
            let found = events.iter().find(|event| wished(event)).cloned();
            Ok(found.map_or_else(|| Look::No(format!("{events:?}")), Look::Yes))
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
