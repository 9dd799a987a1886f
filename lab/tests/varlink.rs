//! The Varlink interface of the real daemon: who may do what, a client of another make, and clients that misbehave
//! while a bond fails over.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use support::*;

#[test]
fn a_client_of_another_make() {
    let home = home();
    let daemon = bonded(&home, "");
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/hitless/tests/varlink_client.py");
    let printed =
        home.laptop.run(&["python3", client.to_str().unwrap(), daemon.socket().to_str().unwrap()]).unwrap();
    assert!(printed.contains("io.hitless offers Status, Monitor, Switch"), "{printed}");
    assert!(printed.contains("bond0 active eth0 ports ['eth0', 'wlan0']"), "{printed}");
    assert!(printed.contains("monitoring"), "{printed}");
}

#[test]
fn everyone_may_look_and_only_root_may_change() {
    let home = home();
    let daemon = bonded(&home, "");
    let socket = daemon.socket();
    let directory = socket.parent().unwrap();
    // They may reach neither the laboratory's directories nor the build's.
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.join("program");
    std::fs::copy(hitless_lab::daemon::binary().unwrap(), &program).unwrap();
    let nobody = |arguments: &[&str]| {
        let words = [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            program.to_str().unwrap(),
            "--socket",
            socket.to_str().unwrap(),
        ];
        let words: Vec<_> = words.iter().chain(arguments).copied().collect();
        home.laptop.run(&words)
    };
    let before = (state(&home.laptop), daemon.status().unwrap());
    assert!(nobody(&["status", "--json"]).unwrap().contains("\"active\":\"eth0\""));
    for arguments in [
        &["switch", "bond0", "wlan0"] as &[&str],
        &["port", "add", "bond0", "eth1"],
        &["port", "remove", "bond0", "wlan0"],
        &["reload"],
        &["down"],
    ] {
        let refused = nobody(arguments).unwrap_err().to_string();
        assert!(refused.contains("exit status: 4"), "{arguments:?}: {refused}");
    }
    assert_same(&before.0, &state(&home.laptop));
    assert_eq!(before.1, daemon.status().unwrap());
}

#[test]
fn clients_that_misbehave_disturb_nothing() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("quiet");
    let connect = || UnixStream::connect(daemon.socket()).unwrap();
    // Such as never finish what they began, and such as never read what they asked for.
    let mut unfinished: Vec<_> = (0..8).map(|_| connect()).collect();
    for client in &mut unfinished {
        client.write_all(b"{\"method\":\"io.hitless.Sta").unwrap();
    }
    let mut deaf = connect();
    deaf.write_all(b"{\"method\":\"io.hitless.Monitor\",\"more\":true}\0").unwrap();
    let mut asking = connect();
    asking.set_nonblocking(true).unwrap();
    for _ in 0..2000 {
        // Until the daemon takes no more of it.
        if asking.write(b"{\"method\":\"io.hitless.Status\"}\0").is_err() {
            break;
        }
    }
    // Such as send what is nothing at all, or too much of it.
    let refused = |bytes: &[u8]| {
        let mut client = connect();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let _ = client.write_all(bytes);
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    for _ in 0..3 {
        home.pull("eth0").unwrap();
        assert_eq!(refused(b"GET / HTTP/1.1\r\n\r\n\0"), "");
        assert_eq!(refused(&vec![b'x'; 1 << 20]), "");
        assert_eq!(refused(b"\0\0\0\0"), "");
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        traffic.flows();
        home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        traffic.flows();
    }
    let report = traffic.finish();
    assert_eq!(counted(&report, "quiet").duplicated, 0);
    drop((unfinished, deaf, asking));
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}

#[test]
fn several_who_watch_see_the_same() {
    let home = home();
    let daemon = bonded(&home, "");
    let watches = [(); 3].map(|()| daemon.watch().unwrap());
    for watch in &watches {
        watch.wait("the status", PATIENCE, |event| event["bonds"].is_array()).unwrap();
    }
    daemon.ask(&["switch", "bond0", "wlan0"]).unwrap();
    let seen = watches.each_ref().map(|watch| {
        watch.wait("the switch", PATIENCE, |event| event["notice"]["failover"]["cause"] == "manual").unwrap()
    });
    assert!(seen.iter().all(|event| event == &seen[0]), "{seen:?}");
}
