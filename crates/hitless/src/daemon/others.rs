//! Other programs that manage interfaces: told to leave ports alone, and told otherwise when bonds go.
//!
//! What an interface has is to be the bond's, and not to be cleared by whoever lets go of it. So it happens in two steps:
//! before ports are taken, those are told who leave an interface as it is; the others when ports have nothing any more.

use hitless_linux::link::Link;

use crate::causes::chain;
use crate::config::{Bond, Dhcp4};
use crate::managers::{self, Keeper, Kept, Outcome, Places, Told};

/// Keeps other managers off the ports of bonds.
#[derive(Debug)]
pub(super) struct Others {
    places: Places,
    keeper: Keeper,
    is_due: bool,
    /// What went wrong since ports were last about to be taken.
    complaints: Vec<String>,
}

impl Others {
    pub(super) fn new() -> Self {
        let places = Places::default();
        Self { keeper: Keeper::new(places.clone()), places, is_due: false, complaints: Vec::new() }
    }

    /// Ports of these bonds are about to be taken: what can be told now, without anything being lost, is told.
    /// [`Others::keep_off`] is due when they have been.
    pub(super) async fn prepare<'a>(&mut self, bonds: impl Iterator<Item = &'a Bond>) {
        self.is_due = true;
        let bonds = united(bonds.map(kept));
        self.complaints = report(self.keeper.prepare(&bonds).await);
    }

    /// Is there more to be told as soon as ports have been taken?
    pub(super) fn is_due(&self) -> bool {
        self.is_due
    }

    /// The ports of these bonds are ours, and nothing else is. A bond whose addresses come from another program is left to
    /// that.
    pub(super) async fn keep_off<'a>(&mut self, bonds: impl Iterator<Item = &'a Bond>) {
        self.is_due = false;
        let bonds: Vec<Kept> = bonds.map(kept).collect();
        self.complaints.extend(report(self.keeper.keep_off(&bonds).await));
        // Who cannot be told says the same each time.
        self.complaints.dedup();
    }

    /// Does a DHCPv4 client run on this interface? And by what would a server know it, if not by the hardware address?
    pub(super) fn client(&self, link: &Link) -> (bool, Option<Vec<u8>>) {
        let id = link.mac.and_then(|mac| managers::client_id(&self.places, &link.name, link.index, mac));
        (managers::has_client(&self.places, &link.name), id)
    }

    /// By what DHCPv6 servers know this interface, as far as that can be told.
    pub(super) fn client_id6(&self, link: &Link) -> Option<Vec<u8>> {
        managers::client_id6(&self.places, &link.name, link.index, link.mac?)
    }

    /// Does NetworkManager run here?
    pub(super) fn network_manager_runs(&self) -> bool {
        managers::network_manager_runs(&self.places)
    }

    /// Those that cannot be told, or were not, and what the user can do about them.
    pub(super) fn findings(&self, bond: &Bond) -> Vec<String> {
        let found = managers::findings(&self.places, &[kept(bond)]);
        self.complaints.iter().cloned().chain(found.iter().map(ToString::to_string)).collect()
    }

    /// Names those that cannot be told, and what the user can do about them.
    pub(super) fn warn_of<'a>(&self, bonds: impl Iterator<Item = &'a Bond>) {
        let bonds: Vec<Kept> = bonds.map(kept).collect();
        for finding in managers::findings(&self.places, &bonds) {
            tracing::warn!("{finding}");
        }
    }
}

/// Says what became of it; what went wrong is returned.
fn report(outcomes: Vec<Outcome>) -> Vec<String> {
    let mut complaints = Vec::new();
    for Outcome { manager, result } in outcomes {
        match result {
            Ok(Told::Now) => tracing::info!("{manager} knows which interfaces are ours"),
            Ok(Told::WhenItStarts) => {
                tracing::debug!("{manager} will know which interfaces are ours, should it start");
            }
            Ok(Told::NotThere | Told::Unchanged) => {}
            Err(error) => {
                let complaint = chain(&error);
                tracing::warn!("{complaint}");
                complaints.push(complaint);
            }
        }
    }
    complaints
}

/// One of each name, with the ports of all: a bond as it is and as it will be.
fn united(bonds: impl Iterator<Item = Kept>) -> Vec<Kept> {
    let mut united: Vec<Kept> = Vec::new();
    for bond in bonds {
        match united.iter_mut().find(|known| known.bond == bond.bond) {
            Some(known) => {
                known.external |= bond.external;
                let more = bond.interfaces.into_iter().filter(|name| !known.interfaces.contains(name));
                known.interfaces.extend(more.collect::<Vec<_>>());
            }
            None => united.push(bond),
        }
    }
    united
}

fn kept(bond: &Bond) -> Kept {
    Kept {
        bond: bond.name.clone(),
        interfaces: bond.options.ports.iter().map(ToString::to_string).collect(),
        external: bond.ip.dhcp4 == Dhcp4::External,
    }
}
