//! From the first bond to the last: made, adopted, changed hands, removed; and other people's bonds.

use hitless_lab::wait::linger;
use hitless_lab::{Daemon, Meter};

use crate::support::*;

#[test]
fn guest_life_of_a_bond() {
    in_guest("life::guest_life_of_a_bond", || {
        ends_and_restarts();
        the_way_back();
    });
}

/// Neither SIGKILL nor SIGTERM costs a frame, and the next daemon finds its bond.
fn ends_and_restarts() {
    let home = home();
    // What was asked for by hand is not remembered: without a primary, nothing calls the traffic back.
    let mut daemon = Daemon::start_with_config(&home.laptop, &config("primary = \"none\"")).unwrap();
    wait_both_up(&daemon);
    let index = link(&home.laptop, "bond0")["ifindex"].clone();
    assert_eq!(bond(&home.laptop, "bond0")["mode"], "active-backup");
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(200, PATIENCE).unwrap();
    for (n, port) in ["wlan0", "eth0"].into_iter().enumerate() {
        daemon.ask(&["switch", "bond0", port]).unwrap();
        meter.mark(format!("restart {n}"));
        if n == 0 {
            daemon.kill9().unwrap();
        } else {
            assert!(daemon.terminate().unwrap().success(), "{}", daemon.log());
        }
        assert_eq!(active(&home.laptop, "bond0").as_deref(), Some(port));
        linger(SECOND / 5).unwrap();
        daemon.restart().unwrap();
        assert_eq!(active(&home.laptop, "bond0").as_deref(), Some(port), "adopting changes nothing");
        meter.mark("adopted");
        wait_both_up(&daemon);
    }
    let report = meter.finish();
    for interval in report.labelled("restart") {
        assert_eq!(interval.both().lost, 0, "{interval:?}\n{}", daemon.log());
    }
    assert_eq!(report.total().duplicated, 0);
    assert_eq!(link(&home.laptop, "bond0")["ifindex"], index, "it is still the same bond");
    assert!(!daemon.log().contains("repairing"), "{}", daemon.log());
}

/// `down` gives everything back as it was found, also by another daemon than the one that took it.
fn the_way_back() {
    let home = home();
    let laptop = &home.laptop;
    laptop.ip("link set eth0 mtu 1400 up").unwrap();
    laptop.ip("link set wlan0 allmulticast on address 02:00:00:00:00:77").unwrap();
    let before = ["eth0", "wlan0"].map(|name| as_found(laptop, name));
    let mut daemon = start(&home, &config("fail-over-mac = \"none\""));
    assert_eq!(link(laptop, "eth0")["master"], "bond0");
    assert_eq!(mac(laptop, "wlan0"), mac(laptop, "bond0"));
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    daemon.ask(&["down"]).unwrap();
    assert!(link(laptop, "bond0").is_null());
    for (name, before) in ["eth0", "wlan0"].into_iter().zip(before) {
        assert_eq!(as_found(laptop, name), before, "{name}");
    }
}

#[test]
fn guest_bonds_of_others() {
    in_guest("life::guest_bonds_of_others", || {
        someone_elses_bond_is_refused();
        a_port_of_something_else_is_refused();
        an_unused_bond_is_taken();
        nothing_half_done();
    });
}

fn someone_elses_bond_is_refused() {
    let home = home();
    let laptop = &home.laptop;
    laptop.ip("link add bond0 type bond mode balance-rr miimon 50").unwrap();
    laptop.ip("link set bond0 up").unwrap();
    let before = bond(laptop, "bond0");
    let said = must_not_start(laptop, &config(""));
    assert!(said.contains("bond0") && said.contains("ip link delete bond0"), "{said}");
    assert_eq!(bond(laptop, "bond0"), before);
    assert!(link(laptop, "eth0")["master"].is_null());
    laptop.ip("link del bond0").unwrap();

    laptop.ip("link add bond0 type dummy").unwrap();
    let said = must_not_start(laptop, &config(""));
    assert!(said.contains("dummy"), "{said}");
}

fn a_port_of_something_else_is_refused() {
    let home = home();
    let laptop = &home.laptop;
    laptop.ip("link add other type bond mode active-backup").unwrap();
    laptop.ip("link set wlan0 master other").unwrap();
    let said = must_not_start(laptop, &config(""));
    assert!(said.contains("wlan0") && said.contains("other") && said.contains("nomaster"), "{said}");
    assert!(link(laptop, "bond0").is_null(), "nothing is left behind");
    assert_eq!(link(laptop, "wlan0")["master"], "other");

    let daemon = Daemon::start_with_config(laptop, &config_with("ports = [\"eth0\"]", "")).unwrap();
    let said = refused(&daemon, &["port", "add", "bond0", "wlan0"]);
    assert!(said.contains("other"), "{said}");
    // And one that someone put into our bond is put out again.
    laptop.ip("link add spare type dummy").unwrap();
    laptop.ip("link set spare master bond0").unwrap();
    wait_shown(laptop, "spare", "the stranger to be put out", PATIENCE, |shown| shown["master"].is_null());
}

/// The bonding module makes an interface bond0 when it is loaded, and a daemon may be killed before it has put its name on
/// the bond that it has just made.
fn an_unused_bond_is_taken() {
    let home = home();
    for found in ["balance-rr", "active-backup"] {
        home.laptop.ip(&format!("link add bond0 type bond mode {found}")).unwrap();
        let daemon = start(&home, &config(""));
        assert_eq!(bond(&home.laptop, "bond0")["mode"], "active-backup");
        daemon.ask(&["down"]).unwrap();
        assert!(link(&home.laptop, "bond0").is_null(), "after {found}");
    }
}

/// When a bond of several cannot be made, none is.
fn nothing_half_done() {
    let home = home();
    let laptop = &home.laptop;
    laptop.ip("link add bond1 type dummy").unwrap();
    let before = ["eth0", "wlan0"].map(|name| as_found(laptop, name));
    let two = format!("{}\n[bond.bond1]\ndriver = \"kernel\"\nports = [\"eth9\"]\n", config(""));
    let said = must_not_start(laptop, &two);
    assert!(said.contains("bond1"), "{said}");
    assert!(link(laptop, "bond0").is_null());
    for (name, before) in ["eth0", "wlan0"].into_iter().zip(before) {
        assert_eq!(as_found(laptop, name), before, "{name}");
    }
}
