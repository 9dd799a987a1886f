//! `make bench-wifi`: how good hitless is with wire and Wi-Fi, beside plain bonding, in one run of one guest kernel.
//!
//! Real 802.11 ([`hitless_lab::wifi`]), the same traffic and the same mishaps for all. Who is compared is told in
//! [`contender`], what is done to them and counted in [`trial`], and what comes of it in [`promises`]. The processor is
//! emulated, so the figures mean something beside each other only.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

mod contender;
mod promises;
mod trial;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hitless_lab::{LabError, Result, interrupt, qemu};

use crate::contender::Contender;
use crate::trial::Outcome;

/// How good hitless is with wire and Wi-Fi, measured beside plain bonding.
#[derive(Parser)]
#[command(name = "bench-wifi")]
struct Arguments {
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    /// How often the cable is pulled and plugged
    #[arg(long, default_value_t = 10)]
    pulls: usize,
    /// How often the access point dies
    #[arg(long, default_value_t = 4)]
    kills: usize,
    /// Measure only these, by name (promises that compare with others are then left out)
    #[arg(long, value_name = "NAME", value_parser = Contender::named)]
    only: Vec<Contender>,
    /// Print the logs of the daemon and of the access point, too
    #[arg(long)]
    logs: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = interrupt::install().and_then(|()| match qemu::in_guest() {
        true => inside(&arguments),
        false => outside(&arguments),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(LabError::Interrupted) => ExitCode::from(130),
        Err(error) => {
            eprintln!("the measurement failed: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    fn contenders(&self) -> Vec<Contender> {
        if self.only.is_empty() { Contender::ALL.to_vec() } else { self.only.clone() }
    }

    /// How long the guest may take.
    fn limit(&self) -> Duration {
        let times = |n: usize, seconds| Duration::from_secs(seconds) * u32::try_from(n).unwrap_or(u32::MAX);
        let each = Duration::from_secs(120) + times(self.pulls, 15) + times(self.kills, 60);
        Duration::from_secs(60) + each * u32::try_from(self.contenders().len()).unwrap_or(u32::MAX)
    }
}

/// Runs this program in a guest, and prints what it measured there.
fn outside(arguments: &Arguments) -> Result<()> {
    let names: Vec<&str> = arguments.contenders().iter().map(|contender| contender.name()).collect();
    eprintln!("measuring, in a guest kernel, for some minutes: {} …", names.join(", "));
    let own = std::env::current_exe()
        .map_err(|source| LabError::Io { what: "finding the running program".to_owned(), source })?;
    let mut command = vec![own.into_os_string()];
    command.extend(std::env::args_os().skip(1));
    let output = qemu::run(&command, arguments.limit())?;
    eprint!("{}", output.stderr);
    let output = output.success()?;
    let outcomes: Vec<Outcome> = serde_json::from_str(&output).map_err(|source| LabError::Json {
        command: "bench-wifi in the guest".to_owned(),
        output: output.clone(),
        source,
    })?;
    if arguments.json {
        print!("{output}");
    } else {
        promises::print(&outcomes);
    }
    Ok(())
}

/// What runs in the guest: measures one after the other, and prints the results for [`outside`].
fn inside(arguments: &Arguments) -> Result<()> {
    let mut outcomes = Vec::new();
    for contender in arguments.contenders() {
        outcomes.push(trial::run(contender, arguments.pulls, arguments.kills, arguments.logs)?);
    }
    let text = serde_json::to_string_pretty(&outcomes)
        .map_err(|error| LabError::Broken(format!("cannot print the results: {error}")))?;
    println!("{text}");
    Ok(())
}
