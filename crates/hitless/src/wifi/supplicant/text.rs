//! How wpa_supplicant writes octets as text: hex digits, and an escaping like that of printf.
//!
//! Names of networks are chosen by strangers. What they are in a reply or an event is decided here, and nowhere else.

use hitless_core::wifi::Ssid;

/// Octets as lower-case hex digits. As a value, this cannot be taken for anything else: it has no quotes, blanks or
/// line ends.
pub fn hex(octets: &[u8]) -> String {
    use std::fmt::Write as _;
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        // Writing to a string does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// The octets that wpa_supplicant means by this text: `\"`, `\\`, `\e`, `\n`, `\r`, `\t`, `\xNN`, and all else as it
/// is (printf_encode in its src/utils/common.c). What is no escape stands for itself.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let (octet, after) = if first == b'\\' { escaped(after) } else { (first, after) };
        octets.push(octet);
        rest = after;
    }
    octets
}

/// The octet after a backslash, and what follows.
fn escaped(text: &[u8]) -> (u8, &[u8]) {
    match text {
        [b'x', high, low, rest @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => (high << 4 | low, rest),
            _ => (b'\\', text),
        },
        [b'e', rest @ ..] => (0x1b, rest),
        [b'n', rest @ ..] => (b'\n', rest),
        [b'r', rest @ ..] => (b'\r', rest),
        [b't', rest @ ..] => (b'\t', rest),
        [quoted @ (b'"' | b'\\'), rest @ ..] => (*quoted, rest),
        _ => (b'\\', text),
    }
}

fn digit(octet: u8) -> Option<u8> {
    char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The network that is meant by this text; `None` for one without a name, and for what is none. A hidden network's
/// name may be written as so many zeroes.
pub fn ssid(text: &[u8]) -> Option<Ssid> {
    Ssid::new(unescape(text)).filter(|ssid| ssid.octets().iter().any(|octet| *octet != 0))
}

/// What stands between double quotes at the start of this text, still escaped, and what follows.
pub fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"\"")?;
    let mut at = 0;
    loop {
        match inner.get(at)? {
            b'"' => return Some((inner.get(..at)?, inner.get(at + 1..)?)),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_wpa_supplicant() {
        assert_eq!(unescape(br#"a\"\nx\"\xfe"#), b"a\"\nx\"\xfe");
        assert_eq!(unescape(br"\\x41\e\r\t\x4"), b"\\x41\x1b\r\t\\x4");
        assert_eq!(unescape(br"\"), b"\\");
        assert_eq!(unescape(br"\q"), b"\\q");
    }

    #[test]
    fn names_of_networks() {
        assert_eq!(ssid(br"Caf\xc3\xa9").unwrap().octets(), "Café".as_bytes());
        assert_eq!(ssid(b""), None);
        assert_eq!(ssid(br"\x00\x00"), None, "a hidden network");
        assert_eq!(ssid(&[b'a'; 33]), None);
        assert!(ssid(&br"\x41".repeat(32)).is_some());
    }

    #[test]
    fn a_quote_in_a_name_does_not_end_it() {
        assert_eq!(
            quoted(br#""x\" reason=WRONG_KEY" y"#),
            Some((&br#"x\" reason=WRONG_KEY"#[..], &b" y"[..]))
        );
        assert_eq!(quoted(br#""a\\" b"#), Some((&br"a\\"[..], &b" b"[..])));
        assert_eq!(quoted(br#""never ends\""#), None);
        assert_eq!(quoted(b"none"), None);
        assert_eq!(quoted(b"\"\\"), None);
    }

    #[test]
    fn hex_digits() {
        assert_eq!(hex(b"home\x00\xff"), "686f6d6500ff");
    }
}
