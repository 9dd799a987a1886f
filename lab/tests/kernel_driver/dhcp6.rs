//! An address by DHCPv6 on Linux bonding, where the bond's hardware address changes with the active port.

use std::sync::atomic::{AtomicBool, Ordering};

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::wait::{Look, until};
use hitless_lab::{Daemon, Home, Namespace};
use serde_json::Value;

use crate::support::*;

#[test]
fn guest_an_address_by_dhcpv6_stays() {
    in_guest("dhcp6::guest_an_address_by_dhcpv6_stays", || {
        it_stays_when_the_hardware_address_does_not();
    });
}

/// The address, if there is one.
fn address(host: &Namespace) -> Option<String> {
    let shown = host.ip("-json -6 address show dev bond0 scope global").ok()?;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    Some(shown[0]["addr_info"].as_array()?.iter().find_map(|held| held["local"].as_str())?.to_owned())
}

fn wait_bound(daemon: &Daemon<'_>) {
    daemon
        .wait_bond("bond0", "DHCPv6 to be bound", PATIENCE, |bond| bond["dhcp6"]["state"] == "bound")
        .unwrap();
}

/// The address and a way out are there whenever anyone looks, and the server has lent one address.
fn it_stays_when_the_hardware_address_does_not() {
    let home = Home::new(hitless_lab::HomeOptions::default()).unwrap();
    // Neighbours that say that they are no routers lose their routes.
    home.router.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
    let server =
        Dnsmasq::start(&home.router, "lan0", &["--dhcp-range=fd00:1::100,fd00:1::1ff,64,1h", "--enable-ra"])
            .unwrap();
    let config = "[bond.bond0]\ndriver = \"kernel\"\nports = [\"eth0\", \"wlan0\"]\nfail-over-mac = \"active\"\n\
         [bond.bond0.ip]\ndhcp6 = true\naccept-ra = true\ndetect-conflicts = false\n";
    let daemon = Daemon::start_with_config(&home.laptop, config).unwrap();
    wait_both_up(&daemon);
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_bound(&daemon);
    let given = until("an address", PATIENCE, || {
        Ok(address(&home.laptop).map_or_else(|| Look::No("none".to_owned()), Look::Yes))
    });
    let given = given.unwrap();
    until("a way out", PATIENCE, || {
        let routes = home.laptop.ip("-6 route show default")?;
        Ok(if routes.contains("dev bond0") { Look::Yes(()) } else { Look::No(routes) })
    })
    .unwrap();
    let before = mac(&home.laptop, "bond0");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(address(&home.laptop).as_deref(), Some(given.as_str()), "look {looks}");
                let routes = home.laptop.ip("-6 route show default").unwrap();
                assert!(routes.contains("dev bond0"), "look {looks}: {routes}");
                looks += 1;
            }
            looks
        });
        for (port, other) in [("eth0", "wlan0"), ("wlan0", "eth0")] {
            home.pull(port).unwrap();
            daemon.wait_active("bond0", other, PATIENCE).unwrap();
            wait_bound(&daemon);
            home.laptop.run(&["ping", "-c1", "-W5", "fd00:1::1"]).unwrap();
            home.plug(port).unwrap();
            wait_both_up(&daemon);
        }
        over.store(true, Ordering::Relaxed);
        assert!(looks.join().unwrap() > 0);
    });
    assert_eq!(mac(&home.laptop, "bond0"), before, "eth0 is active again");
    // Of IPv6, the server's own identity is there, too.
    let leases = server.leases();
    assert_eq!(leases.lines().filter(|line| line.contains(&given)).count(), 1, "{leases}");
    assert_eq!(leases.lines().filter(|line| !line.starts_with("duid")).count(), 1, "{leases}");
}
