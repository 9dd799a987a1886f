//! The same Wi-Fi, joined by iwd instead of wpa_supplicant.

use std::fs;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use hitless_lab::error::LabError;
use hitless_lab::netns::Namespace;
use hitless_lab::wait::{Look, until};
use hitless_lab::wifi::{Network, Security, WifiHome, WifiOptions};
use hitless_lab::{Daemon, Meter, qemu};
use serde_json::Value;

use crate::support::{PATIENCE, in_guest, wait_active, wait_bond};

const PASSPHRASE: &str = "correct horse";
const BUS: &str = "/run/dbus/system_bus_socket";

#[test]
fn guest_port_joins_by_iwd() {
    in_guest("iwd::guest_port_joins_by_iwd", || {
        let wifi = WifiHome::new(WifiOptions { radios: 2, ..WifiOptions::default() }).unwrap();
        let access_point = wifi.access_point(network()).unwrap();
        let _bus = bus(&wifi.home.laptop);
        let _iwd = iwd(&wifi.home.laptop);
        let daemon = Daemon::start_with_config(&wifi.home.laptop, &config(PASSPHRASE)).unwrap();
        wait_bond(&daemon, "both ports to be ready", PATIENCE, ready);
        let status = wifi_status(&daemon);
        assert_eq!(
            (&status["manager"], &status["wifi"]["ssid"]),
            (&"iwd".into(), &"home".into()),
            "{status:#}"
        );
        assert_eq!(status["wifi"]["bssid"], access_point.bssid().unwrap(), "{status:#}");
        assert!(status["wifi"]["signal_dbm"].as_i64().is_some_and(|dbm| dbm < 0), "{status:#}");
        let found = daemon.ask(&["wifi", "scan"]).unwrap();
        assert!(found.contains("home"), "{found}");

        let (near, far) = wifi.home.ends(0);
        let meter = Meter::start(near, far, 500).unwrap();
        meter.wait_flowing(100, PATIENCE).unwrap();
        wifi.home.pull("eth0").unwrap();
        wait_active(&daemon, "wlan0");
        meter.wait_flowing(500, PATIENCE).unwrap();
        drop(meter.finish());

        let log = daemon.log();
        assert!(log.contains("DefaultInterface=?*"), "the quirk is told of:\n{log}");
        assert!(!log.contains(PASSPHRASE), "{log}");
    });
}

#[test]
fn guest_iwd_with_a_wrong_passphrase_is_said() {
    in_guest("iwd::guest_iwd_with_a_wrong_passphrase_is_said", || {
        let wifi = WifiHome::new(WifiOptions { radios: 2, ..WifiOptions::default() }).unwrap();
        let _access_point = wifi.access_point(network()).unwrap();
        let _bus = bus(&wifi.home.laptop);
        let iwd = iwd(&wifi.home.laptop);
        let daemon = Daemon::start_with_config(&wifi.home.laptop, &config("battery staple")).unwrap();
        let fault = |said: &'static str| {
            until("the fault", PATIENCE, || {
                let status = wifi_status(&daemon);
                let fault = status["wifi"]["fault"].as_str().unwrap_or_default().to_owned();
                Ok(if fault.contains(said) {
                    Look::Yes(())
                } else {
                    Look::No(format!("{status:#}\n{}", daemon.log()))
                })
            })
            .unwrap();
        };
        fault("does not accept the passphrase");
        assert!(!daemon.log().contains("battery staple"));
        daemon.write_config(&config(PASSPHRASE)).unwrap();
        daemon.ask(&["reload"]).unwrap();
        wait_bond(&daemon, "both ports to be ready", PATIENCE, ready);
        drop(iwd);
        fault("iwd does not run");
    });
}

fn network() -> Network {
    Network::new("home", Security::Wpa2Psk(PASSPHRASE.into()))
}

fn config(passphrase: &str) -> String {
    format!(
        "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n\
         [bond.bond0.ip]\naddress = [\"192.168.1.5/24\", \"fd00:1::5/64\"]\ngateway = [\"192.168.1.1\"]\n\
         [wifi.wlan0]\nmanage = \"iwd\"\n[[wifi.wlan0.network]]\nssid = \"home\"\npsk = \"{passphrase}\"\n"
    )
}

fn ready(bond: &Value) -> bool {
    let ports = bond["ports"].as_array().cloned().unwrap_or_default();
    ports.len() == 2 && ports.iter().all(|port| port["link"] == "up" && port["waiting"].is_null())
}

fn wifi_status(daemon: &Daemon<'_>) -> Value {
    let status: Value = serde_json::from_str(&daemon.ask(&["wifi", "status", "--json"]).unwrap()).unwrap();
    status["stations"][0].clone()
}

// ---- programs of the guest ---------------------------------------------------------------------------------------

/// A program, killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The guest's system bus.
fn bus(host: &Namespace) -> Running {
    fs::create_dir_all("/run/dbus").unwrap();
    let config = "/run/dbus/guest.conf";
    let text = format!(
        "<busconfig><listen>unix:path={BUS}</listen><policy context=\"default\">\
         <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/>\
         <allow user=\"*\"/></policy></busconfig>"
    );
    fs::write(config, text).unwrap();
    let mut command = Command::new("dbus-daemon");
    command.arg(format!("--config-file={config}")).args(["--nofork", "--nopidfile"]).stdin(Stdio::null());
    let running = Running(host.spawn(&mut command).unwrap());
    until("the bus to be there", PATIENCE, || Ok(look(UnixStream::connect(BUS).is_ok()))).unwrap();
    running
}

/// iwd, which keeps the interface that there is.
fn iwd(host: &Namespace) -> Running {
    for directory in ["/run/iwd", "/run/iwd/config", "/run/iwd/state"] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write("/run/iwd/config/main.conf", "[General]\nUseDefaultInterface=true\n").unwrap();
    let mut command = Command::new(qemu::iwd().unwrap().join("usr/libexec/iwd"));
    command.env("CONFIGURATION_DIRECTORY", "/run/iwd/config").env("STATE_DIRECTORY", "/run/iwd/state");
    let running = Running(host.spawn(command.stdin(Stdio::null())).unwrap());
    until("iwd to be on the bus", PATIENCE, || {
        let send = [
            "--system",
            "--print-reply",
            "--dest=org.freedesktop.DBus",
            "/",
            "org.freedesktop.DBus.NameHasOwner",
        ];
        let answer = Command::new("dbus-send").args(send).arg("string:net.connman.iwd").output();
        let answer = answer.map_err(|error| LabError::Broken(format!("dbus-send: {error}")))?;
        Ok(look(String::from_utf8_lossy(&answer.stdout).contains("true")))
    })
    .unwrap();
    running
}

fn look(there: bool) -> Look<()> {
    if there { Look::Yes(()) } else { Look::No("it is not".to_owned()) }
}
