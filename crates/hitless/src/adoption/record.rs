//! The record of a bond that is on trial: while it is there, the bond is to be taken apart again by whoever finds it.
//!
//! It lies beside the socket, where it does not survive a reboot: neither does the bond.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::file;

/// Where it is.
#[derive(Clone, Debug)]
pub struct Record {
    path: PathBuf,
}

/// It cannot be kept, or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}, by which the next daemon knows that a bond is on trial", path.display())]
pub struct RecordError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What is in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Page {
    bond: String,
}

impl Record {
    /// That of the daemon with this socket.
    pub fn of(socket: &Path) -> Self {
        Self { path: socket.with_extension("trial.json") }
    }

    /// The bond that is on trial. One that cannot be read is none: what is known of ports is in the ledger.
    pub fn read(&self) -> Option<String> {
        let bytes = fs::read(&self.path).ok()?;
        serde_json::from_slice(&bytes).map(|Page { bond }| bond).ok()
    }

    /// A bond is on trial from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, bond: &str) -> Result<(), RecordError> {
        let page = Page { bond: bond.to_owned() };
        file::replace_json(&self.path, &page).map_err(|source| self.failed("write", source))
    }

    /// None is on trial any more.
    ///
    /// # Errors
    ///
    /// When it is there, and cannot be removed.
    pub fn remove(&self) -> Result<(), RecordError> {
        file::remove(&self.path).map_err(|source| self.failed("remove", source))
    }

    fn failed(&self, what: &'static str, source: io::Error) -> RecordError {
        RecordError { what, path: self.path.clone(), source }
    }
}
