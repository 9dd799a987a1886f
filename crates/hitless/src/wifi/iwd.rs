//! Wi-Fi by iwd: the other program that can make a station join its networks. It is spoken to over D-Bus.
//!
//! iwd is not ours: it is neither started nor ended here, and what it joins of its own accord it may keep. We tell it
//! when to join a network of the configuration, and give it the passphrase when it asks for it. Once that has worked,
//! iwd keeps both in its own files (`/var/lib/iwd`, for root alone), and joins again by itself; to forget the network
//! removes them. Of 802.1X it only joins what the user has provisioned there.
//!
//! | module | what |
//! |---|---|
//! | `objects` | what iwd has, as it tells: pure |
//! | `wishes` | what is wanted, and what to do next: pure |
//! | `quirks` | what is wrong with its configuration, as far as a bond is concerned: pure |
//! | `fault` | what can go wrong with iwd and with no other |
//! | `session` | what is said to it and heard of it |
//! | `agent` | what it asks us |
//! | `task`, `visit` | the loop, and the part of it while iwd is there |
//!
//! Not responsible for associations as the kernel sees them: signal, rate and the loss of the access point are heard by
//! nl80211, whoever does the joining.

mod agent;
mod fault;
mod objects;
mod quirks;
mod session;
mod task;
mod visit;
mod wishes;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use tokio::sync::mpsc;

pub use self::fault::IwdFault;
use super::network::WifiConfig;
use super::station::{Report, Station};
use crate::dbus::Bus;

/// What iwd is called on the bus.
const NAME: &str = "net.connman.iwd";

/// What a station that iwd looks after needs to know.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The interface.
    pub interface: String,
    /// What it is to join.
    pub config: WifiConfig,
    /// The bus that iwd is on.
    pub bus: Bus,
    /// How iwd is configured; read, never written.
    pub main_conf: PathBuf,
}

impl Setup {
    /// With the system bus, and iwd's configuration in its usual place.
    pub fn new(interface: impl Into<String>, config: WifiConfig) -> Self {
        let main_conf = PathBuf::from("/etc/iwd/main.conf");
        Self { interface: interface.into(), config, bus: Bus::system(), main_conf }
    }
}

/// Starts a station that iwd looks after, within a tokio runtime. What happens is told to `reports`.
///
/// The handle does what it does for one that wpa_supplicant looks after. Dropping it leaves the association as it is.
pub fn start(setup: Setup, reports: mpsc::UnboundedSender<Report>) -> Station {
    let (commands, received) = mpsc::unbounded_channel();
    let station = Station::new(setup.interface.clone(), commands);
    tokio::spawn(task::Task::new(setup, reports, received).run());
    station
}

/// Is iwd on this bus? It is not started for the question. A machine without a bus has no iwd.
pub async fn is_running(bus: &Bus) -> bool {
    session::is_running(bus).await.unwrap_or(false)
}
