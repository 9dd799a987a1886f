//! What bad input gets: an error that names the thing and the remedy, and nothing half done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use hitless_lab::{Daemon, Home, HomeOptions};
use hitless_linux::bond::Support;
use support::*;

#[test]
fn a_port_that_is_in_a_bridge() {
    let home = home();
    home.laptop.ip("link add br7 type bridge").unwrap();
    home.laptop.ip("link set wlan0 master br7").unwrap();
    refused(&home.laptop, &config(""))
        .expect(1, &["bond0", "wlan0", "br7", "bridge", "ip link set wlan0 nomaster"]);
}

#[test]
fn a_port_that_something_stands_on() {
    let home = home();
    home.laptop.ip("link add eth0-mac link eth0 type macvlan").unwrap();
    refused(&home.laptop, &config("")).expect(1, &["bond0", "eth0", "eth0-mac", "ip link delete eth0-mac"]);
}

#[test]
fn a_port_that_is_the_loopback_or_part_of_the_bond() {
    let home = home();
    refused(&home.laptop, &bond("bond0", r#"["eth0", "lo"]"#, "", 0)).expect(1, &["lo"]);
    refused(&home.laptop, &bond("bond0", r#"["eth0", "bond0"]"#, "", 0)).expect(1, &["bond0"]);
    refused(&home.laptop, &bond("bond0", r#"["eth0", "bond0-p"]"#, "", 0)).expect(1, &["bond0-p"]);
}

#[test]
fn a_port_that_is_there_twice() {
    let home = home();
    refused(&home.laptop, &bond("bond0", r#"["eth0", "eth0"]"#, "", 0))
        .expect(1, &["eth0", "twice", "hitless.toml:3:"]);
    let both = bond("bond0", r#"["eth0"]"#, "", 0) + &bond("bond1", r#"["wlan0", "eth0"]"#, "", 1);
    refused(&home.laptop, &both).expect(1, &["eth0", "bond0", "hitless.toml:10:"]);
    let line = hitless(
        &home.laptop,
        &[],
        &["run", "--bond", "bond0", "--ports", "eth0,eth0", "--socket", "/tmp/none"],
    );
    line.expect(2, &["eth0", "twice"]);
}

#[test]
fn a_bond_with_the_name_of_another_interface() {
    let home = home();
    home.laptop.ip("link add bond0 type veth peer name bond0-p").unwrap();
    refused(&home.laptop, &config(""))
        .expect(1, &["bond0", "veth", "not a bond of hitless", "ip link delete bond0"]);
    refused(&home.laptop, &bond("lo", r#"["eth0"]"#, "", 0)).expect(1, &["lo"]);
    refused(&home.laptop, &bond("eth0", r#"["wlan0"]"#, "", 0)).expect(1, &["eth0"]);
    // Only its parked peer's name is taken.
    home.laptop.ip("link add x0-p type bridge").unwrap();
    refused(&home.laptop, &bond("x0", r#"["eth0"]"#, "", 0)).expect(1, &["x0-p", "bridge"]);
}

#[test]
fn a_kernel_without_the_bonding_driver() {
    let home = home();
    if hitless_linux::bond::support() != Support::Missing {
        // Asking for it would load it, and touch the machine. What it is like with one is the guest's business.
        return;
    }
    let text = config("").replace("driver = \"ebpf\"", "driver = \"kernel\"");
    refused(&home.laptop, &text).expect(1, &["bonding", "driver = \"ebpf\""]);
}

#[test]
fn a_second_bond_that_cannot_be_made_takes_the_first_one_along() {
    let home = Home::new(HomeOptions { segments: 2, ..HomeOptions::default() }).unwrap();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("route add default via 192.168.1.1 dev eth0").unwrap();
    home.laptop.ip("link add taken0 type veth peer name taken1").unwrap();
    let traffic = Traffic::start(&home, 0);
    let both = config("") + &bond("taken0", r#"["eth1", "wlan1"]"#, "", 1);
    refused(&home.laptop, &both).expect(1, &["taken0"]);
    traffic.finish();
}

#[test]
fn without_the_privilege() {
    let home = home();
    let before = state(&home.laptop);
    let run = ["run", "--bond", "bond0", "--ports", "eth0,wlan0", "--driver", "ebpf", "--socket"];
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let arguments: Vec<_> = run.into_iter().chain([socket.to_str().unwrap()]).collect();
    let without = |capability: &str| {
        let (bounding, inherited) =
            (format!("--bounding-set=-{capability}"), format!("--inh-caps=-{capability}"));
        hitless(&home.laptop, &["setpriv", &bounding, &inherited], &arguments)
    };
    without("net_admin").expect(1, &["CAP_NET_ADMIN", "sudo"]);
    without("bpf,-sys_admin").expect(1, &["CAP_", "sudo"]);
    // As another user altogether.
    let program = directory.path().join("hitless");
    std::fs::copy(hitless_lab::daemon::binary().unwrap(), &program).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), mode).unwrap();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut words = vec!["setpriv"];
    words.extend(nobody);
    words.push(program.to_str().unwrap());
    words.extend(&arguments);
    let failed = home.laptop.run(&words).unwrap_err().to_string();
    assert!(failed.contains("CAP_NET_ADMIN") && failed.contains("exit status: 1"), "{failed}");
    assert_same(&before, &state(&home.laptop));
    assert_eq!(left_in(directory.path()), ["hitless"]);
}

#[test]
fn a_second_daemon_on_the_same_socket() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("second");
    let before = state(&home.laptop);
    let socket = daemon.socket();
    let arguments =
        ["run", "--config", daemon.config_path().to_str().unwrap(), "--socket", socket.to_str().unwrap()]
            .map(str::to_owned);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    hitless(&home.laptop, &[], &arguments)
        .expect(1, &["another daemon", socket.to_str().unwrap(), "--socket"]);
    assert_same(&before, &state(&home.laptop));
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "eth0", "the first one still answers");
    assert_clean(&traffic.finish(), "second");
}

#[test]
fn a_second_daemon_on_another_socket_cannot_take_the_bond() {
    let home = home();
    let daemon = bonded(&home, "");
    let before = state(&home.laptop);
    refused(&home.laptop, &config("")).expect(1, &["bond0", "another daemon"]);
    assert_same(&before, &state(&home.laptop));
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
}

#[test]
fn a_second_daemon_on_another_socket_cannot_take_the_ports() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("second");
    let other =
        Daemon::start_with_config(&home.laptop, &bond("bond1", r#"["eth0", "wlan0"]"#, "", 1)).unwrap();
    let status = other.bond("bond1").unwrap();
    for port in ["eth0", "wlan0"] {
        let waiting = entry(&status, port)["waiting"].as_str().unwrap().to_owned();
        assert!(waiting.contains("bond0"), "{waiting}");
    }
    other.ask(&["down"]).unwrap();
    drop(other);
    assert_clean(&traffic.finish(), "second");
    // Nor did it change anything about them.
    for port in ["eth0", "wlan0"] {
        assert_eq!(mac(&home.laptop, port), mac(&home.laptop, "bond0"));
    }
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
}

#[test]
fn a_socket_that_cannot_be_made() {
    let home = home();
    let before = state(&home.laptop);
    let directory = tempfile::tempdir().unwrap();
    let run = |socket: &std::path::Path| {
        let socket = socket.to_str().unwrap();
        hitless(
            &home.laptop,
            &[],
            &["run", "--bond", "bond0", "--ports", "eth0,wlan0", "--driver", "ebpf", "--socket", socket],
        )
    };
    let missing = directory.path().join("missing");
    run(&missing.join("s")).expect(1, &[missing.to_str().unwrap(), "does not exist", "mkdir -p"]);
    let file = directory.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    run(&file).expect(1, &["not a socket"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    run(&directory.path().join("x".repeat(120))).expect(1, &["107"]);
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn a_configuration_that_is_not_there_or_wrong() {
    let home = home();
    let run = |file: &str| hitless(&home.laptop, &[], &["run", "--config", file, "--socket", "/tmp/none"]);
    run("/nonexistent/hitless.toml").expect(1, &["/nonexistent/hitless.toml", "--bond"]);
    refused(&home.laptop, &config("udpelay = 5")).expect(1, &["hitless.toml:4:1", "updelay"]);
    refused(&home.laptop, "").expect(1, &["no bond"]);
    hitless(&home.laptop, &[], &["run", "--bond", "bond0"]).expect(2, &["--ports"]);
}

#[test]
fn a_default_route_of_another_interface_stays_and_is_told_of() {
    let home = home();
    home.laptop.ip("link add other0 type veth peer name other1").unwrap();
    home.laptop.ip("link set other0 up").unwrap();
    home.laptop.ip("address add 10.0.0.1/24 dev other0").unwrap();
    home.laptop.ip("route add default via 10.0.0.2 dev other0 proto static").unwrap();
    let daemon = bonded(&home, "");
    Traffic::start(&home, 0).finish();
    assert!(home.laptop.ip("route").unwrap().contains("default via 10.0.0.2 dev other0"));
    assert!(
        daemon.log().contains("192.168.1.1") && daemon.log().contains("ip route delete default"),
        "{}",
        daemon.log()
    );
    daemon.ask(&["down"]).unwrap();
    assert!(home.laptop.ip("route").unwrap().contains("default via 10.0.0.2 dev other0"), "not ours");
}

/// A tap's frames are at most 65521 bytes: it cannot be as large as the bond is to be.
#[test]
fn a_port_in_use_that_cannot_be_taken_stays_in_use() {
    let home = home();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("tuntap add tap0 mode tap").unwrap();
    home.laptop.ip("link set tap0 up").unwrap();
    home.laptop.ip("address add 10.1.0.5/24 dev tap0").unwrap();
    home.laptop.ip("address add fd01::5/64 dev tap0 nodad").unwrap();
    home.laptop.ip("route add 10.2.0.0/16 via 10.1.0.1 dev tap0").unwrap();
    let before = state(&home.laptop);
    let text =
        "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"tap0\", \"wlan0\"]\n[bond.bond0.ip]\nmtu = 65530\n";
    let daemon = Daemon::start_with_config(&home.laptop, text).unwrap();
    let port = wait_port(&daemon, "tap0", "to be refused", |port| {
        port["waiting"].as_str().is_some_and(|waiting| waiting.contains("65530"))
    });
    assert_eq!(port["link"], "down");
    let mine = |state: &[String]| -> Vec<String> {
        state.iter().filter(|line| line.contains("tap0")).cloned().collect()
    };
    assert_same(&mine(&before), &mine(&state(&home.laptop)));
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn a_configured_size_is_not_changed_by_the_port_that_is_taken() {
    let home = home();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("link set eth0 mtu 1400").unwrap();
    let daemon = daemon(&home, &(config("") + "mtu = 1450\n"), &[("bond0", "eth0")]);
    for name in ["bond0", "eth0", "wlan0"] {
        assert_eq!(link(&home.laptop, name)["mtu"], 1450, "{name}");
    }
    daemon.ask(&["down"]).unwrap();
    assert_eq!(link(&home.laptop, "eth0")["mtu"], 1400);
}

#[test]
fn a_bond_does_not_take_the_address_of_a_port_that_it_cannot_have() {
    let home = home();
    let mut first = Daemon::start_with_config(&home.laptop, &bond("bond0", r#"["eth0"]"#, "", 0)).unwrap();
    first.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let second =
        Daemon::start_with_config(&home.laptop, &bond("bond1", r#"["eth0", "wlan0"]"#, "", 0)).unwrap();
    second.wait_active("bond1", "wlan0", PATIENCE).unwrap();
    assert_eq!(mac(&home.laptop, "bond1"), mac(&home.laptop, "wlan0"));
    assert_ne!(mac(&home.laptop, "bond1"), mac(&home.laptop, "bond0"));
    second.ask(&["down"]).unwrap();
    first.terminate().unwrap();
}
