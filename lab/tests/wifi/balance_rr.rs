//! Two radios that carry traffic in turn.

use hitless_lab::{Daemon, Home, Meter, Namespace};
use serde_json::Value;

use crate::support::{
    PATIENCE, associations, bond, by_passphrase, entry, home_network, home_with, in_guest, mac, wait_for,
    wifi,
};

#[test]
fn guest_balance_rr_kernel() {
    in_guest("balance_rr::guest_balance_rr_kernel", || two_access_points("kernel"));
}

/// Waits until exactly these ports carry traffic.
fn wait_in_use(daemon: &Daemon<'_>, ports: &[&str]) {
    daemon
        .wait_bond("bond0", &format!("{ports:?} to be in use"), PATIENCE, |bond| {
            ["wlan0", "wlan1"].iter().all(|port| entry(bond, port)["active"] == ports.contains(port))
        })
        .unwrap();
}

/// Waits until each of these ports has sent so many frames more.
fn wait_sent(host: &Namespace, ports: &[&str], frames: u64) {
    let sent = |port: &str| Home::frames(host, port).unwrap().1;
    let enough: Vec<_> = ports.iter().map(|port| sent(port) + frames).collect();
    wait_for(&format!("{ports:?} to send"), || {
        ports.iter().zip(&enough).all(|(port, enough)| sent(port) >= *enough).then_some(())
    });
}

/// Each joins an access point of its own, of the same network; when one goes, the other carries everything.
fn two_access_points(driver: &str) {
    let home = home_with(4);
    let upstairs = home.access_point(home_network()).unwrap();
    let downstairs = home.access_point(home_network()).unwrap();
    let second = home.second_radio("wlan1").unwrap();
    let laptop = &home.home.laptop;
    let pinned = |bssid: String| by_passphrase("home") + &format!("bssid = \"{bssid}\"\n");
    let config = |other: String| {
        bond(driver, r#"["wlan0", "wlan1"]"#, "mode = \"balance-rr\"")
            + &wifi("wlan0", &[&pinned(upstairs.bssid().unwrap())])
            + &wifi("wlan1", &[&pinned(other)])
    };
    let daemon = Daemon::start_with_config(laptop, &config(downstairs.bssid().unwrap())).unwrap();
    wait_in_use(&daemon, &["wlan0", "wlan1"]);
    assert_eq!(mac(laptop, "wlan0"), mac(laptop, "wlan1"), "they share one address");

    let (near, far) = home.home.ends(0);
    let mut meter = Meter::start(near, far, 100).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    wait_sent(laptop, &["wlan0", "wlan1"], 50);
    for (radio, port, other) in [(&home.radio, "wlan0", "wlan1"), (&second, "wlan1", "wlan0")] {
        radio.set_blocked(true).unwrap();
        wait_in_use(&daemon, &[other]);
        meter.wait_flowing(50, PATIENCE).unwrap();
        radio.set_blocked(false).unwrap();
        wait_in_use(&daemon, &["wlan0", "wlan1"]);
        wait_sent(laptop, &[port], 50);
    }
    for (access_point, port) in [(&upstairs, "wlan0"), (&downstairs, "wlan1")] {
        access_point.wait_associated(&mac(laptop, port), true, PATIENCE).unwrap();
    }
    wait_in_use(&daemon, &["wlan0", "wlan1"]);
    meter.mark("quiet");
    let joined = || associations(&home, &upstairs) + associations(&home, &downstairs);
    let before = joined();
    meter.wait_flowing(200, PATIENCE).unwrap();
    assert_eq!(joined(), before, "they do not push each other out");
    let report = meter.finish();
    let quiet = report.labelled("quiet").next().unwrap().both();
    assert_eq!((quiet.lost, quiet.duplicated), (0, 0), "{quiet:?}");

    // At one access point they are one station.
    daemon.write_config(&config(upstairs.bssid().unwrap())).unwrap();
    daemon.ask(&["reload"]).unwrap();
    let told =
        |bond: &Value| entry(bond, "wlan1")["waiting"].to_string().contains("an access point of its own");
    daemon.wait_bond("bond0", "wlan1 to be told apart", PATIENCE, told).unwrap();
    daemon.write_config(&config(downstairs.bssid().unwrap())).unwrap();
    daemon.ask(&["reload"]).unwrap();
    wait_in_use(&daemon, &["wlan0", "wlan1"]);
    let settled = |bond: &Value| entry(bond, "wlan1")["waiting"].is_null();
    daemon.wait_bond("bond0", "wlan1 to wait for nothing", PATIENCE, settled).unwrap();
}
