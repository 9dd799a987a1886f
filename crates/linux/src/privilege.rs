//! What the process may do: found out before anything is begun, so that nothing is left half done.

use std::fmt;
use std::fs;

/// A privilege of Linux (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Changing interfaces, addresses and routes.
    NetAdmin,
    /// Packet sockets.
    NetRaw,
    /// Almost everything else; what eBPF needs before Linux 5.8.
    SysAdmin,
    /// Loading eBPF programs.
    Bpf,
}

impl Capability {
    /// Its number in linux/capability.h.
    fn bit(self) -> u32 {
        match self {
            Self::NetAdmin => 12,
            Self::NetRaw => 13,
            Self::SysAdmin => 21,
            Self::Bpf => 39,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Bpf => "CAP_BPF",
        })
    }
}

/// A privilege is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the capability {missing} is missing; run this as root (sudo), or in a systemd unit with AmbientCapabilities={missing}"
)]
pub struct MissingPrivilege {
    /// Which one.
    pub missing: Capability,
}

/// May the calling thread change interfaces and open packet sockets?
///
/// # Errors
/// Names the capability that is missing.
pub fn require_net_admin() -> Result<(), MissingPrivilege> {
    let held = effective();
    require(held, Capability::NetAdmin)?;
    require(held, Capability::NetRaw)
}

/// May the calling thread also load eBPF programs, and find those of an earlier process by their ids? For the second,
/// CAP_BPF does not suffice (kernel/bpf/syscall.c, `bpf_prog_get_fd_by_id`).
///
/// # Errors
/// Names the capability that is missing.
pub fn require_bpf() -> Result<(), MissingPrivilege> {
    require_net_admin()?;
    require(effective(), Capability::SysAdmin)
}

fn require(held: u64, capability: Capability) -> Result<(), MissingPrivilege> {
    if held >> capability.bit() & 1 == 1 { Ok(()) } else { Err(MissingPrivilege { missing: capability }) }
}

/// The effective capabilities; without /proc none, since nothing else would work either.
fn effective() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    effective_in(&status).unwrap_or(0)
}

fn effective_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_the_effective_set() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000003000\n";
        let held = effective_in(status).unwrap_or(0);
        assert_eq!(require(held, Capability::NetAdmin), Ok(()));
        assert_eq!(require(held, Capability::NetRaw), Ok(()));
        let error = require(held, Capability::Bpf).expect_err("not in the set");
        assert_eq!(
            error.to_string(),
            "the capability CAP_BPF is missing; run this as root (sudo), or in a systemd unit with AmbientCapabilities=CAP_BPF"
        );
    }
}
