//! Nodes whose host sleeps: their clock jumps when they wake up, or goes back a little.

use super::*;
use crate::wire::advert::AdvertKind;

const HOUR: Duration = Duration::from_secs(3_600);

/// Stops a node for a time and lets it find the later time by a timer, as a host does that looks
/// at its clock first. How often it wants to be called at that time.
fn doze(world: &mut World, number: usize, time: Duration) -> usize {
    world.stop(number);
    world.run(time);
    let (stopped, node) = world.stopped.take().unwrap();
    world.nodes[stopped] = Some(node);
    let now = world.now;
    let node = world.node(number);
    let due = |node: &Node| node.next_timeout().is_some_and(|at| at <= now);
    let calls = (0..1_000).take_while(|_| {
        let is_due = due(node);
        if is_due {
            node.handle_input(now, Input::Timeout);
        }
        is_due
    });
    let calls = calls.count();
    world.unmute();
    calls
}

/// The stamp of `owner`'s adjacency that `number` holds.
fn adjacency(world: &mut World, number: usize, owner: usize) -> Option<(u64, u64)> {
    let database = &world.node(number).database;
    let is =
        |id: &crate::advert::AdvertId| id.owner == key(owner) && id.kind == AdvertKind::Adjacency;
    let stamp = database.ids(None).find(is).and_then(|id| database.stamp(id))?;
    Some((stamp.epoch, stamp.sequence))
}

#[test]
fn a_node_that_slept_judges_its_links_at_once_and_is_back_soon_after() {
    for time in [Duration::from_secs(20), Duration::from_secs(600), 3 * HOUR, 30 * HOUR] {
        let mut world = World::line(3);
        world.converge();
        let before = adjacency(&mut world, 1, 1).unwrap();
        let calls = doze(&mut world, 1, time);
        assert!(calls <= 3, "{calls} calls on waking up after {time:?}");
        let standing: Vec<LinkId> = links(&mut world, 1).iter().map(|view| view.link).collect();
        let chunks = core::cell::Cell::new(0);
        let end = world.now + Duration::from_secs(5);
        let back = world.run_until(end, |world| {
            let held = links(world, 1).iter().any(|view| standing.contains(&view.link));
            chunks.set(chunks.get().max(world.flight.len()));
            !held && world.all_see_all()
        });
        assert!(back, "not back after {time:?}");
        assert!(chunks.get() < 40, "{chunks:?} on the wires at once");
        world.run(Duration::from_secs(2));
        let after = adjacency(&mut world, 2, 1).unwrap();
        let signed = if time < 3 * HOUR { 0..=6 } else { 1..=6 };
        assert!(signed.contains(&(after.1 - before.1)), "{before:?} {after:?}");
        world.send(0, 2, b"awake");
        world.run(Duration::from_secs(2));
        assert_eq!(world.take(2), [b"awake".as_slice()]);
    }
}

#[test]
fn a_node_that_naps_does_not_take_its_own_silence_for_the_others() {
    let mut world = World::line(2);
    world.converge();
    world.run(Duration::from_secs(30));
    let (standing, before) = (links(&mut world, 0)[0].link, adjacency(&mut world, 1, 0));
    let theirs = adjacency(&mut world, 0, 1).unwrap();
    world.events.iter_mut().for_each(Vec::clear);
    for _ in 0..20 {
        doze(&mut world, 0, Duration::from_secs(3));
        world.run(Duration::from_secs(10));
    }
    assert_eq!(links(&mut world, 0)[0].link, standing);
    assert_eq!(adjacency(&mut world, 1, 0), before, "signed for nothing");
    // The other one, which heard nothing for longer than a keepalive takes, may doubt it and say so.
    let told = adjacency(&mut world, 0, 1).unwrap().1 - theirs.1;
    let is_theirs = |event: &Event| matches!(event, Event::Presence(Change::PeerUpdated(peer)) if *peer == key(1));
    let events = &world.events[0];
    assert!(events.iter().all(is_theirs) && events.len() as u64 <= told, "{events:?}");
}

#[test]
fn a_sleeper_does_not_claim_that_it_met_somebody_just_now() {
    let mut world = World::line(3);
    world.converge();
    world.run(Duration::from_secs(10));
    let met = world.now;
    // Everybody else leaves while it sleeps, and others forget them.
    world.stop(1);
    world.kill(0);
    world.run(3 * HOUR);
    world.go_on();
    world.run(Duration::from_secs(20));
    let reachable = world.node(1).database.reachable_at(&key(0));
    assert!(reachable.is_none_or(|at| at <= met + Duration::from_secs(20)), "{reachable:?}");
    world.run(Duration::from_secs(120));
    assert_eq!(adjacency(&mut world, 1, 0), None, "it is forgotten here, too");
    assert_eq!(adjacency(&mut world, 2, 0), None, "nobody brought it back");
}

#[test]
fn a_clock_that_goes_back_a_little_breaks_nothing() {
    let mut world = World::line(3);
    world.converge();
    let mut random = Seeded(5);
    let (mut sent, mut got) = (0_u32, Vec::new());
    for _ in 0..300 {
        let mut byte = [0];
        crate::entropy::Entropy::fill(&mut random, &mut byte);
        world.now = world.now - Duration::from_millis(u64::from(byte[0]) * 8);
        world.send(0, 2, &sent.to_be_bytes());
        sent += 1;
        let now = world.now;
        (0..3).for_each(|number| world.node(number).handle_input(now, Input::Timeout));
        world.run(Duration::from_millis(1_200));
        got.extend(world.take(2));
    }
    world.run(Duration::from_secs(20));
    got.extend(world.take(2));
    let sent: Vec<_> = (0..sent).map(u32::to_be_bytes).collect();
    assert!(
        got.iter().zip(&sent).all(|(got, sent)| got[..] == sent[..]) && got.len() == sent.len()
    );
    assert!(world.all_see_all());
}
