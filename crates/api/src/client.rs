//! A small blocking client.
//!
//! Responsible for one connection and its calls, in order. Not responsible for retrying, or for words on a terminal.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, ServiceError};
use crate::frame::{self, Splitter};
use crate::method::Method;
use crate::trial::{Adopted, Adoption, Confirmed, NewBond, Verdict};
use crate::types::{Bond, MonitorReply, Status};
use crate::wifi::{AccessPoint, AccessPoints, Joined, Network, Networks, NewNetwork, Station, Stations};

/// How long the daemon may take to answer a call: longer than it takes it to remove many bonds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens on the socket.
    #[error("no daemon listens on {}", path.display())]
    NoDaemon {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket may not be used by this user.
    #[error("no permission to connect to {}", path.display())]
    NoAccess {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("talking to the daemon on {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The daemon closed the connection.
    #[error("the daemon closed the connection: it ended, or has too many clients")]
    Closed,
    /// What came back is not an answer.
    #[error("the daemon's answer cannot be read; is it of another version? ({0})")]
    Protocol(String),
    /// The daemon answered with an error of the interface.
    #[error(transparent)]
    Hitless(#[from] Error),
    /// The daemon does not know the call.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    splitter: Splitter,
    replies: VecDeque<Vec<u8>>,
}

impl Client {
    /// Connects to the daemon's socket.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let to_error = |source: io::Error| {
            let path = path.to_owned();
            let kind = source.kind();
            if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
                ClientError::NoDaemon { path, source }
            } else if kind == io::ErrorKind::PermissionDenied {
                ClientError::NoAccess { path, source }
            } else {
                ClientError::Io { path, source }
            }
        };
        let stream = UnixStream::connect(path).map_err(to_error)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(to_error)?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(to_error)?;
        let splitter = Splitter::new(frame::MAX_REPLY);
        Ok(Self { stream, path: path.to_owned(), splitter, replies: VecDeque::new() })
    }

    /// All bonds as they are now.
    pub fn status(&mut self) -> Result<Vec<Bond>, ClientError> {
        self.send(&Method::Status {}, false)?;
        Ok(self.receive::<Status>()?.bonds)
    }

    /// All stations as they are now.
    pub fn stations(&mut self) -> Result<Vec<Station>, ClientError> {
        self.send(&Method::WifiStatus {}, false)?;
        Ok(self.receive::<Stations>()?.stations)
    }

    /// The networks that a station, or any, may join.
    pub fn networks(&mut self, port: Option<&str>) -> Result<Vec<Network>, ClientError> {
        self.send(&Method::WifiList { port: port.map(str::to_owned) }, false)?;
        Ok(self.receive::<Networks>()?.networks)
    }

    /// Looks for access points, by one station or all of them.
    pub fn scan(&mut self, port: Option<&str>) -> Result<Vec<AccessPoint>, ClientError> {
        self.send(&Method::WifiScan { port: port.map(str::to_owned) }, false)?;
        Ok(self.receive::<AccessPoints>()?.access_points)
    }

    /// Joins a network; the station as it is then.
    pub fn connect_wifi(&mut self, port: Option<&str>, network: NewNetwork) -> Result<Station, ClientError> {
        let (port, network) = (port.map(str::to_owned), Box::new(network));
        self.send(&Method::WifiConnect { port, network }, false)?;
        Ok(self.receive::<Joined>()?.station)
    }

    /// Builds a bond around interfaces in use, on trial.
    pub fn adopt(&mut self, new: NewBond) -> Result<Adoption, ClientError> {
        self.send(&Method::Adopt(new), false)?;
        Ok(self.receive::<Adopted>()?.adoption)
    }

    /// Keeps the bond that is on trial.
    pub fn confirm(&mut self) -> Result<Confirmed, ClientError> {
        self.send(&Method::Confirm {}, false)?;
        self.receive()
    }

    /// How a trial ends. Waits as long as it takes.
    pub fn await_trial(mut self, bond: &str) -> Result<Verdict, ClientError> {
        self.stream.set_read_timeout(None).map_err(|error| self.io(error))?;
        self.send(&Method::AwaitTrial { bond: bond.to_owned() }, false)?;
        self.receive()
    }

    /// Calls a method that returns nothing.
    pub fn call(&mut self, method: &Method) -> Result<(), ClientError> {
        self.send(method, false)?;
        self.receive::<Value>().map(drop)
    }

    /// What happens, as it happens. Waits as long as it takes; ends only with an error.
    pub fn monitor(mut self) -> Result<Monitor, ClientError> {
        self.send(&Method::Monitor {}, true)?;
        self.stream.set_read_timeout(None).map_err(|error| self.io(error))?;
        Ok(Monitor { client: self, ended: false })
    }

    fn send(&mut self, method: &Method, more: bool) -> Result<(), ClientError> {
        #[derive(serde::Serialize)]
        struct Envelope<'a> {
            #[serde(flatten)]
            method: &'a Method,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            more: bool,
        }

        let bytes = frame::encode(&Envelope { method, more }).map_err(|error| protocol(&error))?;
        match self.stream.write_all(&bytes) {
            // The daemon hung up; it may have said why before it did, so go on to reading.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map_err(|error| self.io(error)),
        }
    }

    fn receive<T: DeserializeOwned>(&mut self) -> Result<T, ClientError> {
        let message = self.next_message()?;
        parse_reply(&message)
    }

    fn next_message(&mut self) -> Result<Vec<u8>, ClientError> {
        let mut bytes = [0; 8192];
        loop {
            if let Some(message) = self.replies.pop_front() {
                return Ok(message);
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(length) => self.splitter.push(bytes.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(ClientError::Closed);
                }
                Err(error) => return Err(self.io(error)),
            }
            while let Some(message) = self.splitter.next_message().map_err(|error| protocol(&error))? {
                self.replies.push_back(message);
            }
        }
    }

    fn io(&self, source: io::Error) -> ClientError {
        ClientError::Io { path: self.path.clone(), source }
    }
}

/// The replies of `Monitor`.
#[derive(Debug)]
pub struct Monitor {
    client: Client,
    ended: bool,
}

impl Iterator for Monitor {
    type Item = Result<MonitorReply, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let reply = self.client.receive();
        self.ended = reply.is_err();
        Some(reply)
    }
}

/// Reads one reply, without its NUL.
fn parse_reply<T: DeserializeOwned>(message: &[u8]) -> Result<T, ClientError> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(default)]
        parameters: Option<Value>,
        #[serde(default)]
        error: Option<String>,
    }

    let envelope: Envelope = serde_json::from_slice(message).map_err(|error| protocol(&error))?;
    let parameters = envelope.parameters.unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let Some(error) = envelope.error else {
        return serde_json::from_value(parameters).map_err(|error| protocol(&error));
    };
    let whole = serde_json::json!({ "error": error, "parameters": parameters });
    if let Ok(error) = Error::deserialize(&whole) {
        return Err(error.into());
    }
    match ServiceError::deserialize(&whole) {
        Ok(error) => Err(error.into()),
        Err(_) => Err(protocol(&format_args!("unknown error {error}"))),
    }
}

fn protocol(error: &impl ToString) -> ClientError {
    ClientError::Protocol(error.to_string())
}
