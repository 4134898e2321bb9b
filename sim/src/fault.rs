//! What goes wrong in a world, and how it is undone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hedgerow_core::time::Duration;
use hedgerow_netem::Shape;

use crate::air::{Hearing, Pair};
use crate::app::Manner;
use crate::host::State;
use crate::world::{Clock, Ending, World};

/// What a node that was away comes back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Its key and its boot epoch.
    Kept,
    /// Its key and an old boot epoch, as from a backup.
    Old,
    /// Neither: it is somebody else.
    Lost,
}

/// How a node's run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It says goodbye.
    Goodbye,
    /// Its process dies; its system closes the links.
    Crash,
    /// The power goes.
    PowerLoss,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A node ends, and starts again if it says when.
    Restart {
        /// Which.
        node: usize,
        /// How it ends.
        exit: Exit,
        /// What it starts with.
        home: Home,
    },
    /// A node that is off starts.
    Start(usize),
    /// A machine sleeps.
    Sleep(usize),
    /// It wakes, with a clock that went on or stood.
    Wake(usize, Clock),
    /// Everybody ends at once.
    AllEnd(Exit),
    /// Pairs are out of reach of each other; their links go silent.
    Apart(Vec<Pair>),
    /// They are in reach again.
    Together(Vec<Pair>),
    /// The other one of a pair does not hear this node any more.
    Deaf(Pair, usize),
    /// It hears it again.
    Hears(Pair, usize),
    /// The links of a pair are lost; both ends are told.
    Cut(Pair),
    /// Links of a pair are like this from now on, also those that stand.
    Reshape(Pair, Shape),
    /// An application behaves otherwise.
    Manner(usize, Manner),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = |pairs: &[Pair]| {
            pairs.iter().map(|pair| format!(" {}-{}", pair.low, pair.high)).collect::<String>()
        };
        match self {
            Self::Restart { node, exit, home } => {
                write!(f, "node {node} ends ({exit:?}, home {home:?})")
            }
            Self::Start(node) => write!(f, "node {node} starts if it is off"),
            Self::Sleep(node) => write!(f, "node {node} falls asleep"),
            Self::Wake(node, clock) => write!(f, "node {node} wakes, its clock {clock:?}"),
            Self::AllEnd(exit) => write!(f, "all nodes end ({exit:?})"),
            Self::Apart(apart) => write!(f, "out of reach:{}", pairs(apart)),
            Self::Together(together) => write!(f, "in reach again:{}", pairs(together)),
            Self::Deaf(pair, from) => write!(f, "{} is deaf for {from}", pair.other(*from)),
            Self::Hears(pair, from) => write!(f, "{} hears {from} again", pair.other(*from)),
            Self::Cut(pair) => write!(f, "links of {}-{} are cut", pair.low, pair.high),
            Self::Reshape(pair, shape) => {
                write!(f, "links of {}-{} become {shape:?}", pair.low, pair.high)
            }
            Self::Manner(node, manner) => write!(f, "the application of {node} is {manner:?}"),
        }
    }
}

/// What is wrong now. Faults of one kind on one pair overlap, and it is well again when the last
/// one is over.
#[derive(Debug, Default)]
pub struct Trouble {
    apart: BTreeMap<Pair, u32>,
    deaf: BTreeMap<(Pair, usize), u32>,
    /// What links of pairs are like when all is well, and now.
    shapes: BTreeMap<Pair, (Shape, Shape)>,
    homes: BTreeMap<usize, Home>,
    /// Who stays away.
    pub(crate) gone: BTreeSet<usize>,
}

/// How far behind an old home is, in boot epochs.
const EPOCHS_BEHIND: u64 = 2;

impl Trouble {
    /// No trouble yet; the nodes in `gone` do not come back once they ended.
    #[must_use]
    pub fn new(gone: BTreeSet<usize>, pairs: &[(Pair, Shape)]) -> Self {
        let shapes = pairs.iter().map(|(pair, shape)| (*pair, (*shape, *shape))).collect();
        Self { gone, shapes, ..Self::default() }
    }

    /// Has something go wrong, or right again.
    pub fn apply(&mut self, world: &mut World, fault: &Fault) {
        world.say(None, format!("fault: {fault}"));
        match fault {
            Fault::Restart { node, exit, home } => self.end(world, *node, *exit, *home),
            Fault::Start(node) => self.start(world, *node),
            Fault::Sleep(node) => world.suspend(*node),
            Fault::Wake(node, clock) => world.resume(*node, *clock),
            Fault::AllEnd(exit) => {
                for node in 0..world.hosts().len() {
                    self.end(world, node, *exit, Home::Kept);
                }
            }
            Fault::Apart(pairs) => pairs.iter().for_each(|pair| self.part(world, *pair)),
            Fault::Together(pairs) => pairs.iter().for_each(|pair| self.meet(world, *pair)),
            Fault::Deaf(pair, from) => {
                *self.deaf.entry((*pair, *from)).or_default() += 1;
                world.set_hearing(*pair, *from, Hearing::Silent);
            }
            Fault::Hears(pair, from) => {
                if one_less(&mut self.deaf, (*pair, *from)) {
                    world.set_hearing(*pair, *from, Hearing::Clear);
                }
            }
            Fault::Cut(pair) => {
                for cable in world.air().cables_of(*pair) {
                    world.cut(cable, &hedgerow_core::io::LinkLoss::Reset);
                }
            }
            Fault::Reshape(pair, shape) => {
                if let Some((_, now)) = self.shapes.get_mut(pair) {
                    *now = *shape;
                }
                world.reshape(*pair, *shape);
            }
            Fault::Manner(..) => {}
        }
    }

    fn end(&mut self, world: &mut World, node: usize, exit: Exit, home: Home) {
        match exit {
            Exit::Goodbye if world.host(node).state() == State::On => world.stop(node),
            Exit::Goodbye | Exit::Crash => world.crash(node, Ending::Told),
            Exit::PowerLoss => world.crash(node, Ending::Silent),
        }
        self.homes.insert(node, home);
    }

    fn start(&mut self, world: &mut World, node: usize) {
        if world.host(node).state() != State::Off || self.gone.contains(&node) {
            return;
        }
        match self.homes.remove(&node) {
            Some(Home::Lost) => world.lose_home(node),
            Some(Home::Old) => {
                let epoch = world.host(node).epoch();
                world.set_epoch(node, epoch.saturating_sub(EPOCHS_BEHIND));
            }
            Some(Home::Kept) | None => {}
        }
        world.start(node);
    }

    fn part(&mut self, world: &mut World, pair: Pair) {
        let apart = self.apart.entry(pair).or_default();
        *apart += 1;
        if *apart == 1 {
            world.disconnect(pair.medium, pair.low, pair.high);
        }
    }

    fn meet(&mut self, world: &mut World, pair: Pair) {
        if !one_less(&mut self.apart, pair) {
            return;
        }
        if let Some((_, now)) = self.shapes.get(&pair) {
            world.connect_shaped(pair.medium, pair.low, pair.high, *now);
        }
        for from in [pair.low, pair.high] {
            if self.deaf.contains_key(&(pair, from)) {
                world.set_hearing(pair, from, Hearing::Silent);
            }
        }
    }

    /// Undoes everything that is wrong still. Who is gone for good stays away.
    pub fn undo(&mut self, world: &mut World) {
        // Shapes last: who is out of reach has none to change.
        let pairs: Vec<Pair> = self.apart.keys().copied().collect();
        for pair in pairs {
            self.apart.insert(pair, 1);
            self.meet(world, pair);
        }
        for ((pair, from), _) in core::mem::take(&mut self.deaf) {
            world.set_hearing(pair, from, Hearing::Clear);
        }
        for (pair, (well, now)) in &mut self.shapes {
            *now = *well;
            world.reshape(*pair, *well);
        }
        for node in 0..world.hosts().len() {
            match world.host(node).state() {
                State::Off => self.start(world, node),
                State::Asleep => world.resume(node, Clock::Runs),
                State::On => {}
            }
        }
    }
}

/// Takes one from a count; whether it was the last one.
fn one_less<K: Ord + Copy>(counts: &mut BTreeMap<K, u32>, key: K) -> bool {
    let Some(count) = counts.get_mut(&key) else { return false };
    *count -= 1;
    let is_last = *count == 0;
    if is_last {
        counts.remove(&key);
    }
    is_last
}

/// A bound on how long one fault lasts in random scenarios; over the longest time in which a
/// link is noticed to be dead, so that every stage of noticing is met.
pub const FAULT_TIME_MAX: Duration = Duration::from_secs(25);
