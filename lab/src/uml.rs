//! A guest kernel with the bonding driver: user-mode Linux from Debian's package, booted from the machine's own root.
//!
//! [`run`] runs one command in a guest of its own and returns what came of it. The guest sees the machine's files
//! read-only, with an empty /run; its network is its own altogether, so a command may do there what it likes.
//! Guests are processes of the machine: several may run at once. What all guests share is in [`crate::guest`].

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::error::Result;
use crate::guest::{self, Kernel, Output, quoted};

/// What the drivers and the laboratory need of the guest kernel.
const MODULES: &str =
    "bonding veth bridge 8021q sch_ingress cls_bpf cls_matchall act_gact act_bpf act_mirred dummy overlay";

/// Does this program run in a guest?
pub fn in_guest() -> bool {
    guest::inside::<Uml>()
}

/// Runs a command in a guest of its own, as root, in the present directory and with the present `HITLESS_*` and
/// `RUST_*` environment. `timeout` includes the boot, which takes 2 to 5 s.
///
/// # Errors
///
/// When the package is missing, or the guest does not get as far as ending the command in time.
pub fn run<S: AsRef<OsStr>>(command: &[S], timeout: Duration) -> Result<Output> {
    guest::run(&Uml, command, timeout)
}

/// Runs one test of the running test program again, in a guest; the test then finds itself [`in_guest`].
///
/// ```no_run
/// # use hitless_lab::uml;
/// # use std::time::Duration;
/// #[test]
/// fn kernel_driver_fails_over() {
///     if !uml::in_guest() {
///         return uml::rerun("kernel_driver_fails_over", Duration::from_secs(60)).unwrap();
///     }
///     // here is a bonding driver
/// }
/// ```
///
/// # Errors
///
/// When the test fails there; with everything it printed.
pub fn rerun(test: &str, timeout: Duration) -> Result<()> {
    guest::rerun(&Uml, test, timeout)
}

/// The same, with this in the environment of the test.
///
/// # Errors
///
/// As [`rerun`].
pub fn rerun_with(test: &str, environment: &[(&str, &str)], timeout: Duration) -> Result<()> {
    guest::rerun_with(&Uml, test, environment, timeout)
}

/// User-mode Linux.
struct Uml;

impl Kernel for Uml {
    const NAME: &'static str = "uml";

    fn boot(&self, directory: &Path) -> Result<Command> {
        let mut init = OsString::from("init=");
        init.push(directory.join("init"));
        let mut uml_dir = OsString::from("uml_dir=");
        uml_dir.push(directory);
        let mut command = Command::new("linux.uml");
        command
            .args([
                "mem=512M",
                "rootfstype=hostfs",
                "rootflags=/",
                "ro",
                "quiet",
                "con=null",
                "con0=null,fd:1",
            ])
            .args([init, uml_dir]);
        Ok(command)
    }

    fn setup(&self, directory: &Path) -> String {
        format!(
            "mount -t hostfs -o {out} hostfs /run/out
mkdir -p /run/kernel/lib/modules
ln -s /usr/lib/uml/modules/$(uname -r) /run/kernel/lib/modules/
modprobe -d /run/kernel -a {MODULES} || echo 'cannot load the modules: is kmod installed?'",
            out = quoted(&directory.join("out").to_string_lossy()),
        )
    }
}
