//! A few whole nodes on virtual wires.

mod traces;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::bus::{BusEvent, Outcome, Reliability, StreamOpen};
use crate::crypto::aead::{Aead, AeadProvider, Portable};
use crate::entropy::tests::Seeded;
use crate::id::{DialId, Instance};
use crate::identity::Identity;
use crate::io::{
    ConnectionType, DialFailure, Endpoint, Lane, LinkEstimate, LinkLoss, LinkOrigin, LinkShape,
    LinkUp, Sighting,
};
use crate::limits::UNREACHABLE_GRACE;
use crate::link::{LinkEnd, LinkState};
use crate::network::Network;
use crate::presence::{Change, Metadata};

mod adverts;
mod crowd;
mod doubt;
mod overflow;
mod removed;

const WIRE: TransportId = TransportId(0);
const DELAY: Duration = Duration::from_millis(5);

/// One end of a wire: a node's number and its link.
type End = (usize, LinkId);

/// Several nodes; every pair of `near` ones sees each other and can dial.
struct World {
    now: Instant,
    nodes: Vec<Option<Node>>,
    epochs: Vec<u64>,
    near: Vec<(usize, usize)>,
    wires: BTreeMap<End, End>,
    flight: Vec<(Instant, Flying)>,
    next_link: u64,
    events: Vec<Vec<Event>>,
    /// Wires that swallow everything without a word.
    silent: Vec<(usize, usize)>,
    /// Links that hold everything back, and endpoints that nobody answers at.
    mute: Vec<LinkId>,
    held: Vec<Flying>,
    dead: Vec<String>,
    /// A node whose process is stopped; what is for it waits in its system.
    stopped: Option<(usize, Node)>,
}

enum Flying {
    Bytes { from: usize, to: End, bytes: Bytes },
    Down(End),
    Dial(usize, DialId, Endpoint),
}

fn key(number: usize) -> PeerKey {
    identity(number).peer_key()
}

fn identity(number: usize) -> Identity {
    Identity::generate(&mut Seeded(1_000 + number as u64))
}

impl World {
    fn new(nodes: usize, near: &[(usize, usize)]) -> Self {
        let mut world = Self {
            now: Instant::from_millis(1_000),
            nodes: (0..nodes).map(|_| None).collect(),
            epochs: vec![0; nodes],
            near: near.to_vec(),
            wires: BTreeMap::new(),
            flight: Vec::new(),
            next_link: 0,
            events: (0..nodes).map(|_| Vec::new()).collect(),
            silent: Vec::new(),
            mute: Vec::new(),
            held: Vec::new(),
            dead: Vec::new(),
            stopped: None,
        };
        for number in 0..nodes {
            world.start(number);
        }
        world
    }

    /// A line 0 - 1 - 2 ...
    fn line(nodes: usize) -> Self {
        Self::new(nodes, &(1..nodes).map(|n| (n - 1, n)).collect::<Vec<_>>())
    }

    fn start(&mut self, number: usize) {
        self.epochs[number] += 1;
        let epoch = self.epochs[number];
        let local = Local {
            identity: identity(number),
            network: Network::open("test").unwrap(),
            instance: Instance::from_bytes((number as u64 * 1_000 + epoch).to_be_bytes()),
            epoch,
            aead: Arc::new(Portable),
        };
        let config = NodeConfig { device_name: format!("n{number}"), ..NodeConfig::default() };
        let seed = Seeded(number as u64 * 77 + epoch);
        let mut node = Node::new(self.now, local, config, Box::new(seed));
        let profile = TransportProfile {
            kind: ConnectionType::other("Wire"),
            links_max: 16,
            dials_max: 8,
            dial_timeout: Duration::from_secs(5),
        };
        node.add_transport(WIRE, profile);
        self.nodes[number] = Some(node);
        for (a, b) in self.near.clone() {
            if a == number || b == number {
                self.sight(a, b);
                self.sight(b, a);
            }
        }
    }

    fn sight(&mut self, who: usize, whom: usize) {
        self.sight_at(who, whom, "");
    }

    /// A node has as many endpoints as suffixes are sighted.
    fn sight_at(&mut self, who: usize, whom: usize, suffix: &str) {
        let address = key(whom).address();
        let beacon = Beacon::new(&Network::open("test").unwrap(), address, &mut Seeded(1));
        let endpoint = Endpoint::new(&format!("{whom}{suffix}"));
        let sighting = Sighting { endpoint, beacon: Some(beacon) };
        self.input(who, TransportEvent::Sighted(sighting));
    }

    fn input(&mut self, number: usize, event: TransportEvent) {
        let now = self.now;
        if let Some(node) = &mut self.nodes[number] {
            node.handle_input(now, Input::Transport { transport: WIRE, event });
        }
    }

    /// Stops a node; with `silent`, nobody is told.
    fn kill(&mut self, number: usize) {
        self.nodes[number] = None;
        let ends: Vec<_> =
            self.wires.iter().filter(|(a, _)| a.0 == number).map(|(a, b)| (*a, *b)).collect();
        for (a, b) in ends {
            self.wires.remove(&a);
            self.wires.remove(&b);
            self.flight.push((self.now + DELAY, Flying::Down(b)));
        }
    }

    fn carry_out(&mut self, number: usize) -> bool {
        let mut progress = false;
        let links: Vec<_> = self.wires.keys().filter(|end| end.0 == number).copied().collect();
        for end in links {
            let now = self.now;
            while let Some(bytes) =
                self.nodes[number].as_mut().and_then(|node| node.poll_transmit(now, end.1))
            {
                progress = true;
                if let Some(other) = self.wires.get(&end) {
                    let flying = Flying::Bytes { from: number, to: *other, bytes };
                    self.flight.push((now + DELAY, flying));
                }
            }
        }
        while let Some(output) = self.nodes[number].as_mut().and_then(Node::poll_output) {
            progress = true;
            match output {
                Output::Event(event) => self.events[number].push(event),
                Output::Command(_, TransportCommand::Dial { dial, endpoint }) => {
                    self.flight.push((self.now + DELAY, Flying::Dial(number, dial, endpoint)));
                }
                Output::Command(_, TransportCommand::Close(link)) => {
                    let end = (number, link);
                    if let Some(other) = self.wires.remove(&end) {
                        self.wires.remove(&other);
                        self.flight.push((self.now + DELAY, Flying::Down(other)));
                    }
                    let reason = LinkLoss::Closed;
                    self.input(number, TransportEvent::LinkDown { link, reason });
                }
                Output::Command(_, _) => {}
            }
        }
        progress
    }

    fn land(&mut self, flying: Flying) {
        match flying {
            Flying::Bytes { from, to: (number, link), bytes } => {
                let silent = self.silent.contains(&(from.min(number), from.max(number)));
                if self.mute.contains(&link) || self.is_stopped(number) {
                    self.held.push(Flying::Bytes { from, to: (number, link), bytes });
                } else if !silent {
                    let data = BytesMut::from(&bytes[..]);
                    self.input(number, TransportEvent::Received { link, data });
                }
            }
            Flying::Down(end) if self.is_stopped(end.0) => self.held.push(Flying::Down(end)),
            Flying::Down((number, link)) => {
                let reason = LinkLoss::ClosedByRemote;
                self.input(number, TransportEvent::LinkDown { link, reason });
            }
            Flying::Dial(from, dial, endpoint) => {
                let to: usize = endpoint.as_str().split('/').next().unwrap().parse().unwrap();
                let near = self.near.contains(&(from.min(to), from.max(to)));
                let cut = self.silent.contains(&(from.min(to), from.max(to)))
                    || self.dead.iter().any(|dead| dead == endpoint.as_str());
                if self.nodes[to].is_none() || !near || cut {
                    let reason = DialFailure::Refused;
                    self.input(from, TransportEvent::DialFailed { dial, reason });
                    return;
                }
                let ends = [from, to].map(|number| {
                    self.next_link += 1;
                    (number, LinkId { transport: WIRE, number: self.next_link })
                });
                self.wires.insert(ends[0], ends[1]);
                self.wires.insert(ends[1], ends[0]);
                for (end, origin) in
                    [(ends[0], LinkOrigin::Dialled(dial)), (ends[1], LinkOrigin::Accepted)]
                {
                    let up = LinkUp {
                        link: end.1,
                        origin,
                        shape: LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 },
                        endpoint: endpoint.clone(),
                        estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: DELAY },
                    };
                    self.input(end.0, TransportEvent::LinkUp(up));
                }
            }
        }
    }

    /// Stops the process of a node, as a laptop's lid does.
    fn stop(&mut self, number: usize) {
        self.stopped = self.nodes[number].take().map(|node| (number, node));
    }

    fn is_stopped(&self, number: usize) -> bool {
        self.stopped.as_ref().is_some_and(|(stopped, _)| *stopped == number)
    }

    /// The node that was stopped goes on, and finds a later time and what came meanwhile.
    fn go_on(&mut self) {
        let (number, node) = self.stopped.take().unwrap();
        self.nodes[number] = Some(node);
        self.unmute();
    }

    /// What was held back arrives, late and whole, as TCP would have it.
    fn unmute(&mut self) {
        self.mute.clear();
        let at = self.now;
        self.flight.extend(core::mem::take(&mut self.held).into_iter().map(|held| (at, held)));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Runs until `done`, at the latest until `end`; says whether it was done.
    fn run_until(&mut self, end: Instant, done: impl Fn(&mut Self) -> bool) -> bool {
        loop {
            let mut steps = 0;
            while (0..self.nodes.len()).filter(|n| self.carry_out(*n)).count() > 0 {
                steps += 1;
                assert!(steps < 10_000, "the nodes do not come to rest");
            }
            if done(self) {
                return true;
            }
            let timeouts = self.nodes.iter().flatten().map(Node::next_timeout).map(Option::unwrap);
            let next = timeouts.chain(self.flight.iter().map(|(at, _)| *at)).min().unwrap();
            if next > end {
                self.now = end;
                return false;
            }
            self.now = self.now.max(next);
            let now = self.now;
            let (landing, flight): (Vec<_>, Vec<_>) =
                core::mem::take(&mut self.flight).into_iter().partition(|(at, _)| *at <= now);
            self.flight = flight;
            for (_, flying) in landing {
                self.land(flying);
            }
            for node in self.nodes.iter_mut().flatten() {
                if node.next_timeout().is_some_and(|at| at <= now) {
                    node.handle_input(now, Input::Timeout);
                }
            }
        }
    }

    fn node(&mut self, number: usize) -> &mut Node {
        self.nodes[number].as_mut().unwrap()
    }

    /// The hops at which `number` sees each other node.
    fn hops(&mut self, number: usize) -> BTreeMap<PeerKey, Option<u8>> {
        let now = self.now;
        let graph = self.node(number).graph(now);
        graph.remote.iter().map(|peer| (peer.key, peer.route.map(|route| route.hops))).collect()
    }

    fn all_see_all(&mut self) -> bool {
        let n = self.nodes.len();
        (0..n).all(|number| {
            let hops = self.hops(number);
            hops.len() == n - 1 && hops.values().all(Option::is_some)
        })
    }

    fn converge(&mut self) {
        let end = self.now + Duration::from_secs(10);
        assert!(self.run_until(end, Self::all_see_all), "no full graph after 10 s");
    }

    fn send(&mut self, from: usize, to: usize, data: &[u8]) {
        let (now, data) = (self.now, Bytes::copy_from_slice(data));
        self.node(from)
            .with_bus(now, |bus, _| bus.send_reliable(now, key(to), Lane::Normal, data, None))
            .unwrap();
    }

    fn take(&mut self, number: usize) -> Vec<Bytes> {
        let now = self.now;
        self.node(number).with_bus(now, |bus, _| {
            core::iter::from_fn(|| bus.take_message(now)).map(|message| message.data).collect()
        })
    }

    fn outcomes(&self, number: usize) -> Vec<Outcome> {
        let done = |event: &Event| match event {
            Event::Bus(BusEvent::MessageDone { outcome, .. }) => Some(*outcome),
            _ => None,
        };
        self.events[number].iter().filter_map(done).collect()
    }
}

#[test]
fn a_line_of_five_becomes_one_graph_with_the_right_hops() {
    let mut world = World::line(5);
    world.converge();
    for number in 0..5 {
        for (peer, hops) in world.hops(number) {
            let other = (0..5).find(|n| key(*n) == peer).unwrap();
            assert_eq!(hops, Some(other.abs_diff(number) as u8));
        }
    }
    let now = world.now;
    let graph = world.node(0).graph(now);
    let far = graph.remote.iter().find(|peer| peer.key == key(3)).unwrap();
    assert_eq!(far.device_name(), "n3");
    assert_eq!(far.connections.len(), 2);
}

#[test]
fn what_comes_with_the_last_message_of_a_links_handshake_is_answered() {
    for [from, to] in [[0, 1], [1, 0]] {
        let mut world = World::line(2);
        world.send(from, to, b"hello");
        world.converge();
        world.run(10 * DELAY);
        assert_eq!(world.take(to), [b"hello".as_slice()]);
    }
}

#[test]
fn a_message_crosses_four_hops_and_its_sender_hears_of_it() {
    let mut world = World::line(5);
    world.converge();
    world.send(0, 4, b"over the hedge");
    world.run(Duration::from_secs(2));
    assert_eq!(world.take(4), [b"over the hedge".as_slice()]);
    world.run(Duration::from_secs(2));
    let outcomes = world.outcomes(0);
    assert!(matches!(outcomes[..], [Outcome::Delivered { hops: 4, .. }]), "{outcomes:?}");
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
fn a_frame_that_is_too_big_is_answered_at_once() {
    let mut world = World::line(3);
    world.converge();
    world.run(Duration::from_secs(1));
    let header = crate::wire::routing::RoutingHeader {
        kind: crate::wire::routing::DataKind::Packet,
        congested: false,
        key_phase: false,
        hop_limit: 5,
        lifetime_ms: 1_000,
        source: key(0).address(),
        destination: key(2).address(),
        session: 7,
        packet_low: 9,
    };
    let payload = BytesMut::zeroed(4_097);
    let frame = crate::wire::frame::DataFrame { lane: Lane::Bulk, header, tag: [0; 16], payload };
    let (now, end) = (world.now, *world.wires.keys().find(|end| end.0 == 1).unwrap());
    while world.node(1).poll_transmit(now, end.1).is_some() {}
    world.node(1).on_data(now, end.1, key(0), frame);
    // Its host pulls each link once, the one to the source first.
    assert!(world.node(1).poll_transmit(now, end.1).is_some());
    assert_eq!(world.node(1).counters().dropped_too_big, 1);
}

#[test]
fn a_stream_carries_more_than_every_queue_on_the_way() {
    let mut world = World::line(4);
    world.converge();
    let now = world.now;
    let open = StreamOpen {
        topic: Bytes::from_static(b"t"),
        reliability: Reliability::Reliable,
        lane: Lane::Bulk,
        args: Bytes::new(),
    };
    let id = world
        .node(0)
        .with_bus(now, |bus, entropy| bus.open_stream(now, entropy, key(3), open))
        .unwrap();
    world.run(Duration::from_secs(1));
    let offered = world.events[3].iter().find_map(|event| match event {
        Event::Bus(BusEvent::StreamOffered { id, .. }) => Some(*id),
        _ => None,
    });
    let far = offered.unwrap();
    let now = world.now;
    world.node(3).with_bus(now, |bus, _| bus.accept_stream(now, far, Bytes::new())).unwrap();
    let (mut sent, mut received) = (0_u32, 0_u32);
    while received < 2_000 {
        let now = world.now;
        while sent < 2_000 {
            let mut data = vec![0; 5_000];
            data[..4].copy_from_slice(&sent.to_be_bytes());
            let accepted =
                world.node(0).with_bus(now, |bus, _| bus.stream_send(now, id, Bytes::from(data)));
            if accepted.is_err() {
                break;
            }
            sent += 1;
        }
        while let Some(data) = world.node(3).with_bus(now, |bus, _| bus.stream_next(now, far)) {
            assert_eq!(data[..4], received.to_be_bytes());
            received += 1;
        }
        assert!(world.now < Instant::from_millis(120_000), "stuck at {received}");
        world.run(Duration::from_millis(20));
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
fn messages_survive_the_restarts_of_a_relay_in_order_and_once() {
    let mut world = World::line(3);
    world.converge();
    let (mut sent, mut got) = (0_u32, Vec::new());
    for _ in 0..5 {
        for _ in 0..40 {
            world.send(0, 2, &sent.to_be_bytes());
            sent += 1;
        }
        world.run(Duration::from_millis(11));
        got.extend(world.take(2));
        world.kill(1);
        world.run(Duration::from_secs(4));
        world.start(1);
        world.run(Duration::from_secs(4));
        got.extend(world.take(2));
    }
    let end = world.now + Duration::from_secs(30);
    while got.len() < sent as usize && world.now < end {
        world.run(Duration::from_millis(500));
        got.extend(world.take(2));
    }
    let expected: Vec<_> = (0..sent).map(|n| Bytes::copy_from_slice(&n.to_be_bytes())).collect();
    assert_eq!(got, expected);
    world.run(Duration::from_secs(5));
    let delivered = |outcome: &&Outcome| matches!(outcome, Outcome::Delivered { .. });
    assert_eq!(world.outcomes(0).iter().filter(delivered).count(), sent as usize);
}

#[test]
fn both_dial_at_once_and_one_link_stays() {
    for seed in 0..5 {
        let mut world = World::new(2, &[]);
        world.near.push((0, 1));
        world.run(Duration::from_millis(seed));
        for (a, b) in [(0, 1), (1, 0)] {
            // A configured endpoint shows no beacon: nobody defers.
            let endpoint = Endpoint::new(&format!("{b}"));
            world.input(a, TransportEvent::Sighted(Sighting { endpoint, beacon: None }));
        }
        world.run(Duration::from_secs(5));
        let now = world.now;
        for number in 0..2 {
            assert_eq!(world.node(number).links(now).count(), 1);
            assert_eq!(world.hops(number).len(), 1);
        }
        assert_eq!(world.wires.len(), 2);
        world.events.iter_mut().for_each(Vec::clear);
        world.run(Duration::from_secs(120));
        let quiet = |event: &Event| matches!(event, Event::LinkUp { .. } | Event::LinkDown { .. });
        assert!(!world.events.iter().flatten().any(quiet), "no dialling beside a standing link");
    }
}

#[test]
fn an_idle_mesh_sends_keepalives_only() {
    let mut world = World::line(3);
    world.converge();
    world.run(Duration::from_secs(30));
    let before = world.now;
    let mut bytes = 0;
    while world.now.since(before) < Duration::from_secs(100) {
        world.run(Duration::from_millis(2));
        bytes += world
            .flight
            .iter()
            .filter(|(at, _)| *at > world.now + DELAY - Duration::from_millis(2))
            .map(
                |(_, flying)| {
                    if let Flying::Bytes { bytes, .. } = flying { bytes.len() } else { 0 }
                },
            )
            .sum::<usize>();
    }
    // Four directions; 29 bytes in five seconds each.
    assert!(bytes > 0 && bytes <= 4 * 29 * 21, "{bytes} bytes in 100 s");
}

#[test]
fn metadata_reaches_everybody_and_its_change_too() {
    let mut world = World::line(4);
    world.converge();
    let body = |n: usize| Bytes::from(format!("{{\"n\":\"{}\"}}", String::from("x").repeat(n)));
    for size in [10, 100_000] {
        let now = world.now;
        world.node(0).set_metadata(now, body(size));
        let end = world.now + Duration::from_secs(20);
        let arrived = world.run_until(end, |world| {
            let now = world.now;
            (1..4).all(|number| {
                let graph = world.node(number).graph(now);
                let owner = graph.remote.iter().find(|peer| peer.key == key(0)).unwrap();
                owner.metadata == Metadata::Body(body(size))
            })
        });
        assert!(arrived, "{size} bytes of metadata");
    }
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

/// A host with a second cipher.
struct TwoCiphers;

impl AeadProvider for TwoCiphers {
    fn chacha20_poly1305(&self, key: &[u8; 32]) -> Box<dyn Aead> {
        Portable.chacha20_poly1305(key)
    }

    fn aes_256_gcm(&self, key: &[u8; 32]) -> Option<Box<dyn Aead>> {
        Some(Portable.chacha20_poly1305(key))
    }
}

#[test]
fn the_profile_tells_what_the_host_can_seal_with() {
    let hosts: [(Arc<dyn AeadProvider>, u32); 2] =
        [(Arc::new(Portable), 0b01), (Arc::new(TwoCiphers), 0b11)];
    for (aead, abilities) in hosts {
        let local = Local {
            identity: identity(0),
            network: Network::open("test").unwrap(),
            instance: Instance::from_bytes([1; 8]),
            epoch: 1,
            aead,
        };
        let node = Node::new(Instant::EPOCH, local, NodeConfig::default(), Box::new(Seeded(1)));
        assert_eq!(node.own.profile().abilities.0, abilities);
    }
}
