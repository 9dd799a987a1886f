//! By what DHCP servers know an interface: the identifier of the client that runs on it. Whoever goes by another one is
//! somebody else to the server, and gets another address.
//!
//! DHCPv4 has a client identifier (RFC 2132 section 9.14), which may be made of the hardware address; DHCPv6 always has an
//! IAID and a DUID (RFC 8415), told here in the form that they have in DHCPv4 (RFC 4361).

use std::fs;

use hitless_core::dhcp::ClientId;
use hitless_core::mac::MacAddr;

use super::Places;
use super::clients::{asks_for_ipv4, asks_for_ipv6, interfaces};
use super::processes::{self, Process};
use crate::config::secret::from_hex;

/// The type of an identifier made of an IAID and a DUID (RFC 4361 section 6.1).
const TYPE_DUID: u8 = 0xff;

/// The enterprise number that systemd's identifiers have (43793).
const NETWORKDS_ENTERPRISE: [u8; 4] = [0, 0, 0xab, 0x11];

/// The length of an Ethernet address.
const ETHERNET: usize = 6;

/// The client identifier of DHCPv4; `None`: the hardware address, as far as that can be told.
pub(super) fn of(places: &Places, interface: &str, index: u32, mac: MacAddr) -> Option<Vec<u8>> {
    of_networkd(places, index).or_else(|| {
        let processes = processes::of_this_network(places);
        let process = client(&processes, interface, asks_for_ipv4)?;
        let duid = match process.program() {
            // With `-i`, as ifupdown starts it; it goes by the hardware address otherwise.
            "dhclient" if process.words.iter().any(|word| word == "-i") => {
                of_dhclient(places, process, "/var/lib/dhcp/dhclient.leases")
            }
            "dhcpcd" if says_duid(&dhcpcd_file(places, &processes, "/etc/dhcpcd.conf")?) => {
                of_dhcpcd(places, &processes)
            }
            _ => None,
        }?;
        Some(identifier(mac, duid))
    })
}

/// The IAID and the DUID of DHCPv6; `None`: they cannot be told.
pub(super) fn of_dhcp6(places: &Places, interface: &str, index: u32, mac: MacAddr) -> Option<Vec<u8>> {
    of_networkd6(places, index).or_else(|| {
        let processes = processes::of_this_network(places);
        let process = client(&processes, interface, asks_for_ipv6)?;
        let duid = match process.program() {
            "dhclient" => of_dhclient(places, process, "/var/lib/dhcp/dhclient6.leases"),
            "dhcpcd" => {
                let config = dhcpcd_file(places, &processes, "/etc/dhcpcd.conf");
                let plain = !config.is_some_and(|config| numbers_associations(&config));
                plain.then(|| of_dhcpcd(places, &processes)).flatten()
            }
            _ => None,
        }?;
        Some(identifier(mac, duid))
    })
}

/// The client that runs on an interface, and asks for what is meant.
fn client<'a>(processes: &'a [Process], interface: &str, asks: fn(&Process) -> bool) -> Option<&'a Process> {
    let runs = |process: &&Process| asks(process) && interfaces(process).contains(&interface);
    // One dhcpcd may manage all interfaces, and names none.
    let manages =
        |process: &&Process| asks(process) && process.program() == "dhcpcd" && interfaces(process).is_empty();
    processes.iter().find(runs).or_else(|| processes.iter().find(manages))
}

/// Both dhclient and dhcpcd take the end of the hardware address for the number of the interface.
fn identifier(mac: MacAddr, duid: Vec<u8>) -> Vec<u8> {
    let iaid = mac.0.iter().skip(2).copied();
    [TYPE_DUID].into_iter().chain(iaid).chain(duid).collect()
}

/// systemd-networkd writes down what it is called.
fn of_networkd(places: &Places, index: u32) -> Option<Vec<u8>> {
    let lease = fs::read_to_string(places.at(&format!("/run/systemd/netif/leases/{index}"))).ok()?;
    let id = from_hex(lease.lines().find_map(|line| line.strip_prefix("CLIENTID="))?)?;
    // It may also have been told to go by the hardware address.
    ClientId::from_octets(&id).is_some().then_some(id)
}

/// Of its DHCPv6 client it tells the number of the interface, and the DUID by its kind and the rest in hex. (Older
/// versions tell two octets too many.)
fn of_networkd6(places: &Places, index: u32) -> Option<Vec<u8>> {
    let state = fs::read_to_string(places.at(&format!("/run/systemd/netif/links/{index}"))).ok()?;
    let value = |key: &str| state.lines().find_map(|line| line.strip_prefix(key));
    let iaid = u32::from_str_radix(value("DHCP6_CLIENT_IAID=0x")?, 16).ok()?;
    let (kind, rest) = value("DHCP6_CLIENT_DUID=")?.split_once(':')?;
    let rest = from_hex(rest)?;
    // RFC 8415 section 11, RFC 6355.
    let (kind, length) = match kind {
        "DUID-LLT" => (1, 6 + ETHERNET),
        // How long its own are; those of other vendors may have any length.
        "DUID-EN/Vendor" if rest.starts_with(&NETWORKDS_ENTERPRISE) => (2, 12),
        "DUID-LL" => (3, 2 + ETHERNET),
        "UUID" | "DUID-UUID" => (4, 16),
        _ => return None,
    };
    let duid = [0, kind].into_iter().chain(rest.get(..length)?.iter().copied());
    Some([TYPE_DUID].into_iter().chain(iaid.to_be_bytes()).chain(duid).collect())
}

/// The DUID that dhclient keeps with its leases.
fn of_dhclient(places: &Places, process: &Process, usual: &str) -> Option<Vec<u8>> {
    let words = &process.words;
    let given = words.iter().position(|word| word == "-lf").and_then(|place| words.get(place + 1));
    let file = given.map_or(usual, String::as_str);
    let leases = fs::read_to_string(places.at(&format!("/proc/{}/root{file}", process.pid))).ok()?;
    let quoted = leases.lines().find_map(|line| line.strip_prefix("default-duid "))?;
    unescaped(quoted.trim_end_matches(';').trim_matches('"'))
}

/// The DUID that dhcpcd keeps.
fn of_dhcpcd(places: &Places, processes: &[Process]) -> Option<Vec<u8>> {
    from_hex(&dhcpcd_file(places, processes, "/var/lib/dhcpcd/duid")?.trim().replace(':', ""))
}

/// A file as dhcpcd sees it. Most of its processes have given up the right to see anything.
fn dhcpcd_file(places: &Places, processes: &[Process], file: &str) -> Option<String> {
    let mut roots = processes.iter().filter(|process| process.program() == "dhcpcd");
    roots.find_map(|root| fs::read_to_string(places.at(&format!("/proc/{}/root{file}", root.pid))).ok())
}

/// Debian's dhcpcd.conf says `duid`; with `clientid`, or neither, it is the hardware address.
fn says_duid(config: &str) -> bool {
    let mut words = config.lines().filter_map(|line| line.split_ascii_whitespace().next());
    words.find(|word| matches!(*word, "duid" | "clientid")) == Some("duid")
}

/// Does a dhcpcd.conf say what the number of an interface is?
fn numbers_associations(config: &str) -> bool {
    let mut words = config.lines().filter_map(|line| line.split_ascii_whitespace().next());
    words.any(|word| matches!(word, "iaid" | "ia_na"))
}

/// dhcpd.leases(5): octets that are no letters, quotes and backslashes are written behind a backslash.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            octets.push(*first);
        } else if let Some((number, behind)) = behind.split_first_chunk::<3>()
            && number.iter().all(|digit| (b'0'..=b'7').contains(digit))
        {
            octets.push(u8::from_str_radix(std::str::from_utf8(number).ok()?, 8).ok()?);
            rest = behind;
        } else {
            let (quoted, behind) = behind.split_first()?;
            octets.push(*quoted);
            rest = behind;
        }
    }
    Some(octets)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_dhclient_escapes() {
        assert_eq!(unescaped(r#"\000\001\000\001a\"\\\313"#).unwrap(), b"\0\x01\0\x01a\"\\\xcb");
        for wrong in [r"\", r"a\777"] {
            assert_eq!(unescaped(wrong), None, "{wrong}");
        }
    }
}
