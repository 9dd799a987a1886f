//! The system bus: where it is, how it is connected to, and how a service on it is found and called.
//!
//! Not responsible for what is said on it. A machine without a bus is a machine like any other: nobody is told more of it
//! than at debug level.

pub(crate) mod owner;
pub(crate) mod peer;
#[cfg(test)]
pub(crate) mod testbus;

use std::time::Duration;

use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::{Connection, Error};

/// How long it may take to be let in, and to get an answer of the bus itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// A bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bus {
    /// In the form of the D-Bus specification ("Server Addresses"); `None` for the system bus.
    address: Option<String>,
}

/// A bus cannot be connected to.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// It is not there, or does not let us in.
    #[error("cannot connect to the system bus")]
    Refused(#[from] Error),
    /// It does not answer.
    #[error("the system bus does not answer")]
    Silent,
}

impl Bus {
    /// The system bus: where `DBUS_SYSTEM_BUS_ADDRESS` says, or in its usual place.
    pub fn system() -> Self {
        Self::default()
    }

    /// The bus at an address, such as `unix:path=/run/dbus/system_bus_socket`.
    pub fn at(address: impl Into<String>) -> Self {
        Self { address: Some(address.into()) }
    }

    /// Connects to it, within a tokio runtime. The connection ends with its last handle.
    ///
    /// # Errors
    ///
    /// When it is not there, or does not let us in.
    pub async fn connect(&self) -> Result<Connection, BusError> {
        let builder = match &self.address {
            Some(address) => Builder::address(address.as_str()),
            None => Builder::system(),
        };
        Ok(timeout(PATIENCE, builder.build()).await.map_err(|_| BusError::Silent)??)
    }
}

/// How long to wait before the bus is tried again: ever longer, up to ten minutes, since most machines that have none will
/// never have one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(Duration);

impl Patience {
    const FIRST: Duration = Duration::from_millis(250);
    const LONGEST: Duration = Duration::from_secs(600);

    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        pause
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}
