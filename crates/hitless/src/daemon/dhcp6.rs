//! The DHCPv6 client of a bond: what it hears and says, and the lease that it keeps.
//!
//! What to do is decided by `hitless_core::dhcp6`. What it has got is given to the bond by `ip`, as soon and as often as
//! that is needed; what the kernel makes of it comes back with [`Dhcp6::addresses_seen`].

use std::path::Path;
use std::time::{Duration, SystemTime};

use hitless_core::dhcp6::{Action, Client, Event, Information, Lease, Notice, Options, Remembered, Snapshot};
use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_core::time::Instant;
use hitless_linux::address::Address;
use hitless_linux::dhcp6::{self, Dhcp6Speaker};
use hitless_linux::error::RequestError;
use hitless_linux::sysctl::Ipv6Setting;
use tokio::sync::mpsc;

use super::BondId;
use super::dhcp::{For, seed};
use super::ip;
use super::sockets::{Heard, Listener, hand_up_datagrams};
use crate::causes::chain;
use crate::config::Dhcp6Config;
use crate::dhcp::identity;
use crate::dhcp::leases::Leases;
use crate::host_name;

/// `addr_gen_mode` of an interface that makes no address of the link by itself (`IN6_ADDR_GEN_MODE_NONE`).
const NO_LINK_LOCAL: i32 = 1;

/// The DHCPv6 client of one bond.
pub(super) struct Dhcp6 {
    name: String,
    bond: PortId,
    client: Client,
    config: Dhcp6Config,
    leases: Leases<Remembered>,
    /// What was kept last, for comparison.
    kept: Option<Remembered>,
    /// The hardware address with which the bond could carry frames, and had one of the link to speak from, when the client
    /// was last told.
    up: Option<MacAddr>,
    /// Has the bond an address of the link to speak from?
    link_local: bool,
    id: BondId,
    heard: mpsc::Sender<Heard>,
    speaker: Option<(Dhcp6Speaker, Listener)>,
    /// Why nothing can be asked.
    complaint: Option<String>,
    /// How long the machine has slept since the client began. Leases run on meanwhile, and the daemon's clock does not.
    slept: Duration,
}

impl Dhcp6 {
    /// A client for this bond, which goes on with what an earlier one was lent.
    pub(super) fn new(
        now: Instant,
        bond: &For<'_>,
        config: &Dhcp6Config,
        state: &Path,
        heard: mpsc::Sender<Heard>,
    ) -> Self {
        let leases = Leases::of(state, bond.name);
        let kept: Option<Remembered> = leases.read(SystemTime::now());
        Self {
            // Nothing was slept through yet.
            client: Client::new(now, options(bond.name, config), seed(), kept.clone()),
            name: bond.name.to_owned(),
            bond: PortId(bond.index),
            config: config.clone(),
            leases,
            kept,
            up: None,
            link_local: false,
            id: bond.id,
            heard,
            speaker: None,
            complaint: None,
            slept: Duration::ZERO,
        }
    }

    /// What the bond is to have now.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.client.lease()
    }

    /// What servers tell beside addresses.
    pub(super) fn information(&self) -> Option<&Information> {
        self.client.information()
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

    // ---- events --------------------------------------------------------------------------------------------------

    /// Works by this from now on.
    pub(super) fn configure(&mut self, now: Instant, config: &Dhcp6Config) {
        if self.config != *config {
            self.config = config.clone();
            self.told(now, Event::Configure(options(&self.name, config)));
        }
    }

    /// With which hardware address the bond can carry frames, if it can.
    pub(super) fn link(&mut self, now: Instant, carries: Option<MacAddr>) {
        let up = carries.filter(|_| self.link_local);
        if !self.is_listening() {
            self.up = None;
        }
        if self.up == up {
            return;
        }
        match up {
            Some(mac) => {
                // Before anything is asked that could be answered.
                if let Err(error) = self.listen() {
                    return self.complain(chain(&error));
                }
                self.complaint = None;
                self.told(now, Event::Up { mac });
            }
            None => self.told(now, Event::Down),
        }
        self.up = up;
    }

    /// The bond has these addresses: one of the link to speak from, or not; and what was lent may have turned out to be
    /// somebody else's.
    pub(super) fn addresses_seen(&mut self, now: Instant, addresses: &[Address]) {
        self.link_local = ip::has_link_local(addresses);
        if !self.link_local
            && let Some(why) = no_link_local(&self.name, addresses)
        {
            self.complain(why);
        }
        let lent = self.client.lease().map(|lease| lease.addresses.clone()).unwrap_or_default();
        for address in lent.iter().map(|lent| lent.what) {
            let untested = self.client.lease().is_some_and(|lease| lease.untested.contains(&address));
            match ip::is_duplicate(addresses, address) {
                Some(true) => self.told(now, Event::Duplicate(address)),
                Some(false) if untested => self.told(now, Event::Unique(address)),
                Some(false) | None => {}
            }
        }
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

    pub(super) fn timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| at <= now) {
            self.client.handle_timeout(self.time(now));
        }
    }

    /// Once, however often it is tried again.
    fn complain(&mut self, complaint: String) {
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::warn!("{}: no DHCPv6, will be tried again: {complaint}", self.name);
            self.complaint = Some(complaint);
        }
    }

    fn is_listening(&self) -> bool {
        self.speaker.as_ref().is_some_and(|(_, listener)| listener.is_running())
    }

    fn listen(&mut self) -> Result<(), RequestError> {
        if self.is_listening() {
            return Ok(());
        }
        let (speaker, socket) = dhcp6::open(self.bond.0, &self.name)?;
        let listening = hand_up_datagrams(socket, self.id, self.bond, self.heard.clone());
        self.speaker = Some((speaker, Listener::start(listening)));
        Ok(())
    }

    // ---- actions -------------------------------------------------------------------------------------------------

    /// Says what is to be said, and keeps the lease. Returns what the world should be told.
    pub(super) fn drain(&mut self, now: Instant) -> Vec<Notice> {
        while let Some(Action::Multicast(payload)) = self.client.poll_action() {
            let Some((speaker, _)) = &self.speaker else { continue };
            // What is lost is said again; so is what could not be said.
            if let Err(error) = speaker.send(&payload) {
                tracing::debug!("{}: DHCPv6: {}", self.name, chain(&error));
            }
        }
        let notices: Vec<_> = std::iter::from_fn(|| self.client.poll_notice()).collect();
        self.keep(now, !notices.is_empty());
        notices
    }

    /// A lease that was prolonged is kept as well: by what is on disk, it would be over sooner.
    fn keep(&mut self, now: Instant, news: bool) {
        if !news {
            return;
        }
        let lease = self.client.remembered(self.time(now));
        if lease == self.kept {
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

fn options(bond: &str, config: &Dhcp6Config) -> Options {
    Options {
        client_id: identity::client_id(bond, &config.client_id),
        hostname: config.hostname.clone().or_else(host_name::own),
        delegation: config.prefix_delegation,
        detect_conflicts: config.detect_conflicts,
    }
}

/// Why the bond has no address of the link, and what to do; `None`: it only takes its time.
fn no_link_local(bond: &str, addresses: &[Address]) -> Option<String> {
    if let Some(duplicate) = addresses.iter().find(|held| held.is_link_local() && held.is_duplicate()) {
        return Some(format!("somebody else has {duplicate}, the link-local address of {bond}"));
    }
    if matches!(Ipv6Setting::DisableIpv6.get("all"), Ok(None)) {
        return Some("this kernel has no IPv6; set dhcp6 = false".to_owned());
    }
    if matches!(Ipv6Setting::DisableIpv6.get(bond), Ok(Some(1..))) {
        return Some(format!("IPv6 is switched off on {bond} (sysctl net.ipv6.conf.{bond}.disable_ipv6=0)"));
    }
    let made = Ipv6Setting::AddrGenMode.get(bond);
    matches!(made, Ok(Some(NO_LINK_LOCAL)))
        .then(|| format!("{bond} makes no link-local address (sysctl net.ipv6.conf.{bond}.addr_gen_mode=0)"))
}
