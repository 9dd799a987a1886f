//! Loads a compiled program: makes its maps, points the program at them, hands it to the kernel's verifier.
//!
//! aya's own loader first reads and takes apart the type information of the whole running kernel (5 MB of it), which
//! these programs have no use for. That costs some 20 ms of the start and more memory than all the rest of the daemon, so
//! the last step is made here: one `BPF_PROG_LOAD`.

use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use aya::maps::MapData;
use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_insn, bpf_prog_info, bpf_prog_type};
use aya_obj::{Function, Object};
use nix::libc;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};

use super::kernel::BpfError;

/// A program as build.rs compiled it.
pub(super) struct Compiled {
    object: &'static [u8],
    /// Its name in the object, and in the kernel (15 bytes at most).
    name: &'static str,
}

/// The datapath of the ebpf driver.
pub(super) static DATAPATH: Compiled = Compiled {
    object: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hitless.bpf.o")),
    name: "hitless",
};

/// What the kernel driver has on its ports.
pub(super) static STANDBY: Compiled = Compiled {
    object: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/standby.bpf.o")),
    name: "hitless_standby",
};

/// Room for what the verifier says of a program that it refuses.
const LOG_BYTES: usize = 64 * 1024;

/// Loads the program with maps of its own, by their names.
pub(super) fn load(compiled: &Compiled) -> Result<(OwnedFd, HashMap<String, MapData>), BpfError> {
    // Kernels before 5.11 charge maps and programs to this limit, and 64 KiB do not go far. Where it may not be raised,
    // the kernel will say what it is short of.
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let mut object = Object::parse(compiled.object).map_err(|error| BpfError::Object(error.into()))?;
    let mut maps = HashMap::new();
    let mut described = Vec::new();
    for (name, mut map) in object.maps.drain() {
        if let aya_obj::Map::Btf(map) = &mut map {
            // The types of key and value are for tools that print maps, and would have to be loaded first.
            (map.def.btf_key_type_id, map.def.btf_value_type_id) = (0, 0);
        }
        let data = MapData::create(map.clone(), &name, None).map_err(|error| BpfError::map(&name, error))?;
        described.push((name.clone(), data.fd().as_fd().as_raw_fd(), map));
        maps.insert(name, data);
    }
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    object
        .relocate_maps(described.iter().map(|(name, fd, map)| (name.as_str(), *fd, map)), &sections)
        .map_err(|error| BpfError::Object(error.into()))?;
    let program = load_program(compiled.name, function(&object, compiled.name)?, &object.license)?;
    Ok((program, maps))
}

/// The program's instructions. It is one function: clang has put the others into it.
fn function<'a>(object: &'a Object, name: &'static str) -> Result<&'a Function, BpfError> {
    let program = object.programs.get(name).ok_or(BpfError::Missing(name))?;
    object.functions.get(&program.function_key()).ok_or(BpfError::Missing(name))
}

fn load_program(name: &str, function: &Function, license: &CString) -> Result<OwnedFd, BpfError> {
    prog_load(name, &function.instructions, license, &mut []).or_else(|source| {
        // Once more, to hear why.
        let mut log = vec![0; LOG_BYTES];
        prog_load(name, &function.instructions, license, &mut log)
            .map_err(|_| BpfError::Verifier { log: last_words(&log), source })
    })
}

/// The end of the verifier's log, where it says what it does not like.
fn last_words(log: &[u8]) -> String {
    let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join("; ")
}

#[allow(clippy::cast_possible_truncation, reason = "hundreds of instructions, thousands of bytes")]
fn prog_load(
    name: &str,
    instructions: &[bpf_insn],
    license: &CString,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let mut attributes = no_attributes();
    // SAFETY: the attributes are all zero, which is a value of every member of the union.
    let program = unsafe { &mut attributes.__bindgen_anon_3 };
    program.prog_type = bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS as u32;
    program.insns = instructions.as_ptr() as u64;
    program.insn_cnt = instructions.len() as u32;
    program.license = license.as_ptr() as u64;
    for (to, from) in program.prog_name.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    if !log.is_empty() {
        program.log_level = 1;
        program.log_buf = log.as_mut_ptr() as u64;
        program.log_size = log.len() as u32;
    }
    // SAFETY: instructions, licence (which ends with a zero) and log live until the call returns, their lengths are
    // those given, and nothing else is pointed to.
    let fd = unsafe { bpf(bpf_cmd::BPF_PROG_LOAD, &mut attributes) }?;
    // SAFETY: BPF_PROG_LOAD returns a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The id by which the kernel knows a program, in every process.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size and a descriptor")]
pub(super) fn program_id(program: &OwnedFd) -> io::Result<u32> {
    // SAFETY: integers only, for which zero is a value.
    let mut info: bpf_prog_info = unsafe { mem::zeroed() };
    let mut attributes = no_attributes();
    // SAFETY: the attributes are all zero, which is a value of every member of the union.
    let about = unsafe { &mut attributes.info };
    about.bpf_fd = program.as_raw_fd() as u32;
    about.info_len = size_of::<bpf_prog_info>() as u32;
    about.info = (&raw mut info) as u64;
    // SAFETY: `info` is as long as it is said to be and lives until the call returns; the pointers in it are null.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes) }?;
    Ok(info.id)
}

fn no_attributes() -> bpf_attr {
    // SAFETY: a union of structures of integers, for which zero is a value.
    unsafe { mem::zeroed() }
}

/// # Safety
///
/// What the attributes point to must live until the call returns and be as the command asks.
unsafe fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<libc::c_int> {
    // SAFETY: the attributes are a bpf_attr of the length given; for what they point to the caller answers.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command as libc::c_long, &raw mut *attributes, size_of::<bpf_attr>())
    };
    libc::c_int::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}
