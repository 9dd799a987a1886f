//! `make bench`: how good hitless is, measured beside what it is compared with, in one run.
//!
//! Counts and ratios, not absolute speeds: they mean the same on another machine. The measurements themselves are in
//! [`ebpf`] (in namespaces) and [`kernel`] (in a guest kernel, beside plain bonding).

#![allow(clippy::print_stdout, reason = "this is what it is for")]

mod adopt;
mod dhcp;
mod ebpf;
mod kernel;
mod pulls;

use std::process::ExitCode;

use clap::Parser;
use hitless_lab::held::Held;
use hitless_lab::samples::{counts, mean, median};
use hitless_lab::verdict::Verdicts;
use hitless_lab::{LabError, Result, interrupt, uml};
use serde::Serialize;

use crate::pulls::Pulls;

/// How good hitless is, measured beside what it is compared with.
#[derive(Parser)]
#[command(name = "bench")]
struct Arguments {
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// How often the cable is pulled and plugged
    #[arg(long, default_value_t = 20)]
    pulls: usize,
    /// How often the daemon is killed and restarted
    #[arg(long, default_value_t = 5)]
    kills: usize,
    /// How often each throughput is measured, alternately
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// For how many seconds the idle daemon is watched
    #[arg(long, default_value_t = 20)]
    idle: u64,
    /// How often each DHCP client is given an address
    #[arg(long, default_value_t = 5)]
    leases: usize,
    /// How often a bond is built around an interface in use
    #[arg(long, default_value_t = 5)]
    adoptions: usize,
    /// Without the guest kernel
    #[arg(long)]
    no_guest: bool,
}

/// Everything that was measured.
#[derive(Serialize)]
struct Results {
    ebpf: ebpf::Results,
    dhcp_ms: dhcp::Results,
    dhcp_held: Held,
    adopt: adopt::Results,
    kernel: Option<kernel::Results>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::measure(|| if uml::in_guest() { kernel::inside(arguments.pulls) } else { outside(&arguments) })
}

fn outside(arguments: &Arguments) -> Result<()> {
    let ebpf = ebpf::measure(arguments)?;
    let dhcp_ms = dhcp::measure(arguments.leases)?;
    let dhcp_held = dhcp::held(arguments.pulls)?;
    let adopt = adopt::measure(arguments.adoptions)?;
    let kernel = if arguments.no_guest {
        None
    } else {
        progress("bonding and the kernel driver in a guest kernel");
        Some(kernel::outside(arguments.pulls)?)
    };
    let results = Results { ebpf, dhcp_ms, dhcp_held, adopt, kernel };
    if arguments.json {
        let text = serde_json::to_string_pretty(&results)
            .map_err(|error| LabError::Broken(format!("cannot print the results: {error}")))?;
        println!("{text}");
    } else {
        print(&results);
    }
    Ok(())
}

/// What is being measured, for whoever waits.
fn progress(what: &str) {
    eprintln!("measuring: {what} …");
}

fn add_pulls(verdicts: &mut Verdicts, name: &str, pulls: &Pulls) {
    let [lost, failback] = [&pulls.lost_per_pull, &pulls.lost_per_plug];
    let typical = median(&counts(lost));
    let worst = lost.iter().max().copied().unwrap_or_default();
    verdicts.add(
        &format!("{name}: lost per pull, median"),
        format!("{typical:.1}"),
        "at most 1",
        typical <= 1.0,
    );
    verdicts.add(&format!("{name}: lost per pull, worst"), worst.to_string(), "at most 10", worst <= 10);
    let back: u64 = failback.iter().sum();
    verdicts.add(&format!("{name}: lost on all failbacks"), back.to_string(), "0", back == 0);
    verdicts.add(&format!("{name}: duplicated"), pulls.duplicated.to_string(), "0", pulls.duplicated == 0);
}

fn add_adoptions(verdicts: &mut Verdicts, adopt: &adopt::Results) {
    for (name, gaps, lost) in [
        ("`adopt` over SSH", &adopt.there_ms, &adopt.lost_there),
        ("and back, without `confirm`", &adopt.back_ms, &adopt.lost_back),
    ] {
        let worst = gaps.iter().copied().fold(0.0, f64::max);
        let lost = lost.iter().max().copied().unwrap_or_default();
        verdicts.add(
            &format!("{name}: longest gap, worst (lost)"),
            format!("{worst:.0} ms ({lost})"),
            "under 100 ms",
            worst < 100.0,
        );
    }
}

fn print(results: &Results) {
    let mut verdicts = Verdicts::new();
    let ebpf = &results.ebpf;
    let n = ebpf.pulls.lost_per_pull.len();
    add_pulls(&mut verdicts, "ebpf", &ebpf.pulls);
    let killed: u64 = ebpf.lost_per_kill.iter().sum();
    let kills = ebpf.lost_per_kill.len();
    verdicts.add(
        &format!("ebpf: lost in {kills} × SIGKILL and restart"),
        killed.to_string(),
        "0",
        killed == 0,
    );
    let ratio = median(&ebpf.tcp_ratios);
    verdicts.add(
        "ebpf: TCP through the bond : bare veth",
        format!("{ratio:.3}"),
        "at least 0.95",
        ratio >= 0.95,
    );
    let idle = ebpf.idle_cpu_percent;
    verdicts.add("idle daemon, of one core", format!("{idle:.3} %"), "under 0.2 %", idle < 0.2);
    let resident = ebpf.resident_kib as f64 / 1024.0;
    verdicts.add("daemon, resident", format!("{resident:.1} MiB"), "under 12 MiB", resident < 12.0);
    let start = median(&ebpf.start_to_forwarding_ms);
    verdicts.add("`run` to forwarding", format!("{start:.0} ms"), "under 100 ms", start < 100.0);
    let dhcp = &results.dhcp_ms;
    let [ours, dhcpcd, udhcpc] = [&dhcp.hitless, &dhcp.dhcpcd, &dhcp.udhcpc].map(|took| median(took));
    verdicts.add(
        "link up to an address by DHCP (dhcpcd, udhcpc)",
        format!("{ours:.0} ms ({dhcpcd:.0}, {udhcpc:.0})"),
        "under 100 ms",
        ours < 100.0,
    );
    let held = &results.dhcp_held;
    verdicts.add(
        "the address by DHCP in as many pulls",
        format!("at {} of {} samples", held.with_address, held.samples),
        "at all",
        held.with_address == held.samples,
    );
    verdicts.add(
        "without a default route meanwhile",
        format!("{:.2} s", held.without_route.as_secs_f64()),
        "0.00 s",
        held.with_route == held.samples,
    );
    verdicts.add(
        "addresses and routes removed meanwhile",
        held.removed.len().to_string(),
        "0",
        held.removed.is_empty(),
    );
    add_adoptions(&mut verdicts, &results.adopt);
    if let Some(kernel) = &results.kernel {
        let [ours, plain] =
            [&kernel.hitless, &kernel.bonding].map(|pulls| mean(&counts(&pulls.lost_per_pull)));
        let share = ours / plain;
        verdicts.add(
            "kernel driver : bonding miimon 100, mean lost per pull",
            format!("{ours:.1} : {plain:.1} = {share:.2}"),
            "at most 0.25",
            share <= 0.25,
        );
        let [ours, plain] =
            [&kernel.hitless, &kernel.bonding].map(|pulls| mean(&counts(&pulls.lost_per_plug)));
        verdicts.add(
            "the same, mean lost per failback",
            format!("{ours:.1} : {plain:.1}"),
            "not more",
            ours <= plain,
        );
    }
    println!("\n{verdicts}");
    println!(
        "  {n} pulls; numbered datagrams both ways, 1000/s each, lost in either direction, counted at the receiver"
    );
}
