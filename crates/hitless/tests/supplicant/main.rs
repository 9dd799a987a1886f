//! wpa_supplicant: its protocol by what a real one said, and a station against one that only pretends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod fake;
mod hostile;
mod process;
mod protocol;
mod secrets;
mod station;
