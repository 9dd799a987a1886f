//! Checks of wireless interfaces and their networks (`[wifi.NAME]`).

mod eap;
pub(super) mod raw;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use hitless_core::mac::MacAddr;
use hitless_core::wifi::{MAX_SSID, Ssid};

use self::raw::Kind;
use super::names;
use super::raw::{At, Bond};
use super::report::Problem;
use super::secret;
use crate::wifi::network::{Manage, Network, Secret, SecretSource, Security, WifiConfig};

/// What stands in for what is wrong; a configuration with problems is never used.
const UNKNOWN: &str = "?";

/// The wireless interfaces, by name.
pub(super) fn interfaces(
    wifi: &[raw::Wifi],
    bonds: &[Bond],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, WifiConfig> {
    wifi.iter().map(|raw| (raw.name.value.clone(), interface(raw, bonds, problems))).collect()
}

fn interface(raw: &raw::Wifi, bonds: &[Bond], problems: &mut Vec<Problem>) -> WifiConfig {
    problems.extend(name_problem(&raw.name, bonds));
    let manage = raw.manage.as_ref().map(|at| at.value).unwrap_or_default();
    let mut networks: Vec<Network> = Vec::new();
    for raw in &raw.networks {
        let Some(network) = network(raw, problems) else { continue };
        if networks.iter().any(|other| other.ssid == network.ssid) {
            let message = format!("network `{}` is there twice", network.ssid);
            problems.push(Problem::new(name_span(raw), message).help("remove one of them"));
        }
        networks.push(network);
    }
    if let (Manage::Off, Some(network)) = (manage, raw.networks.first()) {
        problems.push(
            Problem::new(network.span.clone(), "a network has no meaning with manage = \"off\"")
                .help("nobody would join it: remove it, or the line with `manage`"),
        );
    }
    if manage == Manage::Iwd {
        for bssid in raw.networks.iter().filter_map(|network| network.bssid.as_ref()) {
            problems.push(
                Problem::new(bssid.span.clone(), "`bssid` has no meaning with manage = \"iwd\"").help(
                    "iwd chooses the access point by itself: remove it, or let wpa_supplicant do the joining",
                ),
            );
        }
    }
    WifiConfig { country: raw.country.as_ref().map(|at| country(at, problems)), manage, networks }
}

fn name_problem(name: &At<String>, bonds: &[Bond]) -> Option<Problem> {
    let shown = name.value.escape_debug();
    let problem = |message: String| Problem::new(name.span.clone(), message);
    if name.value.contains(['*', '?']) {
        return Some(
            problem(format!("[wifi.\"{shown}\"] is for one interface, not for a pattern"))
                .help("name each interface: [wifi.wlan0]"),
        );
    }
    if let Some(fault) = names::fault(&name.value) {
        return Some(problem(format!("`{shown}` cannot be an interface: {fault}")));
    }
    let ports: Vec<&str> = bonds
        .iter()
        .flat_map(|bond| &bond.ports)
        .flat_map(|ports| &ports.value)
        .map(|port| port.value.as_str())
        .collect();
    if ports.is_empty() || ports.iter().any(|port| names::overlap(port, &name.value)) {
        return None;
    }
    Some(
        problem(format!("`{shown}` is a port of no bond"))
            .label(format!("expected one of {}", ports.join(", ")))
            .did_you_mean(&name.value, ports.iter().copied())
            .help(format!("hitless joins networks for the ports of its bonds: add \"{shown}\" to `ports`")),
    )
}

/// ISO 3166-1: two letters. (Which of them exist is for the kernel's regulatory database to say.)
fn country(at: &At<String>, problems: &mut Vec<Problem>) -> String {
    let text = at.value.as_str();
    if text.len() != 2 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
        let upper = text.to_ascii_uppercase();
        let problem =
            Problem::new(at.span.clone(), format!("`country` cannot be \"{}\"", text.escape_debug()))
                .label("expected two letters from A to Z (ISO 3166), such as \"AT\"");
        let is_lower = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
        problems.push(if is_lower { problem.help(format!("did you mean `{upper}`?")) } else { problem });
    }
    text.to_owned()
}

/// A network; `None` where it has no valid name.
fn network(raw: &raw::Network, problems: &mut Vec<Problem>) -> Option<Network> {
    let ssid = ssid(raw, problems);
    let security = security(raw, problems);
    let priority = raw.priority.as_ref().and_then(|at| i32::try_from(at.value).ok()).unwrap_or(0);
    let hidden = raw.hidden.as_ref().is_some_and(|at| at.value);
    let bssid = raw.bssid.as_ref().and_then(|at| bssid(at, problems));
    Some(Network { ssid: ssid?, security: security?, priority, hidden, bssid })
}

/// The address of an access point.
fn bssid(at: &At<String>, problems: &mut Vec<Problem>) -> Option<MacAddr> {
    let bssid = at.value.parse().ok().filter(|mac: &MacAddr| mac.is_station());
    if bssid.is_none() {
        let message = format!("`bssid` cannot be \"{}\"", at.value.escape_debug());
        problems.push(
            Problem::new(at.span.clone(), message)
                .label("expected the address of an access point, such as \"02:00:5e:00:53:01\"")
                .help("hitless wifi scan shows those in range"),
        );
    }
    bssid
}

/// Where a network's name stands.
fn name_span(raw: &raw::Network) -> Range<usize> {
    let name = raw.ssid.as_ref().or(raw.ssid_hex.as_ref());
    name.map_or_else(|| raw.span.clone(), |name| name.span.clone())
}

fn ssid(raw: &raw::Network, problems: &mut Vec<Problem>) -> Option<Ssid> {
    match (&raw.ssid, &raw.ssid_hex) {
        (Some(text), None) => text_ssid(text, problems),
        (None, Some(hex)) => hex_ssid(hex, problems),
        (Some(_), Some(hex)) => {
            problems.push(
                Problem::new(hex.span.clone(), "a network has either `ssid` or `ssid-hex`, not both")
                    .help("remove one of them"),
            );
            None
        }
        (None, None) => {
            problems.push(
                Problem::new(raw.span.clone(), "a network without a name")
                    .help("name it: ssid = \"home\", or in hex digits: ssid-hex = \"686f6d65\""),
            );
            None
        }
    }
}

/// A name from its text.
pub(super) fn text_ssid(text: &At<String>, problems: &mut Vec<Problem>) -> Option<Ssid> {
    let ssid = Ssid::new(text.value.as_bytes());
    if ssid.is_none() {
        let length = text.value.len();
        problems.push(
            Problem::new(text.span.clone(), format!("the name of a network cannot have {length} bytes"))
                .label(format!("expected 1 to {MAX_SSID}")),
        );
    }
    ssid
}

fn hex_ssid(hex: &At<String>, problems: &mut Vec<Problem>) -> Option<Ssid> {
    let ssid = secret::from_hex(&hex.value).and_then(Ssid::new);
    if ssid.is_none() {
        problems.push(
            Problem::new(hex.span.clone(), "`ssid-hex` is not the name of a network")
                .label(format!("expected two hex digits for each of 1 to {MAX_SSID} bytes")),
        );
    }
    ssid
}

/// How a network is joined: as it is written, else by which credentials are there.
fn security(raw: &raw::Network, problems: &mut Vec<Problem>) -> Option<Security> {
    let Some(kind) = kind(raw) else {
        problems.push(Problem::new(name_span(raw), "a network without credentials").help(
            "how is it joined? psk-file = \"/etc/hitless/home.psk\" (a passphrase), eap = \"peap\" and \
                       identity = \"…\" (802.1X), security = \"owe\" (encrypted without a passphrase), or \
                       security = \"open\" (not encrypted)",
        ));
        return None;
    };
    unused(raw, kind, problems);
    match kind {
        Kind::Open => Some(Security::Open),
        Kind::Owe => Some(Security::Owe),
        Kind::Psk => psk(raw, kind, problems).map(Security::Psk),
        Kind::Sae => psk(raw, kind, problems).map(Security::Sae),
        Kind::Eap => eap::eap(raw, problems).map(Security::Eap),
    }
}

fn kind(raw: &raw::Network) -> Option<Kind> {
    if let Some(security) = &raw.security {
        Some(security.value)
    } else if raw.psk.is_some() || raw.psk_file.is_some() {
        Some(Kind::Psk)
    } else if raw.eap.eap.is_some() || raw.eap.identity.is_some() {
        Some(Kind::Eap)
    } else {
        None
    }
}

/// Credentials that this kind of network has no use for.
fn unused(raw: &raw::Network, kind: Kind, problems: &mut Vec<Problem>) {
    let said = |key: &str| match &raw.security {
        Some(_) => format!("`{key}` has no meaning with security = \"{}\"", kind.word()),
        None => format!("`{key}` has no meaning beside a passphrase"),
    };
    let has_psk = matches!(kind, Kind::Psk | Kind::Sae);
    let psk = [
        ("psk", raw.psk.as_ref().map(|at| at.span.clone())),
        ("psk-file", raw.psk_file.as_ref().map(|at| at.span.clone())),
    ];
    for (key, span) in psk.into_iter().filter_map(|(key, span)| span.map(|span| (key, span))) {
        if !has_psk {
            let help = match kind {
                Kind::Eap => "802.1X has `password` or `password-file` instead",
                Kind::Psk | Kind::Sae | Kind::Owe | Kind::Open => {
                    "remove it; or with a passphrase: security = \"psk\""
                }
            };
            problems.push(Problem::new(span, said(key)).help(help));
        }
    }
    if kind != Kind::Eap {
        for (key, span) in raw.eap.present() {
            problems.push(
                Problem::new(span, said(key)).help("it belongs to 802.1X, which is security = \"eap\""),
            );
        }
    }
}

fn psk(raw: &raw::Network, kind: Kind, problems: &mut Vec<Problem>) -> Option<SecretSource> {
    if raw.psk.is_none() && raw.psk_file.is_none() {
        let word = kind.word();
        problems.push(
            Problem::new(name_span(raw), format!("security = \"{word}\" without a passphrase"))
                .help("name the file that it is the first line of: psk-file = \"/etc/hitless/home.psk\""),
        );
        return None;
    }
    if let Some(psk) = &raw.psk {
        let fault = if kind == Kind::Sae {
            secret::sae_passphrase_fault(psk.value.reveal())
        } else {
            secret::passphrase_fault(psk.value.reveal())
        };
        if let Some(fault) = fault {
            problems.push(
                Problem::new(psk.span.clone(), format!("`psk` is not a passphrase: {fault}"))
                    .help(secret::PASSPHRASE_FORM),
            );
        }
    }
    source("psk", raw.psk.as_ref(), "psk-file", raw.psk_file.as_ref(), problems)
}

/// Where a secret is; `None` where there is none.
fn source(
    key: &str,
    inline: Option<&At<Secret>>,
    file_key: &str,
    file: Option<&At<String>>,
    problems: &mut Vec<Problem>,
) -> Option<SecretSource> {
    if let (Some(_), Some(file)) = (inline, file) {
        problems.push(
            Problem::new(
                file.span.clone(),
                format!("a network has either `{key}` or `{file_key}`, not both"),
            )
            .help("remove one of them; a file of its own is the safer place"),
        );
    }
    match (inline, file) {
        (Some(secret), _) => Some(SecretSource::Inline(secret.value.clone())),
        (None, Some(file)) => Some(SecretSource::File(path(file_key, file, problems))),
        (None, None) => None,
    }
}

/// An absolute path. What is wrong is not repeated: it may be a passphrase that somebody put into the wrong key.
fn path(key: &str, at: &At<String>, problems: &mut Vec<Problem>) -> PathBuf {
    let text = at.value.as_str();
    if !text.starts_with('/') {
        let instead = key.strip_suffix("-file");
        let problem = Problem::new(at.span.clone(), format!("`{key}` is not an absolute path"))
            .label("expected one that begins with \"/\"")
            .help("the daemon's working directory is no place to go by");
        problems.push(match instead {
            Some(instead) => problem.help(format!("a secret that stands here itself belongs to `{instead}`")),
            None => problem,
        });
    } else if text.contains('\0') || text.ends_with('/') {
        problems.push(Problem::new(at.span.clone(), format!("`{key}` is not the path of a file")));
    }
    PathBuf::from(if text.is_empty() { UNKNOWN } else { text })
}
