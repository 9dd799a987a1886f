//! Interfaces: what is known of them, and the requests that make, change and remove them.
//!
//! The options of bonds and their ports are in [`bond`](crate::bond).

#![allow(clippy::wildcard_enum_match_arm, reason = "rtnetlink's enums are foreign, open and long")]

use std::fs;

use hitless_core::mac::MacAddr;
use netlink_packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoPortData, InfoVeth, InfoVlan, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo,
    LinkMessage, Prop,
};

use crate::bond::{BondPortState, BondState};
use crate::error::{Cause, RequestError};
use crate::netlink::Netlink;

/// `IFLA_IFALIAS` (linux/if_link.h).
const IFLA_IFALIAS: u16 = 20;

/// The longest interface name, in octets (`IFNAMSIZ` less the terminating zero).
pub const MAX_NAME: usize = 15;

/// An interface, as the kernel describes it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel's flags, independent of each other")]
pub struct Link {
    /// Its index; never used again for another one while the namespace lives (short of an overflow).
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its alternative names.
    pub alt_names: Vec<String>,
    /// Its hardware address, where it is an Ethernet-like interface.
    pub mac: Option<MacAddr>,
    /// The address that its hardware came with; virtual interfaces have none.
    pub permanent_mac: Option<MacAddr>,
    /// The largest packet that it takes, in octets, without the Ethernet header.
    pub mtu: u32,
    /// Is it switched on (`IFF_UP`)?
    pub admin_up: bool,
    /// What its driver says of the link (`IFLA_CARRIER`). Up to date also where the event is late.
    pub carrier: bool,
    /// Is it operational (`IFF_RUNNING`: switched on, carrier, and not waiting for authentication)?
    pub running: bool,
    /// What it is, where it is virtual: `veth`, `bond`, `bridge`, `vlan` …
    pub kind: Option<String>,
    /// The bond or bridge that it is a port of, by index.
    pub master: Option<u32>,
    /// What kind of interface the master is: `bond`, `bridge`, `team` …
    pub master_kind: Option<String>,
    /// The interface that it stands on (of a VLAN), or its peer (of a veth), by index (`IFLA_LINK`).
    pub link: Option<u32>,
    /// Is [`Link::link`] an index of another network namespace?
    pub link_elsewhere: bool,
    /// The VLAN's number, where the interface is a VLAN on [`Link::link`].
    pub vlan_id: Option<u16>,
    /// The text that describes it.
    pub alias: Option<String>,
    /// Is it asked by the administrator to take frames for any address (`IFF_PROMISC`)?
    pub promisc: bool,
    /// How many want it to receive everything: users, bridges, packet sockets.
    pub promiscuity: u32,
    /// Is it asked by the administrator to take all multicast frames (`IFF_ALLMULTI`)?
    pub allmulti: bool,
    /// Is it the loopback interface?
    pub loopback: bool,
    /// Options and state, where it is a bond.
    pub bond: Option<Box<BondState>>,
    /// Options and state as a port, where it is a port of a bond.
    pub bond_port: Option<BondPortState>,
}

impl Link {
    /// Is it a wireless interface? Best effort: false where sysfs does not show this network namespace.
    pub fn is_wireless(&self) -> bool {
        let directory = format!("/sys/class/net/{}", self.name);
        // sysfs shows the namespace of whoever mounted it: make sure that this is our interface.
        let index = fs::read_to_string(format!("{directory}/ifindex")).unwrap_or_default();
        let ours = index.trim().parse() == Ok(self.index);
        ours && ["phy80211", "wireless"]
            .iter()
            .any(|entry| fs::exists(format!("{directory}/{entry}")).unwrap_or(false))
    }

    /// What a message says of an interface; `None` where it does not describe all of it (such as wireless events).
    pub(crate) fn from_message(message: &LinkMessage) -> Option<Self> {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: name_of(message)?,
            alt_names: Vec::new(),
            mac: None,
            permanent_mac: None,
            mtu: 0,
            admin_up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            running: flags.contains(LinkFlags::Running),
            kind: None,
            master: None,
            master_kind: None,
            link: None,
            link_elsewhere: false,
            vlan_id: None,
            alias: None,
            promisc: flags.contains(LinkFlags::Promisc),
            promiscuity: 0,
            allmulti: flags.contains(LinkFlags::Allmulti),
            loopback: flags.contains(LinkFlags::Loopback),
            bond: None,
            bond_port: None,
        };
        let mut complete = false;
        for attribute in &message.attributes {
            complete |= matches!(attribute, LinkAttribute::Mtu(_));
            link.take(attribute);
        }
        complete.then_some(link)
    }

    fn take(&mut self, attribute: &LinkAttribute) {
        match attribute {
            LinkAttribute::Address(octets) => self.mac = mac(octets),
            LinkAttribute::PermAddress(octets) => {
                self.permanent_mac = mac(octets).filter(|mac| mac.is_station());
            }
            LinkAttribute::Mtu(mtu) => self.mtu = *mtu,
            LinkAttribute::Promiscuity(count) => self.promiscuity = *count,
            LinkAttribute::Carrier(carrier) => self.carrier = *carrier != 0,
            LinkAttribute::Controller(index) => self.master = Some(*index).filter(|index| *index != 0),
            LinkAttribute::Link(index) => self.link = Some(*index).filter(|index| *index != 0),
            LinkAttribute::LinkNetNsId(_) => self.link_elsewhere = true,
            LinkAttribute::IfAlias(alias) => {
                self.alias = Some(alias.clone()).filter(|alias| !alias.is_empty());
            }
            LinkAttribute::PropList(properties) => {
                self.alt_names.extend(properties.iter().filter_map(|property| match property {
                    Prop::AltIfName(name) => Some(name.clone()),
                    Prop::Other(_) | _ => None,
                }));
            }
            LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| self.take_info(info)),
            _ => {}
        }
    }

    fn take_info(&mut self, info: &LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = Some(kind.to_string()),
            LinkInfo::PortKind(kind) => self.master_kind = Some(kind.to_string()),
            LinkInfo::Data(InfoData::Bond(options)) => {
                self.bond = Some(Box::new(BondState::from_attributes(options)));
            }
            LinkInfo::Data(InfoData::Vlan(options)) => {
                self.vlan_id = options.iter().find_map(|option| match option {
                    InfoVlan::Id(id) => Some(*id),
                    _ => None,
                });
            }
            LinkInfo::PortData(InfoPortData::BondPort(options)) => {
                self.bond_port = Some(BondPortState::from_attributes(options));
            }
            LinkInfo::Data(_) | LinkInfo::PortData(_) | LinkInfo::Xstats(_) | LinkInfo::Other(_) | _ => {}
        }
    }
}

/// The name in a message.
pub(crate) fn name_of(message: &LinkMessage) -> Option<String> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

/// The address in these octets, where it is a 48-bit one.
pub(crate) fn mac(octets: &[u8]) -> Option<MacAddr> {
    octets.try_into().ok().map(MacAddr)
}

/// Can this be the name of an interface (`dev_valid_name` in net/core/dev.c)?
pub fn is_valid_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= MAX_NAME
        && !name.contains(|c: char| matches!(c, '/' | ':' | '\0') || c.is_ascii_whitespace())
}

/// A message about the interface with this index.
pub(crate) fn about(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

/// A message with these attributes.
pub(crate) fn with(
    mut message: LinkMessage,
    attributes: impl IntoIterator<Item = LinkAttribute>,
) -> LinkMessage {
    message.attributes.extend(attributes);
    message
}

fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

impl Netlink {
    /// All interfaces of the namespace.
    ///
    /// # Errors
    /// When the kernel refuses, or the connection is closed.
    pub async fn links(&self) -> Result<Vec<Link>, RequestError> {
        let message = with(LinkMessage::default(), [without_statistics()]);
        let answers = self
            .dump(RouteNetlinkMessage::GetLink(message))
            .await
            .map_err(|cause| cause.of("list interfaces", ""))?;
        Ok(answers.iter().filter_map(as_link).collect())
    }

    /// The interface with this index, if there is one.
    ///
    /// # Errors
    /// When the kernel refuses, or the connection is closed.
    pub async fn link(&self, index: u32) -> Result<Option<Link>, RequestError> {
        let message = with(about(index), [without_statistics()]);
        self.one_link(message).await.map_err(|cause| cause.of("look up", format!("interface {index}")))
    }

    /// The interface with this name, if there is one. The name may be an alternative one: the interface that is found
    /// then has another name than the one that was asked for.
    ///
    /// # Errors
    /// When the kernel refuses, or the connection is closed.
    pub async fn link_named(&self, name: &str) -> Result<Option<Link>, RequestError> {
        if !is_valid_name(name) {
            return Ok(None);
        }
        let message = with(about(0), [LinkAttribute::IfName(name.to_owned()), without_statistics()]);
        self.one_link(message).await.map_err(|cause| cause.of("look up", name))
    }

    async fn one_link(&self, message: LinkMessage) -> Result<Option<Link>, Cause> {
        match self.query(RouteNetlinkMessage::GetLink(message), 0).await {
            Ok(answers) => Ok(answers.iter().find_map(as_link)),
            Err(Cause::Kernel { errno: nix::errno::Errno::ENODEV, .. }) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// How many frames the interface has received since it exists (`IFLA_STATS64`).
    ///
    /// # Errors
    /// When the interface is gone.
    pub async fn rx_packets(&self, index: u32) -> Result<u64, RequestError> {
        let request = "count the frames received on";
        let answers = match self.query(RouteNetlinkMessage::GetLink(about(index)), 0).await {
            Ok(answers) => answers,
            Err(cause) => return Err(self.name_error(cause, request, index).await),
        };
        let statistics =
            answers.iter().filter_map(as_message).flat_map(|message| &message.attributes).find_map(
                |attribute| match attribute {
                    LinkAttribute::Stats64(statistics) => Some(statistics.rx_packets),
                    _ => None,
                },
            );
        statistics.ok_or_else(|| Cause::Answer("statistics").of(request, format!("interface {index}")))
    }

    /// Create a pair of interfaces: what is sent into one comes out of the other. Both are down at first.
    ///
    /// # Errors
    /// When a name is taken ([`RequestError::is_exists`]) or cannot be one, or the privilege is missing.
    pub async fn create_veth(&self, name: &str, peer: &str) -> Result<(), RequestError> {
        self.create_veth_with(name, peer, None).await
    }

    /// The same, and the peer has this hardware address from its first moment on.
    ///
    /// # Errors
    /// As [`Netlink::create_veth`].
    pub async fn create_marked_veth(
        &self,
        name: &str,
        peer: &str,
        peer_mac: MacAddr,
    ) -> Result<(), RequestError> {
        self.create_veth_with(name, peer, Some(peer_mac)).await
    }

    async fn create_veth_with(
        &self,
        name: &str,
        peer: &str,
        peer_mac: Option<MacAddr>,
    ) -> Result<(), RequestError> {
        let request = format!("create the veth pair {peer} and");
        if let Some(wrong) = [name, peer].into_iter().find(|name| !is_valid_name(name)) {
            return Err(invalid_name(wrong).of(request, name));
        }
        let mac = peer_mac.map(|mac| LinkAttribute::Address(mac.0.to_vec()));
        let peer = with(about(0), [LinkAttribute::IfName(peer.to_owned())].into_iter().chain(mac));
        let info = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)))];
        let attributes = [LinkAttribute::IfName(name.to_owned()), LinkAttribute::LinkInfo(info)];
        let message = RouteNetlinkMessage::NewLink(with(about(0), attributes));
        self.perform(message, NLM_F_CREATE | NLM_F_EXCL).await.map_err(|cause| cause.of(request, name))
    }

    /// Remove the interface (of a veth pair: both).
    ///
    /// # Errors
    /// When it is gone, or is not one that can be removed.
    pub async fn delete(&self, index: u32) -> Result<(), RequestError> {
        match self.perform(RouteNetlinkMessage::DelLink(about(index)), 0).await {
            Ok(()) => Ok(()),
            Err(cause) => Err(self.name_error(cause, "remove", index).await),
        }
    }

    /// Switch the interface on or off. Switching it off removes its IPv6 addresses and its routes.
    ///
    /// # Errors
    /// When it is gone, or its driver refuses.
    pub async fn set_up(&self, index: u32, up: bool) -> Result<(), RequestError> {
        self.set_flag(index, LinkFlags::Up, up, if up { "switch on" } else { "switch off" }).await
    }

    /// Have the interface take all multicast frames, or only those that it is a member of.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn set_allmulti(&self, index: u32, on: bool) -> Result<(), RequestError> {
        self.set_flag(index, LinkFlags::Allmulti, on, "set allmulticast on").await
    }

    /// Have the interface take all frames, or only those for its own addresses.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn set_promisc(&self, index: u32, on: bool) -> Result<(), RequestError> {
        self.set_flag(index, LinkFlags::Promisc, on, "set promiscuous mode on").await
    }

    async fn set_flag(
        &self,
        index: u32,
        flag: LinkFlags,
        on: bool,
        request: &'static str,
    ) -> Result<(), RequestError> {
        let mut message = about(index);
        message.header.flags.set(flag, on);
        message.header.change_mask = flag;
        self.set(message, request).await
    }

    /// Give the interface this hardware address.
    ///
    /// # Errors
    /// When its driver refuses: many do while it is up ([`RequestError::is_busy`], see
    /// [`Netlink::set_mac_even_if_busy`]).
    pub async fn set_mac(&self, index: u32, mac: MacAddr) -> Result<(), RequestError> {
        let message = with(about(index), [LinkAttribute::Address(mac.0.to_vec())]);
        self.set(message, format!("set the hardware address {mac} on")).await
    }

    /// Give the interface this hardware address; where its driver does not do that while it is up, switch it off for
    /// the moment. (That removes its IPv6 addresses and routes: for interfaces that have none, such as ports.)
    ///
    /// # Errors
    /// When its driver refuses also then. The interface is switched on again where that is possible.
    pub async fn set_mac_even_if_busy(&self, index: u32, mac: MacAddr) -> Result<(), RequestError> {
        match self.set_mac(index, mac).await {
            Err(error) if error.is_busy() => {}
            result => return result,
        }
        self.set_mac_while_off(index, mac).await
    }

    /// Switch the interface off, give it this hardware address, and switch it on. Who speaks for the interface (a Wi-Fi
    /// supplicant) may learn of a new address only by that, and does, also if it switches the interface on meanwhile. (It
    /// removes its IPv6 addresses and routes.)
    ///
    /// # Errors
    /// When its driver refuses. The interface is switched on again where that is possible.
    pub async fn set_mac_while_off(&self, index: u32, mac: MacAddr) -> Result<(), RequestError> {
        self.set_up(index, false).await?;
        let result = self.set_mac(index, mac).await;
        // A supplicant that is given the interface switches it on and reads its address. If that was still the old one, and
        // the driver has taken the new one all the same, only this tells it so.
        let off = self.set_up(index, false).await;
        let on = self.set_up(index, true).await;
        result.and(off).and(on)
    }

    /// Set the largest packet that the interface takes, in octets.
    ///
    /// # Errors
    /// When its driver does not do this size.
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), RequestError> {
        self.set(with(about(index), [LinkAttribute::Mtu(mtu)]), format!("set the MTU {mtu} on")).await
    }

    /// Set the text that describes the interface, at most 255 octets; an empty one removes it.
    ///
    /// # Errors
    /// When it is too long, or the interface gone.
    pub async fn set_alias(&self, index: u32, alias: &str) -> Result<(), RequestError> {
        // Without the terminating zero that `LinkAttribute::IfAlias` appends: the kernel counts octets.
        let alias = LinkAttribute::Other(DefaultNla::new(IFLA_IFALIAS, alias.as_bytes().to_vec()));
        self.set(with(about(index), [alias]), "set the alias of").await
    }

    /// Make the interface a port of this bond or bridge, or of none. A port of a kernel bond has to be down before.
    ///
    /// # Errors
    /// When the master refuses it; the kernel mostly says why.
    pub async fn set_master(&self, index: u32, master: Option<u32>) -> Result<(), RequestError> {
        let request = match master {
            Some(master) => format!("add to {} the port", self.name_of_index(master).await),
            None => "release from its bond or bridge".to_owned(),
        };
        self.set(with(about(index), [LinkAttribute::Controller(master.unwrap_or(0))]), request).await
    }

    async fn name_of_index(&self, index: u32) -> String {
        match self.link(index).await {
            Ok(Some(link)) => link.name,
            Ok(None) | Err(_) => format!("interface {index}"),
        }
    }

    /// Give the interface another name.
    ///
    /// # Errors
    /// When the name is taken or cannot be one, or (before Linux 6.0) the interface is up.
    pub async fn rename(&self, index: u32, name: &str) -> Result<(), RequestError> {
        let request = format!("give the name {name} to");
        if !is_valid_name(name) {
            return Err(self.name_error(invalid_name(name), request, index).await);
        }
        self.set(with(about(index), [LinkAttribute::IfName(name.to_owned())]), request).await
    }

    async fn set(&self, message: LinkMessage, request: impl Into<String>) -> Result<(), RequestError> {
        let index = message.header.index;
        match self.perform(RouteNetlinkMessage::SetLink(message), 0).await {
            Ok(()) => Ok(()),
            Err(cause) => Err(self.name_error(cause, request, index).await),
        }
    }
}

/// The cause for a name that no interface can have.
pub(crate) fn invalid_name(name: &str) -> Cause {
    Cause::Invalid(format!(
        "`{name}` cannot be the name of an interface; expected 1 to {MAX_NAME} characters without blank, `/` or `:`"
    ))
}

fn as_message(message: &RouteNetlinkMessage) -> Option<&LinkMessage> {
    match message {
        RouteNetlinkMessage::NewLink(message) => Some(message),
        _ => None,
    }
}

fn as_link(message: &RouteNetlinkMessage) -> Option<Link> {
    as_message(message).and_then(Link::from_message)
}
