//! The kernel driver on a kernel that has bonding: every test boots a guest kernel of its own, and runs there.
//!
//! What the daemon says is compared with what the kernel itself shows (`ip -details link`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod addresses;
mod adopt;
mod balance_rr;
mod dhcp;
mod dhcp6;
mod failback;
mod ipv6;
mod lead;
mod life;
mod macs;
mod options;
mod oracle;
mod ports;
mod standby;
mod support;
