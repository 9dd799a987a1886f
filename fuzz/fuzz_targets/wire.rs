//! Bytes off a cable.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hitless_fuzz::wire::run(bytes));
