//! A host that does not look for a while.

mod owed;

use super::*;
use crate::io::TransportEvent;
use crate::limits::EVENTS_MAX;

/// Somebody connects, says nonsense and is gone.
fn nuisance(world: &mut World, number: u64) {
    let link = LinkId { transport: WIRE, number: 1_000_000 + number };
    let up = LinkUp {
        link,
        origin: LinkOrigin::Accepted,
        shape: LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 },
        endpoint: Endpoint::new("10.0.0.6:1"),
        estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: DELAY },
    };
    world.input(0, TransportEvent::LinkUp(up));
    world.input(0, TransportEvent::Received { link, data: BytesMut::from("GET / HTTP/1.1") });
}

#[test]
fn what_a_caller_waits_for_is_never_lost_however_much_else_happens() {
    let mut world = World::new(1, &[]);
    world.run(Duration::from_millis(1));
    let (now, give_up) = (world.now, Some(Duration::from_secs(1)));
    let data = Bytes::from_static(b"nobody is there");
    let id = world
        .node(0)
        .with_bus(now, |bus, _| bus.send_reliable(now, key(9), Lane::Normal, data, give_up))
        .unwrap();
    world.now += Duration::from_secs(1);
    let now = world.now;
    world.node(0).handle_input(now, Input::Timeout);
    for number in 0..2 * EVENTS_MAX as u64 {
        nuisance(&mut world, number);
    }
    let events: Vec<Event> = core::iter::from_fn(|| world.node(0).poll_output())
        .filter_map(|output| match output {
            Output::Event(event) => Some(event),
            Output::Command(..) => None,
        })
        .collect();
    assert!(matches!(events[0], Event::Overflow(lost) if lost >= EVENTS_MAX as u64));
    assert_eq!(world.node(0).counters().events_lost, EVENTS_MAX as u64);
    let done = |event: &Event| matches!(event, Event::Bus(BusEvent::MessageDone { id: done, .. }) if *done == id);
    assert!(events.iter().any(done));
}
