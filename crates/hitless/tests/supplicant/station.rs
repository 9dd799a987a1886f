//! The station's task, in virtual time.

use std::time::Duration;

use hitless::wifi::network::{Eap, EapMethod, Manage, Network, Secret, SecretSource, Security, WifiConfig};
use hitless::wifi::station::{Fault, Protection, Report, Setup, Station, StationError, StationState, What};
use hitless::wifi::supplicant::process::Supplicant;
use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::fake::{DISCONNECTED, Fake, JOINED};

const CONNECTED: &str =
    "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=hitless]";
const WRONG_KEY: &str =
    r#"<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="home" auth_failures=1 duration=10 reason=WRONG_KEY"#;

fn ssid(name: &str) -> Ssid {
    Ssid::new(name).unwrap()
}

fn network(name: &str, passphrase: &str) -> Network {
    let source = SecretSource::Inline(Secret::new(passphrase));
    Network { ssid: ssid(name), security: Security::Psk(source), priority: 0, hidden: false, bssid: None }
}

fn config(networks: &[Network]) -> WifiConfig {
    WifiConfig { country: Some("AT".to_owned()), manage: Manage::Auto, networks: networks.to_vec() }
}

/// A station and what it reports.
struct Bench {
    station: Station,
    reports: UnboundedReceiver<Report>,
}

impl Bench {
    fn start(supplicant: &Supplicant, config: WifiConfig) -> Self {
        let (sender, reports) = unbounded_channel();
        let setup = Setup {
            interface: "wlan0".to_owned(),
            bond: Some("bond0".to_owned()),
            config,
            supplicant: supplicant.clone(),
        };
        Self { station: Station::start(setup, sender), reports }
    }

    async fn next(&mut self) -> What {
        let report = self.reports.recv().await.expect("the station goes on");
        assert_eq!(report.interface, "wlan0");
        report.what
    }

    async fn until(&mut self, wanted: impl Fn(&What) -> bool) -> What {
        loop {
            let what = self.next().await;
            if wanted(&what) {
                return what;
            }
        }
    }

    async fn joined(&mut self) {
        self.until(|what| matches!(what, What::State(StationState::Joined { .. }))).await;
    }

    async fn failed(&mut self) -> Fault {
        let what = self.until(|what| matches!(what, What::State(StationState::Failed(_)))).await;
        let What::State(StationState::Failed(fault)) = what else { unreachable!() };
        fault
    }

    fn silent(&mut self) {
        assert!(self.reports.try_recv().is_err());
    }
}

/// It is in "home".
async fn at_home(fake: &Fake) -> Bench {
    let mut bench = Bench::start(&fake.supplicant(), config(&[network("home", "correct horse")]));
    fake.asked("RECONNECT").await;
    fake.state().status = JOINED.to_owned();
    fake.say(CONNECTED);
    bench.joined().await;
    bench
}

#[tokio::test(start_paused = true)]
async fn it_joins() {
    let fake = Fake::start();
    let mut bench = Bench::start(&fake.supplicant(), config(&[network("home", "correct horse")]));
    assert_eq!(bench.next().await, What::State(StationState::Starting));
    fake.asked("RECONNECT").await;
    bench.until(|what| *what == What::State(StationState::Disconnected)).await;
    fake.say("<3>CTRL-EVENT-SCAN-STARTED ");
    assert_eq!(bench.next().await, What::State(StationState::Scanning));
    fake.say("<3>SME: Trying to authenticate with 02:00:00:00:01:00 (SSID='home' freq=2412 MHz)");
    assert_eq!(bench.next().await, What::State(StationState::Associating { ssid: Some(ssid("home")) }));
    fake.state().status = JOINED.to_owned();
    fake.say(CONNECTED);
    let joined = bench.next().await;
    let What::State(StationState::Joined { bssid, frequency_mhz: Some(2412), .. }) = joined else {
        panic!("{joined:?}")
    };
    assert_eq!(bssid.to_string(), "02:00:00:00:01:00");

    let added = fake.asked("INTERFACE_ADD").await;
    let conf = fake.path().join("wlan0.conf");
    assert_eq!(added, format!("INTERFACE_ADD wlan0\t{}\tnl80211\t\t\tbond0", conf.display()));
    let conf = std::fs::read_to_string(conf).unwrap();
    for line in ["update_config=0", "p2p_disabled=1", "mac_addr=0", "preassoc_mac_addr=0", "country=AT"] {
        assert!(conf.lines().any(|other| other == line), "{line} in {conf}");
    }
    let state = fake.state();
    let (_, network) = state.named("home").unwrap();
    assert!(network.enabled);
    assert_eq!(network.settings["psk"], "\"correct horse\"");
    assert_eq!(network.settings["id_str"], "\"hitless\"");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_at_once_waits_until_it_is_there() {
    let fake = Fake::start();
    let bench = Bench::start(&fake.supplicant(), config(&[network("home", "correct horse")]));
    assert_eq!(bench.station.networks().await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_happens_is_told() {
    let fake = Fake::start();
    let mut bench = at_home(&fake).await;
    fake.say("<3>WPA: Group rekeying completed with 02:00:00:00:01:00 [GTK=CCMP]");
    assert_eq!(bench.next().await, What::Rekeyed);
    fake.say("<3>CTRL-EVENT-BEACON-LOSS ");
    assert_eq!(bench.next().await, What::BeaconLoss);
    fake.state().status = DISCONNECTED.to_owned();
    fake.say("<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=5");
    assert_eq!(bench.next().await, What::Deauthenticated { reason: 5 });
    assert_eq!(bench.next().await, What::State(StationState::Disconnected));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_passphrase_is_a_clear_state_until_it_is_corrected() {
    let fake = Fake::start();
    let mut bench = Bench::start(&fake.supplicant(), config(&[network("home", "wrong horse")]));
    fake.asked("RECONNECT").await;
    fake.say(WRONG_KEY);
    let fault = bench.failed().await;
    let text = "network \"home\" does not accept the passphrase (tried again in 10 s); correct it";
    assert_eq!(fault.to_string(), text);
    // wpa_supplicant tries again, and it is no better.
    let asked = fake.state().log.len();
    for event in [
        "<3>CTRL-EVENT-SCAN-STARTED ",
        "<3>CTRL-EVENT-SSID-REENABLED id=0 ssid=\"home\"",
        "<3>SME: Trying to authenticate with 02:00:00:00:01:00 (SSID='home' freq=2412 MHz)",
        "<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=15",
        r#"<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid="home" auth_failures=2 duration=20 reason=WRONG_KEY"#,
    ] {
        fake.say(event);
    }
    let retry_in = Some(Duration::from_secs(20));
    let fault = Fault::WrongPassphrase { ssid: ssid("home"), tries: 2, retry_in };
    assert_eq!(
        bench.next().await,
        What::State(StationState::Failed(fault.clone())),
        "and nothing in between"
    );
    assert_eq!(fake.state().log.len(), asked, "nothing is tried from here");
    fake.state().networks.get_mut(&0).unwrap().flags = "[TEMP-DISABLED]";
    let known = bench.station.networks().await.unwrap();
    assert_eq!(known[0].disabled, Some(fault));

    bench.station.configure(config(&[network("home", "correct horse")])).await.unwrap();
    assert_eq!(fake.state().count("DISABLE_NETWORK 0"), 1, "it is tried at once");
    assert_eq!(fake.state().named("home").unwrap().1.settings["psk"], "\"correct horse\"");
    fake.state().status = JOINED.to_owned();
    fake.say(CONNECTED);
    bench.joined().await;
}

/// wpa_supplicant takes it for one with a passphrase, and waits for that.
#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_used_is_tried_anew_when_it_may_be_another() {
    let fake = Fake::start();
    let campus = Network { security: Security::Eap(by_certificate()), ..network("home", "") };
    let mut bench = Bench::start(&fake.supplicant(), config(std::slice::from_ref(&campus)));
    fake.asked("RECONNECT").await;
    fake.say("<3>SME: Trying to authenticate with 02:00:00:00:01:00 (SSID='home' freq=2412 MHz)");
    fake.say("<3>CTRL-REQ-PASSPHRASE-0:Private key passphrase needed for SSID home");
    fake.say("<3>EAP: Failed to initialize EAP method: vendor 0 method 13 (TLS)");
    assert_eq!(bench.failed().await, Fault::CertificatesUnusable { ssid: ssid("home") });
    assert_eq!(fake.state().count("DISABLE_NETWORK 0"), 0);
    bench.station.configure(config(&[campus])).await.unwrap();
    assert_eq!(fake.state().count("DISABLE_NETWORK 0"), 1, "it is tried at once");
    assert!(fake.state().networks[&0].enabled);
}

fn by_certificate() -> Eap {
    Eap {
        method: EapMethod::Tls,
        identity: "me".to_owned(),
        anonymous_identity: None,
        password: None,
        ca_cert: None,
        domain: None,
        client_cert: Some("/etc/hitless/me.pem".into()),
        private_key: Some("/etc/hitless/me.key".into()),
        private_key_password: None,
    }
}

#[tokio::test(start_paused = true)]
async fn another_daemon_finds_everything_as_it_should_be() {
    let fake = Fake::start();
    let bench = at_home(&fake).await;
    drop(bench);
    let before = fake.state().log.len();
    let mut bench = Bench::start(&fake.supplicant(), config(&[network("home", "correct horse")]));
    bench.joined().await;
    let log: Vec<String> = fake.state().log.split_off(before);
    let disturbing =
        ["ADD", "REMOVE", "INTERFACE_ADD", "INTERFACE_REMOVE", "DISABLE", "SELECT", "REASSOCIATE"];
    assert!(!log.iter().any(|line| disturbing.iter().any(|start| line.starts_with(start))), "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn a_changed_configuration_touches_what_changed() {
    let fake = Fake::start();
    let mut bench = at_home(&fake).await;
    let both = config(&[network("home", "correct horse"), network("work", "other horse")]);
    bench.station.configure(both).await.unwrap();
    assert_eq!(fake.state().networks.len(), 2);
    assert_eq!(fake.state().count("REMOVE_NETWORK"), 0);
    bench.station.configure(config(&[network("home", "correct horse")])).await.unwrap();
    assert_eq!(fake.state().count("REMOVE_NETWORK"), 1);
    assert_eq!(fake.state().count("ADD_NETWORK"), 2);
    let mut sae = network("home", "correct horse");
    sae.security = Security::Sae(SecretSource::Inline(Secret::new("correct horse")));
    bench.station.configure(config(&[sae])).await.unwrap();
    assert_eq!(fake.state().count("REMOVE_NETWORK 0"), 1, "another security is another network");
    let pinned =
        Network { bssid: Some(MacAddr([2, 0, 0x5e, 0, 0x53, 1])), ..network("home", "correct horse") };
    let before = fake.state().count("REMOVE_NETWORK");
    for _ in 0..2 {
        bench.station.configure(config(std::slice::from_ref(&pinned))).await.unwrap();
    }
    assert_eq!(fake.state().count("REMOVE_NETWORK"), before + 1, "so is one that is pinned, once");
    assert_eq!(fake.state().named("home").unwrap().1.settings["bssid"], "02:00:5e:00:53:01");
    bench.silent();
}

#[tokio::test(start_paused = true)]
async fn it_dies_and_comes_back() {
    let mut fake = Fake::start();
    let mut bench = at_home(&fake).await;
    fake.die();
    fake.say("nobody");
    assert!(matches!(bench.failed().await, Fault::SupplicantDied { .. } | Fault::Unreachable { .. }));
    assert!(matches!(bench.failed().await, Fault::SupplicantDied { .. } | Fault::CannotStart { .. }));
    assert!(matches!(
        bench.station.scan().await,
        Err(StationError::NotReady { fault: Fault::SupplicantDied { .. } | Fault::CannotStart { .. }, .. })
    ));
    fake.state().log.clear();
    fake.resume();
    fake.asked("RECONNECT").await;
    assert!(fake.state().named("home").unwrap().1.enabled, "it is given everything again");
    fake.state().status = JOINED.to_owned();
    // The numbers of networks go on in this pretended one.
    fake.say(&CONNECTED.replace("id=0", "id=1"));
    bench.joined().await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_made_up_for() {
    let fake = Fake::start();
    let mut bench = Bench::start(&fake.supplicant(), config(&[network("home", "correct horse")]));
    fake.asked("RECONNECT").await;
    bench.until(|what| *what == What::State(StationState::Disconnected)).await;
    fake.state().status = JOINED.to_owned();
    bench.joined().await;
    fake.state().status = "wpa_state=INTERFACE_DISABLED\n".to_owned();
    assert_eq!(bench.failed().await, Fault::RadioOff);
    fake.state().status = JOINED.to_owned();
    bench.joined().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_supplicant_is_given_up_and_tried_again() {
    let fake = Fake::start();
    let mut bench = at_home(&fake).await;
    fake.state().answers.push(("STATUS", None));
    let fault = bench.failed().await;
    assert_eq!(fault.to_string(), "wpa_supplicant does not answer STATUS; it is tried again");
    fake.state().answers.clear();
    bench.joined().await;
}

#[tokio::test(start_paused = true)]
async fn a_scan_pages_through_what_was_found() {
    let fake = Fake::start();
    let bench = at_home(&fake).await;
    fake.state().bss = vec![
        ("RANGE=0- ", include_str!("fixtures/bss")),
        ("RANGE=2- ", "id=7\nbssid=02:00:00:00:03:00\nfreq=5180\nlevel=-80\nflags=[ESS]\nssid=\n####\n"),
    ];
    let station = bench.station.clone();
    let scan = tokio::spawn(async move { station.scan().await });
    fake.asked("SCAN").await;
    fake.say("<3>CTRL-EVENT-SCAN-RESULTS ");
    let found = scan.await.unwrap().unwrap();
    let found: Vec<(Option<String>, Protection)> =
        found.iter().map(|ap| (ap.ssid.as_ref().map(ToString::to_string), ap.protection)).collect();
    assert_eq!(
        found,
        [
            (Some("home".to_owned()), Protection::Wpa2),
            (Some("x\" reason=WRONG_KEY".to_owned()), Protection::Wpa3),
            (None, Protection::Open),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_comes_to_nothing() {
    let fake = Fake::start();
    let bench = at_home(&fake).await;
    assert!(matches!(bench.station.scan().await, Err(StationError::ScanFailed { .. })), "in time");
    let station = bench.station.clone();
    let scan = tokio::spawn(async move { station.scan().await });
    fake.state().log.clear();
    fake.asked("SCAN").await;
    fake.state().log.clear();
    fake.say("<3>CTRL-EVENT-SCAN-FAILED ret=-16");
    fake.asked("SCAN").await;
    fake.say("<3>CTRL-EVENT-SCAN-RESULTS ");
    assert_eq!(scan.await.unwrap(), Ok(Vec::new()), "it is tried again");
    fake.state().answers.push(("SCAN", Some("FAIL\n".into())));
    assert!(matches!(bench.station.scan().await, Err(StationError::Refused { .. })));
}

/// Asks for another network, and answers as it goes.
async fn connect(fake: &Fake, bench: &Bench, to: Network, events: &[&str]) -> Result<(), StationError> {
    let station = bench.station.clone();
    let connecting = tokio::spawn(async move { station.connect(to).await });
    fake.asked("SELECT_NETWORK").await;
    for event in events {
        fake.say(event);
    }
    connecting.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn joining_another_network_on_request() {
    let fake = Fake::start();
    let mut bench = at_home(&fake).await;
    fake.state()
        .answers
        .push(("STATUS", Some(JOINED.replace("home", "work").replace("id=0", "id=1").into())));
    let connected = CONNECTED.replace("id=0", "id=1");
    connect(&fake, &bench, network("work", "other horse"), &[&connected]).await.unwrap();
    bench.joined().await;
    let known = bench.station.networks().await.unwrap();
    let known: Vec<(String, bool)> = known.iter().map(|n| (n.ssid.to_string(), n.current)).collect();
    assert_eq!(known, [("home".to_owned(), false), ("work".to_owned(), true)]);
    assert!(!fake.state().named("home").unwrap().1.enabled, "the chosen one is stuck to");

    // Until it is lost.
    fake.state().answers.clear();
    fake.say("<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=5");
    bench.until(|what| *what == What::State(StationState::Disconnected)).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(fake.state().named("home").unwrap().1.enabled);

    bench.station.forget(&ssid("work")).await.unwrap();
    assert!(fake.state().named("work").is_none());
    let unknown = bench.station.forget(&ssid("work")).await;
    assert!(matches!(unknown, Err(StationError::UnknownNetwork { .. })), "{unknown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_leaves_nothing_behind() {
    let wrong = WRONG_KEY.replace("id=0", "id=1").replace("home", "work");
    let missing = "<3>CTRL-EVENT-NETWORK-NOT-FOUND ";
    let sae = [
        "<3>SME: Trying to authenticate with 02:00:00:00:02:00 (SSID='work' freq=2437 MHz)",
        "<3>CTRL-EVENT-AUTH-REJECT 02:00:00:00:02:00 auth_type=3 auth_transaction=2 status_code=1",
    ];
    let cases: [(&[&str], &str); 4] = [
        (&[&wrong], "network \"work\" does not accept the passphrase (tried again in 10 s); correct it"),
        (&[missing; 3], "none of the networks is in range; `hitless wifi scan` shows which ones are"),
        (&sae, "network \"work\" does not accept the passphrase; correct it"),
        (&[], "network \"work\" was not joined in time; is it in range?"),
    ];
    for (events, text) in cases {
        let fake = Fake::start();
        let bench = at_home(&fake).await;
        fake.state().answers.push(("STATUS", Some("wpa_state=SCANNING\n".into())));
        let error = connect(&fake, &bench, network("work", "no horse"), events).await.unwrap_err();
        assert_eq!(error.to_string(), text);
        let state = fake.state();
        assert!(state.named("work").is_none());
        assert!(state.named("home").unwrap().1.enabled);
        assert_eq!(state.count("REASSOCIATE"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_and_coming_back() {
    let fake = Fake::start();
    let mut bench = at_home(&fake).await;
    bench.station.disconnect().await.unwrap();
    bench.until(|what| *what == What::State(StationState::Disconnected)).await;
    fake.say("<3>CTRL-EVENT-SCAN-STARTED ");
    fake.say("<3>CTRL-EVENT-NETWORK-NOT-FOUND ");
    bench.station.resumed().await.unwrap();
    assert_eq!(fake.state().count("REASSOCIATE"), 0, "it stays out, also after the machine has slept");

    fake.state().answers.push(("STATUS", Some(JOINED.replace("id=0", "id=1").into())));
    connect(&fake, &bench, network("home", "correct horse"), &[&CONNECTED.replace("id=0", "id=1")])
        .await
        .unwrap();
    bench.joined().await;
    bench.station.resumed().await.unwrap();
    assert_eq!(fake.state().count("REASSOCIATE"), 0, "an association that lasted is left alone");
    fake.state().answers.clear();
    bench.station.resumed().await.unwrap();
    assert_eq!(fake.state().count("REASSOCIATE"), 1);
}

#[tokio::test(start_paused = true)]
async fn it_stays_out_of_a_supplicant_that_is_started_anew() {
    let mut fake = Fake::start();
    let mut bench = at_home(&fake).await;
    bench.station.disconnect().await.unwrap();
    fake.die();
    fake.say("nobody");
    bench.failed().await;
    fake.state().log.clear();
    fake.resume();
    fake.asked("ENABLE_NETWORK").await;
    bench.until(|what| *what == What::State(StationState::Disconnected)).await;
    let state = fake.state();
    let place = |start: &str| state.log.iter().position(|line| line.starts_with(start));
    assert!(place("DISCONNECT") < place("ADD_NETWORK") && place("DISCONNECT").is_some(), "{:?}", state.log);
    assert_eq!(place("RECONNECT"), None);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_for_a_moment_costs_nothing() {
    let fake = Fake::start();
    let file = fake.path().join("home.psk");
    std::fs::write(&file, "correct horse\n").unwrap();
    let mut home = network("home", "");
    home.security = Security::Psk(SecretSource::File(file.clone()));
    let mut bench = Bench::start(&fake.supplicant(), config(&[home.clone()]));
    fake.asked("RECONNECT").await;
    fake.state().status = JOINED.to_owned();
    fake.say(CONNECTED);
    bench.joined().await;

    std::fs::remove_file(&file).unwrap();
    bench.station.configure(config(&[home.clone()])).await.unwrap();
    bench.until(|what| matches!(what, What::Unusable(_))).await;
    drop(bench);
    let mut bench = Bench::start(&fake.supplicant(), config(&[home.clone()]));
    bench.until(|what| matches!(what, What::Unusable(_))).await;
    bench.joined().await;
    assert_eq!(fake.state().count("REMOVE_NETWORK"), 0);

    std::fs::write(&file, "another horse\n").unwrap();
    bench.station.configure(config(&[home])).await.unwrap();
    assert_eq!(fake.state().networks[&0].settings["psk"], "\"another horse\"");
    bench.station.configure(config(&[])).await.unwrap();
    assert!(fake.state().networks.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_configuration_has_all_that_is_to_stay() {
    let fake = Fake::start();
    let mut bench = at_home(&fake).await;
    let work = JOINED.replace("home", "work").replace("id=0", "id=1");
    fake.state().answers.push(("STATUS", Some(work.into())));
    connect(&fake, &bench, network("work", "other horse"), &[&CONNECTED.replace("id=0", "id=1")])
        .await
        .unwrap();
    bench.joined().await;
    fake.state().answers.clear();
    bench.station.configure(config(&[network("home", "correct horse")])).await.unwrap();
    assert!(fake.state().named("work").is_none());
    assert!(fake.state().named("home").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_told_and_the_rest_is_used() {
    let fake = Fake::start();
    let missing = fake.path().join("work.psk");
    let mut work = network("work", "");
    work.security = Security::Psk(SecretSource::File(missing.clone()));
    let mut bench =
        Bench::start(&fake.supplicant(), config(&[work.clone(), network("home", "correct horse")]));
    let told = bench.until(|what| matches!(what, What::Unusable(_))).await;
    let What::Unusable(unusable) = told else { panic!("{told:?}") };
    assert!(unusable.to_string().contains(&*missing.to_string_lossy()), "{unusable}");
    fake.asked("RECONNECT").await;
    assert!(fake.state().named("home").unwrap().1.enabled);
    bench.station.configure(config(&[work.clone()])).await.unwrap();
    assert!(matches!(bench.failed().await, Fault::Unusable(_)), "when there is nothing else");
    std::fs::write(&missing, "at last there\n").unwrap();
    bench.station.configure(config(&[work])).await.unwrap();
    assert_eq!(fake.state().named("work").unwrap().1.settings["psk"], "\"at last there\"");
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_is_refused() {
    let fake = Fake::start();
    fake.state().answers.push(("INTERFACE_ADD", Some("FAIL\n".into())));
    let mut bench = Bench::start(&fake.supplicant(), config(&[]));
    assert_eq!(bench.failed().await, Fault::InterfaceRefused { interface: "wlan0".to_owned() });
    assert_eq!(fake.state().count("INTERFACE_ADD"), 2, "with the bond, and without");
    fake.state().answers.clear();
    bench.until(|what| *what == What::State(StationState::Disconnected)).await;
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_was_pulled_out_is_given_anew() {
    let fake = Fake::start();
    drop(at_home(&fake).await);
    fake.state().status = "wpa_state=INTERFACE_DISABLED\n".to_owned();
    fake.state().log.clear();
    let _bench = Bench::start(&fake.supplicant(), config(&[network("home", "correct horse")]));
    fake.asked("RECONNECT").await;
    assert_eq!(fake.state().count("INTERFACE_REMOVE wlan0"), 1);
    assert_eq!(fake.state().count("INTERFACE_ADD"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_interface_that_somebody_takes_away_is_taken_back() {
    let fake = Fake::start();
    let mut bench = at_home(&fake).await;
    fake.state().interfaces.clear();
    fake.state().networks.clear();
    fake.state().status = DISCONNECTED.to_owned();
    assert!(matches!(bench.failed().await, Fault::Unreachable { .. }));
    fake.state().log.clear();
    fake.asked("RECONNECT").await;
    assert_eq!(fake.state().count("INTERFACE_ADD"), 1);
    assert!(fake.state().named("home").is_some());
}

#[tokio::test(start_paused = true)]
async fn released() {
    let fake = Fake::start();
    let bench = at_home(&fake).await;
    bench.station.release().await.unwrap();
    assert!(fake.state().interfaces.is_empty());
    assert!(!fake.path().join("wlan0.conf").exists());
    assert_eq!(bench.station.scan().await, Err(StationError::Ended { interface: "wlan0".to_owned() }));
    assert!(fake.state().count("TERMINATE") == 0, "others may use it");
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_supplicant_keeps_what_is_its_own() {
    let mut fake = Fake::stopped();
    let with = |networks: &[Network]| WifiConfig { manage: Manage::Existing, ..config(networks) };
    let mut bench = Bench::start(&fake.supplicant(), with(&[network("home", "correct horse")]));
    let fault = bench.failed().await;
    assert!(matches!(&fault, Fault::NotManaged { .. }), "{fault}");
    let theirs = [("ssid", "7468656972"), ("key_mgmt", "NONE")];
    let mut network = crate::fake::FakeNetwork { enabled: true, ..Default::default() };
    network.settings = theirs.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    fake.state().networks.insert(77, network);
    fake.state().answers.push(("GET mac_addr", Some("1\n".into())));
    fake.serve_existing("wlan0");
    fake.asked("RECONNECT").await;
    assert_eq!(fake.state().named("home").unwrap().1.settings["mac_addr"], "0");
    assert_eq!(fake.state().count("GET preassoc_mac_addr"), 1, "what it does besides is looked at");
    bench.station.release().await.unwrap();
    let state = fake.state();
    assert!(state.named("home").is_none());
    assert!(state.networks[&77].enabled);
    for foreign in ["INTERFACE_", "TERMINATE", "SET "] {
        assert_eq!(state.count(foreign), 0, "{foreign}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_daemon_left_is_taken_away() {
    let fake = Fake::start();
    let bench = at_home(&fake).await;
    fake.state().interfaces.push("wlan7".to_owned());
    std::fs::write(fake.path().join("wlan7.conf"), "").unwrap();
    fake.supplicant().retain(&["wlan0".to_owned(), "wlan9".to_owned()].into()).await;
    assert_eq!(fake.state().interfaces, ["wlan0"]);
    assert_eq!(fake.state().count("INTERFACE_REMOVE"), 1);
    assert!(!fake.path().join("wlan7.conf").exists() && fake.path().join("wlan0.conf").exists());
    drop(bench);
    // Where there is none, none is started.
    Fake::stopped().supplicant().retain(&Default::default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_handle_that_is_dropped_leaves_the_association() {
    let fake = Fake::start();
    let bench = at_home(&fake).await;
    bench.station.networks().await.unwrap();
    fake.state().log.clear();
    drop(bench);
    fake.asked("DETACH").await;
    assert_eq!(fake.state().log, ["DETACH"]);
}
