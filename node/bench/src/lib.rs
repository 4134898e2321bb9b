//! A line of core nodes in one process, without sockets, threads or a clock of its own: what the
//! hot paths cost by themselves. And a square of nodes that are only told of.

mod grid;
mod packets;

pub use grid::Grid;
pub use packets::Packets;

use bytes::{Bytes, BytesMut};
use hedgerow::Identity;
use hedgerow::cipher::{Accelerated, Aead, AeadProvider, Nonce, Portable, SealBroken, Tag};
use hedgerow_core::config::NodeConfig;
use hedgerow_core::entropy::Entropy;
use hedgerow_core::event::Output;
use hedgerow_core::id::{DialId, Instance, LinkId, PeerKey, TransportId};
use hedgerow_core::io::{
    ConnectionType, Dialling, Endpoint, Input, Lane, LinkEstimate, LinkOrigin, LinkShape, LinkUp,
    TransportEvent, TransportProfile,
};
use hedgerow_core::local::Local;
use hedgerow_core::network::Network;
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};

const WIRE: TransportId = TransportId(0);

/// Which ciphers the nodes have.
#[derive(Clone, Copy, Debug)]
pub enum Ciphers {
    /// Those of a build for a host: ring.
    Accelerated,
    /// Those of a build without it: pure Rust.
    Portable,
    /// None: what remains is everything around them.
    None,
}

impl Ciphers {
    fn provider(self) -> std::sync::Arc<dyn AeadProvider> {
        match self {
            Self::Accelerated => std::sync::Arc::new(Accelerated::detect()),
            Self::Portable => std::sync::Arc::new(Portable),
            Self::None => std::sync::Arc::new(Nothing),
        }
    }
}

/// Seals nothing.
struct Nothing;

impl Aead for Nothing {
    fn seal(&self, _: &Nonce, _: &[u8], _: &mut [u8]) -> Tag {
        [0; 16]
    }

    fn open(&self, _: &Nonce, _: &[u8], _: &mut [u8], _: &Tag) -> Result<(), SealBroken> {
        Ok(())
    }
}

impl AeadProvider for Nothing {
    fn chacha20_poly1305(&self, _: &[u8; 32]) -> Box<dyn Aead> {
        Box::new(Self)
    }
}

/// A generator that gives the same bytes in each run (splitmix64).
struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Nodes that are linked in a row; the first one sends to the last one.
pub struct Line {
    now: Instant,
    nodes: Vec<Node>,
    /// Both ends of each wire: a node and its link.
    wires: Vec<[(usize, LinkId); 2]>,
    last: PeerKey,
}

impl Line {
    /// A line of `length` nodes that know each other; the ends have a session.
    ///
    /// # Panics
    /// When they do not find each other: the benchmark is broken.
    #[must_use]
    pub fn new(length: usize, ciphers: Ciphers) -> Self {
        let now = Instant::from_millis(100_000);
        let mut line = Self { now, nodes: Vec::new(), wires: Vec::new(), last: key(length - 1) };
        line.nodes = (0..length).map(|number| node(now, number, ciphers)).collect();
        for right in 1..length {
            let ends = [right - 1, right].map(|node| (node, link(right)));
            let origins = [LinkOrigin::Dialled(DialId(0)), LinkOrigin::Accepted];
            for ((node, link), origin) in ends.into_iter().zip(origins) {
                let shape = LinkShape::Stream { chunk_bytes: 256 * 1_024, frame_bytes_max: 65_536 };
                let delay = Duration::from_micros(200);
                let estimate = LinkEstimate { rate_bytes_per_s: 100_000_000, delay };
                let endpoint = Endpoint::new("wire");
                line.report(
                    node,
                    TransportEvent::LinkUp(LinkUp { link, origin, shape, endpoint, estimate }),
                );
            }
            line.wires.push(ends);
        }
        line.send(&Bytes::new(), 1);
        for _ in 0..1_000 {
            line.settle();
            if line.take() == 1 {
                line.settle();
                return line;
            }
            line.now += Duration::from_millis(10);
            let now = line.now;
            line.nodes.iter_mut().for_each(|node| node.handle_input(now, Input::Timeout));
        }
        panic!("the ends of the line do not find each other");
    }

    fn report(&mut self, node: usize, event: TransportEvent) {
        self.nodes[node].handle_input(self.now, Input::Transport { transport: WIRE, event });
    }

    /// The first node sends `count` reliable messages to the last one.
    ///
    /// # Panics
    /// When they are not taken.
    pub fn send(&mut self, message: &Bytes, count: usize) {
        let (now, to) = (self.now, self.last);
        for _ in 0..count {
            let message = message.clone();
            self.nodes[0]
                .with_bus(now, |bus, _| bus.send_reliable(now, to, Lane::Normal, message, None))
                .expect("there is room");
        }
    }

    /// Carries bytes until nobody has any.
    pub fn settle(&mut self) {
        self.now += Duration::from_micros(100);
        loop {
            let mut moved = false;
            for at in 0..self.wires.len() {
                let [left, right] = self.wires[at];
                moved |= self.carry(left, right) | self.carry(right, left);
            }
            for node in &mut self.nodes {
                while let Some(output) = node.poll_output() {
                    std::hint::black_box::<Output>(output);
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn carry(&mut self, from: (usize, LinkId), to: (usize, LinkId)) -> bool {
        let Some(chunk) = self.nodes[from.0].poll_transmit(self.now, from.1) else { return false };
        // What the sockets of two hosts do: a copy.
        let data = BytesMut::from(&chunk[..]);
        drop(chunk);
        self.report(to.0, TransportEvent::Received { link: to.1, data });
        true
    }

    /// Takes what arrived at the last node; tells how many messages.
    pub fn take(&mut self) -> usize {
        let now = self.now;
        let last = self.nodes.last_mut().expect("a line has nodes");
        let taken = || last.with_bus(now, |bus, _| bus.take_message(now));
        std::iter::from_fn(taken).map(std::hint::black_box).count()
    }

    /// Sends messages, and carries and takes them until all have arrived and their sender knows.
    ///
    /// # Panics
    /// When one does not arrive.
    pub fn deliver(&mut self, message: &Bytes, count: usize) {
        self.send(message, count);
        let mut taken = 0;
        for _ in 0..10 * count + 10 {
            self.settle();
            taken += self.take();
            if taken == count {
                self.settle();
                return;
            }
        }
        panic!("{taken} of {count} messages arrived");
    }
}

fn identity(number: usize) -> Identity {
    Identity::generate(&mut Seeded(1_000 + number as u64))
}

fn key(number: usize) -> PeerKey {
    identity(number).peer_key()
}

fn link(number: usize) -> LinkId {
    LinkId { transport: WIRE, number: number as u64 }
}

fn node(now: Instant, number: usize, ciphers: Ciphers) -> Node {
    let aead = ciphers.provider();
    let local = Local {
        identity: identity(number),
        network: Network::open("bench").expect("a name"),
        instance: Instance::from_bytes((number as u64 + 1).to_be_bytes()),
        epoch: 1,
        aead,
        verifier: std::sync::Arc::new(hedgerow_core::crypto::verifier::Strict),
    };
    let random = Box::new(Seeded(77 + number as u64));
    let mut node = Node::new(now, local, NodeConfig::default(), random);
    let profile = TransportProfile {
        kind: ConnectionType::other("Wire"),
        links_max: 16,
        dials_max: 8,
        dial_timeout: Duration::from_secs(5),
        dialled: Dialling::InSight,
    };
    node.add_transport(WIRE, profile);
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_delivers() {
        for (length, ciphers) in
            [(2, Ciphers::Accelerated), (2, Ciphers::Portable), (3, Ciphers::Accelerated)]
        {
            let mut line = Line::new(length, ciphers);
            line.deliver(&Bytes::from(vec![1; 65_536]), 16);
            line.deliver(&Bytes::from(vec![1; 1_024]), 64);
        }
    }
}
