//! Every link state of a port, in every role that it can play, with every kind of event: what becomes of the port, and
//! which port is active then.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests fail by panicking"
)]

mod support;

use hitless_core::config::{BondConfig, PortPattern};
use hitless_core::event::{ActionId, Event, Failure, LinkState, Outcome, PortId};

use LinkState::{Back, Down, Fail, Up};
use Role::{Active, Alone, Idle, Standby};
use support::{World, ms, plain};

/// What the port is, and what there is beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Active, with another one standing by.
    Active,
    /// Active, and the only one.
    Alone,
    /// Standing by, while another one is active.
    Standby,
    /// Not active, and the only one.
    Idle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    CarrierUp,
    CarrierDown,
    DelayOver,
    Vanished,
    AppearedAgain,
    Changed,
    RenamedAway,
    Frame,
    StrayDone,
    StrayFailure,
    SwitchToIt,
    SwitchToTheOther,
    ConfiguredAlike,
    ConfiguredWithoutDelays,
    ConfiguredAsPrimary,
    ConfiguredAway,
    Observed,
    ObservedDetached,
}

const EVERY_KIND: [Kind; 18] = [
    Kind::CarrierUp,
    Kind::CarrierDown,
    Kind::DelayOver,
    Kind::Vanished,
    Kind::AppearedAgain,
    Kind::Changed,
    Kind::RenamedAway,
    Kind::Frame,
    Kind::StrayDone,
    Kind::StrayFailure,
    Kind::SwitchToIt,
    Kind::SwitchToTheOther,
    Kind::ConfiguredAlike,
    Kind::ConfiguredWithoutDelays,
    Kind::ConfiguredAsPrimary,
    Kind::ConfiguredAway,
    Kind::Observed,
    Kind::ObservedDetached,
];

/// A port that is active is usable, and one that is alone waits for no updelay. Other pairs cannot be.
const EVERY_STATE: [(Role, LinkState); 9] = [
    (Active, Up),
    (Active, Fail),
    (Alone, Up),
    (Alone, Fail),
    (Standby, Up),
    (Standby, Fail),
    (Standby, Back),
    (Standby, Down),
    (Idle, Down),
];

/// The link state of the port afterwards (`None`: it is no port any more), and whether it is active.
fn expected(role: Role, state: LinkState, kind: Kind) -> (Option<LinkState>, bool) {
    let active = matches!(role, Active | Alone);
    let unchanged = (Some(state), active);
    match kind {
        Kind::CarrierUp => match (role, state) {
            (_, Up | Fail) => (Some(Up), active),
            (Idle, _) => (Some(Up), true), // updelay is skipped
            (_, Back | Down) => (Some(Back), active),
        },
        Kind::CarrierDown => match state {
            Up | Fail => (Some(Fail), active),
            Back | Down => (Some(Down), active),
        },
        Kind::DelayOver | Kind::ConfiguredWithoutDelays => match state {
            Up => unchanged,
            Back => (Some(Up), active),
            Fail | Down => (Some(Down), false),
        },
        Kind::Vanished | Kind::RenamedAway | Kind::ConfiguredAway => (None, false),
        // Usable is what is up, and what waits for downdelay.
        Kind::SwitchToIt => (Some(state), state.is_usable()),
        Kind::SwitchToTheOther => (Some(state), role == Alone),
        Kind::ConfiguredAsPrimary => (Some(state), state.is_usable()),
        // It is attached again at once, and begins anew.
        Kind::ObservedDetached => match (role, state) {
            (Alone, Up) => (Some(Up), true),
            (_, Up | Back) => (Some(Back), false),
            (_, Fail | Down) => (Some(Down), false),
        },
        Kind::AppearedAgain
        | Kind::Changed
        | Kind::Frame
        | Kind::StrayDone
        | Kind::StrayFailure
        | Kind::ConfiguredAlike
        | Kind::Observed => unchanged,
    }
}

const OTHER: &str = "other";

/// A world in which the port `it` is in this state and role, with half of its delay over.
fn world(role: Role, state: LinkState) -> (World, PortId) {
    let mut w = World::new(BondConfig { updelay: ms(100), downdelay: ms(100), ..plain(&["it", OTHER]) });
    let it = match role {
        Alone | Idle => w.plug("it"),
        Active => {
            let it = w.plug("it");
            w.plug(OTHER);
            w.run(ms(100));
            it
        }
        Standby => {
            w.plug(OTHER);
            let it = w.plug("it");
            w.run(ms(100));
            it
        }
    };
    if state != Up {
        w.pull(it);
    }
    if matches!(state, Down | Back) {
        w.run(ms(100));
    }
    if state == Back {
        w.set_carrier(it, true);
    }
    w.run(ms(50));
    w.observe();
    assert_eq!(w.link(it), state);
    assert_eq!(w.active().as_deref() == Some("it"), matches!(role, Active | Alone));
    (w, it)
}

fn other(w: &World) -> PortId {
    let other = w.nics.iter().find(|(_, nic)| nic.info.name == OTHER);
    other.map_or(PortId(99), |(id, _)| *id)
}

fn happen(w: &mut World, it: PortId, kind: Kind) {
    match kind {
        Kind::CarrierUp => w.set_carrier(it, true),
        Kind::CarrierDown => w.set_carrier(it, false),
        Kind::DelayOver => w.run(ms(50)),
        Kind::Vanished => w.vanish(it),
        Kind::AppearedAgain => w.tell(Event::PortAppeared { port: it, info: w.nics[&it].info.clone() }),
        Kind::Changed => w.change(it, |info| info.speed_mbps = Some(10)),
        Kind::RenamedAway => w.change(it, |info| info.name = "dmz".to_owned()),
        Kind::Frame => w.tell(Event::Frame { port: it, frame: vec![0; 60] }),
        Kind::StrayDone => w.tell(Event::Done { action: ActionId(u64::MAX), result: Ok(Outcome::Done) }),
        Kind::StrayFailure => {
            w.tell(Event::Done { action: ActionId(u64::MAX), result: Err(Failure("stray".to_owned())) });
        }
        Kind::SwitchToIt => w.switch(it),
        Kind::SwitchToTheOther => w.switch(other(w)),
        Kind::ConfiguredAlike => w.reconfigure(|_| {}),
        Kind::ConfiguredWithoutDelays => {
            w.reconfigure(|config| (config.updelay, config.downdelay) = (ms(0), ms(0)));
        }
        Kind::ConfiguredAsPrimary => w.reconfigure(|config| config.primary = Some(PortPattern::new("it"))),
        Kind::ConfiguredAway => w.reconfigure(|config| config.ports = vec![PortPattern::new(OTHER)]),
        Kind::Observed => w.observe(),
        Kind::ObservedDetached => {
            w.nics.get_mut(&it).unwrap().attached = false;
            w.observe();
        }
    }
    w.run(ms(1));
}

#[test]
fn every_state_with_every_event() {
    for (role, state) in EVERY_STATE {
        for kind in EVERY_KIND {
            let (mut w, it) = world(role, state);
            happen(&mut w, it, kind);
            let (link, active) = expected(role, state, kind);
            let is = w.knows(it).then(|| w.link(it));
            assert_eq!(is, link, "{role:?} {state:?} {kind:?}");
            let active = if active {
                Some("it")
            } else if matches!(role, Active | Standby) {
                Some(OTHER)
            } else {
                None
            };
            assert_eq!(w.active().as_deref(), active, "{role:?} {state:?} {kind:?}");
        }
    }
}
