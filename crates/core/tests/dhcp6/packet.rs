//! Answers made by hand, octet by octet: right ones and wrong ones.

use std::net::Ipv6Addr;

pub(crate) const ADVERTISE: u8 = 2;
pub(crate) const REPLY: u8 = 7;

/// A server's message, with options in the order they are given.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) kind: u8,
    pub(crate) xid: u32,
    pub(crate) options: Vec<u8>,
}

impl Packet {
    /// One to this client, from the server with this DUID.
    pub(crate) fn new(kind: u8, xid: u32, client: &[u8], server: &[u8]) -> Self {
        Self { kind, xid, options: Vec::new() }.with(1, client).with(2, server)
    }

    /// With one more option.
    pub(crate) fn with(mut self, code: u16, value: &[u8]) -> Self {
        self.options.extend(option(code, value));
        self
    }

    /// With an option taken out.
    pub(crate) fn without(mut self, code: u16) -> Self {
        let octets = std::mem::take(&mut self.options);
        let mut rest = octets.as_slice();
        while let Some((head, after)) = rest.split_first_chunk::<4>() {
            let [a, b, c, d] = *head;
            let (value, after) = after.split_at(u16::from_be_bytes([c, d]).into());
            if u16::from_be_bytes([a, b]) != code {
                self = self.with(u16::from_be_bytes([a, b]), value);
            }
            rest = after;
        }
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let [_, xid @ ..] = self.xid.to_be_bytes();
        [&[self.kind][..], &xid, &self.options].concat()
    }
}

pub(crate) fn option(code: u16, value: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

/// An IA_NA or IA_PD (option 3 or 25) with these contents.
pub(crate) fn association(iaid: u32, times: [u32; 2], contents: &[Vec<u8>]) -> Vec<u8> {
    let [t1, t2] = times.map(u32::to_be_bytes);
    [&iaid.to_be_bytes()[..], &t1, &t2, &contents.concat()].concat()
}

/// An IAADDR.
pub(crate) fn address(address: Ipv6Addr, preferred: u32, valid: u32) -> Vec<u8> {
    option(5, &[&address.octets()[..], &preferred.to_be_bytes(), &valid.to_be_bytes()].concat())
}

/// An IAPREFIX.
pub(crate) fn prefix(address: Ipv6Addr, length: u8, preferred: u32, valid: u32) -> Vec<u8> {
    let value = [&preferred.to_be_bytes()[..], &valid.to_be_bytes(), &[length], &address.octets()].concat();
    option(26, &value)
}

/// A status code.
pub(crate) fn status(number: u16) -> Vec<u8> {
    option(13, &number.to_be_bytes())
}
