//! DHCP clients of others: none asks on a port, and none beside hitless on the bond.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::{Facts, Fault, Line, Seen};

const CHECK: &str = "dhcp-clients";

/// The programs that are known.
const PROGRAMS: [&str; 3] = ["dhclient", "udhcpc", "dhcpcd"];

/// A DHCP client that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its process.
    pub pid: u32,
    /// Which program it is.
    pub program: String,
    /// Its arguments, or what it shows in their place.
    pub words: Vec<String>,
    /// Is it in this network namespace? `None` where that may not be asked.
    pub here: Option<bool>,
}

/// What an interface is to a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    /// It is named.
    This,
    /// Others are named.
    Others,
    /// None is named: it takes all there are.
    All,
}

/// Nobody asks for an address where hitless has one, or where there should be none.
pub(super) fn line(facts: &Facts) -> Line {
    let clients = match &facts.clients {
        Ok(clients) => clients,
        Err(why) => return Line::unknown(CHECK, why),
    };
    let mut faults = Vec::new();
    let mut unsure = Vec::new();
    for client in clients.iter().filter(|client| client.here != Some(false)) {
        let named = wrong(client, facts);
        let who = format!("{} (process {})", client.program, client.pid);
        if let Some(interface) = named {
            let seen = format!("{who} asks on {interface}");
            if client.here.is_none() {
                return Line::unknown(CHECK, format!("{seen}; only root may ask in which network namespace"));
            }
            faults.push(Fault::new(seen, format!("kill {}, and keep it from starting again", client.pid)));
        } else if about(client, &facts.bond.name, facts) == About::All && !is_helper(client) {
            unsure.push(format!(
                "{who} names no interface: see to it that it leaves {} alone",
                facts.port_names()
            ));
        }
    }
    let otherwise = match unsure.as_slice() {
        [] => Line::holds(CHECK, format!("none disturbs {}, {}", facts.bond.name, facts.port_names())),
        unsure => Line::note(CHECK, unsure.join("; ")),
    };
    faults.extend(rivals(clients, facts));
    Line::unless(faults, otherwise)
}

/// Several programs that ask for one bond, which is left to others.
fn rivals(clients: &[Client], facts: &Facts) -> Option<Fault> {
    let bond = &facts.bond.name;
    let asks = |client: &&Client| {
        client.here == Some(true) && is_dhcpv4(client) && about(client, bond, facts) == About::This
    };
    let mut asking = clients.iter().filter(asks);
    let first = asking.next().filter(|_| facts.bond.dhcp.is_none())?;
    let second = asking.find(|client| client.program != first.program)?;
    Some(Fault::new(
        format!("{} and {} both ask on {bond}", first.program, second.program),
        format!("end one of them: kill {}, say", second.pid),
    ))
}

/// dhcpcd consists of several processes, and those that help do not always name what the one that asks names:
/// `dhcpcd: [network proxy]`.
fn is_helper(client: &Client) -> bool {
    client
        .words
        .first()
        .is_some_and(|word| word.starts_with('[') && word != "[manager]" && word != "[master]")
}

fn is_dhcpv4(client: &Client) -> bool {
    !client.words.iter().any(|word| word == "-6")
}

/// dhcpcd asks for both unless it is told otherwise.
fn is_dhcpv6(client: &Client) -> bool {
    let has = |flag| client.words.iter().any(|word| word == flag);
    has("-6") || client.program == "dhcpcd" && !has("-4")
}

/// The interface on which this client should not ask.
fn wrong<'a>(client: &Client, facts: &'a Facts) -> Option<&'a str> {
    let ports = facts.bond.ports.iter().map(|port| port.name.as_str());
    let beside_us =
        facts.bond.dhcp.is_some() && is_dhcpv4(client) || facts.bond.dhcp6.is_some() && is_dhcpv6(client);
    let mut watched = ports.chain(beside_us.then_some(facts.bond.name.as_str()));
    watched.find(|interface| about(client, interface, facts) == About::This)
}

fn about(client: &Client, interface: &str, facts: &Facts) -> About {
    let names = |interface: &str| client.words.iter().any(|word| names(word, interface));
    if names(interface) {
        About::This
    } else if facts.interfaces.iter().any(|other| names(&other.name)) {
        About::Others
    } else {
        About::All
    }
}

/// `eth0`, `-ieth0`, `--interface=eth0`.
fn names(word: &str, interface: &str) -> bool {
    let value = word.split_once('=').map(|(_, value)| value);
    word == interface || value == Some(interface) || word.strip_prefix("-i") == Some(interface)
}

/// The DHCP clients that run, in whatever namespace.
pub(super) fn collect() -> Seen<Vec<Client>> {
    let unread = |error: io::Error| format!("cannot list processes: {error}");
    let here = fs::read_link("/proc/self/ns/net").map_err(unread)?;
    let mut clients = Vec::new();
    for entry in fs::read_dir("/proc").map_err(unread)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        clients.extend(client(pid, &entry.path(), &here));
    }
    clients.sort_by_key(|client| client.pid);
    Ok(clients)
}

/// What this process is; `None` where it is no DHCP client, or has ended meanwhile.
fn client(pid: u32, process: &Path, here: &Path) -> Option<Client> {
    let name = fs::read_to_string(process.join("comm")).ok()?;
    let shown = fs::read(process.join("cmdline")).ok()?;
    let shown = String::from_utf8_lossy(&shown);
    // Some write over their arguments what they do, in one piece.
    let mut words = shown.split(|c: char| c == '\0' || c.is_whitespace()).filter(|word| !word.is_empty());
    let first = words.next()?.trim_end_matches(':');
    let first = first.rsplit('/').next().unwrap_or(first);
    let program = PROGRAMS.into_iter().find(|program| *program == first || *program == name.trim())?;
    let here = match fs::read_link(process.join("ns/net")) {
        Ok(namespace) => Some(namespace == here),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => None,
        Err(_) => return None,
    };
    Some(Client { pid, program: program.to_owned(), words: words.map(str::to_owned).collect(), here })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_clients_name_interfaces() {
        for word in ["eth0", "-ieth0", "--interface=eth0"] {
            assert!(names(word, "eth0"), "{word}");
        }
        for word in ["eth01", "/run/dhclient.eth0.pid", "-eth0", "="] {
            assert!(!names(word, "eth0"), "{word}");
        }
    }

    #[test]
    fn the_processes_of_this_machine_can_be_read() {
        assert!(collect().is_ok());
    }
}
