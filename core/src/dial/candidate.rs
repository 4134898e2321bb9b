//! One endpoint that may lead to a peer.

use super::slots::Reach;
use super::{Failure, jitter};
use crate::entropy::Entropy;
use crate::id::{Address, DialId, LinkId, PeerKey};
use crate::limits::{DIAL_BACKOFF_MAX, DIAL_BACKOFF_MIN, DIAL_FULL_BACKOFF_MAX};
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
    /// Its place among the sightings: a driver tells the most promising endpoint of a peer first.
    pub(super) order: u64,
    pub(super) failures: u32,
    /// When the back-off after its last failure is over.
    pub(super) backed_off: Option<Instant>,
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
    /// It vanished while it was in use: it goes when it is idle.
    lost: bool,
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
        order: u64,
        next_at: Instant,
    ) -> Self {
        Self {
            address,
            peer: None,
            configured,
            order,
            failures: 0,
            backed_off: None,
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
        self.reach = Some(Reach::Linked);
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

    /// Seen again, perhaps as somebody else: then it starts afresh.
    pub(super) fn on_sighting(&mut self, now: Instant, address: Option<Address>, configured: bool) {
        self.lost = false;
        self.configured |= configured;
        if address.is_some() && address != self.address {
            self.address = address;
            self.peer = None;
            (self.reach, self.full_at) = (None, None);
            (self.failures, self.backed_off) = (0, None);
            if let Phase::Idle { next_at } = &mut self.phase {
                *next_at = (*next_at).min(now);
            }
        }
    }

    /// False when nothing keeps it.
    pub(super) fn on_lost(&mut self) -> bool {
        self.lost = !self.configured;
        self.configured || !matches!(self.phase, Phase::Idle { .. })
    }

    pub(super) fn on_failure(&mut self, now: Instant, entropy: &mut dyn Entropy, failure: Failure) {
        if self.up_since.take().is_some_and(|since| now.since(since) >= STEADY) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.cancelled = false;
        self.reach = None;
        let wait = match failure {
            Failure::Ordinary => jitter(entropy, backoff(self.failures)).min(DIAL_BACKOFF_MAX),
            Failure::Hopeless => jitter(entropy, DIAL_BACKOFF_MAX * 6),
            Failure::Later(wait) => wait + jitter(entropy, DIAL_BACKOFF_MIN),
            // All who are turned away hear the same.
            Failure::Full(wait) => {
                self.full_at = Some(0);
                let wait = lengthen(wait.max(DIAL_BACKOFF_MIN), self.failures);
                wait + jitter(entropy, wait / 4)
            }
            Failure::Myself => {
                self.phase = Phase::Never;
                return;
            }
        };
        self.backed_off = Some(now + wait);
        self.phase = Phase::Idle { next_at: now + wait };
    }

    /// Whether it vanished and nothing uses it any more.
    pub(super) fn is_over(&self) -> bool {
        self.lost && matches!(self.phase, Phase::Idle { .. })
    }
}

/// Doubles from the shortest wait to the longest.
fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (DIAL_BACKOFF_MIN * (1 << doublings)).min(DIAL_BACKOFF_MAX)
}

/// What a full peer asks for, doubled for each time that it was full before.
fn lengthen(wait: Duration, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(8);
    (wait * (1 << doublings)).min(DIAL_FULL_BACKOFF_MAX.max(wait))
}
