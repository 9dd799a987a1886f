//! The words that the daemon and its clients exchange: the Varlink interface `io.hitless`.
//!
//! Responsible for the interface file, a Rust type for every message in it ([`types`], [`trial`], [`wifi`], [`method`], [`error`]), the
//! framing (`frame`) and a small blocking [`client`]. Not responsible for serving: the daemon does that, under limits
//! of its own. Nothing here knows the daemon's insides, so any client can be built on this crate alone.

#![forbid(unsafe_code)]

pub mod client;
pub mod error;
pub mod frame;
pub mod method;
pub mod trial;
pub mod types;
pub mod wifi;

pub use client::{Client, ClientError};
pub use error::{Error, ServiceError};
pub use method::{Call, Method};
pub use trial::{Adopted, Adoption, Confirmed, NewBond, Session, Verdict};
pub use types::{
    Bond, Cause, Dhcp, Dhcp6, Dns, Driver, Duplex, Failover, Kind, LinkState, MonitorReply, Notice, Port,
    Status,
};
pub use wifi::{
    AccessPoint, AccessPoints, Eap, EapMethod, Joined, Manager, Network, Networks, NewNetwork, SavedBy,
    Secret, Security, Station, Stations, Wifi,
};

/// The interface's name.
pub const INTERFACE: &str = "io.hitless";

/// The interface file, as `org.varlink.service.GetInterfaceDescription` returns it.
pub const DESCRIPTION: &str = include_str!("../io.hitless.varlink");

/// Where the daemon listens unless it is told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/hitless/io.hitless.sock";
