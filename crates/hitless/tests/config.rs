//! The configuration: what is accepted, and how errors are told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use hitless::config::{
    AddrGenMode, Arguments, ClientId, Config, Dhcp4, DhcpConfig, DriverChoice, MacChoice, RouteConfig,
    Warning, parse, secret,
};
use hitless::wifi::network::{EapMethod, Manage, Network, Secret, SecretSource, Security};
use hitless_core::config::{
    BondConfig, Evidence, FailOverMac, Failback, Mode, PortOptions, PortPattern, PrimaryReselect, SameSegment,
};
use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;
use insta::assert_snapshot;
use proptest::prelude::*;

const EXAMPLE: &str = include_str!("../../../docs/hitless.toml");

fn valid(text: &str) -> Config {
    parse(text, "hitless.toml").unwrap_or_else(|report| panic!("{report}"))
}

fn errors(text: &str) -> String {
    match parse(text, "hitless.toml") {
        Ok(config) => panic!("accepted: {config:?}"),
        Err(report) => report.to_string(),
    }
}

/// Lines of one bond with two ports.
fn bond_errors(lines: &str) -> String {
    errors(&format!("[bond.bond0]\nports = [\"eth0\", \"wlan0\"]\n{lines}\n"))
}

#[test]
fn the_least_there_can_be_and_its_defaults() {
    let config = valid("[bond.bond0]\nports = [\"eth0\", \"en*\"]");
    let patterns = vec![PortPattern::new("eth0"), PortPattern::new("en*")];
    let [bond] = config.bonds.as_slice() else { panic!("{config:?}") };
    assert_eq!((bond.name.as_str(), bond.driver), ("bond0", DriverChoice::Auto));
    assert_eq!(
        bond.options,
        BondConfig { ports: patterns.clone(), primary: Some(patterns[0].clone()), ..BondConfig::default() }
    );
    assert_eq!(bond.options.miimon, Duration::from_millis(10));
    assert_eq!(bond.fail_over_mac, MacChoice::Auto);
    assert_eq!(bond.ip.addresses, []);
    assert!(config.wifi.is_empty());
}

#[test]
fn every_option() {
    let config = valid(
        r#"
        [bond.b]
        driver = "kernel"
        mode = "failover"
        ports = ["eth0", "eth1"]
        primary = "none"
        primary-reselect = "failure"
        failback = "proven"
        failback-timeout = 30_000
        miimon = 0x64
        updelay = 200
        downdelay = 300
        fail-over-mac = "active"
        min-links = 2
        num-peer-notif = 3
        peer-notif-delay = 400
        arp-interval = 500
        arp-ip-target = "10.0.0.1"
        ns-ip6-target = ["fe80::1", "2001:db8::1"]
        arp-missed-max = 4
        arp-validate = "filter-active"
        arp-all-targets = "all"
        resend-igmp = 5
        all-slaves-active = true
        use-carrier = false
        ssid-allow = ["home", "Café"]
        same-segment = "warn"
        signal-min = -75
        signal-hysteresis = 7
        roam-grace = 500
        port.eth1 = { prio = -10, queue-id = 2 }
        [bond.b.ip]
        address = ["10.0.0.5/24", "2001:db8::5/64"]
        gateway = ["10.0.0.1", "fe80::1"]
        mtu = 9000
        "#,
    );
    let bond = config.bond("b").unwrap();
    let options = &bond.options;
    assert_eq!(bond.driver, DriverChoice::Kernel);
    assert_eq!(options.primary, None);
    assert_eq!(options.primary_reselect, PrimaryReselect::Failure);
    assert_eq!(options.failback, Failback::Proven { timeout: Some(Duration::from_secs(30)) });
    let times = [
        options.miimon,
        options.updelay,
        options.downdelay,
        options.peer_notif_delay,
        options.probes.interval,
    ];
    assert_eq!(times.map(|time| time.as_millis()), [100, 200, 300, 400, 500]);
    assert_eq!(
        (options.fail_over_mac, bond.fail_over_mac),
        (FailOverMac::Active, MacChoice::Fixed(FailOverMac::Active))
    );
    assert_eq!(options.ssid_allow, ["home", "Café"].map(|name| Ssid::new(name).unwrap()));
    assert_eq!(options.same_segment, SameSegment::Warn);
    assert_eq!((options.signal_min, options.signal_hysteresis), (Some(-75), 7));
    assert_eq!(options.roam_grace, Duration::from_millis(500));
    assert_eq!((options.min_links, options.num_peer_notif, options.resend_igmp), (2, 3, 5));
    assert!(options.all_slaves_active && options.probes.all_targets && !options.use_carrier);
    assert_eq!((options.probes.arp_targets.len(), options.probes.ns_targets.len()), (1, 2));
    assert_eq!(options.probes.missed_max, 4);
    assert_eq!(
        (options.probes.validate.active, options.probes.validate.backup),
        (Evidence::Target, Evidence::Probe)
    );
    assert_eq!(options.port("eth1"), PortOptions { prio: -10, queue_id: 2 });
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(bond.ip.addresses, [(ip("10.0.0.5"), 24), (ip("2001:db8::5"), 64)]);
    assert_eq!(bond.ip.gateways, [ip("10.0.0.1"), ip("fe80::1")]);
    assert_eq!(bond.ip.mtu, Some(9000));
}

#[test]
fn bonds_keep_their_order() {
    let config = valid("[bond.z]\nports = [\"eth1\"]\n[bond.a]\nports = [\"eth0\"]");
    assert_eq!(config.bonds.iter().map(|bond| bond.name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
}

/// The example as it stands, and with every option in it switched on: the comments state the defaults.
#[test]
fn the_example_is_valid_and_its_comments_are_true() {
    let example = valid(EXAMPLE);
    let switched_on: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(option) if !option.starts_with(' ') => format!("{option}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let all = valid(&switched_on);
    let defaults: String = EXAMPLE
        .split_inclusive("\n")
        .scan(false, |for_example, line| {
            let option =
                line.strip_prefix('#').filter(|option| option.starts_with(|c: char| c.is_alphabetic()));
            let shown = match option {
                Some(option) if !*for_example => option,
                _ => line,
            };
            // What follows an example is one, too, up to an empty line.
            *for_example = line.contains("or example:") || (*for_example && !line.trim().is_empty());
            Some(shown)
        })
        .collect();
    assert_eq!(valid(&defaults), example);
    assert_ne!(all, example);
    assert_eq!(all.bonds[0].options.miimon, example.bonds[0].options.miimon);
}

#[test]
fn the_example_names_every_key() {
    // The list of known keys is part of the message.
    for (text, at_least) in [
        ("[bond.b]\nxxxxxxx = 1\nports = \"e\"", 30),
        ("[bond.b.port.e]\nxxxxxxx = 1", 2),
        ("[bond.b.ip]\nxxxxxxx = 1", 13),
        ("[bond.b]\n[[bond.b.ip.route]]\nxxxxxxx = 1", 3),
        ("[bond.b]\n[wifi.w]\nxxxxxxx = 1", 3),
        ("[bond.b]\n[[wifi.w.network]]\nxxxxxxx = 1", 18),
    ] {
        let report = parse(text, "x").unwrap_err();
        let help = report.problems().iter().flat_map(|problem| &problem.help);
        let known = help.filter_map(|help| help.strip_prefix("known keys: ")).next().expect("the list");
        assert!(known.split(", ").count() >= at_least, "{known}");
        for key in known.split(", ") {
            let is_there = EXAMPLE.lines().any(|line| {
                let headers = [
                    format!("[bond.bond0.{key}"),
                    format!("[[bond.bond0.ip.{key}]]"),
                    format!("[[wifi.wlan0.{key}]]"),
                ];
                // In a comment, too: a network cannot have all keys at once.
                line.trim_start_matches('#').starts_with(&format!("{key} ="))
                    || line.contains(&format!(" {key} = "))
                    || headers.iter().any(|header| line.trim_start_matches('#').starts_with(header))
            });
            assert!(is_there, "docs/hitless.toml does not have {key}");
        }
    }
}

#[test]
fn not_even_toml() {
    assert_snapshot!(errors("[bond.bond0\nports = [\"eth0\"]\n"));
    assert_snapshot!(errors("[bond.bond0]\nports = [\"eth0\"]\nports = [\"eth1\"]\n"));
}

#[test]
fn no_bonds() {
    assert_snapshot!(errors(""));
    assert_snapshot!(errors("[bond]"));
    assert_snapshot!(errors("[bonds.bond0]\nports = [\"eth0\"]"));
    assert_snapshot!(errors("bond = \"bond0\""));
    assert_snapshot!(errors("[bond.bond0]"));
    assert_snapshot!(errors("[bond.bond0]\nports = []"));
}

#[test]
fn unknown_keys() {
    assert_snapshot!(bond_errors(
        "fail_over_mac = \"none\"\nminmon = 1\nnum_grat_arp = 1\nslaves = \"eth0\"\nquux = 1"
    ));
    assert_snapshot!(bond_errors("[bond.bond0.port.eth0]\npriority = 1\n[bond.bond0.ip]\naddresses = []"));
}

#[test]
fn wrong_types_and_ranges() {
    assert_snapshot!(bond_errors(
        "miimon = \"10\"\nupdelay = -1\ndowndelay = 99999999999999999999\nresend-igmp = 256\nall-slaves-active = 1\nprimary = 1\nport = 1\narp-missed-max = 0\nfailback-timeout = 0"
    ));
    assert_snapshot!(errors("[bond.bond0]\nports = [\"eth0\", 1]"));
}

#[test]
fn wrong_words() {
    assert_snapshot!(bond_errors(
        "driver = \"epbf\"\nprimary-reselect = \"allways\"\nfail-over-mac = \"2\"\narp-validate = \"filter_active\"\nfailback = \"prove\""
    ));
    assert_snapshot!(bond_errors("mode = \"802.3ad\""));
    assert_snapshot!(bond_errors("mode = \"lacp\""));
    assert_snapshot!(bond_errors("mode = \"active_backup\""));
    assert_snapshot!(bond_errors("mode = \"1\""));
}

#[test]
fn names() {
    for name in [
        "averylongbondname",
        "fourteen-bytes",
        "a/b",
        "a b",
        ".",
        "..",
        "",
        "lo",
        "all",
        "bond*",
        "bond%d",
        "a:b",
    ] {
        let text = format!("[bond.\"{name}\"]\nports = [\"eth0\"]");
        assert!(parse(&text, "x").is_err(), "{name}");
    }
    assert_snapshot!(errors("[bond.fourteen-bytes]\nports = [\"eth0\"]"));
    valid("[bond.fourteen-bytes]\ndriver = \"kernel\"\nports = [\"eth0\"]");
    valid("[bond.thirteen-byte]\ndriver = \"ebpf\"\nports = [\"eth0\"]");
    assert_snapshot!(errors("[bond.\"two words\"]\nports = [\"eth0\", \"averyverylongname\", \"\"]"));
}

#[test]
fn ports() {
    assert_snapshot!(errors("[bond.bond0]\nports = [\"eth0\", \"eth0\"]"));
    assert_snapshot!(errors("[bond.bond0]\nports = [\"bond0\", \"b*\", \"lo\"]"));
    assert_snapshot!(errors("[bond.bond0]\nports = [\"en*\", \"enp3s0\"]"));
    assert_snapshot!(errors(
        "[bond.bond0]\nports = [\"eth0\", \"eth1\"]\n[bond.bond1]\nports = [\"eth*\", \"wlan0\"]\n[bond.bond2]\nports = [\"bond0\"]"
    ));
    assert_snapshot!(bond_errors("primary = \"eht0\""));
    valid("[bond.bond0]\nports = [\"eth*\"]\nprimary = \"eth7\"");
    valid("[bond.bond0]\nports = [\"eth0\", \"eth1\", \"wlan0\"]\nprimary = \"eth*\"");
    assert_snapshot!(bond_errors("port.eth1.prio = 1\nport.\"eth*\".prio = 1"));
    assert_snapshot!(bond_errors("port.eth0.queue-id = 1\nport.wlan0.queue-id = 1"));
    assert_snapshot!(bond_errors("min-links = 3"));
    valid("[bond.bond0]\nports = [\"eth*\"]\nmin-links = 3");
}

#[test]
fn constraints_of_the_kernel_come_with_their_reason() {
    assert_snapshot!(bond_errors("miimon = 0\nupdelay = 100\ndowndelay = 100\npeer-notif-delay = 100"));
    assert_snapshot!(bond_errors("fail-over-mac = \"follow\""));
    assert_snapshot!(bond_errors("arp-interval = 100"));
    assert_snapshot!(bond_errors("arp-validate = \"all\"\narp-all-targets = \"all\""));
    assert_snapshot!(bond_errors("arp-all-targets = \"all\""));
    assert_snapshot!(bond_errors("failback = \"carrier\"\nfailback-timeout = 100"));
    let many: Vec<_> = (1..=17).map(|n| format!("\"10.0.0.{n}\"")).collect();
    assert_snapshot!(bond_errors(&format!("arp-ip-target = [{}]", many.join(", "))));
    assert_snapshot!(bond_errors(
        "arp-ip-target = [\"0.0.0.0\", \"255.255.255.255\", \"224.0.0.1\", \"fe80::1\", \"10.0.0.1\", \"10.0.0.1\", \"10.0.0.1/24\", \"gateway\"]\nns-ip6-target = [\"::\", \"ff02::1\", \"10.0.0.1\"]"
    ));
    valid("[bond.bond0]\nports = [\"eth0\"]\nmiimon = 0\narp-interval = 100\narp-ip-target = \"10.0.0.1\"");
}

#[test]
fn addresses() {
    assert_snapshot!(bond_errors(
        "[bond.bond0.ip]\naddress = [\"192.168.1.5\", \"fe80::1\", \"192.168.1.5/33\", \"192.168.1.0/24\", \"192.168.1.255/24\", \"x/24\", \"224.0.0.1/4\", \"127.0.0.1/8\", \"::/64\", \"1.2.3.4/0\"]"
    ));
    assert_snapshot!(bond_errors("[bond.bond0.ip]\naddress = [\"192.168.1.5/24\", \"192.168.1.5/16\"]"));
    assert_snapshot!(bond_errors(
        "[bond.bond0.ip]\naddress = [\"192.168.1.5/24\"]\ngateway = [\"192.168.2.1\", \"2001:db8::1\", \"192.168.1.5\", \"router\", \"192.168.1.1\", \"192.168.1.1\"]"
    ));
    assert_snapshot!(bond_errors("[bond.bond0.ip]\naddress = [\"2001:db8::5/64\"]\nmtu = 1000"));
    valid(
        "[bond.bond0]\nports = [\"eth0\"]\n[bond.bond0.ip]\naddress = [\"10.0.0.0/31\", \"10.0.0.9/32\"]\ngateway = \"10.0.0.1\"",
    );
}

#[test]
fn what_the_bond_has_as_an_interface() {
    let config = valid(
        r#"
        [bond.b]
        ports = ["eth0"]
        [bond.b.ip]
        dhcp4 = true
        client-id = "mac"
        chaddr = "02:00:5e:00:53:01"
        hostname = "laptop"
        detect-conflicts = false
        # In no network of an address that is known: the server's may be.
        gateway = ["10.0.0.1"]
        metric = 50
        accept-ra = false
        addr-gen-mode = "eui64"
        dns = ["192.168.1.1", "fd00::1"]
        search = ["home.arpa", "example.org."]
        [[bond.b.ip.route]]
        to = "10.0.0.0/8"
        via = "192.168.1.254"
        metric = 7
        [[bond.b.ip.route]]
        to = "fd99::/16"
        "#,
    );
    let ip = &config.bonds[0].ip;
    assert_eq!(
        ip.dhcp4,
        Dhcp4::On(DhcpConfig {
            client_id: ClientId::Mac,
            chaddr: Some(MacAddr([2, 0, 0x5e, 0, 0x53, 1])),
            hostname: Some("laptop".to_owned()),
            detect_conflicts: false,
        })
    );
    assert_eq!((ip.metric, ip.accept_ra), (Some(50), Some(false)));
    assert_eq!(ip.addr_gen_mode, Some(AddrGenMode::Eui64));
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(ip.dns, [address("192.168.1.1"), address("fd00::1")]);
    assert_eq!(ip.search, ["home.arpa", "example.org."]);
    assert_eq!(
        ip.routes,
        [
            RouteConfig {
                to: (address("10.0.0.0"), 8),
                via: Some(address("192.168.1.254")),
                metric: Some(7)
            },
            RouteConfig { to: (address("fd99::"), 16), via: None, metric: None },
        ]
    );
    let external = valid("[bond.b]\nports = [\"eth0\"]\n[bond.b.ip]\ndhcp4 = \"external\"");
    assert_eq!(external.bonds[0].ip.dhcp4, Dhcp4::External);
    let on = valid("[bond.b]\nports = [\"eth0\"]\n[bond.b.ip]\ndhcp4 = true");
    let Dhcp4::On(on) = &on.bonds[0].ip.dhcp4 else { panic!("{on:?}") };
    assert_eq!((&on.client_id, on.detect_conflicts), (&ClientId::Duid, true));
    let on = valid("[bond.b]\nports = [\"eth0\"]\n[bond.b.ip]\ndhcp4 = true\nclient-id = \"ff:00:A0\"");
    let Dhcp4::On(on) = &on.bonds[0].ip.dhcp4 else { panic!("{on:?}") };
    assert_eq!(on.client_id, ClientId::Octets(vec![0xff, 0, 0xa0]));
}

#[test]
fn the_hardware_address_may_be_given() {
    let given = valid("[bond.b]\nports = [\"eth0\"]\nmac = \"02:00:5e:00:53:02\"");
    assert_eq!(given.bonds[0].options.mac, Some(MacAddr([2, 0, 0x5e, 0, 0x53, 2])));
    assert_snapshot!(errors(
        "[bond.b]\nports = [\"eth0\"]\nmac = \"ff:ff:ff:ff:ff:ff\"\nfail-over-mac = \"active\""
    ));
}

#[test]
fn wrong_networks() {
    assert_snapshot!(bond_errors(
        "[bond.bond0.ip]\ndhcp4 = \"yes\"\nclient-id = \"uuid\"\nhostname = \"my laptop\"\nmetric = -1\ndhcp = true"
    ));
    assert_snapshot!(bond_errors(
        "[bond.bond0.ip]\ndhcp4 = true\nchaddr = \"01:00:5e:00:00:01\"\nhostname = \"my laptop\""
    ));
    for wrong in ["uuid", "", "ff", "ff:0", "ff:+1", "ff::01"] {
        let text = format!("[bond.bond0.ip]\ndhcp4 = true\nclient-id = \"{wrong}\"");
        assert!(bond_errors(&text).contains("or 2 to 255 octets such as"), "{wrong}");
    }
    assert_snapshot!(bond_errors("[bond.bond0.ip]\ndhcp4 = \"external\"\nclient-id = \"mac\""));
    assert_snapshot!(bond_errors("[bond.bond0.ip]\ndetect-conflicts = true"));
    assert_snapshot!(bond_errors(
        "[bond.bond0.ip]\ndns = [\"0.0.0.0\", \"router\", \"9.9.9.9\", \"9.9.9.9\"]\nsearch = [\"home..arpa\", \"-x\"]"
    ));
    assert_snapshot!(bond_errors(
        "[bond.bond0.ip]\naddress = \"192.168.1.5/24\"\nroute = [{ via = \"192.168.1.1\" }, { to = \"10.1.0.0/8\" }, \
         { to = \"0.0.0.0/0\" }, { to = \"10.0.0.0/8\", via = \"10.9.9.9\" }, { to = \"10.0.0.0/8\", via = \"fe80::1\" }]"
    ));
}

#[test]
fn arguments_are_checked_alike() {
    let text = |text: &str| text.to_owned();
    let arguments = Arguments {
        bond: text("bond0"),
        ports: vec![text("eth0"), text("wlan0")],
        driver: DriverChoice::Ebpf,
        mode: Mode::ActiveBackup,
        primary: None,
        addresses: vec![text("10.0.0.5/24")],
        gateways: vec![text("10.0.0.1")],
    };
    let config = Config::from_arguments(&arguments).unwrap();
    let same = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n[bond.bond0.ip]\naddress = \"10.0.0.5/24\"\ngateway = \"10.0.0.1\"";
    assert_eq!(config, valid(same));
    let wrong =
        Arguments { primary: Some(text("eth1")), gateways: vec![text("10.1.0.1")], ..arguments.clone() };
    assert_snapshot!(Config::from_arguments(&wrong).unwrap_err());
    let turns = Arguments { mode: Mode::BalanceRr, ..arguments.clone() };
    assert_eq!(Config::from_arguments(&turns).unwrap().bonds[0].options.mode, Mode::BalanceRr);
    let wrong = Arguments { primary: Some(text("eth0")), ..turns };
    assert_snapshot!(Config::from_arguments(&wrong).unwrap_err());
}

#[test]
fn all_ports_in_turn() {
    for name in ["balance-rr", "roundrobin"] {
        let config = valid(&format!("[bond.bond0]\nports = [\"eth0\", \"eth1\"]\nmode = \"{name}\""));
        let options = &config.bonds[0].options;
        assert_eq!((options.mode, &options.primary), (Mode::BalanceRr, &None));
        assert_eq!(options.same_segment, SameSegment::Off);
    }
    valid(
        "[bond.bond0]\nports = [\"eth0\"]\nmode = \"balance-rr\"\nprimary = \"none\"\nfail-over-mac = \"none\"\n\
         same-segment = \"off\"\narp-interval = 0\nupdelay = 100",
    );
    assert_snapshot!(bond_errors(
        "mode = \"balance-rr\"\nprimary = \"eth0\"\nprimary-reselect = \"always\"\nfailback = \"carrier\"\n\
         signal-min = -70\nsame-segment = \"require\"\nfail-over-mac = \"active\"\narp-interval = 1000\n\
         arp-ip-target = [\"192.168.1.1\"]"
    ));
}

// ---- Wi-Fi -----------------------------------------------------------------------------------------------------------

/// Lines of one wireless interface with one network, whose name is there.
fn network(lines: &str) -> String {
    format!("[bond.bond0]\nports = [\"eth0\", \"wlan0\"]\n[[wifi.wlan0.network]]\nssid = \"home\"\n{lines}\n")
}

fn network_errors(lines: &str) -> String {
    errors(&network(lines))
}

fn only_network(lines: &str) -> Network {
    let config = valid(&network(lines));
    config.wifi["wlan0"].networks[0].clone()
}

const EAP: &str = "eap = \"peap\"\nidentity = \"me\"\npassword-file = \"/p\"\n";

#[test]
fn wireless_interfaces() {
    let config = valid(
        r#"
        [bond.b]
        ports = ["eth0", "wl*"]
        [wifi.wlan0]
        country = "AT"
        manage = "existing"
        [[wifi.wlan0.network]]
        ssid-hex = "636166E9"
        psk-file = "/etc/hitless/home.psk"
        priority = -10
        hidden = true
        bssid = "02:00:5e:00:53:01"
        [[wifi.wlan0.network]]
        ssid = "Café"
        security = "open"
        [wifi.wlan1]
        network = { ssid = "x", security = "sae", psk = "correct horse" }
        "#,
    );
    let wlan0 = &config.wifi["wlan0"];
    assert_eq!((wlan0.country.as_deref(), wlan0.manage), (Some("AT"), Manage::Existing));
    let file = |path: &str| SecretSource::File(path.into());
    let first = Network {
        ssid: Ssid::new(*b"caf\xe9").unwrap(),
        security: Security::Psk(file("/etc/hitless/home.psk")),
        priority: -10,
        hidden: true,
        bssid: Some(MacAddr([2, 0, 0x5e, 0, 0x53, 1])),
    };
    let second = Network {
        ssid: Ssid::new("Café").unwrap(),
        security: Security::Open,
        priority: 0,
        hidden: false,
        bssid: None,
    };
    assert_eq!(wlan0.networks, [first, second]);
    let psk = SecretSource::Inline(Secret::new("correct horse"));
    assert_eq!(config.wifi["wlan1"].networks[0].security, Security::Sae(psk));
    assert_eq!((config.wifi["wlan1"].manage, &config.wifi["wlan1"].country), (Manage::Auto, &None));
}

#[test]
fn an_access_point_is_one_station() {
    assert_snapshot!(network_errors("security = \"open\"\nbssid = \"ff:ff:ff:ff:ff:ff\""));
    assert_snapshot!(errors(
        "[bond.b]\nports = [\"wlan0\"]\n[wifi.wlan0]\nmanage = \"iwd\"\n[[wifi.wlan0.network]]\nssid = \"home\"\n\
         psk-file = \"/p\"\nbssid = \"02:00:5e:00:53:01\""
    ));
}

#[test]
fn what_is_there_says_how_a_network_is_joined() {
    let key = "0123456789abcdef".repeat(4);
    assert!(matches!(only_network("psk-file = \"/p\"").security, Security::Psk(_)));
    assert!(matches!(only_network(&format!("psk = \"{key}\"")).security, Security::Psk(_)));
    assert!(matches!(only_network("security = \"sae\"\npsk = \"12345678\"").security, Security::Sae(_)));
    assert_eq!(only_network("security = \"owe\"").security, Security::Owe);
    let Security::Eap(eap) = only_network(EAP).security else { panic!() };
    assert_eq!((eap.method, eap.identity.as_str()), (EapMethod::Peap, "me"));
    let tls = "eap = \"tls\"\nidentity = \"me\"\nanonymous-identity = \"a\"\nclient-cert = \"/c\"\nprivate-key = \"/k\"\nprivate-key-password = \"x\"\nca-cert = \"/ca\"\ndomain = \"d\"";
    let Security::Eap(eap) = only_network(tls).security else { panic!() };
    assert_eq!(eap.private_key_password, Some(SecretSource::Inline(Secret::new("x"))));
    assert_eq!((eap.password, eap.domain.as_deref()), (None, Some("d")));
}

#[test]
fn wrong_wireless_interfaces() {
    let bond = "[bond.bond0]\nports = [\"eth0\", \"wlan0\"]\n";
    assert_snapshot!(errors(&format!("{bond}[wifi.wlan1]\n[wifi.\"wl*\"]\n[wifi.\"a/b\"]")));
    assert_snapshot!(errors(&format!(
        "{bond}[wifi.wlan0]\ncountry = \"at\"\nmanage = \"connman\"\nchannel = 1\nnetwork = \"home\""
    )));
    assert_snapshot!(errors(&format!(
        "{bond}[wifi.wlan0]\nmanage = \"off\"\ncountry = \"Austria\"\n[[wifi.wlan0.network]]\nssid = \"a\"\nsecurity = \"owe\""
    )));
    assert_snapshot!(errors(
        "[bond.bond0]\nports = [\"eth0\", \"radio0\"]\nfail-over-mac = \"follow\"\n[wifi.radio0]"
    ));
    assert_snapshot!(errors("[bond.bond0]\nports = \"wlan0\"\n[wifi]\nwlan0 = 1\n[wlan.wlan0]"));
    valid("[bond.bond0]\nports = [\"eth0\", \"wl*\"]\n[wifi.wlan7]\ncountry = \"DE\"");
}

#[test]
fn wrong_names_of_networks() {
    let bond = "[bond.bond0]\nports = \"wlan0\"\n";
    let long = "x".repeat(33);
    assert_snapshot!(errors(&format!(
        "{bond}wifi.network = []\n[[wifi.wlan0.network]]\npsk-file = \"/p\"\n[[wifi.wlan0.network]]\nssid = \"\"\nssid-hex = \"00\"\npsk-file = \"/p\"\n[[wifi.wlan0.network]]\nssid = \"{long}\"\npsk-file = \"/p\"\n[[wifi.wlan0.network]]\nssid-hex = \"686f6d6\"\npsk-file = \"/p\""
    ).replace("wifi.network = []\n", "")));
    assert_snapshot!(errors(&format!(
        "{bond}[wifi.wlan0]\nnetwork = [{{ ssid = \"home\", security = \"owe\" }}, {{ ssid-hex = \"686f6d65\", security = \"open\" }}]"
    )));
    assert_snapshot!(bond_errors(
        "ssid-allow = [\"\", \"home\", \"home\"]\nsignal-hysteresis = 7\nsignal-min = -10\nroam-grace = 10001\nsame-segment = \"yes\""
    ));
    assert_snapshot!(bond_errors("signal-hysteresis = 7"));
}

#[test]
fn wrong_passphrases() {
    assert_snapshot!(network_errors(""));
    assert_snapshot!(network_errors("psk = \"correct horse\"\npsk-file = \"/p\""));
    assert_snapshot!(network_errors("security = \"open\"\npsk = \"correct horse\""));
    assert_snapshot!(network_errors("security = \"sae\""));
    assert_snapshot!(network_errors(&format!("security = \"sae\"\npsk = \"{}\"", "a1".repeat(32))));
    assert_snapshot!(network_errors("psk = \"shorter\""));
    assert_snapshot!(network_errors("psk-file = \"correct horse\"\npriority = 1001\nhidden = 1"));
    for wrong in ["", "1234567", "Passwört", &"x".repeat(64), &"x".repeat(65), "tab\\there", "12345678\\n"] {
        assert!(parse(&network(&format!("psk = \"{wrong}\"")), "x").is_err(), "{wrong}");
    }
    for right in ["12345678", &"~".repeat(63), &"aF".repeat(32), "with \\\"quotes\\\" and \\\\\\\\"] {
        valid(&network(&format!("psk = \"{right}\"")));
    }
}

#[test]
fn wrong_enterprises() {
    assert_snapshot!(network_errors("security = \"eap\""));
    assert_snapshot!(network_errors("eap = \"tls\"\nidentity = \"me\"\npassword = \"x\""));
    assert_snapshot!(network_errors("eap = \"ttls\"\nidentity = \"\"\nclient-cert = \"c.pem\""));
    assert_snapshot!(network_errors(&format!("{EAP}psk-file = \"/p\"\npassword = \"\"\ndomain = \"d\"")));
    assert_snapshot!(network_errors("psk-file = \"/p\"\nidentity = \"me\"\nsecurity = \"sae\""));
    assert_snapshot!(network_errors("psk-file = \"/p\"\nidentity = \"me\"\npassphrase = \"correct horse\""));
}

/// Files with a passphrase in every place where somebody could put it.
fn files_with_a_secret() -> Vec<String> {
    let bond = "[bond.bond0]\nports = [\"eth0\", \"wlan0\"]\n";
    let mut files = vec![
        network("psk = \"SECRET\" x = 1"),
        network("psk = SECRET"),
        network("psk = SECRET = 1"),
        network("psk SECRET"),
        network("psk \"SECRET\""),
        network("psk = \"SECRET"),
        network("psk = \"SEC\"RET\""),
        network("psk = 'SECRET\""),
        network("psk = \"\"\"SECRET\"\npriority = x"),
        network("psk = \"\"\"x\nSECRET\nx\"\"\"\npriority = \"x\""),
        network("psk = [\"SECRET\"]"),
        network("psk = { SECRET = 1 }"),
        network("psk = { a = \"SECRET\""),
        network("psk = \"SECRET\"\npsk = \"SECRET\""),
        network("psk = \"x\" # was: SECRET"),
        network("pks = \"SECRET\""),
        network("quux = \"SECRET\""),
        network("\"psk\" = \"SECRET\"\n\"psk\" = 1"),
        network("psk-file = \"SECRET\""),
        network("password = \"SECRET\""),
        network("security = \"open\"\npsk = \"SECRET\""),
        network("psk = \"SECRET\\u0001\""),
        network("psk = \"SECRET\\q\""),
        network("SECRET"),
        network("\"SECRET"),
        network("[ \"SECRET\""),
        network("[SECRET"),
        network(&format!("{EAP}private-key-password = \"SECRET\"")),
        network(&format!("{EAP}password = \"SECRET\"")),
        format!("{bond}psk = \"SECRET\""),
        format!("{bond}wifi = \"SECRET\""),
        format!("{bond}[wifi]\nwlan0 = \"SECRET\""),
        format!("{bond}[wifi.wlan0]\nnetwork = {{ ssid = \"a\", psk = \"SECRET\", x = 1 }}"),
        format!("{bond}[wifi.wlan0]\nnetwork = [{{ ssid = \"a\", psk = \"SECRET\" }}, 1]"),
        format!("{bond}[wifi.wlan0\nnetwork = [{{ ssid = \"a\", psk = \"SECRET\" }}, 1]"),
        format!("{bond}[wifi.wlan0] psk = \"SECRET\""),
        format!("{bond}[[network]]\nthe-word = \"SECRET\""),
        format!("{bond}ports = [\"eth0\"\n[[wifi.wlan0.network]]\nthe-word = \"SECRET\""),
        "wifi.wlan0.network = [{ psk = \"SECRET\" }]".to_owned(),
        "wifi = { wlan0 = { network = { psk = \"SECRET\" } } }".to_owned(),
        "psk = \"SECRET\"".to_owned(),
        "SECRET".to_owned(),
    ];
    let crlf = files.iter().map(|file| file.replace('\n', "\r\n")).collect::<Vec<_>>();
    files.extend(crlf);
    files
}

/// Whatever shows a report.
fn shown(text: &str) -> Option<String> {
    let report = parse(text, "hitless.toml").err()?;
    let json = serde_json::to_string(&report.entries()).unwrap();
    Some(format!("{report}{report:?}{}{json}", report.render(true)))
}

#[test]
fn no_report_shows_a_secret() {
    for secret in ["kumquat zyzzyva", "zyzzyva#1=[x]", "zyßwürt€", "zykumquat{b,c}'d"] {
        for file in files_with_a_secret() {
            let text = file.replace("SECRET", secret).replace("SEC\"RET", &secret.replacen('y', "\"", 1));
            let Some(shown) = shown(&text) else { panic!("accepted: {text}") };
            let parts: Vec<char> = secret.chars().collect();
            for part in parts.windows(4).map(String::from_iter) {
                assert!(!shown.contains(&part), "{part} of {secret}\n{text}\n{shown}");
            }
        }
    }
    let secret = "correct horse";
    assert_snapshot!(network_errors(&format!("psk = \"{secret}\", hidden = 1 # {secret}")));
    assert_snapshot!(network_errors(&format!("psk = \"{secret}\"\nhidden = yes\npks = \"{secret}\"")));
    // Nor does anything else.
    let config = valid(&network("psk = \"correct horse\""));
    assert!(!format!("{config:?}{config:#?}").contains("horse"));
}

#[test]
fn exposed_secrets_are_told() {
    use std::os::unix::fs::PermissionsExt as _;

    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("hitless.toml");
    let told = |text: &str, mode: u32| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let source = hitless::config::ConfigSource::File(path.clone());
        source.warnings(&source.load().unwrap())
    };
    let inline = network("psk = \"correct horse\"");
    assert_eq!(told(&inline, 0o600), []);
    assert_eq!(told(&network("security = \"owe\""), 0o644), []);
    let warnings = told(&inline, 0o640);
    assert_eq!(warnings, [Warning::Exposed { path: path.clone() }]);
    let shown = warnings[0].to_string();
    assert!(shown.ends_with(&format!("chmod 600 {}", path.display())) && !shown.contains("horse"), "{shown}");
    // A file of the secret itself; one that is not there exposes nothing.
    let psk = directory.path().join("home.psk");
    let by_file = network(&format!("psk-file = \"{}\"", psk.display()));
    assert_eq!(told(&by_file, 0o644), []);
    std::fs::write(&psk, "correct horse\n").unwrap();
    std::fs::set_permissions(&psk, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(told(&by_file, 0o644), [Warning::Exposed { path: psk }]);
    let any_server =
        |authority| Warning::AnyServer { interface: "wlan0".to_owned(), ssid: "home".to_owned(), authority };
    assert_eq!(told(&network(EAP), 0o644), [any_server(false)]);
    // Any server with a certificate of that authority.
    let authority = format!("{EAP}\nca-cert = \"/nowhere/ca.pem\"");
    assert_eq!(told(&network(&authority), 0o644), [any_server(true)]);
    assert!(any_server(true).to_string().contains("set domain"));
    assert_eq!(told(&network(&format!("{authority}\ndomain = \"example.org\"")), 0o644), []);
}

#[test]
fn a_secret_is_the_first_line_of_its_file() {
    let read = |bytes: &[u8]| secret::first_line(bytes, std::path::Path::new("/p"));
    for (bytes, expected) in [
        (b"correct horse".as_slice(), "correct horse"),
        (b"correct horse\n", "correct horse"),
        (b"correct horse\r\nsecond", "correct horse"),
        (b" blanks count \n\n", " blanks count "),
    ] {
        assert_eq!(read(bytes).unwrap().reveal(), expected);
    }
    for bytes in [b"".as_slice(), b"\n", b"\ncorrect horse", b"\xffhorse"] {
        let error = read(bytes).unwrap_err();
        assert!(!format!("{error}{error:?}").contains("horse"));
    }
    assert!(secret::from_file(std::path::Path::new("/nowhere/p")).is_err());
}

/// Pieces that are likely to mean something together.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,12}",
        "[\\[\\]{}=\"'\\\\,.#\r\n\t é\u{0}€-]{0,6}",
        prop::sample::select(vec![
            "[bond.bond0]\n",
            "[bond]",
            "ports = ",
            "[\"eth0\"]\n",
            "\"\"\"",
            "miimon = ",
            "0\n",
            "-1",
            "1e9",
            "[bond.bond0.ip]\n",
            "address = ",
            "\"10.0.0.1/24\"\n",
            "[bond.bond0.port.eth0]\n",
            "prio = ",
            "arp-ip-target = ",
            "mode = ",
            "\"é\u{301}\"\n",
            "1979-05-27",
            "{ a = 1 }",
            "[[bond]]\n",
            "bond.x.y.z = 1\n",
            "[wifi.wlan0]\n",
            "[[wifi.wlan0.network]]\n",
            "ssid = ",
            "psk = ",
            "\"12345678\"\n",
            "eap = \"tls\"\n",
        ])
        .prop_map(str::to_owned),
    ]
}

proptest! {
    /// Whatever the text: a configuration, or a report that can be shown.
    #[test]
    fn any_text_returns(pieces in prop::collection::vec(piece(), 0..30)) {
        if let Err(report) = parse(&pieces.concat(), "x") {
            prop_assert!(!report.problems().is_empty());
            prop_assert!(!report.render(true).is_empty());
            prop_assert_eq!(report.entries().len(), report.problems().len());
        }
    }

    /// The same with one change to a text that is valid.
    #[test]
    fn any_change_to_the_example_returns(at in 0..EXAMPLE.len(), length in 0usize..40, piece in piece()) {
        let mut text = EXAMPLE.to_owned();
        let (at, end) = (text.floor_char_boundary(at), text.ceil_char_boundary((at + length).min(text.len())));
        text.replace_range(at..end, &piece);
        if let Err(report) = parse(&text, "x") {
            prop_assert!(!report.to_string().is_empty());
        }
    }

    /// However a file is damaged: what is left of the passphrase is not shown.
    #[test]
    fn no_damage_shows_a_secret(at in 0usize..1000, length in 0usize..30, piece in piece()) {
        let mut text = format!("{}\npsk = \"kumquat-zyzzyva\"\nhidden = 1\n", network("").trim_end());
        let start = at % text.len();
        let end = (start + length).min(text.len());
        text.replace_range(start..end, &piece);
        // It may have become the value of something that is no secret.
        let is_part = |line: &&str| line.contains("kumq") || line.contains("zyzz") || line.contains("uat-");
        prop_assume!(text.lines().filter(is_part).all(|line| line.starts_with("psk") || !line.contains('=')));
        if let Some(shown) = shown(&text) {
            for part in ["kumquat-", "umquat-z", "zyzzyva", "uat-zyzz"] {
                prop_assert!(!shown.contains(part), "{}\n{}", text, shown);
            }
        }
    }

    /// Arguments, too, can be anything.
    #[test]
    fn any_arguments_return(words in prop::collection::vec("\\PC{0,16}", 6)) {
        let mut words = words.into_iter();
        let mut word = || words.next().unwrap_or_default();
        let arguments = Arguments {
            bond: word(),
            ports: vec![word(), word()],
            driver: DriverChoice::Auto,
            mode: Mode::BalanceRr,
            primary: Some(word()),
            addresses: vec![word()],
            gateways: vec![word()],
        };
        if let Err(report) = Config::from_arguments(&arguments) {
            prop_assert!(!report.to_string().is_empty());
        }
    }
}
