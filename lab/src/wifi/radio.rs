//! Radios that mac80211_hwsim makes: who has them, who is within their reach, how loud they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{IoContext as _, LabError, Result};
use crate::netns::{Namespace, output};
use crate::qemu;

/// Where mac80211 shows its radios to whoever debugs, whatever the namespace they are in.
const DEBUGFS: &str = "/sys/kernel/debug/ieee80211";

/// Regulatory rules of the radios' own (`HWSIM_REGTEST_CUSTOM_WORLD`): 23 channels, all of which one may send on, instead
/// of 76 that one may mostly only listen on. A scan takes 1.6 s instead of 8, and the rules of a country still count.
const FEW_CHANNELS: &str = "regtest=5";

/// The radios of a guest; gone when dropped.
#[derive(Debug)]
pub(crate) struct Radios(());

impl Radios {
    /// Makes radios, all within reach of each other.
    pub(crate) fn load(count: u8) -> Result<(Self, Vec<Radio>)> {
        if !qemu::in_guest() {
            return Err(LabError::NoWifi);
        }
        output(Command::new("modprobe").args(["mac80211_hwsim", &format!("radios={count}"), FEW_CHANNELS]))?;
        let radios = Self(());
        let mut found = Vec::new();
        let class = Path::new("/sys/class/ieee80211");
        for entry in fs::read_dir(class).context(|| format!("reading {}", class.display()))?.flatten() {
            found.push(Radio::look(&entry.path())?);
        }
        found.sort_by(|a, b| a.interface.cmp(&b.interface));
        Ok((radios, found))
    }
}

impl Drop for Radios {
    fn drop(&mut self) {
        // Nobody to tell: the guest ends soon.
        let _ = output(Command::new("modprobe").args(["-r", "mac80211_hwsim"]));
    }
}

/// A radio: one `phy` with one interface.
#[derive(Debug)]
pub struct Radio {
    phy: String,
    /// How iw finds it from any namespace: `phy#0`. By name it looks into /sys, which shows only one's radios.
    number: String,
    /// What its interface was called at first.
    interface: String,
    /// Its number in /dev/rfkill.
    rfkill: u32,
}

impl Radio {
    /// What the kernel calls it: `phy0`.
    pub fn phy(&self) -> &str {
        &self.phy
    }

    /// May others hear it, and it them? Otherwise it is as if it were behind thick walls: it goes on as before, and
    /// nothing of it arrives anywhere.
    ///
    /// # Errors
    ///
    /// When the radio is gone.
    pub fn set_reachable(&self, reachable: bool) -> Result<()> {
        // A bit for each group; radios hear each other that have one in common.
        self.debug("group", if reachable { "1" } else { "0" })
    }

    /// How strongly others hear it, -100 to -1 dBm; -50 at first.
    ///
    /// # Errors
    ///
    /// When the radio is gone, or the kernel refuses the value.
    pub fn set_signal(&self, dbm: i8) -> Result<()> {
        // The kernel reads it as an unsigned number, and then takes it for a signed one.
        self.debug("rx_rssi", &i64::from(dbm).cast_unsigned().to_string())
    }

    /// Switches it off or on, as `rfkill block` does and the flight mode of a desktop.
    ///
    /// # Errors
    ///
    /// When the radio is gone.
    pub fn set_blocked(&self, blocked: bool) -> Result<()> {
        // struct rfkill_event: number, type (0: any), operation (2: change), soft, hard (linux/rfkill.h).
        let mut event = self.rfkill.to_ne_bytes().to_vec();
        event.extend([0, 2, u8::from(blocked), 0]);
        fs::write("/dev/rfkill", event).context(|| format!("switching {} by /dev/rfkill", self.phy))
    }

    /// Puts it into a namespace, where its interface gets this name and is down.
    pub(crate) fn give(&self, host: &Namespace, name: &str) -> Result<()> {
        // The kernel adds the power of the sender to the signal at the receiver: with 0 dBm, the signal is what is set.
        output(Command::new("iw").args([&self.number, "set", "txpower", "fixed", "0"]))?;
        output(Command::new("iw").args([&self.number, "set", "netns", "name", host.name()]))?;
        if self.interface != name {
            host.ip(&format!("link set {} name {name}", self.interface))?;
        }
        Ok(())
    }

    /// Takes it out of a namespace again.
    pub(crate) fn take_back(&self, host: &Namespace) -> Result<()> {
        // To the namespace that process 1 is in.
        host.run(&["iw", &self.number, "set", "netns", "1"]).map(drop)
    }

    fn look(path: &Path) -> Result<Self> {
        let only = |directory: PathBuf, prefix: &str| {
            let entries = fs::read_dir(&directory).context(|| format!("reading {}", directory.display()))?;
            let mut names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            names
                .find(|name| name.starts_with(prefix))
                .ok_or_else(|| LabError::Broken(format!("no {prefix} in {}", directory.display())))
        };
        let rfkill = only(path.to_owned(), "rfkill")?;
        let phy = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let index = path.join("index");
        let index = fs::read_to_string(&index).context(|| format!("reading {}", index.display()))?;
        Ok(Self {
            number: format!("phy#{}", index.trim()),
            interface: only(path.join("device/net"), "wlan")?,
            rfkill: rfkill
                .trim_start_matches("rfkill")
                .parse()
                .map_err(|_| LabError::Broken(format!("{phy} has a strange switch {rfkill}")))?,
            phy,
        })
    }

    fn debug(&self, name: &str, value: &str) -> Result<()> {
        let path = Path::new(DEBUGFS).join(&self.phy).join("hwsim").join(name);
        fs::write(&path, value).context(|| format!("writing {value} to {}", path.display()))
    }
}
