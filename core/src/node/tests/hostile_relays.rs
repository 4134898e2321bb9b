//! A relay that does with what it carries what it likes. It is a true node but for that: links,
//! adverts and routes are as they should be.

use super::*;
use crate::wire::frame::DataFrame;

type Frames = Vec<(DataFrame, PeerKey)>;

impl World {
    /// Lets `conduct` do what it likes with all that waits in `relay`.
    fn tamper(&mut self, relay: usize, conduct: &mut dyn FnMut(&mut Frames)) {
        let now = self.now;
        let Some(node) = self.nodes[relay].as_mut() else { return };
        for neighbour in node.neighbours.values_mut() {
            let mut frames: Frames = neighbour.relay.drain(now).collect();
            conduct(&mut frames);
            for (frame, from) in frames {
                let _ = neighbour.relay.push(now, frame, from);
            }
        }
    }

    /// Runs in steps between which the relay does its work, before what it carries can leave.
    fn run_tampered(&mut self, relay: usize, time: Duration, conduct: &mut dyn FnMut(&mut Frames)) {
        let end = self.now + time;
        while self.now < end {
            // Its host pulls no link while frames come in: they gather.
            let ends: Vec<End> = self.wires.keys().filter(|e| e.0 == relay).copied().collect();
            self.paused = ends;
            self.run(DELAY);
            self.paused.clear();
            self.tamper(relay, conduct);
            self.run(Duration::from_micros(1));
        }
    }
}

/// 0 - 1 - 2, of which 1 is the relay; messages from 0 to 2 under its conduct, and what became of
/// them: those that arrived, and their senders' outcomes.
fn exchange(count: u32, conduct: &mut dyn FnMut(&mut Frames)) -> (World, Vec<Bytes>, Vec<Outcome>) {
    let mut world = World::line(3);
    world.converge();
    world.run(Duration::from_secs(2));
    let mut got = Vec::new();
    for number in 0..count {
        let mut data = vec![0; 700];
        data[..4].copy_from_slice(&number.to_be_bytes());
        world.send(0, 2, &data);
        world.run_tampered(1, 4 * DELAY, conduct);
        got.extend(world.take(2));
    }
    let end = world.now + Duration::from_secs(90);
    while world.outcomes(0).len() < count as usize && world.now < end {
        world.run_tampered(1, Duration::from_millis(100), conduct);
        got.extend(world.take(2));
    }
    let outcomes = world.outcomes(0);
    assert_eq!(outcomes.len(), count as usize, "each message has its outcome");
    (world, got, outcomes)
}

/// Whatever the relay did, all came once and in order.
fn all_came(count: u32, got: &[Bytes], outcomes: &[Outcome]) {
    let numbers = got.iter().map(|data| u32::from_be_bytes(data[..4].try_into().unwrap()));
    assert!(numbers.eq(0..count), "{} came", got.len());
    let delivered = |outcome: &Outcome| matches!(outcome, Outcome::Delivered { .. });
    assert!(outcomes.iter().all(delivered), "{outcomes:?}");
}

#[test]
fn a_relay_that_repeats_everything_delivers_nothing_twice() {
    let mut kept: Frames = Vec::new();
    let (mut world, got, outcomes) = exchange(60, &mut |frames| {
        let repeated: Frames = frames.iter().flat_map(|frame| vec![frame.clone(); 3]).collect();
        kept.extend(frames.iter().take(2).cloned());
        // And once more, much later.
        *frames = repeated;
        if kept.len() > 100 {
            frames.append(&mut kept);
        }
    });
    all_came(60, &got, &outcomes);
    assert!(world.node(2).counters().bus.packets_replayed > 60);
}

#[test]
fn a_relay_that_reorders_delivers_nothing_out_of_order() {
    let (_, got, outcomes) = exchange(60, &mut |frames| frames.reverse());
    all_came(60, &got, &outcomes);
}

#[test]
fn a_relay_that_alters_now_and_then_delivers_nothing_false() {
    let mut turn = 0_usize;
    let (mut world, got, outcomes) = exchange(60, &mut |frames| {
        for (frame, _) in frames {
            turn += 1;
            match turn % 12 {
                0 => frame.tag[turn % 16] ^= 1,
                3 if !frame.payload.is_empty() => {
                    let at = turn % frame.payload.len();
                    frame.payload[at] ^= 0x80;
                }
                6 => frame.payload.truncate(frame.payload.len() / 2),
                9 => frame.header.packet_low ^= 1 << (turn % 32),
                _ => {}
            }
        }
    });
    all_came(60, &got, &outcomes);
    let counters: u64 = [0, 2].map(|n| world.node(n).counters().bus.packets_broken).iter().sum();
    assert!(counters > 10, "{counters}");
}

#[test]
fn a_relay_that_drops_every_third_frame_delays_and_loses_nothing() {
    let mut turn = 0_usize;
    let (_, got, outcomes) = exchange(60, &mut |frames| {
        frames.retain(|_| {
            turn += 1;
            !turn.is_multiple_of(3)
        });
    });
    all_came(60, &got, &outcomes);
}

#[test]
fn a_relay_that_splices_frames_of_different_packets_delivers_neither() {
    let mut last: Option<DataFrame> = None;
    let mut turn = 0_usize;
    let (_, got, outcomes) = exchange(60, &mut |frames| {
        for (frame, _) in frames {
            turn += 1;
            let whole = frame.clone();
            if let Some(last) = last.take().filter(|_| turn.is_multiple_of(4)) {
                match turn % 12 {
                    0 => frame.payload = last.payload,
                    4 => frame.tag = last.tag,
                    _ => frame.header = last.header,
                }
            }
            last = Some(whole);
        }
    });
    all_came(60, &got, &outcomes);
}

/// It stands in the way, and there is no other: what can be promised is the truth.
#[test]
fn what_a_black_hole_swallows_is_never_called_delivered() {
    let (mut world, got, outcomes) = exchange(5, &mut Vec::clear);
    assert!(got.is_empty());
    let failed = |o: &Outcome| matches!(o, Outcome::NotDelivered(_) | Outcome::Unknown(_));
    assert!(outcomes.iter().all(failed), "{outcomes:?}");
    // It swallows no adverts, so it is not found out: its links and its claims are true.
    assert_eq!(world.hops(0).get(&key(2)), Some(&Some(2)));
}

/// It carries words, and swallows the answers: the sender cannot know, and says so.
#[test]
fn of_what_arrived_and_whose_answer_was_swallowed_the_outcome_is_unknown() {
    let mut world = World::line(3);
    world.converge();
    world.honest(0, 2, Duration::from_secs(1));
    let known = world.outcomes(0).len();
    let mut swallow = |frames: &mut Frames| frames.retain(|(_, from)| *from == key(0));
    world.send(0, 2, b"heard");
    world.run_tampered(1, Duration::from_secs(70), &mut swallow);
    assert_eq!(world.take(2).last().map(|data| &data[..]), Some(&b"heard"[..]));
    let outcomes = world.outcomes(0).split_off(known);
    assert!(matches!(outcomes[..], [Outcome::Unknown(_)]), "{outcomes:?}");
}

/// An attacker on the wire itself, between two nodes: it has no key, so it can end a link only.
#[test]
fn frames_repeated_on_the_wire_end_their_link_and_the_mesh_mends_it() {
    let mut world = World::line(3);
    world.converge();
    world.run(Duration::from_secs(2));
    world.send(0, 1, b"once");
    // All that flies on the wire between 0 and 1 flies twice from now on, for a while.
    let until = world.now + Duration::from_millis(100);
    while world.now < until {
        world.run(Duration::from_millis(1));
        let doubled = world.flight.iter().filter_map(|(at, flying)| match flying {
            Flying::Bytes { from, to, bytes } if from + to.0 == 1 => {
                Some((*at, Flying::Bytes { from: *from, to: *to, bytes: bytes.clone() }))
            }
            _ => None,
        });
        let doubled: Vec<_> = doubled.collect();
        world.flight.extend(doubled);
    }
    let violations = (0..2).map(|n| world.node(n).counters().violations).sum::<u64>();
    assert!(violations > 0, "a nonce is used once");
    let end = world.now + Duration::from_secs(20);
    assert!(world.run_until(end, World::all_see_all));
    assert!(world.honest(0, 2, Duration::from_secs(1)) < Duration::from_millis(100));
    let once = |data: &Bytes| data == &b"once"[..];
    assert!(world.take(1).iter().filter(|data| once(data)).count() <= 1);
}
