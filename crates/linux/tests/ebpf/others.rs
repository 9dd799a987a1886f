//! Other people's filters on the same interfaces, and other bonds.

use hitless_linux::ebpf::{Datapath, DatapathError, clear_orphan};

use crate::net::{Net, within};
use crate::{assert_carries, bond};

#[test]
fn the_interface_is_left_as_it_was_found() {
    let net = Net::new();
    let before = net.tc("qdisc show dev p0");
    let mut datapath = bond(&net);
    assert!(net.tc("qdisc show dev p0").contains("clsact"));
    datapath.detach_port(net.port(0)).unwrap();
    assert_eq!(net.tc("qdisc show dev p0"), before);
}

#[test]
fn a_filter_that_was_there_before_stays() {
    let net = Net::new();
    net.tc("qdisc add dev p0 clsact");
    // A classic BPF program that matches nothing.
    net.tc_words(&[
        "filter",
        "add",
        "dev",
        "p0",
        "ingress",
        "prio",
        "5",
        "protocol",
        "ip",
        "bpf",
        "bytecode",
        "1,6 0 0 0",
    ]);
    let before = net.tc("filter show dev p0 ingress");
    let mut datapath = bond(&net);
    assert_carries(&net);
    datapath.detach_port(net.port(0)).unwrap();
    assert_eq!(net.tc("filter show dev p0 ingress"), before);
    assert!(net.tc("qdisc show dev p0").contains("clsact"));

    // The qdisc alone, without a filter, is somebody's too.
    net.tc("filter del dev p0 ingress prio 5");
    datapath.attach_port(net.port(0)).unwrap();
    datapath.detach_port(net.port(0)).unwrap();
    assert!(net.tc("qdisc show dev p0").contains("clsact"));
}

#[test]
fn a_filter_that_came_later_stays() {
    let net = Net::new();
    drop(bond(&net));
    net.tc_words(&["filter", "add", "dev", "p0", "egress", "protocol", "ip", "bpf", "bytecode", "1,6 0 0 0"]);
    let before = net.tc("filter show dev p0 egress");
    // By another handle, which does not remember who added the qdisc.
    let mut datapath = within(&net.laptop, || Datapath::adopt(net.bond())).unwrap().unwrap();
    datapath.detach_port(net.port(0)).unwrap();
    assert_eq!(net.tc("filter show dev p0 egress"), before);
    datapath.detach_port(net.port(1)).unwrap();
    assert!(!net.tc("qdisc show dev p1").contains("clsact"));
}

#[test]
fn a_foreign_filter_after_ours_sees_control_frames() {
    use crate::net::{PEER_MAC, Wire, frame};
    let net = Net::new();
    let _datapath = bond(&net);
    net.tc("filter add dev p0 ingress protocol all u32 match u32 0 0 action mirred egress mirror dev park0");
    let far = Wire::open(&net.home, "s0");
    let near = Wire::open(&net.laptop, "bond0");
    let control = hitless_core::mac::MacAddr([0x01, 0x80, 0xc2, 0, 0, 2]);
    far.send(&frame(control, PEER_MAC, 0x8809, "mirrored"));
    assert!(near.hears("mirrored").is_some());
}

#[test]
fn a_port_of_another_bond_is_refused_until_that_bond_is_gone() {
    let net = Net::new();
    let mut first = bond(&net);
    net.on_laptop("link add bond1 type veth peer name park1");
    net.on_laptop("link set bond1 up");
    let second = net.index("bond1");
    let mut other = within(&net.laptop, || Datapath::create(second)).unwrap();
    let error = other.attach_port(net.port(0)).unwrap_err();
    assert!(matches!(error, DatapathError::PortInUse { bond, .. } if bond == net.bond()), "{error:?}");
    let text = within(&net.laptop, || error.to_string());
    assert!(text.contains("p0") && text.contains("bond0"), "{text}");
    other.detach_port(net.port(0)).unwrap();
    assert!(first.is_attached(net.port(0)).unwrap());
    assert_carries(&net);

    first.detach_port(net.port(0)).unwrap();
    other.attach_port(net.port(0)).unwrap();
    other.detach_port(net.port(0)).unwrap();

    let left = net.port(1);
    net.on_laptop("link del bond0");
    other.attach_port(left).unwrap();
    assert!(other.is_attached(left).unwrap());
    within(&net.laptop, || clear_orphan(left)).unwrap();
    assert!(other.is_attached(left).unwrap(), "it belongs to one that is there");
    net.on_laptop("link del bond1");
    within(&net.laptop, || clear_orphan(left)).unwrap();
    assert!(!other.is_attached(left).unwrap());
}
