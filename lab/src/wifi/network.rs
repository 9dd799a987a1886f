//! A Wi-Fi network, as hostapd offers it and wpa_supplicant joins it.

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::certificates::Certificate;

/// A network that access points offer and stations join.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its name; plain ASCII.
    pub ssid: String,
    /// How one gets in.
    pub security: Security,
    /// Where access points offer it: 1 to 11, or 36 and so on.
    pub channel: u8,
    /// Does it keep its name to itself?
    pub hidden: bool,
    /// How often the group key changes; `None`: not within a test.
    pub group_rekey: Option<Duration>,
    /// Further lines for hostapd.conf.
    pub hostapd: String,
}

/// How one gets into a network.
#[derive(Clone)]
pub enum Security {
    /// By asking.
    Open,
    /// By asking, and it is encrypted all the same.
    Owe,
    /// By passphrase, WPA2.
    Wpa2Psk(String),
    /// By passphrase, WPA3 with protected management frames.
    Wpa3Sae(String),
    /// By passphrase, WPA2 and WPA3 beside each other, as most home routers have it.
    Transition(String),
    /// By 802.1X, WPA2.
    Eap(Eap),
}

/// Who gets in by 802.1X: hostapd is the server itself. The one user may come by PEAP with MSCHAPv2, by TTLS with PAP,
/// or by TLS with a certificate of the authority.
#[derive(Clone)]
pub struct Eap {
    /// The authority (PEM) that signs for the server and for clients.
    pub authority: PathBuf,
    /// What the server shows.
    pub server: Certificate,
    /// The user's name.
    pub identity: String,
    /// The user's password.
    pub password: String,
}

impl Network {
    /// A network of this name on channel 1.
    pub fn new(ssid: &str, security: Security) -> Self {
        let (ssid, hostapd) = (ssid.to_owned(), String::new());
        Self { ssid, security, channel: 1, hidden: false, group_rekey: None, hostapd }
    }

    /// The same on another channel.
    #[must_use]
    pub fn on_channel(mut self, channel: u8) -> Self {
        self.channel = channel;
        self
    }

    /// hostapd.conf for it, but for what concerns the interface. With 802.1X, `users` has what [`Eap::users`] says.
    pub(crate) fn hostapd(&self, users: &Path) -> String {
        let Self { ssid, security, channel, hidden, group_rekey, hostapd } = self;
        // Above channel 14 it is 5 GHz, where nobody may send without knowing the country.
        let band = if *channel > 14 { "a\ncountry_code=AT\nieee80211d=1" } else { "g" };
        let mut lines = format!(
            "ssid={ssid}\nhw_mode={band}\nchannel={channel}\nieee80211n=1\nwmm_enabled=1\n\
             ignore_broadcast_ssid={}\n",
            u8::from(*hidden),
        );
        let _ = match security {
            Security::Open => write!(lines, ""),
            Security::Owe => writeln!(lines, "wpa=2\nrsn_pairwise=CCMP\nwpa_key_mgmt=OWE\nieee80211w=2"),
            Security::Wpa2Psk(passphrase) => {
                writeln!(lines, "wpa=2\nrsn_pairwise=CCMP\nwpa_key_mgmt=WPA-PSK\nwpa_passphrase={passphrase}")
            }
            Security::Wpa3Sae(passphrase) => writeln!(
                lines,
                "wpa=2\nrsn_pairwise=CCMP\nwpa_key_mgmt=SAE\nieee80211w=2\nsae_password={passphrase}"
            ),
            Security::Transition(passphrase) => writeln!(
                lines,
                "wpa=2\nrsn_pairwise=CCMP\nwpa_key_mgmt=WPA-PSK SAE\nieee80211w=1\nsae_require_mfp=1\n\
                 wpa_passphrase={passphrase}"
            ),
            Security::Eap(Eap { authority, server, .. }) => writeln!(
                lines,
                "wpa=2\nrsn_pairwise=CCMP\nwpa_key_mgmt=WPA-EAP\nieee8021x=1\neap_server=1\neap_user_file={}\n\
                 ca_cert={}\nserver_cert={}\nprivate_key={}",
                users.display(),
                authority.display(),
                server.file.display(),
                server.key.display(),
            ),
        };
        if let Some(interval) = group_rekey {
            let _ = writeln!(lines, "wpa_group_rekey={}", interval.as_secs());
        }
        lines + hostapd
    }

    /// The network block of wpa_supplicant.conf, as a user would write it.
    pub(crate) fn supplicant(&self) -> String {
        let credentials = match &self.security {
            Security::Open => "key_mgmt=NONE".to_owned(),
            Security::Owe => "key_mgmt=OWE\nieee80211w=2".to_owned(),
            Security::Wpa2Psk(passphrase) => format!("key_mgmt=WPA-PSK\npsk=\"{passphrase}\""),
            Security::Wpa3Sae(passphrase) => {
                format!("key_mgmt=SAE\nieee80211w=2\nsae_password=\"{passphrase}\"")
            }
            Security::Transition(passphrase) => {
                format!("key_mgmt=WPA-PSK SAE\nieee80211w=1\npsk=\"{passphrase}\"")
            }
            Security::Eap(Eap { authority, identity, password, .. }) => format!(
                "key_mgmt=WPA-EAP\neap=PEAP\nphase2=\"auth=MSCHAPV2\"\nidentity=\"{identity}\"\n\
                 password=\"{password}\"\nca_cert=\"{}\"",
                authority.display(),
            ),
        };
        let scan = u8::from(self.hidden);
        format!("network={{\nssid=\"{}\"\nscan_ssid={scan}\n{credentials}\n}}\n", self.ssid)
    }
}

impl Eap {
    /// hostapd's file of users. Who comes says nothing but a method at first; the password is asked for within the
    /// tunnel.
    pub(crate) fn users(&self) -> String {
        let Self { identity, password, .. } = self;
        format!("* PEAP,TTLS,TLS\n\"{identity}\" MSCHAPV2,TTLS-PAP \"{password}\" [2]\n")
    }
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The passphrases are nobody's secret, but tests look for them in all output.
        f.write_str(match self {
            Self::Open => "Open",
            Self::Owe => "Owe",
            Self::Wpa2Psk(_) => "Wpa2Psk(…)",
            Self::Wpa3Sae(_) => "Wpa3Sae(…)",
            Self::Transition(_) => "Transition(…)",
            Self::Eap(_) => "Eap(…)",
        })
    }
}
