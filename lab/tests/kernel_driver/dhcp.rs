//! An address by DHCP on Linux bonding, where the bond's hardware address changes with the active port.

use std::net::Ipv4Addr;

use hitless_lab::clients::{Client, Program};
use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::held::Holding;
use hitless_lab::wait::{Look, until};
use hitless_lab::{Daemon, Home, Namespace};
use serde_json::Value;

use crate::support::*;

#[test]
fn guest_an_address_by_dhcp_stays() {
    in_guest("dhcp::guest_an_address_by_dhcp_stays", it_stays_when_the_hardware_address_does_not);
}

#[test]
fn guest_an_address_of_another_client_stays() {
    in_guest("dhcp::guest_an_address_of_another_client_stays", || {
        it_stays_with_another(Program::Udhcpc, "-x 0x3d:ff000000010003000102005e005301");
        it_stays_with_another(Program::Dhcpcd, "allowinterfaces bond0\nduid\ninterface bond0\niaid 1");
    });
}

/// The address, as soon as there is one, and a way out.
fn wait_address(host: &Namespace) -> Ipv4Addr {
    let address = until("an address and a way out", PATIENCE, || {
        let shown = host.ip("-json -4 address show dev bond0")?;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let routes = host.ip("-4 route show default")?;
        let address = shown[0]["addr_info"][0]["local"].as_str().filter(|_| routes.contains("dev bond0"));
        Ok(address
            .map_or_else(|| Look::No(format!("{shown}, {routes}")), |found| Look::Yes(found.to_owned())))
    });
    address.unwrap().parse().unwrap()
}

/// Each cable is pulled and plugged in turn.
fn each_is_pulled(home: &Home, daemon: &Daemon<'_>, on_the_other: impl Fn()) {
    for (port, other) in [("eth0", "wlan0"), ("wlan0", "eth0")] {
        home.pull(port).unwrap();
        daemon.wait_active("bond0", other, PATIENCE).unwrap();
        // The first frames may come before the gateway knows of the other hardware address.
        home.laptop.run(&["ping", "-c1", "-w20", "192.168.1.1"]).unwrap();
        on_the_other();
        home.plug(port).unwrap();
        wait_both_up(daemon);
    }
}

fn wait_bound(daemon: &Daemon<'_>) {
    daemon.wait_bond("bond0", "DHCP to be bound", PATIENCE, |bond| bond["dhcp"]["state"] == "bound").unwrap();
}

/// The address and a way out are there whenever anyone looks, and the server has lent one address.
fn it_stays_when_the_hardware_address_does_not() {
    let home = Home::new(hitless_lab::HomeOptions::default()).unwrap();
    let server =
        Dnsmasq::start(&home.router, "lan0", &["--dhcp-range=192.168.1.50,192.168.1.90,1h"]).unwrap();
    let config = "[bond.bond0]\ndriver = \"kernel\"\nports = [\"eth0\", \"wlan0\"]\nfail-over-mac = \"active\"\n\
                  [bond.bond0.ip]\ndhcp4 = true\ndetect-conflicts = false\n";
    let daemon = Daemon::start_with_config(&home.laptop, config).unwrap();
    wait_both_up(&daemon);
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_bound(&daemon);
    let given = wait_address(&home.laptop);
    let before = mac(&home.laptop, "bond0");
    let holding = Holding::watch(&home.laptop, "bond0", given).unwrap();
    each_is_pulled(&home, &daemon, || wait_bound(&daemon));
    let held = holding.finish().unwrap();
    assert!(held.is_unbroken(), "{held:#?}");
    assert_eq!(mac(&home.laptop, "bond0"), before, "eth0 is active again");
    assert_eq!(server.leases().lines().count(), 1, "{}", server.leases());
}

/// The same where another program asks, which renews what it has on the other port.
fn it_stays_with_another(program: Program, options: &str) {
    let home = Home::new(hitless_lab::HomeOptions::default()).unwrap();
    let server =
        Dnsmasq::start(&home.router, "lan0", &["--dhcp-range=192.168.1.50,192.168.1.90,1h"]).unwrap();
    let config = "[bond.bond0]\ndriver = \"kernel\"\nports = [\"eth0\", \"wlan0\"]\nfail-over-mac = \"active\"\n\
                  [bond.bond0.ip]\ndhcp4 = \"external\"\n";
    let daemon = Daemon::start_with_config(&home.laptop, config).unwrap();
    wait_both_up(&daemon);
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let client = Client::start(&home.laptop, program, "bond0", options).unwrap();
    let given = wait_address(&home.laptop);
    let holding = Holding::watch(&home.laptop, "bond0", given).unwrap();
    each_is_pulled(&home, &daemon, || {
        let before = client.leases();
        client.renew().unwrap();
        let renewed = until("the lease to be renewed", PATIENCE, || {
            Ok(if client.leases() > before { Look::Yes(()) } else { Look::No(client.log()) })
        });
        renewed.unwrap();
    });
    let held = holding.finish().unwrap();
    assert!(held.is_unbroken(), "{}: {held:#?}\n{}", program.name(), client.log());
    assert_eq!(server.leases().lines().count(), 1, "{}", server.leases());
    daemon.ask(&["down"]).unwrap();
}
