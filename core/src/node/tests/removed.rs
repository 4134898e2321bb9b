//! A transport whose driver has ended.

use super::*;
use crate::io::TransportEvent;

#[test]
fn a_removed_transport_has_no_links_and_is_asked_for_nothing() {
    let mut world = World::line(2);
    world.run(Duration::from_secs(1));
    // Somebody else is being dialled and does not answer.
    let endpoint = Endpoint::new("silent");
    let silent = Sighting { endpoint: endpoint.clone(), beacon: None };
    world.input(0, TransportEvent::Sighted(silent));
    let now = world.now;
    world.node(0).remove_transport(now, WIRE);
    let outputs: Vec<Output> = core::iter::from_fn(|| world.node(0).poll_output()).collect();
    let is_lost = |output: &Output| {
        let shutdown = LinkEnd::Lost(LinkLoss::Shutdown);
        matches!(output, Output::Event(Event::LinkDown { end, .. }) if *end == shutdown)
    };
    assert_eq!(outputs.iter().filter(|output| is_lost(output)).count(), 1);
    assert_eq!(world.node(0).links(now).count(), 0);

    // What its driver said last comes too late.
    let link = LinkId { transport: WIRE, number: 99 };
    world.input(0, TransportEvent::Sighted(Sighting { endpoint: endpoint.clone(), beacon: None }));
    world.input(
        0,
        TransportEvent::LinkUp(LinkUp {
            link,
            origin: LinkOrigin::Accepted,
            shape: LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 },
            endpoint,
            estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: DELAY },
        }),
    );
    for _ in 0..60 {
        world.now += Duration::from_secs(10);
        let now = world.now;
        world.node(0).handle_input(now, Input::Timeout);
        let commands = core::iter::from_fn(|| world.node(0).poll_output())
            .filter(|output| matches!(output, Output::Command(..)));
        assert_eq!(commands.count(), 0);
    }
    let now = world.now;
    assert_eq!(world.node(0).links(now).count(), 0);
}
