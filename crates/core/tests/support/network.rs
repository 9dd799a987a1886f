//! What the ports are plugged into: one segment with a switch that learns, and hosts that answer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use hitless_core::time::Instant;
use hitless_core::wire::{self, Heard};

/// What gets through behind a port's carrier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reach {
    #[default]
    Alive,
    Dead,
    /// What we send is lost, what others send is heard.
    InOnly,
    /// What we send gets there, what others send is lost.
    OutOnly,
    /// A spanning tree that lets nothing through before this time.
    From(Instant),
}

/// The address of every host that answers in a segment.
pub(crate) fn host(segment: u8) -> MacAddr {
    MacAddr([0x02, 0xaa, 0, 0, segment, 0xaa])
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    pub(crate) reach: BTreeMap<PortId, Reach>,
    /// Which segment a port is plugged into, if not the first. The same hosts are in each.
    pub(crate) segments: BTreeMap<PortId, u8>,
    /// Hosts that answer.
    pub(crate) hosts: Vec<IpAddr>,
    /// What the driver finds when it looks for somebody to ask.
    pub(crate) neighbours: Vec<IpAddr>,
    /// Who hears the switch's own broadcasts: everybody, unless this is set.
    pub(crate) silent: bool,
    /// Which port the switch takes an address for; busy traffic makes it so before every answer.
    pub(crate) busy: Option<(MacAddr, PortId)>,
    learnt: BTreeMap<MacAddr, PortId>,
    received: BTreeMap<PortId, u64>,
}

impl Network {
    fn lets(&self, now: Instant, port: PortId, inwards: bool) -> bool {
        match self.reach.get(&port).copied().unwrap_or_default() {
            Reach::Alive => true,
            Reach::Dead => false,
            Reach::InOnly => inwards,
            Reach::OutOnly => !inwards,
            Reach::From(at) => now >= at,
        }
    }

    pub(crate) fn forget(&mut self, port: PortId) {
        self.reach.remove(&port);
        self.learnt.retain(|_, at| *at != port);
    }

    pub(crate) fn learn(&mut self, mac: MacAddr, port: PortId) {
        self.learnt.insert(mac, port);
    }

    /// Carries a frame in, and answers it; returns what comes out at which port.
    pub(crate) fn carry(
        &mut self,
        now: Instant,
        port: PortId,
        frame: &[u8],
        ports: &[PortId],
    ) -> Vec<(PortId, Vec<u8>)> {
        if !self.lets(now, port, false) {
            return Vec::new();
        }
        let source = MacAddr(frame[6..12].try_into().expect("six octets"));
        self.learnt.insert(source, port);
        let segment = |port: &PortId| self.segments.get(port).copied().unwrap_or_default();
        let here = segment(&port);
        let ports: Vec<PortId> = ports.iter().copied().filter(|other| segment(other) == here).collect();
        let mut out: Vec<(PortId, Vec<u8>)> = Vec::new();
        // Questions go to everybody: they are heard on our other ports, too.
        out.extend(ports.iter().filter(|other| **other != port).map(|other| (*other, frame.to_vec())));
        if let Some((mac, port)) = self.busy {
            self.learnt.insert(mac, port);
        }
        if let Some(Heard::Question { about, asker }) = wire::hear(frame)
            && self.hosts.contains(&about)
        {
            let (answer, to) = match about {
                IpAddr::V4(_) => (arp_reply(about, host(here), asker), asker),
                IpAddr::V6(_) => (wire::announcement(host(here), about), MacAddr::BROADCAST),
            };
            let known = self.learnt.get(&to).copied();
            let to = ports.iter().filter(|port| known.is_none_or(|known| known == **port));
            out.extend(to.map(|port| (*port, answer.clone())));
        }
        out.retain(|(port, _)| self.lets(now, *port, true));
        for (port, _) in &out {
            *self.received.entry(*port).or_default() += 1;
        }
        out
    }

    /// How many frames a port has received: what was for it, and the broadcasts of others.
    pub(crate) fn received(&mut self, now: Instant, port: PortId, carrier: bool) -> u64 {
        let count = self.received.entry(port).or_default();
        let heard = *count;
        if carrier && !self.silent && self.lets(now, port, true) {
            *self.received.entry(port).or_default() += 1;
            return heard + 1;
        }
        heard
    }
}

/// RFC 826: `who` is at `sender`, told to `to`.
pub(crate) fn arp_reply(who: IpAddr, sender: MacAddr, to: MacAddr) -> Vec<u8> {
    let IpAddr::V4(who) = who else { panic!("ARP is for IPv4") };
    let header = [&to.0[..], &sender.0, &[0x08, 0x06]].concat();
    let fixed = [0, 1, 0x08, 0, 6, 4, 0, 2];
    [&header[..], &fixed, &sender.0, &who.octets(), &to.0, &[0, 0, 0, 0]].concat()
}
