//! Network namespaces: opening them and working in them. Making and removing them is left to `ip netns`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::error::{Cause, RequestError};

/// Where `ip netns` keeps the namespaces that have names.
const NAMED: &str = "/run/netns";

/// The namespace of the calling thread.
const OWN: &str = "/proc/thread-self/ns/net";

/// An open network namespace. It lives at least as long as this.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    path: PathBuf,
}

impl NetNs {
    /// Open a namespace by the name that `ip netns` gave it, or by a path such as `/proc/1/ns/net`.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(name_or_path: &str) -> Result<Self, RequestError> {
        let path = if name_or_path.contains('/') {
            PathBuf::from(name_or_path)
        } else {
            Path::new(NAMED).join(name_or_path)
        };
        let file = File::open(&path).map_err(|error| {
            Cause::from(error).of("open the network namespace", path.display().to_string())
        })?;
        Ok(Self { file, path })
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// When /proc is not mounted.
    pub fn current() -> Result<Self, RequestError> {
        Self::open(OWN)
    }

    /// Put the calling thread into the namespace, for good. Sockets that it has stay where they were opened.
    ///
    /// # Errors
    /// Without CAP_SYS_ADMIN, or when the path was not a network namespace.
    pub fn enter(&self) -> Result<(), RequestError> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(|errno| {
            Cause::from(errno).of("enter the network namespace", self.path.display().to_string())
        })
    }

    /// Run something in the namespace, on a thread of its own, and wait for it. A panic goes on in the calling thread.
    ///
    /// # Errors
    /// As [`NetNs::enter`].
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, RequestError> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| self.enter().map(|()| work()));
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

/// Is the calling thread in the network namespace of process 1: that of the machine, or of the container? `None` where
/// that cannot be told, for want of /proc or of the privilege to look at process 1.
pub fn current_is_initial() -> Option<bool> {
    let identity = |path: &str| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    Some(identity(OWN)? == identity("/proc/1/ns/net")?)
}
