//! Twenty nodes, and some among them that mean it no good: what the others keep.

use super::evil::{edge, edges, head, profile, sign};
use super::*;
use crate::wire::advert::AdvertKind;
use crate::wire::control::{AdvertCopy, Control};

const NODES: usize = 20;
/// Ends of honest exchanges: far from each other, and not the relays that go bad.
const EXCHANGES: [(usize, usize); 4] = [(0, 10), (3, 14), (6, 17), (12, 1)];

/// A ring in which everybody also knows the one after the next: around each node there is a way.
fn ring() -> World {
    let mut near = Vec::new();
    for number in 0..NODES {
        for step in [1, 2] {
            let other = (number + step) % NODES;
            near.push((number.min(other), number.max(other)));
        }
    }
    let mut world = World::new(NODES, &near);
    world.converge();
    world.run(Duration::from_secs(2));
    world
}

/// What one honest exchange came to.
#[derive(Debug, Default)]
struct Ledger {
    sent: u32,
    got: u32,
}

/// Honest messages on all exchanges for a while, `plot` going on; each arrives once and in order,
/// or its sender hears that it did not, or cannot know.
fn live(world: &mut World, time: Duration, plot: &mut dyn FnMut(&mut World)) -> [Ledger; 4] {
    let mut ledgers: [Ledger; 4] = Default::default();
    let before = EXCHANGES.map(|(from, _)| world.outcomes(from).len());
    let end = world.now + time;
    let settled = end + Duration::from_secs(70);
    while world.now < settled {
        plot(world);
        if world.now < end {
            for ((from, to), ledger) in EXCHANGES.into_iter().zip(&mut ledgers) {
                world.send(from, to, &ledger.sent.to_be_bytes());
                ledger.sent += 1;
            }
        }
        world.run(Duration::from_millis(50));
        let mut open = false;
        for (at, (from, to)) in EXCHANGES.into_iter().enumerate() {
            for message in world.take(to) {
                let number = u32::from_be_bytes(message[..].try_into().unwrap());
                assert!(
                    number >= ledgers[at].got,
                    "{from} to {to}: {number} twice or out of order"
                );
                ledgers[at].got = number + 1;
            }
            let outcomes = world.outcomes(from).len() - before[at];
            open |= outcomes < ledgers[at].sent as usize;
        }
        if world.now >= end && !open {
            break;
        }
    }
    for (at, (from, _)) in EXCHANGES.into_iter().enumerate() {
        let outcomes = world.outcomes(from).split_off(before[at]);
        assert_eq!(outcomes.len(), ledgers[at].sent as usize, "each has one outcome");
        let delivered = |o: &&Outcome| matches!(o, Outcome::Delivered { .. });
        assert!(outcomes.iter().filter(delivered).count() <= ledgers[at].got as usize);
    }
    ledgers
}

fn all_arrived(ledgers: &[Ledger; 4]) {
    assert!(ledgers.iter().all(|l| l.sent > 0 && l.got == l.sent), "{ledgers:?}");
}

/// The honest part of the mesh as everybody sees it is the mesh as it is.
fn graphs_are_true(world: &mut World) {
    for number in 0..NODES {
        let now = world.now;
        let graph = world.node(number).graph(now);
        let honest: Vec<PeerKey> = (0..NODES).map(key).collect();
        for other in (0..NODES).filter(|other| *other != number) {
            let seen = graph.remote.iter().find(|peer| peer.key == key(other)).unwrap();
            let ends = seen.connections.iter();
            let near = ends.filter(|ends| honest.contains(&ends.a) && honest.contains(&ends.b));
            assert_eq!(near.count(), 4, "{number} sees the links of {other}");
        }
    }
}

#[test]
fn among_twenty_nodes_a_liar_a_replayer_and_a_flooder_change_nothing() {
    let mut world = ring();
    let [liar, replayer, flooder] = [2, 8, 13].map(|victim| world.attack(victim));
    world.run(Duration::from_secs(2));
    let claims: Vec<Edge> = (0..NODES).map(|number| edge(key(number))).collect();
    let claims = edges(claims);
    let (mut turn, mut stranger) = (0_usize, 500_usize);
    let ledgers = live(&mut world, Duration::from_secs(3), &mut |world| {
        turn += 1;
        // It is next to everybody at no cost.
        if turn % 10 == 1 {
            world.evils[liar].tell_of_itself(AdvertKind::Adjacency, &claims);
        }
        // It has heard this before.
        let heard = world.evils[replayer].heard.iter().filter_map(|message| match message {
            Control::Advert(copy) => Some(copy.clone()),
            _ => None,
        });
        let heard: Vec<AdvertCopy> = heard.collect();
        if let Some(copy) = heard.get(turn % heard.len().max(1)) {
            let copy = AdvertCopy { signed_age_s: 0, reachable_age_s: 0, ..copy.clone() };
            world.evils[replayer].say(&Control::Advert(copy));
        }
        // It has new friends.
        for _ in 0..2 {
            stranger += 1;
            let friend = identity(stranger);
            let about = head(friend.peer_key(), AdvertKind::Profile, 1, 1);
            let body = profile("friend").encode();
            world.evils[flooder].tell(sign(&friend, about, &body));
        }
    });
    all_arrived(&ledgers);
    world.run(Duration::from_secs(5));
    graphs_are_true(&mut world);
}

/// Two relays of twenty swallow every frame that is not for themselves, and do all else as they
/// should. They are not found out, as nobody can see what becomes of a frame behind another's back;
/// the exchanges whose way they are on fail, and say so, and all others do not notice.
#[test]
fn among_twenty_nodes_black_holes_harm_what_crosses_them_and_nothing_else() {
    let mut world = ring();
    let holes = [5, 15];
    let crossed = EXCHANGES.map(|(from, to)| {
        let on_the_way = |world: &mut World, from: usize, to: usize| {
            let way = world.node(from).path_to(&key(to));
            holes.iter().any(|hole| way[..way.len() - 1].contains(&key(*hole)))
        };
        on_the_way(&mut world, from, to) || on_the_way(&mut world, to, from)
    });
    let ledgers = live(&mut world, Duration::from_secs(2), &mut |world| {
        // Nothing leaves a hole while what it is to relay comes in, and then that is gone.
        let ends = world.wires.keys().filter(|end| holes.contains(&end.0));
        world.paused = ends.copied().collect();
        world.run(DELAY);
        let now = world.now;
        for hole in holes {
            for neighbour in world.node(hole).neighbours.values_mut() {
                neighbour.relay.drain(now).for_each(drop);
            }
        }
        world.paused.clear();
    });
    for (ledger, crossed) in ledgers.iter().zip(crossed) {
        assert!(crossed || ledger.got == ledger.sent, "{ledgers:?} {crossed:?}");
    }
    assert!(crossed.contains(&false));
    graphs_are_true(&mut world);
}
