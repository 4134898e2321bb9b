//! For how many ways there is a loop-free alternate, by the shape alone.

use super::mesh::{Mesh, distances};

/// The share of pairs (node, destination) for which the node has a neighbour, other than its next
/// hop, that does not send frames for the destination back to it (RFC 5286, inequality 1), all
/// links costing the same. Of several next hops that are equally good, each is an alternate to
/// the others.
#[must_use]
pub fn coverage(mesh: &Mesh) -> f64 {
    let nodes = mesh.nodes();
    let mut near = vec![Vec::new(); nodes];
    for (a, b) in &mesh.edges {
        near[*a].push(*b);
        near[*b].push(*a);
    }
    let mut covered = 0_u64;
    for to in 0..nodes {
        let hops = distances(to, &near);
        for node in (0..nodes).filter(|node| *node != to) {
            let Some(own) = hops[node] else { continue };
            let is_loop_free = |other: &&usize| hops[**other].is_some_and(|far| far < own + 1);
            // One of them is the next hop itself.
            covered += u64::from(near[node].iter().filter(is_loop_free).count() > 1);
        }
    }
    covered as f64 / (nodes * (nodes - 1)) as f64
}

#[cfg(test)]
mod tests {
    use super::super::mesh::Shape;
    use super::*;
    use crate::medium::Medium;

    #[test]
    fn a_line_has_none_and_a_grid_most() {
        let of = |shape, nodes| coverage(&Mesh::new(shape, nodes, Medium::lan(), 1));
        assert!(of(Shape::Line, 10) == 0.0);
        // In a square of four both ways to the far corner are equal; none to a neighbour.
        assert!((of(Shape::Grid, 4) - 1.0 / 3.0).abs() < 1e-9);
    }
}
