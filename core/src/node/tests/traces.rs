//! Traces and pings over whole nodes.

use super::*;
use crate::bus::{PingFailure, PingId};
use crate::crypto::hash::{self, Domain};
use crate::limits::{TRACE_HOP_TIMEOUT, TRACE_TELLS_PER_S, TRACES_MAX};
use crate::wire::frame::DataFrame;
use crate::wire::routing::{DataKind, RoutingHeader};
use crate::wire::trace::Tell;

/// What became of one hop: its number and, if it answered, the node it is.
type Told = (u8, Option<usize>);

impl World {
    /// Converges, and waits until everybody holds the adverts of all: a neighbour can be seen
    /// before it can be answered.
    fn settle(&mut self) {
        self.converge();
        self.run(Duration::from_secs(2));
    }

    fn trace(&mut self, from: usize, to: usize) -> TraceId {
        let now = self.now;
        self.node(from).trace(now, key(to)).unwrap()
    }

    fn told(&self, number: usize, id: TraceId) -> Vec<(u8, Option<TraceHop>)> {
        let told = |event: &Event| match event {
            Event::Trace(TraceEvent::Hop { trace, number, hop }) if *trace == id => {
                Some((*number, hop.clone()))
            }
            _ => None,
        };
        self.events[number].iter().filter_map(told).collect()
    }

    fn hops_told(&self, number: usize, id: TraceId) -> Vec<Told> {
        let of = |hop: TraceHop| (0..self.nodes.len()).find(|n| key(*n) == hop.peer).unwrap();
        self.told(number, id).into_iter().map(|(at, hop)| (at, hop.map(of))).collect()
    }

    fn end(&self, number: usize, id: TraceId) -> Option<TraceEnd> {
        let mut ends = self.events[number].iter().filter_map(|event| match event {
            Event::Trace(TraceEvent::Done { trace, end }) if *trace == id => Some(*end),
            _ => None,
        });
        let end = ends.next();
        assert_eq!(ends.next(), None, "a trace has one end");
        end
    }

    fn traced(&mut self, number: usize, id: TraceId) -> TraceEnd {
        let end = self.now + Duration::from_secs(60);
        assert!(self.run_until(end, |world| world.end(number, id).is_some()), "no end");
        self.end(number, id).unwrap()
    }

    fn ping(&mut self, from: usize, to: usize, give_up: Duration) -> PingId {
        let now = self.now;
        self.node(from).with_bus(now, |bus, _| bus.ping(now, key(to), give_up)).unwrap()
    }

    /// The outcome of a ping: round trip and hops, or why there is none.
    fn pinged(&self, number: usize, ping: PingId) -> Option<Result<(Duration, u8), PingFailure>> {
        self.events[number].iter().find_map(|event| match event {
            Event::Bus(BusEvent::Pong { id, rtt, hops, .. }) if *id == ping => {
                Some(Ok((*rtt, *hops)))
            }
            Event::Bus(BusEvent::PingFailed { id, reason, .. }) if *id == ping => {
                Some(Err(*reason))
            }
            _ => None,
        })
    }
}

#[test]
fn a_trace_names_each_hop_of_a_line_with_its_round_trip() {
    let mut world = World::line(4);
    world.settle();
    let id = world.trace(0, 3);
    assert_eq!(world.traced(0, id), TraceEnd::Arrived);
    assert_eq!(world.hops_told(0, id), [(1, Some(1)), (2, Some(2)), (3, Some(3))]);
    for (number, hop) in world.told(0, id) {
        let hop = hop.unwrap();
        assert_eq!(hop.rtt, DELAY * 2 * u32::from(number));
        assert_eq!((hop.kind, hop.held), (ConnectionType::other("Wire"), Duration::ZERO));
    }
    assert_eq!(world.node(0).path_to(&key(3)), [key(1), key(2), key(3)]);
    assert_eq!(world.node(0).path_to(&key(0)), []);
}

#[test]
fn a_hop_tells_how_long_it_held_the_question() {
    let mut world = World::line(3);
    world.settle();
    let id = world.trace(0, 2);
    world.carry_out(0);
    world.flight.clear();
    let frame = tell(id, 1, 0, 0);
    let header = RoutingHeader {
        kind: DataKind::TraceAsk,
        hop_limit: 1,
        destination: key(2).address(),
        ..frame.header
    };
    let now = world.now;
    let link = world.node(1).links(now).next().unwrap().link;
    let held = Duration::from_millis(30);
    world.node(1).on_data(now, link, key(0), DataFrame { header, ..frame });
    world.now += held;
    world.run(DELAY);
    let (number, hop) = world.told(0, id).remove(0);
    assert_eq!((number, hop.map(|hop| (hop.rtt, hop.held))), (1, Some((held + DELAY, held))));
}

#[test]
fn a_neighbour_is_one_hop_and_a_stranger_none() {
    let mut world = World::line(2);
    world.settle();
    let id = world.trace(0, 1);
    assert_eq!(world.traced(0, id), TraceEnd::Arrived);
    assert_eq!(world.hops_told(0, id), [(1, Some(1))]);
    let now = world.now;
    assert_eq!(world.node(0).trace(now, key(7)), Err(TraceError::NoRoute));
    assert_eq!(world.node(0).trace(now, key(0)), Err(TraceError::NoRoute));
}

#[test]
fn behind_a_relay_that_drops_there_is_silence_and_then_an_end() {
    let mut world = World::line(4);
    world.settle();
    world.silent.push((1, 2));
    let (id, start) = (world.trace(0, 3), world.now);
    assert_eq!(world.traced(0, id), TraceEnd::NoAnswer);
    let silent = (2..=7).map(|number| (number, None));
    assert_eq!(
        world.hops_told(0, id),
        [(1, Some(1))].into_iter().chain(silent).collect::<Vec<_>>()
    );
    assert_eq!(world.now.since(start), TRACE_HOP_TIMEOUT * 6 + DELAY * 2);
}

#[test]
fn a_route_that_is_lost_ends_a_trace() {
    let mut world = World::line(4);
    world.settle();
    world.kill(2);
    let id = world.trace(0, 3);
    assert_eq!(world.traced(0, id), TraceEnd::NoRoute);
    assert_eq!(world.hops_told(0, id), [(1, Some(1)), (2, None)]);
}

#[test]
fn a_node_tells_of_itself_only_so_often_and_silence_is_no_end() {
    let mut world = World::line(3);
    world.settle();
    let full: Vec<_> = (0..TRACES_MAX).map(|_| world.trace(0, 2)).collect();
    assert_eq!(TRACES_MAX, TRACE_TELLS_PER_S as usize);
    let now = world.now;
    let refused = world.node(0).trace(now, key(2));
    assert_eq!(refused, Err(TraceError::TooMany { limit: TRACES_MAX }));
    assert_eq!(world.node(0).counters().traces_refused, 1);
    for id in full {
        assert_eq!(world.traced(0, id), TraceEnd::Arrived);
    }
    let id = world.trace(0, 2);
    assert_eq!(world.traced(0, id), TraceEnd::Arrived);
    assert_eq!(world.hops_told(0, id), [(1, None), (2, Some(2))]);
    assert_eq!(world.node(1).counters().trace_tells_over_rate, 1);
}

/// An answer as the node 1 of a line gives it.
fn tell(trace: TraceId, hop: u32, from: usize, says: usize) -> DataFrame {
    let kind = ConnectionType::other("Wire");
    let payload = Tell { peer_key: key(says), kind, held_us: 0 }.encode();
    let header = RoutingHeader {
        kind: DataKind::TraceTell,
        congested: false,
        key_phase: false,
        hop_limit: 5,
        lifetime_ms: 1_000,
        source: key(from).address(),
        destination: key(0).address(),
        session: trace.0,
        packet_low: hop,
    };
    let tag = hash::prefix(Domain::Payload, &[&payload]);
    DataFrame { lane: Lane::Realtime, header, tag, payload: BytesMut::from(&payload[..]) }
}

#[test]
fn an_answer_that_is_forged_or_was_not_asked_for_is_ignored() {
    let mut world = World::line(3);
    world.settle();
    let id = world.trace(0, 2);
    let early = tell(id, 1, 1, 1);
    let now = world.now;
    world.node(0).on_trace_tell(now, &early);
    // Now the Ask leaves, and the answers race its own.
    world.carry_out(0);
    let spliced = DataFrame { tag: [0; 16], ..tell(id, 1, 1, 1) };
    let mut cut = tell(id, 1, 1, 1);
    cut.payload.truncate(20);
    cut.tag = hash::prefix(Domain::Payload, &[&cut.payload]);
    let forged = [
        tell(TraceId(id.0.wrapping_add(1)), 1, 1, 1),
        tell(id, 2, 1, 1),
        tell(id, 1, 1, 2),
        tell(id, 1, 0, 0),
        spliced,
        cut,
    ];
    for frame in &forged {
        world.node(0).on_trace_tell(now, frame);
    }
    assert_eq!(world.node(0).counters().trace_tells_ignored, 7);
    assert_eq!(world.told(0, id), []);
    assert_eq!(world.traced(0, id), TraceEnd::Arrived);
    assert_eq!(world.hops_told(0, id), [(1, Some(1)), (2, Some(2))]);
    world.node(0).on_trace_tell(now, &early);
    assert_eq!(world.node(0).counters().trace_tells_ignored, 8, "it is over");
}

#[test]
fn an_ask_past_its_hop_limit_is_not_answered_and_nobody_unroutable_is() {
    let mut world = World::line(3);
    world.settle();
    let ask = |source: crate::id::Address, destination: usize, hop_limit| {
        let frame = tell(TraceId(1), 1, 0, 0);
        let kind = DataKind::TraceAsk;
        let destination = key(destination).address();
        let header = RoutingHeader { kind, hop_limit, source, destination, ..frame.header };
        DataFrame { header, payload: BytesMut::new(), ..frame }
    };
    let (now, known) = (world.now, key(0).address());
    let stranger = crate::id::Address::from_bytes([9; 8]);
    let link = world.node(1).links(now).next().unwrap().link;
    // Older relays let an Ask pass with 0: the hop that should have answered is silent.
    for frame in [ask(known, 1, 0), ask(known, 2, 0), ask(stranger, 1, 1), ask(stranger, 2, 1)] {
        world.node(1).on_data(now, link, key(0), frame);
    }
    let counters = world.node(1).counters();
    assert_eq!((counters.dropped_hop_limit, counters.dropped_no_route), (2, 2));
    world.run(DELAY * 3);
    assert_eq!(world.node(0).counters().trace_tells_ignored, 0, "none came");
    for frame in [ask(known, 1, 9), ask(known, 2, 1)] {
        world.node(1).on_data(now, link, key(0), frame);
    }
    world.run(DELAY * 3);
    assert_eq!(world.node(0).counters().trace_tells_ignored, 2, "they came, unasked");
}

#[test]
fn answers_that_cannot_leave_do_not_gather_and_those_for_who_is_gone_make_room() {
    let mut world = World::line(3);
    world.settle();
    let ask = |world: &mut World, now| {
        let frame = tell(TraceId(1), 1, 0, 0);
        let (kind, hop_limit, destination) = (DataKind::TraceAsk, 1, key(2).address());
        let header = RoutingHeader { kind, hop_limit, destination, ..frame.header };
        let link = world.node(1).links(now).next().unwrap().link;
        world.node(1).on_data(now, link, key(0), DataFrame { header, ..frame });
    };
    // Nothing is pulled meanwhile, as when the link takes nothing.
    for tenth in 0..=TRACE_TELLS_PER_S {
        let now = world.now + Duration::from_millis(100) * tenth;
        ask(&mut world, now);
    }
    assert_eq!(world.node(1).counters().trace_tells_over_rate, 1);
    world.now += TRACE_HOP_TIMEOUT + Duration::from_millis(1_400);
    world.carry_out(1);
    // Nobody waits any more for those of the first 1.4 seconds.
    assert_eq!(world.node(1).counters().dropped_expired, 15);

    let now = world.now;
    for _ in 0..TRACE_TELLS_PER_S {
        ask(&mut world, now);
    }
    world.kill(0);
    world.run(Duration::from_secs(10));
    let id = world.trace(2, 1);
    assert_eq!(world.traced(2, id), TraceEnd::Arrived);
    assert_eq!(world.hops_told(2, id), [(1, Some(1))]);
}

#[test]
fn what_waits_for_a_neighbour_that_is_gone_is_forgotten_and_so_is_a_cancelled_trace() {
    let mut world = World::line(3);
    world.settle();
    let id = world.trace(0, 2);
    world.node(0).cancel_trace(id);
    world.run(TRACE_HOP_TIMEOUT * 2);
    assert_eq!((world.told(0, id), world.end(0, id)), (Vec::new(), None));
    assert_eq!(world.node(0).counters().trace_tells_ignored, 0, "not even the first Ask left");
    // The Ask waits in the node when its link goes.
    let id = world.trace(0, 2);
    world.kill(1);
    assert_eq!(world.traced(0, id), TraceEnd::NoRoute);
    world.start(1);
    world.settle();
    let id = world.trace(0, 2);
    assert_eq!(world.traced(0, id), TraceEnd::Arrived);
}

#[test]
fn a_ping_over_three_hops_takes_the_time_of_the_way_and_nothing_more() {
    let mut world = World::line(4);
    world.settle();
    for _ in 0..2 {
        let id = world.ping(0, 3, Duration::from_secs(5));
        world.run(Duration::from_secs(1));
        assert_eq!(world.pinged(0, id), Some(Ok((DELAY * 6, 3))));
    }
}

#[test]
fn a_ping_to_a_peer_that_vanishes_fails_with_a_reason() {
    let mut world = World::line(3);
    world.settle();
    let first = world.ping(0, 2, Duration::from_secs(5));
    world.run(Duration::from_secs(1));
    assert!(matches!(world.pinged(0, first), Some(Ok(_))));
    world.silent.push((1, 2));
    let unheard = world.ping(0, 2, Duration::from_secs(3));
    world.run(Duration::from_secs(3));
    assert_eq!(world.pinged(0, unheard), Some(Err(PingFailure::TimedOut)));
    world.kill(2);
    world.run(Duration::from_secs(1));
    let gone = world.ping(0, 2, Duration::from_secs(3));
    world.run(Duration::from_secs(3));
    assert_eq!(world.pinged(0, gone), Some(Err(PingFailure::NoRoute)));
}

#[test]
fn answers_for_a_neighbour_that_takes_nothing_keep_no_other_from_its_own() {
    let mut world = World::line(3);
    world.settle();
    let now = world.now;
    let mut ask = |now: Instant, from: usize, to: usize, link: LinkId| {
        let frame = tell(TraceId(7), 1, from, from);
        let (kind, hop_limit, destination) = (DataKind::TraceAsk, 1, key(to).address());
        let header = RoutingHeader { kind, hop_limit, destination, ..frame.header };
        world.node(1).on_data(now, link, key(from), DataFrame { header, ..frame });
        world.node(1).counters().trace_tells_over_rate
    };
    let link = LinkId { transport: WIRE, number: 2 };
    for _ in 0..TRACE_TELLS_PER_S {
        assert_eq!(ask(now, 2, 0, link), 0);
    }
    assert_eq!(ask(now, 0, 2, link), 1, "as many as may wait");
    assert_eq!(ask(now + TRACE_HOP_TIMEOUT, 0, 2, link), 1, "nobody waits for those any more");
}
