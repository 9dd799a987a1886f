//! The files by which NetworkManager and systemd-networkd are told what to leave alone.
//!
//! NetworkManager has one for all bonds, which adds to its list; systemd-networkd has one for each bond, whose name
//! sorts before others, since it goes by the first file that fits. A file of the same name below `/etc` takes the place
//! of either: that is how a user overrules them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{KeepError, Kept, Manager, Places};

/// What systemd-networkd's begin and end with.
const NETWORK: (&str, &str) = ("00-hitless-", ".network");

/// There while the manager has yet to read what changed, and names what it is to manage again then. Neither reads a file of
/// such a name.
const UNREAD: &str = "hitless.unread";

const KEYFILE: &str = "90-hitless.conf";

/// Begins the line that names what NetworkManager has let go of for us.
const LENT: &str = "# Managed until now:";

const ABOUT: &str = "# hitless uses these interfaces for a bond, and keeps others off them. It removes this file with \
                     the bond:\n# `hitless down`. Nothing else needs it.\n";

impl Manager {
    fn directory(self) -> &'static str {
        match self {
            Self::NetworkManager => "/run/NetworkManager/conf.d",
            Self::Networkd => "/run/systemd/network",
        }
    }

    /// Is this a file of ours?
    fn owns(self, name: &str) -> bool {
        match self {
            Self::NetworkManager => name == KEYFILE,
            Self::Networkd => name.starts_with(NETWORK.0) && name.ends_with(NETWORK.1),
        }
    }
}

/// The file that systemd-networkd is told by of a bond.
pub(super) fn network_file(bond: &str) -> String {
    format!("{}{bond}{}", NETWORK.0, NETWORK.1)
}

/// The files that a manager is to have, and what they say. `lent` is what it has let go of for these bonds, if that has to be
/// remembered.
pub(super) fn wanted(manager: Manager, bonds: &[Kept], lent: &BTreeSet<String>) -> BTreeMap<String, String> {
    match manager {
        _ if bonds.is_empty() => BTreeMap::new(),
        Manager::NetworkManager => BTreeMap::from([(KEYFILE.to_owned(), keyfile(bonds, lent))]),
        Manager::Networkd => bonds.iter().map(|kept| (network_file(&kept.bond), network(kept))).collect(),
    }
}

fn keyfile(bonds: &[Kept], lent: &BTreeSet<String>) -> String {
    let devices = bonds.iter().flat_map(Kept::names).map(|name| format!("interface-name:{name}"));
    let devices: Vec<_> = devices.collect();
    let lent: String = lent.iter().map(|name| format!(" {name}")).collect();
    let lent = if lent.is_empty() { lent } else { format!("{LENT}{lent}\n") };
    format!("{ABOUT}{lent}[keyfile]\nunmanaged-devices+={}\n", devices.join(";"))
}

fn network(kept: &Kept) -> String {
    format!("{ABOUT}[Match]\nName={}\n\n[Link]\nUnmanaged=yes\n", kept.names().join(" "))
}

/// What NetworkManager has let go of for us, and was not told to manage again.
pub(super) fn lent(places: &Places) -> BTreeSet<String> {
    let directory = places.at(Manager::NetworkManager.directory());
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap_or_default();
    let (keyfile, unread) = (read(KEYFILE), read(UNREAD));
    let names = keyfile.lines().find_map(|line| line.strip_prefix(LENT)).unwrap_or_default();
    names.split_whitespace().chain(unread.split_whitespace()).map(str::to_owned).collect()
}

/// The interfaces that systemd-networkd's file for this bond names already.
pub(super) fn named(places: &Places, bond: &str) -> BTreeSet<String> {
    let file = places.at(Manager::Networkd.directory()).join(network_file(bond));
    let text = fs::read_to_string(file).unwrap_or_default();
    let names = text.lines().find_map(|line| line.strip_prefix("Name=")).unwrap_or_default();
    names.split_whitespace().map(str::to_owned).collect()
}

/// Is there something that the manager is still to be told, be it because of an earlier call of an earlier daemon?
pub(super) fn is_news(places: &Places, manager: Manager, wanted: &BTreeMap<String, String>) -> bool {
    let directory = places.at(manager.directory());
    ours(&directory, manager) != *wanted || directory.join(UNREAD).exists()
}

/// Makes the manager's files what they are to be, and leaves alone what is not ours. From now on it has to read them, and
/// to manage `again` then.
pub(super) fn write_all(
    places: &Places,
    manager: Manager,
    wanted: &BTreeMap<String, String>,
    again: &BTreeSet<String>,
) -> Result<(), KeepError> {
    let directory = places.at(manager.directory());
    let there = ours(&directory, manager);
    let unread = directory.join(UNREAD);
    let names: String = again.iter().map(|name| format!("{name}\n")).collect();
    write(&unread, &names).map_err(failed("write", &unread, manager))?;
    for name in there.keys().filter(|name| !wanted.contains_key(*name)) {
        let path = directory.join(name);
        fs::remove_file(&path).map_err(failed("remove", &path, manager))?;
    }
    for (name, text) in wanted.iter().filter(|(name, text)| there.get(*name) != Some(text)) {
        let path = directory.join(name);
        write(&path, text).map_err(failed("write", &path, manager))?;
    }
    Ok(())
}

/// The manager knows what its files say, or will when it starts.
pub(super) fn mark_read(places: &Places, manager: Manager) -> Result<(), KeepError> {
    let unread = places.at(manager.directory()).join(UNREAD);
    match fs::remove_file(&unread) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &unread, manager)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn ours(directory: &Path, manager: Manager) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let ours = names.filter(|name| manager.owns(name));
    // One that cannot be read does not say what it should.
    ours.map(|name| {
        let text = fs::read_to_string(directory.join(&name)).unwrap_or_default();
        (name, text)
    })
    .collect()
}

/// In one step: nobody reads half of it. The name in between is one that neither manager reads. Whatever our umask,
/// everybody may read it: systemd-networkd is not root.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, Permissions::from_mode(0o755))?;
    }
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    fs::write(&new, text)?;
    fs::set_permissions(&new, Permissions::from_mode(0o644))?;
    fs::rename(&new, path)
}

fn failed(what: &'static str, path: &Path, manager: Manager) -> impl FnOnce(io::Error) -> KeepError {
    let path = path.to_owned();
    move |source| KeepError::File { what, path, manager, source }
}
