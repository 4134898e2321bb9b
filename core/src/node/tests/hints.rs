//! What transports tell each other over links that stand.

use super::*;
use crate::limits::{HINTS_MAX, LINK_CONTROL_QUEUE_MAX};
use crate::wire::control::{Control, HintCopy};

const RADIO: TransportId = TransportId(1);

fn radio() -> ConnectionType {
    ConnectionType::P2PWiFi
}

fn hint(text: &str) -> Hint {
    Hint::new(text.as_bytes()).unwrap()
}

/// A line of nodes, each of which has a second transport that carries nothing.
fn line(nodes: usize) -> World {
    let mut world = World::line(nodes);
    for number in 0..nodes {
        world.start(number);
        add_radio(&mut world, number);
    }
    world.converge();
    world
}

fn add_radio(world: &mut World, number: usize) {
    let profile = TransportProfile { kind: radio(), ..world.profile.clone() };
    world.node(number).add_transport(RADIO, profile);
}

fn copy(medium: ConnectionType, sequence: u64, hint: Hint) -> Control {
    Control::Hint(HintCopy { medium, sequence, hint })
}

/// The radio's driver of a node tells something.
fn tell(world: &mut World, number: usize, text: &str) {
    let (now, event) = (world.now, TransportEvent::Hint(hint(text)));
    world.node(number).handle_input(now, Input::Transport { transport: RADIO, event });
}

/// What the radio's driver of a node knows of another node.
fn heard(world: &World, number: usize, of: usize) -> Option<String> {
    let hint = world.hints.get(&(number, RADIO, key(of)))?;
    Some(String::from_utf8(hint.as_bytes().to_vec()).unwrap())
}

fn soon(world: &mut World) {
    world.run(Duration::from_millis(100));
}

#[test]
fn a_hint_goes_to_the_driver_of_that_medium_at_neighbours_and_no_further() {
    let mut world = line(3);
    tell(&mut world, 0, "channel 6");
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0).as_deref(), Some("channel 6"));
    assert_eq!(heard(&world, 2, 0), None, "it is no neighbour");
    assert!(world.hints.keys().all(|(_, transport, _)| *transport == RADIO), "{:?}", world.hints);
    tell(&mut world, 0, "channel 11");
    tell(&mut world, 0, "channel 1");
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0).as_deref(), Some("channel 1"), "the newest counts");
    tell(&mut world, 0, "");
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0), None);
}

#[test]
fn who_comes_later_is_told_and_who_goes_is_forgotten() {
    let mut world = line(2);
    tell(&mut world, 0, "here");
    soon(&mut world);
    world.kill(1);
    world.start(1);
    add_radio(&mut world, 1);
    world.hints.clear();
    world.converge();
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0).as_deref(), Some("here"));
    world.kill(0);
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0), None, "a neighbour that is gone tells nothing");
}

#[test]
fn a_transport_that_comes_late_hears_what_was_told_and_one_that_ends_takes_its_hint_back() {
    let mut world = World::line(2);
    (0..2).for_each(|number| world.start(number));
    add_radio(&mut world, 0);
    world.converge();
    tell(&mut world, 0, "here");
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0), None);
    add_radio(&mut world, 1);
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0).as_deref(), Some("here"));
    let now = world.now;
    world.node(0).remove_transport(now, RADIO);
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0), None);
}

/// The link that a hint went out on dies before it has arrived; another one stands.
#[test]
fn a_hint_that_was_lost_with_its_link_goes_out_again_on_another_one() {
    let mut world = line(2);
    let side = TransportId(2);
    for number in 0..2 {
        let profile =
            TransportProfile { kind: ConnectionType::other("Side"), ..world.profile.clone() };
        world.node(number).add_transport(side, profile);
    }
    let (a, b) = (LinkId { transport: side, number: 1 }, LinkId { transport: side, number: 2 });
    world.wires.insert((0, a), (1, b));
    world.wires.insert((1, b), (0, a));
    for (number, link, origin) in
        [(0, a, LinkOrigin::Dialled(DialId(99))), (1, b, LinkOrigin::Accepted)]
    {
        let up = LinkUp {
            link,
            origin,
            shape: LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 },
            endpoint: Endpoint::new("side"),
            estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: DELAY },
        };
        world.input(number, TransportEvent::LinkUp(up));
    }
    soon(&mut world);
    let now = world.now;
    assert_eq!(world.node(0).links(now).count(), 2);
    let active = world.node(0).neighbours[&key(1)].active().unwrap();
    world.paused.push((0, active));
    tell(&mut world, 0, "here");
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0), None, "it waits in a link that nobody pulls");
    let end = (0, active);
    let other = world.wires.remove(&end).unwrap();
    world.wires.remove(&other);
    for (number, link) in [end, other] {
        world.input(number, TransportEvent::LinkDown { link, reason: LinkLoss::Reset });
    }
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0).as_deref(), Some("here"));
}

#[test]
fn a_hint_waits_for_a_link_that_is_full() {
    let mut world = line(2);
    let link = world.node(0).neighbours[&key(1)].active().unwrap();
    world.paused.push((0, link));
    let filler = Control::BodyMiss([0; 32]);
    for _ in 0..=LINK_CONTROL_QUEUE_MAX {
        world.node(0).tell(key(1), &filler);
    }
    tell(&mut world, 0, "here");
    soon(&mut world);
    world.paused.clear();
    world.run(Duration::from_secs(6));
    assert_eq!(heard(&world, 1, 0).as_deref(), Some("here"));
}

#[test]
fn a_neighbour_that_tells_of_many_media_is_heard_on_so_many_and_no_more() {
    let mut world = line(2);
    for number in 0..2 * HINTS_MAX {
        let medium = ConnectionType::other(&format!("m{number}"));
        world.node(0).tell(key(1), &copy(medium, 1, hint("x")));
    }
    soon(&mut world);
    let kept = |world: &mut World| world.node(1).neighbours[&key(0)].hints.media();
    assert_eq!(kept(&mut world), HINTS_MAX);
    tell(&mut world, 0, "here");
    soon(&mut world);
    assert_eq!(kept(&mut world), HINTS_MAX);
    assert_eq!(heard(&world, 1, 0), None, "there is no room for more");
}

#[test]
fn a_hint_that_comes_late_over_another_link_does_not_replace_a_newer_one() {
    let mut world = line(2);
    for (sequence, text) in [(7, "new"), (6, "old"), (7, "again")] {
        world.node(0).tell(key(1), &copy(radio(), sequence, hint(text)));
        soon(&mut world);
        assert_eq!(heard(&world, 1, 0).as_deref(), Some("new"));
    }
    world.node(0).tell(key(1), &copy(radio(), 9, Hint::default()));
    world.node(0).tell(key(1), &copy(radio(), 8, hint("before it was taken back")));
    soon(&mut world);
    assert_eq!(heard(&world, 1, 0), None);
}
