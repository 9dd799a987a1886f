//! The parts of the one binary: configuration, command line, API server, and the daemon.

#![forbid(unsafe_code)]

pub mod adoption;
pub mod causes;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dbus;
pub mod dhcp;
pub mod driver;
mod file;
mod host_name;
pub mod ledger;
mod machine_id;
pub mod managers;
pub mod resolver;
pub mod server;
pub mod time_servers;
pub mod verify;
pub mod wifi;
