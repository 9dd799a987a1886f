//! A long life in a bad network: everything that can happen does, in any order.

use std::net::Ipv4Addr;

use hitless_core::dhcp::{Client, Event, Notice, Options, StateName};
use hitless_core::time::Instant;
use hitless_core::wire;

use crate::random::Random;
use crate::server::Server;
use crate::world::{GATEWAY, MAC, OTHER_GATEWAY, OTHER_MAC, STRANGER, World, by_host, by_mac, secs};

const STEPS: u32 = 400;

/// What must hold at all times.
fn check(client: &Client, now: Instant) {
    let snapshot = client.snapshot(now);
    let has_address = matches!(
        snapshot.state,
        StateName::Checking | StateName::Bound | StateName::Renewing | StateName::Rebinding
    );
    assert_eq!(client.lease().is_some(), has_address, "{snapshot:?}");
    if let Some(lease) = client.lease() {
        assert!(lease.expires_at().is_none_or(|end| end > now), "used beyond its end: {snapshot:?}");
        assert_eq!(snapshot.address, Some(lease.parameters.address));
    }
}

/// Notices tell of one address at a time.
fn follow(notices: &[Notice], mut address: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
    for notice in notices {
        match notice {
            Notice::Bound { address: new, .. } => {
                assert_eq!(address.replace(*new), None, "two addresses: {notices:?}");
            }
            Notice::Lost { address: old, .. } => {
                assert_eq!(address.take(), Some(*old), "lost what was not there: {notices:?}");
            }
            Notice::Renewed { address: same, .. }
            | Notice::Rebound { address: same, .. }
            | Notice::Confirmed { address: same, .. } => assert_eq!(address, Some(*same)),
            Notice::Conflict { .. }
            | Notice::Nak { .. }
            | Notice::NoAnswer { .. }
            | Notice::Refused { .. }
            | Notice::NoMask { .. } => {}
        }
    }
    address
}

/// Something happens.
fn disturb(world: &mut World, random: &mut Random) {
    let address = world.address().unwrap_or([10, 0, 0, 100].into());
    match random.below(16) {
        0..4 => world.tell(Event::FailedOver),
        4 => world.tell(Event::Down),
        5..8 => {
            let mac = random.pick(&[MAC, OTHER_MAC]);
            world.tell(Event::Up { mac });
        }
        8 => {
            let net = random.pick(&[0, 1, 2]);
            let authoritative = random.percent(50);
            let lease = random.pick(&[10, 120, 3600, u32::MAX]);
            let gateway = random.pick(&[GATEWAY, OTHER_GATEWAY]);
            world.moved(Server { authoritative, lease, ..Server::new(net) }, gateway);
            world.tell(Event::NetworkChanged);
        }
        9 => {
            world.sleep(random.time(4_000_000));
            world.tell(Event::Resumed);
        }
        10 => world.server().mute ^= true,
        11 => world.server().fickle ^= true,
        12 => world.hear(&wire::announcement(STRANGER, address.into())),
        13 => world.tell(Event::Renew),
        14 => world.server().lent.clear(),
        _ => {
            let second = Server { id: [10, 0, 0, 9].into(), ..world.servers[0].clone() };
            world.servers.truncate(1);
            world.servers.push(second);
        }
    }
}

fn live(seed: u64, options: Options) {
    let mut random = Random::new(seed);
    let mut world = World::new(options);
    world.reseed(seed);
    world.loss = 30;
    world.up();
    let mut address = None;
    for _ in 0..STEPS {
        disturb(&mut world, &mut random);
        check(&world.client, world.now);
        world.run(random.time(40_000));
        check(&world.client, world.now);
        address = follow(&world.told(), address);
        assert_eq!(address, world.address());
    }
    // Whatever has been: where a server answers, there is an address in the end.
    world.loss = 0;
    world.moved(Server::new(0), GATEWAY);
    world.up();
    world.run(secs(300));
    assert_eq!(world.state(), StateName::Bound, "seed {seed}");
    assert_eq!(follow(&world.told(), address), world.address());
}

#[test]
fn a_long_life() {
    for seed in 0..60 {
        let options = if seed % 3 == 0 { by_mac() } else { by_host() };
        live(seed, Options { detect_conflicts: seed % 2 == 0, ..options });
    }
}
