//! The binary: the command line, with the daemon plugged in.

use std::error::Error;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use hitless::cli::{self, RunOptions};
use hitless::daemon;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

fn main() -> ExitCode {
    cli::main(run)
}

fn run(options: RunOptions) -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(log_filter()?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(daemon::run(options)?)
}

/// A level, or the directives of `tracing-subscriber` (`TARGET=LEVEL,…`). A word that is neither would silence all.
fn log_filter() -> Result<EnvFilter, Box<dyn Error>> {
    let Ok(filter) = std::env::var("HITLESS_LOG") else { return Ok(EnvFilter::new("info")) };
    if !filter.contains('=') && filter.parse::<LevelFilter>().is_err() {
        let levels = "off, error, warn, info, debug or trace";
        return Err(format!("HITLESS_LOG={filter} is not a level; expected {levels}").into());
    }
    Ok(EnvFilter::try_new(&filter).map_err(|error| format!("HITLESS_LOG={filter}: {error}"))?)
}
