//! A bus of a test's own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test support")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Bus;

/// A `dbus-daemon` that lets anyone do anything. It ends with this.
pub(crate) struct TestBus {
    daemon: Option<Child>,
    directory: TempDir,
}

impl TestBus {
    pub(crate) fn start() -> Self {
        let mut bus = Self { daemon: None, directory: tempfile::tempdir().expect("a directory") };
        bus.restart();
        bus
    }

    pub(crate) fn bus(&self) -> Bus {
        Bus::at(format!("unix:path={}", self.socket()))
    }

    fn socket(&self) -> String {
        self.directory.path().join("socket").to_str().expect("UTF-8").to_owned()
    }

    /// Ends it, and starts another one at the same address.
    pub(crate) fn restart(&mut self) {
        self.end();
        let config = self.directory.path().join("bus.conf");
        fs::write(&config, self.config()).expect("a configuration");
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon, from the package dbus (Debian: dbus-daemon)");
        // It prints its address as soon as it listens.
        let mut line = String::new();
        BufReader::new(daemon.stdout.as_mut().expect("piped")).read_line(&mut line).expect("its address");
        self.daemon = Some(daemon);
        assert!(line.contains(&self.socket()), "dbus-daemon did not start");
    }

    pub(crate) fn end(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("ours to kill");
            daemon.wait().expect("ours to wait for");
            let _ = fs::remove_file(self.socket());
        }
    }

    fn config(&self) -> String {
        format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_type="signal"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"#,
            self.socket()
        )
    }
}

impl Drop for TestBus {
    fn drop(&mut self) {
        self.end();
    }
}
