//! Links that are not what their medium promises.

use super::*;
use crate::link::LinkCost;
use crate::wire::advert::{AdvertKind, Cost};

/// Both ends believe the promise of a wire that is a hundred times faster than it is.
fn overpromised() -> World {
    let mut world = World::line(3);
    world.converge();
    for number in [0, 1] {
        let promise = LinkEstimate { rate_bytes_per_s: 100_000_000, delay: DELAY / 100 };
        let near = key(1 - number);
        let entries = world.node(number).links.values_mut();
        entries
            .filter(|entry| entry.peer.is_some_and(|peer| peer.key == near))
            .for_each(|entry| entry.cost = LinkCost::new(promise));
        let now = world.now;
        world.node(number).stale.links(now);
    }
    world.run(Duration::from_secs(12));
    world
}

/// The cost of the edge from 0 to 1 in the adjacency that 2 holds of 0, and its sequence.
fn told(world: &mut World) -> (Cost, u64) {
    let database = &world.node(2).database;
    let adjacency = database.adjacency(&key(0)).unwrap();
    let edge = adjacency.edges.iter().find(|edge| edge.peer == key(1).address()).unwrap();
    let of = |id: &crate::advert::AdvertId| id.owner == key(0) && id.kind == AdvertKind::Adjacency;
    let id = database.ids(None).find(of).unwrap();
    (edge.cost, database.stamp(id).unwrap().sequence)
}

#[test]
fn a_way_that_is_longer_than_promised_is_told_once_and_then_no_more() {
    let mut world = overpromised();
    let before = told(&mut world);
    assert!(before.0.value() < 100, "{before:?}");
    // Twelve round trips, one in ten seconds, and then it has to last.
    world.run(Duration::from_secs(160));
    let after = told(&mut world);
    assert_eq!(after.1, before.1 + 1);
    assert!((5_000..6_000).contains(&after.0.value()), "{after:?}");
    let now = world.now;
    let view = world.node(0).links(now).next().unwrap();
    assert_eq!((view.rtt_min, view.cost), (Some(DELAY * 2), after.0));
    world.run(Duration::from_secs(1_800));
    assert_eq!(told(&mut world), after);
}
