//! How a port joins: by WPA3 and by both, hidden networks, wrong passphrases, and by command.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hitless_lab::Daemon;
use hitless_lab::wait::linger;
use hitless_lab::wifi::{AccessPoint, Network, Security};
use serde_json::Value;

use crate::support::{
    PASSPHRASE, PATIENCE, SECOND, WRONG, bond, by_passphrase, control, entry, home_network, home_with,
    in_guest, is_ready, supplicant_pid, wait_active, wait_bond, wait_for, wait_port, wait_ready, wifi,
    wire_and_home,
};

#[test]
fn guest_wpa3_transition_hidden_and_owe() {
    in_guest("join::guest_wpa3_transition_hidden_and_owe", kinds_of_networks);
}

#[test]
fn guest_wrong_passphrase() {
    in_guest("join::guest_wrong_passphrase", wrong_passphrase);
}

#[test]
fn guest_without_wpa_supplicant() {
    in_guest("join::guest_without_wpa_supplicant", without_wpa_supplicant);
}

fn kinds_of_networks() {
    let home = home_with(2);
    let ports = r#"["eth0", "wlan0"]"#;
    let networks = |network: &str| bond("ebpf", ports, "") + &wifi("wlan0", &[network]);
    let passphrase = || PASSPHRASE.to_owned();
    let mut access_point = home.access_point(Network::new("home", Security::Wpa3Sae(passphrase()))).unwrap();
    let sae = by_passphrase("home") + "security = \"sae\"\n";
    let daemon = Daemon::start_with_config(&home.home.laptop, &networks(&sae)).unwrap();
    assert_eq!(joined(&daemon, &access_point), ("SAE".to_owned(), true));

    // WPA3 where it is there, also if WPA2 would do.
    let kinds = [
        (by_passphrase("home"), Network::new("home", Security::Transition(passphrase())), ("SAE", true)),
        (
            by_passphrase("cellar") + "hidden = true\n",
            Network { hidden: true, ..Network::new("cellar", Security::Wpa2Psk(passphrase())) },
            ("WPA2-PSK", false),
        ),
        (
            "ssid = \"lounge\"\nsecurity = \"owe\"\n".to_owned(),
            Network::new("lounge", Security::Owe),
            ("OWE", true),
        ),
        (
            "ssid = \"square\"\nsecurity = \"open\"\n".to_owned(),
            Network::new("square", Security::Open),
            ("NONE", false),
        ),
    ];
    for (config, network, (key_mgmt, protected)) in kinds {
        daemon.write_config(&networks(&config)).unwrap();
        daemon.ask(&["reload"]).unwrap();
        access_point.offer(network).unwrap();
        assert_eq!(joined(&daemon, &access_point), (key_mgmt.to_owned(), protected));
    }
}

/// How wlan0 joined the access point's network: by which means, and are management frames protected?
fn joined(daemon: &Daemon<'_>, access_point: &AccessPoint<'_>) -> (String, bool) {
    let ssid = access_point.network().ssid.as_str();
    let bssid = access_point.bssid().unwrap();
    let control = control(daemon, "wlan0");
    wait_for(&format!("wlan0 to join \"{ssid}\""), || {
        // It may not be spoken to yet.
        let status = |key: &str| control.status(key).ok().flatten();
        (status("wpa_state")? == "COMPLETED" && status("ssid")? == ssid && status("bssid")? == bssid)
            .then_some(())
    });
    wait_port(daemon, "wlan0", &format!("in \"{ssid}\""), |port| {
        is_ready(port) && port["wifi"]["ssid"] == ssid && port["wifi"]["bssid"] == bssid.as_str()
    });
    let pmf = control.status("pmf").unwrap();
    (control.status("key_mgmt").unwrap().unwrap_or_default(), pmf.is_some_and(|pmf| pmf != "0"))
}

/// The daemon's word for what is wrong with wlan0.
fn fault(daemon: &Daemon<'_>) -> String {
    let port = wait_port(daemon, "wlan0", "the passphrase is wrong", |port| {
        port["wifi"]["fault"].as_str().is_some_and(|fault| fault.contains("does not accept the passphrase"))
    });
    port["wifi"]["fault"].as_str().unwrap().to_owned()
}

fn wrong_passphrase() {
    let home = home_with(2);
    let mut access_point = home.access_point(home_network()).unwrap();
    let wrong = wire_and_home("ebpf", "").replace(PASSPHRASE, WRONG);
    let daemon = Daemon::start_with_config(&home.home.laptop, &wrong).unwrap();
    wait_active(&daemon, "eth0");
    assert!(fault(&daemon).contains("home"));
    tries_seldom(&daemon, &access_point);
    let stations = stations(&daemon);
    let told = stations[0]["wifi"]["fault"].as_str().unwrap();
    assert!(told.contains("does not accept the passphrase"), "{stations:#}");
    for command in [&["status"][..], &["wifi", "status"], &["wifi", "list"]] {
        let said = daemon.ask(command).unwrap();
        assert!(said.contains("passphrase") || said.contains("hitless wifi status"), "{command:?}: {said}");
    }

    daemon.write_config(&wire_and_home("ebpf", "")).unwrap();
    daemon.ask(&["reload"]).unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
    assert!(entry(&daemon.bond("bond0").unwrap(), "wlan0")["wifi"]["fault"].is_null());

    // The same by WPA3; and what is typed counts more than what the file has.
    access_point.offer(Network::new("home", Security::Wpa3Sae(PASSPHRASE.into()))).unwrap();
    daemon.write_config(&wrong).unwrap();
    daemon.ask(&["reload"]).unwrap();
    fault(&daemon);
    tries_seldom(&daemon, &access_point);
    let file = daemon.socket().with_file_name("right.psk");
    fs::write(&file, PASSPHRASE).unwrap();
    let file = file.to_str().unwrap();
    daemon.ask(&["wifi", "connect", "home", "--psk-file", file]).unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
    daemon.ask(&["reload"]).unwrap();
    wait_ready(&daemon, &["eth0", "wlan0"]);
}

/// One wpa_supplicant for all of it, and no more than a few attempts.
fn tries_seldom(daemon: &Daemon<'_>, access_point: &AccessPoint<'_>) {
    let process = supplicant_pid(daemon).expect("wpa_supplicant runs");
    let tried = || {
        let log = access_point.log();
        log.lines().filter(|line| line.contains("IEEE 802.11: authenticated")).count()
    };
    let before = tried();
    linger(5 * SECOND).unwrap();
    let tries = tried() - before;
    assert!(tries <= 4, "{tries} within 5 s: {}", access_point.log());
    assert_eq!(supplicant_pid(daemon), Some(process), "it was not restarted");
    assert!(!daemon.log().contains("wpa_supplicant ended"), "{}", daemon.log());
    fault(daemon);
}

/// `hitless wifi status --json`.
fn stations(daemon: &Daemon<'_>) -> Value {
    let said = daemon.ask(&["wifi", "status", "--json"]).unwrap();
    serde_json::from_str::<Value>(&said).unwrap()["stations"].clone()
}

fn without_wpa_supplicant() {
    // As if it had not been installed: nothing here outlives the guest.
    let places: Vec<_> = ["/usr/sbin", "/sbin", "/usr/bin"].map(Path::new).to_vec();
    let found: Vec<_> =
        places.iter().map(|place| place.join("wpa_supplicant")).filter(|path| path.is_file()).collect();
    assert!(!found.is_empty(), "wpa_supplicant is missing: install the package wpasupplicant");
    let home = home_with(2);
    let access_point = home.access_point(home_network()).unwrap();
    let directory = found[0].parent().unwrap().canonicalize().unwrap();
    let directory = directory.to_str().unwrap();
    let upper = Path::new("/run/overlay");
    fs::create_dir_all(upper.join("upper")).unwrap();
    fs::create_dir_all(upper.join("work")).unwrap();
    let options = format!("lowerdir={directory},upperdir=/run/overlay/upper,workdir=/run/overlay/work");
    let here = &home.home.laptop;
    let mount = std::process::Command::new("mount")
        .args(["-t", "overlay", "-o", &options, "overlay", directory])
        .status();
    assert!(mount.unwrap().success());
    fs::rename(&found[0], found[0].with_file_name("wpa_supplicant.away")).unwrap();

    let config = wire_and_home("ebpf", "").replace("[wifi.wlan0]\n", "[wifi.wlan0]\ncountry = \"AT\"\n");
    let daemon = Daemon::start_with_config(here, &config).unwrap();
    wait_active(&daemon, "eth0");
    let port = wait_port(&daemon, "wlan0", "without wpa_supplicant", |port| {
        port["wifi"]["fault"].as_str().is_some_and(|fault| fault.contains("wpasupplicant"))
    });
    let fault = port["wifi"]["fault"].as_str().unwrap();
    assert!(fault.contains("not installed") && fault.contains("package"), "{fault}");
    assert!(daemon.log().contains("package `wpasupplicant`"), "{}", daemon.log());
    assert!(daemon.ask(&["wifi", "status"]).unwrap().contains("wpasupplicant"));
    let refused = daemon.command(&["wifi", "connect", "home"]).unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("wpasupplicant"), "{refused:?}");

    // Somebody installs it.
    fs::rename(found[0].with_file_name("wpa_supplicant.away"), &found[0]).unwrap();
    let longer = PATIENCE + Duration::from_secs(15);
    wait_bond(&daemon, "wlan0 to be ready", longer, |bond| is_ready(entry(bond, "wlan0")));
    drop(access_point);
}
