//! The table of neighbours: peers with at least one link up.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::told::Hints;
use super::usage::Usage;
use super::{Node, Seldom};
use crate::advert::Sync;
use crate::id::{Instance, LinkId, PeerKey};
use crate::io::{ApproximateDistance, ConnectionType, Endpoint};
use crate::link::{Link, LinkCost, LinkState};
use crate::route::RelayQueue;
use crate::time::{Duration, Instant};
use crate::wire::advert::Cost;

/// A peer with links to it.
#[derive(Debug)]
pub(super) struct Neighbour {
    /// The run that all its links belong to.
    pub(super) instance: Instance,
    /// Its links that are up, the cheapest first: that one carries data and adverts.
    pub(super) links: Vec<LinkId>,
    pub(super) sync: Sync,
    pub(super) relay: RelayQueue,
    /// Relayed frames and own packets take turns.
    pub(super) relay_turn: bool,
    pub(super) refused: Seldom,
    pub(super) hints: Hints,
    /// Two links over one transport: one of them goes.
    pub(super) contest: Option<Contest>,
}

/// An older link that must prove itself alive before it may win against a newer one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contest {
    pub(super) older: LinkId,
    pub(super) newer: LinkId,
    pub(super) since: Instant,
    pub(super) deadline: Instant,
}

/// How long an older link has to answer.
pub(super) const CONTEST: Duration = Duration::from_secs(2);

impl Neighbour {
    pub(super) fn new(instance: Instance) -> Self {
        Self {
            instance,
            links: Vec::new(),
            sync: Sync::new(),
            relay: RelayQueue::default(),
            relay_turn: false,
            refused: Seldom::default(),
            hints: Hints::default(),
            contest: None,
        }
    }

    /// The link that carries data.
    pub(super) fn active(&self) -> Option<LinkId> {
        self.links.first().copied()
    }
}

impl Node {
    /// Puts the cheapest link of a peer first; of equal ones the newest, which was proven last. One
    /// that broke several times lately comes after those that did not, as long as others are not
    /// told of it either.
    pub(super) fn rank_links(&mut self, key: PeerKey) {
        let Some(neighbour) = self.neighbours.get_mut(&key) else { return };
        let (links, own, address) = (&self.links, &self.own, key.address());
        neighbour.links.sort_by_cached_key(|link| {
            let entry = links.get(link)?;
            let shaky = !own.is_steady(address, &entry.kind);
            Some((entry.is_suspect(), shaky, entry.cost(), Reverse(entry.since)))
        });
    }

    /// Ranks the links of every neighbour that has several.
    pub(super) fn rank_all_links(&mut self) {
        let several = self.neighbours.iter().filter(|(_, neighbour)| neighbour.links.len() > 1);
        let several: Vec<PeerKey> = several.map(|(key, _)| *key).collect();
        several.into_iter().for_each(|key| self.rank_links(key));
    }
}

/// One link and what the node keeps beside it.
#[derive(Debug)]
pub(super) struct LinkEntry {
    pub(super) link: Link,
    pub(super) kind: ConnectionType,
    pub(super) endpoint: Endpoint,
    pub(super) cost: LinkCost,
    pub(super) usage: Usage,
    /// What its driver tells, as it told it last.
    pub(super) distance: Option<ApproximateDistance>,
    /// Whether this node dialled.
    pub(super) dialled: bool,
    pub(super) since: Instant,
    /// Set once the handshake is done.
    pub(super) peer: Option<LinkPeer>,
    /// The driver lost it: no close command is due.
    pub(super) lost: bool,
}

/// Who is at the other end of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinkPeer {
    pub(super) key: PeerKey,
    pub(super) address: crate::id::Address,
    pub(super) instance: Instance,
    pub(super) hash: [u8; 32],
    pub(super) payload_bytes_max: usize,
}

impl LinkEntry {
    /// The link's cost now. A suspect link costs more than any way around it.
    pub(super) fn cost(&self) -> Cost {
        self.cost.told(self.is_suspect())
    }

    /// A round trip was measured; says whether that changed the cost.
    pub(super) fn on_measured(&mut self, now: Instant, rtt: Duration) -> bool {
        self.cost.on_rtt(now, rtt, self.link.load_bytes_per_s(now))
    }

    /// Whether somebody came in and has not shown who it is.
    pub(super) fn is_half_open(&self) -> bool {
        !self.dialled && self.link.state() == LinkState::Handshaking
    }

    /// Whether nothing was heard for a while.
    pub(super) fn is_suspect(&self) -> bool {
        self.link.state() == LinkState::Suspect
    }

    /// The base-2 logarithm of the largest payload.
    pub(super) fn payload_log2(&self) -> u8 {
        let bytes = self.peer.map_or(0, |peer| peer.payload_bytes_max);
        u8::try_from(bytes.checked_ilog2().unwrap_or(0)).unwrap_or(0)
    }
}
