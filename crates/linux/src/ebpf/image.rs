//! A forwarding table as the bytes that the datapath reads, and back.
//!
//! Pure: getting the bytes into the kernel is not done here but in the parent module.

use std::collections::{BTreeMap, BTreeSet};

use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_core::table::{FlowHash, ForwardingTable, Receive, TablePort, Transmit};

use super::layout::{
    self, LAYOUT, MAX_PORTS, MAX_SEQUENCE, RX_PLACES, Rx, Table, Tx, hash, receive, transmit,
};

/// A forwarding table that the datapath cannot carry out, or bytes that are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// More ports than the datapath has room for.
    #[error("the forwarding table names {0} ports; the ebpf driver takes at most {MAX_PORTS}")]
    TooManyPorts(usize),
    /// A longer sequence of ports to send by than the datapath has room for.
    #[error(
        "the forwarding table has {found} transmit entries; the ebpf driver takes at most {max} in this mode"
    )]
    TooLong {
        /// Its length.
        found: usize,
        /// What is possible: 256, or 32 for broadcast.
        max: usize,
    },
    /// It sends by a policy that needs a port, and names none.
    #[error("the forwarding table sends by no port; a bond without one has `Transmit::Nothing`")]
    Empty,
    /// A port is listed twice.
    #[error("{0} is in the forwarding table twice")]
    Duplicate(PortId),
    /// A port that no interface can be: index 0, or the bond itself.
    #[error("{0} cannot be a port of this bond")]
    NotAPort(PortId),
    /// The table that was read from the kernel is none that this version writes.
    #[error("the forwarding table in the kernel cannot be read: {0}; recreate the bond")]
    Unreadable(&'static str),
}

/// Which counter belongs to which port.
pub(super) type Counters = BTreeMap<PortId, u8>;

/// The hardware addresses that a table goes with.
#[derive(Clone, Copy)]
pub(super) struct Addresses<'a> {
    pub(super) bond: MacAddr,
    pub(super) ports: &'a BTreeMap<PortId, MacAddr>,
}

/// Gives every port of `table` a counter: the one it has, else a free one. Says which ports are new.
pub(super) fn assign_counters(
    table: &ForwardingTable,
    present: &Counters,
) -> Result<(Counters, Vec<PortId>), TableError> {
    let named: BTreeSet<PortId> =
        table.ports.iter().map(|entry| entry.port).chain(table.transmit.ports().iter().copied()).collect();
    if named.len() > MAX_PORTS {
        return Err(TableError::TooManyPorts(named.len()));
    }
    let mut counters: Counters = present
        .iter()
        .filter(|(port, _)| named.contains(port))
        .map(|(port, index)| (*port, *index))
        .collect();
    let taken: BTreeSet<u8> = counters.values().copied().collect();
    let new: Vec<PortId> = named.into_iter().filter(|port| !counters.contains_key(port)).collect();
    // There are as many counters as ports, so there is one for each.
    counters.extend(new.iter().copied().zip((0..=u8::MAX).filter(|index| !taken.contains(index))));
    Ok((counters, new))
}

/// The bytes for a table; `counters` must have every port of it.
pub(super) fn encode(
    table: &ForwardingTable,
    addresses: Addresses<'_>,
    counters: &Counters,
    bond: u32,
    version: u64,
) -> Result<Table, TableError> {
    let mut image = empty(bond, version);
    image.bond_mac = addresses.bond.0;
    encode_transmit(&table.transmit, counters, &mut image)?;
    for entry in &table.ports {
        place(encode_port(*entry, addresses, counters), &mut image)?;
    }
    Ok(image)
}

/// A table in which no port is in the bond and nothing is sent.
pub(super) fn empty(bond: u32, version: u64) -> Table {
    Table {
        version,
        layout: LAYOUT,
        bond,
        transmit: transmit::NOTHING,
        hash: hash::LAYER2,
        length: 0,
        bond_mac: [0; 6],
        ports: 0,
        reserved: 0,
        tx: [Tx::default(); MAX_PORTS],
        sequence: [0; MAX_SEQUENCE],
        rx: [Rx::default(); RX_PLACES],
    }
}

fn encode_transmit(policy: &Transmit, counters: &Counters, image: &mut Table) -> Result<(), TableError> {
    let (number, max) = match policy {
        Transmit::Nothing => return Ok(()),
        Transmit::Buckets(flow, _) => {
            image.hash = match flow {
                FlowHash::Layer2 => hash::LAYER2,
                FlowHash::Layer34 => hash::LAYER34,
            };
            (transmit::BUCKETS, MAX_SEQUENCE)
        }
        Transmit::RoundRobin(_) => (transmit::ROUND_ROBIN, MAX_SEQUENCE),
        Transmit::Broadcast(_) => (transmit::BROADCAST, MAX_PORTS),
    };
    let ports = policy.ports();
    if ports.is_empty() {
        return Err(TableError::Empty);
    }
    let too_long = || TableError::TooLong { found: ports.len(), max };
    image.transmit = number;
    image.length = u16::try_from(ports.len()).ok().filter(|n| usize::from(*n) <= max).ok_or_else(too_long)?;
    for (element, port) in image.sequence.iter_mut().zip(ports) {
        *element = tx_index(*port, image.bond, counters, &mut image.tx, &mut image.ports)?;
    }
    Ok(())
}

/// Where a port is among those that frames leave by; added at the end if it is new.
fn tx_index(
    port: PortId,
    bond: u32,
    counters: &Counters,
    tx: &mut [Tx; MAX_PORTS],
    used: &mut u16,
) -> Result<u8, TableError> {
    if port.0 == 0 || port.0 == bond {
        return Err(TableError::NotAPort(port));
    }
    let end = usize::from(*used);
    let index = tx.iter().take(end).position(|entry| entry.ifindex == port.0).unwrap_or(end);
    let entry = tx.get_mut(index).ok_or(TableError::TooManyPorts(end + 1))?;
    if index == end {
        *entry = Tx { ifindex: port.0, counter: counter(port, counters).into() };
        *used += 1;
    }
    u8::try_from(index).map_err(|_| TableError::TooManyPorts(index))
}

fn counter(port: PortId, counters: &Counters) -> u8 {
    counters.get(&port).copied().unwrap_or_default()
}

fn encode_port(entry: TablePort, addresses: Addresses<'_>, counters: &Counters) -> Rx {
    let mac = addresses.ports.get(&entry.port).copied().unwrap_or_default();
    let accepted = match entry.receive {
        Receive::Nothing => 0,
        Receive::Unicast => receive::OWN,
        Receive::All => receive::OWN | receive::OTHER,
    };
    let readdress = mac.is_station() && addresses.bond.is_station() && mac != addresses.bond;
    Rx {
        ifindex: entry.port.0,
        receive: accepted | if readdress { receive::READDRESS } else { 0 },
        counter: counter(entry.port, counters),
        mac: mac.0,
    }
}

/// Puts a port where the datapath will look for it.
fn place(rx: Rx, image: &mut Table) -> Result<(), TableError> {
    let port = PortId(rx.ifindex);
    if port.0 == 0 || port.0 == image.bond {
        return Err(TableError::NotAPort(port));
    }
    let first = rx.ifindex as usize % RX_PLACES;
    let order = (first..RX_PLACES).chain(0..first);
    for index in order {
        match image.rx.get_mut(index) {
            Some(there) if there.ifindex == 0 => {
                *there = rx;
                return Ok(());
            }
            Some(there) if there.ifindex == rx.ifindex => return Err(TableError::Duplicate(port)),
            Some(_) | None => {}
        }
    }
    Err(TableError::TooManyPorts(RX_PLACES))
}

/// The table that these bytes are.
pub(super) fn decode(image: &Table) -> Result<ForwardingTable, TableError> {
    let transmit = decode_transmit(image)?;
    let mut ports = Vec::new();
    for rx in image.rx.iter().filter(|rx| rx.ifindex != 0) {
        let accepted = rx.receive & (receive::OWN | receive::OTHER);
        let receive = match accepted {
            0 => Receive::Nothing,
            receive::OWN => Receive::Unicast,
            _ if accepted == receive::OWN | receive::OTHER => Receive::All,
            _ => return Err(TableError::Unreadable("unknown receive policy")),
        };
        ports.push(TablePort { port: PortId(rx.ifindex), receive });
    }
    ports.sort_by_key(|entry| entry.port);
    Ok(ForwardingTable { transmit, ports })
}

fn decode_transmit(image: &Table) -> Result<Transmit, TableError> {
    let ports = image
        .sequence
        .iter()
        .take(image.length.into())
        .map(|index| image.tx.get(usize::from(*index)).map(|tx| PortId(tx.ifindex)))
        .collect::<Option<Vec<PortId>>>()
        .ok_or(TableError::Unreadable("a port that is not in it"))?;
    match (image.transmit, image.hash, ports.is_empty()) {
        (transmit::NOTHING, _, true) => Ok(Transmit::Nothing),
        (transmit::BUCKETS, hash::LAYER2, false) => Ok(Transmit::Buckets(FlowHash::Layer2, ports)),
        (transmit::BUCKETS, hash::LAYER34, false) => Ok(Transmit::Buckets(FlowHash::Layer34, ports)),
        (transmit::ROUND_ROBIN, _, false) => Ok(Transmit::RoundRobin(ports)),
        (transmit::BROADCAST, _, false) => Ok(Transmit::Broadcast(ports)),
        _ => Err(TableError::Unreadable("unknown transmit policy")),
    }
}

/// Which counters the ports of a table have.
pub(super) fn counters_of(image: &Table) -> Counters {
    let tx = image.tx.iter().take(image.ports.into()).map(|tx| (tx.ifindex, u8::try_from(tx.counter)));
    let rx = image.rx.iter().filter(|rx| rx.ifindex != 0).map(|rx| (rx.ifindex, Ok(rx.counter)));
    tx.chain(rx)
        .filter_map(|(ifindex, index)| Some((PortId(ifindex), index.ok()?)))
        .filter(|(_, index)| u32::from(*index) < layout::COUNTER_BOND)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const BOND: u32 = 7;

    fn write(table: &ForwardingTable) -> Result<Table, TableError> {
        let (counters, _) = assign_counters(table, &Counters::new())?;
        encode(table, Addresses { bond: MacAddr([2; 6]), ports: &BTreeMap::new() }, &counters, BOND, 1)
    }

    /// Up to 32 ports that may be any interfaces, next to each other or in the same place.
    fn any_ports() -> impl Strategy<Value = Vec<PortId>> {
        let index = prop_oneof![8u32..80, any::<u32>(), (1u32..40).prop_map(|n| 64 * n + 1)];
        prop::collection::btree_set(index.prop_filter("a port", |n| *n != 0 && *n != BOND), 1..=MAX_PORTS)
            .prop_map(|set| set.into_iter().map(PortId).collect())
    }

    fn any_table() -> impl Strategy<Value = ForwardingTable> {
        any_ports().prop_flat_map(|ports| {
            let some = |max| prop::collection::vec(prop::sample::select(ports.clone()), 1..=max);
            let transmit = prop_oneof![
                Just(Transmit::Nothing),
                (any::<bool>(), some(MAX_SEQUENCE)).prop_map(|(deep, ports)| {
                    Transmit::Buckets(if deep { FlowHash::Layer34 } else { FlowHash::Layer2 }, ports)
                }),
                some(MAX_SEQUENCE).prop_map(Transmit::RoundRobin),
                some(MAX_PORTS).prop_map(Transmit::Broadcast),
            ];
            let policy = prop::sample::select(vec![Receive::Nothing, Receive::Unicast, Receive::All]);
            let receive = prop::collection::vec(prop::option::of(policy), ports.len());
            (transmit, receive).prop_map(move |(transmit, receive)| {
                let heard = ports.iter().zip(receive).filter_map(|(port, receive)| Some((*port, receive?)));
                let ports = heard.map(|(port, receive)| TablePort { port, receive }).collect();
                ForwardingTable { transmit, ports }
            })
        })
    }

    /// What the datapath does to find a port.
    fn find(image: &Table, port: PortId) -> Option<Rx> {
        (0..RX_PLACES)
            .map(|n| image.rx[(port.0 as usize + n) % RX_PLACES])
            .take_while(|rx| rx.ifindex != 0)
            .find(|rx| rx.ifindex == port.0)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(table in any_table()) {
            let image = write(&table).unwrap();
            prop_assert_eq!(decode(&image).unwrap(), table);
        }

        #[test]
        fn every_port_is_found_and_no_other(table in any_table(), stranger: u32) {
            let image = write(&table).unwrap();
            for entry in &table.ports {
                prop_assert_eq!(find(&image, entry.port).map(|rx| rx.ifindex), Some(entry.port.0));
            }
            if table.ports.iter().all(|entry| entry.port.0 != stranger) {
                prop_assert_eq!(find(&image, PortId(stranger)), None);
            }
        }

        #[test]
        fn counters_stay_with_their_ports(before in any_table(), after in any_table()) {
            let (old, _) = assign_counters(&before, &Counters::new()).unwrap();
            let (new, fresh) = assign_counters(&after, &old).unwrap();
            for (port, index) in &new {
                prop_assert!(usize::from(*index) < MAX_PORTS);
                prop_assert_eq!(!old.contains_key(port), fresh.contains(port));
                prop_assert!(old.get(port).is_none_or(|before| before == index));
            }
            let distinct: BTreeSet<u8> = new.values().copied().collect();
            prop_assert_eq!(distinct.len(), new.len());
            let addresses = Addresses { bond: MacAddr([2; 6]), ports: &BTreeMap::new() };
            prop_assert_eq!(counters_of(&encode(&after, addresses, &new, BOND, 2).unwrap()), new);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 32..=32)) {
            let mut image = empty(BOND, 1);
            image.transmit = bytes[0];
            image.hash = bytes[1];
            image.length = u16::from_ne_bytes([bytes[2], bytes[3]]);
            image.sequence[..28].copy_from_slice(&bytes[4..]);
            image.rx[0] = Rx { ifindex: 64, receive: bytes[4], counter: bytes[5], mac: [0; 6] };
            let _ = decode(&image);
            let _ = counters_of(&image);
        }
    }

    #[test]
    fn one_port_is_the_first() {
        let table = ForwardingTable::active_backup(Some(PortId(9)), [PortId(8), PortId(9)]);
        let image = write(&table).unwrap();
        assert_eq!((image.length, image.sequence[0], image.tx[0].ifindex), (1, 0, 9));
    }

    #[test]
    fn refuses_what_it_cannot_carry_out() {
        let port = |n| TablePort { port: PortId(n), receive: Receive::All };
        let with = |transmit, ports| write(&ForwardingTable { transmit, ports }).unwrap_err();
        let many: Vec<PortId> = (100..133).map(PortId).collect();
        let long = vec![PortId(1); 257];
        assert_eq!(with(Transmit::RoundRobin(vec![]), vec![]), TableError::Empty);
        assert_eq!(with(Transmit::RoundRobin(many.clone()), vec![]), TableError::TooManyPorts(33));
        assert_eq!(
            with(Transmit::RoundRobin(long.clone()), vec![]),
            TableError::TooLong { found: 257, max: 256 }
        );
        let broadcast = long.iter().copied().take(33).collect();
        assert_eq!(with(Transmit::Broadcast(broadcast), vec![]), TableError::TooLong { found: 33, max: 32 });
        assert_eq!(with(Transmit::Nothing, vec![port(3), port(3)]), TableError::Duplicate(PortId(3)));
        assert_eq!(with(Transmit::Nothing, vec![port(BOND)]), TableError::NotAPort(PortId(BOND)));
        assert_eq!(with(Transmit::Broadcast(vec![PortId(0)]), vec![]), TableError::NotAPort(PortId(0)));
    }

    #[test]
    fn readdresses_only_what_has_another_address() {
        let [bond, own] = [MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2])];
        let table = ForwardingTable::active_backup(Some(PortId(1)), [PortId(1), PortId(2), PortId(3)]);
        let macs = BTreeMap::from([(PortId(1), bond), (PortId(2), own)]);
        let image = encode(&table, Addresses { bond, ports: &macs }, &Counters::new(), BOND, 1)
            .expect("a table of three");
        let readdressed = |n| find(&image, PortId(n)).unwrap().receive & receive::READDRESS != 0;
        assert_eq!([1, 2, 3].map(readdressed), [false, true, false]);
    }
}
