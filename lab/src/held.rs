//! Whether an interface has its IPv4 address and the default route at every moment.
//!
//! Looked at a hundred times a second, and, for what happens between two looks, by what the kernel says it has removed.

use std::fmt;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use serde::Serialize;

use crate::error::{IoContext as _, LabError, Result};
use crate::netns::Namespace;
use crate::paced::Schedule;
use crate::wait::{Look, until};

/// Looks a second.
const RATE: u32 = 100;

/// How long `ip monitor` may take to tell what has happened.
const PATIENCE: Duration = Duration::from_secs(20);

/// Addresses that come and go on the loopback, to see that `ip monitor` listens, and that it has told everything.
const MARKS: [&str; 2] = ["127.99.0.1/32", "127.99.0.2/32"];

/// What an interface had meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// How often it was looked at.
    pub samples: u64,
    /// How often it had the address then.
    pub with_address: u64,
    /// How often it had the default route then.
    pub with_route: u64,
    /// From the look before one without the default route to the next with it, summed up.
    pub without_route: Duration,
    /// The IPv4 addresses and routes of the interface that were removed, in the words of `ip monitor`.
    pub removed: Vec<String>,
}

impl Held {
    /// Was everything there all the time?
    pub fn is_unbroken(&self) -> bool {
        self.samples > 0
            && self.with_address == self.samples
            && self.with_route == self.samples
            && self.removed.is_empty()
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, with_address, without_route, removed, .. } = self;
        let seconds = without_route.as_secs_f64();
        write!(f, "address present at {with_address} of {samples} samples, ")?;
        write!(f, "seconds without default route: {seconds:.2}, removals: {}", removed.len())
    }
}

/// Watches an interface until [`Holding::finish`].
#[derive(Debug)]
pub struct Holding<'a> {
    host: &'a Namespace,
    interface: String,
    stop: Arc<AtomicBool>,
    looks: Option<JoinHandle<Result<Held>>>,
    monitor: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl<'a> Holding<'a> {
    /// Begins to watch whether the interface has this address.
    ///
    /// # Errors
    ///
    /// Without iproute2.
    pub fn watch(host: &'a Namespace, interface: &str, address: Ipv4Addr) -> Result<Self> {
        let mut command = Command::new("ip");
        command.args(["-oneline", "-4", "monitor", "address", "route"]).stdout(Stdio::piped());
        let mut monitor = host.spawn(&mut command)?;
        let said = Arc::new(Mutex::new(Vec::new()));
        if let Some(output) = monitor.stdout.take() {
            let said = Arc::clone(&said);
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                    said.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut holding = Self {
            host,
            interface: interface.to_owned(),
            stop: Arc::clone(&stop),
            looks: None,
            monitor,
            said,
        };
        holding.mark(MARKS[0])?;
        let interface = interface.to_owned();
        holding.looks = Some(host.beside(move || look(&interface, address, &stop)));
        Ok(holding)
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// When the interface could not be looked at.
    pub fn finish(mut self) -> Result<Held> {
        self.stop.store(true, Ordering::Relaxed);
        let looks = self.looks.take().and_then(|looks| looks.join().ok());
        let looks = looks.unwrap_or_else(|| Err(LabError::Broken("nobody looked".to_owned())));
        self.mark(MARKS[1])?;
        let own = format!(" {} ", self.interface);
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = said.iter().filter(|line| line.starts_with("Deleted") && line.contains(&own));
        Ok(Held { removed: removed.cloned().collect(), ..looks? })
    }

    /// Waits until the monitor has told of everything so far.
    fn mark(&self, mark: &str) -> Result<()> {
        until("`ip monitor` to tell", PATIENCE, || {
            // Again and again: the first may have come before it listened.
            self.host.ip(&format!("address add {mark} dev lo"))?;
            self.host.ip(&format!("address del {mark} dev lo"))?;
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            let is_told = said.iter().any(|line| line.contains(mark));
            Ok(if is_told { Look::Yes(()) } else { Look::No(format!("{said:?}")) })
        })
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}

fn look(interface: &str, address: Ipv4Addr, stop: &AtomicBool) -> Result<Held> {
    let mut held = Held::default();
    let mut schedule = Schedule::new(RATE);
    let mut route_seen = Instant::now();
    // Once at least, however soon it is over.
    loop {
        schedule.wait();
        held.samples += 1;
        held.with_address += u64::from(has_address(interface, address)?);
        if has_default_route(interface)? {
            held.with_route += 1;
            route_seen = Instant::now();
        } else {
            held.without_route += route_seen.elapsed();
            route_seen = Instant::now();
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(held);
        }
    }
}

fn has_address(interface: &str, address: Ipv4Addr) -> Result<bool> {
    let mut addresses = getifaddrs().context(|| "listing addresses".to_owned())?;
    let is_wanted = |found: nix::ifaddrs::InterfaceAddress| {
        let held = found.address.as_ref().and_then(|address| address.as_sockaddr_in());
        found.interface_name == interface && held.is_some_and(|held| held.ip() == address)
    };
    Ok(addresses.any(is_wanted))
}

/// The interface first, then the destination in hex digits.
fn has_default_route(interface: &str) -> Result<bool> {
    let path = "/proc/thread-self/net/route";
    let routes = fs::read_to_string(path).context(|| format!("reading {path}"))?;
    Ok(routes.lines().any(|route| {
        let mut fields = route.split_whitespace();
        fields.next() == Some(interface) && fields.next() == Some("00000000")
    }))
}
