//! A connection to wpa_supplicant: a pair of Unix datagram sockets, of which one has a path that only root gets at.
//!
//! Commands and events go over two connections, so that an answer is never waited for behind what happens. After a
//! missing answer a connection is of no use, because the answer may still come and be taken for that to the next request.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::time::timeout;

use super::event::{self, Event};
use super::reply::{self, ReplyError};
use super::request::Request;

/// How long an answer may take. It computes keys from passphrases in between, which takes a small machine a second.
const PATIENCE: Duration = Duration::from_secs(10);

/// More than it answers with at most (4096, REPLY_SIZE in its ctrl_iface.c).
const MAX_REPLY: usize = 16 * 1024;

/// What our own sockets' names begin with.
const CLIENT: &str = "client-";

/// Nothing can be said, or heard.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// There is nobody.
    #[error("no wpa_supplicant at {}", server.display())]
    NobodyThere {
        /// Its socket.
        server: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Our own end cannot be made.
    #[error("cannot make the socket {}; its directory must be writable", path.display())]
    OwnEnd {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No answer.
    #[error("wpa_supplicant does not answer {request}")]
    NoAnswer {
        /// The command.
        request: &'static str,
    },
    /// An answer that says that nothing came of it.
    #[error(transparent)]
    Answer(#[from] ReplyError),
}

impl ConnectionError {
    /// Has it been understood, and denied? Everything else is about the connection.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Answer(_) => true,
            Self::NobodyThere { .. } | Self::OwnEnd { .. } | Self::NoAnswer { .. } => false,
        }
    }
}

/// Where wpa_supplicant is spoken to about one interface, or about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Its socket.
    pub server: PathBuf,
    /// The interface, where the socket is that for all of them.
    pub interface: Option<String>,
}

impl Address {
    /// A socket that needs no word about whom it is for.
    pub fn of(server: impl Into<PathBuf>) -> Self {
        Self { server: server.into(), interface: None }
    }
}

/// A connection for commands.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
}

/// A connection on which is told what happens.
#[derive(Debug)]
pub struct Events {
    socket: Socket,
}

struct Socket {
    datagrams: UnixDatagram,
    own: PathBuf,
    address: Address,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.own.display(), self.address.server.display())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.own));
    }
}

impl Connection {
    /// Connects; our own end gets a name in this directory.
    ///
    /// # Errors
    ///
    /// When nobody is there, or our own end cannot be made.
    pub fn open(directory: &Path, address: &Address) -> Result<Self, ConnectionError> {
        Ok(Self { socket: Socket::open(directory, address)? })
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// When there is none, or one that says that nothing came of it.
    pub async fn ask(&self, request: Request<'_>) -> Result<Vec<u8>, ConnectionError> {
        let reply = self.socket.exchange(request).await?;
        reply::check(&reply, request.name())?;
        Ok(reply)
    }

    /// Has something done, and waits for the confirmation.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn tell(&self, request: Request<'_>) -> Result<(), ConnectionError> {
        let reply = self.socket.exchange(request).await?;
        Ok(reply::ok(&reply, request.name())?)
    }
}

impl Events {
    /// Connects, and asks to be told.
    ///
    /// # Errors
    ///
    /// When nobody is there, our own end cannot be made, or it does not want to tell.
    pub async fn open(directory: &Path, address: &Address) -> Result<Self, ConnectionError> {
        let socket = Socket::open(directory, address)?;
        let reply = socket.exchange(Request::Attach).await?;
        reply::ok(&reply, Request::Attach.name())?;
        Ok(Self { socket })
    }

    /// What happens next. May be dropped and called again.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub async fn next(&self) -> Result<Event, ConnectionError> {
        loop {
            let datagram = self.socket.receive().await?;
            if let Some((interface, event)) = event::parse(&datagram)
                && self.socket.concerns(interface)
            {
                return Ok(event);
            }
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // As a courtesy: it would find out by itself.
        drop(self.socket.datagrams.try_send(&Request::Detach.datagram()));
    }
}

impl Socket {
    fn open(directory: &Path, address: &Address) -> Result<Self, ConnectionError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let own = directory.join(format!("{CLIENT}{}-{count}", std::process::id()));
        // One of ours that ended had the same number.
        drop(std::fs::remove_file(&own));
        let datagrams = UnixDatagram::bind(&own)
            .map_err(|source| ConnectionError::OwnEnd { path: own.clone(), source })?;
        let socket = Self { datagrams, own, address: address.clone() };
        socket.datagrams.connect(&socket.address.server).map_err(|source| socket.nobody_there(source))?;
        Ok(socket)
    }

    async fn exchange(&self, request: Request<'_>) -> Result<Vec<u8>, ConnectionError> {
        let no_answer = |_| ConnectionError::NoAnswer { request: request.name() };
        timeout(PATIENCE, async {
            self.send(request).await?;
            loop {
                let datagram = self.receive().await?;
                if event::parse(&datagram).is_none() {
                    return Ok(datagram);
                }
            }
        })
        .await
        .map_err(no_answer)?
    }

    async fn send(&self, request: Request<'_>) -> Result<(), ConnectionError> {
        let mut datagram = request.datagram();
        match (&self.address.interface, request) {
            // The socket itself is attached.
            (Some(_), Request::Attach | Request::Detach) | (None, _) => {}
            (Some(interface), _) => {
                datagram.splice(..0, format!("IFNAME={interface} ").into_bytes());
            }
        }
        self.datagrams.send(&datagram).await.map_err(|source| self.nobody_there(source))?;
        Ok(())
    }

    async fn receive(&self) -> Result<Vec<u8>, ConnectionError> {
        let mut buffer = vec![0; MAX_REPLY];
        let length = self.datagrams.recv(&mut buffer).await.map_err(|source| self.nobody_there(source))?;
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Is what happens to this interface of interest here?
    fn concerns(&self, interface: Option<&[u8]>) -> bool {
        match (&self.address.interface, interface) {
            (Some(ours), Some(theirs)) => ours.as_bytes() == theirs,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    fn nobody_there(&self, source: io::Error) -> ConnectionError {
        ConnectionError::NobodyThere { server: self.address.server.clone(), source }
    }
}

/// Removes the sockets that processes left behind which are no more.
pub fn sweep(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(CLIENT)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| pid != std::process::id() && !Path::new(&format!("/proc/{pid}")).exists())
        {
            drop(std::fs::remove_file(entry.path()));
        }
    }
}
