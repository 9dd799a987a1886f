//! What goes into the client and what comes out of it.

use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::lease::Prefix;
use super::reply::{Status, Unacceptable};
use crate::dhcp::ClientId;
use crate::mac::MacAddr;

/// How the client works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whom servers take the client for: [`ClientId::Mac`] is the hardware address that the bond has first.
    pub client_id: ClientId,
    /// The name that the server is asked to put into its DNS. Longer than a host name may be, it is not sent.
    pub hostname: Option<String>,
    /// Ask for a prefix, too.
    pub delegation: bool,
    /// Have it found out whether anyone has a new address before it is used (RFC 4862 section 5.4).
    pub detect_conflicts: bool,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The bond can carry frames and has an address of the link, which is not tentative any more.
    Up {
        /// Its hardware address.
        mac: MacAddr,
    },
    /// The bond cannot carry frames any more.
    Down,
    /// Another port carries the traffic now; it leads to the same network, as far as known.
    FailedOver,
    /// The bond may be in another network: a port has joined another SSID.
    NetworkChanged,
    /// The machine has slept, and may be anywhere. The time has gone on meanwhile.
    Resumed,
    /// A datagram came in for UDP port 546.
    Received {
        /// What it carries.
        payload: &'a [u8],
        /// Who sent it.
        from: Ipv6Addr,
    },
    /// Nobody else has this address.
    Unique(Ipv6Addr),
    /// Somebody else has this address.
    Duplicate(Ipv6Addr),
    /// Work by these options from now on.
    Configure(Options),
    /// Ask the server again now. After [`Event::Release`]: begin again.
    Renew,
    /// Give the lease back, and do nothing more.
    Release,
}

/// What the caller has to do. Nothing is told back: what is lost is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a datagram from the bond's address of the link, port 546, to [`super::SERVERS`], port 547.
    Multicast(Vec<u8>),
}

/// Why the client wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wakeup {
    /// An address or a prefix is over.
    Expiry,
    /// The lease is to be renewed (T1).
    Renewal,
    /// The lease is to be renewed with any server (T2).
    Rebinding,
    /// An unanswered message is to be sent again, or nothing more is expected of it.
    Retransmission,
    /// After a refusal, the client may begin again; or it is time to ask for addresses, or information, again.
    Restart,
}

/// The state of the client, by what RFC 8415 section 18.2 calls its exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateName {
    /// The lease was given back; nothing is done.
    Released,
    /// Nothing is under way: there is no link, or a refusal is waited out.
    Init,
    /// Looking for servers.
    Soliciting,
    /// A server's offer was taken; its word is awaited.
    Requesting,
    /// There is a lease; it is found out whether it is still good, or will be when there is a link.
    Confirming,
    /// There is a lease.
    Bound,
    /// There is a lease; its server is asked to prolong it.
    Renewing,
    /// There is a lease; any server is asked to prolong it.
    Rebinding,
    /// Somebody else has an address; its server is told.
    Declining,
    /// There are no addresses to be had; servers are asked what else they know.
    Informing,
    /// They have told.
    Informed,
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Released => "released",
            Self::Init => "init",
            Self::Soliciting => "soliciting",
            Self::Requesting => "requesting",
            Self::Confirming => "confirming",
            Self::Bound => "bound",
            Self::Renewing => "renewing",
            Self::Rebinding => "rebinding",
            Self::Declining => "declining",
            Self::Informing => "informing",
            Self::Informed => "informed",
        })
    }
}

/// The client as it is now; plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its state.
    pub state: StateName,
    /// The address that the bond has; of several, the newest.
    pub address: Option<Ipv6Addr>,
    /// The prefix that it has; of several, the newest.
    pub prefix: Option<Prefix>,
    /// The address of the server that lent it.
    pub server: Option<Ipv6Addr>,
    /// How long the address can still be used; `None` without one, and for one without an end.
    pub expires_in: Option<Duration>,
    /// How long the prefix can still be used.
    pub prefix_expires_in: Option<Duration>,
    /// How long until it is to be renewed, or asked for again.
    pub renews_in: Option<Duration>,
    /// How often the present question was sent.
    pub tries: u32,
    /// Time servers.
    pub ntp: Vec<Ipv6Addr>,
}

/// What a server lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// An address of the bond.
    Address(Ipv6Addr),
    /// A prefix.
    Prefix(Prefix),
}

/// What the world is told of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There is something new.
    Bound {
        /// What.
        what: Resource,
        /// Who lent it.
        server: Ipv6Addr,
        /// For how long; `None`: for ever.
        lifetime: Option<Duration>,
    },
    /// It runs on.
    Renewed {
        /// What.
        what: Resource,
        /// Who lends it now.
        server: Ipv6Addr,
        /// For how long; `None`: for ever.
        lifetime: Option<Duration>,
    },
    /// What there is is good where the bond is now.
    Confirmed {
        /// Who says so.
        server: Ipv6Addr,
    },
    /// It is no more.
    Lost {
        /// What.
        what: Resource,
        /// Why.
        cause: Cause,
    },
    /// There is no address to be had, but information.
    Informed {
        /// From whom.
        server: Ipv6Addr,
    },
    /// A server refused what was asked of it.
    Refusal {
        /// The server.
        server: Ipv6Addr,
        /// What it says.
        status: Status,
    },
    /// No server has answered for a while; they are asked on. Said once, until one answers.
    NoAnswer {
        /// What the client was doing.
        state: StateName,
    },
    /// What a server sent cannot be used. Said once, until something can.
    Refused {
        /// Who sent it.
        from: Ipv6Addr,
        /// What is wrong.
        why: Unacceptable,
    },
}

/// Why something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It is over, and nobody prolonged it.
    Expired,
    /// A server said that it is wrong here.
    NotOnLink(Ipv6Addr),
    /// A server took it back, or does not lend it any more.
    Withdrawn(Ipv6Addr),
    /// Somebody else has it, or another address of the same lease.
    Conflict,
    /// It was given back, or is not wanted any more.
    Released,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "address {address}"),
            Self::Prefix(prefix) => write!(f, "prefix {prefix}"),
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound { what, server, lifetime } => {
                write!(f, "{what} from {server}, {}", Span(*lifetime))
            }
            Self::Renewed { what, server, lifetime } => {
                write!(f, "{what} renewed by {server}, {}", Span(*lifetime))
            }
            Self::Confirmed { server } => write!(f, "still good: {server} says so"),
            Self::Lost { what, cause } => write!(f, "{what} lost: {cause}"),
            Self::Informed { server } => write!(f, "no addresses here, but information from {server}"),
            Self::Refusal { server, status } => write!(f, "{server} refuses: {status}"),
            Self::NoAnswer { state } => write!(f, "no DHCPv6 server answers ({state}); asking on"),
            Self::Refused { from, why } => write!(f, "message of {from} not usable: {why}"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("lifetime over"),
            Self::NotOnLink(server) => write!(f, "{server} says that it is wrong here"),
            Self::Withdrawn(server) => write!(f, "{server} lends it no more"),
            Self::Conflict => f.write_str("somebody else has it; asking for another"),
            Self::Released => f.write_str("given back"),
        }
    }
}

/// How long something runs.
struct Span(Option<Duration>);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(lifetime) => write!(f, "for {} s", lifetime.as_secs()),
            None => f.write_str("for ever"),
        }
    }
}
