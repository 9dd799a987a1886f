//! Failback: proven, or on carrier as in bonding.

use std::time::Duration;

use hitless_lab::wait::linger;
use hitless_lab::{Daemon, Home, HomeOptions, Meter};

use crate::support::*;

/// Datagrams that would be lost at the least in the second or more that a port is silent, were its carrier believed.
const BELIEVED: u64 = 200;

#[test]
fn guest_failback() {
    in_guest("failback::guest_failback", || {
        not_before_an_answer(true);
        a_new_interface_is_not_believed_either();
        on_carrier_as_bonding_does();
        anything_beats_nothing();
    });
}

#[test]
fn guest_failback_without_bpf_filters() {
    in_guest("failback::guest_failback_without_bpf_filters", || {
        without_bpf_filters();
        not_before_an_answer(false);
    });
}

#[test]
fn guest_failback_into_a_spanning_tree() {
    in_guest("failback::guest_failback_into_a_spanning_tree", a_port_that_is_silent_at_first);
}

fn waits_for_proof(daemon: &Daemon<'_>, port: &str) {
    daemon
        .wait_bond("bond0", &format!("{port} to wait for proof"), PATIENCE, |bond| {
            let ports = bond["ports"].as_array().cloned().unwrap_or_default();
            ports.iter().any(|entry| entry["name"] == port && entry["waiting"].to_string().contains("proof"))
        })
        .unwrap();
}

/// A link that comes back silent: neither the machine nor the kernel moves before an answer has come in on it.
/// Switches may take a question for news of where the bond is: what they then send there is not dropped. `program`: ports
/// have the program for that; otherwise they hand up everything for a while.
fn not_before_an_answer(program: bool) {
    let home = home();
    let daemon = start(&home, &config(""));
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    meter.mark("silent");
    mute(&home, "eth0");
    home.plug("eth0").unwrap();
    wait_kernel_up(&home.laptop, "eth0");
    waits_for_proof(&daemon, "eth0");
    let hears = |on: u8| {
        wait_shown(&home.laptop, "bond0", &format!("all_slaves_active {on}"), PATIENCE, |shown| {
            shown["linkinfo"]["info_data"]["all_slaves_active"] == on
        });
    };
    hears(u8::from(!program));
    linger(SECOND).unwrap();
    assert_eq!(active(&home.laptop, "bond0").as_deref(), Some("wlan0"));
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "wlan0");
    meter.mark("speaks");
    unmute(&home, "eth0");
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_kernel_active(&home.laptop, "eth0", PATIENCE);
    meter.wait_flowing(200, PATIENCE).unwrap();
    let report = meter.finish();
    let speaks = report.labelled("speaks").next().unwrap().both();
    assert_eq!(speaks.duplicated, 0, "{speaks:?}");
    hears(0);
    assert!(!daemon.log().contains("failed"), "{}", daemon.log());
}

/// The primary as a new interface: the kernel would make it active the moment that it is a port.
fn a_new_interface_is_not_believed_either() {
    let home = home();
    let daemon = start(&home, &config(""));
    home.vanish("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    meter.mark("back");
    // The far end is new, too, and mute before the near one is a port.
    home.laptop.ip("link add eth0 type veth peer name swp0").unwrap();
    home.laptop.ip(&format!("link set swp0 netns {}", home.switch.name())).unwrap();
    home.switch.ip("link set swp0 up").unwrap();
    waits_for_proof(&daemon, "eth0");
    wait_kernel_up(&home.laptop, "eth0");
    linger(SECOND).unwrap();
    assert_eq!(active(&home.laptop, "bond0").as_deref(), Some("wlan0"));
    home.switch.ip("link set swp0 master br0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    assert_eq!(bond(&home.laptop, "bond0")["primary"], "eth0");
    assert!(!daemon.log().contains("repairing"), "the kernel ran ahead:\n{}", daemon.log());
    let report = meter.finish();
    let back = report.labelled("back").next().unwrap().both();
    assert!(back.lost < BELIEVED, "the traffic stayed where it flowed: {back:?}\n{}", daemon.log());
}

fn on_carrier_as_bonding_does() {
    let home = home();
    let daemon = start(&home, &config("failback = \"carrier\""));
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    mute(&home, "eth0");
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_kernel_active(&home.laptop, "eth0", PATIENCE);
    assert!(!daemon.log().contains("failed"), "{}", daemon.log());
}

/// The present port dies while the other one is not proven yet: that is used at once.
fn anything_beats_nothing() {
    let home = home();
    let daemon = start(&home, &config(""));
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    mute(&home, "eth0");
    home.plug("eth0").unwrap();
    waits_for_proof(&daemon, "eth0");
    home.pull("wlan0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_kernel_active(&home.laptop, "eth0", PATIENCE);
    // Nothing at all, and then the first that comes.
    home.pull("eth0").unwrap();
    daemon.wait_bond("bond0", "no active port", PATIENCE, |bond| bond["active"].is_null()).unwrap();
    wait_shown(&home.laptop, "bond0", "no carrier", PATIENCE, |shown| shown["operstate"] == "DOWN");
    home.plug("wlan0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    wait_kernel_active(&home.laptop, "wlan0", PATIENCE);
}

/// A switch with a spanning tree keeps a new port silent for twice the forward delay; bonding would lose all of it.
fn a_port_that_is_silent_at_first() {
    let delay = Duration::from_secs(2);
    let home = Home::new(HomeOptions { spanning_tree: Some(delay), ..HomeOptions::default() }).unwrap();
    let daemon = Daemon::start_with_config(&home.laptop, &config("")).unwrap();
    wait_both_up(&daemon);
    home.wait_forwarding("eth0").unwrap();
    home.wait_forwarding("wlan0").unwrap();
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    meter.mark("plug");
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    meter.wait_flowing(200, PATIENCE).unwrap();
    let report = meter.finish();
    let plug = report.labelled("plug").next().unwrap().both();
    assert!(plug.lost < BELIEVED, "{plug:?}\n{}", daemon.log());
}
