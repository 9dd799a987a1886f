//! Generic netlink: which families the kernel has, and requests to one of them.
//!
//! What is in the messages of nl80211 is read in [`message`](super::message) and [`event`](super::event).

use std::fmt;
use std::os::fd::AsRawFd as _;

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NlasIterator};
use nix::errno::Errno;
use nix::libc::{
    CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS, CTRL_ATTR_MCAST_GRP_ID,
    CTRL_ATTR_MCAST_GRP_NAME, CTRL_CMD_GETFAMILY, GENL_ID_CTRL, NLMSG_DONE, NLMSG_ERROR,
};
use nix::sys::socket::{MsgFlags, recv};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

use crate::error::Cause;

/// The family that manages families, and the one multicast group that it has: both numbers are fixed (`GENL_ID_CTRL`).
pub(super) const CONTROL: u16 = 0x10;
const _: () = assert!(CONTROL as i32 == GENL_ID_CTRL);

/// The lengths of `struct nlmsghdr`, `struct genlmsghdr`, and of an attribute's header.
const NLMSG_HEADER: usize = 16;
const GENL_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;

/// The version of the requests: families that have one want at least 1, and nobody looks.
const VERSION: u8 = 1;

/// The kernel makes no answer longer than this, in octets (`netlink_dump`).
const ANSWER: usize = 32 << 10;

/// `NLM_F_CAPPED`, `NLM_F_ACK_TLVS` and `NLMSGERR_ATTR_MSG` (linux/netlink.h).
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

/// A family as this kernel numbers it, until its module is unloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// The type of its messages.
    pub(super) id: u16,
    /// Its multicast groups, with their numbers.
    groups: Vec<(String, u32)>,
}

impl Family {
    /// The number of a multicast group.
    pub(super) fn group(&self, name: &str) -> Option<u32> {
        self.groups.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
    }

    /// A message of the control family about the family of this name.
    pub(super) fn named(name: &str, message: &Message<'_>) -> Option<Self> {
        let mut id = None;
        let mut is_named = false;
        let mut groups = Vec::new();
        for (kind, value) in attributes(message.attributes) {
            match i32::from(kind) {
                CTRL_ATTR_FAMILY_ID => id = u16_in(value),
                CTRL_ATTR_FAMILY_NAME => is_named = text(value) == name.as_bytes(),
                CTRL_ATTR_MCAST_GROUPS => {
                    groups = attributes(value).filter_map(|(_, group)| group_in(group)).collect();
                }
                _ => {}
            }
        }
        id.filter(|_| is_named).map(|id| Self { id, groups })
    }
}

fn group_in(octets: &[u8]) -> Option<(String, u32)> {
    let mut name = None;
    let mut number = None;
    for (kind, value) in attributes(octets) {
        match i32::from(kind) {
            CTRL_ATTR_MCAST_GRP_NAME => name = Some(String::from_utf8_lossy(text(value)).into_owned()),
            CTRL_ATTR_MCAST_GRP_ID => number = u32_in(value),
            _ => {}
        }
    }
    Some((name?, number?))
}

/// A message of a family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    /// Whose it is.
    pub(super) family: u16,
    /// What it says.
    pub(super) command: u8,
    /// Of what.
    pub(super) attributes: &'a [u8],
}

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// One thing, or that something be done.
    One,
    /// Everything that there is.
    All,
}

/// A connection for requests.
///
/// None of them waits on a runtime: the kernel does what is asked, and answers, before `send` returns
/// (`netlink_unicast_kernel`), and goes on with a long answer whenever some of it is read (`netlink_recvmsg`).
pub(super) struct Connection {
    socket: Socket,
    request: Vec<u8>,
    answer: Box<[u8]>,
    sequence: u32,
}

impl Connection {
    pub(super) fn open() -> Result<Self, Cause> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Explanations are worth having but can be done without.
        for (name, result) in
            [("NETLINK_EXT_ACK", socket.set_ext_ack(true)), ("NETLINK_CAP_ACK", socket.set_cap_ack(true))]
        {
            if let Err(error) = result {
                tracing::debug!("generic netlink without {name}: {error}");
            }
        }
        Ok(Self { socket, request: Vec::new(), answer: vec![0; ANSWER].into(), sequence: 0 })
    }

    /// The family of this name, if the kernel has it at present.
    ///
    /// Asked by name, the kernel would first try to load a module of that name, each time: so all are listed.
    pub(super) fn family(&mut self, name: &str) -> Result<Option<Family>, Cause> {
        let command = u8::try_from(CTRL_CMD_GETFAMILY).unwrap_or_default();
        let mut family = None;
        self.exchange(CONTROL, command, Ask::All, &[], |message| {
            family = family.take().or_else(|| Family::named(name, message));
        })?;
        Ok(family)
    }

    /// Send a request and hand over what is answered.
    pub(super) fn exchange(
        &mut self,
        family: u16,
        command: u8,
        ask: Ask,
        attributes: &[(u16, &[u8])],
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<(), Cause> {
        self.sequence = self.sequence.wrapping_add(1);
        self.write(family, command, ask, attributes)?;
        self.socket.send(&self.request, 0)?;
        loop {
            let length = match recv(self.socket.as_raw_fd(), &mut self.answer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => length,
                Err(Errno::EAGAIN) => return Err(Cause::Answer("end")),
                Err(errno) => return Err(errno.into()),
            };
            for answer in messages(self.answer.get(..length).unwrap_or_default()) {
                // What is left over from a request that failed half way.
                if answer.sequence_number() != self.sequence {
                    continue;
                }
                match i32::from(answer.message_type()) {
                    NLMSG_ERROR | NLMSG_DONE => return end(&answer),
                    _ => message(&answer).iter().for_each(&mut each),
                }
            }
        }
    }

    fn write(
        &mut self,
        family: u16,
        command: u8,
        ask: Ask,
        attributes: &[(u16, &[u8])],
    ) -> Result<(), Cause> {
        let flags = NLM_F_REQUEST
            | match ask {
                Ask::One => NLM_F_ACK,
                Ask::All => NLM_F_DUMP,
            };
        let request = &mut self.request;
        request.clear();
        // The length is known at the end.
        request.extend(0_u32.to_ne_bytes());
        request.extend(family.to_ne_bytes());
        request.extend(flags.to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        // From whom: the kernel knows.
        request.extend(0_u32.to_ne_bytes());
        request.extend([command, VERSION, 0, 0]);
        let too_long = |_| Cause::Invalid("longer than a request can be".to_owned());
        for (kind, value) in attributes {
            let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).map_err(too_long)?;
            request.extend(length.to_ne_bytes());
            request.extend(kind.to_ne_bytes());
            request.extend(*value);
            request.resize(request.len().next_multiple_of(4), 0);
        }
        let length = u32::try_from(request.len()).map_err(too_long)?;
        request.splice(..4, length.to_ne_bytes());
        Ok(())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// The netlink messages in what was read at once.
pub(super) fn messages(mut octets: &[u8]) -> impl Iterator<Item = NetlinkBuffer<&[u8]>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(octets).ok()?;
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        // Messages are aligned to 4 octets.
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// A family's message; `None` where it is too short to be one.
pub(super) fn message<'a>(message: &NetlinkBuffer<&'a [u8]>) -> Option<Message<'a>> {
    let payload = message.payload();
    let command = *payload.first()?;
    Some(Message { family: message.message_type(), command, attributes: payload.get(GENL_HEADER..)? })
}

/// The attributes in these octets, as far as they are whole.
pub(super) fn attributes(octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(octets).map_while(Result::ok).filter_map(|attribute| {
        let value = ATTRIBUTE_HEADER..usize::from(attribute.length());
        Some((attribute.kind(), attribute.into_inner().get(value)?))
    })
}

/// What an acknowledgement, an error, or the end of a list says.
fn end(message: &NetlinkBuffer<&[u8]>) -> Result<(), Cause> {
    let payload = message.payload();
    match payload.get(..4).and_then(u32_in).map(u32::cast_signed) {
        Some(0) => Ok(()),
        Some(code) => Err(Cause::Kernel {
            errno: Errno::from_raw(code.saturating_neg()),
            message: explanation(message.flags(), payload),
        }),
        None => Err(Cause::Answer("error number")),
    }
}

/// The explanation in an error: attributes behind the request's header, which it repeats.
fn explanation(flags: u16, payload: &[u8]) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 || flags & NLM_F_CAPPED == 0 {
        return None;
    }
    let (_, explanation) =
        attributes(payload.get(4 + NLMSG_HEADER..)?).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)?;
    Some(String::from_utf8_lossy(text(explanation)).into_owned())
}

/// Text without the zero that ends it.
fn text(value: &[u8]) -> &[u8] {
    value.split(|octet| *octet == 0).next().unwrap_or_default()
}

pub(super) fn u16_in(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_ne_bytes)
}

pub(super) fn u32_in(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

pub(super) fn u64_in(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_ne_bytes)
}
