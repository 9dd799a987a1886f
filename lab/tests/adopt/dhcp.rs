//! An interface whose address is by DHCP, or of what a router advertises: the bond asks for it again, as the client that
//! had it, or goes on making the same one.

use std::net::IpAddr;

use hitless_lab::clients::{Client, Program};
use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::meter::End;
use hitless_lab::tcp::Stream;
use hitless_lab::wait::{Look, until};
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

#[test]
fn of_dhcpcd_by_dhcpv6() {
    let home = home();
    home.router.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
    let range = ["--dhcp-range=fd00:1::100,fd00:1::1ff,64,1h", "--enable-ra"];
    let server = Dnsmasq::start(&home.router, "lan0", &range).unwrap();
    for port in ["eth0", "wlan0"] {
        home.laptop.ip(&format!("link set {port} up")).unwrap();
        home.wait_forwarding(port).unwrap();
    }
    let client = Client::start(&home.laptop, Program::Dhcpcd6, "eth0", "").unwrap();
    let address = wait_for("an address", || lifetimes(&home.laptop, "eth0").pop()).0.to_string();
    let daemon = idle(&home);
    let mut running = adopted(&daemon, &[]);
    assert!(!running.said().contains("this one ends"), "{}", running.said());
    drop(client);
    daemon.ask(&["confirm"]).unwrap();
    running.wait().unwrap();
    let written = daemon.read(FILE).unwrap();
    assert!(written.contains("dhcp6 = true") && written.contains("client-id = \"ff:"), "{written}");
    let bound = |bond: &Value| bond["dhcp6"]["state"] == "bound";
    let bond = daemon.wait_bond("bond0", "the lease", PATIENCE, bound).unwrap();
    assert_eq!(bond["dhcp6"]["address"], address.as_str(), "{written}\n{}", server.log());
    let leases = server.leases();
    assert_eq!(leases.lines().filter(|line| line.contains("fd00:1::")).count(), 1, "{leases}");
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

/// The IPv6 addresses of an interface that are not of the link, and how long they are valid, in seconds.
fn lifetimes(host: &Namespace, interface: &str) -> Vec<(IpAddr, u64)> {
    let shown = host.ip(&format!("-json -6 address show dev {interface} scope global")).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let addresses = shown[0]["addr_info"].as_array().cloned().unwrap_or_default();
    let of = |address: &Value| {
        let local = address["local"].as_str()?.parse().ok()?;
        Some((local, address["valid_life_time"].as_u64()?))
    };
    addresses.iter().filter_map(of).collect()
}

/// A laptop that uses eth0 by an address that the kernel has made of what a router advertises, and a stream over it.
struct Advertised {
    home: Home,
    router: Dnsmasq,
    address: IpAddr,
    stream: Stream,
}

impl Advertised {
    fn new() -> Self {
        let home = home();
        home.router.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
        // The kernel would not use an address that somebody else has: a port, say, with the same hardware address.
        home.laptop.sysctl("net.ipv6.conf.default.accept_dad", "1").unwrap();
        let often = ["--enable-ra", "--dhcp-range=fd00:1::,ra-only,64,2m", "--ra-param=lan0,4,60"];
        let router = Dnsmasq::start(&home.router, "lan0", &[&[RANGE], &often[..]].concat()).unwrap();
        home.laptop.sysctl("net.ipv6.conf.wlan0.disable_ipv6", "1").unwrap();
        for port in ["eth0", "wlan0"] {
            home.laptop.ip(&format!("link set {port} up")).unwrap();
            home.wait_forwarding(port).unwrap();
        }
        let (address, _) = wait_for("an address", || lifetimes(&home.laptop, "eth0").pop());
        wait_printed(&home.laptop, "ip -6 route show default", |shown| shown.contains("proto ra"));
        let far = End { host: &home.router, address: Home::ipv6(0, 1).into() };
        let stream = Stream::start(End { host: &home.laptop, address }, far).unwrap();
        stream.wait_progress(PATIENCE).unwrap();
        Self { home, router, address, stream }
    }

    /// Waits until an advertisement has prolonged the address. It is the only one all the time.
    fn wait_prolonged(&self, interface: &str) {
        let mut least = u64::MAX;
        // A router that has just begun says something every 5 to 20 s.
        let limit = PATIENCE * 2;
        let what = format!("{} to be prolonged on {interface}", self.address);
        let prolonged = until(&what, limit, || {
            let held = lifetimes(&self.home.laptop, interface);
            let [(address, left)] = held[..] else { return Ok(Look::No(format!("{held:?}"))) };
            assert_eq!(address, self.address);
            let before = least;
            least = least.min(left);
            Ok(if left > before { Look::Yes(()) } else { Look::No(format!("{left} s left")) })
        });
        prolonged.unwrap_or_else(|error| panic!("{error}\n{}", self.router.log()));
        self.stream.wait_progress(PATIENCE).unwrap();
    }
}

/// An address made of the hardware address ends some time after the last advertisement, and so does the session that goes
/// by it, unless the bond makes the same one of the next.
#[test]
fn of_what_a_router_advertises() {
    let used = Advertised::new();
    let daemon = idle(&used.home);
    let mut running = adopted(&daemon, &[]);
    assert!(!running.said().contains("this one ends"), "{}", running.said());
    daemon.ask(&["confirm"]).unwrap();
    running.wait().unwrap();
    let written = daemon.read(FILE).unwrap();
    assert!(written.contains("accept-ra = true\naddr-gen-mode = \"eui64\"\n"), "{written}");
    used.wait_prolonged("bond0");
    assert_eq!(used.stream.finish().broken, None);
}

/// Without a confirmation, it goes on being made on the interface that it was made on.
#[test]
fn what_a_router_advertises_is_heard_by_an_interface_that_is_put_back() {
    let used = Advertised::new();
    let daemon = idle(&used.home);
    let mut running = adopted(&daemon, &["--confirm", "1"]);
    assert_eq!(running.outcome().unwrap().0, Some(1));
    used.wait_prolonged("eth0");
    assert_eq!(used.stream.finish().broken, None);
}
