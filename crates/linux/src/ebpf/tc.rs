//! Hooks: puts a program on the ingress or egress of an interface as a clsact filter, takes it off, says what is there.
//!
//! Five requests of rtnetlink's tc part, hand-made: a filter of somebody else that a general decoder does not
//! understand must not keep us from our own, and nothing is detached when this is dropped. Blocking, but the kernel
//! answers within the system call, so nothing ever waits. What the filters are for is not known here.

use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// The place of our filters among others on the same hook: before those that get a place from the kernel (from 49152
/// down), so that ours is not cut off by them, and behind those that someone puts in front on purpose (a policer).
const PRIORITY: u16 = 0x686c;
/// Names our filter within its priority.
const HANDLE: u32 = 0x686c;

/// The name of a filter on a qdisc that was there before.
const NAME: &str = "hitless";
/// The name of a filter for which we added the qdisc: it goes with the filter. The name is how a later process knows.
const NAME_WITH_QDISC: &str = "hitless+clsact";

// Kernel ABI (linux/pkt_sched.h, linux/rtnetlink.h, linux/pkt_cls.h), where libc has no name for it.
const TC_H_CLSACT: u32 = 0xffff_fff1;
const CLSACT_HANDLE: u32 = 0xffff_0000;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
const NLMSGERR_ATTR_MSG: u16 = 1;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const HEADER: usize = 16;
const TCMSG: usize = 20;

/// Which way a frame passes an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Ingress,
    Egress,
}

impl Hook {
    /// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS | TC_H_MIN_EGRESS)`
    fn parent(self) -> u32 {
        match self {
            Self::Ingress => 0xffff_fff2,
            Self::Egress => 0xffff_fff3,
        }
    }
}

/// A request that the kernel refused, or that did not reach it.
#[derive(Debug, thiserror::Error)]
#[error("{request}: {source}{}{}", said(.message), remedy(.request, .source))]
pub struct TcError {
    request: &'static str,
    /// The kernel's own words (extended acknowledgement).
    message: Option<String>,
    source: io::Error,
}

fn said(message: &Option<String>) -> String {
    message.as_ref().map(|text| format!(" (kernel: {text})")).unwrap_or_default()
}

fn remedy(request: &str, source: &io::Error) -> &'static str {
    match (source.raw_os_error().map(Errno::from_raw), request) {
        (Some(Errno::EPERM | Errno::EACCES), _) => "; this needs root or CAP_NET_ADMIN",
        (Some(Errno::ENOENT), ADD_QDISC) => "; the kernel has no clsact (module sch_ingress)",
        (Some(Errno::ENOENT), ADD_FILTER) => "; the kernel has no BPF filters (module cls_bpf)",
        _ => "",
    }
}

const ADD_QDISC: &str = "adding the clsact qdisc";
const ADD_FILTER: &str = "adding the tc filter";

impl TcError {
    /// Is the interface, or what was to be removed from it, gone?
    fn is_gone(&self) -> bool {
        let errno = self.source.raw_os_error().map(Errno::from_raw);
        // EINVAL is how the kernel says that the qdisc is not there.
        matches!(errno, Some(Errno::ENODEV | Errno::ENOENT | Errno::EINVAL))
    }

    fn is(&self, errno: Errno) -> bool {
        self.source.raw_os_error() == Some(errno as i32)
    }
}

/// One filter on a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter {
    priority: u16,
    handle: u32,
    /// `None` for a filter that is no BPF program.
    program: Option<u32>,
    name: Option<String>,
}

impl Filter {
    fn is_ours(&self) -> bool {
        self.priority == PRIORITY
            && self.handle == HANDLE
            && self.program.is_some()
            && self.name.as_deref().is_some_and(|name| name == NAME || name == NAME_WITH_QDISC)
    }
}

/// A connection to the tc of the network namespace that the opening thread was in.
#[derive(Debug)]
pub(super) struct Tc {
    socket: OwnedFd,
    sequence: AtomicU32,
}

impl Tc {
    pub(super) fn open() -> Result<Self, TcError> {
        let request = "opening an rtnetlink socket";
        let failed = |errno: Errno| TcError { request, message: None, source: errno.into() };
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)
            .map_err(failed)?;
        // Never reached; a kernel that does not answer must not stop the daemon.
        setsockopt(&socket, ReceiveTimeout, &TimeVal::seconds(1)).map_err(failed)?;
        ask_for_messages(&socket);
        Ok(Self { socket, sequence: AtomicU32::new(1) })
    }

    /// The id of the program that our filter on this hook runs; `None` where there is none, or no such interface.
    pub(super) fn attached(&self, ifindex: u32, hook: Hook) -> Result<Option<u32>, TcError> {
        Ok(self.ours(ifindex, hook)?.and_then(|filter| filter.program))
    }

    /// Makes our filter on this hook run this program. Replaces one that is there, without a gap.
    pub(super) fn attach(&self, ifindex: u32, hook: Hook, program: impl AsFd) -> Result<(), TcError> {
        let filter = |name| filter_request(ifindex, hook, &program, name);
        let name = match self.ours(ifindex, hook)?.and_then(|filter| filter.name) {
            Some(name) if name == NAME_WITH_QDISC => NAME_WITH_QDISC,
            Some(_) => NAME,
            None if self.has_qdisc(ifindex)? => NAME,
            None => {
                // Both at once: whenever we are killed, there is none of ours without the filter by which it is known.
                let added =
                    self.ask_both((ADD_QDISC, qdisc_request(ifindex)), (ADD_FILTER, filter(NAME_WITH_QDISC)));
                return match added {
                    // Somebody else was faster.
                    (Err(error), _) if error.is(Errno::EEXIST) => {
                        self.ask(ADD_FILTER, filter(NAME)).map(drop)
                    }
                    (Err(error), _) => Err(error),
                    (Ok(()), Err(error)) => {
                        // Nothing half done. The error that counts is the first.
                        let _ = self.remove_qdisc(ifindex);
                        Err(error)
                    }
                    (Ok(()), Ok(())) => Ok(()),
                };
            }
        };
        self.ask(ADD_FILTER, filter(name)).map(drop)
    }

    /// Takes our filter off this hook, and the qdisc where we added it and nobody else uses it.
    /// It is no error when it is not there, or the interface is gone.
    pub(super) fn detach(&self, ifindex: u32, hook: Hook) -> Result<(), TcError> {
        let Some(filter) = self.ours(ifindex, hook)? else { return Ok(()) };
        // The qdisc takes the filter along, in one step: the filter's name is all that tells that the qdisc is ours.
        if filter.name.as_deref() == Some(NAME_WITH_QDISC) && self.is_alone(ifindex)? {
            return self.remove_qdisc(ifindex);
        }
        let request = Request::new(libc::RTM_DELTFILTER, 0, ifindex, HANDLE, hook.parent(), filter_info());
        unless_gone(self.ask("removing the tc filter", request)).map(drop)
    }

    fn ours(&self, ifindex: u32, hook: Hook) -> Result<Option<Filter>, TcError> {
        Ok(self.filters(ifindex, hook)?.into_iter().find(Filter::is_ours))
    }

    fn filters(&self, ifindex: u32, hook: Hook) -> Result<Vec<Filter>, TcError> {
        let flags = flag(libc::NLM_F_DUMP);
        let request = Request::new(libc::RTM_GETTFILTER, flags, ifindex, 0, hook.parent(), 0);
        let answers = unless_gone(self.ask("listing the tc filters", request))?.unwrap_or_default();
        // Handle 0 is the classifier as such, which the kernel lists before its filters.
        Ok(answers.iter().filter_map(|body| parse_filter(body)).filter(|filter| filter.handle != 0).collect())
    }

    /// Is there clsact (or the older ingress qdisc, which serves as well on ports)?
    fn has_qdisc(&self, ifindex: u32) -> Result<bool, TcError> {
        let request = Request::new(libc::RTM_GETQDISC, flag(libc::NLM_F_DUMP), ifindex, 0, 0, 0);
        let qdiscs = self.ask("listing the qdiscs", request)?;
        // `struct tcmsg`: all of the namespace are listed.
        let is_it =
            |body: &Vec<u8>| read_u32(body, 4) == Some(ifindex) && read_u32(body, 12) == Some(TC_H_CLSACT);
        Ok(qdiscs.iter().any(is_it))
    }

    /// Are there no filters of others on this interface?
    fn is_alone(&self, ifindex: u32) -> Result<bool, TcError> {
        for hook in [Hook::Ingress, Hook::Egress] {
            if !self.filters(ifindex, hook)?.iter().all(Filter::is_ours) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn remove_qdisc(&self, ifindex: u32) -> Result<(), TcError> {
        let request = Request::new(libc::RTM_DELQDISC, 0, ifindex, CLSACT_HANDLE, TC_H_CLSACT, 0);
        unless_gone(self.ask("removing the clsact qdisc", request)).map(drop)
    }

    /// Sends a request and gathers what comes before its acknowledgement.
    fn ask(&self, name: &'static str, mut request: Request) -> Result<Vec<Vec<u8>>, TcError> {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        self.send(name, request.finish(sequence))?;
        let mut answers = Vec::new();
        loop {
            let buffer = self.receive(name)?;
            for answer in Answers(&buffer).filter(|answer| answer.sequence == sequence) {
                match answer.acknowledgement(name) {
                    Some(result) => return result.map(|()| answers),
                    None => answers.push(answer.body.to_vec()),
                }
            }
        }
    }

    /// Sends two requests in one message, which the kernel goes through whatever becomes of us. The second is made even if the
    /// first is refused.
    fn ask_both(
        &self,
        (first, mut one): (&'static str, Request),
        (second, mut other): (&'static str, Request),
    ) -> (Result<(), TcError>, Result<(), TcError>) {
        let sequence = self.sequence.fetch_add(2, Ordering::Relaxed);
        let both = [one.finish(sequence), other.finish(sequence.wrapping_add(1))].concat();
        if let Err(error) = self.send(first, &both) {
            return (Err(error), Ok(()));
        }
        let (mut done, mut result) = (None, None);
        loop {
            let buffer = match self.receive(second) {
                Ok(buffer) => buffer,
                Err(error) => return (done.unwrap_or(Ok(())), Err(error)),
            };
            for answer in Answers(&buffer) {
                if answer.sequence == sequence {
                    done = done.or(answer.acknowledgement(first));
                } else if answer.sequence == sequence.wrapping_add(1) {
                    result = result.or(answer.acknowledgement(second));
                }
            }
            match (done.take(), result.take()) {
                (Some(done), Some(result)) => return (done, result),
                pending => (done, result) = pending,
            }
        }
    }

    fn send(&self, name: &'static str, bytes: &[u8]) -> Result<(), TcError> {
        let sent = send(self.socket.as_raw_fd(), bytes, MsgFlags::empty());
        sent.map(drop).map_err(|errno| TcError { request: name, message: None, source: errno.into() })
    }

    fn receive(&self, name: &'static str) -> Result<Vec<u8>, TcError> {
        let mut buffer = vec![0; 32 * 1024];
        let received = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty());
        let length =
            received.map_err(|errno| TcError { request: name, message: None, source: errno.into() })?;
        buffer.truncate(length);
        Ok(buffer)
    }
}

fn qdisc_request(ifindex: u32) -> Request {
    let flags = flag(libc::NLM_F_CREATE | libc::NLM_F_EXCL);
    let mut request = Request::new(libc::RTM_NEWQDISC, flags, ifindex, CLSACT_HANDLE, TC_H_CLSACT, 0);
    request.attribute(TCA_KIND, b"clsact\0");
    request
}

fn filter_request(ifindex: u32, hook: Hook, program: &impl AsFd, name: &str) -> Request {
    // Without NLM_F_EXCL: the kernel swaps the program of an existing filter in one step.
    let flags = flag(libc::NLM_F_CREATE);
    let mut request =
        Request::new(libc::RTM_NEWTFILTER, flags, ifindex, HANDLE, hook.parent(), filter_info());
    request.attribute(TCA_KIND, b"bpf\0");
    let mut options = Vec::new();
    put_attribute(&mut options, TCA_BPF_FD, &program.as_fd().as_raw_fd().to_ne_bytes());
    put_attribute(&mut options, TCA_BPF_NAME, format!("{name}\0").as_bytes());
    put_attribute(&mut options, TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
    request.attribute(TCA_OPTIONS, &options);
    request
}

/// Has the kernel explain refusals in words. Kernels that cannot (before 4.12) still give the number.
fn ask_for_messages(socket: &OwnedFd) {
    let on: libc::c_int = 1;
    #[allow(clippy::cast_possible_truncation, reason = "the size of an int")]
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the descriptor is open for the whole call, and the pointer and length are those of `on`.
    unsafe {
        let value = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, value, length);
    }
}

fn unless_gone<T>(result: Result<T, TcError>) -> Result<Option<T>, TcError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// `tcm_info`: the priority, and the protocol (all) in network byte order.
fn filter_info() -> u32 {
    let all = u16::from_ne_bytes(0x0003_u16.to_be_bytes());
    (u32::from(PRIORITY) << 16) | u32::from(all)
}

/// libc has the flags as `int`, the header as 16 bits.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "flags of 16 bits")]
fn flag(flags: libc::c_int) -> u16 {
    flags as u16
}

/// A request: header, `struct tcmsg`, attributes.
struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16, ifindex: u32, handle: u32, parent: u32, info: u32) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((flags | flag(libc::NLM_F_REQUEST | libc::NLM_F_ACK)).to_ne_bytes());
        bytes.extend([0; 8]);
        for word in [0, ifindex, handle, parent, info] {
            bytes.extend(word.to_ne_bytes());
        }
        Self(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        put_attribute(&mut self.0, kind, value);
    }

    /// Fills in what is known only now.
    #[allow(clippy::cast_possible_truncation, reason = "a request has some hundred bytes")]
    fn finish(&mut self, sequence: u32) -> &[u8] {
        let length = self.0.len() as u32;
        for (bytes, value) in [(0..4, length), (8..12, sequence)] {
            if let Some(field) = self.0.get_mut(bytes) {
                field.copy_from_slice(&value.to_ne_bytes());
            }
        }
        &self.0
    }
}

#[allow(clippy::cast_possible_truncation, reason = "an attribute has some hundred bytes")]
fn put_attribute(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    bytes.extend((value.len() as u16 + 4).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// One message of the kernel.
struct Answer<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &'a [u8],
}

impl Answer<'_> {
    /// `struct nlmsgerr`, and the words after it; `None`: it is no acknowledgement.
    fn acknowledgement(&self, request: &'static str) -> Option<Result<(), TcError>> {
        let ends = matches!(i32::from(self.kind), libc::NLMSG_DONE | libc::NLMSG_ERROR);
        ends.then(|| self.outcome(request))
    }

    fn outcome(&self, request: &'static str) -> Result<(), TcError> {
        let code = read_u32(self.body, 0).map_or(libc::EBADMSG, |code| code.cast_signed().wrapping_neg());
        if code == 0 {
            return Ok(());
        }
        Err(TcError { request, message: self.words(), source: io::Error::from_raw_os_error(code) })
    }

    fn words(&self) -> Option<String> {
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return None;
        }
        let quoted = if self.flags & NLM_F_CAPPED == 0 { read_u32(self.body, 4)? as usize } else { HEADER };
        let attributes = self.body.get(4 + quoted.next_multiple_of(4)..)?;
        Attributes(attributes).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG).map(|(_, text)| string(text))
    }
}

/// The messages in what was received at once.
struct Answers<'a>(&'a [u8]);

impl<'a> Iterator for Answers<'a> {
    type Item = Answer<'a>;

    fn next(&mut self) -> Option<Answer<'a>> {
        let length = read_u32(self.0, 0)? as usize;
        let message = self.0.get(..length)?;
        let body = message.get(HEADER..)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Answer {
            kind: read_u16(message, 4)?,
            flags: read_u16(message, 6)?,
            sequence: read_u32(message, 8)?,
            body,
        })
    }
}

/// The attributes in a message or in another attribute: kind without flags, value.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(read_u16(self.0, 0)?);
        let kind = read_u16(self.0, 2)? & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

/// One filter of a listing. What is not understood in somebody else's is left out.
fn parse_filter(body: &[u8]) -> Option<Filter> {
    let [handle, info] = [read_u32(body, 8)?, read_u32(body, 16)?];
    let mut filter = Filter { priority: u16::try_from(info >> 16).ok()?, handle, program: None, name: None };
    let mut is_bpf = false;
    for (kind, value) in Attributes(body.get(TCMSG..)?) {
        match kind {
            TCA_KIND => is_bpf = string(value) == "bpf",
            TCA_OPTIONS if is_bpf => {
                for (kind, value) in Attributes(value) {
                    match kind {
                        TCA_BPF_ID => filter.program = read_u32(value, 0),
                        TCA_BPF_NAME => filter.name = Some(string(value)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some(filter)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// A listing of one BPF filter.
    fn listing() -> Vec<u8> {
        let mut request =
            Request::new(libc::RTM_NEWTFILTER, 0, 3, HANDLE, Hook::Ingress.parent(), filter_info());
        request.attribute(TCA_KIND, b"bpf\0");
        let mut options = Vec::new();
        put_attribute(&mut options, TCA_BPF_NAME, b"hitless+clsact\0");
        put_attribute(&mut options, TCA_BPF_ID, &77u32.to_ne_bytes());
        request.attribute(TCA_OPTIONS | 0x8000, &options);
        request.finish(5).to_vec()
    }

    #[test]
    fn reads_a_listing() {
        let bytes = listing();
        let answers: Vec<Answer<'_>> = Answers(&bytes).collect();
        assert_eq!((answers.len(), answers[0].sequence), (1, 5));
        let filter = parse_filter(answers[0].body).unwrap();
        assert!(filter.is_ours());
        assert_eq!(filter.program, Some(77));
    }

    #[test]
    fn explains_a_refusal() {
        let mut body = (-libc::EPERM).to_ne_bytes().to_vec();
        body.extend([0; HEADER]);
        put_attribute(&mut body, NLMSGERR_ATTR_MSG, b"not you\0");
        let answer = Answer { kind: 2, flags: NLM_F_ACK_TLVS | NLM_F_CAPPED, sequence: 0, body: &body };
        let text = answer.outcome("trying").unwrap_err().to_string();
        assert!(text.starts_with("trying: ") && text.contains("(kernel: not you)"), "{text}");
        assert!(text.ends_with("CAP_NET_ADMIN"), "{text}");
    }

    proptest! {
        #[test]
        fn survives_any_bytes(cut in 0usize..200, at in 0usize..200, value: u8) {
            let mut bytes = listing();
            bytes.truncate(cut);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            for answer in Answers(&bytes) {
                let _ = parse_filter(answer.body);
                let _ = answer.acknowledgement("trying");
            }
        }
    }
}
