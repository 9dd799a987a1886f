//! An address by DHCP from a real server: got at once, kept whatever happens, given back in the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::held::Holding;
use hitless_lab::{Daemon, Home, Namespace};
use serde_json::Value;
use support::*;

const RANGE: &str = "--dhcp-range=192.168.1.50,192.168.1.90,1h";

/// bond0 with an address by DHCP, asked for with these further lines.
fn by_dhcp(options: &str, ip: &str) -> String {
    format!(
        "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n{options}\n[bond.bond0.ip]\ndhcp4 = true\n{ip}\n"
    )
}

/// As above, without the seconds that it takes to find out whether somebody else has the address.
fn at_once() -> String {
    by_dhcp("", "detect-conflicts = false")
}

/// The IPv4 address of an interface, if it has one.
fn address(host: &Namespace, interface: &str) -> Option<String> {
    let shown = host.ip(&format!("-json -4 address show dev {interface}")).ok()?;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let addresses = shown[0]["addr_info"].as_array()?;
    assert!(addresses.len() <= 1, "{shown:#}");
    Some(format!("{}/{}", addresses.first()?["local"].as_str()?, addresses[0]["prefixlen"]))
}

fn wait_address(home: &Home) -> String {
    wait_for("bond0 to have an address", || address(&home.laptop, "bond0"))
}

fn wait_state(daemon: &Daemon<'_>, state: &str) -> Value {
    let status = daemon
        .wait_bond("bond0", &format!("DHCP to be {state}"), PATIENCE, |bond| bond["dhcp"]["state"] == state);
    status.unwrap()["dhcp"].clone()
}

/// The bond has this address and a way out at every moment while something happens.
fn throughout(home: &Home, expected: &str, happens: impl FnOnce()) {
    let address = expected.split('/').next().unwrap().parse().unwrap();
    let holding = Holding::watch(&home.laptop, "bond0", address).unwrap();
    happens();
    let held = holding.finish().unwrap();
    assert!(held.is_unbroken(), "{held:#?}");
}

#[test]
fn it_stays_through_everything_and_goes_in_the_end() {
    let home = home();
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    let server = Dnsmasq::start(
        &home.router,
        "lan0",
        &[
            RANGE,
            "--dhcp-option=6,192.168.1.1,9.9.9.9",
            "--dhcp-option=15,home.arpa",
            "--dhcp-option=26,1400",
        ],
    )
    .unwrap();
    let mut daemon = Daemon::start_with_config(&home.laptop, &at_once()).unwrap();
    let given = wait_address(&home);
    assert!(given.starts_with("192.168.1.") && given.ends_with("/24"), "{given}");
    let dhcp = wait_state(&daemon, "bound");
    assert_eq!(
        (dhcp["address"].as_str(), dhcp["server"].as_str()),
        (given.split('/').next(), Some("192.168.1.1"))
    );
    assert!(dhcp["expires_in_s"].as_u64().is_some_and(|left| (3500..=3600).contains(&left)), "{dhcp}");
    wait_printed(&home.laptop, "ip route show default", |routes| {
        routes.contains("default via 192.168.1.1 dev bond0 proto dhcp")
    });
    wait_printed(&home.laptop, "ip link show dev bond0", |link| link.contains("mtu 1400"));
    let status = daemon.ask(&["status"]).unwrap();
    assert!(status.contains("dhcp bound, 192.168.1."), "{status}");
    wait_for("the name servers", || {
        let known = daemon.read("/etc/resolv.conf").unwrap();
        let there =
            known.contains("nameserver 192.168.1.1\nnameserver 9.9.9.9") && known.contains("home.arpa");
        there.then_some(())
    });
    daemon
        .wait_bond("bond0", "name servers to be known", PATIENCE, |bond| {
            bond["dns"]["via"] == "/etc/resolv.conf"
        })
        .unwrap();
    assert_eq!(std::fs::read_to_string("/etc/resolv.conf").unwrap(), own, "the machine's own is left alone");
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let asked = server.count("DHCPDISCOVER");

    throughout(&home, &given, || {
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        // The server is asked whether the address is still good.
        let before = server.count("DHCPACK");
        wait_for("the server's word", || (server.count("DHCPACK") > before || before > 1).then_some(()));
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        daemon.kill9().unwrap();
        daemon.restart().unwrap();
        wait_state(&daemon, "bound");
        daemon.ask(&["reload"]).unwrap();
    });
    assert_eq!(server.count("DHCPDISCOVER"), asked, "{}", server.log());

    daemon.write_config(&at_once().replace("dhcp4 = true\ndetect-conflicts = false", "")).unwrap();
    daemon.ask(&["reload"]).unwrap();
    wait_for("the address to be gone", || address(&home.laptop, "bond0").is_none().then_some(()));
    wait_for("the server to know", || (server.count("DHCPRELEASE") == 1).then_some(()));
    assert!(daemon.bond("bond0").unwrap()["dhcp"].is_null());
    wait_for("the name servers to be as before", || {
        (daemon.read("/etc/resolv.conf").unwrap() == own).then_some(())
    });
}

#[test]
fn it_stays_when_the_hardware_address_does_not() {
    let home = home();
    let _server = Dnsmasq::start(&home.router, "lan0", &[RANGE]).unwrap();
    let config = by_dhcp("fail-over-mac = \"active\"", "detect-conflicts = false");
    let daemon = Daemon::start_with_config(&home.laptop, &config).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let given = wait_address(&home);
    wait_state(&daemon, "bound");
    wait_printed(&home.laptop, "ip route show default", |routes| routes.contains("dev bond0"));
    let mac = || daemon.bond("bond0").unwrap()["mac"].clone();
    let before = mac();
    throughout(&home, &given, || {
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        wait_for("another hardware address", || (mac() != before).then_some(()));
        wait_state(&daemon, "bound");
        home.laptop.run(&["ping", "-c1", "-W5", "192.168.1.1"]).unwrap();
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_state(&daemon, "bound");
    });
}

#[test]
fn an_address_that_somebody_has_is_declined() {
    let home = home();
    // Only two, and somebody has taken the first by hand.
    let range = "--dhcp-range=192.168.1.50,192.168.1.51,1h";
    home.switch.ip("address add 192.168.1.50/24 dev br0").unwrap();
    home.switch.ip("address add 192.168.1.51/24 dev br0").unwrap();
    let server = Dnsmasq::start(&home.router, "lan0", &[range]).unwrap();
    let daemon = Daemon::start_with_config(&home.laptop, &by_dhcp("", "")).unwrap();
    wait_for("an address to be declined", || (server.count("DHCPDECLINE") > 0).then_some(()));
    assert_eq!(address(&home.laptop, "bond0"), None);
    assert!(daemon.log().contains("asking for another address"), "{}", daemon.log());
}

#[test]
fn another_network_gives_another_address() {
    let home = home();
    let server = Dnsmasq::start(&home.router, "lan0", &[RANGE]).unwrap();
    let daemon = Daemon::start_with_config(&home.laptop, &at_once()).unwrap();
    let given = wait_address(&home);
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_state(&daemon, "bound");
    drop(server);
    home.router.ip("address flush dev lan0").unwrap();
    home.router.ip("address add 192.168.77.1/24 dev lan0").unwrap();
    let other =
        Dnsmasq::start(&home.router, "lan0", &["--dhcp-range=192.168.77.50,192.168.77.90,1h"]).unwrap();
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    let new =
        wait_for("another address", || address(&home.laptop, "bond0").filter(|address| *address != given));
    assert!(new.starts_with("192.168.77."), "{new}");
    assert!(other.count("DHCPNAK") > 0, "{}", other.log());
    wait_printed(&home.laptop, "ip route show default", |routes| {
        routes.contains("via 192.168.77.1 dev bond0")
    });
}
