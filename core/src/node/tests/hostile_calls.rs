//! Session handshakes as a weapon: who may make a node work, and who waits for it.

use super::*;
use crate::bus::{Bus, BusConfig, Path};
use crate::limits::SESSION_REPLIES_MAX;
use crate::wire::frame::DataFrame;
use crate::wire::routing::DataKind;

/// First messages of session handshakes that an evil peer makes itself: true ones, each another.
pub(super) fn calls(world: &World, evil: usize, count: usize) -> Vec<DataFrame> {
    let Evil { local, victim, end, .. } = &world.evils[evil];
    let (now, to) = (world.now, key(*victim));
    let mut entropy = Seeded(now.as_micros());
    let one = |_| {
        let mut bus = Bus::new(local.clone(), BusConfig::default());
        let path = Path { link: *end, hops: 1, hop_limit: 5, payload_bytes_max: 1_280 };
        bus.handle_path(now, to, Some(path));
        bus.ping(now, to, Duration::from_secs(1)).unwrap();
        let mut payload = BytesMut::new();
        let room = &mut payload;
        let head = bus.poll_transmit(now, &mut entropy, *end, Lane::Realtime, 1_280, room).unwrap();
        assert_eq!(head.header.kind, DataKind::Handshake);
        DataFrame { lane: head.lane, header: head.header, tag: head.tag, payload }
    };
    (0..count).map(one).collect()
}

/// 0 is about to have its first word with 1, an evil neighbour of which is up to something.
fn scene() -> (World, usize) {
    let mut world = World::line(2);
    world.converge();
    world.run(Duration::from_secs(2));
    let evil = world.attack(1);
    world.run(Duration::from_secs(1));
    (world, evil)
}

#[test]
fn a_flood_of_calls_keeps_no_honest_peer_from_its_session() {
    let (mut world, evil) = scene();
    let mut call = calls(&world, evil, 1).pop().unwrap();
    // Looks true until the arithmetic is done.
    let flood = |world: &mut World, call: &mut DataFrame, time| {
        let end = world.now + time;
        while world.now < end {
            for _ in 0..20 {
                call.tag[0] = call.tag[0].wrapping_add(1);
                call.payload[70] ^= call.tag[0];
                world.evils[evil].words.data.push_back(call.clone());
            }
            world.run(Duration::from_millis(5));
        }
    };
    flood(&mut world, &mut call, Duration::from_millis(2_500));
    for phase in 0..5 {
        let before = world.node(1).counters().bus.handshakes_over_rate;
        flood(&mut world, &mut call, Duration::from_millis(300 + phase));
        assert!(world.node(1).counters().bus.handshakes_over_rate > before + 500);
        let begin = world.now;
        world.send(0, 1, b"hello");
        let mut got = 0;
        while got == 0 {
            flood(&mut world, &mut call, Duration::from_millis(5));
            got = world.take(1).len();
            assert!(world.now.since(begin) < Duration::from_secs(1), "kept out");
        }
        // Its next word needs another session.
        world.kill(0);
        flood(&mut world, &mut call, Duration::from_millis(100));
        world.start(0);
        flood(&mut world, &mut call, Duration::from_secs(1));
        assert!(world.hops(0).contains_key(&key(1)));
    }
}

#[test]
fn answers_to_a_peer_that_takes_none_are_in_nobodys_way() {
    let (mut world, evil) = scene();
    // It shows that it lives and reads nothing, so its link stands for ever.
    world.evils[evil].reads = false;
    for _ in 0..4 {
        let calls = calls(&world, evil, SESSION_REPLIES_MAX / 2);
        world.evils[evil].words.data.extend(calls);
        world.run(Duration::from_secs(1));
    }
    assert!(world.node(1).counters().bus.replies_dropped > 0);
    let begin = world.now;
    world.send(0, 1, b"hello");
    let end = begin + Duration::from_secs(5);
    assert!(
        world.run_until(end, |world| !world.outcomes(0).is_empty() || !world.take(1).is_empty())
    );
    assert!(world.now.since(begin) < Duration::from_millis(100), "{:?}", world.now.since(begin));
}
