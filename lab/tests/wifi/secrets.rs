//! `hitless wifi` on a bond for which nothing is configured, and where the passphrases are afterwards.

use std::fs;
use std::path::Path;

use hitless_lab::wifi::{Network, Security};
use hitless_lab::{Daemon, qemu};

use crate::journal::Journal;
use crate::support::{
    LIMIT, PASSPHRASE, WRONG, bond, home_network, home_with, is_ready, supplicant_directory, wait_active,
    wait_for, wait_port, wait_ready, wire_and_home,
};

/// With everything logged that can be.
#[test]
fn guest_secrets_and_commands() {
    if qemu::in_guest() {
        return secrets_and_commands();
    }
    let environment = [("HITLESS_LOG", "trace")];
    let test = "secrets::guest_secrets_and_commands";
    if let Err(error) = qemu::rerun_with(test, &environment, LIMIT) {
        panic!("{error}");
    }
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
    wait_active(&daemon, "eth0");
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
    said.refused(&daemon, &["wifi", "connect", "unknown"], "is heard");
    said.asked(&daemon, &["wifi", "connect", "home", "--psk-file", &right]);
    wait_ready(&daemon, &["eth0", "wlan0"]);
    said.asked(&daemon, &["wifi", "connect", "attic", "--psk-file", &right, "--sae"]);
    in_network(&daemon, "attic");
    said.asked(&daemon, &["wifi", "connect", "home"]);
    in_network(&daemon, "home");
    let list = said.asked(&daemon, &["wifi", "list"]);
    assert!(list.contains("home") && list.contains("attic"), "{list}");

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
