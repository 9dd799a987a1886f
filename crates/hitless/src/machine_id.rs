//! The identity of this machine (machine-id(5)), which is confidential: what others may see is derived from it, so that
//! nobody can tell it by that.

use std::fs;
use std::path::Path;

use uuid::Uuid;

/// Where it is.
pub(crate) const PLACE: &str = "/etc/machine-id";

/// Where it is instead where only D-Bus has one.
const OTHER_PLACE: &str = "/var/lib/dbus/machine-id";

/// The machine's identity, the same over reboots; `None` where it has none (yet).
pub(crate) fn machine_id() -> Option<Uuid> {
    first_of(&[PLACE, OTHER_PLACE].map(Path::new))
}

/// The first that is an identity: 32 hex digits, and not what stands there until the first boot is over.
fn first_of(places: &[&Path]) -> Option<Uuid> {
    let read = |place: &&Path| Uuid::try_parse(fs::read_to_string(place).ok()?.trim()).ok();
    places.iter().find_map(read).filter(|id| !id.is_nil())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const MACHINE: &str = "5f2a9c0e7b3d4186a0c2e4f68091b3d5";

    #[test]
    fn what_is_no_identity_is_not_taken_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let [missing, early, good] = ["missing", "early", "good"].map(|name| directory.path().join(name));
        fs::write(&early, "uninitialized\n").unwrap();
        fs::write(&good, format!("{MACHINE}\n")).unwrap();
        assert_eq!(first_of(&[&missing, &early, &good]), Uuid::try_parse(MACHINE).ok());
        fs::write(&good, "0".repeat(32)).unwrap();
        assert_eq!(first_of(&[&good]), None);
    }
}
