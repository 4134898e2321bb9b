//! Two nodes on a virtual wire, in virtual time.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::BytesMut;
use hedgerow_core::config::NodeConfig;
use hedgerow_core::crypto::aead::Portable;
use hedgerow_core::crypto::verifier::Strict;
use hedgerow_core::entropy::Entropy;
use hedgerow_core::event::{Event, Output};
use hedgerow_core::id::{DialId, Instance, LinkId, PeerKey, TransportId};
use hedgerow_core::identity::Identity;
use hedgerow_core::io::{
    ConnectionType, Dialling, Endpoint, Input, LinkEstimate, LinkLoss, LinkOrigin, LinkShape,
    LinkUp, Sighting, TransportCommand, TransportEvent, TransportProfile,
};
use hedgerow_core::local::Local;
use hedgerow_core::network::{Network, NetworkSecret};
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};

use crate::drive::Failure;

/// What the nodes call themselves, and their endpoints.
pub(crate) const NAMES: [&str; 2] = ["a", "b"];
const WIRE: TransportId = TransportId(0);
const DELAY: Duration = Duration::from_millis(5);
/// The longest that one step may take, in virtual time.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nodes that want more turns than this for one step spin.
const ROUNDS_MAX: usize = 10_000;

/// A deterministic generator (splitmix64): this proof wants the same run each time.
struct Seeded(u64);

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            chunk.iter_mut().zip(z.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
    }
}

/// Two nodes, and what is on the wire between them.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) nodes: [Node; 2],
    events: [Vec<Event>; 2],
    /// Each end of a link, and its other end.
    links: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    /// What reaches which node when, in order.
    flight: VecDeque<(Instant, usize, TransportEvent)>,
    /// Dials that the nodes asked for.
    pub(crate) dials: u64,
}

impl World {
    pub(crate) fn new() -> Result<Self, Failure> {
        let now = Instant::from_millis(1_000);
        Ok(Self {
            now,
            nodes: [node(now, 0)?, node(now, 1)?],
            events: [Vec::new(), Vec::new()],
            links: BTreeMap::new(),
            flight: VecDeque::new(),
            dials: 0,
        })
    }

    /// Lets time pass until `done`; fails with `otherwise`.
    pub(crate) fn run_until(
        &mut self,
        done: impl Fn(&Self) -> bool,
        otherwise: Failure,
    ) -> Result<(), Failure> {
        let end = self.now + PATIENCE;
        for _ in 0..ROUNDS_MAX {
            if self.carry_out(0) | self.carry_out(1) {
                continue;
            }
            if done(self) {
                return Ok(());
            }
            let landing = self.flight.front().map(|(at, ..)| *at);
            let timeouts = self.nodes.iter().filter_map(Node::next_timeout);
            let next = timeouts.chain(landing).min().filter(|at| *at <= end).ok_or(otherwise)?;
            self.now = self.now.max(next);
            self.pass();
        }
        Err("the nodes do not come to rest")
    }

    /// Gives the nodes what is due now.
    fn pass(&mut self) {
        let now = self.now;
        let landing = self.flight.partition_point(|(at, ..)| *at <= now);
        for (_, number, event) in self.flight.drain(..landing) {
            self.nodes[number].handle_input(now, Input::Transport { transport: WIRE, event });
        }
        for node in &mut self.nodes {
            if node.next_timeout().is_some_and(|at| at <= now) {
                node.handle_input(now, Input::Timeout);
            }
        }
    }

    /// Does what a node wants done; says whether that was anything.
    fn carry_out(&mut self, number: usize) -> bool {
        let mut progress = false;
        let links = self.links.clone();
        for ((_, link), (other, far)) in links.iter().filter(|(end, _)| end.0 == number) {
            while let Some(bytes) = self.nodes[number].poll_transmit(self.now, *link) {
                progress = true;
                let data = BytesMut::from(&bytes[..]);
                self.fly(*other, TransportEvent::Received { link: *far, data });
            }
        }
        while let Some(output) = self.nodes[number].poll_output() {
            progress = true;
            match output {
                Output::Event(event) => self.events[number].push(event),
                Output::Command(_, command) => self.on_command(number, command),
            }
        }
        progress
    }

    fn on_command(&mut self, number: usize, command: TransportCommand) {
        let other = 1 - number;
        match command {
            TransportCommand::Advertise(beacon) => {
                let sighting = Sighting { endpoint: endpoint(number), beacon: Some(beacon) };
                self.fly(other, TransportEvent::Sighted(sighting));
            }
            TransportCommand::Dial { dial, .. } => self.connect(number, dial),
            TransportCommand::Close(link) => {
                self.fly(number, TransportEvent::LinkDown { link, reason: LinkLoss::Closed });
                if let Some(far) = self.links.remove(&(number, link)) {
                    self.links.remove(&far);
                    let reason = LinkLoss::ClosedByRemote;
                    self.fly(other, TransportEvent::LinkDown { link: far.1, reason });
                }
            }
            // Every dial comes to a link.
            TransportCommand::CancelDial(_) | TransportCommand::Hint { .. } => {}
        }
    }

    fn connect(&mut self, from: usize, dial: DialId) {
        let to = 1 - from;
        self.dials += 1;
        let near = LinkId { transport: WIRE, number: 2 * self.dials };
        let far = LinkId { transport: WIRE, number: 2 * self.dials + 1 };
        self.links.insert((from, near), (to, far));
        self.links.insert((to, far), (from, near));
        let ends = [(from, near, LinkOrigin::Dialled(dial)), (to, far, LinkOrigin::Accepted)];
        for (number, link, origin) in ends {
            let up = LinkUp {
                link,
                origin,
                shape: LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 },
                endpoint: endpoint(1 - number),
                estimate: LinkEstimate { rate_bytes_per_s: 1_000_000, delay: DELAY },
            };
            self.fly(number, TransportEvent::LinkUp(up));
        }
    }

    fn fly(&mut self, number: usize, event: TransportEvent) {
        self.flight.push_back((self.now + DELAY, number, event));
    }

    pub(crate) fn key(&self, number: usize) -> PeerKey {
        self.nodes[number].local().peer_key()
    }

    pub(crate) fn has_event(&self, number: usize, is_it: impl Fn(&Event) -> bool) -> bool {
        self.events[number].iter().any(is_it)
    }
}

/// A node of a closed network, with the wire as its transport.
fn node(now: Instant, number: usize) -> Result<Node, Failure> {
    let mut entropy = Seeded(1 + number as u64);
    let secret = NetworkSecret::from_bytes([7; 16]);
    let mut instance = [0; 8];
    entropy.fill(&mut instance);
    let local = Local {
        identity: Identity::generate(&mut entropy),
        network: Network::closed("bare", &secret).map_err(|_| "start: the network is refused")?,
        instance: Instance::from_bytes(instance),
        epoch: 1,
        aead: Arc::new(Portable),
        verifier: Arc::new(Strict),
    };
    let config = NodeConfig { device_name: NAMES[number].to_string(), ..NodeConfig::default() };
    let mut node = Node::new(now, local, config, Box::new(entropy));
    let profile = TransportProfile {
        kind: ConnectionType::other("Wire"),
        links_max: 4,
        dials_max: 4,
        dial_timeout: Duration::from_secs(5),
        dialled: Dialling::InSight,
    };
    node.add_transport(WIRE, profile);
    Ok(node)
}

fn endpoint(number: usize) -> Endpoint {
    Endpoint::new(NAMES[number])
}
