//! Checks of addresses, gateways and MTU.

use std::net::{IpAddr, Ipv4Addr};

use super::raw::{self, At};
use super::report::Problem;
use super::{Dhcp4, Dhcp6Config, IpConfig, RouteConfig, dhcp, dns};

/// The least MTU that IPv6 works with (RFC 8200, section 5).
const LEAST_IPV6_MTU: i64 = 1280;

/// The bond as a network interface.
pub(super) fn ip(raw: &raw::Ip, problems: &mut Vec<Problem>) -> IpConfig {
    let mut addresses = Vec::new();
    for text in &raw.address {
        match address(&text.value) {
            Ok((ip, _)) if addresses.iter().any(|(other, _)| *other == ip) => {
                problems.push(Problem::new(text.span.clone(), format!("address `{ip}` is there twice")));
            }
            Ok(address) => addresses.push(address),
            Err((message, help)) => {
                let problem = Problem::new(text.span.clone(), message);
                problems.push(if help.is_empty() { problem } else { problem.help(help) });
            }
        }
    }
    let (dhcp4, dhcp6) = dhcp::dhcp(raw, problems);
    // Addresses that could not be read would make each gateway look off-link; those that others give are not known.
    let known = Known {
        addresses: &addresses,
        ipv4: addresses.len() == raw.address.len() && dhcp4 == Dhcp4::Off,
        ipv6: addresses.len() == raw.address.len()
            && dhcp6.is_none()
            && !raw.accept_ra.as_ref().is_some_and(|at| at.value),
    };
    let mut gateways = Vec::new();
    for text in &raw.gateway {
        match gateway(text, &known, &gateways) {
            Ok(gateway) => gateways.push(gateway),
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(mtu) = raw.mtu.as_ref().filter(|mtu| mtu.value < LEAST_IPV6_MTU)
        && let Some(what) = needs_ipv6(&addresses, dhcp6.as_ref())
    {
        problems.push(Problem::new(mtu.span.clone(), format!("mtu = {} and {what}", mtu.value)).label(
            format!("expected at least {LEAST_IPV6_MTU}, without which the kernel switches IPv6 off"),
        ));
    }
    let mtu = raw.mtu.as_ref().and_then(|mtu| u32::try_from(mtu.value).ok());
    let routes = raw.route.iter().filter_map(|raw| route(raw, &known, problems)).collect();
    IpConfig {
        gateways,
        metric: raw.metric.as_ref().and_then(|at| u32::try_from(at.value).ok()),
        routes,
        dhcp4,
        dhcp6,
        accept_ra: raw.accept_ra.as_ref().map(|at| at.value),
        addr_gen_mode: raw.addr_gen_mode.as_ref().map(|at| at.value),
        dns: dns::servers(&raw.dns, problems),
        search: dns::search(&raw.search, problems),
        mtu,
        addresses,
    }
}

/// What of the bond there would not be without IPv6.
fn needs_ipv6(addresses: &[(IpAddr, u8)], dhcp6: Option<&Dhcp6Config>) -> Option<&'static str> {
    if addresses.iter().any(|(ip, _)| ip.is_ipv6()) {
        return Some("an IPv6 address");
    }
    dhcp6.map(|_| "dhcp6 = true")
}

/// What is known of the networks that the bond is in.
struct Known<'a> {
    addresses: &'a [(IpAddr, u8)],
    /// Are those all of IPv4?
    ipv4: bool,
    /// And of IPv6?
    ipv6: bool,
}

impl Known<'_> {
    /// Can this next hop be reached directly, as far as can be told?
    fn reach(&self, gateway: IpAddr) -> bool {
        let complete = if gateway.is_ipv4() { self.ipv4 } else { self.ipv6 };
        !complete
            || is_link_local(gateway)
            || self.addresses.iter().any(|address| contains(*address, gateway))
    }
}

/// An address with its prefix length, or what is wrong and what to do.
fn address(text: &str) -> Result<(IpAddr, u8), (String, String)> {
    let shown = text.escape_debug();
    let Some((ip, length)) = text.split_once('/') else {
        return Err(match text.parse::<IpAddr>() {
            Ok(ip) => {
                let usual = if ip.is_ipv4() { 24 } else { 64 };
                (format!("address `{ip}` has no prefix length"), format!("for example \"{ip}/{usual}\""))
            }
            Err(_) => (format!("`{shown}` is not an address"), "for example \"192.168.1.5/24\"".to_owned()),
        });
    };
    let Ok(ip) = ip.parse::<IpAddr>() else {
        return Err((format!("`{shown}` is not an address"), "for example \"192.168.1.5/24\"".to_owned()));
    };
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let length = length.parse::<u8>().ok().filter(|&n| (1..=longest).contains(&n)).ok_or_else(|| {
        (format!("`{shown}` has no valid prefix length"), format!("expected /1 to /{longest}"))
    })?;
    match unusable(ip, length) {
        Some(fault) => Err((format!("`{shown}` cannot be the bond's: it is {fault}"), String::new())),
        None => Ok((ip, length)),
    }
}

/// Why no interface can have this address.
fn unusable(ip: IpAddr, length: u8) -> Option<&'static str> {
    if ip.is_unspecified() {
        return Some("the unspecified address");
    }
    if ip.is_multicast() {
        return Some("a multicast address");
    }
    if ip.is_loopback() {
        return Some("a loopback address");
    }
    match ip {
        // A /31 has two hosts (RFC 3021) and a /32 one; anything wider has an address for the network and one for all.
        IpAddr::V4(v4) if length < 31 => {
            let host = v4.to_bits() & (u32::MAX >> length);
            if host == 0 {
                Some("the address of the network, not of a host in it")
            } else if host == u32::MAX >> length || v4 == Ipv4Addr::BROADCAST {
                Some("the network's broadcast address")
            } else {
                None
            }
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

fn gateway(text: &At<String>, known: &Known<'_>, others: &[IpAddr]) -> Result<IpAddr, Problem> {
    let problem = |message: String| Problem::new(text.span.clone(), message);
    let Ok(gateway) = text.value.parse::<IpAddr>() else {
        let found = problem(format!("`{}` is not an address", text.value.escape_debug()));
        return Err(found.help("a gateway is a single address, without a prefix length"));
    };
    if others.contains(&gateway) {
        return Err(problem(format!("gateway `{gateway}` is there twice")));
    }
    if known.addresses.iter().any(|(ip, _)| *ip == gateway) {
        return Err(problem(format!("gateway `{gateway}` is the bond's own address")));
    }
    if !known.reach(gateway) {
        let family = if gateway.is_ipv4() { "IPv4" } else { "IPv6" };
        let found = problem(format!("gateway `{gateway}` is in the network of none of the bond's addresses"));
        return Err(if known.addresses.iter().any(|(ip, _)| ip.is_ipv4() == gateway.is_ipv4()) {
            found.help(
                "the kernel refuses a next hop that it cannot reach directly; is a prefix length too long?",
            )
        } else {
            found.help(format!("the bond has no {family} address: add one to `address`"))
        });
    }
    Ok(gateway)
}

/// A further route; `None` where it is wrong.
fn route(raw: &raw::Route, known: &Known<'_>, problems: &mut Vec<Problem>) -> Option<RouteConfig> {
    let Some(text) = &raw.to else {
        problems.push(
            Problem::new(raw.span.clone(), "a route that leads nowhere")
                .help("for example to = \"10.0.0.0/8\" and via = \"192.168.1.254\""),
        );
        return None;
    };
    let to = match destination(&text.value) {
        Ok(to) => to,
        Err(help) => {
            let shown = text.value.escape_debug();
            problems.push(Problem::new(text.span.clone(), format!("`{shown}` is not a network")).help(help));
            return None;
        }
    };
    let via = match raw.via.as_ref().map(|via| gateway(via, known, &[]).map(|gateway| (via, gateway))) {
        None => None,
        Some(Ok((via, gateway))) if gateway.is_ipv4() != to.0.is_ipv4() => {
            let message = "a next hop of another kind than its destination";
            problems.push(Problem::new(via.span.clone(), message).help("IPv4 with IPv4, IPv6 with IPv6"));
            return None;
        }
        Some(Ok((_, gateway))) => Some(gateway),
        Some(Err(problem)) => {
            problems.push(problem);
            return None;
        }
    };
    Some(RouteConfig { to, via, metric: raw.metric.as_ref().and_then(|at| u32::try_from(at.value).ok()) })
}

/// A network with its prefix length, or what to do.
fn destination(text: &str) -> Result<(IpAddr, u8), String> {
    let example = || "for example \"10.0.0.0/8\"; the default route is what `gateway` is for".to_owned();
    let (ip, length) = text.split_once('/').ok_or_else(example)?;
    let ip: IpAddr = ip.parse().map_err(|_| example())?;
    let length: u8 = length.parse().map_err(|_| example())?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    if !(1..=longest).contains(&length) || ip.is_multicast() {
        return Err(example());
    }
    let network = match ip {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & (u32::MAX << (32 - u32::from(length)))).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << (128 - u32::from(length)))).into()),
    };
    if network == ip { Ok((ip, length)) } else { Err(format!("did you mean \"{network}/{length}\"?")) }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

fn contains((network, length): (IpAddr, u8), ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= u32::from(length),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros() >= u32::from(length),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}
