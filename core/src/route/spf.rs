//! Shortest paths (Dijkstra) over the topology, by numbers.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::topology::{Slot, Topology};

/// How far a node is, in the order in which paths are preferred: cost, then hops, then the rank of
/// the first neighbour; and which node that is. One number, as the search compares little else.
///
/// ```text
/// cost, microseconds (64) | hops (16) | rank (16) | slot (32)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Distance(u128);

impl Distance {
    const UNREACHED: Self = Self(u128::MAX);

    pub(super) fn new(cost: u64, hops: u16, rank: u16, slot: Slot) -> Self {
        let near = (u128::from(hops) << 48) | (u128::from(rank) << 32) | u128::from(slot);
        Self((u128::from(cost) << 64) | near)
    }

    /// In microseconds for 1,280 bytes.
    pub(super) fn cost(self) -> u64 {
        (self.0 >> 64) as u64
    }

    pub(super) fn hops(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The number of the first neighbour, in the order of the neighbours' keys.
    pub(super) fn rank(self) -> u16 {
        (self.0 >> 32) as u16
    }

    fn slot(self) -> Slot {
        self.0 as Slot
    }
}

/// Where a search begins, or what it has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) distance: Distance,
    pub(super) payload_log2: u8,
}

/// A search, and what it found; its memory serves the next one.
#[derive(Debug, Default)]
pub(super) struct Search {
    distances: Vec<Distance>,
    payloads: Vec<u8>,
    heap: BinaryHeap<Reverse<Distance>>,
}

impl Search {
    /// Finds the shortest ways on from `start`. A node that is `barred` at some cost is not
    /// entered.
    pub(super) fn run(
        &mut self,
        topology: &Topology,
        start: impl Iterator<Item = Reached>,
        barred: impl Fn(Slot, u64) -> bool,
    ) {
        self.distances.clear();
        self.distances.resize(topology.len(), Distance::UNREACHED);
        self.payloads.clear();
        self.payloads.resize(topology.len(), u8::MAX);
        for reached in start {
            self.enter(reached.distance, reached.payload_log2, &barred);
        }
        while let Some(Reverse(at)) = self.heap.pop() {
            let slot = at.slot();
            if self.distances[slot as usize] != at {
                continue;
            }
            let payload = self.payloads[slot as usize];
            let hops = at.hops().saturating_add(1);
            for arc in topology.arcs(slot) {
                let cost = at.cost() + u64::from(arc.cost);
                let far = Distance::new(cost, hops, at.rank(), arc.to);
                self.enter(far, payload.min(arc.payload_log2), &barred);
            }
        }
    }

    fn enter(&mut self, to: Distance, payload_log2: u8, barred: &impl Fn(Slot, u64) -> bool) {
        let at = to.slot() as usize;
        let known = self.distances[at];
        if to > known || barred(to.slot(), to.cost()) {
            return;
        }
        if to < known {
            self.distances[at] = to;
            self.payloads[at] = payload_log2;
            self.heap.push(Reverse(to));
        } else {
            // Of ways that are equally good, the payload is what each of them carries.
            self.payloads[at] = self.payloads[at].min(payload_log2);
        }
    }

    /// What was found out about a node.
    pub(super) fn reached(&self, slot: Slot) -> Option<Reached> {
        let distance = *self.distances.get(slot as usize)?;
        let payload_log2 = *self.payloads.get(slot as usize)?;
        (distance != Distance::UNREACHED).then_some(Reached { distance, payload_log2 })
    }
}
