//! One endpoint that may lead to a peer.

use super::slots::Reach;
use super::{Failure, RefusalReason, jitter};
use crate::entropy::Entropy;
use crate::id::{Address, DialId, LinkId, PeerKey};
use crate::limits::{
    DEMAND_BACKOFF_MAX, DEMAND_BACKOFF_MIN, DIAL_BACKOFF_MAX, DIAL_BACKOFF_MIN,
    DIAL_FULL_BACKOFF_MAX,
};
use crate::time::{Duration, Instant};

/// A link that lasted so long was a success: the next back-off starts from the shortest wait.
const STEADY: Duration = Duration::from_secs(10);

/// What is known of an endpoint, and what is being done with it.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Whom it leads to: first what its beacon claims, then what was found.
    pub(super) address: Option<Address>,
    pub(super) peer: Option<PeerKey>,
    pub(super) configured: bool,
    /// Its transport is dialled on demand: what failed is remembered for long.
    on_demand: bool,
    /// Its place among the sightings: a driver tells the most promising endpoint of a peer first.
    pub(super) order: u64,
    pub(super) failures: u32,
    /// When the back-off after its last failure is over.
    pub(super) backed_off: Option<Instant>,
    /// Why it failed last, until a link that it made has shown who is there.
    pub(super) reason: Option<RefusalReason>,
    /// Until then nobody needs a link to its peer, as the peer said or was told.
    pub(super) rests_until: Instant,
    pub(super) phase: Phase,
    /// How its peer is reached; `None` until somebody looks.
    pub(super) reach: Option<Reach>,
    /// Its peer said that it is full when it had so many links.
    pub(super) full_at: Option<usize>,
    /// The link that was made by it and is suspect now: another one may be made.
    pub(super) doubted: Option<LinkId>,
    /// While dialling: it was given up.
    pub(super) cancelled: bool,
    /// While dialling: since when, and when to give up.
    pub(super) dialled_at: Instant,
    pub(super) deadline: Instant,
    /// When its link's handshake was done.
    up_since: Option<Instant>,
    /// It vanished while it was in use, or while it is to be remembered: it is not dialled, and goes
    /// when neither is so any more.
    pub(super) lost: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle {
        next_at: Instant,
    },
    Dialling(DialId),
    Linked(LinkId),
    /// It leads back to this node.
    Never,
}

impl Candidate {
    pub(super) fn new(
        address: Option<Address>,
        configured: bool,
        on_demand: bool,
        order: u64,
        next_at: Instant,
    ) -> Self {
        Self {
            address,
            peer: None,
            configured,
            on_demand,
            order,
            failures: 0,
            backed_off: None,
            reason: None,
            rests_until: Instant::EPOCH,
            phase: Phase::Idle { next_at },
            reach: None,
            full_at: None,
            doubted: None,
            cancelled: false,
            dialled_at: next_at,
            deadline: next_at,
            up_since: None,
            lost: false,
        }
    }

    /// Looks how its peer is reached, unless that is known. A peer that said it is full may have
    /// told of its links to others later than that.
    pub(super) fn look(&mut self, reach: &dyn Fn(Address) -> Reach) {
        let of = |address: Option<Address>| address.map_or(Reach::Unreachable, reach);
        let reach = *self.reach.get_or_insert_with(|| of(self.address));
        match reach {
            Reach::Reachable { degree, .. } => {
                self.full_at = self.full_at.map(|full| full.max(degree));
            }
            Reach::Unreachable | Reach::Linked | Reach::Doubtful => {}
        }
    }

    pub(super) fn is_of(&self, peer: &PeerKey) -> bool {
        self.peer == Some(*peer) || self.address == Some(peer.address())
    }

    /// Its link's handshake showed who is there.
    pub(super) fn on_established(&mut self, now: Instant, peer: PeerKey) {
        self.peer = Some(peer);
        self.address = Some(peer.address());
        self.up_since = Some(now);
        self.full_at = None;
        self.reason = None;
        self.reach = Some(Reach::Linked);
    }

    /// A link to its peer that another endpoint or the other end made is up: on demand the way
    /// works again, whatever failed before.
    pub(super) fn on_way_proven(&mut self, now: Instant) {
        if self.on_demand {
            (self.failures, self.backed_off, self.reason) = (0, None, None);
            self.phase = Phase::Idle { next_at: now };
        }
    }

    /// Its link is suspect, or trusted again.
    pub(super) fn on_doubt(&mut self, now: Instant, link: LinkId, suspect: bool) {
        self.reach = None;
        if suspect && self.phase == Phase::Linked(link) {
            self.doubted = Some(link);
            self.phase = Phase::Idle { next_at: now };
        } else if !suspect && self.doubted == Some(link) {
            self.doubted = None;
            if let Phase::Idle { .. } = self.phase {
                self.phase = Phase::Linked(link);
            }
        }
    }

    /// Seen again, perhaps as somebody else: then it starts afresh. On demand what failed was the
    /// way there, and whoever shows beacons cannot have it tried more often.
    pub(super) fn on_sighting(&mut self, now: Instant, address: Option<Address>, configured: bool) {
        self.lost = false;
        self.configured |= configured;
        if address.is_some() && address != self.address {
            self.address = address;
            self.peer = None;
            (self.reach, self.full_at) = (None, None);
            if self.on_demand {
                return;
            }
            (self.failures, self.backed_off) = (0, None);
            if let Phase::Idle { next_at } = &mut self.phase {
                *next_at = (*next_at).min(now);
            }
        }
    }

    /// False when nothing keeps it.
    pub(super) fn on_lost(&mut self) -> bool {
        self.lost = !self.configured;
        let is_remembered = self.on_demand && self.failures > 0;
        self.configured || is_remembered || !matches!(self.phase, Phase::Idle { .. })
    }

    pub(super) fn on_failure(&mut self, now: Instant, entropy: &mut dyn Entropy, failure: Failure) {
        if self.up_since.take().is_some_and(|since| now.since(since) >= STEADY) {
            self.failures = 0;
        }
        self.cancelled = false;
        self.reach = None;
        self.failures = self.failures.saturating_add(1);
        let (least, most) = if self.on_demand {
            (DEMAND_BACKOFF_MIN, DEMAND_BACKOFF_MAX)
        } else {
            (DIAL_BACKOFF_MIN, DIAL_BACKOFF_MAX)
        };
        let wait = match failure {
            Failure::Ordinary => jitter(entropy, backoff(self.failures, least, most)).min(most),
            Failure::Hopeless => jitter(entropy, most.max(DIAL_BACKOFF_MAX * 6)),
            Failure::Later(wait) => wait + jitter(entropy, least),
            // All who are turned away hear the same.
            Failure::Full(wait) => {
                self.full_at = Some(0);
                let wait = lengthen(wait.max(least), self.failures);
                wait + jitter(entropy, wait / 4)
            }
            // It did what it was made for. What it may be dialled for next need not wait.
            Failure::Unneeded(_) => {
                (self.failures, self.backed_off, self.reason) = (0, None, None);
                self.phase = Phase::Idle { next_at: now };
                return;
            }
            Failure::Myself => {
                self.phase = Phase::Never;
                return;
            }
        };
        self.backed_off = Some(now + wait);
        self.phase = Phase::Idle { next_at: now + wait };
    }

    /// Whether it vanished, nothing uses it any more, and nothing is to be remembered of it.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let until = self.backed_off.filter(|_| self.on_demand).map(|at| at + DEMAND_BACKOFF_MAX);
        let is_forgotten = until.is_none_or(|until| until <= now);
        self.lost && is_forgotten && matches!(self.phase, Phase::Idle { .. })
    }
}

/// Doubles from the shortest wait to the longest.
fn backoff(failures: u32, least: Duration, most: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (least * (1 << doublings)).min(most)
}

/// What a full peer asks for, doubled for each time that it was full before.
fn lengthen(wait: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    (wait * (1 << doublings)).min(DIAL_FULL_BACKOFF_MAX.max(wait))
}
