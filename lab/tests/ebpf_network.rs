//! The ebpf driver as a network interface: IPv6, sizes, addresses of hardware, VLANs, several bonds at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use hitless_lab::{Home, HomeOptions, Namespace, uml};
use support::*;

#[test]
fn ipv6_survives_a_pull_and_its_peers_are_told() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::between(home.ends6(0), RATE);
    let far = |home: &Home| {
        let bond_mac = mac(&home.laptop, "bond0");
        let entries = home.switch.run(&["bridge", "fdb", "show", "br", "br0"]).unwrap();
        entries.lines().find(|line| line.starts_with(&bond_mac)).map(str::to_owned).unwrap_or_default()
    };
    assert!(far(&home).contains("dev swp0"), "{}", far(&home));
    for _ in 0..2 {
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        wait_for("the switch to know the way", || far(&home).contains("dev swp1").then_some(()));
        traffic.flows();
        traffic.mark("plug");
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_for("the switch to know the way back", || far(&home).contains("dev swp0").then_some(()));
        traffic.flows();
        traffic.mark("pull");
    }
    assert_clean(&traffic.finish(), "plug");
}

#[test]
fn peers_are_told_without_traffic() {
    let home = home();
    let daemon = bonded(&home, "num-peer-notif = 2\npeer-notif-delay = 50");
    home.laptop.run(&["ping", "-c1", "-W5", "192.168.1.1"]).unwrap();
    home.laptop.run(&["ping", "-6", "-c1", "-W5", "fd00:1::1"]).unwrap();
    let heard = home
        .router
        .spawn(
            std::process::Command::new("tcpdump")
                .args(["-lnei", "lan0", "-c", "6", "arp or icmp6[0] == 136"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped()),
        )
        .unwrap();
    // It says when it listens.
    let mut heard = heard;
    let mut stderr = std::io::BufReader::new(heard.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("listening on") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut stderr, &mut line).unwrap(), 0, "tcpdump ended");
    }
    daemon.ask(&["switch", "bond0", "wlan0"]).unwrap();
    let heard = heard.wait_with_output().unwrap();
    let heard = String::from_utf8_lossy(&heard.stdout).into_owned();
    let bond_mac = mac(&home.laptop, "bond0");
    let count =
        |what: &str| heard.lines().filter(|line| line.contains(what) && line.contains(&bond_mac)).count();
    // Of the static addresses, and of the one that the kernel has made.
    let link_local = link_local(&home.laptop, "bond0");
    let counts = ["192.168.1.5", "fd00:1::5", &link_local].map(count);
    assert_eq!(counts, [2; 3], "{link_local}: {heard}");
}

/// An interface's link-local address.
fn link_local(host: &Namespace, name: &str) -> String {
    let shown = host.ip(&format!("-6 -o address show dev {name} scope link")).unwrap();
    let address = shown.split_whitespace().nth(3).unwrap_or_else(|| panic!("{name} has none: {shown}"));
    address.split('/').next().unwrap().to_owned()
}

#[test]
fn a_mac_of_its_own_moves_with_the_active_port() {
    let home = home();
    let before = state(&home.laptop);
    let own = ["eth0", "wlan0"].map(|port| mac(&home.laptop, port));
    let daemon = bonded(&home, "fail-over-mac = \"active\"");
    let macs = || ["bond0", "eth0", "wlan0"].map(|name| mac(&home.laptop, name));
    assert_eq!(macs(), [own[0].clone(), own[0].clone(), own[1].clone()]);
    let mut traffic = Traffic::start(&home, 0);
    for _ in 0..2 {
        home.pull("eth0").unwrap();
        let status = daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        wait_for("the bond's address to change", || (macs()[0] == own[1]).then_some(()));
        assert_eq!(entry(&status, "eth0")["permanent_mac"], own[0]);
        assert_eq!(macs()[1..], own);
        traffic.flows();
        traffic.mark("plug");
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_for("the bond's address to change back", || (macs()[0] == own[0]).then_some(()));
        traffic.flows();
        traffic.mark("pull");
    }
    let report = traffic.finish();
    assert_eq!(counted(&report, "plug").duplicated, 0);
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn one_mac_follows_the_active_port() {
    let home = home();
    // Only wired ports can do this, which a name may say already.
    home.laptop.ip("link set wlan0 name dock0").unwrap();
    let before = state(&home.laptop);
    let own = ["eth0", "dock0"].map(|port| mac(&home.laptop, port));
    let text = bond("bond0", r#"["eth0", "dock0"]"#, "fail-over-mac = \"follow\"", 0);
    let mut daemon = daemon(&home, &text, &[("bond0", "eth0")]);
    let macs = || ["bond0", "eth0", "dock0"].map(|name| mac(&home.laptop, name));
    let on_eth0 = [own[0].clone(), own[0].clone(), own[1].clone()];
    let on_dock0 = [own[0].clone(), own[1].clone(), own[0].clone()];
    assert_eq!(macs(), on_eth0);
    let traffic = Traffic::start(&home, 0);
    for _ in 0..2 {
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "dock0", PATIENCE).unwrap();
        wait_for("addresses to be exchanged", || (macs() == on_dock0).then_some(()));
        traffic.flows();
        daemon.kill9().unwrap();
        daemon.restart().unwrap();
        assert_eq!(macs(), on_dock0, "adopted as it is");
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_for("addresses to be exchanged back", || (macs() == on_eth0).then_some(()));
        traffic.flows();
    }
    traffic.finish();
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "dock0", PATIENCE).unwrap();
    wait_for("addresses to be exchanged", || (macs() == on_dock0).then_some(()));
    home.plug("eth0").unwrap();
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn one_mac_for_all_and_everyone_gets_his_own_back() {
    let home = home();
    let before = state(&home.laptop);
    let own = mac(&home.laptop, "eth0");
    let daemon = bonded(&home, "");
    for name in ["bond0", "eth0", "wlan0"] {
        assert_eq!(mac(&home.laptop, name), own);
    }
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    assert_eq!(mac(&home.laptop, "bond0"), own);
    daemon.ask(&["port", "remove", "bond0", "eth0"]).unwrap();
    assert_eq!(mac(&home.laptop, "bond0"), own, "peers know it by that");
    home.plug("eth0").unwrap();
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn jumbo_frames_pass_and_the_size_changes_live() {
    let home = Home::new(HomeOptions { mtu: Some(9000), ..HomeOptions::default() }).unwrap();
    let before = state(&home.laptop);
    let daemon = daemon(&home, &(config("") + "mtu = 9000\n"), &[("bond0", "eth0")]);
    let ping = |size: &str| home.laptop.run(&["ping", "-c1", "-W5", "-Mdo", "-s", size, "192.168.1.1"]);
    ping("8972").unwrap();
    home.laptop.run(&["ping", "-6", "-c1", "-W5", "-Mdo", "-s8952", "fd00:1::1"]).unwrap();
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    ping("8972").unwrap();
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();

    let mtus = |mtu: u64| {
        for name in ["bond0", "eth0", "wlan0"] {
            wait_for(&format!("{name} to have MTU {mtu}"), || {
                (link(&home.laptop, name)["mtu"] == mtu).then_some(())
            });
        }
    };
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("size");
    for mtu in [1500, 9000, 4000] {
        home.laptop.ip(&format!("link set bond0 mtu {mtu}")).unwrap();
        mtus(mtu);
        ping(&(mtu - 28).to_string()).unwrap();
    }
    // A port that someone changes is put right again.
    home.laptop.ip("link set wlan0 mtu 1400").unwrap();
    mtus(4000);
    assert_clean(&traffic.finish(), "size");
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn two_bonds_at_once() {
    let home = Home::new(HomeOptions { segments: 2, ..HomeOptions::default() }).unwrap();
    let before = state(&home.laptop);
    let text = bond("bond0", r#"["eth0", "wlan0"]"#, "", 0)
        + &bond("uplink", r#"["eth1", "wlan1"]"#, "fail-over-mac = \"active\"", 1)
            .replace("gateway", "#gateway");
    let daemon = daemon(&home, &text, &[("bond0", "eth0"), ("uplink", "eth1")]);
    let mut traffic = [Traffic::start(&home, 0), Traffic::start(&home, 1)];
    // What happens to one does not concern the other.
    traffic[1].mark("other");
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    traffic.iter().for_each(Traffic::flows);
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    traffic[1].mark("own");
    // Both at once.
    home.pull("eth0").unwrap();
    home.pull("eth1").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    daemon.wait_active("uplink", "wlan1", PATIENCE).unwrap();
    let [first, second] = traffic;
    first.finish();
    assert_clean(&second.finish(), "other");
    daemon.ask(&["down", "uplink"]).unwrap();
    assert!(daemon.bond("uplink").unwrap().is_null());
    Traffic::start(&home, 0).finish();
    home.plug("eth0").unwrap();
    home.plug("eth1").unwrap();
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

/// Multicast of a standby port would come in twice: it is taken from the active port only.
#[test]
fn multicast_and_broadcast_come_in_once() {
    let home = home();
    let daemon = bonded(&home, "");
    let echoes = || {
        let counts = home.laptop.run(&["cat", "/proc/net/dev_snmp6/bond0"]).unwrap();
        let line = counts.lines().find(|line| line.starts_with("Icmp6InEchos")).unwrap();
        line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    let before = echoes();
    home.router.run(&["ping", "-6", "-i0.01", "-c20", "-W2", "-Ilan0", "ff02::1"]).unwrap();
    assert_eq!(echoes() - before, 20);
    drop(daemon);
}

/// This kernel may have no VLANs; the guest's has.
#[test]
fn a_vlan_on_the_bond_in_a_guest() {
    if !uml::in_guest() {
        return uml::rerun("a_vlan_on_the_bond_in_a_guest", Duration::from_secs(600)).unwrap();
    }
    let home = home();
    let daemon = bonded(&home, "num-peer-notif = 3\npeer-notif-delay = 50");
    let laptop = &home.laptop;
    laptop.ip("link add link bond0 name bond0.7 type vlan id 7").unwrap();
    laptop.ip("address add 10.7.0.5/24 dev bond0.7").unwrap();
    laptop.ip("link set bond0.7 up").unwrap();
    home.router.ip("link add link lan0 name lan0.7 type vlan id 7").unwrap();
    home.router.ip("address add 10.7.0.1/24 dev lan0.7").unwrap();
    home.router.ip("link set lan0.7 up").unwrap();
    let ends = || {
        let end = |host, address: [u8; 4]| hitless_lab::meter::End { host, address: address.into() };
        (end(laptop, [10, 7, 0, 5]), end(&home.router, [10, 7, 0, 1]))
    };
    let mut traffic = Traffic::between(ends(), 100);
    for _ in 0..2 {
        home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        traffic.flows();
        traffic.mark("plug");
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        traffic.flows();
        traffic.mark("pull");
    }
    assert_clean(&traffic.finish(), "plug");
}
