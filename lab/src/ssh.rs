//! An SSH server in a namespace of the laboratory, and sessions on it.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::error::{IoContext as _, LabError, Result};
use crate::netns::{Namespace, start_error};
use crate::packages::Package;
use crate::process::{Place, Process};
use crate::running::Running;

/// What sshd wants of the machine it runs on. It sees an /etc and a /run of its own, where all of this is done.
const PREPARE: &str = r#"grep -q ^sshd: /etc/passwd || echo sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin >>/etc/passwd
sed -i 's/^root:[!][^:]*:/root:*:/' /etc/shadow
mkdir -p /run/sshd
exec "$0" "$@""#;

/// A running sshd; ends when it is dropped.
#[derive(Debug)]
pub struct Sshd {
    _process: Process,
    place: Place,
}

impl Sshd {
    /// Starts OpenSSH's server, which lets root in by a key of its own, and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it cannot be fetched or started, or ssh-keygen is missing.
    pub fn start(host: &Namespace) -> Result<Self> {
        let package = Package::fetched("openssh-server")?;
        let place = Place::new()?;
        for key in ["host", "user"] {
            generate(&place.kept()?.join(key))?;
        }
        let kept = place.kept()?.display().to_string();
        let config = format!(
            "HostKey {kept}/host\nAuthorizedKeysFile {kept}/user.pub\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nPrintMotd no\n"
        );
        fs::write(place.config(), config).context(|| "writing sshd's configuration".to_owned())?;
        let mut command = Command::new("sh");
        command.args(["-euc", PREPARE]).arg(package.file("usr/sbin/sshd")).args(["-D", "-e", "-f"]);
        command.arg(place.config()).env("LD_LIBRARY_PATH", package.libraries());
        let mut process = Process::start_apart(host, &mut command, &place)?;
        process.wait_ready(&place.log(), || place.said().contains("Server listening on"))?;
        Ok(Self { _process: process, place })
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.place.said()
    }

    /// A session from another host, that runs a command there. With a terminal, what it is asked to type is nothing.
    ///
    /// # Errors
    ///
    /// When ssh is missing.
    pub fn session(&self, from: &Namespace, to: IpAddr, command: &[String]) -> Result<Running> {
        let mut ssh = Command::new("ssh");
        ssh.arg("-i").arg(self.key()?).args(["-F", "none", "-o", "StrictHostKeyChecking=no"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "BatchMode=yes"]);
        ssh.arg(format!("root@{to}")).args(command);
        Running::start(from, &mut ssh)
    }

    fn key(&self) -> Result<PathBuf> {
        Ok(self.place.kept()?.join("user"))
    }
}

fn generate(key: &std::path::Path) -> Result<()> {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key);
    let done = command.output().map_err(|error| start_error(&command, error))?;
    if done.status.success() {
        return Ok(());
    }
    Err(LabError::Broken(format!("ssh-keygen: {}", String::from_utf8_lossy(&done.stderr))))
}
