//! The eBPF datapath of a bond: carries its frames by a forwarding table, in the kernel.
//!
//! ```text
//!             ┌ egress ──▶ table.transmit ──▶ port           map hl_head    ─▶ the version in force
//!  the bond ──┤                                              map hl_tables  ─▶ eight versions of the table
//!             └ ingress ◀─ table.ports ◀── ingress of a port  map hl_counters
//! ```
//!
//! One program (`bpf/hitless.bpf.c`) hangs on the egress of the bond and on the ingress of every port, by tc filters that
//! belong to the interfaces and not to a process. So frames keep flowing when the process that made all this ends, no
//! matter how, and the next one finds the program through the filter on the bond ([`Datapath::adopt`]), the maps
//! through the program, and changes nothing. The filter on the bond also keeps the program for ports to come.
//!
//! Beside it, for bonds that the kernel's own driver carries: [`StandbyUnicast`].
//!
//! What the table says is decided in `hitless-core`. Interfaces are not made, configured or watched here.
//!
//! A [`Datapath`] belongs to the network namespace of the thread that made it; ids of ports are interface indices there.

mod image;
mod kernel;
mod layout;
mod load;
mod standby;
mod tc;

use std::collections::BTreeMap;

use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_core::table::ForwardingTable;

pub use self::image::TableError;
use self::image::{Addresses, Counters};
pub use self::kernel::BpfError;
use self::kernel::{Maps, Program};
use self::layout::{COUNTER_BOND, Head, LAYOUT};
pub use self::standby::StandbyUnicast;
pub use self::tc::TcError;
use self::tc::{Hook, Tc};

/// Why the datapath could not be made, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The kernel's bpf refused.
    #[error(transparent)]
    Bpf(#[from] BpfError),
    /// The program could not be attached to an interface, or looked for there.
    #[error("{}", on(*.ifindex))]
    Tc {
        /// The interface's index.
        ifindex: u32,
        /// Why.
        source: TcError,
    },
    /// Interfaces could not be talked about with the kernel at all.
    #[error(transparent)]
    Socket(TcError),
    /// Another version of hitless left a datapath here that this one does not understand.
    #[error(
        "{} carries frames by the datapath of another version of hitless (map layout {found}, this one has {LAYOUT}); \
         make a new one in its place",
        on(*.bond)
    )]
    Layout {
        /// The bond's interface index.
        bond: u32,
        /// The number of its layout.
        found: u32,
    },
    /// The port belongs to another bond.
    #[error("{} is a port of another bond, {}; remove it there first", on(*.port), on(*.bond))]
    PortInUse {
        /// The port's interface index.
        port: u32,
        /// The interface index of the bond that has it.
        bond: u32,
    },
    /// The table cannot be carried out.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// How a message names an interface.
fn on(ifindex: u32) -> String {
    name(ifindex).unwrap_or_else(|| format!("interface {ifindex}"))
}

/// The name of an interface; `None`: it is gone.
fn name(ifindex: u32) -> Option<String> {
    let name = nix::net::if_::if_indextoname(ifindex).ok()?;
    // For one that is gone, nix (0.31) takes the null that it gets for success.
    Some(name.to_string_lossy().into_owned()).filter(|name| !name.is_empty())
}

fn at(ifindex: u32) -> impl Fn(TcError) -> DatapathError {
    move |source| DatapathError::Tc { ifindex, source }
}

/// What happened to frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatapathCounters {
    /// By port, for the ports of the table in force; from zero when a port comes into the table.
    pub ports: BTreeMap<PortId, PortCounters>,
    /// Frames of the bond that were dropped because there was no port to send them by.
    pub no_port: u64,
}

/// What happened to frames on one port. What the kernel merges (GRO, GSO) counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Given to the port by the bond.
    pub sent: u64,
    /// Handed up to the bond.
    pub received: u64,
    /// Not accepted: on a standby port what is not addressed to the bond, everything where the table says so.
    pub refused: u64,
    /// Link-local control frames (LACP, LLDP, EAPOL …), left to the port's own stack.
    pub control: u64,
}

/// Takes off a port what hands its frames to a bond that is gone, on whichever driver that was, and leaves the
/// interface's tc as it was found. It is no error when there is nothing, or the interface is gone; what belongs to a bond
/// that is there stays.
///
/// # Errors
///
/// When there is something of ours, and the kernel does not say for which bond, or does not remove it.
pub fn clear_orphan(port: PortId) -> Result<(), DatapathError> {
    let tc = Tc::open().map_err(DatapathError::Socket)?;
    let Some(id) = tc.attached(port.0, Hook::Ingress).map_err(at(port.0))? else { return Ok(()) };
    let Some(found) = kernel::find(id)? else { return Ok(()) };
    let bond = match found.head()? {
        Some(head) => Some(head.bond),
        None => found.standby()?,
    };
    if bond.and_then(name).is_some() {
        return Ok(());
    }
    tc.detach(port.0, Hook::Ingress).map_err(at(port.0))
}

/// The datapath of one bond. Dropping it leaves everything attached and forwarding.
pub struct Datapath {
    bond: u32,
    program: Program,
    maps: Maps,
    tc: Tc,
}

impl Datapath {
    /// Makes a datapath and attaches it to the bond, an interface by its index, with a table by which nothing is sent
    /// or received. One that is attached already is replaced, and with it its table; ports keep carrying frames by
    /// the old one until [`Datapath::attach_port`].
    ///
    /// Takes some milliseconds, for the kernel's verifier. Needs CAP_BPF (or CAP_SYS_ADMIN) and CAP_NET_ADMIN.
    pub fn create(bond: u32) -> Result<Self, DatapathError> {
        let tc = Tc::open().map_err(DatapathError::Socket)?;
        let (program, mut maps) = kernel::load()?;
        let head = Head { version: 1, layout: LAYOUT, bond };
        maps.prepare(&image::empty(bond, head.version))?;
        maps.commit(head)?;
        tc.attach(bond, Hook::Egress, &program.fd).map_err(at(bond))?;
        Ok(Self { bond, program, maps, tc })
    }

    /// Finds the datapath that an earlier process left on this bond and takes it over, without changing anything.
    /// `None` where there is none (or no such interface). Needs CAP_SYS_ADMIN: programs are found by their ids.
    ///
    /// # Errors
    ///
    /// [`DatapathError::Layout`] where it is of another version: [`Datapath::create`] replaces it.
    pub fn adopt(bond: u32) -> Result<Option<Self>, DatapathError> {
        let tc = Tc::open().map_err(DatapathError::Socket)?;
        let Some(id) = tc.attached(bond, Hook::Egress).map_err(at(bond))? else { return Ok(None) };
        let Some(found) = kernel::find(id)? else { return Ok(None) };
        match found.head()? {
            Some(Head { layout: LAYOUT, .. }) => {}
            Some(Head { layout, .. }) => return Err(DatapathError::Layout { bond, found: layout }),
            None => return Err(DatapathError::Layout { bond, found: 0 }),
        }
        let (program, maps) = found.open()?;
        Ok(Some(Self { bond, program, maps, tc }))
    }

    /// Puts a table in force, in one step: each frame goes by the old table or by the new one. Says its version.
    ///
    /// `bond_mac` is the bond's address and `port_macs` those that ports have of their own: a frame that comes in for
    /// the port's address, where that is another, is readdressed to the bond. Ports that are not in it are left alone.
    ///
    /// [`hitless_core::table::Receive::Unicast`] means frames to one of these addresses; not those to other stations,
    /// which a switch floods to every port when it does not know better.
    pub fn program(
        &mut self,
        table: &ForwardingTable,
        bond_mac: MacAddr,
        port_macs: &BTreeMap<PortId, MacAddr>,
    ) -> Result<u64, DatapathError> {
        // Read and not remembered: a version that another handle has put in force must not be written over.
        let head = self.maps.head()?;
        let present = self.counters_in_force(head)?;
        let (counters, new) = image::assign_counters(table, &present)?;
        let version = head.version.wrapping_add(1);
        let addresses = Addresses { bond: bond_mac, ports: port_macs };
        let image = image::encode(table, addresses, &counters, self.bond, version)?;
        for port in new {
            if let Some(index) = counters.get(&port) {
                self.maps.reset_counter((*index).into())?;
            }
        }
        self.maps.prepare(&image)?;
        self.maps.commit(Head { version, layout: LAYOUT, bond: self.bond })?;
        Ok(version)
    }

    /// The table that is in force, as the kernel has it.
    pub fn table(&self) -> Result<ForwardingTable, DatapathError> {
        let image = self.maps.table(self.maps.head()?)?;
        Ok(image::decode(&image)?)
    }

    /// The version of the table that is in force.
    pub fn version(&self) -> Result<u64, DatapathError> {
        Ok(self.maps.head()?.version)
    }

    /// Could this interface be a port? Changes nothing.
    ///
    /// # Errors
    ///
    /// [`DatapathError::PortInUse`] where it belongs to the datapath of another bond that is still there.
    pub fn check_port(&self, port: PortId) -> Result<(), DatapathError> {
        match self.tc.attached(port.0, Hook::Ingress).map_err(at(port.0))? {
            Some(id) if id != self.program.id => self.refuse_other_bond(port, id),
            Some(_) | None => Ok(()),
        }
    }

    /// Attaches the datapath to an interface as a port. What the port may carry is up to the table: one that is not in
    /// it works as before. It is no error when it is attached.
    ///
    /// Filters of others on the same hook stay. Those that come after ours see control frames only.
    ///
    /// # Errors
    ///
    /// [`DatapathError::PortInUse`] where the port belongs to the datapath of another bond that is still there.
    pub fn attach_port(&mut self, port: PortId) -> Result<(), DatapathError> {
        match self.tc.attached(port.0, Hook::Ingress).map_err(at(port.0))? {
            Some(id) if id == self.program.id => return Ok(()),
            Some(id) => self.refuse_other_bond(port, id)?,
            None => {}
        }
        self.tc.attach(port.0, Hook::Ingress, &self.program.fd).map_err(at(port.0))
    }

    /// Takes the datapath off a port, and leaves the interface's tc as it was found. It is no error when it is not
    /// attached, or the interface is gone; what another bond has there stays.
    pub fn detach_port(&mut self, port: PortId) -> Result<(), DatapathError> {
        if self.is_attached(port)? {
            self.tc.detach(port.0, Hook::Ingress).map_err(at(port.0))?;
        }
        Ok(())
    }

    /// Is the datapath attached to this port? Asks the kernel.
    pub fn is_attached(&self, port: PortId) -> Result<bool, DatapathError> {
        let id = self.tc.attached(port.0, Hook::Ingress).map_err(at(port.0))?;
        Ok(id == Some(self.program.id))
    }

    /// Is the datapath still attached to the bond? Asks the kernel.
    pub fn is_attached_to_bond(&self) -> Result<bool, DatapathError> {
        let id = self.tc.attached(self.bond, Hook::Egress).map_err(at(self.bond))?;
        Ok(id == Some(self.program.id))
    }

    /// What happened to frames so far.
    pub fn counters(&self) -> Result<DatapathCounters, DatapathError> {
        let mut counters =
            DatapathCounters { no_port: self.maps.counter(COUNTER_BOND)?.dropped, ports: BTreeMap::new() };
        for (port, index) in self.counters_in_force(self.maps.head()?)? {
            let counter = self.maps.counter(index.into())?;
            let counter = PortCounters {
                sent: counter.sent,
                received: counter.received,
                refused: counter.dropped,
                control: counter.control,
            };
            counters.ports.insert(port, counter);
        }
        Ok(counters)
    }

    fn counters_in_force(&self, head: Head) -> Result<Counters, DatapathError> {
        Ok(image::counters_of(&self.maps.table(head)?))
    }

    /// An error if this program, which is attached to `port`, belongs to another bond that is still there. What an
    /// earlier datapath of this bond, or a bond that is gone, left on the port may be replaced.
    fn refuse_other_bond(&self, port: PortId, program: u32) -> Result<(), DatapathError> {
        let Some(head) = kernel::find(program)?.map(|found| found.head()).transpose()?.flatten() else {
            return Ok(());
        };
        let in_use = head.bond != self.bond
            && self.tc.attached(head.bond, Hook::Egress).map_err(at(head.bond))? == Some(program);
        if in_use { Err(DatapathError::PortInUse { port: port.0, bond: head.bond }) } else { Ok(()) }
    }
}
