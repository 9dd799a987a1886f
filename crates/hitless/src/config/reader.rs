//! Reads one TOML table key by key, and collects what is wrong with it.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Problem;
use crate::wifi::network::Secret;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// Where, in bytes of the text.
    pub(super) span: Range<usize>,
}

impl<T> At<T> {
    /// A value that stands there.
    pub(super) fn new(span: Range<usize>, value: T) -> Self {
        Self { value, span }
    }

    /// Another value in the same place.
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), span: self.span }
    }
}

/// Words from other places that mean one of our keys.
const SYNONYMS: &[(&str, &str)] = &[
    ("slaves", "ports"),
    ("interfaces", "ports"),
    ("members", "ports"),
    ("laggport", "ports"),
    ("bond-slaves", "ports"),
    ("num-grat-arp", "num-peer-notif"),
    ("num-unsol-na", "num-peer-notif"),
    ("bonds", "bond"),
    ("gateway4", "gateway"),
    ("gateway6", "gateway"),
    ("passphrase", "psk"),
    ("wpa-psk", "psk"),
    ("wpa-passphrase", "psk"),
    ("key-mgmt", "security"),
    ("scan-ssid", "hidden"),
    ("phase1", "eap"),
    ("domain-suffix-match", "domain"),
    ("private-key-passwd", "private-key-password"),
    ("networks", "network"),
    ("wlan", "wifi"),
    ("wireless", "wifi"),
    ("dhcp", "dhcp4"),
    ("dhcpv6", "dhcp6"),
    ("ia-pd", "prefix-delegation"),
    ("nameserver", "dns"),
    ("nameservers", "dns"),
    ("domains", "search"),
    ("routes", "route"),
    ("addresses", "address"),
];

/// A table that is being read.
pub(super) struct Reader<'t, 'p> {
    entries: Vec<(&'t Spanned<std::borrow::Cow<'t, str>>, &'t Spanned<DeValue<'t>>)>,
    known: Vec<&'static str>,
    /// What it is in the user's words.
    what: String,
    pub(super) problems: &'p mut Vec<Problem>,
}

impl<'t, 'p> Reader<'t, 'p> {
    pub(super) fn new(
        table: &'t DeTable<'t>,
        what: impl Into<String>,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        let entries = table.iter().collect();
        Self { entries, known: Vec::new(), what: what.into(), problems }
    }

    /// The value of a key, which is known from now on.
    fn take(&mut self, key: &'static str) -> Option<(Range<usize>, &'t Spanned<DeValue<'t>>)> {
        self.known.push(key);
        let index = self.entries.iter().position(|(k, _)| k.get_ref().as_ref() == key)?;
        let (key, value) = self.entries.swap_remove(index);
        Some((key.span(), value))
    }

    pub(super) fn text(&mut self, key: &'static str) -> Option<At<String>> {
        let (_, value) = self.take(key)?;
        self.as_text(key, value)
    }

    /// A string that nobody is to see.
    pub(super) fn secret(&mut self, key: &'static str) -> Option<At<Secret>> {
        self.text(key).map(|text| text.map(Secret::new))
    }

    fn as_text(&mut self, key: &str, value: &Spanned<DeValue<'_>>) -> Option<At<String>> {
        let DeValue::String(text) = value.get_ref() else {
            return self.wrong_type(key, value, "a string in quotes");
        };
        Some(At::new(value.span(), text.to_string()))
    }

    /// An array of strings; a single string will do.
    pub(super) fn texts(&mut self, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let (_, value) = self.take(key)?;
        let texts = if let DeValue::String(text) = value.get_ref() {
            vec![At::new(value.span(), text.to_string())]
        } else if let DeValue::Array(items) = value.get_ref() {
            items.iter().filter_map(|item| self.as_text(key, item)).collect()
        } else {
            return self.wrong_type(key, value, "an array of strings, such as [\"a\", \"b\"]");
        };
        Some(At::new(value.span(), texts))
    }

    pub(super) fn boolean(&mut self, key: &'static str) -> Option<At<bool>> {
        let (_, value) = self.take(key)?;
        let DeValue::Boolean(flag) = value.get_ref() else {
            return self.wrong_type(key, value, "true or false");
        };
        Some(At::new(value.span(), *flag))
    }

    /// `true`, `false`, or one of these words.
    pub(super) fn switch<T: Copy>(
        &mut self,
        key: &'static str,
        [off, on]: [T; 2],
        choices: &[(&'static str, T)],
    ) -> Option<At<T>> {
        let (_, value) = self.take(key)?;
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(At::new(value.span(), if *flag { on } else { off }));
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let DeValue::String(text) = value.get_ref() else {
            return self.wrong_type(key, value, &format!("true, false or {}", words.join(", ")));
        };
        let text = At::new(value.span(), text.to_string());
        let found = choices.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let problem = not_a_choice(key, &text, choices.iter().map(|(word, _)| *word));
            self.problems.push(problem.label(format!("expected true, false or {}", words.join(", "))));
        }
        found.map(|(_, value)| text.map(|_| *value))
    }

    /// An integer within these bounds; `unit` is for the message, such as " ms".
    pub(super) fn integer(
        &mut self,
        key: &'static str,
        bounds: RangeInclusive<i64>,
        unit: &str,
    ) -> Option<At<i64>> {
        let (_, value) = self.take(key)?;
        let expected = format!("an integer from {} to {}{unit}", bounds.start(), bounds.end());
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_type(key, value, &expected);
        };
        match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) if bounds.contains(&number) => Some(At::new(value.span(), number)),
            _ => {
                let message = format!("`{key}` is out of range");
                self.problems.push(Problem::new(value.span(), message).label(format!("expected {expected}")));
                None
            }
        }
    }

    /// One of these words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<At<T>> {
        let text = self.text(key)?;
        let found = choices.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            self.problems.push(not_a_choice(key, &text, choices.iter().map(|(word, _)| *word)));
        }
        found.map(|(_, value)| text.map(|_| *value))
    }

    /// A table, for a reader of its own.
    pub(super) fn table(&mut self, key: &'static str) -> Option<(Range<usize>, &'t DeTable<'t>)> {
        let (span, value) = self.take(key)?;
        self.as_table(key, span, value)
    }

    fn as_table(
        &mut self,
        key: &str,
        span: Range<usize>,
        value: &'t Spanned<DeValue<'t>>,
    ) -> Option<(Range<usize>, &'t DeTable<'t>)> {
        let DeValue::Table(table) = value.get_ref() else {
            return self.wrong_type(key, value, "a table");
        };
        Some((span, table))
    }

    /// An array of tables, each for a reader of its own, and where it begins; a single table will do.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<(Range<usize>, &'t DeTable<'t>)> {
        let Some((span, value)) = self.take(key) else { return Vec::new() };
        if let DeValue::Array(items) = value.get_ref() {
            items.iter().filter_map(|item| self.as_table(key, item.span(), item)).collect()
        } else {
            self.as_table(key, span, value).into_iter().collect()
        }
    }

    /// All that is left, each a table with a name of the user's choice; in the order of the text.
    pub(super) fn named_tables(&mut self) -> Vec<(At<String>, &'t DeTable<'t>)> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .filter_map(|(key, value)| {
                let name = At::new(key.span(), key.get_ref().to_string());
                let (_, table) = self.as_table(&name.value, key.span(), value)?;
                Some((name, table))
            })
            .collect()
    }

    /// What is left is unknown.
    pub(super) fn finish(self) {
        for (key, _) in self.entries {
            let word = key.get_ref().as_ref();
            let plain = word.to_lowercase().replace('_', "-");
            let problem = Problem::new(key.span(), format!("unknown key `{word}` in {}", self.what));
            let problem =
                match SYNONYMS.iter().find(|(other, ours)| *other == plain && self.known.contains(ours)) {
                    Some((_, ours)) => problem.help(format!("did you mean `{ours}`?")),
                    None => problem.did_you_mean(word, self.known.iter().copied()),
                };
            let problem = if problem.help.is_empty() {
                problem.help(format!("known keys: {}", self.known.join(", ")))
            } else {
                problem
            };
            self.problems.push(problem);
        }
    }

    fn wrong_type<T>(&mut self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{key}` is of the wrong type");
        self.problems
            .push(Problem::new(value.span(), message).label(format!("expected {expected}, found {found}")));
        None
    }
}

/// The word is none of those that the key can have.
pub(super) fn not_a_choice(
    key: &str,
    text: &At<String>,
    choices: impl Iterator<Item = &'static str> + Clone,
) -> Problem {
    let words: Vec<_> = choices.clone().map(|word| format!("\"{word}\"")).collect();
    Problem::new(text.span.clone(), format!("`{key}` cannot be \"{}\"", text.value.escape_debug()))
        .label(format!("expected {}", words.join(", ")))
        .did_you_mean(&text.value, choices)
}
