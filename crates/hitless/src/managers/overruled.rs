//! What of NetworkManager's and systemd-networkd's configuration comes before our files, so that they have no say.

use std::fs;
use std::path::PathBuf;

use super::drop_ins::network_file;
use super::pattern::fits;
use super::{Finding, Kept, Manager, Places, ports};

/// Whatever overrules our files.
pub(super) fn findings(places: &Places, bonds: &[Kept]) -> Vec<Finding> {
    let mut found = network_manager(places, bonds);
    found.extend(networkd(places, bonds));
    found
}

// ---- NetworkManager ----------------------------------------------------------------------------------------------

/// Files below `/etc` are read after ours, and may begin the list anew.
fn network_manager(places: &Places, bonds: &[Kept]) -> Vec<Finding> {
    let mut files = vec![places.at("/etc/NetworkManager/NetworkManager.conf")];
    files.extend(listed(places, "/etc/NetworkManager/conf.d", ".conf"));
    let mut found = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let Some(list) = list_begun_anew(&text) else { continue };
        for port in ports(bonds).filter(|port| !is_listed(&list, port)) {
            found.push(Finding {
                port: port.clone(),
                manager: Manager::NetworkManager.to_string(),
                text: format!(
                    "{} sets `unmanaged-devices=`, which makes NetworkManager forget ours",
                    file.display()
                ),
                remedy: "write `unmanaged-devices+=` there, which adds to the list".to_owned(),
            });
        }
    }
    found
}

/// What the list of devices is set to, rather than added to, if it is.
fn list_begun_anew(text: &str) -> Option<String> {
    let mut group = "";
    let mut list = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            group = name;
        } else if let Some((key, value)) = line.split_once('=')
            && group == "keyfile"
        {
            match key.trim() {
                "unmanaged-devices" => list = Some(value.trim().to_owned()),
                "unmanaged-devices+" => list = list.map(|list| format!("{list};{}", value.trim())),
                _ => {}
            }
        }
    }
    list
}

fn is_listed(list: &str, port: &str) -> bool {
    let specs = list.split([';', ',']).map(str::trim);
    specs.filter_map(|spec| spec.strip_prefix("interface-name:")).any(|pattern| fits(pattern, port))
        || list.split([';', ',']).any(|spec| spec.trim() == "*")
}

// ---- systemd-networkd --------------------------------------------------------------------------------------------

/// The first file by name decides, whichever directory it is in.
fn networkd(places: &Places, bonds: &[Kept]) -> Vec<Finding> {
    let directories =
        ["/etc/systemd/network", "/run/systemd/network", "/usr/lib/systemd/network", "/lib/systemd/network"];
    let mut found = Vec::new();
    for file in directories.iter().flat_map(|directory| listed(places, directory, ".network")) {
        let (Some(name), Ok(text)) =
            (file.file_name().and_then(|name| name.to_str()), fs::read_to_string(&file))
        else {
            continue;
        };
        for kept in bonds.iter().filter(|kept| name < network_file(&kept.bond).as_str()) {
            if is_ours(name) || is_unmanaged(&text) {
                continue;
            }
            let patterns = matched_names(&text);
            let ports = kept.interfaces.iter();
            for port in ports.filter(|port| patterns.iter().any(|pattern| fits(pattern, port))) {
                found.push(Finding {
                    port: port.clone(),
                    manager: Manager::Networkd.to_string(),
                    text: format!("{} sorts before ours, and systemd-networkd goes by it", file.display()),
                    remedy: "rename it so that it begins with a higher number, or exclude the port in its `[Match]`"
                        .to_owned(),
                });
            }
        }
    }
    found
}

fn is_ours(name: &str) -> bool {
    name.starts_with("00-hitless-")
}

/// The names that a .network file is for. One that matches by something else is not understood here.
fn matched_names(text: &str) -> Vec<String> {
    let names = settings(text, "Match", "Name").flat_map(str::split_whitespace);
    names.map(str::to_owned).collect()
}

fn is_unmanaged(text: &str) -> bool {
    settings(text, "Link", "Unmanaged").any(|value| matches!(value, "yes" | "true" | "1" | "on"))
}

fn settings<'a>(text: &'a str, group: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let mut current = "";
    text.lines().map(str::trim).filter_map(move |line| {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name;
            return None;
        }
        let (name, value) = line.split_once('=')?;
        (current == group && name.trim() == key).then_some(value.trim())
    })
}

/// The files of a directory whose names end so, in the order of their names.
pub(super) fn listed(places: &Places, directory: &str, end: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(places.at(directory)) else { return Vec::new() };
    let files = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        files.filter(|file| file.to_str().is_some_and(|name| name.ends_with(end))).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_begun_anew_by_an_equals_sign_alone() {
        for (text, list) in [
            ("[keyfile]\nunmanaged-devices=mac:02:00:00:00:00:01\n", Some("mac:02:00:00:00:00:01")),
            ("[keyfile]\nunmanaged-devices+=interface-name:eth9\n", None),
            ("[keyfile]\nunmanaged-devices = a\nunmanaged-devices+=b\n", Some("a;b")),
            ("[main]\nunmanaged-devices=a\n", None),
            ("[keyfile]\n#unmanaged-devices=a\n", None),
        ] {
            assert_eq!(list_begun_anew(text).as_deref(), list, "{text}");
        }
        for (list, listed) in [
            ("interface-name:eth0", true),
            ("mac:x;interface-name:eth*", true),
            ("*", true),
            ("interface-name:eth1", false),
            ("", false),
        ] {
            assert_eq!(is_listed(list, "eth0"), listed, "{list}");
        }
    }

    #[test]
    fn the_names_of_a_network_file_are_told() {
        let text = "# x\n[Match]\nName=eth* wlan0\nName = usb0\n[Link]\nUnmanaged=yes\n[Network]\nName=no\n";
        assert_eq!(matched_names(text), ["eth*", "wlan0", "usb0"]);
        assert!(is_unmanaged(text));
        assert!(!is_unmanaged("[Network]\nUnmanaged=yes\n"));
    }
}
