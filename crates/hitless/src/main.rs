//! The binary: the command line, with the daemon plugged in.

use std::error::Error;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use hitless::cli::{self, RunOptions};
use hitless::daemon;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    cli::main(run)
}

fn run(options: RunOptions) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_env("HITLESS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(daemon::run(options)?)
}
