//! Nodes that break a promise on purpose, so that tests see each checker at work. The product has no
//! such switches: a double stands between a node and those who look at it, or plays its
//! application.

use hedgerow_core::event::Event;
use hedgerow_core::identity::Identity;
use hedgerow_core::io::Hint;
use hedgerow_core::node::Node;
use hedgerow_core::presence::{Graph, PeerView};
use hedgerow_core::time::{Duration, Instant};

use crate::app::{Affair, Post, Shared, Traffic};
use crate::chance::Chance;
use crate::host::App;

/// What a node pretends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Double {
    /// Two neighbours hand each other what is for a third.
    Tossing {
        /// The two.
        between: [usize; 2],
        /// The third.
        to: usize,
    },
    /// A node's graph lacks its last peer.
    Forgetful(usize),
    /// A node's graph has a peer that never was.
    Haunted(usize),
    /// A node asks for a time that has passed.
    Frozen(usize),
    /// A node asks to be called every millisecond.
    Restless(usize),
    /// Each message of this sort comes twice to a node.
    Repeating(usize, Post),
    /// A node hears of no outcome.
    Unhearing(usize),
    /// A node does not get the second message of a stream.
    Skipping(usize),
    /// A node renames itself every three seconds, for ever.
    Vain(usize),
    /// A node says everything it has to say about the mesh a hundred times.
    Flooding(usize),
    /// A node's drivers have hints of before.
    Deaf(usize),
    /// A node keeps what it was given, a little every second.
    Hoarding(usize),
}

impl Double {
    /// The node whose application it plays.
    pub(crate) fn node(&self) -> Option<usize> {
        match *self {
            Self::Tossing { .. }
            | Self::Forgetful(_)
            | Self::Haunted(_)
            | Self::Deaf(_)
            | Self::Flooding(_) => None,
            Self::Frozen(node)
            | Self::Restless(node)
            | Self::Repeating(node, _)
            | Self::Unhearing(node)
            | Self::Skipping(node)
            | Self::Vain(node)
            | Self::Hoarding(node) => Some(node),
        }
    }

    pub(crate) fn next_hop(&self, node: usize, to: usize) -> Option<usize> {
        match self {
            Self::Tossing { between: [a, b], to: third } if to == *third => {
                if node == *a {
                    Some(*b)
                } else {
                    (node == *b).then_some(*a)
                }
            }
            _ => None,
        }
    }

    pub(crate) fn graph(&self, node: usize, mut graph: Graph) -> Graph {
        if *self == Self::Forgetful(node) {
            graph.remote.pop();
        }
        if *self == Self::Haunted(node) {
            let key = Identity::generate(&mut Chance::new(0)).peer_key();
            graph.remote.push(PeerView { key, ..graph.local.clone() });
        }
        graph
    }

    /// Bytes of control that the node seems to have sent, where it sent so many.
    pub(crate) fn control_bytes(&self, node: usize, sent: u64) -> u64 {
        if *self == Self::Flooding(node) { 100 * sent } else { sent }
    }

    /// What a driver of the node heard from a neighbour, it seems.
    pub(crate) fn hint(&self, node: usize, heard: Hint) -> Hint {
        if *self == Self::Deaf(node) { Hint::default() } else { heard }
    }

    /// What is written down of an affair of the node.
    fn told(&self, affair: Affair) -> Vec<Affair> {
        match (self, &affair) {
            (Self::Repeating(_, post), Affair::Taken { letter, .. }) if letter.post == *post => {
                vec![affair.clone(), affair]
            }
            (Self::Unhearing(_), Affair::Done { .. }) => Vec::new(),
            (Self::Skipping(_), Affair::StreamTaken { letter, .. }) if letter.number == 2 => {
                Vec::new()
            }
            _ => vec![affair],
        }
    }
}

/// The application of a node that pretends.
pub(crate) struct Pretender {
    double: Double,
    desk: Shared,
    inner: Traffic,
    acts_at: Option<Instant>,
    acts: u64,
    hoard: Vec<Vec<u8>>,
}

impl Pretender {
    pub(crate) fn new(double: Double, desk: Shared, inner: Traffic) -> Self {
        Self { double, desk, inner, acts_at: None, acts: 0, hoard: Vec::new() }
    }

    fn act(&mut self, now: Instant, node: &mut Node) -> Option<Duration> {
        self.acts += 1;
        match self.double {
            Double::Restless(_) => Some(Duration::from_millis(1)),
            Double::Vain(_) => {
                node.set_device_name(now, &format!("{}", self.acts));
                Some(Duration::from_secs(3))
            }
            Double::Hoarding(_) => {
                self.hoard.push(vec![7; 100]);
                Some(Duration::from_secs(1))
            }
            _ => None,
        }
    }

    /// Lets the double have its say in what the application wrote down.
    fn retell(&self, before: usize) {
        let mut desk = self.desk.borrow_mut();
        let news = desk.split_off(before);
        news.into_iter().for_each(|affair| {
            self.double.told(affair).into_iter().for_each(|told| desk.note(told));
        });
    }
}

impl App for Pretender {
    fn on_event(&mut self, now: Instant, node: &mut Node, event: Event) {
        let before = self.desk.borrow().affairs();
        self.inner.on_event(now, node, event);
        self.retell(before);
    }

    fn settle(&mut self, now: Instant, node: &mut Node) -> bool {
        let before = self.desk.borrow().affairs();
        let mut progress = self.inner.settle(now, node);
        self.retell(before);
        if self.acts_at.is_none_or(|at| at <= now) {
            let again = self.act(now, node);
            progress |= again.is_some();
            self.acts_at = Some(now + again.unwrap_or(Duration::from_secs(3_600)));
        }
        progress
    }

    fn next_timeout(&self) -> Option<Instant> {
        if let Double::Frozen(_) = self.double {
            return Some(Instant::EPOCH);
        }
        self.inner.next_timeout().into_iter().chain(self.acts_at).min()
    }
}
