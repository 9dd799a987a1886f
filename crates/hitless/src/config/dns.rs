//! Checks of name servers and search domains.

use std::net::IpAddr;

use super::raw::At;
use super::report::Problem;

/// The longest name (RFC 1035, section 2.3.4), and the longest of its parts.
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Name servers.
pub(super) fn servers(texts: &[At<String>], problems: &mut Vec<Problem>) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for text in texts {
        let problem = |message: String| Problem::new(text.span.clone(), message);
        match text.value.parse::<IpAddr>() {
            Ok(server) if server.is_unspecified() || server.is_multicast() => {
                problems.push(problem(format!("`{server}` cannot be a name server")));
            }
            Ok(server) if servers.contains(&server) => {
                problems.push(problem(format!("name server `{server}` is there twice")));
            }
            Ok(server) => servers.push(server),
            Err(_) => problems.push(
                problem(format!("`{}` is not an address", text.value.escape_debug()))
                    .help("name servers are addresses: dns = [\"192.168.1.1\"]"),
            ),
        }
    }
    servers
}

/// Search domains.
pub(super) fn search(texts: &[At<String>], problems: &mut Vec<Problem>) -> Vec<String> {
    for text in texts.iter().filter(|text| !is_domain(&text.value)) {
        problems.push(
            Problem::new(text.span.clone(), format!("`{}` is not a domain", text.value.escape_debug()))
                .help("for example search = [\"home.arpa\"]"),
        );
    }
    texts.iter().map(|text| text.value.clone()).collect()
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let fits = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !label.is_empty() && label.len() <= LONGEST_LABEL && fits && !label.starts_with('-')
    };
    text.len() <= LONGEST && text.strip_suffix('.').unwrap_or(text).split('.').all(is_label)
}
