//! One node among neighbours that have true keys and make true handshakes, and then say whatever
//! they like: in messages, in frames, or past every form.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hedgerow_core::bus::BusEvent;
use hedgerow_core::config::NodeConfig;
use hedgerow_core::crypto::noise::Role;
use hedgerow_core::event::{Event, Output};
use hedgerow_core::id::{DialId, LinkId, TransportId};
use hedgerow_core::io::{
    ConnectionType, DialFailure, Dialling, Endpoint, Input, Lane, LinkEstimate, LinkLoss,
    LinkOrigin, LinkShape, LinkUp, TransportCommand, TransportEvent, TransportProfile,
};
use hedgerow_core::limits::{EVENTS_MAX, HANDSHAKES_PENDING_MAX};
use hedgerow_core::link::{Link, LinkEvent, LinkState, Source};
use hedgerow_core::local::Local;
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::control::Control;
use hedgerow_core::wire::frame::{DataFrame, DataHead};

use crate::glass::Glass;
use crate::people::{self, Seeded};

/// The node's transports.
pub const TRANSPORTS: u8 = 2;
const LINKS_MAX: usize = 5;
const SHAPE: LinkShape = LinkShape::Stream { chunk_bytes: 16_384, frame_bytes_max: 4_096 };
/// Timeouts that may be due at one instant.
const TIMEOUTS_MAX: usize = 100;

/// What a neighbour has to say, as bytes: also such as no true node would send.
#[derive(Debug, Default)]
pub struct Words {
    control: VecDeque<Vec<u8>>,
    data: VecDeque<DataFrame>,
}

impl Source for Words {
    fn control(&mut self, lane: Lane, room: usize, out: &mut Vec<u8>) {
        while lane == Lane::Control
            && self.control.front().is_some_and(|next| next.len() + out.len() <= room)
        {
            out.extend(self.control.pop_front().unwrap_or_default());
        }
    }

    fn data(&mut self, lane: Lane, bytes_max: usize, out: &mut BytesMut) -> Option<DataHead> {
        let fits = |frame: &DataFrame| frame.lane == lane && frame.payload.len() <= bytes_max;
        self.data.front().is_some_and(fits).then(|| self.data.pop_front())?.map(|f| f.write(out))
    }
}

/// A neighbour on one link: a true end of it, and what it says.
pub struct Neighbour {
    /// Which of the people it is.
    pub who: usize,
    local: Local,
    link: Link,
    words: Words,
    /// What the node said.
    pub heard: VecDeque<Control>,
    /// The sealed bytes it sent last, to be repeated or altered.
    pub last: Bytes,
}

/// The node, and those around it.
pub struct Siege {
    /// The time.
    pub now: Instant,
    /// The node; it is number 0 of the people.
    pub node: Node,
    /// Who is on which link.
    pub neighbours: BTreeMap<LinkId, Neighbour>,
    /// Dials that wait for an answer.
    pub dials: VecDeque<(TransportId, DialId, Endpoint)>,
    /// Messages that the node's application took.
    pub taken: u64,
    next_link: u64,
    entropy: Seeded,
}

/// A transport with room for a few.
pub fn profile() -> TransportProfile {
    TransportProfile {
        kind: ConnectionType::other("Siege"),
        links_max: LINKS_MAX,
        dials_max: 4,
        dial_timeout: Duration::from_secs(5),
        dialled: Dialling::InSight,
    }
}

impl Default for Siege {
    fn default() -> Self {
        let now = Instant::from_millis(1_000);
        let local = people::local(0, 1, Arc::new(Glass));
        let mut node = Node::new(now, local, NodeConfig::default(), Box::new(Seeded(1)));
        for transport in 0..TRANSPORTS {
            node.add_transport(TransportId(transport), profile());
        }
        Self {
            now,
            node,
            neighbours: BTreeMap::new(),
            dials: VecDeque::new(),
            taken: 0,
            next_link: 0,
            entropy: Seeded(2),
        }
    }
}

impl Siege {
    /// Tells the node something.
    pub fn input(&mut self, transport: TransportId, event: TransportEvent) {
        self.node.handle_input(self.now, Input::Transport { transport, event });
    }

    /// A link comes up; `who` is at its other end, in its first run.
    pub fn link_up(&mut self, transport: TransportId, who: usize, origin: LinkOrigin) -> LinkId {
        self.next_link += 1;
        let link = LinkId { transport, number: self.next_link };
        let endpoint = Endpoint::new(&format!("host{who}:1"));
        let estimate =
            LinkEstimate { rate_bytes_per_s: 1_000_000, delay: Duration::from_millis(1) };
        let up = LinkUp { link, origin, shape: SHAPE, endpoint, estimate };
        let role = match origin {
            LinkOrigin::Accepted => Role::Initiator,
            LinkOrigin::Dialled(_) => Role::Responder,
        };
        let local = people::local(who, 1, Arc::new(Glass));
        let end = Link::new(self.now, &local, &mut self.entropy, role, SHAPE, 0);
        let neighbour = Neighbour {
            who,
            local,
            link: end,
            words: Words::default(),
            heard: VecDeque::new(),
            last: Bytes::new(),
        };
        self.neighbours.insert(link, neighbour);
        self.input(transport, TransportEvent::LinkUp(up));
        link
    }

    /// Bytes go both ways until neither end has more.
    pub fn exchange(&mut self, link: LinkId) {
        let now = self.now;
        for _ in 0..16 {
            let mut quiet = true;
            while let Some(bytes) = self.node.poll_transmit(now, link) {
                let Some(neighbour) = self.neighbours.get_mut(&link) else { break };
                quiet = false;
                neighbour.hear(now, &mut self.entropy, &bytes);
            }
            self.carry_out();
            let Some(neighbour) = self.neighbours.get_mut(&link) else { return };
            if let Some(bytes) = neighbour.link.poll_transmit(now, &mut neighbour.words) {
                quiet = false;
                neighbour.last = bytes.clone();
                let data = BytesMut::from(&bytes[..]);
                self.input(link.transport, TransportEvent::Received { link, data });
                self.carry_out();
            }
            if quiet {
                return;
            }
        }
    }

    /// A neighbour says a message, of its own making.
    pub fn say(&mut self, link: LinkId, bytes: Vec<u8>) {
        if let Some(neighbour) = self.neighbours.get_mut(&link) {
            neighbour.words.control.push_back(bytes);
        }
    }

    /// A neighbour sends a data frame.
    pub fn send(&mut self, link: LinkId, frame: DataFrame) {
        if let Some(neighbour) = self.neighbours.get_mut(&link) {
            neighbour.words.data.push_back(frame);
        }
    }

    /// Bytes come in on a link, past whatever its neighbour's end holds right.
    pub fn inject(&mut self, link: LinkId, bytes: &[u8]) {
        let data = BytesMut::from(bytes);
        self.input(link.transport, TransportEvent::Received { link, data });
        self.carry_out();
    }

    /// The driver lost a link.
    pub fn lose(&mut self, link: LinkId, reason: LinkLoss) {
        self.neighbours.remove(&link);
        self.input(link.transport, TransportEvent::LinkDown { link, reason });
    }

    /// Does what the node wants done, reads what it tells, and takes what it has got.
    pub fn carry_out(&mut self) {
        let mut outputs = 0;
        while let Some(output) = self.node.poll_output() {
            outputs += 1;
            assert!(outputs < 4 * EVENTS_MAX, "the node does not stop telling");
            match output {
                Output::Command(transport, TransportCommand::Dial { dial, endpoint }) => {
                    self.dials.push_back((transport, dial, endpoint));
                }
                Output::Command(transport, TransportCommand::CancelDial(dial)) => {
                    self.dials.retain(|waiting| waiting.1 != dial || waiting.0 != transport);
                    let reason = DialFailure::Cancelled;
                    self.input(transport, TransportEvent::DialFailed { dial, reason });
                }
                Output::Command(_, TransportCommand::Close(link)) => {
                    self.lose(link, LinkLoss::Closed);
                }
                Output::Event(Event::Bus(BusEvent::StreamOffered { id, args, .. })) => {
                    let now = self.now;
                    // It may have been taken back meanwhile.
                    let _ = self.node.with_bus(now, |bus, _| bus.accept_stream(now, id, args));
                }
                Output::Command(
                    _,
                    TransportCommand::Advertise(_) | TransportCommand::Hint { .. },
                )
                | Output::Event(_) => {}
            }
        }
        let now = self.now;
        while self.node.with_bus(now, |bus, _| bus.take_message(now)).is_some() {
            self.taken += 1;
        }
    }

    /// Time passes; what is due is done, and then nothing is due any more.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        let mut at_once = 0;
        while let Some(next) = self.node.next_timeout().filter(|at| *at <= end) {
            at_once = if next <= self.now { at_once + 1 } else { 0 };
            assert!(
                at_once < TIMEOUTS_MAX,
                "timeouts at {next:?} do not end, it is {:?}",
                self.now
            );
            self.now = self.now.max(next);
            self.node.handle_input(self.now, Input::Timeout);
            let links: Vec<LinkId> = self.neighbours.keys().copied().collect();
            for link in links {
                if let Some(neighbour) = self.neighbours.get_mut(&link) {
                    neighbour.link.handle_timeout(self.now);
                }
                self.exchange(link);
            }
            self.carry_out();
        }
        self.now = end;
    }

    fn sessions(&mut self) -> usize {
        self.node.with_bus(self.now, |bus, _| bus.sessions())
    }

    /// What bounds the node, whatever was said to it.
    pub fn check(&mut self) {
        let links = self.node.links(self.now);
        let (open, up) = links.fold((0, 0), |(open, up), link| {
            let is_up = matches!(link.state, LinkState::Up | LinkState::Suspect);
            (open + 1, up + usize::from(is_up))
        });
        // One newcomer at a time is told that there is no room.
        assert!(up <= usize::from(TRANSPORTS) * (LINKS_MAX + 1), "{up} links are up");
        let bound = HANDSHAKES_PENDING_MAX + self.neighbours.len() + 1;
        assert!(open <= bound.max(up), "{open} links");
        let graph = self.node.graph(self.now);
        assert!(graph.remote.len() < people::COUNT, "peers that do not exist");
        assert!(self.sessions() < people::COUNT);
    }

    /// Everybody leaves; after some hours nothing is left of them.
    pub fn end(&mut self) {
        let links: Vec<LinkId> = self.neighbours.keys().copied().collect();
        for link in links {
            self.lose(link, LinkLoss::Reset);
        }
        for (transport, dial, _) in std::mem::take(&mut self.dials) {
            self.input(
                transport,
                TransportEvent::DialFailed { dial, reason: DialFailure::Refused },
            );
        }
        for transport in 0..TRANSPORTS {
            self.node.remove_transport(self.now, TransportId(transport));
        }
        self.carry_out();
        self.pass(Duration::from_secs(200));
        assert_eq!(self.node.links(self.now).count(), 0);
        assert_eq!(self.node.graph(self.now).remote.len(), 0, "who is gone stays in the graph");
        assert_eq!(self.sessions(), 0, "sessions outlive their peers");
    }
}

impl Neighbour {
    fn hear(&mut self, now: Instant, entropy: &mut Seeded, bytes: &[u8]) {
        self.link.handle_bytes(now, &self.local, entropy, BytesMut::from(bytes));
        while let Some(event) = self.link.poll_event() {
            if let LinkEvent::Control(message) = event {
                self.heard.push_back(message);
            }
        }
        self.heard.truncate(64);
    }
}
