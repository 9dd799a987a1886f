//! Everything of hitless that touches Linux.
//!
//! Mechanism only: what to do with it is decided in `hitless-core` and carried out by the drivers in `hitless`.
//! This is the only crate with unsafe code.

#![allow(unsafe_code, reason = "the one crate that talks to the kernel where no library does")]

pub mod address;
pub mod alarm;
pub mod bond;
pub mod carrier;
pub mod dhcp;
pub mod dhcp6;
pub mod ebpf;
pub mod error;
pub mod link;
pub mod neighbour;
pub mod netlink;
pub mod packet;
pub mod privilege;
pub mod rfkill;
pub mod route;
pub mod suspend;
pub mod sysctl;
pub mod takeover;
pub mod tcp;
pub mod wireless;
