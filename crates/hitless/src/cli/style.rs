//! Colours. They are always written; the stream takes them out where they are not wanted.

use std::borrow::Cow;

use anstyle::{AnsiColor, Style};
use hitless_api::LinkState;

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const UNSURE: Style = AnsiColor::Yellow.on_default();
pub(super) const STRONG: Style = Style::new().bold();
pub(super) const FAINT: Style = Style::new().dimmed();

pub(super) fn link(state: LinkState) -> Style {
    match state {
        LinkState::Up => GOOD,
        LinkState::Down => BAD,
        LinkState::Back | LinkState::Fail => UNSURE,
    }
}

/// Text from elsewhere without what could steer a terminal; interface names may have nearly any byte.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) {
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}
