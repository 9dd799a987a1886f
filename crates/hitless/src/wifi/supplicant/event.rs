//! What wpa_supplicant says unasked.
//!
//! Parts of these texts are chosen by strangers: names of networks, and what certificates say. A text is understood from
//! its start, and quoted parts end where their quotes end, so that a network named `x" reason=WRONG_KEY` is no more than
//! a network with an odd name.

use std::time::Duration;

use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;

use super::reply::{mac, number};
use super::request::NetworkId;
use super::text;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A network is joined, keys and all; also after a roam.
    Connected {
        /// The access point.
        bssid: MacAddr,
        /// The network.
        network: Option<NetworkId>,
    },
    /// A network is left, or has thrown us out.
    Disconnected {
        /// The access point.
        bssid: Option<MacAddr>,
        /// IEEE 802.11, 9.4.1.7.
        reason: u16,
        /// Was it our doing?
        locally_generated: bool,
    },
    /// A network is not tried for a while, because of what went wrong.
    TemporarilyDisabled {
        /// Which one.
        network: NetworkId,
        /// Its name.
        ssid: Option<Ssid>,
        /// How often it went wrong.
        failures: u32,
        /// For how long.
        duration: Duration,
        /// What went wrong.
        reason: DisabledReason,
    },
    /// It may be tried again.
    Reenabled {
        /// Which one.
        network: NetworkId,
    },
    /// It looks for access points.
    ScanStarted,
    /// It has looked for access points.
    ScanResults,
    /// It could not.
    ScanFailed,
    /// None of the networks is in range.
    NetworkNotFound,
    /// An access point does not let us in.
    AssociationRejected {
        /// Which one.
        bssid: Option<MacAddr>,
        /// Why: IEEE 802.11, 9.4.1.9.
        status: u16,
    },
    /// An access point is not convinced by us.
    AuthenticationRejected {
        /// Which one.
        bssid: Option<MacAddr>,
        /// By which algorithm (IEEE 802.11, 9.4.1.1); 3 is SAE.
        algorithm: u16,
        /// In which of its steps; with SAE, 2 is the one that proves that both know the secret.
        transaction: u16,
        /// Why: IEEE 802.11, 9.4.1.9.
        status: u16,
    },
    /// The access point is no longer heard.
    BeaconLoss,
    /// The signal went through the threshold.
    SignalChange {
        /// Upwards?
        above: bool,
        /// In dBm.
        signal_dbm: Option<i16>,
    },
    /// Other rules for radio are in force.
    RegulatoryChange {
        /// Whose.
        country: Option<String>,
    },
    /// 802.1X came to nothing.
    EapFailed,
    /// A method of 802.1X does not even begin: what it needs of ours cannot be used. The server was not asked.
    EapUnusable,
    /// We do not believe the server's certificate.
    CertificateRefused {
        /// Why, in its words.
        problem: String,
    },
    /// It ends, or no longer takes care of the interface.
    Terminating,
    /// The key for multicast and broadcast is a new one.
    GroupRekeyed,
    /// It tries to join.
    Trying {
        /// The access point.
        bssid: Option<MacAddr>,
        /// The network.
        ssid: Option<Ssid>,
    },
    /// The access point has let us in; keys are to be agreed upon.
    Associated {
        /// The access point.
        bssid: MacAddr,
    },
    /// Anything else.
    Other(String),
}

/// Why a network is not tried for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DisabledReason {
    /// The access point has another passphrase.
    WrongKey,
    /// The server or the access point does not accept our credentials.
    AuthenticationFailed,
    /// It came to nothing, again and again.
    ConnectionFailed,
    /// Something else.
    Other(String),
}

/// The event in a datagram, and the interface where one is named; `None` where it is a reply.
pub fn parse(datagram: &[u8]) -> Option<(Option<&[u8]>, Event)> {
    let (interface, rest) = match datagram.strip_prefix(b"IFNAME=") {
        Some(named) => {
            let end = named.iter().position(|byte| *byte == b' ')?;
            (Some(named.get(..end)?), named.get(end + 1..)?)
        }
        None => (None, datagram),
    };
    Some((interface, event(message(rest)?)))
}

/// What follows the level, `<N>`.
fn message(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"<")?;
    let end = text.iter().position(|byte| *byte == b'>')?;
    text.get(..end)?.iter().all(u8::is_ascii_digit).then_some(text.get(end + 1..)?.trim_ascii_end())
}

fn event(text: &[u8]) -> Event {
    known(text).unwrap_or_else(|| Event::Other(String::from_utf8_lossy(text).into_owned()))
}

fn known(text: &[u8]) -> Option<Event> {
    match text.strip_prefix(b"CTRL-EVENT-") {
        Some(rest) => {
            let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
            let (name, arguments) = rest.split_at_checked(end)?;
            control_event(name, arguments.trim_ascii_start())
        }
        None => remark(text),
    }
}

fn control_event(name: &[u8], arguments: &[u8]) -> Option<Event> {
    let field = |key| field(arguments, key);
    let field_mac = |key| field(key).and_then(mac);
    Some(match name {
        b"CONNECTED" => {
            let rest = arguments.strip_prefix(b"- Connection to ")?;
            let bssid = mac(rest.get(..17)?)?;
            let network =
                rest.get(17..)?.strip_prefix(b" completed [id=").map(leading_digits).and_then(number);
            Event::Connected { bssid, network: network.map(NetworkId) }
        }
        b"DISCONNECTED" => Event::Disconnected {
            bssid: field_mac(b"bssid"),
            reason: field(b"reason").and_then(number).unwrap_or_default(),
            locally_generated: field(b"locally_generated") == Some(b"1"),
        },
        b"SSID-TEMP-DISABLED" => temporarily_disabled(arguments)?,
        b"SSID-REENABLED" => {
            Event::Reenabled { network: NetworkId(number(leading_digits(arguments.strip_prefix(b"id=")?))?) }
        }
        b"SCAN-STARTED" => Event::ScanStarted,
        b"SCAN-RESULTS" => Event::ScanResults,
        b"SCAN-FAILED" => Event::ScanFailed,
        b"NETWORK-NOT-FOUND" => Event::NetworkNotFound,
        b"ASSOC-REJECT" => Event::AssociationRejected {
            bssid: field_mac(b"bssid"),
            status: field(b"status_code").and_then(number).unwrap_or_default(),
        },
        b"AUTH-REJECT" => Event::AuthenticationRejected {
            bssid: arguments.get(..17).and_then(mac),
            algorithm: field(b"auth_type").and_then(number).unwrap_or_default(),
            transaction: field(b"auth_transaction").and_then(number).unwrap_or_default(),
            status: field(b"status_code").and_then(number).unwrap_or_default(),
        },
        b"BEACON-LOSS" => Event::BeaconLoss,
        b"SIGNAL-CHANGE" => Event::SignalChange {
            above: field(b"above") == Some(b"1"),
            signal_dbm: field(b"signal").and_then(number),
        },
        b"REGDOM-CHANGE" => Event::RegulatoryChange {
            country: field(b"alpha2").map(|country| String::from_utf8_lossy(country).into_owned()),
        },
        b"EAP-FAILURE" => Event::EapFailed,
        b"EAP-TLS-CERT-ERROR" => Event::CertificateRefused { problem: certificate_problem(arguments) },
        b"TERMINATING" => Event::Terminating,
        _ => return None,
    })
}

/// `id=0 ssid="home" auth_failures=1 duration=10 reason=WRONG_KEY`.
fn temporarily_disabled(arguments: &[u8]) -> Option<Event> {
    let rest = arguments.strip_prefix(b"id=")?;
    let digits = leading_digits(rest);
    let (ssid, rest) = text::quoted(rest.get(digits.len()..)?.strip_prefix(b" ssid=")?)?;
    let reason = match field(rest, b"reason")? {
        b"WRONG_KEY" => DisabledReason::WrongKey,
        b"AUTH_FAILED" => DisabledReason::AuthenticationFailed,
        b"CONN_FAILED" => DisabledReason::ConnectionFailed,
        other => DisabledReason::Other(String::from_utf8_lossy(other).into_owned()),
    };
    Some(Event::TemporarilyDisabled {
        network: NetworkId(number(digits)?),
        ssid: text::ssid(ssid),
        failures: field(rest, b"auth_failures").and_then(number).unwrap_or_default(),
        duration: Duration::from_secs(
            field(rest, b"duration").and_then(number::<u32>).unwrap_or_default().into(),
        ),
        reason,
    })
}

/// `reason=1 depth=0 subject='…' err='…'`: what the last quotes say. The subject before is the server's choice.
fn certificate_problem(arguments: &[u8]) -> String {
    let problem = find_last(arguments, b" err='").and_then(|(_, problem)| problem.strip_suffix(b"'"));
    let text = String::from_utf8_lossy(problem.unwrap_or_default());
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// What is not a control event, but told in words.
fn remark(text: &[u8]) -> Option<Event> {
    if text.starts_with(b"WPA: Group rekeying completed") {
        return Some(Event::GroupRekeyed);
    }
    if text.starts_with(b"EAP: Failed to initialize EAP method") {
        return Some(Event::EapUnusable);
    }
    if let Some(bssid) = text.strip_prefix(b"Associated with ") {
        return Some(Event::Associated { bssid: mac(bssid.get(..17)?)? });
    }
    let text = text.strip_prefix(b"SME: ").unwrap_or(text);
    let target = ["Trying to authenticate with ", "Trying to associate with "]
        .iter()
        .find_map(|start| text.strip_prefix(start.as_bytes()))?;
    if let Some(name) = target.strip_prefix(b"SSID '") {
        return Some(Event::Trying { bssid: None, ssid: text::ssid(name.strip_suffix(b"'")?) });
    }
    let bssid = target.get(..17).and_then(mac);
    let name = target.get(17..)?.strip_prefix(b" (SSID='")?;
    let (ssid, _) = find_last(name, b"' freq=")?;
    Some(Event::Trying { bssid, ssid: text::ssid(ssid) })
}

/// The value of a field among those that are parted by blanks.
fn field<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    text.split(|byte| *byte == b' ').find_map(|word| word.strip_prefix(key)?.strip_prefix(b"="))
}

fn leading_digits(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// What is before and after the last place where this is.
fn find_last<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(needle.len()).rposition(|window| window == needle)?;
    Some((text.get(..at)?, text.get(at + needle.len()..)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    fn heard(text: &str) -> Event {
        parse(text.as_bytes()).unwrap().1
    }

    fn mac(last: u8) -> MacAddr {
        MacAddr([2, 0, 0, 0, 1, last])
    }

    #[test]
    fn joining_and_leaving() {
        assert_eq!(
            heard(
                "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=4 id_str=hitless]"
            ),
            Event::Connected { bssid: mac(0), network: Some(NetworkId(4)) }
        );
        assert_eq!(
            heard("<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=3 locally_generated=1"),
            Event::Disconnected { bssid: Some(mac(0)), reason: 3, locally_generated: true }
        );
        assert_eq!(
            heard("<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=7"),
            Event::Disconnected { bssid: Some(mac(0)), reason: 7, locally_generated: false }
        );
        assert_eq!(heard("<3>Associated with 02:00:00:00:01:00"), Event::Associated { bssid: mac(0) });
    }

    #[test]
    fn trying() {
        let trying = |text| {
            let Event::Trying { bssid, ssid } = heard(text) else { unreachable!("{text}") };
            (bssid, ssid.unwrap().to_string())
        };
        assert_eq!(
            trying("<3>SME: Trying to authenticate with 02:00:00:00:01:00 (SSID='home' freq=2412 MHz)"),
            (Some(mac(0)), "home".to_owned())
        );
        assert_eq!(
            trying("<3>Trying to associate with 02:00:00:00:01:00 (SSID='a' freq=1 MHz)' freq=2412 MHz)"),
            (Some(mac(0)), "a' freq=1 MHz)".to_owned())
        );
        assert_eq!(trying("<3>Trying to associate with SSID 'it's'"), (None, "it's".to_owned()));
    }

    #[test]
    fn a_network_cannot_name_itself_into_another_event() {
        let text = r#"<3>CTRL-EVENT-SSID-TEMP-DISABLED id=7 ssid="x\" auth_failures=99 duration=9999 reason=WRONG_KEY" auth_failures=2 duration=20 reason=CONN_FAILED"#;
        assert_eq!(
            heard(text),
            Event::TemporarilyDisabled {
                network: NetworkId(7),
                ssid: None,
                failures: 2,
                duration: Duration::from_secs(20),
                reason: DisabledReason::ConnectionFailed,
            }
        );
        let text = r#"<3>CTRL-EVENT-SSID-TEMP-DISABLED id=7 ssid="x\" reason=WRONG_KEY" auth_failures=2 duration=20 reason=AUTH_FAILED"#;
        assert!(matches!(
            heard(text),
            Event::TemporarilyDisabled { ssid: Some(ssid), reason: DisabledReason::AuthenticationFailed, .. }
                if ssid.octets() == b"x\" reason=WRONG_KEY"
        ));
    }

    #[test]
    fn refusals() {
        assert_eq!(
            heard("<3>CTRL-EVENT-ASSOC-REJECT bssid=02:00:00:00:01:00 status_code=17"),
            Event::AssociationRejected { bssid: Some(mac(0)), status: 17 }
        );
        assert_eq!(
            heard(
                "<3>CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=2 status_code=15"
            ),
            Event::AuthenticationRejected { bssid: Some(mac(0)), algorithm: 3, transaction: 2, status: 15 }
        );
        let subject = "/CN=x' err='all is well";
        let text = format!(
            "<3>CTRL-EVENT-EAP-TLS-CERT-ERROR reason=1 depth=0 subject='{subject}' err='self signed'"
        );
        assert_eq!(heard(&text), Event::CertificateRefused { problem: "self signed".to_owned() });
    }

    #[test]
    fn other_events() {
        assert_eq!(heard("<3>CTRL-EVENT-BEACON-LOSS "), Event::BeaconLoss);
        assert_eq!(heard("<3>CTRL-EVENT-NETWORK-NOT-FOUND "), Event::NetworkNotFound);
        assert_eq!(
            heard("<3>CTRL-EVENT-SIGNAL-CHANGE above=0 signal=-73 noise=9999 txrate=6000"),
            Event::SignalChange { above: false, signal_dbm: Some(-73) }
        );
        assert_eq!(
            heard("<3>CTRL-EVENT-REGDOM-CHANGE init=USER type=COUNTRY alpha2=AT"),
            Event::RegulatoryChange { country: Some("AT".to_owned()) }
        );
        assert_eq!(
            heard("<3>WPA: Group rekeying completed with 02:00:00:00:01:00 [GTK=CCMP]"),
            Event::GroupRekeyed
        );
        assert_eq!(
            heard("<3>CTRL-EVENT-SSID-REENABLED id=3 ssid=\"home\""),
            Event::Reenabled { network: NetworkId(3) }
        );
        assert_eq!(
            heard("<3>EAP: Failed to initialize EAP method: vendor 0 method 25 (PEAP)"),
            Event::EapUnusable
        );
        assert_eq!(heard("<4>something"), Event::Other("something".to_owned()));
    }

    #[test]
    fn a_reply_is_no_event() {
        for reply in ["OK\n", "", "<", "<x>y", "network id / ssid", "IFNAME=wlan0", "IFNAME=wlan0 OK"] {
            assert_eq!(parse(reply.as_bytes()), None, "{reply}");
        }
        let (interface, event) = parse(b"IFNAME=wlan0 <3>CTRL-EVENT-BEACON-LOSS ").unwrap();
        assert_eq!((interface, event), (Some(&b"wlan0"[..]), Event::BeaconLoss));
    }
}
