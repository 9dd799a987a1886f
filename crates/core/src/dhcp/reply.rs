//! What a server says: from bytes of a stranger to what the client may believe.

use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::Message;
use dhcproto::v4::{HType, MAGIC, Opcode, OptionCode};

use super::lease::{Lifetime, Parameters};
use super::options::{Values, is_station, network};
use crate::mac::MacAddr;

/// A lease of this many seconds has no end (RFC 2131 section 3.3).
const FOR_EVER: u32 = u32::MAX;

/// The messages of a server (RFC 2132 section 9.6).
const OFFER: u8 = 2;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// Where the magic cookie is (RFC 2131 section 3).
const COOKIE: std::ops::Range<usize> = 236..240;

/// A server's answer to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) xid: u32,
    pub(super) server: Ipv4Addr,
    pub(super) body: Body,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Offer(Result<Terms, Unacceptable>),
    Ack(Result<Terms, Unacceptable>),
    Nak,
}

/// What is lent, for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) parameters: Parameters,
    /// `None`: for ever.
    pub(super) lifetime: Option<Lifetime>,
    /// Did the server name no network, or nonsense?
    pub(super) guessed_mask: bool,
}

/// Why an offer or a lease is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// The address is one that no host can have.
    #[error("{0} is no address of a host")]
    Address(Ipv4Addr),
    /// It does not say how long the lease runs.
    #[error("it names no lease time")]
    NoLeaseTime,
    /// The lease is over before it could be renewed.
    #[error("a lease of {0} s is too short")]
    TooShort(u32),
}

/// Reads a datagram as an answer to the client with this hardware address and client identifier; `None` for everything
/// else: other clients' answers, BOOTP's, what is malformed.
pub(super) fn read(payload: &[u8], chaddr: MacAddr, client_id: &[u8]) -> Option<Reply> {
    let message = Message::new(payload).ok()?;
    // The length is looked at first: dhcproto takes the server's word for it.
    let for_us = message.hlen() == 6 && message.chaddr() == chaddr.0;
    if !for_us
        || message.opcode() != Opcode::BootReply
        || message.htype() != HType::Eth
        || payload.get(COOKIE) != Some(&MAGIC[..])
    {
        return None;
    }
    let values = Values::of(&message, payload);
    // RFC 6842 section 3.
    if values.octets(OptionCode::ClientIdentifier).is_some_and(|echo| echo != client_id) {
        return None;
    }
    // RFC 2131 table 3 wants it in each of these, and without it nobody knows whom to ask.
    let server = values.address(OptionCode::ServerIdentifier).filter(|server| is_station(*server))?;
    let body = match values.octet(OptionCode::MessageType)? {
        OFFER => Body::Offer(terms(message.yiaddr(), &values)),
        ACK => Body::Ack(terms(message.yiaddr(), &values)),
        NAK => Body::Nak,
        // What clients send, and what nobody knows.
        _ => return None,
    };
    Some(Reply { xid: message.xid(), server, body })
}

fn terms(address: Ipv4Addr, values: &Values) -> Result<Terms, Unacceptable> {
    let named = values.prefix_len();
    let prefix_len = named.unwrap_or_else(|| class(address));
    if !is_host(address, prefix_len) {
        return Err(Unacceptable::Address(address));
    }
    let routes = values.routes();
    let mut gateways = values.stations(OptionCode::Router);
    // RFC 3442: a router option is ignored then.
    gateways.retain(|gateway| routes.is_empty() && *gateway != address);
    let parameters = Parameters {
        address,
        prefix_len,
        gateways,
        routes,
        mtu: values.mtu(),
        dns: values.stations(OptionCode::DomainNameServer),
        domain: values.name(OptionCode::DomainName),
        search: values.search(),
        ntp: values.stations(OptionCode::NtpServers),
        hostname: values.name(OptionCode::Hostname),
    };
    Ok(Terms { parameters, lifetime: lifetime(values)?, guessed_mask: named.is_none() })
}

fn lifetime(values: &Values) -> Result<Option<Lifetime>, Unacceptable> {
    let seconds = values.seconds(OptionCode::AddressLeaseTime).ok_or(Unacceptable::NoLeaseTime)?;
    let total = std::time::Duration::from_secs(seconds.into());
    if seconds == FOR_EVER {
        return Ok(None);
    }
    if total < Lifetime::SHORTEST {
        return Err(Unacceptable::TooShort(seconds));
    }
    let [renew, rebind] = [OptionCode::Renewal, OptionCode::Rebinding].map(|code| values.duration(code));
    Ok(Some(Lifetime::with(total, renew, rebind)))
}

/// Can a host of this network have this address? Its first address is the network's, its last everyone's, where it has
/// more than two (RFC 1122 section 3.2.1.3, RFC 3021).
pub(super) fn is_host(address: Ipv4Addr, prefix_len: u8) -> bool {
    let host_bits = match prefix_len {
        1..=30 => u32::MAX >> prefix_len,
        31 | 32 => return is_station(address),
        _ => return false,
    };
    let host = u32::from(address) & host_bits;
    is_station(address) && network(address, prefix_len) != address && host != host_bits
}

/// The network of an address whose server names none, by its class (RFC 950 section 2.1): servers that leave the mask out
/// are as old as that, and mean it. To refuse would leave the host without any address.
fn class(address: Ipv4Addr) -> u8 {
    match address.octets() {
        [0..=127, ..] => 8,
        [128..=191, ..] => 16,
        [192..=255, ..] => 24,
    }
}
