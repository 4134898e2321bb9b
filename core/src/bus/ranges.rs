//! A set of numbers kept as ranges: what was received, acknowledged or lost.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

/// Disjoint, non-adjacent half-open ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of ranges.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.0.iter().map(|(&start, &end)| start..end)
    }

    pub(super) fn first(&self) -> Option<Range<u64>> {
        self.iter().next()
    }

    pub(super) fn contains(&self, value: u64) -> bool {
        self.0.range(..=value).next_back().is_some_and(|(_, &end)| value < end)
    }

    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        while let Some((&from, &to)) = self.0.range(..=end).next_back() {
            if to < start {
                break;
            }
            self.0.remove(&from);
            start = start.min(from);
            end = end.max(to);
        }
        self.0.insert(start, end);
    }

    pub(super) fn remove(&mut self, range: &Range<u64>) {
        while let Some((&from, &to)) = self.0.range(..range.end).next_back() {
            if to <= range.start || range.is_empty() {
                break;
            }
            self.0.remove(&from);
            if to > range.end {
                self.0.insert(range.end, to);
            }
            if from < range.start {
                self.0.insert(from, range.start);
            }
        }
    }

    /// Takes up to `length` numbers off the lowest range.
    pub(super) fn take_first(&mut self, length: u64) -> Option<Range<u64>> {
        let (start, end) = self.0.pop_first()?;
        let cut = end.min(start.saturating_add(length));
        if cut < end {
            self.0.insert(cut, end);
        }
        Some(start..cut)
    }

    /// Drops the lowest range.
    pub(super) fn forget_first(&mut self) {
        self.0.pop_first();
    }

    /// The parts of `range` that are not in the set, lowest first.
    pub(super) fn missing(&self, range: &Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut at = range.start;
        let before = self.0.range(..=at).next_back().map(|(&start, &end)| start..end);
        let after = self.0.range(at..range.end).map(|(&start, &end)| start..end);
        for held in before.into_iter().chain(after) {
            if held.start > at {
                missing.push(at..held.start);
            }
            at = at.max(held.end);
        }
        if at < range.end {
            missing.push(at..range.end);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_merge() {
        let mut ranges = Ranges::default();
        ranges.insert(0..2);
        ranges.insert(4..6);
        ranges.insert(2..4);
        assert_eq!((ranges.first(), ranges.count()), (Some(0..6), 1));
        assert_eq!(ranges.take_first(4), Some(0..4));
        assert_eq!(ranges.first(), Some(4..6));
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(ops in prop::collection::vec((any::<bool>(), 0u64..40, 0u64..12), 0..60)) {
            let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
            for (add, start, length) in ops {
                let range = start..start + length;
                let missing: Vec<u64> = ranges.missing(&range).into_iter().flatten().collect();
                let expected: Vec<u64> = range.clone().filter(|n| !set.contains(n)).collect();
                prop_assert_eq!(missing, expected);
                if add {
                    set.extend(range.clone());
                    ranges.insert(range);
                } else {
                    ranges.remove(&range);
                    set.retain(|n| !range.contains(n));
                }
                let held: Vec<u64> = ranges.iter().flatten().collect();
                prop_assert_eq!(held, set.iter().copied().collect::<Vec<_>>());
                prop_assert!(ranges.iter().zip(ranges.iter().skip(1)).all(|(a, b)| a.end < b.start));
                prop_assert!((0..60).all(|n| ranges.contains(n) == set.contains(&n)));
            }
        }
    }
}
