//! `make demo`: pull the cable and watch that nothing breaks.
//!
//! A laptop with a cable and a "wireless" link, a switch and a router, all made of network namespaces; the daemon on
//! the ebpf driver; one TCP stream and numbered datagrams both ways. The cable is pulled and plugged back, the daemon
//! killed and restarted. A timeline while it happens, a table at the end. Nothing of it is left behind.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use hitless_lab::meter::Interval;
use hitless_lab::table::{Paint, Table};
use hitless_lab::tcp::Stream;
use hitless_lab::wait::linger;
use hitless_lab::{Daemon, Home, HomeOptions, LabError, Meter, Result, interrupt};
use serde_json::Value;

/// How long to let traffic flow after each event.
const LINGER: Duration = Duration::from_millis(1500);

/// How long a failover or a failback may take before the demonstration is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// Pull the cable and watch that nothing breaks.
#[derive(Parser)]
#[command(name = "demo")]
struct Arguments {
    /// Datagrams a second in each direction
    #[arg(long, default_value_t = 1000)]
    rate: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let timeline = Timeline { start: Instant::now(), paint: Paint::for_stdout() };
    let outcome = interrupt::install().and_then(|()| demonstrate(&timeline, arguments.rate));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("{}", timeline.paint.red("The TCP stream did not survive."));
            ExitCode::FAILURE
        }
        Err(LabError::Interrupted) => {
            eprintln!("interrupted; everything is cleaned up");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("{}: {error}", timeline.paint.red("the demonstration failed"));
            ExitCode::FAILURE
        }
    }
}

/// The whole story; did the TCP stream survive it?
fn demonstrate(timeline: &Timeline, rate: u32) -> Result<bool> {
    let home = Home::new(HomeOptions::default())?;
    timeline.tell("made a laptop (eth0, wlan0), a switch and a router out of network namespaces");

    let address = format!("{}/24", Home::ipv4(0, 5));
    let run = ["--driver", "ebpf", "--bond", "bond0", "--ports", "eth0,wlan0", "--address", &address];
    let mut daemon = Daemon::start(&home.laptop, &run)?;
    timeline.event(&format!("hitless run {}", run.join(" ")));
    timeline.tell(&format!("ready after {}", millis(daemon.ready_after())));
    for port in ["eth0", "wlan0"] {
        home.wait_forwarding(port)?;
    }
    daemon.wait_active("bond0", "eth0", PATIENCE)?;

    let (near, far) = home.ends(0);
    let stream = Stream::start(near, far)?;
    let mut meter = Meter::start(near, far, rate)?;
    timeline
        .tell(&format!("one TCP stream, and {rate} datagrams a second each way, between laptop and router"));
    meter.wait_flowing(100, PATIENCE)?;
    let mut show = Show { timeline, meter: &mut meter, stream: &stream, alive: Vec::new() };
    show.begin("nothing happens")?;
    show.settle()?;

    show.begin("the cable is pulled")?;
    home.pull("eth0")?;
    show.moved(&daemon.wait_active("bond0", "wlan0", PATIENCE)?);
    show.settle()?;

    show.begin("the cable is plugged back")?;
    home.plug("eth0")?;
    show.moved(&daemon.wait_active("bond0", "eth0", PATIENCE)?);
    show.settle()?;

    show.begin("the daemon is killed (SIGKILL)")?;
    daemon.kill9()?;
    show.settle()?;

    show.begin("the daemon is restarted")?;
    daemon.restart()?;
    daemon.wait_active("bond0", "eth0", PATIENCE)?;
    timeline.tell(&format!("took over the bond as it was, ready after {}", millis(daemon.ready_after())));
    show.settle()?;

    show.begin("the cable is pulled again")?;
    home.pull("eth0")?;
    show.moved(&daemon.wait_active("bond0", "wlan0", PATIENCE)?);
    show.settle()?;

    let alive = std::mem::take(&mut show.alive);
    let ended = stream.finish();
    let report = meter.finish();
    let survived =
        print_table(timeline.paint, report.labelled("the").chain(report.labelled("nothing")), &alive);
    println!("\n  one TCP connection, {:.1} MB, every byte as it was sent", ended.bytes as f64 / 1e6);
    if let Some(broken) = &ended.broken {
        println!("  {}", timeline.paint.red(&format!("the TCP stream broke: {broken}")));
    }
    daemon.ask(&["down"])?;
    Ok(survived && ended.broken.is_none())
}

/// The traffic, while things are done to it.
struct Show<'a> {
    timeline: &'a Timeline,
    meter: &'a mut Meter,
    stream: &'a Stream,
    /// By event: its name, and the longest stall of the TCP stream if that is alive.
    alive: Vec<(String, Option<Duration>)>,
}

impl Show<'_> {
    /// What is counted from now on is the next event's.
    fn begin(&mut self, event: &str) -> Result<()> {
        self.stream.take_stall();
        self.meter.mark(event);
        self.alive.push((event.to_owned(), None));
        self.timeline.event(event);
        Ok(())
    }

    /// Tells what the daemon says of a change of the active port.
    fn moved(&self, status: &Value) {
        let failover = &status["last_failover"];
        let word = |key: &str| failover[key].as_str().unwrap_or("?").replace(['-', '_'], " ");
        let took =
            failover["took_us"].as_f64().map_or_else(String::new, |us| format!(" in {:.1} ms", us / 1e3));
        self.timeline.tell(&format!(
            "hitless: {} → {}{took} ({})",
            failover["from"].as_str().unwrap_or("none"),
            failover["to"].as_str().unwrap_or("none"),
            word("cause")
        ));
    }

    /// Lets traffic flow, then tells how it fared.
    fn settle(&mut self) -> Result<()> {
        linger(LINGER)?;
        let alive = self.stream.wait_progress(PATIENCE).is_ok();
        interrupt::check()?;
        let stall = self.stream.take_stall();
        if let Some(event) = self.alive.last_mut() {
            event.1 = alive.then_some(stall);
        }
        let report = self.meter.so_far();
        if let Some(interval) = report.intervals.last() {
            let counts = interval.both();
            let verdict = format!("{} of {} datagrams lost", counts.lost, counts.sent);
            let paint = self.timeline.paint;
            let verdict = if counts.lost == 0 { paint.green(&verdict) } else { paint.bold(&verdict) };
            let tcp = if alive { "TCP alive".to_owned() } else { paint.red("TCP STALLED") };
            self.timeline.tell(&format!("{verdict}, longest gap {}, {tcp}", millis(counts.longest_gap)));
        }
        Ok(())
    }
}

/// The table at the end; was TCP alive in every row?
fn print_table<'a>(
    paint: Paint,
    intervals: impl Iterator<Item = &'a Interval>,
    alive: &[(String, Option<Duration>)],
) -> bool {
    let intervals: Vec<_> = intervals.collect();
    let mut table = Table::new(&[
        "event",
        "datagrams",
        "lost",
        "duplicated",
        "reordered",
        "longest gap",
        "sender's",
        "TCP alive",
    ]);
    for (event, stall) in alive {
        let Some(interval) = intervals.iter().find(|interval| interval.label == *event) else { continue };
        let counts = interval.both();
        table.row([
            event.clone(),
            counts.sent.to_string(),
            counts.lost.to_string(),
            counts.duplicated.to_string(),
            counts.reordered.to_string(),
            millis(counts.longest_gap),
            millis(counts.sender_gap),
            if stall.is_some() { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    println!("\n{}", paint.bold("What the receivers saw, both directions together"));
    println!("\n{table}");
    println!(
        "  {}",
        paint.dim("longest gap: between two arrivals; sender's: between two departures, where the machine itself was busy")
    );
    alive.iter().all(|(_, stall)| stall.is_some())
}

/// What is told while it happens, with the time since the beginning.
struct Timeline {
    start: Instant,
    paint: Paint,
}

impl Timeline {
    fn event(&self, text: &str) {
        self.line(&self.paint.bold(&format!("▸ {text}")));
    }

    fn tell(&self, text: &str) {
        self.line(&format!("  {text}"));
    }

    fn line(&self, text: &str) {
        let elapsed = format!("{:7.3} s", self.start.elapsed().as_secs_f64());
        println!("{}  {text}", self.paint.dim(&elapsed));
        // Whoever reads it through a pipe wants to see it live, too.
        let _ = stdout().flush();
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
