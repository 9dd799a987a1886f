//! From facts to lines, one broken thing at a time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::Ipv4Addr;
use std::time::Duration;

use hitless_core::event::{OtherSegment, Waiting};
use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;

use super::*;

const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const IFA_F_PERMANENT: u32 = 0x80;

fn address(last: u8) -> Address {
    Address { flags: IFA_F_PERMANENT, ..Address::new([192, 168, 1, last].into(), 24) }
}

fn leased(last: u8) -> Address {
    Address { flags: 0, valid: Some(Duration::from_secs(3600)), ..address(last) }
}

fn default_via(index: u32) -> Route {
    Route::default_via(Ipv4Addr::new(192, 168, 1, 1).into(), index)
}

fn interface(index: u32, name: &str) -> Interface {
    let settings = Settings { rp_filter: Some(2), arp_ignore: Some(0), ipv6_disabled: Some(true) };
    Interface {
        index,
        name: name.to_owned(),
        up: true,
        loopback: false,
        mac: Some(OWN),
        master: None,
        bonding: None,
        addresses: Vec::new(),
        routes: Vec::new(),
        settings: Ok(settings),
    }
}

fn port(index: u32, name: &str) -> api::Port {
    api::Port {
        name: name.to_owned(),
        index: Some(index),
        link: api::LinkState::Up,
        active: false,
        waiting: None,
        same_segment: true,
        link_failures: 0,
        permanent_mac: None,
        speed_mbps: None,
        duplex: None,
        wifi: None,
    }
}

fn joined() -> Option<api::Wifi> {
    Some(api::Wifi {
        ssid: Some("home".to_owned()),
        bssid: Some("02:00:00:00:01:00".to_owned()),
        signal_dbm: Some(-54),
        state: "joined".to_owned(),
        ..api::Wifi::default()
    })
}

/// bond0 (9) of eth0 (2), the primary and active, and wlan0 (3), beside eth1 (4), which has nothing to do with it.
fn healthy() -> Facts {
    let bond = api::Bond {
        name: "bond0".to_owned(),
        driver: api::Driver::Ebpf,
        mode: "active-backup".to_owned(),
        active: Some("eth0".to_owned()),
        primary: Some("eth0".to_owned()),
        carrier: true,
        mac: Some(OWN.to_string()),
        fail_over_mac: "none".to_owned(),
        fail_over_mac_reason: None,
        same_segment: "require".to_owned(),
        unconfirmed_s: None,
        ports: vec![
            api::Port { active: true, ..port(2, "eth0") },
            api::Port { wifi: joined(), ..port(3, "wlan0") },
        ],
        last_failover: None,
        dhcp: None,
        dhcp6: None,
        dns: None,
    };
    let mut own = interface(9, "bond0");
    own.addresses = vec![address(5)];
    own.routes = vec![default_via(9)];
    let mut stranger = interface(4, "eth1");
    stranger.mac = Some(OTHER);
    Facts {
        bond,
        interfaces: vec![interface(2, "eth0"), interface(3, "wlan0"), stranger, own],
        datapath: Ok(Some(Datapath { attached: vec![2, 3], transmit: vec![2] })),
        clients: Ok(Vec::new()),
        others: Vec::new(),
        heard: BTreeMap::new(),
    }
}

/// The same on Linux bonding.
fn on_bonding() -> Facts {
    let mut facts = healthy();
    facts.bond.driver = api::Driver::Kernel;
    facts.datapath = Ok(None);
    link(&mut facts, "bond0").bonding = Some(Bonding { mode: "active-backup".to_owned(), active: Some(2) });
    for port in ["eth0", "wlan0"] {
        link(&mut facts, port).master = Some(9);
    }
    facts
}

fn link<'a>(facts: &'a mut Facts, name: &str) -> &'a mut Interface {
    facts.interfaces.iter_mut().find(|link| link.name == name).unwrap()
}

fn settings<'a>(facts: &'a mut Facts, name: &str) -> &'a mut Settings {
    link(facts, name).settings.as_mut().unwrap()
}

fn entry<'a>(facts: &'a mut Facts, name: &str) -> &'a mut api::Port {
    facts.bond.ports.iter_mut().find(|port| port.name == name).unwrap()
}

fn client(words: &[&str], here: Option<bool>) -> Seen<Vec<Client>> {
    let words = words.iter().map(ToString::to_string).collect();
    Ok(vec![Client { pid: 42, program: "dhclient".to_owned(), words, here }])
}

fn dhcp(facts: &mut Facts, address: Option<&str>) {
    facts.bond.dhcp = Some(api::Dhcp {
        state: "bound".to_owned(),
        address: address.map(str::to_owned),
        server: None,
        expires_in_s: None,
        renews_in_s: None,
        ntp: Vec::new(),
        hostname: None,
    });
}

fn dhcp6(facts: &mut Facts, state: &str, address: Option<&str>) {
    facts.bond.dhcp6 = Some(api::Dhcp6 {
        state: state.to_owned(),
        address: address.map(str::to_owned),
        prefix: None,
        server: None,
        expires_in_s: None,
        prefix_expires_in_s: None,
        renews_in_s: None,
        ntp: Vec::new(),
    });
}

/// What comes of all lines.
fn outcome(facts: &Facts) -> Verdict {
    Summary::of(checklist(facts).iter()).verdict
}

/// The lines that do not hold, each as its check and verdict.
fn amiss(facts: &Facts) -> Vec<(&'static str, Verdict)> {
    let lines = checklist(facts);
    for line in &lines {
        assert_eq!(line.remedy.is_some(), line.verdict == Verdict::Fails, "{line:?}");
        assert!(!line.seen.is_empty() && line.remedy.as_deref() != Some(""), "{line:?}");
    }
    let amiss = lines.iter().filter(|line| line.verdict != Verdict::Holds);
    amiss.map(|line| (line.check, line.verdict)).collect()
}

fn seen(facts: &Facts, check: &str) -> Line {
    checklist(facts).into_iter().find(|line| line.check == check).unwrap()
}

#[test]
fn all_holds() {
    for facts in [healthy(), on_bonding()] {
        assert_eq!(amiss(&facts), []);
        assert_eq!(outcome(&facts), Verdict::Holds);
    }
}

#[test]
fn all_holds_with_addresses_by_dhcpv6_or_where_there_are_none() {
    let mut facts = healthy();
    dhcp6(&mut facts, "bound", Some("fd00::5"));
    link(&mut facts, "bond0").addresses.push(Address::new("fd00::5".parse().unwrap(), 128));
    assert_eq!(amiss(&facts), []);
    let mut facts = healthy();
    dhcp6(&mut facts, "informed", None);
    assert_eq!(amiss(&facts), []);
}

type Change = fn(&mut Facts);

#[test]
fn one_thing_at_a_time() {
    let changes: &[(&str, Change)] = &[
        ("link", |facts| link(facts, "bond0").up = false),
        ("link", |facts| facts.bond.carrier = false),
        ("driver", |facts| facts.datapath = Ok(None)),
        ("driver", |facts| facts.datapath.as_mut().unwrap().as_mut().unwrap().attached = vec![2]),
        ("driver", |facts| facts.datapath.as_mut().unwrap().as_mut().unwrap().transmit = vec![3]),
        ("active-port", |facts| {
            facts.bond.active = Some("wlan0".to_owned());
            entry(facts, "eth0").active = false;
            entry(facts, "wlan0").active = true;
            facts.datapath.as_mut().unwrap().as_mut().unwrap().transmit = vec![3];
        }),
        ("routes", |facts| link(facts, "wlan0").routes = vec![default_via(3)]),
        ("routes", |facts| {
            link(facts, "eth0").routes = vec![Route::to([10, 0, 0, 0].into(), 8, 2).with_table(77)];
        }),
        ("port-addresses", |facts| link(facts, "eth0").addresses = vec![address(9)]),
        ("port-addresses", |facts| {
            link(facts, "eth0").addresses = vec![Address::new([169, 254, 7, 7].into(), 16)];
        }),
        ("bond-address", |facts| link(facts, "bond0").addresses.clear()),
        ("bond-address", |facts| link(facts, "bond0").addresses.push(address(6))),
        ("bond-address", |facts| dhcp(facts, None)),
        ("bond-address", |facts| dhcp(facts, Some("192.168.1.6"))),
        ("bond-address", |facts| dhcp6(facts, "soliciting", None)),
        ("bond-address", |facts| dhcp6(facts, "bound", Some("fd00::5"))),
        ("bond-address", |facts| {
            dhcp(facts, Some("192.168.1.5"));
            let other = Address { address: [10, 0, 0, 7].into(), ..leased(7) };
            link(facts, "bond0").addresses.push(other);
        }),
        ("dhcp-clients", |facts| facts.clients = client(&["-v", "eth0"], Some(true))),
        ("other-managers", |facts| {
            facts.others = vec![Finding {
                port: "eth0".to_owned(),
                manager: "ifupdown".to_owned(),
                text: "/etc/network/interfaces has a stanza for it".to_owned(),
                remedy: "remove it".to_owned(),
            }];
        }),
        ("dhcp-clients", |facts| {
            dhcp(facts, Some("192.168.1.5"));
            facts.clients = client(&["-ibond0"], Some(true));
        }),
        ("dhcp-clients", |facts| {
            dhcp6(facts, "informed", None);
            facts.clients = client(&["-6", "bond0"], Some(true));
        }),
        ("dhcp-clients", |facts| {
            let mut clients = client(&["bond0"], Some(true)).unwrap();
            clients.push(Client { program: "udhcpc".to_owned(), ..clients[0].clone() });
            facts.clients = Ok(clients);
        }),
        ("mac", |facts| link(facts, "wlan0").mac = Some(OTHER)),
        ("mac", |facts| {
            facts.bond.fail_over_mac = "active".to_owned();
            link(facts, "eth0").mac = Some(OTHER);
        }),
        ("mac", |facts| entry(facts, "eth0").wifi = joined()),
        ("wifi", |facts| entry(facts, "wlan0").wifi = Some(api::Wifi::default())),
        ("wifi", |facts| {
            let wifi = entry(facts, "wlan0").wifi.as_mut().unwrap();
            wifi.blocked = Some("rfkill unblock wifi".to_owned());
        }),
        ("segment", |facts| {
            entry(facts, "wlan0").waiting = Some(Waiting::SameSegment(Vec::new()).to_string());
        }),
        ("rp-filter", |facts| {
            settings(facts, "bond0").rp_filter = Some(1);
            link(facts, "eth1").addresses = vec![address(7)];
        }),
        ("rp-filter", |facts| {
            settings(facts, "bond0").rp_filter = Some(1);
            link(facts, "eth1").routes = vec![default_via(4)];
        }),
        ("arp-ignore", |facts| settings(facts, "bond0").arp_ignore = Some(8)),
        ("ipv6-on-ports", |facts| settings(facts, "wlan0").ipv6_disabled = Some(false)),
    ];
    for (n, (check, change)) in changes.iter().enumerate() {
        let mut facts = healthy();
        change(&mut facts);
        assert_eq!(amiss(&facts), [(*check, Verdict::Fails)], "change {n}");
        assert_eq!(outcome(&facts), Verdict::Fails);
    }
}

#[test]
fn linux_bonding_has_to_agree() {
    let changes: &[Change] = &[
        |facts| link(facts, "bond0").bonding = None,
        |facts| link(facts, "bond0").bonding.as_mut().unwrap().mode = "balance-rr".to_owned(),
        |facts| link(facts, "bond0").bonding.as_mut().unwrap().active = Some(3),
        |facts| link(facts, "wlan0").master = None,
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut facts = on_bonding();
        change(&mut facts);
        assert_eq!(amiss(&facts), [("driver", Verdict::Fails)], "change {n}");
    }
}

#[test]
fn what_is_no_fault() {
    let changes: &[(&[&str], Change)] = &[
        // The cable is out.
        (&["segment", "failures"], |facts| {
            facts.bond.active = Some("wlan0".to_owned());
            let wire = entry(facts, "eth0");
            (wire.active, wire.link, wire.link_failures) = (false, api::LinkState::Down, 1);
            wire.waiting = Some(Waiting::Carrier.to_string());
            entry(facts, "wlan0").active = true;
            facts.datapath.as_mut().unwrap().as_mut().unwrap().transmit = vec![3];
        }),
        // Somebody wants it so.
        (&["active-port"], |facts| {
            facts.bond.active = Some("wlan0".to_owned());
            entry(facts, "eth0").active = false;
            entry(facts, "wlan0").active = true;
            facts.datapath.as_mut().unwrap().as_mut().unwrap().transmit = vec![3];
            let (from, to) = (Some("eth0".to_owned()), Some("wlan0".to_owned()));
            facts.bond.last_failover =
                Some(api::Failover { from, to, cause: api::Cause::Manual, took_us: 1 });
        }),
        // An undocked dock: its interface does not exist.
        (&["segment", "wifi"], |facts| {
            facts.bond.ports[1] = api::Port {
                index: None,
                link: api::LinkState::Down,
                waiting: Some(Waiting::Interface.to_string()),
                ..port(0, "enx0")
            };
        }),
        // Two wires, of which one hears the other.
        (&["wifi"], |facts| {
            entry(facts, "wlan0").wifi = None;
            facts.heard = BTreeMap::from([("wlan0".to_owned(), Ok(true))]);
        }),
        (&["segment"], |facts| facts.bond.same_segment = "off".to_owned()),
        (&["segment"], |facts| {
            facts.bond.same_segment = "warn".to_owned();
            entry(facts, "wlan0").same_segment = false;
        }),
        (&[], |facts| facts.bond.same_segment = "warn".to_owned()),
        (&["bond-address"], |facts| {
            let other = Address { address: [10, 0, 0, 7].into(), ..address(7) };
            link(facts, "bond0").addresses.push(other);
        }),
        // One of a service, which has no network.
        (&["bond-address"], |facts| {
            let service = Address { prefix_len: 32, ..address(7) };
            link(facts, "bond0").addresses.push(service);
        }),
        (&["bond-address"], |facts| {
            let own = link(facts, "bond0");
            own.addresses = vec![Address::new("fd00::5".parse().unwrap(), 64)];
        }),
        (&["bond-address"], |facts| {
            facts.interfaces.push(interface(12, "br0"));
            let own = link(facts, "bond0");
            own.addresses.clear();
            own.master = Some(12);
        }),
        (&["dhcp-clients"], |facts| facts.clients = client(&["[manager]"], Some(true))),
        (&[], |facts| facts.clients = client(&["[network", "proxy]"], Some(true))),
        (&[], |facts| facts.clients = client(&["eth0"], Some(false))),
        (&[], |facts| facts.clients = client(&["eth1"], Some(true))),
        // Nobody but this client asks for an address on the bond.
        (&[], |facts| {
            facts.clients = client(&["bond0"], Some(true));
            link(facts, "bond0").addresses = vec![leased(5)];
        }),
        (&[], |facts| {
            dhcp(facts, Some("192.168.1.5/24"));
            facts.clients = client(&["-6", "bond0"], Some(true));
        }),
        // What every link with IPv6 has is looked at by itself.
        (&[], |facts| {
            let local = "fe80::1".parse().unwrap();
            link(facts, "eth0").addresses = vec![Address::new(local, 64)];
            link(facts, "eth0").routes = vec![Route::to(local, 64, 2).with_protocol(2)];
        }),
        // Each port has its own address.
        (&[], |facts| {
            facts.bond.fail_over_mac = "active".to_owned();
            link(facts, "wlan0").mac = Some(OTHER);
        }),
        // Strict, and harmless: the other default route counts less.
        (&[], |facts| {
            settings(facts, "bond0").rp_filter = Some(1);
            link(facts, "eth1").routes = vec![default_via(4).with_metric(600)];
        }),
    ];
    for (n, (checks, change)) in changes.iter().enumerate() {
        let mut facts = healthy();
        change(&mut facts);
        let expected: Vec<_> = checks.iter().map(|check| (*check, Verdict::Note)).collect();
        assert_eq!(amiss(&facts).len(), expected.len(), "change {n}: {:?}", amiss(&facts));
        for line in expected {
            assert!(amiss(&facts).contains(&line), "change {n}: {line:?} in {:?}", amiss(&facts));
        }
        assert_eq!(outcome(&facts), Verdict::Holds, "change {n}");
    }
}

#[test]
fn what_only_root_may_read() {
    let mut facts = healthy();
    facts.datapath = Err("this needs root".to_owned());
    facts.clients = client(&["eth0"], None);
    link(&mut facts, "wlan0").settings = Err("no".to_owned());
    let unknown = ["driver", "dhcp-clients", "ipv6-on-ports"].map(|check| (check, Verdict::Unknown));
    assert_eq!(amiss(&facts), unknown);
    let summary = Summary::of(checklist(&facts).iter());
    assert_eq!((summary.verdict, summary.fails, summary.unknown), (Verdict::Unknown, 0, 3));
    assert_eq!(summary.holds + summary.notes + summary.unknown, checklist(&facts).len());
    // What is wrong counts more.
    link(&mut facts, "bond0").up = false;
    assert_eq!(outcome(&facts), Verdict::Fails);
}

#[test]
fn where_there_is_nothing_nothing_holds() {
    assert_eq!(Summary::of([].iter()).verdict, Verdict::Fails);
}

/// The daemon compares where one of two is Wi-Fi.
#[test]
fn what_is_known_of_the_segment() {
    let mut facts = healthy();
    assert_eq!(seen(&facts, "segment").seen, "wlan0 and eth0 reach the same network");
    entry(&mut facts, "wlan0").same_segment = false;
    assert_eq!(amiss(&facts), [("segment", Verdict::Unknown)]);
    facts.bond.same_segment = "off".to_owned();
    assert_eq!(seen(&facts, "segment").seen, "wlan0 is not compared with eth0: same-segment is off");
}

#[test]
fn wires_hear_each_other_or_it_is_not_known() {
    let mut facts = healthy();
    facts.bond.ports.push(port(4, "eth1"));
    link(&mut facts, "eth1").mac = Some(OWN);
    facts.datapath = Ok(Some(Datapath { attached: vec![2, 3, 4], transmit: vec![2] }));
    let (active, standbys) = ports::wires(&facts.bond).unwrap();
    assert_eq!((active.name.as_str(), standbys.len(), standbys[0].name.as_str()), ("eth0", 1, "eth1"));
    for (heard, verdict, words) in [
        (Some(Ok(true)), Verdict::Holds, "wlan0 and eth0 reach the same network; eth1 hears what eth0 sends"),
        (Some(Ok(false)), Verdict::Unknown, "eth1 does not hear what eth0 sends"),
        (Some(Err("run as root".to_owned())), Verdict::Unknown, "run as root"),
        (None, Verdict::Unknown, "eth1 has not been compared with eth0"),
    ] {
        facts.heard = heard.into_iter().map(|heard| ("eth1".to_owned(), heard)).collect();
        let line = seen(&facts, "segment");
        assert_eq!(line.verdict, verdict, "{line:?}");
        assert!(line.seen.contains(words), "{line:?}");
    }
}

#[test]
fn a_bond_that_is_not_there() {
    let mut facts = healthy();
    facts.interfaces.pop();
    assert_eq!(amiss(&facts), [("link", Verdict::Fails)]);
}

#[test]
fn a_port_that_is_refused_is_said_once() {
    let mut facts = healthy();
    let failure = hitless_core::event::Failure("it is a port of br0".to_owned());
    entry(&mut facts, "wlan0").waiting = Some(Waiting::Attach(failure).to_string());
    link(&mut facts, "wlan0").addresses = vec![address(9)];
    link(&mut facts, "wlan0").mac = Some(OTHER);
    facts.datapath.as_mut().unwrap().as_mut().unwrap().attached = vec![2];
    assert_eq!(amiss(&facts), [("driver", Verdict::Fails), ("segment", Verdict::Note)]);
    assert!(seen(&facts, "driver").seen.contains("br0"));
}

/// One that is kept out is as it was found, which is right for it.
#[test]
fn a_port_in_another_network() {
    let other = OtherSegment { address: Ipv4Addr::new(192, 168, 1, 1).into(), here: OWN, there: OTHER };
    let cafe = Waiting::Network(Ssid::new(b"cafe").unwrap());
    for (waiting, expected) in [
        (Waiting::OtherSegment(other), vec![("segment", Verdict::Fails)]),
        (cafe, vec![("wifi", Verdict::Note), ("segment", Verdict::Note)]),
    ] {
        let mut facts = healthy();
        entry(&mut facts, "wlan0").waiting = Some(waiting.to_string());
        link(&mut facts, "wlan0").addresses = vec![Address::new([10, 0, 0, 9].into(), 24)];
        link(&mut facts, "wlan0").mac = Some(OTHER);
        settings(&mut facts, "wlan0").ipv6_disabled = Some(false);
        facts.datapath.as_mut().unwrap().as_mut().unwrap().attached = vec![2];
        assert_eq!(amiss(&facts), expected);
    }
}

#[test]
fn stations_that_push_each_other_out() {
    let mut facts = healthy();
    let waiting = Waiting::OwnAccessPoint("eth0".to_owned()).to_string();
    entry(&mut facts, "wlan0").waiting = Some(waiting);
    assert_eq!(amiss(&facts), [("mac", Verdict::Fails), ("segment", Verdict::Note)]);
}

#[test]
fn no_port_at_all() {
    let mut facts = healthy();
    facts.bond.ports.clear();
    facts.bond.active = None;
    facts.bond.carrier = false;
    facts.datapath = Ok(Some(Datapath::default()));
    let fails = |check| (check, Verdict::Fails);
    let note = |check| (check, Verdict::Note);
    assert_eq!(amiss(&facts), [fails("link"), fails("active-port"), note("wifi"), note("segment")]);
}

#[test]
fn all_ports_in_turn() {
    let mut facts = healthy();
    facts.bond.mode = "balance-rr".to_owned();
    facts.bond.active = None;
    facts.bond.primary = None;
    entry(&mut facts, "wlan0").active = true;
    facts.datapath = Ok(Some(Datapath { attached: vec![2, 3], transmit: vec![2, 3, 2] }));
    assert_eq!(amiss(&facts), [("segment", Verdict::Note)]);
    entry(&mut facts, "wlan0").active = false;
    let fails = |check| (check, Verdict::Fails);
    assert_eq!(amiss(&facts), [fails("driver"), fails("active-port"), ("segment", Verdict::Note)]);
}

/// The daemon says in words what a port waits for.
#[test]
fn the_daemons_words_are_recognised() {
    let gateway = Ipv4Addr::new(192, 168, 1, 1).into();
    let other = OtherSegment { address: gateway, here: OWN, there: OTHER };
    let failure = hitless_core::event::Failure("no".to_owned());
    for (waiting, words) in [
        (Waiting::SameSegment(Vec::new()), ports::SAME_SEGMENT),
        (Waiting::SameSegment(vec![gateway]), ports::SAME_SEGMENT),
        (Waiting::OtherSegment(other), ports::OTHER_SEGMENT),
        (Waiting::Attach(failure), ports::ANOTHER_TRY),
        (Waiting::Network(Ssid::new(b"cafe").unwrap()), ports::FOREIGN),
        (Waiting::OwnAccessPoint("wlan0".to_owned()), ports::OWN_ACCESS_POINT),
    ] {
        assert!(waiting.to_string().starts_with(words), "{waiting}");
    }
}

#[test]
fn remedies_are_commands() {
    let remedy = |change: Change, check: &str| {
        let mut facts = healthy();
        change(&mut facts);
        seen(&facts, check).remedy.unwrap()
    };
    let routes = remedy(|facts| link(facts, "eth0").routes = vec![default_via(2).with_metric(50)], "routes");
    assert!(routes.starts_with("ip route del default dev eth0 metric 50, "), "{routes}");
    let address = remedy(|facts| link(facts, "eth0").addresses = vec![address(9)], "port-addresses");
    assert!(address.starts_with("ip address del 192.168.1.9/24 dev eth0, "), "{address}");
    assert_eq!(sysctl("ipv6", "eth0", "disable_ipv6", 1), "sysctl -w net.ipv6.conf.eth0.disable_ipv6=1");
    assert_eq!(sysctl("ipv4", "eth0.7", "rp_filter", 2), "sysctl -w net/ipv4/conf/eth0.7/rp_filter=2");
}
