//! The layout of the maps, the mirror of `bpf/hitless.h`: structures, numbers, sizes.
//!
//! What they mean is described there; turning a forwarding table into them and back is not done here but in `image`.

use aya::Pod;

/// The number of this layout (`HL_LAYOUT`).
pub(super) const LAYOUT: u32 = 1;
/// Slots for versions of the table (`HL_SLOTS`).
pub(super) const SLOTS: u64 = 8;
/// Places for ports in the receive part (`HL_RX_PLACES`).
pub(super) const RX_PLACES: usize = 64;
/// The index of the bond's own counter (`HL_COUNTER_BOND`).
pub(super) const COUNTER_BOND: u32 = 32;

/// `HL_MAX_PORTS`
pub(super) const MAX_PORTS: usize = 32;
/// `HL_MAX_SEQUENCE`
pub(super) const MAX_SEQUENCE: usize = 256;

/// `enum hl_transmit`
pub(super) mod transmit {
    pub(in super::super) const NOTHING: u8 = 0;
    pub(in super::super) const BUCKETS: u8 = 1;
    pub(in super::super) const ROUND_ROBIN: u8 = 2;
    pub(in super::super) const BROADCAST: u8 = 3;
}

/// `enum hl_hash`
pub(super) mod hash {
    pub(in super::super) const LAYER2: u8 = 0;
    pub(in super::super) const LAYER34: u8 = 1;
}

/// `HL_RECEIVE_*`
pub(super) mod receive {
    pub(in super::super) const OWN: u8 = 1;
    pub(in super::super) const OTHER: u8 = 2;
    pub(in super::super) const READDRESS: u8 = 4;
}

/// `struct hl_tx`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tx {
    pub(super) ifindex: u32,
    pub(super) counter: u32,
}

/// `struct hl_rx`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rx {
    pub(super) ifindex: u32,
    pub(super) receive: u8,
    pub(super) counter: u8,
    pub(super) mac: [u8; 6],
}

/// `struct hl_table`
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) version: u64,
    pub(super) layout: u32,
    pub(super) bond: u32,
    pub(super) transmit: u8,
    pub(super) hash: u8,
    pub(super) length: u16,
    pub(super) bond_mac: [u8; 6],
    pub(super) ports: u16,
    pub(super) reserved: u32,
    pub(super) tx: [Tx; MAX_PORTS],
    pub(super) sequence: [u8; MAX_SEQUENCE],
    pub(super) rx: [Rx; RX_PLACES],
}

/// `struct hl_head`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: u64,
    pub(super) layout: u32,
    pub(super) bond: u32,
}

/// `struct hl_counter`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) dropped: u64,
    pub(super) control: u64,
}

/// `struct hl_standby`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standby {
    pub(super) ifindex: u32,
    pub(super) mac: [u8; 6],
    pub(super) reserved: u16,
}

const _: () = assert!(size_of::<Tx>() == 8);
const _: () = assert!(size_of::<Rx>() == 12);
const _: () = assert!(size_of::<Table>() == 1312);
const _: () = assert!(size_of::<Head>() == 16);
const _: () = assert!(size_of::<Counter>() == 32);
const _: () = assert!(size_of::<Standby>() == 12);
const _: () = assert!(MAX_PORTS == COUNTER_BOND as usize);
const _: () = assert!(MAX_PORTS == hitless_core::table::MAX_PORTS);
const _: () = assert!(MAX_SEQUENCE == hitless_core::table::MAX_BUCKETS);

// SAFETY: `repr(C)`, integers and arrays of such structures only (any bytes are a value), without padding.
unsafe impl Pod for Table {}
// SAFETY: `repr(C)`, integers only, without padding.
unsafe impl Pod for Head {}
// SAFETY: `repr(C)`, integers only, without padding.
unsafe impl Pod for Counter {}
// SAFETY: `repr(C)`, integers only, without padding.
unsafe impl Pod for Standby {}

/// Which slot of `hl_tables` a version is in.
#[allow(clippy::cast_possible_truncation, reason = "the remainder is less than SLOTS")]
pub(super) fn slot(version: u64) -> u32 {
    (version % SLOTS) as u32
}
