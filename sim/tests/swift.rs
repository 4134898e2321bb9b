//! A swift world is the same mesh as a real one: it only computes less.

use std::sync::Arc;

use hedgerow_core::time::Duration;
use hedgerow_sim::chance::Chance;
use hedgerow_sim::swift::Remembered;
use hedgerow_sim::walk::{Ground, Walk};
use hedgerow_sim::{Medium, Plan, World, topology};

/// When all saw all, and what was sent until then.
fn converge(plan: Plan) -> (Duration, u64) {
    let mut world = World::new(plan);
    world.connect_all(0, &topology::grid(9));
    let end = world.now() + Duration::from_secs(5);
    assert!(world.run_until_true(end, World::all_see_all));
    assert_eq!(world.defects(), []);
    (world.age(), world.hosts().iter().map(|host| host.sent().total()).sum())
}

#[test]
fn quick_seals_and_remembered_signatures_change_nothing_but_the_tags() {
    let plan = Plan::new(5, 9, Medium::lan());
    let verifier = Arc::new(Remembered::default());
    let swift = Plan { verifier: verifier.clone(), ..plan.clone().swift() };
    assert_eq!(converge(plan), converge(swift));
    // Nine profiles, and some adjacencies for each of nine nodes; nine nodes checked each.
    assert!((18..150).contains(&verifier.checked()), "{}", verifier.checked());
}

#[test]
fn people_who_walk_keep_finding_each_other() {
    let mut world = World::new(Plan::new(2, 12, Medium::radio(5)).swift());
    let mut walk = Walk::new(Ground::park(12, 5.0), 12, Chance::new(2));
    let pace = Duration::from_secs(1);
    let mut linked = 0;
    for _ in 0..10 {
        walk.run(&mut world, 0, Duration::from_secs(10), pace);
        linked += world.truth().edges.len();
    }
    assert!(linked > 50, "{linked} links seen in 10 looks");
    assert_eq!(world.defects(), []);
}
