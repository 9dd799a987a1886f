//! Where a station is, by what wpa_supplicant tells of it. Decides what is said of it to others; does nothing.
//!
//! ```text
//!             Trying                Connected, then STATUS
//!   Scanning ────────▶ Associating ───────────────────────▶ Joined
//!      ▲                    │ refused, wrong passphrase        │ Disconnected
//!      │                    ▼                                  ▼
//!      └─────────────── Failed (until joined)             Disconnected
//! ```
//!
//! A network that failed is tried again and again by wpa_supplicant. That is not told as if there were hope: the fault
//! stays until the network is joined.

use std::collections::BTreeMap;

use hitless_core::wifi::Ssid;

use super::fault::Fault;
use super::{StationState, What};
use crate::wifi::supplicant::event::{DisabledReason, Event};
use crate::wifi::supplicant::reply::{Status, WpaState};
use crate::wifi::supplicant::request::NetworkId;

/// SAE (IEEE 802.11, 9.4.1.1).
const SAE: u16 = 3;

/// The step of SAE in which both prove that they know the passphrase. What is refused there is a wrong one, with
/// whichever status: hostapd says 1, others 15.
const CONFIRM: u16 = 2;

/// Where a station is.
#[derive(Clone, Debug)]
pub(super) struct Track {
    state: StationState,
    names: BTreeMap<NetworkId, Ssid>,
    faults: BTreeMap<NetworkId, Fault>,
    /// The one that is joined, or was tried last.
    current: Option<NetworkId>,
    /// Was it told to stay out?
    stays_out: bool,
}

/// What follows from an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// What is to be told.
    pub(super) told: Vec<What>,
    /// Is its state to be asked for? Events do not tell all of it.
    pub(super) ask: bool,
    /// Does wpa_supplicant no longer take care of it?
    pub(super) over: bool,
}

impl Track {
    pub(super) fn new() -> Self {
        Self {
            state: StationState::Starting,
            names: BTreeMap::new(),
            faults: BTreeMap::new(),
            current: None,
            stays_out: false,
        }
    }

    pub(super) fn state(&self) -> &StationState {
        &self.state
    }

    /// The network that is joined.
    pub(super) fn joined(&self) -> Option<NetworkId> {
        self.current.filter(|_| matches!(self.state, StationState::Joined { .. }))
    }

    pub(super) fn fault(&self, network: NetworkId) -> Option<&Fault> {
        self.faults.get(&network)
    }

    /// These are the networks, by the numbers that they have now.
    pub(super) fn know(&mut self, networks: BTreeMap<NetworkId, Ssid>) {
        self.faults.retain(|id, _| networks.contains_key(id));
        self.names = networks;
    }

    /// What went wrong with a network is no longer of interest: it is another try.
    pub(super) fn forgive(&mut self, network: NetworkId) -> Vec<What> {
        let fault = self.faults.remove(&network);
        if fault.is_some_and(|fault| self.state == StationState::Failed(fault)) {
            return self.settle(StationState::Disconnected);
        }
        Vec::new()
    }

    /// It is to stay out, or is no longer. Was it to, before?
    pub(super) fn stay_out(&mut self, out: bool) -> bool {
        std::mem::replace(&mut self.stays_out, out)
    }

    /// Is it to stay out?
    pub(super) fn stays_out(&self) -> bool {
        self.stays_out
    }

    /// What wpa_supplicant knew is forgotten with it.
    pub(super) fn fail(&mut self, fault: Fault) -> Vec<What> {
        self.faults.clear();
        self.current = None;
        self.settle(StationState::Failed(fault))
    }

    /// wpa_supplicant is spoken to anew, or everything is tried anew.
    pub(super) fn begin(&mut self) -> Vec<What> {
        self.faults.clear();
        self.settle(StationState::Starting)
    }

    pub(super) fn status(&mut self, status: &Status) -> Vec<What> {
        match status.state {
            WpaState::Completed => {
                let (Some(ssid), Some(bssid)) = (status.ssid.clone(), status.bssid) else {
                    return Vec::new();
                };
                self.current = status.network;
                if let Some(network) = status.network {
                    self.faults.remove(&network);
                }
                self.settle(StationState::Joined { ssid, bssid, frequency_mhz: status.frequency })
            }
            WpaState::InterfaceDisabled => self.settle(StationState::Failed(Fault::RadioOff)),
            WpaState::Scanning => self.looking(),
            WpaState::Authenticating | WpaState::Associating | WpaState::Associated | WpaState::Handshake => {
                self.trying(status.ssid.clone(), status.network)
            }
            WpaState::Disconnected | WpaState::Inactive => {
                let known = matches!(&self.state, StationState::Failed(fault) if *fault != Fault::RadioOff);
                if known && !self.stays_out { Vec::new() } else { self.settle(StationState::Disconnected) }
            }
            WpaState::Unknown => Vec::new(),
        }
    }

    pub(super) fn event(&mut self, event: &Event) -> Step {
        let told = match event {
            Event::Connected { network, .. } => {
                if let Some(network) = network {
                    self.faults.remove(network);
                }
                return Step { ask: true, ..Step::default() };
            }
            Event::Disconnected { reason, locally_generated, .. } => self.left(*reason, *locally_generated),
            Event::TemporarilyDisabled { network, ssid, failures, duration, reason } => {
                let Some(ssid) = ssid.clone().or_else(|| self.names.get(network).cloned()) else {
                    return Step::default();
                };
                let known = self.faults.get(network).cloned();
                self.blame(*network, after_failures(ssid, *failures, *duration, reason, known))
            }
            Event::AuthenticationRejected { algorithm, transaction, status, .. } => {
                let wrong = *algorithm == SAE && *transaction == CONFIRM;
                self.blame_current(
                    |ssid, known| if wrong { wrong_again(ssid, known) } else { rejected(ssid, *status) },
                )
            }
            Event::AssociationRejected { status, .. } => {
                self.blame_current(|ssid, _| rejected(ssid, *status))
            }
            Event::EapFailed => self.blame_current(|ssid, known| match known {
                Some(fault @ (Fault::CertificateRefused { .. } | Fault::CertificatesUnusable { .. })) => {
                    fault
                }
                Some(_) | None => Fault::EapFailed { ssid },
            }),
            Event::EapUnusable => self.blame_current(|ssid, _| Fault::CertificatesUnusable { ssid }),
            Event::CertificateRefused { problem } => {
                let problem = problem.clone();
                self.blame_current(|ssid, _| Fault::CertificateRefused { ssid, problem })
            }
            Event::ScanStarted => self.looking(),
            Event::NetworkNotFound => self.not_found(),
            Event::BeaconLoss => vec![What::BeaconLoss],
            Event::GroupRekeyed => vec![What::Rekeyed],
            Event::Trying { ssid, .. } => self.trying(ssid.clone(), None),
            Event::Terminating => return Step { over: true, ..Step::default() },
            Event::Associated { .. }
            | Event::Reenabled { .. }
            | Event::ScanResults
            | Event::ScanFailed
            | Event::SignalChange { .. }
            | Event::RegulatoryChange { .. }
            | Event::Other(_) => Vec::new(),
        };
        Step { told, ..Step::default() }
    }

    fn left(&mut self, reason: u16, ours: bool) -> Vec<What> {
        let mut told = Vec::new();
        match self.state {
            StationState::Joined { .. } if !ours => told.push(What::Deauthenticated { reason }),
            StationState::Failed(_) => return told,
            StationState::Joined { .. }
            | StationState::Starting
            | StationState::Scanning
            | StationState::Associating { .. }
            | StationState::Disconnected => {}
        }
        told.extend(self.settle(StationState::Disconnected));
        told
    }

    fn looking(&mut self) -> Vec<What> {
        match &self.state {
            StationState::Disconnected if self.stays_out => Vec::new(),
            StationState::Starting | StationState::Disconnected | StationState::Failed(Fault::RadioOff) => {
                self.settle(StationState::Scanning)
            }
            StationState::Scanning
            | StationState::Associating { .. }
            | StationState::Joined { .. }
            | StationState::Failed(_) => Vec::new(),
        }
    }

    fn not_found(&mut self) -> Vec<What> {
        match self.state {
            _ if self.stays_out => Vec::new(),
            StationState::Starting | StationState::Scanning | StationState::Disconnected => {
                self.settle(StationState::Failed(Fault::NetworkNotFound))
            }
            StationState::Associating { .. } | StationState::Joined { .. } | StationState::Failed(_) => {
                Vec::new()
            }
        }
    }

    fn trying(&mut self, ssid: Option<Ssid>, network: Option<NetworkId>) -> Vec<What> {
        // Of two with the same name, the newer one: an attempt, while the other is disabled.
        let mut newest_first = self.names.iter().rev();
        let mut by_name = || newest_first.find_map(|(id, name)| (Some(name) == ssid.as_ref()).then_some(*id));
        self.current = network.or_else(&mut by_name).or(self.current.filter(|_| ssid.is_none()));
        let fault = self.current.and_then(|network| self.faults.get(&network));
        match (fault.cloned(), &self.state) {
            (Some(fault), _) => self.settle(StationState::Failed(fault)),
            // STATUS does not name it yet.
            (None, StationState::Associating { .. }) if ssid.is_none() => Vec::new(),
            (None, _) => self.settle(StationState::Associating { ssid }),
        }
    }

    fn blame_current(&mut self, fault: impl FnOnce(Ssid, Option<Fault>) -> Fault) -> Vec<What> {
        let Some(network) = self.current else { return Vec::new() };
        let Some(ssid) = self.names.get(&network).cloned() else { return Vec::new() };
        let fault = fault(ssid, self.faults.get(&network).cloned());
        self.blame(network, fault)
    }

    fn blame(&mut self, network: NetworkId, fault: Fault) -> Vec<What> {
        self.faults.insert(network, fault.clone());
        self.settle(StationState::Failed(fault))
    }

    fn settle(&mut self, state: StationState) -> Vec<What> {
        if self.state == state {
            return Vec::new();
        }
        self.state = state.clone();
        vec![What::State(state)]
    }
}

/// What it means that a network is not tried for a while. Where more was said before, that is kept.
fn after_failures(
    ssid: Ssid,
    tries: u32,
    duration: std::time::Duration,
    reason: &DisabledReason,
    known: Option<Fault>,
) -> Fault {
    let retry_in = Some(duration);
    match (reason, known) {
        (_, Some(Fault::WrongPassphrase { tries: counted, .. })) => {
            Fault::WrongPassphrase { ssid, tries: tries.max(counted), retry_in }
        }
        (DisabledReason::WrongKey, _) => Fault::WrongPassphrase { ssid, tries, retry_in },
        (
            _,
            Some(
                fault @ (Fault::CertificateRefused { .. }
                | Fault::CertificatesUnusable { .. }
                | Fault::EapFailed { .. }
                | Fault::AuthRejected { .. }),
            ),
        ) => fault,
        (DisabledReason::AuthenticationFailed, _) => Fault::EapFailed { ssid },
        (DisabledReason::ConnectionFailed | DisabledReason::Other(_), _) => {
            Fault::ConnectionFailed { ssid, retry_in }
        }
    }
}

fn wrong_again(ssid: Ssid, known: Option<Fault>) -> Fault {
    match known {
        Some(Fault::WrongPassphrase { ssid, tries, retry_in }) => {
            Fault::WrongPassphrase { ssid, tries: tries.saturating_add(1), retry_in }
        }
        Some(_) | None => Fault::WrongPassphrase { ssid, tries: 1, retry_in: None },
    }
}

fn rejected(ssid: Ssid, status: u16) -> Fault {
    Fault::AuthRejected { ssid, status }
}

#[cfg(test)]
mod tests;
