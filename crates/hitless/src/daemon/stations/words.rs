//! Between the words of the interface and those of stations.

use std::path::PathBuf;

use hitless_api as api;
use hitless_core::wifi::Ssid;

use crate::config::secret;
use crate::server::convert;
use crate::wifi::network::{Eap, EapMethod, Network, Secret, SecretSource, Security};
use crate::wifi::station::{AccessPoint, Protection, StationState};

/// A network to join, from a client or from what was saved. The error says what is wrong with it.
pub(super) fn network(new: &api::NewNetwork) -> Result<Network, String> {
    let ssid = ssid(new)?;
    let security = match new.security {
        None => {
            return Err(format!(
                "it is not known how to join \"{ssid}\"; say --open, --owe, or give a passphrase"
            ));
        }
        Some(api::Security::Open) => Security::Open,
        Some(api::Security::Owe) => Security::Owe,
        Some(api::Security::Psk) => Security::Psk(passphrase(new, secret::passphrase_fault)?),
        Some(api::Security::Sae) => Security::Sae(passphrase(new, secret::sae_passphrase_fault)?),
        Some(api::Security::Eap) => Security::Eap(eap(new)?),
    };
    if !(-1000..=1000).contains(&new.priority) {
        return Err("the priority is from -1000 to 1000".to_owned());
    }
    Ok(Network { ssid, security, priority: new.priority, hidden: new.hidden, bssid: None })
}

/// Its name.
pub(super) fn ssid(new: &api::NewNetwork) -> Result<Ssid, String> {
    let wrong = || "a network's name has 1 to 32 octets".to_owned();
    convert::to_ssid(&new.ssid, new.ssid_hex.as_deref()).ok_or_else(wrong)
}

fn passphrase(
    new: &api::NewNetwork,
    fault: fn(&str) -> Option<&'static str>,
) -> Result<SecretSource, String> {
    let text = new.secret.as_ref().ok_or("a passphrase is missing")?.reveal();
    match fault(text) {
        Some(fault) => Err(fault.to_owned()),
        None => Ok(SecretSource::Inline(Secret::new(text))),
    }
}

fn eap(new: &api::NewNetwork) -> Result<Eap, String> {
    let eap = new.eap.as_ref().ok_or("an identity is missing")?;
    let text = new.secret.as_ref().map(api::Secret::reveal);
    if let Some(fault) = text.and_then(secret::password_fault) {
        return Err(fault.to_owned());
    }
    let secret = text.map(|text| SecretSource::Inline(Secret::new(text)));
    let (password, private_key_password) = match eap.method {
        api::EapMethod::Peap | api::EapMethod::Ttls if secret.is_none() => {
            return Err("a password is missing".to_owned());
        }
        api::EapMethod::Peap | api::EapMethod::Ttls => (secret, None),
        api::EapMethod::Tls if eap.client_cert.is_none() || eap.private_key.is_none() => {
            return Err("TLS needs a client certificate and its private key".to_owned());
        }
        api::EapMethod::Tls => (None, secret),
    };
    Ok(Eap {
        method: match eap.method {
            api::EapMethod::Peap => EapMethod::Peap,
            api::EapMethod::Ttls => EapMethod::Ttls,
            api::EapMethod::Tls => EapMethod::Tls,
        },
        identity: eap.identity.clone(),
        anonymous_identity: eap.anonymous_identity.clone(),
        password,
        ca_cert: file("the CA certificate", eap.ca_cert.as_deref())?,
        domain: eap.domain.clone(),
        client_cert: file("the client certificate", eap.client_cert.as_deref())?,
        private_key: file("the private key", eap.private_key.as_deref())?,
        private_key_password,
    })
}

/// The daemon may run in another directory than the client.
fn file(what: &str, path: Option<&str>) -> Result<Option<PathBuf>, String> {
    match path.map(PathBuf::from) {
        Some(path) if !path.is_absolute() => Err(format!("{what} has to be named by its whole path")),
        path => Ok(path),
    }
}

/// How a network is joined, in a word.
pub(super) fn security(security: &Security) -> api::Security {
    match security {
        Security::Open => api::Security::Open,
        Security::Owe => api::Security::Owe,
        Security::Psk(_) => api::Security::Psk,
        Security::Sae(_) => api::Security::Sae,
        Security::Eap(_) => api::Security::Eap,
    }
}

/// An access point, as a station heard it; `known`: the names of the networks that it may join.
pub(super) fn access_point(
    interface: &str,
    point: &AccessPoint,
    known: &[Ssid],
    current: Option<&str>,
) -> api::AccessPoint {
    let name = point.ssid.as_ref().map(convert::ssid);
    let bssid = point.bssid.to_string();
    api::AccessPoint {
        interface: interface.to_owned(),
        ssid: name.as_ref().map(|(shown, _)| shown.clone()),
        ssid_hex: name.and_then(|(_, hex)| hex),
        signal_dbm: Some(point.signal_dbm.into()),
        frequency_mhz: Some(point.frequency_mhz),
        security: match point.protection {
            Protection::Open => vec![api::Security::Open],
            Protection::Owe => vec![api::Security::Owe],
            Protection::Obsolete => Vec::new(),
            Protection::Wpa2 | Protection::Wpa2Wpa3 => vec![api::Security::Psk],
            Protection::Wpa3 => vec![api::Security::Sae],
            Protection::Enterprise => vec![api::Security::Eap],
        },
        known: point.ssid.as_ref().is_some_and(|ssid| known.contains(ssid)),
        current: current == Some(bssid.as_str()),
        bssid,
    }
}

/// What a station is doing, in a word or a few.
pub(super) fn state(state: &StationState) -> String {
    match state {
        StationState::Starting => "starting".to_owned(),
        StationState::Scanning => "scanning".to_owned(),
        StationState::Associating { ssid: Some(ssid) } => format!("joining \"{ssid}\""),
        StationState::Associating { ssid: None } => "joining".to_owned(),
        StationState::Joined { .. } => "joined".to_owned(),
        StationState::Disconnected => "disconnected".to_owned(),
        StationState::Failed(_) => "failed".to_owned(),
    }
}
