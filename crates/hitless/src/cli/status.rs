//! `hitless status`: bonds and their ports as they are now.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anstyle::Style;
use hitless_api::{Bond, Client, ClientError, Error, Failover, Port, Status};

use super::failure::Failure;
use super::style::{self, clean};
use super::write_json;

pub(super) fn status(
    socket: &Path,
    only: Option<&str>,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let mut bonds = Client::connect(socket)?.status()?;
    if let Some(name) = only {
        bonds.retain(|bond| bond.name == name);
        if bonds.is_empty() {
            return Err(ClientError::from(Error::NoSuchBond { bond: name.to_owned() }).into());
        }
    }
    if json {
        write_json(out, &Status { bonds })?;
    } else {
        human(&bonds, out)?;
    }
    Ok(())
}

fn human(bonds: &[Bond], out: &mut impl Write) -> io::Result<()> {
    if bonds.is_empty() {
        writeln!(out, "The daemon has no bonds.")?;
    }
    for (n, bond) in bonds.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        heading(bond, out)?;
        table(&bond.ports, out)?;
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
    let active = bond.active.as_deref().unwrap_or("none");
    write!(out, "  active {strong}{}{strong:#}", clean(active))?;
    if let Some(primary) = &bond.primary {
        write!(out, ", primary {}", clean(primary))?;
    }
    if let Some(failover) = &bond.last_failover {
        write!(out, ", last change {}", change(failover))?;
    }
    writeln!(out)
}

fn change(failover: &Failover) -> String {
    let [from, to] =
        [&failover.from, &failover.to].map(|port| clean(port.as_deref().unwrap_or("none")).into_owned());
    let took = Duration::from_micros(failover.took_us).as_secs_f64() * 1e3;
    format!("{from} → {to} ({}, {took:.1} ms)", failover.cause.as_str())
}

/// One cell, and how it is painted.
type Cell = (String, Style);

const HEADINGS: [&str; 7] = ["PORT", "LINK", "ROLE", "FAILURES", "SPEED", "MAC", "WAITING FOR"];

fn table(ports: &[Port], out: &mut impl Write) -> io::Result<()> {
    if ports.is_empty() {
        return writeln!(out, "  no ports");
    }
    let headings = HEADINGS.map(|heading| (heading.to_owned(), style::FAINT));
    let rows: Vec<[Cell; 7]> = std::iter::once(headings).chain(ports.iter().map(row)).collect();
    for row in &rows {
        let mut line = String::from(" ");
        // Blanks are held back until something follows, so that no line ends in them.
        let mut blanks = 1;
        for (column, (text, style)) in row.iter().enumerate() {
            let width =
                rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count()).max();
            let length = text.chars().count();
            if length > 0 {
                line.push_str(&" ".repeat(blanks));
                line.push_str(&format!("{style}{text}{style:#}"));
                blanks = 0;
            }
            blanks += width.unwrap_or(0).saturating_sub(length) + 2;
        }
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn row(port: &Port) -> [Cell; 7] {
    let plain = Style::new();
    let role = if port.active { ("active".to_owned(), style::STRONG) } else { ("standby".to_owned(), plain) };
    let failures = if port.link_failures == 0 { plain } else { style::UNSURE };
    let speed = match (port.speed_mbps, port.duplex) {
        (Some(speed), Some(duplex)) => format!("{speed} Mbit/s {}", duplex.as_str()),
        (Some(speed), None) => format!("{speed} Mbit/s"),
        (None, _) => "-".to_owned(),
    };
    [
        (clean(&port.name).into_owned(), plain),
        (port.link.as_str().to_owned(), style::link(port.link)),
        role,
        (port.link_failures.to_string(), failures),
        (speed, plain),
        (port.permanent_mac.clone().unwrap_or_else(|| "-".to_owned()), style::FAINT),
        (clean(port.waiting.as_deref().unwrap_or_default()).into_owned(), style::UNSURE),
    ]
}
