//! What the tests of the daemon have in common: configurations, traffic, and what a host looks like from outside.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests; each program uses another part"
)]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

use hitless_lab::meter::{Counts, Report};
use hitless_lab::tcp::Stream;
use hitless_lab::wait::{Look, until};
use hitless_lab::{Daemon, Home, HomeOptions, Meter, Namespace};
use serde_json::Value;

/// Long enough for everything that is waited for, on a machine that is busy with something else.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Datagrams a second each way: enough to see a gap of some milliseconds, little enough for a busy machine.
pub const RATE: u32 = 500;

/// A home network with one segment and nothing special.
pub fn home() -> Home {
    Home::new(HomeOptions::default()).unwrap()
}

/// bond0 of eth0 and wlan0 on the ebpf driver, with these options and host 5's addresses.
pub fn config(options: &str) -> String {
    bond("bond0", r#"["eth0", "wlan0"]"#, options, 0)
}

/// A bond with these ports (as an array in TOML) and options, and host 5's addresses of a segment.
pub fn bond(name: &str, ports: &str, options: &str, segment: u8) -> String {
    format!(
        "[bond.{name}]\ndriver = \"ebpf\"\nports = {ports}\n{options}\n[bond.{name}.ip]\naddress = [\"{}/24\", \"{}/64\"]\ngateway = [\"{}\"]\n",
        Home::ipv4(segment, 5),
        Home::ipv6(segment, 5),
        Home::ipv4(segment, 1),
    )
}

/// A daemon with this configuration, whose bonds (by name and active port) have come up.
pub fn daemon<'a>(home: &'a Home, config: &str, active: &[(&str, &str)]) -> Daemon<'a> {
    let daemon = Daemon::start_with_config(&home.laptop, config).unwrap();
    for (bond, port) in active {
        daemon.wait_active(bond, port, PATIENCE).unwrap();
        wait_ports_up(&daemon, bond);
    }
    daemon
}

/// bond0 as [`config`] makes it, with eth0 active and wlan0 standing by.
pub fn bonded<'a>(home: &'a Home, options: &str) -> Daemon<'a> {
    daemon(home, &config(options), &[("bond0", "eth0")])
}

/// Waits until every port that exists has its link up.
pub fn wait_ports_up(daemon: &Daemon<'_>, bond: &str) {
    let up = |status: &Value| {
        let ports = status["ports"].as_array().cloned().unwrap_or_default();
        !ports.is_empty()
            && ports.iter().filter(|port| !port["index"].is_null()).all(|port| port["link"] == "up")
    };
    daemon.wait_bond(bond, &format!("all ports of {bond} to be up"), PATIENCE, up).unwrap();
}

/// Waits until a port's status is as wished.
pub fn wait_port(daemon: &Daemon<'_>, port: &str, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
    let status =
        daemon.wait_bond("bond0", &format!("{port}: {what}"), PATIENCE, |bond| wished(entry(bond, port)));
    entry(&status.unwrap(), port).clone()
}

/// What the status says of a port.
pub fn entry<'a>(bond: &'a Value, port: &str) -> &'a Value {
    let ports = bond["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    ports.iter().find(|entry| entry["name"] == port).unwrap_or(&Value::Null)
}

/// Plugs eth0 into a switch that does not care: a carrier, and nothing behind it.
pub fn plug_into_nothing(home: &Home) {
    home.switch.ip("link set swp0 nomaster").unwrap();
    home.plug("eth0").unwrap();
}

/// Lets the switch care for eth0 again.
pub fn revive(home: &Home) {
    home.switch.ip("link set swp0 master br0").unwrap();
}

/// Waits for something that `look` sees as `Some`.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    until(what, PATIENCE, || Ok(look().map_or_else(|| Look::No("nothing".to_owned()), Look::Yes))).unwrap()
}

/// Waits until a command in a namespace prints something that is as wished.
pub fn wait_printed(host: &Namespace, command: &str, wished: impl Fn(&str) -> bool) -> String {
    let words: Vec<_> = command.split_whitespace().collect();
    until(&format!("`{command}` to print something else"), PATIENCE, || {
        let printed = host.run(&words).unwrap_or_else(|error| error.to_string());
        Ok(if wished(&printed) { Look::Yes(printed) } else { Look::No(printed) })
    })
    .unwrap()
}

/// A TCP stream and datagrams both ways, between the laptop and the router.
pub struct Traffic {
    pub stream: Stream,
    pub meter: Meter,
}

impl Traffic {
    pub fn start(home: &Home, segment: u8) -> Self {
        Self::between(home.ends(segment), RATE)
    }

    pub fn between(
        (near, far): (hitless_lab::meter::End<'_>, hitless_lab::meter::End<'_>),
        rate: u32,
    ) -> Self {
        let stream = Stream::start(near, far).unwrap();
        let meter = Meter::start(near, far, rate).unwrap();
        let traffic = Self { stream, meter };
        traffic.flows();
        traffic
    }

    /// Waits until both flow.
    pub fn flows(&self) {
        self.meter.wait_flowing(50, PATIENCE).unwrap();
        self.stream.wait_progress(PATIENCE).unwrap();
    }

    /// Begins a new interval, in which something is about to happen.
    pub fn mark(&mut self, label: &str) {
        self.meter.mark(label);
    }

    /// Ends both: the stream has survived.
    pub fn finish(self) -> Report {
        self.flows();
        let stream = self.stream.finish();
        assert_eq!(stream.broken, None, "the TCP stream");
        self.meter.finish()
    }
}

/// What was counted in all intervals with this label.
pub fn counted(report: &Report, label: &str) -> Counts {
    let mut intervals = report.labelled(label).map(hitless_lab::meter::Interval::both);
    let first = intervals.next().unwrap_or_else(|| panic!("no interval {label}"));
    intervals.fold(first, |sum, counts| Counts {
        sent: sum.sent + counts.sent,
        lost: sum.lost + counts.lost,
        duplicated: sum.duplicated + counts.duplicated,
        reordered: sum.reordered + counts.reordered,
        ..sum
    })
}

/// Nothing was lost, doubled or put out of order.
pub fn assert_clean(report: &Report, label: &str) {
    let counts = counted(report, label);
    let wrong = (counts.lost, counts.duplicated, counts.reordered);
    assert_eq!(wrong, (0, 0, 0), "lost, duplicated, reordered in `{label}`: {counts:?}");
}

/// Everything about a host's network that a bond may change, in a form that compares: links, addresses, routes, IPv6
/// settings, tc filters. Without the parts that change by themselves.
pub fn state(host: &Namespace) -> Vec<String> {
    let mut state = Vec::new();
    let links = host.ip("-d -o link").unwrap();
    for line in links.lines() {
        state.push(without(line, &["qlen", "state", "qdisc"]));
    }
    for command in ["-o address", "route show table all", "-6 route show table all"] {
        let mut lines: Vec<String> =
            host.ip(command).unwrap().lines().map(|line| without(line, &["expires"])).collect();
        lines.sort();
        lines.dedup();
        state.extend(lines);
    }
    for name in names(host) {
        let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
        state.push(format!("{name} disable_ipv6 {}", host.run(&["cat", &path]).unwrap().trim()));
        // An interface that was up for the first time has one that does nothing ever after.
        let qdiscs = host.run(&["tc", "qdisc", "show", "dev", &name]).unwrap();
        state.extend(
            qdiscs.lines().filter(|line| !line.contains("noqueue")).map(|line| format!("{name} {line}")),
        );
    }
    state
}

/// A host's network is as it was.
pub fn assert_same(before: &[String], after: &[String]) {
    let missing: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
    let surplus: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:#?}\nsurplus {surplus:#?}");
}

/// The names of a host's interfaces.
pub fn names(host: &Namespace) -> Vec<String> {
    let shown = host.ip("-o link").unwrap();
    let names = shown.lines().filter_map(|line| line.split(": ").nth(1));
    names.map(|name| name.split('@').next().unwrap_or(name).to_owned()).collect()
}

/// A line without these words and the one after each.
fn without(line: &str, unwanted: &[&str]) -> String {
    let mut words = line.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if unwanted.contains(&word) {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// What `ip -json link` says of an interface.
pub fn link(host: &Namespace, name: &str) -> Value {
    let shown = host.ip(&format!("-d -json link show dev {name}")).unwrap();
    let parsed: Value = serde_json::from_str(&shown).unwrap();
    parsed[0].clone()
}

/// An interface's hardware address.
pub fn mac(host: &Namespace, name: &str) -> String {
    link(host, name)["address"].as_str().unwrap_or_default().to_owned()
}

/// What became of a `hitless run` that has to end by itself.
pub struct Refusal {
    pub code: Option<i32>,
    pub said: String,
}

/// Runs `hitless` with these arguments in a namespace, through `wrapper`, and waits for its end.
pub fn hitless(host: &Namespace, wrapper: &[&str], arguments: &[&str]) -> Refusal {
    let binary = hitless_lab::daemon::binary().unwrap();
    let mut words = vec!["timeout", "20"];
    words.extend(wrapper);
    words.push(binary.to_str().unwrap());
    words.extend(arguments);
    let Output { status, stderr, .. } = host
        .within(|| Command::new(words[0]).args(&words[1..]).env_remove("NOTIFY_SOCKET").output())
        .unwrap()
        .unwrap();
    Refusal { code: status.code(), said: String::from_utf8_lossy(&stderr).into_owned() }
}

/// Runs a daemon with this configuration that has to refuse, and compares the host before and after.
pub fn refused(host: &Namespace, config: &str) -> Refusal {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hitless.toml");
    std::fs::write(&file, config).unwrap();
    let socket = directory.path().join("io.hitless.sock");
    let before = state(host);
    let refusal = hitless(
        host,
        &[],
        &["run", "--config", file.to_str().unwrap(), "--socket", socket.to_str().unwrap()],
    );
    assert_same(&before, &state(host));
    // The lock stays: whoever removed it could take it from a daemon that starts at this moment.
    let left: Vec<_> =
        left_in(directory.path()).into_iter().filter(|name| !name.ends_with(".lock")).collect();
    assert_eq!(left, ["hitless.toml"]);
    refusal
}

/// The files in a directory.
pub fn left_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

impl Refusal {
    /// It ended with this code and said all of that.
    pub fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.said);
        for word in words {
            assert!(self.said.contains(word), "does not say `{word}`: {}", self.said);
        }
    }
}

/// Random numbers from a seed that is printed, or given in HITLESS_SEED (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new() -> Self {
        let given = std::env::var("HITLESS_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seed = given.unwrap_or(u64::from(now.subsec_nanos()) | 1);
        eprintln!("HITLESS_SEED={seed}");
        Self(seed.max(1))
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % bound
    }

    pub fn micros(&mut self, bound: u64) -> Duration {
        Duration::from_micros(self.below(bound))
    }
}
