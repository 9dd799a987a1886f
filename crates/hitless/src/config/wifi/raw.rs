//! `[wifi.NAME]` as it is written: every value of the right type and range, and where it stands.
//!
//! Not yet checked is how values go together. Each field is the key of the same name; docs/hitless.toml explains them.

use std::ops::Range;

use toml::de::DeTable;

use super::super::raw::At;
use super::super::reader::Reader;
use super::super::report::Problem;
use crate::wifi::network::{EapMethod, Manage, Secret};

/// A wireless interface.
#[derive(Clone, Debug)]
pub(in crate::config) struct Wifi {
    pub(in crate::config) name: At<String>,
    pub(super) country: Option<At<String>>,
    pub(super) manage: Option<At<Manage>>,
    pub(super) networks: Vec<Network>,
}

/// A network that it may join.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// Where it begins.
    pub(super) span: Range<usize>,
    pub(super) ssid: Option<At<String>>,
    pub(super) ssid_hex: Option<At<String>>,
    pub(super) security: Option<At<Kind>>,
    pub(super) psk: Option<At<Secret>>,
    pub(super) psk_file: Option<At<String>>,
    pub(super) priority: Option<At<i64>>,
    pub(super) hidden: Option<At<bool>>,
    pub(super) bssid: Option<At<String>>,
    pub(super) eap: Eap,
}

/// The keys of 802.1X.
#[derive(Clone, Debug)]
pub(super) struct Eap {
    pub(super) eap: Option<At<EapMethod>>,
    pub(super) identity: Option<At<String>>,
    pub(super) anonymous_identity: Option<At<String>>,
    pub(super) password: Option<At<Secret>>,
    pub(super) password_file: Option<At<String>>,
    pub(super) ca_cert: Option<At<String>>,
    pub(super) domain: Option<At<String>>,
    pub(super) client_cert: Option<At<String>>,
    pub(super) private_key: Option<At<String>>,
    pub(super) private_key_password: Option<At<Secret>>,
    pub(super) private_key_password_file: Option<At<String>>,
}

/// The word after `security =`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By a passphrase, WPA2 or WPA3.
    Psk,
    /// By a passphrase, only WPA3.
    Sae,
    /// Encrypted, without a passphrase.
    Owe,
    /// Without encryption.
    Open,
    /// 802.1X.
    Eap,
}

const KINDS: &[(&str, Kind)] =
    &[("psk", Kind::Psk), ("sae", Kind::Sae), ("owe", Kind::Owe), ("open", Kind::Open), ("eap", Kind::Eap)];

const METHODS: &[(&str, EapMethod)] =
    &[("peap", EapMethod::Peap), ("ttls", EapMethod::Ttls), ("tls", EapMethod::Tls)];

const MANAGE: &[(&str, Manage)] =
    &[("auto", Manage::Auto), ("existing", Manage::Existing), ("iwd", Manage::Iwd), ("off", Manage::Off)];

impl Kind {
    /// The word.
    pub(super) fn word(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }
}

/// The word for a method.
pub(super) fn method_word(method: EapMethod) -> &'static str {
    METHODS.iter().find(|(_, other)| *other == method).map_or("", |(word, _)| word)
}

/// Reads `[wifi]`.
pub(in crate::config) fn read(table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Vec<Wifi> {
    let interfaces = Reader::new(table, "[wifi]", problems).named_tables();
    interfaces.into_iter().map(|(name, table)| wifi(name, table, problems)).collect()
}

fn wifi(name: At<String>, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Wifi {
    let shown = name.value.escape_debug().to_string();
    let mut r = Reader::new(table, format!("[wifi.{shown}]"), problems);
    let country = r.text("country");
    let manage = r.choice("manage", MANAGE);
    let tables = r.tables("network");
    r.finish();
    let networks = tables
        .into_iter()
        .map(|(span, table)| network(span, Reader::new(table, format!("[[wifi.{shown}.network]]"), problems)))
        .collect();
    Wifi { name, country, manage, networks }
}

fn network(span: Range<usize>, mut r: Reader<'_, '_>) -> Network {
    let network = Network {
        span,
        ssid: r.text("ssid"),
        ssid_hex: r.text("ssid-hex"),
        security: r.choice("security", KINDS),
        psk: r.secret("psk"),
        psk_file: r.text("psk-file"),
        priority: r.integer("priority", -1000..=1000, ""),
        hidden: r.boolean("hidden"),
        bssid: r.text("bssid"),
        eap: Eap {
            eap: r.choice("eap", METHODS),
            identity: r.text("identity"),
            anonymous_identity: r.text("anonymous-identity"),
            password: r.secret("password"),
            password_file: r.text("password-file"),
            ca_cert: r.text("ca-cert"),
            domain: r.text("domain"),
            client_cert: r.text("client-cert"),
            private_key: r.text("private-key"),
            private_key_password: r.secret("private-key-password"),
            private_key_password_file: r.text("private-key-password-file"),
        },
    };
    r.finish();
    network
}

impl Eap {
    /// The keys that are there, and where.
    pub(super) fn present(&self) -> impl Iterator<Item = (&'static str, Range<usize>)> + use<> {
        fn place<T>(option: Option<&At<T>>) -> Option<Range<usize>> {
            option.map(|at| at.span.clone())
        }
        [
            ("eap", place(self.eap.as_ref())),
            ("identity", place(self.identity.as_ref())),
            ("anonymous-identity", place(self.anonymous_identity.as_ref())),
            ("password", place(self.password.as_ref())),
            ("password-file", place(self.password_file.as_ref())),
            ("ca-cert", place(self.ca_cert.as_ref())),
            ("domain", place(self.domain.as_ref())),
            ("client-cert", place(self.client_cert.as_ref())),
            ("private-key", place(self.private_key.as_ref())),
            ("private-key-password", place(self.private_key_password.as_ref())),
            ("private-key-password-file", place(self.private_key_password_file.as_ref())),
        ]
        .into_iter()
        .filter_map(|(key, span)| span.map(|span| (key, span)))
    }
}
