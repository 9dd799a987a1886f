//! Building a bond around interfaces in use: the traffic goes on, and without a confirmation everything is as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod dhcp;
mod session;
#[path = "../support/mod.rs"]
mod support;
mod trial;
mod way_back;

use hitless_lab::running::Running;
use hitless_lab::wait::{Look, linger, until};
use hitless_lab::{Daemon, Home};
use support::*;

/// A laptop that uses eth0 plainly, with wlan0 at hand.
pub(crate) fn in_use() -> Home {
    let home = home();
    home.use_plainly("eth0").unwrap();
    home.laptop.ip("link set wlan0 up").unwrap();
    home.wait_forwarding("wlan0").unwrap();
    home.laptop.ip("route add default via 192.168.1.1").unwrap();
    home
}

/// Where the daemon of [`idle`] would have its configuration. Only the daemon sees it: its /etc is its own.
pub(crate) const FILE: &str = "/etc/hitless/hitless.toml";

/// A daemon on a host where nothing was configured yet.
pub(crate) fn idle(home: &Home) -> Daemon<'_> {
    let daemon = Daemon::start(&home.laptop, &[]).unwrap();
    assert!(daemon.log().contains("hitless adopt"), "{}", daemon.log());
    daemon
}

/// `hitless adopt eth0 wlan0`, which has come so far that it waits for a confirmation.
pub(crate) fn adopted(daemon: &Daemon<'_>, options: &[&str]) -> Running {
    let arguments = [&["adopt", "eth0", "wlan0", "--driver", "ebpf"], options].concat();
    let mut running = daemon.begin_command(&arguments).unwrap();
    running.wait_said("hitless confirm").unwrap();
    running
}

/// `hitless adopt eth0 wlan0`, whose daemon is killed at some moment from before it begins to after it is done. What is to
/// be put back then is so by the next daemon, where one comes, and else by the command.
pub(crate) fn killed_half_way(daemon: &mut Daemon<'_>, random: &mut Random, comes_back: bool) {
    // A command that is late may reach the next daemon, which then puts back what it has built.
    let arguments = ["adopt", "eth0", "wlan0", "--driver", "ebpf", "--confirm", "1"];
    let mut running = daemon.begin_command(&arguments).unwrap();
    linger(random.micros(80_000)).unwrap();
    daemon.kill9().unwrap();
    if comes_back {
        daemon.restart().unwrap();
    }
    let (code, said) = running.outcome().unwrap();
    assert!(code.is_some_and(|code| code != 0), "{said}");
}

pub(crate) fn assert_nothing_written(daemon: &Daemon<'_>) {
    assert!(daemon.read(FILE).is_err());
}

/// Everything is as it was, or is so soon: IPv6 takes a moment.
pub(crate) fn wait_same(home: &Home, before: &[String]) {
    let same = || (state(&home.laptop) == before).then_some(());
    let look = until("everything to be as it was", PATIENCE, || {
        Ok(same().map_or_else(|| Look::No("it is not".to_owned()), Look::Yes))
    });
    if look.is_err() {
        assert_same(before, &state(&home.laptop));
    }
}
