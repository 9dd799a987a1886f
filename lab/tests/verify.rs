//! `hitless verify`: a healthy bond holds in every line, and each thing that is broken is found, with what undoes it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hitless_lab::wait::{Look, until};
use hitless_lab::wifi::{Network, Security, WifiHome, WifiOptions};
use hitless_lab::{Daemon, HomeOptions, Namespace, qemu, uml};
use serde_json::Value;
use support::*;

/// The exit code where something does not hold.
const UNVERIFIED: i32 = 5;

/// The exit code where nothing is known to be wrong, but not everything is known.
const UNCHECKED: i32 = 6;

/// How long a station may take to join, and a port to be ready, in an emulated guest.
const WIFI_PATIENCE: Duration = Duration::from_secs(45);

/// What `hitless verify --json` says, and its exit code.
struct Checked {
    code: Option<i32>,
    lines: Vec<Value>,
}

impl Checked {
    /// What was printed, whose summary is that of its lines.
    fn of(output: &std::process::Output) -> Self {
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let checked =
            Self { code: output.status.code(), lines: report["checks"].as_array().unwrap().clone() };
        let [holds, fails, unknown, notes] =
            ["holds", "fails", "unknown", "note"].map(|verdict| checked.with(verdict).len());
        let verdict = match checked.code {
            Some(0) => "holds",
            Some(UNVERIFIED) => "fails",
            Some(UNCHECKED) => "unknown",
            code => panic!("{code:?}: {report:#}"),
        };
        let summary = serde_json::json!({
            "verdict": verdict, "holds": holds, "fails": fails, "unknown": unknown, "notes": notes
        });
        assert_eq!(report["summary"], summary);
        checked
    }
}

fn verify(daemon: &Daemon<'_>) -> Checked {
    Checked::of(&daemon.command(&["verify", "--json"]).unwrap())
}

/// Waits until it says what is wished.
fn wait_checked(daemon: &Daemon<'_>, wished: impl Fn(&Checked) -> bool) -> Checked {
    let checked = until("the checklist to be as wished", WIFI_PATIENCE, || {
        let checked = verify(daemon);
        Ok(if wished(&checked) { Look::Yes(checked) } else { Look::No(format!("{:#?}", checked.lines)) })
    });
    checked.unwrap()
}

impl Checked {
    /// The checks with this verdict.
    fn with(&self, verdict: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|line| line["verdict"] == verdict);
        lines.map(|line| line["check"].as_str().unwrap()).collect()
    }

    fn line(&self, check: &str) -> &Value {
        self.lines.iter().find(|line| line["check"] == check).unwrap()
    }
}

fn all_holds(daemon: &Daemon<'_>) {
    let checked = verify(daemon);
    assert_eq!(checked.code, Some(0), "{:#?}", checked.lines);
    assert_eq!(checked.with("fails"), Vec::<&str>::new());
    assert_eq!(checked.with("unknown"), Vec::<&str>::new());
    assert!(checked.lines.iter().all(|line| line["bond"] == "bond0" && line["remedy"].is_null()));
}

/// Exactly these checks fail, and each says what to do.
fn fails(daemon: &Daemon<'_>, checks: &[&str]) {
    let checked = verify(daemon);
    assert_eq!(checked.with("fails"), checks, "{:#?}", checked.lines);
    assert_eq!(checked.code, Some(UNVERIFIED));
    for check in checks {
        let remedy = &checked.line(check)["remedy"];
        assert!(remedy.as_str().is_some_and(|remedy| !remedy.is_empty()), "{check}: {remedy}");
    }
}

/// A process that looks like a DHCP client, and waits for the end of its standard input.
struct Client(Child);

impl Client {
    fn start(host: &Namespace, program: &Path, interface: &str) -> Self {
        let mut command = Command::new(program);
        command.args(["-c", "read line", interface]).stdin(Stdio::piped());
        Self(host.spawn(&mut command).unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Copies a program, by another process: what this one has open for writing cannot be executed.
fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success());
}

#[test]
fn one_broken_thing_is_one_line() {
    let home = home();
    let laptop = &home.laptop;
    let daemon = bonded(&home, "");
    all_holds(&daemon);
    let human = daemon.ask(&["verify", "bond0"]).unwrap();
    assert!(human.starts_with("bond0  active-backup on ebpf\n  ✓ link "), "{human}");
    assert!(human.ends_with("\n15 checks: 14 hold, 1 to know\n"), "{human}");

    // Each with the commands that the line names.
    let remedied = |check: &str| {
        let remedy = verify(&daemon).line(check)["remedy"].as_str().unwrap().to_owned();
        for command in remedy.split(';') {
            let command = command.split(',').next().unwrap();
            match command.split_whitespace().collect::<Vec<_>>().as_slice() {
                // What sysctl does, which need not be installed.
                ["sysctl", "-w", setting] => {
                    let (name, value) = setting.split_once('=').unwrap();
                    laptop.sysctl(name, value).unwrap();
                }
                command => drop(laptop.run(command).unwrap()),
            }
        }
        all_holds(&daemon);
    };

    laptop.ip("address add 10.9.9.9/32 dev eth0").unwrap();
    fails(&daemon, &["port-addresses"]);
    remedied("port-addresses");

    // The address and its route.
    laptop.ip("address add 192.168.1.77/24 dev wlan0").unwrap();
    fails(&daemon, &["routes", "port-addresses"]);
    remedied("port-addresses");

    laptop.ip("route add default dev wlan0 metric 50").unwrap();
    fails(&daemon, &["routes"]);
    remedied("routes");

    laptop.ip("-6 route add default dev eth0 metric 50").unwrap_err();
    laptop.sysctl("net.ipv6.conf.eth0.disable_ipv6", "0").unwrap();
    fails(&daemon, &["ipv6-on-ports"]);
    remedied("ipv6-on-ports");

    laptop.sysctl("net.ipv4.conf.bond0.arp_ignore", "8").unwrap();
    fails(&daemon, &["arp-ignore"]);
    remedied("arp-ignore");

    laptop.sysctl("net.ipv4.conf.bond0.rp_filter", "1").unwrap();
    all_holds(&daemon);
    laptop.ip("link add other0 type veth peer name other1").unwrap();
    laptop.ip("address add 192.168.1.78/24 dev other0").unwrap();
    laptop.ip("link set other0 up").unwrap();
    fails(&daemon, &["rp-filter"]);
    remedied("rp-filter");
    laptop.ip("link del other0").unwrap();

    laptop.ip("link set bond0 down").unwrap();
    fails(&daemon, &["link"]);
    laptop.ip("link set bond0 up").unwrap();
    // What the kernel has removed meanwhile, the daemon puts back.
    wait_for("all to hold again", || (verify(&daemon).code == Some(0)).then_some(()));

    laptop.ip("address add 192.168.1.6/24 dev bond0").unwrap();
    fails(&daemon, &["bond-address"]);
    remedied("bond-address");
}

#[test]
fn dhcp_clients_on_ports_are_found() {
    let home = home();
    let daemon = bonded(&home, "");
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("dhclient");
    copy(Path::new("/bin/sh"), &program);
    let client = |host, interface| Client::start(host, &program, interface);
    {
        let _elsewhere = client(&home.router, "eth0");
        let _allowed = client(&home.laptop, "bond0");
        all_holds(&daemon);
        let _wrong = client(&home.laptop, "wlan0");
        fails(&daemon, &["dhcp-clients"]);
        let line = verify(&daemon).line("dhcp-clients").clone();
        assert!(line["seen"].as_str().unwrap().contains("on wlan0"), "{line}");
    }
    all_holds(&daemon);
}

/// In the daemon's own /etc: the machine's stays as it is.
#[test]
fn dhcpcd_is_kept_off_when_asked_for() {
    const FILE: &str = "/etc/dhcpcd.conf";
    let of_the_machine = || std::fs::read_to_string(FILE).ok();
    let home = home();
    let daemon = bonded(&home, "");
    let before = of_the_machine();
    let verify = |arguments: &[&str]| {
        let output = daemon.command_beside(&[&["verify"], arguments].concat()).unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, said) = verify(&["--fix"]);
    assert!(code == Some(0) && said.starts_with("Nothing to fix.\n\nbond0 "), "{said}");

    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("dhcpcd");
    copy(Path::new("/bin/sh"), &program);
    let _client = Client::start(&home.laptop, &program, "[manager]");
    let line = "denyinterfaces eth0 wlan0 bond0-p";
    let (code, said) = verify(&[]);
    assert_eq!(code, Some(UNVERIFIED), "{said}");
    assert!(said.contains(&format!("add `{line}` to {FILE}")), "{said}");
    let own = daemon.read(FILE).unwrap_or_default();

    let (code, said) = verify(&["--fix"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with(&format!("Added to {FILE}: {line}\nRestart dhcpcd")), "{said}");
    let fixed = daemon.read(FILE).unwrap();
    assert_eq!(fixed.lines().filter(|present| *present == line).count(), 1);
    assert_eq!(
        fixed.replace(&format!("{line}\n"), "").trim_end(),
        own.trim_end(),
        "nothing else has changed"
    );

    let (code, said) = verify(&["--fix", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["fixed"]), (Some(0), &serde_json::json!([])), "once is enough");
    assert!(said["checks"].as_array().is_some_and(|checks| !checks.is_empty()), "{said}");
    assert_eq!(daemon.read(FILE).unwrap(), fixed);
    assert_eq!(of_the_machine(), before);
}

#[test]
fn a_failover_is_no_fault() {
    let home = home();
    let daemon = bonded(&home, "");
    home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    all_holds(&daemon);
    let checked = verify(&daemon);
    assert_eq!(checked.with("note"), ["wifi", "segment", "failures"]);
    let seen = checked.line("active-port")["seen"].as_str().unwrap().to_owned();
    assert_eq!(seen, "wlan0; eth0, the primary, waits for carrier");
    home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    // By hand, and that is all right.
    daemon.ask(&["switch", "bond0", "wlan0"]).unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    wait_ports_up(&daemon, "bond0");
    all_holds(&daemon);
    home.pull("wlan0").unwrap();
    home.pull("eth0").unwrap();
    daemon.wait_bond("bond0", "no port to be active", PATIENCE, |bond| bond["active"].is_null()).unwrap();
    fails(&daemon, &["link", "active-port"]);
}

/// Whoever may not look is told so, and not that something is wrong.
#[test]
fn other_users_are_told_what_they_may_not_see() {
    let home = home();
    let daemon = bonded(&home, "");
    let directory = tempfile::tempdir().unwrap();
    let open = |path: &Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    open(directory.path());
    open(daemon.socket().parent().unwrap());
    // They may not be able to reach the build directory.
    let program = directory.path().join("hitless");
    let binary = hitless_lab::daemon::binary().unwrap();
    copy(&binary, &program);
    let mut command = Command::new(&program);
    command
        .args(["verify", "--json", "--socket"])
        .arg(daemon.socket())
        .current_dir("/")
        .uid(65534)
        .gid(65534);
    let output = home.laptop.within(|| command.output()).unwrap().unwrap();
    let checked = Checked::of(&output);
    // What could not be checked does not hold, and is not known to be wrong either.
    assert_eq!(checked.code, Some(UNCHECKED), "{:#?}", checked.lines);
    assert_eq!(checked.with("unknown"), ["driver", "segment"]);
    for check in ["driver", "segment"] {
        let line = checked.line(check);
        assert!(line["seen"].as_str().unwrap().contains("root"), "{line:#}");
    }
}

/// The daemon does not compare wires with each other: what the active one sends is heard on the other, or not.
#[test]
fn wires_have_to_hear_each_other() {
    let home = home();
    let daemon = bonded(&home, "");
    let sent = || hitless_lab::Home::frames(&home.laptop, "wlan0").unwrap().1;
    let before = sent();
    let seen = |checked: &Checked| checked.line("segment")["seen"].as_str().unwrap().to_owned();
    let checked = verify(&daemon);
    assert_eq!((checked.code, seen(&checked).as_str()), (Some(0), "wlan0 hears what eth0 sends"));

    // The other cable leads elsewhere.
    home.switch.ip("link set swp1 nomaster").unwrap();
    let checked = verify(&daemon);
    assert_eq!((checked.code, checked.with("unknown")), (Some(UNCHECKED), vec!["segment"]));
    assert!(seen(&checked).starts_with("wlan0 does not hear what eth0 sends"), "{}", seen(&checked));
    home.switch.ip("link set swp1 master br0").unwrap();
    wait_checked(&daemon, |checked| checked.code == Some(0));
    assert_eq!(sent(), before, "switches learn nothing wrong from a standby port that is silent");
}

/// With real 802.11: the wire active and the station standing by, and then what Wi-Fi may lack.
#[test]
fn a_bond_with_wifi_in_a_guest() {
    if !qemu::in_guest() {
        return qemu::rerun("a_bond_with_wifi_in_a_guest", Duration::from_secs(600)).unwrap();
    }
    let home = WifiHome::new(WifiOptions::default()).unwrap();
    let network = Network::new("home", Security::Wpa2Psk("correct horse battery".into()));
    let mut access_point = home.access_point(network).unwrap();
    let station = "[[wifi.wlan0.network]]\nssid = \"home\"\npsk = \"correct horse battery\"\n";
    for driver in ["ebpf", "kernel"] {
        let text = config("").replace("\"ebpf\"", &format!("\"{driver}\"")) + station;
        let daemon = Daemon::start_with_config(&home.home.laptop, &text).unwrap();
        // Not once and again: a station that has just joined is asked where it leads.
        let checked = wait_checked(&daemon, |checked| {
            checked.code == Some(0) && checked.with("holds").len() == checked.lines.len()
        });
        let seen = checked.line("wifi")["seen"].as_str().unwrap();
        assert!(seen.starts_with("wlan0 has joined home, -"), "{seen}");

        access_point.stop_politely().unwrap();
        let checked = wait_checked(&daemon, |checked| checked.with("fails") == ["wifi"]);
        assert_eq!(checked.code, Some(UNVERIFIED));
        access_point.restart().unwrap();
        daemon.ask(&["down"]).unwrap();
    }
}

/// The same of Linux bonding, which this kernel may not have; the guest's has.
#[test]
fn a_bond_of_the_kernel_in_a_guest() {
    if !uml::in_guest() {
        return uml::rerun("a_bond_of_the_kernel_in_a_guest", Duration::from_secs(600)).unwrap();
    }
    let home = hitless_lab::Home::new(HomeOptions::default()).unwrap();
    let text = config("").replace("\"ebpf\"", "\"kernel\"");
    let daemon = daemon(&home, &text, &[("bond0", "eth0")]);
    all_holds(&daemon);
    home.laptop.ip("address add 10.9.9.9/32 dev eth0").unwrap();
    fails(&daemon, &["port-addresses"]);
}
