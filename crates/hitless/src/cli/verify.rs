//! `hitless verify`: the checklist, line by line.

use std::io::{self, Write};
use std::path::Path;

use anstyle::Style;
use hitless_api::Bond;
use hitless_linux::netlink::Netlink;
use nix::unistd::geteuid;
use serde::Serialize;

use super::failure::{Exit, Failure};
use super::status;
use super::style::{self, clean};
use super::write_json;
use crate::managers::{self, Fixed, Places};
use crate::verify::{self, Line, Summary, Verdict, collect};

/// A line of the checklist for programs.
#[derive(Serialize)]
struct Entry<'a> {
    bond: &'a str,
    #[serde(flatten)]
    line: &'a Line,
}

/// All of it, for programs.
#[derive(Serialize)]
struct Report<'a> {
    summary: Summary,
    checks: Vec<Entry<'a>>,
    /// What was put right before, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed: Option<&'a [Fixed]>,
}

pub(super) fn verify(
    socket: &Path,
    only: Option<&str>,
    fix: bool,
    json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let privileged = geteuid().is_root();
    if fix && !privileged {
        let refusal = "--fix changes files of other programs, which only root may";
        return Err(Failure::new(Exit::Refused, refusal).hint("try it with sudo"));
    }
    let bonds = status::bonds(socket, only)?;
    let fixed = if fix { Some(repair(&bonds)?) } else { None };
    let lists = checklists(bonds)?;
    let summary = Summary::of(lists.iter().flat_map(|(_, lines)| lines));
    if json {
        let entries =
            lists.iter().flat_map(|(bond, lines)| lines.iter().map(|line| Entry { bond: &bond.name, line }));
        write_json(out, &Report { summary, checks: entries.collect(), fixed: fixed.as_deref() })?;
    } else {
        if let Some(fixed) = &fixed {
            write_fixed(fixed, out)?;
        }
        human(&lists, summary, privileged, out)?;
    }
    match summary.verdict {
        Verdict::Holds | Verdict::Note => Ok(()),
        Verdict::Fails => Err(Failure::silent(Exit::Unverified)),
        Verdict::Unknown => Err(Failure::silent(Exit::Unchecked)),
    }
}

/// Puts right what can be.
fn repair(bonds: &[Bond]) -> Result<Vec<Fixed>, Failure> {
    let bonds: Vec<_> = bonds.iter().map(collect::kept).collect();
    let fixed = managers::fix(&Places::default(), &bonds).map_err(|error| Failure::from_error(&error))?;
    Ok(fixed.into_iter().collect())
}

fn checklists(bonds: Vec<Bond>) -> Result<Vec<(Bond, Vec<Line>)>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::from_error(&error))?;
    runtime.block_on(async {
        let netlink = Netlink::requests().map_err(|error| Failure::from_error(&error))?;
        let mut lists = Vec::new();
        for bond in bonds {
            let facts = collect::facts(&netlink, bond).await.map_err(|error| Failure::from_error(&error))?;
            let lines = verify::checklist(&facts);
            lists.push((facts.bond, lines));
        }
        Ok(lists)
    })
}

fn write_fixed(fixed: &[Fixed], out: &mut impl Write) -> io::Result<()> {
    if fixed.is_empty() {
        writeln!(out, "Nothing to fix.")?;
    }
    for Fixed { file, line } in fixed {
        let (file, line) = (file.display().to_string(), clean(line));
        writeln!(out, "Added to {}: {line}", clean(&file))?;
        writeln!(out, "Restart dhcpcd, so that it goes by that.")?;
    }
    writeln!(out)
}

fn human(
    lists: &[(Bond, Vec<Line>)],
    summary: Summary,
    privileged: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let strong = style::STRONG;
    if lists.is_empty() {
        return writeln!(out, "The daemon has no bonds.");
    }
    for (n, (bond, lines)) in lists.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        let (name, mode, driver) = (clean(&bond.name), clean(&bond.mode), bond.driver.as_str());
        writeln!(out, "{strong}{name}{strong:#}  {mode} on {driver}")?;
        let width = lines.iter().map(|line| line.check.len()).max().unwrap_or(0);
        for line in lines {
            write_line(line, width, out)?;
        }
    }
    writeln!(out, "\n{}", counted(summary))?;
    if summary.unknown > 0 && !privileged {
        writeln!(out, "Some of it only root may look at: try it with sudo.")?;
    }
    Ok(())
}

/// In one line; `holds` always, the rest where there is any.
fn counted(Summary { verdict: _, holds, fails, unknown, notes }: Summary) -> String {
    let all = holds + fails + unknown + notes;
    let others = [(fails, "fail"), (unknown, "could not be found out"), (notes, "to know")];
    let others = others.into_iter().filter(|(count, _)| *count > 0);
    others
        .fold(format!("{all} checks: {holds} hold"), |line, (count, what)| format!("{line}, {count} {what}"))
}

fn write_line(line: &Line, width: usize, out: &mut impl Write) -> io::Result<()> {
    let (mark, colour) = mark(line.verdict);
    writeln!(out, "  {colour}{mark}{colour:#} {:width$}  {}", line.check, clean(&line.seen))?;
    if let Some(remedy) = &line.remedy {
        let strong = style::STRONG;
        writeln!(out, "    {:width$}  {strong}→{strong:#} {}", "", clean(remedy))?;
    }
    Ok(())
}

fn mark(verdict: Verdict) -> (char, Style) {
    match verdict {
        Verdict::Holds => ('✓', style::GOOD),
        Verdict::Fails => ('✗', style::BAD),
        Verdict::Unknown => ('?', style::UNSURE),
        Verdict::Note => ('·', style::FAINT),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use hitless_api::Driver;

    use super::*;

    #[test]
    fn lines_are_aligned_and_remedies_below() {
        let bond = Bond {
            name: "bond0".to_owned(),
            driver: Driver::Ebpf,
            mode: "active-backup".to_owned(),
            active: None,
            primary: None,
            carrier: false,
            mac: None,
            fail_over_mac: "none".to_owned(),
            fail_over_mac_reason: None,
            same_segment: "require".to_owned(),
            unconfirmed_s: None,
            ports: Vec::new(),
            last_failover: None,
            dhcp: None,
            dhcp6: None,
            dns: None,
        };
        let line = |check, verdict, seen: &str, remedy: Option<&str>| Line {
            check,
            verdict,
            seen: seen.to_owned(),
            remedy: remedy.map(str::to_owned),
        };
        let lines = vec![
            line("link", Verdict::Holds, "it is up", None),
            line("active-port", Verdict::Fails, "eth\u{1b}0", Some("hitless switch bond0 eth0")),
            line("driver", Verdict::Unknown, "not for you", None),
            line("wifi", Verdict::Note, "no port is Wi-Fi", None),
        ];
        let mut out = Vec::new();
        let summary = Summary::of(lines.iter());
        human(&[(bond, lines)], summary, false, &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(
            anstream::adapter::strip_str(&shown).to_string(),
            "bond0  active-backup on ebpf
  ✓ link         it is up
  ✗ active-port  eth\u{fffd}0
                 → hitless switch bond0 eth0
  ? driver       not for you
  · wifi         no port is Wi-Fi

4 checks: 1 hold, 1 fail, 1 could not be found out, 1 to know
Some of it only root may look at: try it with sudo.
"
        );
    }
}
