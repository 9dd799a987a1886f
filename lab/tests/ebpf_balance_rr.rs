//! The ebpf driver in balance-rr: every port carries its share, and one that goes takes nothing with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use hitless_lab::{Daemon, Home};
use support::*;

/// bond0 of eth0 and wlan0, both in use.
fn in_turn(home: &Home) -> Daemon<'_> {
    let daemon = Daemon::start_with_config(&home.laptop, &config("mode = \"balance-rr\"\n")).unwrap();
    wait_in_use(&daemon, &["eth0", "wlan0"]);
    daemon
}

/// Waits until exactly these ports are in use.
fn wait_in_use(daemon: &Daemon<'_>, ports: &[&str]) {
    daemon
        .wait_bond("bond0", &format!("{ports:?} to be in use"), PATIENCE, |bond| {
            let entries = bond["ports"].as_array().cloned().unwrap_or_default();
            let used = entries.iter().filter(|port| port["active"] == true);
            used.filter_map(|port| port["name"].as_str()).eq(ports.iter().copied())
        })
        .unwrap();
}

/// Waits until so many frames have left by a port.
fn wait_sent(home: &Home, port: &str, frames: u64) {
    let sent = || Home::frames(&home.laptop, port).unwrap().1;
    let enough = sent() + frames;
    wait_for(&format!("{port} to send"), || (sent() >= enough).then_some(()));
}

#[test]
fn each_port_carries_its_share() {
    let home = home();
    let mut daemon = in_turn(&home);
    let bond = daemon.bond("bond0").unwrap();
    assert_eq!((bond["mode"].as_str(), bond["active"].as_str()), (Some("balance-rr"), None));
    let mut traffic = Traffic::start(&home, 0);
    for port in ["eth0", "wlan0"] {
        wait_sent(&home, port, 100);
    }
    for port in ["eth0", "wlan0"] {
        let other = if port == "eth0" { "wlan0" } else { "eth0" };
        traffic.mark("pull");
        home.pull(port).unwrap();
        wait_in_use(&daemon, &[other]);
        traffic.flows();
        traffic.mark("plug");
        home.plug(port).unwrap();
        wait_in_use(&daemon, &["eth0", "wlan0"]);
        home.wait_forwarding(port).unwrap();
        wait_sent(&home, port, 100);
    }
    traffic.mark("without a daemon");
    daemon.kill9().unwrap();
    for port in ["eth0", "wlan0"] {
        wait_sent(&home, port, 100);
    }
    daemon.restart().unwrap();
    wait_in_use(&daemon, &["eth0", "wlan0"]);
    let report = traffic.finish();
    assert_eq!(report.total().duplicated, 0);
    assert_eq!(counted(&report, "without").lost, 0);
    let pulls = counted(&report, "pull");
    assert!(pulls.lost < pulls.sent / 4, "{pulls:?}");
}

#[test]
fn what_needs_an_active_port_is_refused() {
    let home = home();
    let daemon = in_turn(&home);
    let refused = |arguments: &[&str], why: &str| {
        let output = daemon.command(arguments).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    refused(&["switch", "bond0", "wlan0"], "no active port");
    daemon.write_config(&config("")).unwrap();
    refused(&["reload"], "the mode of bond0 cannot change");
    wait_in_use(&daemon, &["eth0", "wlan0"]);
    assert!(daemon.ask(&["status"]).unwrap().contains("active eth0, wlan0"));

    daemon.ask(&["down"]).unwrap();
    assert!(home.laptop.ip("link show dev bond0").is_err());
    daemon.ask(&["reload"]).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
}
