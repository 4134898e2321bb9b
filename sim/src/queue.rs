//! What is to happen, in order: by time, and of the same time in the order in which it was said.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use hedgerow_core::id::DialId;
use hedgerow_core::io::TransportEvent;
use hedgerow_core::time::Instant;

use crate::air::{CableId, Pair};

/// Something that is to happen.
#[derive(Debug)]
pub(crate) enum Due {
    /// A node starts.
    Start(usize),
    /// A node does what its inputs of this moment ask for.
    Turn(usize),
    /// A node's own time has come, if it still says so.
    Timer(usize),
    /// `who` sees the other one of a pair.
    Sight { who: usize, pair: Pair },
    /// A pair out of reach forgets that it saw each other.
    Lose(Pair),
    /// A dial of `node` is through.
    Dialled { node: usize, run: u64, medium: u8, dial: DialId },
    /// A driver tells its node something.
    Tell { node: usize, run: u64, medium: u8, event: Box<TransportEvent> },
    /// Something may have arrived that this end of a cable sent.
    Arrive(CableId, usize),
    /// There is room again for what this end of a cable sends.
    Room(CableId, usize),
    /// A cable out of reach is lost, if it still is.
    Supervise(CableId),
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    sequence: u64,
    due: Due,
}

impl Ord for Entry {
    /// The other way round: the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

/// The heap of everything that is to happen.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Entry>,
    said: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Instant, due: Due) {
        self.heap.push(Entry { at, sequence: self.said, due });
        self.said += 1;
    }

    /// When the next thing happens.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.at)
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, Due)> {
        self.heap.pop().map(|entry| (entry.at, entry.due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_moment_keeps_its_order() {
        let mut queue = Queue::default();
        let at = Instant::from_millis;
        for (time, node) in [(2, 0), (1, 1), (2, 2), (1, 3), (2, 4)] {
            queue.push(at(time), Due::Turn(node));
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop())
            .map(|(_, due)| if let Due::Turn(node) = due { node } else { usize::MAX })
            .collect();
        assert_eq!(order, [1, 3, 0, 2, 4]);
    }
}
