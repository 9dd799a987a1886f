//! wpa_supplicant: what is said to it, what it says, the sockets between, and its process.
//!
//! | module | what |
//! |---|---|
//! | [`text`] | how it writes octets as text |
//! | [`request`], [`reply`], [`event`] | its control protocol, as pure functions over bytes |
//! | [`settings`] | a network of the configuration, in its words |
//! | [`connection`] | Unix datagrams: requests with their replies, and what it says unasked |
//! | [`process`] | its one process for all our interfaces |
//! | [`backoff`] | how long to wait between attempts |
//!
//! Not responsible for when to say what: that is [`crate::wifi::station`].

pub mod backoff;
pub mod connection;
pub mod event;
pub mod process;
pub mod reply;
pub mod request;
pub mod settings;
pub mod text;
