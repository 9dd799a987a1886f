//! The socket of a DHCPv6 client on one interface.
//!
//! Unlike that of DHCPv4 it is an ordinary one, because every link with IPv6 has an address to speak from.

use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use hitless_core::dhcp6::{CLIENT_PORT, SERVER_PORT, SERVERS};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::error::{Cause, RequestError};

/// Hears what servers answer a DHCPv6 client on one interface.
#[derive(Debug)]
pub struct Dhcp6Socket {
    socket: UdpSocket,
    name: String,
}

/// Speaks to DHCPv6 servers from the same port.
#[derive(Debug)]
pub struct Dhcp6Speaker {
    socket: Socket,
    index: u32,
    name: String,
}

/// Open a socket on the interface with this index and name, to speak by and to hear by.
///
/// # Errors
/// When the interface is gone, or the kernel has no IPv6, or CAP_NET_BIND_SERVICE is missing.
///
/// # Panics
/// Outside a tokio runtime.
pub fn open(index: u32, name: &str) -> Result<(Dhcp6Speaker, Dhcp6Socket), RequestError> {
    let open = || -> io::Result<(Socket, UdpSocket)> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.set_only_v6(true)?;
        // Another bond's client has the same port.
        socket.set_reuse_address(true)?;
        socket.bind_device(Some(name.as_bytes()))?;
        socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, CLIENT_PORT, 0, 0).into())?;
        Ok((socket.try_clone()?, UdpSocket::from_std(socket.into())?))
    };
    let (speaker, socket) =
        open().map_err(|error| Cause::from(error).of("open a socket for DHCPv6 on", name))?;
    let name = name.to_owned();
    Ok((Dhcp6Speaker { socket: speaker, index, name: name.clone() }, Dhcp6Socket { socket, name }))
}

impl Dhcp6Speaker {
    /// Send a datagram to all servers and relays on the link, from the interface's address of the link.
    ///
    /// # Errors
    /// When it has none that is not tentative, is down or gone.
    pub fn send(&self, payload: &[u8]) -> Result<(), RequestError> {
        let to = SocketAddrV6::new(SERVERS, SERVER_PORT, 0, self.index);
        let sent = self.socket.send_to(payload, &to.into());
        sent.map(drop).map_err(|error| Cause::from(error).of(format!("send to {SERVERS} on"), &self.name))
    }
}

impl Dhcp6Socket {
    /// Wait for a datagram and write it to `buffer`; returns its length and who sent it. What does not fit is cut off. May
    /// be cancelled: nothing is lost.
    ///
    /// # Errors
    /// When the interface is gone, or something that was sent could not be delivered.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<(usize, Ipv6Addr), RequestError> {
        let error = |error: io::Error| Cause::from(error).of("receive for DHCPv6 on", &self.name);
        loop {
            match self.socket.recv_from(buffer).await.map_err(error)? {
                (length, SocketAddr::V6(from)) => return Ok((length, *from.ip())),
                (_, SocketAddr::V4(_)) => {}
            }
        }
    }
}
