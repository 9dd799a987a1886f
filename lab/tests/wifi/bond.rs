//! Wire and Wi-Fi in one bond, by WPA2, on both drivers: one association for all of it.

use hitless_lab::wifi::{AccessPoint, Supplicant, WifiHome};
use hitless_lab::{Daemon, Home, Meter};

use crate::support::{
    PATIENCE, associations, end, entry, home_network, home_with, in_guest, link, mac, saves_power,
    supplicant_directory, supplicant_pid, wait_active, wait_for, wait_port, wait_ready, wait_settled,
    wire_and_home,
};

#[test]
fn guest_ebpf() {
    in_guest("bond::guest_ebpf", || wire_and_wifi("ebpf"));
}

#[test]
fn guest_kernel() {
    in_guest("bond::guest_kernel", || wire_and_wifi("kernel"));
}

fn wire_and_wifi(driver: &str) {
    let wifi = home_with(3);
    let access_point = wifi.access_point(home_network()).unwrap();
    let laptop = &wifi.home.laptop;
    laptop.run(&["iw", "dev", "wlan0", "set", "power_save", "on"]).unwrap();
    let found = mac(laptop, "wlan0");
    let mut daemon = Daemon::start_with_config(laptop, &wire_and_home(driver, "")).unwrap();
    let bond = wait_settled(&daemon, &["eth0", "wlan0"], &wifi, &access_point);
    assert_eq!(entry(&bond, "wlan0")["wifi"]["ssid"], "home", "{bond:#}");
    // mac80211 lets its address be changed, so all ports share one.
    assert_eq!(bond["fail_over_mac"], "none", "{bond:#}");
    assert_eq!(bond["mac"], mac(laptop, "wlan0"), "{bond:#}");
    assert_eq!(associations(&wifi, &access_point), 1, "{}", access_point.log());

    neighbours(&wifi, &access_point);
    pull_and_plug(&wifi, &daemon);
    daemon_dies(&wifi, &mut daemon);
    daemon.ask(&["reload"]).unwrap();
    daemon.write_config(&wire_and_home(driver, "miimon = 20")).unwrap();
    daemon.ask(&["reload"]).unwrap();
    for port in ["wlan0", "eth0"] {
        daemon.ask(&["switch", "bond0", port]).unwrap();
        wait_active(&daemon, port);
    }
    wait_ready(&daemon, &["eth0", "wlan0"]);
    assert_eq!(associations(&wifi, &access_point), 1, "{}", access_point.log());

    given_back(&wifi, &daemon, &found);
}

/// A second station on the same access point reaches the bond while the wire is active; what is for everybody comes once.
fn neighbours(wifi: &WifiHome, access_point: &AccessPoint<'_>) {
    let (phone, _radio) = wifi.station("phone", 20).unwrap();
    let joins = Supplicant::start(&phone, "wlan0", &[home_network()], None).unwrap();
    joins.wait_joined(PATIENCE).unwrap();
    access_point.wait_associated(&mac(&phone, "wlan0"), true, PATIENCE).unwrap();
    joins.wait_joined(PATIENCE).unwrap();
    let everybody = Meter::start_broadcast(&wifi.home.laptop, end(&wifi.home.router, 1), 50).unwrap();
    let meter = Meter::start(end(&wifi.home.laptop, 5), end(&phone, 20), 100).unwrap();
    meter.wait_flowing(300, PATIENCE).unwrap();
    let total = meter.finish().total();
    assert_eq!((total.lost, total.duplicated), (0, 0), "{total:?}");
    let total = everybody.finish().total();
    assert!(total.sent >= 50, "{total:?}");
    assert_eq!((total.lost, total.duplicated), (0, 0), "what is for everybody: {total:?}");
}

/// To Wi-Fi and back under traffic, with power saving off wherever it would hurt.
fn pull_and_plug(wifi: &WifiHome, daemon: &Daemon<'_>) {
    let home = &wifi.home;
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, 200).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();
    home.pull("eth0").unwrap();
    wait_active(daemon, "wlan0");
    meter.wait_flowing(50, PATIENCE).unwrap();
    wait_for("power saving to be off", || (!saves_power(&home.laptop, "wlan0")).then_some(()));
    wait_port(daemon, "wlan0", "awake", |port| port["wifi"]["power_save"] == false);
    meter.mark("plug");
    home.plug("eth0").unwrap();
    wait_active(daemon, "eth0");
    meter.wait_flowing(50, PATIENCE).unwrap();
    let report = meter.finish();
    for interval in report.labelled("plug") {
        let counts = interval.both();
        assert_eq!((counts.lost, counts.duplicated), (0, 0), "{counts:?}");
    }
}

/// Traffic goes on without it, and the next one finds the association.
fn daemon_dies(wifi: &WifiHome, daemon: &mut Daemon<'_>) {
    let before = supplicant_pid(daemon).expect("wpa_supplicant runs");
    wifi.home.pull("eth0").unwrap();
    wait_active(daemon, "wlan0");
    let (near, far) = wifi.home.ends(0);
    let mut meter = Meter::start(near, far, 200).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();
    meter.mark("dead");
    daemon.kill9().unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();
    daemon.restart().unwrap();
    wait_active(daemon, "wlan0");
    meter.wait_flowing(50, PATIENCE).unwrap();
    meter.mark("back");
    for interval in meter.finish().labelled("dead") {
        let counts = interval.both();
        assert_eq!((counts.lost, counts.duplicated), (0, 0), "{counts:?}");
    }
    wifi.home.plug("eth0").unwrap();
    wait_ready(daemon, &["eth0", "wlan0"]);
    assert_eq!(supplicant_pid(daemon), Some(before), "the same wpa_supplicant");
}

/// The ports are as they were found, and nothing is left running.
fn given_back(wifi: &WifiHome, daemon: &Daemon<'_>, found: &str) {
    let laptop = &wifi.home.laptop;
    let supplicant = supplicant_pid(daemon).expect("wpa_supplicant runs");
    daemon.ask(&["down"]).unwrap();
    wait_for("wpa_supplicant to end", || {
        (!std::path::Path::new(&format!("/proc/{supplicant}")).exists()).then_some(())
    });
    assert!(!supplicant_directory(daemon).join("control/wlan0").exists());
    let wlan0 = link(laptop, "wlan0");
    assert_eq!(wlan0["address"], found, "{wlan0:#}");
    assert!(wlan0["master"].is_null(), "{wlan0:#}");
    assert!(!wlan0["flags"].to_string().contains("\"UP\""), "{wlan0:#}");
    assert!(saves_power(laptop, "wlan0"));
    assert!(laptop.ip("link show dev bond0").is_err());
    let station = laptop.run(&["iw", "dev", "wlan0", "link"]).unwrap();
    assert!(station.contains("Not connected"), "{station}");
    wifi.home.use_plainly("eth0").unwrap();
    laptop.run(&["ping", "-c1", "-W5", &Home::gateway().to_string()]).unwrap();
}
