//! What to do so that wpa_supplicant has the networks that it should have, and no association is lost on the way.

use hitless_core::wifi::Ssid;

use crate::wifi::supplicant::request::NetworkId;
use crate::wifi::supplicant::settings::{Setting, Value};

/// A network that wpa_supplicant has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) id: NetworkId,
    pub(super) ssid: Option<Ssid>,
    /// Did we add it?
    pub(super) ours: bool,
    pub(super) kind: Kind,
}

/// What makes a network another one: it cannot be changed from one to another of these, or nothing would come of it as
/// long as the association lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) key_mgmt: Option<String>,
    pub(super) eap: Option<String>,
    /// The access point that it is pinned to.
    pub(super) bssid: Option<String>,
}

impl Kind {
    pub(super) fn of(settings: &[Setting]) -> Self {
        let word = |key| {
            let value = settings.iter().find(|setting| setting.key == key).map(|setting| &setting.value);
            match value {
                Some(Value::Word(word)) => Some((*word).to_owned()),
                Some(Value::Address(mac)) => Some(mac.to_string()),
                _ => None,
            }
        };
        Self { key_mgmt: word("key_mgmt"), eap: word("eap"), bssid: word("bssid") }
    }
}

/// What to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// These are there; give them their settings again, which costs nothing.
    pub(super) keep: Vec<(NetworkId, usize)>,
    pub(super) add: Vec<usize>,
    pub(super) remove: Vec<NetworkId>,
    /// These are there, and wanted, and what they are to be is not known just now: they stay as they are.
    pub(super) leave: Vec<(NetworkId, Ssid)>,
}

/// Compares what is there with what is wanted. Of those that we did not add, none is touched, unless wpa_supplicant is
/// `ours` altogether. `unclear` are wanted, too, and cannot be handed over just now.
pub(super) fn plan(present: &[Present], wanted: &[(Ssid, Kind)], unclear: &[Ssid], ours: bool) -> Plan {
    let mut free: Vec<&Present> = present.iter().filter(|network| network.ours).collect();
    let mut plan = Plan::default();
    for (index, (ssid, kind)) in wanted.iter().enumerate() {
        let fits = |network: &&Present| network.ssid.as_ref() == Some(ssid) && network.kind == *kind;
        match free.iter().position(fits) {
            Some(at) => plan.keep.push((free.remove(at).id, index)),
            None => plan.add.push(index),
        }
    }
    free.retain(|network| {
        let ssid = network.ssid.as_ref().filter(|ssid| unclear.contains(ssid));
        plan.leave.extend(ssid.map(|ssid| (network.id, ssid.clone())));
        ssid.is_none()
    });
    let strangers = present.iter().filter(|network| ours && !network.ours);
    plan.remove = free.into_iter().chain(strangers).map(|network| network.id).collect();
    plan
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    fn ssid(name: &str) -> Ssid {
        Ssid::new(name).unwrap()
    }

    fn kind(key_mgmt: &str) -> Kind {
        Kind { key_mgmt: Some(key_mgmt.to_owned()), ..Kind::default() }
    }

    fn present(id: u32, name: &str, ours: bool, key_mgmt: &str) -> Present {
        Present { id: NetworkId(id), ssid: Some(ssid(name)), ours, kind: kind(key_mgmt) }
    }

    #[test]
    fn what_is_there_stays() {
        let there =
            [present(0, "home", true, "SAE"), present(1, "old", true, "SAE"), present(2, "my", false, "SAE")];
        let wanted = [(ssid("new"), kind("SAE")), (ssid("home"), kind("SAE"))];
        let expected = Plan {
            keep: vec![(NetworkId(0), 1)],
            add: vec![0],
            remove: vec![NetworkId(1)],
            ..Plan::default()
        };
        assert_eq!(plan(&there, &wanted, &[], false), expected);
        let all = plan(&there, &wanted, &[], true);
        assert_eq!(all.remove, [NetworkId(1), NetworkId(2)]);
    }

    #[test]
    fn another_security_is_another_network() {
        let there = [present(0, "home", true, "WPA-PSK")];
        let expected = Plan { add: vec![0], remove: vec![NetworkId(0)], ..Plan::default() };
        assert_eq!(plan(&there, &[(ssid("home"), kind("SAE"))], &[], true), expected);
    }

    #[test]
    fn what_is_wanted_and_unclear_stays_as_it_is() {
        let there = [present(0, "home", true, "SAE"), present(1, "home", false, "SAE")];
        let expected = Plan { leave: vec![(NetworkId(0), ssid("home"))], ..Plan::default() };
        assert_eq!(plan(&there, &[], &[ssid("home")], false), expected);
        assert_eq!(plan(&there, &[], &[ssid("work")], false).remove, [NetworkId(0)]);
    }

    #[test]
    fn the_same_name_twice() {
        let there = [present(0, "home", true, "SAE")];
        let wanted = [(ssid("home"), kind("SAE")), (ssid("home"), kind("SAE"))];
        let expected = Plan { keep: vec![(NetworkId(0), 0)], add: vec![1], ..Plan::default() };
        assert_eq!(plan(&there, &wanted, &[], true), expected);
    }
}
