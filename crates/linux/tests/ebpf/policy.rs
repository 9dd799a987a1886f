//! What is sent where, and what is accepted where.

use std::collections::BTreeSet;
use std::time::Duration;

use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_core::table::{FlowHash, ForwardingTable, Receive, TablePort, Transmit};

use crate::net::{BOND_MAC, EXPERIMENT, Net, PEER_MAC, Wire, frame};
use crate::{assert_carries, bond, own_macs, program, switch};

const GROUP: MacAddr = MacAddr([0x01, 0, 0x5e, 0, 0, 0xfb]);

/// By this policy from both ports; all of them hear everything.
fn table(net: &Net, transmit: impl Fn(Vec<PortId>) -> Transmit) -> ForwardingTable {
    let ports = [net.port(0), net.port(1)];
    let hear = ports.map(|port| TablePort { port, receive: Receive::All });
    ForwardingTable { transmit: transmit(ports.to_vec()), ports: hear.to_vec() }
}

/// How many frames with this mark reach each of the two far ends.
fn arrived(far: &[Wire; 2], mark: &str) -> [usize; 2] {
    [0, 1].map(|n| far[n].all(mark, Duration::from_millis(200), usize::MAX).len())
}

fn far_ends(net: &Net) -> [Wire; 2] {
    ["s0", "s1"].map(|name| Wire::open(&net.home, name))
}

#[test]
fn the_active_port_carries_and_a_switch_moves_it() {
    let net = Net::new();
    let mut datapath = bond(&net);
    for n in [0, 1, 0] {
        let table = switch(&net, &mut datapath, Some(n));
        assert_eq!(datapath.table().unwrap(), table);
        let before = datapath.counters().unwrap();
        assert_carries(&net);
        let after = datapath.counters().unwrap();
        let sent = |port| after.ports[&net.port(port)].sent - before.ports[&net.port(port)].sent;
        assert!(sent(n) > 0, "{before:?} {after:?}");
        assert_eq!(sent(1 - n), 0, "{before:?} {after:?}");
    }
}

#[test]
fn without_a_port_frames_are_dropped_and_counted() {
    let net = Net::new();
    let mut datapath = bond(&net);
    switch(&net, &mut datapath, None);
    let [near, park] = ["bond0", "park0"].map(|name| Wire::open(&net.laptop, name));
    let before = datapath.counters().unwrap().no_port;
    let lost = frame(PEER_MAC, BOND_MAC, EXPERIMENT, "lost");
    assert_eq!(
        near.try_send(&lost),
        Err(nix::errno::Errno::ENOBUFS),
        "the kernel tells the sender of the drop"
    );
    assert_eq!(arrived(&far_ends(&net), "lost"), [0, 0]);
    assert!(park.hears("lost").is_none());
    assert!(datapath.counters().unwrap().no_port > before);
}

#[test]
fn a_standby_port_hears_what_is_meant_for_the_bond_and_no_multicast() {
    let net = Net::new();
    let mut datapath = bond(&net);
    let far = far_ends(&net);
    let near = Wire::open(&net.laptop, "bond0");
    for (destination, port, heard) in [
        (BOND_MAC, 0, true),
        (BOND_MAC, 1, true),
        (PEER_MAC, 0, true),
        (PEER_MAC, 1, false),
        (GROUP, 0, true),
        (GROUP, 1, false),
        (MacAddr::BROADCAST, 0, true),
        (MacAddr::BROADCAST, 1, false),
    ] {
        let mark = format!("{destination} {port}");
        far[port].send(&frame(destination, PEER_MAC, EXPERIMENT, &mark));
        assert_eq!(near.all(&mark, Duration::from_millis(200), 2).len(), usize::from(heard), "{mark}");
    }
    assert!(datapath.counters().unwrap().ports[&net.port(1)].refused >= 2);

    let ports = [Receive::Nothing, Receive::All];
    let ports = [0, 1].map(|n| TablePort { port: net.port(n), receive: ports[n as usize] });
    program(&mut datapath, &ForwardingTable { transmit: Transmit::Nothing, ports: ports.to_vec() });
    for (port, heard) in [(0, false), (1, true)] {
        let mark = format!("nothing {port}");
        far[port].send(&frame(BOND_MAC, PEER_MAC, EXPERIMENT, &mark));
        assert_eq!(near.hears(&mark).is_some(), heard, "{mark}");
    }
}

#[test]
fn control_frames_stay_with_the_port() {
    let net = Net::new();
    let datapath = bond(&net);
    let far = far_ends(&net);
    let near = Wire::open(&net.laptop, "bond0");
    let before = datapath.counters().unwrap();
    let reserved = |last| MacAddr([0x01, 0x80, 0xc2, 0, 0, last]);
    for (n, (destination, ethertype, control)) in [
        (reserved(0x02), 0x8809, true),
        (reserved(0x0e), 0x88cc, true),
        (reserved(0x0f), EXPERIMENT, true),
        (BOND_MAC, 0x888e, true),
        (reserved(0x10), EXPERIMENT, false),
        (MacAddr([0x01, 0x80, 0xc2, 0, 1, 0x02]), EXPERIMENT, false),
    ]
    .into_iter()
    .enumerate()
    {
        let mark = format!("control {n}");
        let port = Wire::open(&net.laptop, "p0");
        far[0].send(&frame(destination, PEER_MAC, ethertype, &mark));
        assert!(port.hears(&mark).is_some(), "{destination} did not reach the port");
        assert_eq!(near.hears(&mark).is_none(), control, "{destination} on the bond");
    }
    let after = datapath.counters().unwrap();
    assert_eq!(after.ports[&net.port(0)].control - before.ports[&net.port(0)].control, 4);
}

#[test]
fn what_was_under_way_to_a_ports_own_address_arrives() {
    let net = Net::new();
    let mut datapath = bond(&net);
    let macs = own_macs(&net);
    let active = ForwardingTable::active_backup(Some(net.port(0)), [net.port(0), net.port(1)]);
    datapath.program(&active, BOND_MAC, &macs).unwrap();
    let far = far_ends(&net);
    let near = Wire::open(&net.laptop, "bond0");
    for n in [0, 1] {
        let mark = format!("under way {n}");
        far[n].send(&frame(macs[&net.port(n as u32)], PEER_MAC, EXPERIMENT, &mark));
        assert_eq!(near.hears(&mark).expect("the frame").destination(), BOND_MAC);
        // A frame for another station, flooded by the switch, is handed up once, and as it is.
        let mark = format!("flooded {n}");
        far[n].send(&frame(PEER_MAC, PEER_MAC, EXPERIMENT, &mark));
        assert_eq!(near.hears(&mark).map(|heard| heard.destination()), (n == 0).then_some(PEER_MAC));
    }
}

#[test]
fn broadcast_sends_by_every_port() {
    let net = Net::new();
    let mut datapath = bond(&net);
    program(&mut datapath, &table(&net, Transmit::Broadcast));
    let far = far_ends(&net);
    Wire::open(&net.laptop, "bond0").send(&frame(PEER_MAC, BOND_MAC, EXPERIMENT, "to all"));
    assert_eq!(arrived(&far, "to all"), [1, 1]);
}

#[test]
fn round_robin_takes_turns() {
    let net = Net::new();
    let mut datapath = bond(&net);
    program(&mut datapath, &table(&net, Transmit::RoundRobin));
    let far = far_ends(&net);
    let near = Wire::open(&net.laptop, "bond0");
    // Turns are counted on each CPU by itself.
    let mut one = nix::sched::CpuSet::new();
    one.set(0).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &one).unwrap();
    for _ in 0..100 {
        near.send(&frame(PEER_MAC, BOND_MAC, EXPERIMENT, "in turn"));
    }
    // Something else of the bond's (ARP) may have taken a turn.
    let [a, b] = arrived(&far, "in turn");
    assert!(a + b == 100 && a.abs_diff(b) <= 4, "{a} {b}");
}

#[test]
fn layer2_buckets_are_those_of_the_documentation() {
    let net = Net::new();
    let mut datapath = bond(&net);
    program(&mut datapath, &table(&net, |ports| Transmit::Buckets(FlowHash::Layer2, ports)));
    let far = far_ends(&net);
    let near = Wire::open(&net.laptop, "bond0");
    for last in 0..8 {
        let mark = format!("peer {last}");
        near.send(&frame(MacAddr([2, 0, 0x5e, 0, 9, last]), BOND_MAC, EXPERIMENT, &mark));
        // Documentation/networking/bonding.rst: source MAC[5] XOR destination MAC[5] XOR packet type ID.
        let bucket = usize::from((u16::from(last) ^ u16::from(BOND_MAC.0[5]) ^ EXPERIMENT) % 2);
        assert_eq!(arrived(&far, &mark)[bucket], 1, "{mark}");
    }
}

#[test]
fn layer34_keeps_a_flow_together_and_spreads_flows() {
    let net = Net::new();
    let mut datapath = bond(&net);
    program(&mut datapath, &table(&net, |ports| Transmit::Buckets(FlowHash::Layer34, ports)));
    let far = far_ends(&net);
    let mut used = BTreeSet::new();
    for flow in 0..24 {
        let (laptop, _home) = net.datagrams();
        let mark = format!("flow {flow}.");
        for _ in 0..3 {
            laptop.send(mark.as_bytes()).unwrap();
        }
        let counts = [0, 1].map(|n| far[n].all(&mark, Duration::from_millis(20), 3).len());
        assert!(counts == [3, 0] || counts == [0, 3], "{mark} {counts:?}");
        used.insert(counts);
    }
    assert_eq!(used.len(), 2, "all flows by one port");
}

/// Priority 3, VLAN 10.
const TAG: u16 = 0x600a;

fn tagged(destination: MacAddr, source: MacAddr, mark: &str) -> Vec<u8> {
    let mut frame = frame(destination, source, EXPERIMENT, mark);
    frame.splice(12..12, [0x8100, TAG].map(u16::to_be_bytes).concat());
    frame
}

#[test]
fn a_tagged_frame_keeps_its_tag() {
    let net = Net::new();
    let _datapath = bond(&net);
    let far = far_ends(&net);
    let near = Wire::open(&net.laptop, "bond0");
    near.send(&tagged(PEER_MAC, BOND_MAC, "out"));
    assert_eq!(far[0].hears("out").expect("the frame").tag, Some(TAG));
    for n in [0, 1] {
        let mark = format!("in by {n}");
        far[n].send(&tagged(BOND_MAC, PEER_MAC, &mark));
        let heard = near.hears(&mark).expect("the frame");
        assert_eq!((heard.tag, &heard.frame[12..14]), (Some(TAG), &EXPERIMENT.to_be_bytes()[..]));
    }
}

/// A frame that a bridge passes on has its tag beside it, as one from a VLAN interface does. The bond is a port of that
/// bridge, as on a host of virtual machines; so this is also about frames for other stations.
#[test]
fn a_tag_beside_the_frame_passes_too() {
    let net = Net::new();
    let _datapath = bond(&net);
    net.on_laptop("link add guests type bridge forward_delay 0");
    net.on_laptop("link add g0 type veth peer name g1");
    for command in ["bond0 master guests", "g0 master guests up", "g1 up", "guests up"] {
        net.on_laptop(&format!("link set {command}"));
    }
    let far = far_ends(&net);
    let guest = Wire::open(&net.laptop, "g1");
    let mac = MacAddr([2, 0, 0x5e, 0, 7, 7]);
    // A bridge takes up to a second to notice that its ports are up.
    let heard = (0..20).find_map(|_| {
        guest.send(&tagged(PEER_MAC, mac, "from the guest"));
        far[0].all("from the guest", Duration::from_millis(200), 1).pop()
    });
    assert_eq!(heard.expect("the frame").tag, Some(TAG));
    far[0].send(&tagged(mac, PEER_MAC, "to the guest"));
    assert_eq!(guest.hears("to the guest").expect("the frame").tag, Some(TAG));
}
