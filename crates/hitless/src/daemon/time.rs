//! Time servers of bonds, on their way to what keeps the time.
//!
//! Bringing them there is the business of `time_servers`, beside the loop.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hitless_core::dhcp::Lease;
use hitless_core::dhcp6::Information;

use crate::time_servers::{Places, TimeServers, Wanted};

/// The time servers of all bonds.
#[derive(Debug)]
pub(super) struct Time {
    state: PathBuf,
    /// Started when there is something for it to do: who is told of no time servers pays nothing for them.
    task: Option<TimeServers>,
    told: Option<Wanted>,
}

/// What a bond has been told of time servers.
pub(super) fn of(lease: Option<&Lease>, information: Option<&Information>) -> Vec<IpAddr> {
    let lent = lease.into_iter().flat_map(|lease| &lease.parameters.ntp).copied().map(IpAddr::V4);
    let informed = information.into_iter().flat_map(|information| &information.ntp).copied().map(IpAddr::V6);
    lent.chain(informed).collect()
}

impl Time {
    pub(super) fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), task: None, told: None }
    }

    /// Bonds have these time servers now; other bonds have none.
    pub(super) fn keep(&mut self, bonds: impl Iterator<Item = (String, Vec<IpAddr>)>) {
        let wanted: Wanted = bonds.filter(|(_, servers)| !servers.is_empty()).collect();
        if self.told.as_ref() == Some(&wanted) {
            return;
        }
        self.told = Some(wanted.clone());
        let places = Places::system(&self.state);
        if self.task.is_none() && wanted.is_empty() && !TimeServers::remembers(&places) {
            return;
        }
        self.task.get_or_insert_with(|| TimeServers::start(places)).keep(wanted);
    }

    /// Waits until what bonds have, or have no more, is known to what keeps the time.
    pub(super) async fn settled(&self) {
        if let Some(task) = &self.task {
            task.settled().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use hitless_core::dhcp::Parameters;
    use hitless_core::time::Instant;

    use super::*;

    fn lease(ntp: &[Ipv4Addr]) -> Lease {
        Lease {
            parameters: Parameters {
                address: Ipv4Addr::new(192, 0, 2, 5),
                prefix_len: 24,
                gateways: Vec::new(),
                routes: Vec::new(),
                mtu: None,
                dns: Vec::new(),
                domain: None,
                search: Vec::new(),
                ntp: ntp.to_vec(),
                hostname: None,
            },
            server: Ipv4Addr::new(192, 0, 2, 1),
            obtained: Instant::EPOCH,
            lifetime: None,
            gateway_mac: None,
        }
    }

    fn informed(ntp: &[Ipv6Addr]) -> Information {
        Information { ntp: ntp.to_vec(), ..Information::default() }
    }

    #[test]
    fn the_servers_of_both_families_in_the_order_that_they_were_told() {
        let four = [Ipv4Addr::new(192, 0, 2, 9), Ipv4Addr::new(192, 0, 2, 1)];
        let six =
            [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)];
        let [four_ips, six_ips] = [four.map(IpAddr::V4), six.map(IpAddr::V6)];
        let (lease, informed) = (lease(&four), informed(&six));
        assert_eq!(of(Some(&lease), Some(&informed)), [four_ips, six_ips].concat());
        assert_eq!(of(Some(&lease), None), four_ips);
        assert_eq!(of(None, Some(&informed)), six_ips, "DHCPv6 alone is enough");
        assert_eq!(of(None, None), Vec::<IpAddr>::new());
    }
}
