//! systemd-timesyncd: `org.freedesktop.timesync1` on D-Bus, since systemd 247. It has one list for the machine, and forgets it when it ends.

use zbus::OwnedVariant;

use super::{TimeError, Wanted};
use crate::dbus::Bus;
use crate::dbus::peer::{CallError, Peer};

pub(super) const NAME: &str = "org.freedesktop.timesync1";
const PATH: &str = "/org/freedesktop/timesync1";
const MANAGER: &str = "org.freedesktop.timesync1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What it was told.
#[derive(Debug)]
pub(super) struct Timesyncd {
    bus: Bus,
    /// Where it is empty, what it has is somebody else's.
    told: Vec<String>,
}

impl Timesyncd {
    pub(super) fn new(bus: Bus) -> Self {
        Self { bus, told: Vec::new() }
    }

    /// Tells it what bonds have, if it runs and has something else. Was there anything to tell?
    pub(super) async fn settle(&mut self, wanted: &Wanted) -> Result<bool, TimeError> {
        let wanted = all(wanted);
        if wanted.is_empty() && self.told.is_empty() {
            return Ok(false);
        }
        let Some(peer) = Peer::find(&self.bus, NAME).await else {
            // It forgets.
            self.told.clear();
            return Ok(false);
        };
        match tell(&peer, &wanted, &self.told).await {
            Ok(changed) => {
                self.told = wanted;
                Ok(changed)
            }
            Err(error) if error.is("UnknownMethod") || error.is("UnknownProperty") => {
                tracing::debug!(%error, "this systemd-timesyncd only knows the servers of its files");
                Ok(false)
            }
            Err(error) => Err(TimeError::Timesyncd { problem: error.to_string() }),
        }
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
