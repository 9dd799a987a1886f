//! 802.1X against a server: PEAP, TTLS and TLS, and what is said when either side does not believe the other.

use std::fs;
use std::path::Path;

use hitless_lab::wait::linger;
use hitless_lab::wifi::{AccessPoint, Authority, Certificate, Eap, Network, Security, Supplicant, WifiHome};
use hitless_lab::{Daemon, Meter, qemu};
use serde_json::Value;

use crate::journal::Journal;
use crate::support::{
    LIMIT, PATIENCE, SECOND, bond, control, home_with, is_ready, supplicant_pid, wait_for, wait_port, wifi,
};

/// The user, as the server knows it.
const IDENTITY: &str = "jane@example.org";

/// The user's password; nothing else that is printed has these words in it.
const PASSWORD: &str = "mellow yellow submarine";

/// Another one.
const WRONG: &str = "submarine, mellow";

/// The name in the server's certificate.
const SERVER: &str = "radius.example.org";

/// With everything logged that the program itself has to say; below that are its libraries.
#[test]
fn guest_enterprise() {
    if qemu::in_guest() {
        let _journal = Journal::open();
        return enterprise();
    }
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().expect("a path in UTF-8");
    let test = "enterprise::guest_enterprise";
    let command = ["env", "HITLESS_LOG=debug", own, "--exact", test, "--nocapture", "--test-threads=1"];
    let said = qemu::run(&command, LIMIT).unwrap().success().unwrap();
    assert!(said.contains("1 passed"), "{said}");
}

fn enterprise() {
    let home = home_with(3);
    let campus = Campus::new();
    let trusted = campus.ours.certificate();
    let access_point = home.access_point(campus.network()).unwrap();
    let wrong = "does not accept the identity, password or client certificate";
    let bench = Bench::start(&home, &access_point, &campus.peap(PASSWORD, trusted));
    bench.joined("PEAP");
    bench.reload(&campus.ttls());
    bench.joined("TTLS");
    bench.reload(&campus.tls(&campus.client));
    bench.joined("TLS");

    bench.reload(&campus.peap(WRONG, trusted));
    bench.refused(wrong);
    bench.tries_seldom();
    bench.reload(&campus.peap(PASSWORD, campus.foreign.certificate()));
    bench.refused("certificate of \"campus\" is not trusted (self-signed");
    bench.reload(&campus.peap(PASSWORD, trusted).replace(SERVER, "example.com"));
    bench.refused("certificate of \"campus\" is not trusted (Domain");
    let stranger = campus.foreign.client("stranger").unwrap();
    bench.reload(&campus.tls(&stranger));
    bench.refused(wrong);
    // It is not for want of a server: a neighbour gets in.
    let (phone, _radio) = home.station("phone", 20).unwrap();
    let neighbour = Supplicant::start(&phone, "wlan0", &[campus.network()], None).unwrap();
    neighbour.wait_joined(PATIENCE).unwrap();
    bench.reload(&campus.tls(&Certificate { key: stranger.key, ..campus.client.clone() }));
    bench.refused("`private-key`");

    bench.reload(&campus.tls(&campus.client));
    bench.joined("TLS");
    bench.tells_no_password();
}

/// A network with 802.1X, and what its users have.
struct Campus {
    ours: Authority,
    /// One that has signed nothing of the server's.
    foreign: Authority,
    server: Certificate,
    client: Certificate,
}

impl Campus {
    fn new() -> Self {
        let ours = Authority::new("Campus").unwrap();
        let foreign = Authority::new("Elsewhere").unwrap();
        let (server, client) = (ours.server(SERVER).unwrap(), ours.client("jane").unwrap());
        Self { ours, foreign, server, client }
    }

    fn network(&self) -> Network {
        let eap = Eap {
            authority: self.ours.certificate().to_owned(),
            server: self.server.clone(),
            identity: IDENTITY.to_owned(),
            password: PASSWORD.to_owned(),
        };
        Network::new("campus", Security::Eap(eap))
    }

    fn peap(&self, password: &str, authority: &Path) -> String {
        let file = self.client.file.with_file_name("password");
        fs::write(&file, password).unwrap();
        let server = format!("domain = \"{SERVER}\"\n");
        by_eap("peap", authority) + &server + &entry("password-file", &file)
    }

    /// By TTLS, where nobody who listens learns who it is.
    fn ttls(&self) -> String {
        let password = format!("anonymous-identity = \"anonymous@example.org\"\npassword = \"{PASSWORD}\"\n");
        by_eap("ttls", self.ours.certificate()) + &password
    }

    fn tls(&self, client: &Certificate) -> String {
        let certificate = entry("client-cert", &client.file) + &entry("private-key", &client.key);
        by_eap("tls", self.ours.certificate()) + &certificate
    }
}

fn by_eap(method: &str, authority: &Path) -> String {
    format!("ssid = \"campus\"\neap = \"{method}\"\nidentity = \"{IDENTITY}\"\n")
        + &entry("ca-cert", authority)
}

fn entry(key: &str, path: &Path) -> String {
    format!("{key} = \"{}\"\n", path.display())
}

/// A bond of wlan0 alone, and its daemon.
struct Bench<'a> {
    home: &'a WifiHome,
    access_point: &'a AccessPoint<'a>,
    daemon: Daemon<'a>,
}

impl<'a> Bench<'a> {
    fn start(home: &'a WifiHome, access_point: &'a AccessPoint<'a>, network: &str) -> Self {
        let daemon = Daemon::start_with_config(&home.home.laptop, &config(network)).unwrap();
        Self { home, access_point, daemon }
    }

    fn reload(&self, network: &str) {
        self.daemon.write_config(&config(network)).unwrap();
        self.daemon.ask(&["reload"]).unwrap();
    }

    /// It is in the network by this method, and traffic flows.
    fn joined(&self, method: &str) {
        let control = control(&self.daemon, "wlan0");
        wait_for(&format!("wlan0 to join by {method}"), || {
            // It may not be spoken to yet.
            let status = |key: &str| control.status(key).ok().flatten();
            let selected = status("selectedMethod")?;
            (status("wpa_state")? == "COMPLETED" && selected.ends_with(&format!("(EAP-{method})")))
                .then_some(())
        });
        let bssid = self.access_point.bssid().unwrap();
        let port = wait_port(&self.daemon, "wlan0", &format!("in by {method}"), |port| {
            is_ready(port) && port["wifi"]["ssid"] == "campus" && port["wifi"]["bssid"] == bssid.as_str()
        });
        assert!(port["wifi"]["fault"].is_null(), "{port:#}");
        assert_eq!(control.status("key_mgmt").unwrap().as_deref(), Some("WPA2/IEEE 802.1X/EAP"));
        let (near, far) = self.home.home.ends(0);
        let meter = Meter::start(near, far, 100).unwrap();
        meter.wait_flowing(100, PATIENCE).unwrap();
    }

    /// It is not in, and says why.
    fn refused(&self, why: &str) {
        wait_port(&self.daemon, "wlan0", &format!("\"{why}\""), |port| told(port, why));
        let said = self.daemon.ask(&["wifi", "status"]).unwrap();
        assert!(said.contains(why), "{said}");
        assert!(self.daemon.ask(&["status"]).unwrap().contains("hitless wifi status"));
    }

    /// One wpa_supplicant for all of it, and no more than a few attempts, while the fault is told.
    fn tries_seldom(&self) {
        let process = supplicant_pid(&self.daemon).expect("wpa_supplicant runs");
        let fault = || self.daemon.bond("bond0").unwrap()["ports"][0]["wifi"]["fault"].clone();
        let tried = || {
            let log = self.access_point.log();
            log.lines().filter(|line| line.contains("IEEE 802.11: authenticated")).count()
        };
        let before = (tried(), fault());
        linger(5 * SECOND).unwrap();
        let tries = tried() - before.0;
        assert!(tries <= 4, "{tries} within 5 s: {}", self.access_point.log());
        assert_eq!(fault(), before.1);
        assert_eq!(supplicant_pid(&self.daemon), Some(process), "it was not restarted");
        assert!(!self.daemon.log().contains("wpa_supplicant ended"), "{}", self.daemon.log());
    }

    /// Neither of the passwords is in anything that is printed, in any of the forms that programs like.
    fn tells_no_password(&self) {
        let mut said = self.daemon.log();
        for command in [
            &["status"][..],
            &["status", "--json"],
            &["wifi", "status"],
            &["wifi", "status", "--json"],
            &["wifi", "list", "--json"],
        ] {
            said += &self.daemon.ask(command).unwrap();
        }
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        for secret in [PASSWORD, WRONG] {
            for form in [secret.to_owned(), hex(secret), format!("{:?}", secret.as_bytes())] {
                let line = said.lines().find(|line| line.contains(&form));
                assert_eq!(line, None, "the password is told");
            }
        }
    }
}

/// Does the status of a port say this of what is wrong?
fn told(port: &Value, why: &str) -> bool {
    port["wifi"]["fault"].as_str().is_some_and(|fault| fault.contains(why))
}

fn config(network: &str) -> String {
    bond("ebpf", r#"["wlan0"]"#, "") + &wifi("wlan0", &[network])
}
