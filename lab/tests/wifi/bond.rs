//! Wire and Wi-Fi in one bond, on real 802.11.

use hitless_lab::wifi::{Network, Security, WifiHome, WifiOptions};
use hitless_lab::{Daemon, Meter};
use serde_json::Value;

use crate::support::{PATIENCE, SECOND, in_guest};

const PASSPHRASE: &str = "correct horse battery";

fn network() -> Network {
    Network::new("home", Security::Wpa2Psk(PASSPHRASE.into()))
}

fn config(driver: &str) -> String {
    format!(
        "[bond.bond0]\ndriver = \"{driver}\"\nports = [\"eth0\", \"wlan0\"]\n\
         [bond.bond0.ip]\naddress = [\"192.168.1.5/24\", \"fd00:1::5/64\"]\ngateway = [\"192.168.1.1\"]\n\
         [wifi.wlan0]\ncountry = \"AT\"\n[[wifi.wlan0.network]]\nssid = \"home\"\npsk = \"{PASSPHRASE}\"\n"
    )
}

#[test]
fn guest_ebpf() {
    in_guest("bond::guest_ebpf", || wire_and_wifi("ebpf"));
}

#[test]
fn guest_kernel() {
    in_guest("bond::guest_kernel", || wire_and_wifi("kernel"));
}

fn ready(bond: &Value) -> bool {
    let ports = bond["ports"].as_array().cloned().unwrap_or_default();
    ports.len() == 2 && ports.iter().all(|port| port["link"] == "up" && port["waiting"].is_null())
}

fn wire_and_wifi(driver: &str) {
    let wifi = WifiHome::new(WifiOptions { radios: 2, ..WifiOptions::default() }).unwrap();
    let access_point = wifi.access_point(network()).unwrap();
    let daemon = Daemon::start_with_config(&wifi.home.laptop, &config(driver)).unwrap();
    let bond = daemon.wait_bond("bond0", "both ports to be ready", PATIENCE, ready).unwrap();
    println!("{bond:#}");
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wifi.home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    wifi.home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    println!("{}", daemon.log());
    println!("{}", daemon.ask(&["status"]).unwrap());
    println!("{}", daemon.ask(&["wifi", "status"]).unwrap());
    println!("{}", daemon.ask(&["wifi", "list"]).unwrap());
    println!("{}", daemon.ask(&["wifi", "scan"]).unwrap());
    let _ = (&access_point, SECOND, std::any::type_name::<Meter>());
}
