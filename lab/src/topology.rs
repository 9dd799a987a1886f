//! A laptop and a home network, made of namespaces.
//!
//! ```text
//!   laptop           home                 router
//!   eth0 ─────────── swp0 ┐
//!                         ├ br0 uplink0 ── lan0   192.168.1.1/24, fd00:1::1/64
//!   wlan0 ────────── swp1 ┘
//!   eth1 ─────────── swp2 ┐                       (with two segments)
//!                         ├ br1 uplink1 ── lan1   192.168.2.1/24, fd00:2::1/64
//!   wlan1 ────────── swp3 ┘
//! ```
//!
//! All links are veths; wlan0 is only called so. The switch and the peer are separate hosts, as in real life.
//! The laptop's links are down and without addresses until somebody uses them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde_json::Value;

use crate::error::{LabError, Result};
use crate::meter::End;
use crate::netns::Namespace;
use crate::wait::{Look, until};

/// How the home network is built.
#[derive(Clone, Debug)]
pub struct HomeOptions {
    /// How many networks with a wired and a "wireless" link each, 1 to 4.
    pub segments: u8,
    /// The MTU of every link; `None`: the kernel's 1500.
    pub mtu: Option<u32>,
    /// The switch runs the spanning tree protocol with this forward delay (2 to 30 s), so that a port that is plugged
    /// in is silent for twice as long.
    pub spanning_tree: Option<Duration>,
}

impl Default for HomeOptions {
    fn default() -> Self {
        Self { segments: 1, mtu: None, spanning_tree: None }
    }
}

/// A laptop, a switch and a router.
#[derive(Debug)]
pub struct Home {
    /// Where hitless runs.
    pub laptop: Namespace,
    /// The switch.
    pub switch: Namespace,
    /// The peer of all measurements, and the laptop's gateway.
    pub router: Namespace,
    options: HomeOptions,
}

impl Home {
    /// Builds it.
    ///
    /// # Errors
    ///
    /// Without root, or when the kernel lacks veth or bridge.
    pub fn new(options: HomeOptions) -> Result<Self> {
        let home = Self {
            laptop: Namespace::new("laptop")?,
            switch: Namespace::new("home")?,
            router: Namespace::new("router")?,
            options,
        };
        for host in [&home.laptop, &home.switch, &home.router] {
            // Duplicate address detection would keep new IPv6 addresses from being used for a second or two.
            host.sysctl("net.ipv6.conf.default.accept_dad", "0")?;
            host.sysctl("net.ipv6.conf.all.accept_dad", "0")?;
        }
        for segment in 0..home.options.segments {
            home.build_segment(segment)?;
        }
        Ok(home)
    }

    /// The port names of a segment, the wired one first: `["eth0", "wlan0"]`.
    pub fn ports(segment: u8) -> [String; 2] {
        [format!("eth{segment}"), format!("wlan{segment}")]
    }

    /// An IPv4 address in a segment; host 1 is the router.
    pub fn ipv4(segment: u8, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, segment + 1, host)
    }

    /// An IPv6 address in a segment; host 1 is the router.
    pub fn ipv6(segment: u8, host: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, u16::from(segment) + 1, 0, 0, 0, 0, 0, u16::from(host))
    }

    /// The router's address in the first segment.
    pub fn gateway() -> IpAddr {
        Self::ipv4(0, 1).into()
    }

    /// The two ends of a measurement in a segment: the laptop as host 5, and the router.
    pub fn ends(&self, segment: u8) -> (End<'_>, End<'_>) {
        let end = |host, n| End { host, address: Self::ipv4(segment, n).into() };
        (end(&self.laptop, 5), end(&self.router, 1))
    }

    /// The same by IPv6.
    pub fn ends6(&self, segment: u8) -> (End<'_>, End<'_>) {
        let end = |host, n| End { host, address: Self::ipv6(segment, n).into() };
        (end(&self.laptop, 5), end(&self.router, 1))
    }

    /// Uses one link plainly, without a bond: the baseline of measurements. The address is host 5 of the segment.
    ///
    /// # Errors
    ///
    /// When the link is not there, or the switch does not forward to it.
    pub fn use_plainly(&self, port: &str) -> Result<()> {
        let segment = Link::of(port)?.segment();
        self.laptop.ip(&format!("link set {port} up"))?;
        self.laptop.ip(&format!("address add {}/24 dev {port}", Self::ipv4(segment, 5)))?;
        self.laptop.ip(&format!("address add {}/64 dev {port} nodad", Self::ipv6(segment, 5)))?;
        self.wait_forwarding(port)
    }

    /// Pulls the cable: the port loses its carrier.
    ///
    /// # Errors
    ///
    /// When there is no such link.
    pub fn pull(&self, port: &str) -> Result<()> {
        self.switch.ip(&format!("link set {} down", Link::of(port)?.far())).map(drop)
    }

    /// Plugs the cable back. The switch may take its time before it forwards: [`Home::wait_forwarding`].
    ///
    /// # Errors
    ///
    /// When there is no such link.
    pub fn plug(&self, port: &str) -> Result<()> {
        self.switch.ip(&format!("link set {} up", Link::of(port)?.far())).map(drop)
    }

    /// Waits until the switch forwards what comes from a port and what goes to it.
    ///
    /// # Errors
    ///
    /// When it does not within 10 s beyond the forward delay.
    pub fn wait_forwarding(&self, port: &str) -> Result<()> {
        let far = Link::of(port)?.far();
        let limit = Duration::from_secs(10) + self.options.spanning_tree.unwrap_or_default() * 2;
        until(&format!("the switch to forward on {far} ({port})"), limit, || {
            let state = self.bridge_state(&far)?;
            Ok(if state == "forwarding" { Look::Yes(()) } else { Look::No(format!("state {state}")) })
        })
    }

    /// Waits until a port of the laptop has, or has not, a carrier.
    ///
    /// # Errors
    ///
    /// When it does not within 5 s.
    pub fn wait_carrier(&self, port: &str, expected: bool) -> Result<()> {
        until(
            &format!("{port} to have {}carrier", if expected { "" } else { "no " }),
            Duration::from_secs(5),
            || {
                let shown = self.laptop.ip(&format!("-json link show dev {port}"))?;
                let flags = parse("ip -json link", &shown)?[0]["flags"].to_string();
                Ok(if flags.contains("\"LOWER_UP\"") == expected { Look::Yes(()) } else { Look::No(flags) })
            },
        )
    }

    /// Makes a link fail silently: its carrier stays, nothing comes through in either direction, and the switch still
    /// believes that the laptop is there.
    ///
    /// # Errors
    ///
    /// When there is no such link, or the switch runs a spanning tree, which then owns the state of its ports.
    pub fn silence(&self, port: &str) -> Result<()> {
        self.set_bridge_state(port, "disabled")
    }

    /// Ends what [`Home::silence`] began.
    ///
    /// # Errors
    ///
    /// As [`Home::silence`].
    pub fn unsilence(&self, port: &str) -> Result<()> {
        self.set_bridge_state(port, "forwarding")
    }

    fn set_bridge_state(&self, port: &str, state: &str) -> Result<()> {
        let far = Link::of(port)?.far();
        self.switch.run(&["bridge", "link", "set", "dev", &far, "state", state]).map(drop)
    }

    /// Takes a port out of the laptop: the interface is gone, as with an unplugged USB adapter.
    ///
    /// # Errors
    ///
    /// When it is gone already.
    pub fn vanish(&self, port: &str) -> Result<()> {
        self.laptop.ip(&format!("link del {port}")).map(drop)
    }

    /// Puts a port back that has vanished: a new interface of the same name, down, with another address.
    ///
    /// # Errors
    ///
    /// When it is there.
    pub fn appear(&self, port: &str) -> Result<()> {
        self.connect(&Link::of(port)?)
    }

    /// How many frames an interface has received and sent, from its counters.
    ///
    /// # Errors
    ///
    /// When there is no such interface.
    pub fn frames(host: &Namespace, interface: &str) -> Result<(u64, u64)> {
        let shown = host.ip(&format!("-json -stats link show dev {interface}"))?;
        let stats = parse("ip -json -stats link", &shown)?[0]["stats64"].clone();
        let packets = |direction: &str| stats[direction]["packets"].as_u64().unwrap_or_default();
        Ok((packets("rx"), packets("tx")))
    }

    /// Moves a port from the laptop to another namespace, or back when `to` is the laptop.
    ///
    /// # Errors
    ///
    /// When it is not where it should be.
    pub fn carry(&self, port: &str, from: &Namespace, to: &Namespace) -> Result<()> {
        from.ip(&format!("link set {port} netns {}", to.name())).map(drop)
    }

    fn build_segment(&self, segment: u8) -> Result<()> {
        let spanning = match self.options.spanning_tree {
            // In hundredths of a second.
            Some(delay) => format!("stp_state 1 forward_delay {} hello_time 100", delay.as_millis() / 10),
            None => "stp_state 0 forward_delay 0".to_owned(),
        };
        self.switch.ip(&format!("link add br{segment} type bridge {spanning}"))?;
        // Reports and queriers are no business of this network, and would cost it its first multicast frames.
        self.switch.ip(&format!("link set br{segment} type bridge mcast_snooping 0"))?;
        self.set_mtu(&self.switch, &format!("br{segment}"))?;
        self.switch.ip(&format!("link set br{segment} up"))?;

        let (uplink, lan) = (format!("uplink{segment}"), format!("lan{segment}"));
        self.switch
            .ip(&format!("link add {uplink} type veth peer name {lan} netns {}", self.router.name()))?;
        self.set_mtu(&self.switch, &uplink)?;
        self.set_mtu(&self.router, &lan)?;
        self.switch.ip(&format!("link set {uplink} master br{segment} up"))?;
        self.router.ip(&format!("address add {}/24 dev {lan}", Self::ipv4(segment, 1)))?;
        self.router.ip(&format!("address add {}/64 dev {lan} nodad", Self::ipv6(segment, 1)))?;
        self.router.ip(&format!("link set {lan} up"))?;
        for port in Self::ports(segment) {
            self.connect(&Link::of(&port)?)?;
        }
        let limit = Duration::from_secs(10) + self.options.spanning_tree.unwrap_or_default() * 2;
        until(&format!("the switch to forward on {uplink}"), limit, || {
            let state = self.bridge_state(&uplink)?;
            Ok(if state == "forwarding" { Look::Yes(()) } else { Look::No(format!("state {state}")) })
        })
    }

    /// Lays a link between laptop and switch; its far end is up, its near end is down.
    fn connect(&self, link: &Link) -> Result<()> {
        let (near, far) = (&link.near, link.far());
        self.switch.ip(&format!("link add {far} type veth peer name {near} netns {}", self.laptop.name()))?;
        self.set_mtu(&self.switch, &far)?;
        self.set_mtu(&self.laptop, near)?;
        self.switch.ip(&format!("link set {far} master br{} up", link.segment())).map(drop)
    }

    fn set_mtu(&self, host: &Namespace, interface: &str) -> Result<()> {
        match self.options.mtu {
            Some(mtu) => host.ip(&format!("link set {interface} mtu {mtu}")).map(drop),
            None => Ok(()),
        }
    }

    /// What the switch thinks of one of its ports: `disabled`, `listening`, `learning`, `forwarding`, `blocking`.
    fn bridge_state(&self, far: &str) -> Result<String> {
        let shown = self.switch.run(&["bridge", "-json", "link", "show", "dev", far])?;
        let state = parse("bridge -json link", &shown)?[0]["state"].clone();
        Ok(state.as_str().unwrap_or("unknown").to_owned())
    }
}

/// A link between laptop and switch.
struct Link {
    near: String,
    number: u8,
}

impl Link {
    fn of(near: &str) -> Result<Self> {
        let unknown = || LabError::Broken(format!("the home network has no link {near}"));
        let (wireless, segment) = match (near.strip_prefix("eth"), near.strip_prefix("wlan")) {
            (Some(segment), _) => (0, segment),
            (None, Some(segment)) => (1, segment),
            (None, None) => return Err(unknown()),
        };
        let segment: u8 = segment.parse().ok().filter(|segment| *segment < 4).ok_or_else(unknown)?;
        Ok(Self { near: near.to_owned(), number: segment * 2 + wireless })
    }

    fn segment(&self) -> u8 {
        self.number / 2
    }

    fn far(&self) -> String {
        format!("swp{}", self.number)
    }
}

/// Reads the JSON that a tool printed.
fn parse(command: &str, output: &str) -> Result<Value> {
    serde_json::from_str(output).map_err(|source| LabError::Json {
        command: command.to_owned(),
        output: output.to_owned(),
        source,
    })
}
