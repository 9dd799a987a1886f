//! What can go wrong with iwd, and with no other program.

use hitless_core::wifi::Ssid;

/// What keeps a station that iwd looks after from its network. Each says what to do, and none says a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IwdFault {
    /// There is no bus.
    #[error("iwd is spoken to over D-Bus, and that fails: {problem}")]
    NoBus {
        /// Why, with its causes.
        problem: String,
    },
    /// It is not on the bus.
    #[error("iwd does not run; install the package `iwd`, and start it: `systemctl enable --now iwd`")]
    NotRunning,
    /// It does not have the interface.
    #[error(
        "iwd does not take care of {interface}; is it a wireless interface, and does nothing else (NetworkManager, \
         wpa_supplicant) have it?"
    )]
    NoStation {
        /// Which interface.
        interface: String,
    },
    /// It refuses a request that it should not refuse.
    #[error("iwd does not do it ({problem}); `journalctl -u iwd` may say why")]
    Refused {
        /// The error's name and text.
        problem: String,
    },
    /// 802.1X is only joined by iwd as the user has written it down for iwd.
    #[error(
        "iwd joins \"{ssid}\" (802.1X) only by a file of yours, /var/lib/iwd/{ssid}.8021x; see iwd.network(5)"
    )]
    NotProvisioned {
        /// Which network.
        ssid: Ssid,
    },
    /// A WPA2 key instead of a passphrase.
    #[error(
        "iwd takes a passphrase for \"{ssid}\", and not the WPA2 key as 64 hex digits; give it the passphrase"
    )]
    KeyOnly {
        /// Which network.
        ssid: Ssid,
    },
    /// iwd knows networks by text.
    #[error("iwd joins no network whose name is not UTF-8, such as \"{ssid}\"; use wpa_supplicant")]
    NotText {
        /// Which network.
        ssid: Ssid,
    },
    /// WPA3 was demanded, and iwd has joined without it.
    #[error(
        "network \"{ssid}\" was joined by {security}, and is left again: the configuration wants WPA3 (sae)"
    )]
    NotWpa3 {
        /// Which network.
        ssid: Ssid,
        /// By what it was joined, in iwd's words.
        security: String,
    },
}
