//! How a port joins: by WPA3 and by both, hidden networks, wrong passphrases, and by command.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::Duration;

use hitless_lab::wait::linger;
use hitless_lab::wifi::{AccessPoint, Network, Security};
use hitless_lab::{Daemon, qemu};
use serde_json::Value;

use crate::support::{
    LIMIT, PASSPHRASE, PATIENCE, SECOND, bond, by_passphrase, control, entry, home_network, home_with,
    in_guest, is_ready, supplicant_directory, supplicant_pid, wait_for, wait_port, wait_ready, wifi,
    wire_and_home,
};

const WRONG: &str = "staple battery horse";

/// Where wpa_supplicant tells what happens to it.
const SYSLOG: &str = "/dev/log";

#[test]
fn guest_wpa3_transition_hidden_and_owe() {
    in_guest("join::guest_wpa3_transition_hidden_and_owe", kinds_of_networks);
}

#[test]
fn guest_wrong_passphrase() {
    in_guest("join::guest_wrong_passphrase", wrong_passphrase);
}

/// With everything logged that can be.
#[test]
fn guest_secrets_and_commands() {
    if qemu::in_guest() {
        return secrets_and_commands();
    }
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().expect("a path in UTF-8");
    let test = "join::guest_secrets_and_commands";
    let command = ["env", "HITLESS_LOG=trace", own, "--exact", test, "--nocapture", "--test-threads=1"];
    let said = qemu::run(&command, LIMIT).unwrap().success().unwrap();
    assert!(said.contains("1 passed"), "{said}");
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
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
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

/// Everything that a daemon does with passphrases, and where they are afterwards.
fn secrets_and_commands() {
    let journal = Journal::open();
    let home = home_with(3);
    let access_point = home.access_point(home_network()).unwrap();
    let attic =
        home.access_point(Network::new("attic", Security::Wpa3Sae(PASSPHRASE.into())).on_channel(6)).unwrap();
    let mut said = Said::default();
    let psk = |name: &str, text: &str| {
        let file = Path::new("/run/tmp").join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let right = psk("right.psk", PASSPHRASE);
    let wrong = psk("wrong.psk", WRONG);

    // A bond for which no network is named at all.
    let config = bond("ebpf", r#"["eth0", "wlan0"]"#, "");
    let mut daemon = Daemon::start_with_config(&home.home.laptop, &config).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let heard = wait_for("both access points to be heard", || {
        let heard = said.asked(&daemon, &["wifi", "scan", "--json"]);
        [&access_point, &attic].iter().all(|one| heard.contains(&one.bssid().unwrap())).then_some(heard)
    });
    assert!(heard.contains("sae"), "{heard}");

    said.refused(
        &daemon,
        &["wifi", "connect", "home", "--psk-file", &wrong],
        "does not accept the passphrase",
    );
    said.refused(&daemon, &["wifi", "connect", "nowhere", "--psk-file", &right], "range");
    said.refused(&daemon, &["wifi", "connect", "unknown"], "is heard");
    said.asked(&daemon, &["wifi", "connect", "home", "--psk-file", &right]);
    wait_ready(&daemon, &["eth0", "wlan0"]);
    said.asked(&daemon, &["wifi", "connect", "attic", "--psk-file", &right, "--sae"]);
    in_network(&daemon, "attic");
    said.asked(&daemon, &["wifi", "connect", "home"]);
    in_network(&daemon, "home");
    let list = said.asked(&daemon, &["wifi", "list"]);
    assert!(list.contains("home") && list.contains("attic") && !list.contains("nowhere"), "{list}");

    // What was joined by command is remembered, by the next daemon as well.
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    let list = said.asked(&daemon, &["wifi", "list", "--json"]);
    assert!(list.contains("home") && list.contains("attic"), "{list}");
    in_network(&daemon, "home");
    said.asked(&daemon, &["wifi", "disconnect"]);
    wait_port(&daemon, "wlan0", "out", |port| port["wifi"]["ssid"].is_null());
    said.asked(&daemon, &["wifi", "connect", "home"]);
    in_network(&daemon, "home");
    said.asked(&daemon, &["wifi", "forget", "home"]);
    in_network(&daemon, "attic");
    said.refused(&daemon, &["wifi", "forget", "home"], "does not know");

    // And those of the file.
    let config = wire_and_home("ebpf", "");
    daemon.write_config(&config).unwrap();
    said.asked(&daemon, &["reload"]);
    said.asked(&daemon, &["check-config", daemon.config_path().to_str().unwrap()]);
    said.refused(&daemon, &["wifi", "forget", "home"], "configuration");
    // A passphrase in the wrong place is not quoted.
    let broken = config.replace("psk = ", "psk-file = ");
    daemon.write_config(&broken).unwrap();
    let output = daemon.command(&["check-config", daemon.config_path().to_str().unwrap()]).unwrap();
    said.add("check-config", &[output.stdout, output.stderr].concat());
    let output = daemon.command(&["reload"]).unwrap();
    said.add("reload", &[output.stdout, output.stderr].concat());
    daemon.write_config(&config).unwrap();
    said.asked(&daemon, &["reload"]);
    for command in [
        &["status"][..],
        &["status", "--json"],
        &["wifi", "status"],
        &["wifi", "status", "--json"],
        &["wifi", "scan"],
        &["wifi", "list"],
    ] {
        said.asked(&daemon, command);
    }

    said.add("the daemon's log", daemon.log().as_bytes());
    for line in journal.close() {
        said.add("syslog", &line);
    }
    assert!(said.all.iter().any(|(what, _)| what == "syslog"), "wpa_supplicant logs to syslog");
    processes(&mut said);
    files(&mut said, &supplicant_directory(&daemon));
    said.tell_nothing();
    saved_for_root_alone(&daemon);
}

fn in_network(daemon: &Daemon<'_>, ssid: &str) {
    wait_port(daemon, "wlan0", &format!("in \"{ssid}\""), |port| {
        is_ready(port) && port["wifi"]["ssid"] == ssid
    });
}

/// What would go to the journal. It is read all the time: whoever writes there waits for that.
struct Journal(thread::JoinHandle<Vec<Vec<u8>>>);

impl Journal {
    fn open() -> Self {
        let socket = UnixDatagram::bind(SYSLOG).unwrap();
        Self(thread::spawn(move || {
            let mut lines = Vec::new();
            let mut datagram = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = socket.recv(&mut datagram) {
                lines.push(datagram[..length].to_vec());
            }
            lines
        }))
    }

    fn close(self) -> Vec<Vec<u8>> {
        UnixDatagram::unbound().unwrap().send_to(&[], SYSLOG).unwrap();
        self.0.join().unwrap()
    }
}

/// All that anybody could have read.
#[derive(Default)]
struct Said {
    all: Vec<(String, String)>,
}

impl Said {
    fn add(&mut self, what: &str, text: &[u8]) {
        self.all.push((what.to_owned(), String::from_utf8_lossy(text).into_owned()));
    }

    /// A command that has to succeed.
    fn asked(&mut self, daemon: &Daemon<'_>, arguments: &[&str]) -> String {
        let output = daemon.command(arguments).unwrap();
        let [stdout, stderr] =
            [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
        self.add(&arguments.join(" "), &[output.stdout, output.stderr].concat());
        assert!(output.status.success(), "{arguments:?}: {stdout}{stderr}");
        stdout
    }

    /// One that must not, and says why.
    fn refused(&mut self, daemon: &Daemon<'_>, arguments: &[&str], why: &str) {
        let output = daemon.command(arguments).unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        self.add(&arguments.join(" "), said.as_bytes());
        assert!(!output.status.success() && said.contains(why), "{arguments:?}: {said}");
    }

    /// None of the passphrases is in it, in any of the forms that programs like.
    fn tell_nothing(&self) {
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        for secret in [PASSPHRASE, WRONG] {
            for form in [
                secret.to_owned(),
                hex(secret),
                hex(secret).to_uppercase(),
                format!("{:?}", secret.as_bytes()),
            ] {
                for (what, text) in &self.all {
                    let line = text.lines().find(|line| line.contains(&form));
                    assert_eq!(line, None, "{what} tells a passphrase");
                }
            }
        }
    }
}

/// What all processes were started with: their arguments, and their environment.
fn processes(said: &mut Said) {
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            if let Ok(text) = fs::read(entry.path().join(file)) {
                said.add(&entry.path().join(file).display().to_string(), &text);
            }
        }
    }
}

/// All files below a directory.
fn files(said: &mut Said, directory: &Path) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(said, &path);
        } else if let Ok(text) = fs::read(&path) {
            said.add(&path.display().to_string(), &text);
        }
    }
}

/// What is remembered can be read by root and nobody else, and so can wpa_supplicant's sockets.
fn saved_for_root_alone(daemon: &Daemon<'_>) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let state = daemon.socket().with_file_name("state");
    let mut kept = 0;
    for entry in fs::read_dir(&state).unwrap().flatten() {
        assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
        kept += usize::from(fs::read_to_string(entry.path()).unwrap_or_default().contains(PASSPHRASE));
    }
    assert_eq!(kept, 1, "the networks that were joined are remembered");
    assert_eq!(mode(&supplicant_directory(daemon)), 0o700);
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
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
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
    daemon.wait_bond("bond0", "wlan0 to be ready", longer, |bond| is_ready(entry(bond, "wlan0"))).unwrap();
    drop(access_point);
}
