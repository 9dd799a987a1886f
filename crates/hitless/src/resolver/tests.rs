//! The three ways, and from one to another.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::fake::{FakeResolvconf, FakeResolved, INDEX, Link};
use super::task::ResolverTask;
use super::text::OURS;
use super::{Dns, Places, Resolver, ResolverError, Via};
use crate::dbus::Bus;
use crate::dbus::testbus::TestBus;

const PATIENCE: Duration = Duration::from_secs(30);
const ORIGINAL: &str = "# mine\nnameserver 192.0.2.9\noptions edns0\n";

struct Bench {
    directory: TempDir,
    places: Places,
}

impl Bench {
    /// Without any bus.
    fn new() -> Self {
        Self::with_bus(Bus::at("unix:path=/nonexistent/bus"))
    }

    fn with_bus(bus: Bus) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["etc", "bin", "resolve"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let at = |name: &str| directory.path().join(name);
        let places = Places {
            bus,
            file: at("etc/resolv.conf"),
            programs: vec![at("bin")],
            resolved: vec![at("resolve")],
            state: at("state"),
        };
        fs::write(&places.file, ORIGINAL).unwrap();
        fs::set_permissions(&places.file, fs::Permissions::from_mode(0o640)).unwrap();
        Self { directory, places }
    }

    /// A daemon: the next one, when there was one before.
    fn resolver(&self) -> Resolver {
        Resolver::new(self.places.clone()).unwrap()
    }

    fn file(&self) -> &Path {
        &self.places.file
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// The file but for its first line.
    fn rest(&self) -> String {
        let text = self.text();
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with(OURS), "{text}");
        rest.to_owned()
    }

    fn assert_as_before(&self) {
        assert_eq!(self.text(), ORIGINAL);
        assert_eq!(fs::metadata(self.file()).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(!self.kept().exists());
        assert_eq!(fs::read_dir(self.directory.path().join("etc")).unwrap().count(), 1);
    }

    fn kept(&self) -> PathBuf {
        self.places.state.join("resolv.conf.original")
    }

    fn program(&self) -> FakeResolvconf {
        FakeResolvconf::install(&self.directory.path().join("bin"))
    }
}

fn dns(server: &str) -> Dns {
    Dns { servers: vec![server.parse().unwrap()], search: vec!["home.example".to_owned()] }
}

fn lines(server: &str) -> String {
    format!("nameserver {server}\nsearch home.example\n")
}

// ---- the file ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_file_is_written_and_given_back() {
    let bench = Bench::new();
    let mut resolver = bench.resolver();
    assert_eq!(resolver.via(), None);
    assert_eq!(resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap(), Some(Via::File));
    assert_eq!((resolver.via(), resolver.bonds()), (Some(Via::File), vec!["bond0".to_owned()]));
    assert_eq!(bench.rest(), format!("{}options edns0\n", lines("192.0.2.1")));
    assert_eq!(fs::metadata(bench.file()).unwrap().permissions().mode() & 0o7777, 0o644);
    resolver.set("bond0", INDEX, &dns("192.0.2.2")).await.unwrap();
    assert_eq!(bench.rest(), format!("{}options edns0\n", lines("192.0.2.2")));
    resolver.clear("bond0", INDEX).await.unwrap();
    bench.assert_as_before();
    assert_eq!((resolver.via(), resolver.bonds()), (None, Vec::new()));
}

#[tokio::test]
async fn the_first_line_says_how_to_get_back_what_was_there() {
    let bench = Bench::new();
    let mut resolver = bench.resolver();
    resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    let text = bench.text();
    let command = text.lines().next().unwrap().rsplit_once(": ").unwrap().1;
    let done = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
    assert!(done.success(), "{command}");
    assert_eq!(bench.text(), ORIGINAL);
    // Who did that is not overruled.
    assert!(resolver.check().await.iter().all(|(_, outcome)| outcome.is_ok()));
    assert_eq!(bench.text(), ORIGINAL);
    resolver.clear("bond0", INDEX).await.unwrap();
    assert_eq!(bench.text(), ORIGINAL);
}

#[tokio::test]
async fn several_bonds_share_the_file() {
    let bench = Bench::new();
    let mut resolver = bench.resolver();
    resolver.set("bond0", 7, &dns("192.0.2.1")).await.unwrap();
    resolver.set("bond1", 8, &dns("fe80::1")).await.unwrap();
    let both = "nameserver 192.0.2.1\nnameserver fe80::1%bond1\nsearch home.example\noptions edns0\n";
    assert_eq!(bench.rest(), both);
    resolver.set("bond0", 7, &Dns::default()).await.unwrap();
    assert_eq!(bench.rest(), "nameserver fe80::1%bond1\nsearch home.example\noptions edns0\n");
    resolver.clear("bond1", 8).await.unwrap();
    bench.assert_as_before();
}

#[tokio::test]
async fn a_symlink_is_replaced_and_given_back() {
    let bench = Bench::new();
    let target = Path::new("../elsewhere/resolv.conf");
    fs::remove_file(bench.file()).unwrap();
    symlink(target, bench.file()).unwrap();
    let mut resolver = bench.resolver();
    resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    assert_eq!(bench.rest(), lines("192.0.2.1"));
    assert!(fs::symlink_metadata(bench.file()).unwrap().is_file());
    assert_eq!(fs::read_link(bench.kept()).unwrap(), target, "it can be put back by hand");
    drop(resolver);
    bench.resolver().clear("bond0", INDEX).await.unwrap();
    assert_eq!(fs::read_link(bench.file()).unwrap(), target);
}

#[tokio::test]
async fn where_there_was_no_file_there_is_none_again() {
    let bench = Bench::new();
    fs::remove_file(bench.file()).unwrap();
    let mut resolver = bench.resolver();
    resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    assert_eq!(bench.rest(), lines("192.0.2.1"));
    resolver.clear("bond0", INDEX).await.unwrap();
    assert!(!bench.file().exists());
}

#[tokio::test]
async fn the_next_daemon_carries_on_and_gives_back() {
    let bench = Bench::new();
    bench.resolver().set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    let written = fs::metadata(bench.file()).unwrap().modified().unwrap();
    let mut next = bench.resolver();
    assert_eq!(next.via(), Some(Via::File));
    next.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    assert_eq!(fs::metadata(bench.file()).unwrap().modified().unwrap(), written, "nothing was to be done");
    next.set("bond0", INDEX, &dns("192.0.2.2")).await.unwrap();
    drop(next);
    // This one has no such bond any more.
    let mut last = bench.resolver();
    let outcomes = last.retain(&["bond1".to_owned()]).await;
    assert!(matches!(&outcomes[..], [(bond, Ok(None))] if bond == "bond0"), "{outcomes:?}");
    bench.assert_as_before();
}

#[tokio::test]
async fn a_daemon_may_be_killed_at_any_point() {
    let bench = Bench::new();
    bench.resolver().set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    let first = bench.text();
    // It had noted what it was about to write, and maybe had written it.
    let page = bench.places.state.join("resolver.json");
    let second = first.replace("192.0.2.1", "192.0.2.2");
    for there in [&first, &second] {
        let mut noted: serde_json::Value = serde_json::from_slice(&fs::read(&page).unwrap()).unwrap();
        noted["file"]["written"] = serde_json::Value::Null;
        noted["file"]["writing"] = serde_json::json!([first, second]);
        fs::write(&page, serde_json::to_vec(&noted).unwrap()).unwrap();
        fs::write(bench.file(), there).unwrap();
        bench.resolver().set("bond0", INDEX, &dns("192.0.2.2")).await.unwrap();
        assert_eq!(bench.text(), second);
        assert_eq!(fs::read_to_string(bench.kept()).unwrap(), ORIGINAL);
    }
    // It had noted that it gives back what was there, and had done so.
    let mut noted: serde_json::Value = serde_json::from_slice(&fs::read(&page).unwrap()).unwrap();
    noted["file"]["written"] = serde_json::Value::Null;
    noted["file"]["writing"] = serde_json::json!([second, ""]);
    fs::write(&page, serde_json::to_vec(&noted).unwrap()).unwrap();
    fs::copy(bench.kept(), bench.file()).unwrap();
    let mut next = bench.resolver();
    next.set("bond0", INDEX, &dns("192.0.2.2")).await.unwrap();
    assert_eq!(bench.text(), second);
    next.clear("bond0", INDEX).await.unwrap();
    assert_eq!(bench.text(), ORIGINAL);
}

#[tokio::test]
async fn what_somebody_else_has_written_stays() {
    let bench = Bench::new();
    let mut resolver = bench.resolver();
    resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    let other = "nameserver 192.0.2.66\n";
    fs::write(bench.file(), other).unwrap();
    resolver.check().await;
    resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    assert_eq!(bench.text(), other);
    resolver.clear("bond0", INDEX).await.unwrap();
    assert_eq!(bench.text(), other);
    assert_eq!(fs::read_to_string(bench.kept()).unwrap(), ORIGINAL, "for whoever wants it");
}

#[tokio::test]
async fn other_name_servers_come_first_again_and_the_other_file_is_the_original_then() {
    let bench = Bench::new();
    let mut resolver = bench.resolver();
    resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    let other = "nameserver 192.0.2.66\n";
    fs::write(bench.file(), other).unwrap();
    resolver.set("bond0", INDEX, &dns("192.0.2.2")).await.unwrap();
    assert_eq!(bench.rest(), lines("192.0.2.2"));
    // Ours with changes is nobody's original.
    fs::write(bench.file(), format!("{}nameserver 192.0.2.67\n", bench.text())).unwrap();
    resolver.set("bond0", INDEX, &dns("192.0.2.3")).await.unwrap();
    assert_eq!(bench.rest(), lines("192.0.2.3"));
    resolver.clear("bond0", INDEX).await.unwrap();
    assert_eq!(bench.text(), other);
}

#[tokio::test]
async fn another_boot_begins_anew_and_still_gives_back() {
    let bench = Bench::new();
    bench.resolver().set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    let page = bench.places.state.join("resolver.json");
    let reboot = || {
        let mut noted: serde_json::Value = serde_json::from_slice(&fs::read(&page).unwrap()).unwrap();
        noted["place"]["boot"] = "another".into();
        fs::write(&page, serde_json::to_vec(&noted).unwrap()).unwrap();
    };
    // Somebody else writes the file whenever the machine starts.
    reboot();
    let other = "nameserver 192.0.2.66\n";
    fs::write(bench.file(), other).unwrap();
    let mut next = bench.resolver();
    assert_eq!(next.bonds(), Vec::<String>::new());
    next.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    assert_eq!(bench.rest(), lines("192.0.2.1"));
    drop(next);
    reboot();
    bench.resolver().check().await;
    assert_eq!(bench.text(), other);
}

#[tokio::test]
async fn what_is_removed_is_written_again() {
    let bench = Bench::new();
    let mut resolver = bench.resolver();
    resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    fs::remove_file(bench.file()).unwrap();
    resolver.check().await;
    assert_eq!(bench.rest(), format!("{}options edns0\n", lines("192.0.2.1")));
    resolver.clear("bond0", INDEX).await.unwrap();
    bench.assert_as_before();
}

#[tokio::test]
async fn a_lost_memory_makes_nothing_worse() {
    let bench = Bench::new();
    bench.resolver().set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    fs::write(bench.places.state.join("resolver.json"), "{ half").unwrap();
    let mut next = bench.resolver();
    next.set("bond0", INDEX, &dns("192.0.2.2")).await.unwrap();
    next.clear("bond0", INDEX).await.unwrap();
    bench.assert_as_before();
    next.set("bond0", INDEX, &dns("192.0.2.2")).await.unwrap();
    drop(next);
    fs::remove_dir_all(&bench.places.state).unwrap();
    let mut last = bench.resolver();
    last.set("bond0", INDEX, &dns("192.0.2.3")).await.unwrap();
    let text = bench.text();
    last.clear("bond0", INDEX).await.unwrap();
    assert_eq!(bench.text(), text, "what is not known cannot be given back");
}

#[tokio::test]
async fn errors_name_the_file_and_the_remedy() {
    let bench = Bench::new();
    fs::remove_file(bench.file()).unwrap();
    fs::create_dir(bench.file()).unwrap();
    let mut resolver = bench.resolver();
    let error = resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap_err();
    assert!(matches!(&error, ResolverError::NotAFile { path } if path == bench.file()), "{error}");
    // It stays wanted, and is settled when that is possible.
    fs::remove_dir(bench.file()).unwrap();
    assert!(matches!(resolver.check().await[..], [(_, Ok(Some(Via::File)))]));

    let bench = Bench::new();
    fs::write(&bench.places.state, "in the way").unwrap();
    let error = Resolver::new(bench.places.clone()).unwrap_err();
    assert!(matches!(error, ResolverError::Memory { what: "read", .. }), "{error}");
    fs::remove_file(&bench.places.state).unwrap();
    let mut resolver = bench.resolver();
    fs::write(&bench.places.state, "in the way").unwrap();
    let error = resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap_err();
    assert!(matches!(error, ResolverError::Memory { .. }), "{error}");
    assert_eq!(bench.text(), ORIGINAL, "what cannot be kept is not replaced");
}

// ---- resolvconf --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn resolvconf_is_told_and_told_again_only_of_changes() {
    let bench = Bench::new();
    let program = bench.program();
    let mut resolver = bench.resolver();
    assert_eq!(resolver.set("bond0", INDEX, &dns("fe80::1")).await.unwrap(), Some(Via::Resolvconf));
    let added = format!("-a bond0.hitless\n{}", lines("fe80::1%bond0"));
    assert_eq!(program.log(), added);
    resolver.set("bond0", INDEX, &dns("fe80::1")).await.unwrap();
    resolver.check().await;
    drop(resolver);
    let mut next = bench.resolver();
    next.set("bond0", INDEX, &dns("fe80::1")).await.unwrap();
    assert_eq!(program.log(), added);
    next.clear("bond0", INDEX).await.unwrap();
    assert_eq!(program.log(), format!("{added}-d bond0.hitless\n"));
    assert_eq!(bench.text(), ORIGINAL, "the file is resolvconf's business");
}

#[tokio::test]
async fn what_resolvconf_says_is_in_the_error() {
    let bench = Bench::new();
    let program = bench.program();
    program.replace("echo 'no room' >&2; sleep 600 & exit 3");
    let mut resolver = bench.resolver();
    // Not even when what it has started goes on.
    let error = resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap_err().to_string();
    assert!(error.contains("no room") && error.contains("exit status: 3"), "{error}");
    assert_eq!(resolver.via(), None);
    program.replace("exit 0");
    assert!(matches!(resolver.check().await[..], [(_, Ok(Some(Via::Resolvconf)))]));
    program.replace("echo 'No resolv.conf for interface bond0.hitless' >&2; exit 1");
    resolver.clear("bond0", INDEX).await.unwrap();
}

#[tokio::test]
async fn the_resolvconf_of_systemd_resolved_is_none() {
    let bench = Bench::new();
    let directory = &bench.places.programs[0];
    fs::write(directory.join("resolvectl"), "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(directory.join("resolvectl"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("resolvectl", directory.join("resolvconf")).unwrap();
    let via = bench.resolver().set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    assert_eq!(via, Some(Via::File));
}

#[tokio::test]
async fn resolvconf_may_be_installed_and_removed() {
    let bench = Bench::new();
    let mut resolver = bench.resolver();
    resolver.set("bond0", 7, &dns("192.0.2.1")).await.unwrap();
    resolver.set("bond1", 8, &dns("192.0.2.2")).await.unwrap();
    let program = bench.program();
    resolver.set("bond0", 7, &dns("192.0.2.3")).await.unwrap();
    assert_eq!(resolver.via(), Some(Via::Resolvconf));
    bench.assert_as_before();
    assert!(program.log().contains("-a bond1.hitless"), "{}", program.log());
    fs::remove_file(bench.places.programs[0].join("resolvconf")).unwrap();
    resolver.check().await;
    assert_eq!(resolver.via(), Some(Via::File));
    assert!(bench.rest().starts_with("nameserver 192.0.2.3\nnameserver 192.0.2.2\n"), "{}", bench.text());
}

// ---- systemd-resolved --------------------------------------------------------------------------------------------

fn link(servers: &[(i32, &[u8])]) -> Link {
    Link {
        servers: servers.iter().map(|(family, octets)| (*family, octets.to_vec())).collect(),
        domains: vec![("home.example".to_owned(), false)],
        default_route: Some(true),
    }
}

#[tokio::test]
async fn systemd_resolved_is_told_by_interface() {
    let bus = TestBus::start();
    let bench = Bench::with_bus(bus.bus());
    let fake = FakeResolved::start(&bus.bus()).await;
    let _unused = bench.program();
    let mut resolver = bench.resolver();
    let mut wanted = dns("192.0.2.1");
    wanted.servers.push("2001:db8::1".parse().unwrap());
    assert_eq!(resolver.set("bond0", INDEX, &wanted).await.unwrap(), Some(Via::Resolved));
    let octets = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    assert_eq!(fake.link(), link(&[(2, &[192, 0, 2, 1]), (10, &octets)]));
    assert_eq!(bench.text(), ORIGINAL);
    // Nothing is set that is there.
    resolver.set("bond0", INDEX, &wanted).await.unwrap();
    resolver.check().await;
    assert_eq!(fake.count("SetLinkDNS"), 1);
    fake.forget();
    resolver.check().await;
    assert_eq!(fake.link(), link(&[(2, &[192, 0, 2, 1]), (10, &octets)]));
    drop(resolver);
    bench.resolver().clear("bond0", INDEX).await.unwrap();
    assert_eq!(fake.link(), Link::default());
}

#[tokio::test]
async fn systemd_resolved_that_comes_again_is_told_again() {
    let bus = TestBus::start();
    let bench = Bench::with_bus(bus.bus());
    let fake = FakeResolved::start(&bus.bus()).await;
    let mut resolver = bench.resolver();
    resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap();
    timeout(PATIENCE, resolver.changed()).await.expect("it listens");
    fake.end().await;
    let fake = FakeResolved::start(&bus.bus()).await;
    timeout(PATIENCE, resolver.changed()).await.expect("it has come");
    assert!(matches!(resolver.check().await[..], [(_, Ok(Some(Via::Resolved)))]));
    assert_eq!(fake.link(), link(&[(2, &[192, 0, 2, 1])]));
}

#[tokio::test]
async fn systemd_resolved_may_come_later_and_go() {
    let bus = TestBus::start();
    let bench = Bench::with_bus(bus.bus());
    let mut resolver = bench.resolver();
    assert_eq!(resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap(), Some(Via::File));
    let fake = FakeResolved::start(&bus.bus()).await;
    resolver.check().await;
    assert_eq!((resolver.via(), fake.link()), (Some(Via::Resolved), link(&[(2, &[192, 0, 2, 1])])));
    bench.assert_as_before();
    fake.end().await;
    resolver.check().await;
    assert_eq!(resolver.via(), Some(Via::File));
    assert!(bench.rest().starts_with(&lines("192.0.2.1")), "{}", bench.text());
}

#[tokio::test]
async fn what_systemd_resolved_refuses_is_said_with_the_remedy() {
    let bus = TestBus::start();
    let bench = Bench::with_bus(bus.bus());
    let fake = FakeResolved::start(&bus.bus()).await;
    let mut resolver = bench.resolver();
    let error = resolver.set("bond0", 99, &dns("192.0.2.1")).await.unwrap_err();
    assert!(matches!(error, ResolverError::Unknown { index: 99, .. }), "{error}");
    resolver.clear("bond0", 99).await.unwrap();
    for (name, words) in [
        ("org.freedesktop.resolve1.LinkBusy", "Unmanaged=yes"),
        ("org.freedesktop.DBus.Error.AccessDenied", "CAP_NET_ADMIN"),
        ("org.freedesktop.DBus.Error.InvalidArgs", "journalctl"),
    ] {
        fake.refuse(Some(name));
        let error = resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("bond0"), "{error}");
    }
    assert_eq!((resolver.via(), bench.text().as_str()), (None, ORIGINAL));
    fake.refuse(None);
    assert!(matches!(resolver.check().await[..], [(_, Ok(Some(Via::Resolved)))]));
}

#[tokio::test]
async fn a_bond_that_systemd_resolved_does_not_know_yet_is_tried_again() {
    let bus = TestBus::start();
    let bench = Bench::with_bus(bus.bus());
    let fake = FakeResolved::start(&bus.bus()).await;
    let mut resolver = bench.resolver();
    timeout(PATIENCE, resolver.changed()).await.expect("it listens");
    fake.refuse(Some("org.freedesktop.resolve1.NoSuchLink"));
    resolver.set("bond0", INDEX, &dns("192.0.2.1")).await.unwrap_err();
    fake.refuse(None);
    timeout(PATIENCE, resolver.changed()).await.expect("long before it looks by itself");
    assert!(matches!(resolver.check().await[..], [(_, Ok(Some(Via::Resolved)))]));
    assert_eq!(fake.link(), link(&[(2, &[192, 0, 2, 1])]));
}

// ---- beside the loop ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_task_does_as_it_is_told_and_reports() {
    let bus = TestBus::start();
    let bench = Bench::with_bus(bus.bus());
    let (sender, mut reports) = mpsc::unbounded_channel();
    let task = ResolverTask::start(bench.places.clone(), sender).unwrap();
    task.set("bond0", INDEX, dns("192.0.2.1"));
    task.settled().await;
    assert_eq!(task.via(), Some(Via::File));
    let report = reports.recv().await.unwrap();
    assert!(report.bond == "bond0" && matches!(report.outcome, Ok(Some(Via::File))), "{report:?}");
    // It notices by itself.
    let fake = FakeResolved::start(&bus.bus()).await;
    let report = timeout(PATIENCE, reports.recv()).await.expect("a report").unwrap();
    assert!(matches!(report.outcome, Ok(Some(Via::Resolved))), "{report:?}");
    assert_eq!(fake.link(), link(&[(2, &[192, 0, 2, 1])]));
    task.set("bond0", INDEX, dns("192.0.2.1"));
    task.clear("bond0", INDEX);
    task.settled().await;
    let report = reports.recv().await.unwrap();
    assert!(matches!(report.outcome, Ok(None)), "what is as it was is not told: {report:?}");
    assert_eq!((task.via(), fake.link()), (None, Link::default()));
    bench.assert_as_before();
    drop(task);
    assert!(timeout(PATIENCE, reports.recv()).await.expect("its end").is_none());
}
