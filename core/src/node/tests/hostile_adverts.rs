//! Lies in adverts: who is believed what.

use super::evil::{edge, edges, head, profile, sign};
use super::*;
use crate::limits::{ADJACENCY_LIFETIME, FORGET_AFTER};
use crate::wire::advert::{AdvertHead, AdvertKind};
use crate::wire::control::{AdvertCopy, Control};

/// 0 - 1 - 2, and an evil neighbour of 1.
fn scene() -> (World, usize) {
    let mut world = World::line(3);
    world.converge();
    world.run(Duration::from_secs(2));
    let evil = world.attack(1);
    world.run(Duration::from_secs(1));
    assert_eq!(world.hops(0).len(), 3, "it is in the mesh");
    (world, evil)
}

fn refused(world: &mut World) -> u64 {
    world.node(1).counters().adverts_refused
}

/// The honest ones carry on.
fn honest_ones_carry_on(world: &mut World) {
    let longest = world.honest(0, 2, Duration::from_secs(2));
    assert!(longest < Duration::from_millis(100), "{longest:?}");
}

#[test]
fn forged_and_truncated_adverts_are_dropped_and_counted() {
    let (mut world, evil) = scene();
    let before = world.hops(0);
    let stranger = identity(500);
    let head_of = |owner, kind| head(owner, kind, 9, 1_000);
    let about = head_of(stranger.peer_key(), AdvertKind::Profile);
    let own = sign(&stranger, about, &profile("a stranger").encode());
    let mut told = 0;
    for length in 0..own.len() {
        world.evils[evil].tell(own.slice(..length));
        told += 1;
    }
    for at in (0..own.len()).step_by(3) {
        let mut altered = own.to_vec();
        altered[at] ^= 1;
        world.evils[evil].tell(altered.into());
        told += 1;
    }
    // In the name of another, and of the victim itself.
    for owner in [0, 1, 2] {
        for kind in [AdvertKind::Profile, AdvertKind::Adjacency, AdvertKind::Unknown(200)] {
            let lie = sign(&identity(EVIL), head_of(key(owner), kind), b"");
            world.evils[evil].tell(lie);
            told += 1;
        }
    }
    world.run(Duration::from_secs(30));
    let counters = world.node(1).counters();
    assert_eq!(counters.adverts_refused + counters.adverts_deferred, told);
    assert_eq!(world.hops(0), before);
    let now = world.now;
    assert!(world.node(0).graph(now).remote.iter().all(|peer| peer.device_name() != ""));
    honest_ones_carry_on(&mut world);
}

#[test]
fn replayed_and_reordered_adverts_bring_nothing_back() {
    let (mut world, evil) = scene();
    let now = world.now;
    world.node(0).set_device_name(now, "second");
    world.run(Duration::from_secs(1));
    let now = world.now;
    world.node(0).set_device_name(now, "third");
    world.run(Duration::from_secs(1));
    let mut heard = world.evils[evil].adverts_of(key(0));
    assert!(heard.len() >= 4, "three profiles and an adjacency");
    let name = |world: &mut World| {
        let now = world.now;
        let graph = world.node(1).graph(now);
        graph.remote.iter().find(|peer| peer.key == key(0)).unwrap().device_name()
    };
    for _ in 0..3 {
        heard.reverse();
        for advert in &heard {
            world.evils[evil].tell(advert.bytes.clone());
        }
        world.run(Duration::from_secs(1));
        assert_eq!(name(&mut world), "third");
        heard.rotate_left(1);
    }
    assert_eq!(world.node(1).counters().adverts_refused, 0);
    // The same after its owner was forgotten, which is when nobody is left to contradict.
    world.kill(0);
    world.run(FORGET_AFTER + Duration::from_secs(120));
    for advert in &heard {
        world.evils[evil].tell(advert.bytes.clone());
    }
    world.run(Duration::from_secs(1));
    assert!(!world.hops(1).contains_key(&key(0)), "nobody comes back from the dead");
    assert!(world.node(1).counters().adverts_refused > 0);
}

#[test]
fn an_edge_to_strangers_that_one_side_claims_makes_no_peer_and_no_way() {
    let (mut world, evil) = scene();
    let strangers: Vec<Identity> = (500..520).map(identity).collect();
    let mut claims = vec![edge(key(1)), edge(key(0)), edge(key(2))];
    claims.extend(strangers.iter().map(|stranger| edge(stranger.peer_key())));
    world.evils[evil].tell_of_itself(AdvertKind::Adjacency, &edges(claims));
    for stranger in &strangers {
        let about = head(stranger.peer_key(), AdvertKind::Profile, 1, 1);
        world.evils[evil].tell(sign(stranger, about, &profile("stranger").encode()));
    }
    let before = world.hops(2);
    world.run(Duration::from_secs(5));
    assert_eq!(world.hops(2), before);
    let now = world.now;
    let graph = world.node(2).graph(now);
    let near = graph.remote.iter().find(|peer| peer.key == key(0)).unwrap();
    assert_eq!(near.connections.len(), 1, "its link to 1 alone");
    honest_ones_carry_on(&mut world);
}

/// Two colluders may claim an edge between them that is none: it counts, as both say so, and draws
/// what is sent to the other one. Messages for those two are theirs to lose; nobody else's way is
/// longer than without them.
#[test]
fn an_edge_that_two_colluders_claim_draws_nothing_but_what_is_for_them() {
    let mut world = World::line(4);
    world.converge();
    world.run(Duration::from_secs(2));
    let (near, far) = (world.attack(0), world.attack(3));
    world.run(Duration::from_secs(2));
    let before = [0, 3].map(|number| world.hops(number));
    let keys = [near, far].map(|evil| world.evils[evil].local.peer_key());
    for (evil, other, victim) in [(near, keys[1], 0), (far, keys[0], 3)] {
        let claims = edges(vec![edge(key(victim)), edge(other)]);
        world.evils[evil].tell_of_itself(AdvertKind::Adjacency, &claims);
    }
    world.run(Duration::from_secs(5));
    let after = [0, 3].map(|number| world.hops(number));
    // The true way of 15 ms is dearer than the false one of 10.2 ms: honest frames go astray. That
    // is what a mesh of strangers cannot rule out; its senders hear of it.
    assert_eq!(after[0][&key(3)], Some(3), "{before:?}");
    world.send(0, 3, b"into the hole");
    world.run(Duration::from_secs(65));
    let outcomes = world.outcomes(0);
    assert!(
        matches!(outcomes[..], [Outcome::NotDelivered(_) | Outcome::Unknown(_)]),
        "{outcomes:?}"
    );
    assert!(world.take(3).is_empty());
}

#[test]
fn epochs_and_sequences_at_their_maximum_harm_their_owner_alone() {
    let (mut world, evil) = scene();
    let own = identity(EVIL);
    for (epoch, sequence, name) in
        [(u64::MAX, u64::MAX, "last"), (u64::MAX, u64::MAX - 1, "before"), (0, 0, "first")]
    {
        let about = head(key(EVIL), AdvertKind::Profile, epoch, sequence);
        world.evils[evil].tell(sign(&own, about, &profile(name).encode()));
        world.run(Duration::from_secs(1));
    }
    let now = world.now;
    let graph = world.node(0).graph(now);
    let shown = graph.remote.iter().find(|peer| peer.key == key(EVIL)).unwrap();
    assert_eq!(shown.device_name(), "last");
    // A key of the largest number is one more advert of a kind that nobody knows.
    let about = AdvertHead { key: u64::MAX, ..head(key(EVIL), AdvertKind::Unknown(255), 1, 1) };
    world.evils[evil].tell(sign(&own, about, b""));
    let about = AdvertHead { key: u64::MAX, ..head(key(EVIL), AdvertKind::Profile, 1, 1) };
    world.evils[evil].tell(sign(&own, about, b""));
    world.run(Duration::from_secs(1));
    assert_eq!(refused(&mut world), 1, "a profile has key 0");
    honest_ones_carry_on(&mut world);
}

/// Somebody kept an advert of node 0 with the largest epoch: 0 lost its memory, and cannot step
/// above it. It says so in the same epoch, and whoever has the larger hash wins; it spins no faster.
#[test]
fn a_node_whose_past_ends_at_the_largest_epoch_does_not_spin() {
    let (mut world, evil) = scene();
    let about = head(key(0), AdvertKind::Profile, u64::MAX, u64::MAX);
    world.evils[evil].tell(sign(&identity(0), about, &profile("stolen").encode()));
    let said = |world: &World| {
        world.events[0].iter().filter(|event| matches!(event, Event::EpochStepped(_))).count()
    };
    world.run(Duration::from_secs(60));
    assert!(said(&world) < 10, "{} steps", said(&world));
    honest_ones_carry_on(&mut world);
}

#[test]
fn ages_that_jump_make_nobody_old_or_young() {
    let (mut world, evil) = scene();
    let adverts = world.evils[evil].adverts_of(key(0));
    assert!(adverts.len() >= 2);
    for (signed_age_s, reachable_age_s) in
        [(u16::MAX, u16::MAX), (0, 0), (u16::MAX, 0), (0, u16::MAX), (14_399, 3_599)]
    {
        for advert in &adverts {
            let copy = AdvertCopy { signed_age_s, reachable_age_s, advert: advert.bytes.clone() };
            world.evils[evil].say(&Control::Advert(copy));
        }
        world.run(Duration::from_secs(2));
        assert!(world.hops(1).contains_key(&key(0)), "{signed_age_s} {reachable_age_s}");
        assert_eq!(world.hops(2).get(&key(0)), Some(&Some(2)));
    }
    honest_ones_carry_on(&mut world);
    // The next time it expires: an adjacency of a true age goes on to be signed anew.
    for _ in 0..5 {
        world.run(ADJACENCY_LIFETIME / 4);
        assert_eq!(world.hops(2).get(&key(0)), Some(&Some(2)));
    }
}

/// Of what others hold, a neighbour says that it is about to expire.
#[test]
fn no_advert_expires_because_a_neighbour_says_that_it_is_old() {
    let mut world = World::line(4);
    // Before that, nothing can be as old as it says.
    world.run(ADJACENCY_LIFETIME);
    let evil = world.attack(1);
    world.run(Duration::from_secs(1));
    for owner in [2, 3].map(key) {
        let adverts = world.evils[evil].adverts_of(owner);
        assert!(adverts.len() >= 2);
        for advert in adverts {
            let (signed_age_s, reachable_age_s) = (14_399, 0);
            let copy = AdvertCopy { signed_age_s, reachable_age_s, advert: advert.bytes };
            world.evils[evil].say(&Control::Advert(copy));
        }
    }
    world.run(Duration::from_secs(120));
    assert_eq!(world.hops(0).get(&key(3)), Some(&Some(3)));
    assert_eq!(world.hops(1).get(&key(3)), Some(&Some(2)));
}

/// An ex-neighbour goes on to claim its edge to a peer that departed, and repeats that peer's last
/// words as if they were new.
#[test]
fn a_departed_peer_is_not_kept_alive_by_its_neighbours_lies() {
    let (mut world, evil) = scene();
    let same = world.evils[evil].local.clone();
    world.connect_evil(0, EVIL, same);
    let claims = edges(vec![edge(key(0)), edge(key(1))]);
    world.evils[evil].tell_of_itself(AdvertKind::Adjacency, &claims);
    world.run(Duration::from_secs(2));
    let adverts = world.evils[evil].adverts_of(key(0));
    let end = world.now + ADJACENCY_LIFETIME + FORGET_AFTER;
    world.kill(0);
    world.run(Duration::from_secs(30));
    assert!(world.hops(2)[&key(0)].is_some(), "for a while both seem to claim it");
    let mut there = Duration::ZERO;
    while world.now < end {
        for advert in &adverts {
            world.evils[evil].tell(advert.bytes.clone());
        }
        world.evils[evil].tell_of_itself(AdvertKind::Adjacency, &claims);
        world.run(Duration::from_secs(300));
        if world.hops(2).contains_key(&key(0)) {
            there += Duration::from_secs(300);
        }
    }
    assert!(there <= ADJACENCY_LIFETIME + Duration::from_secs(600), "{there:?}");
    assert!(!world.hops(2).contains_key(&key(0)));
}
