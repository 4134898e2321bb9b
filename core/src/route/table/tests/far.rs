//! Long ways and wide nodes.

use super::plain::{Plain, key};
use super::*;
use crate::limits::EDGES_MAX;

#[test]
fn a_path_of_path_hops_max_is_used_and_a_longer_one_is_only_seen() {
    let limit = usize::from(PATH_HOPS_MAX);
    let line: Vec<_> = (0..400).map(|n| (n, n + 1, 40, 40)).collect();
    let table = Plain::of(401, &line).table(0);
    let last = table.route(&key(limit)).unwrap();
    assert_eq!((usize::from(last.hops), last.hop_limit()), (limit, u8::MAX - 1));
    assert_eq!(table.route_to(&key(limit).address()), Some(last));
    for beyond in [limit + 1, 400] {
        assert_eq!(table.route(&key(beyond)), None);
        assert_eq!(table.route_to(&key(beyond).address()), None);
        assert_eq!(usize::from(table.reach(&key(beyond)).unwrap().hops), beyond);
    }
    assert_eq!(table.routes().count(), 400);
    assert_eq!(table.path(&key(400)).len(), 400);
}

#[test]
fn an_alternate_is_no_longer_than_a_frame_can_go() {
    let limit = usize::from(PATH_HOPS_MAX);
    for (around, covered) in [(limit, true), (limit + 1, false)] {
        // To the last of the ring by one edge, or all around.
        let ring = (1..around).map(|n| (n, n + 1, 24, 24));
        let edges: Vec<_> = ring.chain([(0, 1, 80, 80), (0, around, 80, 80)]).collect();
        let table = Plain::of(around + 1, &edges).table(0);
        let view = table.routes().find(|view| view.peer == key(around)).unwrap();
        assert_eq!(view.route.next_hop, key(around));
        assert_eq!(view.alternate.is_some(), covered, "{around}");
    }
}

#[test]
fn a_node_may_claim_edges_max_links_and_all_of_them_count() {
    let star: Vec<_> =
        (1..=EDGES_MAX).map(|n| (1 + n, 1, 40, 40)).chain([(0, 1, 40, 40)]).collect();
    let mesh = Plain::of(EDGES_MAX + 2, &star);
    let table = mesh.table(0);
    assert_eq!(table.routes().count(), EDGES_MAX + 1);
    assert_eq!(mesh.edges_of(&table, 1).len(), EDGES_MAX + 1);
}
