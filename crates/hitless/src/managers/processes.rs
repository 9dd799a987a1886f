//! Programs that run in the same network namespace, by `/proc`.

use std::fs;

use super::Places;
use super::bus::{network_of, own_network};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Its command line. A program that writes its own title there separates words by spaces.
    pub(super) words: Vec<String>,
}

impl Process {
    /// The program, without its directory; where several are one, the one that is meant.
    pub(super) fn program(&self) -> &str {
        let mut names = self.words.iter().map(|word| base_name(word));
        match names.next() {
            Some("busybox") => names.next().unwrap_or_default(),
            first => first.unwrap_or_default(),
        }
    }
}

fn base_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or_default().trim_end_matches(':')
}

/// All that run in our network namespace, as far as that is known.
pub(super) fn of_this_network(places: &Places) -> Vec<Process> {
    let Some(ours) = own_network(places) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(places.at("/proc")) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let pids = names.filter_map(|name| name.parse().ok());
    let here = pids.filter(|pid: &u32| network_of(places, &pid.to_string()).as_ref() == Some(&ours));
    let mut processes: Vec<_> = here.filter_map(|pid| read(places, pid)).collect();
    processes.sort_by_key(|process| process.pid);
    processes
}

fn read(places: &Places, pid: u32) -> Option<Process> {
    let line = fs::read(places.at(&format!("/proc/{pid}/cmdline"))).ok()?;
    let line = String::from_utf8_lossy(&line);
    let words = line.split(['\0', ' ']).filter(|word| !word.is_empty()).map(str::to_owned);
    Some(Process { pid, words: words.collect() })
}
