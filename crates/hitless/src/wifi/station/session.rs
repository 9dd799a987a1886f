//! What is said to wpa_supplicant about one interface: finding it, handing over networks, looking around.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use hitless_core::wifi::Ssid;

use super::fault::Fault;
use super::plan::{Kind, Present, plan};
use super::{AccessPoint, Setup};
use crate::causes::chain;
use crate::wifi::network::{Manage, Network};
use crate::wifi::supplicant::connection::{Address, Connection, ConnectionError, Events};
use crate::wifi::supplicant::reply::{self, ListedNetwork, Status, WpaState};
use crate::wifi::supplicant::request::{Country, Global, Interface, NetworkId, Request};
use crate::wifi::supplicant::settings::{self, OURS, Problem, Setting, Unusable};

/// No list is longer than this; a wpa_supplicant that claims so is not asked on.
const MOST: usize = 1000;

/// A connection about one interface.
#[derive(Debug)]
pub(super) struct Session {
    commands: Connection,
    events: Events,
    /// Is the process ours, with all its networks?
    ours: bool,
}

/// A network that has been handed over.
#[derive(Clone, Debug)]
pub(super) struct Handed {
    pub(super) id: NetworkId,
    pub(super) network: Network,
}

/// Networks that have been handed over, and those that could not be.
#[derive(Debug, Default)]
pub(super) struct Handover {
    pub(super) handed: Vec<Handed>,
    pub(super) unusable: Vec<Unusable>,
}

impl Session {
    /// Has the interface taken care of, and connects.
    pub(super) async fn open(setup: &Setup) -> Result<Self, Fault> {
        let directory = setup.supplicant.directory();
        let ours = is_ours(setup);
        let address = if ours { add_interface(setup).await? } else { find_existing(setup).await? };
        let connect = || async {
            let events = Events::open(directory, &address).await?;
            let commands = Connection::open(directory, &address)?;
            Ok(Self { commands, events, ours })
        };
        let session = connect().await.map_err(|error: ConnectionError| unreachable(&error))?;
        if ours {
            session.set_globals(setup).await.map_err(|error| unreachable(&error))?;
        }
        Ok(session)
    }

    /// The next event. May be dropped and called again.
    pub(super) async fn event(&self) -> Result<crate::wifi::supplicant::event::Event, ConnectionError> {
        self.events.next().await
    }

    pub(super) async fn tell(&self, request: Request<'_>) -> Result<(), ConnectionError> {
        self.commands.tell(request).await
    }

    pub(super) async fn status(&self) -> Result<Status, ConnectionError> {
        Ok(reply::status(&self.commands.ask(Request::Status).await?))
    }

    /// The networks that it has, whoever added them.
    pub(super) async fn list(&self) -> Result<Vec<ListedNetwork>, ConnectionError> {
        let mut all: Vec<ListedNetwork> = Vec::new();
        loop {
            let after = all.last().map(|network| network.id);
            let page = reply::networks(&self.commands.ask(Request::ListNetworks { after }).await?);
            let fresh: Vec<ListedNetwork> =
                page.into_iter().filter(|network| Some(network.id) > after).collect();
            if fresh.is_empty() || all.len() > MOST {
                return Ok(all);
            }
            all.extend(fresh);
        }
    }

    /// The access points that it has heard of late.
    pub(super) async fn access_points(&self) -> Result<Vec<AccessPoint>, ConnectionError> {
        let mut all = Vec::new();
        let mut from = 0;
        loop {
            let page = reply::access_points(&self.commands.ask(Request::AccessPoints { from }).await?);
            let Some(last) = page.iter().map(|bss| bss.id).filter(|id| *id >= from).max() else {
                return Ok(all);
            };
            all.extend(page.into_iter().map(AccessPoint::from));
            if all.len() > MOST {
                return Ok(all);
            }
            from = last.saturating_add(1);
        }
    }

    /// Hands over the networks that are not there, and takes away those that are not wanted. What is there as it should
    /// be is left alone, and so is what is there and wanted while its secret cannot be read.
    pub(super) async fn hand_over(&self, networks: &[Network]) -> Result<Handover, ConnectionError> {
        let mut handover = Handover::default();
        let mut wanted = Vec::new();
        let mut unclear = Vec::new();
        for network in networks {
            match settings::of(network) {
                Ok(settings) => wanted.push((network, settings)),
                Err(problem) => {
                    unclear.push(network.ssid.clone());
                    handover.unusable.push(problem);
                }
            }
        }
        let kinds: Vec<(Ssid, Kind)> =
            wanted.iter().map(|(network, settings)| (network.ssid.clone(), Kind::of(settings))).collect();
        let plan = plan(&self.present().await?, &kinds, &unclear, self.ours);
        let known = |ssid: &Ssid| networks.iter().find(|network| network.ssid == *ssid).cloned();
        let left =
            plan.leave.into_iter().filter_map(|(id, ssid)| Some(Handed { id, network: known(&ssid)? }));
        handover.handed.extend(left);
        for network in plan.remove {
            self.remove(network).await?;
        }
        let keep = plan.keep.into_iter().map(|(id, index)| (Some(id), index));
        let add = plan.add.into_iter().map(|index| (None, index));
        for (id, index) in keep.chain(add) {
            let Some((network, settings)) = wanted.get(index) else { continue };
            match self.give(id, network, settings).await? {
                Ok(id) => handover.handed.push(Handed { id, network: (*network).clone() }),
                Err(problem) => handover.unusable.push(problem),
            }
        }
        // Only now, so that the best of them is chosen.
        for handed in &handover.handed {
            self.tell(Request::EnableNetwork(handed.id)).await?;
        }
        Ok(handover)
    }

    /// Hands over one network, which is not enabled by that.
    pub(super) async fn add(
        &self,
        network: &Network,
    ) -> Result<Result<NetworkId, Unusable>, ConnectionError> {
        match settings::of(network) {
            Ok(settings) => self.give(None, network, &settings).await,
            Err(problem) => Ok(Err(problem)),
        }
    }

    /// Takes a network away, if it is still there.
    pub(super) async fn remove(&self, network: NetworkId) -> Result<(), ConnectionError> {
        let removed = self.tell(Request::RemoveNetwork(network)).await;
        ignore_answer(removed)
    }

    /// Gives a network its settings: one that is there, or a new one.
    async fn give(
        &self,
        id: Option<NetworkId>,
        network: &Network,
        settings: &[Setting],
    ) -> Result<Result<NetworkId, Unusable>, ConnectionError> {
        let id = match id {
            Some(id) => id,
            None => {
                let request = Request::AddNetwork;
                reply::network_id(&self.commands.ask(request).await?, request.name())?
            }
        };
        for setting in settings {
            match self.tell(Request::SetNetwork(id, setting)).await {
                Ok(()) => {}
                Err(error) if error.is_answer() => {
                    self.remove(id).await?;
                    let problem = Problem::Refused { key: setting.key };
                    return Ok(Err(Unusable { ssid: network.ssid.clone(), problem }));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(id))
    }

    async fn present(&self) -> Result<Vec<Present>, ConnectionError> {
        let mut present = Vec::new();
        for ListedNetwork { id, ssid, .. } in self.list().await? {
            let ours = self.setting(id, "id_str").await?.is_some_and(|value| value.trim_matches('"') == OURS);
            let kind = Kind {
                key_mgmt: self.setting(id, "key_mgmt").await?,
                eap: self.setting(id, "eap").await?,
                // As it has it, in lower case; without one it says that it failed.
                bssid: self.setting(id, "bssid").await?,
            };
            present.push(Present { id, ssid, ours, kind });
        }
        Ok(present)
    }

    async fn setting(&self, id: NetworkId, key: &'static str) -> Result<Option<String>, ConnectionError> {
        match self.commands.ask(Request::GetNetwork(id, key)).await {
            Ok(reply) => Ok(reply::value(&reply).filter(|value| !value.is_empty())),
            Err(error) if error.is_answer() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Which of the settings that are not one network's let it change the address of the interface. Ours has none.
    pub(super) async fn randomisers(&self) -> Result<Vec<&'static str>, ConnectionError> {
        let mut found = Vec::new();
        for key in ["mac_addr", "preassoc_mac_addr"] {
            match self.commands.ask(Request::Get(key)).await {
                Ok(reply) if reply::value(&reply).is_some_and(|value| value != "0") => found.push(key),
                Ok(_) => {}
                Err(error) if error.is_answer() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// What does not go through the file, because it may change, or because not every wpa_supplicant knows it.
    pub(super) async fn set_globals(&self, setup: &Setup) -> Result<(), ConnectionError> {
        let sae_pwe = self.tell(Request::Set(Global::SaePwe(2))).await;
        ignore_answer(sae_pwe)?;
        let Some(country) = setup.config.country.as_deref().and_then(Country::new) else { return Ok(()) };
        // To say the same again would make the kernel look at its rules again.
        let known = self.commands.ask(Request::Get("country")).await;
        match known {
            Ok(reply) if reply::value(&reply).as_deref() == Some(country.letters()) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.is_answer() => {}
            Err(error) => return Err(error),
        }
        let country = self.tell(Request::Set(Global::Country(country))).await;
        ignore_answer(country)
    }
}

/// Does wpa_supplicant belong to us, or to somebody else?
pub(super) fn is_ours(setup: &Setup) -> bool {
    match setup.config.manage {
        Manage::Existing => false,
        Manage::Auto | Manage::Iwd | Manage::Off => true,
    }
}

fn ignore_answer(result: Result<(), ConnectionError>) -> Result<(), ConnectionError> {
    match result {
        Err(error) if !error.is_answer() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn unreachable(error: &ConnectionError) -> Fault {
    Fault::Unreachable { problem: chain(error) }
}

/// Has our own wpa_supplicant take care of the interface, if it does not yet.
async fn add_interface(setup: &Setup) -> Result<Address, Fault> {
    let name = setup.interface.as_str();
    let supplicant = &setup.supplicant;
    let open = || Connection::open(supplicant.directory(), &supplicant.global());
    let global = open().map_err(|error| unreachable(&error))?;
    let interfaces = global.ask(Request::Interfaces).await.map_err(|error| unreachable(&error))?;
    if reply::interfaces(&interfaces).iter().any(|interface| interface == name) {
        if is_alive(setup).await {
            return Ok(supplicant.interface(name));
        }
        tracing::debug!("{name}: wpa_supplicant has it, and it is dead; given to it anew");
        ignore_answer(global.tell(Request::InterfaceRemove(name)).await)
            .map_err(|error| unreachable(&error))?;
    }
    let config = write_config(setup)?;
    let mut interface =
        Interface { name, config: &config, driver: supplicant.driver(), bridge: setup.bond.as_deref() };
    let mut added = global.tell(Request::InterfaceAdd(&interface)).await;
    if matches!(&added, Err(error) if error.is_answer()) && interface.bridge.take().is_some() {
        // It refuses a bond that is not there yet. Only old drivers need to know it.
        added = global.tell(Request::InterfaceAdd(&interface)).await;
    }
    match added {
        Ok(()) => Ok(supplicant.interface(name)),
        Err(error) if error.is_answer() => Err(Fault::InterfaceRefused { interface: name.to_owned() }),
        Err(error) => Err(unreachable(&error)),
    }
}

/// Does it say of the interface that it is of use? It may be one that was pulled out.
async fn is_alive(setup: &Setup) -> bool {
    let address = setup.supplicant.interface(&setup.interface);
    let Ok(connection) = Connection::open(setup.supplicant.directory(), &address) else { return false };
    match connection.ask(Request::Status).await.map(|status| reply::status(&status)) {
        Ok(status) => !matches!(status.state, WpaState::InterfaceDisabled | WpaState::Unknown),
        Err(_) => false,
    }
}

/// What wpa_supplicant has to know before it touches the interface: our sockets, and that the address is not its to
/// change. No secrets.
fn write_config(setup: &Setup) -> Result<PathBuf, Fault> {
    use std::os::unix::ffi::OsStrExt as _;
    let path = setup.supplicant.directory().join(format!("{}.conf", setup.interface));
    let mut text = b"ctrl_interface=".to_vec();
    text.extend(setup.supplicant.control().as_os_str().as_bytes());
    text.extend(
        b"\nupdate_config=0\nap_scan=1\npmf=1\np2p_disabled=1\nmac_addr=0\npreassoc_mac_addr=0\ngas_rand_mac_addr=0\n",
    );
    if let Some(country) = setup.config.country.as_deref().and_then(Country::new) {
        text.extend(format!("country={}\n", country.letters()).bytes());
    }
    let write = || {
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))
    };
    write().map_err(|error| Fault::Unreachable {
        problem: format!("cannot write {}: {error}", path.display()),
    })?;
    Ok(path)
}

/// Where somebody else's wpa_supplicant listens for this interface.
async fn find_existing(setup: &Setup) -> Result<Address, Fault> {
    // Our ends of the sockets are there.
    let made = setup.supplicant.make_directory();
    made.map_err(|error| Fault::Unreachable { problem: chain(&error) })?;
    let place = setup.supplicant.existing();
    let socket = place.join(&setup.interface);
    if socket.exists() {
        return Ok(Address::of(socket));
    }
    let directory = setup.supplicant.directory();
    let beside = place.with_file_name(format!("{}-global", place.file_name().unwrap_or_default().display()));
    for server in [place.join("global"), beside] {
        let Ok(connection) = Connection::open(directory, &Address::of(&server)) else { continue };
        let Ok(interfaces) = connection.ask(Request::Interfaces).await else { continue };
        if reply::interfaces(&interfaces).contains(&setup.interface) {
            return Ok(Address { server, interface: Some(setup.interface.clone()) });
        }
    }
    Err(Fault::NotManaged { interface: setup.interface.clone(), socket })
}

/// Gives the interface back.
pub(super) async fn release(setup: &Setup, session: Option<Session>) {
    let supplicant = &setup.supplicant;
    if is_ours(setup) {
        // Before its connection ends, so that it is not missed in between.
        if let Ok(global) = Connection::open(supplicant.directory(), &supplicant.global()) {
            drop(global.tell(Request::InterfaceRemove(&setup.interface)).await);
        }
        drop(std::fs::remove_file(supplicant.directory().join(format!("{}.conf", setup.interface))));
    } else if let Some(session) = session
        && let Ok(present) = session.present().await
    {
        for network in present.iter().filter(|network| network.ours) {
            drop(session.remove(network.id).await);
        }
    }
}

/// Names by number.
pub(super) fn names(handed: &[Handed]) -> BTreeMap<NetworkId, Ssid> {
    handed.iter().map(|handed| (handed.id, handed.network.ssid.clone())).collect()
}
