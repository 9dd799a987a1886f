//! Takes the secrets out of a configuration's text before any of it is shown.
//!
//! An error shows the line that it is in, and that line may hold a passphrase, also where the text is not even TOML. So
//! this goes by what the text looks like, not by what it means: shown are the values of keys that are known to be
//! harmless, and what is neither key nor value. Columns stay what they were.

use std::ops::Range;

/// Keys whose values may be shown.
const HARMLESS: &[&str] = &[
    "mode",
    "driver",
    "ports",
    "primary",
    "primary-reselect",
    "failback",
    "failback-timeout",
    "miimon",
    "updelay",
    "downdelay",
    "fail-over-mac",
    "min-links",
    "num-peer-notif",
    "peer-notif-delay",
    "arp-interval",
    "arp-ip-target",
    "ns-ip6-target",
    "arp-missed-max",
    "arp-validate",
    "arp-all-targets",
    "resend-igmp",
    "all-slaves-active",
    "use-carrier",
    "ssid-allow",
    "same-segment",
    "signal-min",
    "signal-hysteresis",
    "roam-grace",
    "port",
    "ip",
    "prio",
    "queue-id",
    "address",
    "gateway",
    "mtu",
    "metric",
    "route",
    "to",
    "via",
    "dhcp4",
    "dhcp6",
    "prefix-delegation",
    "client-id",
    "chaddr",
    "mac",
    "hostname",
    "detect-conflicts",
    "accept-ra",
    "dns",
    "search",
    "country",
    "manage",
    "network",
    "ssid",
    "ssid-hex",
    "security",
    "priority",
    "hidden",
    "bssid",
    "eap",
    "identity",
    "anonymous-identity",
    "domain",
    "ca-cert",
    "client-cert",
];

/// Keys whose values may be shown where they are absolute paths, and not what belongs into the file.
const PATHS: &[&str] = &["psk-file", "password-file", "private-key-password-file", "private-key"];

/// What the keys of secrets have in them, also where they are mistyped, or those of other programs.
const SECRET: &[&str] = &["psk", "pks", "pass", "secret", "phrase", "key", "pwd", "wep", "sae", "credential"];

/// The fewest characters of a passphrase.
const SHORTEST: usize = 8;

/// The text with secrets painted over.
pub(super) fn mask(text: &str) -> String {
    let mut scanner = Scanner { text, at: 0, wireless: true, broken: false, secrets: Vec::new() };
    scanner.document();
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for range in scanner.secrets {
        masked.push_str(text.get(done..range.start).unwrap_or_default());
        masked.extend(text.get(range.clone()).unwrap_or_default().chars().map(paint));
        done = range.end;
    }
    masked.push_str(text.get(done..).unwrap_or_default());
    masked
}

/// A character of as many bytes, so that what stands elsewhere stays where it is.
fn paint(c: char) -> char {
    match c.len_utf8() {
        _ if matches!(c, '\n' | '\r' | '\t') => c,
        1 => '*',
        2 => '·',
        3 => '•',
        _ => '🞄',
    }
}

/// What may be shown of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Show,
    /// If it is an absolute path.
    Path,
    /// If it is too short for a passphrase.
    Short,
    /// Nothing but what is said of keys inside.
    Hide,
    /// Nothing, whatever is inside.
    HideAll,
}

/// An open bracket or brace, and what was the verdict before it.
struct Nest {
    brace: bool,
    outside: Verdict,
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
    /// Are we in a section that may be about Wi-Fi: any but a bond's?
    wireless: bool,
    /// Did a string that is hidden not end in its line?
    broken: bool,
    /// In order, without overlap.
    secrets: Vec<Range<usize>>,
}

impl<'t> Scanner<'t> {
    fn document(&mut self) {
        while self.at < self.text.len() {
            let line = line_of(self.rest());
            let content = line.trim_start();
            self.at += line.len() - content.len();
            if is_header(content) {
                self.header(content);
            } else if let Some((key, length)) = assignment(content) {
                self.statement(key, length);
            } else {
                if self.wireless || self.broken || !is_slip(content) {
                    self.hide(self.at..self.at + content.len());
                }
                self.at += content.len();
            }
            self.at += usize::from(self.rest().starts_with('\n'));
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn hide(&mut self, range: Range<usize>) {
        if !range.is_empty() {
            self.secrets.push(range);
        }
    }

    fn header(&mut self, content: &str) {
        let name = content.trim_start_matches(['[', ' ', '\t', '"', '\'']);
        let first = name.split(['.', ']', '"', '\'', ' ', '\t', '#']).next().unwrap_or_default();
        self.wireless = first != "bond";
        self.broken = false;
        let end = match content.find(']') {
            Some(at) => at + content.bytes().skip(at).take_while(|byte| *byte == b']').count(),
            // What follows a name that does not end may be anything, and so may one that we do not know.
            None if self.wireless => content.find("wifi").filter(|_| first == "wifi").map_or(1, |at| at + 4),
            None => content.find(['"', '\'', ' ', '\t', '=']).unwrap_or(content.len()),
        };
        // What has these in it is no name of ours.
        let is_odd = content.contains(['"', '\'', '#', '=']) && self.wireless && first != "wifi";
        let end = if is_odd { 1 } else { end };
        self.hide(self.at + end..self.at + content.len());
        self.at += content.len();
    }

    /// From a key on to the end of its value.
    fn statement(&mut self, key: &str, length: usize) {
        let wireless = self.wireless;
        self.wireless &= first_segment(key) != "bond";
        let last = last_segment(key);
        let known = HARMLESS.contains(&last) || PATHS.contains(&last) || SECRET.contains(&last);
        if self.broken && !known {
            self.hide(self.at..self.at + key.len());
        }
        self.broken &= !known;
        self.at += length;
        let verdict = self.verdict(last);
        self.value(verdict);
        self.wireless = wireless;
    }

    /// What may be shown of the value of a key.
    fn verdict(&self, key: &str) -> Verdict {
        if HARMLESS.contains(&key) {
            Verdict::Show
        } else if PATHS.contains(&key) {
            Verdict::Path
        } else if looks_secret(key) {
            Verdict::HideAll
        } else if self.wireless {
            Verdict::Hide
        } else {
            Verdict::Short
        }
    }

    fn value(&mut self, mut verdict: Verdict) {
        let mut nests: Vec<Nest> = Vec::new();
        let mut values = 0;
        while let Some(c) = self.rest().chars().next() {
            if nests.is_empty() && !c.is_whitespace() && c != '#' {
                values += 1;
                // What follows a value does not belong to its key.
                if values > 1 && verdict != Verdict::HideAll {
                    verdict = if self.wireless { Verdict::HideAll } else { Verdict::Short };
                }
            }
            match c {
                '\n' => {
                    let Some(nest) = nests.last() else { return };
                    let next = self.rest().get(1..).map(line_of).unwrap_or_default().trim_start();
                    let is_nested_array = !next.trim_start_matches('[').starts_with(char::is_alphabetic);
                    // Somebody forgot a bracket.
                    if (is_header(next) && !is_nested_array) || (!nest.brace && assignment(next).is_some()) {
                        return;
                    }
                    self.at += 1;
                    if nest.brace {
                        verdict = self.nested_key(nest.outside);
                    }
                }
                '#' => {
                    let comment = line_of(self.rest()).len();
                    if self.wireless || verdict == Verdict::HideAll {
                        self.hide(self.at..self.at + comment);
                    }
                    self.at += comment;
                }
                '[' | '{' => {
                    self.at += 1;
                    nests.push(Nest { brace: c == '{', outside: verdict });
                    if c == '{' {
                        verdict = self.nested_key(verdict);
                    }
                }
                ']' | '}' => {
                    self.at += 1;
                    verdict = nests.pop().map_or(verdict, |nest| nest.outside);
                }
                ',' => {
                    self.at += 1;
                    if let Some(nest) = nests.last().filter(|nest| nest.brace) {
                        verdict = self.nested_key(nest.outside);
                    }
                }
                '"' | '\'' => self.string(c, verdict),
                _ if c.is_whitespace() => self.at += c.len_utf8(),
                _ => self.bare(verdict),
            }
        }
    }

    /// The verdict by the key that is to come in an inline table.
    fn nested_key(&mut self, outside: Verdict) -> Verdict {
        if outside == Verdict::HideAll {
            return Verdict::HideAll;
        }
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let Some((key, length)) = assignment(line_of(rest.get(blank..).unwrap_or_default())) else {
            return if self.wireless { Verdict::Hide } else { outside };
        };
        self.at += blank + length;
        self.verdict(last_segment(key))
    }

    fn string(&mut self, quote: char, verdict: Verdict) {
        let rest = self.rest();
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let (delimiter, within) = if rest.starts_with(&triple) { (3, rest) } else { (1, line_of(rest)) };
        let body = within.get(delimiter..).unwrap_or_default();
        let end = string_end(body, quote, delimiter);
        let length = end.unwrap_or(body.len());
        let content = self.at + delimiter..self.at + delimiter + length;
        // No option has several lines: somebody forgot where the string ends.
        let several = body.get(..length).is_some_and(|content| content.contains('\n'));
        let verdict = if several { Verdict::HideAll } else { verdict };
        let hidden = self.judge(verdict, content.clone());
        self.broken |= hidden && end.is_none();
        self.at = content.end + if end.is_some() { delimiter } else { 0 };
    }

    fn bare(&mut self, verdict: Verdict) {
        let line = line_of(self.rest());
        let end = line.find([',', ']', '}', '#', '"', '\'', ' ', '\t']).unwrap_or(line.len()).max(1);
        self.judge(verdict, self.at..self.at + end);
        self.at += end;
    }

    /// Hides a value if it has to be; says whether.
    fn judge(&mut self, verdict: Verdict, range: Range<usize>) -> bool {
        let value = self.text.get(range.clone()).unwrap_or_default();
        let hidden = match verdict {
            Verdict::Show => false,
            Verdict::Path => !value.starts_with('/'),
            Verdict::Short => value.chars().count() >= SHORTEST,
            Verdict::Hide | Verdict::HideAll => true,
        };
        if hidden {
            self.hide(range);
        }
        hidden
    }
}

/// Without its end.
fn line_of(text: &str) -> &str {
    text.split('\n').next().unwrap_or_default()
}

/// Where a string ends, in the text after its opening quotes.
fn string_end(body: &str, quote: char, delimiter: usize) -> Option<usize> {
    let close: String = std::iter::repeat_n(quote, delimiter).collect();
    let mut at = 0;
    loop {
        let rest = body.get(at..)?;
        if rest.starts_with(&close) {
            return Some(at);
        }
        let c = rest.chars().next()?;
        at += c.len_utf8();
        if c == '\\' && quote == '"' {
            at += rest.get(1..)?.chars().next()?.len_utf8();
        }
    }
}

fn is_header(content: &str) -> bool {
    content.starts_with('[')
}

/// The key before a `=`, and the length with it. `None`: there is no such thing at the beginning.
fn assignment(content: &str) -> Option<(&str, usize)> {
    let mut at = 0;
    let mut quote = None;
    for c in content.chars() {
        match (quote, c) {
            (None, '=') => {
                let key = content.get(..at)?.trim_end();
                return (!key.is_empty()).then_some((key, at + 1));
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '.' | '-' | '_' | ' ' | '\t') => {}
            (None, _) if c.is_alphanumeric() => {}
            (None, _) => return None,
        }
        at += c.len_utf8();
    }
    None
}

/// Is this a harmless key that only lacks its `=`, or nothing at all?
fn is_slip(content: &str) -> bool {
    let (first, rest) = content.split_once(char::is_whitespace).unwrap_or((content, ""));
    content.starts_with('#')
        || content.trim().is_empty()
        || (HARMLESS.contains(&first) && rest.trim().chars().count() < SHORTEST)
}

fn bare_word(segment: &str) -> &str {
    segment.trim().trim_matches(['"', '\''])
}

fn first_segment(key: &str) -> &str {
    bare_word(key.split('.').next().unwrap_or_default())
}

fn last_segment(key: &str) -> &str {
    bare_word(key.rsplit('.').next().unwrap_or_default())
}

fn looks_secret(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    SECRET.iter().any(|word| plain.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_and_what_is_not() {
        for (text, expected) in [
            ("[bond.b]\nports = [\"eth0\"]\nminmon = 1", "[bond.b]\nports = [\"eth0\"]\nminmon = 1"),
            ("[bond.b]\npsk = \"é€🞄a\"", "[bond.b]\npsk = \"·•🞄*\""),
            ("[bond.b]\nx = \"secret\"\ny = \"password\"", "[bond.b]\nx = \"secret\"\ny = \"********\""),
            ("[bond.b]\npsk geheim", "[bond.b]\n**********"),
            ("[bond.b]\nmiimon 5\nminmon 5", "[bond.b]\nmiimon 5\n********"),
            ("[wifi.w]\ncountry = \"AT\" # x", "[wifi.w]\ncountry = \"AT\" ***"),
            ("[[wifi.w.network]]\nssid = \"a\"\npsk = 'b'", "[[wifi.w.network]]\nssid = \"a\"\npsk = '*'"),
            (
                "[wifi.w]\npsk-file = \"/x\"\n'psk-file' = \"x\"",
                "[wifi.w]\npsk-file = \"/x\"\n'psk-file' = \"*\"",
            ),
            ("wifi = { w = { psk = \"a\", ssid = \"b\" } }", "wifi = { w = { psk = \"*\", ssid = \"b\" } }"),
            ("bond = { w = { psk = \"a\", mode = \"b\" } }", "bond = { w = { psk = \"*\", mode = \"b\" } }"),
            ("[wifi.w]\npsk = a\"b#c=d", "[wifi.w]\npsk = *\"*****"),
            ("[wifi.w] psk = a", "[wifi.w]********"),
            (
                "[wifi.w]\npsk = \"\"\"\na\n\"\"\"\nssid = 'b'",
                "[wifi.w]\npsk = \"\"\"\n*\n\"\"\"\nssid = 'b'",
            ),
            ("[wifi.w]\npsk = \"ab\ncd = ef\"", "[wifi.w]\npsk = \"**\n** = **\""),
            ("[bond.b]\nports = [\"a\"\n[wifi.w]\npks = 1", "[bond.b]\nports = [\"a\"\n[wifi.w]\npks = *"),
        ] {
            assert_eq!(mask(text), expected, "{text}");
        }
    }
}
