//! Radios that are switched off: by software, or by a switch on the machine (linux/rfkill.h).
//!
//! It tells; it switches nothing.

use std::fs::{self, File, OpenOptions};
use std::future::pending;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use nix::libc;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::{Cause, RequestError};
use crate::link::is_valid_name;

/// Where the kernel tells of switches, if it has any notion of them.
const DEVICE: &str = "/dev/rfkill";

/// The length of `struct rfkill_event`; newer kernels may append something.
const EVENT: usize = 8;

/// Room for what they append.
const BUFFER: usize = 32;

/// `RFKILL_TYPE_WLAN`.
const WLAN: u8 = 1;

/// `enum rfkill_operation`.
const OP_ADD: u8 = 0;
const OP_DEL: u8 = 1;
const OP_CHANGE: u8 = 2;

/// What keeps a Wi-Fi radio silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The number of the switch; [`switch_of`] tells which an interface has.
    pub switch: u32,
    /// It is switched off by software (`rfkill block`, a key, a desktop).
    pub soft: bool,
    /// It is switched off by hardware or firmware; no software can change that.
    pub hard: bool,
}

impl Block {
    /// Is the radio silent?
    pub fn is_blocked(self) -> bool {
        self.soft || self.hard
    }
}

/// What happened to the switch of a Wi-Fi radio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RfkillEvent {
    /// There is one in this position now. Those that are there already are told first.
    Switched(Block),
    /// It is gone, with its radio.
    Gone {
        /// The number that it had.
        switch: u32,
    },
}

/// The switches of all Wi-Fi radios, from those that there are on.
///
/// On a kernel that has no notion of them nothing is ever told.
#[derive(Debug)]
pub struct RfkillEvents(Option<AsyncFd<File>>);

impl RfkillEvents {
    /// Of no switches: nothing is ever told.
    pub fn none() -> Self {
        Self(None)
    }

    /// Begin to listen.
    ///
    /// # Errors
    /// When the device is there but may not be read.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> Result<Self, RequestError> {
        let Some(device) = open()? else { return Ok(Self(None)) };
        // SAFETY: a `File` owns its descriptor and answers the same one as long as it lives.
        let device = unsafe { AsyncFd::register_with_interest(device, Interest::READABLE) };
        device
            .map(|device| Self(Some(device)))
            .map_err(|failed| Cause::from(failed.into_parts().1).of("wait for", DEVICE))
    }

    /// The next event. May be cancelled: nothing is lost.
    ///
    /// # Errors
    /// When the device cannot be read; it will not get better by trying again.
    pub async fn next(&mut self) -> Result<RfkillEvent, RequestError> {
        let Some(device) = &self.0 else { return pending().await };
        loop {
            let mut buffer = [0; BUFFER];
            let read = device.async_io(Interest::READABLE, |mut device| device.read(&mut buffer)).await;
            let length = read.map_err(read_error)?;
            if length == 0 {
                return Err(read_error(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Some(event) = buffer.get(..length).and_then(event) {
                return Ok(event);
            }
        }
    }
}

/// The switches of all Wi-Fi radios, as they are. None on a kernel that has no notion of them.
///
/// # Errors
/// When the device is there but cannot be read.
pub fn blocks() -> Result<Vec<Block>, RequestError> {
    let Some(mut device) = open()? else { return Ok(Vec::new()) };
    let mut blocks = Vec::new();
    loop {
        let mut buffer = [0; BUFFER];
        match device.read(&mut buffer) {
            Ok(0) => return Ok(blocks),
            Ok(length) => match buffer.get(..length).and_then(event) {
                Some(RfkillEvent::Switched(block)) => {
                    blocks.retain(|known: &Block| known.switch != block.switch);
                    blocks.push(block);
                }
                Some(RfkillEvent::Gone { switch }) => blocks.retain(|known| known.switch != switch),
                None => {}
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(blocks),
            Err(error) => return Err(read_error(error)),
        }
    }
}

/// The number of the switch that an interface's radio has, where it has one and it can be seen.
pub fn switch_of(interface: &str) -> Option<u32> {
    if !is_valid_name(interface) {
        return None;
    }
    let radio = fs::read_dir(format!("/sys/class/net/{interface}/phy80211")).ok()?;
    radio
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("rfkill"))
        .find_map(|entry| fs::read_to_string(entry.path().join("index")).ok()?.trim().parse().ok())
}

fn open() -> Result<Option<File>, RequestError> {
    match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(DEVICE) {
        Ok(device) => Ok(Some(device)),
        // No such device node, or nothing behind it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV | libc::ENXIO)) => {
            Ok(None)
        }
        Err(error) => Err(Cause::from(error).of("open", DEVICE)),
    }
}

fn read_error(error: io::Error) -> RequestError {
    Cause::from(error).of("read", DEVICE)
}

/// The event in what was read; `None` if it is not about Wi-Fi.
fn event(octets: &[u8]) -> Option<RfkillEvent> {
    let event: [u8; EVENT] = octets.get(..EVENT)?.try_into().ok()?;
    let [a, b, c, d, kind, operation, soft, hard] = event;
    let switch = u32::from_ne_bytes([a, b, c, d]);
    match (kind, operation) {
        (WLAN, OP_ADD | OP_CHANGE) => {
            Some(RfkillEvent::Switched(Block { switch, soft: soft != 0, hard: hard != 0 }))
        }
        (WLAN, OP_DEL) => Some(RfkillEvent::Gone { switch }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn reads_what_is_about_wifi() {
        let block = |soft, hard| Some(RfkillEvent::Switched(Block { switch: 3, soft, hard }));
        assert_eq!(event(&[3, 0, 0, 0, WLAN, OP_ADD, 0, 0, 1]), block(false, false));
        assert_eq!(event(&[3, 0, 0, 0, WLAN, OP_CHANGE, 1, 0]), block(true, false));
        assert_eq!(event(&[3, 0, 0, 0, WLAN, OP_CHANGE, 0, 1, 1, 0]), block(false, true));
        assert_eq!(event(&[3, 0, 0, 0, WLAN, OP_DEL, 0, 0]), Some(RfkillEvent::Gone { switch: 3 }));
        // Bluetooth, something new, too short.
        assert_eq!(event(&[3, 0, 0, 0, 2, OP_CHANGE, 1, 0]), None);
        assert_eq!(event(&[3, 0, 0, 0, WLAN, 4, 1, 0]), None);
        assert_eq!(event(&[3, 0, 0, 0, WLAN, OP_ADD, 1]), None);
    }

    #[test]
    fn what_is_not_wireless_has_no_switch() {
        assert_eq!(switch_of("lo"), None);
        assert_eq!(switch_of("no-such-port"), None);
        assert_eq!(switch_of("../lo"), None);
        blocks().unwrap();
    }
}
