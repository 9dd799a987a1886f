//! Files and symlinks that are replaced as a whole, and are on the disk when that has been done.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Missing,
    /// A file, with its permissions.
    File(Vec<u8>, u32),
    /// A symlink to somewhere, which need not be there.
    Link(PathBuf),
    /// A directory, a device and the like.
    Other,
}

impl There {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let entry = match fs::symlink_metadata(path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Missing),
            Err(error) => return Err(error),
        };
        if entry.is_symlink() {
            Ok(Self::Link(fs::read_link(path)?))
        } else if entry.is_file() {
            Ok(Self::File(fs::read(path)?, entry.permissions().mode() & 0o7777))
        } else {
            Ok(Self::Other)
        }
    }

    /// Makes a path be like this. Where a file cannot be replaced, because it is mounted there or the directory is not ours
    /// to change, it is overwritten.
    pub(super) fn put(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Missing | Self::Other => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            },
            Self::File(bytes, mode) => match swap(path, |new| write_new(new, bytes, *mode)) {
                Err(error) if is_fixed(&error) && is_file(path) => return overwrite(path, bytes),
                result => result?,
            },
            Self::Link(target) => swap(path, |new| symlink(target, new))?,
        }
        sync_directory(path)
    }
}

/// Makes something new beside the path, and puts it there in one step.
fn swap(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.hitless"));
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let done = make(&new).and_then(|()| fs::rename(&new, path));
    if done.is_err() {
        drop(fs::remove_file(&new));
    }
    done
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // Whatever the umask says.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Is the place there to stay, whatever is in it?
fn is_fixed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ResourceBusy | io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
    )
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|entry| entry.is_file())
}

/// In one write, which covers with blank lines what was there before: so nobody ever reads half of it. Then those are cut
/// off.
fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path)?;
    let before = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    let mut whole = bytes.to_vec();
    whole.resize(before.max(bytes.len()), b'\n');
    file.write_all(&whole)?;
    file.set_len(u64::try_from(bytes.len()).unwrap_or_default())?;
    file.sync_all()
}

/// What is in a directory is on the disk when the directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn files_and_symlinks_take_the_place_of_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        for there in [
            There::File(b"one".to_vec(), 0o640),
            There::Link("../nowhere".into()),
            There::File(b"two".to_vec(), 0o666),
            There::Missing,
            There::Missing,
        ] {
            there.put(&path).unwrap();
            assert_eq!(There::read(&path).unwrap(), there);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn what_is_overwritten_may_be_longer_or_shorter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        for text in ["# short\n", "nameserver 192.0.2.200\nnameserver 192.0.2.201\n", ""] {
            overwrite(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_symlink_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let (path, others) = (directory.path().join("resolv.conf"), directory.path().join("others"));
        fs::write(&others, "theirs").unwrap();
        symlink(&others, &path).unwrap();
        assert!(overwrite(&path, b"ours").is_err());
        There::File(b"ours".to_vec(), 0o644).put(&path).unwrap();
        assert_eq!(fs::read_to_string(&others).unwrap(), "theirs");
    }
}
