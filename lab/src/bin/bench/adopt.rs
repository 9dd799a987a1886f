//! Building a bond around an interface in use, over the SSH session that it could break; and putting everything back.

use std::time::Duration;

use hitless_lab::meter::{Counts, Interval};
use hitless_lab::ssh::Sshd;
use hitless_lab::{Daemon, Home, HomeOptions, LabError, Meter, Result};
use serde::Serialize;

use crate::progress;

/// Datagrams a second each way.
const RATE: u32 = 1000;

/// How long it may take until datagrams flow again.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest gap of each, in milliseconds; and what was lost.
#[derive(Serialize)]
pub(crate) struct Results {
    pub(crate) there_ms: Vec<f64>,
    pub(crate) back_ms: Vec<f64>,
    pub(crate) lost_there: Vec<u64>,
    pub(crate) lost_back: Vec<u64>,
}

pub(crate) fn measure(rounds: usize) -> Result<Results> {
    progress(&format!("`adopt` over SSH, {rounds} ×"));
    let mut results =
        Results { there_ms: Vec::new(), back_ms: Vec::new(), lost_there: Vec::new(), lost_back: Vec::new() };
    for _ in 0..rounds {
        let [there, back] = once()?;
        results.there_ms.push(there.longest_gap.as_secs_f64() * 1000.0);
        results.back_ms.push(back.longest_gap.as_secs_f64() * 1000.0);
        results.lost_there.push(there.lost);
        results.lost_back.push(back.lost);
    }
    Ok(results)
}

/// There, and back because nobody confirms it.
fn once() -> Result<[Counts; 2]> {
    let home = Home::new(HomeOptions::default())?;
    home.use_plainly("eth0")?;
    home.laptop.ip("link set wlan0 up")?;
    home.wait_forwarding("wlan0")?;
    home.laptop.ip("route add default via 192.168.1.1")?;
    let daemon = Daemon::start(&home.laptop, &[])?;
    let sshd = Sshd::start(&home.laptop)?;
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, RATE)?;
    meter.wait_flowing(100, PATIENCE)?;
    let words = daemon.words(&["adopt", "eth0", "wlan0", "--driver", "ebpf", "--confirm", "1"])?;
    meter.mark("there");
    let mut session = sshd.session(&home.router, near.address, &words)?;
    session.wait_said("hitless confirm")?;
    meter.wait_flowing(300, PATIENCE)?;
    meter.mark("back");
    session.wait_said("everything is as it was")?;
    meter.wait_flowing(300, PATIENCE)?;
    let report = meter.finish();
    let interval = |label: &str| {
        let found = report.labelled(label).next().map(Interval::both);
        found.ok_or_else(|| LabError::Broken(format!("nothing was measured of the way {label}")))
    };
    Ok([interval("there")?, interval("back")?])
}
