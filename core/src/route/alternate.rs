//! Loop-free alternates (RFC 5286): for each destination a second neighbour that surely does not
//! send the frame back, known before the first one is lost.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::spf::{Distance, Reached, Search};
use super::topology::{OWN, Slot, Topology};
use crate::limits::ALTERNATE_NEIGHBOURS_MAX;

/// A neighbour, as the first hop of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FirstHop {
    pub(super) slot: Slot,
    /// Of the cheapest live link.
    pub(super) cost: u32,
    pub(super) payload_log2: u8,
    /// All its links are in doubt.
    pub(super) is_suspect: bool,
}

/// The second way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Second {
    /// The whole way, with the other neighbour's rank.
    pub(super) reached: Reached,
    /// It avoids the first neighbour itself, and not only the link to it.
    pub(super) protects_node: bool,
}

impl Second {
    /// What is better is smaller.
    fn order(&self) -> (Reverse<bool>, Distance) {
        (Reverse(self.protects_node), self.reached.distance)
    }
}

/// The alternates of all destinations, by slot. `routes` is the search from this node, `firsts`
/// are its neighbours by rank.
///
/// An edge costs the same both ways, so with S for this node, N for a neighbour and D for a
/// destination, N is safe when d(N,D) < d(N,S) + d(S,D): then no shortest way of N leads over S.
/// The node E that is the first hop now is avoided, too, when d(N,D) < d(N,E) + d(E,D).
pub(super) fn alternates(
    topology: &Topology,
    routes: &Search,
    firsts: &[FirstHop],
) -> Vec<Option<Second>> {
    let mut search = Search::default();
    let mut found: Vec<Option<Second>> = alloc::vec![None; topology.len()];
    let mut candidates: Vec<(u16, FirstHop)> =
        (0..).zip(firsts.iter().copied()).filter(|(_, first)| !first.is_suspect).collect();
    candidates.sort_by_key(|(rank, first)| (first.cost, *rank));
    candidates.truncate(ALTERNATE_NEIGHBOURS_MAX);
    let cost = |slot| routes.reached(slot).map(|reached| reached.distance.cost());
    for (rank, neighbour) in candidates {
        // d(N,S) = d(S,N); the live link may not be the cheapest way there.
        let Some(home) = cost(neighbour.slot) else { continue };
        let start = Distance::new(0, 0, rank, neighbour.slot);
        let start = Reached { distance: start, payload_log2: u8::MAX };
        // Whatever lies behind a node that is not safe is not safe either, so the search ends
        // there.
        let unsafe_at =
            |slot, far| slot == OWN || cost(slot).is_none_or(|direct| far >= home + direct);
        search.run(topology, core::iter::once(start), unsafe_at);
        for (slot, best) in (0..).zip(&mut found) {
            let (Some(way), Some(route)) = (search.reached(slot), routes.reached(slot)) else {
                continue;
            };
            let first_rank = route.distance.rank();
            let Some(first) = firsts.get(usize::from(first_rank)) else { continue };
            if first_rank == rank {
                continue;
            }
            // Over S where the search did not come by.
            let to_first = match search.reached(first.slot) {
                Some(reached) => reached.distance.cost(),
                None => home + cost(first.slot).unwrap_or(0),
            };
            let behind = route.distance.cost() - cost(first.slot).unwrap_or(0);
            let protects_node = first.slot == slot || way.distance.cost() < to_first + behind;
            let whole = way.distance.cost() + u64::from(neighbour.cost);
            let hops = way.distance.hops().saturating_add(1);
            let payload_log2 = way.payload_log2.min(neighbour.payload_log2);
            let distance = Distance::new(whole, hops, rank, slot);
            let second = Second { reached: Reached { distance, payload_log2 }, protects_node };
            if best.is_none_or(|best| second.order() < best.order()) {
                *best = Some(second);
            }
        }
    }
    found
}
