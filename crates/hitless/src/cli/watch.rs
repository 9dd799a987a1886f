//! `hitless watch`: what happens, as it happens.

use std::io::{self, Write};
use std::path::Path;

use hitless_api::{Bond, Client, Kind, LinkState, MonitorReply, Notice};

use super::failure::Failure;
use super::status::active;
use super::style::{self, clean};
use super::time::rfc3339;
use super::write_json;

pub(super) fn watch(socket: &Path, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    for reply in Client::connect(socket)?.monitor()? {
        let reply = reply?;
        if json { write_json(out, &reply) } else { human(&reply, out) }?;
        out.flush()?;
    }
    Ok(())
}

fn human(reply: &MonitorReply, out: &mut impl Write) -> io::Result<()> {
    for bond in reply.bonds.iter().flatten() {
        present(bond, out)?;
    }
    reply.notice.as_ref().map_or(Ok(()), |notice| line(notice, out))
}

fn present(bond: &Bond, out: &mut impl Write) -> io::Result<()> {
    let (faint, strong) = (style::FAINT, style::STRONG);
    let active = active(bond);
    let carrier = if bond.carrier { "carrier" } else { "no carrier" };
    let name = clean(&bond.name);
    writeln!(out, "{faint}now{faint:#} {strong}{name}{strong:#} active {active}, {carrier}")
}

fn line(notice: &Notice, out: &mut impl Write) -> io::Result<()> {
    let (faint, strong, colour) = (style::FAINT, style::STRONG, colour(notice));
    let (time, bond, text) = (rfc3339(notice.time_us), clean(&notice.bond), clean(&notice.text));
    writeln!(out, "{faint}{time}{faint:#} {strong}{bond}{strong:#} {colour}{text}{colour:#}")
}

fn colour(notice: &Notice) -> anstyle::Style {
    match notice.kind {
        Kind::Failover => style::STRONG,
        Kind::Link => style::link(notice.link.unwrap_or(LinkState::Down)),
        Kind::Carrier if notice.carrier == Some(true) => style::GOOD,
        Kind::Carrier | Kind::Retry => style::BAD,
        Kind::Drift | Kind::OtherSegment => style::UNSURE,
        Kind::Waiting | Kind::Attached | Kind::Detached => anstyle::Style::new(),
    }
}
