//! `hitless wifi`: networks, access points and stations.

mod connect;
mod prompt;

use std::cmp::Reverse;
use std::io::{self, Write};
use std::path::Path;

use anstyle::Style;
use hitless_api::{
    AccessPoint, AccessPoints, Client, ClientError, Error, Method, Network, Networks, Security, Station,
    Stations,
};

use super::arguments::WifiCommand;
use super::failure::Failure;
use super::style::{self, clean};
use super::table::{self, Cell};
use super::{call, write_json};

pub(super) fn wifi(socket: &Path, command: WifiCommand, out: &mut impl Write) -> Result<(), Failure> {
    match command {
        WifiCommand::Status { port, json } => status(socket, port.as_deref(), json, out),
        WifiCommand::List { port, json } => list(socket, port.as_deref(), json, out),
        WifiCommand::Scan { port, json } => scan(socket, port.as_deref(), json, out),
        WifiCommand::Connect(connect) => connect::connect(socket, &connect, out),
        WifiCommand::Disconnect { port } => call(socket, &Method::WifiDisconnect { port }),
        WifiCommand::Forget { ssid, hex, port } => {
            let (ssid, ssid_hex) = if hex { (String::new(), Some(ssid)) } else { (ssid, None) };
            call(socket, &Method::WifiForget { port, ssid, ssid_hex })
        }
    }
}

// ---- status ----------------------------------------------------------------------------------------------------------

fn status(socket: &Path, only: Option<&str>, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let mut stations = Client::connect(socket)?.stations()?;
    if let Some(name) = only {
        stations.retain(|station| station.interface == name);
        if stations.is_empty() {
            return Err(ClientError::from(Error::NoSuchStation { port: name.to_owned() }).into());
        }
    }
    if json {
        write_json(out, &Stations { stations })?;
        return Ok(());
    }
    if stations.is_empty() {
        writeln!(out, "No port of any bond is a Wi-Fi station.")?;
    }
    for (n, station) in stations.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        block(station, out)?;
    }
    Ok(())
}

fn block(station: &Station, out: &mut impl Write) -> io::Result<()> {
    let (strong, faint, bad) = (style::STRONG, style::FAINT, style::BAD);
    let wifi = &station.wifi;
    let colour = if wifi.ssid.is_some() { style::GOOD } else { style::UNSURE };
    write!(out, "{strong}{}{strong:#}  ", clean(&station.interface))?;
    match &wifi.ssid {
        Some(ssid) => {
            write!(out, "{colour}{}{colour:#} {strong}{}{strong:#}", clean(&wifi.state), clean(ssid))?;
        }
        None => write!(out, "{colour}{}{colour:#}", clean(&wifi.state))?,
    }
    if let Some(bssid) = &wifi.bssid {
        write!(out, "  {faint}{}{faint:#}", clean(bssid))?;
    }
    writeln!(out)?;
    let air: Vec<String> = [
        wifi.signal_dbm.map(|signal| format!("signal {signal} dBm")),
        wifi.rate_mbps.map(|rate| format!("{rate} Mbit/s")),
        wifi.frequency_mhz.map(|frequency| format!("{frequency} MHz")),
        wifi.power_save.map(|on| format!("power save {}", if on { "on" } else { "off" })),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !air.is_empty() {
        writeln!(out, "  {}", air.join(", "))?;
    }
    let bond = station
        .bond
        .as_deref()
        .map_or_else(|| "of no bond at present".to_owned(), |bond| format!("port of {}", clean(bond)));
    writeln!(out, "  {bond}, joined by {}", manager(station))?;
    for trouble in [&wifi.blocked, &wifi.fault].into_iter().flatten() {
        writeln!(out, "  {bad}{}{bad:#}", clean(trouble))?;
    }
    Ok(())
}

fn manager(station: &Station) -> &'static str {
    use hitless_api::Manager;

    match station.manager {
        Manager::Supplicant => "hitless' own wpa_supplicant",
        Manager::Existing => "a wpa_supplicant that ran already",
        Manager::Iwd => "iwd",
        Manager::Off => "nobody (manage = \"off\")",
    }
}

// ---- list ------------------------------------------------------------------------------------------------------------

fn list(socket: &Path, port: Option<&str>, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let networks = Client::connect(socket)?.networks(port)?;
    if json {
        write_json(out, &Networks { networks })?;
    } else if networks.is_empty() {
        writeln!(out, "No network is known; hitless wifi scan shows those there are.")?;
    } else {
        let headings = ["NETWORK", "STATION", "SECURITY", "PRIORITY", "SAVED BY", "STATE"];
        let rows: Vec<_> = networks.iter().map(network_row).collect();
        table::write(&headings, &rows, out)?;
    }
    Ok(())
}

fn network_row(network: &Network) -> Vec<Cell> {
    let plain = Style::new();
    let state = match (&network.fault, network.current) {
        (_, true) => ("joined".to_owned(), style::GOOD),
        (Some(fault), false) => (clean(fault).into_owned(), style::BAD),
        (None, false) => (String::new(), plain),
    };
    let hidden = if network.hidden { " (hidden)" } else { "" };
    vec![
        (format!("{}{hidden}", clean(&network.ssid)), if network.current { style::STRONG } else { plain }),
        (clean(&network.interface).into_owned(), plain),
        (security(&[network.security]), plain),
        (network.priority.to_string(), plain),
        (network.saved_by.as_str().to_owned(), plain),
        state,
    ]
}

/// What people call it.
fn security(ways: &[Security]) -> String {
    let words: Vec<_> = ways
        .iter()
        .map(|way| match way {
            Security::Psk => "WPA2",
            Security::Sae => "WPA3",
            Security::Owe => "OWE",
            Security::Open => "open",
            Security::Eap => "802.1X",
        })
        .collect();
    if words.is_empty() { "unknown".to_owned() } else { words.join("/") }
}

// ---- scan ------------------------------------------------------------------------------------------------------------

fn scan(socket: &Path, port: Option<&str>, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let mut access_points = Client::connect(socket)?.scan(port)?;
    access_points.sort_by_key(|ap| (Reverse(ap.signal_dbm), ap.bssid.clone(), ap.interface.clone()));
    if json {
        write_json(out, &AccessPoints { access_points })?;
    } else if access_points.is_empty() {
        writeln!(out, "No access point is heard.")?;
    } else {
        let headings = ["NETWORK", "SIGNAL", "MHZ", "SECURITY", "ACCESS POINT", "STATION", "STATE"];
        let rows: Vec<_> = access_points.iter().map(access_point_row).collect();
        table::write(&headings, &rows, out)?;
    }
    Ok(())
}

fn access_point_row(ap: &AccessPoint) -> Vec<Cell> {
    let plain = Style::new();
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let name = match &ap.ssid {
        Some(ssid) => (clean(ssid).into_owned(), if ap.current { style::STRONG } else { plain }),
        None => ("(hidden)".to_owned(), style::FAINT),
    };
    let state = match (ap.current, ap.known) {
        (true, _) => ("joined".to_owned(), style::GOOD),
        (false, true) => ("known".to_owned(), plain),
        (false, false) => (String::new(), plain),
    };
    vec![
        name,
        (or_dash(ap.signal_dbm.map(|signal| format!("{signal} dBm"))), plain),
        (or_dash(ap.frequency_mhz.map(|frequency| frequency.to_string())), plain),
        (security(&ap.security), plain),
        (clean(&ap.bssid).into_owned(), style::FAINT),
        (clean(&ap.interface).into_owned(), plain),
        state,
    ]
}
