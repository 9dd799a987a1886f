//! Shell patterns for names (fnmatch): `*`, `?` and `[...]`.

/// Does the pattern fit the name? A name that is itself a pattern is taken by the letter.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    matches(pattern.as_bytes(), name.as_bytes())
}

/// Is it more than a name?
pub(super) fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            (0..=name.len()).any(|skipped| name.get(skipped..).is_some_and(|name| matches(rest, name)))
        }
        ([b'?', rest @ ..], [_, name @ ..]) => matches(rest, name),
        ([b'[', rest @ ..], [is, after @ ..]) => match class(rest, *is) {
            Some((true, rest)) => matches(rest, after),
            Some((false, _)) => false,
            None => *is == b'[' && matches(rest, after),
        },
        ([wanted, rest @ ..], [is, name @ ..]) => wanted == is && matches(rest, name),
        ([], [_, ..]) | ([_, ..], []) => false,
    }
}

/// Is the octet in the class that begins here, and what follows it? `None` if it does not end, and so is none.
fn class(text: &[u8], is: u8) -> Option<(bool, &[u8])> {
    let (negated, text) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // A bracket that comes first is a member.
    let end = text.iter().skip(1).position(|octet| *octet == b']')? + 1;
    let (mut members, rest) = (text.get(..end)?, text.get(end + 1..)?);
    let mut found = false;
    while let [first, more @ ..] = members {
        (found, members) = match more {
            [b'-', last, more @ ..] => (found || (*first..=*last).contains(&is), more),
            _ => (found || *first == is, more),
        };
    }
    Some((found != negated, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_the_shell() {
        for (pattern, name) in [
            ("eth0", "eth0"),
            ("eth*", "eth0"),
            ("*", "wlan0"),
            ("e?h0", "eth0"),
            ("eth[0-3]", "eth2"),
            ("eth[!1]", "eth0"),
            ("[ew]*0", "wlan0"),
            ("enx*", "enx*"),
            ("en*", "enx*"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("eth0", "eth00"),
            ("eth", "eth0"),
            ("eth?", "eth"),
            ("eth[0-3]", "eth4"),
            ("eth[!0]", "eth0"),
            ("", "a"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
