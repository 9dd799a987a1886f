//! A DHCP server of another make than dnsmasq: Kea, in a namespace of the laboratory. It is fetched where it is not there.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::error::{IoContext as _, Result};
use crate::netns::Namespace;
use crate::packages::Package;
use crate::process::{Place, Process};

/// What it says when it serves.
const READY: &str = "DHCP4_STARTED";

/// The file of its leases.
const LEASES: &str = "leases";

/// What it lends: addresses of 192.168.1.0/24, whose router is 192.168.1.1.
#[derive(Clone, Copy, Debug)]
pub struct Lending {
    /// The first and the last of them, by their last byte.
    pub pool: (u8, u8),
    /// For how long. They are to be renewed after a third of that.
    pub lifetime: Duration,
}

/// A running Kea; ends when it is dropped.
#[derive(Debug)]
pub struct Kea<'a> {
    host: &'a Namespace,
    interface: String,
    place: Place,
    process: Process,
}

impl<'a> Kea<'a> {
    /// Starts it on an interface, and waits until it serves.
    ///
    /// # Errors
    ///
    /// When it cannot be fetched, or does not begin within 20 s.
    pub fn start(host: &'a Namespace, interface: &str, lending: Lending) -> Result<Self> {
        let place = Place::new()?;
        let process = start(host, interface, lending, &place)?;
        Ok(Self { host, interface: interface.to_owned(), place, process })
    }

    /// Ends it and starts it again with its leases, to lend this from now on.
    ///
    /// # Errors
    ///
    /// As [`Kea::start`].
    pub fn restart(&mut self, lending: Lending) -> Result<()> {
        self.process.end(Signal::SIGTERM)?;
        self.process = start(self.host, &self.interface, lending, &self.place)?;
        Ok(())
    }

    /// The same as a server that knows nothing of its leases any more.
    ///
    /// # Errors
    ///
    /// As [`Kea::start`].
    pub fn restart_anew(&mut self, lending: Lending) -> Result<()> {
        self.process.end(Signal::SIGTERM)?;
        let leases = self.place.kept()?.join(LEASES);
        fs::remove_file(&leases).context(|| format!("removing {}", leases.display()))?;
        self.restart(lending)
    }

    /// What it has said, over all its lives.
    pub fn log(&self) -> String {
        self.place.said()
    }

    /// How often it has sent a message of this kind, such as `DHCPACK`.
    pub fn sent(&self, kind: &str) -> usize {
        let kind = format!(" {kind} ");
        self.log().lines().filter(|line| line.contains("DHCP4_PACKET_SEND") && line.contains(&kind)).count()
    }

    /// Its leases as it writes them down, a line for each change: address, hardware address, client identifier, and more,
    /// separated by commas.
    ///
    /// # Errors
    ///
    /// When there is no such file.
    pub fn leases(&self) -> Result<String> {
        let path = self.place.kept()?.join(LEASES);
        fs::read_to_string(&path).context(|| format!("reading {}", path.display()))
    }
}

fn start(host: &Namespace, interface: &str, lending: Lending, place: &Place) -> Result<Process> {
    let package = Package::fetched("kea-dhcp4-server")?;
    let kept = place.kept()?;
    let text = config(interface, lending, &kept.join(LEASES).display().to_string());
    fs::write(place.config(), text).context(|| "writing Kea's configuration".to_owned())?;
    let begun = || place.said().matches(READY).count();
    let before = begun();
    let mut command = Command::new(package.file("usr/sbin/kea-dhcp4"));
    command.arg("-c").arg(place.config()).env("LD_LIBRARY_PATH", package.libraries());
    // Newer ones write nowhere else.
    for place in ["KEA_PIDFILE_DIR", "KEA_LOCKFILE_DIR", "KEA_DHCP_DATA_DIR"] {
        command.env(place, &kept);
    }
    let mut process = Process::start(host, &mut command, &place.log())?;
    process.wait_ready(&place.log(), || begun() > before)?;
    Ok(process)
}

fn config(interface: &str, lending: Lending, leases: &str) -> String {
    let Lending { pool: (first, last), lifetime } = lending;
    let lifetime = lifetime.as_secs();
    let config = json!({ "Dhcp4": {
        "interfaces-config": { "interfaces": [interface] },
        "lease-database": { "type": "memfile", "persist": true, "name": leases, "lfc-interval": 0 },
        "authoritative": true,
        "valid-lifetime": lifetime,
        "renew-timer": lifetime / 3,
        "rebind-timer": lifetime * 2 / 3,
        "subnet4": [{
            "id": 1,
            "subnet": "192.168.1.0/24",
            "pools": [{ "pool": format!("192.168.1.{first} - 192.168.1.{last}") }],
            "option-data": [{ "name": "routers", "data": "192.168.1.1" }],
        }],
        "loggers": [{
            "name": "kea-dhcp4",
            "severity": "DEBUG",
            "debuglevel": 50,
            "output_options": [{ "output": "stdout", "flush": true }],
        }],
    }});
    config.to_string()
}
