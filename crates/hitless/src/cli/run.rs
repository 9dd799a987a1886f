//! `hitless run`: works out what the daemon is to do, then hands over to it.

use std::fs;
use std::path::{Path, PathBuf};

use hitless_core::config;

use super::arguments::{Driver, Mode, Run};
use super::failure::{Exit, Failure};
use super::{RunOptions, Runner};
use crate::config::{Arguments, Config, ConfigSource, DEFAULT_PATH, DriverChoice};

pub(super) fn run(run: Run, socket: &Path, runner: Runner) -> Result<(), Failure> {
    let state = run.state.clone();
    let config = source(run)?;
    prepare_directory(socket)?;
    let options = RunOptions { config, socket: socket.to_owned(), state };
    runner(options).map_err(|error| Failure::from_error(error.as_ref()))
}

fn source(run: Run) -> Result<ConfigSource, Failure> {
    let Some(bond) = run.bond else {
        return Ok(ConfigSource::File(run.config.unwrap_or_else(|| PathBuf::from(DEFAULT_PATH))));
    };
    let arguments = Arguments {
        bond,
        ports: run.ports,
        driver: match run.driver {
            Driver::Auto => DriverChoice::Auto,
            Driver::Kernel => DriverChoice::Kernel,
            Driver::Ebpf => DriverChoice::Ebpf,
        },
        mode: match run.mode {
            Mode::ActiveBackup => config::Mode::ActiveBackup,
            Mode::BalanceRr => config::Mode::BalanceRr,
        },
        primary: run.primary,
        addresses: run.address,
        gateways: run.gateway,
    };
    let config =
        Config::from_arguments(&arguments).map_err(|report| Failure::invalid(Exit::Usage, &report))?;
    Ok(ConfigSource::Arguments(config))
}

/// Makes the directory of the default socket, which is gone after each boot. Another one is the user's to make: a
/// directory that appears where a name was mistyped would only hide the mistake.
fn prepare_directory(socket: &Path) -> Result<(), Failure> {
    if socket != Path::new(hitless_api::DEFAULT_SOCKET) {
        return Ok(());
    }
    let Some(directory) = socket.parent().filter(|directory| !directory.exists()) else { return Ok(()) };
    fs::create_dir(directory).map_err(|error| {
        let message = format!(
            "cannot make the directory {}: {error}; run as root (sudo), or name another socket with --socket",
            directory.display()
        );
        Failure::new(Exit::Failed, message)
    })
}
