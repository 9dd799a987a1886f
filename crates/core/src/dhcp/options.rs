//! The options of a message from a stranger: where they are, and what is in each.
//!
//! dhcproto finds them; its readers of values are not used, because one malformed option ends its work there, and some
//! lengths make it panic. What is malformed here is as if it had not been sent.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::OptionCode;
use dhcproto::v4::borrowed::{DhcpOptionIterator, Message};

use super::lease::Route;

/// Where the fields are that may carry options, too (RFC 2131 figure 1).
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;

/// As many addresses of one kind, domains, or routes as are taken; a message has room for more.
const MOST_ADDRESSES: usize = 8;
const MOST_DOMAINS: usize = 16;
const MOST_ROUTES: usize = 64;

/// The longest domain name (RFC 1035 section 2.3.4), in text without the last dot.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// A pointer in a compressed name (RFC 1035 section 4.1.4) begins with these two bits.
const POINTER: u8 = 0xc0;

/// The least MTU that a host has to cope with (RFC 791).
const LEAST_MTU: u16 = 576;

/// All options of a message, by code. What is spread over several is one again (RFC 3396).
pub(super) struct Values(BTreeMap<u8, Vec<u8>>);

impl Values {
    /// Reads the options field, then the fields that it says carry more (RFC 2132 section 9.3).
    pub(super) fn of(message: &Message<'_>, payload: &[u8]) -> Self {
        let mut values = Self(BTreeMap::new());
        values.collect(message.opts());
        let overload = values.octet(OptionCode::OptionOverload).unwrap_or_default();
        for (bit, field) in [(1, FILE), (2, SNAME)] {
            if overload <= 3
                && overload & bit != 0
                && let Some(field) = payload.get(field)
            {
                values.collect(DhcpOptionIterator::new(field));
            }
        }
        values
    }

    fn collect(&mut self, options: DhcpOptionIterator<'_>) {
        for option in options {
            self.0.entry(option.code().into()).or_default().extend_from_slice(option.data());
        }
    }

    pub(super) fn octets(&self, code: OptionCode) -> Option<&[u8]> {
        self.0.get(&code.into()).map(Vec::as_slice)
    }

    fn array<const N: usize>(&self, code: OptionCode) -> Option<[u8; N]> {
        self.octets(code)?.try_into().ok()
    }

    pub(super) fn octet(&self, code: OptionCode) -> Option<u8> {
        self.array::<1>(code).map(|[octet]| octet)
    }

    pub(super) fn seconds(&self, code: OptionCode) -> Option<u32> {
        self.array(code).map(u32::from_be_bytes)
    }

    pub(super) fn duration(&self, code: OptionCode) -> Option<Duration> {
        self.seconds(code).map(|seconds| Duration::from_secs(seconds.into()))
    }

    pub(super) fn address(&self, code: OptionCode) -> Option<Ipv4Addr> {
        self.array::<4>(code).map(Ipv4Addr::from)
    }

    /// Those that one station can have, each once.
    pub(super) fn stations(&self, code: OptionCode) -> Vec<Ipv4Addr> {
        let (groups, rest) = self.octets(code).unwrap_or_default().as_chunks::<4>();
        let mut addresses = Vec::new();
        if rest.is_empty() {
            for address in groups.iter().copied().map(Ipv4Addr::from).filter(|address| is_station(*address)) {
                if addresses.len() < MOST_ADDRESSES && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        addresses
    }

    /// The length of the prefix that a netmask stands for.
    pub(super) fn prefix_len(&self) -> Option<u8> {
        let mask = u32::from(self.address(OptionCode::SubnetMask)?);
        let length = mask.leading_ones();
        (mask.count_ones() == length && length > 0).then(|| u8::try_from(length).ok())?
    }

    pub(super) fn mtu(&self) -> Option<u16> {
        let mtu = self.array(OptionCode::InterfaceMtu).map(u16::from_be_bytes);
        mtu.filter(|mtu| *mtu >= LEAST_MTU)
    }

    /// A name in plain text. Some servers end it with a zero.
    pub(super) fn name(&self, code: OptionCode) -> Option<String> {
        let octets = self.octets(code)?;
        let text = std::str::from_utf8(octets).ok()?.trim_end_matches('\0');
        let text = text.strip_suffix('.').unwrap_or(text);
        is_name(text).then(|| text.to_owned())
    }

    /// RFC 3397: names as in DNS messages, each of which may end in the rest of an earlier one.
    pub(super) fn search(&self) -> Vec<String> {
        names(self.octets(OptionCode::DomainSearch).unwrap_or_default())
    }

    /// RFC 3442: the length of a prefix, as many of its octets as count, a gateway. A default route lost from a
    /// malformed list would go unnoticed: all of it counts, or nothing.
    pub(super) fn routes(&self) -> Vec<Route> {
        let mut rest = self.octets(OptionCode::ClasslessStaticRoute).unwrap_or_default();
        let mut routes = Vec::new();
        while !rest.is_empty() {
            let Some((route, after)) = route(rest) else { return Vec::new() };
            rest = after;
            let sound = route.gateway.is_none_or(is_station);
            if sound && routes.len() < MOST_ROUTES && !routes.contains(&route) {
                routes.push(route);
            }
        }
        routes
    }
}

/// Can one station have this address: neither a group, nor this host, nor nobody, nor the reserved rest?
pub(super) fn is_station(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    (1..224).contains(&first) && !address.is_loopback()
}

/// A list of names as in DNS messages, each once; none where one of them is malformed.
pub(crate) fn names(octets: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    let mut at = 0;
    while at < octets.len() && names.len() < MOST_DOMAINS {
        let Some((name, next)) = compressed_name(octets, at) else { return Vec::new() };
        if is_name(&name) && !names.contains(&name) {
            names.push(name);
        }
        at = next;
    }
    names
}

/// The network part of an address.
pub(super) fn network(address: Ipv4Addr, prefix_len: u8) -> Ipv4Addr {
    let host_bits = 32u32.saturating_sub(prefix_len.into());
    let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
    Ipv4Addr::from(u32::from(address) & mask)
}

fn route(octets: &[u8]) -> Option<(Route, &[u8])> {
    let (&prefix_len, rest) = octets.split_first()?;
    if prefix_len > 32 {
        return None;
    }
    let (significant, rest) = rest.split_at_checked(usize::from(prefix_len).div_ceil(8))?;
    let (gateway, rest) = rest.split_first_chunk::<4>()?;
    let mut destination = [0; 4];
    destination.get_mut(..significant.len())?.copy_from_slice(significant);
    let gateway = Ipv4Addr::from(*gateway);
    let route = Route {
        destination: network(destination.into(), prefix_len),
        prefix_len,
        gateway: (!gateway.is_unspecified()).then_some(gateway),
    };
    Some((route, rest))
}

/// The name that begins here, and where the next one does. A pointer leads back only, so that there is an end.
fn compressed_name(octets: &[u8], start: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    let (mut at, mut earliest, mut next) = (start, start, None);
    loop {
        let length = *octets.get(at)?;
        if length & POINTER == POINTER {
            let low = *octets.get(at + 1)?;
            next.get_or_insert(at + 2);
            at = usize::from(u16::from_be_bytes([length & !POINTER, low]));
            if at >= earliest {
                return None;
            }
            earliest = at;
            continue;
        }
        let end = at + 1 + usize::from(length);
        if length == 0 {
            return Some((name, next.unwrap_or(end)));
        }
        let label = std::str::from_utf8(octets.get(at + 1..end)?).ok()?;
        if usize::from(length) > LONGEST_LABEL || label.contains('.') || name.len() > LONGEST_NAME {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(label);
        at = end;
    }
}

/// Only what cannot do harm wherever names are written: letters, digits, hyphens and underscores, between single dots.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
            && !label.starts_with('-')
    };
    text.len() <= LONGEST_NAME && text.split('.').all(is_label)
}
