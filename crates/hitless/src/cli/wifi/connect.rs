//! `hitless wifi connect`: finds out what a network needs, has it asked for, and tells how it went.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use hitless_api::{Client, Eap, EapMethod, NewNetwork, Secret, Security, Station};

use super::prompt;
use crate::cli::arguments::{Connect, Method};
use crate::cli::failure::{Exit, Failure};
use crate::cli::style::clean;
use crate::config::secret::{self, PASSPHRASE_FORM};
use crate::wifi::network::Secret as Plain;

/// What standard input is called in the place of a file.
const STDIN: &str = "-";

pub(super) fn connect(socket: &Path, arguments: &Connect, out: &mut impl Write) -> Result<(), Failure> {
    let ssid_hex = arguments.hex.then(|| arguments.ssid.clone());
    let name = Name::new(arguments)?;
    // Before anything is asked for, so that nobody types a passphrase for nothing.
    let mut client = Client::connect(socket)?;
    let port = arguments.port.as_deref();
    let security = match asked_for(arguments) {
        Some(security) => Some(security),
        None => needed(&mut client, port, &name, arguments.hidden)?,
    };
    let network = NewNetwork {
        ssid: if arguments.hex { String::new() } else { arguments.ssid.clone() },
        ssid_hex,
        security,
        secret: security.map_or(Ok(None), |security| secret_for(security, &name, arguments))?,
        hidden: arguments.hidden,
        priority: arguments.priority,
        eap: if security == Some(Security::Eap) { eap(arguments)? } else { None },
    };
    let station = client.connect_wifi(port, network)?;
    writeln!(out, "{}", outcome(&station, &name))?;
    Ok(())
}

/// A network's name as the user gave it, and as the daemon shows it.
struct Name {
    shown: String,
    hex: Option<String>,
}

impl Name {
    fn new(arguments: &Connect) -> Result<Self, Failure> {
        let hex = arguments.hex.then_some(arguments.ssid.as_str());
        let Some(ssid) = crate::server::convert::to_ssid(&arguments.ssid, hex) else {
            let form =
                if arguments.hex { "two hex digits for each of 1 to 32 bytes" } else { "1 to 32 bytes" };
            return Err(Failure::new(Exit::Usage, format!("the name of a network has {form}")));
        };
        let (shown, hex) = crate::server::convert::ssid(&ssid);
        Ok(Self { shown, hex })
    }

    fn is(&self, ssid: Option<&str>, hex: Option<&str>) -> bool {
        ssid == Some(self.shown.as_str()) && hex == self.hex.as_deref()
    }
}

/// How the arguments say that the network is joined.
fn asked_for(arguments: &Connect) -> Option<Security> {
    if arguments.eap.is_some() {
        Some(Security::Eap)
    } else if arguments.open {
        Some(Security::Open)
    } else if arguments.owe {
        Some(Security::Owe)
    } else if arguments.sae {
        Some(Security::Sae)
    } else if arguments.ask || arguments.psk_file.is_some() {
        Some(Security::Psk)
    } else {
        None
    }
}

/// How the network is joined, as access points have it; `None`: the station knows.
fn needed(
    client: &mut Client,
    port: Option<&str>,
    name: &Name,
    hidden: bool,
) -> Result<Option<Security>, Failure> {
    let known = client.networks(port)?;
    if known.iter().any(|network| name.is(Some(&network.ssid), network.ssid_hex.as_deref())) {
        return Ok(None);
    }
    let shown = clean(&name.shown);
    let heard = client.scan(port)?;
    let ways: Vec<Security> = heard
        .iter()
        .filter(|ap| name.is(ap.ssid.as_deref(), ap.ssid_hex.as_deref()))
        .flat_map(|ap| ap.security.iter().copied())
        .collect();
    let refused = |message: String, hint: &str| Err(Failure::new(Exit::Failed, message).hint(hint));
    if ways.contains(&Security::Psk) || ways.contains(&Security::Sae) {
        Ok(Some(Security::Psk))
    } else if ways.contains(&Security::Eap) {
        let hint = "say who you are: --eap peap --identity me@example.org";
        refused(format!("`{shown}` needs 802.1X"), hint)
    } else if ways.contains(&Security::Owe) {
        Ok(Some(Security::Owe))
    } else if ways.contains(&Security::Open) {
        refused(format!("`{shown}` is not encrypted"), "if that is all right: --open")
    } else if heard.iter().any(|ap| name.is(ap.ssid.as_deref(), ap.ssid_hex.as_deref())) {
        refused(
            format!("`{shown}` has only encryption that is broken (WEP) or unknown"),
            "see hitless wifi scan",
        )
    } else if hidden {
        // It cannot be seen, so this is the likeliest.
        Ok(Some(Security::Psk))
    } else {
        let hint = "see hitless wifi scan; for a network that keeps its name to itself: --hidden";
        refused(format!("no access point of `{shown}` is heard"), hint)
    }
}

/// The secret that this kind of network needs, in its right form.
fn secret_for(security: Security, name: &Name, arguments: &Connect) -> Result<Option<Secret>, Failure> {
    type Check = fn(&str) -> Option<&'static str>;

    let (what, check, form): (_, Check, _) = match security {
        Security::Open | Security::Owe => return Ok(None),
        Security::Psk => ("passphrase", secret::passphrase_fault, PASSPHRASE_FORM),
        Security::Sae => ("passphrase", secret::sae_passphrase_fault, PASSPHRASE_FORM),
        Security::Eap => ("password", secret::password_fault, "take the one that goes with --identity"),
    };
    // A private key need not be encrypted.
    let optional = arguments.eap == Some(Method::Tls);
    let Some(found) = read(what, name, arguments, optional)? else { return Ok(None) };
    match check(found.reveal()) {
        Some(fault) => Err(Failure::new(Exit::Failed, format!("that is not a {what}: {fault}")).hint(form)),
        None => Ok(Some(Secret::new(found.reveal()))),
    }
}

fn read(what: &str, name: &Name, arguments: &Connect, optional: bool) -> Result<Option<Plain>, Failure> {
    let failed = |error: &(dyn std::error::Error + 'static)| Failure::from_error(error);
    if let Some(file) = &arguments.psk_file {
        let secret = if file == Path::new(STDIN) {
            secret::first_line(io::stdin().lock(), Path::new("standard input"))
        } else {
            secret::from_file(file)
        };
        return secret.map(Some).map_err(|error| failed(&error));
    }
    if optional && !arguments.ask {
        return Ok(None);
    }
    if !arguments.ask && !io::stdin().is_terminal() {
        let message = format!("`{}` needs a {what}", clean(&name.shown));
        return Err(Failure::new(Exit::Usage, message)
            .hint("name the file that it is the first line of: --psk-file FILE (- for standard input)"));
    }
    match prompt::ask(&format!("{what} of {}: ", clean(&name.shown))) {
        Ok(secret) => Ok(Some(secret)),
        Err(prompt::AskError::NoTerminal(error)) => {
            Err(Failure::new(Exit::Usage, format!("there is no terminal to ask on: {error}"))
                .hint("name the file that it is the first line of: --psk-file FILE (- for standard input)"))
        }
        Err(prompt::AskError::Cancelled) => Err(Failure::silent(Exit::Failed)),
        Err(prompt::AskError::Io(error)) => {
            Err(Failure::new(Exit::Failed, format!("cannot read from the terminal: {error}")))
        }
    }
}

fn eap(arguments: &Connect) -> Result<Option<Eap>, Failure> {
    let (Some(method), Some(identity)) = (arguments.eap, arguments.identity.clone()) else { return Ok(None) };
    if method == Method::Tls && arguments.client_cert.is_none() {
        return Err(Failure::new(Exit::Usage, "--eap tls needs --client-cert and --private-key"));
    }
    Ok(Some(Eap {
        method: match method {
            Method::Peap => EapMethod::Peap,
            Method::Ttls => EapMethod::Ttls,
            Method::Tls => EapMethod::Tls,
        },
        identity,
        anonymous_identity: arguments.anonymous_identity.clone(),
        ca_cert: absolute(arguments.ca_cert.as_ref())?,
        domain: arguments.domain.clone(),
        client_cert: absolute(arguments.client_cert.as_ref())?,
        private_key: absolute(arguments.private_key.as_ref())?,
    }))
}

/// The daemon has another working directory.
fn absolute(path: Option<&PathBuf>) -> Result<Option<String>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let failed = |why: String| Failure::new(Exit::Failed, format!("{}: {why}", path.display()));
    let full = path.canonicalize().map_err(|error| failed(error.to_string()))?;
    let text = full.into_os_string().into_string();
    text.map(Some).map_err(|_| failed("the name of the file has to be UTF-8".to_owned()))
}

fn outcome(station: &Station, name: &Name) -> String {
    let ssid = station.wifi.ssid.as_deref().unwrap_or(&name.shown);
    let signal = station.wifi.signal_dbm.map(|signal| format!(", {signal} dBm")).unwrap_or_default();
    format!("joined {} on {}{signal}", clean(ssid), clean(&station.interface))
}
