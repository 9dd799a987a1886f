//! IPv6 addresses that end by themselves: which of them the bond goes on with, and which it only keeps until then.

use std::net::IpAddr;
use std::time::Duration;

use hitless_core::mac::MacAddr;
use hitless_linux::address::Address;

use super::survey::InUse;
use super::{Wish, is_of_the_link};

/// The bit of a hardware address that says that it is of local meaning only. Interface identifiers have it the other way
/// round.
const LOCAL: u8 = 0b10;

/// Who gave an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Giver {
    /// A router, which advertises the prefix.
    Router,
    /// A DHCPv6 server. Such an address stands for itself.
    Server,
}

/// Who gave this address, and how long it stays; `None`: it has no end, or is of the link, or of IPv4.
pub(super) fn given(address: &Address) -> Option<(Giver, Duration)> {
    let left = address.valid.filter(|_| address.address.is_ipv6() && !is_of_the_link(address))?;
    Some((if address.prefix_len == 128 { Giver::Server } else { Giver::Router }, left))
}

/// Was it made of what a router advertised and this hardware address? Then whoever has that makes it again.
pub(super) fn is_eui64(address: &Address, mac: MacAddr) -> bool {
    let IpAddr::V6(v6) = address.address else { return false };
    let by_router = given(address).is_some_and(|(giver, _)| giver == Giver::Router);
    by_router && v6.octets().ends_with(&interface_identifier(mac))
}

/// The interface identifier that is made of a hardware address (RFC 4291, appendix A).
fn interface_identifier(mac: MacAddr) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac.0;
    [a ^ LOCAL, b, c, 0xff, 0xfe, d, e, f]
}

/// A note for each address that the bond only has until it ends. Those that would change anyway are worth one if the session
/// goes by them. `goes_on`: does the bond go on with this one?
pub(super) fn notes(wish: &Wish<'_>, goes_on: impl Fn(&InUse, &Address, Giver) -> bool) -> Vec<String> {
    let of_session = |address: &Address| wish.session.is_some_and(|session| session.ip() == address.address);
    let mut notes = Vec::new();
    for (port, address) in wish.ports.iter().flat_map(|port| port.addresses.iter().map(move |it| (port, it)))
    {
        let Some((giver, left)) = given(address) else { continue };
        if goes_on(port, address, giver) || (address.is_temporary() && !of_session(address)) {
            continue;
        }
        let origin = match giver {
            Giver::Router => "was made of what routers advertise, and the bond makes another one",
            Giver::Server => {
                "was lent by DHCPv6 to somebody whom the bond cannot pass for: it is lent another one"
            }
        };
        let session = if of_session(address) { ", and the session that goes by it" } else { "" };
        notes.push(format!(
            "{} of {} {origin}; this one ends in {} s{session}",
            address.address,
            port.link.name,
            left.as_secs()
        ));
    }
    notes
}
