//! What the user wants: the configuration file, or the arguments of `run`, checked and typed.
//!
//! Three steps: text → raw values that remember where they stand → the validated [`Config`]. Responsible for
//! everything that can be told from the text alone, with errors that show the place and the remedy, all of them at
//! once. Not responsible for what only the running system knows: whether an interface exists, is free, is Wi-Fi.

mod address;
mod arguments;
mod dhcp;
mod dns;
mod mask;
mod names;
mod options;
mod ports;
mod raw;
mod reader;
pub mod report;
pub mod secret;
mod validate;
mod wifi;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use hitless_core::config::{BondConfig, FailOverMac};
use hitless_core::mac::MacAddr;

pub use self::arguments::Arguments;
pub use self::report::Report;
pub use self::secret::Warning;
use crate::wifi::network::WifiConfig;

/// Where the configuration is looked for unless `run` is told otherwise.
pub const DEFAULT_PATH: &str = "/etc/hitless/hitless.toml";

/// Where `run` keeps what it has to remember unless it is told otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/hitless";

/// A whole configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The bonds, in the order in which they are written.
    pub bonds: Vec<Bond>,
    /// What wireless interfaces are to join, by interface name; each may be a port of a bond.
    pub wifi: BTreeMap<String, WifiConfig>,
}

/// One bond.
#[derive(Clone, Debug, PartialEq)]
pub struct Bond {
    /// The interface's name, 1 to 15 bytes; 1 to 13 unless the driver is [`DriverChoice::Kernel`].
    pub name: String,
    /// What is to carry its frames.
    pub driver: DriverChoice,
    /// What is to happen to hardware addresses.
    pub fail_over_mac: MacChoice,
    /// What its machine is told. Where [`Bond::fail_over_mac`] is to be found out, its `fail_over_mac` is a first guess.
    pub options: BondConfig,
    /// Its addresses and the like.
    pub ip: IpConfig,
}

/// What is to carry a bond's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// Linux bonding where it is there, else our own programs.
    #[default]
    Auto,
    /// Linux bonding.
    Kernel,
    /// Our own programs in the kernel.
    Ebpf,
}

/// What is to happen to hardware addresses when the active port changes (`fail-over-mac`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MacChoice {
    /// Whatever the driver and the ports are capable of: one address for all where that goes, else that of the active port.
    #[default]
    Auto,
    /// This.
    Fixed(FailOverMac),
}

/// What a bond has as a network interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpConfig {
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Next hops of default routes; each is on-link of an address, or link-local.
    pub gateways: Vec<IpAddr>,
    /// The metric of default routes; `None`: the kernel's own, 0 for IPv4 and 1024 for IPv6.
    pub metric: Option<u32>,
    /// Further routes.
    pub routes: Vec<RouteConfig>,
    /// Addresses by DHCPv4.
    pub dhcp4: Dhcp4,
    /// Are IPv6 addresses and routes made of router advertisements? `None`: as the kernel has it.
    pub accept_ra: Option<bool>,
    /// What its own IPv6 addresses are made of; `None`: of a secret, unless the kernel is told something else.
    pub addr_gen_mode: Option<AddrGenMode>,
    /// Name servers, beside those that DHCP tells of.
    pub dns: Vec<IpAddr>,
    /// Domains that host names are looked for in.
    pub search: Vec<String>,
    /// In bytes, 68 to 65535; at least 1280 where there is an IPv6 address. `None`: that of the interface whose addresses the bond takes over, or what it has.
    pub mtu: Option<u32>,
}

/// What the kernel makes IPv6 addresses of, in the prefix of links and those that routers advertise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddrGenMode {
    /// Of a secret of this machine and bond: the same whatever hardware address the bond has (RFC 7217).
    StablePrivacy,
    /// Of the hardware address (RFC 4291, appendix A).
    Eui64,
}

/// A route that is wanted beside the default routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Where it leads, with the prefix length.
    pub to: (IpAddr, u8),
    /// The next hop, on-link of an address or link-local; `None`: the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// `None`: the kernel's own, 0 for IPv4 and 1024 for IPv6.
    pub metric: Option<u32>,
}

/// Whether the bond has an address by DHCPv4, and from whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dhcp4 {
    /// It has none.
    #[default]
    Off,
    /// hitless asks for it.
    On(DhcpConfig),
    /// Another program does.
    External,
}

/// What a DHCPv4 server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpConfig {
    /// Who we are.
    pub client_id: ClientId,
    /// The hardware address that is told, whatever the bond has; `None`: the bond's own.
    pub chaddr: Option<MacAddr>,
    /// What we are called; `None`: what the host is called.
    pub hostname: Option<String>,
    /// Is it found out, before an address is used for the first time, whether somebody else has it (RFC 5227)? It takes
    /// some seconds.
    pub detect_conflicts: bool,
}

/// By what a DHCPv4 server knows us again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientId {
    /// By an identity of this machine and bond that is the same for ever (RFC 4361).
    #[default]
    Duid,
    /// By the hardware address.
    Mac,
    /// By these octets, as another client was known before.
    Octets(Vec<u8>),
}

/// Where the configuration comes from, so that it can be read again.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// From this file.
    File(PathBuf),
    /// From the arguments of `run`; cannot change.
    Arguments(Config),
}

impl ConfigSource {
    /// The configuration as it is now.
    pub fn load(&self) -> Result<Config, LoadError> {
        match self {
            Self::File(path) => load(path),
            Self::Arguments(config) => Ok(config.clone()),
        }
    }

    /// The same when the daemon starts: a host on which nothing was configured yet has no bonds, and waits for
    /// `hitless adopt`. Later, a file that is gone is a mistake.
    pub fn load_at_start(&self) -> Result<Config, LoadError> {
        match self {
            Self::File(path) if path == Path::new(DEFAULT_PATH) && !path.exists() => {
                tracing::info!("no bonds: there is no {DEFAULT_PATH} yet (hitless adopt makes it)");
                Ok(Config { bonds: Vec::new(), wifi: BTreeMap::new() })
            }
            Self::File(_) | Self::Arguments(_) => self.load(),
        }
    }

    /// What the user should know of a configuration that came from here.
    pub fn warnings(&self, config: &Config) -> Vec<Warning> {
        match self {
            Self::File(path) => secret::warnings(Some(path), config),
            Self::Arguments(_) => secret::warnings(None, config),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file has errors.
    #[error(transparent)]
    Invalid(#[from] Report),
}

/// Reads and checks a configuration file.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    Ok(parse(&read(path)?, &path.display().to_string())?)
}

/// Reads a configuration file that something is to be added to, and need not be there yet.
pub fn text(path: &Path) -> Result<String, LoadError> {
    match read(path) {
        Err(LoadError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        result => result,
    }
}

fn read(path: &Path) -> Result<String, LoadError> {
    fs::read_to_string(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// Checks the text of a configuration. `path` is what the report calls it. Never panics, whatever the text.
pub fn parse(text: &str, path: &str) -> Result<Config, Report> {
    let mut problems = Vec::new();
    let raw = raw::read(text, &mut problems);
    let config = validate::config(&raw, &mut problems);
    report::finish(config, problems, &mask::mask(text), path)
}

impl Config {
    /// Checks the arguments of a `run` without a file, by the same rules.
    pub fn from_arguments(arguments: &Arguments) -> Result<Self, Report> {
        let (text, bond) = arguments.to_raw();
        let mut problems = Vec::new();
        let raw = raw::Config { bonds: vec![bond], wifi: Vec::new() };
        let config = validate::config(&raw, &mut problems);
        report::finish(config, problems, &text, "command line")
    }

    /// The bond of this name.
    pub fn bond(&self, name: &str) -> Option<&Bond> {
        self.bonds.iter().find(|bond| bond.name == name)
    }
}
