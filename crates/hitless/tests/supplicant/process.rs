//! The real wpa_supplicant, without any interface: it starts, is found again, is started again, and ends.

use std::path::PathBuf;
use std::time::Duration;

use hitless::wifi::supplicant::connection::Connection;
use hitless::wifi::supplicant::process::{Life, Options, ProcessError, Supplicant};
use hitless::wifi::supplicant::request::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::time::timeout;

const SECONDS: Duration = Duration::from_secs(20);

/// Ends what a failed test leaves behind.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("wifi")
    }

    fn pid(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.path().join("pid")).ok()?;
        text.trim().parse().ok().map(Pid::from_raw)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

async fn until(supplicant: &Supplicant, wanted: impl Fn(&Life) -> bool) -> Life {
    let mut life = supplicant.life();
    let found = timeout(SECONDS, life.wait_for(|life| wanted(life))).await;
    found.unwrap_or_else(|_| panic!("{:?}", supplicant.life().borrow())).unwrap().clone()
}

fn running(life: &Life) -> bool {
    matches!(life, Life::Running { .. })
}

#[tokio::test]
async fn one_process_that_outlives_us() {
    let directory = Directory::new();
    let supplicant = Supplicant::new(directory.path());
    assert!(matches!(*supplicant.life().borrow(), Life::Idle), "nothing is started that nobody wants");
    supplicant.start();
    until(&supplicant, running).await;
    let first = directory.pid().expect("wpa_supplicant is installed (package wpasupplicant)");

    let next = Supplicant::new(directory.path());
    next.start();
    until(&next, running).await;
    drop(supplicant);
    assert_eq!(directory.pid(), Some(first), "the next daemon finds it");

    let mut life = next.life();
    kill(first, Signal::SIGKILL).unwrap();
    timeout(SECONDS, life.wait_for(|life| matches!(life, Life::Died { .. }))).await.unwrap().unwrap();
    until(&next, running).await;
    assert_ne!(directory.pid(), Some(first), "it is started again");

    let global = Connection::open(next.directory(), &next.global()).unwrap();
    global.tell(Request::Ping).await.unwrap();
    drop(global);
    next.terminate().await.unwrap();
    assert_eq!(directory.pid(), None);
    let left: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
    next.terminate().await.unwrap();
}

#[tokio::test]
async fn an_interface_that_is_not_there_is_refused() {
    let directory = Directory::new();
    let supplicant = Supplicant::new(directory.path());
    supplicant.start();
    until(&supplicant, running).await;
    let global = Connection::open(supplicant.directory(), &supplicant.global()).unwrap();
    let error = global.tell(Request::InterfaceRemove("no-such")).await.unwrap_err();
    assert_eq!(error.to_string(), "wpa_supplicant refuses INTERFACE_REMOVE");
    supplicant.terminate().await.unwrap();
}

#[tokio::test]
async fn sockets_are_put_in_a_directory_of_our_own_and_nowhere_else() {
    let directory = Directory::new();
    let elsewhere = directory.0.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let refused = |supplicant: &Supplicant| matches!(supplicant.make_directory(), Err(ProcessError::NotOurs { path }) if path == directory.path());
    let supplicant = Supplicant::new(directory.path());
    std::os::unix::fs::symlink(&elsewhere, directory.path()).unwrap();
    assert!(refused(&supplicant), "a link");
    std::fs::remove_file(directory.path()).unwrap();
    std::fs::write(directory.path(), "").unwrap();
    assert!(refused(&supplicant), "a file");
    std::fs::remove_file(directory.path()).unwrap();
    std::fs::create_dir(directory.path()).unwrap();
    nix::unistd::chown(&directory.path(), Some(65534.into()), None).expect("needs root");
    assert!(refused(&supplicant), "another user's");
    std::fs::remove_dir(directory.path()).unwrap();
    supplicant.make_directory().unwrap();
}

#[tokio::test]
async fn a_program_that_cannot_be_run() {
    let directory = Directory::new();
    let with = |program: &str| Options { program: Some(program.into()), ..Options::default() };
    let supplicant = Supplicant::with_options(directory.path(), with("/no/such/program"));
    supplicant.start();
    let life = until(&supplicant, |life| matches!(life, Life::Failed { .. })).await;
    let Life::Failed { problem, .. } = life else { unreachable!() };
    assert!(matches!(&*problem, ProcessError::Spawn { .. }), "{problem}");

    let supplicant = Supplicant::with_options(directory.path(), with("/bin/false"));
    supplicant.start();
    let life = until(&supplicant, |life| matches!(life, Life::Failed { .. })).await;
    let Life::Failed { problem, .. } = life else { unreachable!() };
    let text = "/bin/false does not start; `journalctl -t wpa_supplicant` may say why";
    assert_eq!(problem.to_string(), text);
}
