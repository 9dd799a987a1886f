//! An address by DHCPv6 from a real server: got at once, kept whatever happens, given back in the end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::net::{Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::{Daemon, Home, Namespace};
use serde_json::Value;
use support::*;

const RANGE: &str = "--dhcp-range=fd00:1::100,fd00:1::1ff,64,1h";

/// A home network with a router that says that it is one, whenever it is asked for.
fn home_with_router() -> Home {
    let home = home();
    home.router.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
    home
}

/// bond0 with these options, an address by DHCPv6, and routes by router advertisements.
fn by_dhcp6(options: &str) -> String {
    format!(
        "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n{options}\n[bond.bond0.ip]\ndhcp6 = true\naccept-ra = true\n"
    )
}

/// The IPv6 address of an interface, apart from that of the link, if it has one.
fn address(host: &Namespace, interface: &str) -> Option<String> {
    let shown = host.ip(&format!("-json -6 address show dev {interface} scope global")).ok()?;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let addresses: Vec<_> =
        shown[0]["addr_info"].as_array()?.iter().filter(|held| held["local"].is_string()).collect();
    assert!(addresses.len() <= 1, "{shown:#}");
    Some(format!("{}/{}", addresses.first()?["local"].as_str()?, addresses[0]["prefixlen"]))
}

fn wait_address(home: &Home) -> String {
    wait_for("bond0 to have an address", || address(&home.laptop, "bond0"))
}

fn wait_state(daemon: &Daemon<'_>, state: &str) -> Value {
    let status = daemon.wait_bond("bond0", &format!("DHCPv6 to be {state}"), PATIENCE, |bond| {
        bond["dhcp6"]["state"] == state
    });
    status.unwrap()["dhcp6"].clone()
}

/// Looks a hundred times a second whether the bond has this address and a way out, while something happens.
fn throughout(home: &Home, expected: &str, happens: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = 0;
            while !over.load(Ordering::Relaxed) {
                assert_eq!(address(&home.laptop, "bond0").as_deref(), Some(expected), "look {looks}");
                let routes = home.laptop.ip("-6 route show default").unwrap();
                assert!(routes.contains("dev bond0"), "look {looks}: {routes:?}");
                looks += 1;
            }
            looks
        });
        happens();
        over.store(true, Ordering::Relaxed);
        assert!(looks.join().unwrap() > 0);
    });
}

#[test]
fn it_stays_through_everything_and_goes_in_the_end() {
    let home = home_with_router();
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap();
    let server = Dnsmasq::start(
        &home.router,
        "lan0",
        &[
            RANGE,
            "--enable-ra",
            "--dhcp-option=option6:dns-server,[fd00:1::1],[2001:db8::53]",
            "--dhcp-option=option6:domain-search,home.arpa",
            "--dhcp-option=option6:ntp-server,[fd00:1::1]",
        ],
    )
    .unwrap();
    let mut daemon = Daemon::start_with_config(&home.laptop, &by_dhcp6("")).unwrap();
    let given = wait_address(&home);
    assert!(given.starts_with("fd00:1::1") && given.ends_with("/128"), "{given}");
    let dhcp6 = wait_state(&daemon, "bound");
    assert_eq!(dhcp6["address"].as_str(), given.split('/').next());
    assert!(dhcp6["server"].as_str().is_some_and(|server| server.starts_with("fe80:")), "{dhcp6}");
    assert!(dhcp6["expires_in_s"].as_u64().is_some_and(|left| (3500..=3600).contains(&left)), "{dhcp6}");
    assert_eq!(dhcp6["ntp"][0], "fd00:1::1", "{dhcp6}");
    // Rapid commit: one question, one answer.
    assert_eq!((server.count("DHCPSOLICIT"), server.count("DHCPREQUEST")), (1, 0), "{}", server.log());
    wait_printed(&home.laptop, "ip -6 address show dev bond0 scope global", |shown| {
        shown.contains("valid_lft 35") || shown.contains("valid_lft 3600sec")
    });
    wait_printed(&home.laptop, "ip -6 route show default", |routes| routes.contains("dev bond0 proto ra"));
    let status = daemon.ask(&["status"]).unwrap();
    assert!(status.contains("dhcp6 bound, fd00:1::1"), "{status}");
    wait_for("the name servers", || {
        let known = daemon.read("/etc/resolv.conf").unwrap();
        let there =
            known.contains("nameserver fd00:1::1\nnameserver 2001:db8::53") && known.contains("home.arpa");
        there.then_some(())
    });
    assert_eq!(std::fs::read_to_string("/etc/resolv.conf").unwrap(), own, "the machine's own is left alone");
    home.laptop.run(&["ping", "-c1", "-W5", "fd00:1::1"]).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();

    throughout(&home, &given, || {
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        wait_for("the server to be asked", || (server.count("DHCPCONFIRM") > 0).then_some(()));
        wait_state(&daemon, "bound");
        home.laptop.run(&["ping", "-c1", "-W5", "fd00:1::1"]).unwrap();
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        daemon.kill9().unwrap();
        let before = server.count("DHCPCONFIRM");
        daemon.restart().unwrap();
        wait_for("the server to be asked again", || (server.count("DHCPCONFIRM") > before).then_some(()));
        wait_state(&daemon, "bound");
        daemon.ask(&["reload"]).unwrap();
    });
    assert_eq!(server.count("DHCPSOLICIT"), 1, "{}", server.log());
    let leases = server.leases();
    assert_eq!(leases.lines().filter(|line| line.contains("fd00:1::1")).count(), 1, "{leases}");

    let without = by_dhcp6("").replace("dhcp6 = true\naccept-ra = true\n", "");
    daemon.write_config(&without).unwrap();
    daemon.ask(&["reload"]).unwrap();
    wait_for("the address to be gone", || address(&home.laptop, "bond0").is_none().then_some(()));
    wait_for("the server to know", || (server.count("DHCPRELEASE") == 1).then_some(()));
    assert!(daemon.bond("bond0").unwrap()["dhcp6"].is_null());
    wait_for("the name servers to be as before", || {
        (daemon.read("/etc/resolv.conf").unwrap() == own).then_some(())
    });
}

#[test]
fn it_stays_when_the_hardware_address_does_not() {
    let home = home_with_router();
    let server = Dnsmasq::start(&home.router, "lan0", &[RANGE, "--enable-ra"]).unwrap();
    let daemon = Daemon::start_with_config(&home.laptop, &by_dhcp6("fail-over-mac = \"active\"")).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let given = wait_address(&home);
    wait_state(&daemon, "bound");
    wait_printed(&home.laptop, "ip -6 route show default", |routes| routes.contains("dev bond0"));
    let mac = || daemon.bond("bond0").unwrap()["mac"].clone();
    let before = mac();
    throughout(&home, &given, || {
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        wait_for("another hardware address", || (mac() != before).then_some(()));
        wait_state(&daemon, "bound");
        home.laptop.run(&["ping", "-c1", "-W5", "fd00:1::1"]).unwrap();
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_state(&daemon, "bound");
    });
    assert_eq!(server.count("DHCPSOLICIT"), 1, "{}", server.log());
}

#[test]
fn an_address_that_somebody_has_is_declined() {
    let home = home_with_router();
    // The kernel of the bond finds it out, as it does outside the laboratory.
    home.laptop.sysctl("net.ipv6.conf.default.accept_dad", "1").unwrap();
    // Only two, and somebody has taken both by hand.
    for last in ["100", "101"] {
        home.switch.ip(&format!("address add fd00:1::{last}/64 dev br0")).unwrap();
    }
    let range = "--dhcp-range=fd00:1::100,fd00:1::101,64,1h";
    let server = Dnsmasq::start(&home.router, "lan0", &[range]).unwrap();
    let daemon = Daemon::start_with_config(&home.laptop, &by_dhcp6("")).unwrap();
    wait_for("an address to be declined", || (server.count("DHCPDECLINE") > 0).then_some(()));
    wait_for("the daemon to say so", || daemon.log().contains("somebody else has it").then_some(()));
    // Somebody goes, and the server has forgotten what it was told.
    drop(server);
    home.switch.ip("address flush dev br0").unwrap();
    let _server = Dnsmasq::start(&home.router, "lan0", &[range]).unwrap();
    wait_for("an address that nobody else has", || {
        let shown = home.laptop.ip("-6 address show dev bond0 scope global").unwrap();
        let held =
            shown.contains("fd00:1::10") && !shown.contains("tentative") && !shown.contains("dadfailed");
        held.then_some(())
    });
    wait_printed(&home.laptop, "ip -6 address show dev bond0 scope global", |shown| {
        shown.contains("valid_lft 3") && !shown.contains("valid_lft forever")
    });
}

#[test]
fn another_network_gives_another_address() {
    let home = home_with_router();
    let server = Dnsmasq::start(&home.router, "lan0", &[RANGE]).unwrap();
    let daemon = Daemon::start_with_config(&home.laptop, &by_dhcp6("")).unwrap();
    let given = wait_address(&home);
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_state(&daemon, "bound");
    drop(server);
    home.router.ip("-6 address flush dev lan0 scope global").unwrap();
    home.router.ip("address add fd00:77::1/64 dev lan0 nodad").unwrap();
    let _other =
        Dnsmasq::start(&home.router, "lan0", &["--dhcp-range=fd00:77::100,fd00:77::1ff,64,1h"]).unwrap();
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    let is_other = |new: &String| *new != given;
    let new = wait_for("another address", || address_or_two(&home.laptop).into_iter().find(is_other));
    assert!(new.starts_with("fd00:77::1"), "{new}");
    wait_for("the old one to be gone", || (address_or_two(&home.laptop) == [new.clone()]).then_some(()));
    assert!(daemon.log().contains("says that it is wrong here"), "{}", daemon.log());
}

#[test]
fn a_server_without_addresses_tells_what_it_knows() {
    let home = home_with_router();
    let server = Dnsmasq::start(
        &home.router,
        "lan0",
        &[
            "--dhcp-range=fd00:1::,ra-stateless,64,1h",
            "--enable-ra",
            "--dhcp-option=option6:dns-server,[fd00:1::1]",
        ],
    )
    .unwrap();
    let daemon = Daemon::start_with_config(&home.laptop, &by_dhcp6("")).unwrap();
    wait_state(&daemon, "informed");
    assert!(server.count("DHCPINFORMATION-REQUEST") > 0, "{}", server.log());
    wait_for("the name servers", || {
        daemon.read("/etc/resolv.conf").unwrap().contains("nameserver fd00:1::1").then_some(())
    });
    // The address is made of what the router advertises.
    let made = wait_address(&home);
    assert!(made.starts_with("fd00:1:") && made.ends_with("/64"), "{made}");
}

/// While one takes another's place.
fn address_or_two(host: &Namespace) -> Vec<String> {
    let shown = host.ip("-brief -6 address show dev bond0 scope global").unwrap();
    shown.split_whitespace().skip(2).filter(|word| word.contains(':')).map(str::to_owned).collect()
}

#[test]
fn a_prefix_leads_nowhere_and_goes_with_the_bond() {
    let home = home_with_router();
    let over = AtomicBool::new(false);
    let socket = server_socket(&home);
    std::thread::scope(|scope| {
        scope.spawn(|| delegate(&socket, &over));
        let _end = scope_end(&over);
        let config = by_dhcp6("").replace("dhcp6 = true", "dhcp6 = true\nprefix-delegation = true");
        let daemon = Daemon::start_with_config(&home.laptop, &config).unwrap();
        let dhcp6 = wait_state(&daemon, "bound");
        assert_eq!((&dhcp6["prefix"], &dhcp6["address"]), (&Value::from("2001:db8:7700::/56"), &Value::Null));
        let routed = |routes: &str| routes.contains("unreachable 2001:db8:7700::/56 dev lo proto dhcp");
        wait_printed(&home.laptop, "ip -6 route", routed);
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        wait_state(&daemon, "bound");
        wait_printed(&home.laptop, "ip -6 route", routed);
        daemon.ask(&["down"]).unwrap();
        wait_printed(&home.laptop, "ip -6 route", |routes| !routes.contains("2001:db8:7700::"));
    });
}

/// Whatever happens, others stop at the end.
fn scope_end(over: &AtomicBool) -> impl Drop + '_ {
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    End(over)
}

/// Where DHCPv6 servers listen, on the router.
fn server_socket(home: &Home) -> UdpSocket {
    let links: Value = serde_json::from_str(&home.router.ip("-json link show lan0").unwrap()).unwrap();
    let index = u32::try_from(links[0]["ifindex"].as_u64().unwrap()).unwrap();
    let socket = home.router.within(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 547)).unwrap()).unwrap();
    socket.join_multicast_v6(&"ff02::1:2".parse().unwrap(), index).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket
}

/// Delegates a prefix to whoever asks for one; dnsmasq cannot.
fn delegate(socket: &UdpSocket, over: &AtomicBool) {
    let mut buffer = [0; 1500];
    while !over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let asked = &buffer[..length];
        let (Some(client), Some(association)) = (find(asked, 1), find(asked, 25)) else { continue };
        let prefix = [
            &3600u32.to_be_bytes()[..],
            &7200u32.to_be_bytes(),
            &[56],
            &"2001:db8:7700::".parse::<Ipv6Addr>().unwrap().octets(),
        ];
        let lent = [&association[..4], &[0; 8], &option(26, &prefix.concat())].concat();
        let options = [option(1, client), option(2, &[0, 3, 0, 1, 7]), option(14, &[]), option(25, &lent)];
        let reply = [&[7], &asked[1..4], &options.concat()].concat();
        socket.send_to(&reply, from).unwrap();
    }
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// What an option of a message has in it.
fn find(message: &[u8], code: u16) -> Option<&[u8]> {
    let mut rest = message.get(4..)?;
    loop {
        let (&[a, b, c, d], after) = rest.split_first_chunk::<4>()?;
        let (value, after) = after.split_at_checked(u16::from_be_bytes([c, d]).into())?;
        if u16::from_be_bytes([a, b]) == code {
            return Some(value);
        }
        rest = after;
    }
}
