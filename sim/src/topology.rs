//! Who is in reach of whom: shapes of meshes, as pairs of nodes.

/// 0 - 1 - 2 - ... - n.
#[must_use]
pub fn line(nodes: usize) -> Vec<(usize, usize)> {
    (1..nodes).map(|node| (node - 1, node)).collect()
}

/// A line whose ends meet. Under three nodes it is a line.
#[must_use]
pub fn ring(nodes: usize) -> Vec<(usize, usize)> {
    let mut edges = line(nodes);
    if nodes > 2 {
        edges.push((0, nodes - 1));
    }
    edges
}
