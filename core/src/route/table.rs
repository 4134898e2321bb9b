//! Shortest paths over the two-way edges of all adjacencies.

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::advert::Database;
use crate::id::PeerKey;
use crate::io::ConnectionType;
use crate::limits::{PATH_HOPS_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MIN};
use crate::wire::advert::{Cost, Edge};

/// The way to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The neighbour to hand frames to.
    pub next_hop: PeerKey,
    /// The sum of the edges' costs, in microseconds for 1,280 bytes.
    pub cost: u64,
    /// Hops; a neighbour is 1.
    pub hops: u8,
    /// The largest payload that every hop carries, in bytes.
    pub payload_bytes_max: usize,
}

/// One of this node's own live links, as it advertises it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEdge {
    /// The neighbour.
    pub peer: PeerKey,
    /// The medium.
    pub kind: ConnectionType,
    /// Its cost.
    pub cost: Cost,
    /// The largest payload is 2 to this power, in bytes.
    pub payload_log2: u8,
}

/// An edge that both ends claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeshEdge {
    /// The end with the lower key.
    pub a: PeerKey,
    /// The end with the higher key.
    pub b: PeerKey,
    /// The medium.
    pub kind: ConnectionType,
    /// The larger of both claims.
    pub cost: Cost,
    /// The smaller of both claims.
    pub payload_log2: u8,
}

/// All routes of this node, and the edges they follow from.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Table {
    routes: BTreeMap<PeerKey, Route>,
    edges: Vec<MeshEdge>,
}

/// The largest payload an edge carries.
fn payload_bytes(log2: u8) -> usize {
    1_usize
        .checked_shl(log2.into())
        .unwrap_or(PAYLOAD_BYTES_MAX)
        .clamp(PAYLOAD_BYTES_MIN, PAYLOAD_BYTES_MAX)
}

/// A node on the way of the search, in the order in which nodes are settled: the cheapest
/// first, of equal cost the one with fewer hops, then the one by the lower neighbour, so that
/// equal inputs give equal routes.
type Candidate = Reverse<(u64, u8, PeerKey, PeerKey, usize)>;

impl Table {
    /// Computes the routes of `own` from everybody's adverts and its own live links.
    #[must_use]
    pub fn compute(database: &Database, own: PeerKey, local: &[LocalEdge]) -> Self {
        let edges = two_way_edges(database, own, local);
        let mut neighbours: BTreeMap<PeerKey, Vec<(PeerKey, u64, usize)>> = BTreeMap::new();
        for edge in &edges {
            let (cost, payload) = (edge.cost.value().max(1), payload_bytes(edge.payload_log2));
            neighbours.entry(edge.a).or_default().push((edge.b, cost, payload));
            neighbours.entry(edge.b).or_default().push((edge.a, cost, payload));
        }
        let mut routes = BTreeMap::new();
        let mut heap: BinaryHeap<Candidate> = BinaryHeap::new();
        for (peer, cost, payload) in neighbours.get(&own).into_iter().flatten() {
            heap.push(Reverse((*cost, 1, *peer, *peer, *payload)));
        }
        while let Some(Reverse((cost, hops, next_hop, peer, payload_bytes_max))) = heap.pop() {
            if peer == own || routes.contains_key(&peer) {
                continue;
            }
            routes.insert(peer, Route { next_hop, cost, hops, payload_bytes_max });
            if hops >= PATH_HOPS_MAX {
                continue;
            }
            for (far, more, payload) in neighbours.get(&peer).into_iter().flatten() {
                if !routes.contains_key(far) {
                    let payload = payload_bytes_max.min(*payload);
                    heap.push(Reverse((cost + more, hops + 1, next_hop, *far, payload)));
                }
            }
        }
        Self { routes, edges }
    }

    /// The way to `peer`, if there is one.
    #[must_use]
    pub fn route(&self, peer: &PeerKey) -> Option<&Route> {
        self.routes.get(peer)
    }

    /// The peers on the way from `own` to `peer`, which is the last; empty without a route. Of
    /// ways that are equally good it names one.
    #[must_use]
    pub fn path(&self, own: &PeerKey, peer: &PeerKey) -> Vec<PeerKey> {
        let mut path = Vec::new();
        let mut at = *peer;
        // Backwards: each step leads to a peer that is one hop nearer at the edge's cost less.
        while let Some(route) = self.routes.get(&at) {
            path.push(at);
            let ends = self.edges.iter().filter_map(|edge| {
                let far = if edge.a == at { edge.b } else { edge.a };
                (edge.a == at || edge.b == at).then_some((far, edge.cost.value().max(1)))
            });
            let before = ends.filter_map(|(far, cost)| {
                let nearer = self.routes.get(&far).filter(|r| r.next_hop == route.next_hop)?;
                (nearer.hops + 1 == route.hops && nearer.cost + cost == route.cost).then_some(far)
            });
            at = before.min().unwrap_or(*own);
        }
        path.reverse();
        path
    }

    /// All routes.
    pub fn routes(&self) -> impl Iterator<Item = (&PeerKey, &Route)> {
        self.routes.iter()
    }

    /// All edges that both ends claim, in order.
    #[must_use]
    pub fn edges(&self) -> &[MeshEdge] {
        &self.edges
    }
}

fn two_way_edges(database: &Database, own: PeerKey, local: &[LocalEdge]) -> Vec<MeshEdge> {
    let mut edges = BTreeSet::new();
    for edge in local {
        // A live, authenticated link is both ends' claim, whatever the adverts say by now.
        let (a, b) = (own.min(edge.peer), own.max(edge.peer));
        let (kind, cost) = (edge.kind.clone(), edge.cost);
        edges.insert(MeshEdge { a, b, kind, cost, payload_log2: edge.payload_log2 });
    }
    // Keyed lookups, so that wide adjacencies do not make this quadratic.
    let mut claims: BTreeMap<(PeerKey, PeerKey, &ConnectionType), &Edge> = BTreeMap::new();
    for owner in database.peers().filter(|owner| *owner != own) {
        // A peer whose address another one shares cannot be told from it: it is unroutable.
        if database.by_address(&owner.address()) != Some(owner) {
            continue;
        }
        for edge in database.adjacency(&owner).into_iter().flat_map(|known| &known.edges) {
            if let Some(peer) = database.by_address(&edge.peer)
                && peer != own
            {
                claims.insert((owner, peer, &edge.kind), edge);
            }
        }
    }
    for ((owner, peer, kind), mine) in &claims {
        if owner < peer
            && let Some(theirs) = claims.get(&(*peer, *owner, *kind))
        {
            edges.insert(MeshEdge {
                a: *owner,
                b: *peer,
                kind: (*kind).clone(),
                cost: mine.cost.max(theirs.cost),
                payload_log2: mine.payload_log2.min(theirs.payload_log2),
            });
        }
    }
    edges.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entropy::tests::Seeded;
    use crate::id::Instance;
    use crate::identity::Identity;
    use crate::network::Network;
    use crate::time::Instant;
    use crate::wire::advert::{Adjacency, AdvertHead, AdvertKind, SignedAdvert};
    use crate::wire::control::AdvertCopy;

    /// A mesh of peers 0..n, seen from peer 0; claims are (owner, peer, cost).
    struct Mesh {
        peers: Vec<Identity>,
        claims: Vec<(usize, usize, u8)>,
    }

    impl Mesh {
        fn new(n: u64, claims: &[(usize, usize, u8)]) -> Self {
            let peers = (0..n).map(|seed| Identity::generate(&mut Seeded(seed))).collect();
            Self { peers, claims: claims.to_vec() }
        }

        fn two_way(n: u64, edges: &[(usize, usize, u8)]) -> Self {
            let back = edges.iter().map(|&(a, b, cost)| (b, a, cost));
            Self::new(n, &edges.iter().copied().chain(back).collect::<Vec<_>>())
        }

        fn key(&self, n: usize) -> PeerKey {
            self.peers[n].peer_key()
        }

        fn table(&self) -> Table {
            let network = Network::open("test").unwrap();
            let mut database = Database::new(network.clone(), self.key(0));
            for (n, identity) in self.peers.iter().enumerate().skip(1) {
                let edges = self.claims.iter().filter(|claim| claim.0 == n);
                let edges = edges.map(|&(_, peer, cost)| Edge {
                    peer: self.key(peer).address(),
                    kind: ConnectionType::AccessPoint,
                    cost: Cost(cost),
                    payload_log2: 16,
                });
                let head = AdvertHead {
                    owner: *identity.peer_key().as_bytes(),
                    kind: AdvertKind::Adjacency,
                    key: 0,
                    instance: Instance::from_bytes([0; 8]),
                    epoch: 1,
                    sequence: 1,
                };
                let body = Adjacency { edges: edges.collect() }.encode();
                let advert = SignedAdvert::sign(identity, &network, head, &body).bytes;
                let copy = AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert };
                database.offer(Instant::EPOCH, identity.peer_key(), copy);
            }
            let local: Vec<_> = self
                .claims
                .iter()
                .filter(|claim| claim.0 == 0)
                .map(|&(_, peer, cost)| LocalEdge {
                    peer: self.key(peer),
                    kind: ConnectionType::AccessPoint,
                    cost: Cost(cost),
                    payload_log2: 11,
                })
                .collect();
            Table::compute(&database, self.key(0), &local)
        }
    }

    #[test]
    fn the_cheaper_way_wins_and_carries_the_smallest_payload() {
        let mesh = Mesh::two_way(4, &[(0, 1, 20), (1, 3, 20), (0, 2, 40), (2, 3, 60)]);
        let table = mesh.table();
        let route = table.route(&mesh.key(3)).unwrap();
        assert_eq!((route.next_hop, route.hops), (mesh.key(1), 2));
        assert_eq!(route.payload_bytes_max, 2_048);
    }

    #[test]
    fn an_edge_that_one_end_alone_claims_does_not_count() {
        let mesh = Mesh::new(3, &[(0, 1, 9), (1, 0, 9), (1, 2, 9)]);
        assert_eq!(mesh.table().route(&mesh.key(2)), None);
        let liar = Mesh::new(3, &[(0, 1, 9), (1, 0, 9), (2, 1, 9)]);
        assert_eq!(liar.table().route(&liar.key(2)), None);
    }

    #[test]
    fn an_edge_to_this_node_needs_a_live_link() {
        let mesh = Mesh::new(3, &[(1, 0, 9), (1, 2, 9), (2, 1, 9)]);
        assert_eq!(mesh.table().routes().count(), 0);
    }

    #[test]
    fn the_larger_claim_is_the_cost() {
        let mesh = Mesh::new(3, &[(0, 1, 9), (1, 0, 9), (1, 2, 10), (2, 1, 50)]);
        let cost = mesh.table().route(&mesh.key(2)).unwrap().cost;
        assert_eq!(cost, Cost(9).value() + Cost(50).value());
    }

    #[test]
    fn the_path_goes_by_the_peers_that_make_the_cost() {
        // From 1 to 4 by 2 or by 3: as many hops, behind the same neighbour.
        for (good, bad) in [(2, 3), (3, 2)] {
            let (near, far) = ((1, good, 40), (1, bad, 42));
            let mesh = Mesh::two_way(5, &[(0, 1, 40), near, far, (2, 4, 40), (3, 4, 40)]);
            let path = mesh.table().path(&mesh.key(0), &mesh.key(4));
            assert_eq!(path, [1, good, 4].map(|n| mesh.key(n)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn costs_are_the_least_possible(
            edges in prop::collection::vec((0_usize..7, 0_usize..7, 1_u8..80), 0..14)
        ) {
            let mut edges: Vec<_> = edges.into_iter().filter(|(a, b, _)| a != b).collect();
            edges.sort_unstable();
            edges.dedup_by_key(|(a, b, _)| (*a, *b));
            let edges: Vec<_> =
                edges.iter().copied().filter(|&(a, b, _)| a < b).collect();
            let mesh = Mesh::two_way(7, &edges);
            let table = mesh.table();
            // Bellman-Ford as the other opinion.
            let mut least = [u64::MAX; 7];
            least[0] = 0;
            for _ in 0..7 {
                for &(a, b, cost) in &edges {
                    let cost = Cost(cost).value().max(1);
                    least[b] = least[b].min(least[a].saturating_add(cost));
                    least[a] = least[a].min(least[b].saturating_add(cost));
                }
            }
            for (n, least) in least.iter().enumerate().skip(1) {
                let route = table.route(&mesh.key(n));
                prop_assert_eq!(route.map_or(u64::MAX, |route| route.cost), *least);
                // The path is that route: its hops, its neighbour, its cost.
                let path = table.path(&mesh.key(0), &mesh.key(n));
                prop_assert_eq!(path.len(), route.map_or(0, |route| route.hops.into()));
                prop_assert_eq!(path.first().copied(), route.map(|route| route.next_hop));
                let from = core::iter::once(mesh.key(0)).chain(path.iter().copied());
                let cost = from.zip(&path).map(|(a, b)| {
                    let joins = |edge: &&MeshEdge| (edge.a, edge.b) == (a.min(*b), a.max(*b));
                    table.edges().iter().find(joins).unwrap().cost.value().max(1)
                });
                prop_assert_eq!(cost.sum::<u64>(), route.map_or(0, |route| route.cost));
                prop_assert_eq!(path.last().copied(), route.map(|_| mesh.key(n)));
            }
        }
    }
}
