//! Unicast on standby ports: an access point delivers to its station, whichever port is active.
//!
//! ```text
//!   laptop          home                      peer, a station of the same access point
//!   eth0 ────────── swp0 ┐
//!                        ├ br0 ─── router
//!                   apw0 ┘
//!                    │
//!                   apw1 ┐
//!   wlan0 ───────── swp1 ┼ ap0
//!                   swp9 ┘─────────────────── sta0   192.168.1.7/24
//! ```
//!
//! ap0 is a bridge that knows its station wlan0, and believes nobody else who says that it has that address.

use std::net::{Ipv4Addr, UdpSocket};

use hitless_lab::meter::End;
use hitless_lab::netns::Namespace;
use hitless_lab::wait::{Look, linger, until};
use hitless_lab::{Daemon, Home, Meter};

use crate::support::*;

/// The port that datagrams to everybody go to.
const PORT: u16 = 5353;

/// So many of them.
const SHOUTS: usize = 100;

#[test]
fn guest_unicast_on_a_standby_port() {
    in_guest("standby::guest_unicast_on_a_standby_port", || {
        a_peer_on_the_same_access_point();
        without_a_daemon();
    });
}

#[test]
fn guest_programs_come_and_go() {
    in_guest("standby::guest_programs_come_and_go", || {
        as_found_afterwards();
        where_nothing_is_needed();
    });
}

#[test]
fn guest_standby_ports_without_bpf_filters() {
    in_guest("standby::guest_standby_ports_without_bpf_filters", || {
        without_bpf_filters();
        it_does_without();
    });
}

/// A home with an access point, and a peer there.
struct Place {
    home: Home,
    peer: Namespace,
}

impl Place {
    fn new() -> Self {
        let (home, peer) = (home(), Namespace::new("peer").unwrap());
        let switch = &home.switch;
        switch.ip("link add ap0 type bridge forward_delay 0").unwrap();
        switch.ip("link add apw0 type veth peer name apw1").unwrap();
        switch.ip("link add swp9 type veth peer name sta0").unwrap();
        switch.ip(&format!("link set sta0 netns {}", peer.name())).unwrap();
        switch.ip("link set swp1 nomaster").unwrap();
        for (port, bridge) in [("apw0", "br0"), ("apw1", "ap0"), ("swp1", "ap0"), ("swp9", "ap0")] {
            switch.ip(&format!("link set {port} master {bridge} up")).unwrap();
        }
        switch.ip("link set ap0 up").unwrap();
        peer.ip("link set sta0 up").unwrap();
        peer.ip("address add 192.168.1.7/24 dev sta0").unwrap();
        Self { home, peer }
    }

    /// Starts the daemon, and has the access point know its station.
    fn start(&self, options: &str) -> Daemon<'_> {
        let daemon = start(&self.home, &config(options));
        wait_kernel_up(&self.home.laptop, "wlan0");
        let station = mac(&self.home.laptop, "wlan0");
        let entry = ["bridge", "fdb", "replace", &station, "dev", "swp1", "master", "static", "sticky"];
        self.home.switch.run(&entry).unwrap();
        daemon
    }

    fn meter(&self) -> Meter {
        let (near, _) = self.home.ends(0);
        let far = End { host: &self.peer, address: Ipv4Addr::new(192, 168, 1, 7).into() };
        Meter::start(near, far, 500).unwrap()
    }

    /// How many datagrams come to the laptop of those that the router sends to everybody.
    fn heard(&self) -> usize {
        let bind = |host: &Namespace, port| {
            host.within(move || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap()).unwrap()
        };
        let laptop = bind(&self.home.laptop, PORT);
        let router = bind(&self.home.router, 0);
        router.set_broadcast(true).unwrap();
        laptop.set_read_timeout(Some(SECOND / 2)).unwrap();
        for _ in 0..SHOUTS {
            router.send_to(b"everybody", (Ipv4Addr::new(192, 168, 1, 255), PORT)).unwrap();
        }
        let mut buffer = [0; 16];
        std::iter::from_fn(|| laptop.recv(&mut buffer).ok()).count()
    }

    fn hands_up_everything(&self) -> bool {
        bond(&self.home.laptop, "bond0")["all_slaves_active"] == 1
    }
}

fn a_peer_on_the_same_access_point() {
    let place = Place::new();
    let daemon = place.start("fail-over-mac = \"none\"");
    let mut meter = place.meter();
    meter.wait_flowing(100, PATIENCE).unwrap();
    meter.mark("wire");
    meter.wait_flowing(500, PATIENCE).unwrap();
    let (by_wifi, _) = Home::frames(&place.home.laptop, "wlan0").unwrap();
    assert!(by_wifi > 500, "the peer's datagrams come by the standby port: {by_wifi}");
    assert_eq!(place.heard(), SHOUTS);
    meter.mark("failover");
    place.home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    meter.wait_flowing(200, PATIENCE).unwrap();
    assert_eq!(place.heard(), SHOUTS);
    meter.mark("failback");
    place.home.plug("eth0").unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    meter.wait_flowing(500, PATIENCE).unwrap();
    assert_eq!(place.heard(), SHOUTS);
    let report = meter.finish();
    for (label, may_lose) in [("wire", 0), ("failover", 50), ("failback", 0)] {
        let found = report.labelled(label).next().unwrap().both();
        assert!(found.lost <= may_lose && found.duplicated == 0, "{label}: {found:?}\n{}", daemon.log());
    }
    assert!(!place.hands_up_everything());
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}

/// The kernel fails over by itself, and both kinds of frames are right on whichever port is active.
fn without_a_daemon() {
    let place = Place::new();
    let mut daemon = place.start("fail-over-mac = \"none\"");
    let mut meter = place.meter();
    meter.wait_flowing(100, PATIENCE).unwrap();
    daemon.kill9().unwrap();
    meter.mark("killed");
    meter.wait_flowing(200, PATIENCE).unwrap();
    meter.mark("failover");
    place.home.pull("eth0").unwrap();
    wait_kernel_active(&place.home.laptop, "wlan0", PATIENCE);
    meter.wait_flowing(200, PATIENCE).unwrap();
    assert_eq!(place.heard(), SHOUTS, "broadcast comes by the new active port");
    meter.mark("standing by");
    place.home.plug("eth0").unwrap();
    wait_kernel_up(&place.home.laptop, "eth0");
    place.home.wait_forwarding("eth0").unwrap();
    assert_eq!(place.heard(), SHOUTS, "and not by the other one, too");
    meter.wait_flowing(200, PATIENCE).unwrap();
    meter.mark("adopted");
    daemon.restart().unwrap();
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    meter.wait_flowing(200, PATIENCE).unwrap();
    assert_eq!(place.heard(), SHOUTS);
    let report = meter.finish();
    for label in ["killed", "standing by", "adopted"] {
        let found = report.labelled(label).next().unwrap().both();
        assert_eq!((found.lost, found.duplicated), (0, 0), "{label}: {found:?}\n{}", daemon.log());
    }
    assert_eq!(report.total().duplicated, 0);
}

/// A port that leaves has no filter any more, whoever put it there, and neither has one of another's doing.
fn as_found_afterwards() {
    let place = Place::new();
    let laptop = &place.home.laptop;
    let qdiscs = || ["eth0", "wlan0"].map(|name| laptop.run(&["tc", "qdisc", "show", "dev", name]).unwrap());
    let before = qdiscs();
    let mut daemon = place.start("fail-over-mac = \"none\"");
    for name in ["eth0", "wlan0"] {
        assert!(filters(laptop, name).contains("hitless"), "{}", filters(laptop, name));
    }
    daemon.ask(&["port", "remove", "bond0", "wlan0"]).unwrap();
    assert_eq!(filters(laptop, "wlan0"), "");
    daemon.ask(&["port", "add", "bond0", "wlan0"]).unwrap();
    wait_both_up(&daemon);
    assert!(filters(laptop, "wlan0").contains("hitless"));
    // Someone takes it off.
    laptop.run(&["tc", "qdisc", "del", "dev", "wlan0", "clsact"]).unwrap();
    until("the filter to be back", PATIENCE, || {
        let found = filters(laptop, "wlan0");
        Ok(if found.contains("hitless") { Look::Yes(()) } else { Look::No(found) })
    })
    .unwrap();
    daemon.kill9().unwrap();
    daemon.restart().unwrap();
    daemon.ask(&["down"]).unwrap();
    assert_eq!(qdiscs().map(|shown| shown.contains("clsact")), before.map(|shown| shown.contains("clsact")));
}

/// Ports with addresses of their own, and ports that hand up everything as configured.
fn where_nothing_is_needed() {
    let place = Place::new();
    let laptop = &place.home.laptop;
    let daemon = place.start("fail-over-mac = \"none\"");
    let nothing = || ["eth0", "wlan0"].iter().all(|name| filters(laptop, name).is_empty());
    assert!(!nothing());
    for options in ["fail-over-mac = \"none\"\nall-slaves-active = true", "fail-over-mac = \"active\""] {
        reload(&daemon, &config(options));
        wait_both_up(&daemon);
        assert!(nothing(), "{options}");
        reload(&daemon, &config("fail-over-mac = \"none\""));
        wait_both_up(&daemon);
        assert!(!nothing() && !place.hands_up_everything(), "after {options}");
    }
    reload(&daemon, &config("fail-over-mac = \"none\"\nall-slaves-active = true"));
    assert_eq!(place.heard(), 2 * SHOUTS, "that is what it is for");
}

/// The bond works; it is as bonding is, which loses all that comes by the access point while the wire is active.
fn it_does_without() {
    let place = Place::new();
    let daemon = place.start("fail-over-mac = \"none\"");
    let (near, far) = place.home.ends(0);
    let meter = Meter::start(near, far, 500).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    assert!(filters(&place.home.laptop, "eth0").is_empty());
    assert_eq!(place.heard(), SHOUTS);
    // Neither of these ports is Wi-Fi, so nothing is done about it, and nothing said.
    assert!(!place.hands_up_everything());
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
    let deaf = place.meter();
    linger(SECOND / 2).unwrap();
    let report = deaf.finish();
    let found = report.labelled("start").next().unwrap().inbound;
    assert!(found.sent > 0 && found.lost == found.sent, "{found:?}");
    place.home.pull("eth0").unwrap();
    daemon.wait_active("bond0", "wlan0", PATIENCE).unwrap();
    meter.wait_flowing(100, PATIENCE).unwrap();
    daemon.ask(&["down"]).unwrap();
    drop(meter);
}
