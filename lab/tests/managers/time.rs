//! What keeps the time gets the time servers of a lease, and loses them with it: the real chronyd and systemd-timesyncd. So
//! does a host without a name get that of its network.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::process::Command;
use std::time::Duration;

use hitless_lab::dhcp::Dnsmasq;
use hitless_lab::{Daemon, Home};
use nix::sys::signal::Signal;

use crate::machine::{Running, bus, in_guest_with, wait_seen};
use crate::support::*;

const LIMIT: Duration = Duration::from_secs(600);

#[test]
fn guest_chrony_has_the_time_servers_of_a_lease() {
    in_guest_with("chrony", "time::guest_chrony_has_the_time_servers_of_a_lease", LIMIT, || {
        let home = home();
        let server = lends(&home);
        nix::unistd::sethostname("localhost").unwrap();
        // Its commands are for root and itself.
        DirBuilder::new().mode(0o700).create("/run/chrony").unwrap();
        // Debian's configuration, without its servers, and with no clock to set.
        let text = fs::read_to_string("/usr/share/chrony/chrony.conf").unwrap();
        let text: String =
            text.lines().filter(|line| !line.starts_with("pool")).map(|line| format!("{line}\n")).collect();
        fs::write("/run/chrony.conf", text).unwrap();
        let arguments = ["-d", "-x", "-u", "root", "-f", "/run/chrony.conf"];
        let chronyd = Running::start(&home.laptop, "/usr/sbin/chronyd", &arguments, &[]);
        let sources = ["chronyc", "-n", "sources"];
        wait_seen(&home.laptop, &sources, |shown| shown.contains("MS Name"));

        let daemon = bond(&home);
        wait_seen(&home.laptop, &sources, |shown| shown.contains("192.168.1.1"));
        let called = Command::new("nsenter")
            .args(["--uts", "-t", &daemon.pid().unwrap().to_string(), "hostname"])
            .output();
        assert_eq!(String::from_utf8_lossy(&called.unwrap().stdout).trim(), "box", "{}", server.log());
        daemon.ask(&["down"]).unwrap();
        wait_seen(&home.laptop, &sources, |shown| {
            shown.contains("MS Name") && !shown.contains("192.168.1.1")
        });
        // One that comes later reads them, too.
        drop(chronyd);
        daemon.ask(&["reload"]).unwrap();
        wait_for("bond0 to have its address", || {
            daemon.bond("bond0").ok()?["dhcp"]["ntp"][0].is_string().then_some(())
        });
        let _chronyd = Running::start(&home.laptop, "/usr/sbin/chronyd", &arguments, &[]);
        wait_seen(&home.laptop, &sources, |shown| shown.contains("192.168.1.1"));
    });
}

#[test]
fn guest_timesyncd_has_the_time_servers_of_a_lease() {
    in_guest_with(
        "systemd-timesyncd",
        "time::guest_timesyncd_has_the_time_servers_of_a_lease",
        LIMIT,
        || {
            let home = home();
            let _server = lends(&home);
            let _bus = bus(&home.laptop);
            let user = "systemd-timesync";
            let passwd = fs::read_to_string("/etc/passwd").unwrap();
            if !passwd.contains(user) {
                fs::write("/etc/passwd", format!("{passwd}{user}:x:64055:64055::/:/usr/sbin/nologin\n"))
                    .unwrap();
            }
            let start = || {
                let environment = [("SYSTEMD_LOG_TARGET", "console")];
                Running::start(&home.laptop, "/usr/lib/systemd/systemd-timesyncd", &[], &environment)
            };
            let timesyncd = start();
            let daemon = bond(&home);
            let name = "org.freedesktop.timesync1";
            let servers = [
                "busctl",
                "get-property",
                name,
                "/org/freedesktop/timesync1",
                &format!("{name}.Manager"),
                "RuntimeNTPServers",
            ];
            let has = |shown: &str| shown.trim() == "as 1 \"192.168.1.1\"";
            wait_seen(&home.laptop, &servers, has);
            // It forgets.
            drop(timesyncd);
            let timesyncd = start();
            wait_seen(&home.laptop, &servers, has);
            // Nobody waits for one that hangs; it hears of it later.
            timesyncd.signal(Signal::SIGSTOP);
            daemon.ask(&["down"]).unwrap();
            assert!(daemon.log().contains("has not been told yet"), "{}", daemon.log());
            timesyncd.signal(Signal::SIGCONT);
            wait_seen(&home.laptop, &servers, |shown| shown.trim() == "as 0");
        },
    );
}

/// A server that tells of itself as one for the time, and calls its clients "box".
fn lends(home: &Home) -> Dnsmasq {
    let called = format!("--dhcp-host={},box", mac(&home.laptop, "eth0"));
    let options =
        ["--dhcp-range=192.168.1.50,192.168.1.90,1h", "--dhcp-option=option:ntp-server,192.168.1.1", &called];
    Dnsmasq::start(&home.router, "lan0", &options).unwrap()
}

fn bond(home: &Home) -> Daemon<'_> {
    let text =
        "[bond.bond0]\ndriver = \"ebpf\"\nports = [\"eth0\", \"wlan0\"]\n[bond.bond0.ip]\ndhcp4 = true\n";
    daemon(home, text, &[("bond0", "eth0")])
}
