//! The program and its maps in the kernel: makes new ones, finds those that an earlier process left, reads and writes.
//!
//! How the program gets into the kernel is not known here (that is `load`), where it is attached neither (`tc`), nor what
//! the maps' bytes mean (`image`).

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{Array, Map, MapData, MapError, MapInfo, PerCpuArray, PerCpuValues};
use aya::programs::{ProgramError, ProgramInfo, loaded_programs};

use super::layout::{Counter, Head, Standby, Table, slot};
use super::load::{self, Compiled};

/// A request to the kernel's bpf that failed.
#[derive(Debug, thiserror::Error)]
pub enum BpfError {
    /// The compiled program is not what it should be.
    #[error("the eBPF object that was built in is damaged; build again")]
    Object(#[source] Box<dyn Error + Send + Sync>),
    /// The kernel did not take the program.
    #[error(
        "the kernel refused the eBPF program: {source}{}{log}; this needs root (or CAP_BPF and CAP_NET_ADMIN) \
         and Linux 5.10 or later",
        if log.is_empty() { "" } else { ": " }
    )]
    Verifier {
        /// The end of what the verifier says.
        log: String,
        /// Why.
        source: io::Error,
    },
    /// Asking for programs.
    #[error("the kernel does not say which eBPF programs there are; this needs root or CAP_SYS_ADMIN")]
    Program(#[source] Box<ProgramError>),
    /// Making or using a map.
    #[error("the eBPF map {map} cannot be used; this needs root (or CAP_BPF) and Linux 5.10 or later")]
    Map {
        /// The map's name.
        map: String,
        /// Why.
        source: Box<MapError>,
    },
    /// The object or the attached program lacks something.
    #[error("the eBPF datapath has no {0}; recreate the bond")]
    Missing(&'static str),
}

impl BpfError {
    pub(super) fn map(map: &str, source: MapError) -> Self {
        Self::Map { map: map.to_owned(), source: Box::new(source) }
    }
}

impl From<ProgramError> for BpfError {
    fn from(error: ProgramError) -> Self {
        Self::Program(Box::new(error))
    }
}

const TABLES: &str = "hl_tables";
const HEAD: &str = "hl_head";
const COUNTERS: &str = "hl_counters";
const STANDBY: &str = "hl_standby";

fn in_map(map: &'static str) -> impl Fn(MapError) -> BpfError {
    move |source| BpfError::map(map, source)
}

/// The program of one bond.
pub(super) struct Program {
    pub(super) fd: OwnedFd,
    pub(super) id: u32,
}

/// The maps of one bond.
pub(super) struct Maps {
    tables: Array<MapData, Table>,
    head: Array<MapData, Head>,
    counters: PerCpuArray<MapData, Counter>,
}

/// Loads the program with maps of its own. They last as long as the program is attached or this process holds them.
pub(super) fn load() -> Result<(Program, Maps), BpfError> {
    let (program, mut maps) = load_compiled(&load::DATAPATH)?;
    let mut take = |name| take(&mut maps, name);
    let maps = Maps::new(take(TABLES)?, take(HEAD)?, take(COUNTERS)?)?;
    Ok((program, maps))
}

fn load_compiled(compiled: &Compiled) -> Result<(Program, HashMap<String, MapData>), BpfError> {
    let (fd, maps) = load::load(compiled)?;
    let id = load::program_id(&fd).map_err(ProgramError::IOError)?;
    Ok((Program { fd, id }, maps))
}

fn take(maps: &mut HashMap<String, MapData>, name: &'static str) -> Result<Map, BpfError> {
    let data = maps.remove(name).ok_or(BpfError::Missing(name))?;
    Map::from_map_data(data).map_err(in_map(name))
}

/// The map of the program that the kernel driver has on its ports.
pub(super) struct StandbyMap(Array<MapData, Standby>);

impl StandbyMap {
    pub(super) fn set(&mut self, bond: Standby) -> Result<(), BpfError> {
        self.0.set(0, bond, 0).map_err(in_map(STANDBY))
    }
}

/// Loads the program for ports of the kernel's bond, with a map of its own.
pub(super) fn load_standby() -> Result<(Program, StandbyMap), BpfError> {
    let (program, mut maps) = load_compiled(&load::STANDBY)?;
    let map = take(&mut maps, STANDBY)?;
    Ok((program, StandbyMap(map.try_into().map_err(in_map(STANDBY))?)))
}

/// What hangs on a program that is attached somewhere.
pub(super) struct Found {
    info: ProgramInfo,
    maps: Vec<MapInfo>,
}

/// The program with this id; `None` where it is gone.
pub(super) fn find(id: u32) -> Result<Option<Found>, BpfError> {
    let mut refused = None;
    for program in loaded_programs() {
        match program {
            Ok(info) if info.id() == id => {
                let ids = info.map_ids()?.unwrap_or_default();
                // A map that cannot be looked at is missing when it is asked for by name.
                let maps = ids.into_iter().filter_map(|id| MapInfo::from_id(id).ok()).collect();
                return Ok(Some(Found { info, maps }));
            }
            // Programs come and go while they are listed; but an error and nothing else is a lack of privilege.
            Ok(_) => {}
            Err(error) => refused = Some(error),
        }
    }
    match refused {
        Some(error) => Err(error.into()),
        None => Ok(None),
    }
}

impl Found {
    fn map(&self, name: &'static str) -> Result<Option<Map>, BpfError> {
        let Some(info) = self.maps.iter().find(|map| map.name_as_str() == Some(name)) else {
            return Ok(None);
        };
        MapData::from_id(info.id()).and_then(Map::from_map_data).map(Some).map_err(in_map(name))
    }

    /// The bond that a program for ports of the kernel's bond hands frames up to; `None` where this is no such program.
    pub(super) fn standby(&self) -> Result<Option<u32>, BpfError> {
        let Some(map) = self.map(STANDBY)? else { return Ok(None) };
        match Array::<MapData, Standby>::try_from(map) {
            Ok(map) => map.get(&0, 0).map(|bond| Some(bond.ifindex)).map_err(in_map(STANDBY)),
            Err(_) => Ok(None),
        }
    }

    /// Its head, which is the same in every layout; `None` where this is no datapath of ours.
    pub(super) fn head(&self) -> Result<Option<Head>, BpfError> {
        let Some(map) = self.map(HEAD)? else { return Ok(None) };
        match Array::<MapData, Head>::try_from(map) {
            Ok(head) => head.get(&0, 0).map(Some).map_err(in_map(HEAD)),
            Err(_) => Ok(None),
        }
    }

    /// Takes hold of it.
    pub(super) fn open(&self) -> Result<(Program, Maps), BpfError> {
        let take = |name| self.map(name)?.ok_or(BpfError::Missing(name));
        let maps = Maps::new(take(TABLES)?, take(HEAD)?, take(COUNTERS)?)?;
        let fd = self.info.fd()?.as_fd().try_clone_to_owned().map_err(ProgramError::IOError)?;
        Ok((Program { fd, id: self.info.id() }, maps))
    }
}

impl Maps {
    fn new(tables: Map, head: Map, counters: Map) -> Result<Self, BpfError> {
        Ok(Self {
            tables: tables.try_into().map_err(in_map(TABLES))?,
            head: head.try_into().map_err(in_map(HEAD))?,
            counters: counters.try_into().map_err(in_map(COUNTERS))?,
        })
    }

    pub(super) fn head(&self) -> Result<Head, BpfError> {
        self.head.get(&0, 0).map_err(in_map(HEAD))
    }

    /// The table that is in force.
    pub(super) fn table(&self, head: Head) -> Result<Table, BpfError> {
        self.tables.get(&slot(head.version), 0).map_err(in_map(TABLES))
    }

    /// Writes a table where no frame looks. Its version must be greater than the one in force.
    pub(super) fn prepare(&mut self, table: &Table) -> Result<(), BpfError> {
        self.tables.set(slot(table.version), table, 0).map_err(in_map(TABLES))
    }

    /// Puts the table of this version in force: every frame sees the old one or the new one, and whole.
    pub(super) fn commit(&mut self, head: Head) -> Result<(), BpfError> {
        // The kernel copies what it is given with plain stores. Those of the table have to be seen before that of the
        // head, also where the processor would reorder them; the reader's loads depend on each other.
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        self.head.set(0, head, 0).map_err(in_map(HEAD))
    }

    /// A counter, summed over the CPUs.
    pub(super) fn counter(&self, index: u32) -> Result<Counter, BpfError> {
        let values = self.counters.get(&index, 0).map_err(in_map(COUNTERS))?;
        Ok(values.iter().fold(Counter::default(), |sum, one| Counter {
            sent: sum.sent.wrapping_add(one.sent),
            received: sum.received.wrapping_add(one.received),
            dropped: sum.dropped.wrapping_add(one.dropped),
            control: sum.control.wrapping_add(one.control),
        }))
    }

    /// Sets a counter to zero on every CPU.
    pub(super) fn reset_counter(&mut self, index: u32) -> Result<(), BpfError> {
        let present = self.counters.get(&index, 0).map_err(in_map(COUNTERS))?;
        let zero = PerCpuValues::try_from(vec![Counter::default(); present.len()])
            .map_err(|error| in_map(COUNTERS)(MapError::IoError(error)))?;
        self.counters.set(index, zero, 0).map_err(in_map(COUNTERS))
    }
}
