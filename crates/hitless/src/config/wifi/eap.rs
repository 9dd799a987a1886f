//! Checks of what belongs to 802.1X.

use super::super::report::Problem;
use super::super::{raw::At, secret};
use super::raw::{self, method_word};
use super::{name_span, path, source};
use crate::wifi::network::{Eap, EapMethod};

/// The longest identity and password that wpa_supplicant's control interface takes in a line of its protocol, roughly;
/// EAP itself allows what fits into a packet (RFC 3748, section 5.1).
const LONGEST: usize = 253;

/// Credentials for 802.1X; `None` where something needed is missing.
pub(super) fn eap(network: &raw::Network, problems: &mut Vec<Problem>) -> Option<Eap> {
    let raw = &network.eap;
    let missing = |problems: &mut Vec<Problem>, message: String, help: &str| {
        problems.push(Problem::new(name_span(network), message).help(help));
    };
    if raw.eap.is_none() {
        missing(problems, "802.1X without a method".to_owned(), "set eap = \"peap\", \"ttls\" or \"tls\"");
    }
    if raw.identity.is_none() {
        missing(problems, "802.1X without an identity".to_owned(), "set identity = \"me@example.org\"");
    }
    for identity in raw.identity.iter().chain(&raw.anonymous_identity) {
        problems.extend(text_problem("an identity", identity));
    }
    let password =
        source("password", raw.password.as_ref(), "password-file", raw.password_file.as_ref(), problems);
    let private_key_password = source(
        "private-key-password",
        raw.private_key_password.as_ref(),
        "private-key-password-file",
        raw.private_key_password_file.as_ref(),
        problems,
    );
    for (key, secret) in [("password", &raw.password), ("private-key-password", &raw.private_key_password)] {
        if let Some(secret) = secret
            && let Some(fault) = secret::password_fault(secret.value.reveal())
        {
            problems.push(Problem::new(secret.span.clone(), format!("`{key}` is not a password: {fault}")));
        }
    }
    if let (Some(domain), None) = (&raw.domain, &raw.ca_cert) {
        problems.push(
            Problem::new(domain.span.clone(), "`domain` needs ca-cert")
                .help("anyone can write any name into a certificate; without ca-cert it is not looked at"),
        );
    }
    if let Some(domain) = &raw.domain {
        problems.extend(text_problem("a domain", domain));
    }
    let method = raw.eap.as_ref()?.value;
    fits_method(network, method, problems);
    let mut file = |key, at: &Option<At<String>>| at.as_ref().map(|at| path(key, at, problems));
    Some(Eap {
        method,
        ca_cert: file("ca-cert", &raw.ca_cert),
        client_cert: file("client-cert", &raw.client_cert),
        private_key: file("private-key", &raw.private_key),
        identity: raw.identity.as_ref()?.value.clone(),
        anonymous_identity: raw.anonymous_identity.as_ref().map(|at| at.value.clone()),
        password,
        domain: raw.domain.as_ref().map(|at| at.value.clone()),
        private_key_password,
    })
}

/// What the method needs, and what it has no use for.
fn fits_method(network: &raw::Network, method: EapMethod, problems: &mut Vec<Problem>) {
    const PASSWORD: &[&str] = &["password", "password-file"];
    const CERTIFICATE: &[&str] =
        &["client-cert", "private-key", "private-key-password", "private-key-password-file"];

    let word = method_word(method);
    let tls = method == EapMethod::Tls;
    let present: Vec<_> = network.eap.present().collect();
    let has = |key: &str| present.iter().any(|(other, _)| *other == key);
    let mut missing = |key: &str, help: &str| {
        problems.push(Problem::new(name_span(network), format!("eap = \"{word}\" needs `{key}`")).help(help));
    };
    if tls && !has("client-cert") {
        missing("client-cert", "it shows who we are: client-cert = \"/etc/hitless/me.pem\"");
    }
    if tls && !has("private-key") {
        missing("private-key", "the key of client-cert: private-key = \"/etc/hitless/me.key\"");
    }
    if !tls && !PASSWORD.iter().any(|key| has(key)) {
        missing(
            "password-file",
            "the file that it is the first line of: password-file = \"/etc/hitless/me.password\"",
        );
    }
    let (useless, instead) = if tls {
        (PASSWORD, "TLS goes by client-cert and private-key; the key's password is private-key-password")
    } else {
        (CERTIFICATE, "it belongs to eap = \"tls\"")
    };
    for (key, span) in present.into_iter().filter(|(key, _)| useless.contains(key)) {
        problems
            .push(Problem::new(span, format!("`{key}` has no meaning with eap = \"{word}\"")).help(instead));
    }
}

/// What cannot be said to a supplicant or a server.
fn text_problem(what: &str, at: &At<String>) -> Option<Problem> {
    let fault = if at.value.is_empty() {
        "be empty".to_owned()
    } else if at.value.len() > LONGEST {
        format!("have more than {LONGEST} bytes")
    } else if at.value.contains(char::is_control) {
        "have control characters in it".to_owned()
    } else {
        return None;
    };
    Some(Problem::new(at.span.clone(), format!("{what} cannot {fault}")))
}
