//! What can be known to be wrong before anything is changed.

use super::RunError;
use crate::config::{Bond, Config};
use crate::driver::ebpf::parked_name;
use crate::driver::{self, DriverError, Tools};

/// Refuses a configuration whose ports, as far as they are there, belong to something else.
pub(super) async fn check(tools: &Tools, config: &Config) -> Result<(), RunError> {
    let links = tools.netlink.links().await?;
    for bond in &config.bonds {
        let own = links.iter().find(|link| link.name == bond.name).map_or(0, |link| link.index);
        refuse_parked_peers(config, bond)?;
        let named = bond.options.ports.iter().filter(|pattern| !pattern.is_glob());
        for port in named.filter_map(|pattern| links.iter().find(|link| pattern.matches(&link.name))) {
            driver::check_port(tools, bond, own, port)
                .await
                .map_err(|source| RunError::Bond { bond: bond.name.clone(), source: source.into() })?;
        }
    }
    Ok(())
}

/// Refuses ports by name that are, or are to be, parts of bonds.
fn refuse_parked_peers(config: &Config, bond: &Bond) -> Result<(), RunError> {
    let parked: Vec<String> = config.bonds.iter().map(|bond| parked_name(&bond.name)).collect();
    let mut named = bond.options.ports.iter().filter(|pattern| !pattern.is_glob()).map(ToString::to_string);
    match named.find(|port| parked.contains(port)) {
        None => Ok(()),
        Some(port) => {
            let source =
                DriverError::NotAPort { port, reason: "it is part of a bond itself, and bonds do not nest" };
            Err(RunError::Bond { bond: bond.name.clone(), source: source.into() })
        }
    }
}
