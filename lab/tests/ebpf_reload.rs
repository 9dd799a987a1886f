//! The ebpf driver: configurations that change while traffic flows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Duration;

use hitless_lab::wait::linger;
use hitless_lab::{Daemon, Home, HomeOptions};
use support::*;

fn reload(daemon: &Daemon<'_>, config: &str) {
    daemon.write_config(config).unwrap();
    daemon.ask(&["reload"]).unwrap();
}

/// Every option in turn, one after the other in the same daemon; each shows, and none costs a datagram.
#[test]
fn every_option_changes_live() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("reload");
    let set = |options: &str| reload(&daemon, &config(options));
    let active = |port: &str| daemon.wait_active("bond0", port, PATIENCE).unwrap();

    set("primary = \"wlan0\"");
    let status = active("wlan0");
    assert_eq!((&status["primary"], &status["last_failover"]["to"]), (&"wlan0".into(), &"wlan0".into()));
    // Nobody is better than the one in use.
    set("primary = \"none\"\nprimary-reselect = \"failure\"");
    assert_eq!(daemon.bond("bond0").unwrap()["primary"], serde_json::Value::Null);
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "wlan0");
    set("primary-reselect = \"always\"");
    active("eth0");
    // A higher prio, where there is no primary.
    set("primary = \"none\"\n[bond.bond0.port.wlan0]\nprio = 10");
    active("wlan0");
    set("primary = \"none\"\n[bond.bond0.port.eth0]\nprio = 11\n[bond.bond0.port.wlan0]\nprio = 10");
    active("eth0");
    // The order of ports.
    reload(&daemon, &bond("bond0", r#"["wlan0", "eth0"]"#, "", 0));
    active("wlan0");
    set("");
    active("eth0");
    traffic.flows();

    // Two links are needed, and there is one.
    home.pull("wlan0").unwrap();
    set("min-links = 2");
    daemon.wait_bond("bond0", "no carrier", PATIENCE, |bond| bond["carrier"] == false).unwrap();
    set("min-links = 1");
    daemon.wait_bond("bond0", "a carrier", PATIENCE, |bond| bond["carrier"] == true).unwrap();
    home.plug("wlan0").unwrap();
    wait_ports_up(&daemon, "bond0");
    traffic.mark("after");
    traffic.flows();

    for options in [
        "miimon = 50",
        "updelay = 20\ndowndelay = 20",
        "num-peer-notif = 3\npeer-notif-delay = 20",
        "num-peer-notif = 0",
        "failback = \"carrier\"",
        "failback-timeout = 1000",
        "arp-interval = 100\narp-ip-target = [\"192.168.1.1\"]",
        "arp-interval = 100\narp-ip-target = [\"192.168.1.1\"]\narp-validate = \"all\"\narp-missed-max = 5",
        "arp-interval = 100\nns-ip6-target = [\"fd00:1::1\"]\narp-validate = \"filter\"",
        "arp-interval = 200\nns-ip6-target = [\"fd00:1::1\"]\narp-ip-target = [\"192.168.1.1\"]\narp-validate = \"active\"\narp-all-targets = \"all\"",
        "resend-igmp = 3\nall-slaves-active = true",
        "driver = \"auto\"",
        "mode = \"failover\"",
        "",
    ] {
        let text = config(options);
        let text =
            if options.contains("driver") { text.replacen("driver = \"ebpf\"\n", "", 1) } else { text };
        reload(&daemon, &text);
        linger(Duration::from_millis(250)).unwrap();
        let status = daemon.bond("bond0").unwrap();
        let links = ["eth0", "wlan0"].map(|port| entry(&status, port)["link"].clone());
        assert_eq!((&status["active"], links), (&"eth0".into(), ["up".into(), "up".into()]), "{options}");
        traffic.flows();
    }
    let report = traffic.finish();
    assert_clean(&report, "after");
    assert_eq!(counted(&report, "reload").duplicated, 0);
}

#[test]
fn delays_and_probes_count_as_soon_as_they_are_reloaded() {
    let home = home();
    let daemon = bonded(&home, "");
    // Two seconds of downdelay are time enough for a cable to come back unnoticed.
    reload(&daemon, &config("downdelay = 2000"));
    home.pull("eth0").unwrap();
    let port = wait_port(&daemon, "eth0", "to be failing", |port| port["link"] == "fail");
    assert_eq!((&port["active"], &port["link_failures"]), (&true.into(), &0.into()));
    home.plug("eth0").unwrap();
    let port = wait_port(&daemon, "eth0", "to be up", |port| port["link"] == "up");
    assert_eq!(port["link_failures"], 0);

    reload(&daemon, &config("updelay = 500"));
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    home.plug("eth0").unwrap();
    wait_port(&daemon, "eth0", "to wait for updelay", |port| {
        port["link"] == "back" && port["waiting"] == "updelay"
    });
    // Shortened while it runs, it ends.
    reload(&daemon, &config("updelay = 0"));
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();

    home.silence("eth0").unwrap();
    linger(Duration::from_millis(300)).unwrap();
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "eth0");
    reload(&daemon, &config("arp-interval = 50\narp-ip-target = [\"192.168.1.1\"]\narp-validate = \"all\""));
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    // Without probes, its carrier is all that counts; it still has to prove itself.
    reload(&daemon, &config(""));
    wait_port(&daemon, "eth0", "to be up", |port| port["link"] == "up");
    home.unsilence("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
}

#[test]
fn addresses_gateways_and_mtu_change_live() {
    let home = Home::new(HomeOptions { mtu: Some(9000), ..HomeOptions::default() }).unwrap();
    home.router.ip("address add 192.168.1.2/24 dev lan0").unwrap();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("reload");
    let shown = |command: &str| home.laptop.ip(command).unwrap();
    let base = config("");
    let addresses = "address = [\"192.168.1.5/24\", \"fd00:1::5/64\"";
    assert!(base.contains(addresses));

    reload(&daemon, &base.replace(addresses, &format!("{addresses}, \"192.168.1.6/24\", \"fd00:1::6/64\"")));
    wait_printed(&home.laptop, "ip address show bond0", |text| {
        text.contains("192.168.1.6/24") && text.contains("fd00:1::6/64")
    });
    reload(&daemon, &base);
    wait_printed(&home.laptop, "ip address show bond0", |text| {
        !text.contains("192.168.1.6/24") && !text.contains("fd00:1::6/64")
    });
    assert!(shown("address show bond0").contains("192.168.1.5/24"));

    reload(
        &daemon,
        &base.replace("gateway = [\"192.168.1.1\"]", "gateway = [\"192.168.1.2\", \"fd00:1::1\"]"),
    );
    wait_printed(&home.laptop, "ip route show default", |text| {
        text.contains("via 192.168.1.2") && !text.contains("via 192.168.1.1 ")
    });
    wait_printed(&home.laptop, "ip -6 route show default", |text| text.contains("via fd00:1::1"));

    reload(&daemon, &format!("{base}mtu = 9000\n"));
    for name in ["bond0", "eth0", "wlan0"] {
        wait_printed(&home.laptop, &format!("ip link show {name}"), |text| text.contains("mtu 9000"));
    }
    home.laptop.run(&["ping", "-c1", "-W5", "-Mdo", "-s8972", "192.168.1.1"]).unwrap();
    assert_clean(&traffic.finish(), "reload");
}

#[test]
fn ports_come_and_go_and_move_to_another_bond() {
    let home = Home::new(HomeOptions { segments: 2, ..HomeOptions::default() }).unwrap();
    let before = state(&home.laptop);
    let two = |first: &str, second: &str| {
        format!("{}{}", bond("bond0", first, "", 0), bond("bond1", second, "", 1))
    };
    let daemon = daemon(
        &home,
        &two(r#"["eth0", "wlan0"]"#, r#"["eth1", "wlan1"]"#),
        &[("bond0", "eth0"), ("bond1", "eth1")],
    );
    let mut traffic = [Traffic::start(&home, 0), Traffic::start(&home, 1)];
    traffic.iter_mut().for_each(|traffic| traffic.mark("reload"));
    let ports = |bond: &str| {
        let status = daemon.bond(bond).unwrap();
        let names =
            status["ports"].as_array().unwrap().iter().map(|port| port["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };

    // A port changes sides. (What is plugged into which switch makes no difference to the daemon.)
    reload(&daemon, &two(r#"["eth0"]"#, r#"["eth1", "wlan1", "wlan0"]"#));
    wait_for("wlan0 to be up in bond1", || {
        let status = daemon.bond("bond1").unwrap();
        (entry(&status, "wlan0")["link"] == "up").then_some(())
    });
    assert_eq!((ports("bond0"), ports("bond1")), ("eth0".into(), "eth1 wlan1 wlan0".into()));
    assert_eq!(mac(&home.laptop, "wlan0"), mac(&home.laptop, "bond1"));
    reload(&daemon, &two(r#"["eth0", "wlan0"]"#, r#"["eth1", "wlan1"]"#));
    wait_port(&daemon, "wlan0", "to be up", |port| port["link"] == "up");
    assert_eq!(mac(&home.laptop, "wlan0"), mac(&home.laptop, "bond0"));
    let [first, second] = traffic;
    assert_clean(&first.finish(), "reload");
    assert_clean(&second.finish(), "reload");

    // A whole bond goes, and comes back.
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("reload");
    reload(&daemon, &bond("bond0", r#"["eth0", "wlan0"]"#, "", 0));
    assert!(daemon.bond("bond1").unwrap().is_null());
    assert!(!names(&home.laptop).contains(&"bond1".to_owned()));
    reload(&daemon, &two(r#"["eth0", "wlan0"]"#, r#"["eth1", "wlan1"]"#));
    daemon.wait_active("bond1", "eth1", PATIENCE).unwrap();
    Traffic::start(&home, 1).finish();
    assert_clean(&traffic.finish(), "reload");
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn an_invalid_file_changes_nothing_and_says_where() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("refused");
    let before = (state(&home.laptop), daemon.status().unwrap());
    for (wrong, said) in [
        (config("updelay = \"soon\""), "4:11"),
        (config("mimon = 5"), "miimon"),
        (config("primary = \"eth7\""), "eth7"),
        (config("miimon = 0"), "arp-interval"),
        ("[bond.bond0\n".to_owned(), "1:"),
        (String::new(), "no bond"),
    ] {
        daemon.write_config(&wrong).unwrap();
        let refused = daemon.command(&["reload"]).unwrap();
        let said_all = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(4), "{said_all}");
        assert!(said_all.contains("hitless.toml") && said_all.contains(said), "not `{said}`: {said_all}");
        let now = (state(&home.laptop), daemon.status().unwrap());
        assert_same(&before.0, &now.0);
        assert_eq!(before.1, now.1);
    }
    std::fs::remove_file(daemon.config_path()).unwrap();
    assert_eq!(daemon.command(&["reload"]).unwrap().status.code(), Some(1), "no file at all");
    assert_clean(&traffic.finish(), "refused");
}

#[test]
fn a_reload_that_cannot_be_carried_out_changes_nothing() {
    let home = Home::new(HomeOptions { segments: 2, ..HomeOptions::default() }).unwrap();
    home.laptop.ip("link add taken0 type veth peer name taken1").unwrap();
    home.laptop.ip("link add br0 type bridge").unwrap();
    home.laptop.ip("link set wlan1 master br0").unwrap();
    let first = |options: &str| bond("bond0", r#"["eth0", "wlan0"]"#, options, 0);
    let second = |name: &str, ports: &str| bond(name, ports, "", 1);
    let daemon = daemon(
        &home,
        &(first("") + &second("bond1", r#"["eth1"]"#)),
        &[("bond0", "eth0"), ("bond1", "eth1")],
    );
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("refused");
    let before = (state(&home.laptop), daemon.status().unwrap());
    let change = "primary = \"wlan0\"";
    for (config, said) in [
        // bond0 changes, bond1 goes, and what comes instead cannot be made.
        (first(change) + &second("taken0", r#"["eth1"]"#), "taken0"),
        (first(change) + &second("bond2", r#"["eth1", "wlan1"]"#), "br0"),
        (first(change) + &second("bond1", r#"["eth1", "wlan1"]"#), "br0"),
    ] {
        daemon.write_config(&config).unwrap();
        let refused = daemon.command(&["reload"]).unwrap();
        let said_all = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(matches!(refused.status.code(), Some(1 | 4)), "{said_all}");
        assert!(said_all.contains(said), "not `{said}`: {said_all}");
        assert_same(&before.0, &state(&home.laptop));
        assert_eq!(before.1, daemon.status().unwrap(), "{said_all}");
    }
    assert_clean(&traffic.finish(), "refused");
}

#[test]
fn a_signal_reloads_too() {
    let home = home();
    let daemon = bonded(&home, "");
    let hangup = || {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.pid().unwrap()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
    };
    daemon.write_config(&config("primary = \"wlan0\"")).unwrap();
    hangup();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    daemon.write_config(&config("primary = 7")).unwrap();
    hangup();
    wait_for("the error in the log", || daemon.log().contains("hitless.toml:4:").then_some(()));
    assert_eq!(daemon.bond("bond0").unwrap()["primary"], "wlan0");
}

#[test]
fn without_a_file_there_is_nothing_to_reload() {
    let home = home();
    let daemon = Daemon::start(
        &home.laptop,
        &["--bond", "bond0", "--ports", "eth0,wlan0", "--driver", "ebpf", "--address", "192.168.1.5/24"],
    )
    .unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let refused = daemon.command(&["reload"]).unwrap();
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    Traffic::start(&home, 0).finish();
}
