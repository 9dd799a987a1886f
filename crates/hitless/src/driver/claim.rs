//! One daemon for one bond: two of them, on sockets of their own, would undo each other's work.
//!
//! The claim is an abstract Unix socket (unix(7)). Its name exists once in a network namespace, as the bond's does, and
//! it ends with the process, however that ends.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use nix::unistd::geteuid;

use super::DriverError;

/// A bond that is ours for as long as this lives. `None`: somebody who may not have it keeps the name from us.
#[derive(Debug)]
pub(super) struct Claim {
    _holder: Option<UnixListener>,
}

/// Claims a bond.
pub(super) fn claim(bond: &str) -> Result<Claim, DriverError> {
    let failed = |source| DriverError::Claim { bond: bond.to_owned(), source };
    let name = SocketAddr::from_abstract_name(format!("hitless/bond/{bond}")).map_err(failed)?;
    match UnixListener::bind_addr(&name) {
        Ok(listener) => Ok(Claim { _holder: Some(listener) }),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_entitled(&name) => {
            Err(DriverError::OtherDaemon { bond: bond.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            tracing::warn!(
                bond,
                "someone without rights holds the name by which a second daemon would be noticed"
            );
            Ok(Claim { _holder: None })
        }
        Err(error) => Err(failed(error)),
    }
}

/// Does the name belong to someone who could run a daemon? Anyone may take a name; it must not keep us from running.
fn is_entitled(name: &SocketAddr) -> bool {
    let holder = UnixStream::connect_addr(name).and_then(|stream| Ok(getsockopt(&stream, PeerCredentials)?));
    // One that cannot be asked may just be ending, or too busy: then rather not.
    holder.map_or(true, |holder| holder.uid() == 0 || holder.uid() == geteuid().as_raw())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_bond_is_claimed_once_at_a_time() {
        let bond = format!("test{}", std::process::id());
        let first = claim(&bond).unwrap();
        assert!(matches!(claim(&bond), Err(DriverError::OtherDaemon { .. })));
        drop(first);
        drop(claim(&bond).unwrap());
    }
}
