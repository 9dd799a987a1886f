//! Errors as people read them: with everything that led to them.

use std::error::Error;
use std::iter;

/// The error and its causes, the outermost first.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}

/// The error with its causes, in one line. A cause that the text names already is not said twice.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error).map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot do it{}", if *.0 { ": no room" } else { "" })]
    struct Outer(bool, #[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("no room")]
    struct Inner;

    #[test]
    fn every_cause_is_said_once() {
        assert_eq!(chain(&Outer(false, Inner)), "cannot do it: no room");
        assert_eq!(chain(&Outer(true, Inner)), "cannot do it: no room");
    }
}
