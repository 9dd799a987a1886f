//! Checks of what a bond gets by DHCP.

use hitless_core::dhcp;

use super::options;
use super::raw::{self, At};
use super::report::Problem;
use super::secret::from_hex;
use super::{ClientId, Dhcp4, Dhcp6Config, DhcpConfig};

/// The longest name that a server is told (RFC 2132, section 3.14: the option's length is an octet).
const LONGEST_HOSTNAME: usize = 255;

/// Whether, and as whom: by DHCPv4 and by DHCPv6.
pub(super) fn dhcp(raw: &raw::Ip, problems: &mut Vec<Problem>) -> (Dhcp4, Option<Dhcp6Config>) {
    let four = raw.dhcp4.as_ref().map_or(raw::Dhcp4::Off, |at| at.value);
    let six = raw.dhcp6.as_ref().is_some_and(|at| at.value);
    unused(raw, four, six, problems);
    let is_told = six || four == raw::Dhcp4::On;
    let hostname = raw.hostname.as_ref().filter(|_| is_told).map(|at| hostname(at, problems));
    let client_id = raw.client_id.as_ref().map(|at| client_id(at, problems)).unwrap_or_default();
    let detect_conflicts = raw.detect_conflicts.as_ref().is_none_or(|at| at.value);
    let dhcp4 = match four {
        raw::Dhcp4::On => Dhcp4::On(DhcpConfig {
            client_id: client_id.clone(),
            chaddr: raw.chaddr.as_ref().and_then(|at| options::station("chaddr", at, problems)),
            hostname: hostname.clone(),
            detect_conflicts,
        }),
        raw::Dhcp4::External => Dhcp4::External,
        raw::Dhcp4::Off => Dhcp4::Off,
    };
    let prefix_delegation = raw.prefix_delegation.as_ref().is_some_and(|at| at.value);
    let dhcp6 = six.then_some(Dhcp6Config { client_id, hostname, detect_conflicts, prefix_delegation });
    (dhcp4, dhcp6)
}

/// What nobody would tell a server.
fn unused(raw: &raw::Ip, four: raw::Dhcp4, six: bool, problems: &mut Vec<Problem>) {
    let help = match four {
        raw::Dhcp4::On => None,
        raw::Dhcp4::External => Some("another program asks for the address, and says who we are"),
        raw::Dhcp4::Off => Some("it is for DHCPv4: dhcp4 = true"),
    };
    let either = match four {
        raw::Dhcp4::Off => Some("it is for DHCP: dhcp4 = true or dhcp6 = true"),
        raw::Dhcp4::On | raw::Dhcp4::External => help,
    };
    let either = either.filter(|_| !six);
    let delegation = raw.prefix_delegation.as_ref().filter(|at| at.value).map(|at| at.span.clone());
    let spans = [
        ("client-id", raw.client_id.as_ref().map(|at| at.span.clone()), either),
        ("chaddr", raw.chaddr.as_ref().map(|at| at.span.clone()), help),
        ("hostname", raw.hostname.as_ref().map(|at| at.span.clone()), either),
        ("detect-conflicts", raw.detect_conflicts.as_ref().map(|at| at.span.clone()), either),
        ("prefix-delegation", delegation, (!six).then_some("it is for DHCPv6: dhcp6 = true")),
    ];
    for (key, span, help) in spans {
        if let Some((span, help)) = span.zip(help) {
            problems.push(Problem::new(span, format!("`{key}` has no meaning here")).help(help));
        }
    }
}

/// One of two words, or an identifier as RFC 4361 section 6.1 has it: 255, the interface's number, and the host's DUID.
fn client_id(at: &At<String>, problems: &mut Vec<Problem>) -> ClientId {
    match at.value.as_str() {
        "duid" => return ClientId::Duid,
        "mac" => return ClientId::Mac,
        _ => {}
    }
    let octets = from_hex(&at.value.replace(':', "")).unwrap_or_default();
    let given = match dhcp::ClientId::from_octets(&octets) {
        Some(dhcp::ClientId::Duid { iaid, duid }) => Some(ClientId::Given { iaid, duid }),
        Some(dhcp::ClientId::Mac) | None => None,
    };
    if given.is_none() {
        problems.push(
            Problem::new(at.span.clone(), format!("`client-id` cannot be \"{}\"", at.value.escape_debug()))
                .label("expected \"duid\", \"mac\", or an identifier of RFC 4361 such as \"ff:00:00:00:01:00:03:00:01:02:00:5e:00:53:01\""),
        );
    }
    given.unwrap_or_default()
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
