//! What the DHCP client of a bond needs of the machine: who we are, and what was lent before.
//!
//! The client itself is `hitless_core::dhcp`; the daemon drives it (`daemon/dhcp.rs`).

pub mod identity;
pub mod leases;
