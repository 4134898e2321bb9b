//! Who told of whom: a neighbour's share of the table of peers.

use alloc::collections::BTreeMap;

use crate::id::Address;
use crate::limits::{PEERS_BY_NEIGHBOUR_MAX, PEERS_FOR_NEIGHBOURS, PEERS_MAX};

/// How many owners are known, and how many became so by whom.
#[derive(Debug, Default)]
pub(super) struct Census {
    known: usize,
    by: BTreeMap<Address, usize>,
}

/// Whether there is room for an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    Free,
    /// In place of one that was long unreachable.
    ForAnother,
    /// The neighbour that tells of it has had its share.
    None,
}

impl Census {
    pub(super) fn add(&mut self, by: Address) {
        self.known += 1;
        *self.by.entry(by).or_default() += 1;
    }

    pub(super) fn remove(&mut self, by: Address) {
        self.known = self.known.saturating_sub(1);
        if let Some(count) = self.by.get_mut(&by) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by.remove(&by);
            }
        }
    }

    /// The room for an owner that a neighbour tells of; `itself`: that is the neighbour.
    pub(super) fn room(&self, by: Address, itself: bool) -> Room {
        let share = self.by.get(&by).copied().unwrap_or(0);
        if !itself && share >= PEERS_BY_NEIGHBOUR_MAX {
            return Room::None;
        }
        let kept = if itself { 0 } else { PEERS_FOR_NEIGHBOURS };
        if self.known < PEERS_MAX - kept { Room::Free } else { Room::ForAnother }
    }

    /// Whether a neighbour that was told that there is no room should tell again: a sixteenth of
    /// what it was about is free, so that it does not hear the same after one advert.
    pub(super) fn has_room_again(&self, by: Address) -> bool {
        let share = self.by.get(&by).copied().unwrap_or(0);
        share <= PEERS_BY_NEIGHBOUR_MAX / 16 * 15 && self.known <= PEERS_MAX / 16 * 15
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_has_its_share_and_keeps_a_place_itself() {
        let [greedy, other] = [1, 2].map(|byte| Address::from_bytes([byte; 8]));
        let mut census = Census::default();
        (0..PEERS_BY_NEIGHBOUR_MAX).for_each(|_| census.add(greedy));
        assert_eq!(census.room(greedy, false), Room::None);
        assert_eq!(census.room(greedy, true), Room::Free);
        assert_eq!(census.room(other, false), Room::Free);
        (census.known..PEERS_MAX - PEERS_FOR_NEIGHBOURS).for_each(|_| census.add(other));
        assert_eq!(census.room(other, false), Room::ForAnother);
        assert_eq!(census.room(other, true), Room::Free);
        assert!(!census.has_room_again(other));
        (0..PEERS_MAX / 8).for_each(|_| census.remove(greedy));
        assert!(census.has_room_again(other) && census.has_room_again(greedy));
        (0..PEERS_MAX).for_each(|_| census.remove(greedy));
        assert_eq!(census.by.len(), 1);
    }
}
