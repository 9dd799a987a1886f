//! Neighbours: who on the link has answered, and from which hardware address; and handing on to another interface what
//! one knows.

#![allow(clippy::wildcard_enum_match_arm, reason = "rtnetlink's enums are foreign, open and long")]

use std::net::IpAddr;
use std::time::Duration;

use hitless_core::mac::MacAddr;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as KernelState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::error::{Cause, RequestError};
use crate::link::mac;
use crate::netlink::Netlink;

/// Milliseconds per tick in which the kernel tells times to user space (`USER_HZ` is 100).
const TICK: u64 = 10;

/// A neighbour that has answered at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: MacAddr,
    /// How sure the kernel is of it.
    pub state: NeighbourState,
    /// How long ago it was last confirmed.
    pub confirmed: Duration,
}

/// How sure the kernel is that a neighbour is there; the earlier, the surer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NeighbourState {
    /// It was heard within the last seconds (`NUD_REACHABLE`).
    Reachable,
    /// It is talked to and was not heard for a while (`NUD_DELAY`).
    Delay,
    /// It is being asked (`NUD_PROBE`).
    Probe,
    /// It was there at some time (`NUD_STALE`).
    Stale,
}

impl NeighbourState {
    fn from_kernel(state: KernelState) -> Option<Self> {
        Some(match state {
            KernelState::Reachable => Self::Reachable,
            KernelState::Delay => Self::Delay,
            KernelState::Probe => Self::Probe,
            KernelState::Stale => Self::Stale,
            KernelState::Incomplete
            | KernelState::Failed
            | KernelState::Noarp
            | KernelState::Permanent
            | KernelState::None
            | KernelState::Other(_)
            | _ => return None,
        })
    }
}

impl Netlink {
    /// The neighbours on an interface that have answered, the surest and latest first. Entries that an administrator
    /// made are no proof of anything and left out, as are those that did not answer.
    ///
    /// # Errors
    /// When the interface is gone.
    pub async fn neighbours(&self, index: u32) -> Result<Vec<Neighbour>, RequestError> {
        let messages = self.neighbour_messages(index).await?;
        let mut neighbours: Vec<_> = messages.iter().filter_map(from_message).collect();
        neighbours.sort_by_key(|neighbour| (neighbour.state, neighbour.confirmed, neighbour.address));
        Ok(neighbours)
    }

    /// Tells one interface which neighbours another one knows: those that an administrator made, as they are, and where both
    /// have the same hardware address, so that nobody has to be asked first, those that have answered, to be confirmed when
    /// they are next talked to. (Where they have not, a neighbour who is asked learns the other address from that, and
    /// otherwise would answer to the old one.) What is known there already counts more. It only saves time: what fails is
    /// passed over.
    pub async fn copy_neighbours(&self, from: u32, to: u32) {
        let (Ok(own), Ok(other)) = (self.link(from).await, self.link(to).await) else { return };
        let same_mac = own.and_then(|link| link.mac) == other.and_then(|link| link.mac);
        for mut message in self.neighbour_messages(from).await.unwrap_or_default() {
            if !is_handed_on(&message, same_mac) {
                continue;
            }
            message.header.ifindex = to;
            if message.header.state != KernelState::Permanent {
                message.header.state = KernelState::Stale;
            }
            // Counters and times are the kernel's.
            message.attributes.retain(|attribute| {
                matches!(
                    attribute,
                    NeighbourAttribute::Destination(_) | NeighbourAttribute::LinkLayerAddress(_)
                )
            });
            let request = RouteNetlinkMessage::NewNeighbour(message);
            if let Err(cause) = self.perform(request, NLM_F_CREATE | NLM_F_EXCL).await {
                tracing::debug!("a neighbour is not handed on: {cause}");
            }
        }
    }

    async fn neighbour_messages(&self, index: u32) -> Result<Vec<NeighbourMessage>, RequestError> {
        let mut messages = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = NeighbourMessage::default();
            message.header.family = family;
            message.attributes.push(NeighbourAttribute::IfIndex(index));
            match self.dump(RouteNetlinkMessage::GetNeighbour(message)).await {
                Ok(answers) => {
                    messages.extend(answers.into_iter().filter_map(|answer| neighbour_of(answer, index)));
                }
                // IPv6 may not be there.
                Err(Cause::Kernel { errno: nix::errno::Errno::EOPNOTSUPP, .. }) => {}
                Err(cause) => return Err(self.name_error(cause, "list the neighbours on", index).await),
            }
        }
        Ok(messages)
    }
}

fn neighbour_of(message: RouteNetlinkMessage, index: u32) -> Option<NeighbourMessage> {
    match message {
        RouteNetlinkMessage::NewNeighbour(message) if message.header.ifindex == index => Some(message),
        _ => None,
    }
}

/// Proxies are told by a flag, and belong to the interface.
fn is_handed_on(message: &NeighbourMessage, same_mac: bool) -> bool {
    let permanent = message.header.state == KernelState::Permanent;
    let answered = same_mac && from_message(message).is_some();
    (permanent || answered) && !message.header.flags.contains(NeighbourFlags::Proxy)
}

fn from_message(message: &NeighbourMessage) -> Option<Neighbour> {
    let state = NeighbourState::from_kernel(message.header.state)?;
    let mut address = None;
    let mut hardware = None;
    let mut confirmed = Duration::MAX;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => address = Some(IpAddr::V4(*ip)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => address = Some(IpAddr::V6(*ip)),
            NeighbourAttribute::LinkLayerAddress(octets) => hardware = mac(octets),
            NeighbourAttribute::CacheInfo(info) => {
                confirmed = Duration::from_millis(u64::from(info.confirmed) * TICK);
            }
            _ => {}
        }
    }
    Some(Neighbour { address: address?, mac: hardware.filter(|mac| mac.is_station())?, state, confirmed })
}
