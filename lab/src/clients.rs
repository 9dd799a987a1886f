//! The DHCP clients that others have, as they run on a machine of Debian's: on one interface, in a namespace.

use std::fs;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::{IoContext as _, LabError, Result};
use crate::netns::{Namespace, require};
use crate::packages::Package;
use crate::process::{Place, Process};

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// dhcpcd, with Debian's configuration, and without the hooks that would change the machine.
    Dhcpcd,
    /// The same for IPv6 alone.
    Dhcpcd6,
    /// dhcpcd for every interface that its configuration allows, as its service starts it.
    DhcpcdManager,
    /// That of busybox, with Debian's script.
    Udhcpc,
    /// ISC's, as ifupdown starts it, with Debian's script. It is fetched where it is not there.
    Dhclient,
}

impl Program {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dhcpcd | Self::Dhcpcd6 | Self::DhcpcdManager => "dhcpcd",
            Self::Udhcpc => "udhcpc",
            Self::Dhclient => "dhclient",
        }
    }
}

/// A running client; killed when dropped.
#[derive(Debug)]
pub struct Client<'a> {
    host: &'a Namespace,
    interface: String,
    program: Program,
    options: String,
    place: Place,
    process: Process,
}

impl<'a> Client<'a> {
    /// Starts it. `options` are further lines of its configuration, or arguments of udhcpc.
    ///
    /// # Errors
    ///
    /// When it is not there, and cannot be fetched.
    pub fn start(host: &'a Namespace, program: Program, interface: &str, options: &str) -> Result<Self> {
        let place = Place::new()?;
        let process = start(host, program, interface, options, &place)?;
        let [interface, options] = [interface, options].map(str::to_owned);
        Ok(Self { host, interface, program, options, place, process })
    }

    /// Kills it, so that nothing is undone, and starts it again with what it has kept.
    ///
    /// # Errors
    ///
    /// As [`Client::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process.end(Signal::SIGKILL)?;
        self.process = start(self.host, self.program, &self.interface, &self.options, &self.place)?;
        Ok(())
    }

    /// Has it end by itself, as whoever restarts its service does, and starts it again with what it has kept and these
    /// further lines of its configuration (arguments of udhcpc) in place of the others.
    ///
    /// # Errors
    ///
    /// As [`Client::start`].
    pub fn reconfigure(&mut self, options: &str) -> Result<()> {
        self.process.end(Signal::SIGTERM)?;
        options.clone_into(&mut self.options);
        self.process = start(self.host, self.program, &self.interface, &self.options, &self.place)?;
        Ok(())
    }

    /// Has it ask for its lease again now.
    ///
    /// # Errors
    ///
    /// When it has ended, or cannot be asked (dhclient).
    pub fn renew(&self) -> Result<()> {
        let signal = match self.program {
            Program::Dhcpcd | Program::Dhcpcd6 | Program::DhcpcdManager => Signal::SIGHUP,
            Program::Udhcpc => Signal::SIGUSR1,
            Program::Dhclient => return Err(LabError::Broken("dhclient renews by itself only".to_owned())),
        };
        let pid = i32::try_from(self.process.pid());
        let pid = pid.map_err(|_| LabError::Broken("an impossible process id".to_owned()))?;
        kill(Pid::from_raw(pid), signal).context(|| format!("sending {signal} to {}", self.program.name()))
    }

    /// How often it has said that it was lent an address, or may keep it.
    pub fn leases(&self) -> usize {
        let word = match self.program {
            Program::Dhcpcd | Program::DhcpcdManager => ": leased ",
            Program::Dhcpcd6 => ": adding address ",
            Program::Udhcpc => ": lease of ",
            Program::Dhclient => "bound to ",
        };
        self.log().matches(word).count()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        self.place.said()
    }
}

/// With what it keeps in the place; with mounts and a host name of its own, which its script may set.
fn start(
    host: &Namespace,
    program: Program,
    interface: &str,
    options: &str,
    place: &Place,
) -> Result<Process> {
    require(program.name())?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "--uts"]);
    match program {
        Program::Dhcpcd | Program::Dhcpcd6 | Program::DhcpcdManager => {
            let given = "/etc/dhcpcd.conf";
            let given = fs::read_to_string(given).context(|| format!("reading {given}"))?;
            configure(place, &format!("{given}\nscript /bin/true\n{options}\n"))?;
            let own = "mount --bind \"$0\" /var/lib/dhcpcd && mkdir -p /run/dhcpcd && mount -t tmpfs tmpfs /run/dhcpcd && exec dhcpcd -B -f \"$@\"";
            command.args(["sh", "-c", own]).arg(place.kept()?).arg(place.config());
            // There is no udev in a namespace, which it would wait for.
            command.arg(if program == Program::Dhcpcd6 { "-6" } else { "-4" });
            command.arg(if program == Program::DhcpcdManager { "--nodev" } else { interface });
        }
        Program::Udhcpc => {
            command.args(["udhcpc", "-f", "-i", interface]).args(options.split_whitespace());
        }
        Program::Dhclient => {
            let package = Package::fetched("isc-dhcp-client")?;
            configure(place, options)?;
            command.arg(package.file("usr/sbin/dhclient")).args(["-4", "-v", "-i", "-d"]);
            command.arg("-cf").arg(place.config()).arg("-lf").arg(place.kept()?.join("leases"));
            command.arg("-pf").arg(place.kept()?.join("pid"));
            command.arg("-sf").arg(package.file("usr/sbin/dhclient-script")).arg(interface);
        }
    }
    Process::start_apart(host, &mut command, place)
}

fn configure(place: &Place, text: &str) -> Result<()> {
    fs::write(place.config(), text).context(|| "writing the client's configuration".to_owned())
}
