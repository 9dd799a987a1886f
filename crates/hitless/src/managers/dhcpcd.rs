//! dhcpcd, where it manages every interface: it reads its own file and no other, so that keeping it off a port takes a
//! line there. It is named, and added only when the user asks for it. What dhcpcd was told by its command line (`-Z`) is
//! not known here.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::pattern::fits;
use super::processes::Process;
use super::{Finding, Kept, Places};

const FILE: &str = "/etc/dhcpcd.conf";

/// What dhcpcd's file has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fixed {
    /// The file.
    pub file: PathBuf,
    /// The line that is new in it. dhcpcd goes by it when it is restarted.
    pub line: String,
}

/// dhcpcd's file cannot be put right.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}; add `{line}` before its first `interface` line by hand", path.display())]
pub struct FixError {
    what: &'static str,
    path: PathBuf,
    line: String,
    source: io::Error,
}

/// What its file says of interfaces.
#[derive(Debug, Default, PartialEq, Eq)]
struct Config {
    allow: Vec<String>,
    deny: Vec<String>,
    /// Where the first block begins. What comes after is for an interface, a network or a profile alone.
    block: Option<usize>,
}

impl Config {
    fn parse(text: &str) -> Self {
        let mut config = Self::default();
        let mut place = 0;
        for line in text.split_inclusive('\n') {
            let mut words = line.split([' ', '\t', '\n', '\r', ',']).filter(|word| !word.is_empty());
            let option = words.next().unwrap_or_default();
            let patterns = words.take_while(|word| !word.starts_with('#')).map(str::to_owned);
            match option {
                "denyinterfaces" => config.deny.extend(patterns),
                "allowinterfaces" => config.allow.extend(patterns),
                "interface" | "ssid" | "profile" => {
                    config.block = Some(place);
                    break;
                }
                _ => {}
            }
            place += line.len();
        }
        config
    }

    /// Does dhcpcd take this interface?
    fn takes(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, name));
        (self.allow.is_empty() || any(&self.allow)) && !any(&self.deny)
    }

    /// The interfaces that it takes and should not.
    fn taken(&self, bonds: &[Kept]) -> Vec<String> {
        bonds.iter().flat_map(Kept::foreign).filter(|name| self.takes(name)).collect()
    }
}

/// Which ports it takes, if it runs.
pub(super) fn findings(places: &Places, bonds: &[Kept], processes: &[Process]) -> Vec<Finding> {
    if !is_running(places, processes) {
        return Vec::new();
    }
    let path = places.at(FILE);
    let config = Config::parse(&fs::read_to_string(&path).unwrap_or_default());
    let taken = config.taken(bonds);
    let line = line(&taken);
    let finding = |port: &String| Finding {
        port: port.clone(),
        manager: "dhcpcd".to_owned(),
        text: "dhcpcd manages it".to_owned(),
        remedy: format!(
            "add `{line}` to {}, before its first `interface` line (`hitless verify --fix` does), and restart dhcpcd",
            path.display()
        ),
    };
    taken.iter().map(finding).collect()
}

/// Adds the line that keeps dhcpcd off these bonds' ports, in one step and before the first block, where alone it holds
/// for all. Returns what that was, or nothing where it is not needed. Says nothing of whether dhcpcd runs.
///
/// # Errors
///
/// When the file cannot be read or replaced; it is as it was then.
pub(super) fn fix(places: &Places, bonds: &[Kept]) -> Result<Option<Fixed>, FixError> {
    let path = places.at(FILE);
    let all: Vec<_> = bonds.iter().flat_map(Kept::foreign).collect();
    let failed = |what, line: &str| {
        let (path, line) = (path.clone(), line.to_owned());
        move |source| FixError { what, path, line, source }
    };
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(failed("read", &line(&all)))?,
    };
    let config = Config::parse(&text);
    let taken = config.taken(bonds);
    if taken.is_empty() {
        return Ok(None);
    }
    let line = line(&taken);
    replace(&path, &with_line(&text, &line, config.block)).map_err(failed("write", &line))?;
    Ok(Some(Fixed { file: path, line }))
}

fn line(names: &[String]) -> String {
    format!("denyinterfaces {}", names.join(" "))
}

fn with_line(text: &str, line: &str, block: Option<usize>) -> String {
    let (before, after) = text.split_at_checked(block.unwrap_or(text.len())).unwrap_or((text, ""));
    let end = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    format!("{before}{end}{line}\n{after}")
}

/// In one step, for the same owner and with the same permissions. A link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        path => path?,
    };
    let new = path.with_extension("conf.hitless");
    let written = write_like(&new, text, &path).and_then(|()| fs::rename(&new, &path));
    if written.is_err() {
        // What is reported is why it was not replaced.
        let _ = fs::remove_file(&new);
    }
    written
}

fn write_like(new: &Path, text: &str, old: &Path) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(new)?;
    file.write_all(text.as_bytes())?;
    let permissions = match fs::metadata(old) {
        Ok(old) => {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
            old.permissions()
        }
        Err(_) => Permissions::from_mode(0o644),
    };
    file.set_permissions(permissions)?;
    file.sync_all()
}

/// Does it run for all interfaces? Where it runs for one, its file and its title have that one's name.
fn is_running(places: &Places, processes: &[Process]) -> bool {
    let files = ["/run/dhcpcd/pid", "/run/dhcpcd.pid"].map(|path| fs::read_to_string(places.at(path)));
    let noted: Vec<u32> = files.iter().flatten().filter_map(|pid| pid.trim().parse().ok()).collect();
    processes.iter().filter(|process| process.program() == "dhcpcd").any(|process| {
        let for_all = |word: &String| word == "[manager]" || word == "[master]";
        noted.contains(&process.pid) || process.words.iter().any(for_all)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bond() -> Vec<Kept> {
        let interfaces = vec!["eth0".to_owned(), "wlan0".to_owned()];
        vec![Kept { bond: "bond0".to_owned(), interfaces, external: false }]
    }

    #[test]
    fn what_it_takes_is_told_before_the_first_block() {
        for (text, taken) in [
            ("", &["eth0", "wlan0", "bond0-p"] as &[&str]),
            ("denyinterfaces eth0 wlan0 bond0-p\n", &[]),
            ("denyinterfaces eth*,wl*\tbond?-p # ours\n", &[]),
            ("denyinterfaces eth0\n denyinterfaces wlan0\n", &["bond0-p"]),
            ("allowinterfaces usb*\n", &[]),
            ("allowinterfaces eth[0-3] wlan0\ndenyinterfaces wlan0\n", &["eth0"]),
            ("# denyinterfaces eth0\n#denyinterfaces *\n", &["eth0", "wlan0", "bond0-p"]),
            ("denyinterfaces # *\n", &["eth0", "wlan0", "bond0-p"]),
            ("interface usb0\ndenyinterfaces *\n", &["eth0", "wlan0", "bond0-p"]),
            ("ssid cafe\ndenyinterfaces *\n", &["eth0", "wlan0", "bond0-p"]),
            ("denyinterfaces *\ninterface eth0\nstatic ip_address=10.0.0.2/24\n", &[]),
        ] {
            assert_eq!(Config::parse(text).taken(&bond()), taken, "{text}");
        }
    }

    #[test]
    fn the_line_goes_where_it_holds_for_all() {
        for (before, after) in [
            ("", "LINE\n"),
            ("hostname", "hostname\nLINE\n"),
            ("hostname\n", "hostname\nLINE\n"),
            ("hostname\n\ninterface eth0\nstatic a\n", "hostname\n\nLINE\ninterface eth0\nstatic a\n"),
            ("interface eth0\n", "LINE\ninterface eth0\n"),
        ] {
            assert_eq!(with_line(before, "LINE", Config::parse(before).block), after);
        }
    }
}
