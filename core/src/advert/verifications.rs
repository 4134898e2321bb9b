//! How many signatures are checked.

use alloc::collections::BTreeMap;

use super::budget::Budget;
use crate::id::PeerKey;
use crate::limits::{
    VERIFICATIONS_BURST, VERIFICATIONS_OWN_PER_S, VERIFICATIONS_PER_S, VERIFYING_NEIGHBOURS_MAX,
};
use crate::time::{Duration, Instant};

/// Signature checks: some for everybody, of which a cold start finds many saved up, and some in
/// each second that each neighbour has for itself, so that one who floods does not starve the
/// others.
#[derive(Debug)]
pub(super) struct Verifications {
    common: Budget,
    second: Instant,
    spent_by: BTreeMap<PeerKey, u32>,
}

impl Default for Verifications {
    fn default() -> Self {
        let common = Budget::new(VERIFICATIONS_PER_S.into(), VERIFICATIONS_BURST.into());
        Self { common, second: Instant::EPOCH, spent_by: BTreeMap::new() }
    }
}

impl Verifications {
    pub(super) fn spend(&mut self, now: Instant, neighbour: PeerKey) -> bool {
        if now.since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.spent_by.clear();
        }
        let is_known = self.spent_by.contains_key(&neighbour);
        if is_known || self.spent_by.len() < VERIFYING_NEIGHBOURS_MAX {
            let own = self.spent_by.entry(neighbour).or_default();
            if *own < VERIFICATIONS_OWN_PER_S {
                *own += 1;
                return true;
            }
        }
        let may = self.common.may(now);
        if may {
            self.common.spend(1);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks that a neighbour gets out of many tries.
    fn granted(verifications: &mut Verifications, now: Instant, neighbour: u8) -> u32 {
        let key = PeerKey::from_checked([neighbour; 32]);
        (0..10_000).map(|_| u32::from(verifications.spend(now, key))).sum()
    }

    #[test]
    fn a_flood_gets_what_was_saved_up_once_and_then_the_rate() {
        let mut verifications = Verifications::default();
        let at = Instant::from_millis;
        let first = granted(&mut verifications, at(0), 1);
        assert_eq!(first, VERIFICATIONS_OWN_PER_S + VERIFICATIONS_BURST);
        let rate = VERIFICATIONS_OWN_PER_S + VERIFICATIONS_PER_S;
        for second in 1..10 {
            assert_eq!(granted(&mut verifications, at(second * 1_000), 1), rate);
            let other = granted(&mut verifications, at(second * 1_000), 2);
            assert_eq!(other, VERIFICATIONS_OWN_PER_S, "what nobody takes from it");
        }
        // It is saved up again by whoever is quiet.
        let full = u64::from(VERIFICATIONS_BURST / VERIFICATIONS_PER_S) * 1_000;
        assert_eq!(granted(&mut verifications, at(9_000 + full), 1), first);
    }

    #[test]
    fn neighbours_that_come_and_go_do_not_make_it_grow() {
        let mut verifications = Verifications::default();
        let granted = (0..10_000_u64).filter(|number| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            verifications.spend(Instant::EPOCH, PeerKey::from_checked(key))
        });
        let granted = granted.count();
        assert_eq!(granted, VERIFYING_NEIGHBOURS_MAX + VERIFICATIONS_BURST as usize);
        assert_eq!(verifications.spent_by.len(), VERIFYING_NEIGHBOURS_MAX);
    }
}
