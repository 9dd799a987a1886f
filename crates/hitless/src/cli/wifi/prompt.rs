//! Asks for a secret on the terminal, without showing it.
//!
//! The terminal hands every byte over as it is typed, so that Ctrl-C comes to us as one, too, and there is no way out of
//! here that leaves the terminal as we made it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;

use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};

use crate::wifi::network::Secret;

/// The longest that is taken.
const LONGEST: usize = 1024;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum AskError {
    /// The process has no terminal.
    NoTerminal(io::Error),
    /// The user does not want to.
    Cancelled,
    /// The kernel said so.
    Io(io::Error),
}

/// Asks.
pub(super) fn ask(prompt: &str) -> Result<Secret, AskError> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").map_err(AskError::NoTerminal)?;
    let silent = Silent::new(&terminal).map_err(|error| AskError::Io(error.into()))?;
    (&terminal).write_all(prompt.as_bytes()).map_err(AskError::Io)?;
    let answer = read_line(&terminal);
    // The line's end was not shown either.
    let ended = (&terminal).write_all(b"\n").map_err(AskError::Io);
    drop(silent);
    ended.and(answer)
}

/// The terminal without echo; dropped, it is as it was.
struct Silent<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Silent<'t> {
    fn new(terminal: &'t File) -> nix::Result<Self> {
        let before = termios::tcgetattr(terminal.as_fd())?;
        let mut silent = before.clone();
        silent.local_flags -= LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG | LocalFlags::IEXTEN;
        for (index, value) in [(SpecialCharacterIndices::VMIN, 1), (SpecialCharacterIndices::VTIME, 0)] {
            if let Some(place) = silent.control_chars.get_mut(index as usize) {
                *place = value;
            }
        }
        // What was typed before the question was not meant for it.
        termios::tcsetattr(terminal.as_fd(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = termios::tcsetattr(self.terminal.as_fd(), SetArg::TCSAFLUSH, &self.before);
    }
}

fn read_line(mut terminal: &File) -> Result<Secret, AskError> {
    const CTRL_C: u8 = 3;
    const CTRL_D: u8 = 4;
    const BACKSPACE: u8 = 8;
    const CTRL_U: u8 = 21;
    const CTRL_Z: u8 = 26;
    const CTRL_BACKSLASH: u8 = 28;
    const DELETE: u8 = 127;

    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match terminal.read(&mut byte) {
            Ok(0) => return Err(AskError::Cancelled),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(AskError::Io(error)),
        }
        match byte[0] {
            b'\n' | b'\r' => break,
            CTRL_C | CTRL_Z | CTRL_BACKSLASH => return Err(AskError::Cancelled),
            CTRL_D if line.is_empty() => return Err(AskError::Cancelled),
            CTRL_D => break,
            CTRL_U => line.clear(),
            BACKSPACE | DELETE => remove_character(&mut line),
            typed if line.len() < LONGEST => line.push(typed),
            _ => {}
        }
    }
    // The error would hold the bytes.
    let text = String::from_utf8(line).map_err(|_| AskError::Io(io::Error::other("it is not UTF-8")))?;
    Ok(Secret::new(text))
}

/// The last one, all of its bytes.
fn remove_character(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {}
}
