//! What of iwd's configuration does not go with a bond. Reads; changes nothing.
//!
//! Unless told otherwise, iwd removes the kernel's wireless interface when it starts, and makes one of its own by the
//! same name: the port is gone from the bond, and another comes. iwd.config(5) has what tells it: since version 2.6
//! `DefaultInterface` in `[DriverQuirks]`, before that `UseDefaultInterface` in `[General]`, which it still takes.

use std::fmt;
use std::path::Path;

/// Something that the user should change in iwd's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quirk {
    /// It replaces the interface when it starts.
    ReplacesInterface,
    /// It configures addresses, which is what the bond is for.
    ConfiguresAddresses,
    /// It changes the MAC address, which is the bond's to choose.
    ChangesMac,
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReplacesInterface => {
                "when iwd starts it replaces the interface, and the bond loses its port for a while; let it keep the \
                 one that is there: `DefaultInterface=?*` under `[DriverQuirks]` (iwd before 2.6: \
                 `UseDefaultInterface=true` under `[General]`)"
            }
            Self::ConfiguresAddresses => {
                "iwd gives the port an address of its own, which belongs to the bond: set \
                 `EnableNetworkConfiguration=false` under `[General]`"
            }
            Self::ChangesMac => {
                "iwd changes the port's MAC address, which is the bond's to choose: remove `AddressRandomization` from \
                 `[General]`"
            }
        })
    }
}

/// What should be changed in the configuration (none if there is no file), for an interface with this driver.
pub(super) fn quirks(main_conf: &str, driver: Option<&str>) -> Vec<Quirk> {
    let is_true = |value: Option<&str>| matches!(value, Some("true" | "1"));
    let keeps = is_true(setting(main_conf, "General", "UseDefaultInterface"))
        || setting(main_conf, "DriverQuirks", "DefaultInterface").is_some_and(|list| any_fits(list, driver));
    let randomizes = setting(main_conf, "General", "AddressRandomization");
    let configures = setting(main_conf, "General", "EnableNetworkConfiguration");
    [
        (!keeps, Quirk::ReplacesInterface),
        (is_true(configures), Quirk::ConfiguresAddresses),
        (randomizes.is_some_and(|how| how != "disabled"), Quirk::ChangesMac),
    ]
    .into_iter()
    .filter_map(|(applies, quirk)| applies.then_some(quirk))
    .collect()
}

/// By which driver a wireless interface is driven, as iwd tells it (src/wiphy.c).
pub(super) fn driver(interface: &str) -> Option<String> {
    let link = Path::new("/sys/class/net").join(interface).join("phy80211/device/driver");
    Some(link.read_link().ok()?.file_name()?.to_str()?.to_owned())
}

/// A setting of a file in the form of iwd.network(5).
fn setting<'a>(text: &'a str, group: &str, key: &str) -> Option<&'a str> {
    let mut current = "";
    text.lines().map(str::trim).filter(|line| !line.starts_with('#')).find_map(|line| {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name;
            return None;
        }
        let (name, value) = line.split_once('=')?;
        (current == group && name.trim() == key).then_some(value.trim())
    })
}

/// Does one of the patterns fit? A driver that is not known is given the benefit of the doubt.
fn any_fits(patterns: &str, driver: Option<&str>) -> bool {
    let mut patterns = patterns.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
    match driver {
        Some(driver) => patterns.any(|pattern| fits(pattern.as_bytes(), driver.as_bytes())),
        None => patterns.next().is_some(),
    }
}

/// Shell patterns (fnmatch), as far as drivers' names need them: `*` and `?`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            (0..=name.len()).any(|skipped| name.get(skipped..).is_some_and(|name| fits(rest, name)))
        }
        ([b'?', rest @ ..], [_, name @ ..]) => fits(rest, name),
        ([wanted, rest @ ..], [is, name @ ..]) => wanted == is && fits(rest, name),
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::Quirk::{ChangesMac, ConfiguresAddresses, ReplacesInterface};
    use super::*;

    #[test]
    fn as_it_comes_it_replaces_the_interface() {
        let packaged =
            "[General]\n#EnableNetworkConfiguration=true\n#AddressRandomization=network\n[Network]\n";
        assert_eq!(quirks(packaged, Some("iwlwifi")), [ReplacesInterface]);
        assert_eq!(quirks("", None), [ReplacesInterface]);
    }

    #[test]
    fn it_can_be_told_to_keep_it() {
        let old = "[General]\n UseDefaultInterface = true \n";
        assert_eq!(quirks(old, Some("iwlwifi")), []);
        let new = |patterns: &str| format!("[DriverQuirks]\nDefaultInterface={patterns}\n");
        for patterns in ["*", "?*", "iwlwifi", "ath*,iwl*", "brcmfmac, iwlwif?"] {
            assert_eq!(quirks(&new(patterns), Some("iwlwifi")), [], "{patterns}");
        }
        for patterns in ["", "ath*", "iwl", "iwlwifi?", "wifi*"] {
            assert_eq!(quirks(&new(patterns), Some("iwlwifi")), [ReplacesInterface], "{patterns}");
        }
        assert_eq!(
            quirks("[General]\nDefaultInterface=*\n", Some("iwlwifi")),
            [ReplacesInterface],
            "another group"
        );
    }

    #[test]
    fn what_belongs_to_the_bond_is_none_of_its_business() {
        let text = "[General]\nUseDefaultInterface=true\nEnableNetworkConfiguration=true\nAddressRandomization=once\n";
        assert_eq!(quirks(text, None), [ConfiguresAddresses, ChangesMac]);
        let off = "[General]\nUseDefaultInterface=true\nEnableNetworkConfiguration=false\nAddressRandomization=disabled\n";
        assert_eq!(quirks(off, None), []);
    }
}
