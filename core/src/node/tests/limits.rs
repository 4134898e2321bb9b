//! Limits of the mesh, reached on purpose among whole nodes.

use super::evil::{edge, edges, head, profile, sign};
use super::*;
use crate::advert::{Database, Offer, Refusal};
use crate::limits::{
    ADVERT_BYTES_MAX, DIAL_BACKOFF_MIN, DIAL_DEFERENCE_PART, FLOORS_MAX, FORGET_AFTER,
    FRAME_LIFETIME, HOP_LIMIT_SLACK, PATH_HOPS_MAX, PEERS_MAX, RELAY_MARK_AFTER, SIGN_WAIT_MIN,
};
use crate::route::{Next, RelayQueue};
use crate::wire::advert::AdvertKind;
use crate::wire::control::AdvertCopy;
use crate::wire::frame::DataFrame;
use crate::wire::routing::{DataKind, RoutingHeader};

const MS: Duration = Duration::from_millis(1);

/// A packet of a session that nobody knows.
fn frame(destination: usize, hop_limit: u8, lifetime: Duration) -> DataFrame {
    let header = RoutingHeader {
        kind: DataKind::Packet,
        congested: false,
        key_phase: false,
        hop_limit,
        lifetime_ms: RoutingHeader::lifetime(lifetime),
        source: key(EVIL).address(),
        destination: key(destination).address(),
        session: 7,
        packet_low: 0,
    };
    DataFrame { lane: Lane::Normal, header, tag: [0; 16], payload: BytesMut::zeroed(10) }
}

#[test]
fn a_frame_that_waits_in_a_relay_is_marked_and_then_outlives_its_lifetime() {
    for (held, marked) in [
        (RELAY_MARK_AFTER - MS, Some(false)),
        (RELAY_MARK_AFTER, Some(true)),
        (FRAME_LIFETIME - MS, Some(true)),
        (FRAME_LIFETIME, None),
    ] {
        let (mut queue, now) = (RelayQueue::default(), Instant::from_millis(1));
        queue.push(now, frame(1, 5, FRAME_LIFETIME), key(EVIL)).unwrap();
        let next = queue.pop(now + held, Lane::Normal, 1_280).unwrap();
        match (next, marked) {
            (Next::Frame(frame), Some(marked)) => {
                assert_eq!(frame.header.congested, marked);
                let left = RoutingHeader::lifetime(FRAME_LIFETIME - held);
                assert_eq!(frame.header.lifetime_ms, left);
            }
            (next, marked) => assert!(next == Next::Expired && marked.is_none(), "{next:?}"),
        }
    }
}

/// Room for a detour: a frame to a neighbour passes so many relays, and not one more.
#[test]
fn a_frame_goes_no_further_than_its_hop_limit() {
    let relays = 1 + HOP_LIMIT_SLACK;
    let far = usize::from(relays);
    let mut world = World::line(far + 2);
    world.converge();
    world.run(Duration::from_secs(1));
    let evil = world.attack(0);
    for destination in [far, far + 1] {
        let frame = frame(destination, relays, FRAME_LIFETIME);
        world.evils[evil].words.data.push_back(frame);
    }
    world.run(Duration::from_secs(1));
    assert_eq!(world.node(far).counters().bus.packets_unknown_session, 1, "it arrived");
    assert_eq!(world.node(far).counters().dropped_hop_limit, 1, "the other one did not");
    assert_eq!(world.node(far + 1).counters().bus.packets_unknown_session, 0);
}

#[test]
fn a_chain_of_made_up_peers_is_followed_no_further_than_a_path_may_be_long() {
    let mut world = World::line(2);
    world.converge();
    let evil = world.attack(1);
    let chain: Vec<Identity> = (500..510 + usize::from(PATH_HOPS_MAX)).map(identity).collect();
    let key_at = |at: usize| chain[at].peer_key();
    let claims = vec![edge(key(1)), edge(key_at(0))];
    world.evils[evil].tell_of_itself(AdvertKind::Adjacency, &edges(claims));
    for (at, link) in chain.iter().enumerate() {
        let before = if at == 0 { key(EVIL) } else { key_at(at - 1) };
        let mut claims = vec![edge(before)];
        claims.extend((at + 1 < chain.len()).then(|| edge(key_at(at + 1))));
        let about = head(link.peer_key(), AdvertKind::Adjacency, 1, 1);
        world.evils[evil].tell(sign(link, about, &edges(claims)));
        if at % 100 == 0 {
            world.run(Duration::from_secs(1));
        }
    }
    world.run(Duration::from_secs(10));
    for number in 0..2 {
        let routes = world.node(number).table.routes();
        let longest = routes.map(|view| u64::from(view.route.hops)).max().unwrap();
        assert!(longest >= u64::from(PATH_HOPS_MAX), "{longest} hops");
    }
    let far = key_at(chain.len() - 1);
    let now = world.now;
    let data = Bytes::from_static(b"into the chain");
    let give_up = Some(Duration::from_secs(1));
    let sent = world
        .node(0)
        .with_bus(now, |bus, _| bus.send_reliable(now, far, Lane::Normal, data, give_up));
    world.run(Duration::from_secs(3));
    let outcomes = world.outcomes(0);
    assert!(sent.is_err() || matches!(outcomes[..], [Outcome::NotDelivered(_)]), "{outcomes:?}");
    assert!(world.honest(0, 1, Duration::from_secs(1)) < 50 * MS);
}

#[test]
fn an_advert_of_the_largest_size_is_passed_on_and_a_larger_one_is_refused() {
    let mut world = World::line(3);
    world.converge();
    world.run(Duration::from_secs(1));
    let evil = world.attack(1);
    let about = head(key(EVIL), AdvertKind::Unknown(99), 1, 50);
    let overhead = sign(&identity(EVIL), about, b"").len();
    let largest = vec![7; ADVERT_BYTES_MAX - overhead];
    let mut larger = sign(&identity(EVIL), about, &largest).to_vec();
    world.evils[evil].tell(Bytes::copy_from_slice(&larger));
    world.run(Duration::from_secs(1));
    let id = crate::advert::AdvertId { owner: key(EVIL), kind: about.kind, key: 0 };
    assert!(world.node(2).database.stamp(id).is_some());
    larger.push(0);
    world.evils[evil].tell(larger.into());
    world.run(Duration::from_secs(1));
    assert_eq!(world.node(1).counters().adverts_refused, 1);
    assert!(world.honest(0, 2, Duration::from_secs(1)) < 50 * MS);
}

#[test]
fn the_first_loss_is_told_at_once_and_those_after_it_together() {
    let mut world = World::new(5, &[(0, 1), (0, 2), (0, 3), (0, 4)]);
    world.converge();
    world.run(Duration::from_secs(60));
    let sequence = |world: &mut World| {
        let id = crate::advert::AdvertId { owner: key(0), kind: AdvertKind::Adjacency, key: 0 };
        world.node(0).database.stamp(id).unwrap().sequence
    };
    let before = sequence(&mut world);
    world.near.clear();
    [1, 2, 3].into_iter().for_each(|node| world.kill(node));
    world.run(DELAY + SIGN_WAIT_MIN - MS);
    assert_eq!(sequence(&mut world), before + 1);
    world.run(MS);
    assert_eq!(sequence(&mut world), before + 2, "one for both that came after");
}

#[test]
fn the_higher_address_lets_the_lower_one_dial_first_for_a_part_of_the_time() {
    let dials = |from: usize, to: usize, within: Duration| {
        let mut world = World::new(2, &[]);
        world.near.push((0, 1));
        world.sight(from, to);
        let end = world.now + within;
        let dialled = |world: &mut World| {
            let mut flying = world.flight.iter();
            flying.any(|(_, flying)| matches!(flying, Flying::Dial(by, ..) if *by == from))
        };
        world.run_until(end, dialled)
    };
    let (low, high) = if key(0).address() < key(1).address() { (0, 1) } else { (1, 0) };
    // Half to one and a half of the part.
    let part = Duration::from_secs(5) / DIAL_DEFERENCE_PART;
    assert!(dials(low, high, MS));
    assert!(!dials(high, low, part / 2 - MS));
    assert!(dials(high, low, part * 3 / 2 + MS));
}

#[test]
fn a_dial_that_failed_is_tried_again_after_the_shortest_wait_or_so() {
    let mut world = World::new(2, &[]);
    let endpoint = Endpoint::new("1");
    world.input(0, TransportEvent::Sighted(Sighting { endpoint, beacon: None }));
    let failures = |world: &World| {
        world.events[0].iter().filter(|event| matches!(event, Event::DialFailed { .. })).count()
    };
    world.run(DELAY);
    assert_eq!(failures(&world), 1);
    world.run(DIAL_BACKOFF_MIN / 2 - MS);
    assert_eq!(failures(&world), 1);
    world.run(DIAL_BACKOFF_MIN + MS + DELAY);
    assert_eq!(failures(&world), 2);
}

/// A copy of an advert by somebody new who is its own neighbour.
fn of(number: usize, kind: AdvertKind, sequence: u64) -> (PeerKey, AdvertCopy) {
    let identity = identity(10_000 + number);
    let owner = identity.peer_key();
    let body = if kind == AdvertKind::Profile { profile("s").encode() } else { edges(vec![]) };
    let advert = sign(&identity, head(owner, kind, 1, sequence), &body);
    (owner, AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert })
}

#[test]
fn the_table_of_peers_and_the_floors_end_at_their_limits() {
    let mut now = Instant::from_millis(100_000_000);
    let mut database = Database::new(Network::open("test").unwrap(), key(0));
    let offer = |database: &mut Database, now, number, kind, sequence| {
        let (owner, copy) = of(number, kind, sequence);
        database.offer(now, owner, copy)
    };
    let kinds = [AdvertKind::Profile, AdvertKind::Adjacency];
    for number in 0..PEERS_MAX {
        // As many signatures as are checked in a second.
        now += if number.is_multiple_of(100) { Duration::from_secs(1) } else { Duration::ZERO };
        for kind in kinds {
            let taken = offer(&mut database, now, number, kind, 5);
            assert!(matches!(taken, Offer::Taken(_)), "{number}: {taken:?}");
        }
        database.note_reachable(now, &of(number, kinds[0], 5).0);
    }
    let none = offer(&mut database, now, PEERS_MAX, kinds[0], 5);
    assert!(matches!(none, Offer::NoRoom { .. }), "{none:?}");
    assert_eq!(database.peers().count(), PEERS_MAX);
    let newer = offer(&mut database, now, 3, kinds[0], 6);
    assert!(matches!(newer, Offer::Taken(_)), "who is known goes on to be heard");

    // All are forgotten, and then others: more than there are floors.
    const MORE: usize = 10;
    let later = now + FORGET_AFTER;
    database.expire(later);
    for number in 0..MORE {
        for kind in kinds {
            offer(&mut database, later, PEERS_MAX + number, kind, 5);
        }
    }
    let last = later + FORGET_AFTER;
    database.expire(last);
    assert_eq!(database.peers().count(), 0);
    let mut below = 0;
    for number in 0..PEERS_MAX + MORE {
        for kind in kinds {
            let older = offer(&mut database, last, number, kind, 4);
            below += usize::from(older == Offer::Refused(Refusal::Expired));
        }
    }
    // A few go at once when there is no more room.
    assert!(below <= FLOORS_MAX && below > FLOORS_MAX / 2, "{below}");
}
