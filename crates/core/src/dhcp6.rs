//! The DHCPv6 client of a bond: addresses, and prefixes where they are wanted, that stay when the bond's ports change.
//!
//! It is [`crate::dhcp`]'s sibling, and is driven in the same way: events and the time go in ([`Client::handle`]), actions
//! and notices come out, [`Client::lease`] and [`Client::information`] say what the bond is to have, and
//! [`Client::poll_timeout`] when to call again.
//!
//! Routes are none of its business: they come from routers ([RFC 4861]), as does the length of the network's prefix. What
//! somebody else might have already is found out by the kernel, which is asked to ([`Lease::untested`]) and says what it
//! has found ([`Event::Unique`], [`Event::Duplicate`]).
//!
//! RFC 8415 (DHCPv6), 3646 (name servers), 4075 and 5908 (time servers), 4704 (names of clients), 6355 (identities).
//!
//! [RFC 4861]: https://www.rfc-editor.org/rfc/rfc4861

mod client;
mod event;
mod lease;
mod message;
mod options;
mod reply;
mod timing;

pub use client::Client;
pub use event::{Action, Cause, Event, Notice, Options, Resource, Snapshot, StateName, Wakeup};
pub use lease::{Information, Kept, Lease, Lent, Prefix, Remembered};
pub use reply::{Status, Unacceptable};

/// The port of DHCPv6 clients (RFC 8415 section 7.2).
pub const CLIENT_PORT: u16 = 546;
/// The port of DHCPv6 servers and relays.
pub const SERVER_PORT: u16 = 547;
/// Where they all listen (`All_DHCP_Relay_Agents_and_Servers`, RFC 8415 section 7.1).
pub const SERVERS: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
