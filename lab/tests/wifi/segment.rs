//! A bond is right within one layer-2 segment only.

use hitless_lab::wifi::{Network, Security, WifiHome, WifiOptions};
use hitless_lab::{Daemon, Home, HomeOptions, Meter, Namespace};

use crate::support::{
    PASSPHRASE, PATIENCE, bond, by_passphrase, end, home_network, home_with, in_guest, link, wait_active,
    wait_bond, wait_for, wait_port, wait_ready, wifi, wire_and_home,
};

#[test]
fn guest_network_of_another_name() {
    in_guest("segment::guest_network_of_another_name", another_name);
}

#[test]
fn guest_network_of_another_segment() {
    in_guest("segment::guest_network_of_another_segment", another_segment);
}

/// In a network that `ssid-allow` does not name, the station is no port.
fn another_name() {
    let home = home_with(3);
    let mut at_home = home.access_point(home_network()).unwrap();
    let mut cafe =
        home.access_point(Network::new("cafe", Security::Wpa2Psk(PASSPHRASE.into())).on_channel(6)).unwrap();
    let networks = [by_passphrase("home") + "priority = 10\n", by_passphrase("cafe")];
    let config = bond("ebpf", r#"["eth0", "wlan0"]"#, "ssid-allow = [\"home\"]")
        + &wifi("wlan0", &[&networks[0], &networks[1]]);
    let daemon = Daemon::start_with_config(&home.home.laptop, &config).unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);

    at_home.stop_politely().unwrap();
    let port = wait_port(&daemon, "wlan0", "in the café", |port| port["wifi"]["ssid"] == "cafe");
    let port = if port["waiting"].is_null() {
        wait_port(&daemon, "wlan0", "out of the bond", |port| port["waiting"].is_string())
    } else {
        port
    };
    assert!(port["waiting"].as_str().unwrap().contains("cafe"), "{port:#}");
    // Nothing is sent there, and nothing that comes from there gets in.
    let filters = || home.home.laptop.run(&["tc", "filter", "show", "dev", "wlan0", "ingress"]);
    wait_for("wlan0 to be no port", || filters().unwrap_or_default().trim().is_empty().then_some(()));
    home.home.pull("eth0").unwrap();
    wait_bond(&daemon, "no port to be active", PATIENCE, |bond| bond["active"].is_null());
    home.home.plug("eth0").unwrap();
    wait_active(&daemon, "eth0");

    at_home.restart().unwrap();
    cafe.stop_politely().unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
    home.home.pull("eth0").unwrap();
    wait_active(&daemon, "wlan0");
    let (near, far) = home.home.ends(0);
    Meter::start(near, far, 100).unwrap().wait_flowing(50, PATIENCE).unwrap();
    daemon.ask(&["down"]).unwrap();
}

/// An access point of the same name on another switch, with a gateway of the same address.
fn another_segment() {
    let options = HomeOptions { segments: 2, ..HomeOptions::default() };
    let home = WifiHome::new(WifiOptions { radios: 2, home: options }).unwrap();
    let neighbour = elsewhere(&home);
    let mut network = home_network();
    network.hostapd = "bridge=br1\n".to_owned();
    let _theirs = home.access_point(network).unwrap();
    assert_eq!(link(&home.home.switch, "ap0")["master"], "br1");

    let daemon = Daemon::start_with_config(&home.home.laptop, &wire_and_home("ebpf", "")).unwrap();
    wait_active(&daemon, "eth0");
    let port = wait_port(&daemon, "wlan0", "out of the bond", |port| {
        port["wifi"]["ssid"] == "home"
            && port["waiting"].as_str().is_some_and(|waiting| waiting.contains("another network"))
    });
    assert!(port["waiting"].as_str().unwrap().contains(&Home::gateway().to_string()), "{port:#}");
    assert!(daemon.log().contains("another network"), "{}", daemon.log());
    let (near, far) = home.home.ends(0);
    let meter = Meter::start(near, far, 100).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();

    // Whoever wants it gets it, and is told.
    let watch = daemon.watch().unwrap();
    daemon.write_config(&wire_and_home("ebpf", "same-segment = \"warn\"")).unwrap();
    daemon.ask(&["reload"]).unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
    watch.wait("a warning", PATIENCE, |event| event["notice"]["kind"] == "other_segment").unwrap();
    home.home.pull("eth0").unwrap();
    wait_active(&daemon, "wlan0");
    let meter = Meter::start(end(&home.home.laptop, 5), end(&neighbour, 1), 100).unwrap();
    meter.wait_flowing(50, PATIENCE).unwrap();
    daemon.ask(&["down"]).unwrap();
}

/// Another network's router, which has the same address as ours.
fn elsewhere(home: &WifiHome) -> Namespace {
    let router = Namespace::new("elsewhere").unwrap();
    let switch = &home.home.switch;
    switch.ip(&format!("link add uplink9 type veth peer name lan9 netns {}", router.name())).unwrap();
    switch.ip("link set uplink9 master br1 up").unwrap();
    home.address(&router, "lan9", 1).unwrap();
    router
}
