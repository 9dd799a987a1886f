//! A laptop and a home network out of two namespaces, and what is needed to send and hear single frames there.

use std::fs::File;
use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use hitless_core::event::PortId;
use hitless_core::mac::MacAddr;
use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// The address of the bond.
pub(crate) const LAPTOP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The address of the bridge.
pub(crate) const HOME: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The hardware address of the bond, and of the ports where they share it.
pub(crate) const BOND_MAC: MacAddr = MacAddr([2, 0, 0x5e, 0, 0, 1]);
/// Somebody at home.
pub(crate) const PEER_MAC: MacAddr = MacAddr([2, 0, 0x5e, 0, 0, 0x99]);

/// ```text
///   namespace laptop                 namespace home
///   bond0 ─ park0 (its peer)
///   p0 ───────────────────────────── s0 ┐
///   p1 ───────────────────────────── s1 ┴ br0
/// ```
///
/// Gone with everything in it when it is dropped.
pub(crate) struct Net {
    pub(crate) laptop: String,
    pub(crate) home: String,
}

impl Net {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = || format!("hl-ebpf-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let net = Self { laptop: name(), home: name() };
        let Self { laptop, home } = &net;
        for namespace in [laptop, home] {
            ip(&format!("netns add {namespace}"));
            let quiet = ["net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"];
            run(Command::new("ip").args(["netns", "exec", namespace, "sysctl", "-qw"]).args(quiet));
        }
        ip(&format!("-n {laptop} link add bond0 address {BOND_MAC} type veth peer name park0"));
        ip(&format!("-n {home} link add br0 type bridge forward_delay 0"));
        for n in [0, 1] {
            ip(&format!(
                "-n {laptop} link add p{n} address {BOND_MAC} type veth peer name s{n} netns {home}"
            ));
            ip(&format!("-n {laptop} link set p{n} up"));
            ip(&format!("-n {home} link set s{n} master br0 up"));
        }
        for up in ["lo", "park0", "bond0"] {
            ip(&format!("-n {laptop} link set {up} up"));
        }
        ip(&format!("-n {home} link set br0 up"));
        ip(&format!("-n {home} addr add {HOME}/24 dev br0"));
        ip(&format!("-n {laptop} addr add {LAPTOP}/24 dev bond0"));
        net
    }

    /// The port `p{n}`.
    pub(crate) fn port(&self, n: u32) -> PortId {
        PortId(self.index(&format!("p{n}")))
    }

    pub(crate) fn bond(&self) -> u32 {
        self.index("bond0")
    }

    /// The index of an interface of the laptop.
    pub(crate) fn index(&self, name: &str) -> u32 {
        within(&self.laptop, || nix::net::if_::if_nametoindex(name).unwrap())
    }

    /// Runs `ip` in the laptop.
    pub(crate) fn on_laptop(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.laptop));
    }

    /// Runs `ip` at home.
    pub(crate) fn at_home(&self, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.home));
    }

    /// Runs `tc` in the laptop.
    pub(crate) fn tc(&self, arguments: &str) -> String {
        self.tc_words(&arguments.split(' ').collect::<Vec<_>>())
    }

    /// The same, where an argument contains a space.
    pub(crate) fn tc_words(&self, arguments: &[&str]) -> String {
        run(Command::new("tc").args(["-n", &self.laptop]).args(arguments))
    }

    /// A datagram socket in each of the two, connected to each other.
    pub(crate) fn datagrams(&self) -> (UdpSocket, UdpSocket) {
        let open = |namespace: &str, address: Ipv4Addr| {
            let socket = within(namespace, || UdpSocket::bind((address, 0)).unwrap());
            socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            socket
        };
        let (laptop, home) = (open(&self.laptop, LAPTOP), open(&self.home, HOME));
        laptop.connect(home.local_addr().unwrap()).unwrap();
        home.connect(laptop.local_addr().unwrap()).unwrap();
        (laptop, home)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.laptop, &self.home] {
            let _ = Command::new("ip").args(["netns", "delete", namespace]).output();
        }
    }
}

fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}

fn run(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install iproute2 and procps"));
    assert!(
        output.status.success(),
        "{command:?} failed; these tests need root and network namespaces: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `work` in a thread of its own in this namespace. What it opens stays there.
pub(crate) fn within<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    let file = File::open(format!("/run/netns/{namespace}")).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).expect("entering a network namespace needs root");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// An Ethernet frame of the ethertype for experiments, or another; `mark` tells it from others.
pub(crate) fn frame(destination: MacAddr, source: MacAddr, ethertype: u16, mark: &str) -> Vec<u8> {
    let mut frame = [destination.0, source.0].concat();
    frame.extend(ethertype.to_be_bytes());
    frame.extend(mark.as_bytes());
    frame.resize(60, 0);
    frame
}

/// IEEE 802 local experimental ethertype 1.
pub(crate) const EXPERIMENT: u16 = 0x88b5;

/// What was heard on an interface.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) frame: Vec<u8>,
    /// The tag that the kernel keeps beside the frame.
    pub(crate) tag: Option<u16>,
}

impl Heard {
    pub(crate) fn destination(&self) -> MacAddr {
        MacAddr(*self.frame.first_chunk().unwrap())
    }
}

/// A packet socket on one interface.
pub(crate) struct Wire {
    socket: OwnedFd,
}

impl Wire {
    pub(crate) fn open(namespace: &str, interface: &str) -> Self {
        Self::open_for(namespace, interface, libc::ETH_P_ALL as u16)
    }

    /// The same for one ethertype. It hears what the interface's own stack gets: after tc, and not before.
    pub(crate) fn open_for(namespace: &str, interface: &str, ethertype: u16) -> Self {
        let socket = within(namespace, || {
            let index = nix::net::if_::if_nametoindex(interface).unwrap();
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
                .expect("needs CAP_NET_RAW");
            // SAFETY: sockaddr_ll is integers only, for which zero is a value.
            let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = ethertype.to_be();
            address.sll_ifindex = index as i32;
            let on: libc::c_int = 1;
            // SAFETY: the descriptor is open, and the pointers and lengths are those of local variables.
            let done = unsafe {
                let size = size_of_val(&on) as u32;
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_PACKET,
                    libc::PACKET_AUXDATA,
                    (&raw const on).cast(),
                    size,
                ) | libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size_of_val(&address) as u32)
            };
            assert_eq!(done, 0, "{}", io::Error::last_os_error());
            socket
        });
        Self { socket }
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        self.try_send(frame).unwrap();
    }

    pub(crate) fn try_send(&self, frame: &[u8]) -> nix::Result<usize> {
        nix::sys::socket::send(self.socket.as_raw_fd(), frame, nix::sys::socket::MsgFlags::empty())
    }

    /// Waits for a frame with this mark that comes in (not one that goes out).
    pub(crate) fn hears(&self, mark: &str) -> Option<Heard> {
        self.all(mark, Duration::from_millis(500), 1).pop()
    }

    /// Frames with this mark that come in: as many as `most`, or what there is after `patience`.
    pub(crate) fn all(&self, mark: &str, patience: Duration, most: usize) -> Vec<Heard> {
        let end = Instant::now() + patience;
        let mut found = Vec::new();
        while found.len() < most {
            let left = end.saturating_duration_since(Instant::now());
            let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd, which lives as long as the call.
            if unsafe { libc::poll(&raw mut poll, 1, left.as_millis() as i32) } <= 0 {
                break;
            }
            let (kind, heard) = self.receive();
            let contains = heard.frame.windows(mark.len()).any(|part| part == mark.as_bytes());
            if kind != libc::PACKET_OUTGOING && contains {
                found.push(heard);
            }
        }
        found
    }

    fn receive(&self) -> (u8, Heard) {
        let mut frame = vec![0u8; 65536];
        let mut control = [0u64; 16];
        // SAFETY: structures of integers and pointers, for which zero is a value.
        let (mut address, mut message) =
            unsafe { (mem::zeroed::<libc::sockaddr_ll>(), mem::zeroed::<libc::msghdr>()) };
        let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        message.msg_name = (&raw mut address).cast();
        message.msg_namelen = size_of_val(&address) as u32;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: every pointer in `message` is to a local variable of the length said beside it.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, 0) };
        frame.truncate(usize::try_from(length).expect("a frame"));
        // SAFETY: the kernel filled in the control part that `message` still describes.
        let first = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
        let mut tag = None;
        if !first.is_null() {
            let mut data = MaybeUninit::<libc::tpacket_auxdata>::uninit();
            // SAFETY: PACKET_AUXDATA, the one message asked for, carries a tpacket_auxdata.
            let data = unsafe {
                std::ptr::copy_nonoverlapping(
                    libc::CMSG_DATA(first),
                    data.as_mut_ptr().cast(),
                    size_of_val(&data),
                );
                data.assume_init()
            };
            tag = (data.tp_status & libc::TP_STATUS_VLAN_VALID != 0).then_some(data.tp_vlan_tci);
        }
        (address.sll_pkttype, Heard { frame, tag })
    }
}
