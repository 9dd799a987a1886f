//! A network of the configuration, in the words of wpa_supplicant, secrets included.
//!
//! Secret files are read here, when a network is handed over, and at no other time. What is wrong with a secret is
//! said without saying what it is.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;

use crate::config::secret::{self, Check, SecretError};
use crate::wifi::network::{Eap, EapMethod, Network, Secret, SecretSource, Security};

/// By this, networks of ours are known among those of others, also to the next daemon (`id_str`).
pub const OURS: &str = "hitless";

/// Look for a better access point of the same network: every 30 s while the signal is below -65 dBm, else every
/// 5 minutes.
const ROAMING: &str = "simple:30:-65:300";

/// A setting of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Which one.
    pub key: &'static str,
    /// To what.
    pub value: Value,
}

/// What a setting is set to. Only texts of ours go in as they are.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// A word, or several, of ours.
    Word(&'static str),
    /// A number.
    Number(i32),
    /// The address of an access point.
    Address(MacAddr),
    /// A text of ours, in quotes.
    Quoted(&'static str),
    /// Any octets, as hex digits.
    Octets(Vec<u8>),
    /// Secret octets, as hex digits.
    Secret(Vec<u8>),
    /// A WPA passphrase in quotes. Only printable ASCII, without line ends; a quote in it does no harm, for the last
    /// one ends it (wpa_config_parse_psk).
    Passphrase(Secret),
    /// What it is when nobody sets it.
    Unset,
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Quoted(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Address(mac) => mac.fmt(f),
            Self::Octets(octets) => write!(f, "{}", octets.escape_ascii()),
            Self::Secret(_) | Self::Passphrase(_) => f.write_str("…"),
            Self::Unset => f.write_str("unset"),
        }
    }
}

/// A network cannot be handed over as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("network \"{ssid}\": {problem}")]
pub struct Unusable {
    /// Which network.
    pub ssid: Ssid,
    /// Why not.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a network of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A secret file cannot be read.
    #[error("cannot read {}: {kind}; it must be there, and root must be able to read it", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// A secret file is not a file.
    #[error("{} is not a regular file; the secret must be the first line of one", path.display())]
    NotAFile {
        /// Which path.
        path: PathBuf,
    },
    /// A secret cannot be one.
    #[error("{} is not its passphrase or password: {fault}", secret::place(path.as_deref()))]
    Unfit {
        /// The file that it is in, if it is in one.
        path: Option<PathBuf>,
        /// What is wrong.
        fault: &'static str,
    },
    /// A method needs what is not there.
    #[error("{method} needs `{option}`")]
    Incomplete {
        /// Which method.
        method: &'static str,
        /// The option.
        option: &'static str,
    },
    /// wpa_supplicant does not take a setting.
    #[error("wpa_supplicant does not take its `{key}`; it may be too old or built without it")]
    Refused {
        /// Which setting.
        key: &'static str,
    },
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Read { path, source } => Self::Unreadable { path, kind: source.kind() },
            SecretError::NotAFile { path } => Self::NotAFile { path },
            SecretError::Unfit { path, fault } => Self::Unfit { path, fault },
        }
    }
}

/// All settings of a network, those first that tell whose it is.
///
/// Every setting that an earlier version of the network could have had is in it (but for `bssid`: pinned to another access
/// point it is another network), so that giving them all makes the network what it is to be. A value that is there already changes nothing, and costs no association.
///
/// # Errors
///
/// When a secret cannot be read or used.
pub fn of(network: &Network) -> Result<Vec<Setting>, Unusable> {
    let unusable = |problem| Unusable { ssid: network.ssid.clone(), problem };
    let mut settings = vec![
        Setting { key: "id_str", value: Value::Quoted(OURS) },
        Setting { key: "ssid", value: Value::Octets(network.ssid.octets().into()) },
        Setting { key: "scan_ssid", value: Value::Number(network.hidden.into()) },
        Setting { key: "priority", value: Value::Number(network.priority) },
        Setting { key: "bgscan", value: Value::Quoted(ROAMING) },
        // A port's address is the bond's to choose, whatever somebody else's wpa_supplicant does for other networks.
        Setting { key: "mac_addr", value: Value::Number(0) },
    ];
    settings.extend(network.bssid.map(|bssid| Setting { key: "bssid", value: Value::Address(bssid) }));
    settings.extend(security(&network.security).map_err(unusable)?);
    Ok(settings)
}

fn security(security: &Security) -> Result<Vec<Setting>, Problem> {
    let key_mgmt = |words| Setting { key: "key_mgmt", value: Value::Word(words) };
    // 802.11w: 0 without, 1 where the access point has it, 2 always.
    let pmf = |how| Setting { key: "ieee80211w", value: Value::Number(how) };
    Ok(match security {
        Security::Open => vec![key_mgmt("NONE"), pmf(0)],
        Security::Owe => vec![key_mgmt("OWE"), pmf(2)],
        Security::Psk(source) => {
            let secret = secret::read(source, secret::passphrase_fault)?;
            let key = secret::from_hex(secret.reveal()).filter(|_| secret::is_key(secret.reveal()));
            let (words, value) = match key {
                Some(key) => ("WPA-PSK", Value::Secret(key)),
                None => ("WPA-PSK WPA-PSK-SHA256 SAE", Value::Passphrase(secret)),
            };
            vec![key_mgmt(words), pmf(1), Setting { key: "psk", value }]
        }
        Security::Sae(source) => {
            let value = octets(source, secret::sae_passphrase_fault)?;
            vec![key_mgmt("SAE"), pmf(2), Setting { key: "sae_password", value }]
        }
        Security::Eap(eap) => {
            let mut settings = vec![key_mgmt("WPA-EAP WPA-EAP-SHA256"), pmf(1)];
            settings.extend(eap_settings(eap)?);
            settings
        }
    })
}

fn eap_settings(eap: &Eap) -> Result<Vec<Setting>, Problem> {
    let (method, phase2) = match eap.method {
        // Many servers offer another try after a wrong password. wpa_supplicant would wait for somebody to type it.
        EapMethod::Peap => ("PEAP", Value::Quoted("auth=MSCHAPV2 mschapv2_retry=0")),
        EapMethod::Ttls => ("TTLS", Value::Quoted("auth=PAP")),
        EapMethod::Tls => ("TLS", Value::Unset),
    };
    let needs =
        |there: bool, option| if there { Ok(()) } else { Err(Problem::Incomplete { method, option }) };
    match eap.method {
        EapMethod::Peap | EapMethod::Ttls => needs(eap.password.is_some(), "password-file")?,
        EapMethod::Tls => {
            needs(eap.client_cert.is_some(), "client-cert")?;
            needs(eap.private_key.is_some(), "private-key")?;
        }
    }
    let text = |text: Option<&str>| text.map_or(Value::Unset, |text| Value::Octets(text.into()));
    let file = |path: &Option<PathBuf>| {
        path.as_ref().map_or(Value::Unset, |path| Value::Octets(path.as_os_str().as_bytes().into()))
    };
    let secret = |source: &Option<SecretSource>| {
        source.as_ref().map_or(Ok(Value::Unset), |source| octets(source, secret::password_fault))
    };
    Ok([
        ("eap", Value::Word(method)),
        ("phase2", phase2),
        ("identity", text(Some(&eap.identity))),
        ("anonymous_identity", text(eap.anonymous_identity.as_deref())),
        ("password", secret(&eap.password)?),
        ("ca_cert", file(&eap.ca_cert)),
        ("domain_suffix_match", text(eap.domain.as_deref())),
        ("client_cert", file(&eap.client_cert)),
        ("private_key", file(&eap.private_key)),
        ("private_key_passwd", secret(&eap.private_key_password)?),
    ]
    .map(|(key, value)| Setting { key, value })
    .into())
}

fn octets(source: &SecretSource, check: Check) -> Result<Value, Problem> {
    Ok(Value::Secret(secret::read(source, check)?.reveal().into()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    fn network(security: Security) -> Network {
        Network { ssid: Ssid::new("home").unwrap(), security, priority: 10, hidden: true, bssid: None }
    }

    fn inline(text: &str) -> SecretSource {
        SecretSource::Inline(Secret::new(text))
    }

    fn value(settings: &[Setting], key: &str) -> Value {
        settings.iter().find(|setting| setting.key == key).unwrap_or_else(|| panic!("{key}")).value.clone()
    }

    #[test]
    fn what_every_network_has() {
        let settings = of(&network(Security::Open)).unwrap();
        assert_eq!(settings.first().unwrap().key, "id_str");
        assert_eq!(value(&settings, "ssid"), Value::Octets(b"home".into()));
        assert_eq!(value(&settings, "scan_ssid"), Value::Number(1));
        assert!(!settings.iter().any(|setting| setting.key == "bssid"), "any of its access points");
        assert_eq!(value(&settings, "priority"), Value::Number(10));
        assert_eq!(value(&settings, "mac_addr"), Value::Number(0));
        assert_eq!(value(&settings, "key_mgmt"), Value::Word("NONE"));
    }

    #[test]
    fn a_passphrase_is_for_wpa2_and_wpa3_and_a_key_for_wpa2() {
        let settings = of(&network(Security::Psk(inline("correct horse")))).unwrap();
        assert_eq!(value(&settings, "key_mgmt"), Value::Word("WPA-PSK WPA-PSK-SHA256 SAE"));
        assert_eq!(value(&settings, "psk"), Value::Passphrase(Secret::new("correct horse")));
        let settings = of(&network(Security::Psk(inline(&"0aF".repeat(21)))));
        assert!(settings.is_ok(), "63 characters are a passphrase, whatever they look like");
        let settings = of(&network(Security::Psk(inline(&"0aF1".repeat(16))))).unwrap();
        assert_eq!(value(&settings, "key_mgmt"), Value::Word("WPA-PSK"));
        assert_eq!(value(&settings, "psk"), Value::Secret([0x0a, 0xf1].repeat(16)));
    }

    #[test]
    fn a_bad_passphrase_is_said_to_be_one_and_not_shown() {
        let long = "x".repeat(64);
        for text in ["hunter2", "with\nnewline", "Passwört!", "tab\tstop", &long] {
            let error = of(&network(Security::Psk(inline(text)))).unwrap_err();
            assert!(matches!(error.problem, Problem::Unfit { path: None, .. }), "{error}");
            assert!(
                error.to_string().starts_with("network \"home\": the secret is not its passphrase"),
                "{error}"
            );
            assert!(!format!("{error} {error:?}").contains(text));
        }
    }

    #[test]
    fn the_first_line_of_a_file_is_the_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("home.psk");
        let source = || SecretSource::File(path.clone());
        assert_eq!(
            of(&network(Security::Sae(source()))).unwrap_err().problem,
            Problem::Unreadable { path: path.clone(), kind: io::ErrorKind::NotFound }
        );
        std::fs::write(&path, "pass word \r\nsecond line\n").unwrap();
        let settings = of(&network(Security::Sae(source()))).unwrap();
        assert_eq!(value(&settings, "sae_password"), Value::Secret(b"pass word ".into()));
        std::fs::write(&path, "\nlater").unwrap();
        assert_eq!(
            of(&network(Security::Sae(source()))).unwrap_err().to_string(),
            format!(
                "network \"home\": the first line of {} is not its passphrase or password: it is empty",
                path.display()
            )
        );
        // A pipe, too, is refused, and nobody waits for it.
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [dir.path(), &pipe] {
            let path = path.to_owned();
            let error = of(&network(Security::Sae(SecretSource::File(path.clone())))).unwrap_err();
            assert_eq!(error.problem, Problem::NotAFile { path });
        }
    }

    #[test]
    fn enterprise_networks() {
        let eap = Eap {
            method: EapMethod::Peap,
            identity: "me\"\n".to_owned(),
            anonymous_identity: None,
            password: Some(inline("secret")),
            ca_cert: Some("/etc/ssl/ca.pem".into()),
            domain: Some("example.org".to_owned()),
            client_cert: None,
            private_key: None,
            private_key_password: None,
        };
        let settings = of(&network(Security::Eap(eap.clone()))).unwrap();
        assert_eq!(value(&settings, "phase2"), Value::Quoted("auth=MSCHAPV2 mschapv2_retry=0"));
        assert_eq!(value(&settings, "identity"), Value::Octets(b"me\"\n".into()));
        assert_eq!(value(&settings, "password"), Value::Secret(b"secret".into()));
        assert_eq!(value(&settings, "anonymous_identity"), Value::Unset);
        let tls = Eap { method: EapMethod::Tls, ..eap };
        let error = of(&network(Security::Eap(tls))).unwrap_err();
        assert_eq!(error.to_string(), "network \"home\": TLS needs `client-cert`");
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = of(&network(Security::Sae(inline("correct horse")))).unwrap();
        assert!(!format!("{settings:?}").contains("horse"));
        assert!(!format!("{settings:?}").contains("104, 111"));
    }
}
