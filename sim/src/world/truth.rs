//! What is so, whatever nodes believe.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::host::State;

/// The mesh as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Nodes that run.
    pub on: BTreeSet<usize>,
    /// Pairs of nodes with a link whose handshake both ends have done: lower, higher, medium.
    pub edges: BTreeSet<(usize, usize, u8)>,
}

impl Truth {
    /// Who can be reached from `node` by links, `node` included, in order.
    #[must_use]
    pub fn island_of(&self, node: usize) -> BTreeSet<usize> {
        self.distances_from(node).into_keys().collect()
    }

    /// How many hops away everybody is that can be reached from `node`; itself 0.
    #[must_use]
    pub fn distances_from(&self, node: usize) -> BTreeMap<usize, usize> {
        let mut near: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (a, b, _) in &self.edges {
            near.entry(*a).or_default().push(*b);
            near.entry(*b).or_default().push(*a);
        }
        let mut distances = BTreeMap::from([(node, 0)]);
        let mut edge = vec![node];
        for hops in 1.. {
            let next = edge.iter().flat_map(|node| near.get(node).into_iter().flatten().copied());
            edge = next.filter(|node| !distances.contains_key(node)).collect();
            if edge.is_empty() {
                break;
            }
            distances.extend(edge.iter().map(|node| (*node, hops)));
        }
        distances
    }
}

impl World {
    /// The mesh as it is now.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let on = |node: &usize| self.hosts[*node].state == State::On;
        let edges = self.air.cables().filter_map(|(_, cable)| {
            let is_up = cable
                .ends
                .iter()
                .all(|end| end.is_some_and(|end| self.hosts[end.node].up.contains_key(&end.link)));
            is_up.then_some((cable.pair.low, cable.pair.high, cable.pair.medium))
        });
        Truth { on: (0..self.hosts.len()).filter(on).collect(), edges: edges.collect() }
    }

    /// Whether every node that runs has all others and all edges that stand in its graph: by
    /// number, which is quick and enough while nothing else changes.
    #[must_use]
    pub fn all_see_all(&self) -> bool {
        let truth = self.truth();
        let (peers, edges) = (truth.on.len().saturating_sub(1), truth.edges.len());
        truth.on.iter().all(|node| {
            let view = self.hosts[*node].view;
            view.peers == peers && view.edges == edges
        })
    }
}
