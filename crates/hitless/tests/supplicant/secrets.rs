//! Passphrases are handed over, and are seen nowhere else.

use std::time::Duration;

use hitless::wifi::network::{Eap, EapMethod, Manage, Network, Secret, SecretSource, Security, WifiConfig};
use hitless::wifi::station::{Setup, Station};
use hitless_core::wifi::Ssid;
use tokio::sync::mpsc::unbounded_channel;

use crate::fake::Fake;

const SECRET: &str = "tr0ub4dor";

fn networks() -> Vec<Network> {
    let secret = || SecretSource::Inline(Secret::new(SECRET));
    let eap = Eap {
        method: EapMethod::Tls,
        identity: "me".to_owned(),
        anonymous_identity: None,
        password: Some(secret()),
        ca_cert: None,
        domain: None,
        client_cert: Some("/c".into()),
        private_key: Some("/k".into()),
        private_key_password: Some(secret()),
    };
    let bad = SecretSource::Inline(Secret::new(format!("{SECRET}\u{7}")));
    [
        ("a", Security::Psk(secret())),
        ("b", Security::Sae(secret())),
        ("c", Security::Eap(eap)),
        ("d", Security::Psk(bad.clone())),
        ("e", Security::Sae(bad)),
    ]
    .map(|(name, security)| Network {
        ssid: Ssid::new(name).unwrap(),
        security,
        priority: 0,
        hidden: false,
        bssid: None,
    })
    .into()
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_shown_nowhere() {
    let hex = hitless::wifi::supplicant::text::hex(SECRET.as_bytes());
    for refused in ["nothing", "SET_NETWORK", "SELECT_NETWORK", "STATUS"] {
        let fake = Fake::start();
        fake.state().answers.push((refused, Some("FAIL\n".into())));
        let (sender, mut reports) = unbounded_channel();
        let config = WifiConfig { country: None, manage: Manage::Auto, networks: networks() };
        let supplicant = fake.supplicant();
        let setup = Setup { interface: "wlan0".to_owned(), bond: None, config, supplicant };
        let mut shown = format!("{setup:?}");
        let station = Station::start(setup, sender);
        tokio::time::sleep(Duration::from_secs(5)).await;
        for network in networks() {
            shown += &match station.connect(network).await {
                Ok(()) => String::new(),
                Err(error) => format!("{error} {error:?}"),
            };
        }
        shown += &format!("{:?} {station:?}", station.networks().await);
        while let Ok(report) = reports.try_recv() {
            shown += &format!("{report:?}");
        }
        for file in std::fs::read_dir(fake.path()).unwrap().flatten() {
            shown += &std::fs::read_to_string(file.path()).unwrap_or_default();
        }
        assert!(shown.len() > 200, "something was shown");
        assert!(!shown.contains(SECRET) && !shown.contains(&hex), "{shown}");
        let handed = fake.state().log.iter().any(|line| line.contains(SECRET) || line.contains(&hex));
        assert!(handed || refused == "SET_NETWORK" || refused == "STATUS", "{refused}");
    }
}
