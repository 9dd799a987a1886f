//! Everything of hitless that touches Linux.
//!
//! Mechanism only: what to do with it is decided in `hitless-core` and carried out by the drivers in `hitless`.
//! This is the only crate with unsafe code.

#![allow(unsafe_code, reason = "the one crate that talks to the kernel where no library does")]

pub mod ebpf;
