//! A wpa_supplicant as a user runs it: one interface, one configuration file.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::control::{order, request, value};
use super::network::Network;
use crate::error::{IoContext as _, Result};
use crate::netns::Namespace;
use crate::process::{PATIENCE, Place, Process};
use crate::wait::{Look, until};

/// Where access points of the laboratory may be (channels 1 to 11, and 36), in MHz. To look everywhere takes long.
const CHANNELS: &str = "2412,2417,2422,2427,2432,2437,2442,2447,2452,2457,2462,5180";

/// A running wpa_supplicant. Killed when dropped.
#[derive(Debug)]
pub struct Supplicant {
    interface: String,
    place: Place,
    process: Process,
}

impl Supplicant {
    /// Starts it on an interface, with networks to join; `bridge` is what `-b` gets, the bond that the interface is in.
    ///
    /// # Errors
    ///
    /// When wpa_supplicant is missing or does not begin within 20 s.
    pub fn start(
        host: &Namespace,
        interface: &str,
        networks: &[Network],
        bridge: Option<&str>,
    ) -> Result<Self> {
        let place = Place::new()?;
        let mut config = format!("ctrl_interface={}\n", place.control().display());
        config.extend(networks.iter().map(Network::supplicant));
        let context = || "writing wpa_supplicant.conf".to_owned();
        let mut file =
            File::options().create_new(true).write(true).mode(0o600).open(place.config()).context(context)?;
        file.write_all(config.as_bytes()).context(context)?;

        let mut command = Command::new("wpa_supplicant");
        command.args(["-t", "-D", "nl80211", "-i", interface]).arg("-c").arg(place.config());
        if let Some(bridge) = bridge {
            command.args(["-b", bridge]);
        }
        let mut process = Process::start(host, &mut command, &place.log())?;
        let socket = place.control().join(interface);
        process.wait_ready(&place.log(), || {
            socket.exists() && request(&socket, "PING").is_ok_and(|reply| reply == "PONG")
        })?;
        Ok(Self { interface: interface.to_owned(), place, process })
    }

    /// Waits until it has joined a network.
    ///
    /// # Errors
    ///
    /// When it has not within `limit`; the error has what it said.
    pub fn wait_joined(&self, limit: Duration) -> Result<()> {
        until(&format!("{} to join a network", self.interface), limit, || {
            let status = self.request("STATUS")?;
            Ok(match value(&status, "wpa_state") {
                Some("COMPLETED") => Look::Yes(()),
                _ => Look::No(format!("{status}\nand in its log:\n{}", self.log())),
            })
        })
    }

    /// Waits until its log tells of a disconnection with this in it (`reason=3`, by IEEE 802.11, 9.4.1.7).
    ///
    /// # Errors
    ///
    /// When there is none within `limit`; the error has what it said.
    pub fn wait_left(&self, reason: &str, limit: Duration) -> Result<()> {
        until(&format!("{} to leave with {reason}", self.interface), limit, || {
            let log = self.log();
            let left =
                log.lines().any(|line| line.contains("CTRL-EVENT-DISCONNECTED") && line.contains(reason));
            Ok(if left { Look::Yes(()) } else { Look::No(log) })
        })
    }

    /// Moves to another access point of the same network, and waits until it is there.
    ///
    /// # Errors
    ///
    /// When it does not get there within 20 s: it may not have heard of it, or not be let in.
    pub fn roam(&self, bssid: &str) -> Result<()> {
        self.control().roam(bssid)
    }

    /// A value of its STATUS: `wpa_state`, `bssid`, `ssid`, `key_mgmt`, `address`.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn status(&self, key: &str) -> Result<Option<String>> {
        self.control().status(key)
    }

    /// Asks it by its control socket.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn request(&self, command: &str) -> Result<String> {
        self.control().request(command)
    }

    fn control(&self) -> Control {
        Control::at(self.socket())
    }

    /// Its control socket.
    pub fn socket(&self) -> PathBuf {
        self.place.control().join(&self.interface)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Ends it as a user does: it leaves the network first.
    ///
    /// # Errors
    ///
    /// When it does not end within 20 s.
    pub fn terminate(mut self) -> Result<()> {
        self.process.end(Signal::SIGTERM)
    }

    /// What it has said, each line with its time.
    pub fn log(&self) -> String {
        self.place.said()
    }
}

impl Drop for Supplicant {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- wpa_supplicant's log ({}) ---\n{}", self.interface, self.log());
        }
    }
}

/// What a wpa_supplicant may be asked about an interface, whoever has started it.
#[derive(Clone, Debug)]
pub struct Control {
    socket: PathBuf,
}

impl Control {
    /// By its control socket for the interface.
    pub fn at(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Asks it.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn request(&self, command: &str) -> Result<String> {
        request(&self.socket, command)
    }

    /// A value of its STATUS: `wpa_state`, `bssid`, `ssid`, `key_mgmt`, `address`.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn status(&self, key: &str) -> Result<Option<String>> {
        Ok(value(&self.request("STATUS")?, key).map(str::to_owned))
    }

    /// Moves to another access point of the same network, and waits until it is there.
    ///
    /// # Errors
    ///
    /// When it does not get there within 20 s: it may not have heard of it, or not be let in.
    pub fn roam(&self, bssid: &str) -> Result<()> {
        // It has to have heard of it.
        until(&format!("{bssid} to be heard"), PATIENCE, || {
            if !self.request(&format!("BSS {bssid}"))?.is_empty() {
                return Ok(Look::Yes(()));
            }
            // It may be busy with another scan.
            let answer = self.request(&format!("SCAN freq={CHANNELS}"))?;
            Ok(Look::No(format!("{answer}; {}", self.request("SCAN_RESULTS")?)))
        })?;
        order(&self.socket, &format!("ROAM {bssid}"))?;
        until(&format!("it to roam to {bssid}"), PATIENCE, || {
            let status = self.request("STATUS")?;
            let there =
                value(&status, "wpa_state") == Some("COMPLETED") && value(&status, "bssid") == Some(bssid);
            Ok(if there { Look::Yes(()) } else { Look::No(status) })
        })
    }
}
