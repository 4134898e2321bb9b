//! Metadata, to everybody.

use super::*;

#[test]
fn metadata_reaches_everybody_and_its_change_too() {
    let mut world = World::line(4);
    world.converge();
    let body = |n: usize| Bytes::from(format!("{{\"n\":\"{}\"}}", String::from("x").repeat(n)));
    for size in [10, 100_000] {
        let now = world.now;
        world.node(0).set_metadata(now, body(size));
        let end = world.now + Duration::from_secs(20);
        let arrived = world.run_until(end, |world| {
            let now = world.now;
            (1..4).all(|number| {
                let graph = world.node(number).graph(now);
                let owner = graph.remote.iter().find(|peer| peer.key == key(0)).unwrap();
                owner.metadata == Metadata::Body(body(size))
            })
        });
        assert!(arrived, "{size} bytes of metadata");
    }
}
