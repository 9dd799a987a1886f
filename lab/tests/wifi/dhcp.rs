//! An address by DHCP that stays when the bond takes the hardware address of its radio, and that of its wire again: on both
//! drivers, from a server beside the access point.

#![allow(clippy::print_stdout, reason = "the figures, for whoever wants to see more than that it holds")]

use std::net::Ipv4Addr;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::held::Holding;
use hitless_lab::meter::End;
use hitless_lab::wifi::{AccessPoint, WifiHome};
use hitless_lab::{Daemon, Meter};

use crate::support::{
    PATIENCE, associations, by_passphrase, home_network, home_with, in_guest, mac, wait_active, wait_bond,
    wait_for, wait_ready, wait_settled, wifi,
};

#[test]
fn guest_address_stays() {
    in_guest("dhcp::guest_address_stays", || {
        let home = home_with(2);
        let access_point = home.access_point(home_network()).unwrap();
        home.home.switch.ip("address add 192.168.1.2/24 dev br0").unwrap();
        for driver in ["kernel", "ebpf"] {
            to_wifi_and_back(&home, &access_point, driver);
        }
    });
}

fn to_wifi_and_back(wifi: &WifiHome, access_point: &AccessPoint<'_>, driver: &str) {
    let (home, laptop) = (&wifi.home, &wifi.home.laptop);
    let options = ["--dhcp-range=192.168.1.50,192.168.1.90,1h", "--dhcp-option=3,192.168.1.1"];
    let server = Dnsmasq::start(&home.switch, "br0", &options).unwrap();
    let before = associations(wifi, access_point);
    let mut daemon = Daemon::start_with_config(laptop, &config(driver)).unwrap();
    wait_settled(&daemon, &["eth0", "wlan0"], wifi, access_point);
    let address = wait_address(&daemon);
    wait_for("the default route", || {
        laptop.ip("-4 route show default").unwrap().contains("via 192.168.1.1 dev bond0").then_some(())
    });
    let own = ["eth0", "wlan0"].map(|port| mac(laptop, port));
    assert_ne!(own[0], own[1]);

    let meter = Meter::start(End { host: laptop, address: address.into() }, home.ends(0).1, 200).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();
    let holding = Holding::watch(laptop, "bond0", address).unwrap();
    for _ in 0..2 {
        home.pull("eth0").unwrap();
        wait_active(&daemon, "wlan0");
        wait_for("the radio's address", || (mac(laptop, "bond0") == own[1]).then_some(()));
        meter.wait_flowing(50, PATIENCE).unwrap();
        home.plug("eth0").unwrap();
        wait_active(&daemon, "eth0");
        wait_for("the wire's address", || (mac(laptop, "bond0") == own[0]).then_some(()));
        meter.wait_flowing(50, PATIENCE).unwrap();
        wait_ready(&daemon, &["eth0", "wlan0"]);
    }
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
    wait_address(&daemon);
    let held = holding.finish().unwrap();
    println!("{driver}: {held}");
    assert!(held.is_unbroken(), "{driver}: {held:#?}");
    drop(meter);
    let leases = server.leases();
    assert_eq!(leases.lines().count(), 1, "{leases}");
    assert!(leases.contains(&format!(" {address} ")) && leases.contains(" ff:"), "{leases}");
    assert_eq!(server.count("DHCPDISCOVER"), 1, "{}", server.log());
    assert_eq!(associations(wifi, access_point), before + 1, "{}", access_point.log());
    daemon.ask(&["down"]).unwrap();
}

fn config(driver: &str) -> String {
    let bond = format!(
        "[bond.bond0]\ndriver = \"{driver}\"\nports = [\"eth0\", \"wlan0\"]\nfail-over-mac = \"active\"\n\
         [bond.bond0.ip]\ndhcp4 = true\ndetect-conflicts = false\n"
    );
    bond + &wifi("wlan0", &[&by_passphrase("home")])
}

/// The address that the server has given, and has said is good.
fn wait_address(daemon: &Daemon<'_>) -> Ipv4Addr {
    let bond = wait_bond(daemon, "an address", PATIENCE, |bond| bond["dhcp"]["state"] == "bound");
    bond["dhcp"]["address"].as_str().unwrap().split('/').next().unwrap().parse().unwrap()
}
