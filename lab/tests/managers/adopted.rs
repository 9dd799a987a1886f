//! `hitless adopt` of interfaces that a manager runs: whoever is connected over one of them stays so.

use std::fs;
use std::net::IpAddr;

use hitless_lab::meter::End;
use hitless_lab::running::Running;
use hitless_lab::tcp::Stream;
use hitless_lab::{Daemon, Home};

use crate::machine::addresses;
use crate::support::*;

/// Where the daemon has its configuration.
const FILE: &str = "/etc/hitless/hitless.toml";

/// A laptop that is used over eth0, with wlan0 at hand; both are a manager's.
pub(crate) struct Used<'a> {
    home: &'a Home,
    driver: &'a str,
    /// That of eth0, which the stream is bound to.
    address: String,
    stream: Stream,
}

impl<'a> Used<'a> {
    pub(crate) fn new(home: &'a Home, driver: &'a str) -> Self {
        let mut given = addresses(&home.laptop, "eth0");
        given.retain(|address| address.starts_with("192.168.1."));
        let address: IpAddr = given[0].parse().unwrap();
        let near = End { host: &home.laptop, address };
        let stream = Stream::start(near, End { host: &home.router, address: Home::gateway() }).unwrap();
        let used = Self { home, driver, address: address.to_string(), stream };
        used.goes_on("it begins", "eth0");
        used
    }

    /// Nobody confirms: the manager has its interfaces again.
    pub(crate) fn without_confirmation(&self, managed_again: impl Fn()) {
        let daemon = self.idle();
        let mut running = self.adopt(&daemon, &["--confirm", "2"]);
        self.goes_on("it is adopted", "bond0");
        let (code, said) = running.outcome().unwrap();
        assert_eq!(code, Some(1), "{said}");
        managed_again();
        self.goes_on("nobody has confirmed", "eth0");
        assert!(fs::metadata(FILE).is_err());
    }

    /// The daemon is killed, and none comes: whoever asked for the bond takes it apart.
    pub(crate) fn with_the_daemon_killed(&self, managed_again: impl Fn()) {
        let mut daemon = self.idle();
        let mut running = self.adopt(&daemon, &[]);
        daemon.kill9().unwrap();
        let (code, said) = running.outcome().unwrap();
        assert!(code.is_some_and(|code| code != 0), "{said}");
        managed_again();
        self.goes_on("the daemon was killed", "eth0");
    }

    /// The bond stays, and does what it is for. Returns what was written down.
    pub(crate) fn with_confirmation(self, kept_off: impl Fn(), managed_again: impl Fn()) -> String {
        let daemon = self.idle();
        let mut running = self.adopt(&daemon, &[]);
        self.goes_on("it is adopted", "bond0");
        daemon.ask(&["confirm"]).unwrap();
        let (code, said) = running.outcome().unwrap();
        assert_eq!(code, Some(0), "{said}");
        let written = fs::read_to_string(FILE).unwrap();
        if self.is_leased() {
            // It goes on being renewed, and is no other.
            daemon
                .wait_bond("bond0", "it to be lent to the bond", PATIENCE, |bond| {
                    bond["dhcp"]["state"] == "bound"
                })
                .unwrap();
            let lent = daemon.bond("bond0").unwrap()["dhcp"]["address"].clone();
            assert!(lent.as_str().is_some_and(|lent| lent.starts_with(&self.address)), "{lent}: {written}");
        }
        // What it says comes to the same.
        daemon.ask(&["reload"]).unwrap();
        wait_ports_up(&daemon, "bond0");
        self.goes_on("it is confirmed", "bond0");
        kept_off();
        self.home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        self.goes_on("the cable is pulled", "bond0");
        self.home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        self.goes_on("the cable is plugged back", "bond0");
        kept_off();
        daemon.ask(&["down"]).unwrap();
        managed_again();
        self.goes_on("the bond is gone", "eth0");
        fs::remove_file(FILE).unwrap();
        assert_eq!(self.stream.finish().broken, None);
        written
    }

    /// Has a server lent it? It lends none below.
    fn is_leased(&self) -> bool {
        self.address.rsplit('.').next().unwrap().parse::<u8>().unwrap() >= 50
    }

    fn idle(&self) -> Daemon<'a> {
        Daemon::start(&self.home.laptop, &[]).unwrap()
    }

    fn adopt(&self, daemon: &Daemon<'_>, options: &[&str]) -> Running {
        let arguments = [&["adopt", "eth0", "wlan0", "--driver", self.driver], options].concat();
        let mut running = daemon.begin_command(&arguments).unwrap();
        running.wait_said("hitless confirm").unwrap();
        running
    }

    /// The address is there, and the stream moves.
    pub(crate) fn goes_on(&self, after: &str, interface: &str) {
        wait_for(&format!("{interface} to have {} after {after}", self.address), || {
            addresses(&self.home.laptop, interface).contains(&self.address).then_some(())
        });
        self.stream.wait_progress(PATIENCE).unwrap();
        eprintln!("{}, after {after}: nothing came for {:?}", self.driver, self.stream.take_stall());
    }
}
