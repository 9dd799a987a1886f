//! The command line against a daemon that only pretends: what is printed, and the exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod fake;

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fake::{Fake, bonds, notice};
use hitless_api::{Method, MonitorReply, Status};
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
    assert_snapshot!(show(&nobody(&["switch", "bond0", "wlan0"]), fake.directory()));
    for arguments in [
        ["reload"].as_slice(),
        &["down"],
        &["port", "add", "bond0", "eth1"],
        &["port", "remove", "bond0", "eth0"],
    ] {
        assert_eq!(nobody(arguments).status.code(), Some(4), "{arguments:?}");
    }
    assert_eq!(fake.changes(), []);
}

#[test]
fn without_a_daemon() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("hitless.sock");
    for arguments in [["status"].as_slice(), &["watch"], &["switch", "bond0", "eth0"], &["reload"], &["down"]]
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

#[test]
fn man_pages_and_completions() {
    let directory = TempDir::new().unwrap();
    for (what, file) in [("man", "hitless-status.1"), ("completions", "hitless.bash")] {
        let output = hitless().args(["generate", what]).arg(directory.path()).output().unwrap();
        assert!(output.status.success(), "{}", show(&output, directory.path()));
        assert!(directory.path().join(file).exists(), "{file}");
    }
}
