//! Other managers of interfaces are told which are ours, as long as they are; and the real ones go by it.
//!
//! NetworkManager and systemd-networkd run in a guest kernel, with mounts and a bus of their own: no interface of this
//! machine is ever theirs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod adopted;
mod machine;
mod network_manager;
mod networkd;
#[path = "../support/mod.rs"]
mod support;
mod time;
mod told;
