//! The resolver and what is on real machines: files that are mounted, openresolv, Debian's resolvconf, systemd-resolved.
//!
//! Everything happens in mount and network namespaces of the test's own; the programs are Debian's, fetched and unpacked
//! into the user's cache, and laid over /usr there. Nothing of the machine is changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::ffi::OsStr;
use std::fs;
use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use hitless::dbus::Bus;
use hitless::resolver::{Dns, Places, Resolver, ResolverError, Via};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::Uid;
use tokio::time::timeout;

/// Less than until it looks by itself.
const PATIENCE: Duration = Duration::from_secs(30);
const FILE: &str = "/etc/resolv.conf";
const STATE: &str = "/run/hitless-state";
const BUS: &str = "unix:path=/run/dbus/system_bus_socket";
const ORIGINAL: &str = "nameserver 198.51.100.9\noptions edns0\n";
const STUB: &str = "../run/systemd/resolve/stub-resolv.conf";

#[test]
fn a_file_that_is_mounted_is_written_in_place() {
    on_a_machine(&[], async {
        // As in a container.
        fs::write("/run/mounted", ORIGINAL).unwrap();
        bind("/run/mounted", FILE);
        let mut resolver = resolver();
        assert_eq!(resolver.set("bond0", 7, &dns("192.0.2.1")).await.unwrap(), Some(Via::File));
        let text = fs::read_to_string("/run/mounted").unwrap();
        assert!(text.contains("nameserver 192.0.2.1\nsearch home.example\noptions edns0\n"), "{text}");
        drop(resolver);
        self::resolver().clear("bond0", 7).await.unwrap();
        assert_eq!(fs::read_to_string("/run/mounted").unwrap(), ORIGINAL);
        assert_eq!(hidden(), 0);
    });
}

#[test]
fn a_directory_that_may_not_be_changed_needs_not_be() {
    on_a_machine(&[], async {
        // As systemd has it by `ProtectSystem=strict` with `ReadWritePaths=/etc/resolv.conf`.
        fs::write(FILE, ORIGINAL).unwrap();
        bind(FILE, FILE);
        read_only("/etc");
        let mut resolver = resolver();
        resolver.set("bond0", 7, &dns("192.0.2.1")).await.unwrap();
        assert!(fs::read_to_string(FILE).unwrap().contains("nameserver 192.0.2.1\n"));
        resolver.clear("bond0", 7).await.unwrap();
        assert_eq!(fs::read_to_string(FILE).unwrap(), ORIGINAL);
    });
}

#[test]
fn a_file_that_may_not_be_written_is_named_with_the_remedy() {
    on_a_machine(&[], async {
        fs::write(FILE, ORIGINAL).unwrap();
        read_only("/etc");
        let mut resolver = resolver();
        let error = resolver.set("bond0", 7, &dns("192.0.2.1")).await.unwrap_err();
        assert!(matches!(error, ResolverError::File { what: "write", .. }), "{error}");
        assert!(error.to_string().contains("ReadWritePaths="), "{error}");
        assert_eq!(fs::read_to_string(FILE).unwrap(), ORIGINAL);
        assert_eq!(resolver.via(), None);
        // It was never written, and nothing is to be taken back.
        resolver.clear("bond0", 7).await.unwrap();

        // It still is ours when it could not be written again.
        writable("/etc");
        resolver.set("bond0", 7, &dns("192.0.2.1")).await.unwrap();
        read_only("/etc");
        resolver.set("bond0", 7, &dns("192.0.2.2")).await.unwrap_err();
        resolver.set("bond0", 7, &dns("192.0.2.3")).await.unwrap_err();
        resolver.clear("bond0", 7).await.unwrap_err();
        writable("/etc");
        resolver.check().await;
        assert_eq!(fs::read_to_string(FILE).unwrap(), ORIGINAL);
        assert!(resolver.bonds().is_empty());
    });
}

#[test]
fn openresolv_writes_what_it_is_told() {
    on_a_machine(&["openresolv"], async {
        fs::write(FILE, ORIGINAL).unwrap();
        real_resolvconf().await;
    });
}

#[test]
fn resolvconf_of_debian_writes_what_it_is_told() {
    on_a_machine(&["resolvconf"], async {
        // As its package does on installation.
        replace_by_symlink("../run/resolvconf/resolv.conf");
        run("resolvconf", &["--enable-updates"]);
        real_resolvconf().await;
    });
}

async fn real_resolvconf() {
    let mut resolver = resolver();
    assert_eq!(resolver.set("bond0", 7, &dns("192.0.2.1")).await.unwrap(), Some(Via::Resolvconf));
    resolver.set("bond1", 8, &dns("fe80::1")).await.unwrap();
    let text = fs::read_to_string(FILE).unwrap();
    for line in ["nameserver 192.0.2.1\n", "nameserver fe80::1%bond1\n", "search home.example\n"] {
        assert!(text.contains(line), "{text}");
    }
    resolver.set("bond0", 7, &dns("192.0.2.2")).await.unwrap();
    let text = fs::read_to_string(FILE).unwrap();
    assert!(text.contains("nameserver 192.0.2.2\n") && !text.contains("192.0.2.1"), "{text}");
    resolver.clear("bond0", 7).await.unwrap();
    resolver.clear("bond1", 8).await.unwrap();
    // Once more: it has nothing of it.
    resolver.set("bond1", 8, &dns("fe80::1")).await.unwrap();
    run("resolvconf", &["-d", "bond1.hitless"]);
    resolver.clear("bond1", 8).await.unwrap();
    let text = fs::read_to_string(FILE).unwrap();
    assert!(!text.contains("nameserver 192.0.2.") && !text.contains("fe80::1"), "{text}");
}

#[test]
fn systemd_resolved_takes_over_is_told_again_and_forgets() {
    on_a_machine(&["systemd-resolved", "libsystemd-shared"], async {
        let index = interface();
        replace_by_symlink(STUB);
        let _bus = Running::bus();
        let mut resolver = resolver();
        // Its own `resolvconf` is there, and of no use without it.
        assert_eq!(resolver.set("bond0", index, &dns("192.0.2.1")).await.unwrap(), Some(Via::File));
        let daemon = Running::resolved();
        until_resolved(&mut resolver).await;
        assert_eq!(fs::read_link(FILE).unwrap(), Path::new(STUB));
        // Once: that was in the file, too, is forgotten.
        assert_eq!(known().matches("nameserver 192.0.2.1\n").count(), 1, "{}", known());
        assert!(known().contains("search home.example\n"), "{}", known());

        // It remembers across restarts, but not everything that can happen to it.
        drop(daemon);
        fs::remove_dir_all("/run/systemd/resolve").unwrap();
        let _daemon = Running::resolved();
        until_known(&mut resolver, "192.0.2.1").await;
        resolver.set("bond0", index, &dns("2001:db8::1")).await.unwrap();
        assert!(known().contains("nameserver 2001:db8::1\n"), "{}", known());
        assert!(!known().contains("192.0.2.1"), "{}", known());
        let error = resolver.set("bond1", 4242, &dns("192.0.2.3")).await.unwrap_err();
        assert!(matches!(error, ResolverError::Unknown { index: 4242, .. }), "{error}");
        resolver.clear("bond1", 4242).await.unwrap();
        resolver.clear("bond0", index).await.unwrap();
        assert!(!known().contains("2001:db8::1"), "{}", known());

        // To a daemon in another network, its interfaces are those of strangers.
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let mut stranger = Resolver::new(places("/run/another-state")).unwrap();
        assert_eq!(stranger.set("bond0", index, &dns("192.0.2.4")).await.unwrap(), Some(Via::File));
        assert!(!known().contains("192.0.2.4"), "{}", known());
    });
}

async fn until_resolved(resolver: &mut Resolver) {
    let search = async {
        while resolver.via() != Some(Via::Resolved) {
            resolver.changed().await;
            resolver.check().await;
        }
    };
    timeout(PATIENCE, search).await.expect("systemd-resolved is told");
}

async fn until_known(resolver: &mut Resolver, server: &str) {
    let search = async {
        while !known().contains(server) {
            resolver.changed().await;
            resolver.check().await;
        }
    };
    timeout(PATIENCE, search).await.expect("systemd-resolved is told again");
}

/// What systemd-resolved knows.
fn known() -> String {
    fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or_default()
}

fn dns(server: &str) -> Dns {
    Dns { servers: vec![server.parse().unwrap()], search: vec!["home.example".to_owned()] }
}

fn places(state: &str) -> Places {
    Places { bus: Bus::at(BUS), ..Places::system(state) }
}

fn resolver() -> Resolver {
    Resolver::new(places(STATE)).unwrap()
}

/// How many files of ours are left beside the file.
fn hidden() -> usize {
    let names = fs::read_dir("/etc").unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().contains("hitless")).count()
}

// ---- a machine of its own ----------------------------------------------------------------------------------------

/// Does some work on a thread that has mounts and a network of its own: with these packages, an /etc that may be changed,
/// and an empty /run.
fn on_a_machine(packages: &[&str], work: impl Future<Output = ()> + Send) {
    assert!(Uid::effective().is_root(), "namespaces need root: run it through sudo");
    let packages: Vec<_> = packages.iter().map(|package| fetched(package)).collect();
    let scratch = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
            mount_on("/", None, MsFlags::MS_PRIVATE | MsFlags::MS_REC, "");
            lay_over(&packages, scratch.path());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(work);
        });
        inside.join().unwrap_or_else(|panic| resume_unwind(panic));
    });
}

fn lay_over(packages: &[PathBuf], scratch: &Path) {
    mount_on(scratch, Some("tmpfs"), MsFlags::empty(), "");
    for (name, parts) in [("usr", &["usr"] as &[&str]), ("etc", &["etc"])] {
        let (upper, work) = (scratch.join(format!("{name}-upper")), scratch.join(format!("{name}-work")));
        fs::create_dir(&upper).unwrap();
        fs::create_dir(&work).unwrap();
        let theirs = packages.iter().flat_map(|package| parts.iter().map(move |part| package.join(part)));
        let mut lower: Vec<_> =
            theirs.filter(|path| path.exists()).map(|path| path.display().to_string()).collect();
        lower.push(format!("/{name}"));
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
        mount_on(Path::new("/").join(name), Some("overlay"), MsFlags::empty(), &options);
    }
    mount_on("/run", Some("tmpfs"), MsFlags::empty(), "");
    // It may be mounted already, in a container.
    let _ = nix::mount::umount2(FILE, nix::mount::MntFlags::MNT_DETACH);
    let _ = fs::remove_file(FILE);
}

fn mount_on(path: impl AsRef<Path>, kind: Option<&str>, flags: MsFlags, options: &str) {
    let path = path.as_ref();
    let done = mount(kind, path, kind, flags, Some(options));
    done.unwrap_or_else(|error| panic!("mounting {kind:?} on {}: {error}", path.display()));
}

fn bind(from: &str, to: &str) {
    if !Path::new(to).exists() {
        fs::write(to, "").unwrap();
    }
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
}

/// A directory, but not what is mounted in it.
fn read_only(path: &str) {
    mount_on(path, None, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY, "");
}

fn writable(path: &str) {
    mount_on(path, None, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, "");
}

fn replace_by_symlink(target: &str) {
    let _ = fs::remove_file(FILE);
    symlink(target, FILE).unwrap();
}

/// Makes bond0, and says its index.
fn interface() -> u32 {
    for arguments in
        ["link set lo up", "link add bond0 type veth peer name far", "link set far up", "link set bond0 up"]
    {
        run("ip", &arguments.split(' ').collect::<Vec<_>>());
    }
    nix::net::if_::if_nametoindex("bond0").unwrap()
}

fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(done.status.success(), "{program}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A package of Debian, unpacked; fetched when it is not there.
fn fetched(package: &str) -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let cache = home.expect("a HOME").join("hitless-lab/resolvers");
    let place = cache.join(package);
    if place.exists() {
        return place;
    }
    fs::create_dir_all(&cache).unwrap();
    let work = tempfile::tempdir_in(&cache).unwrap();
    let fetch = r#"cd "$1" && apt-get -qq -o APT::Sandbox::User=root download "$2" && dpkg-deb -x "$2"_*.deb made
        # Debian 12's packages are of the time before everything was below usr.
        mkdir -p made/usr && for part in sbin lib; do
            [ ! -e "made/$part" ] || { cp -a "made/$part" made/usr/ && rm -r "made/$part"; }
        done"#;
    let done = Command::new("sh")
        .args(["-euc", fetch, "fetch"])
        .args([work.path().as_os_str(), OsStr::new(package)])
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "cannot fetch the package {package} with apt-get (`apt-get update` may help): {}",
        String::from_utf8_lossy(&done.stderr)
    );
    // Whole or not at all, also when two do this at once.
    let _ = fs::rename(work.path().join("made"), &place);
    assert!(place.exists());
    place
}

/// A program that ends with this.
struct Running(Child);

impl Running {
    fn bus() -> Self {
        fs::create_dir_all("/run/dbus").unwrap();
        let config = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{BUS}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_type="signal"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"#
        );
        fs::write("/run/bus.conf", config).unwrap();
        let arguments = ["--config-file=/run/bus.conf", "--nofork", "--nopidfile", "--print-address"];
        let daemon = Command::new("dbus-daemon").args(arguments).stdout(Stdio::piped()).spawn();
        let mut daemon = Self(daemon.expect("dbus-daemon, from the package dbus-daemon"));
        // It prints its address as soon as it listens.
        let mut line = String::new();
        BufReader::new(daemon.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("system_bus_socket"), "dbus-daemon did not start");
        daemon
    }

    /// As its unit starts it, with the user that its package makes.
    fn resolved() -> Self {
        let users = fs::read_to_string("/etc/passwd").unwrap();
        if !users.contains("systemd-resolve:") {
            let user = "systemd-resolve:x:64053:64053::/:/usr/sbin/nologin\n";
            fs::write("/etc/passwd", format!("{users}{user}")).unwrap();
            let groups = fs::read_to_string("/etc/group").unwrap();
            fs::write("/etc/group", format!("{groups}systemd-resolve:x:64053:\n")).unwrap();
        }
        let libraries = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path().join("systemd"));
        let libraries: Vec<_> = libraries.map(|path| path.display().to_string()).collect();
        fs::create_dir_all("/run/systemd").unwrap();
        let daemon = Command::new("/usr/lib/systemd/systemd-resolved")
            .env("LD_LIBRARY_PATH", libraries.join(":"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", BUS)
            .env("SYSTEMD_LOG_TARGET", "console")
            .stdin(Stdio::null())
            .spawn();
        Self(daemon.expect("systemd-resolved"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
