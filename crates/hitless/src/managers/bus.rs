//! Whether a manager is there, and that it reads its files again: by D-Bus.
//!
//! Only the connection that owns a manager's name is spoken to, never the name: no question starts a manager.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;
use zbus::Connection;

use super::{Manager, Places};

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// How long a manager may take to read its files and do what they say.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// Of NetworkManager's reloads: its configuration, not DNS.
const CONFIGURATION: u32 = 1;

/// Is a manager there?
pub(super) enum Presence {
    /// Neither it nor its installation.
    NotThere,
    /// It manages another network namespace, and what lies below `/run` may be for that.
    Elsewhere,
    /// It is installed and does not run.
    Stopped,
    /// It runs.
    Running(Service),
}

/// A manager on the bus.
pub(super) struct Service {
    pub(super) connection: Connection,
    /// Its own name on the bus.
    pub(super) owner: String,
}

impl Manager {
    fn bus_name(self) -> &'static str {
        match self {
            Self::NetworkManager => "org.freedesktop.NetworkManager",
            Self::Networkd => "org.freedesktop.network1",
        }
    }

    /// One of these is there where it is installed. systemd-networkd is wherever systemd is.
    fn traces(self) -> &'static [&'static str] {
        match self {
            Self::NetworkManager => {
                &["/run/NetworkManager", "/etc/NetworkManager", "/usr/lib/NetworkManager"]
            }
            Self::Networkd => &["/run/systemd/system"],
        }
    }
}

/// Is this manager there, for the network namespace that we are in?
pub(super) async fn presence(places: &Places, manager: Manager) -> Presence {
    if let Some((service, pid)) = find(places, manager).await {
        let elsewhere = pid.is_some_and(|pid| is_elsewhere(places, &pid.to_string()));
        return if elsewhere { Presence::Elsewhere } else { Presence::Running(service) };
    }
    // It would be started where process 1 is.
    if is_elsewhere(places, "1") {
        return Presence::Elsewhere;
    }
    let installed = manager.traces().iter().any(|trace| places.at(trace).exists());
    if installed { Presence::Stopped } else { Presence::NotThere }
}

async fn find(places: &Places, manager: Manager) -> Option<(Service, Option<u32>)> {
    let connection = match places.bus.connect().await {
        Ok(connection) => connection,
        Err(error) => {
            tracing::debug!(%error, "{manager} is not looked for on the bus");
            return None;
        }
    };
    let ask = |method: &'static str, name: String| {
        let connection = connection.clone();
        async move {
            let call = connection.call_method(Some(BUS), BUS_PATH, Some(BUS), method, &name);
            timeout(ANSWER, call).await.ok()?.ok()
        }
    };
    let owner: String =
        ask("GetNameOwner", manager.bus_name().to_owned()).await?.body().deserialize().ok()?;
    let pid = ask("GetConnectionUnixProcessID", owner.clone()).await;
    let pid = pid.and_then(|answer| answer.body().deserialize().ok());
    Some((Service { connection, owner }, pid))
}

impl Service {
    /// Makes it read its files again; when this returns, it has.
    pub(super) async fn reload(&self, manager: Manager) -> Result<(), String> {
        let owner = Some(self.owner.as_str());
        let call = async {
            match manager {
                Manager::NetworkManager => {
                    let (path, interface) =
                        ("/org/freedesktop/NetworkManager", "org.freedesktop.NetworkManager");
                    self.connection.call_method(owner, path, Some(interface), "Reload", &CONFIGURATION).await
                }
                Manager::Networkd => {
                    let (path, interface) = ("/org/freedesktop/network1", "org.freedesktop.network1.Manager");
                    self.connection.call_method(owner, path, Some(interface), "Reload", &()).await
                }
            }
        };
        let answer = timeout(ANSWER, call).await.map_err(|_| "it does not answer".to_owned())?;
        answer.map(drop).map_err(|error| error.to_string())
    }
}

/// Is this process known to be in another network namespace? Without the capability for it, nobody knows of any.
fn is_elsewhere(places: &Places, pid: &str) -> bool {
    match (own_network(places), network_of(places, pid)) {
        (Some(ours), Some(theirs)) => ours != theirs,
        _ => false,
    }
}

/// The network namespace that we are in.
pub(super) fn own_network(places: &Places) -> Option<PathBuf> {
    network_of(places, "thread-self")
}

/// The network namespace of a process.
pub(super) fn network_of(places: &Places, pid: &str) -> Option<PathBuf> {
    fs::read_link(places.at("/proc").join(Path::new(pid)).join("ns/net")).ok()
}
