//! A server, written for clarity and by another's reading of the messages than the client's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable};

/// A DHCP server with a pool.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) id: Ipv4Addr,
    /// The addresses it lends: this one and those that follow.
    pub(crate) first: Ipv4Addr,
    pub(crate) size: u32,
    pub(crate) gateway: Ipv4Addr,
    /// In seconds.
    pub(crate) lease: u32,
    pub(crate) times: Option<(u32, u32)>,
    /// By client identifier.
    pub(crate) lent: BTreeMap<Vec<u8>, Ipv4Addr>,
    pub(crate) declined: BTreeSet<Ipv4Addr>,
    pub(crate) released: BTreeSet<Ipv4Addr>,
    /// Does it refuse what it does not know?
    pub(crate) authoritative: bool,
    pub(crate) mute: bool,
    /// Does it refuse what it has offered?
    pub(crate) fickle: bool,
}

impl Server {
    /// The server and gateway 10.0.`net`.1, which lends 10.0.`net`.100 and on.
    pub(crate) fn new(net: u8) -> Self {
        Self {
            id: [10, 0, net, 1].into(),
            first: [10, 0, net, 100].into(),
            size: 50,
            gateway: [10, 0, net, 1].into(),
            lease: 3600,
            times: None,
            lent: BTreeMap::new(),
            declined: BTreeSet::new(),
            released: BTreeSet::new(),
            authoritative: true,
            mute: false,
            fickle: false,
        }
    }

    /// What it answers to a message, sent to it alone or to everyone.
    pub(crate) fn answer(&mut self, payload: &[u8], to_everyone: bool) -> Option<Vec<u8>> {
        let request = Message::decode(&mut Decoder::new(payload)).expect("a message");
        assert_eq!(request.opcode(), Opcode::BootRequest);
        if self.mute {
            return None;
        }
        let options = request.opts();
        let Some(DhcpOption::ClientIdentifier(client)) = options.get(OptionCode::ClientIdentifier) else {
            panic!("no client identifier: {request:?}");
        };
        let named = match options.get(OptionCode::ServerIdentifier) {
            Some(DhcpOption::ServerIdentifier(server)) => Some(*server),
            _ => None,
        };
        let wanted = match options.get(OptionCode::RequestedIpAddress) {
            Some(DhcpOption::RequestedIpAddress(address)) => Some(*address),
            _ => None,
        };
        if named.is_some_and(|named| named != self.id) {
            return None;
        }
        let known = self.lent.get(client).copied();
        let reply = match options.msg_type().expect("a type") {
            MessageType::Discover => {
                assert!(to_everyone && request.ciaddr().is_unspecified());
                let address = known.or_else(|| self.free(wanted, client))?;
                self.lent.insert(client.clone(), address);
                (MessageType::Offer, address)
            }
            MessageType::Request => {
                let address = wanted.unwrap_or(request.ciaddr());
                assert_eq!(wanted.is_some(), request.ciaddr().is_unspecified(), "RFC 2131 table 4");
                match known {
                    Some(known) if known == address && !self.fickle => (MessageType::Ack, address),
                    None if !self.authoritative => return None,
                    _ => (MessageType::Nak, Ipv4Addr::UNSPECIFIED),
                }
            }
            MessageType::Decline => {
                self.declined.insert(wanted.expect("which"));
                self.lent.remove(client);
                return None;
            }
            MessageType::Release => {
                assert!(!to_everyone);
                self.released.insert(request.ciaddr());
                self.lent.remove(client);
                return None;
            }
            other => panic!("{other:?} from a client"),
        };
        Some(self.reply(&request, client, reply))
    }

    fn free(&self, wanted: Option<Ipv4Addr>, client: &[u8]) -> Option<Ipv4Addr> {
        let first = u32::from(self.first);
        let pool = (first..first + self.size).map(Ipv4Addr::from);
        let is_free = |address: &Ipv4Addr| {
            !self.declined.contains(address)
                && self.lent.iter().all(|(other, lent)| other == client || lent != address)
        };
        let wanted =
            wanted.filter(|wanted| pool.clone().any(|address| address == *wanted) && is_free(wanted));
        wanted.or_else(|| pool.clone().find(is_free))
    }

    fn reply(&self, request: &Message, client: &[u8], (kind, address): (MessageType, Ipv4Addr)) -> Vec<u8> {
        let mut reply = Message::new_with_id(
            request.xid(),
            request.ciaddr(),
            address,
            self.id,
            Ipv4Addr::UNSPECIFIED,
            request.chaddr(),
        );
        reply.set_opcode(Opcode::BootReply).set_flags(request.flags());
        let options = reply.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ServerIdentifier(self.id));
        options.insert(DhcpOption::ClientIdentifier(client.to_vec()));
        if kind != MessageType::Nak {
            options.insert(DhcpOption::AddressLeaseTime(self.lease));
            options.insert(DhcpOption::SubnetMask([255, 255, 255, 0].into()));
            options.insert(DhcpOption::Router(vec![self.gateway]));
            options.insert(DhcpOption::DomainNameServer(vec![self.gateway]));
            if let Some((renew, rebind)) = self.times {
                options.insert(DhcpOption::Renewal(renew));
                options.insert(DhcpOption::Rebinding(rebind));
            }
        }
        reply.to_vec().expect("bytes")
    }
}
