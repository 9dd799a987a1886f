//! The sockets of a DHCPv4 client on one interface.
//!
//! As long as there is no address, frames have to be sent and heard as they are. Once there is one, the server that gave
//! it is spoken to by UDP as with anyone else; what it answers is heard in the same place all the same.

#![allow(clippy::cast_possible_truncation, reason = "constants of the kernel")]

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use hitless_core::datagram::{CLIENT_PORT, SERVER_PORT};
use nix::libc;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;

use crate::error::{Cause, RequestError};
use crate::packet::{self, READABLE_OR_ERROR};

/// `ETH_P_IP` in network byte order, as socket addresses of this family want it.
const IPV4: u16 = (libc::ETH_P_IP as u16).to_be();

/// Hears what is for a DHCP client on one interface, whether it has an address or not.
#[derive(Debug)]
pub struct DhcpSocket {
    socket: AsyncFd<Socket>,
    name: String,
}

/// Speaks to the server that has lent an address, from that address.
#[derive(Debug)]
pub struct DhcpSpeaker {
    /// What was spoken with last. It stays, unread: without it the kernel would tell the server that nobody is here to hear
    /// its answer.
    socket: Option<Socket>,
    name: String,
}

impl DhcpSocket {
    /// Open a socket on the interface with this index; `name` is for messages.
    ///
    /// # Errors
    /// When the interface is gone ([`RequestError::is_gone`]) or CAP_NET_RAW is missing.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(index: u32, name: &str) -> Result<Self, RequestError> {
        let error = |cause: Cause| cause.of("open a socket for DHCP on", name);
        let socket =
            packet::open(index, IPV4, |socket| socket.attach_filter(&client_filter())).map_err(error)?;
        // SAFETY: a `Socket` owns its descriptor and answers the same one as long as it lives.
        let socket = unsafe { AsyncFd::register_with_interest(socket, READABLE_OR_ERROR) };
        let socket = socket.map_err(|failed| error(failed.into_parts().1.into()))?;
        Ok(Self { socket, name: name.to_owned() })
    }

    /// Wait for a frame and write it to `buffer`, from the Ethernet header on; returns its length. What does not fit is
    /// cut off. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// Once with [`RequestError::is_down`] when the interface goes down or away, as [`packet::PortSocket::recv`].
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, RequestError> {
        packet::recv(&self.socket, buffer).await.map_err(|cause| cause.of("receive on", &self.name))
    }
}

impl DhcpSpeaker {
    /// For the interface of this name.
    pub fn new(name: &str) -> Self {
        Self { socket: None, name: name.to_owned() }
    }

    /// Send a datagram to a server, from an address that the interface has.
    ///
    /// # Errors
    /// When it does not have it, or there is no way to the server, or another DHCP client has the port on this interface,
    /// or CAP_NET_BIND_SERVICE is missing.
    pub fn send(&mut self, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Result<(), RequestError> {
        // The port is free again.
        self.socket = None;
        let send = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_nonblocking(true)?;
            // One bond's lease is no business of another's.
            socket.bind_device(Some(self.name.as_bytes()))?;
            socket.bind(&SocketAddrV4::new(from, CLIENT_PORT).into())?;
            socket.send_to(payload, &SocketAddrV4::new(to, SERVER_PORT).into())?;
            Ok(socket)
        };
        let request = || format!("send from {from} to {to} on");
        self.socket = Some(send().map_err(|error| Cause::from(error).of(request(), &self.name))?);
        Ok(())
    }
}

/// Accepts untagged, whole UDP datagrams to the port of DHCP clients.
fn client_filter() -> [SockFilter; 13] {
    // Instruction codes of linux/filter.h (classic BPF).
    const LOAD_HALF: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
    const LOAD_HALF_BEHIND: u16 = 0x48; // BPF_LD | BPF_H | BPF_IND
    const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const LOAD_HEADER_LENGTH: u16 = 0xb1; // BPF_LDX | BPF_B | BPF_MSH
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const JUMP_SET: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const ETHERTYPE: u32 = 12;
    const IPV4_HEADER: u32 = 14;
    const FRAGMENT: u32 = IPV4_HEADER + 6;
    const PROTOCOL: u32 = IPV4_HEADER + 9;
    let load = |code, offset| SockFilter::new(code, 0, 0, offset);
    // The numbers are how many instructions to skip when equal and when not.
    let equal = |value, yes, no| SockFilter::new(JUMP_EQUAL, yes, no, value);
    [
        load(LOAD_BYTE, packet::VLAN_TAG_PRESENT),
        equal(0, 0, 10),
        load(LOAD_HALF, ETHERTYPE),
        equal(0x0800, 0, 8),
        load(LOAD_BYTE, PROTOCOL),
        equal(17, 0, 6),
        load(LOAD_HALF, FRAGMENT),
        SockFilter::new(JUMP_SET, 4, 0, 0x3fff), // more fragments, or not the first
        load(LOAD_HEADER_LENGTH, IPV4_HEADER),
        load(LOAD_HALF_BEHIND, IPV4_HEADER + 2),
        equal(CLIENT_PORT as u32, 0, 1),
        SockFilter::new(RETURN, 0, 0, 0xffff),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}
