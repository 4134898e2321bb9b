//! Whom to dial, when, and which of two links stays (protocol 3.4).
//!
//! Drivers only report what they see; every decision is here: candidates from sightings and
//! configuration, attempts beside each other, jittered and capped back-off, glare by peer key,
//! capacity.

mod candidate;
mod glare;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use candidate::{Candidate, Phase};
pub use glare::{Standing, keeps_first};

use crate::entropy::{self, Entropy};
use crate::id::{Address, DialId, LinkId, PeerKey, TransportId};
use crate::io::{Endpoint, Sighting, TransportProfile};
use crate::limits::{DIAL_BACKOFF_MAX, DIAL_DEFERENCE_PART, SIGHTINGS_MAX};
use crate::network::Network;
use crate::time::{Duration, Instant, earliest};

/// Several endpoints of one peer are tried this long after one another, in the order in which they
/// were sighted (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Decides whom to dial.
#[derive(Debug)]
pub struct Dialer {
    own: Address,
    network: Network,
    transports: BTreeMap<TransportId, Transport>,
    next_dial: u64,
}

#[derive(Debug)]
struct Transport {
    profile: TransportProfile,
    candidates: BTreeMap<Endpoint, Candidate>,
    /// Links whose handshake is done.
    links: BTreeSet<LinkId>,
    /// Candidates so far.
    sighted: u64,
    /// Sightings refused because the table was full.
    refused: u64,
}

/// What the dialer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialOrder {
    /// Dial this endpoint.
    Dial(TransportId, DialId, Endpoint),
    /// Give this dial up.
    Cancel(TransportId, DialId),
}

/// How an attempt ended that made no lasting link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Worth another try after the usual back-off.
    Ordinary,
    /// Trying soon will not help: another network, an incompatible version.
    Hopeless,
    /// The peer said when to come back.
    Later(Duration),
    /// The endpoint is this very node.
    Myself,
}

impl Dialer {
    /// The dialer of the node with the address `own`.
    #[must_use]
    pub fn new(own: Address, network: Network) -> Self {
        Self { own, network, transports: BTreeMap::new(), next_dial: 0 }
    }

    /// Takes a transport in.
    pub fn add_transport(&mut self, transport: TransportId, profile: TransportProfile) {
        let candidates = BTreeMap::new();
        let entry =
            Transport { profile, candidates, links: BTreeSet::new(), sighted: 0, refused: 0 };
        self.transports.insert(transport, entry);
    }

    /// Forgets a transport and all that was to be dialled there.
    pub fn remove_transport(&mut self, transport: TransportId) {
        self.transports.remove(&transport);
    }

    /// A driver saw somebody, or has an endpoint that a person configured. Beacons of other
    /// networks and of this node are passed over.
    pub fn handle_sighting(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        transport: TransportId,
        sighting: Sighting,
    ) {
        let Some(entry) = self.transports.get_mut(&transport) else { return };
        let address = match &sighting.beacon {
            Some(beacon) => match beacon.address_in(&self.network) {
                Some(address) if address != self.own => Some(address),
                _ => return,
            },
            None => None,
        };
        if let Some(known) = entry.candidates.get_mut(&sighting.endpoint) {
            known.on_sighting(now, address, sighting.beacon.is_none());
            return;
        }
        if entry.candidates.len() >= SIGHTINGS_MAX && !entry.make_room() {
            entry.refused += 1;
            return;
        }
        // The higher address lets the lower one dial first; a beacon may delay, never prevent.
        let deference = entry.profile.dial_timeout / DIAL_DEFERENCE_PART;
        let next_at = match address {
            None => now,
            Some(address) => entry.turn(address).unwrap_or_else(|| {
                let defers = address < self.own;
                now + if defers { jitter(entropy, deference) } else { Duration::ZERO }
            }),
        };
        let configured = sighting.beacon.is_none();
        let candidate = Candidate::new(address, configured, entry.sighted, next_at);
        entry.sighted += 1;
        entry.candidates.insert(sighting.endpoint, candidate);
    }

    /// An endpoint is not there any more. Configured ones stay.
    pub fn handle_lost(&mut self, transport: TransportId, endpoint: &Endpoint) {
        if let Some(entry) = self.transports.get_mut(&transport)
            && let Some(candidate) = entry.candidates.get_mut(endpoint)
            && !candidate.on_lost()
        {
            entry.candidates.remove(endpoint);
        }
    }

    /// A dial made a link, or somebody came in. The handshake follows.
    pub fn handle_link_up(&mut self, transport: TransportId, link: LinkId, dial: Option<DialId>) {
        let Some(entry) = self.transports.get_mut(&transport) else { return };
        if let Some((_, candidate)) = dial.and_then(|dial| entry.dialling(dial)) {
            candidate.phase = Phase::Linked(link);
        }
    }

    /// A dial came to nothing.
    pub fn handle_dial_failed(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        transport: TransportId,
        dial: DialId,
    ) -> Option<Endpoint> {
        let entry = self.transports.get_mut(&transport)?;
        let (endpoint, candidate) = entry.dialling(dial)?;
        let endpoint = endpoint.clone();
        candidate.on_failure(now, entropy, Failure::Ordinary);
        let address = candidate.address;
        entry.hasten(now, address);
        Some(endpoint)
    }

    /// The handshake showed who is behind a link: other attempts for that peer on the same
    /// transport are not needed.
    pub fn handle_established(
        &mut self,
        now: Instant,
        transport: TransportId,
        link: LinkId,
        peer: PeerKey,
    ) -> Vec<DialOrder> {
        let Some(entry) = self.transports.get_mut(&transport) else { return Vec::new() };
        let mut orders = Vec::new();
        entry.links.insert(link);
        for candidate in entry.candidates.values_mut() {
            if candidate.phase == Phase::Linked(link) {
                candidate.on_established(now, peer);
            } else if candidate.is_of(&peer)
                && let Phase::Dialling(dial) = candidate.phase
            {
                orders.push(DialOrder::Cancel(transport, dial));
            }
        }
        orders
    }

    /// A link is gone; `failure` says why when it is the peer's or the endpoint's fault.
    pub fn handle_link_down(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        transport: TransportId,
        link: LinkId,
        failure: Failure,
    ) {
        let Some(entry) = self.transports.get_mut(&transport) else { return };
        entry.links.remove(&link);
        if failure == Failure::Myself {
            entry.candidates.retain(|_, candidate| {
                candidate.phase != Phase::Linked(link) || candidate.configured
            });
        }
        for candidate in entry.candidates.values_mut() {
            if candidate.phase == Phase::Linked(link) {
                candidate.on_failure(now, entropy, failure);
            }
        }
    }

    /// Whether another link fits on a transport. Those whose handshake is not done take no room:
    /// strangers could fill it.
    #[must_use]
    pub fn has_room(&self, transport: TransportId) -> bool {
        let fits = |entry: &Transport| entry.links.len() < entry.profile.links_max;
        self.transports.get(&transport).is_some_and(fits)
    }

    /// What is to be dialled or given up now. `linked` tells whether a link to a peer stands or
    /// comes up on a transport.
    pub fn poll(
        &mut self,
        now: Instant,
        linked: &dyn Fn(TransportId, &Candidacy) -> bool,
    ) -> Vec<DialOrder> {
        let mut orders = Vec::new();
        for (transport, entry) in &mut self.transports {
            entry.candidates.retain(|_, candidate| !candidate.is_over());
            while let Some(endpoint) = entry.next(now, *transport, linked) {
                let dial = DialId(self.next_dial);
                self.next_dial += 1;
                if let Some(candidate) = entry.candidates.get_mut(&endpoint) {
                    candidate.phase = Phase::Dialling(dial);
                    candidate.dialled_at = now;
                    candidate.deadline = now + entry.profile.dial_timeout;
                    let address = candidate.address;
                    entry.stagger(address, now + STAGGER);
                }
                orders.push(DialOrder::Dial(*transport, dial, endpoint));
            }
            for candidate in entry.candidates.values_mut() {
                if let Phase::Dialling(dial) = candidate.phase
                    && now >= candidate.deadline
                {
                    candidate.deadline = now + entry.profile.dial_timeout;
                    orders.push(DialOrder::Cancel(*transport, dial));
                }
            }
        }
        orders
    }

    /// When to call [`Dialer::poll`] without further input.
    #[must_use]
    pub fn next_timeout(
        &self,
        linked: &dyn Fn(TransportId, &Candidacy) -> bool,
    ) -> Option<Instant> {
        earliest(self.transports.iter().flat_map(|(transport, entry)| {
            let room = entry.can_dial();
            entry.candidates.values().map(move |candidate| match candidate.phase {
                Phase::Idle { next_at } => {
                    (room && !linked(*transport, &candidate.candidacy())).then_some(next_at)
                }
                Phase::Dialling(_) => Some(candidate.deadline),
                Phase::Linked(_) | Phase::Never => None,
            })
        }))
    }

    /// Sightings that were refused because a table was full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.transports.values().map(|entry| entry.refused).sum()
    }
}

/// Whom an endpoint may lead to, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidacy {
    /// The address its beacon shows, or that was found behind it.
    pub address: Option<Address>,
}

impl Transport {
    fn dialling(&mut self, dial: DialId) -> Option<(&Endpoint, &mut Candidate)> {
        self.candidates.iter_mut().find(|(_, candidate)| candidate.phase == Phase::Dialling(dial))
    }

    /// Dials under way, and links made by dials whose handshake is.
    fn dials(&self) -> usize {
        let under_way = |candidate: &&Candidate| match candidate.phase {
            Phase::Dialling(_) => true,
            Phase::Linked(link) => !self.links.contains(&link),
            Phase::Idle { .. } | Phase::Never => false,
        };
        self.candidates.values().filter(under_way).count()
    }

    fn can_dial(&self) -> bool {
        let dials = self.dials();
        dials < self.profile.dials_max && self.links.len() + dials < self.profile.links_max
    }

    /// When another endpoint of a peer is due, if some of its endpoints are untried yet or being
    /// tried: behind those.
    fn turn(&self, address: Address) -> Option<Instant> {
        let of_peer = self.candidates.values().filter(|c| c.address == Some(address));
        of_peer
            .filter_map(|candidate| match candidate.phase {
                Phase::Idle { next_at } => (candidate.failures == 0).then_some(next_at),
                Phase::Dialling(_) => Some(candidate.dialled_at + STAGGER),
                Phase::Linked(_) | Phase::Never => None,
            })
            .max()
    }

    /// An endpoint failed before the next one's turn: that one need not wait.
    fn hasten(&mut self, now: Instant, address: Option<Address>) {
        let untried = self.candidates.values_mut().filter(|candidate| {
            address.is_some() && candidate.address == address && candidate.failures == 0
        });
        let waiting = untried.filter_map(|candidate| match &mut candidate.phase {
            Phase::Idle { next_at } => Some((candidate.order, next_at)),
            _ => None,
        });
        if let Some((_, next_at)) = waiting.min_by_key(|(order, next_at)| (**next_at, *order)) {
            *next_at = (*next_at).min(now);
        }
    }

    /// The idle candidate that has waited longest; of equals, the one that failed least, then the
    /// one sighted first.
    fn next(
        &self,
        now: Instant,
        transport: TransportId,
        linked: &dyn Fn(TransportId, &Candidacy) -> bool,
    ) -> Option<Endpoint> {
        if !self.can_dial() {
            return None;
        }
        self.candidates
            .iter()
            .filter_map(|(endpoint, candidate)| match candidate.phase {
                Phase::Idle { next_at } if next_at <= now => Some((next_at, endpoint, candidate)),
                _ => None,
            })
            .filter(|(_, _, candidate)| !linked(transport, &candidate.candidacy()))
            .min_by_key(|(next_at, _, candidate)| (*next_at, candidate.failures, candidate.order))
            .map(|(_, endpoint, _)| endpoint.clone())
    }

    /// Other endpoints of the same peer wait a moment: the first one mostly succeeds. One that
    /// failed waits no longer than that after its back-off, else endpoints that strangers make up
    /// could put it off for ever.
    fn stagger(&mut self, address: Option<Address>, until: Instant) {
        for candidate in self.candidates.values_mut() {
            if address.is_some()
                && candidate.address == address
                && let Phase::Idle { next_at } = &mut candidate.phase
            {
                let latest = candidate.backed_off.map_or(until, |at| at + STAGGER);
                *next_at = (*next_at).max(until.min(latest));
            }
        }
    }

    /// Drops the sighting that failed most, if one failed at all.
    fn make_room(&mut self) -> bool {
        let worst = self
            .candidates
            .iter()
            .filter(|(_, c)| !c.configured && matches!(c.phase, Phase::Idle { .. }))
            .max_by_key(|(_, candidate)| candidate.failures)
            .filter(|(_, candidate)| candidate.failures > 0)
            .map(|(endpoint, _)| endpoint.clone());
        worst.and_then(|endpoint| self.candidates.remove(&endpoint)).is_some()
    }
}

/// A time between half and one and a half of `mean`.
fn jitter(entropy: &mut dyn Entropy, mean: Duration) -> Duration {
    let micros = u64::try_from(mean.min(DIAL_BACKOFF_MAX * 60).as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros / 2 + entropy::below(entropy, micros + 1))
}

#[cfg(test)]
mod tests;
