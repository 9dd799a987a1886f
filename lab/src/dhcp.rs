//! A DHCP server: dnsmasq, in a namespace of the laboratory.

use std::fs;
use std::process::Command;

use crate::error::Result;
use crate::netns::Namespace;
use crate::process::{Place, Process};

/// A running dnsmasq; ends when it is dropped.
#[derive(Debug)]
pub struct Dnsmasq {
    process: Process,
    place: Place,
}

impl Dnsmasq {
    /// Starts it on an interface, and waits until it serves. `options` are further arguments of its; at least a
    /// `--dhcp-range` is needed.
    ///
    /// # Errors
    ///
    /// When dnsmasq is missing, or does not understand an option.
    pub fn start(host: &Namespace, interface: &str, options: &[&str]) -> Result<Self> {
        Self::begin(host, interface, &[&["--dhcp-authoritative"], options].concat())
    }

    /// The same as one that may not be the only one: it says nothing about addresses that it has not lent.
    ///
    /// # Errors
    ///
    /// As [`Dnsmasq::start`].
    pub fn start_reserved(host: &Namespace, interface: &str, options: &[&str]) -> Result<Self> {
        Self::begin(host, interface, options)
    }

    fn begin(host: &Namespace, interface: &str, options: &[&str]) -> Result<Self> {
        let place = Place::new()?;
        let mut command = Command::new("dnsmasq");
        command
            // No DNS, nothing of the machine's own, and everything that happens.
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--port=0"])
            .args(["--user=root", "--group=root", "--log-dhcp", "--log-facility=-", "--no-ping"])
            .args([&format!("--interface={interface}"), "--bind-interfaces"])
            .arg(format!("--dhcp-leasefile={}", place.control().display()))
            .arg(format!("--pid-file={}", place.config().display()))
            .args(options);
        let mut process = Process::start(host, &mut command, &place.log())?;
        process.wait_ready(&place.log(), || {
            let said = place.said();
            said.contains("DHCP, ") || said.contains("DHCPv6, ")
        })?;
        Ok(Self { process, place })
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.place.said()
    }

    /// How often it has received or sent a message of this kind, such as `DHCPREQUEST`.
    pub fn count(&self, kind: &str) -> usize {
        let message = format!(" {kind}(");
        self.log().lines().filter(|line| line.contains(&message)).count()
    }

    /// Its leases, as it keeps them: a line each.
    pub fn leases(&self) -> String {
        fs::read_to_string(self.place.control()).unwrap_or_default()
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
