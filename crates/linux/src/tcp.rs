//! TCP connections of this host, seen from outside (`NETLINK_SOCK_DIAG`, linux/inet_diag.h): which one carries the
//! session of a process, and whether what is sent on it is still acknowledged.

#![allow(clippy::wildcard_enum_match_arm, reason = "the kernel's enums are foreign, open and long")]

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_ESTABLISHED};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use rtnetlink::sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};

use crate::error::{Cause, RequestError};

/// The kernel makes no answer longer than this, in octets (`netlink_dump`).
const ANSWER: usize = 32 << 10;

/// How far up a process is looked for a connection: a shell in a shell in a terminal is no more than this.
const GENERATIONS: usize = 32;

/// A TCP connection, by which it is known everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} – {}", self.local, self.peer)
    }
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many octets wait for being acknowledged, whether or not they have left the host (`idiag_wqueue`).
    pub outstanding: u32,
    /// How many have been acknowledged since it began (`tcpi_bytes_acked`).
    pub acked: u64,
}

impl Connection {
    /// The connection by which somebody uses this process: that of the nearest ancestor which has one, such as sshd.
    /// `None` on a console.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell of connections (`CONFIG_INET_DIAG`).
    pub fn of_session(process: u32) -> Result<Option<Self>, RequestError> {
        let connections = established()?;
        let by_socket: BTreeMap<u64, Self> =
            connections.iter().map(|seen| (u64::from(seen.header.inode), Self::of(seen))).collect();
        let mut process = Some(process);
        for _ in 0..GENERATIONS {
            let Some(current) = process.filter(|process| *process > 1) else { break };
            let found = sockets(current).into_iter().find_map(|socket| by_socket.get(&socket).copied());
            if found.is_some() {
                return Ok(found);
            }
            process = parent(current);
        }
        Ok(None)
    }

    /// How far it has come; `None`: it is over.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell.
    pub fn progress(&self) -> Result<Option<Progress>, RequestError> {
        let family = if self.local.is_ipv4() { AF_INET } else { AF_INET6 };
        let socket_id = SocketId {
            source_port: self.local.port(),
            destination_port: self.peer.port(),
            source_address: self.local.ip(),
            destination_address: self.peer.ip(),
            interface_id: 0,
            // Whichever it is (`INET_DIAG_NOCOOKIE`).
            cookie: [0xff; 8],
        };
        match ask(family, socket_id, 0) {
            Ok(found) => Ok(found
                .first()
                .filter(|seen| seen.header.state == TCP_ESTABLISHED)
                .map(|seen| Progress { outstanding: seen.header.send_queue, acked: acked(seen) })),
            Err(Cause::Kernel { errno: Errno::ENOENT, .. }) => Ok(None),
            Err(cause) => Err(cause.of("look at a TCP connection", "")),
        }
    }

    fn of(seen: &InetResponse) -> Self {
        let id = &seen.header.socket_id;
        Self {
            local: SocketAddr::new(plain(id.source_address), id.source_port),
            peer: SocketAddr::new(plain(id.destination_address), id.destination_port),
        }
    }
}

fn acked(seen: &InetResponse) -> u64 {
    let acked = seen.nlas.iter().find_map(|attribute| match attribute {
        Nla::TcpInfo(info) => Some(info.bytes_acked),
        _ => None,
    });
    acked.unwrap_or_default()
}

/// A socket for both families has IPv4 addresses in the words of IPv6 (RFC 4291 section 2.5.5.2).
fn plain(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The inodes of a process' sockets. None where it may not be looked at, or has just ended.
fn sockets(process: u32) -> Vec<u64> {
    let Ok(files) = fs::read_dir(format!("/proc/{process}/fd")) else { return Vec::new() };
    files.flatten().filter_map(|file| socket_inode(&fs::read_link(file.path()).ok()?)).collect()
}

/// proc_pid_fd(5): `socket:[1234]`.
fn socket_inode(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// proc_pid_stat(5): the fourth field, behind a name in parentheses that may contain anything.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// All connections of this network namespace.
fn established() -> Result<Vec<InetResponse>, RequestError> {
    let named = |cause: Cause| cause.of("list the TCP connections", "");
    let mut connections = Vec::new();
    for (family, any) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        match ask(family, any, NLM_F_DUMP) {
            Ok(more) => connections.extend(more),
            // IPv6 may not be there.
            Err(Cause::Kernel { errno: Errno::ENOENT, .. }) if family == AF_INET6 => {}
            Err(cause) => return Err(named(cause)),
        }
    }
    Ok(connections)
}

/// With `NLM_F_DUMP` all that there are, else this one.
fn ask(family: u8, socket_id: SocketId, flags: u16) -> Result<Vec<InetResponse>, Cause> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddr::new(0, 0))?;
    socket.send(&request(family, socket_id, flags), 0)?;
    let mut connections = Vec::new();
    let mut buffer = vec![0; ANSWER];
    loop {
        // The kernel answers before `send` returns, and goes on whenever some of it is read (`netlink_dump`).
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|_| Cause::Answer("message that can be read"))?;
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    connections.push(*response);
                }
                NetlinkPayload::Error(error) => {
                    return Err(Cause::errno(Errno::from_raw(error.raw_code().saturating_neg())));
                }
                NetlinkPayload::Done(_) => return Ok(connections),
                _ => {}
            }
        }
        if flags & NLM_F_DUMP == 0 {
            return Ok(connections);
        }
    }
}

fn request(family: u8, socket_id: SocketId, flags: u16) -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let request = InetRequest {
        family,
        protocol: IPPROTO_TCP,
        extensions: ExtensionFlags::INFO,
        states: StateFlags::ESTABLISHED,
        socket_id,
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut buffer = vec![0; message.buffer_len()];
    message.serialize(&mut buffer);
    buffer
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_connection_is_found_by_its_process_and_makes_progress() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let own = Connection { local: stream.local_addr().unwrap(), peer: stream.peer_addr().unwrap() };
        let sockets = sockets(std::process::id());
        let all = established().unwrap();
        let seen = all.iter().find(|seen| Connection::of(seen) == own).unwrap();
        assert!(sockets.contains(&u64::from(seen.header.inode)));
        assert!(Connection::of_session(std::process::id()).unwrap().is_some());

        let before = own.progress().unwrap().unwrap();
        stream.write_all(&[0; 1000]).unwrap();
        let mut after = own.progress().unwrap().unwrap();
        while after.outstanding > 0 {
            after = own.progress().unwrap().unwrap();
        }
        assert_eq!(after.acked - before.acked, 1000);

        drop((stream, accepted));
        assert_eq!(own.progress().unwrap(), None, "it is over");
    }

    #[test]
    fn a_process_without_connections_has_no_session() {
        assert_eq!(Connection::of_session(1).unwrap(), None);
    }

    #[test]
    fn names_of_open_files() {
        assert_eq!(socket_inode(Path::new("socket:[1234]")), Some(1234));
        for other in ["pipe:[1234]", "/dev/null", "socket:[]", "socket:[x]"] {
            assert_eq!(socket_inode(Path::new(other)), None, "{other}");
        }
    }
}
