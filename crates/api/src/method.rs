//! The calls that a client can make, and how they are read.
//!
//! [`Call::parse`] is a pure function from one message to a typed call; whatever the message is, it returns.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::ServiceError;
use crate::trial::NewBond;
use crate::wifi::NewNetwork;
use crate::{DESCRIPTION, INTERFACE};

/// A method of `io.hitless` with its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "method", content = "parameters")]
pub enum Method {
    /// All bonds as they are now.
    #[serde(rename = "io.hitless.Status")]
    Status {},
    /// What happens, as it happens.
    #[serde(rename = "io.hitless.Monitor")]
    Monitor {},
    /// Make a port the active one.
    #[serde(rename = "io.hitless.Switch")]
    Switch {
        /// The bond.
        bond: String,
        /// The port.
        port: String,
    },
    /// Make an interface a port.
    #[serde(rename = "io.hitless.AddPort")]
    AddPort {
        /// The bond.
        bond: String,
        /// The interface.
        port: String,
    },
    /// Take a port out of a bond.
    #[serde(rename = "io.hitless.RemovePort")]
    RemovePort {
        /// The bond.
        bond: String,
        /// The port.
        port: String,
    },
    /// Read the configuration file again.
    #[serde(rename = "io.hitless.Reload")]
    Reload {},
    /// Remove a bond, or all of them.
    #[serde(rename = "io.hitless.Down")]
    Down {
        /// The bond; `None`: all of them.
        bond: Option<String>,
    },
    /// Build a bond around interfaces in use, on trial.
    #[serde(rename = "io.hitless.Adopt")]
    Adopt(NewBond),
    /// Keep the bond that is on trial.
    #[serde(rename = "io.hitless.Confirm")]
    Confirm {},
    /// How a trial ends.
    #[serde(rename = "io.hitless.AwaitTrial")]
    AwaitTrial {
        /// The bond.
        bond: String,
    },
    /// All stations as they are now.
    #[serde(rename = "io.hitless.WifiStatus")]
    WifiStatus {},
    /// The networks that stations may join.
    #[serde(rename = "io.hitless.WifiList")]
    WifiList {
        /// The station; `None`: all of them.
        port: Option<String>,
    },
    /// Look for access points.
    #[serde(rename = "io.hitless.WifiScan")]
    WifiScan {
        /// The station; `None`: all of them.
        port: Option<String>,
    },
    /// Join a network, and remember it.
    #[serde(rename = "io.hitless.WifiConnect")]
    WifiConnect {
        /// The station; `None`: the only one.
        port: Option<String>,
        /// The network.
        network: Box<NewNetwork>,
    },
    /// Leave the network, and join none.
    #[serde(rename = "io.hitless.WifiDisconnect")]
    WifiDisconnect {
        /// The station; `None`: the only one.
        port: Option<String>,
    },
    /// Forget a network that `WifiConnect` joined.
    #[serde(rename = "io.hitless.WifiForget")]
    WifiForget {
        /// The station; `None`: the only one.
        port: Option<String>,
        /// The network's name as text.
        ssid: String,
        /// Its name in hex digits; then `ssid` is not looked at.
        ssid_hex: Option<String>,
    },
}

impl Method {
    /// Its name without the interface, as in the interface file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Status {} => "Status",
            Self::Monitor {} => "Monitor",
            Self::Switch { .. } => "Switch",
            Self::AddPort { .. } => "AddPort",
            Self::RemovePort { .. } => "RemovePort",
            Self::Reload {} => "Reload",
            Self::Down { .. } => "Down",
            Self::Adopt(_) => "Adopt",
            Self::Confirm {} => "Confirm",
            Self::AwaitTrial { .. } => "AwaitTrial",
            Self::WifiStatus {} => "WifiStatus",
            Self::WifiList { .. } => "WifiList",
            Self::WifiScan { .. } => "WifiScan",
            Self::WifiConnect { .. } => "WifiConnect",
            Self::WifiDisconnect { .. } => "WifiDisconnect",
            Self::WifiForget { .. } => "WifiForget",
        }
    }

    /// May anyone call it? It leaves everything as it is, costs no radio time, and says nothing of where we have been.
    pub fn is_read_only(&self) -> bool {
        matches!(self, Self::Status {} | Self::Monitor {} | Self::WifiStatus {})
    }

    fn parse(name: &str, parameters: Parameters) -> Result<Self, ServiceError> {
        let mut p = parameters;
        let method = match name {
            "Status" => Self::Status {},
            "Monitor" => Self::Monitor {},
            "Switch" => Self::Switch { bond: p.text("bond")?, port: p.text("port")? },
            "AddPort" => Self::AddPort { bond: p.text("bond")?, port: p.text("port")? },
            "RemovePort" => Self::RemovePort { bond: p.text("bond")?, port: p.text("port")? },
            "Reload" => Self::Reload {},
            "Down" => Self::Down { bond: p.optional_text("bond")? },
            "Adopt" => Self::Adopt(NewBond {
                ports: p.object("ports")?,
                bond: p.optional_text("bond")?,
                driver: p.optional("driver")?,
                within_s: p.object("within_s")?,
                session: p.optional("session")?,
            }),
            "Confirm" => Self::Confirm {},
            "AwaitTrial" => Self::AwaitTrial { bond: p.text("bond")? },
            "WifiStatus" => Self::WifiStatus {},
            "WifiList" => Self::WifiList { port: p.optional_text("port")? },
            "WifiScan" => Self::WifiScan { port: p.optional_text("port")? },
            "WifiConnect" => {
                Self::WifiConnect { port: p.optional_text("port")?, network: p.object("network")? }
            }
            "WifiDisconnect" => Self::WifiDisconnect { port: p.optional_text("port")? },
            "WifiForget" => Self::WifiForget {
                port: p.optional_text("port")?,
                ssid: p.text("ssid")?,
                ssid_hex: p.optional_text("ssid_hex")?,
            },
            _ => return Err(ServiceError::MethodNotFound { method: format!("{INTERFACE}.{name}") }),
        };
        p.finish()?;
        Ok(method)
    }
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A method of ours.
    Method(Method),
    /// `org.varlink.service.GetInfo`.
    GetInfo,
    /// `org.varlink.service.GetInterfaceDescription`.
    GetInterfaceDescription {
        /// Of which interface.
        interface: String,
    },
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What is asked for, or the error to answer with.
    pub request: Result<Request, ServiceError>,
    /// The client is ready for many replies.
    pub more: bool,
    /// The client wants no reply at all.
    pub oneway: bool,
}

/// The message is not a Varlink call; there is nothing to answer. (What the parser says of it might quote a secret.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Varlink call: wrong at byte {column}")]
pub struct NotACall {
    /// Where, from 1; 0 where the whole is of the wrong type.
    pub column: usize,
}

impl From<serde_json::Error> for NotACall {
    fn from(error: serde_json::Error) -> Self {
        Self { column: error.column() }
    }
}

impl Call {
    /// Reads one message, without its NUL.
    pub fn parse(message: &[u8]) -> Result<Self, NotACall> {
        #[derive(Deserialize)]
        struct Envelope {
            method: String,
            #[serde(default)]
            parameters: Option<Map<String, Value>>,
            #[serde(default)]
            more: Option<bool>,
            #[serde(default)]
            oneway: Option<bool>,
        }

        let envelope: Envelope = serde_json::from_slice(message)?;
        Ok(Self {
            request: Request::parse(&envelope.method, Parameters(envelope.parameters.unwrap_or_default())),
            more: envelope.more.unwrap_or(false),
            oneway: envelope.oneway.unwrap_or(false),
        })
    }
}

impl Request {
    fn parse(full_name: &str, mut parameters: Parameters) -> Result<Self, ServiceError> {
        let (interface, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
        match (interface, name) {
            (INTERFACE, name) => Method::parse(name, parameters).map(Self::Method),
            ("org.varlink.service", "GetInfo") => parameters.finish().map(|()| Self::GetInfo),
            ("org.varlink.service", "GetInterfaceDescription") => {
                let interface = parameters.text("interface")?;
                parameters.finish()?;
                Ok(Self::GetInterfaceDescription { interface })
            }
            ("org.varlink.service", _) => Err(ServiceError::MethodNotFound { method: full_name.to_owned() }),
            _ => Err(ServiceError::InterfaceNotFound { interface: interface.to_owned() }),
        }
    }
}

/// The parameters of a call that have not been read yet.
struct Parameters(Map<String, Value>);

impl Parameters {
    fn text(&mut self, name: &str) -> Result<String, ServiceError> {
        self.optional_text(name)?.ok_or_else(|| invalid(name))
    }

    fn optional_text(&mut self, name: &str) -> Result<Option<String>, ServiceError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(invalid(name))
            }
        }
    }

    fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, ServiceError> {
        let value = self.0.remove(name).unwrap_or_default();
        serde_json::from_value(value).map_err(|_| invalid(name))
    }

    /// What is wrong inside is not said: it may be a secret.
    fn object<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, ServiceError> {
        let value = self.0.remove(name).ok_or_else(|| invalid(name))?;
        serde_json::from_value(value).map_err(|_| invalid(name))
    }

    fn finish(&self) -> Result<(), ServiceError> {
        self.0.keys().next().map_or(Ok(()), |name| Err(invalid(name)))
    }
}

fn invalid(parameter: &str) -> ServiceError {
    ServiceError::InvalidParameter { parameter: parameter.to_owned() }
}

/// What `org.varlink.service.GetInfo` returns.
pub fn info() -> Value {
    serde_json::json!({
        "vendor": "hitless",
        "product": "hitless",
        "version": env!("CARGO_PKG_VERSION"),
        "url": env!("CARGO_PKG_REPOSITORY"),
        "interfaces": ["org.varlink.service", INTERFACE],
    })
}

/// What `org.varlink.service.GetInterfaceDescription` returns.
pub fn description(interface: &str) -> Result<Value, ServiceError> {
    match interface {
        INTERFACE => Ok(serde_json::json!({ "description": DESCRIPTION })),
        "org.varlink.service" => Ok(serde_json::json!({ "description": SERVICE_DESCRIPTION })),
        _ => Err(ServiceError::InterfaceNotFound { interface: interface.to_owned() }),
    }
}

/// The interface that every Varlink service has; <https://varlink.org/Service>.
const SERVICE_DESCRIPTION: &str = include_str!("../org.varlink.service.varlink");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn request(message: &str) -> Result<Request, ServiceError> {
        Call::parse(message.as_bytes()).unwrap().request
    }

    #[test]
    fn parameters_may_be_missing_null_or_empty_where_there_are_none() {
        for parameters in ["", r#","parameters":null"#, r#","parameters":{}"#] {
            let message = format!(r#"{{"method":"io.hitless.Status"{parameters}}}"#);
            assert_eq!(request(&message), Ok(Request::Method(Method::Status {})), "{message}");
        }
        assert_eq!(
            request(r#"{"method":"io.hitless.Down","parameters":{"bond":null}}"#),
            Ok(Request::Method(Method::Down { bond: None }))
        );
    }

    #[test]
    fn the_wrong_parameter_is_named() {
        for (message, parameter) in [
            (r#"{"method":"io.hitless.Switch"}"#, "bond"),
            (r#"{"method":"io.hitless.Switch","parameters":{"bond":"b"}}"#, "port"),
            (r#"{"method":"io.hitless.Switch","parameters":{"bond":"b","port":1}}"#, "port"),
            (r#"{"method":"io.hitless.Status","parameters":{"bond":"b"}}"#, "bond"),
        ] {
            assert_eq!(request(message), Err(invalid(parameter)), "{message}");
        }
    }

    #[test]
    fn unknown_names_are_told_apart() {
        let unknown_method = ServiceError::MethodNotFound { method: "io.hitless.Explode".to_owned() };
        assert_eq!(request(r#"{"method":"io.hitless.Explode"}"#), Err(unknown_method));
        let unknown_interface = ServiceError::InterfaceNotFound { interface: "org.example".to_owned() };
        assert_eq!(request(r#"{"method":"org.example.Ping"}"#), Err(unknown_interface));
        assert_eq!(
            request(r#"{"method":""}"#),
            Err(ServiceError::InterfaceNotFound { interface: String::new() })
        );
    }

    #[test]
    fn what_is_not_a_call_is_an_error() {
        let deep = "[".repeat(10_000);
        for message in ["", "{", "null", "[]", "{}", r#"{"method":1}"#, "\u{1}", deep.as_str()] {
            assert!(Call::parse(message.as_bytes()).is_err(), "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_return(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Call::parse(&bytes);
        }
    }
}
