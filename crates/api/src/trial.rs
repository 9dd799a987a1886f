//! Building a bond around interfaces in use, on trial; the interface file documents each field.

use serde::{Deserialize, Serialize};

use crate::types::Driver;

/// What to build a bond around.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBond {
    /// Interfaces in order of preference.
    pub ports: Vec<String>,
    /// The bond's name; `None`: the first that is free.
    pub bond: Option<String>,
    /// What is to carry its frames; `None`: Linux bonding where it is there.
    pub driver: Option<Driver>,
    /// How long it may take to confirm, in seconds; 1 to 3600.
    pub within_s: u64,
    /// What has to go on working meanwhile.
    pub session: Option<Session>,
}

/// A TCP connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Our end: address and port.
    pub local: String,
    /// The other end.
    pub peer: String,
}

/// What was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The bond.
    pub bond: String,
    /// Its ports in order of preference.
    pub ports: Vec<String>,
    /// The interface that was in use.
    pub from: String,
    /// The hardware address, which is that of `from`.
    pub mac: String,
    /// With their prefix lengths.
    pub addresses: Vec<String>,
    /// Of default routes.
    pub gateways: Vec<String>,
    /// In seconds.
    pub confirm_within_s: u64,
    /// What will be added to the configuration file.
    pub section: String,
    /// The configuration file.
    pub file: String,
    /// What the user should know or do.
    pub notes: Vec<String>,
}

/// The reply to `Adopt`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// What was built.
    pub adoption: Adoption,
}

/// The reply to `Confirm`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The bond that was on trial.
    pub bond: String,
    /// The file that it is in now.
    pub file: String,
}

/// The reply to `AwaitTrial`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Does the bond stay?
    pub confirmed: bool,
    /// What has become of it, and why.
    pub text: String,
}
