//! Wi-Fi: making stations join their networks, and keeping them there.
//!
//! Not responsible for what a bond makes of it: the machine hears of associations and decides.

pub mod iwd;
pub mod network;
pub mod pulse;
pub mod saved;
pub mod station;
pub mod supplicant;
