//! Meshes of claims without signatures, seen from any of their nodes.

use super::*;

pub(super) fn key(n: usize) -> PeerKey {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    PeerKey::from_checked(bytes)
}

pub(super) fn number(peer: &PeerKey) -> usize {
    usize::from_be_bytes(peer.as_bytes()[..8].try_into().unwrap())
}

/// What each node claims: (peer, cost).
#[derive(Clone, Debug)]
pub(super) struct Plain {
    claims: Vec<Vec<Edge>>,
}

impl Plain {
    pub(super) fn new(nodes: usize) -> Self {
        Self { claims: alloc::vec![Vec::new(); nodes] }
    }

    /// Edges are (a, b, the claim of a, the claim of b).
    pub(super) fn of(nodes: usize, edges: &[(usize, usize, u8, u8)]) -> Self {
        let mut mesh = Self::new(nodes);
        for &(a, b, mine, theirs) in edges {
            mesh.claim(a, b, Some(mine));
            mesh.claim(b, a, Some(theirs));
        }
        mesh
    }

    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }

    pub(super) fn claim(&mut self, from: usize, to: usize, cost: Option<u8>) {
        let peer = key(to).address();
        self.claims[from].retain(|edge| edge.peer != peer);
        let kind = ConnectionType::AccessPoint;
        let edge = |cost| Edge { peer, kind: kind.clone(), cost: Cost(cost), payload_log2: 12 };
        self.claims[from].extend(cost.map(edge));
    }

    fn claims<'a>(&'a self) -> impl Fn(&PeerKey) -> &'a [Edge] {
        |peer| self.claims.get(number(peer)).map_or(&[], Vec::as_slice)
    }

    /// Tells `table` of the claims of `n`.
    pub(super) fn tell(&self, table: &mut Table, n: usize) {
        table.topology.update(key(n).address(), Holder::One(key(n)), &self.claims());
    }

    /// Tells `table` of an owner that is forgotten.
    pub(super) fn forget(&mut self, table: &mut Table, n: usize) {
        self.claims[n].clear();
        table.topology.update(key(n).address(), Holder::Nobody, &self.claims());
    }

    /// Links of `own` to everybody it claims.
    pub(super) fn link(&self, table: &mut Table, own: usize) {
        let mut local = Vec::new();
        for peer in (0..self.len()).filter(|peer| *peer != own) {
            let edges = self.claims[own].iter().filter(|edge| edge.peer == key(peer).address());
            local.extend(edges.map(|edge| LocalEdge {
                peer: key(peer),
                kind: edge.kind.clone(),
                cost: edge.cost,
                payload_log2: edge.payload_log2,
                is_suspect: false,
            }));
        }
        table.topology.set_local(local, &self.claims());
    }

    /// The routes and alternates of `own`.
    pub(super) fn table(&self, own: usize) -> Table {
        let mut table = Table::new(key(own));
        (0..self.len()).for_each(|n| self.tell(&mut table, n));
        self.link(&mut table, own);
        table.compute(NOW);
        table.compute_alternates();
        table
    }

    pub(super) fn edges_of(&self, table: &Table, n: usize) -> Vec<MeshEdge> {
        let slot = table.topology.slot(&key(n).address());
        slot.map_or_else(Vec::new, |slot| table.topology.edges(slot, &self.claims()))
    }
}
