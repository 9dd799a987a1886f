//! Ports that come later, ports that will not do, and a wpa_supplicant that is there already.

use std::os::unix::fs::symlink;

use hitless_lab::error::LabError;
use hitless_lab::wifi::{Supplicant, WifiHome};
use hitless_lab::{Daemon, Meter};

use crate::support::{
    PATIENCE, associations, bond, by_passphrase, end, entry, home_network, home_with, in_guest, mac,
    wait_active, wait_port, wait_ready, wait_settled, wifi, wire_and_home,
};

#[test]
fn guest_wire_comes_later_and_wifi_comes_later() {
    in_guest("late::guest_wire_comes_later_and_wifi_comes_later", || {
        wire_comes_later();
        wifi_comes_later();
    });
}

#[test]
fn guest_existing_supplicant() {
    in_guest("late::guest_existing_supplicant", existing_supplicant);
}

#[test]
fn guest_refused_address() {
    in_guest("late::guest_refused_address", || {
        for driver in ["ebpf", "kernel"] {
            refused_address(driver);
        }
        follow_is_refused();
    });
}

fn flows(wifi: &WifiHome) {
    let meter = Meter::start(end(&wifi.home.laptop, 5), end(&wifi.home.router, 1), 100).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();
}

fn wire_comes_later() {
    let wifi = home_with(2);
    let access_point = wifi.access_point(home_network()).unwrap();
    wifi.home.vanish("eth0").unwrap();
    let daemon = Daemon::start_with_config(&wifi.home.laptop, &wire_and_home("ebpf", "")).unwrap();
    let bond = wait_settled(&daemon, &["wlan0"], &wifi, &access_point);
    assert!(entry(&bond, "eth0")["index"].is_null(), "{bond:#}");
    assert_eq!(bond["carrier"], true, "{bond:#}");
    flows(&wifi);
    let (address, before) = (mac(&wifi.home.laptop, "bond0"), associations(&wifi, &access_point));
    wifi.home.appear("eth0").unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
    flows(&wifi);
    assert_eq!(mac(&wifi.home.laptop, "bond0"), address);
    assert_eq!(associations(&wifi, &access_point), before, "{}", access_point.log());
    wifi.home.pull("eth0").unwrap();
    wait_active(&daemon, "wlan0");
    flows(&wifi);
    daemon.ask(&["down"]).unwrap();
}

fn wifi_comes_later() {
    let wifi = home_with(2);
    let _access_point = wifi.access_point(home_network()).unwrap();
    wifi.unplug_radio().unwrap();
    let daemon = Daemon::start_with_config(&wifi.home.laptop, &wire_and_home("ebpf", "")).unwrap();
    wait_ready(&daemon, &["eth0"]);
    flows(&wifi);
    wifi.plug_radio().unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
    wifi.home.pull("eth0").unwrap();
    wait_active(&daemon, "wlan0");
    flows(&wifi);
    daemon.ask(&["down"]).unwrap();
}

/// It is ours to instruct, and nobody's to end.
fn existing_supplicant() {
    let wifi = home_with(3);
    let access_point = wifi.access_point(home_network()).unwrap();
    let laptop = &wifi.home.laptop;
    laptop.ip("link set wlan0 up").unwrap();
    let theirs = Supplicant::start(laptop, "wlan0", &[], None).unwrap();
    symlink(theirs.socket().parent().unwrap(), "/run/wpa_supplicant").unwrap();
    let config = bond("ebpf", r#"["eth0", "wlan0"]"#, "")
        + &wifi_section_with(&by_passphrase("home"), "manage = \"existing\"\n");
    let mut daemon = Daemon::start_with_config(laptop, &config).unwrap();
    wait_settled(&daemon, &["eth0", "wlan0"], &wifi, &access_point);
    assert!(daemon.ask(&["wifi", "status"]).unwrap().contains("ran already"));
    let before = associations(&wifi, &access_point);
    wifi.home.pull("eth0").unwrap();
    wait_active(&daemon, "wlan0");
    flows(&wifi);
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    wait_active(&daemon, "wlan0");
    wifi.home.plug("eth0").unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
    assert_eq!(associations(&wifi, &access_point), before, "{}", access_point.log());

    daemon.ask(&["down"]).unwrap();
    assert_eq!(theirs.request("PING").unwrap(), "PONG");
    let networks = theirs.request("LIST_NETWORKS").unwrap();
    assert!(!networks.contains("home"), "what was ours is taken away: {networks}");

    // It is not there at all.
    drop(theirs);
    let daemon = Daemon::start_with_config(laptop, &config).unwrap();
    wait_active(&daemon, "eth0");
    let port = wait_port(&daemon, "wlan0", "without anybody", |port| port["wifi"]["fault"].is_string());
    let fault = port["wifi"]["fault"].as_str().unwrap();
    assert!(fault.contains("existing") && fault.contains("/run/wpa_supplicant/wlan0"), "{fault}");
    let theirs = Supplicant::start(laptop, "wlan0", &[], None).unwrap();
    std::fs::remove_file("/run/wpa_supplicant").unwrap();
    symlink(theirs.socket().parent().unwrap(), "/run/wpa_supplicant").unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
}

fn wifi_section_with(network: &str, more: &str) -> String {
    wifi("wlan0", &[network]).replacen('\n', &format!("\n{more}"), 1)
}

/// A port whose driver does not take the bond's address: all keep their own, and one line says why.
fn refused_address(driver: &str) {
    let wifi = home_with(2);
    let _access_point = wifi.access_point(home_network()).unwrap();
    let laptop = &wifi.home.laptop;
    let found = mac(laptop, "wlan0");
    // The driver of an intermediate functional block knows no way to change its address.
    laptop.ip("link add eth9 type ifb").unwrap();
    let config = bond(driver, r#"["eth0", "wlan0", "eth9"]"#, "same-segment = \"off\"")
        + &super::support::wifi("wlan0", &[&by_passphrase("home")]);
    let daemon = Daemon::start_with_config(laptop, &config).unwrap();
    wait_port(&daemon, "eth9", "up", |port| port["link"] == "up");
    let bond = wait_ready(&daemon, &["eth0", "wlan0"]);
    assert_eq!(bond["fail_over_mac"], "active", "{bond:#}");
    let why = bond["fail_over_mac_reason"].as_str().unwrap();
    assert!(why.contains("eth9"), "{why}");
    assert!(daemon.ask(&["status"]).unwrap().contains(why));
    assert_eq!(daemon.log().matches("fail-over-mac is \"active\"").count(), 1, "{}", daemon.log());
    assert_eq!(mac(laptop, "wlan0"), found);
    flows(&wifi);
    assert_eq!(mac(laptop, "bond0"), mac(laptop, "eth0"));
    wifi.home.pull("eth0").unwrap();
    wait_active(&daemon, "wlan0");
    flows(&wifi);
    assert_eq!(mac(laptop, "bond0"), found);
    daemon.ask(&["down"]).unwrap();
}

/// By name before anything is done, and by what the interface is where its name does not tell.
fn follow_is_refused() {
    let wifi = home_with(2);
    let _access_point = wifi.access_point(home_network()).unwrap();
    let laptop = &wifi.home.laptop;
    let config = wire_and_home("ebpf", "fail-over-mac = \"follow\"");
    let mut daemon = Daemon::with_config(laptop, &config).unwrap();
    let checked = daemon.command(&["check-config", daemon.config_path().to_str().unwrap()]).unwrap();
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    assert!(!checked.status.success() && said.contains("follow") && said.contains("wlan0"), "{said}");

    laptop.ip("link set wlan0 name air0").unwrap();
    let hidden = bond("ebpf", r#"["eth0", "air0"]"#, "fail-over-mac = \"follow\"");
    daemon.write_config(&hidden).unwrap();
    let Err(LabError::DaemonEnded { log, .. }) = daemon.restart() else { panic!("it was not refused") };
    assert!(log.contains("air0 cannot be a port") && log.contains("follow"), "{log}");
    assert!(laptop.ip("link show dev bond0").is_err(), "nothing is left");
}
