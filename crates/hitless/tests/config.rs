//! The configuration: what is accepted, and how errors are told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use hitless::config::{Arguments, Config, DriverChoice, parse};
use hitless_core::config::{
    BondConfig, Evidence, FailOverMac, Failback, PortOptions, PortPattern, PrimaryReselect,
};
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
    assert_eq!(bond.ip.addresses, []);
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
    assert_eq!(options.fail_over_mac, FailOverMac::Active);
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
            *for_example = line.contains("or example:") || (*for_example && option.is_some());
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
        ("[bond.b]\nxxxxxxx = 1\nports = \"e\"", 24),
        ("[bond.b.port.e]\nxxxxxxx = 1", 2),
        ("[bond.b.ip]\nxxxxxxx = 1", 3),
    ] {
        let report = parse(text, "x").unwrap_err();
        let help = report.problems().iter().flat_map(|problem| &problem.help);
        let known = help.filter_map(|help| help.strip_prefix("known keys: ")).next().expect("the list");
        assert!(known.split(", ").count() >= at_least, "{known}");
        for key in known.split(", ") {
            let is_there = EXAMPLE.lines().any(|line| {
                let line = line.trim_start_matches('#');
                line.starts_with(&format!("{key} =")) || line.starts_with(&format!("[bond.bond0.{key}"))
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
fn arguments_are_checked_alike() {
    let text = |text: &str| text.to_owned();
    let arguments = Arguments {
        bond: text("bond0"),
        ports: vec![text("eth0"), text("wlan0")],
        driver: DriverChoice::Ebpf,
        primary: None,
        addresses: vec![text("10.0.0.5/24")],
        gateways: vec![text("10.0.0.1")],
    };
    let config = Config::from_arguments(&arguments).unwrap();
    let same = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n[bond.bond0.ip]\naddress = \"10.0.0.5/24\"\ngateway = \"10.0.0.1\"";
    assert_eq!(config, valid(same));
    let wrong = Arguments { primary: Some(text("eth1")), gateways: vec![text("10.1.0.1")], ..arguments };
    assert_snapshot!(Config::from_arguments(&wrong).unwrap_err());
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
        let end = (at + length).min(text.len());
        text.replace_range(at..end, &piece);
        if let Err(report) = parse(&text, "x") {
            prop_assert!(!report.to_string().is_empty());
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
            primary: Some(word()),
            addresses: vec![word()],
            gateways: vec![word()],
        };
        if let Err(report) = Config::from_arguments(&arguments) {
            prop_assert!(!report.to_string().is_empty());
        }
    }
}
