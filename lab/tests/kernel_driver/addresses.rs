//! Addresses: an interface that is in use is taken over and given back, and what stands on the bond.

use std::net::IpAddr;

use hitless_lab::meter::End;
use hitless_lab::tcp::Stream;
use hitless_lab::{Daemon, Home, HomeOptions, Meter};

use crate::support::*;

#[test]
fn guest_addresses() {
    in_guest("addresses::guest_addresses", || {
        an_interface_in_use();
        what_stands_on_the_bond();
        large_frames();
    });
}

/// An interface with addresses, a default route and a TCP connection becomes a port, and is given back.
fn an_interface_in_use() {
    let home = home();
    let laptop = &home.laptop;
    home.use_plainly("eth0").unwrap();
    laptop.ip("route add default via 192.168.1.1 dev eth0 metric 50").unwrap();
    laptop.ip("-6 route add default via fd00:1::1 dev eth0").unwrap();
    let before = as_found(laptop, "eth0");
    let routes = |family: &str| {
        let shown = laptop.ip(&format!("{family} route show default")).unwrap();
        shown.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let (near, far) = home.ends(0);
    let stream = Stream::start(near, far).unwrap();
    stream.wait_progress(PATIENCE).unwrap();
    let bare = "[bond.bond0]\ndriver = \"kernel\"\nports = [\"eth0\", \"wlan0\"]\n";
    let mut daemon = Daemon::start_with_config(laptop, bare).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    stream.wait_progress(PATIENCE).unwrap();
    assert!(routes("-4").contains("via 192.168.1.1 dev bond0 metric 50"), "{}", routes("-4"));
    assert!(routes("-6").contains("via fd00:1::1 dev bond0"), "{}", routes("-6"));
    assert_eq!(as_found(laptop, "eth0")["addresses"].as_array().map(Vec::len), Some(0));
    wait_both_up(&daemon);
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    stream.wait_progress(PATIENCE).unwrap();
    daemon.kill9().unwrap();
    home.plug("eth0").unwrap();
    daemon.restart().unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    daemon.ask(&["down"]).unwrap();
    stream.wait_progress(PATIENCE).unwrap();
    assert_eq!(as_found(laptop, "eth0"), before);
    assert!(routes("-4").contains("via 192.168.1.1 dev eth0 metric 50"), "{}", routes("-4"));
    assert!(routes("-6").contains("via fd00:1::1 dev eth0"), "{}", routes("-6"));
    assert_eq!(stream.finish().broken, None);
}

/// A VLAN, and IPv6: they follow the active port.
fn what_stands_on_the_bond() {
    let home = home();
    let daemon = start(&home, &config(""));
    let hosts = [(&home.laptop, "bond0", 5), (&home.router, "lan0", 1)];
    for (host, below, n) in hosts {
        host.ip(&format!("link add link {below} name vlan7 type vlan id 7")).unwrap();
        host.ip(&format!("address add 10.7.0.{n}/24 dev vlan7")).unwrap();
        host.ip("link set vlan7 up").unwrap();
    }
    let end = |host, n: u8| End { host, address: IpAddr::from([10, 7, 0, n]) };
    let vlan = Meter::start(end(&home.laptop, 5), end(&home.router, 1), 200).unwrap();
    let (near, far) = home.ends6(0);
    let v6 = Meter::start(near, far, 200).unwrap();
    let flowing = || {
        vlan.wait_flowing(50, PATIENCE).unwrap();
        v6.wait_flowing(50, PATIENCE).unwrap();
    };
    flowing();
    for _ in 0..2 {
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        flowing();
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        flowing();
    }
    for meter in [vlan, v6] {
        assert_eq!(meter.finish().total().duplicated, 0);
    }
}

/// The bond's MTU is that of the configuration, also when it changes; ports get theirs back.
fn large_frames() {
    let home = Home::new(HomeOptions { mtu: Some(9000), ..HomeOptions::default() }).unwrap();
    let laptop = &home.laptop;
    let text = |mtu: u32| config("").replace("[bond.bond0.ip]", &format!("[bond.bond0.ip]\nmtu = {mtu}"));
    let daemon = start(&home, &text(9000));
    let mtus = || ["bond0", "eth0", "wlan0"].map(|name| link(laptop, name)["mtu"].as_u64().unwrap());
    assert_eq!(mtus(), [9000; 3]);
    let ping = || laptop.run(&["ping", "-c1", "-W2", "-Mdo", "-s8900", "192.168.1.1"]);
    ping().unwrap();
    reload(&daemon, &text(1400));
    assert_eq!(mtus(), [1400; 3]);
    assert!(ping().is_err());
    daemon.ask(&["down"]).unwrap();
    assert_eq!(link(laptop, "eth0")["mtu"], 9000);
    assert_eq!(link(laptop, "wlan0")["mtu"], 9000);
}
