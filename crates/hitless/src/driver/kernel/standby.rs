//! Unicast on standby ports, where all ports share the bond's address: whether that takes anything, and by what.
//!
//! An access point delivers what is for the shared address to the Wi-Fi port, also while the cable is active, and
//! bonding drops it there. A program on the ports hands it up (`hitless_linux::ebpf::StandbyUnicast`). Where that
//! cannot be had, `all_slaves_active` is the second best, which is not set here: it delivers multicast twice.

use std::cell::RefCell;

use hitless_core::config::{BondConfig, FailOverMac};
use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_linux::ebpf::{DatapathError, StandbyUnicast};

use crate::causes::chain;

/// What the ports of one bond have for unicast while they stand by.
pub(super) struct Standby {
    bond: u32,
    state: RefCell<State>,
}

enum State {
    /// Nothing, and it takes nothing: they have addresses of their own, or hand up everything as configured.
    Unneeded,
    /// The program.
    Program(Box<StandbyUnicast>),
    /// Nothing, and it would take something: why.
    Missing(String),
}

impl std::fmt::Debug for Standby {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Standby").field("bond", &self.bond).finish_non_exhaustive()
    }
}

impl Standby {
    pub(super) fn new(bond: u32) -> Self {
        Self { bond, state: RefCell::new(State::Unneeded) }
    }

    /// Decides what it takes with these options. `kernel_probes`: the kernel's own ARP monitor is on.
    ///
    /// Ports are as before until [`Standby::keep`] or [`Standby::detach`].
    pub(super) fn decide(&self, options: &BondConfig, kernel_probes: bool, mac: MacAddr) {
        // Where all ports are in use, none stands by.
        let needed = options.mode.has_active_port()
            && options.fail_over_mac == FailOverMac::None
            && !options.all_slaves_active;
        let mut state = self.state.borrow_mut();
        *state = match std::mem::replace(&mut *state, State::Unneeded) {
            _ if !needed => State::Unneeded,
            // It has to see what comes in on its ports to know that they work.
            _ if kernel_probes => State::Missing("miimon = 0 leaves the probes to the kernel".to_owned()),
            State::Program(program) => State::Program(program),
            State::Unneeded | State::Missing(_) => match StandbyUnicast::load(self.bond, mac) {
                Ok(program) => State::Program(Box::new(program)),
                Err(error) => State::Missing(chain(&error)),
            },
        };
    }

    /// Do ports have the program?
    pub(super) fn is_program(&self) -> bool {
        matches!(*self.state.borrow(), State::Program(_))
    }

    /// Why ports do not have the program that they need.
    pub(super) fn missing(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Missing(why) => Some(why.clone()),
            State::Unneeded | State::Program(_) => None,
        }
    }

    /// Makes sure that a port has the program, for this address of the bond, if it takes that.
    pub(super) fn keep(&self, port: PortId, mac: MacAddr) -> Result<(), DatapathError> {
        match &mut *self.state.borrow_mut() {
            State::Program(program) => {
                program.set_bond_mac(mac)?;
                program.attach_port(port)
            }
            State::Unneeded | State::Missing(_) => Ok(()),
        }
    }

    /// A port that is there did not take the program.
    pub(super) fn give_up(&self, error: &DatapathError) {
        self.state.replace(State::Missing(chain(error)));
    }

    /// Takes the program off a port, also one that an earlier daemon put there.
    pub(super) fn detach(&self, port: PortId) -> Result<(), DatapathError> {
        StandbyUnicast::clear_port(self.bond, port)
    }
}
