//! An attempt to join a network now. Decides when it has come to an end, and to which; does nothing.

use hitless_core::wifi::Ssid;
use tokio::time::Instant;

use super::StationError;
use super::fault::Fault;
use super::track::Track;
use crate::wifi::supplicant::request::NetworkId;

/// A scan may miss an access point; so many may not.
const MISSES: u32 = 3;

/// An attempt.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) network: NetworkId,
    pub(super) ssid: Ssid,
    pub(super) deadline: Instant,
    /// How many scans have not found it.
    pub(super) misses: u32,
    /// Was the station to stay out, before?
    pub(super) was_out: bool,
}

impl Attempt {
    /// What has come of it; `None` as long as nothing has.
    pub(super) fn outcome(&self, track: &Track, now: Instant) -> Option<Result<(), StationError>> {
        if track.joined() == Some(self.network) {
            return Some(Ok(()));
        }
        match track.fault(self.network) {
            // One refusal by one access point is not the network's last word.
            Some(Fault::AuthRejected { .. }) | None => {}
            Some(fault) => return Some(Err(fault.clone().into())),
        }
        if self.misses >= MISSES {
            return Some(Err(Fault::NetworkNotFound.into()));
        }
        if now < self.deadline {
            return None;
        }
        Some(Err(match track.fault(self.network) {
            Some(fault) => fault.clone().into(),
            None => StationError::Timeout { ssid: self.ssid.clone() },
        }))
    }
}
