//! How far away neighbours are, as drivers tell it.

use super::*;
use crate::io::ApproximateDistance;

const NEAR: Option<ApproximateDistance> = Some(ApproximateDistance::from_centimetres(250));

/// The link from 0 to 1.
fn link(world: &mut World) -> LinkId {
    let now = world.now;
    world.node(0).links(now).find(|view| view.peer == Some(key(1))).unwrap().link
}

fn tell(world: &mut World, link: LinkId, distance: Option<ApproximateDistance>) {
    world.input(0, TransportEvent::Distance { link, distance });
}

/// The distances that the graph of a node shows, each with the ends of its connection.
fn shown(world: &mut World, number: usize) -> Vec<(PeerKey, PeerKey, ApproximateDistance)> {
    let now = world.now;
    let graph = world.node(number).graph(now);
    let connections = graph.remote.into_iter().flat_map(|peer| peer.connections);
    let mut shown: Vec<_> =
        connections.filter_map(|edge| Some((edge.a, edge.b, edge.figures?.distance?))).collect();
    shown.dedup();
    shown
}

#[test]
fn a_distance_is_shown_on_the_own_link_it_was_told_of_and_goes_with_it() {
    let mut world = World::line(3);
    world.converge();
    let between = link(&mut world);
    tell(&mut world, between, NEAR);
    world.run(Duration::from_secs(30));
    let (a, b) = (key(0).min(key(1)), key(0).max(key(1)));
    assert_eq!(shown(&mut world, 0), [(a, b, NEAR.unwrap())]);
    assert_eq!(
        [shown(&mut world, 1), shown(&mut world, 2)],
        [vec![], vec![]],
        "nobody else is told"
    );
    let now = world.now;
    assert_eq!(world.node(0).links(now).next().unwrap().distance, NEAR);

    tell(&mut world, between, None);
    assert_eq!(shown(&mut world, 0), []);

    tell(&mut world, between, NEAR);
    world.input(0, TransportEvent::LinkDown { link: between, reason: LinkLoss::TimedOut });
    assert_eq!(shown(&mut world, 0), []);
    world.converge();
    assert_ne!(link(&mut world), between);
    assert_eq!(shown(&mut world, 0), [], "a new link knows nothing of the one before");
}

#[test]
fn distances_change_no_graph_and_those_of_unknown_links_are_passed_over() {
    let mut world = World::line(2);
    world.converge();
    world.run(Duration::from_secs(10));
    let between = link(&mut world);
    let before = world.events[0].len();
    for centimetres in 1..1_000 {
        let distance = Some(ApproximateDistance::from_centimetres(centimetres));
        tell(&mut world, between, distance);
        tell(&mut world, LinkId { transport: WIRE, number: 99 }, distance);
        assert!(!world.carry_out(0), "there is something to do");
    }
    assert_eq!(world.events[0].len(), before);
    let now = world.now;
    assert_eq!(world.node(0).links(now).count(), 1);
}
