//! What a server has lent, and for how long.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::mac::MacAddr;
use crate::time::Instant;

/// An address with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What the bond is to be configured with.
    pub parameters: Parameters,
    /// The server that lent it (option 54).
    pub server: Ipv4Addr,
    /// When it was asked for: the times below count from here (RFC 2131 section 4.4.1).
    pub obtained: Instant,
    /// How long it runs; `None`: for ever.
    pub lifetime: Option<Lifetime>,
    /// Who had the gateway's address when it was asked: by this, the network is recognised (RFC 4436).
    pub gateway_mac: Option<MacAddr>,
}

/// What the bond is to be configured with. A renewal most often leaves it as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The address: one that a host can have.
    pub address: Ipv4Addr,
    /// The length of its network's prefix, 1 to 32.
    pub prefix_len: u8,
    /// Default gateways, the preferred one first (option 3). Empty if there are `routes` (RFC 3442).
    pub gateways: Vec<Ipv4Addr>,
    /// Routes, a default route among them if there is to be one (option 121).
    pub routes: Vec<Route>,
    /// The greatest datagram on this network (option 26), at least 576. IPv6 does not work below 1280.
    pub mtu: Option<u16>,
    /// Name servers (option 6).
    pub dns: Vec<Ipv4Addr>,
    /// The network's domain (option 15).
    pub domain: Option<String>,
    /// Domains to look unqualified names up in (option 119).
    pub search: Vec<String>,
    /// Time servers (option 42).
    pub ntp: Vec<Ipv4Addr>,
    /// The host's name, as the server has it (option 12).
    pub hostname: Option<String>,
}

impl Parameters {
    /// The gateway by which the network can be recognised: that of the default route, else any.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        let default = self.routes.iter().filter(|route| route.prefix_len == 0);
        let routed = default.chain(&self.routes).find_map(|route| route.gateway);
        routed.or_else(|| self.gateways.first().copied())
    }
}

/// A route of option 121.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The network it leads to, without host bits.
    pub destination: Ipv4Addr,
    /// The length of that network's prefix; 0: the default route.
    pub prefix_len: u8,
    /// By whom; `None`: it is on this link.
    pub gateway: Option<Ipv4Addr>,
}

/// How long a lease runs, and when it is to be renewed: `renew_after` < `rebind_after` < `total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// From its beginning to its end.
    pub total: Duration,
    /// From its beginning to the first try to renew it (T1).
    pub renew_after: Duration,
    /// From its beginning to the first try to renew it with any server (T2).
    pub rebind_after: Duration,
}

impl Lifetime {
    /// The shortest that is accepted: there would be no time to renew a shorter one.
    pub(super) const SHORTEST: Duration = Duration::from_secs(5);
    /// T1 is not taken to be earlier, so that a server cannot make its clients flood the network.
    const EARLIEST_RENEWAL: Duration = Duration::from_secs(60);

    /// By RFC 2131 section 4.4.5: half of the time, and seven eighths of it.
    pub(super) fn new(total: Duration) -> Self {
        Self { total, renew_after: total / 2, rebind_after: total / 8 * 7 }
    }

    /// With the times that the server named, as far as they make sense.
    pub(super) fn with(
        total: Duration,
        renew_after: Option<Duration>,
        rebind_after: Option<Duration>,
    ) -> Self {
        let default = Self::new(total);
        let earliest = Self::EARLIEST_RENEWAL.min(total / 4);
        let renew_after = renew_after.unwrap_or(default.renew_after);
        let rebind_after = rebind_after.unwrap_or(default.rebind_after);
        if earliest <= renew_after && renew_after < rebind_after && rebind_after < total {
            Self { total, renew_after, rebind_after }
        } else {
            default
        }
    }
}

impl Lease {
    /// When it ends; `None`: never.
    pub fn expires_at(&self) -> Option<Instant> {
        self.lifetime.map(|lifetime| self.obtained + lifetime.total)
    }

    /// When it is to be renewed for the first time (T1); `None`: never.
    pub fn renews_at(&self) -> Option<Instant> {
        self.lifetime.map(|lifetime| self.obtained + lifetime.renew_after)
    }

    /// When any server may renew it (T2); `None`: never.
    pub fn rebinds_at(&self) -> Option<Instant> {
        self.lifetime.map(|lifetime| self.obtained + lifetime.rebind_after)
    }

    /// How long it still runs; `None`: for ever.
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.expires_at().map(|end| end.since(now))
    }

    /// In a form that can be written down.
    pub fn remembered(&self, now: Instant) -> Remembered {
        Remembered {
            parameters: self.parameters.clone(),
            server: self.server,
            remaining: self.remaining(now),
            gateway_mac: self.gateway_mac,
        }
    }
}

/// A lease as it is written down between two runs: without points in time, which mean nothing to the next run. Whoever
/// reads it again takes off `remaining` what has passed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// What the bond was configured with.
    pub parameters: Parameters,
    /// The server that lent it.
    pub server: Ipv4Addr,
    /// How long it still runs; `None`: for ever.
    pub remaining: Option<Duration>,
    /// Who had the gateway's address.
    pub gateway_mac: Option<MacAddr>,
}

impl Remembered {
    /// The lease again; `None` if it runs no more, or was never one.
    pub(super) fn recall(self, now: Instant) -> Option<Lease> {
        let Self { parameters, server, remaining, gateway_mac } = self;
        let runs = remaining.is_none_or(|remaining| !remaining.is_zero());
        let sound = super::reply::is_host(parameters.address, parameters.prefix_len);
        (runs && sound).then(|| Lease {
            parameters,
            server,
            obtained: now,
            lifetime: remaining.map(Lifetime::new),
            gateway_mac,
        })
    }
}
