//! What the tests have in common: the guest, configurations, and what a bond says of itself.

use std::path::PathBuf;
use std::time::Duration;

use hitless_lab::meter::End;
use hitless_lab::wait::{Look, until};
use hitless_lab::wifi::{AccessPoint, Control, Network, Security, WifiHome, WifiOptions};
use hitless_lab::{Daemon, Home, Namespace, qemu};
use serde_json::Value;

use crate::journal::Journal;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How long a guest may take, boot included.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// How long anything may take that is to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The passphrase of every network; nothing else that is printed has these words in it.
pub(crate) const PASSPHRASE: &str = "correct horse battery";

/// One that no network has.
pub(crate) const WRONG: &str = "staple battery horse";

/// Runs the body in a guest, and prints the journal if it fails. `test` is the path of the test that calls this.
pub(crate) fn in_guest(test: &str, body: impl FnOnce()) {
    if qemu::in_guest() {
        let _journal = Journal::open();
        body();
    } else if let Err(error) = qemu::rerun(test, LIMIT) {
        panic!("{error}");
    }
}

/// A home with so many radios.
pub(crate) fn home_with(radios: u8) -> WifiHome {
    WifiHome::new(WifiOptions { radios, ..WifiOptions::default() }).unwrap()
}

/// The network at home, by WPA2.
pub(crate) fn home_network() -> Network {
    Network::new("home", Security::Wpa2Psk(PASSPHRASE.into()))
}

/// bond0 with these ports, as an array in TOML, and options; it has the addresses of host 5.
pub(crate) fn bond(driver: &str, ports: &str, options: &str) -> String {
    format!(
        "[bond.bond0]\ndriver = \"{driver}\"\nports = {ports}\n{options}\n\
         [bond.bond0.ip]\naddress = [\"{}/24\", \"{}/64\"]\ngateway = [\"{}\"]\n",
        Home::ipv4(0, 5),
        Home::ipv6(0, 5),
        Home::gateway(),
    )
}

/// What an interface is to join: tables of its networks.
pub(crate) fn wifi(interface: &str, networks: &[&str]) -> String {
    let tables: String =
        networks.iter().map(|network| format!("[[wifi.{interface}.network]]\n{network}\n")).collect();
    format!("[wifi.{interface}]\n{tables}")
}

/// A network with the passphrase of all of them.
pub(crate) fn by_passphrase(ssid: &str) -> String {
    format!("ssid = \"{ssid}\"\npsk = \"{PASSPHRASE}\"\n")
}

/// bond0 of eth0 and wlan0, which joins "home".
pub(crate) fn wire_and_home(driver: &str, options: &str) -> String {
    bond(driver, r#"["eth0", "wlan0"]"#, options) + &wifi("wlan0", &[&by_passphrase("home")])
}

/// What the status says of a port.
pub(crate) fn entry<'a>(bond: &'a Value, port: &str) -> &'a Value {
    let ports = bond["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    ports.iter().find(|entry| entry["name"] == port).unwrap_or(&Value::Null)
}

/// Has it a link, and waits for nothing?
pub(crate) fn is_ready(entry: &Value) -> bool {
    entry["link"] == "up" && entry["waiting"].is_null()
}

/// Waits until a port's status is as wished.
pub(crate) fn wait_port(
    daemon: &Daemon<'_>,
    port: &str,
    what: &str,
    wished: impl Fn(&Value) -> bool,
) -> Value {
    let bond = wait_bond(daemon, &format!("{port}: {what}"), PATIENCE, |bond| wished(entry(bond, port)));
    entry(&bond, port).clone()
}

/// Waits until these ports of bond0 are ready, the first of them as the active one, and the bond has its carrier, which
/// comes a moment later.
pub(crate) fn wait_ready(daemon: &Daemon<'_>, ports: &[&str]) -> Value {
    let ready = |bond: &Value| {
        let all = || ports.iter().all(|port| is_ready(entry(bond, port)));
        bond["active"] == ports[0] && bond["carrier"] == true && all()
    };
    wait_bond(daemon, &format!("{ports:?} to be ready"), PATIENCE, ready)
}

/// The same, and until the access point agrees, which has all of these ports that are stations. Where processors are busy,
/// the last message of a handshake may be lost: a station that is in by its own account is thrown out some seconds later,
/// and comes again.
pub(crate) fn wait_settled(
    daemon: &Daemon<'_>,
    ports: &[&str],
    wifi: &WifiHome,
    access_point: &AccessPoint<'_>,
) -> Value {
    wait_ready(daemon, ports);
    for port in ports.iter().filter(|port| port.starts_with("wlan")) {
        let mac = mac(&wifi.home.laptop, port);
        access_point.wait_associated(&mac, true, PATIENCE).unwrap();
    }
    wait_ready(daemon, ports)
}

/// Waits until this port of bond0 is the active one.
pub(crate) fn wait_active(daemon: &Daemon<'_>, port: &str) {
    wait_bond(daemon, &format!("{port} to become the active port"), PATIENCE, |bond| bond["active"] == port);
}

/// Waits until bond0 is as wished.
pub(crate) fn wait_bond(
    daemon: &Daemon<'_>,
    what: &str,
    limit: Duration,
    wished: impl Fn(&Value) -> bool,
) -> Value {
    daemon.wait_bond("bond0", what, limit, wished).unwrap()
}

/// What the daemon's own wpa_supplicant is asked about an interface.
pub(crate) fn control(daemon: &Daemon<'_>, interface: &str) -> Control {
    Control::at(supplicant_directory(daemon).join("control").join(interface))
}

/// Where the daemon's own wpa_supplicant has its sockets and its process number.
pub(crate) fn supplicant_directory(daemon: &Daemon<'_>) -> PathBuf {
    daemon.socket().with_extension("wpa")
}

/// The process of the daemon's own wpa_supplicant.
pub(crate) fn supplicant_pid(daemon: &Daemon<'_>) -> Option<u32> {
    let file = std::fs::read_to_string(supplicant_directory(daemon).join("pid")).ok()?;
    file.trim().parse().ok()
}

/// A link of a host, as `ip -json -d link` tells it.
pub(crate) fn link(host: &Namespace, interface: &str) -> Value {
    let shown = host.ip(&format!("-json -d link show dev {interface}")).unwrap();
    serde_json::from_str::<Value>(&shown).unwrap()[0].clone()
}

/// An interface's present hardware address.
pub(crate) fn mac(host: &Namespace, interface: &str) -> String {
    link(host, interface)["address"].as_str().unwrap().to_owned()
}

/// May a station sleep between beacons?
pub(crate) fn saves_power(host: &Namespace, interface: &str) -> bool {
    host.run(&["iw", "dev", interface, "get", "power_save"]).unwrap().contains("on")
}

/// How often wlan0 has associated at an access point.
pub(crate) fn associations(wifi: &WifiHome, access_point: &AccessPoint<'_>) -> usize {
    access_point.associations(&mac(&wifi.home.laptop, "wlan0"))
}

/// An end of a measurement.
pub(crate) fn end(host: &Namespace, n: u8) -> End<'_> {
    End { host, address: Home::ipv4(0, n).into() }
}

/// Waits for something that `look` sees as `Some`.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until(what, PATIENCE, || Ok(look().map_or_else(|| Look::No("nothing".to_owned()), Look::Yes))).unwrap()
}
