//! Whatever changes in whatever order, the routes are those of a mesh that was always so.

use super::plain::{Plain, key, number};
use super::*;

const NODES: usize = 7;

#[derive(Clone, Debug)]
enum Step {
    Claim(usize, usize, Option<u8>),
    Forget(usize),
    Collide(usize),
    Compute,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..NODES, 0..NODES, prop::option::weighted(0.8, 20_u8..60))
            .prop_map(|(from, to, cost)| Step::Claim(from, to, cost)),
        1 => (1..NODES).prop_map(Step::Forget),
        1 => (1..NODES).prop_map(Step::Collide),
        3 => Just(Step::Compute),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn routes_that_follow_changes_are_those_of_a_fresh_start(steps in steps()) {
        let (mut mesh, mut table) = (Plain::new(NODES), Table::new(key(0)));
        (0..NODES).for_each(|n| mesh.tell(&mut table, n));
        let mut shown: BTreeMap<usize, (Option<Route>, Vec<MeshEdge>)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Claim(from, to, cost) if from != to => {
                    mesh.claim(from, to, cost);
                    if from == 0 { mesh.link(&mut table, 0) } else { mesh.tell(&mut table, from) }
                }
                Step::Claim(..) => {}
                Step::Forget(n) => mesh.forget(&mut table, n),
                Step::Collide(n) => {
                    // For a moment.
                    table.topology.update(key(n).address(), Holder::Several, &|_| &[]);
                    mesh.tell(&mut table, n);
                }
                Step::Compute => {
                    let changed = table.compute(NOW);
                    for n in changed.iter().map(number) {
                        let route = table.route(&key(n)).copied();
                        shown.insert(n, (route, mesh.edges_of(&table, n)));
                    }
                    let fresh = mesh.table(0);
                    for n in 0..NODES {
                        let route = table.route(&key(n)).copied();
                        prop_assert_eq!(route, fresh.route(&key(n)).copied());
                        let edges = mesh.edges_of(&table, n);
                        prop_assert_eq!(&edges, &mesh.edges_of(&fresh, n));
                        // Who looks only at what is told to have changed sees the same.
                        let seen = shown.get(&n).cloned().unwrap_or_default();
                        prop_assert_eq!(seen.0, route);
                        if route.is_some() {
                            let ends = |edges: &[MeshEdge]| edges.iter()
                                .map(|edge| (edge.a, edge.b)).collect::<Vec<_>>();
                            prop_assert_eq!(ends(&seen.1), ends(&edges));
                        }
                    }
                    prop_assert!(!table.is_stale());
                }
            }
        }
    }
}

#[test]
fn forgotten_nodes_make_room_for_others() {
    let mut mesh = Plain::new(200);
    let mut table = Table::new(key(0));
    for n in 1..200 {
        mesh.claim(n, n - 1, Some(40));
        mesh.tell(&mut table, n);
        table.compute(NOW);
        if n > 10 {
            mesh.forget(&mut table, n - 10);
        }
    }
    table.compute(NOW);
    assert!(table.topology.len() < 15, "{} slots for 10 nodes", table.topology.len());
    assert_eq!(table.peers(), 10);
    assert!(table.slots.len() < 15 && table.entries.len() < 15);
}
