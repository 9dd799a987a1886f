//! Pulling and plugging a cable under traffic, whoever owns the bond.

use std::time::Duration;

use hitless_lab::meter::Counts;
use hitless_lab::samples::uneven;
use hitless_lab::wait::linger;
use hitless_lab::{Home, Meter, Result};
use serde::{Deserialize, Serialize};

/// Datagrams a second in each direction.
pub(crate) const RATE: u32 = 1000;

/// How long a failover or failback may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What pulls and plugs cost, by event; lost in either direction.
#[derive(Serialize, Deserialize)]
pub(crate) struct Pulls {
    pub(crate) lost_per_pull: Vec<u64>,
    /// The part of `lost_per_pull` that was on its way to the laptop.
    pub(crate) inbound_lost_per_pull: Vec<u64>,
    pub(crate) lost_per_plug: Vec<u64>,
    pub(crate) duplicated: u64,
    pub(crate) longest_gap_ms: f64,
}

/// Pulls eth0 and plugs it back, `n` times; `wait_active` waits until the named port is the active one.
pub(crate) fn pulls(home: &Home, n: usize, wait_active: &dyn Fn(&str) -> Result<()>) -> Result<Pulls> {
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, RATE)?;
    meter.wait_flowing(200, PATIENCE)?;
    for n in 0..n {
        meter.mark(format!("pull {n}"));
        home.pull("eth0")?;
        wait_active("wlan0")?;
        linger(uneven(n))?;
        meter.mark(format!("plug {n}"));
        home.plug("eth0")?;
        wait_active("eth0")?;
        home.wait_forwarding("eth0")?;
        linger(uneven(n))?;
    }
    let report = meter.finish();
    let lost = |prefix| report.labelled(prefix).map(|interval| interval.both().lost).collect();
    let Counts { duplicated, longest_gap, .. } = report.total();
    Ok(Pulls {
        lost_per_pull: lost("pull"),
        inbound_lost_per_pull: report.labelled("pull").map(|interval| interval.inbound.lost).collect(),
        lost_per_plug: lost("plug"),
        duplicated,
        longest_gap_ms: longest_gap.as_secs_f64() * 1e3,
    })
}
