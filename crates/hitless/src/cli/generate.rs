//! Man pages and completions, from the definition of the arguments.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::arguments::{Arguments, Generated};
use super::failure::{Exit, Failure};

/// Writes them into a directory.
pub(super) fn generate(what: Generated, directory: &Path) -> Result<(), Failure> {
    let mut command = Arguments::command();
    let result = match what {
        Generated::Man => clap_mangen::generate_to(command, directory),
        Generated::Completions => [Shell::Bash, Shell::Zsh, Shell::Fish].into_iter().try_for_each(|shell| {
            clap_complete::generate_to(shell, &mut command, "hitless", directory).map(drop)
        }),
    };
    result.map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot write into {}: {error}", directory.display()))
    })
}
