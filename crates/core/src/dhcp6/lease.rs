//! What a server has lent, and for how long.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reply::{self, Times};
use crate::dhcp::Duid;
use crate::time::Instant;

/// Addresses and prefixes, and when they end: at least one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Who lent it.
    pub server: Duid,
    /// From which address it said so.
    pub from: Ipv6Addr,
    /// The bond's addresses, the newest last.
    pub addresses: Vec<Lent<Ipv6Addr>>,
    /// Prefixes whose addresses the host may give to others.
    pub prefixes: Vec<Lent<Prefix>>,
    /// Addresses of which it is to be found out, before they are used, whether somebody else has them.
    pub untested: BTreeSet<Ipv6Addr>,
    /// When it is to be renewed for the first time (T1); `None`: never.
    pub renews_at: Option<Instant>,
    /// When any server may renew it (T2); `None`: never.
    pub rebinds_at: Option<Instant>,
}

/// An address or a prefix for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent<T> {
    /// Which.
    pub what: T,
    /// Until when new connections use it; `None`: for ever.
    pub preferred_until: Option<Instant>,
    /// Until when it can be used; `None`: for ever.
    pub valid_until: Option<Instant>,
}

/// A prefix that was delegated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Prefix {
    /// Its address, without host bits.
    pub address: Ipv6Addr,
    /// Its length.
    pub length: u8,
}

/// What else servers tell of: with addresses, or (stateless DHCPv6) alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Information {
    /// Name servers (option 23), without those of the link alone: resolv.conf has no place for the link.
    pub dns: Vec<Ipv6Addr>,
    /// Domains to look unqualified names up in (option 24).
    pub search: Vec<String>,
    /// Time servers (options 56 and 31).
    pub ntp: Vec<Ipv6Addr>,
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl<T> Lent<T> {
    fn is_over(&self, now: Instant) -> bool {
        self.valid_until.is_some_and(|end| end <= now)
    }

    /// For how long it can still be used; `None`: for ever.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.valid_until.map(|end| end.since(now))
    }
}

impl Lease {
    /// T1 is not taken to be earlier, so that a server cannot make its clients flood the network.
    const EARLIEST_RENEWAL: Duration = Duration::from_secs(60);
    /// Nor is a preferred lifetime taken to be shorter.
    const SHORTEST: Duration = Duration::from_secs(5);

    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.prefixes.is_empty()
    }

    /// When the first address or prefix ends; `None`: none does.
    pub fn expires_at(&self) -> Option<Instant> {
        let addresses = self.addresses.iter().filter_map(|lent| lent.valid_until);
        addresses.chain(self.prefixes.iter().filter_map(|lent| lent.valid_until)).min()
    }

    /// When the last one does; `None`: never.
    pub fn ends_at(&self) -> Option<Instant> {
        let addresses = self.addresses.iter().map(|lent| lent.valid_until);
        let ends: Option<Vec<Instant>> =
            addresses.chain(self.prefixes.iter().map(|lent| lent.valid_until)).collect();
        ends?.into_iter().max()
    }

    /// Takes out what is over, and returns it.
    pub(super) fn take_expired(&mut self, now: Instant) -> (Vec<Ipv6Addr>, Vec<Prefix>) {
        (take_expired(&mut self.addresses, now), take_expired(&mut self.prefixes, now))
    }

    /// Works out when to renew it. T1 and T2 of 0 are left to the client; so is what makes no sense (RFC 8415 section 14.2,
    /// 21.4): half and four fifths of the shortest preferred lifetime.
    pub(super) fn schedule(&mut self, now: Instant, times: Times) {
        let valid = self.shortest(now, |valid, _| valid);
        let preferred = self.shortest(now, |_, preferred| preferred).or(valid);
        let preferred = preferred.map(|preferred| preferred.max(Self::SHORTEST));
        let default = preferred.map(|time| (time / 2, time / 5 * 4));
        let earliest = preferred.map(|time| Self::EARLIEST_RENEWAL.min(time / 4)).unwrap_or_default();
        let named = |time: Duration, default: Option<Duration>| {
            if time.is_zero() { default } else { Some(time) }
        };
        let renew = named(times.renew_after, default.map(|(renew, _)| renew));
        let rebind = named(times.rebind_after, default.map(|(_, rebind)| rebind));
        let sound = renew.zip(rebind).filter(|(renew, rebind)| {
            earliest <= *renew && renew < rebind && valid.is_none_or(|valid| *rebind < valid)
        });
        let (renew, rebind) = sound.or(default).unzip();
        let at =
            |after: Option<Duration>| after.filter(|after| *after != Duration::MAX).map(|after| now + after);
        (self.renews_at, self.rebinds_at) = (at(renew), at(rebind));
    }

    /// The shortest of these lifetimes (valid, preferred) that runs still and ends.
    fn shortest(
        &self,
        now: Instant,
        pick: impl Fn(Option<Instant>, Option<Instant>) -> Option<Instant>,
    ) -> Option<Duration> {
        let addresses = self.addresses.iter().map(|lent| (lent.valid_until, lent.preferred_until));
        let prefixes = self.prefixes.iter().map(|lent| (lent.valid_until, lent.preferred_until));
        let ends = addresses.chain(prefixes).filter_map(|(valid, preferred)| pick(valid, preferred));
        ends.map(|end| end.since(now)).filter(|left| !left.is_zero()).min()
    }

    /// In a form that can be written down.
    pub(super) fn remembered(&self, now: Instant, information: Information) -> Remembered {
        Remembered {
            server: self.server.octets().to_vec(),
            from: self.from,
            addresses: self.addresses.iter().map(|lent| Kept::of(lent, now)).collect(),
            prefixes: self.prefixes.iter().map(|lent| Kept::of(lent, now)).collect(),
            information,
        }
    }
}

fn take_expired<T: Copy>(list: &mut Vec<Lent<T>>, now: Instant) -> Vec<T> {
    list.extract_if(.., |lent| lent.is_over(now)).map(|lent| lent.what).collect()
}

/// A lease as it is written down between two runs: without points in time, which mean nothing to the next run. Whoever
/// reads it again takes off what has passed meanwhile ([`Remembered::aged`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The identity of the server that lent it.
    pub server: Vec<u8>,
    /// From which address it did.
    pub from: Ipv6Addr,
    /// The bond's addresses.
    pub addresses: Vec<Kept<Ipv6Addr>>,
    /// Delegated prefixes.
    pub prefixes: Vec<Kept<Prefix>>,
    /// What belongs to it.
    pub information: Information,
}

/// An address or a prefix, and for how long still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept<T> {
    /// Which.
    pub what: T,
    /// For how long new connections use it; `None`: for ever.
    pub preferred: Option<Duration>,
    /// For how long it can be used; `None`: for ever.
    pub valid: Option<Duration>,
}

impl<T: Copy> Kept<T> {
    fn of(lent: &Lent<T>, now: Instant) -> Self {
        let left = |until: Option<Instant>| until.map(|until| until.since(now));
        Self { what: lent.what, preferred: left(lent.preferred_until), valid: left(lent.valid_until) }
    }

    fn aged(self, passed: Duration) -> Option<Self> {
        let left = |time: Option<Duration>| time.map(|time| time.saturating_sub(passed));
        let valid = left(self.valid);
        (valid != Some(Duration::ZERO)).then_some(Self { valid, preferred: left(self.preferred), ..self })
    }

    fn lent(&self, now: Instant) -> Lent<T> {
        let until = |left: Option<Duration>| left.map(|left| now + left);
        Lent { what: self.what, preferred_until: until(self.preferred), valid_until: until(self.valid) }
    }
}

impl Remembered {
    /// The same some time later; `None` if nothing of it runs any more.
    pub fn aged(mut self, passed: Duration) -> Option<Self> {
        self.addresses = self.addresses.into_iter().filter_map(|kept| kept.aged(passed)).collect();
        self.prefixes = self.prefixes.into_iter().filter_map(|kept| kept.aged(passed)).collect();
        (!self.addresses.is_empty() || !self.prefixes.is_empty()).then_some(self)
    }

    /// The lease again; `None` if it runs no more, or was never one.
    pub(super) fn recall(self, now: Instant) -> Option<(Lease, Information)> {
        let Self { server, from, addresses, prefixes, information } = self.aged(Duration::ZERO)?;
        let addresses = addresses.iter().filter(|kept| reply::is_host(kept.what));
        let prefixes =
            prefixes.iter().filter(|kept| reply::prefix(kept.what.address, kept.what.length).is_some());
        let mut lease = Lease {
            server: Duid::new(server).ok()?,
            from,
            addresses: addresses.map(|kept| kept.lent(now)).collect(),
            prefixes: prefixes.map(|kept| kept.lent(now)).collect(),
            untested: BTreeSet::new(),
            renews_at: None,
            rebinds_at: None,
        };
        lease.schedule(now, Times::default());
        (!lease.is_empty()).then_some((lease, information))
    }
}
