//! Checks the requests for Linux bonding on a kernel that has it, such as a user-mode Linux guest: `bond_check`, as root,
//! in a network namespace in which interfaces may be made. Ends with an error at the first thing that is not as it should be.

#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::error::Error;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use hitless_core::config::{FailOverMac, PrimaryReselect};
use hitless_core::event::LinkState;
use hitless_linux::bond::{
    ArpValidate, BondAttributes, BondMode, BondPortAttributes, BondState, Support, support,
};
use hitless_linux::link::Link;
use hitless_linux::netlink::Netlink;

type Checked<T = ()> = Result<T, Box<dyn Error>>;

macro_rules! check {
    ($condition:expr, $($context:tt)+) => {
        if !$condition {
            return Err(format!("{}: {}", stringify!($condition), format!($($context)+)).into());
        }
    };
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Checked {
    let netlink = Netlink::requests()?;
    println!("support before: {:?}", support());
    loading_leaves_nothing_behind(&netlink).await?;
    options_read_back(&netlink).await?;
    refusals_are_explained(&netlink).await?;
    ports_and_the_active_one(&netlink).await?;
    println!("bond_check: all as it should be");
    Ok(())
}

async fn named(netlink: &Netlink, name: &str) -> Checked<Link> {
    Ok(netlink.link_named(name).await?.ok_or_else(|| format!("no interface {name}"))?)
}

async fn state(netlink: &Netlink, name: &str) -> Checked<BondState> {
    Ok(*named(netlink, name).await?.bond.ok_or_else(|| format!("{name} is not a bond"))?)
}

fn active_backup() -> BondAttributes {
    BondAttributes { mode: Some(BondMode::ActiveBackup), miimon: Some(100), ..BondAttributes::default() }
}

/// The module's own `bond0` neither is in the way nor stays.
async fn loading_leaves_nothing_behind(netlink: &Netlink) -> Checked {
    let loaded_here = support() != Support::Loaded;
    let name = if std::env::args().any(|argument| argument == "bond0") { "bond0" } else { "first" };
    let index = netlink.create_bond(name, &active_backup()).await?;
    check!(support() == Support::Loaded, "after the first bond");
    check!(state(netlink, name).await?.options.mode == Some(BondMode::ActiveBackup), "{name}");
    if loaded_here && name != "bond0" {
        check!(netlink.link_named("bond0").await?.is_none(), "the module's own bond is still there");
    }
    let again = netlink.create_bond(name, &active_backup()).await;
    check!(again.as_ref().is_err_and(|error| error.is_exists()), "{again:?}");
    netlink.delete(index).await?;
    Ok(())
}

async fn options_read_back(netlink: &Netlink) -> Checked {
    netlink.create_veth("o0", "o0p").await?;
    let primary = named(netlink, "o0").await?.index;
    let wanted = BondAttributes {
        mode: Some(BondMode::ActiveBackup),
        miimon: Some(50),
        updelay: Some(200),
        downdelay: Some(100),
        peer_notif_delay: Some(150),
        use_carrier: Some(true),
        arp_interval: Some(0),
        arp_ip_target: Some(vec![Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)]),
        ns_ip6_target: Some(vec![Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)]),
        arp_validate: Some(ArpValidate::None),
        arp_all_targets: Some(true),
        missed_max: Some(3),
        primary: Some(primary),
        primary_reselect: Some(PrimaryReselect::Failure),
        fail_over_mac: Some(FailOverMac::Active),
        resend_igmp: Some(2),
        num_peer_notif: Some(4),
        all_slaves_active: Some(true),
        min_links: Some(1),
    };
    let index = netlink.create_bond("options", &wanted).await?;
    // A primary that is not a port yet is remembered, but not told.
    netlink.set_master(primary, Some(index)).await?;
    let present = state(netlink, "options").await?.options;
    let missing = wanted.differing_from(&present);
    check!(missing == BondAttributes::default(), "not in force: {missing:?}");
    // The delays stay what they are.
    let faster = BondAttributes { miimon: Some(25), ..BondAttributes::default() };
    netlink.change_bond(index, &faster).await?;
    let present = state(netlink, "options").await?.options;
    check!((present.updelay, present.downdelay) == (Some(200), Some(100)), "{present:?}");
    // The same again changes nothing, although fail-over-mac and mode cannot be set while there are ports.
    netlink.change_bond(index, &wanted).await?;

    let probes = BondAttributes {
        miimon: Some(0),
        updelay: Some(0),
        downdelay: Some(0),
        peer_notif_delay: Some(0),
        arp_interval: Some(200),
        arp_validate: Some(ArpValidate::FilterBackup),
        arp_ip_target: Some(vec![Ipv4Addr::new(192, 0, 2, 9)]),
        ns_ip6_target: Some(Vec::new()),
        primary: Some(0),
        ..BondAttributes::default()
    };
    netlink.change_bond(index, &probes).await?;
    let present = state(netlink, "options").await?.options;
    check!((present.miimon, present.arp_interval) == (Some(0), Some(200)), "{present:?}");
    check!(present.arp_validate == Some(ArpValidate::FilterBackup), "{present:?}");
    check!(present.arp_ip_target == probes.arp_ip_target, "{present:?}");
    check!(present.primary == Some(0), "{present:?}");
    let back = BondAttributes {
        miimon: Some(100),
        updelay: Some(0),
        arp_interval: Some(0),
        arp_validate: Some(ArpValidate::None),
        arp_ip_target: Some(Vec::new()),
        ..BondAttributes::default()
    };
    netlink.change_bond(index, &back).await?;
    let present = state(netlink, "options").await?.options;
    let missing = back.differing_from(&present);
    check!(missing == BondAttributes::default(), "not in force: {missing:?} of {present:?}");
    netlink.delete(index).await?;
    netlink.delete(primary).await?;
    Ok(())
}

async fn refusals_are_explained(netlink: &Netlink) -> Checked {
    let index = netlink.create_bond("refuses", &active_backup()).await?;
    let both = BondAttributes { miimon: Some(50), arp_interval: Some(50), ..BondAttributes::default() };
    let lone_delay = BondAttributes { miimon: Some(0), updelay: Some(50), ..BondAttributes::default() };
    for options in [both, lone_delay] {
        let Err(error) = netlink.change_bond(index, &options).await else {
            return Err(format!("accepted: {options:?}").into());
        };
        println!("refused: {error}");
        check!(!error.is_permission(), "{error:?}");
    }
    netlink.set_up(index, true).await?;
    let mode = BondAttributes { mode: Some(BondMode::Broadcast), ..BondAttributes::default() };
    let error = netlink.change_bond(index, &mode).await.err().ok_or("accepted a mode while up")?;
    println!("refused: {error}");
    check!(error.message().is_some(), "{error:?}");
    let error = netlink.set_active(index, Some(1)).await.err().ok_or("accepted lo as active")?;
    println!("refused: {error}");
    let loopback = netlink.set_master(1, Some(index)).await.err().ok_or("accepted lo as a port")?;
    println!("refused: {loopback}");
    netlink.delete(index).await?;
    Ok(())
}

async fn ports_and_the_active_one(netlink: &Netlink) -> Checked {
    let options = BondAttributes { miimon: Some(10), ..active_backup() };
    let bond = netlink.create_bond("bond7", &options).await?;
    for name in ["a", "b"] {
        let peer = format!("{name}p");
        netlink.create_veth(name, &peer).await?;
        netlink.set_up(named(netlink, &peer).await?.index, true).await?;
    }
    let (a, b) = (named(netlink, "a").await?, named(netlink, "b").await?);
    netlink.set_up(a.index, true).await?;
    let up = netlink.set_master(a.index, Some(bond)).await.err().ok_or("accepted a port that is up")?;
    println!("refused: {up}");
    netlink.set_up(a.index, false).await?;
    for port in [&a, &b] {
        netlink.set_master(port.index, Some(bond)).await?;
    }
    netlink.set_up(bond, true).await?;
    let prio = BondPortAttributes { prio: Some(5), queue_id: Some(1) };
    netlink.change_bond_port(b.index, &prio).await?;
    wait_until("both ports up", async || {
        let ports = [port(netlink, "a").await?, port(netlink, "b").await?];
        Ok(ports.iter().all(|port| port.link == LinkState::Up)
            && state(netlink, "bond7").await?.active.is_some())
    })
    .await?;
    let of_b = port(netlink, "b").await?;
    check!((of_b.prio, of_b.queue_id) == (Some(5), Some(1)), "{of_b:?}");
    check!(of_b.permanent_mac == b.mac, "{of_b:?}, before: {:?}", b.mac);

    for active in [&b, &a, &b, &a] {
        let begin = Instant::now();
        netlink.set_active(bond, Some(active.index)).await?;
        let took = begin.elapsed();
        let now = state(netlink, "bond7").await?.active;
        check!(now == Some(active.index), "{now:?} instead of {}", active.index);
        check!(port(netlink, &active.name).await?.active, "{}", active.name);
        println!("active port set in {took:?}");
    }
    failure_is_counted(netlink, bond, &a, &b).await?;
    netlink.set_master(b.index, None).await?;
    let back = named(netlink, "b").await?;
    check!(back.mac == b.mac && back.master.is_none() && back.bond_port.is_none(), "{back:?}");
    for index in [bond, a.index, b.index] {
        netlink.delete(index).await?;
    }
    Ok(())
}

async fn failure_is_counted(netlink: &Netlink, bond: u32, a: &Link, b: &Link) -> Checked {
    let far_end = named(netlink, "ap").await?.index;
    netlink.set_up(far_end, false).await?;
    wait_until("failover to b", async || Ok(state(netlink, "bond7").await?.active == Some(b.index))).await?;
    let failed = port(netlink, "a").await?;
    check!(failed.link == LinkState::Down && failed.link_failures == 1, "{failed:?}");
    let error = netlink.set_active(bond, Some(a.index)).await.err().ok_or("accepted a port without link")?;
    println!("refused: {error}");
    netlink.set_up(far_end, true).await?;
    Ok(())
}

async fn port(netlink: &Netlink, name: &str) -> Checked<hitless_linux::bond::BondPortState> {
    Ok(named(netlink, name).await?.bond_port.ok_or_else(|| format!("{name} is not a port of a bond"))?)
}

async fn wait_until(what: &str, mut done: impl AsyncFnMut() -> Checked<bool>) -> Checked {
    let begin = Instant::now();
    while !done().await? {
        check!(begin.elapsed() < Duration::from_secs(10), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
