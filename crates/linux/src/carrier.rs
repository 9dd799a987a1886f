//! What is known of a link, asked as cheaply as possible.
//!
//! The carrier comes from the kernel's own state, by one request on a long-lived socket. The ethtool ioctl would be a
//! little cheaper, but it asks the driver: that may wake a sleeping device (`dev_ethtool` resumes it), and some drivers
//! take milliseconds for it. Speed and duplex are asked that way, when a link comes up.

#![allow(clippy::wildcard_enum_match_arm, reason = "rtnetlink's enums are foreign, open and long")]

use std::ffi::c_char;
use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};

use hitless_core::event::Duplex;
use hitless_core::mac::MacAddr;
use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, socket};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use crate::error::{Cause, RequestError};
use crate::link::{invalid_name, is_valid_name, with};

/// Commands of linux/ethtool.h.
const ETHTOOL_GPERMADDR: u32 = 0x20;
const ETHTOOL_GLINKSETTINGS: u32 = 0x4c;

/// The number of 32-bit words in all link mode masks together is at most three times this (`link_mode_masks_nwords` is an
/// `s8`).
const MAX_MASK_WORDS: usize = 127;

/// Room for an answer about one interface without its statistics.
const ANSWER: usize = 32 * 1024;

/// The lengths of `struct nlmsghdr` and `struct ifinfomsg`, and where in the latter the flags are.
const NLMSG_HEADER: usize = 16;
const IFINFO: usize = 16;
const IFINFO_FLAGS: usize = 8;

/// `IF_OPER_DORMANT` (linux/if.h).
const IF_OPER_DORMANT: u8 = 5;

/// The longest hardware address (`MAX_ADDR_LEN`).
const MAX_ADDR_LEN: usize = 32;

/// `struct ifreq` as `SIOCETHTOOL` uses it: the name, and a pointer to the command.
#[repr(C)]
struct Request {
    name: [c_char; libc::IFNAMSIZ],
    data: *mut libc::c_void,
    // The union in `struct ifreq` is as long as a `struct ifmap`, and the kernel copies all of it.
    rest: [u8; 16],
}

const _: () = assert!(size_of::<Request>() >= size_of::<libc::ifreq>());

/// `struct ethtool_link_settings`.
#[repr(C)]
struct LinkSettings {
    command: u32,
    speed: u32,
    duplex: u8,
    port: u8,
    phy_address: u8,
    autoneg: u8,
    mdio_support: u8,
    eth_tp_mdix: u8,
    eth_tp_mdix_ctrl: u8,
    mask_words: i8,
    more: [u8; 32],
    masks: [u32; 3 * MAX_MASK_WORDS],
}

/// `struct ethtool_perm_addr` with room for the longest address.
#[repr(C)]
struct PermanentAddress {
    command: u32,
    size: u32,
    octets: [u8; MAX_ADDR_LEN],
}

/// Asks about links. Keep one; it belongs to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct LinkProbe {
    /// For the driver, by ethtool.
    socket: OwnedFd,
    /// For the carrier.
    netlink: CarrierRequests,
}

impl LinkProbe {
    /// Open the sockets.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn open() -> Result<Self, RequestError> {
        // Any socket will do to name the namespace; this kind needs neither a protocol nor a privilege.
        let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .map_err(|errno| Cause::from(errno).of("open a socket for ethtool requests", ""))?;
        let netlink = CarrierRequests::open().map_err(|cause| cause.of("open rtnetlink", ""))?;
        Ok(Self { socket, netlink })
    }

    /// Does the interface have a carrier? One that is switched off has none, and one that waits for its keys (it is
    /// dormant, RFC 2863: 802.1X, or the handshake of WPA) has none yet: nothing but that handshake gets through.
    ///
    /// Costs some microseconds, and waits for whoever holds the kernel's lock on interfaces (rtnl).
    ///
    /// # Errors
    /// When there is no interface of this name ([`RequestError::is_gone`]).
    pub fn carrier(&mut self, name: &str) -> Result<bool, RequestError> {
        let checked = if is_valid_name(name) { Ok(()) } else { Err(invalid_name(name)) };
        let result = checked.and_then(|()| self.netlink.carrier(name));
        result.map_err(|cause| cause.of("ask for the carrier of", name))
    }

    /// Speed in Mbit/s and duplex, each where the driver knows it. Wireless and virtual interfaces mostly do not.
    ///
    /// # Errors
    /// When there is no interface of this name ([`RequestError::is_gone`]).
    pub fn speed_duplex(&self, name: &str) -> Result<(Option<u32>, Option<Duplex>), RequestError> {
        match self.link_settings(name) {
            Ok(settings) => Ok((known_speed(settings.speed), known_duplex(settings.duplex))),
            // The driver does not know the command, or (EINVAL of some) has no answer while there is no link.
            Err(Cause::Kernel { errno: Errno::EOPNOTSUPP | Errno::EINVAL, .. }) => Ok((None, None)),
            Err(cause) => Err(cause.of("ask for the speed of", name)),
        }
    }

    fn link_settings(&self, name: &str) -> Result<Box<LinkSettings>, Cause> {
        let mut settings = Box::new(LinkSettings {
            command: ETHTOOL_GLINKSETTINGS,
            speed: 0,
            duplex: 0,
            port: 0,
            phy_address: 0,
            autoneg: 0,
            mdio_support: 0,
            eth_tp_mdix: 0,
            eth_tp_mdix_ctrl: 0,
            mask_words: 0,
            more: [0; 32],
            masks: [0; 3 * MAX_MASK_WORDS],
        });
        self.ioctl(name, settings.as_mut())?;
        // To a request without room for masks the kernel answers with the size that it needs, negated.
        if settings.mask_words < 0 {
            settings.command = ETHTOOL_GLINKSETTINGS;
            settings.mask_words = settings.mask_words.saturating_neg();
            self.ioctl(name, settings.as_mut())?;
        }
        Ok(settings)
    }

    /// The address that the hardware came with, where there is one.
    ///
    /// # Errors
    /// When there is no interface of this name ([`RequestError::is_gone`]).
    pub fn permanent_mac(&self, name: &str) -> Result<Option<MacAddr>, RequestError> {
        let size = u32::try_from(MAX_ADDR_LEN).unwrap_or_default();
        let mut address = PermanentAddress { command: ETHTOOL_GPERMADDR, size, octets: [0; MAX_ADDR_LEN] };
        match self.ioctl(name, &mut address) {
            Ok(()) => {
                let octets = usize::try_from(address.size).ok().and_then(|size| address.octets.get(..size));
                Ok(octets.and_then(crate::link::mac).filter(|mac| mac.is_station()))
            }
            Err(Cause::Kernel { errno: Errno::EOPNOTSUPP, .. }) => Ok(None),
            Err(cause) => Err(cause.of("ask for the permanent hardware address of", name)),
        }
    }

    /// `T` is the `repr(C)` structure of the command that is in its first word.
    fn ioctl<T: EthtoolCommand>(&self, name: &str, command: &mut T) -> Result<(), Cause> {
        let data: *mut T = command;
        let mut request = Request { name: c_name(name)?, data: data.cast(), rest: [0; 16] };
        // SAFETY: `request` is at least as long as the `struct ifreq` that the kernel reads and writes, its name ends with
        // a zero, and `data` points to a live structure that has the size that its command asks for (`EthtoolCommand`).
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        Errno::result(result).map(drop).map_err(Cause::from)
    }
}

/// A structure that the kernel may read and write for the command in its first word.
///
/// # Safety
/// It is `repr(C)`, has no padding that matters, and is as long as the kernel's structure can get for its command.
unsafe trait EthtoolCommand {}

// SAFETY: the kernel's `struct ethtool_link_settings` with room for the longest masks that `mask_words` can tell.
unsafe impl EthtoolCommand for LinkSettings {}

// SAFETY: the kernel's `struct ethtool_perm_addr` with room for the longest address that there is.
unsafe impl EthtoolCommand for PermanentAddress {}

/// An interface's name as the kernel's structures have it.
pub(crate) fn c_name(name: &str) -> Result<[c_char; libc::IFNAMSIZ], Cause> {
    if !is_valid_name(name) {
        return Err(invalid_name(name));
    }
    let mut field = [0; libc::IFNAMSIZ];
    for (to, from) in field.iter_mut().zip(name.bytes()) {
        *to = c_char::from_ne_bytes([from]);
    }
    Ok(field)
}

/// `SPEED_UNKNOWN` is -1; 0 is what some drivers say without a link.
fn known_speed(speed: u32) -> Option<u32> {
    Some(speed).filter(|speed| !matches!(*speed, 0 | u32::MAX))
}

/// `DUPLEX_HALF` is 0, `DUPLEX_FULL` 1, `DUPLEX_UNKNOWN` 255.
fn known_duplex(duplex: u8) -> Option<Duplex> {
    match duplex {
        0 => Some(Duplex::Half),
        1 => Some(Duplex::Full),
        _ => None,
    }
}

/// The carrier by single requests to rtnetlink, without waiting on a runtime: the kernel answers before `send` returns.
struct CarrierRequests {
    socket: Socket,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for CarrierRequests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CarrierRequests").finish_non_exhaustive()
    }
}

impl CarrierRequests {
    fn open() -> Result<Self, Cause> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, buffer: Vec::new() })
    }

    fn carrier(&mut self, name: &str) -> Result<bool, Cause> {
        let attributes =
            [LinkAttribute::IfName(name.to_owned()), LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])];
        let request = with(LinkMessage::default(), attributes);
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetLink(request));
        message.header.flags = NLM_F_REQUEST;
        message.finalize();
        self.buffer.clear();
        self.buffer.resize(message.buffer_len(), 0);
        message.serialize(&mut self.buffer);
        self.socket.send(&self.buffer, 0)?;
        let mut answer = [0; ANSWER];
        let length = nix::sys::socket::recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        carrier_in(answer.get(..length).unwrap_or_default())
    }
}

/// The carrier in an answer. Read by hand: this happens all day long, and a whole description of an interface is much.
fn carrier_in(answer: &[u8]) -> Result<bool, Cause> {
    let word = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let kind = answer.get(4..6).and_then(|octets| Some(u16::from_ne_bytes(octets.try_into().ok()?)));
    match (kind.map(i32::from), word(NLMSG_HEADER), word(NLMSG_HEADER + IFINFO_FLAGS)) {
        (Some(libc::NLMSG_ERROR), Some(errno), _) => {
            Err(Cause::errno(Errno::from_raw(errno.cast_signed().wrapping_neg())))
        }
        (Some(kind), _, Some(flags)) if kind == i32::from(libc::RTM_NEWLINK) => {
            let attributes = answer.get(NLMSG_HEADER + IFINFO..).unwrap_or_default();
            let (mut carrier, mut dormant) = (None, false);
            for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
                match attribute.kind() {
                    libc::IFLA_CARRIER => carrier = attribute.value().first().map(|carrier| *carrier != 0),
                    libc::IFLA_OPERSTATE => dormant = attribute.value().first() == Some(&IF_OPER_DORMANT),
                    _ => {}
                }
            }
            let up = flags & libc::IFF_UP.cast_unsigned() != 0;
            Ok(up && !dormant && carrier.ok_or(Cause::Answer("carrier"))?)
        }
        _ => Err(Cause::Answer("form that is known")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn loopback_has_no_hardware_address_of_its_own() {
        let mut probe = LinkProbe::open().unwrap();
        probe.carrier("lo").unwrap();
        assert_eq!(probe.permanent_mac("lo").unwrap(), None);
    }

    #[test]
    fn what_is_not_there_is_gone() {
        let mut probe = LinkProbe::open().unwrap();
        assert!(probe.carrier("no-such-port").unwrap_err().is_gone());
        assert!(probe.speed_duplex("no-such-port").unwrap_err().is_gone());
        assert!(!probe.carrier("a name that is far too long").unwrap_err().is_gone());
    }
}
