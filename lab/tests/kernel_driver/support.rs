//! What the tests have in common: the guest, the kernel's view of a bond, and what it is compared with.

use std::time::Duration;

use hitless_lab::netns::Namespace;
use hitless_lab::wait::{Look, until};
use hitless_lab::{Daemon, Home, HomeOptions, uml};
use serde_json::Value;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How long a guest may take, boot included. Where the machine's processors are lent to others, it takes several times what
/// it needs.
const LIMIT: Duration = Duration::from_secs(600);

/// How long anything may take that is to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// Runs the body in a guest. `test` is the path of the test that calls this.
pub(crate) fn in_guest(test: &str, body: impl FnOnce()) {
    if uml::in_guest() {
        body();
    } else if let Err(error) = uml::rerun(test, LIMIT) {
        panic!("{error}");
    }
}

pub(crate) fn home() -> Home {
    Home::new(HomeOptions::default()).unwrap()
}

/// A configuration of bond0 on the kernel driver, with further lines for the bond.
pub(crate) fn config(options: &str) -> String {
    config_with("ports = [\"eth0\", \"wlan0\"]", options)
}

/// The same with other ports.
pub(crate) fn config_with(ports: &str, options: &str) -> String {
    format!(
        "[bond.bond0]\ndriver = \"kernel\"\n{ports}\n{options}\n\
         [bond.bond0.ip]\naddress = [\"192.168.1.5/24\", \"fd00:1::5/64\"]\ngateway = [\"192.168.1.1\"]\n"
    )
}

/// Starts the daemon with this configuration, and waits until both ports are up.
pub(crate) fn start<'a>(home: &'a Home, config: &str) -> Daemon<'a> {
    let daemon = Daemon::start_with_config(&home.laptop, config).unwrap();
    wait_both_up(&daemon);
    daemon.wait_active("bond0", "eth0", PATIENCE).unwrap();
    daemon
}

/// Waits until both ports are up and the kernel thinks so, too.
pub(crate) fn wait_both_up(daemon: &Daemon<'_>) {
    let both_up = |bond: &Value| {
        let ports = bond["ports"].as_array().cloned().unwrap_or_default();
        ports.len() >= 2 && ports.iter().all(|port| port["link"] == "up")
    };
    daemon.wait_bond("bond0", "all ports to be up", PATIENCE, both_up).unwrap();
}

/// Makes a new configuration count.
pub(crate) fn reload(daemon: &Daemon<'_>, config: &str) {
    daemon.write_config(config).unwrap();
    daemon.ask(&["reload"]).unwrap();
}

/// What the kernel shows of an interface; null if there is none.
pub(crate) fn link(host: &Namespace, name: &str) -> Value {
    let Ok(shown) = host.ip(&format!("-json -details link show dev {name}")) else { return Value::Null };
    serde_json::from_str::<Value>(&shown).unwrap()[0].clone()
}

/// The options of a bond in the kernel.
pub(crate) fn bond(host: &Namespace, name: &str) -> Value {
    link(host, name)["linkinfo"]["info_data"].clone()
}

/// What the kernel shows of a port's place in its bond.
pub(crate) fn port(host: &Namespace, name: &str) -> Value {
    link(host, name)["linkinfo"]["info_slave_data"].clone()
}

/// The active port in the kernel.
pub(crate) fn active(host: &Namespace, name: &str) -> Option<String> {
    bond(host, name)["active_slave"].as_str().map(str::to_owned)
}

pub(crate) fn mac(host: &Namespace, name: &str) -> String {
    link(host, name)["address"].as_str().unwrap_or_default().to_owned()
}

/// Waits until the kernel shows something as wished.
pub(crate) fn wait_shown(
    host: &Namespace,
    name: &str,
    what: &str,
    limit: Duration,
    wished: impl Fn(&Value) -> bool,
) -> Value {
    until(what, limit, || {
        let shown = link(host, name);
        Ok(if wished(&shown) { Look::Yes(shown) } else { Look::No(format!("{shown:#}")) })
    })
    .unwrap()
}

/// Waits until this is the active port in the kernel.
pub(crate) fn wait_kernel_active(host: &Namespace, port: &str, limit: Duration) {
    let what = format!("{port} to be the kernel's active port");
    wait_shown(host, "bond0", &what, limit, |shown| shown["linkinfo"]["info_data"]["active_slave"] == port);
}

/// Waits until the kernel thinks that a port's link is up.
pub(crate) fn wait_kernel_up(host: &Namespace, port: &str) {
    let what = format!("{port} to be up in the kernel");
    wait_shown(host, port, &what, PATIENCE, |shown| {
        shown["linkinfo"]["info_slave_data"]["mii_status"] == "UP"
    });
}

/// What is to be as it was when an interface is given back.
pub(crate) fn as_found(host: &Namespace, name: &str) -> Value {
    let shown = link(host, name);
    let up = shown["flags"].as_array().unwrap().contains(&"UP".into());
    let v6 = host.run(&["cat", &format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6")]).unwrap();
    let addresses: Value =
        serde_json::from_str(&host.ip(&format!("-json address show dev {name} scope global")).unwrap())
            .unwrap();
    serde_json::json!({
        "mac": shown["address"], "mtu": shown["mtu"], "up": up, "master": shown["master"], "v6": v6.trim(),
        "addresses": addresses[0]["addr_info"], "allmulti": shown["allmulti"],
    })
}

/// A command that has to be refused; what it said.
pub(crate) fn refused(daemon: &Daemon<'_>, arguments: &[&str]) -> String {
    let output = daemon.command(arguments).unwrap();
    assert!(!output.status.success(), "{arguments:?} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A daemon that must not start with this; what it said.
pub(crate) fn must_not_start(host: &Namespace, config: &str) -> String {
    match Daemon::start_with_config(host, config) {
        Ok(daemon) => panic!("it started:\n{}", daemon.log()),
        Err(error) => error.to_string(),
    }
}

/// The switch drops everything that comes from a port and goes to it, also when that is plugged in anew.
pub(crate) fn mute(home: &Home, port: &str) {
    let far = far(port);
    home.switch.run(&["tc", "qdisc", "add", "dev", far, "clsact"]).unwrap();
    for direction in ["ingress", "egress"] {
        home.switch
            .run(&["tc", "filter", "add", "dev", far, direction, "matchall", "action", "drop"])
            .unwrap();
    }
}

/// Ends what [`mute`] began.
pub(crate) fn unmute(home: &Home, port: &str) {
    home.switch.run(&["tc", "qdisc", "del", "dev", far(port), "clsact"]).unwrap();
}

/// The far end of a link.
fn far(port: &str) -> &'static str {
    match port {
        "eth0" => "swp0",
        "wlan0" => "swp1",
        other => panic!("{other}?"),
    }
}

/// The filters on what comes in by an interface; empty where there are none.
pub(crate) fn filters(host: &Namespace, name: &str) -> String {
    host.run(&["tc", "filter", "show", "dev", name, "ingress"]).unwrap().trim().to_owned()
}

/// From here on, this guest takes no BPF filters.
pub(crate) fn without_bpf_filters() {
    std::fs::write("/proc/sys/kernel/modprobe", "/bin/false").unwrap();
    let output = std::process::Command::new("rmmod").arg("cls_bpf").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
