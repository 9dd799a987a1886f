//! Debian's packages, unpacked into the user's cache without being installed: what they have has no business to run on
//! a machine that only tests.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{IoContext as _, LabError, Result};

/// Fetches a package and what it depends on and is not installed, and unpacks all into one directory. What is installed in
/// an older version is left out: a newer libc beside the machine's own loader does not run.
const FETCH: &str = r#"cd "$1"
needed=$(apt-get -qq -s -o APT::Sandbox::User=root --no-install-recommends install "$2" | awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }')
apt-get -qq -o APT::Sandbox::User=root download $(printf '%s\n' "$2" $needed | sort -u)
for package in *.deb; do dpkg-deb -x "$package" made; done
# Debian 12's packages are of the time before everything was below usr.
mkdir -p made/usr && for part in bin sbin lib; do
    [ ! -e "made/$part" ] || { cp -a "made/$part" made/usr/ && rm -r "made/$part"; }
done"#;

/// A package with what it needs; fetched when it is not there.
#[derive(Debug)]
pub struct Package {
    root: PathBuf,
}

impl Package {
    /// Finds or fetches it.
    ///
    /// # Errors
    ///
    /// When apt-get cannot.
    pub fn fetched(name: &str) -> Result<Self> {
        let cache = cache()?;
        let root = cache.join(name);
        if root.exists() {
            return Ok(Self { root });
        }
        fs::create_dir_all(&cache).context(|| format!("making {}", cache.display()))?;
        let work = tempfile::tempdir_in(&cache).context(|| format!("making room in {}", cache.display()))?;
        let mut command = Command::new("sh");
        command.args(["-euc", FETCH, "fetch"]).args([work.path().as_os_str(), OsStr::new(name)]);
        let done = command.output().context(|| "starting sh".to_owned())?;
        if !done.status.success() {
            return Err(LabError::Broken(format!(
                "cannot fetch the package {name} with apt-get (`apt-get update` may help): {}",
                String::from_utf8_lossy(&done.stderr)
            )));
        }
        // Whole or not at all, also when two do this at once.
        let _ = fs::rename(work.path().join("made"), &root);
        if root.exists() {
            Ok(Self { root })
        } else {
            Err(LabError::Broken(format!("{name} has nothing in it")))
        }
    }

    /// The directory that it is unpacked in, with its `usr` and `etc`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file of it.
    pub fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Where its libraries are, for `LD_LIBRARY_PATH`.
    pub fn libraries(&self) -> String {
        let entries = fs::read_dir(self.root.join("usr/lib")).into_iter().flatten().flatten();
        let directories: Vec<_> = entries.map(|entry| entry.path().display().to_string()).collect();
        directories.join(":")
    }
}

fn cache() -> Result<PathBuf> {
    let given = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let given = given.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
    let given = given.ok_or_else(|| LabError::Broken("no HOME to keep packages in".to_owned()))?;
    Ok(given.join("hitless-lab/programs"))
}
