//! Peers so far away that no frame gets there.

use super::*;
use crate::bus::FailReason;
use crate::limits::PATH_HOPS_MAX;
use crate::wire::advert::{Adjacency, AdvertHead, AdvertKind, Cost, Edge, SignedAdvert};
use crate::wire::control::AdvertCopy;

/// Two nodes; 0 is told of a line that goes on behind 1, to the peer `last` hops away.
fn line_of(last: usize) -> World {
    let mut world = World::line(2);
    world.converge();
    // It would contradict what is told in its name.
    world.stop(1);
    let network = Network::open("test").unwrap();
    for n in 1..=last {
        let edge = |peer: usize| Edge {
            peer: key(peer).address(),
            kind: ConnectionType::other("Wire"),
            cost: Cost(40),
            payload_log2: 12,
        };
        let head = AdvertHead {
            owner: *key(n).as_bytes(),
            kind: AdvertKind::Adjacency,
            key: 0,
            instance: Instance::from_bytes([9; 8]),
            epoch: 9,
            sequence: 1,
        };
        let edges = [n - 1, n + 1].map(edge).to_vec();
        let advert =
            SignedAdvert::sign(&identity(n), &network, head, &Adjacency { edges }.encode());
        let copy = AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert: advert.bytes };
        // Each neighbour has signature checks of its own.
        let now = world.now;
        world.node(0).database.offer(now, key(n), copy);
    }
    let now = world.now;
    world.node(0).handle_input(now, Input::Timeout);
    world.run(Duration::from_millis(100));
    world
}

#[test]
fn a_peer_beyond_path_hops_max_is_in_the_graph_and_a_send_to_it_fails() {
    let limit = usize::from(PATH_HOPS_MAX);
    let mut world = line_of(limit + 2);
    let hops = world.hops(0);
    for n in [limit, limit + 1, limit + 2] {
        assert_eq!(hops[&key(n)].map(usize::from), Some(n));
    }
    assert!(world.node(0).route(&key(limit)).is_some());
    assert_eq!(world.node(0).route(&key(limit + 1)), None);
    let now = world.now;
    assert_eq!(world.node(0).trace(now, key(limit + 1)), Err(TraceError::NoRoute));
    assert!(world.node(0).trace(now, key(limit)).is_ok());
    assert_eq!(world.node(0).path_to(&key(limit + 1)).len(), limit + 1);

    let (far, data) = (key(limit + 1), Bytes::from_static(b"too far"));
    let patience = Some(Duration::from_secs(3));
    world
        .node(0)
        .with_bus(now, |bus, _| bus.send_reliable(now, far, Lane::Normal, data, patience))
        .unwrap();
    world.run(Duration::from_secs(4));
    assert_eq!(world.outcomes(0), [Outcome::NotDelivered(FailReason::NoRoute)]);
}
