//! How a command ends when it did not work: an exit code, and words that say what to do next.

use std::error::Error as StdError;
use std::io;
use std::process::ExitCode;

use hitless_api::{ClientError, Error};

use crate::causes::{causes, chain};
use crate::config::{LoadError, Report};

/// Exit codes, as `--help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NoDaemon = 3,
    Refused = 4,
    Unverified = 5,
    Unchecked = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    /// `None`: all has been said.
    message: Option<String>,
    hint: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: Some(message.into()), hint: None }
    }

    /// Without words.
    pub(super) fn silent(exit: Exit) -> Self {
        Self { exit, message: None, hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of a configuration that is wrong.
    pub(super) fn invalid(exit: Exit, report: &Report) -> Self {
        // The stream takes the colours out again where they are not wanted.
        Self { exit, message: None, hint: Some(report.render(true)) }
    }

    /// An error with everything that caused it.
    pub(super) fn from_error(error: &(dyn StdError + 'static)) -> Self {
        let failure = Self::new(Exit::Failed, chain(error));
        match causes(error).find_map(|cause| cause.downcast_ref::<LoadError>()) {
            Some(LoadError::Invalid(report)) => Self::invalid(Exit::Failed, report),
            Some(LoadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => failure.hint(
                "write one (docs/hitless.toml explains every option), or run with --bond and --ports instead",
            ),
            Some(LoadError::Read { .. }) | None => failure,
        }
    }

    /// Tells the user.
    pub(super) fn report(self) -> ExitCode {
        use std::io::Write as _;

        let mut stderr = anstream::stderr().lock();
        let style = super::style::BAD;
        // Where standard error is closed there is nobody to tell.
        if let Some(message) = self.message {
            let _ = writeln!(stderr, "{style}error:{style:#} {message}");
        }
        if let Some(hint) = self.hint {
            let _ = writeln!(stderr, "{hint}");
        }
        self.exit.into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let message = chain(&error);
        if let ClientError::NoDaemon { .. } = error {
            let next = "start it with: sudo hitless run, or say where it listens with --socket";
            Self::new(Exit::NoDaemon, message).hint(next)
        } else if let ClientError::NoAccess { .. } = error {
            Self::new(Exit::Refused, message).hint("try it with sudo")
        } else if matches!(&error, ClientError::Hitless(error) if !matches!(error, Error::Failed { .. } | Error::WifiFailed { .. }))
        {
            Self::new(Exit::Refused, message)
        } else {
            Self::new(Exit::Failed, message)
        }
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::from_error(&error)
    }
}

impl From<io::Error> for Failure {
    /// Of writing what was asked for. Where nobody reads it any more (`hitless watch | head`), that is no failure.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::silent(Exit::Done)
        } else {
            Self::new(Exit::Failed, format!("cannot write: {error}"))
        }
    }
}
