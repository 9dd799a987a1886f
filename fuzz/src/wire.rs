//! Bytes off a cable, read as a probe or an answer.

use hitless_core::wire::{Heard, hear, probe, tagged};

/// Reads the frame, and asks whom it tells of in turn.
pub fn run(bytes: &[u8]) {
    let vlan = bytes.first().copied().unwrap_or_default();
    assert_eq!(tagged(bytes, u16::from(vlan)).len(), bytes.len() + 4);
    match hear(bytes) {
        Some(Heard::Answer { from, to, owner: _ }) => {
            let question = probe(to, to, from);
            assert_eq!(hear(&question), Some(Heard::Question { about: from, asker: to }));
        }
        Some(Heard::Question { about, asker }) => {
            let question = probe(asker, asker, about);
            assert_eq!(hear(&question), Some(Heard::Question { about, asker }));
        }
        None => {}
    }
}
