//! Without any manager: what they would read is there, and goes again.

use std::fs;

use crate::support::*;

/// What systemd-networkd reads, where systemd runs.
const FILE: &str = "/run/systemd/network/00-hitless-bond0.network";

#[test]
fn networkd_is_told_and_told_otherwise() {
    let home = home();
    let daemon = bonded(&home, "");
    // Only the daemon sees it: its /run is its own.
    fs::create_dir_all(format!("/proc/{}/root/run/systemd/system", daemon.pid().unwrap())).unwrap();
    daemon.ask(&["reload"]).unwrap();
    let told = daemon.read(FILE).unwrap();
    for part in ["eth0", "wlan0", "bond0", "Unmanaged=yes"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!std::path::Path::new(FILE).exists(), "the machine's own is left alone");
    daemon.ask(&["down"]).unwrap();
    assert!(daemon.read(FILE).is_err(), "nothing is ours any more");
}
