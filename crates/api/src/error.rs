//! The errors that a call can be answered with.

use serde::{Deserialize, Serialize};

/// The errors of `io.hitless`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
pub enum Error {
    /// There is no bond of this name.
    #[serde(rename = "io.hitless.NoSuchBond")]
    #[error("there is no bond `{bond}`; see `hitless status` for those there are")]
    NoSuchBond {
        /// The name.
        bond: String,
    },
    /// The bond has no port of this name.
    #[serde(rename = "io.hitless.NoSuchPort")]
    #[error("`{bond}` has no port `{port}`; see `hitless status {bond}` for those it has")]
    NoSuchPort {
        /// The bond.
        bond: String,
        /// The name.
        port: String,
    },
    /// The interface cannot be a port, or cannot be the active one.
    #[serde(rename = "io.hitless.PortUnusable")]
    #[error("`{port}` cannot be used: {reason}")]
    PortUnusable {
        /// The interface.
        port: String,
        /// Why.
        reason: String,
    },
    /// Only root may call this method.
    #[serde(rename = "io.hitless.PermissionDenied")]
    #[error("only root may call {method}; try it with sudo")]
    PermissionDenied {
        /// The method.
        method: String,
    },
    /// The configuration file has errors; nothing was changed.
    #[serde(rename = "io.hitless.ConfigInvalid")]
    #[error("the configuration has errors, nothing was changed\n{report}")]
    ConfigInvalid {
        /// For people: path, line, column, caret.
        report: String,
    },
    /// There is no station of this name.
    #[serde(rename = "io.hitless.NoSuchStation")]
    #[error("{}", no_such_station(port))]
    NoSuchStation {
        /// The name; empty: there is none at all.
        port: String,
    },
    /// It was not said which station is meant, and there are several.
    #[serde(rename = "io.hitless.SeveralStations")]
    #[error("there are several stations, say which with --port: {}", ports.join(", "))]
    SeveralStations {
        /// Their names.
        ports: Vec<String>,
    },
    /// The station did not do what it was asked to.
    #[serde(rename = "io.hitless.WifiFailed")]
    #[error("{reason}")]
    WifiFailed {
        /// Why, and what to do about it.
        reason: String,
    },
    /// The daemon will not do this.
    #[serde(rename = "io.hitless.Refused")]
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// It was tried and did not work.
    #[serde(rename = "io.hitless.Failed")]
    #[error("{reason}")]
    Failed {
        /// Why.
        reason: String,
    },
}

fn no_such_station(port: &str) -> String {
    if port.is_empty() {
        "no port of any bond is a Wi-Fi station; see `hitless status` for the ports there are".to_owned()
    } else {
        format!("there is no station `{port}`; see `hitless wifi status` for those there are")
    }
}

/// The errors that every Varlink service has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
pub enum ServiceError {
    /// The service does not have this interface.
    #[serde(rename = "org.varlink.service.InterfaceNotFound")]
    #[error("the daemon does not have the interface `{interface}`")]
    InterfaceNotFound {
        /// The interface.
        interface: String,
    },
    /// The interface does not have this method.
    #[serde(rename = "org.varlink.service.MethodNotFound")]
    #[error("the daemon does not have the method `{method}`; is it of another version?")]
    MethodNotFound {
        /// The method, with its interface.
        method: String,
    },
    /// A parameter is missing, unknown, or of another type.
    #[serde(rename = "org.varlink.service.InvalidParameter")]
    #[error("the parameter `{parameter}` is missing, unknown or of the wrong type")]
    InvalidParameter {
        /// The parameter.
        parameter: String,
    },
    /// The method has many replies and must be called with `more`.
    #[serde(rename = "org.varlink.service.ExpectedMore")]
    #[error("the method has many replies: call it with `more`")]
    ExpectedMore {},
}
