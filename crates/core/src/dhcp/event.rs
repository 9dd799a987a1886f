//! What goes into the client and what comes out of it.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::identity::Options;
use super::reply::Unacceptable;
use crate::mac::MacAddr;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The bond can carry frames, or its hardware address has changed.
    Up {
        /// Its present address.
        mac: MacAddr,
    },
    /// The bond cannot carry frames any more.
    Down,
    /// Another port carries the traffic now; it leads to the same network, as far as known.
    FailedOver,
    /// The bond may be in another network: a port has joined another SSID, or the gateway is another one.
    NetworkChanged,
    /// The machine has slept, and may be anywhere. The time has gone on meanwhile.
    Resumed,
    /// A datagram came in for UDP port 68.
    Received {
        /// What it carries.
        payload: &'a [u8],
        /// Who sent it.
        from: Ipv4Addr,
    },
    /// An ARP frame was heard on the bond, from the Ethernet header on.
    Frame(&'a [u8]),
    /// These addresses are our own ports': what they say is no conflict.
    Own(Vec<MacAddr>),
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
    /// Send a datagram from 0.0.0.0, port 68, to 255.255.255.255, port 67, whether the bond has an address or not.
    Broadcast(Vec<u8>),
    /// Send a datagram from port 68 to port 67. After [`Event::Release`] the address is needed for it: send before it is
    /// taken away.
    Unicast {
        /// The address that is lent.
        from: Ipv4Addr,
        /// The server.
        to: Ipv4Addr,
        /// What the datagram carries.
        payload: Vec<u8>,
    },
    /// Send this frame on the bond.
    Frame(Vec<u8>),
}

/// Why the client wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wakeup {
    /// The lease is over.
    Expiry,
    /// The lease is to be renewed (T1).
    Renewal,
    /// The lease is to be renewed with any server (T2).
    Rebinding,
    /// An unanswered message is to be sent again.
    Retransmission,
    /// The offer in hand need not wait for a better one any longer.
    Offer,
    /// After a refusal, the client may begin again.
    Restart,
    /// The next ARP probe is due, or the silence after the last was long enough.
    Probe,
    /// The address is to be announced again.
    Announcement,
    /// The gateway is to be asked.
    Gateway,
    /// The address was not confirmed in time.
    Patience,
}

/// The state of the client (RFC 2131 figure 5, and two that RFC 5227 and RFC 4436 add).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateName {
    /// The lease was given back; nothing is done.
    Released,
    /// Nothing is under way: there is no link, or a refusal is waited out.
    Init,
    /// Looking for servers.
    Selecting,
    /// A server's offer was taken; its word is awaited.
    Requesting,
    /// An address was lent; it is found out whether somebody has it already.
    Probing,
    /// There is an address; it is found out whether it is still good (INIT-REBOOT, DNAv4), or will be when there is a link.
    Checking,
    /// There is an address.
    Bound,
    /// There is an address; its server is asked to prolong it.
    Renewing,
    /// There is an address; any server is asked to prolong it.
    Rebinding,
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Released => "released",
            Self::Init => "init",
            Self::Selecting => "selecting",
            Self::Requesting => "requesting",
            Self::Probing => "probing",
            Self::Checking => "checking",
            Self::Bound => "bound",
            Self::Renewing => "renewing",
            Self::Rebinding => "rebinding",
        })
    }
}

/// The client as it is now; plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its state.
    pub state: StateName,
    /// The address that the bond has, or is about to have.
    pub address: Option<Ipv4Addr>,
    /// The server that lent it, or offers it.
    pub server: Option<Ipv4Addr>,
    /// How long the lease still runs; `None` without a lease, and for one without an end.
    pub expires_in: Option<Duration>,
    /// How long until it is to be renewed, or asked for again.
    pub renews_in: Option<Duration>,
    /// How often the present question was sent.
    pub tries: u32,
    /// Time servers that go with the address.
    pub ntp: Vec<Ipv4Addr>,
    /// What the server calls us.
    pub hostname: Option<String>,
}

/// What the world is told of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// There is a new address.
    Bound {
        /// The address.
        address: Ipv4Addr,
        /// The length of its network's prefix.
        prefix_len: u8,
        /// Who lent it.
        server: Ipv4Addr,
        /// For how long; `None`: for ever.
        lifetime: Option<Duration>,
    },
    /// The lease runs on, by the word of its server.
    Renewed {
        /// The address.
        address: Ipv4Addr,
        /// For how long; `None`: for ever.
        lifetime: Option<Duration>,
    },
    /// The lease runs on, by the word of any server that answered.
    Rebound {
        /// The address.
        address: Ipv4Addr,
        /// Who lends it now.
        server: Ipv4Addr,
        /// For how long; `None`: for ever.
        lifetime: Option<Duration>,
    },
    /// The address is good where the bond is now.
    Confirmed {
        /// The address.
        address: Ipv4Addr,
        /// Who says so.
        by: Confirmation,
    },
    /// The address is no more.
    Lost {
        /// The address.
        address: Ipv4Addr,
        /// Why.
        cause: Cause,
    },
    /// Somebody else uses the address.
    Conflict {
        /// The address.
        address: Ipv4Addr,
        /// Who.
        by: MacAddr,
        /// What was done about it.
        response: Response,
    },
    /// A server refused what was asked of it.
    Nak {
        /// The server.
        server: Ipv4Addr,
        /// What was asked for.
        address: Ipv4Addr,
    },
    /// No server has answered for a while; they are asked on. Said once, until one answers.
    NoAnswer {
        /// What the client was doing.
        state: StateName,
    },
    /// What a server sent cannot be used. Said once, until something can.
    Refused {
        /// Who sent it.
        from: Ipv4Addr,
        /// What is wrong.
        why: Unacceptable,
    },
    /// The server named no network, so it was taken from the class of the address (RFC 950).
    NoMask {
        /// The address.
        address: Ipv4Addr,
        /// What was taken.
        prefix_len: u8,
    },
}

/// By whom an address was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// A server lends it anew.
    Server(Ipv4Addr),
    /// The gateway is who it was.
    Gateway {
        /// Its address.
        address: Ipv4Addr,
        /// Its hardware address.
        mac: MacAddr,
    },
}

/// Why an address was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The lease is over, and nobody prolonged it.
    Expired,
    /// A server said that it is wrong here.
    Nak(Ipv4Addr),
    /// Neither a server nor the gateway it was lent with is here.
    Elsewhere,
    /// Somebody else has it.
    Conflict(MacAddr),
    /// It was given back.
    Released,
}

/// What was done about a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The address was announced as ours (RFC 5227 section 2.4).
    Defended,
    /// The server was told, and another address is asked for.
    Declined,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound { address, prefix_len, server, lifetime } => {
                write!(f, "address {address}/{prefix_len} from {server}, {}", Span(*lifetime))
            }
            Self::Renewed { address, lifetime } => write!(f, "{address} renewed, {}", Span(*lifetime)),
            Self::Rebound { address, server, lifetime } => {
                write!(f, "{address} renewed by {server}, {}", Span(*lifetime))
            }
            Self::Confirmed { address, by } => write!(f, "{address} is still good: {by}"),
            Self::Lost { address, cause } => write!(f, "{address} lost: {cause}"),
            Self::Conflict { address, by, response: Response::Defended } => {
                write!(f, "{by} uses {address}, too; told that it is ours")
            }
            Self::Conflict { address, by, response: Response::Declined } => {
                write!(f, "{by} uses {address}, too; asking for another address")
            }
            Self::Nak { server, address } => write!(f, "{server} refuses {address}"),
            Self::NoAnswer { state } => write!(f, "no DHCP server answers ({state}); asking on"),
            Self::Refused { from, why } => write!(f, "message of {from} not usable: {why}"),
            Self::NoMask { address, prefix_len } => {
                write!(f, "the server gives no netmask for {address}; by its class, it is /{prefix_len}")
            }
        }
    }
}

impl fmt::Display for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => write!(f, "{server} says so"),
            Self::Gateway { address, mac } => write!(f, "gateway {address} is {mac}, as before"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("lease expired"),
            Self::Nak(server) => write!(f, "refused by {server}"),
            Self::Elsewhere => f.write_str("neither its gateway nor a server answers here"),
            Self::Conflict(by) => write!(f, "used by {by}, too"),
            Self::Released => f.write_str("given back"),
        }
    }
}

/// How long a lease runs.
struct Span(Option<Duration>);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(lifetime) => write!(f, "for {} s", lifetime.as_secs()),
            None => f.write_str("for ever"),
        }
    }
}
