//! Packet sockets on ports: what a bond sends and hears itself, beside the frames that it carries.
//!
//! A socket that listens is open only while someone wants to hear. Every socket costs a look at each frame.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_linux::dhcp::DhcpSocket;
use hitless_linux::dhcp6::Dhcp6Socket;
use hitless_linux::error::RequestError;
use hitless_linux::packet::{PortSocket, SendSocket};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::BondId;

/// Frames that wait for the daemon's loop. More than that is a flood, of which the rest is lost without loss.
pub(super) const QUEUE: usize = 64;

/// The longest frame that is looked at.
const LONGEST: usize = 2048;

/// Something that was heard.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) bond: BondId,
    /// The port, or the bond's own interface.
    pub(super) port: PortId,
    pub(super) what: Caught,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Caught {
    Frame(Vec<u8>),
    /// For the DHCPv6 client.
    Datagram {
        from: Ipv6Addr,
        payload: Vec<u8>,
    },
}

/// The sockets of one bond's ports.
#[derive(Debug)]
pub(super) struct Sockets {
    bond: BondId,
    heard: mpsc::Sender<Heard>,
    senders: BTreeMap<PortId, SendSocket>,
    listeners: BTreeMap<PortId, Listener>,
}

/// A task that listens, and ends with its owner.
#[derive(Debug)]
pub(super) struct Listener(AbortHandle);

impl Listener {
    pub(super) fn start(listening: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(listening).abort_handle())
    }

    pub(super) fn is_running(&self) -> bool {
        !self.0.is_finished()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sockets {
    pub(super) fn new(bond: BondId, heard: mpsc::Sender<Heard>) -> Self {
        Self { bond, heard, senders: BTreeMap::new(), listeners: BTreeMap::new() }
    }

    /// Sends a frame on a port itself.
    pub(super) fn send(&mut self, port: PortId, name: &str, frame: &[u8]) -> Result<(), RequestError> {
        let socket = match self.senders.remove(&port) {
            Some(socket) => socket,
            None => SendSocket::open(port.0, name)?,
        };
        let result = socket.try_send(frame);
        // One that failed may be bound to an interface that is gone.
        if result.is_ok() {
            self.senders.insert(port, socket);
        }
        result
    }

    /// Hands up the probes that come in on a port, from now on. `also` is an address that the interface is to accept
    /// beside its own.
    pub(super) fn listen(
        &mut self,
        port: PortId,
        name: &str,
        also: Option<MacAddr>,
    ) -> Result<(), RequestError> {
        let socket = PortSocket::open(port.0, name)?;
        also.map_or(Ok(()), |also| socket.accept(also))?;
        let listener = Listener::start(hand_up(socket, self.bond, port, self.heard.clone()));
        self.listeners.insert(port, listener);
        Ok(())
    }

    /// Hands up nothing more.
    pub(super) fn stop_listening(&mut self, port: PortId) {
        self.listeners.remove(&port);
    }

    /// Sends and hears nothing more on any port.
    pub(super) fn close(&mut self) {
        self.senders.clear();
        self.listeners.clear();
    }

    /// The interface is gone.
    pub(super) fn forget(&mut self, port: PortId) {
        self.senders.remove(&port);
        self.listeners.remove(&port);
    }
}

/// A socket that hears frames on one interface.
pub(super) trait Hears: Send + Sync + 'static {
    /// Waits for a frame, and says how long it is.
    fn hear(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, RequestError>> + Send;
}

impl Hears for PortSocket {
    fn hear(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, RequestError>> + Send {
        self.recv(buffer)
    }
}

impl Hears for DhcpSocket {
    fn hear(&self, buffer: &mut [u8]) -> impl Future<Output = Result<usize, RequestError>> + Send {
        self.recv(buffer)
    }
}

/// Hands up every frame that is heard, as long as the interface is there.
pub(super) async fn hand_up(socket: impl Hears, bond: BondId, port: PortId, heard: mpsc::Sender<Heard>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        let length = match socket.hear(&mut buffer).await {
            Ok(length) => length,
            // It may be switched on again.
            Err(error) if error.is_down() => continue,
            // The interface is gone; who needs to know hears of that by itself.
            Err(_) => break,
        };
        let what = Caught::Frame(buffer.get(..length).unwrap_or_default().to_vec());
        if let Err(mpsc::error::TrySendError::Closed(_)) = heard.try_send(Heard { bond, port, what }) {
            break;
        }
    }
}

/// Hands up every datagram for the DHCPv6 client, as long as the interface is there.
pub(super) async fn hand_up_datagrams(
    socket: Dhcp6Socket,
    bond: BondId,
    port: PortId,
    heard: mpsc::Sender<Heard>,
) {
    let mut buffer = vec![0; LONGEST];
    loop {
        let (length, from) = match socket.recv(&mut buffer).await {
            Ok(received) => received,
            Err(error) if error.is_down() => continue,
            // Whoever wants to hear looks whether this still runs.
            Err(_) => break,
        };
        let payload = buffer.get(..length).unwrap_or_default().to_vec();
        let what = Caught::Datagram { from, payload };
        if let Err(mpsc::error::TrySendError::Closed(_)) = heard.try_send(Heard { bond, port, what }) {
            break;
        }
    }
}
