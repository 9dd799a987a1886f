//! What the tests have in common: the guest.

use std::time::Duration;

use hitless_lab::qemu;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How long a guest may take, boot included.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Runs the body in a guest. `test` is the path of the test that calls this.
pub(crate) fn in_guest(test: &str, body: impl FnOnce()) {
    if qemu::in_guest() {
        body();
    } else if let Err(error) = qemu::rerun(test, LIMIT) {
        panic!("{error}");
    }
}

/// How long anything may take that is to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
