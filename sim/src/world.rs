//! Many nodes on virtual time.
//!
//! `World` is the loop and nothing else: it takes the next thing from the heap and hands it to
//! whom it concerns. What a node's turn is stands in `world/turn`, what happens between nodes in
//! `world/carry`, who starts, dies and sleeps in `world/life`, who is in reach in `world/reach`.

mod carry;
mod life;
mod reach;
mod truth;
mod turn;

use std::collections::BTreeMap;

use hedgerow_core::id::{PeerKey, TransportId};
use hedgerow_core::identity::Identity;
use hedgerow_core::io::{Input, TransportEvent};
use hedgerow_core::network::Network;
use hedgerow_core::node::Node;
use hedgerow_core::time::{Duration, Instant};

pub use life::{Clock, Ending};
pub use truth::Truth;
pub use turn::Defect;

use crate::air::Air;
use crate::chance::Chance;
use crate::host::{App, Host, State};
use crate::log::{Log, What};
use crate::medium::Medium;
use crate::plan::Plan;
use crate::queue::{Due, Queue};

/// When a world begins: what was signed before has a time, too.
const BEGIN: Instant = Instant::from_millis(24 * 3_600 * 1_000);

/// What chance is for.
pub(crate) mod purpose {
    pub(crate) const STARTS: u64 = 1;
    pub(crate) const CLOCKS: u64 = 2;
    pub(crate) const AIR: u64 = 3;
    pub(crate) const KEYS: u64 = 4;
    pub(crate) const RUNS: u64 = 5;
    pub(crate) const DRIFTS: u64 = 6;
}

/// Nodes, what is between them, and the time.
pub struct World {
    plan: Plan,
    network: Network,
    now: Instant,
    queue: Queue,
    hosts: Vec<Host>,
    owners: BTreeMap<PeerKey, usize>,
    air: Air,
    chance: Chance,
    /// For what happens between nodes.
    luck: Chance,
    log: Log,
    defects: Vec<Defect>,
    steps: u64,
}

impl World {
    /// A world as planned. All nodes are about to start; nobody is in reach of anybody.
    ///
    /// # Panics
    /// When the plan has no medium, or more than 255.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        assert!((1..256).contains(&plan.media.len()), "a world has 1 to 255 media");
        let chance = Chance::new(plan.seed);
        let (mut starts, mut clocks) = (chance.fork(purpose::STARTS), chance.fork(purpose::CLOCKS));
        let mut drifts = chance.fork(purpose::DRIFTS);
        let mut world = Self {
            network: Network::open("sim").expect("a short name is one of a network"),
            now: BEGIN,
            queue: Queue::default(),
            hosts: Vec::with_capacity(plan.nodes),
            owners: BTreeMap::new(),
            air: Air::default(),
            luck: chance.fork(purpose::AIR),
            chance,
            log: Log::default(),
            defects: Vec::new(),
            steps: 0,
            plan,
        };
        for node in 0..world.plan.nodes {
            let identity = world.new_identity(node, 0);
            world.owners.insert(identity.peer_key(), node);
            let mut host = Host::new(identity, clocks.within(world.plan.clocks_within));
            host.fast_ppm = drifts.below(world.plan.fast_ppm_max + 1);
            world.hosts.push(host);
            let delay = starts.within(world.plan.start_within);
            world.queue.push(BEGIN + delay, Due::Start(node));
        }
        world
    }

    fn new_identity(&self, node: usize, number: u64) -> Identity {
        let keys = self.chance.fork(purpose::KEYS).fork(number);
        Identity::generate(&mut keys.fork(node as u64))
    }

    /// The world's time. A node's clock is ahead of it: [`Host::clock`].
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Time since the world began.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.now.since(BEGIN)
    }

    /// What it was made from.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The network all nodes are in.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// A node's host.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn host(&self, node: usize) -> &Host {
        &self.hosts[node]
    }

    /// All hosts, in the order of their nodes' numbers.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Who has, or once had, a key.
    #[must_use]
    pub fn owner(&self, key: &PeerKey) -> Option<usize> {
        self.owners.get(key).copied()
    }

    /// Who is in reach of whom, and the cables that stand.
    #[must_use]
    pub fn air(&self) -> &Air {
        &self.air
    }

    /// What happened so far.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The log, to have it echoed.
    pub fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    /// What nodes did that no node may do, found by the engine itself.
    #[must_use]
    pub fn defects(&self) -> &[Defect] {
        &self.defects
    }

    /// Things that happened so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Puts words into the log: a fault, a phase of a scenario.
    pub fn say(&mut self, node: Option<usize>, words: String) {
        self.log.note(self.now, node, What::Said(words));
    }

    /// Gives a node an application; it stays through restarts.
    pub fn set_app(&mut self, node: usize, app: Box<dyn App>) {
        self.hosts[node].app = Some(app);
    }

    /// Uses a node between two turns, as a call of its host; `None` while it does not run. The
    /// closure gets the node's own time.
    pub fn with_node<R>(
        &mut self,
        node: usize,
        call: impl FnOnce(Instant, &mut Node) -> R,
    ) -> Option<R> {
        let host = &mut self.hosts[node];
        if host.state != State::On {
            return None;
        }
        let result = host.run_node(self.now, call)?;
        self.turn_soon(node);
        Some(result)
    }

    /// Tells a node something in its driver's name; it waits while the machine sleeps.
    pub fn tell(&mut self, node: usize, medium: u8, event: TransportEvent) {
        let host = &mut self.hosts[node];
        let transport = TransportId(medium);
        match host.state {
            State::Off => return,
            State::Asleep => {
                host.held.push((transport, event));
                return;
            }
            State::On => {}
        }
        host.run_node(self.now, |now, node| {
            node.handle_input(now, Input::Transport { transport, event });
        });
        self.turn_soon(node);
    }

    fn medium(&self, medium: u8) -> &Medium {
        &self.plan.media[usize::from(medium)]
    }

    /// Lets the next thing happen; false when there is none.
    pub fn step(&mut self) -> bool {
        let Some((at, due)) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        self.steps += 1;
        match due {
            Due::Start(node) => self.start(node),
            Due::Turn(node) => self.turn(node),
            Due::Timer(node) => self.on_timer(at, node),
            Due::Sight { who, pair } => self.on_sight(who, pair),
            Due::Lose(pair) => self.on_lose(pair),
            Due::Dialled { node, run, medium, dial } => self.on_dialled(node, run, medium, dial),
            Due::Tell { node, run, medium, event } => {
                if self.hosts[node].runs == run {
                    self.tell(node, medium, *event);
                }
            }
            Due::Arrive(cable, side) => self.on_arrive(at, cable, side),
            Due::Room(cable, side) => self.on_room(cable, side),
            Due::Supervise(cable) => self.on_supervise(cable),
        }
        true
    }

    /// Runs until `end`.
    pub fn run_until(&mut self, end: Instant) {
        self.run_until_true(end, |_| false);
    }

    /// Runs for so long.
    pub fn run(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Runs until `done`, asked after every moment, at the latest until `end`; says whether it was
    /// done.
    pub fn run_until_true(&mut self, end: Instant, mut done: impl FnMut(&Self) -> bool) -> bool {
        loop {
            let next = self.queue.next_at();
            let moment_is_over = next != Some(self.now);
            if moment_is_over && done(self) {
                return true;
            }
            if next.is_none_or(|at| at > end) {
                self.now = self.now.max(end);
                return false;
            }
            self.step();
        }
    }
}
