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
use super::network::{Manage, WifiConfig};
use super::station::{Command, Report};
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

/// Looks after a station by iwd, until it is released or nobody has a handle on it. What happens is told to `reports`.
///
/// Commands do what they do for a station that wpa_supplicant looks after. When the daemon ends, the association stays.
pub(super) async fn run(
    setup: Setup,
    reports: mpsc::UnboundedSender<Report>,
    commands: mpsc::UnboundedReceiver<Command>,
) {
    task::Task::new(setup, reports, commands).run().await;
}

/// Is it iwd that is to look after a station? Where that is left to us, it is where it runs and wpa_supplicant is not
/// `installed`.
pub(super) async fn is_meant(manage: Manage, installed: bool, bus: &Bus) -> bool {
    match manage {
        Manage::Iwd => true,
        Manage::Auto => !installed && is_running(bus).await,
        Manage::Existing | Manage::Off => false,
    }
}

/// Is iwd on this bus? It is not started for the question. A machine without a bus has no iwd.
pub async fn is_running(bus: &Bus) -> bool {
    session::is_running(bus).await.unwrap_or(false)
}
