//! Building a bond around an interface in use, with Linux bonding.

use std::fs;

use hitless_lab::wait::{Look, linger, until};
use hitless_lab::{Daemon, Home};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::*;

/// A bond whose port is not there: the file that another section is added to.
const OTHER: &str = "# mine\n[bond.bond7]\nports = [\"dock0\"]\n";

#[test]
fn guest_adopt() {
    in_guest("adopt::guest_adopt", || {
        traffic_goes_on_and_the_way_back_is_there();
        a_daemon_that_is_killed_half_way_costs_nothing();
        a_bond_that_is_removed_while_there_is_no_daemon_costs_nothing();
        the_identity_is_that_of_the_interface_in_use();
    });
}

fn traffic_goes_on_and_the_way_back_is_there() {
    let home = home();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("route add default via 192.168.1.1 dev eth0").unwrap();
    let before = as_found(&home.laptop, "eth0");
    let daemon = Daemon::start_with_config(&home.laptop, OTHER).unwrap();
    let (near, far) = home.ends(0);
    let stream = hitless_lab::tcp::Stream::start(near, far).unwrap();
    for _ in 0..2 {
        let mut running = daemon
            .begin_command(&["adopt", "eth0", "wlan0", "--driver", "kernel", "--confirm", "3"])
            .unwrap();
        running.wait_said("hitless confirm").unwrap();
        stream.wait_progress(PATIENCE).unwrap();
        assert_eq!(link(&home.laptop, "bond0")["address"], before["mac"]);
        let (code, said) = running.outcome().unwrap();
        assert_eq!(code, Some(1), "{said}");
        stream.wait_progress(PATIENCE).unwrap();
        assert_eq!(as_found(&home.laptop, "eth0"), before);
    }
    assert_eq!(fs::read_to_string(daemon.config_path()).unwrap(), OTHER);
    assert_eq!(stream.finish().broken, None);
}

/// When to kill the daemon after it has begun, in milliseconds: from before the bond is there to after it is built.
const MOMENTS: [u32; 6] = [0, 40, 80, 120, 160, 250];

fn a_daemon_that_is_killed_half_way_costs_nothing() {
    let home = home();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("route add default via 192.168.1.1 dev eth0").unwrap();
    let before = all_as_found(&home);
    let mut daemon = Daemon::start_with_config(&home.laptop, OTHER).unwrap();
    let (near, far) = home.ends(0);
    let stream = hitless_lab::tcp::Stream::start(near, far).unwrap();
    for (n, moment) in MOMENTS.into_iter().enumerate() {
        let mut running = daemon.begin_command(&["adopt", "eth0", "wlan0", "--driver", "kernel"]).unwrap();
        let record = daemon.socket().with_extension("trial.json");
        until("the trial to begin", PATIENCE, || {
            Ok(if record.exists() { Look::Yes(()) } else { Look::No("no record".to_owned()) })
        })
        .unwrap();
        linger(SECOND / 1000 * moment).unwrap();
        daemon.kill9().unwrap();
        let comes_back = n % 2 == 0;
        if comes_back {
            daemon.restart().unwrap();
        }
        let (code, said) = running.outcome().unwrap();
        assert!(code.is_some_and(|code| code != 0), "{said}");
        wait_all_as_found(&home, &before);
        stream.wait_progress(PATIENCE).unwrap();
        if !comes_back {
            daemon.restart().unwrap();
        }
    }
    assert_eq!(fs::read_to_string(daemon.config_path()).unwrap(), OTHER);
    assert_eq!(stream.finish().broken, None);
}

/// With it go the addresses, and the kernel lets go of the ports.
fn a_bond_that_is_removed_while_there_is_no_daemon_costs_nothing() {
    let home = home();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("address add 192.168.1.7/24 dev eth0 label eth0:1").unwrap();
    home.laptop.ip("route add default via 192.168.1.1 dev eth0").unwrap();
    let before = all_as_found(&home);
    let mut daemon = Daemon::start_with_config(&home.laptop, OTHER).unwrap();
    let mut running = daemon.begin_command(&["adopt", "eth0", "wlan0", "--driver", "kernel"]).unwrap();
    running.wait_said("hitless confirm").unwrap();
    daemon.kill9().unwrap();
    running.signal(Signal::SIGKILL).unwrap();
    running.wait().unwrap();
    home.laptop.ip("link del bond0").unwrap();
    daemon.restart().unwrap();
    wait_all_as_found(&home, &before);
    home.router.run(&["ping", "-c1", "-W5", "192.168.1.7"]).unwrap();
}

/// What the laptop has: its interfaces with what hangs on them, and its routes.
fn all_as_found(home: &Home) -> Vec<Value> {
    let laptop = &home.laptop;
    let routes = |family: &str| {
        let shown = laptop.ip(&format!("{family} route")).unwrap();
        let mut lines: Vec<String> = shown.lines().map(str::to_owned).collect();
        lines.sort();
        Value::from(lines)
    };
    let ports = ["eth0", "wlan0"].into_iter().flat_map(|name| {
        let filters = laptop.run(&["tc", "filter", "show", "dev", name, "ingress"]).unwrap_or_default();
        [as_found(laptop, name), Value::from(filters)]
    });
    let bond = link(laptop, "bond0");
    ports.chain([routes("-4"), routes("-6"), bond]).collect()
}

/// IPv6 takes a moment.
fn wait_all_as_found(home: &Home, before: &[Value]) {
    until("everything to be as it was", PATIENCE, || {
        let now = all_as_found(home);
        Ok(if now == before { Look::Yes(()) } else { Look::No(format!("{now:#?}\ninstead of {before:#?}")) })
    })
    .unwrap();
}

/// It need not be the one that is preferred: as soon as it can, the bond uses another, and has its address.
fn the_identity_is_that_of_the_interface_in_use() {
    let home = home();
    home.use_plainly("wlan0").unwrap();
    let mac = link(&home.laptop, "wlan0")["address"].clone();
    let mut daemon = Daemon::start_with_config(&home.laptop, OTHER).unwrap();
    let (near, far) = home.ends(0);
    let stream = hitless_lab::tcp::Stream::start(near, far).unwrap();
    let mut running =
        daemon.begin_command(&["adopt", "eth0", "wlan0", "--driver", "kernel", "--bond", "uplink"]).unwrap();
    running.wait_said("hitless confirm").unwrap();
    daemon.ask(&["confirm"]).unwrap();
    assert_eq!(running.outcome().unwrap().0, Some(0));
    let written = fs::read_to_string(daemon.config_path()).unwrap();
    assert!(
        written.starts_with(&format!("{OTHER}\n# Made by: hitless adopt eth0 wlan0\n[bond.uplink]\n")),
        "{written}"
    );
    daemon.wait_active("uplink", "eth0", PATIENCE).unwrap();
    assert_eq!(link(&home.laptop, "uplink")["address"], mac);
    stream.wait_progress(PATIENCE).unwrap();

    // Also when it is made anew, and that one is not there.
    daemon.ask(&["down", "uplink"]).unwrap();
    daemon.terminate().unwrap();
    home.pull("wlan0").unwrap();
    daemon.restart().unwrap();
    daemon.wait_active("uplink", "eth0", PATIENCE).unwrap();
    assert_eq!(link(&home.laptop, "uplink")["address"], mac);
    stream.wait_progress(PATIENCE).unwrap();
    assert_eq!(stream.finish().broken, None);
}
