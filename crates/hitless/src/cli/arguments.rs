//! The arguments: one definition gives the parser, the help, the man pages and the completions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config;

/// One network interface made of several links: the cable when it is there, Wi-Fi when it is not, and no connection
/// that notices the change.
#[derive(Debug, Parser)]
#[command(name = "hitless", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Arguments {
    /// The daemon's socket
    #[arg(long, global = true, value_name = "PATH", default_value = hitless_api::DEFAULT_SOCKET)]
    pub socket: PathBuf,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  no daemon runs on the socket
  4  refused: no permission, or the daemon will not do it

Colour appears on a terminal only, and never where NO_COLOR is set.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon, in the foreground
    ///
    /// It goes by a configuration file, or makes the one bond that --bond and --ports describe. When it ends, its bonds
    /// go on forwarding, and the next daemon takes them over; `hitless down` removes them, while it runs.
    ///
    /// It logs to standard error. HITLESS_LOG=debug makes it say more.
    Run(Run),
    /// Show bonds and their ports
    Status {
        /// Only this bond
        bond: Option<String>,
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what happens, as it happens
    Watch {
        /// As one line of JSON each
        #[arg(long)]
        json: bool,
    },
    /// Make a port the active one, now
    ///
    /// It stays so until it fails, or the primary's link comes back up, or the daemon ends.
    Switch {
        /// The bond
        bond: String,
        /// The port
        port: String,
    },
    /// Add ports to a bond, or remove them, until the daemon ends or reloads
    #[command(subcommand)]
    Port(PortCommand),
    /// Make the daemon read its configuration file again
    Reload,
    /// Remove a bond, or all of them, and give the ports back as they were found
    Down {
        /// Only this bond
        bond: Option<String>,
    },
    /// Check a configuration file without using it
    CheckConfig {
        /// The file
        #[arg(default_value = config::DEFAULT_PATH)]
        file: PathBuf,
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Write man pages or shell completions
    #[command(hide = true)]
    Generate {
        /// Which
        what: Generated,
        /// Where to; it has to exist
        directory: PathBuf,
    },
}

/// What to do with ports.
#[derive(Debug, Subcommand)]
pub enum PortCommand {
    /// Make an interface a port of a bond, as the last in order of preference
    Add {
        /// The bond
        bond: String,
        /// The interface
        port: String,
    },
    /// Take a port out of a bond and give it back as it was found
    Remove {
        /// The bond
        bond: String,
        /// The port
        port: String,
    },
}

/// How to run the daemon.
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file; without it and --bond: /etc/hitless/hitless.toml
    #[arg(long, value_name = "FILE", conflicts_with = "bond")]
    pub config: Option<PathBuf>,
    /// Make one bond of this name, without a file
    #[arg(long, value_name = "BOND", requires = "ports")]
    pub bond: Option<String>,
    /// Its ports in order of preference, such as eth0,wlan0; the first is the primary
    #[arg(long, value_name = "PORT,…", value_delimiter = ',', requires = "bond", conflicts_with = "config")]
    pub ports: Vec<String>,
    /// Another primary than the first port, or `none`
    #[arg(long, value_name = "PORT", requires = "bond", conflicts_with = "config")]
    pub primary: Option<String>,
    /// An address of the bond, such as 192.168.1.5/24; may be repeated
    #[arg(long, value_name = "ADDRESS/LENGTH", requires = "bond", conflicts_with = "config")]
    pub address: Vec<String>,
    /// Where its default route leads; may be repeated
    #[arg(long, value_name = "ADDRESS", requires = "bond", conflicts_with = "config")]
    pub gateway: Vec<String>,
    /// What carries its frames
    #[arg(long, value_enum, default_value = "auto", requires = "bond")]
    pub driver: Driver,
}

/// What carries a bond's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Driver {
    /// Linux bonding where it is there, else hitless' own programs
    Auto,
    /// Linux bonding
    Kernel,
    /// hitless' own programs in the kernel
    Ebpf,
}

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// A man page for each command
    Man,
    /// Completions for bash, zsh and fish
    Completions,
}
