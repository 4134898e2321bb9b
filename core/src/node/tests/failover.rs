//! A neighbour is lost: frames take the other way at once.

use super::*;
use crate::wire::frame::DataFrame;
use crate::wire::routing::{DataKind, RoutingHeader};

const SOON: Duration = Duration::from_secs(30);

/// 0 and 3 are joined by 1 and by 2, which cost the same.
fn diamond() -> World {
    let mut world = World::new(4, &[(0, 1), (0, 2), (1, 3), (2, 3)]);
    world.converge();
    world.run(Duration::from_secs(1));
    world
}

/// The neighbour by which 0 reaches 3, and the other one.
fn ways(world: &mut World) -> (usize, usize) {
    let next = world.node(0).route(&key(3)).unwrap().next_hop;
    if next == key(1) { (1, 2) } else { (2, 1) }
}

fn frame(to: usize) -> DataFrame {
    let header = RoutingHeader {
        kind: DataKind::Unknown(9),
        congested: false,
        key_phase: false,
        hop_limit: 6,
        lifetime_ms: 10_000,
        source: key(9).address(),
        destination: key(to).address(),
        session: 0,
        packet_low: 0,
    };
    DataFrame { lane: Lane::Normal, header, tag: [0; 16], payload: BytesMut::zeroed(100) }
}

fn strange_frames(world: &mut World, number: usize) -> u64 {
    world.node(number).counters().bus.frames_other_kind
}

#[test]
fn every_peer_of_a_diamond_has_an_alternate_where_one_is_loop_free() {
    let mut world = diamond();
    let views: Vec<_> = world.node(0).routes().collect();
    let (next, other) = ways(&mut world);
    for view in views {
        let via = view.alternate.map(|alternate| alternate.route.next_hop);
        // To a neighbour of 0 the way around is no shorter for the others than over 0.
        assert_eq!(via, (view.peer == key(3)).then(|| key(other)), "{view:?}");
        assert!(!view.is_held);
        if view.peer == key(3) {
            assert_eq!(view.route.next_hop, key(next));
            assert!(view.alternate.is_some_and(|alternate| alternate.protects_node));
        }
    }
}

#[test]
fn a_stream_of_messages_hardly_notices_that_a_relay_dies() {
    let mut world = diamond();
    let (next, _) = ways(&mut world);
    let (mut got, mut longest) = (Vec::new(), Duration::ZERO);
    let mut last = world.now;
    for number in 0..100_u32 {
        world.send(0, 3, &number.to_be_bytes());
        if number == 50 {
            world.kill(next);
        }
        world.run(Duration::from_millis(10));
        let arrived = world.take(3);
        if !arrived.is_empty() {
            longest = if got.is_empty() { longest } else { longest.max(world.now.since(last)) };
            last = world.now;
        }
        got.extend(arrived);
    }
    world.run(Duration::from_secs(1));
    got.extend(world.take(3));
    assert_eq!(got.len(), 100);
    assert!(got.iter().zip(0_u32..).all(|(data, number)| data[..] == number.to_be_bytes()));
    assert!(longest <= Duration::from_millis(50), "{longest:?}");
}

#[test]
fn what_waits_for_a_lost_neighbour_goes_by_the_alternate() {
    let mut world = diamond();
    let (next, other) = ways(&mut world);
    let now = world.now;
    let node = world.node(0);
    for _ in 0..5 {
        node.neighbours.get_mut(&key(next)).unwrap().relay.push(now, frame(3), key(9)).unwrap();
    }
    let link = node.neighbours[&key(next)].active().unwrap();
    world.input(0, TransportEvent::LinkDown { link, reason: LinkLoss::Reset });
    assert!(world.node(0).neighbours[&key(other)].relay.bytes() > 500);
    world.run(Duration::from_millis(100));
    assert_eq!(strange_frames(&mut world, 3), 5);
}

#[test]
fn what_waits_for_a_neighbour_in_doubt_goes_by_the_alternate() {
    let mut world = diamond();
    let (next, _) = ways(&mut world);
    world.silent.push((0, next));
    let suspect = |world: &mut World| {
        let now = world.now;
        let mut links = world.node(0).links(now);
        links.any(|link| link.peer == Some(key(next)) && link.state == LinkState::Suspect)
    };
    let end = world.now + SOON;
    let doubted = world.run_until(end, |world| {
        let (doubted, now) = (suspect(world), world.now);
        let node = world.node(0);
        if !doubted {
            // All but the last one are sent into the silence.
            let relay = &mut node.neighbours.get_mut(&key(next)).unwrap().relay;
            relay.push(now, frame(3), key(9)).unwrap();
        }
        doubted
    });
    assert!(doubted);
    world.run(Duration::from_millis(100));
    assert_eq!(strange_frames(&mut world, 3), 1);
}

#[test]
fn a_grid_that_loses_two_nodes_at_once_agrees_with_the_truth_again() {
    // 0 1 2 / 3 4 5 / 6 7 8
    let edges: Vec<_> = (0..9_usize)
        .flat_map(|n| [(n % 3 < 2).then_some((n, n + 1)), (n < 6).then_some((n, n + 3))])
        .flatten()
        .collect();
    let mut world = World::new(9, &edges);
    world.converge();
    let end = world.now + SOON;
    world.kill(4);
    world.kill(1);
    let left = |world: &mut World| {
        // Around the hole: 0 3 6 7 8 5 2.
        [(0, 3, 1), (0, 6, 2), (0, 7, 3), (0, 8, 4), (0, 5, 5), (0, 2, 6), (2, 0, 6)]
            .iter()
            .all(|&(from, to, hops)| world.hops(from).get(&key(to)) == Some(&Some(hops)))
    };
    assert!(world.run_until(end, left), "{:?}", world.hops(0));
    world.run(Duration::from_secs(5));
    assert!(world.node(0).routes().all(|view| !view.is_held && view.peer != key(4)));
    world.start(1);
    world.start(4);
    let end = world.now + SOON;
    assert!(world.run_until(end, |world| {
        world.all_see_all() && world.hops(0).get(&key(2)) == Some(&Some(2))
    }));
    world.send(0, 8, b"whole again");
    world.run(Duration::from_secs(2));
    assert_eq!(world.take(8), [b"whole again".as_slice()]);
}

#[test]
fn while_a_link_flaps_messages_arrive_by_the_other_way() {
    let mut world = diamond();
    let mut got = 0;
    for round in 0..10_u8 {
        let (next, _) = ways(&mut world);
        let link = world.node(0).neighbours[&key(next)].active().unwrap();
        let other = world.wires[&(0, link)];
        world.wires.remove(&other);
        world.wires.remove(&(0, link));
        for (number, link) in [(0, link), other] {
            world.input(number, TransportEvent::LinkDown { link, reason: LinkLoss::Reset });
        }
        world.send(0, 3, &[round]);
        world.run(Duration::from_millis(500));
        got += world.take(3).len();
        // Dialled again by now, or soon.
        let end = world.now + SOON;
        world.run_until(end, World::all_see_all);
    }
    assert_eq!(got, 10);
    assert_eq!(world.node(0).counters().dropped_hop_limit, 0);
}
