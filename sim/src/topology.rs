//! Who is in reach of whom: shapes of meshes, as pairs of nodes, the lower number first.

use std::collections::BTreeSet;

use crate::chance::Chance;

/// Pairs of nodes in reach of each other.
pub type Edges = Vec<(usize, usize)>;

/// 0 - 1 - 2 - ... - n.
#[must_use]
pub fn line(nodes: usize) -> Edges {
    (1..nodes).map(|node| (node - 1, node)).collect()
}

/// A line whose ends meet. Under three nodes it is a line.
#[must_use]
pub fn ring(nodes: usize) -> Edges {
    let mut edges = line(nodes);
    if nodes > 2 {
        edges.push((0, nodes - 1));
    }
    edges
}

/// Rows as long as the square root of `nodes`, rounded up; the last row may be shorter. Everybody
/// reaches those to the left and right, above and below.
#[must_use]
pub fn grid(nodes: usize) -> Edges {
    let width = (1..).find(|width| width * width >= nodes).unwrap_or(1);
    let right = (1..nodes).filter(|node| node % width != 0).map(|node| (node - 1, node));
    let below = (width..nodes).map(|node| (node - width, node));
    let mut edges: Edges = right.chain(below).collect();
    edges.sort_unstable();
    edges
}

/// A tree in which everybody but the leaves has `children`.
#[must_use]
pub fn tree(nodes: usize, children: usize) -> Edges {
    (1..nodes).map(|node| ((node - 1) / children.max(1), node)).collect()
}

/// A point of the unit square.
pub type Point = (f64, f64);

/// The square of the distance of two points.
pub(crate) fn distance_squared(a: Point, b: Point) -> f64 {
    (a.0 - b.0).powi(2) + (a.1 - b.1).powi(2)
}

/// Random places in the unit square; two closer than a range reach each other. The range is the
/// smallest that makes `degree` neighbours on average and one mesh of all.
#[must_use]
pub fn geometric(nodes: usize, degree: f64, chance: &mut Chance) -> Edges {
    let places: Vec<Point> = (0..nodes).map(|_| (chance.fraction(), chance.fraction())).collect();
    let mut pairs: Vec<(f64, (usize, usize))> = (0..nodes)
        .flat_map(|b| (0..b).map(move |a| (a, b)))
        .map(|(a, b)| (distance_squared(places[a], places[b]), (a, b)))
        .collect();
    pairs.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
    // Each edge has two ends.
    let wanted = (nodes as f64 * degree / 2.0).ceil() as usize;
    let connected = edges_until_connected(nodes, pairs.iter().map(|(_, pair)| *pair));
    let mut edges: Edges =
        pairs.iter().take(wanted.max(connected)).map(|(_, pair)| *pair).collect();
    edges.sort_unstable();
    edges
}

/// How many of `pairs`, taken in order, make one mesh of all nodes.
fn edges_until_connected(nodes: usize, pairs: impl Iterator<Item = (usize, usize)>) -> usize {
    let mut islands: Vec<usize> = (0..nodes).collect();
    let mut left = nodes.saturating_sub(1);
    let mut taken = 0;
    for (a, b) in pairs {
        if left == 0 {
            break;
        }
        taken += 1;
        let (a, b) = (root(&mut islands, a), root(&mut islands, b));
        if a != b {
            islands[a] = b;
            left -= 1;
        }
    }
    taken
}

fn root(islands: &mut [usize], mut node: usize) -> usize {
    while islands[node] != node {
        islands[node] = islands[islands[node]];
        node = islands[node];
    }
    node
}

/// Whether all nodes are one mesh.
#[must_use]
pub fn is_connected(nodes: usize, edges: &[(usize, usize)]) -> bool {
    let mut near = vec![Vec::new(); nodes];
    for (a, b) in edges {
        near[*a].push(*b);
        near[*b].push(*a);
    }
    let mut seen = BTreeSet::from([0]);
    let mut next = vec![0];
    while let Some(node) = next.pop() {
        next.extend(near[node].iter().copied().filter(|other| seen.insert(*other)));
    }
    seen.len() == nodes.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn degrees(nodes: usize, edges: &Edges) -> Vec<usize> {
        let mut degrees = vec![0; nodes];
        edges.iter().flat_map(|(a, b)| [a, b]).for_each(|node| degrees[*node] += 1);
        degrees
    }

    /// No pair twice, the lower first, everybody in one mesh.
    fn check(nodes: usize, edges: &Edges) {
        assert!(edges.iter().all(|(a, b)| a < b && *b < nodes), "{edges:?}");
        assert_eq!(edges.iter().collect::<BTreeSet<_>>().len(), edges.len());
        assert!(is_connected(nodes, edges), "{nodes} nodes, {edges:?}");
    }

    #[test]
    fn a_line_has_two_ends_and_a_ring_none() {
        check(9, &line(9));
        assert_eq!(degrees(5, &line(5)), [1, 2, 2, 2, 1]);
        check(9, &ring(9));
        assert_eq!(degrees(5, &ring(5)), [2; 5]);
        assert_eq!(ring(2), line(2));
    }

    #[test]
    fn a_grid_is_as_wide_as_high_and_its_last_row_may_be_short() {
        check(49, &grid(49));
        assert_eq!(grid(49).len(), 2 * 7 * 6);
        let degrees_of_49 = degrees(49, &grid(49));
        assert_eq!(degrees_of_49.iter().filter(|d| **d == 2).count(), 4, "corners");
        assert_eq!(degrees_of_49.iter().filter(|d| **d == 4).count(), 25, "the inside");
        check(10, &grid(10));
        assert_eq!(grid(10).len(), 3 + 3 + 1 + 4 + 2);
    }

    #[test]
    fn a_tree_has_one_way_between_any_two() {
        check(40, &tree(40, 3));
        assert_eq!(tree(40, 3).len(), 39);
        assert_eq!(degrees(40, &tree(40, 3))[..3], [3, 4, 4]);
        assert_eq!(tree(5, 1), line(5));
    }

    #[test]
    fn random_places_make_one_mesh_of_the_degree_asked_for() {
        for seed in 0..20 {
            let edges = geometric(100, 6.0, &mut Chance::new(seed));
            check(100, &edges);
            // Where the range had to grow until all are one mesh, there are more.
            assert!((300..700).contains(&edges.len()), "{}", edges.len());
        }
        let [one, same, other] = [1, 1, 2].map(|seed| geometric(50, 6.0, &mut Chance::new(seed)));
        assert!(one == same && one != other);
    }

    #[test]
    fn two_islands_are_not_one_mesh() {
        assert!(!is_connected(4, &[(0, 1), (2, 3)]));
        assert!(is_connected(4, &[(0, 1), (2, 3), (1, 2)]));
    }
}
