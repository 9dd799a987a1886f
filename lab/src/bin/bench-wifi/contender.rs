//! Who is compared: plain bonding in three configurations, and hitless with both drivers.

use std::fs;
use std::time::Duration;

use hitless_lab::wait::{Look, until};
use hitless_lab::wifi::{Network, Security, Supplicant, WifiHome};
use hitless_lab::{Daemon, Home, LabError, Result};
use serde::{Deserialize, Serialize};

/// How long anything may take that is to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

const PASSPHRASE: &str = "correct horse battery";

/// The network that all stations join.
pub(crate) fn network() -> Network {
    Network::new("home", Security::Wpa2Psk(PASSPHRASE.into()))
}

/// One way to bond a wire and Wi-Fi.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// Plain bonding, as guides for laptops have it.
    #[serde(rename = "bonding-200")]
    Bonding200,
    /// Plain bonding that looks twice as often, with one MAC.
    #[serde(rename = "bonding-100")]
    Bonding100,
    /// Plain bonding that looks as often as it can.
    #[serde(rename = "bonding-1")]
    Bonding1,
    /// hitless with its own datapath.
    Ebpf,
    /// hitless that leads the kernel's bonding.
    Kernel,
}

impl Contender {
    pub(crate) const ALL: [Self; 5] =
        [Self::Bonding200, Self::Bonding100, Self::Bonding1, Self::Ebpf, Self::Kernel];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bonding200 => "bonding-200",
            Self::Bonding100 => "bonding-100",
            Self::Bonding1 => "bonding-1",
            Self::Ebpf => "ebpf",
            Self::Kernel => "kernel",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|contender| contender.name() == name)
            .ok_or_else(|| format!("one of {}", names()))
    }

    /// Bonds eth0 and wlan0, gives the bond its address, and lets wlan0 join the network.
    pub(crate) fn start(self, wifi: &WifiHome) -> Result<Bond<'_>> {
        match self {
            Self::Bonding200 => plain(wifi, "miimon 200 updelay 200 fail_over_mac active"),
            Self::Bonding100 => plain(wifi, "miimon 100 fail_over_mac none"),
            Self::Bonding1 => plain(wifi, "miimon 1 fail_over_mac none"),
            Self::Ebpf => hitless(wifi, "ebpf"),
            Self::Kernel => hitless(wifi, "kernel"),
        }
    }
}

/// As one sets it up by hand.
fn plain<'a>(wifi: &'a WifiHome, options: &str) -> Result<Bond<'a>> {
    let laptop = &wifi.home.laptop;
    laptop.ip(&format!("link add bond0 type bond mode active-backup {options}"))?;
    for port in ["eth0", "wlan0"] {
        laptop.ip(&format!("link set {port} down"))?;
        laptop.ip(&format!("link set {port} master bond0"))?;
    }
    laptop.ip("link set bond0 type bond primary eth0 primary_reselect always")?;
    laptop.ip("link set bond0 up")?;
    laptop.ip(&format!("address add {}/24 dev bond0", Home::ipv4(0, 5)))?;
    let supplicant = Supplicant::start(laptop, "wlan0", &[network()], Some("bond0"))?;
    Ok(Bond { wifi, lead: Lead::Kernel(supplicant) })
}

/// Led by us, with nothing configured that need not be.
fn hitless<'a>(wifi: &'a WifiHome, driver: &str) -> Result<Bond<'a>> {
    let config = format!(
        "[bond.bond0]\ndriver = \"{driver}\"\nports = [\"eth0\", \"wlan0\"]\n\
         [bond.bond0.ip]\naddress = [\"{}/24\"]\ngateway = [\"{}\"]\n\
         [wifi.wlan0]\ncountry = \"AT\"\n[[wifi.wlan0.network]]\nssid = \"home\"\npsk = \"{PASSPHRASE}\"\n",
        Home::ipv4(0, 5),
        Home::gateway(),
    );
    let daemon = Daemon::start_with_config(&wifi.home.laptop, &config)?;
    Ok(Bond { wifi, lead: Lead::Hitless(daemon) })
}

/// A bond at work, whoever leads it.
pub(crate) struct Bond<'a> {
    wifi: &'a WifiHome,
    lead: Lead<'a>,
}

enum Lead<'a> {
    /// With what keeps wlan0 joined.
    Kernel(Supplicant),
    Hitless(Daemon<'a>),
}

/// How a bond is.
struct State {
    active: String,
    /// The ports that could be active.
    usable: Vec<String>,
}

impl Bond<'_> {
    /// Waits until this port is the active one.
    pub(crate) fn wait_active(&self, port: &str) -> Result<()> {
        self.wait(&format!("{port} to become the active port"), |state| state.active == port)
    }

    /// Waits until both ports could be active.
    pub(crate) fn wait_usable(&self) -> Result<()> {
        self.wait("both ports to be usable", |state| state.usable.len() == 2)
    }

    /// Makes this port the active one.
    pub(crate) fn switch(&self, port: &str) -> Result<()> {
        match &self.lead {
            Lead::Kernel(_) => {
                self.wifi.home.laptop.ip(&format!("link set bond0 type bond active_slave {port}"))?;
            }
            Lead::Hitless(daemon) => {
                daemon.ask(&["switch", "bond0", port])?;
            }
        }
        self.wait_active(port)
    }

    /// What was said by whoever leads it.
    pub(crate) fn log(&self) -> String {
        match &self.lead {
            Lead::Kernel(supplicant) => supplicant.log(),
            Lead::Hitless(daemon) => daemon.log(),
        }
    }

    /// Takes it down.
    pub(crate) fn end(self) -> Result<()> {
        match self.lead {
            Lead::Kernel(supplicant) => {
                supplicant.terminate()?;
                self.wifi.home.laptop.ip("link del bond0").map(drop)
            }
            Lead::Hitless(mut daemon) => {
                daemon.ask(&["down"])?;
                daemon.terminate().map(drop)
            }
        }
    }

    fn wait(&self, what: &str, wished: impl Fn(&State) -> bool) -> Result<()> {
        until(what, PATIENCE, || {
            let (state, shown) = self.state()?;
            if wished(&state) {
                return Ok(Look::Yes(()));
            }
            Ok(Look::No(format!("{shown}\nand in its log:\n{}", self.log())))
        })
    }

    /// With the text that says so.
    fn state(&self) -> Result<(State, String)> {
        match &self.lead {
            Lead::Kernel(_) => {
                // Below /proc/thread-self is the namespace of the thread that looks.
                let path = "/proc/thread-self/net/bonding/bond0";
                let text = self.wifi.home.laptop.within(|| fs::read_to_string(path))?;
                let text = text.map_err(|source| LabError::Io { what: format!("reading {path}"), source })?;
                Ok((of_bonding(&text), text))
            }
            Lead::Hitless(daemon) => {
                let bond = daemon.glance("bond0")?;
                let ports = bond["ports"].as_array().cloned().unwrap_or_default();
                let usable = ports.iter().filter(|port| port["link"] == "up" && port["waiting"].is_null());
                let name = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
                let usable = usable.map(|port| name(&port["name"])).collect();
                Ok((State { active: name(&bond["active"]), usable }, format!("{bond:#}")))
            }
        }
    }
}

/// Reads what the kernel shows of a bond.
fn of_bonding(text: &str) -> State {
    let mut state = State { active: String::new(), usable: Vec::new() };
    let mut port = None;
    for (key, value) in text.lines().filter_map(|line| line.split_once(": ")) {
        match key {
            "Currently Active Slave" => state.active = value.to_owned(),
            "Slave Interface" => port = Some(value.to_owned()),
            "MII Status" if value == "up" => state.usable.extend(port.take()),
            _ => {}
        }
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bond_is_read_from_proc() {
        let state = of_bonding(
            "Bonding Mode: fault-tolerance (active-backup)\nPrimary Slave: eth0 (primary_reselect always)\n\
             Currently Active Slave: wlan0\nMII Status: up\nMII Polling Interval (ms): 100\n\n\
             Slave Interface: eth0\nMII Status: down\nSpeed: 10000 Mbps\n\n\
             Slave Interface: wlan0\nMII Status: up\nSpeed: Unknown\n",
        );
        assert_eq!((state.active.as_str(), state.usable), ("wlan0", vec!["wlan0".to_owned()]));
    }
}
