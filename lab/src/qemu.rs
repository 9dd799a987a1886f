//! A guest kernel with Wi-Fi: Debian's, in QEMU, booted from the machine's own root.
//!
//! It has mac80211_hwsim, so hostapd and wpa_supplicant talk real 802.11 to each other ([`crate::wifi`]), and bonding,
//! and eBPF. The processor is emulated: it needs no KVM, boots in about 5 s, and runs several times slower than the
//! machine. A guest has no network device and cannot reach anything outside. What all guests share is in
//! [`crate::guest`]; the kernel is fetched, not installed, by `lab/guest-kernel`.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::User;

use crate::error::{LabError, Result};
use crate::guest::{self, Kernel, Output, quoted};

/// Where `lab/guest-kernel` puts things, below the user's cache; it counts the recipe up when that changes.
const GUEST: &str = "hitless-lab/guest-2";

/// What the drivers and the laboratory need of the guest kernel from the start. The rest, ciphers above all, it asks
/// for itself.
const MODULES: &str =
    "bonding veth bridge 8021q sch_ingress cls_bpf cls_matchall act_gact act_bpf act_mirred dummy ccm";

/// What the kernel is told. With every program at the same addresses whenever it is started, the emulator can use what
/// it has translated before: programs start three times as fast. And it is not to find out whether its timer works: an
/// emulator that the machine has no time for would be taken for broken hardware.
const OPTIONS: &str = "console=ttyS0 quiet panic=-1 norandmaps no_timer_check";

/// Does this program run in a guest with Wi-Fi?
pub fn in_guest() -> bool {
    guest::inside::<Qemu>()
}

/// Runs a command in a guest of its own, as root, in the present directory and with the present `HITLESS_*` and
/// `RUST_*` environment. `timeout` includes the boot, which takes 5 to 10 s. The guest has two processors, for it may
/// be to measure.
///
/// # Errors
///
/// When QEMU or the guest's kernel is missing, or the guest does not get as far as ending the command in time.
pub fn run<S: AsRef<OsStr>>(command: &[S], timeout: Duration) -> Result<Output> {
    guest::run(&Qemu { kernel: kernel()?, processors: 2 }, command, timeout)
}

/// Runs one test of the running test program again, in a guest; the test then finds itself [`in_guest`].
/// As [`crate::uml::rerun`]. The guest has one processor: several tests run at once, and emulated processors that have
/// to wait for each other, while the machine has no processor for one of them, take twice the time of one alone.
///
/// # Errors
///
/// When the test fails there; with everything it printed.
pub fn rerun(test: &str, timeout: Duration) -> Result<()> {
    rerun_with(test, &[], timeout)
}

/// The same, with this in the environment of the test.
///
/// # Errors
///
/// As [`rerun`].
pub fn rerun_with(test: &str, environment: &[(&str, &str)], timeout: Duration) -> Result<()> {
    guest::rerun_with(&Qemu { kernel: kernel()?, processors: 1 }, test, environment, timeout)
}

/// Where iwd is, which is fetched and not installed: the directory with its `usr`.
///
/// # Errors
///
/// When it has not been fetched.
pub fn iwd() -> Result<PathBuf> {
    Ok(kernel()?.join("iwd"))
}

/// Debian's kernel in QEMU.
struct Qemu {
    /// The directory with the kernel and what belongs to it.
    kernel: PathBuf,
    /// How many processors the guest has.
    processors: u8,
}

impl Kernel for Qemu {
    const NAME: &'static str = "qemu";

    fn boot(&self, directory: &Path) -> Result<Command> {
        // The guest ends when the thread that waits for it does, however that comes about.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "qemu-system-x86_64"])
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"])
            // Page tables of five levels only cost an emulated processor time.
            .args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off"])
            .args(["-m", "1536", "-smp", &self.processors.to_string()])
            .arg("-kernel")
            .arg(self.kernel.join("vmlinux"))
            .arg("-initrd")
            .arg(self.kernel.join("initramfs"))
            .args(["-append", &format!("{OPTIONS} lab.init={}/init", directory.display())]);
        share(&mut command, "root", Path::new("/"), ",readonly=on,multidevs=remap");
        share(&mut command, "out", &directory.join("out"), "");
        Ok(command)
    }

    fn setup(&self, _directory: &Path) -> String {
        format!(
            "mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t tmpfs tmpfs /var/tmp
mount -t debugfs debugfs /sys/kernel/debug
mount -t 9p -o trans=virtio,version=9p2000.L,cache=none out /run/out
# The machine may have modules of its own, or none at all and not even a place for them.
lib=$(readlink -f /lib)
mount -t overlay -o lowerdir={lib}:$lib overlay $lib || echo 'cannot lay the modules over /lib'
modprobe -a {MODULES} || echo 'cannot load the modules: is kmod installed?'",
            lib = quoted(&self.kernel.join("lib").to_string_lossy()),
        )
    }
}

/// Lets the guest mount a directory of the machine by this name.
fn share(command: &mut Command, name: &str, path: &Path, options: &str) {
    command
        .arg("-fsdev")
        .arg(format!("local,id={name},path={},security_model=none{options}", path.display()))
        .args(["-device", &format!("virtio-9p-pci,fsdev={name},mount_tag={name}")]);
}

/// The directory that `lab/guest-kernel` has made: in the user's cache, also when it is root who asks by means of sudo.
fn kernel() -> Result<PathBuf> {
    let caches: Vec<PathBuf> = [
        env::var_os("XDG_CACHE_HOME").map(PathBuf::from),
        env::var_os("HOME").map(|home| Path::new(&home).join(".cache")),
        env::var("SUDO_USER")
            .ok()
            .and_then(|user| User::from_name(&user).ok()?)
            .map(|user| user.dir.join(".cache")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let found = caches.iter().map(|cache| cache.join(GUEST)).find(|path| path.join("vmlinux").exists());
    found.ok_or_else(|| LabError::NoGuestKernel {
        looked: caches
            .iter()
            .map(|cache| cache.join(GUEST).display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    })
}
