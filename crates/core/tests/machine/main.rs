//! What a bond does, told as scenarios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

mod addresses;
mod attachment;
mod balance_rr;
mod configuration;
mod driver;
mod election;
mod hostile;
mod probes;
mod proof;
#[path = "../support/mod.rs"]
mod support;
mod wifi;
