//! Numbered datagrams both ways, judged at the receiver.
//!
//! Each direction has a sender thread with an absolute schedule and a receiver thread. What was sent and what came is
//! only written down while it flows; [`Meter::finish`] does the counting, per direction and per interval between two
//! marks. A datagram belongs to the interval in which it was *sent*. TCP is in [`crate::tcp`].

use std::io::{ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use serde::Serialize;

use crate::error::{IoContext as _, LabError, Result};
use crate::netns::Namespace;
use crate::paced::Schedule;
use crate::wait::{Look, until};

/// What our datagrams begin with, so that nothing else is counted.
const MAGIC: [u8; 8] = *b"hitless\x01";

/// The size of a datagram: magic, number, and padding up to that of a voice packet.
const SIZE: usize = 160;

/// A receive buffer for several seconds of datagrams, so that a busy machine is not taken for a lossy network.
const RECEIVE_BUFFER: usize = 8 << 20;

/// How often a receiver looks whether it should stop.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(50);

/// How long [`Meter::finish`] gives the last datagrams.
const DRAIN: Duration = Duration::from_millis(500);

/// What [`Meter::so_far`] leaves out, for it may still be on its way.
const IN_FLIGHT: Duration = Duration::from_millis(50);

/// One end of a measurement: a host and an address that it has.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// The host.
    pub host: &'a Namespace,
    /// Its address.
    pub address: IpAddr,
}

/// Datagrams that flow both ways until [`Meter::finish`].
#[derive(Debug)]
pub struct Meter {
    outbound: Lane,
    inbound: Lane,
    marks: Vec<Mark>,
    stop_sending: Arc<AtomicBool>,
    stop_receiving: Arc<AtomicBool>,
}

/// What was counted of one direction in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Datagrams sent, those that the sender's own kernel refused included.
    pub sent: u64,
    /// Those that never arrived, refused ones included.
    pub lost: u64,
    /// Those that the sender's own kernel refused (no route, no buffer).
    pub refused: u64,
    /// Surplus copies.
    pub duplicated: u64,
    /// Those that arrived after one with a higher number.
    pub reordered: u64,
    /// The longest time between two arrivals, by the receiving kernel's clock.
    pub longest_gap: Duration,
    /// The longest time between two departures: a gap of that length is the sender's, not the network's.
    pub sender_gap: Duration,
}

/// What was counted between two marks.
#[derive(Clone, Debug, Serialize)]
pub struct Interval {
    /// The mark at its beginning.
    pub label: String,
    /// From the first end to the second.
    pub outbound: Counts,
    /// From the second end to the first.
    pub inbound: Counts,
}

impl Interval {
    /// Both directions: sums, and the longer gap.
    pub fn both(&self) -> Counts {
        self.outbound.plus(self.inbound)
    }
}

/// What was counted altogether.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// In order; the first is called `start`.
    pub intervals: Vec<Interval>,
}

impl Report {
    /// The whole run, both directions.
    pub fn total(&self) -> Counts {
        self.intervals.iter().fold(Counts::default(), |sum, interval| sum.plus(interval.both()))
    }

    /// All intervals whose label begins like this.
    pub fn labelled<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Interval> {
        self.intervals.iter().filter(move |interval| interval.label.starts_with(prefix))
    }
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            lost: self.lost + other.lost,
            refused: self.refused + other.refused,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            longest_gap: self.longest_gap.max(other.longest_gap),
            sender_gap: self.sender_gap.max(other.sender_gap),
        }
    }
}

impl Meter {
    /// Starts `rate` datagrams a second in each direction.
    ///
    /// # Errors
    ///
    /// When an end does not have its address.
    pub fn start(near: End<'_>, far: End<'_>, rate: u32) -> Result<Self> {
        let [near, far] = [open(near)?, open(far)?];
        let stop_sending = Arc::new(AtomicBool::new(false));
        let stop_receiving = Arc::new(AtomicBool::new(false));
        let lane = |from: &UdpSocket, to: &UdpSocket| {
            let target = to.local_addr().context(own_address)?;
            Lane::start(from, to, target, rate, Arc::clone(&stop_sending), Arc::clone(&stop_receiving))
        };
        let (outbound, inbound) = (lane(&near, &far)?, lane(&far, &near)?);
        let marks = vec![Mark { label: "start".to_owned(), outbound: 0, inbound: 0 }];
        Ok(Self { outbound, inbound, marks, stop_sending, stop_receiving })
    }

    /// Starts `rate` datagrams a second from the second end to everybody in its network of 256
    /// addresses, which the first end listens to on all of its interfaces; nothing in the other direction.
    ///
    /// # Errors
    ///
    /// When the second end does not have its address, or that is not IPv4.
    pub fn start_broadcast(near: &Namespace, far: End<'_>, rate: u32) -> Result<Self> {
        let IpAddr::V4(address) = far.address else {
            return Err(LabError::Broken(format!("{} has no broadcasts", far.address)));
        };
        let [a, b, c, _] = address.octets();
        let near = open(End { host: near, address: Ipv4Addr::UNSPECIFIED.into() })?;
        let far = open(far)?;
        far.set_broadcast(true).context(|| "allowing broadcasts".to_owned())?;
        let mut target = near.local_addr().context(own_address)?;
        target.set_ip(Ipv4Addr::new(a, b, c, 255).into());
        let stop_sending = Arc::new(AtomicBool::new(false));
        let stop_receiving = Arc::new(AtomicBool::new(false));
        let inbound =
            Lane::start(&far, &near, target, rate, Arc::clone(&stop_sending), Arc::clone(&stop_receiving))?;
        let marks = vec![Mark { label: "start".to_owned(), outbound: 0, inbound: 0 }];
        Ok(Self { outbound: Lane::silent(), inbound, marks, stop_sending, stop_receiving })
    }

    /// Begins a new interval.
    pub fn mark(&mut self, label: impl Into<String>) {
        self.marks.push(Mark {
            label: label.into(),
            outbound: self.outbound.log.sent(),
            inbound: self.inbound.log.sent(),
        });
    }

    /// What was counted up to now, without the last 50 ms.
    pub fn so_far(&self) -> Report {
        self.report(Some(Instant::now().checked_sub(IN_FLIGHT).unwrap_or_else(Instant::now)))
    }

    /// Waits until this many more datagrams have come in each direction: traffic flows.
    ///
    /// # Errors
    ///
    /// When they do not within `limit`.
    pub fn wait_flowing(&self, datagrams: usize, limit: Duration) -> Result<()> {
        let [out, back] = [&self.outbound, &self.inbound].map(|lane| lane.log.arrivals().len() + datagrams);
        until("datagrams to flow both ways", limit, || {
            let missing = [&self.outbound, &self.inbound].map(|lane| lane.log.arrivals().len());
            Ok(if missing[0] >= out && missing[1] >= back {
                Look::Yes(())
            } else {
                Look::No(format!(
                    "{} of {datagrams} missing outbound, {} inbound",
                    out.saturating_sub(missing[0]),
                    back.saturating_sub(missing[1])
                ))
            })
        })
    }

    /// Stops sending, gives the last datagrams time to arrive, and counts.
    pub fn finish(mut self) -> Report {
        self.stop();
        self.report(None)
    }

    fn stop(&mut self) {
        self.stop_sending.store(true, Ordering::SeqCst);
        for lane in [&mut self.outbound, &mut self.inbound] {
            join(lane.sender.take());
        }
        let end = Instant::now() + DRAIN;
        while Instant::now() < end && !(self.outbound.log.complete() && self.inbound.log.complete()) {
            thread::sleep(Duration::from_millis(5));
        }
        self.stop_receiving.store(true, Ordering::SeqCst);
        for lane in [&mut self.outbound, &mut self.inbound] {
            join(lane.receiver.take());
        }
    }

    /// Counts what was sent before `until`.
    fn report(&self, until: Option<Instant>) -> Report {
        let bounds = |pick: fn(&Mark) -> usize| self.marks.iter().map(pick).collect::<Vec<_>>();
        let outbound = self.outbound.log.count(&bounds(|mark| mark.outbound), until);
        let inbound = self.inbound.log.count(&bounds(|mark| mark.inbound), until);
        let intervals = self
            .marks
            .iter()
            .zip(outbound.into_iter().zip(inbound))
            .map(|(mark, (outbound, inbound))| Interval { label: mark.label.clone(), outbound, inbound })
            .collect();
        Report { intervals }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        // Ends the threads; without a drain, for nobody counts any more.
        self.stop_sending.store(true, Ordering::SeqCst);
        self.stop_receiving.store(true, Ordering::SeqCst);
        for lane in [&mut self.outbound, &mut self.inbound] {
            join(lane.sender.take());
            join(lane.receiver.take());
        }
    }
}

fn own_address() -> String {
    "asking a socket for its address".to_owned()
}

/// The first numbers of an interval.
#[derive(Debug)]
struct Mark {
    label: String,
    outbound: usize,
    inbound: usize,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    log: Arc<Log>,
    sender: Option<JoinHandle<()>>,
    receiver: Option<JoinHandle<()>>,
}

impl Lane {
    /// One on which nothing flows.
    fn silent() -> Self {
        Self { log: Arc::default(), sender: None, receiver: None }
    }

    /// From one socket to the other, which is reached by `target`.
    fn start(
        from: &UdpSocket,
        to: &UdpSocket,
        target: SocketAddr,
        rate: u32,
        stop_sending: Arc<AtomicBool>,
        stop_receiving: Arc<AtomicBool>,
    ) -> Result<Self> {
        let clone = |socket: &UdpSocket| socket.try_clone().context(|| "duplicating a socket".to_owned());
        let (from, to) = (clone(from)?, clone(to)?);
        let log = Arc::new(Log::default());
        let (sent, received) = (Arc::clone(&log), Arc::clone(&log));
        let sender = thread::spawn(move || send(&from, target, rate, &sent, &stop_sending));
        let receiver = thread::spawn(move || receive(&to, &received, &stop_receiving));
        Ok(Self { log, sender: Some(sender), receiver: Some(receiver) })
    }
}

/// What happened in one direction.
#[derive(Debug, Default)]
struct Log {
    departures: Mutex<Vec<Departure>>,
    arrivals: Mutex<Vec<Arrival>>,
}

#[derive(Clone, Copy, Debug)]
struct Departure {
    at: Instant,
    refused: bool,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    number: usize,
    /// By the receiving kernel's real-time clock, since 1970.
    at: Duration,
}

impl Log {
    fn departures(&self) -> MutexGuard<'_, Vec<Departure>> {
        self.departures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrivals(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self) -> usize {
        self.departures().len()
    }

    /// Has as much come as was sent? (Duplicates may hide a loss here; this only decides how long to wait.)
    fn complete(&self) -> bool {
        self.arrivals().len() >= self.sent()
    }

    /// Counts by the intervals that begin with these numbers.
    fn count(&self, bounds: &[usize], until: Option<Instant>) -> Vec<Counts> {
        let departures: Vec<Departure> = self
            .departures()
            .iter()
            .copied()
            .take_while(|sent| until.is_none_or(|until| sent.at < until))
            .collect();
        let arrivals = self.arrivals();
        count(&departures, &arrivals, bounds)
    }
}

/// The counting itself.
fn count(departures: &[Departure], arrivals: &[Arrival], bounds: &[usize]) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); bounds.len()];
    let interval_of = |number: usize| bounds.partition_point(|first| *first <= number).saturating_sub(1);

    let mut copies = vec![0_u64; departures.len()];
    let mut highest = None;
    let mut before: Option<Arrival> = None;
    for arrival in arrivals.iter().filter(|arrival| arrival.number < departures.len()) {
        let Some(count) = counts.get_mut(interval_of(arrival.number)) else { continue };
        let duplicate = copies[arrival.number] > 0;
        copies[arrival.number] += 1;
        if !duplicate && highest.is_some_and(|highest| arrival.number < highest) {
            count.reordered += 1;
        }
        highest = highest.max(Some(arrival.number));
        if let Some(before) = before {
            count.longest_gap = count.longest_gap.max(arrival.at.saturating_sub(before.at));
        }
        before = Some(*arrival);
    }

    for (number, departure) in departures.iter().enumerate() {
        let Some(count) = counts.get_mut(interval_of(number)) else { continue };
        count.sent += 1;
        count.refused += u64::from(departure.refused);
        count.lost += u64::from(copies[number] == 0);
        count.duplicated += copies[number].saturating_sub(1);
        if let Some(earlier) = number.checked_sub(1).and_then(|earlier| departures.get(earlier)) {
            count.sender_gap = count.sender_gap.max(departure.at - earlier.at);
        }
    }
    silent_end(departures, &copies, &interval_of, &mut counts);
    counts
}

/// Where nothing came any more, no arrival ends the gap: it lasts from the last datagram that arrived to the end.
fn silent_end(
    departures: &[Departure],
    copies: &[u64],
    interval_of: &impl Fn(usize) -> usize,
    counts: &mut [Counts],
) {
    let Some(end) = departures.last() else { return };
    let heard = copies.iter().rposition(|copies| *copies > 0);
    let since = heard.and_then(|heard| departures.get(heard)).or(departures.first());
    let Some(since) = since else { return };
    if let Some(count) = counts.get_mut(interval_of(departures.len() - 1)) {
        count.longest_gap = count.longest_gap.max(end.at - since.at);
    }
}

fn open(end: End<'_>) -> Result<UdpSocket> {
    let address = SocketAddr::new(end.address, 0);
    let socket = end
        .host
        .within(|| UdpSocket::bind(address))?
        .context(|| format!("opening a socket at {} in {}", end.address, end.host.name()))?;
    setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER).context(|| "setting a receive buffer".to_owned())?;
    setsockopt(&socket, ReceiveTimestampns, &true).context(|| "asking for time stamps".to_owned())?;
    socket.set_read_timeout(Some(RECEIVE_TIMEOUT)).context(|| "setting a receive timeout".to_owned())?;
    Ok(socket)
}

fn send(socket: &UdpSocket, target: SocketAddr, rate: u32, log: &Log, stop: &AtomicBool) {
    let mut schedule = Schedule::new(rate);
    let mut datagram = [0; SIZE];
    datagram[..8].copy_from_slice(&MAGIC);
    while !stop.load(Ordering::Relaxed) {
        schedule.wait();
        let number = {
            let mut departures = log.departures();
            departures.push(Departure { at: Instant::now(), refused: false });
            departures.len() - 1
        };
        datagram[8..16].copy_from_slice(&(number as u64).to_be_bytes());
        if socket.send_to(&datagram, target).is_err()
            && let Some(departure) = log.departures().get_mut(number)
        {
            departure.refused = true;
        }
    }
}

fn receive(socket: &UdpSocket, log: &Log, stop: &AtomicBool) {
    let mut buffer = [0; SIZE + 1];
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    while !stop.load(Ordering::Relaxed) {
        match receive_one(socket, &mut buffer, &mut control) {
            Ok(Some(arrival)) => log.arrivals().push(arrival),
            Ok(None) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            // ICMP errors that earlier datagrams caused: the datagrams are missing at the other end, and counted there.
            Err(_) => {}
        }
    }
}

/// One datagram with its time; `None` if it is not one of ours.
fn receive_one(
    socket: &UdpSocket,
    buffer: &mut [u8; SIZE + 1],
    control: &mut [u8],
) -> std::io::Result<Option<Arrival>> {
    let (length, at) = {
        let mut pieces = [IoSliceMut::new(buffer)];
        let message =
            recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut pieces, Some(control), MsgFlags::empty())?;
        let stamp = message.cmsgs().ok().and_then(|messages| {
            messages
                .filter_map(|message| {
                    let ControlMessageOwned::ScmTimestampns(time) = message else { return None };
                    Some(Duration::from(time))
                })
                .next()
        });
        (message.bytes, stamp)
    };
    let (Some(at), SIZE) = (at, length) else { return Ok(None) };
    if buffer[..8] != MAGIC {
        return Ok(None);
    }
    let mut number = [0; 8];
    number.copy_from_slice(&buffer[8..16]);
    Ok(usize::try_from(u64::from_be_bytes(number)).ok().map(|number| Arrival { number, at }))
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        // A thread that panicked has said so, and shows as lost datagrams.
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One datagram every millisecond, with these arrivals: (number, time in ms).
    fn counted(sent: u64, arrivals: &[(usize, u64)], bounds: &[usize]) -> Vec<Counts> {
        let start = Instant::now();
        let departures: Vec<_> =
            (0..sent).map(|n| Departure { at: start + Duration::from_millis(n), refused: false }).collect();
        let arrivals: Vec<_> = arrivals
            .iter()
            .map(|(number, at)| Arrival { number: *number, at: Duration::from_millis(*at) })
            .collect();
        count(&departures, &arrivals, bounds)
    }

    #[test]
    fn losses_belong_to_the_interval_in_which_they_were_sent() {
        let counts = counted(6, &[(0, 0), (1, 1), (4, 4), (5, 5)], &[0, 3]);
        assert_eq!((counts[0].sent, counts[0].lost), (3, 1));
        assert_eq!((counts[1].sent, counts[1].lost), (3, 1));
        assert_eq!(counts[1].longest_gap, Duration::from_millis(3));
    }

    #[test]
    fn duplicates_and_reordering_are_told_apart() {
        let counts = counted(4, &[(0, 0), (2, 2), (1, 3), (1, 4), (3, 5)], &[0]);
        assert_eq!((counts[0].lost, counts[0].duplicated, counts[0].reordered), (0, 1, 1));
    }

    #[test]
    fn silence_at_the_end_is_a_gap() {
        let counts = counted(100, &[(0, 0), (1, 1)], &[0, 50]);
        assert_eq!(counts[1].longest_gap, Duration::from_millis(98));
        assert_eq!((counts[0].lost, counts[1].lost), (48, 50));
    }
}
