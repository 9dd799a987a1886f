//! How a port loses its network, and gets it back.

use hitless_lab::wifi::{AccessPoint, WifiHome};
use hitless_lab::{Daemon, Meter};
use serde_json::Value;

use crate::support::{
    PATIENCE, SECOND, associations, bond, by_passphrase, control, end, entry, home_network, home_with,
    in_guest, is_ready, mac, supplicant_pid, wait_active, wait_for, wait_port, wait_ready, wait_settled,
    wifi,
};

#[test]
fn guest_access_point_gone_and_back() {
    in_guest("loss::guest_access_point_gone_and_back", access_point_gone);
}

#[test]
fn guest_radio_off_and_stick_out() {
    in_guest("loss::guest_radio_off_and_stick_out", radio_off);
}

#[test]
fn guest_supplicant_dies() {
    in_guest("loss::guest_supplicant_dies", supplicant_dies);
}

#[test]
fn guest_roams() {
    in_guest("loss::guest_roams", roams);
}

/// bond0 of Wi-Fi, with the wire as standby.
fn air_first() -> String {
    bond("ebpf", r#"["wlan0", "eth0"]"#, "") + &wifi("wlan0", &[&by_passphrase("home")])
}

/// Why the active port changed last.
fn cause(bond: &Value) -> &str {
    bond["last_failover"]["cause"].as_str().unwrap_or_default()
}

fn access_point_gone() {
    let wifi = home_with(2);
    let mut access_point = wifi.access_point(home_network()).unwrap();
    let daemon = Daemon::start_with_config(&wifi.home.laptop, &air_first()).unwrap();
    wait_settled(&daemon, &["wlan0", "eth0"], &wifi, &access_point);
    let (near, far) = wifi.home.ends(0);
    let meter = Meter::start(near, far, 200).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();

    // Its plug is pulled: nobody was left to tell, and it is noticed before the kernel gives it up.
    access_point.kill().unwrap();
    wait_active(&daemon, "eth0");
    let bond = daemon.bond("bond0").unwrap();
    assert_eq!(cause(&bond), "beacons_lost", "{bond:#}");
    meter.wait_flowing(100, PATIENCE).unwrap();
    access_point.restart().unwrap();
    wait_settled(&daemon, &["wlan0", "eth0"], &wifi, &access_point);
    meter.wait_flowing(100, PATIENCE).unwrap();

    // It is switched off by its menu.
    access_point.stop_politely().unwrap();
    wait_active(&daemon, "eth0");
    let bond = daemon.bond("bond0").unwrap();
    // The kernel takes the carrier away first, and then says why.
    assert!(["deauthenticated", "carrier_lost"].contains(&cause(&bond)), "{bond:#}");
    meter.wait_flowing(100, PATIENCE).unwrap();
    access_point.restart().unwrap();
    wait_settled(&daemon, &["wlan0", "eth0"], &wifi, &access_point);

    // It throws us out, and takes us in again at once.
    let before = associations(&wifi, &access_point);
    access_point.deauthenticate(&mac(&wifi.home.laptop, "wlan0")).unwrap();
    wait_for("the station to come again", || (associations(&wifi, &access_point) > before).then_some(()));
    wait_settled(&daemon, &["wlan0", "eth0"], &wifi, &access_point);
    meter.wait_flowing(100, PATIENCE).unwrap();
    let total = meter.finish().total();
    assert_eq!(total.duplicated, 0, "{total:?}");
}

fn radio_off() {
    let wifi = home_with(2);
    let access_point = wifi.access_point(home_network()).unwrap();
    let config = air_first().replace("[bond.bond0.ip]", "signal-min = -70\n[bond.bond0.ip]");
    let daemon = Daemon::start_with_config(&wifi.home.laptop, &config).unwrap();
    wait_settled(&daemon, &["wlan0", "eth0"], &wifi, &access_point);
    far_away(&wifi, &access_point, &daemon);
    let (near, far) = wifi.home.ends(0);
    let meter = Meter::start(near, far, 100).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();

    wifi.radio.set_blocked(true).unwrap();
    wait_active(&daemon, "eth0");
    let port = wait_port(&daemon, "wlan0", "off", |port| port["wifi"]["blocked"].is_string());
    assert_eq!(port["wifi"]["state"], "off", "{port:#}");
    assert!(daemon.ask(&["wifi", "status"]).unwrap().contains("rfkill"));
    meter.wait_flowing(50, PATIENCE).unwrap();
    wifi.radio.set_blocked(false).unwrap();
    let bond = wait_ready(&daemon, &["wlan0", "eth0"]);
    assert!(entry(&bond, "wlan0")["wifi"]["blocked"].is_null(), "{bond:#}");
    meter.wait_flowing(50, PATIENCE).unwrap();

    wifi.unplug_radio().unwrap();
    wait_active(&daemon, "eth0");
    wait_port(&daemon, "wlan0", "gone", |port| port["index"].is_null());
    meter.wait_flowing(50, PATIENCE).unwrap();
    wifi.plug_radio().unwrap();
    wait_ready(&daemon, &["wlan0", "eth0"]);
    meter.wait_flowing(50, PATIENCE).unwrap();
    drop(meter);
}

/// A weak signal makes a port a worse one, not a dead one.
fn far_away(wifi: &WifiHome, access_point: &AccessPoint<'_>, daemon: &Daemon<'_>) {
    access_point.radio.set_signal(-85).unwrap();
    wait_active(daemon, "eth0");
    let bond = daemon.bond("bond0").unwrap();
    assert_eq!(cause(&bond), "signal_low", "{bond:#}");
    assert_eq!(entry(&bond, "wlan0")["link"], "up", "{bond:#}");
    wifi.home.pull("eth0").unwrap();
    wait_active(daemon, "wlan0");
    wifi.home.plug("eth0").unwrap();
    wait_active(daemon, "eth0");
    access_point.radio.set_signal(-50).unwrap();
    wait_ready(daemon, &["wlan0", "eth0"]);
}

/// The program that holds the association is gone, and the association with it.
fn supplicant_dies() {
    let wifi = home_with(2);
    let access_point = wifi.access_point(home_network()).unwrap();
    let daemon = Daemon::start_with_config(&wifi.home.laptop, &air_first()).unwrap();
    wait_settled(&daemon, &["wlan0", "eth0"], &wifi, &access_point);
    let first = supplicant_pid(&daemon).expect("wpa_supplicant runs");
    let before = associations(&wifi, &access_point);
    let (near, far) = wifi.home.ends(0);
    let meter = Meter::start(near, far, 100).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(first).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    wait_for("another wpa_supplicant", || supplicant_pid(&daemon).filter(|pid| *pid != first));
    wait_for("it to join", || (associations(&wifi, &access_point) > before).then_some(()));
    wait_ready(&daemon, &["wlan0", "eth0"]);
    meter.wait_flowing(50, PATIENCE).unwrap();
    assert!(daemon.log().contains("wpa_supplicant ended"), "{}", daemon.log());
    drop(meter);
}

fn roams() {
    let wifi = home_with(3);
    let near = wifi.access_point(home_network()).unwrap();
    let mut network = home_network().on_channel(6);
    network.group_rekey = Some(5 * SECOND);
    let far = wifi.access_point(network).unwrap();
    far.radio.set_signal(-80).unwrap();
    // An emulated processor is slower than any radio.
    let config = bond("ebpf", r#"["eth0", "wlan0"]"#, "roam-grace = 10000")
        + &super::support::wifi("wlan0", &[&by_passphrase("home")]);
    let daemon = Daemon::start_with_config(&wifi.home.laptop, &config).unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
    let [near_bssid, far_bssid] = [near.bssid().unwrap(), far.bssid().unwrap()];
    wait_port(&daemon, "wlan0", "at the near one", |port| port["wifi"]["bssid"] == near_bssid.as_str());
    wait_settled(&daemon, &["eth0", "wlan0"], &wifi, &near);

    // As a standby: the access point tells the switch that the station is behind it, and the bond sees to it that
    // what comes in goes on coming by the wire.
    control(&daemon, "wlan0").roam(&far_bssid).unwrap();
    wait_port(&daemon, "wlan0", "at the far one", |port| {
        is_ready(port) && port["wifi"]["bssid"] == far_bssid.as_str()
    });
    comes_by_the_wire(&wifi);

    // The same after a change of the group key, should the switch have come to believe something else.
    let rekeyed = || far.log().matches("group key handshake completed").count();
    let before = rekeyed();
    let address = mac(&wifi.home.laptop, "bond0");
    wifi.home.switch.run(&["bridge", "fdb", "replace", &address, "dev", "ap1", "master", "dynamic"]).unwrap();
    wait_for("the group key to change", || (rekeyed() > before).then_some(()));
    comes_by_the_wire(&wifi);

    // As the only one that there is: no failover, and the bond keeps its carrier.
    wifi.home.pull("eth0").unwrap();
    wait_active(&daemon, "wlan0");
    let meter = Meter::start(end(&wifi.home.laptop, 5), end(&wifi.home.router, 1), 100).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();
    let watch = daemon.watch().unwrap();
    let before = daemon.bond("bond0").unwrap();
    control(&daemon, "wlan0").roam(&near_bssid).unwrap();
    wait_port(&daemon, "wlan0", "at the near one", |port| {
        is_ready(port) && port["wifi"]["bssid"] == near_bssid.as_str()
    });
    meter.wait_flowing(50, PATIENCE).unwrap();
    let after = daemon.bond("bond0").unwrap();
    assert_eq!(before["last_failover"], after["last_failover"]);
    assert_eq!(entry(&before, "wlan0")["link_failures"], entry(&after, "wlan0")["link_failures"]);
    let told: Vec<Value> = watch
        .events()
        .into_iter()
        .filter(|event| event["notice"]["kind"] == "carrier" || event["notice"]["kind"] == "failover")
        .collect();
    assert!(told.is_empty(), "{told:?}");
    drop(meter);
}

/// The switch believes that the bond is behind the wire.
fn comes_by_the_wire(wifi: &WifiHome) {
    let address = mac(&wifi.home.laptop, "bond0");
    wait_for("the switch to send to the wire", || {
        let known = wifi.home.switch.run(&["bridge", "fdb", "show", "br", "br0"]).unwrap();
        let line = known.lines().find(|line| line.starts_with(&address));
        line.is_some_and(|line| line.contains("dev swp0")).then_some(())
    });
    let (near, far) = wifi.home.ends(0);
    let meter = Meter::start(near, far, 100).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    let total = meter.finish().total();
    assert_eq!((total.lost, total.duplicated), (0, 0), "{total:?}");
}
