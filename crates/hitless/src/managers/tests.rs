//! Managers that are told, and what is found of others, in directories of the test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt as _;
use tempfile::TempDir;
use zbus::message::Type;
use zbus::{Connection, MessageStream, OwnedObjectPath, OwnedVariant, Variant};

use hitless_core::mac::MacAddr;

use super::*;
use crate::dbus::testbus::TestBus;

const KEYFILE: &str = "/run/NetworkManager/conf.d/90-hitless.conf";
const NETWORK: &str = "/run/systemd/network/00-hitless-bond0.network";

/// A machine made of files, with a bus.
struct Machine {
    root: TempDir,
    bus: TestBus,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { root: tempfile::tempdir().unwrap(), bus: TestBus::start() };
        machine.process("thread-self", "net:[1]", "");
        machine.process("1", "net:[1]", "init");
        machine
    }

    fn places(&self) -> Places {
        Places { bus: self.bus.bus(), root: self.root.path().to_owned() }
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(self.places())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.places().at(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// A process in a network namespace.
    fn process(&self, pid: &str, network: &str, line: &str) {
        self.write(&format!("/proc/{pid}/cmdline"), &line.replace(' ', "\0"));
        self.write(&format!("/proc/{pid}/ns/mnt"), "");
        symlink(network, self.path(&format!("/proc/{pid}/ns/net"))).unwrap();
    }

    /// What is found, as it is printed, without the machine's root.
    fn findings(&self, bonds: &[Kept]) -> Vec<String> {
        let root = self.root.path().to_str().unwrap().to_owned();
        let found = findings(&self.places(), bonds);
        found.into_iter().map(|finding| finding.to_string().replace(&root, "")).collect()
    }
}

/// A manager that notes what it is asked, and what its file said then.
struct FakeManager {
    connection: Connection,
    heard: Arc<Mutex<Vec<String>>>,
    devices: Devices,
}

/// NetworkManager's: their names, and whether it manages them.
type Devices = Arc<Mutex<Vec<(String, bool)>>>;

impl FakeManager {
    async fn start(machine: &Machine, name: &str, file: &'static str, refuses: &'static str) -> Self {
        let connection = machine.bus.bus().connect().await.unwrap();
        let (heard, devices) = (Arc::new(Mutex::new(Vec::new())), Devices::default());
        let path = machine.path(file);
        tokio::spawn(serve(connection.clone(), heard.clone(), devices.clone(), path, refuses));
        connection.request_name(name).await.unwrap();
        Self { connection, heard, devices }
    }

    async fn network_manager(machine: &Machine) -> Self {
        Self::start(machine, "org.freedesktop.NetworkManager", KEYFILE, "").await
    }

    async fn networkd(machine: &Machine) -> Self {
        Self::start(machine, "org.freedesktop.network1", NETWORK, "").await
    }

    fn has(self, devices: &[(&str, bool)]) -> Self {
        *self.devices.lock().unwrap() =
            devices.iter().map(|(name, managed)| ((*name).to_owned(), *managed)).collect();
        self
    }

    fn managed(&self) -> Vec<String> {
        let devices = self.devices.lock().unwrap();
        devices.iter().filter(|(_, managed)| *managed).map(|(name, _)| name.clone()).collect()
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

/// Refuses the first call of the method `refuses`.
async fn serve(
    connection: Connection,
    heard: Arc<Mutex<Vec<String>>>,
    devices: Devices,
    file: PathBuf,
    mut refuses: &str,
) {
    let mut stream = MessageStream::from(&connection);
    while let Some(Ok(message)) = stream.next().await {
        if message.message_type() != Type::MethodCall {
            continue;
        }
        let header = message.header();
        let (path, member) = (header.path().unwrap(), header.member().unwrap());
        if member == refuses {
            refuses = "";
            connection.reply_error(&header, "org.example.Busy", &"not now").await.unwrap();
            continue;
        }
        let file = if file.exists() { "with its file" } else { "without" };
        let hear = |what: String| heard.lock().unwrap().push(format!("{what} {file}"));
        let number = || path.rsplit('/').next().unwrap().parse::<usize>().unwrap();
        match member.as_str() {
            "GetDevices" => {
                let paths = (0..devices.lock().unwrap().len()).map(object).collect::<Vec<_>>();
                connection.reply(&header, &paths).await.unwrap();
            }
            "Get" => {
                let (_, property): (String, String) = message.body().deserialize().unwrap();
                let (name, managed) = devices.lock().unwrap()[number()].clone();
                let value = if property == "Managed" { Variant::from(managed) } else { Variant::from(name) };
                connection.reply(&header, &value).await.unwrap();
            }
            "Set" => {
                let (_, property, value): (String, String, OwnedVariant) =
                    message.body().deserialize().unwrap();
                let managed = bool::try_from(value).unwrap();
                let name = {
                    let mut devices = devices.lock().unwrap();
                    devices[number()].1 = managed;
                    devices[number()].0.clone()
                };
                hear(format!("{name} {property}={managed}"));
                connection.reply(&header, &()).await.unwrap();
            }
            _ => {
                let flags: Option<u32> = message.body().deserialize().ok();
                let flags = flags.map(|flags| flags.to_string()).unwrap_or_default();
                hear(format!("{path} {member}({flags})"));
                connection.reply(&header, &()).await.unwrap();
            }
        }
    }
}

fn object(number: usize) -> OwnedObjectPath {
    OwnedObjectPath::try_from(format!("/org/freedesktop/NetworkManager/Devices/{number}")).unwrap()
}

fn bond(name: &str, interfaces: &[&str]) -> Kept {
    let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    Kept { bond: name.to_owned(), interfaces, external: false }
}

fn told(outcomes: Vec<Outcome>) -> [Told; 2] {
    let told: Vec<_> = outcomes.into_iter().map(|outcome| outcome.result.unwrap()).collect();
    told.try_into().unwrap()
}

#[tokio::test]
async fn managers_are_told_once_and_let_go_of() {
    let machine = Machine::new();
    let (manager, networkd) =
        (FakeManager::network_manager(&machine).await, FakeManager::networkd(&machine).await);
    let bonds = [bond("bond0", &["eth0", "wlan0", "enx*"])];
    let mut keeper = machine.keeper();
    assert_eq!(told(keeper.keep_off(&bonds).await), [Told::Now; 2]);
    let keyfile = machine.read(KEYFILE).unwrap();
    let list = "unmanaged-devices+=interface-name:eth0;interface-name:wlan0;interface-name:enx*;\
                interface-name:bond0-p;interface-name:bond0\n";
    assert!(keyfile.ends_with(&format!("\n[keyfile]\n{list}")), "{keyfile}");
    assert!(keyfile.starts_with("# hitless ") && keyfile.contains("`hitless down`"), "{keyfile}");
    let network = machine.read(NETWORK).unwrap();
    let text = "\n[Match]\nName=eth0 wlan0 enx* bond0-p bond0\n\n[Link]\nUnmanaged=yes\n";
    assert!(network.ends_with(text), "{network}");
    let mode = fs::metadata(machine.path(NETWORK)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o644, "systemd-networkd is not root");
    assert_eq!(manager.heard(), ["/org/freedesktop/NetworkManager Reload(1) with its file"]);
    assert_eq!(networkd.heard(), ["/org/freedesktop/network1 Reload() with its file"]);

    assert_eq!(told(keeper.keep_off(&bonds).await), [Told::Unchanged; 2]);
    assert_eq!(told(machine.keeper().keep_off(&bonds).await), [Told::Unchanged; 2], "the next daemon");
    assert_eq!((manager.heard(), networkd.heard()), (vec![], vec![]));

    assert_eq!(told(machine.keeper().keep_off(&[]).await), [Told::Now; 2]);
    assert_eq!(manager.heard(), ["/org/freedesktop/NetworkManager Reload(1) without"]);
    assert_eq!(networkd.heard(), ["/org/freedesktop/network1 Reload() without"]);
    for directory in [KEYFILE, NETWORK].map(|file| machine.path(file).parent().unwrap().to_owned()) {
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0, "nothing is left behind");
    }
}

const RELOADED: &str = "/org/freedesktop/NetworkManager Reload(1)";

#[tokio::test]
async fn network_manager_lets_go_of_what_it_manages_and_gets_that_again() {
    let machine = Machine::new();
    let all = [("lo", false), ("eth0", true), ("wlan0", false), ("enx2", true), ("eth1", true)];
    let manager = FakeManager::network_manager(&machine).await.has(&all);
    let bonds = [bond("bond0", &["eth0", "wlan0", "enx*", "dock0"])];
    assert_eq!(told(machine.keeper().prepare(&bonds).await)[0], Told::Now);
    let file = "with its file";
    let let_go = [
        format!("eth0 Managed=false {file}"),
        format!("enx2 Managed=false {file}"),
        format!("{RELOADED} {file}"),
    ];
    assert_eq!(manager.heard(), let_go);
    let keyfile = machine.read(KEYFILE).unwrap();
    assert!(keyfile.contains("\n# Managed until now: enx2 eth0\n[keyfile]\n"), "{keyfile}");
    assert_eq!(told(machine.keeper().keep_off(&bonds).await)[0], Told::Unchanged);

    let more = [bonds[0].clone(), Kept { external: true, ..bond("bond1", &["eth1"]) }];
    assert_eq!(told(machine.keeper().prepare(&more).await)[0], Told::Now);
    assert_eq!(manager.managed(), ["eth1"], "it is cleared by the file, and the bond gets nothing of it");
    manager.heard();

    let fewer = [bond("bond0", &["eth0", "wlan0"])];
    assert_eq!(told(machine.keeper().keep_off(&fewer).await)[0], Told::Now, "the next daemon");
    assert_eq!(manager.managed(), ["enx2", "eth1"]);
    let again = [
        format!("eth0 Managed=false {file}"),
        format!("{RELOADED} {file}"),
        format!("enx2 Managed=true {file}"),
    ];
    assert_eq!(manager.heard(), again);
    assert_eq!(told(machine.keeper().keep_off(&[]).await)[0], Told::Now);
    assert_eq!(manager.managed(), ["eth0", "enx2", "eth1"], "wlan0 was not managed before");
    assert_eq!(manager.heard(), [format!("{RELOADED} without"), "eth0 Managed=true without".to_owned()]);
}

#[tokio::test]
async fn what_network_manager_refuses_of_devices_keeps_nothing_else() {
    for (refuses, error) in [("GetDevices", "does not tell"), ("Set", "device set eth0 managed no")] {
        let machine = Machine::new();
        let manager = FakeManager::start(&machine, "org.freedesktop.NetworkManager", KEYFILE, refuses).await;
        let manager = manager.has(&[("eth0", true)]);
        let outcome = machine.keeper().keep_off(&[bond("bond0", &["eth0"])]).await.remove(0);
        let said = outcome.result.unwrap_err().to_string();
        assert!(said.contains(error) && said.contains("not now"), "{said}");
        assert_eq!(manager.heard(), [format!("{RELOADED} with its file")]);
    }
}

#[tokio::test]
async fn network_manager_is_told_to_manage_again_when_it_can_be() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("/etc/NetworkManager")).unwrap();
    let manager = FakeManager::network_manager(&machine).await.has(&[("eth0", true)]);
    let bonds = [bond("bond0", &["eth0"])];
    drop(machine.keeper().keep_off(&bonds).await);
    manager.connection.release_name("org.freedesktop.NetworkManager").await.unwrap();
    assert_eq!(told(machine.keeper().keep_off(&[]).await)[0], Told::WhenItStarts);
    assert_eq!((machine.read(KEYFILE), manager.managed()), (None, vec![]));
    manager.connection.request_name("org.freedesktop.NetworkManager").await.unwrap();
    assert_eq!(told(machine.keeper().keep_off(&[]).await)[0], Told::Now);
    assert_eq!(manager.managed(), ["eth0"]);
    assert_eq!(told(machine.keeper().keep_off(&[]).await)[0], Told::Unchanged);
}

#[tokio::test]
async fn networkd_hears_of_ports_when_they_have_been_taken() {
    let machine = Machine::new();
    let networkd = FakeManager::networkd(&machine).await;
    let names = || {
        let text = machine.read(NETWORK).unwrap();
        text.lines().find(|line| line.starts_with("Name=")).unwrap().to_owned()
    };
    let bonds = [bond("bond0", &["eth0"])];
    let mut keeper = machine.keeper();
    assert_eq!(told(keeper.prepare(&bonds).await)[1], Told::Now);
    assert_eq!(names(), "Name=bond0-p bond0");
    assert_eq!(told(keeper.keep_off(&bonds).await)[1], Told::Now);
    assert_eq!(names(), "Name=eth0 bond0-p bond0");
    assert_eq!(told(keeper.prepare(&[bond("bond0", &["eth0", "eth1"])]).await)[1], Told::Unchanged);
    assert_eq!(networkd.heard().len(), 2);
    // One that does not run takes nothing from anybody.
    networkd.connection.release_name("org.freedesktop.network1").await.unwrap();
    fs::create_dir_all(machine.path("/run/systemd/system")).unwrap();
    assert_eq!(told(keeper.prepare(&[bond("bond0", &["eth0", "eth1"])]).await)[1], Told::WhenItStarts);
    assert_eq!(names(), "Name=eth0 eth1 bond0-p bond0");
}

#[tokio::test]
async fn a_bond_that_is_managed_elsewhere_stays_there() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("/run/NetworkManager")).unwrap();
    let bonds = [Kept { external: true, ..bond("bond0", &["eth0"]) }];
    assert_eq!(told(machine.keeper().keep_off(&bonds).await), [Told::WhenItStarts, Told::NotThere]);
    let keyfile = machine.read(KEYFILE).unwrap();
    assert!(keyfile.ends_with("=interface-name:eth0;interface-name:bond0-p\n"), "{keyfile}");
}

#[tokio::test]
async fn files_of_bonds_that_are_gone_go_and_others_stay() {
    let machine = Machine::new();
    let networkd = FakeManager::networkd(&machine).await;
    machine.write("/run/systemd/network/10-netplan-eth0.network", "");
    let mut keeper = machine.keeper();
    drop(keeper.keep_off(&[bond("bond0", &["eth0"]), bond("bond1", &["eth1"])]).await);
    assert_eq!(told(keeper.keep_off(&[bond("bond1", &["eth1"])]).await), [Told::NotThere, Told::Now]);
    assert_eq!(networkd.heard().len(), 2);
    let directory = machine.path("/run/systemd/network");
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["00-hitless-bond1.network", "10-netplan-eth0.network"]);
}

#[tokio::test]
async fn what_is_refused_is_said_and_tried_again() {
    let machine = Machine::new();
    let networkd = FakeManager::start(&machine, "org.freedesktop.network1", NETWORK, "Reload").await;
    let bonds = [bond("bond0", &["eth0"])];
    let mut keeper = machine.keeper();
    let outcome = keeper.keep_off(&bonds).await.pop().unwrap();
    let error = outcome.result.unwrap_err().to_string();
    assert!(error.contains("not now") && error.contains("networkctl reload"), "{error}");
    assert_eq!(told(machine.keeper().keep_off(&bonds).await), [Told::NotThere, Told::Now], "the next daemon");
    assert_eq!(networkd.heard().len(), 1);
    assert_eq!(told(keeper.keep_off(&bonds).await), [Told::NotThere, Told::Unchanged]);
    networkd.connection.release_name("org.freedesktop.network1").await.unwrap();
    assert_eq!(told(keeper.keep_off(&[]).await), [Told::NotThere; 2]);
    assert_eq!(machine.read(NETWORK), None, "also without anybody to tell");
}

#[tokio::test]
async fn managers_of_other_namespaces_are_told_nothing() {
    let machine = Machine::new();
    machine.process(&std::process::id().to_string(), "net:[2]", "fake");
    let networkd = FakeManager::networkd(&machine).await;
    let bonds = [bond("bond0", &["eth0"])];
    assert_eq!(told(machine.keeper().keep_off(&bonds).await), [Told::NotThere; 2]);
    assert_eq!((networkd.heard(), machine.read(NETWORK)), (vec![], None));
    machine.write(NETWORK, "another daemon's");
    assert_eq!(told(machine.keeper().keep_off(&[]).await), [Told::NotThere; 2]);
    assert!(machine.read(NETWORK).is_some(), "it is for the manager of that namespace");
}

#[tokio::test]
async fn a_machine_without_any_has_no_files_either() {
    let mut machine = Machine::new();
    machine.bus.end();
    let bonds = [bond("bond0", &["eth0"])];
    assert_eq!(told(machine.keeper().keep_off(&bonds).await), [Told::NotThere; 2]);
    assert!(!machine.path("/run").exists());
}

#[test]
fn what_others_do_to_ports_is_found_and_named() {
    let machine = Machine::new();
    machine
        .write("/etc/network/interfaces", "auto lo eth0\nsource interfaces.d/*\nsource-directory more.d\n");
    machine.write("/etc/network/interfaces.d/wired", "iface eth0 inet dhcp\niface eth1 inet dhcp\n");
    machine.write("/etc/network/more.d/wifi", "iface wlan0 inet manual\niface wlan0 inet6 auto\n");
    machine.write("/etc/network/more.d/wifi.bak", "iface wlan0 inet static\n");
    machine.write("/etc/netplan/50-cloud-init.yaml", "network:\n  ethernets:\n    eth0: {dhcp4: true}\n");
    machine.write("/etc/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices=interface-name:eth*\n");
    machine.write("/etc/systemd/network/00-all.network", "[Match]\nName=wl*\n[Network]\nDHCP=yes\n");
    machine.write("/etc/systemd/network/10-all.network", "[Match]\nName=*\n[Network]\nDHCP=yes\n");
    machine.write("/sys/class/net/eth0/ifindex", "3\n");
    let state = "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/10-all.network\n";
    machine.write("/run/systemd/netif/links/3", state);
    machine.process("70", "net:[1]", "/sbin/dhclient -4 eth0");
    machine.process("71", "net:[2]", "/sbin/dhclient -4 wlan0");
    machine.process("72", "net:[1]", "dhcpcd: [manager] [ip4]");
    machine.write("/etc/dhcpcd.conf", "denyinterfaces eth0 bond0-p\n");
    let found = machine.findings(&[bond("bond0", &["eth0", "wlan0"])]);
    let expected = [
        "eth0: the DHCP client dhclient (process 70) runs on it; end it: `dhclient -x eth0`, or `kill 70`",
        "eth0: ifupdown configures it by `iface eth0 inet dhcp` in /etc/network/interfaces.d/wired, at boot \
         (`auto eth0`); run `ifdown eth0`, then comment the stanza out, or write `iface eth0 inet manual`",
        "eth0: /etc/netplan/50-cloud-init.yaml has netplan configure it; remove `eth0:` from that file, and run \
         `netplan apply`",
        "eth0: systemd-networkd manages it, by /etc/systemd/network/10-all.network; it lets go of it while hitless \
         runs; if it has not, `networkctl reload` (before systemd 244: `systemctl restart systemd-networkd`)",
        "wlan0: /etc/NetworkManager/conf.d/x.conf sets `unmanaged-devices=`, which makes NetworkManager forget ours; \
         write `unmanaged-devices+=` there, which adds to the list",
        "wlan0: dhcpcd manages it; add `denyinterfaces wlan0` to /etc/dhcpcd.conf, before its first `interface` line \
         (`hitless verify --fix` does), and restart dhcpcd",
        "wlan0: ifupdown configures it by `iface wlan0 inet6 auto` in /etc/network/more.d/wifi; run `ifdown wlan0`, \
         then comment the stanza out, or write `iface wlan0 inet6 manual`",
        "wlan0: /etc/systemd/network/00-all.network sorts before ours, and systemd-networkd goes by it; rename it so \
         that it begins with a higher number, or exclude the port in its `[Match]`",
    ];
    assert_eq!(found, expected);
}

#[test]
fn networkds_lease_tells_who_it_is_to_servers() {
    let machine = Machine::new();
    assert_eq!(client_id(&machine.places(), "eth0", 3, MacAddr([2, 0, 0, 0, 0, 1])), None);
    machine.write("/run/systemd/netif/leases/3", "ADDRESS=192.0.2.5\nCLIENTID=ff00a0010200030001\n");
    assert_eq!(
        client_id(&machine.places(), "eth0", 3, MacAddr([2, 0, 0, 0, 0, 1])),
        Some(vec![0xff, 0, 0xa0, 1, 2, 0, 3, 0, 1])
    );
    for other in ["ff0x", "01020000000001"] {
        machine.write("/run/systemd/netif/leases/3", &format!("CLIENTID={other}\n"));
        assert_eq!(client_id(&machine.places(), "eth0", 3, MacAddr([2, 0, 0, 0, 0, 1])), None);
    }
}

#[test]
fn who_a_dhcpv6_client_is_to_servers() {
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    let asked = |machine: &Machine| client_id6(&machine.places(), "eth0", 3, MAC);
    let id = |iaid: &[u8], duid: &[u8]| Some([&[0xff], iaid, duid].concat());
    let machine = Machine::new();
    assert_eq!(asked(&machine), None);
    let networkd = |duid: &str| {
        let state = format!("ADMIN_STATE=configured\nDHCP6_CLIENT_IAID=0xa01\nDHCP6_CLIENT_DUID={duid}\n");
        machine.write("/run/systemd/netif/links/3", &state);
        asked(&machine)
    };
    let vendor = id(&[0, 0, 10, 1], &[0, 2, 0, 0, 0xab, 0x11, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(networkd("DUID-EN/Vendor:0000ab110102030405060708"), vendor);
    assert_eq!(networkd("DUID-EN/Vendor:0000ab1101020304050607080000"), vendor, "as older versions tell it");
    assert_eq!(networkd("DUID-LL:0001020000000001"), id(&[0, 0, 10, 1], &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]));
    for other in ["DUID-EN/Vendor:000000090102030405060708", "DUID-LL:0001", "9:0102", "UUID", "UUID:x"] {
        assert_eq!(networkd(other), None, "{other}");
    }

    let machine = Machine::new();
    machine.process("70", "net:[1]", "/sbin/dhclient -6 -lf /l6 eth0");
    machine.process("71", "net:[1]", "/sbin/dhclient -4 -i -lf /l4 eth0");
    machine.write("/proc/70/root/l6", "default-duid \"\\000\\003ab\";\n");
    machine.write("/proc/71/root/l4", "default-duid \"\\000\\003cd\";\n");
    assert_eq!(asked(&machine), id(&[0, 0, 0, 1], b"\x00\x03ab"));
    assert_eq!(client_id(&machine.places(), "eth0", 3, MAC), id(&[0, 0, 0, 1], b"\x00\x03cd"));

    let machine = Machine::new();
    machine.process("72", "net:[1]", "dhcpcd: [manager] [ip4] [ip6]");
    machine.write("/proc/72/root/etc/dhcpcd.conf", "clientid\n");
    machine.write("/proc/72/root/var/lib/dhcpcd/duid", "00:03:00:01:02\n");
    assert_eq!(asked(&machine), id(&[0, 0, 0, 1], &[0, 3, 0, 1, 2]));
    assert_eq!(
        client_id(&machine.places(), "eth0", 3, MAC),
        None,
        "to DHCPv4 servers it is its hardware address"
    );
    machine.write("/proc/72/root/etc/dhcpcd.conf", "duid\ninterface eth0\n ia_na 1\n");
    assert_eq!(asked(&machine), None, "it is told another number");
}

#[test]
fn dhcpcd_is_fixed_when_asked_for_and_once() {
    let machine = Machine::new();
    let places = machine.places();
    machine.write("/etc/real.conf", "hostname\ninterface eth0\nstatic x\n");
    let real = machine.path("/etc/real.conf");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.conf", machine.path("/etc/dhcpcd.conf")).unwrap();
    let owner =
        |path: &Path| fs::metadata(path).map(|found| (found.uid(), found.gid(), found.mode())).unwrap();
    let before = owner(&real);
    let bonds = [bond("bond0", &["eth0"])];
    let line = "denyinterfaces eth0 bond0-p";
    assert_eq!(fix(&places, &bonds).unwrap(), None, "it does not run");
    machine.process("72", "net:[1]", "dhcpcd: [manager] [ip4]");
    let expected = Fixed { file: machine.path("/etc/dhcpcd.conf"), line: line.to_owned() };
    assert_eq!(fix(&places, &bonds).unwrap(), Some(expected));
    let fixed = format!("hostname\n{line}\ninterface eth0\nstatic x\n");
    assert_eq!(machine.read("/etc/real.conf"), Some(fixed.clone()));
    assert_eq!(fix(&places, &bonds).unwrap(), None, "once is enough");
    assert_eq!((machine.read("/etc/dhcpcd.conf"), owner(&real)), (Some(fixed), before));
    assert!(machine.path("/etc/dhcpcd.conf").is_symlink(), "the user's link stays");
    assert_eq!(fs::read_dir(machine.path("/etc")).unwrap().count(), 2);
}
