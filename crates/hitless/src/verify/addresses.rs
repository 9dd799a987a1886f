//! Addresses and routes: the bond has them, and its ports have none.

use std::net::{IpAddr, Ipv4Addr};

use hitless_linux::address::Address;
use hitless_linux::route::{Route, TABLE_LOCAL, TABLE_MAIN};

use super::{Facts, Fault, Interface, Line, named};

const ROUTES: &str = "routes";
const OF_PORTS: &str = "port-addresses";
const OF_THE_BOND: &str = "bond-address";

/// Whoever gave a port something will do so again.
const AND_KEEP_OFF: &str = "and have whoever made it (NetworkManager, a DHCP client …) leave the port alone";

/// Only the bond has routes.
pub(super) fn routes(facts: &Facts, bond: &Interface) -> Line {
    let faults = facts.ports().flat_map(|(_, port)| {
        let routes = port.routes.iter().filter(|route| matters(route));
        routes.map(|route| {
            let remedy = format!("{}, {AND_KEEP_OFF}", removal(route, port));
            Fault::new(format!("{route} through {}", port.name), remedy)
        })
    });
    let defaults = bond.routes.iter().filter(|route| route.is_default() && route.table() == TABLE_MAIN);
    let defaults: Vec<_> = defaults.map(ToString::to_string).collect();
    let has = named(defaults.iter().map(String::as_str), "no default route");
    let otherwise =
        Line::holds(ROUTES, format!("{has} through {}; none through {}", bond.name, facts.port_names()));
    Line::unless(faults.collect(), otherwise)
}

/// Not what the kernel makes for its own addresses, nor what every link with IPv6 has, which is looked at by itself.
fn matters(route: &Route) -> bool {
    let of_the_link = match route.destination().0 {
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_multicast(),
        IpAddr::V4(_) => false,
    };
    route.table() != TABLE_LOCAL && !(of_the_link && route.is_kernels())
}

/// The command that removes it.
fn removal(route: &Route, port: &Interface) -> String {
    let (address, length) = route.destination();
    let family = if address.is_ipv6() { "ip -6" } else { "ip" };
    let to = if route.is_default() { "default".to_owned() } else { format!("{address}/{length}") };
    let mut command = format!("{family} route del {to} dev {}", port.name);
    if route.metric() != 0 {
        command += &format!(" metric {}", route.metric());
    }
    if route.table() != TABLE_MAIN {
        command += &format!(" table {}", route.table());
    }
    command
}

/// Ports have no address. (One that belongs to a link with IPv6 is a matter of IPv6 on ports.)
pub(super) fn of_ports(facts: &Facts) -> Line {
    let faults = facts.ports().flat_map(|(_, port)| {
        let addresses =
            port.addresses.iter().filter(|address| address.address.is_ipv4() || !address.is_link_local());
        addresses.map(|address| {
            let remedy = format!("ip address del {address} dev {}, {AND_KEEP_OFF}", port.name);
            Fault::new(format!("{} has {address}", port.name), remedy)
        })
    });
    Line::unless(faults.collect(), Line::holds(OF_PORTS, format!("none on {}", facts.port_names())))
}

/// The bond has exactly the address that it should.
pub(super) fn of_the_bond(facts: &Facts, bond: &Interface) -> Line {
    let held: Vec<&Address> = bond
        .addresses
        .iter()
        .filter(|address| address.address.is_ipv4() && !address.is_link_local())
        .collect();
    let shown: Vec<_> = held.iter().map(ToString::to_string).collect();
    let shown = shown.join(", ");
    let six = lease6_fault(facts, bond);
    let otherwise = match held.as_slice() {
        [] if facts.bond.dhcp.is_none() && six.is_none() => return without(facts, bond),
        [only] if facts.bond.dhcp.is_some() => Line::holds(OF_THE_BOND, format!("{only}, by DHCP")),
        [only] if only.is_dynamic() => {
            Line::holds(OF_THE_BOND, format!("{only}, leased by another DHCP client"))
        }
        [only] => Line::holds(OF_THE_BOND, format!("{only}, static")),
        _ => Line::note(OF_THE_BOND, format!("several: {shown}")),
    };
    let mut faults: Vec<_> = lease_faults(facts, bond, &held).into_iter().collect();
    faults.extend(twins(bond, &held));
    faults.extend(six);
    Line::unless(faults, otherwise)
}

fn without(facts: &Facts, bond: &Interface) -> Line {
    if let Some(master) = bond.master {
        let master = facts.name_of(master);
        return Line::note(
            OF_THE_BOND,
            format!("{} is a port of {master}, which has the addresses", bond.name),
        );
    }
    let global = bond.addresses.iter().find(|address| address.address.is_ipv6() && !address.is_link_local());
    match global {
        Some(address) => Line::note(OF_THE_BOND, format!("no IPv4 address, but {address}")),
        None => Line::fails(
            OF_THE_BOND,
            format!("{} has no IPv4 address", bond.name),
            format!("set address or dhcp4 in [bond.{}.ip], then hitless reload", bond.name),
        ),
    }
}

/// Where hitless asks for the address itself: that one is there, and no other that is leased.
fn lease_faults(facts: &Facts, bond: &Interface, held: &[&Address]) -> Option<Fault> {
    let dhcp = facts.bond.dhcp.as_ref()?;
    let Some(leased) = dhcp.address.as_deref() else {
        return Some(Fault::new(
            format!("no address by DHCP yet: {}", dhcp.state),
            "is there a DHCP server on the segment? The daemon's log says what it has heard: journalctl -u hitless",
        ));
    };
    // With or without the length of its prefix.
    let leased = leased.split('/').next().unwrap_or(leased);
    let is_leased = |address: &&&Address| address.address.to_string() == leased;
    if !held.iter().any(|address| is_leased(&address)) {
        return Some(Fault::new(
            format!("{} does not have {leased}, which was lent to it", bond.name),
            "have whoever removed it leave the bond alone, then hitless reload",
        ));
    }
    let other = held.iter().find(|address| address.is_dynamic() && !is_leased(address))?;
    Some(Fault::new(
        format!("{other} is leased, too, and not by hitless"),
        format!("end the other DHCP client, then ip address del {other} dev {}", bond.name),
    ))
}

/// Where hitless asks for IPv6 addresses itself: there is one, and the bond has it.
fn lease6_fault(facts: &Facts, bond: &Interface) -> Option<Fault> {
    let dhcp6 = facts.bond.dhcp6.as_ref()?;
    match dhcp6.address.as_deref() {
        Some(leased) if bond.addresses.iter().any(|held| held.address.to_string() == leased) => None,
        Some(leased) => Some(Fault::new(
            format!("{} does not have {leased}, which was lent to it", bond.name),
            "have whoever removed it leave the bond alone, then hitless reload",
        )),
        // A prefix alone, or a network whose addresses come from routers.
        None if dhcp6.prefix.is_some() || dhcp6.state == "informed" => None,
        None => Some(Fault::new(
            format!("no address by DHCPv6 yet: {}", dhcp6.state),
            "is there a DHCPv6 server on the segment? The daemon's log says what it has heard: journalctl -u hitless",
        )),
    }
}

/// Two addresses in one network: which of them others see is a matter of luck. One without a network (/32) is not among
/// them: nothing is sent from it unasked.
fn twins(bond: &Interface, held: &[&Address]) -> Option<Fault> {
    let held: Vec<_> = held.iter().filter(|address| address.prefix_len < 32).collect();
    held.iter().enumerate().find_map(|(n, first)| {
        let second = held.iter().skip(n + 1).find(|second| overlap(first, second))?;
        Some(Fault::new(
            format!("{first} and {second} are in one network"),
            format!("ip address del {second} dev {}, or the other one", bond.name),
        ))
    })
}

/// Are these in one IPv4 network?
pub(super) fn overlap(first: &Address, second: &Address) -> bool {
    let (IpAddr::V4(one), IpAddr::V4(other)) = (first.address, second.address) else { return false };
    let length = first.prefix_len.min(second.prefix_len);
    network(one, length) == network(other, length)
}

fn network(address: Ipv4Addr, length: u8) -> u32 {
    let host = 32_u32.saturating_sub(length.into());
    address.to_bits().checked_shr(host).unwrap_or(0)
}
