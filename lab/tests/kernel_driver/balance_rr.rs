//! Bonding's own balance-rr: made, watched, and given back by us; what carries traffic is the kernel's to say.

use hitless_lab::{Daemon, Home, Meter};

use crate::support::*;

#[test]
fn guest_balance_rr() {
    in_guest("balance_rr::guest_balance_rr", each_port_carries_its_share);
}

/// Waits until daemon and kernel agree on which ports are in use.
fn wait_in_use(home: &Home, daemon: &Daemon<'_>, ports: &[&str]) {
    for name in ["eth0", "wlan0"] {
        let used = ports.contains(&name);
        daemon
            .wait_bond("bond0", &format!("{name} in use: {used}"), PATIENCE, |bond| {
                let entries = bond["ports"].as_array().cloned().unwrap_or_default();
                entries.iter().any(|port| port["name"] == name && port["active"] == used)
            })
            .unwrap();
        let status = if used { "UP" } else { "DOWN" };
        wait_shown(&home.laptop, name, &format!("{name} to be {status}"), PATIENCE, |shown| {
            shown["linkinfo"]["info_slave_data"]["mii_status"] == status
        });
    }
}

fn sent(home: &Home) -> [u64; 2] {
    ["eth0", "wlan0"].map(|port| Home::frames(&home.laptop, port).unwrap().1)
}

fn each_port_carries_its_share() {
    let home = home();
    let in_turn = config("mode = \"balance-rr\"\nmiimon = 20");
    let found = ["eth0", "wlan0"].map(|name| as_found(&home.laptop, name));
    let mut daemon = Daemon::start_with_config(&home.laptop, &in_turn).unwrap();
    wait_in_use(&home, &daemon, &["eth0", "wlan0"]);
    let options = bond(&home.laptop, "bond0");
    assert_eq!((&options["mode"], &options["miimon"]), (&"balance-rr".into(), &20.into()), "{options:#}");
    assert_eq!(mac(&home.laptop, "eth0"), mac(&home.laptop, "wlan0"));

    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, 500).unwrap();
    let before = sent(&home);
    meter.wait_flowing(300, PATIENCE).unwrap();
    let after = sent(&home);
    for port in 0..2 {
        assert!(after[port] >= before[port] + 100, "{before:?} {after:?}");
    }
    for port in ["eth0", "wlan0"] {
        let other = if port == "eth0" { "wlan0" } else { "eth0" };
        home.pull(port).unwrap();
        wait_in_use(&home, &daemon, &[other]);
        meter.wait_flowing(100, PATIENCE).unwrap();
        home.plug(port).unwrap();
        wait_in_use(&home, &daemon, &["eth0", "wlan0"]);
    }
    meter.mark("quiet");
    meter.wait_flowing(100, PATIENCE).unwrap();
    // The next daemon finds it as it is, and changes nothing.
    let index = link(&home.laptop, "bond0")["ifindex"].clone();
    daemon.kill9().unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    daemon.restart().unwrap();
    wait_in_use(&home, &daemon, &["eth0", "wlan0"]);
    reload(&daemon, &in_turn.replace("miimon = 20", "miimon = 30"));
    assert_eq!(bond(&home.laptop, "bond0")["miimon"], 30);
    assert_eq!(link(&home.laptop, "bond0")["ifindex"], index);
    let report = meter.finish();
    let quiet = report.labelled("quiet").next().unwrap().both();
    assert_eq!((quiet.lost, quiet.duplicated), (0, 0), "{quiet:?}");
    assert!(!daemon.log().contains("put right"), "{}", daemon.log());

    let switch = daemon.command(&["switch", "bond0", "wlan0"]).unwrap();
    assert!(String::from_utf8_lossy(&switch.stderr).contains("no active port"), "{switch:?}");
    // One that a daemon left, which is not there any more, is removed as well.
    daemon.kill9().unwrap();
    daemon.write_config(&config_with("ports = [\"eth9\"]", "").replace("bond0", "bond1")).unwrap();
    daemon.restart().unwrap();
    assert!(link(&home.laptop, "bond0").is_null());
    for (name, found) in ["eth0", "wlan0"].iter().zip(found) {
        assert_eq!(as_found(&home.laptop, name), found);
    }
}
