//! A long life in a bad network: everything that can happen does, in any order.

use std::net::Ipv6Addr;

use hitless_core::dhcp6::{Client, Event, Notice, Options, Resource, StateName};
use hitless_core::time::Instant;

use crate::random::Random;
use crate::server::Server;
use crate::world::{MAC, OTHER_MAC, World, delegated, options, secs};

const STEPS: u32 = 400;

/// What must hold at all times.
fn check(client: &Client, now: Instant) {
    let snapshot = client.snapshot(now);
    let has_lease = matches!(
        snapshot.state,
        StateName::Confirming | StateName::Bound | StateName::Renewing | StateName::Rebinding
    );
    assert_eq!(client.lease().is_some(), has_lease, "{snapshot:?}");
    if let Some(lease) = client.lease() {
        assert!(!lease.addresses.is_empty() || !lease.prefixes.is_empty(), "{lease:?}");
        assert!(lease.expires_at().is_none_or(|end| end > now), "used beyond its end: {snapshot:?}");
        assert!(lease.untested.iter().all(|one| lease.addresses.iter().any(|lent| lent.what == *one)));
    }
}

/// Notices tell of all that comes and goes.
fn follow(notices: &[Notice], held: &mut Vec<Ipv6Addr>) {
    for notice in notices {
        match notice {
            Notice::Bound { what: Resource::Address(new), .. } => {
                assert!(!held.contains(new), "twice: {notices:?}");
                held.push(*new);
            }
            Notice::Lost { what: Resource::Address(old), .. } => {
                let at = held.iter().position(|one| one == old).expect("lost what was not there");
                held.remove(at);
            }
            Notice::Renewed { what: Resource::Address(same), .. } => assert!(held.contains(same)),
            _ => {}
        }
    }
}

/// Something happens.
fn disturb(world: &mut World, random: &mut Random) {
    match random.below(18) {
        0..4 => world.tell(Event::FailedOver),
        4 => world.tell(Event::Down),
        5..8 => {
            let mac = random.pick(&[MAC, OTHER_MAC]);
            world.tell(Event::Up { mac });
        }
        8 => {
            let net = random.pick(&[1, 2, 3]);
            let valid = random.pick(&[10, 120, 3600, u32::MAX]);
            let preferred = valid / random.pick(&[1, 2, 5]);
            let (rapid, stateless) = (random.percent(50), random.percent(20));
            let delegates = random.pick(&[None, Some(0x7700)]);
            world.moved(Server { valid, preferred, rapid, stateless, delegates, ..Server::new(net) });
            world.tell(Event::NetworkChanged);
        }
        9 => {
            world.sleep(random.time(4_000_000));
            world.tell(Event::Resumed);
        }
        10 => world.server().mute ^= true,
        11 => world.server().fickle ^= true,
        12 => {
            let address = world.addresses().last().copied().unwrap_or(Ipv6Addr::LOCALHOST);
            let event = random.pick(&[0, 1]);
            world.tell(if event == 0 { Event::Duplicate(address) } else { Event::Unique(address) });
        }
        13 => world.tell(Event::Renew),
        14 => world.server().lent.clear(),
        15 => {
            let options = random.pick(&[0, 1]);
            world.tell(Event::Configure(if options == 0 { crate::world::options() } else { delegated() }));
        }
        16 => world.server().first += 1,
        _ => {
            let second = world.servers[0].clone().named(9);
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
    let mut held = Vec::new();
    for _ in 0..STEPS {
        disturb(&mut world, &mut random);
        check(&world.client, world.now);
        world.run(random.time(40_000));
        check(&world.client, world.now);
        follow(&world.told(), &mut held);
        let mut there = world.addresses();
        there.sort_unstable();
        held.sort_unstable();
        assert_eq!(held, there);
    }
    // Whatever has been: where a server answers, there is an address in the end, unless a prefix of elsewhere runs on: who
    // lent that is asked for an address as well, and may be far away.
    world.loss = 0;
    world.moved(Server::new(1));
    world.tell(Event::Down);
    world.up();
    world.tell(Event::NetworkChanged);
    world.run(secs(100_000));
    let lent = !world.addresses().is_empty() || !world.prefixes().is_empty();
    assert!(lent, "seed {seed}: {:?}", world.client.snapshot(world.now));
    assert_eq!(world.state(), StateName::Bound, "seed {seed}");
}

#[test]
fn a_long_life() {
    for seed in 0..60 {
        let options = if seed % 3 == 0 { delegated() } else { options() };
        live(seed, Options { detect_conflicts: seed % 2 == 0, ..options });
    }
}
