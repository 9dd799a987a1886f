//! The configuration of one bond from the arguments of `run`.
//!
//! The arguments are put back into a line of text, so that errors can point into it as they do into a file.

use hitless_core::config::Mode;

use super::DriverChoice;
use super::raw::{self, At};

/// The arguments that describe a bond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// `--bond`.
    pub bond: String,
    /// `--ports`.
    pub ports: Vec<String>,
    /// `--driver`.
    pub driver: DriverChoice,
    /// `--mode`.
    pub mode: Mode,
    /// `--primary`.
    pub primary: Option<String>,
    /// `--address`.
    pub addresses: Vec<String>,
    /// `--gateway`.
    pub gateways: Vec<String>,
}

impl Arguments {
    /// The line, and the raw values that stand in it.
    pub(super) fn to_raw(&self) -> (String, raw::Bond) {
        let mut line = Line("hitless run --bond ".to_owned());
        let name = line.word(&self.bond);
        line.0.push_str(" --ports ");
        let start = line.0.len();
        let mut ports = Vec::new();
        for (n, port) in self.ports.iter().enumerate() {
            if n > 0 {
                line.0.push(',');
            }
            ports.push(line.word(port));
        }
        let ports = At::new(start..line.0.len(), ports);
        let driver = match self.driver {
            DriverChoice::Auto => None,
            DriverChoice::Kernel => Some(line.flag("--driver", "kernel").map(|_| DriverChoice::Kernel)),
            DriverChoice::Ebpf => Some(line.flag("--driver", "ebpf").map(|_| DriverChoice::Ebpf)),
        };
        let mode = Some(self.mode).filter(|mode| *mode != Mode::default());
        let mode = mode.map(|mode| line.flag("--mode", mode.name()).map(|_| mode));
        let primary = self.primary.as_ref().map(|primary| line.flag("--primary", primary));
        let address = self.addresses.iter().map(|address| line.flag("--address", address)).collect();
        let gateway = self.gateways.iter().map(|gateway| line.flag("--gateway", gateway)).collect();
        let ip = raw::Ip { address, gateway, ..raw::Ip::default() };
        (line.0, raw::Bond { name, driver, mode, ports: Some(ports), primary, ip, ..raw::Bond::default() })
    }
}

/// A line that grows.
struct Line(String);

impl Line {
    fn word(&mut self, word: &str) -> At<String> {
        let start = self.0.len();
        self.0.push_str(word);
        At::new(start..self.0.len(), word.to_owned())
    }

    fn flag(&mut self, flag: &str, value: &str) -> At<String> {
        self.0.push_str(&format!(" {flag} "));
        self.word(value)
    }
}
