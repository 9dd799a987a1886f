//! A bond whose ports lead into different networks, with a DHCP server and a gateway each.
//!
//! ```text
//!   laptop           home                 router
//!   eth0 ─────────── swp0 ─ br0 ────────── lan0   10.1.0.1/24
//!   eth1 ─────────── swp2 ─ br1 ──┐       other
//!                                 └─────── lan1   10.2.0.1/24
//! ```
//!
//! That is no use of a bond that is recommended, but what happens when somebody carries a laptop to a friend's. Connections
//! cannot survive it; the bond has to have a right address soon, and never two.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::wait::{Look, until};
use hitless_lab::{Daemon, Home, HomeOptions, Namespace};
use serde_json::Value;
use support::*;

const RANGES: [&str; 2] = ["--dhcp-range=10.1.0.50,10.1.0.90,1h", "--dhcp-range=10.2.0.50,10.2.0.90,1h"];

/// Two networks that have nothing to do with each other.
struct Networks {
    home: Home,
    other: Namespace,
}

impl Networks {
    fn new() -> Self {
        let home = Home::new(HomeOptions { segments: 2, ..HomeOptions::default() }).unwrap();
        let other = Namespace::new("other").unwrap();
        home.router.ip(&format!("link set lan1 netns {}", other.name())).unwrap();
        for (host, interface, address) in [(&home.router, "lan0", "10.1.0.1"), (&other, "lan1", "10.2.0.1")] {
            host.ip(&format!("address flush dev {interface}")).unwrap();
            host.ip(&format!("address add {address}/24 dev {interface}")).unwrap();
            host.ip(&format!("link set {interface} up")).unwrap();
        }
        Self { home, other }
    }

    fn daemon(&self, options: &str) -> Daemon<'_> {
        let config = format!(
            "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"eth1\"]\n{options}\n[bond.bond0.ip]\n\
             dhcp4 = true\ndetect-conflicts = false\n"
        );
        let daemon = Daemon::start_with_config(&self.home.laptop, &config).unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_ports_up(&daemon, "bond0");
        daemon
    }

    /// The addresses and gateways that the bond has.
    fn held(&self) -> (Vec<String>, Vec<String>) {
        let shown = |command| -> Value {
            serde_json::from_str(&self.home.laptop.ip(command).unwrap()).unwrap_or_default()
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let addresses = shown("-json -4 address show dev bond0");
        let addresses = addresses[0]["addr_info"].as_array().cloned().unwrap_or_default();
        let routes = shown("-json -4 route show default").as_array().cloned().unwrap_or_default();
        (
            addresses.iter().map(|address| text(&address["local"])).collect(),
            routes.iter().map(|route| text(&route["gateway"])).collect(),
        )
    }

    /// Waits until the bond has an address of this network, its gateway, and nothing of the other.
    fn wait_network(&self, network: u8, limit: Duration) -> String {
        let address = until(&format!("an address of network {network}"), limit, || {
            let (addresses, gateways) = self.held();
            let is_right = match addresses.as_slice() {
                [only] => only.starts_with(&format!("10.{network}.0.")),
                _ => false,
            };
            let is_right = is_right && gateways == [format!("10.{network}.0.1")];
            let seen = format!("{addresses:?}, {gateways:?}");
            Ok(if is_right { Look::Yes(addresses.concat()) } else { Look::No(seen) })
        });
        self.home.laptop.run(&["ping", "-c1", "-W5", &format!("10.{network}.0.1")]).unwrap();
        address.unwrap()
    }

    /// A server in each network.
    fn servers(&self) -> [Dnsmasq; 2] {
        [
            Dnsmasq::start(&self.home.router, "lan0", &[RANGES[0]]).unwrap(),
            Dnsmasq::start(&self.other, "lan1", &[RANGES[1]]).unwrap(),
        ]
    }
}

#[test]
fn a_server_that_refuses_what_is_not_its_own() {
    let networks = Networks::new();
    let home = &networks.home;
    let servers = networks.servers();
    let daemon = networks.daemon("");
    let first = networks.wait_network(1, PATIENCE);
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "eth1", PATIENCE).unwrap();
    let second = networks.wait_network(2, PATIENCE);

    // The gateway that could prove the way back is not there: traffic stays where it flows.
    home.plug("eth0").unwrap();
    let port = wait_port(&daemon, "eth0", "waiting for proof", |port| port["waiting"].is_string());
    assert_eq!(port["waiting"], "proof: an answer through it from 10.2.0.1");
    networks.wait_network(2, PATIENCE);
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "eth1");

    // Until there is no other way, or somebody says so.
    home.pull("eth1").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_eq!(networks.wait_network(1, PATIENCE), first, "the server knows us again");
    home.plug("eth1").unwrap();
    wait_ports_up(&daemon, "bond0");
    daemon.ask(&["switch", "bond0", "eth1"]).unwrap();
    assert_eq!(networks.wait_network(2, PATIENCE), second, "the server knows us again");
    assert_eq!(servers.map(|server| server.count("DHCPNAK")), [1, 2]);
}

#[test]
fn a_way_back_that_needs_no_proof() {
    let networks = Networks::new();
    let _servers = networks.servers();
    let daemon = networks.daemon("failback = \"carrier\"");
    let first = networks.wait_network(1, PATIENCE);
    networks.home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "eth1", PATIENCE).unwrap();
    networks.wait_network(2, PATIENCE);
    networks.home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_eq!(networks.wait_network(1, PATIENCE), first);
}

/// Nobody refuses the address, and it is kept until it is clear that nobody answers: longer than a spanning tree takes.
#[test]
fn a_server_that_says_nothing_of_what_is_not_its_own() {
    let networks = Networks::new();
    let _first = Dnsmasq::start(&networks.home.router, "lan0", &[RANGES[0]]).unwrap();
    let second = Dnsmasq::start_reserved(&networks.other, "lan1", &[RANGES[1]]).unwrap();
    let daemon = networks.daemon("");
    let before = networks.wait_network(1, PATIENCE);
    networks.home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "eth1", PATIENCE).unwrap();
    wait_for("silence", || daemon.log().contains("no DHCP server answers (checking)").then_some(()));
    assert_eq!(networks.held().0, [before], "nobody has said anything against it");
    networks.wait_network(2, PATIENCE * 4);
    assert_eq!(second.count("DHCPNAK"), 0, "{}", second.log());
}
