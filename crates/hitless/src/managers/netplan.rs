//! netplan: which of its files name a port.
//!
//! It renders what NetworkManager or systemd-networkd is to do, and both are kept off; but what it renders may come
//! first, and a `netplan apply` may take a port down. Its files are searched as text for a key that is a port's name;
//! a port that it means by its MAC address or by a pattern is not found.

use std::fs;

use super::overruled::listed;
use super::{Finding, Kept, Places, ports};

/// Which ports it names.
pub(super) fn findings(places: &Places, bonds: &[Kept]) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in listed(places, "/etc/netplan", ".yaml") {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for port in ports(bonds).filter(|port| names(&text, port)) {
            found.push(Finding {
                port: port.clone(),
                manager: "netplan".to_owned(),
                text: format!("{} has netplan configure it", file.display()),
                remedy: format!("remove `{port}:` from that file, and run `netplan apply`"),
            });
        }
    }
    found
}

fn names(text: &str, port: &str) -> bool {
    text.lines().map(str::trim).any(|line| {
        let key = line.split_once(':').map(|(key, _)| key.trim().trim_matches(['"', '\'']));
        key == Some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_named_by_a_key() {
        let text = "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n    \"eth1\" : {}\n    # eth2:\n    eth30: {}\n";
        let named = ["eth0", "eth1", "eth2", "eth3"].map(|port| names(text, port));
        assert_eq!(named, [true, true, false, false]);
    }
}
