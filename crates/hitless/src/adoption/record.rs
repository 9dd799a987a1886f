//! The record of a bond that is on trial: while it is there, the bond is to be taken apart again by whoever finds it, and
//! its interfaces are to have again what they had.
//!
//! It lies beside the socket, where it does not survive a reboot: neither does the bond.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::survey::Before;
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

/// What is in the file: a bond that is on trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnTrial {
    /// The bond.
    pub bond: String,
    /// What its interfaces had.
    #[serde(default)]
    pub before: Vec<Before>,
}

impl Record {
    /// That of the daemon with this socket.
    pub fn of(socket: &Path) -> Self {
        Self { path: socket.with_extension("trial.json") }
    }

    /// Where it is, or would be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bond that is on trial. One that cannot be read is none: what is known of ports is in the ledger.
    pub fn read(&self) -> Option<OnTrial> {
        let bytes = fs::read(&self.path).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// A bond is on trial from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, trial: &OnTrial) -> Result<(), RecordError> {
        file::replace_json(&self.path, trial).map_err(|source| self.failed("write", source))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use hitless_linux::address::Address;
    use hitless_linux::route::Route;

    use super::*;

    fn record() -> (tempfile::TempDir, Record) {
        let directory = tempfile::tempdir().unwrap();
        let record = Record::of(&directory.path().join("io.hitless.sock"));
        (directory, record)
    }

    #[test]
    fn what_interfaces_had_is_there_for_whoever_comes_next() {
        let (_directory, record) = record();
        let mut labelled = Address::new("192.0.2.7".parse().unwrap(), 24);
        labelled.label = Some("eth0:1".to_owned());
        let gateway = "192.0.2.1".parse().unwrap();
        let before = Before {
            index: 7,
            name: "eth0".to_owned(),
            up: true,
            addresses: vec![labelled, Address::new("2001:db8::5".parse().unwrap(), 64)],
            routes: vec![Route::default_via(gateway, 7).with_metric(100), Route::to(gateway, 32, 7).onlink()],
            seen: std::time::Duration::from_millis(12_345),
        };
        let trial = OnTrial { bond: "bond0".to_owned(), before: vec![before] };
        assert_eq!(record.read(), None);
        record.write(&trial).unwrap();
        assert_eq!(record.read(), Some(trial));
        record.remove().unwrap();
        assert_eq!(record.read(), None);
    }

    #[test]
    fn one_that_names_the_bond_alone_will_do() {
        let (_directory, record) = record();
        fs::write(record.path(), r#"{ "bond": "bond0" }"#).unwrap();
        assert_eq!(record.read(), Some(OnTrial { bond: "bond0".to_owned(), before: Vec::new() }));
    }

    #[test]
    fn a_route_that_is_none_is_no_trial() {
        let (_directory, record) = record();
        let text = r#"{ "bond": "bond0", "before": [{ "index": 7, "name": "eth0", "up": true, "addresses": [],
            "routes": [[2, 0]], "seen": { "secs": 1, "nanos": 0 } }] }"#;
        fs::write(record.path(), text).unwrap();
        assert_eq!(record.read(), None);
    }
}
