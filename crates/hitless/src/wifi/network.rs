//! What the user says of Wi-Fi: which networks a station may join, and with which credentials.

use std::fmt;
use std::path::PathBuf;

use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;

/// What a wireless interface is to join, and by which program (`[wifi.NAME]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WifiConfig {
    /// Where it is, by ISO 3166 (two letters): which channels it may use, and how loudly.
    pub country: Option<String>,
    /// Which program does the joining.
    pub manage: Manage,
    /// The networks, in the order in which they are written.
    pub networks: Vec<Network>,
}

impl WifiConfig {
    /// Is there a secret in a file? It may be another one then while nothing here has changed.
    pub fn has_secret_files(&self) -> bool {
        let mut secrets = self.networks.iter().flat_map(Network::secrets);
        secrets.any(|source| matches!(source, SecretSource::File(_)))
    }
}

/// Which program makes a station join a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manage {
    /// A wpa_supplicant of our own; where that is not installed and iwd runs, iwd.
    #[default]
    Auto,
    /// A wpa_supplicant that somebody else has started for the interface; ours to instruct, not to start or end.
    Existing,
    /// iwd, over D-Bus.
    Iwd,
    /// None: we only watch.
    Off,
}

/// A network that a station may join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub ssid: Ssid,
    /// How it is joined.
    pub security: Security,
    /// The higher, the more it is wanted; -1000 to 1000, 0 unless set.
    pub priority: i32,
    /// Does it keep its name to itself, so that it has to be asked for?
    pub hidden: bool,
    /// The only one of its access points that is to be joined; iwd cannot be told.
    pub bssid: Option<MacAddr>,
}

impl Network {
    /// Where its secrets are.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        match &self.security {
            Security::Open | Security::Owe => Vec::new(),
            Security::Psk(source) | Security::Sae(source) => vec![source],
            Security::Eap(eap) => eap.password.iter().chain(&eap.private_key_password).collect(),
        }
    }
}

/// How a network is joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Without any encryption.
    Open,
    /// Opportunistic wireless encryption (RFC 8110): without a passphrase, and encrypted.
    Owe,
    /// By a passphrase of 8 to 63 characters (or the 64 hex digits of a WPA2 key): WPA3 where the access point has it,
    /// with protected management frames, else WPA2.
    Psk(SecretSource),
    /// By a passphrase, and only by WPA3 (SAE with protected management frames).
    Sae(SecretSource),
    /// By 802.1X.
    Eap(Eap),
}

/// Credentials for 802.1X.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eap {
    /// By which method.
    pub method: EapMethod,
    /// Who we are.
    pub identity: String,
    /// Who we are as far as anyone may hear who listens.
    pub anonymous_identity: Option<String>,
    /// With PEAP and TTLS.
    pub password: Option<SecretSource>,
    /// Whose signature the server's certificate must have (PEM). Without it, anyone could be the server.
    pub ca_cert: Option<PathBuf>,
    /// The end of the name that the server's certificate must have.
    pub domain: Option<String>,
    /// With TLS: our certificate (PEM).
    pub client_cert: Option<PathBuf>,
    /// With TLS: its key (PEM).
    pub private_key: Option<PathBuf>,
    /// With TLS: what the key is encrypted with.
    pub private_key_password: Option<SecretSource>,
}

/// How the server and we convince each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EapMethod {
    /// PEAP with MSCHAPv2 in it.
    Peap,
    /// TTLS with PAP in it.
    Ttls,
    /// TLS: both sides by certificate.
    Tls,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration.
    Inline(Secret),
    /// The first line of this file, read anew whenever it is needed.
    File(PathBuf),
}

/// A passphrase or password. Nothing that prints, logs or serialises it gets to see it.
#[derive(Clone, PartialEq, Eq)]
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
