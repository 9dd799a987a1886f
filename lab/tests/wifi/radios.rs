//! Several radios in one bond.

use hitless_lab::{Daemon, Meter};

use crate::support::{
    PATIENCE, bond, by_passphrase, home_network, home_with, in_guest, wait_active, wait_for, wait_ready,
    wait_settled, wifi,
};

#[test]
fn guest_two_radios_ebpf() {
    in_guest("radios::guest_two_radios_ebpf", || two_radios("ebpf"));
}

#[test]
fn guest_two_radios_kernel() {
    in_guest("radios::guest_two_radios_kernel", || two_radios("kernel"));
}

/// Both join the same access point; when one goes, the other goes on.
fn two_radios(driver: &str) {
    let home = home_with(3);
    let access_point = home.access_point(home_network()).unwrap();
    let second = home.second_radio("wlan1").unwrap();
    let network = by_passphrase("home");
    let config =
        bond(driver, r#"["wlan0", "wlan1"]"#, "") + &wifi("wlan0", &[&network]) + &wifi("wlan1", &[&network]);
    let daemon = Daemon::start_with_config(&home.home.laptop, &config).unwrap();
    wait_settled(&daemon, &["wlan0", "wlan1"], &home, &access_point);
    let (near, far) = home.home.ends(0);
    let meter = Meter::start(near, far, 100).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    // They do not get into each other's way.
    let joined = access_point.log().matches("AP-STA-CONNECTED").count();
    meter.wait_flowing(300, PATIENCE).unwrap();
    assert_eq!(access_point.log().matches("AP-STA-CONNECTED").count(), joined, "{}", access_point.log());

    home.radio.set_blocked(true).unwrap();
    wait_active(&daemon, "wlan1");
    meter.wait_flowing(50, PATIENCE).unwrap();
    home.radio.set_blocked(false).unwrap();
    wait_ready(&daemon, &["wlan0", "wlan1"]);
    second.set_blocked(true).unwrap();
    wait_for("the second to be off", || {
        let bond = daemon.bond("bond0").unwrap();
        bond["ports"][1]["wifi"]["blocked"].is_string().then_some(())
    });
    meter.wait_flowing(50, PATIENCE).unwrap();
    second.set_blocked(false).unwrap();
    wait_ready(&daemon, &["wlan0", "wlan1"]);
    meter.wait_flowing(50, PATIENCE).unwrap();
    let total = meter.finish().total();
    assert_eq!(total.duplicated, 0, "{total:?}");
}
