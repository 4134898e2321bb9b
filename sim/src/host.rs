//! One node and what a real host keeps around it: its home, its links, what its application sees.

use std::collections::BTreeMap;

use hedgerow_core::event::Event;
use hedgerow_core::id::{DialId, LinkId, PeerKey, TransportId};
use hedgerow_core::identity::Identity;
use hedgerow_core::io::{Beacon, Hint, TransportEvent};
use hedgerow_core::node::Node;
use hedgerow_core::presence::Change;
use hedgerow_core::time::{Duration, Instant};

use crate::air::CableId;
use crate::ledger::Account;
use crate::tally::{Sent, Tally};

/// What runs on a node: gets its events, uses its Bus.
///
/// Called in the node's turn, as a host's desk is. `now` is the node's own clock.
pub trait App {
    /// The node says something.
    fn on_event(&mut self, now: Instant, node: &mut Node, event: Event);

    /// Does what it has to do by itself; true if it did something, then the node is pulled again.
    fn settle(&mut self, now: Instant, node: &mut Node) -> bool {
        let _ = (now, node);
        false
    }

    /// When to give the node a turn without other reason, on the node's own clock.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }
}

/// How many peers and edges a node's graph has, kept by the changes it tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Peers in the graph, the node itself not counted.
    pub peers: usize,
    /// Edges, one for each medium of a pair.
    pub edges: usize,
    /// When either last changed, on the world's clock.
    pub changed_at: Instant,
}

impl View {
    fn on_change(&mut self, now: Instant, change: &Change) {
        match change {
            Change::PeerJoined(_) => self.peers += 1,
            Change::PeerLeft(..) => self.peers -= 1,
            Change::ConnectionUp(_) => self.edges += 1,
            Change::ConnectionDown(_) => self.edges -= 1,
            Change::PeerUpdated(_) => return,
        }
        self.changed_at = now;
    }

    /// Reads it from the graph, as a host does that lost changes.
    fn read(&mut self, now: Instant, node: &Node, node_now: Instant) {
        let graph = node.graph(node_now);
        let views = graph.remote.iter().chain([&graph.local]);
        let ends: usize = views.map(|peer| peer.connections.len()).sum();
        *self = Self { peers: graph.remote.len(), edges: ends / 2, changed_at: now };
    }
}

/// What the drivers of a host tell those of their media at neighbours, and hear from them.
#[derive(Debug, Default)]
pub struct Hints {
    told: u64,
    told_at: Instant,
    heard: BTreeMap<(u8, PeerKey), Hint>,
}

impl Hints {
    /// What the driver of each medium tells now, other than before.
    pub(crate) fn renew(&mut self, now: Instant) {
        self.told += 1;
        self.told_at = now;
    }

    /// What the driver of a medium tells now; empty before it was first renewed.
    #[must_use]
    pub fn own(&self, medium: u8) -> Hint {
        let text = if self.told > 0 { format!("{medium}: {}", self.told) } else { String::new() };
        Hint::new(text.as_bytes()).expect("some digits are short")
    }

    /// Since when.
    #[must_use]
    pub fn told_at(&self) -> Instant {
        self.told_at
    }

    /// What the driver of a medium was told by a neighbour's.
    #[must_use]
    pub fn heard(&self, medium: u8, from: PeerKey) -> Hint {
        self.heard.get(&(medium, from)).cloned().unwrap_or_default()
    }

    /// From whom the drivers have hints.
    pub fn tellers(&self) -> impl Iterator<Item = PeerKey> + '_ {
        self.heard.keys().map(|(_, from)| *from)
    }

    pub(crate) fn hear(&mut self, medium: u8, from: PeerKey, hint: Hint) {
        if hint.is_empty() {
            self.heard.remove(&(medium, from));
        } else {
            self.heard.insert((medium, from), hint);
        }
    }
}

/// What a host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its node does not run.
    Off,
    /// Its node runs.
    On,
    /// The whole machine sleeps: nothing runs, what comes in waits.
    Asleep,
}

/// One node of the world and what is around it.
pub struct Host {
    pub(crate) identity: Identity,
    /// As it stands on the disk.
    pub(crate) epoch: u64,
    pub(crate) runs: u64,
    pub(crate) state: State,
    pub(crate) node: Option<Box<Node>>,
    /// The node's clock showed this more than the world's time when that was zero.
    pub(crate) ahead: Duration,
    /// And it goes fast by this, in parts in a million.
    pub(crate) fast_ppm: u64,
    pub(crate) slept_at: Instant,
    pub(crate) links: BTreeMap<LinkId, CableId>,
    pub(crate) links_made: u64,
    pub(crate) dials_made: u64,
    pub(crate) tallies: BTreeMap<LinkId, Tally>,
    pub(crate) sent: Sent,
    pub(crate) beacons: BTreeMap<u8, Beacon>,
    /// Dials under way, and to whom.
    pub(crate) dials: BTreeMap<(u8, DialId), usize>,
    /// The timer that counts; what else is in the heap is stale.
    pub(crate) timer: Option<Instant>,
    /// Timeouts at one moment after which the next was due at once.
    pub(crate) stuck: u32,
    pub(crate) timeouts: u64,
    pub(crate) turn_is_due: bool,
    /// What waits for a machine that sleeps.
    pub(crate) held: Vec<(TransportId, TransportEvent)>,
    pub(crate) up: BTreeMap<LinkId, PeerKey>,
    pub(crate) hints: Hints,
    pub(crate) view: View,
    pub(crate) app: Option<Box<dyn App>>,
    /// What the node allocates.
    pub(crate) account: Account,
}

const MILLION: u128 = 1_000_000;

fn micros(count: u128) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or(u64::MAX))
}

impl Host {
    pub(crate) fn new(identity: Identity, ahead: Duration) -> Self {
        Self {
            identity,
            epoch: 0,
            runs: 0,
            state: State::Off,
            node: None,
            ahead,
            fast_ppm: 0,
            slept_at: Instant::EPOCH,
            links: BTreeMap::new(),
            links_made: 0,
            dials_made: 0,
            tallies: BTreeMap::new(),
            sent: Sent::default(),
            beacons: BTreeMap::new(),
            dials: BTreeMap::new(),
            timer: None,
            stuck: 0,
            timeouts: 0,
            turn_is_due: false,
            held: Vec::new(),
            up: BTreeMap::new(),
            hints: Hints::default(),
            view: View::default(),
            app: None,
            account: Account::open(),
        }
    }

    /// The node, while it runs.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_deref()
    }

    /// What the host does.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// The key the node has, or had when it last ran.
    #[must_use]
    pub fn key(&self) -> PeerKey {
        self.identity.peer_key()
    }

    /// How often the node was started.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// The boot epoch on the disk.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The world's `now` on this node's clock.
    #[must_use]
    pub fn clock(&self, now: Instant) -> Instant {
        let gained = u128::from(now.as_micros()) * u128::from(self.fast_ppm) / MILLION;
        now + self.ahead + micros(gained)
    }

    /// When this node's clock shows `at`, in the world's time.
    #[must_use]
    pub fn world_time(&self, at: Instant) -> Instant {
        let shown = u128::from((at - self.ahead).as_micros());
        let micros_so_far = (shown * MILLION).div_ceil(MILLION + u128::from(self.fast_ppm));
        Instant::EPOCH + micros(micros_so_far)
    }

    /// Everything the node's runs have sent on all links, by class.
    #[must_use]
    pub fn sent(&self) -> &Sent {
        &self.sent
    }

    /// The links that stand, and what was sent on each.
    pub fn links(&self) -> impl Iterator<Item = (LinkId, CableId, &Sent)> {
        self.links.iter().map(|(link, cable)| (*link, *cable, self.tallies[link].sent()))
    }

    /// How many links the node's runs were given, and how many dials they began.
    #[must_use]
    pub fn links_and_dials_made(&self) -> (u64, u64) {
        (self.links_made, self.dials_made)
    }

    /// Links whose handshake this node has done, and with whom.
    pub fn links_up(&self) -> impl Iterator<Item = (LinkId, PeerKey)> + '_ {
        self.up.iter().map(|(link, peer)| (*link, *peer))
    }

    /// What its drivers tell and hear.
    #[must_use]
    pub fn hints(&self) -> &Hints {
        &self.hints
    }

    /// How often the node's own time has come, in all its runs.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.timeouts
    }

    /// What the node has allocated and not given back, in bytes; its application's share included,
    /// unless that enters another account.
    #[must_use]
    pub fn memory(&self) -> i64 {
        self.account.bytes()
    }

    /// Runs the node, on its own clock and its own account of memory.
    pub(crate) fn run_node<R>(
        &mut self,
        now: Instant,
        call: impl FnOnce(Instant, &mut Node) -> R,
    ) -> Option<R> {
        let now = self.clock(now);
        let node = self.node.as_deref_mut()?;
        let _its_own = self.account.enter();
        Some(call(now, node))
    }

    /// How large the node's graph is.
    #[must_use]
    pub fn view(&self) -> View {
        self.view
    }

    /// Takes what an event says about the host's own tables.
    pub(crate) fn on_event(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Presence(change) => self.view.on_change(now, change),
            Event::LinkUp { link, peer, .. } => drop(self.up.insert(*link, *peer)),
            Event::LinkDown { link, .. } => drop(self.up.remove(link)),
            Event::EpochStepped(epoch) => self.epoch = self.epoch.max(*epoch),
            Event::Overflow(_) => {
                let node_now = self.clock(now);
                let node = self.node.as_deref().expect("an event comes from a node that runs");
                self.view.read(now, node, node_now);
                let links = node.links(node_now);
                self.up = links.filter_map(|view| Some((view.link, view.peer?))).collect();
            }
            _ => {}
        }
    }

    /// The node is gone, and all that was its own.
    pub(crate) fn clear(&mut self) {
        self.node = None;
        self.links.clear();
        self.tallies.clear();
        self.beacons.clear();
        self.dials.clear();
        self.timer = None;
        self.stuck = 0;
        self.held.clear();
        self.up.clear();
        self.hints = Hints::default();
        self.view = View::default();
    }
}
