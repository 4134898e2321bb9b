//! An alternate never leads back, whatever the mesh looks like.

use super::plain::{Plain, key, number};
use super::*;
use crate::limits::ALTERNATE_NEIGHBOURS_MAX;

const NODES: usize = 12;

fn meshes() -> impl Strategy<Value = Plain> {
    let edge = (0..NODES, 0..NODES, 20_u8..60, 0_u8..24);
    prop::collection::vec(edge, 8..40).prop_map(|edges| {
        let mut mesh = Plain::new(NODES);
        for (a, b, cost, more) in edges.into_iter().filter(|(a, b, ..)| a != b) {
            // Some pairs agree on the cost, others do not.
            mesh.claim(a, b, Some(cost));
            mesh.claim(b, a, Some(cost + more.saturating_sub(12)));
        }
        mesh
    })
}

/// Who a frame for `to` comes by from `at` on, as long as all others know of no failure.
fn walk(tables: &[Table], at: usize, to: usize) -> Vec<usize> {
    let mut seen = alloc::vec![at];
    while seen.last() != Some(&to) && seen.len() <= NODES {
        let here = seen[seen.len() - 1];
        let route = tables[here].route(&key(to)).expect("a neighbour's way");
        seen.push(number(&route.next_hop));
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn an_alternate_never_loops_and_is_found_where_there_is_one(mesh in meshes()) {
        let tables: Vec<Table> = (0..NODES).map(|n| mesh.table(n)).collect();
        let far = |from: usize, to: usize| match from == to {
            true => Some(0),
            false => tables[from].route(&key(to)).map(|route| route.cost),
        };
        for (own, table) in tables.iter().enumerate() {
            for view in table.routes() {
                let to = number(&view.peer);
                let first = number(&view.route.next_hop);
                let neighbours: Vec<usize> =
                    (0..NODES).filter(|n| *n != own && !mesh.edges_of(table, *n).iter()
                        .all(|edge| edge.a != key(own) && edge.b != key(own))).collect();
                let is_safe = |via: &&usize| {
                    let there = far(**via, to).unwrap();
                    **via != first && there < far(**via, own).unwrap() + far(own, to).unwrap()
                };
                let protects = |via: &&usize| {
                    let there = far(**via, to).unwrap();
                    first == to
                        || there < far(**via, first).unwrap() + far(first, to).unwrap()
                };
                let safe: Vec<_> = neighbours.iter().filter(is_safe).collect();
                if neighbours.len() <= ALTERNATE_NEIGHBOURS_MAX {
                    prop_assert_eq!(view.alternate.is_some(), !safe.is_empty());
                    let best = safe.iter().any(protects);
                    prop_assert_eq!(view.alternate.is_some_and(|a| a.protects_node), best);
                }
                let Some(Alternate { route, protects_node }) = view.alternate else { continue };
                let via = number(&route.next_hop);
                prop_assert!(via != first);
                let way = walk(&tables, via, to);
                prop_assert_eq!(way.last(), Some(&to));
                prop_assert!(!way.contains(&own), "from {own} by {way:?}, not by {first}");
                if protects_node && first != to {
                    prop_assert!(!way.contains(&first), "from {own} by {way:?}");
                }
            }
        }
    }
}

#[test]
fn a_ring_has_alternates_for_those_beyond_the_middle_only() {
    // 0 - 1 - 2 - 3 - 4 - 0, all alike: from 0, the way to 1 is direct, and 4 would send what is
    // for 1 back, as both ways are not longer over 0.
    let ring: Vec<_> = (0..5).map(|n| (n, (n + 1) % 5, 40, 40)).collect();
    let table = Plain::of(5, &ring).table(0);
    let covered: BTreeMap<usize, bool> =
        table.routes().map(|view| (number(&view.peer), view.alternate.is_some())).collect();
    assert_eq!(covered, BTreeMap::from([(1, false), (2, true), (3, true), (4, false)]));
}

#[test]
fn no_more_neighbours_are_tried_than_the_limit_says() {
    // The neighbours 1 to 20 all lead to 21; 1 is the cheapest, then 2, and so on.
    let last = ALTERNATE_NEIGHBOURS_MAX;
    for (only, found) in [(last, true), (last + 1, false)] {
        let near = (1..=20).map(|n| (0, n, 40 + n as u8, 40 + n as u8));
        // Of the others, `only` has a way that does not lead over 0.
        let far = [(1, 21, 40, 40), (only, 21, 41, 41)];
        let mesh = Plain::of(22, &near.chain(far).collect::<Vec<_>>());
        let table = mesh.table(0);
        let view = table.routes().find(|view| view.peer == key(21)).unwrap();
        assert_eq!(view.route.next_hop, key(1));
        assert_eq!(view.alternate.map(|a| a.route.next_hop), found.then(|| key(only)));
    }
}

#[test]
fn a_suspect_neighbour_is_nobodys_alternate() {
    let mesh = Mesh::two_way(4, &[(0, 1, 40), (0, 2, 42), (1, 3, 40), (2, 3, 40)]);
    for is_suspect in [false, true] {
        let mut database = mesh.database();
        let changed = database.take_changed();
        let mut table = Table::new(mesh.key(0));
        table.update(&database, &changed);
        let mut local: Vec<_> = mesh.edges(0).collect();
        local[1].is_suspect = is_suspect;
        table.set_local(NOW, &database, local);
        table.compute(NOW);
        table.compute_alternates();
        let view = table.routes().find(|view| view.peer == mesh.key(3)).unwrap();
        assert_eq!(view.alternate.is_some(), !is_suspect);
    }
}
