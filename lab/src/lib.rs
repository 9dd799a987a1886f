//! The laboratory: everything that a claim about hitless is tested with for real.
//!
//! It makes networks out of network namespaces ([`netns`], [`topology`]), runs the daemon in them ([`daemon`]),
//! measures traffic at the receiver ([`meter`], [`tcp`]) and boots guest kernels ([`guest`]) that have the bonding driver
//! ([`uml`]) or, slower, Wi-Fi as well ([`qemu`], [`wifi`]). `make demo`, `make bench`, `make bench-wifi` and the
//! integration tests stand on it. It is not part of the product, and it never changes anything in the machine's own
//! network namespace.
//!
//! ```text
//!   laptop                      home                     router
//!   ┌─────────────┐             ┌──────────────────┐     ┌───────────────────────┐
//!   │       eth0 ─┼─────────────┼─ swp0            │     │                       │
//!   │ bond0       │             │       br0  uplink0─────┼─ lan0  192.168.1.1/24 │
//!   │      wlan0 ─┼─────────────┼─ swp1            │     │        fd00:1::1/64   │
//!   └─────────────┘             └──────────────────┘     └───────────────────────┘
//! ```

pub mod clients;
pub mod daemon;
pub mod dhcp;
pub mod error;
pub mod guest;
pub mod held;
pub mod interrupt;
pub mod kea;
pub mod meter;
pub mod netns;
pub mod paced;
pub mod packages;
mod process;
pub mod qemu;
pub mod running;
pub mod samples;
mod scratch;
pub mod ssh;
pub mod table;
pub mod tcp;
pub mod topology;
pub mod uml;
pub mod verdict;
pub mod wait;
pub mod wifi;

pub use daemon::Daemon;
pub use error::{LabError, Result};
pub use meter::Meter;
pub use netns::Namespace;
pub use topology::{Home, HomeOptions};
