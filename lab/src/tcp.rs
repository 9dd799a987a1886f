//! TCP: one long stream that has to survive everything, and how much a path can carry.
//!
//! Datagrams are counted in [`crate::meter`].

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{IoContext as _, LabError, Result};
use crate::meter::End;
use crate::paced::Schedule;
use crate::wait::{Look, until};

/// How many bytes are written at a time.
const BLOCK: usize = 1024;

/// How many blocks a second: 1 MB/s, enough to always have something in flight, little enough to disturb nothing.
const BLOCKS_PER_SECOND: u32 = 1000;

/// How often the reader looks whether it should stop.
const READ_TIMEOUT: Duration = Duration::from_millis(100);

/// How long the reader waits for the rest once the writer has stopped: several retransmissions.
const DRAIN: Duration = Duration::from_secs(5);

/// One TCP connection that carries a known pattern until [`Stream::finish`].
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    /// The writing end.
    socket: TcpStream,
    writer: Option<JoinHandle<()>>,
    reader: Option<JoinHandle<()>>,
}

/// What became of a stream.
#[derive(Clone, Debug)]
pub struct StreamReport {
    /// Bytes that arrived as they were sent.
    pub bytes: u64,
    /// The longest time between two arrivals.
    pub longest_stall: Duration,
    /// Why it ended early or what was wrong with what arrived; `None`: nothing.
    pub broken: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    verified: AtomicU64,
    /// Write no more, and read to the end.
    stop: AtomicBool,
    /// Read no more, either.
    abandoned: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    last: Option<Instant>,
    longest_stall: Duration,
    broken: Option<String>,
}

impl Stream {
    /// Connects `near` to `far` and begins to write.
    ///
    /// # Errors
    ///
    /// When no connection comes about within 5 s.
    pub fn start(near: End<'_>, far: End<'_>) -> Result<Self> {
        Self::start_paced(near, far, BLOCKS_PER_SECOND)
    }

    /// The same with so many KiB a second.
    ///
    /// # Errors
    ///
    /// As [`Stream::start`].
    pub fn start_paced(near: End<'_>, far: End<'_>, blocks_per_second: u32) -> Result<Self> {
        let (socket, peer) = connect(near, far)?;
        peer.set_read_timeout(Some(READ_TIMEOUT)).context(|| "setting a read timeout".to_owned())?;
        let shared = Arc::new(Shared::default());
        let clone = socket.try_clone().context(|| "duplicating a socket".to_owned())?;
        let (sending, receiving) = (Arc::clone(&shared), Arc::clone(&shared));
        let writer = Some(thread::spawn(move || write_pattern(clone, blocks_per_second, &sending)));
        let reader = Some(thread::spawn(move || verify_pattern(peer, &receiving)));
        Ok(Self { shared, socket, writer, reader })
    }

    /// Bytes that arrived as they were sent, so far.
    pub fn verified(&self) -> u64 {
        self.shared.verified.load(Ordering::Relaxed)
    }

    /// Waits until the stream has moved on by a good deal (64 KiB): it is alive.
    ///
    /// # Errors
    ///
    /// When it has not within `limit`, or is broken.
    pub fn wait_progress(&self, limit: Duration) -> Result<()> {
        let goal = self.verified() + 64 * 1024;
        until("the TCP stream to move on", limit, || {
            if let Some(broken) = self.shared.with(|progress| progress.broken.clone()) {
                return Err(LabError::Broken(format!("the TCP stream broke: {broken}")));
            }
            let verified = self.verified();
            Ok(if verified >= goal {
                Look::Yes(())
            } else {
                Look::No(format!("{verified} bytes verified, not yet {goal}"))
            })
        })
    }

    /// The longest stall since this was last asked.
    pub fn take_stall(&self) -> Duration {
        self.shared.with(|progress| {
            let now = progress.last.map_or(Duration::ZERO, |last| last.elapsed());
            std::mem::take(&mut progress.longest_stall).max(now)
        })
    }

    /// Ends the stream in an orderly way and tells what became of it.
    pub fn finish(mut self) -> StreamReport {
        self.shared.stop.store(true, Ordering::SeqCst);
        // The reader ends after the last byte, or when nothing comes any more.
        join(self.reader.take());
        self.stop_writing();
        let bytes = self.verified();
        self.shared.with(|progress| StreamReport {
            bytes,
            longest_stall: progress.longest_stall,
            broken: progress.broken.clone(),
        })
    }

    /// Ends the writer, also where it waits for a peer that cannot be reached.
    fn stop_writing(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        join(self.writer.take());
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.abandoned.store(true, Ordering::SeqCst);
        self.stop_writing();
        join(self.reader.take());
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        // One that panicked has said so.
        let _ = thread.join();
    }
}

impl Shared {
    fn with<T>(&self, look: impl FnOnce(&mut Progress) -> T) -> T {
        look(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn broke(&self, why: String) {
        self.with(|progress| {
            progress.broken.get_or_insert(why);
        });
    }
}

/// The byte at an offset of the stream: no two neighbouring blocks look alike.
fn pattern(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).to_le_bytes()[0]
}

fn write_pattern(mut socket: TcpStream, blocks_per_second: u32, shared: &Shared) {
    let mut schedule = Schedule::new(blocks_per_second);
    let mut offset = 0_u64;
    let mut block = [0; BLOCK];
    while !shared.stop.load(Ordering::Relaxed) {
        schedule.wait();
        for (byte, at) in block.iter_mut().zip(offset..) {
            *byte = pattern(at);
        }
        if let Err(error) = socket.write_all(&block) {
            shared.broke(format!("writing: {error}"));
            return;
        }
        offset += BLOCK as u64;
    }
    // The reader sees the end after the last byte.
    let _ = socket.shutdown(Shutdown::Write);
}

fn verify_pattern(mut socket: TcpStream, shared: &Shared) {
    let mut offset = 0_u64;
    let mut buffer = vec![0; 64 * 1024];
    let mut quiet = Duration::ZERO;
    loop {
        let length = match socket.read(&mut buffer) {
            Ok(0) if shared.stop.load(Ordering::SeqCst) => return,
            Ok(0) => return shared.broke("closed by the other end".to_owned()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if shared.abandoned.load(Ordering::SeqCst) {
                    return;
                }
                quiet += READ_TIMEOUT;
                if shared.stop.load(Ordering::SeqCst) && quiet >= DRAIN {
                    return shared.broke(format!("nothing came any more after {offset} bytes"));
                }
                continue;
            }
            Err(error) => return shared.broke(format!("reading: {error}")),
        };
        quiet = Duration::ZERO;
        if let Some(wrong) = (offset..).zip(&buffer[..length]).find(|(at, byte)| pattern(*at) != **byte) {
            return shared.broke(format!("another byte than was sent at offset {}", wrong.0));
        }
        offset += length as u64;
        shared.verified.store(offset, Ordering::Relaxed);
        shared.with(|progress| {
            let now = Instant::now();
            if let Some(last) = progress.last.replace(now) {
                progress.longest_stall = progress.longest_stall.max(now - last);
            }
        });
    }
}

/// How many Gbit/s one TCP stream carries from `near` to `far`, measured for `time` at the receiver.
///
/// # Errors
///
/// When the connection does not come about or breaks.
pub fn throughput(near: End<'_>, far: End<'_>, time: Duration) -> Result<f64> {
    let (mut writer, mut reader) = connect(near, far)?;
    // Blocked for ever would mean a bug in the network under test; the measurement then ends with an error.
    reader.set_read_timeout(Some(Duration::from_secs(20))).context(|| "setting a read timeout".to_owned())?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let sender = thread::spawn(move || {
        let block = vec![0x5a; 256 * 1024];
        while !stopped.load(Ordering::Relaxed) && writer.write_all(&block).is_ok() {}
    });
    let mut buffer = vec![0; 1 << 20];
    let mut received = 0_usize;
    // The first tenth is slow start and does not count.
    let warm = Instant::now() + time / 10;
    let mut start = None;
    let outcome = loop {
        match reader.read(&mut buffer) {
            Ok(0) => break Err(LabError::Broken("the throughput stream ended early".to_owned())),
            Ok(length) => match start {
                None if Instant::now() < warm => {}
                None => start = Some(Instant::now()),
                Some(begun) => {
                    received += length;
                    let elapsed: Duration = Instant::elapsed(&begun);
                    if elapsed >= time {
                        break Ok(received as f64 * 8.0 / elapsed.as_secs_f64() / 1e9);
                    }
                }
            },
            Err(error) => break Err(error).context(|| "reading the throughput stream".to_owned()),
        }
    };
    stop.store(true, Ordering::SeqCst);
    let _ = reader.shutdown(Shutdown::Both);
    drop(reader);
    let _ = sender.join();
    outcome
}

/// A connection: the writing end in `near`, the reading end in `far`.
fn connect(near: End<'_>, far: End<'_>) -> Result<(TcpStream, TcpStream)> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let listener = far
        .host
        .within(|| TcpListener::bind(SocketAddr::new(far.address, 0)))?
        .context(|| format!("listening at {}", far.address))?;
    let address = listener.local_addr().context(|| "asking a socket for its address".to_owned())?;
    let writer = near
        .host
        .within(|| connect_from(near.address, address, PATIENCE))?
        .context(|| format!("connecting from {} to {address}", near.address))?;
    let (reader, _) = listener.accept().context(|| format!("accepting at {address}"))?;
    writer.set_nodelay(true).context(|| "setting TCP_NODELAY".to_owned())?;
    Ok((writer, reader))
}

fn connect_from(from: IpAddr, to: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&to.into(), patience)?;
    Ok(socket.into())
}
