//! Every option of active-backup, at the start and live: what is configured is what the kernel shows.

use hitless_lab::Daemon;
use serde_json::{Value, json};

use crate::support::*;

/// A line of the configuration, and what `ip -json -details link` then shows of the bond.
fn bond_options() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    vec![
        ("miimon = 150", vec![("miimon", json!(150))]),
        // The kernel is the backstop, and looks less often.
        ("miimon = 10", vec![("miimon", json!(100))]),
        ("updelay = 300", vec![("updelay", json!(300)), ("downdelay", json!(0))]),
        ("downdelay = 200", vec![("downdelay", json!(200)), ("updelay", json!(0))]),
        (
            "miimon = 200\nupdelay = 400\ndowndelay = 600",
            vec![("miimon", json!(200)), ("updelay", json!(400)), ("downdelay", json!(600))],
        ),
        ("peer-notif-delay = 500", vec![("peer_notify_delay", json!(500))]),
        ("num-peer-notif = 7", vec![("num_peer_notif", json!(7))]),
        ("num-peer-notif = 0", vec![("num_peer_notif", json!(0))]),
        ("min-links = 2", vec![("min_links", json!(2))]),
        ("min-links = 1", vec![("min_links", json!(1))]),
        ("resend-igmp = 0", vec![("resend_igmp", json!(0))]),
        ("resend-igmp = 255", vec![("resend_igmp", json!(255))]),
        ("all-slaves-active = true", vec![("all_slaves_active", json!(1))]),
        ("all-slaves-active = false", vec![("all_slaves_active", json!(0))]),
        ("fail-over-mac = \"active\"", vec![("fail_over_mac", json!("active"))]),
        ("fail-over-mac = \"follow\"", vec![("fail_over_mac", json!("follow"))]),
        ("fail-over-mac = \"none\"", vec![("fail_over_mac", json!("none"))]),
        (
            "failback = \"carrier\"\nprimary-reselect = \"always\"",
            vec![("primary_reselect", json!("always"))],
        ),
        (
            "failback = \"carrier\"\nprimary-reselect = \"better\"",
            vec![("primary_reselect", json!("better"))],
        ),
        (
            "failback = \"carrier\"\nprimary-reselect = \"failure\"",
            vec![("primary_reselect", json!("failure"))],
        ),
        // The machine decides, and the kernel is not to run ahead.
        ("primary-reselect = \"always\"", vec![("primary_reselect", json!("failure"))]),
        ("primary = \"en1\"\nfailback = \"carrier\"", vec![("primary", json!("en1"))]),
        ("primary = \"eth0\"\nfailback = \"carrier\"", vec![("primary", json!("eth0"))]),
        ("primary = \"none\"", vec![("primary", Value::Null)]),
        (
            "miimon = 0\narp-interval = 250\narp-ip-target = [\"192.168.1.1\", \"192.168.1.2\"]",
            vec![
                ("miimon", json!(0)),
                ("arp_interval", json!(250)),
                ("arp_ip_target", json!(["192.168.1.1", "192.168.1.2"])),
                ("arp_validate", Value::Null),
                ("arp_all_targets", json!("any")),
                ("arp_missed_max", json!(2)),
            ],
        ),
        (
            "miimon = 0\narp-interval = 200\narp-ip-target = [\"192.168.1.1\"]\narp-missed-max = 5\n\
             arp-validate = \"all\"\narp-all-targets = \"all\"",
            vec![
                ("arp_interval", json!(200)),
                ("arp_ip_target", json!(["192.168.1.1"])),
                ("arp_missed_max", json!(5)),
                ("arp_validate", json!("all")),
                ("arp_all_targets", json!("all")),
            ],
        ),
        (
            "miimon = 0\narp-interval = 200\narp-ip-target = [\"192.168.1.1\"]\narp-validate = \"active\"",
            vec![("arp_validate", json!("active")), ("arp_all_targets", json!("any"))],
        ),
        (
            "miimon = 0\narp-interval = 200\narp-ip-target = [\"192.168.1.1\"]\narp-validate = \"backup\"",
            vec![("arp_validate", json!("backup"))],
        ),
        (
            "miimon = 0\narp-interval = 200\narp-ip-target = [\"192.168.1.1\"]\narp-validate = \"filter\"",
            vec![("arp_validate", json!("filter"))],
        ),
        (
            "miimon = 0\narp-interval = 200\narp-ip-target = [\"192.168.1.1\"]\narp-validate = \"filter-active\"",
            vec![("arp_validate", json!("filter_active"))],
        ),
        (
            "miimon = 0\narp-interval = 200\narp-ip-target = [\"192.168.1.1\"]\narp-validate = \"filter-backup\"",
            vec![("arp_validate", json!("filter_backup"))],
        ),
        (
            "miimon = 0\narp-interval = 200\nns-ip6-target = [\"fd00:1::1\"]",
            vec![
                ("arp_interval", json!(200)),
                ("ns_ip6_target", json!(["fd00:1::1"])),
                ("arp_ip_target", Value::Null),
            ],
        ),
        // And back: nothing of the probes is left.
        (
            "",
            vec![
                ("miimon", json!(100)),
                ("arp_interval", json!(0)),
                ("arp_ip_target", Value::Null),
                ("ns_ip6_target", Value::Null),
                ("arp_validate", Value::Null),
                ("updelay", json!(0)),
                ("downdelay", json!(0)),
                ("num_peer_notif", json!(1)),
                ("resend_igmp", json!(1)),
                ("all_slaves_active", json!(0)),
                ("min_links", json!(0)),
                ("fail_over_mac", json!("none")),
            ],
        ),
    ]
}

/// The same for a port, `en1`.
fn port_options() -> Vec<(&'static str, Vec<(&'static str, Value)>)> {
    vec![
        ("prio = 7", vec![("prio", json!(7)), ("queue_id", json!(0))]),
        ("prio = -3", vec![("prio", json!(-3))]),
        ("queue-id = 2", vec![("queue_id", json!(2)), ("prio", json!(0))]),
        ("queue-id = 0", vec![("queue_id", json!(0))]),
    ]
}

const PORTS: &str = "ports = [\"eth0\", \"en1\"]";

fn port_config(option: &str) -> String {
    config_with(PORTS, &format!("[bond.bond0.port.en1]\n{option}"))
}

#[test]
fn guest_options_live() {
    in_guest("options::guest_options_live", || {
        let home = home();
        let laptop = &home.laptop;
        // One for which fail-over-mac = "follow" is not refused.
        laptop.ip("link set wlan0 name en1").unwrap();
        let daemon = start(&home, &config_with(PORTS, ""));
        for (options, shown) in bond_options() {
            reload(&daemon, &config_with(PORTS, options));
            check(&bond(laptop, "bond0"), options, &shown, &daemon);
            wait_attached(laptop);
        }
        for (option, shown) in port_options() {
            reload(&daemon, &port_config(option));
            check(&port(laptop, "en1"), option, &shown, &daemon);
        }
        assert!(!daemon.log().contains("failed"), "{}", daemon.log());
    });
}

/// A bond that was made with its options has them, and so has one that is adopted.
#[test]
fn guest_options_from_the_start() {
    in_guest("options::guest_options_from_the_start", || {
        let home = home();
        let laptop = &home.laptop;
        laptop.ip("link set wlan0 name en1").unwrap();
        for (options, shown) in from_the_start() {
            let mut daemon = Daemon::start_with_config(laptop, &config_with(PORTS, options)).unwrap();
            for _ in 0..2 {
                wait_attached(laptop);
                check(&bond(laptop, "bond0"), options, &shown, &daemon);
                if options.contains("port.en1") {
                    let there = port(laptop, "en1");
                    check(&there, options, &[("prio", json!(7)), ("queue_id", json!(2))], &daemon);
                }
                daemon.kill9().unwrap();
                daemon.restart().unwrap();
            }
            daemon.ask(&["down"]).unwrap();
        }
    });
}

/// Everything that goes together, none of it the default.
fn from_the_start() -> [(&'static str, Vec<(&'static str, Value)>); 3] {
    [
        (
            "miimon = 200\nupdelay = 400\ndowndelay = 600\npeer-notif-delay = 800\nnum-peer-notif = 7\n\
             min-links = 2\nresend-igmp = 3\nall-slaves-active = true\nfail-over-mac = \"active\"\n\
             failback = \"carrier\"\nprimary = \"en1\"\nprimary-reselect = \"better\"\n\
             [bond.bond0.port.en1]\nprio = 7\nqueue-id = 2",
            vec![
                ("miimon", json!(200)),
                ("updelay", json!(400)),
                ("downdelay", json!(600)),
                ("peer_notify_delay", json!(800)),
                ("num_peer_notif", json!(7)),
                ("min_links", json!(2)),
                ("resend_igmp", json!(3)),
                ("all_slaves_active", json!(1)),
                ("fail_over_mac", json!("active")),
                ("primary", json!("en1")),
                ("primary_reselect", json!("better")),
            ],
        ),
        (
            "miimon = 0\narp-interval = 200\narp-ip-target = [\"192.168.1.1\"]\narp-missed-max = 5\n\
             arp-validate = \"all\"\narp-all-targets = \"all\"\nfail-over-mac = \"follow\"",
            vec![
                ("miimon", json!(0)),
                ("arp_interval", json!(200)),
                ("arp_ip_target", json!(["192.168.1.1"])),
                ("arp_missed_max", json!(5)),
                ("arp_validate", json!("all")),
                ("arp_all_targets", json!("all")),
                ("fail_over_mac", json!("follow")),
                ("primary_reselect", json!("failure")),
            ],
        ),
        (
            "miimon = 0\narp-interval = 300\nns-ip6-target = [\"fd00:1::1\"]",
            vec![("arp_interval", json!(300)), ("ns_ip6_target", json!(["fd00:1::1"]))],
        ),
    ]
}

fn wait_attached(laptop: &hitless_lab::Namespace) {
    for name in ["eth0", "en1"] {
        wait_shown(laptop, name, "the port to be in the bond", PATIENCE, |shown| shown["master"] == "bond0");
    }
}

fn check(there: &Value, options: &str, expected: &[(&str, Value)], daemon: &Daemon<'_>) {
    for (key, value) in expected {
        let present = &there[*key];
        let empty = present.as_array().is_some_and(Vec::is_empty);
        let present = if empty { &Value::Null } else { present };
        assert_eq!(present, value, "{key} after `{options}`: {there:#}\n{}", daemon.log());
    }
}
