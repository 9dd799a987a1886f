//! `make clean-lab`: removes what killed runs of the laboratory have left behind.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::process::ExitCode;

use hitless_lab::netns::reap_stale;

fn main() -> ExitCode {
    match reap_stale() {
        Ok(names) => {
            for name in names {
                println!("removed {name}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
