//! The same seed is the same run, to the last byte.

use hedgerow_core::time::Duration;
use hedgerow_sim::world::{Clock, Ending};
use hedgerow_sim::{Medium, Plan, World, topology};

/// A run with a bit of everything; its hash and how many things happened.
fn run(seed: u64) -> (u64, u64) {
    let plan = Plan { start_within: Duration::from_secs(1), ..Plan::new(seed, 6, Medium::lan()) };
    let mut world = World::new(plan);
    world.connect_all(0, &topology::ring(6));
    world.run(Duration::from_secs(3));
    world.crash(2, Ending::Told);
    world.suspend(4);
    world.run(Duration::from_secs(2));
    world.start(2);
    world.resume(4, Clock::Runs);
    world.disconnect(0, 0, 1);
    world.run(Duration::from_secs(30));
    assert_eq!(world.defects(), []);
    (world.log().hash(), world.log().count())
}

#[test]
fn one_seed_is_one_run_and_another_seed_another() {
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first.0, run(2).0);
}
