//! An interface whose address is by DHCP: the bond asks for it again, as the client that had it.

use hitless_lab::clients::{Client, Program};
use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::{Daemon, Home, Namespace};
use serde_json::Value;

use crate::support::*;
use crate::{FILE, adopted, idle};

const RANGE: &str = "--dhcp-range=192.168.1.50,192.168.1.90,1h";

/// The IPv4 addresses of an interface.
fn addresses(host: &Namespace, interface: &str) -> Vec<String> {
    let shown = host.ip(&format!("-json -4 address show dev {interface}")).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let addresses = shown[0]["addr_info"].as_array().cloned().unwrap_or_default();
    addresses.iter().filter_map(|address| address["local"].as_str()).map(str::to_owned).collect()
}

/// A laptop whose eth0 is up, and a server.
fn served() -> (Home, Dnsmasq) {
    let home = home();
    let server = Dnsmasq::start(&home.router, "lan0", &[RANGE]).unwrap();
    for port in ["eth0", "wlan0"] {
        home.laptop.ip(&format!("link set {port} up")).unwrap();
        home.wait_forwarding(port).unwrap();
    }
    (home, server)
}

/// A client that has an address for eth0, and which.
fn leased(home: &Home, program: Program) -> (Client<'_>, String) {
    let client = Client::start(&home.laptop, program, "eth0", "").unwrap();
    let address = wait_for("an address", || addresses(&home.laptop, "eth0").pop());
    wait_printed(&home.laptop, "ip route", |shown| shown.contains("default via"));
    (client, address)
}

fn is_bound(daemon: &Daemon<'_>, address: &str) {
    daemon
        .wait_bond("bond0", "the lease", PATIENCE, |bond| {
            bond["dhcp"]["state"] == "bound"
                && bond["dhcp"]["address"].as_str().is_some_and(|it| it.starts_with(address))
        })
        .unwrap();
}

fn goes_on_with_the_same_address(program: Program) {
    let (home, server) = served();
    let (client, address) = leased(&home, program);
    let daemon = idle(&home);
    let mut running = adopted(&daemon, &[]);
    let name = program.name();
    assert!(running.said().contains(&format!("the DHCP client {name}")), "{}", running.said());
    // As the note says: without giving the address back.
    drop(client);
    assert_eq!(addresses(&home.laptop, "bond0"), [address.as_str()]);
    daemon.ask(&["confirm"]).unwrap();
    running.wait().unwrap();
    let written = daemon.read(FILE).unwrap();
    assert!(written.contains("dhcp4 = true"), "{written}");
    is_bound(&daemon, &address);
    assert_eq!(addresses(&home.laptop, "bond0"), [address.as_str()], "{}", server.log());
    assert_eq!(server.leases().lines().count(), 1, "{}", server.leases());
}

#[test]
fn of_udhcpc() {
    goes_on_with_the_same_address(Program::Udhcpc);
}

#[test]
fn of_dhclient() {
    goes_on_with_the_same_address(Program::Dhclient);
}

#[test]
fn of_dhcpcd() {
    goes_on_with_the_same_address(Program::Dhcpcd);
}

/// The address is not given back to the server: the interface goes on to have it.
#[test]
fn what_is_put_back_is_not_released() {
    let (home, server) = served();
    let (_client, address) = leased(&home, Program::Udhcpc);
    let daemon = idle(&home);
    let mut running = adopted(&daemon, &["--confirm", "600"]);
    is_bound(&daemon, &address);
    daemon.ask(&["down"]).unwrap();
    running.wait().unwrap();
    assert_eq!(addresses(&home.laptop, "eth0"), [address.as_str()]);
    assert_eq!(server.count("DHCPRELEASE"), 0, "{}", server.log());
}
