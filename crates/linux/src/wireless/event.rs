//! What happens on wireless interfaces, as nl80211 tells it.
//!
//! In the order in which mac80211 tells it, when a supplicant does the joining:
//!
//! | what happens | events |
//! |---|---|
//! | association | [`Joining`](WirelessEvent::Joining), [`Connected`](WirelessEvent::Connected); keys are agreed on after that |
//! | roaming | [`Left`](WirelessEvent::Left), [`Farewell`](WirelessEvent::Farewell), [`Disconnected`](WirelessEvent::Disconnected) by ourselves, then as an association |
//! | thrown out | `Left`, `Farewell`, `Disconnected` by the access point |
//! | access point dead | [`BeaconLoss`](WirelessEvent::BeaconLoss), then `Left`, `Farewell`, `Disconnected` by ourselves (reason 4) |
//! | switched off by rfkill | `Left`, `Farewell`, `Disconnected` by ourselves (reason 3) |
//!
//! [`Roamed`](WirelessEvent::Roamed) comes from drivers whose firmware roams. After each disconnection the country's rules are
//! forgotten ([`RegulatoryChanged`](WirelessEvent::RegulatoryChanged)). With frames on their way, a dead access point shows
//! first in [`Counters::unanswered`](super::Counters::unanswered): at the first frame, where beacon loss is told after 7 of
//! them are missing, and the carrier goes some 0.1 s later.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::AsRawFd as _;

use hitless_core::mac::MacAddr;
use nix::errno::Errno;
use nix::libc::{CTRL_CMD_DELFAMILY, CTRL_CMD_NEWFAMILY};
use nix::sys::socket::{MsgFlags, recv};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::NL80211;
use super::genl::{CONTROL, Connection, Family, Message, attributes, message, messages, u16_in, u32_in};
use super::message::{ATTR_IFINDEX, ATTR_MAC, ATTR_WIPHY_FREQ, mac_in};
use crate::error::{Cause, RequestError};

/// The multicast groups that what is told here comes from.
const GROUPS: [&str; 3] = ["mlme", "config", "regulatory"];

/// More than the largest message that the kernel sends, in octets.
const MESSAGE_BUFFER: usize = 32 << 10;

/// That events were lost is an error, which alone would not make the socket readable.
const READABLE_OR_ERROR: Interest = Interest::READABLE.add(Interest::ERROR);

/// Commands (`enum nl80211_commands`).
const SET_INTERFACE: u8 = 6;
const NEW_INTERFACE: u8 = 7;
const DEL_INTERFACE: u8 = 8;
const NEW_STATION: u8 = 19;
const DEL_STATION: u8 = 20;
const REG_CHANGE: u8 = 36;
const AUTHENTICATE: u8 = 37;
const ASSOCIATE: u8 = 38;
const DEAUTHENTICATE: u8 = 39;
const DISASSOCIATE: u8 = 40;
const CONNECT: u8 = 46;
const ROAM: u8 = 47;
const DISCONNECT: u8 = 48;
const NOTIFY_CQM: u8 = 64;
const CH_SWITCH_NOTIFY: u8 = 88;
const WIPHY_REG_CHANGE: u8 = 113;
const PORT_AUTHORIZED: u8 = 125;

/// Attributes (`enum nl80211_attrs`) that only events have.
const ATTR_FRAME: u16 = 51;
const ATTR_REASON_CODE: u16 = 54;
const ATTR_TIMED_OUT: u16 = 65;
const ATTR_DISCONNECTED_BY_AP: u16 = 71;
const ATTR_STATUS_CODE: u16 = 72;
const ATTR_CQM: u16 = 94;

/// Attributes of connection quality (`enum nl80211_attr_cqm`).
const CQM_RSSI_THRESHOLD_EVENT: u16 = 3;
const CQM_PACKET_LOSS_EVENT: u16 = 4;
const CQM_BEACON_LOSS_EVENT: u16 = 8;
const CQM_RSSI_LEVEL: u16 = 9;

/// What happened to a wireless interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WirelessEvent {
    /// A station begins to talk to an access point that it is to join. (Also: another station joins us, where the
    /// interface is an access point.)
    Joining {
        /// The interface.
        index: u32,
        /// The access point.
        bssid: MacAddr,
    },
    /// A station is associated. With WPA, nothing flows until keys are agreed on, some round trips later.
    Connected {
        /// The interface.
        index: u32,
        /// The access point, where the kernel says which.
        bssid: Option<MacAddr>,
    },
    /// An access point did not let the station in, or did not answer.
    Refused {
        /// The interface.
        index: u32,
        /// The access point, where the kernel says which.
        bssid: Option<MacAddr>,
        /// Why (IEEE 802.11, status codes); `None` without an answer.
        status: Option<u16>,
    },
    /// A station has changed to another access point of the network, without ever having left it.
    Roamed {
        /// The interface.
        index: u32,
        /// The access point that it is with now.
        bssid: Option<MacAddr>,
    },
    /// The keys are agreed on. Said by drivers that do that themselves; no word from others.
    Authorized {
        /// The interface.
        index: u32,
        /// The access point.
        bssid: MacAddr,
    },
    /// Nothing goes to this access point any longer. The earliest word of it, without the reason. (Also: another
    /// station leaves us, where the interface is an access point.)
    Left {
        /// The interface.
        index: u32,
        /// The access point.
        bssid: MacAddr,
    },
    /// One side has said that the association is over. Comes before [`WirelessEvent::Disconnected`], by as long as the
    /// kernel takes to get round to that.
    Farewell {
        /// The interface.
        index: u32,
        /// Why (IEEE 802.11, reason codes).
        reason: u16,
        /// The access point has said it, and not we.
        by_peer: bool,
    },
    /// A station is associated no longer.
    Disconnected {
        /// The interface.
        index: u32,
        /// Why (IEEE 802.11, reason codes), where that is known.
        reason: Option<u16>,
        /// It was the access point's doing; else our own, be it the supplicant's wish or that nothing was heard.
        by_peer: bool,
    },
    /// Beacons were missing, and the kernel is about to find out whether the access point is still there.
    BeaconLoss {
        /// The interface.
        index: u32,
    },
    /// So many frames in a row were not acknowledged.
    PacketLoss {
        /// The interface.
        index: u32,
        /// Who was to acknowledge them, where the kernel says who.
        peer: Option<MacAddr>,
        /// How many.
        frames: u32,
    },
    /// The signal crossed a threshold that a supplicant has set.
    SignalCrossed {
        /// The interface.
        index: u32,
        /// It is below now.
        below: bool,
        /// In dBm, where the kernel says.
        dbm: Option<i32>,
    },
    /// The access point has moved to another channel, and the station with it.
    ChannelChanged {
        /// The interface.
        index: u32,
        /// The centre of the channel, in MHz, where the kernel says.
        frequency_mhz: Option<u32>,
    },
    /// There is a wireless interface, or it changed what it takes part as.
    InterfaceChanged {
        /// The interface.
        index: u32,
    },
    /// A wireless interface is gone.
    InterfaceGone {
        /// The interface.
        index: u32,
    },
    /// Other channels and powers are allowed than before.
    RegulatoryChanged,
    /// The kernel has 802.11 now: a module was loaded. Interfaces may have come with it, before their events could be
    /// subscribed to; everything has to be looked at.
    Available,
    /// The kernel has 802.11 no longer: a module was unloaded.
    Unavailable,
    /// Events were lost; everything has to be looked at again.
    Overrun,
}

/// The events of all wireless interfaces of a network namespace, from the moment it was opened.
///
/// Without 802.11 it waits until there is.
pub struct WirelessEvents {
    socket: AsyncFd<Socket>,
    /// To look for the family with when its coming may have been among the lost events.
    requests: Connection,
    /// The type of nl80211's messages.
    family: Option<u16>,
    buffer: Box<[u8]>,
    read: VecDeque<WirelessEvent>,
    /// Events were lost, and those in the socket's queue are being thrown away.
    overrun: bool,
}

impl WirelessEvents {
    pub(super) fn open() -> Result<Self, RequestError> {
        let error = |cause: Cause| cause.of("subscribe to wireless events", "");
        let socket = subscribe().map_err(error)?;
        let requests = Connection::open().map_err(error)?;
        // SAFETY: a `Socket` owns its descriptor and answers the same one as long as it lives.
        let socket = unsafe { AsyncFd::register_with_interest(socket, READABLE_OR_ERROR) };
        let socket = socket.map_err(|failed| error(failed.into_parts().1.into()))?;
        let buffer = vec![0; MESSAGE_BUFFER].into();
        let mut events =
            Self { socket, requests, family: None, buffer, read: VecDeque::new(), overrun: false };
        // News of families are subscribed to: one that is not there yet is told of.
        events.look_for_family().map_err(error)?;
        Ok(events)
    }

    /// The next event. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// When the socket cannot be read; it will not get better by trying again.
    pub async fn next(&mut self) -> Result<WirelessEvent, RequestError> {
        let error = |cause: Cause| cause.of("read wireless events", "");
        loop {
            if let Some(event) = self.read.pop_front() {
                return Ok(event);
            }
            let mut ready = self.socket.ready(READABLE_OR_ERROR).await.map_err(|io| error(io.into()))?;
            match recv(self.socket.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_DONTWAIT) {
                // See `LinkEvents::next`: while some are lost, all are.
                Ok(_) if self.overrun => {}
                Ok(length) => {
                    drop(ready);
                    self.take(length).map_err(error)?;
                }
                Err(Errno::ENOBUFS) => self.overrun = true,
                Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    drop(ready);
                    if std::mem::take(&mut self.overrun) {
                        self.look_for_family().map_err(error)?;
                        return Ok(WirelessEvent::Overrun);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(error(errno.into())),
            }
        }
    }

    /// Read the messages in the first octets of the buffer.
    fn take(&mut self, length: usize) -> Result<(), Cause> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut result = Ok(());
        for message in
            messages(buffer.get(..length).unwrap_or_default()).filter_map(|octets| message(&octets))
        {
            if message.family == CONTROL {
                result = result.and(self.take_family(&message));
            } else if Some(message.family) == self.family {
                self.read.extend(event(&message));
            }
        }
        self.buffer = buffer;
        result
    }

    /// News of a family, which may be ours.
    fn take_family(&mut self, message: &Message<'_>) -> Result<(), Cause> {
        let Some(family) = Family::named(NL80211, message) else { return Ok(()) };
        match i32::from(message.command) {
            CTRL_CMD_NEWFAMILY => {
                self.join(&family)?;
                self.read.push_back(WirelessEvent::Available);
            }
            CTRL_CMD_DELFAMILY => {
                self.family = None;
                self.read.push_back(WirelessEvent::Unavailable);
            }
            _ => {}
        }
        Ok(())
    }

    fn look_for_family(&mut self) -> Result<(), Cause> {
        self.family = None;
        match self.requests.family(NL80211)? {
            Some(family) => self.join(&family),
            None => Ok(()),
        }
    }

    fn join(&mut self, family: &Family) -> Result<(), Cause> {
        for number in GROUPS.iter().filter_map(|name| family.group(name)) {
            match self.socket.get_ref().add_membership(number) {
                // Gone while we looked: then it is told of.
                Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {}
                result => result?,
            }
        }
        self.family = Some(family.id);
        Ok(())
    }
}

impl fmt::Debug for WirelessEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WirelessEvents")
            .field("family", &self.family)
            .field("overrun", &self.overrun)
            .finish_non_exhaustive()
    }
}

/// A socket that hears which families come and go.
fn subscribe() -> Result<Socket, Cause> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.set_non_blocking(true)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    socket.add_membership(u32::from(CONTROL))?;
    Ok(socket)
}

/// What an event's attributes may say, as far as it is of interest.
#[derive(Debug, Default)]
struct Said {
    index: Option<u32>,
    mac: Option<MacAddr>,
    status: Option<u16>,
    timed_out: bool,
    reason: Option<u16>,
    by_peer: bool,
    frequency_mhz: Option<u32>,
    quality: Option<Quality>,
    farewell: Option<Farewell>,
}

/// The management frame by which one side ended an association (IEEE 802.11, 9.3.3.4 and 9.3.3.11).
#[derive(Clone, Copy, Debug)]
struct Farewell {
    by_peer: bool,
    reason: u16,
}

/// Reads a deauthentication or disassociation: a header of 24 octets with the sender's address and the access point's, and
/// the reason.
fn farewell(frame: &[u8]) -> Option<Farewell> {
    let (from, access_point) = (frame.get(10..16)?, frame.get(16..22)?);
    let reason = u16::from_le_bytes(frame.get(24..26)?.try_into().ok()?);
    Some(Farewell { by_peer: from == access_point, reason })
}

/// What happened to the quality of a connection.
#[derive(Debug)]
enum Quality {
    BeaconLoss,
    PacketLoss(u32),
    SignalCrossed { below: bool, dbm: Option<i32> },
}

impl Said {
    fn read(octets: &[u8]) -> Self {
        let mut said = Self::default();
        for (attribute, value) in attributes(octets) {
            match attribute {
                ATTR_IFINDEX => said.index = u32_in(value),
                ATTR_MAC => said.mac = mac_in(value),
                ATTR_STATUS_CODE => said.status = u16_in(value),
                ATTR_TIMED_OUT => said.timed_out = true,
                ATTR_REASON_CODE => said.reason = u16_in(value),
                ATTR_DISCONNECTED_BY_AP => said.by_peer = true,
                ATTR_WIPHY_FREQ => said.frequency_mhz = u32_in(value),
                ATTR_CQM => said.quality = quality(value),
                ATTR_FRAME => said.farewell = farewell(value),
                _ => {}
            }
        }
        said
    }
}

fn quality(octets: &[u8]) -> Option<Quality> {
    let mut quality = None;
    let mut dbm = None;
    for (attribute, value) in attributes(octets) {
        match attribute {
            CQM_BEACON_LOSS_EVENT => quality = Some(Quality::BeaconLoss),
            CQM_PACKET_LOSS_EVENT => quality = u32_in(value).map(Quality::PacketLoss),
            // NL80211_CQM_RSSI_THRESHOLD_EVENT_LOW is 0, HIGH is 1.
            CQM_RSSI_THRESHOLD_EVENT => {
                quality = u32_in(value).map(|level| Quality::SignalCrossed { below: level == 0, dbm: None });
            }
            CQM_RSSI_LEVEL => dbm = u32_in(value).map(u32::cast_signed),
            _ => {}
        }
    }
    match quality {
        Some(Quality::SignalCrossed { below, .. }) => Some(Quality::SignalCrossed { below, dbm }),
        quality => quality,
    }
}

/// The events in messages that were read at once, where those of nl80211 have this type.
#[cfg(test)]
pub(super) fn events(family: u16, octets: &[u8]) -> Vec<WirelessEvent> {
    let messages = messages(octets).filter_map(|octets| message(&octets));
    messages.filter(|message| message.family == family).filter_map(|message| event(&message)).collect()
}

/// The event that a message of nl80211 is; many are of no interest.
fn event(message: &Message<'_>) -> Option<WirelessEvent> {
    let said = Said::read(message.attributes);
    if let REG_CHANGE | WIPHY_REG_CHANGE = message.command {
        return Some(WirelessEvent::RegulatoryChanged);
    }
    let index = said.index?;
    let bssid = said.mac;
    Some(match message.command {
        NEW_STATION => WirelessEvent::Joining { index, bssid: bssid? },
        DEL_STATION => WirelessEvent::Left { index, bssid: bssid? },
        DEAUTHENTICATE | DISASSOCIATE => {
            let Farewell { by_peer, reason } = said.farewell?;
            WirelessEvent::Farewell { index, reason, by_peer }
        }
        // Refusals in so many words are followed by a result, or by another try of the supplicant.
        AUTHENTICATE | ASSOCIATE if said.timed_out => WirelessEvent::Refused { index, bssid, status: None },
        CONNECT => match said.status {
            Some(0) | None if !said.timed_out => WirelessEvent::Connected { index, bssid },
            status => {
                let status = status.filter(|_| !said.timed_out);
                WirelessEvent::Refused { index, bssid, status }
            }
        },
        ROAM => WirelessEvent::Roamed { index, bssid },
        PORT_AUTHORIZED => WirelessEvent::Authorized { index, bssid: bssid? },
        DISCONNECT => WirelessEvent::Disconnected { index, reason: said.reason, by_peer: said.by_peer },
        NOTIFY_CQM => match said.quality? {
            Quality::BeaconLoss => WirelessEvent::BeaconLoss { index },
            Quality::PacketLoss(frames) => WirelessEvent::PacketLoss { index, peer: bssid, frames },
            Quality::SignalCrossed { below, dbm } => WirelessEvent::SignalCrossed { index, below, dbm },
        },
        CH_SWITCH_NOTIFY => WirelessEvent::ChannelChanged { index, frequency_mhz: said.frequency_mhz },
        NEW_INTERFACE | SET_INTERFACE => WirelessEvent::InterfaceChanged { index },
        DEL_INTERFACE => WirelessEvent::InterfaceGone { index },
        _ => return None,
    })
}
