//! The fuzz targets of the directory `fuzz`, given random bytes: without a fuzzer they find less, but they find it on
//! every run of the tests.
#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc, unreachable_pub, reason = "tests")]

#[path = "../../../fuzz/src/dhcp.rs"]
mod dhcp;
#[path = "../../../fuzz/src/dhcp6.rs"]
mod dhcp6;
#[path = "../../../fuzz/src/machine.rs"]
mod machine;
#[path = "../../../fuzz/src/wire.rs"]
mod wire;

use hitless_core::mac::MacAddr;
use proptest::prelude::*;

/// A frame that is one, with some octets changed.
fn damaged_frame() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((0usize..90, any::<u8>()), 0..4);
    (any::<[u8; 4]>(), any::<bool>(), any::<bool>(), damage).prop_map(|(address, v6, question, damage)| {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let [a, b, c, d] = address.map(u16::from);
        let address = if v6 { [0x2001, 0xdb8, 0, 0, a, b, c, d].into() } else { address.into() };
        let mut frame = match question {
            true => hitless_core::wire::probe(mac, mac, address),
            false => hitless_core::wire::announcement(mac, address),
        };
        for (at, octet) in damage {
            if let Some(place) = frame.get_mut(at) {
                *place = octet;
            }
        }
        frame
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_off_a_cable(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        wire::run(&bytes);
    }

    #[test]
    fn damaged_frames_off_a_cable(frame in damaged_frame()) {
        wire::run(&frame);
    }

    #[test]
    fn any_dhcp_server_and_any_neighbour(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        dhcp::run(&bytes);
    }

    #[test]
    fn any_dhcpv6_server(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        dhcp6::run(&bytes);
    }

    #[test]
    fn any_events_in_any_order(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        machine::run(&bytes);
    }
}
