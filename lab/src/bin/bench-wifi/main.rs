//! `make bench-wifi`: how good hitless is with wire and Wi-Fi, beside plain bonding, in one run in guest kernels.
//!
//! Real 802.11 ([`hitless_lab::wifi`]), the same traffic and the same mishaps for all. Who is compared is told in
//! [`contender`], what is done to them and counted in [`trial`], and what comes of it in [`promises`]. The processor is
//! emulated, so the figures mean something beside each other only.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

mod contender;
mod promises;
mod trial;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use hitless_lab::{LabError, Result, interrupt, qemu};
use serde::Serialize;

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
    interrupt::measure(|| if qemu::in_guest() { inside(&arguments) } else { outside(&arguments) })
}

impl Arguments {
    fn contenders(&self) -> Vec<Contender> {
        if self.only.is_empty() { Contender::ALL.to_vec() } else { self.only.clone() }
    }

    /// How long a guest may take.
    fn limit(&self) -> Duration {
        let times = |n: usize, seconds| Duration::from_secs(seconds) * u32::try_from(n).unwrap_or(u32::MAX);
        Duration::from_secs(180) + times(self.pulls, 15) + times(self.kills, 60)
    }
}

/// Runs this program in guests, one contender after the other, and prints what it measured there. Each has a guest of
/// its own: an emulated machine that has locked up costs one of them, not all.
fn outside(arguments: &Arguments) -> Result<()> {
    let (mut outcomes, mut failure) = (Vec::new(), None);
    for contender in arguments.contenders() {
        eprintln!("measuring: {}, in a guest kernel …", contender.name());
        match in_guest(arguments, contender) {
            Ok(outcome) => outcomes.push(outcome),
            Err(LabError::Interrupted) => return Err(LabError::Interrupted),
            Err(error) => {
                eprintln!("{}: {error}", contender.name());
                failure = Some(LabError::Broken(format!("{} could not be measured", contender.name())));
            }
        }
    }
    if arguments.json {
        println!("{}", json(&outcomes)?);
    } else {
        promises::print(&outcomes);
    }
    failure.map_or(Ok(()), Err)
}

fn in_guest(arguments: &Arguments, contender: Contender) -> Result<Outcome> {
    let own = std::env::current_exe()
        .map_err(|source| LabError::Io { what: "finding the running program".to_owned(), source })?;
    let [pulls, kills] = [arguments.pulls, arguments.kills].map(|n| n.to_string());
    let mut command = vec![own.into_os_string()];
    command.extend(["--pulls", &pulls, "--kills", &kills, "--only", contender.name()].map(OsString::from));
    command.extend(arguments.logs.then(|| "--logs".into()));
    let output = qemu::run(&command, arguments.limit())?;
    eprint!("{}", output.stderr);
    let output = output.success()?;
    serde_json::from_str(&output).map_err(|source| LabError::Json {
        command: "bench-wifi in the guest".to_owned(),
        output,
        source,
    })
}

/// What runs in the guest: measures, and prints the result for [`outside`].
fn inside(arguments: &Arguments) -> Result<()> {
    for contender in arguments.contenders() {
        println!("{}", json(&trial::run(contender, arguments.pulls, arguments.kills, arguments.logs)?)?);
    }
    Ok(())
}

fn json(results: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(results)
        .map_err(|error| LabError::Broken(format!("cannot print the results: {error}")))
}
