//! NetworkManager, the real one, which manages every wire that it finds.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::meter::End;
use hitless_lab::tcp::Stream;
use hitless_lab::{Daemon, Home, Namespace};

use crate::machine::{Running, addresses, bus, carries_alone, has_address, in_guest_with, wait_seen};
use crate::support::*;

const PACKAGE: &str = "network-manager";

const LIMIT: Duration = Duration::from_secs(240);

/// By what it is told.
const DROP_IN: &str = "/run/NetworkManager/conf.d/90-hitless.conf";

#[test]
fn guest_network_manager_leaves_ports_alone() {
    in_guest_with(PACKAGE, "network_manager::guest_network_manager_leaves_ports_alone", LIMIT, || {
        let managed = Managed::new();
        for driver in ["ebpf", "kernel"] {
            managed.lends_its_interfaces_to(driver);
        }
    });
}

#[test]
fn guest_network_manager_manages_a_bond_that_is_left_to_it() {
    in_guest_with(
        PACKAGE,
        "network_manager::guest_network_manager_manages_a_bond_that_is_left_to_it",
        LIMIT,
        || Managed::new().gives_a_bond_its_address(),
    );
}

#[test]
fn guest_an_address_of_network_manager_goes_to_the_bond_if_it_lets_go_first() {
    in_guest_with(
        PACKAGE,
        "network_manager::guest_an_address_of_network_manager_goes_to_the_bond_if_it_lets_go_first",
        LIMIT,
        || Managed::new().hands_its_address_over(),
    );
}

/// A laptop whose NetworkManager has connected both interfaces, by DHCP.
struct Managed {
    home: Home,
    _server: Dnsmasq,
    _bus: Running,
    manager: RefCell<Option<Running>>,
}

impl Managed {
    fn new() -> Self {
        let home = home();
        let server = Dnsmasq::start(&home.router, "lan0", &["--dhcp-range=192.168.1.50,192.168.1.90,1h"]);
        let bus = bus(&home.laptop);
        fs::create_dir_all("/etc/NetworkManager").unwrap();
        // Nobody is asked whether root may.
        fs::write("/etc/NetworkManager/NetworkManager.conf", "[main]\nplugins=keyfile\nauth-polkit=false\n")
            .unwrap();
        let manager = RefCell::new(Some(start(&home.laptop)));
        let managed = Self { home, _server: server.unwrap(), _bus: bus, manager };
        managed.wait_connected();
        managed
    }

    fn lends_its_interfaces_to(&self, driver: &str) {
        let text = config("").replace("\"ebpf\"", &format!("\"{driver}\""));
        let daemon = daemon(&self.home, &text, &[("bond0", "eth0")]);
        self.leaves_alone();
        // A carrier is what it waits for.
        self.home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        self.home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        // And when it starts, it looks at everything there is.
        self.start_anew();
        self.leaves_alone();
        assert!(Path::new(DROP_IN).exists());

        daemon.ask(&["down"]).unwrap();
        assert!(!Path::new(DROP_IN).exists());
        self.wait_connected();
    }

    fn leaves_alone(&self) {
        for name in ["eth0", "wlan0", "bond0"] {
            self.wait_state(name, |state| state == "unmanaged");
        }
        // It has taken them away before it has answered.
        assert_eq!(carries_alone(&self.home), Vec::<String>::new());
    }

    fn gives_a_bond_its_address(self) {
        let text = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n[bond.bond0.ip]\ndhcp4 = \"external\"\n";
        let daemon = daemon(&self.home, text, &[("bond0", "eth0")]);
        self.has_the_bond(&daemon);
        self.start_anew();
        self.has_the_bond(&daemon);
        daemon.ask(&["down"]).unwrap();
        self.wait_connected();
    }

    /// Told of single interfaces, it leaves them as they are; told by its configuration, it clears them.
    fn hands_its_address_over(self) {
        let laptop = &self.home.laptop;
        let manage = |choice| {
            for port in ["eth0", "wlan0"] {
                laptop.run(&["nmcli", "device", "set", port, "managed", choice]).unwrap();
            }
        };
        let mut given = addresses(laptop, "eth0");
        given.retain(|address| address.starts_with("192.168.1."));
        let near = End { host: laptop, address: given[0].parse().unwrap() };
        let stream = Stream::start(near, End { host: &self.home.router, address: Home::gateway() }).unwrap();
        stream.wait_progress(PATIENCE).unwrap();
        manage("no");
        let text = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n";
        let daemon = daemon(&self.home, text, &[("bond0", "eth0")]);
        assert!(addresses(laptop, "bond0").contains(&given[0]), "{given:?}: {}", daemon.log());
        stream.wait_progress(PATIENCE).unwrap();
        self.home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        stream.wait_progress(PATIENCE).unwrap();
        self.home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        daemon.ask(&["down"]).unwrap();
        stream.wait_progress(PATIENCE).unwrap();
        assert_eq!(stream.finish().broken, None);
        // It goes by what it was told last, whatever its configuration says.
        self.wait_state("eth0", |state| state == "unmanaged");
        manage("yes");
        self.wait_connected();
    }

    /// The bond, and not its ports.
    fn has_the_bond(&self, daemon: &Daemon<'_>) {
        self.wait_state("bond0", |state| state.starts_with("connected"));
        for port in ["eth0", "wlan0"] {
            self.wait_state(port, |state| state == "unmanaged");
            assert_eq!(addresses(&self.home.laptop, port), Vec::<String>::new(), "{port}");
        }
        assert!(has_address(&self.home.laptop, "bond0"), "{}", daemon.log());
        self.home.laptop.run(&["ping", "-c1", "-W5", "192.168.1.1"]).unwrap();
    }

    fn start_anew(&self) {
        drop(self.manager.take());
        self.manager.replace(Some(start(&self.home.laptop)));
    }

    /// It has connected them, and they have addresses of its.
    fn wait_connected(&self) {
        for port in ["eth0", "wlan0"] {
            self.wait_state(port, |state| state == "connected");
            assert!(has_address(&self.home.laptop, port), "{port}");
        }
    }

    fn wait_state(&self, name: &str, wished: impl Fn(&str) -> bool) {
        let command = ["nmcli", "-t", "-f", "DEVICE,STATE", "device"];
        wait_seen(&self.home.laptop, &command, |shown| {
            let states = shown.lines().filter_map(|line| line.split_once(':'));
            states.into_iter().any(|(device, state)| device == name && wished(state))
        });
    }
}

fn start(host: &Namespace) -> Running {
    Running::start(host, "NetworkManager", &["--no-daemon"], &[])
}
