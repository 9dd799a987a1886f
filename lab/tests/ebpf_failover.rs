//! The ebpf driver under traffic: cables are pulled and plugged, ports come and go.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use hitless_lab::wait::linger;
use hitless_lab::{Daemon, Home, HomeOptions};
use serde_json::Value;
use support::*;

#[test]
fn a_pull_costs_little_and_a_plug_nothing() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    for n in 1..=5 {
        traffic.mark("pull");
        home.pull("eth0").unwrap();
        let status = daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        let failover = &status["last_failover"];
        assert_eq!((&failover["from"], &failover["to"]), (&"eth0".into(), &"wlan0".into()));
        assert_eq!(failover["cause"], "carrier_lost");
        assert!(failover["took_us"].as_u64().is_some_and(|took| took < 1_000_000), "{failover}");
        assert_eq!(entry(&status, "eth0")["link_failures"], n);
        assert_eq!(entry(&status, "eth0")["waiting"], "carrier");
        assert_eq!(status["carrier"], true);
        traffic.flows();

        traffic.mark("plug");
        home.plug("eth0").unwrap();
        let status = daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        assert_eq!(status["last_failover"]["cause"], "better_port");
        assert_eq!(entry(&status, "wlan0")["link_failures"], 0);
        assert_eq!(entry(&status, "eth0")["waiting"], Value::Null);
        traffic.flows();
    }
    let report = traffic.finish();
    assert_clean(&report, "start");
    assert_clean(&report, "plug");
    let pulls = counted(&report, "pull");
    assert_eq!((pulls.duplicated, pulls.reordered), (0, 0), "{pulls:?}");
    // What was lost is a matter of time, which the benchmark measures; here only: it was not the path that was lost.
    assert!(pulls.lost < pulls.sent / 4, "{pulls:?}");
}

#[test]
fn what_happens_is_told_in_order() {
    let home = home();
    let daemon = bonded(&home, "");
    let watch = daemon.watch().unwrap();
    watch.wait("the status", PATIENCE, |event| event["bonds"].is_array()).unwrap();
    let traffic = Traffic::start(&home, 0);
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    watch
        .wait("the failback", PATIENCE, |event| event["notice"]["failover"]["cause"] == "better_port")
        .unwrap();
    traffic.finish();

    let events = watch.events();
    let first = &events[0]["bonds"][0];
    assert_eq!((&first["name"], &first["active"]), (&"bond0".into(), &"eth0".into()), "{first}");
    let mut times = Vec::new();
    let mut told = Vec::new();
    for notice in events[1..].iter().map(|event| &event["notice"]) {
        assert_eq!(notice["bond"], "bond0", "{notice}");
        assert!(notice["text"].as_str().is_some_and(|text| !text.is_empty()), "{notice}");
        times.push(notice["time_us"].as_u64().unwrap());
        told.push(match notice["kind"].as_str().unwrap() {
            "link" => format!("{} {}", notice["port"], notice["link"]),
            "failover" => format!("{} to {}", notice["failover"]["from"], notice["failover"]["to"]),
            "waiting" => {
                let waiting = notice["waiting"].as_str().unwrap_or("nothing");
                format!("{} waits for {}", notice["port"], waiting.split(':').next().unwrap_or_default())
            }
            other => panic!("unexpected {other}: {notice}"),
        });
    }
    assert!(times.is_sorted(), "{times:?}");
    let told: Vec<_> = told.iter().map(|line| line.replace('"', "")).collect();
    let failovers: Vec<_> =
        told.iter().filter(|line| !line.contains("waits for")).map(String::as_str).collect();
    assert_eq!(failovers, ["eth0 down", "eth0 to wlan0", "eth0 up", "wlan0 to eth0"]);
    // Until it is known who could prove the path, the port waits for nothing that could be named.
    let mut waits: Vec<_> =
        told.iter().filter(|line| line.contains("waits for")).map(String::as_str).collect();
    waits.dedup();
    let nothing = "eth0 waits for nothing";
    let expected = ["eth0 waits for carrier", nothing, "eth0 waits for proof", nothing];
    assert!(waits == expected || waits == [expected[0], expected[2], nothing], "{told:#?}");
}

#[test]
fn a_lost_standby_costs_nothing() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("standby");
    for n in 1..=3 {
        home.pull("wlan0").unwrap();
        wait_port(&daemon, "wlan0", "to be down", |port| {
            port["link"] == "down" && port["link_failures"] == n
        });
        home.plug("wlan0").unwrap();
        wait_port(&daemon, "wlan0", "to be up", |port| port["link"] == "up");
    }
    let report = traffic.finish();
    assert_clean(&report, "standby");
    let status = daemon.bond("bond0").unwrap();
    assert_eq!(
        (&status["active"], &status["last_failover"]["cause"]),
        (&"eth0".into(), &"first_port".into())
    );
}

#[test]
fn without_any_port_the_bond_has_no_carrier_and_the_first_port_back_is_used_at_once() {
    let home = home();
    let daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    home.pull("eth0").unwrap();
    home.pull("wlan0").unwrap();
    daemon
        .wait_bond("bond0", "the bond to lose its carrier", PATIENCE, |bond| {
            bond["carrier"] == false && bond["active"].is_null()
        })
        .unwrap();
    wait_printed(&home.laptop, "ip -o link show bond0", |shown| shown.contains("NO-CARRIER"));
    // Nobody could prove anything here: the worse port is used all the same.
    home.plug("wlan0").unwrap();
    let status = daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    assert_eq!(status["last_failover"]["from"], Value::Null);
    traffic.flows();
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    traffic.finish();
    assert!(home.laptop.ip("route show default").unwrap().contains("via 192.168.1.1 dev bond0"));
}

#[test]
fn a_flap_storm_ends_where_it_should() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut random = Random::new();
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("storm");
    for _ in 0..100 {
        home.pull("eth0").unwrap();
        linger(random.micros(30_000)).unwrap();
        home.plug("eth0").unwrap();
        linger(random.micros(30_000)).unwrap();
    }
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_ports_up(&daemon, "bond0");
    traffic.mark("after");
    traffic.flows();
    let report = traffic.finish();
    assert_clean(&report, "after");
    let storm = counted(&report, "storm");
    // A port of the switch that goes down takes what the switch knows of our address along: then the switch floods.
    assert!(storm.duplicated < 100, "{storm:?}");
    assert!(storm.lost < storm.sent / 2, "{storm:?}");
    let failures = entry(&daemon.bond("bond0").unwrap(), "eth0")["link_failures"].as_u64().unwrap();
    assert!((1..=100).contains(&failures), "{failures}");
}

#[test]
fn the_active_port_is_taken_out_of_the_machine_and_comes_back() {
    let home = home();
    let daemon = bonded(&home, "");
    let bond_mac = mac(&home.laptop, "bond0");
    let mut traffic = Traffic::start(&home, 0);
    for _ in 0..2 {
        traffic.mark("vanish");
        home.vanish("eth0").unwrap();
        let status = daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        assert_eq!(status["last_failover"]["from"], "eth0");
        let gone = wait_port(&daemon, "eth0", "to be gone", |port| port["index"].is_null());
        assert_eq!((&gone["link"], &gone["permanent_mac"]), (&"down".into(), &Value::Null));
        assert!(gone["waiting"].as_str().unwrap().contains("interface"), "{gone}");
        traffic.flows();

        traffic.mark("appear");
        home.appear("eth0").unwrap();
        let status = daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        // Another interface: it has not failed yet, has an address of its own, and now uses that of the bond.
        let port = entry(&status, "eth0");
        assert_eq!(port["link_failures"], 0, "{port}");
        assert_ne!(port["permanent_mac"], bond_mac);
        assert_eq!(mac(&home.laptop, "eth0"), bond_mac);
        traffic.flows();
    }
    let report = traffic.finish();
    assert_clean(&report, "appear");
    assert_eq!(mac(&home.laptop, "bond0"), bond_mac, "the bond keeps the address of a port that is gone");
}

#[test]
fn a_standby_port_is_taken_out_of_the_machine_and_comes_back() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("standby");
    home.vanish("wlan0").unwrap();
    wait_port(&daemon, "wlan0", "to be gone", |port| port["index"].is_null());
    home.appear("wlan0").unwrap();
    wait_port(&daemon, "wlan0", "to be up", |port| port["link"] == "up");
    let report = traffic.finish();
    assert_clean(&report, "standby");
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "eth0");
}

#[test]
fn a_port_that_does_not_exist_is_waited_for() {
    let home = home();
    home.vanish("eth0").unwrap();
    home.vanish("wlan0").unwrap();
    let daemon = Daemon::start_with_config(&home.laptop, &config("")).unwrap();
    let status = daemon.bond("bond0").unwrap();
    assert_eq!((&status["active"], &status["carrier"]), (&Value::Null, &false.into()));
    for port in ["eth0", "wlan0"] {
        let waiting = entry(&status, port)["waiting"].as_str().unwrap().to_owned();
        assert_eq!(waiting, "the interface to appear");
    }
    // The worse one comes first, and is used.
    home.appear("wlan0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    wait_printed(&home.laptop, "ip route", |routes| routes.contains("default via 192.168.1.1 dev bond0"));
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("appear");
    home.appear("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_clean(&traffic.finish(), "appear");
}

#[test]
fn a_glob_takes_a_dock_that_is_plugged_in() {
    let home = home();
    home.vanish("eth0").unwrap();
    let daemon = daemon(&home, &bond("bond0", r#"["eth*", "wlan0"]"#, "", 0), &[("bond0", "wlan0")]);
    assert_eq!(daemon.bond("bond0").unwrap()["ports"].as_array().unwrap().len(), 1);
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("dock");
    home.appear("eth0").unwrap();
    let status = daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_eq!(status["primary"], "eth0");
    traffic.flows();
    traffic.mark("undock");
    home.vanish("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    let report = traffic.finish();
    assert_clean(&report, "dock");
    assert_eq!(counted(&report, "undock").duplicated, 0);
}

#[test]
fn a_port_is_renamed_away_and_back() {
    let home = home();
    let daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    home.laptop.ip("link set eth0 name dock0").unwrap();
    let status = daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    assert_eq!(status["last_failover"]["cause"], "port_removed");
    wait_port(&daemon, "eth0", "to be gone", |port| port["index"].is_null());
    traffic.flows();
    home.laptop.ip("link set dock0 down").unwrap();
    home.laptop.ip("link set dock0 name eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    traffic.finish();
}

#[test]
fn failback_waits_for_a_switch_with_a_spanning_tree() {
    let delay = Duration::from_secs(4);
    let home = Home::new(HomeOptions { spanning_tree: Some(delay), ..HomeOptions::default() }).unwrap();
    let daemon = bonded(&home, "");
    for port in ["eth0", "wlan0"] {
        home.wait_forwarding(port).unwrap();
    }
    let mut traffic = Traffic::start(&home, 0);
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    traffic.flows();

    traffic.mark("plug");
    home.plug("eth0").unwrap();
    let port = wait_port(&daemon, "eth0", "to wait for proof", |port| {
        port["waiting"].as_str().is_some_and(|waiting| waiting.contains("proof"))
    });
    assert_eq!(port["link"], "up", "its carrier is there, but proves nothing: {port}");
    let switch = |name: &str| home.switch.run(&["bridge", "link", "show", "dev", name]).unwrap();
    // Whatever order these two are looked at in: as long as the switch is not forwarding, the bond stays where it is.
    while !switch("swp0").contains("state forwarding") {
        let active = daemon.bond("bond0").unwrap()["active"].clone();
        assert!(
            active == "wlan0" || switch("swp0").contains("state forwarding"),
            "active {active} too early"
        );
        linger(Duration::from_millis(50)).unwrap();
    }
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_clean(&traffic.finish(), "plug");
}

#[test]
fn failback_by_carrier_does_what_bonding_does() {
    let home = home();
    let daemon = bonded(&home, "failback = \"carrier\"");
    let traffic = Traffic::start(&home, 0);
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    // Nothing comes through, and still it is used: the carrier is all that counts.
    home.pull("eth0").unwrap();
    plug_into_nothing(&home);
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    revive(&home);
    traffic.finish();
}

#[test]
fn a_port_without_proof_is_used_when_the_present_one_dies() {
    let home = home();
    let daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    plug_into_nothing(&home);
    wait_port(&daemon, "eth0", "to wait for proof", |port| {
        port["waiting"].as_str().is_some_and(|waiting| waiting.contains("192.168.1.1"))
    });
    linger(Duration::from_millis(300)).unwrap();
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "wlan0");
    home.pull("wlan0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    revive(&home);
    traffic.finish();
}

#[test]
fn failback_without_proof_after_the_timeout() {
    let home = home();
    let daemon = bonded(&home, "failback-timeout = 300");
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    plug_into_nothing(&home);
    let status = daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_eq!(status["last_failover"]["cause"], "better_port");
}
