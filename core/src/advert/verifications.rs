//! How many signatures are checked in a second.

use alloc::collections::BTreeMap;

use crate::id::PeerKey;
use crate::limits::{VERIFICATIONS_OWN_PER_S, VERIFICATIONS_PER_S, VERIFYING_NEIGHBOURS_MAX};
use crate::time::{Duration, Instant};

/// Signature checks in this second: some for everybody, and some that each neighbour has for
/// itself, so that one who floods does not starve the others.
#[derive(Debug, Default)]
pub(super) struct Verifications {
    second: Instant,
    spent: u32,
    spent_by: BTreeMap<PeerKey, u32>,
}

impl Verifications {
    pub(super) fn spend(&mut self, now: Instant, neighbour: PeerKey) -> bool {
        if now.since(self.second) >= Duration::from_secs(1) {
            *self = Self { second: now, ..Self::default() };
        }
        let is_known = self.spent_by.contains_key(&neighbour);
        if is_known || self.spent_by.len() < VERIFYING_NEIGHBOURS_MAX {
            let own = self.spent_by.entry(neighbour).or_default();
            if *own < VERIFICATIONS_OWN_PER_S {
                *own += 1;
                return true;
            }
        }
        let may = self.spent < VERIFICATIONS_PER_S;
        self.spent += u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_come_and_go_do_not_make_it_grow() {
        let mut verifications = Verifications::default();
        let granted = (0..10_000_u64).filter(|number| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            verifications.spend(Instant::EPOCH, PeerKey::from_checked(key))
        });
        let granted = granted.count();
        assert_eq!(granted, VERIFYING_NEIGHBOURS_MAX + VERIFICATIONS_PER_S as usize);
        assert_eq!(verifications.spent_by.len(), VERIFYING_NEIGHBOURS_MAX);
    }
}
