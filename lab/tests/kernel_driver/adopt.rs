//! Building a bond around an interface in use, with Linux bonding.

use std::fs;

use hitless_lab::Daemon;

use crate::support::*;

/// A bond whose port is not there: the file that another section is added to.
const OTHER: &str = "# mine\n[bond.bond7]\nports = [\"dock0\"]\n";

#[test]
fn guest_adopt() {
    in_guest("adopt::guest_adopt", 90 * SECOND, || {
        traffic_goes_on_and_the_way_back_is_there();
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
