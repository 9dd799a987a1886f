//! What the DHCPv6 client does, told as scenarios: servers in virtual time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

mod acquisition;
mod confirming;
mod hostile;
mod packet;
#[path = "../support/random.rs"]
#[allow(dead_code, reason = "others use the rest")]
mod random;
mod renewal;
mod server;
mod simulation;
mod stateless;
mod world;
