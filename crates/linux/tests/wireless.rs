//! What is wireless, on a kernel that may have no notion of it: nothing here is, and that is no error.
//!
//! What a kernel with 802.11 says is tested in a guest, by the laboratory. Needs root: each test makes a network namespace
//! of its own and removes it, also when it fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::fs::File;
use std::future::Future;
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use hitless_core::mac::MacAddr;
use hitless_linux::privilege;
use hitless_linux::wireless::Wireless;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns};
use tokio::time::timeout;

/// A network namespace with a pair of veths (v0, v1) for as long as this lives.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        privilege::require_net_admin()
            .unwrap_or_else(|missing| panic!("these tests make interfaces: {missing}"));
        let name = format!("hl-wl-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"));
        let space = Self(name);
        space.ip("link add v0 type veth peer name v1");
        space
    }

    /// `ip` in this namespace.
    fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.0));
    }

    /// Run this in the namespace, on a thread and a runtime of its own.
    fn run<F: Future<Output = ()>>(&self, work: impl FnOnce() -> F + Send) {
        let namespace = File::open(format!("/run/netns/{}", self.0)).unwrap();
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work());
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

fn ip(arguments: &str) {
    let output =
        Command::new("ip").args(arguments.split_whitespace()).output().expect("the command ip (iproute2)");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_wire_is_not_wireless() {
    Namespace::new().run(|| async {
        let wireless = Wireless::requests().unwrap();
        let wire = if_nametoindex("v0").unwrap();
        for index in [wire, wire + 1000] {
            assert_eq!(wireless.interface(index).unwrap(), None);
            assert_eq!(wireless.station(index, None).unwrap(), None);
            assert_eq!(wireless.counters(index, MacAddr([2, 0, 0, 0, 0, 1])).unwrap(), None);
            assert_eq!(wireless.power_save(index).unwrap(), None);
        }
        let error = wireless.set_power_save(wire, false).unwrap_err();
        assert!(error.is_gone(), "{error}");
        assert!(error.to_string().starts_with("cannot set the power saving of v0: "), "{error}");
    });
}

#[test]
fn nothing_wireless_happens_to_a_wire() {
    let space = Namespace::new();
    space.run(|| async {
        let (_wireless, mut events) = Wireless::open().unwrap();
        space.ip("link set v0 up");
        space.ip("link delete v0");
        let event = timeout(Duration::from_millis(100), events.next()).await;
        assert!(event.is_err(), "{event:?}");
    });
}
