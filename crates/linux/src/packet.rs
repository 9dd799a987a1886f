//! Sockets for single frames on one interface: to probe with, and to hear answers with.
//!
//! Data never goes this way. What is heard is ARP and IPv6 neighbour discovery only, chosen by a filter in the kernel.

#![allow(clippy::cast_possible_truncation, reason = "constants and sizes of the kernel's structures")]

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use hitless_core::mac::MacAddr;
use nix::errno::Errno;
use nix::libc;
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::{Cause, RequestError};

/// `ETH_P_ALL` in network byte order, as socket addresses of this family want it.
const ALL_PROTOCOLS: u16 = (libc::ETH_P_ALL as u16).to_be();

/// `PACKET_IGNORE_OUTGOING` (linux/if_packet.h), from Linux 4.20 on.
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// That the interface went down is an error that does not make a socket readable.
pub(crate) const READABLE_OR_ERROR: Interest = Interest::READABLE.add(Interest::ERROR);

/// Where a filter finds out whether a frame has a VLAN tag (SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT): the tag itself is no
/// longer in the frame when the socket sees it.
pub(crate) const VLAN_TAG_PRESENT: u32 = (-0x1000_i32 + 48).cast_unsigned();

/// Hears ARP and neighbour discovery frames on one interface, and sends frames there.
///
/// It hears what the driver hands up before bonds, bridges or tc programs see it, also on a standby port. It hears no
/// frames with a VLAN tag and none that were sent from here.
#[derive(Debug)]
pub struct PortSocket {
    socket: AsyncFd<Socket>,
    index: u32,
    name: String,
}

/// Sends frames on one interface and hears nothing.
#[derive(Debug)]
pub struct SendSocket {
    socket: Socket,
    name: String,
}

impl PortSocket {
    /// Open a socket on the interface with this index; `name` is for messages.
    ///
    /// # Errors
    /// When the interface is gone ([`RequestError::is_gone`]), down ([`RequestError::is_down`]), or CAP_NET_RAW is missing.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(index: u32, name: &str) -> Result<Self, RequestError> {
        let error = |cause: Cause| cause.of("open a packet socket on", name);
        let socket = open(index, ALL_PROTOCOLS, |socket| {
            // Before the socket hears anything.
            socket.attach_filter(&probe_filter())?;
            ignore_outgoing(socket.as_fd())
        })
        .map_err(error)?;
        // SAFETY: a `Socket` owns its descriptor and answers the same one as long as it lives.
        let socket = unsafe { AsyncFd::register_with_interest(socket, READABLE_OR_ERROR) };
        let socket = socket.map_err(|failed| error(failed.into_parts().1.into()))?;
        Ok(Self { socket, index, name: name.to_owned() })
    }

    /// Have the interface accept frames for this address beside its own, as long as the socket lives (packet(7),
    /// `PACKET_MR_UNICAST`).
    ///
    /// # Errors
    /// When the interface is gone, or its driver cannot.
    pub fn accept(&self, mac: MacAddr) -> Result<(), RequestError> {
        add_membership(self.socket.get_ref().as_fd(), self.index, mac)
            .map_err(|cause| cause.of(format!("accept frames for {mac} on"), &self.name))
    }

    /// Wait for a frame and write it to `buffer`, from the Ethernet header on; returns its length. What does not fit is
    /// cut off. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// Once with [`RequestError::is_down`] when the interface goes down or away. The socket goes on working when an interface
    /// that only was down is up again; whether it is gone is told by rtnetlink.
    pub async fn recv(&self, buffer: &mut [u8]) -> Result<usize, RequestError> {
        recv(&self.socket, buffer).await.map_err(|cause| cause.of("receive on", &self.name))
    }

    /// Send a frame, from the Ethernet header on, if that can be done at once.
    ///
    /// # Errors
    /// When the interface is down, gone, or its queue full (`ENOBUFS`, `EAGAIN`).
    pub fn try_send(&self, frame: &[u8]) -> Result<(), RequestError> {
        send(self.socket.get_ref().as_raw_fd(), frame).map_err(|cause| cause.of("send on", &self.name))
    }
}

impl SendSocket {
    /// Open a socket on the interface with this index; `name` is for messages.
    ///
    /// # Errors
    /// When the interface is gone ([`RequestError::is_gone`]) or CAP_NET_RAW is missing.
    pub fn open(index: u32, name: &str) -> Result<Self, RequestError> {
        let socket = open(index, 0, |_| Ok(())).map_err(|cause| cause.of("open a packet socket on", name))?;
        Ok(Self { socket, name: name.to_owned() })
    }

    /// Send a frame, from the Ethernet header on, if that can be done at once.
    ///
    /// # Errors
    /// When the interface is down, gone, or its queue full (`ENOBUFS`, `EAGAIN`).
    pub fn try_send(&self, frame: &[u8]) -> Result<(), RequestError> {
        send(self.socket.as_raw_fd(), frame).map_err(|cause| cause.of("send on", &self.name))
    }
}

/// A socket that is prepared while it hears nothing yet, and then bound to this protocol (0: goes on hearing nothing).
pub(crate) fn open(
    index: u32,
    protocol: u16,
    prepare: impl FnOnce(&Socket) -> std::io::Result<()>,
) -> Result<Socket, Cause> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
    socket.set_nonblocking(true)?;
    prepare(&socket)?;
    socket.bind(&address(index, protocol)?)?;
    Ok(socket)
}

fn address(index: u32, protocol: u16) -> Result<SockAddr, Cause> {
    let index = i32::try_from(index).map_err(|_| Cause::errno(Errno::ENODEV))?;
    let mut storage: socket2::SockAddrStorage = socket2::SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the socket addresses that the storage is made for.
    let link: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    link.sll_family = libc::AF_PACKET as u16;
    link.sll_protocol = protocol;
    link.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds an initialized `sockaddr_ll` of this length.
    Ok(unsafe { SockAddr::new(storage, length) })
}

fn ignore_outgoing(socket: BorrowedFd<'_>) -> std::io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option's value is an int that lives until the call returns, and `length` is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            length,
        )
    };
    Ok(Errno::result(result).map(drop)?)
}

fn add_membership(socket: BorrowedFd<'_>, index: u32, mac: MacAddr) -> Result<(), Cause> {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&mac.0);
    let membership = libc::packet_mreq {
        mr_ifindex: i32::try_from(index).map_err(|_| Cause::errno(Errno::ENODEV))?,
        mr_type: libc::PACKET_MR_UNICAST as u16,
        mr_alen: 6,
        mr_address: address,
    };
    let length = size_of::<libc::packet_mreq>() as libc::socklen_t;
    // SAFETY: the option's value is a `packet_mreq` that lives until the call returns, and `length` is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const membership).cast(),
            length,
        )
    };
    Ok(Errno::result(result).map(drop)?)
}

/// Waits for a frame.
pub(crate) async fn recv(socket: &AsyncFd<Socket>, buffer: &mut [u8]) -> Result<usize, Cause> {
    let received = socket.async_io(READABLE_OR_ERROR, |socket| {
        let fd = socket.as_raw_fd();
        Ok(nix::sys::socket::recv(fd, buffer, nix::sys::socket::MsgFlags::MSG_DONTWAIT)?)
    });
    Ok(received.await?)
}

pub(crate) fn send(socket: RawFd, frame: &[u8]) -> Result<(), Cause> {
    nix::sys::socket::send(socket, frame, nix::sys::socket::MsgFlags::MSG_DONTWAIT)?;
    Ok(())
}

/// Accepts untagged frames that are ARP, neighbour solicitations or neighbour advertisements.
fn probe_filter() -> [SockFilter; 12] {
    // Instruction codes of linux/filter.h (classic BPF).
    const LOAD_HALF: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
    const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const ETHERTYPE: u32 = 12;
    const IPV6_NEXT_HEADER: u32 = 14 + 6;
    const ICMPV6_TYPE: u32 = 14 + 40;
    let load = |code, offset| SockFilter::new(code, 0, 0, offset);
    // The numbers are how many instructions to skip when equal and when not.
    let equal = |value, yes, no| SockFilter::new(JUMP_EQUAL, yes, no, value);
    [
        load(LOAD_BYTE, VLAN_TAG_PRESENT),
        equal(0, 0, 9),
        load(LOAD_HALF, ETHERTYPE),
        equal(0x0806, 6, 0), // ARP
        equal(0x86dd, 0, 6), // IPv6
        load(LOAD_BYTE, IPV6_NEXT_HEADER),
        equal(58, 0, 4), // ICMPv6
        load(LOAD_BYTE, ICMPV6_TYPE),
        equal(135, 1, 0), // neighbour solicitation
        equal(136, 0, 1), // neighbour advertisement
        SockFilter::new(RETURN, 0, 0, 0xffff),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

impl From<SendSocket> for OwnedFd {
    fn from(socket: SendSocket) -> Self {
        socket.socket.into()
    }
}
