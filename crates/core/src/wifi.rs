//! What the machine knows of Wi-Fi: the network that a station has joined, and how well it hears it.
//!
//! Who makes it join, and how that is found out, is not the machine's business.

use std::fmt;

use crate::mac::MacAddr;

/// The longest name of a network, in octets (IEEE 802.11, 9.4.2.2).
pub const MAX_SSID: usize = 32;

/// The name of a Wi-Fi network: 1 to 32 octets, by custom UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssid(Vec<u8>);

impl Ssid {
    /// A name from its octets; `None` where these are none, or more than [`MAX_SSID`].
    pub fn new(octets: impl Into<Vec<u8>>) -> Option<Self> {
        let octets = octets.into();
        (1..=MAX_SSID).contains(&octets.len()).then_some(Self(octets))
    }

    /// The octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// As text; what is not UTF-8, and what a terminal might obey, is escaped.
impl fmt::Display for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
            for octet in chunk.invalid() {
                write!(f, "\\x{octet:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// The access point that a station has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// The network; `None` where the kernel does not say.
    pub ssid: Option<Ssid>,
    /// The access point.
    pub bssid: MacAddr,
}

/// How a station hears its access point, and is heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reception {
    /// In dBm, averaged by the driver.
    pub signal_dbm: Option<i8>,
    /// What it sends with, in Mbit/s.
    pub rate_mbps: Option<u32>,
}

/// A station, as far as anybody has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// Whether it has an access point.
    pub state: StationState,
    /// How it hears it.
    pub reception: Reception,
}

/// Whether a station has an access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StationState {
    /// It has joined one.
    Joined(Association),
    /// It has joined one which is not heard any more: no beacons, and nothing that is sent is acknowledged.
    Silent(Association),
    /// It has none, or is on its way from one to the next.
    Away,
    /// It has none: the last one sent it away, or was given up.
    Deauthenticated,
}

impl StationState {
    /// The access point that it has joined.
    pub fn association(&self) -> Option<&Association> {
        match self {
            Self::Joined(association) | Self::Silent(association) => Some(association),
            Self::Away | Self::Deauthenticated => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_harmlessly() {
        let shown = |octets: &[u8]| Ssid::new(octets).map(|ssid| ssid.to_string());
        assert_eq!(shown("Café 5G".as_bytes()).as_deref(), Some("Café 5G"));
        assert_eq!(shown(b"a\x1b[2Jb").as_deref(), Some("a\\u{1b}[2Jb"));
        assert_eq!(shown(b"\xff\x00x").as_deref(), Some("\\xff\\u{0}x"));
        assert_eq!(shown(b""), None);
        assert_eq!(shown(&[b'x'; 33]), None);
    }
}
