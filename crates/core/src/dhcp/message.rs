//! What the client says: from its intent to the bytes.

use std::net::Ipv4Addr;

use dhcproto::v4::{
    DhcpOption, DhcpOptions, Flags, HType, MAGIC, MIN_PACKET_SIZE, MessageType, Opcode, OptionCode,
};
use dhcproto::{Encodable, Encoder, error::EncodeResult};

use super::identity::Options;
use crate::mac::MacAddr;

/// The longest message we take (option 57): what fits into a datagram of 1500 octets, the least common MTU, so that no
/// answer has to be put together of fragments. RFC 2131 section 2 has servers assume 576 otherwise: too short for long lists of routes.
pub(super) const LONGEST_MESSAGE: u16 = 1472;

/// What is asked for (option 55), most important first. Routes come before gateways (RFC 3442).
const WANTED: [OptionCode; 13] = [
    OptionCode::SubnetMask,
    OptionCode::ClasslessStaticRoute,
    OptionCode::Router,
    OptionCode::DomainNameServer,
    OptionCode::AddressLeaseTime,
    OptionCode::ServerIdentifier,
    OptionCode::Renewal,
    OptionCode::Rebinding,
    OptionCode::InterfaceMtu,
    OptionCode::DomainName,
    OptionCode::DomainSearch,
    OptionCode::NtpServers,
    OptionCode::Hostname,
];

/// A message of RFC 2131 table 5, with the addresses that its kind carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Who has an address for me, best this one?
    Discover { wanted: Option<Ipv4Addr> },
    /// I take this server's offer.
    Select { address: Ipv4Addr, server: Ipv4Addr },
    /// Is this address good here? (INIT-REBOOT)
    Reboot { address: Ipv4Addr },
    /// I would keep this address. To its server: RENEWING; to everyone: REBINDING.
    Extend { address: Ipv4Addr },
    /// Somebody else has this address.
    Decline { address: Ipv4Addr, server: Ipv4Addr },
    /// I need this address no more.
    Release { address: Ipv4Addr, server: Ipv4Addr },
}

/// What every message of a transaction has in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header<'a> {
    pub(super) options: &'a Options,
    /// The bond's address.
    pub(super) mac: MacAddr,
    pub(super) xid: u32,
    /// For how long an address has been sought, in seconds.
    pub(super) secs: u16,
}

impl Header<'_> {
    pub(super) fn chaddr(&self) -> MacAddr {
        self.options.chaddr.unwrap_or(self.mac)
    }
}

/// The message, ready to be sent; `None` if it cannot be put into bytes, which does not happen.
pub(super) fn encode(header: Header<'_>, message: Message) -> Option<Vec<u8>> {
    let mut buffer = Vec::with_capacity(MIN_PACKET_SIZE);
    write(header, message, &mut buffer).ok()?;
    // RFC 1542 section 2.1: relays may drop what is shorter than a BOOTP message.
    buffer.resize(buffer.len().max(MIN_PACKET_SIZE), 0);
    Some(buffer)
}

/// RFC 2131 figure 1. (dhcproto's own message draws an xid from the system before it can be given one: the core draws
/// its own.)
fn write(header: Header<'_>, message: Message, buffer: &mut Vec<u8>) -> EncodeResult<()> {
    let chaddr = header.chaddr();
    // We hear answers to an address that we do not have yet, but not frames to another hardware address than the
    // bond's: only then the answer has to be a broadcast (RFC 2131 section 4.1).
    let flags = if chaddr == header.mac { Flags::default() } else { Flags::default().set_broadcast() };
    let mut encoder = Encoder::new(buffer);
    Opcode::BootRequest.encode(&mut encoder)?;
    HType::Eth.encode(&mut encoder)?;
    encoder.write([6, 0])?;
    encoder.write_u32(header.xid)?;
    encoder.write_u16(header.secs)?;
    encoder.write_u16(flags.into())?;
    encoder.write(message.ciaddr().octets())?;
    // yiaddr, siaddr and giaddr are the server's.
    encoder.write([0; 12])?;
    encoder.write(chaddr.0)?;
    // The rest of chaddr, sname and file.
    encoder.write([0; 10 + 64 + 128])?;
    encoder.write(MAGIC)?;
    message.options(header).encode(&mut encoder)
}

impl Message {
    /// The address that we can be reached at already (RFC 2131 table 5).
    fn ciaddr(self) -> Ipv4Addr {
        match self {
            Self::Extend { address } | Self::Release { address, .. } => address,
            Self::Discover { .. } | Self::Select { .. } | Self::Reboot { .. } | Self::Decline { .. } => {
                Ipv4Addr::UNSPECIFIED
            }
        }
    }

    fn kind(self) -> MessageType {
        match self {
            Self::Discover { .. } => MessageType::Discover,
            Self::Select { .. } | Self::Reboot { .. } | Self::Extend { .. } => MessageType::Request,
            Self::Decline { .. } => MessageType::Decline,
            Self::Release { .. } => MessageType::Release,
        }
    }

    fn requested(self) -> Option<Ipv4Addr> {
        match self {
            Self::Discover { wanted } => wanted,
            Self::Select { address, .. } | Self::Reboot { address } | Self::Decline { address, .. } => {
                Some(address)
            }
            Self::Extend { .. } | Self::Release { .. } => None,
        }
    }

    fn server(self) -> Option<Ipv4Addr> {
        match self {
            Self::Select { server, .. } | Self::Decline { server, .. } | Self::Release { server, .. } => {
                Some(server)
            }
            Self::Discover { .. } | Self::Reboot { .. } | Self::Extend { .. } => None,
        }
    }

    /// Does the server answer with parameters?
    fn wants_answer(self) -> bool {
        match self {
            Self::Discover { .. } | Self::Select { .. } | Self::Reboot { .. } | Self::Extend { .. } => true,
            Self::Decline { .. } | Self::Release { .. } => false,
        }
    }

    fn options(self, header: Header<'_>) -> DhcpOptions {
        let mut options = DhcpOptions::new();
        options.insert(DhcpOption::MessageType(self.kind()));
        options.insert(DhcpOption::ClientIdentifier(header.options.client_id.octets(header.chaddr())));
        if let Some(address) = self.requested() {
            options.insert(DhcpOption::RequestedIpAddress(address));
        }
        if let Some(server) = self.server() {
            options.insert(DhcpOption::ServerIdentifier(server));
        }
        if self.wants_answer() {
            options.insert(DhcpOption::ParameterRequestList(WANTED.to_vec()));
            options.insert(DhcpOption::MaxMessageSize(LONGEST_MESSAGE));
            if let Some(name) = header.options.hostname() {
                options.insert(DhcpOption::Hostname(name.to_owned()));
            }
        }
        options
    }
}
