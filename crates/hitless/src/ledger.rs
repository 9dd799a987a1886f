//! The ledger: what interfaces were like before they became ports, so that they can be given back as they were found,
//! also by another daemon than the one that took them.
//!
//! It lies beside the socket, where it does not survive a reboot: neither does what it tells of. Only what is in it
//! is its business; taking interfaces and giving them back is that of [`crate::driver`].

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use hitless_core::mac::MacAddr;
use hitless_linux::takeover::Belongings;
use serde::{Deserialize, Serialize};

/// What an interface was like when it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Its name then.
    pub name: String,
    /// Its address.
    pub mac: MacAddr,
    /// In bytes.
    pub mtu: u32,
    /// Was it switched on?
    pub up: bool,
    /// Did it receive all multicast?
    pub allmulti: bool,
    /// Was IPv6 switched off on it? `None`: the kernel has no IPv6.
    pub ipv6_disabled: Option<bool>,
    /// Did it receive everything?
    pub promisc: bool,
    /// Might it sleep between Wi-Fi beacons? `None`: it is not Wi-Fi, or cannot.
    #[serde(default)]
    pub power_save: Option<bool>,
    /// What addresses and routes it had, which are the bond's now.
    pub gave: Belongings,
    /// Was it given back, and is remembered only for what it gave, which it gets back when the bond is removed?
    #[serde(default)]
    pub left: bool,
}

/// Interfaces that are ports, by bond and interface index.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    place: Place,
    bonds: Bonds,
}

type Bonds = BTreeMap<String, BTreeMap<u32, Found>>;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
struct Page {
    /// Interface indices mean something only here.
    place: Place,
    bonds: Bonds,
}

/// Where and since when interfaces have the indices that they have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    boot: String,
    network_namespace: u64,
}

impl Place {
    fn here() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { boot, network_namespace: fs::metadata("/proc/thread-self/ns/net")?.ino() })
    }
}

/// The ledger cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}, which tells how to give ports back as they were found", path.display())]
pub struct LedgerError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Ledger {
    /// Opens the ledger that goes with this socket. One that is not there is empty; so is one that cannot be
    /// understood, which is set aside: a bond that forwards is worth more than the way back.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be read.
    pub fn open(socket: &Path) -> Result<Self, LedgerError> {
        let path = socket.with_extension("ports.json");
        let place = match Place::here() {
            Ok(place) => place,
            Err(source) => return Err(LedgerError { what: "tell the place of", path, source }),
        };
        let bonds = match fs::read(&path) {
            Ok(text) => read(&text, &place, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Bonds::new(),
            Err(source) => return Err(LedgerError { what: "read", path, source }),
        };
        Ok(Self { path, place, bonds })
    }

    /// What is known of a port.
    pub fn get(&self, bond: &str, index: u32) -> Option<&Found> {
        self.bonds.get(bond)?.get(&index)
    }

    /// The names of all bonds that have ports.
    pub fn bonds(&self) -> Vec<String> {
        self.bonds.keys().cloned().collect()
    }

    /// The bond that a port is in, if it is another one than this, and what is known of it.
    pub fn other_owner(&self, bond: &str, index: u32) -> Option<(&str, &Found)> {
        let mut others = self.bonds.iter().filter(|(name, _)| *name != bond);
        others.find_map(|(name, ports)| Some((name.as_str(), ports.get(&index).filter(|found| !found.left)?)))
    }

    /// All ports of a bond.
    pub fn ports(&self, bond: &str) -> Vec<(u32, Found)> {
        self.bonds.get(bond).into_iter().flatten().map(|(index, found)| (*index, found.clone())).collect()
    }

    /// Enters a port, before anything about it is changed.
    ///
    /// # Errors
    ///
    /// When it cannot be written; nothing is entered then.
    pub fn enter(&mut self, bond: &str, index: u32, found: Found) -> Result<(), LedgerError> {
        let mut bonds = self.bonds.clone();
        bonds.entry(bond.to_owned()).or_default().insert(index, found);
        self.write(bonds)
    }

    /// Strikes out a port whose interface is gone, unless the bond still has something of it.
    ///
    /// # Errors
    ///
    /// When it cannot be written; it stays in then.
    pub fn vanished(&mut self, bond: &str, index: u32) -> Result<(), LedgerError> {
        match self.get(bond, index) {
            Some(found) if found.gave.is_empty() => self.strike(bond, index),
            Some(_) | None => Ok(()),
        }
    }

    /// Takes note that a port was given back, and forgets it unless the bond still has something of it.
    ///
    /// # Errors
    ///
    /// When it cannot be written; it stays in as it is then.
    pub fn returned(&mut self, bond: &str, index: u32) -> Result<(), LedgerError> {
        match self.get(bond, index).cloned() {
            Some(found) if !found.gave.is_empty() => self.enter(bond, index, Found { left: true, ..found }),
            Some(_) | None => self.strike(bond, index),
        }
    }

    /// Strikes out a port.
    ///
    /// # Errors
    ///
    /// When it cannot be written; it stays in then.
    pub fn strike(&mut self, bond: &str, index: u32) -> Result<(), LedgerError> {
        let mut bonds = self.bonds.clone();
        if let Some(ports) = bonds.get_mut(bond) {
            ports.remove(&index);
        }
        bonds.retain(|_, ports| !ports.is_empty());
        self.write(bonds)
    }

    fn write(&mut self, bonds: Bonds) -> Result<(), LedgerError> {
        if bonds == self.bonds {
            return Ok(());
        }
        let failed = |what| {
            let path = self.path.clone();
            move |source| LedgerError { what, path, source }
        };
        if bonds.is_empty() {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove")(error)),
                Ok(()) | Err(_) => {}
            }
        } else {
            let page = Page { place: self.place.clone(), bonds };
            replace(&self.path, &page).map_err(failed("write"))?;
            self.bonds = page.bonds;
            return Ok(());
        }
        self.bonds = bonds;
        Ok(())
    }
}

/// What a file says that belongs here.
fn read(text: &[u8], place: &Place, path: &Path) -> Bonds {
    match serde_json::from_slice(text) {
        Ok(Page { place: there, bonds }) if there == *place => bonds,
        Ok(_) => {
            tracing::info!(path = %path.display(), "of another boot or network namespace; begun anew");
            Bonds::new()
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "not understood, and set aside");
            drop(fs::rename(path, path.with_extension("broken")));
            Bonds::new()
        }
    }
}

/// In one step, so that there is always a whole ledger.
fn replace(path: &Path, page: &Page) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec_pretty(page)?)?;
    fs::rename(&new, path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            name: "eth0".to_owned(),
            mac: MacAddr([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            up: true,
            allmulti: false,
            ipv6_disabled: Some(false),
            promisc: false,
            power_save: None,
            gave: Belongings::default(),
            left: false,
        }
    }

    #[test]
    fn what_is_entered_is_there_for_the_next_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("io.hitless.sock");
        let mut ledger = Ledger::open(&socket).unwrap();
        ledger.enter("bond0", 7, found()).unwrap();
        ledger.enter("bond1", 8, found()).unwrap();
        let mut next = Ledger::open(&socket).unwrap();
        assert_eq!(next.ports("bond0"), [(7, found())]);
        assert_eq!(next.other_owner("bond0", 8), Some(("bond1", &found())));
        assert_eq!(next.other_owner("bond0", 7), None);
        next.strike("bond0", 7).unwrap();
        next.strike("bond1", 8).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_ledger_of_another_boot_means_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("io.hitless.sock");
        Ledger::open(&socket).unwrap().enter("bond0", 7, found()).unwrap();
        let path = dir.path().join("io.hitless.ports.json");
        let mut page: Page = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        page.place.boot.push('x');
        replace(&path, &page).unwrap();
        assert_eq!(Ledger::open(&socket).unwrap().ports("bond0"), []);
    }

    #[test]
    fn a_broken_ledger_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("io.hitless.sock");
        fs::write(dir.path().join("io.hitless.ports.json"), "{ half").unwrap();
        assert_eq!(Ledger::open(&socket).unwrap().ports("bond0"), []);
        assert!(dir.path().join("io.hitless.ports.broken").exists());
    }

    #[test]
    fn a_ledger_that_cannot_be_written_enters_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&dir.path().join("missing/io.hitless.sock")).unwrap();
        assert!(ledger.enter("bond0", 7, found()).is_err());
        assert_eq!(ledger.get("bond0", 7), None);
    }
}
