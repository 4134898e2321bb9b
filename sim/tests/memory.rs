//! What a node allocates is on its account, all of it and nothing else.

use hedgerow_core::time::Duration;
use hedgerow_sim::world::Ending;
use hedgerow_sim::{Medium, Plan, World, topology};

#[test]
fn a_node_that_is_gone_has_given_everything_back() {
    let mut world = World::new(Plan::new(3, 5, Medium::lan()));
    world.connect_all(0, &topology::ring(5));
    world.run(Duration::from_millis(1));
    let alone = world.host(2).memory();
    assert!((1_000..100_000).contains(&alone), "{alone} bytes");
    world.run(Duration::from_secs(5));
    assert!(world.all_see_all() && world.host(2).memory() > alone, "it knows four others");
    world.crash(2, Ending::Told);
    assert_eq!(world.host(2).memory(), 0);
    world.run(Duration::from_secs(5));
    assert_eq!(world.host(2).memory(), 0, "nobody writes to it");
}

#[test]
fn what_is_known_for_longer_takes_no_more() {
    let mut world = World::new(Plan::new(3, 4, Medium::lan()));
    world.connect_all(0, &topology::line(4));
    world.run(Duration::from_secs(60));
    let memory = |world: &World| world.hosts().iter().map(|host| host.memory()).sum::<i64>();
    let before = memory(&world);
    world.run(Duration::from_secs(600));
    assert_eq!(memory(&world), before);
}
