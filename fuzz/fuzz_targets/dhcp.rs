//! A DHCP client among hostile servers and neighbours.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hitless_fuzz::dhcp::run(bytes));
