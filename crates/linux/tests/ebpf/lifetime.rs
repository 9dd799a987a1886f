//! Processes come and go, frames keep flowing.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use aya::maps::{Array, MapData};
use aya::programs::loaded_programs;
use hitless_core::event::PortId;
use hitless_linux::ebpf::{Datapath, DatapathError};

use crate::net::{Net, within};
use crate::{assert_carries, bond, switch};

const CHILD: &str = "HITLESS_EBPF_TEST_CHILD";

fn adopt(net: &Net) -> Datapath {
    within(&net.laptop, || Datapath::adopt(net.bond())).unwrap().expect("a datapath to adopt")
}

/// Another process makes the datapath and says when it is done. It needs somebody to read what it says.
fn start_owner(net: &Net, ending: &str) -> (Child, impl Sized + use<>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifetime::in_the_other_process", "--nocapture"])
        .env(CHILD, format!("{} {} {ending}", net.laptop, net.home))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("the datapath is there"));
    assert!(ready, "the other process failed");
    (child, lines)
}

/// No test by itself: what the other process of the tests below runs.
#[test]
fn in_the_other_process() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let [laptop, home, ending] = <[&str; 3]>::try_from(told.split(' ').collect::<Vec<_>>()).unwrap();
    // Not dropped: the namespaces are the first process's.
    let net = std::mem::ManuallyDrop::new(Net { laptop: laptop.to_owned(), home: home.to_owned() });
    let _datapath = bond(&net);
    println!("the datapath is there");
    if ending == "killed" {
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
}

#[test]
fn survives_sigkill_and_is_adopted() {
    let net = Net::new();
    let (mut child, _reader) = start_owner(&net, "killed");
    assert_carries(&net);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_carries(&net);
    let mut datapath = adopt(&net);
    assert_eq!(datapath.table().unwrap().active(), Some(net.port(0)));
    assert!(datapath.is_attached(net.port(0)).unwrap() && datapath.is_attached(net.port(1)).unwrap());
    switch(&net, &mut datapath, Some(1));
    net.at_home("link set s0 down");
    assert_carries(&net);
}

#[test]
fn survives_a_normal_end_and_is_adopted() {
    let net = Net::new();
    let (mut child, _reader) = start_owner(&net, "ends");
    assert!(child.wait().unwrap().success());
    assert_carries(&net);
    drop(adopt(&net));
    assert_carries(&net);
}

#[test]
fn an_adopted_datapath_without_ports_takes_ports() {
    let net = Net::new();
    let mut first = bond(&net);
    for n in [0, 1] {
        first.detach_port(net.port(n)).unwrap();
        first.detach_port(net.port(n)).unwrap();
        assert!(!first.is_attached(net.port(n)).unwrap());
    }
    drop(first);
    let mut second = adopt(&net);
    for n in [0, 1] {
        second.attach_port(net.port(n)).unwrap();
        second.attach_port(net.port(n)).unwrap();
        assert!(second.is_attached(net.port(n)).unwrap());
    }
    switch(&net, &mut second, Some(1));
    assert_carries(&net);
}

#[test]
fn two_handles_never_write_over_the_table_in_force() {
    let net = Net::new();
    let mut first = bond(&net);
    let mut second = adopt(&net);
    for n in 0..20 {
        let (one, other) = if n % 3 == 0 { (&mut first, &second) } else { (&mut second, &first) };
        let before = other.version().unwrap();
        let table = switch(&net, one, Some(n % 2));
        assert_eq!(other.version().unwrap(), before + 1);
        assert_eq!(other.table().unwrap(), table);
    }
}

#[test]
fn nothing_to_adopt() {
    let net = Net::new();
    let found = |index| within(&net.laptop, || Datapath::adopt(index)).unwrap().is_some();
    assert!(!found(net.bond()));
    assert!(!found(net.index("p0")));
    assert!(!found(4_000_000));
    drop(bond(&net));
    assert!(found(net.bond()));
}

#[test]
fn no_such_interface() {
    let net = Net::new();
    let error = within(&net.laptop, || Datapath::create(4_000_000)).err().unwrap();
    assert!(matches!(error, DatapathError::Tc { ifindex: 4_000_000, .. }), "{error:?}");
    let mut datapath = bond(&net);
    let nowhere = PortId(4_000_000);
    assert!(datapath.attach_port(nowhere).is_err());
    assert!(!datapath.is_attached(nowhere).unwrap());
    datapath.detach_port(nowhere).unwrap();
}

#[test]
fn a_port_that_is_unplugged_from_the_machine() {
    let net = Net::new();
    let mut datapath = bond(&net);
    let gone = net.port(0);
    net.on_laptop("link del p0");
    assert!(!datapath.is_attached(gone).unwrap());
    datapath.detach_port(gone).unwrap();
    let rest = hitless_core::table::ForwardingTable::active_backup(Some(net.port(1)), [net.port(1)]);
    crate::program(&mut datapath, &rest);
    assert_carries(&net);
}

#[test]
fn a_datapath_of_another_layout_is_refused_and_replaced() {
    let net = Net::new();
    drop(bond(&net));
    // What a later version would have left.
    for program in loaded_programs().flatten().filter(|program| program.name_as_str() == Some("hitless")) {
        for id in program.map_ids().ok().flatten().unwrap_or_default() {
            let Ok(map) = MapData::from_id(id).and_then(aya::maps::Map::from_map_data) else { continue };
            let Ok(mut head) = Array::<MapData, [u8; 16]>::try_from(map) else { continue };
            let mut bytes = head.get(&0, 0).unwrap();
            let bond = u32::from_ne_bytes(*bytes.last_chunk().unwrap());
            if bond == net.bond() && owns(&net, program.id()) {
                bytes[8..12].copy_from_slice(&99u32.to_ne_bytes());
                head.set(0, bytes, 0).unwrap();
            }
        }
    }
    let error = within(&net.laptop, || Datapath::adopt(net.bond())).err().unwrap();
    assert!(matches!(error, DatapathError::Layout { found: 99, .. }), "{error:?}");
    assert!(error.to_string().contains("layout 99"), "{error}");
    drop(bond(&net));
    assert_carries(&net);
    drop(adopt(&net));
}

/// Other tests run at the same time, and their bonds may have the same index.
fn owns(net: &Net, program: u32) -> bool {
    net.tc("filter show dev bond0 egress").contains(&format!(" id {program} "))
}
