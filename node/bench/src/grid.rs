//! A square of nodes that one of them computes its routes over.

use hedgerow::Identity;
use hedgerow_core::advert::{Database, Offer};
use hedgerow_core::id::Instance;
use hedgerow_core::io::ConnectionType;
use hedgerow_core::network::Network;
use hedgerow_core::route::{LocalEdge, Table};
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::advert::{Adjacency, AdvertHead, AdvertKind, Cost, Edge, SignedAdvert};
use hedgerow_core::wire::control::AdvertCopy;

use crate::identity;

const NOW: Instant = Instant::from_millis(100_000);

/// What the node in the middle of a square knows of all others.
pub struct Grid {
    side: usize,
    nodes: Vec<Identity>,
    database: Database,
    table: Table,
    sequence: u64,
    now: Instant,
}

impl Grid {
    /// A square of so many nodes, whose routes and alternates are computed.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        let side = nodes.isqrt();
        let nodes: Vec<Identity> = (0..nodes).map(identity).collect();
        let middle = nodes.len() / 2 + side / 2;
        let own = nodes[middle].peer_key();
        let mut grid = Self {
            side,
            nodes,
            database: Database::new(network(), own),
            table: Table::new(own),
            sequence: 1,
            now: NOW,
        };
        let others = (0..grid.nodes.len()).filter(|node| *node != middle);
        others.for_each(|node| grid.tell(node, Cost(40)));
        let local = grid.near(middle).map(|peer| grid.edge(peer)).collect();
        grid.table.set_local(NOW, &grid.database, local);
        grid.compute();
        grid.compute_alternates();
        grid
    }

    /// One in which the cost of an edge far away has changed since.
    #[must_use]
    pub fn changed(nodes: usize) -> Self {
        let mut grid = Self::new(nodes);
        grid.sequence += 1;
        grid.tell(nodes - 1, Cost(41));
        grid
    }

    /// One whose routes were computed after that and whose alternates were not.
    #[must_use]
    pub fn computed(nodes: usize) -> Self {
        let mut grid = Self::changed(nodes);
        grid.compute();
        grid
    }

    fn near(&self, node: usize) -> impl Iterator<Item = usize> + use<> {
        let (side, nodes, column) = (self.side, self.nodes.len(), node % self.side);
        let left = (column > 0).then(|| node - 1);
        let right = (column + 1 < side && node + 1 < nodes).then_some(node + 1);
        let above = node.checked_sub(side);
        let below = (node + side < nodes).then_some(node + side);
        [left, right, above, below].into_iter().flatten()
    }

    fn edge(&self, peer: usize) -> LocalEdge {
        LocalEdge {
            peer: self.nodes[peer].peer_key(),
            kind: ConnectionType::other("Wire"),
            cost: Cost(40),
            payload_log2: 12,
            is_suspect: false,
        }
    }

    /// `node` says who is near; the first one of its edges costs `cost`.
    fn tell(&mut self, node: usize, cost: Cost) {
        let mut edges: Vec<Edge> = self.near(node).map(|peer| self.edge(peer).claim()).collect();
        if let Some(first) = edges.first_mut() {
            first.cost = cost;
        }
        let identity = &self.nodes[node];
        let head = AdvertHead {
            owner: *identity.peer_key().as_bytes(),
            kind: AdvertKind::Adjacency,
            key: 0,
            instance: Instance::from_bytes([1; 8]),
            epoch: 1,
            sequence: self.sequence,
        };
        let body = Adjacency { edges }.encode();
        let advert = SignedAdvert::sign(identity, &network(), head, &body).bytes;
        let copy = AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert };
        // Each in a second of its own: so many signatures are checked in one and no more.
        self.now += Duration::from_secs(1);
        let offer = self.database.offer(self.now, identity.peer_key(), copy);
        assert!(matches!(offer, Offer::Taken(_)), "the benchmark is broken: {offer:?}");
    }

    /// Takes in what changed and computes the routes.
    pub fn compute(&mut self) {
        let changed = self.database.take_changed();
        self.table.update(&self.database, &changed);
        self.table.compute(NOW);
    }

    /// Finds the alternates of all routes.
    pub fn compute_alternates(&mut self) {
        self.table.compute_alternates();
    }
}

fn network() -> Network {
    Network::open("bench").expect("a name that is short enough")
}
