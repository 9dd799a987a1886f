//! Answers made by hand, octet by octet: right ones and wrong ones.

use std::net::Ipv4Addr;

use hitless_core::mac::MacAddr;

pub(crate) const OFFER: u8 = 2;
pub(crate) const ACK: u8 = 5;
pub(crate) const NAK: u8 = 6;

/// A server's message, with options in the order they are given.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) head: [u8; 4],
    pub(crate) xid: u32,
    pub(crate) yiaddr: Ipv4Addr,
    pub(crate) chaddr: MacAddr,
    pub(crate) sname: Vec<u8>,
    pub(crate) file: Vec<u8>,
    pub(crate) cookie: [u8; 4],
    pub(crate) options: Vec<u8>,
}

impl Packet {
    /// One that lends this address for an hour.
    pub(crate) fn lending(kind: u8, xid: u32, chaddr: MacAddr, address: [u8; 4], server: [u8; 4]) -> Self {
        let bare = Self {
            head: [2, 1, 6, 0],
            xid,
            yiaddr: address.into(),
            chaddr,
            sname: Vec::new(),
            file: Vec::new(),
            cookie: [99, 130, 83, 99],
            options: Vec::new(),
        };
        bare.with(53, &[kind]).with(54, &server).with(51, &3600u32.to_be_bytes()).with(1, &[255, 255, 255, 0])
    }

    /// With one more option.
    pub(crate) fn with(mut self, code: u8, value: &[u8]) -> Self {
        self.options.extend([code, u8::try_from(value.len()).unwrap()]);
        self.options.extend(value);
        self
    }

    /// With an option taken out.
    pub(crate) fn without(mut self, code: u8) -> Self {
        let mut rest = std::mem::take(&mut self.options).into_iter();
        while let (Some(found), Some(length)) = (rest.next(), rest.next()) {
            let value: Vec<u8> = rest.by_ref().take(length.into()).collect();
            if found != code {
                self = self.with(found, &value);
            }
        }
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.to_vec();
        bytes.extend(self.xid.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(self.yiaddr.octets());
        bytes.extend([0; 8]);
        bytes.extend(self.chaddr.0);
        bytes.extend([0; 10]);
        for (field, length) in [(&self.sname, 64), (&self.file, 128)] {
            let mut field = field.clone();
            field.resize(length, 0);
            bytes.extend(field);
        }
        bytes.extend(self.cookie);
        bytes.extend(&self.options);
        bytes.push(255);
        bytes
    }
}
