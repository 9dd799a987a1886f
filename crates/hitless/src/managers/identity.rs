//! By what a DHCPv4 server knows an interface: the client identifier (RFC 2132 section 9.14) of the client that runs on
//! it, where that is not made of the hardware address. Whoever goes by another one is somebody else to the server, and
//! gets another address.

use std::fs;

use hitless_core::dhcp::ClientId;
use hitless_core::mac::MacAddr;

use super::Places;
use super::clients::interfaces;
use super::processes::{self, Process};
use crate::config::secret::from_hex;

/// The type of an identifier made of an IAID and a DUID (RFC 4361 section 6.1).
const TYPE_DUID: u8 = 0xff;

/// The client identifier; `None`: the hardware address, as far as that can be told.
pub(super) fn of(places: &Places, interface: &str, index: u32, mac: MacAddr) -> Option<Vec<u8>> {
    of_networkd(places, index).or_else(|| {
        let processes = processes::of_this_network(places);
        let runs = |process: &&Process| interfaces(process).contains(&interface);
        // One dhcpcd may manage all interfaces, and names none.
        let manages = |process: &&Process| process.program() == "dhcpcd" && interfaces(process).is_empty();
        let process = processes.iter().find(runs).or_else(|| processes.iter().find(manages))?;
        let duid = match process.program() {
            "dhclient" => of_dhclient(places, process),
            "dhcpcd" => of_dhcpcd(places, &processes),
            _ => None,
        }?;
        // Both take the end of the hardware address for the number of the interface.
        let iaid = mac.0.iter().skip(2).copied();
        Some([TYPE_DUID].into_iter().chain(iaid).chain(duid).collect())
    })
}

/// systemd-networkd writes down what it is called.
fn of_networkd(places: &Places, index: u32) -> Option<Vec<u8>> {
    let lease = fs::read_to_string(places.at(&format!("/run/systemd/netif/leases/{index}"))).ok()?;
    let id = from_hex(lease.lines().find_map(|line| line.strip_prefix("CLIENTID="))?)?;
    // It may also have been told to go by the hardware address.
    ClientId::from_octets(&id).is_some().then_some(id)
}

/// With `-i`, as ifupdown starts it, dhclient goes by the DUID that it keeps with its leases.
fn of_dhclient(places: &Places, process: &Process) -> Option<Vec<u8>> {
    let words = &process.words;
    words.iter().find(|word| *word == "-i")?;
    let given = words.iter().position(|word| word == "-lf").and_then(|place| words.get(place + 1));
    let file = given.map_or("/var/lib/dhcp/dhclient.leases", String::as_str);
    let leases = fs::read_to_string(places.at(&format!("/proc/{}/root{file}", process.pid))).ok()?;
    let quoted = leases.lines().find_map(|line| line.strip_prefix("default-duid "))?;
    unescaped(quoted.trim_end_matches(';').trim_matches('"'))
}

/// Debian's dhcpcd.conf says `duid`; with `clientid`, or neither, it is the hardware address.
fn of_dhcpcd(places: &Places, processes: &[Process]) -> Option<Vec<u8>> {
    // Most of its processes have given up the right to see anything.
    let roots = || processes.iter().filter(|process| process.program() == "dhcpcd");
    let read_at = |root: &Process, file: &str| {
        fs::read_to_string(places.at(&format!("/proc/{}/root{file}", root.pid))).ok()
    };
    let read = |file: &str| roots().find_map(|root| read_at(root, file));
    let config = read("/etc/dhcpcd.conf")?;
    let word = |line: &str| line.split_ascii_whitespace().next().map(str::to_owned);
    let mut words = config.lines().filter_map(word).filter(|word| word == "duid" || word == "clientid");
    words.next().filter(|word| word == "duid")?;
    from_hex(&read("/var/lib/dhcpcd/duid")?.trim().replace(':', ""))
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
