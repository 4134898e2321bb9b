//! Links that fall silent: what is done before they are down.

mod asleep;
mod measured;

use super::*;

const SOON: Duration = Duration::from_secs(30);

/// Two nodes that see each other at two endpoints each.
fn dual_homed() -> World {
    let mut world = World::new(2, &[(0, 1)]);
    world.sight_at(0, 1, "/other");
    world.sight_at(1, 0, "/other");
    world.converge();
    world
}

fn links(world: &mut World, number: usize) -> Vec<LinkView> {
    let now = world.now;
    world.node(number).links(now).collect()
}

/// Cuts the segment that carries the link between 0 and 1, without a word.
fn cut(world: &mut World) {
    let standing = links(world, 0);
    let [standing] = &standing[..] else { panic!("{standing:?}") };
    let suffix = if standing.endpoint.as_str().ends_with("/other") { "/other" } else { "" };
    world.dead = vec![format!("0{suffix}"), format!("1{suffix}")];
    let end = (0, standing.link);
    world.mute = vec![end.1, world.wires[&end].1];
}

/// Sends a numbered message every 50 ms from 0 to 1 until `until`; the longest wait between two
/// arrivals.
fn stream(world: &mut World, until: Instant) -> Duration {
    let (mut sent, mut got) = (0_u32, Vec::new());
    let (mut last, mut longest) = (world.now, Duration::ZERO);
    while world.now < until {
        world.send(0, 1, &sent.to_be_bytes());
        sent += 1;
        world.run(Duration::from_millis(50));
        let arrived = world.take(1);
        if !arrived.is_empty() {
            longest = longest.max(world.now.since(last));
            last = world.now;
        }
        got.extend(arrived);
    }
    let expected: Vec<_> = (0..sent - 1).map(|n| n.to_be_bytes()).collect();
    assert!(got.iter().zip(&expected).all(|(got, expected)| got[..] == expected[..]));
    assert!(got.len() >= expected.len(), "{} of {sent}", got.len());
    longest
}

#[test]
fn under_traffic_a_second_address_takes_over_four_seconds_after_the_first_fell_silent() {
    let mut world = dual_homed();
    let end = world.now + Duration::from_secs(5);
    stream(&mut world, end);
    cut(&mut world);
    let end = world.now + Duration::from_secs(30);
    let gap = stream(&mut world, end);
    assert!(gap < Duration::from_millis(4_200), "{gap:?}");
    for number in 0..2 {
        assert_eq!(links(&mut world, number).len(), 1, "one link for a pair and a transport");
    }
    let left = |event: &Event| matches!(event, Event::Presence(Change::PeerLeft(..)));
    assert!(!world.events.iter().flatten().any(left));
}

#[test]
fn what_was_on_its_way_over_a_suspect_link_is_sent_again_at_once() {
    let mut world = dual_homed();
    let end = world.now + Duration::from_secs(5);
    stream(&mut world, end);
    world.run(Duration::from_secs(1));
    world.take(1);
    cut(&mut world);
    let begin = world.now;
    world.send(0, 1, b"one");
    let arrived = world.run_until(begin + SOON, |world| world.take(1) == [b"one".as_slice()]);
    let took = world.now.since(begin);
    // The other end's last word went unanswered a second before; the next link takes 35 ms.
    assert!(arrived && took < Duration::from_millis(2_600), "{took:?}");
}

#[test]
fn an_idle_pair_changes_over_before_its_link_is_down() {
    let mut world = dual_homed();
    world.run(Duration::from_secs(20));
    cut(&mut world);
    let muted = world.mute[0];
    let begin = world.now;
    let replaced = world.run_until(begin + Duration::from_secs(30), |world| {
        let links = links(world, 0);
        links.len() == 1 && links[0].link != muted && links[0].is_active
    });
    let took = world.now.since(begin);
    assert!(replaced && took < Duration::from_secs(12), "{took:?}");
}

#[test]
fn a_ring_goes_around_a_silent_link_before_it_is_down() {
    let mut world = World::new(6, &[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)]);
    world.converge();
    assert_eq!(world.hops(0)[&key(1)], Some(1));
    let end = world.now + Duration::from_secs(5);
    stream(&mut world, end);
    world.silent.push((0, 1));
    let end = world.now + Duration::from_secs(30);
    let gap = stream(&mut world, end);
    assert!(gap < Duration::from_millis(4_200), "{gap:?}");
    assert_eq!(world.hops(0)[&key(1)], Some(5));
    world.silent.clear();
    let end = world.now + Duration::from_secs(30);
    assert!(world.run_until(end, |world| world.hops(0)[&key(1)] == Some(1)), "not healed");
}

#[test]
fn a_link_that_was_silent_for_a_moment_is_trusted_again() {
    let mut world = World::line(2);
    world.converge();
    let before = links(&mut world, 0)[0].link;
    cut(&mut world);
    let end = world.now + Duration::from_secs(30);
    assert!(world.run_until(end, |world| links(world, 0)[0].state == LinkState::Suspect));
    world.unmute();
    assert!(world.run_until(end, |world| links(world, 0)[0].state == LinkState::Up));
    assert_eq!(links(&mut world, 0)[0].link, before);
}

/// A laptop that sleeps for a minute, in the middle of a line and under traffic.
#[test]
fn after_a_minute_asleep_a_node_is_back_and_every_message_has_one_true_outcome() {
    for sleeper in [1, 2] {
        let mut world = World::line(3);
        world.converge();
        let mut got = Vec::new();
        let mut sent = 0_u32;
        let mut talk = |world: &mut World, seconds: u64, got: &mut Vec<Bytes>| {
            for _ in 0..seconds * 10 {
                world.send(0, 2, &sent.to_be_bytes());
                sent += 1;
                world.run(Duration::from_millis(100));
                if !world.is_stopped(2) {
                    got.extend(world.take(2));
                }
            }
        };
        talk(&mut world, 2, &mut got);
        let before = world.events[0].len();
        world.stop(sleeper);
        talk(&mut world, 60, &mut got);
        let left = |event: &Event| matches!(event, Event::Presence(Change::PeerLeft(..)));
        assert!(world.events[0][before..].iter().any(left), "it was shown as if it were there");
        world.go_on();
        world.converge();
        talk(&mut world, 2, &mut got);
        world.run(Duration::from_secs(40));
        got.extend(world.take(2));

        let got: Vec<u32> =
            got.iter().map(|data| u32::from_be_bytes(data[..].try_into().unwrap())).collect();
        assert!(got.is_sorted_by(|a, b| a < b), "doubled or out of order: {got:?}");
        assert_eq!(got.last(), Some(&(sent - 1)));
        let outcomes = world.outcomes(0);
        assert_eq!(outcomes.len(), sent as usize, "a sender was left without an answer");
        let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|o| is(o)).count();
        let delivered = count(|outcome| matches!(outcome, Outcome::Delivered { .. }));
        let unknown = count(|outcome| matches!(outcome, Outcome::Unknown(_)));
        assert!((delivered..=delivered + unknown).contains(&got.len()), "{delivered} {unknown}");
    }
}
