//! What is said to wpa_supplicant.
//!
//! A request is one datagram of text. What comes from the user is in it as hex digits or within rules that leave no room
//! for anything else, so that no name, path or passphrase can become another command or another field.

use std::fmt;
use std::path::Path;

use super::settings::{Setting, Value};
use super::text;

/// A network of one interface, as wpa_supplicant counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub u32);

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What of an access point is wanted: its number, BSSID, frequency, level, flags, SSID and the line between two of
/// them (WPA_BSS_MASK_* in its src/common/wpa_ctrl.h).
const BSS_MASK: u32 = 1 | 1 << 1 | 1 << 2 | 1 << 7 | 1 << 11 | 1 << 12 | 1 << 17;

/// A request.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Is it there?
    Ping,
    /// Say unasked what happens, to the socket that this comes from.
    Attach,
    /// No longer.
    Detach,
    /// What is the state of the interface?
    Status,
    /// Look for access points.
    Scan,
    /// Which access points with this number or a higher one are known?
    AccessPoints {
        /// The first number.
        from: u32,
    },
    /// Which networks with a higher number than this are known?
    ListNetworks {
        /// The last number that is known already.
        after: Option<NetworkId>,
    },
    /// Make a new network, without settings and disabled.
    AddNetwork,
    /// Change a setting of a network.
    SetNetwork(NetworkId, &'a Setting),
    /// What is a network's setting? Secrets are not told.
    GetNetwork(NetworkId, &'static str),
    /// It may be joined.
    EnableNetwork(NetworkId),
    /// It may not be joined; it is left if it has been.
    DisableNetwork(NetworkId),
    /// Join this one, and disable all others.
    SelectNetwork(NetworkId),
    /// Forget it; it is left if it has been joined.
    RemoveNetwork(NetworkId),
    /// Leave, and stay out.
    Disconnect,
    /// Join again, unless joined.
    Reconnect,
    /// Join again.
    Reassociate,
    /// Change a setting of the interface.
    Set(Global<'a>),
    /// What is a setting of the interface?
    Get(&'static str),
    /// Take care of an interface.
    InterfaceAdd(&'a Interface<'a>),
    /// Take no longer care of an interface.
    InterfaceRemove(&'a str),
    /// Which interfaces are taken care of?
    Interfaces,
    /// End.
    Terminate,
}

/// A setting that is not one network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global<'a> {
    /// Where we are.
    Country(Country<'a>),
    /// How the secret of SAE becomes a point on the curve: 2 is both ways, as the access point has it.
    SaePwe(u8),
}

/// Two letters (ISO 3166).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country<'a>(&'a str);

impl<'a> Country<'a> {
    /// A country by its two letters; `None` where it is not two letters or digits (00 is the world).
    pub fn new(text: &'a str) -> Option<Self> {
        (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(Self(text))
    }

    /// The letters.
    pub fn letters(self) -> &'a str {
        self.0
    }
}

/// An interface that is to be taken care of.
#[derive(Clone, Copy, Debug)]
pub struct Interface<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where its settings are.
    pub config: &'a Path,
    /// Which driver to use.
    pub driver: &'a str,
    /// The interface that it is a port of. Needed where frames of the handshake come in there.
    pub bridge: Option<&'a str>,
}

impl Request<'_> {
    /// The datagram. It may have a secret in it.
    pub fn datagram(&self) -> Vec<u8> {
        match self {
            Self::Ping => b"PING".into(),
            Self::Attach => b"ATTACH".into(),
            Self::Detach => b"DETACH".into(),
            Self::Status => b"STATUS".into(),
            Self::Scan => b"SCAN".into(),
            Self::AccessPoints { from } => format!("BSS RANGE={from}- MASK={BSS_MASK:#x}").into(),
            Self::ListNetworks { after: None } => b"LIST_NETWORKS".into(),
            Self::ListNetworks { after: Some(id) } => format!("LIST_NETWORKS LAST_ID={id}").into(),
            Self::AddNetwork => b"ADD_NETWORK".into(),
            Self::SetNetwork(id, setting) => set_network(*id, setting),
            Self::GetNetwork(id, key) => format!("GET_NETWORK {id} {key}").into(),
            Self::EnableNetwork(id) => format!("ENABLE_NETWORK {id}").into(),
            Self::DisableNetwork(id) => format!("DISABLE_NETWORK {id}").into(),
            Self::SelectNetwork(id) => format!("SELECT_NETWORK {id}").into(),
            Self::RemoveNetwork(id) => format!("REMOVE_NETWORK {id}").into(),
            Self::Disconnect => b"DISCONNECT".into(),
            Self::Reconnect => b"RECONNECT".into(),
            Self::Reassociate => b"REASSOCIATE".into(),
            Self::Set(Global::Country(country)) => format!("SET country {}", country.letters()).into(),
            Self::Set(Global::SaePwe(how)) => format!("SET sae_pwe {how}").into(),
            Self::Get(key) => format!("GET {key}").into(),
            Self::InterfaceAdd(interface) => interface_add(interface),
            Self::InterfaceRemove(name) => format!("INTERFACE_REMOVE {name}").into(),
            Self::Interfaces => b"INTERFACES".into(),
            Self::Terminate => b"TERMINATE".into(),
        }
    }

    /// The command without its arguments: what may be logged, and be in an error.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ping => "PING",
            Self::Attach => "ATTACH",
            Self::Detach => "DETACH",
            Self::Status => "STATUS",
            Self::Scan => "SCAN",
            Self::AccessPoints { .. } => "BSS",
            Self::ListNetworks { .. } => "LIST_NETWORKS",
            Self::AddNetwork => "ADD_NETWORK",
            Self::SetNetwork(..) => "SET_NETWORK",
            Self::GetNetwork(..) => "GET_NETWORK",
            Self::EnableNetwork(_) => "ENABLE_NETWORK",
            Self::DisableNetwork(_) => "DISABLE_NETWORK",
            Self::SelectNetwork(_) => "SELECT_NETWORK",
            Self::RemoveNetwork(_) => "REMOVE_NETWORK",
            Self::Disconnect => "DISCONNECT",
            Self::Reconnect => "RECONNECT",
            Self::Reassociate => "REASSOCIATE",
            Self::Set(_) => "SET",
            Self::Get(_) => "GET",
            Self::InterfaceAdd(_) => "INTERFACE_ADD",
            Self::InterfaceRemove(_) => "INTERFACE_REMOVE",
            Self::Interfaces => "INTERFACES",
            Self::Terminate => "TERMINATE",
        }
    }
}

fn set_network(id: NetworkId, setting: &Setting) -> Vec<u8> {
    let value = match &setting.value {
        Value::Word(word) => (*word).to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Address(mac) => mac.to_string(),
        Value::Quoted(text) => format!("\"{text}\""),
        Value::Octets(octets) | Value::Secret(octets) => text::hex(octets),
        Value::Passphrase(passphrase) => format!("\"{}\"", passphrase.reveal()),
        Value::Unset => "NULL".to_owned(),
    };
    format!("SET_NETWORK {id} {} {value}", setting.key).into()
}

/// Fields in the order of its ctrl_iface.c, parted by tabs: name, configuration, driver, control interface, parameters
/// of the driver, bridge.
fn interface_add(interface: &Interface<'_>) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut datagram = format!("INTERFACE_ADD {}\t", interface.name).into_bytes();
    datagram.extend(interface.config.as_os_str().as_bytes());
    datagram.extend(format!("\t{}\t\t", interface.driver).bytes());
    if let Some(bridge) = interface.bridge {
        datagram.extend(format!("\t{bridge}").bytes());
    }
    datagram
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::wifi::network::Secret;

    fn said(request: Request<'_>) -> String {
        let datagram = String::from_utf8(request.datagram()).unwrap();
        assert!(datagram.starts_with(request.name()), "{datagram}");
        datagram
    }

    #[test]
    fn requests_are_spelt_as_wpa_supplicant_wants_them() {
        assert_eq!(said(Request::AccessPoints { from: 7 }), "BSS RANGE=7- MASK=0x21887");
        assert_eq!(said(Request::ListNetworks { after: Some(NetworkId(3)) }), "LIST_NETWORKS LAST_ID=3");
        let country = Country::new("AT").unwrap();
        assert_eq!(said(Request::Set(Global::Country(country))), "SET country AT");
    }

    #[test]
    fn an_interface_with_and_without_a_bond() {
        let config = Path::new("/run/x/wlan0.conf");
        let mut interface = Interface { name: "wlan0", config, driver: "nl80211", bridge: Some("bond0") };
        assert_eq!(
            said(Request::InterfaceAdd(&interface)),
            "INTERFACE_ADD wlan0\t/run/x/wlan0.conf\tnl80211\t\t\tbond0"
        );
        interface.bridge = None;
        assert_eq!(
            said(Request::InterfaceAdd(&interface)),
            "INTERFACE_ADD wlan0\t/run/x/wlan0.conf\tnl80211\t\t"
        );
    }

    #[test]
    fn what_comes_from_the_user_stays_a_value() {
        let set = |value| said(Request::SetNetwork(NetworkId(0), &Setting { key: "identity", value }));
        assert_eq!(
            set(Value::Octets(b"a\"\nTERMINATE".into())),
            "SET_NETWORK 0 identity 61220a5445524d494e415445"
        );
        assert_eq!(set(Value::Unset), "SET_NETWORK 0 identity NULL");
        let mac = hitless_core::mac::MacAddr([2, 0, 0x5e, 0, 0x53, 1]);
        assert_eq!(set(Value::Address(mac)), "SET_NETWORK 0 identity 02:00:5e:00:53:01");
        assert_eq!(set(Value::Octets(b"NULL".into())), "SET_NETWORK 0 identity 4e554c4c");
    }

    #[test]
    fn a_request_is_shown_without_its_secret() {
        let value = Value::Passphrase(Secret::new("correct horse"));
        let secret = Value::Secret(b"correct horse".into());
        for value in [value, secret] {
            let setting = Setting { key: "psk", value };
            let shown = format!("{:?}", Request::SetNetwork(NetworkId(0), &setting));
            assert!(!shown.contains("correct") && !shown.contains(&text::hex(b"correct")), "{shown}");
            assert!(!shown.contains("99, 111"), "{shown}");
        }
    }

    #[test]
    fn a_country_is_two_letters() {
        assert!(Country::new("A\n").is_none());
        assert!(Country::new("AUT").is_none());
        assert!(Country::new("é").is_none());
    }
}
