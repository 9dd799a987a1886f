//! The real server in front of a daemon that only pretends.

#![allow(dead_code, reason = "each test uses a part")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hitless::server::{Reply, Request, Server};
use hitless_api::{
    AccessPoint, Adoption, Bond, Cause, Confirmed, Dhcp, Dhcp6, Dns, Driver, Duplex, Error, Failover, Kind,
    LinkState, Manager, Method, Network, NewBond, NewNetwork, Notice, Port, SavedBy, Security, Station,
    Verdict, Wifi,
};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// A running server.
pub(crate) struct Fake {
    directory: TempDir,
    commands: UnboundedSender<Command>,
    calls: Arc<Mutex<Vec<Method>>>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Publish(Box<Notice>),
    /// Answered when all before it has been done.
    Settle(std::sync::mpsc::Sender<()>),
    Stop,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        // For clients of other users.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let socket = directory.path().join("hitless.sock");
        let (commands, mut receiver) = unbounded_channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&calls);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let (server, mut requests) = Server::bind(&socket).unwrap();
                ready.send(()).unwrap();
                loop {
                    tokio::select! {
                        Some(Request { method, reply }) = requests.recv() => {
                            seen.lock().unwrap().push(method.clone());
                            let _ = reply.send(answer(&method));
                        }
                        command = receiver.recv() => match command {
                            Some(Command::Publish(notice)) => server.publish(*notice),
                            Some(Command::Settle(done)) => done.send(()).unwrap(),
                            Some(Command::Stop) | None => break,
                        }
                    }
                }
            });
        });
        is_ready.recv().unwrap();
        Self { directory, commands, calls, thread: Some(thread) }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("hitless.sock")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn publish(&self, notice: Notice) {
        assert!(self.commands.send(Command::Publish(Box::new(notice))).is_ok());
    }

    /// Returns when all notices have been published.
    pub(crate) fn settle(&self) {
        let (done, is_done) = std::sync::mpsc::channel();
        assert!(self.commands.send(Command::Settle(done)).is_ok());
        is_done.recv().unwrap();
    }

    /// What reached the daemon, apart from questions.
    pub(crate) fn changes(&self) -> Vec<Method> {
        let calls = self.calls.lock().unwrap();
        let is_question = |method: &Method| {
            method.is_read_only() || matches!(method, Method::WifiList { .. } | Method::WifiScan { .. })
        };
        calls.iter().filter(|method| !is_question(method)).cloned().collect()
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop();
    }
}

fn answer(method: &Method) -> Result<Reply, Error> {
    let known = |bond: &str| {
        let error = Error::NoSuchBond { bond: bond.to_owned() };
        if bond == "bond0" { Ok(()) } else { Err(error) }
    };
    match method {
        Method::Status {} | Method::Monitor {} => return Ok(Reply::Bonds(bonds())),
        Method::Switch { bond, port } | Method::RemovePort { bond, port } => {
            known(bond)?;
            if !["eth0", "wlan0"].contains(&port.as_str()) {
                return Err(Error::NoSuchPort { bond: bond.clone(), port: port.clone() });
            }
        }
        Method::AddPort { bond, port } => {
            known(bond)?;
            if port == "busy0" {
                let reason = "it is a port of the bridge br0; take it out first: ip link set busy0 nomaster";
                return Err(Error::PortUnusable { port: port.clone(), reason: reason.to_owned() });
            }
        }
        Method::Reload {} => {
            let report = hitless::config::parse("[bond.bond0]\n", "/etc/hitless/hitless.toml").unwrap_err();
            return Err(Error::ConfigInvalid { report: report.to_string() });
        }
        Method::Down { bond: Some(bond) } if bond == "stuck" => {
            return Err(Error::Failed { reason: "cannot delete bond `stuck`: device busy".to_owned() });
        }
        Method::Down { bond } => bond.as_deref().map_or(Ok(()), known)?,
        Method::Adopt(new) => return adopt(new),
        Method::Confirm {} => {
            let file = "/etc/hitless/hitless.toml".to_owned();
            return Ok(Reply::Confirmed(Confirmed { bond: "bond0".to_owned(), file }));
        }
        Method::AwaitTrial { bond } => {
            let text = match bond.as_str() {
                "bond0" => "bond0 stays, and is in /etc/hitless/hitless.toml",
                _ => "nobody confirmed it in time; everything is as it was",
            };
            return Ok(Reply::Verdict(Verdict { confirmed: bond == "bond0", text: text.to_owned() }));
        }
        Method::WifiStatus {} => return Ok(Reply::Stations(stations())),
        Method::WifiList { port } => {
            station_of(port.as_deref(), true)?;
            return Ok(Reply::Networks(networks()));
        }
        Method::WifiScan { port } => {
            station_of(port.as_deref(), true)?;
            return Ok(Reply::AccessPoints(access_points()));
        }
        Method::WifiConnect { port, network } => {
            let station = station_of(port.as_deref(), false)?;
            return connect(station, network);
        }
        Method::WifiDisconnect { port } => drop(station_of(port.as_deref(), false)?),
        Method::WifiForget { port, ssid, .. } => {
            station_of(port.as_deref(), false)?;
            if ssid == "home" {
                let reason = "`home` is in the configuration file: take it out there, then hitless reload";
                return Err(Error::Refused { reason: reason.to_owned() });
            }
        }
    }
    Ok(Reply::Done)
}

/// As it was asked for, around its first interface.
fn adopt(new: &NewBond) -> Result<Reply, Error> {
    let from = new.ports.first().cloned().unwrap_or_default();
    if from == "gone0" {
        return Err(Error::PortUnusable { port: from, reason: "there is no such interface".to_owned() });
    }
    let adoption = Adoption {
        bond: new.bond.clone().unwrap_or_else(|| "bond0".to_owned()),
        ports: new.ports.clone(),
        from,
        mac: "02:00:00:00:00:01".to_owned(),
        addresses: vec!["192.168.1.5/24".to_owned()],
        gateways: vec!["192.168.1.1".to_owned()],
        confirm_within_s: new.within_s,
        section: "[bond.bond0]\nports = [\"eth0\"]\n".to_owned(),
        file: "/etc/hitless/hitless.toml".to_owned(),
        notes: vec!["eth0: the DHCP client dhclient runs on it; end it\u{1b}[2J".to_owned()],
    };
    Ok(Reply::Adopted(Box::new(adoption)))
}

/// The station that is meant. There is one only, unless it is asked for as "several".
fn station_of(port: Option<&str>, all: bool) -> Result<Station, Error> {
    match port {
        None => Ok(stations().remove(0)),
        Some("several") if !all => {
            Err(Error::SeveralStations { ports: vec!["wlan0".to_owned(), "wlan1".to_owned()] })
        }
        Some(name) => stations()
            .into_iter()
            .find(|station| station.interface == name)
            .ok_or_else(|| Error::NoSuchStation { port: name.to_owned() }),
    }
}

/// Every passphrase but one is right.
pub(crate) const WRONG: &str = "wrong-zyzzyva";

fn connect(station: Station, network: &NewNetwork) -> Result<Reply, Error> {
    if network.secret.as_ref().is_some_and(|secret| secret.reveal() == WRONG) {
        let reason = "home did not accept the passphrase: try again with hitless wifi connect home --ask";
        return Err(Error::WifiFailed { reason: reason.to_owned() });
    }
    let ssid = if network.ssid.is_empty() { "caf\\xe9".to_owned() } else { network.ssid.clone() };
    let wifi = Wifi { ssid: Some(ssid), ..station.wifi };
    Ok(Reply::Joined(Box::new(Station { wifi, ..station })))
}

pub(crate) fn joined() -> Wifi {
    let text = |text: &str| Some(text.to_owned());
    Wifi {
        ssid: text("home"),
        ssid_hex: None,
        bssid: text("02:00:00:00:01:00"),
        signal_dbm: Some(-54),
        rate_mbps: Some(866),
        frequency_mhz: Some(5180),
        state: "joined".to_owned(),
        fault: None,
        blocked: None,
        power_save: Some(false),
    }
}

pub(crate) fn stations() -> Vec<Station> {
    let text = |text: &str| Some(text.to_owned());
    let first = Station {
        interface: "wlan0".to_owned(),
        bond: text("bond0"),
        manager: Manager::Supplicant,
        wifi: joined(),
    };
    let trouble = Wifi {
        state: "off".to_owned(),
        fault: text("caf\u{1b}[2J did not accept the passphrase: hitless wifi connect"),
        blocked: text("the radio is switched off: rfkill unblock wifi"),
        ..Wifi::default()
    };
    let second =
        Station { interface: "wlan1".to_owned(), bond: None, manager: Manager::Existing, wifi: trouble };
    vec![first, second]
}

pub(crate) fn networks() -> Vec<Network> {
    let home = Network {
        interface: "wlan0".to_owned(),
        ssid: "home".to_owned(),
        ssid_hex: None,
        security: Security::Psk,
        priority: 10,
        hidden: false,
        current: true,
        saved_by: SavedBy::Config,
        fault: None,
    };
    let cafe = Network {
        ssid: "caf\\xe9".to_owned(),
        ssid_hex: Some("636166e9".to_owned()),
        security: Security::Eap,
        priority: -5,
        hidden: true,
        current: false,
        saved_by: SavedBy::Command,
        fault: Some("the password is wrong".to_owned()),
        ..home.clone()
    };
    vec![home, cafe]
}

pub(crate) fn access_points() -> Vec<AccessPoint> {
    let ap = |ssid: Option<&str>, signal_dbm, security: &[Security]| AccessPoint {
        interface: "wlan0".to_owned(),
        ssid: ssid.map(str::to_owned),
        ssid_hex: None,
        bssid: "02:00:00:00:01:00".to_owned(),
        signal_dbm,
        frequency_mhz: Some(5180),
        security: security.to_vec(),
        known: ssid == Some("home"),
        current: ssid == Some("home"),
    };
    vec![
        ap(Some("far"), Some(-88), &[Security::Psk]),
        ap(None, None, &[Security::Sae]),
        ap(Some("home"), Some(-54), &[Security::Psk, Security::Sae]),
        ap(Some("guests"), Some(-60), &[Security::Open]),
        ap(Some("lounge"), Some(-61), &[Security::Owe]),
        ap(Some("campus"), Some(-70), &[Security::Eap]),
        ap(Some("antique"), Some(-71), &[]),
    ]
}

pub(crate) fn bonds() -> Vec<Bond> {
    let text = |text: &str| Some(text.to_owned());
    let wire = Port {
        name: "eth0".to_owned(),
        index: Some(2),
        link: LinkState::Up,
        active: true,
        waiting: None,
        same_segment: true,
        link_failures: 1,
        permanent_mac: text("02:00:00:00:00:01"),
        speed_mbps: Some(1000),
        duplex: Some(Duplex::Full),
        wifi: None,
    };
    let wireless = Port {
        name: "wlan0".to_owned(),
        index: Some(3),
        link: LinkState::Back,
        active: false,
        waiting: text("updelay"),
        same_segment: false,
        link_failures: 0,
        permanent_mac: text("02:00:00:00:00:02"),
        speed_mbps: None,
        duplex: None,
        wifi: Some(joined()),
    };
    let missing = Port {
        name: "enx\u{1b}[2J".to_owned(),
        index: None,
        link: LinkState::Down,
        active: false,
        waiting: text("the interface to appear"),
        same_segment: false,
        link_failures: 0,
        permanent_mac: None,
        speed_mbps: None,
        duplex: None,
        wifi: None,
    };
    let failover = Failover { from: text("wlan0"), to: text("eth0"), cause: Cause::BetterPort, took_us: 612 };
    let bond = Bond {
        name: "bond0".to_owned(),
        driver: Driver::Ebpf,
        mode: "active-backup".to_owned(),
        active: text("eth0"),
        primary: text("eth0"),
        carrier: true,
        mac: text("02:00:00:00:00:01"),
        fail_over_mac: "none".to_owned(),
        fail_over_mac_reason: text("the ebpf driver accepts what is for the bond on every port"),
        same_segment: "require".to_owned(),
        ports: vec![wire, wireless, missing],
        unconfirmed_s: None,
        last_failover: Some(failover),
        dhcp: Some(Dhcp {
            state: "bound".to_owned(),
            address: text("192.168.1.55"),
            server: text("192.168.1.1"),
            expires_in_s: Some(3599),
            renews_in_s: Some(1799),
            ntp: vec!["192.168.1.1".to_owned()],
            hostname: text("laptop"),
        }),
        dhcp6: Some(Dhcp6 {
            state: "bound".to_owned(),
            address: text("fd00:1::1c5"),
            prefix: text("2001:db8:7::/56"),
            server: text("fe80::1"),
            expires_in_s: Some(3599),
            prefix_expires_in_s: Some(7199),
            renews_in_s: Some(1799),
            ntp: vec!["fd00:1::1".to_owned()],
        }),
        dns: Some(Dns {
            servers: vec!["192.168.1.1".to_owned(), "fd00::1".to_owned()],
            search: vec!["home.arpa".to_owned()],
            via: text("systemd-resolved"),
        }),
    };
    let empty = Bond {
        name: "bond1".to_owned(),
        driver: Driver::Kernel,
        active: None,
        primary: None,
        carrier: false,
        mac: None,
        fail_over_mac_reason: None,
        ports: Vec::new(),
        last_failover: None,
        dhcp: None,
        dhcp6: None,
        dns: None,
        ..bond.clone()
    };
    vec![bond, empty]
}

pub(crate) fn notice(n: u64) -> Notice {
    Notice {
        port: Some("eth0".to_owned()),
        link: Some(LinkState::Down),
        ..Notice::new("bond0", 1_795_253_150_123_456 + n, Kind::Link, "eth0: link down".to_owned())
    }
}
