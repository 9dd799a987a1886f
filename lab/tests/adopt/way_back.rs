//! The way back, where it is not straight: something cannot be restored, or is gone, or the bond is.

use std::path::PathBuf;

use hitless_lab::clients::{Client, Program};
use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::wait::linger;
use hitless_lab::{Daemon, Home};
use nix::sys::signal::Signal;

use crate::support::*;
use crate::{adopted, idle, in_use, killed_half_way, wait_same};

/// The record of the bond that is on trial.
fn record(daemon: &Daemon<'_>) -> PathBuf {
    daemon.socket().with_extension("trial.json")
}

/// From here on, the daemon cannot change settings of interfaces; the next one can, which has mounts of its own.
fn forbid_settings(home: &Home, daemon: &Daemon<'_>) {
    let pid = daemon.pid().unwrap().to_string();
    let enter = ["nsenter", "--mount", "--target", &pid];
    let mount = ["mount", "--bind", "-o", "ro", "/proc/sys", "/proc/sys"];
    home.laptop.run(&[enter.as_slice(), &mount].concat()).unwrap();
}

#[test]
fn what_cannot_be_restored_is_said_and_tried_again() {
    let home = in_use();
    let mut daemon = idle(&home);
    let before = state(&home.laptop);
    let mut running = adopted(&daemon, &["--confirm", "600"]);
    forbid_settings(&home, &daemon);
    daemon.ask(&["down"]).unwrap();
    let (code, said) = running.outcome().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("not everything is as it was: "), "{said}");
    for part in ["disable_ipv6", "eth0", "wlan0 is not as", "tried again"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // What can be is.
    home.router.run(&["ping", "-c1", "-W5", "192.168.1.5"]).unwrap();
    assert!(!names(&home.laptop).contains(&"bond0".to_owned()));
    assert!(record(&daemon).exists());
    // Nothing is built on what is not whole.
    let refused = daemon.command(&["adopt", "eth0", "wlan0", "--driver", "ebpf"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!((refused.status.code(), said.contains("disable_ipv6")), (Some(4), true), "{said}");

    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    wait_same(&home, &before);
    assert!(!record(&daemon).exists());
}

/// Nothing was begun then, and nothing is to be tried again.
#[test]
fn a_bond_of_another_daemon_is_none_to_be_taken_apart() {
    let home = in_use();
    let theirs =
        Daemon::start(&home.laptop, &["--driver", "ebpf", "--bond", "bond7", "--ports", "dock0"]).unwrap();
    let daemon = idle(&home);
    let before = state(&home.laptop);
    let done = daemon.command(&["adopt", "eth0", "wlan0", "--driver", "ebpf", "--bond", "bond7"]).unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("another daemon"), "{said}");
    assert!(!said.contains("as it was"), "{said}");
    assert!(!record(&daemon).exists());
    assert_same(&before, &state(&home.laptop));
    theirs.bond("bond7").unwrap();
}

/// With the bond go the addresses, and with the daemon who would know of them.
#[test]
fn a_bond_that_is_removed_while_there_is_no_daemon_costs_nothing() {
    let home = in_use();
    let mut daemon = idle(&home);
    let before = state(&home.laptop);
    for daemon_comes_back in [true, false] {
        let mut running = adopted(&daemon, &[]);
        daemon.kill9().unwrap();
        if daemon_comes_back {
            running.signal(Signal::SIGKILL).unwrap();
            running.wait().unwrap();
        }
        home.laptop.ip("link del bond0").unwrap();
        if daemon_comes_back {
            daemon.restart().unwrap();
        } else {
            let (code, said) = running.outcome().unwrap();
            assert_eq!((code, said.contains("everything is as it was")), (Some(1), true), "{said}");
        }
        wait_same(&home, &before);
        home.router.run(&["ping", "-c1", "-W5", "192.168.1.5"]).unwrap();
        if !daemon_comes_back {
            daemon.restart().unwrap();
        }
    }
}

/// The name of what somebody else has made meanwhile is none of our business.
#[test]
fn an_interface_of_somebody_elses_in_the_bonds_place_stays() {
    let home = in_use();
    let mut daemon = idle(&home);
    let mut running = adopted(&daemon, &[]);
    daemon.kill9().unwrap();
    running.signal(Signal::SIGKILL).unwrap();
    running.wait().unwrap();
    home.laptop.ip("link del bond0").unwrap();
    home.laptop.ip("link add bond0 type bridge").unwrap();
    daemon.restart().unwrap();
    home.router.run(&["ping", "-c1", "-W5", "192.168.1.5"]).unwrap();
    assert_eq!(link(&home.laptop, "bond0")["linkinfo"]["info_kind"], "bridge");
    assert!(!record(&daemon).exists());
}

/// A label (ifconfig's eth0:1) begins with the name of its interface, and so cannot go along.
#[test]
fn labels_of_addresses_come_back() {
    let home = in_use();
    home.laptop.ip("address add 192.168.1.7/24 dev eth0 label eth0:1").unwrap();
    let mut daemon = idle(&home);
    let before = state(&home.laptop);
    assert!(before.iter().any(|line| line.contains("eth0:1")), "{before:#?}");
    for killed in [false, true] {
        let mut running = adopted(&daemon, &[]);
        assert!(!state(&home.laptop).iter().any(|line| line.contains("eth0:1")));
        if killed {
            daemon.kill9().unwrap();
            daemon.restart().unwrap();
        } else {
            daemon.ask(&["down"]).unwrap();
        }
        running.outcome().unwrap();
        wait_same(&home, &before);
    }
}

/// It takes its link along, and with it what goes by that; the rest is as it was.
#[test]
fn the_port_in_use_that_vanishes_half_way_leaves_the_others_as_they_were() {
    let home = in_use();
    let daemon = idle(&home);
    let mut random = Random::new();
    let of_wlan0 = || -> Vec<String> {
        // With it, the addresses of eth0 are there as long as it is gone: the host can be reached still.
        let is_kept = |line: &String| {
            line.contains("wlan0") && !line.contains("192.168.1.") && !line.contains("fd00:1:")
        };
        state(&home.laptop).into_iter().filter(is_kept).collect()
    };
    let before = of_wlan0();
    for _ in 0..6 {
        let mut running =
            daemon.begin_command(&["adopt", "eth0", "wlan0", "--driver", "ebpf", "--confirm", "1"]).unwrap();
        linger(random.micros(60_000)).unwrap();
        home.vanish("eth0").unwrap();
        let (code, said) = running.outcome().unwrap();
        assert!(code.is_some_and(|code| code != 0), "{said}");
        wait_for("wlan0 to be as it was", || (of_wlan0() == before).then_some(()));
        assert!(!names(&home.laptop).contains(&"bond0".to_owned()), "{said}");
        assert!(!record(&daemon).exists(), "{said}");
        use_again(&home);
    }
}

/// eth0 is there again, and used as [`in_use`] has it.
fn use_again(home: &Home) {
    home.laptop.ip("address flush dev wlan0 scope global").unwrap();
    home.appear("eth0").unwrap();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("route replace default via 192.168.1.1 dev eth0").unwrap();
}

/// The same, and it is back at once, as another interface of its name: what it had is there again.
#[test]
fn the_port_in_use_that_comes_back_half_way_has_what_it_had() {
    let home = in_use();
    let daemon = idle(&home);
    let mut random = Random::new();
    for _ in 0..6 {
        let mut running =
            daemon.begin_command(&["adopt", "eth0", "wlan0", "--driver", "ebpf", "--confirm", "1"]).unwrap();
        wait_for("the trial to begin", || record(&daemon).exists().then_some(()));
        linger(random.micros(40_000)).unwrap();
        home.vanish("eth0").unwrap();
        home.appear("eth0").unwrap();
        let (code, said) = running.outcome().unwrap();
        assert!(code.is_some_and(|code| code != 0), "{said}");
        assert!(!names(&home.laptop).contains(&"bond0".to_owned()), "{said}");
        wait_printed(&home.laptop, "ip address show dev eth0", |shown| {
            shown.contains("192.168.1.5/24") && shown.contains("fd00:1::5/64")
        });
        let routes = home.laptop.ip("route").unwrap();
        assert!(routes.contains("default via 192.168.1.1 dev eth0"), "{said}{routes}");
        let wlan0 = home.laptop.ip("-4 address show dev wlan0").unwrap();
        assert!(!wlan0.contains("inet"), "{said}{wlan0}");
    }
}

/// What a server has lent goes to the bond with it, which asks for it itself.
#[test]
fn a_daemon_that_is_killed_half_way_costs_no_lease() {
    let home = home();
    let server =
        Dnsmasq::start(&home.router, "lan0", &["--dhcp-range=192.168.1.50,192.168.1.90,1h"]).unwrap();
    for port in ["eth0", "wlan0"] {
        home.laptop.ip(&format!("link set {port} up")).unwrap();
        home.wait_forwarding(port).unwrap();
    }
    let _client = Client::start(&home.laptop, Program::Udhcpc, "eth0", "").unwrap();
    wait_printed(&home.laptop, "ip route", |shown| shown.contains("default via"));
    // The time that is left goes on.
    let timeless = || -> Vec<String> {
        let of_time = |word: &&str| !word.starts_with("valid_lft") && !word.ends_with("sec");
        let words = |line: String| line.split_whitespace().filter(of_time).collect::<Vec<_>>().join(" ");
        state(&home.laptop).into_iter().map(words).collect()
    };
    let mut daemon = idle(&home);
    let before = timeless();
    let mut random = Random::new();
    for n in 0..6 {
        let comes_back = n % 2 == 0;
        killed_half_way(&mut daemon, &mut random, comes_back);
        wait_for("everything to be as it was", || (timeless() == before).then_some(()));
        if !comes_back {
            daemon.restart().unwrap();
        }
        home.router.run(&["ping", "-c1", "-W5", &address(&before)]).unwrap();
    }
    assert_eq!(server.count("DHCPRELEASE"), 0, "{}", server.log());
}

/// The address that was lent.
fn address(state: &[String]) -> String {
    let line = state.iter().find(|line| line.contains("eth0 inet 192.168.1.")).unwrap();
    let words: Vec<_> = line.split(' ').collect();
    let place = words.iter().position(|word| *word == "inet").unwrap();
    words[place + 1].split('/').next().unwrap().to_owned()
}
