//! What the Bus carries over several hops.

use super::*;

#[test]
fn what_comes_with_the_last_message_of_a_links_handshake_is_answered() {
    for [from, to] in [[0, 1], [1, 0]] {
        let mut world = World::line(2);
        world.send(from, to, b"hello");
        world.converge();
        world.run(10 * DELAY);
        assert_eq!(world.take(to), [b"hello".as_slice()]);
    }
}

#[test]
fn a_message_crosses_four_hops_and_its_sender_hears_of_it() {
    let mut world = World::line(5);
    world.converge();
    world.send(0, 4, b"over the hedge");
    world.run(Duration::from_secs(2));
    assert_eq!(world.take(4), [b"over the hedge".as_slice()]);
    world.run(Duration::from_secs(2));
    let outcomes = world.outcomes(0);
    assert!(matches!(outcomes[..], [Outcome::Delivered { hops: 4, .. }]), "{outcomes:?}");
}

#[test]
fn a_frame_that_is_too_big_is_answered_at_once() {
    let mut world = World::line(3);
    world.converge();
    world.run(Duration::from_secs(1));
    let header = crate::wire::routing::RoutingHeader {
        kind: crate::wire::routing::DataKind::Packet,
        congested: false,
        key_phase: false,
        hop_limit: 5,
        lifetime_ms: 1_000,
        source: key(0).address(),
        destination: key(2).address(),
        session: 7,
        packet_low: 9,
    };
    let payload = BytesMut::zeroed(4_097);
    let frame = crate::wire::frame::DataFrame { lane: Lane::Bulk, header, tag: [0; 16], payload };
    let (now, end) = (world.now, *world.wires.keys().find(|end| end.0 == 1).unwrap());
    while world.node(1).poll_transmit(now, end.1).is_some() {}
    world.node(1).on_data(now, end.1, key(0), frame);
    // Its host pulls each link once, the one to the source first.
    assert!(world.node(1).poll_transmit(now, end.1).is_some());
    assert_eq!(world.node(1).counters().dropped_too_big, 1);
}

#[test]
fn a_stream_carries_more_than_every_queue_on_the_way() {
    let mut world = World::line(4);
    world.converge();
    let now = world.now;
    let open = StreamOpen {
        topic: Bytes::from_static(b"t"),
        reliability: Reliability::Reliable,
        lane: Lane::Bulk,
        args: Bytes::new(),
    };
    let id = world
        .node(0)
        .with_bus(now, |bus, entropy| bus.open_stream(now, entropy, key(3), open))
        .unwrap();
    world.run(Duration::from_secs(1));
    let offered = world.events[3].iter().find_map(|event| match event {
        Event::Bus(BusEvent::StreamOffered { id, .. }) => Some(*id),
        _ => None,
    });
    let far = offered.unwrap();
    let now = world.now;
    world.node(3).with_bus(now, |bus, _| bus.accept_stream(now, far, Bytes::new())).unwrap();
    let (mut sent, mut received) = (0_u32, 0_u32);
    while received < 2_000 {
        let now = world.now;
        while sent < 2_000 {
            let mut data = vec![0; 5_000];
            data[..4].copy_from_slice(&sent.to_be_bytes());
            let accepted =
                world.node(0).with_bus(now, |bus, _| bus.stream_send(now, id, Bytes::from(data)));
            if accepted.is_err() {
                break;
            }
            sent += 1;
        }
        while let Some(data) = world.node(3).with_bus(now, |bus, _| bus.stream_next(now, far)) {
            assert_eq!(data[..4], received.to_be_bytes());
            received += 1;
        }
        assert!(world.now < Instant::from_millis(120_000), "stuck at {received}");
        world.run(Duration::from_millis(20));
    }
}

#[test]
fn messages_survive_the_restarts_of_a_relay_in_order_and_once() {
    let mut world = World::line(3);
    world.converge();
    let (mut sent, mut got) = (0_u32, Vec::new());
    for _ in 0..5 {
        for _ in 0..40 {
            world.send(0, 2, &sent.to_be_bytes());
            sent += 1;
        }
        world.run(Duration::from_millis(11));
        got.extend(world.take(2));
        world.kill(1);
        world.run(Duration::from_secs(4));
        world.start(1);
        world.run(Duration::from_secs(4));
        got.extend(world.take(2));
    }
    let end = world.now + Duration::from_secs(30);
    while got.len() < sent as usize && world.now < end {
        world.run(Duration::from_millis(500));
        got.extend(world.take(2));
    }
    let expected: Vec<_> = (0..sent).map(|n| Bytes::copy_from_slice(&n.to_be_bytes())).collect();
    assert_eq!(got, expected);
    world.run(Duration::from_secs(5));
    let delivered = |outcome: &&Outcome| matches!(outcome, Outcome::Delivered { .. });
    assert_eq!(world.outcomes(0).iter().filter(delivered).count(), sent as usize);
}
