//! Any datagram as what wpa_supplicant says.
#![no_main]

use hitless::wifi::supplicant::{event, reply, text};

libfuzzer_sys::fuzz_target!(|datagram: &[u8]| {
    drop(event::parse(datagram));
    drop(reply::status(datagram));
    drop(reply::networks(datagram));
    drop(reply::access_points(datagram));
    drop(reply::interfaces(datagram));
    drop(reply::value(datagram));
    drop(reply::ok(datagram, "X"));
    drop(reply::network_id(datagram, "X"));
    drop(text::ssid(datagram));
    text::quoted(datagram);
});
