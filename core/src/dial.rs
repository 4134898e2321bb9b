//! Whom to dial, when, and which of two links stays (protocol 3.4).
//!
//! Drivers only report what they see; every decision is here: candidates from sightings and
//! configuration, attempts beside each other, jittered and capped back-off, glare by peer key,
//! capacity.

mod candidate;
mod glare;
pub mod slots;
mod transport;
pub mod upgrade;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use candidate::{Candidate, Phase};
pub use glare::{Standing, keeps_first};
use slots::Reach;
use transport::Transport;
use upgrade::Present;

use crate::entropy::{self, Entropy};
use crate::id::{Address, DialId, LinkId, PeerKey, TransportId};
use crate::io::{DialFailure, Endpoint, Sighting, TransportProfile};
use crate::limits::{DIAL_BACKOFF_MAX, DIAL_DEFERENCE_PART};
use crate::link::LinkEnd;
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
    /// There is no slot for this link, at one end or the other, before so long.
    Full(Duration),
    /// The link was not needed any more: nothing failed. One that nobody needs is not made for so
    /// long.
    Unneeded(Duration),
    /// The endpoint is this very node.
    Myself,
}

/// An endpoint that does not lead to its peer for now, as hosts show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it was sighted.
    pub transport: TransportId,
    /// What was dialled.
    pub endpoint: Endpoint,
    /// Whom its beacon or an earlier link showed.
    pub address: Option<Address>,
    /// Why it failed last.
    pub reason: RefusalReason,
    /// How often it failed since a link by it lasted.
    pub failures: u32,
    /// Before this it is not dialled; afterwards where there is a reason to. `None` while it is
    /// being dialled.
    pub next_try: Option<Instant>,
}

/// Why an endpoint did not lead to its peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The dial came to nothing.
    #[error("{0}")]
    Dial(DialFailure),
    /// It made a link, and that ended.
    #[error("{0}")]
    Link(LinkEnd),
}

impl Dialer {
    /// The dialer of the node with the address `own`.
    #[must_use]
    pub fn new(own: Address, network: Network) -> Self {
        Self { own, network, transports: BTreeMap::new(), next_dial: 0 }
    }

    /// Takes a transport in.
    pub fn add_transport(&mut self, transport: TransportId, profile: TransportProfile) {
        self.transports.insert(transport, Transport::new(self.own, profile));
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
        if !entry.make_room(now, sighting.endpoint.host()) {
            entry.refused += 1;
            return;
        }
        // The higher address lets the lower one dial first; a beacon may delay, never prevent.
        let deference = entry.profile.dial_timeout / DIAL_DEFERENCE_PART;
        let next_at = match address {
            None => now,
            Some(address) => entry.turn(address).unwrap_or_else(|| {
                let defers = address < self.own;
                let begin = entry.begin(now, entropy);
                begin + if defers { jitter(entropy, deference) } else { Duration::ZERO }
            }),
        };
        let configured = sighting.beacon.is_none();
        let on_demand = entry.promise().is_some();
        let candidate = Candidate::new(address, configured, on_demand, entry.sighted, next_at);
        entry.sighted += 1;
        entry.candidates.insert(sighting.endpoint, candidate);
    }

    /// An endpoint is not there any more. Configured ones stay, and one that failed on demand is
    /// remembered, so that it gains nothing by being sighted anew.
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
        reason: &DialFailure,
    ) -> Option<Endpoint> {
        let entry = self.transports.get_mut(&transport)?;
        let (endpoint, candidate) = entry.dialling(dial)?;
        let endpoint = endpoint.clone();
        candidate.on_failure(now, entropy, Failure::Ordinary);
        candidate.reason = Some(RefusalReason::Dial(reason.clone()));
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
            } else if candidate.is_of(&peer) {
                match candidate.phase {
                    Phase::Dialling(dial) => orders.push(DialOrder::Cancel(transport, dial)),
                    Phase::Idle { .. } => candidate.on_way_proven(now),
                    Phase::Linked(_) | Phase::Never => {}
                }
            }
        }
        orders
    }

    /// A link is about to be gone: what hosts are shown of where it led, as long as that lasts.
    pub fn note_end(&mut self, link: LinkId, end: &LinkEnd) {
        if let Some(entry) = self.transports.get_mut(&link.transport) {
            let made_it = |c: &&mut Candidate| c.phase == Phase::Linked(link);
            if let Some(candidate) = entry.candidates.values_mut().find(made_it) {
                candidate.reason = Some(RefusalReason::Link(end.clone()));
            }
        }
    }

    /// A link is gone, to `peer` if it is known; `failure` says why when it is the peer's or the
    /// endpoint's fault.
    pub fn handle_link_down(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        transport: TransportId,
        (link, peer): (LinkId, Option<PeerKey>),
        failure: Failure,
    ) {
        let Some(entry) = self.transports.get_mut(&transport) else { return };
        entry.links.remove(&link);
        if failure == Failure::Myself {
            entry.candidates.retain(|_, candidate| {
                candidate.phase != Phase::Linked(link) || candidate.configured
            });
        }
        let full = matches!(failure, Failure::Full(_));
        for candidate in entry.candidates.values_mut() {
            let idle = matches!(candidate.phase, Phase::Idle { .. });
            let is_of_full = full && idle && peer.is_some_and(|peer| candidate.is_of(&peer));
            if let Failure::Unneeded(rest) = failure
                && peer.is_some_and(|peer| candidate.is_of(&peer))
            {
                candidate.rests_until = now + rest;
            }
            if candidate.phase == Phase::Linked(link) || is_of_full {
                candidate.on_failure(now, entropy, failure);
            }
            if candidate.doubted == Some(link) {
                (candidate.doubted, candidate.reach) = (None, None);
            }
        }
    }

    /// A link has become suspect, or is trusted again. Where it leads may be dialled beside it.
    pub fn handle_doubt(
        &mut self,
        now: Instant,
        transport: TransportId,
        link: LinkId,
        suspect: bool,
    ) {
        if let Some(entry) = self.transports.get_mut(&transport) {
            for candidate in entry.candidates.values_mut() {
                candidate.on_doubt(now, link, suspect);
            }
        }
    }

    /// Links or routes have changed: who is linked, who reachable, is asked again.
    pub fn handle_change(&mut self) {
        for entry in self.transports.values_mut() {
            entry.candidates.values_mut().for_each(|candidate| candidate.reach = None);
        }
    }

    /// To these neighbours a faster link would pay, by what is known of the link that each has. They
    /// are dialled where one is made on demand and promises to be fast enough.
    pub fn handle_wanted(&mut self, neighbours: &BTreeMap<Address, Present>) {
        self.transports.values_mut().for_each(|entry| entry.want(neighbours));
    }

    /// Whether links of a transport are made on demand.
    #[must_use]
    pub fn is_on_demand(&self, transport: TransportId) -> bool {
        self.transports.get(&transport).is_some_and(|entry| entry.promise().is_some())
    }

    /// Whether there is such a transport.
    #[must_use]
    pub fn has_on_demand(&self) -> bool {
        self.transports.values().any(|entry| entry.promise().is_some())
    }

    /// The endpoints that failed and have made no link since, but for those whose peer has one there.
    pub fn refusals(&self) -> impl Iterator<Item = Refusal> + '_ {
        self.transports.iter().flat_map(|(transport, entry)| {
            let is_out = |candidate: &Candidate| candidate.reach != Some(Reach::Linked);
            let out = entry.candidates.iter().filter(move |(_, candidate)| is_out(candidate));
            out.filter_map(|(endpoint, candidate)| {
                Some(Refusal {
                    transport: *transport,
                    endpoint: endpoint.clone(),
                    address: candidate.address,
                    reason: candidate.reason.clone()?,
                    failures: candidate.failures,
                    next_try: match candidate.phase {
                        Phase::Idle { next_at } => Some(next_at),
                        Phase::Dialling(_) | Phase::Linked(_) | Phase::Never => None,
                    },
                })
            })
        })
    }

    /// The slots of a transport that are taken, and how many it has. Links whose handshake is not
    /// done take none: strangers could take them all.
    #[must_use]
    pub fn slots(&self, transport: TransportId) -> (usize, usize) {
        let slots = |entry: &Transport| (entry.links.len(), entry.profile.links_max);
        self.transports.get(&transport).map_or((0, 0), slots)
    }

    /// Whether a peer is in sight of a transport that is out of reach otherwise.
    #[must_use]
    pub fn hears_unreachable(&self, now: Instant, transport: TransportId) -> bool {
        self.transports.get(&transport).is_some_and(|entry| entry.hears_unreachable(now))
    }

    /// What is to be dialled or given up now. `reach` tells how a peer is reached, as seen from
    /// a transport.
    pub fn poll(
        &mut self,
        now: Instant,
        entropy: &mut dyn Entropy,
        reach: &dyn Fn(TransportId, Address) -> Reach,
    ) -> Vec<DialOrder> {
        let mut orders = Vec::new();
        for (transport, entry) in &mut self.transports {
            entry.candidates.retain(|_, candidate| !candidate.is_over(now));
            entry.look(&|address| reach(*transport, address));
            while let Some(endpoint) = entry.next(now, entropy) {
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
            let cancelled = entry.cancel(now);
            orders.extend(cancelled.into_iter().map(|dial| DialOrder::Cancel(*transport, dial)));
        }
        orders
    }

    /// When to call [`Dialer::poll`] without further input.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        earliest(self.transports.values().map(Transport::next_timeout))
    }

    /// Sightings that were refused because a table was full.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.transports.values().map(|entry| entry.refused).sum()
    }
}

#[cfg(test)]
impl Dialer {
    fn knows(&self, transport: TransportId, endpoint: &Endpoint) -> bool {
        self.transports.get(&transport).is_some_and(|e| e.candidates.contains_key(endpoint))
    }

    /// Leaves a transport that many slots, whatever stands on it.
    pub(crate) fn set_links_max(&mut self, transport: TransportId, links_max: usize) {
        if let Some(entry) = self.transports.get_mut(&transport) {
            entry.profile.links_max = links_max;
        }
    }
}

/// A time between half and one and a half of `mean`.
pub(crate) fn jitter(entropy: &mut dyn Entropy, mean: Duration) -> Duration {
    let micros = u64::try_from(mean.min(DIAL_BACKOFF_MAX * 60).as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros / 2 + entropy::below(entropy, micros + 1))
}

#[cfg(test)]
mod tests;
