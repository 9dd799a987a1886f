//! By what DHCP servers know this machine and its bonds again, whatever hardware addresses those have.
//!
//! RFC 4361: an identity of the host (DUID) and one of the interface (IAID). Both are worked out and not kept, so that
//! a bond that is removed and made again is the same to servers.

use hitless_core::dhcp::{ClientId, Duid};
use uuid::Uuid;

use crate::config;
use crate::machine_id::{self, machine_id};

/// What names are made in, so that nobody can tell the machine's identity, which is confidential, by what servers are
/// told.
const NAMESPACE: Uuid = Uuid::from_u128(0x6b1f_7c52_9d0e_4a63_8f24_c5d8_3e90_a1b7);

/// Who a bond is to servers.
pub fn client_id(bond: &str, choice: &config::ClientId) -> ClientId {
    match choice {
        config::ClientId::Mac => ClientId::Mac,
        config::ClientId::Octets(octets) => ClientId::Octets(octets.clone()),
        config::ClientId::Duid => match machine_id() {
            Some(machine) => duid(&machine, bond),
            None => {
                tracing::warn!(
                    "{bond}: this machine has no identity in {}: to DHCP servers it is its hardware address, as with \
                     client-id = \"mac\" (systemd-machine-id-setup makes one)",
                    machine_id::PLACE
                );
                ClientId::Mac
            }
        },
    }
}

fn duid(machine: &Uuid, bond: &str) -> ClientId {
    let host = Uuid::new_v5(&NAMESPACE, machine.as_bytes());
    let [a, b, c, d, ..] = *Uuid::new_v5(&NAMESPACE, bond.as_bytes()).as_bytes();
    ClientId::Duid { iaid: u32::from_be_bytes([a, b, c, d]), duid: Duid::from_uuid(*host.as_bytes()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const MACHINE: &str = "5f2a9c0e7b3d4186a0c2e4f68091b3d5";

    #[test]
    fn it_is_the_same_for_ever_and_says_nothing_of_the_machine() {
        let machine = Uuid::try_parse(MACHINE).unwrap();
        let ClientId::Duid { iaid, duid } = duid(&machine, "bond0") else { panic!("a DUID") };
        // RFC 6355: type 4, and a UUID.
        assert_eq!(duid.octets()[..2], [0, 4]);
        assert_eq!(iaid, 0x68ce_7284, "what a server has once learnt must not change with a version");
        assert!(
            !duid.octets().windows(4).any(|octets| machine.as_bytes().windows(4).any(|own| own == octets))
        );
    }

    #[test]
    fn bonds_differ_and_machines_differ() {
        let machine = Uuid::try_parse(MACHINE).unwrap();
        let other = Uuid::from_u128(machine.as_u128() + 1);
        assert_ne!(duid(&machine, "bond0"), duid(&machine, "bond1"));
        assert_ne!(duid(&machine, "bond0"), duid(&other, "bond0"));
    }
}
