//! The IPv6 addresses that the kernel makes for a bond, on Linux bonding, where the bond's hardware address changes with
//! the active port.

use std::net::Ipv6Addr;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::wait::{Look, until};
use hitless_lab::{Daemon, Home, Namespace};
use serde_json::Value;

use crate::support::*;

#[test]
fn guest_the_bonds_own_addresses_stay() {
    in_guest("ipv6::guest_the_bonds_own_addresses_stay", they_stay_when_the_hardware_address_does_not);
}

/// Its IPv6 addresses: one of the advertised prefix and a link-local one, in this order.
fn wait_addresses(host: &Namespace) -> Vec<Ipv6Addr> {
    let addresses = until("two IPv6 addresses", PATIENCE, || {
        let shown = host.ip("-json -6 address show dev bond0")?;
        let parsed: Value = serde_json::from_str(&shown).unwrap();
        let entries = parsed[0]["addr_info"].as_array().cloned().unwrap_or_default();
        let mut addresses: Vec<Ipv6Addr> =
            entries.iter().map(|entry| entry["local"].as_str().unwrap().parse().unwrap()).collect();
        addresses.sort();
        Ok(if addresses.len() >= 2 { Look::Yes(addresses) } else { Look::No(shown) })
    });
    addresses.unwrap()
}

fn they_stay_when_the_hardware_address_does_not() {
    let home: Home = home();
    let ranges = ["--dhcp-range=192.168.1.50,192.168.1.90,1h", "--dhcp-range=fd00:1::,ra-only,64,1h"];
    let _router = Dnsmasq::start(&home.router, "lan0", &["--enable-ra", ranges[0], ranges[1]]).unwrap();
    let config = "[bond.bond0]\ndriver = \"kernel\"\nports = [\"eth0\", \"wlan0\"]\nfail-over-mac = \"active\"\n\
                  [bond.bond0.ip]\naccept-ra = true\n";
    let daemon = Daemon::start_with_config(&home.laptop, config).unwrap();
    wait_both_up(&daemon);
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let own = wait_addresses(&home.laptop);
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(
        !own.iter().any(|address| address.octets()[11..13] == [0xff, 0xfe]),
        "of no hardware address: {own:?}"
    );
    let before = mac(&home.laptop, "bond0");

    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    assert_ne!(mac(&home.laptop, "bond0"), before);
    home.laptop.run(&["ping", "-6", "-c1", "-W5", "fd00:1::1"]).unwrap();
    assert_eq!(wait_addresses(&home.laptop), own);

    // Made anew, of the other port.
    daemon.ask(&["down"]).unwrap();
    daemon.ask(&["reload"]).unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    assert_eq!(wait_addresses(&home.laptop), own);
}
