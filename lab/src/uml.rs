//! A guest kernel with the bonding driver: user-mode Linux from Debian's package, booted from the machine's own root.
//!
//! [`run`] runs one command in a guest of its own and returns what came of it. The guest sees the machine's files
//! read-only, with an empty /run; its network is its own altogether, so a command may do there what it likes.
//! Guests are processes of the machine: several may run at once.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::error::{IoContext as _, LabError, Result};
use crate::netns::start_error;
use crate::scratch;
use crate::wait::{Look, until};

/// What tells a program that it runs in a guest.
const IN_GUEST: &str = "HITLESS_LAB_GUEST";

/// What the drivers and the laboratory need of the guest kernel.
const MODULES: &str =
    "bonding veth bridge 8021q sch_ingress cls_bpf cls_matchall act_gact act_bpf act_mirred dummy";

/// What came of a command in a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The exit code; 128 + n after signal n.
    pub code: i32,
    /// What the command printed.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
    /// What the guest's kernel and its init said.
    pub console: String,
}

impl Output {
    /// Standard output, if the command succeeded.
    ///
    /// # Errors
    ///
    /// When it did not; with everything that was printed.
    pub fn success(self) -> Result<String> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        Err(LabError::Guest {
            what: format!(
                "ran the command, which ended with code {}:\n{}{}",
                self.code, self.stdout, self.stderr
            ),
            console: self.console,
        })
    }
}

/// Does this program run in a guest?
pub fn in_guest() -> bool {
    std::env::var_os(IN_GUEST).is_some()
}

/// Runs a command in a guest of its own, as root, in the present directory and with the present `HITLESS_*` and
/// `RUST_*` environment. `timeout` includes the boot, which takes 2 to 5 s.
///
/// # Errors
///
/// When the package is missing, or the guest does not get as far as ending the command in time.
pub fn run<S: AsRef<OsStr>>(command: &[S], timeout: Duration) -> Result<Output> {
    let directory = scratch::directory()?;
    let directory = directory.path();
    let init = directory.join("init");
    fs::write(&init, script(directory, command, timeout)?)
        .context(|| format!("writing {}", init.display()))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))
        .context(|| format!("making {} executable", init.display()))?;

    let mut guest = Guest::boot(directory)?;
    let console = || fs::read_to_string(directory.join("console")).unwrap_or_default();
    let ended = until("the guest to power off", timeout, || {
        let status = guest.0.try_wait().context(|| "waiting for the guest".to_owned())?;
        Ok(status.map_or_else(|| Look::No("it still runs".to_owned()), Look::Yes))
    });
    drop(guest);
    let read = |name: &str| {
        let bytes = fs::read(directory.join("out").join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let code = read("code").trim().parse();
    match (ended, code) {
        // A guest that hangs on its way down has done its work.
        (Ok(_) | Err(LabError::Timeout { .. }), Ok(code)) => {
            Ok(Output { code, stdout: read("stdout"), stderr: read("stderr"), console: console() })
        }
        (Err(LabError::Timeout { .. }), Err(_)) => Err(LabError::Guest {
            what: format!("did not end within {timeout:?}; so far:\n{}{}", read("stdout"), read("stderr")),
            console: console(),
        }),
        (Err(error), _) => Err(error),
        (Ok(status), Err(_)) => {
            Err(LabError::Guest { what: format!("ended ({status}) without a result"), console: console() })
        }
    }
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
    let own = std::env::current_exe().context(|| "finding the running program".to_owned())?;
    let arguments = ["--exact", test, "--nocapture", "--test-threads=1", "--include-ignored"];
    let command: Vec<OsString> =
        std::iter::once(own.into_os_string()).chain(arguments.map(OsString::from)).collect();
    let done = run(&command, timeout)?.success()?;
    // A name that matches nothing must not count as success.
    if done.contains("1 passed") {
        Ok(())
    } else {
        Err(LabError::Broken(format!("no test named {test} ran in the guest:\n{done}")))
    }
}

/// A guest kernel; killed with all its processes when dropped.
struct Guest(Child);

impl Guest {
    fn boot(directory: &Path) -> Result<Self> {
        fs::create_dir(directory.join("out")).context(|| "making a directory".to_owned())?;
        let console =
            File::create(directory.join("console")).context(|| "opening the guest's console".to_owned())?;
        let errors = console.try_clone().context(|| "opening the guest's console".to_owned())?;
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
            .args([init, uml_dir])
            .stdin(Stdio::null())
            .stdout(console)
            .stderr(errors)
            .process_group(0);
        command.spawn().map(Self).map_err(|error| start_error(&command, error))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait()
            && let Ok(pid) = i32::try_from(self.0.id())
        {
            // Its processes are ours, in a group of their own.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = self.0.wait();
        }
        if thread::panicking() {
            eprintln!("the guest was killed");
        }
    }
}

/// The guest's init.
fn script<S: AsRef<OsStr>>(directory: &Path, command: &[S], timeout: Duration) -> Result<Vec<u8>> {
    let here = std::env::current_dir().context(|| "finding the present directory".to_owned())?;
    let mut environment = String::new();
    for (name, value) in std::env::vars() {
        if name.starts_with("HITLESS_") || name.starts_with("RUST_") {
            let _ = writeln!(environment, "export {name}={}", quoted(&value));
        }
    }
    let mut script = format!(
        "#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/tmp /run/out /run/kernel/lib/modules
mount -t hostfs -o {out} hostfs /run/out
export TMPDIR=/run/tmp {IN_GUEST}=1
ln -s /usr/lib/uml/modules/$(uname -r) /run/kernel/lib/modules/
modprobe -d /run/kernel -a {MODULES} || echo 'cannot load the modules: is kmod installed?'
# The bonding driver makes one bond unasked.
ip link del bond0 2>/dev/null
ip link set lo up
# Should whoever waits for this guest be killed, the guest ends all the same.
(sleep {seconds}; echo o >/proc/sysrq-trigger) >/dev/null 2>&1 &
{environment}cd {here}
",
        out = quoted(&directory.join("out").to_string_lossy()),
        seconds = timeout.as_secs() + 10,
        here = quoted(&here.to_string_lossy()),
    )
    .into_bytes();
    for word in command {
        script.extend(quoted_bytes(word.as_ref().as_bytes()));
        script.push(b' ');
    }
    script.extend(
        b"</dev/null >/run/out/stdout 2>/run/out/stderr
echo $? >/run/out/code.new
mv /run/out/code.new /run/out/code
sync
echo o >/proc/sysrq-trigger
sleep 60
",
    );
    Ok(script)
}

/// A word that a shell reads as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn quoted_bytes(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted_bytes(b"it's"), br"'it'\''s'");
    }
}
