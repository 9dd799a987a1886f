#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::event::events;
use super::genl::{CONTROL, message, messages};
use super::message::{associated_ssid, interface, power_save, station};
use super::*;

/// What the messages in the fixtures are of.
const FAMILY: u16 = 32;
const INDEX: u32 = 2;
const FIRST: MacAddr = MacAddr([2, 0, 0, 0, 1, 0]);
const SECOND: MacAddr = MacAddr([2, 0, 0, 0, 2, 0]);

/// The messages in a fixture, one per line, as they came from Linux 6.1 with mac80211_hwsim and wpa_supplicant.
fn fixture(text: &str) -> Vec<Vec<u8>> {
    let octets = |line: &str| {
        let octet = |at| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
        (0..line.len()).step_by(2).map(octet).collect()
    };
    text.lines().filter(|line| !line.starts_with('#')).map(octets).collect()
}

/// What this reads from the one message of a fixture.
fn read<T>(text: &str, read: impl Fn(&Message<'_>) -> T) -> T {
    let [octets] = fixture(text).try_into().expect("one message");
    let netlink = messages(&octets).next().unwrap();
    read(&message(&netlink).unwrap())
}

fn station_fixture() -> AccessPoint {
    read(include_str!("fixtures/station.hex"), |message| AccessPoint::read(message.attributes)).unwrap()
}

#[test]
fn the_family_and_its_groups() {
    let text = include_str!("fixtures/family.hex");
    let family = read(text, |message| Family::named(NL80211, message)).unwrap();
    assert_eq!(family.id, FAMILY);
    let groups = ["config", "scan", "regulatory", "mlme", "no such group"].map(|name| family.group(name));
    let [Some(config), Some(scan), Some(regulatory), Some(mlme), None] = groups else { panic!("{groups:?}") };
    assert_eq!([scan, regulatory, mlme].map(|group| group - config), [1, 2, 3]);
    assert_eq!(read(text, |message| Family::named("nl8021", message)), None);
}

/// The control family is on every kernel.
#[test]
fn requests_to_the_kernel() {
    let mut connection = Connection::open().unwrap();
    let control = connection.family("nlctrl").unwrap().unwrap();
    assert_eq!((control.id, control.group("notify")), (CONTROL, Some(u32::from(CONTROL))));
    assert_eq!(connection.family("no-such-family").unwrap(), None);
    let mut ask = |command| connection.exchange(CONTROL, command, Ask::One, &[], |_| {});
    assert_eq!(ask(0xff), Err(Cause::errno(Errno::EOPNOTSUPP)));
    // CTRL_CMD_GETFAMILY without saying which.
    assert!(matches!(ask(3), Err(Cause::Kernel { errno: Errno::EINVAL, .. })));
    let error = connection.exchange(0x0fff, 1, Ask::One, &[], |_| {});
    assert_eq!(error, Err(Cause::errno(Errno::ENOENT)), "no such family");
}

#[test]
fn a_station_that_is_associated() {
    let interface =
        read(include_str!("fixtures/interface.hex"), |message| interface(message.attributes)).unwrap();
    // A supplicant looks after it, so that the kernel does not say the network's name here.
    let expected = Interface { kind: InterfaceKind::Station, ssid: None, frequency_mhz: Some(2412) };
    assert_eq!(interface, expected);
    let station = station(interface, Some(station_fixture()));
    assert_eq!(station.association, Some(Association { ssid: None, bssid: FIRST }));
    assert_eq!(station.reception, Reception { signal_dbm: Some(-30), rate_mbps: Some(48) });
    assert_eq!(station.authorized, Some(true));
    assert_eq!(station.beacon_interval, Some(Duration::from_micros(102_400)));
    assert_eq!(station.frequency_mhz, Some(2412));
}

#[test]
fn the_network_that_a_station_is_associated_with() {
    let octets = fixture(include_str!("fixtures/scan.hex")).concat();
    let found: Vec<_> = messages(&octets)
        .filter_map(|netlink| message(&netlink))
        .map(|message| associated_ssid(message.attributes))
        .collect();
    assert_eq!(found, [Ssid::new("home"), None]);
}

#[test]
fn a_network_that_keeps_its_name_to_itself() {
    let bss = |elements: &[u8]| {
        let bss = [attribute(6, elements), attribute(9, &1_u32.to_ne_bytes())].concat();
        associated_ssid(&attribute(47, &bss))
    };
    assert_eq!(bss(&[1, 2, 7, 7, 0, 3, b'a', b'b', b'c', 0, 1, b'x']), Ssid::new("abc"));
    assert_eq!(bss(&[0, 0]), None);
    assert_eq!(bss(&[0, 3, 0, 0, 0]), None);
    assert_eq!(bss(&[0, 3, b'a', b'b']), None);
    assert_eq!(bss(&[0]), None);
}

#[test]
fn a_station_that_is_not() {
    let alone = Interface { kind: InterfaceKind::Station, ssid: None, frequency_mhz: None };
    assert_eq!(station(alone.clone(), None), Station::default());
    // It has only begun to talk to the access point.
    let joining = AccessPoint { associated: Some(false), ..station_fixture() };
    assert_eq!(station(alone, Some(joining)).association, None);
}

/// An attribute as the kernel writes it.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap();
    let mut octets = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    octets.extend(value);
    octets.resize(octets.len().next_multiple_of(4), 0);
    octets
}

#[test]
fn rates_beyond_the_old_attribute() {
    let info = |rate: &[Vec<u8>]| {
        let info = attribute(21, &attribute(8, &rate.concat()));
        let access_point = AccessPoint::read(&[attribute(6, &FIRST.0), info].concat()).unwrap();
        access_point.reception.rate_mbps
    };
    let (old, new) =
        (|rate: u16| attribute(1, &rate.to_ne_bytes()), |rate: u32| attribute(5, &rate.to_ne_bytes()));
    assert_eq!(info(&[new(115_294), old(0)]), Some(11_529));
    assert_eq!(info(&[old(0), new(115_294)]), Some(11_529));
    assert_eq!(info(&[old(540)]), Some(54));
    assert_eq!(info(&[new(55), old(55)]), Some(5));
    assert_eq!(info(&[old(0)]), None);
    assert_eq!(info(&[]), None);
}

#[test]
fn a_direct_link_is_no_access_point() {
    let flags = [0x46_u32, 0x42].map(u32::to_ne_bytes).concat();
    let peer = [attribute(6, &FIRST.0), attribute(21, &attribute(17, &flags))].concat();
    assert_eq!(AccessPoint::read(&peer), None);
}

#[test]
fn power_saving() {
    assert_eq!(power_save(&attribute(93, &1_u32.to_ne_bytes())), Some(true));
    assert_eq!(power_save(&attribute(93, &0_u32.to_ne_bytes())), Some(false));
    assert_eq!(power_save(&[]), None);
}

/// Association, roaming to the second access point, thrown out by it and back to the first, whose interface then goes down,
/// to the second, rfkill on and off, and at last a disconnection that was asked for and taken back.
#[test]
fn what_happens_in_order() {
    let octets: Vec<u8> = fixture(include_str!("fixtures/events.hex")).concat();
    let joins = |bssid| {
        [
            WirelessEvent::Joining { index: INDEX, bssid },
            WirelessEvent::Connected { index: INDEX, bssid: Some(bssid) },
            WirelessEvent::SignalCrossed { index: INDEX, below: false, dbm: Some(-30) },
        ]
    };
    let leaves = |bssid, reason, by_peer| {
        [
            WirelessEvent::Left { index: INDEX, bssid },
            WirelessEvent::Farewell { index: INDEX, reason, by_peer },
            WirelessEvent::Disconnected { index: INDEX, reason: Some(reason), by_peer },
        ]
    };
    let mut expected = joins(FIRST).to_vec();
    expected.extend(leaves(FIRST, 1, false));
    expected.extend(joins(SECOND));
    expected.extend(leaves(SECOND, 2, true));
    expected.extend(joins(FIRST));
    expected.push(WirelessEvent::BeaconLoss { index: INDEX });
    expected.extend(leaves(FIRST, 4, false));
    expected.extend(joins(SECOND));
    expected.extend(leaves(SECOND, 3, false));
    expected.extend(joins(FIRST));
    expected.extend(leaves(FIRST, 3, false));
    expected.extend(joins(FIRST));
    assert_eq!(events(FAMILY, &octets), expected);
    assert_eq!(events(FAMILY + 1, &octets), []);
}

proptest! {
    /// Whatever is not as it should be is left out.
    #[test]
    fn nothing_that_is_read_makes_it_panic(
        octets in proptest::collection::vec(any::<u8>(), 0..200),
        cut in 0_usize..3000,
        at in 0_usize..3000,
        octet: u8,
    ) {
        try_all(&octets);
        for text in [
            include_str!("fixtures/events.hex"),
            include_str!("fixtures/family.hex"),
            include_str!("fixtures/interface.hex"),
            include_str!("fixtures/scan.hex"),
            include_str!("fixtures/station.hex"),
        ] {
            let mut octets = fixture(text).concat();
            octets.truncate(cut);
            if let Some(changed) = octets.get_mut(at) {
                *changed = octet;
            }
            try_all(&octets);
        }
    }
}

fn try_all(octets: &[u8]) {
    events(FAMILY, octets);
    let netlink: Vec<_> = messages(octets).collect();
    for message in netlink.iter().filter_map(message) {
        Family::named(NL80211, &message);
        interface(message.attributes);
        AccessPoint::read(message.attributes);
        associated_ssid(message.attributes);
        power_save(message.attributes);
    }
}
