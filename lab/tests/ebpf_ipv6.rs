//! The IPv6 addresses that the kernel makes for a bond: the same whatever hardware address it has.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::net::Ipv6Addr;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::{Daemon, Home};
use support::*;

/// bond0 with its ports' own hardware addresses, and no addresses but those that the kernel makes.
fn by_itself(ip: &str) -> String {
    format!(
        "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\nfail-over-mac = \"active\"\n\
         [bond.bond0.ip]\naccept-ra = true\n{ip}\n"
    )
}

/// A router that advertises fd00:1::/64. (It serves IPv4, too, which nobody asks for.)
fn advertiser(home: &Home) -> Dnsmasq {
    let ranges = ["--dhcp-range=192.168.1.50,192.168.1.90,1h", "--dhcp-range=fd00:1::,ra-only,64,1h"];
    Dnsmasq::start(&home.router, "lan0", &["--enable-ra", ranges[0], ranges[1]]).unwrap()
}

/// The bond's IPv6 addresses, sorted.
fn addresses(home: &Home) -> Vec<Ipv6Addr> {
    let shown = home.laptop.ip("-json -6 address show dev bond0").unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let entries = shown[0]["addr_info"].as_array().cloned().unwrap_or_default();
    let mut addresses: Vec<Ipv6Addr> =
        entries.iter().map(|entry| entry["local"].as_str().unwrap().parse().unwrap()).collect();
    addresses.sort();
    addresses
}

/// Waits until there is a link-local address and one of the advertised prefix.
fn wait_addresses(home: &Home) -> Vec<Ipv6Addr> {
    wait_for("the bond to have two addresses", || Some(addresses(home)).filter(|all| all.len() >= 2))
}

/// Has the router advertise once more, and waits until that has been heard.
fn hear_advertisement(home: &Home, router: &Dnsmasq) {
    let before = router.count("RTR-ADVERT");
    let solicitation = "import socket as s; x = s.socket(s.AF_INET6, s.SOCK_RAW, s.IPPROTO_ICMPV6)
x.setsockopt(s.IPPROTO_IPV6, s.IPV6_MULTICAST_HOPS, 255)
x.sendto(bytes([133, 0, 0, 0, 0, 0, 0, 0]), ('ff02::2', 0, 0, s.if_nametoindex('bond0')))";
    home.laptop.run(&["python3", "-c", solicitation]).unwrap();
    wait_for("an advertisement", || (router.count("RTR-ADVERT") > before).then_some(()));
    // What is sent after it on the same way is heard after it.
    home.laptop.run(&["ping", "-6", "-c1", "-W5", "fd00:1::1"]).unwrap();
}

/// Moves the bond to the other port, and with it to another hardware address.
fn fail_over(home: &Home, daemon: &Daemon<'_>, from: &str, to: &str) {
    let before = mac(&home.laptop, "bond0");
    home.pull(from).unwrap();
    daemon.wait_active("bond0", to, PATIENCE).unwrap();
    wait_for("another hardware address", || (mac(&home.laptop, "bond0") != before).then_some(()));
}

/// Is it made of a hardware address (RFC 4291, appendix A)?
fn is_eui64(address: &Ipv6Addr) -> bool {
    address.octets()[11..13] == [0xff, 0xfe]
}

fn setting(home: &Home, name: &str) -> String {
    home.laptop.run(&["cat", &format!("/proc/sys/net/ipv6/conf/bond0/{name}")]).unwrap().trim().to_owned()
}

#[test]
fn the_bonds_own_addresses_stay() {
    let home = home();
    let router = advertiser(&home);
    let mut daemon = daemon(&home, &by_itself(""), &[("bond0", "eth0")]);
    let own = wait_addresses(&home);
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(!own.iter().any(is_eui64), "{own:?}");
    assert_eq!(own[0].segments()[..4], [0xfd00, 1, 0, 0], "{own:?}");
    let same = || {
        hear_advertisement(&home, &router);
        assert_eq!(addresses(&home), own);
    };
    fail_over(&home, &daemon, "eth0", "wlan0");
    same();

    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    same();

    // Made anew, with another hardware address than at first.
    daemon.ask(&["down"]).unwrap();
    assert!(!names(&home.laptop).contains(&"bond0".to_owned()));
    daemon.ask(&["reload"]).unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    assert_eq!(wait_addresses(&home), own);
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    same();
}

#[test]
fn another_bond_has_other_addresses() {
    let home = home();
    let link_local = |name: &str| {
        let config = format!("[bond.{name}]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n");
        let daemon = daemon(&home, &config, &[(name, "eth0")]);
        let shown = wait_printed(&home.laptop, &format!("ip -6 -o address show dev {name}"), |shown| {
            shown.contains("fe80::")
        });
        daemon.ask(&["down"]).unwrap();
        shown.split_whitespace().nth(3).unwrap().to_owned()
    };
    assert_ne!(link_local("bond0"), link_local("bond1"));
}

#[test]
fn made_of_the_hardware_address_they_change_with_it_until_a_reload() {
    let home = home();
    let router = advertiser(&home);
    let daemon = daemon(&home, &by_itself("addr-gen-mode = \"eui64\""), &[("bond0", "eth0")]);
    let own = wait_addresses(&home);
    assert!(own.iter().all(is_eui64), "{own:?}");
    fail_over(&home, &daemon, "eth0", "wlan0");
    hear_advertisement(&home, &router);
    let both = wait_for("another address", || Some(addresses(&home)).filter(|all| all.len() == 3));
    assert!(both.iter().all(is_eui64), "{both:?}");

    daemon.write_config(&by_itself("")).unwrap();
    daemon.ask(&["reload"]).unwrap();
    hear_advertisement(&home, &router);
    let all = wait_for("a stable address", || Some(addresses(&home)).filter(|all| all.len() == 4));
    assert!(both.iter().all(|old| all.contains(old)), "those that are there stay: {all:?}");
    assert_eq!(all.iter().filter(|address| is_eui64(address)).count(), 3);
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    hear_advertisement(&home, &router);
    assert_eq!(addresses(&home), all);
}

#[test]
fn a_bond_that_was_left_keeps_its_addresses_unless_told() {
    let home = home();
    let mut daemon = daemon(&home, &by_itself("addr-gen-mode = \"eui64\""), &[("bond0", "eth0")]);
    let mut restart = |ip: &str| {
        daemon.kill9().unwrap();
        daemon.write_config(&by_itself(ip)).unwrap();
        daemon.restart().unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        setting(&home, "addr_gen_mode")
    };
    assert_eq!(restart(""), "0", "as an earlier version has left it");
    assert_eq!(restart("addr-gen-mode = \"stable-privacy\""), "2");
    assert_eq!(restart("addr-gen-mode = \"eui64\""), "0");
}

#[test]
fn what_the_administrator_has_told_the_kernel_counts() {
    let home = home();
    home.laptop.sysctl("net.ipv6.conf.default.addr_gen_mode", "1").unwrap();
    let none = daemon(&home, &by_itself(""), &[("bond0", "eth0")]);
    assert_eq!(setting(&home, "addr_gen_mode"), "1");
    none.ask(&["down"]).unwrap();
    drop(none);

    home.laptop.sysctl("net.ipv6.conf.default.addr_gen_mode", "0").unwrap();
    home.laptop.sysctl("net.ipv6.conf.default.stable_secret", "2001:db8::1").unwrap();
    let his = daemon(&home, &by_itself(""), &[("bond0", "eth0")]);
    assert_eq!(setting(&home, "addr_gen_mode"), "2");
    assert_eq!(setting(&home, "stable_secret"), "2001:0db8:0000:0000:0000:0000:0000:0001");
    his.ask(&["down"]).unwrap();
}
