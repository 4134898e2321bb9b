//! Who told of whom: a neighbour's share of the table of peers.

use alloc::collections::BTreeMap;

use crate::id::Address;
use crate::limits::{PEERS_BY_NEIGHBOUR_MAX, PEERS_FOR_NEIGHBOURS, PEERS_MAX};
use crate::time::Instant;

/// How many owners are known, and how many became so by whom.
#[derive(Debug, Default)]
pub(super) struct Census {
    all: Crowd,
    by: BTreeMap<Address, Crowd>,
}

/// Some of the owners.
#[derive(Debug, Default)]
struct Crowd {
    known: usize,
    /// None of them can be forgotten for another one before.
    full_until: Instant,
}

/// Whether there is room for an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    Free,
    /// In place of another one that can be done without.
    ForAnother,
    /// In place of another one of those that the same neighbour told of: it has had its share.
    ForAnotherOf(Address),
    /// There is none, and nobody to forget for it.
    None,
}

impl Census {
    pub(super) fn add(&mut self, by: Address) {
        self.all.known += 1;
        self.by.entry(by).or_default().known += 1;
    }

    pub(super) fn remove(&mut self, by: Address) {
        self.all.known = self.all.known.saturating_sub(1);
        if let Some(share) = self.by.get_mut(&by) {
            share.known = share.known.saturating_sub(1);
            if share.known == 0 {
                self.by.remove(&by);
            }
        }
    }

    /// The room for an owner that a neighbour tells of; `itself`: that is the neighbour.
    pub(super) fn room(&self, now: Instant, by: Address, itself: bool) -> Room {
        let share = self.by.get(&by).filter(|share| share.known >= PEERS_BY_NEIGHBOUR_MAX);
        if let Some(share) = share.filter(|_| !itself) {
            return if now < share.full_until { Room::None } else { Room::ForAnotherOf(by) };
        }
        let kept = if itself { 0 } else { PEERS_FOR_NEIGHBOURS };
        match self.all.known < PEERS_MAX - kept {
            true => Room::Free,
            false if now < self.all.full_until => Room::None,
            false => Room::ForAnother,
        }
    }

    /// Nobody of a share, or of all, can be forgotten before `at`.
    pub(super) fn set_full(&mut self, share: Option<Address>, at: Instant) {
        match share {
            None => self.all.full_until = at,
            Some(by) => {
                if let Some(share) = self.by.get_mut(&by) {
                    share.full_until = at;
                }
            }
        }
    }

    /// Whether a neighbour that was told that there is no room should tell again: a sixteenth of
    /// what it was about is free, so that it does not hear the same after one advert.
    pub(super) fn has_room_again(&self, by: Address) -> bool {
        let share = self.by.get(&by).map_or(0, |share| share.known);
        share <= PEERS_BY_NEIGHBOUR_MAX / 16 * 15 && self.all.known <= PEERS_MAX / 16 * 15
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_millis(1_000);

    #[test]
    fn a_neighbour_has_its_share_and_keeps_a_place_itself() {
        let [greedy, other] = [1, 2].map(|byte| Address::from_bytes([byte; 8]));
        let mut census = Census::default();
        let room = |census: &Census, by, itself| census.room(NOW, by, itself);
        (0..PEERS_BY_NEIGHBOUR_MAX).for_each(|_| census.add(greedy));
        assert_eq!(room(&census, greedy, false), Room::ForAnotherOf(greedy));
        census.set_full(Some(greedy), NOW);
        assert_eq!(room(&census, greedy, false), Room::ForAnotherOf(greedy));
        census.set_full(Some(greedy), Instant::from_millis(1_001));
        assert_eq!(room(&census, greedy, false), Room::None);
        assert_eq!(room(&census, greedy, true), Room::Free);
        assert_eq!(room(&census, other, false), Room::Free);
        (census.all.known..PEERS_MAX - PEERS_FOR_NEIGHBOURS).for_each(|_| census.add(other));
        assert_eq!(room(&census, other, false), Room::ForAnother);
        census.set_full(None, Instant::from_millis(1_001));
        assert_eq!(room(&census, other, false), Room::None);
        assert_eq!(room(&census, other, true), Room::Free);
        assert!(!census.has_room_again(other));
        (0..PEERS_MAX / 8).for_each(|_| census.remove(greedy));
        assert!(census.has_room_again(other) && census.has_room_again(greedy));
        (0..PEERS_MAX).for_each(|_| census.remove(greedy));
        assert_eq!(census.by.len(), 1);
    }
}
