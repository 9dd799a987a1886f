//! The part of hitless that decides.
//!
//! Pure state machines: events and the time go in, actions and notices come out. There is no clock, socket, file,
//! thread or randomness here, and nothing that assumes an operating system, so everything can be tested in virtual
//! time. Start reading at [`machine`].

#![forbid(unsafe_code)]

mod choice;
pub mod config;
pub mod datagram;
pub mod dhcp;
pub mod dhcp6;
pub mod event;
mod goal;
mod link;
pub mod mac;
pub mod machine;
mod path;
mod proof;
mod radio;
pub mod table;
pub mod time;
pub mod wifi;
pub mod wire;
