//! DHCP with another server than dnsmasq: Kea, whose leases are short here, so that they are renewed while one looks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, reason = "the figures, for whoever wants to see more than that it holds")]

mod support;

use std::net::Ipv4Addr;
use std::time::Duration;

use hitless_lab::clients::{Client, Program};
use hitless_lab::held::Holding;
use hitless_lab::kea::{Kea, Lending};
use hitless_lab::{Daemon, Home};
use support::*;

/// Renewed after three seconds.
const LENDING: Lending = Lending { pool: (50, 90), lifetime: Duration::from_secs(9) };

/// bond0 with these options, whose address hitless asks for in this way, or another client does.
fn bond_with(options: &str, ip: &str) -> String {
    format!(
        "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n{options}\n[bond.bond0.ip]\n{ip}\n"
    )
}

/// The address that the bond has, with the way out.
fn address(home: &Home) -> Option<Ipv4Addr> {
    let shown = home.laptop.ip("-oneline -4 address show dev bond0").unwrap();
    let routes = home.laptop.ip("-4 route show default").unwrap();
    let address = shown.split_whitespace().find_map(|word| word.strip_suffix("/24"))?.parse().ok()?;
    routes.contains("via 192.168.1.1 dev bond0").then_some(address)
}

fn wait_address(home: &Home) -> Ipv4Addr {
    wait_for("bond0 to have an address", || address(home))
}

/// Waits until the server has said so often more that a lease is good.
fn wait_acknowledged(server: &Kea<'_>, more: usize) {
    let before = server.sent("DHCPACK");
    wait_for("the server's word", || (server.sent("DHCPACK") >= before + more).then_some(()));
}

fn to_and_fro(home: &Home, daemon: &Daemon<'_>, server: &Kea<'_>) {
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    wait_acknowledged(server, 2);
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_acknowledged(server, 1);
}

/// It is got, renewed, kept on the other port, and asked for again by the next daemon; the server has one lease, of a client
/// whose identity begins like this.
fn it_stays(options: &str, ip: &str, identity: &str) {
    let home = home();
    let server = Kea::start(&home.router, "lan0", LENDING).unwrap();
    let ip = format!("dhcp4 = true\ndetect-conflicts = false\n{ip}");
    let mut daemon = Daemon::start_with_config(&home.laptop, &bond_with(options, &ip)).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let given = wait_address(&home);
    let holding = Holding::watch(&home.laptop, "bond0", given).unwrap();
    wait_acknowledged(&server, 1);
    to_and_fro(&home, &daemon, &server);
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    wait_acknowledged(&server, 1);
    let held = holding.finish().unwrap();
    println!("{held}");
    assert!(held.is_unbroken(), "{held:#?}");
    let leases = server.leases().unwrap();
    // The first line says what the fields are.
    for lease in leases.lines().skip(1) {
        let fields: Vec<_> = lease.split(',').collect();
        assert_eq!(fields[0], given.to_string(), "{leases}");
        assert!(fields[2].starts_with(identity), "{leases}");
    }
    assert_eq!(server.sent("DHCPNAK"), 0, "{}", server.log());
}

#[test]
fn it_stays_by_an_identity() {
    it_stays("", "client-id = \"duid\"", "ff:");
}

#[test]
fn it_stays_by_an_identity_when_the_hardware_address_does_not() {
    it_stays("fail-over-mac = \"active\"", "client-id = \"duid\"", "ff:");
}

#[test]
fn it_stays_by_the_hardware_address() {
    it_stays("", "client-id = \"mac\"", "01:");
}

/// A bond with an address, and its server.
fn given(lending: Lending, check: impl FnOnce(&Home, Daemon<'_>, Kea<'_>, Ipv4Addr)) {
    let home = home();
    let server = Kea::start(&home.router, "lan0", lending).unwrap();
    let ip = "dhcp4 = true\ndetect-conflicts = false";
    let daemon = Daemon::start_with_config(&home.laptop, &bond_with("", ip)).unwrap();
    let given = wait_address(&home);
    assert!((50..=90).contains(&given.octets()[3]), "{given}");
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_ports_up(&daemon, "bond0");
    check(&home, daemon, server, given);
}

/// Waits until the bond has an address of the new pool, and no other.
fn wait_moved(home: &Home, given: Ipv4Addr) {
    let new = wait_for("another address", || address(home).filter(|address| *address != given));
    assert!((150..=190).contains(&new.octets()[3]), "{new}");
    wait_for("the old one to be gone", || {
        let shown = home.laptop.ip("-4 address show dev bond0").unwrap();
        (!shown.contains(&format!("{given}/"))).then_some(())
    });
}

/// The server is asked after a failover, and refuses.
#[test]
fn a_refused_address_is_given_up_for_another() {
    given(Lending { lifetime: Duration::from_secs(3600), ..LENDING }, |home, daemon, mut server, given| {
        server.restart_anew(Lending { pool: (150, 190), ..LENDING }).unwrap();
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        wait_moved(home, given);
        assert!(server.sent("DHCPNAK") > 0, "{}", server.log());
    });
}

/// Kea says nothing to who renews an address that it does not lend any more: it is given up when its time is over.
#[test]
fn an_address_that_nobody_prolongs_is_given_up_in_time() {
    given(LENDING, |home, _daemon, mut server, given| {
        server.restart(Lending { pool: (150, 190), ..LENDING }).unwrap();
        wait_moved(home, given);
        assert_eq!(server.sent("DHCPNAK"), 0, "{}", server.log());
    });
}

/// Other clients, too, renew what they have on the other port, which has another hardware address. (udhcpc renews nothing
/// within its first minute, whatever the server says.)
#[test]
fn what_others_have_got_is_renewed_on_the_other_port() {
    for program in [Program::Dhclient, Program::Dhcpcd] {
        let home = home();
        let server = Kea::start(&home.router, "lan0", LENDING).unwrap();
        let config = bond_with("fail-over-mac = \"active\"", "dhcp4 = \"external\"");
        let daemon = Daemon::start_with_config(&home.laptop, &config).unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_ports_up(&daemon, "bond0");
        let client = Client::start(&home.laptop, program, "bond0", "").unwrap();
        let given = wait_address(&home);
        let holding = Holding::watch(&home.laptop, "bond0", given).unwrap();
        to_and_fro(&home, &daemon, &server);
        let held = holding.finish().unwrap();
        println!("{}: {held}", program.name());
        assert!(held.is_unbroken(), "{}: {held:#?}\n{}", program.name(), client.log());
    }
}
