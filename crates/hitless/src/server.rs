//! Serves the Varlink interface on a Unix socket.
//!
//! Responsible for who may connect and how many, for framing, for who may change things, and for streaming notices to
//! those who monitor. Not responsible for answers: every permitted call goes to the daemon's loop as a [`Request`].
//!
//! The framing is our own. zlink's server (0.8) awaits each write of a reply inside its one loop, so a single client
//! that does not read stops it for all; it lets a request grow to 100 MiB, has no deadline for a request that is never
//! finished, and no limit on connections. The varlink crate's server has a thread per connection. What is needed
//! beside the limits is short: `hitless_api::frame` and `hitless_api::method` are pure and fuzzed.
//!
//! Every connection is a task. It holds at most one request of 16 KiB, has deadlines for reading and writing, and
//! waits in a bounded queue for the daemon; nothing that a client does can make the daemon wait for it.

mod admission;
mod connection;
pub mod convert;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hitless_api::{
    AccessPoint, Adoption, Bond, Confirmed, Error, Method, MonitorReply, Network, Notice, Station, Verdict,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use self::admission::Admission;
use self::connection::{Connection, Hub};

/// How many notices a monitor may lag behind before it is dropped.
const MONITOR_LAG: usize = 256;

/// How many calls wait for the daemon's loop at most; further ones wait in their connection.
const QUEUE: usize = 16;

/// How long to wait after the kernel refused to accept a connection (no file descriptor or memory left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A permitted call, for the daemon's loop to answer.
#[derive(Debug)]
pub struct Request {
    /// What is asked for; never [`Method::Monitor`], which reaches the daemon as [`Method::Status`].
    pub method: Method,
    /// Where the answer goes. An error here only means that the client has gone.
    pub reply: oneshot::Sender<Result<Reply, Error>>,
}

/// An answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Method::Status`].
    Bonds(Vec<Bond>),
    /// To [`Method::WifiStatus`].
    Stations(Vec<Station>),
    /// To [`Method::WifiList`].
    Networks(Vec<Network>),
    /// To [`Method::WifiScan`].
    AccessPoints(Vec<AccessPoint>),
    /// To [`Method::WifiConnect`]: the station, which has joined.
    Joined(Box<Station>),
    /// To [`Method::Adopt`].
    Adopted(Box<Adoption>),
    /// To [`Method::Confirm`].
    Confirmed(Confirmed),
    /// To [`Method::AwaitTrial`].
    Verdict(Verdict),
    /// To everything else.
    Done,
}

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The socket's directory does not exist.
    #[error(
        "the directory {} of the socket does not exist: create it (mkdir -p {0}) or name another socket with --socket",
        directory.display()
    )]
    NoDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// Another daemon has the socket.
    #[error(
        "another daemon runs on {}: end it first, or name another socket with --socket (two daemons cannot share a bond)",
        path.display()
    )]
    AlreadyRunning {
        /// The socket.
        path: PathBuf,
    },
    /// There is something else in the socket's place.
    #[error("{} exists and is not a socket: remove it, or name another socket with --socket", path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("cannot {what} {}{}", path.display(), remedy(source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

fn remedy(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        ": run as root (sudo), or name another socket with --socket"
    } else if error.kind() == io::ErrorKind::InvalidInput {
        ": is the path longer than 107 bytes?"
    } else {
        ""
    }
}

/// The open socket. Dropping it closes all connections and removes the socket.
#[derive(Debug)]
pub struct Server {
    path: PathBuf,
    /// Device and inode of our socket, so that we never remove another's.
    identity: (u64, u64),
    notices: broadcast::Sender<Arc<[u8]>>,
    accepting: JoinHandle<()>,
    /// Held as long as we run; tells a second daemon that the socket is not stale.
    _lock: Lock,
}

/// What whoever does a daemon's work on a socket holds as long as it does. It ends with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it, without listening on the socket.
    ///
    /// # Errors
    ///
    /// [`BindError::AlreadyRunning`] where a daemon lives, whether or not it answers.
    pub fn take(socket: &Path) -> Result<Self, BindError> {
        take_lock(socket)
    }
}

impl Server {
    /// Opens the socket and serves it, as tasks of the current tokio runtime. The daemon's loop answers the requests
    /// that come out of the receiver.
    pub fn bind(path: &Path) -> Result<(Self, mpsc::Receiver<Request>), BindError> {
        let lock = take_lock(path)?;
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(io_error("open the socket", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))
            .map_err(io_error("set the permissions of", path))?;
        let metadata = fs::symlink_metadata(path).map_err(io_error("look at", path))?;

        let (requests, receiver) = mpsc::channel(QUEUE);
        let (notices, _) = broadcast::channel(MONITOR_LAG);
        let hub = Hub { requests, notices: notices.clone() };
        let accepting = tokio::spawn(accept(listener, Admission::new(metadata.uid()), hub));
        let identity = (metadata.dev(), metadata.ino());
        Ok((Self { path: path.to_owned(), identity, notices, accepting, _lock: lock }, receiver))
    }

    /// Tells everyone who monitors. Never waits.
    pub fn publish(&self, notice: Notice) {
        if self.notices.receiver_count() == 0 {
            return;
        }
        let reply = MonitorReply { bonds: None, notice: Some(notice) };
        match connection::encode_reply(&reply, true) {
            // An error only means that the last monitor has gone meanwhile.
            Ok(bytes) => drop(self.notices.send(bytes.into())),
            Err(error) => tracing::error!(%error, "a notice cannot be written as JSON"),
        }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

/// Takes the lock beside the socket. It ends with the process, however that ends, which a socket file does not.
fn take_lock(path: &Path) -> Result<Lock, BindError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(BindError::NoDirectory { directory: directory.to_owned() });
    }
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".lock");
    let lock_path = PathBuf::from(lock_path);
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        // Whoever can open it could hold it.
        .mode(0o600)
        .open(&lock_path)
        .map_err(io_error("open the lock file", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(Lock { _file: lock }),
        Err(fs::TryLockError::WouldBlock) => Err(BindError::AlreadyRunning { path: path.to_owned() }),
        Err(fs::TryLockError::Error(source)) => Err(io_error("lock", &lock_path)(source)),
    }
}

/// Removes the socket that a daemon left behind. With the lock held no daemon of ours answers there.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        result => result.map_err(io_error("look at", path))?,
    };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NotASocket { path: path.to_owned() });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(BindError::AlreadyRunning { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(io_error("remove the stale socket", path))
        }
        Err(error) => Err(io_error("connect to", path)(error)),
    }
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BindError {
    move |source| BindError::Io { what, path: path.to_owned(), source }
}

async fn accept(listener: UnixListener, admission: Admission, hub: Hub) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(stream, &admission, &hub, &mut connections),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn admit(stream: UnixStream, admission: &Admission, hub: &Hub, connections: &mut JoinSet<()>) {
    let uid = match stream.peer_cred() {
        Ok(credentials) => credentials.uid(),
        Err(error) => return tracing::debug!(%error, "a client without credentials"),
    };
    let Some(slot) = admission.admit(uid) else {
        return tracing::debug!(uid, "too many connections, refused one");
    };
    let connection = Connection::new(stream, slot, hub.clone());
    connections.spawn(async move {
        if let Err(error) = connection.serve().await {
            tracing::debug!(uid, %error, "closed a connection");
        }
    });
}
