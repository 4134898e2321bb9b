//! Who gets one of a transport's slots, and which link gives one up (protocol 3.3, 3.4).
//!
//! Radios hold 3 to 7 links. The last free slot is kept for peers that the mesh does not reach:
//! else meshes whose nodes are all full of links to each other would never join. Everything here
//! is computed from what a node knows and decides nothing but that.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::id::{LinkId, PeerKey};
use crate::io::ConnectionType;
use crate::time::Instant;

/// How a node reaches the peer that an endpoint leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A link to it stands on this very transport.
    Linked,
    /// A link to it stands on this transport and is suspect: the next one is made before it
    /// breaks, and takes its slot.
    Doubtful,
    /// Otherwise: over another transport, or by others.
    Reachable {
        /// What the way costs.
        cost: u64,
        /// Links of this transport's medium that the peer has to others.
        degree: usize,
    },
    /// Not at all, or nobody knows who is there.
    Unreachable,
}

/// What becomes of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is a slot for it.
    Admit,
    /// It is out of reach otherwise, and all slots are taken: a redundant link goes, if there is
    /// one.
    Displace,
    /// It can be reached without a slot, and the last one is not for it.
    Refuse,
}

/// The slots that peers may take that are reachable anyway: all but one.
#[must_use]
pub fn regular(links_max: usize) -> usize {
    links_max.saturating_sub(1)
}

/// What becomes of a newcomer on a transport of `links_max` slots of which `taken` are taken.
#[must_use]
pub fn admit(links_max: usize, taken: usize, reachable: bool) -> Verdict {
    match reachable {
        _ if taken < regular(links_max) => Verdict::Admit,
        true => Verdict::Refuse,
        false if taken < links_max => Verdict::Admit,
        false => Verdict::Displace,
    }
}

/// An edge of the mesh, as its ends told everybody.
#[derive(Clone, Copy, Debug)]
pub struct ToldEdge<'a> {
    /// One end.
    pub a: PeerKey,
    /// The other end.
    pub b: PeerKey,
    /// The medium.
    pub kind: &'a ConnectionType,
    /// The larger of what its ends say that it costs.
    pub cost: u64,
}

/// A link of this node's own, on any transport.
#[derive(Clone, Copy, Debug)]
pub struct OwnLink<'a> {
    /// Which.
    pub link: LinkId,
    /// Who is there.
    pub peer: PeerKey,
    /// The medium.
    pub kind: &'a ConnectionType,
    /// What it costs this node. The other end may have measured otherwise, and everybody knows the
    /// larger one of what both told.
    pub cost: u64,
    /// Whether it carries what is sent: a suspect link is no way around another one.
    pub is_trusted: bool,
}

/// A link without which its peer stays reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redundant {
    /// Which.
    pub link: LinkId,
    /// Whether it is outside the cheapest tree that spans the mesh by what was told. All nodes that
    /// know the same edges agree on that tree, so that however many of them drop such links at once,
    /// the mesh stays whole. While a change of one cost spreads, it may fall into two parts at most.
    pub is_off_tree: bool,
    /// What the way around it costs more than the link; negative where it costs less.
    pub detour: i128,
}

/// All redundant links of `own`, by the edges of the mesh that it knows.
#[must_use]
pub fn redundant<'a>(
    own: PeerKey,
    edges: impl Iterator<Item = ToldEdge<'a>>,
    links: &[OwnLink<'a>],
) -> Vec<Redundant> {
    let mesh = Mesh::new(own, edges, links);
    let ways = mesh.ways(links);
    let on_tree = mesh.on_tree(links.len());
    let redundant = links.iter().enumerate().filter_map(|(index, link)| {
        let around = ways.get(&link.peer)?.iter().find(|way| way.first != index)?;
        Some(Redundant {
            link: link.link,
            is_off_tree: !on_tree.contains(&index),
            detour: i128::from(around.cost) - i128::from(link.cost),
        })
    });
    redundant.collect()
}

/// The link to give up: one off the tree before others, then the one whose loss costs least.
#[must_use]
pub fn most_redundant(redundant: &[Redundant]) -> Option<Redundant> {
    let order = |r: &&Redundant| (!r.is_off_tree, r.detour, Reverse(r.link));
    redundant.iter().min_by_key(order).copied()
}

/// Of links without a way around them, the newest one of the host that has most: strangers can
/// make up keys, not so easily hosts. `None` unless that host keeps more than the newcomer's
/// has then.
#[must_use]
pub fn greediest(links: &[(LinkId, &str, Instant)], newcomer: &str) -> Option<LinkId> {
    let share = |host: &str| links.iter().filter(|(_, other, _)| *other == host).count();
    let greedy = links.iter().max_by_key(|(link, host, since)| (share(host), *since, *link))?;
    (share(greedy.1) > share(newcomer) + 1).then_some(greedy.0)
}

/// A way to a peer by the link `first`, an index.
#[derive(Clone, Copy, Debug)]
struct Way {
    cost: u64,
    first: usize,
}

/// An edge's place in the order in which the tree is grown; the same at all nodes.
type Weight<'a> = (u64, PeerKey, PeerKey, &'a ConnectionType);

struct Mesh<'a> {
    own: PeerKey,
    /// All edges, those of `own` with the index of their link.
    edges: Vec<(Weight<'a>, Option<usize>)>,
}

impl<'a> Mesh<'a> {
    fn new(own: PeerKey, edges: impl Iterator<Item = ToldEdge<'a>>, links: &[OwnLink<'a>]) -> Self {
        let weight =
            |a: PeerKey, b: PeerKey, kind, cost: u64| (cost.max(1), a.min(b), a.max(b), kind);
        let (near, far): (Vec<_>, Vec<_>) = edges.partition(|edge| edge.a == own || edge.b == own);
        let near = near.into_iter().map(|e| ((if e.a == own { e.b } else { e.a }, e.kind), e.cost));
        let told: BTreeMap<(PeerKey, &ConnectionType), u64> = near.collect();
        let far = far.into_iter().map(|edge| (weight(edge.a, edge.b, edge.kind, edge.cost), None));
        let near = links.iter().enumerate().map(|(index, link)| {
            let cost = told.get(&(link.peer, link.kind)).copied().unwrap_or(link.cost);
            (weight(own, link.peer, link.kind, cost), Some(index))
        });
        let mut edges: Vec<_> = far.chain(near).collect();
        edges.sort_unstable();
        Self { own, edges }
    }

    /// For each peer the cheapest way, and the cheapest one by another first link.
    fn ways(&self, links: &[OwnLink<'_>]) -> BTreeMap<PeerKey, Vec<Way>> {
        let mut around: BTreeMap<PeerKey, Vec<(PeerKey, u64)>> = BTreeMap::new();
        for ((cost, a, b, _), index) in &self.edges {
            if index.is_none() {
                around.entry(*a).or_default().push((*b, *cost));
                around.entry(*b).or_default().push((*a, *cost));
            }
        }
        let mut ways: BTreeMap<PeerKey, Vec<Way>> = BTreeMap::new();
        let mut heap = BinaryHeap::new();
        for (first, link) in links.iter().enumerate().filter(|(_, link)| link.is_trusted) {
            heap.push(Reverse((link.cost.max(1), first, link.peer)));
        }
        while let Some(Reverse((cost, first, peer))) = heap.pop() {
            let known = ways.entry(peer).or_default();
            if known.len() >= 2 || known.iter().any(|way| way.first == first) {
                continue;
            }
            known.push(Way { cost, first });
            for (far, more) in around.get(&peer).into_iter().flatten() {
                heap.push(Reverse((cost.saturating_add(*more), first, *far)));
            }
        }
        debug_assert!(!ways.contains_key(&self.own), "no edge leads back");
        ways
    }

    /// The indices of the links that belong to the cheapest spanning tree, by Kruskal.
    fn on_tree(&self, links: usize) -> Vec<usize> {
        let mut parents: BTreeMap<PeerKey, PeerKey> = BTreeMap::new();
        let mut on_tree = Vec::with_capacity(links);
        for ((_, a, b, _), index) in &self.edges {
            let (from, to) = (root(&mut parents, *a), root(&mut parents, *b));
            if from != to {
                parents.insert(from, to);
                on_tree.extend(*index);
            }
        }
        on_tree
    }
}

/// Who stands for the part of the tree that `peer` belongs to; makes the next search shorter.
fn root(parents: &mut BTreeMap<PeerKey, PeerKey>, mut peer: PeerKey) -> PeerKey {
    while let Some(parent) = parents.get(&peer).copied() {
        if let Some(grandparent) = parents.get(&parent).copied() {
            parents.insert(peer, grandparent);
        }
        peer = parent;
    }
    peer
}

#[cfg(test)]
mod tests;
