//! The laboratory itself: is its Wi-Fi what the tests that stand on it believe?

use hitless_lab::error::LabError;
use hitless_lab::meter::End;
use hitless_lab::wifi::{AccessPoint, Network, Security, Supplicant, WifiHome, WifiOptions};
use hitless_lab::{Daemon, Home, HomeOptions, Meter, qemu};

use crate::support::{LIMIT, PATIENCE, SECOND, in_guest, wait_active};

#[test]
fn a_guest_with_wifi_runs_a_command() {
    let command = ["sh", "-c", "echo out; ip link add bond0 type bond mode active-backup && exit 7"];
    let output = qemu::run(&command, LIMIT).unwrap();
    assert_eq!((output.code, output.stdout.as_str()), (7, "out\n"), "{output:?}");
}

#[test]
fn a_guest_with_wifi_that_hangs_is_killed() {
    let output = qemu::run(&["sleep", "1000"], 15 * SECOND);
    assert!(matches!(output, Err(LabError::Guest { .. })), "{output:?}");
}

#[test]
fn a_guest_station_joins_by_wpa2() {
    in_guest("laboratory::a_guest_station_joins_by_wpa2", || {
        joins(Security::Wpa2Psk("correct horse".into()));
    });
}

#[test]
fn a_guest_station_joins_by_sae() {
    in_guest("laboratory::a_guest_station_joins_by_sae", || joins(Security::Wpa3Sae("correct horse".into())));
}

/// A station joins, and reaches the gateway through the access point.
fn joins(security: Security) {
    let wifi = WifiHome::new(WifiOptions::default()).unwrap();
    let network = Network::new("home", security);
    let access_point = wifi.access_point(network.clone()).unwrap();
    wifi.address(&wifi.home.laptop, "wlan0", 5).unwrap();
    let supplicant = Supplicant::start(&wifi.home.laptop, "wlan0", &[network], None).unwrap();
    supplicant.wait_joined(PATIENCE).unwrap();
    let mac = supplicant.status("address").unwrap().unwrap();
    access_point.wait_associated(&mac, true, PATIENCE).unwrap();
    assert!(access_point.associations(&mac) >= 1, "{}", access_point.log());
    assert!(access_point.connections(&mac) >= 1, "{}", access_point.log());
    let (near, far) = wifi.home.ends(0);
    let meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(500, PATIENCE).unwrap();
    let total = meter.finish().total();
    assert!(total.sent >= 1000, "{total:?}");
}

#[test]
fn a_guest_with_wifi_carries_bonds_of_both_drivers() {
    in_guest("laboratory::a_guest_with_wifi_carries_bonds_of_both_drivers", || {
        for driver in ["ebpf", "kernel"] {
            let home = Home::new(HomeOptions::default()).unwrap();
            let config = format!(
                "[bond.bond0]\ndriver = \"{driver}\"\nports = [\"eth0\", \"wlan0\"]\n\
                 [bond.bond0.ip]\naddress = [\"192.168.1.5/24\"]\ngateway = [\"192.168.1.1\"]\n"
            );
            let daemon = Daemon::start_with_config(&home.laptop, &config).unwrap();
            wait_active(&daemon, "eth0");
            let (near, far) = home.ends(0);
            let meter = Meter::start(near, far, 500).unwrap();
            meter.wait_flowing(100, PATIENCE).unwrap();
            home.pull("eth0").unwrap();
            wait_active(&daemon, "wlan0");
            meter.wait_flowing(100, PATIENCE).unwrap();
            drop(meter);
        }
    });
}

#[test]
fn a_guest_station_notices_how_its_access_point_goes() {
    in_guest("laboratory::a_guest_station_notices_how_its_access_point_goes", || {
        let wifi = WifiHome::new(WifiOptions::default()).unwrap();
        let network = Network::new("home", Security::Wpa2Psk("correct horse".into()));
        let mut access_point = wifi.access_point(network.clone()).unwrap();
        wifi.address(&wifi.home.laptop, "wlan0", 5).unwrap();
        let supplicant = Supplicant::start(&wifi.home.laptop, "wlan0", &[network], None).unwrap();
        supplicant.wait_joined(PATIENCE).unwrap();
        let mac = supplicant.status("address").unwrap().unwrap();

        // Where processors are busy, the last message of a handshake may be lost, and the station comes again.
        let joined = |access_point: &AccessPoint<'_>| {
            access_point.wait_associated(&mac, true, PATIENCE).unwrap();
            supplicant.wait_joined(PATIENCE).unwrap();
        };
        joined(&access_point);

        access_point.deauthenticate(&mac).unwrap();
        supplicant.wait_left("reason=2", PATIENCE).unwrap();
        joined(&access_point);

        access_point.stop_politely().unwrap();
        supplicant.wait_left("reason=3", PATIENCE).unwrap();
        access_point.restart().unwrap();
        joined(&access_point);

        access_point.kill().unwrap();
        // Nobody was left to tell: the station had to miss beacons.
        supplicant.wait_left("reason=4 locally_generated=1", PATIENCE).unwrap();
        access_point.restart().unwrap();
        joined(&access_point);
        assert!(access_point.associations(&mac) >= 4, "{}", access_point.log());
    });
}

#[test]
fn a_guest_station_roams_and_talks_to_its_neighbour() {
    in_guest("laboratory::a_guest_station_roams_and_talks_to_its_neighbour", || {
        let wifi = WifiHome::new(WifiOptions::default()).unwrap();
        let network = Network::new("home", Security::Wpa3Sae("correct horse".into()));
        let near = wifi.access_point(network.clone()).unwrap();
        let far = wifi.access_point(network.clone().on_channel(36)).unwrap();
        far.radio.set_signal(-80).unwrap();
        let networks = [network];
        let (phone, _radio) = wifi.station("phone", 20).unwrap();
        let phone_joins = Supplicant::start(&phone, "wlan0", &networks, None).unwrap();
        wifi.address(&wifi.home.laptop, "wlan0", 5).unwrap();
        let supplicant = Supplicant::start(&wifi.home.laptop, "wlan0", &networks, None).unwrap();
        supplicant.wait_joined(PATIENCE).unwrap();
        phone_joins.wait_joined(PATIENCE).unwrap();
        let heard = supplicant.request("SCAN_RESULTS").unwrap();
        let signal = |bssid: &str| {
            let line = heard.lines().find(|line| line.starts_with(bssid)).map(str::to_owned);
            line.and_then(|line| line.split('\t').nth(2)?.parse::<i32>().ok())
        };
        assert_eq!(signal(&near.bssid().unwrap()), Some(-50), "{heard}");
        assert_eq!(signal(&far.bssid().unwrap()), Some(-80), "{heard}");
        assert_eq!(supplicant.status("bssid").unwrap(), Some(near.bssid().unwrap()));

        supplicant.roam(&far.bssid().unwrap()).unwrap();
        let mac = supplicant.status("address").unwrap().unwrap();
        far.wait_associated(&mac, true, PATIENCE).unwrap();
        near.forget(&mac).unwrap();
        let end = |host, n| End { host, address: Home::ipv4(0, n).into() };
        let ends = (end(&wifi.home.laptop, 5), end(&phone, 20));
        let meter = Meter::start(ends.0, ends.1, 100).unwrap();
        meter.wait_flowing(100, PATIENCE).unwrap();
    });
}

#[test]
fn a_guest_radio_is_unplugged_switched_off_and_out_of_reach() {
    in_guest("laboratory::a_guest_radio_is_unplugged_switched_off_and_out_of_reach", || {
        let wifi = WifiHome::new(WifiOptions { radios: 2, ..WifiOptions::default() }).unwrap();
        let laptop = &wifi.home.laptop;
        let network = Network::new("home", Security::Open);
        let access_point = wifi.access_point(network.clone()).unwrap();
        wifi.unplug_radio().unwrap();
        assert!(laptop.ip("link show dev wlan0").is_err());
        wifi.plug_radio().unwrap();
        wifi.address(laptop, "wlan0", 5).unwrap();
        let supplicant = Supplicant::start(laptop, "wlan0", &[network], None).unwrap();
        supplicant.wait_joined(PATIENCE).unwrap();
        wifi.radio.set_blocked(true).unwrap();
        wifi.home.wait_carrier("wlan0", false).unwrap();
        wifi.radio.set_blocked(false).unwrap();
        supplicant.wait_joined(PATIENCE).unwrap();
        access_point.radio.set_reachable(false).unwrap();
        supplicant.wait_left("reason=4 locally_generated=1", PATIENCE).unwrap();
        access_point.radio.set_reachable(true).unwrap();
        supplicant.wait_joined(PATIENCE).unwrap();
        // Its radios go with it, and another home can be built.
        drop((supplicant, access_point));
        drop(wifi);
        WifiHome::new(WifiOptions { radios: 1, ..WifiOptions::default() }).unwrap();
    });
}
