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
  5  verify: something does not hold
  6  verify: nothing is known to be wrong, but not everything could be found out

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
    /// Check that everything about a bond holds, and say what to do where it does not
    ///
    /// Looks at what the daemon and the kernel say, at addresses, routes, hardware addresses, Wi-Fi, settings that would be
    /// in the way and other DHCP clients, and changes nothing without --fix. Where several ports are wired, the active one
    /// sends a frame that nobody answers, and the others listen for it. Each line has a mark: ✓ it holds, ✗ it does not,
    /// ? it could not be found out (some of it only root may read), · there is nothing to judge, but something to know.
    ///
    /// The exit code is 0 if all hold, 5 if one does not, and 6 if none fails, but not all could be found out. What is only
    /// to know does not count.
    Verify {
        /// Only this bond
        bond: Option<String>,
        /// First put right what can be (root only): keep dhcpcd off the ports, by a line in /etc/dhcpcd.conf
        #[arg(long)]
        fix: bool,
        /// As one line of JSON: the summary and the checks, with --fix also what was fixed
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
    /// Join Wi-Fi networks, leave them, and see how stations are doing
    #[command(subcommand)]
    Wifi(WifiCommand),
    /// Make the daemon read its configuration file again
    Reload,
    /// Remove a bond, or all of them, and give the ports back as they were found
    Down {
        /// Only this bond
        bond: Option<String>,
    },
    /// Build a bond around interfaces in use, over the very connection that it could break
    ///
    /// Their addresses, routes and neighbours move to the bond in one go, and its hardware address is that of the interface
    /// that carried them. Then it is on trial: unless `hitless confirm` says in time that all is well, everything is put back
    /// as it was; also when this terminal's own connection gets nothing across any more, when the daemon ends, and on Ctrl-C.
    /// On a terminal, Enter confirms as well.
    ///
    /// What is confirmed is added to the configuration file.
    Adopt {
        /// The interfaces, in order of preference, such as eth0 wlan0
        #[arg(required = true, value_name = "INTERFACE")]
        ports: Vec<String>,
        /// How long to wait for `hitless confirm`
        #[arg(
            long, value_name = "SECONDS", default_value_t = 60,
            value_parser = clap::value_parser!(u64).range(1..=3600)
        )]
        confirm: u64,
        /// The bond's name; unless given, the first that is free (bond0)
        #[arg(long)]
        bond: Option<String>,
        /// What carries its frames
        #[arg(long, value_enum, default_value = "auto")]
        driver: Driver,
    },
    /// Keep the bond that `adopt` has built, and write it into the configuration file
    Confirm,
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

/// What to do with Wi-Fi.
#[derive(Debug, Subcommand)]
pub enum WifiCommand {
    /// Show how stations are doing
    Status {
        /// Only this station
        #[arg(long, value_name = "STATION")]
        port: Option<String>,
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the networks that may be joined
    List {
        /// Only those of this station
        #[arg(long, value_name = "STATION")]
        port: Option<String>,
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Look for access points, the strongest first
    Scan {
        /// Only by this station
        #[arg(long, value_name = "STATION")]
        port: Option<String>,
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Join a network, and remember it
    ///
    /// A network that is known already needs nothing but its name. For others the passphrase is asked for on the terminal,
    /// or read from a file; it is never an argument, which others could read and the shell would remember.
    Connect(Box<Connect>),
    /// Leave the network, and join none until `connect` or the daemon's next start
    Disconnect {
        /// The station; needed where there are several
        #[arg(long, value_name = "STATION")]
        port: Option<String>,
    },
    /// Forget a network that `connect` has joined
    Forget {
        /// The network's name
        ssid: String,
        /// The name is given in hex digits, because it is not text
        #[arg(long)]
        hex: bool,
        /// The station; needed where there are several
        #[arg(long, value_name = "STATION")]
        port: Option<String>,
    },
}

/// A network to join.
#[derive(Debug, Args)]
pub struct Connect {
    /// The network's name
    pub ssid: String,
    /// The name is given in hex digits, because it is not text
    #[arg(long)]
    pub hex: bool,
    /// The station; needed where there are several
    #[arg(long, value_name = "STATION")]
    pub port: Option<String>,
    /// Ask for the passphrase (with 802.1X: the password) on the terminal
    #[arg(long, conflicts_with = "psk_file")]
    pub ask: bool,
    /// Read it from the first line of this file; `-` is standard input
    #[arg(long, value_name = "FILE", visible_alias = "password-file")]
    pub psk_file: Option<PathBuf>,
    /// Join only by WPA3, not by WPA2
    #[arg(long, conflicts_with_all = ["owe", "open", "eap"])]
    pub sae: bool,
    /// The network is encrypted and has no passphrase
    #[arg(long, conflicts_with_all = ["open", "eap", "ask", "psk_file"])]
    pub owe: bool,
    /// The network is not encrypted, and that is all right
    #[arg(long, conflicts_with_all = ["eap", "ask", "psk_file"])]
    pub open: bool,
    /// The network keeps its name to itself
    #[arg(long)]
    pub hidden: bool,
    /// The higher, the more it is wanted; -1000 to 1000
    #[arg(
        long, value_name = "N", default_value_t = 0, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-1000..=1000)
    )]
    pub priority: i32,
    /// Join by 802.1X, by this method
    #[arg(long, value_enum, value_name = "METHOD", requires = "identity")]
    pub eap: Option<Method>,
    /// With 802.1X: who you are
    #[arg(long, requires = "eap")]
    pub identity: Option<String>,
    /// With 802.1X: who you are as far as anyone may hear who listens
    #[arg(long, value_name = "IDENTITY", requires = "eap")]
    pub anonymous_identity: Option<String>,
    /// With 802.1X: whose signature the server's certificate must have (PEM)
    #[arg(long, value_name = "FILE", requires = "eap")]
    pub ca_cert: Option<PathBuf>,
    /// With 802.1X: the end of the name that the server's certificate must have
    #[arg(long, value_name = "NAME", requires = "ca_cert")]
    pub domain: Option<String>,
    /// With --eap tls: your certificate (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["eap", "private_key"])]
    pub client_cert: Option<PathBuf>,
    /// With --eap tls: its key (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["eap", "client_cert"])]
    pub private_key: Option<PathBuf>,
}

/// How the server of 802.1X and you convince each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// By a password, in PEAP with MSCHAPv2
    Peap,
    /// By a password, in TTLS with PAP
    Ttls,
    /// By certificates on both sides
    Tls,
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
    /// Where to keep what has to be remembered: networks that were joined by command
    #[arg(long, value_name = "DIRECTORY", default_value = config::DEFAULT_STATE)]
    pub state: PathBuf,
    /// What carries its frames
    #[arg(long, value_enum, default_value = "auto", requires = "bond")]
    pub driver: Driver,
    /// How its ports share the work
    #[arg(long, value_enum, default_value = "active-backup", requires = "bond")]
    pub mode: Mode,
}

/// How the ports of a bond share the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One carries everything, the others stand by
    #[value(alias = "failover")]
    ActiveBackup,
    /// All carry traffic, frame by frame in turn
    #[value(alias = "roundrobin")]
    BalanceRr,
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
