//! The DHCP client of a bond: what it hears and says, and the lease that it keeps.
//!
//! What to do is decided by `hitless_core::dhcp`. What it has got is given to the bond by `ip`, as soon and as often as
//! that is needed.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hitless_core::datagram;
use hitless_core::dhcp::{Action, Client, Event, Lease, Notice, Options, Remembered, Snapshot};
use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_core::time::Instant;
use hitless_linux::dhcp::{DhcpSocket, DhcpSpeaker};
use hitless_linux::error::RequestError;
use tokio::sync::mpsc;

use super::BondId;
use super::sockets::{Heard, Listener, Sockets, hand_up};
use crate::causes::chain;
use crate::config::DhcpConfig;
use crate::dhcp::identity;
use crate::dhcp::leases::Leases;
use crate::host_name;

/// The DHCP client of one bond.
pub(super) struct Dhcp {
    name: String,
    bond: PortId,
    client: Client,
    config: DhcpConfig,
    leases: Leases<Remembered>,
    /// What was kept last, for comparison.
    kept: Option<Remembered>,
    /// The address with which the bond could carry frames, when the client was last told.
    up: Option<MacAddr>,
    own: Vec<MacAddr>,
    speaker: DhcpSpeaker,
    /// For frames: broadcasts, and ARP.
    sockets: Sockets,
    arp: bool,
    id: BondId,
    heard: mpsc::Sender<Heard>,
    listener: Option<Listener>,
    /// Why nothing can be heard.
    complaint: Option<String>,
    /// How long the machine has slept since the client began. Leases run on meanwhile, and the daemon's clock does not.
    slept: Duration,
}

/// Which bond a client is for.
pub(super) struct For<'a> {
    pub(super) id: BondId,
    pub(super) name: &'a str,
    pub(super) index: u32,
}

impl Dhcp {
    /// A client for this bond, which goes on with what an earlier one was lent.
    pub(super) fn new(
        now: Instant,
        bond: &For<'_>,
        config: &DhcpConfig,
        state: &Path,
        heard: mpsc::Sender<Heard>,
    ) -> Self {
        let leases = Leases::of(state, bond.name);
        let kept = leases.read(SystemTime::now());
        Self {
            // Nothing was slept through yet.
            client: Client::new(now, options(bond.name, config), seed(), kept.clone()),
            name: bond.name.to_owned(),
            bond: PortId(bond.index),
            config: config.clone(),
            leases,
            kept,
            up: None,
            own: Vec::new(),
            speaker: DhcpSpeaker::new(bond.name),
            sockets: Sockets::new(bond.id, heard.clone()),
            arp: false,
            id: bond.id,
            heard,
            listener: None,
            complaint: None,
            slept: Duration::ZERO,
        }
    }

    /// What the bond is to have now.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.client.lease()
    }

    pub(super) fn snapshot(&self, now: Instant) -> Snapshot {
        self.client.snapshot(self.time(now))
    }

    /// By the clock of the daemon.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (at, _) = self.client.poll_timeout()?;
        Some(Instant::after_epoch(at.since(Instant::EPOCH).saturating_sub(self.slept)))
    }

    /// By the clock of leases, which goes on while the machine sleeps.
    pub(super) fn time(&self, now: Instant) -> Instant {
        now + self.slept
    }

    /// The bond has this address already, from elsewhere.
    pub(super) fn prefer(&mut self, address: Ipv4Addr) {
        self.client.prefer(address);
    }

    // ---- events --------------------------------------------------------------------------------------------------

    /// Works by this from now on.
    pub(super) fn configure(&mut self, now: Instant, config: &DhcpConfig) {
        if self.config != *config {
            self.config = config.clone();
            self.client.handle(self.time(now), Event::Configure(options(&self.name, config)));
        }
    }

    /// With which address the bond can carry frames, if it can; and the addresses of its ports.
    pub(super) fn link(&mut self, now: Instant, up: Option<MacAddr>, own: Vec<MacAddr>) {
        if self.own != own {
            self.own.clone_from(&own);
            self.client.handle(self.time(now), Event::Own(own));
        }
        if self.up == up {
            return;
        }
        match up {
            Some(mac) => {
                // Before anything is asked that could be answered.
                if let Err(error) = self.listen() {
                    return self.complain(&error);
                }
                self.complaint = None;
                self.client.handle(self.time(now), Event::Up { mac });
            }
            None => self.client.handle(self.time(now), Event::Down),
        }
        self.up = up;
    }

    /// Something happened that the client has to know.
    pub(super) fn told(&mut self, now: Instant, event: Event<'_>) {
        self.client.handle(self.time(now), event);
    }

    /// The machine has slept for so long, as far as its clocks know.
    pub(super) fn resumed(&mut self, now: Instant, slept: Option<Duration>) {
        self.slept += slept.unwrap_or_default();
        self.told(now, Event::Resumed);
    }

    /// A frame came in on the bond.
    pub(super) fn heard(&mut self, now: Instant, frame: &[u8]) {
        match datagram::heard(frame) {
            Some((from, payload)) => self.told(now, Event::Received { payload, from }),
            None => self.told(now, Event::Frame(frame)),
        }
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.client.handle_timeout(self.time(now));
        }
    }

    /// Once, however often it is tried again.
    fn complain(&mut self, error: &RequestError) {
        let complaint = chain(error);
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!("{}: no DHCP, will be tried again: {complaint}", self.name);
            self.complaint = Some(complaint);
        }
    }

    fn listen(&mut self) -> Result<(), RequestError> {
        if self.listener.as_ref().is_some_and(Listener::is_running) {
            return Ok(());
        }
        let socket = DhcpSocket::open(self.bond.0, &self.name)?;
        self.listener = Some(Listener::start(hand_up(socket, self.id, self.bond, self.heard.clone())));
        Ok(())
    }

    // ---- actions -------------------------------------------------------------------------------------------------

    /// Says what is to be said, and keeps the lease. Returns what the world should be told.
    pub(super) fn drain(&mut self, now: Instant) -> Vec<Notice> {
        while let Some(action) = self.client.poll_action() {
            self.perform(&action);
        }
        self.listen_to_arp();
        let notices: Vec<_> = std::iter::from_fn(|| self.client.poll_notice()).collect();
        self.keep(now, !notices.is_empty());
        notices
    }

    /// What is lost is said again; so is what could not be said.
    fn perform(&mut self, action: &Action) {
        let said = match action {
            Action::Broadcast(payload) => {
                let frame = datagram::broadcast(self.up.unwrap_or_default(), payload);
                self.sockets.send(self.bond, &self.name, &frame)
            }
            Action::Unicast { from, to, payload } => self.speaker.send(*from, *to, payload),
            Action::Frame(frame) => self.sockets.send(self.bond, &self.name, frame),
        };
        if let Err(error) = said {
            tracing::debug!("{}: DHCP: {}", self.name, chain(&error));
        }
    }

    fn listen_to_arp(&mut self) {
        let wanted = self.client.is_listening_to_arp();
        if wanted == self.arp {
            return;
        }
        if !wanted {
            self.sockets.stop_listening(self.bond);
        } else if let Err(error) = self.sockets.listen(self.bond, &self.name, None) {
            return tracing::debug!("{}: DHCP: {}", self.name, chain(&error));
        }
        self.arp = wanted;
    }

    /// A lease that was prolonged is kept as well: by what is on disk, it would be over sooner.
    fn keep(&mut self, now: Instant, news: bool) {
        let time = self.time(now);
        let lease = self.client.lease().map(|lease| lease.remembered(time));
        let same =
            lease.as_ref().map(|lease| &lease.parameters) == self.kept.as_ref().map(|kept| &kept.parameters);
        if same && !news {
            return;
        }
        let kept = match lease.clone() {
            Some(lease) => self.leases.write(SystemTime::now(), lease),
            None => self.leases.forget(),
        };
        if let Err(error) = kept {
            tracing::warn!("{}: {}", self.name, chain(&error));
        }
        self.kept = lease;
    }
}

fn options(bond: &str, config: &DhcpConfig) -> Options {
    Options {
        client_id: identity::client_id(bond, &config.client_id),
        chaddr: config.chaddr,
        hostname: config.hostname.clone().or_else(host_name::own),
        detect_conflicts: config.detect_conflicts,
    }
}

/// Different in every run and on every machine: it only keeps clients from speaking all at once.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(SystemTime::now())
}
