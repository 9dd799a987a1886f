//! Directories for sockets, logs and consoles, under the machine's temporary directory.

use std::fs;

use tempfile::TempDir;

use crate::error::{IoContext as _, Result};

/// What the names of ours begin with; then comes the process that made it.
const PREFIX: &str = "hitless-lab-";

/// A directory that is gone when the value is dropped.
pub(crate) fn directory() -> Result<TempDir> {
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().context(|| "making a temporary directory".to_owned())
}

/// Removes the directories of processes that do not run any more.
pub(crate) fn reap(runs: impl Fn(u32) -> bool) {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        if maker.is_some_and(|maker| !runs(maker)) {
            // Somebody else may be doing the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
