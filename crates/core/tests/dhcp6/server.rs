//! A server, written for clarity and by another's reading of the messages than the client's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use dhcproto::v6::{DhcpOption, DhcpOptions, Message, MessageType, OptionCode};
use dhcproto::{Decodable, Decoder};

use crate::packet::{ADVERTISE, Packet, REPLY, address, association, prefix, status};

const NO_ADDRS_AVAIL: u16 = 2;
const NO_BINDING: u16 = 3;
const NOT_ON_LINK: u16 = 4;

/// A DHCPv6 server.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) duid: Vec<u8>,
    pub(crate) from: Ipv6Addr,
    /// The network whose addresses it lends.
    pub(crate) net: u16,
    /// The last part of the first address.
    pub(crate) first: u16,
    pub(crate) preferred: u32,
    pub(crate) valid: u32,
    pub(crate) times: [u32; 2],
    pub(crate) preference: u8,
    /// Does it know of rapid commit?
    pub(crate) rapid: bool,
    /// Has it no addresses at all?
    pub(crate) stateless: bool,
    /// And does it not even say so?
    pub(crate) deaf: bool,
    /// The last but one part of the prefixes it delegates, if it does.
    pub(crate) delegates: Option<u16>,
    /// By client.
    pub(crate) lent: BTreeMap<Vec<u8>, Ipv6Addr>,
    pub(crate) declined: BTreeSet<Ipv6Addr>,
    pub(crate) released: BTreeSet<Ipv6Addr>,
    pub(crate) mute: bool,
    /// Does it refuse what it has offered?
    pub(crate) fickle: bool,
    /// Further options of its answers.
    pub(crate) more: Vec<(u16, Vec<u8>)>,
}

impl Server {
    /// One that lends fd00:`net`::100 and on for an hour.
    pub(crate) fn new(net: u16) -> Self {
        Self {
            duid: vec![0, 3, 0, 1, 2, 0, 0, 0, 0, net.to_be_bytes()[1]],
            from: [0xfe80, 0, 0, 0, 0, 0, 0, net + 1].into(),
            net,
            first: 0x100,
            preferred: 3600,
            valid: 7200,
            times: [0, 0],
            preference: 0,
            rapid: true,
            stateless: false,
            deaf: false,
            delegates: None,
            lent: BTreeMap::new(),
            declined: BTreeSet::new(),
            released: BTreeSet::new(),
            mute: false,
            fickle: false,
            more: Vec::new(),
        }
    }

    /// One that has a DUID of its own.
    pub(crate) fn named(mut self, octet: u8) -> Self {
        self.duid.push(octet);
        self.from = [0xfe80, 0, 0, 0, 0, 0, 1, u16::from(octet)].into();
        self
    }

    /// The address that it lends next.
    pub(crate) fn next(&self, client: &[u8]) -> Ipv6Addr {
        let known = self.lent.get(client).copied();
        known.unwrap_or_else(|| {
            let all = (self.first..).map(|last| Ipv6Addr::from([0xfd00, self.net, 0, 0, 0, 0, 0, last]));
            let mut free =
                all.filter(|one| !self.declined.contains(one) && self.lent.values().all(|lent| lent != one));
            free.next().unwrap()
        })
    }

    /// What it answers.
    pub(crate) fn answer(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let request = Message::decode(&mut Decoder::new(payload)).expect("a message");
        if self.mute {
            return None;
        }
        let options = request.opts();
        let Some(DhcpOption::ClientId(client)) = options.get(OptionCode::ClientId) else {
            panic!("no client identifier: {request:?}");
        };
        assert!(options.get(OptionCode::ElapsedTime).is_some(), "RFC 8415 section 21.9");
        let named = match options.get(OptionCode::ServerId) {
            Some(DhcpOption::ServerId(server)) => Some(server.clone()),
            _ => None,
        };
        let to_one = matches!(
            request.msg_type(),
            MessageType::Request | MessageType::Renew | MessageType::Decline | MessageType::Release
        );
        assert_eq!(named.is_some(), to_one, "RFC 8415 section 16");
        if named.is_some_and(|named| named != self.duid) {
            return None;
        }
        let mut reply = Packet::new(REPLY, request.xid_num(), client, &self.duid);
        for (code, value) in &self.more {
            reply = reply.with(*code, value);
        }
        let asked = Asked::of(options);
        match request.msg_type() {
            MessageType::Solicit if self.deaf => None,
            MessageType::Solicit => {
                if self.rapid && options.get(OptionCode::RapidCommit).is_some() && !self.stateless {
                    return Some(self.lend(reply.with(14, &[]), client, &asked).bytes());
                }
                reply.kind = ADVERTISE;
                let reply = reply.with(7, &[self.preference]);
                Some(self.offer(reply, client, &asked).bytes())
            }
            MessageType::Request if self.fickle => {
                let refusal = association(asked.iaid, [0, 0], &[status(NO_ADDRS_AVAIL)]);
                Some(reply.with(3, &refusal).bytes())
            }
            MessageType::Request if !asked.addresses.iter().all(|one| self.is_mine(*one)) => {
                Some(self.refuse(reply, NOT_ON_LINK))
            }
            MessageType::Request => Some(self.lend(reply, client, &asked).bytes()),
            MessageType::Confirm => {
                assert!(!asked.addresses.is_empty() && asked.delegation.is_none());
                let here = asked.addresses.iter().all(|one| self.is_mine(*one));
                Some(self.refuse(reply, if here { 0 } else { NOT_ON_LINK }))
            }
            MessageType::Renew => Some(self.prolong(reply, client, &asked).bytes()),
            MessageType::Rebind if asked.addresses.iter().all(|one| self.is_mine(*one)) => {
                // RFC 8415 section 18.3.5: one that does not know of it says nothing.
                self.lent.contains_key(client).then(|| self.prolong(reply, client, &asked).bytes())
            }
            // It is another link: taken back.
            MessageType::Rebind => {
                let back: Vec<_> = asked.addresses.iter().map(|one| address(*one, 0, 0)).collect();
                Some(reply.with(3, &association(asked.iaid, [0, 0], &back)).bytes())
            }
            MessageType::Decline => {
                self.declined.extend(&asked.addresses);
                self.lent.remove(client);
                Some(self.refuse(reply, 0))
            }
            MessageType::Release => {
                self.released.extend(&asked.addresses);
                self.lent.remove(client);
                Some(self.refuse(reply, 0))
            }
            MessageType::InformationRequest => Some(reply.bytes()),
            other => panic!("{other:?} from a client"),
        }
    }

    fn is_mine(&self, address: Ipv6Addr) -> bool {
        address.segments()[..2] == [0xfd00, self.net]
    }

    #[allow(clippy::unused_self, reason = "reads like the others")]
    fn refuse(&self, reply: Packet, number: u16) -> Vec<u8> {
        reply.with(13, &number.to_be_bytes()).bytes()
    }

    fn lend(&mut self, reply: Packet, client: &[u8], asked: &Asked) -> Packet {
        let address = self.next(client);
        self.lent.insert(client.to_vec(), address);
        self.offer(reply, client, asked)
    }

    fn offer(&self, mut reply: Packet, client: &[u8], asked: &Asked) -> Packet {
        let (preferred, valid) = (self.preferred, self.valid);
        reply = if self.stateless {
            reply.with(13, &NO_ADDRS_AVAIL.to_be_bytes())
        } else {
            let lent = address(self.next(client), preferred, valid);
            reply.with(3, &association(asked.iaid, self.times, &[lent]))
        };
        if let (Some(iaid), Some(part)) = (asked.delegation, self.delegates) {
            let lent = prefix([0x2001, 0xdb8, part, 0, 0, 0, 0, 0].into(), 56, preferred, valid);
            reply = reply.with(25, &association(iaid, self.times, &[lent]));
        }
        reply
    }

    fn prolong(&mut self, reply: Packet, client: &[u8], asked: &Asked) -> Packet {
        match self.lent.get(client) {
            Some(known) if asked.addresses.contains(known) || asked.addresses.is_empty() => {
                self.offer(reply, client, asked)
            }
            _ => reply.with(3, &association(asked.iaid, [0, 0], &[status(NO_BINDING)])),
        }
    }
}

/// What a message is about.
struct Asked {
    iaid: u32,
    addresses: Vec<Ipv6Addr>,
    delegation: Option<u32>,
}

impl Asked {
    fn of(options: &DhcpOptions) -> Self {
        let mut asked = Self { iaid: 0, addresses: Vec::new(), delegation: None };
        if let Some(DhcpOption::IANA(association)) = options.get(OptionCode::IANA) {
            asked.iaid = association.id;
            asked.addresses = association.opts.iter().filter_map(held).collect();
        }
        if let Some(DhcpOption::IAPD(association)) = options.get(OptionCode::IAPD) {
            asked.delegation = Some(association.id);
        }
        asked
    }
}

fn held(option: &DhcpOption) -> Option<Ipv6Addr> {
    match option {
        DhcpOption::IAAddr(address) => Some(address.addr),
        _ => None,
    }
}
