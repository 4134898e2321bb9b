//! Two whole nodes on virtual wires, in virtual time. What goes wrong is the caller's to say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hedgerow_core::config::NodeConfig;
use hedgerow_core::event::{Event, Output};
use hedgerow_core::id::{DialId, LinkId, PeerKey, TransportId};
use hedgerow_core::io::{
    ConnectionType, Dialling, Endpoint, Input, LinkEstimate, LinkLoss, LinkOrigin, LinkShape,
    LinkUp, Sighting, TransportCommand, TransportEvent, TransportProfile,
};
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};

use crate::glass::Glass;
use crate::people::{self, Seeded};

/// The one transport.
pub const WIRE: TransportId = TransportId(0);
const DELAY: Duration = Duration::from_millis(5);
/// Bytes that a wire carries at once; the node is not pulled while there are more.
const WIRE_BYTES: usize = 96 * 1_024;
/// Turns that two nodes may take at one instant, and timeouts that may be due at one.
const ROUNDS_MAX: usize = 5_000;
const TIMEOUTS_MAX: usize = 100;
/// Links of a node: with one peer there are two for a moment, and some that are just closing.
const LINKS_MAX: usize = 16;

/// One end of a wire: a node's number and its link.
type End = (usize, LinkId);

/// What happens to a chunk on its way.
#[derive(Clone, Debug)]
pub enum Tamper {
    /// Nothing: it is the turn of a later one.
    Pass,
    /// Bits of one byte turn over.
    Flip(usize, u8),
    /// Other bytes stand there.
    Put(usize, Vec<u8>),
    /// More bytes come in between.
    Insert(usize, Vec<u8>),
    /// The rest is missing.
    Cut(usize),
    /// It comes twice.
    Double,
}

/// Two nodes, and what is between them.
pub struct Mesh {
    /// The time.
    pub now: Instant,
    /// The nodes.
    pub nodes: [Node; 2],
    /// Which run of each it is, from 1: its boot epoch.
    pub runs: [u64; 2],
    /// What the nodes told, to be taken.
    pub events: [VecDeque<Event>; 2],
    /// Whether dials come to a link.
    pub is_near: bool,
    /// Whether everything stands still on the wires.
    pub is_silent: bool,
    /// What comes in is handed over in two parts, cut here, if that is inside.
    pub split: usize,
    /// What happens to the next chunks of each node.
    pub tampers: [VecDeque<Tamper>; 2],
    ends: BTreeMap<End, End>,
    flight: VecDeque<(Instant, usize, TransportEvent)>,
    held: VecDeque<(usize, TransportEvent)>,
    next_link: u64,
}

/// A node in its nth run, with the wire as its transport.
fn node(now: Instant, number: usize, run: u64) -> Node {
    let local = people::local(number, run, Arc::new(Glass));
    let config = NodeConfig { device_name: format!("n{number}"), ..NodeConfig::default() };
    let entropy = Seeded(number as u64 * 77 + run);
    let mut node = Node::new(now, local, config, Box::new(entropy));
    let profile = TransportProfile {
        kind: ConnectionType::other("Wire"),
        links_max: 4,
        dials_max: 4,
        dial_timeout: Duration::from_secs(5),
        dialled: Dialling::InSight,
    };
    node.add_transport(WIRE, profile);
    node
}

fn endpoint(number: usize) -> Endpoint {
    Endpoint::new(["a:1", "b:1"][number])
}

impl Default for Mesh {
    fn default() -> Self {
        let now = Instant::from_millis(1_000);
        Self {
            now,
            nodes: [node(now, 0, 1), node(now, 1, 1)],
            runs: [1, 1],
            events: [VecDeque::new(), VecDeque::new()],
            is_near: true,
            is_silent: false,
            split: 0,
            tampers: [VecDeque::new(), VecDeque::new()],
            ends: BTreeMap::new(),
            flight: VecDeque::new(),
            held: VecDeque::new(),
            next_link: 0,
        }
    }
}

impl Mesh {
    /// The key of a node.
    pub fn key(&self, number: usize) -> PeerKey {
        people::key(number)
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut at_once = 0;
        loop {
            let mut rounds = 0;
            while self.carry_out(0) | self.carry_out(1) {
                rounds += 1;
                assert!(rounds < ROUNDS_MAX, "the nodes do not come to rest");
            }
            let landing = self.flight.front().map(|(at, ..)| *at);
            let timeouts = self.nodes.iter().filter_map(Node::next_timeout);
            let Some(next) = timeouts.chain(landing).min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            at_once = if next <= self.now { at_once + 1 } else { 0 };
            assert!(
                at_once < TIMEOUTS_MAX,
                "timeouts at {next:?} do not end, it is {:?}",
                self.now
            );
            self.now = self.now.max(next);
            self.pass();
        }
    }

    /// Time passes and nobody looks, as when a machine sleeps.
    pub fn stand_still(&mut self, time: Duration) {
        self.now += time;
    }

    /// Gives the nodes what is due now.
    fn pass(&mut self) {
        let now = self.now;
        let landing = self.flight.partition_point(|(at, ..)| *at <= now);
        let landed: Vec<_> = self.flight.drain(..landing).collect();
        for (_, number, event) in landed {
            if self.is_silent {
                self.held.push_back((number, event));
            } else {
                self.land(number, event);
            }
        }
        for node in &mut self.nodes {
            if node.next_timeout().is_some_and(|at| at <= now) {
                node.handle_input(now, Input::Timeout);
            }
        }
    }

    fn land(&mut self, number: usize, event: TransportEvent) {
        let now = self.now;
        let mut input = |event| {
            self.nodes[number].handle_input(now, Input::Transport { transport: WIRE, event });
        };
        match event {
            TransportEvent::Received { link, mut data }
                if (1..data.len()).contains(&self.split) =>
            {
                let rest = data.split_off(self.split);
                input(TransportEvent::Received { link, data });
                input(TransportEvent::Received { link, data: rest });
            }
            event => input(event),
        }
    }

    /// The wires carry again, or stand still.
    pub fn set_silent(&mut self, is_silent: bool) {
        self.is_silent = is_silent;
        if !is_silent {
            for (number, event) in std::mem::take(&mut self.held) {
                self.land(number, event);
            }
        }
    }

    fn in_flight(&self, to: usize) -> usize {
        let flying = self.flight.iter().map(|(_, to, event)| (to, event));
        let held = self.held.iter().map(|(to, event)| (to, event));
        flying.chain(held).filter(|(number, _)| **number == to).map(|(_, event)| bytes(event)).sum()
    }

    /// Does what a node wants done; says whether that was anything.
    fn carry_out(&mut self, number: usize) -> bool {
        let mut progress = false;
        let links: Vec<_> =
            self.ends.range(of(number)).map(|(end, other)| (end.1, *other)).collect();
        let mut room = WIRE_BYTES.saturating_sub(self.in_flight(1 - number));
        for (link, (other, far)) in links {
            while room > 0
                && let Some(bytes) = self.nodes[number].poll_transmit(self.now, link)
            {
                progress = true;
                room = room.saturating_sub(bytes.len());
                for data in self.tampered(number, bytes) {
                    self.fly(other, TransportEvent::Received { link: far, data });
                }
            }
        }
        while let Some(output) = self.nodes[number].poll_output() {
            progress = true;
            match output {
                Output::Event(event) => self.events[number].push_back(event),
                Output::Command(_, command) => self.on_command(number, command),
            }
        }
        let links = self.nodes[number].links(self.now).count();
        assert!(links <= LINKS_MAX, "{links} links of node {number}");
        progress
    }

    fn tampered(&mut self, from: usize, bytes: Bytes) -> Vec<BytesMut> {
        let mut data = BytesMut::from(&bytes[..]);
        let place = |at: usize| at % bytes.len().max(1);
        match self.tampers[from].pop_front() {
            None | Some(Tamper::Pass) => {}
            Some(Tamper::Flip(at, mask)) => data[place(at)] ^= mask,
            Some(Tamper::Put(at, put)) => {
                data[place(at)..].iter_mut().zip(put).for_each(|(to, from)| *to = from);
            }
            Some(Tamper::Insert(at, more)) => {
                let rest = data.split_off(place(at));
                data.extend_from_slice(&more);
                data.unsplit(rest);
            }
            Some(Tamper::Cut(at)) => data.truncate(place(at)),
            Some(Tamper::Double) => return vec![data.clone(), data],
        }
        vec![data]
    }

    fn on_command(&mut self, number: usize, command: TransportCommand) {
        let other = 1 - number;
        match command {
            TransportCommand::Advertise(beacon) => {
                let sighting = Sighting { endpoint: endpoint(number), beacon: Some(beacon) };
                self.fly(other, TransportEvent::Sighted(sighting));
            }
            TransportCommand::Dial { dial, .. } if self.is_near => self.connect(number, dial),
            TransportCommand::Dial { dial, .. } => {
                let reason = hedgerow_core::io::DialFailure::Refused;
                self.fly(number, TransportEvent::DialFailed { dial, reason });
            }
            TransportCommand::Close(link) => {
                self.fly(number, TransportEvent::LinkDown { link, reason: LinkLoss::Closed });
                if let Some(far) = self.ends.remove(&(number, link)) {
                    self.ends.remove(&far);
                    let reason = LinkLoss::ClosedByRemote;
                    self.fly(other, TransportEvent::LinkDown { link: far.1, reason });
                }
            }
            // Every dial has had its answer.
            TransportCommand::CancelDial(_) => {}
            TransportCommand::Hint { .. } => {}
        }
    }

    fn connect(&mut self, from: usize, dial: DialId) {
        let to = 1 - from;
        self.next_link += 2;
        let near = LinkId { transport: WIRE, number: self.next_link };
        let far = LinkId { transport: WIRE, number: self.next_link + 1 };
        self.ends.insert((from, near), (to, far));
        self.ends.insert((to, far), (from, near));
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

    /// Every wire breaks; what is on it is lost.
    pub fn cut(&mut self) {
        let ends = std::mem::take(&mut self.ends);
        let is_kept = |event: &TransportEvent| !matches!(event, TransportEvent::Received { .. });
        self.flight.retain(|(_, _, event)| is_kept(event));
        self.held.retain(|(_, event)| is_kept(event));
        for (number, link) in ends.into_keys() {
            self.fly(number, TransportEvent::LinkDown { link, reason: LinkLoss::Reset });
        }
    }

    /// A node ends without a word and starts anew.
    pub fn restart(&mut self, number: usize) {
        self.cut();
        let is_other = |to: &usize| *to != number;
        self.flight.retain(|(_, to, _)| is_other(to));
        self.held.retain(|(to, _)| is_other(to));
        self.events[number].clear();
        self.runs[number] += 1;
        self.nodes[number] = node(self.now, number, self.runs[number]);
        self.see(number);
    }

    /// A node sees the other one, again.
    pub fn see(&mut self, number: usize) {
        let other = 1 - number;
        let address = people::key(other).address();
        let beacon = hedgerow_core::io::Beacon::new(people::network(), address, &mut Seeded(1));
        let sighting = Sighting { endpoint: endpoint(other), beacon: Some(beacon) };
        self.fly(number, TransportEvent::Sighted(sighting));
    }
}

fn bytes(event: &TransportEvent) -> usize {
    if let TransportEvent::Received { data, .. } = event { data.len() } else { 0 }
}

/// All ends of a node.
fn of(number: usize) -> std::ops::Range<End> {
    let first = LinkId { transport: WIRE, number: 0 };
    (number, first)..(number + 1, first)
}
