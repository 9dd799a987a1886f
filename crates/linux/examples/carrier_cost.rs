//! What one poll of a carrier costs, and what one request for a link by rtnetlink: `carrier_cost [INTERFACE]`.

#![allow(clippy::print_stdout, reason = "a command-line program")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use hitless_linux::carrier::LinkProbe;
use hitless_linux::netlink::Netlink;

const POLLS: u32 = 100_000;
const REQUESTS: u32 = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "lo".to_owned());
    let mut probe = LinkProbe::open()?;
    let begin = Instant::now();
    for _ in 0..POLLS {
        black_box(probe.carrier(&name)?);
    }
    report("carrier", begin.elapsed(), POLLS);

    let (netlink, _events) = Netlink::open()?;
    let index = netlink.link_named(&name).await?.ok_or("no such interface")?.index;
    let begin = Instant::now();
    for _ in 0..REQUESTS {
        black_box(netlink.link(index).await?);
    }
    report("link by rtnetlink", begin.elapsed(), REQUESTS);
    let begin = Instant::now();
    for _ in 0..REQUESTS {
        black_box(netlink.rx_packets(index).await?);
    }
    report("frame count by rtnetlink", begin.elapsed(), REQUESTS);
    Ok(())
}

fn report(what: &str, elapsed: Duration, times: u32) {
    println!("{what}: {} ns", (elapsed / times).as_nanos());
}
