//! All nodes of a mesh of radios with few slots restart in one moment.

use std::collections::BTreeMap;

use hedgerow_core::id::LinkId;
use hedgerow_core::time::Duration;

use crate::chance::Chance;
use crate::medium::Medium;
use crate::plan::Plan;
use crate::topology;
use crate::world::{Ending, World};

/// Links of a radio.
pub const SLOTS: usize = 5;
/// Others in reach of a node, on average: twice as many as it has slots.
pub const IN_REACH: f64 = 10.0;
/// A mesh that does not come together or to rest is given up after this.
const LIMIT: Duration = Duration::from_secs(600);
/// Nothing but keepalives for so long is rest.
const REST: Duration = Duration::from_secs(30);

/// How a mesh came up.
#[derive(Clone, Debug)]
pub struct Start {
    /// From the start of all nodes until every graph has all peers and all links, for the first
    /// time.
    pub one_mesh: Option<Duration>,
    /// From the start until the last frame for a while that is no keepalive.
    pub quiet: Option<Duration>,
    /// The most that one direction of a link carried of control in a second, as a share of what it
    /// can carry.
    pub peak_share: f64,
    /// The same for all links of a node together, in bytes.
    pub peak_node_bytes: u64,
    /// The largest such share later than 30 s after the start.
    pub late_share: f64,
    /// Bytes that a node sent on average, without handshakes.
    pub control_bytes: f64,
    /// Bytes of handshakes that a node sent on average.
    pub handshake_bytes: f64,
    /// Links made, each counted once.
    pub links_made: u64,
    /// Links that stand in the end.
    pub links_standing: usize,
    /// Dials begun.
    pub dials: u64,
    /// Bytes that a node has allocated on average at rest.
    pub memory: f64,
    /// The same at the fullest second.
    pub memory_peak: f64,
}

/// Two starts of one mesh.
#[derive(Clone, Debug)]
pub struct Restart {
    /// How many nodes.
    pub nodes: usize,
    /// From cold.
    pub first: Start,
    /// All at once, after they were at rest: everybody has lost all it knew.
    pub again: Start,
}

/// Starts `nodes` radios at once, and all of them again.
#[must_use]
pub fn measure(nodes: usize, seed: u64) -> Restart {
    let chance = Chance::new(seed).fork(nodes as u64).fork(201);
    let edges = topology::geometric(nodes, IN_REACH, &mut chance.fork(1));
    let plan = Plan::new(chance.fork(2).bits(), nodes, Medium::radio(SLOTS)).swift();
    let mut world = World::new(plan);
    world.connect_all(0, &edges);
    let first = watch(&mut world);
    (0..nodes).for_each(|node| world.crash(node, Ending::Told));
    (0..nodes).for_each(|node| world.start(node));
    let again = watch(&mut world);
    let defects = world.defects();
    assert!(defects.is_empty(), "{:?}", &defects[..defects.len().min(3)]);
    Restart { nodes, first, again }
}

/// What all links and nodes carried up to some moment.
struct Seen {
    links: BTreeMap<(usize, LinkId), u64>,
    nodes: Vec<u64>,
    /// Frames that are no keepalives.
    frames: u64,
}

fn look(world: &World) -> Seen {
    let hosts = || world.hosts().iter().enumerate();
    let links = hosts().flat_map(|(node, host)| {
        host.links().map(move |(link, _, sent)| ((node, link), sent.control_bytes()))
    });
    let frames = |(_, host): (usize, &crate::host::Host)| {
        host.sent().control.frames + host.sent().handshake.frames
    };
    Seen {
        links: links.collect(),
        nodes: hosts().map(|(_, host)| host.sent().control_bytes()).collect(),
        frames: hosts().map(frames).sum(),
    }
}

/// Watches a start second by second until all is at rest.
fn watch(world: &mut World) -> Start {
    let (begin, nodes) = (world.now(), world.hosts().len() as f64);
    let sum = |world: &World, of: fn(&crate::host::Host) -> u64| -> u64 {
        world.hosts().iter().map(of).sum()
    };
    let control = |host: &crate::host::Host| host.sent().control_bytes();
    let handshake = |host: &crate::host::Host| host.sent().handshake.bytes;
    let links = |host: &crate::host::Host| host.links_and_dials_made().0;
    let dials = |host: &crate::host::Host| host.links_and_dials_made().1;
    let counts = |world: &World| [control, handshake, links, dials].map(|of| sum(world, of));
    let memory =
        |world: &World| world.hosts().iter().map(|host| host.memory() as f64).sum::<f64>() / nodes;
    let rate = world.plan().media[0].estimate.rate_bytes_per_s as f64;
    let (before, mut seen) = (counts(world), look(world));
    let (mut one_mesh, mut last_frame, mut quiet) = (None, begin, None);
    let (mut peak_share, mut late_share, mut peak_node_bytes) = (0.0_f64, 0.0_f64, 0);
    let mut memory_peak = 0.0_f64;
    while quiet.is_none() && world.now().since(begin) < LIMIT {
        let end = world.now() + Duration::from_secs(1);
        if one_mesh.is_none() && world.run_until_true(end, is_one) {
            one_mesh = Some(world.now().since(begin));
        }
        world.run_until(end);
        let now = look(world);
        let is_late = world.now().since(begin) > Duration::from_secs(30);
        for (link, bytes) in &now.links {
            let share = (bytes - seen.links.get(link).unwrap_or(&0)) as f64 / rate;
            peak_share = peak_share.max(share);
            late_share = late_share.max(if is_late { share } else { 0.0 });
        }
        let of_nodes = now.nodes.iter().zip(&seen.nodes).map(|(now, before)| now - before);
        peak_node_bytes = of_nodes.fold(peak_node_bytes, u64::max);
        memory_peak = memory_peak.max(memory(world));
        if now.frames != seen.frames {
            last_frame = world.now();
        } else if one_mesh.is_some() && world.now().since(last_frame) >= REST {
            quiet = Some(last_frame.since(begin));
        }
        seen = now;
    }
    let [control, handshake, links, dials] = {
        let (now, mut of) = (counts(world), before);
        of.iter_mut().zip(now).for_each(|(before, now)| *before = now - *before);
        of
    };
    Start {
        one_mesh,
        quiet,
        peak_share,
        peak_node_bytes,
        late_share,
        control_bytes: control as f64 / nodes,
        handshake_bytes: handshake as f64 / nodes,
        links_made: links / 2,
        links_standing: world.truth().edges.len(),
        dials,
        memory: memory(world),
        memory_peak,
    }
}

/// Every graph has all peers and all links. Cheap to ask while it is not so.
fn is_one(world: &World) -> bool {
    let others = world.hosts().len() - 1;
    world.hosts().iter().all(|host| host.view().peers == others) && world.all_see_all()
}
