//! What is wanted and what has been done, kept for the next daemon.
//!
//! Beside it lies the file that was found in the place of /etc/resolv.conf, as it was: users can put it back by hand.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::replace::There;
use super::{Dns, ResolverError, Via};

const FILE: &str = "resolver.json";
const KEPT: &str = "resolv.conf.original";

/// A bond of which something is wanted, or was and is to be taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) bond: String,
    pub(super) index: u32,
    /// Empty where it is to be taken back.
    pub(super) dns: Dns,
    pub(super) told: Option<Told>,
}

impl Entry {
    /// Is done what is wanted, as far as we know?
    pub(super) fn is_settled(&self) -> bool {
        self.told.as_ref().is_some_and(|told| told.dns == self.dns)
    }

    /// By what it is in force.
    pub(super) fn via(&self) -> Option<Via> {
        self.told.as_ref().filter(|told| !told.dns.is_empty()).map(|told| told.via)
    }
}

/// What has been done for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) via: Via,
    pub(super) dns: Dns,
}

/// The file in the place of /etc/resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileState {
    /// What was there before; `None` where the file is not ours.
    pub(super) original: Option<Original>,
    /// The lines that it had.
    pub(super) lines: Vec<String>,
    /// What we have written.
    pub(super) written: Option<String>,
    /// What we are about to replace, or to write: a daemon that was killed may have done it, or not.
    pub(super) writing: Vec<String>,
}

impl FileState {
    pub(super) fn is_managed(&self) -> bool {
        self.original.is_some()
    }
}

/// What was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Original {
    /// A file or a symlink, which is kept.
    Kept,
    /// Nothing.
    Missing,
    /// Nobody knows: our file was there, and no memory of it.
    Unknown,
}

/// What is remembered.
#[derive(Debug)]
pub(super) struct Memory {
    directory: PathBuf,
    page: Page,
    /// As it is on the disk.
    stored: Page,
    /// Has the machine been started since?
    pub(super) is_new_boot: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    /// Interface indices mean something only here.
    place: Option<Place>,
    bonds: Vec<Entry>,
    file: FileState,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    boot: String,
    network_namespace: u64,
}

impl Place {
    fn here() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        Some(Self { boot, network_namespace: fs::metadata("/proc/thread-self/ns/net").ok()?.ino() })
    }
}

impl Memory {
    /// Is anything remembered in this directory?
    pub(super) fn is_there(directory: &Path) -> bool {
        directory.join(FILE).exists()
    }

    /// Reads what is remembered in this directory. What cannot be understood is set aside.
    pub(super) fn open(directory: &Path) -> Result<Self, ResolverError> {
        let path = directory.join(FILE);
        let failed =
            |what, source| ResolverError::Memory { what, path: path.clone(), source: Arc::new(source) };
        let stored: Page = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(page) => page,
                Err(error) => {
                    let aside = path.with_extension("damaged");
                    fs::rename(&path, &aside).map_err(|source| failed("set aside", source))?;
                    tracing::warn!(path = %aside.display(), %error, "not understood, and set aside");
                    Page::default()
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Page::default(),
            Err(error) => return Err(failed("read", error)),
        };
        let place = Place::here();
        let mut page = stored.clone();
        let is_new_boot = page.place.is_some() && page.place != place;
        if is_new_boot {
            // The file is still there; the bonds are not, nor is what others were told of them.
            page.bonds.clear();
        }
        page.place = place;
        Ok(Self { directory: directory.to_owned(), page, stored, is_new_boot })
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.page.bonds
    }

    pub(super) fn file(&self) -> &FileState {
        &self.page.file
    }

    pub(super) fn file_mut(&mut self) -> &mut FileState {
        &mut self.page.file
    }

    /// Is there nothing to do, and nothing to take back?
    pub(super) fn is_idle(&self) -> bool {
        self.page.bonds.is_empty() && !self.page.file.is_managed()
    }

    pub(super) fn knows(&self, bond: &str) -> bool {
        self.page.bonds.iter().any(|entry| entry.bond == bond)
    }

    /// The order is that in which bonds were first wanted.
    pub(super) fn want(&mut self, bond: &str, index: u32, dns: Dns) {
        match self.page.bonds.iter_mut().find(|entry| entry.bond == bond) {
            Some(entry) => {
                if entry.index != index {
                    entry.told = entry.told.take().filter(|told| told.via != Via::Resolved);
                }
                (entry.index, entry.dns) = (index, dns);
            }
            None if dns.is_empty() => {}
            None => self.page.bonds.push(Entry { bond: bond.to_owned(), index, dns, told: None }),
        }
    }

    pub(super) fn told(&mut self, bond: &str, told: Option<Told>) {
        if let Some(entry) = self.page.bonds.iter_mut().find(|entry| entry.bond == bond) {
            entry.told = told;
        }
    }

    pub(super) fn strike(&mut self, bond: &str) {
        self.page.bonds.retain(|entry| entry.bond != bond);
    }

    /// Where it is kept what was found in the place of the file.
    pub(super) fn kept(&self) -> PathBuf {
        self.directory.join(KEPT)
    }

    /// Keeps what was found in the place of the file.
    pub(super) fn keep(&mut self, there: &There) -> Result<(), ResolverError> {
        let path = self.kept();
        if There::read(&path).is_ok_and(|kept| kept == *there) {
            return Ok(());
        }
        self.make_directory()?;
        there.put(&path).map_err(|source| failed("write", path, source))
    }

    /// Writes it down, so that it lasts.
    pub(super) fn store(&mut self) -> Result<(), ResolverError> {
        if self.page == self.stored {
            return Ok(());
        }
        self.make_directory()?;
        let path = self.directory.join(FILE);
        let written = serde_json::to_vec_pretty(&self.page).map_err(io::Error::from);
        let there = written.map(|bytes| There::File(bytes, 0o600));
        there.and_then(|there| there.put(&path)).map_err(|source| failed("write", path, source))?;
        self.stored = self.page.clone();
        Ok(())
    }

    fn make_directory(&self) -> Result<(), ResolverError> {
        if self.directory.exists() {
            return Ok(());
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(|source| failed("make", self.directory.clone(), source))
    }
}

fn failed(what: &'static str, path: PathBuf, source: io::Error) -> ResolverError {
    ResolverError::Memory { what, path, source: Arc::new(source) }
}
