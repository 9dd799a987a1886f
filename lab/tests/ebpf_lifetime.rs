//! The ebpf driver and the life of its daemon: killed, restarted, ended, told to give everything back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use hitless_lab::wait::linger;
use hitless_lab::{Daemon, Namespace};
use support::*;

/// Which table is in force, and by which programs: the same as long as nobody touches anything.
fn datapath(host: &Namespace, ports: &[&str]) -> (u64, Vec<String>) {
    let index = u32::try_from(link(host, "bond0")["ifindex"].as_u64().unwrap()).unwrap();
    let version =
        host.within(|| hitless_linux::ebpf::Datapath::adopt(index).unwrap().unwrap().version().unwrap());
    let filters = |name: &str, hook: &str| host.run(&["tc", "filter", "show", "dev", name, hook]).unwrap();
    let mut attached = vec![filters("bond0", "egress")];
    attached.extend(ports.iter().map(|port| filters(port, "ingress")));
    (version.unwrap(), attached)
}

#[test]
fn killed_and_restarted_at_random_moments_nothing_is_lost_and_nothing_changes() {
    let home = home();
    let mut daemon = bonded(&home, "");
    let mut random = Random::new();
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("lives");
    let before = (state(&home.laptop), datapath(&home.laptop, &["eth0", "wlan0"]));
    for _ in 0..8 {
        linger(random.micros(100_000)).unwrap();
        daemon.kill9().unwrap();
        linger(random.micros(50_000)).unwrap();
        daemon.restart().unwrap();
        let status = daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        assert_eq!(status["last_failover"], serde_json::Value::Null, "adopted, not chosen");
        wait_ports_up(&daemon, "bond0");
    }
    let after = (state(&home.laptop), datapath(&home.laptop, &["eth0", "wlan0"]));
    assert_eq!(before, after);
    assert_clean(&traffic.finish(), "lives");
    // What was adopted works.
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
}

#[test]
fn what_is_not_the_preferred_port_is_adopted_too() {
    let home = home();
    let mut daemon = bonded(&home, "");
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("restart");
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    // A cable that is plugged while nobody looks still has to prove itself.
    daemon.kill9().unwrap();
    plug_into_nothing(&home);
    daemon.restart().unwrap();
    wait_port(&daemon, "eth0", "to wait for proof", |port| {
        port["waiting"].as_str().is_some_and(|waiting| waiting.contains("proof"))
    });
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "wlan0");
    revive(&home);
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_clean(&traffic.finish(), "restart");
}

#[test]
fn a_cable_pulled_while_the_daemon_is_dead_is_seen_by_the_next_one() {
    let home = home();
    let mut daemon = bonded(&home, "");
    let traffic = Traffic::start(&home, 0);
    daemon.kill9().unwrap();
    home.pull("eth0").unwrap();
    linger(Duration::from_millis(100)).unwrap();
    daemon.restart().unwrap();
    let status = daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    assert_eq!(
        (&status["last_failover"]["from"], &status["last_failover"]["cause"]),
        (&"eth0".into(), &"carrier_lost".into())
    );
    traffic.finish();
}

#[test]
fn a_port_taken_out_of_the_machine_while_the_daemon_is_dead() {
    let home = home();
    let before = state(&home.laptop);
    let mut daemon = bonded(&home, "");
    daemon.kill9().unwrap();
    home.vanish("eth0").unwrap();
    daemon.restart().unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    let traffic = Traffic::start(&home, 0);
    home.appear("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    traffic.finish();
    daemon.ask(&["down"]).unwrap();
    assert_eq!(names(&home.laptop).len(), before.iter().filter(|line| line.contains("disable_ipv6")).count());
    let left = left_in(daemon.socket().parent().unwrap());
    assert!(!left.iter().any(|name| name.contains("ports")), "the ledger is empty: {left:?}");
}

#[test]
fn adopted_with_a_port_less_and_with_a_port_more() {
    let home = home();
    let before = state(&home.laptop);
    let mut daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("restart");
    daemon.kill9().unwrap();
    daemon.write_config(&bond("bond0", r#"["eth0"]"#, "", 0)).unwrap();
    daemon.restart().unwrap();
    wait_printed(&home.laptop, "tc filter show dev wlan0 ingress", str::is_empty);
    let shown = link(&home.laptop, "wlan0");
    assert!(!shown["flags"].to_string().contains("\"UP\""), "as it was found: {shown}");
    assert_eq!(daemon.bond("bond0").unwrap()["ports"].as_array().unwrap().len(), 1);

    daemon.kill9().unwrap();
    daemon.write_config(&config("")).unwrap();
    daemon.restart().unwrap();
    wait_ports_up(&daemon, "bond0");
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_clean(&traffic.finish(), "restart");

    // Without the port that is active.
    let traffic = Traffic::start(&home, 0);
    daemon.kill9().unwrap();
    daemon.write_config(&bond("bond0", r#"["wlan0"]"#, "", 0)).unwrap();
    daemon.restart().unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    wait_printed(&home.laptop, "tc filter show dev eth0 ingress", str::is_empty);
    traffic.finish();
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn a_bond_that_is_not_configured_any_more_is_removed_by_the_next_daemon() {
    let home = home();
    let before = state(&home.laptop);
    let mut daemon = bonded(&home, "");
    daemon.kill9().unwrap();
    daemon.write_config(&bond("bond1", r#"["wlan0", "eth0"]"#, "", 0)).unwrap();
    daemon.restart().unwrap();
    daemon.wait_active("bond1", "wlan0", PATIENCE).unwrap();
    wait_ports_up(&daemon, "bond1");
    assert!(!names(&home.laptop).contains(&"bond0".to_owned()));
    Traffic::start(&home, 0).finish();
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn killed_in_the_middle_of_a_failover() {
    let home = home();
    let mut daemon = bonded(&home, "");
    let mut random = Random::new();
    let traffic = Traffic::start(&home, 0);
    for n in 0..6 {
        let pulled = n % 2 == 0;
        if pulled { home.pull("eth0") } else { home.plug("eth0") }.unwrap();
        std::thread::sleep(random.micros(4000));
        daemon.kill9().unwrap();
        daemon.restart().unwrap();
        daemon.wait_active("bond0", if pulled { "wlan0" } else { "eth0" }, PATIENCE).unwrap();
        traffic.flows();
    }
    traffic.finish();
}

#[test]
fn killed_in_the_middle_of_an_attachment() {
    let home = home();
    for port in ["eth0", "wlan0"] {
        home.laptop.ip(&format!("link set {port} mtu 1400")).unwrap();
    }
    let before = state(&home.laptop);
    let mut random = Random::new();
    for _ in 0..4 {
        let mut daemon = Daemon::with_config(&home.laptop, &config("")).unwrap();
        for _ in 0..3 {
            daemon.launch().unwrap();
            std::thread::sleep(random.micros(60_000));
            daemon.kill9().unwrap();
        }
        daemon.restart().unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_ports_up(&daemon, "bond0");
        Traffic::start(&home, 0).finish();
        daemon.ask(&["down"]).unwrap();
        assert_same(&before, &state(&home.laptop));
    }
}

/// What is left when the daemon is killed right after it has made the pair of interfaces.
#[test]
fn killed_before_the_bond_has_a_name_tag() {
    let home = home();
    let before = state(&home.laptop);
    home.laptop.ip("link add bond0 type veth peer name bond0-p address 02:68:69:74:6c:73").unwrap();
    let daemon = bonded(&home, "");
    assert!(home.laptop.ip("link show bond0-p").unwrap().contains("alias hitless"));
    Traffic::start(&home, 0).finish();
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn killed_in_the_middle_of_giving_everything_back() {
    let home = home();
    let before = state(&home.laptop);
    let mut random = Random::new();
    let mut daemon = Daemon::with_config(&home.laptop, &config("")).unwrap();
    for _ in 0..4 {
        daemon.restart().unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        wait_ports_up(&daemon, "bond0");
        std::thread::scope(|scope| {
            scope.spawn(|| daemon.command(&["down"]).unwrap());
            std::thread::sleep(random.micros(30_000));
            let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.pid().unwrap()).unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        });
        daemon.kill9().unwrap();
    }
    daemon.restart().unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    Traffic::start(&home, 0).finish();
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn the_end_of_the_daemon_leaves_the_bond_forwarding() {
    let home = home();
    let mut daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("end");
    let before = (state(&home.laptop), datapath(&home.laptop, &["eth0", "wlan0"]));
    let status = daemon.terminate().unwrap();
    assert_eq!(status.code(), Some(0), "{}", daemon.log());
    assert!(!daemon.socket().exists());
    assert_eq!(daemon.command(&["status"]).unwrap().status.code(), Some(3), "no daemon");
    traffic.flows();
    assert_eq!(before, (state(&home.laptop), datapath(&home.laptop, &["eth0", "wlan0"])));
    daemon.restart().unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_clean(&traffic.finish(), "end");
}

#[test]
fn ready_means_forwarding() {
    let home = home();
    let daemon = Daemon::start_with_config(&home.laptop, &config("")).unwrap();
    let status = daemon.bond("bond0").unwrap();
    assert_eq!((&status["active"], &status["carrier"]), (&"eth0".into(), &true.into()));
    home.laptop.run(&["ping", "-c1", "-W5", "192.168.1.1"]).unwrap();
}

#[test]
fn down_gives_ports_back_as_they_were_found() {
    let home = home();
    let laptop = &home.laptop;
    // Two interfaces that differ in everything that can be told apart.
    laptop.ip("link set eth0 address 02:00:00:00:aa:01 mtu 1400").unwrap();
    laptop.ip("link set eth0 up").unwrap();
    laptop.ip("address add 192.168.1.77/24 dev eth0").unwrap();
    laptop.ip("address add 192.168.1.78/24 dev eth0").unwrap();
    laptop.ip("address add fd00:1::77/64 dev eth0 nodad").unwrap();
    laptop.ip("route add 10.9.0.0/16 via 192.168.1.1 dev eth0").unwrap();
    laptop.ip("-6 route add fd99::/64 via fd00:1::1 dev eth0").unwrap();
    laptop.ip("link set wlan0 allmulticast on").unwrap();
    laptop.sysctl("net.ipv6.conf.wlan0.disable_ipv6", "1").unwrap();
    laptop.run(&["tc", "qdisc", "add", "dev", "wlan0", "clsact"]).unwrap();
    let before = state(laptop);
    for _ in 0..2 {
        let mut daemon = bonded(&home, "");
        assert_eq!(
            link(laptop, "bond0")["mtu"],
            1400,
            "the bond takes the place of the port with the addresses"
        );
        wait_printed(laptop, "ip address show bond0", |shown| shown.contains("192.168.1.77/24"));
        daemon.kill9().unwrap();
        daemon.restart().unwrap();
        wait_ports_up(&daemon, "bond0");
        daemon.ask(&["down", "bond0"]).unwrap();
        assert_same(&before, &state(laptop));
        assert_eq!(daemon.status().unwrap()["bonds"], serde_json::json!([]));
        // Reload brings it back.
        daemon.ask(&["reload"]).unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        daemon.ask(&["down"]).unwrap();
        assert_same(&before, &state(laptop));
        assert_eq!(daemon.command(&["down", "bond0"]).unwrap().status.code(), Some(4), "there is none");
    }
}

#[test]
fn ports_are_added_and_removed_by_hand() {
    let home = home();
    let before = state(&home.laptop);
    let daemon = daemon(&home, &bond("bond0", r#"["eth0"]"#, "", 0), &[("bond0", "eth0")]);
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("by hand");
    daemon.ask(&["port", "add", "bond0", "wlan0"]).unwrap();
    wait_port(&daemon, "wlan0", "to be up", |port| port["link"] == "up");
    assert_eq!(daemon.command(&["port", "add", "bond0", "wlan0"]).unwrap().status.code(), Some(4), "twice");
    daemon.ask(&["switch", "bond0", "wlan0"]).unwrap();
    let status = daemon.bond("bond0").unwrap();
    assert_eq!((&status["active"], &status["last_failover"]["cause"]), (&"wlan0".into(), &"manual".into()));
    traffic.flows();
    daemon.ask(&["port", "remove", "bond0", "wlan0"]).unwrap();
    let status = daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    assert_eq!(status["last_failover"]["cause"], "port_removed");
    assert_eq!(status["ports"].as_array().unwrap().len(), 1);
    assert_eq!(daemon.command(&["port", "remove", "bond0", "wlan0"]).unwrap().status.code(), Some(4));
    let report = traffic.finish();
    assert_eq!((counted(&report, "by hand").lost, counted(&report, "by hand").duplicated), (0, 0));
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn a_switch_by_hand_lasts_and_costs_nothing() {
    let home = home();
    let daemon = bonded(&home, "");
    let mut traffic = Traffic::start(&home, 0);
    traffic.mark("switch");
    for port in ["wlan0", "eth0", "wlan0"] {
        daemon.ask(&["switch", "bond0", port]).unwrap();
        assert_eq!(daemon.bond("bond0").unwrap()["active"], port);
        traffic.flows();
    }
    linger(Duration::from_millis(300)).unwrap();
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "wlan0", "what was asked for stays");
    assert_clean(&traffic.finish(), "switch");
    home.pull("eth0").unwrap();
    wait_port(&daemon, "eth0", "to be down", |port| port["link"] == "down");
    let refused = daemon.command(&["switch", "bond0", "eth0"]).unwrap();
    assert_eq!(refused.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("waiting for carrier"), "{refused:?}");
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "wlan0");
    assert_eq!(daemon.command(&["switch", "bond0", "eth7"]).unwrap().status.code(), Some(4));
    assert_eq!(daemon.command(&["switch", "bond7", "eth0"]).unwrap().status.code(), Some(4));
}

/// The router's way to the laptop: what a session over the interface needs.
#[test]
fn the_interface_in_use_is_taken_over_and_given_back_under_traffic() {
    let home = home();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("route add default via 192.168.1.1 dev eth0").unwrap();
    home.laptop.ip("-6 route add default via fd00:1::1 dev eth0").unwrap();
    let before = state(&home.laptop);
    let traffic = Traffic::start(&home, 0);
    // Without addresses of its own in the configuration.
    let plain = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n";
    let daemon = daemon(&home, plain, &[("bond0", "eth0")]);
    traffic.flows();
    let routes = |host: &Namespace| host.ip("route").unwrap() + &host.ip("-6 route").unwrap();
    let shown = routes(&home.laptop);
    assert!(shown.contains("default via 192.168.1.1 dev bond0"), "{shown}");
    assert!(shown.contains("default via fd00:1::1 dev bond0"), "{shown}");
    assert!(!shown.contains("dev eth0"), "{shown}");
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    traffic.flows();
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    daemon.ask(&["down"]).unwrap();
    traffic.flows();
    assert_same(&before, &state(&home.laptop));
    traffic.finish();
}

#[test]
fn each_interface_gets_back_what_it_gave() {
    let home = home();
    let laptop = &home.laptop;
    home.use_plainly("eth0").unwrap();
    laptop.ip("link set wlan0 up").unwrap();
    laptop.ip("address add 192.168.1.6/24 dev wlan0 metric 600").unwrap();
    laptop.ip("route add default via 192.168.1.1 dev eth0 metric 100").unwrap();
    laptop.ip("route add default via 192.168.1.1 dev wlan0 metric 600").unwrap();
    let before = state(laptop);
    // The configuration names an address that eth0 has, and the same gateway.
    let daemon = bonded(&home, "");
    wait_printed(laptop, "ip -4 address show bond0", |shown| {
        shown.contains("192.168.1.5/24") && shown.contains("192.168.1.6/24")
    });
    let routes = laptop.ip("route").unwrap();
    assert!(!routes.contains("dev eth0") && !routes.contains("dev wlan0"), "{routes}");
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(laptop));
}

#[test]
fn what_an_interface_gave_that_is_gone_goes_to_another() {
    let home = home();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("route add default via 192.168.1.1 dev eth0").unwrap();
    let plain = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n";
    let daemon = daemon(&home, plain, &[("bond0", "eth0")]);
    home.vanish("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    daemon.ask(&["down"]).unwrap();
    let routes = home.laptop.ip("route").unwrap();
    assert!(routes.contains("default via 192.168.1.1 dev wlan0"), "{routes}");
    home.laptop.run(&["ping", "-c1", "-W5", "192.168.1.1"]).unwrap();
}

#[test]
fn a_bond_in_a_bridge_hears_what_is_for_others() {
    let home = home();
    let daemon = bonded(&home, "");
    let promiscuous = |port: &str| home.laptop.ip(&format!("link show {port}")).unwrap().contains("PROMISC");
    assert!(!promiscuous("eth0"));
    home.laptop.ip("link add br7 type bridge").unwrap();
    home.laptop.ip("link set bond0 master br7").unwrap();
    wait_printed(&home.laptop, "ip link show eth0", |shown| shown.contains("PROMISC"));
    wait_printed(&home.laptop, "ip link show wlan0", |shown| shown.contains("PROMISC"));
    home.laptop.ip("link set bond0 nomaster").unwrap();
    wait_printed(&home.laptop, "ip link show eth0", |shown| !shown.contains("PROMISC"));
    drop(daemon);
}

#[test]
fn the_watchdog_is_fed_for_as_long_as_the_daemon_runs() {
    let home = home();
    let directory = tempfile::tempdir().unwrap();
    let notify = UnixDatagram::bind(directory.path().join("notify")).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = Command::new(hitless_lab::daemon::binary().unwrap());
    command.args(["run", "--driver", "ebpf", "--bond", "bond0", "--ports", "eth0,wlan0", "--socket"]);
    command.arg(directory.path().join("socket")).stdin(Stdio::null()).stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", directory.path().join("notify")).env("WATCHDOG_USEC", "300000");
    let mut daemon = home.laptop.spawn(&mut command).unwrap();
    let hear = |word: &str| {
        let mut buffer = [0; 100];
        loop {
            let length = notify.recv(&mut buffer).unwrap();
            if buffer[..length].starts_with(word.as_bytes()) {
                return;
            }
        }
    };
    hear("READY=1");
    for _ in 0..3 {
        hear("WATCHDOG=1");
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    hear("STOPPING=1");
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

#[test]
fn a_port_that_left_gets_back_what_it_gave_when_the_bond_goes() {
    let home = home();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("route add default via 192.168.1.1 dev eth0").unwrap();
    let before = state(&home.laptop);
    let plain = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n";
    let daemon = daemon(&home, plain, &[("bond0", "eth0")]);
    daemon.ask(&["port", "remove", "bond0", "eth0"]).unwrap();
    let shown = home.laptop.ip("-4 address show bond0").unwrap();
    assert!(shown.contains("192.168.1.5/24"), "the address stays with the bond: {shown}");
    daemon.ask(&["port", "add", "bond0", "eth0"]).unwrap();
    wait_ports_up(&daemon, "bond0");
    daemon.ask(&["port", "remove", "bond0", "eth0"]).unwrap();
    daemon.ask(&["down"]).unwrap();
    assert_same(&before, &state(&home.laptop));
}

#[test]
fn the_first_active_port_is_the_one_that_is_wanted_most() {
    let home = home();
    home.use_plainly("eth0").unwrap();
    let daemon = daemon(&home, &config(""), &[("bond0", "eth0")]);
    let status = daemon.bond("bond0").unwrap();
    assert_eq!(status["last_failover"]["cause"], "first_port", "not by a detour");
    let link_local = wait_printed(&home.laptop, "ip -6 address show bond0 scope link", |shown| {
        shown.contains("fe80::") && !shown.contains("tentative")
    });
    assert!(!link_local.contains("dadfailed"), "{link_local}");
}
