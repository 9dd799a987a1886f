//! IP addresses of interfaces.

#![allow(clippy::wildcard_enum_match_arm, reason = "rtnetlink's enums are foreign, open and long")]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, AddressScope,
    CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::{Deserialize, Serialize};

use crate::error::{Cause, RequestError};
use crate::netlink::Netlink;

/// The lifetime in the kernel's words of what lives for ever (`INFINITY_LIFE_TIME`).
const FOR_EVER: u32 = u32::MAX;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// How many leading bits the interface's network shares.
    pub prefix_len: u8,
    /// The other end, where the interface is point-to-point.
    pub peer: Option<IpAddr>,
    /// The broadcast address (IPv4).
    pub broadcast: Option<Ipv4Addr>,
    /// How far it is valid: 0 everywhere, 253 link, 254 host (`RT_SCOPE_*`).
    pub scope: u8,
    /// `IFA_F_*`.
    pub flags: u32,
    /// The label (IPv4), by default the interface's name.
    pub label: Option<String>,
    /// How long it stays; `None`: for ever.
    pub valid: Option<Duration>,
    /// How long it is used for new connections; `None`: for ever.
    pub preferred: Option<Duration>,
    /// The metric of the route to the interface's network.
    pub metric: Option<u32>,
    /// Who made it (`IFAPROT_*`), from Linux 5.18 on.
    pub protocol: Option<u8>,
}

impl Address {
    /// A plain address for ever. An IPv4 address gets the network's broadcast address, where the network has one.
    pub fn new(address: IpAddr, prefix_len: u8) -> Self {
        let broadcast = match address {
            IpAddr::V4(v4) if prefix_len < 31 => Some(Ipv4Addr::from_bits(
                v4.to_bits() | u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0),
            )),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        Self {
            address,
            prefix_len,
            peer: None,
            broadcast,
            scope: 0,
            flags: 0,
            label: None,
            valid: None,
            preferred: None,
            metric: None,
            protocol: None,
        }
    }

    /// The same address, usable at once: without duplicate address detection (IPv6), which takes a second or more.
    #[must_use]
    pub fn without_detection(mut self) -> Self {
        self.flags |= AddressFlags::Nodad.bits();
        self
    }

    /// The same address, by which the kernel makes no route to its network.
    #[must_use]
    pub fn without_prefix_route(mut self) -> Self {
        self.flags |= AddressFlags::Noprefixroute.bits();
        self
    }

    /// The same address after this time; `None` where it has ended by then.
    #[must_use]
    pub fn aged(mut self, time: Duration) -> Option<Self> {
        if let Some(valid) = self.valid {
            self.valid = Some(valid.checked_sub(time).filter(|left| left.as_secs() > 0)?);
        }
        self.preferred = self.preferred.map(|preferred| preferred.saturating_sub(time));
        Some(self)
    }

    /// Is it an address of the link only (fe80::/10, 169.254.0.0/16)?
    pub fn is_link_local(&self) -> bool {
        match self.address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
    }

    /// Is duplicate address detection still going on (IPv6), so that it cannot be used yet?
    pub fn is_tentative(&self) -> bool {
        self.has(AddressFlags::Tentative)
    }

    /// Did duplicate address detection find another owner (IPv6)?
    pub fn is_duplicate(&self) -> bool {
        self.has(AddressFlags::Dadfailed)
    }

    /// Will it go away by itself, such as one from router advertisements or a DHCP client?
    pub fn is_dynamic(&self) -> bool {
        !self.has(AddressFlags::Permanent)
    }

    /// Is it one of those that are made to be given up soon, so that nobody is known by them for long (IPv6, RFC 8981)?
    pub fn is_temporary(&self) -> bool {
        // `IFA_F_TEMPORARY`, which means something else with IPv4.
        self.address.is_ipv6() && self.has(AddressFlags::Secondary)
    }

    fn has(&self, flag: AddressFlags) -> bool {
        self.flags & flag.bits() != 0
    }

    fn from_message(message: &AddressMessage) -> Option<Self> {
        let mut local = None;
        let mut address = None;
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let mut entry = Self { broadcast: None, ..Self::new(unspecified, message.header.prefix_len) };
        entry.scope = message.header.scope.into();
        entry.flags = u32::from(message.header.flags.bits());
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(ip) => local = Some(*ip),
                AddressAttribute::Address(ip) => address = Some(*ip),
                AddressAttribute::Broadcast(ip) => entry.broadcast = Some(*ip),
                AddressAttribute::Label(label) => entry.label = Some(label.clone()),
                AddressAttribute::Flags(flags) => entry.flags = flags.bits(),
                AddressAttribute::CacheInfo(times) => {
                    entry.valid = lifetime(times.ifa_valid);
                    entry.preferred = lifetime(times.ifa_preferred);
                }
                AddressAttribute::RoutePriority(metric) => entry.metric = Some(*metric),
                AddressAttribute::Protocol(protocol) => entry.protocol = Some((*protocol).into()),
                AddressAttribute::Anycast(_)
                | AddressAttribute::Multicast(_)
                | AddressAttribute::TargetNetNsId(_)
                | AddressAttribute::Other(_)
                | _ => {}
            }
        }
        // Where both are there, "address" is the other end, or (IPv4) the same once more.
        entry.address = local.or(address)?;
        entry.peer = address.filter(|peer| local.is_some_and(|local| local != *peer));
        Some(entry)
    }

    fn to_message(&self, index: u32) -> AddressMessage {
        let mut message = self.key(index);
        let flags = AddressFlags::from_bits_retain(self.flags & settable().bits());
        message.header.scope = AddressScope::from(self.scope);
        message.header.flags = AddressHeaderFlags::from_bits_truncate(flags.bits().to_le_bytes()[0]);
        message.attributes.push(AddressAttribute::Flags(flags));
        message.attributes.extend(self.broadcast.map(AddressAttribute::Broadcast));
        message.attributes.extend(self.label.clone().map(AddressAttribute::Label));
        message.attributes.extend(self.metric.map(AddressAttribute::RoutePriority));
        message
            .attributes
            .extend(self.protocol.map(|by| AddressAttribute::Protocol(AddressProtocol::from(by))));
        if self.valid.is_some() || self.preferred.is_some() {
            let mut times = CacheInfo::default();
            times.ifa_valid = seconds(self.valid);
            times.ifa_preferred = seconds(self.preferred);
            message.attributes.push(AddressAttribute::CacheInfo(times));
        }
        message
    }

    /// What names the address.
    fn key(&self, index: u32) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = self.prefix_len;
        message.header.family = family_of(self.address);
        message.attributes = vec![
            AddressAttribute::Local(self.address),
            AddressAttribute::Address(self.peer.unwrap_or(self.address)),
        ];
        message
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// The flags that may be asked for; the others are states.
fn settable() -> AddressFlags {
    AddressFlags::Nodad
        | AddressFlags::Homeaddress
        | AddressFlags::Managetempaddr
        | AddressFlags::Noprefixroute
        | AddressFlags::Mcautojoin
}

fn lifetime(seconds: u32) -> Option<Duration> {
    (seconds != FOR_EVER).then(|| Duration::from_secs(u64::from(seconds)))
}

fn seconds(lifetime: Option<Duration>) -> u32 {
    lifetime.map_or(FOR_EVER, |lifetime| u32::try_from(lifetime.as_secs()).unwrap_or(FOR_EVER - 1))
}

/// The kernel's family of an IP address.
pub(crate) fn family_of(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

impl Netlink {
    /// The addresses of an interface, IPv4 first, in the kernel's order (primary addresses before their secondaries).
    ///
    /// # Errors
    /// When the interface is gone.
    pub async fn addresses(&self, index: u32) -> Result<Vec<Address>, RequestError> {
        let mut addresses = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = AddressMessage::default();
            message.header.family = family;
            message.header.index = index;
            match self.dump(RouteNetlinkMessage::GetAddress(message)).await {
                Ok(answers) => {
                    addresses.extend(answers.iter().filter_map(|answer| address_of(answer, index)));
                }
                // IPv6 may not be there.
                Err(Cause::Kernel { errno: nix::errno::Errno::EOPNOTSUPP, .. }) => {}
                Err(cause) => return Err(self.name_error(cause, "list the addresses of", index).await),
            }
        }
        Ok(addresses)
    }

    /// Add an address to an interface.
    ///
    /// # Errors
    /// When the interface has it already ([`RequestError::is_exists`]), or is gone, or (IPv6) IPv6 is switched off there.
    pub async fn add_address(&self, index: u32, address: &Address) -> Result<(), RequestError> {
        self.new_address(index, address, NLM_F_CREATE | NLM_F_EXCL, "add").await
    }

    /// Add an address to an interface, or change its lifetimes, flags and metric where it is there already.
    ///
    /// # Errors
    /// When the interface is gone.
    pub async fn replace_address(&self, index: u32, address: &Address) -> Result<(), RequestError> {
        self.new_address(index, address, NLM_F_CREATE | NLM_F_REPLACE, "set").await
    }

    async fn new_address(
        &self,
        index: u32,
        address: &Address,
        flags: u16,
        verb: &str,
    ) -> Result<(), RequestError> {
        match self.perform(RouteNetlinkMessage::NewAddress(address.to_message(index)), flags).await {
            Ok(()) => Ok(()),
            Err(cause) => {
                Err(self.name_error(cause, format!("{verb} the address {address} on"), index).await)
            }
        }
    }

    /// Take an address from an interface. Routes that depend on it go with it, and (IPv4) its secondary addresses unless
    /// the interface promotes them.
    ///
    /// # Errors
    /// When it is not there ([`RequestError::is_gone`]).
    pub async fn remove_address(&self, index: u32, address: &Address) -> Result<(), RequestError> {
        match self.perform(RouteNetlinkMessage::DelAddress(address.key(index)), 0).await {
            Ok(()) => Ok(()),
            Err(cause) => {
                Err(self.name_error(cause, format!("remove the address {address} from"), index).await)
            }
        }
    }
}

fn address_of(message: &RouteNetlinkMessage, index: u32) -> Option<Address> {
    match message {
        RouteNetlinkMessage::NewAddress(message) if message.header.index == index => {
            Address::from_message(message)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]

    use super::*;

    #[test]
    fn broadcast_of_the_network() {
        let broadcast =
            |text: &str, len| Address::new(IpAddr::V4(text.parse().expect("valid")), len).broadcast;
        assert_eq!(broadcast("192.0.2.5", 24), Some(Ipv4Addr::new(192, 0, 2, 255)));
        assert_eq!(broadcast("192.0.2.5", 30), Some(Ipv4Addr::new(192, 0, 2, 7)));
        assert_eq!(broadcast("192.0.2.5", 31), None);
        assert_eq!(broadcast("192.0.2.5", 0), Some(Ipv4Addr::BROADCAST));
    }

    #[test]
    fn what_is_lent_ends() {
        let own = Address::new("192.0.2.5".parse().expect("valid"), 24);
        assert_eq!(own.clone().aged(Duration::MAX), Some(own.clone()));
        let [ten, four] = [10, 4].map(Duration::from_secs);
        let lent = Address { valid: Some(ten), preferred: Some(four), ..own };
        let left = lent.clone().aged(Duration::from_secs(6)).expect("still there");
        assert_eq!((left.valid, left.preferred), (Some(four), Some(Duration::ZERO)));
        assert_eq!(lent.aged(ten), None);
    }

    #[test]
    fn message_round_trip() {
        let mut address = Address::new("192.0.2.5".parse().expect("valid"), 24);
        address.metric = Some(7);
        address.valid = Some(Duration::from_secs(100));
        address.preferred = Some(Duration::from_secs(50));
        address.flags = AddressFlags::Noprefixroute.bits();
        assert_eq!(Address::from_message(&address.to_message(3)), Some(address));
    }
}
