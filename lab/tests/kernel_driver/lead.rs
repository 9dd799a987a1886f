//! The machine leads, and the kernel's own monitor stands behind it.

use std::time::Instant;

use hitless_lab::Meter;
use hitless_lab::wait::linger;

use crate::support::*;

#[test]
fn guest_the_machine_leads() {
    in_guest("lead::guest_the_machine_leads", || {
        ahead_of_the_kernel();
        the_backstop();
    });
}

/// The kernel looks once in a minute; the failover happens all the same.
fn ahead_of_the_kernel() {
    let home = home();
    let daemon = start(&home, &config("miimon = 60000\nfailback = \"carrier\""));
    assert_eq!(bond(&home.laptop, "bond0")["miimon"], 60000);
    let begun = Instant::now();
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    wait_kernel_active(&home.laptop, "wlan0", PATIENCE);
    assert_eq!(port(&home.laptop, "eth0")["mii_status"], "UP", "the kernel has not looked yet");
    assert!(begun.elapsed() < 30 * SECOND);
    let bond = daemon.bond("bond0").unwrap();
    assert_eq!(bond["last_failover"]["cause"], "carrier_lost", "{bond:#}");
}

/// Without a daemon the kernel fails over, and does not run back; the next daemon takes over what it finds.
fn the_backstop() {
    let home = home();
    let mut daemon = start(&home, &config(""));
    wait_kernel_up(&home.laptop, "wlan0");
    let (near, far) = home.ends(0);
    let meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    daemon.kill9().unwrap();
    home.pull("eth0").unwrap();
    wait_kernel_active(&home.laptop, "wlan0", PATIENCE);
    meter.wait_flowing(100, PATIENCE).unwrap();
    home.plug("eth0").unwrap();
    wait_kernel_up(&home.laptop, "eth0");
    linger(SECOND / 2).unwrap();
    assert_eq!(
        active(&home.laptop, "bond0").as_deref(),
        Some("wlan0"),
        "the kernel proves nothing, and stays"
    );
    daemon.restart().unwrap();
    let events = daemon.watch().unwrap();
    // The path is proven now, so the primary gets its own back.
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    wait_kernel_active(&home.laptop, "eth0", PATIENCE);
    drop(events);
    // And the other way: adopted while the primary is still gone.
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    assert_eq!(daemon.bond("bond0").unwrap()["active"], "wlan0");
    assert!(!daemon.log().contains("repairing"), "{}", daemon.log());
    meter.finish();
}
