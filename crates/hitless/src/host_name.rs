//! What the host is called, and the name that a network gives to one that has none.
//!
//! Not responsible for `/etc/hostname`: what is given here lasts until the host is started again. It is not taken back
//! before, since programs have it by then.

use std::io;

use nix::unistd::{gethostname, sethostname};

/// The longest that Linux takes, in octets (gethostname(2)).
const LONGEST: usize = 64;

/// What a host is called that was never given a name.
const NO_NAMES: [&str; 4] = ["", "(none)", "localhost", "localhost.localdomain"];

/// What the host is called, if it is called anything.
pub(crate) fn own() -> Option<String> {
    let name = gethostname().ok()?.into_string().ok()?;
    (!NO_NAMES.contains(&name.as_str())).then_some(name)
}

/// What networks say the host is called.
#[derive(Debug, Default)]
pub(crate) struct HostName {
    told: Option<String>,
}

impl HostName {
    /// The network says this now. A host that has no name is called that.
    pub(crate) fn keep(&mut self, name: Option<&str>) {
        if self.told.as_deref() == name {
            return;
        }
        self.told = name.map(str::to_owned);
        let Some(name) = name.and_then(fitting).filter(|_| own().is_none()) else { return };
        match sethostname(name) {
            Ok(()) => {
                tracing::info!("the host, which had no name, is called {name} now, as its network says");
            }
            Err(error) => {
                let error = io::Error::from(error);
                tracing::warn!(
                    "the host has no name, and cannot be called {name}, as its network says: {error}"
                );
            }
        }
    }
}

/// As much of a name as Linux takes: without its domain, where it is too long with that.
fn fitting(name: &str) -> Option<&str> {
    let label = name.split('.').next().unwrap_or_default();
    [name, label].into_iter().find(|name| name.len() <= LONGEST && !NO_NAMES.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_as_long_as_linux_takes() {
        let domain = format!("box.{}.example", "x".repeat(60));
        let cases = [
            ("box", Some("box")),
            ("box.home.arpa", Some("box.home.arpa")),
            (domain.as_str(), Some("box")),
            ("localhost", None),
            ("(none)", None),
            ("", None),
        ];
        for (name, fits) in cases {
            assert_eq!(fitting(name), fits, "{name}");
        }
        let long = "x".repeat(65);
        assert_eq!(fitting(&long), None);
    }
}
