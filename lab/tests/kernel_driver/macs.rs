//! fail-over-mac: who has which address, at the start, after a failover, and when the option changes live.

use hitless_lab::{Home, Meter};

use crate::support::*;

#[test]
fn guest_fail_over_mac() {
    in_guest("macs::guest_fail_over_mac", || {
        for policy in ["none", "active", "follow"] {
            one_policy(policy);
        }
        live();
    });
}

const PORTS: &str = "ports = [\"eth0\", \"en1\"]";

fn new_home() -> (Home, [String; 2]) {
    let home = home();
    home.laptop.ip("link set wlan0 name en1").unwrap();
    let own = ["eth0", "en1"].map(|name| mac(&home.laptop, name));
    (home, own)
}

/// The addresses of bond and ports that a policy means while eth0 (0) or en1 (1) is active. The bond has its address
/// from eth0.
fn expected(policy: &str, own: &[String; 2], active: usize) -> [String; 3] {
    let [wired, other] = own.clone();
    match (policy, active) {
        ("none", _) => [wired.clone(), wired.clone(), wired],
        ("active", active) => [own[active].clone(), wired, other],
        ("follow", 0) => [wired.clone(), wired, other],
        (_, _) => [wired.clone(), other, wired],
    }
}

fn check(home: &Home, policy: &str, own: &[String; 2], active: usize) {
    let wanted = expected(policy, own, active);
    for (name, wanted) in ["bond0", "eth0", "en1"].into_iter().zip(wanted) {
        wait_shown(
            &home.laptop,
            name,
            &format!("{name} to have {wanted} ({policy}, {active})"),
            PATIENCE,
            |shown| shown["address"] == wanted.as_str(),
        );
    }
}

fn one_policy(policy: &str) {
    let (home, own) = new_home();
    let before = ["eth0", "en1"].map(|name| as_found(&home.laptop, name));
    let mut daemon = start(&home, &config_with(PORTS, &format!("fail-over-mac = \"{policy}\"")));
    check(&home, policy, &own, 0);
    let (near, far) = home.ends(0);
    let meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "en1", PATIENCE).unwrap();
    check(&home, policy, &own, 1);
    meter.wait_flowing(100, PATIENCE).unwrap();
    let status = daemon.bond("bond0").unwrap();
    assert_eq!(status["mac"].as_str(), Some(mac(&home.laptop, "bond0").as_str()), "{status:#}");
    for (entry, own) in status["ports"].as_array().unwrap().iter().zip(&own) {
        assert_eq!(entry["permanent_mac"].as_str(), Some(own.as_str()), "{status:#}");
    }
    // An adopted bond keeps its addresses, and its ports are still known by their own.
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    check(&home, policy, &own, 1);
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    check(&home, policy, &own, 0);
    meter.wait_flowing(100, PATIENCE).unwrap();
    assert_eq!(meter.finish().total().duplicated, 0);
    daemon.ask(&["down"]).unwrap();
    for (name, before) in ["eth0", "en1"].into_iter().zip(before) {
        assert_eq!(as_found(&home.laptop, name), before, "{name} after {policy}");
    }
}

/// The kernel takes another policy only on a bond without ports.
fn live() {
    let (home, own) = new_home();
    let before = ["eth0", "en1"].map(|name| as_found(&home.laptop, name));
    let daemon = start(&home, &config_with(PORTS, ""));
    for policy in ["active", "follow", "none", "follow", "active", "none"] {
        reload(&daemon, &config_with(PORTS, &format!("fail-over-mac = \"{policy}\"")));
        wait_both_up(&daemon);
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        assert_eq!(bond(&home.laptop, "bond0")["fail_over_mac"], policy);
        check(&home, policy, &own, 0);
        let (near, far) = home.ends(0);
        let meter = Meter::start(near, far, 500).unwrap();
        meter.wait_flowing(50, PATIENCE).unwrap();
    }
    daemon.ask(&["down"]).unwrap();
    for (name, before) in ["eth0", "en1"].into_iter().zip(before) {
        assert_eq!(as_found(&home.laptop, name), before, "{name}");
    }
}
