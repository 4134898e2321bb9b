//! For how many ways the nodes have a loop-free alternate.

use hedgerow_core::id::PeerKey;
use std::collections::BTreeSet;

use super::mesh::Mesh;

/// The share of pairs (node, destination) for which the node has an alternate at hand.
#[must_use]
pub fn coverage(mesh: &Mesh) -> f64 {
    let nodes = mesh.nodes();
    let covered: usize = (0..nodes).map(|place| covered(mesh, place).len()).sum();
    covered as f64 / (nodes * (nodes - 1)) as f64
}

/// Those for whom the node at a place has an alternate.
#[must_use]
pub fn covered(mesh: &Mesh, place: usize) -> BTreeSet<PeerKey> {
    let node = mesh.world.host(mesh.node_at[place]).node();
    let routes = node.into_iter().flat_map(|node| node.routes());
    routes.filter(|view| view.alternate.is_some()).map(|view| view.peer).collect()
}

#[cfg(test)]
mod tests {
    use hedgerow_core::time::Duration;

    use super::super::mesh::Shape;
    use super::*;
    use crate::medium::Medium;

    #[test]
    fn a_line_has_none_and_a_square_those_to_the_far_corner() {
        let of = |shape, nodes| {
            let mut mesh = Mesh::new(shape, nodes, Medium::lan(), 1);
            mesh.complete(mesh.edges.len(), Duration::from_secs(10)).unwrap();
            mesh.world.run(Duration::from_secs(5));
            coverage(&mesh)
        };
        assert!(of(Shape::Line, 10) == 0.0);
        // Both ways to the far corner are equal; the long way to a neighbour leads back.
        assert!((of(Shape::Grid, 4) - 1.0 / 3.0).abs() < 1e-9);
    }
}
