//! What is to happen in a world, all of it drawn from one seed.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use hedgerow_core::io::Lane;
use hedgerow_core::time::Duration;
use hedgerow_netem::{Burst, PPM, Shape};

use crate::air::Pair;
use crate::app::{Flow, Kind, LETTER_BYTES_MIN, Manner};
use crate::chance::Chance;
use crate::fault::{Exit, FAULT_TIME_MAX, Fault, Home};
use crate::medium::Medium;
use crate::world::Clock;

/// The medium of pairs that share a local network.
pub const LAN: u8 = 0;
/// The medium of pairs that are near each other.
pub const RADIO: u8 = 1;

/// Who is in reach of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One behind the other.
    Line,
    /// The same, closed.
    Ring,
    /// Rows and columns.
    Grid,
    /// Each new one is in reach of one that was there before.
    Tree,
    /// A tree and some more, by chance.
    Random,
    /// Everybody hears everybody.
    Full,
}

impl Topology {
    const ALL: [Self; 6] =
        [Self::Line, Self::Ring, Self::Grid, Self::Tree, Self::Random, Self::Full];

    fn pairs(self, nodes: usize, chance: &mut Chance) -> BTreeSet<(usize, usize)> {
        let line = (1..nodes).map(|node| (node - 1, node));
        let mut tree =
            || -> BTreeSet<_> { (1..nodes).map(|node| (chance.index(node), node)).collect() };
        match self {
            Self::Line => line.collect(),
            Self::Ring => line.chain((nodes > 2).then_some((0, nodes - 1))).collect(),
            Self::Grid => {
                let columns = (1..).find(|n| n * n >= nodes).unwrap_or(1);
                let right = line.filter(|(_, node)| node % columns != 0);
                right.chain((columns..nodes).map(|node| (node - columns, node))).collect()
            }
            Self::Tree => tree(),
            Self::Random => {
                let mut pairs = tree();
                for _ in 0..nodes {
                    let (a, b) = (chance.index(nodes), chance.index(nodes));
                    pairs.extend((a != b).then_some((a.min(b), a.max(b))));
                }
                pairs
            }
            Self::Full => (1..nodes).flat_map(|b| (0..b).map(move |a| (a, b))).collect(),
        }
    }
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = |topology: &Self| format!("{topology:?}").eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(known).ok_or_else(|| {
            format!("no topology is called {name}: take one of {:?}", Self::ALL).to_lowercase()
        })
    }
}

/// What of a scenario is given and not drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given {
    /// How many nodes.
    pub nodes: Option<usize>,
    /// Who is in reach of whom.
    pub topology: Option<Topology>,
    /// How long things go wrong.
    pub storm: Option<Duration>,
}

/// All that is to happen in a world.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it was drawn from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// Who is in reach of whom.
    pub topology: Topology,
    /// The media, by number.
    pub media: Vec<Medium>,
    /// The pairs in reach of each other, and what links between them are like.
    pub pairs: Vec<(Pair, Shape)>,
    /// Nodes start within this.
    pub start_within: Duration,
    /// Clocks go fast by up to this, in parts in a million.
    pub fast_ppm_max: u64,
    /// The planned traffic.
    pub flows: Vec<Flow>,
    /// What goes wrong, and when after the beginning; in order.
    pub faults: Vec<(Duration, Fault)>,
    /// Who does not come back.
    pub gone: BTreeSet<usize>,
    /// When everything is undone.
    pub storm: Duration,
}

/// Nodes of a world that is drawn: enough for every topology, few enough for thousands of seeds.
const NODES: (usize, usize) = (3, 20);
/// Links that a radio of few holds.
const SLOTS_FEW: (usize, usize) = (3, 7);
/// A world over which everybody hears everybody has at most so many, or it is all handshakes.
const NODES_FULL_MAX: usize = 8;
/// How long things go wrong in a world that is drawn: the longest fault, and time beside it.
const STORM: (u64, u64) = (20, 45);
/// One fault a node and this, on average.
const FAULT_EVERY: Duration = Duration::from_secs(12);

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn draw(seed: u64, given: Given) -> Self {
        let chance = Chance::new(seed);
        let mut shape = chance.fork(100);
        let draw = shape.index(Topology::ALL.len());
        let topology = given.topology.unwrap_or(Topology::ALL[draw]);
        let most = if topology == Topology::Full { NODES_FULL_MAX } else { NODES.1 };
        let drawn = NODES.0 + shape.index(most - NODES.0 + 1);
        let nodes = given.nodes.unwrap_or(drawn);
        let seconds = STORM.0 + shape.below(STORM.1 - STORM.0 + 1);
        let storm = given.storm.unwrap_or(Duration::from_secs(seconds));
        let start_within = Duration::from_millis([0, 500, 3_000][shape.index(3)]);
        let mut limits = chance.fork(105);
        // One of three worlds has radios that hold few links, as real ones do.
        let few = SLOTS_FEW.0 + limits.index(SLOTS_FEW.1 - SLOTS_FEW.0 + 1);
        let slots = if limits.index(3) == 0 { few } else { nodes.max(2) };
        let fast_ppm_max = [0, 50, 100][limits.index(3)];
        let media = vec![Medium::lan(), Medium::radio(slots)];
        let pairs = topology.pairs(nodes, &mut chance.fork(101));
        let pairs = shapes(&pairs, &media, &mut chance.fork(102));
        let flows = flows(nodes, storm, &mut chance.fork(103));
        let mut weather = Weather { nodes, pairs: &pairs, storm, chance: chance.fork(104) };
        let (faults, gone) = weather.faults();
        Self {
            seed,
            nodes,
            topology,
            media,
            pairs,
            start_within,
            fast_ppm_max,
            flows,
            faults,
            gone,
            storm,
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, topology, storm, fast_ppm_max, .. } = self;
        let slots = self.media[usize::from(RADIO)].profile.links_max;
        writeln!(
            f,
            "seed {seed}: {nodes} nodes, {topology:?}, {slots} slots, clocks to {fast_ppm_max} ppm, \
             {storm:?} of trouble"
        )?;
        for (Pair { medium, low, high }, shape) in &self.pairs {
            let medium = if *medium == LAN { "LAN" } else { "radio" };
            writeln!(f, "  {low}-{high}: {medium}, {:?}, {} ppm", shape.delay, shape.loss_ppm)?;
        }
        self.flows.iter().try_for_each(|flow| writeln!(f, "  {flow}"))?;
        self.faults.iter().try_for_each(|(at, fault)| writeln!(f, "  {at:?} {fault}"))
    }
}

/// Media and shapes for pairs: all on one medium, or each by chance; some on both.
fn shapes(
    pairs: &BTreeSet<(usize, usize)>,
    media: &[Medium],
    chance: &mut Chance,
) -> Vec<(Pair, Shape)> {
    let style = chance.index(4);
    let mut shaped = Vec::new();
    for (a, b) in pairs {
        let both = chance.index(8) == 0;
        let draw = chance.index(2) == 0;
        let is_lan = match style {
            0 => true,
            1 => false,
            _ => draw,
        };
        for (medium, has) in [(LAN, is_lan || both), (RADIO, !is_lan || both)] {
            let bad = style == 3 && chance.index(3) == 0;
            let good = media[usize::from(medium)].shape;
            let shape = if bad { worse(good, chance) } else { good };
            shaped.extend(has.then_some((Pair::new(medium, *a, *b), shape)));
        }
    }
    shaped
}

/// A shape with something wrong, that still carries enough.
fn worse(good: Shape, chance: &mut Chance) -> Shape {
    let rate = good.rate_bytes_per_s.map(|rate| rate / (1 + chance.below(3)));
    match chance.index(6) {
        0 => Shape { delay: good.delay * 3, ..good },
        1 => Shape { jitter: good.delay * 2, ..good },
        2 => Shape { loss_ppm: PPM / 20, ..good },
        3 => {
            let burst = Burst { begin_ppm: PPM / 50, end_ppm: PPM / 4, loss_ppm: PPM * 3 / 4 };
            Shape { burst: Some(burst), ..good }
        }
        4 => Shape {
            reorder_ppm: PPM / 10,
            reorder_delay: good.delay * 2,
            duplicate_ppm: PPM / 20,
            ..good
        },
        _ => Shape { rate_bytes_per_s: rate, ..good },
    }
}

fn flows(nodes: usize, storm: Duration, chance: &mut Chance) -> Vec<Flow> {
    let count = 2 + chance.index(nodes.min(8));
    let flow = |_| {
        let from = chance.index(nodes);
        let to = (from + 1 + chance.index(nodes - 1)) % nodes;
        let lane = Lane::DATA[chance.index(3)];
        let kind = match chance.index(6) {
            0 | 1 => Kind::Reliable(None),
            2 => Kind::Reliable(Some(Duration::from_secs(1 + chance.below(15)))),
            3 => Kind::Loose,
            _ => Kind::Stream(1 + u32::try_from(chance.below(30)).expect("small")),
        };
        let every = Duration::from_millis([40, 150, 700][chance.index(3)]);
        // Slow links carry 20 KB/s: large messages are seldom.
        let most =
            [60, 300, 1_500, 6_000][chance.index(if every.as_millis() > 500 { 4 } else { 2 })];
        let begins_after = chance.within(storm / 2);
        let messages = storm.saturating_sub(begins_after).as_millis() / every.as_millis();
        let messages = u32::try_from(messages).unwrap_or(u32::MAX).min(150);
        Flow {
            from,
            to,
            lane,
            kind,
            begins_after,
            every,
            messages,
            bytes: (LETTER_BYTES_MIN, most),
        }
    };
    (0..count).map(flow).collect()
}

/// Draws what goes wrong.
struct Weather<'a> {
    nodes: usize,
    pairs: &'a [(Pair, Shape)],
    storm: Duration,
    chance: Chance,
}

impl Weather<'_> {
    fn faults(&mut self) -> (Vec<(Duration, Fault)>, BTreeSet<usize>) {
        let mut faults = Vec::new();
        let mut gone = BTreeSet::new();
        let many = self.storm.as_millis() / FAULT_EVERY.as_millis() + self.nodes as u128;
        let many = self.chance.below(u64::try_from(many).unwrap_or(u64::MAX) + 1);
        for _ in 0..many {
            let at = self.chance.within(self.storm);
            self.fault(at, &mut faults);
        }
        // At most one of three or more stays away, so that there is a mesh to look at.
        if self.nodes > 3 && self.chance.index(6) == 0 {
            let node = self.chance.index(self.nodes);
            let exit = self.exit();
            let fault = Fault::Restart { node, exit, home: Home::Kept };
            faults.push((self.storm / 2, fault));
            gone.insert(node);
        }
        faults.sort_by_key(|(at, _)| *at);
        (faults, gone)
    }

    fn exit(&mut self) -> Exit {
        [Exit::Goodbye, Exit::Crash, Exit::PowerLoss][self.chance.index(3)]
    }

    fn pair(&mut self) -> Pair {
        self.pairs[self.chance.index(self.pairs.len())].0
    }

    /// One fault at `at`, and its end.
    fn fault(&mut self, at: Duration, faults: &mut Vec<(Duration, Fault)>) {
        // Most are short, some outlast what notices them.
        let most = [1_500, 8_000, 25_000][self.chance.index(3)];
        let time = self.chance.within(Duration::from_millis(most).min(FAULT_TIME_MAX));
        let end = at + time;
        let node = self.chance.index(self.nodes);
        match self.chance.index(12) {
            0 | 1 => {
                let home = [Home::Kept, Home::Kept, Home::Old, Home::Lost][self.chance.index(4)];
                let exit = self.exit();
                faults.push((at, Fault::Restart { node, exit, home }));
                faults.push((end, Fault::Start(node)));
            }
            2 => {
                let clock = [Clock::Runs, Clock::Stands][self.chance.index(2)];
                faults.push((at, Fault::Sleep(node)));
                faults.push((end, Fault::Wake(node, clock)));
            }
            3 => {
                let pairs = self.border();
                faults.push((at, Fault::Apart(pairs.clone())));
                faults.push((end, Fault::Together(pairs)));
            }
            4 | 5 => {
                let pair = self.pair();
                let from = if self.chance.index(2) == 0 { pair.low } else { pair.high };
                faults.push((at, Fault::Deaf(pair, from)));
                faults.push((end, Fault::Hears(pair, from)));
            }
            6 => {
                let pair = self.pair();
                let every = Duration::from_millis(100 + self.chance.below(2_000));
                for times in 0..u32::try_from(3 + self.chance.below(8)).expect("small") {
                    faults.push((at + every * times, Fault::Cut(pair)));
                }
            }
            7 => {
                let pairs = vec![self.pair()];
                faults.push((at, Fault::Apart(pairs.clone())));
                faults.push((end, Fault::Together(pairs)));
            }
            8 => self.all_restart(at, faults),
            9 => {
                let manner = self.manner();
                faults.push((at, Fault::Manner(node, manner)));
                faults.push((end, Fault::Manner(node, Manner::Prompt)));
            }
            _ => {
                let index = self.chance.index(self.pairs.len());
                let (pair, good) = self.pairs[index];
                let shape = worse(good, &mut self.chance);
                faults.push((at, Fault::Reshape(pair, shape)));
                faults.push((end, Fault::Reshape(pair, good)));
            }
        }
    }

    /// The pairs between two halves of the nodes.
    fn border(&mut self) -> Vec<Pair> {
        let side: Vec<bool> = (0..self.nodes).map(|_| self.chance.index(2) == 0).collect();
        let pairs = self.pairs.iter().map(|(pair, _)| *pair);
        pairs.filter(|pair| side[pair.low] != side[pair.high]).collect()
    }

    fn all_restart(&mut self, at: Duration, faults: &mut Vec<(Duration, Fault)>) {
        let exit = self.exit();
        faults.push((at, Fault::AllEnd(exit)));
        for node in 0..self.nodes {
            let back = at + Duration::from_millis(100) + self.chance.within(Duration::from_secs(2));
            faults.push((back, Fault::Start(node)));
        }
    }

    fn manner(&mut self) -> Manner {
        if self.chance.index(2) == 0 {
            Manner::Slow {
                every: Duration::from_millis(100 + self.chance.below(3_000)),
                at_once: 1 + self.chance.index(10),
            }
        } else {
            Manner::Pondering {
                time: self.chance.within(Duration::from_secs(2)),
                refuse_one_of: [0, 2, 5][self.chance.index(3)],
            }
        }
    }
}
