//! A link falls silent, and its peer has no other endpoint.

use super::*;
use crate::node::tests::slots::radio;

/// Two nodes of which the first one alone knows where the other one is.
fn one_way_known(links_max: usize) -> World {
    let mut world = World::with_profile(2, &[], radio(links_max));
    world.near.push((0, 1));
    let sighting = Sighting { endpoint: Endpoint::new("1"), beacon: None };
    world.input(0, TransportEvent::Sighted(sighting));
    world.converge();
    world.run(Duration::from_secs(20));
    world
}

fn views(world: &mut World) -> Vec<LinkView> {
    let now = world.now;
    world.node(0).links(now).collect()
}

#[test]
fn the_only_endpoint_of_a_silent_link_is_dialled_before_the_link_breaks() {
    // The slot of the link in doubt is that of its successor.
    for links_max in [1, 3] {
        let mut world = one_way_known(links_max);
        let muted = views(&mut world)[0].link;
        world.mute = vec![muted, world.wires[&(0, muted)].1];
        let begin = world.now;
        let replaced = world.run_until(begin + Duration::from_secs(30), |world| {
            let views = views(world);
            views.len() == 1 && views[0].link != muted && views[0].is_active
        });
        let took = world.now.since(begin);
        // It is suspect 6.5 s after it was heard last, and would be dead after 16 s.
        assert!(replaced && took < Duration::from_secs(9), "{links_max} slots: {took:?}");
        let broke = |event: &Event| {
            let silent = matches!(event, Event::LinkDown { end: LinkEnd::Silent, .. });
            silent || matches!(event, Event::Presence(Change::PeerLeft(..)))
        };
        assert!(!world.events.iter().flatten().any(broke), "it broke first");
        // And the next time, too.
        let next = views(&mut world)[0].link;
        world.run(Duration::from_secs(20));
        world.mute.extend([next, world.wires[&(0, next)].1]);
        let end = world.now + Duration::from_secs(9);
        let again = world.run_until(end, |world| {
            let views = views(world);
            views.len() == 1 && views[0].link != next && views[0].is_active
        });
        assert!(again, "{links_max} slots: {:?}", views(&mut world));
    }
}

#[test]
fn a_link_that_is_trusted_again_is_dialled_no_more() {
    let mut world = one_way_known(3);
    let link = views(&mut world)[0].link;
    world.dead = vec!["1".into()];
    world.mute = vec![link, world.wires[&(0, link)].1];
    let suspect = |world: &mut World| views(world)[0].state == LinkState::Suspect;
    let end = world.now + Duration::from_secs(12);
    assert!(world.run_until(end, suspect));
    world.run(Duration::from_secs(2));
    let failed = |event: &&Event| matches!(event, Event::DialFailed { .. });
    let count = |world: &World| world.events[0].iter().filter(failed).count();
    assert!((1..8).contains(&count(&world)), "{}", count(&world));
    world.unmute();
    assert!(world.run_until(end, |world| !suspect(world)));
    world.run(Duration::from_secs(1));
    let before = count(&world);
    world.run(Duration::from_secs(60));
    assert_eq!((count(&world), views(&mut world)[0].link), (before, link));
}
