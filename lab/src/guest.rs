//! Guest kernels: a command runs in one, and what came of it comes back.
//!
//! What all guests have in common: the script that is their init, the way their output takes, and that they end with
//! their owner. How a guest is booted is told in [`crate::uml`] (has bonding) and [`crate::qemu`] (has Wi-Fi, too).
//! A guest sees the machine's files read-only, with an empty /run; its network is its own altogether.

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

/// What tells a program that it runs in a guest, and in which kind.
const IN_GUEST: &str = "HITLESS_LAB_GUEST";

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

/// A way to boot a guest.
pub(crate) trait Kernel {
    /// What [`inside`] is asked for, and the guest's programs find in their environment.
    const NAME: &'static str;

    /// The command that boots it, with `directory/init` as its init. It is a process group of its own, with its standard
    /// output as the console.
    fn boot(&self, directory: &Path) -> Result<Command>;

    /// What its init does first, after /proc, /sys and /run are there: it mounts the writable `directory/out` on
    /// /run/out, and loads the modules.
    fn setup(&self, directory: &Path) -> String;
}

/// Does this program run in a guest of this kind?
pub(crate) fn inside<K: Kernel>() -> bool {
    std::env::var_os(IN_GUEST).is_some_and(|kind| kind == K::NAME)
}

/// Runs a command in a guest of its own. `timeout` includes the boot.
pub(crate) fn run<K: Kernel, S: AsRef<OsStr>>(
    kernel: &K,
    command: &[S],
    timeout: Duration,
) -> Result<Output> {
    let directory = scratch::directory()?;
    let directory = directory.path();
    let init = directory.join("init");
    fs::write(&init, script(kernel, directory, command, timeout)?)
        .context(|| format!("writing {}", init.display()))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))
        .context(|| format!("making {} executable", init.display()))?;

    let mut guest = Guest::boot(kernel, directory)?;
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

/// Runs one test of the running test program again, in a guest.
pub(crate) fn rerun<K: Kernel>(kernel: &K, test: &str, timeout: Duration) -> Result<()> {
    rerun_with(kernel, test, &[], timeout)
}

/// The same, with this in the environment of the test.
pub(crate) fn rerun_with<K: Kernel>(
    kernel: &K,
    test: &str,
    environment: &[(&str, &str)],
    timeout: Duration,
) -> Result<()> {
    let own = std::env::current_exe().context(|| "finding the running program".to_owned())?;
    let arguments = ["--exact", test, "--nocapture", "--test-threads=1", "--include-ignored"];
    let mut command = vec![OsString::from("env")];
    command.extend(environment.iter().map(|(name, value)| format!("{name}={value}").into()));
    command.push(own.into_os_string());
    command.extend(arguments.map(OsString::from));
    let done = run(kernel, &command, timeout)?.success()?;
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
    fn boot(kernel: &impl Kernel, directory: &Path) -> Result<Self> {
        fs::create_dir(directory.join("out")).context(|| "making a directory".to_owned())?;
        let console =
            File::create(directory.join("console")).context(|| "opening the guest's console".to_owned())?;
        let errors = console.try_clone().context(|| "opening the guest's console".to_owned())?;
        let mut command = kernel.boot(directory)?;
        command.stdin(Stdio::null()).stdout(console).stderr(errors).process_group(0);
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
fn script<K: Kernel, S: AsRef<OsStr>>(
    kernel: &K,
    directory: &Path,
    command: &[S],
    timeout: Duration,
) -> Result<Vec<u8>> {
    let here = std::env::current_dir().context(|| "finding the present directory".to_owned())?;
    let mut environment = String::new();
    for (name, value) in std::env::vars() {
        if (name.starts_with("HITLESS_") && name != IN_GUEST) || name.starts_with("RUST_") {
            let _ = writeln!(environment, "export {name}={}", quoted(&value));
        }
    }
    let mut script = format!(
        "#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/tmp /run/out
export TMPDIR=/run/tmp {IN_GUEST}={name}
{setup}
# The bonding driver makes one bond unasked.
ip link del bond0 2>/dev/null
ip link set lo up
# Should whoever waits for this guest be killed, the guest ends all the same.
(sleep {seconds}; echo o >/proc/sysrq-trigger) >/dev/null 2>&1 &
{environment}cd {here}
",
        name = K::NAME,
        setup = kernel.setup(directory),
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
# Nothing can be started any more, and init must not end.
wait
",
    );
    Ok(script)
}

/// A word that a shell reads as it is.
pub(crate) fn quoted(word: &str) -> String {
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
