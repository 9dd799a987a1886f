//! The control socket of hostapd and wpa_supplicant: a command as one datagram, its reply as another.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{IoContext as _, LabError, Result};

/// How long an answer may take under emulation.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the program behind a socket, and returns its reply without the newline at its end.
pub(crate) fn request(socket: &Path, command: &str) -> Result<String> {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // The answer comes to where the question came from, so that needs a name, too.
    let n = ASKED.fetch_add(1, Ordering::Relaxed);
    let own = socket.with_file_name(format!("client-{}-{n}", std::process::id()));
    let reply = exchange(&own, socket, command);
    let _ = fs::remove_file(&own);
    reply
}

/// The same, for commands that answer `OK` or that they failed.
pub(crate) fn order(socket: &Path, command: &str) -> Result<()> {
    match request(socket, command)?.as_str() {
        "OK" => Ok(()),
        other => Err(LabError::Broken(format!("{command} was answered {other:?} at {}", socket.display()))),
    }
}

fn exchange(own: &Path, socket: &Path, command: &str) -> Result<String> {
    let context = || format!("asking {command} at {}", socket.display());
    let client = UnixDatagram::bind(own).context(context)?;
    client.set_read_timeout(Some(PATIENCE)).context(context)?;
    client.connect(socket).context(context)?;
    client.send(command.as_bytes()).context(context)?;
    let mut buffer = vec![0; 16 * 1024];
    let length = client.recv(&mut buffer).context(context)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned())
}

/// The value of `key=value` in a reply.
pub(crate) fn value<'a>(reply: &'a str, key: &str) -> Option<&'a str> {
    reply.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}
