//! Files that are replaced as a whole: whoever reads one finds the old or the new, and never a part.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::Path;

use serde::Serialize;

/// Who may do what with something new.
#[derive(Clone, Copy)]
struct Rights {
    file: u32,
    directory: u32,
}

const PRIVATE: Rights = Rights { file: 0o600, directory: 0o700 };
const PUBLIC: Rights = Rights { file: 0o644, directory: 0o755 };

/// Replaces a file by this value as JSON, or makes it, for root alone. Its directory is made if it is not there.
///
/// # Errors
///
/// When it cannot be written. The old one is there then, as it was.
pub(crate) fn replace_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value)?;
    bytes.push(b'\n');
    replace(path, &bytes, PRIVATE)
}

/// Replaces a text of the user's, who keeps it, with the rights that it had. If it was not there, everyone may read it.
///
/// # Errors
///
/// When it cannot be written. The old one is there then, as it was.
pub(crate) fn replace_text(path: &Path, text: &str) -> io::Result<()> {
    replace(path, text.as_bytes(), PUBLIC)
}

fn replace(path: &Path, bytes: &[u8], rights: Rights) -> io::Result<()> {
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        DirBuilder::new().recursive(true).mode(rights.directory).create(directory)?;
    }
    // A name that nobody else has use for.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".hitless-new");
    let new = path.with_file_name(name);
    remove(&new)?;
    let replaced = write(&new, bytes, rights, path).and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        // What was wrong with the other one is to be told, not that this one stays.
        let _ = remove(&new);
    }
    replaced
}

/// Writes a new file that is to stand in an old one's place.
fn write(new: &Path, bytes: &[u8], rights: Rights, old: &Path) -> io::Result<()> {
    // It is never there with more rights than it is to have.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE.file).open(new)?;
    file.write_all(bytes)?;
    if rights.file != PRIVATE.file {
        let old = fs::metadata(old).ok();
        let mode = old.as_ref().map_or(rights.file, |old| old.mode() & 0o7777);
        // As long as it is ours.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        if let Some(old) = old {
            chown(new, Some(old.uid()), Some(old.gid()))?;
        }
    }
    file.sync_all()
}

/// Removes a file, if it is there.
///
/// # Errors
///
/// When it is there, and cannot be removed.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
