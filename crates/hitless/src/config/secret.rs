//! Secrets: what they have to look like, how they are read from files, and who else may read them.
//!
//! Nothing here repeats a secret, or what was taken for one, in an error.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Config;
use crate::wifi::network::{Eap, EapMethod, Network, Secret, SecretSource, Security};

/// The form of a passphrase in words.
pub const PASSPHRASE_FORM: &str =
    "a passphrase has 8 to 63 printable ASCII characters; a WPA2 key has 64 hex digits";

/// The most that is read of a file for the sake of its first line.
const LONGEST_LINE: u64 = 4096;

/// What is wrong with a secret of some kind, if anything.
pub type Check = fn(&str) -> Option<&'static str>;

/// What is wrong with a passphrase of WPA2 or WPA3, if anything (IEEE 802.11-2020, J.4.1).
pub fn passphrase_fault(text: &str) -> Option<&'static str> {
    if is_key(text) { None } else { characters_fault(text) }
}

/// The same where only SAE will do, which has no use for a key.
pub fn sae_passphrase_fault(text: &str) -> Option<&'static str> {
    if is_key(text) {
        return Some("64 hex digits are a WPA2 key, and SAE (WPA3) needs the passphrase itself");
    }
    characters_fault(text)
}

/// Is it a WPA2 key rather than a passphrase?
pub fn is_key(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn characters_fault(text: &str) -> Option<&'static str> {
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Some("it has characters that are not printable ASCII")
    } else if text.len() < 8 {
        Some("it has less than 8 characters")
    } else if text.len() == 64 {
        Some("it has 64 characters that are not all hex digits")
    } else if text.len() > 63 {
        Some("it has more than 63 characters")
    } else {
        None
    }
}

/// What is wrong with a password for 802.1X, if anything.
pub fn password_fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("it is empty")
    } else if text.contains(char::is_control) {
        Some("it has control characters in it")
    } else if text.len() > 256 {
        Some("it has more than 256 bytes")
    } else {
        None
    }
}

/// Octets from hex digits of either case.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Vec<u8> = text.as_bytes().iter().map(digit).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    Some(pairs.map(|pair| pair.iter().fold(0, |octet, digit| octet << 4 | digit)).collect())
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is a pipe, a directory or a device: reading it might never end.
    #[error("the secret cannot be read from {}, which is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// What is in it cannot be one.
    #[error("{} is not what is needed: {fault}", place(path.as_deref()))]
    Unfit {
        /// The file that it is in, if it is in one.
        path: Option<PathBuf>,
        /// What is wrong.
        fault: &'static str,
    },
}

/// Where a secret is, in words.
pub fn place(file: Option<&Path>) -> String {
    file.map_or_else(|| "the secret".to_owned(), |path| format!("the first line of {}", path.display()))
}

/// A secret, from where it is, if there is nothing wrong with it by one of the checks above.
pub fn read(source: &SecretSource, check: Check) -> Result<Secret, SecretError> {
    let (secret, path) = match source {
        SecretSource::Inline(secret) => (secret.clone(), None),
        SecretSource::File(path) => (from_file(path)?, Some(path.clone())),
    };
    match check(secret.reveal()) {
        Some(fault) => Err(SecretError::Unfit { path, fault }),
        None => Ok(secret),
    }
}

/// The first line of a regular file, without its end. `-` is a file like any other here.
pub fn from_file(path: &Path) -> Result<Secret, SecretError> {
    let read = |source| SecretError::Read { path: path.to_owned(), source };
    // To open a pipe waits for who writes to it.
    let nonblocking = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = File::options().read(true).custom_flags(nonblocking).open(path).map_err(read)?;
    if !file.metadata().map_err(read)?.is_file() {
        return Err(SecretError::NotAFile { path: path.to_owned() });
    }
    first_line(file, path)
}

/// The first line of what is read, which errors call `path`.
pub fn first_line(reader: impl io::Read, path: &Path) -> Result<Secret, SecretError> {
    let unfit = |fault| SecretError::Unfit { path: Some(path.to_owned()), fault };
    let mut line = Vec::new();
    BufReader::new(reader.take(LONGEST_LINE))
        .read_until(b'\n', &mut line)
        .map_err(|source| SecretError::Read { path: path.to_owned(), source })?;
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        let _ = line.pop_if(|byte| *byte == b'\r');
    }
    if line.is_empty() {
        return Err(unfit("it is empty"));
    }
    // The error would hold the bytes.
    let text = String::from_utf8(line).map_err(|_| unfit("it is not UTF-8"))?;
    Ok(Secret::new(text))
}

/// Something about a valid configuration that the user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Others than the owner may read a file with a secret in it.
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Nothing tells the right server for 802.1X from any other.
    AnyServer {
        /// The wireless interface.
        interface: String,
        /// The network.
        ssid: String,
        /// Is an authority named, but no server's name?
        authority: bool,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { path } => {
                let path = path.display();
                write!(f, "others may read {path}, which has a secret in it: chmod 600 {path}")
            }
            Self::AnyServer { interface, ssid, authority: false } => write!(
                f,
                "{interface}: any access point that calls itself `{ssid}` is given our password: set ca-cert and domain"
            ),
            Self::AnyServer { interface, ssid, authority: true } => write!(
                f,
                "{interface}: whoever has a certificate of the authority in ca-cert, and calls itself `{ssid}`, is given \
                 our password: set domain, unless that authority signs for this network alone"
            ),
        }
    }
}

/// What the user should know of a valid configuration and the files that it names. `path` is the configuration file, if
/// it comes from one.
pub fn warnings(path: Option<&Path>, config: &Config) -> Vec<Warning> {
    let sources: Vec<_> = networks(config).flat_map(|(_, network)| network.secrets()).collect();
    let inline = sources.iter().any(|source| matches!(source, SecretSource::Inline(_)));
    let mut files: Vec<&Path> = path.filter(|_| inline).into_iter().collect();
    files.extend(sources.iter().filter_map(|source| match source {
        SecretSource::File(path) => Some(path.as_path()),
        SecretSource::Inline(_) => None,
    }));
    files.dedup();
    let exposed = files.into_iter().filter(|path| others_may_read(path));
    let exposed = exposed.map(|path| Warning::Exposed { path: path.to_owned() });
    let any_server = networks(config).filter_map(|(interface, network)| {
        let Security::Eap(eap) = &network.security else { return None };
        trusts_any_server(eap).then(|| Warning::AnyServer {
            interface: interface.to_owned(),
            ssid: network.ssid.to_string(),
            authority: eap.ca_cert.is_some(),
        })
    });
    exposed.chain(any_server).collect()
}

/// Is the password given to whoever has the network's name, or a certificate of the same authority? With TLS there is no
/// password, and to whom we show our certificate matters less.
fn trusts_any_server(eap: &Eap) -> bool {
    match eap.method {
        EapMethod::Peap | EapMethod::Ttls => eap.ca_cert.is_none() || eap.domain.is_none(),
        EapMethod::Tls => eap.ca_cert.is_none(),
    }
}

fn networks(config: &Config) -> impl Iterator<Item = (&str, &Network)> {
    config
        .wifi
        .iter()
        .flat_map(|(interface, wifi)| wifi.networks.iter().map(move |network| (interface.as_str(), network)))
}

/// A file that is not there exposes nothing.
fn others_may_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o077 != 0)
}
