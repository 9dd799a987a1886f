//! The networks that were joined by command, so that they are joined again after a restart.
//!
//! They are not in the configuration file, which is the user's to write. This file is read by root alone: the
//! passphrases are in it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hitless_api::NewNetwork;

use crate::file;

/// What the file is called, in the directory of what the daemon has to remember.
const FILE: &str = "wifi.json";

/// By interface name, in the order in which they were joined first.
type Networks = BTreeMap<String, Vec<NewNetwork>>;

/// The networks that were joined by command.
#[derive(Debug)]
pub struct Saved {
    path: PathBuf,
    networks: Networks,
}

/// They cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}, where networks are kept that were joined by command", path.display())]
pub struct SavedError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Saved {
    /// Reads those of this directory. A file that is not there has none. So has one that cannot be understood, which is set
    /// aside: a bond that forwards is worth more than a network that can be joined again.
    ///
    /// # Errors
    ///
    /// When it is there, and cannot be read or set aside.
    pub fn open(directory: &Path) -> Result<Self, SavedError> {
        let path = directory.join(FILE);
        let failed = |what, source| SavedError { what, path: path.clone(), source };
        let networks = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(networks) => networks,
                // Not what serde says of it: that could quote from it.
                Err(_) => {
                    let aside = path.with_extension("damaged");
                    fs::rename(&path, &aside).map_err(|source| failed("set aside", source))?;
                    tracing::warn!(
                        "the networks that were joined by command cannot be understood: join them again (they are in {})",
                        aside.display()
                    );
                    Networks::new()
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Networks::new(),
            Err(error) => return Err(failed("read", error)),
        };
        Ok(Self { path, networks })
    }

    /// Those of an interface.
    pub fn of(&self, interface: &str) -> &[NewNetwork] {
        self.networks.get(interface).map_or(&[], Vec::as_slice)
    }

    /// The interfaces of which there are any.
    pub fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.networks.keys().map(String::as_str)
    }

    /// Remembers one, in the place of another of its name.
    ///
    /// # Errors
    ///
    /// When it cannot be written. Nothing has changed then.
    pub fn add(&mut self, interface: &str, network: NewNetwork) -> Result<(), SavedError> {
        let mut networks = self.networks.clone();
        let list = networks.entry(interface.to_owned()).or_default();
        match list.iter_mut().find(|saved| is_same(saved, &network)) {
            Some(saved) => *saved = network,
            None => list.push(network),
        }
        self.replace(networks)
    }

    /// Forgets one. Says whether there was one of this name.
    ///
    /// # Errors
    ///
    /// When that cannot be written. Nothing has changed then.
    pub fn remove(&mut self, interface: &str, network: &NewNetwork) -> Result<bool, SavedError> {
        let mut networks = self.networks.clone();
        let list = networks.entry(interface.to_owned()).or_default();
        let before = list.len();
        list.retain(|saved| !is_same(saved, network));
        let found = list.len() < before;
        networks.retain(|_, list| !list.is_empty());
        if found {
            self.replace(networks)?;
        }
        Ok(found)
    }

    fn replace(&mut self, networks: Networks) -> Result<(), SavedError> {
        file::replace_json(&self.path, &networks).map_err(|source| SavedError {
            what: "write",
            path: self.path.clone(),
            source,
        })?;
        self.networks = networks;
        Ok(())
    }
}

fn is_same(a: &NewNetwork, b: &NewNetwork) -> bool {
    match (&a.ssid_hex, &b.ssid_hex) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.ssid == b.ssid,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use hitless_api::Secret;

    use super::*;

    fn network(ssid: &str, secret: &str) -> NewNetwork {
        NewNetwork { ssid: ssid.to_owned(), secret: Some(Secret::new(secret)), ..NewNetwork::default() }
    }

    #[test]
    fn kept_for_root_alone_and_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("state");
        let mut saved = Saved::open(&place).unwrap();
        saved.add("wlan0", network("home", "correct horse")).unwrap();
        saved.add("wlan0", network("cafe", "espresso")).unwrap();
        saved.add("wlan0", network("home", "battery staple")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&place), mode(&place.join(FILE))), (0o700, 0o600));

        let mut again = Saved::open(&place).unwrap();
        assert_eq!(again.of("wlan0"), [network("home", "battery staple"), network("cafe", "espresso")]);
        assert!(again.remove("wlan0", &network("home", "")).unwrap());
        assert!(!again.remove("wlan0", &network("home", "")).unwrap());
        assert!(again.remove("wlan0", &network("cafe", "")).unwrap());
        assert_eq!(fs::read_to_string(place.join(FILE)).unwrap(), "{}\n");
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let damaged = "{\"wlan0\": [\"correct horse\"";
        fs::write(directory.path().join(FILE), damaged).unwrap();
        let saved = Saved::open(directory.path()).unwrap();
        assert!(saved.of("wlan0").is_empty());
        assert_eq!(fs::read_to_string(directory.path().join("wifi.damaged")).unwrap(), damaged);
    }
}
