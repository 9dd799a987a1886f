//! A wpa_supplicant that says senseless things, and access points with odd names: the station goes on.

use std::time::Duration;

use hitless::wifi::network::{Manage, Network, Security, WifiConfig};
use hitless::wifi::station::{Setup, Station};
use hitless_core::wifi::Ssid;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::timeout;

use crate::fake::Fake;

#[tokio::test(start_paused = true)]
async fn senseless_answers_end_nothing() {
    let endless = "network id / ssid / bssid / flags\n0\thome\tany\t[CURRENT]\n".repeat(100);
    let answers: [(&'static str, &[u8]); 12] = [
        ("INTERFACES", b"\xff\xfe\n\n\n"),
        ("ATTACH", b"<3>OK"),
        ("STATUS", b"wpa_state=COMPLETED\nssid=\\\nbssid=zz\nid=-1\n"),
        ("STATUS", b""),
        ("ADD_NETWORK", b"99999999999\n"),
        ("ADD_NETWORK", b"OK\n"),
        ("SET_NETWORK", b"FAIL\n"),
        ("LIST_NETWORKS", endless.as_bytes()),
        ("LIST_NETWORKS", b"\n\t\t\t\n4294967295\tx\tany\t\n"),
        ("GET_NETWORK", b"\"\"\"\n"),
        ("PING", b"OK\n"),
        ("ENABLE_NETWORK", b"FAIL-BUSY\n"),
    ];
    for (request, answer) in answers {
        let fake = Fake::start();
        fake.state().answers.push((request, Some(answer.into())));
        let ssid = Ssid::new("home").unwrap();
        let network = Network { ssid, security: Security::Open, priority: 0, hidden: false, bssid: None };
        let config = WifiConfig { country: None, manage: Manage::Auto, networks: vec![network] };
        let (reports, _kept) = unbounded_channel();
        let supplicant = fake.supplicant();
        let station =
            Station::start(Setup { interface: "wlan0".to_owned(), bond: None, config, supplicant }, reports);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let asked = fake.state().log.len();
        assert!(asked < 600, "{request}: {asked} requests in a minute are a hot loop");
        fake.say("<3>CTRL-EVENT-SSID-TEMP-DISABLED id=\" ssid=");
        fake.say("IFNAME=wlan0 <99>");
        fake.state().answers.clear();
        timeout(Duration::from_secs(120), async {
            while station.networks().await.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{request}: does not recover"));
        station.release().await.unwrap();
    }
}
