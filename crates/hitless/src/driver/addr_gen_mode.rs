//! What the kernel makes a bond's own IPv6 addresses of: link-local ones, and those of advertised prefixes.
//!
//! Made of the hardware address, as the kernel does by itself, they would change with it at a failover. Made of a secret
//! (RFC 7217), they do not. The kernel puts a permanent hardware address into the formula, too
//! (`ipv6_generate_stable_address`), which bonds and veths do not have.

use hitless_linux::error::RequestError;
use hitless_linux::sysctl::{Ipv6Setting, set_stable_secret};
use uuid::Uuid;

use crate::config::AddrGenMode;
use crate::machine_id::{self, machine_id};

/// What secrets are made in: not what DHCP identities are made in, which anyone on the network may read.
const NAMESPACE: Uuid = Uuid::from_u128(0x2c84_e1d0_37ab_4f5e_9b06_71f4_a85c_d293);

/// `IN6_ADDR_GEN_MODE_EUI64` (linux/if_link.h).
const EUI64: i32 = 0;

/// `IN6_ADDR_GEN_MODE_STABLE_PRIVACY`.
const STABLE_PRIVACY: i32 = 2;

/// Has the addresses made as chosen, from now on; those that the bond has stay. Where nothing is chosen: of a secret,
/// unless the administrator has told the kernel something else for all interfaces.
pub(super) fn choose(bond: &str, choice: Option<AddrGenMode>) -> Result<(), RequestError> {
    let Some(present) = Ipv6Setting::AddrGenMode.get(bond)? else { return Ok(()) };
    match choice {
        Some(AddrGenMode::Eui64) => Ipv6Setting::AddrGenMode.set(bond, EUI64).map(drop),
        Some(AddrGenMode::StablePrivacy) if present != STABLE_PRIVACY => make_stable(bond),
        None if present == EUI64 => make_stable(bond),
        Some(AddrGenMode::StablePrivacy) | None => Ok(()),
    }
}

fn make_stable(bond: &str) -> Result<(), RequestError> {
    let Some(machine) = machine_id() else {
        tracing::warn!(
            "{bond}: this machine has no identity in {}: IPv6 addresses are made of the hardware address, as with \
             addr-gen-mode = \"eui64\" (systemd-machine-id-setup makes one)",
            machine_id::PLACE
        );
        return Ok(());
    };
    set_stable_secret(bond, secret(&machine, bond)).map(drop)
}

/// Not kept anywhere, but worked out, so that a bond that is removed and made again has the same addresses.
fn secret(machine: &Uuid, bond: &str) -> u128 {
    let own = Uuid::new_v5(&NAMESPACE, machine.as_bytes());
    Uuid::new_v5(&own, bond.as_bytes()).as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Uuid = Uuid::from_u128(0x5f2a_9c0e_7b3d_4186_a0c2_e4f6_8091_b3d5);

    #[test]
    fn the_secret_is_the_same_for_ever() {
        let expected = 0x6fab_7c61_1f14_5402_abbd_1f64_156f_6248;
        assert_eq!(secret(&MACHINE, "bond0"), expected, "addresses must not change with a version");
    }

    #[test]
    fn bonds_differ_and_machines_differ() {
        let other = Uuid::from_u128(MACHINE.as_u128() + 1);
        assert_ne!(secret(&MACHINE, "bond0"), secret(&MACHINE, "bond1"));
        assert_ne!(secret(&MACHINE, "bond0"), secret(&other, "bond0"));
    }
}
