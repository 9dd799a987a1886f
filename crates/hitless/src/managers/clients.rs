//! DHCP clients that run on a port: they would give it addresses, and routes beside those of the bond.

use std::fs;

use super::pattern::{fits, is_glob};
use super::processes::Process;
use super::{Finding, Kept, Manager, Places, ports};

/// Which clients run on which ports.
pub(super) fn findings(places: &Places, bonds: &[Kept], processes: &[Process]) -> Vec<Finding> {
    let mut found: Vec<_> = processes.iter().flat_map(|process| of_process(process, bonds)).collect();
    found.extend(ports(bonds).filter_map(|port| of_networkd(places, port)));
    found
}

fn of_process(process: &Process, bonds: &[Kept]) -> Vec<Finding> {
    let program = process.program();
    let mut names: Vec<_> = match program {
        "dhclient" | "udhcpc" | "udhcpc6" => {
            process.words.iter().skip(1).map(|word| interface(word)).collect()
        }
        // It writes a title: `dhcpcd: eth0 [ip4]`. Its helpers have the name behind what they are.
        "dhcpcd" if process.words.first().is_some_and(|word| word.ends_with(':')) => {
            process.words.get(1).map(String::as_str).into_iter().collect()
        }
        "dhcpcd" => process.words.iter().skip(1).map(String::as_str).collect(),
        _ => return Vec::new(),
    };
    let is_name = |name: &str| !name.is_empty() && !name.starts_with(['-', '/']);
    names.retain(|name| is_name(name) && ports(bonds).any(|port| fits(port, name)));
    names.sort_unstable();
    names.dedup();
    let pid = process.pid;
    let finding = |name: &str| Finding {
        port: name.to_owned(),
        manager: program.to_owned(),
        text: format!("the DHCP client {program} (process {pid}) runs on it"),
        remedy: match program {
            "dhclient" => format!("end it: `dhclient -x {name}`, or `kill {pid}`"),
            "dhcpcd" => format!("end it: `dhcpcd -x {name}`, or `kill {pid}`"),
            _ => format!("end it: `kill {pid}`"),
        },
    };
    names.into_iter().map(finding).collect()
}

/// The interface of an argument, also of one that is an option's.
fn interface(word: &str) -> &str {
    word.strip_prefix("--interface=").or_else(|| word.strip_prefix("-i")).unwrap_or(word)
}

/// systemd-networkd has its client within, and tells what it does by files.
fn of_networkd(places: &Places, port: &str) -> Option<Finding> {
    // Its files go by index, which we know for one interface only.
    let index = (!is_glob(port)).then(|| places.at(&format!("/sys/class/net/{port}/ifindex")))?;
    let index = fs::read_to_string(index).ok()?;
    let state = fs::read_to_string(places.at(&format!("/run/systemd/netif/links/{}", index.trim()))).ok()?;
    let value = |key: &str| state.lines().find_map(|line| line.strip_prefix(key));
    let file = value("NETWORK_FILE=").filter(|_| value("ADMIN_STATE=") != Some("unmanaged"))?;
    let manager = Manager::Networkd;
    Some(Finding {
        port: port.to_owned(),
        manager: manager.to_string(),
        text: format!("systemd-networkd manages it, by {file}"),
        remedy: format!("it lets go of it while hitless runs; if it has not, {}", manager.reload_command()),
    })
}

/// systemd-networkd writes down who it is to the server, and is not known by the hardware address unless told so.
pub(super) fn client_id(places: &Places, index: u32) -> Option<Vec<u8>> {
    let lease = fs::read_to_string(places.at(&format!("/run/systemd/netif/leases/{index}"))).ok()?;
    let digits = lease.lines().find_map(|line| line.strip_prefix("CLIENTID="))?.as_bytes();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let octets: Vec<u8> = digits.chunks(2).map(octet).collect::<Option<_>>()?;
    (octets.len() > 1).then_some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_what_they_were_started_with() {
        let bonds = [Kept {
            bond: "bond0".to_owned(),
            interfaces: vec!["eth0".to_owned(), "enx*".to_owned()],
            external: false,
        }];
        for (line, ports) in [
            ("/sbin/dhclient -4 -pf /run/dhclient.eth0.pid eth0", &["eth0"] as &[&str]),
            ("dhclient -v enx001122334455", &["enx001122334455"]),
            ("udhcpc -i eth0 -b", &["eth0"]),
            ("/bin/busybox udhcpc -ieth0", &["eth0"]),
            ("udhcpc --interface=eth0", &["eth0"]),
            ("dhcpcd: eth0 [ip4]", &["eth0"]),
            ("dhcpcd: [BPF ARP] eth0 10.0.0.2", &[]),
            ("dhcpcd: [manager] [ip4]", &[]),
            ("/sbin/dhcpcd -B eth0", &["eth0"]),
            ("dhclient eth1", &[]),
            ("vi eth0", &[]),
        ] {
            let words = line.split(' ').map(str::to_owned).collect();
            let found = of_process(&Process { pid: 7, words }, &bonds);
            let found: Vec<_> = found.into_iter().map(|finding| finding.port).collect();
            assert_eq!(found, ports, "{line}");
        }
    }
}
