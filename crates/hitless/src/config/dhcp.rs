//! Checks of what a bond gets by DHCP.

use super::options;
use super::raw::{self, At};
use super::report::Problem;
use super::{ClientId, Dhcp4, DhcpConfig};

/// The longest name that a server is told (RFC 2132, section 3.14: the option's length is an octet).
const LONGEST_HOSTNAME: usize = 255;

/// How many octets an identifier has (RFC 2132 section 9.14, and the option's length is an octet).
const IDENTIFIER: std::ops::RangeInclusive<usize> = 2..=255;

/// Whether, and as whom.
pub(super) fn dhcp4(raw: &raw::Ip, problems: &mut Vec<Problem>) -> Dhcp4 {
    match raw.dhcp4.as_ref().map(|at| at.value) {
        Some(raw::Dhcp4::On) => Dhcp4::On(DhcpConfig {
            client_id: raw.client_id.as_ref().map(|at| client_id(at, problems)).unwrap_or_default(),
            chaddr: raw.chaddr.as_ref().and_then(|at| options::station("chaddr", at, problems)),
            hostname: raw.hostname.as_ref().map(|at| hostname(at, problems)),
            detect_conflicts: raw.detect_conflicts.as_ref().is_none_or(|at| at.value),
        }),
        Some(raw::Dhcp4::External) => {
            unused(raw, "another program asks for the address, and says who we are", problems);
            Dhcp4::External
        }
        Some(raw::Dhcp4::Off) | None => {
            unused(raw, "it is for DHCP: dhcp4 = true", problems);
            Dhcp4::Off
        }
    }
}

/// Nobody would tell it to a server.
fn unused(raw: &raw::Ip, help: &str, problems: &mut Vec<Problem>) {
    let spans = [
        ("client-id", raw.client_id.as_ref().map(|at| at.span.clone())),
        ("chaddr", raw.chaddr.as_ref().map(|at| at.span.clone())),
        ("hostname", raw.hostname.as_ref().map(|at| at.span.clone())),
        ("detect-conflicts", raw.detect_conflicts.as_ref().map(|at| at.span.clone())),
    ];
    for (key, span) in spans {
        if let Some(span) = span {
            problems.push(Problem::new(span, format!("`{key}` has no meaning here")).help(help));
        }
    }
}

fn client_id(at: &At<String>, problems: &mut Vec<Problem>) -> ClientId {
    match at.value.as_str() {
        "duid" => ClientId::Duid,
        "mac" => ClientId::Mac,
        text => match octets(text).filter(|octets| IDENTIFIER.contains(&octets.len())) {
            Some(octets) => ClientId::Octets(octets),
            None => {
                let message = format!("`client-id` cannot be \"{}\"", text.escape_debug());
                let label = "expected \"duid\", \"mac\", or 2 to 255 octets such as \"01:02:00:5e:00:53:01\"";
                problems.push(Problem::new(at.span.clone(), message).label(label));
                ClientId::default()
            }
        },
    }
}

/// Pairs of hexadecimal digits with colons between them.
fn octets(text: &str) -> Option<Vec<u8>> {
    let octet = |digits: &str| {
        let is_pair = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_pair.then(|| u8::from_str_radix(digits, 16).ok()).flatten()
    };
    text.split(':').map(octet).collect()
}

fn hostname(at: &At<String>, problems: &mut Vec<Problem>) -> String {
    let name = at.value.as_str();
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if name.is_empty() || name.len() > LONGEST_HOSTNAME || !fits || name.starts_with(['-', '.']) {
        problems.push(
            Problem::new(at.span.clone(), format!("`hostname` cannot be \"{}\"", name.escape_debug()))
                .label("expected letters, digits, hyphens and dots, such as \"laptop\""),
        );
    }
    name.to_owned()
}
