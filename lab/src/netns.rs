//! Network namespaces that clean up after themselves.
//!
//! A [`Namespace`] is one named network namespace with everything that runs in it. It is gone when the value is dropped,
//! also when a test panics; what a killed run left behind is removed by [`reap_stale`]. Nothing here can touch the
//! initial namespace. What the networks look like is told in [`crate::topology`].

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::error::{IoContext as _, LabError, Result};
use crate::scratch;
use crate::{qemu, uml};

/// Where iproute2 keeps the names.
const NAMES: &str = "/run/netns";

/// How many namespaces this process has made.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A network namespace of our own.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace named `hl-<pid>-<n>-<role>`, with its loopback up. `role` is one short word.
    ///
    /// # Errors
    ///
    /// Without root or without iproute2.
    pub fn new(role: &str) -> Result<Self> {
        if !Uid::effective().is_root() {
            return Err(LabError::NotRoot);
        }
        reap_once()?;
        let n = MADE.fetch_add(1, Ordering::Relaxed);
        let namespace = Self { name: format!("hl-{}-{n}-{role}", std::process::id()) };
        output(Command::new("ip").args(["netns", "add", &namespace.name]))?;
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` with these arguments, split at white space, in the namespace.
    ///
    /// # Errors
    ///
    /// When `ip` fails; the error has what it said.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        self.run(&std::iter::once("ip").chain(arguments.split_whitespace()).collect::<Vec<_>>())
    }

    /// Runs a command in the namespace and returns what it printed.
    ///
    /// # Errors
    ///
    /// When it fails or is not there.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        let [program, arguments @ ..] = command else {
            return Err(LabError::Broken("an empty command".to_owned()));
        };
        let done = self.within(|| output(Command::new(program).args(arguments)))??;
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// Starts a command in the namespace, in a process group of its own so that a Ctrl-C on the terminal is ours alone.
    /// In a guest with Wi-Fi, it has a /sys of the namespace, too.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(&self, command: &mut Command) -> Result<Child> {
        use std::os::unix::process::CommandExt as _;
        command.process_group(0);
        self.within(|| {
            if qemu::in_guest() {
                own_sys()?;
            }
            command.spawn().map_err(|error| start_error(command, error))
        })?
    }

    /// The same for the daemon, with a host name, /etc and /run of its own that begin as the machine's: what it writes
    /// there is for nobody else to see, and gone with it. `place` is an empty directory for that. (A guest's /etc is nobody else's anyway.)
    ///
    /// # Errors
    ///
    /// When it cannot be started, or the kernel has no overlay file system.
    pub(crate) fn spawn_apart(&self, command: &mut Command, place: &Path) -> Result<Child> {
        use std::os::unix::process::CommandExt as _;
        command.process_group(0);
        self.within(|| {
            // A network may give a name to a host that has none.
            unshare(CloneFlags::CLONE_NEWUTS).context(|| "making a host name of its own".to_owned())?;
            if qemu::in_guest() {
                own_sys()?;
            } else if !uml::in_guest() {
                own_places(place)?;
            }
            command.spawn().map_err(|error| start_error(command, error))
        })?
    }

    /// Does some work on a thread of its own that is in the namespace. Sockets and processes it makes belong there.
    /// A panic in it goes on in the caller.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                enter(&self.name)?;
                Ok(work())
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// The same beside the caller, for as long as it takes.
    pub(crate) fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> JoinHandle<Result<T>> {
        let name = self.name.clone();
        thread::spawn(move || {
            enter(&name)?;
            work()
        })
    }

    /// Sets a value below /proc/sys, `net.ipv6.conf.all.forwarding` say.
    ///
    /// # Errors
    ///
    /// When there is no such value.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        // Below net, /proc/sys shows the namespace of the thread that looks.
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        self.within(|| fs::write(&path, value).context(|| format!("setting {name} to {value}")))?
    }

    /// The processes in it.
    ///
    /// # Errors
    ///
    /// When `ip` fails.
    pub fn pids(&self) -> Result<Vec<i32>> {
        pids_in(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Nobody to tell: what is left is found by the next run.
        let _ = remove(&self.name);
    }
}

/// Fails in the network namespace that the process was started in, and in that of process 1: the laboratory must not
/// touch them.
///
/// # Errors
///
/// [`LabError::InitialNamespace`] when the calling thread is in one of them.
pub fn refuse_initial() -> Result<()> {
    let inode = |path: &str| fs::metadata(path).map(|entry| entry.ino());
    let here = inode("/proc/thread-self/ns/net").context(|| "looking at the own namespace".to_owned())?;
    // Only threads of their own enter namespaces, so this is where the process was started.
    let start = inode("/proc/self/ns/net").context(|| "looking at the initial namespace".to_owned())?;
    // In some containers even root may not look at process 1; the check above is the one that matters then.
    if here == start || inode("/proc/1/ns/net").is_ok_and(|first| here == first) {
        return Err(LabError::InitialNamespace);
    }
    Ok(())
}

/// Removes what runs that were killed have left behind: namespaces of processes that no longer exist, with whatever
/// still runs in them, and files. Returns the names of the namespaces.
///
/// # Errors
///
/// When a namespace cannot be removed.
pub fn reap_stale() -> Result<Vec<String>> {
    scratch::reap(runs);
    let Ok(entries) = fs::read_dir(NAMES) else { return Ok(Vec::new()) };
    let mut reaped = Vec::new();
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(maker) = maker(&name) else { continue };
        if !runs(maker) {
            remove(&name)?;
            reaped.push(name);
        }
    }
    Ok(reaped)
}

/// Reaps what is stale before the first namespace of this process.
fn reap_once() -> Result<()> {
    static REAPED: Mutex<bool> = Mutex::new(false);
    let mut reaped = REAPED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*reaped {
        // Several runs may start at once and find the same leftovers: whoever comes second fails to remove them.
        let _ = reap_stale();
        *reaped = true;
    }
    Ok(())
}

/// The process that made the namespace of this name, if it is one of ours.
fn maker(name: &str) -> Option<u32> {
    name.strip_prefix("hl-")?.split('-').next()?.parse().ok()
}

/// Does this process run? A zombie does not: it is dead, and only its parent has not noticed.
fn runs(pid: u32) -> bool {
    // The second field is the name in parentheses, which may contain anything, even parentheses.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

/// Puts the calling thread into a namespace, for good.
fn enter(name: &str) -> Result<()> {
    let path = Path::new(NAMES).join(name);
    let file = File::open(&path).context(|| format!("opening {}", path.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).context(|| format!("entering {}", path.display()))?;
    refuse_initial()
}

/// Gives the calling thread, and what it starts, a /sys with the interfaces and radios of its network namespace.
/// wpa_supplicant looks there for the switch of its radio.
fn own_sys() -> Result<()> {
    let none: Option<&str> = None;
    own_mounts()?;
    umount2("/sys", MntFlags::MNT_DETACH).context(|| "unmounting /sys".to_owned())?;
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none).context(|| "mounting /sys".to_owned())
}

/// Gives the calling thread, and what it starts, mounts of its own.
fn own_mounts() -> Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).context(|| "making a mount namespace".to_owned())?;
    mount(none, "/", none, MsFlags::MS_SLAVE | MsFlags::MS_REC, none)
        .context(|| "keeping mounts to ourselves".to_owned())
}

/// Shows the calling thread, and what it starts, the mounts of this process.
pub(crate) fn join_mounts(pid: u32) -> Result<()> {
    let path = format!("/proc/{pid}/ns/mnt");
    let file = File::open(&path).context(|| format!("opening {path}"))?;
    // Threads share their root and their directory, which are another namespace's.
    unshare(CloneFlags::CLONE_FS).context(|| "leaving the other threads".to_owned())?;
    setns(file, CloneFlags::CLONE_NEWNS).context(|| format!("entering {path}"))
}

/// Gives the calling thread, and what it starts, copies of the places where programs tell each other what to do.
fn own_places(place: &Path) -> Result<()> {
    own_mounts()?;
    let none: Option<&str> = None;
    mount(Some("tmpfs"), place, Some("tmpfs"), MsFlags::empty(), none)
        .context(|| format!("mounting a tmpfs on {}", place.display()))?;
    for lower in ["/etc", "/run"] {
        let [upper, work] =
            ["upper", "work"].map(|layer| place.join(format!("{layer}{}", lower.replace('/', "-"))));
        for directory in [&upper, &work] {
            fs::create_dir(directory).context(|| format!("making {}", directory.display()))?;
        }
        let layers = format!("lowerdir={lower},upperdir={},workdir={}", upper.display(), work.display());
        mount(Some("overlay"), lower, Some("overlay"), MsFlags::empty(), Some(layers.as_str()))
            .context(|| format!("laying an overlay on {lower}"))?;
    }
    Ok(())
}

/// Ends everything in a namespace of ours and removes it.
fn remove(name: &str) -> Result<()> {
    for pid in pids_in(name)? {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    output(Command::new("ip").args(["netns", "del", name])).map(drop)
}

/// The processes in a namespace, apart from this one.
fn pids_in(name: &str) -> Result<Vec<i32>> {
    let listed = output(Command::new("ip").args(["netns", "pids", name]))?;
    let own = std::process::id();
    Ok(String::from_utf8_lossy(&listed.stdout)
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| u32::try_from(*pid) != Ok(own))
        .collect())
}

/// Runs a command to its end; its output if it succeeded.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| start_error(command, error))?;
    if done.status.success() {
        return Ok(done);
    }
    Err(LabError::Command {
        command: shown(command),
        status: done.status.to_string(),
        stderr: String::from_utf8_lossy(&done.stderr).trim().to_owned(),
    })
}

/// A command line as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    words.join(" ")
}

/// Why a command could not be started.
pub(crate) fn start_error(command: &Command, error: std::io::Error) -> LabError {
    let tool = command.get_program().to_string_lossy().into_owned();
    match (error.kind(), package_of(&tool)) {
        (std::io::ErrorKind::NotFound, Some(package)) => LabError::MissingTool { tool, package },
        _ => LabError::Io { what: format!("starting `{}`", shown(command)), source: error },
    }
}

/// Makes sure of a tool that is started by another one, which does not say from which package it is.
pub(crate) fn require(tool: &str) -> Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|directory| directory.join(tool).exists());
    match package_of(tool) {
        Some(package) if !is_there => Err(LabError::MissingTool { tool: tool.to_owned(), package }),
        _ => Ok(()),
    }
}

/// The Debian package of a tool that the laboratory uses.
fn package_of(tool: &str) -> Option<&'static str> {
    match tool {
        "ip" | "tc" | "bridge" | "ss" => Some("iproute2"),
        "linux.uml" => Some("user-mode-linux"),
        "modprobe" => Some("kmod"),
        "qemu-system-x86_64" => Some("qemu-system-x86"),
        "setpriv" | "unshare" => Some("util-linux"),
        "hostapd" => Some("hostapd"),
        "wpa_supplicant" => Some("wpasupplicant"),
        "iw" => Some("iw"),
        "openssl" => Some("openssl"),
        "dnsmasq" => Some("dnsmasq-base"),
        "dhcpcd" => Some("dhcpcd-base"),
        "udhcpc" => Some("udhcpc"),
        "python3" => Some("python3"),
        "tcpdump" => Some("tcpdump"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_are_found_in_names_of_ours_only() {
        assert_eq!(maker("hl-123-0-laptop"), Some(123));
        assert_eq!(maker("hl-x-0-laptop"), None);
        assert_eq!(maker("blue"), None);
    }
}
