//! UDP datagrams in frames: how a DHCP client speaks while it has no address, and how it hears.
//!
//! Formats are smoltcp's (RFC 768, RFC 791).

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, Ipv4Packet,
    Ipv4Repr, UdpPacket, UdpRepr,
};

use crate::mac::MacAddr;

/// The port of DHCP clients, and that of servers (RFC 2131 section 4.1).
pub const CLIENT_PORT: u16 = 68;
/// The port of DHCP servers.
pub const SERVER_PORT: u16 = 67;

/// How far it may go: beyond the link, a relay sends another datagram.
const HOP_LIMIT: u8 = 64;

/// A frame from someone without an address, for every DHCP server on the link.
pub fn broadcast(source: MacAddr, payload: &[u8]) -> Vec<u8> {
    let checksums = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: CLIENT_PORT, dst_port: SERVER_PORT };
    let ip = Ipv4Repr {
        src_addr: Ipv4Addr::UNSPECIFIED,
        dst_addr: Ipv4Addr::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + payload.len(),
        hop_limit: HOP_LIMIT,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(source.0),
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Ipv4,
    };
    let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + ip.payload_len];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(packet.payload_mut()),
        &IpAddress::Ipv4(ip.src_addr),
        &IpAddress::Ipv4(ip.dst_addr),
        payload.len(),
        |buffer| buffer.copy_from_slice(payload),
        &checksums,
    );
    bytes
}

/// What a frame has for a DHCP client, and who sent it; `None` where it is something else.
///
/// The UDP checksum is not looked at: what comes from the same machine, such as a container's, does not have it yet. What
/// is in the datagram is checked by whoever reads it.
pub fn heard(frame: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let is_whole = !packet.more_frags() && packet.frag_offset() == 0;
    if packet.version() != 4
        || packet.next_header() != IpProtocol::Udp
        || !is_whole
        || !packet.verify_checksum()
    {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    (datagram.dst_port() == CLIENT_PORT).then(|| (packet.src_addr(), datagram.payload()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    /// From a server: the same frame with the ports the other way round.
    fn answer(payload: &[u8]) -> Vec<u8> {
        let mut frame = broadcast(MAC, payload);
        frame[34..38].copy_from_slice(&[0, 67, 0, 68]);
        frame
    }

    #[test]
    fn a_datagram_there_and_back() {
        let sent = broadcast(MAC, b"discover");
        assert_eq!(sent[..12], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1]);
        assert_eq!(sent[34..38], [0, 68, 0, 67], "from the client to servers");
        assert_eq!(heard(&sent), None, "not for a client");
        assert_eq!(heard(&answer(b"offer")), Some((Ipv4Addr::UNSPECIFIED, b"offer".as_slice())));
    }

    #[test]
    fn padding_is_no_payload() {
        let mut frame = answer(b"offer");
        frame.resize(100, 0xee);
        assert_eq!(heard(&frame).map(|(_, payload)| payload), Some(b"offer".as_slice()));
    }

    #[test]
    fn what_is_something_else_is_passed_over() {
        let good = answer(b"offer");
        for (place, value, what) in [
            (12, 0x86, "not IPv4"),
            (14, 0x65, "version 6"),
            (14, 0x4f, "a header longer than the packet"),
            (20, 0x20, "a fragment"),
            (23, 6, "TCP"),
            (24, 0xff, "a wrong checksum"),
            (37, 69, "another port"),
            (38, 0xff, "longer than it is"),
        ] {
            let mut bad = good.clone();
            bad[place] = value;
            assert_eq!(heard(&bad), None, "{what}");
        }
        for length in 0..good.len() {
            assert_eq!(heard(&good[..length]), None, "cut off at {length}");
        }
    }
}
