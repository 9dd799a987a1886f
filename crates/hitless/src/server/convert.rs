//! From the core's words to those of the interface.

use hitless_api as api;
use hitless_core::event::{self, Notice, Snapshot};

/// A bond for the interface.
pub fn bond(name: &str, driver: api::Driver, mode: &str, snapshot: &Snapshot) -> api::Bond {
    api::Bond {
        name: name.to_owned(),
        driver,
        mode: mode.to_owned(),
        active: snapshot.active.clone(),
        primary: snapshot.primary.clone(),
        carrier: snapshot.carrier,
        mac: snapshot.mac.map(|mac| mac.to_string()),
        ports: snapshot.ports.iter().map(port).collect(),
        last_failover: snapshot.last_failover.as_ref().map(failover),
    }
}

fn port(port: &event::PortSnapshot) -> api::Port {
    api::Port {
        name: port.name.clone(),
        index: port.port.map(|id| id.0),
        link: link(port.link),
        active: port.active,
        waiting: port.waiting.as_ref().map(ToString::to_string),
        link_failures: port.link_failures,
        permanent_mac: port.permanent_mac.map(|mac| mac.to_string()),
        speed_mbps: port.speed_mbps,
        duplex: port.duplex.map(|duplex| match duplex {
            event::Duplex::Half => api::Duplex::Half,
            event::Duplex::Full => api::Duplex::Full,
        }),
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
