//! One neighbour that makes up peers until the tables are full.

use super::evil::{edge, edges, head, profile, sign};
use super::*;
use crate::limits::{PEERS_BY_NEIGHBOUR_MAX, PEERS_MAX, VERIFICATIONS_PER_S};
use crate::wire::advert::AdvertKind;

/// 0 - 1 - 2; beside 1 an evil neighbour that told of more peers than there is room for. 3 is a
/// newcomer next to 0, not there yet.
fn flooded() -> (World, usize) {
    let mut world = World::new(4, &[(0, 1), (1, 2), (0, 3)]);
    world.kill(3);
    world.run(Duration::from_secs(5));
    let evil = world.attack(1);
    let own = world.evils[evil].local.peer_key();
    let mut claims = vec![edge(key(1))];
    claims.extend((0..40).map(|number| edge(key(20_000 + number))));
    world.evils[evil].tell_of_itself(AdvertKind::Adjacency, &edges(claims));
    for number in 0..PEERS_MAX {
        let made_up = identity(20_000 + number);
        let about = head(made_up.peer_key(), AdvertKind::Profile, 1, 1);
        world.evils[evil].tell(sign(&made_up, about, &profile("x").encode()));
        if number.is_multiple_of(VERIFICATIONS_PER_S as usize) {
            world.run(Duration::from_secs(1));
        }
        if number < 40 {
            // Some it says it is linked with, and they say so, too: they are in the mesh.
            let about = head(made_up.peer_key(), AdvertKind::Adjacency, 1, 2);
            world.evils[evil].tell(sign(&made_up, about, &edges(vec![edge(own)])));
        }
    }
    world.run(Duration::from_secs(2));
    (world, evil)
}

#[test]
fn a_flood_of_made_up_peers_ends_at_its_share_and_leaves_room_for_newcomers() {
    let (mut world, _) = flooded();
    let known = world.node(1).database.peers().count();
    assert!(known > PEERS_BY_NEIGHBOUR_MAX && known < PEERS_BY_NEIGHBOUR_MAX + 10, "{known}");
    assert!(world.hops(2).len() >= 42, "two colluders are an edge, so these are in the graph");
    // Whoever comes now is seen by all, also by those to whom all that one neighbour passes on is
    // one share, the flooder's peers and the newcomer: nobody reaches those.
    world.start(3);
    let begin = world.now;
    world.run_until(begin + Duration::from_secs(10), |world| {
        [0, 1, 2].into_iter().all(|number| world.hops(number).contains_key(&key(3)))
    });
    let seen = [0, 1, 2].map(|number| world.hops(number).contains_key(&key(3)));
    assert_eq!(seen, [true; 3], "who comes later finds room");
    // And it sees all of them, though it is told of thousands besides.
    let begin = world.now;
    world.run_until(begin + Duration::from_secs(60), |world| {
        [0, 1, 2].into_iter().all(|number| world.hops(3).contains_key(&key(number)))
    });
    assert!(world.honest(3, 1, Duration::from_secs(1)) < Duration::from_millis(200));
    assert!(world.honest(0, 2, Duration::from_secs(1)) < Duration::from_millis(200));
}
