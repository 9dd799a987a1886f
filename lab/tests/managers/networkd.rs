//! systemd-networkd, the real one, with files of an administrator's.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::{Daemon, Home, Namespace};

use crate::adopted::Used;
use crate::machine::{Running, addresses, bus, carries_alone, has_address, in_guest_with, wait_seen};
use crate::support::*;

const PACKAGE: &str = "systemd";

const LIMIT: Duration = Duration::from_secs(600);

/// By what it is told.
const DROP_IN: &str = "/run/systemd/network/00-hitless-bond0.network";

#[test]
fn guest_networkd_leaves_ports_alone() {
    in_guest_with(PACKAGE, "networkd::guest_networkd_leaves_ports_alone", LIMIT, || {
        let managed = Managed::new();
        for driver in ["ebpf", "kernel"] {
            managed.lends_its_interfaces_to(driver);
        }
    });
}

#[test]
fn guest_networkd_manages_a_bond_that_is_left_to_it() {
    in_guest_with(PACKAGE, "networkd::guest_networkd_manages_a_bond_that_is_left_to_it", LIMIT, || {
        Managed::new().gives_a_bond_its_address();
    });
}

#[test]
fn guest_an_interface_of_networkd_is_adopted() {
    in_guest_with(PACKAGE, "networkd::guest_an_interface_of_networkd_is_adopted", LIMIT, || {
        let managed = Managed::new();
        for driver in ["ebpf", "kernel"] {
            // Which is how it names itself to servers, unless told otherwise.
            managed.is_adopted(driver, "dhcp4 = true\nclient-id = \"ff:");
        }
        managed.is_put_back_without_a_daemon();
        managed.gives_a_fixed_address();
        managed.is_adopted("ebpf", "address = [\"192.168.1.7/24\"");
    });
}

/// A laptop whose systemd-networkd has given eth0 an address by DHCP, and wlan0 a static one.
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
        fs::create_dir_all("/etc/systemd/network").unwrap();
        let file =
            |name: &str, text: &str| fs::write(Path::new("/etc/systemd/network").join(name), text).unwrap();
        file("50-wire.network", "[Match]\nName=eth0 bond0\n[Network]\nDHCP=ipv4\nIPv6AcceptRA=no\n");
        file("51-wifi.network", "[Match]\nName=wlan0\n[Network]\nAddress=192.168.1.9/24\nIPv6AcceptRA=no\n");
        add_user();
        let manager = RefCell::new(Some(start(&home.laptop)));
        let managed = Self { home, _server: server.unwrap(), _bus: bus, manager };
        managed.wait_configured();
        managed
    }

    fn lends_its_interfaces_to(&self, driver: &str) {
        let text = config("").replace("\"ebpf\"", &format!("\"{driver}\""));
        let used = Used::new(&self.home, driver);
        let daemon = daemon(&self.home, &text, &[("bond0", "eth0")]);
        self.leaves_alone();
        used.goes_on("the bond is there", "bond0");
        // A carrier is what it waits for.
        self.home.pull("eth0").unwrap();
        daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
        self.home.plug("eth0").unwrap();
        daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
        self.leaves_alone();
        // And when it starts, it looks at everything there is.
        self.start_anew();
        self.leaves_alone();
        assert!(Path::new(DROP_IN).exists());

        daemon.ask(&["down"]).unwrap();
        assert!(!Path::new(DROP_IN).exists());
        self.wait_configured();
        used.goes_on("the bond is gone", "eth0");
    }

    fn leaves_alone(&self) {
        self.has_let_go();
        // It lets go of ports when the bond has what they had.
        assert_eq!(carries_alone(&self.home).len(), 2);
    }

    fn has_let_go(&self) {
        for name in ["eth0", "wlan0", "bond0"] {
            self.wait_setup(name, "unmanaged");
        }
    }

    fn gives_a_bond_its_address(self) {
        let text = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n[bond.bond0.ip]\ndhcp4 = \"external\"\n";
        let daemon = daemon(&self.home, text, &[("bond0", "eth0")]);
        self.has_the_bond(&daemon);
        self.start_anew();
        self.has_the_bond(&daemon);
        daemon.ask(&["down"]).unwrap();
        self.wait_configured();
    }

    fn is_put_back_without_a_daemon(&self) {
        Used::new(&self.home, "ebpf").with_the_daemon_killed(|| self.wait_configured());
    }

    fn is_adopted(&self, driver: &str, said: &str) {
        let used = Used::new(&self.home, driver);
        used.without_confirmation(|| self.wait_configured());
        let written = used.with_confirmation(|| self.has_let_go(), || self.wait_configured());
        assert!(written.contains(said), "{written}");
    }

    /// From now on eth0 has one that its administrator wrote down.
    fn gives_a_fixed_address(&self) {
        let text =
            "[Match]\nName=eth0\n[Network]\nAddress=192.168.1.7/24\nGateway=192.168.1.1\nIPv6AcceptRA=no\n";
        fs::write("/etc/systemd/network/50-wire.network", text).unwrap();
        self.home.laptop.run(&["networkctl", "reload"]).unwrap();
        wait_for("eth0 to have a fixed address", || {
            (addresses(&self.home.laptop, "eth0").first()? == "192.168.1.7").then_some(())
        });
        self.wait_configured();
    }

    /// The bond, and not its ports.
    fn has_the_bond(&self, daemon: &Daemon<'_>) {
        self.wait_setup("bond0", "configured");
        for port in ["eth0", "wlan0"] {
            self.wait_setup(port, "unmanaged");
            assert_eq!(addresses(&self.home.laptop, port), Vec::<String>::new(), "{port}");
        }
        assert!(has_address(&self.home.laptop, "bond0"), "{}", daemon.log());
        self.home.laptop.run(&["ping", "-c1", "-W5", "192.168.1.1"]).unwrap();
    }

    fn start_anew(&self) {
        drop(self.manager.take());
        self.manager.replace(Some(start(&self.home.laptop)));
    }

    /// It has set both up, and they have their addresses.
    fn wait_configured(&self) {
        for port in ["eth0", "wlan0"] {
            self.wait_setup(port, "configured");
            assert!(has_address(&self.home.laptop, port), "{port}");
        }
    }

    fn wait_setup(&self, name: &str, wished: &str) {
        wait_seen(&self.home.laptop, &["networkctl", "--no-pager", "--no-legend", "list"], |shown| {
            let mut rows = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            rows.any(|row| row.get(1) == Some(&name) && row.last() == Some(&wished))
        });
    }
}

/// Its user, as its package makes it.
fn add_user() {
    let add = |file: &str, line: &str| {
        let text = fs::read_to_string(file).unwrap();
        if !text.lines().any(|line| line.starts_with("systemd-network:")) {
            fs::write(file, format!("{text}{line}\n")).unwrap();
        }
    };
    add("/etc/passwd", "systemd-network:x:64054:64054::/:/usr/sbin/nologin");
    add("/etc/group", "systemd-network:x:64054:");
}

/// As its unit starts it.
fn start(host: &Namespace) -> Running {
    for directory in ["links", "leases", "lldp"] {
        fs::create_dir_all(format!("/run/systemd/netif/{directory}")).unwrap();
    }
    let own = Command::new("chown").args(["-R", "systemd-network:", "/run/systemd/netif"]).status();
    assert!(own.unwrap().success());
    Running::start(host, "/usr/lib/systemd/systemd-networkd", &[], &[("SYSTEMD_LOG_TARGET", "console")])
}
