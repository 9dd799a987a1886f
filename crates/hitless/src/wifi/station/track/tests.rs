//! Sessions as wpa_supplicant told them, and what was made of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::wifi::supplicant::{event, reply};

const TRYING: &str = "SME: Trying to authenticate with 02:00:00:00:01:00 (SSID='home' freq=2412 MHz)";
const JOINED: &str = "wpa_state=COMPLETED\nbssid=02:00:00:00:01:00\nfreq=2412\nssid=home\nid=0\n";

fn home() -> Ssid {
    Ssid::new("home").unwrap()
}

fn track() -> Track {
    let mut track = Track::new();
    track.know([(NetworkId(0), home())].into());
    track
}

/// What is told after each of these events, in short.
fn hear(track: &mut Track, events: &[&str]) -> Vec<What> {
    let event = |text: &&str| event::parse(format!("<3>{text}").as_bytes()).unwrap().1;
    events.iter().map(event).flat_map(|event| track.event(&event).told).collect()
}

fn status(track: &mut Track, text: &str) -> Vec<What> {
    track.status(&reply::status(text.as_bytes()))
}

fn failed(fault: Fault) -> What {
    What::State(StationState::Failed(fault))
}

#[test]
fn a_connection_is_told_when_its_state_is_known() {
    let mut track = track();
    let connected = "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]";
    let step = track.event(&event::parse(connected.as_bytes()).unwrap().1);
    assert_eq!(step, Step { ask: true, ..Step::default() });
    assert_eq!(status(&mut track, JOINED).len(), 1);
    assert_eq!(track.joined(), Some(NetworkId(0)));
    assert_eq!(status(&mut track, JOINED), [], "and once");
}

#[test]
fn a_wrong_sae_passphrase_by_its_refusals() {
    let mut track = track();
    let rejected = "CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=2 status_code=1";
    let wrong = |tries, retry_in| failed(Fault::WrongPassphrase { ssid: home(), tries, retry_in });
    let told = hear(&mut track, &[TRYING, rejected, "CTRL-EVENT-SCAN-STARTED ", TRYING, rejected]);
    let trying = What::State(StationState::Associating { ssid: Some(home()) });
    assert_eq!(told, [trying, wrong(1, None), wrong(2, None)]);
    let disabled =
        r#"CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="home" auth_failures=1 duration=10 reason=CONN_FAILED"#;
    assert_eq!(hear(&mut track, &[disabled]), [wrong(2, Some(Duration::from_secs(10)))]);
    status(&mut track, JOINED);
    assert_eq!(track.fault(NetworkId(0)), None, "until it is joined");
}

#[test]
fn a_busy_access_point_is_no_wrong_passphrase() {
    let mut track = track();
    let busy = "CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=1 status_code=17";
    let told = hear(&mut track, &[TRYING, busy]);
    assert_eq!(told.last(), Some(&failed(Fault::AuthRejected { ssid: home(), status: 17 })));
    let full = "CTRL-EVENT-ASSOC-REJECT bssid=02:00:00:00:01:00 status_code=17";
    assert_eq!(hear(&mut track, &[full]), [], "the same again");
}

#[test]
fn a_certificate_says_more_than_that_it_failed() {
    let mut track = track();
    let problem = "unable to get local issuer certificate";
    let told = hear(
        &mut track,
        &[
            TRYING,
            &format!("CTRL-EVENT-EAP-TLS-CERT-ERROR reason=1 depth=0 subject='/CN=x' err='{problem}'"),
            "CTRL-EVENT-EAP-FAILURE EAP authentication failed",
            r#"CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="home" auth_failures=1 duration=10 reason=AUTH_FAILED"#,
        ],
    );
    let refused = failed(Fault::CertificateRefused { ssid: home(), problem: problem.to_owned() });
    assert_eq!(told.last(), Some(&refused));
    assert_eq!(told.len(), 2);
}

#[test]
fn a_method_that_does_not_begin_says_nothing_of_the_server() {
    let unusable = failed(Fault::CertificatesUnusable { ssid: home() });
    let told = hear(
        &mut track(),
        &[
            TRYING,
            "CTRL-EVENT-EAP-STARTED EAP authentication started",
            "CTRL-EVENT-EAP-STATUS status='accept proposed method' parameter='PEAP'",
            "EAP: Failed to initialize EAP method: vendor 0 method 25 (PEAP)",
            "CTRL-EVENT-EAP-STATUS status='completion' parameter='failure'",
            "CTRL-EVENT-EAP-FAILURE EAP authentication failed",
            "CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=23",
            r#"CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="home" auth_failures=1 duration=10 reason=AUTH_FAILED"#,
            r#"CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="home" auth_failures=2 duration=30 reason=CONN_FAILED"#,
        ],
    );
    assert_eq!((told.len(), told.last()), (2, Some(&unusable)));
    // A key that cannot be read is taken for one with a passphrase, and that is waited for.
    let mut track = track();
    let told = hear(
        &mut track,
        &[
            TRYING,
            "CTRL-EVENT-EAP-STATUS status='eap parameter needed' parameter='PASSPHRASE'",
            "CTRL-REQ-PASSPHRASE-0:Private key passphrase needed for SSID home",
            "EAP: Failed to initialize EAP method: vendor 0 method 13 (TLS)",
        ],
    );
    assert_eq!((told.len(), told.last()), (2, Some(&unusable)));
    assert_eq!(status(&mut track, "wpa_state=ASSOCIATED\nssid=home\nid=0\n"), [], "and stays so");
}

#[test]
fn thrown_out_is_told_only_by_who_was_in() {
    let mut track = track();
    let thrown_out = "CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=15";
    let told = hear(&mut track, &[TRYING, thrown_out]);
    assert_eq!(told.last(), Some(&What::State(StationState::Disconnected)));
    status(&mut track, JOINED);
    let told = hear(&mut track, &[thrown_out]);
    assert_eq!(told.first(), Some(&What::Deauthenticated { reason: 15 }));
    status(&mut track, JOINED);
    let told = hear(&mut track, &[&format!("{thrown_out} locally_generated=1")]);
    assert_eq!(told, [What::State(StationState::Disconnected)]);
}

#[test]
fn out_of_range_until_it_is_tried() {
    let mut track = track();
    let missing = "CTRL-EVENT-NETWORK-NOT-FOUND ";
    let told =
        hear(&mut track, &["CTRL-EVENT-SCAN-STARTED ", missing, "CTRL-EVENT-SCAN-STARTED ", missing, TRYING]);
    let trying = StationState::Associating { ssid: Some(home()) };
    let states = [StationState::Scanning, StationState::Failed(Fault::NetworkNotFound), trying];
    assert_eq!(told, states.map(What::State));
}

#[test]
fn who_is_to_stay_out_is_disconnected_whatever_is_heard() {
    let mut track = track();
    status(&mut track, JOINED);
    assert!(!track.stay_out(true));
    status(&mut track, "wpa_state=DISCONNECTED\n");
    assert_eq!(hear(&mut track, &["CTRL-EVENT-SCAN-STARTED ", "CTRL-EVENT-NETWORK-NOT-FOUND "]), []);
    assert_eq!(*track.state(), StationState::Disconnected);
}

#[test]
fn the_radio_is_switched_off_and_on() {
    let mut track = track();
    assert_eq!(status(&mut track, "wpa_state=INTERFACE_DISABLED\n"), [failed(Fault::RadioOff)]);
    assert_eq!(status(&mut track, "wpa_state=SCANNING\n"), [What::State(StationState::Scanning)]);
    status(&mut track, "wpa_state=INTERFACE_DISABLED\n");
    assert_eq!(status(&mut track, "wpa_state=INACTIVE\n"), [What::State(StationState::Disconnected)]);
}

#[test]
fn a_status_without_a_name_takes_none_away() {
    let mut track = track();
    hear(&mut track, &[TRYING]);
    assert_eq!(status(&mut track, "wpa_state=AUTHENTICATING\n"), []);
}

#[test]
fn nobody_is_blamed_for_a_network_that_is_not_ours() {
    let mut track = track();
    let other = TRYING.replace("home", "other");
    let rejected = "CTRL-EVENT-ASSOC-REJECT bssid=02:00:00:00:01:00 status_code=17";
    assert_eq!(hear(&mut track, &[&other, rejected]).len(), 1, "only that it is tried");
}

#[test]
fn an_attempt_is_blamed_before_what_has_the_same_name() {
    let mut track = track();
    track.know([(NetworkId(0), home()), (NetworkId(1), home())].into());
    hear(&mut track, &[TRYING, "CTRL-EVENT-EAP-TLS-CERT-ERROR reason=1 depth=0 subject='/CN=x' err='no'"]);
    assert_eq!(track.fault(NetworkId(0)), None);
    assert!(matches!(track.fault(NetworkId(1)), Some(Fault::CertificateRefused { .. })));
}
