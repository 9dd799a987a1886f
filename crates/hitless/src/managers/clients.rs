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

/// Is it none for IPv6 alone?
pub(super) fn asks_for_ipv4(process: &Process) -> bool {
    process.program() != "udhcpc6" && !process.words.iter().any(|word| word == "-6")
}

/// Does it ask for IPv6 addresses?
pub(super) fn asks_for_ipv6(process: &Process) -> bool {
    let says = |wanted: &str| process.words.iter().any(|word| word == wanted);
    match process.program() {
        "dhclient" => says("-6"),
        // Its title says what it asks for.
        "dhcpcd" => !says("-4") && (says("[ip6]") || !says("[ip4]")),
        program => program == "udhcpc6",
    }
}

/// The interfaces that a client was started for, where it is one and says so.
pub(super) fn interfaces(process: &Process) -> Vec<&str> {
    let mut names: Vec<_> = match process.program() {
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
    names.retain(|name| !name.is_empty() && !name.starts_with(['-', '/', '[']));
    names
}

fn of_process(process: &Process, bonds: &[Kept]) -> Vec<Finding> {
    let program = process.program();
    let mut names = interfaces(process);
    names.retain(|name| ports(bonds).any(|port| fits(port, name)));
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
