//! A station: the task that makes one wireless interface join its networks through wpa_supplicant, and keeps it there.
//!
//! Whether a bond uses it is not decided here, and neither are MAC addresses or power saving: the interface is as it is
//! to be when the station is started. Dropping the handle, and the end of the daemon, leave the association as it is;
//! the next station finds it. [`Station::release`] gives the interface back.
//!
//! | module | what |
//! |---|---|
//! | `track` | where the station is, by what is heard: pure |
//! | `plan` | which networks to add and remove: pure |
//! | `session` | what is said to wpa_supplicant about one interface |
//! | `task` | the loop |

mod access_point;
mod attempt;
mod fault;
mod plan;
mod session;
mod task;
mod track;

use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;
use tokio::sync::{mpsc, oneshot};

pub use self::access_point::{AccessPoint, Protection};
pub use self::fault::Fault;
use crate::dbus::Bus;
use crate::wifi::iwd;
use crate::wifi::network::{Network, WifiConfig};
use crate::wifi::supplicant::process::{Supplicant, is_installed};
use crate::wifi::supplicant::settings::Unusable;

/// What a station needs to know.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The interface.
    pub interface: String,
    /// The bond that it is a port of; `None` where it is in none.
    pub bond: Option<String>,
    /// What it is to join, and by which program.
    pub config: WifiConfig,
    /// The process to use, unless somebody else's is to be used; and where our sockets are.
    pub supplicant: Supplicant,
}

/// Something is to be told about a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Which interface.
    pub interface: String,
    /// What.
    pub what: What,
}

/// What is told about a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It is somewhere else now.
    State(StationState),
    /// A network of the configuration cannot be used as it is; the others are.
    Unusable(Unusable),
    /// The key for multicast and broadcast is a new one.
    Rekeyed,
    /// The access point is no longer heard.
    BeaconLoss,
    /// The access point threw it out.
    Deauthenticated {
        /// IEEE 802.11, 9.4.1.7.
        reason: u16,
    },
}

/// Where a station is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StationState {
    /// wpa_supplicant is not spoken to yet.
    Starting,
    /// Looking for access points.
    Scanning,
    /// Joining a network; also while it moves to another access point of the same one.
    Associating {
        /// Its name, where it is known.
        ssid: Option<Ssid>,
    },
    /// In a network, keys and all.
    Joined {
        /// Its name.
        ssid: Ssid,
        /// The access point.
        bssid: MacAddr,
        /// In MHz.
        frequency_mhz: Option<u32>,
    },
    /// In none.
    Disconnected,
    /// In none, because of this.
    Failed(Fault),
}

/// A network that a station knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNetwork {
    /// Its name.
    pub ssid: Ssid,
    /// How it is joined; `None` where it is not one of ours.
    pub security: Option<&'static str>,
    /// The higher, the more it is wanted; `None` where it is not one of ours.
    pub priority: Option<i32>,
    /// Is it the one that is joined?
    pub current: bool,
    /// Why it is not joined, where something went wrong.
    pub disabled: Option<Fault>,
}

/// Something that a station was asked for did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StationError {
    /// It cannot do anything just now.
    #[error("{interface} is not ready: {fault}")]
    NotReady {
        /// Which interface.
        interface: String,
        /// Why not.
        #[source]
        fault: Fault,
    },
    /// wpa_supplicant is not spoken to yet.
    #[error("{interface} is not ready yet; try again")]
    Starting {
        /// Which interface.
        interface: String,
    },
    /// It is busy with another attempt.
    #[error("{interface} is joining another network already; wait for that, or disconnect first")]
    Busy {
        /// Which interface.
        interface: String,
    },
    /// The network was not joined.
    #[error(transparent)]
    NotJoined(#[from] Fault),
    /// It was not joined in time.
    #[error("network \"{ssid}\" was not joined in time; is it in range?")]
    Timeout {
        /// Which network.
        ssid: Ssid,
    },
    /// The scan came to nothing.
    #[error("{interface} could not look for access points; try again")]
    ScanFailed {
        /// Which interface.
        interface: String,
    },
    /// Not one of ours.
    #[error(
        "{interface} does not know a network \"{ssid}\" of ours; `hitless wifi list` shows those that it knows"
    )]
    UnknownNetwork {
        /// Which interface.
        interface: String,
        /// Which network.
        ssid: Ssid,
    },
    /// wpa_supplicant does not do it.
    #[error("{problem}")]
    Refused {
        /// Why, with its causes.
        problem: String,
    },
    /// It was interrupted: something else was asked for, or wpa_supplicant ended.
    #[error("it was interrupted; try again")]
    Interrupted,
    /// The station was released.
    #[error("{interface} is no longer managed")]
    Ended {
        /// Which interface.
        interface: String,
    },
}

/// A handle on a station.
#[derive(Clone, Debug)]
pub struct Station {
    interface: String,
    commands: mpsc::UnboundedSender<Command>,
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, StationError>>;

/// What a station is asked for.
#[derive(Debug)]
pub(super) enum Command {
    Scan(Reply<Vec<AccessPoint>>),
    Networks(Reply<Vec<KnownNetwork>>),
    Connect(Box<Network>, Reply<()>),
    Disconnect(Reply<()>),
    Forget(Ssid, Reply<()>),
    Configure(Box<WifiConfig>, Reply<()>),
    Resumed(Reply<()>),
    Release(Reply<()>),
}

impl Station {
    /// A handle on whoever takes these commands.
    pub(super) fn new(interface: String, commands: mpsc::UnboundedSender<Command>) -> Self {
        Self { interface, commands }
    }

    /// Starts a station within a tokio runtime. What happens is told to `reports`.
    pub fn start(setup: Setup, reports: mpsc::UnboundedSender<Report>) -> Self {
        Self::start_on(Bus::system(), setup, reports)
    }

    /// The same, where iwd would be on this bus.
    pub(super) fn start_on(bus: Bus, setup: Setup, reports: mpsc::UnboundedSender<Report>) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let interface = setup.interface.clone();
        tokio::spawn(async move {
            let manage = setup.config.manage;
            let (setup, reports, received) = if iwd::is_meant(manage, is_installed(), &bus).await {
                (setup, reports, received)
            } else {
                let task = task::Task::new(setup, bus.clone(), reports, received);
                let Some(left) = task.run().await else { return };
                let (setup, reports, received) = left.for_iwd();
                // It is not to come after all when somebody installs it; there is none to be ended now.
                drop(setup.supplicant.terminate().await);
                (setup, reports, received)
            };
            let setup = iwd::Setup { bus, ..iwd::Setup::new(setup.interface, setup.config) };
            iwd::run(setup, reports, received).await;
        });
        Self::new(interface, commands)
    }

    /// The access points in range.
    ///
    /// # Errors
    ///
    /// When it is not ready, or the scan comes to nothing.
    pub async fn scan(&self) -> Result<Vec<AccessPoint>, StationError> {
        self.ask(Command::Scan).await
    }

    /// The networks that it knows.
    ///
    /// # Errors
    ///
    /// When it is not ready.
    pub async fn networks(&self) -> Result<Vec<KnownNetwork>, StationError> {
        self.ask(Command::Networks).await
    }

    /// Joins a network now, whatever the priorities, and waits for what comes of it (up to 45 s). It stays known until
    /// it is forgotten, the station is configured anew or ends; who wants it for longer adds it to the configuration. On failure everything
    /// is as before. The other networks are not joined until this one is lost.
    ///
    /// # Errors
    ///
    /// When it was not joined; [`StationError::NotJoined`] says why.
    pub async fn connect(&self, network: Network) -> Result<(), StationError> {
        self.ask(|reply| Command::Connect(Box::new(network), reply)).await
    }

    /// Leaves the network, and stays out until [`Station::connect`], also of a wpa_supplicant that is started anew and
    /// after the machine has slept.
    ///
    /// # Errors
    ///
    /// When it is not ready.
    pub async fn disconnect(&self) -> Result<(), StationError> {
        self.ask(Command::Disconnect).await
    }

    /// Forgets a network, and leaves it if it is in it.
    ///
    /// # Errors
    ///
    /// When it is not ready, or does not know it.
    pub async fn forget(&self, ssid: &Ssid) -> Result<(), StationError> {
        self.ask(|reply| Command::Forget(ssid.clone(), reply)).await
    }

    /// Takes over another configuration, or the same one, for files with secrets are read anew. A network that is in both
    /// is not left, and one that failed is tried anew.
    /// Returns when wpa_supplicant has it, or as soon as it is noted for when wpa_supplicant is there.
    ///
    /// # Errors
    ///
    /// When wpa_supplicant ended in between.
    pub async fn configure(&self, config: WifiConfig) -> Result<(), StationError> {
        self.ask(|reply| Command::Configure(Box::new(config), reply)).await
    }

    /// The machine has slept: joins again quickly, unless the association has lasted.
    ///
    /// # Errors
    ///
    /// When it is not ready.
    pub async fn resumed(&self) -> Result<(), StationError> {
        self.ask(Command::Resumed).await
    }

    /// Gives the interface back, without an association where wpa_supplicant is ours; the station ends.
    ///
    /// # Errors
    ///
    /// When it has ended already.
    pub async fn release(&self) -> Result<(), StationError> {
        self.ask(Command::Release).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StationError> {
        let ended = || StationError::Ended { interface: self.interface.clone() };
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}
