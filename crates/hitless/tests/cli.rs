//! The command line against a daemon that only pretends: what is printed, and the exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod fake;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fake::{Fake, WRONG, access_points, bonds, networks, notice, stations};
use hitless_api::{
    AccessPoints, Eap, EapMethod, Method, MonitorReply, Networks, NewNetwork, Secret, Security, Stations,
    Status,
};
use insta::assert_snapshot;
use tempfile::TempDir;

fn hitless() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitless"));
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env("COLUMNS", "100");
    command
}

fn at(socket: &Path, arguments: &[&str]) -> Command {
    let mut command = hitless();
    command.arg("--socket").arg(socket).args(arguments);
    command
}

/// Exit code, standard output, standard error.
fn show(output: &Output, directory: &Path) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).replace(&directory.display().to_string(), "/DIR");
    let mut shown = format!("exit {}\n", output.status.code().expect("not killed"));
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            shown.push_str(&format!("--- {name}\n{}", text(bytes)));
        }
    }
    shown
}

fn run(fake: &Fake, arguments: &[&str]) -> String {
    show(&at(&fake.socket(), arguments).output().unwrap(), fake.directory())
}

#[test]
fn status_for_people() {
    let fake = Fake::start();
    assert_snapshot!(run(&fake, &["status"]));
    assert_snapshot!(run(&fake, &["status", "bond1"]));
    assert_snapshot!(run(&fake, &["status", "bond7"]));
}

#[test]
fn status_for_programs() {
    let fake = Fake::start();
    let output = at(&fake.socket(), &["status", "--json"]).output().unwrap();
    assert_eq!(serde_json::from_slice::<Status>(&output.stdout).unwrap(), Status { bonds: bonds() });
    let output = at(&fake.socket(), &["status", "--json", "bond1"]).output().unwrap();
    assert_eq!(serde_json::from_slice::<Status>(&output.stdout).unwrap().bonds.len(), 1);
}

/// In a network namespace of its own, where there is no bond, whatever this machine has. Needs root for that.
#[test]
fn verify_says_what_is_amiss_and_what_to_do() {
    let fake = Fake::start();
    let verify = |arguments: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--net", env!("CARGO_BIN_EXE_hitless"), "--socket"]).arg(fake.socket()).arg("verify");
        command.args(arguments).output().expect("this test needs unshare (util-linux)")
    };
    assert_snapshot!(show(&verify(&["bond0"]), fake.directory()));
    let output = verify(&["--json"]);
    assert_eq!(output.status.code(), Some(5));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let summary = serde_json::json!({ "verdict": "fails", "holds": 0, "fails": 2, "unknown": 0, "notes": 0 });
    assert_eq!(report["summary"], summary);
    let lines = report["checks"].as_array().unwrap();
    let told: Vec<_> = lines.iter().map(|line| (&line["bond"], &line["check"], &line["verdict"])).collect();
    assert_eq!(
        serde_json::to_value(told).unwrap(),
        serde_json::json!([["bond0", "link", "fails"], ["bond1", "link", "fails"]])
    );
    assert_eq!(verify(&["bond7"]).status.code(), Some(4));
}

#[test]
fn colour_only_where_it_is_wanted() {
    let fake = Fake::start();
    let is_coloured = |command: &mut Command| command.output().unwrap().stdout.contains(&0x1b);
    assert!(!is_coloured(&mut at(&fake.socket(), &["status"])));
    assert!(is_coloured(at(&fake.socket(), &["status"]).env("CLICOLOR_FORCE", "1")));
    assert!(!is_coloured(at(&fake.socket(), &["status", "--json"]).env("CLICOLOR_FORCE", "1")));
    assert!(!is_coloured(at(&fake.socket(), &["status"]).env("NO_COLOR", "1")));
}

#[test]
fn changes_reach_the_daemon() {
    let fake = Fake::start();
    for arguments in [
        ["switch", "bond0", "wlan0"].as_slice(),
        &["port", "add", "bond0", "eth1"],
        &["port", "remove", "bond0", "eth0"],
        &["down", "bond0"],
        &["down"],
    ] {
        assert_eq!(run(&fake, arguments), "exit 0\n", "{arguments:?}");
    }
    let [bond, eth0, eth1, wlan0] = ["bond0", "eth0", "eth1", "wlan0"].map(str::to_owned);
    assert_eq!(
        fake.changes(),
        [
            Method::Switch { bond: bond.clone(), port: wlan0 },
            Method::AddPort { bond: bond.clone(), port: eth1 },
            Method::RemovePort { bond: bond.clone(), port: eth0 },
            Method::Down { bond: Some(bond) },
            Method::Down { bond: None },
        ]
    );
}

#[test]
fn refusals_say_what_to_do() {
    let fake = Fake::start();
    assert_snapshot!(run(&fake, &["switch", "bond9", "eth0"]));
    assert_snapshot!(run(&fake, &["switch", "bond0", "eth9"]));
    assert_snapshot!(run(&fake, &["port", "add", "bond0", "busy0"]));
    assert_snapshot!(run(&fake, &["reload"]));
    assert_snapshot!(run(&fake, &["down", "stuck"]));
}

/// Needs root, to become someone else; fails without.
#[test]
fn other_users_may_look_but_not_touch() {
    let fake = Fake::start();
    // They may not be able to reach the build directory.
    let program = fake.directory().join("hitless");
    // By another process: if this one had the copy open for writing, so might a child that another test forks, and a file
    // that is open for writing cannot be executed.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_hitless")).arg(&program).status().unwrap().success());
    let nobody = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.arg("--socket").arg(fake.socket()).args(arguments).current_dir("/").uid(65534).gid(65534);
        command.output().expect("this test needs root, to run a client as another user")
    };
    let output = nobody(&["status", "--json"]);
    assert!(output.status.success(), "{}", show(&output, fake.directory()));
    assert!(nobody(&["wifi", "status"]).status.success());
    assert_snapshot!(show(&nobody(&["switch", "bond0", "wlan0"]), fake.directory()));
    for arguments in [
        ["reload"].as_slice(),
        &["down"],
        &["port", "add", "bond0", "eth1"],
        &["port", "remove", "bond0", "eth0"],
        &["verify", "--fix"],
        &["wifi", "list"],
        &["wifi", "scan"],
        &["wifi", "connect", "guests", "--open"],
        &["wifi", "disconnect"],
        &["wifi", "forget", "guests"],
    ] {
        assert_eq!(nobody(arguments).status.code(), Some(4), "{arguments:?}");
    }
    assert_eq!(fake.changes(), []);
}

#[test]
fn without_a_daemon() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("hitless.sock");
    for arguments in
        [["status"].as_slice(), &["verify"], &["watch"], &["switch", "bond0", "eth0"], &["reload"], &["down"]]
    {
        let output = at(&socket, arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
    }
    assert_snapshot!(show(&at(&socket, &["status"]).output().unwrap(), directory.path()));
}

#[test]
fn wrong_usage() {
    for arguments in [
        ["sttus"].as_slice(),
        &["switch", "bond0"],
        &["run", "--bond", "bond0"],
        &["run", "--ports", "eth0"],
        &["run", "--config", "x", "--bond", "bond0", "--ports", "eth0"],
        &["run", "--driver", "kernel"],
        &["wifi"],
        &["wifi", "connect"],
        &["wifi", "connect", "home", "kumquat zyzzyva"],
        &["wifi", "connect", "home", "--psk", "kumquat zyzzyva"],
        &["wifi", "connect", "home", "--ask", "--open"],
        &["wifi", "connect", "home", "--ask", "--psk-file", "x"],
        &["wifi", "connect", "home", "--sae", "--owe"],
        &["wifi", "connect", "home", "--eap", "peap"],
        &["wifi", "connect", "home", "--identity", "me"],
        &["wifi", "connect", "home", "--priority", "1001"],
        &["wifi", "connect", "home", "--hex"],
        &["wifi", "connect", ""],
        &[],
    ] {
        assert_eq!(hitless().args(arguments).output().unwrap().status.code(), Some(2), "{arguments:?}");
    }
    let arguments = [
        "run",
        "--bond",
        "bond0",
        "--ports",
        "eth0,wlan0,eth0",
        "--address",
        "192.168.1.5",
        "--primary",
        "eth1",
    ];
    assert_snapshot!(show(&hitless().args(arguments).output().unwrap(), Path::new("/nowhere")));
    for arguments in [["--version"], ["--help"]] {
        assert!(hitless().args(arguments).status().unwrap().success());
    }
}

#[test]
fn watch_shows_what_happens() {
    let fake = Fake::start();
    for json in [false, true] {
        let mut command = at(&fake.socket(), if json { &["watch", "--json"] } else { &["watch"] });
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let first = lines.next().unwrap();
        if json {
            let reply: MonitorReply = serde_json::from_str(&first).unwrap();
            assert_eq!(reply, MonitorReply { bonds: Some(bonds()), notice: None });
            fake.publish(notice(0));
            let reply: MonitorReply = serde_json::from_str(&lines.next().unwrap()).unwrap();
            assert_eq!(reply, MonitorReply { bonds: None, notice: Some(notice(0)) });
        } else {
            assert_eq!(first, "now bond0 active eth0, carrier");
            assert_eq!(lines.next().unwrap(), "now bond1 active none, no carrier");
            fake.publish(notice(0));
            assert_eq!(lines.next().unwrap(), "2026-11-21T09:25:50.123Z bond0 eth0: link down");
        }
        // Whoever read this has gone; that is no failure.
        drop(lines);
        // More than once, because a child that another test has just forked may hold the pipe until it executes.
        let status = loop {
            fake.publish(notice(1));
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::yield_now();
        };
        assert!(status.success());
    }
}

#[test]
fn adopt_says_what_was_done_and_what_comes_of_it() {
    let fake = Fake::start();
    let adopted = run(&fake, &["adopt", "eth0", "wlan0"]);
    let lost = run(&fake, &["adopt", "eth0", "--bond", "bond7", "--confirm", "5", "--driver", "kernel"]);
    let refused = run(&fake, &["adopt", "gone0"]);
    let confirmed = run(&fake, &["confirm"]);
    assert_snapshot!([adopted, lost, refused, confirmed].join("\n"));
    let calls = fake.changes();
    let adoptions =
        calls.iter().filter_map(|call| if let Method::Adopt(new) = call { Some(new) } else { None });
    let new = adoptions.into_iter().nth(1).unwrap();
    assert_eq!((new.within_s, new.driver), (5, Some(hitless_api::Driver::Kernel)));
}

#[test]
fn check_config() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("hitless.toml");
    let check = |text: &str, flags: &[&str]| {
        std::fs::write(&file, text).unwrap();
        show(&hitless().arg("check-config").arg(&file).args(flags).output().unwrap(), directory.path())
    };
    let (good, bad) =
        ("[bond.bond0]\nports = [\"eth0\", \"wlan0\"]\n", "[bond.bond0]\nport = \"eth0\"\nminmon = 1\n");
    assert_snapshot!(check(good, &[]));
    assert_snapshot!(check(good, &["--json"]));
    assert_snapshot!(check(bad, &[]));
    assert_snapshot!(check(bad, &["--json"]));
    let missing = directory.path().join("missing.toml");
    assert_snapshot!(show(&hitless().arg("check-config").arg(missing).output().unwrap(), directory.path()));
}

// ---- Wi-Fi -----------------------------------------------------------------------------------------------------------

const PASSPHRASE: &str = "kumquat zyzzyva";

#[test]
fn wifi_for_people() {
    let fake = Fake::start();
    assert_snapshot!(run(&fake, &["wifi", "status"]));
    assert_snapshot!(run(&fake, &["wifi", "status", "--port", "wlan9"]));
    assert_snapshot!(run(&fake, &["wifi", "list"]));
    assert_snapshot!(run(&fake, &["wifi", "scan"]));
    assert_snapshot!(run(&fake, &["wifi", "disconnect", "--port", "several"]));
    assert_snapshot!(run(&fake, &["wifi", "forget", "home"]));
    assert_eq!(run(&fake, &["wifi", "disconnect"]), "exit 0\n");
    assert_eq!(run(&fake, &["wifi", "forget", "636166e9", "--hex", "--port", "wlan0"]), "exit 0\n");
    let forget = Method::WifiForget {
        port: Some("wlan0".to_owned()),
        ssid: String::new(),
        ssid_hex: Some("636166e9".to_owned()),
    };
    assert_eq!(fake.changes().last(), Some(&forget));
}

#[test]
fn wifi_for_programs() {
    let fake = Fake::start();
    let json = |command: &str| {
        let output = at(&fake.socket(), &["wifi", command, "--json"]).output().unwrap();
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1);
        output.stdout
    };
    let status: Stations = serde_json::from_slice(&json("status")).unwrap();
    assert_eq!(status, Stations { stations: stations() });
    let list: Networks = serde_json::from_slice(&json("list")).unwrap();
    assert_eq!(list, Networks { networks: networks() });
    let scan: AccessPoints = serde_json::from_slice(&json("scan")).unwrap();
    assert_eq!(scan.access_points.len(), access_points().len());
    assert_eq!(scan.access_points[0].ssid.as_deref(), Some("home"));
}

/// Runs with this standard input.
fn with_input(fake: &Fake, arguments: &[&str], input: &str) -> String {
    use std::io::Write as _;

    let mut command = at(&fake.socket(), arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may end without having read it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    show(&child.wait_with_output().unwrap(), fake.directory())
}

fn connected(fake: &Fake) -> NewNetwork {
    match fake.changes().pop() {
        Some(Method::WifiConnect { network, .. }) => *network,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_connect_asks_the_daemon_for() {
    let fake = Fake::start();
    let joined = |name: &str| format!("exit 0\n--- stdout\njoined {name} on wlan0, -54 dBm\n");
    // Known already.
    assert_eq!(run(&fake, &["wifi", "connect", "home"]), joined("home"));
    assert_eq!(connected(&fake), NewNetwork { ssid: "home".to_owned(), ..NewNetwork::default() });
    assert_eq!(run(&fake, &["wifi", "connect", "636166E9", "--hex"]), joined("caf\\xe9"));
    assert_eq!(connected(&fake).security, None);
    // Without a passphrase.
    assert_eq!(run(&fake, &["wifi", "connect", "guests", "--open"]), joined("guests"));
    assert_eq!(connected(&fake).security, Some(Security::Open));
    assert_eq!(run(&fake, &["wifi", "connect", "lounge"]), joined("lounge"));
    assert_eq!(connected(&fake).security, Some(Security::Owe));
    // With one.
    let file = fake.directory().join("psk");
    std::fs::write(&file, format!("{PASSPHRASE}\n")).unwrap();
    let file = file.to_str().unwrap();
    let arguments =
        ["wifi", "connect", "far", "--psk-file", file, "--hidden", "--priority", "-5", "--port", "wlan0"];
    assert_eq!(run(&fake, &arguments), joined("far"));
    let secret = Some(Secret::new(PASSPHRASE));
    let expected = NewNetwork {
        ssid: "far".to_owned(),
        security: Some(Security::Psk),
        secret: secret.clone(),
        hidden: true,
        priority: -5,
        ..NewNetwork::default()
    };
    assert_eq!(connected(&fake), expected);
    let arguments = ["wifi", "connect", "far", "--sae", "--psk-file", "-"];
    assert_eq!(with_input(&fake, &arguments, &format!("{PASSPHRASE}\r\nmore")), joined("far"));
    assert_eq!((connected(&fake).security, connected(&fake).secret), (Some(Security::Sae), secret));
    // 802.1X; files are named as the daemon sees them.
    let mut command = at(
        &fake.socket(),
        &[
            "wifi",
            "connect",
            "campus",
            "--eap",
            "ttls",
            "--identity",
            "me",
            "--ca-cert",
            "psk",
            "--domain",
            "d",
        ],
    );
    let output = command.args(["--password-file", "psk"]).current_dir(fake.directory()).output().unwrap();
    assert_eq!(show(&output, fake.directory()), joined("campus"));
    let eap = Eap {
        method: EapMethod::Ttls,
        identity: "me".to_owned(),
        anonymous_identity: None,
        ca_cert: Some(std::fs::canonicalize(file).unwrap().to_str().unwrap().to_owned()),
        domain: Some("d".to_owned()),
        client_cert: None,
        private_key: None,
    };
    assert_eq!(connected(&fake).eap, Some(eap));
}

#[test]
fn what_connect_refuses() {
    let fake = Fake::start();
    for name in ["guests", "campus", "antique", "nowhere", "far"] {
        assert_snapshot!(with_input(&fake, &["wifi", "connect", name], ""));
    }
    let from_stdin = |input: &str, flags: &[&str]| {
        with_input(&fake, &[["wifi", "connect", "far", "--psk-file", "-"].as_slice(), flags].concat(), input)
    };
    assert_snapshot!(from_stdin("short", &[]));
    assert_snapshot!(from_stdin("", &[]));
    assert_snapshot!(from_stdin(&"a1".repeat(32), &["--sae"]));
    assert_eq!(fake.changes(), []);
    assert_snapshot!(from_stdin(WRONG, &[]));
    assert_snapshot!(run(&fake, &["wifi", "connect", "far", "--psk-file", "/nowhere"]));
}

/// The command on a terminal of its own, which shows what people see and takes what they type.
struct Terminal {
    ours: std::fs::File,
    child: std::process::Child,
    seen: String,
}

impl Terminal {
    fn start(fake: &Fake, arguments: &[&str]) -> Self {
        let pty = nix::pty::openpty(None, None).unwrap();
        let theirs = std::fs::File::from(pty.slave);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", env!("CARGO_BIN_EXE_hitless"), "--socket"]);
        command.arg(fake.socket()).args(arguments).env("NO_COLOR", "1");
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let child = command.spawn().expect("setsid (package util-linux) is installed");
        Self { ours: pty.master.into(), child, seen: String::new() }
    }

    fn see(&mut self, text: &str) {
        use std::io::Read as _;

        while !self.seen.contains(text) {
            let mut bytes = [0; 256];
            // The last one to close the other end makes this fail.
            let length = self.ours.read(&mut bytes).unwrap_or_else(|error| panic!("{error}: {}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }

    fn write(&mut self, text: &str) {
        use std::io::Write as _;

        self.ours.write_all(text.as_bytes()).unwrap();
    }

    fn echoes(&self) -> bool {
        use nix::sys::termios::{LocalFlags, tcgetattr};

        let flags = tcgetattr(&self.ours).unwrap().local_flags;
        flags.contains(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG)
    }
}

#[test]
fn the_prompt_shows_nothing_and_leaves_the_terminal_as_it_was() {
    let fake = Fake::start();
    for (typed, answer) in [
        (format!("{PASSPHRASE}\r"), Some(PASSPHRASE)),
        ("wrong\u{15}12345678\u{7f}9\n".to_owned(), Some("12345679")),
        ("1234567ü\u{7f}8\n".to_owned(), Some("12345678")),
        ("zyzzy\u{3}".to_owned(), None),
        ("\u{4}".to_owned(), None),
    ] {
        for arguments in [["wifi", "connect", "far", "--ask"].as_slice(), &["wifi", "connect", "far"]] {
            let mut terminal = Terminal::start(&fake, arguments);
            terminal.see("passphrase of far: ");
            assert!(!terminal.echoes());
            let before = fake.changes().len();
            terminal.write(&typed);
            if answer.is_some() {
                terminal.see("joined far on wlan0, -54 dBm");
            }
            let status = terminal.child.wait().unwrap();
            assert_eq!(status.code(), Some(if answer.is_some() { 0 } else { 1 }));
            assert!(terminal.echoes());
            assert!(!terminal.seen.contains("zyzz") && !terminal.seen.contains("1234"), "{}", terminal.seen);
            let sent = fake.changes().get(before).map(|_| connected(&fake).secret.unwrap());
            assert_eq!(sent.as_ref().map(Secret::reveal), answer);
        }
    }
}

/// Every way in which a passphrase comes in, well or badly: it comes out nowhere.
#[test]
fn no_output_has_the_passphrase() {
    let fake = Fake::start();
    let file = fake.directory().join("psk");
    let mut outputs = String::new();
    for secret in [PASSPHRASE, WRONG, "zyzzyva", "zyzzyva\u{1}zyzzyva", "zyzzyva-zyzzyva-é"] {
        std::fs::write(&file, secret).unwrap();
        let file = file.to_str().unwrap();
        for arguments in [
            ["wifi", "connect", "far", "--psk-file", file].as_slice(),
            &["wifi", "connect", "far", "--sae", "--psk-file", file],
            &["wifi", "connect", "campus", "--eap", "peap", "--identity", "me", "--password-file", file],
            &["wifi", "connect", "campus", "--eap", "tls", "--identity", "me", "--password-file", file],
        ] {
            outputs.push_str(&run(&fake, arguments));
        }
        outputs.push_str(&with_input(&fake, &["wifi", "connect", "far", "--psk-file", "-"], secret));
        let config = fake.directory().join("hitless.toml");
        for lines in [
            format!("psk = \"{secret}\""),
            format!("psk = {secret}"),
            format!("psk = \"{secret}\" x"),
            format!("psk-file = \"{secret}\""),
        ] {
            let text = format!(
                "[bond.bond0]\nports = \"wlan0\"\n[[wifi.wlan0.network]]\nssid = \"a\"\n{lines}\nx = 1"
            );
            std::fs::write(&config, text).unwrap();
            for flags in [[].as_slice(), &["--json"]] {
                let output = hitless().arg("check-config").arg(&config).args(flags).output().unwrap();
                assert_eq!(output.status.code(), Some(1));
                outputs.push_str(&show(&output, fake.directory()));
            }
        }
    }
    for arguments in [["status"].as_slice(), &["wifi", "status"], &["wifi", "list"], &["wifi", "scan"]] {
        outputs.push_str(&run(&fake, arguments));
        outputs.push_str(&run(&fake, &[arguments, ["--json"].as_slice()].concat()));
    }
    outputs.push_str(&format!("{:?}", fake.changes()));
    assert!(!outputs.contains("zyzz") && !outputs.contains("kumq"), "{outputs}");
}

#[test]
fn an_exposed_passphrase_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = TempDir::new().unwrap();
    let file = directory.path().join("hitless.toml");
    let network = format!("[[wifi.wlan0.network]]\nssid = \"home\"\npsk = \"{PASSPHRASE}\"\n");
    std::fs::write(&file, format!("[bond.bond0]\nports = \"wlan0\"\n{network}")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_snapshot!(show(&hitless().arg("check-config").arg(&file).output().unwrap(), directory.path()));
}

#[test]
fn man_pages_and_completions() {
    let directory = TempDir::new().unwrap();
    for (what, file) in
        [("man", "hitless-status.1"), ("man", "hitless-wifi-connect.1"), ("completions", "hitless.bash")]
    {
        let output = hitless().args(["generate", what]).arg(directory.path()).output().unwrap();
        assert!(output.status.success(), "{}", show(&output, directory.path()));
        assert!(directory.path().join(file).exists(), "{file}");
    }
}
