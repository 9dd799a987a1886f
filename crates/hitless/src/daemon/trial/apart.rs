//! Taking a bond apart that is on trial no more, so that everything is as it was: by the daemon, by the next one, or by
//! whoever waits for the verdict and finds none.
//!
//! The record stays until everything is: then it can be tried again.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use hitless_linux::netlink::Netlink;

use crate::adoption::record::{OnTrial, Record, RecordError};
use crate::causes::chain;
use crate::config::Config;
use crate::daemon::others::Others;
use crate::driver::{Driver, DriverError, Tools};
use crate::ledger::{Ledger, LedgerError};
use crate::server::{BindError, Lock};

/// Why what was on trial could not be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum PutBackError {
    /// The kernel cannot be asked.
    #[error(transparent)]
    Request(#[from] hitless_linux::error::RequestError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A daemon lives, and does it; or it cannot be told whether one does.
    #[error(transparent)]
    Daemon(#[from] BindError),
    /// Not everything could be restored.
    #[error("{}", .0.join("; "))]
    NotWhole(Vec<String>),
    /// The record cannot be removed.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Takes a bond apart that was on trial when the daemon with this socket was killed, and says what is as it was; `None`:
/// none is on trial. For when no other daemon comes that would do it; one that starts meanwhile is refused.
///
/// # Errors
///
/// See [`PutBackError`]. It can be tried again.
pub async fn put_back(socket: &Path) -> Result<Option<Whole>, PutBackError> {
    let record = Record::of(socket);
    if record.read().is_none() {
        return Ok(None);
    }
    let _lock = Lock::take(socket)?;
    // A daemon may have done it while we were not alone.
    let Some(trial) = record.read() else { return Ok(None) };
    let ledger = Rc::new(RefCell::new(Ledger::open(socket)?));
    let (wireless, _events) = hitless_linux::wireless::Wireless::open()?;
    let tools = Tools { netlink: Netlink::requests()?, ledger, wireless: Rc::new(wireless) };
    let whole = take_apart(&record, &trial, &tools).await?;
    // Where other bonds are, what others are told of them stays: the next daemon knows what of it is to go.
    if tools.ledger.borrow().bonds().is_empty() {
        Others::new().keep_off(std::iter::empty()).await;
    }
    Ok(Some(whole))
}

/// Everything is as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// But for these interfaces, which are gone, and what they had.
    gone: Vec<String>,
}

impl std::fmt::Display for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("everything is as it was")?;
        match self.gone.as_slice() {
            [] => Ok(()),
            [one] => write!(f, ", but for {one}, which is gone"),
            several => write!(f, ", but for {}, which are gone", several.join(", ")),
        }
    }
}

/// Takes a bond apart that is on trial no more. As long as not everything is as it was, the record stays, for another try.
pub(super) async fn take_apart(
    record: &Record,
    trial: &OnTrial,
    tools: &Tools,
) -> Result<Whole, PutBackError> {
    let whole = restore(trial, tools).await.map_err(PutBackError::NotWhole)?;
    record.remove()?;
    Ok(whole)
}

/// Sees to it that everything is as it was before, whatever of the bond is there. Everything is tried; what is not as it
/// was is returned.
async fn restore(trial: &OnTrial, tools: &Tools) -> Result<Whole, Vec<String>> {
    let removed = match Driver::remove_orphan(&trial.bond, tools).await {
        // Somebody has removed it, and perhaps put something of his in its place.
        Ok(false) => Driver::give_ports_back(&trial.bond, tools).await,
        Err(error @ DriverError::NameTaken { .. }) => {
            tracing::warn!("{}: is gone: {}", trial.bond, chain(&error));
            Driver::give_ports_back(&trial.bond, tools).await
        }
        // The bond of that name is another daemon's, and never was ours.
        Err(DriverError::OtherDaemon { .. }) if tools.ledger.borrow().ports(&trial.bond).is_empty() => Ok(()),
        Ok(true) => Ok(()),
        Err(error) => Err(error),
    };
    let mut faults: Vec<String> = removed.err().iter().map(|error| chain(error)).collect();
    // Of several failures a driver tells the first.
    for (_, left) in tools.ledger.borrow().ports(&trial.bond) {
        if !faults.iter().any(|fault| fault.contains(&left.name)) {
            faults.push(format!("{} is not as it was found", left.name));
        }
    }
    let mut whole = Whole::default();
    for port in &trial.before {
        let failures = match tools.netlink.link_named(&port.name).await {
            Ok(Some(link)) => port.complete(&tools.netlink, &link).await.unwrap_or_else(|error| vec![error]),
            Ok(None) => {
                whole.gone.push(port.name.clone());
                Vec::new()
            }
            Err(error) => vec![error],
        };
        faults.extend(failures.iter().map(|error| chain(error)));
    }
    if faults.is_empty() { Ok(whole) } else { Err(faults) }
}

/// What is not as it was, and the remedy.
fn not_whole(faults: &[String]) -> String {
    format!(
        "not everything is as it was: {}; it is tried again by the next hitless adopt, or when the daemon is started anew \
         (systemctl restart hitless)",
        faults.join("; ")
    )
}

/// A daemon before this one was killed while a bond was on trial: everything is put back as it was, unless it was confirmed
/// just before, and is in the configuration.
pub(in crate::daemon) async fn end_trial_of_before(record: &Record, tools: &Tools, config: Option<&Config>) {
    let Some(trial) = record.read() else { return };
    let name = &trial.bond;
    if config.is_some_and(|config| config.bond(name).is_some()) {
        return forget(record);
    }
    match take_apart(record, &trial, tools).await {
        Ok(whole) => tracing::warn!("{name}: was on trial when the daemon ended: {whole}"),
        Err(left) => tracing::error!("{name}: was on trial when the daemon ended: {}", told(&left)),
    }
}

/// What is told of a trial after which not everything is as it was, or is not known to be.
pub(super) fn told(left: &PutBackError) -> String {
    match left {
        PutBackError::NotWhole(faults) => not_whole(faults),
        PutBackError::Request(_)
        | PutBackError::Ledger(_)
        | PutBackError::Daemon(_)
        | PutBackError::Record(_) => chain(left),
    }
}

pub(super) fn forget(record: &Record) {
    if let Err(error) = record.remove() {
        tracing::warn!("{}", chain(&error));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// A daemon that lives may be slow to answer; two at the same work would undo what the other does.
    #[tokio::test]
    async fn nobody_else_puts_back_what_a_living_daemon_has() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("io.hitless.sock");
        assert_eq!(put_back(&socket).await.unwrap(), None);
        let trial = OnTrial { bond: "nobodys".to_owned(), before: Vec::new() };
        Record::of(&socket).write(&trial).unwrap();
        let daemon = Lock::take(&socket).unwrap();
        let error = put_back(&socket).await.unwrap_err();
        assert!(matches!(error, PutBackError::Daemon(BindError::AlreadyRunning { .. })), "{error}");
        assert_eq!(Record::of(&socket).read(), Some(trial));
        drop(daemon);
    }

    #[test]
    fn what_is_gone_is_said() {
        let whole =
            |gone: &[&str]| Whole { gone: gone.iter().map(ToString::to_string).collect() }.to_string();
        assert_eq!(whole(&[]), "everything is as it was");
        assert_eq!(whole(&["eth0"]), "everything is as it was, but for eth0, which is gone");
        assert_eq!(whole(&["a", "b"]), "everything is as it was, but for a, b, which are gone");
    }
}
