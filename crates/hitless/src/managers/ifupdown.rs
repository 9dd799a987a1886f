//! ifupdown: what `/etc/network/interfaces`, and what it includes, says of ports. interfaces(5).

use std::fs;
use std::path::{Path, PathBuf};

use super::pattern::{fits, is_glob};
use super::{Finding, Kept, Places, ports};

/// Files may include files, but not for ever.
const DEPTH: u8 = 8;

/// A line that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// `auto` or `allow-hotplug`: by which word, and what comes up by itself.
    Start(String, Vec<String>),
    /// How an interface is configured.
    Iface { name: String, family: String, method: String },
    /// Other files.
    Source(Vec<String>),
    /// All files of a directory.
    SourceDirectory(Vec<String>),
}

/// Which ports it configures.
pub(super) fn findings(places: &Places, bonds: &[Kept]) -> Vec<Finding> {
    let mut lines = Vec::new();
    collect(places, &places.at("/etc/network/interfaces"), DEPTH, &mut lines);
    let mut found = Vec::new();
    for (file, line) in &lines {
        let Line::Iface { name, family, method } = line else { continue };
        // Such a stanza gives no addresses; ports of bonds have always been declared by it.
        if method == "manual" || !ports(bonds).any(|port| fits(port, name)) {
            continue;
        }
        let start = lines.iter().find_map(|(_, line)| starts(line, name));
        let start = start.map(|word| format!(", at boot (`{word} {name}`)")).unwrap_or_default();
        found.push(Finding {
            port: name.clone(),
            manager: "ifupdown".to_owned(),
            text: format!(
                "ifupdown configures it by `iface {name} {family} {method}` in {}{start}",
                file.display()
            ),
            remedy: format!(
                "run `ifdown {name}`, then comment the stanza out, or write `iface {name} {family} manual`"
            ),
        });
    }
    found
}

fn starts<'a>(line: &'a Line, name: &str) -> Option<&'a str> {
    match line {
        Line::Start(word, names) => names.iter().any(|start| fits(start, name)).then_some(word),
        Line::Iface { .. } | Line::Source(_) | Line::SourceDirectory(_) => None,
    }
}

/// The lines of a file and of what it includes.
fn collect(places: &Places, file: &Path, depth: u8, lines: &mut Vec<(PathBuf, Line)>) {
    let (Some(depth), Ok(text)) = (depth.checked_sub(1), fs::read_to_string(file)) else { return };
    for line in parse(&text) {
        match &line {
            Line::Source(paths) => {
                for path in paths.iter().flat_map(|path| expand(&resolve(places, file, path))) {
                    collect(places, &path, depth, lines);
                }
            }
            Line::SourceDirectory(paths) => {
                for directory in paths.iter().flat_map(|path| expand(&resolve(places, file, path))) {
                    for path in expand(&directory.join("*")).into_iter().filter(|path| is_plain(path)) {
                        collect(places, &path, depth, lines);
                    }
                }
            }
            Line::Start(..) | Line::Iface { .. } => lines.push((file.to_owned(), line)),
        }
    }
}

/// Relative to the file that names it.
fn resolve(places: &Places, file: &Path, path: &str) -> PathBuf {
    if path.starts_with('/') { places.at(path) } else { file.with_file_name("").join(path) }
}

/// The files that a pattern in the last part of a path fits.
fn expand(path: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(pattern)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Vec::new();
    };
    if !is_glob(pattern) {
        return vec![path.to_owned()];
    }
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter(|name| !name.starts_with('.')).filter(|name| fits(pattern, name)).collect();
    names.sort();
    names.into_iter().map(|name| directory.join(name)).collect()
}

/// Only such names count in a directory.
fn is_plain(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

fn parse(text: &str) -> Vec<Line> {
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| parse_line(&line.split_whitespace().collect::<Vec<_>>())).collect()
}

fn parse_line(words: &[&str]) -> Option<Line> {
    let (first, rest) = words.split_first()?;
    let owned = || rest.iter().map(|word| (*word).to_owned()).collect();
    match (*first, rest) {
        ("iface", [name, family, method, ..]) => Some(Line::Iface {
            name: (*name).to_owned(),
            family: (*family).to_owned(),
            method: (*method).to_owned(),
        }),
        ("source", _) => Some(Line::Source(owned())),
        ("source-directory", _) => Some(Line::SourceDirectory(owned())),
        ("auto", _) => Some(Line::Start((*first).to_owned(), owned())),
        (word, _) if word.starts_with("allow-") => Some(Line::Start(word.to_owned(), owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn lines_that_matter_are_understood() {
        let iface = |name: &str, family: &str, method: &str| Line::Iface {
            name: name.to_owned(),
            family: family.to_owned(),
            method: method.to_owned(),
        };
        for (text, lines) in [
            ("", vec![]),
            ("# iface eth0 inet dhcp\n   # auto eth0\n", vec![]),
            ("iface eth0 inet dhcp\n  hostname x\n", vec![iface("eth0", "inet", "dhcp")]),
            ("iface eth0 inet \\\n static\n address 10.0.0.2/24\n", vec![iface("eth0", "inet", "static")]),
            ("auto lo eth0\n", vec![Line::Start("auto".to_owned(), words(&["lo", "eth0"]))]),
            ("allow-hotplug eth0", vec![Line::Start("allow-hotplug".to_owned(), words(&["eth0"]))]),
            ("source interfaces.d/*\n", vec![Line::Source(words(&["interfaces.d/*"]))]),
            ("source-directory a\n", vec![Line::SourceDirectory(words(&["a"]))]),
            ("iface eth0\nmapping eth0\n", vec![]),
        ] {
            assert_eq!(parse(text), lines, "{text}");
        }
    }
}
