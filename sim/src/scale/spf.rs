//! What one computation of all routes, and of all alternates, costs: the figures of a real clock.

use hedgerow_core::advert::{Changed, Database, Offer};
use hedgerow_core::id::Instance;
use hedgerow_core::identity::Identity;
use hedgerow_core::io::ConnectionType;
use hedgerow_core::network::Network;
use hedgerow_core::route::{LocalEdge, Table};
use hedgerow_core::time::{Duration, Instant};
use hedgerow_core::wire::advert::{Adjacency, AdvertHead, AdvertKind, Cost, Edge, SignedAdvert};
use hedgerow_core::wire::control::AdvertCopy;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;

/// Computations of which the median counts.
const RUNS: usize = 15;
/// Adverts offered in one second of the database's time: below what it checks.
const OFFERS_PER_S: usize = 200;

/// What computing takes of the processor's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Computing {
    /// All routes once.
    pub routes: Duration,
    /// All alternates once.
    pub alternates: Duration,
}

/// The processor's time for one computation in the middle of a mesh of these edges.
#[must_use]
pub fn cost(nodes: usize, edges: &[(usize, usize)]) -> Computing {
    let keys = Chance::new(nodes as u64);
    let identities: Vec<Identity> =
        (0..nodes).map(|node| Identity::generate(&mut keys.fork(node as u64))).collect();
    let mut near = vec![Vec::new(); nodes];
    for (a, b) in edges {
        near[*a].push(*b);
        near[*b].push(*a);
    }
    let (own, network) = (nodes / 2, Network::open("sim").expect("a short name is one"));
    let mut database = Database::new(network.clone(), identities[own].peer_key());
    let mut now = Instant::from_millis(1_000_000);
    for node in (0..nodes).filter(|node| *node != own) {
        if node % OFFERS_PER_S == 0 {
            now += Duration::from_secs(1);
        }
        let adjacency = adjacency(&near[node], &identities);
        let advert = signed(&identities[node], &network, &adjacency);
        let copy = AdvertCopy { signed_age_s: 0, reachable_age_s: 0, advert: advert.bytes };
        let offer = database.offer(now, identities[node].peer_key(), copy);
        assert!(matches!(offer, Offer::Taken(_)), "{offer:?}");
    }
    let local: Vec<LocalEdge> = near[own]
        .iter()
        .map(|node| LocalEdge {
            peer: identities[*node].peer_key(),
            kind: ConnectionType::AccessPoint,
            cost: COST,
            payload_log2: 16,
            is_suspect: false,
        })
        .collect();
    let (mut routes, mut alternates): (Vec<Duration>, Vec<Duration>) = (0..RUNS)
        .map(|_| {
            let mut table = Table::new(identities[own].peer_key());
            table.update(&database, &Changed::Everything);
            table.set_local(now, &database, local.clone());
            let begin = cpu_time();
            table.compute(now);
            let took = cpu_time().saturating_sub(begin);
            assert!(table.routes().count() > 0 || nodes == 1);
            assert!(table.lacks_alternates());
            let begin = cpu_time();
            table.compute_alternates();
            (took, cpu_time().saturating_sub(begin))
        })
        .unzip();
    routes.sort_unstable();
    alternates.sort_unstable();
    Computing { routes: routes[RUNS / 2], alternates: alternates[RUNS / 2] }
}

const COST: Cost = Cost(40);

fn adjacency(near: &[usize], identities: &[Identity]) -> Adjacency {
    let edge = |node: &usize| Edge {
        peer: identities[*node].address(),
        kind: ConnectionType::AccessPoint,
        cost: COST,
        payload_log2: 16,
    };
    Adjacency { edges: near.iter().map(edge).collect() }
}

fn signed(identity: &Identity, network: &Network, adjacency: &Adjacency) -> SignedAdvert {
    let head = AdvertHead {
        owner: *identity.peer_key().as_bytes(),
        kind: AdvertKind::Adjacency,
        key: 0,
        instance: Instance::from_bytes([1; 8]),
        epoch: 1,
        sequence: 1,
    };
    SignedAdvert::sign(identity, network, head, &adjacency.encode())
}

/// The time this thread has spent on a processor.
pub(super) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or_default(),
        time.tv_nsec.try_into().unwrap_or_default(),
    )
}
