//! The client's state as plain data.

use super::{Client, Offer, Phase, State};
use crate::dhcp::event::{Snapshot, StateName};
use crate::time::Instant;

impl Client {
    /// The client as it is now.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let now = self.now.max(now);
        let held = self.lease().map(|lease| (lease.parameters.address, lease.server));
        let offered = match &self.state {
            State::Requesting(requesting) => Some((requesting.offer.address, requesting.offer.server)),
            State::Selecting(selecting) => {
                selecting.second_best.map(|(Offer { address, server }, _)| (address, server))
            }
            State::Probing(probing) => Some((probing.lease.parameters.address, probing.lease.server)),
            State::Released | State::Init { .. } | State::Holding(_) => None,
        };
        let both = held.or(offered);
        Snapshot {
            state: self.state_name(),
            address: both.map(|(address, _)| address),
            server: both.map(|(_, server)| server),
            expires_in: self.lease().and_then(|lease| lease.remaining(now)),
            renews_in: self.renews_at().map(|at| at.since(now)),
            tries: self.exchange().map_or(0, |exchange| exchange.tries),
            ntp: self.lease().map(|lease| lease.parameters.ntp.clone()).unwrap_or_default(),
            hostname: self.lease().and_then(|lease| lease.parameters.hostname.clone()),
        }
    }

    fn state_name(&self) -> StateName {
        match &self.state {
            State::Released => StateName::Released,
            State::Init { .. } => StateName::Init,
            State::Selecting(_) => StateName::Selecting,
            State::Requesting(_) => StateName::Requesting,
            State::Probing(_) => StateName::Probing,
            State::Holding(holding) => match &holding.phase {
                Phase::Unchecked(_) => StateName::Checking,
                Phase::Checking(check) if check.confirmed => StateName::Bound,
                Phase::Checking(_) => StateName::Checking,
                Phase::Bound => StateName::Bound,
                Phase::Renewing(_) => StateName::Renewing,
                Phase::Rebinding(_) => StateName::Rebinding,
            },
        }
    }

    /// When servers are asked next.
    fn renews_at(&self) -> Option<Instant> {
        self.out.mac?;
        match &self.state {
            State::Init { until } => Some(*until),
            State::Released | State::Probing(_) => None,
            State::Selecting(_) | State::Requesting(_) => self.exchange().map(|exchange| exchange.retry_at),
            State::Holding(holding) => match &holding.phase {
                Phase::Unchecked(_) => None,
                Phase::Bound => holding.lease.renews_at(),
                Phase::Checking(_) | Phase::Renewing(_) | Phase::Rebinding(_) => {
                    self.exchange().map(|exchange| exchange.retry_at)
                }
            },
        }
    }
}
