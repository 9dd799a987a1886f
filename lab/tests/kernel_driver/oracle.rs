//! The kernel as oracle.
