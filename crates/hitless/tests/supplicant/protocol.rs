//! What a real wpa_supplicant 2.10 said, with mac80211_hwsim and two access points, of which one calls itself
//! `x" reason=WRONG_KEY`; and that nothing that anybody could say makes a parser fall over.

use hitless::wifi::supplicant::event::{self, Event};
use hitless::wifi::supplicant::reply::{self, WpaState};
use hitless::wifi::supplicant::{request::NetworkId, text};
use hitless_core::wifi::Ssid;
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn real_replies() {
    let status = reply::status(include_bytes!("fixtures/status-joined"));
    assert_eq!(status.state, WpaState::Completed);
    assert_eq!(status.ssid.unwrap().octets(), b"x\" reason=WRONG_KEY");
    assert_eq!((status.network, status.frequency), (Some(NetworkId(1)), Some(2437)));
    assert_eq!(status.bssid.unwrap().to_string(), "02:00:00:00:02:00");
    assert_eq!(status.key_mgmt.as_deref(), Some("SAE"));
    assert_eq!(reply::status(include_bytes!("fixtures/status-scanning")).state, WpaState::Scanning);
    assert_eq!(reply::status(include_bytes!("fixtures/status-disabled")).state, WpaState::InterfaceDisabled);

    let networks = reply::networks(include_bytes!("fixtures/list_networks"));
    assert_eq!(networks.len(), 2);
    assert!(networks[0].disabled && !networks[0].current);
    assert!(networks[1].temporarily_disabled && networks[1].current);

    let found = reply::access_points(include_bytes!("fixtures/bss"));
    let found: Vec<_> =
        found.iter().map(|bss| (bss.id, bss.frequency, bss.signal_dbm, bss.flags.as_str())).collect();
    let expected = [(0, 2412, -30, "[WPA2-PSK-CCMP][ESS]"), (1, 2437, -30, "[WPA2-SAE-CCMP][SAE-H2E][ESS]")];
    assert_eq!(found, expected);
}

/// All that it said in a session of joining, wrong passphrases, a lost access point and more.
#[test]
fn real_events() {
    let events: Vec<Event> = include_str!("fixtures/events")
        .lines()
        .map(|line| event::parse(line.as_bytes()).unwrap().1)
        .collect();
    let text: Vec<String> = events
        .iter()
        .filter(|event| !matches!(event, Event::ScanStarted | Event::ScanResults | Event::Trying { .. }))
        .map(|event| format!("{event:?}"))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

/// Octets like those that are said, and any others.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "<3>",
        "IFNAME=wlan0 ",
        "CTRL-EVENT-",
        "CONNECTED - Connection to ",
        "02:00:00:00:01:00",
        " completed [id=",
        "SSID-TEMP-DISABLED id=",
        "0 ssid=\"",
        "\\\"",
        "\" ",
        "reason=",
        "WRONG_KEY",
        "\\x",
        "\\",
        "4",
        "'",
        "\t",
        "\n",
        "EAP-TLS-CERT-ERROR",
        " err='",
        "Trying to associate with ",
        " (SSID='",
        "' freq=",
        "SSID '",
        "id=",
        "ssid=",
        "bssid=",
        "====",
        "####",
        "[CURRENT]",
        "AUTH-REJECT ",
        "é",
        "99999999999999999999",
        "-",
    ];
    let piece = prop_oneof![
        3 => proptest::sample::select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn nothing_makes_a_parser_fall_over(octets in octets()) {
        drop(event::parse(&octets));
        drop(reply::status(&octets));
        drop(reply::networks(&octets));
        drop(reply::access_points(&octets));
        drop(reply::interfaces(&octets));
        drop(reply::value(&octets));
        drop(reply::ok(&octets, "X"));
        drop(reply::network_id(&octets, "X"));
        drop(text::ssid(&octets));
        text::quoted(&octets);
    }

    /// Whatever a network calls itself, the event says what wpa_supplicant said.
    #[test]
    fn a_name_stays_a_name(name in vec(any::<u8>(), 1..=32)) {
        prop_assume!(name.iter().any(|octet| *octet != 0));
        let expected = Ssid::new(name.clone());
        let written: String = name.iter().map(|octet| match octet {
            b'"' => "\\\"".to_owned(),
            b'\\' => "\\\\".to_owned(),
            b' '..=b'~' => char::from(*octet).to_string(),
            other => format!("\\x{other:02x}"),
        }).collect();
        let disabled = format!(
            "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=3 ssid=\"{written}\" auth_failures=1 duration=10 reason=CONN_FAILED"
        );
        match event::parse(disabled.as_bytes()) {
            Some((None, Event::TemporarilyDisabled { network, ssid, failures: 1, reason, .. })) => {
                prop_assert_eq!(network, NetworkId(3));
                prop_assert_eq!(&ssid, &expected);
                prop_assert_eq!(reason, event::DisabledReason::ConnectionFailed);
            }
            other => prop_assert!(false, "{:?}", other),
        }
        let trying = format!("<3>Trying to associate with 02:00:00:00:01:00 (SSID='{written}' freq=2412 MHz)");
        match event::parse(trying.as_bytes()) {
            Some((None, Event::Trying { ssid, .. })) => prop_assert_eq!(&ssid, &expected),
            other => prop_assert!(false, "{:?}", other),
        }
        let status = format!("wpa_state=COMPLETED\nssid={written}\n");
        prop_assert_eq!(reply::status(status.as_bytes()).ssid, expected);
    }
}
