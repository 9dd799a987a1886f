//! chrony: a file for each bond in the directory that its configuration names for what DHCP clients have been told
//! (chrony.conf(5), `sourcedir`). It reads them when it starts, and when it is told to.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::{TimeError, Wanted};
use crate::file;

/// How long it may take to be told.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whose files they are: other clients name theirs by the interface alone.
const OURS: &str = "hitless-";

/// What chronyc says where no chronyd runs.
const NOBODY: &str = "506 Cannot talk to daemon";

/// What chrony is to read.
#[derive(Debug)]
pub(super) struct Chrony {
    programs: Vec<PathBuf>,
    sources: PathBuf,
    /// Has it been told to read what is there?
    told: bool,
}

impl Chrony {
    /// Of files that an earlier daemon has left, nobody knows whether chrony was told.
    pub(super) fn new(programs: Vec<PathBuf>, sources: PathBuf) -> Self {
        let told = !Self::remembers(&sources);
        Self { programs, sources, told }
    }

    /// Are there files of ours?
    pub(super) fn remembers(sources: &Path) -> bool {
        !ours(sources).is_empty()
    }

    /// Writes what bonds have, where chrony is installed, and has it read that. Has it read anything new?
    pub(super) async fn settle(&mut self, wanted: &Wanted) -> Result<bool, TimeError> {
        let found = self.programs.iter().map(|directory| directory.join("chronyc"));
        let Some(chronyc) = found.into_iter().find(|program| program.is_file()) else { return Ok(false) };
        // Also where a later one fails, what was written before is to be read.
        let written = self.write(wanted);
        self.told &= matches!(written, Ok(false));
        let mut is_read = false;
        if !self.told {
            is_read = self.reload(&chronyc).await?;
            self.told = true;
        }
        written.map(|_| is_read)
    }

    fn write(&self, wanted: &Wanted) -> Result<bool, TimeError> {
        let there = ours(&self.sources);
        let wanted: BTreeMap<_, _> = wanted
            .iter()
            .map(|(bond, servers)| {
                let lines =
                    servers.iter().map(|server| format!("server {server} iburst\n")).collect::<String>();
                (self.sources.join(format!("{OURS}{bond}.sources")), lines)
            })
            .collect();
        let mut changed = false;
        for path in there.iter().filter(|path| !wanted.contains_key(*path)) {
            let failed = |source| TimeError::Sources { what: "remove", path: path.clone(), source };
            fs::remove_file(path).map_err(failed)?;
            changed = true;
        }
        for (path, lines) in wanted {
            if fs::read_to_string(&path).is_ok_and(|before| before == lines) {
                continue;
            }
            let failed = |source| TimeError::Sources { what: "write", path: path.clone(), source };
            file::replace_text(&path, &lines).map_err(failed)?;
            changed = true;
        }
        Ok(changed)
    }

    /// Has it read them? One that does not run will when it starts.
    async fn reload(&self, chronyc: &Path) -> Result<bool, TimeError> {
        let failed = |problem| TimeError::Chronyc { sources: self.sources.clone(), problem };
        let mut command = Command::new(chronyc);
        command.args(["reload", "sources"]).stdin(Stdio::null()).kill_on_drop(true);
        let done = timeout(PATIENCE, command.output()).await;
        let done = done.map_err(|_| failed("chronyc does not end".to_owned()))?;
        let done = done.map_err(|error| failed(error.to_string()))?;
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).trim().replace('\n', "; ");
        if done.status.success() {
            Ok(true)
        } else if said.contains(NOBODY) {
            Ok(false)
        } else {
            Err(failed(format!("{}: {said}", done.status)))
        }
    }
}

fn ours(sources: &Path) -> Vec<PathBuf> {
    let entries = match fs::read_dir(sources) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::debug!(%error, "{} cannot be looked into", sources.display());
            }
            return Vec::new();
        }
    };
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(OURS) && name.ends_with(".sources")
    };
    entries.flatten().map(|entry| entry.path()).filter(is_ours).collect()
}
