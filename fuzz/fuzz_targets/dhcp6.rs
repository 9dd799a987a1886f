//! A DHCPv6 client among hostile servers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hitless_fuzz::dhcp6::run(bytes));
