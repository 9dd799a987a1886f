//! A station, and an iwd that is not one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

use std::time::Duration;

use hitless_core::wifi::Ssid;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fake::{FakeIwd, FakeNetwork};
use super::{IwdFault, Setup, is_running, run};
use crate::dbus::testbus::TestBus;
use crate::wifi::network::{Eap, EapMethod, Manage, Network, Secret, SecretSource, Security, WifiConfig};
use crate::wifi::station::{self, Fault, Report, Station, StationError, StationState, What};
use crate::wifi::supplicant::process::{Life, Supplicant};

const PATIENCE: Duration = Duration::from_secs(30);
const RIGHT: &str = "correct horse";
const WRONG: &str = "battery staple";

struct Bench {
    station: Station,
    reports: mpsc::UnboundedReceiver<Report>,
}

impl Bench {
    fn start(bus: &TestBus, networks: Vec<Network>) -> Self {
        let (sender, reports) = mpsc::unbounded_channel();
        let mut setup = Setup::new("wlan0", config(networks));
        setup.bus = bus.bus();
        setup.main_conf = "/nonexistent/main.conf".into();
        let (commands, received) = mpsc::unbounded_channel();
        tokio::spawn(run(setup, sender, received));
        Self { station: Station::new("wlan0".to_owned(), commands), reports }
    }

    /// Waits until it is told to be in such a state.
    async fn until(&mut self, fits: impl Fn(&StationState) -> bool) -> StationState {
        let mut heard = Vec::new();
        let search = async {
            loop {
                let report = self.reports.recv().await.expect("a station");
                assert_eq!(report.interface, "wlan0");
                match report.what {
                    What::State(state) if fits(&state) => return state,
                    other => heard.push(other),
                }
            }
        };
        timeout(PATIENCE, search).await.ok().unwrap_or_else(|| panic!("never so, but {heard:?}"))
    }

    async fn until_joined(&mut self, name: &str) {
        let name = ssid(name);
        self.until(|state| matches!(state, StationState::Joined { ssid, .. } if *ssid == name)).await;
    }

    async fn until_failed(&mut self) -> Fault {
        match self.until(|state| matches!(state, StationState::Failed(_))).await {
            StationState::Failed(fault) => fault,
            other => panic!("{other:?}"),
        }
    }
}

fn ssid(name: &str) -> Ssid {
    Ssid::new(name).unwrap()
}

fn config(networks: Vec<Network>) -> WifiConfig {
    WifiConfig { country: None, manage: Manage::Iwd, networks }
}

fn network(name: &str, passphrase: &str) -> Network {
    let security = Security::Psk(SecretSource::Inline(Secret::new(passphrase)));
    Network { ssid: ssid(name), security, priority: 0, hidden: false, bssid: None }
}

#[tokio::test]
async fn the_most_wanted_network_is_joined_with_its_passphrase() {
    let bus = TestBus::start();
    let iwd =
        FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("cafe", "x"), FakeNetwork::psk("home", RIGHT)])
            .await;
    let mut bench =
        Bench::start(&bus, vec![network("cafe", WRONG), Network { priority: 5, ..network("home", RIGHT) }]);
    let joined = bench.until(|state| matches!(state, StationState::Joined { .. })).await;
    let bssid = "02:00:00:00:01:00".parse().unwrap();
    assert_eq!(joined, StationState::Joined { ssid: ssid("home"), bssid, frequency_mhz: Some(2412) });
    assert_eq!(iwd.count("Connect"), 1);
    let networks = bench.station.networks().await.unwrap();
    let current: Vec<_> =
        networks.iter().filter(|network| network.current).map(|network| &network.ssid).collect();
    assert_eq!(current, [&ssid("home")]);
}

#[tokio::test]
async fn a_wrong_passphrase_is_a_fault_and_not_a_loop() {
    let bus = TestBus::start();
    let iwd = FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("home", RIGHT)]).await;
    let mut bench = Bench::start(&bus, vec![network("home", WRONG)]);
    let fault = bench.until_failed().await;
    let retry_in = Some(Duration::from_secs(60));
    assert_eq!(fault, Fault::WrongPassphrase { ssid: ssid("home"), tries: 1, retry_in });
    assert!(!format!("{fault} {fault:?}").contains(WRONG));
    // Whatever is heard in between, it is not tried again.
    assert_eq!(bench.station.scan().await.unwrap().len(), 1);
    assert_eq!(iwd.count("Connect"), 1, "{:?}", iwd.log());
    bench.station.configure(config(vec![network("home", RIGHT)])).await.unwrap();
    bench.until_joined("home").await;
}

#[tokio::test]
async fn a_passphrase_that_iwd_has_wrong_is_replaced_by_ours() {
    let bus = TestBus::start();
    let stored = FakeNetwork::psk("home", RIGHT).stored(WRONG);
    let iwd = FakeIwd::start(&bus.bus(), vec![stored]).await;
    let mut bench = Bench::start(&bus, vec![network("home", RIGHT)]);
    bench.until_joined("home").await;
    assert_eq!((iwd.count("Connect"), iwd.stored("home").as_deref()), (2, Some(RIGHT)));
}

#[tokio::test]
async fn iwd_may_come_later_and_again() {
    let bus = TestBus::start();
    assert!(!is_running(&bus.bus()).await);
    let mut bench = Bench::start(&bus, vec![network("home", RIGHT)]);
    assert_eq!(bench.until_failed().await, IwdFault::NotRunning.into());
    assert!(matches!(bench.station.scan().await, Err(StationError::NotReady { .. })));
    let iwd = FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("home", RIGHT)]).await;
    assert!(is_running(&bus.bus()).await);
    bench.until_joined("home").await;
    iwd.die().await;
    assert_eq!(bench.until_failed().await, IwdFault::NotRunning.into());
    let _iwd = FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("home", RIGHT)]).await;
    bench.until_joined("home").await;
}

#[tokio::test]
async fn the_bus_may_come_again() {
    let mut bus = TestBus::start();
    let _iwd = FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("home", RIGHT)]).await;
    let mut bench = Bench::start(&bus, vec![network("home", RIGHT)]);
    bench.until_joined("home").await;
    bus.end();
    let fault = bench.until_failed().await;
    assert!(matches!(fault, Fault::Iwd(IwdFault::NoBus { .. })), "{fault:?}");
    bus.restart();
    let _iwd = FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("home", RIGHT)]).await;
    bench.until_joined("home").await;
}

#[tokio::test]
async fn a_lost_access_point_is_looked_for() {
    let bus = TestBus::start();
    let iwd = FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("home", RIGHT)]).await;
    let mut bench = Bench::start(&bus, vec![network("home", RIGHT)]);
    bench.until_joined("home").await;
    iwd.lose().await;
    bench.until(|state| matches!(state, StationState::Scanning)).await;
    bench.until_joined("home").await;
}

#[tokio::test]
async fn a_network_that_is_not_there_is_said_and_looked_for() {
    let bus = TestBus::start();
    let iwd = FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("cafe", RIGHT)]).await;
    let mut bench = Bench::start(&bus, vec![network("home", RIGHT)]);
    assert_eq!(bench.until_failed().await, Fault::NetworkNotFound);
    assert_eq!(iwd.count("Connect"), 0);
    bench.station.configure(config(vec![network("cafe", RIGHT)])).await.unwrap();
    bench.until_joined("cafe").await;
}

#[tokio::test]
async fn a_hidden_network_is_asked_for_by_name() {
    let bus = TestBus::start();
    let hidden = FakeNetwork::psk("attic", RIGHT).hidden();
    let iwd = FakeIwd::start(&bus.bus(), vec![hidden]).await;
    let mut bench = Bench::start(&bus, vec![Network { hidden: true, ..network("attic", RIGHT) }]);
    bench.until_joined("attic").await;
    assert_eq!(iwd.count("ConnectHiddenNetwork"), 1);
}

#[tokio::test]
async fn iwd_comes_later_and_wpa_supplicant_never() {
    let bus = TestBus::start();
    let (supplicant, life) = Supplicant::pretended("/nonexistent/wpa", Life::Missing);
    let config = WifiConfig { manage: Manage::Auto, ..config(vec![network("home", RIGHT)]) };
    let setup = station::Setup { interface: "wlan0".to_owned(), bond: None, config, supplicant };
    let (sender, reports) = mpsc::unbounded_channel();
    let mut bench = Bench { station: Station::start_on(bus.bus(), setup, sender), reports };
    assert_eq!(bench.until_failed().await, Fault::NoSupplicant);
    let _iwd = FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("home", RIGHT)]).await;
    // It is looked for now and then.
    life.send_replace(Life::Missing);
    bench.until_joined("home").await;
    bench.station.release().await.unwrap();
}

#[tokio::test]
async fn commands() {
    let bus = TestBus::start();
    let iwd =
        FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("home", RIGHT), FakeNetwork::psk("guest", RIGHT)])
            .await;
    let mut bench = Bench::start(&bus, vec![network("home", RIGHT)]);
    bench.until_joined("home").await;

    let wrong = bench.station.connect(network("guest", WRONG)).await;
    assert!(matches!(wrong, Err(StationError::NotJoined(Fault::WrongPassphrase { .. }))), "{wrong:?}");
    bench.station.connect(network("guest", RIGHT)).await.unwrap();
    bench.until_joined("guest").await;
    let missing = bench.station.connect(network("nowhere", RIGHT)).await;
    assert!(matches!(missing, Err(StationError::NotJoined(Fault::NetworkNotFound))), "{missing:?}");

    bench.station.disconnect().await.unwrap();
    bench.until(|state| *state == StationState::Disconnected).await;
    let connects = iwd.count("Connect");
    assert_eq!(bench.station.scan().await.unwrap().len(), 2);
    assert_eq!(iwd.count("Connect"), connects, "it stays out");
    bench.station.resumed().await.unwrap();
    assert_eq!(iwd.count("Connect"), connects, "also after the machine has slept");
    bench.station.connect(network("guest", RIGHT)).await.unwrap();
    bench.until(|state| matches!(state, StationState::Joined { .. })).await;

    bench.station.forget(&ssid("guest")).await.unwrap();
    bench.until_joined("home").await;
    assert_eq!(iwd.stored("guest"), None);
    let unknown = bench.station.forget(&ssid("nobody")).await;
    assert!(matches!(unknown, Err(StationError::UnknownNetwork { .. })), "{unknown:?}");

    bench.station.release().await.unwrap();
    assert!(matches!(bench.station.networks().await, Err(StationError::Ended { .. })));
    assert_eq!(iwd.count("UnregisterAgent"), 1);
}

#[tokio::test]
async fn what_iwd_cannot_do_is_said() {
    let bus = TestBus::start();
    let iwd =
        FakeIwd::start(&bus.bus(), vec![FakeNetwork::enterprise("work"), FakeNetwork::psk("home", RIGHT)])
            .await;
    let eap = Eap {
        method: EapMethod::Tls,
        identity: "me".to_owned(),
        anonymous_identity: None,
        password: None,
        ca_cert: None,
        domain: None,
        client_cert: None,
        private_key: None,
        private_key_password: None,
    };
    let work = Network { security: Security::Eap(eap), ..network("work", RIGHT) };
    let mut bench = Bench::start(&bus, vec![work]);
    assert_eq!(bench.until_failed().await, IwdFault::NotProvisioned { ssid: ssid("work") }.into());

    let key = network("home", &"0f".repeat(32));
    bench.station.configure(config(vec![key])).await.unwrap();
    let key_only = Fault::from(IwdFault::KeyOnly { ssid: ssid("home") });
    bench.until(|state| *state == StationState::Failed(key_only.clone())).await;
    assert_eq!(iwd.count("Connect"), 1, "iwd is not bothered with it");

    let sae = Network {
        security: Security::Sae(SecretSource::Inline(Secret::new(RIGHT))),
        ..network("home", RIGHT)
    };
    bench.station.configure(config(vec![sae])).await.unwrap();
    let security = "WPA2-Personal".to_owned();
    let not_wpa3 = Fault::from(IwdFault::NotWpa3 { ssid: ssid("home"), security });
    bench.until(|state| *state == StationState::Failed(not_wpa3.clone())).await;
}

#[tokio::test]
async fn only_iwd_is_told_a_passphrase() {
    let bus = TestBus::start();
    let iwd = FakeIwd::start(&bus.bus(), vec![FakeNetwork::psk("home", RIGHT)]).await;
    let mut bench = Bench::start(&bus, vec![network("home", RIGHT)]);
    bench.until_joined("home").await;
    let stranger = bus.bus().connect().await.unwrap();
    let path = zbus::ObjectPath::try_from(iwd.path_of("home")).unwrap();
    let agent = iwd.agent().unwrap();
    let interface = Some("net.connman.iwd.Agent");
    let answer = stranger
        .call_method(Some(agent.as_str()), "/io/hitless/agent", interface, "RequestPassphrase", &path)
        .await;
    assert!(answer.is_err(), "{answer:?}");
}
