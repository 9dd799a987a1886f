//! Static addresses and gateways of a bond.

use std::net::IpAddr;

use hitless_linux::address::Address;
use hitless_linux::error::RequestError;
use hitless_linux::netlink::Netlink;
use hitless_linux::route::Route;

use crate::config::IpConfig;

/// Gives a bond what `wanted` says and takes away what only `before` said; whatever else it has stays.
pub(super) async fn apply(
    netlink: &Netlink,
    bond: u32,
    before: &IpConfig,
    wanted: &IpConfig,
) -> Result<(), RequestError> {
    for gateway in before.gateways.iter().filter(|gateway| !wanted.gateways.contains(gateway)) {
        ignore_gone(netlink.remove_route(&default_route(*gateway, bond)).await)?;
    }
    for address in before.addresses.iter().filter(|address| !wanted.addresses.contains(address)) {
        ignore_gone(netlink.remove_address(bond, &static_address(*address)).await)?;
    }
    // Only what is not there: every change is an event, which ends up here again.
    let present = netlink.addresses(bond).await?;
    let lasting = |address: &Address, prefix_len| address.prefix_len == prefix_len && address.valid.is_none();
    for (address, prefix_len) in &wanted.addresses {
        if !present.iter().any(|there| there.address == *address && lasting(there, *prefix_len)) {
            netlink.replace_address(bond, &static_address((*address, *prefix_len))).await?;
        }
    }
    for gateway in &wanted.gateways {
        match netlink.add_route(&default_route(*gateway, bond)).await {
            Err(error) if error.is_exists() => warn_of_other(netlink, bond, *gateway).await?,
            result => result?,
        }
    }
    Ok(())
}

/// A route that is there already may be another one to the same place, which the kernel does not have twice.
async fn warn_of_other(netlink: &Netlink, bond: u32, gateway: IpAddr) -> Result<(), RequestError> {
    if !netlink.gateways(bond).await?.contains(&gateway) {
        tracing::warn!(%gateway, "not used: there is a default route of another interface; remove it (ip route delete default)");
    }
    Ok(())
}

fn static_address((address, prefix_len): (IpAddr, u8)) -> Address {
    // It moves between ports all the time: nobody else can have got it in between.
    Address::new(address, prefix_len).without_detection()
}

fn default_route(gateway: IpAddr, bond: u32) -> Route {
    Route::default_via(gateway, bond)
}

fn ignore_gone(result: Result<(), RequestError>) -> Result<(), RequestError> {
    match result {
        Err(error) if !error.is_gone() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
