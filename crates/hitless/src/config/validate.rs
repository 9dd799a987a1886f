//! Puts a configuration together from its raw values, and checks what concerns more than one bond.

use hitless_core::config::{BondConfig, SameSegment};

use super::options::{self, byte, milliseconds};
use super::report::Problem;
use super::{Bond, Config, MacChoice, address, names, ports, raw, wifi};

/// The configuration; meaningful only if no problems came up.
pub(super) fn config(raw: &raw::Config, problems: &mut Vec<Problem>) -> Config {
    shared_ports(&raw.bonds, problems);
    let bonds = raw.bonds.iter().map(|bond_raw| bond(bond_raw, &raw.wifi, problems)).collect();
    Config { bonds, wifi: wifi::interfaces(&raw.wifi, &raw.bonds, problems) }
}

fn bond(raw: &raw::Bond, wifi: &[wifi::raw::Wifi], problems: &mut Vec<Problem>) -> Bond {
    names::bond(raw, problems);
    let patterns = ports::patterns(raw, problems);
    ports::follow(raw, wifi, problems);
    options::carrier_poll(raw, problems);
    let mode = options::mode(raw, problems);
    let default = BondConfig::default();
    let fail_over_mac = raw.fail_over_mac.as_ref().map(|at| at.value).unwrap_or_default();
    let time =
        |option: &Option<raw::At<i64>>, default| option.as_ref().map_or(default, |at| milliseconds(at.value));
    let options = BondConfig {
        mode,
        port_options: ports::options(raw, &patterns, problems),
        primary: ports::primary(raw, problems).filter(|_| mode.has_active_port()),
        primary_reselect: raw.primary_reselect.as_ref().map_or(default.primary_reselect, |at| at.value),
        failback: options::failback(raw, problems),
        miimon: time(&raw.miimon, default.miimon),
        updelay: time(&raw.updelay, default.updelay),
        downdelay: time(&raw.downdelay, default.downdelay),
        fail_over_mac: match fail_over_mac {
            MacChoice::Auto => default.fail_over_mac,
            MacChoice::Fixed(policy) => policy,
        },
        mac: options::mac(raw, problems),
        min_links: ports::min_links(raw, &patterns, problems),
        num_peer_notif: byte(raw.num_peer_notif.as_ref(), default.num_peer_notif),
        peer_notif_delay: time(&raw.peer_notif_delay, default.peer_notif_delay),
        probes: options::probes(raw, problems),
        resend_igmp: byte(raw.resend_igmp.as_ref(), default.resend_igmp),
        all_slaves_active: raw.all_slaves_active.as_ref().map_or(default.all_slaves_active, |at| at.value),
        use_carrier: raw.use_carrier.as_ref().map_or(default.use_carrier, |at| at.value),
        ssid_allow: options::ssid_allow(raw, problems),
        same_segment: match &raw.same_segment {
            Some(at) => at.value,
            None if mode.has_active_port() => default.same_segment,
            None => SameSegment::Off,
        },
        signal_min: options::signal_min(raw, default.signal_hysteresis, problems),
        signal_hysteresis: byte(raw.signal_hysteresis.as_ref(), default.signal_hysteresis),
        roam_grace: time(&raw.roam_grace, default.roam_grace),
        ports: patterns,
    };
    Bond {
        name: raw.name.value.clone(),
        driver: raw.driver.as_ref().map(|at| at.value).unwrap_or_default(),
        fail_over_mac,
        options,
        ip: address::ip(&raw.ip, problems),
    }
}

/// An interface can be a port of one bond only, and no bond a port of another; addresses, too, belong to one bond.
fn shared_ports(bonds: &[raw::Bond], problems: &mut Vec<Problem>) {
    for (n, bond) in bonds.iter().enumerate() {
        for port in bond.ports.iter().flat_map(|ports| &ports.value) {
            for other in bonds.iter().filter(|other| other.name.value != bond.name.value) {
                if names::overlap(&port.value, &other.name.value) {
                    problems.push(
                        Problem::new(
                            port.span.clone(),
                            format!("port `{}` of `{}` is itself a bond", port.value, bond.name.value),
                        )
                        .help("a bond cannot be a port of another bond"),
                    );
                }
            }
            for other in bonds.get(..n).unwrap_or_default() {
                let taken = other.ports.iter().flat_map(|ports| &ports.value);
                if let Some(taken) = taken.into_iter().find(|taken| names::overlap(&taken.value, &port.value))
                {
                    problems.push(
                        Problem::new(
                            port.span.clone(),
                            format!("port `{}` belongs to bond `{}` already", port.value, other.name.value),
                        )
                        .label(format!("`{}` there matches it", taken.value))
                        .help("an interface can be a port of one bond only"),
                    );
                }
            }
        }
        for address in &bond.ip.address {
            let ip = |text: &str| text.split('/').next().unwrap_or_default().to_owned();
            let other =
                bonds.get(..n).unwrap_or_default().iter().find(|other| {
                    other.ip.address.iter().any(|taken| ip(&taken.value) == ip(&address.value))
                });
            if let Some(other) = other {
                problems.push(Problem::new(
                    address.span.clone(),
                    format!("address `{}` belongs to bond `{}` already", address.value, other.name.value),
                ));
            }
        }
    }
}
