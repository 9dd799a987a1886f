//! Unicast on standby ports, for a bond of the kernel's own driver whose ports share its address.
//!
//! Bonding drops what comes in on a port that is not active, and with it what an access point or a switch delivers there
//! because it has heard of the bond's address there last. One program (`bpf/standby.bpf.c`) on the ingress of every port
//! hands up what is addressed to the bond, and leaves the rest to bonding. It does not know which port is active, so
//! nothing has to be done when that changes, and nothing is wrong when there is no daemon.
//!
//! Which bonds need it is not known here.

use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;

use super::kernel::{self, Program, StandbyMap};
use super::layout::Standby;
use super::tc::{Hook, Tc};
use super::{DatapathError, at};

/// What hands up unicast from standby ports of one bond. Dropping it leaves everything attached and working.
///
/// A later process makes another one, and attaches that in its place, which loses no frame: there is nothing to adopt.
///
/// It belongs to the network namespace of the thread that made it; ids of ports are interface indices there.
pub struct StandbyUnicast {
    bond: u32,
    mac: MacAddr,
    program: Program,
    map: StandbyMap,
    tc: Tc,
}

impl StandbyUnicast {
    /// Loads it for a bond, by its interface index. It is not attached anywhere yet.
    ///
    /// # Errors
    ///
    /// Without CAP_BPF (or CAP_SYS_ADMIN) and CAP_NET_ADMIN, and before Linux 5.12.
    pub fn load(bond: u32, mac: MacAddr) -> Result<Self, DatapathError> {
        let tc = Tc::open().map_err(DatapathError::Socket)?;
        let (program, mut map) = kernel::load_standby()?;
        map.set(Standby { ifindex: bond, mac: mac.0, reserved: 0 })?;
        Ok(Self { bond, mac, program, map, tc })
    }

    /// Frames to this address are handed up. Costs nothing where it is the present one.
    ///
    /// # Errors
    ///
    /// When the kernel does not take it, which it does.
    pub fn set_bond_mac(&mut self, mac: MacAddr) -> Result<(), DatapathError> {
        if mac != self.mac {
            self.map.set(Standby { ifindex: self.bond, mac: mac.0, reserved: 0 })?;
            self.mac = mac;
        }
        Ok(())
    }

    /// Attaches it to a port, in place of what an earlier process left there. It is no error when it is attached.
    /// Filters of others on the same hook stay.
    ///
    /// # Errors
    ///
    /// When there is no such interface, or the kernel has no clsact or no BPF filters.
    pub fn attach_port(&self, port: PortId) -> Result<(), DatapathError> {
        if self.is_attached(port)? {
            return Ok(());
        }
        self.tc.attach(port.0, Hook::Ingress, &self.program.fd).map_err(at(port.0))
    }

    /// Is it attached to this port? Asks the kernel.
    ///
    /// # Errors
    ///
    /// When the kernel does not say.
    pub fn is_attached(&self, port: PortId) -> Result<bool, DatapathError> {
        let id = self.tc.attached(port.0, Hook::Ingress).map_err(at(port.0))?;
        Ok(id == Some(self.program.id))
    }

    /// Takes off a port what this process or an earlier one attached for this bond, and leaves the interface's tc as it
    /// was found. It is no error when there is nothing, or the interface is gone; what another bond has there stays.
    ///
    /// # Errors
    ///
    /// When there is something of ours, and the kernel does not say for which bond, or does not remove it.
    pub fn clear_port(bond: u32, port: PortId) -> Result<(), DatapathError> {
        let tc = Tc::open().map_err(DatapathError::Socket)?;
        let Some(id) = tc.attached(port.0, Hook::Ingress).map_err(at(port.0))? else { return Ok(()) };
        let owner = kernel::find(id)?.map(|found| found.standby()).transpose()?.flatten();
        if owner == Some(bond) {
            tc.detach(port.0, Hook::Ingress).map_err(at(port.0))?;
        }
        Ok(())
    }
}
