//! What wpa_supplicant answers.
//!
//! Parsers take any octets. What cannot be understood is left out, or a [`ReplyError`]; nothing else happens.

use hitless_core::mac::MacAddr;
use hitless_core::wifi::Ssid;

use super::request::NetworkId;
use super::text;

/// The answer is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It does not do it.
    #[error("wpa_supplicant refuses {request}")]
    Refused {
        /// Which command, without its arguments.
        request: &'static str,
    },
    /// It does not know the command.
    #[error("wpa_supplicant does not know {request}; it is too old, or built without it")]
    Unknown {
        /// Which command.
        request: &'static str,
    },
    /// It is doing so already, or too much else.
    #[error("wpa_supplicant is busy; {request} will work later")]
    Busy {
        /// Which command.
        request: &'static str,
    },
    /// It says something else.
    #[error("wpa_supplicant's answer to {request} makes no sense")]
    Senseless {
        /// Which command.
        request: &'static str,
    },
}

/// What `STATUS` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// How far it is.
    pub state: WpaState,
    /// Which network it is in, or is joining.
    pub network: Option<NetworkId>,
    /// Its name.
    pub ssid: Option<Ssid>,
    /// The access point.
    pub bssid: Option<MacAddr>,
    /// In MHz.
    pub frequency: Option<u32>,
    /// Our own address there.
    pub address: Option<MacAddr>,
    /// How keys are agreed upon, in its words.
    pub key_mgmt: Option<String>,
}

/// How far an interface is (wpa_supplicant_state_txt).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WpaState {
    /// In no network.
    Disconnected,
    /// The interface is down, or its radio is switched off.
    InterfaceDisabled,
    /// There is no network to join.
    Inactive,
    /// Looking for access points.
    Scanning,
    /// Convincing an access point.
    Authenticating,
    /// Being let in.
    Associating,
    /// Let in, without keys.
    Associated,
    /// Agreeing upon keys.
    Handshake,
    /// Joined.
    Completed,
    /// It does not say.
    #[default]
    Unknown,
}

/// A line of `LIST_NETWORKS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedNetwork {
    /// Which one.
    pub id: NetworkId,
    /// Its name; `None` while it has none.
    pub ssid: Option<Ssid>,
    /// Is it the one that is joined, or being joined?
    pub current: bool,
    /// May it not be joined?
    pub disabled: bool,
    /// May it not be joined just now, because of what went wrong before?
    pub temporarily_disabled: bool,
}

/// An access point, as `BSS` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bss {
    /// Its number; later ones have higher numbers.
    pub id: u32,
    /// Its address.
    pub bssid: MacAddr,
    /// The network's name; `None` where it keeps it to itself.
    pub ssid: Option<Ssid>,
    /// In MHz.
    pub frequency: u32,
    /// In dBm.
    pub signal_dbm: i16,
    /// How it is protected, and more: `[WPA2-PSK-CCMP][ESS]`.
    pub flags: String,
}

/// Is this an answer that says that nothing came of it?
///
/// # Errors
///
/// Then.
pub fn check(reply: &[u8], request: &'static str) -> Result<(), ReplyError> {
    let reply = reply.trim_ascii_end();
    match reply {
        b"FAIL-BUSY" => Err(ReplyError::Busy { request }),
        b"UNKNOWN COMMAND" => Err(ReplyError::Unknown { request }),
        _ if reply == b"FAIL" || reply.starts_with(b"FAIL-") => Err(ReplyError::Refused { request }),
        _ => Ok(()),
    }
}

/// The answer to what is only to be done.
///
/// # Errors
///
/// When it was not.
pub fn ok(reply: &[u8], request: &'static str) -> Result<(), ReplyError> {
    check(reply, request)?;
    match reply.trim_ascii_end() {
        b"OK" | b"PONG" => Ok(()),
        _ => Err(ReplyError::Senseless { request }),
    }
}

/// The answer to `ADD_NETWORK`.
///
/// # Errors
///
/// When there is no new network.
pub fn network_id(reply: &[u8], request: &'static str) -> Result<NetworkId, ReplyError> {
    check(reply, request)?;
    number(reply.trim_ascii_end()).map(NetworkId).ok_or(ReplyError::Senseless { request })
}

/// The answer to `GET_NETWORK` and `GET`: text as it is. `None`: it is not set.
pub fn value(reply: &[u8]) -> Option<String> {
    check(reply, "").ok()?;
    Some(String::from_utf8_lossy(reply.trim_ascii_end()).into_owned())
}

/// The answer to `INTERFACES`.
pub fn interfaces(reply: &[u8]) -> Vec<String> {
    lines(reply)
        .filter(|line| !line.is_empty())
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect()
}

/// The answer to `STATUS`.
pub fn status(reply: &[u8]) -> Status {
    let mut status = Status::default();
    for (key, value) in fields(lines(reply)) {
        match key {
            b"wpa_state" => status.state = state(value),
            b"id" => status.network = number(value).map(NetworkId),
            b"ssid" => status.ssid = text::ssid(value),
            b"bssid" => status.bssid = mac(value),
            b"freq" => status.frequency = number(value),
            b"address" => status.address = mac(value),
            b"key_mgmt" => status.key_mgmt = Some(String::from_utf8_lossy(value).into_owned()),
            _ => {}
        }
    }
    status
}

fn state(value: &[u8]) -> WpaState {
    match value {
        b"DISCONNECTED" => WpaState::Disconnected,
        b"INTERFACE_DISABLED" => WpaState::InterfaceDisabled,
        b"INACTIVE" => WpaState::Inactive,
        b"SCANNING" => WpaState::Scanning,
        b"AUTHENTICATING" => WpaState::Authenticating,
        b"ASSOCIATING" => WpaState::Associating,
        b"ASSOCIATED" => WpaState::Associated,
        b"4WAY_HANDSHAKE" | b"GROUP_HANDSHAKE" => WpaState::Handshake,
        b"COMPLETED" => WpaState::Completed,
        _ => WpaState::Unknown,
    }
}

/// The answer to `LIST_NETWORKS`. The first line is a headline.
pub fn networks(reply: &[u8]) -> Vec<ListedNetwork> {
    lines(reply).filter_map(network).collect()
}

fn network(line: &[u8]) -> Option<ListedNetwork> {
    let mut columns = line.split(|byte| *byte == b'\t');
    let id = NetworkId(number(columns.next()?)?);
    let ssid = text::ssid(columns.next()?);
    let _bssid = columns.next()?;
    let flags = columns.next().unwrap_or_default();
    let has = |flag: &[u8]| flags.windows(flag.len()).any(|window| window == flag);
    Some(ListedNetwork {
        id,
        ssid,
        current: has(b"[CURRENT]"),
        disabled: has(b"[DISABLED]"),
        temporarily_disabled: has(b"[TEMP-DISABLED]"),
    })
}

/// The answer to `BSS` with a range: as many as went in.
pub fn access_points(reply: &[u8]) -> Vec<Bss> {
    let lines: Vec<&[u8]> = lines(reply).collect();
    // Between two, and after the last one it knows of.
    let ends = |line: &&[u8]| matches!(*line, b"====" | b"####");
    lines.split(ends).filter_map(access_point).collect()
}

fn access_point(lines: &[&[u8]]) -> Option<Bss> {
    let find = |wanted: &[u8]| {
        fields(lines.iter().copied()).find_map(|(key, value)| (key == wanted).then_some(value))
    };
    Some(Bss {
        id: number(find(b"id")?)?,
        bssid: mac(find(b"bssid")?)?,
        ssid: find(b"ssid").and_then(text::ssid),
        frequency: number(find(b"freq")?)?,
        signal_dbm: number(find(b"level")?)?,
        flags: String::from_utf8_lossy(find(b"flags").unwrap_or_default()).into_owned(),
    })
}

fn lines(reply: &[u8]) -> impl Iterator<Item = &[u8]> {
    reply.split(|byte| *byte == b'\n')
}

/// Lines of the form `key=value`.
fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    lines.filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=')?;
        Some((line.get(..at)?, line.get(at + 1..)?))
    })
}

pub(super) fn number<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn mac(text: &[u8]) -> Option<MacAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn yes_and_no() {
        assert_eq!(ok(b"OK\n", "SCAN"), Ok(()));
        assert_eq!(ok(b"PONG\n", "PING"), Ok(()));
        assert_eq!(ok(b"FAIL\n", "SCAN"), Err(ReplyError::Refused { request: "SCAN" }));
        assert_eq!(ok(b"FAIL-BUSY\n", "SCAN"), Err(ReplyError::Busy { request: "SCAN" }));
        assert_eq!(ok(b"FAIL-NO-IFNAME-MATCH\n", "STATUS"), Err(ReplyError::Refused { request: "STATUS" }));
        assert_eq!(ok(b"UNKNOWN COMMAND\n", "X"), Err(ReplyError::Unknown { request: "X" }));
        assert_eq!(ok(b"", "X"), Err(ReplyError::Senseless { request: "X" }));
        assert_eq!(network_id(b"12\n", "ADD_NETWORK"), Ok(NetworkId(12)));
        assert_eq!(network_id(b"-1\n", "ADD_NETWORK"), Err(ReplyError::Senseless { request: "ADD_NETWORK" }));
    }

    #[test]
    fn networks_with_hostile_names() {
        let reply = b"network id / ssid / bssid / flags\n0\thome\tany\t[DISABLED]\n\
            1\ta\\\"\\nx\\\"\\xfe\tany\t[CURRENT]\n2\t[CURRENT]\tany\t\n3\tx\tany\t[TEMP-DISABLED]\n9\n";
        let networks = networks(reply);
        assert_eq!(networks.len(), 4);
        assert_eq!(networks[1].ssid.as_ref().unwrap().octets(), b"a\"\nx\"\xfe");
        assert!(networks[1].current && !networks[1].disabled);
        assert!(!networks[2].current, "a name is not a flag");
        assert!(networks[3].temporarily_disabled && !networks[3].disabled);
    }

    #[test]
    fn values() {
        assert_eq!(value(b"\"hitless\""), Some("\"hitless\"".to_owned()));
        assert_eq!(value(b"FAIL\n"), None);
        assert_eq!(interfaces(b"wlan0\nwlan1\n"), ["wlan0", "wlan1"]);
        assert_eq!(interfaces(b""), [""; 0]);
    }
}
