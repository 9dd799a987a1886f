//! Why a station is not where it should be, and what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use hitless_core::wifi::Ssid;

use crate::wifi::iwd::IwdFault;
use crate::wifi::supplicant::settings::Unusable;

/// What keeps a station from its network. Each says what to do, and none says a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The access point has another passphrase.
    #[error("network \"{ssid}\" does not accept the passphrase{}; correct it", again(*retry_in))]
    WrongPassphrase {
        /// Which network.
        ssid: Ssid,
        /// How often it was tried in a row.
        tries: u32,
        /// When it is tried again; `None` where that is not said.
        retry_in: Option<Duration>,
    },
    /// None of the networks is in range.
    #[error("none of the networks is in range; `hitless wifi scan` shows which ones are")]
    NetworkNotFound,
    /// The access point does not let us in.
    #[error(
        "the access point of \"{ssid}\" does not let us in (status {status}); it may be full, or want other security"
    )]
    AuthRejected {
        /// Which network.
        ssid: Ssid,
        /// IEEE 802.11, 9.4.1.9.
        status: u16,
    },
    /// Nothing comes of it, and nobody says why.
    #[error("network \"{ssid}\" cannot be joined{}; the signal may be too weak, or its security another", again(*retry_in))]
    ConnectionFailed {
        /// Which network.
        ssid: Ssid,
        /// When it is tried again.
        retry_in: Option<Duration>,
    },
    /// The server does not accept our credentials.
    #[error(
        "the server of \"{ssid}\" does not accept the identity, password or client certificate; correct them"
    )]
    EapFailed {
        /// Which network.
        ssid: Ssid,
    },
    /// We do not believe the server's certificate.
    #[error(
        "the server's certificate of \"{ssid}\" is not trusted ({problem}); check `ca-cert` and `domain`"
    )]
    CertificateRefused {
        /// Which network.
        ssid: Ssid,
        /// Why, in wpa_supplicant's words.
        problem: String,
    },
    /// The server was not even asked, for one of our files is missing or is not what it should be.
    #[error(
        "the certificates or the key for \"{ssid}\" cannot be used; check `ca-cert`, `client-cert`, `private-key` and \
         `private-key-password-file`"
    )]
    CertificatesUnusable {
        /// Which network.
        ssid: Ssid,
    },
    /// The radio is switched off, or the interface is down.
    #[error("the radio is switched off or the interface is down; `rfkill list` shows which switch it is")]
    RadioOff,
    /// It is not installed.
    #[error(
        "wpa_supplicant is not installed; install the package `wpasupplicant` (Debian, Ubuntu) or `wpa_supplicant`"
    )]
    NoSupplicant,
    /// A network cannot be used as it is configured.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It ended.
    #[error("wpa_supplicant ended; it is started again in {} ms", restart_in.as_millis())]
    SupplicantDied {
        /// When it is started again.
        restart_in: Duration,
    },
    /// It cannot be started.
    #[error("{problem}; it is tried again in {} ms", retry_in.as_millis())]
    CannotStart {
        /// Why, with its causes.
        problem: String,
        /// When it is tried again.
        retry_in: Duration,
    },
    /// It does not take care of the interface.
    #[error(
        "wpa_supplicant does not take {interface}; is it a wireless interface, and does nothing else (NetworkManager, \
         another wpa_supplicant, iwd) have it?"
    )]
    InterfaceRefused {
        /// Which interface.
        interface: String,
    },
    /// Nobody takes care of the interface, though somebody else should.
    #[error(
        "no wpa_supplicant takes care of {interface} (expected its socket {}); start it, or leave out `manage = \
         \"existing\"`",
        socket.display()
    )]
    NotManaged {
        /// Which interface.
        interface: String,
        /// Where it should be.
        socket: PathBuf,
    },
    /// iwd looks after it, and cannot.
    #[error(transparent)]
    Iwd(#[from] IwdFault),
    /// It could be spoken to, and no longer can.
    #[error("{problem}; it is tried again")]
    Unreachable {
        /// Why, with its causes.
        problem: String,
    },
}

fn again(retry_in: Option<Duration>) -> String {
    retry_in.map(|pause| format!(" (tried again in {} s)", pause.as_secs())).unwrap_or_default()
}
