//! Unicast on standby ports of the kernel's own bond.
//!
//! There may be no bonding here, and the program does not look for it: any interface does as the bond. That it leaves a
//! frame to bonding is seen by the port's own stack, which comes after it, having the frame.

use std::time::Duration;

use hitless_core::mac::MacAddr;
use hitless_linux::ebpf::{Datapath, StandbyUnicast};

use crate::assert_carries;
use crate::net::{BOND_MAC, EXPERIMENT, Net, PEER_MAC, Wire, frame, within};

const EAPOL: u16 = 0x888e;

/// The program on both ports.
fn standby(net: &Net) -> StandbyUnicast {
    let standby = load(net, BOND_MAC);
    for n in [0, 1] {
        standby.attach_port(net.port(n)).unwrap();
    }
    standby
}

fn load(net: &Net, mac: MacAddr) -> StandbyUnicast {
    within(&net.laptop, || StandbyUnicast::load(net.bond(), mac)).unwrap()
}

fn clear(net: &Net, bond: u32, n: u32) {
    within(&net.laptop, || StandbyUnicast::clear_port(bond, net.port(n))).unwrap();
}

/// Sends a frame to a port, and says how often it came to the bond, and to the port's own stack.
fn arrived(net: &Net, n: usize, destination: MacAddr, ethertype: u16) -> (usize, usize) {
    let mark = format!("{destination} {n} {ethertype}");
    let [bond, port] =
        ["bond0".to_owned(), format!("p{n}")].map(|name| Wire::open_for(&net.laptop, &name, ethertype));
    Wire::open(&net.home, &format!("s{n}")).send(&frame(destination, PEER_MAC, ethertype, &mark));
    let count = |wire: &Wire| wire.all(&mark, Duration::from_millis(150), usize::MAX).len();
    (count(&bond), count(&port))
}

const TO_BOND: (usize, usize) = (1, 0);
const TO_PORT: (usize, usize) = (0, 1);

#[test]
fn unicast_to_the_bond_is_handed_up_and_nothing_else() {
    let net = Net::new();
    let _standby = standby(&net);
    for port in [0, 1] {
        for (destination, ethertype, expected) in [
            (BOND_MAC, EXPERIMENT, TO_BOND),
            (BOND_MAC, 0x0806, TO_BOND),
            (BOND_MAC, EAPOL, TO_PORT),
            (PEER_MAC, EXPERIMENT, TO_PORT),
            (MacAddr([0x01, 0, 0x5e, 0, 0, 0xfb]), EXPERIMENT, TO_PORT),
            (MacAddr([0x33, 0x33, 0, 0, 0, 1]), EXPERIMENT, TO_PORT),
            (MacAddr::BROADCAST, EXPERIMENT, TO_PORT),
            (MacAddr([0x01, 0x80, 0xc2, 0, 0, 0x02]), 0x8809, TO_PORT),
            (MacAddr([0x01, 0x80, 0xc2, 0, 0, 0x0e]), 0x88cc, TO_PORT),
        ] {
            let found = arrived(&net, port, destination, ethertype);
            assert_eq!(found, expected, "{destination} {ethertype:#x} on p{port}");
        }
    }
}

/// Proof of a path is heard on the port that it is about, also what is then handed up.
#[test]
fn whoever_listens_to_all_of_a_port_hears_it_too() {
    let net = Net::new();
    let _standby = standby(&net);
    let near = Wire::open(&net.laptop, "p1");
    Wire::open(&net.home, "s1").send(&frame(BOND_MAC, PEER_MAC, 0x0806, "an answer"));
    assert!(near.hears("an answer").is_some());
}

#[test]
fn a_vlan_tag_stays() {
    let net = Net::new();
    let _standby = standby(&net);
    let near = Wire::open(&net.laptop, "bond0");
    let mut tagged = frame(BOND_MAC, PEER_MAC, EXPERIMENT, "tagged");
    tagged.splice(12..12, [0x81, 0x00, 0x60, 0x05]);
    Wire::open(&net.home, "s1").send(&tagged);
    assert_eq!(near.hears("tagged").expect("it is handed up").tag, Some(0x6005));
}

#[test]
fn another_address_of_the_bond() {
    let net = Net::new();
    let mut standby = standby(&net);
    let other = MacAddr([2, 0, 0x5e, 0, 0, 2]);
    net.on_laptop(&format!("link set bond0 address {other}"));
    standby.set_bond_mac(other).unwrap();
    assert_eq!(arrived(&net, 1, other, EXPERIMENT), TO_BOND);
    assert_eq!(arrived(&net, 1, BOND_MAC, EXPERIMENT), TO_PORT);
    // One that is not known yet.
    standby.set_bond_mac(MacAddr::default()).unwrap();
    assert_eq!(arrived(&net, 1, other, EXPERIMENT), TO_PORT);
}

/// Someone removes the bond while there is no daemon, and uses the port by itself.
#[test]
fn without_a_bond_the_port_works_by_itself() {
    let net = Net::new();
    drop(standby(&net));
    let port = Wire::open_for(&net.laptop, "p1", EXPERIMENT);
    let far = Wire::open(&net.home, "s1");
    net.on_laptop("link del bond0");
    far.send(&frame(BOND_MAC, PEER_MAC, EXPERIMENT, "after"));
    assert!(port.hears("after").is_some());
}

#[test]
fn the_next_process_replaces_it_and_takes_it_off() {
    let net = Net::new();
    let before = net.tc("qdisc show dev p1");
    let first = standby(&net);
    let second = load(&net, BOND_MAC);
    assert!(!second.is_attached(net.port(1)).unwrap());
    second.attach_port(net.port(1)).unwrap();
    second.attach_port(net.port(1)).unwrap();
    assert!(second.is_attached(net.port(1)).unwrap() && !first.is_attached(net.port(1)).unwrap());
    drop((first, second));
    assert_eq!(arrived(&net, 1, BOND_MAC, EXPERIMENT), TO_BOND);
    clear(&net, net.bond() + 1, 1);
    assert_eq!(arrived(&net, 1, BOND_MAC, EXPERIMENT), TO_BOND, "it was for another bond");
    for _ in 0..2 {
        clear(&net, net.bond(), 1);
        assert_eq!(net.tc("qdisc show dev p1"), before);
    }
    assert_eq!(arrived(&net, 1, BOND_MAC, EXPERIMENT), TO_PORT);
}

/// A bond changes from the kernel's driver to ours without having been taken down.
#[test]
fn the_datapath_takes_its_place_and_is_not_taken_off_by_it() {
    let net = Net::new();
    drop(standby(&net));
    let _datapath: Datapath = crate::bond(&net);
    assert_carries(&net);
    clear(&net, net.bond(), 0);
    assert_carries(&net);
}

#[test]
fn no_such_port() {
    let net = Net::new();
    let standby = standby(&net);
    let nowhere = hitless_core::event::PortId(4_000_000);
    assert!(standby.attach_port(nowhere).is_err());
    within(&net.laptop, || StandbyUnicast::clear_port(net.bond(), nowhere)).unwrap();
}
