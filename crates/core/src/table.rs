//! What carries frames where: the forwarding table that a machine decides on and a driver carries out.
//!
//! The table is general: it can say what every mode needs. It is immutable and versioned; a change is a new table.

use crate::event::PortId;

/// The most ports that a table can name.
pub const MAX_PORTS: usize = 32;

/// The most flow buckets that a table can name.
pub const MAX_BUCKETS: usize = 256;

/// What may send, what may receive, and by which hash.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ForwardingTable {
    /// Which port each frame of the bond leaves by.
    pub transmit: Transmit,
    /// What is accepted on which port, in the order of their ids. A port that is not listed is not part of the bond.
    pub ports: Vec<TablePort>,
}

/// Which port a frame of the bond leaves by.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Transmit {
    /// No port: the bond has no carrier and drops what it is given.
    #[default]
    Nothing,
    /// Each frame by the bucket that its flow hashes to; at most [`MAX_BUCKETS`], never empty.
    /// Active-backup is the table with one bucket.
    Buckets(FlowHash, Vec<PortId>),
    /// Ports take turns, frame by frame; never empty.
    RoundRobin(Vec<PortId>),
    /// A copy of each frame to every one of the ports; never empty.
    Broadcast(Vec<PortId>),
}

/// What decides which frames belong to one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum FlowHash {
    /// Source and destination hardware address and ethertype.
    #[default]
    Layer2,
    /// Addresses and ports, as the kernel's flow dissector sees them.
    Layer34,
}

/// What is accepted on one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TablePort {
    /// The port.
    pub port: PortId,
    /// What it may receive.
    pub receive: Receive,
}

/// What a port may hand up to the bond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// Nothing.
    Nothing,
    /// Frames for the bond's own address (or the port's, readdressed to the bond) only: a standby port, on which nothing
    /// in flight may be lost but nothing may arrive twice, and nothing that a switch floods may come back.
    Unicast,
    /// Every frame.
    All,
}

impl Transmit {
    /// The ports that frames leave by; one may be there several times.
    pub fn ports(&self) -> &[PortId] {
        match self {
            Self::Nothing => &[],
            Self::Buckets(_, ports) | Self::RoundRobin(ports) | Self::Broadcast(ports) => ports,
        }
    }
}

impl ForwardingTable {
    /// The table of active-backup: `active` sends and hears everything, the other `attached` ports hear unicast.
    pub fn active_backup(active: Option<PortId>, attached: impl IntoIterator<Item = PortId>) -> Self {
        let receive = |port| if Some(port) == active { Receive::All } else { Receive::Unicast };
        let transmit = match active {
            Some(port) => Transmit::Buckets(FlowHash::Layer2, vec![port]),
            None => Transmit::Nothing,
        };
        Self { transmit, ports: table_ports(attached, receive) }
    }

    /// The table of balance-rr: the `usable` ports send in turn, and whatever comes in on an `attached` one is accepted. The
    /// other end decides which of them it takes, so each may be the only one that hears a frame.
    pub fn balance_rr(
        usable: impl IntoIterator<Item = PortId>,
        attached: impl IntoIterator<Item = PortId>,
    ) -> Self {
        let mut turns: Vec<PortId> = usable.into_iter().collect();
        turns.sort_unstable();
        let transmit = if turns.is_empty() { Transmit::Nothing } else { Transmit::RoundRobin(turns) };
        Self { transmit, ports: table_ports(attached, |_| Receive::All) }
    }

    /// The port that carries everything, where there is exactly one.
    pub fn active(&self) -> Option<PortId> {
        match &self.transmit {
            Transmit::Buckets(_, buckets) => match buckets.as_slice() {
                [port] => Some(*port),
                _ => None,
            },
            Transmit::Nothing | Transmit::RoundRobin(_) | Transmit::Broadcast(_) => None,
        }
    }
}

/// In the order of their ids.
fn table_ports(
    attached: impl IntoIterator<Item = PortId>,
    receive: impl Fn(PortId) -> Receive,
) -> Vec<TablePort> {
    let mut ports: Vec<TablePort> =
        attached.into_iter().map(|port| TablePort { port, receive: receive(port) }).collect();
    ports.sort_by_key(|entry| entry.port);
    ports
}
