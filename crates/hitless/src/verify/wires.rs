//! Do wired ports reach the same segment? Asked of no standby port, since what one sends teaches switches the wrong way:
//! the active port sends a frame that everyone in its segment is given, and the others listen.

use std::collections::BTreeMap;
use std::time::Duration;

use hitless_api::Port;
use hitless_core::mac::MacAddr;
use hitless_core::wire;
use hitless_linux::error::RequestError;
use hitless_linux::packet::{PortSocket, SendSocket};
use tokio::time::timeout;

use super::Seen;

/// How often the frame is sent: one may get lost.
const TRIES: usize = 4;

/// How long it may be on its way.
const PATIENCE: Duration = Duration::from_millis(250);

/// Longer than the frame.
const LONGEST: usize = 128;

/// Which of these ports hear what the active one sends, which has this address. By name.
pub(super) async fn heard(
    active: (u32, &str),
    mac: MacAddr,
    ports: &[&Port],
) -> BTreeMap<String, Seen<bool>> {
    let mut heard = BTreeMap::new();
    for port in ports {
        let Some(index) = port.index else { continue };
        let hears = hears(active, mac, (index, &port.name)).await;
        heard.insert(port.name.clone(), hears.map_err(|error| error.to_string()));
    }
    heard
}

async fn hears(active: (u32, &str), mac: MacAddr, port: (u32, &str)) -> Result<bool, RequestError> {
    let listener = PortSocket::open(port.0, port.1)?;
    let sender = SendSocket::open(active.0, active.1)?;
    // One that nobody answers, and that switches learn nothing new from. The daemon sends it on active ports only, too.
    let frame = wire::lesson(mac);
    for _ in 0..TRIES {
        sender.try_send(&frame)?;
        if let Ok(heard) = timeout(PATIENCE, hear(&listener, &frame)).await {
            return heard.map(|()| true);
        }
    }
    Ok(false)
}

/// Waits for this frame, which may be padded.
async fn hear(listener: &PortSocket, frame: &[u8]) -> Result<(), RequestError> {
    let mut buffer = [0; LONGEST];
    loop {
        let length = listener.recv(&mut buffer).await?;
        if buffer.get(..length).is_some_and(|heard| heard.starts_with(frame)) {
            return Ok(());
        }
    }
}
