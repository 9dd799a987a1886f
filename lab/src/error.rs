//! What can go wrong in the laboratory, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The result of most things here.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// What went wrong in the laboratory.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Namespaces need root.
    #[error("the laboratory needs root to make network namespaces: run it through sudo")]
    NotRoot,
    /// A program is not installed.
    #[error("`{tool}` is not installed: run `make deps`, or install the package {package}")]
    MissingTool {
        /// The program.
        tool: String,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Something would have changed the machine's own network.
    #[error(
        "refused to work in the initial network namespace: the laboratory only works in namespaces of its own"
    )]
    InitialNamespace,
    /// A command failed.
    #[error("`{command}` failed ({status}): {stderr}")]
    Command {
        /// The command with its arguments.
        command: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("waited {waited:?} for {what}, saw {saw}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
        /// What was there instead.
        saw: String,
    },
    /// Ctrl-C or SIGTERM.
    #[error("interrupted")]
    Interrupted,
    /// The daemon's binary is not there.
    #[error(
        "no hitless binary at {path}: build it with `cargo build --bin hitless`, or name it in HITLESS_BIN"
    )]
    NoBinary {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The daemon ended when it should have been running.
    #[error("the daemon ended early ({status}); it said:\n{log}")]
    DaemonEnded {
        /// How it ended.
        status: String,
        /// Its standard error.
        log: String,
    },
    /// A command of `hitless` printed what is not JSON.
    #[error("`{command}` printed what is not JSON ({source}): {output}")]
    Json {
        /// The command.
        command: String,
        /// What it printed.
        output: String,
        /// Why it could not be read.
        source: serde_json::Error,
    },
    /// What the guest with Wi-Fi boots from has not been fetched.
    #[error("no guest kernel with Wi-Fi in {looked}: run `make deps`, or lab/guest-kernel")]
    NoGuestKernel {
        /// Where it was looked for.
        looked: String,
    },
    /// Something would have used the machine's own Wi-Fi.
    #[error(
        "refused to work on the machine's own Wi-Fi: radios are made in a guest only (qemu::run, qemu::rerun)"
    )]
    NoWifi,
    /// The guest kernel did not get as far as running the command.
    #[error("the guest kernel {what}; its console:\n{console}")]
    Guest {
        /// What happened.
        what: String,
        /// The console.
        console: String,
    },
    /// A stream or a measurement did not hold what it promises.
    #[error("{0}")]
    Broken(String),
}

/// Names what was tried when the system refuses it.
pub trait IoContext<T> {
    /// The error with `what` was tried.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> IoContext<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| LabError::Io { what: what(), source: error.into() })
    }
}
