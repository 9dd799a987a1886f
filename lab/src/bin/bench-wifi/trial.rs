//! What every contender goes through: cables pulled and plugged, and an access point that dies, under traffic.

use std::time::{Duration, Instant};

use hitless_lab::meter::{End, Interval, Report};
use hitless_lab::samples::uneven;
use hitless_lab::tcp::Stream;
use hitless_lab::wait::linger;
use hitless_lab::wifi::{AccessPoint, Supplicant, WifiHome, WifiOptions};
use hitless_lab::{Home, Meter, Result};
use serde::{Deserialize, Serialize};

use crate::contender::{Bond, Contender, PATIENCE, network};

/// Datagrams a second between laptop and gateway, in each direction.
const RATE: u32 = 500;

/// The same between laptop and the second station, for broadcasts, and for KiB of the TCP stream.
const SIDE_RATE: u32 = 50;

/// How long to look away after a mishap: whoever watches costs time on an emulated processor.
const UNDISTURBED: Duration = Duration::from_millis(700);

/// What came of it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) contender: Contender,
    /// The cable is pulled: wire to Wi-Fi.
    pub(crate) pulls: Events,
    /// The cable is plugged: back to the wire.
    pub(crate) plugs: Events,
    /// Nothing happens, between pull and plug: what is lost here is lost on the air.
    pub(crate) air: Events,
    /// Nothing happens, between plug and pull.
    pub(crate) wire: Events,
    /// The access point dies while Wi-Fi is active.
    pub(crate) kills: Events,
    /// What the second station on the same access point sent and got, by the same events.
    pub(crate) station: [Sum; 3],
    /// What was broadcast by the gateway, likewise.
    pub(crate) broadcast: [Sum; 3],
    /// How often the access point let the laptop in until all pulls were done.
    pub(crate) associations: usize,
    /// Why the TCP stream broke, if it did.
    pub(crate) stream_broken: Option<String>,
    /// Its longest stall during pulls and plugs.
    pub(crate) stream_stall_ms: f64,
    /// How long all of it took.
    pub(crate) seconds: f64,
}

/// Events of one kind, one sample each; both directions together.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Events {
    pub(crate) lost: Vec<u64>,
    /// The part of `lost` that was on its way to the laptop.
    pub(crate) inbound_lost: Vec<u64>,
    pub(crate) duplicated: u64,
    pub(crate) gap_ms: Vec<f64>,
    /// The longest time that a sender paused by itself: how noisy the machine was.
    pub(crate) noise_ms: f64,
}

/// Events of one kind, summed up.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Sum {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
}

/// The kinds of events; the first three in the order of [`Outcome::station`].
const PULL: &str = "pull";
const PLUG: &str = "plug";
const WIRE: &str = "wire";
const AIR: &str = "air";
const KILL: &str = "kill";

/// Measures one contender, in a home of its own.
pub(crate) fn run(contender: Contender, pulls: usize, kills: usize, logs: bool) -> Result<Outcome> {
    let begun = Instant::now();
    let wifi = WifiHome::new(WifiOptions { radios: 3, ..WifiOptions::default() })?;
    let mut access_point = wifi.access_point(network())?;
    let (phone, _radio) = wifi.station("phone", 20)?;
    let joined = Supplicant::start(&phone, "wlan0", &[network()], None)?;
    joined.wait_joined(PATIENCE)?;

    let bond = contender.start(&wifi)?;
    bond.wait_usable()?;
    bond.wait_active("eth0")?;
    wifi.home.wait_forwarding("eth0")?;
    let phone = End { host: &phone, address: Home::ipv4(0, 20).into() };
    let mut traffic = Traffic::start(&wifi.home, phone)?;
    for n in 0..pulls {
        pull(&wifi.home, &bond, &mut traffic, n)?;
    }
    let mac = mac(&wifi)?;
    let associations = access_point.associations(&mac);
    let stream_stall_ms = milliseconds(traffic.stream.take_stall());
    let (stream, outcome) = traffic.finish(contender);
    joined.terminate()?;

    let mut deaths = Events::default();
    for n in 0..kills {
        deaths.add(&kill(&wifi.home, &bond, &mut access_point, n)?, KILL);
        // Without traffic: on an emulated processor it gets in the way of those who join.
        access_point.restart()?;
        access_point.wait_associated(&mac, true, PATIENCE)?;
        bond.wait_usable()?;
    }
    if logs {
        eprintln!("--- {}: bond\n{}\n--- access point\n{}", contender.name(), bond.log(), access_point.log());
    }
    let stream_broken = stream.finish().broken;
    bond.end()?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(Outcome { associations, kills: deaths, stream_broken, stream_stall_ms, seconds, ..outcome })
}

/// The address of the laptop's station, which the bond may have changed.
fn mac(wifi: &WifiHome) -> Result<String> {
    let shown = wifi.home.laptop.ip("-o link show wlan0")?;
    let mut words = shown.split_whitespace().skip_while(|word| *word != "link/ether");
    Ok(words.nth(1).unwrap_or_default().to_owned())
}

/// The cable is pulled, and plugged back.
fn pull(home: &Home, bond: &Bond<'_>, traffic: &mut Traffic, n: usize) -> Result<()> {
    traffic.mark(PULL, n);
    home.pull("eth0")?;
    linger(UNDISTURBED)?;
    bond.wait_active("wlan0")?;
    traffic.mark(AIR, n);
    linger(uneven(n))?;
    traffic.mark(PLUG, n);
    home.plug("eth0")?;
    linger(UNDISTURBED)?;
    bond.wait_active("eth0")?;
    home.wait_forwarding("eth0")?;
    traffic.mark(WIRE, n);
    linger(uneven(n))
}

/// The access point dies while Wi-Fi is active.
fn kill(home: &Home, bond: &Bond<'_>, access_point: &mut AccessPoint<'_>, n: usize) -> Result<Report> {
    bond.switch("wlan0")?;
    let (near, far) = home.ends(0);
    let mut meter = Meter::start(near, far, RATE)?;
    meter.wait_flowing(RATE as usize, PATIENCE)?;
    linger(uneven(n))?;
    meter.mark(KILL);
    access_point.kill()?;
    // Longer than the kernel takes to notice.
    linger(UNDISTURBED * 4)?;
    bond.wait_active("eth0")?;
    linger(uneven(n))?;
    Ok(meter.finish())
}

/// Everything that flows meanwhile.
struct Traffic {
    gateway: Meter,
    station: Meter,
    broadcast: Meter,
    stream: Stream,
}

impl Traffic {
    fn start(home: &Home, phone: End<'_>) -> Result<Self> {
        let (near, far) = home.ends(0);
        let gateway = Meter::start(near, far, RATE)?;
        gateway.wait_flowing(RATE as usize, PATIENCE)?;
        Ok(Self {
            gateway,
            station: Meter::start(near, phone, SIDE_RATE)?,
            broadcast: Meter::start_broadcast(&home.laptop, far, SIDE_RATE)?,
            stream: Stream::start_paced(near, far, SIDE_RATE)?,
        })
    }

    fn mark(&mut self, kind: &str, n: usize) {
        for meter in [&mut self.gateway, &mut self.station, &mut self.broadcast] {
            meter.mark(format!("{kind} {n}"));
        }
    }

    /// What was counted; the stream goes on.
    fn finish(self, contender: Contender) -> (Stream, Outcome) {
        let [gateway, station, broadcast] =
            [self.gateway, self.station, self.broadcast].map(|meter| meter.finish());
        let events = |kind| {
            let mut events = Events::default();
            events.add(&gateway, kind);
            events
        };
        let outcome = Outcome {
            contender,
            pulls: events(PULL),
            plugs: events(PLUG),
            air: events(AIR),
            wire: events(WIRE),
            kills: Events::default(),
            station: [PULL, PLUG, WIRE].map(|kind| sum(&station, kind)),
            broadcast: [PULL, PLUG, WIRE].map(|kind| sum(&broadcast, kind)),
            associations: 0,
            stream_broken: None,
            stream_stall_ms: 0.0,
            seconds: 0.0,
        };
        (self.stream, outcome)
    }
}

impl Events {
    fn add(&mut self, report: &Report, kind: &str) {
        for interval in report.labelled(kind) {
            let both = interval.both();
            self.lost.push(both.lost);
            self.inbound_lost.push(interval.inbound.lost);
            self.duplicated += both.duplicated;
            self.gap_ms.push(milliseconds(both.longest_gap));
            self.noise_ms = self.noise_ms.max(milliseconds(both.sender_gap));
        }
    }
}

fn sum(report: &Report, kind: &str) -> Sum {
    report.labelled(kind).map(Interval::both).fold(Sum::default(), |sum, counts| Sum {
        sent: sum.sent + counts.sent,
        lost: sum.lost + counts.lost,
        duplicated: sum.duplicated + counts.duplicated,
    })
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
