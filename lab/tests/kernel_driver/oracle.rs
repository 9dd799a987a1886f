//! The kernel as oracle: the same random scenario on three bonds, step by step, ends each step with the same active
//! port, link states and failure counts on all of them.
//!
//! The three are Linux bonding as one sets it up by hand, hitless on the kernel driver, and hitless on the ebpf driver.
//! Where hitless decides otherwise by design, the scenario does not go there:
//!
//! - Failback is on carrier, since bonding knows no proof; and the primary is named, or none, in all three.
//! - What was asked for by hand holds in hitless until that port fails or the primary comes back. Bonding also forgets
//!   it when a port is added, or one of a higher prio comes up.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use hitless_lab::wait::{Look, linger, until};
use hitless_lab::{Daemon, Home, HomeOptions};
use serde_json::Value;

use crate::support::*;

/// All in one network.
const PORTS: [&str; 3] = ["eth0", "wlan0", "eth1"];

/// For plain bonding to have noticed everything several times over, and the kernel driver's backstop once.
const SETTLING: std::time::Duration = std::time::Duration::from_millis(150);

/// What the three bonds are told to do, and what the scenario consists of.
struct Rules {
    name: &'static str,
    /// For hitless.
    options: &'static str,
    /// For bonding.
    plain: &'static str,
    /// By port.
    prio: [i32; 3],
    switches: bool,
    /// Are ports added while another one than the primary is active by hand?
    adds_after_switch: bool,
    steps: usize,
}

const RULES: [Rules; 3] = [
    Rules {
        name: "primary, always",
        options: "primary = \"eth0\"\nprimary-reselect = \"always\"",
        plain: "primary_reselect always primary eth0",
        prio: [0; 3],
        switches: true,
        adds_after_switch: false,
        steps: 12,
    },
    Rules {
        name: "no primary, failure",
        options: "primary = \"none\"\nprimary-reselect = \"failure\"",
        plain: "primary_reselect failure",
        prio: [0; 3],
        switches: true,
        adds_after_switch: true,
        steps: 12,
    },
    Rules {
        name: "prio",
        options: "primary = \"none\"\nprimary-reselect = \"always\"",
        plain: "primary_reselect always",
        prio: [1, -3, 7],
        switches: false,
        adds_after_switch: false,
        steps: 10,
    },
];

#[test]
fn guest_the_kernel_as_oracle() {
    in_guest("oracle::guest_the_kernel_as_oracle", || {
        // A failure names the scenario's own seed: all of them are tried with it again.
        let given = std::env::var("HITLESS_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let seed = given.unwrap_or((clock & 0xffff_ffff) as u64);
        for rules in &RULES {
            scenario(rules, seed);
        }
    });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pull(&'static str),
    Plug(&'static str),
    Add(&'static str),
    Remove(&'static str),
    Switch(&'static str),
}

/// What the scenario has done so far.
#[derive(Debug)]
struct Model {
    plugged: BTreeMap<&'static str, bool>,
    attached: BTreeMap<&'static str, bool>,
}

impl Model {
    fn usable(&self, port: &'static str) -> bool {
        self.plugged[port] && self.attached[port]
    }

    /// The steps that make sense now.
    fn possible(&self, rules: &Rules, active: Option<&str>) -> Vec<Step> {
        let mut steps = Vec::new();
        let by_hand =
            PORTS.iter().any(|port| self.usable(port)) && active != Some("eth0") && self.usable("eth0");
        for port in PORTS {
            steps.push(if self.plugged[port] { Step::Pull(port) } else { Step::Plug(port) });
            match self.attached[port] {
                true if self.attached.values().filter(|attached| **attached).count() > 1 => {
                    steps.push(Step::Remove(port));
                }
                true => {}
                false if by_hand && rules.switches && !rules.adds_after_switch => {}
                // The port does not stay away for long, so that there is something to choose from.
                false => steps.extend([Step::Add(port), Step::Add(port)]),
            }
            if rules.switches && self.usable(port) && active != Some(port) {
                steps.push(Step::Switch(port));
            }
        }
        steps
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Pull(port) => self.plugged.insert(port, false),
            Step::Plug(port) => self.plugged.insert(port, true),
            Step::Add(port) => self.attached.insert(port, true),
            Step::Remove(port) => self.attached.insert(port, false),
            Step::Switch(_) => None,
        };
    }
}

/// What one of the bonds says of itself: the active port, and each port's link and failures.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    active: Option<String>,
    ports: BTreeMap<String, (bool, u64)>,
}

fn scenario(rules: &Rules, seed: u64) {
    let homes = [(); 3].map(|()| three_ports());
    let [plain_home, kernel_home, ebpf_home] = &homes;
    make_plain(plain_home, rules);
    let kernel = Daemon::start_with_config(&kernel_home.laptop, &hitless_config(rules, "kernel")).unwrap();
    let ebpf = Daemon::start_with_config(&ebpf_home.laptop, &hitless_config(rules, "ebpf")).unwrap();
    let mut model = Model {
        plugged: PORTS.map(|port| (port, true)).into(),
        attached: PORTS.map(|port| (port, true)).into(),
    };
    let mut random = Random(seed | 1);
    let mut history = Vec::new();
    let bonds = Bonds { plain: plain_home, kernel: (kernel_home, &kernel), ebpf: (ebpf_home, &ebpf) };
    let mut seen = bonds.agree(&model, &format!("{}: at the start", rules.name));
    for _ in 0..rules.steps {
        let steps = model.possible(rules, seen.active.as_deref());
        let step = steps[random.below(steps.len())];
        history.push(step);
        model.take(step);
        plain_step(plain_home, rules, step);
        step_of_hitless(kernel_home, &kernel, step);
        step_of_hitless(ebpf_home, &ebpf, step);
        linger(SETTLING).unwrap();
        let context = format!("{}, HITLESS_SEED={seed}: after {history:?}", rules.name);
        seen = bonds.agree(&model, &context);
    }
    for daemon in [&kernel, &ebpf] {
        assert!(!daemon.log().contains("failed"), "{}", daemon.log());
        daemon.ask(&["down"]).unwrap();
    }
}

fn three_ports() -> Home {
    let home = Home::new(HomeOptions { segments: 2, ..HomeOptions::default() }).unwrap();
    home.switch.ip("link set swp2 master br0").unwrap();
    home
}

fn hitless_config(rules: &Rules, driver: &str) -> String {
    let ports: String = PORTS
        .iter()
        .zip(rules.prio)
        .map(|(port, prio)| format!("[bond.bond0.port.{port}]\nprio = {prio}\n"))
        .collect();
    format!(
        "[bond.bond0]\ndriver = \"{driver}\"\nports = {PORTS:?}\nfailback = \"carrier\"\n{}\n{ports}",
        rules.options
    )
}

/// Does a step on a bond of hitless.
fn step_of_hitless(home: &Home, daemon: &Daemon<'_>, step: Step) {
    match step {
        Step::Pull(port) => home.pull(port).unwrap(),
        Step::Plug(port) => home.plug(port).unwrap(),
        Step::Add(port) => drop(daemon.ask(&["port", "add", "bond0", port]).unwrap()),
        Step::Remove(port) => drop(daemon.ask(&["port", "remove", "bond0", port]).unwrap()),
        Step::Switch(port) => drop(daemon.ask(&["switch", "bond0", port]).unwrap()),
    }
}

/// The three.
struct Bonds<'a> {
    plain: &'a Home,
    kernel: (&'a Home, &'a Daemon<'a>),
    ebpf: (&'a Home, &'a Daemon<'a>),
}

impl Bonds<'_> {
    /// Waits until all three say the same, and what the scenario has led to. Returns it.
    fn agree(&self, model: &Model, when: &str) -> Seen {
        let expected: BTreeMap<String, bool> = PORTS
            .into_iter()
            .filter(|port| model.attached[port])
            .map(|port| (port.to_owned(), model.plugged[port]))
            .collect();
        until(&format!("the three to agree ({when})"), PATIENCE, || {
            let oracle = kernel_seen(self.plain);
            let others = [
                ("the kernel driver's bond", kernel_seen(self.kernel.0)),
                ("the kernel driver", hitless_seen(self.kernel.1)),
                ("the ebpf driver", hitless_seen(self.ebpf.1)),
            ];
            let links: BTreeMap<_, _> =
                oracle.ports.iter().map(|(name, (up, _))| (name.clone(), *up)).collect();
            Ok(if links == expected && others.iter().all(|(_, seen)| *seen == oracle) {
                Look::Yes(oracle)
            } else {
                let logs = [self.kernel.1.log(), self.ebpf.1.log()].join("\n");
                Look::No(format!("bonding {oracle:?}, {others:?}, expected {expected:?}\n{logs}"))
            })
        })
        .unwrap()
    }
}

fn kernel_seen(home: &Home) -> Seen {
    let shown = home.laptop.ip("-json -details link show").unwrap();
    let links: Value = serde_json::from_str(&shown).unwrap();
    let links = links.as_array().unwrap();
    let port = |link: &Value| {
        let place = &link["linkinfo"]["info_slave_data"];
        let failures = place["link_failure_count"].as_u64()?;
        Some((link["ifname"].as_str()?.to_owned(), (place["mii_status"] == "UP", failures)))
    };
    let bond = links.iter().find(|link| link["ifname"] == "bond0").unwrap();
    let active = bond["linkinfo"]["info_data"]["active_slave"].as_str().map(str::to_owned);
    Seen { active, ports: links.iter().filter_map(port).collect() }
}

fn hitless_seen(daemon: &Daemon<'_>) -> Seen {
    let bond = daemon.bond("bond0").unwrap();
    let port = |port: &Value| {
        let name = port["name"].as_str().unwrap().to_owned();
        (name, (port["link"] == "up", port["link_failures"].as_u64().unwrap()))
    };
    Seen {
        active: bond["active"].as_str().map(str::to_owned),
        ports: bond["ports"].as_array().unwrap().iter().map(port).collect(),
    }
}

// ---- bonding by hand -------------------------------------------------------------------------------------------------

fn make_plain(home: &Home, rules: &Rules) {
    let laptop = &home.laptop;
    laptop.ip("link add bond0 type bond mode active-backup miimon 10").unwrap();
    laptop.ip("link set bond0 up").unwrap();
    for port in PORTS {
        add_plain(home, rules, port);
    }
    laptop.ip(&format!("link set bond0 type bond {}", rules.plain)).unwrap();
}

fn add_plain(home: &Home, rules: &Rules, port: &str) {
    home.laptop.ip(&format!("link set {port} down")).unwrap();
    home.laptop.ip(&format!("link set {port} master bond0")).unwrap();
    let prio = PORTS.iter().zip(rules.prio).find(|(name, _)| **name == port).map_or(0, |(_, prio)| prio);
    home.laptop.ip(&format!("link set {port} type bond_slave prio {prio}")).unwrap();
}

fn plain_step(home: &Home, rules: &Rules, step: Step) {
    match step {
        Step::Pull(port) => home.pull(port).unwrap(),
        Step::Plug(port) => home.plug(port).unwrap(),
        Step::Add(port) => add_plain(home, rules, port),
        Step::Remove(port) => drop(home.laptop.ip(&format!("link set {port} nomaster")).unwrap()),
        Step::Switch(port) => {
            drop(home.laptop.ip(&format!("link set bond0 type bond active_slave {port}")).unwrap());
        }
    }
}

/// Random numbers (xorshift64*), the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap_or_default() % limit
    }
}
