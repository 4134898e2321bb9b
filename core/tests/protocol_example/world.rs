//! Two real nodes and one link in virtual time; everything on the wire is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hedgerow_core::config::NodeConfig;
use hedgerow_core::crypto::aead::Portable;
use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::entropy::Entropy;
use hedgerow_core::event::Output;
use hedgerow_core::id::{Instance, LinkId, PeerKey, TransportId};
use hedgerow_core::identity::Identity;
use hedgerow_core::io::{
    Beacon, ConnectionType, Dialling, Endpoint, Input, Lane, LinkEstimate, LinkOrigin, LinkShape,
    LinkUp, Sighting, TransportCommand, TransportEvent, TransportProfile,
};
use hedgerow_core::local::Local;
use hedgerow_core::network::Network;
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};

use super::noise::{End, Key};

pub(crate) const NETWORK: &str = "example";
/// The name, the seed's byte and the epoch of each node.
pub(crate) const NODES: [(&str, u8, u64); 2] = [("A", SEEDS[0], 1), ("B", SEEDS[1], 300)];
const SEEDS: [u8; 2] = [0x0a, 0x0b];
/// One way on the link.
const DELAY: Duration = Duration::from_millis(5);
const WIRE: TransportId = TransportId(0);
const LINK: LinkId = LinkId { transport: WIRE, number: 1 };

/// The nth 32 random bytes that node `number` draws: an ephemeral key.
pub(crate) fn ephemeral(number: usize, nth: u8) -> Key {
    [NODES[number].1 << 4 | nth; 32]
}

/// What every draw of 4 bytes gives node `number`: an index of a session.
pub(crate) fn index(number: usize) -> [u8; 4] {
    [NODES[number].1; 4]
}

pub(crate) fn instance(number: usize) -> [u8; 8] {
    [NODES[number].1 | 0x10; 8]
}

pub(crate) fn seed(number: usize) -> Key {
    [NODES[number].1; 32]
}

/// The secrets of a node in its nth handshake.
pub(crate) fn end(number: usize, nth: u8) -> End {
    let signing = ed25519_dalek::SigningKey::from_bytes(&seed(number));
    End { fixed: signing.to_scalar_bytes(), ephemeral: ephemeral(number, nth) }
}

/// Gives the bytes that the document names.
struct Script {
    number: usize,
    ephemerals: u8,
}

impl Entropy for Script {
    fn fill(&mut self, bytes: &mut [u8]) {
        if bytes.len() == 32 {
            self.ephemerals += 1;
            bytes.copy_from_slice(&ephemeral(self.number, self.ephemerals));
        } else {
            bytes.fill(NODES[self.number].1);
        }
    }
}

pub(crate) struct World {
    now: Instant,
    pub(crate) nodes: [Node; 2],
    flight: VecDeque<(Instant, usize, TransportEvent)>,
    /// Everything that each node sent.
    pub(crate) sent: [Vec<u8>; 2],
}

fn node(now: Instant, number: usize) -> Node {
    let (name, _, epoch) = NODES[number];
    let local = Local {
        identity: Identity::from_seed(&seed(number)).expect("a seed with sign bit 0"),
        network: Network::open(NETWORK).expect("a valid name"),
        instance: Instance::from_bytes(instance(number)),
        epoch,
        aead: Arc::new(Portable),
        verifier: Arc::new(Strict),
    };
    let config = NodeConfig {
        device_name: name.to_string(),
        os: 3,
        sdk_version: "1.0".to_string(),
        ..NodeConfig::default()
    };
    let mut node = Node::new(now, local, config, Box::new(Script { number, ephemerals: 0 }));
    let profile = TransportProfile {
        kind: ConnectionType::AccessPoint,
        links_max: 4,
        dials_max: 1,
        dial_timeout: Duration::from_secs(5),
        dialled: Dialling::InSight,
    };
    node.add_transport(WIRE, profile);
    node
}

impl World {
    pub(crate) fn new() -> Self {
        let now = Instant::from_millis(1_000);
        let mut world = Self {
            now,
            nodes: [node(now, 0), node(now, 1)],
            flight: VecDeque::new(),
            sent: [Vec::new(), Vec::new()],
        };
        let beacon = Some(world.beacon(1));
        let sighting = Sighting { endpoint: Endpoint::new("b"), beacon };
        world.input(0, TransportEvent::Sighted(sighting));
        world
    }

    /// What a node has its driver show.
    pub(crate) fn beacon(&self, number: usize) -> Beacon {
        let local = self.nodes[number].local();
        Beacon::new(&local.network, local.address(), &mut Script { number, ephemerals: 0 })
    }

    pub(crate) fn key(&self, number: usize) -> PeerKey {
        self.nodes[number].local().peer_key()
    }

    fn input(&mut self, number: usize, event: TransportEvent) {
        let input = Input::Transport { transport: WIRE, event };
        self.nodes[number].handle_input(self.now, input);
    }

    /// Lets time pass in steps of a millisecond.
    pub(crate) fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            while self.flight.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, number, event) = self.flight.pop_front().expect("it was seen");
                self.input(number, event);
            }
            for number in 0..2 {
                if self.nodes[number].next_timeout().is_some_and(|at| at <= self.now) {
                    self.nodes[number].handle_input(self.now, Input::Timeout);
                }
                self.carry_out(number);
            }
            self.now += Duration::from_millis(1);
        }
    }

    fn carry_out(&mut self, number: usize) {
        while let Some(output) = self.nodes[number].poll_output() {
            if let Output::Command(_, TransportCommand::Dial { dial, .. }) = output {
                self.link_up(0, LinkOrigin::Dialled(dial));
                self.link_up(1, LinkOrigin::Accepted);
            }
        }
        while let Some(bytes) = self.nodes[number].poll_transmit(self.now, LINK) {
            self.sent[number].extend_from_slice(&bytes);
            let data = BytesMut::from(&bytes[..]);
            let event = TransportEvent::Received { link: LINK, data };
            self.flight.push_back((self.now + DELAY, 1 - number, event));
        }
    }

    fn link_up(&mut self, number: usize, origin: LinkOrigin) {
        let up = LinkUp {
            link: LINK,
            origin,
            shape: LinkShape::Stream { chunk_bytes: 131_072, frame_bytes_max: 65_536 },
            endpoint: Endpoint::new("b"),
            estimate: LinkEstimate { rate_bytes_per_s: 10_000_000, delay: DELAY },
        };
        self.input(number, TransportEvent::LinkUp(up));
    }

    /// A sends B a reliable message.
    pub(crate) fn send(&mut self, text: &'static [u8]) {
        let (now, to) = (self.now, self.key(1));
        self.nodes[0].with_bus(now, |bus, _| {
            bus.send_reliable(now, to, Lane::Normal, Bytes::from_static(text), None)
                .expect("there is room for one message");
        });
    }

    /// The application of B takes the message, and A hears of it.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let now = self.now;
        let message = self.nodes[1].with_bus(now, |bus, _| bus.take_message(now));
        message.expect("a message is there").data.to_vec()
    }
}
