//! A guest as a machine with managers: Debian's packages, files that may be changed, and a bus.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hitless_lab::packages::Package;
use hitless_lab::wait::{Look, until};
use hitless_lab::{Home, Namespace, uml};
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{PATIENCE, wait_for};

/// Where the guest finds the package that was fetched outside.
const PACKAGE: &str = "HITLESS_LAB_PACKAGE";

/// How long a manager may take for what it does: it has far more to do than a bond.
const MANAGER_PATIENCE: Duration = Duration::from_secs(90);

const BUS: &str = "/run/dbus/system_bus_socket";

/// Runs the body in a guest in which this package is installed. `test` is the path of the test that calls this.
pub(crate) fn in_guest_with(package: &str, test: &str, limit: Duration, body: impl FnOnce()) {
    if uml::in_guest() {
        lay_over(Path::new(&std::env::var_os(PACKAGE).unwrap()));
        return body();
    }
    // The guest cannot reach anything.
    let package = Package::fetched(package).unwrap();
    let root = package.root().to_str().unwrap();
    if let Err(error) = uml::rerun_with(test, &[(PACKAGE, root)], limit) {
        panic!("{error}");
    }
}

/// Lays a package over the guest's own root, where files may be changed from now on.
fn lay_over(package: &Path) {
    let scratch = Path::new("/run/over");
    for part in ["usr", "etc", "var"] {
        let [upper, work] = ["upper", "work"].map(|layer| scratch.join(part).join(layer));
        for directory in [&upper, &work] {
            fs::create_dir_all(directory).unwrap();
        }
        let place = Path::new("/").join(part);
        let lower = [package.join(part), place.clone()];
        let lower = lower.iter().filter(|path| path.exists()).map(|path| path.display().to_string());
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.collect::<Vec<_>>().join(":"),
            upper.display(),
            work.display()
        );
        let mounted =
            mount(Some("overlay"), &place, Some("overlay"), MsFlags::empty(), Some(options.as_str()));
        mounted.unwrap_or_else(|error| panic!("laying a package over {}: {error}", place.display()));
    }
}

/// A program of the guest with its log; killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts it in a namespace, with a /sys of that which cannot be written: so does everything that goes by udev, which
    /// does not run, see that it does not.
    pub(crate) fn start(
        host: &Namespace,
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let name = program.rsplit('/').next().unwrap();
        let log = PathBuf::from(format!("/run/{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let own_sys = "mount -t sysfs -o ro sysfs /sys && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", own_sys, "sh", program]).args(arguments);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Self { child: host.spawn(&mut command).unwrap(), log }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// What it has said.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.log.display(), self.said());
        }
    }
}

/// The guest's system bus, where everyone may do everything.
pub(crate) fn bus(host: &Namespace) -> Running {
    fs::create_dir_all("/run/dbus").unwrap();
    let config = "/run/dbus/guest.conf";
    let text = format!(
        "<busconfig><listen>unix:path={BUS}</listen><policy context=\"default\">\
         <allow send_destination=\"*\" eavesdrop=\"true\"/><allow receive_type=\"signal\"/><allow eavesdrop=\"true\"/>\
         <allow own=\"*\"/><allow user=\"*\"/></policy></busconfig>"
    );
    fs::write(config, text).unwrap();
    let arguments = [&format!("--config-file={config}"), "--nofork", "--nopidfile"];
    let running = Running::start(host, "dbus-daemon", &arguments, &[]);
    until("the bus to be there", PATIENCE, || {
        let there = UnixStream::connect(BUS);
        Ok(there.map_or_else(|error| Look::No(error.to_string()), |_| Look::Yes(())))
    })
    .unwrap();
    running
}

/// Waits until a command prints something that is as wished.
pub(crate) fn wait_seen(host: &Namespace, command: &[&str], wished: impl Fn(&str) -> bool) {
    until(&format!("{command:?} to print something else"), MANAGER_PATIENCE, || {
        let shown = host.run(command).unwrap_or_else(|error| error.to_string());
        Ok(if wished(&shown) { Look::Yes(()) } else { Look::No(shown) })
    })
    .unwrap();
}

/// An interface's addresses.
pub(crate) fn addresses(host: &Namespace, name: &str) -> Vec<String> {
    let shown = host.ip(&format!("-json address show dev {name}")).unwrap();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let entries = shown[0]["addr_info"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["local"].as_str().unwrap().to_owned()).collect()
}

/// Has it an address of the home network?
pub(crate) fn has_address(host: &Namespace, name: &str) -> bool {
    addresses(host, name).iter().any(|address| address.starts_with("192.168.1."))
}

/// The bond, which is configured by [`crate::support::config`], has its own addresses and works; its ports have none.
/// Returns what else the bond has, which it has got from ports.
pub(crate) fn carries_alone(home: &Home) -> Vec<String> {
    for port in ["eth0", "wlan0"] {
        wait_for(&format!("{port} to have no address"), || {
            addresses(&home.laptop, port).is_empty().then_some(())
        });
    }
    let (mut others, own) = (addresses(&home.laptop, "bond0"), ["192.168.1.5", "fd00:1::5"]);
    assert!(own.iter().all(|address| others.iter().any(|there| there == address)), "{others:?}");
    others.retain(|address| !own.contains(&address.as_str()) && !address.starts_with("fe80:"));
    home.laptop.run(&["ping", "-c1", "-W5", "192.168.1.1"]).unwrap();
    others
}
