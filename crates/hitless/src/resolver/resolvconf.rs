//! The program `resolvconf`: openresolv, or Debian's package of that name. Both take lines of resolv.conf for a record
//! named by interface and author.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Dns, ResolverError, text};

/// It may restart a name server of this machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of what it says, so much is of interest.
const SAID: u64 = 2000;

/// Looks for it in these directories. systemd-resolved has a program of this name, too, which is only of use while that
/// runs.
pub(super) fn find(directories: &[PathBuf]) -> Option<PathBuf> {
    directories.iter().map(|directory| directory.join("resolvconf")).find(|program| is_real(program))
}

fn is_real(program: &Path) -> bool {
    let Ok(target) = fs::canonicalize(program) else { return false };
    let is_program =
        fs::metadata(&target).is_ok_and(|entry| entry.is_file() && entry.permissions().mode() & 0o111 != 0);
    is_program && !["resolvectl", "systemd-resolve"].iter().any(|name| target.ends_with(name))
}

/// Tells it what a bond has.
pub(super) async fn add(program: &Path, bond: &str, dns: &Dns) -> Result<(), ResolverError> {
    run(program, "-a", bond, &text::lines(bond, dns)).await
}

/// Tells it that a bond has nothing any more.
pub(super) async fn remove(program: &Path, bond: &str) -> Result<(), ResolverError> {
    match run(program, "-d", bond, "").await {
        // What openresolv says where there is nothing to remove.
        Err(ResolverError::Resolvconf { problem, .. })
            if problem.contains("No resolv.conf for interface") =>
        {
            Ok(())
        }
        result => result,
    }
}

async fn run(program: &Path, command: &str, bond: &str, input: &str) -> Result<(), ResolverError> {
    let done = run_until(program, command, &format!("{bond}.hitless"), input).await;
    done.map_err(|problem| {
        let (program, bond) = (program.to_owned(), bond.to_owned());
        ResolverError::Resolvconf { program, bond, problem }
    })
}

/// What it says goes to a file without a name, not to a pipe: what it starts may go on, and hold that open.
async fn run_until(program: &Path, command: &str, record: &str, input: &str) -> Result<(), String> {
    let failed = |error: io::Error| error.to_string();
    let mut said = nameless("").map_err(failed)?;
    let errors = said.try_clone().map_err(failed)?;
    let mut child = Command::new(program)
        .args([command, record])
        .stdin(Stdio::from(nameless(input).map_err(failed)?))
        .stdout(Stdio::null())
        .stderr(Stdio::from(errors))
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let group = child.id();
    let Ok(status) = timeout(PATIENCE, child.wait()).await else {
        if let Some(group) = group.and_then(|group| i32::try_from(group).ok()) {
            // With what it has started itself.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        return Err(format!("it has not ended after {} s, and was killed", PATIENCE.as_secs()));
    };
    let status = status.map_err(failed)?;
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    said.rewind().and_then(|()| (&mut said).take(SAID).read_to_end(&mut text)).map_err(failed)?;
    let text = String::from_utf8_lossy(&text);
    Err(format!("{command}: {status}; {}", text.trim().replace('\n', "; ")))
}

fn nameless(text: &str) -> io::Result<File> {
    let mut file = File::from(memfd_create("resolvconf", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}
