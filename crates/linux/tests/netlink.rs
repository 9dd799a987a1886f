//! The mechanisms over rtnetlink, probe and packet sockets, on the kernel itself.
//!
//! Needs root. Every test makes network namespaces of its own and removes them, also when it fails:
//!
//! ```text
//!    one ("home")                 other ("peer")
//!    eth0 ── veth ── eth0p ─┐
//!                           br0  198.51.100.1/24
//!    eth1 ── veth ── eth1p ─┘
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests")]

use std::fs::File;
use std::future::Future;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hitless_core::event::Duplex;
use hitless_core::mac::MacAddr;
use hitless_linux::address::Address;
use hitless_linux::carrier::LinkProbe;
use hitless_linux::link::Link;
use hitless_linux::neighbour::NeighbourState;
use hitless_linux::netlink::{LinkEvent, LinkEvents, Netlink};
use hitless_linux::packet::{PortSocket, SendSocket};
use hitless_linux::privilege;
use hitless_linux::route::Route;
use hitless_linux::sysctl::{Ipv6Setting, set_stable_secret};
use nix::sched::{CloneFlags, setns};
use tokio::time::timeout;

/// How long anything may take that does not depend on time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A network namespace for as long as this lives.
struct Namespace(String);

impl Namespace {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        privilege::require_net_admin()
            .unwrap_or_else(|missing| panic!("these tests change interfaces: {missing}"));
        let name = format!("hl-nl-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&format!("netns add {name}"));
        Self(name)
    }

    /// `ip` in this namespace.
    fn ip(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.0));
    }

    /// Run this in the namespace, on a thread and a runtime of its own.
    fn run<F: Future>(&self, work: impl FnOnce() -> F + Send) -> F::Output
    where
        F::Output: Send,
    {
        in_namespace(&format!("/run/netns/{}", self.0), || block_on(work()))
    }
}

/// Runs something in a network namespace, on a thread of its own.
fn in_namespace<T: Send>(path: &str, work: impl FnOnce() -> T + Send) -> T {
    let namespace = File::open(path).unwrap();
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn ip(arguments: &str) -> String {
    let output =
        Command::new("ip").args(arguments.split_whitespace()).output().expect("the command ip (iproute2)");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The topology that is drawn above, everything up; no addresses in the home.
fn home_and_peer() -> (Namespace, Namespace) {
    let (home, peer) = (Namespace::new(), Namespace::new());
    peer.ip("link add br0 type bridge");
    peer.ip("address add 198.51.100.1/24 dev br0");
    peer.ip("address add 2001:db8::1/64 dev br0 nodad");
    peer.ip("link set br0 up");
    for port in ["eth0", "eth1"] {
        home.ip(&format!("link add {port} type veth peer name {port}p netns {}", peer.0));
        peer.ip(&format!("link set {port}p master br0 up"));
        home.ip(&format!("link set {port} up"));
    }
    (home, peer)
}

async fn named(netlink: &Netlink, name: &str) -> Link {
    netlink.link_named(name).await.unwrap().unwrap_or_else(|| panic!("no interface {name}"))
}

/// The next event that this picks.
async fn event<T>(events: &mut LinkEvents, pick: impl Fn(&LinkEvent) -> Option<T>) -> T {
    let next = async {
        loop {
            let event = events.next().await.unwrap();
            if let Some(picked) = pick(&event) {
                return picked;
            }
        }
    };
    timeout(PATIENCE, next).await.expect("the event in time")
}

fn new_of(event: &LinkEvent, name: &str) -> Option<Link> {
    match event {
        LinkEvent::New(link) if link.name == name => Some(link.as_ref().clone()),
        LinkEvent::New(_) | LinkEvent::Gone { .. } | LinkEvent::Addresses { .. } | LinkEvent::Overrun => None,
    }
}

/// Ask until the answer is this.
async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let begin = Instant::now();
    while !ask().await {
        assert!(begin.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn address(text: &str, prefix_len: u8) -> Address {
    Address::new(text.parse().unwrap(), prefix_len)
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn links_are_made_changed_and_removed() {
    Namespace::new().run(|| async {
        let (netlink, _events) = Netlink::open().unwrap();
        netlink.create_veth("v0", "v1").await.unwrap();
        let v0 = named(&netlink, "v0").await;
        let v1 = named(&netlink, "v1").await;
        assert_eq!((v0.kind.as_deref(), v0.link, v1.link), (Some("veth"), Some(v1.index), Some(v0.index)));
        assert!(!v0.admin_up && !v0.carrier && !v0.loopback && !v0.is_wireless());
        assert_eq!(v0.permanent_mac, None);

        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        netlink.set_mac(v0.index, mac).await.unwrap();
        netlink.set_mtu(v0.index, 9000).await.unwrap();
        netlink.set_alias(v0.index, "hitless: bond0").await.unwrap();
        netlink.set_allmulti(v0.index, true).await.unwrap();
        netlink.set_up(v0.index, true).await.unwrap();
        netlink.set_up(v1.index, true).await.unwrap();
        let now = netlink.link(v0.index).await.unwrap().unwrap();
        assert_eq!((now.mac, now.mtu, now.alias.as_deref()), (Some(mac), 9000, Some("hitless: bond0")));
        assert!(now.allmulti && now.admin_up && now.carrier);

        netlink.set_alias(v0.index, "").await.unwrap();
        netlink.set_allmulti(v0.index, false).await.unwrap();
        netlink.set_mac_even_if_busy(v0.index, MacAddr([2, 0, 0, 0, 0, 2])).await.unwrap();
        netlink.set_up(v0.index, false).await.unwrap();
        netlink.rename(v0.index, "other").await.unwrap();
        let now = netlink.link(v0.index).await.unwrap().unwrap();
        assert_eq!((now.name.as_str(), now.alias), ("other", None));
        assert!(!now.allmulti && !now.admin_up);

        let names: Vec<String> = netlink.links().await.unwrap().into_iter().map(|link| link.name).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        netlink.delete(v0.index).await.unwrap();
        assert_eq!(netlink.link(v0.index).await.unwrap(), None);
        assert_eq!(netlink.link_named("v1").await.unwrap(), None);
        assert!(netlink.link_named("lo").await.unwrap().unwrap().loopback);
    });
}

/// Who reads the address while it is on reads it again when it goes off and on.
#[test]
fn a_new_address_is_told_of_also_when_somebody_switches_the_interface_on() {
    Namespace::new().run(|| async {
        let (netlink, mut events) = Netlink::open().unwrap();
        netlink.create_veth("v0", "v1").await.unwrap();
        let v0 = named(&netlink, "v0").await;
        netlink.set_up(v0.index, true).await.unwrap();
        let somebody = async {
            loop {
                netlink.set_up(v0.index, true).await.unwrap();
            }
        };
        let mut somebody = std::pin::pin!(somebody);
        for last in 1..=20 {
            let mac = MacAddr([2, 0, 0, 0, 0, last]);
            tokio::select! {
                given = netlink.set_mac_while_off(v0.index, mac) => given.unwrap(),
                () = &mut somebody => unreachable!(),
            }
            let told = |link: &Link| link.mac == Some(mac) && !link.admin_up;
            event(&mut events, |event| new_of(event, "v0").filter(told)).await;
            assert!(named(&netlink, "v0").await.admin_up);
        }
    });
}

#[test]
fn errors_name_the_thing_and_what_the_kernel_said() {
    Namespace::new().run(|| async {
        let netlink = Netlink::requests().unwrap();
        netlink.create_veth("v0", "v1").await.unwrap();
        let exists = netlink.create_veth("v0", "v2").await.unwrap_err();
        assert!(exists.is_exists(), "{exists}");

        let gone = netlink.set_up(4711, true).await.unwrap_err();
        assert!(gone.is_gone() && gone.to_string().contains("interface 4711"), "{gone}");
        assert!(netlink.delete(4711).await.unwrap_err().is_gone());
        assert!(netlink.rx_packets(4711).await.unwrap_err().is_gone());

        let v0 = named(&netlink, "v0").await;
        let mtu = netlink.set_mtu(v0.index, 7).await.unwrap_err();
        assert_eq!(mtu.message(), Some("mtu less than device minimum"), "{mtu}");
        assert!(mtu.to_string().starts_with("cannot set the MTU 7 on v0: "), "{mtu}");

        let name = netlink.rename(v0.index, "a/b").await.unwrap_err();
        assert!(name.to_string().contains("`a/b` cannot be the name of an interface"), "{name}");
        assert_eq!(netlink.link_named("far-too-long-for-a-name").await.unwrap(), None);

        let master = netlink.set_master(v0.index, Some(4711)).await.unwrap_err();
        assert!(!master.to_string().is_empty());
        let not_a_bond = netlink.change_bond(v0.index, &Default::default()).await.unwrap_err();
        assert!(not_a_bond.to_string().contains("not a bond"), "{not_a_bond}");
    });
}

#[test]
fn events_of_links_and_addresses() {
    let space = Namespace::new();
    space.run(|| async {
        let (netlink, mut events) = Netlink::open().unwrap();
        netlink.create_veth("v0", "v1").await.unwrap();
        let v0 = event(&mut events, |event| new_of(event, "v0")).await;
        netlink.set_up(v0.index, true).await.unwrap();
        event(&mut events, |event| new_of(event, "v0").filter(|link| link.admin_up)).await;
        netlink.add_address(v0.index, &address("192.0.2.1", 24)).await.unwrap();
        event(&mut events, |event| (*event == LinkEvent::Addresses { index: v0.index }).then_some(())).await;
        netlink.delete(v0.index).await.unwrap();
        event(&mut events, |event| match event {
            LinkEvent::Gone { index, name } => (*index == v0.index && name == "v0").then_some(()),
            LinkEvent::New(_) | LinkEvent::Addresses { .. } | LinkEvent::Overrun => None,
        })
        .await;
    });
}

#[test]
fn a_port_that_leaves_a_bridge_is_not_gone() {
    let space = Namespace::new();
    space.ip("link add br0 type bridge");
    space.ip("link add v0 type veth peer name v1");
    space.run(|| async {
        let (netlink, mut events) = Netlink::open().unwrap();
        let (bridge, v0) = (named(&netlink, "br0").await, named(&netlink, "v0").await);
        netlink.set_master(v0.index, Some(bridge.index)).await.unwrap();
        let port = named(&netlink, "v0").await;
        assert_eq!((port.master, port.master_kind.as_deref()), (Some(bridge.index), Some("bridge")));
        netlink.set_master(v0.index, None).await.unwrap();
        netlink.set_mtu(v0.index, 1400).await.unwrap();
        let last = event(&mut events, |event| {
            assert!(!matches!(event, LinkEvent::Gone { .. }), "{event:?}");
            new_of(event, "v0").filter(|link| link.mtu == 1400)
        })
        .await;
        assert_eq!(last.master, None);
    });
}

#[test]
fn lost_events_are_told() {
    let space = Namespace::new();
    space.ip("link add v0 type veth peer name v1");
    space.run(|| async {
        let (netlink, mut events) = Netlink::open().unwrap();
        let index = named(&netlink, "v0").await.index;
        // This thread does not come to read while the other one changes things.
        in_namespace("/proc/thread-self/ns/net", || {
            block_on(async {
                let netlink = Netlink::requests().unwrap();
                for n in 0..20_000 {
                    netlink.set_mtu(index, 1400 + n % 2).await.unwrap();
                }
            });
        });
        event(&mut events, |event| (*event == LinkEvent::Overrun).then_some(())).await;
        netlink.set_mtu(index, 1300).await.unwrap();
        event(&mut events, |event| new_of(event, "v0").filter(|link| link.mtu == 1300)).await;
    });
}

#[test]
fn a_pulled_cable_is_seen_by_poll_and_event() {
    let (home, peer) = home_and_peer();
    home.run(|| async {
        let (netlink, mut events) = Netlink::open().unwrap();
        let mut probe = LinkProbe::open().unwrap();
        let port = named(&netlink, "eth0").await;
        eventually("carrier", async || named(&netlink, "eth0").await.carrier).await;
        assert!(probe.carrier("eth0").unwrap());
        for up in [false, true, false, true] {
            peer.ip(&format!("link set eth0p {}", if up { "up" } else { "down" }));
            // At once, whatever becomes of the event.
            assert_eq!(probe.carrier("eth0").unwrap(), up);
            assert_eq!(netlink.link(port.index).await.unwrap().unwrap().carrier, up);
            event(&mut events, |event| new_of(event, "eth0").filter(|link| link.carrier == up)).await;
        }
        assert_eq!(probe.speed_duplex("eth0").unwrap(), (Some(10_000), Some(Duplex::Full)));
        assert_eq!(probe.speed_duplex("lo").unwrap(), (None, None));
        assert_eq!(probe.permanent_mac("eth0").unwrap(), None);
        netlink.set_up(port.index, false).await.unwrap();
        assert!(!probe.carrier("eth0").unwrap());
        assert!(probe.carrier("eth9").unwrap_err().is_gone());
    });
}

#[test]
fn addresses_come_and_go() {
    let (home, _peer) = home_and_peer();
    home.run(|| async {
        let netlink = Netlink::requests().unwrap();
        let index = named(&netlink, "eth0").await.index;
        let mut v4 = address("198.51.100.5", 24);
        v4.valid = Some(Duration::from_secs(1000));
        v4.preferred = Some(Duration::from_secs(500));
        v4.metric = Some(77);
        netlink.add_address(index, &v4).await.unwrap();
        assert!(netlink.add_address(index, &v4).await.unwrap_err().is_exists());
        let v6 = address("2001:db8::5", 64).without_detection();
        netlink.add_address(index, &v6).await.unwrap();

        let listed = netlink.addresses(index).await.unwrap();
        let found = listed.iter().find(|found| found.address == v4.address).unwrap();
        assert_eq!((found.broadcast, found.metric), (v4.broadcast, Some(77)));
        assert!(found.is_dynamic() && found.valid.unwrap() <= Duration::from_secs(1000));
        assert_eq!((found.label.as_deref(), found.peer), (Some("eth0"), None));
        let found = listed.iter().find(|found| found.address == v6.address).unwrap();
        assert!(!found.is_tentative() && !found.is_dynamic() && found.valid.is_none());
        assert!(listed.iter().any(Address::is_link_local), "{listed:?}");

        v4.valid = None;
        v4.preferred = None;
        netlink.replace_address(index, &v4).await.unwrap();
        let listed = netlink.addresses(index).await.unwrap();
        assert!(listed.iter().any(|found| found.address == v4.address && found.valid.is_none()));

        netlink.remove_address(index, &v4).await.unwrap();
        let error = netlink.remove_address(index, &v4).await.unwrap_err();
        assert!(error.is_gone() && error.to_string().contains("198.51.100.5/24 from eth0"), "{error}");
    });
}

#[test]
fn routes_come_and_go() {
    let (home, _peer) = home_and_peer();
    home.run(|| async {
        let netlink = Netlink::requests().unwrap();
        let index = named(&netlink, "eth0").await.index;
        let unreachable =
            netlink.add_route(&Route::default_via(addr("198.51.100.1"), index)).await.unwrap_err();
        assert_eq!(unreachable.message(), Some("Nexthop has invalid gateway"), "{unreachable}");

        netlink.add_address(index, &address("198.51.100.5", 24)).await.unwrap();
        netlink.add_address(index, &address("2001:db8::5", 64).without_detection()).await.unwrap();
        let worse = Route::default_via(addr("198.51.100.1"), index).with_metric(9);
        let best = Route::default_via(addr("198.51.100.2"), index).with_metric(3);
        let v6 = Route::default_via(addr("2001:db8::1"), index).with_metric(5);
        let other = Route::to(addr("203.0.113.0"), 24, index)
            .via(addr("192.0.2.77"))
            .onlink()
            .with_table(4711)
            .with_source(addr("198.51.100.5"))
            .with_protocol(16);
        for route in [&worse, &best, &v6, &other] {
            netlink.add_route(route).await.unwrap();
            assert!(netlink.add_route(route).await.unwrap_err().is_exists(), "{route}");
        }
        let gateways = netlink.gateways(index).await.unwrap();
        assert_eq!(gateways, [addr("198.51.100.2"), addr("2001:db8::1"), addr("198.51.100.1")]);

        let listed = netlink.routes(index).await.unwrap();
        let found = listed.iter().find(|route| route.table() == 4711).unwrap();
        assert_eq!(found.destination(), (addr("203.0.113.0"), 24));
        assert_eq!((found.source(), found.protocol()), (Some(addr("198.51.100.5")), 16));
        assert!(found.is_onlink() && !found.is_kernels() && found.uses(index));
        assert_eq!(found.gateways(index), [addr("192.0.2.77")]);
        assert!(
            listed
                .iter()
                .any(|route| route.is_kernels() && route.destination() == (addr("198.51.100.0"), 24))
        );

        netlink.remove_route(found).await.unwrap();
        assert!(netlink.remove_route(found).await.unwrap_err().is_gone());
        for route in [&worse, &best, &v6] {
            netlink.remove_route(route).await.unwrap();
        }
        assert!(netlink.gateways(index).await.unwrap().is_empty());
        let lo = named(&netlink, "lo").await.index;
        assert!(netlink.routes(lo).await.unwrap().is_empty());

        let nowhere = Route::unreachable(addr("2001:db8:7700::"), 56).with_protocol(16);
        netlink.add_route(&nowhere).await.unwrap();
        assert!(netlink.add_route(&nowhere).await.unwrap_err().is_exists());
        assert!(!nowhere.is_default() && nowhere.destination() == (addr("2001:db8:7700::"), 56));
        netlink.remove_route(&nowhere).await.unwrap();
        assert!(netlink.remove_route(&nowhere).await.unwrap_err().is_gone());
    });
}

#[test]
fn neighbours_that_answered() {
    let (home, peer) = home_and_peer();
    home.ip("address add 198.51.100.5/24 dev eth0");
    home.ip("neighbour add 198.51.100.66 lladdr 02:00:00:00:00:66 dev eth0 nud permanent");
    home.run(|| async {
        let netlink = Netlink::requests().unwrap();
        let index = named(&netlink, "eth0").await.index;
        assert!(netlink.neighbours(index).await.unwrap().is_empty());
        // Nobody listens there, but to say so the peer has to be found first.
        let refused = TcpStream::connect_timeout(&"198.51.100.1:9".parse().unwrap(), PATIENCE);
        assert!(refused.is_err());
        let neighbours = netlink.neighbours(index).await.unwrap();
        let [found] = neighbours.as_slice() else { panic!("{neighbours:?}") };
        assert_eq!((found.address, found.state), (addr("198.51.100.1"), NeighbourState::Reachable));
        assert!(found.confirmed < PATIENCE);
        let bridge = peer.run(|| async { named(&Netlink::requests().unwrap(), "br0").await.mac });
        assert_eq!(Some(found.mac), bridge);
        assert!(netlink.rx_packets(index).await.unwrap() > 0);
    });
}

/// A broadcast frame with this ethertype and payload.
fn frame(ethertype: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frame = [[0xff; 6], [2, 0, 0, 0, 0, 9]].concat();
    frame.extend(ethertype);
    frame.extend(payload);
    frame.resize(80, 0);
    frame
}

/// An IPv6 packet that is the beginning of an ICMPv6 message of this type.
fn icmpv6(kind: u8) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 24, 58, 255];
    packet.extend([0; 32]);
    packet.push(kind);
    packet
}

#[test]
fn packet_sockets_hear_probes_only() {
    let space = Namespace::new();
    space.ip("link add v0 type veth peer name v1");
    space.ip("link set v0 up");
    space.ip("link set v1 up");
    space.run(|| async {
        let netlink = Netlink::requests().unwrap();
        let (v0, v1) = (named(&netlink, "v0").await, named(&netlink, "v1").await);
        Ipv6Setting::DisableIpv6.set("v0", 1).unwrap();
        Ipv6Setting::DisableIpv6.set("v1", 1).unwrap();
        let hears = PortSocket::open(v0.index, "v0").unwrap();
        let speaks = SendSocket::open(v1.index, "v1").unwrap();
        let unwanted = [
            frame(&[0x08, 0x00], &[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1]), // ICMP echo
            frame(&[0x81, 0x00, 0, 7, 0x08, 0x06], b"tagged ARP"),
            frame(&[0x86, 0xdd], &icmpv6(128)), // echo
            frame(&[0x86, 0xdd], &icmpv6(134)), // router advertisement
            frame(&[0x88, 0xcc], b"LLDP"),
        ];
        let wanted = [
            frame(&[0x08, 0x06], b"ARP"),
            frame(&[0x86, 0xdd], &icmpv6(135)),
            frame(&[0x86, 0xdd], &icmpv6(136)),
        ];
        // What it sends itself, it does not hear.
        hears.try_send(&wanted[0]).unwrap();
        for frame in unwanted.iter().chain(&wanted) {
            speaks.try_send(frame).unwrap();
        }
        let mut buffer = [0; 2048];
        let mut heard = Vec::new();
        while let Ok(length) = timeout(Duration::from_millis(200), hears.recv(&mut buffer)).await {
            heard.push(buffer[..length.unwrap()].to_vec());
        }
        assert_eq!(heard, wanted);

        netlink.set_up(v0.index, false).await.unwrap();
        assert!(timeout(PATIENCE, hears.recv(&mut buffer)).await.unwrap().unwrap_err().is_down());
        assert!(hears.try_send(&wanted[0]).unwrap_err().is_down());
        netlink.set_up(v0.index, true).await.unwrap();
        eventually("carrier", async || named(&netlink, "v1").await.carrier).await;
        speaks.try_send(&wanted[1]).unwrap();
        let length = timeout(PATIENCE, hears.recv(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(buffer[..length], wanted[1]);

        netlink.delete(v0.index).await.unwrap();
        assert!(speaks.try_send(&wanted[0]).unwrap_err().is_gone());
        let gone = PortSocket::open(v0.index, "v0").unwrap_err();
        assert!(gone.is_gone(), "{gone}");
    });
}

/// Answers every octet that comes in on a connection.
fn echo(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut octet = [0];
    while stream.read(&mut octet).unwrap() == 1 {
        stream.write_all(&octet).unwrap();
    }
}

fn ping(stream: &mut TcpStream) {
    stream.write_all(b"x").unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
}

#[test]
fn a_takeover_keeps_connections_and_can_be_undone() {
    let (home, peer) = home_and_peer();
    peer.ip("address add 203.0.113.1/32 dev br0");
    for command in [
        "address add 198.51.100.5/24 dev eth0",
        "address add 198.51.100.6/24 dev eth0",
        "address add 192.0.2.5/24 dev eth0 noprefixroute",
        "address add 2001:db8::5/64 dev eth0 nodad",
        "route add 192.0.2.0/24 dev eth0 proto kernel src 192.0.2.5 metric 100",
        "route add default via 198.51.100.1 dev eth0 src 198.51.100.6 proto dhcp",
        "route add 203.0.113.128/25 via 198.51.100.1 dev eth0 table 77",
        "route add default via 2001:db8::1 dev eth0 metric 10",
        "route add 2001:db8:1::/64 dev eth0 metric 11",
    ] {
        home.ip(command);
    }
    let listen = |at: &str| TcpListener::bind(at.parse::<std::net::SocketAddr>().unwrap()).unwrap();
    let listeners = peer.run(|| async { [listen("203.0.113.1:7000"), listen("[2001:db8::1]:7000")] });
    let servers = listeners.map(|listener| thread::spawn(move || echo(&listener)));
    home.run(|| async {
        let netlink = Netlink::requests().unwrap();
        let (from, to) = (named(&netlink, "eth0").await.index, named(&netlink, "eth1").await.index);
        let mut streams = ["203.0.113.1:7000", "[2001:db8::1]:7000"].map(|at| {
            let stream = TcpStream::connect(at).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        });
        streams.iter_mut().for_each(ping);
        let before = (summary(&netlink, from).await, summary(&netlink, to).await);

        netlink.set_up(to, false).await.unwrap();
        let error = netlink.take_over(from, to).await.unwrap_err();
        assert!(error.to_string().contains("eth1: it is down"), "{error}");
        netlink.set_up(to, true).await.unwrap();
        // IPv6 says after detection only that it has a link-local address.
        eventually("eth1 as it was", async || summary(&netlink, to).await == before.1).await;

        ip("neighbour add 198.51.100.66 lladdr 02:00:00:00:00:66 dev eth0 nud permanent");
        let takeover = netlink.take_over(from, to).await.unwrap();
        assert_eq!(takeover.addresses().count(), 4);
        let shown = ip("neighbour show dev eth1");
        assert!(shown.contains("198.51.100.66 lladdr 02:00:00:00:00:66 PERMANENT"), "{shown}");
        assert_eq!(takeover.routes().count(), 5, "{:?}", takeover.routes().collect::<Vec<_>>());
        let after = (summary(&netlink, from).await, summary(&netlink, to).await);
        assert_eq!(after, (before.1.clone(), before.0.clone()));
        streams.iter_mut().for_each(ping);
        // Over the new interface alone.
        netlink.set_up(from, false).await.unwrap();
        streams.iter_mut().for_each(ping);
        netlink.set_up(from, true).await.unwrap();

        eventually("eth0 with an address of its own", async || {
            summary(&netlink, from).await.len() == before.1.len()
        })
        .await;
        assert_eq!(takeover.undo(&netlink).await, []);
        assert_eq!((summary(&netlink, from).await, summary(&netlink, to).await), before);
        streams.iter_mut().for_each(ping);
    });
    for server in servers {
        server.join().unwrap();
    }
}

/// The addresses and routes of an interface, without what every interface has by itself.
async fn summary(netlink: &Netlink, index: u32) -> Vec<String> {
    let addresses = netlink.addresses(index).await.unwrap();
    let addresses = addresses.iter().filter(|address| !address.is_link_local()).map(ToString::to_string);
    let routes = netlink.routes(index).await.unwrap();
    let own = |route: &&Route| route.destination().0.to_string().starts_with("f") || route.table() == 255;
    let routes = routes
        .iter()
        .filter(|route| !own(route))
        .map(|route| format!("{route} {} {} {:?}", route.metric(), route.protocol(), route.source()));
    let mut all: Vec<String> = addresses.chain(routes).collect();
    all.sort();
    all
}

/// Where nothing else changes for them, nobody has to be asked again.
#[test]
fn an_interface_of_the_same_address_knows_the_same_neighbours() {
    let (home, _peer) = home_and_peer();
    home.ip("address add 198.51.100.5/24 dev eth0");
    home.run(|| async {
        let netlink = Netlink::requests().unwrap();
        let (eth0, eth1) = (named(&netlink, "eth0").await, named(&netlink, "eth1").await);
        assert!(TcpStream::connect_timeout(&"198.51.100.1:9".parse().unwrap(), PATIENCE).is_err());
        let known = netlink.neighbours(eth0.index).await.unwrap();
        assert_eq!(known.len(), 1, "{known:?}");
        netlink.copy_neighbours(eth0.index, eth1.index).await;
        assert_eq!(
            netlink.neighbours(eth1.index).await.unwrap(),
            [],
            "to others, it has to speak for itself"
        );
        netlink.set_mac(eth1.index, eth0.mac.unwrap()).await.unwrap();
        netlink.copy_neighbours(eth0.index, eth1.index).await;
        let handed_on = netlink.neighbours(eth1.index).await.unwrap();
        let [one] = handed_on.as_slice() else { panic!("{handed_on:?}") };
        assert_eq!(
            (one.address, one.mac, one.state),
            (known[0].address, known[0].mac, NeighbourState::Stale)
        );
    });
}

/// Only the part through the interface that gives is moved.
#[test]
fn a_takeover_of_multipath_routes() {
    let (home, _peer) = home_and_peer();
    for command in [
        "link add third type bridge",
        "link set third up",
        "address add 192.0.2.1/24 dev third",
        "address add 2001:db8:3::1/64 dev third nodad",
        "address add 198.51.100.5/24 dev eth0",
        "address add 2001:db8::5/64 dev eth0 nodad",
        "route add 203.0.113.0/24 nexthop via 198.51.100.1 dev eth0 nexthop via 192.0.2.9 dev third weight 3",
        "-6 route add 2001:db8:9::/64 nexthop via 2001:db8::1 dev eth0 nexthop via 2001:db8:3::9 dev third",
    ] {
        home.ip(command);
    }
    home.run(|| async {
        let netlink = Netlink::requests().unwrap();
        let [from, to, third] = [
            named(&netlink, "eth0").await.index,
            named(&netlink, "eth1").await.index,
            named(&netlink, "third").await.index,
        ];
        let hops = async |index: u32| -> Vec<IpAddr> {
            let routes = netlink.routes(index).await.unwrap();
            routes.iter().flat_map(|route| route.gateways(index)).collect()
        };
        let (gives, stays) = (hops(from).await, hops(third).await);
        assert_eq!(gives, [addr("198.51.100.1"), addr("2001:db8::1")]);
        assert_eq!(stays, [addr("192.0.2.9"), addr("2001:db8:3::9")]);
        let takeover = netlink.take_over(from, to).await.unwrap();
        assert_eq!(
            (hops(from).await, hops(to).await, hops(third).await),
            (vec![], gives.clone(), stays.clone())
        );
        assert_eq!(takeover.undo(&netlink).await, []);
        assert_eq!((hops(from).await, hops(to).await, hops(third).await), (gives, vec![], stays));
    });
}

/// The kernel hears nothing of an advertisement where the place of its default route is taken.
#[test]
fn a_takeover_leaves_the_kernel_the_place_of_what_routers_advertise() {
    let (home, _peer) = home_and_peer();
    home.ip("address add 2001:db8::5/64 dev eth0 nodad");
    home.ip("-6 route add default via fe80::1 dev eth0 proto ra metric 1024 expires 600");
    home.ip("-6 route add default via fe80::2 dev eth0 proto ra metric 100");
    home.ip("-6 route add default via fe80::3 dev eth0 metric 2000");
    home.run(|| async {
        let netlink = Netlink::requests().unwrap();
        let [from, to] = [named(&netlink, "eth0").await.index, named(&netlink, "eth1").await.index];
        let metrics = async |index: u32| -> Vec<u32> {
            let routes = netlink.routes(index).await.unwrap();
            let mut metrics: Vec<u32> =
                routes.iter().filter(|route| route.is_default()).map(Route::metric).collect();
            metrics.sort_unstable();
            metrics
        };
        let gives = netlink.belongings(from).await.unwrap();
        let takeover = netlink.take_over(from, to).await.unwrap();
        assert_eq!((metrics(from).await, metrics(to).await), (vec![], vec![100, 1025, 2000]));
        let mut has = netlink.belongings(to).await.unwrap();
        has.routes.sort_by_key(|way| gives.routes.iter().position(|known| known == way));
        assert_eq!(has, gives, "it is recognised");
        assert_eq!(takeover.undo(&netlink).await, []);
        assert_eq!((metrics(from).await, metrics(to).await), (vec![100, 1025, 2000], vec![]));
        netlink.take_over(from, to).await.unwrap();
        assert_eq!(netlink.copy_over(to, from, gives).await.len(), 0);
        assert_eq!(metrics(from).await, [100, 1025, 2000]);
    });
}

#[test]
fn a_takeover_that_fails_changes_nothing() {
    let (home, _peer) = home_and_peer();
    home.ip("address add 198.51.100.5/24 dev eth0");
    home.ip("address add 2001:db8::5/64 dev eth0 nodad");
    home.ip("route add default via 198.51.100.1 dev eth0");
    home.run(|| async {
        let netlink = Netlink::requests().unwrap();
        let (from, to) = (named(&netlink, "eth0").await.index, named(&netlink, "eth1").await.index);
        // So that adding the IPv6 address fails.
        Ipv6Setting::DisableIpv6.set("eth1", 1).unwrap();
        let before = (summary(&netlink, from).await, summary(&netlink, to).await);
        let error = netlink.take_over(from, to).await.unwrap_err();
        assert!(error.to_string().contains("2001:db8::5/64 on eth1"), "{error}");
        assert_eq!((summary(&netlink, from).await, summary(&netlink, to).await), before);
    });
}

#[test]
fn settings_of_ipv6() {
    let space = Namespace::new();
    space.ip("link add v0 type veth peer name v1");
    space.run(|| async {
        assert_eq!(Ipv6Setting::DisableIpv6.set("v0", 1).unwrap(), Some(0));
        assert_eq!(Ipv6Setting::DisableIpv6.get("v0").unwrap(), Some(1));
        assert_eq!(Ipv6Setting::AcceptRa.set("v0", 0).unwrap(), Some(1));
        assert_eq!(Ipv6Setting::AddrGenMode.set("v0", 1).unwrap(), Some(0));
        assert_eq!(Ipv6Setting::AddrGenMode.get("v0").unwrap(), Some(1));
        assert_eq!(Ipv6Setting::AddrGenMode.get("v9").unwrap(), None);
        assert_eq!(Ipv6Setting::AddrGenMode.set("v9", 1).unwrap(), None);
        let error = Ipv6Setting::AddrGenMode.set("v0", 99).unwrap_err();
        assert!(error.to_string().starts_with("cannot set addr_gen_mode = 99 on v0: "), "{error}");
        assert!(Ipv6Setting::AcceptRa.get("../lo").is_err());
        assert!(set_stable_secret("v0", 0x2001_0db8 << 96 | 7).unwrap());
        assert_eq!(Ipv6Setting::AddrGenMode.get("v0").unwrap(), Some(2));
        let secret = std::fs::read_to_string("/proc/sys/net/ipv6/conf/v0/stable_secret").unwrap();
        assert_eq!(secret.trim(), "2001:0db8:0000:0000:0000:0000:0000:0007");
        assert!(!set_stable_secret("v9", 7).unwrap());
    });
}

#[test]
fn root_has_the_privileges() {
    privilege::require_bpf().unwrap();
}
