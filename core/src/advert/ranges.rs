//! Finding what two sides do not share, at the cost of what that is (protocol 6.1).
//!
//! Pure: stamps in, ranges out. A range whose fingerprint is not this side's is answered with
//! finer ones, or with a list where few stamps are left; what a list does not show in the same
//! version one of both has to send.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::crypto::hash::{Domain, Running};
use crate::id::Address;
use crate::limits::{RANGE_LISTED_MAX, RANGE_PARTS, RANGES_PENDING_MAX};
use crate::wire::ranges::{Content, Part, Range, Ranges, Stamp, bound_between};

/// What keys the fingerprints on a link: its handshake hash, which nobody can choose adverts for.
pub type RangeKey = [u8; 32];

/// The hash of stamps in order.
pub(super) fn fingerprint(key: &RangeKey, stamps: &[Stamp]) -> [u8; 8] {
    let mut hash = Running::new(Domain::Range);
    hash.add(key);
    for stamp in stamps {
        let mut bytes = [0; 37];
        let fields = [
            stamp.owner.as_bytes().as_slice(),
            &[stamp.kind.into()],
            &stamp.key.to_be_bytes(),
            &stamp.epoch.to_be_bytes(),
            &stamp.sequence.to_be_bytes(),
            &stamp.hash.to_be_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *to = *from;
        }
        hash.add(&bytes);
    }
    hash.prefix()
}

/// What a side that holds `stamps` in `range`, in order, says of it: everything if that is
/// little, else one fingerprint.
pub(super) fn opening(key: &RangeKey, range: Range, stamps: Vec<Stamp>) -> Ranges {
    let content = if stamps.len() <= RANGE_LISTED_MAX {
        Content::List(stamps)
    } else {
        Content::Fingerprint(fingerprint(key, &stamps))
    };
    Ranges { first: range.first, parts: alloc::vec![Part { last: range.last, content }] }
}

/// The answer of a side that holds `stamps` in `range`, in order, to one that holds others there.
pub(super) fn answer(key: &RangeKey, range: Range, stamps: Vec<Stamp>) -> Ranges {
    let first = range.first;
    let parts = stamps.len().div_ceil(RANGE_LISTED_MAX).min(RANGE_PARTS);
    let last = |content| alloc::vec![Part { last: range.last, content }];
    // Bounds lie between owners: what only one of them makes too many is listed.
    let one_owner = stamps.first().map(|stamp| stamp.owner) == stamps.last().map(|s| s.owner);
    if parts <= 1 || one_owner {
        return Ranges { first, parts: last(Content::List(stamps)) };
    }
    let size = stamps.len().div_ceil(parts);
    let mut ranges = Ranges { first, parts: Vec::with_capacity(parts) };
    let mut rest = stamps.as_slice();
    while let Some((part, later)) = split(rest, size, ranges.parts.is_empty()) {
        if let (Some(end), Some(next)) = (part.last(), later.first()) {
            let content = Content::Fingerprint(fingerprint(key, part));
            ranges.parts.push(Part { last: bound_between(end.owner, next.owner), content });
        }
        rest = later;
    }
    ranges.parts.extend(last(Content::Fingerprint(fingerprint(key, rest))));
    ranges
}

/// Takes about `size` stamps off the front, with all of their last owner. With `must`, rather
/// fewer than all: an answer has to be finer than its question.
fn split(stamps: &[Stamp], size: usize, must: bool) -> Option<(&[Stamp], &[Stamp])> {
    let owner = stamps.get(size - 1)?.owner;
    let end = stamps.partition_point(|stamp| stamp.owner <= owner);
    let start = stamps.partition_point(|stamp| stamp.owner < owner);
    let at = if end == stamps.len() && must { start } else { end };
    (at > 0 && at < stamps.len()).then(|| stamps.split_at(at))
}

/// Ranges that wait to be answered: apart from each other, in order, and bounded.
#[derive(Debug, Default)]
pub(super) struct Pending(BTreeMap<Address, Address>);

impl Pending {
    /// Adds a range. It becomes one with those that it overlaps, and with a neighbour where there
    /// are too many: a coarser question has the same answers, in more steps.
    pub(super) fn add(&mut self, range: Range) {
        let Range { mut first, mut last } = range;
        let before = self.0.range(..=last).next_back().map(|(first, last)| (*first, *last));
        let mut touching = before.filter(|(_, end)| *end >= first);
        while let Some((start, end)) = touching {
            self.0.remove(&start);
            (first, last) = (first.min(start), last.max(end));
            let before = self.0.range(..=last).next_back().map(|(first, last)| (*first, *last));
            touching = before.filter(|(_, end)| *end >= first);
        }
        self.0.insert(first, last);
        if self.0.len() > RANGES_PENDING_MAX {
            let next = self.0.range(first..).nth(1).map(|(start, end)| (*start, *end));
            let before = self.0.range(..first).next_back().map(|(start, end)| (*start, *end));
            if let Some((start, end)) = next.or(before) {
                self.0.remove(&start);
                self.0.remove(&first);
                self.0.insert(first.min(start), last.max(end));
            }
        }
    }

    pub(super) fn first(&self) -> Option<Range> {
        self.0.first_key_value().map(|(first, last)| Range { first: *first, last: *last })
    }

    pub(super) fn pop(&mut self) {
        self.0.pop_first();
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
