//! The laboratory itself: does it do what the tests that stand on it believe?

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::zombie_processes, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hitless_lab::error::LabError;
use hitless_lab::netns::{self, Namespace};
use hitless_lab::tcp::Stream;
use hitless_lab::wait::linger;
use hitless_lab::{Home, HomeOptions, Meter, uml};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_pulled_cable_is_a_lost_carrier_at_the_near_end() {
    let home = Home::new(HomeOptions::default()).unwrap();
    home.laptop.ip("link set eth0 up").unwrap();
    home.wait_carrier("eth0", true).unwrap();
    home.pull("eth0").unwrap();
    home.wait_carrier("eth0", false).unwrap();
    home.plug("eth0").unwrap();
    home.wait_carrier("eth0", true).unwrap();
    home.wait_forwarding("eth0").unwrap();
}

#[test]
fn a_clean_link_loses_nothing() {
    let home = Home::new(HomeOptions::default()).unwrap();
    home.use_plainly("eth0").unwrap();
    let (near, far) = home.ends(0);
    let stream = Stream::start(near, far).unwrap();
    let meter = Meter::start(near, far, 1000).unwrap();
    meter.wait_flowing(500, 5 * SECOND).unwrap();
    let total = meter.finish().total();
    assert!(total.sent >= 1000, "{total:?}");
    assert_eq!((total.lost, total.duplicated, total.reordered), (0, 0, 0), "{total:?}");
    stream.wait_progress(5 * SECOND).unwrap();
    let report = stream.finish();
    assert_eq!(report.broken, None);
}

#[test]
fn the_meter_counts_exactly_what_a_silent_link_drops() {
    let home = Home::new(HomeOptions::default()).unwrap();
    home.use_plainly("eth0").unwrap();
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(50, 5 * SECOND).unwrap();

    meter.mark("silent");
    let before = entered(&home);
    home.silence("eth0").unwrap();
    let begun = entered(&home);
    linger(SECOND / 2).unwrap();
    let ending = entered(&home);
    home.unsilence("eth0").unwrap();
    let after = entered(&home);
    meter.wait_flowing(1, 5 * SECOND).unwrap();
    meter.mark("after");
    meter.wait_flowing(50, 5 * SECOND).unwrap();

    let report = meter.finish();
    let silent = report.labelled("silent").next().unwrap().both();
    // The link was silent at least as long as between the inner readings, at most as long as between the outer ones;
    // a few frames are not ours (ARP, IPv6 router solicitations).
    assert!(silent.lost + 10 >= ending - begun && silent.lost <= after - before, "{silent:?}");
    assert!(silent.lost > 400, "{silent:?}");
    assert!(silent.longest_gap >= SECOND / 2, "{silent:?}");
    assert_eq!(report.labelled("start").next().unwrap().both().lost, 0);
    assert_eq!(report.labelled("after").next().unwrap().both().lost, 0);
}

/// How many frames both ends have sent into the network.
fn entered(home: &Home) -> u64 {
    Home::frames(&home.laptop, "eth0").unwrap().1 + Home::frames(&home.router, "lan0").unwrap().1
}

#[test]
fn a_stream_over_a_dead_path_is_told_as_broken() {
    let home = Home::new(HomeOptions::default()).unwrap();
    home.use_plainly("eth0").unwrap();
    let (near, far) = home.ends(0);
    let stream = Stream::start(near, far).unwrap();
    stream.wait_progress(5 * SECOND).unwrap();
    home.silence("eth0").unwrap();
    assert!(matches!(stream.wait_progress(SECOND), Err(LabError::Timeout { .. })));
    assert!(stream.take_stall() >= SECOND / 2);
    assert!(stream.finish().broken.is_some());
}

#[test]
fn a_silent_link_keeps_its_carrier() {
    let home = Home::new(HomeOptions::default()).unwrap();
    home.use_plainly("wlan0").unwrap();
    home.silence("wlan0").unwrap();
    assert!(home.laptop.ip("link show wlan0").unwrap().contains("LOWER_UP"));
}

#[test]
fn a_port_vanishes_and_comes_back() {
    let home = Home::new(HomeOptions { segments: 2, mtu: Some(9000), spanning_tree: None }).unwrap();
    home.vanish("wlan1").unwrap();
    assert!(home.laptop.ip("link show wlan1").is_err());
    home.appear("wlan1").unwrap();
    assert!(home.laptop.ip("link show wlan1").unwrap().contains("mtu 9000"));
    home.carry("eth1", &home.laptop, &home.router).unwrap();
    assert!(home.router.ip("link show eth1").is_ok());
    home.carry("eth1", &home.router, &home.laptop).unwrap();
    home.use_plainly("eth1").unwrap();
}

#[test]
fn a_switch_with_a_spanning_tree_keeps_a_new_port_waiting() {
    let delay = 2 * SECOND;
    let home = Home::new(HomeOptions { spanning_tree: Some(delay), ..HomeOptions::default() }).unwrap();
    let start = std::time::Instant::now();
    home.use_plainly("eth0").unwrap();
    assert!(start.elapsed() >= delay, "forwarding after {:?}", start.elapsed());
}

#[test]
fn namespaces_and_what_runs_in_them_are_gone_after_a_panic() {
    let (name, pid) = std::thread::spawn(|| {
        let namespace = Namespace::new("doomed").unwrap();
        let child = namespace.spawn(Command::new("sleep").arg("1000")).unwrap();
        assert_eq!(namespace.pids().unwrap(), [i32::try_from(child.id()).unwrap()]);
        std::panic::panic_any((namespace.name().to_owned(), child.id()));
    })
    .join()
    .unwrap_err()
    .downcast::<(String, u32)>()
    .map(|told| *told)
    .unwrap();
    assert!(!Path::new("/run/netns").join(name).exists());
    // A zombie at most: nobody has waited for it.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[test]
fn leftovers_of_a_killed_run_are_reaped() {
    let mut gone = Command::new("true").spawn().unwrap();
    let name = format!("hl-{}-0-left", gone.id());
    gone.wait().unwrap();
    assert!(Command::new("ip").args(["netns", "add", &name]).status().unwrap().success());
    // Another test that starts at this moment may be quicker.
    let _ = netns::reap_stale().unwrap();
    assert!(!Path::new("/run/netns").join(name).exists());
}

#[test]
fn the_initial_namespace_is_refused() {
    assert!(matches!(netns::refuse_initial(), Err(LabError::InitialNamespace)));
    let namespace = Namespace::new("own").unwrap();
    namespace.within(netns::refuse_initial).unwrap().unwrap();
}

#[test]
fn a_guest_runs_a_command() {
    let command =
        ["sh", "-c", "echo out; echo err >&2; ip link add bond0 type bond mode active-backup && exit 7"];
    let output = uml::run(&command, 60 * SECOND).unwrap();
    assert_eq!(
        (output.code, output.stdout.as_str(), output.stderr.as_str()),
        (7, "out\n", "err\n"),
        "{output:?}"
    );
}

#[test]
fn a_guest_that_hangs_is_killed() {
    let output = uml::run(&["sleep", "1000"], 8 * SECOND);
    assert!(matches!(output, Err(LabError::Guest { .. })), "{output:?}");
}

#[test]
fn a_guest_carries_measurements() {
    if !uml::in_guest() {
        return uml::rerun("a_guest_carries_measurements", 600 * SECOND).unwrap();
    }
    let home = Home::new(HomeOptions::default()).unwrap();
    home.use_plainly("eth0").unwrap();
    let (near, far) = home.ends(0);
    let meter = Meter::start(near, far, 1000).unwrap();
    meter.wait_flowing(500, 10 * SECOND).unwrap();
    let total = meter.finish().total();
    assert_eq!((total.lost, total.duplicated), (0, 0), "{total:?}");
}
