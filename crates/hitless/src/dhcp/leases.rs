//! Leases on disk, so that the next daemon, or the next boot, asks for the same address again.

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hitless_core::{dhcp, dhcp6};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::file;

/// A lease as it is written down.
pub trait Remembered: Serialize + DeserializeOwned {
    /// The directory of such leases, in that of what the daemon has to remember.
    const DIRECTORY: &'static str;

    /// The same some time later; `None` if it runs no more.
    fn aged(self, passed: Duration) -> Option<Self>;
}

impl Remembered for dhcp::Remembered {
    const DIRECTORY: &'static str = "leases";

    fn aged(mut self, passed: Duration) -> Option<Self> {
        if let Some(remaining) = self.remaining {
            self.remaining = Some(remaining.checked_sub(passed).filter(|left| !left.is_zero())?);
        }
        Some(self)
    }
}

impl Remembered for dhcp6::Remembered {
    const DIRECTORY: &'static str = "leases6";

    fn aged(self, passed: Duration) -> Option<Self> {
        dhcp6::Remembered::aged(self, passed)
    }
}

/// The lease of one bond, by DHCPv4 or by DHCPv6.
#[derive(Clone, Debug)]
pub struct Leases<R> {
    path: PathBuf,
    kind: PhantomData<fn(R) -> R>,
}

/// A lease cannot be kept, or is not to be kept and still there.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}, where the bond's lease is kept", path.display())]
pub struct LeaseError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
struct Page<R> {
    /// When it was written, in seconds since 1970.
    written: u64,
    lease: R,
}

impl<R: Remembered> Leases<R> {
    /// Those of this bond, in this directory.
    pub fn of(state: &Path, bond: &str) -> Self {
        Self { path: state.join(R::DIRECTORY).join(format!("{bond}.json")), kind: PhantomData }
    }

    /// The lease that was kept last, if it still runs at this time. What cannot be read or understood is none: a server
    /// knows it as well.
    pub fn read(&self, now: SystemTime) -> Option<R> {
        let bytes = fs::read(&self.path).ok()?;
        let Page { written, lease } = match serde_json::from_slice(&bytes) {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "this lease is not understood, and passed over");
                return None;
            }
        };
        // A clock that was put back in between says nothing of how long the lease still runs.
        let passed = Duration::from_secs(since_1970(now).checked_sub(written)?);
        R::aged(lease, passed)
    }

    /// Keeps a lease.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, now: SystemTime, lease: R) -> Result<(), LeaseError> {
        let page = Page { written: since_1970(now), lease };
        file::replace_json(&self.path, &page).map_err(|source| self.failed("write", source))
    }

    /// Forgets it.
    ///
    /// # Errors
    ///
    /// When it is there, and cannot be removed.
    pub fn forget(&self) -> Result<(), LeaseError> {
        file::remove(&self.path).map_err(|source| self.failed("remove", source))
    }

    fn failed(&self, what: &'static str, source: io::Error) -> LeaseError {
        LeaseError { what, path: self.path.clone(), source }
    }
}

fn since_1970(now: SystemTime) -> u64 {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use hitless_core::dhcp::{Parameters, Remembered};

    fn lease(remaining: Option<u64>) -> Remembered {
        Remembered {
            parameters: Parameters {
                address: [192, 0, 2, 5].into(),
                prefix_len: 24,
                gateways: vec![[192, 0, 2, 1].into()],
                routes: Vec::new(),
                mtu: None,
                dns: Vec::new(),
                domain: None,
                search: Vec::new(),
                ntp: Vec::new(),
                hostname: None,
            },
            server: [192, 0, 2, 1].into(),
            remaining: remaining.map(Duration::from_secs),
            gateway_mac: None,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn what_has_passed_is_taken_off() {
        let state = tempfile::tempdir().unwrap();
        let leases = Leases::of(state.path(), "bond0");
        assert_eq!(leases.read(at(1000)), None);
        leases.write(at(1000), lease(Some(3600))).unwrap();
        assert_eq!(leases.read(at(1600)), Some(lease(Some(3000))));
        assert_eq!(Leases::<Remembered>::of(state.path(), "bond1").read(at(1600)), None);
        assert_eq!(leases.read(at(4600)), None, "it is over");
        assert_eq!(leases.read(at(999)), None, "the clock was put back");
        leases.write(at(1000), lease(None)).unwrap();
        assert_eq!(leases.read(at(1_000_000)), Some(lease(None)));
        leases.forget().unwrap();
        leases.forget().unwrap();
        assert_eq!(leases.read(at(1000)), None);
    }

    #[test]
    fn both_kinds_have_files_of_their_own() {
        let state = tempfile::tempdir().unwrap();
        let lent = |what: [u16; 8], valid: Option<u64>| dhcp6::Kept {
            what: what.into(),
            preferred: Some(Duration::from_secs(50)),
            valid: valid.map(Duration::from_secs),
        };
        let [short, long] =
            [lent([0xfd00, 0, 0, 0, 0, 0, 0, 1], Some(60)), lent([0xfd00, 0, 0, 0, 0, 0, 0, 2], None)];
        let kept = dhcp6::Remembered {
            server: vec![0, 3, 0, 1],
            from: [0xfe80, 0, 0, 0, 0, 0, 0, 1].into(),
            addresses: vec![short, long],
            prefixes: Vec::new(),
            information: dhcp6::Information::default(),
        };
        let leases = Leases::of(state.path(), "bond0");
        leases.write(at(1000), kept).unwrap();
        Leases::of(state.path(), "bond0").write(at(1000), lease(None)).unwrap();
        let later: dhcp6::Remembered = leases.read(at(1060)).unwrap();
        assert_eq!(later.addresses, [dhcp6::Kept { preferred: Some(Duration::ZERO), ..long }]);
    }

    #[test]
    fn what_is_not_understood_is_none() {
        let state = tempfile::tempdir().unwrap();
        let leases = Leases::of(state.path(), "bond0");
        leases.write(at(0), lease(None)).unwrap();
        let whole = fs::read(&leases.path).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len() - 2] {
            fs::write(&leases.path, &whole[..length]).unwrap();
            assert_eq!(leases.read(at(1)), None, "{length} octets");
        }
    }
}
