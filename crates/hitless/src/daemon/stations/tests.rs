#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use tempfile::TempDir;

use super::*;
use crate::wifi::network::{Secret, SecretSource, Security};
use crate::wifi::supplicant::process::Options;

/// An interface that no machine has.
const NOWHERE: u32 = 1 << 30;

/// Stations that no wpa_supplicant can be started for.
fn stations(directory: &TempDir, configured: &[(&str, WifiConfig)]) -> Stations {
    let configured =
        configured.iter().map(|(interface, config)| ((*interface).to_owned(), config.clone())).collect();
    let mut stations = Stations::new(&directory.path().join("socket"), directory.path(), configured).unwrap();
    let options = Options {
        program: Some(directory.path().join("no-such-program")),
        existing: directory.path().join("existing"),
        ..Options::default()
    };
    stations.supplicant = Supplicant::with_options(directory.path().join("wpa"), options);
    stations
}

fn members(interfaces: &[&str]) -> BTreeSet<Member> {
    let member = |interface: &&str| Member {
        interface: (*interface).to_owned(),
        index: NOWHERE,
        bond: "bond0".to_owned(),
    };
    interfaces.iter().map(member).collect()
}

fn with_secret(source: SecretSource) -> WifiConfig {
    let network = Network {
        ssid: Ssid::new("home").unwrap(),
        security: Security::Psk(source),
        priority: 0,
        hidden: false,
        bssid: None,
    };
    WifiConfig { networks: vec![network], ..WifiConfig::default() }
}

fn inline() -> WifiConfig {
    with_secret(SecretSource::Inline(Secret::new("correct horse")))
}

#[tokio::test]
async fn a_reload_reads_files_anew() {
    let directory = TempDir::new().unwrap();
    let by_file = with_secret(SecretSource::File(directory.path().join("home.psk")));
    let mut stations = stations(&directory, &[("wlan0", by_file), ("wlan1", inline())]);
    stations.keep(members(&["wlan0", "wlan1"]));
    stations.keep(members(&["wlan0", "wlan1", "wlan2"]));
    let given =
        |stations: &Stations| -> Vec<u64> { stations.stations.values().map(|kept| kept.given).collect() };
    assert_eq!(given(&stations), [0, 0]);
    stations.configure(stations.configured.clone());
    assert_eq!(given(&stations), [1, 0], "nothing else can have changed");
}

#[tokio::test]
async fn to_list_networks_wakes_nobody() {
    let directory = TempDir::new().unwrap();
    let mut stations = stations(&directory, &[]);
    stations.keep(members(&["wlan0"]));
    let (reply, answer) = oneshot::channel();
    stations.list(None, reply);
    assert!(matches!(answer.await.unwrap(), Ok(Reply::Networks(none)) if none.is_empty()));
    let (reply, answer) = oneshot::channel();
    stations.list(Some("eth0"), reply);
    assert!(matches!(answer.await.unwrap(), Err(Error::NoSuchStation { port }) if port == "eth0"));
    let (reply, answer) = oneshot::channel();
    stations.disconnect(None, reply);
    assert!(matches!(answer.await.unwrap(), Ok(Reply::Done)), "it has joined nothing");
    assert!(stations.stations.is_empty());

    let (reply, _answer) = oneshot::channel();
    stations.scan(None, reply);
    assert_eq!(stations.on_demand["wlan0"], Manage::Auto);
}

#[tokio::test]
async fn a_supplicant_of_somebody_else_is_spoken_to() {
    let directory = TempDir::new().unwrap();
    let mut stations = stations(&directory, &[]);
    stations.keep(members(&["wlan0"]));
    std::fs::create_dir(directory.path().join("existing")).unwrap();
    std::fs::write(directory.path().join("existing/wlan0"), "").unwrap();
    stations.wake(&stations.the_one(None).unwrap()).unwrap();
    assert_eq!(stations.on_demand["wlan0"], Manage::Existing);
}

#[tokio::test]
async fn what_is_wanted_of_our_supplicant() {
    let directory = TempDir::new().unwrap();
    let managed = |manage| WifiConfig { manage, ..inline() };
    let stations = stations(
        &directory,
        &[
            ("wlan0", inline()),
            ("wlan1", managed(Manage::Existing)),
            ("wlan2", managed(Manage::Iwd)),
            ("wlan3", WifiConfig { manage: Manage::Off, ..WifiConfig::default() }),
            ("wlan4", WifiConfig::default()),
            ("wlan5", inline()),
        ],
    );
    let wanted = stations.wanted(|name| name != "wlan5");
    assert_eq!(wanted.into_iter().collect::<Vec<_>>(), ["wlan0"]);
}
