//! The ebpf driver, in namespaces: losses, throughput, and what the daemon costs.

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hitless_lab::tcp::throughput;
use hitless_lab::wait::linger;
use hitless_lab::{Daemon, Home, HomeOptions, LabError, Meter, Result};
use serde::Serialize;

use crate::pulls::{PATIENCE, Pulls, RATE, pulls};
use crate::{Arguments, progress};

/// What was measured of the ebpf driver.
#[derive(Serialize)]
pub(crate) struct Results {
    pub(crate) pulls: Pulls,
    pub(crate) lost_per_kill: Vec<u64>,
    pub(crate) tcp_ratios: Vec<f64>,
    pub(crate) tcp_gbit_per_s: [Vec<f64>; 2],
    pub(crate) idle_cpu_percent: f64,
    pub(crate) resident_kib: u64,
    pub(crate) start_to_forwarding_ms: Vec<f64>,
}

pub(crate) fn measure(arguments: &Arguments) -> Result<Results> {
    // The second segment is the bare veth that the first, bonded one is compared with.
    let home = Home::new(HomeOptions { segments: 2, ..HomeOptions::default() })?;
    home.use_plainly("eth1")?;
    for port in ["eth0", "wlan0"] {
        home.laptop.ip(&format!("link set {port} up"))?;
        home.wait_forwarding(port)?;
    }

    progress("from `run` to forwarding");
    let mut start_to_forwarding_ms = Vec::new();
    for _ in 0..5 {
        start_to_forwarding_ms.push(start_to_forwarding(&home)?);
    }

    let mut daemon = start(&home)?;
    daemon.wait_active("bond0", "eth0", PATIENCE)?;
    progress(&format!("{} pulls and plugs of the cable", arguments.pulls));
    let pulls = pulls(&home, arguments.pulls, &|port| daemon.wait_active("bond0", port, PATIENCE).map(drop))?;
    progress(&format!("{} × SIGKILL and restart", arguments.kills));
    let lost_per_kill = kills(&home, &mut daemon, arguments.kills)?;

    progress("TCP through the bond and over the bare veth");
    let (bonded, bare) = tcp(&home, arguments.rounds)?;
    let tcp_ratios = bonded.iter().zip(&bare).map(|(bonded, bare)| bonded / bare).collect();

    progress(&format!("the idle daemon for {} s", arguments.idle));
    linger(Duration::from_secs(2))?;
    let idle_cpu_percent = idle(daemon.pid()?, Duration::from_secs(arguments.idle))?;
    let resident_kib = resident(daemon.pid()?)?;
    daemon.ask(&["down"])?;
    Ok(Results {
        pulls,
        lost_per_kill,
        tcp_ratios,
        tcp_gbit_per_s: [bonded, bare],
        idle_cpu_percent,
        resident_kib,
        start_to_forwarding_ms,
    })
}

fn start(home: &Home) -> Result<Daemon<'_>> {
    let address = format!("{}/24", Home::ipv4(0, 5));
    let run = ["--driver", "ebpf", "--bond", "bond0", "--ports", "eth0,wlan0", "--address", &address];
    Daemon::start(&home.laptop, &run)
}

/// From the start of the process until the first datagram from the bond's address has arrived at the router.
fn start_to_forwarding(home: &Home) -> Result<f64> {
    let io = |source| LabError::Io { what: "a socket of the start measurement".to_owned(), source };
    let (near, far) = home.ends(0);
    let receiver = far.host.within(|| UdpSocket::bind((far.address, 0)))?.map_err(io)?;
    receiver.set_read_timeout(Some(PATIENCE)).map_err(io)?;
    let target = receiver.local_addr().map_err(io)?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| near.host.within(|| knock(near.address, target, &stop)));
        let begun = Instant::now();
        let daemon = start(home);
        let arrived = receiver.recv(&mut [0; 1]).map(|_| begun.elapsed()).map_err(io);
        stop.store(true, Ordering::SeqCst);
        let _ = sender.join();
        let mut daemon = daemon?;
        daemon.ask(&["down"])?;
        daemon.terminate()?;
        Ok(arrived?.as_secs_f64() * 1e3)
    })
}

/// Tries to send from an address that is not there yet, every millisecond.
fn knock(from: IpAddr, target: SocketAddr, stop: &AtomicBool) {
    let mut socket = None;
    while !stop.load(Ordering::Relaxed) {
        socket = socket.or_else(|| UdpSocket::bind((from, 0)).ok());
        if let Some(socket) = &socket {
            let _ = socket.send_to(&[0], target);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn kills(home: &Home, daemon: &mut Daemon<'_>, n: usize) -> Result<Vec<u64>> {
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, RATE)?;
    meter.wait_flowing(200, PATIENCE)?;
    for n in 0..n {
        meter.mark(format!("kill {n}"));
        daemon.kill9()?;
        linger(Duration::from_millis(700))?;
        daemon.restart()?;
        daemon.wait_active("bond0", "eth0", PATIENCE)?;
        linger(Duration::from_millis(700))?;
    }
    Ok(meter.finish().labelled("kill").map(|interval| interval.both().lost).collect())
}

/// Gbit/s through the bond and over the bare veth, measured alternately.
fn tcp(home: &Home, rounds: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let time = Duration::from_secs(2);
    let (mut bonded, mut bare) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let ((near, far), (bare_near, bare_far)) = (home.ends(0), home.ends(1));
        let mut bond = || throughput(near, far, time).map(|speed| bonded.push(speed));
        let mut veth = || throughput(bare_near, bare_far, time).map(|speed| bare.push(speed));
        // Whoever goes first has a cooler machine.
        if round % 2 == 0 {
            bond()?;
            veth()?;
        } else {
            veth()?;
            bond()?;
        }
        hitless_lab::interrupt::check()?;
    }
    Ok((bonded, bare))
}

/// How much of one core a process uses, in per cent.
fn idle(pid: u32, time: Duration) -> Result<f64> {
    let (before, start) = (cpu_time(pid)?, Instant::now());
    linger(time)?;
    let used = cpu_time(pid)?.saturating_sub(before);
    Ok(used.as_secs_f64() / start.elapsed().as_secs_f64() * 100.0)
}

/// The CPU time of all threads of a process, to the nanosecond.
fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let threads =
        fs::read_dir(&path).map_err(|source| LabError::Io { what: format!("reading {path}"), source })?;
    let mut total = 0;
    for thread in threads.flatten() {
        let path = thread.path().join("schedstat");
        let text = fs::read_to_string(&path)
            .map_err(|source| LabError::Io { what: format!("reading {}", path.display()), source })?;
        total += text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(total))
}

fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path)
        .map_err(|source| LabError::Io { what: format!("reading {path}"), source })?;
    text.lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| LabError::Broken(format!("no VmRSS in {path}")))
}
