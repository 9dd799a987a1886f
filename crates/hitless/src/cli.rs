//! The command line.
//!
//! Responsible for arguments, for what is printed, for exit codes, and for errors that say what to do next. Not
//! responsible for the daemon, which is handed in as a [`Runner`]; all other commands are clients of its socket.

mod adopt;
pub mod arguments;
mod failure;
mod generate;
mod run;
mod status;
mod style;
mod table;
mod time;
mod verify;
mod watch;
mod wifi;

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use hitless_api::{Client, Method};

use self::arguments::{Arguments, Command, PortCommand};
use self::failure::{Exit, Failure};
use crate::config::{self, ConfigSource, LoadError, secret};

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What it is to do.
    pub config: ConfigSource,
    /// Where it is to listen.
    pub socket: PathBuf,
    /// Where it keeps what it has to remember.
    pub state: PathBuf,
}

/// Runs the daemon until it ends.
pub type Runner = fn(RunOptions) -> Result<(), Box<dyn Error>>;

/// The whole program.
pub fn main(runner: Runner) -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help that nobody reads to its end (a closed pipe) is no failure.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    match dispatch(arguments, runner, &mut anstream::stdout().lock()) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => failure.report(),
    }
}

fn dispatch(arguments: Arguments, runner: Runner, out: &mut impl Write) -> Result<(), Failure> {
    let socket = arguments.socket.as_path();
    match arguments.command {
        Command::Run(run) => run::run(run, socket, runner),
        Command::Status { bond, json } => status::status(socket, bond.as_deref(), json, out),
        Command::Verify { bond, fix, json } => verify::verify(socket, bond.as_deref(), fix, json, out),
        Command::Watch { json } => watch::watch(socket, json, out),
        Command::Switch { bond, port } => call(socket, &Method::Switch { bond, port }),
        Command::Port(PortCommand::Add { bond, port }) => call(socket, &Method::AddPort { bond, port }),
        Command::Port(PortCommand::Remove { bond, port }) => call(socket, &Method::RemovePort { bond, port }),
        Command::Wifi(command) => wifi::wifi(socket, command, out),
        Command::Reload => call(socket, &Method::Reload {}),
        Command::Down { bond } => call(socket, &Method::Down { bond }),
        Command::Adopt { ports, confirm, bond, driver } => {
            adopt::adopt(socket, adopt::Wish { ports, bond, driver, within_s: confirm }, out)
        }
        Command::Confirm => adopt::confirm(socket, out),
        Command::CheckConfig { file, json } => check_config(&file, json, out),
        Command::Generate { what, directory } => generate::generate(what, &directory),
    }
}

fn call(socket: &Path, method: &Method) -> Result<(), Failure> {
    Ok(Client::connect(socket)?.call(method)?)
}

fn check_config(file: &Path, json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let result = config::load(file);
    if json {
        let problems = match &result {
            Ok(_) => Vec::new(),
            Err(LoadError::Invalid(report)) => report.entries(),
            Err(LoadError::Read { .. }) => return result.map(drop).map_err(Failure::from),
        };
        let valid = problems.is_empty();
        write_json(out, &serde_json::json!({ "valid": valid, "problems": problems }))?;
        return if valid { Ok(()) } else { Err(Failure::silent(Exit::Failed)) };
    }
    let config = result?;
    for warning in secret::warnings(Some(file), &config) {
        let unsure = style::UNSURE;
        // Where standard error is closed there is nobody to warn.
        let _ = writeln!(anstream::stderr().lock(), "{unsure}warning:{unsure:#} {warning}");
    }
    let count = config.bonds.len();
    writeln!(out, "{}: valid, {count} bond{}", file.display(), if count == 1 { "" } else { "s" })?;
    Ok(())
}

/// One line of JSON.
fn write_json(out: &mut impl Write, value: &impl serde::Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value).map_err(io::Error::other)?;
    writeln!(out, "{text}")
}
