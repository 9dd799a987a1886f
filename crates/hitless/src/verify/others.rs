//! Other managers: none is set up to manage a port.

use super::{Facts, Fault, Line};

const CHECK: &str = "other-managers";

/// Nobody else would give a port addresses, now or after the next boot.
pub(super) fn line(facts: &Facts) -> Line {
    let faults = facts.others.iter().map(|finding| {
        let seen = format!("{}: {}", finding.port, finding.text);
        Fault::new(seen, finding.remedy.clone())
    });
    Line::unless(faults.collect(), Line::holds(CHECK, format!("none has {}", facts.port_names())))
}
