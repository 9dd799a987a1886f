//! How a trial begins and ends: confirmed, or not, or with the daemon or a port gone half-way.

use hitless_lab::Daemon;
use hitless_lab::wait::linger;
use nix::sys::signal::Signal;

use crate::support::*;
use crate::{FILE, adopted, assert_nothing_written, idle, in_use, killed_half_way, wait_same};

#[test]
fn what_is_confirmed_stays_and_is_written_down() {
    let home = in_use();
    let daemon = idle(&home);
    let mac_before = mac(&home.laptop, "eth0");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("adopt");
    let mut running = adopted(&daemon, &[]);
    traffic.flows();
    let bond = daemon.bond("bond0").unwrap();
    assert_eq!((&bond["active"], &bond["mac"]), (&"eth0".into(), &mac_before.as_str().into()));
    assert!(bond["unconfirmed_s"].as_u64().is_some_and(|left| left <= 60), "{bond}");
    assert_nothing_written(&daemon);
    let refused = daemon.command(&["reload"]).unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("on trial"), "{refused:?}");

    let said = daemon.ask(&["confirm"]).unwrap();
    assert!(said.contains("bond0 stays"), "{said}");
    let (code, said) = running.outcome().unwrap();
    assert_eq!(code, Some(0), "{said}");
    let written = daemon.read(FILE).unwrap();
    assert!(written.starts_with("# Made by: hitless adopt eth0 wlan0\n[bond.bond0]\n"), "{written}");
    for part in ["192.168.1.5/24", "fd00:1::5/64", "192.168.1.1"] {
        assert!(written.contains(part), "{written}");
    }
    // It says what is there.
    daemon.ask(&["reload"]).unwrap();
    wait_ports_up(&daemon, "bond0");
    assert_eq!(daemon.bond("bond0").unwrap()["unconfirmed_s"], serde_json::Value::Null);

    traffic.mark("pull");
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    traffic.flows();
    let report = traffic.finish();
    let counts = counted(&report, "adopt");
    assert_eq!((counts.duplicated, counts.reordered), (0, 0), "{counts:?}");
}

/// Both interfaces are in use, and peers know the second one by a hardware address that is nobody's afterwards.
#[test]
fn what_a_second_interface_had_is_reached_on() {
    let home = in_use();
    home.laptop.ip("address add 192.168.1.6/24 dev wlan0").unwrap();
    home.router.run(&["ping", "-c1", "-W5", "192.168.1.6"]).unwrap();
    let daemon = idle(&home);
    let mut running = adopted(&daemon, &[]);
    home.router.run(&["ping", "-c1", "-W2", "192.168.1.6"]).unwrap();
    daemon.ask(&["confirm"]).unwrap();
    running.wait().unwrap();
    assert!(daemon.read(FILE).unwrap().contains("192.168.1.6/24"));
}

#[test]
fn without_confirmation_everything_is_as_it_was() {
    let home = in_use();
    let daemon = idle(&home);
    let before = state(&home.laptop);
    let traffic = Traffic::start(&home, 0);
    let mut running = adopted(&daemon, &["--confirm", "1"]);
    let (code, said) = running.outcome().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nobody confirmed"), "{said}");
    assert_same(&before, &state(&home.laptop));
    assert_nothing_written(&daemon);
    traffic.finish();
    let refused = daemon.command(&["confirm"]).unwrap();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let home = in_use();
    let daemon = idle(&home);
    let before = state(&home.laptop);
    let refuse = |arguments: &[&str], code: i32, words: &str| {
        let done = daemon.command(arguments).unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!((done.status.code(), said.contains(words)), (Some(code), true), "{arguments:?}: {said}");
    };
    refuse(&["adopt"], 2, "required");
    refuse(&["adopt", "eth0", "--confirm", "0"], 2, "0");
    refuse(&["adopt", "eth0", "dock0"], 4, "no such interface");
    refuse(&["adopt", "eth0", "eth0"], 4, "named twice");
    refuse(&["adopt", "lo"], 4, "loopback");
    refuse(&["adopt", "wlan0"], 4, "is in use");
    refuse(&["adopt", "eth0", "--bond", "a name that cannot be"], 4, "a name that cannot be");
    refuse(&["adopt", "eth0", "--bond", "eth0"], 4, "eth0");
    refuse(&["confirm"], 4, "nothing to confirm");
    assert_same(&before, &state(&home.laptop));

    let mut running = adopted(&daemon, &[]);
    refuse(&["adopt", "eth0", "wlan0"], 4, "bond0 is on trial");
    daemon.ask(&["confirm"]).unwrap();
    running.wait().unwrap();
    refuse(&["adopt", "eth0", "wlan0"], 4, "it belongs to bond0 already");
    refuse(&["confirm"], 4, "nothing to confirm");
}

#[test]
fn a_daemon_without_a_file_has_nowhere_to_write_it() {
    let home = in_use();
    let daemon =
        Daemon::start(&home.laptop, &["--driver", "ebpf", "--bond", "bond7", "--ports", "dock0"]).unwrap();
    let done = daemon.command(&["adopt", "eth0"]).unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!((done.status.code(), said.contains("--bond")), (Some(4), true), "{said}");
}

#[test]
fn a_daemon_that_is_killed_half_way_costs_nothing() {
    let home = in_use();
    let mut daemon = idle(&home);
    let before = state(&home.laptop);
    let traffic = Traffic::start(&home, 0);
    let mut random = Random::new();
    for n in 0..8 {
        let comes_back = n % 2 == 0;
        killed_half_way(&mut daemon, &mut random, comes_back);
        wait_same(&home, &before);
        assert!(daemon.read(FILE).is_err());
        if !comes_back {
            daemon.restart().unwrap();
        }
        assert_eq!(daemon.status().unwrap()["bonds"], serde_json::json!([]));
        traffic.flows();
    }
    traffic.finish();
}

#[test]
fn with_daemon_and_command_killed_the_next_daemon_puts_everything_back() {
    let home = in_use();
    let mut daemon = idle(&home);
    let before = state(&home.laptop);
    let mut running = adopted(&daemon, &[]);
    daemon.kill9().unwrap();
    running.signal(Signal::SIGKILL).unwrap();
    running.wait().unwrap();
    daemon.restart().unwrap();
    assert!(daemon.log().contains("was on trial when the daemon ended"), "{}", daemon.log());
    wait_same(&home, &before);
}

#[test]
fn whoever_gives_up_puts_everything_back() {
    let home = in_use();
    let mut daemon = idle(&home);
    let before = state(&home.laptop);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut running = adopted(&daemon, &[]);
        running.signal(signal).unwrap();
        let (code, said) = running.outcome().unwrap();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("everything is as it was"), "{said}");
        wait_same(&home, &before);
    }
    let mut running = adopted(&daemon, &[]);
    running.signal(Signal::SIGHUP).unwrap();
    daemon.ask(&["down", "bond0"]).unwrap();
    assert!(running.outcome().unwrap().1.contains("hitless down removed it"));
    wait_same(&home, &before);
    let mut running = adopted(&daemon, &[]);
    daemon.terminate().unwrap();
    let (code, said) = running.outcome().unwrap();
    // Why, if it was asked for in time.
    assert_eq!((code, said.contains("everything is as it was")), (Some(1), true), "{said}");
    assert!(daemon.log().contains("the daemon was told to end"), "{}", daemon.log());
    wait_same(&home, &before);
}

#[test]
fn a_port_that_vanishes_half_way_leaves_the_others_as_they_were() {
    let home = in_use();
    let daemon = idle(&home);
    let mut random = Random::new();
    let without = |port: &str| -> Vec<String> {
        state(&home.laptop).into_iter().filter(|line| !line.contains(port)).collect()
    };
    let before = without("wlan0");
    for _ in 0..4 {
        let mut running =
            daemon.begin_command(&["adopt", "eth0", "wlan0", "--driver", "ebpf", "--confirm", "1"]).unwrap();
        linger(random.micros(60_000)).unwrap();
        home.vanish("wlan0").unwrap();
        let (code, said) = running.outcome().unwrap();
        assert!(code.is_some_and(|code| code != 0), "{said}");
        wait_for("eth0 to be as it was", || (without("wlan0") == before).then_some(()));
        home.appear("wlan0").unwrap();
    }
    // The one that was in use, and comes back as another interface of its name: what it had is there again.
    let mut running = adopted(&daemon, &["--confirm", "2"]);
    home.vanish("eth0").unwrap();
    home.appear("eth0").unwrap();
    running.outcome().unwrap();
    wait_printed(&home.laptop, "ip address show dev eth0", |shown| {
        shown.contains("192.168.1.5/24") && shown.contains("fd00:1::5/64")
    });
    let routes = home.laptop.ip("route").unwrap();
    assert!(routes.contains("default via 192.168.1.1 dev eth0"), "{routes}");
    assert!(!names(&home.laptop).contains(&"bond0".to_owned()));
}

/// With it go the addresses that it was to give back.
#[test]
fn a_bond_that_somebody_removes_costs_nothing() {
    let home = in_use();
    let daemon = idle(&home);
    let before = state(&home.laptop);
    let mut running = adopted(&daemon, &["--confirm", "3"]);
    home.laptop.ip("link del bond0").unwrap();
    let (code, said) = running.outcome().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("everything is as it was"), "{said}\n{}", daemon.log());
    wait_same(&home, &before);
}

/// What is on trial is kept as it is, or not at all.
#[test]
fn a_bond_on_trial_is_not_changed() {
    let home = in_use();
    let daemon = idle(&home);
    let _running = adopted(&daemon, &[]);
    for arguments in
        [&["reload"] as &[&str], &["port", "add", "bond0", "eth9"], &["port", "remove", "bond0", "wlan0"]]
    {
        let done = daemon.command(arguments).unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!((done.status.code(), said.contains("on trial")), (Some(4), true), "{arguments:?}: {said}");
    }
    daemon.ask(&["down"]).unwrap();
}

/// A default configuration that is gone is no reason to give up the bonds that are there.
#[test]
fn a_file_that_is_gone_is_an_error_where_there_are_bonds() {
    let home = in_use();
    let mut daemon = idle(&home);
    let mut running = adopted(&daemon, &[]);
    daemon.ask(&["confirm"]).unwrap();
    running.wait().unwrap();
    let before = state(&home.laptop);
    let file = format!("/proc/{}/root{FILE}", daemon.pid().unwrap());
    std::fs::remove_file(file).unwrap();
    daemon.kill9().unwrap();
    let error = daemon.restart().unwrap_err().to_string();
    assert!(error.contains("cannot read the configuration"), "{error}");
    assert_same(&before, &state(&home.laptop));
}
