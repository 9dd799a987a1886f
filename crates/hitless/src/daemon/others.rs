//! Other programs that manage interfaces: told to leave ports alone before one is touched, and told otherwise when bonds go.

use hitless_linux::link::Link;

use crate::causes::chain;
use crate::config::{Bond, Dhcp4};
use crate::managers::{self, Keeper, Kept, Outcome, Places, Told};

/// Keeps other managers off the ports of bonds.
#[derive(Debug)]
pub(super) struct Others {
    places: Places,
    keeper: Keeper,
}

impl Others {
    pub(super) fn new() -> Self {
        let places = Places::default();
        Self { keeper: Keeper::new(places.clone()), places }
    }

    /// The ports of these bonds are ours, and nothing else is. A bond whose addresses come from another program is left to
    /// that.
    pub(super) async fn keep_off<'a>(&mut self, bonds: impl Iterator<Item = &'a Bond>) {
        let bonds: Vec<Kept> = bonds.map(kept).collect();
        for Outcome { manager, result } in self.keeper.keep_off(&bonds).await {
            match result {
                Ok(Told::Now) => tracing::info!("{manager} knows which interfaces are ours"),
                Ok(Told::WhenItStarts) => {
                    tracing::debug!("{manager} will know which interfaces are ours, should it start");
                }
                Ok(Told::NotThere | Told::Unchanged) => {}
                Err(error) => tracing::warn!("{}", chain(&error)),
            }
        }
    }

    /// Does a DHCPv4 client run on this interface? And by what would a server know it, if not by the hardware address?
    pub(super) fn client(&self, link: &Link) -> (bool, Option<Vec<u8>>) {
        let id = link.mac.and_then(|mac| managers::client_id(&self.places, &link.name, link.index, mac));
        (managers::has_client(&self.places, &link.name), id)
    }

    /// Those that cannot be told, and what the user can do about them.
    pub(super) fn findings(&self, bond: &Bond) -> Vec<String> {
        managers::findings(&self.places, &[kept(bond)]).iter().map(ToString::to_string).collect()
    }

    /// Names those that cannot be told, and what the user can do about them.
    pub(super) fn warn_of<'a>(&self, bonds: impl Iterator<Item = &'a Bond>) {
        let bonds: Vec<Kept> = bonds.map(kept).collect();
        for finding in managers::findings(&self.places, &bonds) {
            tracing::warn!("{finding}");
        }
    }
}

fn kept(bond: &Bond) -> Kept {
    Kept {
        bond: bond.name.clone(),
        interfaces: bond.options.ports.iter().map(ToString::to_string).collect(),
        external: bond.ip.dhcp4 == Dhcp4::External,
    }
}
