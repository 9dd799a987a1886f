//! What the kernel tells of Wi-Fi, and when: the facts that the daemon stands on.

#![allow(clippy::print_stdout, reason = "the figures, for whoever looks at why it failed")]

use std::time::Instant;

use hitless_lab::Meter;
use hitless_lab::wifi::{AccessPoint, Network, Security, Supplicant, WifiHome, WifiOptions};
use hitless_linux::rfkill::{self, RfkillEvent, RfkillEvents};
use hitless_linux::wireless::{Station, Wireless, WirelessEvent, WirelessEvents};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::support::{PATIENCE, SECOND, in_guest};

#[test]
fn a_guest_kernel_tells_of_associations() {
    in_guest("kernel::a_guest_kernel_tells_of_associations", associations);
}

#[test]
fn a_guest_kernel_tells_of_a_dead_access_point() {
    in_guest("kernel::a_guest_kernel_tells_of_a_dead_access_point", dead_access_point);
}

#[test]
fn a_guest_kernel_gets_and_loses_wifi() {
    in_guest("kernel::a_guest_kernel_gets_and_loses_wifi", kernel_without_wifi);
}

/// What the kernel says of the laptop's radio.
struct Air {
    runtime: Runtime,
    wireless: Wireless,
    events: WirelessEvents,
    index: u32,
}

impl Air {
    fn open(wifi: &WifiHome) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let opened = wifi.home.laptop.within(|| {
            let _in_runtime = runtime.enter();
            (Wireless::open().unwrap(), nix::net::if_::if_nametoindex("wlan0").unwrap())
        });
        let ((wireless, events), index) = opened.unwrap();
        Self { runtime, wireless, events, index }
    }

    fn station(&self) -> Station {
        self.wireless.station(self.index, None).unwrap().expect("wlan0 is a station")
    }

    /// The next so many events about associations, in short.
    fn told(&mut self, count: usize) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < count {
            let next = self.runtime.block_on(async { timeout(PATIENCE, self.events.next()).await });
            let event = next.unwrap_or_else(|_| panic!("nothing after {told:?}")).unwrap();
            told.extend(short(&event));
        }
        told
    }
}

fn short(event: &WirelessEvent) -> Option<String> {
    Some(match event {
        WirelessEvent::Joining { bssid, .. } => format!("joining {bssid}"),
        WirelessEvent::Connected { bssid: Some(bssid), .. } => format!("connected {bssid}"),
        WirelessEvent::Left { bssid, .. } => format!("left {bssid}"),
        WirelessEvent::Disconnected { by_peer: true, .. } => "disconnected by the access point".to_owned(),
        WirelessEvent::Disconnected { reason, .. } => format!("disconnected {reason:?}"),
        WirelessEvent::BeaconLoss { .. } => "beacon loss".to_owned(),
        WirelessEvent::Connected { bssid: None, .. }
        | WirelessEvent::Refused { .. }
        | WirelessEvent::Roamed { .. }
        | WirelessEvent::Overrun => format!("{event:?}"),
        WirelessEvent::Farewell { .. }
        | WirelessEvent::Authorized { .. }
        | WirelessEvent::PacketLoss { .. }
        | WirelessEvent::SignalCrossed { .. }
        | WirelessEvent::ChannelChanged { .. }
        | WirelessEvent::InterfaceChanged { .. }
        | WirelessEvent::InterfaceGone { .. }
        | WirelessEvent::RegulatoryChanged
        | WirelessEvent::Available
        | WirelessEvent::Unavailable => return None,
    })
}

fn home_network() -> Network {
    Network::new("home", Security::Wpa2Psk("correct horse".into()))
}

fn join(wifi: &WifiHome, network: Network) -> Supplicant {
    wifi.address(&wifi.home.laptop, "wlan0", 5).unwrap();
    Supplicant::start(&wifi.home.laptop, "wlan0", &[network], None).unwrap()
}

fn associations() {
    let wifi = WifiHome::new(WifiOptions { radios: 4, ..WifiOptions::default() }).unwrap();
    let mut air = Air::open(&wifi);
    assert_eq!(air.station().association, None);

    let first = wifi.access_point(home_network()).unwrap();
    let bssid = first.bssid().unwrap();
    let supplicant = join(&wifi, home_network());
    assert_eq!(air.told(2), [format!("joining {bssid}"), format!("connected {bssid}")]);
    supplicant.wait_joined(PATIENCE).unwrap();
    is_associated(&air, &bssid);
    saves_power(&air);

    let mac = supplicant.status("address").unwrap().unwrap();
    first.deauthenticate(&mac).unwrap();
    let thrown_out = [format!("left {bssid}"), "disconnected by the access point".to_owned()];
    assert_eq!(air.told(2), thrown_out);
    assert_eq!(air.told(2), [format!("joining {bssid}"), format!("connected {bssid}")]);
    supplicant.wait_joined(PATIENCE).unwrap();

    let second = wifi.access_point(home_network().on_channel(6)).unwrap();
    roam(&mut air, &supplicant, &bssid, &second);
    supplicant.wait_joined(PATIENCE).unwrap();
    switch_off(&wifi, &mut air, &second.bssid().unwrap());
}

fn is_associated(air: &Air, bssid: &str) {
    let station = air.station();
    println!("{station:?}");
    let association = station.association.expect("an association");
    assert_eq!(association.bssid.to_string(), bssid);
    assert_eq!(association.ssid.as_ref().expect("the kernel knows the network").to_string(), "home");
    assert_eq!(station.authorized, Some(true));
    assert_eq!(station.frequency_mhz, Some(2412));
    assert!(station.reception.signal_dbm.is_some_and(|dbm| dbm < 0) && station.reception.rate_mbps.is_some());
    let counters = air.wireless.counters(air.index, association.bssid).unwrap().expect("counters");
    assert!(counters.received >= station.counters.received && counters.beacons >= station.counters.beacons);
    let elsewhere = "02:00:5e:00:00:01".parse().unwrap();
    let mut another = association.clone();
    another.bssid = elsewhere;
    for known in [&association, &another] {
        let again = air.wireless.station(air.index, Some(known)).unwrap().expect("still a station");
        assert_eq!(again.association.as_ref(), Some(&association));
    }
    assert_eq!(air.wireless.counters(air.index, elsewhere).unwrap(), None);
}

fn saves_power(air: &Air) {
    for on in [true, false] {
        air.wireless.set_power_save(air.index, on).unwrap();
        assert_eq!(air.wireless.power_save(air.index).unwrap(), Some(on));
    }
}

fn roam(air: &mut Air, supplicant: &Supplicant, from: &str, to: &AccessPoint<'_>) {
    let to = to.bssid().unwrap();
    supplicant.request("SCAN freq=2437").unwrap();
    hitless_lab::wait::until("the second access point to be heard", PATIENCE, || {
        let heard = supplicant.request("SCAN_RESULTS")?;
        Ok(if heard.contains(&to) {
            hitless_lab::wait::Look::Yes(())
        } else {
            hitless_lab::wait::Look::No(heard)
        })
    })
    .unwrap();
    assert_eq!(supplicant.request(&format!("ROAM {to}")).unwrap().trim(), "OK");
    let start = Instant::now();
    // As far as the kernel can see it is the station's own wish to leave.
    assert_eq!(air.told(2), [format!("left {from}"), "disconnected Some(1)".to_owned()]);
    let left = start.elapsed();
    assert_eq!(air.told(2), [format!("joining {to}"), format!("connected {to}")]);
    println!("roamed within {:?}", start.elapsed() - left);
}

fn switch_off(wifi: &WifiHome, air: &mut Air, bssid: &str) {
    let runtime = &air.runtime;
    let in_runtime = runtime.enter();
    let mut switches = RfkillEvents::open().unwrap();
    drop(in_runtime);
    let mut switched =
        || runtime.block_on(async { timeout(PATIENCE, switches.next()).await }).unwrap().unwrap();
    let mut known = Vec::new();
    for _ in 0..4 {
        let RfkillEvent::Switched(block) = switched() else { panic!("a radio is gone") };
        assert!(!block.is_blocked());
        known.push(block);
    }
    // A radio that is still in the namespace that /sys shows.
    assert!(
        rfkill::switch_of("wlan3").is_some_and(|switch| known.iter().any(|block| block.switch == switch))
    );
    assert_eq!(rfkill::switch_of("lo"), None);

    wifi.radio.set_blocked(true).unwrap();
    let RfkillEvent::Switched(block) = switched() else { panic!("the radio is gone") };
    assert!(block.soft && !block.hard, "{block:?}");
    assert_eq!(air.told(2), [format!("left {bssid}"), "disconnected Some(3)".to_owned()]);
    assert_eq!(air.station().association, None);
    wifi.radio.set_blocked(false).unwrap();
}

/// The access point is gone at once and without a word, while 500 datagrams per second go out.
fn dead_access_point() {
    let wifi = WifiHome::new(WifiOptions { radios: 2, ..WifiOptions::default() }).unwrap();
    let access_point = wifi.access_point(home_network()).unwrap();
    let supplicant = join(&wifi, home_network());
    supplicant.wait_joined(PATIENCE).unwrap();
    access_point.wait_associated(&supplicant.status("address").unwrap().unwrap(), true, PATIENCE).unwrap();
    supplicant.wait_joined(PATIENCE).unwrap();
    let mut air = Air::open(&wifi);
    let bssid = access_point.bssid().unwrap().parse().unwrap();
    let (near, far) = wifi.home.ends(0);
    let meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(500, PATIENCE).unwrap();

    let counters = |air: &Air| air.wireless.counters(air.index, bssid).unwrap();
    let start = Instant::now();
    let before = counters(&air).expect("counters");
    access_point.radio.set_reachable(false).unwrap();
    let mut first_unanswered = None;
    let mut missing = None;
    let mut told = Vec::new();
    while !told.iter().any(|(_, event): &(_, String)| event.starts_with("disconnected")) {
        assert!(start.elapsed() < PATIENCE, "{told:?}");
        let wait = SECOND / 50;
        if let Ok(event) = air.runtime.block_on(async { timeout(wait, air.events.next()).await }) {
            println!("after {:?}: {event:?}", start.elapsed());
            told.extend(short(&event.unwrap()).map(|event| (start.elapsed(), event)));
        }
        let Some(now) = counters(&air) else { continue };
        let after = start.elapsed();
        if now.unanswered > before.unanswered {
            first_unanswered.get_or_insert(after);
        }
        println!("after {after:?}: {now:?}");
        if missing.is_none() && now.quiet.is_some_and(|quiet| quiet > SECOND / 5) {
            missing = Some(after);
        }
    }
    println!(
        "unanswered frames after {first_unanswered:?}, quiet for 200 ms after {missing:?}, then {told:?}"
    );
    let first_unanswered = first_unanswered.expect("frames that are not answered are counted");
    let missing = missing.expect("it is known how long it has been quiet");
    let [(lost, first), (_, second), (_, third)] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(
        [first.as_str(), second.as_str(), third.as_str()],
        ["beacon loss", &format!("left {bssid}"), "disconnected Some(4)"]
    );
    assert!(first_unanswered < *lost, "{first_unanswered:?}, {lost:?}");
    assert!(missing < *lost, "{missing:?}, {lost:?}");
    drop(meter);
}

/// 802.11 comes with a module and goes with it, while we listen.
fn kernel_without_wifi() {
    let modprobe = |arguments: &[&str]| {
        let status =
            std::process::Command::new("modprobe").args(arguments).status().expect("modprobe (kmod)");
        assert!(status.success(), "modprobe {arguments:?}");
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let in_runtime = runtime.enter();
    let (wireless, mut events) = Wireless::open().unwrap();
    drop(in_runtime);
    let mut next = || {
        runtime
            .block_on(async { timeout(PATIENCE, events.next()).await })
            .expect("something happens")
            .unwrap()
    };
    for _ in 0..2 {
        assert_eq!(wireless.interface(1).unwrap(), None);
        modprobe(&["mac80211_hwsim", "radios=1"]);
        // The interface may have come before its events could be subscribed to.
        while next() != WirelessEvent::Available {}
        let index = nix::net::if_::if_nametoindex("wlan0").unwrap();
        assert!(wireless.station(index, None).unwrap().is_some());
        modprobe(&["-r", "mac80211_hwsim"]);
        while next() != (WirelessEvent::InterfaceGone { index }) {}
        let _ = std::process::Command::new("modprobe").args(["-r", "mac80211"]).status();
        modprobe(&["-r", "cfg80211"]);
        while next() != WirelessEvent::Unavailable {}
    }
}
