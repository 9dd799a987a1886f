//! What iwd has, by its own account: interfaces and networks, as a copy that its signals keep up to date.

use std::collections::{BTreeMap, HashMap};

use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;
use zbus::{OwnedObjectPath, OwnedVariant};

use crate::config::secret::from_hex;

const DEVICE: &str = "net.connman.iwd.Device";
pub(super) const STATION: &str = "net.connman.iwd.Station";
pub(super) const NETWORK: &str = "net.connman.iwd.Network";
pub(super) const KNOWN_NETWORK: &str = "net.connman.iwd.KnownNetwork";
const ACCESS_POINT: &str = "net.connman.iwd.BasicServiceSet";

/// Properties as D-Bus has them (`a{sv}`).
pub(super) type Properties = HashMap<String, OwnedVariant>;

/// The interfaces of an object, with their properties (`a{sa{sv}}`).
pub(super) type Interfaces = HashMap<String, Properties>;

/// Everything that iwd has, by object path.
#[derive(Debug, Default)]
pub(super) struct Objects(BTreeMap<String, BTreeMap<String, BTreeMap<String, Value>>>);

/// A property, of the kinds that are of interest here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    Path(String),
    Flag(bool),
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) path: String,
    /// Is the interface up?
    pub(super) powered: bool,
    /// `None` where it is no station, or not up.
    pub(super) station: Option<StationView>,
}

/// A station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StationView {
    pub(super) phase: Phase,
    pub(super) scanning: bool,
    /// The network that it is in, or on its way into.
    pub(super) network: Option<Ssid>,
}

/// Where a station is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connected,
    Connecting,
    /// Connected, and on its way to another access point.
    Roaming,
    Disconnecting,
    Disconnected,
}

/// How a network is protected, as far as iwd distinguishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Without a passphrase, encrypted or not.
    Open,
    /// By a passphrase: WPA2, WPA3 or both.
    Psk,
    /// By 802.1X.
    Enterprise,
    /// WEP, and what comes later.
    Other,
}

impl Kind {
    fn of(word: &str) -> Self {
        match word {
            "open" => Self::Open,
            "psk" => Self::Psk,
            "8021x" => Self::Enterprise,
            _ => Self::Other,
        }
    }
}

/// A network in range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Visible {
    pub(super) path: String,
    pub(super) ssid: Ssid,
    pub(super) kind: Kind,
    /// In dBm.
    pub(super) signal_dbm: i16,
    /// One of its access points; known since iwd 2.17 or so.
    pub(super) bssid: Option<MacAddr>,
}

/// A network that iwd has joined before, or was given by the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) path: String,
    pub(super) ssid: Ssid,
}

impl Objects {
    /// From what `GetManagedObjects` answers.
    pub(super) fn new(managed: HashMap<OwnedObjectPath, Interfaces>) -> Self {
        let mut objects = Self::default();
        for (path, interfaces) in managed {
            objects.added(path.as_str(), interfaces);
        }
        objects
    }

    pub(super) fn added(&mut self, path: &str, interfaces: Interfaces) {
        let object = self.0.entry(path.to_owned()).or_default();
        for (name, properties) in interfaces {
            let properties = properties.iter().filter_map(|(name, value)| Some((name.clone(), read(value)?)));
            object.insert(name, properties.collect());
        }
    }

    pub(super) fn removed(&mut self, path: &str, interfaces: &[String]) {
        let Some(object) = self.0.get_mut(path) else { return };
        object.retain(|name, _| !interfaces.contains(name));
        if object.is_empty() {
            self.0.remove(path);
        }
    }

    pub(super) fn changed(
        &mut self,
        path: &str,
        interface: &str,
        changed: &Properties,
        invalidated: &[String],
    ) {
        let Some(properties) = self.0.get_mut(path).and_then(|object| object.get_mut(interface)) else {
            return;
        };
        properties.retain(|name, _| !invalidated.contains(name));
        for (name, value) in changed {
            if let Some(value) = read(value) {
                properties.insert(name.clone(), value);
            }
        }
    }

    /// The interface of this name.
    pub(super) fn device(&self, interface: &str) -> Option<Device> {
        let path = self.0.keys().find(|path| self.text(path, DEVICE, "Name") == Some(interface))?;
        Some(Device {
            path: path.clone(),
            powered: self.flag(path, DEVICE, "Powered"),
            station: self.station(path),
        })
    }

    fn station(&self, path: &str) -> Option<StationView> {
        let phase = match self.text(path, STATION, "State")? {
            "connected" => Phase::Connected,
            "connecting" | "connecting (auto)" => Phase::Connecting,
            "roaming" => Phase::Roaming,
            "disconnecting" => Phase::Disconnecting,
            _ => Phase::Disconnected,
        };
        let network = match self.property(path, STATION, "ConnectedNetwork") {
            Some(Value::Path(network)) => self.name(network, NETWORK).or_else(|| ssid_in(network)),
            Some(Value::Text(_) | Value::Flag(_)) | None => None,
        };
        Some(StationView { phase, scanning: self.flag(path, STATION, "Scanning"), network })
    }

    /// The networks that `GetOrderedNetworks` names; with 100 times the dBm.
    pub(super) fn visible(&self, ordered: &[(OwnedObjectPath, i16)]) -> Vec<Visible> {
        let visible = ordered.iter().filter_map(|(path, signal)| {
            let path = path.as_str();
            Some(Visible {
                ssid: self.name(path, NETWORK)?,
                kind: Kind::of(self.text(path, NETWORK, "Type")?),
                signal_dbm: signal / 100,
                bssid: self.access_point(path),
                path: path.to_owned(),
            })
        });
        visible.collect()
    }

    /// An access point of a network: its object is below the network's.
    fn access_point(&self, network: &str) -> Option<MacAddr> {
        let below = format!("{network}/");
        let mut paths = self.0.keys().filter(|path| path.starts_with(&below));
        paths.find_map(|path| self.text(path, ACCESS_POINT, "Address")?.parse().ok())
    }

    /// The networks that iwd knows.
    pub(super) fn known(&self) -> Vec<Known> {
        let known = |path: &String| Some(Known { path: path.clone(), ssid: self.name(path, KNOWN_NETWORK)? });
        self.0.keys().filter_map(known).collect()
    }

    fn name(&self, path: &str, interface: &str) -> Option<Ssid> {
        Ssid::new(self.text(path, interface, "Name")?)
    }

    fn text(&self, path: &str, interface: &str, property: &str) -> Option<&str> {
        match self.property(path, interface, property)? {
            Value::Text(text) => Some(text),
            Value::Path(_) | Value::Flag(_) => None,
        }
    }

    fn flag(&self, path: &str, interface: &str, property: &str) -> bool {
        self.property(path, interface, property) == Some(&Value::Flag(true))
    }

    fn property(&self, path: &str, interface: &str, property: &str) -> Option<&Value> {
        self.0.get(path)?.get(interface)?.get(property)
    }
}

fn read(value: &OwnedVariant) -> Option<Value> {
    if let Ok(flag) = bool::try_from(value) {
        return Some(Value::Flag(flag));
    }
    if let Ok(text) = <&str>::try_from(value) {
        return Some(Value::Text(text.to_owned()));
    }
    let path = OwnedObjectPath::try_from(value.try_clone().ok()?).ok()?;
    Some(Value::Path(path.as_str().to_owned()))
}

/// The name in the path of a network: its octets as hex digits, and its kind (`/net/connman/iwd/0/3/686f6d65_psk`).
pub(super) fn ssid_in(path: &str) -> Option<Ssid> {
    let (octets, _kind) = path.rsplit('/').next()?.rsplit_once('_')?;
    Ssid::new(from_hex(octets)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use zbus::Variant;

    use super::*;

    const RADIO: &str = "/net/connman/iwd/0/3";
    const HOME: &str = "/net/connman/iwd/0/3/686f6d65_psk";

    fn properties<const N: usize>(values: [(&str, Variant<'static>); N]) -> Properties {
        values.into_iter().map(|(name, value)| (name.to_owned(), value.try_into().unwrap())).collect()
    }

    fn path(path: &'static str) -> Variant<'static> {
        Variant::from(zbus::ObjectPath::try_from(path).unwrap())
    }

    fn objects() -> Objects {
        let mut objects = Objects::default();
        let device = properties([
            ("Name", "wlan0".into()),
            ("Powered", true.into()),
            ("Adapter", path("/net/connman/iwd/0")),
        ]);
        let station = properties([("State", "disconnected".into()), ("Scanning", false.into())]);
        objects.added(RADIO, [(DEVICE.to_owned(), device), (STATION.to_owned(), station)].into());
        let home = properties([("Name", "home".into()), ("Type", "psk".into())]);
        objects.added(HOME, [(NETWORK.to_owned(), home)].into());
        objects
    }

    #[test]
    fn signals_keep_it_up_to_date() {
        let mut objects = objects();
        assert_eq!(objects.device("wlan1"), None);
        let station = objects.device("wlan0").unwrap().station.unwrap();
        assert_eq!((station.phase, station.network), (Phase::Disconnected, None));

        let joined = properties([("State", "connected".into()), ("ConnectedNetwork", path(HOME))]);
        objects.changed(RADIO, STATION, &joined, &[]);
        let station = objects.device("wlan0").unwrap().station.unwrap();
        assert_eq!((station.phase, station.network), (Phase::Connected, Ssid::new("home")));

        objects.changed(
            RADIO,
            STATION,
            &properties([("State", "disconnected".into())]),
            &["ConnectedNetwork".into()],
        );
        assert_eq!(objects.device("wlan0").unwrap().station.unwrap().network, None);

        objects.removed(RADIO, &[STATION.to_owned()]);
        assert_eq!(objects.device("wlan0").unwrap().station, None);
        objects.removed(RADIO, &[DEVICE.to_owned()]);
        assert_eq!(objects.device("wlan0"), None);
    }

    #[test]
    fn networks_in_range() {
        let listed = [
            (OwnedObjectPath::try_from(HOME).unwrap(), -4200),
            (OwnedObjectPath::try_from(RADIO).unwrap(), 0),
        ];
        let visible = objects().visible(&listed);
        let [home] = visible.as_slice() else { panic!("{visible:?}") };
        assert_eq!((home.ssid.to_string().as_str(), home.kind, home.signal_dbm), ("home", Kind::Psk, -42));
    }

    #[test]
    fn a_path_has_a_name_in_it() {
        assert_eq!(ssid_in(HOME), Ssid::new("home"));
        assert_eq!(ssid_in("/net/connman/iwd/0/3"), None);
        assert_eq!(ssid_in("/net/connman/iwd/0/3/zz_psk"), None);
    }
}
