//! The options of a message from a stranger: where they are, and what is in each.
//!
//! dhcproto's readers are not used, as for DHCPv4: one malformed value ends their work. What is malformed here is as if it
//! had not been sent, but for a message that ends in the middle of an option: of that, nothing is believed.

use std::net::Ipv6Addr;
use std::time::Duration;

/// The codes of what is read (RFC 8415 section 24, and the RFCs that are named).
pub(super) mod code {
    pub(crate) const CLIENT_ID: u16 = 1;
    pub(crate) const SERVER_ID: u16 = 2;
    pub(crate) const IA_NA: u16 = 3;
    pub(crate) const IA_ADDRESS: u16 = 5;
    pub(crate) const PREFERENCE: u16 = 7;
    pub(crate) const STATUS: u16 = 13;
    pub(crate) const RAPID_COMMIT: u16 = 14;
    /// RFC 3646.
    pub(crate) const DNS: u16 = 23;
    /// RFC 3646.
    pub(crate) const SEARCH: u16 = 24;
    pub(crate) const IA_PD: u16 = 25;
    pub(crate) const IA_PREFIX: u16 = 26;
    /// RFC 4075.
    pub(crate) const SNTP: u16 = 31;
    pub(crate) const REFRESH_TIME: u16 = 32;
    /// RFC 5908.
    pub(crate) const NTP: u16 = 56;
    pub(crate) const SOL_MAX_RT: u16 = 82;
    pub(crate) const INF_MAX_RT: u16 = 83;
}

/// The address of a time server, in option 56 (RFC 5908 section 4.1).
const NTP_SERVER: u16 = 1;

/// As many addresses of one kind as are taken; a message has room for more.
const MOST_ADDRESSES: usize = 8;

/// The options of a message, or of one of its options, in their order.
#[derive(Clone, Debug)]
pub(super) struct Values<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Values<'a> {
    /// `None` if the last one is not whole.
    pub(super) fn read(mut octets: &'a [u8]) -> Option<Self> {
        let mut values = Vec::new();
        while !octets.is_empty() {
            let (code, rest) = octets.split_first_chunk::<2>()?;
            let (length, rest) = rest.split_first_chunk::<2>()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            values.push((u16::from_be_bytes(*code), value));
            octets = rest;
        }
        Some(Self(values))
    }

    pub(super) fn all(&self, code: u16) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.0.iter().filter(move |(found, _)| *found == code).map(|(_, value)| *value)
    }

    /// The first of this code: of what is there once at most, others are a mistake.
    pub(super) fn octets(&self, code: u16) -> Option<&'a [u8]> {
        self.all(code).next()
    }

    pub(super) fn octet(&self, code: u16) -> Option<u8> {
        match self.octets(code)? {
            [octet] => Some(*octet),
            _ => None,
        }
    }

    pub(super) fn seconds(&self, code: u16) -> Option<u32> {
        Some(u32::from_be_bytes(self.octets(code)?.try_into().ok()?))
    }

    /// A longest wait, within the bounds of RFC 8415 sections 21.24 and 21.25.
    pub(super) fn longest_wait(&self, code: u16) -> Option<Duration> {
        let seconds = self.seconds(code).filter(|seconds| (60..=86400).contains(seconds))?;
        Some(Duration::from_secs(seconds.into()))
    }

    /// Name servers, or others, that can be reached wherever one is.
    pub(super) fn servers(&self, code: u16) -> Vec<Ipv6Addr> {
        servers(self.octets(code).unwrap_or_default())
    }

    /// Time servers with an address; those with a name are left out, because nobody would look it up.
    pub(super) fn time_servers(&self) -> Vec<Ipv6Addr> {
        let mut found = Vec::new();
        for suboptions in self.all(code::NTP).filter_map(Self::read) {
            found.extend(suboptions.all(NTP_SERVER).flat_map(servers));
        }
        found.extend(self.servers(code::SNTP));
        once(found.into_iter())
    }
}

fn servers(octets: &[u8]) -> Vec<Ipv6Addr> {
    let (groups, rest) = octets.as_chunks::<16>();
    let addresses = groups.iter().copied().map(Ipv6Addr::from).filter(|address| is_server(*address));
    if rest.is_empty() { once(addresses) } else { Vec::new() }
}

fn once(addresses: impl Iterator<Item = Ipv6Addr>) -> Vec<Ipv6Addr> {
    let mut list = Vec::new();
    for address in addresses {
        if list.len() < MOST_ADDRESSES && !list.contains(&address) {
            list.push(address);
        }
    }
    list
}

/// Can one station, near or far, have this address?
pub(super) fn is_server(address: Ipv6Addr) -> bool {
    !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_unicast_link_local()
        && address.to_ipv4_mapped().is_none()
}
