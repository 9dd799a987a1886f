#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use hitless_linux::address::Address;
use hitless_linux::link::Link;
use hitless_linux::route::Route;

use super::*;
use crate::config::{AddrGenMode, Dhcp4};

const FILE: &str = "hitless.toml";

fn link(name: &str, index: u32) -> Link {
    let last = u8::try_from(index).unwrap();
    Link {
        index,
        name: name.to_owned(),
        alt_names: Vec::new(),
        mac: Some(MacAddr([2, 0, 0, 0, 0, last])),
        permanent_mac: None,
        mtu: 1500,
        admin_up: true,
        carrier: true,
        running: true,
        kind: None,
        master: None,
        master_kind: None,
        link: None,
        link_elsewhere: false,
        vlan_id: None,
        alias: None,
        promisc: false,
        promiscuity: 0,
        allmulti: false,
        loopback: false,
        bond: None,
        bond_port: None,
    }
}

fn port(name: &str, index: u32, addresses: &[&str]) -> InUse {
    InUse {
        link: link(name, index),
        addresses: addresses.iter().map(|text| address(text)).collect(),
        routes: Vec::new(),
        wireless: name.starts_with("wlan"),
        known_network: false,
        client: false,
        client_id: None,
        client_id6: None,
        accept_ra: Some(true),
    }
}

fn address(text: &str) -> Address {
    let (address, prefix_len) = text.split_once('/').unwrap();
    Address::new(address.parse().unwrap(), prefix_len.parse().unwrap())
}

fn lent(mut address: Address) -> Address {
    address.valid = Some(Duration::from_secs(3600));
    address
}

fn default_via(gateway: &str, port: &InUse) -> Route {
    Route::default_via(gateway.parse().unwrap(), port.link.index).with_protocol(4)
}

fn wish(ports: &[InUse]) -> Wish<'_> {
    Wish {
        ports,
        bond: None,
        driver: DriverChoice::Auto,
        session: None,
        network_manager: false,
        taken: &[],
        dns: Dns::default(),
    }
}

fn planned(ports: &[InUse]) -> Plan {
    plan(&wish(ports), "", FILE).unwrap()
}

#[test]
fn what_an_administrator_gave_is_said_as_it_is() {
    let mut eth = port("eth0", 2, &["192.0.2.5/24", "198.51.100.5/24", "2001:db8::5/64", "fe80::1/64"]);
    eth.link.mtu = 9000;
    eth.routes = vec![
        default_via("192.0.2.1", &eth).with_metric(100),
        Route::to("203.0.113.0".parse().unwrap(), 24, 2).via("198.51.100.1".parse().unwrap()),
        Route::to("203.0.113.0".parse().unwrap(), 25, 2).with_table(77),
        default_via("fe80::9", &eth).with_metric(1024),
    ];
    let ports = [eth, port("wlan0", 3, &[])];
    let plan = planned(&ports);
    insta::assert_snapshot!(plan.section, @r#"
    # Made by: hitless adopt eth0 wlan0
    [bond.bond0]
    ports = ["eth0", "wlan0"]
    mac = "02:00:00:00:00:02"

    [bond.bond0.ip]
    address = ["192.0.2.5/24", "198.51.100.5/24", "2001:db8::5/64"]
    gateway = ["192.0.2.1", "fe80::9"]
    metric = 100
    mtu = 9000

    [[bond.bond0.ip.route]]
    to = "203.0.113.0/24"
    via = "198.51.100.1"
    "#);
    assert_eq!((plan.from.as_str(), plan.mac), ("eth0", MacAddr([2, 0, 0, 0, 0, 2])));
    assert_eq!(plan.addresses.len(), 3, "not the one of the link: {:?}", plan.addresses);
    assert_eq!(plan.leased, None);
    let [table, metric, wifi] = plan.notes.as_slice() else { panic!("{:?}", plan.notes) };
    assert!(table.contains("table 77"), "{table}");
    assert!(metric.contains("IPv6 had the metric 1024, and the bond's has 100"), "{metric}");
    assert!(wifi.contains("hitless wifi connect --port wlan0"), "{wifi}");
}

#[test]
fn what_a_server_lent_is_asked_for_again_as_the_same_client() {
    for how in ["a lifetime", "a route", "a client"] {
        let mut eth = port("eth0", 2, &["192.0.2.5/24"]);
        eth.routes = vec![Route::default_via("192.0.2.1".parse().unwrap(), 2).with_protocol(3)];
        match how {
            "a lifetime" => eth.addresses = vec![lent(address("192.0.2.5/24"))],
            "a route" => {
                eth.routes = vec![Route::default_via("192.0.2.1".parse().unwrap(), 2).with_protocol(16)];
            }
            _ => eth.client = true,
        }
        let plan = planned(&[eth]);
        assert_eq!(
            plan.section,
            "# Made by: hitless adopt eth0\n[bond.bond0]\nports = [\"eth0\"]\nmac = \"02:00:00:00:00:02\"\n\n[bond.bond0.ip]\ndhcp4 = true\n\
             client-id = \"mac\"\nchaddr = \"02:00:00:00:00:02\"\n",
            "{how}"
        );
        assert_eq!(plan.leased, Some([192, 0, 2, 5].into()));
        assert!(matches!(plan.bond.ip.dhcp4, Dhcp4::On(_)));
        assert_eq!(plan.gateways, [IpAddr::from([192, 0, 2, 1])]);
    }
}

#[test]
fn what_was_lent_and_what_was_given_are_told_apart() {
    let mut eth = port("eth0", 2, &["198.51.100.5/24", "192.0.2.6/24"]);
    eth.addresses.push(lent(address("192.0.2.5/24")));
    eth.addresses.push(lent(address("2001:db8::7/128")));
    eth.client_id = Some(vec![0xff, 0, 0, 0, 1, 0, 3, 0, 1, 2, 0, 0, 0, 0, 2]);
    eth.routes = vec![
        Route::default_via("192.0.2.1".parse().unwrap(), 2).with_protocol(16).with_metric(100),
        Route::to("203.0.113.0".parse().unwrap(), 24, 2)
            .via("198.51.100.1".parse().unwrap())
            .with_protocol(4),
        // Of a routing daemon, which makes it again.
        Route::to("203.0.113.128".parse().unwrap(), 25, 2).with_protocol(186),
    ];
    eth.accept_ra = Some(false);
    let wlan = InUse { addresses: vec![lent(address("192.0.2.9/24"))], ..port("wlan0", 3, &[]) };
    let plan = planned(&[eth, wlan]);
    insta::assert_snapshot!(plan.section, @r#"
    # Made by: hitless adopt eth0 wlan0
    [bond.bond0]
    ports = ["eth0", "wlan0"]
    mac = "02:00:00:00:00:02"

    [bond.bond0.ip]
    address = ["198.51.100.5/24", "192.0.2.6/24"]
    metric = 100
    dhcp4 = true
    client-id = "ff:00:00:00:01:00:03:00:01:02:00:00:00:00:02"
    chaddr = "02:00:00:00:00:02"
    dhcp6 = true
    accept-ra = false

    [[bond.bond0.ip.route]]
    to = "203.0.113.0/24"
    via = "198.51.100.1"
    "#);
    assert_eq!(plan.leased, Some([192, 0, 2, 5].into()));
    assert!(plan.notes[0].starts_with("192.0.2.9 of wlan0 was lent"), "{:?}", plan.notes);
}

#[test]
fn what_routers_advertise_goes_on_being_listened_to() {
    let mut eth = port("eth0", 2, &["192.0.2.5/24"]);
    eth.addresses.push(lent(address("2001:db8::5/64")));
    assert_eq!(planned(&[eth]).bond.ip.accept_ra, Some(true));
    let mut eth = port("eth0", 2, &["192.0.2.5/24"]);
    eth.routes.push(default_via("fe80::1", &eth).with_protocol(9));
    assert_eq!(planned(&[eth]).bond.ip.accept_ra, Some(true));
}

#[test]
fn name_servers_go_along_where_nobody_tells_of_them_any_more() {
    let dns = Dns { servers: vec![[192, 0, 2, 1].into()], search: vec!["home.arpa".to_owned()] };
    let mut ports = [port("eth0", 2, &["192.0.2.5/24"])];
    let planned = plan(&Wish { dns: dns.clone(), ..wish(&ports) }, "", FILE).unwrap();
    assert_eq!((planned.bond.ip.dns, planned.bond.ip.search), (dns.servers.clone(), dns.search.clone()));
    ports[0].client = true;
    let planned = plan(&Wish { dns, ..wish(&ports) }, "", FILE).unwrap();
    assert!(planned.bond.ip.dns.is_empty(), "the server tells of them");
}

#[test]
fn the_interface_in_use_is_the_one_of_the_session_or_of_the_best_route() {
    let mut ports = [port("eth0", 2, &["192.0.2.5/24"]), port("wlan0", 3, &["192.0.2.6/24"])];
    assert_eq!(planned(&ports).from, "eth0");
    ports[0].routes = vec![default_via("192.0.2.1", &ports[0]).with_metric(600)];
    ports[1].routes = vec![default_via("192.0.2.1", &ports[1]).with_metric(100)];
    assert_eq!(planned(&ports).from, "wlan0");
    let by = |session: &str| Wish { session: Some(session.parse().unwrap()), ..wish(&ports) };
    assert_eq!(plan(&by("192.0.2.5:22"), "", FILE).unwrap().from, "eth0");
    assert_eq!(plan(&by("127.0.0.1:22"), "", FILE).unwrap().from, "wlan0", "it needs no interface");
    let elsewhere = plan(&by("198.51.100.5:22"), "", FILE).unwrap();
    assert_eq!(elsewhere.from, "wlan0");
    assert!(elsewhere.notes[0].contains("of none of these interfaces"), "{:?}", elsewhere.notes);
    let ports = [port("eth0", 2, &["192.0.2.5/24", "fe80::1/64"])];
    let by_link = Wish { session: Some("[fe80::1]:22".parse().unwrap()), ..wish(&ports) };
    assert!(matches!(plan(&by_link, "", FILE), Err(PlanError::LinkLocal(_))));
}

#[test]
fn wifi_that_networkmanager_has_joined_is_not_cut_off() {
    let ports = [port("wlan0", 3, &["192.0.2.6/24"])];
    let managed = Wish { network_manager: true, ..wish(&ports) };
    let error = plan(&managed, "", FILE).unwrap_err();
    assert!(error.to_string().contains("[[wifi.wlan0.network]] into hitless.toml"), "{error}");
    let known = "[[wifi.wlan0.network]]\nssid = \"home\"\nsecurity = \"open\"\n";
    assert_eq!(plan(&managed, known, FILE).unwrap().notes, [""; 0]);
}

#[test]
fn there_has_to_be_something_to_adopt() {
    let error = plan(&wish(&[]), "", FILE).unwrap_err();
    assert!(matches!(error, PlanError::NoPorts), "{error}");
    let error = plan(&wish(&[port("eth0", 2, &["fe80::1/64"])]), "", FILE).unwrap_err();
    assert!(matches!(error, PlanError::NotInUse { .. }), "{error}");
    let mut tunnel = port("tun0", 2, &["192.0.2.5/24"]);
    tunnel.link.mac = None;
    let error = plan(&wish(&[tunnel]), "", FILE).unwrap_err();
    assert!(error.to_string().starts_with("tun0 cannot be a port"), "{error}");
}

#[test]
fn the_name_is_free_and_the_rest_of_the_file_goes_with_it() {
    let ports = [port("eth0", 2, &["192.0.2.5/24"])];
    let taken = ["bond0".to_owned()];
    let text = "# mine\n[bond.bond1]\nports = [\"eth7\"]\n\n\n";
    let planned = plan(&Wish { taken: &taken, ..wish(&ports) }, text, FILE).unwrap();
    assert_eq!(planned.bond.name, "bond2");
    assert_eq!(planned.config.bonds.len(), 2);
    let error = plan(&Wish { bond: Some("bond1"), ..wish(&ports) }, text, FILE).unwrap_err();
    assert!(error.to_string().contains("bond1"), "{error}");
    let error = plan(&wish(&ports), "[bond.bond1]\nports = [\"eth0\"]\n", FILE).unwrap_err();
    assert!(matches!(error, PlanError::Section { .. }), "a port of two bonds: {error}");
}

#[test]
fn a_section_is_added_to_the_file_as_it_is() {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::tempdir().unwrap();
    let section = planned(&[port("eth0", 2, &["192.0.2.5/24"])]).section;
    let path = directory.path().join("etc/hitless.toml");
    write(&path, &section).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), section);

    let link = directory.path().join("link.toml");
    fs::write(&path, "# mine\n[bond.bond1]\nports = [\"eth7\"] # dock\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    write(&link, &section).unwrap();
    assert!(link.is_symlink());
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, format!("# mine\n[bond.bond1]\nports = [\"eth7\"] # dock\n\n{section}"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);

    let error = write(&path, &section).unwrap_err();
    assert!(matches!(error, WriteError::Config(_)), "it is there already: {error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
}

/// Made of 02:00:00:00:00:02, the hardware address of eth0.
const EUI64: &str = "2001:db8::ff:fe00:2/64";

fn temporary(mut address: Address) -> Address {
    address.flags |= 0x01; // IFA_F_TEMPORARY
    address
}

#[test]
fn addresses_made_of_the_hardware_address_go_on_being_made() {
    let in_use = |eth: Vec<Address>, wlan: Vec<Address>| {
        let eth = InUse { addresses: eth, ..port("eth0", 2, &[]) };
        plan(
            &Wish {
                session: Some("192.0.2.5:22".parse().unwrap()),
                ..wish(&[eth, InUse { addresses: wlan, known_network: true, ..port("wlan0", 3, &[]) }])
            },
            "",
            FILE,
        )
        .unwrap()
    };
    let v4 = address("192.0.2.5/24");
    let made = in_use(vec![v4.clone(), lent(address(EUI64))], vec![]);
    assert!(made.section.contains("accept-ra = true\naddr-gen-mode = \"eui64\"\n"), "{}", made.section);
    assert_eq!((made.bond.ip.addr_gen_mode, made.notes), (Some(AddrGenMode::Eui64), vec![]));
    for (eth, wlan) in [
        (vec![address(EUI64)], vec![]),
        (vec![lent(address("2001:db8::ff:fe00:3/64"))], vec![]),
        (vec![lent(address("2001:db8::ff:fe00:2/128"))], vec![]),
        (vec![], vec![lent(address(EUI64))]),
    ] {
        let planned = in_use([vec![v4.clone()], eth].concat(), wlan);
        assert_eq!(planned.bond.ip.addr_gen_mode, None, "{}", planned.section);
        let is_static = planned.section.contains("\"2001:db8::ff:fe00:2/64\"");
        assert_eq!(planned.notes.is_empty(), is_static, "{:?}", planned.notes);
    }
}

#[test]
fn addresses_that_the_bond_only_has_until_they_end_are_named() {
    let mut eth = port("eth0", 2, &["192.0.2.5/24"]);
    eth.addresses.push(lent(address("2001:db8::5/64")));
    eth.addresses.push(temporary(lent(address("2001:db8::6/64"))));
    eth.addresses.push(lent(address("2001:db8::7/128")));
    let ports = [eth];
    let made = "2001:db8::5 of eth0 was made of what routers advertise, and the bond makes another one; this one ends in \
                3600 s";
    let given = "2001:db8::7 of eth0 was lent by DHCPv6 to somebody whom the bond cannot pass for: it is lent another one; \
                 this one ends in 3600 s";
    let session = format!("{}, and the session that goes by it", made.replace("::5", "::6"));
    for (by, expected) in
        [("192.0.2.5:22", &[made, given] as &[&str]), ("[2001:db8::6]:22", &[made, session.as_str(), given])]
    {
        let planned = plan(&Wish { session: Some(by.parse().unwrap()), ..wish(&ports) }, "", FILE).unwrap();
        assert_eq!(planned.notes, expected);
    }
}

#[test]
fn dhcpv6_is_asked_as_the_same_client_where_one_identity_serves_both() {
    let id = |last| Some(vec![0xff, 0, 0, 0, 1, 0, 3, 0, 1, 2, 0, 0, 0, 0, last]);
    let [one, two] = [2, 3].map(|last| format!("\"ff:00:00:00:01:00:03:00:01:02:00:00:00:00:{last:02x}\""));
    for (by_dhcp4, client_id, client_id6, expected, same) in [
        (true, id(2), id(2), Some(one.as_str()), true),
        (true, id(2), id(3), Some(&one), false),
        (true, id(2), None, Some(&one), false),
        (true, None, id(3), Some("\"mac\""), false),
        (false, None, id(3), Some(&two), true),
        (false, id(2), id(3), Some(&two), true),
        (false, None, None, None, false),
    ] {
        let v4 = address("192.0.2.5/24");
        let mut eth = InUse { client_id, client_id6, ..port("eth0", 2, &[]) };
        eth.addresses = vec![if by_dhcp4 { lent(v4) } else { v4 }, lent(address("2001:db8::7/128"))];
        let planned = planned(&[eth]);
        let said = planned.section.lines().find_map(|line| line.strip_prefix("client-id = "));
        assert_eq!(
            (said, planned.notes.is_empty()),
            (expected, same),
            "{:?}\n{}",
            planned.notes,
            planned.section
        );
        assert!(planned.bond.ip.dhcp6.is_some());
    }
    let mut ports = [port("eth0", 2, &["192.0.2.5/24"]), port("wlan0", 3, &[])];
    ports[0].client_id6 = id(2);
    ports[1].known_network = true;
    ports[1].addresses = vec![lent(address("2001:db8::7/128"))];
    assert_eq!(planned(&ports).notes.len(), 1, "that client was another one");
}

#[test]
fn every_default_route_that_cannot_be_said_is_named() {
    let on = |number: u32, metric: u32| {
        let mut port = port(&format!("eth{number}"), number, &[&format!("192.0.{number}.5/24")]);
        port.routes = vec![default_via(&format!("192.0.{number}.1"), &port).with_metric(metric)];
        port
    };
    for metrics in [[200, 100], [100, 200]] {
        let ports = [on(2, metrics[0]), on(3, metrics[1])];
        let planned = planned(&ports);
        let [best, other] = if metrics[0] < metrics[1] { [2, 3] } else { [3, 2] };
        assert!(planned.section.contains(&format!("gateway = [\"192.0.{best}.1\"]\nmetric = 100\n")));
        let [note] = planned.notes.as_slice() else { panic!("{:?}", planned.notes) };
        assert!(note.starts_with(&format!("a default route (via 192.0.{other}.1) is moved")), "{note}");
    }
}

#[test]
fn one_metric_serves_both_families_and_what_it_changes_is_named() {
    let by = |session: &str| session.parse().unwrap();
    for (four, six, session, said, changed) in [
        (0, 1024, "192.0.2.5:22", None, None),
        (100, 100, "192.0.2.5:22", Some(100), None),
        (100, 1024, "192.0.2.5:22", Some(100), Some("of IPv6 had the metric 1024, and the bond's has 100:")),
        (0, 512, "192.0.2.5:22", None, Some("of IPv6 had the metric 512, and the bond's has 1024:")),
        (0, 512, "[2001:db8::5]:22", Some(512), Some("of IPv4 had the metric 0, and the bond's has 512:")),
        (100, 1024, "[2001:db8::5]:22", None, Some("of IPv4 had the metric 100, and the bond's has 0:")),
    ] {
        let mut eth = port("eth0", 2, &["192.0.2.5/24", "2001:db8::5/64"]);
        let mut routes = |protocol| {
            let four = default_via("192.0.2.1", &eth).with_metric(four).with_protocol(protocol);
            eth.routes = vec![four, default_via("fe80::9", &eth).with_metric(six)];
            plan(&Wish { session: Some(by(session)), ..wish(std::slice::from_ref(&eth)) }, "", FILE).unwrap()
        };
        // Given by an administrator, and by a server.
        for planned in [routes(4), routes(16)] {
            assert_eq!(planned.bond.ip.metric, said, "{}", planned.section);
            match changed {
                None => assert_eq!(planned.notes, [""; 0]),
                Some(words) => assert!(planned.notes[0].contains(words), "{:?}", planned.notes),
            }
        }
    }
}

#[test]
fn name_servers_go_along_with_ipv6_alone() {
    let dns = Dns { servers: vec!["2001:db8::53".parse().unwrap()], search: vec!["home.arpa".to_owned()] };
    for (addresses, go_along) in [
        (vec![address("2001:db8::5/64")], true),
        (vec![lent(address(EUI64))], true),
        (vec![address("2001:db8::5/64"), lent(address("2001:db8::7/128"))], true),
        (vec![lent(address("2001:db8::7/128"))], false),
    ] {
        let ports = [InUse { addresses, ..port("eth0", 2, &[]) }];
        let planned = plan(&Wish { dns: dns.clone(), ..wish(&ports) }, "", FILE).unwrap();
        let ip = planned.bond.ip;
        assert_eq!(
            (ip.dns == dns.servers, ip.search == dns.search),
            (go_along, go_along),
            "{}",
            planned.section
        );
    }
}

#[test]
fn ports_with_hardware_addresses_of_their_own_are_worth_a_note() {
    let mut eth = port("eth0", 2, &["192.0.2.5/24"]);
    let plain = planned(std::slice::from_ref(&eth));
    let other = MacAddr([2, 0, 0, 0, 0, 9]);
    assert_eq!(
        plain.note_of_own_macs("it has two Wi-Fi ports", other),
        "each port keeps its own hardware address, and the bond has that of the active one: 02:00:00:00:00:09 now, not \
         02:00:00:00:00:02 (it has two Wi-Fi ports)"
    );
    assert!(plain.note_of_own_macs("so", plain.mac).contains("which changes at a failover (so)"));
    eth.addresses.push(lent(address(EUI64)));
    assert!(
        planned(&[eth])
            .note_of_own_macs("so", other)
            .ends_with("; IPv6 addresses that are made of it change with it")
    );
}
