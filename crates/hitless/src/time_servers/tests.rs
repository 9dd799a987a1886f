//! Both ways, against a systemd-timesyncd and a `chronyc` of the tests' own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use tempfile::TempDir;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, Variant};

use super::timesyncd::{NAME, Timesyncd};
use super::{Places, TimeServers, Wanted};
use crate::dbus::Bus;
use crate::dbus::testbus::TestBus;

const FIRST: &str = "192.0.2.1";
const SECOND: &str = "2001:db8::2";

fn wanted(bonds: &[(&str, &[&str])]) -> Wanted {
    let parse = |servers: &[&str]| servers.iter().map(|server| server.parse::<IpAddr>().unwrap()).collect();
    bonds.iter().map(|(bond, servers)| ((*bond).to_owned(), parse(servers))).collect()
}

// ---- systemd-timesyncd -------------------------------------------------------------------------------------------

/// Its list, and how often it was told.
#[derive(Debug, Default)]
struct State {
    runtime: Vec<String>,
    told: usize,
    refusal: Option<&'static str>,
}

/// A systemd-timesyncd. It is gone from the bus when it is dropped.
struct FakeTimesyncd {
    state: Arc<Mutex<State>>,
    task: tokio::task::JoinHandle<()>,
}

impl FakeTimesyncd {
    async fn start(bus: &Bus) -> Self {
        let connection = bus.connect().await.unwrap();
        let state: Arc<Mutex<State>> = Arc::default();
        let task = tokio::spawn(serve(MessageStream::from(&connection), connection.clone(), state.clone()));
        connection.request_name(NAME).await.unwrap();
        Self { state, task }
    }

    fn runtime(&self) -> Vec<String> {
        self.state.lock().unwrap().runtime.clone()
    }

    fn told(&self) -> usize {
        self.state.lock().unwrap().told
    }
}

impl Drop for FakeTimesyncd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: MessageStream, connection: Connection, state: Arc<Mutex<State>>) {
    while let Some(Ok(message)) = stream.next().await {
        if message.message_type() == Type::MethodCall {
            answer(&message, &connection, &state).await;
        }
    }
}

async fn answer(message: &Message, connection: &Connection, state: &Mutex<State>) {
    let header = message.header();
    let refusal = state.lock().unwrap().refusal;
    if let Some(name) = refusal {
        return connection.reply_error(&header, name, &"not so").await.unwrap();
    }
    match header.member().unwrap().as_str() {
        "Get" => {
            let there = state.lock().unwrap().runtime.clone();
            connection.reply(&header, &Variant::from(there)).await.unwrap();
        }
        "SetRuntimeNTPServers" => {
            let servers: Vec<String> = message.body().deserialize().unwrap();
            {
                let mut state = state.lock().unwrap();
                (state.runtime, state.told) = (servers, state.told + 1);
            }
            connection.reply(&header, &()).await.unwrap();
        }
        other => unreachable!("{other}"),
    }
}

/// Without chrony.
fn on(bus: &Bus, state: &TempDir) -> Places {
    let state = state.path().to_owned();
    Places { bus: bus.clone(), programs: Vec::new(), sources: "/nonexistent".into(), state }
}

#[tokio::test]
async fn timesyncd_has_the_servers_of_all_bonds_and_none_when_they_are_gone() {
    let (bus, state) = (TestBus::start(), tempfile::tempdir().unwrap());
    let timesyncd = FakeTimesyncd::start(&bus.bus()).await;
    let servers = TimeServers::start(on(&bus.bus(), &state));
    let both = wanted(&[("bond0", &[FIRST, SECOND]), ("bond1", &[FIRST])]);
    servers.keep(both.clone());
    servers.settled().await;
    assert_eq!(timesyncd.runtime(), [FIRST, SECOND]);
    servers.keep(both);
    servers.settled().await;
    assert_eq!(timesyncd.told(), 1, "it has them already");
    servers.keep(wanted(&[("bond1", &[FIRST])]));
    servers.settled().await;
    assert_eq!(timesyncd.runtime(), [FIRST]);
    servers.keep(Wanted::new());
    servers.settled().await;
    assert!(timesyncd.runtime().is_empty());
}

#[tokio::test]
async fn timesyncd_is_told_again_when_it_has_come_again() {
    let (bus, state) = (TestBus::start(), tempfile::tempdir().unwrap());
    let servers = TimeServers::start(on(&bus.bus(), &state));
    servers.keep(wanted(&[("bond0", &[FIRST])]));
    servers.settled().await;
    for _ in 0..2 {
        let timesyncd = FakeTimesyncd::start(&bus.bus()).await;
        while timesyncd.runtime() != [FIRST] {
            tokio::task::yield_now().await;
        }
        let gone = bus.bus().connect().await.unwrap();
        drop(timesyncd);
        // Only when the bus knows that it is gone can another come.
        while gone
            .call_method(
                Some("org.freedesktop.DBus"),
                "/org/freedesktop/DBus",
                Some("org.freedesktop.DBus"),
                "GetNameOwner",
                &NAME,
            )
            .await
            .is_ok()
        {}
    }
}

#[tokio::test]
async fn what_others_told_timesyncd_is_theirs() {
    let (bus, state) = (TestBus::start(), tempfile::tempdir().unwrap());
    let timesyncd = FakeTimesyncd::start(&bus.bus()).await;
    // Not the whole, which looks by itself as well.
    let mut ours = Timesyncd::new(bus.bus(), state.path());
    assert!(ours.settle(&wanted(&[("bond0", &[FIRST])])).await.unwrap());
    timesyncd.state.lock().unwrap().runtime = vec![SECOND.to_owned()];
    assert!(!ours.settle(&Wanted::new()).await.unwrap());
    assert_eq!(timesyncd.runtime(), [SECOND]);
}

#[tokio::test]
async fn a_later_daemon_takes_back_what_an_earlier_one_told_timesyncd() {
    let (bus, state) = (TestBus::start(), tempfile::tempdir().unwrap());
    let timesyncd = FakeTimesyncd::start(&bus.bus()).await;
    let places = on(&bus.bus(), &state);
    let earlier = TimeServers::start(places.clone());
    earlier.keep(wanted(&[("bond0", &[FIRST])]));
    earlier.settled().await;
    drop(earlier);
    assert!(TimeServers::remembers(&places));
    let later = TimeServers::start(places.clone());
    later.keep(Wanted::new());
    later.settled().await;
    assert!(timesyncd.runtime().is_empty());
    assert!(!TimeServers::remembers(&places));
}

#[tokio::test]
async fn a_timesyncd_that_refuses_or_is_too_old_harms_nobody() {
    let (bus, state) = (TestBus::start(), tempfile::tempdir().unwrap());
    let timesyncd = FakeTimesyncd::start(&bus.bus()).await;
    let servers = TimeServers::start(on(&bus.bus(), &state));
    for refusal in ["org.freedesktop.DBus.Error.UnknownProperty", "org.freedesktop.DBus.Error.AccessDenied"] {
        timesyncd.state.lock().unwrap().refusal = Some(refusal);
        servers.keep(wanted(&[("bond0", &[FIRST])]));
        servers.settled().await;
    }
    assert_eq!(timesyncd.told(), 0);
    timesyncd.state.lock().unwrap().refusal = None;
    servers.keep(wanted(&[("bond0", &[FIRST])]));
    servers.settled().await;
    assert_eq!(timesyncd.runtime(), [FIRST]);
}

// ---- chrony ------------------------------------------------------------------------------------------------------

/// A machine with a `chronyc` that notes what it is told.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.install("exit 0");
        machine
    }

    /// With this for the end of its body.
    fn install(&self, body: &str) {
        let text = format!("#!/bin/sh\necho \"$*\" >>{}\n{body}\n", self.at("log").display());
        // Not written while somebody may run it.
        fs::write(self.at("new"), text).unwrap();
        fs::set_permissions(self.at("new"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(self.at("new"), self.at("chronyc")).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn places(&self) -> Places {
        let bus = Bus::at("unix:path=/nonexistent/bus");
        let programs = vec![self.0.path().to_owned()];
        Places { bus, programs, sources: self.at("sources"), state: self.at("state") }
    }

    /// How often it was told to read.
    fn told(&self) -> usize {
        fs::read_to_string(self.at("log")).unwrap_or_default().matches("reload sources").count()
    }
}

fn written(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn chrony_reads_a_file_for_each_bond_and_none_when_it_is_gone() {
    let machine = Machine::new();
    let file = machine.at("sources/hitless-bond0.sources");
    let servers = TimeServers::start(machine.places());
    let both = wanted(&[("bond0", &[FIRST, SECOND]), ("bond1", &[FIRST])]);
    servers.keep(both.clone());
    servers.settled().await;
    assert_eq!(written(&file), format!("server {FIRST} iburst\nserver {SECOND} iburst\n"));
    assert_eq!(machine.told(), 1);
    servers.keep(both);
    servers.settled().await;
    assert_eq!(machine.told(), 1, "nothing is new");
    let others = machine.at("sources/eth0.sources");
    fs::write(&others, "theirs").unwrap();
    assert!(TimeServers::remembers(&machine.places()));
    servers.keep(Wanted::new());
    servers.settled().await;
    assert!(!file.exists() && others.exists());
    assert_eq!(machine.told(), 2);
    assert!(!TimeServers::remembers(&machine.places()));
}

#[tokio::test]
async fn a_later_daemon_has_chrony_read_what_an_earlier_one_wrote() {
    let machine = Machine::new();
    machine.install("exit 1");
    let of_bond = wanted(&[("bond0", &[FIRST])]);
    for daemon in 1..=2 {
        let servers = TimeServers::start(machine.places());
        servers.keep(of_bond.clone());
        servers.settled().await;
        assert_eq!(machine.told(), daemon);
        machine.install("exit 0");
    }
}

#[tokio::test]
async fn a_later_daemon_removes_what_an_earlier_one_wrote() {
    let machine = Machine::new();
    let earlier = TimeServers::start(machine.places());
    earlier.keep(wanted(&[("bond0", &[FIRST])]));
    earlier.settled().await;
    drop(earlier);
    let later = TimeServers::start(machine.places());
    later.keep(Wanted::new());
    later.settled().await;
    assert!(!machine.at("sources/hitless-bond0.sources").exists());
}

#[tokio::test]
async fn chronyc_is_asked_again_where_it_failed_but_not_where_nobody_is_there() {
    let machine = Machine::new();
    machine.install("echo '501 Not authorised'; exit 1");
    let servers = TimeServers::start(machine.places());
    let of_bond = wanted(&[("bond0", &[FIRST])]);
    for told in 1..=2 {
        servers.keep(of_bond.clone());
        servers.settled().await;
        assert_eq!(machine.told(), told);
    }
    machine.install("echo '506 Cannot talk to daemon'; exit 1");
    for _ in 0..2 {
        servers.keep(of_bond.clone());
        servers.settled().await;
        assert_eq!(machine.told(), 3);
    }
}

#[tokio::test]
async fn without_chrony_nothing_is_written() {
    let machine = Machine::new();
    fs::remove_file(machine.at("chronyc")).unwrap();
    let servers = TimeServers::start(machine.places());
    servers.keep(wanted(&[("bond0", &[FIRST])]));
    servers.settled().await;
    assert!(!machine.at("sources").exists());
}
