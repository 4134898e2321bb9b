//! What it costs two nodes to part for a moment and to meet again.

use alloc::collections::VecDeque;

use super::*;
use crate::advert::{AdvertId, Offer};
use crate::crypto::verifier::{Strict, Verifier};
use crate::id::Address;
use crate::wire::advert::{Adjacency, AdvertHead, AdvertKind, Cost, Edge, SignedAdvert};
use crate::wire::control::AdvertCopy;
use crate::wire::ranges::{Range, Stamp};

/// Peers elsewhere in the mesh.
const PEERS: u64 = 1_000;
/// Preambles and the three messages of a handshake.
const HANDSHAKE_BYTES: usize = 319;

/// Takes the adverts of peers that nobody is.
struct Credulous;

impl Verifier for Credulous {
    fn admits(&self, key: &[u8; 32]) -> bool {
        is_virtual(key) || Strict.admits(key)
    }

    fn verify(&self, key: &[u8; 32], message: &[u8; 32], signature: &[u8; 64]) -> bool {
        is_virtual(key) || Strict.verify(key, message, signature)
    }
}

fn is_virtual(key: &[u8; 32]) -> bool {
    key.ends_with(&[0x55; 24])
}

/// A profile or an adjacency of four edges, as of a mesh of a thousand.
fn advert(number: u64, kind: AdvertKind, sequence: u64) -> AdvertCopy {
    let mut owner = [0x55; 32];
    owner[..8].copy_from_slice(&number.to_be_bytes());
    let instance = Instance::from_bytes([1; 8]);
    let head = AdvertHead { owner, kind, key: 0, instance, epoch: 1, sequence };
    let edge = |peer| Edge {
        peer: Address::from_bytes([peer; 8]),
        kind: ConnectionType::Bluetooth,
        cost: Cost(90),
        payload_log2: 11,
    };
    let body = match kind {
        AdvertKind::Adjacency => Adjacency { edges: (0..4).map(edge).collect() }.encode(),
        _ => vec![0; 60],
    };
    let advert = [postcard::to_allocvec(&head).unwrap(), body, vec![0; 64]].concat();
    AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert: advert.into() }
}

/// Two nodes of a mesh, and the wire between them.
struct Ends {
    now: Instant,
    nodes: [Node; 2],
    links: u64,
    rate_bytes_per_s: u64,
    flight: VecDeque<(Instant, usize, Bytes)>,
    bytes: usize,
}

impl Ends {
    fn new() -> Self {
        let now = Instant::from_millis(1_000);
        let nodes = [0, 1].map(|number| {
            let local = Local {
                identity: identity(number),
                network: Network::open("test").unwrap(),
                instance: Instance::from_bytes([number as u8; 8]),
                epoch: 1,
                aead: Arc::new(Portable),
                verifier: Arc::new(Credulous),
            };
            let seed = Box::new(Seeded(number as u64));
            let mut node = Node::new(now, local, NodeConfig::default(), seed);
            let profile = TransportProfile {
                kind: ConnectionType::other("Wire"),
                links_max: 16,
                dials_max: 8,
                dial_timeout: Duration::from_secs(5),
                dialled: Dialling::InSight,
            };
            node.add_transport(WIRE, profile);
            node
        });
        let flight = VecDeque::new();
        Self { now, nodes, links: 0, rate_bytes_per_s: 1_000_000, flight, bytes: 0 }
    }

    fn link(&self) -> LinkId {
        LinkId { transport: WIRE, number: self.links }
    }

    fn connect(&mut self) {
        self.links += 1;
        for (number, origin) in
            [(0, LinkOrigin::Dialled(DialId(u64::MAX))), (1, LinkOrigin::Accepted)]
        {
            let up = LinkUp {
                link: self.link(),
                origin,
                shape: LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 },
                endpoint: Endpoint::new("wire"),
                estimate: LinkEstimate { rate_bytes_per_s: self.rate_bytes_per_s, delay: DELAY },
            };
            self.input(number, TransportEvent::LinkUp(up));
        }
    }

    fn part(&mut self) {
        self.flight.clear();
        for number in 0..2 {
            let down =
                TransportEvent::LinkDown { link: self.link(), reason: LinkLoss::ClosedByRemote };
            self.input(number, down);
        }
    }

    fn input(&mut self, number: usize, event: TransportEvent) {
        let input = Input::Transport { transport: WIRE, event };
        self.nodes[number].handle_input(self.now, input);
    }

    /// A node hears of a peer over a link elsewhere, while the two are apart.
    fn hear(&mut self, number: usize, copy: AdvertCopy) {
        let node = &mut self.nodes[number];
        let offer = node.database.offer(self.now, key(9), copy);
        assert!(matches!(offer, Offer::Taken(_)), "{offer:?}");
        node.settle(self.now);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let link = self.link();
        loop {
            for number in 0..2 {
                while let Some(bytes) = self.nodes[number].poll_transmit(self.now, link) {
                    self.bytes += bytes.len();
                    self.flight.push_back((self.now + DELAY, 1 - number, bytes));
                }
                while self.nodes[number].poll_output().is_some() {}
            }
            let timeouts = self.nodes.iter().filter_map(Node::next_timeout);
            let next = timeouts.chain(self.flight.front().map(|(at, ..)| *at)).min().unwrap();
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            while self.flight.front().is_some_and(|(at, ..)| *at <= next) {
                let (_, to, bytes) = self.flight.pop_front().unwrap();
                let data = BytesMut::from(&bytes[..]);
                self.input(to, TransportEvent::Received { link, data });
            }
            for node in &mut self.nodes {
                if node.next_timeout().is_some_and(|at| at <= self.now) {
                    node.handle_input(self.now, Input::Timeout);
                }
            }
        }
    }

    /// The first node tells the second one something.
    fn send(&mut self, data: &'static [u8]) {
        let (now, to) = (self.now, self.nodes[1].local.peer_key());
        let data = Bytes::from_static(data);
        self.nodes[0]
            .with_bus(now, |bus, _| bus.send_reliable(now, to, Lane::Normal, data, None))
            .unwrap();
    }

    fn stamps(&self, number: usize) -> Vec<Stamp> {
        self.nodes[number].database.stamps(Range::ALL).map(|(stamp, _)| stamp).collect()
    }
}

/// Two nodes that met once and know the whole mesh.
fn acquainted() -> Ends {
    let mut ends = Ends::new();
    ends.connect();
    ends.run(Duration::from_secs(1));
    ends.part();
    for peer in 0..PEERS {
        // Signature checks are bounded.
        if peer % 100 == 0 {
            ends.run(Duration::from_secs(1));
        }
        for number in 0..2 {
            ends.hear(number, advert(peer, AdvertKind::Profile, 1));
            ends.hear(number, advert(peer, AdvertKind::Adjacency, 2));
        }
    }
    ends.connect();
    ends.run(Duration::from_secs(5));
    assert_eq!(ends.stamps(0), ends.stamps(1));
    assert_eq!(ends.stamps(0).len() as u64, 2 * PEERS + 4);
    ends
}

/// Bytes of a rejoin after 10 s in which so many adjacencies changed on either side, without the
/// handshake and what changed.
fn rejoin(changed: u64) -> usize {
    let mut ends = acquainted();
    ends.part();
    ends.run(Duration::from_secs(10));
    let mut news = 0;
    for peer in 0..changed {
        for number in 0..2 {
            let copy = advert(peer * 97 + number as u64, AdvertKind::Adjacency, 5);
            news += copy.advert.len();
            ends.hear(number, copy);
        }
    }
    let before = ends.bytes;
    ends.connect();
    ends.run(Duration::from_secs(3));
    assert_eq!(ends.stamps(0), ends.stamps(1));
    // Both sign anew at both ends of the pause, and tell the newest.
    let own = ends.nodes.iter().map(|node| {
        let id = AdvertId { owner: node.local.peer_key(), kind: AdvertKind::Adjacency, key: 0 };
        node.database.copy(ends.now, id).unwrap().advert.len()
    });
    ends.bytes - before - HANDSHAKE_BYTES - news - own.sum::<usize>()
}

#[test]
fn to_meet_again_in_a_mesh_of_a_thousand_costs_less_than_two_kilobytes_and_what_changed() {
    // 878, 1,458 and 1,743 bytes, the keepalives of 3 s among them.
    let costs = [0, 1, 2].map(rejoin);
    assert!(costs.iter().all(|cost| *cost <= 2_000), "{costs:?}");
}

/// Everything is new to the second node, which is another one now.
fn newcomer(ends: &mut Ends) {
    let [_, newcomer] = Ends::new().nodes;
    ends.part();
    ends.nodes[1] = newcomer;
    ends.nodes[1].handle_input(ends.now, Input::Timeout);
    ends.connect();
}

#[test]
fn a_slow_link_is_left_to_data_once_a_newcomer_has_had_its_burst() {
    let mut ends = acquainted();
    assert_eq!(ends.nodes[0].counters().sync_budget_empty, 0);
    ends.rate_bytes_per_s = 20_000;
    newcomer(&mut ends);
    ends.run(Duration::from_secs(5));
    let sent = |ends: &Ends| ends.nodes[0].links(ends.now).next().unwrap().sync.bytes_sent;
    assert!(sent(&ends) >= 100_000, "{} at once", sent(&ends));
    let rate = |ends: &mut Ends, seconds: u64, talks: bool| {
        let before = sent(ends);
        for _ in 0..seconds * 10 {
            if talks {
                ends.send(b"hello");
            }
            ends.run(Duration::from_millis(100));
        }
        (sent(ends) - before) / seconds
    };
    let idle = rate(&mut ends, 5, false);
    assert!((9_000..11_000).contains(&idle), "{idle} B/s are about half of 20,000");
    rate(&mut ends, 1, true);
    let busy = rate(&mut ends, 20, true);
    assert!((1_800..2_400).contains(&busy), "{busy} B/s are about a tenth of 20,000");
    let view = ends.nodes[0].links(ends.now).next().unwrap();
    assert!(view.adverts_waiting > 500 && view.sync.budget_empty > 0, "{view:?}");
    let told = ends.nodes[0].counters().sync_budget_empty;
    assert_eq!(told, view.sync.budget_empty);
    ends.part();
    assert_eq!(ends.nodes[0].counters().sync_budget_empty, told, "they only grow");
}

#[test]
fn a_newcomer_is_told_nothing_more_than_twice() {
    let mut ends = acquainted();
    let total: usize = (0..PEERS)
        .flat_map(|peer| [(peer, AdvertKind::Profile), (peer, AdvertKind::Adjacency)])
        .map(|(peer, kind)| advert(peer, kind, 1).advert.len())
        .sum();
    let before = ends.bytes;
    newcomer(&mut ends);
    ends.run(Duration::from_secs(30));
    assert_eq!(ends.stamps(0), ends.stamps(1));
    let cost = ends.bytes - before;
    // What comes faster than signatures are checked is told twice, and nothing more often.
    assert!(cost < 2 * total + total / 10, "{cost} for {total}");
}

#[test]
fn who_finds_its_own_version_with_other_bytes_steps_above_it() {
    let mut ends = Ends::new();
    ends.connect();
    ends.run(Duration::from_secs(1));
    // The same key signed something else under the same number, and the other node heard that one.
    let local = ends.nodes[0].local.clone();
    let id = AdvertId { owner: local.peer_key(), kind: AdvertKind::Profile, key: 0 };
    let stamp = ends.nodes[0].database.stamp(id).unwrap();
    let larger = (1..=u8::MAX).find_map(|n| {
        let head = AdvertHead {
            owner: *local.peer_key().as_bytes(),
            kind: AdvertKind::Profile,
            key: 0,
            instance: Instance::from_bytes([n; 8]),
            epoch: stamp.epoch,
            sequence: stamp.sequence,
        };
        let advert = SignedAdvert::sign(&local.identity, &local.network, head, b"");
        (advert.short_hash() > stamp.hash).then_some(advert.bytes)
    });
    ends.part();
    let copy = AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert: larger.unwrap() };
    ends.hear(1, copy);
    assert!(ends.nodes[1].database.stamp(id).unwrap() > stamp, "the larger hash wins");
    ends.connect();
    ends.run(Duration::from_secs(3));
    let settled = [0, 1].map(|number| ends.nodes[number].database.stamp(id).unwrap());
    assert_eq!(settled[0], settled[1]);
    let version = |stamp: &Stamp| (stamp.epoch, stamp.sequence);
    assert!(version(&settled[0]) > version(&stamp), "its owner stepped above: {settled:?}");
    assert!(ends.nodes[1].database.profile(&id.owner).is_some());
}
