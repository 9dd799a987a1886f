//! Settings of single interfaces under /proc/sys/net/ipv4/conf and /proc/sys/net/ipv6/conf.
//!
//! Those of the network namespace of the calling thread. A kernel without IPv6 has none of its settings, which is no error.

use std::fs;
use std::io::ErrorKind;
use std::net::Ipv6Addr;

use crate::error::{Cause, RequestError};
use crate::link::{invalid_name, is_valid_name};

/// A setting of IPv6 on one interface (Documentation/networking/ip-sysctl.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6Setting {
    /// Is IPv6 switched off? Switching it off removes all IPv6 addresses.
    DisableIpv6,
    /// Are router advertisements accepted: 0 no, 1 unless forwarding, 2 yes?
    AcceptRa,
    /// How addresses are made: 0 from the hardware address, 1 none, 2 and 3 from a secret, the administrator's or the
    /// kernel's (RFC 7217).
    AddrGenMode,
    /// How often an address is asked for before it is used; 0 switches duplicate address detection off.
    DadTransmits,
    /// Is duplicate address detection done: 0 no, 1 yes, 2 yes and IPv6 is switched off after a collision?
    AcceptDad,
}

/// A setting of IPv4 on one interface, or on `all` of them; of the two, the greater one is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv4Setting {
    /// Are packets dropped whose sender would not be answered: 0 no, 1 not through the same interface, 2 not through any?
    RpFilter,
    /// Which ARP requests are not answered: 0 none, 8 all, in between it depends on the addresses.
    ArpIgnore,
}

impl Ipv4Setting {
    fn file(self) -> &'static str {
        match self {
            Self::RpFilter => "rp_filter",
            Self::ArpIgnore => "arp_ignore",
        }
    }

    /// Its value; `None` where the interface is gone.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(self, interface: &str) -> Result<Option<i32>, RequestError> {
        read("ipv4", interface, self.file())
    }
}

impl Ipv6Setting {
    fn file(self) -> &'static str {
        match self {
            Self::DisableIpv6 => "disable_ipv6",
            Self::AcceptRa => "accept_ra",
            Self::AddrGenMode => "addr_gen_mode",
            Self::DadTransmits => "dad_transmits",
            Self::AcceptDad => "accept_dad",
        }
    }

    /// Its value; `None` where the kernel has no IPv6 or the interface is gone.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn get(self, interface: &str) -> Result<Option<i32>, RequestError> {
        read("ipv6", interface, self.file())
    }

    /// Set it. Returns the value that it had; `None` where the kernel has no IPv6 or the interface is gone, and
    /// nothing was set.
    ///
    /// # Errors
    /// When it cannot be written: not root, /proc/sys mounted read-only, or a value that the kernel does not take.
    pub fn set(self, interface: &str, value: i32) -> Result<Option<i32>, RequestError> {
        let Some(before) = self.get(interface)? else { return Ok(None) };
        if before == value {
            return Ok(Some(before));
        }
        let request = || format!("set {} = {value} on", self.file());
        let written = write("ipv6", interface, self.file(), &value.to_string(), request)?;
        Ok(written.then_some(before))
    }
}

/// Gives an interface a secret that its IPv6 addresses are made from, from now on, instead of its hardware address
/// (RFC 7217): [`Ipv6Setting::AddrGenMode`] is 2 then. Addresses that it has stay. Says whether that could be done; not
/// where the kernel has no IPv6 or the interface is gone.
///
/// # Errors
/// When it cannot be written: not root, or /proc/sys mounted read-only.
pub fn set_stable_secret(interface: &str, secret: u128) -> Result<bool, RequestError> {
    // The kernel wants it written like an address. It is secret: no error has it.
    let text = Ipv6Addr::from(secret).to_string();
    write("ipv6", interface, "stable_secret", &text, || "set stable_secret on".to_owned())
}

fn path(family: &str, interface: &str, file: &str) -> Result<String, Cause> {
    if !is_valid_name(interface) {
        return Err(invalid_name(interface));
    }
    Ok(format!("/proc/sys/net/{family}/conf/{interface}/{file}"))
}

fn read(family: &str, interface: &str, file: &str) -> Result<Option<i32>, RequestError> {
    let request = || format!("read the setting {file} of");
    let path = path(family, interface, file).map_err(|cause| cause.of(request(), interface))?;
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Cause::from(error).of(request(), interface)),
    }
}

/// Says whether it is there to be written.
fn write(
    family: &str,
    interface: &str,
    file: &str,
    value: &str,
    request: impl Fn() -> String,
) -> Result<bool, RequestError> {
    let path = path(family, interface, file).map_err(|cause| cause.of(request(), interface))?;
    match fs::write(path, value) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Cause::from(error).of(request(), interface)),
    }
}
