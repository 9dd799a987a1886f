//! systemd-timesyncd: `org.freedesktop.timesync1` on D-Bus, since systemd 247. It has one list for the machine, and
//! forgets it when it ends.

use std::fs;
use std::path::{Path, PathBuf};

use zbus::OwnedVariant;

use super::{TimeError, Wanted};
use crate::dbus::Bus;
use crate::dbus::peer::{CallError, Peer};
use crate::file;

pub(super) const NAME: &str = "org.freedesktop.timesync1";
const PATH: &str = "/org/freedesktop/timesync1";
const MANAGER: &str = "org.freedesktop.timesync1.Manager";
/// The file that says what it was told.
const MEMORY: &str = "timesyncd.json";

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What it was told, also by earlier daemons.
#[derive(Debug)]
pub(super) struct Timesyncd {
    bus: Bus,
    /// Where it has something else, that is somebody else's.
    told: Vec<String>,
    /// Where that is kept.
    memory: PathBuf,
}

impl Timesyncd {
    /// What it was told is kept in this directory.
    pub(super) fn new(bus: Bus, state: &Path) -> Self {
        let memory = state.join(MEMORY);
        let kept = fs::read(&memory).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { bus, told: kept.unwrap_or_default(), memory }
    }

    /// Was it told anything that it may still have?
    pub(super) fn remembers(state: &Path) -> bool {
        state.join(MEMORY).exists()
    }

    /// Tells it what bonds have, if it runs and has something else. Was there anything to tell?
    pub(super) async fn settle(&mut self, wanted: &Wanted) -> Result<bool, TimeError> {
        let wanted = all(wanted);
        if wanted.is_empty() && self.told.is_empty() {
            return Ok(false);
        }
        // One that has ended has forgotten; whether it has, or only the bus has, is not told.
        let Some(peer) = Peer::find(&self.bus, NAME).await else { return Ok(false) };
        match tell(&peer, &wanted, &self.told).await {
            Ok(changed) => {
                self.keep(wanted)?;
                Ok(changed)
            }
            Err(error) if error.is("UnknownMethod") || error.is("UnknownProperty") => {
                tracing::debug!(%error, "this systemd-timesyncd only knows the servers of its files");
                Ok(false)
            }
            Err(error) => Err(TimeError::Timesyncd { problem: error.to_string() }),
        }
    }

    fn keep(&mut self, told: Vec<String>) -> Result<(), TimeError> {
        if self.told == told {
            return Ok(());
        }
        self.told = told;
        let kept = if self.told.is_empty() {
            file::remove(&self.memory)
        } else {
            file::replace_json(&self.memory, &self.told)
        };
        kept.map_err(|source| TimeError::Memory { path: self.memory.clone(), source })
    }
}

async fn tell(peer: &Peer, wanted: &[String], told: &[String]) -> Result<bool, CallError> {
    let there: OwnedVariant = peer.call(PATH, PROPERTIES, "Get", &(MANAGER, "RuntimeNTPServers")).await?;
    let there = Vec::<String>::try_from(there).map_err(|_| {
        CallError::Failed("its RuntimeNTPServers are something else than expected".to_owned())
    })?;
    let is_theirs = wanted.is_empty() && there != told;
    if there == wanted || is_theirs {
        return Ok(false);
    }
    peer.call::<_, ()>(PATH, MANAGER, "SetRuntimeNTPServers", &wanted).await?;
    Ok(true)
}

/// Those of all bonds, each once.
fn all(wanted: &Wanted) -> Vec<String> {
    let mut all = Vec::new();
    for server in wanted.values().flatten().map(ToString::to_string) {
        if !all.contains(&server) {
            all.push(server);
        }
    }
    all
}
