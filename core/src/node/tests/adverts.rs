//! What neighbours tell each other about everybody.

mod epochs;
mod restarts;

use super::*;

fn names(world: &mut World, number: usize) -> Vec<String> {
    let now = world.now;
    let graph = world.node(number).graph(now);
    graph.remote.iter().map(|peer| peer.device_name()).collect()
}

fn all_named(world: &mut World) -> bool {
    (0..3).all(|number| {
        let names = names(world, number);
        names.len() == 2 && names.iter().all(|name| !name.is_empty())
    })
}

#[test]
fn a_peer_that_was_away_for_hours_is_back_with_its_name() {
    let mut world = World::line(3);
    world.converge();
    world.silent.push((1, 2));
    world.run(Duration::from_secs(2 * 3_600));
    assert_eq!(world.hops(0).len(), 1);
    world.silent.clear();
    let end = world.now + Duration::from_secs(60);
    assert!(world.run_until(end, all_named), "{:?}", names(&mut world, 0));
}

/// Another link between 0 and 1, though one stands.
fn connect(world: &mut World) {
    let dial = Flying::Dial(1, DialId(u64::MAX), Endpoint::new("0"));
    world.flight.push((world.now, dial));
}

/// The standing link between 0 and 1 swallows everything from now on.
fn mute(world: &mut World) -> LinkId {
    let now = world.now;
    let standing = world.node(0).links(now).next().unwrap().link;
    world.mute = vec![standing, world.wires[&(0, standing)].1];
    standing
}

#[test]
fn what_a_dead_link_swallowed_is_told_again_over_the_next_one() {
    let mut world = World::line(3);
    world.converge();
    mute(&mut world);
    let now = world.now;
    world.node(0).set_device_name(now, "renamed");
    world.run(Duration::from_millis(100));
    assert!(!names(&mut world, 2).contains(&"renamed".into()));
    connect(&mut world);
    let end = world.now + Duration::from_secs(5);
    let told = world.run_until(end, |world| names(world, 2).contains(&"renamed".into()));
    assert!(told, "{:?}", names(&mut world, 2));
}

#[test]
fn of_two_links_one_stays_and_a_third_one_has_no_case() {
    let mut world = World::line(2);
    world.converge();
    let first = mute(&mut world);
    connect(&mut world);
    world.run(DELAY * 5);
    let now = world.now;
    let second = world.node(0).links(now).map(|view| view.link).max().unwrap();
    assert_ne!(first, second);
    world.events[0].clear();
    connect(&mut world);
    world.run(DELAY * 6);
    let closed: Vec<LinkId> = world.events[0]
        .iter()
        .filter_map(|event| match event {
            Event::LinkDown { link, .. } => Some(*link),
            _ => None,
        })
        .collect();
    assert!(matches!(closed[..], [third] if third > second), "{closed:?}");
    world.run(Duration::from_secs(3));
    let now = world.now;
    let links: Vec<LinkId> = world.node(0).links(now).map(|view| view.link).collect();
    assert_eq!(links, [second], "the first did not answer");
}

#[test]
fn a_link_that_comes_up_while_another_one_is_closing_competes_with_the_one_that_stays() {
    let mut world = World::line(2);
    world.converge();
    let first = mute(&mut world);
    connect(&mut world);
    world.run(DELAY * 5);
    // Its last bytes are not pulled: it closes for a second.
    let other = world.wires.remove(&(0, first)).unwrap();
    world.wires.remove(&other);
    let closing = |world: &mut World| {
        let now = world.now;
        (0..2).all(|n| world.node(n).links(now).any(|view| view.state == LinkState::Closed))
    };
    let end = world.now + Duration::from_secs(3);
    assert!(world.run_until(end, closing));
    connect(&mut world);
    world.run(Duration::from_secs(5));
    for number in 0..2 {
        let now = world.now;
        assert_eq!(world.node(number).links(now).count(), 1, "node {number}");
    }
}
