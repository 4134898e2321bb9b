//! How the mesh behaves as it grows: the figures of docs/scale.md.

pub mod alternates;
mod jobs;
mod kept;
pub mod mesh;
mod page;
pub mod repair;
pub mod restart;
pub mod spf;

use serde::{Deserialize, Serialize};
use std::sync::Mutex;

use hedgerow_core::time::Duration;

pub use kept::Kept;
pub use mesh::{Mesh, Shape};
pub use page::write as page;

use crate::chance::Chance;
use crate::medium::Medium;
use crate::tally::Sent;
use jobs::{Job, Jobs};
use repair::{Affected, Repair};
use restart::Restart;
use spf::Computing;

/// The sizes of the tables.
pub const SIZES: [usize; 7] = [10, 49, 100, 256, 529, 1_000, 2_000];
/// The sizes of a quick run.
pub const SIZES_QUICK: [usize; 3] = [10, 49, 100];

/// A mesh that never gets complete is given up after this.
const COLD_LIMIT: Duration = Duration::from_secs(300);
/// What is unsettled after a change has gone by then.
const SETTLE: Duration = Duration::from_secs(30);
/// How long an idle mesh is watched: twelve keepalives.
const IDLE: Duration = Duration::from_secs(60);
/// How long halves of a mesh, or one node, are apart.
const APART: Duration = Duration::from_secs(10);
/// How long nodes change places at most, and how many do at least unless that is over.
const CHURN: Duration = Duration::from_secs(30);
const CHURN_MOVES: f64 = 160.0;
/// Of all nodes, this part changes places each second.
const CHURN_PART: f64 = 0.01;
/// Links that are lost, one after the other.
const LOSSES: usize = 4;

/// One line of a table: a mesh, and how it behaved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The shape.
    pub shape: Shape,
    /// Nodes.
    pub nodes: usize,
    /// Edges of the shape.
    pub edges: usize,
    /// From the start of all nodes until every graph has all peers and edges, if it came to that.
    pub cold: Option<Duration>,
    /// Peers that graphs have on average by then.
    pub peers_seen: f64,
    /// What all nodes sent until then.
    pub cold_sent: Sent,
    /// What was sent in [`Row::idle_time`] while nothing happened.
    pub idle_sent: Sent,
    /// How long that was watched.
    pub idle_time: Duration,
    /// What was sent in [`Row::churn_time`] while nodes changed places.
    pub churn_sent: Sent,
    /// How long that was watched.
    pub churn_time: Duration,
    /// Ways that led over a lost link and could be sent on at once.
    pub repair_with: Affected,
    /// Ways that could not.
    pub repair_without: Affected,
    /// The longest time until all graphs had lost the edge.
    pub repair_graphs: Option<Duration>,
    /// From when two halves are in reach again until every graph is complete.
    pub heal: Option<Duration>,
    /// What crossed the links of one node that was apart, both ways, until it was quiet again.
    pub rejoin: Option<Rejoin>,
    /// Bytes a node has allocated for each peer it knows, above what it had alone.
    pub bytes_per_peer: Option<f64>,
    /// The processor's time for one computation of all routes and alternates.
    pub spf: Computing,
    /// The share of ways for which nodes have a loop-free alternate.
    pub alternates: f64,
    /// The processor's time that measuring all this took.
    pub took: Duration,
}

/// What a node's return cost on all its links, both ways.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rejoin {
    /// Everything, by class.
    pub sent: Sent,
    /// Of the control bytes, those of adverts.
    pub advert_bytes: u64,
}

impl Rejoin {
    /// Control bytes beside the adverts.
    #[must_use]
    pub fn beside(&self) -> u64 {
        self.sent.control_bytes() - self.advert_bytes
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where chance comes from.
    pub seed: u64,
    /// The sizes of meshes.
    pub sizes: Vec<usize>,
    /// The size of the grid over links like Bluetooth's.
    pub radio_nodes: usize,
    /// The radios with few slots that restart at once.
    pub restart_nodes: usize,
    /// The command that was given, for the page.
    pub command: String,
}

/// Everything that was measured.
#[derive(Clone, Debug)]
pub struct Figures {
    /// What was asked for.
    pub options: Options,
    /// Links like a local network's: by shape, then size.
    pub lan: Vec<Row>,
    /// Meshes for which there is too little memory, and about how many bytes they take.
    pub left_out: Vec<(Shape, usize, u64)>,
    /// How many there were.
    pub memory_bytes: u64,
    /// A grid over links like Bluetooth's.
    pub radio: Row,
    /// All restart at once.
    pub restart: Restart,
}

/// Measures all shapes and sizes that are not kept already, two worlds at a time. `tell` is given a
/// line for each step.
pub fn measure(options: &Options, kept: &Kept, tell: &(dyn Fn(&str) + Sync)) -> Figures {
    let meshes = Shape::ALL
        .iter()
        .flat_map(|shape| options.sizes.iter().map(|nodes| (*shape, *nodes, false)));
    let all: Vec<Job> = meshes
        .chain([(Shape::Grid, options.radio_nodes, true)])
        .map(|(shape, nodes, is_radio)| Job { shape, nodes, is_radio })
        .collect();
    let memory_bytes = jobs::memory_bytes();
    let (known, unknown): (Vec<_>, Vec<_>) = all
        .into_iter()
        .map(|job| (job, kept.find(&job, options.seed)))
        .partition(|(_, row)| row.is_some());
    let known: Vec<_> = known.into_iter().filter_map(|(job, row)| Some((job, row?))).collect();
    let unknown = unknown.into_iter().map(|(job, _)| job).collect();
    let (jobs, too_big) = Jobs::new(unknown, memory_bytes);
    for job in &too_big {
        let (name, nodes, gigabytes) = (job.shape.name(), job.nodes, job.bytes() / 1_000_000_000);
        tell(&format!("{name} of {nodes}: left out, it takes about {gigabytes} GB of memory"));
    }
    let restart = restart::measure(options.restart_nodes, options.seed);
    tell(&format!("restart {restart:?}"));
    let rows = Mutex::new(known);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(job) = jobs.next() {
                    let medium = if job.is_radio { Medium::radio(8) } else { Medium::lan() };
                    let row = row(job.shape, job.nodes, medium, options.seed, tell);
                    jobs.done(&job);
                    if let Err(error) = kept.add(&job, options.seed, &row) {
                        tell(&format!("a row is not kept: {error}"));
                    }
                    rows.lock().expect("no thread panics with the rows").push((job, row));
                }
            });
        }
    });
    let rows = rows.into_inner().expect("no thread panicked");
    let (radio, mut lan): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(job, _)| job.is_radio);
    lan.sort_by_key(|(job, _)| (job.shape, job.nodes));
    Figures {
        options: options.clone(),
        lan: lan.into_iter().map(|(_, row)| row).collect(),
        left_out: too_big.iter().map(|job| (job.shape, job.nodes, job.bytes())).collect(),
        memory_bytes,
        radio: radio.into_iter().next().expect("the radio's mesh is never left out").1,
        restart,
    }
}

/// Measures one mesh.
pub fn row(
    shape: Shape,
    nodes: usize,
    medium: Medium,
    seed: u64,
    tell: &(dyn Fn(&str) + Sync),
) -> Row {
    let begin = spf::cpu_time();
    let name = format!("{} of {nodes}, {}", shape.name(), medium.profile.kind.name());
    let tell = |what: String| tell(&format!("{name}: {what}"));
    let mut mesh = Mesh::new(shape, nodes, medium, seed);
    let edges = mesh.edges.len();
    let alone = mesh.alone();
    let cold = mesh.complete(edges, COLD_LIMIT);
    let cold_sent = mesh.sent();
    let peers_seen = mesh.mean(|host| host.view().peers as f64);
    tell(format!("all see all after {cold:?}, {} bytes", cold_sent.total()));
    mesh.world.run(SETTLE);
    let alternates = alternates::coverage(&mesh);
    let bytes_per_peer =
        cold.map(|_| (mesh.mean(|host| host.memory() as f64) - alone) / (nodes - 1) as f64);
    let before = mesh.sent();
    mesh.world.run(IDLE);
    let idle_sent = mesh.sent().since(&before);
    tell(format!("idle {} bytes", idle_sent.total()));
    let repair = repairs(&mut mesh, seed);
    tell(format!("repair {repair:?}"));
    let rejoin = cold.and_then(|_| rejoin(&mut mesh));
    let heal = cold.and_then(|_| heal(&mut mesh));
    tell(format!("rejoin {rejoin:?}, heal {heal:?}"));
    let churn_sent = churn(&mut mesh, seed);
    tell(format!("churn {} bytes", churn_sent.total()));
    let defects = mesh.world.defects();
    assert!(defects.is_empty(), "{name}: {:?}", &defects[..defects.len().min(3)]);
    Row {
        shape,
        nodes,
        edges,
        cold,
        peers_seen,
        cold_sent,
        idle_sent,
        idle_time: IDLE,
        churn_sent,
        churn_time: churn_time(nodes),
        repair_with: repair.with_alternate,
        repair_without: repair.without,
        repair_graphs: repair.graphs,
        heal,
        rejoin,
        bytes_per_peer,
        spf: spf::cost(nodes, &mesh.edges),
        alternates,
        took: spf::cpu_time().saturating_sub(begin),
    }
}

/// Loses some links one after the other; the worst of all.
fn repairs(mesh: &mut Mesh, seed: u64) -> Repair {
    let mut chance = Chance::new(seed).fork(101);
    let mut worst = Repair::default();
    for _ in 0..LOSSES {
        let edge = mesh.edges[chance.index(mesh.edges.len())];
        let one = repair::lose_one(mesh, edge);
        worst = Repair {
            with_alternate: worst.with_alternate.with(one.with_alternate),
            without: worst.without.with(one.without),
            graphs: worst.graphs.max(one.graphs),
        };
    }
    worst
}

/// Takes the node in the middle away for a while; what crosses its links when it is back.
fn rejoin(mesh: &mut Mesh) -> Option<Rejoin> {
    let place = mesh.nodes() / 2;
    let edges = mesh.edges_at(place);
    mesh.sever(&edges);
    mesh.world.run(APART);
    let node = mesh.node_at[place];
    let before = *mesh.world.host(node).sent();
    mesh.connect(&edges);
    mesh.complete(mesh.edges.len(), COLD_LIMIT)?;
    mesh.world.run(Duration::from_secs(3));
    let own = mesh.world.host(node).sent().since(&before);
    // What the others sent on the links that stand now, which are new.
    let key = mesh.world.host(node).key();
    let others = mesh.world.hosts().iter().flat_map(|host| {
        let to_it = host.links_up().filter(|(_, peer)| *peer == key).map(|(link, _)| link);
        to_it.filter_map(|link| host.links().find(|(other, ..)| *other == link)).map(|(.., s)| *s)
    });
    let sent = others.fold(own, |sum, sent| sum.plus(&sent));
    let now = mesh.world.now();
    let advert_bytes = mesh.world.hosts().iter().flat_map(|host| {
        let views = host.node().into_iter().flat_map(move |core| core.links(host.clock(now)));
        views.filter(move |view| host.key() == key || view.peer == Some(key))
    });
    let advert_bytes = advert_bytes.map(|view| view.sync.advert_bytes_sent).sum();
    mesh.world.run(SETTLE);
    Some(Rejoin { sent, advert_bytes })
}

/// Parts the mesh into two halves and puts them together again.
fn heal(mesh: &mut Mesh) -> Option<Duration> {
    let distances = mesh.distances(0, &mesh.edges);
    let mut order: Vec<usize> = (0..mesh.nodes()).collect();
    order.sort_by_key(|place| (distances[*place], *place));
    let mut is_near = vec![false; mesh.nodes()];
    order.iter().take(mesh.nodes() / 2).for_each(|place| is_near[*place] = true);
    let between: Vec<_> =
        mesh.edges.iter().copied().filter(|(a, b)| is_near[*a] != is_near[*b]).collect();
    mesh.sever(&between);
    mesh.world.run(APART);
    mesh.connect(&between);
    let heal = mesh.complete(mesh.edges.len(), COLD_LIMIT);
    mesh.world.run(SETTLE);
    heal
}

fn churn_time(nodes: usize) -> Duration {
    CHURN.min(Duration::from_secs_f64(CHURN_MOVES / (nodes as f64 * CHURN_PART)))
}

/// Has nodes change places; what all nodes send meanwhile.
fn churn(mesh: &mut Mesh, seed: u64) -> Sent {
    let mut chance = Chance::new(seed).fork(102);
    // Two move at each change.
    let pause = Duration::from_secs_f64(2.0 / (mesh.nodes() as f64 * CHURN_PART));
    let before = mesh.sent();
    let end = mesh.world.now() + churn_time(mesh.nodes());
    let mut next = mesh.world.now();
    while next < end {
        let (a, b) = (chance.index(mesh.nodes()), chance.index(mesh.nodes()));
        if a != b {
            mesh.swap(a, b);
        }
        next = (next + pause).min(end);
        mesh.world.run_until(next);
    }
    mesh.sent().since(&before)
}

impl Mesh {
    /// What a node has allocated that knows nobody: the mean of all, before anything happened.
    fn alone(&mut self) -> f64 {
        self.world.run(Duration::from_micros(1));
        self.mean(|host| host.memory() as f64)
    }

    fn mean(&self, figure: impl Fn(&crate::host::Host) -> f64) -> f64 {
        self.world.hosts().iter().map(figure).sum::<f64>() / self.nodes() as f64
    }
}
