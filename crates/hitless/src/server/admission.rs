//! Who may connect, and how often at a time.
//!
//! Those who may change things have places of their own, so nobody else can lock them out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections one user may have.
const PER_USER: usize = 8;

/// How many connections all users together may have that may only read.
const READERS: usize = 32;

/// How many connections root and the daemon's own user may have together.
const ADMINISTRATORS: usize = 32;

/// Counts connections.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// The daemon's own user.
    own_uid: u32,
    /// Connections by user.
    present: Arc<Mutex<BTreeMap<u32, usize>>>,
}

/// A place for one connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    admission: Admission,
    uid: u32,
}

impl Admission {
    /// Nobody is connected.
    pub(super) fn new(own_uid: u32) -> Self {
        Self { own_uid, present: Arc::default() }
    }

    /// A place for one more connection of this user, if there is one.
    pub(super) fn admit(&self, uid: u32) -> Option<Slot> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let administrator = self.is_administrator(uid);
        let same_kind: usize = present
            .iter()
            .filter(|(other, _)| self.is_administrator(**other) == administrator)
            .map(|(_, count)| count)
            .sum();
        let own = present.get(&uid).copied().unwrap_or(0);
        let free =
            if administrator { same_kind < ADMINISTRATORS } else { same_kind < READERS && own < PER_USER };
        free.then(|| {
            *present.entry(uid).or_insert(0) += 1;
            Slot { admission: self.clone(), uid }
        })
    }

    fn is_administrator(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own_uid
    }
}

impl Slot {
    /// May this user change things?
    pub(super) fn may_change(&self) -> bool {
        self.admission.is_administrator(self.uid)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut present = self.admission.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = present.get_mut(&self.uid) {
            *count -= 1;
            if *count == 0 {
                present.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn nobody_can_lock_out_the_administrator() {
        let admission = Admission::new(500);
        let readers: Vec<_> = (1000..1010).flat_map(|uid| (0..20).map(move |_| uid)).collect();
        let slots: Vec<_> = readers.iter().filter_map(|&uid| admission.admit(uid)).collect();
        assert_eq!(slots.len(), READERS);
        assert!(admission.admit(2000).is_none());
        assert!(admission.admit(0).unwrap().may_change());
        assert!(admission.admit(500).unwrap().may_change());
        drop(slots);
        assert!(!admission.admit(2000).unwrap().may_change());
        assert!(admission.present.lock().unwrap().is_empty());
    }

    #[test]
    fn one_user_cannot_lock_out_another() {
        let admission = Admission::new(0);
        let slots: Vec<_> = std::iter::from_fn(|| admission.admit(1000)).collect();
        assert_eq!(slots.len(), PER_USER);
        assert!(admission.admit(1001).is_some());
    }
}
