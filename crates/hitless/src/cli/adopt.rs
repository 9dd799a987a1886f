//! `hitless adopt` and `hitless confirm`: a bond around interfaces in use, on trial.
//!
//! The daemon builds it and watches over the trial. This side says how it stands, so that something is sent on the
//! terminal's connection all the time; and it watches over the daemon: where that is killed and none comes back, it puts
//! everything back itself. It outlives its terminal for that.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use hitless_api::{Adoption, Client, ClientError, Method, NewBond, Session, Verdict};
use hitless_linux::tcp::Connection;
use nix::sys::termios::{FlushArg, tcflush};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Interval, interval_at, sleep};

use super::arguments::Driver;
use super::failure::{Exit, Failure};
use super::style::{self, clean};
use crate::adoption::record::Record;
use crate::causes::chain;
use crate::config;
use crate::daemon::trial::{PutBackError, put_back};
use crate::server::BindError;

/// How long a daemon that was killed may take to come back, which its supervisor sees to.
const RETURN: Duration = Duration::from_secs(4);

/// What to build.
pub(super) struct Wish {
    pub(super) ports: Vec<String>,
    pub(super) bond: Option<String>,
    pub(super) driver: Driver,
    pub(super) within_s: u64,
}

/// Keeps what is on trial.
pub(super) fn confirm(socket: &Path, out: &mut impl Write) -> Result<(), Failure> {
    let confirmed = Client::connect(socket)?.confirm()?;
    writeln!(out, "{} stays, and is in {}", clean(&confirmed.bond), clean(&confirmed.file))?;
    Ok(())
}

/// Builds it, and stays until it is known what becomes of it.
pub(super) fn adopt(socket: &Path, wish: Wish, out: &mut impl Write) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::from_error(&error))?;
    let verdict = runtime.block_on(trial(socket, wish, out));
    // A thread may still wait for a line that nobody types.
    Runtime::shutdown_background(runtime);
    if io::stdout().is_terminal() {
        // The last count of seconds says nothing any more.
        let _ = write!(out, "\r\x1b[K");
    }
    let verdict = verdict?;
    let text = clean(&verdict.text).into_owned();
    if !verdict.confirmed {
        return Err(Failure::new(Exit::Failed, text));
    }
    writeln!(out, "{text}")?;
    Ok(())
}

async fn trial(socket: &Path, wish: Wish, out: &mut impl Write) -> Result<Verdict, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure::from_error(&error))?;
    let client = Client::connect(socket)?;
    let adoption = match build(client, wish).await {
        Ok(adoption) => adoption,
        Err(ClientError::Closed | ClientError::Io { .. }) => {
            return rescue(socket, None, &mut signals, out).await;
        }
        Err(error) => return Err(error.into()),
    };
    // Where nobody reads it any more, there is still something to wait for.
    let _ = present(&adoption, out);
    let mut end = await_end(socket, &adoption.bond);
    let mut enter = Enter::new();
    let mut clock = Clock::new(adoption.confirm_within_s);
    loop {
        tokio::select! {
            ended = &mut end => return match ended {
                Ok(Ok(verdict)) => Ok(verdict),
                Ok(Err(ClientError::Hitless(error))) => Err(ClientError::Hitless(error).into()),
                // It may only have hung up.
                Ok(Err(_)) | Err(_) if is_on_trial(socket, &adoption.bond) => {
                    end = await_end(socket, &adoption.bond);
                    continue;
                }
                Ok(Err(_)) | Err(_) => rescue(socket, Some(&adoption), &mut signals, out).await,
            },
            () = enter.pressed() => {
                let confirmed = Client::connect(socket).and_then(|mut client| client.confirm());
                complain(confirmed.map(drop), out);
            }
            () = signals.interrupted() => {
                let down = Method::Down { bond: Some(adoption.bond.clone()) };
                complain(Client::connect(socket).and_then(|mut client| client.call(&down)), out);
            }
            left = clock.tick() => {
                let _ = clock.show(left, out);
            }
        }
    }
}

async fn build(mut client: Client, wish: Wish) -> Result<Adoption, ClientError> {
    let session = match Connection::of_session(std::process::id()) {
        Ok(session) => session,
        Err(error) => {
            tracing::debug!("the terminal's connection is not watched: {error}");
            None
        }
    };
    let new = NewBond {
        ports: wish.ports,
        bond: wish.bond,
        driver: match wish.driver {
            Driver::Auto => None,
            Driver::Kernel => Some(hitless_api::Driver::Kernel),
            Driver::Ebpf => Some(hitless_api::Driver::Ebpf),
        },
        within_s: wish.within_s,
        session: session
            .map(|Connection { local, peer }| Session { local: local.to_string(), peer: peer.to_string() }),
    };
    match spawn_blocking(move || client.adopt(new)).await {
        Ok(adopted) => adopted,
        // It never panics, and nobody cancels it.
        Err(_) => Err(ClientError::Closed),
    }
}

fn await_end(socket: &Path, bond: &str) -> JoinHandle<Result<Verdict, ClientError>> {
    let (socket, bond) = (socket.to_owned(), bond.to_owned());
    spawn_blocking(move || Client::connect(&socket)?.await_trial(&bond))
}

/// The trial goes on, and so does the wait.
fn complain(result: Result<(), ClientError>, out: &mut impl Write) {
    if let Err(error) = result {
        let bad = style::BAD;
        let _ = writeln!(out, "\r{bad}error:{bad:#} {}", clean(&chain(&error)));
    }
}

/// Whether somebody presses Enter; nobody does except on a terminal, where elsewhere an end of input means nothing.
struct Enter {
    waiting: Option<JoinHandle<bool>>,
}

impl Enter {
    /// From now on: what was typed before there was a question was meant for something else.
    fn new() -> Self {
        let interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
        if interactive {
            let _ = tcflush(io::stdin(), FlushArg::TCIFLUSH);
        }
        Self { waiting: interactive.then(|| spawn_blocking(enter_alone)) }
    }

    /// Enter was pressed, and nothing else on the line.
    async fn pressed(&mut self) {
        loop {
            let Some(waiting) = &mut self.waiting else { return std::future::pending().await };
            let pressed = waiting.await;
            self.waiting = pressed.is_ok().then(|| spawn_blocking(enter_alone));
            match pressed {
                Ok(true) => return,
                Ok(false) => {}
                Err(_) => self.waiting = None,
            }
        }
    }
}

/// Waits for a line; at the end of input, for ever.
fn enter_alone() -> bool {
    let mut line = String::new();
    match io::stdin().read_line(&mut line) {
        Ok(0) | Err(_) => loop {
            std::thread::park();
        },
        Ok(_) => line.trim().is_empty(),
    }
}

/// Does the daemon answer, and is the bond on trial still?
fn is_on_trial(socket: &Path, bond: &str) -> bool {
    let bonds = Client::connect(socket).and_then(|mut client| client.status()).unwrap_or_default();
    bonds.iter().any(|found| found.name == bond && found.unconfirmed_s.is_some())
}

/// The daemon is gone, or at least the connection to it. Another one puts everything back when it starts; where none does, we
/// do. One that lives is waited for, however slow it is.
async fn rescue(
    socket: &Path,
    adoption: Option<&Adoption>,
    signals: &mut Signals,
    out: &mut impl Write,
) -> Result<Verdict, Failure> {
    let began = Instant::now();
    let mut said = false;
    loop {
        // It answers when it has put everything back.
        let at = socket.to_owned();
        let asked = spawn_blocking(move || Client::connect(&at)?.status());
        let answered = tokio::select! {
            asked = asked => matches!(asked, Ok(Ok(_))),
            () = signals.interrupted() => return Err(unknown()),
        };
        if answered {
            let end = tokio::select! {
                end = end_by_daemon(socket, adoption) => end,
                () = signals.interrupted() => Some(Err(unknown())),
            };
            if let Some(end) = end {
                return end;
            }
        }
        if !answered && began.elapsed() >= RETURN {
            match put_back_alone(socket, adoption).await {
                Some(end) => return end,
                None if !said => {
                    said = true;
                    let _ = writeln!(out, "\rthe daemon lives, and does not answer yet: it is waited for");
                }
                None => {}
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn unknown() -> Failure {
    Failure::new(Exit::Failed, "the daemon does not answer: whether everything is as it was is not known")
        .hint("hitless status says when it does; a bond that is on trial still is taken apart when its time is over, or when \
               the daemon is started anew")
}

/// What became of it, as a daemon has it that answers: the same one, or another that has put everything back. `None`: it
/// has gone meanwhile.
async fn end_by_daemon(socket: &Path, adoption: Option<&Adoption>) -> Option<Result<Verdict, Failure>> {
    let recorded = Record::of(socket).read().map(|trial| trial.bond);
    let bond = recorded.clone().or_else(|| adoption.map(|adoption| adoption.bond.clone()));
    if let Some(bond) = bond {
        match await_end(socket, &bond).await {
            Ok(Ok(verdict)) => return Some(Ok(verdict)),
            // It knows of no trial.
            Ok(Err(ClientError::Hitless(_))) => {}
            Ok(Err(_)) | Err(_) => return None,
        }
    }
    if is_kept(adoption) {
        return Some(kept());
    }
    Some(match Record::of(socket).read() {
        Some(trial) => Err(Failure::new(
            Exit::Failed,
            format!("{} was on trial when the daemon ended, and not everything is as it was", trial.bond),
        )
        .hint("the daemon's log says what; its next start, or hitless adopt, tries again")),
        None => ended("the connection to the daemon broke; everything is as it was"),
    })
}

/// Puts everything back, where no daemon lives that would. `None`: one does.
async fn put_back_alone(socket: &Path, adoption: Option<&Adoption>) -> Option<Result<Verdict, Failure>> {
    // The file counts, whether or not there is a daemon to go by it.
    if is_kept(adoption) {
        return Some(kept());
    }
    Some(match put_back(socket).await {
        Ok(Some(whole)) => ended(&format!("the daemon ended; {whole}")),
        Ok(None) => ended("the daemon ended; everything is as it was"),
        Err(PutBackError::Daemon(BindError::AlreadyRunning { .. })) => return None,
        Err(error) => {
            let message = format!("the daemon ended, and not everything is as it was: {}", chain(&error));
            Err(Failure::new(Exit::Failed, message).hint("the next start of the daemon tries again"))
        }
    })
}

/// Is it in the file?
fn is_kept(adoption: Option<&Adoption>) -> bool {
    adoption.is_some_and(|adoption| {
        let config = config::load(Path::new(&adoption.file));
        config.is_ok_and(|config| config.bond(&adoption.bond).is_some())
    })
}

fn kept() -> Result<Verdict, Failure> {
    let text = "the daemon ended just after it was confirmed; the bond stays".to_owned();
    Ok(Verdict { confirmed: true, text })
}

fn ended(text: &str) -> Result<Verdict, Failure> {
    Ok(Verdict { confirmed: false, text: text.to_owned() })
}

/// The signals that would end us.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// That of a terminal which is gone. There is still something to wait for.
    _hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn interrupted(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// How long there is left, on the terminal.
struct Clock {
    until: Instant,
    ticks: Interval,
    terminal: bool,
}

impl Clock {
    fn new(seconds: u64) -> Self {
        let terminal = io::stdout().is_terminal();
        let period = Duration::from_secs(if terminal { 1 } else { 5 });
        // What there is at first has just been said.
        let ticks = interval_at(tokio::time::Instant::now() + period, period);
        Self { until: Instant::now() + Duration::from_secs(seconds), ticks, terminal }
    }

    async fn tick(&mut self) -> Duration {
        self.ticks.tick().await;
        self.until.saturating_duration_since(Instant::now())
    }

    fn show(&self, left: Duration, out: &mut impl Write) -> io::Result<()> {
        let left = left.as_secs_f64().round();
        if self.terminal {
            write!(out, "\r{left:>4} s left ")?;
        } else {
            writeln!(out, "{left} s left to confirm")?;
        }
        out.flush()
    }
}

fn present(adoption: &Adoption, out: &mut impl Write) -> io::Result<()> {
    let (strong, unsure, faint) = (style::STRONG, style::UNSURE, style::FAINT);
    let (bond, from) = (clean(&adoption.bond), clean(&adoption.from));
    let had = adoption.addresses.iter().map(String::as_str).chain([adoption.mac.as_str()]);
    let had: Vec<_> = had.map(clean).collect();
    let gateways: Vec<_> = adoption.gateways.iter().map(|gateway| clean(gateway)).collect();
    let routes = if gateways.is_empty() {
        String::new()
    } else {
        format!(", default route via {}", gateways.join(", "))
    };
    writeln!(out, "{strong}{bond}{strong:#} has what {from} had: {}{routes}", had.join(", "))?;
    for note in &adoption.notes {
        writeln!(out, "{unsure}note:{unsure:#} {}", clean(note))?;
    }
    writeln!(out, "To be added to {}:", clean(&adoption.file))?;
    for line in adoption.section.lines() {
        writeln!(out, "{faint}  {}{faint:#}", clean(line))?;
    }
    let here = if io::stdin().is_terminal() { " (or Enter)" } else { "" };
    writeln!(
        out,
        "Within {} s, {strong}hitless confirm{strong:#}{here} keeps it; else everything is put back as it was.",
        adoption.confirm_within_s
    )?;
    out.flush()
}
