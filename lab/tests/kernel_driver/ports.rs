//! Ports that come and go, the ways in which one is preferred, and other people's hands.

use hitless_lab::{Daemon, Home, HomeOptions, Meter};

use crate::support::*;

#[test]
fn guest_ports() {
    in_guest("ports::guest_ports", || {
        added_and_removed();
        unplugged_from_the_machine();
        switched_by_hand();
        preferred_by_prio();
    });
}

#[test]
fn guest_other_hands() {
    in_guest("ports::guest_other_hands", drift);
}

fn added_and_removed() {
    let home = home();
    let laptop = &home.laptop;
    let before = as_found(laptop, "wlan0");
    let daemon = Daemon::start_with_config(laptop, &config_with("ports = [\"eth0\"]", "")).unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    let (near, far) = home.ends(0);
    let meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    for _ in 0..2 {
        daemon.ask(&["port", "add", "bond0", "wlan0"]).unwrap();
        assert_eq!(link(laptop, "wlan0")["master"], "bond0");
        daemon.ask(&["port", "remove", "bond0", "wlan0"]).unwrap();
        assert_eq!(as_found(laptop, "wlan0"), before);
    }
    daemon.ask(&["port", "add", "bond0", "wlan0"]).unwrap();
    wait_both_up(&daemon);
    meter.wait_flowing(10, PATIENCE).unwrap();
    let total = meter.so_far().total();
    assert_eq!((total.lost, total.duplicated), (0, 0), "{total:?}\n{}", daemon.log());
    // The active one leaves, and the rest carries on.
    daemon.ask(&["port", "remove", "bond0", "eth0"]).unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    wait_kernel_active(laptop, "wlan0", PATIENCE);
    assert!(link(laptop, "eth0")["master"].is_null());
    meter.wait_flowing(100, PATIENCE).unwrap();
    // One that is not there yet is a port as soon as it is.
    daemon.ask(&["port", "add", "bond0", "eth7"]).unwrap();
    laptop.ip("link add eth7 type dummy").unwrap();
    wait_shown(laptop, "eth7", "eth7 to become a port", PATIENCE, |shown| shown["master"] == "bond0");
    assert!(!daemon.log().contains("failed"), "{}", daemon.log());
}

/// The interface itself goes and comes back as another one.
fn unplugged_from_the_machine() {
    let home = home();
    let daemon = start(&home, &config(""));
    let (near, far) = home.ends(0);
    let meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    for port in ["eth0", "wlan0"] {
        home.vanish(port).unwrap();
        let other = if port == "eth0" { "wlan0" } else { "eth0" };
        daemon.wait_active("bond0", other, PATIENCE).unwrap();
        meter.wait_flowing(100, PATIENCE).unwrap();
        let status = daemon.bond("bond0").unwrap();
        assert!(status["ports"].to_string().contains("interface"), "{status:#}");
        home.appear(port).unwrap();
        wait_both_up(&daemon);
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        meter.wait_flowing(100, PATIENCE).unwrap();
    }
    assert_eq!(bond(&home.laptop, "bond0")["primary"], "eth0");
}

fn switched_by_hand() {
    let home = home();
    let laptop = &home.laptop;
    let daemon = start(&home, &config(""));
    daemon.ask(&["switch", "bond0", "wlan0"]).unwrap();
    assert_eq!(active(laptop, "bond0").as_deref(), Some("wlan0"));
    // It stays, whatever the kernel's primary.
    daemon.ask(&["reload"]).unwrap();
    assert_eq!(active(laptop, "bond0").as_deref(), Some("wlan0"));
    daemon.ask(&["switch", "bond0", "eth0"]).unwrap();
    assert_eq!(active(laptop, "bond0").as_deref(), Some("eth0"));
    home.pull("wlan0").unwrap();
    daemon
        .wait_bond("bond0", "wlan0 to be down", PATIENCE, |bond| bond["ports"][1]["link"] == "down")
        .unwrap();
    let said = refused(&daemon, &["switch", "bond0", "wlan0"]);
    assert!(said.contains("wlan0"), "{said}");
    assert_eq!(active(laptop, "bond0").as_deref(), Some("eth0"));
}

/// Three ports: the better prio takes over, with the daemon and, when there is none, by the kernel.
fn preferred_by_prio() {
    let home = Home::new(HomeOptions { segments: 2, ..HomeOptions::default() }).unwrap();
    let laptop = &home.laptop;
    // All three in one network.
    home.switch.ip("link set swp2 master br0").unwrap();
    home.switch.ip("link set swp2 up").unwrap();
    let options = "primary = \"none\"\n[bond.bond0.port.eth1]\nprio = 5\n[bond.bond0.port.wlan0]\nprio = 9";
    let ports = "ports = [\"eth0\", \"wlan0\", \"eth1\"]";
    let mut daemon = Daemon::start_with_config(laptop, &config_with(ports, options)).unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    wait_kernel_active(laptop, "wlan0", PATIENCE);
    for name in ["eth0", "wlan0", "eth1"] {
        wait_kernel_up(laptop, name);
    }
    home.pull("wlan0").unwrap();
    daemon.wait_active("bond0", "eth1", PATIENCE).unwrap();
    daemon.kill9().unwrap();
    home.pull("eth1").unwrap();
    wait_kernel_active(laptop, "eth0", PATIENCE);
    daemon.restart().unwrap();
    home.plug("wlan0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    home.plug("eth1").unwrap();
    wait_both_up(&daemon);
    // Live: the others are told apart anew.
    reload(&daemon, &config_with(ports, &options.replace("prio = 9", "prio = 1")));
    daemon.wait_active("bond0", "eth1", PATIENCE).unwrap();
    wait_kernel_active(laptop, "eth1", PATIENCE);
}

/// Someone takes a port out, writes the active port, switches the bond off, changes an option: it is put right.
fn drift() {
    let home = home();
    let laptop = &home.laptop;
    let daemon = start(&home, &config(""));
    wait_kernel_up(laptop, "wlan0");
    let events = daemon.watch().unwrap();
    events.wait("the status, which comes first", PATIENCE, |event| event["bonds"].is_array()).unwrap();
    let repaired = |n: usize| {
        hitless_lab::wait::until("a word about the repair", PATIENCE, || {
            let told = events.events();
            let drifts = told.iter().filter(|event| event.to_string().contains("drift")).count();
            Ok(if drifts >= n {
                hitless_lab::wait::Look::Yes(())
            } else {
                hitless_lab::wait::Look::No(format!("{told:?}"))
            })
        })
        .unwrap();
    };
    laptop.ip("link set bond0 type bond active_slave wlan0").unwrap();
    repaired(1);
    wait_kernel_active(laptop, "eth0", PATIENCE);

    laptop.ip("link set eth0 nomaster").unwrap();
    wait_shown(laptop, "eth0", "eth0 to be a port again", PATIENCE, |shown| shown["master"] == "bond0");
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_kernel_active(laptop, "eth0", PATIENCE);

    laptop.ip("link set wlan0 nomaster").unwrap();
    wait_shown(laptop, "wlan0", "wlan0 to be a port again", PATIENCE, |shown| shown["master"] == "bond0");
    wait_both_up(&daemon);

    laptop.ip("link set bond0 down").unwrap();
    laptop.ip("link set bond0 up").unwrap();
    let (near, far) = home.ends(0);
    let meter = hitless_lab::wait::until("the bond to have its address again", PATIENCE, || {
        Ok(match Meter::start(near, far, 500) {
            Ok(meter) => hitless_lab::wait::Look::Yes(meter),
            Err(error) => hitless_lab::wait::Look::No(error.to_string()),
        })
    })
    .unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    daemon.ask(&["down"]).unwrap();
}
