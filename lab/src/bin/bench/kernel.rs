//! The kernel driver beside plain bonding, in one guest kernel.

use std::time::Duration;

use hitless_lab::wait::{Look, until};
use hitless_lab::{Daemon, Home, HomeOptions, LabError, Result, uml};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::pulls::{PATIENCE, Pulls, pulls};

/// The configuration of ours that is the counterpart of bonding's `miimon 100 primary eth0`.
const CONFIG: &str = r#"
[bond.bond0]
driver = "kernel"
mode = "active-backup"
ports = ["eth0", "wlan0"]
primary = "eth0"
miimon = 100
[bond.bond0.ip]
address = ["192.168.1.5/24"]
"#;

/// What was measured in the guest.
#[derive(Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) bonding: Pulls,
    pub(crate) hitless: Pulls,
}

/// Runs this program in a guest, and reads what it measured there.
pub(crate) fn outside(n: usize) -> Result<Results> {
    let own = std::env::current_exe()
        .map_err(|source| LabError::Io { what: "finding the running program".to_owned(), source })?;
    let pulls = n.to_string();
    let timeout = Duration::from_secs(60) + Duration::from_secs(10) * u32::try_from(n).unwrap_or(u32::MAX);
    let output = uml::run(&[own.as_os_str(), "--pulls".as_ref(), pulls.as_ref()], timeout)?.success()?;
    serde_json::from_str(&output).map_err(|source| LabError::Json {
        command: "bench in the guest".to_owned(),
        output,
        source,
    })
}

/// What runs in the guest: measures both, one after the other, and prints the results for [`outside`].
pub(crate) fn inside(n: usize) -> Result<()> {
    let results = Results { bonding: bonding(n)?, hitless: hitless(n)? };
    let text = serde_json::to_string(&results)
        .map_err(|error| LabError::Broken(format!("cannot print the results: {error}")))?;
    println!("{text}");
    Ok(())
}

/// Plain bonding, as one sets it up by hand.
fn bonding(n: usize) -> Result<Pulls> {
    let home = Home::new(HomeOptions::default())?;
    home.laptop.ip("link add bond0 type bond mode active-backup miimon 100")?;
    for port in ["eth0", "wlan0"] {
        home.laptop.ip(&format!("link set {port} master bond0"))?;
    }
    home.laptop.ip("link set bond0 type bond primary eth0")?;
    home.laptop.ip("link set bond0 up")?;
    home.laptop.ip(&format!("address add {}/24 dev bond0", Home::ipv4(0, 5)))?;
    measure(&home, n)
}

/// The same bond, led by us.
fn hitless(n: usize) -> Result<Pulls> {
    let home = Home::new(HomeOptions::default())?;
    let daemon = Daemon::start_with_config(&home.laptop, CONFIG)?;
    let pulls = measure(&home, n)?;
    daemon.ask(&["down"])?;
    Ok(pulls)
}

/// Whoever leads the bond, it is watched in the same way, so that this costs both the same.
fn measure(home: &Home, n: usize) -> Result<Pulls> {
    let wait_active = |port: &str| {
        until(&format!("{port} to become the active port"), PATIENCE, || {
            let shown = home.laptop.ip("-json -details link show bond0")?;
            let details: Value = serde_json::from_str(&shown).unwrap_or_default();
            let active = &details[0]["linkinfo"]["info_data"]["active_slave"];
            Ok(if active == port { Look::Yes(()) } else { Look::No(format!("{active}")) })
        })
    };
    home.wait_forwarding("eth0")?;
    home.wait_forwarding("wlan0")?;
    wait_active("eth0")?;
    pulls(home, n, &wait_active)
}
