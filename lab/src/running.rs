//! A command of the binary that goes on for a while, and what it says.

use std::process::{Command, ExitStatus};

use nix::sys::signal::Signal;

use crate::error::Result;
use crate::netns::Namespace;
use crate::process::{Place, Process};

/// A command that was started. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    process: Process,
    place: Place,
}

impl Running {
    pub(crate) fn start(host: &Namespace, command: &mut Command) -> Result<Self> {
        let place = Place::new()?;
        Ok(Self { process: Process::start(host, command, &place.log())?, place })
    }

    /// What it has said so far, to standard output and error.
    pub fn said(&self) -> String {
        self.place.said()
    }

    /// Waits until it has said this.
    ///
    /// # Errors
    ///
    /// When it does not within 20 s, or ends before.
    pub fn wait_said(&mut self, text: &str) -> Result<()> {
        let place = &self.place;
        self.process.wait_ready(&place.log(), || place.said().contains(text))
    }

    /// Waits until it has ended, however that may be.
    ///
    /// # Errors
    ///
    /// When it does not within 20 s.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.process.wait(&self.place.log())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until it has ended and all that it said is there; the exit code and that.
    ///
    /// # Errors
    ///
    /// When it does not within 20 s.
    pub fn outcome(&mut self) -> Result<(Option<i32>, String)> {
        let code = self.wait()?.code();
        Ok((code, self.said()))
    }
}
