//! Who comes, goes and comes back, as the others see it.

use super::*;

#[test]
fn a_line_of_five_becomes_one_graph_with_the_right_hops() {
    let mut world = World::line(5);
    world.converge();
    for number in 0..5 {
        for (peer, hops) in world.hops(number) {
            let other = (0..5).find(|n| key(*n) == peer).unwrap();
            assert_eq!(hops, Some(other.abs_diff(number) as u16));
        }
    }
    let now = world.now;
    let graph = world.node(0).graph(now);
    let far = graph.remote.iter().find(|peer| peer.key == key(3)).unwrap();
    assert_eq!(far.device_name(), "n3");
    assert_eq!(far.connections.len(), 2);
}

#[test]
fn a_node_that_shuts_down_says_goodbye_on_its_sessions_too() {
    for (hops, end) in [(1, 1), (2, 2)] {
        let mut world = World::line(hops + 1);
        world.converge();
        world.send(0, end, b"x");
        world.run(Duration::from_secs(2));
        // Its host does nothing more for it but to send its last bytes.
        world.near.clear();
        let now = world.now;
        world.node(0).shutdown(now);
        world.run(Duration::from_secs(2));
        let reasons: Vec<_> = world.events[end]
            .iter()
            .filter_map(|event| match event {
                Event::Bus(BusEvent::SessionDown { reason, .. }) => Some(*reason),
                _ => None,
            })
            .collect();
        assert_eq!(reasons, [crate::bus::SessionEnd::ClosedByRemote], "{hops} hops");
    }
}

#[test]
fn a_killed_relay_takes_the_far_peer_out_of_the_graph_and_its_return_heals() {
    let mut world = World::line(3);
    world.converge();
    world.kill(1);
    let end = world.now + Duration::from_secs(10);
    assert!(world.run_until(end, |world| world.hops(0).is_empty()), "C stays");
    let left = |event: &Event| matches!(event, Event::Presence(Change::PeerLeft(..)));
    assert_eq!(world.events[0].iter().filter(|event| left(event)).count(), 2);
    world.start(1);
    world.converge();
}

#[test]
fn a_silent_wire_is_noticed_and_left() {
    let mut world = World::line(3);
    world.converge();
    world.silent.push((0, 1));
    let end = world.now + Duration::from_secs(30);
    assert!(world.run_until(end, |world| world.hops(0).is_empty()), "C stays");
    world.silent.clear();
    let end = world.now + Duration::from_secs(30);
    assert!(world.run_until(end, World::all_see_all), "not healed");
}

#[test]
fn a_brief_outage_is_not_a_departure() {
    let mut world = World::line(3);
    world.converge();
    world.events[0].clear();
    world.kill(1);
    world.run(UNREACHABLE_GRACE / 3);
    world.start(1);
    world.converge();
    let left = |event: &Event| matches!(event, Event::Presence(Change::PeerLeft(..)));
    assert!(!world.events[0].iter().any(left));
}

#[test]
fn a_restarted_node_without_memory_steps_above_its_past() {
    let mut world = World::line(3);
    world.epochs[0] = 40;
    world.kill(0);
    world.start(0);
    world.converge();
    world.kill(0);
    world.run(Duration::from_secs(1));
    world.epochs[0] = 2;
    world.start(0);
    world.run(Duration::from_secs(5));
    let stepped = |event: &Event| matches!(event, Event::EpochStepped(epoch) if *epoch > 41);
    assert!(world.events[0].iter().any(stepped));
    assert!(world.all_see_all());
}

#[test]
fn a_shutdown_is_told_and_not_waited_out() {
    let mut world = World::line(2);
    world.converge();
    let now = world.now;
    world.node(1).shutdown(now);
    world.run(DELAY * 3);
    assert_eq!(world.hops(0).values().next(), Some(&None), "unreachable at once");
    let ends = world.events[0].iter().filter_map(|event| match event {
        Event::LinkDown { end, .. } => Some(end),
        _ => None,
    });
    let retry_after = Duration::ZERO;
    assert!(ends.eq([&LinkEnd::ByPeer { code: CloseCode::Shutdown, retry_after }]));
}
