//! What the datapath costs: prints figures, asserts none of them. And that a switch under traffic loses nothing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hitless_linux::ebpf::Datapath;

use crate::net::{HOME, Net, within};
use crate::{assert_carries, bond, switch};

/// Gbit/s of one TCP stream from the laptop to this address at home.
fn stream(net: &Net, address: Ipv4Addr) -> f64 {
    let listener = within(&net.home, || TcpListener::bind((address, 0)).unwrap());
    let target = listener.local_addr().unwrap();
    let sink = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut buffer, mut total) = (vec![0; 1 << 20], 0u64);
        let start = Instant::now();
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            total += length as u64;
        }
        total as f64 * 8e-9 / start.elapsed().as_secs_f64()
    });
    let mut source = within(&net.laptop, || TcpStream::connect(target).unwrap());
    let (buffer, start) = (vec![0; 1 << 20], Instant::now());
    while start.elapsed() < Duration::from_millis(700) {
        source.write_all(&buffer).unwrap();
    }
    drop(source);
    sink.join().unwrap()
}

#[test]
fn one_tcp_stream_beside_the_bare_veth() {
    let net = Net::new();
    let _datapath = bond(&net);
    let bare = Ipv4Addr::new(10, 78, 0, 1);
    net.on_laptop(&format!("link add v0 type veth peer name v1 netns {}", net.home));
    net.on_laptop("addr add 10.78.0.2/24 dev v0");
    net.on_laptop("link set v0 up");
    // Through a bridge of its own, as the bond's ports.
    net.at_home("link add br1 type bridge forward_delay 0");
    net.at_home("link set v1 master br1 up");
    net.at_home("link set br1 up");
    net.at_home("addr add 10.78.0.1/24 dev br1");
    for _ in 0..3 {
        let (without, with) = (stream(&net, bare), stream(&net, HOME));
        println!("tcp: bare veth {without:.1} Gbit/s, bond {with:.1} Gbit/s, ratio {:.2}", with / without);
    }
}

#[test]
fn what_each_step_takes() {
    let net = Net::new();
    let index = net.bond();
    let time = |what: &str, start: Instant| println!("{what}: {:.0} us", start.elapsed().as_secs_f64() * 1e6);
    within(&net.laptop, || {
        let start = Instant::now();
        let mut datapath = Datapath::create(index).unwrap();
        time("create", start);
        let start = Instant::now();
        datapath.attach_port(net.port(0)).unwrap();
        time("attach_port (with the look-up of its index by the test)", start);
        datapath.attach_port(net.port(1)).unwrap();
        let start = Instant::now();
        drop(Datapath::adopt(index).unwrap());
        time("adopt", start);
        switch(&net, &mut datapath, Some(0));
        let port = net.port(0);
        let table = hitless_core::table::ForwardingTable::active_backup(Some(port), [port]);
        let start = Instant::now();
        for _ in 0..1000 {
            crate::program(&mut datapath, &table);
        }
        println!("program: {:.1} us", start.elapsed().as_secs_f64() * 1e3);
    });
}

#[test]
fn switching_under_traffic_loses_and_repeats_nothing() {
    const DATAGRAMS: u32 = 20_000;
    let net = Net::new();
    let mut datapath = bond(&net);
    assert_carries(&net);
    let (laptop, home) = net.datagrams();
    let done = AtomicBool::new(false);
    let switches = std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let mut switches = 0;
            while !done.load(Ordering::Relaxed) {
                switch(&net, &mut datapath, Some(switches % 2));
                switches += 1;
            }
            switches
        });
        // Each is answered before the next is sent, so nothing is lost to a full queue.
        let mut buffer = [0; 4];
        for n in 0..DATAGRAMS {
            laptop.send(&n.to_be_bytes()).unwrap();
            home.recv(&mut buffer).unwrap_or_else(|error| panic!("datagram {n} there: {error}"));
            assert_eq!(u32::from_be_bytes(buffer), n);
            home.send(&n.to_be_bytes()).unwrap();
            laptop.recv(&mut buffer).unwrap_or_else(|error| panic!("datagram {n} back: {error}"));
            assert_eq!(u32::from_be_bytes(buffer), n);
        }
        done.store(true, Ordering::Relaxed);
        storm.join().unwrap()
    });
    println!("{DATAGRAMS} datagrams there and back, {switches} switches meanwhile");
}
