//! The DHCPv4 client of a bond: an address that stays when the bond's ports change.
//!
//! Like the bond's machine, it is driven by events and the time ([`Client::handle`]); the caller then drains
//! [`Client::poll_action`] and [`Client::poll_notice`], gives the bond what [`Client::lease`] says, and sleeps until
//! [`Client::poll_timeout`].
//!
//! Two things differ from most clients. A host with a bond changes its way into the network often and the network itself
//! seldom, so an address is kept while it is found out whether it is still good: only a server's refusal, or silence of
//! both servers and the gateway, gives it up. And what a server says is taken for what it is, bytes from a stranger:
//! the one way from them to a [`Lease`] is `dhcp/reply.rs`.
//!
//! RFC 2131 and 2132 (DHCP), 3396 (long options), 3442 (routes), 4361 and 6842 (client identifiers), 4436 (DNAv4),
//! 5227 (address conflicts).

mod client;
mod event;
mod identity;
mod lease;
mod message;
pub(crate) mod options;
mod reply;
pub(crate) mod timing;

pub use client::Client;
pub use event::{Action, Cause, Confirmation, Event, Notice, Response, Snapshot, StateName, Wakeup};
pub(crate) use identity::LONGEST_HOSTNAME;
pub use identity::{BadDuid, ClientId, Duid, Options};
pub use lease::{Lease, Lifetime, Parameters, Remembered, Route};
pub use reply::Unacceptable;
