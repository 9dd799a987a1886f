//! What a server says: from bytes of a stranger to what the client may believe.

use std::fmt;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::lease::{Information, Prefix};
use super::options::{Values, code, is_server};
use crate::dhcp::Duid;
use crate::dhcp::options::names;

/// A lifetime of so many seconds has no end (RFC 8415 section 7.7).
const FOR_EVER: u32 = u32::MAX;
/// The shortest lifetime that is accepted: there would be no time to prolong a shorter one.
const SHORTEST: u32 = 5;
/// As many addresses or prefixes as are taken.
const MOST: usize = 8;
/// The lengths of prefixes that a host can be given: a shorter one would take much of the Internet away from it.
const PREFIX_LENGTHS: std::ops::RangeInclusive<u8> = 16..=127;

/// The messages of a server (RFC 8415 section 7.3).
const ADVERTISE: u8 = 2;
const REPLY: u8 = 7;

/// When information is to be asked for again unless the server says when, and the earliest (`IRT_DEFAULT`,
/// `IRT_MINIMUM`, RFC 8415 section 21.23).
const REFRESH_DEFAULT: Duration = Duration::from_secs(86400);
const REFRESH_EARLIEST: Duration = Duration::from_secs(600);

/// A server's answer to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) kind: Kind,
    pub(super) xid: u32,
    pub(super) server: Duid,
    pub(super) status: Status,
    /// The greater, the sooner this server is to be taken.
    pub(super) preference: u8,
    /// Does it answer a Solicit for good?
    pub(super) rapid: bool,
    pub(super) longest_solicit: Option<Duration>,
    pub(super) longest_inform: Option<Duration>,
    pub(super) terms: Terms,
    pub(super) information: Information,
    /// When information that comes alone is to be asked for again; [`Duration::MAX`]: never.
    pub(super) refresh: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Advertise,
    Reply,
}

/// What is lent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) addresses: Vec<Item<Ipv6Addr>>,
    pub(super) prefixes: Vec<Item<Prefix>>,
    pub(super) times: Times,
    /// What the server says of addresses, and of prefixes: success, where it says nothing of them.
    pub(super) of_addresses: Status,
    pub(super) of_prefixes: Status,
    /// Why something was passed over.
    pub(super) refused: Option<Unacceptable>,
}

/// T1 and T2: 0 is left to the client, [`Duration::MAX`] is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) renew_after: Duration,
    pub(super) rebind_after: Duration,
}

/// An address or a prefix; lifetimes of [`Duration::MAX`] have no end, a valid lifetime of 0 takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item<T> {
    pub(super) what: T,
    pub(super) preferred: Duration,
    pub(super) valid: Duration,
}

impl Terms {
    /// Is there something to be had?
    pub(super) fn lends(&self) -> bool {
        self.addresses.iter().any(|item| !item.valid.is_zero())
            || self.prefixes.iter().any(|item| !item.valid.is_zero())
    }

    /// Is there nothing, not even taken back?
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.prefixes.is_empty()
    }
}

/// What a server says of a message, or of a part of it (RFC 8415 section 21.13).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// All is well; also where it says nothing.
    #[default]
    Success,
    /// It cannot, and does not say why.
    UnspecFail,
    /// It has no address.
    NoAddrsAvail,
    /// It knows nothing of such a lease.
    NoBinding,
    /// An address is wrong where the bond is.
    NotOnLink,
    /// It wants to be spoken to by multicast, as we do.
    UseMulticast,
    /// It has no prefix.
    NoPrefixAvail,
    /// What nobody here knows.
    Other(u16),
}

impl Status {
    /// May a message with this status lend something? Some servers say of the whole message that there is no address, or
    /// no prefix, and lend the other.
    pub(super) fn permits(self) -> bool {
        matches!(self, Self::Success | Self::NoAddrsAvail | Self::NoPrefixAvail)
    }

    fn of(values: &Values<'_>) -> Self {
        let Some(value) = values.octets(code::STATUS) else { return Self::Success };
        let Some((number, _)) = value.split_first_chunk::<2>() else { return Self::UnspecFail };
        match u16::from_be_bytes(*number) {
            0 => Self::Success,
            1 => Self::UnspecFail,
            2 => Self::NoAddrsAvail,
            3 => Self::NoBinding,
            4 => Self::NotOnLink,
            5 => Self::UseMulticast,
            6 => Self::NoPrefixAvail,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Success => f.write_str("success"),
            Self::UnspecFail => f.write_str("failure"),
            Self::NoAddrsAvail => f.write_str("no address available"),
            Self::NoBinding => f.write_str("no such lease"),
            Self::NotOnLink => f.write_str("not on this link"),
            Self::UseMulticast => f.write_str("use multicast"),
            Self::NoPrefixAvail => f.write_str("no prefix available"),
            Self::Other(number) => write!(f, "status {number}"),
        }
    }
}

/// Why something that a server lends is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// The address is one that no host can have.
    #[error("{0} is no address of a host")]
    Address(Ipv6Addr),
    /// The prefix is one that no host can have.
    #[error("{0}/{1} is no prefix for a host")]
    Prefix(Ipv6Addr, u8),
    /// It is over before it could be prolonged.
    #[error("a lifetime of {0} s is too short")]
    TooShort(u32),
    /// It is to be preferred for longer than it can be used.
    #[error("a preferred lifetime of {preferred} s within a valid one of {valid} s")]
    Preferred {
        /// In seconds.
        preferred: u32,
        /// In seconds.
        valid: u32,
    },
    /// It is to be renewed with any server before it is to be renewed with its own.
    #[error("T1 = {0} s is after T2 = {1} s")]
    Times(u32, u32),
}

/// Whose answers are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addressee<'a> {
    pub(super) client_id: &'a [u8],
    /// Of addresses and of prefixes.
    pub(super) iaid: u32,
}

/// Reads a datagram as an answer to this client; `None` for everything else: other clients' answers, other clients, what
/// is malformed, and what has no name of its server (RFC 8415 section 16).
pub(super) fn read(payload: &[u8], to: Addressee<'_>) -> Option<Reply> {
    let (&[kind, a, b, c], options) = payload.split_first_chunk::<4>()?;
    let kind = match kind {
        ADVERTISE => Kind::Advertise,
        REPLY => Kind::Reply,
        // What clients and relays send, Reconfigure (which we do not accept), and what nobody knows.
        _ => return None,
    };
    let values = Values::read(options)?;
    if values.octets(code::CLIENT_ID)? != to.client_id {
        return None;
    }
    let server = Duid::new(values.octets(code::SERVER_ID)?).ok()?;
    Some(Reply {
        kind,
        xid: u32::from_be_bytes([0, a, b, c]),
        server,
        status: Status::of(&values),
        preference: values.octet(code::PREFERENCE).unwrap_or_default(),
        rapid: values.octets(code::RAPID_COMMIT).is_some_and(<[u8]>::is_empty),
        longest_solicit: values.longest_wait(code::SOL_MAX_RT),
        longest_inform: values.longest_wait(code::INF_MAX_RT),
        terms: terms(&values, to.iaid),
        information: Information {
            dns: values.servers(code::DNS),
            search: values.octets(code::SEARCH).map(names).unwrap_or_default(),
            ntp: values.time_servers(),
        },
        refresh: match values.seconds(code::REFRESH_TIME) {
            Some(FOR_EVER) => Duration::MAX,
            Some(seconds) => Duration::from_secs(seconds.into()).max(REFRESH_EARLIEST),
            None => REFRESH_DEFAULT,
        },
    })
}

/// What belongs to our association of addresses, and to that of prefixes; of several, the first.
fn terms(values: &Values<'_>, iaid: u32) -> Terms {
    let mut terms = Terms::default();
    let mut times = Vec::new();
    let mut refused = None;
    if let Some(association) = association(values, code::IA_NA, iaid, &mut refused) {
        terms.of_addresses = association.status;
        terms.addresses = association.items(code::IA_ADDRESS, address, &mut refused);
        times.extend((!terms.addresses.is_empty()).then_some(association.times));
    }
    if let Some(association) = association(values, code::IA_PD, iaid, &mut refused) {
        terms.of_prefixes = association.status;
        terms.prefixes = association.items(code::IA_PREFIX, delegated, &mut refused);
        times.extend((!terms.prefixes.is_empty()).then_some(association.times));
    }
    // RFC 8415 section 18.2.4: all is renewed together, as soon as something is to be.
    let earliest = |pick: fn(&Times) -> Duration| {
        times.iter().map(pick).filter(|time| !time.is_zero()).min().unwrap_or_default()
    };
    terms.times = Times {
        renew_after: earliest(|times| times.renew_after),
        rebind_after: earliest(|times| times.rebind_after),
    };
    Terms { refused, ..terms }
}

/// An identity association (RFC 8415 sections 21.4 and 21.21).
struct Association<'a> {
    times: Times,
    status: Status,
    values: Values<'a>,
}

fn association<'a>(
    values: &Values<'a>,
    code: u16,
    iaid: u32,
    refused: &mut Option<Unacceptable>,
) -> Option<Association<'a>> {
    let ours = values.all(code).find_map(|value| {
        let (id, rest) = value.split_first_chunk::<4>()?;
        (u32::from_be_bytes(*id) == iaid).then_some(rest)
    })?;
    let (renew, rest) = number(ours)?;
    let (rebind, rest) = number(rest)?;
    if rebind != 0 && renew > rebind {
        *refused = Some(Unacceptable::Times(renew, rebind));
        return None;
    }
    let values = Values::read(rest)?;
    let times = Times { renew_after: span(renew), rebind_after: span(rebind) };
    Some(Association { times, status: Status::of(&values), values })
}

impl Association<'_> {
    /// The items that can be used, each once.
    fn items<T: Copy + PartialEq>(
        &self,
        code: u16,
        read: fn(&[u8]) -> Option<Judged<T>>,
        refused: &mut Option<Unacceptable>,
    ) -> Vec<Item<T>> {
        let mut items: Vec<Item<T>> = Vec::new();
        // With another status, there should be none.
        let values = self.values.all(code).filter(|_| self.status == Status::Success);
        for item in values.filter_map(read) {
            match item {
                Ok(item) if items.len() < MOST && items.iter().all(|other| other.what != item.what) => {
                    items.push(item);
                }
                Ok(_) => {}
                Err(why) => *refused = Some(why),
            }
        }
        items
    }
}

/// An item, or why it is not taken.
type Judged<T> = Result<Item<T>, Unacceptable>;

/// RFC 8415 section 21.6; `None` where it is malformed, or is not lent.
fn address(value: &[u8]) -> Option<Judged<Ipv6Addr>> {
    let (address, rest) = value.split_first_chunk::<16>()?;
    let address = Ipv6Addr::from(*address);
    let (lifetimes, rest) = lifetimes(rest)?;
    let whole = Values::read(rest)?;
    let sound = is_host(address).then_some(address).ok_or(Unacceptable::Address(address));
    (Status::of(&whole) == Status::Success).then(|| item(sound, lifetimes))
}

/// RFC 8415 section 21.22.
fn delegated(value: &[u8]) -> Option<Judged<Prefix>> {
    let (lifetimes, rest) = lifetimes(value)?;
    let (&length, rest) = rest.split_first()?;
    let (address, rest) = rest.split_first_chunk::<16>()?;
    let address = Ipv6Addr::from(*address);
    let whole = Values::read(rest)?;
    let sound = prefix(address, length).ok_or(Unacceptable::Prefix(address, length));
    (Status::of(&whole) == Status::Success).then(|| item(sound, lifetimes))
}

fn item<T>(what: Result<T, Unacceptable>, (preferred, valid): (u32, u32)) -> Judged<T> {
    let what = what?;
    if preferred > valid {
        return Err(Unacceptable::Preferred { preferred, valid });
    }
    if (1..SHORTEST).contains(&valid) {
        return Err(Unacceptable::TooShort(valid));
    }
    Ok(Item { what, preferred: span(preferred), valid: span(valid) })
}

/// Preferred and valid.
fn lifetimes(octets: &[u8]) -> Option<((u32, u32), &[u8])> {
    let (preferred, rest) = number(octets)?;
    let (valid, rest) = number(rest)?;
    Some(((preferred, valid), rest))
}

fn number(octets: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = octets.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn span(seconds: u32) -> Duration {
    if seconds == FOR_EVER { Duration::MAX } else { Duration::from_secs(seconds.into()) }
}

/// Can a host have this address on a link, beside the one that is the link's own?
pub(super) fn is_host(address: Ipv6Addr) -> bool {
    is_server(address)
}

/// A prefix that a host can be given, without host bits.
pub(super) fn prefix(address: Ipv6Addr, length: u8) -> Option<Prefix> {
    let mask = u128::MAX.checked_shl(128u32.saturating_sub(length.into()))?;
    let address = Ipv6Addr::from(u128::from(address) & mask);
    (PREFIX_LENGTHS.contains(&length) && is_host(address)).then_some(Prefix { address, length })
}
