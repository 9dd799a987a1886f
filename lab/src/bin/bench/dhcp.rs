//! From link up to an address by DHCP, beside the clients that Debian has, against one server; and whether it stays.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::error::IoContext as _;
use hitless_lab::held::{Held, Holding};
use hitless_lab::wait::{Look, linger, until};
use hitless_lab::{Daemon, Home, HomeOptions, LabError, Namespace, Result};
use serde::Serialize;

use crate::{progress, pulls};

/// How long an address may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server lends.
const NETWORK: &str = "192.168.1.";

/// How long each took, in milliseconds.
#[derive(Serialize)]
pub(crate) struct Results {
    pub(crate) hitless: Vec<f64>,
    pub(crate) dhcpcd: Vec<f64>,
    pub(crate) udhcpc: Vec<f64>,
}

/// Each as often as `rounds`, in turn. None of them finds out whether somebody else has the address.
pub(crate) fn measure(rounds: usize) -> Result<Results> {
    progress(&format!("from link up to an address by DHCP, {rounds} ×"));
    let mut results = Results { hitless: Vec::new(), dhcpcd: Vec::new(), udhcpc: Vec::new() };
    for _ in 0..rounds {
        results.hitless.push(hitless()?);
        results.dhcpcd.push(dhcpcd()?);
        results.udhcpc.push(udhcpc()?);
    }
    Ok(results)
}

/// What a bond has while the cable is pulled and plugged so often, and its hardware address changes with every port.
pub(crate) fn held(pulls: usize) -> Result<Held> {
    progress(&format!("an address by DHCP while the cable is pulled and plugged, {pulls} ×"));
    let home = Home::new(HomeOptions::default())?;
    let lent = Home::ipv4(0, 5);
    let _server = Dnsmasq::start(&home.router, "lan0", &[&format!("--dhcp-range={lent},{lent},1h")])?;
    let config = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\nfail-over-mac = \"active\"\n\
                  [bond.bond0.ip]\ndhcp4 = true\ndetect-conflicts = false\n";
    let daemon = Daemon::start_with_config(&home.laptop, config)?;
    daemon.wait_active("bond0", "eth0", PATIENCE)?;
    until("the bond to have a default route", PATIENCE, || {
        let routes = home.laptop.ip("-4 route show default")?;
        Ok(if routes.contains("dev bond0") { Look::Yes(()) } else { Look::No(routes) })
    })?;
    let holding = Holding::watch(&home.laptop, "bond0", lent)?;
    pulls::pulls(&home, pulls, &|port| daemon.wait_active("bond0", port, PATIENCE).map(drop))?;
    holding.finish()
}

/// A host with one cable, at whose other end the server is; there is no link yet.
struct Wire {
    host: Namespace,
    far: Namespace,
    _server: Dnsmasq,
    /// Says when addresses come.
    monitor: Child,
    addresses: mpsc::Receiver<Instant>,
}

impl Wire {
    fn new() -> Result<Self> {
        let [host, far] = [Namespace::new("host")?, Namespace::new("server")?];
        host.ip(&format!("link add eth0 type veth peer name lan0 netns {}", far.name()))?;
        far.ip("address add 192.168.1.1/24 dev lan0")?;
        far.ip("link set lan0 up")?;
        let range = format!("--dhcp-range={NETWORK}50,{NETWORK}90,1h");
        let server = Dnsmasq::start(&far, "lan0", &[&range])?;
        far.ip("link set lan0 down")?;
        let mut command = Command::new("ip");
        command.args(["-oneline", "-4", "monitor", "address"]).stdout(Stdio::piped());
        let mut monitor = host.spawn(&mut command)?;
        let said =
            monitor.stdout.take().ok_or_else(|| LabError::Broken("ip monitor says nothing".to_owned()))?;
        let (sender, addresses) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(said).lines().map_while(std::io::Result::ok);
            for _ in lines.filter(|line| line.contains(NETWORK)) {
                let _ = sender.send(Instant::now());
            }
        });
        Ok(Self { host, far, _server: server, monitor, addresses })
    }

    /// In milliseconds from what `begins` it to the address.
    fn time(&self, begins: impl FnOnce() -> Result<()>) -> Result<f64> {
        let begun = Instant::now();
        begins()?;
        let came = self.addresses.recv_timeout(PATIENCE);
        let came = came.map_err(|_| LabError::Broken("no address came".to_owned()))?;
        Ok((came - begun).as_secs_f64() * 1e3)
    }

    fn plug(&self) -> Result<()> {
        // The server is given its address anew by nobody: it has kept it.
        self.far.ip("link set lan0 up").map(drop)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

fn hitless() -> Result<f64> {
    let wire = Wire::new()?;
    let config = "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\"]\n[bond.bond0.ip]\ndhcp4 = true\n\
                  detect-conflicts = false\n";
    let daemon = Daemon::start_with_config(&wire.host, config)?;
    let took = settle().and_then(|()| wire.time(|| wire.plug()));
    daemon.ask(&["down"])?;
    took
}

/// In the foreground, for IPv4 only, without the hooks that would change this machine, and without what it keeps.
fn dhcpcd() -> Result<f64> {
    let wire = Wire::new()?;
    wire.host.ip("link set eth0 up")?;
    let place = tempfile::tempdir().context(|| "making a place for dhcpcd".to_owned())?;
    let config = place.path().join("dhcpcd.conf");
    fs::write(&config, "duid\nnoarp\nscript /bin/true\nnoipv4ll\n")
        .context(|| "writing dhcpcd.conf".to_owned())?;
    let mut command = Command::new("unshare");
    let own = "mount -t tmpfs tmpfs /var/lib/dhcpcd && mount -t tmpfs tmpfs /run && exec dhcpcd -B -4 -q -f \"$0\" eth0";
    command.args(["--mount", "sh", "-c", own]).arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
    timed(&wire, &mut command, || wire.plug())
}

/// It looks at no carrier: it begins when there is one.
fn udhcpc() -> Result<f64> {
    let wire = Wire::new()?;
    wire.host.ip("link set eth0 up")?;
    wire.plug()?;
    settle()?;
    let place = tempfile::tempdir().context(|| "making a place for udhcpc".to_owned())?;
    let script = place.path().join("script");
    let text = "#!/bin/sh\n[ \"$1\" = bound ] && ip address add $ip/$mask dev $interface\n";
    fs::write(&script, text).context(|| "writing a script".to_owned())?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
        .context(|| "writing a script".to_owned())?;
    let mut command = Command::new("udhcpc");
    command.args(["-i", "eth0", "-f", "-n", "-s"]).arg(&script).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = None;
    let took = wire.time(|| {
        child = Some(wire.host.spawn(&mut command)?);
        Ok(())
    });
    end(child);
    took
}

fn timed(wire: &Wire, command: &mut Command, begins: impl FnOnce() -> Result<()>) -> Result<f64> {
    let child = wire.host.spawn(command)?;
    let took = settle().and_then(|()| wire.time(begins));
    end(Some(child));
    took
}

/// Whoever waits for a link does so by now.
fn settle() -> Result<()> {
    linger(Duration::from_millis(1500))
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}
