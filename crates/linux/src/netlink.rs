//! The connections to rtnetlink: one for requests, one for events.
//!
//! What is asked is in [`link`](crate::link), [`bond`](crate::bond), [`address`](crate::address),
//! [`route`](crate::route) and [`neighbour`](crate::neighbour), all as methods of [`Netlink`].

#![allow(clippy::wildcard_enum_match_arm, reason = "rtnetlink's enums are foreign, open and long")]

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer,
    NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};
use rtnetlink::MulticastGroup;
use rtnetlink::sys::{AsyncSocket, Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use crate::error::{Cause, RequestError};
use crate::link::Link;

/// `NLMSGERR_ATTR_MSG` (linux/netlink.h): the text of an extended acknowledgement.
const NLMSGERR_ATTR_MSG: u16 = 1;

/// The length of the request's header that an error repeats (`NETLINK_CAP_ACK` cuts off the rest).
const HEADER_LEN: usize = 16;

/// The receive buffer of the event connection, in octets: room for some thousand link messages.
const EVENT_BUFFER: usize = 4 << 20;

/// More than the largest message that the kernel sends, in octets.
const MESSAGE_BUFFER: usize = 64 << 10;

/// That events were lost is an error, which alone would not make the socket readable.
const READABLE_OR_ERROR: Interest = Interest::READABLE.add(Interest::ERROR);

/// How often a dump is asked for again when the kernel says that it changed meanwhile.
const DUMP_ATTEMPTS: u32 = 5;

/// A connection to rtnetlink for requests, in the network namespace of the thread that opened it.
///
/// Clones share the connection. It lives on the tokio runtime in which it was opened.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: rtnetlink::Handle,
    _task: Arc<Task>,
}

/// What happened to an interface.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkEvent {
    /// There is a new interface, or something about it changed.
    New(Box<Link>),
    /// The interface is gone from this network namespace.
    Gone {
        /// The index that it had.
        index: u32,
        /// The name that it had.
        name: String,
    },
    /// An address of the interface came, went or changed.
    Addresses {
        /// The interface.
        index: u32,
    },
    /// Events were lost; what there is has to be listed again.
    Overrun,
}

/// The events of all interfaces of a network namespace, from the moment it was opened.
///
/// A socket read by whoever waits for events, rather than a task that hands them on: one wake-up less before a lost
/// carrier is acted on, and lost events can be dealt with where they are found.
pub struct LinkEvents {
    socket: AsyncFd<Socket>,
    buffer: Box<[u8]>,
    read: VecDeque<LinkEvent>,
    /// Events were lost, and those in the socket's queue are being thrown away.
    overrun: bool,
}

/// A spawned connection, which ends with its owner.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Netlink {
    /// Open connections for requests and for events. Events are subscribed to before this returns, so that whoever
    /// lists interfaces afterwards misses nothing.
    ///
    /// # Errors
    /// When the sockets cannot be made.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> Result<(Self, LinkEvents), RequestError> {
        Ok((Self::requests()?, LinkEvents::open()?))
    }

    /// Open a connection for requests only.
    ///
    /// # Errors
    /// When the socket cannot be made.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn requests() -> Result<Self, RequestError> {
        let (mut connection, handle, _) =
            rtnetlink::new_connection().map_err(|error| Cause::from(error).of("open rtnetlink", ""))?;
        // An acknowledgement is how a request that was done differs from a connection that broke; likewise the end of a dump.
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        let socket = connection.socket_mut().socket_mut();
        // Explanations, and dumps that the kernel filters, are worth having but can be done without.
        for (name, result) in [
            ("NETLINK_EXT_ACK", socket.set_ext_ack(true)),
            ("NETLINK_CAP_ACK", socket.set_cap_ack(true)),
            ("NETLINK_GET_STRICT_CHK", socket.set_netlink_get_strict_chk(true)),
        ] {
            if let Err(error) = result {
                tracing::debug!("rtnetlink without {name}: {error}");
            }
        }
        let task = Task(tokio::spawn(connection).abort_handle());
        Ok(Self { handle, _task: Arc::new(task) })
    }

    /// Have something done. `flags` go beside request and acknowledgement.
    pub(crate) async fn perform(&self, message: RouteNetlinkMessage, flags: u16) -> Result<(), Cause> {
        self.query(message, flags).await.map(drop)
    }

    /// Ask for one thing; the answer has none or one message.
    pub(crate) async fn query(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Vec<RouteNetlinkMessage>, Cause> {
        // With an acknowledgement there is an end even where the answer itself cannot be parsed.
        let mut stream = self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        let mut answers = Vec::new();
        while let Some(answer) = stream.next().await {
            match answer.payload {
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                NetlinkPayload::Error(error) => match errno(error.raw_code()) {
                    None => return Ok(answers),
                    Some(errno) => {
                        return Err(Cause::Kernel {
                            errno,
                            message: explanation(answer.header.flags, &error),
                        });
                    }
                },
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Overrun(_) => return Err(Cause::errno(Errno::ENOBUFS)),
                NetlinkPayload::Noop | _ => {}
            }
        }
        Err(Cause::Closed)
    }

    /// Ask for everything that the message describes.
    pub(crate) async fn dump(&self, message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>, Cause> {
        let mut attempt = 1;
        loop {
            let (answers, interrupted) = self.dump_once(message.clone()).await?;
            if !interrupted || attempt == DUMP_ATTEMPTS {
                return Ok(answers);
            }
            attempt += 1;
        }
    }

    async fn dump_once(
        &self,
        message: RouteNetlinkMessage,
    ) -> Result<(Vec<RouteNetlinkMessage>, bool), Cause> {
        let mut stream = self.send(message, NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut answers = Vec::new();
        let mut interrupted = false;
        while let Some(answer) = stream.next().await {
            interrupted |= answer.header.flags & NLM_F_DUMP_INTR != 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                NetlinkPayload::Done(done) => match errno(done.code) {
                    None => return Ok((answers, interrupted)),
                    Some(errno) => return Err(errno.into()),
                },
                NetlinkPayload::Error(error) => {
                    let errno = errno(error.raw_code()).unwrap_or(Errno::EPROTO);
                    return Err(Cause::Kernel { errno, message: explanation(answer.header.flags, &error) });
                }
                NetlinkPayload::Overrun(_) => return Err(Cause::errno(Errno::ENOBUFS)),
                NetlinkPayload::Noop | _ => {}
            }
        }
        Err(Cause::Closed)
    }

    fn send(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + use<>, Cause> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        self.handle.clone().request(message).map_err(|_| Cause::Closed)
    }

    /// Turn a cause into an error that names the interface: one more request, made only when something failed.
    pub(crate) async fn name_error(
        &self,
        cause: Cause,
        request: impl Into<String>,
        index: u32,
    ) -> RequestError {
        let interface = match self.link(index).await {
            Ok(Some(link)) => link.name,
            Ok(None) | Err(_) => format!("interface {index}"),
        };
        cause.of(request, interface)
    }
}

/// The error number in an answer's code (negative, or zero for success).
fn errno(code: i32) -> Option<Errno> {
    (code != 0).then(|| Errno::from_raw(code.saturating_neg()))
}

/// The explanation in an error message: attributes behind the header of the request that it repeats.
fn explanation(flags: u16, error: &ErrorMessage) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let attributes = error.header.get(HEADER_LEN..)?;
    let text = NlasIterator::new(attributes)
        .map_while(Result::ok)
        .find(|attribute| attribute.kind() == NLMSGERR_ATTR_MSG)?;
    let text = text.value().split(|octet| *octet == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(text).into_owned())
}

impl LinkEvents {
    fn open() -> Result<Self, RequestError> {
        let socket = subscribe().map_err(|cause| cause.of("subscribe to rtnetlink events", ""))?;
        // SAFETY: a `Socket` owns its descriptor and answers the same one as long as it lives.
        let socket = unsafe { AsyncFd::register_with_interest(socket, READABLE_OR_ERROR) };
        let socket = socket
            .map_err(|failed| Cause::from(failed.into_parts().1).of("wait for rtnetlink events", ""))?;
        Ok(Self { socket, buffer: vec![0; MESSAGE_BUFFER].into(), read: VecDeque::new(), overrun: false })
    }

    /// The next event. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// When the socket cannot be read; it will not get better by trying again.
    pub async fn next(&mut self) -> Result<LinkEvent, RequestError> {
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(event);
            }
            let mut ready = self.socket.ready(READABLE_OR_ERROR).await.map_err(|io| read_error(io.into()))?;
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                // While some are lost the kernel drops all others as well, until the queue has been empty. Only from then
                // on does a list of what there is stay true, so that is when it is told.
                Ok(_) if self.overrun => {}
                Ok(length) => self.read.extend(self.buffer.get(..length).into_iter().flat_map(events)),
                Err(Errno::ENOBUFS) => self.overrun = true,
                Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    if std::mem::take(&mut self.overrun) {
                        return Ok(LinkEvent::Overrun);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(read_error(errno.into())),
            }
        }
    }
}

fn read_error(cause: Cause) -> RequestError {
    cause.of("read rtnetlink events", "")
}

impl fmt::Debug for LinkEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkEvents").field("overrun", &self.overrun).finish_non_exhaustive()
    }
}

fn subscribe() -> Result<Socket, Cause> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.set_non_blocking(true)?;
    enlarge_receive_buffer(&socket);
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let groups = groups.iter().fold(0, |groups, group| groups | 1 << (*group as u32 - 1));
    socket.bind(&SocketAddr::new(0, groups))?;
    Ok(socket)
}

fn enlarge_receive_buffer(socket: &Socket) {
    // SAFETY: the socket outlives this function and with it the borrowed descriptor.
    let fd = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    // Beyond the system's limit with CAP_NET_ADMIN, up to it without.
    let forced = setsockopt(&fd, sockopt::RcvBufForce, &EVENT_BUFFER);
    if let Err(error) = forced.or_else(|_| setsockopt(&fd, sockopt::RcvBuf, &EVENT_BUFFER)) {
        tracing::debug!("receive buffer of rtnetlink events stays as it is: {error}");
    }
}

/// The events in what was read at once; most messages are of no interest.
fn events(mut octets: &[u8]) -> Vec<LinkEvent> {
    let mut events = Vec::new();
    while let Ok(message) = NetlinkBuffer::new_checked(octets) {
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX).min(octets.len());
        let (message, rest) = octets.split_at(length);
        match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
            Ok(message) => events.extend(event(message.payload)),
            Err(error) => tracing::debug!("rtnetlink event that cannot be understood: {error}"),
        }
        // Messages are aligned to 4 octets.
        octets = rest.get(length.next_multiple_of(4) - length..).unwrap_or_default();
    }
    events
}

fn event(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<LinkEvent> {
    let NetlinkPayload::InnerMessage(message) = payload else { return None };
    match message {
        // Messages of family bridge are about a port's place in a bridge: its "deletion" is the leaving of the bridge.
        RouteNetlinkMessage::NewLink(link) if link.header.interface_family == AddressFamily::Unspec => {
            Link::from_message(&link).map(|link| LinkEvent::New(Box::new(link)))
        }
        RouteNetlinkMessage::DelLink(link) if link.header.interface_family == AddressFamily::Unspec => {
            let name = crate::link::name_of(&link).unwrap_or_default();
            Some(LinkEvent::Gone { index: link.header.index, name })
        }
        RouteNetlinkMessage::NewAddress(address) | RouteNetlinkMessage::DelAddress(address) => {
            Some(LinkEvent::Addresses { index: address.header.index })
        }
        _ => None,
    }
}
