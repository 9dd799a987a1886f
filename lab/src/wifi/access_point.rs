//! An access point: hostapd on a radio, bridged into the switch.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::control::{order, request, value};
use super::network::{Network, Security};
use super::radio::Radio;
use crate::error::{IoContext as _, LabError, Result};
use crate::netns::Namespace;
use crate::process::{Place, Process};
use crate::wait::{Look, until};

/// An access point, on the air or not. Gone without a word when dropped.
#[derive(Debug)]
pub struct AccessPoint<'a> {
    host: &'a Namespace,
    /// Its radio, for whoever wants it far away or faint.
    pub radio: Radio,
    interface: String,
    network: Network,
    place: Place,
    hostapd: Option<Process>,
}

impl<'a> AccessPoint<'a> {
    pub(crate) fn start(
        host: &'a Namespace,
        radio: Radio,
        interface: &str,
        network: Network,
    ) -> Result<Self> {
        let (interface, place) = (interface.to_owned(), Place::new()?);
        let mut access_point = Self { host, radio, interface, network, place, hostapd: None };
        access_point.restart()?;
        Ok(access_point)
    }

    /// Its interface on the switch, `ap0` say.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// What it offers.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Its own address, by which stations know it.
    ///
    /// # Errors
    ///
    /// When it is not on the air.
    pub fn bssid(&self) -> Result<String> {
        let status = self.request("STATUS")?;
        let found = value(&status, "bssid[0]").map(str::to_owned);
        found.ok_or_else(|| LabError::Broken(format!("hostapd told no BSSID, but {status}")))
    }

    /// Puts it on the air (again).
    ///
    /// # Errors
    ///
    /// When it is, or when hostapd does not get there within 20 s.
    pub fn restart(&mut self) -> Result<()> {
        if self.hostapd.is_some() {
            return Err(LabError::Broken(format!("{} is on the air already", self.interface)));
        }
        self.radio.set_reachable(true)?;
        fs::write(self.place.config(), self.config()).context(|| "writing hostapd.conf".to_owned())?;
        if let Security::Eap(eap) = &self.network.security {
            fs::write(self.users(), eap.users()).context(|| "writing hostapd's users".to_owned())?;
        }
        let mut command = Command::new("hostapd");
        command.arg("-t").arg(self.place.config());
        let mut hostapd = Process::start(self.host, &mut command, &self.place.log())?;
        let socket = self.socket();
        hostapd.wait_ready(&self.place.log(), || {
            socket.exists()
                && request(&socket, "STATUS").is_ok_and(|status| value(&status, "state") == Some("ENABLED"))
        })?;
        self.hostapd = Some(hostapd);
        Ok(())
    }

    /// Replaces what it offers: it goes off the air and on again.
    ///
    /// # Errors
    ///
    /// As [`AccessPoint::restart`].
    pub fn offer(&mut self, network: Network) -> Result<()> {
        self.stop_politely()?;
        self.network = network;
        self.restart()
    }

    /// Switches it off as one does by its menu: every station is told.
    ///
    /// # Errors
    ///
    /// When hostapd does not end within 20 s.
    pub fn stop_politely(&mut self) -> Result<()> {
        match self.hostapd.take() {
            Some(mut hostapd) => hostapd.end(Signal::SIGTERM),
            None => Ok(()),
        }
    }

    /// Pulls its plug: it is gone without a word, in the middle of whatever it was doing.
    ///
    /// # Errors
    ///
    /// When its radio is gone.
    pub fn kill(&mut self) -> Result<()> {
        // First, for the kernel tells stations when an interface is switched off.
        self.radio.set_reachable(false)?;
        if let Some(mut hostapd) = self.hostapd.take() {
            hostapd.end(Signal::SIGKILL)?;
        }
        // hostapd would have taken it out of the bridge, and stumbles over it otherwise.
        self.host.ip(&format!("link set {} down nomaster", self.interface)).map(drop)
    }

    /// Tells a station that it is thrown out; the station may come back at once.
    ///
    /// # Errors
    ///
    /// When hostapd does not know it.
    pub fn deauthenticate(&self, mac: &str) -> Result<()> {
        order(&self.socket(), &format!("DEAUTHENTICATE {mac}"))
    }

    /// Makes it forget a station without telling it. Access points of one maker tell each other when a station has
    /// moved; ours do not, and the old one would go on sending it what its neighbours there have for it.
    ///
    /// # Errors
    ///
    /// When hostapd does not know it.
    pub fn forget(&self, mac: &str) -> Result<()> {
        order(&self.socket(), &format!("DEAUTHENTICATE {mac} tx=0"))
    }

    /// May this station send and receive here?
    ///
    /// # Errors
    ///
    /// When it is not on the air.
    pub fn associated(&self, mac: &str) -> Result<bool> {
        let station = self.request(&format!("STA {mac}"))?;
        Ok(value(&station, "flags").is_some_and(|flags| flags.contains("[AUTHORIZED]")))
    }

    /// Waits until a station may send and receive here, or not any more.
    ///
    /// # Errors
    ///
    /// When that is not so within `limit`; the error has what hostapd said.
    pub fn wait_associated(&self, mac: &str, expected: bool, limit: Duration) -> Result<()> {
        let what = format!("{mac} {} at {}", if expected { "to be" } else { "not to be" }, self.interface);
        until(&what, limit, || {
            Ok(if self.associated(mac)? == expected { Look::Yes(()) } else { Look::No(self.log()) })
        })
    }

    /// How often a station has associated or re-associated here, over all the lives of hostapd. When it repeats its
    /// request, for the answer was late, that is one. Where processors are busy the access point may begin the handshake
    /// anew over that, while the station ends the one before: it has to come again, and the first time does not count.
    pub fn associations(&self, mac: &str) -> usize {
        associations(&self.log(), mac)
    }

    /// How often a station has got all the way in (association and keys).
    pub fn connections(&self, mac: &str) -> usize {
        let wanted = format!("AP-STA-CONNECTED {mac}");
        self.log().lines().filter(|line| line.contains(&wanted)).count()
    }

    /// What hostapd has said, over all its lives, each line with its time.
    pub fn log(&self) -> String {
        self.place.said()
    }

    /// Asks hostapd by its control socket.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn request(&self, command: &str) -> Result<String> {
        request(&self.socket(), command)
    }

    fn socket(&self) -> PathBuf {
        self.place.control().join(&self.interface)
    }

    fn config(&self) -> String {
        format!(
            "interface={}\nbridge=br0\ndriver=nl80211\nctrl_interface={}\n\
             logger_stdout=-1\nlogger_stdout_level=2\nlogger_syslog=0\n{}",
            self.interface,
            self.place.control().display(),
            self.network.hostapd(&self.users()),
        )
    }

    /// Who gets in by 802.1X.
    fn users(&self) -> PathBuf {
        self.place.config().with_file_name("users")
    }
}

impl Drop for AccessPoint<'_> {
    fn drop(&mut self) {
        let _ = self.kill();
        if thread::panicking() {
            eprintln!("--- hostapd's log ({}) ---\n{}", self.interface, self.log());
        }
    }
}

/// How often a station has associated, by hostapd's log.
fn associations(log: &str, mac: &str) -> usize {
    let is_one = |line: &str| line.contains("IEEE 802.11: associated");
    let of_station: Vec<&str> = log.lines().filter(|line| line.contains(mac)).collect();
    // Two in a row are one, asked for twice.
    let tries = of_station.chunk_by(|before, after| is_one(before) || !is_one(after));
    let has = |lines: &[&str], what: &str| lines.iter().any(|line| line.contains(what));
    let missed = |lines: &[&str]| has(lines, "msg 4/4 in invalid state") && !has(lines, "AP-STA-CONNECTED");
    tries.filter(|lines| is_one(lines[0]) && !missed(lines)).count()
}

#[cfg(test)]
mod tests {
    use super::associations;

    const STATION: &str = "02:00:00:00:00:00";

    fn log(said: &[&str]) -> String {
        said.iter().map(|said| format!("1795298040.311507: ap0: STA {STATION} {said}\n")).collect()
    }

    const ASSOCIATED: &str = "IEEE 802.11: associated (aid 2)";
    const CONNECTED: [&str; 2] = [ASSOCIATED, "AP-STA-CONNECTED 02:00:00:00:00:00"];
    const MISSED: [&str; 3] =
        [ASSOCIATED, ASSOCIATED, "WPA: received EAPOL-Key msg 4/4 in invalid state (7) - dropped"];

    #[test]
    fn each_association_counts_once() {
        let begins = "IEEE 802.11: authenticated";
        assert_eq!(associations(&log(&[begins]), STATION), 0);
        assert_eq!(associations(&log(&[begins, ASSOCIATED]), STATION), 1);
        assert_eq!(associations(&log(&[begins, ASSOCIATED, ASSOCIATED]), STATION), 1);
        let twice = [&CONNECTED[..], &[begins], &CONNECTED].concat();
        assert_eq!(associations(&log(&twice), STATION), 2);
        assert_eq!(associations(&log(&twice), "02:00:00:00:01:00"), 0);
    }

    #[test]
    fn one_that_the_access_point_has_missed_does_not_count() {
        assert_eq!(associations(&log(&MISSED), STATION), 0);
        let again = [&MISSED[..], &["IEEE 802.11: authenticated"], &CONNECTED].concat();
        assert_eq!(associations(&log(&again), STATION), 1);
        let after_all = [&MISSED[..], &CONNECTED[1..]].concat();
        assert_eq!(associations(&log(&after_all), STATION), 1);
    }
}
