//! Many nodes that restart at once, under traffic.

use super::epochs::{show, start_as};
use super::*;
use crate::limits::SESSION_HINTS_PER_S;
use crate::wire::frame::DataFrame;
use crate::wire::routing::{DataKind, RoutingHeader};

const NODES: usize = 8;

fn ring() -> World {
    let near: Vec<_> =
        (0..NODES).map(|n| (n.min((n + 1) % NODES), n.max((n + 1) % NODES))).collect();
    let mut world = World::new(NODES, &near);
    world.converge();
    world
}

/// What the applications sent, and what came of it.
#[derive(Default)]
struct Traffic {
    sent: u32,
    got: Vec<u32>,
}

impl Traffic {
    /// Each of `senders` sends to the two nodes on the far side, for `rounds` of 20 ms. Those that
    /// have no route yet cannot.
    fn pass(&mut self, world: &mut World, senders: &[usize], rounds: u32) {
        for _ in 0..rounds {
            for from in senders {
                for far in [NODES / 2, NODES / 2 - 1] {
                    let to = world.nodes[(from + far) % NODES].as_ref();
                    let to = to.unwrap().local().peer_key();
                    let (now, data) = (world.now, Bytes::copy_from_slice(&self.sent.to_be_bytes()));
                    let node = world.node(*from);
                    let sent = node.with_bus(now, |bus, _| {
                        bus.send_reliable(now, to, Lane::Normal, data, None)
                    });
                    self.sent += u32::from(sent.is_ok());
                }
            }
            world.run(Duration::from_millis(20));
            self.collect(world);
        }
    }

    fn collect(&mut self, world: &mut World) {
        for number in 0..NODES {
            let got = world.take(number);
            self.got
                .extend(got.iter().map(|data| u32::from_be_bytes(data[..].try_into().unwrap())));
        }
    }

    /// Nothing came twice.
    fn assert_once(&self) {
        let mut got = self.got.clone();
        got.sort_unstable();
        assert!(got.is_sorted_by(|a, b| a < b), "something was delivered twice");
    }
}

/// Everybody sees everybody else, and nobody who is gone.
fn all_meet(world: &mut World) -> bool {
    let keys: Vec<PeerKey> =
        world.nodes.iter().flatten().map(|node| node.local().peer_key()).collect();
    (0..NODES).all(|number| {
        let now = world.now;
        let graph = world.node(number).graph(now);
        graph.remote.len() == NODES - 1
            && graph.remote.iter().all(|peer| peer.route.is_some() && keys.contains(&peer.key))
    })
}

#[test]
fn a_ring_that_restarts_in_one_instant_converges_and_its_sessions_come_back() {
    let everybody: Vec<usize> = (0..NODES).collect();
    // With key and epoch; with the key alone; with a new key.
    for (keep_key, keep_epoch, within) in [(true, true, 1), (true, false, 4), (false, true, 1)] {
        let mut world = ring();
        let mut traffic = Traffic::default();
        traffic.pass(&mut world, &everybody, 20);
        everybody.iter().for_each(|number| world.kill(*number));
        for number in 0..NODES {
            let whose = if keep_key { identity(number) } else { identity(number + 100) };
            start_as(&mut world, number, whose, keep_epoch.then_some(2));
        }
        everybody.iter().for_each(|number| show(&mut world, *number));
        world.events.iter_mut().for_each(Vec::clear);
        let end = world.now + Duration::from_secs(within);
        assert!(world.run_until(end, all_meet), "key {keep_key}, epoch {keep_epoch}");

        let before = traffic.sent;
        traffic.pass(&mut world, &everybody, 20);
        world.run(Duration::from_secs(5));
        traffic.collect(&mut world);
        traffic.assert_once();
        let came = traffic.got.iter().filter(|number| **number >= before).count();
        assert_eq!(came, (traffic.sent - before) as usize, "key {keep_key}, epoch {keep_epoch}");
        for number in 0..NODES {
            let outcomes = world.outcomes(number);
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Delivered { .. })));
            let alarm = |event: &Event| matches!(event, Event::DuplicateKey { .. });
            assert!(!world.events[number].iter().any(alarm));
        }
    }
}

#[test]
fn who_stays_while_every_other_node_restarts_hears_what_became_of_each_message() {
    let mut world = ring();
    let stay: Vec<usize> = (0..NODES).step_by(2).collect();
    let mut traffic = Traffic::default();
    for run in 2..5 {
        traffic.pass(&mut world, &stay, 30);
        (1..NODES).step_by(2).for_each(|number| world.kill(number));
        for number in (1..NODES).step_by(2) {
            start_as(&mut world, number, identity(number), Some(run));
        }
        (1..NODES).step_by(2).for_each(|number| show(&mut world, number));
        // Restarts are no flaps: the graph is whole again as soon as the first time.
        let end = world.now + Duration::from_secs(1);
        assert!(world.run_until(end, all_meet), "run {run}");
    }
    traffic.pass(&mut world, &stay, 30);
    for _ in 0..60 {
        world.run(Duration::from_secs(1));
        traffic.collect(&mut world);
    }
    traffic.assert_once();
    let outcomes: Vec<Outcome> = stay.iter().flat_map(|number| world.outcomes(*number)).collect();
    assert_eq!(outcomes.len(), traffic.sent as usize, "a sender was left without an answer");
    let count = |is: fn(&&Outcome) -> bool| outcomes.iter().filter(is).count();
    let delivered = count(|outcome| matches!(outcome, Outcome::Delivered { .. }));
    let unknown = count(|outcome| matches!(outcome, Outcome::Unknown(_)));
    // What was taken into a queue whose node then died counts as delivered and was read by nobody.
    assert!(traffic.got.len() <= delivered + unknown, "{delivered} {unknown}");
    assert!(
        traffic.got.len() > traffic.sent as usize / 2,
        "{} of {}",
        traffic.got.len(),
        traffic.sent
    );
}

#[test]
fn packets_of_unknown_sessions_make_few_hints_and_disturb_no_session() {
    let mut world = World::line(2);
    world.converge();
    world.send(0, 1, b"before");
    world.run(Duration::from_secs(2));
    world.events.iter_mut().for_each(Vec::clear);
    let now = world.now;
    let link = world.node(1).links(now).next().unwrap().link;
    for session in 0..1_000 {
        let header = RoutingHeader {
            kind: DataKind::Packet,
            congested: false,
            key_phase: false,
            hop_limit: 5,
            lifetime_ms: 1_000,
            source: key(0).address(),
            destination: key(1).address(),
            session,
            packet_low: 7,
        };
        let payload = BytesMut::from(&[9; 100][..]);
        let frame = DataFrame { lane: Lane::Normal, header, tag: [0; 16], payload };
        world.node(1).on_data(now, link, key(0), frame);
    }
    world.carry_out(1);
    let sent: usize = world
        .flight
        .iter()
        .filter_map(|(_, flying)| match flying {
            Flying::Bytes { from: 1, bytes, .. } => Some(bytes.len()),
            _ => None,
        })
        .sum();
    // A hint has no payload: the routing header and its overhead are 64 bytes.
    let hints = SESSION_HINTS_PER_S as usize * 64;
    assert!((hints..hints + 64).contains(&sent), "{sent} bytes");
    world.send(0, 1, b"after");
    world.run(Duration::from_secs(2));
    assert_eq!(world.take(1), [b"before".as_slice(), b"after"]);
    let renewed = |event: &Event| {
        matches!(event, Event::Bus(BusEvent::SessionUp { .. } | BusEvent::SessionDown { .. }))
    };
    assert!(!world.events.iter().flatten().any(renewed), "{:?}", world.events);
}
