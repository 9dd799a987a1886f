//! Who the client is to a server, and what else it was told to do.

use crate::mac::MacAddr;

/// The type of a client identifier made of an IAID and a DUID (RFC 4361 section 6.1).
const TYPE_DUID: u8 = 0xff;
/// The type of one made of an Ethernet address (RFC 2132 section 9.14).
const TYPE_ETHERNET: u8 = 1;
/// The type of a DUID made of a UUID (RFC 6355 section 4).
const DUID_UUID: [u8; 2] = [0, 4];
/// The type of a DUID made of a hardware address, and that of Ethernet (RFC 8415 section 11.4).
const DUID_LL: [u8; 4] = [0, 3, 0, 1];
/// A DUID is a type of two octets and up to 128 more (RFC 8415 section 11.1).
const DUID_LENGTH: std::ops::RangeInclusive<usize> = 3..=130;
/// The longest host name (RFC 1123 section 2.1), which also fits into one option.
pub(crate) const LONGEST_HOSTNAME: usize = 253;

/// How the client works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whom the server takes the client for.
    pub client_id: ClientId,
    /// The hardware address in messages (`chaddr`), where it is not to be the bond's present one.
    pub chaddr: Option<MacAddr>,
    /// The name that the server is asked to put into its DNS. Longer than a host name may be, it is not sent.
    pub hostname: Option<String>,
    /// Ask whether anyone has a new address before it is used (RFC 5227 section 2.1.1): it takes 4 to 7 seconds.
    /// An address in use is watched over in either case.
    pub detect_conflicts: bool,
}

impl Options {
    pub(super) fn hostname(&self) -> Option<&str> {
        self.hostname.as_deref().filter(|name| !name.is_empty() && name.len() <= LONGEST_HOSTNAME)
    }

    /// Would a server take a client with these options for the same?
    pub(super) fn is_same_client(&self, other: &Self) -> bool {
        self.client_id == other.client_id && self.chaddr == other.chaddr
    }
}

/// Whom the server takes the client for: option 61, which is always sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientId {
    /// By interface and host (RFC 4361), so that the address stays when the bond's hardware address changes.
    Duid {
        /// Which interface of the host.
        iaid: u32,
        /// Which host.
        duid: Duid,
    },
    /// By the hardware address in the message, as most servers would without an identifier.
    Mac,
}

impl ClientId {
    /// The identifier made of an IAID and a DUID that these octets are (RFC 4361 section 6.1); `None`: it is of another kind.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let ([TYPE_DUID, iaid @ ..], duid) = octets.split_first_chunk::<5>()? else { return None };
        Some(Self::Duid { iaid: u32::from_be_bytes(*iaid), duid: Duid::new(duid).ok()? })
    }

    pub(super) fn octets(&self, chaddr: MacAddr) -> Vec<u8> {
        match self {
            Self::Duid { iaid, duid } => [&[TYPE_DUID][..], &iaid.to_be_bytes(), duid.octets()].concat(),
            Self::Mac => [&[TYPE_ETHERNET][..], &chaddr.0].concat(),
        }
    }
}

/// A DHCP unique identifier: names the host, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duid(Vec<u8>);

/// The octets cannot be a DUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a DUID has 3 to 130 octets (a type of two, then what it says), not {0}")]
pub struct BadDuid(usize);

impl Duid {
    /// A DUID made of a hardware address (RFC 8415 section 11.4).
    pub(crate) fn from_mac(mac: MacAddr) -> Self {
        Self([&DUID_LL[..], &mac.0].concat())
    }

    /// The DUID with these octets, its type first.
    ///
    /// # Errors
    ///
    /// If they are too few or too many.
    pub fn new(octets: impl Into<Vec<u8>>) -> Result<Self, BadDuid> {
        let octets = octets.into();
        if DUID_LENGTH.contains(&octets.len()) { Ok(Self(octets)) } else { Err(BadDuid(octets.len())) }
    }

    /// A DUID made of a UUID (RFC 6355).
    pub fn from_uuid(uuid: [u8; 16]) -> Self {
        Self([&DUID_UUID[..], &uuid].concat())
    }

    /// As it is sent.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}
