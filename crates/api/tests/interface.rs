//! The Rust types and the interface file say the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

use std::collections::BTreeSet;

use hitless_api::method::{Call, Request};
use hitless_api::{
    Bond, Cause, DESCRIPTION, Driver, Duplex, Error, Failover, INTERFACE, Kind, LinkState, Method,
    MonitorReply, Notice, Port, Status,
};
use serde::Serialize;
use serde_json::{Map, Value};
use zlink_idl::{Interface, Parameter, Type};

fn interface() -> Interface<'static> {
    DESCRIPTION.try_into().expect("the interface file is valid")
}

fn failover() -> Failover {
    let name = |text: &str| Some(text.to_owned());
    Failover { from: name("eth0"), to: name("wlan0"), cause: Cause::CarrierLost, took_us: 600 }
}

/// Every optional field is there.
fn full_bond() -> Bond {
    let text = |text: &str| Some(text.to_owned());
    let port = Port {
        name: "eth0".to_owned(),
        index: Some(2),
        link: LinkState::Up,
        active: true,
        waiting: text("carrier"),
        link_failures: 1,
        permanent_mac: text("02:00:00:00:00:01"),
        speed_mbps: Some(1000),
        duplex: Some(Duplex::Full),
    };
    Bond {
        name: "bond0".to_owned(),
        driver: Driver::Ebpf,
        mode: "active-backup".to_owned(),
        active: text("eth0"),
        primary: text("eth0"),
        carrier: true,
        mac: text("02:00:00:00:00:01"),
        ports: vec![port],
        last_failover: Some(failover()),
    }
}

/// No optional field is there.
fn empty_bond() -> Bond {
    let mut bond = full_bond();
    for port in &mut bond.ports {
        *port = Port {
            index: None,
            waiting: None,
            permanent_mac: None,
            speed_mbps: None,
            duplex: None,
            ..port.clone()
        };
    }
    Bond { active: None, primary: None, mac: None, last_failover: None, ..bond }
}

fn full_notice() -> Notice {
    Notice {
        port: Some("eth0".to_owned()),
        link: Some(LinkState::Down),
        carrier: Some(true),
        failover: Some(failover()),
        waiting: Some("carrier".to_owned()),
        what: Some("set MAC".to_owned()),
        reason: Some("busy".to_owned()),
        ..Notice::new("bond0", 1, Kind::Failover, "text".to_owned())
    }
}

/// The value has exactly the fields of the interface, with values of their types.
fn conforms(value: &Value, fields: &[&Parameter<'_>], path: &str) {
    let object = value.as_object().unwrap_or_else(|| panic!("{path}: not an object: {value}"));
    let ours: BTreeSet<_> = object.keys().cloned().collect();
    let theirs: BTreeSet<_> = fields.iter().map(|field| field.name().to_string()).collect();
    assert_eq!(ours, theirs, "{path}");
    for field in fields {
        let name = field.name().to_string();
        conforms_type(&object[&name], field.ty(), &format!("{path}.{name}"));
    }
}

fn conforms_type(value: &Value, ty: &Type<'_>, path: &str) {
    match ty {
        Type::Bool => assert!(value.is_boolean(), "{path}: {value}"),
        Type::Int => assert!(value.is_i64(), "{path}: {value}"),
        Type::String => assert!(value.is_string(), "{path}: {value}"),
        Type::Optional(_) if value.is_null() => {}
        Type::Optional(inner) => conforms_type(value, inner.inner(), path),
        Type::Array(inner) => {
            for item in value.as_array().unwrap_or_else(|| panic!("{path}: not an array: {value}")) {
                conforms_type(item, inner.inner(), path);
            }
        }
        Type::Custom(name) => {
            let interface = interface();
            let custom =
                interface.custom_types().find(|custom| custom.name() == name).expect("the type exists");
            if let Some(object) = custom.as_object() {
                conforms(value, &object.fields().collect::<Vec<_>>(), path);
            } else {
                let words = variants(name.as_ref());
                assert!(words.contains(value.as_str().expect("a word")), "{path}: {value}");
            }
        }
        other => panic!("{path}: the interface has no use for {other}"),
    }
}

fn variants(name: &str) -> BTreeSet<String> {
    let interface = interface();
    let custom = interface.custom_types().find(|custom| *custom.name() == name).expect("the type exists");
    custom.as_enum().expect("an enumeration").variants().map(|variant| variant.name().to_string()).collect()
}

fn words<T: Serialize>(all: &[T]) -> BTreeSet<String> {
    all.iter().map(|word| serde_json::to_value(word).unwrap().as_str().unwrap().to_owned()).collect()
}

#[test]
fn enumerations_have_the_same_words() {
    assert_eq!(variants("Driver"), words(Driver::ALL));
    assert_eq!(variants("LinkState"), words(LinkState::ALL));
    assert_eq!(variants("Duplex"), words(Duplex::ALL));
    assert_eq!(variants("Cause"), words(Cause::ALL));
    assert_eq!(variants("Kind"), words(Kind::ALL));
    for state in LinkState::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}

#[test]
fn replies_have_the_same_fields() {
    let interface = interface();
    let outputs = |name: &str| -> Vec<&Parameter<'static>> {
        interface.methods().find(|method| *method.name() == name).expect("the method").outputs().collect()
    };
    for bond in [full_bond(), empty_bond()] {
        let status = Status { bonds: vec![bond.clone()] };
        conforms(&serde_json::to_value(&status).unwrap(), &outputs("Status"), "Status");
        let first = MonitorReply { bonds: Some(vec![bond]), notice: None };
        conforms(&serde_json::to_value(&first).unwrap(), &outputs("Monitor"), "Monitor");
    }
    for notice in [full_notice(), Notice::new("bond0", 1, Kind::Carrier, String::new())] {
        let reply = MonitorReply { bonds: None, notice: Some(notice) };
        let value = serde_json::to_value(&reply).unwrap();
        conforms(&value, &outputs("Monitor"), "Monitor");
        assert_eq!(serde_json::from_value::<MonitorReply>(value).unwrap(), reply);
    }
}

fn every_method() -> Vec<Method> {
    let [bond, port] = ["bond0", "eth0"].map(str::to_owned);
    vec![
        Method::Status {},
        Method::Monitor {},
        Method::Switch { bond: bond.clone(), port: port.clone() },
        Method::AddPort { bond: bond.clone(), port: port.clone() },
        Method::RemovePort { bond: bond.clone(), port },
        Method::Reload {},
        Method::Down { bond: Some(bond) },
        Method::Down { bond: None },
    ]
}

#[test]
fn methods_have_the_same_parameters_and_can_be_read_back() {
    let interface = interface();
    let ours: BTreeSet<_> = every_method().iter().map(|method| method.name().to_owned()).collect();
    let theirs: BTreeSet<_> = interface.methods().map(|method| method.name().to_string()).collect();
    assert_eq!(ours, theirs);
    for method in every_method() {
        let call = serde_json::to_value(&method).unwrap();
        assert_eq!(call["method"], format!("{INTERFACE}.{}", method.name()));
        let theirs = interface.methods().find(|other| *other.name() == method.name()).unwrap();
        conforms(&call["parameters"], &theirs.inputs().collect::<Vec<_>>(), method.name());
        let read = Call::parse(call.to_string().as_bytes()).unwrap();
        assert_eq!(read.request, Ok(Request::Method(method)));
    }
}

#[test]
fn errors_have_the_same_parameters() {
    let text = |text: &str| text.to_owned();
    let errors = [
        Error::NoSuchBond { bond: text("bond0") },
        Error::NoSuchPort { bond: text("bond0"), port: text("eth0") },
        Error::PortUnusable { port: text("eth0"), reason: text("it is in a bridge") },
        Error::PermissionDenied { method: text("Switch") },
        Error::ConfigInvalid { report: text("report") },
        Error::Refused { reason: text("no") },
        Error::Failed { reason: text("no") },
    ];
    let interface = interface();
    assert_eq!(interface.errors().count(), errors.len());
    for error in errors {
        let value = serde_json::to_value(&error).unwrap();
        let name = value["error"].as_str().unwrap().strip_prefix("io.hitless.").unwrap().to_owned();
        let theirs = interface.errors().find(|other| other.name().to_string() == name).expect("the error");
        conforms(&value["parameters"], &theirs.fields().collect::<Vec<_>>(), &name);
        assert_eq!(serde_json::from_value::<Error>(value).unwrap(), error);
    }
}

#[test]
fn the_interface_file_explains_every_member() {
    let interface = interface();
    for method in interface.methods() {
        assert!(method.comments().next().is_some(), "{}", method.name());
    }
    for error in interface.errors() {
        assert!(error.comments().next().is_some(), "{}", error.name());
    }
    for object in interface.custom_types().filter_map(|custom| custom.as_object()) {
        for field in object.fields() {
            assert!(field.comments().next().is_some(), "{}.{}", object.name(), field.name());
        }
    }
}

#[test]
fn what_is_not_there_is_null() {
    let value = serde_json::to_value(empty_bond()).unwrap();
    let object: &Map<_, _> = value.as_object().unwrap();
    assert_eq!(object["last_failover"], Value::Null);
    assert_eq!(object["ports"][0]["speed_mbps"], Value::Null);
}
