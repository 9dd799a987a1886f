//! An access point, as people want to see it.

use std::fmt;

use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;

use crate::wifi::supplicant::reply::Bss;

/// An access point in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPoint {
    /// The network's name; `None` where it keeps it to itself.
    pub ssid: Option<Ssid>,
    /// Its address.
    pub bssid: MacAddr,
    /// In dBm.
    pub signal_dbm: i16,
    /// In MHz.
    pub frequency_mhz: u32,
    /// How it is protected.
    pub protection: Protection,
}

/// How an access point is protected, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Not at all.
    Open,
    /// Encrypted, without a passphrase.
    Owe,
    /// WEP, or the first WPA: of no use to us.
    Obsolete,
    /// WPA2 with a passphrase.
    Wpa2,
    /// WPA3 with a passphrase.
    Wpa3,
    /// Both.
    Wpa2Wpa3,
    /// 802.1X.
    Enterprise,
}

impl Protection {
    /// By what wpa_supplicant writes of it: `[WPA2-PSK+SAE-CCMP][ESS]`.
    pub fn of(flags: &str) -> Self {
        let has = |word: &str| flags.contains(word);
        let modern = has("[WPA2-") || has("[RSN-");
        match () {
            () if has("OWE") && modern => Self::Owe,
            () if modern && has("EAP") => Self::Enterprise,
            () if modern && has("SAE") && has("PSK") => Self::Wpa2Wpa3,
            () if modern && has("SAE") => Self::Wpa3,
            () if modern => Self::Wpa2,
            () if has("[WPA-") || has("[WEP") => Self::Obsolete,
            () => Self::Open,
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Owe => "OWE",
            Self::Obsolete => "WEP/WPA",
            Self::Wpa2 => "WPA2",
            Self::Wpa3 => "WPA3",
            Self::Wpa2Wpa3 => "WPA2/WPA3",
            Self::Enterprise => "802.1X",
        })
    }
}

impl From<Bss> for AccessPoint {
    fn from(bss: Bss) -> Self {
        Self {
            ssid: bss.ssid,
            bssid: bss.bssid,
            signal_dbm: bss.signal_dbm,
            frequency_mhz: bss.frequency,
            protection: Protection::of(&bss.flags),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protections() {
        for (flags, protection) in [
            ("[ESS]", Protection::Open),
            ("[WEP][ESS]", Protection::Obsolete),
            ("[WPA-PSK-TKIP][ESS]", Protection::Obsolete),
            ("[WPA-PSK-CCMP][WPA2-PSK-CCMP][ESS]", Protection::Wpa2),
            ("[WPA2-PSK+SAE-CCMP][ESS]", Protection::Wpa2Wpa3),
            ("[WPA2-SAE-CCMP][SAE-H2E][ESS]", Protection::Wpa3),
            ("[RSN-OWE-CCMP][ESS]", Protection::Owe),
            ("[OWE-TRANS-OPEN][ESS]", Protection::Open),
            ("[WPA2-EAP-CCMP-preauth][ESS]", Protection::Enterprise),
        ] {
            assert_eq!(Protection::of(flags), protection, "{flags}");
        }
    }
}
