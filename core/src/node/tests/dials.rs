//! Two nodes that dial each other.

use super::*;

#[test]
fn both_dial_at_once_and_one_link_stays() {
    for seed in 0..5 {
        let mut world = World::new(2, &[]);
        world.near.push((0, 1));
        world.run(Duration::from_millis(seed));
        for (a, b) in [(0, 1), (1, 0)] {
            // A configured endpoint shows no beacon: nobody defers.
            let endpoint = Endpoint::new(&format!("{b}"));
            world.input(a, TransportEvent::Sighted(Sighting { endpoint, beacon: None }));
        }
        world.run(Duration::from_secs(5));
        let now = world.now;
        for number in 0..2 {
            assert_eq!(world.node(number).links(now).count(), 1);
            assert_eq!(world.hops(number).len(), 1);
        }
        assert_eq!(world.wires.len(), 2);
        world.events.iter_mut().for_each(Vec::clear);
        world.run(Duration::from_secs(120));
        let quiet = |event: &Event| matches!(event, Event::LinkUp { .. } | Event::LinkDown { .. });
        assert!(!world.events.iter().flatten().any(quiet), "no dialling beside a standing link");
    }
}
