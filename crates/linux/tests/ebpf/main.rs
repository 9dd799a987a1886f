//! The eBPF datapath in network namespaces. Needs root.
//!
//! Each test has two namespaces of its own (see `net`), and its bond is between the laptop's `p0` and `p1`.

#![allow(unsafe_code, reason = "packet sockets with auxiliary data, for which no library is at hand")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "tests")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]
#![allow(unreachable_pub, reason = "tests")]

mod lifetime;
mod net;
mod others;
mod policy;
mod speed;
mod standby;

use std::collections::BTreeMap;

use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_core::table::ForwardingTable;
use hitless_linux::ebpf::Datapath;

use net::{BOND_MAC, Net, within};

/// A bond with both ports attached and `p0` active.
fn bond(net: &Net) -> Datapath {
    let mut datapath = within(&net.laptop, || Datapath::create(net.bond())).unwrap();
    for n in [0, 1] {
        datapath.attach_port(net.port(n)).unwrap();
    }
    switch(net, &mut datapath, Some(0));
    datapath
}

/// Makes a port active, or none.
fn switch(net: &Net, datapath: &mut Datapath, active: Option<u32>) -> ForwardingTable {
    let table = ForwardingTable::active_backup(active.map(|n| net.port(n)), [net.port(0), net.port(1)]);
    program(datapath, &table);
    table
}

/// Puts a table in force, for ports that have the bond's address.
fn program(datapath: &mut Datapath, table: &ForwardingTable) {
    datapath.program(table, BOND_MAC, &BTreeMap::new()).unwrap();
}

/// Addresses that ports have of their own.
fn own_macs(net: &Net) -> BTreeMap<PortId, MacAddr> {
    BTreeMap::from([0, 1].map(|n| (net.port(n), MacAddr([2, 0, 0x5e, 0, 1, n as u8]))))
}

/// Asserts that a datagram gets from the laptop home and back.
fn assert_carries(net: &Net) {
    let (laptop, home) = net.datagrams();
    let mut buffer = [0; 16];
    laptop.send(b"there").unwrap();
    let length = home.recv(&mut buffer).expect("a datagram from the laptop");
    assert_eq!(&buffer[..length], b"there");
    home.send(b"back").unwrap();
    let length = laptop.recv(&mut buffer).expect("a datagram from home");
    assert_eq!(&buffer[..length], b"back");
}
