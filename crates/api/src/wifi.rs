//! The types of the interface that are about Wi-Fi; the interface file documents each field.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::types::enumeration;

/// How a station is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wifi {
    /// The network that it has joined, for people.
    pub ssid: Option<String>,
    /// Its name in hex digits, where `ssid` is not exactly it.
    pub ssid_hex: Option<String>,
    /// The access point's hardware address.
    pub bssid: Option<String>,
    /// In dBm.
    pub signal_dbm: Option<i64>,
    /// What the station sends with, in Mbit/s.
    pub rate_mbps: Option<u32>,
    /// The channel's centre, in MHz.
    pub frequency_mhz: Option<u32>,
    /// What it is doing, in a word or a few: "joined", "scanning", "off".
    pub state: String,
    /// What keeps it from joining, with the remedy.
    pub fault: Option<String>,
    /// Which rfkill switch keeps it silent, with the remedy.
    pub blocked: Option<String>,
    /// May it sleep between beacons?
    pub power_save: Option<bool>,
}

/// A wireless interface that joins networks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Station {
    /// The interface's name.
    pub interface: String,
    /// The bond that it is a port of.
    pub bond: Option<String>,
    /// Which program makes it join.
    pub manager: Manager,
    /// How it is doing.
    pub wifi: Wifi,
}

/// A network that a station may join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The interface's name.
    pub interface: String,
    /// The network's name, for people.
    pub ssid: String,
    /// Its name in hex digits, where `ssid` is not exactly it.
    pub ssid_hex: Option<String>,
    /// How it is joined.
    pub security: Security,
    /// The higher, the more it is wanted.
    pub priority: i32,
    /// Does it keep its name to itself?
    pub hidden: bool,
    /// Is it the one that the station has joined?
    pub current: bool,
    /// Who named it.
    pub saved_by: SavedBy,
    /// Why it cannot be joined, with the remedy.
    pub fault: Option<String>,
}

/// An access point that a station hears.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPoint {
    /// The interface that hears it.
    pub interface: String,
    /// Its network's name, for people; `None` where it keeps it to itself.
    pub ssid: Option<String>,
    /// The name in hex digits, where `ssid` is not exactly it.
    pub ssid_hex: Option<String>,
    /// Its hardware address.
    pub bssid: String,
    /// In dBm.
    pub signal_dbm: Option<i64>,
    /// The channel's centre, in MHz.
    pub frequency_mhz: Option<u32>,
    /// The ways in which it can be joined; empty where there is none that we know (WEP).
    pub security: Vec<Security>,
    /// Is its network one that the station may join already?
    pub known: bool,
    /// Is it the one that the station has joined?
    pub current: bool,
}

/// A network to join.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNetwork {
    /// Its name as text.
    #[serde(default)]
    pub ssid: String,
    /// Its name in hex digits; then `ssid` is not looked at.
    #[serde(default)]
    pub ssid_hex: Option<String>,
    /// How it is joined; `None`: it is known already, and all else here is not looked at.
    #[serde(default)]
    pub security: Option<Security>,
    /// The passphrase, the password for 802.1X, or what the private key is encrypted with.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// Does it keep its name to itself?
    #[serde(default)]
    pub hidden: bool,
    /// The higher, the more it is wanted; -1000 to 1000.
    #[serde(default)]
    pub priority: i32,
    /// With 802.1X.
    #[serde(default)]
    pub eap: Option<Eap>,
}

/// Credentials for 802.1X, beside the secret. Files are named by absolute path, as the daemon sees them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eap {
    /// How both sides convince each other.
    pub method: EapMethod,
    /// Who we are.
    pub identity: String,
    /// Who we are as far as anyone may hear who listens.
    #[serde(default)]
    pub anonymous_identity: Option<String>,
    /// Whose signature the server's certificate must have (PEM).
    #[serde(default)]
    pub ca_cert: Option<String>,
    /// The end of the name that the server's certificate must have.
    #[serde(default)]
    pub domain: Option<String>,
    /// With TLS: our certificate (PEM).
    #[serde(default)]
    pub client_cert: Option<String>,
    /// With TLS: its key (PEM).
    #[serde(default)]
    pub private_key: Option<String>,
}

/// A passphrase or password: written into a message, and nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to hand it on.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What `WifiStatus` returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stations {
    /// All of them.
    pub stations: Vec<Station>,
}

/// What `WifiConnect` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// The station, which has joined.
    pub station: Station,
}

/// What `WifiList` returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Networks {
    /// All of them.
    pub networks: Vec<Network>,
}

/// What `WifiScan` returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPoints {
    /// All of them.
    pub access_points: Vec<AccessPoint>,
}

enumeration! {
    /// How a network is joined.
    Security {
        /// By a passphrase: WPA3 where the access point has it, else WPA2.
        Psk,
        /// By a passphrase, only by WPA3.
        Sae,
        /// Encrypted, without a passphrase.
        Owe,
        /// Without encryption.
        Open,
        /// By 802.1X.
        Eap,
    }
}

enumeration! {
    /// How the server of 802.1X and we convince each other.
    EapMethod {
        /// PEAP with MSCHAPv2 in it.
        Peap,
        /// TTLS with PAP in it.
        Ttls,
        /// TLS.
        Tls,
    }
}

enumeration! {
    /// Which program makes a station join.
    Manager {
        /// A wpa_supplicant that the daemon started.
        Supplicant,
        /// iwd.
        Iwd,
        /// A wpa_supplicant that somebody else started.
        Existing,
        /// None: the daemon only watches.
        Off,
    }
}

enumeration! {
    /// Who named a network.
    SavedBy {
        /// The configuration file.
        Config,
        /// `WifiConnect`.
        Command,
    }
}

impl Security {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Psk => "psk",
            Self::Sae => "sae",
            Self::Owe => "owe",
            Self::Open => "open",
            Self::Eap => "eap",
        }
    }
}

impl Manager {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Supplicant => "supplicant",
            Self::Iwd => "iwd",
            Self::Existing => "existing",
            Self::Off => "off",
        }
    }
}

impl SavedBy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Command => "command",
        }
    }
}
