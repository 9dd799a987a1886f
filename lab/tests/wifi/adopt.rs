//! `hitless adopt` of a wire in use, and a radio beside it.

use hitless_lab::{Daemon, Home, Meter};

use crate::support::{
    PATIENCE, by_passphrase, entry, home_network, home_with, in_guest, mac, wait_active, wait_settled, wifi,
};

/// Another bond, which the file has already.
const OTHER: &str = "[bond.bond7]\nports = [\"eth7\"]\n";

#[test]
fn guest_a_wire_in_use_and_a_radio_are_adopted() {
    in_guest("adopt::guest_a_wire_in_use_and_a_radio_are_adopted", || {
        for driver in ["ebpf", "kernel"] {
            adopts(driver);
        }
    });
}

fn adopts(driver: &str) {
    let wifi_home = home_with(2);
    let access_point = wifi_home.access_point(home_network()).unwrap();
    let home = &wifi_home.home;
    home.use_plainly("eth0").unwrap();
    home.laptop.ip(&format!("route add default via {}", Home::gateway())).unwrap();
    let address = mac(&home.laptop, "eth0");
    let daemon = Daemon::start_with_config(&home.laptop, OTHER).unwrap();
    // What the radio is to join is known before it is a port.
    daemon.write_config(&(OTHER.to_owned() + &wifi("wlan0", &[&by_passphrase("home")]))).unwrap();
    let (near, far) = home.ends(0);
    let meter = Meter::start(near, far, 100).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();

    let mut running =
        daemon.begin_command(&["adopt", "eth0", "wlan0", "--driver", driver, "--confirm", "200"]).unwrap();
    running.wait_said("hitless confirm").unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();
    let bond = wait_settled(&daemon, &["eth0", "wlan0"], &wifi_home, &access_point);
    assert_eq!(entry(&bond, "wlan0")["wifi"]["ssid"], "home", "{bond:#}");
    assert_eq!(mac(&home.laptop, "bond0"), address);
    daemon.ask(&["confirm"]).unwrap();
    let (code, said) = running.outcome().unwrap();
    assert_eq!(code, Some(0), "{said}");

    home.pull("eth0").unwrap();
    wait_active(&daemon, "wlan0");
    meter.wait_flowing(50, PATIENCE).unwrap();
    assert_eq!(meter.finish().total().duplicated, 0);
    daemon.ask(&["down"]).unwrap();
    assert_eq!(mac(&home.laptop, "eth0"), address);
}
