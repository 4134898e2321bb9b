//! Routes over small meshes of true adverts.

mod changes;
mod failover;
mod far;
mod loop_free;
mod plain;

use proptest::prelude::*;

use super::*;
use crate::entropy::tests::Seeded;
use crate::id::Instance;
use crate::identity::Identity;
use crate::io::ConnectionType;
use crate::network::Network;
use crate::wire::advert::{AdvertHead, AdvertKind, Cost, SignedAdvert};
use crate::wire::control::AdvertCopy;

const NOW: Instant = Instant::EPOCH;

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

    fn edges(&self, n: usize) -> impl Iterator<Item = LocalEdge> + '_ {
        let mine = self.claims.iter().filter(move |claim| claim.0 == n);
        mine.map(move |&(_, peer, cost)| LocalEdge {
            peer: self.key(peer),
            kind: ConnectionType::AccessPoint,
            cost: Cost(cost),
            payload_log2: if n == 0 { 11 } else { 16 },
            is_suspect: false,
        })
    }

    fn tell(&self, database: &mut Database, n: usize, sequence: u64) {
        let (identity, network) = (&self.peers[n], Network::open("test").unwrap());
        let head = AdvertHead {
            owner: *identity.peer_key().as_bytes(),
            kind: AdvertKind::Adjacency,
            key: 0,
            instance: Instance::from_bytes([0; 8]),
            epoch: 1,
            sequence,
        };
        let body = Adjacency { edges: self.edges(n).map(|edge| edge.claim()).collect() }.encode();
        let advert = SignedAdvert::sign(identity, &network, head, &body).bytes;
        let copy = AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert };
        database.offer(NOW, identity.peer_key(), copy);
    }

    fn database(&self) -> Database {
        let mut database = Database::new(Network::open("test").unwrap(), self.key(0));
        (1..self.peers.len()).for_each(|n| self.tell(&mut database, n, 1));
        database
    }

    fn table(&self) -> Table {
        let mut database = self.database();
        let mut table = Table::new(self.key(0));
        let changed = database.take_changed();
        table.update(&database, &changed);
        table.set_local(NOW, &database, self.edges(0).collect());
        table.compute(NOW);
        table
    }
}

#[test]
fn the_cheaper_way_wins_and_carries_the_smallest_payload() {
    let mesh = Mesh::two_way(4, &[(0, 1, 20), (1, 3, 20), (0, 2, 40), (2, 3, 60)]);
    let table = mesh.table();
    let route = table.route(&mesh.key(3)).unwrap();
    assert_eq!((route.next_hop, route.hops), (mesh.key(1), 2));
    assert_eq!(route.payload_bytes_max, 2_048);
    assert_eq!(table.route_to(&mesh.key(3).address()), Some(route));
}

#[test]
fn of_equal_ways_fewer_hops_win_and_then_the_lower_neighbour() {
    // Two hops of 8 µs cost what one of 16 µs does.
    assert_eq!(Cost(24).value() * 2, Cost(32).value());
    let mesh = Mesh::two_way(3, &[(0, 1, 24), (1, 2, 24), (0, 2, 32)]);
    assert_eq!(mesh.table().route(&mesh.key(2)).unwrap().next_hop, mesh.key(2));
    let mesh = Mesh::two_way(4, &[(0, 1, 24), (0, 2, 24), (1, 3, 24), (2, 3, 24)]);
    let lower = mesh.key(1).min(mesh.key(2));
    assert_eq!(mesh.table().route(&mesh.key(3)).unwrap().next_hop, lower);
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
fn a_live_link_needs_no_advert() {
    let mesh = Mesh::new(2, &[(0, 1, 9)]);
    let (database, mut table) =
        (Database::new(Network::open("test").unwrap(), mesh.key(0)), Table::new(mesh.key(0)));
    table.set_local(NOW, &database, mesh.edges(0).collect());
    assert_eq!(table.compute(NOW), BTreeSet::from([mesh.key(0), mesh.key(1)]));
    assert_eq!(table.route(&mesh.key(1)).unwrap().hops, 1);
    assert_eq!((table.edges_of(&database, &mesh.key(1)).len(), table.peers()), (1, 1));
    table.set_local(NOW, &database, Vec::new());
    assert_eq!(table.compute(NOW), BTreeSet::from([mesh.key(0), mesh.key(1)]));
    assert_eq!((table.route(&mesh.key(1)), table.peers()), (None, 0));
}

#[test]
fn the_larger_claim_is_the_cost_of_own_links_too() {
    let mesh = Mesh::new(3, &[(0, 1, 9), (1, 0, 90), (1, 2, 10), (2, 1, 50)]);
    let cost = mesh.table().route(&mesh.key(2)).unwrap().cost;
    assert_eq!(cost, Cost(90).value() + Cost(50).value());
}

#[test]
fn an_edge_that_is_claimed_twice_costs_the_dearer_claim_and_counts_once() {
    let mesh = Mesh::new(3, &[(0, 1, 9), (1, 0, 9), (1, 2, 9), (1, 2, 30), (2, 1, 10)]);
    let table = mesh.table();
    assert_eq!(table.route(&mesh.key(2)).unwrap().cost, Cost(9).value() + Cost(30).value());
    assert_eq!(table.edges_of(&mesh.database(), &mesh.key(2)).len(), 1);
}

#[test]
fn peers_that_share_an_address_have_no_edges() {
    let mesh = Mesh::two_way(3, &[(0, 1, 9), (1, 2, 9)]);
    let mut table = mesh.table();
    let claims = claims_in_none;
    table.topology.update(mesh.key(1).address(), Holder::Several, &claims);
    table.compute(NOW);
    assert_eq!(table.routes().count(), 0);
    assert_eq!(table.route_to(&mesh.key(1).address()), None);
    let database = mesh.database();
    table.update(&database, &Changed::Owners(BTreeSet::from([mesh.key(1)])));
    table.compute(NOW);
    assert_eq!(table.routes().count(), 2, "one of them is gone");
}

/// Two keys of one address cannot be made here: the topology is told that there are.
#[test]
fn who_takes_anothers_place_is_another_peer() {
    let mesh = Mesh::two_way(3, &[(0, 1, 9), (1, 2, 9)]);
    let mut table = mesh.table();
    let (address, newcomer) = (mesh.key(2).address(), plain::key(7));
    table.topology.update(address, Holder::One(newcomer), &claims_in_none);
    let changed = table.compute(NOW);
    assert!(changed.is_superset(&BTreeSet::from([mesh.key(2), newcomer])));
    assert_eq!((table.reach(&mesh.key(2)), table.reach(&newcomer)), (None, None));
}

fn claims_in_none(_: &PeerKey) -> &'static [Edge] {
    &[]
}

#[test]
fn what_changes_is_told_and_nothing_else() {
    let mut mesh = Mesh::two_way(5, &[(0, 1, 9), (1, 2, 9), (0, 3, 9), (3, 4, 9)]);
    let (mut database, mut table) = (mesh.database(), Table::new(mesh.key(0)));
    let changed = database.take_changed();
    table.update(&database, &changed);
    table.set_local(NOW, &database, mesh.edges(0).collect());
    assert_eq!(table.compute(NOW).len(), 5);
    assert!(!table.is_stale());
    // Signed again without a change.
    mesh.tell(&mut database, 2, 2);
    let changed = database.take_changed();
    table.update(&database, &changed);
    assert!(!table.is_stale());
    mesh.claims.iter_mut().filter(|claim| claim.0 == 2).for_each(|claim| claim.2 = 20);
    mesh.tell(&mut database, 2, 3);
    let changed = database.take_changed();
    table.update(&database, &changed);
    assert!(table.is_stale());
    assert_eq!(table.compute(NOW), BTreeSet::from([mesh.key(1), mesh.key(2)]));
    assert_eq!(table.route(&mesh.key(2)).unwrap().cost, Cost(9).value() + Cost(20).value());
}

#[test]
fn the_path_goes_by_the_peers_that_make_the_cost() {
    // From 1 to 4 by 2 or by 3: as many hops, behind the same neighbour.
    for (good, bad) in [(2, 3), (3, 2)] {
        let (near, far) = ((1, good, 40), (1, bad, 42));
        let mesh = Mesh::two_way(5, &[(0, 1, 40), near, far, (2, 4, 40), (3, 4, 40)]);
        let path = mesh.table().path(&mesh.key(4));
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
        let database = mesh.database();
        for (n, least) in least.iter().enumerate().skip(1) {
            let route = table.route(&mesh.key(n));
            prop_assert_eq!(route.map_or(u64::MAX, |route| route.cost), *least);
            // The path is that route: its hops, its neighbour, its cost.
            let path = table.path(&mesh.key(n));
            prop_assert_eq!(path.len(), route.map_or(0, |route| route.hops.into()));
            prop_assert_eq!(path.first().copied(), route.map(|route| route.next_hop));
            let from = core::iter::once(mesh.key(0)).chain(path.iter().copied());
            let cost = from.zip(&path).map(|(a, b)| {
                let joins = |edge: &&MeshEdge| (edge.a, edge.b) == (a.min(*b), a.max(*b));
                let edges = table.edges_of(&database, b);
                edges.iter().find(joins).unwrap().cost.value().max(1)
            });
            prop_assert_eq!(cost.sum::<u64>(), route.map_or(0, |route| route.cost));
            prop_assert_eq!(path.last().copied(), route.map(|_| mesh.key(n)));
        }
    }
}
