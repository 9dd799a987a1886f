//! The frames that a bond sends and understands itself: probes and peer notifications, for IPv4 (ARP) and IPv6 (ND).
//!
//! Formats are smoltcp's; what is here is which fields they carry. Probes have no sender address (RFC 5227
//! section 2.1.1, RFC 4861 section 4.3), so nobody's neighbour cache learns from them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
};

use crate::mac::MacAddr;

/// All nodes on the link (RFC 4291 section 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Whom a question goes to whose answer nobody knows: an owner that is to be found.
const EVERYONE: Option<MacAddr> = None;

/// Where the 802.1Q tag goes: behind the two addresses.
const TAG_OFFSET: usize = 12;

/// What a frame that was heard says about the path it came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The owner of an address answers.
    Answer {
        /// The address.
        from: IpAddr,
        /// Who has it.
        owner: MacAddr,
        /// Whom the answer is for; a group address where it is for everyone.
        to: MacAddr,
    },
    /// Someone asks for an address.
    Question {
        /// The address.
        about: IpAddr,
        /// Who asks.
        asker: MacAddr,
    },
}

/// A question for the owner of `target`, sent by `source`, to be answered to `answer_to`.
///
/// The answer to an ARP request goes to the address inside it, not to the frame's sender. The answer to a neighbour
/// solicitation without a sender address goes to all nodes (RFC 4861 section 7.2.4); `answer_to` means nothing there.
pub fn probe(source: MacAddr, answer_to: MacAddr, target: IpAddr) -> Vec<u8> {
    match target {
        IpAddr::V4(target) => arp(source, answer_to, Ipv4Addr::UNSPECIFIED, EVERYONE, target),
        IpAddr::V6(target) => {
            let group = solicited_node(target);
            let question = NdiscRepr::NeighborSolicit { target_addr: target, lladdr: None };
            nd(source, Ipv6Addr::UNSPECIFIED, group, question)
        }
    }
}

/// The announcement that `address` is at `mac`: gratuitous ARP (RFC 5227 section 3) or an unsolicited
/// neighbour advertisement (RFC 4861 section 7.2.6).
pub fn announcement(mac: MacAddr, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(mac, mac, address, EVERYONE, address),
        IpAddr::V6(address) => {
            let here = NdiscRepr::NeighborAdvert {
                flags: NdiscNeighborFlags::OVERRIDE,
                target_addr: address,
                lladdr: Some(ethernet(mac).into()),
            };
            nd(mac, address, ALL_NODES, here)
        }
    }
}

/// A frame that says nothing to anyone, but teaches switches where `source` is: an ARP request that nobody answers.
pub fn lesson(source: MacAddr) -> Vec<u8> {
    arp(source, source, Ipv4Addr::UNSPECIFIED, EVERYONE, Ipv4Addr::UNSPECIFIED)
}

/// An ARP request for `target` by the owner of `address`; only to `owner`, where that is known to have had it: whoever
/// else may hear it shall not learn from it (RFC 4436 section 2.1).
pub fn request(mac: MacAddr, address: Ipv4Addr, owner: Option<MacAddr>, target: Ipv4Addr) -> Vec<u8> {
    arp(mac, mac, address, owner, target)
}

/// `frame` with an 802.1Q tag.
pub fn tagged(frame: &[u8], vlan: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(TAG_OFFSET.min(frame.len()));
    [addresses, &[0x81, 0x00], &vlan.to_be_bytes(), rest].concat()
}

/// The addresses in an ARP packet: what RFC 5227 tells conflicts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Is it an answer, and not a question?
    pub is_answer: bool,
    /// Who says so.
    pub sender: MacAddr,
    /// Which address is said to be the sender's; unspecified in a probe.
    pub address: Ipv4Addr,
    /// Which address is asked for, or whose question is answered.
    pub target: Ipv4Addr,
}

/// Reads an untagged ARP request or answer; `None` for every other frame, and for malformed ones.
pub fn claim(frame: &[u8]) -> Option<Claim> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = ArpPacket::new_checked(frame.payload())
        .ok()
        .filter(|_| frame.ethertype() == EthernetProtocol::Arp)?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_protocol_addr,
        ..
    } = ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    let is_answer = match operation {
        ArpOperation::Reply => true,
        ArpOperation::Request => false,
        ArpOperation::Unknown(_) => return None,
    };
    let sender = mac(source_hardware_addr);
    Some(Claim { is_answer, sender, address: source_protocol_addr, target: target_protocol_addr })
}

/// Reads an untagged ARP or neighbour discovery frame; `None` for every other, and for malformed ones.
pub fn hear(frame: &[u8]) -> Option<Heard> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Arp => hear_arp(frame.payload()),
        EthernetProtocol::Ipv6 => hear_nd(mac(frame.src_addr()), mac(frame.dst_addr()), frame.payload()),
        EthernetProtocol::Ipv4 | EthernetProtocol::Unknown(_) => None,
    }
}

fn hear_arp(payload: &[u8]) -> Option<Heard> {
    let packet = ArpPacket::new_checked(payload).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr,
        target_protocol_addr,
    } = ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    match operation {
        ArpOperation::Reply => Some(Heard::Answer {
            from: source_protocol_addr.into(),
            owner: mac(source_hardware_addr),
            to: mac(target_hardware_addr),
        }),
        ArpOperation::Request => {
            Some(Heard::Question { about: target_protocol_addr.into(), asker: mac(source_hardware_addr) })
        }
        ArpOperation::Unknown(_) => None,
    }
}

fn hear_nd(source: MacAddr, destination: MacAddr, payload: &[u8]) -> Option<Heard> {
    let packet = Ipv6Packet::new_checked(payload).ok()?;
    // RFC 4861 section 7.1: a hop limit other than 255 means that it was not sent on this link.
    if packet.next_header() != IpProtocol::Icmpv6 || packet.hop_limit() != 255 {
        return None;
    }
    let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    let Icmpv6Repr::Ndisc(message) =
        Icmpv6Repr::parse(&from, &to, &message, &ChecksumCapabilities::default()).ok()?
    else {
        return None;
    };
    match message {
        NdiscRepr::NeighborAdvert { target_addr, lladdr, .. } => {
            let owner = lladdr.and_then(|address| MacAddr::try_from(address.as_bytes()).ok());
            let owner = owner.unwrap_or(source);
            Some(Heard::Answer { from: target_addr.into(), owner, to: destination })
        }
        NdiscRepr::NeighborSolicit { target_addr, .. } => {
            Some(Heard::Question { about: target_addr.into(), asker: source })
        }
        NdiscRepr::RouterSolicit { .. } | NdiscRepr::RouterAdvert { .. } | NdiscRepr::Redirect { .. } => None,
    }
}

fn arp(
    source: MacAddr,
    sender: MacAddr,
    sender_address: Ipv4Addr,
    owner: Option<MacAddr>,
    target: Ipv4Addr,
) -> Vec<u8> {
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: ethernet(sender),
        source_protocol_addr: sender_address,
        target_hardware_addr: ethernet(owner.unwrap_or_default()),
        target_protocol_addr: target,
    };
    let destination = owner.unwrap_or(MacAddr::BROADCAST);
    frame(source, destination, EthernetProtocol::Arp, request.buffer_len(), |payload| {
        request.emit(&mut ArpPacket::new_unchecked(payload));
    })
}

fn nd(source: MacAddr, from: Ipv6Addr, to: Ipv6Addr, message: NdiscRepr<'_>) -> Vec<u8> {
    let message = Icmpv6Repr::Ndisc(message);
    let header = Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let length = header.buffer_len() + message.buffer_len();
    frame(source, multicast(to), EthernetProtocol::Ipv6, length, |payload| {
        let mut packet = Ipv6Packet::new_unchecked(payload);
        header.emit(&mut packet);
        let mut body = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&from, &to, &mut body, &ChecksumCapabilities::default());
    })
}

fn frame(
    source: MacAddr,
    destination: MacAddr,
    ethertype: EthernetProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let header = EthernetRepr { src_addr: ethernet(source), dst_addr: ethernet(destination), ethertype };
    let mut buffer = vec![0; header.buffer_len() + length];
    let mut frame = EthernetFrame::new_unchecked(buffer.as_mut_slice());
    header.emit(&mut frame);
    fill(frame.payload_mut());
    buffer
}

/// RFC 4291 section 2.7.1.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

/// RFC 2464 section 7.
fn multicast(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr([0x33, 0x33, a, b, c, d])
}

fn ethernet(mac: MacAddr) -> EthernetAddress {
    EthernetAddress(mac.0)
}

fn mac(address: EthernetAddress) -> MacAddr {
    MacAddr(address.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    #[test]
    fn probes_are_questions_without_a_sender() {
        for target in ["192.0.2.1", "2001:db8::1:2:3"] {
            let target: IpAddr = target.parse().expect("valid");
            let frame = probe(US, US, target);
            assert_eq!(hear(&frame), Some(Heard::Question { about: target, asker: US }));
            let sender = if target.is_ipv4() { &frame[28..32] } else { &frame[22..38] };
            assert!(sender.iter().all(|octet| *octet == 0), "{frame:x?}");
        }
    }

    #[test]
    fn a_solicitation_goes_to_the_solicited_node() {
        let frame = probe(US, US, "2001:db8::1:2:3".parse().expect("valid"));
        assert_eq!(frame[..6], [0x33, 0x33, 0xff, 2, 0, 3]);
    }

    #[test]
    fn an_advertisement_is_an_answer_to_everyone() {
        let address: IpAddr = "fe80::1".parse().expect("valid");
        let to = MacAddr([0x33, 0x33, 0, 0, 0, 1]);
        assert_eq!(hear(&announcement(US, address)), Some(Heard::Answer { from: address, owner: US, to }));
    }

    #[test]
    fn gratuitous_arp_names_its_sender_twice() {
        let frame = announcement(US, "192.0.2.5".parse().expect("valid"));
        assert_eq!(frame[28..32], [192, 0, 2, 5]);
        assert_eq!(frame[38..42], [192, 0, 2, 5]);
    }

    #[test]
    fn a_request_goes_to_the_owner_only_if_there_is_one() {
        let [us, target] = [Ipv4Addr::new(192, 0, 2, 5), Ipv4Addr::new(192, 0, 2, 1)];
        let owner = MacAddr([2, 0, 0, 0, 0, 9]);
        let expected = Claim { is_answer: false, sender: US, address: us, target };
        let unicast = request(US, us, Some(owner), target);
        assert_eq!((&unicast[..6], &unicast[32..38]), (&owner.0[..], &owner.0[..]));
        assert_eq!(claim(&unicast), Some(expected));
        let broadcast = request(US, us, None, target);
        assert_eq!((&broadcast[..6], &broadcast[32..38]), (&[0xff; 6][..], &[0; 6][..]));
        assert_eq!(claim(&broadcast), Some(expected));
    }

    #[test]
    fn a_tag_goes_behind_the_addresses() {
        let frame = announcement(US, "192.0.2.5".parse().expect("valid"));
        let tagged = tagged(&frame, 10);
        assert_eq!(tagged[12..18], [0x81, 0, 0, 10, 8, 6]);
        assert_eq!(hear(&tagged), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_heard_disturbs(frame in prop::collection::vec(any::<u8>(), 0..120)) {
            hear(&frame);
            claim(&frame);
        }

        #[test]
        fn damaged_frames_do_not_disturb(at in 0usize..86, value: u8, cut in 0usize..86, v6: bool) {
            let target = if v6 { "2001:db8::1" } else { "192.0.2.1" };
            let mut frame = announcement(US, target.parse().expect("valid"));
            if let Some(octet) = frame.get_mut(at) { *octet = value; }
            hear(&frame);
            hear(&frame[..cut.min(frame.len())]);
            claim(&frame[..cut.min(frame.len())]);
        }
    }
}
