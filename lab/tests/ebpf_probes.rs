//! The ebpf driver: paths that die behind a live carrier, found by probes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use hitless_lab::wait::linger;
use hitless_lab::{Daemon, Home};
use support::*;

/// ARP probes that only an answer of the router satisfies.
const ARP: &str = "arp-interval = 100\narp-ip-target = [\"192.168.1.1\"]\narp-validate = \"all\"";

/// The same by neighbour solicitations.
const NS: &str = "arp-interval = 100\nns-ip6-target = [\"fd00:1::1\"]\narp-validate = \"all\"";

/// As in bonding without arp-validate: any frame is a sign of life.
const ANY: &str = "arp-interval = 100\narp-ip-target = [\"192.168.1.1\"]";

/// eth0 dies silently and comes back; returns how it went.
fn silent_death(home: &Home, daemon: &Daemon<'_>) {
    let mut traffic = Traffic::start(home, 0);
    traffic.mark("silence");
    home.silence("eth0").unwrap();
    let status = daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    assert_eq!(status["last_failover"]["cause"], "probes_lost");
    // What came in just before the silence may be counted only now.
    let port = wait_port(daemon, "eth0", "to be down", |port| port["link"] == "down");
    assert!(port["link_failures"].as_u64().is_some_and(|failures| failures >= 1), "{port}");
    assert!(
        link(&home.laptop, "eth0")["flags"].to_string().contains("LOWER_UP"),
        "its carrier is still there"
    );
    traffic.flows();

    traffic.mark("back");
    home.unsilence("eth0").unwrap();
    let status = daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_eq!(status["last_failover"]["cause"], "better_port");
    traffic.flows();
    let report = traffic.finish();
    assert_clean(&report, "start");
    assert_clean(&report, "back");
    assert_eq!(counted(&report, "silence").duplicated, 0);
}

#[test]
fn a_silent_death_is_found_by_arp() {
    let home = home();
    silent_death(&home, &bonded(&home, ARP));
}

#[test]
fn a_silent_death_is_found_by_neighbour_solicitations() {
    let home = home();
    silent_death(&home, &bonded(&home, NS));
}

#[test]
fn a_silent_death_is_found_by_silence_of_any_kind() {
    let home = home();
    silent_death(&home, &bonded(&home, ANY));
}

#[test]
fn a_silent_death_is_found_without_the_carrier_poll() {
    let home = home();
    silent_death(&home, &bonded(&home, &format!("{ARP}\nmiimon = 0")));
}

#[test]
fn a_silent_death_is_not_found_without_probes() {
    let home = home();
    let daemon = bonded(&home, "");
    home.silence("eth0").unwrap();
    linger(Duration::from_secs(1)).unwrap();
    let status = daemon.bond("bond0").unwrap();
    assert_eq!((&status["active"], &entry(&status, "eth0")["link"]), (&"eth0".into(), &"up".into()));
}

#[test]
fn a_standby_is_judged_by_what_it_hears() {
    let home = home();
    let daemon = bonded(&home, ARP);
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("standby");
    home.silence("wlan0").unwrap();
    let port = wait_port(&daemon, "wlan0", "to be down", |port| port["link"] == "down");
    assert!(port["waiting"].as_str().unwrap().contains("sign of life"), "{port}");
    // A standby that hears nothing is not asked, either: that would teach the switch the wrong way.
    let sent = Home::frames(&home.laptop, "wlan0").unwrap().1;
    linger(Duration::from_millis(500)).unwrap();
    assert_eq!(Home::frames(&home.laptop, "wlan0").unwrap().1, sent, "frames sent by the standby");
    home.unsilence("wlan0").unwrap();
    wait_port(&daemon, "wlan0", "to be up", |port| port["link"] == "up");
    assert_clean(&traffic.finish(), "standby");
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "eth0");
}

#[test]
fn a_dead_standby_is_not_failed_over_to() {
    let home = home();
    let daemon = bonded(&home, ARP);
    let traffic = Traffic::start(&home, 0);
    home.silence("wlan0").unwrap();
    wait_port(&daemon, "wlan0", "to be down", |port| port["link"] == "down");
    // With nothing better in sight the active port is kept, and is there again at once.
    home.silence("eth0").unwrap();
    linger(Duration::from_millis(700)).unwrap();
    home.unsilence("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    traffic.finish();
}

#[test]
fn when_both_paths_are_dead_the_first_that_lives_again_is_found() {
    let home = home();
    let daemon = bonded(&home, ARP);
    for alive in ["wlan0", "eth0", "wlan0"] {
        let traffic = Traffic::start(&home, 0);
        home.silence("eth0").unwrap();
        home.silence("wlan0").unwrap();
        linger(Duration::from_millis(600)).unwrap();
        home.unsilence(alive).unwrap();
        daemon.wait_active("bond0", alive, PATIENCE).unwrap();
        traffic.finish();
        home.unsilence("eth0").unwrap();
        home.unsilence("wlan0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_ports_up(&daemon, "bond0");
    }
}

#[test]
fn every_target_has_to_answer_where_that_is_asked_for() {
    let home = home();
    home.router.ip("address add 192.168.1.2/24 dev lan0").unwrap();
    let options =
        "arp-interval = 100\narp-ip-target = [\"192.168.1.1\", \"192.168.1.2\"]\narp-validate = \"active\"";
    let daemon = bonded(&home, &format!("{options}\narp-all-targets = \"all\""));
    // No path has both: the one that is active is given up, again and again.
    home.router.ip("address del 192.168.1.2/24 dev lan0").unwrap();
    daemon
        .wait_bond("bond0", "the path to be found dead", PATIENCE, |bond| {
            bond["last_failover"]["cause"] == "probes_lost"
        })
        .unwrap();
    daemon.write_config(&config(&format!("{options}\narp-all-targets = \"any\""))).unwrap();
    daemon.ask(&["reload"]).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_ports_up(&daemon, "bond0");
    let failures = entry(&daemon.bond("bond0").unwrap(), "eth0")["link_failures"].clone();
    linger(Duration::from_millis(600)).unwrap();
    assert_eq!(entry(&daemon.bond("bond0").unwrap(), "eth0")["link_failures"], failures, "one is enough");
}

#[test]
fn probes_leave_by_the_active_port_only() {
    let home = home();
    let daemon = bonded(&home, ARP);
    linger(Duration::from_millis(300)).unwrap();
    let before = ["eth0", "wlan0"].map(|port| Home::frames(&home.laptop, port).unwrap().1);
    linger(Duration::from_millis(1000)).unwrap();
    let after = ["eth0", "wlan0"].map(|port| Home::frames(&home.laptop, port).unwrap().1);
    assert!(after[0] >= before[0] + 5, "{before:?} {after:?}");
    assert_eq!(after[1], before[1]);
    assert_eq!(daemon.bond("bond0").unwrap()["last_failover"]["cause"], "first_port");
}
