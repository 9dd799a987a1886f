//! A program that runs in a namespace with its log in a file; killed when dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{IoContext as _, LabError, Result};
use crate::netns::Namespace;
use crate::wait::{Look, until};

/// How long a program may take to begin or to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts it; what it prints is added to the log.
    pub(crate) fn start(host: &Namespace, command: &mut Command, log: &Path) -> Result<Self> {
        log_to(command, log)?;
        Ok(Self { name: name(command), child: host.spawn(command)? })
    }

    /// The same with /etc and /run of its own, where it writes nothing that is the machine's.
    pub(crate) fn start_apart(host: &Namespace, command: &mut Command, place: &Place) -> Result<Self> {
        log_to(command, &place.log())?;
        Ok(Self { name: name(command), child: host.spawn_apart(command, &place.own()?)? })
    }

    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` says so.
    pub(crate) fn wait_ready(&mut self, log: &Path, ready: impl Fn() -> bool) -> Result<()> {
        let said = || fs::read_to_string(log).unwrap_or_default();
        until(&format!("{} to be ready", self.name), PATIENCE, || {
            if ready() {
                return Ok(Look::Yes(()));
            }
            match self.child.try_wait().context(|| format!("asking for {}", self.name))? {
                Some(status) => Err(LabError::Broken(format!(
                    "{} ended early ({status}); it said:\n{}",
                    self.name,
                    said()
                ))),
                None => Ok(Look::No(said())),
            }
        })
    }

    /// Sends it a signal that ends it, and waits until it has.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<()> {
        let name = &self.name;
        let child = &mut self.child;
        let ended = |child: &mut Child| child.try_wait().context(|| format!("waiting for {name}"));
        // One that has ended by itself has been waited for, and its number may be another's.
        if ended(child)?.is_some() {
            return Ok(());
        }
        let pid =
            i32::try_from(child.id()).map_err(|_| LabError::Broken("an impossible process id".to_owned()))?;
        kill(Pid::from_raw(pid), signal).context(|| format!("sending {signal} to {name}"))?;
        until(&format!("{name} to end"), PATIENCE, || {
            Ok(ended(child)?.map_or_else(|| Look::No("it still runs".to_owned()), |_| Look::Yes(())))
        })
    }
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn log_to(command: &mut Command, log: &Path) -> Result<()> {
    let context = || format!("opening {}", log.display());
    let file = File::options().create(true).append(true).open(log).context(context)?;
    let errors = file.try_clone().context(context)?;
    command.stdin(Stdio::null()).stdout(file).stderr(errors);
    Ok(())
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a program has its files: configuration, log, and the directory of its control sockets.
#[derive(Debug)]
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// A private place below the temporary directory.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { directory: crate::scratch::directory()? })
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("config")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    /// A directory for what only the program sees, there from now on.
    pub(crate) fn own(&self) -> Result<PathBuf> {
        self.directory("own")
    }

    /// A directory for what the program keeps over its lives, there from now on.
    pub(crate) fn kept(&self) -> Result<PathBuf> {
        self.directory("kept")
    }

    fn directory(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        fs::create_dir_all(&path).context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// What the program has said, over all its lives.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}
