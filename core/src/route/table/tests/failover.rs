//! A neighbour is lost, or in doubt.

use super::*;

/// Peer 3 is reached by 1, and by 2 a little dearer; 4 only behind 1; 5 behind 3.
fn mesh() -> Mesh {
    let near = [(0, 1, 40), (0, 2, 42)];
    let far = [(1, 3, 40), (2, 3, 40), (1, 4, 40), (3, 5, 40)];
    Mesh::two_way(6, &[near.as_slice(), &far].concat())
}

struct Bench {
    mesh: Mesh,
    database: Database,
    table: Table,
    local: Vec<LocalEdge>,
}

impl Bench {
    fn new(mesh: Mesh) -> Self {
        let mut database = mesh.database();
        let changed = database.take_changed();
        let mut table = Table::new(mesh.key(0));
        table.update(&database, &changed);
        let local: Vec<_> = mesh.edges(0).collect();
        table.set_local(NOW, &database, local.clone());
        table.compute(NOW);
        table.compute_alternates();
        Self { mesh, database, table, local }
    }

    fn local(&mut self, now: Instant, local: Vec<LocalEdge>) {
        self.table.set_local(now, &self.database, local);
        self.table.compute(now);
        self.table.compute_alternates();
    }

    /// The links without the one to `n`.
    fn without(&self, n: usize) -> Vec<LocalEdge> {
        let lost = self.mesh.key(n);
        self.local.iter().filter(|edge| edge.peer != lost).cloned().collect()
    }

    fn suspect(&self, n: usize) -> Vec<LocalEdge> {
        let peer = self.mesh.key(n);
        let mut local = self.local.clone();
        for edge in local.iter_mut().filter(|edge| edge.peer == peer) {
            (edge.is_suspect, edge.cost) = (true, Cost::from_microseconds(60_000_000));
        }
        local
    }

    fn next_hop(&self, n: usize) -> Option<usize> {
        let next = self.table.route(&self.mesh.key(n))?.next_hop;
        (0..6).find(|n| self.mesh.key(*n) == next)
    }

    fn held(&self) -> usize {
        self.table.routes().filter(|view| view.is_held).count()
    }
}

const LATER: Instant = Instant::from_millis(1_000);

#[test]
fn the_peers_behind_a_lost_neighbour_go_by_their_alternate_at_once() {
    let mut bench = Bench::new(mesh());
    assert_eq!([3, 4, 5].map(|n| bench.next_hop(n)), [Some(1); 3]);
    bench.table.set_local(LATER, &bench.database, bench.without(1));
    // Before anything is computed.
    assert_eq!([3, 5].map(|n| bench.next_hop(n)), [Some(2); 2]);
    bench.table.compute(LATER);
    assert_eq!([1, 3, 4, 5].map(|n| bench.next_hop(n)), [Some(2); 4]);
}

/// From 0, 5 is reached by 1; by 2, which is dear and safe; and by 3, which is cheaper and would send
/// it back, as its own way to 5 leads over 0.
fn with_a_trap() -> Mesh {
    let by_1 = [(0, 1, 40), (1, 5, 40)];
    let by_2 = [(0, 2, 48), (2, 5, 53)];
    let by_3 = [(0, 3, 24), (3, 4, 56), (4, 5, 24)];
    Mesh::two_way(6, &[by_1.as_slice(), &by_2, &by_3].concat())
}

#[test]
fn an_alternate_stays_in_use_until_the_others_have_heard_of_the_failure() {
    let mut bench = Bench::new(with_a_trap());
    let view = bench.table.routes().find(|view| view.peer == bench.mesh.key(5)).unwrap();
    assert_eq!(view.alternate.map(|a| a.route.next_hop), Some(bench.mesh.key(2)));
    assert_eq!(bench.next_hop(5), Some(1));
    bench.local(LATER, bench.without(1));
    // 3 is the shortest now, and does not know that it is.
    assert_eq!((bench.next_hop(5), bench.held()), (Some(2), 2));
    let end = LATER + FAILOVER_HOLD;
    assert_eq!(bench.table.next_timeout(), Some(end));
    bench.table.compute(end);
    assert_eq!((bench.next_hop(5), bench.held()), (Some(3), 0));
    assert_eq!(bench.table.next_timeout(), None);
}

#[test]
fn a_suspect_link_is_as_good_as_lost_until_it_is_trusted_again() {
    let mut bench = Bench::new(with_a_trap());
    bench.local(LATER, bench.suspect(1));
    assert_eq!((bench.next_hop(5), bench.held()), (Some(2), 2), "4 is behind 5");
    bench.local(LATER, bench.local.clone());
    assert_eq!((bench.next_hop(5), bench.held()), (Some(1), 0), "nobody else heard of it");
}

#[test]
fn without_an_alternate_the_new_shortest_path_is_used_at_once() {
    let edges = [(0, 1, 40), (1, 5, 40), (0, 3, 24), (3, 4, 56), (4, 5, 24)];
    let mut bench = Bench::new(Mesh::two_way(6, &edges));
    assert!(bench.table.routes().all(|view| view.alternate.is_none()));
    bench.local(LATER, bench.without(1));
    assert_eq!((bench.next_hop(5), bench.held()), (Some(3), 0));
}

#[test]
fn where_the_alternate_is_the_new_shortest_path_nothing_is_held() {
    let mut bench = Bench::new(mesh());
    bench.local(LATER, bench.without(1));
    assert_eq!((bench.next_hop(5), bench.held()), (Some(2), 0));
    assert_eq!(bench.table.next_timeout(), None);
}

#[test]
fn when_the_alternate_is_lost_too_the_shortest_path_is_used() {
    let mut bench = Bench::new(with_a_trap());
    bench.local(LATER, bench.without(1));
    assert_eq!(bench.next_hop(5), Some(2));
    bench.local = bench.without(1);
    bench.local(LATER, bench.without(2));
    assert_eq!((bench.next_hop(5), bench.held()), (Some(3), 0));
}

#[test]
fn two_links_lost_at_once_leave_the_shortest_path() {
    let mut bench = Bench::new(with_a_trap());
    bench.local = bench.without(1);
    bench.local(LATER, bench.without(2));
    assert_eq!((bench.next_hop(5), bench.held()), (Some(3), 0));
    bench.local(LATER, Vec::new());
    assert_eq!(bench.table.routes().count(), 0);
}

#[test]
fn a_second_link_to_the_same_neighbour_is_no_failure() {
    let mut bench = Bench::new(with_a_trap());
    let second =
        LocalEdge { kind: ConnectionType::Bluetooth, cost: Cost(44), ..bench.local[0].clone() };
    assert_eq!(second.peer, bench.mesh.key(1));
    let both: Vec<_> = bench.local.iter().cloned().chain([second.clone()]).collect();
    bench.local(LATER, both);
    let slow: Vec<_> = bench.without(1).into_iter().chain([second]).collect();
    bench.local(LATER, slow);
    assert_eq!((bench.next_hop(5), bench.held()), (Some(1), 0));
}

#[test]
fn what_cannot_be_reached_any_more_is_not_held() {
    // 5 is behind 1 and 2 in common by 3, which says at the same moment that 5 is gone.
    let mut bench = Bench::new(mesh());
    bench.mesh.claims.retain(|claim| claim.0 != 3 || claim.1 != 5);
    bench.mesh.tell(&mut bench.database, 3, 2);
    let changed = bench.database.take_changed();
    bench.table.update(&bench.database, &changed);
    bench.local(LATER, bench.without(1));
    assert_eq!((bench.next_hop(5), bench.held()), (None, 0));
}

#[test]
fn alternates_are_of_the_same_edges_as_the_routes() {
    let mut bench = Bench::new(with_a_trap());
    let local = bench.without(3);
    bench.table.set_local(LATER, &bench.database, local);
    bench.table.compute(LATER);
    assert!(bench.table.lacks_alternates());
    bench.mesh.claims.iter_mut().filter(|claim| claim.0 == 2).for_each(|claim| claim.2 = 60);
    bench.mesh.tell(&mut bench.database, 2, 2);
    let changed = bench.database.take_changed();
    bench.table.update(&bench.database, &changed);
    assert!(!bench.table.lacks_alternates(), "the routes come first");
    bench.table.compute(LATER);
    assert!(bench.table.lacks_alternates());
    bench.table.compute_alternates();
    assert!(!bench.table.lacks_alternates());
}
