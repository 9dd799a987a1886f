//! What is wanted of a station, and what is to be done next for it. Decides; does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hitless_core::wifi::Ssid;
use tokio::time::Instant;

use super::objects::{Kind, Phase, StationView, Visible};
use crate::wifi::network::{Network, Security};
use crate::wifi::station::Fault;

/// A network that did not let us in is tried again after so long, and then ever later: it may be that only a frame was
/// lost, and nobody is there to try again.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// What is wanted.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// The networks of the configuration.
    networks: Vec<Network>,
    /// Another one that was asked for in between.
    extra: Option<Network>,
    forgotten: BTreeSet<Ssid>,
    blames: BTreeMap<Ssid, Blame>,
    /// Is it to stay out of all networks?
    pub(super) stays_out: bool,
    /// The network that is to be joined at once, whatever the others.
    pub(super) goal: Option<Network>,
}

/// Why a network is not tried for a while.
#[derive(Clone, Debug)]
struct Blame {
    fault: Fault,
    tries: u32,
    retry_at: Instant,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, until something happens.
    Wait,
    /// Join this network.
    Join {
        /// Which one.
        network: Network,
        /// Its object.
        path: String,
    },
    /// Join this network, which keeps its name to itself.
    JoinHidden(Network),
    /// Look around.
    Look,
}

impl Wishes {
    pub(super) fn new(networks: Vec<Network>) -> Self {
        Self { networks, ..Self::default() }
    }

    /// Other networks are wanted, and what went wrong before is no longer of interest.
    pub(super) fn configure(&mut self, networks: Vec<Network>) {
        self.networks = networks;
        self.extra = None;
        self.forgotten.clear();
        self.blames.clear();
    }

    /// All networks that are wanted, the most wanted ones first.
    pub(super) fn wanted(&self) -> Vec<&Network> {
        let configured = self.networks.iter().filter(|network| self.names(&network.ssid));
        let mut wanted: Vec<&Network> = self.extra.iter().chain(configured).collect();
        wanted.sort_by_key(|network| std::cmp::Reverse(network.priority));
        wanted
    }

    fn names(&self, ssid: &Ssid) -> bool {
        !self.forgotten.contains(ssid) && self.extra.as_ref().is_none_or(|extra| extra.ssid != *ssid)
    }

    pub(super) fn wants(&self, ssid: &Ssid) -> Option<&Network> {
        self.wanted().into_iter().find(|network| network.ssid == *ssid)
    }

    /// The network that was asked for has been joined: it is wanted from now on.
    pub(super) fn keep(&mut self, network: Network) {
        self.forgotten.remove(&network.ssid);
        if !self.networks.contains(&network) {
            self.extra = Some(network);
        }
    }

    /// Says whether it was wanted.
    pub(super) fn forget(&mut self, ssid: &Ssid) -> bool {
        let wanted = self.wants(ssid).is_some();
        self.extra.take_if(|extra| extra.ssid == *ssid);
        self.forgotten.insert(ssid.clone());
        self.blames.remove(ssid);
        wanted
    }

    // ---- what went wrong -----------------------------------------------------------------------------------------

    /// A network could not be joined.
    pub(super) fn blame(&mut self, now: Instant, ssid: &Ssid, fault: Fault) {
        let tries = self.blames.get(ssid).map_or(1, |blame| blame.tries.saturating_add(1));
        let doubled = FIRST_RETRY.saturating_mul(1 << (tries - 1).min(6));
        let pause = doubled.min(LONGEST_RETRY);
        let fault = with_retry(fault, tries, pause);
        self.blames.insert(ssid.clone(), Blame { fault, tries, retry_at: now + pause });
    }

    pub(super) fn forgive(&mut self, ssid: &Ssid) {
        self.blames.remove(ssid);
    }

    pub(super) fn forgive_all(&mut self) {
        self.blames.clear();
    }

    pub(super) fn fault(&self, ssid: &Ssid) -> Option<&Fault> {
        self.blames.get(ssid).map(|blame| &blame.fault)
    }

    /// What keeps it from the network that it wants most.
    pub(super) fn worst(&self) -> Option<&Fault> {
        self.wanted().into_iter().find_map(|network| self.fault(&network.ssid))
    }

    /// When a network that failed is to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.blames.values().map(|blame| blame.retry_at).min()
    }

    // ---- what next -----------------------------------------------------------------------------------------------

    /// What to do now. `looked` is whether the list of visible networks is that of a look around just now.
    pub(super) fn next(
        &self,
        now: Instant,
        station: &StationView,
        visible: &[Visible],
        looked: bool,
    ) -> Next {
        match station.phase {
            Phase::Connecting | Phase::Disconnecting | Phase::Roaming => return Next::Wait,
            Phase::Connected | Phase::Disconnected => {}
        }
        if let Some(goal) = &self.goal {
            return match join(goal, visible) {
                Some(next) => next,
                None if looked && goal.hidden => Next::JoinHidden(goal.clone()),
                None if station.scanning => Next::Wait,
                None => Next::Look,
            };
        }
        let content = station.phase == Phase::Connected
            && station.network.as_ref().is_some_and(|ssid| self.wants(ssid).is_some());
        if self.stays_out || content {
            return Next::Wait;
        }
        let wanted: Vec<&Network> =
            self.wanted().into_iter().filter(|network| self.may_try(now, network)).collect();
        let visible_one = wanted.iter().find_map(|network| join(network, visible));
        let hidden_one = || wanted.iter().find(|network| looked && network.hidden);
        match visible_one {
            Some(next) => next,
            // What iwd has joined of its own accord it keeps until there is something better.
            None if station.phase == Phase::Connected || wanted.is_empty() || station.scanning => Next::Wait,
            None => hidden_one().map_or(Next::Look, |network| Next::JoinHidden((*network).clone())),
        }
    }

    fn may_try(&self, now: Instant, network: &Network) -> bool {
        self.blames.get(&network.ssid).is_none_or(|blame| blame.retry_at <= now)
    }
}

fn with_retry(fault: Fault, tries: u32, pause: Duration) -> Fault {
    match fault {
        Fault::WrongPassphrase { ssid, .. } => Fault::WrongPassphrase { ssid, tries, retry_in: Some(pause) },
        Fault::ConnectionFailed { ssid, .. } => Fault::ConnectionFailed { ssid, retry_in: Some(pause) },
        Fault::NetworkNotFound
        | Fault::AuthRejected { .. }
        | Fault::EapFailed { .. }
        | Fault::CertificateRefused { .. }
        | Fault::CertificatesUnusable { .. }
        | Fault::RadioOff
        | Fault::NoSupplicant
        | Fault::Unusable(_)
        | Fault::SupplicantDied { .. }
        | Fault::CannotStart { .. }
        | Fault::InterfaceRefused { .. }
        | Fault::NotManaged { .. }
        | Fault::Iwd(_)
        | Fault::Unreachable { .. } => fault,
    }
}

fn join(network: &Network, visible: &[Visible]) -> Option<Next> {
    let fits = |seen: &&Visible| seen.ssid == network.ssid && seen.kind == kind(&network.security);
    let seen = visible.iter().find(fits)?;
    Some(Next::Join { network: network.clone(), path: seen.path.clone() })
}

pub(super) fn kind(security: &Security) -> Kind {
    match security {
        Security::Open | Security::Owe => Kind::Open,
        Security::Psk(_) | Security::Sae(_) => Kind::Psk,
        Security::Eap(_) => Kind::Enterprise,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::wifi::network::{Secret, SecretSource};

    fn network(name: &str, priority: i32) -> Network {
        let security = Security::Psk(SecretSource::Inline(Secret::new("correct horse")));
        Network { ssid: Ssid::new(name).unwrap(), security, priority, hidden: false, bssid: None }
    }

    fn visible(name: &str) -> Visible {
        let ssid = Ssid::new(name).unwrap();
        Visible { path: format!("/{name}"), ssid, kind: Kind::Psk, signal_dbm: -50, bssid: None }
    }

    fn station(phase: Phase, network: Option<&str>) -> StationView {
        StationView { phase, scanning: false, network: network.and_then(Ssid::new) }
    }

    fn joins(next: Next) -> String {
        match next {
            Next::Join { path, .. } => path,
            Next::Wait | Next::JoinHidden(_) | Next::Look => panic!("{next:?}"),
        }
    }

    #[test]
    fn the_most_wanted_one_that_is_there() {
        let wishes = Wishes::new(vec![network("a", 0), network("b", 10), network("c", 20)]);
        let out = station(Phase::Disconnected, None);
        let now = Instant::now();
        assert_eq!(joins(wishes.next(now, &out, &[visible("a"), visible("b")], true)), "/b");
        assert_eq!(joins(wishes.next(now, &out, &[visible("x"), visible("a")], true)), "/a");
        assert_eq!(wishes.next(now, &out, &[visible("x")], true), Next::Look);
        let other_security = Visible { kind: Kind::Open, ..visible("c") };
        assert_eq!(wishes.next(now, &out, &[other_security], true), Next::Look);
    }

    #[test]
    fn who_is_in_a_wanted_network_stays() {
        let wishes = Wishes::new(vec![network("a", 0), network("b", 10)]);
        let now = Instant::now();
        let seen = [visible("a"), visible("b")];
        assert_eq!(wishes.next(now, &station(Phase::Connected, Some("a")), &seen, true), Next::Wait);
        assert_eq!(joins(wishes.next(now, &station(Phase::Connected, Some("cafe")), &seen, true)), "/b");
        assert_eq!(wishes.next(now, &station(Phase::Connected, Some("cafe")), &[], true), Next::Wait);
        for phase in [Phase::Connecting, Phase::Roaming, Phase::Disconnecting] {
            assert_eq!(wishes.next(now, &station(phase, None), &seen, true), Next::Wait);
        }
        let idle = Wishes::default();
        assert_eq!(
            idle.next(now, &station(Phase::Disconnected, None), &seen, true),
            Next::Wait,
            "nothing is wanted"
        );
    }

    #[test]
    fn one_that_failed_rests_ever_longer() {
        let mut wishes = Wishes::new(vec![network("a", 0), network("b", 10)]);
        let out = station(Phase::Disconnected, None);
        let seen = [visible("a"), visible("b")];
        let mut now = Instant::now();
        let wrong = |ssid: &Ssid| Fault::WrongPassphrase { ssid: ssid.clone(), tries: 1, retry_in: None };
        let b = Ssid::new("b").unwrap();
        for (tries, pause) in [(1, 60), (2, 120), (3, 240)] {
            let pause = Duration::from_secs(pause);
            wishes.blame(now, &b, wrong(&b));
            let told = Fault::WrongPassphrase { ssid: b.clone(), tries, retry_in: Some(pause) };
            assert_eq!(wishes.worst(), Some(&told));
            assert_eq!(joins(wishes.next(now, &out, &seen, true)), "/a");
            assert_eq!(wishes.retry_at(), Some(now + pause));
            now += pause;
            assert_eq!(joins(wishes.next(now, &out, &seen, true)), "/b");
        }
        for _ in 0..100 {
            wishes.blame(now, &b, wrong(&b));
        }
        assert_eq!(wishes.retry_at(), Some(now + LONGEST_RETRY));
        wishes.configure(vec![network("b", 0)]);
        assert_eq!(joins(wishes.next(now, &out, &seen, true)), "/b", "another configuration, another try");
    }

    #[test]
    fn hidden_ones_are_asked_for_after_a_look() {
        let hidden = Network { hidden: true, ..network("h", 0) };
        let wishes = Wishes::new(vec![hidden.clone()]);
        let out = station(Phase::Disconnected, None);
        let now = Instant::now();
        assert_eq!(wishes.next(now, &out, &[], false), Next::Look);
        assert_eq!(wishes.next(now, &out, &[], true), Next::JoinHidden(hidden));
        assert_eq!(joins(wishes.next(now, &out, &[visible("h")], true)), "/h");
    }

    #[test]
    fn who_is_to_stay_out_does() {
        let mut wishes = Wishes::new(vec![network("a", 0)]);
        wishes.stays_out = true;
        let out = station(Phase::Disconnected, None);
        assert_eq!(wishes.next(Instant::now(), &out, &[visible("a")], true), Next::Wait);
        wishes.goal = Some(network("z", 0));
        assert_eq!(joins(wishes.next(Instant::now(), &out, &[visible("a"), visible("z")], true)), "/z");
    }

    #[test]
    fn forgotten_until_asked_for_again() {
        let mut wishes = Wishes::new(vec![network("a", 0)]);
        let a = Ssid::new("a").unwrap();
        assert!(wishes.forget(&a));
        assert!(wishes.wanted().is_empty());
        assert!(!wishes.forget(&a));
        wishes.keep(network("a", 0));
        assert_eq!(wishes.wanted().len(), 1);
        wishes.keep(network("e", 5));
        assert_eq!(wishes.wanted().first().unwrap().ssid, Ssid::new("e").unwrap());
        wishes.configure(vec![network("a", 0)]);
        assert_eq!(wishes.wanted().len(), 1, "what is to stay is in the configuration");
    }
}
