//! What would go to the journal, of which a guest has none: above all, what wpa_supplicant tells of itself.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::thread::{self, JoinHandle};

/// Where programs tell it.
const SYSLOG: &str = "/dev/log";

/// Keeps what is told, and prints it when the test fails. It is read all the time: whoever writes there waits for that.
pub(crate) struct Journal(Option<JoinHandle<Vec<Vec<u8>>>>);

impl Journal {
    pub(crate) fn open() -> Self {
        let socket = UnixDatagram::bind(SYSLOG).unwrap();
        Self(Some(thread::spawn(move || {
            let mut lines = Vec::new();
            let mut datagram = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = socket.recv(&mut datagram) {
                lines.push(datagram[..length].to_vec());
            }
            lines
        })))
    }

    /// What was told.
    pub(crate) fn close(mut self) -> Vec<Vec<u8>> {
        self.end()
    }

    fn end(&mut self) -> Vec<Vec<u8>> {
        let Some(reader) = self.0.take() else { return Vec::new() };
        UnixDatagram::unbound().unwrap().send_to(&[], SYSLOG).unwrap();
        fs::remove_file(SYSLOG).unwrap();
        reader.join().unwrap()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let lines = self.end();
        if thread::panicking() {
            eprintln!("--- the journal ---");
            for line in lines {
                eprintln!("{}", String::from_utf8_lossy(&line).trim_end_matches(['\0', '\n']));
            }
        }
    }
}
