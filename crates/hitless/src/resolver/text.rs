//! What resolv.conf(5) looks like: what of a bond goes into it, and what of the original stays.
//!
//! Name servers and domains come from the network, and end up in files that are read line by line and in shell scripts:
//! nothing passes that is not what it is to be.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::Dns;

/// What the C library reads of it (glibc: `MAXNS`, `MAXDNSRCH`).
const SERVERS: usize = 3;
const DOMAINS: usize = 6;

/// By what a file of ours is known.
pub(super) const OURS: &str = "# hitless wrote this";

/// What leads to systemd-resolved.
pub(super) const STUB: &str = "nameserver 127.0.0.53\n";

/// What can be used, each once; and what cannot.
pub(super) fn usable(dns: &Dns) -> (Dns, Vec<String>) {
    let (mut usable, mut unusable) = (Dns::default(), Vec::new());
    for server in &dns.servers {
        if server.is_unspecified() || server.is_multicast() || is_broadcast(*server) {
            unusable.push(server.to_string());
        } else {
            push_new(&mut usable.servers, *server);
        }
    }
    for search in &dns.search {
        match domain(search) {
            Some(domain) => push_new(&mut usable.search, domain),
            None => unusable.push(search.clone()),
        }
    }
    (usable, unusable)
}

fn is_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_broadcast())
}

/// A domain name without its last dot, in lower case.
fn domain(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(is_good)
    };
    (text.len() <= 253 && text.split('.').all(is_label)).then(|| text.to_ascii_lowercase())
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// A server as resolv.conf has it: a link-local one is behind a certain interface.
fn server(bond: &str, address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => format!("{address}%{bond}"),
        IpAddr::V4(_) | IpAddr::V6(_) => address.to_string(),
    }
}

/// What `resolvconf` reads of one bond.
pub(super) fn lines(bond: &str, dns: &Dns) -> String {
    let servers: Vec<_> = dns.servers.iter().map(|address| server(bond, *address)).collect();
    joined(&servers, &dns.search)
}

fn joined(servers: &[String], search: &[String]) -> String {
    let mut text = String::new();
    for server in servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !search.is_empty() {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    text
}

/// A file for these bonds, and what there is no room for in it. `lines` are those of the original: its options stay, and so
/// does what no bond says anything about.
pub(super) fn file(bonds: &[(&str, &Dns)], back: &str, lines: &[String]) -> (String, Option<String>) {
    let (mut servers, mut search) = (Vec::new(), Vec::new());
    for (bond, dns) in bonds {
        dns.servers.iter().for_each(|address| push_new(&mut servers, server(bond, *address)));
        dns.search.iter().for_each(|domain| push_new(&mut search, domain.clone()));
    }
    let left_out: Vec<_> = servers.iter().skip(SERVERS).chain(search.iter().skip(DOMAINS)).cloned().collect();
    servers.truncate(SERVERS);
    search.truncate(DOMAINS);
    let names: Vec<_> = bonds.iter().map(|(bond, _)| *bond).collect();
    let mut text = format!("{OURS} for {}; {back}\n", names.join(", "));
    text.push_str(&joined(&servers, &search));
    for line in lines {
        if let Some(line) = stays(line, !servers.is_empty(), !search.is_empty()) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    (text, (!left_out.is_empty()).then(|| left_out.join(", ")))
}

/// A line of the original, as it stays.
fn stays(line: &str, servers: bool, search: bool) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    match words.next()? {
        "nameserver" if servers => None,
        "search" | "domain" if search => None,
        "options" if servers => {
            // Whether a server may be believed to have validated was said of another one.
            let options: Vec<_> = words.filter(|word| *word != "trust-ad").collect();
            (!options.is_empty()).then(|| format!("options {}", options.join(" ")))
        }
        "nameserver" | "search" | "domain" | "options" | "sortlist" => Some(line.to_owned()),
        _ => None,
    }
}

/// The lines of a file that may stay.
pub(super) fn lines_of(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    text.lines().filter_map(|line| stays(line, false, false)).collect()
}

/// What a file says, as far as it is of the network: without servers on this machine.
pub(super) fn named_in(file: &Path) -> Dns {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
    let words = |key: &'static str| {
        let lines = text.lines().filter_map(move |line| line.strip_prefix(key));
        lines.flat_map(str::split_ascii_whitespace).filter(|domain| *domain != ".").map(str::to_owned)
    };
    let mut servers = servers_of(file);
    servers.retain(|server| !server.is_loopback());
    Dns { servers, search: words("search ").collect() }
}

/// Does a file name only servers on this machine, which ask others in turn?
pub(super) fn asks_this_machine(file: &Path) -> bool {
    let servers = servers_of(file);
    !servers.is_empty() && servers.iter().all(IpAddr::is_loopback)
}

/// Does a file name one of these servers?
pub(super) fn asks_any(file: &Path, servers: &[IpAddr]) -> bool {
    servers_of(file).iter().any(|server| servers.contains(server))
}

fn servers_of(file: &Path) -> Vec<IpAddr> {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        address.split('%').next()?.parse().ok()
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn dns(servers: &[&str], search: &[&str]) -> Dns {
        Dns {
            servers: servers.iter().map(|server| server.parse().unwrap()).collect(),
            search: search.iter().map(|&domain| domain.to_owned()).collect(),
        }
    }

    #[test]
    fn nothing_slips_in_with_a_domain() {
        let bad = [
            "",
            ".",
            "a\nnameserver 192.0.2.66",
            "a b",
            "a;b",
            "$(id)",
            "a..b",
            "-a",
            "bücher.de",
            "~.",
            "#",
        ];
        let long = ["a".repeat(64), "a.".repeat(128)];
        for text in bad.into_iter().chain(long.iter().map(String::as_str)) {
            assert_eq!(usable(&dns(&[], &[text])), (Dns::default(), vec![text.to_owned()]));
        }
        let (usable, unusable) = usable(&dns(
            &["192.0.2.1", "0.0.0.0", "192.0.2.1", "ff02::fb", "255.255.255.255"],
            &["Home.Example.", "home.example", "_x.b-c"],
        ));
        assert_eq!(usable, dns(&["192.0.2.1"], &["home.example", "_x.b-c"]));
        assert_eq!(unusable, ["0.0.0.0", "ff02::fb", "255.255.255.255"]);
    }

    #[test]
    fn a_link_local_server_is_behind_its_bond() {
        let text = lines("bond0", &dns(&["fe80::1", "fd00::1"], &["home.example", "example"]));
        assert_eq!(text, "nameserver fe80::1%bond0\nnameserver fd00::1\nsearch home.example example\n");
    }

    #[test]
    fn several_bonds_share_the_room_that_there_is() {
        let first = dns(&["192.0.2.1", "192.0.2.2"], &["a", "b", "c", "d"]);
        let second = dns(&["192.0.2.2", "192.0.2.3", "192.0.2.4"], &["d", "e", "f", "g"]);
        let (text, left_out) = file(&[("bond0", &first), ("bond1", &second)], "back", &[]);
        let servers = "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";
        assert_eq!(text, format!("{OURS} for bond0, bond1; back\n{servers}search a b c d e f\n"));
        assert_eq!(left_out.as_deref(), Some("192.0.2.4, g"));
    }

    #[test]
    fn options_of_the_original_stay_and_so_does_what_no_bond_speaks_of() {
        let original =
            lines_of(b"# mine\nnameserver 192.0.2.9\nsearch old\noptions edns0 trust-ad\n sortlist 10.0.0.0\n; x\n\xff\n");
        let of = |dns: &Dns| file(&[("bond0", dns)], "back", &original).0;
        let header = format!("{OURS} for bond0; back\n");
        let rest = "options edns0\n sortlist 10.0.0.0\n";
        assert_eq!(
            of(&dns(&["192.0.2.1"], &["new"])),
            format!("{header}nameserver 192.0.2.1\nsearch new\n{rest}")
        );
        assert_eq!(
            of(&dns(&["192.0.2.1"], &[])),
            format!("{header}nameserver 192.0.2.1\nsearch old\n{rest}")
        );
        assert_eq!(
            of(&dns(&[], &["new"])),
            format!("{header}search new\nnameserver 192.0.2.9\noptions edns0 trust-ad\n sortlist 10.0.0.0\n")
        );
    }

    #[test]
    fn who_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("resolv.conf");
        let asks = |text: &str| {
            fs::write(&path, text).unwrap();
            (asks_this_machine(&path), asks_any(&path, &["fe80::1".parse().unwrap()]))
        };
        assert_eq!(asks("nameserver 127.0.0.53\n"), (true, false));
        assert_eq!(asks("nameserver 127.0.0.1\nnameserver fe80::1%bond0\n"), (false, true));
        assert_eq!(asks(""), (false, false));
    }
}
