//! `dhcp4 = "external"`: the address on the bond is another program's, and stays through whatever happens to the ports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::print_stdout, reason = "the figures, for whoever wants to see more than that it holds")]

mod support;

use std::net::Ipv4Addr;

use hitless_lab::clients::{Client, Program};
use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::held::Holding;
use hitless_lab::meter::End;
use hitless_lab::wait::{Look, until};
use hitless_lab::{Daemon, Home};
use serde_json::Value;
use support::*;

const RANGE: &str = "--dhcp-range=192.168.1.50,192.168.1.90,1h";

/// An identity that is nobody's hardware address (RFC 4361): 255, the interface's number, and a DUID.
const IDENTITY: &str = "ff:00:00:00:01:00:03:00:01:02:00:5e:00:53:01";

fn external(options: &str) -> String {
    format!(
        "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n{options}\n[bond.bond0.ip]\ndhcp4 = \"external\"\n"
    )
}

/// The lines of docs/external-dhcp.md by which each has an identity that is not the hardware address.
fn identified(program: Program) -> String {
    match program {
        // Its number of the interface is of the hardware address unless it is told another one.
        Program::Dhcpcd | Program::Dhcpcd6 | Program::DhcpcdManager => {
            "allowinterfaces bond0\nduid\ninterface bond0\niaid 1".to_owned()
        }
        Program::Udhcpc => format!("-x 0x3d:{}", IDENTITY.replace(':', "")),
        Program::Dhclient => {
            format!("interface \"bond0\" {{\n  send dhcp-client-identifier {IDENTITY};\n}}\n")
        }
    }
}

/// A home with a bond that has two ports, and a server.
fn started<'a>(home: &'a Home, options: &str) -> (Daemon<'a>, Dnsmasq) {
    let server = Dnsmasq::start(&home.router, "lan0", &[RANGE]).unwrap();
    let daemon = Daemon::start_with_config(&home.laptop, &external(options)).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_ports_up(&daemon, "bond0");
    (daemon, server)
}

/// The address that the client has given to the bond, with the way out.
fn wait_address(home: &Home, client: &Client<'_>) -> Ipv4Addr {
    let held = || {
        let shown = home.laptop.ip("-json -4 address show dev bond0 scope global").unwrap();
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let routes = home.laptop.ip("-4 route show default").unwrap();
        let address = shown[0]["addr_info"][0]["local"].as_str()?.parse().ok()?;
        routes.contains("default via 192.168.1.1 dev bond0").then_some(address)
    };
    let address =
        until("an address", PATIENCE, || Ok(held().map_or_else(|| Look::No(client.log()), Look::Yes)));
    let address: Ipv4Addr = address.unwrap();
    assert_eq!(address.octets()[..3], [192, 168, 1]);
    address
}

fn failover(home: &Home, daemon: &Daemon<'_>) {
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
}

fn failback(home: &Home, daemon: &Daemon<'_>) {
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_ports_up(daemon, "bond0");
}

/// What `hitless verify` says of DHCP clients, and what else does not hold.
fn verify(daemon: &Daemon<'_>) -> (Value, Vec<Value>) {
    let output = daemon.command(&["verify", "--json"]).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = report["checks"].as_array().unwrap();
    let clients = lines.iter().find(|line| line["check"] == "dhcp-clients").unwrap().clone();
    (clients, lines.iter().filter(|line| line["verdict"] == "fails").cloned().collect())
}

/// The cable is pulled and plugged, and the daemon dies and comes back: the address stays, and traffic goes on.
fn it_stays(program: Program, options: &str) {
    let home = home();
    let (mut daemon, server) = started(&home, options);
    let client = Client::start(&home.laptop, program, "bond0", &identified(program)).unwrap();
    let address = wait_address(&home, &client);
    let near = End { host: &home.laptop, address: address.into() };
    let mut traffic = Traffic::between((near, home.ends(0).1), RATE);
    let holding = Holding::watch(&home.laptop, "bond0", address).unwrap();
    failover(&home, &daemon);
    traffic.flows();
    failback(&home, &daemon);
    traffic.flows();
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    daemon.ask(&["reload"]).unwrap();
    failover(&home, &daemon);
    traffic.mark("failback");
    failback(&home, &daemon);
    traffic.flows();
    let held = holding.finish().unwrap();
    println!("{}: {held}", program.name());
    assert!(held.is_unbroken(), "{held:#?}\n{}", client.log());
    let report = traffic.finish();
    if options.is_empty() {
        assert_clean(&report, "failback");
    }
    assert_eq!(server.leases().lines().count(), 1, "{}", server.leases());

    assert!(daemon.bond("bond0").unwrap()["dhcp"].is_null());
    let (clients, wrong) = verify(&daemon);
    assert_eq!(clients["verdict"], "holds", "{clients:#}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    let _stray = Client::start(&home.laptop, program, "wlan0", "").unwrap();
    wait_for("the client on a port to be found", || {
        let seen = verify(&daemon).0["seen"].to_string();
        (seen.contains(program.name()) && seen.contains("asks on wlan0")).then_some(())
    });
}

#[test]
fn what_dhcpcd_has_got_stays() {
    it_stays(Program::Dhcpcd, "");
}

/// As its service runs it, kept off the ports by its configuration.
#[test]
fn what_the_service_of_dhcpcd_has_got_stays() {
    let home = home();
    let (daemon, _server) = started(&home, "fail-over-mac = \"active\"");
    let program = Program::DhcpcdManager;
    let client = Client::start(&home.laptop, program, "bond0", &identified(program)).unwrap();
    let address = wait_address(&home, &client);
    let holding = Holding::watch(&home.laptop, "bond0", address).unwrap();
    failover(&home, &daemon);
    failback(&home, &daemon);
    let held = holding.finish().unwrap();
    assert!(held.is_unbroken(), "{held:#?}\n{}", client.log());
    assert!(!client.log().contains("eth0: ") && !client.log().contains("wlan0: "), "{}", client.log());
    // It is judged by the machine's own configuration, which is another one, and by what runs.
    let (clients, wrong) = verify(&daemon);
    assert!(wrong.iter().all(|line| line["check"] == "other-managers"), "{wrong:#?}");
    assert_eq!(clients["verdict"], "note", "{clients:#}");
}

/// With Debian's configuration the service takes ports, too: until its file has the line that `hitless verify --fix` adds.
/// In the daemon's own /etc: the machine's stays as it is.
#[test]
fn the_service_of_dhcpcd_is_kept_off_the_ports_by_its_file() {
    const FILE: &str = "/etc/dhcpcd.conf";
    const LINE: &str = "denyinterfaces eth0 wlan0 bond0-p";
    let home = home();
    let (daemon, _server) = started(&home, "fail-over-mac = \"active\"");
    let verify = |arguments: &[&str]| {
        let arguments = [&["verify", "--json"], arguments].concat();
        let output = daemon.command_beside(&arguments).unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report)
    };
    let line = |report: &Value, check: &str| {
        let lines = report["checks"].as_array().unwrap();
        lines.iter().find(|line| line["check"] == check).unwrap().clone()
    };
    let lent = |interface: &str| {
        let shown = home.laptop.ip(&format!("-4 -o address show dev {interface}")).unwrap();
        shown.contains("192.168.1.")
    };
    let mut client = Client::start(&home.laptop, Program::DhcpcdManager, "bond0", "").unwrap();
    for interface in ["eth0", "wlan0", "bond0"] {
        let lent = || Ok(if lent(interface) { Look::Yes(()) } else { Look::No(client.log()) });
        until(&format!("{interface} to be lent an address"), PATIENCE, lent).unwrap();
    }
    let (code, report) = verify(&[]);
    assert_eq!(code, Some(5));
    assert_eq!(line(&report, "port-addresses")["verdict"], "fails", "{report:#}");
    let others = line(&report, "other-managers");
    assert_eq!(others["verdict"], "fails", "{others:#}");
    assert!(others["remedy"].as_str().unwrap().contains(&format!("add `{LINE}` to {FILE}")), "{others:#}");

    let before = daemon.read(FILE).unwrap();
    let (_, report) = verify(&["--fix"]);
    assert_eq!(report["fixed"], serde_json::json!([{ "file": FILE, "line": LINE }]));
    let after = daemon.read(FILE).unwrap();
    let added: Vec<_> = after.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    assert_eq!(added, [LINE]);

    // What it has given to ports it leaves there; that is the user's to remove, as the checklist says.
    client.reconfigure(added[0]).unwrap();
    for port in ["eth0", "wlan0"] {
        home.laptop.ip(&format!("address flush dev {port}")).unwrap();
    }
    // In its second life.
    let said = || client.log().split(" starting\n").nth(2).unwrap_or_default().to_owned();
    let leases = || said().matches("bond0: leased ").count();
    let lent_again = || Ok(if leases() == 1 { Look::Yes(()) } else { Look::No(client.log()) });
    until("the bond to be lent an address again", PATIENCE, lent_again).unwrap();
    // A port that comes back is what it would take at once.
    home.pull("wlan0").unwrap();
    home.plug("wlan0").unwrap();
    wait_ports_up(&daemon, "bond0");
    client.renew().unwrap();
    wait_for("the lease to be prolonged", || (leases() == 2).then_some(()));
    for port in ["eth0", "wlan0", "bond0-p"] {
        assert!(!lent(port), "{port}: {}", said());
        assert!(!said().contains(&format!("{port}: ")), "{port}: {}", said());
    }
    let checked = until("the checklist to hold", PATIENCE, || {
        let (code, report) = verify(&[]);
        Ok(if code == Some(0) { Look::Yes(report) } else { Look::No(format!("{report:#}")) })
    });
    assert_eq!(line(&checked.unwrap(), "other-managers")["verdict"], "holds");
}

#[test]
fn what_udhcpc_has_got_stays() {
    it_stays(Program::Udhcpc, "");
}

#[test]
fn what_dhclient_has_got_stays() {
    it_stays(Program::Dhclient, "");
}

/// The same where the bond's hardware address is that of the active port; a client that begins anew on the other port is
/// known again by its identity.
fn it_stays_when_the_hardware_address_does_not(program: Program) {
    it_stays(program, "fail-over-mac = \"active\"");
    let home = home();
    let (daemon, server) = started(&home, "fail-over-mac = \"active\"");
    let mut client = Client::start(&home.laptop, program, "bond0", &identified(program)).unwrap();
    let address = wait_address(&home, &client);
    let before = mac(&home.laptop, "bond0");
    failover(&home, &daemon);
    wait_for("another hardware address", || (mac(&home.laptop, "bond0") != before).then_some(()));
    let before = client.leases();
    client.restart().unwrap();
    wait_for("the server's word", || (client.leases() > before).then_some(()));
    assert_eq!(wait_address(&home, &client), address, "{}\n{}", client.log(), server.log());
    let leases = server.leases();
    assert_eq!(leases.lines().count(), 1, "{leases}");
    assert!(leases.contains(&IDENTITY[..14]), "{leases}");
}

#[test]
fn dhcpcd_is_known_again_by_its_identity() {
    it_stays_when_the_hardware_address_does_not(Program::Dhcpcd);
}

#[test]
fn udhcpc_is_known_again_by_its_identity() {
    it_stays_when_the_hardware_address_does_not(Program::Udhcpc);
}

#[test]
fn dhclient_is_known_again_by_its_identity() {
    it_stays_when_the_hardware_address_does_not(Program::Dhclient);
}

/// Why that is needed.
#[test]
fn without_an_identity_it_is_another_client_on_another_port() {
    for program in [Program::Dhcpcd, Program::Udhcpc, Program::Dhclient] {
        let home = home();
        let (daemon, server) = started(&home, "fail-over-mac = \"active\"");
        let mut client = Client::start(&home.laptop, program, "bond0", "").unwrap();
        let address = wait_address(&home, &client);
        failover(&home, &daemon);
        client.restart().unwrap();
        wait_for("another lease", || (server.leases().lines().count() == 2).then_some(()));
        wait_for("another address", || (wait_address(&home, &client) != address).then_some(()));
    }
}

/// A client asks again for its lease with another hardware address than it began with.
#[test]
fn a_lease_is_prolonged_on_the_other_port() {
    for program in [Program::Dhcpcd, Program::Udhcpc] {
        let home = home();
        let (daemon, _server) = started(&home, "fail-over-mac = \"active\"");
        let client = Client::start(&home.laptop, program, "bond0", &identified(program)).unwrap();
        let address = wait_address(&home, &client);
        failover(&home, &daemon);
        // The first frames may come before the gateway knows of the other hardware address.
        home.laptop.run(&["ping", "-c1", "-w20", "192.168.1.1"]).unwrap();
        let holding = Holding::watch(&home.laptop, "bond0", address).unwrap();
        let before = client.leases();
        client.renew().unwrap();
        wait_for("the lease to be prolonged", || (client.leases() > before).then_some(()));
        let held = holding.finish().unwrap();
        assert!(held.is_unbroken(), "{}: {held:#?}\n{}", program.name(), client.log());
    }
}

#[test]
fn hitless_itself_asks_for_nothing() {
    let home = home();
    let (daemon, server) = started(&home, "");
    // Without an address there is nobody to ask whether the way back leads anywhere; by hand it is taken all the same.
    failover(&home, &daemon);
    home.plug("eth0").unwrap();
    wait_ports_up(&daemon, "bond0");
    daemon.ask(&["switch", "bond0", "eth0"]).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    daemon.ask(&["reload"]).unwrap();
    assert!(
        !server.log().contains("DHCPDISCOVER") && !server.log().contains("DHCPREQUEST"),
        "{}",
        server.log()
    );
    // Not by chance: whoever asks is heard.
    let mut client = Client::start(&home.laptop, Program::Udhcpc, "bond0", "").unwrap();
    wait_address(&home, &client);
    assert_eq!(server.count("DHCPDISCOVER"), 1, "{}", server.log());
    let sockets = home.laptop.run(&["ss", "-Huapn"]).unwrap();
    assert!(!sockets.contains("hitless"), "{sockets}");
    // What another program has put there is not taken away with the bond's own.
    let address = wait_address(&home, &client);
    let holding = Holding::watch(&home.laptop, "bond0", address).unwrap();
    let static_too = external("").replace("dhcp4", "address = [\"192.168.9.5/24\"]\ndhcp4");
    let reload = |config: &str| {
        daemon.write_config(config).unwrap();
        daemon.ask(&["reload"]).unwrap();
    };
    reload(&static_too);
    reload(&external(""));
    let held = holding.finish().unwrap();
    let removed: Vec<_> = held.removed.iter().filter(|line| !line.contains("192.168.9.")).collect();
    assert!(removed.is_empty() && held.with_address == held.samples, "{held:#?}");
    // And what is the bond's own is put back when another program clears everything away.
    reload(&static_too);
    let has_own = || home.laptop.ip("-4 address show dev bond0").unwrap().contains("192.168.9.5/24");
    wait_for("the bond's own address", || has_own().then_some(()));
    client.restart().unwrap();
    wait_for("another lease", || (client.leases() == 2).then_some(()));
    wait_for("the bond's own address", || has_own().then_some(()));
}
