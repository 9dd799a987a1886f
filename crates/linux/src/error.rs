//! The one error of requests to the kernel: what was asked, of which interface, and what the kernel said.

use std::fmt;
use std::io;

use nix::errno::Errno;

/// A request to the kernel that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// What was asked, as it goes after "cannot", such as `set the MTU of`.
    pub request: String,
    /// The interface that it was asked of; empty where there is none.
    pub interface: String,
    /// Why it failed.
    pub cause: Cause,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The kernel refused.
    Kernel {
        /// Its error number.
        errno: Errno,
        /// Its explanation (extended acknowledgement, `NLMSGERR_ATTR_MSG`), where it gave one; else ours, where the number
        /// means something special for this request.
        message: Option<String>,
    },
    /// The netlink connection is closed; a new one has to be opened.
    Closed,
    /// The kernel's answer did not contain what every such answer contains.
    Answer(&'static str),
    /// What was asked cannot be meant, and was not sent.
    Invalid(String),
}

impl Cause {
    /// The cause for an error number without explanation.
    pub(crate) fn errno(errno: Errno) -> Self {
        Self::Kernel { errno, message: None }
    }

    /// This cause, of this request to this interface.
    pub(crate) fn of(self, request: impl Into<String>, interface: impl Into<String>) -> RequestError {
        RequestError { request: request.into(), interface: interface.into(), cause: self }
    }
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self::errno(errno)
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::errno(Errno::from_raw(errno)),
            None => Self::Invalid(error.to_string()),
        }
    }
}

impl RequestError {
    /// The kernel's error number, where the kernel refused.
    pub fn errno(&self) -> Option<Errno> {
        match self.cause {
            Cause::Kernel { errno, .. } => Some(errno),
            Cause::Closed | Cause::Answer(_) | Cause::Invalid(_) => None,
        }
    }

    /// The explanation, where there is one.
    pub fn message(&self) -> Option<&str> {
        match &self.cause {
            Cause::Kernel { message, .. } => message.as_deref(),
            Cause::Closed | Cause::Answer(_) | Cause::Invalid(_) => None,
        }
    }

    /// The interface (or address, or route) does not exist, or no longer.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.errno(),
            Some(Errno::ENODEV | Errno::ENXIO | Errno::ESRCH | Errno::ENOENT | Errno::EADDRNOTAVAIL)
        )
    }

    /// It is in use or in a state in which this cannot be done; with the interface down it may work.
    pub fn is_busy(&self) -> bool {
        self.errno() == Some(Errno::EBUSY)
    }

    /// What was to be created is there already.
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }

    /// The caller is not allowed to.
    ///
    /// The bonding driver also says `EPERM` for options that make no sense at present, and explains them;
    /// a refusal with an explanation is therefore not taken for a missing privilege.
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), Some(Errno::EPERM | Errno::EACCES)) && self.message().is_none()
    }

    /// The kernel, or the interface's driver, cannot do this at all.
    pub fn is_unsupported(&self) -> bool {
        self.errno() == Some(Errno::EOPNOTSUPP)
    }

    /// The interface's driver does not take this hardware address: it cannot, not now (mac80211, while it is up), or not
    /// this one.
    pub fn is_address_refused(&self) -> bool {
        matches!(self.errno(), Some(Errno::EOPNOTSUPP | Errno::EBUSY | Errno::EADDRNOTAVAIL | Errno::EINVAL))
    }

    /// The interface is down.
    pub fn is_down(&self) -> bool {
        self.errno() == Some(Errno::ENETDOWN)
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.request)?;
        if !self.interface.is_empty() {
            write!(f, " {}", self.interface)?;
        }
        write!(f, ": {}", self.cause)?;
        if self.is_permission() {
            f.write_str("; this needs the capability CAP_NET_ADMIN: run as root")?;
        }
        Ok(())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel { errno, message: None } => write!(f, "{} ({errno:?})", errno.desc()),
            Self::Kernel { errno, message: Some(message) } => {
                write!(f, "{} ({errno:?}): {message}", errno.desc())
            }
            Self::Closed => f.write_str("the netlink connection is closed"),
            Self::Answer(missing) => write!(f, "the kernel's answer has no {missing}"),
            Self::Invalid(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_of_whom_and_why() {
        let error = Cause::Kernel { errno: Errno::EINVAL, message: Some("mode too low".into()) };
        let error = error.of("change the bonding options of", "bond0");
        assert_eq!(
            error.to_string(),
            "cannot change the bonding options of bond0: Invalid argument (EINVAL): mode too low"
        );
    }

    #[test]
    fn permission_names_the_remedy() {
        let error = Cause::errno(Errno::EPERM).of("create", "bond0");
        assert!(error.is_permission());
        assert!(error.to_string().contains("run as root"), "{error}");
        let explained = Cause::Kernel { errno: Errno::EPERM, message: Some("option".into()) }.of("x", "y");
        assert!(!explained.is_permission());
    }
}
