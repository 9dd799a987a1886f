//! What iwd asks us when it joins a network: its passphrase, and nothing else.

use hitless_core::wifi::Ssid;
use zbus::{Message, ObjectPath};

use super::fault::IwdFault;
use super::objects::ssid_in;
use crate::config::secret::{self, is_key, passphrase_fault};
use crate::wifi::network::{Network, Secret, Security};
use crate::wifi::station::Fault;
use crate::wifi::supplicant::settings::Unusable;

/// Where iwd asks.
const PATH: &str = "/io/hitless/agent";

/// Where iwd asks, as an object path.
pub(super) fn path() -> ObjectPath<'static> {
    ObjectPath::from_static_str_unchecked(PATH)
}

/// What iwd asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// For the passphrase of this network.
    Passphrase(Ssid),
    /// For what we do not have: it is told so.
    Other,
    /// Nothing: it tells us that it will not ask any more, or does not need the answer.
    None,
}

/// Reads a call.
pub(super) fn question(message: &Message) -> Question {
    let header = message.header();
    let interface = header.interface().map(|name| name.as_str());
    if header.path().map(|path| path.as_str()) != Some(PATH) || interface != Some("net.connman.iwd.Agent") {
        return Question::Other;
    }
    match header.member().map(|name| name.as_str()) {
        Some("Release" | "Cancel") => Question::None,
        Some("RequestPassphrase") => {
            let body = message.body();
            let network: Option<ObjectPath<'_>> = body.deserialize().ok();
            network.and_then(|path| ssid_in(path.as_str())).map_or(Question::Other, Question::Passphrase)
        }
        Some(_) | None => Question::Other,
    }
}

/// What iwd has to be told of a network when it asks; `None` where there is nothing to tell.
///
/// # Errors
///
/// When it cannot be read, or iwd would not take it.
pub(super) fn secret(network: &Network) -> Result<Option<Secret>, Fault> {
    let source = match &network.security {
        Security::Psk(source) | Security::Sae(source) => source,
        // Of 802.1X, iwd has everything in its own file, or cannot do it.
        Security::Open | Security::Owe | Security::Eap(_) => return Ok(None),
    };
    let secret = secret::read(source, passphrase_fault)
        .map_err(|error| Fault::Unusable(Unusable { ssid: network.ssid.clone(), problem: error.into() }))?;
    if is_key(secret.reveal()) {
        return Err(IwdFault::KeyOnly { ssid: network.ssid.clone() }.into());
    }
    Ok(Some(secret))
}
