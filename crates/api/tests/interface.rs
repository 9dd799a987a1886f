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
    AccessPoint, AccessPoints, Adopted, Adoption, Bond, Cause, Confirmed, DESCRIPTION, Dhcp, Dhcp6, Dns,
    Driver, Duplex, Eap, EapMethod, Error, Failover, INTERFACE, Joined, Kind, LinkState, Manager, Method,
    MonitorReply, Network, Networks, NewBond, NewNetwork, Notice, Port, SavedBy, Secret, Security, Session,
    Station, Stations, Status, Verdict, Wifi,
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
        same_segment: true,
        link_failures: 1,
        permanent_mac: text("02:00:00:00:00:01"),
        speed_mbps: Some(1000),
        duplex: Some(Duplex::Full),
        wifi: Some(full_wifi()),
    };
    Bond {
        name: "bond0".to_owned(),
        driver: Driver::Ebpf,
        mode: "active-backup".to_owned(),
        active: text("eth0"),
        primary: text("eth0"),
        carrier: true,
        mac: text("02:00:00:00:00:01"),
        fail_over_mac: "none".to_owned(),
        fail_over_mac_reason: text("the driver can do it"),
        same_segment: "require".to_owned(),
        ports: vec![port],
        last_failover: Some(failover()),
        dhcp: Some(Dhcp {
            state: "bound".to_owned(),
            address: text("192.0.2.5"),
            server: text("192.0.2.1"),
            expires_in_s: Some(3600),
            renews_in_s: Some(1800),
            ntp: vec!["192.0.2.1".to_owned()],
            hostname: text("laptop"),
        }),
        dhcp6: Some(Dhcp6 {
            state: "bound".to_owned(),
            address: text("2001:db8::5"),
            prefix: text("2001:db8:7::/56"),
            server: text("fe80::1"),
            expires_in_s: Some(3600),
            prefix_expires_in_s: Some(7200),
            renews_in_s: Some(1800),
            ntp: vec!["2001:db8::1".to_owned()],
        }),
        dns: Some(Dns {
            servers: vec!["192.0.2.1".to_owned()],
            search: vec!["home.arpa".to_owned()],
            via: text("resolvconf"),
        }),
        unconfirmed_s: Some(60),
    }
}

fn new_bond() -> NewBond {
    NewBond {
        ports: vec!["eth0".to_owned(), "wlan0".to_owned()],
        bond: Some("bond0".to_owned()),
        driver: Some(Driver::Ebpf),
        within_s: 60,
        session: Some(Session { local: "192.0.2.5:22".to_owned(), peer: "192.0.2.9:50000".to_owned() }),
    }
}

fn adoption() -> Adoption {
    Adoption {
        bond: "bond0".to_owned(),
        ports: vec!["eth0".to_owned(), "wlan0".to_owned()],
        from: "eth0".to_owned(),
        mac: "02:00:00:00:00:01".to_owned(),
        addresses: vec!["192.0.2.5/24".to_owned()],
        gateways: vec!["192.0.2.1".to_owned()],
        confirm_within_s: 60,
        section: "[bond.bond0]\n".to_owned(),
        file: "/etc/hitless/hitless.toml".to_owned(),
        notes: vec!["a DHCP client runs on eth0".to_owned()],
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
            wifi: None,
            ..port.clone()
        };
    }
    let dhcp = bond.dhcp.map(|dhcp| Dhcp {
        address: None,
        server: None,
        expires_in_s: None,
        renews_in_s: None,
        ntp: Vec::new(),
        hostname: None,
        ..dhcp
    });
    let dhcp6 = bond.dhcp6.map(|dhcp6| Dhcp6 {
        address: None,
        prefix: None,
        server: None,
        expires_in_s: None,
        prefix_expires_in_s: None,
        renews_in_s: None,
        ntp: Vec::new(),
        ..dhcp6
    });
    Bond {
        active: None,
        primary: None,
        mac: None,
        fail_over_mac_reason: None,
        last_failover: None,
        unconfirmed_s: None,
        dhcp,
        dhcp6,
        dns: bond.dns.map(|dns| Dns { via: None, ..dns }),
        ..bond
    }
}

fn full_wifi() -> Wifi {
    let text = |text: &str| Some(text.to_owned());
    Wifi {
        ssid: text("caf\\xe9"),
        ssid_hex: text("636166e9"),
        bssid: text("02:00:00:00:01:00"),
        signal_dbm: Some(-54),
        rate_mbps: Some(866),
        frequency_mhz: Some(5180),
        state: "joined".to_owned(),
        fault: text("the passphrase is wrong"),
        blocked: text("rfkill"),
        power_save: Some(false),
    }
}

fn station(wifi: Wifi) -> Station {
    let bond = wifi.ssid.as_ref().map(|_| "bond0".to_owned());
    Station { interface: "wlan0".to_owned(), bond, manager: Manager::Supplicant, wifi }
}

/// With and without the optional fields.
fn networks() -> Vec<Network> {
    let full = Network {
        interface: "wlan0".to_owned(),
        ssid: "caf\\xe9".to_owned(),
        ssid_hex: Some("636166e9".to_owned()),
        security: Security::Psk,
        priority: -5,
        hidden: true,
        current: true,
        saved_by: SavedBy::Config,
        fault: Some("the passphrase is wrong".to_owned()),
    };
    vec![full.clone(), Network { ssid_hex: None, fault: None, ..full }]
}

fn access_points() -> Vec<AccessPoint> {
    let full = AccessPoint {
        interface: "wlan0".to_owned(),
        ssid: Some("caf\\xe9".to_owned()),
        ssid_hex: Some("636166e9".to_owned()),
        bssid: "02:00:00:00:01:00".to_owned(),
        signal_dbm: Some(-54),
        frequency_mhz: Some(5180),
        security: vec![Security::Psk, Security::Sae],
        known: true,
        current: false,
    };
    let empty =
        AccessPoint { ssid: None, ssid_hex: None, signal_dbm: None, frequency_mhz: None, ..full.clone() };
    vec![full, empty]
}

fn new_network() -> NewNetwork {
    let text = |text: &str| Some(text.to_owned());
    NewNetwork {
        ssid: "home".to_owned(),
        ssid_hex: text("686f6d65"),
        security: Some(Security::Eap),
        secret: Some(Secret::new("correct horse")),
        hidden: true,
        priority: 10,
        eap: Some(Eap {
            method: EapMethod::Peap,
            identity: "me@example.org".to_owned(),
            anonymous_identity: text("anonymous@example.org"),
            ca_cert: text("/etc/hitless/ca.pem"),
            domain: text("radius.example.org"),
            client_cert: text("/etc/hitless/me.pem"),
            private_key: text("/etc/hitless/me.key"),
        }),
    }
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
    assert_eq!(variants("Security"), words(Security::ALL));
    assert_eq!(variants("EapMethod"), words(EapMethod::ALL));
    assert_eq!(variants("Manager"), words(Manager::ALL));
    assert_eq!(variants("SavedBy"), words(SavedBy::ALL));
    for word in Security::ALL {
        assert_eq!(serde_json::to_value(word).unwrap(), word.as_str());
    }
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
    for wifi in [full_wifi(), Wifi { state: "off".to_owned(), ..Wifi::default() }] {
        let stations = Stations { stations: vec![station(wifi.clone())] };
        conforms(&serde_json::to_value(stations).unwrap(), &outputs("WifiStatus"), "WifiStatus");
        let joined = Joined { station: station(wifi) };
        conforms(&serde_json::to_value(joined).unwrap(), &outputs("WifiConnect"), "WifiConnect");
    }
    let adopted = Adopted { adoption: adoption() };
    conforms(&serde_json::to_value(adopted).unwrap(), &outputs("Adopt"), "Adopt");
    let confirmed = Confirmed { bond: "bond0".to_owned(), file: "hitless.toml".to_owned() };
    conforms(&serde_json::to_value(confirmed).unwrap(), &outputs("Confirm"), "Confirm");
    let verdict = Verdict { confirmed: true, text: "it stays".to_owned() };
    conforms(&serde_json::to_value(verdict).unwrap(), &outputs("AwaitTrial"), "AwaitTrial");
    let networks = Networks { networks: networks() };
    conforms(&serde_json::to_value(networks).unwrap(), &outputs("WifiList"), "WifiList");
    let access_points = AccessPoints { access_points: access_points() };
    conforms(&serde_json::to_value(access_points).unwrap(), &outputs("WifiScan"), "WifiScan");
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
        Method::Down { bond: Some(bond.clone()) },
        Method::Down { bond: None },
        Method::Adopt(new_bond()),
        Method::Adopt(NewBond { bond: None, driver: None, session: None, ..new_bond() }),
        Method::Confirm {},
        Method::AwaitTrial { bond },
        Method::WifiStatus {},
        Method::WifiList { port: None },
        Method::WifiScan { port: Some("wlan0".to_owned()) },
        Method::WifiConnect { port: None, network: Box::new(new_network()) },
        Method::WifiConnect { port: Some("wlan0".to_owned()), network: Box::default() },
        Method::WifiDisconnect { port: None },
        Method::WifiForget { port: None, ssid: "home".to_owned(), ssid_hex: None },
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
        Error::NoSuchStation { port: text("wlan0") },
        Error::SeveralStations { ports: vec![text("wlan0"), text("wlan1")] },
        Error::WifiFailed { reason: text("the passphrase is wrong") },
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

#[test]
fn a_secret_goes_over_the_wire_and_nowhere_else() {
    let method = Method::WifiConnect { port: None, network: Box::new(new_network()) };
    assert!(serde_json::to_string(&method).unwrap().contains("correct horse"));
    assert!(!format!("{method:?} {method:#?}").contains("horse"));
    // What is wrong with a call is told without quoting it.
    for wrong in [
        r#"{"method":"io.hitless.WifiConnect","parameters":{"network":{"ssid":"a","secret":["correct horse"]}}}"#,
        r#"{"method":"io.hitless.WifiConnect","parameters":{"network":"correct horse"}}"#,
        r#"{"method":"io.hitless.WifiConnect","parameters":{"network":{"correct horse":1}}}"#,
        r#"{"method":"io.hitless.WifiConnect","parameters":"correct horse"}"#,
        r#"{"method":"io.hitless.WifiConnect","parameters":{"network":{"secret":"correct horse"#,
    ] {
        let told = match Call::parse(wrong.as_bytes()) {
            Ok(call) => format!("{call:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!told.contains("horse"), "{told}");
    }
}
