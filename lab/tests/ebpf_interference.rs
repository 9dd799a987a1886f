//! The ebpf driver when someone else lays hands on its interfaces: everything is put right again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use hitless_lab::wait::linger;
use support::*;

#[test]
fn the_bond_is_switched_off_and_on() {
    let home = home();
    let daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    let before = state(&home.laptop);
    home.laptop.ip("link set bond0 down").unwrap();
    // As long as it is off nothing is tried that cannot work.
    linger(Duration::from_millis(1500)).unwrap();
    let log = daemon.log();
    assert!(log.lines().count() < 50, "a flood of messages:\n{log}");
    assert!(!log.contains("WARN"), "{log}");
    home.laptop.ip("link set bond0 up").unwrap();
    wait_printed(&home.laptop, "ip route show default", |text| text.contains("via 192.168.1.1 dev bond0"));
    wait_printed(&home.laptop, "ip -6 address show bond0", |text| text.contains("fd00:1::5/64"));
    traffic.finish();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn addresses_that_cannot_be_set_do_not_keep_the_daemon_busy() {
    let home = home();
    let daemon = bonded(&home, "");
    home.laptop.sysctl("net.ipv6.conf.bond0.disable_ipv6", "1").unwrap();
    daemon.ask(&["reload"]).unwrap();
    wait_for("the failure in the log", || daemon.log().contains("will be tried again").then_some(()));
    linger(Duration::from_millis(1500)).unwrap();
    assert!(
        daemon.log().matches("will be tried again").count() < 4,
        "a flood of messages:\n{}",
        daemon.log()
    );
    home.laptop.sysctl("net.ipv6.conf.bond0.disable_ipv6", "0").unwrap();
    wait_printed(&home.laptop, "ip -6 address show bond0", |text| text.contains("fd00:1::5/64"));
    Traffic::start(&home, 0).finish();
}

#[test]
fn the_bonds_filter_is_removed() {
    let home = home();
    let daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    home.laptop.run(&["tc", "qdisc", "del", "dev", "bond0", "clsact"]).unwrap();
    wait_printed(&home.laptop, "tc filter show dev bond0 egress", |text| text.contains("hitless"));
    traffic.flows();
    wait_ports_up(&daemon, "bond0");
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    traffic.finish();
}

#[test]
fn a_ports_filter_is_removed() {
    let home = home();
    let daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    for port in ["eth0", "wlan0"] {
        home.laptop.run(&["tc", "qdisc", "del", "dev", port, "clsact"]).unwrap();
        wait_printed(&home.laptop, &format!("tc filter show dev {port} ingress"), |text| {
            text.contains("hitless")
        });
    }
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_ports_up(&daemon, "bond0");
    traffic.finish();
}

#[test]
fn hardware_addresses_are_changed() {
    let home = home();
    let daemon = bonded(&home, "");
    let own = mac(&home.laptop, "bond0");
    let traffic = Traffic::start(&home, 0);
    for name in ["wlan0", "eth0", "bond0"] {
        home.laptop.ip(&format!("link set {name} address 02:00:00:00:be:ef")).unwrap();
        wait_for(&format!("{name} to have its address back"), || {
            (mac(&home.laptop, name) == own).then_some(())
        });
    }
    traffic.flows();
    wait_ports_up(&daemon, "bond0");
    traffic.finish();
}

#[test]
fn the_parked_peer_is_switched_off() {
    let home = home();
    let daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    home.laptop.ip("link set bond0-p down").unwrap();
    wait_printed(&home.laptop, "ip link show bond0-p", |text| text.contains("LOWER_UP"));
    traffic.finish();
    assert_eq!(daemon.bond("bond0").unwrap()["carrier"], true);
}

#[test]
fn a_port_is_switched_off() {
    let home = home();
    let daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    home.laptop.ip("link set eth0 down").unwrap();
    daemon
        .wait_bond("bond0", "eth0 to be failed over from", PATIENCE, |bond| {
            bond["last_failover"]["from"] == "eth0"
        })
        .unwrap();
    traffic.flows();
    // It is on again, as with a bond of the kernel.
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_ports_up(&daemon, "bond0");
    traffic.finish();
}

#[test]
fn a_port_is_put_into_a_bridge() {
    let home = home();
    let daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    home.laptop.ip("link add br9 type bridge").unwrap();
    home.laptop.ip("link set eth0 master br9").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    let port = wait_port(&daemon, "eth0", "to say why", |port| {
        port["waiting"].as_str().is_some_and(|waiting| waiting.contains("br9"))
    });
    assert_eq!(port["link"], "down");
    traffic.flows();
    home.laptop.ip("link set eth0 nomaster").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    traffic.finish();
}

#[test]
fn the_bond_is_deleted() {
    let home = home();
    let before = state(&home.laptop);
    let daemon = bonded(&home, "");
    home.laptop.ip("link del bond0").unwrap();
    wait_for("the bond to be there again", || {
        names(&home.laptop).contains(&"bond0".to_owned()).then_some(())
    });
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_ports_up(&daemon, "bond0");
    wait_printed(&home.laptop, "ip route", |text| text.contains("default via 192.168.1.1 dev bond0"));
    Traffic::start(&home, 0).finish();
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn a_configured_address_that_someone_removes_comes_back() {
    let home = home();
    let _daemon = bonded(&home, "");
    wait_printed(&home.laptop, "ip address show bond0", |shown| shown.contains("192.168.1.5/24"));
    home.laptop.ip("address delete 192.168.1.5/24 dev bond0").unwrap();
    wait_printed(&home.laptop, "ip address show bond0", |shown| shown.contains("192.168.1.5/24"));
    wait_printed(&home.laptop, "ip route", |shown| shown.contains("default via 192.168.1.1 dev bond0"));
}
