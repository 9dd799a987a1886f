//! What nl80211 answers about interfaces and stations, read (linux/nl80211.h).
//!
//! Attributes that are missing, too short or unknown are as good as not there: kernels differ.

use std::time::Duration;

use hitless_core::mac::MacAddr;
use hitless_core::wifi::{Association, Reception, Ssid};

use super::genl::{attributes, u16_in, u32_in, u64_in};
use super::{Counters, Interface, InterfaceKind, Station};

/// Attributes of messages (`enum nl80211_attrs`).
pub(super) const ATTR_IFINDEX: u16 = 3;
const ATTR_IFTYPE: u16 = 5;
pub(super) const ATTR_MAC: u16 = 6;
const ATTR_STA_INFO: u16 = 21;
pub(super) const ATTR_WIPHY_FREQ: u16 = 38;
const ATTR_BSS: u16 = 47;
const ATTR_SSID: u16 = 52;
pub(super) const ATTR_PS_STATE: u16 = 93;

/// Attributes of a station (`enum nl80211_sta_info`).
const STA_INACTIVE_TIME: u16 = 1;
const STA_SIGNAL: u16 = 7;
const STA_TX_BITRATE: u16 = 8;
const STA_RX_PACKETS: u16 = 9;
const STA_TX_PACKETS: u16 = 10;
const STA_TX_FAILED: u16 = 12;
const STA_SIGNAL_AVG: u16 = 13;
const STA_BSS_PARAM: u16 = 15;
const STA_FLAGS: u16 = 17;
const STA_BEACON_RX: u16 = 29;

/// Attributes of a rate (`enum nl80211_rate_info`), both in units of 100 kbit/s.
const RATE_BITRATE: u16 = 1;
const RATE_BITRATE32: u16 = 5;

/// Of the access point's parameters (`enum nl80211_sta_bss_param`): in time units.
const BSS_PARAM_BEACON_INTERVAL: u16 = 5;

/// Attributes of what a scan heard (`enum nl80211_bss`), and the status of what the station is associated with.
const BSS_ELEMENTS: u16 = 6;
const BSS_STATUS: u16 = 9;
const STATUS_ASSOCIATED: u32 = 1;

/// The element of a beacon that has the network's name (IEEE 802.11, 9.4.2.2).
const ELEMENT_SSID: u8 = 0;

/// Bits of `struct nl80211_sta_flag_update` (`enum nl80211_sta_flags`).
const FLAG_AUTHORIZED: u32 = 1 << 1;
const FLAG_TDLS_PEER: u32 = 1 << 6;
const FLAG_ASSOCIATED: u32 = 1 << 7;

/// A time unit of IEEE 802.11.
const TIME_UNIT: Duration = Duration::from_micros(1024);

/// The interface in an answer to `NL80211_CMD_GET_INTERFACE`.
pub(super) fn interface(octets: &[u8]) -> Option<Interface> {
    let mut kind = None;
    let mut ssid = None;
    let mut frequency_mhz = None;
    for (attribute, value) in attributes(octets) {
        match attribute {
            ATTR_IFTYPE => kind = u32_in(value).map(interface_kind),
            ATTR_SSID => ssid = visible_ssid(value),
            ATTR_WIPHY_FREQ => frequency_mhz = u32_in(value),
            _ => {}
        }
    }
    Some(Interface { kind: kind?, ssid, frequency_mhz })
}

/// `enum nl80211_iftype`.
fn interface_kind(kind: u32) -> InterfaceKind {
    match kind {
        2 => InterfaceKind::Station,
        3 | 4 => InterfaceKind::AccessPoint,
        6 => InterfaceKind::Monitor,
        7 => InterfaceKind::Mesh,
        8..=10 => InterfaceKind::PeerToPeer,
        _ => InterfaceKind::Other,
    }
}

/// The name of the network, in an answer to `NL80211_CMD_GET_SCAN`, if that is the one that the station is associated with.
pub(super) fn associated_ssid(octets: &[u8]) -> Option<Ssid> {
    let (_, bss) = attributes(octets).find(|(attribute, _)| *attribute == ATTR_BSS)?;
    let mut is_associated = false;
    let mut ssid = None;
    for (attribute, value) in attributes(bss) {
        match attribute {
            BSS_STATUS => is_associated = u32_in(value) == Some(STATUS_ASSOCIATED),
            BSS_ELEMENTS => ssid = element(value, ELEMENT_SSID).and_then(visible_ssid),
            _ => {}
        }
    }
    ssid.filter(|_| is_associated)
}

/// A name, unless it is that of a network that keeps it to itself: none, or as many zeroes.
fn visible_ssid(octets: &[u8]) -> Option<Ssid> {
    if octets.iter().all(|octet| *octet == 0) { None } else { Ssid::new(octets) }
}

/// The first element of a kind: each has a number, a length, and so many octets.
fn element(mut octets: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let [number, length, rest @ ..] = octets else { return None };
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *number == wanted {
            return Some(value);
        }
        octets = rest;
    }
}

/// What an answer to `NL80211_CMD_GET_STATION` says of the access point, which to a station is a station, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AccessPoint {
    pub(super) bssid: MacAddr,
    pub(super) reception: Reception,
    pub(super) counters: Counters,
    pub(super) associated: Option<bool>,
    /// Not an access point at all, but another station on a direct link.
    pub(super) direct: bool,
    pub(super) authorized: Option<bool>,
    pub(super) beacon_interval: Option<Duration>,
}

impl AccessPoint {
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        let mut bssid = None;
        let mut access_point = Self::default();
        for (attribute, value) in attributes(octets) {
            match attribute {
                ATTR_MAC => bssid = mac_in(value),
                ATTR_STA_INFO => access_point.read_info(value),
                _ => {}
            }
        }
        access_point.bssid = bssid?;
        Some(access_point).filter(|access_point| !access_point.direct)
    }

    fn read_info(&mut self, octets: &[u8]) {
        let mut signal = None;
        let mut average = None;
        for (attribute, value) in attributes(octets) {
            match attribute {
                STA_INACTIVE_TIME => {
                    self.counters.quiet = u32_in(value).map(u64::from).map(Duration::from_millis);
                }
                STA_SIGNAL => signal = dbm_in(value),
                STA_SIGNAL_AVG => average = dbm_in(value),
                STA_TX_BITRATE => self.reception.rate_mbps = rate_in(value),
                STA_RX_PACKETS => self.counters.received = u32_in(value).unwrap_or_default(),
                STA_TX_PACKETS => self.counters.sent = u32_in(value).unwrap_or_default(),
                STA_TX_FAILED => self.counters.unanswered = u32_in(value).unwrap_or_default(),
                STA_BEACON_RX => self.counters.beacons = u64_in(value),
                STA_BSS_PARAM => self.beacon_interval = beacon_interval_in(value),
                STA_FLAGS => {
                    self.associated = flag_in(value, FLAG_ASSOCIATED);
                    self.authorized = flag_in(value, FLAG_AUTHORIZED);
                    self.direct = flag_in(value, FLAG_TDLS_PEER) == Some(true);
                }
                _ => {}
            }
        }
        self.reception.signal_dbm = average.or(signal);
    }
}

/// An interface and its access point, together.
pub(super) fn station(interface: Interface, access_point: Option<AccessPoint>) -> Station {
    // While a station authenticates, the access point is listed already.
    let access_point = access_point.filter(|access_point| access_point.associated != Some(false));
    let Some(access_point) = access_point else {
        return Station { frequency_mhz: interface.frequency_mhz, ..Station::default() };
    };
    Station {
        association: Some(Association { ssid: interface.ssid, bssid: access_point.bssid }),
        reception: access_point.reception,
        frequency_mhz: interface.frequency_mhz,
        counters: access_point.counters,
        authorized: access_point.authorized,
        beacon_interval: access_point.beacon_interval,
    }
}

/// Is power saving on, by an answer to `NL80211_CMD_GET_POWER_SAVE`?
pub(super) fn power_save(octets: &[u8]) -> Option<bool> {
    let (_, state) = attributes(octets).find(|(attribute, _)| *attribute == ATTR_PS_STATE)?;
    u32_in(state).map(|state| state != 0)
}

pub(super) fn mac_in(value: &[u8]) -> Option<MacAddr> {
    value.try_into().ok().map(MacAddr)
}

fn dbm_in(value: &[u8]) -> Option<i8> {
    value.first().map(|octet| octet.cast_signed())
}

/// In Mbit/s. The old attribute cannot say more than 6.5 Gbit/s, and then is 0.
fn rate_in(octets: &[u8]) -> Option<u32> {
    let mut rate = None;
    for (attribute, value) in attributes(octets) {
        match attribute {
            RATE_BITRATE32 => rate = u32_in(value).or(rate),
            RATE_BITRATE => rate = rate.or(u16_in(value).map(u32::from)),
            _ => {}
        }
    }
    rate.filter(|rate| *rate > 0).map(|rate| (rate / 10).max(1))
}

fn beacon_interval_in(octets: &[u8]) -> Option<Duration> {
    let (_, value) = attributes(octets).find(|(attribute, _)| *attribute == BSS_PARAM_BEACON_INTERVAL)?;
    u16_in(value).filter(|interval| *interval > 0).map(|interval| TIME_UNIT * u32::from(interval))
}

/// A flag, where the kernel says anything of it: a mask of those that it does, then their values.
fn flag_in(value: &[u8], flag: u32) -> Option<bool> {
    let mask = value.get(..4).and_then(u32_in)?;
    let set = value.get(4..8).and_then(u32_in)?;
    (mask & flag != 0).then_some(set & flag != 0)
}
