//! Over a real SSH session: it prints the result, and when it stalls, everything is put back.

use std::time::Duration;

use hitless_lab::Home;
use hitless_lab::ssh::Sshd;

use crate::support::*;
use crate::{idle, in_use, wait_same};

#[test]
fn the_session_that_typed_it_prints_the_result() {
    let home = in_use();
    let daemon = idle(&home);
    let sshd = Sshd::start(&home.laptop).unwrap();
    let address = Home::ipv4(0, 5).into();
    let session =
        |command: &[&str]| sshd.session(&home.router, address, &daemon.words(command).unwrap()).unwrap();
    let mut typed = session(&["adopt", "eth0", "wlan0", "--driver", "ebpf"]);
    typed.wait_said("hitless confirm").unwrap();
    assert!(daemon.log().contains("192.168.1.5:22 – 192.168.1.1:"), "{}", daemon.log());
    // Who can come in anew may confirm.
    let (code, said) = session(&["confirm"]).outcome().unwrap();
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = typed.outcome().unwrap();
    assert_eq!(code, Some(0), "{said}\n{}", sshd.log());
    assert!(said.contains("bond0 has what eth0 had: 192.168.1.5/24"), "{said}");
    assert!(said.contains("bond0 stays"), "{said}");
}

/// What keeps the session's data from coming through.
fn stalls_by(breaks: impl Fn(&Home), mends: impl Fn(&Home)) {
    let home = in_use();
    let daemon = idle(&home);
    let before = state(&home.laptop);
    let sshd = Sshd::start(&home.laptop).unwrap();
    let command = daemon.words(&["adopt", "eth0", "wlan0", "--driver", "ebpf", "--confirm", "600"]).unwrap();
    let mut typed = sshd.session(&home.router, Home::ipv4(0, 5).into(), &command).unwrap();
    typed.wait_said("hitless confirm").unwrap();
    breaks(&home);
    let limit = Duration::from_secs(60);
    daemon.wait_bond("bond0", "the bond to be gone", limit, serde_json::Value::is_null).unwrap();
    assert!(daemon.log().contains("gets nothing across any more"), "{}", daemon.log());
    mends(&home);
    wait_same(&home, &before);
    // And there it hears of it.
    typed.wait_said("everything is as it was").unwrap();
    let (code, said) = typed.outcome().unwrap();
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_router_that_is_silent_puts_everything_back() {
    stalls_by(
        |home| drop(home.router.ip("link set lan0 down").unwrap()),
        |home| drop(home.router.ip("link set lan0 up").unwrap()),
    );
}

/// Nothing even leaves the host then.
#[test]
fn a_bond_without_ports_puts_everything_back() {
    let each = |home: &Home, what: fn(&Home, &str) -> hitless_lab::Result<()>| {
        for port in ["eth0", "wlan0"] {
            what(home, port).unwrap();
        }
    };
    stalls_by(|home| each(home, Home::pull), |home| each(home, Home::plug));
}
