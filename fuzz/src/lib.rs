//! What the fuzz targets do, apart from the fuzzer: tests do the same with random bytes.

pub mod dhcp;
pub mod dhcp6;
pub mod machine;
pub mod wire;
