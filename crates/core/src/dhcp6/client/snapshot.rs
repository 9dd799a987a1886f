//! The client's state as plain data.

use super::{Client, Phase, State};
use crate::dhcp6::event::{Snapshot, StateName};
use crate::time::Instant;

impl Client {
    /// The client as it is now.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let now = self.now.max(now);
        let lease = self.lease();
        let address = lease.and_then(|lease| lease.addresses.last());
        let prefix = lease.and_then(|lease| lease.prefixes.last());
        Snapshot {
            state: self.state_name(),
            address: address.map(|lent| lent.what),
            prefix: prefix.map(|lent| lent.what),
            server: lease.map(|lease| lease.from),
            expires_in: address.and_then(|lent| lent.remaining(now)),
            prefix_expires_in: prefix.and_then(|lent| lent.remaining(now)),
            renews_in: self.renews_at().map(|at| at.since(now)),
            tries: self.exchange().map_or(0, |exchange| exchange.tries),
            ntp: self.information.as_ref().map(|known| known.ntp.clone()).unwrap_or_default(),
        }
    }

    fn state_name(&self) -> StateName {
        match &self.state {
            State::Released => StateName::Released,
            State::Init { .. } => StateName::Init,
            State::Soliciting(soliciting) if soliciting.informed_until.is_some() => StateName::Informed,
            State::Soliciting(_) => StateName::Soliciting,
            State::Requesting(..) => StateName::Requesting,
            State::Declining(..) => StateName::Declining,
            State::Informing(_) => StateName::Informing,
            State::Informed { .. } => StateName::Informed,
            State::Holding(holding) => match &holding.phase {
                Phase::Unchecked | Phase::Confirming(_) => StateName::Confirming,
                Phase::Bound => StateName::Bound,
                Phase::Renewing(_) | Phase::Reclaiming(..) => StateName::Renewing,
                Phase::Rebinding(_) => StateName::Rebinding,
            },
        }
    }

    /// When servers are asked next.
    fn renews_at(&self) -> Option<Instant> {
        if !self.out.linked {
            return None;
        }
        match &self.state {
            State::Released => None,
            State::Init { until } | State::Informed { until } => Some(*until),
            State::Holding(holding) if matches!(holding.phase, Phase::Bound) => holding.lease.renews_at,
            State::Holding(_)
            | State::Soliciting(_)
            | State::Requesting(..)
            | State::Declining(..)
            | State::Informing(_) => self.exchange().map(|exchange| exchange.retry_at),
        }
    }
}
