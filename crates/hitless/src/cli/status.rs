//! `hitless status`: bonds and their ports as they are now.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anstyle::Style;
use hitless_api::{Bond, Client, ClientError, Dhcp, Dhcp6, Dns, Error, Failover, Port, Status, Wifi};

use super::failure::Failure;
use super::style::{self, clean};
use super::table::{self, Cell};
use super::write_json;

/// The mode in which there is one active port.
const ACTIVE_BACKUP: &str = "active-backup";

pub(super) fn status(
    socket: &Path,
    only: Option<&str>,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let bonds = bonds(socket, only)?;
    if json {
        write_json(out, &Status { bonds })?;
    } else {
        human(&bonds, out)?;
    }
    Ok(())
}

/// All bonds, or the one of this name.
pub(super) fn bonds(socket: &Path, only: Option<&str>) -> Result<Vec<Bond>, ClientError> {
    let mut bonds = Client::connect(socket)?.status()?;
    if let Some(name) = only {
        bonds.retain(|bond| bond.name == name);
        if bonds.is_empty() {
            return Err(Error::NoSuchBond { bond: name.to_owned() }.into());
        }
    }
    Ok(bonds)
}

fn human(bonds: &[Bond], out: &mut impl Write) -> io::Result<()> {
    if bonds.is_empty() {
        writeln!(out, "The daemon has no bonds; `hitless adopt eth0 wlan0` makes one of interfaces in use.")?;
    }
    for (n, bond) in bonds.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        heading(bond, out)?;
        table(bond, out)?;
    }
    Ok(())
}

fn heading(bond: &Bond, out: &mut impl Write) -> io::Result<()> {
    let (strong, faint) = (style::STRONG, style::FAINT);
    let (colour, carrier) = if bond.carrier { (style::GOOD, "carrier") } else { (style::BAD, "no carrier") };
    write!(
        out,
        "{strong}{}{strong:#}  {} on {}",
        clean(&bond.name),
        clean(&bond.mode),
        bond.driver.as_str()
    )?;
    writeln!(
        out,
        ", {colour}{carrier}{colour:#}, {faint}{}{faint:#}",
        bond.mac.as_deref().unwrap_or("no address")
    )?;
    write!(out, "  active {strong}{}{strong:#}", active(bond))?;
    if let Some(primary) = &bond.primary {
        write!(out, ", primary {}", clean(primary))?;
    }
    if let Some(failover) = &bond.last_failover {
        write!(out, ", last change {}", change(failover))?;
    }
    writeln!(out)?;
    if let Some(dhcp) = &bond.dhcp {
        writeln!(out, "  dhcp {}", lease(dhcp))?;
    }
    if let Some(dhcp6) = &bond.dhcp6 {
        writeln!(out, "  dhcp6 {}", lease6(dhcp6))?;
    }
    if let Some(dns) = &bond.dns {
        writeln!(out, "  dns {}", name_servers(dns))?;
    }
    if let Some(left) = bond.unconfirmed_s {
        let unsure = style::UNSURE;
        writeln!(
            out,
            "  {unsure}on trial{unsure:#}: unless `hitless confirm` is run within {left} s, all is put back"
        )?;
    }
    if let Some(reason) = &bond.fail_over_mac_reason {
        writeln!(out, "  fail-over-mac {}: {}", clean(&bond.fail_over_mac), clean(reason))?;
    }
    Ok(())
}

/// The ports that traffic leaves by.
pub(super) fn active(bond: &Bond) -> String {
    let active: Vec<_> = bond.ports.iter().filter(|port| port.active).map(|port| clean(&port.name)).collect();
    if active.is_empty() { "none".to_owned() } else { active.join(", ") }
}

fn name_servers(dns: &Dns) -> String {
    let list = |texts: &[String]| texts.iter().map(|text| clean(text)).collect::<Vec<_>>().join(", ");
    let servers = if dns.servers.is_empty() { "none".to_owned() } else { list(&dns.servers) };
    let search =
        if dns.search.is_empty() { String::new() } else { format!(", search {}", list(&dns.search)) };
    match &dns.via {
        Some(via) => format!("{servers}{search}, by {}", clean(via)),
        None => format!("{servers}{search}, known to nobody yet"),
    }
}

fn lease(dhcp: &Dhcp) -> String {
    let mut said = clean(&dhcp.state).into_owned();
    if let Some(address) = &dhcp.address {
        said += &format!(", {}", clean(address));
    }
    if let Some(server) = &dhcp.server {
        said += &format!(" from {}", clean(server));
    }
    if let Some(seconds) = dhcp.expires_in_s {
        said += &format!(", {seconds} s left");
    }
    said + &time_servers(&dhcp.ntp)
}

fn time_servers(ntp: &[String]) -> String {
    if ntp.is_empty() {
        return String::new();
    }
    let ntp: Vec<_> = ntp.iter().map(|server| clean(server)).collect();
    format!(", time from {}", ntp.join(", "))
}

fn lease6(dhcp6: &Dhcp6) -> String {
    let mut said = clean(&dhcp6.state).into_owned();
    let lent =
        [("", &dhcp6.address, dhcp6.expires_in_s), ("prefix ", &dhcp6.prefix, dhcp6.prefix_expires_in_s)];
    for (kind, what, left) in lent {
        if let Some(what) = what {
            said += &format!(", {kind}{}", clean(what));
            if let Some(seconds) = left {
                said += &format!(" with {seconds} s left");
            }
        }
    }
    if let Some(server) = &dhcp6.server {
        said += &format!(", from {}", clean(server));
    }
    said + &time_servers(&dhcp6.ntp)
}

fn change(failover: &Failover) -> String {
    let [from, to] =
        [&failover.from, &failover.to].map(|port| clean(port.as_deref().unwrap_or("none")).into_owned());
    let took = Duration::from_micros(failover.took_us).as_secs_f64() * 1e3;
    format!("{from} → {to} ({}, {took:.1} ms)", failover.cause.as_str())
}

fn table(bond: &Bond, out: &mut impl Write) -> io::Result<()> {
    let ports = &bond.ports;
    if ports.is_empty() {
        return writeln!(out, "  no ports");
    }
    let wireless = ports.iter().any(|port| port.wifi.is_some());
    let mut headings = vec!["PORT", "LINK", "ROLE", "FAILURES", "SPEED", "MAC"];
    if wireless {
        headings.push("NETWORK");
    }
    headings.push("WAITING FOR");
    // Where one port carries everything, the others stand by for it.
    let other = if bond.mode == ACTIVE_BACKUP { "standby" } else { "out" };
    let rows: Vec<Vec<Cell>> = ports.iter().map(|port| row(port, other, wireless)).collect();
    table::write(&headings, &rows, out)
}

fn row(port: &Port, other: &str, wireless: bool) -> Vec<Cell> {
    let plain = Style::new();
    let role = if port.active { ("active".to_owned(), style::STRONG) } else { (other.to_owned(), plain) };
    let failures = if port.link_failures == 0 { plain } else { style::UNSURE };
    // What a station sends with right now is what it has for a speed.
    let rate = port.wifi.as_ref().and_then(|wifi| wifi.rate_mbps);
    let speed = match (rate.or(port.speed_mbps), port.duplex) {
        (Some(speed), Some(duplex)) if rate.is_none() => format!("{speed} Mbit/s {}", duplex.as_str()),
        (Some(speed), _) => format!("{speed} Mbit/s"),
        (None, _) => "-".to_owned(),
    };
    let mut row = vec![
        (clean(&port.name).into_owned(), plain),
        (port.link.as_str().to_owned(), style::link(port.link)),
        role,
        (port.link_failures.to_string(), failures),
        (speed, plain),
        (port.permanent_mac.clone().unwrap_or_else(|| "-".to_owned()), style::FAINT),
    ];
    if wireless {
        row.push(port.wifi.as_ref().map_or_else(|| (String::new(), plain), network));
    }
    row.push((clean(port.waiting.as_deref().unwrap_or_default()).into_owned(), style::UNSURE));
    row
}

/// The network and how well it is heard, or else what keeps the station from it.
fn network(wifi: &Wifi) -> Cell {
    if wifi.blocked.is_some() {
        return ("radio off".to_owned(), style::BAD);
    }
    let signal = wifi.signal_dbm.map(|signal| format!(", {signal} dBm")).unwrap_or_default();
    match (&wifi.ssid, &wifi.fault) {
        (Some(ssid), _) => (format!("{}{signal}", clean(ssid)), style::GOOD),
        (None, Some(_)) => (format!("{}, see hitless wifi status", clean(&wifi.state)), style::BAD),
        (None, None) => (clean(&wifi.state).into_owned(), style::UNSURE),
    }
}
