//! Reading what is judged. Changes nothing, and waits for nobody but the kernel; and for wired ports to hear each other.

use std::collections::BTreeMap;

use hitless_api as api;
use hitless_core::event::PortId;
use hitless_linux::ebpf;
use hitless_linux::error::RequestError;
use hitless_linux::link::Link;
use hitless_linux::netlink::Netlink;
use hitless_linux::sysctl::{Ipv4Setting, Ipv6Setting};

use super::{Bonding, Datapath, Facts, Interface, Seen, Settings, clients, ports, wires};
use crate::causes::chain;
use crate::managers::{self, Kept, Places};

/// The name under which the kernel keeps what holds for all interfaces.
const ALL: &str = "all";

/// All that is judged of this bond, of which the daemon has told.
///
/// # Errors
/// When the kernel does not list its interfaces. What only root may read is no error.
pub async fn facts(netlink: &Netlink, bond: api::Bond) -> Result<Facts, RequestError> {
    let mut interfaces = Vec::new();
    for link in netlink.links().await? {
        match interface(netlink, link).await {
            Ok(interface) => interfaces.push(interface),
            Err(error) if error.is_gone() => {}
            Err(error) => return Err(error),
        }
    }
    let index = interfaces.iter().find(|interface| interface.name == bond.name).map(|bond| bond.index);
    let datapath = match (bond.driver, index) {
        (api::Driver::Ebpf, Some(index)) => datapath(index, &bond),
        (api::Driver::Ebpf | api::Driver::Kernel, _) => Ok(None),
    };
    let others = managers::arrangements(&Places::default(), &[kept(&bond)]);
    let heard = heard(&bond, &interfaces).await;
    Ok(Facts { bond, interfaces, datapath, clients: clients::collect(), others, heard })
}

/// What of this bond is nobody else's.
pub fn kept(bond: &api::Bond) -> Kept {
    Kept {
        bond: bond.name.clone(),
        interfaces: bond.ports.iter().map(|port| port.name.clone()).collect(),
        external: bond.dhcp.is_none(),
    }
}

async fn interface(netlink: &Netlink, link: Link) -> Result<Interface, RequestError> {
    Ok(Interface {
        addresses: netlink.addresses(link.index).await?,
        routes: netlink.routes(link.index).await?,
        settings: settings(&link.name).map_err(|error| error.to_string()),
        index: link.index,
        name: link.name,
        up: link.admin_up,
        loopback: link.loopback,
        mac: link.mac,
        master: link.master,
        bonding: link.bond.map(|bond| Bonding {
            mode: bond.options.mode.map(|mode| mode.to_string()).unwrap_or_default(),
            active: bond.active,
        }),
    })
}

/// Which wired standby ports hear the active one.
async fn heard(bond: &api::Bond, interfaces: &[Interface]) -> BTreeMap<String, Seen<bool>> {
    let Some((active, standbys)) = ports::wires(bond) else { return BTreeMap::new() };
    let link = interfaces.iter().find(|link| Some(link.index) == active.index && link.name == active.name);
    let Some((link, mac)) = link.and_then(|link| Some((link, link.mac?))) else { return BTreeMap::new() };
    wires::heard((link.index, &link.name), mac, &standbys).await
}

fn settings(name: &str) -> Result<Settings, RequestError> {
    let in_force = |setting: Ipv4Setting| Ok(setting.get(ALL)?.max(setting.get(name)?));
    Ok(Settings {
        rp_filter: in_force(Ipv4Setting::RpFilter)?,
        arp_ignore: in_force(Ipv4Setting::ArpIgnore)?,
        ipv6_disabled: Ipv6Setting::DisableIpv6.get(name)?.map(|value| value != 0),
    })
}

fn datapath(index: u32, bond: &api::Bond) -> Seen<Option<Datapath>> {
    try_datapath(index, bond).map_err(|error| chain(&error))
}

fn try_datapath(index: u32, bond: &api::Bond) -> Result<Option<Datapath>, ebpf::DatapathError> {
    let Some(found) = ebpf::Datapath::adopt(index)? else { return Ok(None) };
    let mut attached = Vec::new();
    for port in bond.ports.iter().filter_map(|port| port.index) {
        if found.is_attached(PortId(port))? {
            attached.push(port);
        }
    }
    let transmit = found.table()?.transmit.ports().iter().map(|port| port.0).collect();
    Ok(Some(Datapath { attached, transmit }))
}
