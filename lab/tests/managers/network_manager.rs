//! NetworkManager, the real one, which manages every wire that it finds.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::{Daemon, Home, Namespace};

use crate::adopted::Used;
use crate::machine::{Running, addresses, bus, carries_alone, has_address, in_guest_with, wait_seen};
use crate::support::*;

const PACKAGE: &str = "network-manager";

const LIMIT: Duration = Duration::from_secs(600);

/// What is written down of an address that a server has lent.
const LEASED: &str = "dhcp4 = true\nclient-id = \"mac\"\nchaddr = ";

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
fn guest_an_interface_of_network_manager_hands_its_address_over() {
    in_guest_with(
        PACKAGE,
        "network_manager::guest_an_interface_of_network_manager_hands_its_address_over",
        LIMIT,
        || Managed::new().hands_its_address_over(),
    );
}

#[test]
fn guest_an_interface_of_network_manager_is_adopted() {
    in_guest_with(
        PACKAGE,
        "network_manager::guest_an_interface_of_network_manager_is_adopted",
        LIMIT,
        || {
            let managed = Managed::new();
            managed.is_adopted("ebpf", LEASED);
            managed.is_adopted("kernel", LEASED);
            managed.is_put_back_without_a_daemon();
            managed.gives_a_fixed_address();
            managed.is_adopted("ebpf", "address = [\"192.168.1.7/24\"");
        },
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
        self.has_let_go();
        // It has let go of both as they were.
        assert_eq!(carries_alone(&self.home).len(), 2);
    }

    fn has_let_go(&self) {
        for name in ["eth0", "wlan0", "bond0"] {
            self.wait_state(name, |state| state == "unmanaged");
        }
    }

    fn is_put_back_without_a_daemon(&self) {
        Used::new(&self.home, "ebpf").with_the_daemon_killed(|| self.wait_connected());
    }

    fn is_adopted(&self, driver: &str, said: &str) {
        let used = Used::new(&self.home, driver);
        used.without_confirmation(|| self.wait_connected());
        let written = used.with_confirmation(|| self.has_let_go(), || self.wait_connected());
        assert!(written.contains(said), "{written}");
    }

    /// From now on eth0 has one that its administrator wrote down.
    fn gives_a_fixed_address(&self) {
        let add = "nmcli connection add type ethernet con-name fixed ifname eth0 ipv4.method manual \
                   ipv4.addresses 192.168.1.7/24 ipv4.gateway 192.168.1.1 ipv6.method disabled";
        self.home.laptop.run(&add.split_whitespace().collect::<Vec<_>>()).unwrap();
        self.home.laptop.run(&["nmcli", "connection", "up", "fixed"]).unwrap();
        self.wait_connected();
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

    /// Told of single interfaces, it leaves them as they are; told by its configuration, it would clear them.
    fn hands_its_address_over(self) {
        let laptop = &self.home.laptop;
        let used = Used::new(&self.home, "ebpf");
        let text = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n";
        let mut daemon = daemon(&self.home, text, &[("bond0", "eth0")]);
        used.goes_on("the bond is there", "bond0");
        self.home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        used.goes_on("the cable is pulled", "bond0");
        self.home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        // Another daemon knows what NetworkManager is to manage again, and what not.
        daemon.kill9().unwrap();
        daemon.restart().unwrap();
        self.start_anew();
        self.has_let_go();
        daemon.ask(&["down"]).unwrap();
        self.wait_connected();
        used.goes_on("the bond is gone", "eth0");

        laptop.run(&["nmcli", "device", "set", "wlan0", "managed", "no"]).unwrap();
        daemon.ask(&["reload"]).unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        daemon.ask(&["down"]).unwrap();
        self.wait_state("eth0", |state| state == "connected");
        self.wait_state("wlan0", |state| state == "unmanaged");

        // It was told to manage eth0, and goes by a file nevertheless that is there when it starts.
        drop(self.manager.take());
        fs::write(DROP_IN, "[keyfile]\nunmanaged-devices+=interface-name:eth0\n").unwrap();
        self.manager.replace(Some(start(laptop)));
        self.wait_state("eth0", |state| state == "unmanaged");
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
