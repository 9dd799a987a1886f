//! The server against clients that are well-behaved, malicious, or merely broken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![recursion_limit = "256"] // `json!` of a whole status

mod fake;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::Duration;

use fake::{Fake, bonds, notice};
use hitless::server::{BindError, Server};
use hitless_api::{Client, ClientError, Error, Method};
use serde_json::{Value, json};

/// Speaks Varlink without any of our own code.
struct Raw(BufReader<UnixStream>);

impl Raw {
    fn connect(fake: &Fake) -> Self {
        let stream = UnixStream::connect(fake.socket()).unwrap();
        // Only so that a bug ends the test; nothing waits that long.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream))
    }

    /// May fail: the server may hang up in the middle.
    fn write(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// `None`: the server hung up.
    fn read(&mut self) -> Option<Value> {
        let mut bytes = Vec::new();
        match self.0.read_until(0, &mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            result => result.expect("an answer in time"),
        };
        let message = bytes.strip_suffix(b"\0")?;
        Some(serde_json::from_slice(message).expect("JSON"))
    }

    fn call(&mut self, call: &Value) -> Value {
        self.write(format!("{call}\0").as_bytes());
        self.read().expect("a reply")
    }
}

fn is_served(fake: &Fake) -> bool {
    Client::connect(&fake.socket()).unwrap().status().unwrap() == bonds()
}

#[test]
fn status_is_exactly_this() {
    let fake = Fake::start();
    let reply = Raw::connect(&fake).call(&json!({ "method": "io.hitless.Status" }));
    let expected = json!({ "parameters": { "bonds": [
        {
            "name": "bond0", "driver": "ebpf", "mode": "active-backup", "active": "eth0", "primary": "eth0",
            "unconfirmed_s": null,
            "carrier": true, "mac": "02:00:00:00:00:01", "fail_over_mac": "none",
            "fail_over_mac_reason": "the ebpf driver accepts what is for the bond on every port",
            "same_segment": "require",
            "ports": [
                {
                    "name": "eth0", "index": 2, "link": "up", "active": true, "waiting": null, "link_failures": 1,
                    "same_segment": true, "permanent_mac": "02:00:00:00:00:01", "speed_mbps": 1000, "duplex": "full",
                    "wifi": null
                },
                {
                    "name": "wlan0", "index": 3, "link": "back", "active": false, "waiting": "updelay",
                    "same_segment": false,
                    "link_failures": 0, "permanent_mac": "02:00:00:00:00:02", "speed_mbps": null, "duplex": null,
                    "wifi": {
                        "ssid": "home", "ssid_hex": null, "bssid": "02:00:00:00:01:00", "signal_dbm": -54,
                        "rate_mbps": 866, "frequency_mhz": 5180, "state": "joined", "fault": null,
                        "blocked": null, "power_save": false
                    }
                },
                {
                    "name": "enx\u{1b}[2J", "index": null, "link": "down", "active": false,
                    "waiting": "the interface to appear", "link_failures": 0, "permanent_mac": null,
                    "same_segment": false,
                    "speed_mbps": null, "duplex": null, "wifi": null
                },
            ],
            "last_failover": { "from": "wlan0", "to": "eth0", "cause": "better_port", "took_us": 612 },
            "dhcp": {
                "state": "bound", "address": "192.168.1.55", "server": "192.168.1.1", "expires_in_s": 3599,
                "renews_in_s": 1799, "ntp": ["192.168.1.1"], "hostname": "laptop"
            },
            "dhcp6": {
                "state": "bound", "address": "fd00:1::1c5", "prefix": "2001:db8:7::/56", "server": "fe80::1",
                "expires_in_s": 3599, "prefix_expires_in_s": 7199, "renews_in_s": 1799, "ntp": ["fd00:1::1"]
            },
            "dns": {
                "servers": ["192.168.1.1", "fd00::1"], "search": ["home.arpa"], "via": "systemd-resolved"
            }
        },
        {
            "name": "bond1", "driver": "kernel", "mode": "active-backup", "active": null, "primary": null,
            "unconfirmed_s": null,
            "carrier": false, "mac": null, "fail_over_mac": "none", "fail_over_mac_reason": null, "ports": [],
            "same_segment": "require",
            "last_failover": null, "dhcp": null, "dhcp6": null, "dns": null
        },
    ] } });
    assert_eq!(reply, expected);
}

#[test]
fn one_connection_can_make_many_calls_and_wrong_ones_do_not_end_it() {
    let fake = Fake::start();
    let mut raw = Raw::connect(&fake);
    let error = |reply: &Value| reply["error"].as_str().unwrap_or_default().to_owned();
    let reply = raw.call(&json!({ "method": "io.hitless.Explode" }));
    assert_eq!(error(&reply), "org.varlink.service.MethodNotFound");
    let reply = raw.call(&json!({ "method": "org.example.Ping" }));
    assert_eq!(error(&reply), "org.varlink.service.InterfaceNotFound");
    let reply = raw.call(&json!({ "method": "io.hitless.Switch", "parameters": { "bond": "bond0" } }));
    assert_eq!(
        reply,
        json!({ "error": "org.varlink.service.InvalidParameter", "parameters": { "parameter": "port" } })
    );
    let reply = raw.call(&json!({ "method": "io.hitless.Monitor" }));
    assert_eq!(error(&reply), "org.varlink.service.ExpectedMore");
    let call = json!({ "method": "io.hitless.Switch", "parameters": { "bond": "bond9", "port": "eth0" } });
    assert_eq!(
        raw.call(&call),
        json!({ "error": "io.hitless.NoSuchBond", "parameters": { "bond": "bond9" } })
    );
    // No reply to the first of these two.
    raw.write(b"{\"method\":\"io.hitless.Down\",\"oneway\":true}\0");
    let call = json!({ "method": "io.hitless.Switch", "parameters": { "bond": "bond0", "port": "wlan0" } });
    assert_eq!(raw.call(&call), json!({ "parameters": {} }));
    assert_eq!(fake.changes()[1], Method::Down { bond: None });
    // Several in one packet, cut anywhere.
    raw.write(b"{\"method\":\"io.hitless.Status\"}\0{\"method\":\"io.hitless.Status\"}\0{\"meth");
    raw.write(b"od\":\"io.hitless.Status\"}\0");
    for _ in 0..3 {
        assert!(raw.read().unwrap()["parameters"]["bonds"].is_array());
    }
}

#[test]
fn stations_and_networks_are_told() {
    let fake = Fake::start();
    let mut raw = Raw::connect(&fake);
    for (method, key, first) in [
        ("WifiStatus", "stations", "/interface"),
        ("WifiList", "networks", "/ssid"),
        ("WifiScan", "access_points", "/bssid"),
    ] {
        let reply = raw.call(&json!({ "method": format!("io.hitless.{method}") }));
        assert!(reply["parameters"][key][0].pointer(first).is_some_and(Value::is_string), "{reply}");
    }
    let call =
        |network: Value| json!({ "method": "io.hitless.WifiConnect", "parameters": { "network": network } });
    let reply = raw.call(&call(json!({ "ssid": "far", "security": "psk", "secret": "kumquat zyzzyva" })));
    assert_eq!(reply["parameters"]["station"]["wifi"]["ssid"], "far");
    let reply = raw.call(&call(json!({ "ssid": "far", "secret": ["kumquat zyzzyva"] })));
    let expected =
        json!({ "error": "org.varlink.service.InvalidParameter", "parameters": { "parameter": "network" } });
    assert_eq!(reply, expected);
    let call = json!({ "method": "io.hitless.WifiScan", "parameters": { "port": "wlan9" } });
    let expected = json!({ "error": "io.hitless.NoSuchStation", "parameters": { "port": "wlan9" } });
    assert_eq!(raw.call(&call), expected);
}

#[test]
fn what_is_not_varlink_ends_its_own_connection_only() {
    let fake = Fake::start();
    let mut steady = Client::connect(&fake.socket()).unwrap();
    let deep = format!("{{\"method\":\"io.hitless.Status\",\"parameters\":{}", "{\"a\":".repeat(2000));
    for garbage in
        ["\0", "garbage\0", "{}\0", "[]\0", "{\"method\":7}\0", "\u{1}\u{2}\0", &format!("{deep}\0")]
    {
        let mut raw = Raw::connect(&fake);
        raw.write(garbage.as_bytes());
        assert_eq!(raw.read(), None, "{garbage:?}");
        assert_eq!(steady.status().unwrap(), bonds());
    }
    assert!(is_served(&fake));
}

#[test]
fn an_oversized_request_ends_its_own_connection_only() {
    let fake = Fake::start();
    let mut raw = Raw::connect(&fake);
    raw.write(b"{\"method\":\"io.hitless.Status\",\"parameters\":{\"x\":\"");
    for _ in 0..1024 {
        raw.write(&[b'x'; 1024]);
    }
    assert_eq!(raw.read(), None);
    assert!(is_served(&fake));
}

#[test]
fn a_request_that_is_never_finished_disturbs_nobody() {
    let fake = Fake::start();
    let mut halves: Vec<_> = (0..10).map(|_| Raw::connect(&fake)).collect();
    for half in &mut halves {
        half.write(b"{\"method\":\"io.hitless.Sta");
    }
    for _ in 0..100 {
        assert!(is_served(&fake));
    }
    halves[0].write(b"tus\"}\0");
    assert!(halves[0].read().is_some());
}

#[test]
fn a_client_that_does_not_read_disturbs_nobody() {
    let fake = Fake::start();
    let deaf = Raw::connect(&fake);
    let mut writer = deaf.0.get_ref().try_clone().unwrap();
    writer.set_nonblocking(true).unwrap();
    // Until the server stops reading because its replies are not read.
    let mut refused = 0;
    while refused < 20 {
        if writer.write(b"{\"method\":\"io.hitless.Status\"}\0").is_err() {
            refused += 1;
            assert!(is_served(&fake));
        }
    }
    assert!(is_served(&fake));
}

#[test]
fn monitoring_begins_with_the_bonds_and_goes_on_with_notices() {
    let fake = Fake::start();
    let mut raw = Raw::connect(&fake);
    let first = raw.call(&json!({ "method": "io.hitless.Monitor", "more": true }));
    assert_eq!(first["continues"], true);
    assert_eq!(first["parameters"]["bonds"], serde_json::to_value(bonds()).unwrap());
    assert_eq!(first["parameters"]["notice"], Value::Null);
    for n in 0..3 {
        fake.publish(notice(n));
        let reply = raw.read().unwrap();
        assert_eq!(reply["continues"], true);
        assert_eq!(
            reply["parameters"],
            json!({ "bonds": null, "notice": serde_json::to_value(notice(n)).unwrap() })
        );
    }
    // The typed client sees the same.
    let mut monitor = Client::connect(&fake.socket()).unwrap().monitor().unwrap();
    assert_eq!(monitor.next().unwrap().unwrap().bonds, Some(bonds()));
    fake.publish(notice(7));
    assert_eq!(monitor.next().unwrap().unwrap().notice, Some(notice(7)));
}

#[test]
fn a_monitor_that_lags_is_told_and_dropped() {
    let fake = Fake::start();
    let mut slow = Raw::connect(&fake);
    slow.call(&json!({ "method": "io.hitless.Monitor", "more": true }));
    for n in 0..10_000 {
        fake.publish(notice(n));
    }
    fake.settle();
    let mut last = None;
    while let Some(reply) = slow.read() {
        last = Some(reply);
    }
    assert_eq!(last.unwrap()["error"], "io.hitless.Failed");
    assert!(is_served(&fake));
}

#[test]
fn there_is_an_end_to_connections() {
    let fake = Fake::start();
    let mut open: Vec<_> = (0..32).map(|_| Raw::connect(&fake)).collect();
    for raw in &mut open {
        raw.call(&json!({ "method": "io.hitless.Status" }));
    }
    assert_eq!(Raw::connect(&fake).read(), None);
    drop(open);
    // The server hears of it in its own time.
    while !matches!(Client::connect(&fake.socket()).unwrap().status(), Ok(found) if found == bonds()) {
        std::thread::yield_now();
    }
}

#[test]
fn the_daemon_may_end_under_its_clients() {
    let mut fake = Fake::start();
    let mut client = Client::connect(&fake.socket()).unwrap();
    client.status().unwrap();
    let mut monitor = Client::connect(&fake.socket()).unwrap().monitor().unwrap();
    monitor.next().unwrap().unwrap();
    fake.stop();
    assert!(matches!(client.status(), Err(ClientError::Closed)));
    assert!(matches!(monitor.next(), Some(Err(ClientError::Closed))));
    assert!(monitor.next().is_none());
    assert!(!fake.socket().exists());
    assert!(matches!(Client::connect(&fake.socket()), Err(ClientError::NoDaemon { .. })));
}

#[test]
fn errors_arrive_typed() {
    let fake = Fake::start();
    let mut client = Client::connect(&fake.socket()).unwrap();
    let [bond, port] = ["bond0", "eth9"].map(str::to_owned);
    let result = client.call(&Method::Switch { bond: bond.clone(), port: port.clone() });
    match result {
        Err(ClientError::Hitless(error)) => assert_eq!(error, Error::NoSuchPort { bond, port }),
        other => panic!("{other:?}"),
    }
}

/// Runs one step inside a runtime of its own.
fn bind(path: &std::path::Path) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Server::bind(path).map(drop).map_err(|error: BindError| error.to_string()) })
}

#[test]
fn sockets_that_cannot_be_had() {
    let fake = Fake::start();
    let path = |name: &str| fake.directory().join(name);
    let told = |name: &str| {
        let error = bind(&path(name)).unwrap_err();
        error.replace(&fake.directory().display().to_string(), "/DIR")
    };
    insta::assert_snapshot!(told("hitless.sock"), @"another daemon runs on /DIR/hitless.sock: end it first, or name another socket with --socket (two daemons cannot share a bond)");
    assert!(is_served(&fake));
    insta::assert_snapshot!(told("missing/hitless.sock"), @"the directory /DIR/missing of the socket does not exist: create it (mkdir -p /DIR/missing) or name another socket with --socket");
    std::fs::write(path("file"), "precious").unwrap();
    insta::assert_snapshot!(told("file"), @"/DIR/file exists and is not a socket: remove it, or name another socket with --socket");
    assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "precious");
    let _foreign = UnixListener::bind(path("foreign")).unwrap();
    insta::assert_snapshot!(told("foreign"), @"another daemon runs on /DIR/foreign: end it first, or name another socket with --socket (two daemons cannot share a bond)");
}

#[test]
fn a_socket_that_was_left_behind_is_replaced() {
    let fake = Fake::start();
    let path = fake.directory().join("stale");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    bind(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn an_independent_client_understands_us() {
    let fake = Fake::start();
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/varlink_client.py"))
        .arg(fake.socket())
        .output()
        .expect("python3 is installed (make deps)");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("bond0 active eth0"), "{stdout}");
}

#[test]
fn half_a_request_read_by_nobody_is_freed() {
    let fake = Fake::start();
    for _ in 0..200 {
        let mut raw = Raw::connect(&fake);
        raw.write(b"{\"method\":");
        // Gone without a word.
        drop(raw);
    }
    while !matches!(Client::connect(&fake.socket()).unwrap().status(), Ok(found) if found == bonds()) {
        std::thread::yield_now();
    }
    let mut rest = Vec::new();
    let mut raw = Raw::connect(&fake);
    raw.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(raw.0.read_to_end(&mut rest).unwrap(), 0);
}
