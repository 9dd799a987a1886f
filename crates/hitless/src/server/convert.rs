//! From the core's words to those of the interface.

use std::collections::BTreeMap;
use std::time::Duration;

use hitless_api as api;
use hitless_core::config::{FailOverMac, SameSegment};
use hitless_core::dhcp;
use hitless_core::dhcp6;
use hitless_core::event::{self, Notice, Snapshot};
use hitless_core::wifi::Ssid;

use crate::config::secret;
use crate::resolver::Dns;

/// What the machine of a bond does not know of it.
#[derive(Clone, Debug)]
pub struct Surroundings<'a> {
    /// The interface's name.
    pub name: &'a str,
    /// What carries its frames.
    pub driver: api::Driver,
    /// By its name in Linux bonding.
    pub mode: &'a str,
    /// What is in force.
    pub fail_over_mac: FailOverMac,
    /// Why that, where it was found out.
    pub fail_over_mac_reason: Option<String>,
    /// What is done where a port leads into another network.
    pub same_segment: SameSegment,
    /// How it has an address, where hitless asks for it.
    pub dhcp: Option<dhcp::Snapshot>,
    /// The same for IPv6.
    pub dhcp6: Option<dhcp6::Snapshot>,
    /// Its name servers and search domains, and what they are known to.
    pub dns: (Dns, Option<&'static str>),
    /// How long there is to confirm it, where it is on trial.
    pub unconfirmed: Option<Duration>,
    /// How stations are doing, by interface name.
    pub wifi: &'a BTreeMap<String, api::Wifi>,
}

/// A bond for the interface.
pub fn bond(surroundings: &Surroundings<'_>, snapshot: &Snapshot) -> api::Bond {
    api::Bond {
        name: surroundings.name.to_owned(),
        driver: surroundings.driver,
        mode: surroundings.mode.to_owned(),
        fail_over_mac: fail_over_mac(surroundings.fail_over_mac).to_owned(),
        fail_over_mac_reason: surroundings.fail_over_mac_reason.clone(),
        same_segment: same_segment(surroundings.same_segment).to_owned(),
        active: snapshot.active.clone(),
        primary: snapshot.primary.clone(),
        carrier: snapshot.carrier,
        mac: snapshot.mac.map(|mac| mac.to_string()),
        ports: snapshot.ports.iter().map(|entry| port(entry, surroundings.wifi)).collect(),
        last_failover: snapshot.last_failover.as_ref().map(failover),
        dhcp: surroundings.dhcp.as_ref().map(lease),
        dhcp6: surroundings.dhcp6.as_ref().map(lease6),
        dns: name_servers(&surroundings.dns),
        unconfirmed_s: surroundings.unconfirmed.map(|left| left.as_secs()),
    }
}

fn name_servers((dns, via): &(Dns, Option<&'static str>)) -> Option<api::Dns> {
    (!dns.is_empty()).then(|| api::Dns {
        servers: dns.servers.iter().map(ToString::to_string).collect(),
        search: dns.search.clone(),
        via: via.map(str::to_owned),
    })
}

fn lease(client: &dhcp::Snapshot) -> api::Dhcp {
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs());
    api::Dhcp {
        state: client.state.to_string(),
        address: client.address.map(|address| address.to_string()),
        server: client.server.map(|server| server.to_string()),
        expires_in_s: seconds(client.expires_in),
        renews_in_s: seconds(client.renews_in),
        ntp: client.ntp.iter().map(ToString::to_string).collect(),
        hostname: client.hostname.clone(),
    }
}

fn lease6(client: &dhcp6::Snapshot) -> api::Dhcp6 {
    let seconds = |duration: Option<Duration>| duration.map(|duration| duration.as_secs());
    api::Dhcp6 {
        state: client.state.to_string(),
        address: client.address.map(|address| address.to_string()),
        prefix: client.prefix.map(|prefix| prefix.to_string()),
        server: client.server.map(|server| server.to_string()),
        expires_in_s: seconds(client.expires_in),
        prefix_expires_in_s: seconds(client.prefix_expires_in),
        renews_in_s: seconds(client.renews_in),
        ntp: client.ntp.iter().map(ToString::to_string).collect(),
    }
}

fn fail_over_mac(policy: FailOverMac) -> &'static str {
    match policy {
        FailOverMac::None => "none",
        FailOverMac::Active => "active",
        FailOverMac::Follow => "follow",
    }
}

fn same_segment(policy: SameSegment) -> &'static str {
    match policy {
        SameSegment::Require => "require",
        SameSegment::Warn => "warn",
        SameSegment::Off => "off",
    }
}

/// The name of a network for the interface: for people, and in hex digits where that is not exactly it.
pub fn ssid(ssid: &Ssid) -> (String, Option<String>) {
    let shown = ssid.to_string();
    let exact = shown.as_bytes() == ssid.octets();
    let hex = || ssid.octets().iter().map(|octet| format!("{octet:02x}")).collect();
    (shown, (!exact).then(hex))
}

/// The name of a network from the interface; `None` where it cannot be one.
pub fn to_ssid(text: &str, hex: Option<&str>) -> Option<Ssid> {
    match hex {
        Some(hex) => Ssid::new(secret::from_hex(hex)?),
        None => Ssid::new(text.as_bytes()),
    }
}

fn port(port: &event::PortSnapshot, wifi: &BTreeMap<String, api::Wifi>) -> api::Port {
    api::Port {
        name: port.name.clone(),
        index: port.port.map(|id| id.0),
        link: link(port.link),
        active: port.active,
        waiting: port.waiting.as_ref().map(ToString::to_string),
        same_segment: port.same_segment,
        link_failures: port.link_failures,
        permanent_mac: port.permanent_mac.map(|mac| mac.to_string()),
        speed_mbps: port.speed_mbps,
        duplex: port.duplex.map(|duplex| match duplex {
            event::Duplex::Half => api::Duplex::Half,
            event::Duplex::Full => api::Duplex::Full,
        }),
        wifi: wifi.get(&port.name).cloned(),
    }
}

fn link(state: event::LinkState) -> api::LinkState {
    match state {
        event::LinkState::Down => api::LinkState::Down,
        event::LinkState::Back => api::LinkState::Back,
        event::LinkState::Fail => api::LinkState::Fail,
        event::LinkState::Up => api::LinkState::Up,
    }
}

fn failover(failover: &event::Failover) -> api::Failover {
    api::Failover {
        from: failover.from.clone(),
        to: failover.to.clone(),
        cause: cause(failover.cause),
        took_us: u64::try_from(failover.took.as_micros()).unwrap_or(u64::MAX),
    }
}

fn cause(cause: event::Cause) -> api::Cause {
    match cause {
        event::Cause::FirstPort => api::Cause::FirstPort,
        event::Cause::CarrierLost => api::Cause::CarrierLost,
        event::Cause::ProbesLost => api::Cause::ProbesLost,
        event::Cause::BeaconsLost => api::Cause::BeaconsLost,
        event::Cause::Deauthenticated => api::Cause::Deauthenticated,
        event::Cause::SignalLow => api::Cause::SignalLow,
        event::Cause::OtherNetwork => api::Cause::OtherNetwork,
        event::Cause::PortVanished => api::Cause::PortVanished,
        event::Cause::PortRemoved => api::Cause::PortRemoved,
        event::Cause::PortRefused => api::Cause::PortRefused,
        event::Cause::BetterPort => api::Cause::BetterPort,
        event::Cause::Manual => api::Cause::Manual,
        event::Cause::Configuration => api::Cause::Configuration,
    }
}

/// A notice for the interface; `time_us` is in microseconds since the Unix epoch.
pub fn notice(bond: &str, time_us: u64, notice: &Notice) -> api::Notice {
    let new = |kind| api::Notice::new(bond, time_us, kind, notice.to_string());
    match notice {
        Notice::Failover(change) => {
            api::Notice { failover: Some(failover(change)), ..new(api::Kind::Failover) }
        }
        Notice::Link { port, state } => {
            api::Notice { port: Some(port.clone()), link: Some(link(*state)), ..new(api::Kind::Link) }
        }
        Notice::Waiting { port, waiting } => api::Notice {
            port: Some(port.clone()),
            waiting: waiting.as_ref().map(ToString::to_string),
            ..new(api::Kind::Waiting)
        },
        Notice::Attached { port } => api::Notice { port: Some(port.clone()), ..new(api::Kind::Attached) },
        Notice::Detached { port } => api::Notice { port: Some(port.clone()), ..new(api::Kind::Detached) },
        Notice::Carrier { up } => api::Notice { carrier: Some(*up), ..new(api::Kind::Carrier) },
        Notice::OtherSegment { port, .. } => {
            api::Notice { port: Some(port.clone()), ..new(api::Kind::OtherSegment) }
        }
        Notice::Drift { what } => api::Notice { what: Some(what.clone()), ..new(api::Kind::Drift) },
        Notice::Retry { what, failure } => api::Notice {
            what: Some(what.clone()),
            reason: Some(failure.to_string()),
            ..new(api::Kind::Retry)
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use hitless_core::event::{Cause, Failover, Failure, LinkState, Waiting};

    use super::*;

    #[test]
    fn words_are_the_same_on_both_sides() {
        let causes = [
            Cause::FirstPort,
            Cause::CarrierLost,
            Cause::ProbesLost,
            Cause::BeaconsLost,
            Cause::Deauthenticated,
            Cause::SignalLow,
            Cause::OtherNetwork,
            Cause::PortVanished,
            Cause::PortRemoved,
            Cause::PortRefused,
            Cause::BetterPort,
            Cause::Manual,
            Cause::Configuration,
        ];
        assert_eq!(causes.map(cause), api::Cause::ALL);
        assert_eq!(causes.map(|c| c.to_string()), causes.map(|c| cause(c).as_str().to_owned()));
        let states = [LinkState::Down, LinkState::Back, LinkState::Fail, LinkState::Up];
        assert_eq!(states.map(link), api::LinkState::ALL);
        assert_eq!(states.map(|s| s.to_string()), states.map(|s| link(s).as_str().to_owned()));
    }

    #[test]
    fn names_of_networks_survive_the_way_there_and_back() {
        for octets in ["home".as_bytes(), "Café".as_bytes(), b"caf\xe9", b"a\x1b[2Jb", b"\\xff", &[0; 32]] {
            let name = Ssid::new(octets).unwrap();
            let (text, hex) = ssid(&name);
            assert_eq!(to_ssid(&text, hex.as_deref()), Some(name));
        }
        assert_eq!(
            ssid(&Ssid::new(b"caf\xe9").unwrap()),
            ("caf\\xe9".to_owned(), Some("636166e9".to_owned()))
        );
        assert_eq!(ssid(&Ssid::new("Café".as_bytes()).unwrap()).1, None);
        for (text, hex) in [("", None), (&*"x".repeat(33), None), ("home", Some("6")), ("home", Some("+6"))] {
            assert_eq!(to_ssid(text, hex), None);
        }
    }

    #[test]
    fn a_notice_has_the_fields_of_its_kind() {
        let port = || "eth0".to_owned();
        let change =
            Failover { from: None, to: Some(port()), cause: Cause::Manual, took: Duration::from_micros(700) };
        let notices = [
            (Notice::Failover(change), vec!["failover"]),
            (Notice::Link { port: port(), state: LinkState::Up }, vec!["link", "port"]),
            (Notice::Waiting { port: port(), waiting: Some(Waiting::Carrier) }, vec!["port", "waiting"]),
            (Notice::Waiting { port: port(), waiting: None }, vec!["port"]),
            (Notice::Attached { port: port() }, vec!["port"]),
            (Notice::Detached { port: port() }, vec!["port"]),
            (Notice::Carrier { up: true }, vec!["carrier"]),
            (Notice::Drift { what: port() }, vec!["what"]),
            (Notice::Retry { what: port(), failure: Failure("no".to_owned()) }, vec!["reason", "what"]),
        ];
        for (from, expected) in notices {
            let json = serde_json::to_value(notice("bond0", 5, &from)).unwrap();
            let always = ["bond", "time_us", "kind", "text"];
            let fields = json.as_object().unwrap().iter().filter(|(_, value)| !value.is_null());
            let fields: Vec<_> =
                fields.map(|(key, _)| key.as_str()).filter(|key| !always.contains(key)).collect();
            assert_eq!(fields, expected, "{from}");
            assert_eq!(json["text"], from.to_string());
        }
    }
}
