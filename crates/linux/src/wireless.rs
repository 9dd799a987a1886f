//! What the kernel knows of Wi-Fi, by nl80211: what a station is associated with, how well it hears, what happened.
//!
//! It does not make a station join anything: that is a supplicant's task. Messages are written and read by hand, since
//! it is a dozen attributes of some hundreds, and the counters are asked for all day long.
//!
//! A kernel without 802.11 is no error. There is nothing wireless then, and nothing happens, until it comes.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hitless_core::mac::MacAddr;
use hitless_core::wifi::{Association, Reception, Ssid};
use nix::errno::Errno;

use crate::error::{Cause, RequestError};

mod event;
mod genl;
mod message;
#[cfg(test)]
mod tests;

pub use event::{WirelessEvent, WirelessEvents};

use genl::{Ask, Connection, Family, Message};
use message::{ATTR_IFINDEX, ATTR_MAC, ATTR_PS_STATE, AccessPoint};

/// The name of the family.
const NL80211: &str = "nl80211";

/// Commands (`enum nl80211_commands`).
const GET_INTERFACE: u8 = 5;
const GET_STATION: u8 = 17;
const GET_SCAN: u8 = 32;
const SET_POWER_SAVE: u8 = 61;
const GET_POWER_SAVE: u8 = 62;

/// A connection to nl80211 for requests, in the network namespace of the thread that opened it.
///
/// Requests need no runtime: the kernel has answered before a request is sent. Each takes some microseconds, and waits
/// for whoever holds the kernel's locks (rtnl, the radio's own); a driver may ask its firmware, for milliseconds.
pub struct Wireless(Mutex<Requests>);

/// An interface that is wireless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// As what it takes part.
    pub kind: InterfaceKind,
    /// The network that an access point announces, or that a station is associated with. Of a station that a supplicant
    /// looks after, the kernel does not say it here, but [`Wireless::station`] finds it.
    pub ssid: Option<Ssid>,
    /// The centre of the channel that it is on, in MHz; the primary one of several.
    pub frequency_mhz: Option<u32>,
}

/// As what an interface takes part in a wireless network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A client of an access point. Only these can be ports.
    Station,
    /// An access point.
    AccessPoint,
    /// It only listens.
    Monitor,
    /// A point of a mesh.
    Mesh,
    /// Wi-Fi Direct.
    PeerToPeer,
    /// Ad hoc, and whatever comes later.
    Other,
}

/// A station, and how it hears its access point.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Station {
    /// What it is associated with. With WPA, traffic flows only once it is [authorized](Self::authorized), too.
    pub association: Option<Association>,
    /// How well; empty without association.
    pub reception: Reception,
    /// The centre of the channel that it is on, in MHz.
    pub frequency_mhz: Option<u32>,
    /// What was heard and sent; zero without association.
    pub counters: Counters,
    /// Have the keys been agreed on, so that data may flow? `None` where the driver does not say.
    pub authorized: Option<bool>,
    /// How often the access point says that it is there.
    pub beacon_interval: Option<Duration>,
}

/// What came from an access point and went to it, since it was associated with. The 32-bit counters wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Beacons heard, where the driver counts them.
    pub beacons: Option<u64>,
    /// Frames heard, beacons among them.
    pub received: u32,
    /// Frames sent, answered or not.
    pub sent: u32,
    /// Frames given up on, because none of the tries was acknowledged.
    pub unanswered: u32,
    /// How long ago it last sent something for us alone, or acknowledged a frame. Beacons do not count.
    pub quiet: Option<Duration>,
}

struct Requests {
    connection: Connection,
    /// Whether and how the kernel has the family, as far as we know.
    family: Option<Family>,
}

impl Wireless {
    /// Open connections for requests and for events. Events are subscribed to before this returns, so that whoever asks
    /// for stations afterwards misses nothing.
    ///
    /// # Errors
    /// When the sockets cannot be made.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> Result<(Self, WirelessEvents), RequestError> {
        let events = WirelessEvents::open()?;
        Ok((Self::requests()?, events))
    }

    /// Open a connection for requests only. Needs no runtime.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn requests() -> Result<Self, RequestError> {
        let connection = Connection::open().map_err(|cause| cause.of("open generic netlink", ""))?;
        Ok(Self(Mutex::new(Requests { connection, family: None })))
    }

    /// What kind of wireless interface this is. `None` if it is not wireless, or gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn interface(&self, index: u32) -> Result<Option<Interface>, RequestError> {
        self.ask("ask about the wireless interface", index, |requests| requests.interface(index))
    }

    /// What a station is associated with, and how well it hears. `None` if the interface is not a station, or gone.
    ///
    /// To find the name of the network, the kernel has to list all access points that were heard. Whoever looks often
    /// says what was `known` when nothing had happened since: with the same access point the name is taken from there.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn station(&self, index: u32, known: Option<&Association>) -> Result<Option<Station>, RequestError> {
        self.ask("ask for the association of", index, |requests| {
            let Some(interface) = requests.interface(index)? else { return Ok(None) };
            if interface.kind != InterfaceKind::Station {
                return Ok(None);
            }
            let access_point = requests.access_point(index)?;
            let mut station = message::station(interface, access_point);
            if let Some(association) = &mut station.association
                && association.ssid.is_none()
            {
                let known = known.filter(|known| known.bssid == association.bssid);
                association.ssid = match known.and_then(|known| known.ssid.clone()) {
                    Some(ssid) => Some(ssid),
                    None => requests.associated_ssid(index)?,
                };
            }
            Ok(Some(station))
        })
    }

    /// The counters of an association that is known: one short request, to be made often. `None` when there is no such
    /// association any longer.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn counters(&self, index: u32, bssid: MacAddr) -> Result<Option<Counters>, RequestError> {
        self.ask("ask for the counters of", index, |requests| {
            let index = &index.to_ne_bytes();
            let mut access_point = None;
            requests.exchange(
                GET_STATION,
                Ask::One,
                &[(ATTR_IFINDEX, index), (ATTR_MAC, &bssid.0)],
                |message| {
                    access_point = AccessPoint::read(message.attributes);
                },
            )?;
            Ok(access_point.map(|access_point| access_point.counters))
        })
    }

    /// May the station sleep between beacons, so that frames for it wait at the access point? `None` where the driver
    /// cannot save power, or the interface is not wireless.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn power_save(&self, index: u32) -> Result<Option<bool>, RequestError> {
        self.ask("ask for the power saving of", index, |requests| {
            let mut on = None;
            let asked = &index.to_ne_bytes();
            let result = requests.exchange(GET_POWER_SAVE, Ask::One, &[(ATTR_IFINDEX, asked)], |message| {
                on = message::power_save(message.attributes);
            });
            match result {
                Err(Cause::Kernel { errno: Errno::EOPNOTSUPP, .. }) => Ok(None),
                result => result.map(|_| on),
            }
        })
    }

    /// Let the station sleep between beacons, or not.
    ///
    /// # Errors
    /// Where the driver cannot save power ([`RequestError::is_unsupported`]), the interface is not wireless or gone
    /// ([`RequestError::is_gone`]), or CAP_NET_ADMIN is missing.
    pub fn set_power_save(&self, index: u32, on: bool) -> Result<(), RequestError> {
        let state = u32::from(on).to_ne_bytes();
        self.ask("set the power saving of", index, |requests| {
            let asked: [(u16, &[u8]); 2] = [(ATTR_IFINDEX, &index.to_ne_bytes()), (ATTR_PS_STATE, &state)];
            let done = requests.exchange(SET_POWER_SAVE, Ask::One, &asked, |_| {})?;
            done.ok_or_else(|| Cause::errno(Errno::ENODEV))
        })
    }

    fn ask<T>(
        &self,
        request: &str,
        index: u32,
        work: impl FnOnce(&mut Requests) -> Result<T, Cause>,
    ) -> Result<T, RequestError> {
        // Whoever panicked left at worst an answer unread, and that is skipped.
        let mut requests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut requests).map_err(|cause| cause.of(request, name_of(index)))
    }
}

impl fmt::Debug for Wireless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wireless").finish_non_exhaustive()
    }
}

impl Requests {
    fn interface(&mut self, index: u32) -> Result<Option<Interface>, Cause> {
        let mut interface = None;
        self.exchange(GET_INTERFACE, Ask::One, &[(ATTR_IFINDEX, &index.to_ne_bytes())], |message| {
            interface = message::interface(message.attributes);
        })?;
        Ok(interface)
    }

    /// The access point that a station is associated with, or about to be.
    fn access_point(&mut self, index: u32) -> Result<Option<AccessPoint>, Cause> {
        let mut access_point = None;
        self.exchange(GET_STATION, Ask::All, &[(ATTR_IFINDEX, &index.to_ne_bytes())], |message| {
            access_point = access_point.take().or_else(|| AccessPoint::read(message.attributes));
        })?;
        Ok(access_point)
    }

    /// The network that a station is associated with, from what it heard of its access point.
    ///
    /// As long as a supplicant looks after the station, this is the one place where the kernel has it.
    fn associated_ssid(&mut self, index: u32) -> Result<Option<Ssid>, Cause> {
        let mut ssid = None;
        self.exchange(GET_SCAN, Ask::All, &[(ATTR_IFINDEX, &index.to_ne_bytes())], |message| {
            ssid = ssid.take().or_else(|| message::associated_ssid(message.attributes));
        })?;
        Ok(ssid)
    }

    /// Send a request to nl80211. `None` if that is not there, or the interface or association that is asked about.
    fn exchange(
        &mut self,
        command: u8,
        ask: Ask,
        attributes: &[(u16, &[u8])],
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<Option<()>, Cause> {
        loop {
            if self.family.is_none() {
                self.family = self.connection.family(NL80211)?;
            }
            let Some(family) = &self.family else { return Ok(None) };
            match self.connection.exchange(family.id, command, ask, attributes, &mut each) {
                Ok(()) => return Ok(Some(())),
                Err(Cause::Kernel { errno: Errno::ENODEV, .. }) => return Ok(None),
                // Either no such association, or no such family: its module was unloaded, and perhaps loaded again.
                Err(Cause::Kernel { errno: Errno::ENOENT, .. }) => {
                    let before = self.family.take();
                    self.family = self.connection.family(NL80211)?;
                    if self.family == before {
                        return Ok(None);
                    }
                }
                Err(cause) => return Err(cause),
            }
        }
    }
}

/// The name of an interface, for messages.
fn name_of(index: u32) -> String {
    let name = nix::net::if_::if_indextoname(index).ok();
    name.and_then(|name| name.into_string().ok()).unwrap_or_else(|| format!("interface {index}"))
}
