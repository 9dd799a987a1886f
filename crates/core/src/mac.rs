//! The 48-bit hardware address (EUI-48), the one address type of the whole project.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A 48-bit hardware address, printed as six pairs of lower-case hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff, every station on the segment.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Is this a group address (multicast or broadcast; IEEE 802, least significant bit of the first octet)?
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Can a single interface have this address: neither a group address nor all zeroes?
    pub fn is_station(self) -> bool {
        !self.is_group() && self.0 != [0; 6]
    }
}

/// The octets are not six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hardware address has six octets, not {0}")]
pub struct WrongLength(usize);

impl TryFrom<&[u8]> for MacAddr {
    type Error = WrongLength;

    fn try_from(octets: &[u8]) -> Result<Self, Self::Error> {
        octets.try_into().map(Self).map_err(|_| WrongLength(octets.len()))
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The text is not a hardware address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hardware address; expected six pairs of hex digits such as 02:00:5e:10:00:01")]
pub struct ParseMacAddrError(String);

impl FromStr for MacAddr {
    type Err = ParseMacAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseMacAddrError(text.to_owned());
        let mut octets = [0; 6];
        let mut pairs = text.split([':', '-']);
        for octet in &mut octets {
            let is_hex = |pair: &&str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            let pair = pairs.next().filter(is_hex).ok_or_else(error)?;
            *octet = u8::from_str_radix(pair, 16).map_err(|_| error())?;
        }
        if pairs.next().is_some() { Err(error()) } else { Ok(Self(octets)) }
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for MacAddr {
    type Error = ParseMacAddrError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        let mac: MacAddr = "02:00:5E:10:00:01".parse().expect("valid");
        assert_eq!(mac.to_string(), "02:00:5e:10:00:01");
        assert!(mac.is_station());
    }

    #[test]
    fn rejects_what_is_not_an_address() {
        for text in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:01:02",
            "2:0:5e:10:0:1",
            "02:00:5e:10:00:zz",
            "+2:00:5e:10:00:01",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn group_addresses() {
        assert!(MacAddr::BROADCAST.is_group());
        assert!(!MacAddr::default().is_station());
    }
}
