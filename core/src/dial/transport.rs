//! One transport: the endpoints sighted there, its slots, and whose turn it is.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::candidate::{Candidate, Phase};
use super::slots::{self, Reach};
use super::upgrade::{self, Present};
use super::{STAGGER, jitter};
use crate::allowance::Allowance;
use crate::entropy::{self, Entropy};
use crate::id::{Address, DialId, LinkId};
use crate::io::{Dialling, Endpoint, LinkEstimate, TransportProfile};
use crate::limits::{
    DEMAND_REACH_WAIT, DIAL_CROWD, DIAL_CROWD_SPREAD, DIAL_DEFERENCE_PART, DIAL_LAST_SLOT_WAIT,
    DIAL_SPARE_WAIT, DIALS_PER_S, SIGHTINGS_EVICTED_PER_S, SIGHTINGS_MAX,
};
use crate::time::{Duration, Instant, earliest};

#[derive(Debug)]
pub(super) struct Transport {
    own: Address,
    pub(super) profile: TransportProfile,
    pub(super) candidates: BTreeMap<Endpoint, Candidate>,
    /// Links whose handshake is done.
    pub(super) links: BTreeSet<LinkId>,
    /// Candidates so far.
    pub(super) sighted: u64,
    /// Sightings refused because the table was full.
    pub(super) refused: u64,
    /// Dials that may begin.
    rate: Allowance,
    /// Sightings that may take another one's place.
    evictions: Allowance,
    /// On demand: the neighbours to whom a link pays.
    wanted: BTreeSet<Address>,
    pauses: Pauses,
}

/// Before a peer out of reach is dialled, where that takes the last slot or is dear; before a
/// faster link is, which its peer may be dialling; and before a link that is not needed.
#[derive(Debug, Default)]
struct Pauses {
    reach: Pause,
    upgrade: Pause,
    spare: Pause,
}

impl Pauses {
    fn of(&mut self, purpose: Purpose) -> &mut Pause {
        match purpose {
            // A replacement never waits.
            Purpose::Replacement | Purpose::Reach => &mut self.reach,
            Purpose::Upgrade => &mut self.upgrade,
            Purpose::Spare => &mut self.spare,
        }
    }

    fn until(&self, purpose: Purpose) -> Option<Instant> {
        match purpose {
            Purpose::Replacement => None,
            Purpose::Reach => self.reach.until,
            Purpose::Upgrade => self.upgrade.until,
            Purpose::Spare => self.spare.until,
        }
    }
}

/// Lets something that has become possible wait, so that not all nodes do it at once.
#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
}

impl Pause {
    /// Whether the wait is over; it begins with the first question.
    fn is_over(&mut self, now: Instant, wait: impl FnOnce() -> Duration) -> bool {
        let until = *self.until.get_or_insert_with(|| now + wait());
        let over = until <= now;
        if over {
            self.until = None;
        }
        over
    }
}

/// What an idle candidate would be dialled for, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// Another link in place of a suspect one.
    Replacement,
    /// A peer that is out of reach otherwise.
    Reach,
    /// A faster link, on demand, to a neighbour for whom data waits.
    Upgrade,
    /// Another way to a peer that is reachable.
    Spare,
}

impl Transport {
    pub(super) fn new(own: Address, profile: TransportProfile) -> Self {
        Self {
            own,
            profile,
            candidates: BTreeMap::new(),
            links: BTreeSet::new(),
            sighted: 0,
            refused: 0,
            rate: Allowance::new(DIALS_PER_S),
            evictions: Allowance::new(SIGHTINGS_EVICTED_PER_S),
            wanted: BTreeSet::new(),
            pauses: Pauses::default(),
        }
    }

    /// What a link promises where one is made on demand.
    pub(super) fn promise(&self) -> Option<LinkEstimate> {
        match self.profile.dialled {
            Dialling::InSight => None,
            Dialling::OnDemand { promise } => Some(promise),
        }
    }

    /// For these neighbours more waits than the link that they have is worth.
    pub(super) fn want(&mut self, neighbours: &BTreeMap<Address, Present>) {
        let Some(promise) = self.promise() else { return };
        let gains = neighbours.iter().filter(|(_, present)| upgrade::gains(&promise, present));
        self.wanted = gains.map(|(address, _)| *address).collect();
    }

    pub(super) fn dialling(&mut self, dial: DialId) -> Option<(&Endpoint, &mut Candidate)> {
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

    /// When a newly sighted peer is dialled: in a crowd some time later, as all others that have
    /// just started see the same crowd.
    pub(super) fn begin(&self, now: Instant, entropy: &mut dyn Entropy) -> Instant {
        let crowd = self.candidates.len();
        if crowd < DIAL_CROWD {
            return now;
        }
        let spread = DIAL_CROWD_SPREAD * u32::try_from(crowd).unwrap_or(u32::MAX);
        let micros = u64::try_from(spread.as_micros()).unwrap_or(u64::MAX);
        now + Duration::from_micros(entropy::below(entropy, micros))
    }

    /// When another endpoint of a peer is due, if some of its endpoints are untried yet or being
    /// tried: behind those.
    pub(super) fn turn(&self, address: Address) -> Option<Instant> {
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
    pub(super) fn hasten(&mut self, now: Instant, address: Option<Address>) {
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

    /// Other endpoints of the same peer wait a moment: the first one mostly succeeds. One that
    /// failed waits no longer than that after its back-off, else endpoints that strangers make up
    /// could put it off for ever.
    pub(super) fn stagger(&mut self, address: Option<Address>, until: Instant) {
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

    /// Looks at how the candidates are reached that it does not know of.
    pub(super) fn look(&mut self, reach: &dyn Fn(Address) -> Reach) {
        for candidate in self.candidates.values_mut() {
            candidate.look(reach);
        }
    }

    /// What a candidate would be dialled for with the slots as they are.
    fn purpose(&self, candidate: &Candidate, dials: usize) -> Option<Purpose> {
        if candidate.lost {
            return None;
        }
        let (links, max) = (self.links.len(), self.profile.links_max);
        let used = links + dials;
        let regular = slots::regular(max);
        match candidate.reach {
            Some(Reach::Linked) => None,
            // Its slot is the one that the suspect link has.
            Some(Reach::Doubtful) => Some(Purpose::Replacement),
            None | Some(Reach::Unreachable) => {
                let fits = used < regular || (used < max && dials == 0);
                fits.then_some(Purpose::Reach)
            }
            Some(Reach::Reachable { degree, .. }) => {
                // A peer that is as full as this node may be, or said that it is full, has no
                // slot for links that nobody needs until it loses one.
                let fits = used < regular
                    && degree < regular
                    && candidate.full_at.is_none_or(|full| degree < full);
                let pays = || candidate.address.is_some_and(|of| self.wanted.contains(&of));
                match self.profile.dialled {
                    Dialling::InSight => fits.then_some(Purpose::Spare),
                    Dialling::OnDemand { .. } => (fits && pays()).then_some(Purpose::Upgrade),
                }
            }
        }
    }

    /// When an idle candidate may be dialled for a purpose.
    fn due(candidate: &Candidate, purpose: Purpose) -> Option<Instant> {
        let Phase::Idle { next_at } = candidate.phase else { return None };
        let rests = purpose == Purpose::Spare;
        Some(if rests { next_at.max(candidate.rests_until) } else { next_at })
    }

    /// How long the next dial for a purpose waits once it is possible.
    fn wait(
        &self,
        purpose: Purpose,
        whom: Option<Address>,
        dials: usize,
        entropy: &mut dyn Entropy,
    ) -> Duration {
        let used = self.links.len() + dials;
        let regular = slots::regular(self.profile.links_max);
        match purpose {
            Purpose::Reach if self.promise().is_some() => jitter(entropy, DEMAND_REACH_WAIT),
            // Data may wait at both ends.
            Purpose::Upgrade if whom < Some(self.own) => {
                jitter(entropy, self.profile.dial_timeout / DIAL_DEFERENCE_PART)
            }
            Purpose::Reach if used >= regular && !self.links.is_empty() => {
                jitter(entropy, DIAL_LAST_SLOT_WAIT)
            }
            // The scarcer the slots, the more time for others to need them.
            Purpose::Spare if used * 2 >= regular => {
                let free = u32::try_from(regular - used).unwrap_or(u32::MAX).max(1);
                jitter(entropy, DIAL_SPARE_WAIT / free)
            }
            _ => Duration::ZERO,
        }
    }

    /// The candidate to dial now, if one is due: the most urgent purpose first; of peers out of
    /// reach the one that has waited longest, of the others the one with the longest way; then
    /// the one that failed least, then the one sighted first.
    pub(super) fn next(&mut self, now: Instant, entropy: &mut dyn Entropy) -> Option<Endpoint> {
        let dials = self.dials();
        let due = self.candidates.iter().filter_map(|(endpoint, candidate)| {
            let purpose = self.purpose(candidate, dials)?;
            let due = Self::due(candidate, purpose).filter(|due| *due <= now)?;
            let far = match candidate.reach {
                Some(Reach::Reachable { cost, degree }) => (Reverse(cost), degree),
                _ => (Reverse(0), 0),
            };
            let is_reachable = matches!(purpose, Purpose::Upgrade | Purpose::Spare);
            let waited = if is_reachable { now } else { due };
            let order = (purpose, far, waited, candidate.failures, candidate.order);
            Some((order, candidate.address, endpoint))
        });
        let first = due.min_by_key(|(order, ..)| *order);
        let Some(((purpose, ..), whom, endpoint)) = first else {
            self.pauses = Pauses::default();
            return None;
        };
        let endpoint = endpoint.clone();
        if dials >= self.profile.dials_max {
            return None;
        }
        let wait = self.wait(purpose, whom, dials, entropy);
        let over = wait.is_zero() || self.pauses.of(purpose).is_over(now, || wait);
        (over && self.rate.take(now)).then_some(endpoint)
    }

    /// When somebody is to be dialled next, or a dial to be given up.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let dials = self.dials();
        let may_dial = dials < self.profile.dials_max;
        let opens_at = self.rate.opens_at();
        earliest(self.candidates.values().map(|candidate| match candidate.phase {
            Phase::Idle { .. } if may_dial => {
                let purpose = self.purpose(candidate, dials)?;
                let due = Self::due(candidate, purpose)?;
                let pause = self.pauses.until(purpose);
                Some([opens_at, pause].into_iter().flatten().fold(due, Instant::max))
            }
            Phase::Dialling(_) => Some(candidate.deadline),
            Phase::Idle { .. } | Phase::Linked(_) | Phase::Never => None,
        }))
    }

    /// Dials to give up: they take too long, or there is no slot any more for what they make.
    pub(super) fn cancel(&mut self, now: Instant) -> Vec<DialId> {
        let (links, max) = (self.links.len(), self.profile.links_max);
        let mut cancelled = Vec::new();
        for candidate in self.candidates.values_mut() {
            let Phase::Dialling(dial) = candidate.phase else { continue };
            let is_vain = match candidate.reach {
                Some(Reach::Reachable { .. }) => links >= slots::regular(max),
                Some(Reach::Unreachable) => links >= max,
                None | Some(Reach::Linked | Reach::Doubtful) => false,
            };
            if now >= candidate.deadline || (is_vain && !candidate.cancelled) {
                candidate.cancelled = true;
                candidate.deadline = now + self.profile.dial_timeout;
                cancelled.push(dial);
            }
        }
        cancelled
    }

    /// Whether a peer is in sight that is out of reach and not told to wait.
    pub(super) fn hears_unreachable(&self, now: Instant) -> bool {
        self.candidates.values().any(|candidate| {
            let waits = matches!(candidate.phase, Phase::Idle { next_at } if next_at <= now);
            waits
                && !candidate.lost
                && candidate.address.is_some()
                && candidate.reach == Some(Reach::Unreachable)
        })
    }

    /// Whether there is a place for an endpoint of `host`, once another one has lost its own:
    /// one of the host that has most of them, the newcomer counted in; of equal ones the one that
    /// failed most. Those behind which a peer was found stay, and so do those that never failed,
    /// unless their host has more than one.
    pub(super) fn make_room(&mut self, now: Instant, host: &str) -> bool {
        if self.candidates.len() < SIGHTINGS_MAX {
            return true;
        }
        if !self.evictions.take(now) {
            return false;
        }
        let mut hosts: BTreeMap<&str, usize> = BTreeMap::from([(host, 1)]);
        for endpoint in self.candidates.keys() {
            *hosts.entry(endpoint.host()).or_default() += 1;
        }
        let share = |endpoint: &Endpoint| hosts.get(endpoint.host()).copied().unwrap_or(0);
        let out = self
            .candidates
            .iter()
            .filter(|(_, c)| !c.configured && matches!(c.phase, Phase::Idle { .. }))
            .filter(|(_, candidate)| candidate.peer.is_none())
            .filter(|(endpoint, candidate)| candidate.failures > 0 || share(endpoint) > 1)
            .max_by_key(|(endpoint, candidate)| (share(endpoint), candidate.failures))
            .map(|(endpoint, _)| endpoint.clone());
        out.and_then(|endpoint| self.candidates.remove(&endpoint)).is_some()
    }
}
