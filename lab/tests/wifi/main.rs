//! Real 802.11 between hostapd and wpa_supplicant: every test boots a guest kernel of its own, and runs there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod adopt;
mod balance_rr;
mod bond;
mod dhcp;
mod enterprise;
mod iwd;
mod join;
mod journal;
mod kernel;
mod laboratory;
mod late;
mod loss;
mod radios;
mod secrets;
mod segment;
mod support;
