//! Ctrl-C: turned into an ordinary error, so that everything is cleaned up by the same code as always.
//!
//! Only programs that call [`install`] are affected. Every wait of the laboratory asks [`check`].

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{IoContext as _, LabError, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT, SIGTERM and SIGHUP make [`check`] fail instead of ending the process.
///
/// # Errors
///
/// When the handlers cannot be installed.
pub fn install() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context(|| "starting the signal thread".to_owned())?;
    let mut streams = {
        let _in_runtime = runtime.enter();
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .into_iter()
            .map(signal)
            .collect::<std::io::Result<Vec<_>>>()
            .context(|| "catching signals".to_owned())?
    };
    thread::spawn(move || {
        runtime.block_on(async {
            let [int, term, hup] = streams.as_mut_slice() else { return };
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
                _ = hup.recv() => {}
            }
            INTERRUPTED.store(true, Ordering::SeqCst);
        });
        // The thread stays, and with it the handlers: a second Ctrl-C must not cut the clean-up short.
        thread::park();
        drop(streams);
    });
    Ok(())
}

/// The whole life of a program that measures: it may be interrupted, and says why it failed.
pub fn measure(measurement: impl FnOnce() -> Result<()>) -> ExitCode {
    match install().and_then(|()| measurement()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(LabError::Interrupted) => ExitCode::from(130),
        Err(error) => {
            eprintln!("the measurement failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Has nobody interrupted us?
///
/// # Errors
///
/// [`LabError::Interrupted`] after a signal.
pub fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(LabError::Interrupted) } else { Ok(()) }
}
