//! Whom a bond's frames go to: peers that are told where its addresses are, and those who can prove a path.

use std::net::IpAddr;

use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_core::wire;
use hitless_linux::error::RequestError;
use hitless_linux::netlink::Netlink;
use hitless_linux::packet::SendSocket;

/// So many neighbours are asked at most, where there is no gateway.
const NEIGHBOURS: usize = 3;

/// Whom a returning port can be proven with: the bond's gateways, else the neighbours that answered last.
pub(super) async fn find_targets(netlink: &Netlink, bond: u32) -> Result<Vec<IpAddr>, RequestError> {
    // A bond that is a port of a bridge has its addresses there.
    let bridge = netlink.link(bond).await?.and_then(|link| link.master);
    let holders = [Some(bond), bridge];
    for holder in holders.into_iter().flatten() {
        let gateways = netlink.gateways(holder).await?;
        if !gateways.is_empty() {
            return Ok(gateways);
        }
    }
    let mut neighbours = Vec::new();
    for holder in holders.into_iter().flatten() {
        neighbours.extend(netlink.neighbours(holder).await?);
    }
    neighbours.sort_by_key(|neighbour| (neighbour.state, neighbour.confirmed));
    Ok(neighbours.into_iter().map(|neighbour| neighbour.address).take(NEIGHBOURS).collect())
}

/// Announces a bond's addresses through one of its ports.
pub(super) async fn notify(netlink: &Netlink, bond: u32, port: PortId) -> Result<(), RequestError> {
    let frames = announcements(netlink, bond).await?;
    let socket = SendSocket::open(port.0, "the active port")?;
    frames.iter().try_for_each(|frame| socket.try_send(frame))
}

/// The frames that announce all addresses of a bond, and of the VLANs on it, at the hardware address that each has.
async fn announcements(netlink: &Netlink, bond: u32) -> Result<Vec<Vec<u8>>, RequestError> {
    let mut frames = Vec::new();
    for link in netlink.links().await? {
        let Some(mac) = link.mac.filter(|mac| mac.is_station()) else { continue };
        let vlan = link.vlan_id.filter(|_| link.link == Some(bond) && !link.link_elsewhere);
        if link.index == bond {
            let addresses = announce(netlink, bond, mac).await?;
            // A bond in a bridge has none; switches are to know its way all the same.
            let lesson = addresses.is_empty().then(|| wire::lesson(mac));
            frames.extend(addresses.into_iter().chain(lesson));
        } else if let Some(vlan) = vlan {
            let untagged = announce(netlink, link.index, mac).await?;
            frames.extend(untagged.iter().map(|frame| wire::tagged(frame, vlan)));
        }
    }
    Ok(frames)
}

async fn announce(netlink: &Netlink, interface: u32, mac: MacAddr) -> Result<Vec<Vec<u8>>, RequestError> {
    let addresses = netlink.addresses(interface).await?;
    // A tentative address is not ours yet (RFC 4862 section 5.4).
    let ours = addresses.iter().filter(|address| !address.is_tentative() && !address.is_duplicate());
    Ok(ours.map(|address| wire::announcement(mac, address.address)).collect())
}
