//! The file itself, where nobody else takes care of it: written by us while a bond has name servers, and given back then.
//!
//! Somebody else may write it, too. Whoever does so has the last word, until a bond has other name servers.

use std::path::Path;
use std::sync::Arc;
use std::{fs, mem};

use super::memory::{FileState, Memory, Original};
use super::replace::There;
use super::{Dns, ResolverError, Said, text};

/// The file, and what is remembered of it.
pub(super) struct Managed<'a> {
    pub(super) file: &'a Path,
    pub(super) memory: &'a mut Memory,
    pub(super) said: &'a mut Said,
}

impl Managed<'_> {
    /// Makes the file be as bonds want it, or as it was where none wants anything.
    pub(super) fn settle(&mut self) -> Result<(), ResolverError> {
        let entries = self.memory.entries().to_vec();
        let wanted = entries.iter().filter(|entry| !entry.dns.is_empty());
        let wanted: Vec<_> = wanted.map(|entry| (entry.bond.as_str(), &entry.dns)).collect();
        if wanted.is_empty() { self.restore() } else { self.write(&wanted) }
    }

    fn write(&mut self, bonds: &[(&str, &Dns)]) -> Result<(), ResolverError> {
        let there = self.look()?;
        if self.is_to_be_left_alone(&there, bonds) {
            let (file, kept) = (self.file.display(), self.memory.kept());
            self.said.warn(format!(
                "somebody else has written {file}, and it is left as it is until a bond has other name servers{}",
                still_kept(&kept)
            ));
            return Ok(());
        }
        if !self.is_ours(&there) || !self.memory.file().is_managed() {
            self.keep(&there)?;
        }
        let text = self.text(bonds);
        if is_text(&there, &text) && self.memory.file().written.as_ref() == Some(&text) {
            self.memory.is_new_boot = false;
            return Ok(());
        }
        self.put(&there, text)?;
        self.memory.is_new_boot = false;
        Ok(())
    }

    /// Leads to systemd-resolved, which has come, until what was there before is given back. It has read our file, and would
    /// believe in those servers for ever: it does not forget them when the file becomes one of its own.
    pub(super) fn lead_to_resolved(&mut self) -> Result<(), ResolverError> {
        let there = self.look()?;
        if !self.is_ours(&there) || there == There::Missing {
            return Ok(());
        }
        let text = format!("{} for systemd-resolved; {}\n{}", text::OURS, self.back(), text::STUB);
        self.put(&there, text)
    }

    /// Gives back what was there, unless somebody else has written the file since.
    pub(super) fn restore(&mut self) -> Result<(), ResolverError> {
        let Some(original) = self.memory.file().original else { return Ok(()) };
        let there = self.look()?;
        let kept = self.memory.kept();
        let before = match original {
            Original::Kept => There::read(&kept).map_err(|error| failed("read", &kept, error))?,
            Original::Missing | Original::Unknown => There::Missing,
        };
        let lost = original == Original::Unknown || (original == Original::Kept && before == There::Missing);
        if there == before {
            return self.forget(true);
        }
        if there != There::Missing && !self.is_ours(&there) {
            let file = self.file.display();
            self.said.warn(format!(
                "somebody else has written {file}, and it is left as it is{}",
                still_kept(&kept)
            ));
            return self.forget(false);
        }
        if lost {
            let file = self.file.display();
            self.said.warn(format!("{file} is left as it is: what was there before has not been kept"));
            return self.forget(true);
        }
        self.announce(&there, "")?;
        before.put(self.file).map_err(|error| self.failed("restore", error))?;
        self.forget(true)
    }

    // ---- whose it is ---------------------------------------------------------------------------------------------

    fn look(&self) -> Result<There, ResolverError> {
        match There::read(self.file) {
            Ok(There::Other) => Err(ResolverError::NotAFile { path: self.file.to_owned() }),
            Ok(there) => Ok(there),
            Err(error) => Err(self.failed("read", error)),
        }
    }

    fn is_ours(&self, there: &There) -> bool {
        let state = self.memory.file();
        match there {
            // Who removes ours leaves the place to us.
            There::Missing => state.is_managed(),
            There::File(..) if state.written.is_none() && state.writing.is_empty() => has_mark(there),
            There::File(..) => state.written.iter().chain(&state.writing).any(|text| is_text(there, text)),
            There::Link(_) | There::Other => false,
        }
    }

    fn is_to_be_left_alone(&self, there: &There, bonds: &[(&str, &Dns)]) -> bool {
        let state = self.memory.file();
        let wanted = || text::file(bonds, &self.back(), &state.lines).0;
        let nothing_new = state.written.as_ref().is_some_and(|written| *written == wanted());
        nothing_new && !self.memory.is_new_boot && !self.is_ours(there)
    }

    /// What was found is the original now; but not what is ours with somebody's changes.
    fn keep(&mut self, there: &There) -> Result<(), ResolverError> {
        if has_mark(there) && self.memory.file().is_managed() {
            return Ok(());
        }
        let is_kept = There::read(&self.memory.kept()).is_ok_and(|kept| kept != There::Missing);
        let original = match there {
            There::Missing | There::Other => Original::Missing,
            There::File(..) | There::Link(_) if !has_mark(there) => Original::Kept,
            // The memory was lost, and maybe not what was kept.
            There::File(..) | There::Link(_) if is_kept => Original::Kept,
            There::File(..) | There::Link(_) => Original::Unknown,
        };
        let lines = if has_mark(there) { self.memory.kept() } else { self.file.to_owned() };
        let lines = text::lines_of(&fs::read(lines).unwrap_or_default());
        if !has_mark(there) {
            self.memory.keep(there)?;
        }
        let state = self.memory.file_mut();
        (state.original, state.lines, state.written) = (Some(original), lines, None);
        Ok(())
    }

    // ---- what is written -----------------------------------------------------------------------------------------

    fn text(&mut self, bonds: &[(&str, &Dns)]) -> String {
        let (text, left_out) = text::file(bonds, &self.back(), &self.memory.file().lines);
        if let Some(left_out) = left_out {
            let file = self.file.display();
            self.said.warn(format!(
                "{file} has room for 3 name servers and 6 search domains; left out: {left_out} (systemd-resolved has no \
                 such limits)"
            ));
        }
        text
    }

    /// How users get back what was there.
    fn back(&self) -> String {
        match self.memory.file().original {
            Some(Original::Kept) => {
                let (kept, file) = (self.memory.kept(), self.file.display());
                format!("what was here before: cp -a {} {file}", kept.display())
            }
            Some(Original::Missing) => "nothing was here before".to_owned(),
            Some(Original::Unknown) | None => "what was here before is not known".to_owned(),
        }
    }

    fn put(&mut self, there: &There, text: String) -> Result<(), ResolverError> {
        self.announce(there, &text)?;
        let new = There::File(text.clone().into_bytes(), 0o644);
        new.put(self.file).map_err(|error| self.failed("write", error))?;
        let state = self.memory.file_mut();
        state.written = Some(text);
        state.writing.clear();
        self.memory.store()
    }

    /// Writes down what will be done, before it is done.
    fn announce(&mut self, there: &There, text: &str) -> Result<(), ResolverError> {
        let state = self.memory.file_mut();
        let ours = state.written.take().into_iter().chain(mem::take(&mut state.writing));
        let mut writing: Vec<_> = ours.filter(|text| is_text(there, text)).collect();
        if !writing.iter().any(|ours| ours == text) {
            writing.push(text.to_owned());
        }
        state.writing = writing;
        self.memory.store()
    }

    fn forget(&mut self, kept_too: bool) -> Result<(), ResolverError> {
        *self.memory.file_mut() = FileState::default();
        self.memory.store()?;
        if kept_too { self.memory.keep(&There::Missing) } else { Ok(()) }
    }

    fn failed(&self, what: &'static str, error: std::io::Error) -> ResolverError {
        failed(what, self.file, error)
    }
}

fn failed(what: &'static str, path: &Path, error: std::io::Error) -> ResolverError {
    ResolverError::File { what, path: path.to_owned(), source: Arc::new(error) }
}

fn still_kept(kept: &Path) -> String {
    if kept.symlink_metadata().is_ok() {
        format!("; what was there before hitless is in {}", kept.display())
    } else {
        String::new()
    }
}

/// Blank lines at the end may be left from when it was written in place.
fn is_text(there: &There, text: &str) -> bool {
    matches!(there, There::File(bytes, _) if bytes.trim_ascii_end() == text.trim_end().as_bytes())
}

fn has_mark(there: &There) -> bool {
    matches!(there, There::File(bytes, _) if bytes.starts_with(text::OURS.as_bytes()))
}
