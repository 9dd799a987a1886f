//! What the client says: from its intent to the bytes.

use std::net::Ipv6Addr;

use dhcproto::v6::{
    DhcpOption, DhcpOptions, IAAddr, IANA, IAPD, IAPrefix, MessageType, ORO, OptionCode, UnknownOption,
};
use dhcproto::{Encodable, Encoder, error::EncodeResult};

use super::lease::Prefix;
use crate::dhcp::Duid;

/// What is asked for (option 6) together with addresses.
const WANTED: [OptionCode; 5] = [
    OptionCode::DomainNameServers,
    OptionCode::DomainSearchList,
    OptionCode::SntpServers,
    OptionCode::NtpServer,
    OptionCode::SolMaxRt,
];
/// And where there are none (RFC 8415 section 18.2.6).
const WANTED_ALONE: [OptionCode; 2] = [OptionCode::InformationRefreshTime, OptionCode::InfMaxRt];

/// The server is to put the name into its DNS (RFC 4704 section 4.1: the bit S).
const SERVER_UPDATES: u8 = 1;
/// The longest label of a name (RFC 1035 section 2.3.4).
const LONGEST_LABEL: usize = 63;

/// A message of RFC 8415 section 7.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Who has an address for me, best these?
    Solicit(Claim),
    /// I take this server's offer.
    Request(Claim, Duid),
    /// Are these addresses good here?
    Confirm(Claim),
    /// I would keep these; to their server.
    Renew(Claim, Duid),
    /// I would keep these; to everyone.
    Rebind(Claim),
    /// Somebody else has these addresses.
    Decline(Claim, Duid),
    /// I need these no more.
    Release(Claim, Duid),
    /// What else do you know?
    InformationRequest,
}

/// The addresses and prefixes that a message is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) addresses: Vec<Ipv6Addr>,
    pub(super) prefixes: Vec<Prefix>,
}

/// What every message of a client has in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    pub(super) duid: &'a Duid,
    pub(super) iaid: u32,
    pub(super) hostname: Option<&'a str>,
    /// Are prefixes asked for?
    pub(super) delegation: bool,
    pub(super) xid: u32,
    /// For how long an answer has been sought, in hundredths of a second.
    pub(super) elapsed: u16,
}

/// The message, ready to be sent; `None` if it cannot be put into bytes, which does not happen.
pub(super) fn encode(header: Header<'_>, message: &Message) -> Option<Vec<u8>> {
    let mut buffer = Vec::new();
    write(header, message, &mut buffer).ok()?;
    Some(buffer)
}

/// RFC 8415 section 8. (dhcproto's own message is not used, for it draws an xid of its own.)
fn write(header: Header<'_>, message: &Message, buffer: &mut Vec<u8>) -> EncodeResult<()> {
    let mut encoder = Encoder::new(buffer);
    let [_, xid @ ..] = header.xid.to_be_bytes();
    encoder.write_u8(message.kind().into())?;
    encoder.write(xid)?;
    message.options(header).encode(&mut encoder)
}

impl Message {
    fn kind(&self) -> MessageType {
        match self {
            Self::Solicit(_) => MessageType::Solicit,
            Self::Request(..) => MessageType::Request,
            Self::Confirm(_) => MessageType::Confirm,
            Self::Renew(..) => MessageType::Renew,
            Self::Rebind(_) => MessageType::Rebind,
            Self::Decline(..) => MessageType::Decline,
            Self::Release(..) => MessageType::Release,
            Self::InformationRequest => MessageType::InformationRequest,
        }
    }

    fn claim(&self) -> Option<&Claim> {
        match self {
            Self::Solicit(claim)
            | Self::Request(claim, _)
            | Self::Confirm(claim)
            | Self::Renew(claim, _)
            | Self::Rebind(claim)
            | Self::Decline(claim, _)
            | Self::Release(claim, _) => Some(claim),
            Self::InformationRequest => None,
        }
    }

    fn server(&self) -> Option<&Duid> {
        match self {
            Self::Request(_, server)
            | Self::Renew(_, server)
            | Self::Decline(_, server)
            | Self::Release(_, server) => Some(server),
            Self::Solicit(_) | Self::Confirm(_) | Self::Rebind(_) | Self::InformationRequest => None,
        }
    }

    /// Is it to get, or to keep, something?
    fn asks(&self) -> bool {
        match self {
            Self::Solicit(_) | Self::Request(..) | Self::Renew(..) | Self::Rebind(_) => true,
            Self::Confirm(_) | Self::Decline(..) | Self::Release(..) | Self::InformationRequest => false,
        }
    }

    fn options(&self, header: Header<'_>) -> DhcpOptions {
        let mut options = DhcpOptions::new();
        options.insert(DhcpOption::ClientId(header.duid.octets().to_vec()));
        options.insert(DhcpOption::ElapsedTime(header.elapsed));
        if let Some(server) = self.server() {
            options.insert(DhcpOption::ServerId(server.octets().to_vec()));
        }
        if let Some(claim) = self.claim() {
            if self.asks() || !claim.addresses.is_empty() {
                options.insert(addresses(header.iaid, &claim.addresses));
            }
            if self.asks() && header.delegation || !claim.prefixes.is_empty() {
                options.insert(prefixes(header.iaid, &claim.prefixes));
            }
        }
        if matches!(self, Self::Solicit(_)) {
            options.insert(DhcpOption::RapidCommit);
        }
        let alone = matches!(self, Self::InformationRequest);
        if self.asks() || alone {
            let wanted = WANTED.iter().chain(WANTED_ALONE.iter().filter(|_| alone));
            options.insert(DhcpOption::ORO(ORO { opts: wanted.copied().collect() }));
        }
        if self.asks()
            && let Some(name) = header.hostname.and_then(fqdn)
        {
            options.insert(DhcpOption::Unknown(UnknownOption::new(OptionCode::ClientFqdn, name)));
        }
        options
    }
}

/// Lifetimes and times are the server's to say (RFC 8415 section 18.2.1).
fn addresses(id: u32, addresses: &[Ipv6Addr]) -> DhcpOption {
    let address = |addr: &Ipv6Addr| {
        DhcpOption::IAAddr(IAAddr { addr: *addr, preferred_life: 0, valid_life: 0, opts: DhcpOptions::new() })
    };
    DhcpOption::IANA(IANA { id, t1: 0, t2: 0, opts: addresses.iter().map(address).collect() })
}

fn prefixes(id: u32, prefixes: &[Prefix]) -> DhcpOption {
    let prefix = |prefix: &Prefix| {
        DhcpOption::IAPrefix(IAPrefix {
            preferred_lifetime: 0,
            valid_lifetime: 0,
            prefix_len: prefix.length,
            prefix_ip: prefix.address,
            opts: DhcpOptions::new(),
        })
    };
    DhcpOption::IAPD(IAPD { id, t1: 0, t2: 0, opts: prefixes.iter().map(prefix).collect() })
}

/// RFC 4704 section 4: flags, then labels. A name without dots is to be completed by the server, and has no end.
fn fqdn(name: &str) -> Option<Vec<u8>> {
    let mut octets = vec![SERVER_UPDATES];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|_| (1..=LONGEST_LABEL).contains(&label.len()))?;
        octets.push(length);
        octets.extend(label.as_bytes());
    }
    if name.contains('.') {
        octets.push(0);
    }
    Some(octets)
}
