//! What a network interface may be called.

use hitless_core::config::PortPattern;

use super::DriverChoice;
use super::raw;
use super::report::Problem;

/// The longest name, in bytes (the kernel's IFNAMSIZ without its NUL).
const LONGEST: usize = 15;

/// What the ebpf driver adds to a bond's name for the other end of its veth.
const PEER_SUFFIX: &str = "-p";

/// Names with a meaning of their own among interfaces or in /proc/sys/net/ipv4/conf.
const RESERVED: &[&str] = &["lo", "all", "default"];

/// Why no interface can have this name (the kernel's `dev_valid_name`), if that is so.
pub(super) fn fault(name: &str) -> Option<String> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':');
    match name {
        "" => Some("it is empty".to_owned()),
        "." | ".." => Some("it is the name of a directory".to_owned()),
        _ if name.len() > LONGEST => {
            Some(format!("it has {} bytes, and the kernel allows {LONGEST}", name.len()))
        }
        _ => name.chars().find(|&c| odd(c)).map(|c| format!("it has {c:?} in it")),
    }
}

/// Checks a bond's name.
pub(super) fn bond(bond: &raw::Bond, problems: &mut Vec<Problem>) {
    let name = bond.name.value.as_str();
    let driver = bond.driver.as_ref().map(|driver| driver.value).unwrap_or_default();
    let shortest = LONGEST - PEER_SUFFIX.len();
    let fault = fault(name).or_else(|| {
        if RESERVED.contains(&name) {
            Some("the kernel has a meaning of its own for it".to_owned())
        } else if name.contains(['*', '?', '%', '[', ']']) {
            Some("a bond has one name, not a pattern".to_owned())
        } else if driver != DriverChoice::Kernel && name.len() > shortest {
            Some(format!(
                "it has {} bytes, and the ebpf driver needs two of the kernel's {LONGEST} for `NAME{PEER_SUFFIX}`, \
                 the other end of the bond",
                name.len()
            ))
        } else {
            None
        }
    });
    if let Some(fault) = fault {
        let message = format!("a bond cannot be called `{}`: {fault}", name.escape_debug());
        let mut problem = Problem::new(bond.name.span.clone(), message);
        if name.len() > shortest && name.len() <= LONGEST {
            problem =
                problem.help(format!("take a name of at most {shortest} bytes, or driver = \"kernel\""));
        }
        problems.push(problem);
    }
}

/// Do two patterns have a name in common, as far as their texts tell?
pub(super) fn overlap(a: &str, b: &str) -> bool {
    a == b || PortPattern::new(a).matches(b) || PortPattern::new(b).matches(a)
}
